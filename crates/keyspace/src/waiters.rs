//! Commands that wait for a key, as a part of the state (R17).
//!
//! A command that finds nothing to take leaves a waiter behind, on every replica alike. Whatever makes one of its keys
//! ready serves it within the same entry, so nobody can take the element in between, whoever leads and whoever restarts.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use crate::{batch::Header, error::CommandError, value::Value};

/// Longest command line that may wait, in bytes: it stays in the state of every replica until it is answered.
pub(crate) const WAITER_BYTES_MAX: usize = 1 << 20;

/// Which command waits: the batch that brought it, and its number in there. Unique for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterId {
    /// The node whose client waits.
    pub node: u64,
    /// That node's start counter.
    pub start: u64,
    /// See [`Header::origin_epoch`].
    pub epoch: u32,
    /// Number of the batch.
    pub seq: u64,
    /// Number of the command in the batch, from 0.
    pub number: u64,
}

impl WaiterId {
    const BYTES: usize = 36;

    /// Command `number` of the batch with this header.
    #[must_use]
    pub fn new(header: &Header, number: usize) -> Self {
        Self {
            node: header.origin_node,
            start: header.origin_start,
            epoch: header.origin_epoch,
            seq: header.origin_seq,
            number: number as u64,
        }
    }

    /// As an argument of `\0unblock`.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        for word in [self.node, self.start, self.seq, self.number] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out
    }

    /// The inverse of [`WaiterId::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, epoch) = bytes.as_chunks::<8>();
        let words: [u64; 4] =
            words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>().try_into().ok()?;
        let [node, start, seq, number] = words;
        Some(Self { node, start, epoch: u32::from_le_bytes(epoch.try_into().ok()?), seq, number })
    }

    /// The first that a start of a node can have.
    fn first(node: u64, start: u64) -> Self {
        Self { node, start, epoch: 0, seq: 0, number: 0 }
    }
}

/// Why a command stops to wait without being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Its time is over, or CLIENT UNBLOCK says so.
    Timeout,
    /// CLIENT UNBLOCK ... ERROR.
    Error,
    /// Its node stops, or the cluster has not heard of it for long.
    Stopped,
}

impl Release {
    /// As an argument of `\0unblock`.
    #[must_use]
    pub fn word(self) -> &'static [u8] {
        match self {
            Self::Timeout => b"timeout",
            Self::Error => b"error",
            Self::Stopped => b"stopped",
        }
    }

    /// The inverse of [`Release::word`].
    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Timeout, Self::Error, Self::Stopped].into_iter().find(|release| release.word() == word)
    }

    /// What the client gets; nothing is null.
    pub(crate) fn error(self) -> Option<CommandError> {
        match self {
            Self::Timeout => None,
            Self::Error => Some(CommandError::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
            Self::Stopped => Some(CommandError::fixed(
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            )),
        }
    }
}

/// What can serve a command that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitsFor {
    /// A list.
    List,
    /// A sorted set.
    SortedSet,
    /// A stream.
    Stream,
    /// A group of a stream: it also ends when the stream does.
    Group,
}

impl WaitsFor {
    const ALL: [Self; 4] = [Self::List, Self::SortedSet, Self::Stream, Self::Group];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether a key that holds this (or nothing) is worth a try.
    fn is_served_by(self, value: Option<&Value>) -> bool {
        match self {
            Self::List => matches!(value, Some(Value::List(_))),
            Self::SortedSet => matches!(value, Some(Value::SortedSet(_))),
            Self::Stream => matches!(value, Some(Value::Stream(_))),
            Self::Group => true,
        }
    }
}

/// What a handler says of a command that is to wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) kind: WaitsFor,
    /// Which of the arguments are the keys.
    pub(crate) keys: Range<usize>,
    /// For how many milliseconds; 0 is for ever.
    pub(crate) timeout_ms: u64,
    /// What is to be carried out later in place of the arguments, if it is not the same.
    pub(crate) args: Option<Vec<Vec<u8>>>,
}

/// A command that waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) id: WaiterId,
    /// The number of who has sent it: it is served as long as that user may do this.
    pub(crate) user: u64,
    pub(crate) db: usize,
    pub(crate) kind: WaitsFor,
    /// Which of the arguments are the keys.
    pub(crate) keys: Range<usize>,
    pub(crate) args: Vec<Box<[u8]>>,
}

