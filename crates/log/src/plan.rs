//! What the log knows in memory, and what it plans to write. Everything here runs under one lock, and
//! nothing here touches the disk.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use quorate_env::Completion;
use quorate_planted::{Bug, is_planted};

use crate::entry::{Entry, IndexTerm, SHARDS_MAX, ShardId};
use crate::group::{Group, Moment, Roll, Task, Writer};
use crate::options::{Durability, Options};
use crate::record::{Record, StartMark, Tag};
use crate::report::{Damage, Stats};
use crate::run_file::{Run, Suspicion};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentId};
use crate::shard::{Place, Shard};
use crate::votes::Votes;

/// What an entry in memory costs beside its payload.
const CACHED_ENTRY_BYTES: u64 = 64;

/// A larger entry stays in memory only until it is written and applied.
const LARGE_BYTES: u32 = 4 << 20;

/// What is not applied yet stays in memory up to so many times [`Options::cache_bytes`].
const UNRELEASED_FACTOR: u64 = 4;

/// What the log knows and plans.
pub(crate) struct Plan {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    pub(crate) votes: Votes,
    pub(crate) run: Run,
    /// Oldest first; the last one is where records are planned.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) next_number: u64,
    /// Where the log will end.
    pub(crate) end: u64,
    /// Up to where the operating system has it.
    pub(crate) written: u64,
    /// Up to where it is on disk.
    pub(crate) durable: u64,
    /// Groups to submit; the last one gathers.
    pub(crate) queue: VecDeque<Group>,
    /// `None` while a submission is at the disk.
    pub(crate) writer: Option<Writer>,
    pub(crate) damage: Option<Damage>,
    pub(crate) failed: Option<(io::ErrorKind, String)>,
    pub(crate) closed: bool,
    /// Files that are no part of the log. Those of a damaged log prove the damage, and stay until the log goes on
    /// without them.
    pub(crate) strays: Vec<PathBuf>,
    pub(crate) keeps_strays: bool,
    pub(crate) removing: bool,
    /// Completions to call, in order.
    pub(crate) ready: VecDeque<(Vec<Completion>, Outcome)>,
    pub(crate) delivering: bool,
    /// Entries in memory in the order of the log, to be evicted from the front; some may be gone already.
    cache_order: VecDeque<(ShardId, u64)>,
    cached_entries: usize,
    /// Where large entries stand that may be in memory.
    large: VecDeque<(ShardId, u64)>,
    pub(crate) stats: Stats,
}

/// What a completion gets; errors can be told to many.
pub(crate) type Outcome = Result<(), (io::ErrorKind, String)>;

/// What to submit next.
pub(crate) enum Step {
    Group {
        writer: Writer,
        group: Group,
        moment: Moment,
    },
    /// Makes the next segment ahead of need.
    Prepare {
        writer: Writer,
        id: SegmentId,
    },
}

/// A group at the disk.
pub(crate) struct Submitted {
    pub(crate) writer: Writer,
    pub(crate) task: Option<Task>,
    pub(crate) run: Option<Run>,
    pub(crate) completions: Vec<Completion>,
    /// Bytes and fsyncs of segments.
    pub(crate) bytes: u64,
    pub(crate) fsyncs: u64,
}

/// Where an entry is to be read from.
pub(crate) struct OnDisk {
    pub(crate) index: u64,
    pub(crate) place: Place,
}

/// How to read a range.
#[derive(Default)]
pub(crate) struct ReadPlan {
    /// These first, from disk.
    pub(crate) on_disk: Vec<OnDisk>,
    /// The segments they stand in, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Then these.
    pub(crate) cached: Vec<Entry>,
}

