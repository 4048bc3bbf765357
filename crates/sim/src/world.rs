//! The world: it owns time, and lets nodes run, crash and come back.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use quorate_env::{Env, clock};

use crate::clock::MachineClock;
use crate::disk::{DiskFaults, DiskState, SimDisk};
use crate::network::NetworkFaults;
use crate::node::{self, Node, NodeId, Process, SimRandom, Stop, Task, timed_out};
use crate::options::Options;
use crate::state::{Core, Effects};
use crate::stream::{ClientStream, SimNetwork};
use crate::timeline::{generator, nanos};

/// How long machines have been up when a world begins, or when a process starts after a power loss.
const UPTIME_NS: std::ops::Range<u64> = 10_000_000_000..100_000_000_000;

/// Machines on a network, in one thread, under one clock. See the [crate's documentation](crate).
///
/// Nothing happens unless one of the `run` methods is called. Each turn of the world first lets everything
/// arrive that is due, and then lets those nodes run that it reached or whose timers may be due, in the order
/// in which they were added. A node runs until it has nothing more to do; its computing takes no time.
///
/// A panic inside a node is a panic of the world, with the seed in its message.
pub struct World {
    seed: u64,
    options: Options,
    core: Arc<Core>,
    nodes: Vec<Node>,
    rng: Rng,
}

impl World {
    /// An empty world. Everything that happens by chance follows from `seed`.
    pub fn new(seed: u64, options: Options) -> Self {
        let core = Arc::new(Core::new(seed, &options));
        Self { seed, options, core, nodes: Vec::new(), rng: generator(seed, "world", 0) }
    }

