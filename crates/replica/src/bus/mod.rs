//! The bus: how nodes talk to each other (R20, R21).
//!
//! Between two nodes each class of traffic has a connection of its own, so that neither a large entry nor a
//! snapshot ever delays a heartbeat: [`Class::Control`] (votes, heartbeats, read-index, joins),
//! [`Class::Log`] (entries), [`Class::Forward`] (batches on their way to the leader), [`Class::Snapshot`] and
//! [`Class::Messages`] (what clients publish). A connection begins with a [`handshake`]: both ends know the secret of the
//! cluster ([`crate::secret`]), and both are who the membership says (R5). Until then few bytes of few strangers are read
//! ([`door`]).

mod append;
mod client;
pub(crate) mod door;
pub(crate) mod frame;
pub(crate) mod handshake;
#[cfg(test)]
mod hostile;
mod liveness;
mod publish;
mod server;

use std::collections::BTreeMap;
use std::io;

use openraft::raft::{
    AppendEntriesRequest, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};

pub(crate) use append::{decode_append, decode_append_reply, encode_append, encode_append_reply};
pub(crate) use client::{Connection, Dialer, Forwarder, Peers, join_rpc};
pub(crate) use frame::Message;
pub(crate) use handshake::HANDSHAKE_BYTES_MAX;
pub use liveness::listening;
pub use publish::Publication;
pub(crate) use publish::{Held, Inbox, Publisher};
pub(crate) use server::{Server, serve};

use crate::timing::Pace;
use crate::types::{Member, NodeId, SnapshotMeta, TypeConfig, Vote};
use crate::unsure::Standing;

/// Changes with every incompatible change of the messages; nodes of different versions refuse each other.
pub(crate) const PROTOCOL_VERSION: u16 = 5;
/// What a bus connection begins with, so that a stray client is noticed.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"QUORATE\x01");
/// The largest message of a node that is not a member yet.
pub(crate) const JOIN_BYTES_MAX: usize = 64 << 10;

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Class {
    Control,
    Log,
    Forward,
    Snapshot,
    /// A node that is not a member yet asks to become one.
    Join,
    /// What clients publish.
    Messages,
}

/// The first message on a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) magic: u64,
    pub(crate) version: u16,
    /// Random, made when the cluster was; 0 from a node that joins.
    pub(crate) cluster: u64,
    pub(crate) from: NodeId,
    /// Who the caller thinks it calls.
    pub(crate) to: NodeId,
    pub(crate) class: Class,
    /// What the other end has to prove something about.
    pub(crate) nonce: handshake::Nonce,
}

/// Who calls whom on a connection of the bus, from the first bytes that the caller sent: for whatever stands between
/// nodes. `None`: more bytes are needed. A node that has no number yet calls as 0. The error: this is no such connection.
pub fn caller(bytes: &[u8]) -> io::Result<Option<(NodeId, NodeId)>> {
    let Some(message) = frame::first_message(bytes, HANDSHAKE_BYTES_MAX)? else { return Ok(None) };
    let hello: Hello = crate::storage::decode(message)?;
    if hello.magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no greeting of a node"));
    }
    Ok(Some((hello.from, hello.to)))
}

/// What tells a data folder from a copy of it (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The random identity of the folder.
    pub(crate) incarnation: u64,
    /// How often it was started.
    pub(crate) start: u64,
    /// Random, new at every start: two starts with one counter are two copies.
    pub(crate) nonce: u64,
    /// The last entry of its log now.
    pub(crate) last: u64,
    /// The term of its vote now.
    pub(crate) term: u64,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The reason, for its log and its operator.
    pub(crate) why: String,
    /// Whether its folder certainly lacks, or may lack, what it once acknowledged: then it must not vote by it.
    pub(crate) distrust: bool,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, distrust: false }
    }
}

/// The other end does not let this node in, and would not do so a moment later.
#[derive(Debug)]
pub(crate) struct Denied {
    why: String,
    /// It has proven that it knows the secret: what it says counts. Anybody may say anything.
    proven: bool,
}