impl Plan {
    pub(crate) fn new(dir: PathBuf, options: Options, run: Run, votes: Votes) -> Plan {
        Plan {
            dir,
            options,
            shards: BTreeMap::new(),
            votes,
            run,
            segments: VecDeque::new(),
            next_number: 1,
            end: 0,
            written: 0,
            durable: 0,
            queue: VecDeque::new(),
            writer: None,
            damage: None,
            failed: None,
            closed: false,
            strays: Vec::new(),
            keeps_strays: false,
            removing: false,
            ready: VecDeque::new(),
            delivering: false,
            cache_order: VecDeque::new(),
            cached_entries: 0,
            large: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    // ---- requests

    pub(crate) fn append(&mut self, shard: ShardId, entries: Vec<(Entry, Record)>, done: Completion) {
        if let Err(error) = self.may_write().and_then(|()| self.check_append(shard, &entries)) {
            return self.answer(done, Err(error));
        }
        for (entry, record) in entries {
            let (index, term, len) = (entry.index, entry.term, record.payload.len());
            let lsn = self.put(record);
            let len = u32::try_from(len).expect("payloads are limited");
            self.segments.back_mut().expect("records go into a segment").live += 1;
            self.stats.appends += 1;
            self.stats.bytes_cached += cost(&entry);
            self.cached_entries += 1;
            self.cache_order.push_back((shard, lsn));
            if len >= LARGE_BYTES {
                self.large.push_back((shard, lsn));
            }
            let log = self.shards.entry(shard).or_default();
            log.push(index, Place { lsn, term, len });
            log.cache(entry);
        }
        self.join(done);
    }

    fn check_append(&self, shard: ShardId, entries: &[(Entry, Record)]) -> Outcome {
        let invalid = |reason: String| Err((io::ErrorKind::InvalidInput, reason));
        let Some((first, _)) = entries.first() else { return Ok(()) };
        let log = self.shards.get(&shard);
        if log.is_none() && self.shards.len() >= SHARDS_MAX {
            return invalid(format!("the log already has {SHARDS_MAX} shards"));
        }
        if let Some(log) = log
            && !log.may_append(first.index)
        {
            let (index, last) = (first.index, log.last());
            return invalid(format!("shard {shard}: entry {index} cannot follow {last:?}"));
        }
        if entries.last().is_some_and(|(last, _)| last.index == u64::MAX) {
            return invalid(format!("shard {shard}: the highest index cannot be used"));
        }
        let contiguous =
            entries.windows(2).all(|pair| pair[0].0.index.checked_add(1) == Some(pair[1].0.index));
        if !contiguous { invalid(format!("shard {shard}: the entries to append have gaps")) } else { Ok(()) }
    }

    pub(crate) fn truncate(&mut self, shard: ShardId, from: u64, done: Completion) {
        self.change(shard, Tag::Truncate, (from, 0), done);
    }

    pub(crate) fn purge(&mut self, shard: ShardId, upto: IndexTerm, done: Completion) {
        self.change(shard, Tag::Purge, upto, done);
    }

    pub(crate) fn reset(&mut self, shard: ShardId, last: IndexTerm, done: Completion) {
        self.change(shard, Tag::Reset, last, done);
    }

    /// Truncate, purge and reset: a record, and what it does.
    fn change(&mut self, shard: ShardId, tag: Tag, at: IndexTerm, done: Completion) {
        if let Err(error) = self.may_write().and_then(|()| self.check_change(shard, tag, at)) {
            return self.answer(done, Err(error));
        }
        if self.changes_nothing(shard, tag, at) {
            return self.join(done);
        }
        self.put(Record::new(tag, shard, at, Bytes::new()));
        let end = self.end;
        let Plan { shards, segments, stats, cached_entries, .. } = self;
        let gone = |place: Place, entry: Option<Entry>| {
            let position = segment_of_in(segments, place.lsn);
            let segment = &mut segments[position];
            segment.live -= 1;
            segment.dead_at = end;
            if let Some(entry) = entry {
                *cached_entries -= 1;
                stats.bytes_cached -= cost(&entry);
            }
        };
        apply_change(shards.entry(shard).or_default(), tag, at, gone);
        self.trim_cache_order();
        self.join(done);
    }

    fn check_change(&self, shard: ShardId, tag: Tag, (index, _): IndexTerm) -> Outcome {
        let invalid = |reason: String| Err((io::ErrorKind::InvalidInput, reason));
        let purged = self.shards.get(&shard).and_then(Shard::purged);
        if let (Tag::Truncate, Some((purged, _))) = (tag, purged)
            && index <= purged
        {
            return invalid(format!("shard {shard}: cannot truncate from {index}, purged up to {purged}"));
        }
        if !self.shards.contains_key(&shard) && self.shards.len() >= SHARDS_MAX {
            return invalid(format!("the log already has {SHARDS_MAX} shards"));
        }
        Ok(())
    }

    fn changes_nothing(&self, shard: ShardId, tag: Tag, (index, _): IndexTerm) -> bool {
        let log = self.shards.get(&shard);
        match tag {
            Tag::Truncate => log.and_then(Shard::last).is_none_or(|(last, _)| index > last),
            Tag::Purge => log.and_then(Shard::purged).is_some_and(|(purged, _)| index <= purged),
            _ => false,
        }
    }

    pub(crate) fn save_vote(&mut self, shard: ShardId, vote: Bytes, done: Completion) {
        if let Err(error) = self.may_save() {
            return self.answer(done, Err(error));
        }
        if !self.votes.has_room_for(shard) {
            let reason = format!("the log already has votes of {SHARDS_MAX} shards");
            return self.answer(done, Err((io::ErrorKind::InvalidInput, reason)));
        }
        let (slot, page) = self.votes.set(shard, vote);
        self.stats.votes += 1;
        self.open_group().votes.insert(slot, page);
        self.join(done);
    }

    pub(crate) fn sync(&mut self, done: Completion) {
        if let Err(error) = self.may_save() {
            return self.answer(done, Err(error));
        }
        self.open_group().sync = true;
        self.join(done);
    }

    pub(crate) fn task(&mut self, task: Task, done: Completion) {
        if let Err(error) = self.may_save() {
            return self.answer(done, Err(error));
        }
        match task {
            Task::Discard if self.damage.take().is_none() => return self.join(done),
            Task::Discard => self.roll(),
            Task::Close => self.closed = true,
            Task::SetDurability(_) | Task::Trust => {}
        }
        let group = self.open_group();
        group.sync = true;
        group.task = Some(task);
        group.completions.push(done);
    }

    fn may_save(&self) -> Outcome {
        match &self.failed {
            Some(failed) => Err(failed.clone()),
            None if self.closed => Err((io::ErrorKind::Other, "the log is closed".to_owned())),
            None => Ok(()),
        }
    }

    fn may_write(&self) -> Outcome {
        self.may_save()?;
        match &self.damage {
            Some(damage) => Err((io::ErrorKind::InvalidData, format!("the log is damaged: {damage}"))),
            None => Ok(()),
        }
    }

    // ---- planning

    /// Plans a record and returns where it will stand.
    fn put(&mut self, record: Record) -> u64 {
        let size = record.size();
        let overhead = self.open_group().overhead();
        if self.is_full_for(overhead + size) {
            self.roll();
        }
        let end = self.end;
        let group = self.open_group();
        let overhead = group.overhead();
        if group.records.is_empty() {
            group.lsn = end;
        }
        let lsn = end + overhead;
        group.end = lsn + size;
        group.records.push(record);
        self.end = lsn + size;
        self.stats.bytes_pending += overhead + size;
        lsn
    }

    /// The last group, if something may still join it, or a new one.
    fn open_group(&mut self) -> &mut Group {
        if !self.queue.back().is_some_and(Group::is_open) {
            self.queue.push_back(Group { end: self.end, ..Group::default() });
        }
        self.queue.back_mut().expect("one was just added")
    }

    fn join(&mut self, done: Completion) {
        self.open_group().completions.push(done);
    }

    fn is_full_for(&self, bytes: u64) -> bool {
        let segment = self.segments.back().expect("records go into a segment");
        self.end > segment.first && segment.offset(self.end) + bytes > self.options.segment_bytes
    }

    /// Plans a new segment at the end of the log. It begins with what each shard's log is there, so that
    /// older segments can go.
    pub(crate) fn roll(&mut self) {
        let id = SegmentId { number: self.next_number, run: self.run.number };
        self.next_number += 1;
        let shards = self.shards.iter().map(|(id, log)| (*id, log.purged(), log.last())).collect();
        let previous = self.segments.back().map_or(0, |segment| segment.id.number);
        let start = self.end;
        let mark = StartMark { previous, lsn: start, shards };
        let start_record = Record::new(Tag::Start, ShardId(0), (0, 0), mark.encode());
        let segment = Segment {
            id,
            path: id.path(&self.dir).into(),
            start,
            first: start + start_record.size(),
            live: 0,
            dead_at: 0,
            file_bytes: self.options.segment_bytes,
        };
        self.end = segment.first;
        self.stats.bytes_pending += start_record.size();
        self.segments.push_back(segment.clone());
        let end = self.end;
        if self
            .queue
            .back()
            .is_none_or(|group| !group.is_open() || !group.records.is_empty() || group.roll.is_some())
        {
            self.queue.push_back(Group::default());
        }
        let group = self.queue.back_mut().expect("one was just added");
        group.end = end;
        group.roll = Some(Roll { segment, start_record });
    }

    // ---- submitting

    /// What to submit now, if nothing is at the disk.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        if self.failed.is_some() || self.writer.is_none() {
            return None;
        }
        if self.wants_prepared_segment() {
            let id = SegmentId { number: self.next_number, run: self.run.number };
            return self.writer.take().map(|writer| Step::Prepare { writer, id });
        }
        let group = self.queue.pop_front()?;
        let moment = self.moment(&group);
        self.writer.take().map(|writer| Step::Group { writer, group, moment })
    }

