//! What all connections of a node share.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use quorate_cluster::config::Config;
use quorate_cluster::{Cluster, NODE_ID_MAX};
use quorate_env::{Instant, Network, clock};
use quorate_keyspace::acl::Acl;
use quorate_planted::{Bug, is_planted};
use quorate_replica::Replica;
use quorate_resp::{BULK_BYTES_MAX, Limits};
use tokio::sync::{Notify, Semaphore};

use crate::access::Access;
use crate::channels::Channels;
use crate::commands::MIGRATIONS_MAX;
use crate::connection::Connection;
use crate::memory::{Class, ClientMemory, Held};
use crate::stats::Stats;
use crate::tally::Tally;
use crate::tracking::{Connections, Tracking};

/// See the module. It belongs to one thread.
pub struct Node {
    pub(crate) replica: Replica,
    pub(crate) cluster: Cluster,
    pub(crate) config: Config,
    pub(crate) started: Instant,
    pub(crate) run_id: String,
    pub(crate) connections: Rc<Connections>,
    next_client: Cell<u64>,
    /// What was counted when CONFIG RESETSTAT set the counters back.
    since: Cell<Tally>,
    pause: Cell<Option<Pause>>,
    /// Nothing is done for clients once a second (DEBUG PAUSE-CRON).
    pub(crate) rests: Cell<bool>,
    resumed: Notify,
    /// Told when a client asks the node to stop.
    pub(crate) shutdown: Notify,
    pub(crate) counters: Counters,
    /// Who may do what.
    pub(crate) access: Rc<Access>,
    /// What is noted of commands.
    pub(crate) stats: Rc<Stats>,
    /// Who listens to what.
    pub(crate) channels: Rc<Channels>,
    /// Who may hold copies of what.
    pub(crate) tracking: Rc<Tracking>,
    pub(crate) memory: Process,
    /// Bytes in use when the node began to serve.
    pub(crate) memory_at_start: u64,
    /// What clients hold.
    pub(crate) client_memory: Rc<ClientMemory>,
    /// For connections to servers outside of the cluster.
    pub(crate) network: Arc<dyn Network>,
    /// Whoever holds a permit may have one.
    pub(crate) migrations: Semaphore,
}

/// What the process knows of itself; the server fills it in, a simulation has none of it.
pub struct Process {
    /// Bytes that the process has asked for and not given back.
    pub memory: fn() -> u64,
    /// Bytes of the machine's memory that it holds.
    pub resident: fn() -> u64,
    /// Seconds of processor time: user, system.
    pub cpu: fn() -> (f64, f64),
    /// The allocator's name.
    pub allocator: &'static str,
    /// The most bytes seen in use.
    pub memory_peak: Cell<u64>,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            memory: || 0,
            resident: || 0,
            cpu: || (0.0, 0.0),
            allocator: "unknown",
            memory_peak: Cell::new(0),
        }
    }
}

impl Process {
    pub(crate) fn used(&self) -> u64 {
        let used = (self.memory)();
        self.memory_peak.set(self.memory_peak.get().max(used));
        used
    }

    pub(crate) fn peak(&self) -> u64 {
        self.memory_peak.get().max(self.used())
    }

    pub(crate) fn cpu_seconds(&self) -> (f64, f64) {
        (self.cpu)()
    }
}

#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    writes_only: bool,
}

/// Counters for INFO.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Cell<u64>,
    pub(crate) rejected: Cell<u64>,
    pub(crate) commands: Cell<u64>,
    pub(crate) errors: Cell<u64>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    /// Commands refused because there was no memory to read them.
    pub(crate) overloaded: Cell<u64>,
    /// Commands per second and bytes, as of the last sample.
    pub(crate) ops_per_second: Cell<u64>,
    pub(crate) bytes_in_per_second: Cell<u64>,
    pub(crate) bytes_out_per_second: Cell<u64>,
}

/// A client that is silent for so long needs no buffers.
const REST_AFTER: Duration = Duration::from_secs(2);
/// The ids of clients are below 2^53, for libraries that keep numbers as doubles, and unique in the cluster: the node's
/// number (16 bits) above, a counter below.
const CLIENT_COUNTER_BITS: u32 = 37;
/// Each start of a node begins to count elsewhere: an id of an earlier start means another client soon enough not to be
/// mistaken. In these many steps of the counter.
const CLIENTS_PER_START: u64 = 1 << 20;

/// The part of an id that counts, from any number.
fn client_counter(n: u64) -> u64 {
    n & ((1 << CLIENT_COUNTER_BITS) - 1)
}

