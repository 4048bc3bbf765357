//! Reading, counting, storing and removing what is in a range.

use super::{
    Outcome,
    bounds::{Bounds, By},
    reply_pairs,
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    reply::Reply,
    rules::Rules,
    small_bytes::SmallBytes,
    types::sorted_set::{Scored, SortedSet},
};

/// A range of a sorted set and the order in which it is wanted.
struct Selection<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    with_scores: bool,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    offset: i64,
    count: i64,
}

/// What a command fixes of the options; `None` leaves it to them.
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    may_have_scores: bool,
}

impl<'a> Selection<'a> {
    /// Reads the two ends and the options behind them.
    fn parse(args: &[&'a [u8]], form: Form) -> Result<Self, CommandError> {
        const LIMIT_OF_RANKS: CommandError = CommandError::fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        );
        const SCORES_OF_LEX: CommandError =
            CommandError::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        let [first, second, options @ ..] = args else { return Err(CommandError::SYNTAX) };
        let Form { mut by, mut reverse, may_have_scores } = form;
        let (mut limit, mut with_scores) = (Limit { offset: 0, count: -1 }, false);
        let mut i = 0;
        while let Some(option) = options.get(i) {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            if may_have_scores && is(b"withscores") {
                with_scores = true;
            } else if is(b"limit") && options.len() - i > 2 {
                let number = |i: usize| parse_i64(options[i]).ok_or(CommandError::NOT_AN_INTEGER);
                limit = Limit { offset: number(i + 1)?, count: number(i + 2)? };
                i += 2;
            } else if reverse.is_none() && is(b"rev") {
                reverse = Some(true);
            } else if by.is_none() && is(b"bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && is(b"byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::SYNTAX);
            }
            i += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit.count != -1 && by == By::Rank {
            return Err(LIMIT_OF_RANKS);
        }
        if with_scores && by == By::Lex {
            return Err(SCORES_OF_LEX);
        }
        let (min, max) = if reverse && by != By::Rank { (second, first) } else { (first, second) };
        let bounds = Bounds::parse(by, min, max)?;
        let limit = (by != By::Rank).then_some(limit);
        Ok(Self { bounds, reverse, with_scores, limit })
    }

    /// The ranks of what is wanted.
    fn ranks(&self, set: &SortedSet) -> std::ops::Range<usize> {
        let all = self.bounds.ranks(set, self.reverse);
        let Some(Limit { offset, count }) = self.limit else { return all };
        let Ok(offset) = usize::try_from(offset) else { return 0..0 };
        let left = all.len().saturating_sub(offset);
        let count = usize::try_from(count).map_or(left, |count| count.min(left));
        let offset = all.len() - left;
        if self.reverse {
            all.end - offset - count..all.end - offset
        } else {
            all.start + offset..all.start + offset + count
        }
    }
}

fn reply_range(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, form: Form) -> Outcome {
    let selection = Selection::parse(&ctx.args[2..], form)?;
    match ctx.get_sorted_set(ctx.arg(1))? {
        Some(set) => {
            reply_pairs(reply, set.range(selection.ranks(set), selection.reverse), selection.with_scores);
        }
        None => reply.array(0),
    }
    Ok(())
}

/// `ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub(in crate::command) fn zrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: None, reverse: None, may_have_scores: true })
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub(in crate::command) fn zrevrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: Some(By::Rank), reverse: Some(true), may_have_scores: true })
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub(in crate::command) fn zrangebyscore(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: Some(By::Score), reverse: Some(false), may_have_scores: true })
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub(in crate::command) fn zrevrangebyscore(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: Some(By::Score), reverse: Some(true), may_have_scores: true })
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
pub(in crate::command) fn zrangebylex(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: Some(By::Lex), reverse: Some(false), may_have_scores: true })
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub(in crate::command) fn zrevrangebylex(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_range(ctx, reply, Form { by: Some(By::Lex), reverse: Some(true), may_have_scores: true })
}

