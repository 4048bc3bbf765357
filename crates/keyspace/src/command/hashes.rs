//! Commands on hashes.

use super::{
    picks::{Count, Picks},
    scan::{self, Cursor, ScanOptions},
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::{IncrementError, increment_by_float, parse_i64},
    random::Random,
    reply::Reply,
    rules::Rules,
    types::{hash::Hash, hashed::Entry, sample::sample},
};

type Outcome = Result<(), CommandError>;

const HASH_VALUE_NOT_AN_INTEGER: CommandError = CommandError::fixed("ERR hash value is not an integer");
const HASH_VALUE_NOT_A_FLOAT: CommandError = CommandError::fixed("ERR hash value is not a float");
const NOT_FINITE: CommandError = CommandError::fixed("ERR value is NaN or Infinity");

/// `HSET key field value [field value ...]`
pub(super) fn hset(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let added = set_pairs(ctx, "hset")?;
    reply.count(added);
    Ok(())
}

/// `HMSET key field value [field value ...]`
pub(super) fn hmset(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    set_pairs(ctx, "hmset")?;
    reply.ok();
    Ok(())
}

/// Sets the fields that the arguments give and tells how many are new.
fn set_pairs(ctx: &mut WriteCtx<'_>, command: &str) -> Result<usize, CommandError> {
    let fields_and_values = ctx.args.get(2..).unwrap_or_default();
    if !fields_and_values.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(command));
    }
    change(ctx, "hset", |rules, hash| {
        hash.prepare_for(rules, fields_and_values);
        let pairs = fields_and_values.as_chunks::<2>().0;
        pairs.iter().filter(|[field, value]| hash.set(rules, field, value)).count()
    })
}

/// Changes the hash of the first argument, or a new one if there is none, and tells so.
fn change<R>(
    ctx: &mut WriteCtx<'_>,
    event: &'static str,
    change: impl FnOnce(&Rules, &mut Hash) -> R,
) -> Result<R, CommandError> {
    let (key, rules) = (ctx.arg(1), ctx.rules());
    let result = match ctx.modify_hash(key)? {
        Some(hash) => change(&rules, hash),
        None => {
            let mut hash = Hash::new();
            let result = change(&rules, &mut hash);
            ctx.set(key, hash, Expiry::Clear);
            result
        }
    };
    ctx.notify(Events::HASH, event, key);
    Ok(result)
}

/// `HSETNX key field value`
pub(super) fn hsetnx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (field, value, rules) = (ctx.arg(2), ctx.arg(3), ctx.rules());
    let absent = ctx.get_hash(ctx.arg(1))?.is_none_or(|hash| hash.get(&rules, field).is_none());
    if absent {
        change(ctx, "hset", |rules, hash| hash.set(rules, field, value))?;
    }
    reply.int(i64::from(absent));
    Ok(())
}

/// `HGET key field`
pub(super) fn hget(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply_value(hash.and_then(|hash| hash.get(&ctx.rules(), ctx.arg(2))), reply);
    Ok(())
}

fn reply_value(value: Option<&[u8]>, reply: &mut Reply<'_>) {
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
}

/// `HMGET key field [field ...]`
pub(super) fn hmget(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (hash, rules) = (ctx.get_hash(ctx.arg(1))?, ctx.rules());
    let fields = ctx.args.get(2..).unwrap_or_default();
    reply.array(fields.len());
    for field in fields {
        reply_value(hash.and_then(|hash| hash.get(&rules, field)), reply);
    }
    Ok(())
}

/// `HGETALL key`
pub(super) fn hgetall(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        reply.bulk(field);
        reply.bulk(value);
    }
    Ok(())
}

/// `HKEYS key`
pub(super) fn hkeys(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(field, _)| reply.bulk(field));
    Ok(())
}

/// `HVALS key`
pub(super) fn hvals(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(_, value)| reply.bulk(value));
    Ok(())
}

/// `HDEL key field [field ...]`
pub(super) fn hdel(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, rules) = (ctx.arg(1), ctx.rules());
    let fields = ctx.args.get(2..).unwrap_or_default();
    let mut removed = 0;
    let hash = ctx.get_hash(key)?;
    if hash.is_some_and(|hash| fields.iter().any(|field| hash.get(&rules, field).is_some()))
        && let Some(hash) = ctx.modify_hash(key)?
    {
        removed = fields.iter().filter(|field| hash.remove(&rules, field)).count();
        ctx.notify(Events::HASH, "hdel", key);
        ctx.delete_if_empty(key);
    }
    reply.count(removed);
    Ok(())
}

/// `HLEN key`
pub(super) fn hlen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_hash(ctx.arg(1))?.map_or(0, Hash::len));
    Ok(())
}

/// `HEXISTS key field`
pub(super) fn hexists(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply.int(i64::from(hash.is_some_and(|hash| hash.get(&ctx.rules(), ctx.arg(2)).is_some())));
    Ok(())
}

