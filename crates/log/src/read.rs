//! Reading entries back from disk. What does not verify is an error, never data.

use std::io;
use std::path::Path;

use bytes::Bytes;
use quorate_env::Disk;

use crate::entry::{Entry, ShardId};
use crate::plan::{OnDisk, ReadPlan};
use crate::record::{HEADER_BYTES, Header, Tag};
use crate::scan::read_full;
use crate::segment::Segment;

/// Entries of one shard stand between those of others: up to such a gap they are read together.
const GAP_BYTES_MAX: u64 = 16 << 10;

/// The most that is read at once, unless one entry is larger.
const READ_BYTES_MAX: u64 = 8 << 20;

/// Carries out a read. Blocks unless everything is in memory.
pub(crate) fn read(disk: &dyn Disk, shard: ShardId, plan: ReadPlan) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(plan.on_disk.len() + plan.cached.len());
    let mut rest = &plan.on_disk[..];
    while let Some(first) = rest.first() {
        let segment = &plan.segments[plan.segments.partition_point(|s| s.start <= first.place.lsn) - 1];
        let segment_end = plan.segments.iter().map(|s| s.start).find(|start| *start > first.place.lsn);
        let count = together(rest, segment_end);
        let (now, later) = rest.split_at(count);
        read_together(disk, shard, segment, now, &mut entries)?;
        rest = later;
    }
    entries.extend(plan.cached);
    Ok(entries)
}

/// How many of the entries, which are not empty, are read at once.
fn together(entries: &[OnDisk], segment_end: Option<u64>) -> usize {
    let first = &entries[0].place;
    let joins = |pair: &[OnDisk]| {
        let (before, next) = (&pair[0].place, &pair[1].place);
        next.lsn - before.end() <= GAP_BYTES_MAX
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
        let read = record.and_then(|record| verify(shard, segment, entry, bytes.slice_ref(record)));
        out.push(read.ok_or_else(|| damaged(&segment.path, segment.offset(entry.place.lsn), shard, entry))?);
    }
    Ok(())
}

fn verify(shard: ShardId, segment: &Segment, entry: &OnDisk, record: Bytes) -> Option<Entry> {
    let header = Header::open(&record, segment.id.seed(), entry.place.lsn)?;
    let payload = record.slice(HEADER_BYTES..);
    let (index, term) = (entry.index, entry.place.term);
    let same = header.tag == Tag::Entry
        && (header.shard, header.index, header.term, header.len) == (shard, index, term, entry.place.len)
        && header.payload_crc == crc32c::crc32c(&payload);
    same.then_some(Entry { index, term, kind: header.kind, payload })
}

fn damaged(file: &Path, offset: u64, shard: ShardId, entry: &OnDisk) -> io::Error {
    let (file, index) = (file.display(), entry.index);
    let reason = format!("{file} at byte {offset}: entry {index} of shard {shard} is damaged");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
