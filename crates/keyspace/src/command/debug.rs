//! `DEBUG`: what tests of clients and of the server use. The session asks `enable-debug-command` first.
//!
//! What would change how commands answer is part of the state (R12): [`SCRIPTS_MAY_DEBUG`] and its neighbours. What tunes
//! a thing that Quorate does not have is accepted and does nothing.

mod digest;

use digest::Digest;

use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    glob::Glob,
    keyspace::Expiry,
    number::parse_i64,
    rdb,
    reply::Reply,
    rules::{RECLAIMS_LAZILY, SCRIPTS_MAY_DEBUG, SKIPS_CHECKSUMS},
    table::Record,
    types::string::Str,
    value::{Parts, Value},
};

type Outcome = Result<(), CommandError>;

/// Longest that DEBUG SLEEP lets the replicas stand still.
const SLEEP_MS_MAX: f64 = 3_600_000.0;

/// What DEBUG POPULATE may create at once: every replica does it within one entry.
const POPULATE_KEYS_MAX: usize = 10_000_000;
const POPULATE_BYTES_MAX: usize = 4 << 30;

/// Subcommands of Redis that make a server fail.
const HARMFUL: [&str; 9] =
    ["segfault", "panic", "oom", "assert", "leak", "restart", "crash-and-recover", "replicate", "crash"];

/// The error for what follows DEBUG and is none of its subcommands, or has a wrong number of arguments.
pub(super) fn not_understood(word: &[u8]) -> CommandError {
    let shown = String::from_utf8_lossy(&word[..word.len().min(128)]);
    if HARMFUL.iter().any(|harmful| harmful.eq_ignore_ascii_case(&shown)) {
        let name = shown.to_ascii_uppercase();
        return CommandError::new(format!("ERR DEBUG {name} is refused: it exists to make a server fail"));
    }
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{shown}'. Try DEBUG HELP."
    ))
}

/// `DEBUG SLEEP seconds`: every replica stands still, for tests of R20.
pub(super) fn sleep(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let seconds: Option<f64> = std::str::from_utf8(ctx.arg(2)).ok().and_then(|text| text.parse().ok());
    let ms = seconds.filter(|seconds| seconds.is_finite()).ok_or(CommandError::NOT_A_FLOAT)? * 1000.0;
    ctx.sleep(ms.clamp(0.0, SLEEP_MS_MAX) as u64);
    reply.ok();
    Ok(())
}

/// `DEBUG POPULATE count [prefix [size]]`: keys that exist already keep their values.
pub(super) fn populate(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let number = |i: usize| {
        let n = parse_i64(ctx.arg(i)).ok_or(CommandError::NOT_AN_INTEGER)?;
        usize::try_from(n).map_err(|_| CommandError::OUT_OF_RANGE)
    };
    let count = number(2)?;
    let size = if ctx.args.len() > 4 { number(4)? } else { 0 };
    if count > POPULATE_KEYS_MAX || count.saturating_mul(size) > POPULATE_BYTES_MAX {
        return Err(CommandError::fixed(
            "ERR DEBUG POPULATE creates up to 10 million keys and 4 GiB at once",
        ));
    }
    let prefix = if ctx.args.len() > 3 { ctx.arg(3) } else { b"key" };
    for n in 0..count {
        let key = [prefix, format!(":{n}").as_bytes()].concat();
        if !ctx.exists(&key) {
            let mut value = format!("value:{n}").into_bytes();
            if size > 0 {
                value.resize(size, 0);
            }
            ctx.set(&key, Str::new(&value), Expiry::Clear);
        }
    }
    reply.ok();
    Ok(())
}

/// `DEBUG SET-DISABLE-DENY-SCRIPTS 0 | 1`: whether scripts may call DEBUG.
pub(super) fn set_disable_deny_scripts(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    switch(ctx, SCRIPTS_MAY_DEBUG, is_on(ctx.arg(2)), reply)
}

/// `DEBUG SET-SKIP-CHECKSUM-VALIDATION 0 | 1`: whether RESTORE takes payloads whose checksum is wrong.
pub(super) fn set_skip_checksum_validation(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    switch(ctx, SKIPS_CHECKSUMS, is_on(ctx.arg(2)), reply)
}

