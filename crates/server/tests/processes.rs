//! The program as its users run it: real processes, real ports, real signals.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "runs the program from outside, as a user does"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use quorate_resp::{Value, ValueDecoder, ValueLimits, encode_command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate");
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        send(self.0.id(), signal);
    }

    /// Waits for its end: the exit code.
    fn end(&mut self) -> Option<i32> {
        eventually("the process ends", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `quorate dev` on a folder, ready; and what its cluster.json says.
fn dev(dir: &Path, args: &[&str]) -> (Running, Json) {
    let folder = dir.to_str().unwrap();
    let mut dev = Running::start(QUORATE, &[&["dev", "--data-dir", folder], args].concat());
    let file = dir.join("cluster.json");
    let cluster = eventually("the cluster comes up", || {
        assert_eq!(dev.0.try_wait().unwrap(), None, "quorate dev ended");
        std::fs::read(&file).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    });
    (dev, cluster)
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a node answers, if it does.
fn ask(addr: &str, args: &[&str]) -> Option<Value> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = Vec::new();
    encode_command(&mut request, args);
    stream.write_all(&request).ok()?;
    let mut decoder = ValueDecoder::new(ValueLimits::default());
    let mut chunk = [0; 4096];
    loop {
        if let Some(reply) = decoder.next().unwrap() {
            return Some(reply);
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            count => decoder.feed(&chunk[..count]),
        }
    }
}

/// The value that a node has for a key; an error is its text.
fn get(addr: &str, key: &str) -> Option<String> {
    let reply = ask(addr, &["GET", key])?;
    reply.as_str().or(reply.as_error()).map(str::to_owned)
}

fn status(addr: &str) -> Output {
    Command::new(QUORATE).args(["status", "--json", "--addr", addr]).output().unwrap()
}

/// The number of the leader, once a node knows one that answers.
fn leader(addr: &str) -> u64 {
    eventually("there is a leader", || {
        let output = status(addr);
        let report: Json = serde_json::from_slice(&output.stdout).ok()?;
        assert_eq!(output.status.success(), report["leader"].is_u64());
        report["leader"].as_u64()
    })
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

fn addr(cluster: &Json, id: u64) -> &str {
    text(&node(cluster, id)["addr"])
}

fn pid(cluster: &Json, id: u64) -> u32 {
    node(cluster, id)["pid"].as_u64().unwrap().try_into().unwrap()
}

fn node(cluster: &Json, id: u64) -> &Json {
    cluster["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap()
}

/// no-lost-ack, fast-failover: the tour that users take.
#[test]
fn the_demo_loses_nothing() {
    let output = Command::new(QUORATE).arg("demo").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "the leader, is killed",
        "caught up",
        "all nodes hold the same",
        "Nothing that was acknowledged is lost",
    ] {
        assert!(told.contains(line), "{line:?} is missing:\n{told}");
    }
}

#[test]
fn a_dead_node_stays_dead_until_its_command_line_runs_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut dev, cluster) = dev(dir.path(), &["--port", "17010"]);
    assert_eq!(cluster["nodes"].as_array().unwrap().len(), 3);
    assert_eq!((addr(&cluster, 2), text(&node(&cluster, 2)["http"])), ("127.0.0.1:17011", "127.0.0.1:20011"));
    assert_eq!(ask(addr(&cluster, 1), &["SET", "key", "before"]), Some(Value::Simple("OK".into())));

    let killed = leader(addr(&cluster, 1));
    send(pid(&cluster, killed), Signal::KILL);
    let survivor = addr(&cluster, if killed == 1 { 2 } else { 1 });
    assert_ne!(leader(survivor), killed);
    assert_eq!(get(survivor, "key").as_deref(), Some("before"));
    assert_eq!(ask(survivor, &["SET", "key", "after"]), Some(Value::Simple("OK".into())));
    assert_eq!(ask(addr(&cluster, killed), &["PING"]), None, "nobody asked for it to come back");

    let argv: Vec<&str> = node(&cluster, killed)["argv"].as_array().unwrap().iter().map(text).collect();
    let _again = Running::start(argv[0], &argv[1..]);
    eventually("the node has caught up", || {
        get(addr(&cluster, killed), "key").filter(|value| value == "after")
    });

    dev.signal(Signal::TERM);
    assert_eq!(dev.end(), Some(0));
}

#[test]
fn the_same_folder_brings_the_same_cluster_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, cluster) = dev(dir.path(), &["--port", "17020"]);
    assert_eq!(ask(addr(&cluster, 3), &["SET", "key", "kept"]), Some(Value::Simple("OK".into())));

    // While it runs, a second one is refused and disturbs nothing.
    let folder = dir.path().to_str().unwrap();
    let second = Command::new(QUORATE).args(["dev", "--data-dir", folder]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("17020"), "{second:?}");
    assert!(dir.path().join("cluster.json").exists());

    first.signal(Signal::INT);
    assert_eq!(first.end(), Some(0));
    assert!(!dir.path().join("cluster.json").exists(), "whoever waits for it would find dead nodes");
    let (mut again, cluster) = dev(dir.path(), &[]);
    assert_eq!(addr(&cluster, 1), "127.0.0.1:17020");
    assert_eq!(ask(addr(&cluster, 2), &["GET", "key"]), Some(Value::Bulk("kept".into())));
    again.signal(Signal::TERM);
    assert_eq!(again.end(), Some(0));
}

#[test]
fn nodes_never_outlive_dev() {
    let dir = tempfile::tempdir().unwrap();
    let (mut dev, cluster) = dev(dir.path(), &["--port", "17030"]);
    dev.signal(Signal::KILL);
    dev.end();
    for id in 1..=3 {
        eventually("the node is gone", || TcpStream::connect(addr(&cluster, id)).is_err().then_some(()));
    }
}

#[test]
fn with_restart_a_dead_node_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (_dev, cluster) = dev(dir.path(), &["--port", "17040", "--nodes", "1", "--restart"]);
    assert_eq!(ask(addr(&cluster, 1), &["SET", "key", "kept"]), Some(Value::Simple("OK".into())));
    send(pid(&cluster, 1), Signal::KILL);
    let value = eventually("the node is back", || get(addr(&cluster, 1), "key"));
    assert_eq!(value, "kept");
    let file = std::fs::read(dir.path().join("cluster.json")).unwrap();
    let now: Json = serde_json::from_slice(&file).unwrap();
    assert_ne!(pid(&now, 1), pid(&cluster, 1));
}

#[test]
fn one_node_serves_alone_and_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["server", "--listen", "127.0.0.1:17050", "--data-dir", data.to_str().unwrap()];
    let mut server = Running::start(QUORATE, &args);
    let pong = eventually("the node serves", || ask("127.0.0.1:17050", &["PING"]));
    assert_eq!(pong, Value::Simple("PONG".into()));
    assert_eq!(leader("127.0.0.1:17050"), 1);

    let mut http = TcpStream::connect("127.0.0.1:20050").unwrap();
    http.write_all(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // Another one on the same port is told what to change.
    let other = dir.path().join("other");
    let args = ["server", "--listen", "127.0.0.1:17050", "--data-dir", other.to_str().unwrap()];
    let refused = Command::new(QUORATE).args(args).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("127.0.0.1:17050") && told.contains("--listen"), "{told}");

    server.signal(Signal::TERM);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn status_without_a_node_fails() {
    let output = status("127.0.0.1:17060");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:17060"), "{output:?}");
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for args in [&["serve"][..], &["server", "--role", "witness"], &["dev", "--nodes", "0"]] {
        let output = Command::new(QUORATE).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = Command::new(QUORATE).args(["dev", "--shards", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
