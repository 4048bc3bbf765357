//! A client that keeps copies of values, is told when they change, and hears messages (R18).
//!
//! It writes and removes keys by scripts that number each change by one counter, so a value is the number of the change that wrote it:
//! see [`check_held`](quorate_checkers::check_held). Of everything that arrives it follows how new the state is that its connection has
//! told of. It sends nothing before all that it has sent is answered, but for what one step sends together.

mod kinds;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use quorate_checkers::{Did, Held, Message, Notice, Promise, Violation};
use quorate_resp::Value;

use crate::client::{Heard, SimClient};

pub(crate) use kinds::Kept;
pub use kinds::{Caching, Habits, Published, Record, Subscription, Wipe, key_changes};

/// The database of all keys: one of its own, which may be emptied and exchanged.
pub(crate) const DB: &str = "9";
/// The one that it is exchanged with.
const OTHER_DB: &str = "10";
/// Keyspace notifications of the database, by key and by event.
pub const OF_KEYS: &str = "__keyspace@9__:*";
/// See [`OF_KEYS`].
pub const OF_EVENTS: &str = "__keyevent@9__:*";
/// Where each change of a key says, in its entry, its number and what it did.
pub const CHANGES: &str = "t:did";
/// Counts the changes of all keys.
const CLOCK: &[u8] = b"t:clock";
/// Counts the messages that stand in the log.
const TOLD: &[u8] = b"t:told";
/// Where these are published.
const LOG_CHANNEL: &str = "t:log";
const WRITE: &str = "local n = redis.call('INCR', KEYS[1]) redis.call('SET', KEYS[2], n, unpack(ARGV)) \
    redis.call('PUBLISH', 't:did', n .. ' set ' .. KEYS[2]) return n";
const REMOVE: &str = "local n = redis.call('INCR', KEYS[1]) local removed = redis.call('DEL', KEYS[2]) == 1 \
    redis.call('PUBLISH', 't:did', n .. (removed and ' del ' or ' none ') .. KEYS[2]) return n";
/// Empties a database, or exchanges it. The counters go on; the values that there are afterwards are answered.
const WIPE: &str = "local n = redis.call('INCR', KEYS[1]) local told = redis.call('GET', KEYS[2]) \
    redis.call(unpack(ARGV)) redis.call('SET', KEYS[1], n) if told then redis.call('SET', KEYS[2], told) end \
    redis.call('PUBLISH', 't:did', n .. ' wiped ') return {n, redis.call('MGET', unpack(KEYS, 3))}";
const READ: &str = "return redis.call('MGET', KEYS[1], KEYS[2])";
const TELL: &str = "local n = redis.call('INCR', KEYS[1]) redis.call('PUBLISH', ARGV[1], n) return n";
/// How errors begin that a client may get while things break.
pub(crate) const ERRORS: [&str; 7] =
    ["NOQUORUM ", "UNKNOWN ", "OVERLOADED ", "LOADING ", "OOM ", "EXECABORT ", "ERR Protocol error: unauth"];

/// What an answer is to.
enum Asked {
    /// What a connection begins with.
    Beginning,
    /// A part of what follows.
    Part,
    /// GET; `own`: the newest change of its own that was answered before.
    Get {
        key: String,
        own: u64,
        keeps: bool,
    },
    /// GET as an element of the log.
    GetInLog {
        key: String,
    },
    /// The same by a script.
    GetByScript {
        key: String,
    },
    Change {
        key: String,
        removes: bool,
    },
    Wipe {
        keys: Vec<String>,
    },
    Publish {
        at: usize,
    },
    Tell,
}

/// See the module.
pub struct Listener {
    client: SimClient,
    id: u64,
    node: usize,
    habits: Habits,
    /// The subscriptions that are not confirmed.
    unconfirmed: usize,
    /// They were asked for.
    has_subscribed: bool,
    asked: VecDeque<Asked>,
    copies: BTreeMap<String, Kept>,
    /// The newest state that the connection has told of.
    known: u64,
    /// The newest change of its own that was answered.
    own: u64,
    /// When it was ready.
    ready: Option<Duration>,
    /// The node is not ready for it.
    has_failed: bool,
    /// Messages of the log are noted.
    follows_log: bool,
    record: Record,
}

