//! Voters that are unsure of their logs (R6, R8): when they vote again, and which logs they vote for until then.
//!
//! A crash of the operating system may take the end of a log with it: under `everysec` what was written within the
//! last second, otherwise what a broken disk has lost. Such a voter is *unsure*: it may have acknowledged entries that
//! it no longer has, so a vote of its own could elect somebody who does not have them either. It neither votes nor
//! campaigns until a leader has brought it up to date. If a majority is unsure there will never be a leader, and the
//! longest log among *all* voters must win.
//!
//! # The rule
//!
//! While nobody leads, an unsure voter asks every voter what it has ([`Standing`]). When *all* of them answer, twice,
//! without a restart between the two rounds, none leads, and those that are sure are no majority, it keeps the
//! greatest last entry (term, then index) of the second round as its [`Floor`]. From then on it votes, pre-votes and
//! campaigns, but only for logs that reach the floor. All rules of Raft hold on top of that. It becomes sure when it
//! has caught up with a leader, or leads itself and has committed an entry of its own term.
//!
//! # Why no surviving write is lost
//!
//! Let *e* be an entry that a leader L committed in some term, and let *e* still be on some voter V. Let X be elected
//! in a later term. Raft's argument: a majority acknowledged *e*, a majority elected X, so some Z did both, and Z
//! votes only for logs that are no older than its own. It fails only if Z lost *e* in between, in a restart. Then Z
//! is unsure, and the claim is that its floor is at least *e*, hence X's log, too; and a log that ends at or behind a
//! committed entry holds it, because the leaders of all later terms did (induction over terms; losing the end of a
//! log or cutting it back to a leader's changes nothing in what stands before).
//!
//! Between the two rounds there is a moment *m*, after the restart of Z, at which each voter is in the very run of its
//! second answer.
//!
//! - If the run in which L led still goes on at *m*: Z had *e* from L before *m*, so L had it before *m*, and a run
//!   does not lose its log. L's second answer covers *e*. (Were it cut back meanwhile, by a leader without *e*, then *e*
//!   would not be committed.)
//! - If it has ended by *m*: all acknowledgements that L ever counted were given before *m*. V, too, had *e* before *m*
//!   and still has it: its second answer covers *e*.
//!
//! One round is not enough: V could answer, then acknowledge *e*, then L could lose its log and answer as well.
//!
//! So each vote is right on its own. It does not matter that the floors of two nodes differ, that one is older than
//! another, or that a leader appears and entries are committed after a floor was taken: acknowledgements of the present
//! run are in the log, where Raft's own rule sees them, and those of former runs were all given before *m*. A floor
//! stays right for the whole run of its node. It is given up when a voter restarts or does not answer only so that
//! the cluster neither waits for a log that is gone nor decides behind the back of a voter that may have a longer one.
//!
//! # Who "all voters" are
//!
//! The end of the log that was lost may have held a change of membership. So the voters of every membership that any
//! answer names must answer, too, until that adds nobody. Entries that change the membership are fsynced before they
//! are acknowledged in every durability mode (`storage.rs`), so a majority of each committed membership's voters knows
//! the next one, and going from one to the next leads to the last. An only voter is a majority by itself: if its disk
//! loses even what was fsynced, nobody else who was asked could tell. So if there is one voter, all members must answer:
//! who becomes a voter was a member before. What is left is that several disks lose what they had confirmed, and with
//! it the same change of membership.
//!
//! # Lost votes
//!
//! If the file with the vote itself is damaged, Raft's promise is gone: this node may vote a second time in a term, or
//! acknowledge an entry of an old leader after it had elected a new one. Until all voters have answered twice, it
//! does neither, whatever the state of the others is. Then it moves to the greatest term that any of them has
//! seen, as if it had voted for itself there. A candidate stores its term before it asks for votes, so (by the moment
//! *m*) any term in which the lost vote still counts is among the answers.
//!
//! # Acknowledging while unsure
//!
//! An unsure node that knows its vote acknowledges what a leader sends it. That is right: an acknowledgement says that
//! the log agrees with the leader's up to an entry, that this is durable, and that the node has promised nothing to a
//! later term. All three are true; they say nothing of entries that it had once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::ServerState;
use openraft::raft::VoteRequest;
use quorate_env::{Instant, clock};
use serde::{Deserialize, Serialize};

