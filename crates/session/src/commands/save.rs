//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE. What is acknowledged is in the log; snapshots are taken without being asked. These
//! write one at once, on this node.

use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Instant, clock};
use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx};
use crate::connection::Connection;
use crate::node::Node;

/// How often a snapshot that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// When none is being written after this long, the disk is at fault.
const LIMIT: Duration = Duration::from_secs(10);

/// Writes a snapshot that holds everything this node has applied, and waits until it is durable.
pub(super) async fn write_snapshot(node: &Node) -> Result<(), CommandError> {
    const FAILED: CommandError = CommandError::fixed("ERR no snapshot could be written, see the node's log");
    let replica = &node.replica;
    // One that is under way may have begun before what the client has just written.
    let wanted = replica.stats().snapshots + 1 + u64::from(replica.is_snapshotting());
    let mut asked = None;
    let mut deadline = Instant::now() + LIMIT;
    while replica.stats().snapshots < wanted {
        let written = replica.stats().snapshots;
        if replica.is_snapshotting() {
            deadline = Instant::now() + LIMIT;
        } else if asked != Some(written) {
            asked = Some(written);
            replica.snapshot();
        }
        if Instant::now() >= deadline {
            return Err(FAILED);
        }
        clock::sleep(LOOK).await;
    }
    Ok(())
}

/// `SAVE`
pub(super) async fn save(node: Rc<Node>, connection: Rc<Connection>) {
    let result = write_snapshot(&node).await;
    connection.reply(&mut |reply| match &result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    });
}

/// `BGSAVE [SCHEDULE]`
pub(super) fn bgsave(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    match &args[1..] {
        [] => {}
        [option] if option.eq_ignore_ascii_case(b"schedule") => {}
        _ => return Err(CommandError::SYNTAX),
    }
    cx.node.replica.snapshot();
    reply.simple("Background saving started");
    Ok(())
}

/// `BGREWRITEAOF`: what a rewritten file would replace is replaced by a snapshot.
pub(super) fn bgrewriteaof(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    cx.node.replica.snapshot();
    reply.simple("Background append only file rewriting started");
    Ok(())
}

/// `LASTSAVE`: in seconds since 1970; 0 if this node has written no snapshot since it was started.
pub(super) fn lastsave(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.int((cx.node.replica.last_snapshot_ms() / 1000) as i64);
    Ok(())
}
