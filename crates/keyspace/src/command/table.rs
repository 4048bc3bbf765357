//! The table of all commands.
//!
//! Names, arities, flags, key positions and access categories are those of Redis 7.2, which clients rely on.

use super::{
    Argument, ArgumentFlags, Begin, Categories, Command, Find, Flags, Group, Handler, KeyFlags, KeySpec,
    ScriptPolicy, connection, databases, internal, introspect, keys, lists, strings,
};

/// All commands that clients may call, family by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The commands that only Quorate itself writes into the log. Their names begin with a NUL, so that no client's
/// command can be taken for one.
pub fn internal() -> impl Iterator<Item = &'static Command> {
    INTERNAL.iter()
}

static FAMILIES: &[&[Command]] = &[STRINGS, LISTS, KEYS, TRANSACTIONS, CONNECTION, SERVER, CLUSTER];

/// What most commands have in common.
const BASE: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    keys: &[],
    categories: Categories::empty(),
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    group: Group::Generic,
    tips: &[],
    arguments: &[],
    subcommands: &[],
    script: ScriptPolicy::Allowed,
    handler: Handler::Session,
};

macro_rules! flags {
    ($($flag:ident)*) => { Flags::empty()$(.union(Flags::$flag))* };
}

macro_rules! categories {
    ($($category:ident)*) => { Categories::empty()$(.union(Categories::$category))* };
}

macro_rules! key_flags {
    ($($flag:ident)*) => { KeyFlags::empty()$(.union(KeyFlags::$flag))* };
}

/// Keys from position `first` on, see [`Find::Range`].
const fn range(first: usize, last: i32, step: usize, flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(first), find: Find::Range { last, step } }
}

/// An argument of a simple type.
const fn arg(name: &'static str, kind: &'static str) -> Argument {
    Argument { name, kind, token: "", key_spec: None, flags: ArgumentFlags::empty(), arguments: &[] }
}

/// A key, and which key specification finds it.
const fn key(name: &'static str, key_spec: u8) -> Argument {
    Argument { key_spec: Some(key_spec), ..arg(name, "key") }
}

/// A word that stands for itself.
const fn token(name: &'static str, token: &'static str) -> Argument {
    Argument { token, ..arg(name, "pure-token") }
}

/// One of several.
const fn one_of(name: &'static str, arguments: &'static [Argument]) -> Argument {
    Argument { arguments, ..arg(name, "oneof") }
}

/// Several together.
const fn block(name: &'static str, arguments: &'static [Argument]) -> Argument {
    Argument { arguments, ..arg(name, "block") }
}

impl Argument {
    const fn behind(self, token: &'static str) -> Self {
        Self { token, ..self }
    }

    const fn optional(self) -> Self {
        Self { flags: self.flags.union(ArgumentFlags::OPTIONAL), ..self }
    }

    const fn multiple(self) -> Self {
        Self { flags: self.flags.union(ArgumentFlags::MULTIPLE), ..self }
    }
}

