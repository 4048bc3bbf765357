//! `XCLAIM` and `XAUTOCLAIM`: entries change hands whose consumer seems to be gone.

use std::collections::BTreeMap;

use super::{
    Outcome, exact_id,
    groups::{idle_ms, no_such_key_or_group, tell_consumer},
    interval_start, reply_entry, reply_id, shown,
};
use crate::{
    context::WriteCtx,
    error::CommandError,
    number::parse_i64,
    reply::Reply,
    types::stream::{Group, Pending, Stream, StreamId},
};

/// What `XCLAIM` is asked for.
struct ClaimArgs {
    min_idle_ms: i64,
    ids: Vec<StreamId>,
    delivered_ms: u64,
    deliveries: Option<u64>,
    last_id: StreamId,
    force: bool,
    just_id: bool,
}

impl ClaimArgs {
    fn parse(args: &[&[u8]], now_ms: u64) -> Result<Self, CommandError> {
        let min_idle_ms = number(args[4], "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
        let ids: Vec<StreamId> = args[5..].iter().map_while(|id| StreamId::parse(id, 0)).collect();
        let mut options = args[5 + ids.len()..].iter();
        let mut parsed = Self {
            min_idle_ms,
            ids,
            delivered_ms: now_ms,
            deliveries: None,
            last_id: StreamId::MIN,
            force: false,
            just_id: false,
        };
        while let Some(option) = options.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("force") {
                parsed.force = true;
                continue;
            } else if is("justid") {
                parsed.just_id = true;
                continue;
            }
            let is_known = ["idle", "time", "retrycount", "lastid"].into_iter().any(is);
            let value = options.next().filter(|_| is_known).ok_or_else(|| unrecognized(option))?;
            if is("idle") {
                let idle_ms = number(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                parsed.delivered_ms = past((now_ms as i64).wrapping_sub(idle_ms), now_ms);
            } else if is("time") {
                let at_ms = number(value, "ERR Invalid TIME option argument for XCLAIM")?;
                parsed.delivered_ms = past(at_ms, now_ms);
            } else if is("retrycount") {
                let deliveries = number(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                parsed.deliveries = u64::try_from(deliveries).ok();
            } else {
                parsed.last_id = exact_id(value)?;
            }
        }
        Ok(parsed)
    }
}

fn number(text: &[u8], error: &'static str) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::fixed(error))
}

fn unrecognized(option: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unrecognized XCLAIM option '{}'", shown(option)))
}

/// A time that is not to come, else now.
fn past(at_ms: i64, now_ms: u64) -> u64 {
    u64::try_from(at_ms).ok().filter(|&at_ms| at_ms <= now_ms).unwrap_or(now_ms)
}

/// The stream and the group of a claim.
fn group_of<'a>(ctx: &'a WriteCtx<'_>) -> Result<(&'a Stream, &'a Group), CommandError> {
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    let stream = ctx.get_stream(key)?;
    let found = stream.and_then(|stream| Some((stream, stream.group(name)?)));
    found.ok_or_else(|| no_such_key_or_group(key, name))
}

/// What a claim changes.
#[derive(Default)]
struct Plan {
    claimed: Vec<StreamId>,
    /// Pending entries that are in the stream no more.
    gone: Vec<StreamId>,
}

impl Plan {
    /// Whether the consumer is new.
    fn carry_out(
        &self,
        group: &mut Group,
        consumer: &[u8],
        now_ms: u64,
        change: impl Fn(&mut Pending),
    ) -> bool {
        let is_new = group.see_consumer(consumer, now_ms);
        for &id in &self.gone {
            group.acknowledge(id);
        }
        for &id in &self.claimed {
            group.claim(consumer, id, &change);
        }
        if !self.claimed.is_empty() {
            group.mark_active(consumer, now_ms);
        }
        is_new
    }
}

/// One claimed entry in a reply.
fn reply_claimed(reply: &mut Reply<'_>, stream: &Stream, id: StreamId, just_id: bool) {
    match stream.entry(id) {
        Some(entry) if !just_id => reply_entry(reply, &entry),
        _ => reply_id(reply, id),
    }
}

/// `XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE]
/// [JUSTID] [LASTID id]`
pub(in crate::command) fn xclaim(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer, now_ms) = (ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.time_ms());
    let (stream, group) = group_of(ctx)?;
    let args = ClaimArgs::parse(ctx.args, now_ms)?;
    let plan = plan_claim(stream, group, &args, now_ms);
    reply.array(plan.claimed.len());
    plan.claimed.iter().for_each(|&id| reply_claimed(reply, stream, id, args.just_id));
    let change = |pending: &mut Pending| {
        pending.delivered_ms = args.delivered_ms;
        pending.deliveries = match args.deliveries {
            Some(deliveries) => deliveries,
            None => pending.deliveries.wrapping_add(u64::from(!args.just_id)),
        };
    };
    let Some(stream) = ctx.modify_groups(key) else { return Ok(()) };
    let is_new = stream.modify_group(name, |group| {
        if args.last_id > group.last_id() {
            group.set_last_id(args.last_id, group.entries_read());
        }
        plan.carry_out(group, consumer, now_ms, change)
    });
    if is_new == Some(true) {
        tell_consumer(ctx, key);
    }
    Ok(())
}

