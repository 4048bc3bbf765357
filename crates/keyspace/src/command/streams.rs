//! Commands on streams: entries. Reading, groups, claiming and `XINFO` have files of their own.

pub(super) mod claim;
pub(super) mod groups;
pub(super) mod info;
pub(super) mod read;

use std::borrow::Cow;

use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    reply::Reply,
    rules::Rules,
    types::stream::{ENTRY_BYTES_MAX, Entry, Stream, StreamId, Trim, TrimTo, WantedId},
    value::Value,
};

type Outcome = Result<(), CommandError>;

const INVALID_ID: CommandError =
    CommandError::fixed("ERR Invalid stream ID specified as stream command argument");

/// A name in an error, up to a NUL, where it ends for Redis.
fn shown(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default())
}

/// An integer among the arguments.
fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)
}

/// An id that says which entry.
fn exact_id(text: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(text, 0).ok_or(INVALID_ID)
}

/// Exact ids.
fn exact_ids(texts: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
    texts.iter().map(|text| exact_id(text)).collect()
}

/// An id, or `-` or `+`. Without a number among the entries of the millisecond it is `missing_seq`.
fn any_id(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => StreamId::parse(text, missing_seq).ok_or(INVALID_ID),
    }
}

/// Where an interval starts: behind the id, if a `(` stands before it.
fn interval_start(text: &[u8]) -> Result<StreamId, CommandError> {
    const INVALID: CommandError = CommandError::fixed("ERR invalid start ID for the interval");
    match text {
        [b'(', id @ ..] if !id.is_empty() => exact_id(id)?.next().ok_or(INVALID),
        _ => any_id(text, 0),
    }
}

/// Where an interval ends: before the id, if a `(` stands before it.
fn interval_end(text: &[u8]) -> Result<StreamId, CommandError> {
    const INVALID: CommandError = CommandError::fixed("ERR invalid end ID for the interval");
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            StreamId::parse(id, u64::MAX).ok_or(INVALID_ID)?.previous().ok_or(INVALID)
        }
        _ => any_id(text, u64::MAX),
    }
}

/// An id in a reply.
fn reply_id(reply: &mut Reply<'_>, id: StreamId) {
    id.with_text(|text| reply.bulk(text));
}

/// An entry in a reply: its id and its fields and values.
fn reply_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(2 * entry.len());
    for (field, value) in entry.pairs() {
        reply.bulk(&field);
        reply.bulk(&value);
    }
}

/// An array of up to `count` entries.
fn reply_entries<'a>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'a>>, count: usize) {
    let open = reply.open();
    let mut found = 0;
    for entry in entries.take(count) {
        reply_entry(reply, &entry);
        found += 1;
    }
    reply.close_array(open, found);
}

/// What `XADD` and `XTRIM` have in common.
struct TrimArgs {
    trim: Option<Trim>,
    no_mkstream: bool,
    id: WantedId,
    /// The first argument behind.
    rest: usize,
}

impl TrimArgs {
    fn parse(args: &[&[u8]], adds: bool, rules: &Rules) -> Result<Self, CommandError> {
        const TWO_STRATEGIES: CommandError = CommandError::fixed(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        );
        let (mut to, mut approximate, mut limit) = (None, false, None);
        let mut parsed = Self { trim: None, no_mkstream: false, id: WantedId::Next, rest: args.len() };
        let mut i = 2;
        while i < args.len() {
            let option = args[i];
            let more = args.len() - 1 - i;
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if adds && option == b"*" {
                parsed.rest = i + 1;
                break;
            } else if (is("maxlen") || is("minid")) && more > 0 {
                if to.is_some() {
                    return Err(TWO_STRATEGIES);
                }
                let operator = args[i + 1];
                approximate = more >= 2 && operator == b"~";
                i += 1 + usize::from(approximate || more >= 2 && operator == b"=");
                to = Some(if is("maxlen") { max_len(args[i])? } else { TrimTo::MinId(exact_id(args[i])?) });
            } else if is("limit") && more > 0 {
                i += 1;
                limit = Some(integer(args[i])?);
                if limit < Some(0) {
                    return Err(CommandError::fixed("ERR The LIMIT argument must be >= 0."));
                }
            } else if adds && is("nomkstream") {
                parsed.no_mkstream = true;
            } else if adds {
                parsed.id = StreamId::parse_wanted(option).ok_or(INVALID_ID)?;
                parsed.rest = i + 1;
                break;
            } else {
                return Err(CommandError::SYNTAX);
            }
            i += 1;
        }
        parsed.trim = trim(to, approximate, limit, adds, rules)?;
        Ok(parsed)
    }
}

