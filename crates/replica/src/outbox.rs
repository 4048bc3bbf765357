//! The writing half of a node: what its clients wrote, from the gathering batch to the reply.
//!
//! Commands that arrive while a batch is on its way gather into the next one. A batch carries (origin, start,
//! epoch, number): apply takes the batches of one origin in exactly that order and each once, so the origin may
//! send a batch again whenever in doubt, to the same leader or to the next (R15). Whoever sent it answers its
//! clients from its own apply: no reply travels between nodes.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use quorate_env::Instant;
use quorate_keyspace::batch::{self, BatchBuilder, Header, Watch};
use quorate_keyspace::{CommandError, Reply, WaiterId};
use quorate_planted::{Bug, is_planted};

use crate::line::{self, Lines, Pace};
use crate::{AtPlace, Client};

/// How many batches may be on their way.
const IN_FLIGHT_MAX: usize = 4;
/// While one is, the next one gathers; it follows before that one's outcome only if it has this many bytes. Each batch
/// costs three nodes wake-ups and an fsync, so few large ones beat many small ones.
const FOLLOW_BYTES_MIN: usize = 128 << 10;
/// What an item counts beside its bytes.
const ITEM_BYTES: usize = 64;
/// A batch that reaches this size is closed and the next one begun.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The largest entry: what the log takes, less room for the header. A larger command is refused.
pub(crate) const ENTRY_BYTES_MAX: usize = quorate_log::PAYLOAD_BYTES_MAX - (1 << 20);
/// How often sends are repeated at most while the leader refuses them.
const RESEND_PAUSE: Duration = Duration::from_millis(20);

/// What a client waits for at its place in a batch.
pub(crate) enum Item {
    /// The next command of the entry.
    Write(Rc<dyn Client>, Vec<Local>),
    /// A read: executed by the origin at this place, never part of the entry.
    Read(Rc<dyn Client>),
    /// Something that only the connection needs, in order.
    Local(AtPlace),
    /// A command of the entry that waits for a key: its client is among those of [`crate::waiting`].
    Waits,
}

/// A command of a transaction that only the origin executes: it appends one reply.
pub type Local = Box<dyn FnMut(&mut Reply<'_>)>;

/// Watched keys, by their databases and names.
pub type Watched = BTreeMap<(usize, Vec<u8>), Token>;

/// How a watched key was (R16).
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// What the state had come to.
    pub version: u64,
    /// Whether the key was there.
    pub existed: bool,
}

/// The commands between MULTI and EXEC.
#[derive(Default)]
pub struct Transaction {
    commands: Lines,
    /// In order: a command for every replica, or one for the origin alone.
    steps: Vec<Option<Local>>,
    watched: Watched,
    /// Bytes of the watched keys' names.
    watched_bytes: usize,
}

/// What a watched key and a step take in a batch beside names and arguments, at most.
const WATCH_BYTES: usize = 32;
const STEP_BYTES: usize = 6;

impl Transaction {
    /// Adds a command for every replica.
    pub fn command(&mut self, db: usize, args: &[&[u8]]) {
        self.commands.put(db, args);
        self.steps.push(None);
    }

    /// The same for one that is so large that copying it takes a while: everybody else goes on meanwhile (R20).
    pub async fn command_large(&mut self, db: usize, args: &[&[u8]]) {
        self.commands.put_large(db, args).await;
        self.steps.push(None);
    }

    /// Adds a command that only the origin executes.
    pub fn local(&mut self, local: Local) {
        self.steps.push(Some(local));
    }

    /// Makes it depend on keys being as they were (R16); their names have so many bytes together.
    pub fn watch(&mut self, watched: Watched, bytes: usize) {
        (self.watched, self.watched_bytes) = (watched, bytes);
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes of it, rather too many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let watches = self.watched_bytes + self.watched.len() * WATCH_BYTES;
        self.commands.bytes() + self.steps.len() * STEP_BYTES + watches
    }

