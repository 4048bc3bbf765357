//! What the log stores.

use std::fmt;

use bytes::Bytes;

/// The largest payload of one entry, in bytes (1 GiB). A larger one is refused before anything is written.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// The most shards one log serves.
pub const SHARDS_MAX: usize = 1 << 16;

/// Which shard an entry belongs to. All shards of a node share one [`Log`](crate::Log).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an entry in its shard's log: `(index, term)`.
pub type IndexTerm = (u64, u64);

/// One entry of a shard's log. The log knows nothing of what `kind` and `payload` mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the shard's log; without gaps.
    pub index: u64,
    /// The Raft term in which a leader made it.
    pub term: u64,
    /// Opaque.
    pub kind: u8,
    /// Opaque; at most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

/// What a shard's log reaches from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardState {
    /// The last entry that was forgotten because a snapshot covers it.
    pub purged: Option<IndexTerm>,
    /// The last entry; equal to `purged` when nothing follows it, `None` before the first entry.
    pub last: Option<IndexTerm>,
    /// Bytes the live entries take in the log, with their headers.
    pub bytes: u64,
}
