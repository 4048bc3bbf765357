//! Commands on strings.

mod lcs;

use std::ops::Range;

use lcs::Matches;

use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::{Expiry, is_past},
    news::Events,
    number::{I64_TEXT_BYTES_MAX, IncrementError, increment_by_float, parse_i64},
    reply::Reply,
    types::string::Str,
};

/// Longest string, in bytes: Redis's default for `proto-max-bulk-len`.
const STRING_BYTES_MAX: usize = 512 << 20;

const DECREMENT_OVERFLOW: CommandError = CommandError::fixed("ERR decrement would overflow");
const LCS_NOT_STRINGS: CommandError =
    CommandError::fixed("ERR The specified keys must contain string values");
const LCS_LEN_AND_IDX: CommandError =
    CommandError::fixed("ERR If you want both the length and indexes, please just use IDX.");
const LCS_TOO_LARGE: CommandError =
    CommandError::fixed("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

type Outcome = Result<(), CommandError>;

/// How a command gives a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    Ex,
    Px,
    ExAt,
    PxAt,
}

/// What becomes of the deadline, as given by the options of SET and GETEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime<'a> {
    /// No option about it.
    Unsaid,
    /// KEEPTTL of SET.
    Keep,
    /// PERSIST of GETEX.
    Persist,
    /// EX, PX, EXAT, PXAT, with the number as it was sent.
    Until(Deadline, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Takes one option and the argument behind it; true if that argument is its number. An option may
    /// repeat, the last one counts; two different ones exclude each other.
    fn take(&mut self, option: &[u8], next: Option<&'a [u8]>) -> Result<bool, CommandError> {
        let deadline = match () {
            () if option.eq_ignore_ascii_case(b"EX") => Deadline::Ex,
            () if option.eq_ignore_ascii_case(b"PX") => Deadline::Px,
            () if option.eq_ignore_ascii_case(b"EXAT") => Deadline::ExAt,
            () if option.eq_ignore_ascii_case(b"PXAT") => Deadline::PxAt,
            () => return Err(CommandError::SYNTAX),
        };
        match self {
            Self::Unsaid => {}
            Self::Until(before, _) if *before == deadline => {}
            _ => return Err(CommandError::SYNTAX),
        }
        *self = Self::Until(deadline, next.ok_or(CommandError::SYNTAX)?);
        Ok(true)
    }

    /// Takes KEEPTTL or PERSIST.
    fn take_plain(&mut self, plain: Self) -> Result<bool, CommandError> {
        if !matches!(self, Self::Unsaid) && *self != plain {
            return Err(CommandError::SYNTAX);
        }
        *self = plain;
        Ok(false)
    }

    /// What it comes to at the log's time. `command` is the name for the error.
    fn expiry(self, command: &str, time_ms: u64) -> Result<Expiry, CommandError> {
        match self {
            Self::Unsaid | Self::Persist => Ok(Expiry::Clear),
            Self::Keep => Ok(Expiry::Keep),
            Self::Until(deadline, number) => deadline.resolve(number, command, time_ms).map(Expiry::At),
        }
    }
}

impl Deadline {
    /// Milliseconds since 1970, positive and within 63 bits.
    fn resolve(self, number: &[u8], command: &str, time_ms: u64) -> Result<u64, CommandError> {
        let number = parse_i64(number).ok_or(CommandError::NOT_AN_INTEGER)?;
        let scale = if matches!(self, Self::Ex | Self::ExAt) { 1000 } else { 1 };
        let start = if matches!(self, Self::Ex | Self::Px) { time_ms as i64 } else { 0 };
        let deadline = (number > 0).then(|| number.checked_mul(scale)?.checked_add(start)).flatten();
        let deadline = deadline.ok_or_else(|| CommandError::invalid_expire(command))?;
        Ok(deadline as u64)
    }
}

/// The options of SET.
struct SetOptions<'a> {
    if_absent: bool,
    if_present: bool,
    get: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self, CommandError> {
        let mut options =
            Self { if_absent: false, if_present: false, get: false, lifetime: Lifetime::Unsaid };
        let mut i = 0;
        while let Some(option) = args.get(i) {
            i += 1 + usize::from(options.take(option, args.get(i + 1).copied())?);
        }
        Ok(options)
    }

    /// True if the next argument belongs to the option.
    fn take(&mut self, option: &[u8], next: Option<&'a [u8]>) -> Result<bool, CommandError> {
        if option.eq_ignore_ascii_case(b"NX") && !self.if_present {
            self.if_absent = true;
        } else if option.eq_ignore_ascii_case(b"XX") && !self.if_absent {
            self.if_present = true;
        } else if option.eq_ignore_ascii_case(b"GET") {
            self.get = true;
        } else if option.eq_ignore_ascii_case(b"KEEPTTL") {
            return self.lifetime.take_plain(Lifetime::Keep);
        } else {
            return self.lifetime.take(option, next);
        }
        Ok(false)
    }
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let options = SetOptions::parse(ctx.args.get(3..).unwrap_or_default())?;
    let expiry = options.lifetime.expiry("set", ctx.time_ms())?;
    if options.get {
        ctx.count_as_read(key);
        reply_string(ctx.get_string(key)?, reply);
    }
    let refused = (options.if_absent && ctx.exists(key)) || (options.if_present && !ctx.exists(key));
    if !refused {
        store(ctx, key, ctx.arg(2), expiry);
    }
    match (options.get, refused) {
        (true, _) => {}
        (false, true) => reply.null(),
        (false, false) => reply.ok(),
    }
    Ok(())
}

