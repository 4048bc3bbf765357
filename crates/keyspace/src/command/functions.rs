//! FUNCTION and FCALL.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::{
    command::{
        scripting::{Promises, TOO_LARGE, failure, help, is_flush_mode, keys_and_args, run},
        shebang::{NoShebang, Shebang},
    },
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    glob::Glob,
    keyspace::Keyspace,
    rdb::{self, Refused},
    reply::Reply,
    script::{self, Code, FunctionInfo, Job, Library, Sha},
};

type Outcome = Result<(), CommandError>;

const NOT_FOUND: CommandError = CommandError::fixed("ERR Function not found");
const NO_LIBRARY: CommandError = CommandError::fixed("ERR Library not found");
const NO_METADATA: CommandError = CommandError::fixed("ERR Missing library metadata");

/// `FCALL function numkeys [key ...] [arg ...]`
pub(super) fn fcall(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    call(ctx, false, reply)
}

/// `FCALL_RO function numkeys [key ...] [arg ...]`
pub(super) fn fcall_ro(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    call(ctx, true, reply)
}

fn call(ctx: &mut WriteCtx<'_>, read_only: bool, reply: &mut Reply<'_>) -> Outcome {
    let name = String::from_utf8_lossy(ctx.arg(1));
    let (library, name, function) = ctx.keyspace.scripts.registered(&name).ok_or(NOT_FOUND)?;
    let promises = Promises::of(Some(&function.flags));
    if read_only && !promises.no_writes {
        let text = "ERR Can not execute a script with write flag using *_ro command.";
        return Err(CommandError::fixed(text));
    }
    let (source, name) = (library.code.clone(), name.clone());
    let (keys, args) = keys_and_args(ctx.args, CommandError::fixed("ERR Bad number of keys provided"))?;
    let job = Job { function: Some(&name), keys, args };
    run(ctx, &code_of(&source), &job, promises, reply, &|failed| failure(failed, &name), &not_compiled);
    Ok(())
}

fn not_compiled(message: String) -> CommandError {
    CommandError::new(format!("ERR Error compiling function: {message}"))
}

/// What is compiled of a library: all that follows the first line.
fn code_of(source: &[u8]) -> Code<'_> {
    let text = &source[source.iter().position(|byte| *byte == b'\n').unwrap_or(source.len())..];
    Code { sha: Sha::of(source), text, is_library: true }
}

/// `FUNCTION LOAD [REPLACE] code`
pub(super) fn load(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (code, options) = ctx.args[2..].split_last().ok_or(CommandError::SYNTAX)?;
    let mut replace = false;
    for option in options {
        if !option.eq_ignore_ascii_case(b"replace") {
            return Err(CommandError::new(format!(
                "ERR Unknown option given: {}",
                String::from_utf8_lossy(option)
            )));
        }
        replace = true;
    }
    let (name, library) = read_library(ctx.keyspace, code, replace)?;
    let others = ctx.keyspace.scripts.libraries.iter().filter(|(other, _)| **other != name);
    check_names(others.map(|(_, other)| other), &library)?;
    ctx.keyspace.set_library(&name, Some(library));
    reply.bulk(name.as_bytes());
    Ok(())
}

/// What a library's source says: its name and its functions.
fn read_library(keyspace: &Keyspace, code: &[u8], replace: bool) -> Result<(String, Library), CommandError> {
    if code.len() > script::SOURCE_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    let name = library_name(code)?;
    if !replace && keyspace.scripts.libraries.contains_key(&name) {
        return Err(CommandError::new(format!("ERR Library '{name}' already exists")));
    }
    let mut interpreter = keyspace.scripts.take_interpreter();
    let functions = interpreter.functions_of(&code_of(code), keyspace.rules.script_memory_max);
    keyspace.scripts.give_back(interpreter);
    let functions = functions
        .map_err(not_compiled)?
        .map_err(|failed| CommandError::new(format!("ERR Error registering functions: {}", failed.text)));
    let functions: BTreeMap<String, FunctionInfo> = functions?
        .into_iter()
        .map(|f| (f.name, FunctionInfo { description: f.description, flags: f.flags }))
        .collect();
    if functions.is_empty() {
        return Err(CommandError::fixed("ERR No functions registered"));
    }
    Ok((name, Library { code: Arc::from(code), functions }))
}

