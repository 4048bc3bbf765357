//! Commands that pop from the first of several lists that has anything.

use std::ops::Range;

use super::{Outcome, drop_elements, moving::parse_end};
use crate::{
    command::waiting::seconds,
    context::WriteCtx,
    error::CommandError,
    number::parse_i64,
    reply::Reply,
    types::list::End,
    waiters::{Wait, WaitsFor},
};

/// `BLPOP key [key ...] timeout`
pub(in crate::command) fn blpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_wait(ctx, reply, End::Front)
}

/// `BRPOP key [key ...] timeout`
pub(in crate::command) fn brpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_wait(ctx, reply, End::Back)
}

fn pop_one_or_wait(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, end: End) -> Outcome {
    let keys = 1..ctx.args.len() - 1;
    let timeout_ms = seconds(ctx.arg(keys.end))?;
    let Some((key, len)) = first_list(ctx, keys.clone())? else {
        return wait_or(ctx, keys, timeout_ms, || reply.null_array());
    };
    reply.array(2);
    reply.bulk(key);
    if let Some(element) = ctx.get_list(key)?.and_then(|list| list.peek(end)) {
        reply.bulk(element);
    }
    drop_elements(ctx, key, end, 1, len)
}

/// The first of these keys that holds a list, and its length.
fn first_list<'a>(ctx: &WriteCtx<'a>, keys: Range<usize>) -> Result<Option<(&'a [u8], usize)>, CommandError> {
    for i in keys {
        if let Some(list) = ctx.get_list(ctx.arg(i))? {
            return Ok(Some((ctx.arg(i), list.len())));
        }
    }
    Ok(None)
}

/// Waits for one of these keys. Where a command must not wait it answers at once, as if its time were over.
pub(super) fn wait_or(
    ctx: &mut WriteCtx<'_>,
    keys: Range<usize>,
    timeout_ms: u64,
    at_once: impl FnOnce(),
) -> Outcome {
    if ctx.may_wait() {
        return ctx.wait(Wait { kind: WaitsFor::List, keys, timeout_ms, args: None });
    }
    at_once();
    Ok(())
}

/// What LMPOP and BLMPOP have in common.
struct Several {
    keys: Range<usize>,
    end: End,
    count: usize,
}

impl Several {
    /// The number of keys stands at `at`.
    fn parse(args: &[&[u8]], at: usize) -> Result<Self, CommandError> {
        const NO_KEYS: CommandError = CommandError::fixed("ERR numkeys should be greater than 0");
        const NO_COUNT: CommandError = CommandError::fixed("ERR count should be greater than 0");
        let positive = |text| parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let number = positive(args[at]).ok_or(NO_KEYS)?;
        let end = (at + 1).checked_add(number).filter(|end| *end < args.len()).ok_or(CommandError::SYNTAX)?;
        let mut several = Self { keys: at + 1..end, end: parse_end(args[end])?, count: 1 };
        match &args[end + 1..] {
            [] => {}
            [word, count, rest @ ..] if word.eq_ignore_ascii_case(b"count") => {
                several.count = positive(count).ok_or(NO_COUNT)?;
                if !rest.is_empty() {
                    return Err(CommandError::SYNTAX);
                }
            }
            _ => return Err(CommandError::SYNTAX),
        }
        Ok(several)
    }

    /// Answers with the key and its elements. False if there is no list: nothing is written.
    fn pop(&self, ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<bool, CommandError> {
        let Some((key, len)) = first_list(ctx, self.keys.clone())? else { return Ok(false) };
        let taken = self.count.min(len);
        reply.array(2);
        reply.bulk(key);
        reply.array(taken);
        if let Some(list) = ctx.get_list(key)? {
            match self.end {
                End::Front => list.range(0, taken).for_each(|element| reply.bulk(element)),
                End::Back => list.range(len - taken, taken).rev().for_each(|element| reply.bulk(element)),
            }
        }
        drop_elements(ctx, key, self.end, taken, len)?;
        Ok(true)
    }
}

/// `LMPOP numkeys key [key ...] LEFT | RIGHT [COUNT count]`
pub(in crate::command) fn lmpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if !Several::parse(ctx.args, 1)?.pop(ctx, reply)? {
        reply.null_array();
    }
    Ok(())
}

/// `BLMPOP timeout numkeys key [key ...] LEFT | RIGHT [COUNT count]`
pub(in crate::command) fn blmpop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let several = Several::parse(ctx.args, 2)?;
    let timeout_ms = seconds(ctx.arg(1))?;
    if several.pop(ctx, reply)? {
        return Ok(());
    }
    wait_or(ctx, several.keys, timeout_ms, || reply.null_array())
}
