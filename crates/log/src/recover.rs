//! Recovery: from files of which nothing is believed to the log that was written (R6).
//!
//! The newest segment with a valid start record names the one before it and where that one ends, and so on
//! back to the oldest: these are the log, everything else in the folder is not. They are scanned from front to
//! back. A record that does not verify ends the log there. Whether that is the unfinished tail of a crash or
//! corruption depends on what is known to have been durable: by group records before and behind that
//! place, by the start of later segments, and by the mark of a clean shutdown.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use quorate_env::{Disk, Op};
use quorate_planted::{Bug, is_planted};

use crate::entry::{SHARDS_MAX, ShardId};
use crate::options::Durability;
use crate::plan::apply_change;
use crate::record::{Header, StartMark, Tag};
use crate::report::{Damage, OpenError, Recovery};
use crate::run_file::{self, CleanEnd, RUN_FILE_BYTES_MAX, Run, Suspicion};
use crate::scan::{Extent, Reader, Scanned, Stop, read_full, read_start, scan, survey};
use crate::segment::{FORMAT, FoundHeader, SEGMENT_HEADER_BYTES, Segment, SegmentId, number_of, path_of};
use crate::shard::{Place, Shard};
use crate::votes::{self, Votes};

/// How much of the tail is rewritten at once.
const REWRITE_BYTES: u64 = 8 << 20;

/// What a folder holds.
pub(crate) struct Recovered {
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    /// The log's segments up to the end or the damage, oldest first.
    pub(crate) segments: VecDeque<Segment>,
    /// The end of the last good record, and its checksum.
    pub(crate) end: u64,
    pub(crate) chain: u32,
    /// Up to where the log is certainly on disk, however the last run ended.
    pub(crate) durable: u64,
    /// Segment files that are no part of it.
    pub(crate) strays: Vec<PathBuf>,
    pub(crate) next_number: u64,
    /// What the file `run` is to say of this start.
    pub(crate) run: Run,
    pub(crate) votes: Votes,
    /// What makes the votes whole.
    pub(crate) vote_repair: Vec<Op>,
    pub(crate) report: Recovery,
}

/// Reads a log folder and changes nothing.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path, durability: Durability) -> Result<Recovered, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let last_run = read_run(disk, dir)?;
    let found = find_segments(disk, dir)?;
    let votes = votes::read(disk, dir).map_err(at(&Votes::path(dir)))?;
    let votes_are_gone = disk.len(&Votes::path(dir)).map_err(at(dir))?.is_none();
    let mut log = Log::read(disk, dir, &found, last_run.as_ref()).map_err(at(dir))?;
    log.close_gaps(dir);
    log.judge(dir, last_run.as_ref());
    let newest = log.newest.max(log.newest_durable());
    log.drop_empty_tail();

    let boot_id = run_file::truncated(&disk.boot_id()).to_owned();
    // The first start says in the file `run` that there is a segment only when all is there.
    let never_opened = last_run.as_ref().map_or(found.is_empty(), |run| run.newest_segment == 0);
    let fresh = never_opened && log.shards.is_empty();
    let clean = last_run.as_ref().is_some_and(|run| run.clean.is_some());
    // Without its file nothing is known of the last run, and the worst is assumed.
    let os_crashed = !fresh && !clean && last_run.as_ref().is_none_or(|run| run.boot_id != boot_id);
    let last_durability = last_run.as_ref().map_or(Durability::EverySecond, |run| run.durability);
    let mut suspicion = last_run.as_ref().map_or(Suspicion::default(), |run| run.suspicion);
    suspicion.last_group_damaged |= log.last_group_damaged && !fresh;
    suspicion.torn_by_crash |= log.last_group_damaged && os_crashed;
    suspicion.unsynced_lost |= os_crashed && last_durability == Durability::EverySecond;
    suspicion.vote_lost |= votes.lost || votes_are_gone && !fresh;

    let below_durable = log.damage.as_ref().is_some_and(|damage| damage.below_durable);
    let past_runs = found.iter().filter_map(Found::run).chain(last_run.as_ref().map(|run| run.number));
    let run = Run {
        number: past_runs.max().unwrap_or(0) + 1,
        newest_segment: newest,
        // Until the tail of the last run is on disk, a crash costs what it would have cost then.
        durability: if last_durability == Durability::EverySecond && !fresh {
            last_durability
        } else {
            durability
        },
        suspicion,
        // If a damaged log forgot that it had ended cleanly, the next start would take damage for a tail.
        clean: last_run.as_ref().and_then(|run| run.clean).filter(|_| below_durable),
        boot_id,
    };
    let durable = if clean { log.end } else { log.durable.min(log.end) };
    let report = Recovery {
        fresh,
        starts: run.number,
        clean,
        os_crashed,
        durability: if fresh { durability } else { last_durability },
        torn_tail_bytes: log.torn_tail_bytes,
        damage: log.damage,
        last_group_damaged: suspicion.last_group_damaged,
        torn_by_crash: suspicion.torn_by_crash,
        unsynced_lost: suspicion.unsynced_lost,
        vote_lost: suspicion.vote_lost,
        discarded: suspicion.discarded,
        shards: log.shards.iter().map(|(id, shard)| (*id, shard.state())).collect(),
        durable: log.shards.iter().filter_map(|(id, s)| s.last_before(durable).map(|i| (*id, i))).collect(),
    };
    let in_log: Vec<u64> = log.segments.iter().map(|segment| segment.id.number).collect();
    let strays = found.iter().filter(|f| !in_log.contains(&f.number)).map(|f| path_of(dir, f.number));
    Ok(Recovered {
        durable,
        strays: strays.collect(),
        next_number: found.iter().map(|f| f.number).max().unwrap_or(0).max(run.newest_segment) + 1,
        shards: log.shards,
        segments: log.segments,
        end: log.end,
        chain: log.chain,
        run,
        votes: votes.votes,
        vote_repair: votes.repair,
        report,
    })
}

