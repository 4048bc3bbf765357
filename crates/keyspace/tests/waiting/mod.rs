//! Two replicas that apply the same entries, one of which is restored from a snapshot all the time, and the clients that
//! wait at one of them.

use std::collections::BTreeMap;

use quorate_keyspace::{
    Host, Keyspace, Outcome, Release, Reply, WaiterId,
    batch::{BatchBuilder, Header, SEMANTICS},
};
use quorate_resp::Protocol;

use crate::replica::{TERM, describe, restore};

/// What clients saw, in that order: the name of the client and its reply.
pub(crate) type Seen = Vec<(String, String)>;

/// The origin of all commands.
#[derive(Default)]
pub(crate) struct Origin {
    /// The client of each command of the batch at hand.
    clients: Vec<String>,
    waiting: BTreeMap<WaiterId, (String, u64)>,
    seen: Vec<(String, Vec<u8>)>,
    /// The command at hand, and the place of its reply among what is seen.
    reply: Option<(usize, usize)>,
}

impl Host for Origin {
    fn reply(&mut self, n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        let begun = self.reply.filter(|(last, _)| *last == n).map(|(_, place)| place);
        // A transaction comes in several parts.
        let place = begun.unwrap_or(self.seen.len());
        if begun.is_none() {
            self.reply = Some((n, place));
            self.seen.push((self.clients[n].clone(), Vec::new()));
        }
        run(&mut Reply::new(&mut self.seen[place].1, Protocol::Resp2));
    }

    fn waits(&mut self, n: usize, waiter: WaiterId, timeout_ms: u64) {
        let (_, place) = self.reply.take().expect("it was carried out");
        let (client, bytes) = self.seen.remove(place);
        assert!(bytes.is_empty(), "who waits has written nothing");
        assert_eq!(client, self.clients[n]);
        self.waiting.insert(waiter, (client, timeout_ms));
    }

    fn answer_waiter(&mut self, waiter: WaiterId, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        let mut out = Vec::new();
        let is_answered = run(&mut Reply::new(&mut out, Protocol::Resp2));
        assert_eq!(is_answered, !out.is_empty());
        if is_answered && let Some((client, _)) = self.waiting.remove(&waiter) {
            self.seen.push((client, out));
        }
    }
}

/// See the module.
pub(crate) struct Pair {
    pub(crate) keyspace: Keyspace,
    /// Restored after each entry.
    pub(crate) other: Keyspace,
    pub(crate) origin: Origin,
    pub(crate) time_ms: u64,
    pub(crate) start: u64,
    seed: u64,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let mut pair = Self {
            keyspace: Keyspace::new(16),
            other: Keyspace::new(16),
            origin: Origin::default(),
            time_ms: crate::replica::START_MS,
            start: 1,
            seed: 1,
        };
        pair.raw(&[b"\0bootstrap", &[5; 16], &[7; 16]]);
        pair
    }

    /// What is seen when `client` sends a command.
    pub(crate) fn run(&mut self, client: &str, line: &str) -> Seen {
        self.batch(&[(client, line)])
    }

    /// The same in database `db`.
    pub(crate) fn run_in(&mut self, db: usize, client: &str, line: &str) -> Seen {
        let mut batch = BatchBuilder::new();
        batch.command(db, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        self.apply(batch, &[client])
    }

    /// The same for several in one entry. A line that begins with `EXEC: ` is a transaction of lines between semicolons.
    pub(crate) fn batch(&mut self, lines: &[(&str, &str)]) -> Seen {
        fn args(line: &str) -> Vec<&[u8]> {
            line.split(' ').map(str::as_bytes).collect()
        }
        let mut batch = BatchBuilder::new();
        for (_, line) in lines {
            match line.strip_prefix("EXEC: ") {
                Some(steps) => {
                    let steps: Vec<&str> = steps.split("; ").collect();
                    batch.begin_transaction(&[], steps.len());
                    steps.iter().for_each(|step| batch.step_command(0, &args(step)));
                }
                None => drop(batch.command(0, &args(line))),
            }
        }
        self.apply(batch, &lines.iter().map(|(client, _)| *client).collect::<Vec<_>>())
    }

    /// The same for bytes.
    pub(crate) fn raw(&mut self, args: &[&[u8]]) -> Seen {
        let mut batch = BatchBuilder::new();
        batch.command(0, args);
        self.apply(batch, &["raw"])
    }

    /// Ends the waiting of a client.
    pub(crate) fn release(&mut self, client: &str, release: Release) -> Seen {
        let (id, _) = self.origin.waiting.iter().find(|(_, (name, _))| name == client).expect("it waits");
        let id = id.to_bytes();
        self.raw(&[b"\0unblock", &id, release.word()])
    }

    /// For how long a client waits.
    pub(crate) fn timeout_ms(&self, client: &str) -> Option<u64> {
        self.origin.waiting.values().find(|(name, _)| name == client).map(|(_, timeout_ms)| *timeout_ms)
    }

    pub(crate) fn apply(&mut self, batch: BatchBuilder, clients: &[&str]) -> Seen {
        self.seed += 1;
        let last = self.keyspace.origin(1).filter(|origin| origin.start == self.start);
        let header = Header {
            semantics: SEMANTICS,
            time_ms: self.time_ms,
            seed: self.seed,
            term: TERM,
            origin_node: 1,
            origin_start: self.start,
            origin_epoch: 0,
            origin_seq: last.map_or(1, |origin| origin.seq + 1),
            memory_short: false,
            few_replicas: false,
        };
        let payload = batch.finish(&header);
        self.origin.clients = clients.iter().map(|client| (*client).to_owned()).collect();
        self.origin.reply = None;
        let index = self.keyspace.index() + 1;
        let applied = self.keyspace.apply(index, TERM, &payload, &mut self.origin);
        assert_eq!(applied.outcome, Outcome::Applied);
        self.other.apply(index, TERM, &payload, &mut quorate_keyspace::NoHost);
        self.check();
        let seen = std::mem::take(&mut self.origin.seen);
        seen.into_iter().map(|(client, bytes)| (client, describe(&bytes))).collect()
    }

    /// Both replicas are the same, and so is what a snapshot makes of them.
    fn check(&mut self) {
        assert_eq!(self.other.digest(), self.keyspace.digest());
        let content = self.keyspace.content_digest();
        assert_eq!(self.other.content_digest(), content);
        self.other.snapshot_begin();
        let mut bytes = Vec::new();
        while !self.other.snapshot_slice(&mut bytes, 1000) {}
        self.other = restore(&bytes);
        assert_eq!((self.other.content_digest(), self.other.digest()), (content, self.keyspace.digest()));
        assert_eq!(self.other.waiting(), self.keyspace.waiting());
        assert_eq!(self.keyspace.waiters_of(1, self.start).len(), self.origin.waiting.len());
    }
}

/// What was seen, from `client: reply` lines.
pub(crate) fn seen(lines: &[&str]) -> Seen {
    let parse =
        |line: &&str| line.split_once(": ").map(|(client, reply)| (client.to_owned(), reply.to_owned()));
    lines.iter().map(|line| parse(line).expect("a client and a reply")).collect()
}
