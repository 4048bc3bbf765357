//! The serving half of a replica: gathers what clients send, applies what is committed, answers.
//!
//! It belongs to the thread of the sessions. A turn of [`Runner::run`] takes everything that has
//! happened: applies entries, executes reads, sends what gathered meanwhile. All costs are per turn or batch.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quorate_env::{Budget, Charge, Instant, Part, clock};
use quorate_keyspace::acl::{Acl, NODE_USER};
use quorate_keyspace::batch::{self, BatchBuilder, Header};
use quorate_keyspace::{
    CommandError, DATABASES_DEFAULT, Host, Keyspace, Outcome, Random, ReadOutcome, Release, Reply, Restore,
    WaiterId,
};
use quorate_planted::{Bug, is_planted};
use quorate_resp::Protocol;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::bus::{Forwarder, Held, Probe, Publication, ReadIndex};
use crate::consensus::{Consensus, Feed};
use crate::full_digest::Digests;
use crate::identity::Identity;
use crate::line::Pace;
use crate::machine::{Committed, CommittedPayload, Event, Room};
use crate::memory::{Evictor, LookAtMemory, Memory};
use crate::news::{Audience, Desk};
use crate::origins::Origins;
use crate::outbox::{Batch, Failure, Item, Local, Outbox, Stamp, Target, Transaction, bytes_of};
use crate::reads::{Chunk, Read, Reads};
use crate::rhythm::Rhythm;
use crate::snapshot::{SnapshotFile, SnapshotStore, Writer};
use crate::stage::{Inline, Stage, on_stage};
use crate::types::{Snapshot, SnapshotMeta, StoredMembership, log_id};
use crate::vigil::{Notice, Vigil};
use crate::waiting::Waiting;
use crate::{AtPlace, Client, line, script_log};

/// Is told of the replicated directory at the start and after each change of it, before anything else happens.
pub type OnDirectory = Rc<dyn Fn(&BTreeMap<String, Vec<u8>>)>;

/// Is told of the users at the start and after each change of them, before anything else happens.
pub type OnUsers = Rc<dyn Fn(&Arc<Acl>)>;

/// Where the execution of an entry or of reads has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lap {
    /// It begins.
    Begin,
    /// The keys whose deadline an entry brings are gone; its commands follow.
    Reclaimed,
    /// The entry is applied.
    Applied,
    /// A write or fsync of the log, which has taken so long that this was noticed, is done.
    DiskDone(Duration),
}

/// Called at each of these moments, by whoever measures.
pub type OnLap = Rc<dyn Fn(Lap)>;

/// Limits and habits of the serving half.
#[derive(Clone)]
pub struct Options {
    /// Where commands are executed.
    pub stage: Rc<dyn Stage>,
    /// Follows the directory.
    pub on_directory: OnDirectory,
    /// Follows the users.
    pub on_users: OnUsers,
    /// Follows the execution.
    pub on_lap: OnLap,
    /// Whom to tell what happens.
    pub audience: Audience,
    /// Looks at the memory of the process.
    pub memory: LookAtMemory,
    /// How many bytes of writes may wait before clients get -OVERLOADED.
    pub pending_bytes_max: usize,
    /// A snapshot is due when the log has grown by this many bytes since the last one, or by the size of that
    /// one if it is larger.
    pub snapshot_log_bytes: u64,
    /// How many bytes of log stay behind a snapshot, for followers that are a little behind.
    pub log_keep_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stage: Rc::new(Inline),
            on_directory: Rc::new(|_| ()),
            on_users: Rc::new(|_| ()),
            on_lap: Rc::new(|_| ()),
            audience: Audience::default(),
            memory: Rc::new(Memory::default),
            pending_bytes_max: 1 << 30,
            snapshot_log_bytes: 256 << 20,
            log_keep_bytes: 64 << 20,
        }
    }
}

/// How much of a snapshot is made in one turn: well under a millisecond (R9).
const SNAPSHOT_SLICE_BYTES: usize = 128 << 10;
/// So many bytes of replies to reads are made in one turn; then it is the turn of writes, and of clients that wait.
const READ_BYTES_PER_TURN: usize = 4 << 20;
/// How many keys and values of what was dropped are freed in one turn.
const GARBAGE_SLICE: usize = 2000;
/// How often waiting commands are checked against the write timeout, and expiry against the clock.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a node that does not lead takes the last word on memory for true.
const SHORT_MEMORY_KNOWN_MS: u64 = 5_000;
/// A batch that is on its way to the leader for longer makes the way suspect.
const WAY_PATIENCE: Duration = Duration::from_millis(1500);
/// What waits may take so much longer for each byte: 20 MB/s is a slow disk or network.
const NS_PER_BYTE: u64 = 50;
/// Names in the directory under which the starts of members stand.
const START_PREFIX: &str = "member.start.";
/// So many reads are looked at together before they are executed: see [`Keyspace::warm`].
const WARM_READS: usize = 16;
/// Room for the header of a batch, and for what a command adds to its arguments.
const BATCH_HEAD_BYTES: usize = 128;
/// Committed entries applied between two looks at everything else.
const EVENTS_PER_TURN: usize = 64;

/// The serving half. Single-threaded; cheap to clone.
#[derive(Clone)]
pub struct Replica {
    shared: Rc<Shared>,
}

struct Shared {
    consensus: Consensus,
    kick: Notify,
    /// Where the answers to read questions come back.
    answers: mpsc::UnboundedSender<(u64, Option<ReadIndex>)>,
    inner: RefCell<Inner>,
    ready: Cell<bool>,
    /// Commands that are to wait no longer, as sessions have asked.
    released: RefCell<Vec<(WaiterId, Release)>>,
}

pub(crate) struct Inner {
    pub(crate) keyspace: Keyspace,
    pub(crate) digests: Digests,
    options: Options,
    outbox: Outbox,
    waiting: Waiting,
    evictor: Evictor,
    /// What was dropped is not all freed yet.
    has_garbage: bool,
    origins: Origins,
    reads: Reads,
    /// What both hold, in the node's budget.
    queued: Charge,
    target: Target,
    forwarder: Option<Forwarder>,
    /// Whether the forwarder has a connection to the leader.
    way_open: bool,
    applied_term: u64,
    identity: Arc<Identity>,
    membership: StoredMembership,
    building: Option<Building>,
    snapshots: SnapshotStore,
    growth: Growth,
    /// Starts of members that this node has proposed to write down.
    starts_proposed: BTreeSet<(u64, u64, u64, u64)>,
    next_sweep: Instant,
    vigil: Vigil,
    desk: Desk,
    /// The changes of the directory that [`Options::on_directory`] was told of.
    directory_seen: Option<u64>,
    /// The changes of users that [`Options::on_users`] was told of.
    users_seen: Option<u64>,
    /// The writes that [`Inner::answered`] has told of.
    writes_seen: u64,
    stats: Stats,
    last_snapshot_ms: u64,
    /// How many writes were in the last snapshot.
    saved_version: u64,
}

/// Counters of a replica, for INFO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries applied since the start.
    pub entries: u64,
    /// Write commands of this node's own clients executed.
    pub writes: u64,
    /// Reads executed.
    pub reads: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots taken over from a leader.
    pub installs: u64,
    /// Commands answered NOQUORUM.
    pub not_applied: u64,
    /// Commands answered UNKNOWN.
    pub unknown: u64,
    /// Commands answered OVERLOADED.
    pub overloaded: u64,
    /// How often the leader changed.
    pub leader_changes: u64,
}

/// A snapshot being written.
struct Building {
    meta: SnapshotMeta,
    /// How many writes are in it.
    version: u64,
    writer: Writer,
    ack: oneshot::Sender<io::Result<Snapshot>>,
    also: Vec<oneshot::Sender<io::Result<Snapshot>>>,
}

