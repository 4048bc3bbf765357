//! The clients of a storm. None of them ever sends a command again.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{SimClient, SimCluster};

use super::faults::Faults;
use super::{MS, SECOND};

/// How long a client waits for a connection.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// When a client sees that the process it waits for has died.
const BROKEN_AFTER: Duration = Duration::from_millis(200);

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// How long a client pauses between commands at most, in milliseconds.
    pub(crate) pause_ms: u32,
    /// Only SET and GET of a few registers.
    pub(crate) registers_only: bool,
}

/// A bit of everything.
pub(crate) const MIXED: Load = Load { clients: 6, pause_ms: 40, registers_only: false };
/// Few registers, many clients.
pub(crate) const REGISTERS: Load = Load { clients: 8, pause_ms: 10, registers_only: true };

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SET of a key that nobody else writes.
    Unique,
    /// INCR.
    Increment,
    /// GET of a counter.
    ReadCounter,
    /// SET of a register to a value that nobody else writes.
    Write(u64),
    /// GET of a register.
    Read,
    /// SET of a register that only this client uses, in a pipeline.
    PrivateWrite(u64),
    /// GET of it, behind the SET in the same pipeline.
    PrivateRead,
    /// SET of a large value: logs grow, snapshots are made and nodes that were away need them.
    Bulk(u64),
}

/// A command and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) client: usize,
    pub(crate) node: usize,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) begin: Duration,
    pub(crate) end: Option<Duration>,
    /// `None`: the connection ended first.
    pub(crate) reply: Option<Value>,
}

impl Op {
    fn error(&self) -> Option<&str> {
        self.reply.as_ref().and_then(Value::as_error)
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.reply.is_some() && self.error().is_none()
    }

    pub(crate) fn is_not_applied(&self) -> bool {
        // A node that is loading does not know its password yet, and takes no large argument.
        let refused = ["NOQUORUM ", "OVERLOADED ", "LOADING ", "ERR Protocol error: unauthenticated"];
        self.error().is_some_and(|e| refused.iter().any(|code| e.starts_with(code)))
    }

    /// The node has just been started.
    fn is_loading(&self) -> bool {
        self.error().is_some_and(|e| e.starts_with("LOADING "))
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.reply.is_none() || self.error().is_some_and(|e| e.starts_with("UNKNOWN "))
    }

    fn args(&self) -> Vec<Vec<u8>> {
        let key = self.key.clone().into_bytes();
        match self.kind {
            Kind::Unique => vec![b"SET".to_vec(), key, self.key.clone().into_bytes()],
            Kind::Increment => vec![b"INCR".to_vec(), key],
            Kind::Write(value) | Kind::PrivateWrite(value) => {
                vec![b"SET".to_vec(), key, value.to_string().into_bytes()]
            }
            Kind::Bulk(value) => {
                let mut bytes = format!("{value}:").into_bytes();
                bytes.resize(
                    bytes.len() + 20_000 + (value as usize * 7_919) % 50_000,
                    b'a' + (value % 26) as u8,
                );
                vec![b"SET".to_vec(), key, bytes]
            }
            Kind::ReadCounter | Kind::Read | Kind::PrivateRead => vec![b"GET".to_vec(), key],
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, node, kind, key, begin, end, reply } = self;
        let reply = match reply {
            Some(Value::Error(text)) => text.split(' ').next().unwrap_or_default().to_owned(),
            Some(value) => format!("{value:?}"),
            None => "no reply".to_owned(),
        };
        write!(f, "{begin:>14?} - {end:>14?} client {client} on node {node}: {kind:?} {key} -> {reply}")
    }
}

/// A connection, once it is made.
struct Line {
    node: usize,
    since: Duration,
    client: SimClient,
}

struct Worker {
    line: Option<Line>,
    /// The commands that wait for answers, by their place in the list of all.
    waiting: VecDeque<usize>,
    next: Duration,
}

/// All clients.
pub(crate) struct Workers {
    load: Load,
    nodes: usize,
    workers: Vec<Worker>,
    ops: Vec<Op>,
    values: u64,
}

