//! The full digest of the contents, in slices (R10).

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::{
    contents::{Contents, Sink},
    keyspace::{Keyspace, Meta},
    snapshot,
    walk::Walk,
};

/// A digest of the contents under way.
#[derive(Debug)]
pub(crate) struct ContentDigest {
    pub(crate) contents: Contents,
    sum: Sum,
}

/// The sum of the hashes of all records: their order does not matter.
#[derive(Clone)]
struct Sum {
    total: u128,
    /// The record that comes in pieces.
    large: Xxh3,
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.total)
    }
}

impl Sink for Sum {
    fn record(&mut self, bytes: &[u8]) {
        self.total = self.total.wrapping_add(xxh3_128(bytes));
    }

    fn begin_large(&mut self, head: &[u8]) {
        self.large.reset();
        self.large.update(head);
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.large.update(bytes);
    }

    fn end_large(&mut self) {
        self.total = self.total.wrapping_add(self.large.digest128());
    }
}

impl ContentDigest {
    fn new(keyspace: &Keyspace) -> Self {
        // All that is no record is hashed at once: it is small. The running digest stays out, so that the two digests
        // tell apart what has diverged.
        let mut rest = Xxh3::new();
        let meta = Meta { digest: 0, ..keyspace.meta.clone() };
        snapshot::put_rest(keyspace, &meta, &mut |frame| rest.update(frame));
        for (db, database) in keyspace.databases.iter().enumerate() {
            let mut number = 0;
            let mut frame = Vec::new();
            while snapshot::put_traces(db, &database.traces, number, &mut frame) {
                rest.update(&frame);
                frame.clear();
                number += 1;
            }
        }
        let (mut waiters, next) = (snapshot::waiters(keyspace), keyspace.waiters.next_number());
        loop {
            let mut frame = Vec::new();
            snapshot::put_waiters(next, &mut waiters, &mut frame);
            rest.update(&frame);
            if waiters.is_empty() {
                break;
            }
        }
        let walk = Walk::new(keyspace.databases(), keyspace.version());
        let sum = Sum { total: rest.digest128(), large: Xxh3::new() };
        Self { contents: Contents::new(walk), sum }
    }
}

impl Keyspace {
    /// Begins a digest of all that a later entry can see, as it is now. One that is under way is abandoned.
    pub fn content_digest_begin(&mut self) {
        self.content_digest_abort();
        self.walks.digest = Some(Box::new(ContentDigest::new(self)));
    }

    /// Goes on for about `budget_bytes`. The digest, at the end; `None` before, or if none was begun. It is the same on
    /// every replica at the same index.
    pub fn content_digest_slice(&mut self, budget_bytes: usize) -> Option<u128> {
        let digest = self.walks.digest.as_mut()?;
        let done = digest.contents.slice(&self.databases, budget_bytes, &mut digest.sum);
        let total = digest.sum.total;
        let tables = digest.contents.walk.take_done_with();
        self.throw_away_tables(tables);
        if done {
            self.walks.digest = None;
        }
        done.then_some(total)
    }

    /// Abandons the digest under way, if any.
    pub fn content_digest_abort(&mut self) {
        if let Some(digest) = self.walks.digest.take() {
            self.throw_away_tables(digest.contents.walk.abort());
        }
    }

    /// The same digest in one go. Takes time in proportion to the contents: for tests and small states.
    #[must_use]
    pub fn content_digest(&self) -> u128 {
        let mut digest = ContentDigest::new(self);
        while !digest.contents.slice(&self.databases, usize::MAX, &mut digest.sum) {}
        digest.sum.total
    }
}
