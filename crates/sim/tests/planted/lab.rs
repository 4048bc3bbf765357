//! A cluster with clients whose every command is noted, and the verdict on all of it.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::checkers::{Act, Call, History, Promise, Seen, Violation, number};
use quorate_sim::{Link, Settings, SimClient, SimCluster};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A cluster that is whole again answers within this time.
const HEALING: Duration = Duration::from_secs(12);

/// A connection, and the calls that it has not answered.
struct Line {
    node: usize,
    readonly: bool,
    client: SimClient,
    waiting: VecDeque<usize>,
}

/// A client that asks the same thing again and again.
struct Habit {
    line: usize,
    key: &'static str,
    writes: bool,
    next: Duration,
}

/// See the module.
pub(crate) struct Lab {
    pub(crate) c: SimCluster,
    lines: Vec<Line>,
    habits: Vec<Habit>,
    calls: Vec<Call>,
    values: u64,
    /// How long values are beside their number.
    pub(crate) padding: usize,
}

impl Lab {
    pub(crate) fn new(seed: u64, nodes: usize, settings: Settings) -> Self {
        let settings = Settings { gathers_violations: true, ..settings };
        let c = SimCluster::with(seed, nodes, settings);
        Self { c, lines: Vec::new(), habits: Vec::new(), calls: Vec::new(), values: 0, padding: 0 }
    }

    /// The leader, then all others.
    pub(crate) fn roles(&mut self) -> Vec<usize> {
        self.c.run_until(|c| c.leader().is_some(), 5 * SECOND);
        let leader = self.c.leader().expect("the cluster is whole");
        let mut roles = vec![leader];
        roles.extend(self.c.numbers().filter(|n| *n != leader));
        roles
    }

    /// A connection that is there.
    pub(crate) fn connect(&mut self, node: usize) -> usize {
        let client = self.c.connect(node);
        self.lines.push(Line { node, readonly: false, client, waiting: VecDeque::new() });
        self.run_for(2 * MS);
        self.lines.len() - 1
    }

    /// A connection that sends READONLY first.
    pub(crate) fn connect_readonly(&mut self, node: usize) -> usize {
        let line = self.connect(node);
        self.tell(line, &[b"READONLY"]);
        self.lines[line].readonly = true;
        line
    }

    /// Sends what is not noted, and waits for the reply.
    pub(crate) fn tell(&mut self, line: usize, args: &[&[u8]]) -> Option<Value> {
        self.lines[line].client.send(args);
        for _ in 0..3000 {
            self.run_for(MS);
            if let Some(reply) = self.lines[line].client.reply() {
                return Some(reply);
            }
        }
        None
    }

    /// Sends a SET of a new value; the value.
    pub(crate) fn set(&mut self, line: usize, key: &str) -> u64 {
        self.values += 1;
        self.send(line, Act::Set(self.values), key);
        self.values
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, line: usize, act: Act, key: &str) {
        let value = |n: u64| format!("{n}:{}", "x".repeat(self.padding)).into_bytes();
        let key_bytes = key.as_bytes().to_vec();
        let args: Vec<Vec<u8>> = match act {
            Act::Set(n) => vec![b"SET".to_vec(), key_bytes, value(n)],
            Act::SetFor(n, time) => {
                let ms = time.as_millis().to_string().into_bytes();
                vec![b"SET".to_vec(), key_bytes, value(n), b"PX".to_vec(), ms]
            }
            Act::Get => vec![b"GET".to_vec(), key_bytes],
            Act::Increment => vec![b"INCR".to_vec(), key_bytes],
        };
        let begin = self.c.now();
        let Line { node, readonly, client, waiting } = &mut self.lines[line];
        client.send(&args.iter().map(|a| &a[..]).collect::<Vec<_>>());
        waiting.push_back(self.calls.len());
        let (node, readonly, key) = (*node, *readonly, key.to_owned());
        self.calls.push(Call { client: line, readonly, node, act, key, begin, end: None, reply: None });
    }

    /// Sends a command and waits for its reply, for two seconds at most. Whether it was acknowledged.
    pub(crate) fn call(&mut self, line: usize, act: Act, key: &str) -> bool {
        let at = self.calls.len();
        self.send(line, act, key);
        for _ in 0..2000 {
            self.run_for(MS);
            if self.calls[at].reply.is_some() {
                break;
            }
        }
        self.calls[at].is_acknowledged()
    }

    /// SET of a new value, answered.
    pub(crate) fn write(&mut self, line: usize, key: &str) -> bool {
        self.values += 1;
        self.call(line, Act::Set(self.values), key)
    }

    /// Whether everything that was sent on a connection has been answered.
    pub(crate) fn is_idle(&self, line: usize) -> bool {
        self.lines[line].waiting.is_empty()
    }

    /// Asks every node to stand still for that long, in the log. Does not wait for it.
    pub(crate) fn sleep(&mut self, line: usize, time: Duration) {
        self.lines[line].client.send(&[b"DEBUG", b"SLEEP", time.as_secs_f64().to_string().as_bytes()]);
    }

    /// A client that reads `key` again and again.
    pub(crate) fn keep_reading(&mut self, node: usize, key: &'static str) {
        let line = self.connect(node);
        self.habits.push(Habit { line, key, writes: false, next: Duration::ZERO });
    }

    /// A client that writes `key` again and again.
    pub(crate) fn keep_writing(&mut self, node: usize, key: &'static str) {
        let line = self.connect(node);
        self.habits.push(Habit { line, key, writes: true, next: Duration::ZERO });
    }

    /// Ends all habits.
    pub(crate) fn stop_habits(&mut self) {
        self.habits.clear();
    }