/// How the log has grown, to know when a snapshot is due and what may be purged.
#[derive(Default)]
struct Growth {
    total: u64,
    at_snapshot: u64,
    last_snapshot_bytes: u64,
    /// (index, total at it), every [`Growth::STEP`] bytes.
    marks: VecDeque<(u64, u64)>,
    requested: bool,
}

impl Growth {
    const STEP: u64 = 1 << 20;

    fn add(&mut self, index: u64, bytes: u64) {
        self.total += bytes + 64;
        if self.marks.back().is_none_or(|m| self.total - m.1 >= Self::STEP) {
            self.marks.push_back((index, self.total));
        }
    }

    /// The last index that is more than `keep` bytes ago.
    fn purgeable(&mut self, keep: u64) -> Option<u64> {
        let mut index = None;
        while self.marks.front().is_some_and(|m| m.1 + keep < self.total) {
            index = self.marks.pop_front().map(|m| m.0);
        }
        index
    }
}

impl Replica {
    /// Loads the snapshot that consensus began with. Then [`Runner::run`] must be driven.
    pub fn new(consensus: Consensus, feed: Feed, options: Options) -> io::Result<(Self, Runner)> {
        let mut keyspace = Keyspace::new(DATABASES_DEFAULT);
        let mut membership = StoredMembership::default();
        let mut growth = Growth::default();
        if let Some((meta, file)) = &feed.snapshot {
            tracing::info!(bytes = file.bytes, "loading the snapshot");
            keyspace = load(&feed.snapshots, file)?;
            membership = meta.last_membership.clone();
            growth.last_snapshot_bytes = file.bytes;
        }
        let saved_version = keyspace.version();
        let outbox =
            Outbox::new(consensus.identity.node_id(), consensus.identity.start(), options.pending_bytes_max);
        let (answers, answers_rx) = mpsc::unbounded_channel();
        let inner = Inner {
            applied_term: keyspace.term(),
            identity: consensus.identity.clone(),
            keyspace,
            digests: Digests::default(),
            desk: Desk::new(options.audience.clone()),
            options,
            outbox,
            waiting: Waiting::default(),
            evictor: Evictor::new(use_seed(&consensus.identity)),
            has_garbage: false,
            origins: Origins::default(),
            reads: Reads::default(),
            queued: consensus.env.memory.charge(Part::Commands),
            target: Target::default(),
            forwarder: None,
            way_open: false,
            membership,
            building: None,
            snapshots: feed.snapshots,
            growth,
            starts_proposed: BTreeSet::new(),
            next_sweep: Instant::now(),
            vigil: Vigil::new(),
            directory_seen: None,
            users_seen: None,
            writes_seen: 0,
            stats: Stats::default(),
            last_snapshot_ms: 0,
            saved_version,
        };
        let shared = Shared {
            consensus,
            kick: Notify::new(),
            answers,
            inner: RefCell::new(inner),
            ready: Cell::new(false),
            released: RefCell::default(),
        };
        let this = Self { shared: Rc::new(shared) };
        this.shared.inner.borrow_mut().follow_directory()?;
        this.note_clock(&mut this.shared.inner.borrow_mut());
        Ok((
            this.clone(),
            Runner { replica: this, rhythm: Rhythm::default(), events: feed.events, answers: answers_rx },
        ))
    }

    /// The consensus half.
    #[must_use]
    pub fn consensus(&self) -> &Consensus {
        &self.shared.consensus
    }

    /// What the queues of this node may take together, and take.
    #[must_use]
    pub fn memory(&self) -> &Budget {
        &self.shared.consensus.env.memory
    }

