//! Who of this node's clients listens to what: channels, patterns, channels of shards (R18).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

use quorate_keyspace::{
    CommandError, Events, Interest, Reply,
    glob::{self, Glob, TooHard},
};
use quorate_resp::Protocol;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::registered::Registered;

/// What a subscription takes beside its name.
const SUBSCRIPTION_BYTES: usize = 160;
/// A pattern may have so many bytes: matching takes time with this times the length of the channel.
const PATTERN_BYTES_MAX: usize = 16 << 10;
/// Whoever begins or ends listening to many names does so in steps of so many: others are served between. The thread looks for
/// what has arrived only after some sixty such turns.
pub(crate) const STEP: usize = 128;
/// Or of so many bytes of names, if there is more than one.
pub(crate) const STEP_BYTES: usize = 64 << 10;
/// Matching takes time when the bytes of all patterns, times those of the channel, are more than this.
const SHORT_WORK: usize = 16 << 20;

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

    /// How many of all kinds.
    pub(crate) fn len_of_all(&self) -> usize {
        self.names.iter().map(BTreeSet::len).sum()
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

    /// The first of their names in order, as many as are one step.
    pub(crate) fn some_names(&self, kind: Kind) -> Vec<Rc<[u8]>> {
        self.names[kind as usize].iter().take(STEP).cloned().collect()
    }

    /// The number that subscribers are told: of channels and patterns, or of channels of shards.
    fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.len(Kind::Channel) + self.len(Kind::Pattern),
            Kind::Shard => self.len(Kind::Shard),
        }
    }
}

/// Those who listen to one name, in the order of client ids: messages reach the oldest client first. Most names have one.
type Listeners = SmallVec<[(u64, Weak<Connection>); 1]>;

/// Names of one kind that a client, which is gone, has listened to.
type Left = (u64, Kind, BTreeSet<Rc<[u8]>>);

/// See the module.
pub(crate) struct Channels {
    listeners: [RefCell<BTreeMap<Rc<[u8]>, Listeners>>; 3],
    /// Of patterns, each counted once for each client.
    pattern_bytes: Cell<usize>,
    /// How many names there are, counted like that.
    names: Cell<usize>,
    interest: Rc<Cell<Interest>>,
    /// What it all takes.
    pub(crate) registered: Rc<Registered>,
    left: RefCell<VecDeque<Left>>,
    /// Told when something was left.
    leaving: Notify,
}

impl Channels {
    /// Nobody listens yet.
    pub(crate) fn new(registered: Rc<Registered>) -> Self {
        Self {
            listeners: Default::default(),
            pattern_bytes: Cell::new(0),
            names: Cell::new(0),
            interest: Rc::default(),
            registered,
            left: RefCell::default(),
            leaving: Notify::new(),
        }
    }

