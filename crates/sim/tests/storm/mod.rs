//! A cluster under load and faults, and the verdict on what its clients have seen.

mod choose;
mod commands;
mod damage;
mod effects;
mod faults;
mod guests;
mod operator;
mod types;
mod users;
mod verdict;
mod workers;

use std::cell::Cell;
use std::time::Duration;

use quorate_sim::{Options, Settings, SimCluster};

use commands::{Op, last_reads};
use faults::Faults;
pub(crate) use faults::{FaultKind, LEASES};
use guests::{Guests, Ways};
use users::Users;
pub(crate) use workers::{Load, MIXED, REGISTERS};
use workers::{Mix, STRINGS, Workers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// After everything is mended, writes must be taken by every node within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(8);
/// When nodes that still take no write make the operator read why: of a folder that ran twice, one is refused.
const REFUSED: Duration = Duration::from_secs(4);
/// How long the operator may need to replace nodes, once nothing else is broken.
const REPLACING_MAX: Duration = Duration::from_secs(40);
/// Under `everysec`, what was acknowledged within this time before all machines lose power may be lost: a second between two
/// fsyncs, and what they take on slow disks.
const WINDOW: Duration = Duration::from_millis(1200);
/// How long what a disk is doing may take.
const DISK_MAX: Duration = Duration::from_millis(200);
/// The data folder of each node, on its own disk.
const DATA: &str = "data";

/// What is to happen.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// How long there are faults.
    pub(crate) duration: Duration,
    /// What may happen: every kind that is listed, and no other.
    pub(crate) faults: Vec<FaultKind>,
    /// `appendfsync everysec`.
    pub(crate) everysec: bool,
    pub(crate) load: Load,
}

/// What happened, once the verdict is that nothing was wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace_digest: u64,
    /// What clients saw, a line for each command.
    pub(crate) history: String,
    pub(crate) commands: usize,
    pub(crate) acknowledged: usize,
    pub(crate) not_applied: usize,
    pub(crate) unknown: usize,
    /// How many commands of guests were answered, and of users.
    pub(crate) beside: [u64; 2],
    /// How long it took after everything was mended until each node had taken a write.
    pub(crate) recovery: Duration,
    pub(crate) simulated: Duration,
}

/// A run of a plan. When it panics, it tells its story.
struct Storm {
    plan: Plan,
    cluster: SimCluster,
    faults: Faults,
    workers: Workers,
    /// Only where there is a bit of everything.
    beside: Option<(Guests, Users)>,
    write_timeout: Duration,
}

thread_local! {
    /// Whether memory may be short, in storms in which it is now and then.
    static IS_SHORT: Cell<bool> = const { Cell::new(false) };
}

/// The limit of storms in which memory is short now and then.
const MEMORY_MAX: u64 = 1 << 20;

/// Above the limit by a few kilobytes for a fifth of a second out of every two. Only keys with a deadline may go, and of those the
/// workers have none: then commands are refused.
fn memory() -> u64 {
    if IS_SHORT.get() && quorate_env::wall_ms() / 200 % 10 == 7 { MEMORY_MAX + 3000 } else { MEMORY_MAX / 2 }
}

impl Plan {
    /// Whether memory is short now and then.
    fn is_short_of_memory(&self) -> bool {
        self.load.mix == Mix::Everything && self.seed % 3 == 1
    }

    /// Three nodes under a mix of faults and commands.
    pub(crate) fn everything(seed: u64) -> Self {
        let faults = faults::drawn(seed);
        let plan =
            Self { seed, nodes: 3, duration: 4 * SECOND, faults, everysec: seed % 4 == 3, load: MIXED };
        if std::env::var_os("QUORATE_SIM_STRINGS").is_some() { plan.of_strings() } else { plan }
    }

    /// The same as it was before there were other types: with the seeds that `docs/PROOF.md` names.
    pub(crate) fn of_strings(self) -> Self {
        let load = if self.load.mix == Mix::Everything { STRINGS } else { self.load };
        Self { load, ..self }
    }

    /// All that there is: clusters of one to seven nodes, short and long storms, both fsync modes.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let nodes = [1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 6, 7][rng.usize(..13)];
        let duration = [3, 4, 6, 10][rng.usize(..4)] * SECOND;
        let everysec = rng.u8(..3) == 0;
        match rng.u8(..8) {
            0 => Self { seed, nodes, duration, everysec, faults: LEASES.to_vec(), load: REGISTERS },
            _ => Self { nodes, duration, everysec, ..Self::everything(seed) },
        }
    }
}

