//! `quorate dev`: a local cluster of real processes, in the foreground.
#![allow(
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: its folder and its waits are real"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use quorate_env::Instant;

use crate::cli;
use crate::cluster_file::{self, ClusterFile};
use crate::local_cluster::{LocalCluster, LocalNode, Plan};
use crate::shutdown::{StopFlag, stop_flag};

const NODES: u16 = 3;
const PORT: u16 = 7001;
/// How long the cluster may take to come up.
const START_TIME: Duration = Duration::from_secs(60);
/// How often the nodes are looked after.
const POLL: Duration = Duration::from_millis(100);
/// How long `--restart` waits at first, and at most if a node dies again and again.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Runs the cluster until a signal stops it.
pub(crate) fn run(command: &cli::Dev) -> anyhow::Result<ExitCode> {
    ensure!(
        command.shards == 1,
        "--shards {}: more than one shard is not implemented yet; leave it out or give 1",
        command.shards
    );
    let stop = stop_flag()?;
    let plan = plan(command)?;
    let mut cluster = LocalCluster::new(&plan)?;
    // Before anything is changed: the same cluster may run already.
    cluster.check_ports()?;
    cluster_file::retire(&plan.dir)?;
    say(&format!("starting {} in {}", count(plan.nodes), plan.dir.display()))?;
    if let Err(error) = cluster.start(START_TIME, &stop) {
        cluster.stop();
        if stop.is_set() {
            return Ok(ExitCode::SUCCESS);
        }
        return Err(error);
    }
    cluster_file::write(&plan.dir, &cluster.describe())?;
    say(&table(&cluster))?;
    let watched = watch(&mut cluster, &plan.dir, command.restart, &stop);
    say("stopping")?;
    cluster_file::retire(&plan.dir)?;
    match cluster.stop() {
        0 => say("all nodes have stopped; the same command brings the cluster back with its data")?,
        stubborn => {
            say(&format!("{stubborn} did not stop in time and had to be killed (nothing is lost by that)"))?
        }
    }
    watched.map(|()| ExitCode::SUCCESS)
}

/// What to run: what the command line says, or what the folder held the last time.
fn plan(command: &cli::Dev) -> anyhow::Result<Plan> {
    let dir = std::path::absolute(&command.data_dir)
        .with_context(|| format!("the folder {}", command.data_dir.display()))?;
    fs::create_dir_all(&dir).with_context(|| format!("the folder {}", dir.display()))?;
    let (nodes, port) = match cluster_file::read(&dir)? {
        Some(last) => again(command, &last)?,
        None => (command.nodes.unwrap_or(NODES), command.port.unwrap_or(PORT)),
    };
    Ok(Plan {
        dir,
        nodes,
        port,
        sets: command.set.clone(),
        announced: None,
        places: Vec::new(),
        own_disks: false,
    })
}

/// The same cluster again, perhaps with more nodes.
fn again(command: &cli::Dev, last: &ClusterFile) -> anyhow::Result<(u16, u16)> {
    let nodes = u16::try_from(last.nodes.len())?;
    let port = last
        .nodes
        .first()
        .and_then(|node| node.addr.rsplit_once(':')?.1.parse().ok())
        .context("cluster.json names no node")?;
    let dir = command.data_dir.display();
    ensure!(
        command.port.is_none_or(|wanted| wanted == port),
        "{dir} holds a cluster on port {port}: leave --port out, or give another --data-dir"
    );
    ensure!(
        command.nodes.is_none_or(|wanted| wanted >= nodes),
        "{dir} holds a cluster of {}: leave --nodes out, or give another --data-dir",
        count(nodes)
    );
    Ok((command.nodes.unwrap_or(nodes), port))
}

