//! A connection as the rest of the node sees it: where its answers go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quorate_env::budget::STEP_BYTES;
use quorate_env::{Budget, Charge, Instant, Part};
use quorate_keyspace::{Release, Reply, WaiterId};
use quorate_replica::Client;
use quorate_resp::Protocol;
use tokio::sync::Notify;

/// When the answers of a connection exceed this, it is closed: its client does not read (`bounded`).
/// `client-output-buffer-limit` may ask for less.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1 << 30;

/// A reply of more than this to a read is refused when the node has no memory for it.
const REFUSABLE_BYTES: usize = 1 << 20;

/// In which lane of the replica the commands of a connection are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Reads,
    Writes,
}

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    On,
    Off,
    /// The next command is not answered.
    SkipNext,
    /// This command is not answered.
    Skip,
}

/// A command that waits for a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    pub(crate) waiter: WaiterId,
    pub(crate) has_timeout: bool,
    /// CLIENT UNBLOCK has asked for its end.
    pub(crate) is_ending: bool,
}

/// See the module. Shared by the session, the replica while commands are under way, and the registry.
pub struct Connection {
    /// Unique in the cluster.
    pub(crate) id: u64,
    pub(crate) addr: String,
    pub(crate) local_addr: String,
    pub(crate) since: Instant,
    pub(crate) protocol: Cell<Protocol>,
    pub(crate) reply_mode: Cell<ReplyMode>,
    pub(crate) out: RefCell<Vec<u8>>,
    /// Where the answer at hand begins in `out`.
    answer_from: Cell<Option<usize>>,
    /// Commands given to the replica and not answered.
    pub(crate) pending: Cell<usize>,
    /// About how many bytes of commands those are.
    pub(crate) pending_bytes: Cell<usize>,
    pub(crate) lane: Cell<Lane>,
    /// The entry that the last answer held at.
    pub(crate) seen: Cell<u64>,
    /// The entry of the last write answered: what WAIT waits for.
    pub(crate) written: Cell<u64>,
    /// Wakes the session: answers are there, or it must close.
    pub(crate) wake: Notify,
    /// Ends a write to a client that does not read.
    pub(crate) killed: Notify,
    pub(crate) closing: Cell<bool>,
    /// A command that takes time is under way, or CLIENT PAUSE holds one back.
    pub(crate) is_waiting: Cell<bool>,
    /// The last command given to the replica may wait for a key: nothing behind it is carried out before it is answered.
    pub(crate) may_block: Cell<bool>,
    /// It waits.
    pub(crate) blocked: Cell<Option<Blocked>>,
    /// WAIT or WAITAOF is under way.
    pub(crate) awaits_replicas: Cell<bool>,
    /// CLIENT UNBLOCK has ended it.
    pub(crate) unblocked: Cell<Option<Release>>,
    /// The client sends no more; it may still read.
    pub(crate) ended: Cell<bool>,
    /// Told of that.
    pub(crate) gone: Notify,
    /// The connection ends once this answer is written.
    pub(crate) quit: Cell<bool>,
    pub(crate) name: RefCell<Vec<u8>>,
    pub(crate) lib_name: RefCell<Vec<u8>>,
    pub(crate) lib_ver: RefCell<Vec<u8>>,
    pub(crate) db: Cell<usize>,
    pub(crate) authenticated: Cell<bool>,
    pub(crate) readonly: Cell<bool>,
    pub(crate) no_evict: Cell<bool>,
    pub(crate) no_touch: Cell<bool>,
    pub(crate) last_command: Cell<&'static str>,
    pub(crate) last_active: Cell<Instant>,
    pub(crate) queued: Cell<Option<usize>>,
    pub(crate) watched: Cell<usize>,
    pub(crate) buffered: Cell<usize>,
    /// Bytes of answers that are being written.
    pub(crate) writing: Cell<usize>,
    /// What answers that the client has not read count in the node's budget.
    charge: RefCell<Charge>,
    /// How much that is.
    charged: Cell<usize>,
    /// Since when answers have waited beyond the soft limit.
    pub(crate) over_soft_limit: Cell<Option<Instant>>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) commands: Cell<u64>,
    /// Answers that were errors.
    pub(crate) errors: Cell<u64>,
    /// The largest answer since the window was last looked at, in bytes.
    pub(crate) largest_answer: Cell<usize>,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        addr: String,
        local_addr: String,
        authenticated: bool,
        memory: &Budget,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            id,
            addr,
            local_addr,
            since: now,
            protocol: Cell::new(Protocol::Resp2),
            reply_mode: Cell::new(ReplyMode::On),
            out: RefCell::default(),
            answer_from: Cell::new(None),
            pending: Cell::new(0),
            pending_bytes: Cell::new(0),
            lane: Cell::new(Lane::Reads),
            seen: Cell::new(0),
            written: Cell::new(0),
            wake: Notify::new(),
            killed: Notify::new(),
            closing: Cell::new(false),
            is_waiting: Cell::new(false),
            may_block: Cell::new(false),
            blocked: Cell::new(None),
            awaits_replicas: Cell::new(false),
            unblocked: Cell::new(None),
            ended: Cell::new(false),
            gone: Notify::new(),
            quit: Cell::new(false),
            name: RefCell::default(),
            lib_name: RefCell::default(),
            lib_ver: RefCell::default(),
            db: Cell::new(0),
            authenticated: Cell::new(authenticated),
            readonly: Cell::new(false),
            no_evict: Cell::new(false),
            no_touch: Cell::new(false),
            last_command: Cell::new("NULL"),
            last_active: Cell::new(now),
            queued: Cell::new(None),
            watched: Cell::new(0),
            buffered: Cell::new(0),
            writing: Cell::new(0),
            charge: RefCell::new(memory.charge(Part::Replies)),
            charged: Cell::new(0),
            over_soft_limit: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            commands: Cell::new(0),
            errors: Cell::new(0),
            largest_answer: Cell::new(0),
        })
    }

    /// Writes an answer of the session itself; the caller has seen to the order.
    pub(crate) fn reply(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        let mut out = self.out.borrow_mut();
        let start = out.len();
        run(&mut Reply::new(&mut out, self.protocol.get()));
        self.wrote(&mut out, start);
    }

    /// Takes an answer back that CLIENT REPLY does not want, and watches over the limit.
    fn wrote(&self, out: &mut Vec<u8>, start: usize) {
        if out.get(start) == Some(&b'-') {
            self.errors.set(self.errors.get() + 1);
        }
        match self.reply_mode.get() {
            ReplyMode::On => {}
            ReplyMode::Off => out.truncate(start),
            ReplyMode::SkipNext => {}
            ReplyMode::Skip => {
                out.truncate(start);
                self.reply_mode.set(ReplyMode::On);
            }
        }
        self.largest_answer.set(self.largest_answer.get().max(out.len() - start));
        if self.closing.get() || out.len() > OUTPUT_BYTES_MAX {
            *out = Vec::new();
            self.close();
        }
        self.count(self.writing.get() + out.len());
    }

    /// Counts bytes of answers in the node's budget, in large steps.
    pub(crate) fn count(&self, bytes: usize) {
        if bytes.abs_diff(self.charged.get()) >= STEP_BYTES || (bytes == 0 && self.charged.get() > 0) {
            let mut charge = self.charge.borrow_mut();
            charge.set(bytes);
            self.charged.set(charge.bytes());
        }
    }

    /// Bytes of answers that wait to be written; without those gathered so far while one is being composed.
    pub(crate) fn output_bytes(&self) -> usize {
        self.writing.get() + self.out.try_borrow().map_or(0, |out| out.len())
    }

    /// Whether it waits for a key, for replicas, or for the end of a pause, as INFO and CLIENT LIST count it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get().is_some() || self.is_waiting.get()
    }

    /// Ends the connection at its next turn.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
        self.killed.notify_one();
    }
}

