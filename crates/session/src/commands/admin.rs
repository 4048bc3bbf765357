//! WAIT, WAITAOF, SHUTDOWN.

use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Instant, clock};
use quorate_keyspace::CommandError;

use super::Answer;
use crate::connection::Connection;
use crate::node::Node;

/// How often WAIT looks again.
const LOOK: Duration = Duration::from_millis(2);

fn timeout(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let n = quorate_resp::parse_integer(arg)
        .ok_or(CommandError::fixed("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(n).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

fn number(arg: &[u8]) -> Result<i64, CommandError> {
    let n = quorate_resp::parse_integer(arg).ok_or(CommandError::NOT_AN_INTEGER)?;
    if n < 0 { Err(CommandError::OUT_OF_RANGE) } else { Ok(n) }
}

/// Waits until `wanted` other replicas have the connection's last write on disk; how many have.
async fn replicas(node: &Node, connection: &Connection, wanted: i64, limit: Option<Duration>) -> i64 {
    let deadline = limit.map(|l| Instant::now() + l);
    loop {
        let have = node.replica.replicas_with(connection.written.get()).await;
        let late = deadline.is_some_and(|d| Instant::now() >= d);
        if have >= wanted || late || connection.closing.get() || connection.ended.get() {
            return have;
        }
        clock::sleep(LOOK).await;
    }
}

fn finish(connection: &Connection, result: Answer) {
    if let Err(error) = result {
        connection.reply(&mut |reply| reply.error(&error));
    }
}

pub(super) async fn wait(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let parsed = number(&args[1]).and_then(|n| Ok((n, timeout(&args[2])?)));
    let (wanted, limit) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return finish(&connection, Err(error)),
    };
    let have = replicas(&node, &connection, wanted, limit).await;
    connection.reply(&mut |reply| reply.int(have));
}

/// This node's log is synced in any case: what is acknowledged may be on the disks of a majority without it.
pub(super) async fn waitaof(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let parsed = number(&args[1]).and_then(|local| Ok((local, number(&args[2])?, timeout(&args[3])?)));
    let (wanted, limit) = match parsed {
        Ok((local, ..)) if local > 1 => {
            let error = CommandError::fixed("ERR value is out of range, value must between 0 and 1");
            return finish(&connection, Err(error));
        }
        Ok((_, wanted, limit)) => (wanted, limit),
        Err(error) => return finish(&connection, Err(error)),
    };
    node.replica.sync_log().await;
    let have = replicas(&node, &connection, wanted, limit).await;
    connection.reply(&mut |reply| {
        reply.array(2);
        reply.int(1);
        reply.int(have);
    });
}

/// SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]: leadership is handed over, the log is closed, the process ends.
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
