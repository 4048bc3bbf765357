//! What a node notes of the commands that it carries out for its own clients: how often, how long, with what outcome.
//!
//! Nothing of it comes back: neither the state nor a reply can depend on it (R11), and no clock is read here. A reply
//! carries the meter of whoever waits for it; a replica that nobody waits at has none.

use crate::{acl::Denial, command::Command};

/// Where commands are noted.
pub trait Meter {
    /// A command begins. The number comes back when it has ended.
    fn begin(&self) -> u64;

    /// A script is about to call a command.
    fn called(&self, db: usize, command: &'static Command, args: &[&[u8]]) {
        let _ = (db, command, args);
    }

    /// A command has read, or is about to, for whoever gets the reply: a client, its transaction or its script. `at` changes
    /// of keys were noted before it, ever: [`News::Changed`](crate::News::Changed).
    fn reads(&self, command: &'static Command, args: &[&[u8]], at: u64) {
        let _ = (command, args, at);
    }

    /// A command was refused, because who has sent it may not do that.
    fn denied(&self, denial: &Denial<'_>, place: Place) {
        let _ = (denial, place);
    }

    /// A command was refused before it was carried out, with an error of this text. None: a script called what does not exist.
    fn rejected(&self, command: Option<&'static Command>, place: Place, error: &str) {
        let _ = (command, place, error);
    }

    /// A command has ended, and its reply is written. One that goes on waiting for a key has not.
    fn end(&self, metered: &Metered<'_>);
}

/// Who has asked for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A client.
    Client,
    /// A transaction.
    Transaction,
    /// A script.
    Script,
}

/// A command that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Metered<'a> {
    /// What [`Meter::begin`] has returned.
    pub begun: u64,
    /// What it was.
    pub command: &'static Command,
    /// With its name.
    pub args: &'a [&'a [u8]],
    /// Who has asked for it.
    pub place: Place,
    /// The text of its reply, if that is an error.
    pub error: Option<&'a [u8]>,
    /// For how long every replica stands still because of it (`DEBUG SLEEP`).
    pub sleep_ms: u64,
}
