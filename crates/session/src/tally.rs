//! What a node has counted, for INFO and for monitoring.

use std::ops::Sub;

use quorate_keyspace::Usage;
use quorate_replica::Stats;

/// Sums over all connections, past and present, and over the node's own work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused because there were too many.
    pub rejected: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Answers that were errors.
    pub errors: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Commands refused because there was no memory for them.
    pub overloaded: u64,
    /// Lookups and expired keys.
    pub usage: Usage,
    /// The replica's own.
    pub stats: Stats,
}

impl Sub for Tally {
    type Output = Self;

    /// What has come on top of `earlier`.
    fn sub(self, earlier: Self) -> Self {
        let (usage, then) = (self.usage, earlier.usage);
        let (stats, before) = (self.stats, earlier.stats);
        Self {
            accepted: self.accepted - earlier.accepted,
            rejected: self.rejected - earlier.rejected,
            commands: self.commands - earlier.commands,
            errors: self.errors - earlier.errors,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
            overloaded: self.overloaded - earlier.overloaded,
            usage: Usage {
                hits: usage.hits - then.hits,
                misses: usage.misses - then.misses,
                expired: usage.expired - then.expired,
                evicted: usage.evicted - then.evicted,
                freed: usage.freed - then.freed,
            },
            stats: Stats {
                entries: stats.entries - before.entries,
                writes: stats.writes - before.writes,
                reads: stats.reads - before.reads,
                snapshots: stats.snapshots - before.snapshots,
                installs: stats.installs - before.installs,
                not_applied: stats.not_applied - before.not_applied,
                unknown: stats.unknown - before.unknown,
                overloaded: stats.overloaded - before.overloaded,
                leader_changes: stats.leader_changes - before.leader_changes,
            },
        }
    }
}
