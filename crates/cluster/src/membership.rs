//! Who is a member, who votes (R19).
//!
//! The second node stays a learner: two voters would be less available than one, and no safer to lose. When a
//! third has caught up, both become voters in one joint change. Further nodes are learners until voters are
//! removed, or `replication-factor` is raised; where it is lowered, voters become learners. One change at a time, begun
//! only when the last one is committed and a majority of the new voters is caught up and reachable.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quorate_env::clock;
use quorate_env::net::BoxFuture;
use quorate_log::Durability;
use quorate_replica::{Admin, Consensus, Handler, Member, NodeId, Outcome, Pace, Role, View};

use crate::config::Appendfsync;

/// How often the leader looks whether the voters are those that there should be.
const LOOK: Duration = Duration::from_millis(250);
/// Every so many of those looks it compares the timing of all members.
const LOOKS_PER_TIMING: u32 = 20;
/// A learner this many entries behind is caught up: it gets the rest while the change commits.
const CAUGHT_UP_ENTRIES: u64 = 200;

/// The greatest number of a node: the ids of its clients begin with it.
pub const NODE_ID_MAX: NodeId = u16::MAX as NodeId;

/// A handle on the cluster from one of its nodes. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    consensus: OnceLock<Consensus>,
    /// How many voters there should be.
    replication_factor: AtomicUsize,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    everysec: Arc<AtomicBool>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            consensus: OnceLock::new(),
            replication_factor: AtomicUsize::new(0),
            changing: tokio::sync::Mutex::new(()),
            everysec: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn handler(&self) -> Arc<dyn Handler> {
        self.inner.clone()
    }

    pub(crate) fn everysec(&self) -> Arc<AtomicBool> {
        self.inner.everysec.clone()
    }

    /// Changes when a write counts as being on this node (R8). Called when the log says so.
    pub fn set_appendfsync(&self, mode: Appendfsync) {
        let everysec = mode == Appendfsync::Everysec;
        if self.inner.everysec.swap(everysec, Ordering::Relaxed) != everysec {
            let durability = if everysec { Durability::EverySecond } else { Durability::Always };
            tracing::info!(?durability, "durability");
            self.consensus().log().set_durability(durability, Box::new(|_| ()));
        }
    }

    /// Changes how many voters there should be. Called when the log says so.
    pub fn set_replication_factor(&self, voters: usize) {
        if self.inner.replication_factor.swap(voters, Ordering::Relaxed) == voters {
            return;
        }
        tracing::info!(voters, "replication-factor");
        if voters.is_multiple_of(2) {
            tracing::warn!(
                "replication-factor {voters} is even: one voter more than {} survives no failure more, so there will be \
                 {} voters, or {} if there are so many already",
                voters - 1,
                voters - 1,
                voters + 1
            );
        }
    }

    pub(crate) fn attach(&self, consensus: Consensus) {
        assert!(self.inner.consensus.set(consensus).is_ok(), "attached once");
    }

    /// Sees to it that those vote who should, and that all keep the same time, for as long as the node runs.
    pub(crate) async fn tend(self) {
        let mut begun = None;
        let mut said = BTreeMap::new();
        let mut said_why = String::new();
        for look in 1u32.. {
            clock::sleep(LOOK).await;
            let why = self.inner.adjust_voters(&mut begun).await.err().unwrap_or_default();
            if !why.is_empty() && why != said_why {
                tracing::warn!("cannot change the voters: {why}");
            }
            said_why = why;
            if look.is_multiple_of(LOOKS_PER_TIMING) {
                self.inner.compare_timing(&mut said).await;
            }
        }
    }

    /// The consensus of this node.
    ///
    /// # Panics
    /// Before the node has started.
    #[must_use]
    pub fn consensus(&self) -> &Consensus {
        self.inner.consensus()
    }

    /// The cluster as this node sees it.
    #[must_use]
    pub fn view(&self) -> View {
        self.consensus().view()
    }

    /// This node's number.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.consensus().identity().node_id()
    }

    /// Carries out an operator's request, here or on the leader.
    pub async fn admin(&self, request: Admin) -> Outcome {
        for _ in 0..20 {
            let leader = self.view().leader;
            let outcome = match leader {
                Some(id) if id == self.node_id() => self.inner.carry_out(request.clone()).await,
                Some(id) => self.consensus().admin_on(id, request.clone()).await,
                None => Outcome::NotLeader(None),
            };
            match outcome {
                Outcome::NotLeader(_) => clock::sleep(Duration::from_millis(100)).await,
                other => return other,
            }
        }
        Outcome::Failed("no leader: a majority of the voters must be reachable for this".to_owned())
    }

    /// Hands leadership over, if this node has it and somebody can take it. Before a clean stop.
    pub async fn step_aside(&self) {
        let view = self.view();
        if view.is_leader && view.voters.len() > 1 {
            match self.inner.transfer(None).await {
                Outcome::Done(text) => tracing::info!("{text}"),
                other => tracing::warn!("leadership was not handed over: {other:?}"),
            }
        }
    }
}

