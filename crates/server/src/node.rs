//! The node: a thread for consensus, a thread for clients and data, and how both begin and end.
//!
//! The two share nothing but channels, so that no command and no snapshot ever delays a heartbeat (R20).
#![allow(clippy::disallowed_methods, reason = "the entry of the server makes the threads")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context;
use quorate_cluster::{Cluster, StartArgs};
use quorate_env::{Env, Instant, real};
use quorate_replica::{Feed, Member, Role, Timing, View};
use quorate_session::{Process, ServeArgs, serve};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::args::{self, NodeArgs, bus_of};
use crate::http::{self, MemberStatus, NodeStatus, Sources};
use crate::metrics::Board;
use crate::shutdown;

/// The allocator, by name, for INFO.
const ALLOCATOR: &str = "mimalloc";

/// Runs the node until a signal or a client stops it.
pub(crate) fn run(args: NodeArgs) -> anyhow::Result<()> {
    let env = real::env().context("cannot start the disk threads")?;
    env.memory.set_limit(match args.config.queue_memory_limit() {
        0 => default_queue_memory(machine_bytes()),
        given => given,
    });
    let (started_tx, started_rx) = oneshot::channel();
    let (stop_tx, stop_rx) = oneshot::channel::<()>();
    let ready = Arc::new(AtomicBool::new(false));
    let start = start_args(&args)?;
    let (consensus_env, http, http_ready) = (env.clone(), args.http, ready.clone());
    let board = Board::default();
    let http_board = board.clone();
    let consensus = thread::Builder::new()
        .name("consensus".to_owned())
        .spawn(move || {
            consensus_thread(consensus_env, start, http, (http_ready, http_board), started_tx, stop_rx)
        })
        .context("cannot start the consensus thread")?;
    let result = serving_thread(env, args, (ready, board), started_rx);
    drop(stop_tx);
    let ended = consensus.join().map_err(|_| anyhow::anyhow!("the consensus thread failed"))?;
    // What made consensus fail says more than that it has ended.
    ended.and(result)
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
        node_id: args.node_id,
        timing: Timing::from(config),
        segment_bytes: config.segment_size(),
    })
}

/// Consensus, the bus and HTTP.
fn consensus_thread(
    env: Env,
    start: StartArgs,
    http: SocketAddr,
    (ready, board): (Arc<AtomicBool>, Board),
    started: oneshot::Sender<(Cluster, Feed)>,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = stop;
        let listener = http::bind(http).await?;
        let (cluster, feed) = tokio::select! {
            biased;
            _ = &mut stop => return Ok(()),
            result = quorate_cluster::start(env, start) => result?,
        };
        let (status_cluster, since) = (cluster.clone(), Instant::now());
        let status = Arc::new(move || status(&status_cluster, since, ready.load(Ordering::Relaxed)));
        let now = status.clone();
        let sources = Sources { status, metrics: Arc::new(move || board.page(now())) };
        tokio::spawn(http::serve(listener, sources));
        let _ = started.send((cluster.clone(), feed));
        let _ = stop.await;
        let failure = cluster.consensus().log().failed().or_else(|| cluster.consensus().failure());
        cluster.consensus().stop().await;
        match failure {
            Some(why) => anyhow::bail!("{why}"),
            None => close_log(&cluster).await.context("cannot close the log"),
        }
    })
}

async fn close_log(cluster: &Cluster) -> anyhow::Result<()> {
    let (tx, rx) = oneshot::channel();
    cluster.consensus().log().close_clean(Box::new(move |result| {
        let _ = tx.send(result);
    }));
    Ok(rx.await.map_err(|_| io::Error::other("the disk was closed"))??)
}

/// Clients and data, on the thread that called.
fn serving_thread(
    env: Env,
    args: NodeArgs,
    (ready, board): (Arc<AtomicBool>, Board),
    started: oneshot::Receiver<(Cluster, Feed)>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut stop = Box::pin(shutdown::signal()?);
        let (cluster, feed) = tokio::select! {
            biased;
            _ = &mut stop => return Ok(()),
            // Without it consensus has failed, and its thread says why.
            started = started => match started {
                Ok(started) => started,
                Err(_) => return Ok(()),
            },
        };
        let serve_args = ServeArgs {
            env,
            cluster,
            feed,
            config: args.config,
            listen: args.listen,
            process: Process {
                memory: resident_bytes,
                cpu: cpu_seconds,
                allocator: ALLOCATOR,
                memory_peak: Cell::new(0),
            },
            on_ready: Box::new(move |node: &Rc<_>| {
                ready.store(true, Ordering::Relaxed);
                tokio::task::spawn_local(board.follow(node.clone(), resident_bytes));
            }),
        };
        let stop = async {
            let signal = stop.await;
            tracing::info!("{signal}");
        };
        serve(serve_args, stop).await.map_err(anyhow::Error::from)
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
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
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