/// Strings.
static STRINGS: &[Command] = &[
    Command {
        name: "append",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW INSERT))],
        categories: categories!(STRING),
        since: "2.0.0",
        complexity: "O(N) in the number of bytes added",
        summary: "Adds bytes to the end of a string.",
        group: Group::String,
        arguments: &[key("key", 0), arg("value", "string")],
        handler: Handler::Write(strings::append),
        ..BASE
    },
    Command {
        name: "decr",
        arity: 2,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Subtracts one from the integer a key holds.",
        group: Group::String,
        arguments: &[key("key", 0)],
        handler: Handler::Write(strings::decr),
        ..BASE
    },
    Command {
        name: "decrby",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Subtracts from the integer a key holds.",
        group: Group::String,
        arguments: &[key("key", 0), arg("decrement", "integer")],
        handler: Handler::Write(strings::decrby),
        ..BASE
    },
    Command {
        name: "get",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Returns the string a key holds.",
        group: Group::String,
        arguments: &[key("key", 0)],
        handler: Handler::Read(strings::get),
        ..BASE
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS DELETE))],
        categories: categories!(STRING),
        since: "6.2.0",
        summary: "Returns the string a key holds and removes the key.",
        group: Group::String,
        arguments: &[key("key", 0)],
        handler: Handler::Write(strings::getdel),
        ..BASE
    },
    Command {
        name: "getex",
        arity: -2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "6.2.0",
        summary: "Returns the string a key holds and changes its expiry.",
        group: Group::String,
        arguments: &[
            key("key", 0),
            one_of(
                "expiration",
                &[
                    arg("seconds", "integer").behind("EX"),
                    arg("milliseconds", "integer").behind("PX"),
                    arg("unix-time-seconds", "unix-time").behind("EXAT"),
                    arg("unix-time-milliseconds", "unix-time").behind("PXAT"),
                    token("persist", "PERSIST"),
                ],
            )
            .optional(),
        ],
        handler: Handler::Write(strings::getex),
        ..BASE
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STRING),
        since: "2.4.0",
        complexity: "O(N) in the number of bytes returned",
        summary: "Returns a part of a string.",
        group: Group::String,
        arguments: &[key("key", 0), arg("start", "integer"), arg("end", "integer")],
        handler: Handler::Read(strings::getrange),
        ..BASE
    },
    Command {
        name: "getset",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Returns the string a key holds and sets another.",
        group: Group::String,
        arguments: &[key("key", 0), arg("value", "string")],
        handler: Handler::Write(strings::getset),
        ..BASE
    },
    Command {
        name: "incr",
        arity: 2,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Adds one to the integer a key holds.",
        group: Group::String,
        arguments: &[key("key", 0)],
        handler: Handler::Write(strings::incr),
        ..BASE
    },
    Command {
        name: "incrby",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Adds to the integer a key holds.",
        group: Group::String,
        arguments: &[key("key", 0), arg("increment", "integer")],
        handler: Handler::Write(strings::incrby),
        ..BASE
    },
    Command {
        name: "incrbyfloat",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(STRING),
        since: "2.6.0",
        summary: "Adds to the number a key holds.",
        group: Group::String,
        arguments: &[key("key", 0), arg("increment", "double")],
        handler: Handler::Write(strings::incrbyfloat),
        ..BASE
    },
    Command {
        name: "lcs",
        arity: -3,
        flags: flags!(READONLY),
        keys: &[range(1, 1, 1, key_flags!(RO ACCESS))],
        categories: categories!(STRING),
        since: "7.0.0",
        complexity: "O(N*M) in the lengths of the strings",
        summary: "Finds the longest common subsequence of two strings.",
        group: Group::String,
        arguments: &[
            key("key1", 0),
            key("key2", 0),
            token("len", "LEN").optional(),
            token("idx", "IDX").optional(),
            arg("len", "integer").behind("MINMATCHLEN").optional(),
            token("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        handler: Handler::Read(strings::lcs),
        ..BASE
    },
    Command {
        name: "mget",
        arity: -2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, -1, 1, key_flags!(RO ACCESS))],
        categories: categories!(STRING),
        since: "1.0.0",
        complexity: "O(N) in the number of keys",
        summary: "Returns the strings that several keys hold.",
        group: Group::String,
        tips: &["request_policy:multi_shard"],
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Read(strings::mget),
        ..BASE
    },
    Command {
        name: "mset",
        arity: -3,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, -1, 2, key_flags!(OW UPDATE))],
        categories: categories!(STRING),
        since: "1.0.1",
        complexity: "O(N) in the number of keys",
        summary: "Gives several keys string values.",
        group: Group::String,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        arguments: &[block("key_value", &[key("key", 0), arg("value", "string")]).multiple()],
        handler: Handler::Write(strings::mset),
        ..BASE
    },
    Command {
        name: "msetnx",
        arity: -3,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, -1, 2, key_flags!(OW INSERT))],
        categories: categories!(STRING),
        since: "1.0.1",
        complexity: "O(N) in the number of keys",
        summary: "Gives several keys string values if none of them exists.",
        group: Group::String,
        tips: &["request_policy:multi_shard", "response_policy:agg_min"],
        arguments: &[block("key_value", &[key("key", 0), arg("value", "string")]).multiple()],
        handler: Handler::Write(strings::msetnx),
        ..BASE
    },
    Command {
        name: "psetex",
        arity: 4,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(OW UPDATE))],
        categories: categories!(STRING),
        since: "2.6.0",
        summary: "Gives a key a string value that expires in so many milliseconds.",
        group: Group::String,
        arguments: &[key("key", 0), arg("milliseconds", "integer"), arg("value", "string")],
        handler: Handler::Write(strings::psetex),
        ..BASE
    },
    Command {
        name: "set",
        arity: -3,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE VARIABLE_FLAGS))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Gives a key a string value, with conditions and an expiry if wanted.",
        group: Group::String,
        arguments: &[
            key("key", 0),
            arg("value", "string"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).optional(),
            token("get", "GET").optional(),
            one_of(
                "expiration",
                &[
                    arg("seconds", "integer").behind("EX"),
                    arg("milliseconds", "integer").behind("PX"),
                    arg("unix-time-seconds", "unix-time").behind("EXAT"),
                    arg("unix-time-milliseconds", "unix-time").behind("PXAT"),
                    token("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
        ],
        handler: Handler::Write(strings::set),
        ..BASE
    },
    Command {
        name: "setex",
        arity: 4,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(OW UPDATE))],
        categories: categories!(STRING),
        since: "2.0.0",
        summary: "Gives a key a string value that expires in so many seconds.",
        group: Group::String,
        arguments: &[key("key", 0), arg("seconds", "integer"), arg("value", "string")],
        handler: Handler::Write(strings::setex),
        ..BASE
    },
    Command {
        name: "setnx",
        arity: 3,
        flags: flags!(WRITE DENYOOM FAST),
        keys: &[range(1, 0, 1, key_flags!(OW INSERT))],
        categories: categories!(STRING),
        since: "1.0.0",
        summary: "Gives a key a string value if it does not exist.",
        group: Group::String,
        arguments: &[key("key", 0), arg("value", "string")],
        handler: Handler::Write(strings::setnx),
        ..BASE
    },
    Command {
        name: "setrange",
        arity: 4,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(STRING),
        since: "2.2.0",
        complexity: "O(N) in the length of the string",
        summary: "Overwrites a part of a string.",
        group: Group::String,
        arguments: &[key("key", 0), arg("offset", "integer"), arg("value", "string")],
        handler: Handler::Write(strings::setrange),
        ..BASE
    },
    Command {
        name: "strlen",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO))],
        categories: categories!(STRING),
        since: "2.2.0",
        summary: "Tells the length of a string.",
        group: Group::String,
        arguments: &[key("key", 0)],
        handler: Handler::Read(strings::strlen),
        ..BASE
    },
    Command {
        name: "substr",
        arity: 4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(STRING),
        since: "1.0.0",
        complexity: "O(N) in the number of bytes returned",
        summary: "Returns a part of a string.",
        group: Group::String,
        arguments: &[key("key", 0), arg("start", "integer"), arg("end", "integer")],
        handler: Handler::Read(strings::getrange),
        ..BASE
    },
];

