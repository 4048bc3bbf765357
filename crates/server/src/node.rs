//! The node: its threads, and how it begins and ends.
//!
//! Everything runs on one thread, but what takes long there never delays a heartbeat: see [`crate::stage`].

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use quorate_cluster::{Cluster, StartArgs};
use quorate_env::{Env, Instant, real};
use quorate_replica::{Member, Role, Stage, Timing, View};
use quorate_session::{Process, ServeArgs, serve};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::allocator;
use crate::args::{self, NodeArgs, bus_of};
use crate::http::{self, MemberStatus, NodeStatus, Sources};
use crate::metrics::Board;
use crate::shutdown;
use crate::stage::{Deputy, NodeStage};

/// The allocator, by name, for INFO.
const ALLOCATOR: &str = "mimalloc";

/// Runs the node until a signal or a client stops it.
pub(crate) fn run(args: NodeArgs) -> anyhow::Result<()> {
    let env = real::env().context("cannot start the disk threads")?;
    env.memory.set_limit(match args.config.queue_memory_limit() {
        0 => default_queue_memory(machine_bytes()),
        given => given,
    });
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?);
    let deputy =
        Deputy::start(runtime.clone(), env.random.clone()).context("cannot start the deputy thread")?;
    let stage = Rc::new(NodeStage::default());
    let local = LocalSet::new();
    // What is executed on the stage may spawn.
    let _entered = (runtime.enter(), local.enter());
    let mut node = local.spawn_local(live(env, args, stage.clone()));
    loop {
        let next = local.run_until(async {
            tokio::select! {
                biased;
                work = stage.next() => Ok(work),
                ended = &mut node => Err(ended),
            }
        });
        match runtime.block_on(next) {
            Ok(work) => deputy.while_it_stands_by(work),
            Err(ended) => return ended.context("the node failed")?,
        }
    }
}

/// The life of a node.
async fn live(env: Env, args: NodeArgs, stage: Rc<dyn Stage>) -> anyhow::Result<()> {
    let mut stop = Box::pin(shutdown::signal()?);
    let start = start_args(&args)?;
    let listener = http::bind(args.http).await?;
    let (cluster, feed) = tokio::select! {
        biased;
        _ = &mut stop => return Ok(()),
        result = quorate_cluster::start(env.clone(), start) => result?,
    };
    let ready = Arc::new(AtomicBool::new(false));
    let (status_cluster, since, is_ready) = (cluster.clone(), Instant::now(), ready.clone());
    let status = Arc::new(move || status(&status_cluster, since, is_ready.load(Ordering::Relaxed)));
    let board = Board::default();
    let (now, pages) = (status.clone(), board.clone());
    let doorkeeper = cluster.clone();
    let metrics = Arc::new(move || pages.page(now(), doorkeeper.consensus().strangers()));
    let sources = Sources { status, metrics };
    tokio::spawn(http::serve(listener, sources));
    let serve_args = ServeArgs {
        env,
        cluster: cluster.clone(),
        feed,
        config: args.config,
        listen: args.listen,
        stage,
        process: Process {
            memory: allocator::bytes_in_use,
            resident: resident_bytes,
            cpu: cpu_seconds,
            allocator: ALLOCATOR,
            memory_peak: Cell::new(0),
        },
        on_ready: Box::new(move |node: &Rc<_>| {
            // From now on it is known what the program takes.
            resident_bytes();
            ready.store(true, Ordering::Relaxed);
            tokio::task::spawn_local(board.follow(node.clone(), resident_bytes));
        }),
    };
    let stop = async {
        let signal = stop.await;
        tracing::info!("{signal}");
    };
    let served = serve(serve_args, stop).await;
    end(&cluster).await?;
    Ok(served?)
}

