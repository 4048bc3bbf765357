//! The file `votes`: the last vote of each shard, in two copies.
//!
//! Each shard has a slot of two pages, one for each copy. A vote is written to copy A and fsynced, then to copy
//! B and fsynced, and only then complete: at every moment one copy is whole, and a vote that was completed
//! stands in both, so that no single damaged page makes a node forget it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_env::{Disk, Op};

use crate::entry::{SHARDS_MAX, ShardId};

/// The longest vote, in bytes.
pub const VOTE_BYTES_MAX: usize = 256;

const NAME: &str = "votes";
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: u64 = 2 * PAGE_BYTES as u64;
const MAGIC: u32 = 0x5451_5256;
const FIXED_BYTES: usize = 4 + 4 + 4 + 4 + 8;

/// The last vote of each shard.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    saved: BTreeMap<ShardId, Saved>,
    /// Slots without an owner, to be used again.
    free: Vec<u32>,
    /// Slots in the file.
    count: u32,
}

#[derive(Debug, Clone)]
struct Saved {
    slot: u32,
    sequence: u64,
    vote: Bytes,
}

/// Votes to write in one go: slot and page.
pub(crate) type VotePages = BTreeMap<u32, Bytes>;

/// What the file was found to hold.
#[derive(Debug, Default)]
pub(crate) struct FoundVotes {
    pub(crate) votes: Votes,
    /// A completed vote cannot be read.
    pub(crate) lost: bool,
    /// What makes both copies of every vote whole and durable.
    pub(crate) repair: Vec<Op>,
}

impl Votes {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    pub(crate) fn get(&self, shard: ShardId) -> Option<Bytes> {
        self.saved.get(&shard).map(|saved| saved.vote.clone())
    }

    /// Notes a vote and returns where it is written.
    pub(crate) fn set(&mut self, shard: ShardId, vote: Bytes) -> (u32, Bytes) {
        assert!(vote.len() <= VOTE_BYTES_MAX);
        let (slot, sequence) = match self.saved.get(&shard) {
            Some(saved) => (saved.slot, saved.sequence + 1),
            None => (self.new_slot(), 1),
        };
        let page = encode(shard, sequence, &vote);
        self.saved.insert(shard, Saved { slot, sequence, vote });
        (slot, page)
    }

    fn new_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }

    pub(crate) fn has_room_for(&self, shard: ShardId) -> bool {
        self.saved.contains_key(&shard) || self.saved.len() < SHARDS_MAX
    }

    /// What empties slots without an owner, whose contents would be taken for a lost vote again.
    pub(crate) fn clear_free_slots(&self, dir: &Path) -> Vec<Op> {
        let zeros = Bytes::from(vec![0; PAGE_BYTES]);
        save_ops(dir, &self.free.iter().map(|slot| (*slot, zeros.clone())).collect())
    }
}

/// What writes votes durably: all copies A, then all copies B.
pub(crate) fn save_ops(dir: &Path, pages: &VotePages) -> Vec<Op> {
    if pages.is_empty() {
        return Vec::new();
    }
    let copies =
        |copy: u64| pages.iter().map(move |(slot, page)| (offset(*slot, copy), page.clone())).collect();
    let path: Arc<Path> = Votes::path(dir).into();
    let mut ops = write_and_sync(&path, copies(0));
    ops.extend(write_and_sync(&path, copies(1)));
    ops
}

fn write_and_sync(path: &Arc<Path>, pages: Vec<(u64, Bytes)>) -> Vec<Op> {
    let write = |(offset, page)| Op::Write { path: path.clone(), offset, bufs: vec![page] };
    let mut ops: Vec<Op> = pages.into_iter().map(write).collect();
    ops.push(Op::Sync { path: path.clone() });
    ops
}

fn offset(slot: u32, copy: u64) -> u64 {
    u64::from(slot) * SLOT_BYTES + copy * PAGE_BYTES as u64
}

