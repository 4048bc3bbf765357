//! The faults: drawn by the seed, begun, ended, and written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Signal;
use serde::Serialize;

use super::Field;
use super::disks::Disks;
use super::network::Links;
use super::proxy::Way;
use super::target::Machines;

/// The time between the beginnings of two faults, milliseconds.
const GAP_MS: std::ops::Range<u64> = 300..1800;
/// How long a fault lasts, milliseconds. A cut network lasts longer: time enough to elect another leader beside the old one.
const HOLD_MS: std::ops::Range<u64> = 200..3500;
const CUT_HOLD_MS: std::ops::Range<u64> = 500..8000;
/// How many last at a time.
const TOGETHER_MAX: usize = 2;
/// How often a fault may begin while another lasts: one time in so many.
const TOGETHER_ONE_IN: u32 = 3;
/// How long a node has to end after SIGTERM, before it is a violation.
const TERM_TIME: Duration = Duration::from_secs(20);
/// How long after its disk was full a node may still end because of that.
const FULL_DISK_TIME: Duration = Duration::from_secs(5);
/// How long a node with damaged data may take for each step on its way back, and how often it is looked at.
const REPAIR_TIME: Duration = Duration::from_secs(30);
const REPAIR_PAUSE: Duration = Duration::from_millis(200);
/// The delay of a slow node's messages, milliseconds.
const SLOW_MS: std::ops::Range<u64> = 5..60;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// SIGKILL of a node, mostly the leader; it is started again
    Kill,
    /// SIGKILL of all nodes at once
    KillAll,
    /// SIGSTOP of a node, mostly the leader, then SIGCONT: a machine that hangs
    Stop,
    /// SIGTERM of a node; it is started again
    Restart,
    /// Leadership is handed over by command
    Transfer,
    /// The network between nodes is cut: one node off from all others, or two from each other
    Partition,
    /// A node is not heard by the others, or does not hear them
    OneWay,
    /// What a node sends and gets arrives late
    Slow,
    /// The machine of a node loses its power, or all of them do: what was not synced is dropped, torn or out of order. Needs root and FUSE
    PowerLoss,
    /// The disk of a node takes no more writes for a while. Needs root and FUSE
    DiskFull,
    /// A bit turns on a node's disk while it is down; if it refuses to go on, it is replaced. Needs root and FUSE
    Damage,
}

impl FaultKind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAll => "kill-all",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Transfer => "transfer",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Slow => "slow",
            Self::PowerLoss => "power-loss",
            Self::DiskFull => "disk-full",
            Self::Damage => "damage",
        }
    }

    /// Whether the disks must be of the kind that can be broken.
    pub(super) fn needs_disks(self) -> bool {
        matches!(self, Self::PowerLoss | Self::DiskFull | Self::Damage)
    }

    /// Whether it needs a second node.
    pub(super) fn needs_others(self) -> bool {
        matches!(self, Self::Transfer | Self::Partition | Self::OneWay | Self::Slow)
    }

    /// Whether it happens to the process of a node, and not to the network.
    fn hits_processes(self) -> bool {
        matches!(self, Self::Kill | Self::KillAll | Self::Stop | Self::Restart) || self.needs_disks()
    }
}

/// A fault that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    pub(super) kind: FaultKind,
    /// What exactly, for people.
    pub(super) what: String,
    /// Whether the leader was hit: what stops writes.
    pub(super) hits_leader: bool,
    /// Whether another fault lasted when it began.
    pub(super) alone: bool,
    /// When it began and ended, nanoseconds since the clients began.
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// How a fault ends.
#[derive(Debug)]
enum Undo {
    Start(Vec<u64>),
    Continue(u64),
    MakeRoom(u64),
    Repair(Repair),
    Heal {
        ways: Vec<Way>,
        breaks: bool,
    },
    /// Nothing is to be done.
    Nothing,
}

/// A node whose data were damaged, on its way back.
#[derive(Debug, Clone, Copy)]
struct Repair {
    id: u64,
    step: Step,
    /// Since when it is at this step.
    since: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Down,
    /// Started on the damaged data: it repairs them or refuses.
    Started,
    /// It refused, and is being removed from its cluster.
    Refused,
    /// Started as a new node.
    Joining,
}