/// `DEBUG SET-ACTIVE-EXPIRE 0 | 1`: with 0, keys past their deadline are gone for everybody as ever, but are freed, and told
/// of, only after somebody has looked for one of them.
pub(super) fn set_active_expire(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    switch(ctx, RECLAIMS_LAZILY, !is_on(ctx.arg(2)), reply)
}

fn switch(ctx: &mut WriteCtx<'_>, setting: &str, on: bool, reply: &mut Reply<'_>) -> Outcome {
    if on || ctx.keyspace.directory().contains_key(setting) {
        ctx.keyspace.set_directory(setting, on.then_some(b"1"));
    }
    reply.ok();
    Ok(())
}

/// As C reads a number: what is none is 0.
fn is_on(arg: &[u8]) -> bool {
    parse_i64(arg).is_some_and(|n| n != 0)
}

/// `DEBUG CHANGE-REPL-ID`: replicas follow a log, whose identity never changes.
pub(super) fn nothing_to_do(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.ok();
    Ok(())
}

/// `DEBUG QUICKLIST-PACKED-THRESHOLD size`: which elements of a list stand alone is not to be chosen.
pub(super) fn quicklist_packed_threshold(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const MAX: u64 = (4 << 30) - (1 << 20);
    const BAD: CommandError =
        CommandError::fixed("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
    memory_value(ctx.arg(2)).filter(|size| *size <= MAX).ok_or(BAD)?;
    reply.ok();
    Ok(())
}

/// `100`, `100b`, `1kb` …
fn memory_value(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let factor: u64 = match text[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    number.checked_mul(factor)
}

/// `DEBUG DIGEST`: of the contents of all databases.
pub(super) fn whole_digest(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.all_databases();
    let keyspace = ctx.keyspace;
    let mut digest = Digest::default();
    for (db, database) in keyspace.databases.iter().enumerate() {
        let records = || database.table.iter_from(0).map(|(_, record)| record);
        let mut live = records().filter(|record| !keyspace.is_expired(record)).peekable();
        if live.peek().is_some() {
            digest.database(db);
        }
        live.for_each(|record| digest.record(record));
    }
    reply.simple(&digest.text());
    Ok(())
}

/// `DEBUG DIGEST-VALUE [key ...]`: of each value; zeros where there is none.
pub(super) fn value_digests(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = &ctx.args[2..];
    reply.array(keys.len());
    for key in keys {
        let mut digest = Digest::default();
        if let Some(record) = ctx.peek_in(ctx.db(), key) {
            digest.value(record);
        }
        reply.simple(&digest.text());
    }
    Ok(())
}

fn record<'a>(ctx: &ReadCtx<'a>) -> Result<&'a Record, CommandError> {
    ctx.peek_in(ctx.db(), ctx.arg(2)).ok_or(CommandError::NO_SUCH_KEY)
}

/// `DEBUG OBJECT key`. Addresses never show (R13): in place of one stands the hash that says where in its table the key is.
pub(super) fn object(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let value = &record(ctx)?.value;
    let mut text = format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:0",
        ctx.keyspace.rules.hash(ctx.arg(2)),
        value.encoding(),
        rdb::serialized_len(value),
        (ctx.now_ms() / 1000) & 0xff_ffff,
    );
    if let Value::List(list) = value
        && list.encoding() == "quicklist"
    {
        let (nodes, bytes) = list.listpacks(ctx.rules().list_limit);
        let average = list.len() as f64 / nodes as f64;
        text.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:0 ql_uncompressed_size:{bytes}",
            ctx.rules().list_limit.parameter(),
        ));
    }
    reply.simple(&text);
    Ok(())
}

/// `DEBUG SDSLEN key`: lengths, and what is allocated for them, as far as that follows from the contents.
pub(super) fn sdslen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const NO_STRING: CommandError = CommandError::fixed("ERR Not an sds encoded string.");
    let record = record(ctx)?;
    let Value::String(string) = &record.value else { return Err(NO_STRING) };
    if string.as_i64().is_some() && string.encoding() == "int" {
        return Err(NO_STRING);
    }
    let (key, value) = (record.key.as_bytes().len(), string.len());
    reply.simple(&format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, val_sds_avail:0, val_zmalloc: {value}"
    ));
    Ok(())
}

