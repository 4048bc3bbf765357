//! How keys were used: `OBJECT IDLETIME`, `OBJECT FREQ`.
//!
//! That belongs to the node that executes the command (R12). Within a transaction or a script, where every replica must
//! answer alike, a key is as if it had just come (R13).

use crate::{access::FIRST_FREQUENCY, context::ReadCtx, error::CommandError, reply::Reply};

const NO_LFU: CommandError = CommandError::fixed(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const LFU: CommandError = CommandError::fixed(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at \
     runtime LRU and LFU data will take some time to adjust.",
);

/// `OBJECT IDLETIME key`
pub(super) fn idletime(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(record) = ctx.peek_in(ctx.db(), ctx.arg(2)) else {
        reply.null();
        return Ok(());
    };
    if ctx.rules().policy.counts_uses() {
        return Err(LFU);
    }
    let idle_s = if ctx.is_of_node() { ctx.keyspace.access.idle_s(record.stamp.last_use()) } else { 0 };
    reply.int(idle_s as i64);
    Ok(())
}

/// `OBJECT FREQ key`
pub(super) fn freq(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(record) = ctx.peek_in(ctx.db(), ctx.arg(2)) else {
        reply.null();
        return Ok(());
    };
    if !ctx.rules().policy.counts_uses() {
        return Err(NO_LFU);
    }
    let frequency = match ctx.is_of_node() {
        true => ctx.keyspace.access.frequency(&ctx.rules(), record.stamp.last_use()),
        false => FIRST_FREQUENCY,
    };
    reply.int(frequency.into());
    Ok(())
}
