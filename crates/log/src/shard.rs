//! One shard's log in memory: where each entry stands, and the recent entries themselves.

use std::collections::VecDeque;

use crate::entry::{Entry, IndexTerm, ShardState};
use crate::record::HEADER_BYTES;

/// Where an entry stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lsn: u64,
    pub(crate) term: u64,
    /// Bytes of its payload.
    pub(crate) len: u32,
}

impl Place {
    pub(crate) fn size(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len)
    }

    pub(crate) fn end(&self) -> u64 {
        self.lsn + self.size()
    }
}

/// One shard's log in memory.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    purged: Option<IndexTerm>,
    /// Only while recovering: the last entry that stood in segments that are gone. Unless a later purge
    /// forgets it, entries are missing.
    missing: Option<IndexTerm>,
    /// Index of the first place.
    first: u64,
    places: VecDeque<Place>,
    /// The most recent entries: the last of `places`, in the same order.
    cached: VecDeque<Entry>,
    /// Entries below have been handed to who applies them; `None`: nobody says.
    released: Option<u64>,
    bytes: u64,
}

impl Shard {
    /// What a start record says of a shard.
    pub(crate) fn from_start(purged: Option<IndexTerm>, last: Option<IndexTerm>) -> Shard {
        let missing = if last.map(|l| l.0) > purged.map(|p| p.0) { last } else { None };
        Shard { purged, missing, ..Shard::default() }
    }

    /// Whether entries stood in segments that are gone, and nothing has purged them yet.
    pub(crate) fn has_gap(&self) -> bool {
        self.missing.is_some()
    }

    pub(crate) fn purged(&self) -> Option<IndexTerm> {
        self.purged
    }

    pub(crate) fn last(&self) -> Option<IndexTerm> {
        match self.places.back() {
            Some(place) => Some((self.first + self.places.len() as u64 - 1, place.term)),
            None => self.missing.or(self.purged),
        }
    }

    pub(crate) fn state(&self) -> ShardState {
        ShardState { purged: self.purged, last: self.last(), bytes: self.bytes }
    }

