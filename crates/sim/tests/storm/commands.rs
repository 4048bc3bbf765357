//! The commands of a storm: what they say, and how their answers are read.

use std::fmt;
use std::time::Duration;

use quorate_resp::Value;

use super::MS;
use super::effects;

/// A command line.
pub(crate) type Line = Vec<Vec<u8>>;

/// An identity of a stream's entry.
pub(crate) type EntryId = (u64, u64);

/// Who looks at the group of a stream in the end.
const LAST_CONSUMER: &str = "last";

/// Functions, which are a part of the state like everything else.
const LIBRARY: &str = "#!lua name=storm\n\
    redis.register_function('count', function(keys, args)\n\
    redis.call('RPUSH', keys[1], args[1])\n\
    return redis.call('LLEN', keys[1])\n\
    end)";

/// How elements get into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Plainly,
    /// From a script.
    Script,
    /// One by one, in a transaction.
    Transaction,
}

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SET of a key that nobody else writes.
    Unique,
    /// A counter grows by one: INCR, and what the other types have.
    Increment,
    /// What a counter is.
    ReadCounter,
    /// A register is set to a value that nobody else writes.
    Write(u64),
    /// What a register holds.
    Read,
    /// SET of a register that only this client uses, in a pipeline.
    PrivateWrite(u64),
    /// GET of it, behind the SET in the same pipeline.
    PrivateRead,
    /// SET of a large value: logs grow, snapshots are made and nodes that were away need them.
    Bulk(u64),
    /// A member, field or bit is put in.
    Put(u64),
    /// The same if it is not there.
    PutIfEmpty(u64),
    /// It is taken away.
    Take,
    /// What it is.
    Look,
    /// A field is exchanged, by a script.
    Swap(u64),
    /// So many elements with values from the first one on are pushed.
    Push { first: u64, count: u64, how: How },
    /// Elements are popped; `wait` says for how long, 0 for ever.
    Pop { most: usize, wait: Option<Duration>, from_right: bool },
    /// An element goes from one list to another.
    Move { wait: Option<Duration> },
    /// XADD to a stream with a group.
    Add(u64),
    /// XREADGROUP of new entries.
    Deliver { wait: Option<Duration> },
    /// XACK.
    Acknowledge { value: u64, id: EntryId },
    /// XAUTOCLAIM of what belongs to whomever.
    Claim,
    /// XGROUP CREATE.
    MakeGroup,
    /// XREAD of what follows an entry.
    Follow { after: EntryId, wait: Option<Duration> },
    /// PFADD.
    Sample(u64),
    /// PFCOUNT.
    Estimate,
    /// FUNCTION LOAD.
    LoadFunctions,
    /// One of the commands whose traces only digests tell.
    Effect(u64),
}

impl Kind {
    /// For how long it may wait, beside what every command does. `None`: for ever.
    pub(crate) fn patience(self) -> Option<Duration> {
        match self {
            Self::Pop { wait, .. }
            | Self::Move { wait }
            | Self::Deliver { wait }
            | Self::Follow { wait, .. } => {
                let wait = wait.unwrap_or(MS);
                (!wait.is_zero()).then_some(wait)
            }
            _ => Some(Duration::ZERO),
        }
    }
}

/// A command and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) client: usize,
    pub(crate) node: usize,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) begin: Duration,
    pub(crate) end: Option<Duration>,
    /// `None`: the connection ended first.
    pub(crate) reply: Option<Value>,
}

/// Errors that say that nothing was applied. A node that is loading does not know its password yet, and takes no large
/// argument. Groups and functions are missing until somebody makes them, and a power loss may take them.
const REFUSALS: [&str; 10] = [
    "NOQUORUM ",
    "OVERLOADED ",
    "OOM ",
    "LOADING ",
    "ERR Protocol error: unauthenticated",
    "UNBLOCKED ",
    "EXECABORT ",
    "NOGROUP ",
    "BUSYGROUP ",
    "ERR Function not found",
];

impl Op {
    fn error(&self) -> Option<&str> {
        self.reply.as_ref().and_then(Value::as_error)
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.reply.is_some() && self.error().is_none()
    }

