//! Streams.

use super::{BASE, arg, block, categories, flags, key, key_flags, one_of, range, token};
use crate::command::{
    Argument, Begin, Command, Find, Group, Handler, KeySpec,
    streams::{self, claim, groups, info, read},
    waiting,
};

/// The keys behind `STREAMS`, which is looked for from a position on.
const fn read_keys(from: usize) -> KeySpec {
    let flags = key_flags!(RO ACCESS);
    KeySpec { flags, begin: Begin::Keyword("STREAMS", from), find: Find::Part { parts: 2, step: 1 } }
}

const TRIM: Argument = block(
    "trim",
    &[
        one_of("strategy", &[token("maxlen", "MAXLEN"), token("minid", "MINID")]),
        one_of("operator", &[token("equal", "="), token("approximately", "~")]).optional(),
        arg("threshold", "string"),
        arg("count", "integer").behind("LIMIT").optional(),
    ],
);

const STREAM_KEYS: Argument =
    block("streams", &[key("key", 0).multiple(), arg("id", "string").multiple()]).behind("STREAMS");

const GROUP_ID: Argument = one_of("id-selector", &[arg("id", "string"), token("new-id", "$")]);

pub(super) static STREAMS: &[Command] = &[
    Command {
        name: "xack",
        arity: -4,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(1) for each id",
        summary: "Takes entries from those that a group has not acknowledged.",
        group: Group::Stream,
        arguments: &[key("key", 0), arg("group", "string"), arg("id", "string").multiple()],
        handler: Handler::Write(groups::xack),
        ..BASE
    },
    Command {
        name: "xadd",
        arity: -5,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(1) to add, and O(N) in the number of entries trimmed",
        summary: "Adds an entry to a stream.",
        group: Group::Stream,
        tips: &["nondeterministic_output"],
        arguments: &[
            key("key", 0),
            token("nomkstream", "NOMKSTREAM").optional(),
            TRIM.optional(),
            one_of("id-selector", &[token("auto-id", "*"), arg("id", "string")]),
            block("data", &[arg("field", "string"), arg("value", "string")]).multiple(),
        ],
        handler: Handler::Write(streams::xadd),
        ..BASE
    },
    Command {
        name: "xautoclaim",
        arity: -6,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW DELETE))],
        categories: categories!(STREAM),
        since: "6.2.0",
        complexity: "O(1) for a small count",
        summary: "Gives a consumer entries that others have left unacknowledged for long.",
        group: Group::Stream,
        tips: &["nondeterministic_output"],
        arguments: &[
            key("key", 0),
            arg("group", "string"),
            arg("consumer", "string"),
            arg("min-idle-time", "string"),
            arg("start", "string"),
            arg("count", "integer").behind("COUNT").optional(),
            token("justid", "JUSTID").optional(),
        ],
        handler: Handler::Write(claim::xautoclaim),
        ..BASE
    },
    Command {
        name: "xclaim",
        arity: -6,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(log(N)) in the number of entries not acknowledged, for each id",
        summary: "Gives a consumer entries that were delivered to another.",
        group: Group::Stream,
        tips: &["nondeterministic_output"],
        arguments: &[
            key("key", 0),
            arg("group", "string"),
            arg("consumer", "string"),
            arg("min-idle-time", "string"),
            arg("id", "string").multiple(),
            arg("ms", "integer").behind("IDLE").optional(),
            arg("unix-time-milliseconds", "unix-time").behind("TIME").optional(),
            arg("count", "integer").behind("RETRYCOUNT").optional(),
            token("force", "FORCE").optional(),
            token("justid", "JUSTID").optional(),
            arg("lastid", "string").behind("LASTID").optional(),
        ],
        handler: Handler::Write(claim::xclaim),
        ..BASE
    },
    Command {
        name: "xdel",
        arity: -3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW DELETE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(1) for each id",
        summary: "Removes entries from a stream.",
        group: Group::Stream,
        arguments: &[key("key", 0), arg("id", "string").multiple()],
        handler: Handler::Write(streams::xdel),
        ..BASE
    },
    Command {
        name: "xgroup",
        arity: -2,
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        summary: "Container for groups of consumers.",
        group: Group::Stream,
        subcommands: &[
            Command {
                name: "xgroup|create",
                arity: -5,
                flags: flags!(WRITE DENYOOM),
                keys: &[range(2, 0, 1, key_flags!(RW INSERT))],
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Makes a group of consumers.",
                group: Group::Stream,
                arguments: &[
                    key("key", 0),
                    arg("group", "string"),
                    GROUP_ID,
                    token("mkstream", "MKSTREAM").optional(),
                    arg("entries-read", "integer").behind("ENTRIESREAD").optional(),
                ],
                handler: Handler::Write(groups::create),
                ..BASE
            },
            Command {
                name: "xgroup|createconsumer",
                arity: 5,
                flags: flags!(WRITE DENYOOM),
                keys: &[range(2, 0, 1, key_flags!(RW INSERT))],
                categories: categories!(STREAM),
                since: "6.2.0",
                summary: "Makes a consumer in a group.",
                group: Group::Stream,
                arguments: &[key("key", 0), arg("group", "string"), arg("consumer", "string")],
                handler: Handler::Write(groups::create_consumer),
                ..BASE
            },
            Command {
                name: "xgroup|delconsumer",
                arity: 5,
                flags: flags!(WRITE),
                keys: &[range(2, 0, 1, key_flags!(RW DELETE))],
                categories: categories!(STREAM),
                since: "5.0.0",
                complexity: "O(N) in the number of entries it has not acknowledged",
                summary: "Removes a consumer from a group.",
                group: Group::Stream,
                arguments: &[key("key", 0), arg("group", "string"), arg("consumer", "string")],
                handler: Handler::Write(groups::delete_consumer),
                ..BASE
            },
            Command {
                name: "xgroup|destroy",
                arity: 4,
                flags: flags!(WRITE),
                keys: &[range(2, 0, 1, key_flags!(RW DELETE))],
                categories: categories!(STREAM),
                since: "5.0.0",
                complexity: "O(N) in the number of entries not acknowledged",
                summary: "Removes a group of consumers.",
                group: Group::Stream,
                arguments: &[key("key", 0), arg("group", "string")],
                handler: Handler::Write(groups::destroy),
                ..BASE
            },
            Command {
                name: "xgroup|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Stream,
                handler: Handler::Read(groups::help),
                ..BASE
            },
            Command {
                name: "xgroup|setid",
                arity: -5,
                flags: flags!(WRITE),
                keys: &[range(2, 0, 1, key_flags!(RW UPDATE))],
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Sets up to where entries count as delivered to a group.",
                group: Group::Stream,
                arguments: &[
                    key("key", 0),
                    arg("group", "string"),
                    GROUP_ID,
                    arg("entries-read", "integer").behind("ENTRIESREAD").optional(),
                ],
                handler: Handler::Write(groups::set_id),
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "xinfo",
        arity: -2,
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        summary: "Container for what is known of streams.",
        group: Group::Stream,
        subcommands: &[
            Command {
                name: "xinfo|consumers",
                arity: 4,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO ACCESS))],
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Tells about the consumers of a group.",
                group: Group::Stream,
                tips: &["nondeterministic_output"],
                arguments: &[key("key", 0), arg("group", "string")],
                handler: Handler::Read(info::consumers),
                ..BASE
            },
            Command {
                name: "xinfo|groups",
                arity: 3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO ACCESS))],
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Tells about the groups of a stream.",
                group: Group::Stream,
                arguments: &[key("key", 0)],
                handler: Handler::Read(info::groups),
                ..BASE
            },
            Command {
                name: "xinfo|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Stream,
                handler: Handler::Read(info::help),
                ..BASE
            },
            Command {
                name: "xinfo|stream",
                arity: -3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO ACCESS))],
                categories: categories!(STREAM),
                since: "5.0.0",
                summary: "Tells about a stream.",
                group: Group::Stream,
                arguments: &[
                    key("key", 0),
                    block(
                        "full-block",
                        &[token("full", "FULL"), arg("count", "integer").behind("COUNT").optional()],
                    )
                    .optional(),
                ],
                handler: Handler::Read(info::stream),
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "xlen",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO))],
        categories: categories!(STREAM),
        since: "5.0.0",
        summary: "Tells how many entries a stream has.",
        group: Group::Stream,
        arguments: &[key("key", 0)],
        handler: Handler::Read(streams::xlen),
        ..BASE
    },
    Command {
        name: "xpending",
        arity: -3,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries returned, or looked at with IDLE",
        summary: "Tells what a group has not acknowledged.",
        group: Group::Stream,
        tips: &["nondeterministic_output"],
        arguments: &[
            key("key", 0),
            arg("group", "string"),
            block(
                "filters",
                &[
                    arg("min-idle-time", "integer").behind("IDLE").optional(),
                    arg("start", "string"),
                    arg("end", "string"),
                    arg("count", "integer"),
                    arg("consumer", "string").optional(),
                ],
            )
            .optional(),
        ],
        handler: Handler::Read(groups::xpending),
        ..BASE
    },
    Command {
        name: "xrange",
        arity: -4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries returned",
        summary: "Returns the entries between two ids.",
        group: Group::Stream,
        arguments: &[
            key("key", 0),
            arg("start", "string"),
            arg("end", "string"),
            arg("count", "integer").behind("COUNT").optional(),
        ],
        handler: Handler::Read(streams::xrange),
        ..BASE
    },
    Command {
        name: "xread",
        arity: -4,
        flags: flags!(READONLY BLOCKING MOVABLEKEYS),
        keys: &[read_keys(1)],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries returned",
        summary: "Returns the entries behind an id of each stream, and can wait for some.",
        group: Group::Stream,
        arguments: &[
            arg("count", "integer").behind("COUNT").optional(),
            arg("milliseconds", "integer").behind("BLOCK").optional(),
            STREAM_KEYS,
        ],
        handler: Handler::ReadOrWait {
            read: read::xread,
            wait: waiting::streams::xread,
            waits: waiting::streams::asks_to_wait,
        },
        ..BASE
    },
    Command {
        name: "xreadgroup",
        arity: -7,
        flags: flags!(WRITE BLOCKING MOVABLEKEYS),
        keys: &[read_keys(4)],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries returned",
        summary: "Returns entries for one consumer of a group, and can wait for some.",
        group: Group::Stream,
        arguments: &[
            block("group-block", &[arg("group", "string"), arg("consumer", "string")]).behind("GROUP"),
            arg("count", "integer").behind("COUNT").optional(),
            arg("milliseconds", "integer").behind("BLOCK").optional(),
            token("noack", "NOACK").optional(),
            STREAM_KEYS,
        ],
        handler: Handler::Write(waiting::streams::xreadgroup),
        ..BASE
    },
    Command {
        name: "xrevrange",
        arity: -4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries returned",
        summary: "Returns the entries between two ids, last ones first.",
        group: Group::Stream,
        arguments: &[
            key("key", 0),
            arg("end", "string"),
            arg("start", "string"),
            arg("count", "integer").behind("COUNT").optional(),
        ],
        handler: Handler::Read(streams::xrevrange),
        ..BASE
    },
    Command {
        name: "xsetid",
        arity: -3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        summary: "Sets the last id of a stream, for replication.",
        group: Group::Stream,
        arguments: &[
            key("key", 0),
            arg("last-id", "string"),
            arg("entries-added", "integer").behind("ENTRIESADDED").optional(),
            arg("max-deleted-id", "string").behind("MAXDELETEDID").optional(),
        ],
        handler: Handler::Write(streams::xsetid),
        ..BASE
    },
    Command {
        name: "xtrim",
        arity: -4,
        flags: flags!(WRITE),
        keys: &[range(1, 0, 1, key_flags!(RW DELETE))],
        categories: categories!(STREAM),
        since: "5.0.0",
        complexity: "O(N) in the number of entries trimmed",
        summary: "Removes entries from the beginning of a stream.",
        group: Group::Stream,
        tips: &["nondeterministic_output"],
        arguments: &[key("key", 0), TRIM],
        handler: Handler::Write(streams::xtrim),
        ..BASE
    },
];
