//! XREAD and XREADGROUP with BLOCK.

use super::Outcome;
use crate::{
    command::streams::read::{From, ReadArgs, read, read_in_group},
    context::WriteCtx,
    reply::Reply,
    waiters::{Wait, WaitsFor},
};

/// Whether an XREAD or XREADGROUP may wait: BLOCK is among its options. A group may have any name, those of options too.
pub(in crate::command) fn asks_to_wait(args: &[&[u8]]) -> bool {
    let mut options = args.iter().skip(1);
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"block") {
            return true;
        }
        if option.eq_ignore_ascii_case(b"streams") {
            return false;
        }
        if option.eq_ignore_ascii_case(b"group") {
            // Its name and the consumer's.
            options.nth(1);
        }
    }
    false
}

/// `XREAD [COUNT count] BLOCK milliseconds STREAMS key [key ...] id [id ...]`
pub(in crate::command) fn xread(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let args = ReadArgs::parse(ctx.args, false, ctx.time_ms(), ctx)?;
    match args.block_ms {
        Some(timeout_ms) if ctx.may_wait() && !args.is_ready(ctx) => {
            let wait = wait(ctx.args, &args, WaitsFor::Stream, timeout_ms);
            ctx.wait(wait)
        }
        _ => {
            read(ctx, &args, reply);
            Ok(())
        }
    }
}

/// `XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]`
pub(in crate::command) fn xreadgroup(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let args = ReadArgs::parse(ctx.args, true, ctx.time_ms(), ctx)?;
    let waits = args.block_ms.filter(|_| ctx.may_wait() && !args.is_ready(ctx));
    let mark = reply.mark();
    // The consumer is there from now on, whether it gets anything or not.
    read_in_group(ctx, &args, reply)?;
    if let Some(timeout_ms) = waits {
        reply.rollback(mark);
        let wait = wait(ctx.args, &args, WaitsFor::Group, timeout_ms);
        return ctx.wait(wait);
    }
    Ok(())
}

/// What waits is to read from where the stream ends now, whatever `$` will mean later.
fn wait(line: &[&[u8]], args: &ReadArgs<'_>, kind: WaitsFor, timeout_ms: u64) -> Wait {
    let ids = line.len() - args.from.len();
    let keys = ids - args.keys.len()..ids;
    let mut line: Vec<Vec<u8>> = line.iter().map(|arg| arg.to_vec()).collect();
    for (id, from) in line[ids..].iter_mut().zip(&args.from) {
        if let (b"$", From::Behind(last)) = (&id[..], from) {
            *id = last.to_string().into_bytes();
        }
    }
    Wait { kind, keys, timeout_ms, args: Some(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_found_among_the_options_only() {
        let asks = |line: &str| asks_to_wait(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert!(asks("xread block 0 streams s $"));
        assert!(asks("XREAD COUNT 1 BLOCK 0 STREAMS s $"));
        assert!(!asks("xread streams block 0"));
        assert!(asks("xreadgroup group streams streams block 0 streams s >"));
        assert!(asks("xreadgroup count 1 GROUP g c BLOCK 0 streams s >"));
        assert!(!asks("xreadgroup group block block count 1 streams block >"));
        assert!(!asks("xreadgroup group"));
    }
}
