//! `DUMP` and `RESTORE`.

use super::keys::tell_replaced;
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    rdb::{self, Refused, Version},
    reply::Reply,
};

/// `DUMP key`
pub(super) fn dump(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match ctx.get(ctx.arg(1)) {
        Some(value) => reply.bulk(&rdb::dump(value, Version::default())),
        None => reply.null(),
    }
    Ok(())
}

/// The options of `RESTORE`. How long a key was idle and how often it was used belong to a node (R12): each one notes it by
/// its own clock.
#[derive(Default)]
struct Options {
    replace: bool,
    at: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: &[&[u8]]) -> Result<Self, CommandError> {
        const BAD_IDLETIME: CommandError = CommandError::fixed("ERR Invalid IDLETIME value, must be >= 0");
        const BAD_FREQ: CommandError = CommandError::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
        let mut parsed = Self::default();
        let mut options = args.iter();
        while let Some(option) = options.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            let mut number = || {
                let value = options.next().ok_or(CommandError::SYNTAX)?;
                parse_i64(value).ok_or(CommandError::NOT_AN_INTEGER)
            };
            if is("replace") {
                parsed.replace = true;
            } else if is("absttl") {
                parsed.at = true;
            } else if is("idletime") && parsed.frequency.is_none() {
                parsed.idle_s = Some(u64::try_from(number()?).map_err(|_| BAD_IDLETIME)?);
            } else if is("freq") && parsed.idle_s.is_none() {
                parsed.frequency = Some(u8::try_from(number()?).map_err(|_| BAD_FREQ)?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(parsed)
    }
}

/// `RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub(super) fn restore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    const BUSY: CommandError = CommandError::fixed("BUSYKEY Target key name already exists.");
    const BAD_TTL: CommandError = CommandError::fixed("ERR Invalid TTL value, must be >= 0");
    const BAD_FOOTER: CommandError = CommandError::fixed("ERR DUMP payload version or checksum are wrong");
    const BAD_FORMAT: CommandError = CommandError::fixed("ERR Bad data format");
    let (key, now_ms) = (ctx.arg(1), ctx.time_ms());
    let options = Options::parse(&ctx.args[4..])?;
    if !options.replace && ctx.exists(key) {
        return Err(BUSY);
    }
    let ttl = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let ttl = u64::try_from(ttl).map_err(|_| BAD_TTL)?;
    let value = rdb::restore(ctx.arg(3), &ctx.rules()).map_err(|refused| match refused {
        Refused::Footer => BAD_FOOTER,
        Refused::Format => BAD_FORMAT,
    })?;
    let expire_at_ms = match ttl {
        0 => None,
        ttl if options.at => Some(ttl),
        ttl => Some(now_ms.saturating_add(ttl).min(i64::MAX as u64)),
    };
    if expire_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
        ctx.delete(key);
    } else {
        tell_replaced(ctx, ctx.db(), key);
        ctx.set(key, value, expire_at_ms.map_or(Expiry::Clear, Expiry::At));
        ctx.notify(Events::GENERIC, "restore", key);
    }
    let access = &ctx.keyspace.access;
    let last_use = match (ctx.rules().policy.counts_uses(), options.idle_s, options.frequency) {
        (false, Some(idle_s), _) => Some(access.use_before(idle_s)),
        (true, _, Some(frequency)) => Some(access.with_minute(frequency)),
        _ => None,
    };
    if let Some(last_use) = last_use {
        ctx.keyspace.set_use(ctx.db(), key, last_use);
    }
    reply.ok();
    Ok(())
}
