//! The consensus half of a replica: openraft, the bus, and the way in for the serving half.
//!
//! Everything here is `Send`; the serving half ([`crate::Replica`]) is not. So another thread can run these tasks while
//! that of the serving half executes a command that takes seconds, and heartbeats and votes do not wait (R20).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::raft::linearizable_read::LinearizerOption;
use openraft::{RaftMetrics, ServerState};
use quorate_env::net::BoxFuture;
use quorate_env::{Env, Instant, Listener, clock};
use quorate_keyspace::batch;
use quorate_log::{Log, ShardId};
use quorate_planted::{Bug, is_planted};
use tokio::sync::mpsc;

use crate::bus::door::Door;
use crate::bus::{
    Admin, Denied, Dialer, Forwarder, Inbox, JoinRequest, Message, Peers, Probe, Publisher, ReadIndex,
    Request, Response, Server, serve,
};
use crate::identity::Identity;
use crate::machine::{Event, Events, Machine};
use crate::network::{CREDIT_MAX, Network};
use crate::responder::Responder;
use crate::runtime::seed;
use crate::secret::Secret;
use crate::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::{Storage, decode};
use crate::timing::Pace;
use crate::types::{Batch, Member, NodeId, Raft, SnapshotMeta, TypeConfig, Vote};
use crate::unsure::{Doubts, Trust};

/// How long a member may take to answer the first request of a node that has been started.
const GREETING_TIME: Duration = Duration::from_millis(500);
/// How long that waits before it asks again, first and at most.
const GREETING_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The timing of consensus. Configuration of the node; all nodes of a cluster should agree on it.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How often the leader says that it is there.
    pub heartbeat: Duration,
    /// A follower that heard nothing for the longer of these holds an election after a random time between them.
    pub election: (Duration, Duration),
    /// By how much two clocks may differ in speed, as a fraction (0.01 is 1 %).
    pub drift: f64,
    /// After this long a write or read that is not answered gets an error (R14).
    pub write_timeout: Duration,
    /// A step of the wall clock larger than this is reported and not followed (R2).
    pub clock_step_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(30),
            election: (Duration::from_millis(120), Duration::from_millis(180)),
            drift: 0.05,
            write_timeout: Duration::from_secs(5),
            clock_step_max: Duration::from_secs(1),
        }
    }
}

/// What the outcome of a request to the leader is.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The node is a member now.
    Joined {
        /// Its number.
        id: NodeId,
        /// The cluster's.
        cluster: u64,
    },
    /// Done, in words for the operator.
    Done(String),
    /// Another node leads, if one is known.
    NotLeader(Option<(NodeId, Member)>),
    /// It failed; the text says why and what to do. It may succeed later.
    Failed(String),
    /// It will never succeed as it is; the text says what to change.
    Refused(String),
}

impl Outcome {
    pub(crate) fn into_response(self) -> Response {
        match self {
            Self::Joined { id, cluster } => Response::Joined { id, cluster },
            Self::Done(text) => Response::Done(text),
            Self::NotLeader(leader) => Response::NotLeader(leader),
            Self::Failed(why) => Response::Failed(why),
            Self::Refused(why) => Response::Refused(why),
        }
    }

    fn from_response(response: Response) -> Self {
        match response {
            Response::Joined { id, cluster } => Self::Joined { id, cluster },
            Response::Done(text) => Self::Done(text),
            Response::NotLeader(leader) => Self::NotLeader(leader),
            Response::Failed(why) => Self::Failed(why),
            Response::Refused(why) => Self::Refused(why),
            other => Self::Failed(format!("an answer that does not fit: {other:?}")),
        }
    }
}

/// Carries out what changes the cluster; `quorate_cluster` implements it.
pub trait Handler: Send + Sync {
    /// A node asks to become a member.
    fn join(&self, id: NodeId, member: Member, pace: Pace) -> BoxFuture<'_, Outcome>;
    /// An operator's request.
    fn admin(&self, request: Admin) -> BoxFuture<'_, Outcome>;
}

/// The leader's clock: wall time that only ever moves on, paced by monotonic time (R2).
pub struct Clock {
    base: Mutex<(Instant, u64)>,
    step_max_ms: u64,
    reported: AtomicBool,
    last: AtomicU64,
}

impl Clock {
    pub(crate) fn new(step_max: Duration) -> Self {
        Self {
            base: Mutex::new((Instant::now(), clock::wall_ms())),
            step_max_ms: step_max.as_millis() as u64,
            reported: AtomicBool::new(false),
            last: AtomicU64::new(0),
        }
    }

