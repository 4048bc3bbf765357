//! Reading entries back from disk. What does not verify is an error, never data.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use quorate_env::Disk;
use quorate_planted::{Bug, is_planted};

use crate::entry::{Entry, ShardId};
use crate::plan::{OnDisk, ReadPlan};
use crate::record::{HEADER_BYTES, Header, Tag};
use crate::scan::read_full;
use crate::segment::Segment;

/// Entries of one shard stand between those of others: up to such a gap they are read together.
const GAP_BYTES_MAX: u64 = 16 << 10;

/// The most that is read at once, unless one entry is larger.
const READ_BYTES_MAX: u64 = 1 << 20;

/// How much of a large entry is read in one step.
const STEP_BYTES: usize = 1 << 20;

/// A read that is carried out in steps.
pub(crate) struct Steps {
    shard: ShardId,
    plan: ReadPlan,
    /// How many of the entries on disk are read.
    done: usize,
    entries: Vec<Entry>,
    /// What there is of a large entry, and the checksum of its payload so far.
    part: BytesMut,
    crc: u32,
}

impl Steps {
    pub(crate) fn new(shard: ShardId, plan: ReadPlan) -> Self {
        let entries = Vec::with_capacity(plan.on_disk.len() + plan.cached.len());
        Self { shard, plan, done: 0, entries, part: BytesMut::new(), crc: 0 }
    }

    /// Reads on; blocks for at most one group of small entries, or a piece of a large one. The entries once all are
    /// there: at once, if everything is in memory.
    pub(crate) fn step(&mut self, disk: &dyn Disk) -> io::Result<Option<Vec<Entry>>> {
        if let Some(first) = self.plan.on_disk.get(self.done) {
            let segments = &self.plan.segments;
            let segment = &segments[segments.partition_point(|s| s.start <= first.place.lsn) - 1];
            if first.place.size() > STEP_BYTES as u64 {
                let read = read_part(
                    disk,
                    self.shard,
                    segment,
                    first,
                    &mut self.part,
                    &mut self.crc,
                    &mut self.entries,
                );
                self.done += usize::from(read?);
            } else {
                let segment_end = segments.iter().map(|s| s.start).find(|start| *start > first.place.lsn);
                let count = together(&self.plan.on_disk[self.done..], segment_end);
                let now = &self.plan.on_disk[self.done..self.done + count];
                read_together(disk, self.shard, segment, now, &mut self.entries)?;
                self.done += count;
            }
        }
        if self.done < self.plan.on_disk.len() {
            return Ok(None);
        }
        self.entries.append(&mut self.plan.cached);
        Ok(Some(std::mem::take(&mut self.entries)))
    }
}

/// Reads the next piece of a large entry. True: it was the last one.
fn read_part(
    disk: &dyn Disk,
    shard: ShardId,
    segment: &Segment,
    entry: &OnDisk,
    part: &mut BytesMut,
    crc: &mut u32,
    out: &mut Vec<Entry>,
) -> io::Result<bool> {
    let (at, size) = (segment.offset(entry.place.lsn), entry.place.size() as usize);
    if part.is_empty() {
        (*part, *crc) = (BytesMut::with_capacity(size), 0);
    }
    let have = part.len();
    let bytes = read_full(disk, &segment.path, at + have as u64, STEP_BYTES.min(size - have))?;
    if bytes.is_empty() {
        return Err(damaged(&segment.path, at, shard, entry));
    }
    part.extend_from_slice(&bytes);
    *crc = crc32c::crc32c_append(*crc, &part[have.max(HEADER_BYTES).min(part.len())..]);
    if part.len() < size {
        return Ok(false);
    }
    let read = verify(shard, segment, entry, part.split().freeze(), *crc);
    *part = BytesMut::new();
    out.push(read.ok_or_else(|| damaged(&segment.path, at, shard, entry))?);
    Ok(true)
}

/// How many of the entries, which are not empty, are read at once.
fn together(entries: &[OnDisk], segment_end: Option<u64>) -> usize {
    let first = &entries[0].place;
    let joins = |pair: &[OnDisk]| {
        let (before, next) = (&pair[0].place, &pair[1].place);
        next.lsn.checked_sub(before.end()).is_some_and(|gap| gap <= GAP_BYTES_MAX)
            && next.end() - first.lsn <= READ_BYTES_MAX
            && segment_end.is_none_or(|end| next.lsn < end)
    };
    1 + entries.windows(2).take_while(|pair| joins(pair)).count()
}

fn read_together(
    disk: &dyn Disk,
    shard: ShardId,
    segment: &Segment,
    entries: &[OnDisk],
    out: &mut Vec<Entry>,
) -> io::Result<()> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    let from = first.place.lsn;
    let bytes = read_full(disk, &segment.path, segment.offset(from), (last.place.end() - from) as usize)?;
    for entry in entries {
        let at = (entry.place.lsn - from) as usize;
        let record = bytes.get(at..at + entry.place.size() as usize);
        let read = record.and_then(|record| {
            let crc = crc32c::crc32c(record.get(HEADER_BYTES..)?);
            verify(shard, segment, entry, bytes.slice_ref(record), crc)
        });
        out.push(read.ok_or_else(|| damaged(&segment.path, segment.offset(entry.place.lsn), shard, entry))?);
    }
    Ok(())
}

fn verify(shard: ShardId, segment: &Segment, entry: &OnDisk, record: Bytes, crc: u32) -> Option<Entry> {
    let header = Header::open(&record, segment.id.seed(), entry.place.lsn)?;
    let payload = record.slice(HEADER_BYTES..);
    let (index, term) = (entry.index, entry.place.term);
    let same = header.tag == Tag::Entry
        && (header.shard, header.index, header.term, header.len) == (shard, index, term, entry.place.len)
        && (header.payload_crc == crc || is_planted(Bug::IgnoreChecksum));
    same.then_some(Entry { index, term, kind: header.kind, payload })
}

fn damaged(file: &Path, offset: u64, shard: ShardId, entry: &OnDisk) -> io::Error {
    let (file, index) = (file.display(), entry.index);
    let reason = format!("{file} at byte {offset}: entry {index} of shard {shard} is damaged");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
