//! One replica that applies batches, and shows replies as text.

#![allow(dead_code, reason = "each test uses a part of it")]

#[path = "../transcript/reply_text.rs"]
mod reply_text;

use quorate_keyspace::{
    Applied, Host, Keyspace, Outcome, ReadOutcome, Reply, Restore,
    batch::{BatchBuilder, Header, SEMANTICS, Watch},
};
use quorate_resp::Protocol;

pub(crate) const TERM: u64 = 3;
pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) struct Replica {
    pub(crate) keyspace: Keyspace,
    /// The clock of the next entry.
    pub(crate) time_ms: u64,
    pub(crate) seed: u64,
}

/// The origin of a batch: takes all replies.
#[derive(Default)]
pub(crate) struct Origin {
    pub(crate) replies: Vec<Vec<u8>>,
    pub(crate) slept_ms: u64,
}

impl Host for Origin {
    fn reply(&mut self, n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        self.replies.resize(n + 1, Vec::new());
        run(&mut Reply::new(&mut self.replies[n], Protocol::Resp2));
    }

    fn local(&mut self, n: usize, number: u64) {
        self.replies[n].extend(format!("+local {number}\r\n").bytes());
    }

    fn debug_sleep(&mut self, ms: u64) {
        self.slept_ms += ms;
    }
}

impl Replica {
    /// A replica whose hashes are keyed by `secret`.
    pub(crate) fn new(secret: u8) -> Self {
        let mut replica = Self { keyspace: Keyspace::new(16), time_ms: START_MS, seed: 0 };
        let reply = replica.run_args(0, &[b"\0bootstrap", &[secret; 16], &[7; 16]]);
        assert_eq!(reply, "+OK");
        replica
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            semantics: SEMANTICS,
            time_ms: self.time_ms,
            seed: self.seed,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 0,
            origin_seq: self.keyspace.origin(1).map_or(1, |origin| origin.seq + 1),
            memory_short: false,
            few_replicas: false,
        }
    }

    /// The reply to one command, which is an entry of its own.
    pub(crate) fn run(&mut self, db: usize, line: &str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run_args(db, &args)
    }

    pub(crate) fn run_args(&mut self, db: usize, args: &[&[u8]]) -> String {
        let mut batch = BatchBuilder::new();
        batch.command(db, args);
        self.apply(batch).pop().expect("one reply")
    }

    /// The reply to a transaction.
    pub(crate) fn exec(&mut self, watches: &[Watch<'_>], lines: &[&str]) -> String {
        let mut batch = BatchBuilder::new();
        batch.begin_transaction(watches, lines.len());
        for line in lines {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            batch.step_command(0, &args);
        }
        self.apply(batch).pop().expect("one reply")
    }

    /// The replies to a batch.
    pub(crate) fn apply(&mut self, batch: BatchBuilder) -> Vec<String> {
        let payload = batch.finish(&self.header());
        let mut origin = Origin::default();
        let applied = self.apply_payload(&payload, &mut origin);
        assert_eq!(applied.outcome, Outcome::Applied);
        origin.replies.iter().map(|reply| reply_text::describe(reply)).collect()
    }

    pub(crate) fn apply_payload(&mut self, payload: &[u8], host: &mut dyn Host) -> Applied {
        self.seed += 1;
        self.keyspace.apply(self.keyspace.index() + 1, TERM, payload, host)
    }

    /// The reply to a read by the leader at `now_ms`, or the time that the log must reach first.
    pub(crate) fn read(&self, db: usize, line: &str, now_ms: u64) -> Result<String, u64> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut out = b"before".to_vec();
        let outcome =
            self.keyspace.read(db, &args, now_ms, self.seed, &mut Reply::new(&mut out, Protocol::Resp2));
        let written = out.strip_prefix(b"before").expect("what was there before stays");
        match outcome {
            ReadOutcome::Done => Ok(reply_text::describe(written)),
            ReadOutcome::NeedsTime(ms) => {
                assert!(written.is_empty(), "nothing is written");
                Err(ms)
            }
        }
    }

    /// What WATCH of `key` would note.
    pub(crate) fn watch<'a>(&self, key: &'a str) -> Watch<'a> {
        let key = key.as_bytes();
        let (as_of_version, existed) = self.keyspace.watch_token(0, key, self.time_ms);
        Watch { db: 0, key, as_of_version, existed }
    }

    /// A whole snapshot.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        self.keyspace.snapshot_begin();
        let mut out = Vec::new();
        while !self.keyspace.snapshot_slice(&mut out, 10_000) {}
        out
    }
}

pub(crate) fn restore(snapshot: &[u8]) -> Keyspace {
    let mut restore = Restore::new();
    restore.push(snapshot).expect("a good snapshot");
    restore.finish().expect("a whole snapshot")
}

/// A reply as text.
pub(crate) fn describe(reply: &[u8]) -> String {
    reply_text::describe(reply)
}