    /// The index of the oldest live entry, or where the next one goes.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The end of the range of live indexes.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// What the places take in memory.
    pub(crate) fn index_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place>() + self.cached.capacity() * size_of::<Entry>()
    }

    /// The last entry that ends at or before `lsn`.
    pub(crate) fn last_before(&self, lsn: u64) -> Option<u64> {
        let count = self.places.partition_point(|place| place.end() <= lsn) as u64;
        count.checked_sub(1).map(|last| self.first + last)
    }

    pub(crate) fn place(&self, index: u64) -> Option<&Place> {
        self.places.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        match self.purged {
            Some((purged, term)) if purged == index => Some(term),
            _ => self.place(index).map(|place| place.term),
        }
    }

    /// Whether an entry with `index` may come next: behind the last one, or anywhere in a log that never had one.
    pub(crate) fn may_append(&self, index: u64) -> bool {
        self.last().is_none_or(|(last, _)| last.checked_add(1) == Some(index))
    }

    pub(crate) fn push(&mut self, index: u64, place: Place) {
        assert!(self.may_append(index), "entries are contiguous");
        if self.places.is_empty() {
            self.first = index;
        }
        self.bytes += place.size();
        self.places.push_back(place);
    }

    /// Keeps an entry that was just pushed in memory.
    pub(crate) fn cache(&mut self, entry: Entry) {
        debug_assert_eq!(entry.index + 1, self.end());
        self.cached.push_back(entry);
    }

    /// The entry, if it is in memory.
    pub(crate) fn cached(&self, index: u64) -> Option<&Entry> {
        let first = self.end() - self.cached.len() as u64;
        self.cached.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// Where the oldest entry in memory stands.
    pub(crate) fn cached_from(&self) -> Option<&Place> {
        if self.cached.is_empty() {
            return None;
        }
        self.places.get(self.places.len() - self.cached.len())
    }

    /// Whether the entry that stands at `lsn` is live and in memory.
    pub(crate) fn has_cached_at(&self, lsn: u64) -> bool {
        self.cached_from().is_some_and(|from| from.lsn <= lsn)
            && self.places.binary_search_by_key(&lsn, |place| place.lsn).is_ok()
    }

    /// Entries below `index` have been handed to who applies them.
    pub(crate) fn release(&mut self, index: u64) {
        self.released = self.released.max(Some(index));
    }

    /// Whether the oldest entry in memory has been handed to who applies it.
    pub(crate) fn oldest_cached_is_released(&self) -> bool {
        self.released.is_none_or(|below| self.end() - (self.cached.len() as u64) < below)
    }

    /// Drops the oldest entry in memory.
    pub(crate) fn evict(&mut self) -> Option<Entry> {
        self.cached.pop_front()
    }

    /// Removes entries from `from` on; `gone` gets the place of each and what memory held of it.
    pub(crate) fn truncate(&mut self, from: u64, mut gone: impl FnMut(Place, Option<Entry>)) {
        while !self.places.is_empty() && self.end() > from {
            self.bytes -= self.places.back().map_or(0, Place::size);
            let entry = self.cached.pop_back();
            self.places.pop_back().into_iter().for_each(|place| gone(place, entry.clone()));
        }
        if let Some((missing, _)) = self.missing
            && missing >= from
        {
            // The term of the new last entry stood in a segment that is gone; whatever comes of it, an entry
            // that is missing for good is reported as damage.
            let below = from.checked_sub(1).filter(|b| self.purged.is_none_or(|(purged, _)| *b > purged));
            self.missing = below.map(|index| (index, 0));
        }
    }

    /// Forgets entries up to `upto`; behind the last one, the log is empty and goes on from there.
    pub(crate) fn purge(&mut self, upto: IndexTerm, mut gone: impl FnMut(Place, Option<Entry>)) {
        if self.purged.is_some_and(|(purged, _)| purged >= upto.0) {
            return;
        }
        while !self.places.is_empty() && self.first <= upto.0 {
            let in_memory = self.cached.len() == self.places.len();
            let entry = if in_memory { self.cached.pop_front() } else { None };
            self.bytes -= self.places.front().map_or(0, Place::size);
            self.places.pop_front().into_iter().for_each(|place| gone(place, entry.clone()));
            self.first += 1;
        }
        self.purged = Some(upto);
        self.missing = self.missing.filter(|(index, _)| *index > upto.0);
        if self.places.is_empty() {
            self.first = upto.0.saturating_add(1);
        }
    }

    /// Forgets everything; the next entry is behind `last`.
    pub(crate) fn reset(&mut self, last: IndexTerm, gone: impl FnMut(Place, Option<Entry>)) {
        self.truncate(0, gone);
        self.purged = Some(last);
        self.missing = None;
        self.first = last.0.saturating_add(1);
    }

    /// After recovery: whether entries are missing between `purged` and the first place. If so the log is
    /// emptied, as an intact prefix has no gap. Returns the last missing index.
    pub(crate) fn drop_behind_gap(&mut self) -> Option<u64> {
        let (missing, _) = self.missing.take()?;
        self.truncate(0, |_, _| ());
        self.first = self.purged.map_or(0, |(index, _)| index + 1);
        Some(missing)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn shard(range: std::ops::Range<u64>) -> Shard {
        let mut shard = Shard::default();
        for index in range {
            shard.push(index, Place { lsn: index * 100, term: 1, len: 10 });
            shard.cache(Entry { index, term: 1, kind: 0, payload: Bytes::new() });
        }
        shard
    }

    #[test]
    fn truncate_and_purge_leave_the_range_between() {
        let mut shard = shard(0..10);
        shard.truncate(8, |_, _| ());
        shard.purge((3, 1), |_, _| ());
        assert_eq!(shard.state(), ShardState { purged: Some((3, 1)), last: Some((7, 1)), bytes: 4 * 50 });
        assert!(shard.may_append(8) && !shard.may_append(9));
        assert_eq!((shard.term_of(3), shard.term_of(4), shard.term_of(8)), (Some(1), Some(1), None));
        assert_eq!(shard.cached(4).map(|e| e.index), Some(4));
    }

    #[test]
    fn a_purge_behind_the_end_empties_the_log_and_moves_it() {
        let mut shard = shard(0..3);
        shard.purge((9, 4), |_, _| ());
        assert_eq!(shard.state(), ShardState { purged: Some((9, 4)), last: Some((9, 4)), bytes: 0 });
        assert!(shard.may_append(10));
    }

    #[test]
    fn evicted_entries_keep_their_place() {
        let mut shard = shard(0..3);
        shard.evict();
        assert!(shard.cached(0).is_none() && shard.place(0).is_some());
        assert_eq!(shard.cached_from().map(|place| place.lsn), Some(100));
        let mut gone = Vec::new();
        shard.purge((1, 1), |place, entry| gone.push((place.lsn, entry.is_some())));
        assert_eq!(gone, [(0, false), (100, true)]);
    }

    #[test]
    fn what_an_older_segment_held_is_missing_until_a_purge_forgets_it() {
        let mut shard = Shard::from_start(Some((4, 1)), Some((9, 1)));
        shard.push(10, Place { lsn: 0, term: 1, len: 0 });
        shard.purge((8, 1), |_, _| ());
        assert_eq!(shard.drop_behind_gap(), Some(9));
        assert_eq!(shard.state().last, Some((8, 1)));

        let mut shard = Shard::from_start(Some((4, 1)), Some((9, 1)));
        shard.push(10, Place { lsn: 0, term: 1, len: 0 });
        shard.purge((9, 1), |_, _| ());
        assert_eq!(shard.drop_behind_gap(), None);
        assert_eq!(shard.state().last, Some((10, 1)));
    }
}
