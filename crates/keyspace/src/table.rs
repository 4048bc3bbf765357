//! The hash table of one database.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger, Strong, TODS 1979): a directory indexed by the top bits of the
//! hash points to segments of at most [`SEGMENT_LEN_MAX`] records. A full segment splits in two, so growing never
//! moves more than one segment's records at once. A segment keeps its hashes sorted. The whole table is therefore
//! walked in the order of (hash, key), whatever its size and history, which makes scan cursors, random picks and
//! snapshots functions of the contents alone (R11).

mod records;
mod stamp;

use smallvec::SmallVec;

use self::records::Records;
pub(crate) use self::stamp::{Stamp, USE_BITS, VERSION_MAX};
use crate::{key::Key, value::Value, warm::GROUP};

/// Most records in a segment; so many move, at most, when one key is added.
pub(crate) const SEGMENT_LEN_MAX: usize = 512;

/// Two neighbours with fewer records than this together become one segment again.
const MERGE_LEN_MAX: usize = 128;

/// The directory has at most 2^32 places; beyond it segments grow, which takes 2^40 keys.
const DEPTH_MAX: u8 = 32;

/// A segment allocates this many entries more at a time.
const ENTRIES_STEP: usize = 64;

/// The low bits of a hash, which are always zero: a segment keeps the place of the record there.
pub(crate) const SLOT_MASK: u64 = 0xffff;

/// Segments are allocated in chunks of this many, so that adding one never moves the others.
const CHUNK_LEN: usize = 1024;

/// A key and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: Key,
    /// What it holds.
    pub(crate) value: Value,
    /// When it changed, when it ends, when it was used.
    pub(crate) stamp: Stamp,
}

impl Record {
    /// A record that was never used.
    pub(crate) fn new(key: Key, value: Value, expire_at_ms: u64, version: u64) -> Self {
        Self { key, value, stamp: Stamp::new(version, expire_at_ms) }
    }

    /// When it ceases to exist, in milliseconds of the log's time; 0 is never.
    pub(crate) fn expire_at_ms(&self) -> u64 {
        self.stamp.expire_at_ms()
    }

    /// The keyspace's version when it last changed.
    pub(crate) fn version(&self) -> u64 {
        self.stamp.version()
    }

    /// What it takes with its place in the table, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// The place in its segment, and in the list of deadlines.
        const PLACE_BYTES: usize = 12;
        const DEADLINE_BYTES: usize = 24;
        let deadline_bytes = if self.expire_at_ms() != 0 { DEADLINE_BYTES } else { 0 };
        size_of::<Self>() + PLACE_BYTES + deadline_bytes + self.key.heap_bytes() + self.value.memory_bytes()
    }

    /// Notes that it has changed with this version, for whoever watches it.
    pub(crate) fn touch(&mut self, version: u64) {
        self.stamp.set_version(version);
        if let Value::Stream(stream) = &mut self.value {
            stream.forget_aside();
        }
    }

    /// The version of its last change that counts for whoever watches it.
    pub(crate) fn watched_version(&self) -> u64 {
        match &self.value {
            Value::Stream(stream) => stream.watched_version(self.version()),
            _ => self.version(),
        }
    }
}

/// Where a record stands, until the table next gains or loses one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    segment: u32,
    slot: u16,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    /// 2^depth segment numbers, by the top `depth` bits of the hash.
    directory: Vec<u32>,
    depth: u8,
    /// How many segments have each depth, to know when half the directory suffices.
    depth_counts: [u32; DEPTH_MAX as usize + 1],
    chunks: Vec<Vec<Segment>>,
    free: Vec<u32>,
    len: usize,
}

