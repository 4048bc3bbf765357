//! One checker for each promise, over what clients were told and what nodes show.
//!
//! [`Call`]s are what clients did and when; [`Seen`] is what each node showed in the end. Those that look at nodes while
//! the cluster runs ([`Digests`], [`Leaders`]) are asked by [`SimCluster`](crate::SimCluster). Each is proven by bugs
//! that are planted (`tests/planted.rs`): a checker that has caught nothing proves nothing.

mod digests;
mod exactly_once;
mod expiry;
mod honest_errors;
mod leaders;
mod linearizable;
mod lost;
mod program_order;
mod session_reads;
mod silent_corruption;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use quorate_resp::Value;

pub use digests::Digests;
pub use leaders::Leaders;

/// What Quorate promises, and what is checked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// There is one order of all reads and writes that explains every answer.
    Linearizable,
    /// Commands of one connection take effect in the order sent (R1).
    ProgramOrder,
    /// A READONLY connection sees its own writes, and never less than it has seen.
    SessionReads,
    /// What was acknowledged is there.
    NoLostAck,
    /// An acknowledged command took effect once, and none more often.
    ExactlyOnce,
    /// What was reported as not applied never was (R14).
    HonestErrors,
    /// Nobody is shown what nobody wrote.
    NoSilentCorruption,
    /// An expiry that was seen stays seen (R2).
    ExpiryStays,
    /// Nodes that have applied equally much have the same digest (R10).
    EqualDigests,
    /// A term has one leader.
    OneLeader,
    /// A client that caches values and is told of changes never holds one that is older than what it was told (R18).
    FreshCaches,
    /// Published messages come in the order of their publisher, at most once, and not before its writes (R18).
    Messages,
    /// Users' rights hold on every node from one entry of the log on.
    Users,
    /// After the faults end the cluster takes writes and reads again.
    Heals,
    /// The code's own assertions hold.
    Assertions,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linearizable => "linearizable",
            Self::ProgramOrder => "program-order",
            Self::SessionReads => "session-reads",
            Self::NoLostAck => "no-lost-ack",
            Self::ExactlyOnce => "exactly-once",
            Self::HonestErrors => "honest-errors",
            Self::NoSilentCorruption => "no-silent-corruption",
            Self::ExpiryStays => "expiry-stays",
            Self::EqualDigests => "equal-digests",
            Self::OneLeader => "one-leader",
            Self::FreshCaches => "fresh-caches",
            Self::Messages => "messages",
            Self::Users => "users",
            Self::Heals => "heals",
            Self::Assertions => "assertions",
        })
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// What shows it, for people.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What a client asked for. Values are numbers; no two writes of a key write the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SET of a number.
    Set(u64),
    /// SET of a number that expires.
    SetFor(u64, Duration),
    /// GET.
    Get,
    /// INCR.
    Increment,
}

/// A command of a client and what became of it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which connection.
    pub client: usize,
    /// Whether that connection is READONLY.
    pub readonly: bool,
    /// Through which node.
    pub node: usize,
    /// What.
    pub act: Act,
    /// Which key.
    pub key: String,
    /// When it was sent.
    pub begin: Duration,
    /// When the reply came.
    pub end: Option<Duration>,
    /// `None`: the connection ended first.
    pub reply: Option<Value>,
}

impl Call {
    fn error(&self) -> Option<&str> {
        self.reply.as_ref().and_then(Value::as_error)
    }

    /// It was answered, and not with an error.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.reply.is_some() && self.error().is_none()
    }

    /// It was reported as certainly not applied.
    #[must_use]
    pub fn is_not_applied(&self) -> bool {
        let codes = ["NOQUORUM ", "OVERLOADED ", "LOADING "];
        self.error().is_some_and(|e| codes.iter().any(|code| e.starts_with(code)))
    }

    /// What a SET writes.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        match self.act {
            Act::Set(value) | Act::SetFor(value, _) => Some(value),
            Act::Get | Act::Increment => None,
        }
    }

    /// What an acknowledged GET was shown; inner `None`: that there is nothing.
    #[must_use]
    pub fn shown(&self) -> Option<Option<u64>> {
        (self.act == Act::Get && self.is_acknowledged()).then(|| self.reply.as_ref().and_then(number))
    }
}

/// The number in a reply: an integer, or a string that begins with one. A reply that has none is 0, which is never written.
#[must_use]
pub fn number(reply: &Value) -> Option<u64> {
    match reply {
        Value::Int(n) => Some(u64::try_from(*n).unwrap_or(0)),
        other => {
            let text = other.as_str()?;
            Some(text.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(0))
        }
    }
}

/// What a node showed of a key in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which node.
    pub node: usize,
    /// Which key.
    pub key: String,
    /// Its value, if it has one.
    pub value: Option<u64>,
}

