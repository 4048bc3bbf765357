//! The table `redis` of scripts.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use mlua::{BorrowedBytes, Function, Lua, MultiValue, Table, Value};
use smallvec::SmallVec;

use super::{
    args::{First, function},
    budget::Shared,
    calls, convert,
    errors::CallError,
    log::LogLevel,
    sha::Sha,
    vm::Limit,
};
use crate::number::format_f64_17g;

/// The version whose behaviour scripts get.
const VERSION: &str = "7.2.0";
const VERSION_NUMBER: i64 = 0x0007_0200;

const WRONG_ARGUMENTS: &str = "ERR wrong number or type of arguments";

/// A function that a library has registered.
#[derive(Debug)]
pub(crate) struct Registered {
    /// Its name.
    pub(crate) name: String,
    /// What it is for, in the author's words.
    pub(crate) description: Option<String>,
    /// What it promises, in the order given.
    pub(crate) flags: Vec<String>,
    /// The function itself.
    pub(crate) callback: Function,
}

/// What a call counts, beside what its words and its reply take.
const CALL_STEPS: u64 = 500;

/// What may be promised of a script or a function.
pub(crate) const FLAGS: [&str; 5] =
    ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

/// All that is in it, also what only a library that is being loaded may see.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>, limit: Limit) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        redis.set(name, level)?;
    }
    for (value, name) in
        [(0, "REPL_NONE"), (1, "REPL_SLAVE"), (1, "REPL_REPLICA"), (2, "REPL_AOF"), (3, "REPL_ALL")]
    {
        redis.set(name, value)?;
    }
    redis.set("REDIS_VERSION", VERSION)?;
    redis.set("REDIS_VERSION_NUM", VERSION_NUMBER)?;
    redis.set("error_reply", function(lua, error_reply)?)?;
    redis.set("status_reply", function(lua, status_reply)?)?;
    redis.set("sha1hex", function(lua, sha1_hex)?)?;
    let state = shared.clone();
    redis.set("log", function(lua, move |_, args: MultiValue| log(&args, &state))?)?;
    redis.set("set_repl", function(lua, set_repl)?)?;
    redis.set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    redis.set("debug", function(lua, |_, _: MultiValue| Ok(()))?)?;
    let state = shared.clone();
    redis.set("setresp", function(lua, move |_, args: MultiValue| set_resp(&args, &state))?)?;
    let state = shared.clone();
    redis.set("register_function", function(lua, move |_, args: MultiValue| register(args, &state))?)?;
    add_calls(lua, &redis, shared, limit)?;
    Ok(redis)
}

/// A word of a command.
enum Word<'a> {
    Text(BorrowedBytes<'a>),
    Made(Vec<u8>),
}

impl<'a> Word<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::String(string) => Self::Text(string.as_bytes()),
            value => Self::Made(number_text(number_of(value)?)),
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

const NO_WORDS: &str = "ERR Please specify at least one argument for this redis lib call";
const BAD_WORD: &str = "ERR Lua redis lib command arguments must be strings or integers";

/// What carries out commands, or asks whether they may be. Scripts call these functions of Rust themselves, with nothing of Lua between:
/// the place of an error is that of their caller, also where a script returns what a call returns.
fn add_calls(lua: &Lua, redis: &Table, shared: &Arc<Shared>, limit: Limit) -> mlua::Result<()> {
    for (name, protected) in [("call", false), ("pcall", true)] {
        let state = shared.clone();
        let called = move |lua: &Lua, (First(first), rest): (First, MultiValue)| {
            call(lua, protected, (&first, &rest), &state, limit)
        };
        redis.set(name, lua.create_function(called)?)?;
    }
    let state = shared.clone();
    redis.set("acl_check_cmd", function(lua, move |_, args: MultiValue| ask(&args, &state))?)
}

