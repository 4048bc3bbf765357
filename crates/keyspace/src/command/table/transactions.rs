//! Transactions.

use super::{BASE, categories, flags, key, key_flags, range};
use crate::command::{Command, Group, Handler, ScriptPolicy};

pub(super) static TRANSACTIONS: &[Command] = &[
    Command {
        name: "discard",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE FAST ALLOW_BUSY),
        categories: categories!(TRANSACTION),
        since: "2.0.0",
        complexity: "O(N) in the number of commands queued",
        summary: "Drops the transaction.",
        group: Group::Transactions,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "exec",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE SKIP_SLOWLOG),
        categories: categories!(TRANSACTION),
        since: "1.2.0",
        complexity: "That of the commands queued",
        summary: "Carries out the transaction.",
        group: Group::Transactions,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "multi",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE FAST ALLOW_BUSY),
        categories: categories!(TRANSACTION),
        since: "1.2.0",
        summary: "Begins a transaction.",
        group: Group::Transactions,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "unwatch",
        arity: 1,
        flags: flags!(NOSCRIPT LOADING STALE FAST ALLOW_BUSY),
        categories: categories!(TRANSACTION),
        since: "2.2.0",
        summary: "Forgets the watched keys.",
        group: Group::Transactions,
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "watch",
        arity: -2,
        flags: flags!(NOSCRIPT LOADING STALE FAST ALLOW_BUSY),
        keys: &[range(1, -1, 1, key_flags!(RO))],
        categories: categories!(TRANSACTION),
        since: "2.2.0",
        complexity: "O(1) for each key",
        summary: "Makes the next transaction depend on keys staying as they are.",
        group: Group::Transactions,
        arguments: &[key("key", 0).multiple()],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
];
