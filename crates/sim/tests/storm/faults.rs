//! What goes wrong in a storm, and when it is mended.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use quorate_sim::{DiskProfile, FolderImage, Link, NodeId, OpKind, SimCluster};

use super::operator::Operator;
use super::{DATA, MS, SECOND, WINDOW, damage};

/// Clocks differ by at most 5 % in speed: `clock-drift`.
const DRIFT_PPM: i64 = 24_000;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// A kind of fault. Each can be switched off: see [`Plan::faults`](super::Plan).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        /// All of them.
        pub(crate) const EVERYTHING: &[FaultKind] = &[$(FaultKind::$kind,)*];
    };
}

kinds! {
    CrashLeader,
    Crash,
    CrashAll,
    /// All voters but the leader forget what they promised it (R3).
    RestartAtOnce,
    /// When the files of a log or of snapshots next change: within a snapshot, an installation or a purge.
    CrashAtFiles,
    /// The leader, while a change of membership is under way.
    CrashInChange,
    /// The leader, right after it was told to hand over.
    CrashInTransfer,
    PowerLoss,
    /// Under `everysec` at most once, and the last second may be gone with it (R8).
    PowerLossAll,
    Isolate,
    IsolateLeader,
    Deaf,
    Mute,
    Cut,
    CutOneWay,
    Halves,
    SlowLinks,
    SlowOneWay,
    LossyLinks,
    Resets,
    Disconnects,
    Pause,
    PauseLeader,
    LongPause,
    Suspend,
    Drift,
    StepWall,
    SlowDisk,
    DiskFull,
    FailedWrite,
    FailedSync,
    FailedChange,
    /// Bits of a stopped node's log, votes, snapshots or identity.
    BitFlips,
    Emptied,
    /// An older copy of a node's own folder.
    RolledBack,
    /// The folder of another node.
    Copied,
    /// A copy of a node's folder is started elsewhere, beside the node.
    Twin,
    Transfer,
    /// A node is removed and joins anew, under load.
    Replace,
}

use FaultKind::*;

/// About half of all, another half for each seed: what a fault does is easier to see where others are missing, and some
/// hide what others would do.
pub(crate) fn drawn(seed: u64) -> Vec<FaultKind> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xfa17);
    let all = rng.u8(..4) == 0;
    usual().into_iter().filter(|_| all || rng.bool()).collect()
}

/// Everything but what no database bears: of two processes with copies of one folder each may count as the member, for nodes that
/// have not heard of the other, so that the member votes twice. `QUORATE_SIM_FAULTS=Twin` shows it.
pub(crate) fn usual() -> Vec<FaultKind> {
    EVERYTHING.iter().copied().filter(|kind| *kind != Twin).collect()
}

/// Those that tempt an old leader to answer by a lease that is over (R3).
pub(crate) const LEASES: &[FaultKind] = &[
    CrashLeader,
    RestartAtOnce,
    IsolateLeader,
    IsolateLeader,
    Deaf,
    Mute,
    PauseLeader,
    Suspend,
    Drift,
    StepWall,
];

/// How a fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Start(usize),
    Resume(usize),
    Unblock(usize, usize),
    Links,
    Disk(usize),
    /// The process that runs with a copy of this node's folder.
    Twin(usize),
}

/// A crash that waits for its moment.
#[derive(Debug)]
enum Armed {
    /// The names in the folders of a node's log and snapshots change.
    Files { n: usize, names: Vec<String>, power: bool },
    /// A leader is within a change of membership.
    Change { power: bool },
}

