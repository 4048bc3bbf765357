//! The replication log on disk, shared by all shards of a node. It knows nothing of what its bytes mean.
//!
//! [`Log`] is the way in: append, read, truncate, purge, save a vote. [`Log::open`] recovers what is there and
//! says in a [`Recovery`] what a replica must know before it votes or acknowledges.
//!
//! On disk a log is a folder with segments (`00000000000000000001.log`, …), the last votes (`votes`) and what
//! one start tells the next (`run`). From the bottom up:
//!
//! - `record`: the unit of the byte stream, chained by checksums.
//! - `segment`: the files it is cut into; only ever appended to.
//! - `group`: what one submission makes durable at once, for all shards.
//! - `shard`: one shard's log in memory: where each entry stands.
//! - `plan`: everything known and planned, under one lock; positions are given out here.
//! - `log`: requests in, submissions to the disk, completions back.
//! - `scan`, `recover`: from files of which nothing is believed to the log that was written.
//! - `votes`, `run_file`, `read`: what their names say.

mod entry;
mod group;
mod log;
mod options;
mod plan;
mod read;
mod record;
mod recover;
mod report;
mod run_file;
mod scan;
mod segment;
mod shard;
mod votes;

pub use entry::{Entry, IndexTerm, PAYLOAD_BYTES_MAX, SHARDS_MAX, ShardId, ShardState};
pub use log::{Log, Reading};
pub use options::{Durability, Options};
pub use report::{Damage, OpenError, Recovery, Stats};
pub use votes::VOTE_BYTES_MAX;