/// Reports nodes that die, and starts them again if asked to, until a signal comes.
fn watch(cluster: &mut LocalCluster, dir: &Path, restart: bool, stop: &StopFlag) -> anyhow::Result<()> {
    let mut restarts = Restarts::default();
    while !stop.is_set() {
        for (id, status) in cluster.ended() {
            if stop.is_set() {
                break;
            }
            let pause = restart.then(|| restarts.plan(id));
            say(&obituary(cluster, id, status, pause))?;
        }
        for id in restarts.due() {
            cluster.restart(id)?;
            cluster_file::write(dir, &cluster.describe())?;
            say(&format!("node {id} runs again"))?;
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// When dead nodes are to be started again: later each time that one dies soon.
#[derive(Default)]
struct Restarts {
    due: BTreeMap<u64, Instant>,
    /// Per node, the last pause and when it ended.
    last: BTreeMap<u64, (Duration, Instant)>,
}

impl Restarts {
    fn plan(&mut self, id: u64) -> Duration {
        let (shortest, longest) = RESTART_PAUSE;
        let pause = match self.last.get(&id) {
            Some((pause, end)) if end.elapsed() < longest => (*pause * 2).min(longest),
            _ => shortest,
        };
        let at = Instant::now() + pause;
        self.due.insert(id, at);
        self.last.insert(id, (pause, at));
        pause
    }

    fn due(&mut self) -> Vec<u64> {
        let now = Instant::now();
        let due = self.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        self.due.retain(|_, at| *at > now);
        due
    }
}

fn obituary(cluster: &LocalCluster, id: u64, status: ExitStatus, pause: Option<Duration>) -> String {
    let Some(node) = cluster.nodes().iter().find(|node| node.id == id) else { return String::new() };
    let next = match pause {
        Some(pause) => format!("it starts again in {pause:?}"),
        None => format!("to bring it back: {}", node.command_line()),
    };
    format!("node {id} has ended ({status}); its log is {}; {next}", node.log_path().display())
}

/// Where everything is, and what to try.
fn table(cluster: &LocalCluster) -> String {
    let members = cluster.members().unwrap_or_default();
    let role = |id| members.iter().find(|member| member.id == id).map_or("", |member| member.role.as_str());
    let mut lines = vec![format!(
        "\n  {:<5} {:<18} {:<18} {:<10} {:<9} log",
        "node", "clients", "http", "process", "role"
    )];
    for node in cluster.nodes() {
        let log = node.log_path();
        let line = format!(
            "  {:<5} {:<18} {:<18} {:<10} {:<9} {}",
            node.id,
            node.addr,
            node.http,
            node.pid(),
            role(node.id),
            log.display()
        );
        lines.push(line);
    }
    let port = |node: &LocalNode| node.addr.rsplit(':').next().unwrap_or_default().to_owned();
    let (first, last) = (&cluster.nodes()[0], &cluster.nodes()[cluster.nodes().len() - 1]);
    lines.push(format!(
        "\nEvery node takes every command. Try:\n  redis-cli -p {} SET greeting hello\n  redis-cli -p {} GET greeting\n  \
         quorate status --addr {}",
        port(first),
        port(last),
        first.addr
    ));
    if cluster.nodes().len() >= 3 {
        lines.push(format!(
            "  kill -9 {}     nothing acknowledged is lost, whichever node it is",
            first.pid()
        ));
    }
    lines.push("Ctrl-C stops all nodes.".into());
    lines.join("\n")
}

fn count(nodes: u16) -> String {
    match nodes {
        1 => "one node".into(),
        nodes => format!("{nodes} nodes"),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_file::NodeEntry;

    fn command(nodes: Option<u16>, port: Option<u16>) -> cli::Dev {
        cli::Dev { nodes, port, data_dir: "d".into(), restart: false, shards: 1, set: Vec::new() }
    }

    fn last(nodes: u16) -> ClusterFile {
        let entry = |id: u16| NodeEntry {
            id: id.into(),
            addr: format!("127.0.0.1:{}", 8000 + id),
            http: String::new(),
            pid: 0,
            data_dir: "d".into(),
            argv: Vec::new(),
        };
        ClusterFile { nodes: (1..=nodes).map(entry).collect() }
    }

    #[test]
    fn the_same_cluster_comes_back() {
        assert_eq!(again(&command(None, None), &last(3)).unwrap(), (3, 8001));
        assert_eq!(again(&command(Some(5), Some(8001)), &last(3)).unwrap(), (5, 8001));
    }

    #[test]
    fn another_cluster_does_not_take_its_place() {
        assert!(again(&command(Some(2), None), &last(3)).unwrap_err().to_string().contains("--nodes"));
        assert!(again(&command(None, Some(9001)), &last(3)).unwrap_err().to_string().contains("--port"));
    }

    #[test]
    fn more_than_one_shard_is_refused() {
        let command = cli::Dev { shards: 2, ..command(None, None) };
        assert!(run(&command).unwrap_err().to_string().contains("not implemented yet"));
    }

    #[test]
    fn a_node_that_dies_at_once_is_started_more_and_more_slowly() {
        let mut restarts = Restarts::default();
        let pauses: Vec<u128> = (0..7).map(|_| restarts.plan(1).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(restarts.plan(2).as_millis(), 500);
    }
}
