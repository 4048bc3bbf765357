//! Sorting.

use super::{BASE, arg, block, categories, flags, key, key_flags, one_of, range, token};
use crate::command::{
    Argument, ArgumentFlags, Begin, Command, Find, Group, Handler, KeyFlags, KeySpec, sort,
};

const BY: Argument = Argument { key_spec: Some(1), ..arg("by-pattern", "pattern").behind("BY").optional() };
const LIMIT: Argument =
    block("limit", &[arg("offset", "integer"), arg("count", "integer")]).behind("LIMIT").optional();
const GET: Argument = Argument {
    key_spec: Some(1),
    flags: ArgumentFlags::all(),
    ..arg("get-pattern", "pattern").behind("GET")
};
const ORDER: Argument = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();
const ALPHA: Argument = token("sorting", "ALPHA").optional();

/// Keys that only the command finds.
const fn found(find: fn(&[&[u8]]) -> Option<usize>, flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Found(find), find: Find::Range { last: 0, step: 1 } }
}

/// What the patterns of BY and GET name depends on what is sorted.
const PATTERNS: KeySpec = found(|_| None, key_flags!(RO ACCESS));

pub(super) static SORT: &[Command] = &[
    Command {
        name: "sort",
        arity: -2,
        flags: flags!(WRITE DENYOOM MOVABLEKEYS),
        keys: &[
            range(1, 0, 1, key_flags!(RO ACCESS)),
            PATTERNS,
            found(sort::store_position, key_flags!(OW UPDATE)),
        ],
        categories: categories!(SET SORTEDSET LIST DANGEROUS),
        since: "1.0.0",
        complexity: "O(N*log(N)) for N elements, O(N) if they stay in their order",
        summary: "Returns or stores the elements of a list, a set or a sorted set in another order.",
        group: Group::Generic,
        arguments: &[
            key("key", 0),
            BY,
            LIMIT,
            GET,
            ORDER,
            ALPHA,
            key("destination", 2).behind("STORE").optional(),
        ],
        handler: Handler::Write(sort::sort_any),
        ..BASE
    },
    Command {
        name: "sort_ro",
        arity: -2,
        flags: flags!(READONLY MOVABLEKEYS),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS)), PATTERNS],
        categories: categories!(SET SORTEDSET LIST DANGEROUS),
        since: "7.0.0",
        complexity: "O(N*log(N)) for N elements, O(N) if they stay in their order",
        summary: "Returns the elements of a list, a set or a sorted set in another order.",
        group: Group::Generic,
        arguments: &[key("key", 0), BY, LIMIT, GET, ORDER, ALPHA],
        handler: Handler::Read(sort::sort_ro),
        ..BASE
    },
];
