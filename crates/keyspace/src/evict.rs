//! Eviction: which keys go when memory is short, and how they go.
//!
//! Who judges memory and chooses is the leader, outside of apply: it looks at uses of keys, which belong to it alone
//! ([`crate::access`]). What it has chosen is an entry of the log that names the keys, and every replica drops them
//! ([`Keyspace::evict`]).

use std::collections::BTreeSet;

use quorate_planted::{Bug, is_planted};

use crate::{keyspace::Keyspace, news::Events, random::Random, table::Record};

/// By what keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those that were not used for longest.
    Lru,
    /// Those that are used least often.
    Lfu,
    /// Any.
    Random,
    /// Those that expire first.
    Ttl,
}

/// What happens when memory is short: `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Commands that need memory are refused.
    Refuse,
    /// Keys go.
    Evict {
        /// Which of them.
        order: Order,
        /// Only of those that have a deadline.
        volatile: bool,
    },
}

impl Policy {
    /// The words of the parameter.
    pub const NAMES: [&'static str; 8] = [
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ];

    /// What a word of [`Self::NAMES`] means; another one is `noeviction`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let Some((which, order)) = name.split_once('-') else { return Self::Refuse };
        let order = match order {
            "lru" => Order::Lru,
            "lfu" => Order::Lfu,
            "ttl" => Order::Ttl,
            _ => Order::Random,
        };
        Self::Evict { order, volatile: which == "volatile" }
    }

    /// Whether it is one of LFU, so that a key notes how often it is used, not when.
    #[must_use]
    pub fn counts_uses(self) -> bool {
        matches!(self, Self::Evict { order: Order::Lfu, .. })
    }

    /// Whether it depends on uses at all.
    pub(crate) fn looks_at_uses(self) -> bool {
        matches!(self, Self::Evict { order: Order::Lru | Order::Lfu, .. })
    }
}

/// A key that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Number of its database.
    pub db: usize,
    /// Its name.
    pub key: Vec<u8>,
    /// What it takes, about, in bytes.
    pub bytes: usize,
}

/// Chooses keys. The best of what was looked at stays in mind, so that few looks each time come close to looking at all
/// (as Redis does it).
#[derive(Debug)]
pub struct Chooser {
    random: Random,
    /// Ascending: the last one goes first.
    pool: Vec<(u64, Victim)>,
    /// What the pool was filled for.
    policy: Policy,
    next_db: usize,
    /// Chosen, and still there as far as is known.
    chosen: BTreeSet<(usize, Vec<u8>)>,
    /// With an order by deadlines: the last one chosen.
    last_deadline: Option<(u64, u64)>,
}

/// Keys in the pool.
const POOL_LEN: usize = 16;
/// Databases that are looked at for one key.
const DATABASES_MAX: usize = 16;
/// So many keys are passed over for each one that is wanted, if only those with a deadline may go.
const PASSED_OVER_MAX: usize = 64;
/// If any key will do, some are looked at all the same: the first may be on its way already.
const FOR_ANY: usize = 4;
/// How often is looked before giving up, if all that is found was chosen before.
const ROUNDS: usize = 8;

impl Chooser {
    /// One whose picks follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            pool: Vec::new(),
            policy: Policy::Refuse,
            next_db: 0,
            chosen: BTreeSet::new(),
            last_deadline: None,
        }
    }

    /// The next key to go; `None` if none is found that may.
    pub fn choose(&mut self, keyspace: &Keyspace, samples: usize) -> Option<Victim> {
        let policy = keyspace.policy();
        if policy != self.policy {
            (self.policy, self.last_deadline) = (policy, None);
            self.pool.clear();
        }
        let Policy::Evict { order, volatile } = policy else { return None };
        let victim = match order {
            Order::Ttl => self.first_to_expire(keyspace),
            Order::Random => self.any(keyspace, volatile),
            Order::Lru | Order::Lfu => self.least_used(keyspace, volatile, samples.max(1)),
        }?;
        self.chosen.insert((victim.db, victim.key.clone()));
        Some(victim)
    }

    /// What was chosen is gone, or will not go.
    pub fn forget(&mut self, db: usize, key: &[u8]) {
        self.chosen.remove(&(db, key.to_vec()));
        if self.chosen.is_empty() {
            self.last_deadline = None;
        }
    }

    /// Whether anything that was chosen is not gone yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.chosen.is_empty()
    }

    fn is_chosen(&self, db: usize, key: &[u8]) -> bool {
        !self.chosen.is_empty() && self.chosen.contains(&(db, key.to_vec()))
    }

    fn first_to_expire(&mut self, keyspace: &Keyspace) -> Option<Victim> {
        loop {
            let first = |db: usize| keyspace.databases[db].deadline_behind(self.last_deadline);
            let (deadline, db) = (0..keyspace.databases()).filter_map(|db| Some((first(db)?, db))).min()?;
            let database = &keyspace.databases[db];
            let has_it = |record: &&Record| record.expire_at_ms() == deadline.0;
            let of_it = database.same_hash(deadline.1).filter(has_it);
            let record = of_it.into_iter().find(|record| !self.is_chosen(db, record.key.as_bytes()));
            let victim = record.map(|record| victim(db, record));
            self.last_deadline = Some(deadline);
            if victim.is_some() {
                return victim;
            }
        }
    }

    fn any(&mut self, keyspace: &Keyspace, volatile: bool) -> Option<Victim> {
        for _ in 0..ROUNDS {
            for db in self.databases(keyspace, volatile) {
                let found = sample(keyspace, db, volatile, FOR_ANY, &mut self.random);
                let free = found.iter().find(|record| !self.is_chosen(db, record.key.as_bytes()));
                if let Some(record) = free {
                    self.next_db = db + 1;
                    return Some(victim(db, record));
                }
            }
        }
        None
    }

    fn least_used(&mut self, keyspace: &Keyspace, volatile: bool, samples: usize) -> Option<Victim> {
        for _ in 0..ROUNDS {
            for db in self.databases(keyspace, volatile) {
                for record in sample(keyspace, db, volatile, samples, &mut self.random) {
                    self.put(db, record, keyspace.lack_of_use(record));
                }
            }
            while let Some((_, victim)) = self.pool.pop() {
                let record = keyspace.record(victim.db, &victim.key);
                let may_go = record.is_some_and(|record| !volatile || record.expire_at_ms() != 0);
                if may_go && !self.is_chosen(victim.db, &victim.key) {
                    return Some(victim);
                }
            }
        }
        None
    }

    /// Keeps a key in mind if it is among the best.
    fn put(&mut self, db: usize, record: &Record, score: u64) {
        let at = self.pool.partition_point(|(other, _)| *other < score);
        let key = record.key.as_bytes();
        let is_worst = at == 0 && self.pool.len() >= POOL_LEN;
        if is_worst || self.is_chosen(db, key) || self.pool.iter().any(|(_, v)| v.db == db && v.key == key) {
            return;
        }
        self.pool.insert(at, (score, victim(db, record)));
        if self.pool.len() > POOL_LEN {
            self.pool.remove(0);
        }
    }

    /// Databases that have keys which may go, each time from the next one on.
    fn databases(&self, keyspace: &Keyspace, volatile: bool) -> Vec<usize> {
        let count = keyspace.databases();
        let all = (0..count).map(|i| (self.next_db + i) % count);
        let has_any = |db: &usize| {
            let database = &keyspace.databases[*db];
            if volatile { database.deadline_count() > 0 } else { !database.table.is_empty() }
        };
        all.filter(has_any).take(DATABASES_MAX).collect()
    }
}

