//! Commands: what they are called, what they take, what they do.
//!
//! A command is one [`Command`] record in one table ([`table`]). The arity check, the positions of keys, the answers of
//! `COMMAND` and the access categories all follow from it.

pub mod compatibility;
pub mod introspect;
pub mod table;

mod acl;
mod bitmaps;
mod connection;
mod databases;
mod debug;
mod dump;
mod functions;
mod geo;
mod hashes;
mod hyperloglog;
mod internal;
mod keys;
mod lists;
mod lookup;
mod migrate;
mod object;
mod pausing;
mod picks;
mod pubsub;
mod scan;
mod scripting;
mod sets;
mod shebang;
mod sort;
mod sorted_sets;
mod streams;
mod strings;
mod waiting;

use bitflags::bitflags;

pub use self::lookup::{lookup, lookup_internal, named, resolve, unknown_command, unknown_subcommand};
pub(crate) use self::{
    introspect::flags_by_arguments,
    lookup::{resolve_asked, resolve_logged, subcommand},
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    reply::Reply,
};

/// A command that only reads.
pub type ReadFn = fn(&ReadCtx<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

/// A command that writes.
pub type WriteFn = fn(&mut WriteCtx<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

/// Who carries out a command.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// A function of the state.
    Read(ReadFn),
    /// A function that changes the state: only from an entry of the log.
    Write(WriteFn),
    /// A function of the state, or one that waits, if the arguments ask for that: only from an entry of the log.
    ReadOrWait {
        /// What it does without waiting.
        read: ReadFn,
        /// What it does otherwise.
        wait: WriteFn,
        /// Whether the arguments ask for waiting.
        waits: fn(&[&[u8]]) -> bool,
    },
    /// The session answers at once; within a transaction this function does, at the place of the command.
    Connection(ReadFn),
    /// The session, outside of the log; within a transaction or a script this function, from an entry (R18).
    Aside(WriteFn),
    /// The session.
    Session,
    /// Nobody: one of the subcommands does.
    Container,
}

/// Everything there is to know about a command.
#[derive(Debug)]
pub struct Command {
    /// In small letters; a subcommand with its container: `config|get`.
    pub name: &'static str,
    /// Number of arguments with the name(s); negative: at least that many.
    pub arity: i32,
    /// How it may be used.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Its access categories beyond those that follow from `flags`.
    pub categories: Categories,
    /// The version of Redis that first had it.
    pub since: &'static str,
    /// The time it takes.
    pub complexity: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Its family.
    pub group: Group,
    /// Hints for clients, above all for those of a cluster.
    pub tips: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static [Argument],
    /// What stands in second place of a container.
    pub subcommands: &'static [Command],
    /// Whether a script may call it.
    pub script: ScriptPolicy,
    /// Who carries it out.
    pub handler: Handler,
}

impl Command {
    /// Whether it may leave its client waiting: XREAD and XREADGROUP do only with BLOCK.
    #[must_use]
    pub fn may_wait(&self, args: &[&[u8]]) -> bool {
        self.flags.contains(Flags::BLOCKING)
            && (!matches!(self.name, "xread" | "xreadgroup") || waiting::streams::asks_to_wait(args))
    }

    /// The name without the container's.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, name)| name)
    }

    /// The subcommands that COMMAND tells of. Those of DEBUG are arguments, for Redis.
    #[must_use]
    pub fn told_subcommands(&self) -> &'static [Command] {
        if self.name == "debug" { &[] } else { self.subcommands }
    }

    /// Whether this many arguments (with the names) are right.
    #[must_use]
    pub fn takes(&self, args: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { args >= wanted } else { args == wanted }
    }

    /// All access categories.
    #[must_use]
    pub fn all_categories(&self) -> Categories {
        let mut all = self.categories;
        all.set(Categories::WRITE, all.contains(Categories::WRITE) || self.flags.contains(Flags::WRITE));
        let reads = self.flags.contains(Flags::READONLY) && !all.contains(Categories::SCRIPTING);
        all.set(Categories::READ, all.contains(Categories::READ) || reads);
        let admin = self.flags.contains(Flags::ADMIN);
        all.set(Categories::ADMIN, all.contains(Categories::ADMIN) || admin);
        all.set(Categories::DANGEROUS, all.contains(Categories::DANGEROUS) || admin);
        all.set(Categories::PUBSUB, all.contains(Categories::PUBSUB) || self.flags.contains(Flags::PUBSUB));
        all.set(
            Categories::BLOCKING,
            all.contains(Categories::BLOCKING) || self.flags.contains(Flags::BLOCKING),
        );
        let fast = self.flags.contains(Flags::FAST);
        all.set(Categories::FAST, fast);
        all.set(Categories::SLOW, !fast);
        all
    }

    /// Whether it changes the state, hence goes through the log.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.handler, Handler::Write(_))
    }

    /// The positions of the keys in `args`, which hold the name and are of a right number.
    ///
    /// # Errors
    /// If a number of keys in the arguments is not one or does not fit them.
    pub fn key_positions(&self, args: &[&[u8]]) -> Result<KeyPositions, CommandError> {
        let mut positions = KeyPositions::new();
        for spec in self.keys {
            spec.positions(args, &mut positions)?;
        }
        Ok(positions)
    }

    /// The hash slot of the first key; `None` if there is no key.
    #[must_use]
    pub fn slot(&self, args: &[&[u8]]) -> Option<u16> {
        let positions = self.key_positions(args).ok()?;
        positions.first().map(|&i| crate::slot::slot(args[i]))
    }
}

