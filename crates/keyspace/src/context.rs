//! What a command sees and may do.

use std::cell::Cell;

use quorate_planted::{Bug, is_planted};

use crate::{
    database::Database,
    error::CommandError,
    keyspace::{Expiry, Keyspace, is_past},
    news::Events,
    random::Random,
    rules::Rules,
    table::Record,
    types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet, stream::Stream, string::Str},
    value::Value,
    waiters::{WAITER_BYTES_MAX, Wait},
};

/// What a command that only reads sees: the state after the last entry.
pub struct ReadCtx<'a> {
    /// The command's name and its arguments.
    pub args: &'a [&'a [u8]],
    pub(crate) keyspace: &'a Keyspace,
    db: usize,
    /// The number of who has sent the command.
    user: u64,
    seed: u64,
    now_ms: u64,
    /// A client of this node asks, outside of an entry: what only this node knows may be told.
    is_of_node: bool,
    /// The latest deadline up to `now_ms` that the reply depends on and that the log has not reached; 0 is none.
    needs_ms: Cell<u64>,
    first_key_hash: Cell<Option<u64>>,
    looked_up: LookedUp,
}

/// What a command that writes sees and may do. What it changes takes effect at once, so it must judge its arguments
/// and the types of values first: a command that returns an error has changed nothing.
pub struct WriteCtx<'a> {
    /// The command's name and its arguments.
    pub args: &'a [&'a [u8]],
    pub(crate) keyspace: &'a mut Keyspace,
    db: usize,
    seed: u64,
    sleep_ms: u64,
    may_wait: bool,
    wait: Option<Wait>,
    first_key_hash: Cell<Option<u64>>,
    pub(crate) looked_up: LookedUp,
}

/// The keys that a command has looked up to read them.
#[derive(Default)]
pub(crate) struct LookedUp {
    hits: Cell<u64>,
    misses: Cell<u64>,
    /// Where the last of them stands: handlers mostly look up one argument several times.
    last: Cell<Option<*const u8>>,
}

impl LookedUp {
    fn note(&self, key: &[u8], found: bool) {
        if self.last.replace(Some(key.as_ptr())) != Some(key.as_ptr()) {
            let counter = if found { &self.hits } else { &self.misses };
            counter.set(counter.get() + 1);
        }
    }

    /// How many were there, and how many were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }
}

/// A look at a value of one type.
macro_rules! get_type {
    ($view:lifetime, $get:ident, $as:ident, $type:ty, $what:literal) => {
        #[doc = concat!("The ", $what, " that a key holds.")]
        ///
        /// # Errors
        /// WRONGTYPE.
        pub fn $get(&self, key: &[u8]) -> Result<Option<&$view $type>, CommandError> {
            self.get(key).map(Value::$as).transpose()
        }
    };
}

/// A value of one type, to be changed.
macro_rules! modify_type {
    ($modify:ident, $get:ident, $as_mut:ident, $type:ty, $what:literal) => {
        #[doc = concat!("The ", $what, " that a key holds, to be changed in place. An error changes nothing.")]
        ///
        /// # Errors
        /// WRONGTYPE.
        pub fn $modify(&mut self, key: &[u8]) -> Result<Option<&mut $type>, CommandError> {
            if self.$get(key)?.is_none() {
                return Ok(None);
            }
            self.modify(key).map(Value::$as_mut).transpose()
        }
    };
}