/// `HSTRLEN key field`
pub(super) fn hstrlen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let hash = ctx.get_hash(ctx.arg(1))?;
    reply.count(hash.and_then(|hash| hash.get(&ctx.rules(), ctx.arg(2))).map_or(0, <[u8]>::len));
    Ok(())
}

/// `HINCRBY key field increment`
pub(super) fn hincrby(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let by = parse_i64(ctx.arg(3)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let (field, rules) = (ctx.arg(2), ctx.rules());
    let value = match ctx.get_hash(ctx.arg(1))?.and_then(|hash| hash.get(&rules, field)) {
        Some(value) => parse_i64(value).ok_or(HASH_VALUE_NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = value.checked_add(by).ok_or(CommandError::OVERFLOW)?;
    change(ctx, "hincrby", |rules, hash| hash.set(rules, field, itoa::Buffer::new().format(sum).as_bytes()))?;
    reply.int(sum);
    Ok(())
}

/// `HINCRBYFLOAT key field increment`
pub(super) fn hincrbyfloat(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (field, by, rules) = (ctx.arg(2), ctx.arg(3), ctx.rules());
    // The increment is judged before the key is looked up.
    increment_by_float(b"0", by).map_err(|error| match error {
        IncrementError::NotAFloat => CommandError::NOT_A_FLOAT,
        IncrementError::NotFinite => NOT_FINITE,
    })?;
    let value = ctx.get_hash(ctx.arg(1))?.and_then(|hash| hash.get(&rules, field)).unwrap_or(b"0");
    let sum = increment_by_float(value, by).map_err(|error| match error {
        IncrementError::NotAFloat => HASH_VALUE_NOT_A_FLOAT,
        IncrementError::NotFinite => CommandError::NAN_OR_INFINITY,
    })?;
    change(ctx, "hincrbyfloat", |rules, hash| hash.set(rules, field, sum.as_bytes()))?;
    reply.bulk(sum.as_bytes());
    Ok(())
}

/// `HRANDFIELD key [count [WITHVALUES]]`
pub(super) fn hrandfield(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let (count, with_values) = match ctx.args.get(2..).unwrap_or_default() {
        [] => {
            match ctx.get_hash(key)? {
                Some(hash) => {
                    let position = ctx.random().below(hash.len() as u64) as usize;
                    hash.at(&[position]).for_each(|(field, _)| reply.bulk(field));
                }
                None => reply.null(),
            }
            return Ok(());
        }
        [count] => (Count::parse(count)?, false),
        [count, option] => {
            let count = Count::parse(count)?;
            if !option.eq_ignore_ascii_case(b"withvalues") {
                return Err(CommandError::SYNTAX);
            }
            count.check_pairs()?;
            (count, true)
        }
        [count, ..] => {
            Count::parse(count)?;
            return Err(CommandError::SYNTAX);
        }
    };
    let Some(hash) = ctx.get_hash(key)? else {
        reply.array(0);
        return Ok(());
    };
    reply_picks(hash, count.picks()?, with_values, &mut ctx.random(), reply);
    Ok(())
}

fn reply_picks(hash: &Hash, picks: Picks, with_values: bool, random: &mut Random, reply: &mut Reply<'_>) {
    let head = |reply: &mut Reply<'_>, n| if with_values { reply.pairs(n) } else { reply.array(n) };
    let put = |reply: &mut Reply<'_>, (field, value): (&[u8], &[u8])| {
        if with_values {
            reply.pair();
        }
        reply.bulk(field);
        if with_values {
            reply.bulk(value);
        }
    };
    match picks {
        Picks::Different(count) => {
            let positions = sample(random, hash.len(), count);
            head(reply, positions.len());
            hash.at(&positions).for_each(|pair| put(reply, pair));
        }
        Picks::Repeated(count) => {
            head(reply, count);
            // Finding a place in a small hash takes time in proportion to it.
            let small: Option<Vec<_>> = hash.as_hashed().is_none().then(|| hash.iter().collect());
            for _ in 0..count {
                let position = random.below(hash.len() as u64) as usize;
                match &small {
                    Some(pairs) => put(reply, pairs[position]),
                    None => hash.at(&[position]).for_each(|pair| put(reply, pair)),
                }
            }
        }
    }
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn hscan(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let cursor = Cursor::parse(ctx.arg(2))?;
    let Some(hash) = ctx.get_hash(ctx.arg(1))? else {
        scan::reply_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::of_members(ctx.args.get(3..).unwrap_or_default())?;
    match hash.as_hashed() {
        None => {
            let portion = options.whole(hash.iter(), |(field, _)| options.wants(field))?;
            portion.reply(reply, 2, |reply, (field, value)| {
                reply.bulk(field);
                reply.bulk(value);
            });
        }
        Some(hashed) => {
            let wanted = |entry: &&Entry| options.wants(entry.key());
            let portion = options.portion(cursor, |hash| hashed.iter_from_hash(hash), wanted)?;
            portion.reply(reply, 2, |reply, entry| {
                reply.bulk(entry.key());
                reply.bulk(entry.value());
            });
        }
    }
    Ok(())
}
