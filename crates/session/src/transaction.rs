//! MULTI on one connection: what is queued, what is watched.

use quorate_replica::Transaction;

/// A transaction may hold so many commands; one more is refused and EXEC then aborts.
pub(crate) const QUEUED_MAX: usize = 1 << 20;

/// Commands queued since MULTI.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) transaction: Transaction,
    /// An error while queueing: EXEC discards everything.
    pub(crate) broken: bool,
    /// The database that SELECT within the transaction has chosen.
    pub(crate) db: usize,
}

/// A watched key, and how it was when it was watched (R16).
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) db: usize,
    pub(crate) key: Vec<u8>,
    pub(crate) version: u64,
    pub(crate) existed: bool,
}
