//! Client-side caching: which of this node's clients may hold copies of which keys, and tells them when those change
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>).
//!
//! A client registers a key when the *answer* with its value is made, not when its command arrives: a change between the two
//! would otherwise use up the registration before the client has the new value. What an entry changed is told right after it
//! was applied here, whoever wrote it and on whatever node; and answers of later states come later. So a client that has read
//! everything it was sent never holds a value older than what it was told. After a change of leader, or when the state
//! jumps to a snapshot, everybody is told to drop everything (R18).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::{Rc, Weak};

use quorate_keyspace::{Interest, Reply};
use quorate_resp::Protocol;

use crate::channels::Kind;
use crate::connection::Connection;

/// Where a client of RESP2 hears of invalidations.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What CLIENT TRACKING ON asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Every key with one of the prefixes, read or not.
    pub(crate) bcast: bool,
    /// Of `bcast`; none is every key.
    pub(crate) prefixes: Vec<Vec<u8>>,
    /// Only what is read behind CLIENT CACHING YES.
    pub(crate) optin: bool,
    /// All but what is read behind CLIENT CACHING NO.
    pub(crate) optout: bool,
    /// Not what this client itself changes.
    pub(crate) noloop: bool,
    /// Tell this client instead; 0 is none.
    pub(crate) redirect: u64,
}

/// The keys of commands that are not answered yet, and the number of each of these commands.
pub(crate) type Awaited = VecDeque<(u64, Vec<Box<[u8]>>)>;

/// What a connection that caches values has asked for.
#[derive(Default)]
pub(crate) struct Tracked {
    pub(crate) options: Options,
    /// CLIENT CACHING, for the command or transaction that follows.
    pub(crate) caching: Cell<Option<bool>>,
    /// The client to be told is gone.
    pub(crate) is_broken: Cell<bool>,
    awaited: RefCell<Awaited>,
}

impl Tracked {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Whether the keys of a read are to be registered.
    pub(crate) fn wants(&self) -> bool {
        let Options { bcast, optin, optout, .. } = self.options;
        !bcast
            && (!optin || self.caching.get() == Some(true))
            && (!optout || self.caching.get() != Some(false))
    }

    /// These keys are read by the command of that number.
    pub(crate) fn await_answer(&self, number: u64, keys: Vec<Box<[u8]>>) {
        self.awaited.borrow_mut().push_back((number, keys));
    }

    /// The keys of commands up to this one, which is answered.
    pub(crate) fn answered(&self, number: u64) -> Vec<Box<[u8]>> {
        let mut awaited = self.awaited.borrow_mut();
        let mut keys = Vec::new();
        while awaited.front().is_some_and(|(n, _)| *n <= number) {
            keys.extend(awaited.pop_front().into_iter().flat_map(|(_, keys)| keys));
        }
        keys
    }
}

/// See the module.
pub(crate) struct Tracking {
    /// Who may hold a copy of a key, by client id.
    keys: RefCell<BTreeMap<Box<[u8]>, BTreeSet<u64>>>,
    /// Beyond so many keys others are given up, whose clients are told; 0 is any number (`tracking-table-max-keys`).
    keys_max: Cell<usize>,
    /// The key that was given up last: the next one is the one behind it.
    hand: RefCell<Vec<u8>>,
    /// Entries in all sets of `keys`.
    items: Cell<usize>,
    /// Clients that have tracking on, but for those with BCAST.
    readers: RefCell<BTreeMap<u64, Weak<Connection>>>,
    /// Those with BCAST.
    listeners: RefCell<BTreeMap<u64, Weak<Connection>>>,
    /// What they are to be told of: keys, and the client that changed each last.
    gathered: RefCell<BTreeMap<Box<[u8]>, Option<u64>>>,
    /// All clients of the node: one may be told instead of another.
    connections: Rc<Connections>,
    interest: Rc<Cell<Interest>>,
}

