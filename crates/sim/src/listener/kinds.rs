//! What kinds of listeners there are, and what becomes of them.

use std::time::Duration;

use quorate_checkers::{Changes, Held, Message, Notice};

/// How a listener caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Not at all.
    No,
    /// What it reads.
    Default,
    /// What it reads, told of all keys.
    Broadcast,
    /// What it reads behind CLIENT CACHING YES.
    OptIn,
    /// What it reads, but not behind CLIENT CACHING NO.
    OptOut,
}

/// What may happen to all keys at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wipe {
    /// FLUSHDB.
    Database,
    /// FLUSHALL.
    All,
    /// SWAPDB: other values take their place.
    Swap,
}

/// What a listener listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// SUBSCRIBE.
    Channel(&'static str),
    /// PSUBSCRIBE.
    Pattern(&'static str),
    /// SSUBSCRIBE.
    Shard(&'static str),
}

/// What kind of listener it is.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Its node answers its reads, leader or not.
    pub readonly: bool,
    /// How it caches.
    pub caching: Caching,
    /// It is not told of what it changes itself.
    pub noloop: bool,
    /// What it listens to. Messages of the log are always among it.
    pub subscriptions: Vec<Subscription>,
}

/// A message that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The message; its channel is that of who has subscribed to it by name.
    pub message: Message,
    /// Through which node.
    pub node: usize,
    /// When it was sent.
    pub at: Duration,
    /// Whether the node has taken it.
    pub is_answered: bool,
}

/// What a listener has lived through.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What it held for the value of a key, and what it was told when it asked.
    pub held: Vec<Held>,
    /// Changes of keys that certainly took place, and the values that they have left.
    pub changes: Vec<(String, u64, Option<u64>)>,
    /// The messages that it has heard, in their order.
    pub heard: Vec<Message>,
    /// The numbers of those that stand in the log.
    pub of_log: Vec<u64>,
    /// What it has published.
    pub published: Vec<Published>,
    /// What it was told of changes, in order: of who listens to the channel of changes.
    pub notices: Vec<Notice>,
    /// How often it was told to drop everything.
    pub dropped_all: u64,
    /// How many commands were answered without an error.
    pub answered: u64,
}

/// All changes in some records.
pub fn key_changes<'a>(records: impl IntoIterator<Item = &'a Record>) -> Changes {
    let mut changes = Changes::new();
    for (key, n, left) in records.into_iter().flat_map(|record| &record.changes) {
        changes.entry(key.clone()).or_default().insert(*n, *left);
    }
    changes
}

#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) value: Option<u64>,
    pub(crate) since: u64,
    pub(crate) at: Duration,
}
