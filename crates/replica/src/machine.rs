//! openraft's state machine: hands what is committed to the serving half, which applies it.
//!
//! "Applied" in openraft's books means "handed over": the hand-over keeps the order, and whoever needs an entry
//! to be really applied (reads, snapshots) waits on the serving side. So an apply that takes seconds delays
//! neither heartbeats nor votes (R20).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use quorate_env::{Budget, Charge, Part};
use quorate_keyspace::batch::Header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::bus::{Held, Publication};
use crate::snapshot::{SnapshotFile, SnapshotStore};
use crate::types::{LogId, NodeId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, term_of};

/// How many bytes of entries may wait to be applied before the hand-over waits.
const APPLY_BYTES_MAX: usize = 64 << 20;
/// What an entry counts beside its payload.
const ENTRY_BYTES: usize = 64;
/// Entries handed over at once, so that applying begins before a long replay is read.
const CHUNK_BYTES: usize = 1 << 20;

/// A committed entry.
pub(crate) struct Committed {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) payload: CommittedPayload,
}

/// What a committed entry carries.
pub(crate) enum CommittedPayload {
    Blank,
    Batch(Bytes),
    Membership(StoredMembership),
}

/// What the serving half hears from consensus.
pub(crate) enum Event {
    /// Entries to apply, in order. Their room is given back when they are.
    Apply(Vec<Committed>, Room),
    /// Write a snapshot of the state as it is now.
    Build(oneshot::Sender<io::Result<Snapshot>>),
    /// Replace the state.
    Install(SnapshotMeta, SnapshotFile),
    /// Who leads, as far as this node knows.
    Leader { term: u64, leader: Option<NodeId> },
    /// Consensus has ended.
    Stopped,
    /// The leader refused the batch of this header before the append.
    Refused(Header),
    /// A client of another node published a message.
    Published(Publication, Held),
    /// The way to the leader is open, or broken: what was on it may be lost.
    Way { open: bool },
}

/// Room of the hand-over, taken until this is dropped.
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
    _charge: Charge,
}

/// The sending half of the hand-over.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) tx: mpsc::UnboundedSender<Event>,
    room: Arc<Semaphore>,
    memory: Budget,
}

impl Events {
    pub(crate) fn new(memory: Budget) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self { tx, room: Arc::new(Semaphore::new(APPLY_BYTES_MAX)), memory }, rx)
    }

    async fn apply(&self, entries: Vec<Committed>, bytes: usize) -> io::Result<()> {
        let permits = bytes.min(APPLY_BYTES_MAX) as u32;
        let permit = self.room.clone().acquire_many_owned(permits).await.expect("never closed");
        let mut charge = self.memory.charge(Part::Apply);
        charge.set(bytes);
        self.tx.send(Event::Apply(entries, Room { _permit: permit, _charge: charge })).map_err(|_| stopped())
    }

    /// Waits until something more may be handed over: before the next entry is fetched, which may be a large one.
    async fn room(&self) {
        if self.room.available_permits() == 0 {
            drop(self.room.acquire().await);
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the replica has stopped")
}

/// See the module.
pub(crate) struct Machine {
    events: Events,
    snapshots: SnapshotStore,
    /// What the snapshot covers that this start began with.
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    pub(crate) fn new(events: Events, snapshots: SnapshotStore, start: Option<SnapshotMeta>) -> Self {
        let (applied, membership) =
            start.map_or_else(Default::default, |m| (m.last_log_id, m.last_membership));
        Self { events, snapshots, applied, membership }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: futures_util::Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        loop {
            self.events.room().await;
            let Some(item) = entries.next().await else { break };
            let (entry, responder) = item?;
            let id = entry.log_id;
            self.applied = Some(id);
            let payload = match entry.payload {
                EntryPayload::Blank => CommittedPayload::Blank,
                EntryPayload::Normal(batch) => CommittedPayload::Batch(batch.bytes),
                EntryPayload::Membership(m) => {
                    self.membership = StoredMembership::new(Some(id), m);
                    CommittedPayload::Membership(self.membership.clone())
                }
            };
            bytes += ENTRY_BYTES + if let CommittedPayload::Batch(b) = &payload { b.len() } else { 0 };
            chunk.push(Committed { index: id.index, term: term_of(&id), payload });
            if let Some(responder) = responder {
                responder.send(());
            }
            if bytes >= CHUNK_BYTES {
                self.events.apply(std::mem::take(&mut chunk), bytes).await?;
                bytes = 0;
            }
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.events.apply(chunk, bytes).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder(self.events.clone())
    }

    /// The file is checked and durable; the serving half loads it in its own time, before what follows. Were this
    /// to wait for it, openraft could neither vote nor append meanwhile.
    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<()> {
        let file = self.snapshots.publish(meta, file).await?;
        self.events.tx.send(Event::Install(meta.clone(), file)).map_err(|_| stopped())?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.snapshots.remove_old();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.newest()?.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Asks the serving half for a snapshot.
pub(crate) struct Builder(Events);

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (tx, rx) = oneshot::channel();
        self.0.tx.send(Event::Build(tx)).map_err(|_| stopped())?;
        rx.await.map_err(|_| stopped())?
    }
}
