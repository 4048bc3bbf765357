//! The connection.

use super::{BASE, arg, block, categories, flags, one_of, token};
use crate::command::{Command, Group, Handler, ScriptPolicy, connection};

pub(super) static CONNECTION: &[Command] = &[
    Command {
        name: "auth",
        arity: -2,
        flags: flags!(NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY),
        categories: categories!(CONNECTION),
        since: "1.0.0",
        complexity: "O(N) in the number of passwords of the user",
        summary: "Proves who the client is.",
        group: Group::Connection,
        arguments: &[arg("username", "string").optional(), arg("password", "string")],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "client",
        arity: -2,
        since: "2.4.0",
        summary: "Container for commands about connections.",
        group: Group::Connection,
        subcommands: &[
            Command {
                name: "client|caching",
                arity: 3,
                flags: flags!(NOSCRIPT LOADING STALE),
                summary: "Says whether the client keeps what the next command reads.",
                arguments: &[one_of("mode", &[token("yes", "YES"), token("no", "NO")])],
                categories: categories!(CONNECTION),
                since: "6.0.0",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|getname",
                arity: 2,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.6.9",
                summary: "Tells the connection's name.",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|getredir",
                arity: 2,
                flags: flags!(NOSCRIPT LOADING STALE),
                summary: "Tells which client hears of changes instead of this one.",
                categories: categories!(CONNECTION),
                since: "6.0.0",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(CONNECTION),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Connection,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|id",
                arity: 2,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "5.0.0",
                summary: "Tells the number of the connection.",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|info",
                arity: 2,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "6.2.0",
                summary: "Describes the connection.",
                group: Group::Connection,
                tips: &["nondeterministic_output"],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|kill",
                arity: -3,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.4.0",
                complexity: "O(N) in the number of connections",
                summary: "Closes connections of this node.",
                group: Group::Connection,
                arguments: &[one_of(
                    "filter",
                    &[
                        arg("ip:port", "string"),
                        one_of(
                            "new-format",
                            &[
                                arg("client-id", "integer").behind("ID").optional(),
                                one_of(
                                    "normal_master_slave_pubsub",
                                    &[
                                        token("normal", "NORMAL"),
                                        token("master", "MASTER"),
                                        token("slave", "SLAVE"),
                                        token("replica", "REPLICA"),
                                        token("pubsub", "PUBSUB"),
                                    ],
                                )
                                .behind("TYPE")
                                .optional(),
                                arg("username", "string").behind("USER").optional(),
                                arg("ip:port", "string").behind("ADDR").optional(),
                                arg("ip:port", "string").behind("LADDR").optional(),
                                arg("yes/no", "string").behind("SKIPME").optional(),
                            ],
                        )
                        .multiple(),
                    ],
                )],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|list",
                arity: -2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.4.0",
                complexity: "O(N) in the number of connections",
                summary: "Describes the connections of this node.",
                group: Group::Connection,
                tips: &["nondeterministic_output"],
                arguments: &[
                    one_of(
                        "normal_master_replica_pubsub",
                        &[
                            token("normal", "NORMAL"),
                            token("master", "MASTER"),
                            token("replica", "REPLICA"),
                            token("pubsub", "PUBSUB"),
                        ],
                    )
                    .behind("TYPE")
                    .optional(),
                    block("id", &[arg("client-id", "integer").multiple()]).behind("ID").optional(),
                ],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|no-evict",
                arity: 3,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.0.0",
                summary: "Exempts the connection from being closed for its memory.",
                group: Group::Connection,
                arguments: &[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|no-touch",
                arity: 3,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.2.0",
                summary: "Lets the connection's reads leave no trace in usage data.",
                group: Group::Connection,
                arguments: &[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|pause",
                arity: -3,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.9.50",
                summary: "Lets clients of this node wait.",
                group: Group::Connection,
                arguments: &[
                    arg("timeout", "integer"),
                    one_of("mode", &[token("write", "WRITE"), token("all", "ALL")]).optional(),
                ],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|reply",
                arity: 3,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "3.2.0",
                summary: "Says whether the connection wants replies.",
                group: Group::Connection,
                arguments: &[one_of(
                    "on_off_skip",
                    &[token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")],
                )],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|setinfo",
                arity: 4,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "7.2.0",
                summary: "Notes the name or version of the client's library.",
                group: Group::Connection,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                arguments: &[one_of(
                    "attr",
                    &[arg("libname", "string").behind("LIB-NAME"), arg("libver", "string").behind("LIB-VER")],
                )],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|setname",
                arity: 3,
                flags: flags!(NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "2.6.9",
                summary: "Names the connection.",
                group: Group::Connection,
                arguments: &[arg("connection-name", "string")],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|tracking",
                arity: -3,
                flags: flags!(NOSCRIPT LOADING STALE),
                summary: "Has the client told when keys change whose values it keeps.",
                arguments: &[
                    one_of("status", &[token("on", "ON"), token("off", "OFF")]),
                    arg("client-id", "integer").behind("REDIRECT").optional(),
                    arg("prefix", "string").behind("PREFIX").optional().multiple(),
                    token("bcast", "BCAST").optional(),
                    token("optin", "OPTIN").optional(),
                    token("optout", "OPTOUT").optional(),
                    token("noloop", "NOLOOP").optional(),
                ],
                categories: categories!(CONNECTION),
                since: "6.0.0",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|trackinginfo",
                arity: 2,
                flags: flags!(NOSCRIPT LOADING STALE),
                summary: "Tells what CLIENT TRACKING was asked for.",
                categories: categories!(CONNECTION),
                since: "6.2.0",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|unblock",
                arity: -3,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "5.0.0",
                complexity: "O(N) in the number of connections of this node",
                summary: "Ends the waiting of another client of this node.",
                group: Group::Connection,
                arguments: &[
                    arg("client-id", "integer"),
                    one_of("unblock-type", &[token("timeout", "TIMEOUT"), token("error", "ERROR")])
                        .optional(),
                ],
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "client|unpause",
                arity: 2,
                flags: flags!(ADMIN NOSCRIPT LOADING STALE),
                categories: categories!(CONNECTION),
                since: "6.2.0",
                complexity: "O(N) in the number of clients that wait",
                summary: "Lets clients that wait go on.",
                group: Group::Connection,
                script: ScriptPolicy::Refused,
                handler: Handler::Session,
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "echo",
        arity: 2,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "1.0.0",
        summary: "Answers the given text.",
        group: Group::Connection,
        arguments: &[arg("message", "string")],
        handler: Handler::Connection(connection::echo),
        ..BASE
    },
    Command {
        name: "hello",
        arity: -1,
        flags: flags!(NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY),
        categories: categories!(CONNECTION),
        since: "6.0.0",
        summary: "Chooses the protocol, and may authenticate and name the connection.",
        group: Group::Connection,
        arguments: &[block(
            "arguments",
            &[
                arg("protover", "integer"),
                block("username_password", &[arg("username", "string"), arg("password", "string")])
                    .behind("AUTH")
                    .optional(),
                arg("clientname", "string").behind("SETNAME").optional(),
            ],
        )
        .optional()],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "ping",
        arity: -1,
        flags: flags!(FAST),
        categories: categories!(CONNECTION),
        since: "1.0.0",
        summary: "Answers PONG or the given text.",
        group: Group::Connection,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        arguments: &[arg("message", "string").optional()],
        handler: Handler::Connection(connection::ping),
        ..BASE
    },
    Command {
        name: "quit",
        arity: -1,
        flags: flags!(NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY),
        categories: categories!(CONNECTION),
        since: "1.0.0",
        summary: "Closes the connection.",
        group: Group::Connection,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "reset",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY),
        categories: categories!(CONNECTION),
        since: "6.2.0",
        summary: "Sets the connection back to how it began.",
        group: Group::Connection,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "select",
        arity: 2,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "1.0.0",
        summary: "Chooses the database of the connection.",
        group: Group::Connection,
        arguments: &[arg("index", "integer")],
        handler: Handler::Connection(connection::select),
        ..BASE
    },
];
