//! One numbered database: its table, its deadlines, and what WATCH must know of keys that are missing.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use crate::table::{Place, Record, Table};

/// No key has a deadline.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// One numbered database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) table: Table,
    /// (deadline, hash) of every key that has one.
    deadlines: BTreeSet<(u64, u64)>,
    /// The first of them, or [`NEVER_MS`]: looked at for each entry.
    first_deadline_ms: u64,
    pub(crate) traces: Traces,
    /// The keyspace's version when SWAPDB last gave these contents the number that they have.
    pub(crate) swapped_version: u64,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(),
            deadlines: BTreeSet::new(),
            first_deadline_ms: NEVER_MS,
            traces: Traces::default(),
            swapped_version: 0,
        }
    }

    /// The earliest deadline, or [`NEVER_MS`].
    pub(crate) fn first_deadline_ms(&self) -> u64 {
        self.first_deadline_ms
    }

    /// The earliest deadline after `time_ms`.
    pub(crate) fn first_deadline_after(&self, time_ms: u64) -> Option<u64> {
        if self.first_deadline_ms > time_ms {
            return (self.first_deadline_ms != NEVER_MS).then_some(self.first_deadline_ms);
        }
        self.deadlines.range((time_ms.saturating_add(1), 0)..).next().map(|&(deadline_ms, _)| deadline_ms)
    }

    /// Number of keys with a deadline.
    pub(crate) fn deadline_count(&self) -> usize {
        self.deadlines.len()
    }

    /// Number of deadlines up to `time_ms`, which are not reclaimed yet. Takes time in proportion to it.
    pub(crate) fn overdue(&self, time_ms: u64) -> usize {
        if self.first_deadline_ms > time_ms {
            return 0;
        }
        self.deadlines.range(..=(time_ms, u64::MAX)).count()
    }

    /// The first (deadline, hash).
    pub(crate) fn first_deadline(&self) -> Option<(u64, u64)> {
        self.deadlines.first().copied()
    }

    /// The last (deadline, hash).
    pub(crate) fn last_deadline(&self) -> Option<(u64, u64)> {
        self.deadlines.last().copied()
    }

    /// The first (deadline, hash) behind another one, or of all.
    pub(crate) fn deadline_behind(&self, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
        let from = other.map_or(Bound::Unbounded, Bound::Excluded);
        self.deadlines.range((from, Bound::Unbounded)).next().copied()
    }

    /// Each (deadline, hash) from one on.
    pub(crate) fn deadlines_from(&self, from: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
        self.deadlines.range(from..).copied()
    }

    /// Adds a record whose key is absent.
    pub(crate) fn insert(&mut self, hash: u64, record: Record) {
        self.index(record.expire_at_ms(), hash);
        self.table.insert(hash, record);
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Record> {
        let record = self.table.remove(hash, key)?;
        self.unindex(record.expire_at_ms(), hash);
        Some(record)
    }

    /// Gives the record at `place` another deadline; 0 is none.
    pub(crate) fn set_deadline(&mut self, hash: u64, place: Place, expire_at_ms: u64) {
        let record = self.table.at_mut(place);
        let old_ms = record.stamp.set_expire_at_ms(expire_at_ms);
        if old_ms != expire_at_ms {
            self.unindex(old_ms, hash);
            self.index(expire_at_ms, hash);
        }
    }

    /// The version at which a key that is there came to be what it is under this number (R16).
    pub(crate) fn version_of(&self, record: &Record) -> u64 {
        record.watched_version().max(self.swapped_version)
    }

    /// Each of the keys that go together may be one that came with an exchange, and has left no trace then.
    fn all_may_go(&mut self) {
        if self.swapped_version > 0 {
            self.traces.note_all(self.swapped_version);
        }
    }

    /// The contents, leaving none. Traces stay.
    pub(crate) fn take_contents(&mut self) -> (Table, BTreeSet<(u64, u64)>) {
        self.all_may_go();
        self.first_deadline_ms = NEVER_MS;
        (std::mem::take(&mut self.table), std::mem::take(&mut self.deadlines))
    }

    /// Takes note that it has just exchanged its number with another one, at `version`.
    pub(crate) fn swapped(&mut self, other: &mut Self, version: u64) {
        for database in [&mut *self, &mut *other] {
            database.all_may_go();
            database.swapped_version = version;
        }
        // Under each number both histories count.
        self.traces.unite(&mut other.traces);
    }

    fn index(&mut self, expire_at_ms: u64, hash: u64) {
        if expire_at_ms != 0 {
            self.deadlines.insert((expire_at_ms, hash));
            self.first_deadline_ms = self.first_deadline_ms.min(expire_at_ms);
        }
    }

    /// Removes a deadline, unless another key with the same hash has the very same one.
    fn unindex(&mut self, expire_at_ms: u64, hash: u64) {
        if expire_at_ms == 0 || self.same_hash(hash).any(|record| record.expire_at_ms() == expire_at_ms) {
            return;
        }
        self.deadlines.remove(&(expire_at_ms, hash));
        if expire_at_ms == self.first_deadline_ms {
            self.first_deadline_ms = self.deadlines.first().map_or(NEVER_MS, |&(deadline_ms, _)| deadline_ms);
        }
    }

    /// The records whose keys have this hash: nearly always one.
    pub(crate) fn same_hash(&self, hash: u64) -> impl Iterator<Item = &Record> {
        self.table.iter_from(hash).take_while(move |(h, _)| *h == hash).map(|(_, record)| record)
    }
}