    /// Writes it into a batch; what remains is what only the origin executes.
    pub(crate) async fn put(mut self, entry: &mut BatchBuilder, user: u64, mut pace: Pace) -> Vec<Local> {
        entry.open_transaction(user, self.watched.len());
        for ((db, key), Token { version: as_of_version, existed }) in self.watched {
            entry.watch(&Watch { db, key: &key, as_of_version, existed });
            pace.copied(key.len() + WATCH_BYTES).await;
        }
        entry.open_steps(self.steps.len());
        let mut locals = Vec::new();
        for step in self.steps {
            match step {
                None => {
                    let (db, args) = self.commands.take();
                    entry.open_step(db, args.len());
                    pace.put_args(entry, &args).await;
                }
                Some(local) => {
                    entry.step_local(locals.len() as u64);
                    locals.push(local);
                }
            }
            pace.copied(STEP_BYTES).await;
        }
        locals
    }
}

/// Commands that travel together, and who waits for them.
pub(crate) struct Batch {
    entry: BatchBuilder,
    /// The reads' command lines, in the order of the items.
    pub(crate) reads: Vec<u8>,
    pub(crate) items: VecDeque<Item>,
    since: Instant,
    charged: usize,
    /// The bytes as sent, the term stamped in them.
    wire: Option<Bytes>,
    pub(crate) seq: u64,
    /// The term it was last sent for; 0: it must be sent (again).
    sent_term: u64,
    sent_at: Instant,
    /// The last term in whose log it may stand, by what was sent before. 0: in none.
    risk_term: u64,
}

impl Batch {
    /// A batch that will probably have `capacity` bytes.
    fn new(capacity: usize) -> Self {
        Self {
            entry: BatchBuilder::with_buffer(Vec::with_capacity(capacity)),
            reads: Vec::new(),
            items: VecDeque::new(),
            since: Instant::now(),
            charged: 0,
            wire: None,
            seq: 0,
            sent_term: 0,
            sent_at: Instant::now(),
            risk_term: 0,
        }
    }

    /// The bytes of the batch for `header`. They are kept (shared, not copied) for sending them again.
    fn send(&mut self, mut header: Header) -> Bytes {
        header.origin_seq = self.seq;
        let bytes: Bytes = match &self.wire {
            Some(sent) if batch::parse_header(sent) == Ok(header) => sent.clone(),
            Some(sent) => {
                let mut bytes = sent.to_vec();
                batch::patch_header(&mut bytes, &header);
                bytes.into()
            }
            None => exact(std::mem::take(&mut self.entry).finish(&header)),
        };
        self.must_send();
        self.sent_term = header.term;
        self.sent_at = Instant::now();
        self.wire.insert(bytes).clone()
    }

    /// What was sent may have arrived all the same.
    fn must_send(&mut self) {
        self.risk_term = self.risk_term.max(self.sent_term);
        self.sent_term = 0;
    }

    /// What became of it, as far as this node can know (R14): it is certainly not applied if no leader can have
    /// appended it, or if the log of every term it was sent for is complete and it is not in it.
    fn failure(&self, applied_term: u64) -> Failure {
        let risk = self.risk_term.max(self.sent_term);
        let is_certain = risk == 0 || applied_term > risk || is_planted(Bug::DiscardedIsNotApplied);
        if is_certain { Failure::NoQuorum } else { Failure::Unknown }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Why a client gets an error instead of a reply (R14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It was not applied and never will be.
    NoQuorum,
    /// It may have been applied.
    Unknown,
    /// It was not applied: too much is waiting already.
    Overloaded,
    /// It was not applied: no entry may be that large.
    TooLarge,
}

impl Failure {
    /// The error as clients see it.
    #[must_use]
    pub fn error(self) -> CommandError {
        CommandError::fixed(match self {
            Self::NoQuorum => {
                "NOQUORUM the command was not applied: no majority of the replicas answers this node. It is safe to \
                 retry; QUORATE STATUS says which nodes are missing"
            }
            Self::Unknown => {
                "UNKNOWN the command may have been applied: the leader was lost before its outcome was known. Read \
                 before you write it again"
            }
            Self::Overloaded => {
                "OVERLOADED the command was not applied: too many writes wait already. Retry later, or send less at \
                 once"
            }
            Self::TooLarge => {
                "ERR the command was not applied: with its arguments it is larger than an entry of the log may be (1 GiB)"
            }
        })
    }
}

/// What the leader adds to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    /// Its time.
    pub(crate) time_ms: u64,
    /// A new seed.
    pub(crate) seed: u64,
    /// Whether it is short of memory.
    pub(crate) memory_short: bool,
    /// Whether there are fewer voters beside it than writes ask for.
    pub(crate) few_replicas: bool,
}

/// The bytes without much room behind them: they stay in the log's cache for a while.
fn exact(bytes: Vec<u8>) -> Bytes {
    let spare = bytes.capacity() - bytes.len();
    if spare > bytes.len() / 8 { Bytes::copy_from_slice(&bytes) } else { bytes.into() }
}

/// Where batches go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Target {
    pub(crate) term: u64,
    pub(crate) leader: Option<u64>,
}