fn max_len(text: &[u8]) -> Result<TrimTo, CommandError> {
    const NEGATIVE: CommandError = CommandError::fixed("ERR The MAXLEN argument must be >= 0.");
    u64::try_from(integer(text)?).map(TrimTo::Len).map_err(|_| NEGATIVE)
}

/// The trimming that the options ask for, if they fit each other.
fn trim(
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<i64>,
    adds: bool,
    rules: &Rules,
) -> Result<Option<Trim>, CommandError> {
    const LIMIT_OF_NOTHING: CommandError =
        CommandError::fixed("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    const NO_STRATEGY: CommandError =
        CommandError::fixed("ERR syntax error, XTRIM must be called with a trimming strategy");
    const EXACT_LIMIT: CommandError =
        CommandError::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option");
    if limit.is_some_and(|limit| limit > 0) && to.is_none() {
        return Err(LIMIT_OF_NOTHING);
    }
    if !adds && to.is_none() {
        return Err(NO_STRATEGY);
    }
    if limit.is_some() && !approximate {
        return Err(EXACT_LIMIT);
    }
    let limit = match limit {
        Some(limit) => limit as u64,
        None if !approximate => 0,
        None => match 100_u64.saturating_mul(rules.stream_node_entries_max as u64) {
            0 => 10_000,
            limit => limit.min(1_000_000),
        },
    };
    Ok(to.map(|to| Trim { to, approximate, limit }))
}

/// `XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT count]] * | id field value [field value ...]`
pub(super) fn xadd(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const ZERO: CommandError = CommandError::fixed("ERR The ID specified in XADD must be greater than 0-0");
    let (key, now_ms, rules) = (ctx.arg(1), ctx.time_ms(), ctx.rules());
    let args = TrimArgs::parse(ctx.args, true, &rules)?;
    let pairs = ctx.args.get(args.rest..).unwrap_or_default();
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity("xadd"));
    }
    if args.id == WantedId::Exactly(StreamId::MIN) {
        return Err(ZERO);
    }
    let old = ctx.get_stream(key)?;
    if old.is_none() && args.no_mkstream {
        reply.null();
        return Ok(());
    }
    let id = new_id(old, args.id, now_ms, pairs)?;
    let add = |stream: &mut Stream| {
        stream.append(id, pairs, &rules);
        args.trim.is_some_and(|trim| stream.trim(&trim) > 0)
    };
    // Its type is known: no need to look it up once more.
    let is_trimmed = match ctx.modify(key).map(Value::as_stream_mut).transpose()? {
        Some(stream) => add(stream),
        None => {
            let mut stream = Stream::new();
            let is_trimmed = add(&mut stream);
            ctx.set(key, stream, Expiry::Clear);
            is_trimmed
        }
    };
    ctx.notify(Events::STREAM, "xadd", key);
    if is_trimmed {
        ctx.notify(Events::STREAM, "xtrim", key);
    }
    reply_id(reply, id);
    Ok(())
}

fn new_id(
    old: Option<&Stream>,
    wanted: WantedId,
    now_ms: u64,
    pairs: &[&[u8]],
) -> Result<StreamId, CommandError> {
    const EXHAUSTED: CommandError =
        CommandError::fixed("ERR The stream has exhausted the last possible ID, unable to add more items");
    const NOT_ABOVE: CommandError = CommandError::fixed(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    const TOO_LARGE: CommandError = CommandError::fixed("ERR Elements are too large to be stored");
    if old.is_some_and(|stream| stream.last_id() == StreamId::MAX) {
        return Err(EXHAUSTED);
    }
    let id = match old {
        Some(stream) => stream.resolve(wanted, now_ms),
        None => Stream::new().resolve(wanted, now_ms),
    };
    let id = id.ok_or(NOT_ABOVE)?;
    let bytes: usize = pairs.iter().map(|text| text.len()).sum();
    if bytes > ENTRY_BYTES_MAX { Err(TOO_LARGE) } else { Ok(id) }
}

/// `XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT count]`
pub(super) fn xtrim(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let trim = TrimArgs::parse(ctx.args, false, &ctx.rules())?.trim.ok_or(CommandError::SYNTAX)?;
    let would_trim = ctx.get_stream(key)?.is_some_and(|stream| stream.would_trim(&trim));
    let gone = match would_trim {
        true => ctx.modify_stream(key)?.map_or(0, |stream| stream.trim(&trim)),
        false => 0,
    };
    if gone > 0 {
        ctx.notify(Events::STREAM, "xtrim", key);
    }
    reply.count(gone as usize);
    Ok(())
}

/// `XDEL key id [id ...]`
pub(super) fn xdel(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let Some(stream) = ctx.get_stream(key)? else {
        reply.int(0);
        return Ok(());
    };
    let ids = exact_ids(&ctx.args[2..])?;
    let is_there = ids.iter().any(|&id| stream.contains(id));
    let deleted = match is_there {
        true => ctx.modify_stream(key)?.map_or(0, |stream| stream.delete(&ids)),
        false => 0,
    };
    if deleted > 0 {
        ctx.notify(Events::STREAM, "xdel", key);
    }
    reply.count(deleted);
    Ok(())
}

/// `XLEN key`
pub(super) fn xlen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_stream(ctx.arg(1))?.map_or(0, Stream::len));
    Ok(())
}