impl Denied {
    /// By a member.
    pub(crate) fn proven(why: String) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Self { why, proven: true })
    }

    /// By whoever is there.
    pub(crate) fn unproven(why: String) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Self { why, proven: false })
    }

    /// Whether this is why a connection did not come about.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }

    /// The same, and a member says so.
    pub(crate) fn is_proven(error: &io::Error) -> bool {
        let denied = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>());
        denied.is_some_and(|denied| denied.proven)
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Denied {}

/// Requests on a control connection, each with a number that its answer repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Heartbeat(AppendEntriesRequest<TypeConfig>),
    Transfer(TransferLeaderRequest<TypeConfig>),
    ReadIndex,
    Join(JoinRequest),
    Admin(Admin),
    /// What this node knows of itself, for status pages.
    Probe,
    /// What an unsure voter asks: see [`crate::unsure`].
    Standing,
    /// Asks the node to make its log durable up to where it is.
    Sync,
}

/// A node asks to become a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    /// 0 asks for the next free number.
    pub(crate) id: NodeId,
    pub(crate) member: Member,
    /// All members share it.
    pub(crate) pace: Pace,
}

/// What an operator asks of the leader, from any node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Admin {
    /// Makes a learner a voter.
    Promote(NodeId),
    /// Removes a member.
    Remove(NodeId),
    /// Hands leadership over, to the given voter or the most up-to-date one.
    Transfer(Option<NodeId>),
    /// A member came back with other addresses.
    Readdress(NodeId, Member),
}

/// What a node tells of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Whether it thinks that it leads.
    pub leader: bool,
    /// Its term.
    pub term: u64,
    /// The last entry that its state machine has taken.
    pub applied: u64,
    /// The last entry in its log.
    pub last: u64,
    /// Running digest and the index it holds at (R10).
    pub digest: (u64, u64),
    /// On the leader: the last entry that each other member has on disk.
    pub matched: BTreeMap<NodeId, u64>,
    /// The timing that all members must share.
    pub pace: Pace,
}

/// Answers on a control connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Response {
    Vote(VoteResponse<TypeConfig>),
    Append(StreamAppendResult<TypeConfig>),
    Transfer(TransferLeaderResponse<TypeConfig>),
    ReadIndex(ReadIndex),
    Joined {
        id: NodeId,
        cluster: u64,
    },
    Done(String),
    Probe(Probe),
    Standing(Standing),
    /// The log is durable up to this entry.
    Synced(u64),
    /// Try the node that is named, if one is.
    NotLeader(Option<(NodeId, Member)>),
    /// The request failed; the text says why and what to do.
    Failed(String),
    /// It will never succeed as it is.
    Refused(String),
}

/// What a linearizable read must wait for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ReadIndex {
    /// The entry that must be applied first.
    pub(crate) index: u64,
    /// The leader's clock, Unix milliseconds: expiry is judged by it (R2).
    pub(crate) now_ms: u64,
}

/// The first message of a snapshot transfer; the file's pieces follow, then the answer comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: u64,
}

#[cfg(test)]
impl Hello {
    /// For tests: node 2 of cluster 7 calls node 3, for its log.
    fn example(nonce: handshake::Nonce) -> Self {
        let (magic, version, class) = (MAGIC, PROTOCOL_VERSION, Class::Log);
        Self { magic, version, cluster: 7, from: 2, to: 3, class, nonce }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_names_both_ends() {
        let hello = |magic| Hello { magic, ..Hello::example([9; 32]) };
        let wire = |hello: &Hello| {
            let mut wire = Vec::new();
            frame::append_message(&mut wire, &[&crate::storage::encode(hello)]);
            wire
        };
        let greeting = wire(&hello(MAGIC));
        assert_eq!(caller(&greeting).expect("well formed"), Some((2, 3)));
        assert_eq!(caller(&greeting[..10]).expect("well formed so far"), None);
        assert!(caller(&wire(&hello(1))).is_err());
    }
}