use crate::bus::{Request, Response};
use crate::consensus::Consensus;
use crate::types::{LogId, NodeId, Raft, TypeConfig, Vote, term_of};

/// How long an unsure node waits between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a voter may take to answer.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// After this time the operator hears which voters do not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a log may lack what it acknowledged; see `quorate_log::Recovery`. Without any doubt a log is *sure*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Doubts {
    /// The last group that was written before a crash of the operating system is incomplete or damaged.
    pub torn: bool,
    /// The operating system crashed under `everysec`: about the last second of writes may be gone (R8).
    pub unsynced: bool,
    /// The last vote cannot be read.
    pub vote: bool,
    /// Damaged entries were given up.
    pub discarded: bool,
    /// Another member says that the folder is an older copy, or lacks what it acknowledged (R5).
    pub distrusted: bool,
}

impl Doubts {
    /// What recovery of a log gives reason to doubt. Damage below what was durable is not among it: with that a node
    /// does not start at all.
    #[must_use]
    pub fn of(recovery: &quorate_log::Recovery) -> Self {
        Self {
            torn: recovery.torn_by_crash,
            unsynced: recovery.unsynced_lost,
            vote: recovery.vote_lost,
            discarded: recovery.discarded,
            distrusted: false,
        }
    }

    /// Whether everything that the log ever acknowledged is certainly still there.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        *self == Self::default()
    }
}

/// What a node says of itself to an unsure voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// How often it was started, and the nonce of this start: another pair is another run.
    pub(crate) run: (u64, u64),
    /// Why it is unsure; no doubt if it is sure.
    pub(crate) doubts: Doubts,
    /// Whether it leads.
    pub(crate) leads: bool,
    /// The greatest term that it has heard of.
    pub(crate) term: u64,
    /// The last entry of its log.
    pub(crate) last: Option<LogId>,
    /// The voters of the last membership in its log; two sets while they change.
    pub(crate) voters: Vec<BTreeSet<NodeId>>,
    /// All members of it.
    pub(crate) members: BTreeSet<NodeId>,
}

/// One answer of each voter.
pub(crate) type Round = BTreeMap<NodeId, Standing>;

/// What an unsure voter votes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Logs that end before this get no vote.
    pub(crate) last: LogId,
    /// Who has it.
    pub(crate) holder: NodeId,
    /// Whether a voter may have lost the writes of about a second, for which `everysec` does not vouch.
    pub(crate) window: bool,
}

/// Why there is no floor yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A voter was restarted between the rounds, or the voters are others now.
    Changed,
    /// Somebody leads: this node catches up as usual.
    Led,
    /// Enough voters are sure: they elect a leader without this one.
    Enough,
    /// This node does not vote, or there is nothing to vote for.
    NoVoter,
}

/// Who must answer, by what was answered so far.
pub(crate) fn required(round: &Round) -> BTreeSet<NodeId> {
    let voters: BTreeSet<NodeId> = round.values().flat_map(|s| s.voters.iter().flatten()).copied().collect();
    if voters.len() > 1 {
        return voters;
    }
    let members = round.values().flat_map(|s| s.members.iter()).copied();
    voters.into_iter().chain(members).collect()
}

/// Whether all of two complete rounds took place in the same runs of the same nodes.
pub(crate) fn are_of_one_time(first: &Round, second: &Round) -> bool {
    let runs = |round: &Round| round.iter().map(|(id, s)| (*id, s.run)).collect::<Vec<_>>();
    runs(first) == runs(second)
}