/// Calls a command for the run that is under way.
fn call(
    lua: &Lua,
    protected: bool,
    (first, rest): (&Value, &MultiValue),
    shared: &Shared,
    limit: Limit,
) -> mlua::Result<Value> {
    // Nil alone is taken for none: see `args::all`.
    let args = (!first.is_nil() || !rest.is_empty()).then_some(first).into_iter().chain(rest);
    let words: Option<SmallVec<[Word<'_>; 8]>> = args.map(Word::of).collect();
    let reply = match words {
        Some(words) => carry_out_words(lua, words.iter().map(Word::bytes), shared, limit)?,
        None => Err(BAD_WORD.to_owned()),
    };
    match reply {
        Ok(value) => Ok(value),
        Err(text) if protected => limit.lifted(lua, || convert::error_table(lua, &text)).map(Value::Table),
        Err(text) => Err(CallError::raise(text)),
    }
}

/// Inner error: the error of the command or of the call.
fn carry_out_words<'w>(
    lua: &Lua,
    words: impl Iterator<Item = &'w [u8]>,
    shared: &Shared,
    limit: Limit,
) -> mlua::Result<Result<Value, String>> {
    let words: SmallVec<[&[u8]; 8]> = words.collect();
    if words.is_empty() {
        return Ok(Err(NO_WORDS.to_owned()));
    }
    shared.charge(CALL_STEPS + words.iter().map(|word| word.len() as u64 / 16).sum::<u64>())?;
    calls::carry_out(&words, shared, |reply| {
        shared.charge(reply.len() as u64 / 16)?;
        if let Some(number) = convert::number(reply) {
            return Ok(Ok(number));
        }
        limit.lifted(lua, || convert::to_lua(lua, reply, shared.resp.load(Relaxed) == 3))
    })
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(x) => Some(*x),
        _ => None,
    }
}

/// A number as an argument: an integer without a point.
fn number_text(x: f64) -> Vec<u8> {
    if x.trunc() == x && x.abs() < 9.3e18 {
        return (x as i64).to_string().into_bytes();
    }
    format_f64_17g(x).into_bytes()
}

fn error_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    let Some(text) = one_string(&args) else { return convert::error_table(lua, WRONG_ARGUMENTS) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let text = match text.strip_prefix('-') {
        Some(text) => text.to_owned(),
        None if text.contains(' ') => text,
        None => format!("ERR {text}"),
    };
    convert::error_table(lua, text.trim_end_matches(['\r', '\n']))
}

fn status_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    let Some(text) = one_string(&args) else { return convert::error_table(lua, WRONG_ARGUMENTS) };
    let table = lua.create_table()?;
    table.raw_set("ok", lua.create_string(&text)?)?;
    Ok(table)
}

fn sha1_hex(_: &Lua, args: MultiValue) -> mlua::Result<String> {
    if args.len() != 1 {
        return Err(CallError::raise("ERR wrong number of arguments".to_owned()));
    }
    let text = match &args[0] {
        Value::String(string) => string.as_bytes().to_vec(),
        Value::Integer(n) => n.to_string().into_bytes(),
        Value::Number(x) => number_text(*x),
        _ => Vec::new(),
    };
    Ok(Sha::of(&text).to_string())
}

/// Notes a line; whoever runs the script knows whether anybody wants it.
fn log(args: &MultiValue, shared: &Shared) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(CallError::raise("ERR redis.log() requires two arguments or more.".to_owned()));
    }
    let Some(level) = number_of(&args[0]) else {
        return Err(CallError::raise("ERR First argument must be a number (log level).".to_owned()));
    };
    let Some(level) = LogLevel::of(level) else {
        return Err(CallError::raise("ERR Invalid debug level.".to_owned()));
    };
    let parts: Vec<Vec<u8>> =
        args.iter().skip(1).filter_map(Word::of).map(|word| word.bytes().to_vec()).collect();
    shared.charge(parts.iter().map(|part| part.len() as u64 / 16).sum())?;
    shared.lines.lock().expect("no script panics").push(level, &parts);
    Ok(())
}

/// The log holds the call of the script, whatever a script wants replicated.
fn set_repl(_: &Lua, args: MultiValue) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(CallError::raise("ERR redis.set_repl() requires one argument.".to_owned()));
    }
    match number_of(&args[0]) {
        Some(flags) if (0.0..=3.0).contains(&flags) => Ok(()),
        _ => {
            let text = "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            Err(CallError::raise(text.to_owned()))
        }
    }
}

