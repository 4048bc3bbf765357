//! What the session itself answers.

mod acl;
mod admin;
mod auth;
mod client;
mod cluster;
mod config;
pub(crate) mod debug;
mod failover;
mod info;
mod info_stats;
mod latency;
mod latency_report;
mod lolwut;
mod memory;
mod migrate;
mod monitor;
pub(crate) mod pubsub;
mod quorate;
mod save;
mod slowlog;
mod tracking;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use quorate_keyspace::command::{Command, introspect};
use quorate_keyspace::{CommandError, Keyspace, Meter, Metered, Place, Reply};
use quorate_replica::Local;

use crate::channels::Kind;
use crate::connection::Connection;
use crate::dispatch::State;
use crate::node::Node;
use crate::transaction::Report;

pub(crate) use acl::{hash_of, without_passwords};
pub(crate) use auth::reset;
pub(crate) use client::describe;
pub(crate) use config::set_within_transaction;
pub(crate) use migrate::UNDER_WAY_MAX as MIGRATIONS_MAX;

/// What became of a session's command.
pub(crate) enum Action {
    Done,
    /// It takes time. It writes its own answer.
    Async(Pin<Box<dyn Future<Output = ()>>>),
    /// The same, and it notes by itself how long that was.
    Look(Pin<Box<dyn Future<Output = ()>>>),
}

/// The node and the connection that a command concerns.
pub(crate) struct Cx<'a> {
    pub(crate) node: &'a Rc<Node>,
    pub(crate) connection: &'a Rc<Connection>,
}

type Answer = Result<(), CommandError>;

/// Carries out a command with nothing of its connection under way.
pub(crate) fn action(command: &'static Command, state: &mut State, args: &[&[u8]]) -> Action {
    let (node, connection) = (state.node.clone(), state.connection.clone());
    let owned = || args.iter().map(|a| a.to_vec()).collect::<Vec<_>>();
    match command.name {
        "wait" => Action::Async(Box::pin(admin::wait(node, connection, owned()))),
        "waitaof" => Action::Async(Box::pin(admin::waitaof(node, connection, owned()))),
        "shutdown" => Action::Async(Box::pin(admin::shutdown(node, connection, owned()))),
        "config|set" => Action::Async(Box::pin(config::set(node, connection, owned()))),
        "migrate" => Action::Async(Box::pin(migrate::migrate(node, connection, owned()))),
        "failover" => Action::Async(Box::pin(failover::failover(node, connection, owned()))),
        "cluster|failover" => Action::Async(Box::pin(failover::cluster_failover(node, connection, owned()))),
        "save" => Action::Async(Box::pin(save::save(node, connection))),
        "debug|reload" | "debug|loadaof" => Action::Async(Box::pin(debug::reload(node, connection, owned()))),
        "quorate|digest" if args.len() > 2 => {
            Action::Async(Box::pin(quorate::full_digest(node, connection, owned())))
        }
        "quorate|node" | "quorate|failover" => {
            Action::Async(Box::pin(quorate::admin(node, connection, owned())))
        }
        "cluster|countkeysinslot" | "cluster|getkeysinslot" => {
            Action::Look(Box::pin(look(command, node, connection, owned())))
        }
        name if pubsub::answers_with_pushes(name) && pubsub::has_steps(&connection, name, args) => {
            Action::Look(Box::pin(pubsub::subscribe_in_steps(node, connection, command, owned())))
        }
        _ if takes_long(command, &node, args) => {
            Action::Look(Box::pin(look(command, node, connection, owned())))
        }
        _ => {
            let cx = Cx { node: &node, connection: &connection };
            let mut run = |reply: &mut Reply<'_>| answer(command, &cx, args, Place::Client, reply);
            if pubsub::answers_with_pushes(command.name) {
                connection.answer_with_pushes(&mut run);
            } else {
                connection.reply(&mut run);
            }
            Action::Done
        }
    }
}

