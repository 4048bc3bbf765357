//! Who of this node's clients listens to what: channels, patterns, channels of shards (R18).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use quorate_keyspace::{CommandError, Events, Interest, Reply, glob};
use quorate_resp::Protocol;

use crate::connection::Connection;

/// Names that clients of a node listen to may take so many bytes together, each counted once for each of them.
const NAMES_BYTES_MAX: usize = 256 << 20;
/// What a subscription takes beside its name.
const SUBSCRIPTION_BYTES: usize = 160;
/// A pattern may have so many bytes: with many `*`, matching takes time in proportion to this times the channel's.
const PATTERN_BYTES_MAX: usize = 16 << 10;

const TOO_MANY: CommandError = CommandError::fixed(
    "ERR the subscriptions of this node's clients take 256 MB: no further ones are taken",
);
const LONG_PATTERN: CommandError = CommandError::fixed("ERR a pattern may have at most 16 KB");

/// What one can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
}

/// What a connection listens to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    names: [BTreeSet<Rc<[u8]>>; 3],
}

impl Subscriptions {
    /// How many of one kind.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.names[kind as usize].contains(name)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// Whether `test` holds for each name; it is told whether that is a pattern.
    pub(crate) fn all(&self, test: impl Fn(&[u8], bool) -> bool) -> bool {
        let kinds = [Kind::Channel, Kind::Pattern, Kind::Shard];
        kinds
            .into_iter()
            .all(|kind| self.names[kind as usize].iter().all(|name| test(name, kind == Kind::Pattern)))
    }

    /// Their names, in order.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Rc<[u8]>> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// The number that subscribers are told: of channels and patterns, or of channels of shards.
    fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.len(Kind::Channel) + self.len(Kind::Pattern),
            Kind::Shard => self.len(Kind::Shard),
        }
    }
}

/// Those who listen to one name, by client id: messages reach the oldest client first.
type Listeners = BTreeMap<u64, Weak<Connection>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Channels {
    listeners: [RefCell<BTreeMap<Rc<[u8]>, Listeners>>; 3],
    bytes: Cell<usize>,
    interest: Rc<Cell<Interest>>,
}

impl Channels {
    /// What this node's clients want to hear of, for the replica.
    pub(crate) fn interest(&self) -> Rc<Cell<Interest>> {
        self.interest.clone()
    }

    /// Has a connection listen. How many names it listens to then.
    ///
    /// # Errors
    /// If that would take too much memory.
    pub(crate) fn subscribe(
        &self,
        kind: Kind,
        c: &Rc<Connection>,
        name: &[u8],
    ) -> Result<usize, CommandError> {
        let mut own = c.subscriptions.borrow_mut();
        if own.names[kind as usize].contains(name) {
            return Ok(own.told(kind));
        }
        if kind == Kind::Pattern && name.len() > PATTERN_BYTES_MAX {
            return Err(LONG_PATTERN);
        }
        let bytes = self.bytes.get() + name.len() + SUBSCRIPTION_BYTES;
        if bytes > NAMES_BYTES_MAX {
            return Err(TOO_MANY);
        }
        self.bytes.set(bytes);
        let mut all = self.listeners[kind as usize].borrow_mut();
        let shared = all.get_key_value(name).map_or_else(|| Rc::from(name), |(name, _)| name.clone());
        all.entry(shared.clone()).or_default().insert(c.id, Rc::downgrade(c));
        own.names[kind as usize].insert(shared);
        self.follow();
        Ok(own.told(kind))
    }

    /// Has a connection listen no more. How many names it listens to then.
    pub(crate) fn unsubscribe(&self, kind: Kind, c: &Connection, name: &[u8]) -> usize {
        let mut own = c.subscriptions.borrow_mut();
        if own.names[kind as usize].remove(name) {
            self.bytes.set(self.bytes.get() - name.len() - SUBSCRIPTION_BYTES);
            let mut all = self.listeners[kind as usize].borrow_mut();
            if let Some(listeners) = all.get_mut(name) {
                listeners.remove(&c.id);
                if listeners.is_empty() {
                    all.remove(name);
                }
            }
            self.follow();
        }
        own.told(kind)
    }

    /// Has a connection listen to nothing.
    pub(crate) fn leave(&self, c: &Connection) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            let names = c.subscriptions.borrow().names(kind);
            for name in names {
                self.unsubscribe(kind, c, &name);
            }
        }
    }

    /// Channels with subscribers whose names match, in order.
    pub(crate) fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Rc<[u8]>> {
        let all = self.listeners[kind as usize].borrow();
        let matches =
            |name: &&Rc<[u8]>| pattern.is_none_or(|pattern| pattern == b"*" || glob::matches(pattern, name));
        all.keys().filter(matches).cloned().collect()
    }

    /// How many names of a kind have subscribers.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.listeners[kind as usize].borrow().len()
    }

    /// How many listen to a name.
    pub(crate) fn listeners(&self, kind: Kind, name: &[u8]) -> usize {
        self.listeners[kind as usize].borrow().get(name).map_or(0, BTreeMap::len)
    }

    /// Hands a message to those who listen, and says how many they are.
    pub(crate) fn deliver(&self, channel: &[u8], message: &[u8], sharded: bool) -> usize {
        let (kind, word) =
            if sharded { (Kind::Shard, &b"smessage"[..]) } else { (Kind::Channel, &b"message"[..]) };
        let mut receivers = 0;
        if let Some(listeners) = self.listeners[kind as usize].borrow().get(channel) {
            receivers += feed(listeners, &[word, channel, message]);
        }
        if !sharded {
            for (pattern, listeners) in self.listeners[Kind::Pattern as usize].borrow().iter() {
                if **pattern == *b"*" || glob::matches(pattern, channel) {
                    receivers += feed(listeners, &[b"pmessage", pattern, channel, message]);
                }
            }
        }
        receivers
    }

    /// A keyspace notification.
    pub(crate) fn tell_event(&self, db: usize, event: &str, key: &[u8], on: Events) {
        if on.contains(Events::KEYSPACE) {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.deliver(&channel, event.as_bytes(), false);
        }
        if on.contains(Events::KEYEVENT) {
            self.deliver(format!("__keyevent@{db}__:{event}").as_bytes(), key, false);
        }
    }

    fn follow(&self) {
        self.interest.set(Interest { messages: self.bytes.get() > 0, ..self.interest.get() });
    }
}

/// Hands words to all listeners, encoded once for each version of the protocol.
fn feed(listeners: &Listeners, words: &[&[u8]]) -> usize {
    let encode = |protocol| {
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, protocol);
        reply.push(words.len());
        words.iter().for_each(|word| reply.bulk(word));
        bytes
    };
    let (mut resp2, mut resp3) = (Vec::new(), Vec::new());
    for c in listeners.values().filter_map(Weak::upgrade) {
        let protocol = c.protocol.get();
        let bytes = if protocol == Protocol::Resp2 { &mut resp2 } else { &mut resp3 };
        if bytes.is_empty() {
            *bytes = encode(protocol);
        }
        c.feed(bytes);
    }
    listeners.len()
}