    /// The seed of this world.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chance for whoever drives the world, by its seed.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns())
    }

    /// A digest of every arrival at a node and every operation of a disk so far, with their times and
    /// contents. Equal digests: equal histories.
    pub fn trace_digest(&self) -> u64 {
        self.core.lock().timeline.digest()
    }

    /// Adds a machine with an empty disk. Others reach it by its address or its name; both are unique.
    pub fn add_node(&mut self, name: &str, ip: IpAddr) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        let mut rng = generator(self.seed, "machine", id.index() as u64);
        let wall_ms = self.options.wall_start_ms;
        let node = Node {
            name: name.to_owned(),
            clock: MachineClock::new(rng.u64(UPTIME_NS), wall_ms),
            process: None,
            random: Arc::new(SimRandom::new(rng)),
            generation: 0,
            stopped: None,
            reached: false,
        };
        self.nodes.push(node);
        let state = &mut *self.core.lock();
        state.network.add_host(name, ip);
        state.disks.push(DiskState::new(self.seed, id, self.options.disk.clone()));
        id
    }

    /// Adds a machine for clients, with an address of its own (10.255.x.x), and starts it: see
    /// [`spawn`](Self::spawn), [`block_on`](Self::block_on), [`connect`](Self::connect).
    pub fn add_client(&mut self, name: &str) -> NodeId {
        let [.., high, low] = u32::try_from(self.nodes.len()).expect("few nodes").to_be_bytes();
        let id = self.add_node(name, Ipv4Addr::new(10, 255, high, low).into());
        self.start(id, |_| std::future::pending::<()>());
        id
    }

    /// Starts a process on a machine where none runs: turns its power on if need be, and runs `main` there.
    /// When `main` ends, the process does, with all its tasks, connections and locks.
    pub fn start<F: Future + 'static>(&mut self, id: NodeId, main: impl FnOnce(Env) -> F) -> Task<F::Output> {
        assert!(!self.is_running(id), "{} runs already", self.name(id));
        let now = self.now_ns();
        let node = &mut self.nodes[id.index()];
        node.generation += 1;
        {
            let state = &mut *self.core.lock();
            state.network.start(&mut state.timeline, id, node.generation);
            state.disks[id.index()].start(node.generation);
            state.timeline.record("start", [id.index() as u64, node.generation, 0], &[]);
        }
        let runtime_seed =
            generator(self.seed, "runtime", id.index() as u64 + (node.generation << 32)).u64(..);
        node.process = Some(Process::new(runtime_seed, node.clock.at(now)));
        node.reached = true;
        let env = self.env(id);
        let node = &self.nodes[id.index()];
        let future = node.within(now, || main(env));
        self.process(id).spawn_main(future)
    }

    /// What the process of a node may use, until it ends.
    pub fn env(&self, id: NodeId) -> Env {
        let (core, node, generation) = (self.core.clone(), id, self.node(id).generation);
        Env {
            disk: Arc::new(SimDisk { core: core.clone(), node, generation }),
            net: Arc::new(SimNetwork { core, node, generation }),
            random: self.node(id).random.clone(),
            memory: quorate_env::Budget::default(),
        }
    }

    /// Runs a further task in the process of a node.
    pub fn spawn<F: Future + 'static>(&mut self, id: NodeId, future: F) -> Task<F::Output> {
        self.nodes[id.index()].reached = true;
        self.process(id).spawn(future)
    }

    /// Runs a further task in the process of a node, and the world until the task ends. An error of kind
    /// `TimedOut` says that it took longer than `max`, or that the process died; the task then goes on if it
    /// can.
    pub fn block_on<F: Future + 'static>(
        &mut self,
        id: NodeId,
        future: F,
        max: Duration,
    ) -> io::Result<F::Output> {
        let task = self.spawn(id, future);
        self.run_until(|_| task.is_finished(), max);
        task.take().ok_or_else(|| timed_out(&format!("a task of {}", self.name(id)), max))
    }

    /// Begins a connection from a node (a client, mostly) to `host:port`, which the caller drives by hand.
    pub fn connect(&mut self, from: NodeId, addr: &str) -> io::Result<ClientStream> {
        ClientStream::connect(&self.core, from, addr)
    }

    /// Looks at what lives in the process of a node, with that node's clocks, without giving it a turn.
    pub(crate) fn within<T>(&self, id: NodeId, look: impl FnOnce() -> T) -> T {
        self.node(id).within(self.now_ns(), look)
    }

    /// Whether a process runs on a node, stopped or not.
    pub fn is_running(&self, id: NodeId) -> bool {
        self.node(id).process.is_some()
    }

    /// The name that a node was given.
    pub fn name(&self, id: NodeId) -> &str {
        &self.node(id).name
    }

    /// All nodes, clients among them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::new)
    }

    /// SIGKILL: the process is gone, what it has written stays, synced or not, and the system closes its
    /// connections. Does nothing where no process runs.
    pub fn crash(&mut self, id: NodeId) {
        if self.is_running(id) {
            self.end_process(id, "crash", true);
        }
    }

    /// The machine loses power: of what was not synced, anything may be lost, torn or kept. The others are
    /// not told; the machine answers again when a process is [started](Self::start) on it.
    pub fn power_loss(&mut self, id: NodeId) {
        self.end_process(id, "power loss", false);
        let now = self.now_ns();
        self.core.lock().disks[id.index()].lose_power();
        let uptime = self.rng.u64(UPTIME_NS);
        self.nodes[id.index()].clock.boot(now, uptime);
    }

    /// SIGSTOP: the process gets no turns. Its clocks go on, bytes still arrive at its machine, and what
    /// its disk is at waits.
    pub fn pause(&mut self, id: NodeId) {
        self.stop(id, Stop::Paused);
    }

    /// The machine is suspended: as [`pause`](Self::pause), but its timers stand still, too; the monotonic
    /// clock (CLOCK_BOOTTIME) and the wall clock go on.
    pub fn suspend(&mut self, id: NodeId) {
        let shown = self.node(id).clock.at(self.now_ns());
        self.stop(id, Stop::Suspended(shown));
    }

    /// Ends [`pause`](Self::pause) and [`suspend`](Self::suspend).
    pub fn resume(&mut self, id: NodeId) {
        let now = self.now_ns();
        let node = &mut self.nodes[id.index()];
        let Some(stop) = node.stopped.take() else { return };
        node.reached = true;
        if let (Stop::Suspended(shown), Some(process)) = (stop, &mut node.process) {
            process.skip(node.clock.at(now) - shown);
        }
        let state = &mut *self.core.lock();
        state.disks[id.index()].resume(&mut state.timeline);
    }

    /// From now on, the clocks of a machine run by so many parts per million faster than time (slower if
    /// negative, above -1 000 000). Timers and wall clock drift alike.
    pub fn set_drift(&mut self, id: NodeId, ppm: i64) {
        let now = self.now_ns();
        self.nodes[id.index()].clock.set_drift(now, ppm);
    }

    /// Steps the wall clock of a machine by so many milliseconds, in either direction.
    pub fn step_wall(&mut self, id: NodeId, ms: i64) {
        self.nodes[id.index()].clock.step_wall(ms);
    }

    /// What [`quorate_env::Instant::now`] (in nanoseconds) and [`quorate_env::wall_ms`] show on a node.
    pub fn clocks(&self, id: NodeId) -> clock::Simulated {
        self.node(id).clock.reading(self.now_ns())
    }

    /// Breaks and mends the network.
    pub fn network(&self) -> NetworkFaults {
        NetworkFaults { core: self.core.clone() }
    }

    /// Looks at a node's disk from outside, and breaks it.
    pub fn disk(&self, id: NodeId) -> DiskFaults {
        DiskFaults { core: self.core.clone(), node: id }
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(|_| false, duration);
    }

    /// Lets time pass until `condition` holds, but no more than `max`, and says whether it does. It is asked
    /// after each turn of the world.
    pub fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool, max: Duration) -> bool {
        let end = self.now_ns() + nanos(max);
        loop {
            self.turn();
            if condition(self) {
                return true;
            }
            let next = self.next_time();
            if next > end {
                self.core.lock().timeline.advance_to(end);
                return false;
            }
            self.core.lock().timeline.advance_to(next);
        }
    }

    /// Lets happen what is due now.
    fn turn(&mut self) {
        let now = self.now_ns();
        loop {
            let happened = self.core.lock().happen();
            let Some(effects) = happened else { break };
            self.take_effect(now, effects);
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let due = node.reached || node.next_timer().is_some_and(|time| time <= now);
            if due && node.stopped.is_none() {
                let _of_this_node = node::enter(NodeId::new(index));
                let result = node.turn(now, self.options.polls_per_turn_max);
                self.expect_healthy(index, result);
            }
            if self.nodes[index].has_ended() {
                self.end_process(NodeId::new(index), "exit", true);
            }
        }
    }

    fn take_effect(&mut self, now: u64, effects: Effects) {
        for id in effects.reached {
            self.nodes[id.index()].reached = true;
        }
        for waker in effects.wakers {
            waker.wake();
        }
        for (id, completion, result) in effects.completions {
            self.node(id).within(now, || completion(result));
        }
    }

    fn next_time(&self) -> u64 {
        let timeline = &self.core.lock().timeline;
        let timers = self.nodes.iter().filter_map(Node::next_timer);
        let next = timers.chain(timeline.next_time()).min().unwrap_or(u64::MAX / 2);
        // A timer of a clock that has just been set faster may be overdue.
        timeline.tick_at(next.max(timeline.now() + 1))
    }

    fn end_process(&mut self, id: NodeId, how: &str, powered: bool) {
        let now = self.now_ns();
        let dropped = {
            let state = &mut *self.core.lock();
            state.timeline.record(how, [id.index() as u64, 0, 0], &[]);
            state.network.kill(&mut state.timeline, id, powered);
            state.disks[id.index()].kill()
        };
        let node = &mut self.nodes[id.index()];
        node.within(now, || drop(dropped));
        node.kill(now);
    }

    fn stop(&mut self, id: NodeId, stop: Stop) {
        let node = &mut self.nodes[id.index()];
        assert!(node.process.is_some() && node.stopped.is_none(), "{} does not run", node.name);
        node.stopped = Some(stop);
        self.core.lock().disks[id.index()].pause();
    }

    fn expect_healthy(&self, index: usize, result: Result<(), String>) {
        if let Err(message) = result {
            let (name, now, seed) = (&self.nodes[index].name, self.now(), self.seed);
            panic!("{name} at {now:?} in the world of seed {seed:#x}: {message}");
        }
    }

    fn now_ns(&self) -> u64 {
        self.core.lock().timeline.now()
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn process(&self, id: NodeId) -> &Process {
        let process = self.node(id).process.as_ref();
        process.unwrap_or_else(|| panic!("no process runs on {}", self.name(id)))
    }
}

impl Drop for World {
    #[allow(clippy::print_stderr, reason = "a test that fails says how to replay it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of seed {:#x} ended at {:?}", self.seed, self.now());
        }
        for id in self.nodes() {
            self.crash(id);
        }
    }
}