/// The name in a first line such as `#!lua name=mylib`.
fn library_name(code: &[u8]) -> Result<String, CommandError> {
    let shebang = Shebang::of(code).map_err(|why| match why {
        NoShebang::Missing => NO_METADATA,
        NoShebang::Malformed => CommandError::fixed("ERR Invalid library metadata"),
    })?;
    let mut name = None;
    for word in shebang.options() {
        match word.strip_prefix("name=") {
            Some(_) if name.is_some() => {
                return Err(CommandError::fixed(
                    "ERR Invalid metadata value, name argument was given multiple times",
                ));
            }
            Some(text) => name = Some(text.to_owned()),
            None => return Err(CommandError::new(format!("ERR Invalid metadata value given: {word}"))),
        }
    }
    let name = name.ok_or(CommandError::fixed("ERR Library name was not given"))?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(CommandError::fixed(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    if !shebang.engine().eq_ignore_ascii_case("lua") {
        return Err(CommandError::new(format!("ERR Engine '{}' not found", shebang.engine())));
    }
    Ok(name)
}

/// A function belongs to one library.
fn check_names<'a>(others: impl Iterator<Item = &'a Library>, library: &Library) -> Outcome {
    for other in others {
        if let Some(function) = library.functions.keys().find(|function| other.function(function).is_some()) {
            return Err(CommandError::new(format!("ERR Function {function} already exists")));
        }
    }
    Ok(())
}

/// `FUNCTION DELETE library`
pub(super) fn delete(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let name = String::from_utf8_lossy(ctx.arg(2)).into_owned();
    if !ctx.keyspace.scripts.libraries.contains_key(&name) {
        return Err(NO_LIBRARY);
    }
    ctx.keyspace.set_library(&name, None);
    reply.ok();
    Ok(())
}

/// `FUNCTION FLUSH [ASYNC | SYNC]`
pub(super) fn flush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(too_many_arguments(ctx.arg(1)));
    }
    if ctx.args.len() == 3 && !is_flush_mode(ctx.arg(2)) {
        return Err(CommandError::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    flush_all(ctx.keyspace);
    reply.ok();
    Ok(())
}

fn too_many_arguments(subcommand: &[u8]) -> CommandError {
    let name = String::from_utf8_lossy(subcommand);
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."
    ))
}

/// Removes all libraries.
pub(super) fn flush_all(keyspace: &mut Keyspace) {
    let names: Vec<String> = keyspace.scripts.libraries.keys().cloned().collect();
    names.iter().for_each(|name| keyspace.set_library(name, None));
}

/// `FUNCTION DUMP`
pub(super) fn dump(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let libraries = ctx.keyspace.scripts.libraries.values().map(|library| &library.code[..]);
    reply.bulk(&rdb::dump_functions(libraries));
    Ok(())
}

/// What FUNCTION RESTORE does with what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// It goes.
    Flush,
    /// It stays, and none of it may be in the payload.
    Append,
    /// It stays, unless the payload has it, too.
    Replace,
}

/// `FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]`
pub(super) fn restore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(too_many_arguments(ctx.arg(1)));
    }
    let policy = match ctx.args.get(3).map(|word| word.to_ascii_lowercase()).as_deref() {
        Some(b"flush") => Policy::Flush,
        None | Some(b"append") => Policy::Append,
        Some(b"replace") => Policy::Replace,
        Some(_) => {
            let text = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
            return Err(CommandError::fixed(text));
        }
    };
    let sources = rdb::restore_functions(ctx.arg(2), &ctx.rules()).map_err(|refused| match refused {
        Refused::Footer => CommandError::fixed("ERR DUMP payload version or checksum are wrong"),
        Refused::Format => CommandError::fixed("ERR failed loading functions payload"),
    })?;
    let new = new_libraries(ctx.keyspace, &sources, policy)?;
    if policy == Policy::Flush {
        flush_all(ctx.keyspace);
    }
    for (name, library) in new {
        ctx.keyspace.set_library(&name, Some(library));
    }
    reply.ok();
    Ok(())
}

