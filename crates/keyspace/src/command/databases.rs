//! Commands on a whole database.

use quorate_planted::{Bug, is_planted};

use super::{
    connection::parse_db,
    scan::{Cursor, ScanOptions},
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    glob::Glob,
    keyspace::Keyspace,
    number::parse_i64,
    random::Random,
    reply::Reply,
    table::Record,
};

/// `KEYS pattern`
pub(super) fn keys(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    ctx.whole_database();
    let (pattern, glob) = (ctx.arg(1), Glob::new(ctx.arg(1)));
    let mut found: Vec<&[u8]> = Vec::new();
    for (_, record) in live_from(ctx, 0) {
        let key = record.key.as_bytes();
        if pattern == b"*" || glob.matches(key)? {
            found.push(key);
        }
    }
    reply.array(found.len());
    for key in found {
        reply.bulk(key);
    }
    Ok(())
}

/// `DBSIZE`
pub(super) fn dbsize(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    ctx.whole_database();
    reply.count(ctx.keyspace.live_keys(ctx.db()));
    Ok(())
}

/// `RANDOMKEY`
pub(super) fn randomkey(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    ctx.whole_database();
    match random_record(ctx.keyspace, ctx.db(), &mut ctx.random()) {
        Some(record) => reply.bulk(record.key.as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

/// Some key that exists, each with the same probability: a function of the keys and the random numbers alone (R11).
///
/// Rejection sampling: choose one of 2^`bits` ranges of hashes, with about 16 to 32 keys each; accept it with a
/// probability in proportion to its keys, then choose one of them.
pub(crate) fn random_record<'a>(
    keyspace: &'a Keyspace,
    db: usize,
    random: &mut Random,
) -> Option<&'a Record> {
    /// More keys than ever lie in one range: a Poisson variable of mean 32 exceeds 128 once in 10^36.
    const RANGE_KEYS_MAX: u64 = 128;
    /// One attempt in sixteen succeeds at worst, unless most keys are past their deadline.
    const ATTEMPTS_MAX: usize = 2000;
    let table = &keyspace.databases[db].table;
    let keys = table.len() as u64;
    if keys == 0 {
        return None;
    }
    if is_planted(Bug::RandomPickByLayout) {
        return table.any_by_layout(random.next_u64());
    }
    let bits = (keys / 16).checked_ilog2().unwrap_or(0);
    let places = if bits == 0 { keys } else { RANGE_KEYS_MAX };
    for _ in 0..ATTEMPTS_MAX {
        let first = (random.next_u64() >> (63 - bits) >> 1) << 1 << (63 - bits);
        let last = first | u64::MAX >> bits;
        let n = random.below(places) as usize;
        if n < table.count_between(first, last) {
            let record = table.iter_from(first).nth(n).map(|(_, record)| record);
            if let Some(record) = record.filter(|record| !keyspace.is_expired(record)) {
                return Some(record);
            }
        }
    }
    let live =
        |from| table.iter_from(from).map(|(_, record)| record).find(|record| !keyspace.is_expired(record));
    live(random.next_u64()).or_else(|| live(0))
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let cursor = Cursor::parse(ctx.arg(1))?;
    let mut type_name: Option<&[u8]> = None;
    let options = ScanOptions::parse(ctx.args.get(2..).unwrap_or_default(), |option, value| {
        type_name = Some(value);
        option.eq_ignore_ascii_case(b"type")
    })?;
    ctx.whole_database();
    let table = &ctx.keyspace.databases[ctx.db()].table;
    let is_type =
        |name: &[u8], record: &Record| name.eq_ignore_ascii_case(record.value.type_name().as_bytes());
    let portion = options.portion(
        cursor,
        |hash| table.iter_from(hash),
        |record| {
            !ctx.keyspace.is_expired(record)
                && type_name.is_none_or(|name| is_type(name, record))
                && options.wants(record.key.as_bytes())
        },
    )?;
    portion.reply(reply, 1, |reply, record| reply.bulk(record.key.as_bytes()));
    Ok(())
}

fn live_from<'a>(ctx: &ReadCtx<'a>, hash: u64) -> impl Iterator<Item = (u64, &'a Record)> {
    let keyspace = ctx.keyspace;
    keyspace.databases[ctx.db()].table.iter_from(hash).filter(|(_, record)| !keyspace.is_expired(record))
}

/// `FLUSHDB [ASYNC | SYNC]`: the memory is freed later in both.
pub(super) fn flushdb(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    check_flush(ctx.args)?;
    let db = ctx.db();
    ctx.keyspace.flush(db);
    reply.ok();
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`: the memory is freed later in both.
pub(super) fn flushall(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    check_flush(ctx.args)?;
    for db in 0..ctx.keyspace.databases() {
        ctx.keyspace.flush(db);
    }
    reply.ok();
    Ok(())
}

fn check_flush(args: &[&[u8]]) -> Result<(), CommandError> {
    match args {
        [_] => Ok(()),
        [_, how] if how.eq_ignore_ascii_case(b"sync") || how.eq_ignore_ascii_case(b"async") => Ok(()),
        _ => Err(CommandError::SYNTAX),
    }
}

/// `SWAPDB index1 index2`
pub(super) fn swapdb(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    const FIRST: CommandError = CommandError::fixed("ERR invalid first DB index");
    const SECOND: CommandError = CommandError::fixed("ERR invalid second DB index");
    let databases = ctx.keyspace.databases();
    let is_integer = |arg| parse_i64(arg).is_some_and(|n| i32::try_from(n).is_ok());
    if !is_integer(ctx.arg(1)) {
        return Err(FIRST);
    }
    if !is_integer(ctx.arg(2)) {
        return Err(SECOND);
    }
    let (a, b) = (parse_db(ctx.arg(1), databases)?, parse_db(ctx.arg(2), databases)?);
    ctx.keyspace.swap(a, b);
    reply.ok();
    Ok(())
}
