//! How long ago and how often keys were used: for eviction, OBJECT IDLETIME and OBJECT FREQ.
//!
//! It belongs to a node (R12): it is not in snapshots and not in digests, and nothing that apply decides or answers depends
//! on it. Commands of entries are uses on every node, reads only on the node that executes them.
//!
//! A use takes 24 bits of a record. With an LFU policy these are the minute of the node's clock, and a counter that
//! grows with the logarithm of the uses and falls by one every `lfu-decay-time` minutes (Morris, "Counting large numbers of
//! events in small registers", CACM 1978); else the second. Zeros: not used since this node began to look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::{
    keyspace::Keyspace,
    random::Random,
    rules::Rules,
    table::{Record, USE_BITS},
};

/// The counter of a key that has just come.
pub(crate) const FIRST_FREQUENCY: u8 = 5;

const SECONDS: u64 = 1 << USE_BITS;
const MINUTES: u64 = 1 << 16;

/// What a node notes uses by.
#[derive(Debug)]
pub(crate) struct Access {
    /// The node's clock when it began to look, and now.
    began_s: Option<u64>,
    now_s: u64,
    /// For the counters of LFU.
    random: AtomicU64,
    /// What is read now is not noted.
    quiet: AtomicBool,
}

impl Default for Access {
    fn default() -> Self {
        Self { began_s: None, now_s: 0, random: AtomicU64::new(0), quiet: AtomicBool::new(false) }
    }
}

impl Access {
    /// Notes that a record is used.
    pub(crate) fn used(&self, rules: &Rules, record: &Record) {
        if self.quiet.load(Relaxed) {
            return;
        }
        let next = match rules.policy.counts_uses() {
            true => {
                let counter = self.count(rules, self.frequency(rules, record.stamp.last_use()));
                self.with_minute(counter)
            }
            false => self.second(),
        };
        // The line of memory stays clean where nothing changes.
        if next != record.stamp.last_use() {
            record.stamp.set_last_use(next);
        }
    }

    /// What a record begins with.
    pub(crate) fn first_use(&self, rules: &Rules) -> u32 {
        if rules.policy.counts_uses() { self.with_minute(FIRST_FREQUENCY) } else { self.second() }
    }

    /// A use so many seconds ago.
    pub(crate) fn use_before(&self, seconds: u64) -> u32 {
        let then = self.now_s.wrapping_sub(seconds.min(SECONDS - 1));
        known((then % SECONDS) as u32)
    }

    /// For how many seconds a record was not used.
    pub(crate) fn idle_s(&self, last_use: u32) -> u64 {
        match last_use {
            0 => self.now_s - self.began_s.unwrap_or(self.now_s),
            then => self.now_s.wrapping_sub(then.into()) % SECONDS,
        }
    }

    /// The counter of LFU as it is now.
    pub(crate) fn frequency(&self, rules: &Rules, last_use: u32) -> u8 {
        let (then, counter) = match last_use {
            0 => (self.began_s.unwrap_or(self.now_s) / 60, FIRST_FREQUENCY),
            last_use => (u64::from(last_use >> 8), last_use as u8),
        };
        let minutes = (self.now_s / 60).wrapping_sub(then) % MINUTES;
        let periods = minutes.checked_div(rules.lfu_decay_minutes).unwrap_or(0);
        counter.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// A counter with the present minute.
    pub(crate) fn with_minute(&self, counter: u8) -> u32 {
        known(((self.now_s / 60 % MINUTES) as u32) << 8 | u32::from(counter))
    }

    fn second(&self) -> u32 {
        known((self.now_s % SECONDS) as u32)
    }

    /// The counter after one more use: the higher it is, the more seldom it grows.
    fn count(&self, rules: &Rules, counter: u8) -> u8 {
        let above = u64::from(counter.saturating_sub(FIRST_FREQUENCY));
        let mut random = Random::new(self.random.load(Relaxed));
        let draw = random.next_u64();
        self.random.store(draw, Relaxed);
        // One in above * factor + 1.
        let one_in = above.saturating_mul(rules.lfu_log_factor).saturating_add(1);
        counter.saturating_add(u8::from(draw.is_multiple_of(one_in)))
    }
}

/// Zeros mean something else.
fn known(last_use: u32) -> u32 {
    last_use.max(1)
}

impl Keyspace {
    /// Tells the time of this node's clock, in seconds, by which uses of keys are noted. Together with the first call it
    /// begins to look; what it draws at random follows from `seed`.
    pub fn note_clock(&mut self, now_s: u64, seed: u64) {
        let access = &mut self.access;
        // A clock that was set back would make keys look idle for half a year.
        access.now_s = access.now_s.max(now_s);
        if access.began_s.is_none() {
            access.began_s = Some(access.now_s);
            *access.random.get_mut() = seed;
        }
    }

    /// Calls `f`, whose reads are no uses (CLIENT NO-TOUCH).
    pub fn untouched<R>(&self, f: impl FnOnce() -> R) -> R {
        self.access.quiet.store(true, Relaxed);
        let result = f();
        self.access.quiet.store(false, Relaxed);
        result
    }

    /// Notes that a record is used.
    pub(crate) fn used(&self, record: &Record) {
        self.access.used(&self.rules, record);
    }

    /// For how long a key was idle, or how often it was used, is to be what somebody says (RESTORE).
    pub(crate) fn set_use(&self, db: usize, key: &[u8], last_use: u32) {
        if let Some(record) = self.live(db, self.hash(key), key) {
            record.stamp.set_last_use(last_use);
        }
    }
}
