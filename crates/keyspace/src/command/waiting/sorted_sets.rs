//! Commands that pop from the first of several sorted sets that has anything, and can wait.

use std::ops::Range;

use super::{Outcome, seconds};
use crate::{
    command::sorted_sets::{End, MultiPop, pop, reply_popped},
    context::WriteCtx,
    error::CommandError,
    reply::Reply,
    waiters::{Wait, WaitsFor},
};

/// `BZPOPMIN key [key ...] timeout`
pub(in crate::command) fn bzpopmin(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_wait(ctx, reply, End::Min)
}

/// `BZPOPMAX key [key ...] timeout`
pub(in crate::command) fn bzpopmax(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_wait(ctx, reply, End::Max)
}

fn pop_one_or_wait(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, end: End) -> Outcome {
    let keys = 1..ctx.args.len() - 1;
    let timeout_ms = seconds(ctx.arg(keys.end))?;
    let Some(key) = first_set(ctx, keys.clone())? else { return wait_or_null(ctx, reply, keys, timeout_ms) };
    reply.array(3);
    reply.bulk(key);
    pop(ctx, key, end, 1, |member, score| {
        reply.bulk(member);
        reply.double(score);
    })
}

/// `BZMPOP timeout numkeys key [key ...] MIN | MAX [COUNT count]`
pub(in crate::command) fn bzmpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let MultiPop { keys, end, count } = MultiPop::parse(&ctx.args[2..])?;
    let timeout_ms = seconds(ctx.arg(1))?;
    let keys = 3..3 + keys.len();
    match first_set(ctx, keys.clone())? {
        Some(key) => reply_popped(ctx, reply, key, end, count),
        None => wait_or_null(ctx, reply, keys, timeout_ms),
    }
}

/// The first of these keys that holds a sorted set.
fn first_set<'a>(ctx: &WriteCtx<'a>, keys: Range<usize>) -> Result<Option<&'a [u8]>, CommandError> {
    for i in keys {
        if ctx.get_sorted_set(ctx.arg(i))?.is_some() {
            return Ok(Some(ctx.arg(i)));
        }
    }
    Ok(None)
}

fn wait_or_null(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    keys: Range<usize>,
    timeout_ms: u64,
) -> Outcome {
    if ctx.may_wait() {
        return ctx.wait(Wait { kind: WaitsFor::SortedSet, keys, timeout_ms, args: None });
    }
    reply.null_array();
    Ok(())
}
