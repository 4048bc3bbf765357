//! What only Quorate itself writes, or asks.

use super::{BASE, flags};
use crate::command::{Command, Group, Handler, ScriptPolicy, internal, migrate};

pub(super) static INTERNAL: &[Command] = &[
    Command {
        name: "\0bootstrap",
        arity: -3,
        flags: flags!(WRITE INTERNAL),
        summary: "Sets the secret of all hashes and the id of the cluster, once.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::bootstrap),
        ..BASE
    },
    Command {
        name: "\0directory.set",
        arity: -3,
        flags: flags!(WRITE INTERNAL),
        summary: "Sets replicated settings: name, value, name, value, ...",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::directory_set),
        ..BASE
    },
    Command {
        name: "\0directory.remove",
        arity: -2,
        flags: flags!(WRITE INTERNAL),
        summary: "Removes replicated settings.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::directory_remove),
        ..BASE
    },
    Command {
        name: "\0unblock",
        arity: 3,
        flags: flags!(WRITE INTERNAL),
        summary: "Ends the waiting of a command.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::unblock),
        ..BASE
    },
    Command {
        name: "\0drop-waiters",
        arity: 4,
        flags: flags!(WRITE INTERNAL),
        summary: "Ends the waiting of all commands of a node's clients.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::drop_waiters),
        ..BASE
    },
    Command {
        name: "\0evict",
        arity: -2,
        flags: flags!(WRITE INTERNAL),
        summary: "Drops keys because the leader is short of memory.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::evict),
        ..BASE
    },
    Command {
        name: "\0reclaim",
        arity: 1,
        flags: flags!(WRITE INTERNAL),
        summary: "Frees keys past their deadline because somebody has looked for one.",
        group: Group::Server,
        script: ScriptPolicy::Refused,
        handler: Handler::Write(internal::reclaim),
        ..BASE
    },
    Command {
        name: "\0extract",
        arity: -4,
        flags: flags!(READONLY INTERNAL),
        summary: "Reads keys for MIGRATE.",
        group: Group::Generic,
        script: ScriptPolicy::Refused,
        handler: Handler::Read(migrate::extract),
        ..BASE
    },
];