/// The reads, the same for both.
macro_rules! reads {
    ($view:lifetime) => {
        /// The number of the selected database.
        #[must_use]
        pub fn db(&self) -> usize {
            self.db
        }

        /// The log's time in milliseconds since 1970.
        #[must_use]
        pub fn time_ms(&self) -> u64 {
            self.keyspace.time_ms()
        }

        /// The command's random numbers. Each call begins the same stream anew: call it once.
        #[must_use]
        pub fn random(&self) -> Random {
            Random::new(self.seed)
        }

        /// Argument `i`, or nothing if there are fewer.
        #[must_use]
        pub fn arg(&self, i: usize) -> &'a [u8] {
            self.args.get(i).copied().unwrap_or_default()
        }

        /// The value of a key, if the key exists.
        #[must_use]
        pub fn get(&self, key: &[u8]) -> Option<&$view Value> {
            self.record_in(self.db, key).map(|record| &record.value)
        }

        /// The same, which is no use of the key.
        #[must_use]
        pub fn peek(&self, key: &[u8]) -> Option<&$view Value> {
            self.peek_in(self.db, key).map(|record| &record.value)
        }

        /// The value of a key in any database.
        #[must_use]
        pub fn get_in(&self, db: usize, key: &[u8]) -> Option<&$view Value> {
            self.record_in(db, key).map(|record| &record.value)
        }

        /// Whether the key exists.
        #[must_use]
        pub fn exists(&self, key: &[u8]) -> bool {
            self.peek_in(self.db, key).is_some()
        }

        get_type!($view, get_string, as_string, Str, "string");
        get_type!($view, get_list, as_list, List, "list");
        get_type!($view, get_set, as_set, Set, "set");
        get_type!($view, get_hash, as_hash, Hash, "hash");
        get_type!($view, get_sorted_set, as_sorted_set, SortedSet, "sorted set");
        get_type!($view, get_stream, as_stream, Stream, "stream");

        /// How values are to be kept.
        #[must_use]
        pub fn rules(&self) -> Rules {
            self.keyspace.rules
        }

        /// The deadline of a key in milliseconds since 1970. Outer `None`: no such key; inner: no deadline.
        #[must_use]
        pub fn expire_at(&self, key: &[u8]) -> Option<Option<u64>> {
            let record = self.peek_in(self.db, key)?;
            Some(Some(record.expire_at_ms()).filter(|ms| *ms != 0))
        }

        /// The hash of a key. Handlers mostly ask for that of the first argument, and twice.
        fn hash(&self, key: &[u8]) -> u64 {
            let is_first = self.args.get(1).is_some_and(|first| std::ptr::eq(*first, key));
            if !is_first {
                return self.keyspace.hash(key);
            }
            let hash = self.first_key_hash.get().unwrap_or_else(|| self.keyspace.hash(key));
            self.first_key_hash.set(Some(hash));
            hash
        }
    };
}

impl<'a> ReadCtx<'a> {
    reads!('a);

    pub(crate) fn new(
        keyspace: &'a Keyspace,
        db: usize,
        args: &'a [&'a [u8]],
        now_ms: u64,
        seed: u64,
    ) -> Self {
        let (needs_ms, first_key_hash) = (Cell::new(0), Cell::new(None));
        let looked_up = LookedUp::default();
        let user = keyspace.caller;
        Self {
            args,
            keyspace,
            db,
            user,
            seed,
            now_ms,
            is_of_node: false,
            needs_ms,
            first_key_hash,
            looked_up,
        }
    }

    /// The same for the user with this number.
    pub(crate) fn by(self, user: u64) -> Self {
        Self { user, ..self }
    }

    /// Whether whoever has sent the command may read all keys with it.
    pub(crate) fn may_read_all_keys(&self) -> bool {
        self.keyspace.may_read_all_keys(self.user, self.args)
    }

    /// The same for a client of this node that asks outside of an entry.
    pub(crate) fn of_node(self) -> Self {
        Self { is_of_node: true, ..self }
    }

    /// Whether what only this node knows may be told. What every replica answers must not depend on it.
    pub(crate) fn is_of_node(&self) -> bool {
        self.is_of_node
    }

