//! Commands on sorted sets.

mod add;
mod bounds;
mod combine;
mod pick;
mod pop;
mod range;
mod source;

pub(super) use self::{add::*, bounds::number_as_c, combine::*, pick::*, pop::*, range::*, source::text};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    news::Events,
    reply::Reply,
    types::sorted_set::SortedSet,
};

type Outcome = Result<(), CommandError>;

/// `ZREM key member [member ...]`
pub(super) fn zrem(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, members, rules) = (ctx.arg(1), &ctx.args[2..], ctx.rules());
    let set = ctx.get_sorted_set(key)?;
    let has_one = set.is_some_and(|set| members.iter().any(|member| set.score(&rules, member).is_some()));
    let mut removed = 0;
    if has_one && let Some(set) = ctx.modify_sorted_set(key)? {
        removed = members.iter().filter(|member| set.remove(&rules, member)).count();
        ctx.notify(Events::SORTED_SET, "zrem", key);
        ctx.delete_if_empty(key);
    }
    reply.count(removed);
    Ok(())
}

/// `ZCARD key`
pub(super) fn zcard(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_sorted_set(ctx.arg(1))?.map_or(0, SortedSet::len));
    Ok(())
}

/// `ZSCORE key member`
pub(super) fn zscore(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    reply_score(reply, set.and_then(|set| set.score(&ctx.rules(), ctx.arg(2))));
    Ok(())
}

/// `ZMSCORE key member [member ...]`
pub(super) fn zmscore(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (set, rules) = (ctx.get_sorted_set(ctx.arg(1))?, ctx.rules());
    reply.array(ctx.args.len() - 2);
    for member in &ctx.args[2..] {
        reply_score(reply, set.and_then(|set| set.score(&rules, member)));
    }
    Ok(())
}

/// `ZRANK key member [WITHSCORE]`
pub(super) fn zrank(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    rank(ctx, reply, false, "zrank")
}

/// `ZREVRANK key member [WITHSCORE]`
pub(super) fn zrevrank(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    rank(ctx, reply, true, "zrevrank")
}

fn rank(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, reverse: bool, command: &str) -> Outcome {
    let with_score = match &ctx.args[3..] {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"withscore") => true,
        [_] => return Err(CommandError::SYNTAX),
        _ => return Err(CommandError::wrong_arity(command)),
    };
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    let found = set.and_then(|set| Some((set.len(), set.rank(&ctx.rules(), ctx.arg(2))?)));
    let Some((len, (rank, score))) = found else {
        match with_score {
            true => reply.null_array(),
            false => reply.null(),
        }
        return Ok(());
    };
    if with_score {
        reply.array(2);
    }
    reply.count(if reverse { len - 1 - rank } else { rank });
    if with_score {
        reply.double(score);
    }
    Ok(())
}

fn reply_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// An array of members, or of members with their scores.
fn reply_pairs<'a>(
    reply: &mut Reply<'_>,
    pairs: impl ExactSizeIterator<Item = (&'a [u8], f64)>,
    with_scores: bool,
) {
    if with_scores {
        reply.pairs(pairs.len());
        for (member, score) in pairs {
            reply.pair();
            reply.bulk(member);
            reply.double(score);
        }
    } else {
        reply.array(pairs.len());
        pairs.for_each(|(member, _)| reply.bulk(member));
    }
}