    /// Whether this node leads, as far as it knows. Never to be relied on for correctness.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.shared.inner.borrow().target.leader == Some(self.shared.consensus.identity.node_id())
    }

    /// Whether the node has applied, since it started, what was committed before: until then it knows neither
    /// the data nor the password, and answers -LOADING.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.ready.get()
    }

    /// Puts a write into the gathering batch. The client is answered when it was applied, or got an error.
    pub fn write(&self, client: &Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        let mut inner = self.shared.inner.borrow_mut();
        if let Err(failure) = inner.outbox.write(client.clone(), db, args) {
            inner.refuse(client.clone(), failure);
        }
        self.shared.kick.notify_one();
    }

    /// The same for a command that is so large that copying it takes a while: everybody else goes on meanwhile (R20).
    pub async fn write_large(&self, client: &Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        let copy = async |batch: &mut BatchBuilder| {
            batch.open_command(client.user(), db, args.len());
            Pace::steps().put_args(batch, args).await;
            Vec::new()
        };
        self.put_large(client, bytes_of(args), copy).await;
    }

    async fn put_large(
        &self,
        client: &Rc<dyn Client>,
        bytes: usize,
        copy: impl AsyncFnOnce(&mut BatchBuilder) -> Vec<Local>,
    ) {
        let shared = &self.shared;
        let reserved = shared.inner.borrow_mut().outbox.reserve_large(bytes);
        let reserved = match reserved {
            Ok(bytes) => Reserved { shared, bytes },
            Err(failure) => {
                shared.inner.borrow_mut().refuse(client.clone(), failure);
                return shared.kick.notify_one();
            }
        };
        let mut batch = BatchBuilder::with_buffer(Vec::with_capacity(reserved.bytes + BATCH_HEAD_BYTES));
        let locals = copy(&mut batch).await;
        let bytes = reserved.keep();
        shared.inner.borrow_mut().outbox.put_large(client.clone(), batch, locals, bytes);
        shared.kick.notify_one();
    }

    /// Writes on the node's own behalf; the encoded answer (RESP2).
    pub async fn write_internal(&self, args: &[&[u8]]) -> Vec<u8> {
        self.write_internal_by(NODE_USER, args).await
    }

    /// The same for a user who has asked for it.
    pub async fn write_internal_by(&self, user: u64, args: &[&[u8]]) -> Vec<u8> {
        let waiter = Rc::new(Waiter { user, ..Waiter::default() });
        let client: Rc<dyn Client> = waiter.clone();
        self.write(&client, 0, args);
        waiter.done.notified().await;
        waiter.answer.take()
    }

    /// How many other replicas have entry `index` on disk, as far as the leader tells.
    pub async fn replicas_with(&self, index: u64) -> i64 {
        let consensus = &self.shared.consensus;
        let me = consensus.identity.node_id();
        let leader = self.shared.inner.borrow().target.leader;
        let matched = match leader {
            Some(id) if id == me => consensus.view().matched,
            Some(id) => consensus.probe(id).await.map(|p| p.matched).unwrap_or_default(),
            None => return 0,
        };
        matched.iter().filter(|(id, m)| **id != me && **m >= index).count() as i64
    }

    /// Makes this node's log durable up to here, whatever `appendfsync` says. False: it is not, the disk has failed.
    pub async fn sync_log(&self) -> bool {
        let (tx, rx) = oneshot::channel();
        self.shared.consensus.log.sync(Box::new(move |result| drop(tx.send(result))));
        matches!(rx.await, Ok(Ok(())))
    }

    /// How many other replicas have made their logs durable at least up to entry `index`, now that they are asked to;
    /// stops asking once there are `wanted`. Takes `limit` at most.
    pub async fn replicas_synced(&self, index: u64, wanted: i64, limit: Duration) -> i64 {
        let consensus = &self.shared.consensus;
        let me = consensus.identity.node_id();
        let others: Vec<_> = consensus.view().members.into_keys().filter(|id| *id != me).collect();
        let mut answers: FuturesUnordered<_> =
            others.iter().map(|id| consensus.sync_on(*id, limit)).collect();
        let mut have = 0;
        while have < wanted
            && let Some(answer) = answers.next().await
        {
            have += i64::from(answer.is_ok_and(|upto| upto >= index));
        }
        have
    }

    /// What other members say of themselves, side by side; `None` for those that do not answer.
    pub async fn probe_all(&self, ids: &[u64]) -> Vec<Option<Probe>> {
        let probe = |id: &u64| {
            let (consensus, id) = (self.shared.consensus.clone(), *id);
            tokio::task::spawn_local(async move { consensus.probe(id).await.ok() })
        };
        let tasks: Vec<_> = ids.iter().map(probe).collect();
        let mut probes = Vec::with_capacity(tasks.len());
        for task in tasks {
            probes.push(task.await.ok().flatten());
        }
        probes
    }

    /// Puts a transaction into the gathering batch.
    pub fn transaction(&self, client: &Rc<dyn Client>, transaction: Transaction) {
        let mut inner = self.shared.inner.borrow_mut();
        if let Err(failure) = inner.outbox.transaction(client.clone(), transaction) {
            inner.refuse(client.clone(), failure);
        }
        self.shared.kick.notify_one();
    }

    /// The same for one that is so large that copying it takes a while (R20).
    pub async fn transaction_large(&self, client: &Rc<dyn Client>, transaction: Transaction) {
        let bytes = transaction.bytes();
        let copy =
            async |batch: &mut BatchBuilder| transaction.put(batch, client.user(), Pace::steps()).await;
        self.put_large(client, bytes, copy).await;
    }

    /// Has a command that waits for a key end soon, unless it is served before. From anywhere, apply too.
    pub fn release(&self, waiter: WaiterId, release: Release) {
        self.shared.released.borrow_mut().push((waiter, release));
        self.shared.kick.notify_one();
    }

    /// Has all clients of this node that wait for keys answered, for at most `limit`: the node stops.
    pub async fn release_all(&self, limit: Duration) {
        self.shared.inner.borrow_mut().waiting.release_all(Release::Stopped);
        self.shared.kick.notify_one();
        let until = Instant::now() + limit;
        while self.shared.inner.borrow().waiting.clients() > 0 && Instant::now() < until {
            clock::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Puts a read behind the writes of its connection that are under way (R1).
    pub fn read_behind_writes(&self, client: &Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        if is_planted(Bug::ReadOutOfOrder) {
            return self.read(client, db, args);
        }
        self.shared.inner.borrow_mut().outbox.read(client.clone(), db, args);
        self.shared.kick.notify_one();
    }

    /// Executes a linearizable read as soon as this node knows that it has seen everything acknowledged.
    pub fn read(&self, client: &Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        self.shared.inner.borrow_mut().reads.command(client.clone(), db, args);
        self.shared.kick.notify_one();
    }

    /// Calls `f` with the state and its index behind the writes of its connection that are under way.
    pub fn local_behind_writes(&self, f: AtPlace) {
        self.shared.inner.borrow_mut().outbox.local(f);
        self.shared.kick.notify_one();
    }

    /// Calls `f` with the state and its index as if it were a linearizable read.
    pub fn local(&self, f: AtPlace) {
        self.shared.inner.borrow_mut().reads.local(f);
        self.shared.kick.notify_one();
    }

    /// Looks at the state as this node has applied it: never older than what this node's clients wrote or
    /// read (session-reads), for READONLY connections and for what is not data.
    pub fn with_keyspace<R>(&self, f: impl FnOnce(&Keyspace) -> R) -> R {
        f(&self.shared.inner.borrow().keyspace)
    }

    /// The same for a look that may take long.
    pub async fn look<R: 'static>(&self, f: impl FnOnce(&Keyspace) -> R + 'static) -> R {
        let (stage, shared) = (self.shared.inner.borrow().options.stage.clone(), self.shared.clone());
        on_stage(&*stage, move || f(&shared.inner.borrow().keyspace)).await
    }

    /// Looks at who waits for a full digest, and goes on with it.
    pub(crate) fn with_digests(&self, f: impl FnOnce(&mut Digests)) {
        f(&mut self.shared.inner.borrow_mut().digests);
        self.shared.kick.notify_one();
    }

    /// A seed for reads that pick at random.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.consensus.env.random.next_u64()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.inner.borrow().stats
    }

    /// How many bytes of writes wait.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.inner.borrow().outbox.bytes()
    }

    /// Waits until this node has applied everything that was committed when it began to wait.
    pub async fn catch_up(&self) {
        loop {
            let leader = self.shared.inner.borrow().target.leader;
            if let Some(read) = self.shared.consensus.read_index(leader).await {
                while self.shared.inner.borrow().keyspace.index() < read.index {
                    clock::sleep(Duration::from_millis(1)).await;
                }
                self.shared.ready.set(true);
                return;
            }
            clock::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a message of one of this node's clients to the clients of other nodes: at most once, after what its connection
    /// has written (R18). This node's own clients are the caller's business.
    pub fn publish(&self, publication: &Publication) {
        self.shared.consensus.publisher.publish(publication);
    }

    /// How many published messages did not reach another node, each counted once for each node.
    #[must_use]
    pub fn publications_dropped(&self) -> u64 {
        self.shared.consensus.publisher.dropped()
    }

    /// Asks for a snapshot now.
    pub fn snapshot(&self) {
        self.shared.consensus.trigger_snapshot();
    }

    /// When this node last finished a snapshot, in milliseconds since 1970; 0 if it has not since it was started.
    #[must_use]
    pub fn last_snapshot_ms(&self) -> u64 {
        self.shared.inner.borrow().last_snapshot_ms
    }

    /// How many writes have changed something since this node's last snapshot.
    #[must_use]
    pub fn changes_since_snapshot(&self) -> u64 {
        let inner = self.shared.inner.borrow();
        inner.keyspace.version().saturating_sub(inner.saved_version)
    }

    /// Whether a snapshot is being written.
    #[must_use]
    pub fn is_snapshotting(&self) -> bool {
        self.shared.inner.borrow().building.is_some()
    }
}

/// Room in the outbox for a command that is being copied.
struct Reserved<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl Reserved<'_> {
    /// The command is whole: the room goes with it.
    fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.inner.borrow_mut().outbox.give_up_large(self.bytes);
        }
    }
}

/// Waits for the answer to a write of the node itself.
#[derive(Default)]
struct Waiter {
    user: u64,
    answer: RefCell<Vec<u8>>,
    done: Notify,
}

impl Client for Waiter {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.answer.borrow_mut(), Protocol::Resp2));
    }

    fn done(&self, _index: u64) {
        self.done.notify_one();
    }

    fn postpone(&self) {}

    fn user(&self) -> u64 {
        self.user
    }
}

/// Drives a replica; see [`Runner::run`].
pub struct Runner {
    replica: Replica,
    rhythm: Rhythm,
    events: mpsc::UnboundedReceiver<Event>,
    answers: mpsc::UnboundedReceiver<(u64, Option<ReadIndex>)>,
}

impl Runner {
    /// Turns until consensus stops. The error says why the node must stop.
    pub async fn run(mut self) -> io::Result<()> {
        let shared = self.replica.shared.clone();
        loop {
            let sleep = clock::sleep_until(self.replica.next_timer());
            let busy = self.replica.has_room() || shared.inner.borrow().is_busy();
            let mut first = None;
            tokio::select! {
                biased;
                event = self.events.recv() => first = Some(event.unwrap_or(Event::Stopped)),
                answer = self.answers.recv() => {
                    let (number, answer) = answer.expect("the replica holds a sender");
                    shared.inner.borrow_mut().reads.answer(number, answer);
                }
                () = shared.kick.notified() => {}
                () = sleep => {}
                () = tokio::task::yield_now(), if busy => {}
            }
            if !self.drain(first).await? {
                return Ok(());
            }
            {
                let mut inner = shared.inner.borrow_mut();
                let answered = inner.answered();
                // Where an entry costs no wake-up, nobody is waited for.
                let expected = if answered > 0 && shared.consensus.log.is_prompt() { 0 } else { answered };
                self.rhythm.answered(expected, inner.outbox.gathered());
            }
            if self.rhythm.is_on() {
                self.gather().await;
                if !self.drain(None).await? {
                    return Ok(());
                }
            }
            self.replica.turn();
        }
    }

