//! What opening a log found, and what a log has done.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::entry::{ShardId, ShardState};
use crate::options::Durability;

/// Why a log did not open. A damaged log opens: see [`Recovery::damage`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error("cannot open the log: {path}: {source}")]
    Io {
        /// The file or folder at which it happened.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A later release wrote this folder. Nothing was changed.
    #[error("{path} has log format {found}, this release reads {known}: run the release that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this release knows.
        known: u32,
    },
}

/// The first bytes of the log that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
    /// Whether these bytes were once on disk for certain, so that acknowledged entries are gone (R6). If not,
    /// they are the unfinished tail of a crash and have been cut.
    pub below_durable: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file.display(), self.offset, self.reason)
    }
}

/// What opening a log found: what a replica must know before it votes or acknowledges (R5, R6, R8).
///
/// `last_group_damaged`, `torn_by_crash`, `unsynced_lost`, `vote_lost` and `discarded` outlive restarts: they are reported at
/// every start until [`Log::trust`](crate::Log::trust) says that the replicas have caught up. Otherwise a
/// second crash in the middle of catching up would make a suspect log look sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The folder held no log: it has just been made.
    pub fresh: bool,
    /// How often this log has been opened, this time included (the counter of R5). It never repeats.
    pub starts: u64,
    /// The last run ended with [`Log::close_clean`](crate::Log::close_clean).
    pub clean: bool,
    /// The operating system has been restarted since the last run, which did not end cleanly.
    pub os_crashed: bool,
    /// The durability in force when the last run ended.
    pub durability: Durability,
    /// Bytes of an unfinished tail that were cut.
    pub torn_tail_bytes: u64,
    /// The first damage, if any. With `below_durable` the log is read-only, and readable up to there, until
    /// [`Log::discard_damaged`](crate::Log::discard_damaged).
    pub damage: Option<Damage>,
    /// The last fsync group is incomplete or damaged: nothing tells whether it was acknowledged (R6).
    pub last_group_damaged: bool,
    /// It was found so after a crash of the operating system. A process that was killed has handed over all that it
    /// had acknowledged, so that alone says nothing.
    pub torn_by_crash: bool,
    /// The operating system crashed in [`Durability::EverySecond`]: acknowledged entries may be gone (R8).
    pub unsynced_lost: bool,
    /// A vote that was saved cannot be read: a replica without one may have voted (R6).
    pub vote_lost: bool,
    /// Acknowledged entries were given up by [`Log::discard_damaged`](crate::Log::discard_damaged).
    pub discarded: bool,
    /// What each shard's log holds.
    pub shards: Vec<(ShardId, ShardState)>,
    /// The last entry of each shard that is on disk for certain, by what stands behind it. None of those that are
    /// live, for a shard that is not listed.
    pub durable: Vec<(ShardId, u64)>,
}

impl Recovery {
    /// Whether everything this log ever acknowledged is certainly still there: if not, its replicas catch up
    /// before they vote.
    pub fn is_sound(&self) -> bool {
        !(self.last_group_damaged
            || self.unsynced_lost
            || self.vote_lost
            || self.discarded
            || self.damage.as_ref().is_some_and(|damage| damage.below_durable))
    }
}

/// Counters since the log was opened, and sizes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Entries appended.
    pub appends: u64,
    /// Groups written: each is one submission to the disk.
    pub groups: u64,
    /// Fsyncs of segments (not of votes and folders).
    pub fsyncs: u64,
    /// Bytes written to segments.
    pub bytes_written: u64,
    /// Votes saved; each costs two fsyncs, shared by those saved together.
    pub votes: u64,
    /// Bytes appended and not yet handed to the disk or not yet finished there.
    pub bytes_pending: u64,
    /// Bytes of entries in memory.
    pub bytes_cached: u64,
    /// Bytes that the places of entries, in memory or not, take in memory.
    pub bytes_indexed: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes that the segment files take, with what is reserved.
    pub bytes_on_disk: u64,
    /// The shard whose oldest entry keeps the oldest segment alive: to purge it frees space.
    pub held_by: Option<ShardId>,
}
