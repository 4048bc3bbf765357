//! Commands on single keys, whatever they hold.

use super::{connection::parse_db, introspect};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    reply::Reply,
    types::string::Str,
    value::{Parts, Value},
};

/// `DEL key [key ...]`, `UNLINK key [key ...]`: large values are freed later in both.
pub(super) fn del(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let removed = ctx.args[1..].iter().filter(|key| ctx.delete(key)).count();
    reply.count(removed);
    Ok(())
}

/// `EXISTS key [key ...]`: a key named twice counts twice.
pub(super) fn exists(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(ctx.args[1..].iter().filter(|key| ctx.exists(key)).count());
    Ok(())
}

/// `TOUCH key [key ...]`: a use of each, on the node that executes it (R12).
pub(super) fn touch(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(ctx.args[1..].iter().filter(|key| ctx.get(key).is_some()).count());
    Ok(())
}

/// `TYPE key`
pub(super) fn type_name(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.simple(ctx.peek(ctx.arg(1)).map_or("none", Value::type_name));
    Ok(())
}

/// `TTL key`
pub(super) fn ttl(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(deadline(ctx, |at_ms| (at_ms.saturating_sub(ctx.now_ms()) + 500) / 1000));
    Ok(())
}

/// `PTTL key`
pub(super) fn pttl(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(deadline(ctx, |at_ms| at_ms.saturating_sub(ctx.now_ms())));
    Ok(())
}

/// `EXPIRETIME key`
pub(super) fn expiretime(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(deadline(ctx, |at_ms| (at_ms + 500) / 1000));
    Ok(())
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(deadline(ctx, |at_ms| at_ms));
    Ok(())
}

/// -2 without a key, -1 without a deadline.
fn deadline(ctx: &ReadCtx<'_>, show: impl Fn(u64) -> u64) -> i64 {
    match ctx.expire_at(ctx.arg(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => i64::try_from(show(at_ms)).unwrap_or(i64::MAX),
    }
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let now_ms = now(ctx);
    set_deadline(ctx, reply, "expire", now_ms, 1000)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let now_ms = now(ctx);
    set_deadline(ctx, reply, "pexpire", now_ms, 1)
}

/// `EXPIREAT key seconds [NX | XX | GT | LT]`
pub(super) fn expireat(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, reply, "expireat", 0, 1000)
}

/// `PEXPIREAT key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, reply, "pexpireat", 0, 1)
}

fn now(ctx: &WriteCtx<'_>) -> i64 {
    i64::try_from(ctx.time_ms()).unwrap_or(i64::MAX)
}

/// When a new deadline replaces the old one.
#[derive(Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(args: &[&[u8]]) -> Result<Self, CommandError> {
        const NX_AND_OTHERS: CommandError =
            CommandError::fixed("ERR NX and XX, GT or LT options at the same time are not compatible");
        const GT_AND_LT: CommandError =
            CommandError::fixed("ERR GT and LT options at the same time are not compatible");
        let mut condition = Self::default();
        for arg in args {
            match arg.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => {
                    let option = String::from_utf8_lossy(arg);
                    return Err(CommandError::new(format!("ERR Unsupported option {option}")));
                }
            }
        }
        if condition.nx && (condition.xx || condition.gt || condition.lt) {
            return Err(NX_AND_OTHERS);
        }
        if condition.gt && condition.lt {
            return Err(GT_AND_LT);
        }
        Ok(condition)
    }

    /// No deadline counts as one that never comes.
    fn holds(&self, old_ms: Option<i64>, new_ms: i64) -> bool {
        !(self.nx && old_ms.is_some()
            || self.xx && old_ms.is_none()
            || self.gt && old_ms.is_none_or(|old_ms| new_ms <= old_ms)
            || self.lt && old_ms.is_some_and(|old_ms| new_ms >= old_ms))
    }
}