/// Positions of keys among arguments.
pub type KeyPositions = smallvec::SmallVec<[usize; 4]>;

/// Where some keys of a command are, and what it does with them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What happens to the keys.
    pub flags: KeyFlags,
    /// Where they begin.
    pub begin: Begin,
    /// How far they go.
    pub find: Find,
}

/// Where keys begin.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this position.
    Index(usize),
    /// Behind this word, looked for from a position on.
    Keyword(&'static str, usize),
    /// Where a function finds them, if anywhere. Clients are told that it is unknown.
    Found(fn(&[&[u8]]) -> Option<usize>),
    /// The same. Clients are told a position.
    FoundAt(usize, fn(&[&[u8]]) -> Option<usize>),
    /// The same. Clients are told a word, and from where on to look for it; if negative, from the end and backwards.
    FoundBehind(&'static str, i64, fn(&[&[u8]]) -> Option<usize>),
}

/// How far keys go.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// Up to `last` places behind the beginning, or if negative counted from the end of the arguments (-1: the last one), every
    /// `step` arguments.
    Range {
        /// See above.
        last: i32,
        /// See above.
        step: usize,
    },
    /// A number says how many. All positions count from the beginning.
    KeyNum {
        /// Position of the number.
        number: usize,
        /// Position of the first key.
        first: usize,
        /// From key to key.
        step: usize,
    },
    /// The first part of all that follows, every `step` arguments: one half if there are two parts.
    Part {
        /// How many parts there are.
        parts: usize,
        /// See above.
        step: usize,
    },
}

impl KeySpec {
    /// Appends the positions of the keys.
    pub(crate) fn positions(&self, args: &[&[u8]], out: &mut KeyPositions) -> Result<(), CommandError> {
        const INVALID: CommandError = CommandError::fixed("ERR Invalid arguments specified for command");
        let begin = match self.begin {
            Begin::Index(i) => i,
            Begin::Keyword(word, from) => {
                let is_word = |arg: &&[u8]| arg.eq_ignore_ascii_case(word.as_bytes());
                match args.iter().skip(from).position(is_word) {
                    Some(i) => from + i + 1,
                    None => return Ok(()),
                }
            }
            Begin::Found(find) | Begin::FoundAt(_, find) | Begin::FoundBehind(_, _, find) => {
                match find(args) {
                    Some(i) => i,
                    None => return Ok(()),
                }
            }
        };
        match self.find {
            Find::Range { last, step } => {
                let end = match usize::try_from(last) {
                    Ok(last) => begin + last,
                    Err(_) => args.len().saturating_sub(last.unsigned_abs() as usize),
                };
                out.extend((begin..=end.min(args.len() - 1)).step_by(step));
            }
            Find::Part { parts, step } => {
                let end = begin + args.len().saturating_sub(begin) / parts;
                out.extend((begin..end).step_by(step));
            }
            Find::KeyNum { number, first, step } => {
                let count = args.get(begin + number).and_then(|arg| crate::number::parse_i64(arg));
                let count = count.and_then(|n| usize::try_from(n).ok()).ok_or(INVALID)?;
                if count > args.len() || begin + first + count.saturating_sub(1) * step >= args.len() {
                    return Err(INVALID);
                }
                out.extend((0..count).map(|i| begin + first + i * step));
            }
        }
        Ok(())
    }
}

/// An argument, for `COMMAND DOCS`.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Its type, as `COMMAND DOCS` calls it.
    pub kind: &'static str,
    /// The word in front of it or in its place; empty if there is none.
    pub token: &'static str,
    /// Which key specification finds it, if it is a key.
    pub key_spec: Option<u8>,
    /// Whether it may be left out, and whether it may come several times.
    pub flags: ArgumentFlags,
    /// What it consists of, if it is a `block` or a `oneof`.
    pub arguments: &'static [Argument],
}

/// A family of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Of bits of strings.
    Bitmap,
    /// Of the cluster.
    Cluster,
    /// Of the connection.
    Connection,
    /// Of keys, whatever they hold.
    Generic,
    /// Of places.
    Geo,
    /// Of hashes.
    Hash,
    /// Of approximate counting.
    Hyperloglog,
    /// Of lists.
    List,
    /// Of channels.
    Pubsub,
    /// Of scripts and functions.
    Scripting,
    /// Of Redis Sentinel.
    Sentinel,
    /// Of the server.
    Server,
    /// Of sets.
    Set,
    /// Of sorted sets.
    SortedSet,
    /// Of streams.
    Stream,
    /// Of strings.
    String,
    /// Of transactions.
    Transactions,
}

