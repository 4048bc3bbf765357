//! Replicas agree on every command of every family, whatever became of them in between (R11): one is restored from a snapshot
//! again and again, one goes on from an older snapshot and the entries since, as after a restart.

#[path = "families/lines.rs"]
mod lines;

use std::collections::BTreeMap;

use quorate_keyspace::{
    Host, Keyspace, NoHost, Outcome, Release, Reply, Restore, WaiterId,
    batch::{BatchBuilder, Header, SEMANTICS},
    command::{lookup, resolve, table},
};
use quorate_resp::Protocol;

use lines::{Line, Lines};

const TERM: u64 = 3;
const START_MS: u64 = 1_700_000_000_000;
/// Entries between two snapshots of the replica that is restored.
const SNAPSHOT_EVERY: u64 = 90;

/// What clients of one replica saw in an entry: the replies, and those to commands that had waited.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    replies: BTreeMap<usize, Vec<u8>>,
    waits: Vec<(usize, WaiterId, u64)>,
    served: Vec<(WaiterId, Vec<u8>)>,
}

impl Host for Seen {
    fn reply(&mut self, n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(self.replies.entry(n).or_default(), Protocol::Resp3));
    }

    fn waits(&mut self, n: usize, waiter: WaiterId, timeout_ms: u64) {
        self.waits.push((n, waiter, timeout_ms));
    }

    fn answer_waiter(&mut self, waiter: WaiterId, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        let mut out = Vec::new();
        run(&mut Reply::new(&mut out, Protocol::Resp3));
        self.served.push((waiter, out));
    }
}

/// All entries, and what the digest was at each.
#[derive(Default)]
struct Log {
    payloads: Vec<Vec<u8>>,
    digests: Vec<u64>,
}

/// A replica that is restarted: it has an older snapshot, and the log.
#[derive(Default)]
struct Stored {
    /// Up to which index it goes, and its bytes so far.
    growing: Option<(u64, Vec<u8>)>,
    whole: Option<(u64, Vec<u8>)>,
}

struct Replicas {
    steady: Keyspace,
    restored: Keyspace,
    restarted: Keyspace,
    stored: Stored,
    log: Log,
    waiting: Vec<WaiterId>,
    time_ms: u64,
    seed: u64,
}

fn restore(snapshot: &[u8], piece: usize) -> Keyspace {
    let mut restore = Restore::new();
    snapshot.chunks(piece).for_each(|piece| restore.push(piece).expect("a good snapshot"));
    restore.finish().expect("a whole snapshot")
}

impl Replicas {
    fn new(seed: u64) -> Self {
        let new = || Keyspace::new(16);
        let (stored, log) = Default::default();
        let (steady, restored, restarted) = (new(), new(), new());
        let waiting = Vec::new();
        let mut all = Self { steady, restored, restarted, stored, log, waiting, time_ms: START_MS, seed };
        let mut batch = BatchBuilder::new();
        batch.command(0, &[b"\0bootstrap", &[seed as u8; 16], &[7; 16]]);
        all.apply(batch, &[]);
        all
    }

    /// Applies an entry everywhere; all that can be seen of it must be the same.
    fn apply(&mut self, batch: BatchBuilder, lines: &[Line]) -> Seen {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let header = Header {
            semantics: SEMANTICS,
            time_ms: self.time_ms,
            seed: self.seed,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 0,
            origin_seq: self.steady.origin(1).map_or(1, |origin| origin.seq + 1),
            memory_short: false,
            few_replicas: false,
        };
        let payload = batch.finish(&header);
        let index = self.steady.index() + 1;
        let (mut seen, mut other) = (Seen::default(), Seen::default());
        let applied = self.steady.apply(index, TERM, &payload, &mut seen);
        assert_eq!(applied.outcome, Outcome::Applied);
        assert_eq!(self.restored.apply(index, TERM, &payload, &mut other), applied);
        assert_eq!(seen, other, "entry {index}: {}", text(lines));
        self.restarted.apply(index, TERM, &payload, &mut NoHost);
        for keyspace in [&self.restored, &self.restarted] {
            assert_eq!(keyspace.digest(), self.steady.digest(), "entry {index}: {}", text(lines));
            assert_eq!(keyspace.next_deadline(), self.steady.next_deadline());
        }
        self.log.payloads.push(payload);
        self.log.digests.push(self.steady.digest());
        self.waiting.extend(seen.waits.iter().map(|(_, waiter, _)| *waiter));
        self.waiting.retain(|waiter| self.steady.waits(*waiter));
        assert_eq!(self.waiting.len(), self.steady.waiting());
        seen
    }