/// Lists.
static LISTS: &[Command] = &[
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

/// Keys.
static KEYS: &[Command] = &[
    Command {
        name: "copy",
        arity: -3,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS)), range(2, 0, 1, key_flags!(OW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "6.2.0",
        summary: "Copies a value to another key.",
        group: Group::Generic,
        arguments: &[
            key("source", 0),
            key("destination", 1),
            arg("destination-db", "integer").behind("DB").optional(),
            token("replace", "REPLACE").optional(),
        ],
        handler: Handler::Write(keys::copy),
        ..BASE
    },
    Command {
        name: "del",
        arity: -2,
        flags: flags!(WRITE),
        keys: &[range(1, -1, 1, key_flags!(RM DELETE))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        complexity: "O(N) in the number of keys",
        summary: "Removes keys.",
        group: Group::Generic,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Write(keys::del),
        ..BASE
    },
    Command {
        name: "exists",
        arity: -2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, -1, 1, key_flags!(RO))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        complexity: "O(N) in the number of keys",
        summary: "Counts which of the keys exist.",
        group: Group::Generic,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Read(keys::exists),
        ..BASE
    },
    Command {
        name: "expire",
        arity: -3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Lets a key expire in so many seconds.",
        group: Group::Generic,
        arguments: &[
            key("key", 0),
            arg("seconds", "integer"),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
        ],
        handler: Handler::Write(keys::expire),
        ..BASE
    },
    Command {
        name: "expireat",
        arity: -3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "1.2.0",
        summary: "Lets a key expire at a Unix time in seconds.",
        group: Group::Generic,
        arguments: &[
            key("key", 0),
            arg("unix-time-seconds", "unix-time"),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
        ],
        handler: Handler::Write(keys::expireat),
        ..BASE
    },
    Command {
        name: "expiretime",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(KEYSPACE),
        since: "7.0.0",
        summary: "Tells at which Unix time in seconds a key expires.",
        group: Group::Generic,
        arguments: &[key("key", 0)],
        handler: Handler::Read(keys::expiretime),
        ..BASE
    },
    Command {
        name: "keys",
        arity: 2,
        flags: flags!(READONLY),
        categories: categories!(KEYSPACE DANGEROUS),
        since: "1.0.0",
        complexity: "O(N) in the number of keys of the database",
        summary: "Lists the keys that match a pattern.",
        group: Group::Generic,
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        arguments: &[arg("pattern", "pattern")],
        handler: Handler::Read(databases::keys),
        ..BASE
    },
    Command {
        name: "move",
        arity: 3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Moves a key to another database.",
        group: Group::Generic,
        arguments: &[key("key", 0), arg("db", "integer")],
        handler: Handler::Write(keys::move_key),
        ..BASE
    },
    Command {
        name: "object",
        arity: -2,
        since: "2.2.3",
        summary: "Container for what is known of a value beside its contents.",
        group: Group::Generic,
        subcommands: &[
            Command {
                name: "object|encoding",
                arity: 3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO))],
                categories: categories!(KEYSPACE),
                since: "2.2.3",
                summary: "Names how a value is stored.",
                group: Group::Generic,
                tips: &["nondeterministic_output"],
                arguments: &[key("key", 0)],
                handler: Handler::Read(keys::object_encoding),
                ..BASE
            },
            Command {
                name: "object|freq",
                arity: 3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO))],
                categories: categories!(KEYSPACE),
                since: "4.0.0",
                summary: "Tells how often a value is used.",
                group: Group::Generic,
                tips: &["nondeterministic_output"],
                arguments: &[key("key", 0)],
                handler: Handler::Read(keys::object_freq),
                ..BASE
            },
            Command {
                name: "object|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                categories: categories!(KEYSPACE),
                since: "6.2.0",
                summary: "Lists the subcommands.",
                group: Group::Generic,
                handler: Handler::Read(keys::object_help),
                ..BASE
            },
            Command {
                name: "object|idletime",
                arity: 3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO))],
                categories: categories!(KEYSPACE),
                since: "2.2.3",
                summary: "Tells how long a value was not used.",
                group: Group::Generic,
                tips: &["nondeterministic_output"],
                arguments: &[key("key", 0)],
                handler: Handler::Read(keys::object_idletime),
                ..BASE
            },
            Command {
                name: "object|refcount",
                arity: 3,
                flags: flags!(READONLY),
                keys: &[range(2, 0, 1, key_flags!(RO))],
                categories: categories!(KEYSPACE),
                since: "2.2.3",
                summary: "Counts the references to a value.",
                group: Group::Generic,
                tips: &["nondeterministic_output"],
                arguments: &[key("key", 0)],
                handler: Handler::Read(keys::object_refcount),
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "persist",
        arity: 2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "2.2.0",
        summary: "Takes the expiry off a key.",
        group: Group::Generic,
        arguments: &[key("key", 0)],
        handler: Handler::Write(keys::persist),
        ..BASE
    },
    Command {
        name: "pexpire",
        arity: -3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "2.6.0",
        summary: "Lets a key expire in so many milliseconds.",
        group: Group::Generic,
        arguments: &[
            key("key", 0),
            arg("milliseconds", "integer"),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
        ],
        handler: Handler::Write(keys::pexpire),
        ..BASE
    },
    Command {
        name: "pexpireat",
        arity: -3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "2.6.0",
        summary: "Lets a key expire at a Unix time in milliseconds.",
        group: Group::Generic,
        arguments: &[
            key("key", 0),
            arg("unix-time-milliseconds", "unix-time"),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
        ],
        handler: Handler::Write(keys::pexpireat),
        ..BASE
    },
    Command {
        name: "pexpiretime",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(KEYSPACE),
        since: "7.0.0",
        summary: "Tells at which Unix time in milliseconds a key expires.",
        group: Group::Generic,
        arguments: &[key("key", 0)],
        handler: Handler::Read(keys::pexpiretime),
        ..BASE
    },
    Command {
        name: "pttl",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(KEYSPACE),
        since: "2.6.0",
        summary: "Tells in how many milliseconds a key expires.",
        group: Group::Generic,
        tips: &["nondeterministic_output"],
        arguments: &[key("key", 0)],
        handler: Handler::Read(keys::pttl),
        ..BASE
    },
    Command {
        name: "randomkey",
        arity: 1,
        flags: flags!(READONLY),
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Names some key, each equally likely.",
        group: Group::Generic,
        tips: &["request_policy:all_shards", "nondeterministic_output"],
        handler: Handler::Read(databases::randomkey),
        ..BASE
    },
    Command {
        name: "rename",
        arity: 3,
        flags: flags!(WRITE),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS DELETE)), range(2, 0, 1, key_flags!(OW UPDATE))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Gives a key another name, replacing what has it.",
        group: Group::Generic,
        arguments: &[key("key", 0), key("newkey", 1)],
        handler: Handler::Write(keys::rename),
        ..BASE
    },
    Command {
        name: "renamenx",
        arity: 3,
        flags: flags!(WRITE FAST),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS DELETE)), range(2, 0, 1, key_flags!(OW INSERT))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Gives a key another name if nothing has it.",
        group: Group::Generic,
        arguments: &[key("key", 0), key("newkey", 1)],
        handler: Handler::Write(keys::renamenx),
        ..BASE
    },
    Command {
        name: "scan",
        arity: -2,
        flags: flags!(READONLY),
        categories: categories!(KEYSPACE),
        since: "2.8.0",
        complexity: "O(1) per call, O(N) for all keys",
        summary: "Goes through the keys in portions.",
        group: Group::Generic,
        tips: &["nondeterministic_output", "request_policy:special"],
        arguments: &[
            arg("cursor", "integer"),
            arg("pattern", "pattern").behind("MATCH").optional(),
            arg("count", "integer").behind("COUNT").optional(),
            arg("type", "string").behind("TYPE").optional(),
        ],
        handler: Handler::Read(databases::scan),
        ..BASE
    },
    Command {
        name: "touch",
        arity: -2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, -1, 1, key_flags!(RO))],
        categories: categories!(KEYSPACE),
        since: "3.2.1",
        complexity: "O(N) in the number of keys",
        summary: "Counts which of the keys exist, as EXISTS does, and marks them as used.",
        group: Group::Generic,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Read(keys::touch),
        ..BASE
    },
    Command {
        name: "ttl",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Tells in how many seconds a key expires.",
        group: Group::Generic,
        tips: &["nondeterministic_output"],
        arguments: &[key("key", 0)],
        handler: Handler::Read(keys::ttl),
        ..BASE
    },
    Command {
        name: "type",
        arity: 2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO))],
        categories: categories!(KEYSPACE),
        since: "1.0.0",
        summary: "Names the type of a key's value.",
        group: Group::Generic,
        arguments: &[key("key", 0)],
        handler: Handler::Read(keys::type_name),
        ..BASE
    },
    Command {
        name: "unlink",
        arity: -2,
        flags: flags!(WRITE FAST),
        keys: &[range(1, -1, 1, key_flags!(RM DELETE))],
        categories: categories!(KEYSPACE),
        since: "4.0.0",
        complexity: "O(1) for each key",
        summary: "Removes keys; large values are freed in the background.",
        group: Group::Generic,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        arguments: &[key("key", 0).multiple()],
        handler: Handler::Write(keys::del),
        ..BASE
    },
    Command {
        name: "wait",
        arity: 3,
        flags: flags!(NOSCRIPT),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Waits until replicas have what the connection wrote.",
        group: Group::Generic,
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        arguments: &[arg("numreplicas", "integer"), arg("timeout", "integer")],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "waitaof",
        arity: 4,
        flags: flags!(NOSCRIPT),
        categories: categories!(CONNECTION),
        since: "7.2.0",
        summary: "Waits until the disks of replicas have what the connection wrote.",
        group: Group::Generic,
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        arguments: &[arg("numlocal", "integer"), arg("numreplicas", "integer"), arg("timeout", "integer")],
        script: ScriptPolicy::Refused,
        handler: Handler::Session,
        ..BASE
    },
];