/// How much is tracked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Keys that clients may have copies of.
    pub(crate) keys: usize,
    /// The same, each counted for each of its clients.
    pub(crate) items: usize,
    /// Different prefixes of BCAST.
    pub(crate) prefixes: usize,
    /// Clients with tracking on.
    pub(crate) clients: usize,
}

/// The clients of a node by id.
pub(crate) type Connections = RefCell<BTreeMap<u64, Weak<Connection>>>;

impl Tracking {
    /// `interest` is what the replica looks at.
    pub(crate) fn new(connections: Rc<Connections>, interest: Rc<Cell<Interest>>) -> Self {
        Self {
            keys: RefCell::default(),
            keys_max: Cell::new(0),
            hand: RefCell::default(),
            items: Cell::new(0),
            readers: RefCell::default(),
            listeners: RefCell::default(),
            gathered: RefCell::default(),
            connections,
            interest,
        }
    }

    /// CLIENT TRACKING ON.
    pub(crate) fn begin(&self, c: &Rc<Connection>, options: Options) {
        let clients = if options.bcast { &self.listeners } else { &self.readers };
        clients.borrow_mut().insert(c.id, Rc::downgrade(c));
        *c.tracked.borrow_mut() = Some(Rc::new(Tracked::new(options)));
        self.interest.set(Interest { keys: true, ..self.interest.get() });
    }

    /// CLIENT TRACKING OFF, or the end of the connection. What it had registered goes when it changes.
    pub(crate) fn end(&self, c: &Connection) {
        if c.tracked.take().is_none() {
            return;
        }
        let (mut readers, mut listeners) = (self.readers.borrow_mut(), self.listeners.borrow_mut());
        readers.remove(&c.id);
        listeners.remove(&c.id);
        if readers.is_empty() {
            self.keys.borrow_mut().clear();
            self.items.set(0);
        }
        let keys = !readers.is_empty() || !listeners.is_empty();
        self.interest.set(Interest { keys, ..self.interest.get() });
    }

    /// A client got the values of these keys.
    pub(crate) fn register(&self, c: &Connection, keys: Vec<Box<[u8]>>) {
        for key in keys {
            if self.keys.borrow_mut().entry(key).or_default().insert(c.id) {
                self.items.set(self.items.get() + 1);
            }
        }
        self.give_up_keys();
    }

    /// From now on no more keys than this are kept.
    pub(crate) fn limit_keys(&self, max: usize) {
        self.keys_max.set(max);
        self.give_up_keys();
    }

    /// Keys beyond the limit, whose clients are told.
    fn give_up_keys(&self) {
        while self.keys_max.get() > 0 && self.keys.borrow().len() > self.keys_max.get() {
            let key = self.next_to_give_up();
            self.tell_readers(&key, None);
        }
    }

    /// The key behind the one that was given up last.
    fn next_to_give_up(&self) -> Box<[u8]> {
        let (keys, mut hand) = (self.keys.borrow(), self.hand.borrow_mut());
        let after = keys.range::<[u8], _>((Bound::Excluded(&hand[..]), Bound::Unbounded)).next();
        let (key, _) = after.or_else(|| keys.first_key_value()).expect("there are too many");
        hand.clear();
        hand.extend_from_slice(key);
        key.clone()
    }

    /// A key has changed, by a command of the client `by`. Clients with BCAST hear of it by [`Self::broadcast`].
    pub(crate) fn changed(&self, key: &[u8], by: Option<u64>) {
        self.tell_readers(key, by);
        if !self.listeners.borrow().is_empty() {
            self.gathered.borrow_mut().insert(key.into(), by);
        }
    }

