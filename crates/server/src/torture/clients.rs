//! The clients: a mixed workload through all nodes. None repeats an operation that failed.
#![allow(clippy::disallowed_methods, reason = "real clients that wait")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use quorate_env::Instant;
use quorate_resp::Value;

use super::history::{Answer, Call, Event};
use super::keys::{self, ACCOUNTS};
use super::target::{Route, Words};
use crate::client::Client;

/// How long clients wait for an answer: half of them longer than a node's write-timeout (5 s), the others much shorter.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// How long a client waits before it tries another node, or again after a refusal.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The longest that a client thinks between two operations, milliseconds.
const THINK_MS_MAX: u64 = 8;
/// Operations until a client takes another node.
const STAY: u32 = 300;
/// How many of the newest expiring keys are looked at.
const MORTALS_SEEN: u64 = 12;
/// How long a client waits for an element, seconds.
const POP_TIME: &str = "0.3";
/// Room between the numbers of two clients.
const NUMBERS: u64 = 1 << 40;

/// What the clients share with whoever watches them.
#[derive(Debug)]
pub(super) struct Control {
    stop: AtomicBool,
    start: Instant,
    operations: AtomicU64,
    /// When a write was last acknowledged, nanoseconds since `start`.
    last_acknowledged: AtomicU64,
    connections: AtomicU64,
    mortals: AtomicU64,
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            start: Instant::now(),
            operations: AtomicU64::new(0),
            last_acknowledged: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            mortals: AtomicU64::new(0),
        }
    }

    /// Ends the clients after the operation that each has under way.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Nanoseconds since the clients began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The same.
    pub(super) fn time(&self) -> Duration {
        self.start.elapsed()
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// When a write was last acknowledged.
    pub(super) fn last_acknowledged(&self) -> Duration {
        Duration::from_nanos(self.last_acknowledged.load(Ordering::Relaxed))
    }

    /// A number that no other connection has.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What one client leaves.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// In the order of their calls.
    pub(super) events: Vec<Event>,
    /// Errors by their first words, and how often.
    pub(super) errors: BTreeMap<String, u64>,
    /// Answers that no client can make sense of: errors that say neither "not applied" nor "may be applied", wrong kinds.
    pub(super) strange: Vec<String>,
}

/// A connection, and what is known of it.
struct Line {
    client: Client,
    node: u64,
    number: u64,
}

/// One client.
pub(super) struct Worker<'a> {
    number: u16,
    rng: fastrand::Rng,
    route: &'a Route,
    control: &'a Control,
    /// What followers must ask the leader for, and what they may answer themselves.
    lines: [Option<Line>; 2],
    next: u64,
    diary: Diary,
}