fn set_deadline(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    command: &str,
    base_ms: i64,
    unit_ms: i64,
) -> Result<(), CommandError> {
    let key = ctx.arg(1);
    let condition = Condition::parse(&ctx.args[3..])?;
    let when = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let when_ms = when.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let when_ms = when_ms.ok_or_else(|| CommandError::invalid_expire(command))?;
    let Some(old_ms) = ctx.expire_at(key) else {
        reply.int(0);
        return Ok(());
    };
    if !condition.holds(old_ms.map(|ms| ms as i64), when_ms) {
        reply.int(0);
        return Ok(());
    }
    match u64::try_from(when_ms) {
        Ok(when_ms) if when_ms > ctx.time_ms() => {
            ctx.set_expiry(key, Some(when_ms));
            ctx.notify(Events::GENERIC, "expire", key);
        }
        _ => {
            ctx.delete(key);
        }
    }
    reply.int(1);
    Ok(())
}

/// `PERSIST key`
pub(super) fn persist(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = ctx.arg(1);
    let has_deadline = ctx.expire_at(key).flatten().is_some();
    if has_deadline {
        ctx.set_expiry(key, None);
        ctx.notify(Events::GENERIC, "persist", key);
    }
    reply.int(i64::from(has_deadline));
    Ok(())
}

/// `RENAME key newkey`
pub(super) fn rename(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    move_value(ctx)?;
    reply.ok();
    Ok(())
}

/// `RENAMENX key newkey`
pub(super) fn renamenx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if !ctx.exists(ctx.arg(1)) {
        return Err(CommandError::NO_SUCH_KEY);
    }
    if ctx.exists(ctx.arg(2)) {
        reply.int(0);
        return Ok(());
    }
    move_value(ctx)?;
    reply.int(1);
    Ok(())
}

/// Value and deadline go from the first key to the second.
fn move_value(ctx: &mut WriteCtx<'_>) -> Result<(), CommandError> {
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    if from == to {
        return if ctx.exists(from) { Ok(()) } else { Err(CommandError::NO_SUCH_KEY) };
    }
    let (value, expire_at_ms) = ctx.take(from).ok_or(CommandError::NO_SUCH_KEY)?;
    tell_replaced(ctx, ctx.db(), to);
    ctx.set(to, value, expiry(expire_at_ms));
    ctx.notify(Events::GENERIC, "rename_from", from);
    ctx.notify(Events::GENERIC, "rename_to", to);
    Ok(())
}

/// A key that is about to get another one's value counts as new, even if it exists: Redis deletes it first.
pub(super) fn tell_replaced(ctx: &mut WriteCtx<'_>, db: usize, key: &[u8]) {
    if ctx.peek_in(db, key).is_some() {
        ctx.notify_in(db, Events::NEW, "new", key);
    }
}

fn expiry(expire_at_ms: u64) -> Expiry {
    if expire_at_ms == 0 { Expiry::Clear } else { Expiry::At(expire_at_ms) }
}

/// `COPY source destination [DB destination-db] [REPLACE]`
pub(super) fn copy(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    let (mut to_db, mut replace) = (ctx.db(), false);
    let mut options = ctx.args[3..].iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"db") {
            let db = options.next().ok_or(CommandError::SYNTAX)?;
            to_db = parse_db(db, ctx.keyspace.databases())?;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if to_db == ctx.db() && from == to {
        return Err(CommandError::SAME_OBJECT);
    }
    ctx.count_as_read(from);
    let source = ctx.record_in(ctx.db(), from).map(|record| (record.value.clone(), record.expire_at_ms()));
    let copied = match source {
        Some((value, expire_at_ms)) if replace || ctx.get_in(to_db, to).is_none() => {
            tell_replaced(ctx, to_db, to);
            ctx.set_in(to_db, to, value, expiry(expire_at_ms));
            ctx.notify_in(to_db, Events::GENERIC, "copy_to", to);
            true
        }
        _ => false,
    };
    reply.int(i64::from(copied));
    Ok(())
}