/// What a command takes in a batch, about.
pub(crate) fn bytes_of(args: &[&[u8]]) -> usize {
    args.iter().map(|a| a.len() + 8).sum()
}

/// See the module.
pub(crate) struct Outbox {
    node: u64,
    start: u64,
    epoch: u32,
    next_seq: u64,
    gathering: Batch,
    /// Closed batches that were not sent yet.
    closed: VecDeque<Batch>,
    /// Batches on their way, oldest first.
    in_flight: VecDeque<Batch>,
    /// An entry is wanted even if nobody writes: it carries the time (R2).
    tick: bool,
    bytes: usize,
    bytes_max: usize,
    resend_at: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(node: u64, start: u64, bytes_max: usize) -> Self {
        Self {
            node,
            start,
            epoch: 0,
            next_seq: 1,
            gathering: Batch::new(0),
            closed: VecDeque::new(),
            in_flight: VecDeque::new(),
            tick: false,
            bytes: 0,
            bytes_max,
            resend_at: None,
        }
    }

    /// Adds a command, unless there is no room for it.
    pub(crate) fn write(&mut self, client: Rc<dyn Client>, db: usize, args: &[&[u8]]) -> Result<(), Failure> {
        self.reserve(bytes_of(args))?;
        self.gathering.entry.command_by(client.user(), db, args);
        self.gathering.items.push_back(Item::Write(client, Vec::new()));
        self.close_if_full();
        Ok(())
    }

    /// Keeps room for what will be a batch of its own, of so many bytes; how much that is.
    pub(crate) fn reserve_large(&mut self, bytes: usize) -> Result<usize, Failure> {
        self.check_room(bytes)?;
        self.bytes += bytes + ITEM_BYTES;
        Ok(bytes + ITEM_BYTES)
    }

    /// Gives up what [`Outbox::reserve_large`] has kept.
    pub(crate) fn give_up_large(&mut self, charged: usize) {
        self.bytes -= charged;
    }

    /// Adds the batch of a command or a transaction for which there is room.
    pub(crate) fn put_large(
        &mut self,
        client: Rc<dyn Client>,
        entry: BatchBuilder,
        locals: Vec<Local>,
        charged: usize,
    ) {
        if !self.gathering.is_empty() {
            self.close();
        }
        let items = VecDeque::from([Item::Write(client, locals)]);
        self.closed.push_back(Batch { entry, items, charged, ..Batch::new(0) });
    }

    /// Adds a transaction, unless there is no room for it.
    pub(crate) fn transaction(
        &mut self,
        client: Rc<dyn Client>,
        transaction: Transaction,
    ) -> Result<(), Failure> {
        self.reserve(transaction.bytes())?;
        let put = transaction.put(&mut self.gathering.entry, client.user(), Pace::at_once());
        let locals = put.now_or_never().expect("nothing waits");
        self.gathering.items.push_back(Item::Write(client, locals));
        self.close_if_full();
        Ok(())
    }

    /// Adds a read at its place among the writes of its connection (R1).
    pub(crate) fn read(&mut self, client: Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        let before = self.gathering.reads.len();
        self.begin();
        line::put(&mut self.gathering.reads, db, args);
        self.charge(self.gathering.reads.len() - before);
        self.gathering.items.push_back(Item::Read(client));
    }

    /// Adds something to be done at this place.
    pub(crate) fn local(&mut self, f: AtPlace) {
        self.begin();
        self.charge(0);
        self.gathering.items.push_back(Item::Local(f));
    }