    /// Unix time in milliseconds, never less than before.
    pub fn now_ms(&self) -> u64 {
        let (now, wall) = (Instant::now(), clock::wall_ms());
        let mut base = self.base.lock().expect("not poisoned");
        let paced = base.1 + (now - base.0).as_millis() as u64;
        if wall.abs_diff(paced) <= self.step_max_ms {
            // Small corrections (NTP) are followed.
            *base = (now, wall);
            self.reported.store(false, Ordering::Relaxed);
            return self.last.fetch_max(wall, Ordering::Relaxed).max(wall);
        }
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                wall,
                paced,
                "the wall clock was stepped; keys go on expiring by the clock before the step"
            );
        }
        self.last.fetch_max(paced, Ordering::Relaxed).max(paced)
    }
}

/// The way of a batch into the log of the leader.
#[derive(Clone)]
pub(crate) struct Proposals {
    raft: Raft,
    pub(crate) env: Env,
    clock: Arc<Clock>,
    /// Whether this node is short of memory, as the serving half says while it leads.
    pub(crate) memory_short: Arc<AtomicBool>,
    /// Whether there are fewer voters beside this node than writes ask for, as the serving half says.
    pub(crate) few_replicas: Arc<AtomicBool>,
    /// This node's own batches go in order, one after the other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Proposals {
    /// Proposes a batch that is stamped with the leader's time and a seed. `on_refused` is called if it was
    /// refused before the append, hence certainly not applied.
    async fn propose(&self, batch: Bytes, on_refused: impl FnOnce() + Send + 'static) {
        let responder = Responder::new(move |result| {
            if let Err(ClientWriteError::ForwardToLeader(_)) = result {
                on_refused();
            }
        });
        // An error means that the node is stopping: the batch's fate is told by the next leader's log.
        let mut batch = Batch::new(batch);
        batch.prepare().await;
        let _ = self.raft.client_write_ff(batch, Some(responder)).await;
    }

    /// Proposes a batch of another node's clients.
    pub(crate) async fn forward(&self, mut batch: Message, on_refused: impl FnOnce() + Send + 'static) {
        let Ok(mut header) = batch::parse_header(&batch.bytes) else {
            return tracing::warn!("a forwarded batch is malformed");
        };
        header.time_ms = self.clock.now_ms();
        header.seed = self.env.random.next_u64();
        header.memory_short = self.memory_short.load(Ordering::Relaxed);
        header.few_replicas = self.few_replicas.load(Ordering::Relaxed);
        batch::patch_header(&mut batch.bytes, &header);
        self.propose(batch.freeze(), on_refused).await;
    }
}

/// What a node is started with.
pub struct Start {
    /// The outside world.
    pub env: Env,
    /// Where snapshots go.
    pub dir: PathBuf,
    /// The node's log, opened.
    pub log: Log,
    /// The shard.
    pub shard: ShardId,
    /// Who this node is; it has a number.
    pub identity: Arc<Identity>,
    /// What only members of its cluster know.
    pub secret: Secret,
    /// Timing.
    pub timing: Timing,
    /// Listens for other nodes.
    pub bus: Box<dyn Listener>,
    /// Why the log may lack what it acknowledged. With any doubt this node neither votes nor campaigns until it has
    /// caught up with a leader, or the longest log among all voters must win (R6, R8).
    pub doubts: Doubts,
}

/// What the serving half needs to begin.
pub struct Feed {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) snapshot: Option<(SnapshotMeta, SnapshotFile)>,
    pub(crate) snapshots: SnapshotStore,
}

/// A handle on the consensus half: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Consensus {
    pub(crate) raft: Raft,
    pub(crate) env: Env,
    pub(crate) identity: Arc<Identity>,
    pub(crate) peers: Peers,
    pub(crate) publisher: Publisher,
    pub(crate) clock: Arc<Clock>,
    pub(crate) timing: Timing,
    pub(crate) log: Log,
    pub(crate) events: Events,
    pub(crate) probe: Arc<Mutex<Probe>>,
    pub(crate) proposals: Proposals,
    read_option: LinearizerOption,
    trust: Arc<Trust>,
    door: Arc<Door>,
    runtime: tokio::runtime::Handle,
}