    pub(crate) fn is_not_applied(&self) -> bool {
        self.error().is_some_and(|e| REFUSALS.iter().any(|code| e.starts_with(code)))
    }

    /// The node has just been started.
    pub(crate) fn is_loading(&self) -> bool {
        self.error().is_some_and(|e| e.starts_with("LOADING "))
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.reply.is_none() || self.error().is_some_and(|e| e.starts_with("UNKNOWN "))
    }

    /// What is sent: a command, or all of a transaction.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let (place, key) = (place(&self.key), &self.key[..]);
        match self.kind {
            Kind::Unique => one(&["SET", key, key]),
            Kind::Increment => increment(place, key),
            Kind::ReadCounter => read_counter(place, key),
            Kind::Write(value) => write(place, key, value),
            Kind::Read => read(place, key),
            Kind::PrivateWrite(value) => one(&["SET", key, &value.to_string()]),
            Kind::PrivateRead => one(&["GET", key]),
            Kind::Bulk(value) => bulk(key, value),
            Kind::Put(_) | Kind::PutIfEmpty(_) | Kind::Take | Kind::Look | Kind::Swap(_) => {
                cell(self.kind, place, key)
            }
            Kind::Push { first, count, how } => push(place, key, first..first + count, how),
            Kind::Pop { most, wait, from_right } => pop(place, key, most, wait, from_right),
            Kind::Move { wait } => move_one(key, wait),
            Kind::Add(value) => one(&["XADD", key, "*", "v", &value.to_string()]),
            Kind::Deliver { .. }
            | Kind::Acknowledge { .. }
            | Kind::Claim
            | Kind::MakeGroup
            | Kind::Follow { .. } => stream(self.kind, key, &format!("c{}", self.client)),
            Kind::Sample(value) => one(&["PFADD", key, &value.to_string()]),
            Kind::Estimate => one(&["PFCOUNT", key]),
            Kind::LoadFunctions => one(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]),
            Kind::Effect(draw) => effects::lines(draw),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, node, kind, key, begin, end, reply } = self;
        let reply = match reply {
            Some(Value::Error(text)) => text.split(' ').next().unwrap_or_default().to_owned(),
            Some(value) => format!("{value:?}"),
            None => "no reply".to_owned(),
        };
        write!(f, "{begin:>14?} - {end:>14?} client {client} on node {node}: {kind:?} {key} -> {reply}")
    }
}

/// What reads a key in the end. The answers come in this order.
pub(crate) fn last_reads(key: &str) -> Vec<Line> {
    let place = place(key);
    match &key[..1] {
        "c" => last_of(read_counter(place, key)),
        "r" => last_of(read(place, key)),
        "m" => cell(Kind::Look, place, key),
        "q" => match place {
            'f' => [one(&["LRANGE", key, "0", "-1"]), one(&["LRANGE", &done(key), "0", "-1"])].concat(),
            'm' => siblings(key).iter().flat_map(|k| one(&["LRANGE", k, "0", "-1"])).collect(),
            'z' => one(&["ZRANGE", key, "0", "-1"]),
            _ => one(&["SMEMBERS", key]),
        },
        "x" => [
            one(&["XRANGE", key, "-", "+"]),
            one(&["XPENDING", key, "group", "-", "+", "1000000"]),
            one(&["XREADGROUP", "GROUP", "group", LAST_CONSUMER, "COUNT", "1000000", "STREAMS", key, ">"]),
        ]
        .concat(),
        "h" => one(&["PFCOUNT", key]),
        "e" | "f" => Vec::new(),
        _ => one(&["GET", key]),
    }
}

/// The reads of a transaction without it, if it is one.
fn last_of(mut lines: Vec<Line>) -> Vec<Line> {
    lines.retain(|line| !matches!(&line[0][..], b"MULTI" | b"EXEC"));
    lines
}

/// Where something is kept: the second letter of its key.
pub(crate) fn place(key: &str) -> char {
    key.chars().nth(1).expect("keys are longer")
}

fn one(words: &[&str]) -> Vec<Line> {
    vec![words.iter().map(|word| word.as_bytes().to_vec()).collect()]
}