/// The libraries of a payload, which fit to what stays.
fn new_libraries(
    keyspace: &Keyspace,
    sources: &[Cow<'_, [u8]>],
    policy: Policy,
) -> Result<BTreeMap<String, Library>, CommandError> {
    let mut new: BTreeMap<String, Library> = BTreeMap::new();
    for source in sources {
        let (name, library) = read_library(keyspace, source, true)?;
        if policy == Policy::Append && keyspace.scripts.libraries.contains_key(&name) {
            return Err(CommandError::new(format!("ERR Library {name} already exists")));
        }
        if new.contains_key(&name) {
            return Err(CommandError::new(format!("ERR Library '{name}' already exists")));
        }
        check_names(new.values(), &library)?;
        new.insert(name, library);
    }
    if policy != Policy::Flush {
        let old = &keyspace.scripts.libraries;
        let stay = || old.iter().filter(|(name, _)| !new.contains_key(*name)).map(|(_, library)| library);
        new.values().try_for_each(|library| check_names(stay(), library))?;
    }
    Ok(new)
}

/// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`
pub(super) fn list(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = ctx.args[2..].iter();
    while let Some(word) = words.next() {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            let text = "ERR library name argument was not given";
            pattern = Some(*words.next().ok_or(CommandError::fixed(text))?);
        } else {
            return Err(CommandError::new(format!("ERR Unknown argument {}", String::from_utf8_lossy(word))));
        }
    }
    let pattern = pattern.map(Glob::ignoring_case);
    let mut libraries: Vec<(&String, &Library)> = Vec::new();
    for (name, library) in &ctx.keyspace.scripts.libraries {
        if pattern.as_ref().map_or(Ok(true), |pattern| pattern.matches(name.as_bytes()))? {
            libraries.push((name, library));
        }
    }
    reply.array(libraries.len());
    for (name, library) in libraries {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for (name, function) in &library.functions {
            put_function(name, function, reply);
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

fn put_function(name: &str, function: &FunctionInfo, reply: &mut Reply<'_>) {
    reply.map(3);
    reply.bulk(b"name");
    reply.bulk(name.as_bytes());
    reply.bulk(b"description");
    match &function.description {
        Some(text) => reply.bulk(text.as_bytes()),
        None => reply.null(),
    }
    reply.bulk(b"flags");
    reply.set(function.flags.len());
    function.flags.iter().for_each(|flag| reply.simple(flag));
}

/// `FUNCTION STATS`: nothing runs while a command is carried out.
pub(super) fn stats(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let libraries = &ctx.keyspace.scripts.libraries;
    reply.map(2);
    reply.bulk(b"running_script");
    reply.null();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.count(libraries.len());
    reply.bulk(b"functions_count");
    reply.count(libraries.values().map(|library| library.functions.len()).sum());
    Ok(())
}

/// `FUNCTION HELP`
pub(super) fn function_help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    help(
        reply,
        &[
            "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Keep a library of functions.",
            "DELETE <LIBRARY NAME>",
            "    Remove a library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    List libraries and their functions.",
            "STATS",
            "    Count libraries and functions.",
            "KILL",
            "    Answers that nothing runs: a function ends by itself after a fixed number of steps.",
            "FLUSH [ASYNC|SYNC]",
            "    Remove all libraries.",
            "DUMP",
            "    All libraries as bytes for FUNCTION RESTORE.",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Bring back what FUNCTION DUMP has given.",
            "HELP",
            "    Print this help.",
        ],
    )
}