/// A node's place in the cluster, as its own consensus sees it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The present term.
    pub term: u64,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// Whether this node does.
    pub is_leader: bool,
    /// Members that vote.
    pub voters: Vec<NodeId>,
    /// All members.
    pub members: BTreeMap<NodeId, Member>,
    /// On the leader: the last entry each member has durably.
    pub matched: BTreeMap<NodeId, u64>,
    /// The last entry in the log.
    pub last: u64,
    /// The last committed entry that this node knows of.
    pub committed: u64,
    /// Whether a membership change is under way.
    pub joint: bool,
    /// On the leader: milliseconds since a majority answered.
    pub quorum_ms: Option<u64>,
}

impl Consensus {
    /// Starts consensus on the present runtime.
    pub async fn start(start: Start, handler: Arc<dyn Handler>) -> io::Result<(Self, Feed)> {
        let Start { env, dir, log, shard, identity, secret, timing, bus, doubts } = start;
        seed::install(env.random.clone());
        let snapshots = SnapshotStore::open(&env, dir)?;
        let snapshot = snapshots.newest()?;
        let (events, receiver) = Events::new(env.memory.clone());
        let machine = Machine::new(events.clone(), snapshots.clone(), snapshot.as_ref().map(|s| s.0.clone()));
        let position = log.clone();
        identity.set_position(move || {
            let last = position.state(shard).last.map_or(0, |(index, _)| index);
            let vote = position.vote(shard).and_then(|bytes| decode::<Vote>(&bytes).ok());
            (last, vote.map_or(0, |vote| vote.leader_id.term))
        });
        let peers =
            Peers::new(Dialer { env: env.clone(), identity: identity.clone(), secret: secret.clone() });
        let network = Network { peers: peers.clone(), snapshots: snapshots.clone() };
        let storage = Storage::new(log.clone(), shard);
        // A voter that restarts has forgotten its promise to the leader (R3).
        let silence = timing.election.1.mul_f64(1.0 + timing.drift);
        let forgets_promise = is_planted(Bug::VoteAfterRestart);
        let has_voted = (log.vote(shard).is_some() && !forgets_promise) || !doubts.is_sure();
        let votes_from = Instant::now() + if has_voted { silence } else { Duration::ZERO };
        let trust = Arc::new(Trust::new(doubts));
        let config = Arc::new(raft_config(&timing).map_err(io::Error::other)?);
        let raft = Raft::new(identity.node_id(), config, network, storage, machine)
            .await
            .map_err(io::Error::other)?;
        let clock = Arc::new(Clock::new(timing.clock_step_max));
        let proposals = Proposals {
            raft: raft.clone(),
            env: env.clone(),
            clock: clock.clone(),
            memory_short: Arc::default(),
            few_replicas: Arc::default(),
            turn: Arc::default(),
        };
        let lease = timing.election.1.mul_f64(1.0 - timing.drift).saturating_sub(CREDIT_MAX);
        let lease = if is_planted(Bug::NoLeaseMargin) { timing.election.1 } else { lease };
        let read_option = LinearizerOption::new(Some(lease), true).with_wait_timeout(timing.election.1);
        let probe = Arc::new(Mutex::new(Probe { pace: timing.pace(), ..Probe::default() }));
        let alone = Arc::new(AtomicBool::new(false));
        let this = Self {
            raft: raft.clone(),
            env: env.clone(),
            identity: identity.clone(),
            trust: trust.clone(),
            publisher: Publisher::new(peers.clone()),
            peers: peers.clone(),
            clock: clock.clone(),
            timing,
            log,
            events,
            probe: probe.clone(),
            proposals: proposals.clone(),
            read_option: read_option.clone(),
            door: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        this.update_members(&alone);
        raft.runtime_config().elect(!has_voted || (doubts.is_sure() && alone.load(Ordering::Relaxed)));
        tokio::spawn(this.clone().watch(alone.clone()));
        tokio::spawn(this.clone().keep_vote(votes_from, trust.clone()));
        let server = Server {
            raft,
            log: this.log.clone(),
            shard,
            identity,
            secret,
            door: this.door.clone(),
            peers,
            snapshots: snapshots.clone(),
            proposals,
            clock,
            handler,
            read_option,
            votes_from,
            trust,
            alone,
            probe,
            inbox: Inbox::new(this.events.tx.clone()),
            refused: Mutex::default(),
        };
        tokio::spawn(serve(Arc::new(server), bus));
        Ok((this, Feed { events: receiver, snapshot, snapshots }))
    }

    /// Makes this node the only member of a new cluster. Does nothing if it is a member already.
    pub async fn bootstrap(&self, member: Member) -> io::Result<()> {
        let members = BTreeMap::from([(self.identity.node_id(), member)]);
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(e) => Err(io::Error::other(e.to_string())),
        }
    }