/// QUORATE_SIM_LOG is a filter (`info`, `quorate_replica=debug`) of what the nodes report, on standard error.
pub(crate) fn log_if_asked() {
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::FormatTime;
    struct Who;
    impl FormatTime for Who {
        fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
            let ms = quorate_env::wall_ms().saturating_sub(quorate_sim::Options::default().wall_start_ms);
            let node = quorate_sim::current_node().map_or(0, |n| n.index() + 1);
            write!(w, "{:>4}.{:03}s node {node}", ms / 1000, ms % 1000)
        }
    }
    let Ok(filter) = std::env::var("QUORATE_SIM_LOG") else { return };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Who).with_ansi(false);
    let _already_there = lines.with_writer(std::io::stderr).try_init();
}

/// Runs a plan and judges it.
pub(crate) fn run(plan: Plan) -> Report {
    log_if_asked();
    let write_timeout = [1000, 2000, 5000][plan.seed as usize % 3] * MS;
    IS_SHORT.set(true);
    let has_all = plan.load.mix == Mix::Everything;
    let short = plan.is_short_of_memory();
    let mut settings =
        Settings { world: world(plan.seed), memory: short.then_some(memory), ..Settings::default() }
            .with("write-timeout", &write_timeout.as_millis().to_string())
            .with("snapshot-log-size", "1mb")
            .with("log-keep-size", "64kb")
            .with("appendfsync", if plan.everysec { "everysec" } else { "always" });
    if short {
        let policy =
            ["volatile-lru", "volatile-ttl", "volatile-random", "volatile-lfu"][plan.seed as usize / 3 % 4];
        settings = settings.with("maxmemory", &MEMORY_MAX.to_string()).with("maxmemory-policy", policy);
    }
    if has_all && plan.seed.is_multiple_of(5) {
        // What is cached of more keys is given up.
        settings = settings.with("tracking-table-max-keys", "5");
    }
    let ways = Ways { notifies: plan.seed % 4 == 1, wipes: plan.seed.is_multiple_of(2) };
    if has_all && ways.notifies {
        settings = settings.with("notify-keyspace-events", "KEg$xe");
    }
    let cluster = SimCluster::with(plan.seed, plan.nodes, settings);
    let faults = Faults::new(&plan.faults, plan.nodes, plan.everysec, world(plan.seed).disk);
    let workers = Workers::new(plan.load, plan.nodes);
    let beside = has_all.then(|| (Guests::new(ways), Users::new()));
    let mut storm = Storm { plan, cluster, faults, workers, beside, write_timeout };
    storm.blow();
    let recovery = storm.mend();
    storm.judge();
    storm.report(recovery)
}

/// Fast and slow networks and disks: on slow ones, more is under way when something breaks.
fn world(seed: u64) -> Options {
    let mut world = Options::default();
    let up_to = |ms: u32| MS..=ms * MS;
    match seed % 4 {
        0 => {}
        1 => world.link.latency = up_to(10),
        2 => world.disk.sync = up_to(15),
        _ => (world.link.latency, world.disk.sync) = (up_to(5), up_to(30)),
    }
    world
}

impl Storm {
    fn blow(&mut self) {
        let end = self.cluster.now() + self.plan.duration;
        while self.cluster.now() < end {
            self.step(true);
            self.faults.step(&mut self.cluster);
        }
    }

    /// A millisecond of the cluster and its clients.
    fn step(&mut self, more: bool) {
        if self.faults.wants_disconnect() {
            self.workers.disconnect(&mut self.cluster);
        }
        self.workers.step(&mut self.cluster, &self.faults, more, self.write_timeout);
        if let Some((guests, users)) = &mut self.beside {
            guests.step(&mut self.cluster, &self.faults, more);
            users.step(&mut self.cluster, &self.faults, more);
        }
        self.cluster.run_for(MS);
        for n in self.cluster.numbers() {
            if let Some(ended) = self.cluster.exit(n) {
                self.faults.ended(&mut self.cluster, n, &ended);
            }
        }
    }

