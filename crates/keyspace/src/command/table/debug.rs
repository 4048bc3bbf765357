//! `DEBUG`. Redis has one command of that name; here each word that may follow it has a record of its own, of which
//! `COMMAND` tells nothing.

use super::{BASE, arg, flags, one_of, token};
use crate::command::{Argument, Command, Flags, Group, Handler, ScriptPolicy, debug};

const FLAGS: Flags = flags!(ADMIN NOSCRIPT LOADING STALE);

/// What all of them have in common.
const DEBUG_BASE: Command =
    Command { flags: FLAGS, group: Group::Server, script: ScriptPolicy::Refused, ..BASE };

const SWITCH: &[Argument] = &[one_of("switch", &[token("off", "0"), token("on", "1")])];
const KEY: &[Argument] = &[arg("key", "string")];

pub(super) static DEBUG: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    complexity: "That of the subcommand",
    summary: "Container for what tests of clients and of the server use.",
    subcommands: &[
        Command {
            name: "debug|change-repl-id",
            arity: 2,
            summary: "Does nothing: replicas follow a log, whose identity never changes.",
            handler: Handler::Connection(debug::nothing_to_do),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|digest",
            arity: 2,
            complexity: "O(N) in the number of keys and elements",
            summary: "Tells a digest of the contents of all databases, as Redis makes it.",
            handler: Handler::Read(debug::whole_digest),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|digest-value",
            arity: -2,
            complexity: "O(N) in the number of elements",
            summary: "Tells digests of the values of keys.",
            arguments: &[arg("key", "string").optional().multiple()],
            handler: Handler::Read(debug::value_digests),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|error",
            arity: 3,
            summary: "Answers with an error of that text.",
            arguments: &[arg("text", "string")],
            handler: Handler::Connection(debug::error),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|help",
            arity: 2,
            summary: "Lists the subcommands.",
            handler: Handler::Session,
            ..DEBUG_BASE
        },
        Command {
            name: "debug|htstats",
            arity: 3,
            summary: "Counts the keys of a database.",
            arguments: &[arg("db", "integer")],
            handler: Handler::Read(debug::htstats),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|htstats-key",
            arity: 3,
            summary: "Counts the elements of a large collection.",
            arguments: KEY,
            handler: Handler::Read(debug::htstats_key),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|listpack",
            arity: 3,
            complexity: "O(N) in the number of elements",
            summary: "Shows the elements of a small collection.",
            arguments: KEY,
            handler: Handler::Read(debug::listpack),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|loadaof",
            arity: 2,
            complexity: "O(N) in the size of the state",
            summary: "Like RELOAD.",
            handler: Handler::Session,
            ..DEBUG_BASE
        },
        Command {
            name: "debug|log",
            arity: 3,
            summary: "Writes a text into the log of this node.",
            arguments: &[arg("text", "string")],
            handler: Handler::Session,
            ..DEBUG_BASE
        },
        Command {
            name: "debug|object",
            arity: -3,
            complexity: "O(N) in the number of elements",
            summary: "Tells how a value is kept.",
            arguments: &[arg("key", "string"), token("fast", "FAST").optional()],
            handler: Handler::Read(debug::object),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|pause-cron",
            arity: 3,
            summary: "Stops or resumes what this node does for its clients once a second.",
            arguments: SWITCH,
            handler: Handler::Session,
            ..DEBUG_BASE
        },
        Command {
            name: "debug|populate",
            arity: -3,
            complexity: "O(N) in the number of keys",
            summary: "Creates keys.",
            arguments: &[
                arg("count", "integer"),
                arg("prefix", "string").optional(),
                arg("size", "integer").optional(),
            ],
            handler: Handler::Write(debug::populate),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|protocol",
            arity: 3,
            summary: "Answers with an example of a kind of reply.",
            arguments: &[arg("type", "string")],
            handler: Handler::Connection(debug::protocol),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|quicklist",
            arity: -3,
            complexity: "O(N) in the number of elements",
            summary: "Shows the elements of a large list.",
            arguments: &[arg("key", "string"), arg("detail", "integer").optional()],
            handler: Handler::Read(debug::quicklist),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|quicklist-packed-threshold",
            arity: 3,
            summary: "Does nothing: which elements of a list stand alone is not to be chosen.",
            arguments: &[arg("size", "integer")],
            handler: Handler::Connection(debug::quicklist_packed_threshold),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|reload",
            arity: -2,
            complexity: "O(N) in the size of the state",
            summary: "Writes a snapshot, and checks that what a snapshot holds makes the same state again. NOFLUSH without MERGE fails where there is anything, as in Redis.",
            arguments: &[
                token("merge", "MERGE").optional(),
                token("noflush", "NOFLUSH").optional(),
                token("nosave", "NOSAVE").optional(),
            ],
            handler: Handler::Session,
            ..DEBUG_BASE
        },
        Command {
            name: "debug|replybuffer",
            arity: 4,
            summary: "Does nothing: no buffer is kept for answers, they take what they need.",
            arguments: &[arg("what", "string"), arg("value", "string")],
            handler: Handler::Connection(debug::nothing_to_do),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|sdslen",
            arity: 3,
            summary: "Tells the lengths of a key and its string.",
            arguments: KEY,
            handler: Handler::Read(debug::sdslen),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|set-active-expire",
            arity: 3,
            summary: "Lets keys past their deadline be freed on their own, or only after they are looked up.",
            arguments: SWITCH,
            handler: Handler::Write(debug::set_active_expire),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|set-disable-deny-scripts",
            arity: 3,
            summary: "Lets scripts call DEBUG.",
            arguments: SWITCH,
            handler: Handler::Write(debug::set_disable_deny_scripts),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|set-skip-checksum-validation",
            arity: 3,
            summary: "Lets RESTORE take payloads whose checksum is wrong.",
            arguments: SWITCH,
            handler: Handler::Write(debug::set_skip_checksum_validation),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|sleep",
            arity: 3,
            summary: "Lets every replica stand still.",
            arguments: &[arg("seconds", "double")],
            handler: Handler::Write(debug::sleep),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|stringmatch-len",
            arity: 4,
            complexity: "O(N*M) in the two lengths",
            summary: "Tells whether a pattern matches a string.",
            arguments: &[arg("pattern", "pattern"), arg("string", "string")],
            handler: Handler::Connection(debug::stringmatch_len),
            ..DEBUG_BASE
        },
        Command {
            name: "debug|structsize",
            arity: 2,
            summary: "Tells the bytes of what there is one of for each key.",
            handler: Handler::Connection(debug::structsize),
            ..DEBUG_BASE
        },
    ],
    handler: Handler::Container,
    ..DEBUG_BASE
}];