/// `XRANGE key start end [COUNT count]`
pub(super) fn xrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    range(ctx, reply, false)
}

/// `XREVRANGE key end start [COUNT count]`
pub(super) fn xrevrange(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    range(ctx, reply, true)
}

fn range(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, reversed: bool) -> Outcome {
    let (start, end) = if reversed { (ctx.arg(3), ctx.arg(2)) } else { (ctx.arg(2), ctx.arg(3)) };
    let (start, end) = (interval_start(start)?, interval_end(end)?);
    let mut count = usize::MAX;
    let mut options = ctx.args[4..].iter();
    while let Some(option) = options.next() {
        match options.next() {
            Some(text) if option.eq_ignore_ascii_case(b"count") => {
                count = usize::try_from(integer(text)?).unwrap_or(0);
            }
            _ => return Err(CommandError::SYNTAX),
        }
    }
    match ctx.get_stream(ctx.arg(1))? {
        None => reply.array(0),
        Some(_) if count == 0 => reply.null_array(),
        Some(stream) if reversed => reply_entries(reply, stream.entries(start, end).rev(), count),
        Some(stream) => reply_entries(reply, stream.entries(start, end), count),
    }
    Ok(())
}

/// `XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]`
pub(super) fn xsetid(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let id = exact_id(ctx.arg(2))?;
    let (entries_added, max_deleted_id) = parse_setid(&ctx.args[3..], id)?;
    let stream = ctx.get_stream(key)?.ok_or(CommandError::NO_SUCH_KEY)?;
    check_setid(stream, id, entries_added)?;
    if let Some(stream) = ctx.modify_groups(key) {
        stream.set_id(id, entries_added, max_deleted_id.filter(|&id| id != StreamId::MIN));
    }
    ctx.notify(Events::STREAM, "xsetid", key);
    reply.ok();
    Ok(())
}

fn parse_setid(options: &[&[u8]], id: StreamId) -> Result<(Option<u64>, Option<StreamId>), CommandError> {
    const NEGATIVE: CommandError = CommandError::fixed("ERR entries_added must be positive");
    const BELOW_GIVEN: CommandError = CommandError::fixed(
        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    );
    let (mut entries_added, mut max_deleted_id) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(CommandError::SYNTAX)?;
        if option.eq_ignore_ascii_case(b"entriesadded") {
            entries_added = Some(u64::try_from(integer(value)?).map_err(|_| NEGATIVE)?);
        } else if option.eq_ignore_ascii_case(b"maxdeletedid") {
            let max = exact_id(value)?;
            if id < max {
                return Err(BELOW_GIVEN);
            }
            max_deleted_id = Some(max);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok((entries_added, max_deleted_id))
}

fn check_setid(stream: &Stream, id: StreamId, entries_added: Option<u64>) -> Outcome {
    const BELOW_DELETED: CommandError =
        CommandError::fixed("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
    const BELOW_TOP: CommandError =
        CommandError::fixed("ERR The ID specified in XSETID is smaller than the target stream top item");
    const BELOW_LEN: CommandError = CommandError::fixed(
        "ERR The entries_added specified in XSETID is smaller than the target stream length",
    );
    if id < stream.max_deleted_id() {
        return Err(BELOW_DELETED);
    }
    if stream.last_entry().is_some_and(|last| id < last.id) {
        return Err(BELOW_TOP);
    }
    match entries_added {
        Some(added) if added < stream.len() as u64 => Err(BELOW_LEN),
        _ => Ok(()),
    }
}