    /// Mends everything and waits until all nodes take writes again; how long that took.
    fn mend(&mut self) -> Duration {
        IS_SHORT.set(false);
        self.faults.mend_disks(&mut self.cluster);
        let end = self.cluster.now() + DISK_MAX;
        while self.cluster.now() < end {
            self.step(false);
        }
        self.faults.mend(&mut self.cluster);
        self.replace_nodes();
        let mut begin = self.cluster.now();
        let nodes: Vec<usize> = self.cluster.numbers().collect();
        let mut writing: Vec<(usize, u32, Option<quorate_sim::SimClient>)> =
            nodes.iter().map(|n| (*n, 0, None)).collect();
        while !writing.is_empty() {
            self.step(false);
            self.faults.start_whoever_stopped(&mut self.cluster);
            if self.cluster.now() - begin > REFUSED && self.faults.replace_the_refused(&self.cluster) {
                self.replace_nodes();
                begin = self.cluster.now();
            }
            assert!(
                self.cluster.now() - begin < RECOVERY_MAX,
                "{RECOVERY_MAX:?} after everything was mended, nodes {:?} have not taken a write",
                writing.iter().map(|w| w.0).collect::<Vec<_>>()
            );
            let cluster = &mut self.cluster;
            writing.retain_mut(|(n, tries, client)| {
                let connected = client.get_or_insert_with(|| cluster.connect(*n));
                if connected.ended().is_some() {
                    *client = None;
                } else if connected.is_connected() && connected.unanswered() == 0 {
                    *tries += 1;
                    connected.send(&[b"SET", format!("mended:{n}:{tries}").as_bytes(), b"1"]);
                } else if let Some(reply) = connected.reply() {
                    return reply.as_str() != Some("OK");
                }
                true
            });
        }
        let recovery = self.cluster.now() - begin;
        let answered = self.cluster.now() + self.write_timeout + 2 * SECOND;
        while self.workers.are_waiting() && self.cluster.now() < answered {
            self.step(false);
        }
        self.workers.give_up();
        recovery
    }

    /// Lets the operator finish.
    fn replace_nodes(&mut self) {
        let end = self.cluster.now() + REPLACING_MAX;
        while self.faults.operate(&mut self.cluster) {
            self.step(false);
            self.faults.start_whoever_stopped(&mut self.cluster);
            assert!(
                self.cluster.now() < end,
                "nodes are not replaced {REPLACING_MAX:?} after everything else was mended"
            );
        }
    }

    fn judge(&mut self) {
        let equal = self.cluster.wait_until_equal_digests(5 * SECOND);
        assert!(
            equal,
            "the nodes have not applied the same 5 s after the last command{}",
            self.cluster.describe()
        );
        self.cluster.look_at_contents();
        let leaders: Vec<_> =
            self.cluster.numbers().map(|n| self.cluster.view(n).and_then(|v| v.leader)).collect();
        assert!(leaders[0].is_some() && leaders.iter().all(|l| *l == leaders[0]), "who leads? {leaders:?}");
        if let Some((guests, users)) = &mut self.beside {
            guests.judge(&mut self.cluster);
            users.judge(&mut self.cluster);
        }
        let keys = self.workers.keys();
        let values = self.read_everything(&keys);
        verdict::judge(self.workers.ops(), &values, self.cluster.now(), self.faults.lost_second());
    }

    /// Reads keys from all nodes in turn.
    fn read_everything(&mut self, keys: &[String]) -> verdict::Values {
        let mut clients: Vec<_> = self.cluster.numbers().map(|n| self.cluster.connect(n)).collect();
        let nodes = clients.len();
        for (i, key) in keys.iter().enumerate() {
            for line in last_reads(key) {
                clients[i % nodes].send(&line.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
        }
        let mut values = verdict::Values::new();
        let deadline = self.cluster.now() + 10 * SECOND;
        for (i, key) in keys.iter().enumerate() {
            let replies = values.entry(key.clone()).or_default();
            for _ in last_reads(key) {
                let reply = loop {
                    match clients[i % nodes].reply() {
                        Some(reply) => break reply,
                        None => self.cluster.run_for(MS),
                    }
                    assert!(self.cluster.now() < deadline, "reading {key} on a whole cluster has no answer");
                };
                let error = reply.as_error().filter(|error| !error.starts_with("NOGROUP "));
                assert_eq!(error, None, "reading {key} on a whole cluster");
                replies.push(reply);
            }
        }
        values
    }

    fn report(&mut self, recovery: Duration) -> Report {
        let ops = self.workers.ops();
        let count = |f: fn(&Op) -> bool| ops.iter().filter(|op| f(op)).count();
        Report {
            history: ops.iter().map(|op| format!("{op}\n")).collect(),
            commands: ops.len(),
            acknowledged: count(Op::is_acknowledged),
            not_applied: count(Op::is_not_applied),
            unknown: count(Op::is_unknown),
            beside: self
                .beside
                .as_ref()
                .map_or([0; 2], |(guests, users)| [guests.answered(), users.answered()]),
            recovery,
            simulated: self.cluster.now(),
            trace_digest: self.cluster.world().trace_digest(),
        }
    }
}

impl Drop for Storm {
    #[allow(clippy::print_stderr, reason = "a test that fails tells its story")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Plan { seed, nodes, duration, .. } = &self.plan;
            eprintln!(
                "\n=== seed {seed}: {nodes} nodes, {duration:?} of faults; at {:?}",
                self.cluster.now()
            );
            eprintln!("{}\nnow:{}", self.faults.story(), self.cluster.describe());
        }
    }
}
