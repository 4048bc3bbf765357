//! Publishing from within the log (R18).

use crate::{context::WriteCtx, error::CommandError, reply::Reply};

type Outcome = Result<(), CommandError>;

/// `PUBLISH channel message` within a transaction or a script. How many hear it differs from node to node, so the reply,
/// which is the same on all, is 0.
pub(super) fn publish(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    say(ctx, false, reply)
}

/// `SPUBLISH channel message`, likewise.
pub(super) fn spublish(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    say(ctx, true, reply)
}

fn say(ctx: &mut WriteCtx<'_>, sharded: bool, reply: &mut Reply<'_>) -> Outcome {
    let (channel, message) = (ctx.arg(1), ctx.arg(2));
    ctx.keyspace.gazette.message(channel, message, sharded);
    reply.int(0);
    Ok(())
}