/// Reads the file. One that is not there holds no votes.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<FoundVotes> {
    let path: Arc<Path> = Votes::path(dir).into();
    let len = disk.len(&path)?.unwrap_or(0);
    let mut found = FoundVotes::default();
    found.votes.count = u32::try_from(len.div_ceil(SLOT_BYTES).min(2 * SHARDS_MAX as u64)).expect("limited");
    // The copy that is worse is made whole first, and the better one only when that is durable.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for slot in 0..found.votes.count {
        let a = read_page(disk, &path, offset(slot, 0))?;
        let b = read_page(disk, &path, offset(slot, 1))?;
        let (vote_a, vote_b) = (decode(&a), decode(&b));
        let (sequence_a, sequence_b) = (sequence(&vote_a), sequence(&vote_b));
        let Some((shard, sequence, vote)) = (if sequence_a > sequence_b { vote_a } else { vote_b }) else {
            // A vote is complete when copy B is durable: before the first one, copy B has never been written.
            found.lost |= b.iter().any(|byte| *byte != 0);
            found.votes.free.push(slot);
            continue;
        };
        let page = encode(shard, sequence, &vote);
        let worse = u64::from(sequence_a > sequence_b);
        first.push((offset(slot, worse), page.clone()));
        second.push((offset(slot, 1 - worse), page));
        found.votes.note(shard, Saved { slot, sequence, vote });
    }
    if !first.is_empty() {
        found.repair = write_and_sync(&path, first);
        found.repair.extend(write_and_sync(&path, second));
    }
    Ok(found)
}

impl Votes {
    fn note(&mut self, shard: ShardId, saved: Saved) {
        // A slot that was free and held a former vote of the same shard loses to the newer one.
        match self.saved.get(&shard) {
            Some(other) if other.sequence >= saved.sequence => self.free.push(saved.slot),
            _ => self.saved.insert(shard, saved).into_iter().for_each(|old| self.free.push(old.slot)),
        }
    }
}

fn sequence(vote: &Option<(ShardId, u64, Bytes)>) -> Option<u64> {
    vote.as_ref().map(|(_, sequence, _)| *sequence)
}

fn read_page(disk: &dyn Disk, path: &Path, offset: u64) -> io::Result<Bytes> {
    let mut page = BytesMut::with_capacity(PAGE_BYTES);
    while page.len() < PAGE_BYTES {
        let more = disk.read(path, offset + page.len() as u64, PAGE_BYTES - page.len())?;
        if more.is_empty() {
            break;
        }
        page.put_slice(&more);
    }
    Ok(page.freeze())
}

fn encode(shard: ShardId, sequence: u64, vote: &[u8]) -> Bytes {
    let mut page = BytesMut::with_capacity(PAGE_BYTES);
    page.put_u32_le(MAGIC);
    page.put_u32_le(0);
    page.put_u32_le(shard.0);
    page.put_u32_le(u32::try_from(vote.len()).expect("votes are limited"));
    page.put_u64_le(sequence);
    page.put_slice(vote);
    page.resize(PAGE_BYTES, 0);
    let crc = crc32c::crc32c(&page);
    page[4..8].copy_from_slice(&crc.to_le_bytes());
    page.freeze()
}

fn decode(page: &Bytes) -> Option<(ShardId, u64, Bytes)> {
    if page.len() != PAGE_BYTES {
        return None;
    }
    let mut fields = &page[..];
    let (magic, crc) = (fields.get_u32_le(), fields.get_u32_le());
    let shard = ShardId(fields.get_u32_le());
    let len = fields.get_u32_le() as usize;
    let sequence = fields.get_u64_le();
    let zeroed = crc32c::crc32c_append(crc32c::crc32c(&page[..4]), &[0; 4]);
    let valid = magic == MAGIC && len <= VOTE_BYTES_MAX && crc == crc32c::crc32c_append(zeroed, &page[8..]);
    valid.then(|| (shard, sequence, Bytes::copy_from_slice(&page[FIXED_BYTES..FIXED_BYTES + len])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_and_damage_anywhere_is_seen() {
        let page = encode(ShardId(7), 3, b"term 5");
        assert_eq!(decode(&page), Some((ShardId(7), 3, Bytes::from_static(b"term 5"))));
        for bit in (0..256).chain(PAGE_BYTES * 8 - 64..PAGE_BYTES * 8) {
            let mut damaged = page.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged.into()), None, "bit {bit}");
        }
    }
}