    /// Whether it takes time to find out who listens to a channel of this length.
    pub(crate) fn takes_time(&self, channel_len: usize) -> bool {
        self.pattern_bytes.get().saturating_mul(channel_len + 16) > SHORT_WORK
    }

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
        Self::judge(kind, name)?;
        self.registered.take(c, Self::bytes_of(name))?;
        self.names.set(self.names.get() + 1);
        if kind == Kind::Pattern {
            self.pattern_bytes.set(self.pattern_bytes.get() + name.len());
        }
        let mut all = self.listeners[kind as usize].borrow_mut();
        let shared = all.get_key_value(name).map_or_else(|| Rc::from(name), |(name, _)| name.clone());
        let listeners = all.entry(shared.clone()).or_default();
        let place = listeners.partition_point(|(id, _)| *id < c.id);
        listeners.insert(place, (c.id, Rc::downgrade(c)));
        own.names[kind as usize].insert(shared);
        self.follow();
        Ok(own.told(kind))
    }

    /// What a subscription takes.
    pub(crate) fn bytes_of(name: &[u8]) -> usize {
        name.len() + SUBSCRIPTION_BYTES
    }

    /// Judges whether anybody may listen to this.
    ///
    /// # Errors
    /// As of [`Self::subscribe`].
    pub(crate) fn judge(kind: Kind, name: &[u8]) -> Result<(), CommandError> {
        match kind {
            Kind::Pattern if name.len() > PATTERN_BYTES_MAX => Err(LONG_PATTERN),
            // Whoever publishes later cannot be told.
            Kind::Pattern if !glob::is_bounded(name) => Err(TooHard.into()),
            _ => Ok(()),
        }
    }

    /// Has a connection listen no more. How many names it listens to then.
    pub(crate) fn unsubscribe(&self, kind: Kind, c: &Connection, name: &[u8]) -> usize {
        let mut own = c.subscriptions.borrow_mut();
        if own.names[kind as usize].remove(name) {
            self.registered.give(c, Self::bytes_of(name));
            self.forget(c.id, kind, name);
            self.follow();
        }
        own.told(kind)
    }

    /// A client listens to a name no more.
    fn forget(&self, id: u64, kind: Kind, name: &[u8]) {
        self.names.set(self.names.get() - 1);
        if kind == Kind::Pattern {
            self.pattern_bytes.set(self.pattern_bytes.get() - name.len());
        }
        let mut all = self.listeners[kind as usize].borrow_mut();
        let Some(listeners) = all.get_mut(name) else { return };
        listeners.retain(|(other, _)| *other != id);
        if listeners.is_empty() {
            all.remove(name);
        }
    }

    /// Has a connection listen to nothing, or to less than before: a call takes one step. Whether something is left.
    pub(crate) fn leave_some(&self, c: &Connection) -> bool {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            let names = c.subscriptions.borrow().some_names(kind);
            for name in names {
                self.unsubscribe(kind, c, &name);
            }
            if c.subscriptions.borrow().len(kind) > 0 {
                return true;
            }
        }
        false
    }

    /// The same for a client that is gone: if it has listened to much, [`Self::tidy`] forgets it bit by bit.
    pub(crate) fn gone(&self, c: &Connection) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            let names = std::mem::take(&mut c.subscriptions.borrow_mut().names[kind as usize]);
            if names.len() <= STEP {
                names.iter().for_each(|name| self.forget(c.id, kind, name));
            } else {
                self.left.borrow_mut().push_back((c.id, kind, names));
                self.leaving.notify_one();
            }
        }
        self.follow();
    }

    /// Forgets what clients that are gone have listened to, in short steps, for ever.
    pub(crate) async fn tidy(&self) {
        loop {
            let left = self.left.borrow_mut().pop_front();
            let Some((id, kind, mut names)) = left else {
                self.leaving.notified().await;
                continue;
            };
            for name in (0..STEP).map_while(|_| names.pop_first()) {
                self.forget(id, kind, &name);
            }
            if !names.is_empty() {
                self.left.borrow_mut().push_back((id, kind, names));
            }
            self.follow();
            tokio::task::yield_now().await;
        }
    }

    /// Channels with subscribers whose names match, in order.
    ///
    /// # Errors
    /// If that takes too long to find out.
    pub(crate) fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Result<Vec<Rc<[u8]>>, CommandError> {
        let all = self.listeners[kind as usize].borrow();
        let Some(pattern) = pattern.filter(|pattern| *pattern != b"*") else {
            return Ok(all.keys().cloned().collect());
        };
        let (glob, mut found) = (Glob::new(pattern), Vec::new());
        for name in all.keys() {
            if glob.matches(name)? {
                found.push(name.clone());
            }
        }
        Ok(found)
    }

    /// How many names of a kind have subscribers.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.listeners[kind as usize].borrow().len()
    }

    /// How many listen to a name.
    pub(crate) fn listeners(&self, kind: Kind, name: &[u8]) -> usize {
        self.listeners[kind as usize].borrow().get(name).map_or(0, SmallVec::len)
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
        self.interest.set(Interest { messages: self.names.get() > 0, ..self.interest.get() });
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
    for c in listeners.iter().filter_map(|(_, c)| c.upgrade()) {
        let protocol = c.protocol.get();
        let bytes = if protocol == Protocol::Resp2 { &mut resp2 } else { &mut resp3 };
        if bytes.is_empty() {
            *bytes = encode(protocol);
        }
        c.feed(bytes);
    }
    listeners.len()
}