impl Waiter {
    pub(crate) fn new(id: WaiterId, user: u64, db: usize, args: &[&[u8]], wait: Wait) -> Self {
        let args = match wait.args {
            Some(args) => args.into_iter().map(Vec::into_boxed_slice).collect(),
            None => args.iter().map(|arg| Box::from(*arg)).collect(),
        };
        Self { id, user, db, kind: wait.kind, keys: wait.keys, args }
    }

    fn keys(&self) -> &[Box<[u8]>] {
        &self.args[self.keys.clone()]
    }

    /// Bytes that a snapshot and a restored waiter take: see `snapshot`.
    pub(crate) fn kind_byte(&self) -> u8 {
        self.kind as u8
    }

    /// A waiter from its parts, which may be hostile.
    pub(crate) fn restore(
        id: WaiterId,
        (user, db): (u64, usize),
        kind: u8,
        keys: Range<usize>,
        args: Vec<Box<[u8]>>,
    ) -> Option<Self> {
        let kind = WaitsFor::from_byte(kind)?;
        let fits = !keys.is_empty() && keys.start > 0 && keys.end <= args.len();
        fits.then_some(Self { id, user, db, kind, keys, args })
    }
}

/// Who waits for one key: the numbers of the waiters, by what serves them.
#[derive(Debug, Default)]
struct Queue {
    numbers: [BTreeSet<u64>; 4],
    /// Whether the key stands among those that became ready.
    is_ready: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.numbers.iter().all(BTreeSet::is_empty)
    }
}