impl Client for Connection {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        if self.closing.get() {
            return run(&mut Reply::discard());
        }
        let mut out = self.out.borrow_mut();
        if self.answer_from.get().is_none() {
            self.answer_from.set(Some(out.len()));
        }
        run(&mut Reply::new(&mut out, self.protocol.get()));
    }

    fn done(&self, index: u64) {
        let mut out = self.out.borrow_mut();
        let start = self.answer_from.take().unwrap_or(out.len());
        self.wrote(&mut out, start);
        self.blocked.set(None);
        self.seen.set(index);
        if self.lane.get() == Lane::Writes {
            self.written.set(index);
        }
        let pending = self.pending.get() - 1;
        self.pending.set(pending);
        if pending == 0 {
            self.pending_bytes.set(0);
        }
        self.wake.notify_one();
    }

    fn accept(&self) -> Option<usize> {
        let mut out = self.out.borrow_mut();
        let start = self.answer_from.get().unwrap_or(out.len());
        let length = out.len() - start;
        if length <= REFUSABLE_BYTES {
            return Some(length);
        }
        let mut charge = self.charge.borrow_mut();
        let admitted = charge.try_set(self.writing.get() + out.len());
        self.charged.set(charge.bytes());
        if !admitted {
            // The room that it took goes back with it.
            *out = out[..start].to_vec();
        }
        admitted.then_some(length)
    }

    fn postpone(&self) {
        self.answer_from.set(None);
    }

    fn waits(&self, waiter: WaiterId, has_timeout: bool) -> bool {
        // A client that sends no more is taken for gone, as in Redis.
        let is_there = !self.closing.get() && !self.ended.get();
        if is_there {
            self.blocked.set(Some(Blocked { waiter, has_timeout, is_ending: false }));
            self.wake.notify_one();
        }
        is_there
    }
}