impl Recovered {
    /// Writes again what may be in memory only, so that an fsync covers it: after a process died in a
    /// failed fsync, the system may hold pages as clean that never reached the disk (R7).
    pub(crate) fn rewrite_unsynced(&self, disk: &dyn Disk) -> io::Result<()> {
        let Some(segment) = self.segments.back() else { return Ok(()) };
        let mut at = self.durable.max(segment.start);
        let path = segment.path.clone();
        let mut written = false;
        while at < self.end {
            let len = (self.end - at).min(REWRITE_BYTES);
            let offset = segment.offset(at);
            let bytes = read_full(disk, &path, offset, len as usize)?;
            if bytes.len() as u64 != len {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
            }
            disk.run(vec![Op::Write { path: path.clone(), offset, bufs: vec![bytes] }])?;
            written = true;
            at += len;
        }
        if written { disk.run(vec![Op::Sync { path }]) } else { Ok(()) }
    }
}

fn read_run(disk: &dyn Disk, dir: &Path) -> Result<Option<Run>, OpenError> {
    let path = Run::path(dir);
    let at = |source| OpenError::Io { path: path.clone(), source };
    if disk.len(&path).map_err(at)?.is_none() {
        return Ok(None);
    }
    let bytes = read_full(disk, &path, 0, RUN_FILE_BYTES_MAX).map_err(at)?;
    Run::decode(&bytes).map_err(|found| OpenError::Version { path: path.clone(), found, known: FORMAT })
}

/// A segment file as found.
struct Found {
    number: u64,
    content: Content,
}