impl Workers {
    pub(crate) fn new(load: Load, nodes: usize) -> Self {
        let worker = || Worker { line: None, waiting: VecDeque::new(), next: Duration::ZERO };
        let workers = std::iter::repeat_with(worker).take(load.clients).collect();
        Self { load, nodes, workers, ops: Vec::new(), values: 0 }
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Every key that was written.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.ops.iter().map(|op| op.key.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn are_waiting(&self) -> bool {
        self.workers.iter().any(|w| !w.waiting.is_empty())
    }

    /// Nobody waits any longer.
    pub(crate) fn give_up(&mut self) {
        for worker in &mut self.workers {
            assert!(
                worker.waiting.is_empty(),
                "no answer on a whole cluster: {}",
                self.ops[worker.waiting[0]]
            );
            worker.line = None;
        }
    }

    /// A client that waits for an answer leaves.
    pub(crate) fn disconnect(&mut self, cluster: &mut SimCluster) {
        let first = cluster.world().rng().usize(..self.workers.len());
        let (before, after) = self.workers.split_at_mut(first);
        if let Some(worker) = after.iter_mut().chain(before).find(|w| !w.waiting.is_empty()) {
            worker.line = None;
            worker.waiting.clear();
        }
    }

    /// Takes answers and sends commands (if there shall be `more`).
    pub(crate) fn step(
        &mut self,
        cluster: &mut SimCluster,
        faults: &Faults,
        more: bool,
        write_timeout: Duration,
    ) {
        for i in 0..self.workers.len() {
            self.take_answers(cluster, i);
            self.check_patience(cluster, faults, i, write_timeout + 3 * SECOND);
            if more && self.workers[i].waiting.is_empty() && cluster.now() >= self.workers[i].next {
                self.send(cluster, i);
            }
        }
    }

    fn take_answers(&mut self, cluster: &SimCluster, i: usize) {
        let worker = &mut self.workers[i];
        let Some(line) = &mut worker.line else { return };
        while let Some(reply) = line.client.reply() {
            let op = &mut self.ops[worker.waiting.pop_front().expect("a reply for each command")];
            (op.end, op.reply) = (Some(cluster.now()), Some(reply));
            if op.is_loading() {
                worker.next = cluster.now() + 50 * MS;
            }
            let fine = op.is_acknowledged() || op.is_not_applied() || op.is_unknown();
            assert!(fine, "an error that says neither NOT applied nor UNKNOWN (R14): {op}: {:?}", op.reply);
        }
        if line.client.ended().is_some() {
            worker.line = None;
            worker.waiting.clear();
        }
    }

    /// A node that runs answers within the write timeout (`honest-errors`).
    fn check_patience(&mut self, cluster: &SimCluster, faults: &Faults, i: usize, max: Duration) {
        let worker = &mut self.workers[i];
        let (Some(line), Some(first)) = (&worker.line, worker.waiting.front()) else { return };
        let op = &self.ops[*first];
        if faults.died(line.node).is_some_and(|died| died >= op.begin && cluster.now() > died + BROKEN_AFTER)
        {
            // A machine without power tells nobody that its connections are gone.
            worker.line = None;
            worker.waiting.clear();
        } else if let Some(since) = faults.undisturbed_since(cluster, line.node) {
            let waited = cluster.now() - op.begin.max(since);
            assert!(waited < max, "no answer for {waited:?} from a node that runs: {op}");
        }
    }

    fn send(&mut self, cluster: &mut SimCluster, i: usize) {
        let now = cluster.now();
        let worker = &mut self.workers[i];
        // Now and then a client goes elsewhere.
        let leaves = cluster.world().rng().u8(..50) == 0;
        let Some(line) = worker.line.as_mut().filter(|_| !leaves) else {
            let node = cluster.world().rng().usize(1..=self.nodes);
            worker.line = Some(Line { node, since: now, client: cluster.connect(node) });
            worker.next = now + cluster.world().rng().u32(1..30) * MS;
            return;
        };
        if !line.client.is_connected() {
            if now - line.since > CONNECT_MAX {
                worker.line = None;
            }
            return;
        }
        let kinds = choose(cluster.world().rng(), self.load.registers_only, i, &mut self.values);
        for (kind, key) in kinds {
            let op = Op { client: i, node: line.node, kind, key, begin: now, end: None, reply: None };
            let args = op.args();
            line.client.send(&args.iter().map(|a| &a[..]).collect::<Vec<_>>());
            worker.waiting.push_back(self.ops.len());
            self.ops.push(op);
        }
        worker.next = now + cluster.world().rng().u32(..=self.load.pause_ms) * MS;
    }
}

/// The next commands of a client.
fn choose(
    rng: &mut fastrand::Rng,
    registers_only: bool,
    client: usize,
    values: &mut u64,
) -> Vec<(Kind, String)> {
    let mut value = || {
        *values += 1;
        *values
    };
    let register = |rng: &mut fastrand::Rng| format!("r:{}", rng.u8(..if registers_only { 2 } else { 5 }));
    let counter = |rng: &mut fastrand::Rng| format!("c:{}", rng.u8(..3));
    match rng.u8(..100) {
        n if registers_only => vec![(if n < 30 { Kind::Write(value()) } else { Kind::Read }, register(rng))],
        0..30 => vec![(Kind::Unique, format!("u:{}", value()))],
        30..55 => vec![(Kind::Increment, counter(rng))],
        55..62 => vec![(Kind::ReadCounter, counter(rng))],
        62..66 => vec![(Kind::Bulk(value()), format!("b:{}", rng.u8(..4)))],
        66..76 => vec![(Kind::Write(value()), register(rng))],
        76..92 => vec![(Kind::Read, register(rng))],
        _ => {
            let key = format!("p:{client}");
            let writes = (0..rng.u8(2..6)).map(|_| [Kind::PrivateWrite(value()), Kind::PrivateRead]);
            writes.flatten().map(|kind| (kind, key.clone())).collect()
        }
    }
}