impl<'a> Worker<'a> {
    pub(super) fn new(number: u16, seed: u64, route: &'a Route, control: &'a Control) -> Self {
        let rng =
            fastrand::Rng::with_seed(seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self { number, rng, route, control, lines: [None, None], next: 0, diary: Diary::default() }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self) -> Diary {
        while !self.control.is_stopped() {
            let call = self.draw();
            if !self.perform(call) {
                thread::sleep(RETRY_PAUSE);
            }
            if self.rng.u32(..STAY) == 0 {
                self.lines = [None, None];
            }
            thread::sleep(Duration::from_millis(self.rng.u64(..=THINK_MS_MAX)));
        }
        self.diary
    }

    /// A number that no other operation has.
    fn number(&mut self) -> u64 {
        self.next += 1;
        u64::from(self.number) * NUMBERS + self.next
    }

    /// What comes next. A transfer is not complete yet: its balances are read first.
    fn draw(&mut self) -> Call {
        let (at, draw) = (self.control.time(), self.rng.u64(..));
        let follower = self.route.reads_followers();
        match self.rng.u32(..100) {
            0..20 => Call::Note(self.number()),
            20..35 => Call::Write { register: keys::register_at(at, draw), value: self.number() },
            35..50 => Call::Read { register: keys::register_at(at, draw) },
            50..58 => Call::Increment { counter: keys::counter_at(at, draw), follower: false },
            58..63 => Call::Count { counter: keys::counter_at(at, draw), follower: false },
            63..66 => Call::Increment { counter: keys::counter_at(at, draw), follower },
            66..74 => Call::Count { counter: keys::counter_at(at, draw), follower },
            74..82 => Call::Append { list: keys::list_at(at, draw), value: self.number() },
            82..84 => Call::List { list: keys::list_at(at, draw) },
            84..86 => Call::Push { queue: keys::queue_at(at, draw), value: self.number() },
            86..88 => Call::Pop { queue: keys::queue_at(at, draw) },
            88..91 => self.draw_transfer(),
            91..93 => Call::Audit,
            93..95 => {
                let key = self.control.mortals.fetch_add(1, Ordering::Relaxed);
                Call::Mortal { key, ttl_ms: self.rng.u64(300..3000) }
            }
            95..98 => {
                let newest = self.control.mortals.load(Ordering::Relaxed);
                Call::Sight { key: newest.saturating_sub(draw % MORTALS_SEEN) }
            }
            _ => Call::Pipeline { key: self.number() },
        }
    }

    fn draw_transfer(&mut self) -> Call {
        let from = self.rng.usize(..ACCOUNTS);
        let to = (from + self.rng.usize(1..ACCOUNTS)) % ACCOUNTS;
        Call::Transfer { number: self.number(), from, to, amount: self.rng.i64(1..10), seen: (0, 0) }
    }

    /// Carries an operation out and writes it down; false if it is better to wait a moment.
    fn perform(&mut self, call: Call) -> bool {
        let follower =
            matches!(call, Call::Increment { follower: true, .. } | Call::Count { follower: true, .. });
        let at = usize::from(follower);
        let mut line = match self.lines[at].take() {
            Some(line) => line,
            None => match self.connect(follower) {
                Some(line) => line,
                None => return false,
            },
        };
        let begin = self.control.now();
        let mut asking = Asking { line: &mut line.client, words: self.route.words(), diary: &mut self.diary };
        let (call, answer) = asking.carry_out(call);
        let end = self.control.now();
        let is_broken =
            matches!(&answer, Some(Answer::Unknown(why)) if why.starts_with(BROKEN)) || answer.is_none();
        let (node, connection) = (line.node, line.number);
        if !is_broken {
            self.lines[at] = Some(line);
        }
        // What was not sent at all is no operation.
        let Some(answer) = answer else { return false };
        self.control.operations.fetch_add(1, Ordering::Relaxed);
        let fate = answer.fate();
        if fate == quorate_checkers::Fate::Acknowledged && call.writes() {
            self.control.last_acknowledged.fetch_max(end, Ordering::Relaxed);
        }
        let refused = matches!(answer, Answer::Refused(_));
        if refused && self.rng.bool() {
            self.lines = [None, None];
        }
        self.diary.events.push(Event { client: self.number, connection, node, begin, end, call, answer });
        !refused && !is_broken
    }

    fn connect(&mut self, follower: bool) -> Option<Line> {
        let patience = PATIENCE[self.rng.usize(..PATIENCE.len())];
        let (node, mut client) = self.route.connect(&mut self.rng, patience)?;
        if follower {
            client.expect(&["READONLY"]).ok()?;
        }
        Some(Line { client, node, number: self.control.next_connection() })
    }
}

/// How the answer to what a broken connection carried begins.
const BROKEN: &str = "connection";

/// Asks, and sorts the answers.
pub(super) struct Asking<'a> {
    pub(super) line: &'a mut Client,
    pub(super) words: Words,
    pub(super) diary: &'a mut Diary,
}

