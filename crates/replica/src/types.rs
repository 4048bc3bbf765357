//! The types that openraft is instantiated with: there is one of each, so everything above is concrete.

use std::fmt;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;

/// Identifies a member. 0 is never used.
pub type NodeId = u64;
/// openraft's handle with Quorate's types.
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;
/// Term and candidate.
pub(crate) type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
/// The term of a leader that was elected.
type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
/// A vote: a leader id, and whether a majority granted it.
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
/// Term and index of an entry.
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// An entry as openraft sees it.
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// Voters and nodes.
pub(crate) type Membership = openraft::Membership<NodeId, Member>;
/// A membership and the entry that set it.
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot file and what it covers.
pub(crate) type Snapshot =
    openraft::type_config::alias::SnapshotOf<TypeConfig, crate::snapshot::SnapshotFile>;
/// What openraft asks of a log.
pub(crate) type Payload = EntryPayload<Batch, NodeId, Member>;

/// What kind of replica a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Role {
    /// May become a voter, holds the data.
    #[default]
    Data,
    /// Gets the log and serves reads, never votes.
    Reader,
}

/// One member of the cluster, as it stands in the replicated membership.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// Where clients connect, `host:port`.
    pub addr: String,
    /// Where nodes connect, `host:port`.
    pub bus: String,
    /// The HTTP endpoint, `host:port`.
    pub http: String,
    /// The random identity of its data folder (R5).
    pub incarnation: u64,
    /// Its failure domain; empty if not given.
    pub zone: String,
    /// What it may become.
    pub role: Role,
}

/// The commands that travel in one entry, encoded by `quorate_keyspace::batch`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    /// Their CRC-32C, if it was made in advance.
    #[serde(skip)]
    pub(crate) sum: Option<u32>,
}

/// A batch of more than this is summed before consensus gets it: that takes a while, and nothing else would happen
/// meanwhile.
const SUMMED_BYTES_MIN: usize = 4 << 20;
/// How much of it is summed in one go.
const SUM_STEP_BYTES: usize = 1 << 20;

impl Batch {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, sum: None }
    }

    /// Sums a large batch, and lets others have their turn meanwhile (R20).
    pub(crate) async fn prepare(&mut self) {
        if self.bytes.len() < SUMMED_BYTES_MIN {
            return;
        }
        let mut sum = 0;
        for step in self.bytes.chunks(SUM_STEP_BYTES) {
            sum = crc32c::crc32c_append(sum, step);
            tokio::task::yield_now().await;
        }
        self.sum = Some(sum);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.bytes.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Quorate's instance of openraft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = ();
    type NodeId = NodeId;
    type Node = Member;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = openraft::Entry<CommittedLeaderId, Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = crate::responder::Responder<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// The log id of an index in a term.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

/// The term of a log id.
pub(crate) fn term_of(id: &LogId) -> u64 {
    id.committed_leader_id().term
}