    /// Whether this node votes by its log: not while that may lack what it acknowledged before a crash (R6, R8).
    #[must_use]
    pub fn trusts_its_log(&self) -> bool {
        self.trust.is_sure()
    }

    /// Campaigns once no promise of an earlier start can be broken (R3), and as long as the log has what it
    /// acknowledged (R5, R6, R8): meanwhile, all members are asked what they hold against this run of the folder.
    async fn keep_vote(self, votes_from: Instant, trust: Arc<Trust>) {
        tokio::spawn(self.clone().introduce());
        clock::sleep_until(votes_from).await;
        loop {
            if !trust.is_sure() {
                self.raft.runtime_config().elect(false);
                self.become_sure(&trust).await;
            }
            self.raft.runtime_config().elect(true);
            self.identity.distrusted().await;
            trust.distrust();
        }
    }

    /// Greets each member until it has let this node in once, or has told why it does not.
    async fn introduce(self) {
        let me = self.identity.node_id();
        let greet = |id: NodeId| {
            let this = &self;
            async move {
                let mut pause = GREETING_PAUSE.0;
                while let Err(error) = this.call(id, Request::Standing, GREETING_TIME).await {
                    if Denied::is_proven(&error) || error.kind() == io::ErrorKind::NotFound {
                        return;
                    }
                    clock::sleep(pause).await;
                    pause = (pause * 2).min(GREETING_PAUSE.1);
                }
            }
        };
        let members = self.view().members.into_keys().filter(|id| *id != me);
        futures_util::future::join_all(members.map(greet)).await;
    }

    /// Follows leadership and membership for as long as the node runs.
    async fn watch(self, alone: Arc<AtomicBool>) {
        let mut metrics = self.raft.server_metrics();
        let mut last = (0, None);
        loop {
            let now = {
                let m = metrics.borrow_watched();
                let leader = m.vote.committed.then_some(m.vote.leader_id.voted_for);
                (m.vote.leader_id.term, leader)
            };
            if now != last {
                last = now;
                tracing::info!(term = now.0, leader = now.1, "leadership");
                let _ = self.events.tx.send(Event::Leader { term: now.0, leader: now.1 });
            }
            self.update_members(&alone);
            if metrics.changed().await.is_err() {
                let _ = self.events.tx.send(Event::Stopped);
                return;
            }
        }
    }

    fn update_members(&self, alone: &AtomicBool) {
        let view = self.view();
        for (id, member) in &view.members {
            if *id != self.identity.node_id() {
                self.peers.set_addr(*id, member);
            }
        }
        if !view.members.is_empty() {
            self.peers.retain(&view.members);
        }
        let is_alone = view.voters == [self.identity.node_id()];
        alone.store(is_alone, Ordering::Relaxed);
        self.log.set_prompt(is_alone);
        self.identity.set_members(view.members);
    }