impl Asking<'_> {
    /// The call, complete, and its answer; none if nothing was sent that could change anything.
    pub(super) fn carry_out(&mut self, call: Call) -> (Call, Option<Answer>) {
        let answer = match &call {
            Call::Note(number) => self.ask(&["SET", &keys::note(*number), "x"], done),
            Call::Write { register, value } => {
                self.ask(&["SET", &keys::register(*register), &value.to_string()], done)
            }
            Call::Read { register } => self.ask(&["GET", &keys::register(*register)], value),
            Call::Increment { counter, .. } => self.ask(&["INCR", &keys::counter(*counter)], count),
            Call::Count { counter, .. } => self.ask(&["GET", &keys::counter(*counter)], count),
            Call::Append { list, value } => {
                self.ask(&["RPUSH", &keys::list(*list), &value.to_string()], count)
            }
            Call::List { list } => self.ask(&["LRANGE", &keys::list(*list), "0", "-1"], values),
            Call::Push { queue, value } => {
                self.ask(&["RPUSH", &keys::queue(*queue), &value.to_string()], count)
            }
            Call::Pop { queue } => self.ask(&["BLPOP", &keys::queue(*queue), POP_TIME], popped),
            Call::Audit => self.audit(),
            Call::Mortal { key, ttl_ms } => {
                self.ask(&["SET", &keys::mortal(*key), "x", "PX", &ttl_ms.to_string()], done)
            }
            Call::Sight { key } => self.ask(&["EXISTS", &keys::mortal(*key)], count),
            Call::Pipeline { key } => self.pipeline(*key),
            Call::Transfer { number, from, to, amount, .. } => {
                return self.transfer(*number, *from, *to, *amount);
            }
        };
        (call, Some(answer))
    }

    fn ask(&mut self, args: &[&str], read: fn(&Value) -> Option<Answer>) -> Answer {
        let reply = self.line.call(args);
        self.sort(reply, read)
    }

    /// What a reply means.
    fn sort(&mut self, reply: io::Result<Value>, read: impl Fn(&Value) -> Option<Answer>) -> Answer {
        match reply {
            Ok(Value::Error(text)) => self.error(&text),
            Ok(reply) => read(&reply).unwrap_or_else(|| {
                self.diary.strange.push(format!("an answer of the wrong kind: {reply:?}"));
                Answer::Unknown("wrong kind".into())
            }),
            Err(error) => {
                let why = format!("{BROKEN}: {}", error.kind());
                *self.diary.errors.entry(why.clone()).or_default() += 1;
                Answer::Unknown(why)
            }
        }
    }

    fn error(&mut self, text: &str) -> Answer {
        let code = text.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        *self.diary.errors.entry(code.clone()).or_default() += 1;
        match self.words.means(&code) {
            Some(true) => Answer::Refused(code),
            Some(false) => Answer::Unknown(code),
            None => {
                self.diary
                    .strange
                    .push(format!("an error that does not say whether the command was applied: {text}"));
                Answer::Unknown(code)
            }
        }
    }

    /// Several commands at once; one reply each, or the same error for all.
    fn together(&mut self, commands: Vec<Vec<String>>) -> io::Result<Vec<Value>> {
        self.line.pipeline(commands)
    }

    fn pipeline(&mut self, key: u64) -> Answer {
        let name = keys::pipeline(key);
        let set = |value: u64| vec!["SET".to_owned(), name.clone(), value.to_string()];
        let get = || vec!["GET".to_owned(), name.clone()];
        match self.together(vec![set(key * 2), get(), set(key * 2 + 1), get()]) {
            Ok(replies) => {
                let kinds: [fn(&Value) -> Option<Answer>; 4] = [done, value, done, value];
                let sorted = replies.into_iter().zip(kinds).map(|(reply, kind)| self.sort(Ok(reply), kind));
                Answer::Each(sorted.collect())
            }
            Err(error) => self.sort(Err(error), |_| None),
        }
    }

    fn audit(&mut self) -> Answer {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut commands = vec![words(&["MULTI"])];
        commands.extend((0..ACCOUNTS).map(|account| words(&["GET", &keys::account(account)])));
        commands.extend([words(&["LLEN", keys::JOURNAL]), words(&["EXEC"])]);
        let reply = self.together(commands).and_then(last);
        self.sort(reply, |reply| {
            let (place, balances) = reply.as_array()?.split_last()?;
            Some(Answer::Balances {
                balances: balances.iter().map(number).collect::<Option<_>>()?,
                place: u64::try_from(number(place)?).ok()?,
            })
        })
    }

    fn transfer(&mut self, number_: u64, from: usize, to: usize, amount: i64) -> (Call, Option<Answer>) {
        let (payer, payee) = (keys::account(from), keys::account(to));
        let call = |seen| Call::Transfer { number: number_, from, to, amount, seen };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let look = vec![words(&["WATCH", &payer, &payee]), words(&["GET", &payer]), words(&["GET", &payee])];
        let seen = match self.together(look) {
            Ok(replies) => match &replies[..] {
                [watch, payer, payee] if watch.as_error().is_none() => number(payer).zip(number(payee)),
                _ => None,
            },
            Err(_) => return (call((0, 0)), None),
        };
        let Some(seen) = seen else {
            // Nothing was written; the connection must forget what it watches.
            let dropped = self.line.call(&["UNWATCH"]).is_err();
            return (call((0, 0)), (!dropped).then(|| Answer::Refused("NOREAD".into())));
        };
        let commands = vec![
            words(&["MULTI"]),
            words(&["SET", &payer, &(seen.0 - amount).to_string()]),
            words(&["SET", &payee, &(seen.1 + amount).to_string()]),
            words(&["RPUSH", keys::JOURNAL, &number_.to_string()]),
            words(&["EXEC"]),
        ];
        let reply = self.together(commands).and_then(last);
        let answer = self.sort(reply, |reply| match reply.as_array() {
            Some([_, _, place]) => count(place),
            None if reply.is_null() => Some(Answer::Aborted),
            _ => None,
        });
        (call(seen), Some(answer))
    }
}

