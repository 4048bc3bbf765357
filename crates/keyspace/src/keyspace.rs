//! The state of a replica, and the few ways in which it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use quorate_planted::{Bug, is_planted};

use crate::{
    access::Access,
    acl::{ALL_CHANNELS, Acl, CHANNELS_SETTING, DEFAULT_NAME, DEFAULT_USER, PASSWORD_SETTING},
    command,
    counters::{Counters, Usage},
    database::{Database, NEVER_MS},
    digest::ContentDigest,
    estimates::Estimates,
    key::Key,
    news::{Events, Gazette, Interest, News},
    rules::Rules,
    script::{Library, LogLine, Scripts, Sha},
    snapshot::Snapshot,
    table::{Record, Table},
    types::{stream::Stream, string::Str},
    value::Value,
    waiters::Waiters,
    walk::Walk,
};

/// Databases of a keyspace unless configured otherwise.
pub const DATABASES_DEFAULT: usize = 16;

/// The replicated setting that says how many databases there are. The founder of a cluster writes it before the first
/// client, so that the log alone decides, on whatever node.
pub const DATABASES_SETTING: &str = "config.databases";

/// The replicated setting that says which keyspace notifications are published.
const EVENTS_SETTING: &str = "config.notify-keyspace-events";

/// Most keys that one entry reclaims after their deadline.
pub const RECLAIM_MAX: usize = 1000;

/// A value with more pieces than this is freed in slices.
const PIECES_AT_ONCE_MAX: usize = 64;

/// All the data of one replica: a pure function of the log (R11).
#[derive(Debug)]
pub struct Keyspace {
    pub(crate) databases: Vec<Database>,
    pub(crate) meta: Meta,
    /// What follows from the settings in `meta`.
    pub(crate) rules: Rules,
    /// Sources of scripts and functions, and this node's interpreter.
    pub(crate) scripts: Scripts,
    /// The commands that wait for keys.
    pub(crate) waiters: Waiters,
    /// The snapshot and the digest under way.
    pub(crate) walks: Walks,
    garbage: Vec<Garbage>,
    /// Whether the command under execution has changed something.
    changed: bool,
    /// How often the directory has changed since this keyspace was made; not part of the state.
    directory_changes: u64,
    /// Of this node; not part of the state.
    pub(crate) counters: Counters,
    /// Of this node; not part of the state.
    pub(crate) estimates: Estimates,
    /// Of this node; not part of the state.
    pub(crate) access: Access,
    /// Whether the leader was short of memory when it proposed the entry at hand.
    pub(crate) memory_short: bool,
    /// Whether the cluster had too few voters for writes then.
    pub(crate) few_replicas: bool,
    /// Of this node; not part of the state.
    pub(crate) gazette: Gazette,
    /// The number of the user whose command is carried out; not part of the state.
    pub(crate) caller: u64,
    /// How often users have changed since this keyspace was made; not part of the state.
    users_changes: u64,
    /// Hash of what the commands of this entry did to which keys, for the running digest.
    effects: u64,
}

/// The part of the state that is not keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    /// Number of write commands so far that changed something.
    pub(crate) version: u64,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) time_ms: u64,
    /// The running digest.
    pub(crate) digest: u64,
    /// The secret of the cluster from which all hashes follow; zeros until the bootstrap entry.
    pub(crate) hash_key: [u8; 16],
    /// Zeros until the bootstrap entry.
    pub(crate) cluster_id: [u8; 16],
    pub(crate) directory: BTreeMap<String, Vec<u8>>,
    /// By node: which batches of it were applied.
    pub(crate) origins: BTreeMap<u64, Origin>,
    pub(crate) users: Arc<Acl>,
}

/// The last batch applied of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The node's start counter.
    pub start: u64,
    /// Raised by the node whenever it begins to number anew within one start.
    pub epoch: u32,
    /// Number of its last batch applied, from 1.
    pub seq: u64,
}