/// Beyond so many names, a command that looks at each takes its time.
const NAMES_MANY: usize = 1024;
/// Beyond so many bytes, a password does.
const BYTES_MANY: usize = 64 << 10;

/// Whether a command that is over at once otherwise takes so long with these arguments that consensus must go on meanwhile.
fn takes_long(command: &Command, node: &Node, args: &[&[u8]]) -> bool {
    let channels = &node.channels;
    let bytes = || args.iter().map(|arg| arg.len()).sum::<usize>();
    match command.name {
        "publish" => channels.takes_time(args[1].len()),
        "pubsub|channels" => channels.len(Kind::Channel) > NAMES_MANY,
        "pubsub|shardchannels" => channels.len(Kind::Shard) > NAMES_MANY,
        "auth" | "hello" => bytes() > BYTES_MANY,
        "client|tracking" | "pubsub|numsub" | "pubsub|shardnumsub" => args.len() > NAMES_MANY,
        _ => false,
    }
}

/// A command that goes through all keys, or many names, which may take long.
async fn look(command: &'static Command, node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let replica = node.replica.clone();
    let carry_out = move |_: &Keyspace| {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let cx = Cx { node: &node, connection: &connection };
        connection.reply(&mut |reply| answer(command, &cx, &args, Place::Client, reply));
    };
    replica.look(carry_out).await;
}

/// Notes how long a command takes that is carried out while others go on. What it waits for on behalf of its client does not
/// count.
pub(crate) fn noted(
    work: Pin<Box<dyn Future<Output = ()>>>,
    command: &'static Command,
    node: Rc<Node>,
    connection: Rc<Connection>,
    args: Vec<Vec<u8>>,
) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        let mut begun = node.stats.restart();
        work.await;
        if matches!(command.name, "wait" | "waitaof") {
            begun = node.stats.restart();
        }
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let error = connection.failed.get().then_some(&b"ERR"[..]);
        let metered = Metered { begun, command, args: &args, place: Place::Client, error, sleep_ms: 0 };
        node.stats.ended(&connection, &metered);
    })
}

/// The same as a step of a transaction: at its place, on the node that the client is connected to.
pub(crate) fn within_transaction(
    command: &'static Command,
    node: Rc<Node>,
    connection: Rc<Connection>,
    args: &[&[u8]],
) -> Local {
    let args: Vec<Vec<u8>> = args.iter().map(|a| a.to_vec()).collect();
    Box::new(move |reply| {
        if connection.closing.get() {
            // Nobody would undo it.
            return reply.error(&CommandError::fixed("ERR the client is gone"));
        }
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        if refused_at_exec(command, &node, &connection, &args, reply) {
            return;
        }
        answer(command, &Cx { node: &node, connection: &connection }, &args, Place::Transaction, reply);
        if command.name == "client|tracking" {
            // What this entry changed so far, and what the transaction has read, it was not told of.
            node.tracking.tell_to_drop_all(&connection);
        }
    })
}

/// Refuses a step of a transaction that no other replica sees, if the user may not do it any more. The others every replica
/// judges.
fn refused_at_exec(
    command: &'static Command,
    node: &Node,
    connection: &Connection,
    args: &[&[u8]],
    reply: &mut Reply<'_>,
) -> bool {
    let Err(denied) = node.access.judge(connection.user.get(), command, args) else { return false };
    if let Some(denial) = denied.denial(command, args) {
        connection.denied(&denial, Place::Transaction);
    }
    reply.error(&denied.error_at_exec());
    true
}

/// Whether a command takes time, so that it cannot be a step of a transaction.
pub(crate) fn takes_time(command: &Command) -> bool {
    matches!(
        command.name,
        "shutdown"
            | "migrate"
            | "failover"
            | "cluster|failover"
            | "debug|reload"
            | "debug|loadaof"
            | "quorate|node"
            | "quorate|failover"
    )
}