    /// Lets the sessions write what was answered, and waits as long as the rhythm of the clients says.
    async fn gather(&mut self) {
        let shared = self.replica.shared.clone();
        let gathered = || shared.inner.borrow().outbox.gathered();
        while self.rhythm.waits(gathered()) {
            clock::give_way();
            tokio::task::yield_now().await;
        }
    }

    /// Takes what has happened, so that one turn serves all of it, and executes what can be executed by then. False:
    /// consensus has stopped.
    async fn drain(&mut self, first: Option<Event>) -> io::Result<bool> {
        let replica = &self.replica;
        let mut work = Vec::new();
        let more = std::iter::from_fn(|| self.events.try_recv().ok());
        for event in first.into_iter().chain(more.take(EVENTS_PER_TURN)) {
            match event {
                Event::Apply(entries, room) => work.push((entries, room)),
                Event::Stopped => return Ok(false),
                event => {
                    replica.execute(std::mem::take(&mut work)).await?;
                    replica.event(event).await?;
                }
            }
        }
        while let Ok((number, answer)) = self.answers.try_recv() {
            replica.shared.inner.borrow_mut().reads.answer(number, answer);
        }
        replica.execute(work).await?;
        Ok(true)
    }
}

/// Entries to apply, and the room that they take until then.
type Entries = (Vec<Committed>, Room);

impl Replica {
    /// Applies `work`, and executes the reads that this or an answer of the leader has made ready.
    async fn execute(&self, work: Vec<Entries>) -> io::Result<()> {
        {
            let inner = self.shared.inner.borrow();
            if work.is_empty() && !inner.reads.has_ready(inner.keyspace.index()) {
                return Ok(());
            }
        }
        let stage = self.shared.inner.borrow().options.stage.clone();
        let (mut rooms, mut entries) = (Vec::with_capacity(work.len()), VecDeque::new());
        for (more, room) in work {
            entries.extend(more);
            rooms.push(room);
        }
        loop {
            let this = self.clone();
            let (rest, pause) = on_stage(&*stage, move || {
                let shared = &this.shared;
                let mut inner = shared.inner.borrow_mut();
                let pause = inner.apply_all(&mut entries);
                // Here it may take as long as what it makes room for.
                this.look_at_memory(&mut inner);
                this.look_at_replicas(&mut inner);
                if matches!(pause, Ok(Duration::ZERO)) && inner.execute_reads() {
                    shared.kick.notify_one();
                }
                (entries, pause)
            })
            .await;
            match pause? {
                Duration::ZERO => return Ok(()),
                pause => clock::sleep(pause).await,
            }
            entries = rest;
        }
    }

    async fn event(&self, event: Event) -> io::Result<()> {
        match event {
            Event::Apply(..) | Event::Stopped => unreachable!("the caller takes them"),
            Event::Build(ack) => self.shared.inner.borrow_mut().begin_snapshot(ack),
            Event::Install(meta, file) => self.install(meta, &file).await?,
            Event::Leader { term, leader } => self.set_target(Target { term, leader }),
            Event::Refused(header) => self.shared.inner.borrow_mut().outbox.refused(&header),
            Event::Published(publication, held) => self.published(publication, held).await,
            Event::Way { open } => {
                let mut inner = self.shared.inner.borrow_mut();
                inner.way_open = open;
                inner.outbox.way_changed();
            }
        }
        Ok(())
    }

    /// A message of another node's client: where commands are executed, if it takes time to find out who listens.
    async fn published(&self, publication: Publication, held: Held) {
        let (takes_time, stage) = {
            let inner = self.shared.inner.borrow();
            (inner.desk.takes_time(&publication), inner.options.stage.clone())
        };
        let this = self.clone();
        let hand_out = move || {
            let mut inner = this.shared.inner.borrow_mut();
            let index = inner.keyspace.index();
            inner.desk.published(publication, held, index);
        };
        if takes_time {
            on_stage(&*stage, hand_out).await;
        } else {
            hand_out();
        }
    }

    /// Timeouts run on while a snapshot is installed.
    fn keep_time(&self) {
        let mut inner = self.shared.inner.borrow_mut();
        self.sweep_if_due(&mut inner);
    }

    fn sweep_if_due(&self, inner: &mut Inner) {
        if Instant::now() >= inner.next_sweep {
            if let Some(late) = Vigil::standstill(inner.next_sweep) {
                tracing::warn!(
                    ms = late.as_millis() as u64,
                    "this node stood still: a command took long, or the machine gave it no processor time"
                );
                // That nothing was heard of others meanwhile says nothing of them.
                inner.origins.begin_anew();
                inner.outbox.forgive(late);
                inner.reads.forgive(late);
            }
            inner.next_sweep = Instant::now() + SWEEP;
            self.note_clock(inner);
            self.sweep(inner);
        }
    }

    /// When a turn is due though nothing has happened. What is to be sent again while it cannot be waits for a leader or for
    /// the way to it, which come as events: a time that has passed would keep the thread busy until then.
    fn next_timer(&self) -> Instant {
        let inner = self.shared.inner.borrow();
        let resend = inner.outbox.resend_at().filter(|_| self.can_send(&inner));
        let timers = [resend, inner.waiting.next_timer()];
        timers.into_iter().flatten().fold(inner.next_sweep, Instant::min)
    }

    /// Whether there is a leader and a way to it.
    fn can_send(&self, inner: &Inner) -> bool {
        let me = self.shared.consensus.identity.node_id();
        inner.target.leader.is_some_and(|leader| leader == me || inner.way_open)
    }

    fn set_target(&self, target: Target) {
        let mut inner = self.shared.inner.borrow_mut();
        if inner.target != target {
            inner.stats.leader_changes += u64::from(target.leader.is_some());
            if !is_planted(Bug::CachesOutliveLeader) {
                inner.desk.gap();
            }
            inner.origins.begin_anew();
            inner.target = target;
            inner.outbox.new_target();
            if target.leader.is_some() && is_planted(Bug::WaiterRegisteredAgain) {
                inner.register_again();
            }
            inner.reads.ask_anew();
            inner.way_open = false;
            let me = self.shared.consensus.identity.node_id();
            inner.forwarder =
                target.leader.filter(|id| *id != me).map(|id| self.shared.consensus.forwarder(id));
        }
    }

    /// Everything that follows from what has happened.
    fn turn(&self) {
        let mut inner = self.shared.inner.borrow_mut();
        let queued = inner.outbox.bytes() + inner.reads.bytes();
        inner.queued.set(queued);
        self.sweep_if_due(&mut inner);
        self.end_waits(&mut inner);
        self.look_at_memory(&mut inner);
        self.look_at_replicas(&mut inner);
        self.send(&mut inner);
        self.ask(&mut inner);
        self.snapshot_slice(&mut inner);
        inner.digest_slice();
        inner.has_garbage = inner.keyspace.take_garbage(GARBAGE_SLICE);
    }

    /// Asks for the end of what has waited long enough.
    fn end_waits(&self, inner: &mut Inner) {
        for (waiter, release) in self.shared.released.take() {
            inner.waiting.release(waiter, release);
        }
        let (waiting, outbox) = (&mut inner.waiting, &mut inner.outbox);
        waiting.ask(|client, waiter, release| {
            outbox.write(client, 0, &[b"\0unblock", &waiter.to_bytes(), release.word()]).is_ok()
        });
    }