fn victim(db: usize, record: &Record) -> Victim {
    let key = record.key.as_bytes().to_vec();
    Victim { db, key, bytes: record.memory_bytes() }
}

/// Up to `most` keys from a random place on. A hash is as good as a draw: the keys behind a place have nothing in common.
fn sample<'a>(
    keyspace: &'a Keyspace,
    db: usize,
    volatile: bool,
    most: usize,
    random: &mut Random,
) -> Vec<&'a Record> {
    let database = &keyspace.databases[db];
    let place = random.next_u64();
    let behind = database.table.iter_from(place).chain(database.table.iter_from(0));
    let records = behind.map(|(_, record)| record).take(database.table.len());
    if !volatile {
        return records.take(most).collect();
    }
    let has_deadline = |record: &&Record| record.expire_at_ms() != 0;
    let found: Vec<_> = records.take(most * PASSED_OVER_MAX).filter(has_deadline).take(most).collect();
    if !found.is_empty() {
        return found;
    }
    // They are few: as good as anywhere among the deadlines.
    let (Some(first), Some(last)) = (database.first_deadline(), database.last_deadline()) else {
        return found;
    };
    let from_ms = first.0 + random.below((last.0 - first.0).saturating_add(1).max(1));
    let deadlines = database.deadlines_from((from_ms, random.next_u64()));
    let deadlines = deadlines.chain(database.deadlines_from(first)).take(most);
    deadlines
        .flat_map(|(ms, hash)| database.same_hash(hash).filter(move |r| r.expire_at_ms() == ms))
        .collect()
}

impl Keyspace {
    /// `maxmemory-policy`, as the log says.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.rules.policy
    }

    /// Whether the leader was short of memory when it sent the last batch.
    #[must_use]
    pub fn memory_is_short(&self) -> bool {
        self.memory_short
    }

    /// `min-replicas-to-write`, as the log says.
    #[must_use]
    pub fn replicas_to_write(&self) -> usize {
        self.rules.replicas_to_write
    }

    /// What has gone takes so many bytes all the same, about, until a snapshot or a digest has got to it: no eviction
    /// brings them back.
    #[must_use]
    pub fn held_back_bytes(&self) -> usize {
        self.walks.held_bytes()
    }

    /// Drops a key because memory is short: what every replica does at the same place. False if it does not exist.
    pub(crate) fn evict(&mut self, db: usize, key: &[u8]) -> bool {
        if is_planted(Bug::EvictionJudgedHere)
            && self.record(db, key).is_some_and(|record| self.access.idle_s(record.stamp.last_use()) == 0)
        {
            return false;
        }
        let is_gone = self.remove(db, self.hash(key), key);
        if is_gone {
            self.counters.evicted();
            self.gazette.event(Events::EVICTED, "evicted", db, key);
        }
        is_gone
    }

    /// The higher, the sooner it goes.
    fn lack_of_use(&self, record: &Record) -> u64 {
        let last_use = record.stamp.last_use();
        match self.rules.policy.counts_uses() {
            true => u64::from(u8::MAX - self.access.frequency(&self.rules, last_use)),
            false => self.access.idle_s(last_use),
        }
    }

    fn record(&self, db: usize, key: &[u8]) -> Option<&Record> {
        self.databases.get(db)?.table.get(self.hash(key), key)
    }
}
