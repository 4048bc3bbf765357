//! What an operator does with the data folder of a stopped node when a majority of the voters is gone for good (R8):
//! [`survey`] looks and changes nothing, [`accept_loss`] makes the folder the only voter of a new cluster.
//!
//! # Why the new cluster cannot mix with the old one
//!
//! The forged membership is one that Raft would never allow: the old members may have elected a leader, and may have
//! committed entries that this folder lacks. So the folder first gets another cluster number, durably, and only then
//! its log is changed. From the first moment on every connection between it and an old member is refused by both
//! sides, so neither can elect, feed or truncate the other. Whatever step a crash interrupts, the folder is either as
//! it was, or belongs to a cluster of its own in which it cannot lead yet; doing it again finishes it.
//!
//! The new membership is the last entry of the log, in a term above all that the folder has seen; the vote for that
//! term is the node's own. When the node starts, it is the only voter, leads, and thereby commits all that its log
//! holds: also entries that the old cluster had not acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use openraft::{EntryPayload, entry::RaftEntry};
use quorate_env::{Completion, Env};
use quorate_log::{Durability, Log, Options, Recovery, ShardId};
use tokio::sync::oneshot;

use crate::identity::{Identity, Stored};
use crate::snapshot::SnapshotStore;
use crate::storage::{Kind, decode, decode_entry, encode, encode_entry};
use crate::types::{Entry, Member, Membership, NodeId, Role, Vote, log_id, term_of};
use crate::unsure::Doubts;

/// The only shard so far.
const SHARD: ShardId = ShardId(0);
/// How much of the log is read at once.
const READ_BYTES: usize = 1 << 20;
/// The segment that is begun holds one entry; the next start begins another.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Where a log is damaged below what was once on disk for certain (R6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDamage {
    /// The file.
    pub file: PathBuf,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

/// What the data folder of a stopped node holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The node's number.
    pub node_id: NodeId,
    /// The number of its cluster.
    pub cluster: u64,
    /// The folder's own number (R5).
    pub incarnation: u64,
    /// How often it was started.
    pub starts: u64,
    /// The term of its last vote, and for whom it was.
    pub vote: Option<(u64, NodeId)>,
    /// Term and index of the last entry, in the log or covered by the snapshot.
    pub last: (u64, u64),
    /// The last entry of the log that is on disk for certain, judged by what was written behind it. What is above is
    /// there as well, but only a clean stop could have proved it durable.
    pub durable: Option<u64>,
    /// The last entry that the newest snapshot covers.
    pub snapshot: Option<u64>,
    /// Why the log may lack what the node acknowledged.
    pub doubts: Doubts,
    /// Whether the node was stopped cleanly.
    pub clean: bool,
    /// Whether `appendfsync` was `everysec` in its last run.
    pub everysec: bool,
    /// Bytes of an unfinished write behind the last entry.
    pub torn_tail_bytes: u64,
    /// Damage that no crash explains; the log is readable up to there.
    pub damage: Option<LogDamage>,
    /// Who votes by the last membership; two sets if a change was under way.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// All members by it.
    pub members: BTreeMap<NodeId, Member>,
}

impl Survey {
    /// Whether everything that this node ever acknowledged is in its log.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.doubts.is_sure() && self.damage.is_none()
    }
}

/// What [`accept_loss`] has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// Its number.
    pub cluster: u64,
    /// The only voter.
    pub node_id: NodeId,
    /// Term and index of the entry that says so.
    pub last: (u64, u64),
    /// Where the log was cut because it was damaged there.
    pub cut: Option<LogDamage>,
}

/// Takes the lock of the folder, until the process ends. `ResourceBusy`: a node runs on it.
pub fn lock(env: &Env, dir: &Path) -> io::Result<()> {
    if env.disk.len(&Identity::path(dir))?.is_none() {
        let text = format!("{} is not the data folder of a node: it has no identity", dir.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    env.disk.lock(dir)
}

/// Looks at the folder of a stopped node and changes nothing of what it holds. Blocks.
///
/// Errors: nothing to recover from (the folder never joined, or holds no data), or files that cannot be read.
pub fn survey(env: &Env, dir: &Path) -> io::Result<Survey> {
    let stored = identity(env, dir)?;
    let (log, recovery) =
        Log::look(env.disk.clone(), &dir.join("log"), Options::default()).map_err(io::Error::other)?;
    if recovery.fresh {
        return Err(refused(dir, "it has an identity and no log: its data are lost"));
    }
    let data = Data::read(env, dir, &log)?;
    let damage = damage_of(&recovery);
    let durable = recovery.durable.iter().find(|(shard, _)| *shard == SHARD).map(|(_, index)| *index);
    Ok(Survey {
        node_id: stored.node_id,
        cluster: stored.cluster,
        incarnation: stored.incarnation,
        starts: stored.start,
        vote: data.vote.map(|vote| (vote.leader_id.term, vote.leader_id.voted_for)),
        last: data.last,
        durable,
        snapshot: data.snapshot,
        doubts: Doubts::of(&recovery),
        clean: recovery.clean,
        everysec: recovery.durability == Durability::EverySecond,
        torn_tail_bytes: recovery.torn_tail_bytes,
        damage,
        voters: data.membership.get_joint_config().clone(),
        members: data.membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
    })
}

/// Makes the node of this folder the only voter of a new cluster, with the data that the folder holds. Whatever other
/// nodes have beyond that is given up, and a damaged log is cut where the damage begins. The caller has locked the
/// folder. Safe to interrupt and to repeat.
///
/// Errors: as [`survey`]; a log that does not go back to a snapshot or to the beginning.
pub async fn accept_loss(env: &Env, dir: &Path) -> io::Result<NewCluster> {
    // Whatever can be refused is refused before anything is changed.
    let before = survey(env, dir)?;
    let identity = Identity::open(env, dir)?;
    // Never 0, which is no cluster's, nor the old one.
    let cluster = std::iter::repeat_with(|| env.random.next_u64() | 1).find(|c| *c != before.cluster);
    let cluster = cluster.expect("the source of random numbers never ends");
    identity.adopt(before.node_id, cluster, identity.is_founder())?;

    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::default() };
    let (log, recovery) = Log::open(env.disk.clone(), &dir.join("log"), options).map_err(io::Error::other)?;
    let cut = damage_of(&recovery);
    if cut.is_some() {
        completed(|done| log.discard_damaged(done)).await?;
    }
    let data = Data::read(env, dir, &log)?;
    if log.state(SHARD).last.is_none_or(|(index, _)| index < data.last.1) {
        // A snapshot that reaches beyond the log replaces all of it.
        completed(|done| log.reset(SHARD, (data.last.1, data.last.0), done)).await?;
    }
    let (id, term, index) = (before.node_id, data.term() + 1, data.last.1 + 1);
    let entry = only_voter(id, &data.membership, identity.incarnation(), term, index)?;
    completed(|done| log.save_vote(SHARD, encode(&Vote::new(term, id)), done)).await?;
    completed(|done| log.append(SHARD, vec![encode_entry(&entry)], done)).await?;
    // There is nobody else whose log could be better.
    completed(|done| log.trust(done)).await?;
    completed(|done| log.close_clean(done)).await?;
    Ok(NewCluster { cluster, node_id: id, last: (term, index), cut })
}

/// The entry that makes `id` the only voter and the only member.
fn only_voter(id: NodeId, old: &Membership, incarnation: u64, term: u64, index: u64) -> io::Result<Entry> {
    let known = old.get_node(&id).cloned().unwrap_or_default();
    let member = Member { incarnation, role: Role::Data, ..known };
    let membership = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, member)]));
    let membership = membership.map_err(io::Error::other)?;
    Ok(Entry::new(log_id(term, index), EntryPayload::Membership(membership)))
}