    /// The same read of two replicas.
    ///
    /// How long ago and how often a key was used each replica knows for itself.
    fn read(&self, db: usize, line: &Line) {
        let is =
            |at: usize, word: &str| line.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        if is(0, "object") && (is(1, "idletime") || is(1, "freq")) {
            return;
        }
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let read = |keyspace: &Keyspace| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp2);
            let outcome = keyspace.read(db, &words, self.time_ms, self.seed, &mut reply);
            (outcome, out)
        };
        assert_eq!(read(&self.restored), read(&self.steady), "{}", text(std::slice::from_ref(line)));
        assert_eq!(read(&self.restarted), read(&self.steady), "{}", text(std::slice::from_ref(line)));
    }

    /// Restores a replica from a snapshot of its own, in pieces of some size.
    fn restore_from_a_snapshot(&mut self, piece: usize) {
        self.restored.snapshot_begin();
        let mut bytes = Vec::new();
        while !self.restored.snapshot_slice(&mut bytes, piece) {}
        self.restored = restore(&bytes, piece);
        assert_eq!(self.restored.digest(), self.steady.digest());
        assert_eq!(self.restored.content_digest(), self.steady.content_digest());
    }

    /// Goes on with a snapshot while entries are applied.
    fn store_a_slice(&mut self, begin: bool, size: usize) {
        if begin && self.stored.growing.is_none() {
            self.restarted.snapshot_begin();
            self.stored.growing = Some((self.restarted.index(), Vec::new()));
        }
        if let Some((index, mut bytes)) = self.stored.growing.take() {
            match self.restarted.snapshot_slice(&mut bytes, size) {
                true => self.stored.whole = Some((index, bytes)),
                false => self.stored.growing = Some((index, bytes)),
            }
        }
    }

    /// Throws a replica away. It begins with its last whole snapshot, and applies what came since.
    fn restart(&mut self) {
        let (mut keyspace, mut index) = match &self.stored.whole {
            Some((index, bytes)) => (restore(bytes, 4096), *index),
            None => (Keyspace::new(16), 0),
        };
        self.stored.growing = None;
        while index < self.steady.index() {
            keyspace.apply(index + 1, TERM, &self.log.payloads[index as usize], &mut NoHost);
            assert_eq!(keyspace.digest(), self.log.digests[index as usize], "at index {}", index + 1);
            index += 1;
        }
        assert_eq!(keyspace.content_digest(), self.steady.content_digest());
        self.restarted = keyspace;
    }
}

fn text(lines: &[Line]) -> String {
    let word = |word: &Vec<u8>| word.escape_ascii().to_string();
    lines.iter().map(|line| format!("\n  {}", line.iter().map(word).collect::<Vec<_>>().join(" "))).collect()
}

/// An entry of some commands, one of which may be a transaction, or may end what waits.
fn entry(lines: &mut Lines, waiting: &[WaiterId]) -> (BatchBuilder, Vec<Line>) {
    let (mut batch, mut drawn) = (BatchBuilder::new(), Vec::new());
    for _ in 0..1 + lines.below(4) {
        let db = usize::from(lines.below(8) == 0);
        match lines.below(12) {
            0 if !waiting.is_empty() => {
                let waiter = waiting[lines.below(waiting.len())].to_bytes();
                let release = [Release::Timeout, Release::Error, Release::Stopped][lines.below(3)];
                batch.command(0, &[b"\0unblock", &waiter, release.word()]);
                drawn.push(vec![b"(unblock)".to_vec()]);
            }
            1 => {
                let steps: Vec<Line> = (0..1 + lines.below(4)).map(|_| lines.next()).collect();
                batch.begin_transaction(&[], steps.len());
                for step in &steps {
                    batch.step_command(db, &step.iter().map(Vec::as_slice).collect::<Vec<_>>());
                }
                drawn.push(vec![b"(transaction)".to_vec()]);
                drawn.extend(steps);
            }
            _ => {
                let line = lines.next();
                batch.command(db, &line.iter().map(Vec::as_slice).collect::<Vec<_>>());
                drawn.push(line);
            }
        }
    }
    (batch, drawn)
}

/// Runs one seed. How many commands there were, and how many of them were answered with an error.
fn run(seed: u64, entries: u64) -> (usize, usize) {
    let (mut replicas, mut lines) = (Replicas::new(seed), Lines::new(seed));
    let (mut commands, mut errors) = (0, 0);
    for n in 0..entries {
        replicas.time_ms += lines.random.below(20);
        let (batch, drawn) = entry(&mut lines, &replicas.waiting);
        let seen = replicas.apply(batch, &drawn);
        commands += drawn.len();
        errors += seen.replies.values().filter(|reply| reply.starts_with(b"-")).count();
        for line in drawn.iter().filter(|line| is_read(line)) {
            replicas.read(0, line);
        }
        let (begin, size) = (lines.below(30) == 0, 1 + lines.below(3000));
        replicas.store_a_slice(begin, size);
        if n % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1 {
            replicas.restore_from_a_snapshot(1 + lines.below(10_000));
        }
        if lines.below(150) == 0 {
            replicas.restart();
        }
        [&mut replicas.steady, &mut replicas.restored].into_iter().for_each(|k| _ = k.take_garbage(50));
    }
    replicas.restore_from_a_snapshot(999);
    replicas.restart();
    (commands, errors)
}

fn is_read(line: &Line) -> bool {
    let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    resolve(&words).is_ok_and(|command| !command.is_write())
}

/// How many seeds: QUORATE_SEEDS says how many instead.
fn seeds(default: u64) -> u64 {
    let asked = std::env::var("QUORATE_SEEDS").ok();
    asked.map_or(default, |n| n.parse().expect("QUORATE_SEEDS is a number"))
}

#[test]
fn replicas_agree_on_commands_of_every_family() {
    let (mut commands, mut errors) = (0, 0);
    for seed in 0..seeds(8) {
        let (more, wrong) = run(seed, 360);
        (commands, errors) = (commands + more, errors + wrong);
    }
    assert!(errors * 2 < commands, "{errors} of {commands}: what fails shows little");
}

/// The lines that are drawn from the table are mostly right: otherwise the test above shows little.
#[test]
fn every_command_is_drawn_as_its_record_describes_it() {
    let mut lines = Lines::new(1);
    for command in table::all().filter(|command| command.subcommands.is_empty()) {
        let right = (0..60)
            .filter(|_| {
                let line = lines.of_table(command);
                let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
                // A number of keys that is 0 leaves none to be found.
                let has_keys = command.key_positions(&words).is_ok() || words.contains(&&b"0"[..]);
                lookup(&line[0]).is_some() && command.takes(line.len()) && has_keys
            })
            .count();
        assert!(right > 40, "{}: {right} of 60", command.name);
    }
}
