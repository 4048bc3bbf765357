//! A connection as the rest of the node sees it: where its answers go.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use quorate_env::budget::STEP_BYTES;
use quorate_env::{Budget, Charge, Instant, Part};
use quorate_keyspace::acl::{DEFAULT_NAME, DEFAULT_USER, Denial, Name};
use quorate_keyspace::command::Command;
use quorate_keyspace::{Meter, Metered, Place, Release, Reply, WaiterId};
use quorate_planted::{Bug, is_planted};
use quorate_replica::Client;
use quorate_resp::Protocol;
use tokio::sync::Notify;

use crate::access::{Access, Context, Refusal, word_of};
use crate::channels::Subscriptions;
use crate::memory::Held;
use crate::outgoing::Sending;
use crate::stats::{Monitors, Stats};
use crate::tracking::{Tracked, Tracking};

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
    /// Where its commands are noted.
    pub(crate) stats: Rc<Stats>,
    /// Where what is refused to it is noted.
    access: Rc<Access>,
    /// The number of its user, and the name.
    pub(crate) user: Cell<u64>,
    pub(crate) user_name: RefCell<Name>,
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
    /// It is silent: its buffers may go.
    pub(crate) rests: Cell<bool>,
    /// What it holds beside its answers.
    pub(crate) held: Held,
    /// Answers that are being written, and how many bytes of them are left.
    pub(crate) sending: RefCell<Sending>,
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
    /// The last answer was an error.
    pub(crate) failed: Cell<bool>,
    /// MONITOR.
    pub(crate) monitors: Cell<bool>,
    /// Client-side caching.
    pub(crate) tracked: RefCell<Option<Rc<Tracked>>>,
    /// Where the keys that it reads are registered.
    tracking: Rc<Tracking>,
    /// Commands given to the replica, and answered, since the connection began.
    pub(crate) begun: Cell<u64>,
    finished: Cell<u64>,
    /// The numbers of those between whose reads are to be registered for client-side caching.
    tracked_commands: RefCell<VecDeque<u64>>,
    /// What it listens to.
    pub(crate) subscriptions: RefCell<Subscriptions>,
    /// What it is to be told behind the answer that is being composed.
    late: RefCell<Vec<u8>>,
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
        stats: Rc<Stats>,
        access: Rc<Access>,
        held: Held,
        tracking: Rc<Tracking>,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            id,
            addr,
            local_addr,
            stats,
            access,
            user: Cell::new(DEFAULT_USER),
            user_name: RefCell::new(DEFAULT_NAME.into()),
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
            rests: Cell::new(false),
            held,
            sending: RefCell::default(),
            writing: Cell::new(0),
            charge: RefCell::new(memory.charge(Part::Replies)),
            charged: Cell::new(0),
            over_soft_limit: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            commands: Cell::new(0),
            errors: Cell::new(0),
            failed: Cell::new(false),
            monitors: Cell::new(false),
            tracked: RefCell::default(),
            tracking,
            begun: Cell::new(0),
            finished: Cell::new(0),
            tracked_commands: RefCell::default(),
            subscriptions: RefCell::default(),
            late: RefCell::default(),
            largest_answer: Cell::new(0),
        })
    }

    /// Writes an answer of the session itself; the caller has seen to the order.
    pub(crate) fn reply(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        self.stats.restart();
        let mut out = self.out.borrow_mut();
        let start = out.len();
        run(&mut Reply::new(&mut out, self.protocol.get()).metered(Some(self)));
        self.wrote(&mut out, start);
    }

    /// Tells it something that is no answer, between two answers.
    pub(crate) fn feed(&self, message: &[u8]) {
        if self.closing.get() {
            return;
        }
        match self.out.try_borrow_mut() {
            Ok(mut out) if self.answer_from.get().is_none() => {
                out.extend_from_slice(message);
                self.check_told(&mut out);
                self.check_output(&mut out);
            }
            _ => self.tell_later(message),
        }
        self.wake.notify_one();
    }

    /// Keeps a message until the answer that is being composed is whole.
    fn tell_later(&self, message: &[u8]) {
        let mut late = self.late.borrow_mut();
        late.extend_from_slice(message);
        if late.len() > OUTPUT_BYTES_MAX || self.exceeds_hard_limit(self.writing.get() + late.len()) {
            *late = Vec::new();
            drop(late);
            self.close();
        }
    }

    /// Ends a connection that leaves much of what it is told unread while the node has no memory for so much: nobody can
    /// refuse to tell it.
    fn check_told(&self, out: &mut Vec<u8>) {
        let waiting = self.writing.get() + out.len();
        if waiting <= REFUSABLE_BYTES || waiting < self.charged.get() + STEP_BYTES {
            return;
        }
        let mut charge = self.charge.borrow_mut();
        let admitted = charge.try_set(waiting);
        self.charged.set(charge.bytes());
        drop(charge);
        if !admitted {
            tracing::info!(
                client = self.id,
                waiting,
                "closing a connection: no memory for what it does not read"
            );
            *out = Vec::new();
            self.close();
        }
    }

    /// Writes an answer that consists of pushes: CLIENT REPLY does not hold them back.
    pub(crate) fn answer_with_pushes(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        self.stats.restart();
        let mode = self.reply_mode.replace(ReplyMode::On);
        self.reply(run);
        self.reply_mode.set(if mode == ReplyMode::Skip { ReplyMode::On } else { mode });
    }

    /// A command begins, which is to be finished.
    pub(crate) fn begin_command(&self) {
        self.begun.set(self.begun.get() + 1);
        if self.tracked.borrow().as_ref().is_some_and(|tracked| tracked.wants()) {
            self.track_command();
        }
    }

    /// What the command that has just begun reads is to be registered, if the client has tracking on by then.
    pub(crate) fn track_command(&self) {
        self.tracked_commands.borrow_mut().push_back(self.begun.get());
    }

    /// The first command of those that are not finished is.
    pub(crate) fn finish_command(&self) {
        let finished = self.finished.get() + 1;
        self.finished.set(finished);
        let mut tracked = self.tracked_commands.borrow_mut();
        while tracked.pop_front_if(|number| *number <= finished).is_some() {}
    }

    /// Whether it may send nothing but what changes its subscriptions: RESP2 cannot tell messages from answers.
    pub(crate) fn only_listens(&self) -> bool {
        self.protocol.get() == Protocol::Resp2 && !self.subscriptions.borrow().is_empty()
    }

    /// Takes an answer back that CLIENT REPLY does not want, and watches over the limit.
    fn wrote(&self, out: &mut Vec<u8>, start: usize) {
        let failed = out.get(start) == Some(&b'-');
        self.failed.set(failed);
        if failed && self.stats.answered_error(out[start + 1..].trim_ascii_end()) {
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
        self.tell_what_is_late(out);
        self.check_output(out);
    }

    /// No answer is being composed any more. Whether anything had to wait for that.
    fn tell_what_is_late(&self, out: &mut Vec<u8>) -> bool {
        let mut late = self.late.borrow_mut();
        let has_any = !late.is_empty();
        out.append(&mut late);
        has_any
    }

    /// Ends a connection whose client does not read, and counts what waits for it.
    fn check_output(&self, out: &mut Vec<u8>) {
        let waiting = self.writing.get() + out.len();
        if self.closing.get() || out.len() > OUTPUT_BYTES_MAX || self.exceeds_hard_limit(waiting) {
            *out = Vec::new();
            self.close();
        }
        self.count(self.writing.get() + out.len());
        self.settle(self.writing.get() + out.len());
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

    /// It belongs to this user from now on.
    pub(crate) fn log_in(&self, user: u64, name: &Name) {
        self.user.set(user);
        self.user_name.borrow_mut().clone_from(name);
        self.authenticated.set(true);
    }

    /// It belongs to the default user, who may have to log in first.
    pub(crate) fn log_out(&self, is_in_at_once: bool) {
        self.log_in(DEFAULT_USER, &DEFAULT_NAME.into());
        self.authenticated.set(is_in_at_once);
    }

    /// Notes something that was refused to it.
    pub(crate) fn refused(&self, reason: &'static str, context: Context, user: &[u8], object: &[u8]) {
        let (user, object) = (user.to_vec(), object.to_vec());
        let client = crate::commands::describe(self, &[]);
        self.access.refusals.note(Refusal { reason, context, object, user, client });
    }

    /// Ends the connection at its next turn.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }
}

impl Meter for Connection {
    fn begin(&self) -> u64 {
        self.stats.begun()
    }

    fn called(&self, db: usize, command: &'static Command, args: &[&[u8]]) {
        let monitors = &self.stats.monitors;
        if monitors.there_are()
            && let Some(line) = Monitors::line(db, "lua", command, args)
        {
            monitors.tell(&line);
        }
    }

    /// From then on the client is told of changes.
    fn reads(&self, command: &'static Command, args: &[&[u8]], at: u64) {
        let is_tracked = || self.tracked_commands.borrow().front() == Some(&(self.finished.get() + 1));
        if self.tracked.borrow().is_some() && is_tracked() && !is_planted(Bug::TrackedAtArrival) {
            self.tracking.register(self, command, args, at);
        }
    }

    fn denied(&self, denial: &Denial<'_>, place: Place) {
        self.refused(word_of(denial.reason), place.into(), denial.user, denial.object);
    }

    fn rejected(&self, command: Option<&'static Command>, place: Place, error: &str) {
        if let Some(command) = command {
            self.stats.rejected(command);
        }
        if place != Place::Client {
            self.stats.inner_error(self, place, error.as_bytes());
        }
    }

    fn end(&self, metered: &Metered<'_>) {
        self.stats.ended(self, metered);
    }
}

impl Client for Connection {
    fn id(&self) -> u64 {
        self.id
    }

    fn touches(&self) -> bool {
        !self.no_touch.get()
    }

    fn user(&self) -> u64 {
        self.user.get()
    }

    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        if self.closing.get() {
            return run(&mut Reply::discard());
        }
        let mut out = self.out.borrow_mut();
        if self.answer_from.get().is_none() {
            self.answer_from.set(Some(out.len()));
        }
        run(&mut Reply::new(&mut out, self.protocol.get()).metered(Some(self)));
    }

    fn done(&self, index: u64) {
        let mut out = self.out.borrow_mut();
        let start = self.answer_from.take().unwrap_or(out.len());
        self.wrote(&mut out, start);
        drop(out);
        self.blocked.set(None);
        self.seen.set(index);
        if self.lane.get() == Lane::Writes {
            self.written.set(index);
        }
        self.finish_command();
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
        let mut out = self.out.borrow_mut();
        if self.tell_what_is_late(&mut out) {
            self.check_output(&mut out);
            self.wake.notify_one();
        }
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
