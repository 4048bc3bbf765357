//! Random members, and scans.

use super::{Outcome, reply_pairs};
use crate::{
    command::{
        picks::{Count, Picks},
        scan::{self, Cursor, ScanOptions},
    },
    context::ReadCtx,
    error::CommandError,
    number::{format_f64, format_f64_17g},
    random::Random,
    reply::Reply,
    types::{sample::sample, sorted_set::SortedSet},
};

/// `ZRANDMEMBER key [count [WITHSCORES]]`
pub(in crate::command) fn zrandmember(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(count) = ctx.args.get(2) else {
        match ctx.get_sorted_set(ctx.arg(1))? {
            Some(set) => {
                let rank = ctx.random().below(set.len() as u64) as usize;
                reply.bulk(member_at(set, rank).0);
            }
            None => reply.null(),
        }
        return Ok(());
    };
    let count = Count::parse(count)?;
    let with_scores = match &ctx.args[3..] {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"withscores") => true,
        _ => return Err(CommandError::SYNTAX),
    };
    if with_scores {
        count.check_pairs()?;
    }
    let Some(set) = ctx.get_sorted_set(ctx.arg(1))? else {
        reply.array(0);
        return Ok(());
    };
    let mut random = ctx.random();
    match count.picks()? {
        Picks::Different(count) => {
            let ranks = different_ranks(&mut random, set, count);
            reply_picks(reply, set, ranks.into_iter(), with_scores);
        }
        Picks::Repeated(count) => {
            let len = set.len() as u64;
            let ranks = (0..count).map(|_| random.below(len) as usize);
            reply_picks(reply, set, ranks, with_scores);
        }
    }
    Ok(())
}

fn reply_picks(
    reply: &mut Reply<'_>,
    set: &SortedSet,
    ranks: impl ExactSizeIterator<Item = usize>,
    with_scores: bool,
) {
    // Finding a place in a small set takes time in proportion to it.
    let small: Option<Vec<(&[u8], f64)>> = set.is_packed().then(|| set.iter().collect());
    let at = |rank: usize| small.as_ref().map_or_else(|| member_at(set, rank), |pairs| pairs[rank]);
    reply_pairs(reply, ranks.map(at), with_scores);
}

/// `count` different ranks, or all, in the orders of Redis: all from the highest on, some of a small set from the lowest
/// on, some of a large one in any order.
fn different_ranks(random: &mut Random, set: &SortedSet, count: usize) -> Vec<usize> {
    let mut ranks = sample(random, set.len(), count);
    if count >= set.len() {
        ranks.reverse();
    } else if !set.is_packed() {
        for last in (1..ranks.len()).rev() {
            ranks.swap(last, random.below(last as u64 + 1) as usize);
        }
    }
    ranks
}

fn member_at(set: &SortedSet, rank: usize) -> (&[u8], f64) {
    set.get(rank).expect("a rank below the length")
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`
pub(in crate::command) fn zscan(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let cursor = Cursor::parse(ctx.arg(2))?;
    let Some(set) = ctx.get_sorted_set(ctx.arg(1))? else {
        scan::reply_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::of_members(&ctx.args[3..])?;
    let wanted = |pair: &(&[u8], f64)| options.wants(pair.0);
    if set.is_packed() {
        options.whole(set.iter(), wanted)?.reply(reply, 2, |reply, (member, score)| {
            reply.bulk(member);
            reply.bulk(format_f64(score).as_bytes());
        });
    } else {
        let from = |hash| set.iter_from_hash(hash);
        options.portion(cursor, from, wanted)?.reply(reply, 2, |reply, (member, score)| {
            reply.bulk(member);
            // Redis goes through `long double` here, which does not look for the shortest text.
            reply.bulk(format_f64_17g(score).as_bytes());
        });
    }
    Ok(())
}
