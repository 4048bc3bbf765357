//! Commands on lists.

mod moving;
mod places;
mod popping;

pub(super) use self::{
    moving::{blmove, brpoplpush, lmove, rpoplpush},
    places::{lindex, linsert, lpos, lrem, lset, ltrim},
    popping::{blmpop, blpop, brpop, lmpop},
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    reply::Reply,
    types::list::{End, List, ListpackLimit},
};

type Outcome = Result<(), CommandError>;

/// From so many elements on they are dropped together rather than one by one.
const MANY: usize = 64;

/// `RPUSH key element [element ...]`
pub(super) fn rpush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, reply, End::Back, true)
}

/// `LPUSH key element [element ...]`
pub(super) fn lpush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, reply, End::Front, true)
}

/// `RPUSHX key element [element ...]`
pub(super) fn rpushx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, reply, End::Back, false)
}

/// `LPUSHX key element [element ...]`
pub(super) fn lpushx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, reply, End::Front, false)
}

fn push(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, end: End, create: bool) -> Outcome {
    let (key, limit) = (ctx.arg(1), ctx.rules().list_limit);
    let elements = ctx.args.get(2..).unwrap_or_default();
    let len = match ctx.modify_list(key)? {
        Some(list) => push_all(list, end, limit, elements),
        None if create => {
            let mut list = List::new();
            let len = push_all(&mut list, end, limit, elements);
            ctx.set(key, list, Expiry::Clear);
            len
        }
        None => 0,
    };
    if len > 0 {
        tell_pushed(ctx, key, end);
    }
    reply.count(len);
    Ok(())
}

fn tell_pushed(ctx: &mut WriteCtx<'_>, key: &[u8], end: End) {
    let event = if end == End::Front { "lpush" } else { "rpush" };
    ctx.notify(Events::LIST, event, key);
}

fn tell_popped(ctx: &mut WriteCtx<'_>, key: &[u8], end: End) {
    let event = if end == End::Front { "lpop" } else { "rpop" };
    ctx.notify(Events::LIST, event, key);
}

fn push_all(list: &mut List, end: End, limit: ListpackLimit, elements: &[&[u8]]) -> usize {
    list.encode_for_growth(limit, elements);
    for element in elements {
        list.push(end, element);
    }
    list.len()
}

/// `LPOP key [count]`
pub(super) fn lpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, reply, End::Front, "lpop")
}

/// `RPOP key [count]`
pub(super) fn rpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, reply, End::Back, "rpop")
}

fn pop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, end: End, command: &str) -> Outcome {
    let key = ctx.arg(1);
    let count = match ctx.args.get(2..).unwrap_or_default() {
        [] => None,
        [count] => Some(parse_count(count)?),
        _ => return Err(CommandError::wrong_arity(command)),
    };
    let Some(list) = ctx.get_list(key)? else {
        match count {
            Some(_) => reply.null_array(),
            None => reply.null(),
        }
        return Ok(());
    };
    let len = list.len();
    let taken = count.unwrap_or(1).min(len);
    if count.is_some() {
        reply.array(taken);
    }
    match end {
        End::Front => list.range(0, taken).for_each(|element| reply.bulk(element)),
        End::Back => list.range(len - taken, taken).rev().for_each(|element| reply.bulk(element)),
    }
    drop_elements(ctx, key, end, taken, len)
}

fn parse_count(text: &[u8]) -> Result<usize, CommandError> {
    parse_i64(text).and_then(|count| usize::try_from(count).ok()).ok_or(CommandError::OUT_OF_RANGE)
}

/// Removes `count` of the list's `len` elements, and the key with the last one.
fn drop_elements(ctx: &mut WriteCtx<'_>, key: &[u8], end: End, count: usize, len: usize) -> Outcome {
    let limit = ctx.rules().list_limit;
    if count > 0 {
        tell_popped(ctx, key, end);
    }
    if count == len {
        ctx.delete(key);
    } else if count > 0
        && let Some(list) = ctx.modify_list(key)?
    {
        match (end, count) {
            (_, ..MANY) => (0..count).for_each(|_| assert!(list.remove(end), "they were counted")),
            (End::Front, _) => list.keep(count, len),
            (End::Back, _) => list.keep(0, len - count),
        }
        list.encode_after_shrinking(limit);
    }
    Ok(())
}

/// `LLEN key`
pub(super) fn llen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_list(ctx.arg(1))?.map_or(0, List::len));
    Ok(())
}

/// `LRANGE key start stop`
pub(super) fn lrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let start = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let stop = parse_i64(ctx.arg(3)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let Some(list) = ctx.get_list(ctx.arg(1))? else {
        reply.array(0);
        return Ok(());
    };
    let (start, count) = index_range(start, stop, list.len());
    reply.array(count);
    list.range(start, count).for_each(|element| reply.bulk(element));
    Ok(())
}

/// The first index and the number of elements from `start` to `stop` inclusive, of which negative ones count
/// from the end.
fn index_range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let absolute = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_indices_count_from_either_end() {
        let cases = [
            ((0, -1), (0, 5)),
            ((1, 2), (1, 2)),
            ((-2, -1), (3, 2)),
            ((-100, 1), (0, 2)),
            ((3, 100), (3, 2)),
            ((5, 10), (0, 0)),
            ((3, 1), (0, 0)),
            ((0, -6), (0, 0)),
            ((i64::MIN, i64::MAX), (0, 5)),
            ((i64::MAX, i64::MIN), (0, 0)),
        ];
        for ((start, stop), expected) in cases {
            assert_eq!(index_range(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(index_range(0, -1, 0), (0, 0));
    }
}