impl Node {
    /// A node whose replica is ready to be driven.
    #[must_use]
    pub(crate) fn new(
        replica: Replica,
        cluster: Cluster,
        config: Config,
        memory: Process,
        network: Arc<dyn Network>,
        stats: Rc<Stats>,
        channels: Rc<Channels>,
        tracking: Rc<Tracking>,
        connections: Rc<Connections>,
        access: Rc<Access>,
    ) -> Rc<Self> {
        let client_memory = ClientMemory::new(&config);
        let identity = replica.consensus().identity();
        let first_client = client_counter(identity.start().wrapping_mul(CLIENTS_PER_START));
        let run_id = format!(
            "{:016x}{:016x}{:08x}",
            identity.cluster(),
            identity.incarnation(),
            identity.start() as u32
        );
        Rc::new(Self {
            replica,
            cluster,
            config,
            started: Instant::now(),
            run_id,
            connections,
            next_client: Cell::new(first_client),
            since: Cell::default(),
            pause: Cell::new(None),
            rests: Cell::new(false),
            resumed: Notify::new(),
            shutdown: Notify::new(),
            counters: Counters::default(),
            access,
            stats,
            channels,
            tracking,
            memory_at_start: memory.used(),
            memory,
            client_memory,
            network,
            migrations: Semaphore::new(MIGRATIONS_MAX),
        })
    }

    /// The replica that this node serves from.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Resolves when a client has asked the node to stop (SHUTDOWN).
    pub async fn shutdown_requested(&self) {
        self.shutdown.notified().await;
    }

    /// Bytes in use that do not count for `maxmemory`.
    #[must_use]
    pub fn uncounted_memory(&self) -> u64 {
        crate::memory::not_counted(self.replica.memory(), self.replica.consensus())
    }