/// The floor of node `me` after two complete rounds; see the module.
pub(crate) fn floor(me: NodeId, first: &Round, second: &Round) -> Result<Floor, Wait> {
    if !are_of_one_time(first, second) {
        return Err(Wait::Changed);
    }
    if second.values().any(|s| s.leads) {
        return Err(Wait::Led);
    }
    let longest = second.iter().max_by_key(|(id, s)| (s.last, std::cmp::Reverse(**id)));
    let (&holder, longest) = longest.ok_or(Wait::NoVoter)?;
    let last = longest.last.ok_or(Wait::NoVoter)?;
    if !longest.voters.iter().any(|half| half.contains(&me)) {
        return Err(Wait::NoVoter);
    }
    let is_sure = |id: &&NodeId| second.get(id).is_some_and(|s| s.doubts.is_sure());
    let suffices = |half: &BTreeSet<NodeId>| half.iter().filter(is_sure).count() * 2 > half.len();
    if longest.voters.iter().all(suffices) {
        return Err(Wait::Enough);
    }
    Ok(Floor { last, holder, window: second.values().any(|s| s.doubts.unsynced) })
}

/// The greatest term that any of the nodes can know of.
pub(crate) fn greatest_term(round: &Round) -> u64 {
    round.values().map(|s| s.term.max(s.last.map_or(0, |last| term_of(&last)))).max().unwrap_or(0)
}

/// How far this node may be trusted, by itself and by others. Shared by consensus and the bus.
pub(crate) struct Trust {
    /// What recovery gave reason to doubt.
    recovered: Doubts,
    /// What other members held against this run.
    distrusted: AtomicBool,
    sure: AtomicBool,
    /// Whether no vote was lost, or what it may have promised is covered again.
    vote_known: AtomicBool,
    floor: Mutex<Option<Floor>>,
}

impl Trust {
    pub(crate) fn new(doubts: Doubts) -> Self {
        Self {
            recovered: doubts,
            distrusted: AtomicBool::new(false),
            sure: AtomicBool::new(doubts.is_sure()),
            vote_known: AtomicBool::new(!doubts.vote),
            floor: Mutex::default(),
        }
    }

    /// Why this node is unsure now.
    pub(crate) fn doubts(&self) -> Doubts {
        match self.is_sure() {
            true => Doubts::default(),
            false => Doubts { distrusted: self.distrusted.load(Ordering::Relaxed), ..self.recovered },
        }
    }

    /// Another member knows that this node's folder is an older copy, or lacks what it acknowledged.
    pub(crate) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
        self.sure.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_sure(&self) -> bool {
        self.sure.load(Ordering::Relaxed)
    }

    /// Whether it may take part at all: acknowledge, vote, be led.
    pub(crate) fn knows_its_vote(&self) -> bool {
        self.vote_known.load(Ordering::Relaxed)
    }

    /// Whether it may vote for a log that ends at `last`, as far as its own log is concerned. A transfer of leadership
    /// needs voters that are sure.
    pub(crate) fn allows(&self, last: Option<&LogId>, is_transfer: bool) -> bool {
        self.is_sure() || !is_transfer && self.floor().is_some_and(|floor| last >= Some(&floor.last))
    }

    pub(crate) fn floor(&self) -> Option<Floor> {
        *self.floor.lock().expect("not poisoned")
    }

    fn set_floor(&self, floor: Option<Floor>) {
        *self.floor.lock().expect("not poisoned") = floor;
    }

    fn become_sure(&self) {
        self.sure.store(true, Ordering::Relaxed);
        self.vote_known.store(true, Ordering::Relaxed);
        self.set_floor(None);
    }
}