/// Whether the answer looks at the state of the whole node, which apply has in hand while it executes a transaction.
pub(crate) fn reports_on_node(command: &Command) -> bool {
    matches!(
        command.name,
        "info"
            | "lastsave"
            | "bgsave"
            | "bgrewriteaof"
            | "memory|stats"
            | "memory|doctor"
            | "memory|malloc-stats"
            | "config|resetstat"
            | "wait"
            | "waitaof"
            | "quorate|status"
            | "quorate|digest"
            | "cluster|countkeysinslot"
            | "cluster|getkeysinslot"
    )
}

/// Makes the answer of such a command.
pub(crate) fn report(report: &Report, node: &Rc<Node>, connection: &Rc<Connection>) {
    let args: Vec<&[u8]> = report.args.iter().map(Vec::as_slice).collect();
    let mut bytes = report.answer.borrow_mut();
    let mut reply = Reply::new(&mut bytes, connection.protocol.get());
    if refused_at_exec(report.command, node, connection, &args, &mut reply) {
        return;
    }
    answer(report.command, &Cx { node, connection }, &args, Place::Transaction, &mut reply);
}

fn answer(command: &'static Command, cx: &Cx<'_>, args: &[&[u8]], place: Place, reply: &mut Reply<'_>) {
    let (begun, mark) = (reply.begin(), reply.mark());
    if let Err(error) = run(command, cx, args, reply) {
        reply.rollback(mark);
        reply.error(&error);
    }
    reply.end(begun, command, args, place, 0);
}

