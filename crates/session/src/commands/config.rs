//! CONFIG. Parameters of the node change at once, those of the cluster through the log (R12).

use std::rc::Rc;

use quorate_cluster::config::Scope;
use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx};
use crate::connection::Connection;
use crate::node::Node;

pub(super) fn get(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let found = cx.node.config.get_matching(&args[2..]);
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

pub(super) async fn set(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let changes = match node.config.set_all(&args[2..]) {
        Ok(changes) => changes,
        Err(text) => return connection.reply(&mut |r| r.error(&CommandError::new(text.clone()))),
    };
    let mut line: Vec<Vec<u8>> = vec![b"\0directory.set".to_vec()];
    for change in changes.iter().filter(|c| c.scope == Scope::Cluster) {
        line.push(format!("config.{}", change.name).into_bytes());
        line.push(change.value.clone().into_bytes());
    }
    if line.len() == 1 {
        return connection.reply(&mut |r| r.ok());
    }
    let line: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    let answer = node.replica.write_internal(&line).await;
    connection.reply(&mut |r| r.raw(&answer));
}

pub(super) fn resetstat(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    cx.node.reset_tally();
    reply.ok();
    Ok(())
}

pub(super) fn rewrite() -> Answer {
    Err(CommandError::fixed(
        "ERR The server is running without a config file: parameters of the cluster are kept in the log, those of the \
         node belong into its --config file",
    ))
}