    /// When the reply is made, in milliseconds since 1970: the log's time within an entry, else the clock of who answers, which
    /// goes on while nobody writes. Never earlier than the log's time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.max(self.time_ms())
    }

    /// Says that the reply depends on every key of the database.
    pub(crate) fn whole_database(&self) {
        let database = &self.keyspace.databases[self.db];
        if let Some(deadline_ms) = database.first_deadline_after(self.time_ms()) {
            self.note_deadline(deadline_ms);
        }
    }

    /// Says that the reply depends on every key there is.
    pub(crate) fn all_databases(&self) {
        let first = |database: &Database| database.first_deadline_after(self.time_ms());
        self.keyspace
            .databases
            .iter()
            .filter_map(first)
            .for_each(|deadline_ms| self.note_deadline(deadline_ms));
    }

    /// The deadline that the log must reach before this reply may be given.
    pub(crate) fn needs_ms(&self) -> Option<u64> {
        Some(self.needs_ms.get()).filter(|&ms| ms != 0)
    }

    pub(crate) fn looked_up(&self) -> &LookedUp {
        &self.looked_up
    }

    fn note_deadline(&self, deadline_ms: u64) {
        if is_past(deadline_ms, self.now_ms) {
            self.needs_ms.set(self.needs_ms.get().max(deadline_ms));
        }
    }

    /// The record of a key that exists, which is used.
    pub(crate) fn record_in(&self, db: usize, key: &[u8]) -> Option<&'a Record> {
        let record = self.peek_in(db, key)?;
        self.keyspace.used(record);
        Some(record)
    }

    /// The same, which is no use of the key.
    pub(crate) fn peek_in(&self, db: usize, key: &[u8]) -> Option<&'a Record> {
        let record = self.keyspace.live(db, self.hash(key), key);
        self.looked_up.note(key, record.is_some());
        if record.is_none() {
            self.keyspace.missed(db, self.hash(key), key);
        }
        if is_planted(Bug::ExpiryOutsideTheLog) {
            return record.filter(|record| !is_past(record.expire_at_ms(), self.now_ms));
        }
        self.note_deadline(record?.expire_at_ms());
        record
    }
}

impl<'a> WriteCtx<'a> {
    reads!('_);

    pub(crate) fn new(keyspace: &'a mut Keyspace, db: usize, args: &'a [&'a [u8]], seed: u64) -> Self {
        let (first_key_hash, looked_up) = (Cell::new(None), LookedUp::default());
        let (may_wait, wait) = (false, None);
        Self { args, keyspace, db, seed, sleep_ms: 0, may_wait, wait, first_key_hash, looked_up }
    }

    /// Whether whoever has sent the command may read all keys with it.
    pub(crate) fn may_read_all_keys(&self) -> bool {
        self.keyspace.may_read_all_keys(self.keyspace.caller, self.args)
    }

    /// Says that the reply tells what a key holds or that it is missing: it counts as read (INFO's `keyspace_hits`).
    pub fn count_as_read(&self, key: &[u8]) {
        self.looked_up.note(key, self.exists(key));
    }

    /// The value of a key, to be changed in place. Counts as a change: look at it with [`WriteCtx::get`] first.
    pub fn modify(&mut self, key: &[u8]) -> Option<&mut Value> {
        let hash = self.hash(key);
        self.keyspace.modify(self.db, hash, key)
    }

    modify_type!(modify_string, get_string, as_string_mut, Str, "string");
    modify_type!(modify_list, get_list, as_list_mut, List, "list");
    modify_type!(modify_set, get_set, as_set_mut, Set, "set");
    modify_type!(modify_hash, get_hash, as_hash_mut, Hash, "hash");
    modify_type!(modify_sorted_set, get_sorted_set, as_sorted_set_mut, SortedSet, "sorted set");
    modify_type!(modify_stream, get_stream, as_stream_mut, Stream, "stream");

    /// The stream that a key holds, if it holds one, to change what groups keep of it: that is no change for who watches
    /// the key.
    pub(crate) fn modify_groups(&mut self, key: &[u8]) -> Option<&mut Stream> {
        let hash = self.hash(key);
        self.keyspace.modify_groups(self.db, hash, key, false)
    }

    /// The same for a change that who waits for a group must hear of.
    pub(crate) fn modify_groups_and_tell(&mut self, key: &[u8]) -> Option<&mut Stream> {
        let hash = self.hash(key);
        self.keyspace.modify_groups(self.db, hash, key, true)
    }

    /// Gives a key a value, whether it exists or not and whatever its type.
    pub fn set(&mut self, key: &[u8], value: impl Into<Value>, expiry: Expiry) {
        let hash = self.hash(key);
        self.keyspace.set(self.db, hash, key, value.into(), expiry);
    }

    /// Gives a key a string, as SET stores it.
    pub fn set_bytes(&mut self, key: &[u8], bytes: &[u8], expiry: Expiry) {
        let hash = self.hash(key);
        self.keyspace.set_bytes(self.db, hash, key, bytes, expiry);
    }

    /// The same as [`Self::set`] in any database.
    pub fn set_in(&mut self, db: usize, key: &[u8], value: impl Into<Value>, expiry: Expiry) {
        let hash = self.hash(key);
        self.keyspace.set(db, hash, key, value.into(), expiry);
    }

    /// Gives a key another deadline in milliseconds since 1970, or none. False if the key does not exist.
    pub fn set_expiry(&mut self, key: &[u8], expire_at_ms: Option<u64>) -> bool {
        let hash = self.hash(key);
        self.keyspace.set_expiry(self.db, hash, key, expire_at_ms.map_or(0, |ms| ms.max(1)))
    }

    /// Removes a key. False if it does not exist.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        self.keyspace.remove(self.db, hash, key)
    }

    /// Removes a key and returns its value and its deadline (0: none).
    pub fn take(&mut self, key: &[u8]) -> Option<(Value, u64)> {
        let hash = self.hash(key);
        self.keyspace.take(self.db, hash, key)
    }

    /// Removes a key and tells so, as DEL does. False if it does not exist.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        let is_gone = self.remove(key);
        if is_gone {
            self.notify(Events::GENERIC, "del", key);
        }
        is_gone
    }

