//! Redis with Sentinel, for comparison: a primary and replicas, and beside each of them a sentinel. A machine is both: what
//! kills, stops or cuts off one does so to the other.
//!
//! Persistence is on (AOF with everysec), so that a killed process loses nothing by itself. Clients ask any sentinel for
//! the primary, as Redis's documentation asks them to.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: it runs processes"
)]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_env::Instant;
use rustix::process::{Pid, Signal, kill_process};

use super::proxy::{Callers, Door, Network};
use super::target::{Machines, PRIMARY, Route, primary};
use crate::client::Client;
use crate::local_cluster::free_ports;
use crate::shutdown::{Interrupted, StopFlag};

const PROGRAM: &str = "redis-server";
const START_TIME: Duration = Duration::from_secs(30);
const ANSWER_TIME: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);
/// How soon sentinels take a silent primary for dead, milliseconds: much sooner than their default, 30 s.
const DOWN_AFTER_MS: u64 = 1000;
/// How long a failover may take until the next one is tried, milliseconds.
const FAILOVER_MS: u64 = 5000;

/// The processes. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Redis {
    machines: Vec<Machine>,
    lookup: Lookup,
}

/// A Redis server and a sentinel.
#[derive(Debug)]
struct Machine {
    dir: PathBuf,
    processes: [Option<Child>; 2],
}

const FILES: [&str; 2] = ["redis.conf", "sentinel.conf"];

/// Where sentinels and servers are.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    sentinels: Vec<String>,
    /// Where clients and others look for each server.
    servers: Vec<String>,
}

/// The ports of `nodes` machines.
#[derive(Debug, Clone, Copy)]
struct Ports {
    first: u16,
    nodes: u16,
}

impl Ports {
    /// The port of machine `id` (from 1 on) of one of four kinds: server, sentinel, and where the network has them.
    fn at(self, kind: u16, id: u16) -> u16 {
        self.first + kind * self.nodes + id - 1
    }

    fn server(self, id: u16) -> u16 {
        self.at(0, id)
    }

    fn sentinel(self, id: u16) -> u16 {
        self.at(1, id)
    }

    fn announced_server(self, id: u16) -> u16 {
        self.at(2, id)
    }

    fn announced_sentinel(self, id: u16) -> u16 {
        self.at(3, id)
    }
}

