//! Approximate counting.

use super::{BASE, arg, categories, flags, key, key_flags, range};
use crate::command::{Command, Group, Handler, hyperloglog};

pub(super) static HYPERLOGLOG: &[Command] = &[
    Command {
        name: "pfadd",
        arity: -2,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(HYPERLOGLOG),
        since: "2.8.9",
        complexity: "O(N) in the number of elements named",
        summary: "Adds elements to a HyperLogLog.",
        group: Group::Hyperloglog,
        arguments: &[key("key", 0), arg("element", "string").optional().multiple()],
        handler: Handler::Write(hyperloglog::pfadd),
        ..BASE
    },
    Command {
        name: "pfcount",
        arity: -2,
        flags: flags!(READONLY MAY_REPLICATE),
        keys: &[range(1, -1, 1, key_flags!(RW ACCESS))],
        categories: categories!(HYPERLOGLOG),
        since: "2.8.9",
        complexity: "O(N) in the number of keys, each of which takes some microseconds",
        summary: "Estimates how many different elements are in one or in any of several HyperLogLogs.",
        group: Group::Hyperloglog,
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Read(hyperloglog::pfcount),
        ..BASE
    },
    Command {
        name: "pfdebug",
        arity: 3,
        flags: flags!(WRITE DENYOOM ADMIN),
        keys: &[range(2, 0, 1, key_flags!(RW ACCESS))],
        categories: categories!(HYPERLOGLOG),
        since: "2.8.9",
        complexity: "O(1)",
        summary: "Shows the inside of a HyperLogLog.",
        group: Group::Hyperloglog,
        arguments: &[arg("subcommand", "string"), key("key", 0)],
        handler: Handler::Write(hyperloglog::pfdebug),
        ..BASE
    },
    Command {
        name: "pfmerge",
        arity: -2,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS INSERT)), range(2, -1, 1, key_flags!(RO ACCESS))],
        categories: categories!(HYPERLOGLOG),
        since: "2.8.9",
        complexity: "O(N) in the number of keys, each of which takes some microseconds",
        summary: "Adds the elements of HyperLogLogs to one of them.",
        group: Group::Hyperloglog,
        arguments: &[key("destkey", 0), key("sourcekey", 1).optional().multiple()],
        handler: Handler::Write(hyperloglog::pfmerge),
        ..BASE
    },
    Command {
        name: "pfselftest",
        arity: 1,
        flags: flags!(ADMIN),
        categories: categories!(HYPERLOGLOG),
        since: "2.8.9",
        complexity: "O(1), some milliseconds",
        summary: "Checks the approximate counting.",
        group: Group::Hyperloglog,
        handler: Handler::Read(hyperloglog::pfselftest),
        ..BASE
    },
];
