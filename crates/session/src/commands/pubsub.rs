//! SUBSCRIBE and its kind, PUBLISH, PUBSUB. Subscriptions are of this node's clients (R18).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use quorate_keyspace::command::Command;
use quorate_keyspace::{CommandError, Meter, Metered, Place, Reply};
use quorate_replica::Publication;

use super::{Answer, Cx};
use crate::channels::{Channels, Kind, STEP, STEP_BYTES};
use crate::connection::Connection;
use crate::node::Node;
use crate::outgoing::OUTPUT_SOFT_BYTES;

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

/// A confirmation. Without a name: there was none.
fn told(reply: &mut Reply<'_>, name: &str, channel: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(name.as_bytes());
    match channel {
        Some(channel) => reply.bulk(channel),
        None => reply.null(),
    }
    reply.count(count);
}

/// All of a few names. Within a transaction, of any number.
pub(super) fn subscribe(cx: &Cx<'_>, name: &'static str, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let (kind, begins) = meaning(name);
    if begins {
        // For all of them there is room or, with an error, for none.
        let bytes = bytes_of_new(cx, kind, &args[1..])?;
        cx.node.channels.registered.take(cx.connection, bytes)?;
        let left = begin(cx, kind, name, &args[1..], bytes, reply);
        // That of names that were there twice.
        cx.node.channels.registered.give(cx.connection, left);
    } else if args.len() > 1 {
        end(cx, kind, name, &args[1..], reply);
    } else if cx.connection.subscriptions.borrow().len(kind) == 0 {
        // As many as there are: none of this kind is one of them.
        let count = cx.node.channels.unsubscribe(kind, cx.connection, b"");
        told(reply, name, None, count);
    } else {
        while end_some(cx, kind, name, reply) {}
    }
    Ok(())
}

/// What those of these names take that a connection does not listen to yet.
fn bytes_of_new(cx: &Cx<'_>, kind: Kind, names: &[&[u8]]) -> Result<usize, CommandError> {
    names.iter().try_for_each(|name| Channels::judge(kind, name))?;
    let own = cx.connection.subscriptions.borrow();
    Ok(names.iter().filter(|name| !own.has(kind, name)).map(|name| Channels::bytes_of(name)).sum())
}

/// Has a connection listen to names, for which there is room: it was taken, with that for others. How much of it is left.
fn begin(
    cx: &Cx<'_>,
    kind: Kind,
    name: &'static str,
    channels: &[&[u8]],
    room: usize,
    reply: &mut Reply<'_>,
) -> usize {
    let (registered, held) = (&cx.node.channels.registered, &cx.connection.held.registered);
    // From here to the end nobody else takes any.
    registered.give(cx.connection, room);
    let before = held.get();
    for channel in channels {
        let count = cx.node.channels.subscribe(kind, cx.connection, channel).expect("there is room");
        told(reply, name, Some(channel), count);
    }
    let left = room.saturating_sub(held.get() - before);
    registered.take(cx.connection, left).expect("it was there");
    left
}

/// Has a connection listen to these names no more.
fn end(cx: &Cx<'_>, kind: Kind, name: &'static str, channels: &[&[u8]], reply: &mut Reply<'_>) {
    for channel in channels {
        let count = cx.node.channels.unsubscribe(kind, cx.connection, channel);
        told(reply, name, Some(channel), count);
    }
}

/// Has a connection listen no more to some of all the names that it listens to: one step. Whether there are more.
fn end_some(cx: &Cx<'_>, kind: Kind, name: &'static str, reply: &mut Reply<'_>) -> bool {
    let some = cx.connection.subscriptions.borrow().some_names(kind);
    let names: Vec<&[u8]> = some.iter().map(|name| &**name).collect();
    end(cx, kind, name, &names, reply);
    cx.connection.subscriptions.borrow().len(kind) > 0
}

/// Whether a command is about so many names that it is carried out in steps.
pub(super) fn has_steps(c: &Connection, name: &str, args: &[&[u8]]) -> bool {
    let (kind, begins) = meaning(name);
    match args.len() - 1 {
        0 => !begins && c.subscriptions.borrow().len(kind) > STEP,
        names => names > STEP || args.iter().map(|name| name.len()).sum::<usize>() > STEP_BYTES,
    }
}

/// As many names as are one step.
fn steps<'a>(names: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [&'a [u8]]> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |name: &&&[u8]| {
            bytes += name.len();
            bytes <= STEP_BYTES
        };
        let n = rest.iter().take(STEP).take_while(fits).count().max(1);
        let (some, others) = rest.split_at_checked(n)?;
        rest = others;
        Some(some)
    })
}

/// The same as [`subscribe()`] in steps. What a client is told of a name comes before any message to it, as ever.
pub(super) async fn subscribe_in_steps(
    node: Rc<Node>,
    connection: Rc<Connection>,
    command: &'static Command,
    args: Vec<Vec<u8>>,
) {
    let (begun, place) = (node.stats.restart(), Place::Client);
    let cx = Cx { node: &node, connection: &connection };
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let result = carry_out_in_steps(&cx, command, &args[1..]).await;
    if let Err(error) = &result {
        connection.reply(&mut |reply| reply.error(error));
    }
    let error = result.as_ref().err().map(|error| error.text().as_bytes());
    node.stats.ended(&connection, &Metered { begun, command, args: &args, place, error, sleep_ms: 0 });
}

async fn carry_out_in_steps(cx: &Cx<'_>, command: &'static Command, names: &[&[u8]]) -> Answer {
    let (c, name) = (cx.connection, command.name);
    let (kind, begins) = meaning(name);
    let mut room = 0;
    if begins {
        for some in steps(names) {
            room += bytes_of_new(cx, kind, some)?;
            pause(c).await;
        }
        cx.node.channels.registered.take(c, room)?;
    }
    for some in steps(names) {
        // What a client has that has to go goes with it.
        if c.closing.get() {
            return Ok(());
        }
        if begins && let Err(error) = judge_again(cx, command, some) {
            cx.node.channels.registered.give(c, room);
            return Err(error);
        }
        c.answer_with_pushes(&mut |reply| match begins {
            true => room = begin(cx, kind, name, some, room, reply),
            false => end(cx, kind, name, some, reply),
        });
        pause(c).await;
    }
    // That of names that were there twice.
    cx.node.channels.registered.give(c, room);
    let mut more = names.is_empty();
    while more && !c.closing.get() {
        c.answer_with_pushes(&mut |reply| more = end_some(cx, kind, name, reply));
        pause(c).await;
    }
    Ok(())
}

/// The user may have lost the right to some of these names since the command arrived.
fn judge_again(cx: &Cx<'_>, command: &'static Command, names: &[&[u8]]) -> Result<(), CommandError> {
    let args: Vec<&[u8]> = std::iter::once(command.name.as_bytes()).chain(names.iter().copied()).collect();
    let Err(denied) = cx.node.access.judge(cx.connection.user.get(), command, &args) else { return Ok(()) };
    if let Some(denial) = denied.denial(command, &args) {
        cx.connection.denied(&denial, Place::Client);
    }
    Err(denied.error(command))
}

/// Has what was told so far written, and others served. A client that does not read is waited for.
async fn pause(connection: &Connection) {
    connection.wake.notify_one();
    // Whoever attends to this writes first, and lets go of the thread afterwards.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    // It comes back here whenever something was written.
    let is_read = || connection.closing.get() || connection.output_bytes() <= OUTPUT_SOFT_BYTES;
    poll_fn(|_| if is_read() { Poll::Ready(()) } else { Poll::Pending }).await;
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
    let names = cx.node.channels.names(kind, args.get(2).copied())?;
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
