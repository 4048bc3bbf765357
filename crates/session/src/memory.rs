//! What counts as memory: for `maxmemory`, which the leader judges by, and for `maxmemory-clients`, by which each node limits
//! what its own clients hold.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_cluster::config::{BytesOrPercent, Config, OutputLimit, OutputLimits};
use quorate_env::{Budget, Part};
use quorate_replica::{Consensus, LookAtMemory, Memory};
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::node::Node;

/// What a connection takes beside its buffers, about.
const CONNECTION_BYTES: usize = 4 << 10;
/// What a connection holds is noted when it has changed by this much, and once a second.
const STEP_BYTES: usize = 4 << 10;

/// Bytes that are in use and do not count for `maxmemory`, because evicting keys would not bring them back: what is under way
/// between nodes and to the disk, and what the log has in memory. What clients hold counts, as in Redis.
pub(crate) fn not_counted(budget: &Budget, consensus: &Consensus) -> u64 {
    let parts = [Part::Commands, Part::Bus, Part::Apply, Part::Snapshots];
    let queued: usize = parts.into_iter().map(|part| budget.used_by(part)).sum();
    let log = consensus.log().stats();
    queued as u64 + log.bytes_cached + log.bytes_indexed + log.bytes_pending
}

/// How the replica looks at the memory of this process.
pub(crate) fn look(
    in_use: fn() -> u64,
    config: Config,
    budget: Budget,
    consensus: Consensus,
) -> LookAtMemory {
    Rc::new(move || {
        let limit = config.maxmemory();
        if limit == 0 {
            return Memory::default();
        }
        let in_use = in_use();
        let used =
            if in_use > limit { in_use.saturating_sub(not_counted(&budget, &consensus)) } else { in_use };
        let (samples, tenacity) = (config.maxmemory_samples(), config.maxmemory_eviction_tenacity());
        Memory { used, limit, samples, tenacity }
    })
}

/// In which class of `client-output-buffer-limit` a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It sends commands.
    Normal,
    /// It has subscribed to something.
    PubSub,
}

/// What all clients of a node hold, and the limits that are looked at with each answer.
#[derive(Debug)]
pub(crate) struct ClientMemory {
    /// All of it, as noted.
    held: Cell<usize>,
    /// Clients that were disconnected because of it.
    pub(crate) evicted: Cell<u64>,
    limits: Arc<Limits>,
    /// Told when the limit is exceeded.
    exceeded: Notify,
}

/// Follows the configuration, which may change on any thread. 0 is no limit.
#[derive(Debug, Default)]
struct Limits {
    clients: AtomicU64,
    normal_output: AtomicU64,
    pubsub_output: AtomicU64,
}

impl Limits {
    fn follow(&self, config: &Config) {
        let clients = match config.maxmemory_clients() {
            BytesOrPercent::Bytes(bytes) => bytes,
            BytesOrPercent::Percent(percent) => {
                (config.maxmemory() as u128 * u128::from(percent) / 100) as u64
            }
        };
        let output = config.client_output_buffer_limit();
        self.clients.store(clients, Ordering::Relaxed);
        self.normal_output.store(output.normal.hard_bytes, Ordering::Relaxed);
        self.pubsub_output.store(output.pubsub.hard_bytes, Ordering::Relaxed);
    }
}

impl ClientMemory {
    pub(crate) fn new(config: &Config) -> Rc<Self> {
        let limits = Arc::new(Limits::default());
        limits.follow(config);
        let this = Rc::new(Self {
            held: Cell::new(0),
            evicted: Cell::new(0),
            limits: limits.clone(),
            exceeded: Notify::new(),
        });
        let follower = config.clone();
        config.on_change(move |_| limits.follow(&follower));
        this
    }

    /// All that clients hold, about, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// Waits until it is more than they may.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    fn limit(&self) -> u64 {
        self.limits.clients.load(Ordering::Relaxed)
    }

    fn note(&self, before: usize, now: usize) {
        let held = (self.held.get() + now).saturating_sub(before);
        self.held.set(held);
        if now > before && self.limit() > 0 && held as u64 > self.limit() {
            self.exceeded.notify_one();
        }
    }
}

