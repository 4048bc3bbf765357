//! Who is a member, who votes (R19).
//!
//! The second node stays a learner: two voters would be less available than one, and no safer to lose. When a
//! third has caught up, both become voters in one joint change. Further nodes are readers until voters are
//! removed. One change at a time, begun only when the last one is committed and a majority of the new voters is
//! caught up and reachable.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quorate_env::clock;
use quorate_env::net::BoxFuture;
use quorate_log::Durability;
use quorate_replica::{Admin, Consensus, Handler, Member, NodeId, Outcome, Role, View};

use crate::config::Appendfsync;

/// How often the leader looks whether somebody can be promoted.
const LOOK: Duration = Duration::from_millis(250);
/// A learner this many entries behind is caught up: it gets the rest while the change commits.
const CAUGHT_UP_ENTRIES: u64 = 200;

/// A handle on the cluster from one of its nodes. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    consensus: OnceLock<Consensus>,
    replication_factor: usize,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    everysec: Arc<AtomicBool>,
}

impl Cluster {
    pub(crate) fn new(replication_factor: usize) -> Self {
        let inner = Inner {
            consensus: OnceLock::new(),
            replication_factor,
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

    pub(crate) fn attach(&self, consensus: Consensus) {
        assert!(self.inner.consensus.set(consensus).is_ok(), "attached once");
    }

    /// Promotes learners for as long as the node runs.
    pub(crate) async fn tend(self) {
        loop {
            clock::sleep(LOOK).await;
            if let Err(why) = self.inner.promote_learners().await {
                tracing::warn!("cannot promote: {why}");
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

    async fn take_in(&self, id: NodeId, member: Member) -> Outcome {
        let _one = self.changing.lock().await;
        let view = self.consensus().view();
        if !view.is_leader {
            return Self::not_leader(&view);
        }
        let cluster = self.consensus().identity().cluster();
        if let Some((&known, _)) = view.members.iter().find(|(_, m)| m.incarnation == member.incarnation) {
            return Outcome::Joined { id: known, cluster };
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
        if !view.members.contains_key(&id) {
            return Outcome::Failed(format!("node {id} is not a member"));
        }
        if view.voters.contains(&id) {
            return Outcome::Done(format!("node {id} votes already"));
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
    async fn promote_learners(&self) -> Result<(), String> {
        let view = self.consensus().view();
        if !view.is_leader || view.joint || view.voters.len() >= self.replication_factor {
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
        let wanted = self.replication_factor - view.voters.len();
        if learners.is_empty() || (view.voters.len() == 1 && learners.len() < wanted.min(2)) {
            return Ok(());
        }
        let mut ready = self.there(&view, &learners).await;
        ready.truncate(wanted);
        // From one voter to two would be a step back.
        if ready.is_empty() || (view.voters.len() + ready.len()).is_multiple_of(2) {
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
    fn join(&self, id: NodeId, member: Member) -> BoxFuture<'_, Outcome> {
        Box::pin(self.take_in(id, member))
    }

    fn admin(&self, request: Admin) -> BoxFuture<'_, Outcome> {
        Box::pin(self.carry_out(request))
    }
}
