//! How a node starts: its folder, its cluster, its log, its consensus.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quorate_env::{Env, clock};
use quorate_log::{Durability, Log, Options as LogOptions, ShardId};
use quorate_replica::{
    Admin, Consensus, Doubts, Feed, Identity, Member, NodeId, Outcome, Role, Secret, Start, Timing,
};

use crate::membership::Cluster;

/// The only shard so far.
const SHARD: ShardId = ShardId(0);
/// How long a node waits between attempts to join.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct StartArgs {
    /// Everything that the node keeps lies here.
    pub data_dir: PathBuf,
    /// Where other nodes connect.
    pub bus: SocketAddr,
    /// How others reach this node; its incarnation is filled in.
    pub member: Member,
    /// Bus addresses of nodes to join; empty founds a cluster, if the folder is new.
    pub join: Vec<String>,
    /// The cluster's secret. None: it is in the data folder, or this node founds a cluster and makes one.
    pub secret: Option<Secret>,
    /// The number wanted; none asks for the next free one.
    pub node_id: Option<NodeId>,
    /// Timing of consensus.
    pub timing: Timing,
    /// Size of a log segment, bytes.
    pub segment_bytes: u64,
}

/// Starts a node on the present runtime, which becomes its consensus runtime.
pub async fn start(env: Env, args: StartArgs) -> io::Result<(Cluster, Feed)> {
    env.disk.create_dir(&args.data_dir)?;
    env.disk.lock(&args.data_dir)?;
    let identity = Identity::open(&env, &args.data_dir)?;
    let member = Member { incarnation: identity.incarnation(), ..args.member.clone() };
    let secret = secret(&env, &identity, &args)?;
    let founds = belong(&env, &identity, &secret, &args, &member).await?;
    let (log, doubts) = open_log(&env, &args, &identity)?;
    let bus = env.net.listen_with(args.bus, quorate_replica::listening()).await?;
    let cluster = Cluster::new();
    let start = Start {
        env,
        dir: args.data_dir.join("snapshots"),
        log: log.clone(),
        shard: SHARD,
        identity: identity.clone(),
        secret,
        timing: args.timing,
        bus,
        doubts,
    };
    let (consensus, feed) = Consensus::start(start, cluster.handler()).await?;
    cluster.attach(consensus.clone());
    if founds && !identity.is_initialized() {
        consensus.bootstrap(member.clone()).await?;
    }
    identity.initialized()?;
    tokio::spawn(cluster.clone().tend());
    tokio::spawn(readdress(cluster.clone(), member));
    tokio::spawn(sync_every_second(log, cluster.everysec()));
    Ok((cluster, feed))
}