    /// Half of the last segment is used: time to make the next, so that nobody waits for it.
    fn wants_prepared_segment(&self) -> bool {
        let (Some(writer), Some(last)) = (&self.writer, self.segments.back()) else { return false };
        !self.closed
            && self.damage.is_none()
            && writer.prepared.is_none()
            && writer.segment.id == last.id
            && last.offset(self.end) - SEGMENT_HEADER_BYTES > self.options.segment_bytes / 2
    }

    fn moment(&self, group: &Group) -> Moment {
        let sync = group.sync || self.options.durability == Durability::Always;
        let mut moment = Moment { durable: self.durable, sync, run: None, clear_votes: Vec::new() };
        let Some(task) = group.task else { return moment };
        let mut run = self.run.clone();
        match task {
            Task::SetDurability(durability) => run.durability = durability,
            Task::Trust => {
                run.suspicion = Suspicion::default();
                moment.clear_votes = self.votes.clear_free_slots(&self.dir);
            }
            Task::Discard => {
                run.suspicion.discarded = true;
                run.durability = self.options.durability;
                run.clean = None;
            }
            // A damaged log does not end cleanly: what is known of its end stays as it is.
            Task::Close if self.damage.is_some() => return moment,
            Task::Close => {}
        }
        moment.run = Some(run);
        moment
    }

