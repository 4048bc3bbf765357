//! Scripts and functions.

use super::{BASE, arg, categories, flags, key, key_flags, one_of, token};
use crate::command::{
    Begin, Command, Find, Flags, Group, Handler, KeyFlags, KeySpec, ScriptPolicy, functions, scripting,
};

/// The keys of a script: as many as it says.
const fn script_keys(flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(2), find: Find::KeyNum { number: 0, first: 1, step: 1 } }
}

/// What EVAL and its kin have in common.
const EVAL: Command = Command {
    arity: -3,
    flags: flags!(NOSCRIPT STALE SKIP_MONITOR MAY_REPLICATE NO_MANDATORY_KEYS MOVABLEKEYS),
    keys: &[script_keys(key_flags!(RW ACCESS UPDATE))],
    categories: categories!(SCRIPTING),
    complexity: "That of the script",
    group: Group::Scripting,
    script: ScriptPolicy::Refused,
    ..BASE
};

/// The same for what does not write.
const EVAL_RO: Command = Command {
    flags: flags!(READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS),
    keys: &[script_keys(key_flags!(RO ACCESS))],
    since: "7.0.0",
    ..EVAL
};

/// What the subcommands of SCRIPT and FUNCTION have in common.
const SUB: Command = Command {
    flags: flags!(NOSCRIPT),
    categories: categories!(SCRIPTING),
    group: Group::Scripting,
    script: ScriptPolicy::Refused,
    ..BASE
};

