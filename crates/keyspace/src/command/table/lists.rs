//! Lists.

use super::{BASE, arg, categories, flags, key, key_flags, range};
use crate::command::{Command, Group, Handler, lists};

pub(super) static LISTS: &[Command] = &[
    Command {
        name: "llen",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO))],
        categories: categories!(LIST),
        since: "1.0.0",
        summary: "Tells the length of a list.",
        group: Group::List,
        arguments: &[key("key", 0)],
        handler: Handler::Read(lists::llen),
        ..BASE
    },
    Command {
        name: "lpop",
        arity: -2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS DELETE))],
        categories: categories!(LIST),
        since: "1.0.0",
        complexity: "O(N) in the number of elements returned",
        summary: "Takes elements from the beginning of a list.",
        group: Group::List,
        arguments: &[key("key", 0), arg("count", "integer").optional()],
        handler: Handler::Write(lists::lpop),
        ..BASE
    },
    Command {
        name: "lpush",
        arity: -3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(LIST),
        since: "1.0.0",
        complexity: "O(1) for each element",
        summary: "Adds elements at the beginning of a list.",
        group: Group::List,
        arguments: &[key("key", 0), arg("element", "string").multiple()],
        handler: Handler::Write(lists::lpush),
        ..BASE
    },
    Command {
        name: "lpushx",
        arity: -3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(LIST),
        since: "2.2.0",
        complexity: "O(1) for each element",
        summary: "Adds elements at the beginning of a list that exists.",
        group: Group::List,
        arguments: &[key("key", 0), arg("element", "string").multiple()],
        handler: Handler::Write(lists::lpushx),
        ..BASE
    },
    Command {
        name: "lrange",
        arity: 4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(LIST),
        since: "1.0.0",
        complexity: "O(N) in the number of elements up to the last one returned",
        summary: "Returns a part of a list.",
        group: Group::List,
        arguments: &[key("key", 0), arg("start", "integer"), arg("stop", "integer")],
        handler: Handler::Read(lists::lrange),
        ..BASE
    },
    Command {
        name: "rpop",
        arity: -2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS DELETE))],
        categories: categories!(LIST),
        since: "1.0.0",
        complexity: "O(N) in the number of elements returned",
        summary: "Takes elements from the end of a list.",
        group: Group::List,
        arguments: &[key("key", 0), arg("count", "integer").optional()],
        handler: Handler::Write(lists::rpop),
        ..BASE
    },
    Command {
        name: "rpush",
        arity: -3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(LIST),
        since: "1.0.0",
        complexity: "O(1) for each element",
        summary: "Adds elements at the end of a list.",
        group: Group::List,
        arguments: &[key("key", 0), arg("element", "string").multiple()],
        handler: Handler::Write(lists::rpush),
        ..BASE
    },
    Command {
        name: "rpushx",
        arity: -3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(LIST),
        since: "2.2.0",
        complexity: "O(1) for each element",
        summary: "Adds elements at the end of a list that exists.",
        group: Group::List,
        arguments: &[key("key", 0), arg("element", "string").multiple()],
        handler: Handler::Write(lists::rpushx),
        ..BASE
    },
];
