//! A client that keeps copies of values and has what it is told of them sent to a connection beside (CLIENT TRACKING ... REDIRECT).
//!
//! Nothing orders the two connections. So it does what such a client must do: an answer counts as a copy only if nothing was told of its
//! key since it was asked for. What is promised is then: whatever its node knew when it answered has been told on the other connection
//! before that answers anything it is asked later. A PING there, sent when the answer had arrived, brings it: what is still held when the
//! PING is answered was not replaced up to the state of the answer. Once nothing happens any more, that is every change.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use quorate_checkers::{Held, Promise, Violation};
use quorate_resp::Value;

use crate::client::SimClient;
use crate::listener::{Caching, DB, ERRORS, Kept, Record, state_and_value};

/// Where a connection in RESP2 is told.
const CHANNEL: &str = "__redis__:invalidate";

/// What kind of client it is.
#[derive(Debug, Clone, Copy)]
pub struct RedirectedHabits {
    /// Its node answers its reads, leader or not.
    pub readonly: bool,
    /// How it caches.
    pub caching: Caching,
    /// What it is told comes in RESP3; else as messages of RESP2.
    pub told_in_resp3: bool,
}

/// What the connection beside is to answer.
enum Beside {
    Part,
    Id,
    Subscribe,
    /// PING. When it was sent, this state was known, and the copies of these keys had been contradicted.
    Ping {
        state: u64,
        doubted: Vec<(String, Duration)>,
    },
}

enum Asked {
    Beginning,
    Part,
    Get { key: String, keeps: bool },
}

/// See the module.
pub struct Redirected {
    reader: SimClient,
    beside: SimClient,
    id: u64,
    node: usize,
    habits: RedirectedHabits,
    asked: VecDeque<Asked>,
    asked_beside: VecDeque<Beside>,
    copies: BTreeMap<String, Kept>,
    /// Keys that are being asked for, and whether something was told of them meanwhile.
    awaited: BTreeMap<String, bool>,
    /// Keys whose copy an answer has contradicted, and when.
    doubted: BTreeMap<String, Duration>,
    /// The newest state that an answer has shown.
    shown: u64,
    /// Of every change up to this state it has been told.
    known: u64,
    has_begun: bool,
    ready: Option<Duration>,
    has_failed: bool,
    record: Record,
}

impl Redirected {
    /// A client with two connections to `node`. No other client has the same `id`.
    pub fn new(reader: SimClient, beside: SimClient, id: u64, node: usize, habits: RedirectedHabits) -> Self {
        let mut this = Self {
            reader,
            beside,
            id,
            node,
            habits,
            asked: VecDeque::new(),
            asked_beside: VecDeque::new(),
            copies: BTreeMap::new(),
            awaited: BTreeMap::new(),
            doubted: BTreeMap::new(),
            shown: 0,
            known: 0,
            has_begun: false,
            ready: None,
            has_failed: false,
            record: Record::default(),
        };
        if habits.told_in_resp3 {
            this.ask_beside(&["HELLO", "3"], Beside::Part);
        }
        this.ask_beside(&["CLIENT", "ID"], Beside::Id);
        this
    }

    /// The node that it is connected to.
    #[must_use]
    pub fn node(&self) -> usize {
        self.node
    }

    /// Since when it caches.
    #[must_use]
    pub fn ready(&self) -> Option<Duration> {
        self.ready
    }

