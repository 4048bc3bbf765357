//! Leases on real processes (R3): a voter that restarts has forgotten its promise to the leader, and votes for nobody until
//! that is over. So a leader that answers reads under its lease answers nothing that is out of date.
//!
//! Each round is the same race, through a network that can be cut. Elections take seconds, so that a busy machine does not
//! decide it.
//!
//! ```text
//!   time / TERM   0                 1.4               2                2.3          2.5               3
//!   leader        loses the third   loses the voter                    lease ends
//!   voter                           killed, started                                 may vote again
//!   third         hears nobody                        asks for votes                                  asks again
//! ```
//!
//! With the guard, nobody else leads before 2.5, when the lease is over. Without it (the bug `VoteAfterRestart`, which
//! builds of the whole workspace can plant) the third node does from 2 on: it takes a write while the old leader still
//! answers reads.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "runs the program from outside, as a user does, and tells what it left out"
)]

#[allow(dead_code, reason = "the proxy of `quorate torture`, which needs more of it")]
#[path = "../src/torture/proxy.rs"]
mod proxy;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorate_resp::{Value, ValueDecoder, ValueLimits, encode_command};

use proxy::{Callers, Door, Network, Way};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate");
/// Where builds that have planted bugs look for the one to plant.
const PLANT: &str = "QUORATE_PLANT_BUG";
const GUARD: &str = "VoteAfterRestart";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest election timeout, for which a voter keeps its promise. The shortest is a little shorter, so that it is known
/// when a node asks for votes.
const TERM: Duration = Duration::from_secs(5);
const PARAMETERS: [&str; 6] = [
    "election-timeout-max=5000",
    "election-timeout-min=4900",
    "heartbeat-interval=100",
    "clock-drift=0.05",
    // Longer than a round: a write waits for the next leader.
    "write-timeout=30000",
    // A program that is not optimised starts slowly with a large one.
    "segment-size=1mb",
];
/// When the leader loses the voter, after it has lost the third node.
const LOSES_VOTER: f64 = 1.4;
/// When the third node has asked for votes while the lease lasts, with some time to be elected. From then on the leader's
/// answers count.
const HAS_ASKED: f64 = 2.1;
/// How long the voter is silent after its start: 1 + the drift.
const SILENCE: f64 = 1.05;

const NODES: std::ops::RangeInclusive<u64> = 1..=3;
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// A time of a round.
fn at(share: f64) -> Duration {
    TERM.mul_f64(share)
}

/// A connection of a client.
struct Line {
    stream: TcpStream,
    decoder: ValueDecoder,
}

impl Line {
    fn open(addr: &str) -> Option<Self> {
        let stream = TcpStream::connect(addr).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Some(Self { stream, decoder: ValueDecoder::new(ValueLimits::default()) })
    }

    /// Sends a command and waits for the reply for as long as `patient` says so.
    fn call(&mut self, args: &[&str], patient: impl Fn() -> bool) -> Option<Value> {
        let mut request = Vec::new();
        encode_command(&mut request, args);
        self.stream.write_all(&request).ok()?;
        let mut chunk = [0; 4096];
        loop {
            if let Some(reply) = self.decoder.next().unwrap() {
                return Some(reply);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.decoder.feed(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if !patient() {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }
}

/// What a node answers to a command, if it does.
fn ask(addr: &str, args: &[&str]) -> Option<Value> {
    let begin = Instant::now();
    Line::open(addr)?.call(args, || begin.elapsed() < PATIENCE)
}

/// Asks until a node answers that.
fn answers(addr: &str, args: &[&str], wanted: &Value) {
    eventually(&format!("{addr} answers {wanted:?} to {args:?}"), || {
        ask(addr, args).filter(|reply| reply == wanted)
    });
}

/// A field of what QUORATE answers: names, each with its value behind it.
fn field<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
    reply.as_array()?.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name)).map(|pair| &pair[1])
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a node's process, with or without a planted bug.
fn spawn(args: &[String], log: &Path, bug: Option<&str>) -> Child {
    let log = File::options().append(true).create(true).open(log).unwrap();
    let mut command = Command::new(QUORATE);
    command.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).env_remove(PLANT);
    if let Some(bug) = bug {
        command.env(PLANT, bug);
    }
    command.spawn().unwrap()
}

/// Three nodes, and a network between them that can be cut. What still runs at the end is killed.
struct Cluster {
    dir: tempfile::TempDir,
    port: u16,
    bug: Option<&'static str>,
    network: Network,
    nodes: Vec<Child>,
}

impl Cluster {
    /// Of three voters. It takes ports from `port` on.
    fn start(port: u16, bug: Option<&'static str>) -> Self {
        let door = |node: u64| Door {
            node,
            listen: format!("127.0.0.1:{}", port + 10_010 + node as u16),
            upstream: format!("127.0.0.1:{}", port + 10_000 + node as u16),
        };
        let network = Network::start(NODES.map(door).collect(), Callers::Greeting).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { dir, port, bug, network, nodes: Vec::new() };
        for id in NODES {
            let node = cluster.spawn(id);
            cluster.nodes.push(node);
            eventually("the node serves", || ask(&cluster.addr(id), &["PING"]));
        }
        eventually("all of them vote", || cluster.voters().filter(|voters| *voters == 3));
        cluster
    }

