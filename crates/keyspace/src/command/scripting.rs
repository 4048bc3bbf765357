//! EVAL and its kin, SCRIPT.

use std::sync::atomic::Ordering::Relaxed;

use quorate_planted::{Bug, is_planted};
use quorate_resp::Protocol;

use crate::{
    command::{self, Command, Flags, Handler, ScriptPolicy, shebang},
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Keyspace,
    meter::{Meter, Place},
    number::parse_i64,
    random::Random,
    reply::Reply,
    script::{self, Code, FLAGS, Failed, Job, Lines, Run, Sha, Shared},
};

type Outcome = Result<(), CommandError>;

const NOSCRIPT: CommandError = CommandError::fixed("NOSCRIPT No matching script. Please use EVAL.");
const MORE_KEYS_THAN_ARGS: CommandError =
    CommandError::fixed("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS: CommandError = CommandError::fixed("ERR Number of keys can't be negative");
pub(super) const TOO_LARGE: CommandError = CommandError::fixed("ERR a script has at most 16 MiB");
const NOT_FROM_SCRIPTS: &str = "ERR This Redis command is not allowed from script";
const NOT_BUSY: CommandError = CommandError::fixed("NOTBUSY No scripts in execution right now.");

/// `EVAL script numkeys [key ...] [arg ...]`
pub(super) fn eval(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    eval_source(ctx, false, reply)
}

/// `EVALSHA sha1 numkeys [key ...] [arg ...]`
pub(super) fn evalsha(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    eval_known(ctx, false, reply)
}

/// `EVAL_RO script numkeys [key ...] [arg ...]`
pub(super) fn eval_ro(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    eval_source(ctx, true, reply)
}

/// `EVALSHA_RO sha1 numkeys [key ...] [arg ...]`
pub(super) fn evalsha_ro(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    eval_known(ctx, true, reply)
}

fn eval_source(ctx: &mut WriteCtx<'_>, read_only: bool, reply: &mut Reply<'_>) -> Outcome {
    let source = ctx.arg(1);
    let (keys, args) = keys_and_args(ctx.args, CommandError::NOT_AN_INTEGER)?;
    let script = Script::new(source, ctx.keyspace.scripts.sha_of(source))?;
    if !ctx.keyspace.scripts.knows(&script.code.sha) {
        script.compile(ctx.keyspace)?;
        ctx.keyspace.remember_script(script.code.sha, source, false);
    }
    script.run(ctx, keys, args, read_only, reply);
    Ok(())
}

fn eval_known(ctx: &mut WriteCtx<'_>, read_only: bool, reply: &mut Reply<'_>) -> Outcome {
    let sha = Sha::parse(ctx.arg(1)).ok_or(NOSCRIPT)?;
    let (keys, args) = keys_and_args(ctx.args, CommandError::NOT_AN_INTEGER)?;
    let source = ctx.keyspace.scripts.source(&sha).ok_or(NOSCRIPT)?;
    Script::new(&source, sha)?.run(ctx, keys, args, read_only, reply);
    Ok(())
}

/// Keys and arguments.
type Words<'a> = (&'a [&'a [u8]], &'a [&'a [u8]]);

/// The keys and the arguments of a script or a function.
pub(super) fn keys_and_args<'a>(
    words: &'a [&'a [u8]],
    not_a_number: CommandError,
) -> Result<Words<'a>, CommandError> {
    let rest = &words[3..];
    let count = parse_i64(words[2]).ok_or(not_a_number)?;
    let count = usize::try_from(count).map_err(|_| NEGATIVE_KEYS)?;
    rest.split_at_checked(count).ok_or(MORE_KEYS_THAN_ARGS)
}

/// A script about to run.
struct Script<'a> {
    code: Code<'a>,
    promises: Promises,
}

/// What a script or a function promises, and hence may do.
#[derive(Clone, Copy)]
pub(super) struct Promises {
    /// It writes nothing.
    pub(super) no_writes: bool,
    /// It may run when memory is short.
    pub(super) allow_oom: bool,
    /// It has said nothing: it runs, and its first command that needs memory is refused when there is none.
    pub(super) is_silent: bool,
}

impl Promises {
    /// By the flags that it has given; `None`: it could not give any.
    pub(super) fn of(flags: Option<&[String]>) -> Self {
        let has = |wanted: &str| flags.is_some_and(|flags| flags.iter().any(|flag| flag == wanted));
        Self { no_writes: has("no-writes"), allow_oom: has("allow-oom"), is_silent: flags.is_none() }
    }

    /// Judges before anything has run.
    fn check_memory(self, keyspace: &Keyspace) -> Outcome {
        const OOM: CommandError = CommandError::fixed(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
        );
        let may_run = self.no_writes || self.allow_oom || self.is_silent;
        if keyspace.memory_short && !may_run { Err(OOM) } else { Ok(()) }
    }
}

