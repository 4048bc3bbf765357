//! Client-side caching: which of this node's clients may hold copies of which keys, and tells them when those change
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>).
//!
//! A client registers a key when a command *reads* it for the client's answer, be it one that the client has sent, a step of
//! its transaction or a call of its script; not when the command arrives: a change between the two would otherwise use up
//! the registration before the client has the new value. What an entry changed is told right after it was applied here,
//! whoever wrote it and on whatever node; and answers of later states come later. So a client that has read everything it
//! was sent never holds a value older than what it was told. After a change of leader, or when the state jumps to a
//! snapshot, everybody is told to drop everything (R18).

use std::cell::{Cell, RefCell};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::{Rc, Weak};

use quorate_keyspace::command::Command;
use quorate_keyspace::{CommandError, Interest, Reply};
use quorate_planted::{Bug, is_planted};
use quorate_resp::Protocol;

use crate::channels::Kind;
use crate::connection::Connection;
use crate::registered::Registered;

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

/// What a connection that caches values has asked for.
#[derive(Default)]
pub(crate) struct Tracked {
    pub(crate) options: Options,
    /// CLIENT CACHING, for the command or transaction that follows.
    pub(crate) caching: Cell<Option<bool>>,
    /// The client to be told is gone.
    pub(crate) is_broken: Cell<bool>,
}

impl Tracked {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Whether what the next command reads is to be registered.
    pub(crate) fn wants(&self) -> bool {
        let Options { bcast, optin, optout, .. } = self.options;
        !bcast
            && (!optin || self.caching.get() == Some(true))
            && (!optout || self.caching.get() != Some(false))
    }
}

/// Who may hold a copy of a key, by client id, and how many changes of keys there had been when it got the first.
type Table = BTreeMap<Box<[u8]>, BTreeMap<u64, u64>>;

/// The table may take so many bytes: beyond, keys are given up.
const TABLE_BYTES_MAX: usize = 256 << 20;
/// What a key in it takes beside its name, and each of its clients.
const KEY_BYTES: usize = 160;
const CLIENT_BYTES: usize = 24;
/// What a prefix takes beside its bytes.
const PREFIX_BYTES: usize = 64;
/// A table that is not needed any more is freed in steps of so many keys.
const FREE_STEP: usize = 256;
/// So many prefixes of all clients are compared to say how many different ones there are.
const PREFIXES_COMPARED: usize = 10_000;