    fn addr(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.port + id as u16)
    }

    fn log(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}.log"))
    }

    fn spawn(&self, id: u64) -> Child {
        let host = |port: u64| format!("127.0.0.1:{port}");
        let port = u64::from(self.port);
        let folder = self.dir.path().join(format!("node-{id}"));
        let mut args = vec![
            "server".to_owned(),
            format!("--listen={}", self.addr(id)),
            format!("--data-dir={}", folder.display()),
            format!("--node-id={id}"),
            // Where the others find it: behind the proxy.
            format!("--announce={}", host(port + 10 + id)),
            format!("--http-listen={}", host(port + 3_000 + id)),
        ];
        args.extend(PARAMETERS.map(|pair| format!("--set={pair}")));
        if id > 1 {
            args.push(format!("--join={}", self.addr(1)));
            let secret = self.dir.path().join("node-1").join("cluster-secret");
            args.push(format!("--cluster-secret-file={}", secret.display()));
        }
        spawn(&args, &self.log(id), self.bug)
    }

    /// SIGKILL, and the same again.
    fn restart(&mut self, id: u64) {
        let at = id as usize - 1;
        self.nodes[at].kill().unwrap();
        self.nodes[at].wait().unwrap();
        self.nodes[at] = self.spawn(id);
    }

    fn voters(&self) -> Option<usize> {
        let members = ask(&self.addr(1), &["QUORATE", "NODE", "LIST"])?;
        let votes = |member: &&Value| {
            matches!(field(member, "role").and_then(Value::as_str), Some("leader" | "follower"))
        };
        Some(members.as_array()?.iter().filter(votes).count())
    }

    /// The leader, once every node knows the same.
    fn leader(&self) -> u64 {
        eventually("all nodes know the same leader", || {
            let states: Vec<Value> =
                NODES.map(|id| ask(&self.addr(id), &["QUORATE", "STATUS"])).collect::<Option<_>>()?;
            let known = |state| Some((field(state, "term")?, field(state, "leader")?));
            let first = known(&states[0])?;
            let Value::Int(leader) = first.1 else { return None };
            let id = u64::try_from(*leader).ok().filter(|id| NODES.contains(id));
            id.filter(|_| states.iter().all(|state| known(state) == Some(first)))
        })
    }

    fn cut(&self, one: u64, other: u64) {
        self.network.cut(&[(one, other), (other, one)]);
    }

    fn heal(&self) {
        let ways: Vec<Way> = NODES.flat_map(|from| NODES.map(move |to| (from, to))).collect();
        self.network.heal(&ways, true);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        if thread::panicking() {
            for id in NODES {
                let log = std::fs::read_to_string(self.log(id)).unwrap_or_default();
                eprintln!("node {id} reported:\n{log}");
            }
        }
    }
}

/// A read that was answered.
#[derive(Debug)]
struct Seen {
    begin: Duration,
    end: Duration,
    value: Value,
}

/// What happened in a round; all times are since the leader lost the third node.
#[derive(Debug)]
struct Round {
    /// The voter's new process.
    started: Duration,
    /// The new leader's acknowledgement of the write.
    written: Duration,
    /// What the old leader answered.
    reads: Vec<Seen>,
}

impl Round {
    /// Reads that began when the write had been acknowledged, and did not show it.
    fn stale(&self) -> Vec<&Seen> {
        let old = |seen: &&Seen| seen.begin > self.written && seen.value == Value::Bulk(BEFORE.into());
        self.reads.iter().filter(old).collect()
    }

