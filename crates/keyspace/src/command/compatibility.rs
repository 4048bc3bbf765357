//! What of Redis 7.2 there is: every command of it by name. `docs/COMPATIBILITY.md` is drawn from this and from the table
//! of commands, and so is what a client is told that sends a command that does not exist here.

mod document;
mod server;
mod values;

use std::{collections::BTreeMap, sync::LazyLock};

pub use self::document::markdown;
use super::Group;
use crate::error::CommandError;

/// How far a command of Redis is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// With all that Redis 7.2 does.
    Complete,
    /// With what the note says.
    Partial,
    /// Not, and it is not going to be.
    Absent,
}

/// A command, or subcommand, of Redis 7.2.
#[derive(Debug)]
pub struct Entry {
    /// As in the table of commands: `config|get`.
    pub name: &'static str,
    /// How far it is there.
    pub state: State,
    /// What differs, what is missing, or why it is not there. May be empty if it is complete.
    pub note: &'static str,
}

const fn complete(name: &'static str) -> Entry {
    Entry { name, state: State::Complete, note: "" }
}

/// Complete, and differs by design.
const fn with_note(name: &'static str, note: &'static str) -> Entry {
    Entry { name, state: State::Complete, note }
}

const fn partial(name: &'static str, note: &'static str) -> Entry {
    Entry { name, state: State::Partial, note }
}

const fn absent(name: &'static str, note: &'static str) -> Entry {
    Entry { name, state: State::Absent, note }
}

/// The commands of Redis 7.2, family by family.
pub static REDIS_7_2: &[(Group, &[Entry])] = &[
    (Group::String, values::STRING),
    (Group::Bitmap, values::BITMAP),
    (Group::Hyperloglog, values::HYPERLOGLOG),
    (Group::List, values::LIST),
    (Group::Set, values::SET),
    (Group::Hash, values::HASH),
    (Group::SortedSet, values::SORTED_SET),
    (Group::Geo, values::GEO),
    (Group::Stream, values::STREAM),
    (Group::Generic, server::GENERIC),
    (Group::Scripting, server::SCRIPTING),
    (Group::Transactions, server::TRANSACTIONS),
    (Group::Connection, server::CONNECTION),
    (Group::Pubsub, server::PUBSUB),
    (Group::Server, server::SERVER),
    (Group::Cluster, server::CLUSTER),
    (Group::Sentinel, server::SENTINEL),
];

/// All of them.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    REDIS_7_2.iter().flat_map(|(_, entries)| entries.iter())
}

/// Those that are not there, by name.
static MISSING: LazyLock<BTreeMap<&'static str, &'static Entry>> = LazyLock::new(|| {
    let missing = entries().filter(|entry| entry.state == State::Absent);
    missing.map(|entry| (entry.name, entry)).collect()
});

/// The error for a command of Redis that is not there: `container` and `word` are in any letters. `None` if Redis has no
/// such command either.
pub(super) fn not_implemented(container: Option<&str>, word: &[u8]) -> Option<CommandError> {
    let word = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
    let name = container.map_or_else(|| word.clone(), |container| format!("{container}|{word}"));
    let entry = MISSING.get(name.as_str())?;
    let shown = name.to_ascii_uppercase().replace('|', " ");
    Some(CommandError::new(format!("ERR {shown} is not implemented in Quorate: {}", entry.note)))
}