    /// Asks for an entry that carries the time.
    pub(crate) fn tick(&mut self) {
        self.tick = true;
    }

    /// A new leader is there: nothing has been refused by it yet.
    pub(crate) fn new_target(&mut self) {
        self.resend_at = None;
    }

    /// The way to the leader broke, or is open anew: what was on it may be lost.
    pub(crate) fn way_changed(&mut self) {
        self.resend_at = None;
        self.in_flight.iter_mut().for_each(Batch::must_send);
    }

    /// For how long the oldest batch on its way has been.
    pub(crate) fn oldest_in_flight(&self) -> Option<Duration> {
        self.in_flight.front().map(|b| b.sent_at.elapsed())
    }

    /// When something is to be sent again, if it is.
    pub(crate) fn resend_at(&self) -> Option<Instant> {
        self.resend_at
    }

    /// How many commands gather.
    pub(crate) fn gathered(&self) -> usize {
        self.gathering.items.len()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn check_room(&self, bytes: usize) -> Result<(), Failure> {
        if bytes > ENTRY_BYTES_MAX - BATCH_BYTES_MAX {
            return Err(Failure::TooLarge);
        }
        // One command of any size is let in when nothing else waits.
        if self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            return Err(Failure::Overloaded);
        }
        Ok(())
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), Failure> {
        self.check_room(bytes)?;
        self.begin();
        self.charge(bytes);
        Ok(())
    }

    /// The age of a batch is that of the first thing in it.
    fn begin(&mut self) {
        if self.gathering.is_empty() {
            self.gathering.since = Instant::now();
        }
    }

    /// What is charged to a batch is given back with it.
    fn charge(&mut self, bytes: usize) {
        let bytes = bytes + ITEM_BYTES;
        self.gathering.charged += bytes;
        self.bytes += bytes;
    }

    fn close_if_full(&mut self) {
        if self.gathering.entry.len() >= BATCH_BYTES_MAX {
            self.close();
        }
    }

    fn close(&mut self) {
        self.begin();
        let capacity = self.gathering.entry.len().min(BATCH_BYTES_MAX);
        let batch = std::mem::replace(&mut self.gathering, Batch::new(capacity));
        self.closed.push_back(batch);
    }