    /// Whether the old leader still answered when the third node had asked for votes: then an election could have
    /// made its answers wrong.
    fn counts(&self) -> bool {
        self.reads.iter().any(|seen| seen.end > at(HAS_ASKED) && matches!(seen.value, Value::Bulk(_)))
    }
}

/// The race; see the module.
fn race(cluster: &mut Cluster) -> Round {
    let leader = cluster.leader();
    let others: Vec<u64> = NODES.filter(|id| *id != leader).collect();
    let (voter, third) = (others[0], others[1]);
    answers(&cluster.addr(leader), &["SET", "key", BEFORE], &Value::Simple("OK".into()));
    for id in others {
        // It has the entry: else it could not win an election.
        answers(&cluster.addr(id), &["GET", "key"], &Value::Bulk(BEFORE.into()));
    }

    let begin = Instant::now();
    cluster.cut(leader, third);
    let (old, next) = (cluster.addr(leader), cluster.addr(third));
    let ended = AtomicBool::new(false);
    let round = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&old, begin, &ended));
        sleep_until(begin + at(LOSES_VOTER));
        cluster.cut(leader, voter);
        let started = begin.elapsed();
        cluster.restart(voter);
        // It waits for whoever leads next.
        answers(&next, &["SET", "key", AFTER], &Value::Simple("OK".into()));
        let written = begin.elapsed();
        sleep_until(begin + at(LOSES_VOTER + 1.2).max(written + at(0.2)));
        ended.store(true, Ordering::Relaxed);
        Round { started, written, reads: reader.join().unwrap() }
    });
    cluster.heal();
    round
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}

/// Reads the key again and again on one connection.
fn read(addr: &str, since: Instant, ended: &AtomicBool) -> Vec<Seen> {
    let mut line = Line::open(addr).unwrap();
    let mut reads = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let begin = since.elapsed();
        let reply = line.call(&["GET", "key"], || !ended.load(Ordering::Relaxed));
        reads.extend(reply.map(|value| Seen { begin, end: since.elapsed(), value }));
        thread::sleep(Duration::from_millis(5));
    }
    reads
}

#[test]
fn a_voter_that_restarts_within_the_lease_makes_no_read_stale() {
    let mut cluster = Cluster::start(17_100, None);
    let mut counted = 0;
    for _ in 0..4 {
        let round = race(&mut cluster);
        let stale = round.stale();
        assert!(stale.is_empty(), "written at {:?}, and then: {stale:?}", round.written);
        let silence = round.written - round.started;
        assert!(silence >= at(SILENCE), "the voter had voted before {silence:?} after its start");
        counted += usize::from(round.counts());
        if counted == 2 {
            return;
        }
    }
    panic!("the leader's answers ended before the third node asked for votes, in two rounds at least");
}

/// The race above is one that a node without the guard loses.
#[test]
fn without_its_guard_it_does() {
    if !quorate_planted::BY_ENVIRONMENT {
        eprintln!(
            "LEFT OUT: no bug can be planted in this build of the program, so nothing shows that the race can be \
             lost. `cargo nextest run --workspace` builds one that can."
        );
        let required = std::env::var_os("QUORATE_TEST_PLANTS").is_some();
        assert!(!required, "QUORATE_TEST_PLANTS asks for what this build has not");
        return;
    }
    let mut cluster = Cluster::start(17_140, Some(GUARD));
    let told = std::fs::read_to_string(cluster.log(1)).unwrap();
    assert!(told.contains("BREAKS ITS PROMISES") && told.contains(GUARD), "{told}");
    for _ in 0..5 {
        if !race(&mut cluster).stale().is_empty() {
            return;
        }
    }
    panic!("no stale read: this test would not notice it if the guard were gone");
}

/// A name that is none ends a node that could plant it. Others do not even look.
#[test]
fn only_builds_for_tests_look_for_a_bug_to_plant() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args =
        ["server", "--listen", "127.0.0.1:17180", "--data-dir", data.to_str().unwrap()].map(str::to_owned);
    let log = dir.path().join("log");
    let mut node = spawn(&args, &log, Some("Nonsense"));
    if quorate_planted::BY_ENVIRONMENT {
        let end = eventually("the node ends", || node.try_wait().unwrap());
        assert_eq!(end.code(), Some(1));
        let told = std::fs::read_to_string(log).unwrap();
        assert!(told.contains("Nonsense") && told.contains(GUARD), "{told}");
    } else {
        eventually("the node serves", || ask("127.0.0.1:17180", &["PING"]));
        node.kill().unwrap();
        node.wait().unwrap();
    }
}
