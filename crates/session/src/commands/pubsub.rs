//! SUBSCRIBE and its kind, PUBLISH, PUBSUB. Subscriptions are of this node's clients (R18).

use bytes::Bytes;
use quorate_keyspace::Reply;
use quorate_replica::Publication;

use super::{Answer, Cx};
use crate::channels::Kind;

/// What of a command's name says which kind it is about, and whether it begins or ends.
fn meaning(name: &str) -> (Kind, bool) {
    let kind = match name.as_bytes()[0] {
        b'p' => Kind::Pattern,
        b's' if name.starts_with("ss") || name.starts_with("sun") => Kind::Shard,
        _ => Kind::Channel,
    };
    (kind, !name.contains("unsubscribe"))
}

/// Whether a command answers with pushes, one for each name.
pub(crate) fn answers_with_pushes(name: &str) -> bool {
    name.ends_with("subscribe")
}

pub(super) fn subscribe(cx: &Cx<'_>, name: &'static str, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let (kind, begins) = meaning(name);
    let channels = &cx.node.channels;
    let told = |reply: &mut Reply<'_>, channel: Option<&[u8]>, count: usize| {
        reply.push(3);
        reply.bulk(name.as_bytes());
        match channel {
            Some(channel) => reply.bulk(channel),
            None => reply.null(),
        }
        reply.count(count);
    };
    if begins {
        let mut new: Vec<&[u8]> = Vec::new();
        for channel in &args[1..] {
            let had = cx.connection.subscriptions.borrow().has(kind, channel);
            // All of them or, with an error, none.
            let count = channels.subscribe(kind, cx.connection, channel).inspect_err(|_| {
                for name in &new {
                    channels.unsubscribe(kind, cx.connection, name);
                }
            })?;
            if !had {
                new.push(channel);
            }
            told(reply, Some(channel), count);
        }
        return Ok(());
    }
    let all = cx.connection.subscriptions.borrow().names(kind);
    let named: Vec<&[u8]> =
        if args.len() > 1 { args[1..].to_vec() } else { all.iter().map(|name| &**name).collect() };
    if named.is_empty() {
        // As many as there are: none of this kind is one of them.
        let count = channels.unsubscribe(kind, cx.connection, b"");
        told(reply, None, count);
    }
    for channel in named {
        let count = channels.unsubscribe(kind, cx.connection, channel);
        told(reply, Some(channel), count);
    }
    Ok(())
}

/// Outside of the log, after the earlier writes of its connection. Only this node's receivers are known.
pub(super) fn publish(cx: &Cx<'_>, sharded: bool, args: &[&[u8]]) -> usize {
    let (channel, message) = (args[1], args[2]);
    let receivers = cx.node.channels.deliver(channel, message, sharded);
    cx.node.replica.publish(&Publication {
        after: cx.connection.written.get(),
        sharded,
        channel: Bytes::copy_from_slice(channel),
        message: Bytes::copy_from_slice(message),
    });
    receivers
}

pub(super) fn list(cx: &Cx<'_>, kind: Kind, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let names = cx.node.channels.names(kind, args.get(2).copied());
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

pub(super) fn numsub(cx: &Cx<'_>, kind: Kind, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    reply.array(2 * (args.len() - 2));
    for name in &args[2..] {
        reply.bulk(name);
        reply.count(cx.node.channels.listeners(kind, name));
    }
    Ok(())
}

pub(super) fn numpat(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.count(cx.node.channels.len(Kind::Pattern));
    Ok(())
}