/// What a node says of itself. `None`: its consensus has stopped.
pub(crate) async fn standing(raft: &Raft, run: (u64, u64), doubts: Doubts) -> Option<Standing> {
    let look = move |s: &openraft::RaftState<TypeConfig>| {
        let membership = s.membership_state.effective().membership();
        Standing {
            run,
            doubts,
            leads: s.server_state == ServerState::Leader,
            term: s.vote_ref().leader_id.term,
            last: s.log_ids.last().copied(),
            voters: membership.get_joint_config().clone(),
            members: membership.nodes().map(|(id, _)| *id).collect(),
        }
    };
    raft.with_raft_state(look).await.ok()
}

/// Says something new only.
#[derive(Default)]
struct Teller(String);

impl Teller {
    fn warn(&mut self, text: String) {
        if self.0 != text {
            tracing::warn!("{text}");
            self.0 = text;
        }
    }
}

impl Consensus {
    /// Returns when this node, which is unsure, may vote like any other. Votes by a floor meanwhile, if it must.
    pub(crate) async fn become_sure(&self, trust: &Trust) {
        let mut teller = Teller::default();
        teller.warn(
            "the log may lack acknowledged writes: this node does not vote before it has caught up with a leader"
                .to_owned(),
        );
        let since = Instant::now();
        let mut before: Option<Round> = None;
        while !self.has_caught_up(trust).await {
            let round = match self.ask_all(trust).await {
                Ok(round) => Some(round),
                Err(silent) => {
                    self.give_up_floor(trust);
                    if since.elapsed() > PATIENCE {
                        let who = silent.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                        teller.warn(format!(
                            "there is no leader to catch up with, and not all voters answer (not node {who}): if a majority \
                             is unsure of its log, all must. If one is gone for good, see `quorate recover`"
                        ));
                    }
                    None
                }
            };
            if let (Some(first), Some(second)) = (&before, &round) {
                self.consider(trust, first, second, &mut teller).await;
            }
            before = round;
            clock::sleep(PAUSE).await;
        }
        self.report_takeover(trust);
        trust.become_sure();
        self.log.trust(Box::new(|_| ()));
        tracing::info!("caught up: this node votes again");
    }

    /// Whether everything that was committed before this call is in this node's log.
    async fn has_caught_up(&self, trust: &Trust) -> bool {
        let view = self.view();
        if !trust.knows_its_vote() || view.leader.is_none() {
            return false;
        }
        // A leader's own answer comes only when it has committed an entry of its term.
        self.read_index(view.leader).await.is_some_and(|read| self.view().committed >= read.index)
    }

    /// What all voters say. The error names those that did not answer.
    async fn ask_all(&self, trust: &Trust) -> Result<Round, Vec<NodeId>> {
        let me = self.identity.node_id();
        let own = standing(&self.raft, self.identity.run(), trust.doubts()).await.ok_or_else(|| vec![me])?;
        let mut round = Round::from([(me, own)]);
        loop {
            let missing: Vec<_> = required(&round).into_iter().filter(|id| !round.contains_key(id)).collect();
            if missing.is_empty() {
                return Ok(round);
            }
            let ask = |id: NodeId| async move {
                match self.call(id, Request::Standing, ANSWER_TIME).await {
                    Ok(Response::Standing(standing)) => Ok((id, standing)),
                    _ => Err(id),
                }
            };
            let answers = futures_util::future::join_all(missing.into_iter().map(ask)).await;
            let silent: Vec<_> = answers.iter().filter_map(|a| a.as_ref().err().copied()).collect();
            if !silent.is_empty() {
                return Err(silent);
            }
            round.extend(answers.into_iter().flatten());
        }
    }

    /// Draws the conclusions of two complete rounds.
    async fn consider(&self, trust: &Trust, first: &Round, second: &Round, teller: &mut Teller) {
        if !trust.knows_its_vote() {
            if !are_of_one_time(first, second) || !self.raise_term(second).await {
                return;
            }
            trust.vote_known.store(true, Ordering::Relaxed);
        }
        let me = self.identity.node_id();
        let Ok(floor) = floor(me, first, second) else { return self.give_up_floor(trust) };
        trust.set_floor(Some(floor));
        let reaches = second[&me].last >= Some(floor.last);
        self.raft.runtime_config().elect(reaches);
        teller.warn(format!(
            "a majority of the voters is unsure of its log, and all have answered: the longest log wins, which is that \
             of node {}; it ends at entry {} of term {}{}",
            floor.holder,
            floor.last.index,
            term_of(&floor.last),
            lost(&floor)
        ));
    }