    /// The leader has keys evicted, or commands refused, when it is above `maxmemory`.
    fn look_at_memory(&self, inner: &mut Inner) {
        let leads = inner.target.leader == Some(self.shared.consensus.identity.node_id());
        let (evictor, outbox) = (&mut inner.evictor, &mut inner.outbox);
        let is_short = leads
            && evictor.look(&inner.keyspace, &(inner.options.memory)(), |client, db, args| {
                outbox.write(client, db, args).is_ok()
            });
        if !leads {
            evictor.rest();
        }
        self.shared.consensus.proposals.memory_short.store(is_short, Ordering::Relaxed);
    }

    /// Whether scripts must not write, if this node leads.
    fn look_at_replicas(&self, inner: &mut Inner) {
        let wanted = inner.keyspace.replicas_to_write();
        let lacks = wanted > 0 && inner.membership.voter_ids().count() <= wanted;
        self.shared.consensus.proposals.few_replicas.store(lacks, Ordering::Relaxed);
    }

    /// Whether a command that may need memory would be refused now, as far as this node knows: the leader looks, others know
    /// what the last batch said, if it is not long ago. (While everybody is refused, none comes to say that it is over.)
    #[must_use]
    pub fn memory_is_short(&self) -> bool {
        let inner = self.shared.inner.borrow();
        let (keyspace, memory) = (&inner.keyspace, (inner.options.memory)());
        if inner.target.leader == Some(self.shared.consensus.identity.node_id()) {
            return inner.evictor.is_short(keyspace, &memory);
        }
        let age_ms = self.shared.consensus.clock().now_ms().saturating_sub(keyspace.time_ms());
        memory.limit > 0 && keyspace.memory_is_short() && age_ms < SHORT_MEMORY_KNOWN_MS
    }

    /// What this node, which leads, adds to a batch.
    fn stamp(&self) -> Stamp {
        let consensus = &self.shared.consensus;
        Stamp {
            time_ms: consensus.clock.now_ms(),
            seed: consensus.env.random.next_u64(),
            memory_short: consensus.proposals.memory_short.load(Ordering::Relaxed),
            few_replicas: consensus.proposals.few_replicas.load(Ordering::Relaxed),
        }
    }

    /// Uses of keys are noted by this node's clock.
    fn note_clock(&self, inner: &mut Inner) {
        let consensus = &self.shared.consensus;
        inner.keyspace.note_clock(consensus.clock.now_ms() / 1000, use_seed(&consensus.identity));
    }

    /// Sends what gathered, if the leader is known and not too much is on its way.
    fn send(&self, inner: &mut Inner) {
        let me = self.shared.consensus.identity.node_id();
        let leads = inner.target.leader == Some(me);
        let stamp = || match leads {
            true => self.stamp(),
            false => Stamp::default(),
        };
        if !self.can_send(inner) {
            return;
        }
        let batches = inner.outbox.take_sendable(inner.target, stamp);
        if batches.is_empty() {
            return;
        }
        if let Some(forwarder) = &inner.forwarder {
            batches.into_iter().for_each(|b| forwarder.send(b));
        } else {
            let consensus = self.shared.consensus.clone();
            tokio::task::spawn_local(async move {
                for batch in batches {
                    consensus.propose(batch).await;
                }
            });
        }
    }

    fn ask(&self, inner: &mut Inner) {
        while let Some(number) = inner.reads.ask(inner.keyspace.index()) {
            let (shared, leader) = (self.shared.clone(), inner.target.leader);
            tokio::task::spawn_local(async move {
                let answer = shared.consensus.read_index(leader).await;
                if answer.is_none() {
                    clock::sleep(Duration::from_millis(10)).await;
                }
                let _ = shared.answers.send((number, answer));
            });
        }
    }

    fn sweep(&self, inner: &mut Inner) {
        let way_time = self.way_time(inner);
        let limit = self.shared.consensus.timing.write_timeout + way_time;
        let lost = inner.outbox.expire(limit, inner.applied_term);
        for (batch, failure) in lost {
            inner.fail_batch(batch, failure);
        }
        for chunk in inner.reads.expire(limit) {
            inner.fail_reads(chunk);
        }
        match inner.vigil.look_at_disk(&self.shared.consensus.log.stats()) {
            Some(Notice::DiskHangs(time)) => tracing::warn!(
                ms = time.as_millis() as u64,
                "the disk hangs: one write or fsync of the log has taken this long and is not done"
            ),
            Some(Notice::DiskDone(time)) => {
                tracing::warn!(ms = time.as_millis() as u64, "the disk has gone on after this long");
                (inner.options.on_lap)(Lap::DiskDone(time));
            }
            None => {}
        }
        let leads = inner.target.leader == Some(self.shared.consensus.identity.node_id());
        self.remake_dead_way(inner, leads, way_time);
        if leads {
            let now = self.shared.consensus.clock.now_ms();
            if inner.keyspace.next_deadline().is_some_and(|d| d <= now) {
                inner.outbox.tick();
            }
            self.record_starts(inner);
            self.drop_waiters(inner);
        }
        if inner.keyspace.take_met_expired() {
            // If it is lost, the key is looked for again.
            let _ = inner.outbox.write(Rc::new(Waiter::default()), 0, &[b"\0reclaim"]);
        }
        let identity = &self.shared.consensus.identity;
        inner.waiting.look_after_failed(inner.keyspace.index());
        if inner.keyspace.has_waiters_before(identity.node_id(), identity.start()) {
            // Any batch of this start ends them.
            inner.outbox.tick();
        }
        let grown = inner.growth.total - inner.growth.at_snapshot;
        let due = inner.options.snapshot_log_bytes.max(inner.growth.last_snapshot_bytes);
        // A snapshot on its way to a follower must not be overtaken for ever: see `SnapshotStore::remove_old`.
        let due = if inner.snapshots.is_sending() { due * 4 } else { due };
        if grown >= due && !inner.growth.requested && inner.building.is_none() {
            inner.growth.requested = true;
            self.shared.consensus.trigger_snapshot();
        }
        let mut probe = self.shared.consensus.probe.lock().expect("not poisoned");
        probe.applied = inner.keyspace.index();
        probe.digest = (inner.keyspace.index(), inner.keyspace.digest());
        probe.term = inner.target.term;
        probe.leader = leads;
        let view = self.shared.consensus.view();
        probe.last = view.last;
        if !view.is_leader {
            self.shared.consensus.identity.forget_acknowledged(view.term);
        }
        probe.matched = view.matched;
    }

    /// How much longer than a small command what waits here may take: large entries, its own and those of other nodes, are
    /// on their way before it.
    fn way_time(&self, inner: &Inner) -> Duration {
        let bytes = inner.outbox.bytes() + self.memory().used_by(Part::Bus);
        Duration::from_nanos(bytes as u64 * NS_PER_BYTE)
    }

    /// A connection that carries nothing any more is not noticed by TCP for minutes.
    fn remake_dead_way(&self, inner: &mut Inner, leads: bool, way_time: Duration) {
        let stuck = inner.outbox.oldest_in_flight().is_some_and(|age| age > WAY_PATIENCE + way_time);
        if let Some(leader) = inner.target.leader.filter(|_| stuck && !leads && inner.way_open) {
            tracing::info!(leader, "nothing comes back from the leader: connecting anew");
            inner.way_open = false;
            inner.forwarder = Some(self.shared.consensus.forwarder(leader));
        }
    }

