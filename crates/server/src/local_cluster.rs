//! A cluster of real processes on this machine: started in the right order, watched, stopped. For `dev` and `demo`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "runs processes, at the entry of server: their files, ports and waits are real"
)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_env::real::{BOOT_ID_FILE, RealRandom};
use quorate_env::{Instant, wall_ms};
use quorate_replica::Secret;
use rustix::process::{Pid, Signal, kill_process};

use crate::admin::{self, Member};
use crate::client::Client;
use crate::cluster_file::{ClusterFile, NodeEntry};
use crate::parent;
use crate::shutdown::{Interrupted, StopFlag};
use crate::torture;

/// The bus and HTTP listen this far above the client port.
const PORT_OFFSETS: [u16; 3] = [0, 10_000, 3_000];
/// How long a node has to stop cleanly.
const STOP_TIME: Duration = Duration::from_secs(10);
/// How often processes are looked after.
const POLL: Duration = Duration::from_millis(20);
/// How long a node may take to answer a question about itself.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How much of a log is shown when its node fails.
const LOG_LINES_SHOWN: usize = 8;

/// Ports for clusters of tools are taken from here, below those that the system gives out by itself; see [`free_ports`].
const PORTS: std::ops::Range<u16> = 11_000..13_900;

/// The first of `count` ports in a row that are free, also for their buses and HTTP.
pub(crate) fn free_ports(count: u16) -> anyhow::Result<u16> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free =
        |first: u16| (first..first + count).all(|port| PORT_OFFSETS.iter().all(|offset| free(port + offset)));
    // Somewhere else each time, so that two tools at once rarely look at the same ports.
    let span = u64::from(PORTS.end - PORTS.start);
    let offset = u16::try_from((wall_ms() + u64::from(std::process::id()) * 97) % span)?;
    let rotated = (PORTS.start + offset..PORTS.end).chain(PORTS);
    rotated.step_by(count.into()).find(|first| all_free(*first)).context("no ports are free on this machine")
}

/// Where the bus of a node with this client port listens.
pub(crate) fn bus_port(port: u16) -> u16 {
    port + PORT_OFFSETS[1]
}

/// What a local cluster is to look like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Absolute; made if missing.
    pub(crate) dir: PathBuf,
    /// Nodes.
    pub(crate) nodes: u16,
    /// Client port of the first one.
    pub(crate) port: u16,
    /// Parameters of every node, NAME=VALUE.
    pub(crate) sets: Vec<String>,
    /// Where a network that can be broken is between the nodes: node i announces this port + i - 1, so that the others
    /// look for its bus 10,000 above that.
    pub(crate) announced: Option<u16>,
    /// Where the nodes run, if not all on this machine's own address.
    pub(crate) places: Vec<Place>,
    /// Whether each node has a disk of its own, which somebody has mounted: its data are there, its report is not.
    pub(crate) own_disks: bool,
}

/// Where a node runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) host: String,
    /// A command that runs another one there: put in front of the node's.
    pub(crate) through: Vec<String>,
}

/// The processes. Dropping it kills those that still run.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    /// What every node is given.
    secret_file: PathBuf,
    nodes: Vec<LocalNode>,
    password: Option<String>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct LocalNode {
    pub(crate) id: u64,
    /// Its number in the cluster: its id, unless it has begun anew.
    pub(crate) number: u64,
    pub(crate) addr: String,
    pub(crate) http: String,
    pub(crate) data_dir: PathBuf,
    log: PathBuf,
    /// What names the boot of its machine, if that is not the kernel's business.
    boot_id: Option<PathBuf>,
    argv: Vec<String>,
    /// Whether its folder was there before: then it belongs to a cluster already.
    has_history: bool,
    pid: u32,
    child: Option<Child>,
}