impl Listener {
    /// A listener on a connection of its own to `node`. No other one has the same `id`.
    pub fn new(mut client: SimClient, id: u64, node: usize, habits: Habits) -> Self {
        let mut asked = VecDeque::new();
        let mut begin = |words: &[&str]| {
            client.send(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
            asked.push_back(Asked::Beginning);
        };
        begin(&["HELLO", "3"]);
        // A node that has just been started says so.
        begin(&["PING"]);
        begin(&["SELECT", DB]);
        if habits.readonly {
            begin(&["READONLY"]);
        }
        let mut words = vec!["CLIENT", "TRACKING", "ON"];
        match habits.caching {
            Caching::No => words.clear(),
            Caching::Default => {}
            Caching::Broadcast => words.extend(["BCAST", "PREFIX", "t:k"]),
            Caching::OptIn => words.push("OPTIN"),
            Caching::OptOut => words.push("OPTOUT"),
        }
        if !words.is_empty() {
            words.extend(habits.noloop.then_some("NOLOOP"));
            begin(&words);
        }
        let unconfirmed = habits.subscriptions.len() + 1;
        Self {
            client,
            id,
            node,
            habits,
            unconfirmed,
            has_subscribed: false,
            asked,
            copies: BTreeMap::new(),
            known: 0,
            own: 0,
            ready: None,
            has_failed: false,
            follows_log: true,
            record: Record::default(),
        }
    }

    fn subscribe(&mut self) {
        self.has_subscribed = true;
        for subscription in
            self.habits.subscriptions.iter().copied().chain([Subscription::Channel(LOG_CHANNEL)])
        {
            let (command, name) = match subscription {
                Subscription::Channel(name) => ("SUBSCRIBE", name),
                Subscription::Pattern(name) => ("PSUBSCRIBE", name),
                Subscription::Shard(name) => ("SSUBSCRIBE", name),
            };
            self.client.send_for_pushes(&[command.as_bytes(), name.as_bytes()]);
        }
    }

    /// The node that it is connected to.
    #[must_use]
    pub fn node(&self) -> usize {
        self.node
    }

    /// What kind of listener it is.
    #[must_use]
    pub fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Since when it hears and caches everything.
    #[must_use]
    pub fn ready(&self) -> Option<Duration> {
        self.ready
    }

    /// Whether it may be asked for something: all that it has sent is answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ready.is_some() && self.asked.is_empty()
    }

    /// Whether the connection has ended, or never came to be of use.
    pub fn is_over(&mut self) -> bool {
        self.has_failed || self.client.ended().is_some()
    }

    /// What it has lived through so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Entries were passed over on its node: of the log's messages some may be missing from now on.
    pub fn forget_log(&mut self) {
        self.record.of_log.clear();
        self.note(Notice::Gap);
    }

    /// Messages of the log are not noted any more.
    pub fn stop_following(&mut self) {
        self.follows_log = false;
    }

    /// How many copies it holds.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Asks for the value of a key, and keeps it if it caches.
    pub fn get(&mut self, key: &str) {
        self.read(key, true);
    }

    /// Asks for the value of a key to compare it with the copy, which stays as it is if there is a way to ask like that.
    pub fn compare(&mut self, key: &str) {
        self.read(key, false);
    }

    fn read(&mut self, key: &str, keeps: bool) {
        let keeps = match (self.habits.caching, keeps) {
            (Caching::No, _) => false,
            (Caching::OptIn, true) => self.part(&["CLIENT", "CACHING", "YES"]),
            (Caching::OptIn, false) => false,
            (Caching::OptOut, false) => !self.part(&["CLIENT", "CACHING", "NO"]),
            _ => true,
        };
        self.send(&["MGET", "t:clock", key], Asked::Get { key: key.to_owned(), own: self.own, keeps });
    }

