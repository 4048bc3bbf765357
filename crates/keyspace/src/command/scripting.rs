//! EVAL and its kin, SCRIPT.

use std::sync::atomic::Ordering::Relaxed;

use quorate_resp::Protocol;

use crate::{
    command::{self, Command, Flags, Handler, ScriptPolicy},
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Keyspace,
    number::parse_i64,
    random::Random,
    reply::Reply,
    script::{self, FLAGS, Failed, Run, Shared, sha1_text},
};

type Outcome = Result<(), CommandError>;

const NOSCRIPT: CommandError = CommandError::fixed("NOSCRIPT No matching script. Please use EVAL.");
const MORE_KEYS_THAN_ARGS: CommandError =
    CommandError::fixed("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS: CommandError = CommandError::fixed("ERR Number of keys can't be negative");
pub(super) const TOO_LARGE: CommandError = CommandError::fixed("ERR a script has at most 16 MiB");
const NOT_BUSY: CommandError = CommandError::fixed("NOTBUSY No scripts in execution right now.");

/// `EVAL script numkeys [key ...] [arg ...]`
pub(super) fn eval(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let code = ctx.arg(1);
    let (keys, args) = keys_and_args(ctx.args)?;
    let sha = sha1_text(code);
    let script = Script::new(code, sha)?;
    script.compile(ctx.keyspace)?;
    ctx.keyspace.remember_script(&script.sha, code, false);
    script.run(ctx, keys, args, false, reply);
    Ok(())
}

/// `EVALSHA sha1 numkeys [key ...] [arg ...]`
pub(super) fn evalsha(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.arg(1).len() != SHA_LEN {
        return Err(NOSCRIPT);
    }
    let (keys, args) = keys_and_args(ctx.args)?;
    let (sha, code) = known(ctx.keyspace, ctx.arg(1))?;
    Script::new(&code, sha)?.run(ctx, keys, args, false, reply);
    Ok(())
}

/// `EVAL_RO script numkeys [key ...] [arg ...]`
pub(super) fn eval_ro(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let code = ctx.arg(1);
    let (keys, args) = keys_and_args(ctx.args)?;
    let script = Script::new(code, sha1_text(code))?;
    script.compile(ctx.keyspace)?;
    ctx.keyspace.remember_script(&script.sha, code, false);
    script.run(ctx, keys, args, true, reply);
    Ok(())
}

/// `EVALSHA_RO sha1 numkeys [key ...] [arg ...]`
pub(super) fn evalsha_ro(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.arg(1).len() != SHA_LEN {
        return Err(NOSCRIPT);
    }
    let (keys, args) = keys_and_args(ctx.args)?;
    let (sha, code) = known(ctx.keyspace, ctx.arg(1))?;
    Script::new(&code, sha)?.run(ctx, keys, args, true, reply);
    Ok(())
}

/// The length of a SHA-1 in hexadecimal.
const SHA_LEN: usize = 40;

fn known(keyspace: &Keyspace, sha: &[u8]) -> Result<(String, std::sync::Arc<[u8]>), CommandError> {
    let sha = String::from_utf8_lossy(sha).to_ascii_lowercase();
    let code = keyspace.scripts.source(&sha).ok_or(NOSCRIPT)?;
    Ok((sha, code))
}

/// Keys and arguments.
type Words<'a> = (&'a [&'a [u8]], &'a [&'a [u8]]);

/// The keys and the arguments of a script or a function.
pub(super) fn keys_and_args<'a>(words: &'a [&'a [u8]]) -> Result<Words<'a>, CommandError> {
    let rest = &words[3..];
    let count = parse_i64(words[2]).ok_or(CommandError::NOT_AN_INTEGER)?;
    let count = usize::try_from(count).map_err(|_| NEGATIVE_KEYS)?;
    rest.split_at_checked(count).ok_or(MORE_KEYS_THAN_ARGS)
}

/// A script about to run.
struct Script<'a> {
    sha: String,
    /// Without its first line, if that says which engine it is for.
    code: &'a [u8],
    /// Whether its first line says that it does not write.
    no_writes: bool,
}

impl<'a> Script<'a> {
    fn new(source: &'a [u8], sha: String) -> Result<Self, CommandError> {
        if source.len() > script::SOURCE_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let (code, flags) = without_shebang(source)?;
        let no_writes = flags.contains(&"no-writes");
        Ok(Self { sha, code, no_writes })
    }

    fn compile(&self, keyspace: &Keyspace) -> Outcome {
        let mut interpreter = keyspace.scripts.take_interpreter();
        let compiled = interpreter.compiled(&self.sha, self.code, "user_script");
        keyspace.scripts.give_back(interpreter);
        compiled.map(|_| ()).map_err(|message| {
            CommandError::new(format!("ERR Error compiling script (new function): {message}"))
        })
    }

    fn run(&self, ctx: &mut WriteCtx<'_>, keys: &[&[u8]], args: &[&[u8]], read_only: bool, reply: &mut Reply<'_>) {
        let mut interpreter = ctx.keyspace.scripts.take_interpreter();
        match interpreter.compiled(&self.sha, self.code, "user_script") {
            Ok(function) => {
                let mut calls = Calls::new(ctx, read_only || self.no_writes);
                let run = calls.run();
                let mut call = |args: &[&[u8]], shared: &Shared| calls.call(args, shared);
                interpreter.vm.run_script(&function, keys, args, run, &mut call, &mut |result| match result {
                    Ok((value, resp3)) => script::to_reply(value, resp3, reply),
                    Err(failed) => reply.error(&failure(&failed, &self.sha)),
                });
            }
            Err(message) => {
                reply.error(&CommandError::new(format!("ERR Error compiling script (new function): {message}")));
            }
        }
        ctx.keyspace.scripts.give_back(interpreter);
    }
}

/// The error of a script, which says where it was raised.
pub(super) fn failure(failed: &Failed, name: &str) -> CommandError {
    match &failed.place {
        Some((source, line)) => {
            CommandError::new(format!("{} script: {name}, on {source}:{line}.", failed.text))
        }
        None => CommandError::new(format!("{} script: {name}", failed.text)),
    }
}

/// Takes off a first line such as `#!lua flags=no-writes`.
fn without_shebang(source: &[u8]) -> Result<(&[u8], Vec<&str>), CommandError> {
    if !source.starts_with(b"#!") {
        return Ok((source, Vec::new()));
    }
    let Some(end) = source.iter().position(|byte| *byte == b'\n') else {
        return Err(CommandError::fixed("ERR Invalid script shebang"));
    };
    let line = std::str::from_utf8(&source[2..end])
        .map_err(|_| CommandError::fixed("ERR Invalid script shebang"))?;
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "lua" {
        return Err(CommandError::new(format!("ERR Unexpected engine in script shebang: #!{engine}")));
    }
    let mut flags = Vec::new();
    for word in words {
        let Some(list) = word.strip_prefix("flags=") else {
            return Err(CommandError::new(format!("ERR Unknown lua shebang option: {word}")));
        };
        for flag in list.split(',').filter(|flag| !flag.is_empty()) {
            if !FLAGS.contains(&flag) {
                return Err(CommandError::new(format!("ERR Unexpected flag in script shebang: {flag}")));
            }
            flags.push(flag);
        }
    }
    // The line end stays, so that errors name the right lines.
    Ok((&source[end..], flags))
}

/// Carries out what a script calls.
pub(super) struct Calls<'a> {
    keyspace: &'a mut Keyspace,
    db: usize,
    seed: u64,
    /// Calls so far: each has random numbers of its own.
    count: u64,
    read_only: bool,
}

impl<'a> Calls<'a> {
    pub(super) fn new(ctx: &'a mut WriteCtx<'_>, read_only: bool) -> Self {
        let (db, seed) = (ctx.db(), ctx.random().next_u64());
        Self { keyspace: ctx.keyspace, db, seed, count: 0, read_only }
    }

    /// What a run gets.
    pub(super) fn run(&self) -> Run {
        Run { seed: self.seed, steps: self.keyspace.rules.script_steps_max }
    }

    /// The encoded reply to one command.
    pub(super) fn call(&mut self, args: &[&[u8]], shared: &Shared) -> Vec<u8> {
        let protocol = if shared.resp.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, protocol);
        match self.permitted(args) {
            Ok(command) => self.carry_out(command, args, &mut reply),
            Err(error) => reply.error(&error),
        }
        bytes
    }

    fn permitted(&self, args: &[&[u8]]) -> Result<&'static Command, CommandError> {
        let command = command::resolve(args).map_err(|error| {
            let is_arity = error.text().starts_with("ERR wrong number of arguments");
            CommandError::fixed(if is_arity {
                "ERR Wrong number of args calling Redis command from script"
            } else {
                "ERR Unknown Redis command called from script"
            })
        })?;
        let is_function = !matches!(command.handler, Handler::Session | Handler::Container);
        if command.script == ScriptPolicy::Refused || command.flags.contains(Flags::NOSCRIPT) || !is_function {
            return Err(CommandError::fixed("ERR This Redis command is not allowed from script"));
        }
        if self.read_only && command.is_write() {
            return Err(CommandError::fixed("ERR Write commands are not allowed from read-only scripts."));
        }
        Ok(command)
    }

    fn carry_out(&mut self, command: &'static Command, args: &[&[u8]], reply: &mut Reply<'_>) {
        self.count += 1;
        let seed = Random::for_command(self.seed, self.count, 0);
        let mark = reply.mark();
        let result = match command.handler {
            Handler::Write(handler) => {
                handler(&mut WriteCtx::new(self.keyspace, self.db, args, seed), reply)
            }
            Handler::Read(handler)
            | Handler::Connection(handler)
            | Handler::ReadOrWait { read: handler, .. } => {
                let now_ms = self.keyspace.time_ms();
                handler(&ReadCtx::new(self.keyspace, self.db, args, now_ms, seed), reply)
            }
            Handler::Session | Handler::Container => unreachable!("not permitted"),
        };
        match result {
            Ok(()) if command.name == "select" => {
                self.db = super::connection::parse_db(args[1], self.keyspace.databases()).unwrap_or(self.db);
            }
            Ok(()) => {}
            Err(error) => {
                reply.rollback(mark);
                reply.error(&error);
            }
        }
    }
}