enum Content {
    /// Prepared and never used, or not even prepared.
    Unused,
    Used {
        id: SegmentId,
        start: StartMark,
        /// Where the start record ends.
        first: u64,
        /// The checksum of the last record before.
        prev: u32,
        file_bytes: u64,
    },
    /// Something was written to it, and its beginning is damaged.
    Damaged { id: Option<SegmentId>, offset: u64, reason: &'static str },
}

impl Found {
    fn run(&self) -> Option<u64> {
        match &self.content {
            Content::Used { id, .. } | Content::Damaged { id: Some(id), .. } => Some(id.run),
            _ => None,
        }
    }
}

fn find_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Found>, OpenError> {
    let names = disk.list(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| find_segment(disk, dir, number)).collect()
}

fn find_segment(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Found, OpenError> {
    let path = path_of(dir, number);
    let found = look_at(disk, &path, number);
    let content = found.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match content {
        Ok(content) => Ok(Found { number, content }),
        Err(found) => Err(OpenError::Version { path, found, known: FORMAT }),
    }
}

/// `Err` inside with the format of a later release.
fn look_at(disk: &dyn Disk, path: &Path, number: u64) -> io::Result<Result<Content, u32>> {
    let mut reader = Reader::new(disk, path)?;
    let header_len = reader.len().min(SEGMENT_HEADER_BYTES) as usize;
    let header = reader.bytes(0, header_len)?.unwrap_or_default();
    let id = match SegmentId::decode_header(&header, number) {
        FoundHeader::Valid(id) => Some(id),
        FoundHeader::Damaged => None,
        FoundHeader::Version(format) => return Ok(Err(format)),
    };
    if let Some(id) = id
        && let Some((header, start)) = read_start(&mut reader, id)?
    {
        let first = start.lsn + header.size();
        return Ok(Ok(Content::Used { id, start, first, prev: header.prev, file_bytes: reader.len() }));
    }
    let is_unused = reader.end_of_content(SEGMENT_HEADER_BYTES)? == SEGMENT_HEADER_BYTES;
    Ok(Ok(match id {
        _ if is_unused => Content::Unused,
        Some(_) => {
            let (offset, reason) = (SEGMENT_HEADER_BYTES, "the segment's start record is damaged");
            Content::Damaged { id, offset, reason }
        }
        None => Content::Damaged { id, offset: 0, reason: "the segment's header is damaged" },
    }))
}

/// The log as far as it can be read.
#[derive(Default)]
struct Log {
    shards: BTreeMap<ShardId, Shard>,
    segments: VecDeque<Segment>,
    end: u64,
    chain: u32,
    /// The checksum before the last segment.
    chain_before: u32,
    durable: u64,
    torn_tail_bytes: u64,
    last_group_damaged: bool,
    damage: Option<Damage>,
    /// The newest segment that is certainly in use on disk.
    newest: u64,
    /// The segment before the oldest one found, if there was one.
    missing: Option<u64>,
}

impl Log {
    fn read(disk: &dyn Disk, dir: &Path, found: &[Found], last_run: Option<&Run>) -> io::Result<Log> {
        let chain = Chain::find(dir, found);
        let mut log = Log { missing: chain.missing, ..Log::default() };
        log.newest = last_run.map_or(0, |run| run.newest_segment);
        let mut last = None;
        for (position, link) in chain.links.iter().enumerate() {
            let scanned = log.read_segment(disk, dir, link, position == 0)?;
            if log.damage.is_some() {
                return Ok(log);
            }
            last = Some((link, scanned));
        }
        match last {
            _ if chain.damage.is_some() => log.damage = chain.damage,
            Some((link, scanned)) => log.read_tail(disk, dir, link, &scanned, &chain.newer)?,
            None => log.read_newer(disk, dir, &chain.newer)?,
        }
        Ok(log)
    }

    /// Scans one segment and notes damage that no crash explains.
    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        link: &Link<'_>,
        is_oldest: bool,
    ) -> io::Result<Scanned> {
        if is_oldest {
            let states = link.start.shards.iter();
            self.shards = states.map(|(id, purged, last)| (*id, Shard::from_start(*purged, *last))).collect();
        } else if !self.agrees_with(link.start) {
            self.damaged_at_end("the next segment starts with other entries than stand before it");
        }
        let path = path_of(dir, link.id.number);
        let mut reader = Reader::new(disk, &path)?;
        let extent = Extent { id: link.id, start: link.start.lsn, end: link.end.map(|(lsn, _)| lsn) };
        let chain = (!is_oldest).then_some(self.chain);
        let shards = &mut self.shards;
        let scanned = scan(&mut reader, &extent, chain, |lsn, header| apply(shards, lsn, header))?;
        let segment = Segment {
            id: link.id,
            path: path.into(),
            start: link.start.lsn,
            first: link.first,
            live: 0,
            dead_at: 0,
            file_bytes: link.file_bytes,
        };
        self.segments.push_back(segment);
        self.chain_before = self.chain;
        (self.end, self.chain) = (scanned.end, scanned.chain);
        self.durable = self.durable.max(scanned.durable);
        match scanned.stop {
            Some(stop @ Stop::Impossible(_)) => self.damaged_at_end(stop.reason()),
            Some(stop) if link.end.is_some() => self.damaged_at_end(stop.reason()),
            None if link.end.is_some_and(|(_, chain)| chain != scanned.chain) => {
                self.damaged_at_end("the next segment does not follow what stands here");
            }
            _ => {}
        }
        Ok(scanned)
    }

    /// Compares what a start record says of the shards with what was read before it. Where a shard is empty by its
    /// word and was not, what stood there was damaged and given up.
    fn agrees_with(&mut self, start: &StartMark) -> bool {
        for (id, purged, last) in &start.shards {
            let shard = self.shards.entry(*id).or_default();
            if last == purged && shard.last() != *last {
                *shard = Shard::from_start(*purged, *last);
            }
            if shard.purged() != *purged || !shard.has_gap() && shard.last() != *last {
                return false;
            }
        }
        self.shards.len() == start.shards.len()
    }

    /// A last segment without records is replaced by the next one, so that starts without writes leave no files.
    fn drop_empty_tail(&mut self) {
        let damaged = self.damage.as_ref().is_some_and(|damage| damage.below_durable);
        if let Some(last) = self.segments.back()
            && (last.first, damaged) == (self.end, false)
            && self.segments.len() > 1
        {
            (self.end, self.chain) = (last.start, self.chain_before);
            self.segments.pop_back();
        }
    }

    /// A segment whose start record may be in memory only is not certain; the one before it is.
    fn newest_durable(&self) -> u64 {
        let certain = |segment: &&Segment| segment.start < self.durable;
        self.segments.iter().rev().find(certain).map_or(0, |segment| segment.id.number)
    }

    fn damaged_at_end(&mut self, reason: &str) {
        let Some(segment) = self.segments.back() else { return };
        let (file, offset) = (segment.path.to_path_buf(), segment.offset(self.end));
        self.damage.get_or_insert(Damage { file, offset, reason: reason.to_owned(), below_durable: true });
    }

    /// Decides what stands behind the last good record of the last segment: nothing, a tail, or damage.
    fn read_tail(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        link: &Link<'_>,
        scanned: &Scanned,
        newer: &[&Found],
    ) -> io::Result<()> {
        let path = path_of(dir, link.id.number);
        let mut reader = Reader::new(disk, &path)?;
        let offset = SEGMENT_HEADER_BYTES + (scanned.end - link.start.lsn);
        let rest = survey(&mut reader, link.id, offset)?;
        let reason = scanned.stop.map_or("", Stop::reason);
        self.torn_tail_bytes += rest.content_bytes;
        if rest.durable > self.end && !is_planted(Bug::TailCutTooFar) {
            self.damaged_at_end(reason);
        } else if rest.content_bytes > 0 {
            let reason = reason.to_owned();
            self.damage = Some(Damage { file: path, offset, reason, below_durable: false });
        }
        self.last_group_damaged = rest.content_bytes > 0 || scanned.group_end > self.end;
        self.read_newer(disk, dir, newer)
    }

    /// Judges segments behind the last readable one whose beginning is damaged.
    fn read_newer(&mut self, disk: &dyn Disk, dir: &Path, newer: &[&Found]) -> io::Result<()> {
        for found in newer {
            let Content::Damaged { id, offset, reason } = &found.content else { continue };
            let file = path_of(dir, found.number);
            let mut reader = Reader::new(disk, &file)?;
            self.last_group_damaged = true;
            let below_durable = match id {
                Some(id) => {
                    let rest = survey(&mut reader, *id, *offset)?;
                    self.torn_tail_bytes += rest.content_bytes;
                    if rest.durable > self.end && rest.start > self.end {
                        self.damaged_at_end("the log goes on in a later segment, but not from here");
                    }
                    rest.durable > self.end
                }
                // A header is durable before anything is written behind it.
                None => true,
            };
            let damage = Damage { file, offset: *offset, reason: (*reason).to_owned(), below_durable };
            if self.damage.as_ref().is_none_or(|damage| !damage.below_durable && below_durable) {
                self.damage = Some(damage);
            }
        }
        Ok(())
    }

    /// Entries whose segments are gone although nothing purged them.
    fn close_gaps(&mut self, dir: &Path) {
        let gaps =
            self.shards.iter_mut().filter_map(|(id, shard)| shard.drop_behind_gap().map(|to| (*id, to)));
        let gaps: Vec<(ShardId, u64)> = gaps.collect();
        let sound = self.damage.as_ref().is_none_or(|damage| !damage.below_durable);
        if let (Some((shard, index)), true) = (gaps.first(), sound) {
            let file = path_of(dir, self.missing.unwrap_or(0));
            let reason = format!("the file is missing, with entries of shard {shard} up to {index}");
            self.damage = Some(Damage { file, offset: 0, reason, below_durable: true });
        }
    }

    /// Compares the end of the log with what the last run knew of it.
    fn judge(&mut self, dir: &Path, last_run: Option<&Run>) {
        let found = self.segments.back().map_or(0, |segment| segment.id.number);
        let newest = last_run.map_or(0, |run| run.newest_segment);
        let sound = self.damage.as_ref().is_none_or(|damage| !damage.below_durable);
        if sound && found < newest {
            let (file, reason) = (path_of(dir, newest), "the file is missing or empty".to_owned());
            self.damage = Some(Damage { file, offset: 0, reason, below_durable: true });
        }
        let clean = last_run.and_then(|run| run.clean);
        let Some(CleanEnd { segment, lsn, chain }) = clean else { return };
        match &mut self.damage {
            Some(damage) => damage.below_durable = true,
            None if (found, self.end, self.chain) != (segment, lsn, chain) => {
                self.damaged_at_end("the log does not end where it was cleanly closed");
            }
            None => {}
        }
        if let Some(damage) = &mut self.damage
            && self.segments.is_empty()
        {
            damage.below_durable = true;
        }
    }
}

fn apply(shards: &mut BTreeMap<ShardId, Shard>, lsn: u64, header: &Header) -> Result<(), &'static str> {
    if !shards.contains_key(&header.shard) && shards.len() >= SHARDS_MAX {
        return Err("the log has too many shards");
    }
    let shard = shards.entry(header.shard).or_default();
    if header.tag == Tag::Truncate && is_planted(Bug::CutSuffixReturns) {
        return Ok(());
    }
    if header.tag != Tag::Entry {
        apply_change(shard, header.tag, (header.index, header.term), |_, _| ());
        return Ok(());
    }
    let place = Place { lsn, term: header.term, len: header.len };
    if is_planted(Bug::CutSuffixReturns) && shard.place(header.index).is_some() {
        replace_one(shard, header.index, place);
        return Ok(());
    }
    if !shard.may_append(header.index) || header.index == u64::MAX {
        return Err("the entry does not follow the one before it in its shard");
    }
    shard.push(header.index, place);
    Ok(())
}

