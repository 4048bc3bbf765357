//! QUORATE: what Redis does not have.

use std::rc::Rc;

use quorate_keyspace::{CommandError, Reply};
use quorate_replica::{Admin, NodeId, Outcome, Role};

use super::{Answer, Cx, count, text};
use crate::connection::Connection;
use crate::node::Node;

pub(super) fn status(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let view = cx.node.cluster.view();
    let (index, digest) = cx.node.replica.with_keyspace(|k| (k.index(), k.digest()));
    let number = |reply: &mut Reply<'_>, field: &str, n: u64| {
        reply.bulk(field.as_bytes());
        reply.int(n as i64);
    };
    reply.map(10);
    number(reply, "id", cx.node.cluster.node_id());
    number(reply, "term", view.term);
    reply.bulk(b"leader");
    match view.leader {
        Some(id) => reply.int(id as i64),
        None => reply.null(),
    }
    number(reply, "applied", index);
    number(reply, "committed", view.committed);
    number(reply, "last", view.last);
    reply.bulk(b"digest");
    reply.bulk(format!("{digest:016x}").as_bytes());
    number(reply, "uptime-ms", cx.node.started.elapsed().as_millis() as u64);
    number(reply, "voters", view.voters.len() as u64);
    reply.bulk(b"version");
    reply.bulk(env!("CARGO_PKG_VERSION").as_bytes());
    Ok(())
}

const DIGEST_USAGE: CommandError = CommandError::fixed("ERR usage: QUORATE DIGEST [FULL]");

/// `QUORATE DIGEST FULL`: the digest of all contents at one index, which takes a while. Commands go on meanwhile, those of
/// other clients; an entry after that index is not in it.
pub(super) async fn full_digest(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let digest = match args.get(2) {
        Some(word) if args.len() == 3 && word.eq_ignore_ascii_case(b"full") => {
            node.replica.full_digest().await
        }
        _ => return connection.reply(&mut |reply| reply.error(&DIGEST_USAGE)),
    };
    connection.reply(&mut |reply| match digest {
        Some((index, digest)) => {
            reply.array(2);
            reply.int(index as i64);
            reply.bulk(format!("{digest:032x}").as_bytes());
        }
        None => reply.error(&CommandError::fixed("ERR the node is stopping")),
    });
}

/// The running digest and the index it holds at: equal indexes, equal digests (R10).
pub(super) fn digest(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    if args.len() > 2 {
        return Err(CommandError::fixed("ERR QUORATE DIGEST FULL is not allowed inside a transaction"));
    }
    let (index, digest) = cx.node.replica.with_keyspace(|k| (k.index(), k.digest()));
    reply.array(2);
    reply.int(index as i64);
    reply.bulk(format!("{digest:016x}").as_bytes());
    Ok(())
}

enum Request {
    List,
    Admin(Admin),
}

fn parse(args: &[Vec<u8>]) -> Result<Request, CommandError> {
    let id = |arg: &[u8]| count(arg).map_err(|_| CommandError::fixed("ERR a node is named by its number"));
    let words: Vec<String> = args.iter().map(|a| text(a).to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[1..] {
        ["failover"] => Ok(Request::Admin(Admin::Transfer(None))),
        ["failover", "to", _] => Ok(Request::Admin(Admin::Transfer(Some(id(&args[3])?)))),
        ["failover", ..] => Err(CommandError::fixed("ERR usage: QUORATE FAILOVER [TO id]")),
        ["node", "list"] => Ok(Request::List),
        ["node", "promote", _] => Ok(Request::Admin(Admin::Promote(id(&args[3])?))),
        ["node", "remove", _] => Ok(Request::Admin(Admin::Remove(id(&args[3])?))),
        _ => Err(CommandError::fixed("ERR usage: QUORATE NODE LIST | PROMOTE id | REMOVE id")),
    }
}

pub(super) async fn admin(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    match parse(&args) {
        Err(error) => connection.reply(&mut |reply| reply.error(&error)),
        Ok(Request::List) => list(&node, &connection).await,
        Ok(Request::Admin(request)) => {
            let outcome = node.cluster.admin(request).await;
            connection.reply(&mut |reply| match &outcome {
                Outcome::Done(text) => reply.simple(text),
                Outcome::Failed(why) => reply.error(&CommandError::new(format!("ERR {why}"))),
                other => reply.error(&CommandError::new(format!("ERR {other:?}"))),
            });
        }
    }
}

async fn list(node: &Rc<Node>, connection: &Rc<Connection>) {
    let view = node.cluster.view();
    let ids: Vec<NodeId> = view.members.keys().copied().collect();
    let probes = node.replica.probe_all(&ids).await;
    connection.reply(&mut |reply| {
        reply.array(view.members.len());
        for ((id, member), probe) in view.members.iter().zip(&probes) {
            let role = match member.role {
                _ if view.leader == Some(*id) => "leader",
                _ if view.voters.contains(id) => "follower",
                Role::Reader => "reader",
                Role::Data => "learner",
            };
            reply.map(9);
            for (field, value) in [
                ("addr", member.addr.as_str()),
                ("bus", &member.bus),
                ("http", &member.http),
                ("zone", &member.zone),
                ("role", role),
            ] {
                reply.bulk(field.as_bytes());
                reply.bulk(value.as_bytes());
            }
            let number = |reply: &mut Reply<'_>, field: &str, n: u64| {
                reply.bulk(field.as_bytes());
                reply.int(n as i64);
            };
            number(reply, "id", *id);
            number(reply, "matched", probe.as_ref().map_or(0, |p| p.last));
            number(reply, "applied", probe.as_ref().map_or(0, |p| p.applied));
            number(reply, "reachable", u64::from(probe.is_some()));
        }
    });
}
