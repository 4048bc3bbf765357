//! SLOWLOG. It covers this node (R18).

use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx};

/// So many are shown unless a number is given.
const SHOWN_BY_DEFAULT: i64 = 10;

pub(super) fn get(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    const BAD: CommandError = CommandError::fixed("ERR count should be greater than or equal to -1");
    let count = match args {
        [_, _] => SHOWN_BY_DEFAULT,
        [_, _, count] => quorate_resp::parse_integer(count).filter(|count| *count >= -1).ok_or(BAD)?,
        _ => return Err(CommandError::wrong_arity("slowlog|get")),
    };
    let log = cx.node.stats.slow.borrow();
    // -1: all.
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(log.iter().len());
    reply.array(count);
    for slow in log.iter().take(count) {
        reply.array(6);
        reply.int(slow.id.cast_signed());
        reply.int(slow.at.cast_signed());
        reply.int(slow.micros.cast_signed());
        reply.array(slow.args.len());
        slow.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(slow.addr.as_bytes());
        reply.bulk(&slow.name);
    }
    Ok(())
}

pub(super) fn len(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.count(cx.node.stats.slow.borrow().iter().len());
    Ok(())
}

pub(super) fn reset(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    cx.node.stats.slow.borrow_mut().reset();
    reply.ok();
    Ok(())
}
