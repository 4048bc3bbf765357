//! `XGROUP`, `XACK`, `XPENDING`.

use super::{Outcome, any_id, exact_id, exact_ids, integer, interval_end, interval_start, reply_id, shown};
use crate::{
    command::introspect,
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    reply::Reply,
    types::stream::{Group, Pending, Stream, StreamId},
};

/// The options of `XGROUP CREATE` and `XGROUP SETID`.
#[derive(Default)]
struct Options {
    mkstream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: &[&[u8]], creates: bool) -> Result<Self, CommandError> {
        const NEGATIVE: CommandError =
            CommandError::fixed("ERR value for ENTRIESREAD must be positive or -1");
        let mut parsed = Self::default();
        let mut options = args[5..].iter();
        while let Some(option) = options.next() {
            if creates && option.eq_ignore_ascii_case(b"mkstream") {
                parsed.mkstream = true;
                continue;
            }
            match options.next() {
                Some(value) if option.eq_ignore_ascii_case(b"entriesread") => {
                    let read = integer(value)?;
                    if read < -1 {
                        return Err(NEGATIVE);
                    }
                    parsed.entries_read = Some(read).filter(|&read| read != -1);
                }
                _ => return Err(wrong_subcommand(args[1], "XGROUP")),
            }
        }
        Ok(parsed)
    }
}

/// What a subcommand answers whose arguments are none of those it takes.
pub(super) fn wrong_subcommand(name: &[u8], command: &str) -> CommandError {
    const NAME_LEN_MAX: usize = 128;
    let name = shown(&name[..name.len().min(NAME_LEN_MAX)]);
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} HELP."
    ))
}

/// The stream that a subcommand needs.
fn stream_of<'a>(ctx: &'a WriteCtx<'_>) -> Result<&'a Stream, CommandError> {
    const NO_KEY: CommandError = CommandError::fixed(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    );
    ctx.get_stream(ctx.arg(2))?.ok_or(NO_KEY)
}

/// The group that a subcommand needs.
fn group_of<'a>(ctx: &'a WriteCtx<'_>) -> Result<&'a Group, CommandError> {
    stream_of(ctx)?.group(ctx.arg(3)).ok_or_else(|| no_such_group(ctx.arg(2), ctx.arg(3)))
}

/// No group of this name in an existing stream.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    CommandError::new(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// No such stream, or no such group in it.
pub(super) fn no_such_key_or_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    CommandError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

fn modify_group<R>(
    ctx: &mut WriteCtx<'_>,
    key: &[u8],
    group: &[u8],
    change: impl FnOnce(&mut Group) -> R,
) -> Option<R> {
    ctx.modify_groups(key)?.modify_group(group, change)
}

/// `XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD entries-read]`
pub(in crate::command) fn create(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const EXISTS: CommandError = CommandError::fixed("BUSYGROUP Consumer Group name already exists");
    let (key, name) = (ctx.arg(2), ctx.arg(3));
    let options = Options::parse(ctx.args, true)?;
    let stream = if options.mkstream { ctx.get_stream(key)? } else { Some(stream_of(ctx)?) };
    if ctx.args.len() > 8 {
        return Err(wrong_subcommand(ctx.arg(1), "XGROUP"));
    }
    let id = match ctx.arg(4) {
        b"$" => stream.map_or(StreamId::MIN, Stream::last_id),
        id => exact_id(id)?,
    };
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(EXISTS);
    }
    let group = Group::new(name, id, options.entries_read);
    match ctx.modify_groups(key) {
        Some(stream) => {
            stream.create_group(group);
        }
        None => {
            let mut stream = Stream::new();
            stream.create_group(group);
            ctx.set(key, stream, Expiry::Clear);
        }
    }
    ctx.notify(Events::STREAM, "xgroup-create", key);
    reply.ok();
    Ok(())
}

/// `XGROUP SETID key group id | $ [ENTRIESREAD entries-read]`
pub(in crate::command) fn set_id(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (ctx.arg(2), ctx.arg(3));
    let options = Options::parse(ctx.args, false)?;
    let stream = stream_of(ctx)?;
    group_of(ctx)?;
    if ctx.args.len() > 7 {
        return Err(wrong_subcommand(ctx.arg(1), "XGROUP"));
    }
    let id = match ctx.arg(4) {
        b"$" => stream.last_id(),
        id => any_id(id, 0)?,
    };
    if let Some(stream) = ctx.modify_groups_and_tell(key) {
        stream.modify_group(name, |group| group.set_last_id(id, options.entries_read));
    }
    ctx.notify(Events::STREAM, "xgroup-setid", key);
    reply.ok();
    Ok(())
}

/// `XGROUP DESTROY key group`
pub(in crate::command) fn destroy(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (ctx.arg(2), ctx.arg(3));
    let exists = stream_of(ctx)?.group(name).is_some();
    let destroyed =
        exists && ctx.modify_groups_and_tell(key).is_some_and(|stream| stream.destroy_group(name));
    if destroyed {
        ctx.notify(Events::STREAM, "xgroup-destroy", key);
    }
    reply.int(i64::from(destroyed));
    Ok(())
}