/// `SCRIPT LOAD script`
pub(super) fn script_load(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let code = ctx.arg(2);
    let script = Script::new(code, sha1_text(code))?;
    script.compile(ctx.keyspace)?;
    ctx.keyspace.remember_script(&script.sha, code, true);
    reply.bulk(script.sha.as_bytes());
    Ok(())
}

/// `SCRIPT EXISTS sha1 [sha1 ...]`
pub(super) fn script_exists(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = &ctx.args[2..];
    reply.array(names.len());
    for name in names {
        let sha = String::from_utf8_lossy(name).to_ascii_lowercase();
        reply.int(i64::from(ctx.keyspace.scripts.source(&sha).is_some()));
    }
    Ok(())
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`
pub(super) fn script_flush(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.args.len() > 3 || ctx.args.len() == 3 && !is_flush_mode(ctx.arg(2)) {
        return Err(CommandError::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    ctx.keyspace.forget_scripts();
    reply.ok();
    Ok(())
}

/// Whether a word is SYNC or ASYNC.
pub(super) fn is_flush_mode(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async")
}

/// `SCRIPT KILL`, `FUNCTION KILL`: whoever carries out a command finds no script running. One that takes too long ends by itself,
/// at the same step on every node.
pub(super) fn kill(_: &ReadCtx<'_>, _: &mut Reply<'_>) -> Outcome {
    Err(NOT_BUSY)
}

/// `SCRIPT HELP`
pub(super) fn script_help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    help(
        reply,
        &[
            "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "EXISTS <sha1> [<sha1> ...]",
            "    Say of each script whether EVALSHA would find it.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all scripts.",
            "KILL",
            "    Answers that nothing runs: a script ends by itself after a fixed number of steps.",
            "LOAD <script>",
            "    Keep a script for EVALSHA.",
            "HELP",
            "    Print this help.",
        ],
    )
}

/// Lines of help.
pub(super) fn help(reply: &mut Reply<'_>, lines: &[&str]) -> Outcome {
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
    Ok(())
}