/// `redis.acl_check_cmd`: whether the caller of the script may do what these words say. The reply is 1 or 0.
fn ask(args: &MultiValue, shared: &Shared) -> mlua::Result<bool> {
    let words: Option<SmallVec<[Word<'_>; 8]>> = args.iter().map(Word::of).collect();
    let words = words.ok_or_else(|| CallError::raise(BAD_WORD.to_owned()))?;
    let words: SmallVec<[&[u8]; 8]> = words.iter().map(Word::bytes).collect();
    if words.is_empty() {
        return Err(CallError::raise(NO_WORDS.to_owned()));
    }
    shared.charge(CALL_STEPS + words.iter().map(|word| word.len() as u64 / 16).sum::<u64>())?;
    shared.asks.store(true, Relaxed);
    let answer = calls::carry_out(&words, shared, |reply| match reply.strip_prefix(b"-") {
        Some(text) => Err(CallError::raise(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())),
        None => Ok(reply.starts_with(b":1")),
    });
    shared.asks.store(false, Relaxed);
    answer
}

fn set_resp(args: &MultiValue, shared: &Shared) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(CallError::raise("ERR redis.setresp() requires one argument.".to_owned()));
    }
    let version = match number_of(&args[0]) {
        Some(2.0) => 2,
        Some(3.0) => 3,
        _ => return Err(CallError::raise("ERR RESP version must be 2 or 3.".to_owned())),
    };
    shared.resp.store(version, Relaxed);
    Ok(())
}

fn one_string(args: &MultiValue) -> Option<Vec<u8>> {
    match args.front() {
        Some(Value::String(text)) if args.len() == 1 => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// `redis.register_function(name, callback)`, or with one table of named arguments.
fn register(args: MultiValue, shared: &Shared) -> mlua::Result<()> {
    let raise = |text: &str| Err(CallError::raise(format!("ERR {text}")));
    if !shared.loading.load(Relaxed) {
        return raise("redis.register_function can only be called on FUNCTION LOAD command");
    }
    let mut args = args.into_iter();
    let function = match (args.next(), args.next(), args.next()) {
        (Some(Value::Table(named)), None, None) => match named_arguments(&named)? {
            Ok(function) => function,
            Err(text) => return raise(text),
        },
        (Some(Value::String(name)), Some(Value::Function(callback)), None) => {
            let name = name.to_string_lossy();
            Registered { name, description: None, flags: Vec::new(), callback }
        }
        (Some(Value::String(_)), Some(_), None) => {
            return raise("second argument to redis.register_function must be a function");
        }
        (Some(_), Some(_), None) => {
            return raise("first argument to redis.register_function must be a string");
        }
        (Some(_), None, None) => {
            return raise(
                "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            );
        }
        _ => return raise("wrong number of arguments to redis.register_function"),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if function.name.is_empty() || !function.name.chars().all(is_name) {
        return raise(
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        );
    }
    let mut registered = shared.registered.lock().expect("no script panics");
    if registered.iter().any(|other| other.name.eq_ignore_ascii_case(&function.name)) {
        return raise("Function already exists in the library");
    }
    registered.push(function);
    Ok(())
}

fn named_arguments(named: &Table) -> mlua::Result<Result<Registered, &'static str>> {
    let (mut name, mut callback, mut description, mut flags) = (None, None, None, Vec::new());
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(key) = key else {
            return Ok(Err("named argument key given to redis.register_function is not a string"));
        };
        match (&key.as_bytes()[..], value) {
            (b"function_name", Value::String(text)) => name = Some(text.to_string_lossy()),
            (b"function_name", _) => {
                return Ok(Err("function_name argument given to redis.register_function must be a string"));
            }
            (b"description", Value::String(text)) => description = Some(text.to_string_lossy()),
            (b"description", _) => {
                return Ok(Err("description argument given to redis.register_function must be a string"));
            }
            (b"callback", Value::Function(function)) => callback = Some(function),
            (b"callback", _) => {
                return Ok(Err("callback argument given to redis.register_function must be a function"));
            }
            (b"flags", Value::Table(list)) => {
                for flag in list.sequence_values::<Value>() {
                    match flag? {
                        Value::String(flag) if FLAGS.contains(&&*flag.to_string_lossy()) => {
                            flags.push(flag.to_string_lossy());
                        }
                        _ => return Ok(Err("unknown flag given")),
                    }
                }
            }
            (b"flags", _) => {
                return Ok(Err(
                    "flags argument to redis.register_function must be a table representing function flags",
                ));
            }
            _ => return Ok(Err("unknown argument given to redis.register_function")),
        }
    }
    let Some(name) = name else {
        return Ok(Err("redis.register_function must get a function name argument"));
    };
    let Some(callback) = callback else {
        return Ok(Err("redis.register_function must get a callback argument"));
    };
    Ok(Ok(Registered { name, description, flags, callback }))
}
