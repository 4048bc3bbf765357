//! The clients of a storm. None of them ever sends a command again.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{SimClient, SimCluster};

use super::choose::Chooser;
use super::commands::{Line, Op};
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
    /// How many of them mostly wait for what others push.
    pub(crate) consumers: usize,
    /// How long a client pauses between commands at most, in milliseconds.
    pub(crate) pause_ms: u32,
    pub(crate) mix: Mix,
}

/// Which commands clients send.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Only SET and GET of a few registers.
    Registers,
    /// Strings, as long as there was nothing else: the seeds that `docs/PROOF.md` names found their bugs with it.
    Strings,
    /// Every type.
    #[default]
    Everything,
}

/// A bit of everything.
pub(crate) const MIXED: Load = Load { clients: 9, consumers: 3, pause_ms: 40, mix: Mix::Everything };
/// What there was before there were other types. QUORATE_SIM_STRINGS makes every storm one of these.
pub(crate) const STRINGS: Load = Load { clients: 6, consumers: 0, pause_ms: 40, mix: Mix::Strings };
/// Few registers, many clients.
pub(crate) const REGISTERS: Load = Load { clients: 8, consumers: 0, pause_ms: 10, mix: Mix::Registers };

/// A connection, once it is made.
struct Connection {
    node: usize,
    since: Duration,
    client: SimClient,
}

/// An answer that is to come.
struct Waiting {
    /// For which command, by its place in the list of all.
    op: usize,
    of: Answer,
}

/// What an answer tells.
enum Answer {
    /// What became of the command.
    Outcome,
    /// That a transaction has begun. What follows is sent then: outside of a transaction it would mean something else.
    Begun(Vec<Line>),
    /// That a command of a transaction waits for its end.
    Queued,
}

struct Worker {
    line: Option<Connection>,
    waiting: VecDeque<Waiting>,
    next: Duration,
}

/// All clients.
pub(crate) struct Workers {
    load: Load,
    nodes: usize,
    workers: Vec<Worker>,
    ops: Vec<Op>,
    chooser: Chooser,
}

impl Workers {
    pub(crate) fn new(load: Load, nodes: usize) -> Self {
        let worker = || Worker { line: None, waiting: VecDeque::new(), next: Duration::ZERO };
        let workers = std::iter::repeat_with(worker).take(load.clients).collect();
        let chooser = Chooser::new(load.mix);
        Self { load, nodes, workers, ops: Vec::new(), chooser }
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
                self.ops[worker.waiting[0].op]
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
            if !more {
                self.leave_if_waiting_for_ever(i);
            }
            if more && self.workers[i].waiting.is_empty() && cluster.now() >= self.workers[i].next {
                self.send(cluster, i);
            }
        }
    }

    fn take_answers(&mut self, cluster: &SimCluster, i: usize) {
        let worker = &mut self.workers[i];
        let Some(line) = &mut worker.line else { return };
        while let Some(reply) = line.client.reply() {
            let Waiting { op, of } = worker.waiting.pop_front().expect("a reply for each command");
            match of {
                Answer::Queued => continue,
                Answer::Begun(steps) if reply.as_error().is_none() => {
                    send_steps(line, &mut worker.waiting, op, &steps);
                    continue;
                }
                Answer::Begun(_) | Answer::Outcome => {}
            }
            let op = &mut self.ops[op];
            (op.end, op.reply) = (Some(cluster.now()), Some(reply));
            if op.is_loading() {
                worker.next = cluster.now() + 50 * MS;
            }
            let fine = op.is_acknowledged() || op.is_not_applied() || op.is_unknown();
            assert!(fine, "an error that says neither NOT applied nor UNKNOWN (R14): {op}: {:?}", op.reply);
            if let Some(Value::Array(parts)) = &op.reply {
                let errors = parts.iter().filter_map(Value::as_error);
                assert_eq!(errors.collect::<Vec<_>>(), [""; 0], "a part of a transaction has failed: {op}");
            }
            self.chooser.note(op);
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
        let op = &self.ops[first.op];
        if faults.died(line.node).is_some_and(|died| died >= op.begin && cluster.now() > died + BROKEN_AFTER)
        {
            // A machine without power tells nobody that its connections are gone.
            worker.line = None;
            worker.waiting.clear();
        } else if let Some(since) = faults.undisturbed_since(cluster, line.node) {
            let waited = cluster.now() - op.begin.max(since);
            let max = op.kind.patience().map_or(Duration::MAX, |wait| wait + max);
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
            worker.line = Some(Connection { node, since: now, client: cluster.connect(node) });
            worker.next = now + cluster.world().rng().u32(1..30) * MS;
            return;
        };
        if !line.client.is_connected() {
            if now - line.since > CONNECT_MAX {
                worker.line = None;
            }
            return;
        }
        let rng = cluster.world().rng();
        let kinds = match i < self.load.clients - self.load.consumers {
            true => self.chooser.next(rng, i),
            false => vec![self.chooser.next_of_consumer(rng)],
        };
        for (kind, key) in kinds {
            let op = Op { client: i, node: line.node, kind, key, begin: now, end: None, reply: None };
            let mut lines = op.lines();
            let steps = lines.split_off(1);
            send_line(line, &lines[0]);
            let of = if steps.is_empty() { Answer::Outcome } else { Answer::Begun(steps) };
            worker.waiting.push_back(Waiting { op: self.ops.len(), of });
            self.ops.push(op);
        }
        worker.next = now + cluster.world().rng().u32(..=self.load.pause_ms) * MS;
    }

    /// Nothing more comes: who would wait for it for ever leaves.
    fn leave_if_waiting_for_ever(&mut self, i: usize) {
        let worker = &mut self.workers[i];
        if worker.waiting.front().is_some_and(|first| self.ops[first.op].kind.patience().is_none()) {
            worker.line = None;
            worker.waiting.clear();
        }
    }
}

fn send_line(line: &mut Connection, words: &Line) {
    line.client.send(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

/// The rest of a transaction that has begun.
fn send_steps(line: &mut Connection, waiting: &mut VecDeque<Waiting>, op: usize, steps: &[Line]) {
    for (at, step) in steps.iter().enumerate() {
        send_line(line, step);
        let of = if at + 1 < steps.len() { Answer::Queued } else { Answer::Outcome };
        waiting.push_back(Waiting { op, of });
    }
}
