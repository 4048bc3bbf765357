//! One node: a machine, the process on it, and the process's turns.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use quorate_env::{Random, clock};

use crate::clock::MachineClock;

/// tokio's timers, and with them those of a process, are as fine as this.
const TIMER_NS: u64 = 1_000_000;

/// Names a node of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("few nodes"))
    }

    /// Nodes are counted from 0 in the order in which they were added.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// A future that runs in a node, and its result once there is one. Dropping it lets the future run on.
pub struct Task<T> {
    result: Rc<RefCell<Option<T>>>,
}

impl<T> Task<T> {
    /// It has come to its end, and its result was not taken.
    pub fn is_finished(&self) -> bool {
        self.result.borrow().is_some()
    }

    /// Takes the result. `None` before the end, after it was taken, and for ever if the process died first.
    pub fn take(&self) -> Option<T> {
        self.result.borrow_mut().take()
    }

    /// The future to spawn, and where its result will be.
    fn new(future: impl Future<Output = T>) -> (Self, impl Future<Output = ()>) {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        (Self { result }, async move {
            let output = future.await;
            *place.borrow_mut() = Some(output);
        })
    }
}

/// A machine, whether a process runs on it or not.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) clock: MachineClock,
    pub(crate) process: Option<Process>,
    pub(crate) random: Arc<SimRandom>,
    /// Counts the processes that have run here.
    pub(crate) generation: u64,
    /// When the process was stopped or the machine was suspended.
    pub(crate) stopped: Option<Stop>,
    /// Something has reached it since its last turn.
    pub(crate) reached: bool,
}

/// Why and since when a node gets no turns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// SIGSTOP.
    Paused,
    /// The machine sleeps: since this reading of its oscillator, the clock of timers stands still.
    Suspended(u64),
}

/// A process: a tokio runtime and the tasks in it.
pub(crate) struct Process {
    local: LocalSet,
    runtime: Runtime,
    idle: Arc<Idle>,
    /// What the machine's oscillator showed when the runtime's clock began, suspensions not counted.
    epoch: u64,
    /// How far the runtime's clock has come.
    elapsed: u64,
    ended: Rc<Cell<bool>>,
}

impl Node {
    /// The world time of the next turn that a timer may need.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        let process = self.process.as_ref().filter(|_| self.stopped.is_none())?;
        let boundary = (process.elapsed / TIMER_NS + 1) * TIMER_NS;
        Some(self.clock.time_of(process.epoch + boundary))
    }

    /// Lets the process run at world time `now` until it has nothing more to do.
    pub(crate) fn turn(&mut self, now: u64, polls_max: u32) -> Result<(), String> {
        self.reached = false;
        let Some(process) = &mut self.process else { return Ok(()) };
        let _clock = clock::install(self.clock.reading(now));
        process.turn(self.clock.at(now), polls_max)
    }

    /// Runs `act` as part of the process, at world time `now`, without giving it a turn.
    pub(crate) fn within<T>(&self, now: u64, act: impl FnOnce() -> T) -> T {
        let _clock = clock::install(self.clock.reading(now));
        let _entered = self.process.as_ref().map(|process| process.runtime.enter());
        act()
    }

    /// Ends the process, wherever it is, and all that belongs to it.
    pub(crate) fn kill(&mut self, now: u64) {
        let _clock = clock::install(self.clock.reading(now));
        self.stopped = None;
        if let Some(Process { local, runtime, .. }) = self.process.take() {
            let entered = runtime.enter();
            drop(local);
            drop(entered);
            drop(runtime);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ended.get())
    }
}