    /// The same as an element of the log.
    pub fn get_in_log(&mut self, key: &str) {
        if self.habits.caching == Caching::OptIn {
            self.part(&["CLIENT", "CACHING", "YES"]);
        }
        self.part(&["MULTI"]);
        self.part(&["MGET", "t:clock", key]);
        self.send(&["EXEC"], Asked::GetInLog { key: key.to_owned() });
    }

    /// The same by a script that only reads; `ro`: and says so.
    pub fn get_by_script(&mut self, key: &str, ro: bool) {
        if self.habits.caching == Caching::OptIn {
            self.part(&["CLIENT", "CACHING", "YES"]);
        }
        let command = if ro { "EVAL_RO" } else { "EVAL" };
        self.send(&[command, READ, "2", "t:clock", key], Asked::GetByScript { key: key.to_owned() });
    }

    /// Removes all keys, or puts others in their place; `keys` are those that are looked at.
    pub fn wipe(&mut self, how: Wipe, keys: &[String]) {
        let count = (keys.len() + 2).to_string();
        let mut words = vec!["EVAL", WIPE, &count, "t:clock", "t:told"];
        words.extend(keys.iter().map(String::as_str));
        match how {
            Wipe::Database => words.push("FLUSHDB"),
            Wipe::All => words.push("FLUSHALL"),
            Wipe::Swap => words.extend(["SWAPDB", DB, OTHER_DB]),
        }
        self.send(&words, Asked::Wipe { keys: keys.to_vec() });
    }

    /// Writes a key, which then lives for `ms` milliseconds, or for ever.
    pub fn write(&mut self, key: &str, ms: Option<u32>) {
        let ms = ms.map(|ms| ms.to_string());
        let mut words = vec!["EVAL", WRITE, "2", "t:clock", key];
        if let Some(ms) = &ms {
            words.extend(["PX", ms]);
        }
        self.change(&words, key, false);
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.change(&["EVAL", REMOVE, "2", "t:clock", key], key, true);
    }

    fn change(&mut self, words: &[&str], key: &str, removes: bool) {
        debug_assert_eq!(words[3].as_bytes(), CLOCK);
        if self.habits.noloop {
            self.drop_copy(key);
        }
        self.send(words, Asked::Change { key: key.to_owned(), removes });
    }

    /// Publishes a message that says up to where its node has applied what this connection wrote.
    pub fn publish(&mut self, channel: &str, sharded: bool, now: Duration) {
        let number = self.record.published.len() as u64 + 1;
        let body = format!("{}:{number}:{}", self.id, self.own);
        let message = Message { channel: channel.to_owned(), publisher: self.id, number };
        self.record.published.push(Published { message, node: self.node, at: now, is_answered: false });
        let command = if sharded { "SPUBLISH" } else { "PUBLISH" };
        self.send(&[command, channel, &body], Asked::Publish { at: self.record.published.len() - 1 });
    }

    /// Has a message published by a script: it stands in the log.
    pub fn tell(&mut self) {
        let told = std::str::from_utf8(TOLD).expect("ASCII");
        self.send(&["EVAL", TELL, "1", told, LOG_CHANNEL], Asked::Tell);
    }

    fn part(&mut self, words: &[&str]) -> bool {
        self.send(words, Asked::Part);
        true
    }