/// What is broken, and what will happen.
pub(crate) struct Faults {
    kinds: Vec<FaultKind>,
    nodes: usize,
    everysec: bool,
    next: Duration,
    mends: Vec<(Duration, Mend)>,
    armed: Vec<(Duration, Armed)>,
    stopped: BTreeSet<usize>,
    /// When a node was last down or stopped.
    disturbed: Vec<Duration>,
    /// When the process of a node last died.
    died: Vec<Option<Duration>>,
    /// Nodes whose disks fail operations: these may stop by themselves.
    failing: BTreeSet<usize>,
    /// Older copies of folders.
    backups: Vec<Option<FolderImage>>,
    operator: Operator,
    /// Under `everysec`: up to where was committed, lately.
    committed: VecDeque<(Duration, u64)>,
    /// When all machines lost power under `everysec`, and the last second with it.
    lost_second: Option<Duration>,
    wants_disconnect: bool,
    story: Vec<String>,
    usual_disk: DiskProfile,
}

impl Faults {
    pub(crate) fn new(kinds: &[FaultKind], nodes: usize, everysec: bool, usual_disk: DiskProfile) -> Self {
        let mut kinds = kinds.to_vec();
        if let Ok(only) = std::env::var("QUORATE_SIM_FAULTS") {
            let only: Vec<&str> = only.split(',').collect();
            kinds.retain(|kind| only.contains(&&*format!("{kind:?}")));
        }
        Self {
            kinds,
            nodes,
            everysec,
            next: Duration::ZERO,
            mends: Vec::new(),
            armed: Vec::new(),
            stopped: BTreeSet::new(),
            disturbed: vec![Duration::ZERO; nodes + 1],
            died: vec![None; nodes + 1],
            failing: BTreeSet::new(),
            backups: vec![None; nodes + 1],
            operator: Operator::default(),
            committed: VecDeque::new(),
            lost_second: None,
            wants_disconnect: false,
            story: Vec::new(),
            usual_disk,
        }
    }

    /// What has happened so far, a line for each.
    pub(crate) fn story(&self) -> String {
        self.story.join("\n")
    }

    /// Since when a node has run undisturbed. `None`: it is down or stopped.
    pub(crate) fn undisturbed_since(&self, cluster: &SimCluster, n: usize) -> Option<Duration> {
        let serves = cluster.is_running(n) && !self.stopped.contains(&n) && !self.operator.suspects(n);
        serves.then(|| self.disturbed[n])
    }

    /// When the process of a node last died, if it has.
    pub(crate) fn died(&self, n: usize) -> Option<Duration> {
        self.died[n]
    }

    /// When all machines lost power under `everysec`, if they did.
    pub(crate) fn lost_second(&self) -> Option<Duration> {
        self.lost_second
    }

    /// Whether a client is to leave in the middle. Told once.
    pub(crate) fn wants_disconnect(&mut self) -> bool {
        std::mem::take(&mut self.wants_disconnect)
    }

    /// A process has ended by itself. That is right if its disk has failed, or its folder is not what it was.
    pub(crate) fn ended(&mut self, cluster: &mut SimCluster, n: usize, how: &io::Result<()>) {
        self.tell(cluster, &format!("node {n} has stopped by itself: {how:?}"));
        assert!(
            how.is_err() && (self.failing.contains(&n) || self.operator.doubts(n)),
            "node {n} stopped by itself: {how:?}"
        );
        self.died[n] = Some(cluster.now());
        if self.operator.doubts(n) {
            self.operator.replace(cluster, n);
        } else {
            self.later(cluster, Mend::Start(n));
        }
    }

    /// The operator goes on with what there is to do. Whether anything is.
    pub(crate) fn operate(&mut self, cluster: &mut SimCluster) -> bool {
        for line in self.operator.step(cluster) {
            self.tell(cluster, &line);
        }
        self.operator.is_busy() || !self.operator.suspects_nobody()
    }

    /// Replaces the nodes whose folders are in doubt. Whether there are any.
    pub(crate) fn replace_the_refused(&mut self, cluster: &SimCluster) -> bool {
        let doubted: Vec<usize> = cluster.numbers().filter(|n| self.operator.doubts(*n)).collect();
        for n in &doubted {
            self.tell(
                cluster,
                &format!("the folder of node {n} was in doubt, and others refuse it: it is replaced"),
            );
            self.operator.replace(cluster, *n);
        }
        !doubted.is_empty()
    }