    /// The leader writes down how often each member was started, so that an older copy of a data folder is told
    /// from the folder itself (R5).
    fn record_starts(&self, inner: &mut Inner) {
        for (id, start, nonce) in self.shared.consensus.identity.unrecorded_starts() {
            // Once a term: a proposal may be lost with its leader.
            if inner.starts_proposed.insert((inner.target.term, id, start, nonce)) {
                let name = format!("{START_PREFIX}{id}");
                let value = format!("{start} {nonce}");
                let client: Rc<dyn Client> = Rc::new(Waiter::default());
                let _ =
                    inner.outbox.write(client, 0, &[b"\0directory.set", name.as_bytes(), value.as_bytes()]);
            }
        }
    }

    /// The leader ends what waits for clients of nodes that have ended, that it has not heard of for long, or that are members no
    /// more: they must not take elements that nobody will ever see.
    fn drop_waiters(&self, inner: &mut Inner) {
        let consensus = &self.shared.consensus;
        let waiting = inner.keyspace.waiting_origins();
        if waiting.is_empty() {
            return;
        }
        let patience = consensus.timing.write_timeout * 2;
        let (heard, down) = (consensus.heard_from(), consensus.peers.down());
        for (node, start) in inner.origins.gone(waiting, &heard, &down, patience) {
            tracing::info!(
                node,
                "its clients do not wait for keys any more: it is gone, or nothing was heard of it for long"
            );
            let [node, start, term] = [node, start, inner.target.term].map(|n| n.to_string());
            let client: Rc<dyn Client> = Rc::new(Waiter::default());
            let line: [&[u8]; 4] = [b"\0drop-waiters", node.as_bytes(), start.as_bytes(), term.as_bytes()];
            // If it is lost, it comes again.
            let _ = inner.outbox.write(client, 0, &line);
        }
    }

    fn has_room(&self) -> bool {
        self.shared.inner.borrow().building.as_ref().is_some_and(|b| b.writer.has_room())
    }

    fn snapshot_slice(&self, inner: &mut Inner) {
        let Some(building) = &mut inner.building else { return };
        if !building.writer.has_room() {
            return;
        }
        let mut slice = Vec::with_capacity(SNAPSHOT_SLICE_BYTES + 4096);
        let done = inner.keyspace.snapshot_slice(&mut slice, SNAPSHOT_SLICE_BYTES);
        if !slice.is_empty() {
            building.writer.piece(&slice);
        }
        if done {
            let building = inner.building.take().expect("checked");
            tokio::task::spawn_local(self.clone().finish_snapshot(building));
        }
    }

    async fn finish_snapshot(self, building: Building) {
        let Building { meta, version, writer, ack, also } = building;
        let result = writer.finish_pieces().await;
        if let Ok(file) = &result {
            let mut inner = self.shared.inner.borrow_mut();
            inner.saved_version = version;
            let index = meta.last_log_id.as_ref().map_or(0, |id| id.index);
            tracing::info!(index, bytes = file.bytes, "snapshot written");
            inner.stats.snapshots += 1;
            inner.last_snapshot_ms = self.shared.consensus.clock().now_ms();
            inner.growth.last_snapshot_bytes = file.bytes;
            inner.snapshots.remove_old();
        }
        let done = result.is_ok();
        for ack in also {
            let shared = result.as_ref().map(|file| Snapshot { meta: meta.clone(), snapshot: file.clone() });
            let _ = ack.send(shared.map_err(|e| io::Error::new(e.kind(), e.to_string())));
        }
        let _ = ack.send(result.map(|snapshot| Snapshot { meta: meta.clone(), snapshot }));
        if done {
            self.purge(meta.last_log_id.as_ref().map_or(0, |id| id.index)).await;
        }
    }

    /// Gives up the log behind a snapshot, but for what followers that are a little behind may need.
    async fn purge(&self, covered: u64) {
        // openraft must have taken note of the snapshot first; a purge beyond it is ignored.
        clock::sleep(SWEEP).await;
        while self.shared.inner.borrow().snapshots.is_sending() {
            clock::sleep(SWEEP).await;
        }
        let upto = {
            let mut inner = self.shared.inner.borrow_mut();
            let keep = inner.options.log_keep_bytes.max(inner.growth.last_snapshot_bytes / 4);
            inner.growth.purgeable(keep)
        };
        if let Some(upto) = upto.map(|i| i.min(covered)) {
            self.shared.consensus.purge(upto);
        }
    }

    /// Replaces the state by a snapshot that a leader sent. The old state serves session-reads meanwhile.
    async fn install(&self, meta: SnapshotMeta, file: &SnapshotFile) -> io::Result<()> {
        let snapshots = self.shared.inner.borrow().snapshots.clone();
        let mut reader = snapshots.reader(file)?;
        let mut restore = Restore::new();
        while let Some(piece) = reader.piece()? {
            restore.push(&piece).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            self.keep_time();
            tokio::task::yield_now().await;
        }
        let keyspace =
            restore.finish().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        let mut inner = self.shared.inner.borrow_mut();
        if let Some(building) = inner.building.take() {
            // An error would end consensus; a snapshot that is not newer than its own is passed over.
            let _ = building.ack.send(Ok(Snapshot { meta: meta.clone(), snapshot: file.clone() }));
        }
        let node = self.shared.consensus.identity.node_id();
        if let Some(o) = keyspace.origin(node) {
            for (batch, failure) in inner.outbox.covered_by_snapshot(o.start, o.epoch, o.seq) {
                inner.fail_batch(batch, failure);
            }
        }
        let start = self.shared.consensus.identity.start();
        inner.waiting.compare(&keyspace, node, start);
        tracing::info!(index = keyspace.index(), bytes = file.bytes, "installed a snapshot");
        inner.applied_term = keyspace.term();
        keyspace.go_on_from(inner.keyspace.usage());
        inner.keyspace = keyspace;
        self.note_clock(&mut inner);
        let index = inner.keyspace.index();
        inner.users_seen = None;
        if !is_planted(Bug::MessageBeforeRights) {
            let inner = &mut *inner;
            follow_users(&inner.options, &inner.keyspace, &mut inner.users_seen);
        }
        if !is_planted(Bug::CachesOutliveSnapshot) {
            inner.desk.gap();
        }
        inner.desk.deliver(index);
        inner.digests.begin_anew();
        inner.membership = meta.last_membership;
        inner.growth = Growth { last_snapshot_bytes: file.bytes, ..Growth::default() };
        inner.saved_version = inner.keyspace.version();
        inner.stats.installs += 1;
        inner.directory_seen = None;
        inner.follow_directory()
    }
}

/// From which follows what a node draws at random to note uses of keys and to choose some: on no two nodes, in no two
/// starts the same.
fn use_seed(identity: &Identity) -> u64 {
    Random::for_command(identity.incarnation(), identity.start(), identity.node_id())
}

/// Reads a whole snapshot. Blocks; start of a node only.
fn load(store: &SnapshotStore, file: &SnapshotFile) -> io::Result<Keyspace> {
    let invalid = |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
    let mut reader = store.reader(file)?;
    let mut restore = Restore::new();
    while let Some(piece) = reader.piece()? {
        restore.push(&piece).map_err(|e| invalid(&e))?;
    }
    restore.finish().map_err(|e| invalid(&e))
}

/// Tells whoever follows the users that they have changed.
fn follow_users(options: &Options, keyspace: &Keyspace, seen: &mut Option<u64>) {
    let users = Some(keyspace.users_changes());
    if users != *seen {
        *seen = users;
        (options.on_users)(keyspace.users());
    }
}

