//! `quorate demo`: the tour. A cluster, writes through all of its nodes, the leader killed in the middle; then every
//! acknowledged write is read back, the dead node comes back, and all nodes prove that they hold the same.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: its ports and waits are real"
)]

mod writers;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_env::Instant;
use quorate_resp::Value;

use crate::admin::{self, Digest};
use crate::local_cluster::{LocalCluster, Plan, free_ports};
use crate::shutdown::{Interrupted, StopFlag, stop_flag};
use writers::{Control, Record};

const NODES: u16 = 3;
const CLIENTS: usize = 12;
/// How long the clients write before the leader is killed, and at least after it.
const WRITE_TIME: Duration = Duration::from_secs(2);
/// How long writes may pause before the demo gives up.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How long the cluster may take to start, and a node to come back, on a machine that is busy with other things.
const START_TIME: Duration = Duration::from_secs(60);
const CATCH_UP_TIME: Duration = Duration::from_secs(30);
/// How long a node may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Reads that are under way at a time when everything is read back.
const READ_BATCH: usize = 500;
const POLL: Duration = Duration::from_millis(20);

/// The tour; the exit code is 1 if anything acknowledged was lost or nodes differ.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let stop = stop_flag()?;
    let folder = tempfile::Builder::new().prefix("quorate-demo-").tempdir().context("a temporary folder")?;
    let plan = Plan {
        dir: folder.path().to_owned(),
        nodes: NODES,
        port: free_ports(NODES)?,
        sets: Vec::new(),
        announced: None,
        places: Vec::new(),
        own_disks: false,
    };
    let tour = Tour { cluster: LocalCluster::new(&plan)?, stop };
    match tour.run() {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => {
            say(&format!("the data and the logs of the nodes stay in {}", folder.keep().display()))?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => Err(error.context(format!(
            "the demo could not be finished; the data and the logs of the nodes stay in {}",
            folder.keep().display()
        ))),
    }
}

struct Tour {
    cluster: LocalCluster,
    stop: StopFlag,
}

/// What was written and told.
struct Story {
    records: Vec<Record>,
    /// The leader that was killed.
    killed: u64,
    /// When, in nanoseconds since the start of the writes.
    killed_at: u64,
    /// How long the writes ran.
    time: Duration,
}

impl Tour {
    /// Whether everything was found as promised.
    fn run(mut self) -> anyhow::Result<bool> {
        let begin = Instant::now();
        self.cluster.start(START_TIME, &self.stop)?;
        say(&format!("{NODES} nodes run on this machine, each with its own data folder ({})", took(begin)))?;
        let story = self.write_and_kill()?;
        tell(&story)?;
        let survivor = (1..=u64::from(NODES)).find(|id| *id != story.killed).context("no node survives")?;
        let lost = self.read_back(survivor, &story.records)?;
        let equal = self.bring_back(&story)?;
        self.cluster.stop();
        say(&match (lost, equal) {
            (0, true) => "Nothing that was acknowledged is lost.".to_owned(),
            (0, false) => "FAILED: the nodes do not hold the same data.".to_owned(),
            (lost, _) => format!("FAILED: {lost} acknowledged writes are lost."),
        })?;
        Ok(lost == 0 && equal)
    }