    /// The state of consensus as this node sees it.
    pub fn view(&self) -> View {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched();
        let membership = m.membership_config.membership();
        let is_leader = m.state == ServerState::Leader;
        View {
            term: m.current_term,
            leader: m.current_leader,
            is_leader,
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(id, n)| (*id, n.clone())).collect(),
            matched: matched(&m),
            last: m.last_log_index.unwrap_or(0),
            committed: m.local_committed.as_ref().map_or(0, |l| l.index),
            joint: membership.get_joint_config().len() > 1,
            quorum_ms: m.last_quorum_acked.filter(|_| is_leader).map(|t| t.0.elapsed().as_millis() as u64),
        }
    }

    /// Of the members, when this node has last heard of each, as far as it leads them.
    pub(crate) fn heard_from(&self) -> BTreeMap<NodeId, Option<Instant>> {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched();
        let me = self.identity.node_id();
        let heard = |id| m.heartbeat.as_ref().and_then(|all| all.get(&id).cloned().flatten()).map(|at| at.0);
        let members = m.membership_config.membership().nodes();
        members.map(|(id, _)| (*id, if *id == me { Some(Instant::now()) } else { heard(*id) })).collect()
    }

    /// Proposes a batch on this node, which leads. A refusal comes back as an event.
    pub(crate) fn propose(&self, batch: Bytes) -> impl Future<Output = ()> + use<> {
        let (proposals, events) = (self.proposals.clone(), self.events.tx.clone());
        async move {
            // Making the sum of a large batch takes a while: a small one must not overtake it.
            let _turn = proposals.turn.lock().await;
            let header = batch::parse_header(&batch).expect("made by this node");
            let on_refused = move || {
                let _ = events.send(Event::Refused(header));
            };
            proposals.propose(batch, on_refused).await;
        }
    }

    /// Opens the way to another node that leads.
    pub(crate) fn forwarder(&self, leader: NodeId) -> Forwarder {
        let events = self.events.tx.clone();
        let _in_runtime = self.runtime.enter();
        let on_event = move |event| {
            let _ = events.send(event);
        };
        Forwarder::start(self.peers.clone(), leader, on_event)
    }

    /// What a linearizable read that begins now must wait for: under the lease on the leader, by one request
    /// to the leader elsewhere (R4). `None`: nobody could say within `write_timeout`.
    pub(crate) async fn read_index(&self, leader: Option<NodeId>) -> Option<ReadIndex> {
        let me = self.identity.node_id();
        if is_planted(Bug::ReadAfterLease) && leader == Some(me)
            || is_planted(Bug::FollowerReadWithoutIndex) && leader != Some(me)
        {
            return Some(ReadIndex { index: 0, now_ms: self.clock.now_ms() });
        }
        match leader {
            Some(id) if id == me => {
                let linearizer = self.raft.get_read_linearizer(self.read_option.clone()).await.ok()?;
                Some(ReadIndex { index: linearizer.read_log_id().index(), now_ms: self.clock.now_ms() })
            }
            Some(id) => match self.call(id, Request::ReadIndex, self.timing.election.1 * 2).await {
                Ok(Response::ReadIndex(r)) => Some(r),
                _ => None,
            },
            None => None,
        }
    }

    /// Calls another member. The links live on the consensus runtime, wherever the caller is.
    pub(crate) async fn call(&self, to: NodeId, request: Request, limit: Duration) -> io::Result<Response> {
        self.peers.call(to, request, limit).await
    }

    /// What this node knows of itself, as of a moment ago.
    pub fn own_probe(&self) -> Probe {
        self.probe.lock().expect("not poisoned").clone()
    }

    /// Asks another member what it knows of itself.
    pub async fn probe(&self, id: NodeId) -> io::Result<Probe> {
        if id == self.identity.node_id() {
            return Ok(self.probe.lock().expect("not poisoned").clone());
        }
        match self.call(id, Request::Probe, Duration::from_millis(500)).await? {
            Response::Probe(p) => Ok(p),
            other => Err(io::Error::other(format!("an answer that does not fit: {other:?}"))),
        }
    }

    /// Makes another member's log durable up to where it is, whatever `appendfsync` says; up to which entry that was.
    pub(crate) async fn sync_on(&self, id: NodeId, limit: Duration) -> io::Result<u64> {
        match self.call(id, Request::Sync, limit).await? {
            Response::Synced(index) => Ok(index),
            other => Err(io::Error::other(format!("an answer that does not fit: {other:?}"))),
        }
    }

    /// Passes an operator's request on to the leader.
    pub async fn admin_on(&self, leader: NodeId, request: Admin) -> Outcome {
        match self.call(leader, Request::Admin(request), Duration::from_secs(30)).await {
            Ok(response) => Outcome::from_response(response),
            Err(e) => Outcome::Failed(format!("the leader (node {leader}) does not answer: {e}; try again")),
        }
    }

    /// How many callers the bus has sent away before they were known, by the reason.
    #[must_use]
    pub fn strangers(&self) -> Vec<(&'static str, u64)> {
        self.door.refused()
    }

    /// Asks the node at `bus` to take this one in. Before the node has a number.
    pub async fn ask_to_join(
        env: &Env,
        identity: &Arc<Identity>,
        secret: &Secret,
        bus: &str,
        id: NodeId,
        member: Member,
        pace: Pace,
    ) -> io::Result<Outcome> {
        let dialer = Dialer { env: env.clone(), identity: identity.clone(), secret: secret.clone() };
        let request = Request::Join(JoinRequest { id, member, pace });
        crate::bus::join_rpc(&dialer, bus, request).await.map(Outcome::from_response)
    }

    /// Adds a member that does not vote.
    pub async fn add_learner(&self, id: NodeId, member: Member) -> Result<(), String> {
        self.raft.add_learner(id, member, false).await.map(drop).map_err(|e| e.to_string())
    }

    /// Changes a member's addresses.
    pub async fn set_member(&self, id: NodeId, member: Member) -> Result<(), String> {
        let change = openraft::ChangeMembers::SetNodes(BTreeMap::from([(id, member)]));
        self.raft.change_membership(change, true).await.map(drop).map_err(|e| e.to_string())
    }

    /// Makes `voters` the voters, in one joint change; members that are none stay as learners.
    pub async fn set_voters(&self, voters: Vec<NodeId>) -> Result<(), String> {
        let voters: std::collections::BTreeSet<_> = voters.into_iter().collect();
        self.raft.change_membership(voters, true).await.map(drop).map_err(|e| e.to_string())
    }

    /// Ends a change of the voters that an earlier leader has begun: nobody else does, and no other change may begin
    /// before. Errors: there is none, or this node does not lead.
    pub async fn finish_change(&self) -> Result<(), String> {
        let joint = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().get_joint_config().clone()
        };
        match &joint[..] {
            [_, .., wanted] => self.set_voters(wanted.iter().copied().collect()).await,
            _ => Err("no change of the voters is under way".to_owned()),
        }
    }

    /// Removes a learner.
    pub async fn remove_learner(&self, id: NodeId) -> Result<(), String> {
        let change = openraft::ChangeMembers::RemoveNodes(std::collections::BTreeSet::from([id]));
        self.raft.change_membership(change, false).await.map(drop).map_err(|e| e.to_string())
    }

    /// Hands leadership to `to` and waits until somebody else leads, for at most two seconds.
    pub async fn transfer(&self, to: NodeId) -> Result<(), String> {
        self.raft.trigger().transfer_leader(to).await.map_err(|e| e.to_string())?;
        for _ in 0..200 {
            clock::sleep(Duration::from_millis(10)).await;
            let view = self.view();
            if view.leader == Some(to) {
                return Ok(());
            }
        }
        Err(format!(
            "node {to} did not take over within 2 s; nothing was lost, this node goes on leading if it can"
        ))
    }

    /// Asks for a snapshot of the present state.
    pub(crate) fn trigger_snapshot(&self) {
        let raft = self.raft.clone();
        self.runtime.spawn(async move {
            let _ = raft.trigger().snapshot().await;
        });
    }

    /// Gives up log entries up to `index` that a snapshot covers.
    pub(crate) fn purge(&self, index: u64) {
        let raft = self.raft.clone();
        self.runtime.spawn(async move {
            let _ = raft.trigger().purge_log(index).await;
        });
    }

    /// The leader's clock of this node.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who this node is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The node's log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The timing in force.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Why consensus failed, if it did; that it was stopped is no failure.
    pub fn failure(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let state = metrics.borrow_watched().running_state.clone();
        state.err().filter(|e| !matches!(e, openraft::errors::Fatal::Stopped)).map(|e| e.to_string())
    }

    /// Stops consensus: no more votes, no more entries.
    pub async fn stop(&self) {
        let _ = self.raft.shutdown().await;
    }
}

/// What each other member has durably, as the leader knows.
pub(crate) fn matched(metrics: &RaftMetrics<TypeConfig>) -> BTreeMap<NodeId, u64> {
    let known = metrics.replication.iter().flatten();
    known.map(|(id, last)| (*id, last.as_ref().map_or(0, |last| last.index))).collect()
}

fn raft_config(timing: &Timing) -> Result<openraft::Config, String> {
    let config = openraft::Config {
        cluster_name: "quorate".to_owned(),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
        election_timeout_min: timing.election.0.as_millis() as u64,
        election_timeout_max: timing.election.1.as_millis() as u64,
        install_snapshot_timeout: 3_600_000,
        max_payload_entries: 1024,
        // An apply that takes long must not hold up consensus itself (R20).
        state_machine_channel_size: Some(1 << 20),
        replication_lag_threshold: u64::MAX / 2,
        // Both are decided by bytes, on the serving side: an entry here is a batch.
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX / 2,
        enable_pre_vote: Some(true),
        // Unsafe with a state machine in memory; and after a start a voter is silent anyway (R3).
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    config.validate().map_err(|e| e.to_string())
}