impl Inner {
    fn consensus(&self) -> &Consensus {
        self.consensus.get().expect("attached at the start")
    }

    fn not_leader(view: &View) -> Outcome {
        Outcome::NotLeader(view.leader.and_then(|id| view.members.get(&id).map(|m| (id, m.clone()))))
    }

    async fn take_in(&self, id: NodeId, member: Member, pace: Pace) -> Outcome {
        let _one = self.changing.lock().await;
        let view = self.consensus().view();
        if !view.is_leader {
            return Self::not_leader(&view);
        }
        let cluster = self.consensus().identity().cluster();
        if let Some((&known, _)) = view.members.iter().find(|(_, m)| m.incarnation == member.incarnation) {
            return Outcome::Joined { id: known, cluster };
        }
        let ours = self.consensus().timing().pace();
        if pace != ours {
            return Outcome::Refused(format!(
                "the node has {}, which would make leases and elections unsafe: start it with {ours}",
                ours.differences(&pace)
            ));
        }
        // A number that was in use once stays used: what is remembered of it is of another data folder.
        let used = self.consensus().identity().used_ids();
        if view.members.contains_key(&id) {
            return Outcome::Refused(format!(
                "node {id} is a member with another data folder: if its disk is lost, run QUORATE NODE REMOVE {id} and \
                 join again without --node-id; otherwise choose another --node-id"
            ));
        }
        if id != 0 && used.contains(&id) {
            return Outcome::Refused(format!(
                "the number {id} belonged to a node that was removed: join without --node-id, or choose another one"
            ));
        }
        let id = if id == 0 { used.iter().max().map_or(1, |m| m + 1) } else { id };
        if id > NODE_ID_MAX {
            return Outcome::Refused(format!(
                "{id} is no number for a node: choose a --node-id from 1 to {NODE_ID_MAX}"
            ));
        }
        match self.consensus().add_learner(id, member.clone()).await {
            Ok(())
                if self
                    .consensus()
                    .view()
                    .members
                    .get(&id)
                    .is_some_and(|m| m.incarnation == member.incarnation) =>
            {
                tracing::info!(node = id, "a node has joined");
                if view.voters.len() == 1 && view.members.len() == 1 {
                    tracing::warn!("not yet redundant: add a third node, or run QUORATE NODE PROMOTE {id}");
                }
                Outcome::Joined { id, cluster }
            }
            Ok(()) => Outcome::Failed(format!("the number {id} was given to another node meanwhile")),
            Err(why) => Outcome::Failed(format!("the node could not be added: {why}")),
        }
    }

    async fn carry_out(&self, request: Admin) -> Outcome {
        let view = self.consensus().view();
        if !view.is_leader {
            return Self::not_leader(&view);
        }
        match request {
            Admin::Promote(id) => self.promote(&view, id).await,
            Admin::Remove(id) => self.remove(&view, id).await,
            Admin::Transfer(to) => self.transfer(to).await,
            Admin::Readdress(id, member) => self.readdress(&view, id, member).await,
        }
    }

    async fn promote(&self, view: &View, id: NodeId) -> Outcome {
        let Some(member) = view.members.get(&id) else {
            return Outcome::Failed(format!("node {id} is not a member"));
        };
        if view.voters.contains(&id) {
            return Outcome::Done(format!("node {id} votes already"));
        }
        if member.role == Role::Reader {
            return Outcome::Failed(format!(
                "node {id} is a reader, which never votes: restart it with --role data, then it can"
            ));
        }
        let wanted = self.replication_factor.load(Ordering::Relaxed);
        if view.voters.len() >= wanted {
            return Outcome::Failed(format!(
                "there are {} voters, and replication-factor is {wanted}: raise it (CONFIG SET replication-factor {}), or \
                 remove a voter",
                view.voters.len(),
                view.voters.len() + 1
            ));
        }
        let with = |voters: &[NodeId]| voters.iter().copied().chain([id]).collect();
        self.change_voters(with, &format!("node {id} votes now")).await
    }