    /// Runs the clients, and kills the leader while they write.
    fn write_and_kill(&mut self) -> anyhow::Result<Story> {
        let addrs: Vec<String> = self.cluster.nodes().iter().map(|node| node.addr.clone()).collect();
        say(&format!(
            "{CLIENTS} clients write through all nodes, each key once; none repeats a write that fails"
        ))?;
        let control = Control::new();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (addrs, control) = (&addrs, &control);
                    scope.spawn(move || writers::write(client, addrs, control))
                })
                .collect();
            let killed = self.kill_in_the_middle(&control);
            control.stop();
            let time = Duration::from_nanos(control.now());
            let records = clients.into_iter().map(|client| client.join().unwrap_or_default()).collect();
            let (killed, killed_at) = killed?;
            Ok(Story { records, killed, killed_at, time })
        })
    }

    /// Lets the clients write, kills the leader, waits until writes go on; who was killed, and when.
    fn kill_in_the_middle(&mut self, control: &Control) -> anyhow::Result<(u64, u64)> {
        self.sleep(WRITE_TIME)?;
        ensure!(control.acknowledged() > 0, "no write was acknowledged");
        let leader = self.leader()?;
        let killed_at = control.now();
        self.cluster.kill(leader)?;
        say(&format!(
            "node {leader}, the leader, is killed (SIGKILL) after {} acknowledged writes",
            control.acknowledged()
        ))?;
        let died = Instant::now();
        self.sleep(WRITE_TIME)?;
        // Writes go on when one is acknowledged that was not under way at the kill.
        let moment = u64::try_from(POLL.as_nanos())?;
        while control.last_acknowledged() < killed_at + moment {
            ensure!(
                died.elapsed() < PAUSE_MAX,
                "no write was acknowledged for {PAUSE_MAX:?} after the leader died"
            );
            self.sleep(POLL)?;
        }
        Ok((leader, killed_at))
    }

    fn leader(&self) -> anyhow::Result<u64> {
        let members = self.cluster.members()?;
        Ok(members.iter().find(|member| member.role == "leader").context("the cluster has no leader")?.id)
    }

    /// Reads every acknowledged write; how many are missing or different.
    fn read_back(&self, node: u64, records: &[Record]) -> anyhow::Result<u64> {
        let begin = Instant::now();
        let mut client = self.cluster.connect(node, ANSWER_TIME)?;
        let (mut total, mut lost) = (0, 0);
        for record in records {
            for batch in record.acknowledged.chunks(READ_BATCH) {
                ensure!(!self.stop.is_set(), Interrupted);
                let right = found(&mut client, record.client, batch)?;
                for (sequence, right) in batch.iter().zip(right) {
                    total += 1;
                    if !right {
                        lost += 1;
                        say(&format!("  LOST: {}", writers::key(record.client, *sequence)))?;
                    }
                }
            }
        }
        let mut applied = 0;
        for record in records {
            applied += found(&mut client, record.client, &record.unknown)?
                .into_iter()
                .filter(|found| *found)
                .count();
        }
        let unknown: usize = records.iter().map(|record| record.unknown.len()).sum();
        say(&format!(
            "read back from node {node}: {} of {total} acknowledged writes are there ({})",
            total - lost,
            took(begin)
        ))?;
        if unknown > 0 {
            say(&format!("of the {unknown} with an unknown outcome, {applied} had been applied"))?;
        }
        Ok(lost)
    }

    /// Runs the dead node's command line again; whether all nodes hold the same once it has caught up.
    fn bring_back(&mut self, story: &Story) -> anyhow::Result<bool> {
        let begin = Instant::now();
        self.cluster.restart(story.killed)?;
        let (killed, stop) = (story.killed, self.stop.clone());
        self.cluster.wait(begin + CATCH_UP_TIME, &stop, |cluster| behind(cluster, killed))?;
        say(&format!("node {killed} is started again and has caught up ({})", took(begin)))?;
        let digests = self.digests(begin + CATCH_UP_TIME)?;
        let equal = digests.windows(2).all(|pair| pair[0] == pair[1]);
        if equal {
            say(&format!(
                "all nodes hold the same at entry {}: digest {}",
                digests[0].index, digests[0].hex
            ))?;
        } else {
            for (node, digest) in self.cluster.nodes().iter().zip(&digests) {
                say(&format!("  node {} at entry {}: digest {}", node.id, digest.index, digest.hex))?;
            }
        }
        Ok(equal)
    }

    /// One digest of each node, all at the same entry.
    fn digests(&self, deadline: Instant) -> anyhow::Result<Vec<Digest>> {
        loop {
            let digest = |id| admin::digest(&mut self.cluster.connect(id, ANSWER_TIME)?);
            let digests: anyhow::Result<Vec<Digest>> = (1..=u64::from(NODES)).map(digest).collect();
            // An entry may be applied between two questions, and a node that has just caught up may still refuse: ask
            // again.
            match digests {
                Ok(digests) if digests.windows(2).all(|pair| pair[0].index == pair[1].index) => {
                    return Ok(digests);
                }
                Ok(digests) if Instant::now() >= deadline => {
                    bail!("the nodes do not come to the same entry: {digests:?}");
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                _ => {}
            }
            self.sleep(POLL)?;
        }
    }

    fn sleep(&self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            ensure!(!self.stop.is_set(), Interrupted);
            thread::sleep(POLL.min(time));
        }
        Ok(())
    }
}

/// How far the node is behind the rest, if it is.
fn behind(cluster: &LocalCluster, id: u64) -> Option<String> {
    let view = |id| admin::node_view(&mut cluster.connect(id, ANSWER_TIME)?);
    let other = if id == 1 { 2 } else { 1 };
    match (view(id), view(other)) {
        (Ok(own), Ok(theirs)) if own.applied >= theirs.applied && own.leader.is_some() => None,
        (Ok(own), Ok(theirs)) => {
            Some(format!("node {id} has applied {} of {} entries", own.applied, theirs.applied))
        }
        (Err(error), _) | (_, Err(error)) => Some(format!("node {id} is not back: {error}")),
    }
}

/// For each write, whether it is there as it was written.
fn found(client: &mut crate::client::Client, number: usize, sequences: &[u64]) -> anyhow::Result<Vec<bool>> {
    let commands = sequences.iter().map(|sequence| vec!["GET".to_owned(), writers::key(number, *sequence)]);
    let replies = client.pipeline(commands)?;
    sequences
        .iter()
        .zip(replies)
        .map(|(sequence, reply)| match reply {
            Value::Error(text) => bail!("reading back: {text}"),
            reply => Ok(reply.as_bytes() == Some(writers::value(number, *sequence).as_bytes())),
        })
        .collect()
}

fn tell(story: &Story) -> anyhow::Result<()> {
    let acknowledged: usize = story.records.iter().map(|record| record.acknowledged.len()).sum();
    let unknown: usize = story.records.iter().map(|record| record.unknown.len()).sum();
    let refused: u64 = story.records.iter().map(|record| record.refused).sum();
    let waited = story.records.iter().map(|record| record.longest_wait).max().unwrap_or_default();
    let pause = writers::longest_pause(&story.records, story.killed_at);
    say(&format!(
        "acknowledged writes paused for {} ms, then a new leader took over; no client waited longer than {} ms",
        pause.as_millis(),
        waited.as_millis()
    ))?;
    say(&format!("{acknowledged} writes were acknowledged in {:.1} s", story.time.as_secs_f64()))?;
    say(&format!(
        "{unknown} have an unknown outcome (their connection broke with the killed node), {refused} were refused (not applied)"
    ))?;
    Ok(())
}

fn took(begin: Instant) -> String {
    format!("{:.1} s", begin.elapsed().as_secs_f64())
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
