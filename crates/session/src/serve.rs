//! The serving half of a node: loads the state, drives the replica, accepts clients.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_cluster::Cluster;
use quorate_cluster::config::{Config, PARAMETERS, Scope};
use quorate_env::{Env, Listener, Listening, Liveness, clock};
use quorate_replica::{Feed, OnDirectory, Options, Replica, Stage, on_stage};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;

use crate::access::Access;
use crate::audience::audience;
use crate::channels::Channels;
use crate::commands::hash_of;
use crate::memory;
use crate::node::{Node, Process};
use crate::registered::Registered;
use crate::session::Session;
use crate::stats::Stats;
use crate::tracking::{Connections, Tracking};

/// Names in the directory under which the parameters of the cluster stand.
const CONFIG_PREFIX: &str = "config.";
/// How long it may take to tell clients that wait for keys that the node stops.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);
/// How long connections may take to end when the node stops.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Called once, when the node serves clients.
pub type OnReady = Box<dyn FnOnce(&Rc<Node>)>;

/// What a node serves with.
pub struct ServeArgs {
    /// The outside world.
    pub env: Env,
    /// This node's cluster, started.
    pub cluster: Cluster,
    /// What consensus feeds the replica with.
    pub feed: Feed,
    /// Parameters.
    pub config: Config,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where commands are executed.
    pub stage: Rc<dyn Stage>,
    /// What is known of the process.
    pub process: Process,
    /// Called once clients are served.
    pub on_ready: OnReady,
}