    /// Asks a leader to hand over to another node, through its own connection. Does not wait.
    pub(crate) fn ask_to_hand_over(&mut self, line: usize, to: usize) {
        self.lines[line].client.send(&[b"QUORATE", b"FAILOVER", b"TO", to.to_string().as_bytes()]);
    }

    /// Asks whoever leads to hand over, until that node leads.
    pub(crate) fn hand_over(&mut self, to: usize) {
        for _ in 0..10 {
            let leader = self.roles()[0];
            let line = self.connect(leader);
            self.ask_to_hand_over(line, to);
            for _ in 0..4000 {
                if self.c.view(to).is_some_and(|v| v.is_leader) {
                    return;
                }
                self.c.world().run_for(MS / 10);
            }
        }
        panic!("node {to} does not take over{}", self.c.describe());
    }

    /// What one node sends to another takes that long.
    pub(crate) fn delay(&mut self, from: usize, to: usize, time: Duration) {
        let (from, to) = (self.c.machine(from), self.c.machine(to));
        let link = Link { latency: time..=time, ..Link::default() };
        self.c.world().network().set_link(from, to, Some(link));
    }

    /// Nothing is delayed any more.
    pub(crate) fn no_delays(&mut self) {
        let machines: Vec<_> = self.c.numbers().map(|n| self.c.machine(n)).collect();
        for from in &machines {
            for to in &machines {
                self.c.world().network().set_link(*from, *to, None);
            }
        }
    }

    /// Lets time pass, and takes replies every millisecond.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.c.now() + time;
        while self.c.now() < end {
            for i in 0..self.habits.len() {
                let Habit { line, key, writes, next } = self.habits[i];
                if self.c.now() >= next && self.is_idle(line) && self.lines[line].client.ended().is_none() {
                    self.habits[i].next = self.c.now() + if writes { 5 * MS } else { 2 * MS };
                    if writes {
                        self.set(line, key);
                    } else {
                        self.send(line, Act::Get, key);
                    }
                }
            }
            self.c.run_for(MS);
            self.take_replies();
        }
    }

    fn take_replies(&mut self) {
        let now = self.c.now();
        for Line { client, waiting, .. } in &mut self.lines {
            while !waiting.is_empty()
                && let Some(reply) = client.reply()
            {
                let call = &mut self.calls[waiting.pop_front().expect("one waits")];
                (call.end, call.reply) = (Some(now), Some(reply));
            }
        }
    }

    /// Runs until `condition` holds.
    pub(crate) fn run_until(
        &mut self,
        mut condition: impl FnMut(&SimCluster) -> bool,
        max: Duration,
    ) -> bool {
        let end = self.c.now() + max;
        while self.c.now() < end {
            if condition(&self.c) {
                return true;
            }
            self.run_for(MS);
        }
        false
    }

    /// Cuts two nodes off from each other.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.block(a, b);
        self.block(b, a);
    }

    /// Nothing gets from one node to the other.
    pub(crate) fn block(&mut self, from: usize, to: usize) {
        let (from, to) = (self.c.machine(from), self.c.machine(to));
        self.c.world().network().block(from, to);
    }

    /// Cuts a node off from all other nodes; its clients still reach it.
    pub(crate) fn isolate(&mut self, n: usize) {
        for other in self.c.numbers().filter(|other| *other != n) {
            self.cut(n, other);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.c.world().network().heal();
    }

    /// Whether some node leads that a majority has heard lately.
    pub(crate) fn has_leader(&self) -> bool {
        let heard = |n| self.c.view(n).and_then(|v| v.quorum_ms).is_some_and(|ms| ms < 500);
        self.c.leader().is_some_and(heard)
    }

    /// Takes what `nodes`, which are whole again, show, and judges everything.
    pub(crate) fn judge(mut self, nodes: &[usize]) -> Vec<Violation> {
        self.stop_habits();
        let mut violations = Vec::new();
        match self.read_all(nodes) {
            Ok(last) => {
                let now = self.c.now();
                self.tell_story();
                violations.extend(History { calls: std::mem::take(&mut self.calls), last, now }.check());
            }
            Err(what) => violations.push(Violation { promise: Promise::Heals, what }),
        }
        self.c.look();
        self.c.look_at_contents();
        violations.extend(self.c.violations().iter().cloned());
        violations
    }

    /// Prints what clients did if QUORATE_SIM_CALLS asks for it.
    #[allow(clippy::print_stderr, reason = "for whoever reads a failure")]
    fn tell_story(&self) {
        if std::env::var_os("QUORATE_SIM_CALLS").is_some() {
            self.calls.iter().for_each(|call| eprintln!("{call:?}"));
        }
    }

    fn read_all(&mut self, nodes: &[usize]) -> Result<Vec<Seen>, String> {
        let end = self.c.now() + HEALING;
        let mut keys: Vec<String> = self.calls.iter().map(|call| call.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut last = Vec::new();
        // What was on its way is answered, or given up.
        self.run_for(3 * SECOND / 2);
        for node in nodes {
            let mut client = self.c.connect(*node);
            for key in &keys {
                let value = loop {
                    let reply = self.c.call(&mut client, &[b"GET", key.as_bytes()], SECOND);
                    match reply {
                        Ok(reply) if reply.as_error().is_none() => break number(&reply),
                        _ if self.c.now() > end => {
                            return Err(format!(
                                "node {node} does not answer: {reply:?}{}",
                                self.c.describe()
                            ));
                        }
                        Ok(_) => self.c.run_for(20 * MS),
                        Err(_) => {
                            self.c.run_for(20 * MS);
                            client = self.c.connect(*node);
                        }
                    }
                };
                last.push(Seen { node: *node, key: key.clone(), value });
            }
        }
        self.take_replies();
        Ok(last)
    }
}