/// What one connection holds beside its answers.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Rc<ClientMemory>,
    /// All of it, as noted.
    noted: Cell<usize>,
    /// For bytes of commands that were not taken yet.
    pub(crate) input: Cell<usize>,
    /// Commands of MULTI that wait for EXEC.
    pub(crate) queued: Cell<usize>,
    /// What the node remembers for it: names that it listens to, keys that it watches.
    pub(crate) registered: Cell<usize>,
}

impl Held {
    pub(crate) fn new(memory: Rc<ClientMemory>) -> Self {
        Self {
            memory,
            noted: Cell::new(0),
            input: Cell::new(0),
            queued: Cell::new(0),
            registered: Cell::new(0),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.note(self.noted.get(), 0);
    }
}

impl Connection {
    /// See [`Class`].
    pub(crate) fn class(&self) -> Class {
        if self.subscriptions.borrow().is_empty() { Class::Normal } else { Class::PubSub }
    }

    /// What it holds, about, in bytes; `output` of them are answers.
    fn holds(&self, output: usize) -> usize {
        let names = [&self.name, &self.lib_name, &self.lib_ver].map(|name| name.borrow().len());
        let Held { input, queued, registered, .. } = &self.held;
        let held = input.get() + queued.get() + registered.get() + names.iter().sum::<usize>();
        CONNECTION_BYTES + output + held
    }

    /// The same with the answers that wait.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.holds(self.output_bytes())
    }

    /// Notes what it holds now, if that has changed much; `output` of it are answers.
    pub(crate) fn settle(&self, output: usize) {
        let before = self.held.noted.get();
        let now = if self.closing.get() { 0 } else { self.holds(output) };
        if now.abs_diff(before) >= STEP_BYTES || now == 0 {
            self.held.noted.set(now);
            self.held.memory.note(before, now);
        }
    }

    /// Notes exactly what it holds now.
    fn settle_exactly(&self) {
        let before = self.held.noted.get();
        let now = if self.closing.get() { 0 } else { self.memory_bytes() };
        self.held.noted.set(now);
        self.held.memory.note(before, now);
    }

    /// Whether so many bytes of answers are more than may ever wait for it.
    pub(crate) fn exceeds_hard_limit(&self, output: usize) -> bool {
        let limits = &self.held.memory.limits;
        // Which class it is costs more to know than that there is no limit.
        let (normal, pubsub) =
            (limits.normal_output.load(Ordering::Relaxed), limits.pubsub_output.load(Ordering::Relaxed));
        let exceeds = |limit: u64| limit > 0 && output as u64 > limit;
        (exceeds(normal) || exceeds(pubsub))
            && exceeds(match self.class() {
                Class::Normal => normal,
                Class::PubSub => pubsub,
            })
    }
}

impl Class {
    /// Its limits.
    pub(crate) fn limit(self, limits: &OutputLimits) -> OutputLimit {
        match self {
            Self::Normal => limits.normal,
            Self::PubSub => limits.pubsub,
        }
    }
}

impl Node {
    /// Disconnects the clients that hold most, until all of them hold no more than `maxmemory-clients`.
    pub(crate) fn evict_clients(&self) {
        let clients = self.clients();
        clients.iter().for_each(|c| c.settle_exactly());
        let limit = self.client_memory.limit();
        if limit == 0 || self.client_memory.held() as u64 <= limit {
            return;
        }
        let mut largest: Vec<_> =
            clients.into_iter().filter(|c| !c.no_evict.get() && !c.closing.get()).collect();
        largest.sort_by_key(|c| std::cmp::Reverse(c.held.noted.get()));
        for c in largest {
            if self.client_memory.held() as u64 <= limit {
                break;
            }
            tracing::info!(
                client = c.id,
                bytes = c.held.noted.get(),
                "disconnecting a client: maxmemory-clients"
            );
            c.close();
            c.settle_exactly();
            self.client_memory.evicted.set(self.client_memory.evicted.get() + 1);
        }
    }
}
