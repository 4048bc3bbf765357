//! The data of Quorate: types, expiry, and each command as a pure function of state, arguments, time and seed.
//!
//! A [`Keyspace`] is the state of one replica. [`Keyspace::apply`] carries out the commands of one entry of the log and
//! [`Keyspace::read`] a command that only reads; nothing else changes or shows it. No clock, no randomness, no I/O and
//! no order that depends on addresses or history is reachable from here: two keyspaces that applied the same entries
//! are the same, and [`Keyspace::digest`] proves it.
//!
//! Around an entry: [`batch::BatchBuilder`] gathers commands, [`batch::patch_header`] completes them, [`Host`] takes the
//! replies and the reads between commands. In idle moments: [`Keyspace::snapshot_slice`], [`Keyspace::take_garbage`],
//! [`Keyspace::content_digest_slice`], each a bounded piece of work. [`Restore`] makes a keyspace of a snapshot.
//!
//! # The house
//!
//! | module | holds |
//! |---|---|
//! | [`acl`] | users and what they may do |
//! | [`command`] | the table of all commands, their handlers, and what `COMMAND` answers |
//! | [`types`] | strings and lists |
//! | `context` | what a handler sees and may do: [`ReadCtx`], [`WriteCtx`] |
//! | `keyspace` | the state and the few ways in which it changes |
//! | `table`, `database` | the hash table; a database with its deadlines, and when keys came and went |
//! | `meter` | what a node may note of each command that it carries out |
//! | `counters`, `estimates` | what a node counts of its own work, and has counted already; not part of the state |
//! | [`batch`], `apply` | what an entry carries; how it is applied |
//! | `waiters`, `serve` | commands that wait for a key; how they are served |
//! | `snapshot`, `restore`, `reload` | the whole state in slices, and back; proving that both agree |
//! | `digest` | a hash over the whole state in slices |
//! | `warm` | bringing what commands will need closer to the processor |
//! | `listpack`, `rdb` | values as Redis packs them: nodes of streams, `DUMP` and `RESTORE` |
//! | `contents`, `walk` | going through the state while it changes |
//!
//! # Writing a command
//!
//! A record in `command/table.rs` and a function in the file of its type:
//!
//! ```ignore
//! pub(super) fn strlen(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
//!     reply.count(ctx.get_string(ctx.arg(1))?.map_or(0, Str::len));
//!     Ok(())
//! }
//! ```
//!
//! - `ctx.args` are the name and the arguments; the arity is checked already. `ctx.arg(i)` never panics.
//! - Reads, in both contexts: `get(key) -> Option<&Value>`, `get_string`, `get_list` (WRONGTYPE), `exists`, `expire_at`,
//!   `db()`, `time_ms()`, `random()`. Keys past their deadline are gone for all of them.
//! - Writes: `set(key, value, Expiry::{Keep, Clear, At(ms)})` for a `Str`, a `List` or a `Value`; `modify_string` and
//!   `modify_list` for a change in place (they count as a change even if the value stays the same, so look first);
//!   `remove`, `take`, `remove_if_empty`, `set_expiry`.
//! - A handler that returns an error must not have changed anything: judge all arguments and types first. What it has
//!   written into the reply is rolled back.
//! - Replies: [`Reply`] has a method for each kind of element; heads of aggregates come first.

pub mod acl;
pub mod batch;
pub mod command;
pub mod glob;
pub mod number;
pub mod types;

mod access;
mod apply;
mod collection;
mod contents;
mod context;
mod counters;
mod database;
mod digest;
mod error;
mod estimates;
mod evict;
mod execute;
mod key;
mod keyspace;
mod listpack;
mod meter;
mod news;
mod packed;
mod random;
mod rdb;
mod reload;
mod reply;
mod restore;
mod rules;
mod script;
mod serve;
mod slot;
mod small_bytes;
mod snapshot;
mod table;
mod tree;
mod value;
mod waiters;
mod walk;
mod warm;

/// What a thread that executes commands needs for its stack. Deep nesting is bounded everywhere; what costs the most is a script whose
/// functions call each other through `string.gsub`: 200 levels.
pub const STACK_BYTES: usize = 16 << 20;

pub use self::{
    apply::{Applied, Host, NoHost, Outcome},
    context::{ReadCtx, WriteCtx},
    counters::Usage,
    error::CommandError,
    evict::{Chooser, Order, Policy, Victim},
    execute::ReadOutcome,
    keyspace::{DATABASES_DEFAULT, DATABASES_SETTING, DatabaseStats, Expiry, Keyspace, Origin, RECLAIM_MAX},
    meter::{Meter, Metered, Place},
    news::{Events, Interest, News},
    random::Random,
    reload::ReloadError,
    reply::{Begun, Mark, Open, Reply},
    restore::{Restore, RestoreError},
    rules::Rules,
    script::{LogLevel, LogLine},
    slot::{SLOTS, slot},
    value::Value,
    waiters::{Release, WaiterId},
    warm::KeyName,
};