/// All commands that wait. Between two elements of an entry no key is ready and nobody is about to be released.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Number of the next one: they are served in the order of their numbers.
    next: u64,
    by_number: BTreeMap<u64, Arc<Waiter>>,
    by_id: BTreeMap<WaiterId, u64>,
    by_key: BTreeMap<usize, BTreeMap<Box<[u8]>, Queue>>,
    /// Keys that became ready, in that order.
    ready: VecDeque<(usize, Box<[u8]>)>,
    /// Those that stop to wait.
    released: VecDeque<(WaiterId, Release)>,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// How many keys are waited for, and for how many of them it matters that they go.
    pub(crate) fn key_counts(&self) -> (usize, usize) {
        let queues = || self.by_key.values().flat_map(BTreeMap::values);
        let groups = queues().filter(|queue| !queue.numbers[WaitsFor::Group as usize].is_empty());
        (queues().count(), groups.count())
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    pub(crate) fn contains(&self, id: WaiterId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<Waiter>> {
        self.by_number.get(&number).cloned()
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<&Waiter> {
        self.by_number.get(&number).map(|waiter| &**waiter)
    }

    pub(crate) fn number_of(&self, id: WaiterId) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    /// All with their numbers, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Waiter>)> {
        self.by_number.iter().map(|(number, waiter)| (*number, waiter))
    }

    /// Those of one start of a node.
    pub(crate) fn of_start(&self, node: u64, start: u64) -> impl Iterator<Item = WaiterId> {
        let end = WaiterId::first(node, start.saturating_add(1));
        self.by_id.range(WaiterId::first(node, start)..end).map(|(id, _)| *id)
    }

    /// Those of the starts of a node before this one.
    pub(crate) fn before_start(&self, node: u64, start: u64) -> impl Iterator<Item = WaiterId> {
        self.by_id.range(WaiterId::first(node, 0)..WaiterId::first(node, start)).map(|(id, _)| *id)
    }

    /// The nodes whose clients wait, each with its last start that has any.
    pub(crate) fn origins(&self) -> Vec<(u64, u64)> {
        let mut origins = Vec::new();
        let mut last = self.by_id.keys().next_back().copied();
        while let Some(id) = last {
            origins.push((id.node, id.start));
            last = self.by_id.range(..WaiterId::first(id.node, 0)).next_back().map(|(id, _)| *id);
        }
        origins
    }

    /// Adds one behind all others. Returns its number.
    pub(crate) fn push(&mut self, waiter: Waiter) -> u64 {
        let number = self.next;
        assert!(self.insert(number, waiter), "a command waits once");
        number
    }

    /// Adds one behind all others. False if it does not belong there, or its identity is taken.
    pub(crate) fn insert(&mut self, number: u64, waiter: Waiter) -> bool {
        let is_last = self.by_number.last_key_value().is_none_or(|(last, _)| *last < number);
        if !is_last || self.by_id.contains_key(&waiter.id) {
            return false;
        }
        self.next = self.next.max(number + 1);
        self.by_id.insert(waiter.id, number);
        let keys = self.by_key.entry(waiter.db).or_default();
        for key in waiter.keys() {
            keys.entry(key.clone()).or_default().numbers[waiter.kind as usize].insert(number);
        }
        self.by_number.insert(number, Arc::new(waiter));
        true
    }

    /// Sets the number of the next one.
    pub(crate) fn restore_next(&mut self, next: u64) {
        self.next = next;
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Arc<Waiter>> {
        let waiter = self.by_number.remove(&number)?;
        self.by_id.remove(&waiter.id);
        let keys = self.by_key.get_mut(&waiter.db).expect("its keys are there");
        for key in waiter.keys() {
            // A key may be named twice.
            if let Some(queue) = keys.get_mut(key) {
                queue.numbers[waiter.kind as usize].remove(&number);
                if queue.is_empty() {
                    keys.remove(key);
                }
            }
        }
        if keys.is_empty() {
            self.by_key.remove(&waiter.db);
        }
        Some(waiter)
    }

    /// Notes that a key may be able to serve who waits for it: it holds something new, or no stream any more.
    pub(crate) fn signal(&mut self, db: usize, key: &[u8], gone: bool) {
        let Some(queue) = self.by_key.get_mut(&db).and_then(|keys| keys.get_mut(key)) else { return };
        let is_wanted = !gone || !queue.numbers[WaitsFor::Group as usize].is_empty();
        if is_wanted && !queue.is_ready {
            queue.is_ready = true;
            self.ready.push_back((db, key.into()));
        }
    }

    /// The keys of a database that somebody waits for.
    pub(crate) fn keys_of(&self, db: usize) -> Vec<Box<[u8]>> {
        self.by_key.get(&db).map_or_else(Vec::new, |keys| keys.keys().cloned().collect())
    }

    /// The key that became ready first.
    pub(crate) fn take_ready(&mut self) -> Option<(usize, Box<[u8]>)> {
        let (db, key) = self.ready.pop_front()?;
        self.clear_ready(db, &key);
        Some((db, key))
    }

    /// How many keys are ready.
    pub(crate) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Takes back what became ready after there were `count`.
    pub(crate) fn forget_ready(&mut self, count: usize) {
        while self.ready.len() > count
            && let Some((db, key)) = self.ready.pop_back()
        {
            self.clear_ready(db, &key);
        }
    }

    fn clear_ready(&mut self, db: usize, key: &[u8]) {
        if let Some(queue) = self.by_key.get_mut(&db).and_then(|keys| keys.get_mut(key)) {
            queue.is_ready = false;
        }
    }

    /// Has one answered without being served. False if it does not wait.
    pub(crate) fn release(&mut self, id: WaiterId, release: Release) -> bool {
        let waits = self.contains(id);
        if waits {
            self.released.push_back((id, release));
        }
        waits
    }

    pub(crate) fn take_released(&mut self) -> Option<(WaiterId, Release)> {
        self.released.pop_front()
    }

    /// Whether anybody is to be answered, or tried.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.released.is_empty()
    }

    /// The first waiter with a number of `from` or more that a key with this value may serve.
    pub(crate) fn next_for(&self, db: usize, key: &[u8], value: Option<&Value>, from: u64) -> Option<u64> {
        let queue = self.by_key.get(&db)?.get(key)?;
        let served = WaitsFor::ALL.into_iter().filter(|kind| kind.is_served_by(value));
        served.filter_map(|kind| queue.numbers[kind as usize].range(from..).next().copied()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: u64, start: u64, seq: u64) -> WaiterId {
        WaiterId { node, start, epoch: 1, seq, number: 2 }
    }

    fn waiter(id: WaiterId, kind: WaitsFor, keys: &[&str]) -> Waiter {
        let args = ["BLPOP"].iter().chain(keys).chain(&["0"]).map(|arg| Box::from(arg.as_bytes())).collect();
        Waiter { id, user: 0, db: 3, kind, keys: 1..1 + keys.len(), args }
    }

    #[test]
    fn identities_survive_as_bytes() {
        let id = WaiterId { node: 1, start: u64::MAX, epoch: 7, seq: 9, number: 1 << 40 };
        assert_eq!(WaiterId::from_bytes(&id.to_bytes()), Some(id));
        for len in (0..80).filter(|len| *len != WaiterId::BYTES) {
            assert_eq!(WaiterId::from_bytes(&vec![1; len]), None, "{len}");
        }
    }

    #[test]
    fn the_first_of_the_right_kind_comes_first() {
        let mut waiters = Waiters::default();
        let list = crate::types::list::List::new().into();
        waiters.push(waiter(id(1, 1, 1), WaitsFor::SortedSet, &["a", "b"]));
        waiters.push(waiter(id(1, 1, 2), WaitsFor::Group, &["b"]));
        let first = waiters.push(waiter(id(2, 1, 1), WaitsFor::List, &["a", "a", "b"]));
        let second = waiters.push(waiter(id(1, 1, 3), WaitsFor::List, &["b"]));
        assert_eq!(waiters.next_for(3, b"a", Some(&list), 0), Some(first));
        assert_eq!(waiters.next_for(3, b"b", Some(&list), 0), Some(1), "a group hears of any change");
        assert_eq!(waiters.next_for(3, b"b", Some(&list), 2), Some(first));
        assert_eq!(waiters.next_for(3, b"b", Some(&list), first + 1), Some(second));
        assert_eq!(waiters.next_for(3, b"a", None, 0), None);
        assert_eq!(waiters.next_for(2, b"a", Some(&list), 0), None, "another database");
        assert_eq!(waiters.key_counts(), (2, 1));
        waiters.remove(first);
        assert_eq!(waiters.next_for(3, b"a", Some(&list), 0), None);
    }

    #[test]
    fn a_key_is_ready_once_and_only_if_it_matters() {
        let mut waiters = Waiters::default();
        waiters.push(waiter(id(1, 1, 1), WaitsFor::List, &["a"]));
        waiters.push(waiter(id(1, 1, 2), WaitsFor::Group, &["g"]));
        waiters.signal(3, b"a", true);
        waiters.signal(3, b"other", false);
        waiters.signal(0, b"a", false);
        assert!(!waiters.has_work());
        waiters.signal(3, b"g", true);
        waiters.signal(3, b"a", false);
        waiters.signal(3, b"g", false);
        assert_eq!(waiters.take_ready(), Some((3, b"g"[..].into())));
        waiters.signal(3, b"g", false);
        assert_eq!(waiters.take_ready(), Some((3, b"a"[..].into())));
        assert_eq!(waiters.take_ready(), Some((3, b"g"[..].into())));
        assert_eq!(waiters.take_ready(), None);
    }

    #[test]
    fn nothing_is_left_of_those_that_went() {
        let mut waiters = Waiters::default();
        let ids = [id(1, 1, 1), id(1, 2, 1), id(1, 2, 2), id(2, 1, 1)];
        for id in ids {
            waiters.push(waiter(id, WaitsFor::List, &["a", "b", "a"]));
        }
        assert_eq!(waiters.origins(), [(2, 1), (1, 2)]);
        assert_eq!(waiters.of_start(1, 2).collect::<Vec<_>>(), ids[1..3]);
        assert_eq!(waiters.before_start(1, 2).collect::<Vec<_>>(), ids[..1]);
        assert!(waiters.release(ids[0], Release::Error));
        assert_eq!(waiters.take_released(), Some((ids[0], Release::Error)));
        for id in ids {
            assert_eq!(waiters.remove(waiters.number_of(id).unwrap()).unwrap().id, id);
        }
        assert!(waiters.is_empty() && waiters.by_key.is_empty() && waiters.by_id.is_empty());
        assert!(!waiters.release(ids[0], Release::Timeout));
        assert_eq!((waiters.next_number(), waiters.origins()), (4, vec![]));
        waiters.restore_next(12);
        assert!(waiters.insert(9, waiter(ids[0], WaitsFor::List, &["a"])));
        assert!(!waiters.insert(8, waiter(ids[1], WaitsFor::List, &["a"])), "not behind the others");
        assert!(!waiters.insert(10, waiter(ids[0], WaitsFor::List, &["a"])), "it waits already");
        assert_eq!(waiters.push(waiter(ids[1], WaitsFor::List, &["a"])), 12);
    }
}