/// All that the checkers of histories look at.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order they were sent.
    pub calls: Vec<Call>,
    /// In the end, by each node.
    pub last: Vec<Seen>,
    /// When that was.
    pub now: Duration,
}

impl History {
    /// Every key.
    fn keys(&self) -> BTreeSet<&str> {
        self.calls.iter().map(|call| &*call.key).collect()
    }

    fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(move |call| call.key == key)
    }

    fn seen<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.last.iter().filter(move |seen| seen.key == key)
    }

    /// Whether a key is only incremented and read.
    fn is_counter(&self, key: &str) -> bool {
        self.of(key).any(|call| call.act == Act::Increment)
    }

    /// Whether a key expires.
    fn expires(&self, key: &str) -> bool {
        self.of(key).any(|call| matches!(call.act, Act::SetFor(..)))
    }

    /// Everything that is wrong with it, at most one violation for each promise.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        type Check = fn(&History, &str) -> Result<(), String>;
        let checks: [(Promise, Check); 8] = [
            (Promise::NoLostAck, lost::check),
            (Promise::Linearizable, linearizable::check),
            (Promise::ExactlyOnce, exactly_once::check),
            (Promise::HonestErrors, honest_errors::check),
            (Promise::ProgramOrder, program_order::check),
            (Promise::SessionReads, session_reads::check),
            (Promise::NoSilentCorruption, silent_corruption::check),
            (Promise::ExpiryStays, expiry::check),
        ];
        let broken = |(promise, check): (Promise, Check)| {
            let what = self.keys().into_iter().find_map(|key| check(self, key).err())?;
            Some(Violation { promise, what })
        };
        checks.into_iter().filter_map(broken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: u64, act: Act, reply: Option<Value>) -> Call {
        let (begin, end) =
            (Duration::from_millis(at), reply.is_some().then(|| Duration::from_millis(at + 1)));
        Call { client: 1, readonly: false, node: 1, act, key: "k".to_owned(), begin, end, reply }
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::Bulk(text.as_bytes().to_vec()))
    }

    fn promises(calls: Vec<Call>, last: Option<u64>) -> Vec<Promise> {
        let last = vec![Seen { node: 1, key: "k".to_owned(), value: last }];
        let history = History { calls, last, now: Duration::from_secs(10) };
        history.check().into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn each_checker_finds_what_it_is_for() {
        let ok = || text("OK");
        let error = |text: &str| Some(Value::Error(text.to_owned()));
        assert_eq!(promises(vec![call(0, Act::Set(1), ok()), call(5, Act::Get, text("1"))], Some(1)), []);
        let lost = promises(vec![call(0, Act::Set(1), ok())], None);
        assert!(lost.contains(&Promise::NoLostAck), "{lost:?}");
        let liar = promises(vec![call(0, Act::Set(1), error("NOQUORUM no"))], Some(1));
        assert!(liar.contains(&Promise::HonestErrors), "{liar:?}");
        assert_eq!(promises(vec![call(0, Act::Set(1), error("UNKNOWN so"))], Some(1)), []);
        assert_eq!(promises(vec![call(0, Act::Set(1), error("UNKNOWN so"))], None), []);
        let invented = promises(vec![call(0, Act::Set(1), ok())], Some(2));
        assert!(invented.contains(&Promise::NoSilentCorruption), "{invented:?}");
        let twice = promises(vec![call(0, Act::Increment, Some(Value::Int(1)))], Some(2));
        assert_eq!(twice, [Promise::ExactlyOnce]);
        let order = promises(vec![call(0, Act::Set(1), ok()), call(0, Act::Get, Some(Value::Null))], Some(1));
        assert!(order.contains(&Promise::ProgramOrder), "{order:?}");
        let expiring = Act::SetFor(1, Duration::from_secs(1));
        let back =
            [call(0, expiring, ok()), call(5, Act::Get, Some(Value::Null)), call(9, Act::Get, text("1"))];
        assert_eq!(promises(back.to_vec(), None), [Promise::ExpiryStays]);
        assert_eq!(promises(back[..2].to_vec(), None), []);
    }

    #[test]
    fn a_session_never_goes_back() {
        let mut calls = vec![call(0, Act::Set(1), text("OK")), call(5, Act::Set(2), text("OK"))];
        for (at, value) in [(10, "2"), (20, "1")] {
            let get = call(at, Act::Get, text(value));
            calls.push(Call { client: 2, readonly: true, ..get });
        }
        assert_eq!(promises(calls.clone(), Some(2)), [Promise::SessionReads]);
        calls.swap(2, 3);
        assert_eq!(promises(calls, Some(2)), [], "what a follower shows may be old");
    }
}
