//! Commands: any arguments of every command of the table, in batches and transactions, with the time going on.
//!
//! An input is text, a command a line, so that what is found can be read. A backquote stands for a space within a word: scripts
//! have some. The fuzzer has its own way to change a line: another command of the table, with words that mean something to some
//! command, all options of the table among them.
//!
//! Two replicas apply everything, one of them as the origin, and a third begins with a snapshot in between. They agree
//! on everything, each reply is one well-formed value, what fails has changed nothing, and reads change nothing.

#![no_main]

use std::sync::LazyLock;

use quorate_fuzz::Random;
use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS, Watch};
use quorate_keyspace::command::{Argument, Command, Group, resolve, table};
use quorate_keyspace::{Applied, Host, Keyspace, NoHost, Outcome, Reply, Restore};
use quorate_resp::{Protocol, Value, ValueDecoder, ValueLimits};

const TERM: u64 = 3;
const START_MS: u64 = 1_700_000_000_000;
const LINES_MAX: usize = 40;

/// What arguments are made of, beside what the fuzzer finds out and the options of the table: keys, first those that hold
/// something in the seeds; numbers at the edges; small programs.
const WORDS: &str = "a b c d text number list list2 set hash zset stream group c1 hll geo missing 0 1 -1 2 3 7 100 -100 5000 \
    1.5 -0 1e400 0.1 nan inf +1 0x1 4294967295 9223372036854775807 -9223372036854775808 9223372036854775808 1700000000 \
    1700000001000 1800000000000 string # ( [ - + -inf +inf (1 [a $ > * = ~ 0-0 0-1 1700000000000-0 1-* u8 i64 u63 #1 ? [a- \\ a* \
    km m SLEEP DIGEST listpack 13.361389 38.115556 200 f lib return`1 return`{1,'a',{},1.5,false} return`redis.call(unpack(ARGV)) \
    return`redis.pcall(KEYS[1],ARGV[1]) return`redis.call('SET',KEYS[1],ARGV[1])`.. return`redis.call('HGETALL',KEYS[1]) \
    redis.setresp(3)`return`redis.call('HGETALL',KEYS[1]) for`i=1,9`do`redis.call('RPUSH',KEYS[1],i)`end`error('x') \
    return`cjson.decode(ARGV[1]) return`cmsgpack.unpack(ARGV[1]) return`struct.unpack('>I2s0',ARGV[1]) while`true`do`end \
    return`math.random(100) return`string.rep('x',100) #!lua`name=lib\nredis.register_function('f',function(k,a)return`redis.call('INCR',k[1])end)";

static NAMES: LazyLock<Vec<&'static Command>> = LazyLock::new(|| {
    let every =
        table::all().flat_map(|command: &Command| std::iter::once(command).chain(command.subcommands));
    // It takes long, and no arguments.
    every.filter(|command| command.name != "pfselftest").collect()
});

/// The words, and the options of all commands.
static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    fn tokens(arguments: &'static [Argument], all: &mut Vec<&'static str>) {
        for argument in arguments {
            all.extend(Some(argument.token).filter(|token| !token.is_empty()));
            tokens(argument.arguments, all);
        }
    }
    let mut options = Vec::new();
    NAMES.iter().for_each(|command| tokens(command.arguments, &mut options));
    options.sort_unstable();
    options.dedup();
    WORDS.split_ascii_whitespace().chain(options).collect()
});

/// How many of the words are keys.
const KEYS: usize = 15;

/// The arguments of a line. Numbers that would make strings of hundreds of megabytes, which are allowed and slow, are
/// taken for smaller ones.
fn args_of(line: &[u8]) -> Vec<Vec<u8>> {
    let spaced =
        |word: &[u8]| tame(word).iter().map(|byte| if *byte == b'`' { b' ' } else { *byte }).collect();
    let mut args: Vec<Vec<u8>> = line.split(|byte| *byte == b' ').map(spaced).collect();
    let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    if resolve(&words).is_err() {
        // Not a command: the fuzzer's bytes choose one, and are its arguments.
        let command = NAMES[line.first().map_or(0, |byte| usize::from(*byte)) % NAMES.len()];
        args.splice(..1, command.name.split('|').map(|word| word.as_bytes().to_vec()));
    }
    args
}

fn tame(word: &[u8]) -> &[u8] {
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<i64>().ok());
    let is_large = number.is_some_and(|number| (20_000..1 << 35).contains(&number.unsigned_abs()));
    if is_large { &word[word.len() - 4..] } else { word }
}

