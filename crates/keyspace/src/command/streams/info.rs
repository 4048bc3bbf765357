//! `XINFO`.

use super::{
    Outcome,
    groups::{idle_ms, no_such_group, wrong_subcommand},
    integer, reply_entries, reply_entry, reply_id,
};
use crate::{
    command::introspect,
    context::ReadCtx,
    error::CommandError,
    reply::Reply,
    types::stream::{Consumer, Entry, Group, Stream, StreamId},
};

/// The stream that is asked about.
fn stream_of<'a>(ctx: &ReadCtx<'a>) -> Result<&'a Stream, CommandError> {
    ctx.get_stream(ctx.arg(2))?.ok_or(CommandError::NO_SUCH_KEY)
}

fn named_count(reply: &mut Reply<'_>, name: &str, n: usize) {
    reply.bulk(name.as_bytes());
    reply.count(n);
}

fn named_int(reply: &mut Reply<'_>, name: &str, n: i64) {
    reply.bulk(name.as_bytes());
    reply.int(n);
}

fn named_id(reply: &mut Reply<'_>, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    reply_id(reply, id);
}

fn named_text(reply: &mut Reply<'_>, name: &str, text: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(text);
}

fn named_if_known(reply: &mut Reply<'_>, name: &str, n: Option<i64>) {
    reply.bulk(name.as_bytes());
    match n {
        Some(n) => reply.int(n),
        None => reply.null(),
    }
}

/// `XINFO STREAM key [FULL [COUNT count]]`
pub(in crate::command) fn stream(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let stream = stream_of(ctx)?;
    match parse_full(ctx)? {
        None => {
            reply.map(10);
            reply_head(reply, stream);
            named_count(reply, "groups", stream.group_count());
            let mut entries = stream.entries(StreamId::MIN, StreamId::MAX);
            named_entry(reply, "first-entry", entries.next());
            named_entry(reply, "last-entry", stream.last_entry());
        }
        Some(count) => {
            reply.map(9);
            reply_head(reply, stream);
            reply.bulk(b"entries");
            reply_entries(reply, stream.entries(StreamId::MIN, StreamId::MAX), count);
            reply.bulk(b"groups");
            reply.array(stream.group_count());
            stream.groups().for_each(|group| reply_full_group(reply, stream, group, count));
        }
    }
    Ok(())
}

/// How much of everything is asked for; `None` without `FULL`.
fn parse_full(ctx: &ReadCtx<'_>) -> Result<Option<usize>, CommandError> {
    const COUNT_DEFAULT: usize = 10;
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    match &ctx.args[3..] {
        [] => Ok(None),
        [full] if is(full, "full") => Ok(Some(COUNT_DEFAULT)),
        [full, word, count] if is(full, "full") && is(word, "count") => Ok(Some(match integer(count)? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(COUNT_DEFAULT),
        })),
        _ => Err(wrong_subcommand(ctx.arg(1), "XINFO")),
    }
}

fn reply_head(reply: &mut Reply<'_>, stream: &Stream) {
    named_count(reply, "length", stream.len());
    named_count(reply, "radix-tree-keys", stream.node_count());
    named_count(reply, "radix-tree-nodes", stream.radix_nodes());
    named_id(reply, "last-generated-id", stream.last_id());
    named_id(reply, "max-deleted-entry-id", stream.max_deleted_id());
    named_int(reply, "entries-added", stream.entries_added() as i64);
    named_id(reply, "recorded-first-entry-id", stream.first_id());
}

fn named_entry(reply: &mut Reply<'_>, name: &str, entry: Option<Entry<'_>>) {
    reply.bulk(name.as_bytes());
    match entry {
        Some(entry) => reply_entry(reply, &entry),
        None => reply.null(),
    }
}

fn reply_full_group(reply: &mut Reply<'_>, stream: &Stream, group: &Group, count: usize) {
    reply.map(7);
    named_text(reply, "name", group.name());
    named_id(reply, "last-delivered-id", group.last_id());
    named_if_known(reply, "entries-read", group.entries_read());
    named_if_known(reply, "lag", stream.lag(group));
    named_count(reply, "pel-count", group.pending_len());
    reply.bulk(b"pending");
    reply.array(group.pending_len().min(count));
    for pending in group.pending_from(StreamId::MIN).take(count) {
        reply.array(4);
        reply_id(reply, pending.id);
        reply.bulk(&pending.owner);
        reply.int(pending.delivered_ms as i64);
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    group.consumers().for_each(|consumer| reply_full_consumer(reply, group, consumer, count));
}

fn reply_full_consumer(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    named_text(reply, "name", consumer.name());
    named_int(reply, "seen-time", consumer.seen_ms as i64);
    named_int(reply, "active-time", consumer.active_ms.map_or(-1, |ms| ms as i64));
    named_count(reply, "pel-count", consumer.pending_len());
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(count));
    let ids = consumer.pending_from(StreamId::MIN).take(count);
    for pending in ids.filter_map(|&id| group.pending(id)) {
        reply.array(3);
        reply_id(reply, pending.id);
        reply.int(pending.delivered_ms as i64);
        reply.int(pending.deliveries as i64);
    }
}

/// `XINFO GROUPS key`
pub(in crate::command) fn groups(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let stream = stream_of(ctx)?;
    reply.array(stream.group_count());
    for group in stream.groups() {
        reply.map(6);
        named_text(reply, "name", group.name());
        named_count(reply, "consumers", group.consumers().len());
        named_count(reply, "pending", group.pending_len());
        named_id(reply, "last-delivered-id", group.last_id());
        named_if_known(reply, "entries-read", group.entries_read());
        named_if_known(reply, "lag", stream.lag(group));
    }
    Ok(())
}

/// `XINFO CONSUMERS key group`
pub(in crate::command) fn consumers(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let now_ms = ctx.now_ms();
    let group = stream_of(ctx)?.group(ctx.arg(3)).ok_or_else(|| no_such_group(ctx.arg(2), ctx.arg(3)))?;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        reply.map(4);
        named_text(reply, "name", consumer.name());
        named_count(reply, "pending", consumer.pending_len());
        named_int(reply, "idle", idle_ms(now_ms, consumer.seen_ms).max(0));
        named_int(reply, "inactive", consumer.active_ms.map_or(-1, |ms| idle_ms(now_ms, ms)));
    }
    Ok(())
}

/// `XINFO HELP`
pub(in crate::command) fn help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    introspect::help("xinfo", reply);
    Ok(())
}