    /// The batches to send now to `target`, in order.
    /// On another node than the leader `stamp` is nothing: the leader fills it in.
    pub(crate) fn take_sendable(&mut self, target: Target, stamp: impl Fn() -> Stamp) -> Vec<Bytes> {
        let mut out = Vec::new();
        if target.leader.is_none() {
            return out;
        }
        let (origin_node, origin_start, origin_epoch) = (self.node, self.start, self.epoch);
        let header = move || {
            let Stamp { time_ms, seed, memory_short, few_replicas } = stamp();
            Header {
                semantics: batch::SEMANTICS,
                time_ms,
                seed,
                memory_short,
                few_replicas,
                term: target.term,
                origin_node,
                origin_start,
                origin_epoch,
                ..Header::default()
            }
        };
        if self.resend_at.is_some_and(|at| Instant::now() >= at) {
            self.resend_at = None;
            self.in_flight.iter_mut().for_each(Batch::must_send);
        }
        if self.resend_at.is_some() {
            // In order, and not before the pause is over: nothing else may overtake.
            return out;
        }
        // A new leader gets everything again that was on its way; what it has already, apply skips.
        for batch in self.in_flight.iter_mut().filter(|b| b.sent_term != target.term) {
            out.push(batch.send(header()));
        }
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let full = !self.closed.is_empty() || self.gathering.entry.len() >= FOLLOW_BYTES_MIN;
            if !self.in_flight.is_empty() && !full {
                break;
            }
            let wanted = !self.gathering.is_empty() || (self.tick && self.closed.is_empty());
            if self.closed.is_empty() && wanted {
                self.close();
            }
            let Some(mut batch) = self.closed.pop_front() else { break };
            self.tick = false;
            batch.seq = self.next_seq;
            self.next_seq += 1;
            out.push(batch.send(header()));
            self.in_flight.push_back(batch);
        }
        out
    }

    /// Something went wrong on the way: everything is sent again soon.
    pub(crate) fn trouble(&mut self) {
        self.resend_at.get_or_insert_with(|| Instant::now() + RESEND_PAUSE);
    }

    /// The leader refused a batch before the append: that sending of it is certainly in no log.
    pub(crate) fn refused(&mut self, h: &Header) {
        if self.is_own(h)
            && let Some(batch) =
                self.in_flight.iter_mut().find(|b| b.seq == h.origin_seq && b.sent_term == h.term)
        {
            batch.sent_term = 0;
        }
        self.trouble();
    }

    /// A batch was passed over by apply. If its clients still wait for it, it must be sent again.
    pub(crate) fn passed_over(&mut self, h: &Header) {
        let waits = self.in_flight.iter().any(|b| b.seq == h.origin_seq && b.sent_term == h.term);
        if self.is_own(h) && waits {
            self.trouble();
        }
    }

    /// Whether a batch with this header is of this start and epoch of this node.
    fn is_own(&self, h: &Header) -> bool {
        h.origin_node == self.node && h.origin_start == self.start && h.origin_epoch == self.epoch
    }

    /// Whether a command came from a client of this start of this node.
    pub(crate) fn is_of_this_start(&self, waiter: WaiterId) -> bool {
        waiter.node == self.node && waiter.start == self.start
    }

    /// The batch that apply is about to execute, if its clients still wait.
    pub(crate) fn take_applied(&mut self, h: &Header) -> Option<Batch> {
        if !self.is_own(h) || self.in_flight.front().is_none_or(|b| b.seq != h.origin_seq) {
            return None;
        }
        let batch = self.in_flight.pop_front()?;
        self.bytes -= batch.charged;
        Some(batch)
    }

    /// A snapshot took the place of entries up to this node's batch `seq`: those were applied, and their
    /// replies are lost (R14).
    pub(crate) fn covered_by_snapshot(&mut self, start: u64, epoch: u32, seq: u64) -> Vec<(Batch, Failure)> {
        let mut lost = Vec::new();
        while start == self.start
            && epoch == self.epoch
            && self.in_flight.front().is_some_and(|b| b.seq <= seq)
        {
            lost.extend(self.in_flight.pop_front().map(|b| (b, Failure::Unknown)));
        }
        self.give_back(&lost);
        lost
    }

    fn give_back(&mut self, lost: &[(Batch, Failure)]) {
        self.bytes -= lost.iter().map(|(b, _)| b.charged).sum::<usize>();
    }

    /// The node stood still for `time`: nothing has waited meanwhile.
    pub(crate) fn forgive(&mut self, time: Duration) {
        let now = Instant::now();
        for batch in self.in_flight.iter_mut().chain(&mut self.closed).chain([&mut self.gathering]) {
            batch.since = (batch.since + time).min(now);
            batch.sent_at = (batch.sent_at + time).min(now);
        }
    }

    /// Gives up what waited for longer than `limit`. What was sent is UNKNOWN, unless an entry of a later term
    /// was applied since: then the log of the term it was sent for is complete, and it is not in it (R14).
    pub(crate) fn expire(&mut self, limit: Duration, applied_term: u64) -> Vec<(Batch, Failure)> {
        let mut lost = Vec::new();
        // Batches close now and then while none can be sent, so that a late command is not judged by an early one.
        if !self.gathering.is_empty() && self.gathering.since.elapsed() > limit / 20 {
            self.close();
        }
        if self.in_flight.front().is_some_and(|b| b.since.elapsed() > limit) {
            // What was sent after it may be in the log behind it: none of it may be sent again under a number
            // that apply would take, and a new epoch makes apply refuse what still comes late.
            for batch in self.in_flight.drain(..) {
                let failure = batch.failure(applied_term);
                lost.push((batch, failure));
            }
            self.epoch += 1;
            self.next_seq = 1;
        }
        while self.closed.front().is_some_and(|b| b.since.elapsed() > limit) {
            lost.extend(self.closed.pop_front().map(|b| (b, Failure::NoQuorum)));
        }
        self.give_back(&lost);
        lost
    }
}
