//! A cluster of the production code in a world.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::{Rc, Weak};
use std::time::Duration;

use quorate_cluster::StartArgs;
use quorate_cluster::config::Config;
use quorate_env::Env;
use quorate_replica::{Inline, Secret, Stats, Timing, View};
use quorate_resp::Value;
use quorate_session::{Node, Process, ServeArgs, serve};
use tokio::sync::{Notify, oneshot};

use crate::checkers::{Digests, Leaders, Promise, Violation};
use crate::client::SimClient;
use crate::memory;
use crate::node::{NodeId, Task, timed_out};
use crate::options::Options;
use crate::world::World;

/// Where a node listens for clients.
const PORT: u16 = 6379;
/// Where a node listens for other nodes.
const BUS_PORT: u16 = 16379;
/// What nodes of a cluster know and others do not, unless they are [given another](SimCluster::set_secret).
const SECRET: &[u8] = b"the secret of simulated clusters";
/// The data folder, on each node's own disk.
const DATA_DIR: &str = "data";
/// How often conditions are asked for.
const STEP: Duration = Duration::from_millis(1);
/// How often a cluster is checked while it runs.
const LOOK: Duration = Duration::from_millis(10);
/// How often the contents of nodes that are at the same entry are compared, beside their digests.
const CONTENTS: Duration = Duration::from_millis(500);
/// How long a new cluster may take until everybody votes.
const FOUNDING: Duration = Duration::from_secs(30);

/// What a cluster is made of.
#[derive(Clone, Default)]
pub struct Settings {
    /// The world.
    pub world: Options,
    /// Parameters of every node, as on its command line: `(name, value)`.
    pub config: Vec<(String, String)>,
    /// Violations of what the cluster is looked at for are [gathered](SimCluster::violations); otherwise each is a panic.
    pub gathers_violations: bool,
    /// How many bytes that count for `maxmemory` a process says that it has in use; nothing if it is left out. A few kilobytes of
    /// the log that do not count may be taken for some that do, or the other way round, for up to 10 ms. One cluster at a time on a
    /// thread may have this.
    pub memory: Option<fn() -> u64>,
}

impl Settings {
    /// Sets a parameter of every node.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Nodes of Quorate on the machines of a [`World`], numbered from 1 as in the cluster.
///
/// Consensus and sessions of a node share one simulated thread; in production they have one each. While it
/// runs, the cluster is looked at every 10 ms: two nodes that have applied equally much must have the
/// same digest (R10), and no term may have two leaders. Twice a second those that are at the same entry must have the same
/// contents: the digest covers which keys change, but not what a script writes into them. Each is a panic, unless
/// [`Settings::gathers_violations`].
pub struct SimCluster {
    world: World,
    settings: Settings,
    machines: Vec<Machine>,
    /// A machine for a copy of some node's folder.
    twin: Option<Machine>,
    clients: NodeId,
    digests: Digests,
    leaders: Leaders,
    violations: Vec<Violation>,
    next_look: Duration,
    next_contents: Duration,
    /// Every voter was there once: nobody founds a cluster any more.
    is_founded: bool,
}

/// A node of the cluster: its machine, and the process on it, if one runs.
struct Machine {
    id: NodeId,
    /// There while it serves. Weak: what a process had must end with it.
    node: Rc<RefCell<Weak<Node>>>,
    stop: Rc<Notify>,
    main: Option<Task<io::Result<()>>>,
    /// Its number as a member, once it is known: another one than the machine's after it has joined anew.
    member: Option<u64>,
    /// What it is given at each start.
    secret: Option<Secret>,
}

impl Machine {
    fn new(world: &mut World, n: usize) -> Self {
        let id = world.add_node(&format!("n{n}"), ip(n));
        Self {
            id,
            node: Rc::default(),
            stop: Rc::default(),
            main: None,
            member: Some(n as u64),
            secret: Secret::parse(SECRET).ok(),
        }
    }

