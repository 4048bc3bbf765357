//! Commands that concern the connection, as they are within a transaction.

use crate::{context::ReadCtx, error::CommandError, number::parse_i64, reply::Reply};

/// `PING [message]`
pub(super) fn ping(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match ctx.args {
        [_] => reply.simple("PONG"),
        [_, message] => reply.bulk(message),
        _ => return Err(CommandError::wrong_arity("ping")),
    }
    Ok(())
}

/// `ECHO message`
pub(super) fn echo(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk(ctx.arg(1));
    Ok(())
}

/// `TIME`: within a transaction or a script the log's time, which is the same on every replica.
pub(super) fn time(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let ms = ctx.now_ms();
    reply.array(2);
    reply.bulk((ms / 1000).to_string().as_bytes());
    reply.bulk((ms % 1000 * 1000).to_string().as_bytes());
    Ok(())
}

/// `SELECT index`: the session has already noted with each command which database it means.
pub(super) fn select(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    parse_db(ctx.arg(1), ctx.keyspace.databases())?;
    reply.ok();
    Ok(())
}

/// The number of a database.
pub(super) fn parse_db(arg: &[u8], databases: usize) -> Result<usize, CommandError> {
    let index = parse_i64(arg).and_then(|n| i32::try_from(n).ok()).ok_or(CommandError::NOT_AN_INTEGER)?;
    let index = usize::try_from(index).ok().filter(|&db| db < databases);
    index.ok_or(CommandError::DB_OUT_OF_RANGE)
}