/// One whole reply.
fn value(reply: &[u8], what: &dyn Fn() -> String) -> Value {
    // A script may nest its result deeper than a client's decoder takes when nobody says otherwise.
    let mut decoder = ValueDecoder::new(ValueLimits { depth: 512, ..ValueLimits::default() });
    decoder.feed(reply);
    let value = decoder.next().unwrap_or_else(|error| panic!("{error}: {}", what()));
    let value = value.unwrap_or_else(|| panic!("not a whole reply: {}", what()));
    assert!(decoder.is_idle(), "more than one reply: {}", what());
    value
}

fn text(args: &[Vec<u8>]) -> String {
    args.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

/// The origin: takes all replies.
#[derive(Default)]
struct Origin(Vec<Vec<u8>>);

impl Host for Origin {
    fn reply(&mut self, n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        self.0.resize(n + 1, Vec::new());
        run(&mut Reply::new(&mut self.0[n], Protocol::Resp2));
    }
}

/// The replicas, and the clock of the leader.
struct Replicas {
    origin: Keyspace,
    follower: Keyspace,
    /// Began with a snapshot of the follower.
    restored: Option<Keyspace>,
    time_ms: u64,
    seed: u64,
}

impl Replicas {
    fn new() -> Self {
        let (origin, follower) = (Keyspace::new(2), Keyspace::new(2));
        let mut all = Self { origin, follower, restored: None, time_ms: START_MS, seed: 0 };
        let mut batch = BatchBuilder::new();
        batch.command(0, &[b"\0bootstrap", &[9; 16], &[7; 16]]);
        all.apply(batch);
        all
    }

    fn apply(&mut self, batch: BatchBuilder) -> (Applied, Vec<Vec<u8>>) {
        self.seed += 1;
        let payload = batch.finish(&Header {
            semantics: SEMANTICS,
            time_ms: self.time_ms,
            seed: self.seed,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 0,
            origin_seq: self.seed,
            memory_short: false,
            few_replicas: false,
        });
        let index = self.origin.index() + 1;
        let mut origin = Origin::default();
        let applied = self.origin.apply(index, TERM, &payload, &mut origin);
        assert_eq!(applied.outcome, Outcome::Applied);
        for other in [Some(&mut self.follower), self.restored.as_mut()].into_iter().flatten() {
            assert_eq!(other.apply(index, TERM, &payload, &mut NoHost), applied);
            assert_eq!(other.digest(), self.origin.digest(), "of entry {index}");
            other.take_garbage(3);
        }
        (applied, origin.0)
    }

    /// A command as an entry of its own, and before it as a read.
    fn command(&mut self, db: usize, args: &[Vec<u8>]) {
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let Ok(command) = resolve(&words) else { return };
        let mut read = Vec::new();
        let (now_ms, seed) = (self.time_ms, self.seed);
        self.origin.read(db, &words, now_ms, seed, &mut Reply::new(&mut read, Protocol::Resp3));
        if !read.is_empty() {
            value(&read, &|| format!("{} as a read: {}", text(args), read.escape_ascii()));
        }

        let waiting = self.origin.waiting();
        let mut batch = BatchBuilder::new();
        batch.command(db, &words);
        let (applied, replies) = self.apply(batch);
        assert_eq!(replies.len(), 1, "{}", text(args));
        if self.origin.waiting() > waiting {
            assert!(replies[0].is_empty(), "who waits says nothing: {}", text(args));
            return;
        }
        let reply = value(&replies[0], &|| format!("{} -> {}", text(args), replies[0].escape_ascii()));
        // A script may change something and fail then.
        let is_script = command.group == Group::Scripting;
        let may_change = command.is_write() && (is_script || reply.as_error().is_none());
        assert!(may_change || !applied.changed, "{} has changed something: {reply:?}", text(args));
    }

    /// Commands as one transaction.
    fn transaction(&mut self, watched: Option<&[u8]>, steps: &[(usize, Vec<Vec<u8>>)]) {
        let watch = watched.map(|key| {
            let (as_of_version, existed) = self.origin.watch_token(0, key, self.time_ms);
            Watch { db: 0, key, as_of_version, existed }
        });
        let mut batch = BatchBuilder::new();
        batch.begin_transaction(watch.as_slice(), steps.len());
        for (db, args) in steps {
            let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            batch.step_command(*db, &words);
        }
        let (_, replies) = self.apply(batch);
        let reply = value(&replies[0], &|| replies[0].escape_ascii().to_string());
        // Nothing came between, but time: what was watched may have expired.
        let len = reply.as_array().map(<[Value]>::len);
        assert!(len == Some(steps.len()) || watched.is_some() && reply.is_null(), "{reply:?}");
    }

    /// A replica that begins with a snapshot is the same as one that was there all along.
    fn snapshot(&mut self, slice: usize) {
        self.follower.snapshot_begin();
        let mut bytes = Vec::new();
        while !self.follower.snapshot_slice(&mut bytes, slice) {}
        let mut restore = Restore::new();
        for piece in bytes.chunks(1 + slice % 999) {
            restore.push(piece).expect("a good snapshot");
        }
        self.restored = Some(restore.finish().expect("a whole snapshot"));
    }

    fn check(&self) {
        let digest = self.origin.content_digest();
        assert_eq!(self.follower.content_digest(), digest, "contents");
        assert!(
            self.restored.as_ref().is_none_or(|r| r.content_digest() == digest),
            "contents after a snapshot"
        );
    }
}

fn run(data: &[u8]) {
    let mut replicas = Replicas::new();
    let (mut watched, mut steps, mut in_transaction) = (None, Vec::new(), false);
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        match line.split_first_chunk::<4>() {
            Some((b"TIME", ms)) => {
                let ms = std::str::from_utf8(ms.trim_ascii()).ok().and_then(|ms| ms.parse::<u32>().ok());
                replicas.time_ms += u64::from(ms.unwrap_or(1));
            }
            Some((b"SNAP", rest)) => replicas.snapshot(1 + rest.len() * 100),
            Some((b"TX--", key)) => {
                (in_transaction, steps) = (true, Vec::new());
                watched = (!key.is_empty()).then_some(key);
            }
            Some((b"--TX", _)) => {
                replicas.transaction(watched, &steps);
                in_transaction = false;
            }
            _ => {
                let (db, line) = line.strip_prefix(b"1:").map_or((0, line), |line| (1, line));
                let args = args_of(line);
                if in_transaction {
                    steps.push((db, args));
                } else {
                    replicas.command(db, &args);
                }
            }
        }
    }
    // Without one in the middle, one at the end.
    if replicas.restored.is_none() {
        replicas.snapshot(50);
    }
    replicas.check();
}

