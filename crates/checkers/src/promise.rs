//! The promises, and what a broken one looks like.

use std::fmt;

/// A promise of Quorate's design, by the name that tests and documentation use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An acknowledged write survives.
    NoLostAck,
    /// Everything takes effect at one moment between its call and its answer; transactions at one moment as a whole.
    Linearizable,
    /// Two nodes never acknowledge conflicting writes.
    OneLeader,
    /// What was answered as not applied never was, and never will be.
    HonestErrors,
    /// A read from a follower is never older than what its connection has written or read.
    SessionReads,
    /// Replicas that are at the same entry hold the same.
    EqualDigests,
    /// After faults end, the cluster is whole again by itself.
    Heals,
    /// What a disk has damaged is refused or repaired, and never shown: nobody sees a value that nobody wrote.
    NoSilentCorruption,
    /// A client that caches values and is told of changes never holds one that is older than what it was told.
    FreshCaches,
    /// Published messages come in the order of their publisher, and at most once (R18).
    Messages,
    /// Users' rights hold on every node from one entry of the log on.
    Users,
    /// A node's memory stays below what its settings and its data explain.
    Bounded,
}

impl Promise {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoLostAck => "no-lost-ack",
            Self::Linearizable => "linearizable",
            Self::OneLeader => "one-leader",
            Self::HonestErrors => "honest-errors",
            Self::SessionReads => "session-reads",
            Self::EqualDigests => "equal-digests",
            Self::Heals => "heals",
            Self::NoSilentCorruption => "no-silent-corruption",
            Self::FreshCaches => "fresh-caches",
            Self::Messages => "messages",
            Self::Users => "users",
            Self::Bounded => "bounded",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that no execution that keeps the promise can explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// What was seen, for people.
    pub what: String,
}

impl Violation {
    /// A violation of `promise`.
    #[must_use]
    pub fn new(promise: Promise, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What a client was told of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is applied.
    Acknowledged,
    /// It is not applied and never will be.
    Refused,
    /// It may be applied, now or later; or nobody answered.
    Unknown,
}