impl<'a> Script<'a> {
    fn new(source: &'a [u8], sha: Sha) -> Result<Self, CommandError> {
        if source.len() > script::SOURCE_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let (text, flags) = shebang::of_script(source, &FLAGS)?;
        let promises = Promises::of((!is_silent(source)).then_some(&flags));
        Ok(Self { code: Code { sha, text, is_library: false }, promises })
    }

    fn compile(&self, keyspace: &Keyspace) -> Outcome {
        let mut interpreter = keyspace.scripts.take_interpreter();
        let compiled = interpreter.compile(&self.code, keyspace.rules.script_memory_max);
        keyspace.scripts.give_back(interpreter);
        compiled.map_err(not_compiled)
    }

    fn run(
        &self,
        ctx: &mut WriteCtx<'_>,
        keys: &[&[u8]],
        args: &[&[u8]],
        read_only: bool,
        reply: &mut Reply<'_>,
    ) {
        let name = |failed: &Failed| failure(failed, &self.code.sha.to_string());
        let job = Job { function: None, keys, args };
        let promises = Promises { no_writes: read_only || self.promises.no_writes, ..self.promises };
        run(ctx, &self.code, &job, promises, reply, &name, &not_compiled);
    }
}

fn not_compiled(message: String) -> CommandError {
    CommandError::new(format!("ERR Error compiling script (new function): {message}"))
}