/// What becomes of the deadline when a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It stays as it is.
    Keep,
    /// It goes.
    Clear,
    /// In milliseconds of the log's time.
    At(u64),
}

/// Counts of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Keys, without those past their deadline.
    pub keys: usize,
    /// Keys that have a deadline, with those past it and not yet reclaimed.
    pub expires: usize,
}

/// Up to two walks over the contents at once: each keeps what changes before it gets there.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    pub(crate) snapshot: Option<Box<Snapshot>>,
    pub(crate) digest: Option<Box<ContentDigest>>,
}

impl Walks {
    fn all(&mut self) -> impl Iterator<Item = &mut Walk> {
        let snapshot = self.snapshot.as_mut().map(|snapshot| &mut snapshot.contents.walk);
        let digest = self.digest.as_mut().map(|digest| &mut digest.contents.walk);
        snapshot.into_iter().chain(digest)
    }

    /// What only they still hold, about, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.contents.walk.held_bytes());
        let digest = self.digest.as_ref().map(|digest| digest.contents.walk.held_bytes());
        snapshot.max(digest).unwrap_or(0)
    }

    fn keep(&mut self, db: usize, hash: u64, record: &Record, goes: bool) {
        for walk in self.all() {
            walk.keep(db, hash, record, goes);
        }
    }
}

/// What is no longer part of the state and awaits being freed.
#[derive(Debug)]
enum Garbage {
    Table(Table),
    Deadlines(BTreeSet<(u64, u64)>),
    Value(Value),
}

/// What happened to a key, for the running digest.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Effect {
    Modify = 1,
    Set,
    Remove,
    Deadline,
    Reclaim,
    Flush,
    Swap,
    Directory,
    Script,
    Wait,
    Leave,
    Users,
}

impl Keyspace {
    /// An empty keyspace with this many databases.
    ///
    /// # Panics
    /// Unless there are between 1 and 65,535 of them.
    #[must_use]
    pub fn new(databases: usize) -> Self {
        assert!((1..=usize::from(u16::MAX)).contains(&databases), "{databases} databases");
        Self {
            databases: (0..databases).map(|_| Database::new()).collect(),
            meta: Meta::default(),
            rules: Rules::of(&Meta::default()),
            scripts: Scripts::default(),
            waiters: Waiters::default(),
            walks: Walks::default(),
            garbage: Vec::new(),
            changed: false,
            directory_changes: 0,
            counters: Counters::default(),
            estimates: Estimates::default(),
            access: Access::default(),
            memory_short: false,
            few_replicas: false,
            gazette: Gazette::default(),
            caller: DEFAULT_USER,
            users_changes: 0,
            effects: 0,
        }
    }

