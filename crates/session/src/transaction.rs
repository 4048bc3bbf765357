//! MULTI on one connection: what is queued, what is watched.

use std::cell::RefCell;
use std::rc::Rc;

use quorate_keyspace::CommandError;
use quorate_keyspace::command::Command;
use quorate_replica::{Token, Transaction, Watched};

use crate::connection::Connection;
use crate::node::Node;
use crate::registered::Share;

/// A transaction may hold so many commands; one more is refused and EXEC then aborts.
pub(crate) const QUEUED_MAX: usize = 1 << 20;

/// Its arguments may have so many bytes: it must fit into one entry of the log.
pub(crate) const QUEUED_BYTES_MAX: usize = 512 << 20;

/// Commands queued since MULTI.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) transaction: Transaction,
    /// An error while queueing: EXEC discards everything.
    pub(crate) broken: bool,
    /// The database that SELECT within the transaction has chosen.
    pub(crate) db: usize,
    /// Whether there is such a SELECT.
    pub(crate) selects: bool,
    /// Whether there is a CLIENT TRACKING or CLIENT CACHING.
    pub(crate) tracks: bool,
    /// Whether a command in it may write.
    pub(crate) writes: bool,
    /// Bytes of arguments.
    pub(crate) bytes: usize,
    /// What MONITOR is told of the commands when they are carried out.
    pub(crate) lines: Vec<String>,
    /// Commands about the state of this node as a whole.
    pub(crate) reports: Vec<Report>,
}

/// A command whose answer looks at the whole node (INFO). Apply, which executes the transaction, has that state in
/// hand: so the answer is made when EXEC arrives, and put in its place by apply.
pub(crate) struct Report {
    pub(crate) command: &'static Command,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) answer: Rc<RefCell<Vec<u8>>>,
}

/// How watched keys were when they were watched (R16), by database and key.
pub(crate) struct Watches {
    tokens: Watched,
    /// Bytes of their names.
    names: usize,
    /// What they take.
    share: Share,
}

/// More than so many are dropped in steps, while others are served.
const DROPPED_AT_ONCE: usize = 256;

/// What a watched key takes beside its name.
const WATCH_BYTES: usize = 96;

impl Watches {
    /// None of a connection.
    pub(crate) fn new(node: &Node, c: &Rc<Connection>) -> Rc<RefCell<Self>> {
        let share = Share::new(&node.channels.registered, c);
        Rc::new(RefCell::new(Self { tokens: Watched::new(), names: 0, share }))
    }

    /// More of them, of one database. A key that is watched already stays so from then on.
    ///
    /// # Errors
    /// If they would take too much: then none of them is watched that was not before.
    pub(crate) fn add(
        &mut self,
        db: usize,
        keys: &[Vec<u8>],
        look: impl Fn(&[u8]) -> Token,
    ) -> Result<(), CommandError> {
        let (mut new, mut names) = (Watched::new(), 0);
        for key in keys {
            let place = (db, key.clone());
            if !self.tokens.contains_key(&place) && new.insert(place, look(key)).is_none() {
                names += key.len();
            }
        }
        self.share.grow(names + new.len() * WATCH_BYTES)?;
        self.names += names;
        self.tokens.extend(new);
        Ok(())
    }

    /// Hands them over, with how many bytes their names have.
    pub(crate) fn take(&mut self) -> (Watched, usize) {
        (std::mem::take(&mut self.tokens), std::mem::take(&mut self.names))
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let mut tokens = std::mem::take(&mut self.tokens);
        if tokens.len() > DROPPED_AT_ONCE {
            self.share.discard(move || (0..DROPPED_AT_ONCE).all(|_| tokens.pop_first().is_some()));
        }
    }
}