impl LocalCluster {
    /// Works out the nodes; starts nothing.
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let program = program.to_str().context("the path of this program is not UTF-8")?.to_owned();
        let last_port = u32::from(plan.port) + u32::from(plan.nodes) - 1 + u32::from(PORT_OFFSETS[1]);
        ensure!(
            last_port <= u32::from(u16::MAX),
            "port {} is too high: the bus of the last node would need port {last_port}",
            plan.port
        );
        let nodes =
            (1..=plan.nodes).map(|id| LocalNode::new(plan, &program, id)).collect::<Result<_, _>>()?;
        let password =
            plan.sets.iter().rev().find_map(|pair| pair.strip_prefix("requirepass=")).map(str::to_owned);
        Ok(Self { secret_file: secret_file(plan), nodes, password })
    }

    /// Its nodes, in the order of their numbers.
    pub(crate) fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// For cluster.json.
    pub(crate) fn describe(&self) -> ClusterFile {
        ClusterFile { nodes: self.nodes.iter().map(LocalNode::entry).collect() }
    }

    /// A connection to a node.
    pub(crate) fn connect(&self, id: u64, limit: Duration) -> io::Result<Client> {
        Client::connect(&self.node(id).addr, self.password.as_deref(), limit)
    }

    /// Starts all nodes, in the order of their numbers, and waits until every one serves and has its role.
    ///
    /// Call it on a thread that lives as long as the process: the nodes end with it.
    pub(crate) fn start(&mut self, limit: Duration, stop: &StopFlag) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        make_secret(&self.secret_file)
            .with_context(|| format!("the cluster's secret in {}", self.secret_file.display()))?;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            node.start()?;
            // New nodes join in the order of their numbers, so that the first ones become the voters. Nodes that
            // come back wait for each other: a majority of them must run before any serves.
            if !node.has_history {
                let id = node.id;
                self.wait(deadline, stop, |cluster| cluster.ping(id))?;
            }
        }
        self.wait(deadline, stop, Self::why_not_ready)
    }

    /// The members as the first node that answers sees them.
    pub(crate) fn members(&self) -> anyhow::Result<Vec<Member>> {
        let mut problem = None;
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            match self.members_of(node.id) {
                Ok(members) => return Ok(members),
                Err(error) => problem = Some(error),
            }
        }
        Err(problem.unwrap_or_else(|| anyhow::anyhow!("no node runs")))
    }

    /// SIGKILL, as a crash would be; waits until the process is gone.
    pub(crate) fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        let node = self.node_mut(id);
        if let Some(mut child) = node.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal to a node that runs.
    pub(crate) fn signal(&self, id: u64, signal: Signal) -> anyhow::Result<()> {
        let child = self.node(id).child.as_ref().with_context(|| format!("node {id} does not run"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether a node has been started and was not seen to end.
    pub(crate) fn runs(&self, id: u64) -> bool {
        self.node(id).child.is_some()
    }

    /// Runs a node's command line again. See [`Self::start`] for the thread.
    pub(crate) fn restart(&mut self, id: u64) -> anyhow::Result<()> {
        self.node_mut(id).start()
    }

    /// Prepares a node that was removed from its cluster, and does not run, to join it as a new one: its data are
    /// gone, and it has a number that no node had.
    pub(crate) fn begin_anew(&mut self, id: u64) -> anyhow::Result<()> {
        let others: Vec<String> =
            self.nodes.iter().filter(|node| node.id != id).map(|node| node.addr.clone()).collect();
        let node = self.node_mut(id);
        fs::remove_dir_all(&node.data_dir).with_context(|| node.data_dir.display().to_string())?;
        node.number += torture::NUMBERS;
        let at = node.argv.iter().position(|arg| arg == "--node-id").context("every node has a number")?;
        node.argv[at + 1] = node.number.to_string();
        if node.number == id + torture::NUMBERS {
            node.argv.extend(others.into_iter().flat_map(|addr| ["--join".to_owned(), addr]));
        }
        Ok(())
    }

    /// Which nodes have ended since it was last asked, and how.
    pub(crate) fn ended(&mut self) -> Vec<(u64, ExitStatus)> {
        self.nodes.iter_mut().filter_map(|node| node.ended().map(|status| (node.id, status))).collect()
    }

    /// Waits until `problem` finds none.
    pub(crate) fn wait(
        &mut self,
        deadline: Instant,
        stop: &StopFlag,
        problem: impl Fn(&Self) -> Option<String>,
    ) -> anyhow::Result<()> {
        loop {
            if let Some((id, status)) = self.ended().first() {
                bail!("node {id} ended while others waited for it ({status}){}", self.node(*id).log_tail());
            }
            let Some(problem) = problem(self) else { return Ok(()) };
            ensure!(!stop.is_set(), Interrupted);
            ensure!(Instant::now() < deadline, "not ready in time: {problem}");
            thread::sleep(POLL);
        }
    }

    /// SIGTERM to all, SIGKILL to those that still run after [`STOP_TIME`]; the answer is how many those were.
    pub(crate) fn stop(&mut self) -> usize {
        let deadline = Instant::now() + STOP_TIME;
        for child in self.nodes.iter().filter_map(|node| node.child.as_ref()) {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // It fails if the process has ended, which the wait below finds out.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        while Instant::now() < deadline {
            self.ended();
            if self.nodes.iter().all(|node| node.child.is_none()) {
                return 0;
            }
            thread::sleep(POLL);
        }
        let stubborn = self.nodes.iter().filter(|node| node.child.is_some()).count();
        self.kill_all();
        stubborn
    }

    fn kill_all(&mut self) {
        for mut child in self.nodes.iter_mut().filter_map(|node| node.child.take()) {
            // Both fail only if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn node(&self, id: u64) -> &LocalNode {
        self.nodes.iter().find(|node| node.id == id).expect("callers name nodes of this cluster")
    }

    fn node_mut(&mut self, id: u64) -> &mut LocalNode {
        self.nodes.iter_mut().find(|node| node.id == id).expect("callers name nodes of this cluster")
    }

    /// Whether all ports that the nodes need are free.
    pub(crate) fn check_ports(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            let port = node.port();
            for port in PORT_OFFSETS.map(|offset| port + offset) {
                TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
                    anyhow::anyhow!(
                        "port {port}, which node {} needs, is not free ({error}): does this cluster run already? If \
                         not, choose other ports with --port",
                        node.id
                    )
                })?;
            }
        }
        Ok(())
    }

    fn ping(&self, id: u64) -> Option<String> {
        let answer = self.connect(id, ANSWER_TIME).and_then(|mut client| client.expect(&["PING"]));
        answer.err().map(|error| format!("node {id} does not serve yet: {error}"))
    }

    fn members_of(&self, id: u64) -> anyhow::Result<Vec<Member>> {
        admin::members(&mut self.connect(id, ANSWER_TIME)?)
    }

    /// What still misses until every node serves and knows all of the others.
    fn why_not_ready(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| {
            self.ping(node.id).or_else(|| match self.members_of(node.id) {
                Ok(members) => {
                    missing(&members, self.nodes.len()).map(|text| format!("node {} sees {text}", node.id))
                }
                Err(error) => Some(format!("node {}: {error}", node.id)),
            })
        })
    }
}