impl Process {
    pub(crate) fn new(seed: u64, oscillator: u64) -> Self {
        watch_for_panics();
        let idle = Arc::new(Idle::default());
        let (parks, threads) = (idle.clone(), idle.clone());
        let mut builder = Builder::new_current_thread();
        builder
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || parks.reached())
            .on_thread_start(move || threads.thread_started.store(true, Ordering::Relaxed));
        #[cfg(tokio_unstable)]
        builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
        #[cfg(not(tokio_unstable))]
        let _unused = seed;
        let runtime = builder.build().expect("a runtime without I/O needs nothing of the system");
        let ended = Rc::new(Cell::new(false));
        Self { local: LocalSet::new(), runtime, idle, epoch: oscillator, elapsed: 0, ended }
    }

    /// Spawns the main task: the process ends with it.
    pub(crate) fn spawn_main<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let ended = self.ended.clone();
        self.spawn(async move {
            let output = future.await;
            ended.set(true);
            output
        })
    }

    pub(crate) fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let (task, future) = Task::new(future);
        drop(self.local.spawn_local(future));
        task
    }

    /// The machine was suspended for so long: its timers have not noticed.
    pub(crate) fn skip(&mut self, ns: u64) {
        self.epoch += ns;
    }

    fn turn(&mut self, oscillator: u64, polls_max: u32) -> Result<(), String> {
        let passed = (oscillator - self.epoch) - self.elapsed;
        self.elapsed += passed;
        let (local, idle) = (&mut self.local, &self.idle);
        let mut polls = 0;
        PANIC.take();
        self.runtime.block_on(async {
            if passed > 0 {
                tokio::time::advance(Duration::from_nanos(passed)).await;
            }
            idle.begin();
            poll_fn(|cx| {
                if idle.is_reached() || polls > polls_max {
                    return Poll::Ready(());
                }
                polls += 1;
                idle.wake_when_reached(cx.waker());
                // Whether all tasks have ended is of no interest: the process ends with its main task.
                let _all_ended = Pin::new(&mut *local).poll(cx);
                Poll::Pending
            })
            .await;
        });
        if let Some(message) = PANIC.take() {
            return Err(message);
        }
        if polls > polls_max {
            return Err(format!("does not come to rest: more than {polls_max} polls while no time passes"));
        }
        if self.idle.thread_started.load(Ordering::Relaxed) {
            return Err("uses a thread (spawn_blocking), which the simulator cannot own".to_owned());
        }
        Ok(())
    }
}

/// Notices when the tasks of a process have nothing more to do.
///
/// The runtime is about to park its thread just then. The hook wakes the future that holds the turn, which
/// thereupon ends; as tokio's clock does not advance by itself when something was woken, only the world
/// moves it.
#[derive(Default)]
struct Idle {
    reached: AtomicBool,
    turn: Mutex<Option<Waker>>,
    thread_started: AtomicBool,
}

impl Idle {
    fn begin(&self) {
        self.reached.store(false, Ordering::Relaxed);
    }

    fn wake_when_reached(&self, waker: &Waker) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.is_none() {
            *turn = Some(waker.clone());
        }
    }

    fn reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
        // Taken, not cloned: the waker holds the runtime, which holds this.
        if let Some(waker) = self.turn.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

thread_local! {
    /// The node whose turn it is.
    static TURN: Cell<Option<NodeId>> = const { Cell::new(None) };
    /// What the last panic on this thread said, since it was last taken.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// The node whose turn it is on this thread, for who reports what nodes say.
pub fn current_node() -> Option<NodeId> {
    TURN.get()
}

/// It is the turn of `id` until the guard is dropped.
pub(crate) fn enter(id: NodeId) -> impl Drop {
    struct Turn;
    impl Drop for Turn {
        fn drop(&mut self) {
            TURN.set(None);
        }
    }
    TURN.set(Some(id));
    Turn
}

/// A panic in a task ends a process in production, where tokio only ends the task. So the world must hear of
/// it, and of those that are caught before they reach tokio, too.
fn watch_for_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANIC.set(Some(panic.to_string()));
            previous(panic);
        }));
    });
}

/// The random numbers of one machine, by its seed. Not for secrets.
pub(crate) struct SimRandom(Mutex<Rng>);

impl SimRandom {
    pub(crate) fn new(rng: Rng) -> Self {
        Self(Mutex::new(rng))
    }
}

impl Random for SimRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}

/// Something did not end within a time.
pub(crate) fn timed_out(what: &str, max: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {max:?}"))
}