/// Several commands as one transaction.
pub(crate) fn transaction(lines: &[&[&str]]) -> Vec<Line> {
    let steps = lines.iter().flat_map(|line| one(line));
    one(&["MULTI"]).into_iter().chain(steps).chain(one(&["EXEC"])).collect()
}

fn bulk(key: &str, value: u64) -> Vec<Line> {
    let mut bytes = format!("{value}:").into_bytes();
    bytes.resize(bytes.len() + 20_000 + (value as usize * 7_919) % 50_000, b'a' + (value % 26) as u8);
    vec![vec![b"SET".to_vec(), key.as_bytes().to_vec(), bytes]]
}

fn increment(place: char, key: &str) -> Vec<Line> {
    match place {
        'h' => one(&["HINCRBY", key, "f", "1"]),
        'z' => one(&["ZINCRBY", key, "1", "m"]),
        'b' => one(&["BITFIELD", key, "INCRBY", "u32", "#3", "1"]),
        'l' => one(&["RPUSH", key, "x"]),
        's' => {
            let script = "redis.call('XADD', KEYS[1], '*', 'f', 'v') return redis.call('XLEN', KEYS[1])";
            one(&["EVAL", script, "1", key])
        }
        'f' => one(&["FCALL", "count", "1", key, "x"]),
        't' => transaction(&[&["INCR", key], &["HINCRBY", &format!("{key}:hash"), "f", "1"]]),
        _ => one(&["INCR", key]),
    }
}

fn read_counter(place: char, key: &str) -> Vec<Line> {
    match place {
        'h' => one(&["HGET", key, "f"]),
        'z' => one(&["ZSCORE", key, "m"]),
        'b' => one(&["BITFIELD", key, "GET", "u32", "#3"]),
        'l' | 'f' => one(&["LLEN", key]),
        's' => one(&["XLEN", key]),
        't' => transaction(&[&["GET", key], &["HGET", &format!("{key}:hash"), "f"]]),
        _ => one(&["GET", key]),
    }
}

fn write(place: char, key: &str, value: u64) -> Vec<Line> {
    let value = &value.to_string()[..];
    match place {
        'h' => one(&["HSET", key, "f", value]),
        'z' => one(&["ZADD", key, value, "m"]),
        'b' => one(&["BITFIELD", key, "SET", "u40", "3", value]),
        's' => one(&["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", key, value]),
        'x' => one(&["XADD", key, "MAXLEN", "3", "*", "v", value]),
        't' => transaction(&[
            &["SET", key, value],
            &["HSET", &format!("{key}:hash"), "f", value],
            &["ZADD", &format!("{key}:zset"), value, "m"],
        ]),
        _ => one(&["SET", key, value]),
    }
}

