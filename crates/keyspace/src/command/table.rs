//! The table of all commands.
//!
//! Names, arities, flags, key positions and access categories are those of Redis 7.2, which clients rely on.

mod acl;
mod bitmaps;
mod cluster;
mod connection;
mod debug;
mod geo;
mod hashes;
mod hyperloglog;
mod internal;
mod keys;
mod lists;
mod observing;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sort;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;

use super::{
    Argument, ArgumentFlags, Begin, Categories, Command, Find, Flags, Group, Handler, KeyFlags, KeySpec,
    ScriptPolicy,
};

/// All commands that clients may call, family by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The commands that only Quorate itself writes into the log, or asks for. Their names begin with a NUL, so that no client's
/// command can be taken for one.
pub fn internal() -> impl Iterator<Item = &'static Command> {
    internal::INTERNAL.iter()
}

static FAMILIES: &[&[Command]] = &[
    strings::STRINGS,
    bitmaps::BITMAPS,
    hyperloglog::HYPERLOGLOG,
    lists::LISTS,
    sets::SETS,
    hashes::HASHES,
    sorted_sets::SORTED_SETS,
    geo::GEO,
    streams::STREAMS,
    keys::KEYS,
    sort::SORT,
    scripting::SCRIPTING,
    transactions::TRANSACTIONS,
    pubsub::PUBSUB,
    connection::CONNECTION,
    server::SERVER,
    observing::OBSERVING,
    acl::ACL,
    debug::DEBUG,
    cluster::CLUSTER,
];

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
    ($($flag:ident)*) => { $crate::command::Flags::empty()$(.union($crate::command::Flags::$flag))* };
}
use flags;

macro_rules! categories {
    ($($category:ident)*) => { $crate::command::Categories::empty()$(.union($crate::command::Categories::$category))* };
}
use categories;

macro_rules! key_flags {
    ($($flag:ident)*) => { $crate::command::KeyFlags::empty()$(.union($crate::command::KeyFlags::$flag))* };
}
use key_flags;

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
