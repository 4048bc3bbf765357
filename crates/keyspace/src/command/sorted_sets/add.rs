//! Adding members and changing scores.

use smallvec::SmallVec;

use super::Outcome;
use crate::{
    context::WriteCtx, error::CommandError, keyspace::Expiry, news::Events, number::parse_f64, reply::Reply,
    rules::Rules, types::sorted_set::SortedSet,
};

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]`
pub(in crate::command) fn zadd(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let args = ctx.args;
    add(ctx, reply, args, false)
}

/// `ZINCRBY key increment member`: in Redis it is a ZADD with INCR, down to taking options for what they are.
pub(in crate::command) fn zincrby(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let args = ctx.args;
    add(ctx, reply, args, true)
}

/// What the options say.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

/// What becomes of a member.
enum Verdict {
    /// An option leaves it as it is.
    Left,
    /// It has this score, as before.
    Same(f64),
    /// It gets this score.
    New(f64),
}

impl Options {
    /// Reads options as long as there are any, and tells where the scores begin.
    fn parse(args: &[&[u8]]) -> (Self, usize) {
        let mut options = Self::default();
        for (i, arg) in args.iter().enumerate().skip(2) {
            let is = |word: &[u8]| arg.eq_ignore_ascii_case(word);
            if is(b"nx") {
                options.nx = true;
            } else if is(b"xx") {
                options.xx = true;
            } else if is(b"gt") {
                options.gt = true;
            } else if is(b"lt") {
                options.lt = true;
            } else if is(b"ch") {
                options.ch = true;
            } else if is(b"incr") {
                options.incr = true;
            } else {
                return (options, i);
            }
        }
        (options, args.len())
    }

    fn check(&self, pairs: usize) -> Outcome {
        const NX_XX: CommandError =
            CommandError::fixed("ERR XX and NX options at the same time are not compatible");
        const NX_GT_LT: CommandError =
            CommandError::fixed("ERR GT, LT, and/or NX options at the same time are not compatible");
        const INCR: CommandError =
            CommandError::fixed("ERR INCR option supports a single increment-element pair");
        if self.nx && self.xx {
            return Err(NX_XX);
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            return Err(NX_GT_LT);
        }
        if self.incr && pairs > 1 { Err(INCR) } else { Ok(()) }
    }

    fn judge(&self, old: Option<f64>, score: f64) -> Result<Verdict, CommandError> {
        const NAN: CommandError = CommandError::fixed("ERR resulting score is not a number (NaN)");
        let Some(old) = old else {
            return Ok(if self.xx { Verdict::Left } else { Verdict::New(score) });
        };
        if self.nx {
            return Ok(Verdict::Left);
        }
        let score = if self.incr { old + score } else { score };
        if score.is_nan() {
            return Err(NAN);
        }
        if (self.lt && score >= old) || (self.gt && score <= old) {
            return Ok(Verdict::Left);
        }
        Ok(if score == old { Verdict::Same(score) } else { Verdict::New(score) })
    }
}

/// What has become of all members.
#[derive(Default)]
struct Summary {
    added: usize,
    updated: usize,
    /// The score of the last one that no option left as it was.
    score: Option<f64>,
}

impl Summary {
    fn note(&mut self, old: Option<f64>, verdict: &Verdict) {
        match verdict {
            Verdict::Left => {}
            Verdict::Same(score) => self.score = Some(*score),
            Verdict::New(score) => {
                self.score = Some(*score);
                match old {
                    Some(_) => self.updated += 1,
                    None => self.added += 1,
                }
            }
        }
    }

    fn reply(&self, reply: &mut Reply<'_>, options: &Options) {
        if options.incr {
            super::reply_score(reply, self.score);
        } else {
            reply.count(if options.ch { self.added + self.updated } else { self.added });
        }
    }
}

/// ZADD with these arguments, which GEOADD makes up.
pub(in crate::command) fn add(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    args: &[&[u8]],
    increment: bool,
) -> Outcome {
    let (mut options, first) = Options::parse(args);
    options.incr |= increment;
    let (pairs, rest) = args[first..].as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(CommandError::SYNTAX);
    }
    options.check(pairs.len())?;
    let scores: Option<SmallVec<[f64; 4]>> = pairs.iter().map(|[score, _]| parse_f64(score)).collect();
    let scores = scores.ok_or(CommandError::NOT_A_FLOAT)?;
    let all = || pairs.iter().zip(&scores).map(|([_, member], score)| (*member, *score));

    let (key, rules) = (args[1], ctx.rules());
    let mut summary = Summary::default();
    match ctx.get_sorted_set(key)? {
        None if options.xx => {}
        None => {
            let mut set = SortedSet::for_members(&rules, pairs.len(), pairs[0][1].len());
            for (member, score) in all() {
                put(&mut set, &options, &rules, member, score, &mut summary);
            }
            ctx.set(key, set, Expiry::Clear);
        }
        Some(set) => {
            // Up to the first that changes something, the set is as it was.
            let mut unchanged = 0;
            for (member, score) in all() {
                let old = set.score(&rules, member);
                let verdict = options.judge(old, score)?;
                if matches!(verdict, Verdict::New(_)) {
                    break;
                }
                summary.note(old, &verdict);
                unchanged += 1;
            }
            if unchanged < pairs.len()
                && let Some(set) = ctx.modify_sorted_set(key)?
            {
                set.expect(&rules, pairs.len());
                for (member, score) in all().skip(unchanged) {
                    put(set, &options, &rules, member, score, &mut summary);
                }
            }
        }
    }
    if summary.added + summary.updated > 0 {
        ctx.notify(Events::SORTED_SET, if options.incr { "zincr" } else { "zadd" }, key);
    }
    summary.reply(reply, &options);
    Ok(())
}

/// Carries out the verdict on one member. It cannot be an error: only INCR makes one, which takes a single member, and
/// that is judged before anything changes.
fn put(
    set: &mut SortedSet,
    options: &Options,
    rules: &Rules,
    member: &[u8],
    score: f64,
    summary: &mut Summary,
) {
    set.update(rules, member, |old| {
        let verdict = options.judge(old, score).expect("what is not a number is refused before");
        summary.note(old, &verdict);
        match verdict {
            Verdict::New(score) => Some(score),
            Verdict::Left | Verdict::Same(_) => None,
        }
    });
}