fn read(place: char, key: &str) -> Vec<Line> {
    match place {
        'h' => one(&["HGET", key, "f"]),
        'z' => one(&["ZSCORE", key, "m"]),
        'b' => one(&["BITFIELD_RO", key, "GET", "u40", "3"]),
        's' => one(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", key]),
        'x' => one(&["XREVRANGE", key, "+", "-", "COUNT", "1"]),
        't' => transaction(&[
            &["GET", key],
            &["HGET", &format!("{key}:hash"), "f"],
            &["ZSCORE", &format!("{key}:zset"), "m"],
        ]),
        _ => one(&["GET", key]),
    }
}

/// A cell is named by its collection and, behind a slash, its place in there.
fn cell(kind: Kind, place: char, cell: &str) -> Vec<Line> {
    let (key, element) = cell.split_once('/').expect("a cell");
    let text = |value: u64| value.to_string();
    match (place, kind) {
        ('s', Kind::Put(_) | Kind::PutIfEmpty(_)) => one(&["SADD", key, element]),
        ('s', Kind::Take) => one(&["SREM", key, element]),
        ('s', _) => one(&["SISMEMBER", key, element]),
        ('h', Kind::Put(value)) => one(&["HSET", key, element, &text(value)]),
        ('h', Kind::PutIfEmpty(value)) => one(&["HSETNX", key, element, &text(value)]),
        ('h', Kind::Swap(value)) => {
            let script = "local old = redis.call('HGET', KEYS[1], ARGV[1]) \
                redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return old";
            one(&["EVAL", script, "1", key, element, &text(value)])
        }
        ('h', Kind::Take) => one(&["HDEL", key, element]),
        ('h', _) => one(&["HGET", key, element]),
        ('z', Kind::Put(value)) => one(&["ZADD", key, &text(value), element]),
        ('z', Kind::PutIfEmpty(value)) => one(&["ZADD", key, "NX", &text(value), element]),
        ('z', Kind::Take) => one(&["ZREM", key, element]),
        ('z', _) => one(&["ZSCORE", key, element]),
        (_, Kind::Put(_) | Kind::PutIfEmpty(_)) => one(&["SETBIT", key, element, "1"]),
        (_, Kind::Take) => one(&["SETBIT", key, element, "0"]),
        (_, _) => one(&["GETBIT", key, element]),
    }
}

/// The lists of a queue that has two.
fn siblings(key: &str) -> [String; 2] {
    [format!("{key}:a"), format!("{key}:b")]
}

/// Where elements of a list are moved.
fn done(key: &str) -> String {
    format!("{key}:done")
}

fn push(place: char, key: &str, values: std::ops::Range<u64>, how: How) -> Vec<Line> {
    let target = match place {
        'm' => siblings(key)[(values.start % 2) as usize].clone(),
        _ => key.to_owned(),
    };
    let name = match place {
        'f' => "RPUSH",
        'm' if values.start.is_multiple_of(3) => "LPUSH",
        'm' => "RPUSH",
        'z' => "ZADD",
        _ => "SADD",
    };
    let texts: Vec<String> = values.map(|value| value.to_string()).collect();
    let of = |text: &'_ String| match place {
        'z' => vec![text.clone(), text.clone()],
        _ => vec![text.clone()],
    };
    match how {
        How::Transaction => {
            let lines: Vec<Vec<String>> =
                texts.iter().map(|text| [vec![name.to_owned(), target.clone()], of(text)].concat()).collect();
            let lines: Vec<Vec<&str>> =
                lines.iter().map(|line| line.iter().map(String::as_str).collect()).collect();
            transaction(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
        How::Script => {
            let script = format!("return redis.call('{name}', KEYS[1], unpack(ARGV))");
            let words = [
                vec!["EVAL".to_owned(), script, "1".to_owned(), target],
                texts.iter().flat_map(of).collect(),
            ];
            one(&words.concat().iter().map(String::as_str).collect::<Vec<_>>())
        }
        How::Plainly => {
            let words = [vec![name.to_owned(), target], texts.iter().flat_map(of).collect()];
            one(&words.concat().iter().map(String::as_str).collect::<Vec<_>>())
        }
    }
}

fn seconds(wait: Duration) -> String {
    wait.as_secs_f64().to_string()
}

fn pop(place: char, key: &str, most: usize, wait: Option<Duration>, from_right: bool) -> Vec<Line> {
    let count = &most.to_string()[..];
    let (list_side, zset_side) = if from_right { ("RIGHT", "MAX") } else { ("LEFT", "MIN") };
    let time = wait.map(seconds);
    let [a, b] = &siblings(key);
    match (place, time.as_deref()) {
        ('f', Some(time)) if most > 1 => one(&["BLMPOP", time, "1", key, "LEFT", "COUNT", count]),
        ('f', Some(time)) => one(&["BLPOP", key, time]),
        ('f', None) => one(&["LPOP", key, count]),
        ('m', Some(time)) if most > 1 => one(&["BLMPOP", time, "2", a, b, list_side, "COUNT", count]),
        ('m', Some(time)) if from_right => one(&["BRPOP", b, a, time]),
        ('m', Some(time)) => one(&["BLPOP", a, b, time]),
        ('m', None) => one(&["LMPOP", "2", a, b, list_side, "COUNT", count]),
        ('z', Some(time)) if most > 1 => one(&["BZMPOP", time, "1", key, zset_side, "COUNT", count]),
        ('z', Some(time)) if from_right => one(&["BZPOPMAX", key, time]),
        ('z', Some(time)) => one(&["BZPOPMIN", key, time]),
        ('z', None) => one(&["ZMPOP", "1", key, zset_side, "COUNT", count]),
        _ => one(&["SPOP", key, count]),
    }
}

fn move_one(key: &str, wait: Option<Duration>) -> Vec<Line> {
    let done = done(key);
    match wait.map(seconds) {
        Some(time) => one(&["BLMOVE", key, &done, "LEFT", "RIGHT", &time]),
        None => one(&["LMOVE", key, &done, "LEFT", "RIGHT"]),
    }
}

fn stream(kind: Kind, key: &str, consumer: &str) -> Vec<Line> {
    let id = |id: EntryId| format!("{}-{}", id.0, id.1);
    let ms = |wait: Duration| wait.as_millis().to_string();
    match kind {
        Kind::MakeGroup => one(&["XGROUP", "CREATE", key, "group", "0", "MKSTREAM"]),
        Kind::Deliver { wait: None } => {
            one(&["XREADGROUP", "GROUP", "group", consumer, "COUNT", "2", "STREAMS", key, ">"])
        }
        Kind::Deliver { wait: Some(wait) } => {
            let wait = &ms(wait)[..];
            one(&["XREADGROUP", "GROUP", "group", consumer, "COUNT", "2", "BLOCK", wait, "STREAMS", key, ">"])
        }
        Kind::Acknowledge { id: entry, .. } => one(&["XACK", key, "group", &id(entry)]),
        Kind::Claim => one(&["XAUTOCLAIM", key, "group", consumer, "0", "0-0", "COUNT", "2"]),
        Kind::Follow { after, wait: Some(wait) } => {
            one(&["XREAD", "COUNT", "5", "BLOCK", &ms(wait), "STREAMS", key, &id(after)])
        }
        Kind::Follow { after, wait: None } => one(&["XREAD", "COUNT", "5", "STREAMS", key, &id(after)]),
        _ => unreachable!("{kind:?} is not about streams"),
    }
}

/// The number in an answer: it may be the first of a transaction's, or text.
pub(crate) fn number(reply: &Value) -> Option<u64> {
    match reply {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::Array(values) => number(values.first()?),
        other => other.as_str()?.parse().ok(),
    }
}

/// The entries in an answer to a command about one stream: what stands in them, and their identities.
pub(crate) fn entries(reply: &Value) -> Vec<(u64, EntryId)> {
    reply.as_array().unwrap_or_default().iter().filter_map(entry).collect()
}

fn entry(value: &Value) -> Option<(u64, EntryId)> {
    let [id, fields] = value.as_array()? else { return None };
    let value = fields.as_array()?.get(1)?.as_str()?.parse().ok()?;
    Some((value, entry_id(id)?))
}

/// An identity as text.
pub(crate) fn entry_id(value: &Value) -> Option<EntryId> {
    let (ms, seq) = value.as_str()?.split_once('-')?;
    Some((ms.parse().ok()?, seq.parse().ok()?))
}

/// The entries in an answer to XREAD or XREADGROUP of one stream.
pub(crate) fn read_entries(reply: &Value) -> Vec<(u64, EntryId)> {
    let stream = reply.as_array().and_then(<[Value]>::first).and_then(Value::as_array);
    stream.and_then(|stream| stream.get(1)).map(entries).unwrap_or_default()
}

/// The elements in an answer to a command that pops. Keys and scores are numbers only by accident: they are left out by
/// where they stand.
pub(crate) fn popped(place: char, kind: Kind, reply: &Value) -> Vec<u64> {
    let texts = |values: &[Value]| values.iter().filter_map(number).collect::<Vec<u64>>();
    let Some(values) = reply.as_array() else { return number(reply).into_iter().collect() };
    match (place, kind) {
        (_, Kind::Move { .. }) => texts(values),
        ('f', Kind::Pop { wait: None, .. }) | ('s', _) => texts(values),
        // A key and an element, with a score if it is from a sorted set; or a key and a list of them.
        _ => match values.get(1) {
            Some(Value::Array(elements)) => texts(elements),
            Some(element) => number(element).into_iter().collect(),
            None => Vec::new(),
        },
    }
}