/// Stops consensus and marks the end of the log as clean, unless it has failed: why it did says more than that it has
/// ended.
async fn end(cluster: &Cluster) -> anyhow::Result<()> {
    let consensus = cluster.consensus();
    let failure = consensus.log().failed().or_else(|| consensus.failure());
    consensus.stop().await;
    if let Some(why) = failure {
        anyhow::bail!("{why}");
    }
    let (tx, rx) = oneshot::channel();
    consensus.log().close_clean(Box::new(move |result| {
        let _ = tx.send(result);
    }));
    let closed = rx.await.map_err(|_| io::Error::other("the disk was closed"));
    closed.flatten().context("cannot close the log")
}

fn start_args(args: &NodeArgs) -> anyhow::Result<StartArgs> {
    let config = &args.config;
    Ok(StartArgs {
        data_dir: args.data_dir.clone(),
        bus: args.bus,
        member: Member {
            addr: args.announce.addr.clone(),
            bus: args.announce.bus.clone(),
            http: args.announce.http.clone(),
            incarnation: 0,
            zone: args.zone.clone(),
            role: match args.role {
                args::Role::Data => Role::Data,
                args::Role::Reader => Role::Reader,
            },
        },
        join: args.join.iter().map(|addr| bus_of(addr)).collect::<anyhow::Result<_>>()?,
        secret: args.secret.as_ref().map(|file| file.secret.clone()),
        node_id: args.node_id,
        timing: Timing::from(config),
        segment_bytes: config.segment_size(),
    })
}

fn status(cluster: &Cluster, since: Instant, ready: bool) -> NodeStatus {
    let view = cluster.view();
    let id = cluster.node_id();
    let not_ready = match (ready, view.leader) {
        (false, _) => Some("the node is starting".to_owned()),
        (true, None) => Some("no leader is known".to_owned()),
        (true, Some(_)) => None,
    };
    let probe = cluster.consensus().own_probe();
    NodeStatus {
        id,
        addr: view.members.get(&id).map(|m| m.addr.clone()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: since.elapsed().as_millis() as u64,
        role: role(&view, id).to_owned(),
        not_ready,
        term: view.term,
        leader: view.leader,
        applied: probe.applied,
        committed: view.committed,
        last: view.last,
        digest: Some(format!("{:016x}", probe.digest.1)),
        members: view
            .members
            .iter()
            .map(|(id, m)| MemberStatus {
                id: *id,
                addr: m.addr.clone(),
                role: role(&view, *id).to_owned(),
                zone: m.zone.clone(),
                matched: view.matched.get(id).copied(),
                lag: view.matched.get(id).map(|m| view.last.saturating_sub(*m)),
                reachable: None,
            })
            .collect(),
    }
}

fn role(view: &View, id: u64) -> &'static str {
    match view.members.get(&id).map(|m| m.role) {
        _ if view.leader == Some(id) => "leader",
        _ if view.voters.contains(&id) => "follower",
        Some(Role::Reader) => "reader",
        _ => "learner",
    }
}

/// Queues may take a quarter of the memory: what they hold comes on top of the data, whose size nothing limits. With less
/// than this many bytes a few values of the largest size (512 MB) could not be under way at all.
fn default_queue_memory(machine_bytes: u64) -> usize {
    const LEAST: u64 = 1 << 30;
    usize::try_from((machine_bytes / 4).max(LEAST)).unwrap_or(usize::MAX)
}

/// Bytes of memory of the machine, or of the control group that the process is confined to. 0: nobody says.
#[allow(clippy::disallowed_methods, reason = "the process asks the kernel about its machine")]
fn machine_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: Option<u64> = total.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let machine = kilobytes.unwrap_or(0) * 1024;
    group.trim().parse::<u64>().map_or(machine, |group| machine.min(group))
}

/// Bytes of memory that the process holds.
#[allow(clippy::disallowed_methods, reason = "the process asks the kernel about itself")]
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut numbers = statm.split_whitespace().map(|n| n.parse().unwrap_or(0));
    let mut next = |skip: usize| numbers.nth(skip).unwrap_or(0) * rustix::param::page_size() as u64;
    let (resident, of_files) = (next(1), next(0));
    allocator::set_program_bytes(of_files);
    resident
}

/// Seconds of processor time of the process: user, system.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks =
        |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (ticks(11) / per_second, ticks(12) / per_second)
}
