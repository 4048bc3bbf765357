//! What will happen when, and a running digest of what has happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::node::NodeId;

/// Something that comes to a node from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The segments that one end of a connection has sent and that are due arrive at the other.
    Segments { connection: u64, from: usize },
    /// Nobody has answered to a connection attempt.
    ConnectTimeout { connection: u64 },
    /// The operation that a disk queue is at ends.
    DiskOp { node: NodeId, queue: usize, generation: u64 },
}

/// Virtual time in nanoseconds since the world began, and what is to come.
#[derive(Debug)]
pub(crate) struct Timeline {
    now: u64,
    tick: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// Events of the same time happen in the order in which they were put here.
    sequence: u64,
    digest: u64,
}

impl Timeline {
    pub(crate) fn new(tick: Duration) -> Self {
        let tick = nanos(tick);
        assert!(tick > 0, "a tick takes time");
        Self { now: 0, tick, events: BinaryHeap::new(), sequence: 0, digest: 0 }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The first tick that is not before `time`.
    pub(crate) fn tick_at(&self, time: u64) -> u64 {
        time.next_multiple_of(self.tick)
    }

    /// Lets `event` happen at the first tick from `time` on, but never in the present one: nothing
    /// reaches a node in no time, so that a turn of the world always ends.
    pub(crate) fn schedule(&mut self, time: u64, event: Event) {
        let time = self.tick_at(time.max(self.now + 1));
        self.events.push(Reverse((time, self.sequence, event)));
        self.sequence += 1;
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((time, ..))| *time)
    }

    pub(crate) fn advance_to(&mut self, time: u64) {
        assert!(time >= self.now, "time goes forward");
        self.now = time;
    }

    pub(crate) fn pop_due(&mut self) -> Option<Event> {
        let Reverse((time, _, event)) = self.events.peek().copied()?;
        if time > self.now {
            return None;
        }
        self.events.pop();
        Some(event)
    }

    /// Records that something happened now.
    pub(crate) fn record(&mut self, what: &str, numbers: [u64; 3], bytes: &[u8]) {
        let parts = [self.digest, self.now, xxh3_64(what.as_bytes()), numbers[0], numbers[1], numbers[2]];
        let mut header = [0; 48];
        for (field, part) in header.chunks_exact_mut(8).zip(parts) {
            field.copy_from_slice(&part.to_le_bytes());
        }
        self.digest = xxh3_64_with_seed(bytes, xxh3_64(&header));
    }
}

/// A generator for one purpose, so that more use of one does not change what another gives.
pub(crate) fn generator(seed: u64, purpose: &str, number: u64) -> Rng {
    Rng::with_seed(xxh3_64_with_seed(purpose.as_bytes(), seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// Uniform within `range`, in nanoseconds.
pub(crate) fn pick(rng: &mut Rng, range: &RangeInclusive<Duration>) -> u64 {
    rng.u64(nanos(*range.start())..=nanos(*range.end()))
}

/// True for that share of all calls.
pub(crate) fn chance(rng: &mut Rng, share: f64) -> bool {
    share > 0.0 && rng.f64() < share
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("less than 584 years")
}