    /// For the time in which nothing breaks any more: whoever has stopped is started without delay.
    pub(crate) fn start_whoever_stopped(&mut self, cluster: &mut SimCluster) {
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.carry_out(cluster, mend);
        }
    }

    /// Breaks and mends what is due.
    pub(crate) fn step(&mut self, cluster: &mut SimCluster) {
        let now = cluster.now();
        for i in self.stopped.iter().copied().chain(cluster.numbers().filter(|n| !cluster.is_running(*n))) {
            self.disturbed[i] = now;
        }
        while let Some(at) = self.mends.iter().position(|(time, _)| *time <= now) {
            let (_, mend) = self.mends.remove(at);
            self.carry_out(cluster, mend);
        }
        self.crash_if_armed(cluster);
        self.operate(cluster);
        self.note_committed(cluster);
        if now >= self.next {
            if !self.next.is_zero() {
                self.break_something(cluster);
            }
            self.next = now + cluster.world().rng().u32(50..900) * MS;
        }
    }

    /// Keeps in mind what was committed when the last fsync under `everysec` began.
    fn note_committed(&mut self, cluster: &SimCluster) {
        if !self.everysec {
            return;
        }
        let (now, last) = (cluster.now(), self.committed.back().map_or(0, |(_, index)| *index));
        let committed = cluster.numbers().filter_map(|n| Some(cluster.view(n)?.committed)).max();
        self.committed.push_back((now, last.max(committed.unwrap_or(0))));
        while self.committed.get(1).is_some_and(|(time, _)| *time + WINDOW <= now) {
            self.committed.pop_front();
        }
    }

    /// Disks fail no longer. What they were doing may still fail.
    pub(crate) fn mend_disks(&mut self, cluster: &mut SimCluster) {
        for n in self.failing.clone() {
            self.repair_disk(cluster, n);
        }
    }

    /// Mends everything.
    pub(crate) fn mend(&mut self, cluster: &mut SimCluster) {
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.carry_out(cluster, mend);
        }
        self.armed.clear();
        cluster.world().network().heal();
        // A node whose disk has failed may find out only when it next commits something.
        self.mend_disks(cluster);
        for n in cluster.numbers() {
            if !cluster.is_running(n) {
                self.carry_out(cluster, Mend::Start(n));
            }
        }
        self.tell(cluster, "everything is mended");
    }

    fn tell(&mut self, cluster: &SimCluster, what: &str) {
        let leader = cluster.leader();
        self.story.push(format!("{:>12?}  {what} (leader {leader:?})", cluster.now()));
    }

    fn later(&mut self, cluster: &mut SimCluster, mend: Mend) {
        let short = cluster.world().rng().bool();
        let time = cluster.world().rng().u32(if short { 1..250 } else { 250..2500 }) * MS;
        self.mends.push((cluster.now() + time, mend));
    }

    fn break_something(&mut self, cluster: &mut SimCluster) {
        if self.kinds.is_empty() {
            return;
        }
        let kind = self.kinds[cluster.world().rng().usize(..self.kinds.len())];
        if !self.is_fair(cluster, kind) {
            return;
        }
        let any = cluster.world().rng().usize(1..=self.nodes);
        let leader = cluster.leader().unwrap_or(any);
        let all: Vec<usize> = cluster.numbers().collect();
        match kind {
            CrashLeader => self.crash(cluster, leader, false),
            Crash => self.crash(cluster, any, false),
            CrashAll => all.iter().for_each(|n| self.crash(cluster, *n, false)),
            RestartAtOnce => {
                let restarted = |n: &usize| *n != leader && !self.operator.suspects(*n);
                for n in all.into_iter().filter(restarted).collect::<Vec<_>>() {
                    self.tell(cluster, &format!("node {n} is killed and started at once"));
                    self.note_death(cluster, n);
                    self.mends.retain(|(_, mend)| *mend != Mend::Start(n));
                    self.disturbed[n] = cluster.now();
                    cluster.restart(n);
                }
            }
            CrashAtFiles => {
                let (names, power) = (file_names(cluster, any), self.may_lose_power(cluster));
                self.arm(cluster, Armed::Files { n: any, names, power });
            }
            CrashInChange => {
                let power = self.may_lose_power(cluster);
                self.replace(cluster, any);
                self.arm(cluster, Armed::Change { power });
            }
            CrashInTransfer => {
                self.transfer(cluster, any);
                let moment = cluster.world().rng().u32(..20) * MS;
                cluster.run_for(moment);
                self.crash(cluster, leader, false);
            }
            PowerLoss => {
                self.crash(cluster, any, true);
                if self.everysec {
                    // It may have less than it acknowledged, and is refused then for as long as the leader leads.
                    self.operator.suspect(cluster, any);
                }
            }
            PowerLossAll => {
                if self.everysec {
                    self.lost_second = Some(cluster.now());
                    // What was committed before the last fsync must come back as it was.
                    let kept = self.committed.front().map_or(0, |(_, index)| *index);
                    cluster.forget_entries_behind(kept);
                }
                all.iter().for_each(|n| self.crash(cluster, *n, true));
            }
            Isolate => self.isolate(cluster, any, true, true),
            IsolateLeader => self.isolate(cluster, leader, true, true),
            Deaf => self.isolate(cluster, any, true, false),
            Mute => self.isolate(cluster, any, false, true),
            CutOneWay if self.nodes > 1 => {
                let other = any % self.nodes + 1;
                self.tell(cluster, &format!("nothing gets from node {any} to node {other}"));
                self.block(cluster, any, other);
            }
            Halves => {
                let one: Vec<usize> = all.iter().copied().filter(|_| cluster.world().rng().bool()).collect();
                self.tell(cluster, &format!("nodes {one:?} are cut off from the others"));
                for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
                    if one.contains(&a) != one.contains(&b) {
                        self.block(cluster, a, b);
                    }
                }
            }
            Cut if self.nodes > 1 => {
                let other = any % self.nodes + 1;
                self.tell(cluster, &format!("nodes {any} and {other} are cut off from each other"));
                self.block(cluster, any, other);
                self.block(cluster, other, any);
            }
            SlowLinks => {
                let latency = MS..=cluster.world().rng().u32(2..60) * MS;
                self.links(cluster, "slow", &Link { latency, ..Link::default() });
            }
            SlowOneWay => {
                let (a, b) = (cluster.machine(any), cluster.machine(any % self.nodes + 1));
                let latency = 20 * MS..=cluster.world().rng().u32(30..600) * MS;
                self.tell(cluster, &format!("the link from node {any} to the next one takes {latency:?}"));
                cluster.world().network().set_link(a, b, Some(Link { latency, ..Link::default() }));
                self.later(cluster, Mend::Links);
            }
            LossyLinks => self.links(cluster, "lossy", &Link { loss: 0.02, reset: 0.002, ..Link::default() }),
            Resets => {
                self.tell(cluster, &format!("the connections of node {any} are reset"));
                for other in all {
                    let (a, b) = machines(cluster, any, other);
                    cluster.world().network().break_connections(a, b);
                }
            }
            Disconnects => self.wants_disconnect = true,
            Pause => _ = self.pause(cluster, any, false),
            PauseLeader => _ = self.pause(cluster, leader, false),
            LongPause => {
                if self.pause(cluster, any, false) {
                    let time = cluster.world().rng().u32(3_000..9_000) * MS;
                    let mend = self.mends.last_mut().expect("it ends some time");
                    mend.0 = cluster.now() + time;
                }
            }
            Suspend => _ = self.pause(cluster, leader, true),
            Drift => {
                let ppm = cluster.world().rng().i64(-DRIFT_PPM..=DRIFT_PPM);
                self.tell(cluster, &format!("the clock of node {any} runs {ppm} ppm faster"));
                let machine = cluster.machine(any);
                cluster.world().set_drift(machine, ppm);
            }
            StepWall => {
                let ms = cluster.world().rng().i64(-3_600_000..=3_600_000);
                self.tell(cluster, &format!("the wall clock of node {any} steps by {ms} ms"));
                let machine = cluster.machine(any);
                cluster.world().step_wall(machine, ms);
            }
            SlowDisk => {
                self.tell(cluster, &format!("the disk of node {any} is slow"));
                let sync = MS..=cluster.world().rng().u32(5..80) * MS;
                set_disk(cluster, any, DiskProfile { sync, ..DiskProfile::default() });
                self.later(cluster, Mend::Disk(any));
            }
            DiskFull => {
                let (machine, room) = (cluster.machine(any), cluster.world().rng().u64(..2_000_000));
                self.tell(cluster, &format!("the disk of node {any} has {room} bytes left"));
                let disk = cluster.world().disk(machine);
                disk.set_capacity(Some(disk.used() + room));
                self.failing.insert(any);
            }
            FailedWrite => self.fail(cluster, any, &[OpKind::Write]),
            FailedSync => self.fail(cluster, any, &[OpKind::Sync]),
            FailedChange => {
                let kinds = [OpKind::Create, OpKind::SetLen, OpKind::Rename, OpKind::Remove, OpKind::SyncDir];
                self.fail(cluster, any, &kinds);
            }
            BitFlips => {
                self.crash(cluster, any, false);
                for line in damage::flip_bits(cluster, any) {
                    self.tell(cluster, &line);
                }
                self.operator.suspect(cluster, any);
            }
            Emptied => {
                self.crash(cluster, any, false);
                self.tell(cluster, &format!("the folder of node {any} is emptied"));
                damage::disk(cluster, any).clear(DATA).expect("nobody uses it");
                self.operator.suspect(cluster, any);
            }
            RolledBack => {
                let Some(backup) = self.backups[any].take() else { return };
                self.crash(cluster, any, false);
                self.tell(cluster, &format!("an older copy takes the place of the folder of node {any}"));
                damage::disk(cluster, any).restore(DATA, &backup).expect("nobody uses it");
                self.operator.suspect(cluster, any);
            }
            Copied => {
                let other = any % self.nodes + 1;
                self.crash(cluster, any, false);
                self.tell(cluster, &format!("node {any} gets a copy of the folder of node {other}"));
                let image = damage::disk(cluster, other).image(DATA);
                damage::disk(cluster, any).restore(DATA, &image).expect("nobody uses it");
                self.operator.suspect(cluster, any);
            }
            Twin if self.mends.iter().all(|(_, mend)| !matches!(mend, Mend::Twin(_))) => {
                self.tell(cluster, &format!("a copy of the folder of node {any} is started elsewhere"));
                cluster.start_twin(any);
                self.operator.suspect(cluster, any);
                self.later(cluster, Mend::Twin(any));
            }
            Transfer => self.transfer(cluster, any),
            Replace => self.replace(cluster, any),
            Cut | CutOneWay | Twin => {}
        }
    }

    /// Some faults together take what no database gives back: whoever breaks the folder of one node while others are
    /// unsure of theirs asks for an operator who accepts a loss.
    fn is_fair(&self, cluster: &SimCluster, kind: FaultKind) -> bool {
        match kind {
            BitFlips | Emptied | RolledBack | Copied | Twin => self.nodes >= 3 && self.is_whole(cluster),
            Replace | CrashInChange => self.nodes >= 2 && self.is_whole(cluster),
            // Of one nothing may be lost.
            PowerLoss if self.everysec => self.nodes >= 3 && self.is_whole(cluster),
            PowerLossAll if self.everysec => {
                self.lost_second.is_none() && cluster.now() > 2 * WINDOW && self.is_whole(cluster)
            }
            PowerLoss | PowerLossAll => self.operator.suspects_nobody(),
            _ => true,
        }
    }

    fn may_lose_power(&self, cluster: &mut SimCluster) -> bool {
        cluster.world().rng().bool() && !self.everysec && self.operator.suspects_nobody()
    }

    /// Every node votes, follows the same leader closely, and has done so for a while.
    fn is_whole(&self, cluster: &SimCluster) -> bool {
        let Some(view) = cluster.leader().and_then(|n| cluster.view(n)) else { return false };
        let digests = cluster.digests();
        !self.operator.is_busy()
            && self.operator.suspects_nobody()
            && !view.joint
            && view.voters.len() == self.nodes
            && digests.len() == self.nodes
            && digests.iter().all(|(_, index, _)| index + 20 >= view.committed)
            && cluster.numbers().all(|n| {
                self.undisturbed_since(cluster, n).is_some_and(|since| cluster.now() > since + SECOND / 2)
                    && cluster.member_id(n).is_some()
                    && cluster.trusts_its_log(n)
                    && cluster.view(n).is_some_and(|v| v.leader == view.leader)
            })
    }

    fn arm(&mut self, cluster: &SimCluster, armed: Armed) {
        self.armed.push((cluster.now() + 2 * SECOND, armed));
    }

    fn crash_if_armed(&mut self, cluster: &mut SimCluster) {
        let now = cluster.now();
        for (end, armed) in std::mem::take(&mut self.armed) {
            let hit = match &armed {
                Armed::Files { n, names, power } => {
                    (cluster.is_running(*n) && file_names(cluster, *n) != *names).then_some((*n, *power))
                }
                Armed::Change { power } => {
                    let leader = cluster.leader();
                    let changing = |n: &usize| cluster.view(*n).is_some_and(|v| v.joint);
                    leader.filter(changing).map(|n| (n, *power))
                }
            };
            match hit {
                Some((n, power)) => {
                    self.tell(cluster, &format!("the moment of {armed:?} has come"));
                    self.crash(cluster, n, power && self.operator.suspects_nobody());
                }
                None if now < end => self.armed.push((end, armed)),
                None => {}
            }
        }
    }

    fn transfer(&mut self, cluster: &mut SimCluster, through: usize) {
        self.tell(cluster, &format!("node {through} is asked for another leader"));
        self.operator.transfer(cluster, through);
    }

    fn replace(&mut self, cluster: &mut SimCluster, n: usize) {
        self.tell(cluster, &format!("node {n} is removed, and will join anew"));
        self.operator.replace(cluster, n);
    }

    fn fail(&mut self, cluster: &mut SimCluster, n: usize, kinds: &[OpKind]) {
        let kind = kinds[cluster.world().rng().usize(..kinds.len())];
        let skip = cluster.world().rng().u32(..20);
        self.tell(cluster, &format!("after {skip} others, a {kind:?} of node {n} fails"));
        damage::disk(cluster, n).fail(kind, skip);
        self.failing.insert(n);
    }

    fn repair_disk(&mut self, cluster: &mut SimCluster, n: usize) {
        let disk = damage::disk(cluster, n);
        disk.fail_no_more();
        disk.set_capacity(None);
    }

    fn crash(&mut self, cluster: &mut SimCluster, n: usize, power: bool) {
        if !cluster.is_running(n) {
            return;
        }
        self.tell(cluster, &format!("node {n} {}", if power { "loses power" } else { "is killed" }));
        self.note_death(cluster, n);
        if power {
            cluster.power_loss(n)
        } else {
            cluster.crash(n)
        }
        if !power && self.backups[n].is_none() && cluster.world().rng().bool() {
            self.backups[n] = Some(damage::disk(cluster, n).image(DATA));
        }
        self.later(cluster, Mend::Start(n));
    }

    /// A process that is gone is not stopped any more, and not to be resumed.
    fn note_death(&mut self, cluster: &SimCluster, n: usize) {
        self.died[n] = Some(cluster.now());
        self.stopped.remove(&n);
        self.mends.retain(|(_, mend)| *mend != Mend::Resume(n));
    }

    fn pause(&mut self, cluster: &mut SimCluster, n: usize, suspend: bool) -> bool {
        if !cluster.is_running(n) || !self.stopped.insert(n) {
            return false;
        }
        let machine = cluster.machine(n);
        self.tell(cluster, &format!("node {n} is {}", if suspend { "suspended" } else { "paused" }));
        if suspend {
            cluster.world().suspend(machine)
        } else {
            cluster.world().pause(machine)
        }
        self.later(cluster, Mend::Resume(n));
        true
    }

    fn isolate(&mut self, cluster: &mut SimCluster, n: usize, deaf: bool, mute: bool) {
        let how = match (deaf, mute) {
            (true, true) => "cut off from all others",
            (true, false) => "deaf to all others",
            _ => "mute to all others",
        };
        self.tell(cluster, &format!("node {n} is {how}"));
        for other in cluster.numbers().filter(|other| *other != n) {
            if deaf {
                self.block(cluster, other, n);
            }
            if mute {
                self.block(cluster, n, other);
            }
        }
    }

    /// All that is cut in one moment is mended in another moment, each for itself.
    fn block(&mut self, cluster: &mut SimCluster, from: usize, to: usize) {
        let (a, b) = machines(cluster, from, to);
        cluster.world().network().block(a, b);
        self.later(cluster, Mend::Unblock(from, to));
    }

    fn links(&mut self, cluster: &mut SimCluster, how: &str, link: &Link) {
        self.tell(cluster, &format!("the links between nodes are {how}: {link:?}"));
        set_links(cluster, Some(link));
        self.later(cluster, Mend::Links);
    }

    fn carry_out(&mut self, cluster: &mut SimCluster, mend: Mend) {
        self.tell(cluster, &format!("mended: {mend:?}"));
        match mend {
            Mend::Start(n) if cluster.is_running(n) => {}
            Mend::Start(n) => {
                // Now and then a node is started with its disk as it was.
                if self.failing.contains(&n) && cluster.world().rng().u8(..4) > 0 {
                    self.failing.remove(&n);
                    self.repair_disk(cluster, n);
                }
                self.disturbed[n] = cluster.now();
                cluster.start(n);
            }
            Mend::Resume(n) if !self.stopped.contains(&n) || !cluster.is_running(n) => {}
            Mend::Resume(n) => {
                let machine = cluster.machine(n);
                self.disturbed[n] = cluster.now();
                self.stopped.remove(&n);
                cluster.world().resume(machine);
            }
            Mend::Unblock(from, to) => {
                let (a, b) = machines(cluster, from, to);
                cluster.world().network().unblock(a, b);
            }
            Mend::Links => set_links(cluster, None),
            Mend::Twin(n) => {
                cluster.crash_twin();
                // The cluster may have taken the copy for the node, which is no member then.
                self.operator.suspect(cluster, n);
            }
            Mend::Disk(n) => set_disk(cluster, n, self.usual_disk.clone()),
        }
    }
}

fn file_names(cluster: &mut SimCluster, n: usize) -> Vec<String> {
    let disk = damage::disk(cluster, n);
    [format!("{DATA}/log"), format!("{DATA}/snapshots")].iter().flat_map(|folder| disk.list(folder)).collect()
}

fn machines(cluster: &SimCluster, a: usize, b: usize) -> (NodeId, NodeId) {
    (cluster.machine(a), cluster.machine(b))
}

fn set_disk(cluster: &mut SimCluster, n: usize, profile: DiskProfile) {
    let machine = cluster.machine(n);
    cluster.world().disk(machine).set_profile(profile);
}

fn set_links(cluster: &mut SimCluster, link: Option<&Link>) {
    let machines: Vec<NodeId> = cluster.numbers().map(|n| cluster.machine(n)).collect();
    for (i, a) in machines.iter().enumerate() {
        for b in &machines[i + 1..] {
            cluster.world().network().set_link(*a, *b, link.cloned());
            cluster.world().network().set_link(*b, *a, link.cloned());
        }
    }
}
