//! What a node remembers for its clients until they go: names that they listen to, keys that they watch, prefixes of
//! client-side caching. All of it together is bounded.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use quorate_keyspace::CommandError;
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::tracking::Connections;

/// For all clients together.
const BYTES_MAX: usize = 256 << 20;

const TOO_MUCH: CommandError = CommandError::fixed(
    "ERR what clients of this node listen to and watch takes 256 MB, and no other client has more of it: nothing further is \
     taken",
);

/// Drops a part of what nobody needs any more, and says whether there is more of it.
type Discarded = Box<dyn FnMut() -> bool>;

/// See the module.
pub(crate) struct Registered {
    bytes: Cell<usize>,
    /// Clients that were disconnected because others had no room.
    evicted: Cell<u64>,
    connections: Rc<Connections>,
    /// What [`Self::tidy`] drops.
    discarded: RefCell<Vec<Discarded>>,
    discarding: Notify,
}

impl Registered {
    /// For the clients of a node.
    pub(crate) fn new(connections: Rc<Connections>) -> Self {
        Self {
            bytes: Cell::new(0),
            evicted: Cell::new(0),
            connections,
            discarded: RefCell::default(),
            discarding: Notify::new(),
        }
    }

    /// How many clients had to go, so that others had room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.get()
    }

    /// Counts something that a client has the node remember. If there is no room, whoever has most of it goes: so one that
    /// asks without end keeps nobody else from what it needs.
    ///
    /// # Errors
    /// That would be this client itself.
    pub(crate) fn take(&self, c: &Connection, bytes: usize) -> Result<(), CommandError> {
        while self.bytes.get() + bytes > BYTES_MAX {
            let own = c.held.registered.get() + bytes;
            let largest =
                self.largest().filter(|other| other.id != c.id && other.held.registered.get() > own);
            let Some(largest) = largest else { return Err(TOO_MUCH) };
            let bytes = largest.held.registered.get();
            tracing::info!(
                client = largest.id,
                bytes,
                "disconnecting a client that listens to or watches too much"
            );
            self.give_all(&largest);
            largest.close();
            self.evicted.set(self.evicted.get() + 1);
        }
        self.bytes.set(self.bytes.get() + bytes);
        c.held.registered.set(c.held.registered.get() + bytes);
        Ok(())
    }

    /// A client does not need this any more. What it has is forgotten bit by bit when it was told to go.
    pub(crate) fn give(&self, c: &Connection, bytes: usize) {
        let bytes = bytes.min(c.held.registered.get());
        self.bytes.set(self.bytes.get() - bytes);
        c.held.registered.set(c.held.registered.get() - bytes);
    }

    /// The client is gone, or as good as.
    pub(crate) fn give_all(&self, c: &Connection) {
        self.give(c, c.held.registered.get());
    }

    /// Something is not needed any more and takes time to drop: `drop_some` is called until it says that there is no more.
    pub(crate) fn discard(&self, drop_some: impl FnMut() -> bool + 'static) {
        self.discarded.borrow_mut().push(Box::new(drop_some));
        self.discarding.notify_one();
    }

    /// Drops what nobody needs any more, in short steps, for ever.
    pub(crate) async fn tidy(&self) {
        loop {
            let discarded = self.discarded.borrow_mut().pop();
            let Some(mut drop_some) = discarded else {
                self.discarding.notified().await;
                continue;
            };
            while drop_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn largest(&self) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        connections.values().filter_map(Weak::upgrade).max_by_key(|c| c.held.registered.get())
    }
}

/// What one thing takes of it, until this is dropped.
pub(crate) struct Share {
    registered: Rc<Registered>,
    of: Weak<Connection>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub(crate) fn new(registered: &Rc<Registered>, of: &Rc<Connection>) -> Self {
        Self { registered: registered.clone(), of: Rc::downgrade(of), bytes: 0 }
    }

    /// Counts more.
    ///
    /// # Errors
    /// See [`Registered::take`].
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), CommandError> {
        let Some(c) = self.of.upgrade() else { return Ok(()) };
        self.registered.take(&c, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// See [`Registered::discard`].
    pub(crate) fn discard(&self, drop_some: impl FnMut() -> bool + 'static) {
        self.registered.discard(drop_some);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(c) = self.of.upgrade() {
            self.registered.give(&c, self.bytes);
        }
    }
}