    fn send(&mut self, words: &[&str], asked: Asked) {
        self.client.send(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.asked.push_back(asked);
    }

    /// Takes what has arrived. An error says that a copy is not what its node answers, without having been told.
    pub fn take(&mut self, now: Duration) -> Result<(), Violation> {
        while let Some(heard) = self.client.heard() {
            match heard {
                Heard::Push(parts) => self.pushed(&parts, now),
                Heard::Reply(reply) => self.replied(&reply, now)?,
            }
            if self.ready.is_none() && self.asked.is_empty() && !self.has_failed {
                match (self.has_subscribed, self.unconfirmed) {
                    (false, _) => self.subscribe(),
                    (true, 0) => self.ready = Some(now),
                    (true, _) => {}
                }
            }
        }
        Ok(())
    }

    fn pushed(&mut self, parts: &[Value], now: Duration) {
        let texts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        match (texts.first().copied(), &texts[..]) {
            (Some("invalidate"), _) => match parts.get(1).and_then(Value::as_array) {
                Some(keys) => keys.iter().filter_map(Value::as_str).for_each(|key| self.drop_copy(key)),
                None => {
                    self.record.dropped_all += 1;
                    let all: Vec<String> = self.copies.keys().cloned().collect();
                    all.iter().for_each(|key| self.drop_copy(key));
                }
            },
            (Some("subscribe" | "psubscribe" | "ssubscribe"), _) => self.unconfirmed -= 1,
            (_, ["pmessage", OF_KEYS, channel, event]) => self.happened(event, channel),
            (_, ["pmessage", OF_EVENTS, channel, key]) => self.happened(channel, key),
            (_, ["message", CHANGES, body]) => {
                let [n, did, key] = body.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                    panic!("a change says three things: {body}")
                };
                let did = match did {
                    "set" => Did::Set,
                    "del" => Did::Removed,
                    "none" => Did::Nothing,
                    _ => Did::Wiped,
                };
                let n = n.parse().expect("a number");
                self.note(Notice::Change { n, key: key.to_owned(), did });
            }
            (_, ["message", LOG_CHANNEL, number]) => {
                if self.follows_log {
                    self.record.of_log.push(number.parse().expect("a number"));
                }
            }
            (_, ["message" | "smessage", channel, body]) => self.told(channel, body),
            // Told from the same message by its name.
            (_, ["pmessage", pattern, channel, body]) => self.told(&format!("{pattern} {channel}"), body),
            _ => panic!("listener {} hears {parts:?} at {now:?}", self.id),
        }
    }

    /// A keyspace notification; of channels, the name behind the colon counts.
    fn happened(&mut self, event: &str, key: &str) {
        let last = |text: &str| text.split_once("__:").map_or(text, |(_, last)| last).to_owned();
        let (event, key) = (last(event), last(key));
        self.note(Notice::Event { event, key });
    }

    /// Before everything is confirmed, some of what belongs together may be missing.
    fn note(&mut self, notice: Notice) {
        let listens = self.habits.subscriptions.contains(&Subscription::Channel(CHANGES));
        if listens && self.follows_log && self.has_subscribed && self.unconfirmed == 0 {
            self.record.notices.push(notice);
        }
    }

    fn told(&mut self, channel: &str, body: &str) {
        let numbers: Vec<u64> = body.split(':').map(|n| n.parse().expect("a number")).collect();
        let [publisher, number, known] = numbers[..] else { panic!("a message says three things: {body}") };
        self.record.heard.push(Message { channel: channel.to_owned(), publisher, number });
        self.known = self.known.max(known);
    }