/// `SETNX key value`
pub(super) fn setnx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let absent = !ctx.exists(key);
    if absent {
        store(ctx, key, ctx.arg(2), Expiry::Clear);
    }
    reply.int(i64::from(absent));
    Ok(())
}

/// `SETEX key seconds value`
pub(super) fn setex(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    set_until(ctx, reply, Deadline::Ex, "setex")
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    set_until(ctx, reply, Deadline::Px, "psetex")
}

fn set_until(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, deadline: Deadline, command: &str) -> Outcome {
    let at = deadline.resolve(ctx.arg(2), command, ctx.time_ms())?;
    store(ctx, ctx.arg(1), ctx.arg(3), Expiry::At(at));
    reply.ok();
    Ok(())
}

/// Stores a string; one that is past its deadline from the start leaves no key, and is told as if it had been there.
fn store(ctx: &mut WriteCtx<'_>, key: &[u8], value: &[u8], expiry: Expiry) {
    let is_over = is_over(expiry, ctx.time_ms());
    if !is_over {
        ctx.set_bytes(key, value, expiry);
    } else if !ctx.remove(key) {
        ctx.notify(Events::NEW, "new", key);
    }
    ctx.notify(Events::STRING, "set", key);
    if matches!(expiry, Expiry::At(_)) {
        ctx.notify(Events::GENERIC, "expire", key);
    }
    if is_over {
        ctx.notify(Events::EXPIRED, "expired", key);
    }
}

fn is_over(expiry: Expiry, time_ms: u64) -> bool {
    matches!(expiry, Expiry::At(deadline_ms) if is_past(deadline_ms, time_ms))
}

/// `GET key`
pub(super) fn get(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply_string(ctx.get_string(ctx.arg(1))?, reply);
    Ok(())
}

fn reply_string(string: Option<&Str>, reply: &mut Reply<'_>) {
    match string {
        Some(string) => reply.bulk(string.bytes(&mut [0; I64_TEXT_BYTES_MAX])),
        None => reply.null(),
    }
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, args) = (ctx.arg(1), ctx.args);
    let mut lifetime = Lifetime::Unsaid;
    let mut i = 2;
    while let Some(option) = args.get(i) {
        let takes_next = if option.eq_ignore_ascii_case(b"PERSIST") {
            lifetime.take_plain(Lifetime::Persist)?
        } else {
            lifetime.take(option, args.get(i + 1).copied())?
        };
        i += 1 + usize::from(takes_next);
    }
    ctx.count_as_read(key);
    let Some(string) = ctx.get_string(key)? else {
        reply.null();
        return Ok(());
    };
    let expiry = lifetime.expiry("getex", ctx.time_ms())?;
    reply_string(Some(string), reply);
    match expiry {
        _ if is_over(expiry, ctx.time_ms()) => {
            ctx.delete(key);
        }
        Expiry::At(deadline_ms) => {
            ctx.set_expiry(key, Some(deadline_ms));
            ctx.notify(Events::GENERIC, "expire", key);
        }
        // Without a deadline to lose, nothing has changed.
        _ if lifetime == Lifetime::Persist && ctx.expire_at(key).flatten().is_some() => {
            ctx.set_expiry(key, None);
            ctx.notify(Events::GENERIC, "persist", key);
        }
        _ => {}
    }
    Ok(())
}

/// `GETDEL key`
pub(super) fn getdel(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    ctx.count_as_read(key);
    reply_string(ctx.get_string(key)?, reply);
    ctx.delete(key);
    Ok(())
}

/// `GETSET key value`
pub(super) fn getset(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    ctx.count_as_read(key);
    reply_string(ctx.get_string(key)?, reply);
    store(ctx, key, ctx.arg(2), Expiry::Clear);
    Ok(())
}

