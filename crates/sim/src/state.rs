//! What the world and the environments of its nodes share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use quorate_env::Completion;

use crate::disk::DiskState;
use crate::network::NetworkState;
use crate::node::NodeId;
use crate::options::Options;
use crate::timeline::{Event, Timeline};

/// The state behind a lock that is never contended: everything runs on one thread. It is there because the
/// traits of `env` are `Send + Sync`.
///
/// Nothing of a node's (wakers, completions, streams) is called or dropped while it is held.
pub(crate) struct Core {
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) timeline: Timeline,
    pub(crate) network: NetworkState,
    pub(crate) disks: Vec<DiskState>,
}

/// What is to be done after the lock is released.
#[derive(Default)]
pub(crate) struct Effects {
    /// Tasks that have something to do.
    pub(crate) wakers: Vec<Waker>,
    /// What a disk has finished.
    pub(crate) completions: Vec<(NodeId, Completion, std::io::Result<()>)>,
    /// Nodes that something has reached.
    pub(crate) reached: Vec<NodeId>,
}

impl Core {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let state = State {
            timeline: Timeline::new(options.tick),
            network: NetworkState::new(seed, options),
            disks: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Carries out the next event that is due; `None` when there is no more.
    pub(crate) fn happen(&mut self) -> Option<Effects> {
        let mut effects = Effects::default();
        match self.timeline.pop_due()? {
            Event::Segments { connection, from } => {
                self.network.deliver(&mut self.timeline, connection, from, &mut effects);
            }
            Event::ConnectTimeout { connection } => {
                self.network.connect_timeout(&mut self.timeline, connection, &mut effects);
            }
            Event::DiskOp { node, queue, generation } => {
                self.disks[node.index()].op_ends(&mut self.timeline, queue, generation, &mut effects);
            }
        }
        Some(effects)
    }
}