/// Serves until `stop` resolves or a client asks for it. Within a `LocalSet`. An error says why the node cannot
/// go on.
pub async fn serve(args: ServeArgs, stop: impl Future<Output = ()>) -> io::Result<()> {
    let ServeArgs { env, cluster, feed, config, listen, stage, process, on_ready } = args;
    let stats = Rc::new(Stats::new(config.clone()));
    let laps = stats.clone();
    let access = Access::new(config.clone(), cluster.consensus().clone());
    let follows = access.clone();
    let connections = Rc::new(Connections::default());
    let registered = Rc::new(Registered::new(connections.clone()));
    let channels = Rc::new(Channels::new(registered.clone()));
    let tracking = Rc::new(Tracking::new(connections.clone(), channels.interest(), registered));
    let options = Options {
        stage: stage.clone(),
        on_directory: follow(config.clone(), cluster.clone()),
        on_users: Rc::new(move |users| follows.follow(users)),
        on_lap: Rc::new(move |lap| laps.lap(lap)),
        audience: audience(channels.clone(), tracking.clone()),
        memory: memory::look(process.memory, config.clone(), env.memory.clone(), cluster.consensus().clone()),
        pending_bytes_max: config.pending_writes_max(),
        snapshot_log_bytes: config.snapshot_log_size(),
        log_keep_bytes: config.log_keep_size(),
    };
    let consensus = cluster.consensus().clone();
    let (replica, runner) = on_stage(&*stage, move || Replica::new(consensus, feed, options)).await?;
    let mut driver = spawn_local(runner.run());
    let network = env.net.clone();
    let node = Node::new(
        replica.clone(),
        cluster.clone(),
        config.clone(),
        process,
        network,
        stats,
        channels,
        tracking,
        connections,
        access.clone(),
    );
    let told = Rc::downgrade(&node);
    access.on_change(move |before, now| {
        if let Some(node) = told.upgrade() {
            node.users_changed(before, now);
        }
    });
    let main = async {
        if cluster.consensus().identity().is_founder() {
            found(&env, &replica, &config).await;
        }
        let listener = env.net.listen_with(listen, listening(&config)).await?;
        tracing::info!(%listen, "ready for clients");
        spawn_local(sample(node.clone()));
        spawn_local(limit_clients(node.clone()));
        spawn_local(tidy(node.clone()));
        let loading = (replica.clone(), node.clone());
        spawn_local(async move {
            loading.0.catch_up().await;
            loading.1.forget_replay();
            tracing::info!("caught up");
            on_ready(&loading.1);
        });
        accept(node.clone(), listener).await;
        Ok(())
    };
    let result = tokio::select! {
        biased;
        ended = &mut driver => match ended {
            Ok(result) => result.and(Err(io::Error::other(why_stopped(&cluster)))),
            Err(panic) => Err(io::Error::other(format!("the serving half failed: {panic}"))),
        },
        result = main => result,
        () = stop => Ok(()),
        () = node.shutdown_requested() => Ok(()),
    };
    if result.is_ok() {
        tracing::info!("stopping");
        replica.release_all(RELEASE_LIMIT).await;
        cluster.step_aside().await;
        // Before the replica: what it hands over must still be taken.
        cluster.consensus().stop().await;
    }
    for connection in node.clients() {
        connection.close();
    }
    let _ = quorate_env::timeout(CLOSE_LIMIT, async {
        while node.connected() > 0 {
            clock::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    driver.abort();
    result
}

fn why_stopped(cluster: &Cluster) -> String {
    let consensus = cluster.consensus();
    consensus
        .log()
        .failed()
        .or_else(|| consensus.failure())
        .unwrap_or_else(|| "consensus has ended".to_owned())
}

/// The founder of a cluster gives it its secret and the parameters it was started with, before the first client: in one
/// entry, because a founder that starts again cannot tell, before it has caught up, whether it has done so.
async fn found(env: &Env, replica: &Replica, config: &Config) {
    while replica.with_keyspace(|k| k.cluster_id().is_none()) {
        if replica.leads() {
            let mut secret = env.random.next_u64().to_le_bytes().to_vec();
            secret.extend(env.random.next_u64().to_le_bytes());
            let mut id = replica.consensus().identity().cluster().to_le_bytes().to_vec();
            id.extend([0; 8]);
            let mut line = vec![b"\0bootstrap".to_vec(), secret, id];
            for (name, value) in config.given_for_cluster() {
                let value = in_the_log(name, value);
                line.extend([format!("{CONFIG_PREFIX}{name}").into_bytes(), value.into_bytes()]);
            }
            let line: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
            replica.write_internal(&line).await;
        } else {
            clock::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How a parameter of the cluster stands in the log: a password as its hash.
pub(crate) fn in_the_log(name: &str, value: String) -> String {
    let is_password = name == "requirepass" && !value.is_empty();
    if is_password { format!("#{}", hash_of(value.as_bytes())) } else { value }
}

/// Brings the parameters of the cluster into force as the log says.
fn follow(config: Config, cluster: Cluster) -> OnDirectory {
    Rc::new(move |directory| {
        for parameter in PARAMETERS.iter().filter(|p| p.scope == Scope::Cluster) {
            let value = directory.get(&format!("{CONFIG_PREFIX}{}", parameter.name));
            let value = value.map(|v| String::from_utf8_lossy(v));
            if let Err(why) = config.apply_cluster(parameter.name, value.as_deref()) {
                tracing::warn!("a parameter of the cluster is not understood here: {why}");
            }
        }
        cluster.set_appendfsync(config.appendfsync());
        cluster.set_replication_factor(config.replication_factor());
    })
}

/// How clients are listened for; `tcp-keepalive` may change.
fn listening(config: &Config) -> Listening {
    let (backlog, config) = (config.tcp_backlog(), config.clone());
    Listening { backlog, watch: Arc::new(move || Liveness::after(config.tcp_keepalive())) }
}

async fn accept(node: Rc<Node>, mut listener: Box<dyn Listener>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let local = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
                if let Some(refusal) = refusal(&node, from) {
                    spawn_local(async move {
                        let mut stream = stream;
                        let _ = stream.write_all(refusal.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    });
                    continue;
                }
                spawn_local(Session::new(stream, node.clone(), from.to_string(), local).run());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                clock::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Why a connection is not let in, if it is not.
fn refusal(node: &Node, from: SocketAddr) -> Option<&'static str> {
    if !node.has_room() {
        return Some("-ERR max number of clients reached\r\n");
    }
    let protected = node.config.protected_mode() && !node.requires_password();
    (protected && !from.ip().is_loopback()).then_some(
        "-DENIED this node is in protected mode: it has no password and takes only clients of its own machine. Set one \
         with CONFIG SET requirepass, or switch protected-mode off if the network is trusted\r\n",
    )
}

/// As soon as clients hold more than they may, and once a second for what is only noted then.
async fn limit_clients(node: Rc<Node>) {
    loop {
        let exceeded = quorate_env::timeout(Duration::from_secs(1), node.client_memory.exceeded()).await;
        if exceeded.is_ok() || !node.rests.get() {
            node.evict_clients();
        }
    }
}

/// Forgets, in short steps, what clients that are gone have left.
async fn tidy(node: Rc<Node>) {
    tokio::join!(node.channels.tidy(), node.channels.registered.tidy());
}

/// Once a second: commands per second, for INFO, and clients that must go.
async fn sample(node: Rc<Node>) {
    let mut last = node.totals();
    loop {
        clock::sleep(Duration::from_secs(1)).await;
        let now = node.totals();
        let c = &node.counters;
        c.ops_per_second.set(now.commands.saturating_sub(last.commands));
        c.bytes_in_per_second.set(now.bytes_in.saturating_sub(last.bytes_in));
        c.bytes_out_per_second.set(now.bytes_out.saturating_sub(last.bytes_out));
        last = now;
        if !node.rests.get() {
            node.look_after_clients();
        }
    }
}
