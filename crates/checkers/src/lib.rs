//! Checkers for what clients of a database have seen.
//!
//! Each takes what clients did and were told, with the times of call and answer by one clock, and looks for what no
//! execution that keeps the promises can explain. An operation that never ended, or ended with UNKNOWN, may take
//! effect at any time after it began, or never. The simulator and `quorate torture` use the same ones.
//!
//! - [`check_register`]: keys that are written and read (`linearizable`).
//! - [`check_cell`]: members of sets, fields of hashes and the like, which are set, taken away and asked for (`linearizable`).
//! - [`check_counter`]: keys that are only incremented (`linearizable`).
//! - [`check_list`]: lists that are only appended to (`linearizable`, `no-lost-ack`, `honest-errors`).
//! - [`check_queue`]: elements that are pushed and popped, with and without waiting (`no-lost-ack`, `linearizable`).
//! - [`check_group`]: entries of a stream that a group of consumers takes and acknowledges (the same).
//! - [`check_bank`]: MULTI/EXEC with WATCH (`linearizable`: strict serializability).
//! - [`check_pipeline`]: commands that one connection sent together (`linearizable`: program order).
//! - [`check_expiry`]: keys that expire (`linearizable`).
//! - [`check_unique`]: what is there in the end (`no-lost-ack`, `honest-errors`).
//! - [`check_held`]: values that clients keep and are told of (`fresh-caches`).
//! - [`check_order`], [`check_unbroken`], [`check_complete`]: published messages (`messages`).
//! - [`check_notices`]: keyspace notifications (`messages`).
//! - [`check_journal`], [`check_shown`], [`check_let_in`], [`check_heard`]: what users did, saw and heard whose rights were taken away
//!   (`users`).
//! - [`check_session`]: followers' answers on one connection (`session-reads`).
//! - [`Leaders`]: who said that it leads (`one-leader`).
//! - [`Availability`]: pauses of writes (`fast-failover`).

mod availability;
mod bank;
mod caches;
mod cell;
mod counter;
mod expiry;
mod group;
mod leaders;
mod list;
mod messages;
mod notices;
mod pipeline;
mod promise;
mod queue;
mod register;
mod rights;
mod search;
mod session;
mod unique;

pub use availability::Availability;
pub use bank::{Audit, Transfer, check_bank};
pub use caches::{Changes, Held, check_held};
pub use cell::{CellAct, CellOp, Told, check_cell};
pub use counter::{Count, check_counter};
pub use expiry::{Mortal, Sighting, check_expiry};
pub use group::{GroupAct, GroupEnd, GroupOp, check_group};
pub use leaders::Leaders;
pub use list::{Append, Listing, check_list};
pub use messages::{Message, check_complete, check_order, check_unbroken};
pub use notices::{Did, Notice, check_notices};
pub use pipeline::{Step as PipelineStep, check_pipeline};
pub use promise::{Fate, Promise, Violation};
pub use queue::{Queue, QueueAct, QueueOp, check_queue};
pub use register::{Action, Op, check_register, has_order};
pub use rights::{Line as JournalLine, check_heard, check_journal, check_let_in, check_shown, mutes};
pub use session::{Step as SessionStep, check_session};
pub use unique::check_unique;