/// For a planted bug: puts an entry where another one stood, and leaves those behind it.
fn replace_one(shard: &mut Shard, index: u64, place: Place) {
    let behind: Vec<Place> = (index + 1..shard.end()).filter_map(|i| shard.place(i).copied()).collect();
    shard.truncate(index, |_, _| ());
    for (place, index) in std::iter::once(place).chain(behind).zip(index..) {
        shard.push(index, place);
    }
}

/// The segments of the log, as they name each other.
struct Chain<'a> {
    /// Oldest first.
    links: Vec<Link<'a>>,
    /// Damaged segments behind the last link; nothing says whether they were durable.
    newer: Vec<&'a Found>,
    /// A segment behind the last link that was durable and cannot be read.
    damage: Option<Damage>,
    /// What the oldest link says stood before it, and is not there.
    missing: Option<u64>,
}

struct Link<'a> {
    id: SegmentId,
    start: &'a StartMark,
    first: u64,
    prev: u32,
    file_bytes: u64,
    /// Where the next one says that this one ends, and the checksum of its last record.
    end: Option<(u64, u32)>,
}

impl<'a> Chain<'a> {
    fn find(dir: &Path, found: &'a [Found]) -> Chain<'a> {
        let mut chain = Chain { links: Vec::new(), newer: Vec::new(), damage: None, missing: None };
        let mut older = found;
        while let Some((last, rest)) = older.split_last()
            && chain.links.is_empty()
        {
            older = rest;
            match Link::of(last, None) {
                Some(link) => chain.links.push(link),
                None if matches!(last.content, Content::Damaged { .. }) => chain.newer.push(last),
                None => {}
            }
        }
        while let Some(next) = chain.links.last()
            && next.start.previous != 0
        {
            let Some(position) = older.iter().position(|f| f.number == next.start.previous) else {
                chain.missing = Some(next.start.previous);
                break;
            };
            let link = Link::of(&older[position], Some((next.start.lsn, next.prev)));
            match link.filter(|link| link.start.lsn <= next.start.lsn) {
                Some(link) => chain.links.push(link),
                None => chain.break_at(dir, &older[position], &older[..position]),
            }
            older = &older[..position];
        }
        chain.links.reverse();
        chain
    }

    /// A segment that others rely on cannot be read: the log ends before it.
    fn break_at(&mut self, dir: &Path, broken: &Found, older: &'a [Found]) {
        let (offset, reason) = match broken.content {
            Content::Damaged { offset, reason, .. } => (offset, reason),
            Content::Unused => (SEGMENT_HEADER_BYTES, "the segment is empty"),
            Content::Used { .. } => (SEGMENT_HEADER_BYTES, "the segment starts behind its end"),
        };
        let file = path_of(dir, broken.number);
        self.damage = Some(Damage { file, offset, reason: reason.to_owned(), below_durable: true });
        self.newer.clear();
        self.links.clear();
        self.links.extend(older.iter().rev().find_map(|found| Link::of(found, None)));
    }
}

impl<'a> Link<'a> {
    fn of(found: &'a Found, end: Option<(u64, u32)>) -> Option<Link<'a>> {
        match &found.content {
            Content::Used { id, start, first, prev, file_bytes } => {
                Some(Link { id: *id, start, first: *first, prev: *prev, file_bytes: *file_bytes, end })
            }
            Content::Unused | Content::Damaged { .. } => None,
        }
    }
}