/// Tells that a group has a consumer more.
pub(super) fn tell_consumer(ctx: &mut WriteCtx<'_>, key: &[u8]) {
    ctx.notify(Events::STREAM, "xgroup-createconsumer", key);
}

/// `XGROUP CREATECONSUMER key group consumer`
pub(in crate::command) fn create_consumer(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer, now_ms) = (ctx.arg(2), ctx.arg(3), ctx.arg(4), ctx.time_ms());
    let is_new = group_of(ctx)?.consumer(consumer).is_none();
    if is_new {
        modify_group(ctx, key, name, |group| group.create_consumer(consumer, now_ms));
        tell_consumer(ctx, key);
    }
    reply.int(i64::from(is_new));
    Ok(())
}

/// `XGROUP DELCONSUMER key group consumer`
pub(in crate::command) fn delete_consumer(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.arg(2), ctx.arg(3), ctx.arg(4));
    let exists = group_of(ctx)?.consumer(consumer).is_some();
    let pending = match exists {
        true => modify_group(ctx, key, name, |group| group.delete_consumer(consumer)).flatten(),
        false => None,
    };
    if exists {
        ctx.notify(Events::STREAM, "xgroup-delconsumer", key);
    }
    reply.count(pending.unwrap_or(0));
    Ok(())
}

/// `XGROUP HELP`
pub(in crate::command) fn help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    introspect::help("xgroup", reply);
    Ok(())
}

/// `XACK key group id [id ...]`
pub(in crate::command) fn xack(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    let Some(group) = ctx.get_stream(key)?.and_then(|stream| stream.group(name)) else {
        reply.int(0);
        return Ok(());
    };
    let ids = exact_ids(&ctx.args[3..])?;
    let is_pending = ids.iter().any(|&id| group.pending(id).is_some());
    let acknowledge = |group: &mut Group| ids.iter().filter(|&&id| group.acknowledge(id)).count();
    let acknowledged = if is_pending { modify_group(ctx, key, name, acknowledge) } else { None };
    reply.count(acknowledged.unwrap_or(0));
    Ok(())
}

/// Which pending entries are asked for.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// What stands behind key and group; `None` if nothing does.
    fn parse(args: &[&'a [u8]]) -> Result<Option<Self>, CommandError> {
        let (min_idle_ms, rest) = match args {
            [] => return Ok(None),
            [_] | [_, _] | [_, _, _, _, _, _, _, ..] => return Err(CommandError::SYNTAX),
            [idle, ms, rest @ ..] if idle.eq_ignore_ascii_case(b"idle") => (integer(ms)?, rest),
            rest => (0, rest),
        };
        // With more than a consumer behind the count, the rest is left alone, as in Redis.
        let [start, end, count, consumer @ ..] = rest else { return Err(CommandError::SYNTAX) };
        let count = usize::try_from(integer(count)?).unwrap_or(0);
        let (start, end) = (interval_start(start)?, interval_end(end)?);
        Ok(Some(Self { min_idle_ms, start, end, count, consumer: consumer.first().copied() }))
    }
}

/// `XPENDING key group [[IDLE min-idle-time] start end count [consumer]]`
pub(in crate::command) fn xpending(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    let filter = Filter::parse(&ctx.args[3..])?;
    let group = ctx.get_stream(key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_such_key_or_group(key, name))?;
    match filter {
        None => pending_summary(group, reply),
        Some(filter) => pending_entries(group, &filter, ctx.now_ms(), reply),
    }
    Ok(())
}

fn pending_summary(group: &Group, reply: &mut Reply<'_>) {
    reply.array(4);
    reply.count(group.pending_len());
    let first = group.pending_from(StreamId::MIN).next();
    let (Some(first), Some(last)) = (first, group.last_pending()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first.id);
    reply_id(reply, last.id);
    let busy = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk(itoa::Buffer::new().format(consumer.pending_len()).as_bytes());
    }
}

fn pending_entries(group: &Group, filter: &Filter<'_>, now_ms: u64, reply: &mut Reply<'_>) {
    let is_wanted = |pending: &&Pending| {
        filter.min_idle_ms == 0 || idle_ms(now_ms, pending.delivered_ms) >= filter.min_idle_ms
    };
    let open = reply.open();
    let mut found = 0;
    let mut show = |pending: &Pending| {
        found += 1;
        reply.array(4);
        reply_id(reply, pending.id);
        reply.bulk(&pending.owner);
        reply.int(idle_ms(now_ms, pending.delivered_ms).max(0));
        reply.int(pending.deliveries as i64);
    };
    match filter.consumer {
        None => {
            let pending = group.pending_from(filter.start).take_while(|pending| pending.id <= filter.end);
            pending.filter(is_wanted).take(filter.count).for_each(&mut show);
        }
        Some(name) => {
            let ids =
                group.consumer(name).into_iter().flat_map(|consumer| consumer.pending_from(filter.start));
            let pending = ids.take_while(|&&id| id <= filter.end).filter_map(|&id| group.pending(id));
            pending.filter(is_wanted).take(filter.count).for_each(&mut show);
        }
    }
    reply.close_array(open, found);
}

/// Milliseconds since a time, which RESTORE may have set to one to come.
pub(super) fn idle_ms(now_ms: u64, since_ms: u64) -> i64 {
    (now_ms as i64).saturating_sub(since_ms as i64)
}
