//! The server.

use super::{BASE, arg, block, categories, flags, one_of, token};
use crate::command::{Command, Group, Handler, ScriptPolicy, connection, databases, introspect};

pub(super) static SERVER: &[Command] = &[
    Command {
        name: "command",
        arity: -1,
        flags: flags!(LOADING STALE),
        categories: categories!(CONNECTION),
        since: "2.8.13",
        complexity: "O(N) in the number of commands",
        summary: "Describes all commands.",
        group: Group::Server,
        tips: &["nondeterministic_output_order"],
        subcommands: &[
            Command {
                name: "command|count",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.8.13",
                summary: "Counts the commands.",
                group: Group::Server,
                handler: Handler::Connection(introspect::command_count),
                ..BASE
            },
            Command {
                name: "command|docs",
                arity: -2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.0.0",
                complexity: "O(N) in the number of commands asked for",
                summary: "Documents commands.",
                group: Group::Server,
                tips: &["nondeterministic_output_order"],
                arguments: &[arg("command-name", "string").optional().multiple()],
                handler: Handler::Connection(introspect::command_docs),
                ..BASE
            },
            Command {
                name: "command|getkeys",
                arity: -3,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.8.13",
                complexity: "O(N) in the number of arguments",
                summary: "Names the keys of a command line.",
                group: Group::Server,
                handler: Handler::Connection(introspect::command_getkeys),
                ..BASE
            },
            Command {
                name: "command|getkeysandflags",
                arity: -3,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.0.0",
                complexity: "O(N) in the number of arguments",
                summary: "Names the keys of a command line and what becomes of them.",
                group: Group::Server,
                handler: Handler::Connection(introspect::command_getkeysandflags),
                ..BASE
            },
            Command {
                name: "command|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Server,
                handler: Handler::Connection(introspect::command_help),
                ..BASE
            },
            Command {
                name: "command|info",
                arity: -2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.8.13",
                complexity: "O(N) in the number of commands asked for",
                summary: "Describes commands.",
                group: Group::Server,
                tips: &["nondeterministic_output_order"],
                arguments: &[arg("command-name", "string").optional().multiple()],
                handler: Handler::Connection(introspect::command_info),
                ..BASE
            },
            Command {
                name: "command|list",
                arity: -2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.0.0",
                complexity: "O(N) in the number of commands",
                summary: "Lists the names of commands.",
                group: Group::Server,
                tips: &["nondeterministic_output_order"],
                arguments: &[one_of(
                    "filterby",
                    &[
                        arg("module-name", "string").behind("MODULE"),
                        arg("category", "string").behind("ACLCAT"),
                        arg("pattern", "pattern").behind("PATTERN"),
                    ],
                )
                .behind("FILTERBY")
                .optional()],
                handler: Handler::Connection(introspect::command_list),
                ..BASE
            },
        ],
        handler: Handler::Connection(introspect::command),
        ..BASE
    },
    Command {
        name: "config",
        arity: -2,
        since: "2.0.0",
        summary: "Container for commands about parameters.",
        group: Group::Server,
        subcommands: &[
            Command {
                name: "config|get",
                arity: -3,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "2.0.0",
                complexity: "O(N) in the number of parameters named",
                summary: "Returns parameters.",
                group: Group::Server,
                arguments: &[block("parameter", &[arg("parameter", "string")]).multiple()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "config|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Server,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "config|resetstat",
                arity: 2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "2.0.0",
                summary: "Sets the statistics back to zero.",
                group: Group::Server,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "config|rewrite",
                arity: 2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "2.8.0",
                summary: "Writes the parameters into the configuration file.",
                group: Group::Server,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "config|set",
                arity: -4,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "2.0.0",
                complexity: "O(N) in the number of parameters",
                summary: "Sets parameters.",
                group: Group::Server,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                arguments: &[block("parameter_value", &[arg("parameter", "string"), arg("value", "string")])
                    .multiple()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "dbsize",
        arity: 1,
        flags: flags!(READONLY FAST),
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Counts the keys of the database.",
        group: Group::Server,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        handler: Handler::Read(databases::dbsize),
        ..BASE
    },
    Command {
        name: "debug",
        arity: -2,
        flags: flags!(ADMIN NOSCRIPT LOADING STALE),
        since: "1.0.0",
        complexity: "That of the subcommand",
        summary: "Container for tests of the server: SLEEP lets every replica stand still.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(connection::debug),
        ..BASE
    },
    Command {
        name: "flushall",
        arity: -1,
        flags: flags!(WRITE),
        categories: categories!(KEYSPACE DANGEROUS),
        since: "1.0.0",
        summary: "Removes all keys of all databases.",
        group: Group::Server,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[one_of("async", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional()],
        handler: Handler::Write(databases::flushall),
        ..BASE
    },
    Command {
        name: "flushdb",
        arity: -1,
        flags: flags!(WRITE),
        categories: categories!(KEYSPACE DANGEROUS),
        since: "1.0.0",
        summary: "Removes all keys of the database.",
        group: Group::Server,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[one_of("async", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional()],
        handler: Handler::Write(databases::flushdb),
        ..BASE
    },
    Command {
        name: "info",
        arity: -1,
        flags: flags!(LOADING STALE),
        categories: categories!(DANGEROUS),
        since: "1.0.0",
        summary: "Tells how the server fares.",
        group: Group::Server,
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        arguments: &[arg("section", "string").optional().multiple()],
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "quorate",
        arity: -2,
        since: "7.2.0",
        summary: "Container for what Redis does not have.",
        group: Group::Server,
        subcommands: &[
            Command {
                name: "quorate|digest",
                arity: -2,
                flags: flags!(LOADING STALE NOSCRIPT),
                since: "7.2.0",
                summary: "Tells the digests of the state.",
                group: Group::Cluster,
                arguments: &[arg("argument", "string").optional().multiple()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "quorate|failover",
                arity: -2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "7.2.0",
                summary: "Hands leadership over.",
                group: Group::Cluster,
                arguments: &[arg("node-id", "integer").optional()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "quorate|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                since: "7.2.0",
                summary: "Lists the subcommands.",
                group: Group::Cluster,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "quorate|node",
                arity: -2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                since: "7.2.0",
                summary: "Adds, removes, promotes and lists nodes.",
                group: Group::Cluster,
                arguments: &[arg("argument", "string").optional().multiple()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "quorate|status",
                arity: -2,
                flags: flags!(LOADING STALE NOSCRIPT),
                since: "7.2.0",
                summary: "Tells the state of the shard's replicas.",
                group: Group::Cluster,
                arguments: &[arg("argument", "string").optional().multiple()],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "role",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE FAST),
        categories: categories!(DANGEROUS ADMIN),
        since: "2.8.12",
        summary: "Tells the part this node plays in replication.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "shutdown",
        arity: -1,
        flags: flags!(ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY),
        since: "1.0.0",
        summary: "Stops the node after handing over its leadership.",
        group: Group::Server,
        arguments: &[
            one_of("nosave_save", &[token("nosave", "NOSAVE"), token("save", "SAVE")]).optional(),
            token("now", "NOW").optional(),
            token("force", "FORCE").optional(),
            token("abort", "ABORT").optional(),
        ],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: flags!(WRITE FAST),
        categories: categories!(KEYSPACE DANGEROUS),
        since: "4.0.0",
        summary: "Exchanges two databases.",
        group: Group::Server,
        arguments: &[arg("index1", "integer"), arg("index2", "integer")],
        handler: Handler::Write(databases::swapdb),
        ..BASE
    },
    Command {
        name: "time",
        arity: 1,
        flags: flags!(LOADING STALE FAST),
        since: "2.6.0",
        summary: "Tells the server's time.",
        group: Group::Server,
        tips: &["nondeterministic_output"],
        handler: Handler::Connection(connection::time),
        ..BASE
    },
];