    /// Deletes a key whose value has lost its last element: no empty value is ever stored, apart from streams.
    pub fn delete_if_empty(&mut self, key: &[u8]) -> bool {
        self.get(key).is_some_and(Value::is_empty) && self.delete(key)
    }

    /// Whether the command may wait: not within a transaction or a script.
    #[must_use]
    pub(crate) fn may_wait(&self) -> bool {
        self.may_wait
    }

    pub(crate) fn allow_waiting(&mut self, may_wait: bool) {
        self.may_wait = may_wait;
    }

    /// Leaves the command waiting for a key (R17): it is carried out anew whenever one of its keys is ready. It must have
    /// written nothing, and [`WriteCtx::may_wait`].
    ///
    /// # Errors
    /// If its arguments are too long to be kept.
    pub(crate) fn wait(&mut self, wait: Wait) -> Result<(), CommandError> {
        const TOO_LARGE: CommandError =
            CommandError::fixed("ERR a command that waits may have at most 1 MiB of arguments");
        assert!(self.may_wait, "not every command may wait");
        if self.args.iter().map(|arg| arg.len() + size_of::<Box<[u8]>>()).sum::<usize>() > WAITER_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        self.wait = Some(wait);
        Ok(())
    }

    pub(crate) fn take_wait(&mut self) -> Option<Wait> {
        self.wait.take()
    }

    /// Publishes a keyspace notification: something of a class happened to a key of this database (R18).
    pub(crate) fn notify(&mut self, class: Events, event: &'static str, key: &[u8]) {
        self.notify_in(self.db, class, event, key);
    }

    /// The same for any database.
    pub(crate) fn notify_in(&mut self, db: usize, class: Events, event: &'static str, key: &[u8]) {
        self.keyspace.gazette.event(class, event, db, key);
    }

    /// Asks every replica to stand still for that long after this command (`DEBUG SLEEP`).
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.sleep_ms = ms;
    }

    /// How long every replica is to stand still.
    pub(crate) fn sleep_ms(&self) -> u64 {
        self.sleep_ms
    }

    /// The record of a key that exists, which is used.
    pub(crate) fn record_in(&self, db: usize, key: &[u8]) -> Option<&Record> {
        let record = self.peek_in(db, key)?;
        self.keyspace.used(record);
        Some(record)
    }

    /// The same, which is no use of the key.
    pub(crate) fn peek_in(&self, db: usize, key: &[u8]) -> Option<&Record> {
        self.keyspace.live(db, self.hash(key), key)
    }
}
