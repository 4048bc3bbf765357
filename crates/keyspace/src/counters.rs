//! What a node counts of its own work on the data. Not part of the state: no entry and no reply can see it (R11).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters since the keyspace was made, or since those that it took over were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys that commands of this node's clients looked up to read them, and found.
    pub hits: u64,
    /// Those that were not there.
    pub misses: u64,
    /// Keys that went because their deadline had come.
    pub expired: u64,
    /// Keys that went because memory was short.
    pub evicted: u64,
    /// Keys and large values that were freed bit by bit, after they were dropped.
    pub freed: u64,
}

/// The same while it counts. Reads count too, and only share the keyspace; one thread has it at a time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
    freed: AtomicU64,
    met_expired: AtomicBool,
}

fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        // No other thread counts at the same time, so that no locked instruction is needed.
        counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn looked_up(&self, hits: u64, misses: u64) {
        add(&self.hits, hits);
        add(&self.misses, misses);
    }

    pub(crate) fn expired(&self) {
        add(&self.expired, 1);
    }

    pub(crate) fn met_expired(&self) {
        self.met_expired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_met_expired(&self) -> bool {
        self.met_expired.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) {
        add(&self.evicted, 1);
    }

    pub(crate) fn freed(&self, n: usize) {
        add(&self.freed, n as u64);
    }

    pub(crate) fn usage(&self) -> Usage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            hits: get(&self.hits),
            misses: get(&self.misses),
            expired: get(&self.expired),
            evicted: get(&self.evicted),
            freed: get(&self.freed),
        }
    }

    pub(crate) fn go_on_from(&self, usage: Usage) {
        self.looked_up(usage.hits, usage.misses);
        add(&self.expired, usage.expired);
        add(&self.evicted, usage.evicted);
        add(&self.freed, usage.freed);
    }
}