fn last(mut replies: Vec<Value>) -> io::Result<Value> {
    replies.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn number(value: &Value) -> Option<i64> {
    value.as_int().or_else(|| value.as_str()?.parse().ok())
}

fn done(reply: &Value) -> Option<Answer> {
    (reply.as_str() == Some("OK")).then_some(Answer::Done)
}

/// A number; no key counts as 0.
fn count(reply: &Value) -> Option<Answer> {
    let number = if reply.is_null() { 0 } else { number(reply)? };
    Some(Answer::Number(u64::try_from(number).ok()?))
}

fn value(reply: &Value) -> Option<Answer> {
    if reply.is_null() {
        return Some(Answer::Value(None));
    }
    Some(Answer::Value(Some(u64::try_from(number(reply)?).ok()?)))
}

/// A key and an element of it.
fn popped(reply: &Value) -> Option<Answer> {
    match reply.as_array() {
        Some([_, element]) => value(element),
        Some(_) => None,
        None => reply.is_null().then_some(Answer::Value(None)),
    }
}

fn values(reply: &Value) -> Option<Answer> {
    let numbers = reply.as_array()?.iter().map(|value| u64::try_from(number(value)?).ok());
    Some(Answer::Values(numbers.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use quorate_checkers::Fate;

    use super::*;

    fn sorted(reply: io::Result<Value>) -> (Answer, usize) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut line = Client::connect(&addr, None, PATIENCE[0]).unwrap();
        let mut diary = Diary::default();
        let answer = Asking { line: &mut line, words: Words::Quorate, diary: &mut diary }.sort(reply, done);
        (answer, diary.strange.len())
    }

    #[test]
    fn answers_are_told_apart() {
        let error = |text: &str| sorted(Ok(Value::Error(text.into())));
        assert_eq!(sorted(Ok(Value::Simple("OK".into()))), (Answer::Done, 0));
        assert_eq!(error("NOQUORUM nobody"), (Answer::Refused("NOQUORUM".into()), 0));
        assert_eq!(error("UNKNOWN perhaps"), (Answer::Unknown("UNKNOWN".into()), 0));
        // An error that says neither is not honest.
        assert_eq!(error("ERR something"), (Answer::Unknown("ERR".into()), 1));
        assert_eq!(sorted(Ok(Value::Int(3))).1, 1);
        let broken = sorted(Err(io::ErrorKind::TimedOut.into())).0;
        assert!(matches!(&broken, Answer::Unknown(why) if why.starts_with(BROKEN)));
        assert_eq!(broken.fate(), Fate::Unknown);
    }

    #[test]
    fn a_pipeline_is_acknowledged_if_any_of_it_is() {
        let refused = || Answer::Refused("NOQUORUM".into());
        assert_eq!(Answer::Each(vec![refused(), Answer::Done]).fate(), Fate::Acknowledged);
        assert_eq!(Answer::Each(vec![refused(), refused()]).fate(), Fate::Refused);
    }

    #[test]
    fn the_workload_has_everything_in_it() {
        let (control, route) = (Control::new(), Route::nodes(Vec::new()));
        let mut worker = Worker::new(1, 7, &route, &control);
        let kinds: std::collections::BTreeSet<&str> = (0..2000).map(|_| worker.draw().kind()).collect();
        assert_eq!(kinds.len(), 15, "{kinds:?}");
    }
}
