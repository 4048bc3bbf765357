//! WAIT, WAITAOF, SHUTDOWN.

use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Instant, clock};
use quorate_keyspace::{CommandError, Release, Reply};

use super::{Answer, Cx};
use crate::connection::Connection;
use crate::node::Node;

/// How long WAITAOF waits for a node that it has asked to sync, until it asks again.
const ASK_LIMIT: Duration = Duration::from_millis(500);
/// How often WAIT looks again.
const LOOK: Duration = Duration::from_millis(2);

fn timeout(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let n = quorate_resp::parse_integer(arg)
        .ok_or(CommandError::fixed("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(n).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

pub(super) fn number(arg: &[u8]) -> Result<i64, CommandError> {
    let n = quorate_resp::parse_integer(arg).ok_or(CommandError::NOT_AN_INTEGER)?;
    if n < 0 { Err(CommandError::fixed("ERR value is out of range, must be positive")) } else { Ok(n) }
}

/// Waits until `wanted` other replicas have the connection's last write on disk; how many have.
async fn replicas(node: &Node, connection: &Connection, wanted: i64, limit: Option<Duration>) -> i64 {
    let deadline = limit.map(|l| Instant::now() + l);
    loop {
        let have = node.replica.replicas_with(connection.written.get()).await;
        let late = deadline.is_some_and(|d| Instant::now() >= d);
        if have >= wanted || late || is_over(connection) {
            return have;
        }
        clock::sleep(LOOK).await;
    }
}

/// The same for disks that hold it whatever becomes of the operating system: asks them to sync.
async fn synced_replicas(node: &Node, connection: &Connection, wanted: i64, limit: Option<Duration>) -> i64 {
    let deadline = limit.map(|l| Instant::now() + l);
    loop {
        let left = deadline.map_or(ASK_LIMIT, |d| d.duration_since(Instant::now()).min(ASK_LIMIT));
        let have = node.replica.replicas_synced(connection.written.get(), wanted.max(1), left).await;
        let late = deadline.is_some_and(|d| Instant::now() >= d);
        if have >= wanted || late || is_over(connection) {
            return have;
        }
        clock::sleep(LOOK).await;
    }
}

/// Whether nobody wants to know any more.
fn is_over(connection: &Connection) -> bool {
    connection.closing.get() || connection.ended.get() || connection.unblocked.get().is_some()
}

/// Notes that a connection waits for replicas, as long as it lives.
struct Awaits<'a>(&'a Connection);

impl<'a> Awaits<'a> {
    fn begin(connection: &'a Connection) -> Self {
        connection.unblocked.set(None);
        connection.awaits_replicas.set(true);
        Self(connection)
    }

    /// The error that CLIENT UNBLOCK wants in place of the answer.
    fn error(&self) -> Answer {
        match self.0.unblocked.get() {
            Some(Release::Error) => Err(CommandError::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
            _ => Ok(()),
        }
    }
}

impl Drop for Awaits<'_> {
    fn drop(&mut self) {
        self.0.awaits_replicas.set(false);
    }
}

fn finish(connection: &Connection, result: Answer) {
    if let Err(error) = result {
        connection.reply(&mut |reply| reply.error(&error));
    }
}

/// The arguments of WAIT: replicas, time.
fn parse_wait(args: &[impl AsRef<[u8]>]) -> Result<(i64, Option<Duration>), CommandError> {
    let wanted = quorate_resp::parse_integer(args[1].as_ref()).ok_or(CommandError::NOT_AN_INTEGER)?;
    Ok((wanted, timeout(args[2].as_ref())?))
}

/// The arguments of WAITAOF: replicas, time. Whether the node itself counts is checked and changes nothing.
fn parse_waitaof(args: &[impl AsRef<[u8]>]) -> Result<(i64, Option<Duration>), CommandError> {
    let local = quorate_resp::parse_integer(args[1].as_ref()).ok_or(CommandError::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::fixed("ERR value is out of range, value must between 0 and 1"));
    }
    Ok((number(args[2].as_ref())?, timeout(args[3].as_ref())?))
}

pub(super) async fn wait(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let (wanted, limit) = match parse_wait(&args) {
        Ok(parsed) => parsed,
        Err(error) => return finish(&connection, Err(error)),
    };
    let awaits = Awaits::begin(&connection);
    let have = replicas(&node, &connection, wanted, limit).await;
    if let Err(error) = awaits.error() {
        return finish(&connection, Err(error));
    }
    connection.reply(&mut |reply| reply.int(have));
}

/// Counts only what was synced: the node's log in any case (what is acknowledged may be on the disks of a majority without
/// it), and those of others that say so.
pub(super) async fn waitaof(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let (wanted, limit) = match parse_waitaof(&args) {
        Ok(parsed) => parsed,
        Err(error) => return finish(&connection, Err(error)),
    };
    let awaits = Awaits::begin(&connection);
    let local = node.replica.sync_log().await;
    let have = synced_replicas(&node, &connection, wanted, limit).await;
    if let Err(error) = awaits.error() {
        return finish(&connection, Err(error));
    }
    connection.reply(&mut |reply| {
        reply.array(2);
        reply.int(local.into());
        reply.int(have);
    });
}

/// How many replicas are known at once to have the connection's last write: the leader knows, others know of none.
fn replicas_now(cx: &Cx<'_>) -> i64 {
    let view = cx.node.cluster.view();
    let (me, index) = (cx.node.cluster.node_id(), cx.connection.written.get());
    let others = view.matched.iter().filter(|(id, _)| view.is_leader && **id != me);
    others.filter(|(_, matched)| **matched >= index).count() as i64
}

/// WAIT within a transaction does not wait.
pub(super) fn wait_now(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    parse_wait(args)?;
    reply.int(replicas_now(cx));
    Ok(())
}

/// WAITAOF within a transaction: nothing is known to be synced without waiting.
pub(super) fn waitaof_now(_: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    parse_waitaof(args)?;
    reply.array(2);
    reply.int(0);
    reply.int(0);
    Ok(())
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`: leadership is handed over, the log is closed, the process ends.
pub(super) async fn shutdown(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    for option in &args[1..] {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" | b"save" | b"now" | b"force" => {}
            b"abort" => {
                let error = CommandError::fixed("ERR No shutdown in progress.");
                return finish(&connection, Err(error));
            }
            _ => return finish(&connection, Err(CommandError::SYNTAX)),
        }
    }
    node.shutdown.notify_one();
    connection.closing.set(true);
}