/// Where the secret of a cluster is, for its nodes and for those that are added by hand.
fn secret_file(plan: &Plan) -> PathBuf {
    Secret::path(&plan.dir)
}

/// Makes a secret if there is none, whole or not at all, for its owner only.
fn make_secret(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let dir = path.parent().expect("it lies in the folder of the cluster");
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::with_prefix_in(".secret-", dir)?;
    file.write_all(&Secret::generate(&RealRandom).to_file())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// What misses in a view of the cluster until its `wanted` nodes have their roles.
fn missing(members: &[Member], wanted: usize) -> Option<String> {
    let leaders = members.iter().filter(|member| member.role == "leader").count();
    let voters = members.iter().filter(|member| member.is_voter()).count();
    if members.len() < wanted {
        Some(format!("{} of {wanted} members", members.len()))
    } else if leaders != 1 {
        Some("no leader".into())
    } else if wanted >= 3 && voters < 3 {
        Some(format!("{voters} of 3 voters"))
    } else {
        None
    }
}

impl LocalNode {
    fn new(plan: &Plan, program: &str, id: u16) -> anyhow::Result<Self> {
        let place = |id: u16| plan.places.get(usize::from(id) - 1);
        let host = |id: u16| place(id).map_or("127.0.0.1", |place| &place.host);
        let addr = |port: u16| format!("{}:{port}", host(id));
        let port = plan.port + id - 1;
        let own = plan.dir.join(format!("node-{id}"));
        let (data_dir, boot_id) = if plan.own_disks {
            (torture::data_folder(&own), Some(torture::boot_id_file(&own)))
        } else {
            (own.clone(), None)
        };
        let folder = data_dir.to_str().context("the folder of the cluster is not UTF-8")?;
        let mut argv = place(id).map_or_else(Vec::new, |place| place.through.clone());
        argv.extend(
            [program, "server", "--listen", &addr(port), "--data-dir", folder, "--node-id"]
                .map(str::to_owned),
        );
        argv.push(id.to_string());
        let secret = secret_file(plan);
        let secret = secret.to_str().context("the folder of the cluster is not UTF-8")?;
        argv.extend(["--cluster-secret-file", secret].map(str::to_owned));
        if id > 1 {
            argv.extend(["--join".to_owned(), format!("{}:{}", host(1), plan.port)]);
        }
        if let Some(announced) = plan.announced {
            let http = addr(port + PORT_OFFSETS[2]);
            argv.extend([
                "--announce".to_owned(),
                addr(announced + id - 1),
                "--http-listen".to_owned(),
                http,
            ]);
        }
        for pair in &plan.sets {
            argv.extend(["--set".to_owned(), pair.clone()]);
        }
        let has_history = data_dir.exists();
        Ok(Self {
            id: id.into(),
            number: id.into(),
            addr: addr(port),
            http: addr(port + PORT_OFFSETS[2]),
            data_dir,
            log: own.join("quorate.log"),
            boot_id,
            argv,
            has_history,
            pid: 0,
            child: None,
        })
    }

    /// Where its reports go.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// Its process; of the last one if none runs.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The command line that starts it, for people.
    pub(crate) fn command_line(&self) -> String {
        self.argv.join(" ")
    }

    fn port(&self) -> u16 {
        self.addr.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("made from a port")
    }

    fn entry(&self) -> NodeEntry {
        NodeEntry {
            id: self.id,
            addr: self.addr.clone(),
            http: self.http.clone(),
            pid: self.pid,
            data_dir: self.data_dir.clone(),
            argv: self.argv.clone(),
        }
    }

    fn start(&mut self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("the folder {}", self.data_dir.display()))?;
        let log = self.open_log().with_context(|| format!("the log {}", self.log_path().display()))?;
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A group of its own: Ctrl-C at the terminal goes to the tool, which then stops its nodes.
        command.process_group(0);
        command.envs(self.boot_id.as_ref().map(|path| (BOOT_ID_FILE, path)));
        parent::bind(&mut command);
        let child = command.spawn().with_context(|| format!("starting {}", self.argv[0]))?;
        self.pid = child.id();
        self.child = Some(child);
        Ok(())
    }

    fn open_log(&self) -> io::Result<File> {
        File::options().append(true).create(true).open(&self.log)
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// The end of its log, to be put behind an error.
    fn log_tail(&self) -> String {
        tail(&self.log_path())
            .map_or_else(String::new, |lines| format!("; the end of {}:\n{lines}", self.log_path().display()))
    }
}

fn tail(path: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Some(lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: u16, port: u16) -> Plan {
        Plan {
            dir: "/tmp/x".into(),
            nodes,
            port,
            sets: vec!["appendfsync=everysec".into()],
            announced: None,
            places: Vec::new(),
            own_disks: false,
        }
    }

    fn members(roles: &[&str]) -> Vec<Member> {
        roles.iter().map(|role| Member { role: (*role).into(), ..Member::default() }).collect()
    }

    #[test]
    fn nodes_follow_the_plan() {
        let cluster = LocalCluster::new(&plan(3, 7001)).unwrap().describe();
        let second = &cluster.nodes[1];
        assert_eq!(
            (second.id, second.addr.as_str(), second.http.as_str()),
            (2, "127.0.0.1:7002", "127.0.0.1:10002")
        );
        assert_eq!(
            second.argv[1..].join(" "),
            "server --listen 127.0.0.1:7002 --data-dir /tmp/x/node-2 --node-id 2 \
             --cluster-secret-file /tmp/x/cluster-secret --join 127.0.0.1:7001 --set appendfsync=everysec"
        );
        assert!(!cluster.nodes[0].argv.contains(&"--join".to_owned()), "the first node founds the cluster");
    }

    #[test]
    fn ports_must_fit() {
        assert!(LocalCluster::new(&plan(1, 55_535)).is_ok());
        assert!(LocalCluster::new(&plan(2, 55_535)).is_err());
    }

    #[test]
    fn a_cluster_is_ready_when_everybody_has_a_role() {
        assert_eq!(missing(&members(&["leader"]), 1), None);
        assert_eq!(missing(&members(&["leader", "learner"]), 2), None);
        assert_eq!(missing(&members(&["leader", "follower", "follower", "reader"]), 4), None);
        assert!(missing(&members(&["leader", "follower"]), 3).is_some());
        assert!(missing(&members(&["leader", "learner", "learner"]), 3).is_some());
        assert!(missing(&members(&["follower", "follower", "follower"]), 3).is_some());
    }
}
