//! What goes wrong in a storm, and when it is mended.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_sim::{DiskProfile, Link, NodeId, SimCluster};

use super::MS;

/// Clocks differ by at most 5 % in speed: `clock-drift`.
const DRIFT_PPM: i64 = 24_000;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    CrashLeader,
    Crash,
    CrashAll,
    RestartAtOnce,
    PowerLoss,
    PowerLossAll,
    Isolate,
    IsolateLeader,
    Deaf,
    Mute,
    Cut,
    SlowLinks,
    LossyLinks,
    Resets,
    Pause,
    PauseLeader,
    Suspend,
    Drift,
    StepWall,
    SlowDisk,
}

use FaultKind::*;

/// All of them.
pub(crate) const EVERYTHING: &[FaultKind] = &[
    CrashLeader,
    CrashLeader,
    Crash,
    CrashAll,
    RestartAtOnce,
    PowerLoss,
    PowerLossAll,
    Isolate,
    IsolateLeader,
    Deaf,
    Mute,
    Cut,
    SlowLinks,
    LossyLinks,
    Resets,
    Pause,
    PauseLeader,
    Suspend,
    Drift,
    StepWall,
    SlowDisk,
];

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
}

/// What is broken, and what will happen.
pub(crate) struct Faults {
    kinds: &'static [FaultKind],
    nodes: usize,
    next: Duration,
    mends: Vec<(Duration, Mend)>,
    stopped: BTreeSet<usize>,
    /// When a node was last down or stopped.
    disturbed: Vec<Duration>,
    /// When the process of a node last died.
    died: Vec<Option<Duration>>,
    story: Vec<String>,
    usual_disk: DiskProfile,
}

impl Faults {
    pub(crate) fn new(kinds: &'static [FaultKind], nodes: usize, usual_disk: DiskProfile) -> Self {
        let (next, mends, stopped, story) = Default::default();
        Self {
            kinds,
            nodes,
            next,
            mends,
            stopped,
            disturbed: vec![Duration::ZERO; nodes + 1],
            died: vec![None; nodes + 1],
            story,
            usual_disk,
        }
    }

    /// What has happened so far, a line for each.
    pub(crate) fn story(&self) -> String {
        self.story.join("\n")
    }

    /// Since when a node has run undisturbed. `None`: it is down or stopped.
    pub(crate) fn undisturbed_since(&self, cluster: &SimCluster, n: usize) -> Option<Duration> {
        (cluster.is_running(n) && !self.stopped.contains(&n)).then(|| self.disturbed[n])
    }

    /// When the process of a node last died, if it has.
    pub(crate) fn died(&self, n: usize) -> Option<Duration> {
        self.died[n]
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
        if now >= self.next {
            if !self.next.is_zero() {
                self.break_something(cluster);
            }
            self.next = now + cluster.world().rng().u32(50..900) * MS;
        }
    }

    /// Mends everything.
    pub(crate) fn mend(&mut self, cluster: &mut SimCluster) {
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.carry_out(cluster, mend);
        }
        cluster.world().network().heal();
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
        let kind = self.kinds[cluster.world().rng().usize(..self.kinds.len())];
        let any = cluster.world().rng().usize(1..=self.nodes);
        let leader = cluster.leader().unwrap_or(any);
        let all: Vec<usize> = cluster.numbers().collect();
        match kind {
            CrashLeader => self.crash(cluster, leader, false),
            Crash => self.crash(cluster, any, false),
            CrashAll => all.iter().for_each(|n| self.crash(cluster, *n, false)),
            RestartAtOnce => {
                for n in all.into_iter().filter(|n| *n != leader) {
                    self.tell(cluster, &format!("node {n} is killed and started at once"));
                    self.note_death(cluster, n);
                    self.mends.retain(|(_, mend)| *mend != Mend::Start(n));
                    self.disturbed[n] = cluster.now();
                    cluster.restart(n);
                }
            }
            PowerLoss => self.crash(cluster, any, true),
            PowerLossAll => all.iter().for_each(|n| self.crash(cluster, *n, true)),
            Isolate => self.isolate(cluster, any, true, true),
            IsolateLeader => self.isolate(cluster, leader, true, true),
            Deaf => self.isolate(cluster, any, true, false),
            Mute => self.isolate(cluster, any, false, true),
            Cut => {
                let other = any % self.nodes + 1;
                self.tell(cluster, &format!("nodes {any} and {other} are cut off from each other"));
                self.block(cluster, any, other);
                self.block(cluster, other, any);
            }
            SlowLinks => {
                let latency = MS..=cluster.world().rng().u32(2..60) * MS;
                self.links(cluster, "slow", &Link { latency, ..Link::default() });
            }
            LossyLinks => self.links(cluster, "lossy", &Link { loss: 0.02, reset: 0.002, ..Link::default() }),
            Resets => {
                self.tell(cluster, &format!("the connections of node {any} are reset"));
                for other in all {
                    let (a, b) = machines(cluster, any, other);
                    cluster.world().network().break_connections(a, b);
                }
            }
            Pause => self.pause(cluster, any, false),
            PauseLeader => self.pause(cluster, leader, false),
            Suspend => self.pause(cluster, leader, true),
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
        }
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
        self.later(cluster, Mend::Start(n));
    }

    /// A process that is gone is not stopped any more, and not to be resumed.
    fn note_death(&mut self, cluster: &SimCluster, n: usize) {
        self.died[n] = Some(cluster.now());
        self.stopped.remove(&n);
        self.mends.retain(|(_, mend)| *mend != Mend::Resume(n));
    }

    fn pause(&mut self, cluster: &mut SimCluster, n: usize, suspend: bool) {
        if !cluster.is_running(n) || !self.stopped.insert(n) {
            return;
        }
        let machine = cluster.machine(n);
        self.tell(cluster, &format!("node {n} is {}", if suspend { "suspended" } else { "paused" }));
        if suspend {
            cluster.world().suspend(machine)
        } else {
            cluster.world().pause(machine)
        }
        self.later(cluster, Mend::Resume(n));
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
            Mend::Start(n) => {
                self.disturbed[n] = cluster.now();
                cluster.start(n);
            }
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
            Mend::Disk(n) => set_disk(cluster, n, self.usual_disk.clone()),
        }
    }
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
