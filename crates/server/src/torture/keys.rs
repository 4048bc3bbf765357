//! The keys of the workload.
//!
//! Shared keys change every few seconds: a search for an order is the faster, the fewer operations a key has.

use std::time::Duration;

/// Accounts of the bank.
pub(super) const ACCOUNTS: usize = 8;
/// What each has at first.
pub(super) const INITIAL: i64 = 1000;

/// Registers in use at a time, and for how long.
const REGISTERS: (u64, Duration) = (8, Duration::from_secs(4));
const COUNTERS: (u64, Duration) = (3, Duration::from_secs(8));
const LISTS: (u64, Duration) = (2, Duration::from_secs(5));
const QUEUES: (u64, Duration) = (2, Duration::from_secs(5));

/// One of the registers that are in use `at` a time (since the clients began).
pub(super) fn register_at(at: Duration, draw: u64) -> u64 {
    current(REGISTERS, at, draw)
}

/// One of the counters.
pub(super) fn counter_at(at: Duration, draw: u64) -> u64 {
    current(COUNTERS, at, draw)
}

/// One of the lists.
pub(super) fn list_at(at: Duration, draw: u64) -> u64 {
    current(LISTS, at, draw)
}

/// One of the queues.
pub(super) fn queue_at(at: Duration, draw: u64) -> u64 {
    current(QUEUES, at, draw)
}

fn current((count, time): (u64, Duration), at: Duration, draw: u64) -> u64 {
    at.as_secs() / time.as_secs() * count + draw % count
}

pub(super) fn note(number: u64) -> String {
    format!("note:{number}")
}

pub(super) fn register(number: u64) -> String {
    format!("register:{number}")
}

pub(super) fn counter(number: u64) -> String {
    format!("counter:{number}")
}

pub(super) fn list(number: u64) -> String {
    format!("list:{number}")
}

pub(super) fn queue(number: u64) -> String {
    format!("queue:{number}")
}

pub(super) fn account(number: usize) -> String {
    format!("account:{number}")
}

pub(super) fn mortal(number: u64) -> String {
    format!("mortal:{number}")
}

pub(super) fn pipeline(number: u64) -> String {
    format!("pipeline:{number}")
}

/// The list of all transfers, in the order in which they took effect.
pub(super) const JOURNAL: &str = "journal";