    fn give_up_floor(&self, trust: &Trust) {
        if trust.floor().is_some() {
            trust.set_floor(None);
            self.raft.runtime_config().elect(false);
        }
    }

    /// Moves to the greatest term among the answers, as if this node had voted for itself in it.
    async fn raise_term(&self, round: &Round) -> bool {
        let term = greatest_term(round);
        let own = &round[&self.identity.node_id()];
        if own.term >= term {
            return true;
        }
        let vote = Vote::new(term, self.identity.node_id());
        let vote_request = VoteRequest::new(vote, round.values().filter_map(|s| s.last).max());
        let granted = self.raft.vote(vote_request).await.is_ok_and(|response| response.vote >= vote);
        tracing::warn!(term, granted, "the last vote is lost: none is given up to this term");
        granted
    }

    /// A leader that votes by a floor elected says what may be gone (R8).
    fn report_takeover(&self, trust: &Trust) {
        let view = self.view();
        if let Some(floor) = trust.floor().filter(|_| view.is_leader) {
            tracing::warn!(
                term = view.term,
                last = floor.last.index,
                "this node leads, because its log was the longest while a majority was unsure{}",
                lost(&floor)
            );
        }
    }
}

/// What may be gone behind a floor.
fn lost(floor: &Floor) -> &'static str {
    match floor.window {
        true => {
            ". With appendfsync everysec, writes that were acknowledged within about a second before the crash may be lost"
        }
        false => ". Nothing that was acknowledged is lost, unless a disk lost what it had confirmed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    const UNSYNCED: Doubts =
        Doubts { torn: false, unsynced: true, vote: false, discarded: false, distrusted: false };

    fn node(run: u64, term: u64, index: u64, doubts: Doubts) -> Standing {
        Standing {
            run: (run, 7),
            doubts,
            leads: false,
            term,
            last: Some(log_id(term, index)),
            voters: vec![BTreeSet::from([1, 2, 3])],
            members: BTreeSet::from([1, 2, 3]),
        }
    }

    /// Three unsure voters; the second has the longest log, the third the highest index.
    fn three() -> Round {
        Round::from([
            (1, node(4, 2, 10, UNSYNCED)),
            (2, node(4, 3, 9, UNSYNCED)),
            (3, node(4, 2, 12, Doubts::default())),
        ])
    }

    #[test]
    fn the_longest_log_among_all_is_the_floor() {
        let floor = floor(1, &three(), &three()).unwrap();
        assert_eq!((floor.last, floor.holder, floor.window), (log_id(3, 9), 2, true));
    }

    #[test]
    fn the_second_round_counts() {
        let mut later = three();
        later.get_mut(&1).unwrap().last = Some(log_id(4, 11));
        assert_eq!(floor(2, &three(), &later).unwrap().last, log_id(4, 11));
        assert_eq!(floor(2, &later, &three()).unwrap().last, log_id(3, 9));
    }

    #[test]
    fn a_restart_between_the_rounds_voids_them() {
        let mut later = three();
        later.get_mut(&3).unwrap().run.0 += 1;
        assert_eq!(floor(1, &three(), &later), Err(Wait::Changed));
        // Two copies of one folder count alike, but draw other nonces.
        let mut copy = three();
        copy.get_mut(&3).unwrap().run.1 += 1;
        assert_eq!(floor(1, &three(), &copy), Err(Wait::Changed));
        let mut fewer = three();
        fewer.remove(&3);
        assert_eq!(floor(1, &fewer, &three()), Err(Wait::Changed));
    }

    #[test]
    fn a_leader_is_waited_for() {
        let mut led = three();
        led.get_mut(&3).unwrap().leads = true;
        assert_eq!(floor(1, &led, &led), Err(Wait::Led));
        assert!(floor(1, &led, &three()).is_ok());
    }

    #[test]
    fn a_majority_that_is_sure_decides_alone() {
        let mut sure = three();
        sure.get_mut(&2).unwrap().doubts = Doubts::default();
        assert_eq!(floor(1, &sure, &sure), Err(Wait::Enough));
        // A joint membership needs a majority of both halves; the new one has only unsure voters.
        for standing in sure.values_mut() {
            standing.voters = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1])];
        }
        assert_eq!(floor(1, &sure, &sure).unwrap().last, log_id(3, 9));
    }

    #[test]
    fn who_does_not_vote_by_the_longest_log_keeps_no_floor() {
        let mut removed = three();
        removed.get_mut(&2).unwrap().voters = vec![BTreeSet::from([2, 3])];
        assert_eq!(floor(1, &removed, &removed), Err(Wait::NoVoter));
        assert!(floor(3, &removed, &removed).is_ok());
    }

    #[test]
    fn voters_that_only_another_log_knows_must_answer_too() {
        let mut round = Round::from([(1, node(1, 2, 10, UNSYNCED))]);
        assert_eq!(required(&round), BTreeSet::from([1, 2, 3]));
        let mut newer = node(1, 2, 11, UNSYNCED);
        newer.voters = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        round.insert(2, newer);
        assert_eq!(required(&round), BTreeSet::from([1, 2, 3, 4]));
    }

    #[test]
    fn an_only_voter_asks_all_members_and_others_do_not() {
        let mut only = node(1, 2, 10, UNSYNCED);
        only.voters = vec![BTreeSet::from([1])];
        assert_eq!(required(&Round::from([(1, only.clone())])), BTreeSet::from([1, 2, 3]));
        only.members = BTreeSet::from([1]);
        let alone = Round::from([(1, only)]);
        assert_eq!(required(&alone), BTreeSet::from([1]));
        assert_eq!(floor(1, &alone, &alone).unwrap().holder, 1);
        let mut with_reader = three();
        with_reader.get_mut(&1).unwrap().members.insert(9);
        assert_eq!(required(&with_reader), BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn a_lost_vote_is_covered_by_terms_of_votes_and_of_entries() {
        let mut round = three();
        assert_eq!(greatest_term(&round), 3);
        round.get_mut(&1).unwrap().term = 8;
        assert_eq!(greatest_term(&round), 8);
        round.get_mut(&3).unwrap().last = Some(log_id(9, 1));
        assert_eq!(greatest_term(&round), 9);
    }

    #[test]
    fn votes_follow_the_floor_until_the_node_is_sure() {
        let trust = Trust::new(UNSYNCED);
        let (short, long) = (log_id(2, 100), log_id(3, 9));
        assert!(!trust.allows(Some(&long), false), "no floor yet");
        trust.set_floor(Some(floor(1, &three(), &three()).unwrap()));
        assert!(trust.allows(Some(&long), false) && trust.allows(Some(&log_id(3, 10)), false));
        assert!(!trust.allows(Some(&short), false) && !trust.allows(None, false));
        assert!(!trust.allows(Some(&long), true), "a transfer");
        trust.set_floor(None);
        assert!(!trust.allows(Some(&long), false), "given up");
        trust.become_sure();
        assert!(trust.allows(None, true) && trust.doubts().is_sure());
    }

    #[test]
    fn only_a_lost_vote_keeps_a_node_from_acknowledging() {
        assert!(Trust::new(UNSYNCED).knows_its_vote());
        let lost = Trust::new(Doubts { vote: true, ..Doubts::default() });
        assert!(!lost.knows_its_vote() && !lost.is_sure());
    }
}