    /// An entry was applied: clients with BCAST are told at once of all keys that it changed, a message for each prefix.
    pub(crate) fn broadcast(&self) {
        let gathered = self.gathered.take();
        if gathered.is_empty() {
            return;
        }
        let listeners: Vec<_> = self.listeners.borrow().values().filter_map(Weak::upgrade).collect();
        for c in listeners {
            let Some(tracked) = c.tracked.borrow().clone() else { continue };
            let Options { prefixes, noloop, .. } = &tracked.options;
            let every = [Vec::new()];
            for prefix in if prefixes.is_empty() { &every } else { &prefixes[..] } {
                let keys: Vec<&[u8]> = gathered
                    .range::<[u8], _>((Bound::Included(&prefix[..]), Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(prefix))
                    .filter(|(_, by)| !(*noloop && **by == Some(c.id)))
                    .map(|(key, _)| &key[..])
                    .collect();
                if !keys.is_empty() {
                    self.tell(&c, &tracked, Some(&keys));
                }
            }
        }
    }

    /// Tells those who may hold a copy of a key.
    fn tell_readers(&self, key: &[u8], by: Option<u64>) {
        let Some(registered) = self.keys.borrow_mut().remove(key) else { return };
        self.items.set(self.items.get() - registered.len());
        for id in registered {
            let Some(c) = self.readers.borrow().get(&id).and_then(Weak::upgrade) else { continue };
            let Some(tracked) = c.tracked.borrow().clone() else { continue };
            if !(tracked.options.noloop && by == Some(id)) {
                self.tell(&c, &tracked, Some(&[key]));
            }
        }
    }

    /// Any key may have changed: everybody is told to drop everything.
    pub(crate) fn all_changed(&self) {
        self.keys.borrow_mut().clear();
        self.items.set(0);
        self.gathered.borrow_mut().clear();
        for clients in [&self.readers, &self.listeners] {
            let clients: Vec<_> = clients.borrow().values().filter_map(Weak::upgrade).collect();
            for c in clients {
                if let Some(tracked) = c.tracked.borrow().clone() {
                    self.tell(&c, &tracked, None);
                }
            }
        }
    }

    /// Tells a client, or the one that is told instead, of some keys or of all.
    fn tell(&self, c: &Rc<Connection>, tracked: &Tracked, keys: Option<&[&[u8]]>) {
        let redirect = tracked.options.redirect;
        let target = match redirect {
            0 => Some(c.clone()),
            id => self.connections.borrow().get(&id).and_then(Weak::upgrade),
        };
        let Some(target) = target else {
            tracked.is_broken.set(true);
            if c.protocol.get() == Protocol::Resp3 {
                feed(c, &mut |reply| {
                    reply.push(2);
                    reply.bulk(b"tracking-redir-broken");
                    reply.int(redirect as i64);
                });
            }
            return;
        };
        let keys = |reply: &mut Reply<'_>| match keys {
            Some(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
            None => reply.null_array(),
        };
        if target.protocol.get() == Protocol::Resp3 {
            feed(&target, &mut |reply| {
                reply.push(2);
                reply.bulk(b"invalidate");
                keys(reply);
            });
        } else if redirect != 0 && target.subscriptions.borrow().has(Kind::Channel, CHANNEL) {
            feed(&target, &mut |reply| {
                reply.array(3);
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
                keys(reply);
            });
        }
    }

    /// For INFO.
    pub(crate) fn counts(&self) -> Counts {
        let listeners = self.listeners.borrow();
        let prefixes: BTreeSet<Vec<u8>> = listeners
            .values()
            .filter_map(Weak::upgrade)
            .filter_map(|c| c.tracked.borrow().clone())
            .flat_map(|tracked| match &tracked.options.prefixes[..] {
                [] => vec![Vec::new()],
                prefixes => prefixes.to_vec(),
            })
            .collect();
        let clients = self.readers.borrow().len() + listeners.len();
        Counts { keys: self.keys.borrow().len(), items: self.items.get(), prefixes: prefixes.len(), clients }
    }
}

fn feed(c: &Connection, run: &mut dyn FnMut(&mut Reply<'_>)) {
    let mut bytes = Vec::new();
    run(&mut Reply::new(&mut bytes, c.protocol.get()));
    c.feed(&bytes);
}