impl Inner {
    /// Applies entries until one asks for a pause that has to be waited for.
    fn apply_all(&mut self, entries: &mut VecDeque<Committed>) -> io::Result<Duration> {
        if is_planted(Bug::ReplyBeforeApply) {
            self.answer_ahead(entries);
        }
        while let Some(entry) = entries.pop_front() {
            let pause = self.apply(entry)?;
            let left = clock::stand_still(pause);
            if left > Duration::ZERO {
                return Ok(left);
            }
        }
        Ok(Duration::ZERO)
    }

    /// A planted bug: what this node's clients wait for is sent anew.
    fn register_again(&mut self) {
        let (ids, client) = self.waiting.again();
        for (db, args) in ids.into_iter().filter_map(|id| self.keyspace.waiting_line(id)) {
            let _refused = self.outbox.write(client.clone(), db, &args);
        }
    }

    /// A planted bug: answers this node's clients in entries that wait to be applied.
    fn answer_ahead(&mut self, entries: &VecDeque<Committed>) {
        for entry in entries {
            let CommittedPayload::Batch(bytes) = &entry.payload else { continue };
            let header = batch::parse_header(bytes).unwrap_or_default();
            for item in self.outbox.take_applied(&header).into_iter().flat_map(|batch| batch.items) {
                match item {
                    Item::Write(client, _) | Item::Read(client) => {
                        client.answer(entry.index, &mut |reply| reply.ok())
                    }
                    Item::Local(f) => f(&self.keyspace, entry.index),
                    Item::Waits => unreachable!("nothing of it was applied"),
                }
            }
        }
    }

    /// Applies one entry and answers this node's clients in it. How long its commands ask to pause.
    fn apply(&mut self, entry: Committed) -> io::Result<Duration> {
        self.stats.entries += 1;
        self.applied_term = entry.term;
        let bytes = match entry.payload {
            CommittedPayload::Batch(bytes) => bytes,
            CommittedPayload::Blank => return Ok(self.apply_blank(entry.index, entry.term)),
            CommittedPayload::Membership(membership) => {
                self.membership = membership;
                return Ok(self.apply_blank(entry.index, entry.term));
            }
        };
        self.growth.add(entry.index, bytes.len() as u64);
        let header = batch::parse_header(&bytes).unwrap_or_default();
        let on_lap = self.options.on_lap.clone();
        on_lap(Lap::Begin);
        let mut host = Origin::new(&mut self.outbox, &mut self.waiting, header, entry.index, &*on_lap);
        host.names_authors = self.desk.before(&mut self.keyspace);
        let applied = self.keyspace.apply(entry.index, entry.term, &bytes, &mut host);
        host.finish(&self.keyspace);
        // What the entry tells, and what has waited for it, is not for those who may not hear it behind the entry.
        if !is_planted(Bug::MessageBeforeRights) {
            follow_users(&self.options, &self.keyspace, &mut self.users_seen);
        }
        self.desk.after(&mut self.keyspace, &host.authors);
        on_lap(Lap::Applied);
        self.keyspace.take_script_lines().iter().for_each(script_log::report);
        self.stats.writes += host.writes;
        self.stats.reads += host.reads;
        let pause = Duration::from_millis(host.pause_ms);
        self.follow_directory()?;
        match applied.outcome {
            Outcome::Applied | Outcome::Damaged => {}
            Outcome::WrongTerm | Outcome::OutOfSequence => self.outbox.passed_over(&header),
            Outcome::Unsupported => return Err(io::Error::new(io::ErrorKind::Unsupported, UPGRADE)),
        }
        Ok(pause)
    }

    /// Tells whoever follows the directory, or the users, that they have changed.
    /// Errors: this node's folder is a copy.
    fn follow_directory(&mut self) -> io::Result<()> {
        follow_users(&self.options, &self.keyspace, &mut self.users_seen);
        let now = Some(self.keyspace.directory_changes());
        if now != self.directory_seen {
            self.directory_seen = now;
            (self.options.on_directory)(self.keyspace.directory());
            for (name, value) in self.keyspace.directory().range(START_PREFIX.to_owned()..) {
                let Some(id) = name.strip_prefix(START_PREFIX) else { break };
                let value = String::from_utf8_lossy(value);
                let fields = value.split_once(' ').map(|(start, nonce)| (start.parse(), nonce.parse()));
                if let (Ok(id), Some((Ok(start), Ok(nonce)))) = (id.parse(), fields) {
                    self.identity.set_known_start(id, start, nonce).map_err(io::Error::other)?;
                }
            }
        }
        Ok(())
    }

    fn apply_blank(&mut self, index: u64, term: u64) -> Duration {
        self.growth.add(index, 0);
        // The entry that founds a cluster has index 0, which is also the index of a state before any entry.
        if index > 0 {
            self.keyspace.apply_blank(index, term);
            self.desk.deliver(index);
        }
        Duration::ZERO
    }

    /// Whether there is work that waits for nothing.
    fn is_busy(&self) -> bool {
        self.digests.is_busy() || self.has_garbage
    }

    /// How many writes of this node's clients were answered since the last call.
    fn answered(&mut self) -> usize {
        let writes = self.stats.writes;
        let answered = writes - std::mem::replace(&mut self.writes_seen, writes);
        usize::try_from(answered).unwrap_or(usize::MAX)
    }

    fn begin_snapshot(&mut self, ack: oneshot::Sender<io::Result<Snapshot>>) {
        self.growth.requested = false;
        if let Some(building) = &mut self.building {
            // Both wait for the one that is being written.
            building.also.push(ack);
            return;
        }
        self.growth.at_snapshot = self.growth.total;
        let index = self.keyspace.index();
        let last_log_id = (index > 0 || self.applied_term > 0).then(|| log_id(self.applied_term, index));
        let meta = SnapshotMeta { last_log_id, last_membership: self.membership.clone() };
        let writer = self.snapshots.create(&meta);
        self.keyspace.snapshot_begin();
        let version = self.keyspace.version();
        self.building = Some(Building { meta, version, writer, ack, also: Vec::new() });
    }

    /// Executes reads that may be executed now, until their replies are as long as a turn allows. True: there are more.
    fn execute_reads(&mut self) -> bool {
        // What is evicted is on its way in an entry.
        if self.evictor.is_far_above() && self.reads.give_way(self.keyspace.index()) {
            return false;
        }
        let mut room = READ_BYTES_PER_TURN;
        while let Some((mut chunk, now_ms)) = self.reads.take_ready(self.keyspace.index()) {
            (self.options.on_lap)(Lap::Begin);
            match self.execute(&mut chunk, now_ms, &mut room) {
                Executed::All if room > 0 => {}
                Executed::All => return self.reads.has_ready(self.keyspace.index()),
                Executed::Enough => {
                    self.reads.go_on_with(chunk, now_ms);
                    return true;
                }
                Executed::NeedsTime => {
                    // A key may have expired that the log does not know to be expired yet: its time first (R2).
                    self.outbox.tick();
                    let applied = self.keyspace.index();
                    self.reads.put_back(chunk, applied);
                    return false;
                }
            }
        }
        false
    }

    fn execute(&mut self, chunk: &mut Chunk, now_ms: u64, room: &mut usize) -> Executed {
        let index = self.keyspace.index();
        let mut warmed = 0;
        while let Some(item) = chunk.items.pop_front() {
            match item {
                Read::Local(f) => f(&self.keyspace, index),
                Read::Command(client) => {
                    if warmed == 0 {
                        warmed = WARM_READS;
                        self.keyspace.warm(line::first_keys(&chunk.lines[chunk.done..]).take(WARM_READS));
                    }
                    warmed -= 1;
                    let lines = &chunk.lines[chunk.done..];
                    // Another one for each read, however many of them a millisecond has.
                    let seed = Random::for_command(now_ms, self.stats.reads, index);
                    let answered = answer_read(&self.keyspace, &*client, index, lines, now_ms, seed);
                    let Some((rest, length)) = answered else {
                        chunk.items.push_front(Read::Command(client));
                        return Executed::NeedsTime;
                    };
                    chunk.done = chunk.lines.len() - rest;
                    self.stats.reads += 1;
                    *room = room.saturating_sub(length);
                    if *room == 0 && !chunk.items.is_empty() {
                        return Executed::Enough;
                    }
                }
            }
        }
        Executed::All
    }

