//! The stage of a node, and the deputy that keeps consensus running while something takes its time there (R20).
//!
//! A node has one thread for everything: sessions, consensus, the bus, applying. So a small write passes from its client
//! to the log and the followers and back without waking another thread. But a command may take seconds, and
//! heartbeats must not wait for it. Therefore commands are executed outside of the event loop, and a second thread, the
//! *deputy*, looks now and then whether the same execution is still under way. If so, it runs the event loop's tasks of
//! consensus until the command is done. Sessions belong to the first thread, and wait.

#![allow(clippy::disallowed_methods, reason = "the entry of the server makes the threads")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quorate_env::Random;
use quorate_replica::{Stage, Work};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};

/// An execution that takes longer than this, up to twice as long, gets a deputy. A third of a heartbeat.
const PATIENCE: Duration = Duration::from_millis(10);
/// After so many looks at a node that executes nothing the deputy sleeps until something happens.
const IDLE_LOOKS: u32 = 100;

/// Hands what is to be executed to [`NodeStage::next`], which is awaited outside of all tasks.
#[derive(Default)]
pub(crate) struct NodeStage {
    work: RefCell<VecDeque<Work>>,
    wanted: Notify,
}

impl NodeStage {
    /// Waits until something is to be executed.
    pub(crate) async fn next(&self) -> Work {
        loop {
            let work = self.work.borrow_mut().pop_front();
            match work {
                Some(work) => return work,
                None => self.wanted.notified().await,
            }
        }
    }
}

impl Stage for NodeStage {
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let (done, wait) = oneshot::channel();
        self.work.borrow_mut().push_back(Box::new(move || {
            work();
            let _ = done.send(());
        }));
        self.wanted.notify_one();
        Box::pin(async move { wait.await.expect("everything on a stage is executed") })
    }
}

/// See the module.
pub(crate) struct Deputy {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Ends a stand-in.
    relieved: Notify,
}

#[derive(Default)]
struct State {
    /// Counts what was executed.
    number: u64,
    /// It is under way.
    busy: bool,
    /// The deputy runs the event loop.
    stands_in: bool,
    /// The deputy waits to be woken.
    sleeps: bool,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with this lock")
    }
}

impl Deputy {
    /// A deputy for the tasks of `runtime`.
    pub(crate) fn start(runtime: Arc<Runtime>, random: Arc<dyn Random>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mine = shared.clone();
        let thread = thread::Builder::new().name("deputy".to_owned()).spawn(move || {
            quorate_replica::seed_thread(random);
            watch(&mine, &runtime);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Executes `work`, which may take long, on this thread.
    pub(crate) fn while_it_stands_by(&self, work: Work) {
        {
            let mut state = self.shared.state();
            state.number += 1;
            state.busy = true;
            if std::mem::take(&mut state.sleeps) {
                self.shared.changed.notify_all();
            }
        }
        work();
        let mut state = self.shared.state();
        state.busy = false;
        if state.stands_in {
            self.shared.relieved.notify_one();
            let waited = self.shared.changed.wait_while(state, |s| s.stands_in);
            drop(waited.expect("nothing panics with this lock"));
        }
    }
}

impl Drop for Deputy {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // If what was executed has panicked, it stands in still.
        self.shared.relieved.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The life of the deputy.
fn watch(shared: &Shared, runtime: &Runtime) {
    let mut state = shared.state();
    let mut idle_looks = 0;
    while !state.ended {
        let (number, busy) = (state.number, state.busy);
        state = shared.changed.wait_timeout(state, PATIENCE).expect("nothing panics with this lock").0;
        let same = state.number == number;
        if same && busy && state.busy {
            state.stands_in = true;
            drop(state);
            runtime.block_on(shared.relieved.notified());
            state = shared.state();
            state.stands_in = false;
            shared.changed.notify_all();
        }
        idle_looks = if same && !busy { idle_looks + 1 } else { 0 };
        if idle_looks > IDLE_LOOKS {
            idle_looks = 0;
            state.sleeps = true;
            let woken = shared.changed.wait_while(state, |s| s.sleeps && !s.ended);
            state = woken.expect("nothing panics with this lock");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use quorate_env::real;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn tasks_go_on_while_something_takes_its_time() {
        let runtime = Arc::new(Builder::new_current_thread().enable_all().build().unwrap());
        let deputy = Deputy::start(runtime.clone(), real::env().unwrap().random).unwrap();
        let beats = Arc::new(AtomicU32::new(0));
        let heart = beats.clone();
        runtime.spawn(async move {
            loop {
                heart.fetch_add(1, Ordering::Relaxed);
                quorate_env::sleep(Duration::from_millis(1)).await;
            }
        });
        // Also after the deputy has gone to sleep, and more than once.
        for _ in 0..2 {
            runtime.block_on(async { quorate_env::sleep(PATIENCE * (IDLE_LOOKS + 20)).await });
            let before = beats.load(Ordering::Relaxed);
            let watched = beats.clone();
            deputy.while_it_stands_by(Box::new(move || {
                while watched.load(Ordering::Relaxed) < before + 20 {
                    thread::sleep(Duration::from_millis(1));
                }
            }));
        }
        // It has given the event loop back.
        let before = beats.load(Ordering::Relaxed);
        runtime.block_on(async {
            while beats.load(Ordering::Relaxed) < before + 20 {
                quorate_env::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    #[test]
    fn work_is_executed_outside_and_its_asker_goes_on() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let stage = NodeStage::default();
        let result = runtime.block_on(async {
            let asks = quorate_replica::on_stage(&stage, || 6 * 7);
            let executes = async {
                let work = stage.next().await;
                work();
            };
            tokio::join!(asks, executes).0
        });
        assert_eq!(result, 42);
    }
}