fn addr(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Redis {
    /// Starts everything and waits until the sentinels know all of it.
    pub(super) fn start(dir: &Path, nodes: u16, stop: &StopFlag) -> anyhow::Result<(Self, Network)> {
        ensure!(nodes >= 3, "--target redis-sentinel needs at least 3 nodes: sentinels decide by majority");
        let there = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status();
        there.with_context(|| format!("--target redis-sentinel needs the program {PROGRAM} on the PATH"))?;
        let ports = Ports { first: free_ports(nodes * 4)?, nodes };
        let doors = (1..=nodes).flat_map(|id| {
            [
                (ports.announced_server(id), ports.server(id)),
                (ports.announced_sentinel(id), ports.sentinel(id)),
            ]
            .map(|(listen, upstream)| Door {
                node: id.into(),
                listen: addr(listen),
                upstream: addr(upstream),
            })
        });
        let network = Network::start(doors.collect(), Callers::Address)?;
        let lookup = Lookup {
            sentinels: (1..=nodes).map(|id| addr(ports.sentinel(id))).collect(),
            servers: (1..=nodes).map(|id| addr(ports.announced_server(id))).collect(),
        };
        let machines =
            (1..=nodes).map(|id| Machine::new(dir, ports, id)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut redis = Self { machines, lookup };
        for machine in &mut redis.machines {
            machine.start()?;
        }
        let deadline = Instant::now() + START_TIME;
        while let Some(problem) = redis.lookup.why_not_whole() {
            ensure!(!stop.is_set(), Interrupted);
            ensure!(Instant::now() < deadline, "Redis is not ready in time: {problem}");
            thread::sleep(POLL);
        }
        Ok((redis, network))
    }

    /// What runs, for people.
    pub(super) fn describe(&self) -> String {
        format!("a Redis primary, {} replicas", self.machines.len() - 1)
    }

    /// The way of clients.
    pub(super) fn route(&self) -> Route {
        Route::Sentinels(self.lookup.sentinels.clone())
    }

    /// Who is the primary, and whether all is well.
    pub(super) fn lookup(&self) -> Lookup {
        self.lookup.clone()
    }

    fn machine(&mut self, id: u64) -> anyhow::Result<&mut Machine> {
        let at = usize::try_from(id)?.checked_sub(1).context("machines are numbered from 1 on")?;
        self.machines.get_mut(at).with_context(|| format!("there is no machine {id}"))
    }
}

impl Lookup {
    /// The number of the machine with the primary, as most sentinels that answer know it.
    pub(super) fn primary(&self) -> Option<u64> {
        let mut votes = vec![0; self.servers.len()];
        for addr in self.sentinels.iter().filter_map(|sentinel| primary(sentinel)) {
            if let Some(at) = self.servers.iter().position(|server| *server == addr) {
                votes[at] += 1;
            }
        }
        let (at, count) = votes.iter().enumerate().max_by_key(|(_, count)| **count)?;
        (*count > 0).then_some(at as u64 + 1)
    }

    /// What misses until every sentinel knows the same primary, and it takes writes.
    pub(super) fn why_not_working(&self) -> Option<String> {
        self.agreed().err()
    }

    /// The same, and the primary has all of its replicas.
    fn why_not_whole(&self) -> Option<String> {
        let mut client = match self.agreed() {
            Ok(client) => client,
            Err(problem) => return Some(problem),
        };
        let info = client.expect(&["INFO", "replication"]);
        let replicas = info.map(|info| info.as_str().unwrap_or_default().matches("state=online").count());
        match replicas {
            Ok(count) if count + 1 == self.servers.len() => None,
            Ok(count) => Some(format!("the primary has {count} of {} replicas", self.servers.len() - 1)),
            Err(error) => Some(format!("the primary does not answer: {error}")),
        }
    }

    /// A connection to the primary that every sentinel knows and that takes writes; or what misses for that.
    fn agreed(&self) -> Result<Client, String> {
        let known: Vec<Option<String>> = self.sentinels.iter().map(|sentinel| primary(sentinel)).collect();
        let Some(Some(addr)) = known.first().cloned() else {
            return Err("a sentinel does not answer".into());
        };
        if known.iter().any(|other| other.as_ref() != Some(&addr)) {
            return Err("the sentinels know different primaries".into());
        }
        let client = Client::connect(&addr, None, ANSWER_TIME).and_then(|mut client| {
            client.expect(&["SET", "torture:works", "1"])?;
            Ok(client)
        });
        client.map_err(|error| format!("the primary takes no writes: {error}"))
    }
}

impl Machine {
    fn new(dir: &Path, ports: Ports, id: u16) -> anyhow::Result<Self> {
        let dir = dir.join(format!("node-{id}"));
        fs::create_dir_all(&dir)?;
        let folder = dir.to_str().context("the folder is not UTF-8")?.to_owned();
        let primary = ports.announced_server(1);
        let mut server = format!(
            "port {}\nbind 127.0.0.1\nbind-source-addr 127.0.1.{id}\nprotected-mode no\ndir \"{folder}\"\n\
             appendonly yes\nsave \"\"\nreplica-announce-ip 127.0.0.1\nreplica-announce-port {}\nrepl-timeout 5\n\
             repl-ping-replica-period 1\nrepl-diskless-sync-delay 0\n",
            ports.server(id),
            ports.announced_server(id)
        );
        if id > 1 {
            server += &format!("replicaof 127.0.0.1 {primary}\n");
        }
        let sentinel = format!(
            "port {}\nbind 127.0.0.1\nbind-source-addr 127.0.1.{id}\nprotected-mode no\ndir \"{folder}\"\n\
             sentinel announce-ip 127.0.0.1\nsentinel announce-port {}\n\
             sentinel monitor {PRIMARY} 127.0.0.1 {primary} {}\n\
             sentinel down-after-milliseconds {PRIMARY} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {PRIMARY} {FAILOVER_MS}\n",
            ports.sentinel(id),
            ports.announced_sentinel(id),
            ports.nodes / 2 + 1
        );
        for (file, text) in FILES.iter().zip([server, sentinel]) {
            fs::write(dir.join(file), text)?;
        }
        Ok(Self { dir, processes: [None, None] })
    }

    fn start(&mut self) -> anyhow::Result<()> {
        for (at, file) in FILES.iter().enumerate() {
            let log =
                File::options().append(true).create(true).open(self.dir.join(file).with_extension("log"))?;
            let mut command = Command::new(PROGRAM);
            command.arg(self.dir.join(file)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            if at == 1 {
                command.arg("--sentinel");
            }
            command.process_group(0);
            self.processes[at] = Some(command.spawn().with_context(|| format!("starting {PROGRAM}"))?);
        }
        Ok(())
    }

    fn kill(&mut self) {
        for mut child in self.processes.iter_mut().filter_map(Option::take) {
            // Both fail only if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        for child in self.processes.iter().flatten() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Whether a process that ran has ended; then both count as down.
    fn ended(&mut self) -> Option<String> {
        let has_ended = |child: &mut Option<Child>| child.as_mut()?.try_wait().ok().flatten();
        let ended: Vec<_> = self.processes.iter_mut().map(has_ended).collect();
        // After SIGTERM both are waited for.
        let running = self.processes.iter().flatten().count();
        let statuses: Vec<_> = ended.into_iter().flatten().collect();
        if running == 0 || statuses.len() < running {
            return None;
        }
        self.processes = [None, None];
        statuses.first().map(ToString::to_string)
    }
}

impl Machines for Redis {
    fn count(&self) -> u64 {
        self.machines.len() as u64
    }

    fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        self.machine(id)?.kill();
        Ok(())
    }

    fn signal(&mut self, id: u64, signal: Signal) -> anyhow::Result<()> {
        self.machine(id)?.signal(signal)
    }

    fn start(&mut self, id: u64) -> anyhow::Result<()> {
        self.machine(id)?.start()
    }

    fn runs(&self, id: u64) -> bool {
        let machine = usize::try_from(id).ok().and_then(|id| self.machines.get(id.checked_sub(1)?));
        machine.is_some_and(|machine| machine.processes.iter().any(Option::is_some))
    }

    fn ended(&mut self) -> Vec<(u64, String)> {
        (1..).zip(&mut self.machines).filter_map(|(id, machine)| Some((id, machine.ended()?))).collect()
    }

    fn transfer(&mut self, _: u64, _: Option<u64>) -> anyhow::Result<()> {
        let sentinel = self.lookup.sentinels.first().context("no sentinels")?;
        let mut client = Client::connect(sentinel, None, ANSWER_TIME)?;
        client.expect(&["SENTINEL", "FAILOVER", PRIMARY])?;
        Ok(())
    }

    fn works(&self, _: u64) -> bool {
        self.lookup().why_not_working().is_none()
    }

    /// Sentinels have no command for it.
    fn remove(&mut self, _: u64) -> bool {
        false
    }

    fn begin_anew(&mut self, _: u64) -> anyhow::Result<String> {
        bail!("only a node of Quorate is replaced")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            machine.kill();
        }
    }
}
