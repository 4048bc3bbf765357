//! Access control.

use super::{BASE, arg, flags, one_of, token};
use crate::command::{Command, Flags, Group, Handler, ScriptPolicy, acl};

/// What anybody may ask.
const OPEN: Flags = flags!(NOSCRIPT LOADING STALE);

/// What is for administrators.
const ADMIN: Flags = flags!(ADMIN NOSCRIPT LOADING STALE);

/// What all of them have in common.
const PART: Command =
    Command { flags: ADMIN, since: "6.0.0", group: Group::Server, script: ScriptPolicy::Refused, ..BASE };

pub(super) static ACL: &[Command] = &[Command {
    name: "acl",
    arity: -2,
    since: "6.0.0",
    summary: "Container for commands about users and what they may do.",
    group: Group::Server,
    subcommands: &[
        Command {
            name: "acl|cat",
            arity: -2,
            flags: OPEN,
            summary: "Lists the categories of commands, or the commands of one.",
            arguments: &[arg("category", "string").optional()],
            handler: Handler::Read(acl::cat),
            ..PART
        },
        Command {
            name: "acl|deluser",
            arity: -3,
            complexity: "O(N) in the number of users",
            summary: "Deletes users and closes their connections, on every node.",
            arguments: &[arg("username", "string").multiple()],
            handler: Handler::Write(acl::deluser),
            ..PART
        },
        Command {
            name: "acl|dryrun",
            arity: -4,
            since: "7.0.0",
            summary: "Tells whether a user may do what a command line says, without doing it.",
            arguments: &[
                arg("username", "string"),
                arg("command", "string"),
                arg("arg", "string").optional().multiple(),
            ],
            handler: Handler::Read(acl::dryrun),
            ..PART
        },
        Command {
            name: "acl|genpass",
            arity: -2,
            flags: OPEN,
            summary: "Makes a password that nobody can guess.",
            arguments: &[arg("bits", "integer").optional()],
            handler: Handler::Session,
            ..PART
        },
        Command {
            name: "acl|getuser",
            arity: 3,
            complexity: "O(N) in the number of rules of the user",
            summary: "Tells the rules of a user, part by part.",
            arguments: &[arg("username", "string")],
            handler: Handler::Read(acl::getuser),
            ..PART
        },
        Command {
            name: "acl|help",
            arity: 2,
            flags: flags!(LOADING STALE),
            summary: "Lists the subcommands.",
            script: ScriptPolicy::Allowed,
            handler: Handler::Session,
            ..PART
        },
        Command {
            name: "acl|list",
            arity: 2,
            complexity: "O(N) in the number of users",
            summary: "Tells the rules of all users, a line for each.",
            handler: Handler::Read(acl::list),
            ..PART
        },
        Command {
            name: "acl|load",
            arity: 2,
            complexity: "O(N) in the number of users",
            summary: "Fails: users are in the log, not in a file.",
            handler: Handler::Session,
            ..PART
        },
        Command {
            name: "acl|log",
            arity: -2,
            complexity: "O(N) in the number of entries told",
            summary: "Tells what was refused lately on this node.",
            arguments: &[one_of("operation", &[arg("count", "integer"), token("reset", "RESET")]).optional()],
            handler: Handler::Session,
            ..PART
        },
        Command {
            name: "acl|save",
            arity: 2,
            complexity: "O(N) in the number of users",
            summary: "Fails: users are in the log, not in a file.",
            handler: Handler::Session,
            ..PART
        },
        Command {
            name: "acl|setuser",
            arity: -3,
            complexity: "O(N) in the number of rules",
            summary: "Makes or changes a user, on every node.",
            arguments: &[arg("username", "string"), arg("rule", "string").optional().multiple()],
            handler: Handler::Write(acl::setuser),
            ..PART
        },
        Command {
            name: "acl|users",
            arity: 2,
            complexity: "O(N) in the number of users",
            summary: "Lists the names of all users.",
            handler: Handler::Read(acl::users),
            ..PART
        },
        Command {
            name: "acl|whoami",
            arity: 2,
            flags: OPEN,
            summary: "Tells the name of the connection's user.",
            handler: Handler::Session,
            ..PART
        },
    ],
    handler: Handler::Container,
    ..BASE
}];