/// `DEBUG LISTPACK key`
pub(super) fn listpack(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    show_parts(ctx, "listpack", CommandError::fixed("ERR Not a listpack encoded object."), reply)
}

/// `DEBUG QUICKLIST key`
pub(super) fn quicklist(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    show_parts(ctx, "quicklist", CommandError::fixed("ERR Not a quicklist encoded object."), reply)
}

/// The parts of a value, one a line, to whoever asks: not on the server's standard output, where Redis writes them.
fn show_parts(ctx: &ReadCtx<'_>, encoding: &str, other: CommandError, reply: &mut Reply<'_>) -> Outcome {
    let value = &record(ctx)?.value;
    let Parts::Collection(collection) = value.parts() else { return Err(other) };
    if value.encoding() != encoding {
        return Err(other);
    }
    let mut text = format!("{encoding} of {} elements\n", collection.field_count());
    for (i, field) in collection.fields_from(0).enumerate() {
        text.push_str(&format!("{i}: {} bytes [{}]\n", field.len(), field.escape_ascii()));
    }
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// `DEBUG HTSTATS db`
pub(super) fn htstats(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const OUT_OF_RANGE: CommandError = CommandError::fixed("ERR Out of range database");
    let db = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let db = usize::try_from(db).ok().filter(|db| *db < ctx.keyspace.databases()).ok_or(OUT_OF_RANGE)?;
    ctx.all_databases();
    let stats = ctx.keyspace.stats(db);
    let text = format!(
        "[Dictionary HT]\n number of elements: {}\n[Expires HT]\n number of elements: {}\n",
        stats.keys, stats.expires
    );
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// `DEBUG HTSTATS-KEY key`: large collections are trees in the order of hashes.
pub(super) fn htstats_key(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const NO_TABLE: CommandError = CommandError::fixed(
        "ERR The value stored at the specified key is not represented using an hash table",
    );
    let elements = match &record(ctx)?.value {
        Value::Set(set) if set.encoding() == "hashtable" => set.len(),
        Value::Hash(hash) if hash.encoding() == "hashtable" => hash.len(),
        Value::SortedSet(set) if set.encoding() == "skiplist" => set.len(),
        _ => return Err(NO_TABLE),
    };
    let text = format!("Tree in the order of hashes:\n number of elements: {elements}\n");
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// `DEBUG STRINGMATCH-LEN pattern string`: whether the pattern matches.
pub(super) fn stringmatch_len(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.int(Glob::new(ctx.arg(2)).matches(ctx.arg(3))?.into());
    Ok(())
}

/// `DEBUG STRUCTSIZE`: bytes of what there is one of for each key.
pub(super) fn structsize(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (record, value) = (size_of::<Record>(), size_of::<Value>());
    reply.bulk(format!("bits:{} record:{record} value:{value} ", usize::BITS).as_bytes());
    Ok(())
}

/// `DEBUG ERROR text`: that error.
pub(super) fn error(ctx: &ReadCtx<'_>, _: &mut Reply<'_>) -> Outcome {
    Err(CommandError::new(String::from_utf8_lossy(ctx.arg(2)).into_owned()))
}

/// `DEBUG PROTOCOL type`: an example of each kind of reply.
pub(super) fn protocol(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const UNKNOWN: CommandError = CommandError::fixed(
        "ERR Wrong protocol type name. Please use one of the following: \
         string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
    );
    let numbers = |reply: &mut Reply<'_>| (0..3).for_each(|n| reply.int(n));
    match ctx.arg(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3141.0 / 1000.0),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            numbers(reply);
        }
        b"set" => {
            reply.set(3);
            numbers(reply);
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.int(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => reply.example_attribute(),
        b"push" => reply.example_push(),
        b"verbatim" => reply.verbatim(*b"txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => return Err(UNKNOWN),
    }
    Ok(())
}
