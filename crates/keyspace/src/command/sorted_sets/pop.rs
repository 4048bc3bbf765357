//! Taking members from an end.

use super::{Outcome, range::remove_ranks};
use crate::{
    context::WriteCtx, error::CommandError, number::parse_i64, reply::Reply, types::sorted_set::SortedSet,
};

/// One of the two ends of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum End {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

/// Takes up to `count` members from an end: tells each, the outermost first, and removes them. A key without any is
/// removed. Nothing happens to a missing key.
///
/// # Errors
/// WRONGTYPE.
pub(in crate::command) fn pop(
    ctx: &mut WriteCtx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    mut tell: impl FnMut(&[u8], f64),
) -> Outcome {
    let Some(set) = ctx.get_sorted_set(key)? else { return Ok(()) };
    let (len, taken) = (set.len(), count.min(set.len()));
    let ranks = if end == End::Min { 0..taken } else { len - taken..len };
    set.range(ranks.clone(), end == End::Max).for_each(|(member, score)| tell(member, score));
    remove_ranks(ctx, if end == End::Min { "zpopmin" } else { "zpopmax" }, key, ranks, len)
}

/// `ZPOPMIN key [count]`
pub(in crate::command) fn zpopmin(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one(ctx, reply, End::Min)
}

/// `ZPOPMAX key [count]`
pub(in crate::command) fn zpopmax(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one(ctx, reply, End::Max)
}

fn pop_one(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, end: End) -> Outcome {
    let count = match &ctx.args[2..] {
        [] => None,
        [count] => Some(parse_count(count, 0, CommandError::OUT_OF_RANGE)?),
        _ => return Err(CommandError::SYNTAX),
    };
    let taken = ctx.get_sorted_set(ctx.arg(1))?.map_or(0, SortedSet::len).min(count.unwrap_or(1));
    // Without a count, member and score are not a pair of their own in RESP3 either.
    let is_pair = count.is_some() && taken > 0;
    match is_pair {
        true => reply.pairs(taken),
        false => reply.array(2 * taken),
    }
    pop(ctx, ctx.arg(1), end, taken, |member, score| {
        if is_pair {
            reply.pair();
        }
        reply.bulk(member);
        reply.double(score);
    })
}

/// `ZMPOP numkeys key [key ...] MIN | MAX [COUNT count]`
pub(in crate::command) fn zmpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let MultiPop { keys, end, count } = MultiPop::parse(&ctx.args[1..])?;
    for key in keys {
        if ctx.get_sorted_set(key)?.is_some() {
            return reply_popped(ctx, reply, key, end, count);
        }
    }
    reply.null_array();
    Ok(())
}

/// What ZMPOP and BZMPOP ask for.
pub(in crate::command) struct MultiPop<'a> {
    /// To be looked at in this order.
    pub(in crate::command) keys: Vec<&'a [u8]>,
    /// Where to take from.
    pub(in crate::command) end: End,
    /// Most members to take.
    pub(in crate::command) count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads what begins with the number of keys.
    pub(in crate::command) fn parse(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        const NUMKEYS: CommandError = CommandError::fixed("ERR numkeys should be greater than 0");
        const COUNT: CommandError = CommandError::fixed("ERR count should be greater than 0");
        let numkeys = parse_count(args.first().copied().unwrap_or_default(), 1, NUMKEYS)?;
        let Some((keys, [end, options @ ..])) = args[1..].split_at_checked(numkeys) else {
            return Err(CommandError::SYNTAX);
        };
        let end = match end.to_ascii_lowercase().as_slice() {
            b"min" => End::Min,
            b"max" => End::Max,
            _ => return Err(CommandError::SYNTAX),
        };
        let count = match options {
            [] => 1,
            [word, count, rest @ ..] if word.eq_ignore_ascii_case(b"count") => {
                let count = parse_count(count, 1, COUNT)?;
                if rest.is_empty() { count } else { return Err(CommandError::SYNTAX) }
            }
            _ => return Err(CommandError::SYNTAX),
        };
        Ok(Self { keys: keys.to_vec(), end, count })
    }
}

/// Takes members from a key that holds a sorted set, and answers as ZMPOP does: the key, and pairs.
///
/// # Errors
/// WRONGTYPE.
pub(in crate::command) fn reply_popped(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Outcome {
    let taken = ctx.get_sorted_set(key)?.map_or(0, SortedSet::len).min(count);
    reply.array(2);
    reply.bulk(key);
    reply.array(taken);
    pop(ctx, key, end, taken, |member, score| {
        reply.array(2);
        reply.bulk(member);
        reply.double(score);
    })
}

/// A number of at least `min`; `error` if it is something else.
fn parse_count(text: &[u8], min: usize, error: CommandError) -> Result<usize, CommandError> {
    let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
    count.filter(|&count| count >= min).ok_or(error)
}
