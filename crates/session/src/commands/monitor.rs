//! MONITOR. It shows what this node's sessions carry out (R18).

use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx};

pub(super) fn monitor(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    if cx.connection.queued.get().is_some() {
        return Err(CommandError::fixed("ERR MONITOR isn't allowed within a transaction"));
    }
    cx.node.stats.monitors.add(cx.connection);
    reply.ok();
    Ok(())
}