    /// Starts a process that listens at the addresses of machine `at`.
    fn start(&mut self, world: &mut World, at: usize, join: Vec<String>, config: Config) {
        let (place, stop) = (Rc::<RefCell<Weak<Node>>>::default(), Rc::<Notify>::default());
        (self.node, self.stop) = (place.clone(), stop.clone());
        let args = StartArgs { secret: self.secret.clone(), ..start_args(at, self.member, join, &config) };
        let process = Process { memory: memory::in_use, ..Process::default() };
        self.main = Some(world.start(self.id, move |env| run(env, args, config, process, place, stop)));
    }
}

impl SimCluster {
    /// A cluster of `nodes` voters with default settings, founded and ready.
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self::with(seed, nodes, Settings::default())
    }

    /// A cluster of `nodes` voters, founded and ready.
    ///
    /// # Panics
    /// If it is not ready within 30 simulated seconds.
    pub fn with(seed: u64, nodes: usize, settings: Settings) -> Self {
        let mut cluster = Self::down(seed, nodes, settings);
        cluster.start(1);
        cluster.run_until(|c| c.leader() == Some(1), FOUNDING);
        (2..=nodes).for_each(|n| cluster.start(n));
        if nodes.is_multiple_of(2) {
            // The last of an even number votes only if it is told to (R19).
            cluster
                .run_until(|c| c.view(1).is_some_and(|v| v.voters.len() + 1 == nodes && !v.joint), FOUNDING);
            cluster.promote(nodes);
        }
        cluster.wait_until_all_vote(FOUNDING);
        cluster.is_founded = true;
        cluster
    }

    /// The machines of a cluster, with nothing on their disks, and no process yet. The first one founds the
    /// cluster when it is [started](Self::start).
    pub fn down(seed: u64, nodes: usize, settings: Settings) -> Self {
        memory::begin(settings.memory);
        let mut world = World::new(seed, settings.world.clone());
        let machines: Vec<_> = (1..=nodes).map(|n| Machine::new(&mut world, n)).collect();
        let clients = world.add_client("clients");
        let (digests, leaders, violations) = Default::default();
        Self {
            world,
            settings,
            machines,
            twin: None,
            clients,
            digests,
            leaders,
            violations,
            next_look: Duration::ZERO,
            next_contents: Duration::ZERO,
            is_founded: false,
        }
    }

    /// Gives the one member that does not vote a vote.
    fn promote(&mut self, n: usize) {
        let learner = |v: View| v.members.keys().copied().find(|id| !v.voters.contains(id));
        let id = self.view(1).and_then(learner).unwrap_or(n as u64).to_string();
        let end = self.now() + FOUNDING;
        let mut said = None;
        while said.as_ref().is_none_or(|reply: &Value| reply.as_error().is_some()) {
            assert!(self.now() < end, "node {n} cannot be promoted: {said:?}{}", self.describe());
            self.run_for(10 * STEP);
            let mut client = self.connect(1);
            said = self.call(&mut client, &[b"QUORATE", b"NODE", b"PROMOTE", id.as_bytes()], FOUNDING).ok();
        }
    }

    /// Runs until every node votes and knows who leads.
    ///
    /// # Panics
    /// If that takes longer than `max`, or a node stops by itself.
    pub fn wait_until_all_vote(&mut self, max: Duration) {
        let nodes = self.machines.len();
        let votes = |v: View| v.voters.len() == nodes && !v.joint && v.leader.is_some();
        let all_vote = self.run_until(|c| c.numbers().all(|n| c.view(n).is_some_and(votes)), max);
        let exits: Vec<_> = self.numbers().filter_map(|n| Some((n, self.exit(n)?))).collect();
        let seed = self.world.seed();
        assert!(
            all_vote,
            "no cluster within {max:?} in the world of seed {seed:#x}: {exits:?}{}",
            self.describe()
        );
    }