/// The records whose hashes share their top `depth` bits.
#[derive(Debug, Default)]
struct Segment {
    depth: u8,
    /// A hash and, in its low bits, the place of its record: in the order of the hashes, equal ones in the order of
    /// their keys. So close together, a key is found with two cache misses: here, and in `records`.
    entries: Vec<u64>,
    /// In no order.
    records: Records,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table. It allocates its first records with the first insertion.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut depth_counts = [0; DEPTH_MAX as usize + 1];
        depth_counts[0] = 1;
        Self {
            directory: vec![0],
            depth: 0,
            depth_counts,
            chunks: vec![vec![Segment::default()]],
            free: Vec::new(),
            len: 0,
        }
    }

    /// Number of records.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of `key`, whose hash is `hash`, with zeros under [`SLOT_MASK`].
    #[must_use]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let id = self.segment_id(hash);
        let segment = self.segment(id);
        let i = segment.position(hash, key)?;
        Some(Place { segment: id, slot: slot_of(segment.entries[i]) })
    }

    /// The record of `key`, whose hash is `hash`.
    #[must_use]
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&Record> {
        self.find(hash, key).map(|place| self.at(place))
    }

    /// The record at `place`.
    #[must_use]
    pub(crate) fn at(&self, place: Place) -> &Record {
        self.segment(place.segment).records.get(place.slot)
    }

    /// The record at `place`. Its key must not change.
    pub(crate) fn at_mut(&mut self, place: Place) -> &mut Record {
        self.segment_mut(place.segment).records.get_mut(place.slot)
    }

    /// Adds a record whose key is absent. Returns how many records changed their place for it.
    pub(crate) fn insert(&mut self, hash: u64, record: Record) -> usize {
        let mut moved = 0;
        let mut id = self.segment_id(hash);
        while self.segment(id).records.len() >= SEGMENT_LEN_MAX && self.segment(id).depth < DEPTH_MAX {
            moved += self.split(hash, id);
            id = self.segment_id(hash);
        }
        self.segment_mut(id).insert(hash, record);
        self.len += 1;
        moved
    }

    /// Takes out the record of `key`, whose hash is `hash`.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Record> {
        let id = self.segment_id(hash);
        let record = self.segment_mut(id).remove(hash, key)?;
        self.len -= 1;
        if self.segment(id).records.len() < MERGE_LEN_MAX / 2 {
            self.merge(hash, id);
        }
        Some(record)
    }

    /// All records with a hash of at least `from`, in the order of (hash, key).
    pub(crate) fn iter_from(&self, from: u64) -> Iter<'_> {
        let segment = self.segment(self.segment_id(from));
        Iter { table: self, segment, i: segment.lower_bound(from), base: from }
    }

    /// A planted bug: a record by its place in memory, which says how the table came about (R11).
    pub(crate) fn any_by_layout(&self, number: u64) -> Option<&Record> {
        let records = &self.segment(self.segment_id(number)).records;
        let slot = number.checked_rem(records.len() as u64)?;
        Some(records.get(u16::try_from(slot).ok()?))
    }

    /// How many records have a hash in `first..=last`.
    #[must_use]
    pub(crate) fn count_between(&self, first: u64, last: u64) -> usize {
        let mut count = 0;
        let mut base = first;
        loop {
            let segment = self.segment(self.segment_id(base));
            let begin = segment.lower_bound(base);
            let end_of_segment = segment.last_hash(base);
            if end_of_segment >= last {
                let end = last
                    .checked_add(1)
                    .map_or(segment.entries.len(), |end| segment.lower_bound_anywhere(end));
                return count + end - begin;
            }
            count += segment.entries.len() - begin;
            base = end_of_segment + 1;
        }
    }

    /// Takes up to `max` records out, in no particular order, to free them in slices.
    pub(crate) fn release(&mut self, max: usize) -> Vec<Record> {
        let mut out = Vec::new();
        while out.len() < max && !self.chunks.is_empty() {
            let last = self.chunks.len() - 1;
            match self.chunks[last].last_mut() {
                None => {
                    self.chunks.pop();
                }
                Some(segment) if segment.records.is_empty() => {
                    self.chunks[last].pop();
                }
                Some(segment) => {
                    out.extend(std::iter::from_fn(|| segment.records.pop()).take(max - out.len()));
                }
            }
        }
        self.len = self.len.saturating_sub(out.len());
        out
    }

    fn segment_id(&self, hash: u64) -> u32 {
        self.directory[prefix(hash, self.depth)]
    }

    fn segment(&self, id: u32) -> &Segment {
        &self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN]
    }

    fn segment_mut(&mut self, id: u32) -> &mut Segment {
        &mut self.chunks[id as usize / CHUNK_LEN][id as usize % CHUNK_LEN]
    }

    fn add_segment(&mut self, segment: Segment) -> u32 {
        if let Some(id) = self.free.pop() {
            *self.segment_mut(id) = segment;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_LEN) {
            // The first chunk grows with a small table; later ones are allocated whole.
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 1 } else { CHUNK_LEN }));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(segment);
        u32::try_from(chunk * CHUNK_LEN + self.chunks[chunk].len() - 1).expect("fewer than 2^32 segments")
    }

    /// Splits the segment `id`, which holds `hash`, in two. Returns how many records moved.
    fn split(&mut self, hash: u64, id: u32) -> usize {
        let depth = self.segment(id).depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&id| [id, id]).collect();
            self.depth += 1;
        }
        let first = first_hash(hash, depth);
        let middle = first | 1 << (63 - depth);
        let upper = self.segment_mut(id).split_off(middle);
        let moved = upper.records.len() + self.segment(id).records.len();
        let upper_id = self.add_segment(upper);
        self.depth_counts[usize::from(depth)] -= 1;
        self.depth_counts[usize::from(depth) + 1] += 2;
        self.point(middle, depth + 1, upper_id);
        moved
    }

    /// Joins the segment `id`, which holds `hash`, with its sibling if both are small.
    fn merge(&mut self, hash: u64, id: u32) {
        let depth = self.segment(id).depth;
        if depth == 0 {
            return;
        }
        let sibling_id = self.segment_id(hash ^ 1 << (64 - depth));
        let sibling = self.segment(sibling_id);
        if sibling.depth != depth || sibling.records.len() + self.segment(id).records.len() >= MERGE_LEN_MAX {
            return;
        }
        let is_upper = hash & 1 << (64 - depth) != 0;
        let (lower_id, upper_id) = if is_upper { (sibling_id, id) } else { (id, sibling_id) };
        let upper = std::mem::take(self.segment_mut(upper_id));
        self.segment_mut(lower_id).append(upper);
        self.free.push(upper_id);
        self.depth_counts[usize::from(depth)] -= 2;
        self.depth_counts[usize::from(depth) - 1] += 1;
        self.point(first_hash(hash, depth - 1), depth - 1, lower_id);
        self.halve();
    }

    /// Gives back half of the directory as long as a quarter would do, so that one split does not bring it back.
    fn halve(&mut self) {
        while self.depth >= 2 && self.depth_counts[usize::from(self.depth) - 1..].iter().all(|&n| n == 0) {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
        }
    }

    /// Lets all places of the directory for hashes that begin like `first` in `depth` bits point to `id`.
    fn point(&mut self, first: u64, depth: u8, id: u32) {
        let begin = prefix(first, self.depth);
        let places = 1 << (self.depth - depth);
        self.directory[begin..begin + places].fill(id);
    }
}

