//! Watching the server, and what tools expect beside it.

use super::{BASE, arg, block, categories, flags, one_of, token};
use crate::command::{Argument, Categories, Command, Group, Handler, ScriptPolicy};

/// What those for administrators have in common.
const ADMIN: Command = Command {
    flags: flags!(ADMIN NOSCRIPT LOADING STALE),
    group: Group::Server,
    script: ScriptPolicy::Refused,
    ..BASE
};
const ALL_NODES: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];
const RESET_ON_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
/// The same, as far as the flags of SLOWLOG go.
const ADMIN_OF_LOG: Command =
    Command { flags: flags!(ADMIN LOADING STALE), script: ScriptPolicy::Allowed, ..ADMIN };
const PRIMARY: &[Argument] = &[one_of(
    "args",
    &[
        block("host-port", &[arg("host", "string"), arg("port", "integer")]),
        block("no-one", &[token("no", "NO"), token("one", "ONE")]),
    ],
)];
const NONE: Categories = categories!();

const fn help(name: &'static str, since: &'static str) -> Command {
    Command {
        name,
        arity: 2,
        flags: flags!(LOADING STALE),
        categories: NONE,
        since,
        summary: "Lists the subcommands.",
        group: Group::Server,
        ..BASE
    }
}

pub(super) static OBSERVING: &[Command] = &[
    Command {
        name: "failover",
        arity: -1,
        flags: flags!(ADMIN NOSCRIPT STALE),
        since: "6.2.0",
        summary: "Hands leadership over.",
        arguments: &[
            block(
                "target",
                &[arg("host", "string"), arg("port", "integer"), token("force", "FORCE").optional()],
            )
            .behind("TO")
            .optional(),
            token("abort", "ABORT").optional(),
            arg("milliseconds", "integer").behind("TIMEOUT").optional(),
        ],
        ..ADMIN
    },
    Command {
        name: "latency",
        arity: -2,
        since: "2.8.13",
        complexity: "Depends on subcommand.",
        summary: "Container for what is known of delays.",
        group: Group::Server,
        subcommands: LATENCY,
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "lolwut",
        arity: -1,
        flags: flags!(READONLY FAST),
        since: "5.0.0",
        summary: "Draws a picture and tells the version.",
        group: Group::Server,
        arguments: &[arg("version", "integer").behind("VERSION").optional()],
        ..BASE
    },
    Command {
        name: "module",
        arity: -2,
        since: "4.0.0",
        complexity: "Depends on subcommand.",
        summary: "Container for commands about modules, which there are none of.",
        group: Group::Server,
        subcommands: &[
            help("module|help", "5.0.0"),
            Command {
                name: "module|list",
                arity: 2,
                flags: flags!(ADMIN NOSCRIPT),
                since: "4.0.0",
                summary: "Lists the modules: none.",
                tips: &["nondeterministic_output_order"],
                ..ADMIN
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "monitor",
        arity: 1,
        since: "1.0.0",
        summary: "Shows all commands that the node is given.",
        ..ADMIN
    },
    Command {
        name: "replicaof",
        arity: 3,
        flags: flags!(ADMIN NOSCRIPT STALE NO_ASYNC_LOADING),
        since: "5.0.0",
        summary: "Takes NO ONE: a node follows the log of its cluster.",
        arguments: PRIMARY,
        ..ADMIN
    },
    Command {
        name: "slaveof",
        arity: 3,
        flags: flags!(ADMIN NOSCRIPT STALE NO_ASYNC_LOADING),
        since: "1.0.0",
        summary: "Takes NO ONE: a node follows the log of its cluster.",
        arguments: PRIMARY,
        ..ADMIN
    },
    Command {
        name: "slowlog",
        arity: -2,
        since: "2.2.12",
        complexity: "Depends on subcommand.",
        summary: "Container for the commands that took long.",
        group: Group::Server,
        subcommands: SLOWLOG,
        handler: Handler::Container,
        ..BASE
    },
];

const LATENCY: &[Command] = &[
    Command {
        name: "latency|doctor",
        arity: 2,
        since: "2.8.13",
        summary: "Says in words what took long, and what to do about it.",
        tips: ALL_NODES,
        ..ADMIN
    },
    Command {
        name: "latency|graph",
        arity: 3,
        since: "2.8.13",
        summary: "Draws the delays of an event.",
        tips: ALL_NODES,
        arguments: &[arg("event", "string")],
        ..ADMIN
    },
    help("latency|help", "2.8.13"),
    Command {
        name: "latency|histogram",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N) in the number of commands",
        summary: "Tells how the times of commands are distributed.",
        tips: ALL_NODES,
        arguments: &[arg("command", "string").optional().multiple()],
        ..ADMIN
    },
    Command {
        name: "latency|history",
        arity: 3,
        since: "2.8.13",
        summary: "Lists the delays of an event.",
        tips: ALL_NODES,
        arguments: &[arg("event", "string")],
        ..ADMIN
    },
    Command {
        name: "latency|latest",
        arity: 2,
        since: "2.8.13",
        summary: "Tells the latest delay of each event.",
        tips: ALL_NODES,
        ..ADMIN
    },
    Command {
        name: "latency|reset",
        arity: -2,
        since: "2.8.13",
        summary: "Forgets the delays of events.",
        tips: RESET_ON_ALL_NODES,
        arguments: &[arg("event", "string").optional().multiple()],
        ..ADMIN
    },
];

const SLOWLOG: &[Command] = &[
    Command {
        name: "slowlog|get",
        arity: -2,
        since: "2.2.12",
        complexity: "O(N) in the number of entries returned",
        summary: "Lists the newest commands that took long.",
        tips: &["request_policy:all_nodes", "nondeterministic_output"],
        arguments: &[arg("count", "integer").optional()],
        ..ADMIN_OF_LOG
    },
    help("slowlog|help", "6.2.0"),
    Command {
        name: "slowlog|len",
        arity: 2,
        since: "2.2.12",
        summary: "Counts the commands that took long.",
        tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        ..ADMIN_OF_LOG
    },
    Command {
        name: "slowlog|reset",
        arity: 2,
        since: "2.2.12",
        complexity: "O(N) in the number of entries",
        summary: "Forgets the commands that took long.",
        tips: RESET_ON_ALL_NODES,
        ..ADMIN_OF_LOG
    },
];