#[derive(Debug)]
struct Active {
    record: usize,
    until: Duration,
    /// Nodes whose process it has.
    nodes: BTreeSet<u64>,
    undo: Undo,
}

/// All faults of a run.
pub(super) struct Storm<'a> {
    machines: &'a mut dyn Machines,
    network: &'a dyn Links,
    disks: Option<&'a Disks>,
    rng: fastrand::Rng,
    kinds: Vec<FaultKind>,
    /// What is still to be drawn before kinds repeat.
    bag: Vec<FaultKind>,
    active: Vec<Active>,
    next: Duration,
    records: Vec<Record>,
    /// Nodes that were told to end, and since when.
    ending: BTreeMap<u64, Duration>,
    /// Nodes whose disk is full, or was until a moment ago, and until when that is a reason for them to end (R7).
    excused: BTreeMap<u64, Duration>,
    problems: Vec<String>,
}

impl<'a> Storm<'a> {
    pub(super) fn new(field: Field<'a>, seed: u64) -> Self {
        let Field { machines, network, disks, kinds } = field;
        Self {
            machines,
            network,
            disks,
            rng: fastrand::Rng::with_seed(seed),
            kinds: kinds.to_vec(),
            bag: Vec::new(),
            active: Vec::new(),
            next: Duration::from_secs(1),
            records: Vec::new(),
            ending: BTreeMap::new(),
            excused: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Ends what is over and begins what is due. `now` is the time since the clients began.
    pub(super) fn turn(&mut self, now: Duration, leader: &dyn Fn() -> Option<u64>) -> anyhow::Result<()> {
        self.look_after(now);
        let due: Vec<usize> = (0..self.active.len()).filter(|at| self.active[*at].until <= now).collect();
        for at in due.into_iter().rev() {
            let active = self.active.swap_remove(at);
            self.end(active, now)?;
        }
        if now >= self.next && !self.kinds.is_empty() {
            self.next = now + self.draw_ms(GAP_MS);
            let together = self.rng.u32(..TOGETHER_ONE_IN) == 0;
            if self.active.is_empty() || together && self.active.len() < TOGETHER_MAX {
                self.begin(now, leader())?;
            }
        }
        Ok(())
    }

    /// Ends everything: all nodes run, and the network is whole.
    pub(super) fn calm(&mut self, now: Duration) -> anyhow::Result<()> {
        for active in std::mem::take(&mut self.active) {
            self.end(active, now)?;
        }
        Ok(())
    }

    /// What lasts now, for people.
    pub(super) fn present(&self) -> String {
        let present: Vec<&str> = self.active.iter().map(|a| self.records[a.record].what.as_str()).collect();
        present.join(", ")
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// What there was, and what nodes did by themselves.
    pub(super) fn finish(self) -> (Vec<Record>, Vec<String>) {
        (self.records, self.problems)
    }

    /// Notices which nodes have ended. One that was not told to is a violation, and is started again.
    pub(super) fn look_after(&mut self, now: Duration) {
        for (id, how) in self.machines.ended() {
            if self.ending.remove(&id).is_some() {
                continue;
            }
            match self.excused.get(&id) {
                // It is started when there is room again.
                Some(&Duration::MAX) => continue,
                Some(until) if now < *until => {}
                _ => self
                    .problems
                    .push(format!("node {id} ended by itself ({how}) at {:.1} s", now.as_secs_f64())),
            }
            if let Err(error) = self.machines.start(id) {
                self.problems.push(format!("node {id} could not be started again: {error:#}"));
            }
        }
    }

    fn draw_ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    fn begin(&mut self, now: Duration, leader: Option<u64>) -> anyhow::Result<()> {
        if self.bag.is_empty() {
            self.bag = self.kinds.clone();
            self.rng.shuffle(&mut self.bag);
        }
        let Some(kind) = self.bag.pop() else { return Ok(()) };
        // All draws come first: what the seed decides does not depend on what the nodes do.
        let hold = match kind {
            FaultKind::Partition | FaultKind::OneWay => self.draw_ms(CUT_HOLD_MS),
            _ => self.draw_ms(HOLD_MS),
        };
        let (pick, coin, slow) = (self.rng.u64(..), self.rng.u32(..100), self.draw_ms(SLOW_MS));
        let busy: BTreeSet<u64> =
            self.active.iter().flat_map(|active| active.nodes.iter().copied()).collect();
        let free: Vec<u64> = (1..=self.machines.count()).filter(|id| !busy.contains(id)).collect();
        let network_is_busy = self.active.iter().any(|active| matches!(active.undo, Undo::Heal { .. }));
        let blocked = match kind {
            FaultKind::KillAll | FaultKind::Damage => !busy.is_empty(),
            FaultKind::PowerLoss if self.takes_all_power(pick) => !busy.is_empty(),
            kind if kind.hits_processes() => free.is_empty(),
            FaultKind::Transfer => leader.is_none_or(|id| busy.contains(&id)),
            _ => network_is_busy,
        };
        if blocked {
            return Ok(());
        }
        let node = match leader.filter(|id| free.contains(id) && coin < 60) {
            Some(leader) => leader,
            None if free.is_empty() => return Ok(()),
            None => free[usize::try_from(pick % free.len() as u64)?],
        };
        let begun = self.strike(kind, node, leader, pick, slow, now)?;
        let Some((what, nodes, undo)) = begun else { return Ok(()) };
        let record = Record {
            kind,
            what,
            hits_leader: leader == Some(node)
                || kind == FaultKind::KillAll
                || kind == FaultKind::PowerLoss && nodes.len() > 1,
            alone: self.active.is_empty(),
            begin: nanos(now),
            end: nanos(now),
        };
        self.records.push(record);
        let until = if matches!(undo, Undo::Nothing) { now } else { now + hold };
        self.active.push(Active { record: self.records.len() - 1, until, nodes, undo });
        Ok(())
    }

    /// Whether a power loss hits all nodes. Where fsync means nothing, only that shows what is lost: a single node that
    /// has less than it acknowledged is found out by the others (R5).
    fn takes_all_power(&self, pick: u64) -> bool {
        pick.is_multiple_of(3) || self.disks.is_some_and(Disks::ignores_fsync)
    }

    /// Carries a fault out.
    fn strike(
        &mut self,
        kind: FaultKind,
        node: u64,
        leader: Option<u64>,
        pick: u64,
        slow: Duration,
        now: Duration,
    ) -> anyhow::Result<Option<(String, BTreeSet<u64>, Undo)>> {
        let role = if leader == Some(node) { "the leader, " } else { "" };
        let one = BTreeSet::from([node]);
        let all: Vec<u64> = (1..=self.machines.count()).collect();
        let others: Vec<u64> = all.iter().copied().filter(|id| *id != node).collect();
        Ok(Some(match kind {
            FaultKind::Kill => {
                self.machines.kill(node)?;
                (format!("{role}node {node}, killed"), one, Undo::Start(vec![node]))
            }
            FaultKind::KillAll => {
                for id in &all {
                    self.machines.kill(*id)?;
                }
                ("all nodes killed".into(), all.iter().copied().collect(), Undo::Start(all))
            }
            FaultKind::PowerLoss => {
                let hit = if self.takes_all_power(pick) { all } else { vec![node] };
                for id in &hit {
                    self.machines.kill(*id)?;
                }
                let Some(disks) = self.disks else { return Ok(None) };
                for id in &hit {
                    disks.lose_power(*id)?;
                }
                let what = if hit.len() > 1 {
                    "power loss of all nodes".to_owned()
                } else {
                    format!("{role}node {node}, power loss")
                };
                (what, hit.iter().copied().collect(), Undo::Start(hit))
            }
            FaultKind::DiskFull => {
                let Some(disks) = self.disks else { return Ok(None) };
                disks.set_full(node, true);
                self.excused.insert(node, Duration::MAX);
                (format!("{role}node {node}, disk full"), one, Undo::MakeRoom(node))
            }
            FaultKind::Damage => {
                let Some(disks) = self.disks else { return Ok(None) };
                self.machines.kill(node)?;
                let what = match disks.damage(node) {
                    Some(place) => format!("{role}node {node}, killed, and a bit turned in {place}"),
                    None => format!("{role}node {node}, killed; there was nothing to damage"),
                };
                self.excused.insert(node, Duration::MAX);
                // A second failure at the same time may cost the majority for good.
                (
                    what,
                    all.into_iter().collect(),
                    Undo::Repair(Repair { id: node, step: Step::Down, since: now }),
                )
            }
            FaultKind::Stop => {
                self.machines.signal(node, Signal::STOP)?;
                (format!("{role}node {node}, stopped"), one, Undo::Continue(node))
            }
            FaultKind::Restart => {
                self.machines.signal(node, Signal::TERM)?;
                self.ending.insert(node, now);
                (format!("{role}node {node}, restarted"), one, Undo::Start(vec![node]))
            }
            FaultKind::Transfer => {
                let Some(leader) = leader else { return Ok(None) };
                // It may be refused: there is no leader any more, or nobody has caught up.
                let outcome = self.machines.transfer(leader, None);
                let refused = if outcome.is_err() { " (refused)" } else { "" };
                (format!("leadership of node {leader} transferred{refused}"), BTreeSet::new(), Undo::Nothing)
            }
            FaultKind::Partition if pick.is_multiple_of(3) => {
                let other = others[usize::try_from(pick / 3 % others.len() as u64)?];
                let ways = vec![(node, other), (other, node)];
                self.cut(format!("{role}node {node}, cut off from node {other}"), ways, pick)?
            }
            FaultKind::Partition => {
                let ways = others.iter().flat_map(|other| [(node, *other), (*other, node)]).collect();
                self.cut(format!("{role}node {node}, cut off"), ways, pick)?
            }
            FaultKind::OneWay if pick.is_multiple_of(2) => {
                let ways = others.iter().map(|other| (node, *other)).collect();
                self.cut(format!("{role}node {node}, not heard"), ways, pick)?
            }
            FaultKind::OneWay => {
                let ways = others.iter().map(|other| (*other, node)).collect();
                self.cut(format!("{role}node {node}, deaf"), ways, pick)?
            }
            FaultKind::Slow => {
                let ways: Vec<Way> =
                    others.iter().flat_map(|other| [(node, *other), (*other, node)]).collect();
                self.network.slow(&ways, slow)?;
                let what = format!("{role}node {node}, slow by {} ms", slow.as_millis());
                (what, BTreeSet::new(), Undo::Heal { ways, breaks: false })
            }
        }))
    }

    fn cut(&self, what: String, ways: Vec<Way>, pick: u64) -> anyhow::Result<(String, BTreeSet<u64>, Undo)> {
        self.network.cut(&ways)?;
        // Now and then the connections do not outlive it.
        Ok((what, BTreeSet::new(), Undo::Heal { ways, breaks: pick % 5 < 2 }))
    }

    fn end(&mut self, active: Active, now: Duration) -> anyhow::Result<()> {
        self.records[active.record].end = nanos(now);
        match active.undo {
            Undo::Nothing => {}
            Undo::Continue(id) => self.machines.signal(id, Signal::CONT)?,
            Undo::MakeRoom(id) => {
                if let Some(disks) = self.disks {
                    disks.set_full(id, false);
                }
                self.excused.insert(id, now + FULL_DISK_TIME);
                if !self.machines.runs(id) {
                    self.machines.start(id)?;
                }
            }
            Undo::Repair(repair) => {
                if let Some(next) = self.repair(repair, active.record, now)? {
                    let since = if next == repair.step { repair.since } else { now };
                    let undo = Undo::Repair(Repair { step: next, since, ..repair });
                    self.active.push(Active { until: now + REPAIR_PAUSE, undo, ..active });
                }
            }
            Undo::Heal { ways, breaks } => self.network.heal(&ways, breaks)?,
            Undo::Start(ids) => {
                let waits = ids.iter().any(|id| self.machines.runs(*id));
                let since = ids.iter().filter_map(|id| self.ending.get(id)).min().copied();
                if waits && since.is_some_and(|since| now < since + TERM_TIME) {
                    // It is still ending: later.
                    let until = now + Duration::from_millis(100);
                    self.active.push(Active { until, undo: Undo::Start(ids), ..active });
                    return Ok(());
                }
                for id in ids {
                    if self.machines.runs(id) {
                        self.problems
                            .push(format!("node {id} did not end within {TERM_TIME:?} after SIGTERM"));
                        self.machines.kill(id)?;
                    }
                    self.ending.remove(&id);
                    self.machines.start(id)?;
                }
            }
        }
        Ok(())
    }

    /// Does the next thing for a damaged node, as its operator would; none if it works again or cannot be helped.
    fn repair(&mut self, repair: Repair, record: usize, now: Duration) -> anyhow::Result<Option<Step>> {
        let Repair { id, step, since } = repair;
        let late = now > since + REPAIR_TIME;
        let runs = self.machines.runs(id);
        if matches!(step, Step::Started | Step::Joining) && runs && self.machines.works(id) {
            self.excused.remove(&id);
            if step == Step::Started {
                self.records[record].what.push_str("; it went on, or put it right");
            }
            return Ok(None);
        }
        Ok(match step {
            Step::Down => {
                self.machines.start(id)?;
                Some(Step::Started)
            }
            Step::Started if runs && !late => Some(Step::Started),
            Step::Started => {
                self.machines.kill(id)?;
                let how = if runs { "did not serve" } else { "refused to serve" };
                self.records[record].what.push_str(&format!("; it {how}"));
                Some(Step::Refused)
            }
            Step::Refused if self.machines.remove(id) => {
                let name = self.machines.begin_anew(id)?;
                self.records[record].what.push_str(&format!(" and was replaced by {name}"));
                self.machines.start(id)?;
                Some(Step::Joining)
            }
            Step::Joining if !runs => {
                // Those that it was to join had no leader, perhaps.
                self.machines.start(id)?;
                Some(Step::Joining)
            }
            Step::Refused | Step::Joining if !late => Some(step),
            Step::Refused | Step::Joining => {
                self.problems
                    .push(format!("node {id}, whose data were damaged, could not be replaced ({step:?})"));
                self.excused.remove(&id);
                None
            }
        })
    }

    /// Whether something still has to end.
    pub(super) fn is_calm(&self) -> bool {
        self.active.is_empty()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::proxy::{Callers, Network};
    use super::*;

    /// Machines that remember what was done to them.
    #[derive(Default)]
    struct Dummies {
        log: Vec<String>,
        down: BTreeSet<u64>,
        terminated: BTreeSet<u64>,
        dies: bool,
        /// Whether what is started on damaged data never serves, and how often the others were asked to remove it.
        refuses: bool,
        removals: u32,
    }

    impl Machines for Dummies {
        fn count(&self) -> u64 {
            3
        }

        fn kill(&mut self, id: u64) -> anyhow::Result<()> {
            self.log.push(format!("kill {id}"));
            self.down.insert(id);
            Ok(())
        }

        fn signal(&mut self, id: u64, signal: Signal) -> anyhow::Result<()> {
            assert!(!self.down.contains(&id), "a signal to a dead process");
            self.log.push(format!("{signal:?} {id}"));
            if signal == Signal::TERM {
                self.terminated.insert(id);
            }
            Ok(())
        }

        fn start(&mut self, id: u64) -> anyhow::Result<()> {
            self.log.push(format!("start {id}"));
            self.down.remove(&id);
            Ok(())
        }

        fn runs(&self, id: u64) -> bool {
            !self.down.contains(&id)
        }

        fn ended(&mut self) -> Vec<(u64, String)> {
            let mut ended: Vec<u64> = std::mem::take(&mut self.terminated).into_iter().collect();
            if std::mem::take(&mut self.dies) {
                ended.push(2);
            }
            self.down.extend(&ended);
            ended.into_iter().map(|id| (id, "exit status: 1".into())).collect()
        }

        fn transfer(&mut self, leader: u64, _: Option<u64>) -> anyhow::Result<()> {
            self.log.push(format!("transfer {leader}"));
            Ok(())
        }

        fn works(&self, id: u64) -> bool {
            !self.down.contains(&id) && !self.refuses
        }

        fn remove(&mut self, id: u64) -> bool {
            self.log.push(format!("remove {id}"));
            self.removals += 1;
            self.removals > 2
        }

        fn begin_anew(&mut self, id: u64) -> anyhow::Result<String> {
            self.refuses = false;
            self.log.push(format!("begin anew {id}"));
            Ok("node 102".into())
        }
    }

    const ALL: &[FaultKind] = &[
        FaultKind::Kill,
        FaultKind::KillAll,
        FaultKind::Stop,
        FaultKind::Restart,
        FaultKind::Transfer,
        FaultKind::Partition,
        FaultKind::OneWay,
        FaultKind::Slow,
    ];

    fn field<'a>(machines: &'a mut Dummies, network: &'a Network) -> Field<'a> {
        Field { machines, network, disks: None, kinds: ALL }
    }

    fn run(seed: u64) -> (Vec<Record>, Vec<String>, Dummies) {
        let network = Network::start(Vec::new(), Callers::Address).unwrap();
        let mut machines = Dummies::default();
        let mut storm = Storm::new(field(&mut machines, &network), seed);
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(120) {
            storm.turn(now, &|| Some(1)).unwrap();
            now += Duration::from_millis(20);
        }
        while !storm.is_calm() {
            storm.look_after(now);
            storm.calm(now).unwrap();
            now += Duration::from_millis(20);
        }
        let (records, problems) = storm.finish();
        (records, problems, machines)
    }

    #[test]
    fn every_kind_comes_and_everything_is_put_right_again() {
        let (records, problems, machines) = run(1);
        let kinds: BTreeSet<FaultKind> = records.iter().map(|record| record.kind).collect();
        assert_eq!(kinds.len(), ALL.len(), "{records:?}");
        assert!(records.len() > 30, "{}", records.len());
        assert_eq!(problems, [""; 0]);
        assert!(machines.down.is_empty());
        assert!(machines.log.contains(&"transfer 1".to_owned()), "{:?}", machines.log);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        assert_eq!(run(3).0, run(3).0);
        assert_ne!(run(3).0, run(4).0);
    }

    #[test]
    fn a_node_that_ends_by_itself_is_noticed_and_started_again() {
        let network = Network::start(Vec::new(), Callers::Address).unwrap();
        let mut machines = Dummies { dies: true, ..Dummies::default() };
        let mut storm = Storm::new(field(&mut machines, &network), 1);
        storm.turn(Duration::ZERO, &|| Some(1)).unwrap();
        let (_, problems) = storm.finish();
        assert!(problems[0].contains("node 2 ended by itself"), "{problems:?}");
        assert!(machines.down.is_empty());
    }

    #[test]
    fn a_damaged_node_is_started_and_replaced_if_it_refuses() {
        for refuses in [false, true] {
            let network = Network::start(Vec::new(), Callers::Address).unwrap();
            let mut machines = Dummies { refuses, ..Dummies::default() };
            machines.down.insert(2);
            let mut storm = Storm::new(field(&mut machines, &network), 1);
            storm.records.push(Record {
                kind: FaultKind::Damage,
                what: "damage".into(),
                hits_leader: false,
                alone: true,
                begin: 0,
                end: 0,
            });
            let undo = Undo::Repair(Repair { id: 2, step: Step::Down, since: Duration::ZERO });
            storm.active.push(Active { record: 0, until: Duration::ZERO, nodes: BTreeSet::from([2]), undo });
            let mut now = Duration::ZERO;
            while !storm.is_calm() {
                storm.calm(now).unwrap();
                now += Duration::from_millis(500);
            }
            let (records, problems) = storm.finish();
            assert_eq!(problems, [""; 0]);
            let (what, log) = (&records[0].what, machines.log.join(", "));
            if refuses {
                assert!(what.ends_with("replaced by node 102") && now > REPAIR_TIME, "{what}");
                assert_eq!(log, "start 2, kill 2, remove 2, remove 2, remove 2, begin anew 2, start 2");
            } else {
                assert!(what.ends_with("it went on, or put it right"), "{what}");
                assert_eq!(log, "start 2");
            }
        }
    }
}
