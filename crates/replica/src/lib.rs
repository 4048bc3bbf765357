//! One shard's replica on one node: consensus, batches, leases, snapshots.
//!
//! A replica has two halves that talk through channels:
//!
//! - [`Consensus`] (Send, cheap to clone): openraft, the [`bus`] to the other nodes, the log. It never waits
//!   for an apply (R20): see [`Stage`].
//! - [`Replica`] (on the thread of the sessions): gathers commands into batches ([`outbox`]), reads
//!   ([`reads`]), applies committed entries to the keyspace, answers clients, writes snapshots.
//!
//! A write walks: [`Replica::write`] → the gathering batch → [`Consensus::propose`] on the leader, or a
//! [`bus::Forwarder`] to it → [`storage`] (disk) and [`network`] (followers) → committed → [`machine`] →
//! `Event::Apply` → `Keyspace::apply` → [`Client::answer`] on the node that the client is connected to.
//!
//! openraft is behind [`types`], [`storage`], [`machine`], [`network`], [`runtime`] and [`responder`]; nothing
//! above this crate sees it.

mod bus;
mod consensus;
mod full_digest;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identity;
mod line;
mod machine;
mod memory;
mod network;
mod news;
mod origins;
mod outbox;
mod reads;
pub mod recover;
mod replica;
mod responder;
mod rhythm;
mod runtime;
mod script_log;
mod secret;
mod snapshot;
mod stage;
mod storage;
mod timing;
mod types;
mod unsure;
mod vigil;
mod waiting;
mod watch;

use quorate_keyspace::acl::DEFAULT_USER;
use quorate_keyspace::{Keyspace, Reply, WaiterId};

pub use bus::{Admin, Probe, Publication, caller, listening};
pub use consensus::{Clock, Consensus, Feed, Handler, Outcome, Start, Timing, View};
pub use full_digest::FullDigest;
pub use identity::Identity;
pub use memory::{LookAtMemory, Memory};
pub use news::{Audience, OnNews};
pub use outbox::{Failure, Local, Token, Transaction, Watched};
/// What the thread that the serving half lives on needs for its stack.
pub use quorate_keyspace::STACK_BYTES;
pub use replica::{Lap, OnDirectory, OnLap, OnUsers, Options, Replica, Runner, Stats};
pub use runtime::seed_thread;
pub use secret::Secret;
pub use stage::{Inline, Stage, Work, on_stage};
pub use timing::Pace;
pub use types::{Member, NodeId, Role};
pub use unsure::Doubts;

/// Something to be done at a certain place among the commands of a connection: it sees the state there, and the
/// index that the state is at.
pub type AtPlace = Box<dyn FnOnce(&Keyspace, u64)>;

/// One connection, as the replica answers it.
///
/// Answers come in the order in which the commands were given to the replica, per lane: those behind writes and
/// the other reads. A connection uses one lane at a time.
pub trait Client {
    /// Which client it is: unique in the cluster, and never 0; 0 if it is none.
    fn id(&self) -> u64 {
        0
    }

    /// Appends to the answer of the command at hand. Calls `run` exactly once.
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>));

    /// The answer is complete. `index` is the entry that it holds at.
    fn done(&self, index: u64);

    /// The command is not answered yet after all; nothing was written.
    fn postpone(&self);

    /// Takes the answer that was just written to a read, and says how long it is, in bytes. `None`: there is no memory for
    /// it; it has been taken back, and an error goes in its place.
    fn accept(&self) -> Option<usize> {
        Some(0)
    }

    /// Whether what it reads counts as used.
    fn touches(&self) -> bool {
        true
    }

    /// The number of the user whose commands these are.
    fn user(&self) -> u64 {
        DEFAULT_USER
    }

    /// The command at hand waits for a key, and [`Client::done`] comes later; nothing is written yet. `waiter` says which it
    /// is to [`Replica::release`]. False: nobody is interested any more.
    fn waits(&self, waiter: WaiterId, has_timeout: bool) -> bool {
        let _ = (waiter, has_timeout);
        false
    }

    /// Writes a whole answer.
    fn answer(&self, index: u64, run: &mut dyn FnMut(&mut Reply<'_>)) {
        self.write(run);
        self.done(index);
    }
}