/// Who the folder belongs to.
fn identity(env: &Env, dir: &Path) -> io::Result<Stored> {
    let stored = Identity::stored_in(env, dir)?;
    match stored {
        Some(stored) if stored.node_id != 0 && stored.initialized => Ok(stored),
        _ => Err(refused(dir, "it never joined a cluster: start it with `quorate server`")),
    }
}

fn refused(dir: &Path, why: &str) -> io::Error {
    let text = format!("there is nothing to recover in {}: {why}", dir.display());
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn damage_of(recovery: &Recovery) -> Option<LogDamage> {
    let damage = recovery.damage.as_ref().filter(|damage| damage.below_durable)?;
    Some(LogDamage { file: damage.file.clone(), offset: damage.offset, reason: damage.reason.clone() })
}

/// What log and snapshot together hold.
struct Data {
    vote: Option<Vote>,
    /// Term and index.
    last: (u64, u64),
    snapshot: Option<u64>,
    membership: Membership,
}

impl Data {
    fn read(env: &Env, dir: &Path, log: &Log) -> io::Result<Self> {
        let vote = log.vote(SHARD).map(|bytes| decode::<Vote>(&bytes)).transpose()?;
        let snapshots = dir.join("snapshots");
        let has_snapshot = env.disk.list(&snapshots)?.iter().any(|name| name.ends_with(".snap"));
        let snapshot =
            if has_snapshot { SnapshotStore::open(env, snapshots)?.newest()?.map(|s| s.0) } else { None };
        let covered = snapshot.as_ref().and_then(|meta| meta.last_log_id).map(|id| (term_of(&id), id.index));
        let state = log.state(SHARD);
        if state.purged.is_some_and(|(purged, _)| covered.is_none_or(|(_, index)| index < purged)) {
            return Err(refused(
                dir,
                "its log begins behind what a snapshot covers: the state before is lost. Use another node's folder",
            ));
        }
        let in_log = state.last.map(|(index, term)| (term, index));
        let last = in_log.into_iter().chain(covered).max_by_key(|(_, index)| *index);
        let last = last.ok_or_else(|| refused(dir, "it holds no data: neither entries nor a snapshot"))?;
        let base = snapshot.map(|meta| meta.last_membership.membership().clone()).unwrap_or_default();
        let from =
            covered.map_or(0, |(_, index)| index + 1).max(state.purged.map_or(0, |(index, _)| index + 1));
        let membership = last_membership(log, from, last.1)?.unwrap_or(base);
        Ok(Self { vote, last, snapshot: covered.map(|(_, index)| index), membership })
    }

    /// The greatest term that the folder has seen.
    fn term(&self) -> u64 {
        self.vote.map_or(0, |vote| vote.leader_id.term).max(self.last.0)
    }
}

/// The last membership among the entries `from..=to`.
fn last_membership(log: &Log, mut from: u64, to: u64) -> io::Result<Option<Membership>> {
    let mut found = None;
    while from <= to {
        let entries = log.read(SHARD, from..to + 1, READ_BYTES)?;
        let Some(end) = entries.last().map(|entry| entry.index + 1) else { break };
        from = end;
        for record in entries.into_iter().filter(|entry| entry.kind == Kind::Membership as u8) {
            if let EntryPayload::Membership(membership) = decode_entry(record)?.payload {
                found = Some(membership);
            }
        }
    }
    Ok(found)
}

/// Runs a log operation and waits for its end.
async fn completed(operation: impl FnOnce(Completion)) -> io::Result<()> {
    let (tx, rx) = oneshot::channel();
    operation(Box::new(move |result| {
        let _ = tx.send(result);
    }));
    rx.await.map_err(|_| io::Error::other("the log was closed"))?
}