/// Transactions.
static TRANSACTIONS: &[Command] = &[
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

/// The connection.
static CONNECTION: &[Command] = &[
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

/// The server.
static SERVER: &[Command] = &[
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

/// The cluster.
static CLUSTER: &[Command] = &[
    Command {
        name: "asking",
        arity: 1,
        flags: flags!(FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Announces a command that was redirected with ASK.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "cluster",
        arity: -2,
        since: "3.0.0",
        summary: "Container for commands about the cluster.",
        group: Group::Cluster,
        subcommands: &[
            Command {
                name: "cluster|countkeysinslot",
                arity: 3,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of keys",
                summary: "Counts the keys of a slot.",
                group: Group::Cluster,
                arguments: &[arg("slot", "integer")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|getkeysinslot",
                arity: 4,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of keys",
                summary: "Lists keys of a slot.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                arguments: &[arg("slot", "integer"), arg("count", "integer")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Cluster,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|info",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                summary: "Tells the state of the cluster.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|keyslot",
                arity: 3,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the length of the key",
                summary: "Tells the slot of a key.",
                group: Group::Cluster,
                arguments: &[arg("key", "string")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|myid",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                summary: "Tells the id of this node.",
                group: Group::Cluster,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|nodes",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Describes the nodes as text.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|shards",
                arity: 2,
                flags: flags!(STALE),
                since: "7.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Describes the shards and their nodes.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|slots",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Tells which nodes serve which slots.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "readonly",
        arity: 1,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Lets a follower answer this connection's reads.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "readwrite",
        arity: 1,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Asks for linearizable reads again.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
];

/// What only Quorate itself writes.
static INTERNAL: &[Command] = &[
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
];