/// `MGET key [key ...]`
pub(super) fn mget(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = ctx.args.get(1..).unwrap_or_default();
    reply.array(keys.len());
    for key in keys {
        // A key of another type is null, not an error.
        reply_string(ctx.get_string(key).unwrap_or(None), reply);
    }
    Ok(())
}

/// `MSET key value [key value ...]`
pub(super) fn mset(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    store_pairs(ctx, key_value_pairs(ctx.args, "mset")?);
    reply.ok();
    Ok(())
}

/// `MSETNX key value [key value ...]`
pub(super) fn msetnx(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pairs = key_value_pairs(ctx.args, "msetnx")?;
    let absent = pairs.iter().all(|[key, _]| !ctx.exists(key));
    if absent {
        store_pairs(ctx, pairs);
    }
    reply.int(i64::from(absent));
    Ok(())
}

fn key_value_pairs<'a>(args: &'a [&'a [u8]], command: &str) -> Result<&'a [[&'a [u8]; 2]], CommandError> {
    match args.get(1..).unwrap_or_default().as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(CommandError::wrong_arity(command)),
    }
}

fn store_pairs(ctx: &mut WriteCtx<'_>, pairs: &[[&[u8]; 2]]) {
    for [key, value] in pairs {
        store(ctx, key, value, Expiry::Clear);
    }
}

/// `STRLEN key`
pub(super) fn strlen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_string(ctx.arg(1))?.map_or(0, Str::len));
    Ok(())
}

/// `APPEND key value`
pub(super) fn append(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, suffix) = (ctx.arg(1), ctx.arg(2));
    let Some(len) = ctx.get_string(key)?.map(Str::len) else {
        ctx.set(key, Str::new(suffix), Expiry::Clear);
        ctx.notify(Events::STRING, "append", key);
        reply.count(suffix.len());
        return Ok(());
    };
    check_length(len, suffix.len())?;
    if let Some(string) = ctx.modify_string(key)? {
        string.append(suffix);
    }
    ctx.notify(Events::STRING, "append", key);
    reply.count(len + suffix.len());
    Ok(())
}

/// `SETRANGE key offset value`
pub(super) fn setrange(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, part) = (ctx.arg(1), ctx.arg(3));
    let offset = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OFFSET_OUT_OF_RANGE)?;
    let len = ctx.get_string(key)?.map(Str::len);
    if part.is_empty() {
        reply.count(len.unwrap_or(0));
        return Ok(());
    }
    check_length(offset, part.len())?;
    if let Some(string) = ctx.modify_string(key)? {
        string.set_range(offset, part);
    } else {
        let mut string = Str::text(b"");
        string.set_range(offset, part);
        ctx.set(key, string, Expiry::Clear);
    }
    ctx.notify(Events::STRING, "setrange", key);
    reply.count(len.unwrap_or(0).max(offset + part.len()));
    Ok(())
}

fn check_length(len: usize, added: usize) -> Outcome {
    match len.checked_add(added) {
        Some(..=STRING_BYTES_MAX) => Ok(()),
        _ => Err(CommandError::STRING_TOO_LONG),
    }
}

/// `GETRANGE key start end`, and its old name SUBSTR.
pub(super) fn getrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let start = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let end = parse_i64(ctx.arg(3)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let Some(string) = ctx.get_string(ctx.arg(1))? else {
        reply.bulk(b"");
        return Ok(());
    };
    let mut scratch = [0; I64_TEXT_BYTES_MAX];
    let bytes = string.bytes(&mut scratch);
    reply.bulk(&bytes[byte_range(start, end, bytes.len())]);
    Ok(())
}

/// The bytes from `start` to `end` inclusive, of which negative ones count from the end.
fn byte_range(start: i64, end: i64, len: usize) -> Range<usize> {
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    // An end before the string is its first byte, as in Redis.
    let absolute =
        |index: i64| if index < 0 { index.saturating_add_unsigned(len as u64).max(0) } else { index };
    let start = absolute(start) as usize;
    let end = (absolute(end) as usize).min(len - 1);
    if start > end { 0..0 } else { start..end + 1 }
}

/// `INCR key`
pub(super) fn incr(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    increment(ctx, reply, 1)
}

/// `DECR key`
pub(super) fn decr(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    increment(ctx, reply, -1)
}

/// `INCRBY key increment`
pub(super) fn incrby(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let by = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    increment(ctx, reply, by)
}

/// `DECRBY key decrement`
pub(super) fn decrby(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let by = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    increment(ctx, reply, by.checked_neg().ok_or(DECREMENT_OVERFLOW)?)
}

