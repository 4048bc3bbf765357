//! Commands that take an element from one list and give it to another.

use super::{Outcome, drop_elements, popping::wait_or, tell_popped, tell_pushed};
use crate::{
    command::waiting::seconds,
    context::WriteCtx,
    error::CommandError,
    keyspace::Expiry,
    reply::Reply,
    types::list::{End, List},
};

/// `LMOVE source destination LEFT | RIGHT LEFT | RIGHT`
pub(in crate::command) fn lmove(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (from, to) = (parse_end(ctx.arg(3))?, parse_end(ctx.arg(4))?);
    move_element(ctx, reply, from, to)
}

/// `RPOPLPUSH source destination`
pub(in crate::command) fn rpoplpush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    move_element(ctx, reply, End::Back, End::Front)
}

/// `BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout`
pub(in crate::command) fn blmove(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (from, to) = (parse_end(ctx.arg(3))?, parse_end(ctx.arg(4))?);
    let timeout_ms = seconds(ctx.arg(5))?;
    move_or_wait(ctx, reply, from, to, timeout_ms)
}

/// `BRPOPLPUSH source destination timeout`
pub(in crate::command) fn brpoplpush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let timeout_ms = seconds(ctx.arg(3))?;
    move_or_wait(ctx, reply, End::Back, End::Front, timeout_ms)
}

/// `LEFT` or `RIGHT`.
pub(super) fn parse_end(word: &[u8]) -> Result<End, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"left" => Ok(End::Front),
        b"right" => Ok(End::Back),
        _ => Err(CommandError::SYNTAX),
    }
}

fn move_or_wait(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    from: End,
    to: End,
    timeout_ms: u64,
) -> Outcome {
    if ctx.get_list(ctx.arg(1))?.is_none() {
        return wait_or(ctx, 1..2, timeout_ms, || reply.null());
    }
    move_element(ctx, reply, from, to)
}

/// Answers with the element that was moved, or null.
fn move_element(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, from: End, to: End) -> Outcome {
    let (source, destination, limit) = (ctx.arg(1), ctx.arg(2), ctx.rules().list_limit);
    let Some(list) = ctx.get_list(source)? else {
        reply.null();
        return Ok(());
    };
    let len = list.len();
    let element = list.peek(from).expect("no list is empty").to_vec();
    ctx.get_list(destination)?;
    reply.bulk(&element);
    if source == destination {
        if let Some(list) = ctx.modify_list(source)? {
            list.remove(from);
            list.encode_for_growth(limit, &[&element]);
            list.push(to, &element);
            list.encode_after_shrinking(limit);
        }
        tell_pushed(ctx, source, to);
        tell_popped(ctx, source, from);
        return Ok(());
    }
    match ctx.modify_list(destination)? {
        Some(list) => {
            list.encode_for_growth(limit, &[&element]);
            list.push(to, &element);
        }
        None => {
            let mut list = List::new();
            list.encode_for_growth(limit, &[&element]);
            list.push(to, &element);
            ctx.set(destination, list, Expiry::Clear);
        }
    }
    tell_pushed(ctx, destination, to);
    drop_elements(ctx, source, from, 1, len)
}