impl Group {
    /// The name in `COMMAND DOCS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Geo => "geo",
            Self::Hash => "hash",
            Self::Hyperloglog => "hyperloglog",
            Self::List => "list",
            Self::Pubsub => "pubsub",
            Self::Scripting => "scripting",
            Self::Sentinel => "sentinel",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// Whether a script may call a command (R13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptPolicy {
    /// Yes: it is a function of the state.
    Allowed,
    /// No.
    Refused,
}

bitflags! {
    /// How a command may be used. The names are those of `COMMAND INFO`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Changes data.
        const WRITE = 1;
        /// Reads data.
        const READONLY = 1 << 1;
        /// Refused when memory is short.
        const DENYOOM = 1 << 2;
        /// For administrators.
        const ADMIN = 1 << 3;
        /// Of channels.
        const PUBSUB = 1 << 4;
        /// Not in scripts.
        const NOSCRIPT = 1 << 5;
        /// May wait.
        const BLOCKING = 1 << 6;
        /// Also while loading.
        const LOADING = 1 << 7;
        /// Also on a replica that is behind.
        const STALE = 1 << 8;
        /// Not shown by MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not in the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Redirected with ASK only after ASKING.
        const ASKING = 1 << 11;
        /// Constant or logarithmic time.
        const FAST = 1 << 12;
        /// Before authentication too.
        const NO_AUTH = 1 << 13;
        /// A write, although no key is written.
        const MAY_REPLICATE = 1 << 14;
        /// Not from within an asynchronous loading.
        const NO_ASYNC_LOADING = 1 << 15;
        /// Not within a transaction.
        const NO_MULTI = 1 << 16;
        /// The keys' positions depend on the arguments.
        const MOVABLEKEYS = 1 << 17;
        /// Also while a script blocks the server.
        const ALLOW_BUSY = 1 << 18;
        /// It may have no keys at all.
        const NO_MANDATORY_KEYS = 1 << 19;
        /// Not for clients: only written by Quorate itself.
        const INTERNAL = 1 << 31;
    }

    /// Access categories, as in ACL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        /// `@keyspace`
        const KEYSPACE = 1;
        /// `@read`
        const READ = 1 << 1;
        /// `@write`
        const WRITE = 1 << 2;
        /// `@set`
        const SET = 1 << 3;
        /// `@sortedset`
        const SORTEDSET = 1 << 4;
        /// `@list`
        const LIST = 1 << 5;
        /// `@hash`
        const HASH = 1 << 6;
        /// `@string`
        const STRING = 1 << 7;
        /// `@bitmap`
        const BITMAP = 1 << 8;
        /// `@hyperloglog`
        const HYPERLOGLOG = 1 << 9;
        /// `@geo`
        const GEO = 1 << 10;
        /// `@stream`
        const STREAM = 1 << 11;
        /// `@pubsub`
        const PUBSUB = 1 << 12;
        /// `@admin`
        const ADMIN = 1 << 13;
        /// `@fast`
        const FAST = 1 << 14;
        /// `@slow`
        const SLOW = 1 << 15;
        /// `@blocking`
        const BLOCKING = 1 << 16;
        /// `@dangerous`
        const DANGEROUS = 1 << 17;
        /// `@connection`
        const CONNECTION = 1 << 18;
        /// `@transaction`
        const TRANSACTION = 1 << 19;
        /// `@scripting`
        const SCRIPTING = 1 << 20;
    }

    /// What a command does with a key. The names are those of `COMMAND INFO`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u32 {
        /// Reads it only.
        const RO = 1;
        /// Reads and writes it.
        const RW = 1 << 1;
        /// Overwrites it.
        const OW = 1 << 2;
        /// Removes it.
        const RM = 1 << 3;
        /// Its contents may be returned.
        const ACCESS = 1 << 4;
        /// Changes its contents, depending on them.
        const UPDATE = 1 << 5;
        /// Adds to it.
        const INSERT = 1 << 6;
        /// Takes away from it.
        const DELETE = 1 << 7;
        /// Not a key, but placed like one.
        const NOT_KEY = 1 << 8;
        /// Not all keys are found.
        const INCOMPLETE = 1 << 9;
        /// The flags depend on the arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }

    /// Whether an argument may be left out or repeated. The names are those of `COMMAND DOCS`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ArgumentFlags: u8 {
        /// It may be left out.
        const OPTIONAL = 1;
        /// It may come several times.
        const MULTIPLE = 1 << 1;
        /// With its token each time.
        const MULTIPLE_TOKEN = 1 << 2;
    }
}