    /// A group is done: frees what waited for it.
    pub(crate) fn finish_group(&mut self, submitted: Submitted, outcome: Outcome) {
        if let Err(error) = outcome
            && !is_planted(Bug::GoOnAfterFailedFsync)
        {
            self.ready.push_back((submitted.completions, Err(error.clone())));
            return self.fail(error);
        }
        let Submitted { writer, task, run, completions, bytes, fsyncs } = submitted;
        self.stats.groups += u64::from(bytes > 0);
        self.stats.fsyncs += fsyncs;
        self.stats.bytes_written += bytes;
        self.stats.bytes_pending -= bytes;
        self.written = writer.end;
        if !writer.unsynced {
            self.durable = writer.end;
        }
        match task {
            Some(Task::SetDurability(durability)) => self.options.durability = durability,
            Some(Task::Discard) => self.keeps_strays = false,
            Some(Task::Trust | Task::Close) | None => {}
        }
        if let Some(run) = run {
            self.run = run;
        }
        self.writer = Some(writer);
        self.ready.push_back((completions, Ok(())));
        self.evict();
    }

    pub(crate) fn finish_prepare(&mut self, mut writer: Writer, id: SegmentId, outcome: Outcome) {
        if let Err(error) = outcome {
            return self.fail(error);
        }
        writer.prepared = Some(id.number);
        self.writer = Some(writer);
    }

    /// Nothing is written any more, and nothing is tried again (R7).
    pub(crate) fn fail(&mut self, error: (io::ErrorKind, String)) {
        let error = self.failed.get_or_insert(error).clone();
        let completions = self.queue.drain(..).flat_map(|group| group.completions).collect();
        self.ready.push_back((completions, Err(error)));
    }

    fn answer(&mut self, done: Completion, outcome: Outcome) {
        self.ready.push_back((vec![done], outcome));
    }

    /// Files to remove: the oldest segments without live entries, once that is durable and the next
    /// segment has taken over what they said.
    pub(crate) fn take_removals(&mut self) -> Vec<PathBuf> {
        if self.removing || self.failed.is_some() || self.keeps_strays {
            return Vec::new();
        }
        let mut paths = std::mem::take(&mut self.strays);
        while let (Some(oldest), Some(next)) = (self.segments.front(), self.segments.get(1))
            && oldest.live == 0
            && self.durable >= oldest.dead_at.max(next.first)
        {
            paths.push(oldest.path.to_path_buf());
            self.segments.pop_front();
        }
        self.removing = !paths.is_empty();
        paths
    }

    // ---- memory

    /// The entries of a shard below `index` have been handed to who applies them: memory may forget them.
    pub(crate) fn release(&mut self, shard: ShardId, index: u64) {
        self.shards.entry(shard).or_default().release(index);
        if !self.large.is_empty() || self.stats.bytes_cached > self.options.cache_bytes as u64 {
            self.evict();
        }
    }