/// A line as a client could mean it.
fn any_line(random: &mut Random) -> Vec<u8> {
    let mut one_of = |n: usize| random.below(n as u64) as usize;
    match one_of(12) {
        0 => return format!("TIME {}", [1, 10, 1000, 100_000][one_of(4)]).into_bytes(),
        1 => return b"SNAP12"[..4 + one_of(3)].to_vec(),
        2 => return [&b"TX--"[..], b"TX--a", b"TX--list"][one_of(3)].to_vec(),
        3 => return b"--TX".to_vec(),
        _ => {}
    }
    let command = NAMES[one_of(NAMES.len())];
    let mut line = if one_of(8) == 0 { "1:".to_owned() } else { String::new() };
    line.push_str(&command.name.replace('|', " "));
    let least = (command.arity.unsigned_abs() as usize).saturating_sub(command.name.split('|').count());
    let more = if command.arity < 0 { one_of(4) } else { usize::from(one_of(20) == 0) };
    for n in 0..least + more {
        // What comes first is a key, mostly.
        let range = if n == 0 && one_of(3) > 0 { KEYS } else { KNOWN.len() };
        line.push(' ');
        line.push_str(KNOWN[one_of(range)]);
    }
    line.into_bytes()
}

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(u64::from(seed));
    if random.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut lines: Vec<Vec<u8>> = data[..size].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=random.below(3) {
        let at = random.below(lines.len() as u64) as usize;
        match random.below(4) {
            0 if lines.len() > 1 => _ = lines.remove(at),
            1 => lines[at] = any_line(&mut random),
            2 => {
                // One word of it.
                let mut words: Vec<&[u8]> = lines[at].split(|byte| *byte == b' ').collect();
                let word = random.below(words.len() as u64) as usize;
                words[word] = KNOWN[random.below(KNOWN.len() as u64) as usize].as_bytes();
                lines[at] = words.join(&b' ');
            }
            _ => lines.insert(at, any_line(&mut random)),
        }
    }
    let lines = lines.join(&b'\n');
    let size = lines.len().min(max_size);
    data[..size].copy_from_slice(&lines[..size]);
    size
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
