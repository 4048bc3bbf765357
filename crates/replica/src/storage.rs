//! openraft's log storage on Quorate's log.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, RaftLogReader};
use quorate_log::{Log, ShardId};
use quorate_planted::{Bug, is_planted};
use tokio::sync::oneshot;

use crate::types::{Batch, Entry, LogId, Membership, TypeConfig, Vote, log_id, term_of};

/// How many bytes of entries one replication request may carry. A single larger entry travels alone.
const APPEND_BYTES_MAX: usize = 1 << 20;

/// What a log record carries; part of the format on disk and between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Blank = 0,
    Batch = 1,
    Membership = 2,
}

/// One shard's part of the node's log.
#[derive(Clone)]
pub(crate) struct Storage {
    log: Log,
    shard: ShardId,
}

impl Storage {
    pub(crate) fn new(log: Log, shard: ShardId) -> Self {
        Self { log, shard }
    }

    /// What is not in memory is read in steps: heartbeats go out between them (R20).
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut reading = self.log.begin_read(self.shard, from..to, max_bytes)?;
        loop {
            if let Some(records) = reading.step()? {
                return records.into_iter().map(decode_entry).collect();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Appends entries that are on disk before they count, in every durability mode: who the voters are must outlast
    /// a crash, because all of them are asked when too many have lost the end of their logs (see [`crate::unsure`]).
    fn append_synced(
        &self,
        records: Vec<quorate_log::Entry>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let (tx, mut rx) = oneshot::channel();
        self.log.append(
            self.shard,
            records,
            Box::new(move |result| {
                let _ = tx.send(result);
            }),
        );
        // Completions come in the order of the calls, so the append's is there.
        let both = move |synced| done(rx.try_recv().map_err(io::Error::other).flatten().and(synced));
        self.log.sync(Box::new(both));
    }

    fn vote(&self) -> io::Result<Option<Vote>> {
        self.log.vote(self.shard).map(|bytes| decode(&bytes)).transpose()
    }
}

/// An entry as a log record: the batch's bytes are shared, not copied.
pub(crate) fn encode_entry(entry: &Entry) -> quorate_log::Entry {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (Kind::Blank, Bytes::new()),
        EntryPayload::Normal(batch) => (Kind::Batch, batch.bytes.clone()),
        EntryPayload::Membership(m) => (Kind::Membership, encode(m)),
    };
    quorate_log::Entry { index: entry.log_id.index, term: term_of(&entry.log_id), kind: kind as u8, payload }
}

/// The entry in a log record.
pub(crate) fn decode_entry(record: quorate_log::Entry) -> io::Result<Entry> {
    let payload = match record.kind {
        k if k == Kind::Blank as u8 => EntryPayload::Blank,
        k if k == Kind::Batch as u8 => EntryPayload::Normal(Batch::new(record.payload)),
        k if k == Kind::Membership as u8 => EntryPayload::Membership(decode::<Membership>(&record.payload)?),
        k => return Err(invalid(format!("log entry {} has the unknown kind {k}", record.index))),
    };
    Ok(Entry { log_id: log_id(record.term, record.index), payload })
}

/// Encodes what is not on the hot path.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Bytes {
    postcard::to_stdvec(value).expect("encoding to memory cannot fail").into()
}

/// Decodes what [`encode`] made; the bytes may come from anywhere.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|e| invalid(format!("damaged or foreign message: {e}")))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// `from..to` of a range.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(i) => *i,
        Bound::Excluded(i) => i + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(i) => i + 1,
        Bound::Excluded(i) => *i,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// Runs a log operation and waits until it is durable.
async fn durable(f: impl FnOnce(quorate_env::Completion)) -> io::Result<()> {
    let (tx, rx) = oneshot::channel();
    f(Box::new(move |result| {
        let _ = tx.send(result);
    }));
    rx.await.map_err(|_| io::Error::other("the log was closed"))?
}

impl RaftLogReader<TypeConfig> for Storage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX).await
    }

    /// Reads in pieces, so that replaying a long log at the start does not hold all of it in memory.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (from, to) = bounds(&range);
        let this = self.clone();
        stream::unfold((this, from, VecDeque::new()), move |(this, mut from, mut piece)| async move {
            if piece.is_empty() {
                // Only who applies reads entries this way.
                this.log.release(this.shard, from);
            }
            if piece.is_empty() && from < to {
                match this.read(from, to, APPEND_BYTES_MAX).await {
                    Ok(entries) => piece = entries.into(),
                    Err(e) => return Some((Err(e), (this, to, piece))),
                }
                from = piece.back().map_or(to, |e: &Entry| e.log_id.index + 1);
            }
            let entry = piece.pop_front()?;
            Some((Ok(entry), (this, from, piece)))
        })
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.vote()
    }

    /// For what is sent to a follower. A leader keeps what it sends; one that leads no more may purge while a stream of
    /// its old term still reads, and an error here would stop the node. Nothing is sent instead, and openraft asks again.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        if self.log.state(self.shard).purged.is_some_and(|(index, _)| start <= index) {
            return Ok(Vec::new());
        }
        self.read(start, end, APPEND_BYTES_MAX).await
    }
}

impl RaftLogStorage<TypeConfig> for Storage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.log.state(self.shard);
        let id = |(index, term)| log_id(term, index);
        let purged = state.purged.map(id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: state.last.map(id).or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if is_planted(Bug::ForgetVote) && !vote.committed {
            return Ok(());
        }
        durable(|done| self.log.save_vote(self.shard, encode(vote), done)).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let records: Vec<_> = entries.into_iter().map(|e| encode_entry(&e)).collect();
        let done = |result| callback.io_completed(result);
        if records.iter().any(|r| r.kind == Kind::Membership as u8) {
            self.append_synced(records, done);
        } else {
            self.log.append(self.shard, records, Box::new(done));
        }
        Ok(())
    }

    /// Takes effect at once for readers; what is appended behind it is durable no sooner than it. A failure of the
    /// disk fails that append.
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.log.truncate(self.shard, from, Box::new(report));
        Ok(())
    }

    /// What a snapshot covers is forgotten. A snapshot that reaches beyond the log replaces all of it.
    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let point = (upto.index, term_of(&upto));
        let last = self.log.state(self.shard).last;
        if last.is_some_and(|(index, _)| index > upto.index) {
            self.log.purge(self.shard, point, Box::new(report));
        } else {
            self.log.reset(self.shard, point, Box::new(report));
        }
        Ok(())
    }
}

/// The log remembers its failure, and the next append meets it.
fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the log could not be changed");
    }
}