/// The secret of the cluster that the folder belongs to, or is going to belong to.
fn secret(env: &Env, identity: &Identity, args: &StartArgs) -> io::Result<Secret> {
    let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let (dir, is_member) = (&args.data_dir, identity.node_id() != 0);
    let file = Secret::path(dir);
    let secret = match (args.secret.clone(), Secret::stored_in(env, dir)?) {
        (Some(given), Some(stored)) if is_member && given != stored && !identity.vouches_for(&given) => {
            return Err(refused(format!(
                "the file that --cluster-secret-file names holds another secret than {}: this node is a member already, \
                 and needs no such option. If the secret of the whole cluster is being replaced, remove {} first",
                file.display(),
                file.display()
            )));
        }
        (Some(given), _) => given,
        (None, Some(stored)) if identity.vouches_for(&stored) => stored,
        (None, Some(_)) => {
            let text = format!("{} is not what was written there. {}", file.display(), Secret::way_out(dir));
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        (None, None) if is_member => {
            return Err(refused(format!("{} is missing. {}", file.display(), Secret::way_out(dir))));
        }
        (None, None) if !args.join.is_empty() => {
            return Err(refused(
                "a node that joins needs the secret of the cluster: copy the file cluster-secret from the data folder \
                 of a member, and pass the copy with --cluster-secret-file"
                    .to_owned(),
            ));
        }
        (None, None) => Secret::generate(&*env.random),
    };
    if is_member {
        identity.keep_secret(&secret)?;
    }
    Ok(secret)
}

/// Makes sure that the folder belongs to a cluster. True: this node founds it, or did and was interrupted.
async fn belong(
    env: &Env,
    identity: &Arc<Identity>,
    secret: &Secret,
    args: &StartArgs,
    member: &Member,
) -> io::Result<bool> {
    if identity.node_id() != 0 {
        if let Some(wanted) = args.node_id.filter(|id| *id != identity.node_id()) {
            let text = format!(
                "the data folder {} belongs to node {}, not to node {wanted}: give another --data-dir or --node-id",
                args.data_dir.display(),
                identity.node_id()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        return Ok(identity.is_founder());
    }
    if args.join.is_empty() {
        let id = args.node_id.unwrap_or(1);
        identity.keep_secret(secret)?;
        identity.adopt(id, env.random.next_u64() | 1, true)?;
        tracing::info!(node = id, "founding a cluster");
        return Ok(true);
    }
    let (id, cluster) = join(env, identity, secret, args, member).await?;
    identity.keep_secret(secret)?;
    identity.adopt(id, cluster, false)?;
    tracing::info!(node = id, "joined the cluster");
    Ok(false)
}

/// Asks one node after the other until one takes this node in.
async fn join(
    env: &Env,
    identity: &Arc<Identity>,
    secret: &Secret,
    args: &StartArgs,
    member: &Member,
) -> io::Result<(NodeId, u64)> {
    let mut said = String::new();
    let mut say = |text: String| {
        if text != said {
            tracing::info!("{text}");
            said = text;
        }
    };
    loop {
        let mut targets = args.join.clone();
        while let Some(target) = targets.pop() {
            let (wanted, pace) = (args.node_id.unwrap_or(0), args.timing.pace());
            let asked = Consensus::ask_to_join(env, identity, secret, &target, wanted, member.clone(), pace);
            match asked.await {
                Ok(Outcome::Joined { id, cluster }) => return Ok((id, cluster)),
                Ok(Outcome::NotLeader(Some((_, leader)))) if leader.bus != target => targets.push(leader.bus),
                Ok(Outcome::NotLeader(_)) => say(format!("{target} knows no leader yet; trying again")),
                Ok(Outcome::Failed(why)) => say(format!("{why}; trying again")),
                Ok(Outcome::Refused(why)) => {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                Ok(other) => say(format!("{target} answered {other:?}; trying again")),
                Err(e) => say(format!("cannot join through {target} yet ({e}); trying again")),
            }
        }
        clock::sleep(JOIN_PAUSE).await;
    }
}

/// Opens the log and judges what recovery found (R6): whether all that it acknowledged is certainly in it.
fn open_log(env: &Env, args: &StartArgs, identity: &Identity) -> io::Result<(Log, Doubts)> {
    let options = LogOptions {
        segment_bytes: args.segment_bytes,
        durability: Durability::Always,
        ..LogOptions::default()
    };
    let (log, recovery) = Log::open(env.disk.clone(), &args.data_dir.join("log"), options)
        .map_err(|e| io::Error::other(e.to_string()))?;
    if recovery.torn_tail_bytes > 0 {
        tracing::info!(bytes = recovery.torn_tail_bytes, "cut the unfinished tail of the log");
    }
    if let Some(damage) = recovery.damage.as_ref().filter(|d| d.below_durable) {
        return Err(lost(args, &format!("the log is damaged: {damage}")));
    }
    if recovery.fresh && identity.is_initialized() {
        return Err(lost(args, "the folder has an identity and no log"));
    }
    Ok((log, Doubts::of(&recovery)))
}

fn lost(args: &StartArgs, what: &str) -> io::Error {
    let text = format!(
        "{what}. Acknowledged writes may be missing on this node; the other replicas have them: run QUORATE NODE \
         REMOVE on another member, empty {} and start this node with --join",
        args.data_dir.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Tells the cluster where this node is reached, if that has changed.
async fn readdress(cluster: Cluster, member: Member) {
    let id = cluster.node_id();
    loop {
        clock::sleep(Duration::from_secs(1)).await;
        let known = cluster.view().members.get(&id).cloned();
        if known.is_some_and(|known| known != member && known.incarnation == member.incarnation) {
            let outcome = cluster.admin(Admin::Readdress(id, member.clone())).await;
            tracing::info!(?outcome, "told the cluster the new addresses of this node");
        }
    }
}

/// Under `everysec` what was handed to the operating system is made durable every second (R8).
async fn sync_every_second(log: Log, everysec: Arc<AtomicBool>) {
    loop {
        clock::sleep(Duration::from_secs(1)).await;
        if everysec.load(Ordering::Relaxed) {
            log.sync(Box::new(|_| ()));
        }
    }
}

/// A member with no addresses, for tests.
#[must_use]
pub fn member(addr: &str, bus: &str) -> Member {
    Member { addr: addr.to_owned(), bus: bus.to_owned(), role: Role::Data, ..Member::default() }
}