    async fn remove(&self, view: &View, id: NodeId) -> Outcome {
        if !view.members.contains_key(&id) {
            return Outcome::Failed(format!("node {id} is not a member"));
        }
        if view.voters == [id] {
            return Outcome::Failed(format!("node {id} is the only voter: promote another one first"));
        }
        if id == self.consensus().identity().node_id() {
            return match self.transfer(None).await {
                // The new leader takes it from there.
                Outcome::Done(_) => Self::not_leader(&self.consensus().view()),
                other => other,
            };
        }
        if view.voters.contains(&id) {
            let without = |voters: &[NodeId]| voters.iter().copied().filter(|v| *v != id).collect();
            match self.change_voters(without, "").await {
                Outcome::Done(_) => {}
                other => return other,
            }
        }
        let _one = self.changing.lock().await;
        match self.consensus().remove_learner(id).await {
            Ok(()) => Outcome::Done(format!("node {id} is no longer a member")),
            Err(why) => Outcome::Failed(format!("node {id} could not be removed: {why}")),
        }
    }

    async fn transfer(&self, to: Option<NodeId>) -> Outcome {
        let view = self.consensus().view();
        let me = self.consensus().identity().node_id();
        if to == Some(me) {
            return Outcome::Done(format!("node {me} leads already"));
        }
        let best = view.voters.iter().filter(|v| **v != me).max_by_key(|v| view.matched.get(v).copied());
        let Some(to) = to.or(best.copied()) else {
            return Outcome::Failed("there is no other voter".to_owned());
        };
        if !view.voters.contains(&to) {
            return Outcome::Failed(format!("node {to} does not vote: QUORATE NODE LIST shows who does"));
        }
        match self.consensus().transfer(to).await {
            Ok(()) => Outcome::Done(format!("node {to} leads now")),
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Brings the voters to what `replication-factor` says, if this node leads. `begun`: where the log ended when it began
    /// to, by term.
    async fn adjust_voters(&self, begun: &mut Option<(u64, u64)>) -> Result<(), String> {
        let view = self.consensus().view();
        if !view.is_leader || view.joint {
            return Ok(());
        }
        let end = match *begun {
            Some((term, end)) if term == view.term => end,
            _ => begun.insert((view.term, view.last)).1,
        };
        // Until it has applied what was there before its term, a leader may know an old replication-factor.
        if self.consensus().own_probe().applied < end {
            return Ok(());
        }
        let surplus = self.surplus(&view).await;
        if surplus.is_empty() { self.promote_learners(&view).await } else { self.demote(&surplus).await }
    }

    /// The voters that should not be: those beyond `replication-factor`, who is furthest behind first, and readers. Never
    /// the leader, which hands leadership over first if it is a reader.
    async fn surplus(&self, view: &View) -> Vec<NodeId> {
        let me = self.consensus().identity().node_id();
        let is_reader = |id: &NodeId| view.members.get(id).is_some_and(|m| m.role == Role::Reader);
        if is_reader(&me) && view.voters.len() > 1 {
            let outcome = self.transfer(None).await;
            tracing::debug!(?outcome, "a reader does not lead");
            return Vec::new();
        }
        let wanted = self.replication_factor.load(Ordering::Relaxed);
        // As many as are wanted, or one more, lest their number become even.
        let most = wanted + usize::from(wanted.is_multiple_of(2));
        let beyond = if wanted == 0 || view.voters.len() <= most { 0 } else { view.voters.len() - most };
        let mut others: Vec<NodeId> = view.voters.iter().copied().filter(|id| *id != me).collect();
        if beyond == 0 && !others.iter().any(is_reader) {
            return Vec::new();
        }
        let there = self.there(view, &others).await;
        others.sort_by_key(|id| {
            let matched = view.matched.get(id).copied();
            (!is_reader(id), there.contains(id), matched, std::cmp::Reverse(*id))
        });
        let readers = others.iter().filter(|id| is_reader(id)).count();
        others.truncate(beyond.max(readers));
        others
    }

    async fn demote(&self, surplus: &[NodeId]) -> Result<(), String> {
        let without = |voters: &[NodeId]| voters.iter().copied().filter(|v| !surplus.contains(v)).collect();
        match self.change_voters(without, "").await {
            Outcome::Done(_) => tracing::info!(demoted = ?surplus, "voters"),
            Outcome::Failed(why) => return Err(why),
            _ => {}
        }
        Ok(())
    }

    /// Says whose timing differs from the leader's, once for each. `said`: what was said.
    async fn compare_timing(&self, said: &mut BTreeMap<NodeId, Pace>) {
        let view = self.consensus().view();
        let (me, ours) = (self.consensus().identity().node_id(), self.consensus().timing().pace());
        for &id in view.members.keys().filter(|id| view.is_leader && **id != me) {
            let Ok(probe) = self.consensus().probe(id).await else { continue };
            if said.insert(id, probe.pace).is_none_or(|last| last != probe.pace) && probe.pace != ours {
                tracing::error!(
                    "node {id} has {}: leases and elections are unsafe until all nodes have the same; restart it with {ours}",
                    ours.differences(&probe.pace)
                );
            }
        }
    }

    async fn readdress(&self, view: &View, id: NodeId, member: Member) -> Outcome {
        match view.members.get(&id) {
            None => Outcome::Failed(format!("node {id} is not a member")),
            Some(known) if known.incarnation != member.incarnation => {
                Outcome::Failed(format!("node {id} is a member with another data folder"))
            }
            Some(known) if *known == member => Outcome::Done("nothing has changed".to_owned()),
            Some(_) => {
                let _one = self.changing.lock().await;
                match self.consensus().set_member(id, member).await {
                    Ok(()) => Outcome::Done(format!("node {id} has new addresses")),
                    Err(why) => Outcome::Failed(why),
                }
            }
        }
    }

    /// Changes the voters if a majority of the new ones is there.
    async fn change_voters(&self, change: impl Fn(&[NodeId]) -> Vec<NodeId>, done: &str) -> Outcome {
        let _one = self.changing.lock().await;
        let view = self.consensus().view();
        let mut voters = change(&view.voters);
        voters.sort_unstable();
        voters.dedup();
        if view.joint {
            return Outcome::Failed(
                "another change of the voters is under way: try again when it is done".to_owned(),
            );
        }
        let there = self.there(&view, &voters).await;
        if there.len() * 2 <= voters.len() {
            return Outcome::Failed(format!(
                "only {} of the {} voters that this would leave are reachable and caught up: a majority is needed",
                there.len(),
                voters.len()
            ));
        }
        match self.consensus().set_voters(voters).await {
            Ok(()) => Outcome::Done(done.to_owned()),
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Those of `nodes` that answer and have nearly the whole log.
    async fn there(&self, view: &View, nodes: &[NodeId]) -> Vec<NodeId> {
        let me = self.consensus().identity().node_id();
        let mut there = Vec::new();
        for &id in nodes {
            let caught_up = view.matched.get(&id).is_some_and(|m| m + CAUGHT_UP_ENTRIES >= view.last);
            if id == me || (caught_up && self.consensus().probe(id).await.is_ok()) {
                there.push(id);
            }
        }
        there
    }

    /// Brings the number of voters up to the replication factor, by an odd number if it can.
    async fn promote_learners(&self, view: &View) -> Result<(), String> {
        let wanted = self.replication_factor.load(Ordering::Relaxed);
        if view.voters.len() >= wanted {
            return Ok(());
        }
        let eligible =
            |m: &BTreeMap<NodeId, Member>, id: &NodeId| m.get(id).is_some_and(|m| m.role == Role::Data);
        let learners: Vec<NodeId> = view
            .members
            .keys()
            .copied()
            .filter(|id| !view.voters.contains(id) && eligible(&view.members, id))
            .collect();
        let wanted = wanted - view.voters.len();
        if learners.is_empty() || (view.voters.len() == 1 && learners.len() < wanted.min(2)) {
            return Ok(());
        }
        let mut ready = self.there(view, &learners).await;
        ready.truncate(wanted);
        // From one voter to two would be a step back.
        if (view.voters.len() + ready.len()).is_multiple_of(2) {
            ready.pop();
        }
        if ready.is_empty() {
            return Ok(());
        }
        let with = |voters: &[NodeId]| voters.iter().chain(&ready).copied().collect();
        match self.change_voters(with, "").await {
            Outcome::Done(_) => {
                tracing::info!(promoted = ?ready, "voters");
                Ok(())
            }
            Outcome::Failed(why) => Err(why),
            _ => Ok(()),
        }
    }
}

impl Handler for Inner {
    fn join(&self, id: NodeId, member: Member, pace: Pace) -> BoxFuture<'_, Outcome> {
        Box::pin(self.take_in(id, member, pace))
    }

    fn admin(&self, request: Admin) -> BoxFuture<'_, Outcome> {
        Box::pin(self.carry_out(request))
    }
}