fn increment(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, by: i64) -> Outcome {
    let key = ctx.arg(1);
    let value = match ctx.get_string(key)? {
        Some(string) => string.as_i64().ok_or(CommandError::NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = value.checked_add(by).ok_or(CommandError::OVERFLOW)?;
    ctx.set(key, Str::from_i64(sum), Expiry::Keep);
    ctx.notify(Events::STRING, "incrby", key);
    reply.int(sum);
    Ok(())
}

/// `INCRBYFLOAT key increment`
pub(super) fn incrbyfloat(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let mut scratch = [0; I64_TEXT_BYTES_MAX];
    let value = ctx.get_string(key)?.map_or(b"0".as_slice(), |string| string.bytes(&mut scratch));
    let sum = increment_by_float(value, ctx.arg(2)).map_err(|error| match error {
        IncrementError::NotAFloat => CommandError::NOT_A_FLOAT,
        IncrementError::NotFinite => CommandError::NAN_OR_INFINITY,
    })?;
    // Redis leaves the sum as text even when it is an integer, and OBJECT ENCODING shows it.
    ctx.set(key, Str::text(sum.as_bytes()), Expiry::Keep);
    ctx.notify(Events::STRING, "incrbyfloat", key);
    reply.bulk(sum.as_bytes());
    Ok(())
}

/// The options of LCS.
#[derive(Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    min_match_len: i64,
    with_match_len: bool,
}

impl LcsOptions {
    fn parse(args: &[&[u8]]) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            if option.eq_ignore_ascii_case(b"IDX") {
                options.idx = true;
            } else if option.eq_ignore_ascii_case(b"LEN") {
                options.len = true;
            } else if option.eq_ignore_ascii_case(b"WITHMATCHLEN") {
                options.with_match_len = true;
            } else if option.eq_ignore_ascii_case(b"MINMATCHLEN") {
                let number = args.next().ok_or(CommandError::SYNTAX)?;
                options.min_match_len = parse_i64(number).ok_or(CommandError::NOT_AN_INTEGER)?;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if options.idx && options.len { Err(LCS_LEN_AND_IDX) } else { Ok(options) }
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub(super) fn lcs(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (a, b) = (ctx.get_string(ctx.arg(1)), ctx.get_string(ctx.arg(2)));
    let (Ok(a), Ok(b)) = (a, b) else {
        return Err(LCS_NOT_STRINGS);
    };
    let options = LcsOptions::parse(ctx.args.get(3..).unwrap_or_default())?;
    let (mut scratch_a, mut scratch_b) = ([0; I64_TEXT_BYTES_MAX], [0; I64_TEXT_BYTES_MAX]);
    let a = a.map_or(b"".as_slice(), |string| string.bytes(&mut scratch_a));
    let b = b.map_or(b"".as_slice(), |string| string.bytes(&mut scratch_b));
    // What Redis's table of lengths would take. Quorate's is smaller; the limit bounds the time as well.
    let redis_table_bytes = (a.len() as u64 + 1) * (b.len() as u64 + 1) * 4;
    if redis_table_bytes > STRING_BYTES_MAX as u64 {
        return Err(LCS_TOO_LARGE);
    }
    if options.len {
        reply.int(i64::from(lcs::length(a, b)));
        return Ok(());
    }
    let matches = lcs::matches(a, b);
    if options.idx {
        reply_matches(&matches, &options, reply);
    } else {
        reply.bulk(&matches.common_bytes(a));
    }
    Ok(())
}

fn reply_matches(matches: &Matches, options: &LcsOptions, reply: &mut Reply<'_>) {
    let wanted = || matches.runs.iter().filter(|run| i64::from(run.len) >= options.min_match_len);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(wanted().count());
    for run in wanted() {
        reply.array(2 + usize::from(options.with_match_len));
        for start in [run.start_a, run.start_b] {
            reply.array(2);
            reply.int(i64::from(start));
            reply.int(i64::from(start) + i64::from(run.len) - 1);
        }
        if options.with_match_len {
            reply.int(i64::from(run.len));
        }
    }
    reply.bulk(b"len");
    reply.int(i64::from(matches.len));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bytes_count_from_either_end() {
        let cases = [
            ((0, 3), 0..4),
            ((-3, -1), 10..13),
            ((0, -1), 0..13),
            ((10, 100), 10..13),
            ((5, 3), 0..0),
            ((-1, -5), 0..0),
            ((13, 20), 0..0),
            ((0, -100), 0..1),
            ((-100, -100), 0..1),
            ((i64::MIN, i64::MAX), 0..13),
            ((i64::MAX, i64::MAX), 0..0),
            ((0, i64::MIN), 0..1),
        ];
        for ((start, end), expected) in cases {
            assert_eq!(byte_range(start, end, 13), expected, "{start} {end}");
        }
        assert_eq!(byte_range(0, -1, 0), 0..0);
    }
}