/// Reads what leads to the values of these hashes, step by step for all of them: see [`crate::warm`]. The result is
/// there so that the reads are not left out.
pub(crate) fn touch(places: &[(&Table, u64)]) -> u64 {
    let mut sum = 0;
    let segments: SmallVec<[(&Segment, u64); GROUP]> =
        places.iter().map(|(table, hash)| (table.segment(table.segment_id(*hash)), *hash)).collect();
    for (segment, hash) in &segments {
        sum ^= segment.entries.get(segment.guess(*hash)).copied().unwrap_or_default();
    }
    let mut slots: SmallVec<[(&Records, u16); GROUP]> = SmallVec::new();
    for (segment, hash) in &segments {
        let i = segment.lower_bound(*hash);
        if segment.has_hash(i, *hash) {
            let slot = slot_of(segment.entries[i]);
            sum ^= segment.records.page_len(slot) as u64;
            slots.push((&segment.records, slot));
        }
    }
    for (records, slot) in &slots {
        sum ^= records.get(*slot).version();
    }
    for (records, slot) in &slots {
        sum ^= records.get(*slot).value.touch();
    }
    sum
}

/// The top `depth` bits.
fn prefix(hash: u64, depth: u8) -> usize {
    hash.checked_shr(64 - u32::from(depth)).unwrap_or(0) as usize
}

/// The smallest hash with the same top `depth` bits.
fn first_hash(hash: u64, depth: u8) -> u64 {
    hash & !u64::MAX.checked_shr(u32::from(depth)).unwrap_or(0)
}

impl Segment {
    /// The last hash that belongs into this segment, given one that does.
    fn last_hash(&self, hash: u64) -> u64 {
        first_hash(hash, self.depth) | u64::MAX >> self.depth
    }

    /// The position of the first hash that is not less than `hash`, which must belong into this segment.
    ///
    /// Hashes are spread evenly, so the first guess is off by about the square root of the length (interpolation
    /// search; Perl, Itai, Avni, CACM 1978), which is a cache line or two.
    fn lower_bound(&self, hash: u64) -> usize {
        let entries = &self.entries[..];
        let Some(entry) = entry_at_least(hash) else { return entries.len() };
        let mut i = self.guess(hash);
        while i < entries.len() && entries[i] < entry {
            i += 1;
        }
        while i > 0 && entries[i - 1] >= entry {
            i -= 1;
        }
        i
    }