/// Runs a script or a function.
pub(super) fn run(
    ctx: &mut WriteCtx<'_>,
    code: &Code<'_>,
    job: &Job<'_>,
    promises: Promises,
    reply: &mut Reply<'_>,
    failed: &dyn Fn(&Failed) -> CommandError,
    not_compiled: &dyn Fn(String) -> CommandError,
) {
    if let Err(error) = promises.check_memory(ctx.keyspace) {
        return reply.refuse(&error);
    }
    let mut interpreter = ctx.keyspace.scripts.take_interpreter();
    let mut lines = reply.is_wanted().then(Lines::default);
    ctx.keyspace.scripts.running = true;
    let mut calls = Calls::new(ctx, promises, reply.meter());
    let run = calls.run();
    let mut call = |args: &[&[u8]], shared: &Shared, out: &mut Vec<u8>| calls.call(args, shared, out);
    let ran = interpreter.run(code, job, run, &mut call, lines.as_mut(), &mut |result| {
        match result {
            Ok((value, resp3)) => {
                let mark = reply.mark();
                let put = script::to_reply(value, resp3, reply);
                return put.inspect_err(|_| reply.rollback(mark));
            }
            Err(error) => reply.error(&failed(&error)),
        }
        Ok(())
    });
    if let Err(message) = ran {
        reply.error(&not_compiled(message));
    }
    let sleep_ms = calls.sleep_ms;
    ctx.sleep(sleep_ms);
    ctx.keyspace.scripts.running = false;
    ctx.keyspace.scripts.give_back(interpreter);
    if let Some(mut lines) = lines.filter(|lines| !lines.is_empty()) {
        ctx.keyspace.scripts.lines.append(&mut lines);
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

/// Whether a script says nothing of itself.
pub(super) fn is_silent(source: &[u8]) -> bool {
    !source.starts_with(b"#!")
}

/// Whether the first line of a script says that it does not write.
pub(super) fn promises_no_writes(source: &[u8]) -> bool {
    shebang::of_script(source, &FLAGS).is_ok_and(|(_, flags)| flags.iter().any(|flag| flag == "no-writes"))
}

/// Carries out what a script calls.
pub(super) struct Calls<'a> {
    keyspace: &'a mut Keyspace,
    db: usize,
    seed: u64,
    /// Calls so far: each has random numbers of its own.
    count: u64,
    read_only: bool,
    /// Memory is short, and what needs more is refused, unless the script has written something already.
    denies_oom: bool,
    /// There are too few replicas for writes; of scripts that have said what they do, the session knows before they run.
    denies_writes: bool,
    /// How long every replica is to stand still afterwards (DEBUG SLEEP).
    sleep_ms: u64,
    /// Where the calls are noted.
    meter: Option<&'a dyn Meter>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(ctx: &'a mut WriteCtx<'_>, promises: Promises, meter: Option<&'a dyn Meter>) -> Self {
        let (db, seed) = (ctx.db(), ctx.random().next_u64());
        let denies_oom = ctx.keyspace.memory_short && !promises.allow_oom;
        let denies_writes = ctx.keyspace.few_replicas && promises.is_silent;
        let read_only = promises.no_writes;
        let keyspace = &mut *ctx.keyspace;
        Self { keyspace, db, seed, count: 0, read_only, denies_oom, denies_writes, sleep_ms: 0, meter }
    }

    /// What a run gets.
    pub(super) fn run(&self) -> Run {
        let rules = &self.keyspace.rules;
        Run { seed: self.seed, steps: rules.script_steps_max, memory: rules.script_memory_max }
    }

    /// Appends the encoded reply to one command.
    pub(super) fn call(&mut self, args: &[&[u8]], shared: &Shared, out: &mut Vec<u8>) {
        let protocol = if shared.resp.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let mut reply = Reply::new(out, protocol).metered(self.meter);
        if shared.asks.load(Relaxed) {
            return self.answer_whether(args, &mut reply);
        }
        match self.permitted(args) {
            Ok(command) => {
                if let Some(meter) = self.meter {
                    meter.called(self.db, command, args);
                }
                if !is_planted(Bug::ScriptNotTracked) {
                    self.keyspace.note_read(command, args, &reply);
                }
                let (begun, slept) = (reply.begin(), self.sleep_ms);
                self.carry_out(command, args, &mut reply);
                reply.end(begun, command, args, Place::Script, self.sleep_ms - slept);
            }
            Err(error) => reply.reject(command::named(args), Place::Script, &error),
        }
    }

    fn permitted(&self, args: &[&[u8]]) -> Result<&'static Command, CommandError> {
        let command = command::resolve(args).map_err(|error| {
            let is = |what| error.text().starts_with(what);
            CommandError::fixed(if is("ERR wrong number of arguments") {
                "ERR Wrong number of args calling Redis command from script"
            } else if is("ERR unknown") {
                "ERR Unknown Redis command called from script"
            } else {
                NOT_FROM_SCRIPTS
            })
        })?;
        let is_function = !matches!(command.handler, Handler::Session | Handler::Container);
        let is_denied = command.script == ScriptPolicy::Refused || command.flags.contains(Flags::NOSCRIPT);
        let may_debug = || command.name.starts_with("debug|") && self.keyspace.rules.scripts_may_debug;
        if !is_function || is_denied && !may_debug() {
            return Err(CommandError::fixed(NOT_FROM_SCRIPTS));
        }
        self.allowed(command, args)?;
        // As in Redis: what is told to others counts as written.
        if self.read_only && (command.is_write() || command.flags.contains(Flags::MAY_REPLICATE)) {
            return Err(CommandError::fixed("ERR Write commands are not allowed from read-only scripts."));
        }
        if self.denies_writes && command.is_write() {
            return Err(CommandError::NOREPLICAS);
        }
        if self.denies_oom && command.flags.contains(Flags::DENYOOM) {
            return Err(CommandError::OOM);
        }
        Ok(command)
    }

    /// Whether the caller of the script may do what a command line says.
    fn allowed(&self, command: &'static Command, args: &[&[u8]]) -> Result<(), CommandError> {
        let Err(denied) = self.keyspace.judge(self.keyspace.caller, command, args) else { return Ok(()) };
        if let (Some(meter), Some(denial)) = (self.meter, denied.denial(command, args)) {
            meter.denied(&denial, Place::Script);
        }
        Err(denied.error_in_script(command))
    }

    /// `redis.acl_check_cmd`: 1 or 0.
    fn answer_whether(&self, args: &[&[u8]], reply: &mut Reply<'_>) {
        match command::named(args) {
            Some(command) => {
                let caller = self.keyspace.caller;
                let may = command.takes(args.len()) && self.keyspace.judge(caller, command, args).is_ok();
                reply.int(may.into());
            }
            None => reply.error(&CommandError::fixed("ERR Invalid command passed to redis.acl_check_cmd()")),
        }
    }

    fn carry_out(&mut self, command: &'static Command, args: &[&[u8]], reply: &mut Reply<'_>) {
        self.count += 1;
        // It cannot be stopped in the middle of what it writes.
        self.denies_oom &= !command.flags.contains(Flags::WRITE);
        let seed = Random::for_command(self.seed, self.count, 0);
        let mark = reply.mark();
        let result = match command.handler {
            Handler::Write(handler) | Handler::Aside(handler) => {
                let mut ctx = WriteCtx::new(self.keyspace, self.db, args, seed);
                let result = handler(&mut ctx, reply);
                self.sleep_ms += ctx.sleep_ms();
                result
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
    let script = Script::new(code, Sha::of(code))?;
    script.compile(ctx.keyspace)?;
    ctx.keyspace.remember_script(script.code.sha, code, true);
    reply.bulk(script.code.sha.to_string().as_bytes());
    Ok(())
}

/// `SCRIPT EXISTS sha1 [sha1 ...]`
pub(super) fn script_exists(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = &ctx.args[2..];
    reply.array(names.len());
    for name in names {
        let source = Sha::parse(name).and_then(|sha| ctx.keyspace.scripts.source(&sha));
        reply.int(i64::from(source.is_some()));
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