fn run(command: &'static Command, cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    match command.name {
        "acl|genpass" => acl::genpass(cx, args, reply),
        "acl|load" | "acl|save" => acl::no_file(),
        "acl|log" => acl::log(cx, args, reply),
        "acl|whoami" => acl::whoami(cx, reply),
        "auth" => auth::auth(cx, args, reply),
        "hello" => auth::hello(cx, args, reply),
        "quit" => auth::quit(cx, reply),
        "client|id" => client::id(cx, reply),
        "client|info" => client::info(cx, args, reply),
        "client|list" => client::list(cx, args, reply),
        "client|setname" => client::setname(cx, args, reply),
        "client|getname" => client::getname(cx, reply),
        "client|setinfo" => client::setinfo(cx, args, reply),
        "client|kill" => client::kill(cx, args, reply),
        "client|no-evict" => client::no_evict(cx, args, reply),
        "client|no-touch" => client::no_touch(cx, args, reply),
        "client|reply" => client::reply_mode(cx, args, reply),
        "client|pause" => client::pause(cx, args, reply),
        "client|unblock" => client::unblock(cx, args, reply),
        "client|caching" => tracking::caching(cx, args, reply),
        "client|getredir" => tracking::getredir(cx, reply),
        "client|tracking" => tracking::tracking(cx, args, reply),
        "client|trackinginfo" => tracking::info(cx, reply),
        "client|unpause" => client::unpause(cx, reply),
        "config|get" => config::get(cx, args, reply),
        "config|resetstat" => config::resetstat(cx, reply),
        "config|rewrite" => config::rewrite(),
        "bgsave" => save::bgsave(cx, args, reply),
        "bgrewriteaof" => save::bgrewriteaof(cx, reply),
        "lastsave" => save::lastsave(cx, reply),
        "debug|log" => debug::log(args, reply),
        "debug|pause-cron" => debug::pause_cron(cx, args, reply),
        "info" => info::info(cx, args, reply),
        "role" => info::role(cx, reply),
        "slowlog|get" => slowlog::get(cx, args, reply),
        "slowlog|len" => slowlog::len(cx, reply),
        "slowlog|reset" => slowlog::reset(cx, reply),
        "latency|doctor" => latency_report::doctor(cx, reply),
        "latency|graph" => latency_report::graph(cx, args, reply),
        "latency|histogram" => latency::histogram(cx, args, reply),
        "latency|history" => latency::history(cx, args, reply),
        "latency|latest" => latency::latest(cx, reply),
        "latency|reset" => latency::reset(cx, args, reply),
        "lolwut" => lolwut::lolwut(args, reply),
        "memory|doctor" => memory::doctor(cx, reply),
        "memory|malloc-stats" => memory::malloc_stats(cx, reply),
        "memory|purge" => memory::purge(reply),
        "memory|stats" => memory::stats(cx, reply),
        "module|list" => {
            reply.array(0);
            Ok(())
        }
        "publish" | "spublish" => {
            reply.count(pubsub::publish(cx, command.name == "spublish", args));
            Ok(())
        }
        "pubsub|channels" => pubsub::list(cx, Kind::Channel, args, reply),
        "pubsub|numpat" => pubsub::numpat(cx, reply),
        "pubsub|numsub" => pubsub::numsub(cx, Kind::Channel, args, reply),
        "pubsub|shardchannels" => pubsub::list(cx, Kind::Shard, args, reply),
        "pubsub|shardnumsub" => pubsub::numsub(cx, Kind::Shard, args, reply),
        name if pubsub::answers_with_pushes(name) => pubsub::subscribe(cx, name, args, reply),
        "monitor" => monitor::monitor(cx, reply),
        "replicaof" | "slaveof" => failover::replicaof(args, reply),
        "cluster|info" => cluster::info(cx, reply),
        "cluster|myid" => cluster::myid(cx, reply),
        "cluster|nodes" => cluster::nodes(cx, reply),
        "cluster|myshardid" => cluster::myshardid(cx, reply),
        "cluster|replicas" | "cluster|slaves" => cluster::replicas(cx, args, reply),
        "cluster|slots" => cluster::slots(cx, reply),
        "cluster|shards" => cluster::shards(cx, reply),
        "cluster|keyslot" => cluster::keyslot(args, reply),
        "cluster|countkeysinslot" => cluster::count_keys_in_slot(cx, args, reply),
        "cluster|getkeysinslot" => cluster::get_keys_in_slot(cx, args, reply),
        "readonly" => {
            cx.connection.readonly.set(true);
            reply.ok();
            Ok(())
        }
        "readwrite" | "asking" => {
            if command.name == "readwrite" {
                cx.connection.readonly.set(false);
            }
            reply.ok();
            Ok(())
        }
        "wait" => admin::wait_now(cx, args, reply),
        "waitaof" => admin::waitaof_now(cx, args, reply),
        // Within a transaction; EXEC forgets the watches in any case.
        "unwatch" => {
            reply.ok();
            Ok(())
        }
        "quorate|status" => quorate::status(cx, reply),
        "quorate|digest" => quorate::digest(cx, args, reply),
        name if name.ends_with("|help") => {
            introspect::help(name.trim_end_matches("|help"), reply);
            Ok(())
        }
        // Only commands that take time are left, and those not in a transaction.
        _ => Err(CommandError::fixed("ERR Command not allowed inside a transaction")),
    }
}

/// Text of an argument, for what must be readable.
fn text(arg: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(arg)
}

/// A number that may not be negative.
fn count(arg: &[u8]) -> Result<u64, CommandError> {
    let n = quorate_resp::parse_integer(arg).ok_or(CommandError::NOT_AN_INTEGER)?;
    u64::try_from(n).map_err(|_| CommandError::OUT_OF_RANGE)
}

/// Each client may keep so much of a name.
const NAME_BYTES_MAX: usize = 4096;

/// What a name of a client may hold: it appears in lists whose fields spaces separate.
fn check_name(name: &[u8], what: &str) -> Result<(), CommandError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(CommandError::new(format!("ERR {what} may have at most {NAME_BYTES_MAX} bytes.")));
    }
    match name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        true => Ok(()),
        false => Err(CommandError::new(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        ))),
    }
}