    /// About where a hash stands that belongs into this segment.
    fn guess(&self, hash: u64) -> usize {
        ((u128::from(hash << self.depth) * self.entries.len() as u128) >> 64) as usize
    }

    /// The same for any hash.
    fn lower_bound_anywhere(&self, hash: u64) -> usize {
        entry_at_least(hash).map_or(self.entries.len(), |entry| self.entries.partition_point(|&e| e < entry))
    }

    /// Where the entry of `key` is.
    fn position(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let mut i = self.lower_bound(hash);
        while self.has_hash(i, hash) {
            if self.record(self.entries[i]).key.as_bytes() == key {
                return Some(i);
            }
            i += 1;
        }
        None
    }

    fn has_hash(&self, i: usize, hash: u64) -> bool {
        self.entries.get(i).is_some_and(|&entry| hash_of(entry) == hash)
    }

    fn record(&self, entry: u64) -> &Record {
        self.records.get(slot_of(entry))
    }

    fn insert(&mut self, hash: u64, record: Record) {
        assert_eq!(hash & SLOT_MASK, 0, "the low bits of a hash are zero");
        let mut i = self.lower_bound(hash);
        while self.has_hash(i, hash) && self.record(self.entries[i]).key.as_bytes() < record.key.as_bytes() {
            i += 1;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(ENTRIES_STEP);
        }
        self.entries.insert(i, entry(hash, self.records.len()));
        self.records.push(record);
    }

    fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Record> {
        let i = self.position(hash, key)?;
        let slot = slot_of(self.entries.remove(i));
        let record = self.records.swap_remove(slot);
        let last = self.records.len();
        if usize::from(slot) != last {
            let moved = self.entries.iter_mut().find(|entry| usize::from(slot_of(**entry)) == last);
            let moved = moved.expect("every record has its entry");
            *moved = entry(hash_of(*moved), slot.into());
        }
        if self.entries.len() + 2 * ENTRIES_STEP < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() + ENTRIES_STEP);
        }
        Some(record)
    }

    /// Keeps what is below `middle` and returns the rest; both one bit deeper.
    fn split_off(&mut self, middle: u64) -> Self {
        let at = self.lower_bound_anywhere(middle);
        let upper = self.entries.split_off(at);
        let mut records: Vec<Option<Record>> =
            std::mem::take(&mut self.records).into_iter().map(Some).collect();
        let lower = std::mem::take(&mut self.entries);
        let mut part = |old: Vec<u64>| {
            let mut part = Self { depth: self.depth + 1, ..Self::default() };
            part.entries.reserve_exact(old.len().next_multiple_of(ENTRIES_STEP));
            for old_entry in old {
                part.entries.push(entry(hash_of(old_entry), part.records.len()));
                let record = records[usize::from(slot_of(old_entry))].take();
                part.records.push(record.expect("every record has one entry"));
            }
            part
        };
        let upper = part(upper);
        *self = part(lower);
        upper
    }

    /// Takes in the sibling with the higher hashes; one bit less deep.
    fn append(&mut self, upper: Self) {
        let base = self.records.len();
        self.depth -= 1;
        self.entries.extend(upper.entries.iter().map(|&e| entry(hash_of(e), base + usize::from(slot_of(e)))));
        upper.records.into_iter().for_each(|record| self.records.push(record));
    }
}

/// A hash with the place of its record in the low bits.
fn entry(hash: u64, slot: usize) -> u64 {
    hash | u64::from(u16::try_from(slot).expect("a segment has at most 2^16 records"))
}

fn hash_of(entry: u64) -> u64 {
    entry & !SLOT_MASK
}

fn slot_of(entry: u64) -> u16 {
    (entry & SLOT_MASK) as u16
}

/// The lowest entry that a hash of at least `hash` can have, if there is such a hash.
fn entry_at_least(hash: u64) -> Option<u64> {
    hash.checked_add(SLOT_MASK).map(hash_of)
}

const _: () = assert!(size_of::<Record>() == 64, "a record fills a cache line");

