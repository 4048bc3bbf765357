//! Union, intersection and difference.

use std::borrow::Cow;

use super::{Outcome, range::store, reply_pairs, source::Source};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    number::{parse_f64, parse_i64},
    reply::Reply,
    rules::Rules,
    types::sorted_set::{Scored, compare},
    value::Value,
};

/// What is made of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores that a member has in several sets become one.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn apply(self, so_far: f64, score: f64) -> f64 {
        match self {
            Self::Sum => zero_if_nan(so_far + score),
            Self::Min if score < so_far => score,
            Self::Max if score > so_far => score,
            Self::Min | Self::Max => so_far,
        }
    }
}

/// Infinities that meet make 0, as in Redis.
fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

type Member<'a> = (Cow<'a, [u8]>, f64);

/// One of the sets, and what its scores are multiplied by.
struct Input<'a> {
    source: Source<'a>,
    weight: f64,
}

struct Combination<'a> {
    operation: Operation,
    inputs: Vec<Input<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Most members to count; 0 is any number.
    limit: usize,
}

/// What a command allows beside the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reply,
    Store,
    Count,
}

impl<'a> Combination<'a> {
    /// Reads what begins with the number of keys.
    fn parse(
        command: &str,
        operation: Operation,
        kind: Kind,
        args: &[&[u8]],
        get: impl Fn(&[u8]) -> Option<&'a Value>,
    ) -> Result<Self, CommandError> {
        let count = args.first().and_then(|count| parse_i64(count)).ok_or(CommandError::NOT_AN_INTEGER)?;
        if count < 1 {
            let text = format!("ERR at least 1 input key is needed for '{command}' command");
            return Err(CommandError::new(text));
        }
        let count = usize::try_from(count).map_err(|_| CommandError::SYNTAX)?;
        let (keys, options) = args[1..].split_at_checked(count).ok_or(CommandError::SYNTAX)?;
        let input = |key: &&[u8]| Ok(Input { source: Source::new(get(key))?, weight: 1.0 });
        let inputs = keys.iter().map(input).collect::<Result<Vec<_>, CommandError>>()?;
        let mut combination =
            Self { operation, inputs, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        combination.parse_options(kind, options)?;
        if operation != Operation::Difference {
            // As Redis does; the order shows where sums are rounded.
            combination.inputs.sort_by_key(|input| input.source.len());
        }
        Ok(combination)
    }

    fn parse_options(&mut self, kind: Kind, mut options: &[&[u8]]) -> Outcome {
        const NOT_A_WEIGHT: CommandError = CommandError::fixed("ERR weight value is not a float");
        const NEGATIVE_LIMIT: CommandError = CommandError::fixed("ERR LIMIT can't be negative");
        let has_weights = self.operation != Operation::Difference && kind != Kind::Count;
        while let [option, rest @ ..] = options {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            options = if has_weights && is(b"weights") && rest.len() >= self.inputs.len() {
                let (weights, rest) = rest.split_at(self.inputs.len());
                for (input, weight) in self.inputs.iter_mut().zip(weights) {
                    input.weight = parse_f64(weight).ok_or(NOT_A_WEIGHT)?;
                }
                rest
            } else if has_weights
                && is(b"aggregate")
                && let [how, rest @ ..] = rest
            {
                self.aggregate = match how.to_ascii_lowercase().as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(CommandError::SYNTAX),
                };
                rest
            } else if kind == Kind::Reply && is(b"withscores") {
                self.with_scores = true;
                rest
            } else if kind == Kind::Count
                && is(b"limit")
                && let [limit, rest @ ..] = rest
            {
                let limit = parse_i64(limit).and_then(|limit| usize::try_from(limit).ok());
                self.limit = limit.ok_or(NEGATIVE_LIMIT)?;
                rest
            } else {
                return Err(CommandError::SYNTAX);
            };
        }
        Ok(())
    }