/// See the module.
pub(crate) struct Tracking {
    /// Who may hold a copy of a key, by client id.
    keys: RefCell<Table>,
    /// Beyond so many keys others are given up, whose clients are told; 0 is any number (`tracking-table-max-keys`).
    keys_max: Cell<usize>,
    /// The key that was given up last: the next one is the one behind it.
    hand: RefCell<Vec<u8>>,
    /// Entries in all sets of `keys`.
    items: Cell<usize>,
    /// What `keys` takes, about.
    bytes: Cell<usize>,
    /// What prefixes take is counted here.
    registered: Rc<Registered>,
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

/// The empty one stands for every key.
fn own_or_every(prefixes: &[Vec<u8>]) -> Vec<&[u8]> {
    if prefixes.is_empty() { vec![b""] } else { prefixes.iter().map(Vec::as_slice).collect() }
}

/// What prefixes take.
fn bytes_of(prefixes: &[Vec<u8>]) -> usize {
    prefixes.iter().map(|prefix| PREFIX_BYTES + prefix.len()).sum()
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
    pub(crate) fn new(
        connections: Rc<Connections>,
        interest: Rc<Cell<Interest>>,
        registered: Rc<Registered>,
    ) -> Self {
        Self {
            keys: RefCell::default(),
            keys_max: Cell::new(0),
            hand: RefCell::default(),
            items: Cell::new(0),
            bytes: Cell::new(0),
            registered,
            readers: RefCell::default(),
            listeners: RefCell::default(),
            gathered: RefCell::default(),
            connections,
            interest,
        }
    }

    /// CLIENT TRACKING ON.
    ///
    /// # Errors
    /// If its prefixes would take too much memory.
    pub(crate) fn begin(&self, c: &Rc<Connection>, options: Options) -> Result<(), CommandError> {
        let before: usize =
            c.tracked.borrow().as_ref().map_or(0, |tracked| bytes_of(&tracked.options.prefixes));
        self.registered.take(c, bytes_of(&options.prefixes).saturating_sub(before))?;
        let clients = if options.bcast { &self.listeners } else { &self.readers };
        clients.borrow_mut().insert(c.id, Rc::downgrade(c));
        *c.tracked.borrow_mut() = Some(Rc::new(Tracked::new(options)));
        self.interest.set(Interest { keys: true, ..self.interest.get() });
        Ok(())
    }

    /// CLIENT TRACKING OFF, or the end of the connection. What it had registered goes when it changes.
    pub(crate) fn end(&self, c: &Connection) {
        let Some(tracked) = c.tracked.take() else { return };
        self.registered.give(c, bytes_of(&tracked.options.prefixes));
        let (mut readers, mut listeners) = (self.readers.borrow_mut(), self.listeners.borrow_mut());
        readers.remove(&c.id);
        listeners.remove(&c.id);
        if readers.is_empty() {
            self.forget_all();
        }
        let keys = !readers.is_empty() || !listeners.is_empty();
        self.interest.set(Interest { keys, ..self.interest.get() });
    }

    /// A command has read for a client's answer, when so many changes of keys had been noted.
    pub(crate) fn register(&self, c: &Connection, command: &Command, args: &[&[u8]], at: u64) {
        let positions = command.key_positions(args).unwrap_or_default();
        positions.iter().for_each(|&i| self.insert(c, args[i], at));
        self.give_up_keys();
    }

    fn insert(&self, c: &Connection, key: &[u8], at: u64) {
        let mut table = self.keys.borrow_mut();
        let (len, had) = (key.len(), table.len());
        let clients = match table.get_mut(key) {
            Some(clients) => clients,
            None => table.entry(key.into()).or_default(),
        };
        if let Entry::Vacant(place) = clients.entry(c.id) {
            place.insert(at);
            self.items.set(self.items.get() + 1);
            let of_key = (table.len() - had) * (KEY_BYTES + len);
            self.bytes.set(self.bytes.get() + of_key + CLIENT_BYTES);
        }
    }

    /// What this client has cached it may not trust, if it has tracking on.
    pub(crate) fn tell_to_drop_all(&self, c: &Rc<Connection>) {
        if let Some(tracked) = c.tracked.borrow().clone() {
            self.tell(c, &tracked, None);
        }
    }

    /// From now on no more keys than this are kept.
    pub(crate) fn limit_keys(&self, max: usize) {
        self.keys_max.set(max);
        self.give_up_keys();
    }

    /// No key is registered any more.
    fn forget_all(&self) {
        let mut table = self.keys.take();
        self.items.set(0);
        self.bytes.set(0);
        if table.len() > FREE_STEP {
            self.registered.discard(move || {
                (0..FREE_STEP).map_while(|_| table.pop_first()).for_each(drop);
                !table.is_empty()
            });
        }
    }

    /// Keys beyond the limit, whose clients are told.
    fn give_up_keys(&self) {
        let is_full = || {
            let (keys, max) = (self.keys.borrow().len(), self.keys_max.get());
            max > 0 && keys > max || self.bytes.get() > TABLE_BYTES_MAX
        };
        while is_full() {
            let key = self.next_to_give_up();
            self.tell_readers(&key, None, u64::MAX);
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

    /// A key has changed, by a command of the client `by`, when `at` other changes had been noted. Clients with BCAST hear of
    /// it by [`Self::broadcast`].
    pub(crate) fn changed(&self, key: &[u8], by: Option<u64>, at: u64) {
        self.tell_readers(key, by, at);
        if !self.listeners.borrow().is_empty() {
            // Of a key that several have changed everybody hears.
            let mut gathered = self.gathered.borrow_mut();
            let one = gathered.entry(key.into()).or_insert(by);
            *one = by.filter(|_| *one == by);
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
            for prefix in meant(prefixes, &gathered) {
                let keys: Vec<&[u8]> = gathered
                    .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
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

    /// Tells those who may hold a copy of a key from before a change.
    fn tell_readers(&self, key: &[u8], by: Option<u64>, change: u64) {
        let Some(registered) = self.keys.borrow_mut().remove(key) else { return };
        self.items.set(self.items.get() - registered.len());
        self.bytes.set(self.bytes.get() - KEY_BYTES - key.len() - registered.len() * CLIENT_BYTES);
        for (id, at) in registered {
            let Some(c) = self.readers.borrow().get(&id).and_then(Weak::upgrade) else { continue };
            let Some(tracked) = c.tracked.borrow().clone() else { continue };
            if at > change || (tracked.options.noloop && by == Some(id)) {
                // It has read the key behind the change, in the same entry, or may have: later ones it must hear of.
                self.insert(&c, key, at);
            } else {
                self.tell(&c, &tracked, Some(&[key]));
            }
        }
    }

    /// Any key may have changed: everybody is told to drop everything.
    pub(crate) fn all_changed(&self) {
        self.forget_all();
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
        if redirect != 0 && keys.is_none() && is_planted(Bug::RedirectForgetsAll) {
            return;
        }
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
        let tracked: Vec<Rc<Tracked>> =
            listeners.values().filter_map(Weak::upgrade).filter_map(|c| c.tracked.borrow().clone()).collect();
        let all = || tracked.iter().map(|tracked| tracked.options.prefixes.len().max(1)).sum();
        // When there are very many, which are the same is not worth the time.
        let prefixes = match all() {
            0..=PREFIXES_COMPARED => {
                tracked.iter().flat_map(|t| own_or_every(&t.options.prefixes)).collect::<BTreeSet<_>>().len()
            }
            many => many,
        };
        let clients = self.readers.borrow().len() + listeners.len();
        Counts { keys: self.keys.borrow().len(), items: self.items.get(), prefixes, clients }
    }
}

/// Of prefixes in order, of which none begins with another, those that may have something among these keys. None stands for all.
fn meant<'a>(prefixes: &'a [Vec<u8>], keys: &BTreeMap<Box<[u8]>, Option<u64>>) -> Vec<&'a [u8]> {
    if prefixes.is_empty() {
        return vec![b""];
    }
    if prefixes.len() <= keys.len() {
        return prefixes.iter().map(Vec::as_slice).collect();
    }
    let of_key = |key: &[u8]| prefixes[..prefixes.partition_point(|prefix| prefix[..] <= *key)].last();
    let mut meant: Vec<&[u8]> = keys.keys().filter_map(|key| of_key(key)).map(Vec::as_slice).collect();
    meant.dedup();
    meant
}

fn feed(c: &Connection, run: &mut dyn FnMut(&mut Reply<'_>)) {
    let mut bytes = Vec::new();
    run(&mut Reply::new(&mut bytes, c.protocol.get()));
    c.feed(&bytes);
}