/// See [`Table::iter_from`].
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    table: &'a Table,
    segment: &'a Segment,
    i: usize,
    /// A hash that belongs into `segment`.
    base: u64,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (u64, &'a Record);

    fn next(&mut self) -> Option<Self::Item> {
        while self.i == self.segment.entries.len() {
            self.base = self.segment.last_hash(self.base).checked_add(1)?;
            self.segment = self.table.segment(self.table.segment_id(self.base));
            self.i = 0;
        }
        let entry = self.segment.entries[self.i];
        self.i += 1;
        Some((hash_of(entry), self.segment.record(entry)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{random::Random, types::string::Str};

    fn record(key: &[u8], version: u64) -> Record {
        Record::new(Key::new(key), Str::new(b"v").into(), 0, version)
    }

    fn contents(table: &Table) -> Vec<(u64, Vec<u8>, u64)> {
        table.iter_from(0).map(|(hash, r)| (hash, r.key.as_bytes().to_vec(), r.version())).collect()
    }

    #[test]
    fn behaves_like_a_sorted_map_through_growth_and_shrinking() {
        let mut random = Random::new(1);
        let mut table = Table::new();
        let mut model = BTreeMap::new();
        for round in 0..60_000_u64 {
            // Few distinct top bits and a narrow key space bring about deep splits, merges and equal hashes.
            let n = random.below(12_000);
            let key = n.to_string().into_bytes();
            let hash = (n / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !SLOT_MASK;
            let grow = round < 30_000;
            if random.below(10) < if grow { 8 } else { 2 } {
                if table.find(hash, &key).is_none() {
                    table.insert(hash, record(&key, round));
                    assert!(model.insert((hash, key), round).is_none());
                }
            } else {
                let removed = table.remove(hash, &key).map(|r| r.version());
                assert_eq!(removed, model.remove(&(hash, key)));
            }
            assert_eq!(table.len(), model.len());
        }
        let expected: Vec<_> = model.iter().map(|((hash, key), v)| (*hash, key.clone(), *v)).collect();
        assert_eq!(contents(&table), expected);
        for _ in 0..200 {
            let (a, b) = (random.next_u64(), random.next_u64());
            let (a, b) = (a.min(b), a.max(b));
            let count = expected.iter().filter(|(hash, ..)| (a..=b).contains(hash)).count();
            assert_eq!(table.count_between(a, b), count);
            let from = table.iter_from(a).next().map(|(hash, _)| hash);
            assert_eq!(from, expected.iter().map(|(hash, ..)| *hash).find(|&hash| hash >= a));
        }
        assert_eq!(table.count_between(0, u64::MAX), expected.len());
        for (hash, key, _) in expected {
            assert!(table.remove(hash, &key).is_some());
        }
        assert!(
            table.directory.len() <= 4,
            "an empty table gives its directory back: {}",
            table.directory.len()
        );
    }

    #[test]
    fn no_insertion_moves_more_than_one_segment() {
        let mut random = Random::new(2);
        let mut table = Table::new();
        let mut moved_max = 0;
        for n in 0..200_000_u64 {
            moved_max =
                moved_max.max(table.insert(random.next_u64() & !SLOT_MASK, record(&n.to_le_bytes(), n)));
        }
        assert!((1..=SEGMENT_LEN_MAX).contains(&moved_max), "{moved_max}");
    }

    #[test]
    fn hashes_at_both_ends_are_found() {
        let mut table = Table::new();
        const LAST: u64 = !SLOT_MASK;
        for (hash, key) in [(0, b"a"), (LAST, b"b"), (0, b"c"), (LAST, b"d")] {
            table.insert(hash, record(key, 0));
        }
        assert_eq!(table.iter_from(0).count(), 4);
        assert_eq!(table.iter_from(1).count(), 2);
        assert_eq!(table.iter_from(LAST).count(), 2);
        assert_eq!(table.iter_from(u64::MAX).count(), 0);
        assert_eq!(table.count_between(0, 0), 2);
        assert_eq!(table.count_between(LAST, u64::MAX), 2);
        assert_eq!(table.count_between(1, LAST), 2);
        assert_eq!(table.count_between(0, u64::MAX), 4);
        assert!(table.get(LAST, b"d").is_some());
        assert!(table.get(LAST, b"a").is_none());
    }

    #[test]
    fn release_gives_everything_back_in_slices() {
        let mut random = Random::new(3);
        let mut table = Table::new();
        for n in 0..5_000_u64 {
            table.insert(random.next_u64() & !SLOT_MASK, record(&n.to_le_bytes(), n));
        }
        let mut released = 0;
        loop {
            let slice = table.release(700);
            assert!(slice.len() <= 700);
            released += slice.len();
            if slice.is_empty() {
                break;
            }
        }
        assert_eq!(released, 5_000);
    }
}
