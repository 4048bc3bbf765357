//! CONFIG. Parameters of the node change at once, those of the cluster through the log (R12).

use std::rc::Rc;

use quorate_cluster::config::{Change, Scope};
use quorate_keyspace::command::Command;
use quorate_keyspace::{CommandError, Reply};
use quorate_replica::Transaction;

use super::{Answer, Cx, refused_at_exec};
use crate::connection::Connection;
use crate::node::Node;
use crate::serve::in_the_log;

pub(super) fn get(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let found = cx.node.config.get_matching(&args[2..])?;
    reply.map(found.len());
    for (name, value) in found {
        let value = if name == PASSWORD { shown_password(cx.node).to_owned() } else { value };
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
    // Lower limits hold before the next command.
    node.tracking.limit_keys(node.config.tracking_table_max_keys());
    node.evict_clients();
    let line = match line_for_the_log(&node, &changes) {
        Ok(Some(line)) => line,
        Ok(None) => return connection.reply(&mut |r| r.ok()),
        Err(error) => return connection.reply(&mut |r| r.error(&error)),
    };
    let line: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    let answer = node.replica.write_internal_by(connection.user.get(), &line).await;
    connection.reply(&mut |r| r.raw(&answer));
}

/// The parameter that is a property of the default user.
const PASSWORD: &str = "requirepass";

/// What CONFIG GET shows in place of a password, which nobody knows any more.
const PASSWORD_SHOWN: &str = "(set)";

const NO_PASSWORD_TO_KEEP: CommandError = CommandError::fixed(
    "ERR CONFIG SET failed (possibly related to argument 'requirepass') - '(set)' is what CONFIG GET shows in place of a \
     password, and there is none",
);

fn shown_password(node: &Node) -> &'static str {
    let users = node.access.users();
    let has_password = !users.default_user().takes_any_password();
    if has_password { PASSWORD_SHOWN } else { "" }
}

/// The command that changes parameters of the cluster, if there are any among these.
fn line_for_the_log(node: &Node, changes: &[Change]) -> Result<Option<Vec<Vec<u8>>>, CommandError> {
    let mut line: Vec<Vec<u8>> = vec![b"\0directory.set".to_vec()];
    for change in changes.iter().filter(|c| c.scope == Scope::Cluster) {
        // Tools write back what they have read.
        let is_shown = change.name == PASSWORD && change.value == PASSWORD_SHOWN;
        if is_shown && shown_password(node).is_empty() {
            return Err(NO_PASSWORD_TO_KEEP);
        }
        if !is_shown {
            line.push(format!("config.{}", change.name).into_bytes());
            line.push(in_the_log(change.name, change.value.clone()).into_bytes());
        }
    }
    Ok((line.len() > 1).then_some(line))
}

/// CONFIG SET as a step of a transaction. A step is carried out by all replicas or by this node alone, so it cannot
/// change parameters of the cluster and of the node at once.
pub(crate) fn set_within_transaction(
    command: &'static Command,
    node: Rc<Node>,
    connection: Rc<Connection>,
    transaction: &mut Transaction,
    args: &[&[u8]],
) {
    const BOTH: &str = "ERR CONFIG SET failed - within a transaction, parameters of the node and those of the cluster \
                        need a CONFIG SET each";
    let refuse = |transaction: &mut Transaction, text: String| {
        let error = CommandError::new(text);
        transaction.local(Box::new(move |reply| reply.error(&error)));
    };
    let changes = match node.config.check_all(&args[2..]) {
        Ok(changes) => changes,
        Err(text) => return refuse(transaction, text),
    };
    let of_node = changes.iter().filter(|change| change.scope == Scope::Node).count();
    match line_for_the_log(&node, &changes) {
        Err(error) => refuse(transaction, error.text().to_owned()),
        Ok(Some(_)) if of_node > 0 => refuse(transaction, BOTH.to_owned()),
        Ok(Some(line)) => transaction.command(0, &line.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        Ok(None) => {
            let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
            transaction.local(Box::new(move |reply| {
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                if refused_at_exec(command, &node, &connection, &args, reply) {
                    return;
                }
                match node.config.set_all(&args[2..]) {
                    Ok(_) => reply.ok(),
                    Err(text) => reply.error(&CommandError::new(text)),
                }
            }));
        }
    }
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
