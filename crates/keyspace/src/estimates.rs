//! What `PFCOUNT` has counted, so that asking again costs nothing. Not part of the state: an estimate follows from the
//! bytes alone, and who has none makes it again (R11).

use std::sync::atomic::{AtomicU64, Ordering};

/// How many are kept.
const SLOTS: usize = 64;

/// See the module. Reads fill it, and only share the keyspace; one thread has it at a time.
#[derive(Debug)]
pub(crate) struct Estimates(Box<[Slot; SLOTS]>);

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    /// 0 is none.
    version: AtomicU64,
    count: AtomicU64,
}

impl Default for Estimates {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| Slot::default())))
    }
}

impl Estimates {
    /// That of a key, of which `key` is a hash, that last changed at `version`.
    pub(crate) fn get(&self, key: u64, version: u64) -> Option<u64> {
        let slot = self.slot(key);
        let is_it = version > 0
            && slot.key.load(Ordering::Relaxed) == key
            && slot.version.load(Ordering::Relaxed) == version;
        is_it.then(|| slot.count.load(Ordering::Relaxed))
    }

    /// Keeps it. The key must not change again at this version.
    pub(crate) fn keep(&self, key: u64, version: u64, count: u64) {
        let slot = self.slot(key);
        slot.key.store(key, Ordering::Relaxed);
        slot.version.store(version, Ordering::Relaxed);
        slot.count.store(count, Ordering::Relaxed);
    }

    fn slot(&self, key: u64) -> &Slot {
        &self.0[(key % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_of_one_key_at_one_version() {
        let estimates = Estimates::default();
        assert_eq!(estimates.get(0, 0), None);
        estimates.keep(5, 7, 1000);
        assert_eq!([(5, 7), (5, 8), (6, 7)].map(|(key, v)| estimates.get(key, v)), [Some(1000), None, None]);
        estimates.keep(5 + SLOTS as u64, 9, 3);
        assert_eq!(estimates.get(5, 7), None);
    }
}
