//! Keys with values in the order of the keys' hashes: what large sets and hashes are kept in.
//!
//! The hash is keyed by the cluster's secret and stands in the entry. So the order, scan cursors and random picks follow
//! from the contents alone (R11), nobody can choose keys that collide, and a set that is compared with another one need
//! not be hashed again.

mod pair;

use std::cmp::Ordering;

pub(crate) use self::pair::Pair;
use crate::tree::{Range, Seek, Tree};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashed {
    entries: Tree<Entry>,
    /// Allocated by the pairs.
    heap_bytes: usize,
}

/// A key with its value and its hash.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    hash: u64,
    pair: Pair,
}

impl Entry {
    /// A key, whose hash is `hash`, and its value.
    pub(crate) fn new(hash: u64, key: &[u8], value: &[u8]) -> Self {
        Self { hash, pair: Pair::new(key, value) }
    }

    /// The key's hash.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        self.pair.key()
    }

    /// The value.
    pub(crate) fn value(&self) -> &[u8] {
        self.pair.value()
    }

    fn compare(&self, hash: u64, key: &[u8]) -> Ordering {
        self.hash.cmp(&hash).then_with(|| self.key().cmp(key))
    }
}

/// A key that is looked for.
struct Sought<'a> {
    hash: u64,
    key: &'a [u8],
}

impl Seek<Entry> for Sought<'_> {
    fn order(&self, entry: &Entry) -> Ordering {
        entry.compare(self.hash, self.key)
    }

    fn number(entry: &Entry) -> u64 {
        entry.hash
    }

    fn wanted(&self) -> u64 {
        self.hash
    }
}

impl Hashed {
    /// Of entries in any order, no two of which have the same key.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| a.compare(b.hash, b.key()));
        let heap_bytes = entries.iter().map(|entry| entry.pair.heap_bytes()).sum();
        Self { entries: Tree::from_ordered(entries), heap_bytes }
    }

    /// Of entries that must be in order; `None` if they are not, or if a key is there twice.
    pub(crate) fn from_ordered(entries: Vec<Entry>) -> Option<Self> {
        let in_order = entries.is_sorted_by(|a, b| a.compare(b.hash, b.key()).is_lt());
        in_order.then(|| Self::new(entries))
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes allocated, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// Leaves have next to no room to spare.
        const ENTRY_BYTES: usize = size_of::<Entry>() * 9 / 8;
        size_of::<Self>() + self.len() * ENTRY_BYTES + self.heap_bytes
    }

    /// The entry of a key.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.entries.find(&Sought { hash, key })
    }

    /// The entry at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Entry> {
        self.entries.get(position)
    }

    /// All entries from a position on.
    ///
    /// # Panics
    /// If it is beyond the end.
    pub(crate) fn iter_from(&self, position: usize) -> Range<'_, Entry> {
        self.entries.range(position..self.entries.len())
    }

    /// All entries from a hash on, with their hashes.
    pub(crate) fn iter_from_hash(&self, hash: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let position = self.entries.position(|entry| entry.hash < hash);
        self.iter_from(position).map(|entry| (entry.hash, entry))
    }

    /// Gives a key a value. True if the key is new.
    pub(crate) fn insert(&mut self, hash: u64, key: &[u8], value: &[u8]) -> bool {
        let sought = Sought { hash, key };
        let Some(old) = self.entries.find(&sought) else {
            let entry = Entry::new(hash, key, value);
            self.heap_bytes += entry.pair.heap_bytes();
            self.entries.insert_at(&sought, entry);
            return true;
        };
        if old.value() != value {
            let old_bytes = old.pair.heap_bytes();
            let new_bytes = self.entries.update_at(&sought, |entry| {
                entry.pair.set_value(value);
                entry.pair.heap_bytes()
            });
            self.heap_bytes = self.heap_bytes + new_bytes - old_bytes;
        }
        false
    }

    /// Removes a key. False if it is not there.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let sought = Sought { hash, key };
        let found = self.entries.find(&sought).is_some();
        if found {
            self.heap_bytes -= self.entries.remove_at(&sought).pair.heap_bytes();
        }
        found
    }

    /// Removes the entry at a position, if there is one.
    pub(crate) fn remove_at(&mut self, position: usize) {
        if let Some(entry) = self.entries.remove(position) {
            self.heap_bytes -= entry.pair.heap_bytes();
        }
    }

    /// Roughly how many allocations go when it goes.
    pub(crate) fn pieces(&self) -> usize {
        1 + self.len()
    }

    /// Frees about `max` entries and tells how many; 0 at the end.
    pub(crate) fn release(&mut self, max: usize) -> usize {
        self.entries.release(max)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, Vec<u8>),
        Remove(u8),
        RemoveAt(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let value = (0_usize..400, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
        let step = prop_oneof![
            4 => (any::<u8>(), value).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => any::<u8>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveAt),
        ];
        prop::collection::vec(step, 0..300)
    }

    /// Few hashes, so that many keys share one.
    fn hash(key: u8) -> u64 {
        u64::from(key % 8) << 50
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_hashes(steps in steps()) {
            let mut model: BTreeMap<(u64, Vec<u8>), Vec<u8>> = BTreeMap::new();
            let mut hashed = Hashed::default();
            let clone = hashed.clone();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        let is_new = hashed.insert(hash(key), &[key], &value);
                        prop_assert_eq!(is_new, model.insert((hash(key), vec![key]), value).is_none());
                    }
                    Step::Remove(key) => {
                        let removed = hashed.remove(hash(key), &[key]);
                        prop_assert_eq!(removed, model.remove(&(hash(key), vec![key])).is_some());
                    }
                    Step::RemoveAt(_) if model.is_empty() => hashed.remove_at(0),
                    Step::RemoveAt(position) => {
                        let position = position % model.len();
                        let key = model.keys().nth(position).unwrap().clone();
                        model.remove(&key);
                        hashed.remove_at(position);
                    }
                }
            }
            prop_assert_eq!(hashed.len(), model.len());
            prop_assert_eq!(clone.len(), 0);
            let all = hashed.iter_from(0).map(|e| ((e.hash(), e.key().to_vec()), e.value().to_vec()));
            prop_assert!(all.eq(model.clone()));
            for (position, ((hash, key), value)) in model.iter().enumerate() {
                prop_assert_eq!(hashed.get(*hash, key).map(Entry::value), Some(&value[..]));
                prop_assert_eq!(hashed.at(position).map(Entry::key), Some(&key[..]));
            }
            let entries: Vec<Entry> = hashed.iter_from(0).cloned().collect();
            let heap_bytes: usize = entries.iter().map(|entry| entry.pair.heap_bytes()).sum();
            prop_assert_eq!(hashed.heap_bytes, heap_bytes);
            let again = Hashed::from_ordered(entries.clone()).unwrap();
            prop_assert_eq!(again.heap_bytes, heap_bytes);
            prop_assert!(entries.len() < 2 || Hashed::from_ordered(entries.into_iter().rev().collect()).is_none());
        }
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }
}