    fn evict(&mut self) {
        while let Some((shard, lsn)) = self.cache_order.front().copied() {
            let bytes = self.stats.bytes_cached;
            let limit = self.options.cache_bytes as u64;
            let log = self.shards.get_mut(&shard).expect("shards are never forgotten");
            match log.cached_from() {
                Some(place) if place.lsn == lsn => {
                    // What is not applied yet will be read at least once more, soon: better from here than from disk.
                    let released = log.oldest_cached_is_released();
                    let wanted = if released {
                        bytes > limit
                    } else {
                        bytes > limit.saturating_mul(UNRELEASED_FACTOR)
                    };
                    // Small entries stay for followers that are a little behind. A large one would fill the cache alone.
                    let behind_large = released && self.large.front().is_some_and(|(_, large)| *large >= lsn);
                    if place.end() > self.written || !(wanted || behind_large) {
                        return;
                    }
                    let entry = log.evict().expect("it is in memory");
                    self.stats.bytes_cached -= cost(&entry);
                    self.cached_entries -= 1;
                }
                _ => {}
            }
            self.cache_order.pop_front();
            // Also those that a truncation removed.
            while self.large.front().is_some_and(|(_, large)| *large <= lsn) {
                self.large.pop_front();
            }
        }
        self.large.clear();
    }

    /// Drops what truncate and purge left in the order of eviction.
    fn trim_cache_order(&mut self) {
        if self.cache_order.len() <= 2 * self.cached_entries + 1024 {
            return;
        }
        let Plan { shards, cache_order, .. } = self;
        cache_order.retain(|(shard, lsn)| shards.get(shard).is_some_and(|log| log.has_cached_at(*lsn)));
    }

    // ---- reading

    pub(crate) fn plan_read(
        &self,
        shard: ShardId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> io::Result<ReadPlan> {
        if let Some((kind, reason)) = &self.failed {
            return Err(io::Error::new(*kind, reason.clone()));
        }
        let mut plan = ReadPlan::default();
        let Some(log) = self.shards.get(&shard) else { return Ok(plan) };
        if let Some((purged, _)) = log.purged()
            && range.start <= purged
            && !range.is_empty()
        {
            return Err(purged_error(shard, range.start, purged));
        }
        let mut bytes = 0;
        for index in range.start.max(log.first())..range.end.min(log.end()) {
            let place = log.place(index).expect("the range is live");
            bytes += place.len as usize;
            if bytes > bytes_max && index > range.start.max(log.first()) {
                break;
            }
            match log.cached(index) {
                Some(entry) => plan.cached.push(entry.clone()),
                None => plan.on_disk.push(OnDisk { index, place: *place }),
            }
        }
        if let (Some(first), Some(last)) = (plan.on_disk.first(), plan.on_disk.last()) {
            let (from, to) = (self.segment_of(first.place.lsn), self.segment_of(last.place.lsn));
            plan.segments = self.segments.range(from..=to).cloned().collect();
        }
        Ok(plan)
    }

    fn segment_of(&self, lsn: u64) -> usize {
        segment_of_in(&self.segments, lsn)
    }

    pub(crate) fn stats(&self) -> Stats {
        let oldest = self.shards.iter().filter_map(|(id, log)| Some((log.places().next()?.lsn, *id))).min();
        let ends = self.segments.iter().skip(1).map(|segment| segment.start).chain([self.end]);
        let sizes = self.segments.iter().zip(ends).map(|(s, end)| s.file_bytes.max(s.offset(end)));
        let places: usize = self.shards.values().map(Shard::index_bytes).sum();
        let order = self.cache_order.capacity() * size_of::<(ShardId, u64)>();
        Stats {
            bytes_indexed: (places + order) as u64,
            segments: self.segments.len() as u64,
            bytes_on_disk: sizes.sum(),
            held_by: oldest.map(|(_, shard)| shard),
            ..self.stats
        }
    }
}

pub(crate) fn purged_error(shard: ShardId, index: u64, purged: u64) -> io::Error {
    let reason = format!("shard {shard}: entry {index} is gone, the log was purged up to {purged}");
    io::Error::new(io::ErrorKind::NotFound, reason)
}

/// What a truncate, purge or reset record does to a shard's log.
pub(crate) fn apply_change(
    shard: &mut Shard,
    tag: Tag,
    at: IndexTerm,
    gone: impl FnMut(Place, Option<Entry>),
) {
    match tag {
        Tag::Truncate => shard.truncate(at.0, gone),
        Tag::Purge => shard.purge(at, gone),
        Tag::Reset => shard.reset(at, gone),
        Tag::Start | Tag::Group | Tag::Entry => unreachable!("{tag:?} changes no shard's range"),
    }
}

/// Which segment holds `lsn`.
pub(crate) fn segment_of_in(segments: &VecDeque<Segment>, lsn: u64) -> usize {
    segments.partition_point(|segment| segment.start <= lsn) - 1
}

fn cost(entry: &Entry) -> u64 {
    entry.payload.len() as u64 + CACHED_ENTRY_BYTES
}