    /// Whether it may be asked for something: all that it has sent is answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ready.is_some() && self.asked.is_empty() && self.asked_beside.is_empty()
    }

    /// Whether one of the connections has ended, or never came to be of use: then no copy may be trusted.
    pub fn is_over(&mut self) -> bool {
        self.has_failed || self.reader.ended().is_some() || self.beside.ended().is_some()
    }

    /// What it has lived through so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Asks for the value of a key.
    pub fn get(&mut self, key: &str) {
        let keeps = self.habits.caching != Caching::No;
        if self.habits.caching == Caching::OptIn {
            self.ask(&["CLIENT", "CACHING", "YES"], Asked::Part);
        }
        self.awaited.insert(key.to_owned(), false);
        self.ask(&["MGET", "t:clock", key], Asked::Get { key: key.to_owned(), keeps });
    }

    /// Has the other connection say that everything was told that belongs to the answers so far.
    pub fn sync(&mut self) {
        let doubted = self.doubted.iter().map(|(key, at)| (key.clone(), *at)).collect();
        self.ask_beside(&["PING"], Beside::Ping { state: self.shown, doubted });
    }

    fn ask(&mut self, words: &[&str], asked: Asked) {
        self.reader.send(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.asked.push_back(asked);
    }

    fn ask_beside(&mut self, words: &[&str], asked: Beside) {
        self.beside.send_for_pushes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.asked_beside.push_back(asked);
    }

    /// Takes what has arrived. An error says that a copy is held that should have been given up.
    pub fn take(&mut self, now: Duration) -> Result<(), Violation> {
        while let Some(value) = self.beside.value() {
            self.heard_beside(&value)?;
        }
        while let Some(reply) = self.reader.reply() {
            self.replied(&reply, now)?;
        }
        if self.has_begun && self.ready.is_none() && self.asked.is_empty() && !self.has_failed {
            self.ready = Some(now);
        }
        Ok(())
    }

    fn heard_beside(&mut self, value: &Value) -> Result<(), Violation> {
        let parts = match value {
            Value::Push(parts) => &parts[..],
            other => other.as_array().unwrap_or_default(),
        };
        match (parts.first().and_then(Value::as_str), parts.get(1).and_then(Value::as_str)) {
            (Some("message"), Some(CHANNEL)) => self.told(&parts[2]),
            (Some("invalidate"), _) => self.told(&parts[1]),
            _ => {
                let asked = self.asked_beside.pop_front().expect("an answer to something");
                return self.answered_beside(asked, value);
            }
        }
        Ok(())
    }

    fn answered_beside(&mut self, asked: Beside, answer: &Value) -> Result<(), Violation> {
        if let Some(error) = answer.as_error() {
            assert!(ERRORS.iter().any(|code| error.starts_with(code)), "client {}: {error}", self.id);
            self.has_failed = true;
            return Ok(());
        }
        match asked {
            Beside::Part | Beside::Subscribe => {}
            Beside::Id => {
                let Value::Int(id) = answer else { panic!("CLIENT ID is a number: {answer:?}") };
                self.begin(&id.to_string());
            }
            Beside::Ping { state, doubted } => {
                self.known = self.known.max(state);
                let still = |(key, at): &&(String, Duration)| self.doubted.get(key) == Some(at);
                if let Some((key, at)) = doubted.iter().find(still) {
                    let what = format!(
                        "client {} of node {} ({:?}) holds {:?} for {key}, which its node contradicted at {at:?}; the connection that \
                         is told instead was not told",
                        self.id,
                        self.node,
                        self.habits,
                        self.copies.get(key).map(|copy| copy.value)
                    );
                    return Err(Violation::new(Promise::FreshCaches, what));
                }
            }
        }
        Ok(())
    }

    /// The other connection is there: everything else, in one go. It is subscribed before anything is tracked.
    fn begin(&mut self, told: &str) {
        if !self.habits.told_in_resp3 {
            self.ask_beside(&["SUBSCRIBE", CHANNEL], Beside::Subscribe);
        }
        self.ask(&["PING"], Asked::Beginning);
        self.ask(&["SELECT", DB], Asked::Beginning);
        if self.habits.readonly {
            self.ask(&["READONLY"], Asked::Beginning);
        }
        let mut words = vec!["CLIENT", "TRACKING", "ON", "REDIRECT", told];
        match self.habits.caching {
            Caching::Broadcast => words.extend(["BCAST", "PREFIX", "t:k"]),
            Caching::OptIn => words.push("OPTIN"),
            Caching::OptOut => words.push("OPTOUT"),
            Caching::Default | Caching::No => {}
        }
        self.ask(&words, Asked::Beginning);
        self.has_begun = true;
    }

    fn told(&mut self, keys: &Value) {
        let keys: Vec<String> = match keys.as_array() {
            Some(keys) => keys.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => {
                self.record.dropped_all += 1;
                self.copies.keys().chain(self.awaited.keys()).cloned().collect()
            }
        };
        for key in keys {
            self.drop_copy(&key);
            if let Some(is_told) = self.awaited.get_mut(&key) {
                *is_told = true;
            }
        }
    }

    fn replied(&mut self, reply: &Value, now: Duration) -> Result<(), Violation> {
        let asked = self.asked.pop_front().expect("SimClient counts replies");
        let is_told = match &asked {
            Asked::Get { key, .. } => self.awaited.remove(key).unwrap_or(true),
            _ => false,
        };
        if let Some(error) = reply.as_error() {
            let is_gone = error.starts_with("ERR The client ID you want redirect to");
            let expected = is_gone || ERRORS.iter().any(|code| error.starts_with(code));
            assert!(expected, "client {}: {error}", self.id);
            self.has_failed |= matches!(asked, Asked::Beginning);
            return Ok(());
        }
        self.record.answered += 1;
        let Asked::Get { key, keeps } = asked else { return Ok(()) };
        let (state, value) = state_and_value(reply.as_array().expect("MGET answers a list"));
        self.record.changes.extend(value.map(|n| (key.clone(), n, Some(n))));
        if state < self.shown.max(self.known) {
            let what = format!(
                "client {} of node {} ({:?}) is shown state {state} at {now:?}, behind {}",
                self.id, self.node, self.habits, self.shown
            );
            return Err(Violation::new(Promise::FreshCaches, what));
        }
        self.shown = state;
        match self.copies.get(&key) {
            Some(copy) if copy.value != value => {
                self.doubted.entry(key).or_insert(now);
            }
            None if keeps && !is_told => {
                self.copies.insert(key, Kept { value, since: state, at: now });
            }
            _ => {}
        }
        Ok(())
    }

    fn drop_copy(&mut self, key: &str) {
        self.doubted.remove(key);
        if let Some(Kept { value, since, at }) = self.copies.remove(key) {
            let (client, key, upto) = (self.id, key.to_owned(), self.known);
            self.record.held.push(Held { client, key, value, since, upto, at });
        }
    }

    /// Its connections end. What it has lived through.
    #[must_use]
    pub fn finish(mut self) -> Record {
        let all: Vec<String> = self.copies.keys().cloned().collect();
        all.iter().for_each(|key| self.drop_copy(key));
        self.record
    }
}