    /// The world underneath: time, networks, disks.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// The numbers of all nodes.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.machines.len()
    }

    /// The machine of a node, for [`World`], its network and its disks.
    pub fn machine(&self, n: usize) -> NodeId {
        self.machines[n - 1].id
    }

    /// The time since the world began.
    pub fn now(&self) -> Duration {
        self.world.now()
    }

    /// Starts the process of a node where none runs, with the command line that it always has.
    pub fn start(&mut self, n: usize) {
        self.start_with(n, &[]);
    }

    /// The same with parameters, `(name, value)`, of this node alone.
    pub fn start_with(&mut self, n: usize, own: &[(&str, &str)]) {
        let join = if n == 1 && !self.is_founded { Vec::new() } else { self.others(n) };
        let config = self.config(own);
        self.machines[n - 1].start(&mut self.world, n, join, config);
    }

    fn others(&self, n: usize) -> Vec<String> {
        self.numbers().filter(|other| *other != n).map(bus).collect()
    }

    /// Starts a copy of the folder of a node on a machine of its own, while the node may run on: two processes with one
    /// identity (R5). There is one such machine; what ran on it before is killed.
    pub fn start_twin(&mut self, n: usize) {
        let (join, config, at) = (self.others(n), self.config(&[]), self.machines.len() + 1);
        let (image, member) = (self.data_disk(n).image(DATA_DIR), self.machines[n - 1].member);
        self.crash_twin();
        let mut twin = self.twin.take().unwrap_or_else(|| Machine::new(&mut self.world, at));
        twin.member = member;
        self.world.disk(twin.id).restore(DATA_DIR, &image).expect("no process uses the folder");
        twin.start(&mut self.world, at, join, config);
        self.twin = Some(twin);
    }

    /// The process that [`start_twin`](Self::start_twin) has started dies, if it still runs.
    pub fn crash_twin(&mut self) {
        if let Some(twin) = &mut self.twin {
            twin.main = None;
            self.world.crash(twin.id);
        }
    }

    /// The process dies (SIGKILL), if one runs.
    pub fn crash(&mut self, n: usize) {
        self.machines[n - 1].main = None;
        self.world.crash(self.machine(n));
    }

    /// The machine loses power.
    pub fn power_loss(&mut self, n: usize) {
        self.machines[n - 1].main = None;
        self.world.power_loss(self.machine(n));
    }

    /// The process dies and starts again at once.
    pub fn restart(&mut self, n: usize) {
        self.crash(n);
        self.start(n);
    }

    /// From its next start on a node is given this secret of the cluster, or none.
    ///
    /// # Panics
    /// If it is no secret.
    pub fn set_secret(&mut self, n: usize, secret: Option<&[u8]>) {
        self.machines[n - 1].secret = secret.map(|bytes| Secret::parse(bytes).expect("a secret"));
    }

    /// Its number as a member of the cluster, which is the machine's until it [joins anew](Self::join_anew). `None`: it
    /// is joining, and has not been given one yet.
    pub fn member_id(&self, n: usize) -> Option<u64> {
        self.machines[n - 1].member
    }

    /// What an operator does with a node that was removed from the cluster: its process is killed, its folder emptied, and
    /// it is started with `--join`.
    pub fn join_anew(&mut self, n: usize) {
        self.crash(n);
        self.data_disk(n).clear(DATA_DIR).expect("no process uses the folder");
        self.machines[n - 1].member = None;
        self.start(n);
    }

    fn data_disk(&self, n: usize) -> crate::DiskFaults {
        self.world.disk(self.machine(n))
    }

    /// SIGTERM: the node hands over what it can and ends by itself.
    pub fn stop(&mut self, n: usize) {
        self.machines[n - 1].stop.notify_one();
    }

    /// Whether a process runs on the machine of this node.
    pub fn is_running(&self, n: usize) -> bool {
        self.world.is_running(self.machine(n))
    }

    /// How the process ended, if it did so by itself. Told once.
    pub fn exit(&self, n: usize) -> Option<io::Result<()>> {
        self.machines[n - 1].main.as_ref()?.take()
    }

    /// Begins a connection to a node.
    pub fn connect(&mut self, n: usize) -> SimClient {
        let addr = format!("n{n}:{PORT}");
        SimClient::new(self.world.connect(self.clients, &addr).expect("the machine has a name"))
    }

    /// Sends a command and runs the cluster until it is answered. Errors: the connection ended, `TimedOut`.
    pub fn call(&mut self, client: &mut SimClient, args: &[&[u8]], max: Duration) -> io::Result<Value> {
        client.send(args);
        let end = self.now() + max;
        loop {
            if let Some(reply) = client.reply() {
                return Ok(reply);
            }
            if let Some(ended) = client.ended() {
                return Err(ended
                    .as_ref()
                    .err()
                    .map_or(io::ErrorKind::UnexpectedEof, io::Error::kind)
                    .into());
            }
            if self.now() >= end {
                return Err(timed_out("an answer", max));
            }
            self.run_for(STEP);
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(|_| false, duration);
    }

    /// Lets time pass until `condition` holds, but no more than `max`, and says whether it does. It is asked
    /// once a millisecond.
    pub fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool, max: Duration) -> bool {
        let end = self.now() + max;
        loop {
            if condition(self) {
                return true;
            }
            let left = end.saturating_sub(self.now());
            if left.is_zero() {
                return false;
            }
            self.world.run_for(left.min(STEP));
            if self.now() >= self.next_look {
                self.next_look = self.now() + LOOK;
                self.look();
            }
        }
    }

    /// What a node's consensus sees. `None` while it does not serve.
    pub fn view(&self, n: usize) -> Option<View> {
        self.look_at(n, |node| node.replica().consensus().view())
    }

    /// Whether a node serves and votes by its log: not while that may lack what it acknowledged (R6, R8).
    pub fn trusts_its_log(&self, n: usize) -> bool {
        self.look_at(n, |node| node.replica().consensus().trusts_its_log()).unwrap_or(false)
    }

    /// A node's counters. `None` while it does not serve.
    pub fn stats(&self, n: usize) -> Option<Stats> {
        self.look_at(n, |node| node.replica().stats())
    }

    /// The node that leads in the newest term, if a running one knows that it does.
    pub fn leader(&self) -> Option<usize> {
        let leading =
            self.numbers().filter_map(|n| self.view(n).filter(|v| v.is_leader).map(|v| (v.term, n)));
        leading.max().map(|(_, n)| n)
    }

    /// For each node that serves: its number, the index it has applied and its digest there.
    pub fn digests(&self) -> Vec<(usize, u64, u64)> {
        let digest = |n| {
            let digest = |node: &Node| node.replica().with_keyspace(|k| (k.index(), k.digest()));
            self.look_at(n, digest).map(|(index, digest)| (n, index, digest))
        };
        self.numbers().filter_map(digest).collect()
    }

    /// Runs until all nodes serve and have applied the same, or for `max`; says whether they have.
    pub fn wait_until_equal_digests(&mut self, max: Duration) -> bool {
        self.run_until(
            |c| {
                let digests = c.digests();
                digests.len() == c.machines.len()
                    && digests.windows(2).all(|w| (w[0].1, w[0].2) == (w[1].1, w[1].2))
            },
            max,
        )
    }

    /// Entries behind `index` were lost with the machines that had them, as `everysec` allows: others may take their
    /// places now.
    pub fn forget_entries_behind(&mut self, index: u64) {
        self.digests.forget_behind(index);
    }

    /// One line for each node, for whoever reads a failure.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for n in self.numbers() {
            let state = match (self.is_running(n), self.view(n)) {
                (false, _) => "down".to_owned(),
                (true, None) => "starting".to_owned(),
                (true, Some(v)) => {
                    let role = if v.is_leader { "leader" } else { "follower" };
                    let digest = self.digests().into_iter().find(|d| d.0 == n).map_or((0, 0), |d| (d.1, d.2));
                    format!(
                        "{role} term {} leader {:?} last {} committed {} applied {} digest {:016x} voters {:?}",
                        v.term, v.leader, v.last, v.committed, digest.0, digest.1, v.voters
                    )
                }
            };
            text += &format!("\n  node {n}: {state}");
        }
        text
    }

    fn look_at<T>(&self, n: usize, look: impl FnOnce(&Node) -> T) -> Option<T> {
        let machine = &self.machines[n - 1];
        let node = machine.node.borrow().upgrade()?;
        Some(self.world.within(machine.id, move || look(&node)))
    }

    /// Checks what must hold at every moment, now.
    pub fn look(&mut self) {
        if self.now() >= self.next_contents {
            self.look_at_contents();
        }
        if self.settings.memory.is_some() {
            for n in self.numbers() {
                let bytes = self.look_at(n, |node| node.uncounted_memory());
                memory::note_uncounted(self.machine(n), bytes.unwrap_or(0));
            }
        }
        for (n, index, digest) in self.digests() {
            let verdict = self.digests.look(n, index, digest);
            self.report(Promise::EqualDigests, verdict);
        }
        for n in self.numbers() {
            let id = self.look_at(n, |node| node.replica().consensus().identity().node_id());
            self.machines[n - 1].member = id.or(self.machines[n - 1].member);
            let Some(view) = self.view(n).filter(|v| v.is_leader) else { continue };
            let verdict = self.leaders.look(n, view.term);
            self.report(Promise::OneLeader, verdict);
        }
    }

    /// Checks that nodes that have applied equally much hold the same.
    pub fn look_at_contents(&mut self) {
        self.next_contents = self.now() + CONTENTS;
        let mut at = BTreeMap::new();
        for n in self.numbers() {
            let look = |node: &Node| node.replica().with_keyspace(|k| (k.index(), k.content_digest()));
            let Some((index, digest)) = self.look_at(n, look) else { continue };
            let (other, expected) = *at.entry(index).or_insert((n, digest));
            let differ = || format!("nodes {other} and {n} differ in their contents at index {index}");
            self.report(Promise::EqualDigests, if digest == expected { Ok(()) } else { Err(differ()) });
        }
    }

    /// What was wrong so far, at most one violation for each promise.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn report(&mut self, promise: Promise, verdict: Result<(), String>) {
        let Err(what) = verdict else { return };
        let (seed, now) = (self.world.seed(), self.now());
        let what = format!("{what} at {now:?} in the world of seed {seed:#x}{}", self.describe());
        let violation = Violation { promise, what };
        assert!(self.settings.gathers_violations, "{violation}");
        if self.violations.iter().all(|v| v.promise != promise) {
            self.violations.push(violation);
        }
    }

    fn config(&self, own: &[(&str, &str)]) -> Config {
        let config = Config::default();
        let nodes = self.machines.len().to_string();
        let always = [
            ("protected-mode", "no"),
            ("replication-factor", &*nodes),
            ("segment-size", "1mb"),
            // DEBUG SLEEP lets nodes stand still.
            ("enable-debug-command", "yes"),
        ];
        let given = self.settings.config.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in always.into_iter().chain(given).chain(own.iter().copied()) {
            config.set_at_start(name, value).unwrap_or_else(|error| panic!("{name} = {value}: {error}"));
        }
        config.check().unwrap_or_else(|error| panic!("{error}"));
        config
    }
}

