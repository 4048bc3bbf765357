//! DEBUG: who may use it, and what concerns the node rather than the data.

use std::net::SocketAddr;
use std::rc::Rc;

use quorate_cluster::config::DebugAccess;
use quorate_keyspace::{CommandError, Keyspace, Reply};

use super::{Answer, Cx, save, text};
use crate::connection::Connection;
use crate::node::Node;

/// What everybody else is told.
pub(crate) const NOT_ALLOWED: CommandError = CommandError::fixed(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// Whether a client may use DEBUG.
pub(crate) fn is_allowed(node: &Node, connection: &Connection) -> bool {
    match node.config.enable_debug_command() {
        DebugAccess::No => false,
        DebugAccess::Yes => true,
        DebugAccess::Local => connection
            .addr
            .parse::<SocketAddr>()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback()),
    }
}

/// `DEBUG LOG text`
pub(super) fn log(args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    tracing::warn!("DEBUG LOG: {}", text(args[2]));
    reply.ok();
    Ok(())
}

/// `DEBUG PAUSE-CRON 0 | 1`: what this node does for its clients once a second, so that a test sees what happens without it.
pub(super) fn pause_cron(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    cx.node.rests.set(super::admin::number(args[2])? != 0);
    reply.ok();
    Ok(())
}

/// `DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]`, `DEBUG LOADAOF`: writes a snapshot as SAVE does, and makes the state anew
/// from one in memory, so that what does not survive that is found. The state itself stays where it is: it is the log's.
/// What is loaded beside what is there (NOFLUSH) collides with it, unless it may take its place (MERGE).
pub(super) async fn reload(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let result = reload_as(&node, &args[2..]).await;
    connection.reply(&mut |reply| match &result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    });
}

fn holds_anything(keyspace: &Keyspace) -> bool {
    let (_, libraries, _) = keyspace.script_counts();
    libraries > 0 || (0..keyspace.databases()).any(|db| keyspace.stats(db).keys > 0)
}

async fn reload_as(node: &Rc<Node>, options: &[Vec<u8>]) -> Result<(), CommandError> {
    const BAD: CommandError =
        CommandError::fixed("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
    let is = |option: &[u8], word: &str| option.eq_ignore_ascii_case(word.as_bytes());
    if options.iter().any(|option| !["merge", "noflush", "nosave"].iter().any(|word| is(option, word))) {
        return Err(BAD);
    }
    let has = |word| options.iter().any(|option| is(option, word));
    if !has("nosave") {
        save::write_snapshot(node).await?;
    }
    if has("noflush") && !has("merge") && node.replica.with_keyspace(holds_anything) {
        return Err(CommandError::fixed(
            "ERR Error trying to load the RDB dump: what is in it is there already; MERGE lets it take its place",
        ));
    }
    let checked = node.replica.look(Keyspace::check_reload).await;
    checked.map_err(|error| CommandError::new(format!("ERR Error trying to load the snapshot: {error}")))
}