    /// How many connections there are.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Whether another client may connect; counts a refusal.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let room = self.connected() < self.config.maxclients();
        if !room {
            self.counters.rejected.set(self.counters.rejected.get() + 1);
        }
        room
    }

    pub(crate) fn open(&self, addr: String, local_addr: String) -> Rc<Connection> {
        let id = self.new_client_id();
        self.counters.accepted.set(self.counters.accepted.get() + 1);
        let (in_at_once, stats, access) = (self.lets_anyone_in(), self.stats.clone(), self.access.clone());
        let connection = Connection::new(
            id,
            addr,
            local_addr,
            in_at_once,
            self.replica.memory(),
            stats,
            access,
            Held::new(self.client_memory.clone()),
            self.tracking.clone(),
        );
        self.connections.borrow_mut().insert(id, Rc::downgrade(&connection));
        connection
    }

    fn new_client_id(&self) -> u64 {
        let node = (self.cluster.node_id() & NODE_ID_MAX) << CLIENT_COUNTER_BITS;
        loop {
            let n = self.next_client.get() + 1;
            self.next_client.set(n);
            let id = node | client_counter(n);
            // The counter has come round: who connected then may be there still.
            if client_counter(n) > 0 && !self.connections.borrow().contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn closed(&self, connection: &Connection) {
        let c = &self.counters;
        c.commands.set(c.commands.get() + connection.commands.get());
        c.errors.set(c.errors.get() + connection.errors.get());
        c.bytes_in.set(c.bytes_in.get() + connection.bytes_in.get());
        c.bytes_out.set(c.bytes_out.get() + connection.bytes_out.get());
        self.connections.borrow_mut().remove(&connection.id);
        self.channels.gone(connection);
        self.tracking.end(connection);
        self.channels.registered.give_all(connection);
    }

    /// The connections there are, oldest first.
    pub(crate) fn clients(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// What was counted since the node was started, or since CONFIG RESETSTAT. Not from within apply.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.totals() - self.since.get()
    }

    /// Sets the counters back.
    pub(crate) fn reset_tally(&self) {
        self.stats.reset();
        self.access.refusals.reset_counts();
        self.since.set(self.totals());
    }

    /// What a node does before it has caught up, it does for the second time.
    pub(crate) fn forget_replay(&self) {
        let usage = self.totals().usage;
        let mut since = self.since.get();
        (since.usage.expired, since.usage.evicted) = (usage.expired, usage.evicted);
        self.since.set(since);
    }

    /// What was counted since the node was started.
    pub(crate) fn totals(&self) -> Tally {
        let c = &self.counters;
        let mut t = Tally {
            accepted: c.accepted.get(),
            rejected: c.rejected.get(),
            commands: c.commands.get(),
            errors: c.errors.get(),
            bytes_in: c.bytes_in.get(),
            bytes_out: c.bytes_out.get(),
            overloaded: c.overloaded.get(),
            usage: self.replica.with_keyspace(quorate_keyspace::Keyspace::usage),
            stats: self.replica.stats(),
        };
        for c in self.clients() {
            t.commands += c.commands.get();
            t.errors += c.errors.get();
            t.bytes_in += c.bytes_in.get();
            t.bytes_out += c.bytes_out.get();
        }
        t
    }

    pub(crate) fn limits(&self, connection: &Connection) -> Limits {
        let limits = Limits {
            bulk_bytes: self.config.proto_max_bulk_len().min(BULK_BYTES_MAX),
            query_bytes: self.config.client_query_buffer_limit(),
            ..Limits::default()
        };
        let open = self.replica.is_ready() && !self.requires_password();
        if open || connection.authenticated.get() { limits } else { limits.unauthenticated() }
    }

    /// Ends connections that are silent for too long, and those whose clients do not read. Once a second.
    pub(crate) fn look_after_clients(&self) {
        self.tracking.limit_keys(self.config.tracking_table_max_keys());
        let silence = self.config.timeout();
        let limits = self.config.client_output_buffer_limit();
        let exceeds = |bytes: usize, limit: u64| limit > 0 && bytes as u64 > limit;
        for c in self.clients() {
            let (waiting, class) = (c.output_bytes(), c.class());
            let limit = class.limit(&limits);
            let is_quiet = c.pending.get() == 0 && waiting == 0 && !c.is_waiting.get();
            if is_quiet
                && c.buffered.get() == 0
                && c.held.input.get() > 0
                && c.last_active.get().elapsed() > REST_AFTER
            {
                c.rests.set(true);
                c.wake.notify_one();
            }
            let is_idle = is_quiet && class != Class::PubSub;
            let silent = silence > Duration::ZERO && is_idle && c.last_active.get().elapsed() > silence;
            let since = exceeds(waiting, limit.soft_bytes)
                .then(|| c.over_soft_limit.get().unwrap_or_else(Instant::now));
            c.over_soft_limit.set(since);
            let unread =
                exceeds(waiting, limit.hard_bytes) || since.is_some_and(|since| since.elapsed() > limit.soft);
            if silent || unread {
                tracing::info!(client = c.id, silent, waiting, "closing a connection");
                c.close();
            }
        }
    }

    /// Whether the cluster has fewer voters beside the leader than `min-replicas-to-write` asks for.
    pub(crate) fn lacks_replicas(&self) -> bool {
        let wanted = self.config.min_replicas_to_write();
        wanted > 0 && self.cluster.view().voters.len() <= wanted
    }

    pub(crate) fn requires_password(&self) -> bool {
        !self.access.users().lets_anyone_in()
    }

    /// Users have changed. Who belongs to one that is gone, or listens to what its user may not hear any more, is out at once; what
    /// is left of the rights of others is judged with each command. It is called while entries are applied: it must not ask the
    /// replica.
    pub(crate) fn users_changed(&self, before: &Acl, now: &Acl) {
        for connection in self.clients() {
            let number = connection.user.get();
            let user = now.by_number(number);
            let is_same = |user| before.by_number(number).is_some_and(|old: &Arc<_>| Arc::ptr_eq(old, user));
            if user.is_some_and(|user| user.is_unrestricted() || is_same(user)) {
                continue;
            }
            let may_hear =
                |name: &[u8], is_pattern| user.is_some_and(|user| user.may_use_channel(name, is_pattern));
            if user.is_none() && is_planted(Bug::UserStaysConnected) {
                continue;
            }
            let hears = !is_planted(Bug::ChannelRightStays);
            if user.is_none() || hears && !connection.subscriptions.borrow().all(may_hear) {
                connection.close();
            }
        }
    }

    /// A number that nobody can guess.
    pub(crate) fn random(&self) -> u64 {
        self.replica.seed()
    }

    /// Whether it is known that there is no password. A node that has not caught up does not know.
    pub(crate) fn lets_anyone_in(&self) -> bool {
        self.replica.is_ready() && !self.requires_password()
    }

    pub(crate) fn databases(&self) -> usize {
        self.config.databases()
    }

    /// Whether this node leads its shard, as far as it knows. Not from within apply: see [`Self::is_master`].
    pub(crate) fn leads(&self) -> bool {
        self.replica.leads()
    }

    /// The same by what consensus says, from anywhere.
    pub(crate) fn is_master(&self) -> bool {
        self.cluster.view().is_leader
    }

    /// Unix time in milliseconds by this node's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.replica.consensus().clock().now_ms()
    }

    pub(crate) fn pause(&self, duration: Duration, writes_only: bool) {
        let until = Instant::now() + duration;
        let until = self.pause.get().map_or(until, |p| p.until.max(until));
        self.pause.set(Some(Pause { until, writes_only }));
        self.resumed.notify_waiters();
    }

    pub(crate) fn unpause(&self) {
        self.pause.set(None);
        self.resumed.notify_waiters();
    }

    /// Whether a command must wait; `is_write` is asked if only writes do.
    pub(crate) fn is_paused(&self, is_write: impl FnOnce() -> bool) -> bool {
        let Some(pause) = self.pause.get() else { return false };
        if Instant::now() >= pause.until {
            self.pause.set(None);
            return false;
        }
        !pause.writes_only || is_write()
    }

    /// Waits until the pause ends or changes.
    pub(crate) async fn resumed(&self) {
        let Some(pause) = self.pause.get() else { return };
        tokio::select! {
            biased;
            () = self.resumed.notified() => {}
            () = clock::sleep_until(pause.until) => {}
        }
    }
}