/// `ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]`
pub(in crate::command) fn zrangestore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let form = Form { by: None, reverse: None, may_have_scores: false };
    let selection = Selection::parse(&ctx.args[3..], form)?;
    let mut all: Vec<Scored> = match ctx.get_sorted_set(ctx.arg(2))? {
        Some(set) => set.range(selection.ranks(set), selection.reverse).map(Scored::from).collect(),
        None => Vec::new(),
    };
    lose_negative_zeros(&ctx.rules(), &mut all, matches!(selection.bounds, Bounds::Rank(..)));
    store(ctx, reply, "zrangestore", ctx.arg(1), all);
    Ok(())
}

/// Redis fills the new set one by one, and as long as it is a small one it cannot hold a -0. It begins as a large one if
/// the number of members is known and too large.
fn lose_negative_zeros(rules: &Rules, all: &mut [Scored], is_number_known: bool) {
    if is_number_known && all.len() > rules.zset_entries_max {
        return;
    }
    let fits = |scored: &&mut Scored| scored.member.as_bytes().len() <= rules.zset_value_max;
    for scored in all.iter_mut().take(rules.zset_entries_max).take_while(fits) {
        scored.score += 0.0;
    }
}

/// Puts these in the place of what a key holds, nothing if there are none, tells so, and answers their number.
pub(in crate::command) fn store(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    event: &'static str,
    key: &[u8],
    all: Vec<Scored>,
) {
    reply.count(all.len());
    if all.is_empty() {
        ctx.delete(key);
    } else {
        let set = SortedSet::of(&ctx.rules(), all);
        ctx.set(key, set, Expiry::Clear);
        ctx.notify(Events::SORTED_SET, event, key);
    }
}

impl From<(&[u8], f64)> for Scored {
    fn from((member, score): (&[u8], f64)) -> Self {
        Self { score, member: SmallBytes::new(member) }
    }
}

fn reply_count(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, by: By) -> Outcome {
    let bounds = Bounds::parse(by, ctx.arg(2), ctx.arg(3))?;
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    reply.count(set.map_or(0, |set| bounds.ranks(set, false).len()));
    Ok(())
}

/// `ZCOUNT key min max`
pub(in crate::command) fn zcount(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_count(ctx, reply, By::Score)
}

/// `ZLEXCOUNT key min max`
pub(in crate::command) fn zlexcount(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_count(ctx, reply, By::Lex)
}

fn remove_range(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, event: &'static str, by: By) -> Outcome {
    let bounds = Bounds::parse(by, ctx.arg(2), ctx.arg(3))?;
    let Some(set) = ctx.get_sorted_set(ctx.arg(1))? else {
        reply.int(0);
        return Ok(());
    };
    let (ranks, len) = (bounds.ranks(set, false), set.len());
    reply.count(ranks.len());
    remove_ranks(ctx, event, ctx.arg(1), ranks, len)
}

/// Removes the members at these ranks, of `len` altogether, and the key with the last one, and tells so.
pub(super) fn remove_ranks(
    ctx: &mut WriteCtx<'_>,
    event: &'static str,
    key: &[u8],
    ranks: std::ops::Range<usize>,
    len: usize,
) -> Outcome {
    let rules = ctx.rules();
    if ranks.is_empty() {
        return Ok(());
    }
    ctx.notify(Events::SORTED_SET, event, key);
    if ranks.len() == len {
        ctx.delete(key);
    } else if let Some(set) = ctx.modify_sorted_set(key)? {
        set.remove_range(&rules, ranks);
    }
    Ok(())
}

/// `ZREMRANGEBYRANK key start stop`
pub(in crate::command) fn zremrangebyrank(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove_range(ctx, reply, "zremrangebyrank", By::Rank)
}

/// `ZREMRANGEBYSCORE key min max`
pub(in crate::command) fn zremrangebyscore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove_range(ctx, reply, "zremrangebyscore", By::Score)
}

/// `ZREMRANGEBYLEX key min max`
pub(in crate::command) fn zremrangebylex(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove_range(ctx, reply, "zremrangebylex", By::Lex)
}