const FLUSH_MODE: super::Argument =
    one_of("flush-type", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional();

macro_rules! call_arguments {
    ($what:literal) => {
        &[
            arg($what, "string"),
            arg("numkeys", "integer"),
            key("key", 0).optional().multiple(),
            arg("arg", "string").optional().multiple(),
        ]
    };
}

pub(super) static SCRIPTING: &[Command] = &[
    Command {
        name: "eval",
        since: "2.6.0",
        summary: "Runs a script.",
        arguments: call_arguments!("script"),
        handler: Handler::Write(scripting::eval),
        ..EVAL
    },
    Command {
        name: "evalsha",
        since: "2.6.0",
        summary: "Runs a script that is known already.",
        arguments: call_arguments!("sha1"),
        handler: Handler::Write(scripting::evalsha),
        ..EVAL
    },
    Command {
        name: "eval_ro",
        summary: "Runs a script that may only read.",
        arguments: call_arguments!("script"),
        handler: Handler::Write(scripting::eval_ro),
        ..EVAL_RO
    },
    Command {
        name: "evalsha_ro",
        summary: "Runs a script that is known already and may only read.",
        arguments: call_arguments!("sha1"),
        handler: Handler::Write(scripting::evalsha_ro),
        ..EVAL_RO
    },
    Command {
        name: "fcall",
        since: "7.0.0",
        summary: "Calls a function.",
        arguments: call_arguments!("function"),
        handler: Handler::Write(functions::fcall),
        ..EVAL
    },
    Command {
        name: "fcall_ro",
        summary: "Calls a function that only reads.",
        arguments: call_arguments!("function"),
        handler: Handler::Write(functions::fcall_ro),
        ..EVAL_RO
    },
    Command {
        name: "script",
        arity: -2,
        flags: Flags::empty(),
        categories: BASE.categories,
        since: "2.6.0",
        complexity: "That of the subcommand",
        summary: "Container of the commands about scripts.",
        subcommands: SCRIPT,
        script: BASE.script,
        handler: Handler::Container,
        ..SUB
    },
    Command {
        name: "function",
        arity: -2,
        flags: Flags::empty(),
        categories: BASE.categories,
        since: "7.0.0",
        complexity: "That of the subcommand",
        summary: "Container of the commands about functions.",
        subcommands: FUNCTION,
        script: BASE.script,
        handler: Handler::Container,
        ..SUB
    },
];

static SCRIPT: &[Command] = &[
    Command {
        name: "script|exists",
        arity: -3,
        since: "2.6.0",
        complexity: "O(N) in the number of scripts asked for",
        summary: "Says which scripts are known.",
        tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
        arguments: &[arg("sha1", "string").multiple()],
        handler: Handler::Read(scripting::script_exists),
        ..SUB
    },
    Command {
        name: "script|flush",
        arity: -2,
        since: "2.6.0",
        complexity: "O(N) in the number of scripts",
        summary: "Forgets all scripts.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        arguments: &[FLUSH_MODE],
        handler: Handler::Write(scripting::script_flush),
        ..SUB
    },
    Command {
        name: "script|help",
        arity: 2,
        flags: flags!(LOADING STALE),
        since: "5.0.0",
        summary: "Lists the subcommands.",
        script: BASE.script,
        handler: Handler::Connection(scripting::script_help),
        ..SUB
    },
    Command {
        name: "script|kill",
        arity: 2,
        flags: flags!(NOSCRIPT ALLOW_BUSY),
        since: "2.6.0",
        summary: "Answers that no script runs: a script ends by itself.",
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        handler: Handler::Connection(scripting::kill),
        ..SUB
    },
    Command {
        name: "script|load",
        arity: 3,
        flags: flags!(NOSCRIPT STALE),
        since: "2.6.0",
        complexity: "O(N) in the length of the script",
        summary: "Keeps a script.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        arguments: &[arg("script", "string")],
        handler: Handler::Write(scripting::script_load),
        ..SUB
    },
];

static FUNCTION: &[Command] = &[
    Command {
        name: "function|delete",
        arity: 3,
        flags: flags!(WRITE NOSCRIPT),
        since: "7.0.0",
        summary: "Removes a library.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[arg("library-name", "string")],
        handler: Handler::Write(functions::delete),
        ..SUB
    },
    Command {
        name: "function|dump",
        arity: 2,
        since: "7.0.0",
        complexity: "O(N) in the length of all libraries",
        summary: "Returns all libraries as bytes for FUNCTION RESTORE.",
        handler: Handler::Read(functions::dump),
        ..SUB
    },
    Command {
        name: "function|flush",
        arity: -2,
        flags: flags!(WRITE NOSCRIPT),
        since: "7.0.0",
        complexity: "O(N) in the number of libraries",
        summary: "Removes all libraries.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[FLUSH_MODE],
        handler: Handler::Write(functions::flush),
        ..SUB
    },
    Command {
        name: "function|help",
        arity: 2,
        flags: flags!(LOADING STALE),
        since: "7.0.0",
        summary: "Lists the subcommands.",
        script: BASE.script,
        handler: Handler::Connection(functions::function_help),
        ..SUB
    },
    Command {
        name: "function|kill",
        arity: 2,
        flags: flags!(NOSCRIPT ALLOW_BUSY),
        since: "7.0.0",
        summary: "Answers that no function runs: a function ends by itself.",
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        handler: Handler::Connection(scripting::kill),
        ..SUB
    },
    Command {
        name: "function|list",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N) in the number of functions",
        summary: "Lists libraries and their functions.",
        tips: &["nondeterministic_output_order"],
        arguments: &[
            arg("library-name-pattern", "string").behind("LIBRARYNAME").optional(),
            token("withcode", "WITHCODE").optional(),
        ],
        handler: Handler::Read(functions::list),
        ..SUB
    },
    Command {
        name: "function|load",
        arity: -3,
        flags: flags!(WRITE DENYOOM NOSCRIPT),
        since: "7.0.0",
        summary: "Keeps a library of functions.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[token("replace", "REPLACE").optional(), arg("function-code", "string")],
        handler: Handler::Write(functions::load),
        ..SUB
    },
    Command {
        name: "function|restore",
        arity: -3,
        flags: flags!(WRITE DENYOOM NOSCRIPT),
        since: "7.0.0",
        complexity: "O(N) in the length of the payload",
        summary: "Brings back the libraries of FUNCTION DUMP.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[
            arg("serialized-value", "string"),
            one_of(
                "policy",
                &[token("flush", "FLUSH"), token("append", "APPEND"), token("replace", "REPLACE")],
            )
            .optional(),
        ],
        handler: Handler::Write(functions::restore),
        ..SUB
    },
    Command {
        name: "function|stats",
        arity: 2,
        flags: flags!(NOSCRIPT ALLOW_BUSY),
        since: "7.0.0",
        summary: "Counts libraries and functions.",
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        handler: Handler::Read(functions::stats),
        ..SUB
    },
];