fn ip(n: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(n).expect("few nodes")).into()
}

fn bus(n: usize) -> String {
    format!("{}:{BUS_PORT}", ip(n))
}

fn start_args(n: usize, member: Option<u64>, join: Vec<String>, config: &Config) -> StartArgs {
    StartArgs {
        data_dir: Path::new(DATA_DIR).to_path_buf(),
        bus: SocketAddr::new(ip(n), BUS_PORT),
        member: quorate_cluster::member(&format!("{}:{PORT}", ip(n)), &bus(n)),
        join,
        secret: None,
        node_id: member,
        timing: Timing::from(config),
        segment_bytes: config.segment_size(),
    }
}

/// A node as the server runs it, in one thread.
async fn run(
    env: Env,
    args: StartArgs,
    config: Config,
    process: Process,
    place: Rc<RefCell<Weak<Node>>>,
    stop: Rc<Notify>,
) -> io::Result<()> {
    let listen = SocketAddr::new(args.bus.ip(), PORT);
    let (cluster, feed) = quorate_cluster::start(env.clone(), args).await?;
    let serve_args = ServeArgs {
        env,
        cluster: cluster.clone(),
        feed,
        config,
        listen,
        stage: Rc::new(Inline),
        process,
        on_ready: Box::new(move |node: &Rc<Node>| *place.borrow_mut() = Rc::downgrade(node)),
    };
    let result = serve(serve_args, stop.notified()).await;
    let consensus = cluster.consensus();
    let failure = consensus.failure().or_else(|| consensus.log().failed());
    consensus.stop().await;
    if let Some(why) = failure {
        return Err(io::Error::other(why));
    }
    let (tx, rx) = oneshot::channel();
    consensus.log().close_clean(Box::new(move |result| drop(tx.send(result))));
    rx.await
        .map_err(|_| io::Error::other("the disk was closed"))?
        .map_err(|e| io::Error::other(e.to_string()))?;
    result
}