/// When keys came and went, as far as WATCH of a missing key needs it (R16): one that came and went since leaves no
/// other sign if it went with its whole database.
///
/// A fixed number of places, chosen by hash; each holds the highest version at which a key of that place came or went. Two
/// keys that share a place may abort a transaction needlessly, one time in 65,536 for each key that came or went since;
/// none is ever forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    /// Empty, or [`TRACES`] versions. A snapshot shares them.
    versions: Arc<Vec<u64>>,
}

/// The place of a hash: by its high bits, for the low ones are always the same.
fn place(hash: u64) -> usize {
    (hash >> 48) as usize % TRACES
}

/// Number of places.
pub(crate) const TRACES: usize = 1 << 16;

impl Traces {
    /// Notes that a key with this hash came or went at `version`.
    pub(crate) fn note(&mut self, hash: u64, version: u64) {
        let last = &mut self.versions_mut()[place(hash)];
        *last = version.max(*last);
    }

    /// A version not lower than that at which any key with this hash last came or went.
    pub(crate) fn last(&self, hash: u64) -> u64 {
        self.versions.get(place(hash)).copied().unwrap_or(0)
    }

    /// Notes that any key may have come or gone at `version`.
    fn note_all(&mut self, version: u64) {
        self.versions_mut().iter_mut().for_each(|last| *last = version.max(*last));
    }

    /// Gives both what either knows.
    fn unite(&mut self, other: &mut Self) {
        if self.versions.is_empty() && other.versions.is_empty() {
            return;
        }
        for (last, others) in self.versions_mut().iter_mut().zip(other.versions_mut().iter()) {
            *last = (*last).max(*others);
        }
        other.versions = Arc::clone(&self.versions);
    }

    /// Sets a place. False if there is no such place.
    pub(crate) fn restore(&mut self, place: u64, version: u64) -> bool {
        let versions = self.versions_mut();
        let place = usize::try_from(place).ok().and_then(|place| versions.get_mut(place));
        place.map(|place| *place = version).is_some()
    }

    fn versions_mut(&mut self) -> &mut Vec<u64> {
        if self.versions.is_empty() {
            self.versions = Arc::new(vec![0; TRACES]);
        }
        Arc::make_mut(&mut self.versions)
    }

    /// All places; empty if there never was a key.
    pub(crate) fn versions(&self) -> &[u64] {
        &self.versions
    }
}