    /// What comes of it, in no particular order.
    fn members(&self, rules: &Rules) -> Vec<Member<'a>> {
        match self.operation {
            Operation::Union => self.union(),
            Operation::Intersection => self.intersection(rules).collect(),
            Operation::Difference => self.difference(rules),
        }
    }

    fn union(&self) -> Vec<Member<'a>> {
        let mut all: Vec<Member<'_>> = Vec::with_capacity(self.inputs.iter().map(|i| i.source.len()).sum());
        for Input { source, weight } in &self.inputs {
            all.extend(source.iter().map(|(member, score)| (member, zero_if_nan(weight * score))));
        }
        // Those of one member stay in the order of the sets, which is that of the sum.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                first.1 = self.aggregate.apply(first.1, next.1);
            }
            is_same
        });
        all
    }

    fn intersection<'s>(&'s self, rules: &'s Rules) -> impl Iterator<Item = Member<'a>> + 's {
        let (first, others) = self.inputs.split_first().expect("at least one key");
        first.source.iter().filter_map(move |(member, score)| {
            let mut score = zero_if_nan(first.weight * score);
            for other in others {
                score = self.aggregate.apply(score, other.weight * other.source.score(rules, &member)?);
            }
            Some((member, score))
        })
    }

    fn difference(&self, rules: &Rules) -> Vec<Member<'a>> {
        let (first, others) = self.inputs.split_first().expect("at least one key");
        let is_left =
            |(member, _): &Member<'_>| others.iter().all(|other| other.source.score(rules, member).is_none());
        first.source.iter().filter(is_left).collect()
    }
}

fn reply_combination(
    ctx: &ReadCtx<'_>,
    reply: &mut Reply<'_>,
    command: &str,
    operation: Operation,
) -> Outcome {
    let get = |key: &[u8]| ctx.get(key);
    let combination = Combination::parse(command, operation, Kind::Reply, &ctx.args[1..], get)?;
    let mut members = combination.members(&ctx.rules());
    members.sort_unstable_by(|a, b| compare((a.1, &a.0), (b.1, &b.0)));
    reply_pairs(reply, members.iter().map(|(member, score)| (&**member, *score)), combination.with_scores);
    Ok(())
}

fn store_combination(
    ctx: &mut WriteCtx<'_>,
    reply: &mut Reply<'_>,
    command: &'static str,
    operation: Operation,
) -> Outcome {
    let get = |key: &[u8]| ctx.get(key);
    let combination = Combination::parse(command, operation, Kind::Store, &ctx.args[2..], get)?;
    let members = combination.members(&ctx.rules());
    let all = members.iter().map(|(member, score)| Scored::from((&**member, *score))).collect();
    store(ctx, reply, command, ctx.arg(1), all);
    Ok(())
}

/// `ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]`
pub(in crate::command) fn zunion(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_combination(ctx, reply, "zunion", Operation::Union)
}

/// `ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]`
pub(in crate::command) fn zinter(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_combination(ctx, reply, "zinter", Operation::Intersection)
}

/// `ZDIFF numkeys key [key ...] [WITHSCORES]`
pub(in crate::command) fn zdiff(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_combination(ctx, reply, "zdiff", Operation::Difference)
}

/// `ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]`
pub(in crate::command) fn zunionstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    store_combination(ctx, reply, "zunionstore", Operation::Union)
}

/// `ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]`
pub(in crate::command) fn zinterstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    store_combination(ctx, reply, "zinterstore", Operation::Intersection)
}

/// `ZDIFFSTORE destination numkeys key [key ...]`
pub(in crate::command) fn zdiffstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    store_combination(ctx, reply, "zdiffstore", Operation::Difference)
}

/// `ZINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(in crate::command) fn zintercard(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (args, get) = (&ctx.args[1..], |key: &[u8]| ctx.get(key));
    let combination = Combination::parse("zintercard", Operation::Intersection, Kind::Count, args, get)?;
    let limit = if combination.limit == 0 { usize::MAX } else { combination.limit };
    reply.count(combination.intersection(&ctx.rules()).take(limit).count());
    Ok(())
}