    /// Number of databases.
    #[must_use]
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    /// Index of the last entry applied; 0 if none.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.meta.index
    }

    /// Term of the last entry applied.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.meta.term
    }

    /// Time of the last entry applied, in milliseconds since 1970: keys expire by it (R2).
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.meta.time_ms
    }

    /// Number of write commands so far that changed something.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.meta.version
    }

    /// The running digest: a hash over all entries, what they did and what they answered (R10).
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.meta.digest
    }

    /// The id of the cluster; `None` before its bootstrap entry.
    #[must_use]
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        (self.meta.cluster_id != [0; 16]).then_some(self.meta.cluster_id)
    }

    /// The replicated settings, by name.
    #[must_use]
    pub fn directory(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.meta.directory
    }

    /// Goes up with every change of the directory: whoever follows it looks again only then. It begins anew with
    /// each keyspace.
    #[must_use]
    pub fn directory_changes(&self) -> u64 {
        self.directory_changes
    }

    /// The users there are.
    #[must_use]
    pub fn users(&self) -> &Arc<Acl> {
        &self.meta.users
    }

    /// Goes up with every change of users, as [`Keyspace::directory_changes`] does with those of the directory.
    #[must_use]
    pub fn users_changes(&self) -> u64 {
        self.users_changes
    }

    /// What this node has counted of its own work here.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.counters.usage()
    }

    /// Goes on counting where another keyspace of this node ended, whose place this one takes.
    pub fn go_on_from(&self, usage: Usage) {
        self.counters.go_on_from(usage);
    }

    /// Calls `f` with each key of a database that exists, in the order of their hashes.
    pub fn for_each_key(&self, db: usize, f: &mut dyn FnMut(&[u8])) {
        let Some(database) = self.databases.get(db) else { return };
        for (_, record) in database.table.iter_from(0) {
            if !self.is_expired(record) {
                f(record.key.as_bytes());
            }
        }
    }

    /// The last batch applied of `node`.
    #[must_use]
    pub fn origin(&self, node: u64) -> Option<Origin> {
        self.meta.origins.get(&node).copied()
    }

    /// Counts of one database; zeros if there is no such database.
    #[must_use]
    pub fn stats(&self, db: usize) -> DatabaseStats {
        let Some(database) = self.databases.get(db) else { return DatabaseStats::default() };
        DatabaseStats { keys: self.live_keys(db), expires: database.deadline_count() }
    }

    /// The earliest deadline of all keys, in milliseconds of the log's time. Until an entry with that time or a later
    /// one, the key exists; if it is not later than [`Keyspace::time_ms`], keys wait for being reclaimed. `None` if there is
    /// no deadline, or if keys are not reclaimed before somebody looks for them (DEBUG SET-ACTIVE-EXPIRE 0).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.rules.reclaims_lazily {
            return None;
        }
        let first_ms = self.databases.iter().map(Database::first_deadline_ms).min()?;
        (first_ms != NEVER_MS).then_some(first_ms)
    }

    /// Number of keys past their deadline that are not reclaimed yet. Takes time in proportion to it.
    #[must_use]
    pub fn expired_backlog(&self) -> usize {
        self.databases.iter().map(|database| database.overdue(self.meta.time_ms)).sum()
    }

    /// Whether a client of this node has looked for a key past its deadline since this was asked last, while such keys are
    /// freed only then (DEBUG SET-ACTIVE-EXPIRE 0): a `\0reclaim` is due.
    #[must_use]
    pub fn take_met_expired(&self) -> bool {
        self.counters.take_met_expired()
    }

    /// Notes that a key was looked for and not found.
    pub(crate) fn missed(&self, db: usize, hash: u64, key: &[u8]) {
        if self.rules.reclaims_lazily && self.databases[db].table.get(hash, key).is_some() {
            self.counters.met_expired();
        }
    }

    /// What WATCH remembers of a key: the present version, and whether the key exists at `now_ms`.
    #[must_use]
    pub fn watch_token(&self, db: usize, key: &[u8], now_ms: u64) -> (u64, bool) {
        let now_ms = now_ms.max(self.meta.time_ms);
        let record = self.databases.get(db).and_then(|database| database.table.get(self.hash(key), key));
        (self.meta.version, record.is_some_and(|record| !is_past(record.expire_at_ms(), now_ms)))
    }

    /// Whether a key may have changed since its watch token was taken (R16). Never false when it has.
    #[must_use]
    pub fn watch_broken(&self, db: usize, key: &[u8], as_of_version: u64, existed: bool) -> bool {
        let Some(database) = self.databases.get(db) else { return true };
        let hash = self.hash(key);
        match database.table.get(hash, key) {
            Some(record) => {
                let exists = !is_past(record.expire_at_ms(), self.meta.time_ms);
                exists != existed || database.version_of(record) > as_of_version
            }
            None => existed || database.traces.last(hash) > as_of_version,
        }
    }

    /// Frees up to about `items_max` values and keys that commands have dropped. True if more are left.
    pub fn take_garbage(&mut self, items_max: usize) -> bool {
        let mut left = items_max;
        while left > 0 {
            let Some(garbage) = self.garbage.last_mut() else { return false };
            let freed = match garbage {
                Garbage::Table(table) => {
                    let records = table.release(left);
                    let freed = records.len();
                    self.counters.freed(freed);
                    for record in records {
                        if record.value.pieces() > PIECES_AT_ONCE_MAX {
                            self.garbage.insert(0, Garbage::Value(record.value));
                        }
                    }
                    freed
                }
                Garbage::Deadlines(deadlines) => {
                    (0..left).take_while(|_| deadlines.pop_first().is_some()).count()
                }
                Garbage::Value(value) => {
                    let freed = value.release(left);
                    self.counters.freed(usize::from(freed == 0));
                    freed
                }
            };
            if freed == 0 {
                self.garbage.pop();
            }
            left = left.saturating_sub(freed.max(1));
        }
        !self.garbage.is_empty()
    }

    /// How many keys and large values wait for [`Keyspace::take_garbage`].
    #[must_use]
    pub fn garbage_len(&self) -> usize {
        let len = |garbage: &Garbage| match garbage {
            Garbage::Table(table) => table.len(),
            Garbage::Deadlines(_) => 0,
            Garbage::Value(_) => 1,
        };
        self.garbage.iter().map(len).sum()
    }

    /// The hash that decides where a key stands.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.rules.hash(key)
    }

    /// The record of a key that exists at the log's time.
    pub(crate) fn live(&self, db: usize, hash: u64, key: &[u8]) -> Option<&Record> {
        self.databases[db].table.get(hash, key).filter(|record| !self.is_expired(record))
    }

    /// Whether the key of `record` has ceased to exist.
    pub(crate) fn is_expired(&self, record: &Record) -> bool {
        is_past(record.expire_at_ms(), self.meta.time_ms)
    }

    /// Number of keys that exist at the log's time.
    pub(crate) fn live_keys(&self, db: usize) -> usize {
        let database = &self.databases[db];
        database.table.len().saturating_sub(database.overdue(self.meta.time_ms))
    }

    /// The value of a key, to be changed in place.
    pub(crate) fn modify(&mut self, db: usize, hash: u64, key: &[u8]) -> Option<&mut Value> {
        let place = self.databases[db].table.find(hash, key)?;
        let record = self.databases[db].table.at(place);
        if is_past(record.expire_at_ms(), self.meta.time_ms) {
            return None;
        }
        self.walks.keep(db, hash, record, false);
        let version = self.change(Effect::Modify, db, hash);
        self.gazette.changed(db, key);
        let record = self.databases[db].table.at_mut(place);
        record.touch(version);
        self.access.used(&self.rules, record);
        if !self.waiters.is_empty() && matches!(record.value, Value::Stream(_)) {
            self.waiters.signal(db, key, false);
        }
        Some(&mut record.value)
    }

    /// The stream that a key holds, to change what groups keep of it: that is no change for who watches the key, as in
    /// Redis (R16). `tells`: who waits for a group may be served by it, or have to hear of it.
    pub(crate) fn modify_groups(
        &mut self,
        db: usize,
        hash: u64,
        key: &[u8],
        tells: bool,
    ) -> Option<&mut Stream> {
        let place = self.databases[db].table.find(hash, key)?;
        let record = self.databases[db].table.at(place);
        if is_past(record.expire_at_ms(), self.meta.time_ms) || !matches!(record.value, Value::Stream(_)) {
            return None;
        }
        self.walks.keep(db, hash, record, false);
        let version = self.change(Effect::Modify, db, hash);
        if tells {
            self.waiters.signal(db, key, false);
        }
        let record = self.databases[db].table.at_mut(place);
        let before = record.stamp.set_version(version);
        self.access.used(&self.rules, record);
        let Value::Stream(stream) = &mut record.value else { return None };
        stream.set_aside(before, version);
        Some(stream)
    }

    /// Gives a key a value, whether it exists or not.
    pub(crate) fn set(&mut self, db: usize, hash: u64, key: &[u8], value: Value, expiry: Expiry) {
        let version = self.change(Effect::Set, db, hash);
        self.gazette.changed(db, key);
        self.signal_if_ready(db, key, &value);
        let Some(place) = self.databases[db].table.find(hash, key) else {
            let expire_at_ms = if let Expiry::At(ms) = expiry { ms.max(1) } else { 0 };
            self.gazette.event(Events::NEW, "new", db, key);
            let mut record = Record::new(Key::new(key), value, expire_at_ms, version);
            record.touch(version);
            record.stamp.set_last_use(self.access.first_use(&self.rules));
            self.databases[db].insert(hash, record);
            self.databases[db].traces.note(hash, version);
            return;
        };
        let record = self.databases[db].table.at(place);
        self.walks.keep(db, hash, record, true);
        let is_past = is_past(record.expire_at_ms(), self.meta.time_ms);
        if is_past {
            self.counters.expired();
            self.gazette.event(Events::EXPIRED, "expired", db, key);
            self.gazette.event(Events::NEW, "new", db, key);
        }
        let expire_at_ms = match expiry {
            Expiry::Keep if is_past => 0,
            Expiry::Keep => record.expire_at_ms(),
            Expiry::Clear => 0,
            Expiry::At(ms) => ms.max(1),
        };
        self.databases[db].set_deadline(hash, place, expire_at_ms);
        if is_past {
            self.databases[db].traces.note(hash, version);
        }
        let record = self.databases[db].table.at_mut(place);
        let old = std::mem::replace(&mut record.value, value);
        record.touch(version);
        self.access.used(&self.rules, record);
        self.signal_if_gone(db, key, &old);
        self.throw_away(old);
    }

    /// As [`Self::set`] with a string, whose bytes take the old value's place if they can.
    pub(crate) fn set_bytes(&mut self, db: usize, hash: u64, key: &[u8], bytes: &[u8], expiry: Expiry) {
        let place = self.databases[db].table.find(hash, key);
        let fresh = place.filter(|place| self.databases[db].table.at(*place).expire_at_ms() == 0);
        // A walk may still need the old bytes.
        if let Some(place) = fresh
            && !matches!(expiry, Expiry::At(_))
            && Str::is_long(bytes)
            && self.walks.all().next().is_none()
        {
            let record = self.databases[db].table.at_mut(place);
            if let Value::String(old) = &mut record.value
                && old.overwrite(bytes)
            {
                let version = self.change(Effect::Set, db, hash);
                self.gazette.changed(db, key);
                let record = self.databases[db].table.at_mut(place);
                record.stamp.set_version(version);
                self.access.used(&self.rules, record);
                return;
            }
        }
        self.set(db, hash, key, Value::String(Str::new(bytes)), expiry);
    }

    /// Gives a key another deadline; 0 is none. False if the key does not exist.
    pub(crate) fn set_expiry(&mut self, db: usize, hash: u64, key: &[u8], expire_at_ms: u64) -> bool {
        let Some(place) = self.databases[db].table.find(hash, key) else { return false };
        let record = self.databases[db].table.at(place);
        if self.is_expired(record) {
            return false;
        }
        self.walks.keep(db, hash, record, false);
        let version = self.change(Effect::Deadline, db, hash ^ expire_at_ms);
        self.gazette.changed(db, key);
        self.databases[db].set_deadline(hash, place, expire_at_ms);
        let record = self.databases[db].table.at_mut(place);
        record.touch(version);
        self.access.used(&self.rules, record);
        true
    }

    /// Takes a key out: its value and its deadline.
    pub(crate) fn take(&mut self, db: usize, hash: u64, key: &[u8]) -> Option<(Value, u64)> {
        let record = self.databases[db].table.get(hash, key)?;
        if self.is_expired(record) {
            return None;
        }
        self.walks.keep(db, hash, record, true);
        let version = self.change(Effect::Remove, db, hash);
        self.gazette.changed(db, key);
        let record = self.databases[db].remove(hash, key)?;
        self.databases[db].traces.note(hash, version);
        self.signal_if_gone(db, key, &record.value);
        let expire_at_ms = record.expire_at_ms();
        Some((record.value, expire_at_ms))
    }

    /// Removes a key. False if it does not exist.
    pub(crate) fn remove(&mut self, db: usize, hash: u64, key: &[u8]) -> bool {
        let Some((value, _)) = self.take(db, hash, key) else { return false };
        self.throw_away(value);
        true
    }

    /// Removes all keys of a database.
    pub(crate) fn flush(&mut self, db: usize) {
        // Whoever caches is told of an empty one, too, as by Redis.
        self.gazette.any_changed();
        if self.databases[db].table.is_empty() {
            return;
        }
        self.change(Effect::Flush, db, 0);
        let (table, deadlines) = self.databases[db].take_contents();
        self.garbage.push(Garbage::Deadlines(deadlines));
        let table = Arc::new(table);
        for walk in self.walks.all() {
            walk.flushed(db, &table);
        }
        self.signal_all(db, true);
        self.throw_away_table(table);
    }

    /// Exchanges the contents of two databases.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let version = self.change(Effect::Swap, a, b as u64);
        self.gazette.any_changed();
        self.databases.swap(a, b);
        // Keys of both may have changed last in one entry: a version does not tell them apart.
        self.estimates = Estimates::default();
        let (low, high) = self.databases.split_at_mut(a.max(b));
        low[a.min(b)].swapped(&mut high[0], version);
        for walk in self.walks.all() {
            walk.swapped(a, b);
        }
        self.signal_all(a, false);
        self.signal_all(b, false);
    }

    /// Changes users; `change` says whether it has changed anything.
    pub(crate) fn change_users<E>(
        &mut self,
        change: impl FnOnce(&mut Acl) -> Result<bool, E>,
    ) -> Result<(), E> {
        // After an error, or if nothing has changed, the old ones stay.
        let mut users = Acl::clone(&self.meta.users);
        if change(&mut users)? {
            self.meta.users = Arc::new(users);
            self.users_changes += 1;
            self.change(Effect::Users, 0, self.meta.users.len() as u64);
        }
        Ok(())
    }

    /// Whether new users may use all channels.
    pub(crate) fn all_channels(&self) -> bool {
        self.meta.directory.get(CHANNELS_SETTING).is_some_and(|value| value == ALL_CHANNELS)
    }

    /// Whether a user may read all keys with a command line.
    pub(crate) fn may_read_all_keys(&self, user: u64, args: &[&[u8]]) -> bool {
        let users = &self.meta.users;
        user == DEFAULT_USER && users.is_open()
            || command::resolve(args).is_ok_and(|command| users.may_read_all_keys(user, command, args))
    }

    /// Sets the password of the default user, by its hash, or takes it away.
    fn set_password(&mut self, hash: &[u8]) {
        let rules: &[&[u8]] = if hash.is_empty() { &[b"nopass"] } else { &[b"resetpass", hash] };
        let all_channels = self.all_channels();
        // Whoever writes this setting has looked at it.
        let _ = self.change_users(|users| users.set(DEFAULT_NAME, rules, all_channels));
    }

    /// Sets (or with `None` removes) a replicated setting. False if there was nothing to remove.
    pub(crate) fn set_directory(&mut self, name: &str, value: Option<&[u8]>) -> bool {
        match value {
            Some(value) if name == PASSWORD_SETTING => {
                self.set_password(value);
                return true;
            }
            Some(value) => {
                self.meta.directory.insert(name.to_owned(), value.to_vec());
            }
            None if self.meta.directory.remove(name).is_none() => return false,
            None => {}
        }
        if name == DATABASES_SETTING {
            self.set_databases(value);
        }
        self.follow_settings();
        self.change(Effect::Directory, 0, 0);
        self.directory_changes += 1;
        true
    }

    /// Follows [`DATABASES_SETTING`]. A number that is none, or that would drop keys, changes nothing.
    fn set_databases(&mut self, value: Option<&[u8]>) {
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        let Some(wanted) = text.and_then(|text| text.parse::<u16>().ok()).filter(|n| *n > 0) else { return };
        let wanted = usize::from(wanted);
        if self.databases.iter().skip(wanted).all(|database| database.table.is_empty()) {
            self.databases.resize_with(wanted, Database::new);
            for walk in self.walks.all() {
                walk.resized(wanted);
            }
        }
    }

    /// Sets the secret and the id of the cluster. False if they are set already or there are keys.
    pub(crate) fn bootstrap(&mut self, hash_key: [u8; 16], cluster_id: [u8; 16]) -> bool {
        let empty = self.databases.iter().all(|database| database.table.is_empty());
        if self.cluster_id().is_some() || !empty || cluster_id == [0; 16] {
            return false;
        }
        self.meta.hash_key = hash_key;
        self.meta.cluster_id = cluster_id;
        self.rules = Rules::of(&self.meta);
        self.change(Effect::Directory, 0, 1);
        true
    }

    /// Keeps the source of a script.
    pub(crate) fn remember_script(&mut self, sha: Sha, code: &[u8], loaded: bool) {
        if self.scripts.remember(sha, code, loaded) {
            self.change(Effect::Script, 0, u64::from(loaded));
        }
    }

    /// How many scripts, libraries and functions are known.
    #[must_use]
    pub fn script_counts(&self) -> (usize, usize, usize) {
        let libraries = &self.scripts.libraries;
        let functions = libraries.values().map(|library| library.functions.len()).sum();
        (self.scripts.sources_len(), libraries.len(), functions)
    }

    /// What scripts have said to the log of this node since the last call: only those whose clients wait here.
    pub fn take_script_lines(&mut self) -> Vec<LogLine> {
        self.scripts.lines.take()
    }

    /// Forgets the sources of all scripts.
    pub(crate) fn forget_scripts(&mut self) {
        if self.scripts.forget_all() {
            self.change(Effect::Script, 0, 2);
        }
    }

    /// Adds, replaces or (with `None`) removes a library of functions.
    pub(crate) fn set_library(&mut self, name: &str, library: Option<Library>) {
        let what = if library.is_some() { 3 } else { 4 };
        match library {
            Some(library) => {
                self.scripts.libraries.insert(name.to_owned(), library);
            }
            None => {
                self.scripts.libraries.remove(name);
            }
        }
        self.change(Effect::Script, 0, what);
    }

    /// What this node wants to hear of what entries do, from the next one on.
    pub fn set_interest(&mut self, interest: Interest) {
        self.gazette.set_interest(interest);
    }

    /// What this node wants to hear of.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.gazette.interest()
    }

    /// What entries have done since the last call, in order.
    pub fn take_news(&mut self) -> Vec<News> {
        self.gazette.take()
    }

    /// Messages and notifications that went because one entry had too many of them, ever.
    #[must_use]
    pub fn news_dropped(&self) -> u64 {
        self.gazette.dropped()
    }

    /// Takes from the settings what follows from them.
    pub(crate) fn follow_settings(&mut self) {
        self.rules = Rules::of(&self.meta);
        let events = self.meta.directory.get(EVENTS_SETTING);
        let events = events.and_then(|text| Events::parse(std::str::from_utf8(text).ok()?));
        self.gazette.events = events.unwrap_or_default();
    }

    fn tell_expired(&mut self, db: usize, key: &[u8]) {
        if !is_planted(Bug::ExpiryNotTold) {
            self.gazette.changed(db, key);
        }
        self.gazette.event(Events::EXPIRED, "expired", db, key);
    }

    /// Frees keys past their deadline, earliest first, at most [`RECLAIM_MAX`] of them.
    pub(crate) fn reclaim(&mut self) {
        for _ in 0..RECLAIM_MAX {
            let first = self.databases.iter().enumerate().min_by_key(|(_, d)| d.first_deadline_ms());
            let Some((db, database)) = first else { return };
            if database.first_deadline_ms() > self.meta.time_ms {
                return;
            }
            let Some((deadline_ms, hash)) = database.first_deadline() else { return };
            self.reclaim_one(db, deadline_ms, hash);
        }
    }

    /// Frees the keys with one deadline and hash: nearly always one.
    fn reclaim_one(&mut self, db: usize, deadline_ms: u64, hash: u64) {
        let same = self.databases[db].same_hash(hash).filter(|record| record.expire_at_ms() == deadline_ms);
        let keys: smallvec::SmallVec<[Key; 1]> = same.map(|record| record.key.clone()).collect();
        assert!(!keys.is_empty(), "every deadline belongs to a key");
        for key in keys {
            let record = self.databases[db].remove(hash, key.as_bytes()).expect("it was just there");
            self.walks.keep(db, hash, &record, true);
            // The key went when it was last changed, as it were: a watch that began later saw it missing already.
            let version = self.databases[db].version_of(&record);
            self.databases[db].traces.note(hash, version);
            self.counters.expired();
            self.note_effect(Effect::Reclaim, db, hash);
            self.tell_expired(db, key.as_bytes());
            self.signal_if_gone(db, key.as_bytes(), &record.value);
            self.throw_away(record.value);
        }
    }

    /// Begins a write command.
    pub(crate) fn begin_command(&mut self) {
        self.changed = false;
    }

    /// Ends a write command. True if it has changed something.
    pub(crate) fn end_command(&mut self) -> bool {
        self.meta.version += u64::from(self.changed);
        std::mem::take(&mut self.changed)
    }

    /// Hash of the effects since the last call.
    pub(crate) fn take_effects(&mut self) -> u64 {
        std::mem::take(&mut self.effects)
    }

    /// Tables that a walk no longer needs.
    pub(crate) fn throw_away_tables(&mut self, tables: impl IntoIterator<Item = Arc<Table>>) {
        tables.into_iter().for_each(|table| self.throw_away_table(table));
    }

    fn throw_away_table(&mut self, table: Arc<Table>) {
        if let Some(table) = Arc::into_inner(table) {
            self.garbage.push(Garbage::Table(table));
        }
    }

    /// Tells who waits for a key that it holds a new value, if it is one that anybody can wait for.
    fn signal_if_ready(&mut self, db: usize, key: &[u8], value: &Value) {
        if !self.waiters.is_empty()
            && matches!(value, Value::List(_) | Value::SortedSet(_) | Value::Stream(_))
        {
            self.waiters.signal(db, key, false);
        }
    }

    /// Tells who waits for a group of a stream that the stream is gone.
    fn signal_if_gone(&mut self, db: usize, key: &[u8], value: &Value) {
        if !self.waiters.is_empty() && matches!(value, Value::Stream(_)) {
            self.waiters.signal(db, key, true);
        }
    }

    /// Tells all who wait for keys of a database that all its keys are others now, or gone.
    fn signal_all(&mut self, db: usize, gone: bool) {
        for key in self.waiters.keys_of(db) {
            let is_gone = gone || self.live(db, self.hash(&key), &key).is_none();
            self.waiters.signal(db, &key, is_gone);
        }
    }

    /// Notes a change and returns the version it gets.
    fn change(&mut self, effect: Effect, db: usize, what: u64) -> u64 {
        self.changed = true;
        self.note_effect(effect, db, what);
        self.meta.version + 1
    }

    pub(crate) fn note_effect(&mut self, effect: Effect, db: usize, what: u64) {
        let word = what ^ (effect as u64) << 56 ^ (db as u64) << 40;
        self.effects = (self.effects.rotate_left(23) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }

    fn throw_away(&mut self, value: Value) {
        if value.pieces() > PIECES_AT_ONCE_MAX {
            self.garbage.push(Garbage::Value(value));
        }
    }
}

/// Whether a deadline has passed; 0 is none.
pub(crate) fn is_past(deadline_ms: u64, time_ms: u64) -> bool {
    deadline_ms != 0 && deadline_ms <= time_ms
}

/// A keyspace may move between threads, although it knows of none.
const _: () = {
    const fn is_send<T: Send + Sync>() {}
    is_send::<Keyspace>();
};