/// Which of the entries are claimed. An entry named twice is claimed twice, if its new idle time allows it.
fn plan_claim(stream: &Stream, group: &Group, args: &ClaimArgs, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let mut seen = BTreeMap::new();
    for &id in &args.ids {
        let delivered_ms =
            *seen.entry(id).or_insert_with(|| group.pending(id).map(|pending| pending.delivered_ms));
        if !stream.contains(id) {
            if delivered_ms.is_some() {
                plan.gone.push(id);
                seen.insert(id, None);
            }
            continue;
        }
        let is_idle =
            |delivered_ms| args.min_idle_ms == 0 || idle_ms(now_ms, delivered_ms) >= args.min_idle_ms;
        if delivered_ms.map_or(args.force, is_idle) {
            plan.claimed.push(id);
            seen.insert(id, Some(args.delivered_ms));
        }
    }
    plan
}

/// What `XAUTOCLAIM` is asked for.
struct AutoclaimArgs {
    min_idle_ms: i64,
    start: StreamId,
    count: usize,
    just_id: bool,
}

impl AutoclaimArgs {
    fn parse(args: &[&[u8]]) -> Result<Self, CommandError> {
        /// So many pending entries are looked at for each one wanted.
        const COUNT_MAX: i64 = i64::MAX / 16;
        const BAD_COUNT: CommandError = CommandError::fixed("ERR COUNT must be > 0");
        let min_idle_ms = number(args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
        let start = interval_start(args[5])?;
        let mut parsed = Self { min_idle_ms, start, count: 100, just_id: false };
        let mut options = args[6..].iter();
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"justid") {
                parsed.just_id = true;
                continue;
            }
            let value = options.next().filter(|_| option.eq_ignore_ascii_case(b"count"));
            let count = parse_i64(value.ok_or(CommandError::SYNTAX)?).ok_or(BAD_COUNT)?;
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(BAD_COUNT);
            }
            parsed.count = count as usize;
        }
        Ok(parsed)
    }
}

/// `XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]`
pub(in crate::command) fn xautoclaim(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer, now_ms) = (ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.time_ms());
    let args = AutoclaimArgs::parse(ctx.args)?;
    let (stream, group) = group_of(ctx)?;
    let (plan, next) = plan_autoclaim(stream, group, &args, now_ms);
    reply.array(3);
    reply_id(reply, next);
    reply.array(plan.claimed.len());
    plan.claimed.iter().for_each(|&id| reply_claimed(reply, stream, id, args.just_id));
    reply.array(plan.gone.len());
    plan.gone.iter().for_each(|&id| reply_id(reply, id));
    let change = |pending: &mut Pending| {
        pending.delivered_ms = now_ms;
        pending.deliveries = pending.deliveries.wrapping_add(u64::from(!args.just_id));
    };
    let Some(stream) = ctx.modify_groups(key) else { return Ok(()) };
    let is_new = stream.modify_group(name, |group| plan.carry_out(group, consumer, now_ms, change));
    if is_new == Some(true) {
        tell_consumer(ctx, key);
    }
    Ok(())
}

/// What is claimed, and where the next call goes on; zero at the end.
fn plan_autoclaim(stream: &Stream, group: &Group, args: &AutoclaimArgs, now_ms: u64) -> (Plan, StreamId) {
    /// So many pending entries are looked at for each one wanted.
    const ATTEMPTS: usize = 10;
    let mut plan = Plan::default();
    let mut attempts = args.count.saturating_mul(ATTEMPTS);
    for pending in group.pending_from(args.start) {
        if attempts == 0 || plan.claimed.len() + plan.gone.len() == args.count {
            return (plan, pending.id);
        }
        attempts -= 1;
        if !stream.contains(pending.id) {
            plan.gone.push(pending.id);
        } else if args.min_idle_ms == 0 || idle_ms(now_ms, pending.delivered_ms) >= args.min_idle_ms {
            plan.claimed.push(pending.id);
        }
    }
    (plan, StreamId::MIN)
}