    fn replied(&mut self, reply: &Value, now: Duration) -> Result<(), Violation> {
        let asked = self.asked.pop_front().expect("SimClient counts replies");
        if let Some(error) = reply.as_error() {
            // Of a transaction that was not even queued.
            let expected =
                ERRORS.iter().any(|code| error.starts_with(code)) || error == "ERR EXEC without MULTI";
            assert!(expected, "listener {}: {error}", self.id);
            self.has_failed |= matches!(asked, Asked::Beginning);
            return Ok(());
        }
        self.record.answered += 1;
        match asked {
            Asked::Beginning | Asked::Part | Asked::Tell => {}
            Asked::Publish { at } => self.record.published[at].is_answered = true,
            Asked::Change { key, removes } => {
                let n = number(reply).expect("the script answers the number of the change");
                self.record.changes.push((key.clone(), n, (!removes).then_some(n)));
                self.own = self.own.max(n);
                // Only who is told of all keys hears of what others do to a key that it has not read.
                if self.habits.noloop && self.habits.caching == Caching::Broadcast {
                    self.copies.insert(key, Kept { value: (!removes).then_some(n), since: n, at: now });
                }
            }
            Asked::Wipe { keys } => {
                let [n, left] = reply.as_array().unwrap_or_default() else { panic!("it answers two things") };
                let n = number(n).expect("the script answers the number of the change");
                let left = left.as_array().expect("MGET answers a list").iter().map(number);
                self.record.changes.extend(keys.into_iter().zip(left).map(|(key, left)| (key, n, left)));
                self.own = self.own.max(n);
            }
            Asked::GetInLog { key } => {
                if let Some(answer) = reply.as_array().and_then(<[Value]>::first).and_then(Value::as_array) {
                    self.got_in_log(key, answer, now);
                }
            }
            Asked::GetByScript { key } => {
                self.got_in_log(key, reply.as_array().expect("MGET answers a list"), now);
            }
            Asked::Get { key, own, keeps } => {
                let (state, value) = state_and_value(reply.as_array().expect("MGET answers a list"));
                self.got(key, state, value, own, keeps, now)?;
            }
        }
        Ok(())
    }

    /// It may be older than a copy that was told of: nothing is asked of the moment within an entry.
    fn got_in_log(&mut self, key: String, answer: &[Value], now: Duration) {
        let (since, value) = state_and_value(answer);
        self.note_value(&key, value);
        self.drop_copy(&key);
        if self.habits.caching != Caching::No {
            self.copies.insert(key, Kept { value, since, at: now });
        }
    }

    fn got(
        &mut self,
        key: String,
        state: u64,
        value: Option<u64>,
        own: u64,
        keeps: bool,
        now: Duration,
    ) -> Result<(), Violation> {
        self.note_value(&key, value);
        self.known = self.known.max(own);
        if state < self.known {
            let what = format!(
                "client {} of node {} ({:?}) is shown state {state} at {now:?}, though it knew of {} before it asked: from its own \
                 writes, reads, or a message",
                self.id, self.node, self.habits, self.known
            );
            return Err(Violation::new(Promise::FreshCaches, what));
        }
        self.known = state;
        if let Some(copy) = self.copies.get(&key).filter(|copy| copy.value != value) {
            let what = format!(
                "client {} of node {} ({:?}) holds {:?} for {key} since {:?}; its node answers {value:?} at {now:?}, and has not \
                 told it of the change",
                self.id, self.node, self.habits, copy.value, copy.at
            );
            return Err(Violation::new(Promise::FreshCaches, what));
        }
        if keeps {
            self.copies.entry(key).or_insert(Kept { value, since: state, at: now });
        }
        Ok(())
    }

    fn note_value(&mut self, key: &str, value: Option<u64>) {
        self.record.changes.extend(value.map(|n| (key.to_owned(), n, Some(n))));
    }

    fn drop_copy(&mut self, key: &str) {
        if let Some(Kept { value, since, at }) = self.copies.remove(key) {
            let (client, key, upto) = (self.id, key.to_owned(), self.known);
            self.record.held.push(Held { client, key, value, since, upto, at });
        }
    }

    /// Its connection ends. What it has lived through.
    #[must_use]
    pub fn finish(mut self) -> Record {
        let all: Vec<String> = self.copies.keys().cloned().collect();
        all.iter().for_each(|key| self.drop_copy(key));
        self.record
    }
}

/// What the counter of changes was in an answer, and the value beside it.
pub(crate) fn state_and_value(answer: &[Value]) -> (u64, Option<u64>) {
    let [state, value] = answer else { panic!("two keys were asked for: {answer:?}") };
    (number(state).unwrap_or(0), number(value))
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        other => other.as_str()?.parse().ok(),
    }
}
