//! What the clients did and were told.

use std::time::Duration;

use quorate_checkers::Fate;
use serde::Serialize;

/// One operation of one client.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Event {
    /// Who.
    pub(super) client: u16,
    /// On which of all connections.
    pub(super) connection: u64,
    /// To which node; 0 if the client did not know.
    pub(super) node: u64,
    /// When it was sent, nanoseconds since the clients began.
    pub(super) begin: u64,
    /// When it was answered, or the client gave up.
    pub(super) end: u64,
    /// What.
    pub(super) call: Call,
    /// What was answered.
    pub(super) answer: Answer,
}

/// What a client asked for. Numbers in it name keys: see [`super::keys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Call {
    /// SET of a key that no other operation writes.
    Note(u64),
    /// SET of a shared key to a value that nobody else writes.
    Write { register: u64, value: u64 },
    /// GET of it.
    Read { register: u64 },
    /// INCR, on a connection that followers may answer or another one.
    Increment { counter: u64, follower: bool },
    /// GET of a counter.
    Count { counter: u64, follower: bool },
    /// RPUSH of a value that nobody else appends.
    Append { list: u64, value: u64 },
    /// LRANGE of the whole list.
    List { list: u64 },
    /// RPUSH of an element that nobody else pushes.
    Push { queue: u64, value: u64 },
    /// BLPOP.
    Pop { queue: u64 },
    /// WATCH, two GET, MULTI, two SET and an RPUSH to the journal, EXEC.
    Transfer { number: u64, from: usize, to: usize, amount: i64, seen: (i64, i64) },
    /// All balances and the length of the journal, in one MULTI/EXEC.
    Audit,
    /// SET with a time to live, once for each key.
    Mortal { key: u64, ttl_ms: u64 },
    /// EXISTS of such a key.
    Sight { key: u64 },
    /// SET, GET, SET, GET of a key of its own, sent together: the values are `key * 2` and `key * 2 + 1`.
    Pipeline { key: u64 },
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// OK.
    Done,
    /// A number: a counter's value, a list's length, a place in the journal.
    Number(u64),
    /// A value, or that there is none.
    Value(Option<u64>),
    /// A list's elements.
    Values(Vec<u64>),
    /// What an audit saw.
    Balances { balances: Vec<i64>, place: u64 },
    /// EXEC found a watched key changed.
    Aborted,
    /// An error that says: not applied. Its code.
    Refused(String),
    /// An error that leaves it open, or a connection that broke.
    Unknown(String),
    /// One for each command of a pipeline.
    Each(Vec<Answer>),
}

impl Answer {
    /// What it says about a write.
    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Aborted | Self::Refused(_) => Fate::Refused,
            Self::Unknown(_) => Fate::Unknown,
            // A pipeline without any acknowledgement is none.
            Self::Each(answers) => {
                answers.iter().map(Self::fate).find(|f| *f != Fate::Refused).unwrap_or(Fate::Refused)
            }
            _ => Fate::Acknowledged,
        }
    }
}

impl Call {
    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. } | Self::Count { .. } | Self::List { .. } | Self::Audit | Self::Sight { .. }
        )
    }

    /// Its kind, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Note(_) => "unique writes",
            Self::Write { .. } => "register writes",
            Self::Read { .. } => "register reads",
            Self::Increment { .. } => "increments",
            Self::Count { follower: false, .. } => "counter reads",
            Self::Count { follower: true, .. } => "READONLY reads",
            Self::Append { .. } => "list appends",
            Self::List { .. } => "list reads",
            Self::Push { .. } => "queue pushes",
            Self::Pop { .. } => "queue pops (BLPOP)",
            Self::Transfer { .. } => "transfers (WATCH, MULTI, EXEC)",
            Self::Audit => "audits (MULTI, EXEC)",
            Self::Mortal { .. } => "writes with expiry",
            Self::Sight { .. } => "reads of expiring keys",
            Self::Pipeline { .. } => "pipelines",
        }
    }
}

impl Event {
    /// When it was sent.
    pub(super) fn called(&self) -> Duration {
        Duration::from_nanos(self.begin)
    }

    /// When it was answered.
    pub(super) fn answered(&self) -> Duration {
        Duration::from_nanos(self.end)
    }

    /// The same, if its outcome is known.
    pub(super) fn known_end(&self) -> Option<Duration> {
        (self.answer.fate() != Fate::Unknown).then(|| self.answered())
    }
}