/// `MOVE key db`
pub(super) fn move_key(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = ctx.arg(1);
    let to_db = parse_db(ctx.arg(2), ctx.keyspace.databases())?;
    if to_db == ctx.db() {
        return Err(CommandError::SAME_OBJECT);
    }
    let free = ctx.get_in(to_db, key).is_none();
    let moved = match if free { ctx.take(key) } else { None } {
        Some((value, expire_at_ms)) => {
            ctx.set_in(to_db, key, value, expiry(expire_at_ms));
            ctx.notify(Events::GENERIC, "move_from", key);
            ctx.notify_in(to_db, Events::GENERIC, "move_to", key);
            true
        }
        None => false,
    };
    reply.int(i64::from(moved));
    Ok(())
}

/// `OBJECT ENCODING key`
pub(super) fn object_encoding(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match ctx.peek(ctx.arg(2)) {
        Some(value) => reply.bulk(value.encoding().as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

/// `OBJECT REFCOUNT key`: what Redis answers, where small integers are shared for ever; nothing is counted here.
pub(super) fn object_refcount(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    const SHARED: std::ops::Range<i64> = 0..10_000;
    let is_shared = |value: &Value| {
        let number = value.as_string().ok().filter(|string| string.encoding() == "int").and_then(Str::as_i64);
        number.is_some_and(|number| SHARED.contains(&number))
    };
    let shares = ctx.rules().shares_integers && ctx.peek(ctx.arg(2)).is_some_and(is_shared);
    let count = if shares { i32::MAX } else { 1 };
    number_if_exists(ctx, reply, count.into())
}

fn number_if_exists(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, n: i64) -> Result<(), CommandError> {
    if ctx.exists(ctx.arg(2)) {
        reply.int(n);
    } else {
        reply.null();
    }
    Ok(())
}

/// `OBJECT HELP`
pub(super) fn object_help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    introspect::help("object", reply);
    Ok(())
}

/// `MEMORY USAGE key [SAMPLES count]`: an estimate that follows from the contents alone, so that all replicas share it
/// (R13).
pub(super) fn memory_usage(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    const SAMPLES_DEFAULT: usize = 5;
    let samples = match &ctx.args[3..] {
        [] => SAMPLES_DEFAULT,
        [word, count] if word.eq_ignore_ascii_case(b"samples") => {
            match parse_i64(count).ok_or(CommandError::NOT_AN_INTEGER)? {
                0 => usize::MAX,
                count => usize::try_from(count).map_err(|_| CommandError::SYNTAX)?,
            }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let key = ctx.arg(2);
    match ctx.peek(key) {
        Some(value) => reply.count(estimate_bytes(key, value, samples)),
        None => reply.null(),
    }
    Ok(())
}

/// Bytes that a key and its value take, about; of a collection so many parts are looked at.
fn estimate_bytes(key: &[u8], value: &Value, samples: usize) -> usize {
    /// The key, the value, the deadline, and an allocation.
    const RECORD_BYTES: usize = 48;
    /// Its own fields, and allocations.
    const COLLECTION_BYTES: usize = 64;
    /// Its length, in an allocation that it shares with others.
    const PACKED_PART_BYTES: usize = 2;
    /// Hash, length, its place in a node, and that node's spare room.
    const PART_BYTES: usize = 32;
    let value_bytes = match value.parts() {
        Parts::String(string) => string.len(),
        Parts::Collection(collection) => {
            let is_packed = !matches!(value.encoding(), "hashtable" | "skiplist");
            let part_bytes = if is_packed { PACKED_PART_BYTES } else { PART_BYTES };
            let looked_at = collection.field_count().min(samples);
            let bytes: usize =
                collection.fields_from(0).take(samples).map(|part| part.len() + part_bytes).sum();
            let all = bytes as u128 * collection.field_count() as u128 / looked_at.max(1) as u128;
            COLLECTION_BYTES + all as usize
        }
    };
    RECORD_BYTES + key.len() + value_bytes
}

/// `MEMORY HELP`
pub(super) fn memory_help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    introspect::help("memory", reply);
    Ok(())
}