    /// Answers a command that there is no room for, behind the writes of its connection.
    fn refuse(&mut self, client: Rc<dyn Client>, failure: Failure) {
        self.stats.overloaded += u64::from(failure == Failure::Overloaded);
        let answer = move |_: &Keyspace, index| {
            client.answer(index, &mut |reply| reply.error(&failure.error()));
        };
        self.outbox.local(Box::new(answer));
    }

    fn fail_batch(&mut self, batch: Batch, failure: Failure) {
        let index = self.keyspace.index();
        for item in batch.items {
            match item {
                Item::Write(client, _) => {
                    match failure {
                        Failure::Unknown => self.stats.unknown += 1,
                        _ => self.stats.not_applied += 1,
                    }
                    client.answer(index, &mut |reply| reply.error(&failure.error()));
                }
                Item::Read(client) => {
                    client.answer(index, &mut |reply| reply.error(&Failure::NoQuorum.error()));
                }
                Item::Local(f) => f(&self.keyspace, index),
                Item::Waits => unreachable!("nothing of it was applied"),
            }
        }
    }

    fn fail_reads(&mut self, chunk: Chunk) {
        let index = self.keyspace.index();
        for item in chunk.items {
            match item {
                Read::Command(client) => {
                    self.stats.not_applied += 1;
                    client.answer(index, &mut |reply| reply.error(&Failure::NoQuorum.error()));
                }
                Read::Local(f) => f(&self.keyspace, index),
            }
        }
    }
}

/// How far the execution of gathered reads has come.
enum Executed {
    All,
    /// As far as one turn allows.
    Enough,
    /// The next one depends on whether a key has expired.
    NeedsTime,
}

/// What a node says when it meets entries of a newer version.
const UPGRADE: &str = "the log holds entries that this version does not know: upgrade this node and start it again; \
                       nothing is lost";

/// What a client gets instead of a large reply that there is no memory for (R21).
const REPLY_TOO_LARGE: CommandError = CommandError::fixed(
    "OVERLOADED this node has no memory for so large a reply now, because clients are slow to read theirs: try again, or \
     raise queue-memory-limit. A read changes nothing",
);

/// Executes the read at the start of `lines` for its client; how many bytes follow it, and how long the reply is. `None`:
/// it needs a later time first, and nothing was answered.
fn answer_read(
    keyspace: &Keyspace,
    client: &dyn Client,
    index: u64,
    lines: &[u8],
    now_ms: u64,
    seed: u64,
) -> Option<(usize, usize)> {
    let (db, args, rest) = line::take(lines);
    let mut outcome = ReadOutcome::Done;
    let mut read = || {
        client.write(&mut |reply| outcome = keyspace.read_by(client.user(), db, &args, now_ms, seed, reply))
    };
    if client.touches() || args[0].eq_ignore_ascii_case(b"touch") {
        read();
    } else {
        keyspace.untouched(read);
    }
    if outcome == ReadOutcome::Done {
        let length = client.accept();
        if length.is_none() {
            client.write(&mut |reply| reply.error(&REPLY_TOO_LARGE));
        }
        client.done(index);
        return Some((rest.len(), length.unwrap_or(0)));
    }
    client.postpone();
    None
}

/// What apply finds at the origin of a batch: the clients that wait, in order.
struct Origin<'a> {
    outbox: &'a mut Outbox,
    waiting: &'a mut Waiting,
    header: Header,
    /// There from the first command on, if this node is the origin and the clients still wait.
    batch: Option<Batch>,
    reads_done: usize,
    index: u64,
    pause_ms: u64,
    writes: u64,
    reads: u64,
    on_lap: &'a dyn Fn(Lap),
    /// The clients of the commands so far, by place; empty unless somebody wants to know.
    authors: Vec<u64>,
    names_authors: bool,
}

impl<'a> Origin<'a> {
    fn new(
        outbox: &'a mut Outbox,
        waiting: &'a mut Waiting,
        header: Header,
        index: u64,
        on_lap: &'a dyn Fn(Lap),
    ) -> Self {
        Self {
            outbox,
            waiting,
            header,
            batch: None,
            reads_done: 0,
            index,
            pause_ms: 0,
            writes: 0,
            reads: 0,
            on_lap,
            authors: Vec::new(),
            names_authors: false,
        }
    }

    /// Executes what stands before the next write.
    fn run_until_write(&mut self, keyspace: &Keyspace) {
        let Some(batch) = &mut self.batch else { return };
        while let Some(item) = batch.items.pop_front() {
            match item {
                Item::Write(..) | Item::Waits => return batch.items.push_front(item),
                Item::Local(f) => f(keyspace, self.index),
                Item::Read(client) => {
                    self.reads += 1;
                    let seed = Random::for_command(self.header.seed, u64::MAX, self.reads);
                    let lines = &batch.reads[self.reads_done..];
                    let rest = answer_read(keyspace, &*client, self.index, lines, keyspace.time_ms(), seed);
                    let (rest, _) = rest.expect("the time of the entry is the time of the read");
                    self.reads_done = batch.reads.len() - rest;
                }
            }
        }
    }

    /// The client of the command at hand.
    fn front(&mut self) -> Option<(&Rc<dyn Client>, &mut Vec<crate::Local>)> {
        match self.batch.as_mut()?.items.front_mut()? {
            Item::Write(client, locals) => Some((client, locals)),
            _ => None,
        }
    }

    fn finish(&mut self, _keyspace: &Keyspace) {
        let left = self.batch.as_ref().map_or(0, |b| b.items.len());
        assert_eq!(left, 0, "a batch has as many commands as clients that wait");
    }
}

impl Host for Origin<'_> {
    fn before(&mut self, n: usize, keyspace: &Keyspace) {
        if n == 0 {
            (self.on_lap)(Lap::Reclaimed);
            self.batch = self.outbox.take_applied(&self.header);
        } else if let Some(batch) = &mut self.batch
            && let Some(item) = batch.items.pop_front()
        {
            self.writes += 1;
            if let Item::Write(client, _) = item {
                client.done(self.index);
            }
        }
        self.run_until_write(keyspace);
        if self.names_authors {
            let author = self.front().map_or(0, |(client, _)| client.id());
            self.authors.push(author);
        }
    }

    fn waits(&mut self, _n: usize, waiter: WaiterId, timeout_ms: u64) {
        let item = self.batch.as_mut().and_then(|batch| batch.items.front_mut());
        let client = match item.map(|item| std::mem::replace(item, Item::Waits)) {
            Some(Item::Write(client, _)) => {
                client.postpone();
                Some(client)
            }
            _ => None,
        };
        // Without a client, it has got its answer already: UNKNOWN.
        if self.outbox.is_of_this_start(waiter) {
            self.waiting.begin(waiter, client, timeout_ms);
        }
    }

    fn answer_waiter(&mut self, waiter: WaiterId, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        self.waiting.answer(waiter, self.index, run);
    }

    fn reply(&mut self, _n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        match self.front() {
            Some((client, _)) => client.write(run),
            None => run(&mut Reply::discard()),
        }
    }

    fn local(&mut self, _n: usize, number: u64) {
        if let Some((client, locals)) = self.front()
            && let Some(local) = locals.get_mut(number as usize)
        {
            client.write(local);
        }
    }

    fn debug_sleep(&mut self, ms: u64) {
        self.pause_ms += ms;
    }
}
