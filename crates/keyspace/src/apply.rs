//! Applying an entry of the log.

use quorate_planted::{Bug, is_planted};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    batch::{Args, BatchError, BatchReader, Element, Header, Step, Watch},
    command::{self, Command, Flags},
    error::CommandError,
    execute::Executed,
    keyspace::{Keyspace, Origin},
    meter::Place,
    random::Random,
    reply::{Begun, Reply},
    serve,
    waiters::WaiterId,
    warm::GROUP,
};

/// The whole transaction is refused, although only some of it may need memory.
const EXEC_OOM: CommandError = CommandError::fixed(
    "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
);

/// The node on which an entry is applied: where replies go, and what happens between commands.
///
/// Everything has a default that does nothing, for replicas that are not the origin of the entry.
/// `n` is the number of the command in the batch, from 0.
pub trait Host {
    /// Calls `run` with the reply to command `n`, once or, for a transaction with local steps, several times: what is
    /// written then belongs together, in that order.
    fn reply(&mut self, n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        let _ = n;
        run(&mut Reply::discard());
    }

    /// Called before command `n`, and at the end with the number of commands: reads that belong between two commands
    /// take place here (R1), judged by the entry's time.
    fn before(&mut self, n: usize, keyspace: &Keyspace) {
        let _ = (n, keyspace);
    }

    /// Carries out step `number` of transaction `n`, which belongs to the origin's session alone, and appends exactly
    /// one reply to that of command `n`.
    fn local(&mut self, n: usize, number: u64) {
        let _ = (n, number);
    }

    /// Command `n`, which has written nothing, waits for a key: for `timeout_ms`, or if that is 0 for ever (R17).
    fn waits(&mut self, n: usize, waiter: WaiterId, timeout_ms: u64) {
        let _ = (n, waiter, timeout_ms);
    }

    /// Calls `run` exactly once with the reply to a command that waited. If it returns false it has written nothing,
    /// and the command goes on waiting.
    fn answer_waiter(&mut self, waiter: WaiterId, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        let _ = waiter;
        run(&mut Reply::discard());
    }

    /// Stands still for that long (`DEBUG SLEEP`).
    fn debug_sleep(&mut self, ms: u64) {
        let _ = ms;
    }
}

/// A replica that is not the origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whether its commands took effect.
    pub outcome: Outcome,
    /// Whose batch it was; zeros if its header cannot be read.
    pub header: Header,
    /// Number of commands and transactions carried out.
    pub commands: usize,
    /// Whether any of them has changed something.
    pub changed: bool,
}

impl Applied {
    /// Whether the batch was passed over: none of its commands took effect.
    #[must_use]
    pub fn skipped(&self) -> bool {
        self.outcome != Outcome::Applied
    }
}

/// Whether the commands of an entry took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They did.
    Applied,
    /// They did not: the batch was meant for a leader of another term (R15).
    WrongTerm,
    /// They did not: the batch was applied before, or one before it is missing.
    OutOfSequence,
    /// The entry is damaged. Elements before the damage took effect, alike on every replica.
    Damaged,
    /// The entry comes from newer software. **Not applied, and the index has not advanced**: this node must stop until
    /// it is upgraded.
    Unsupported,
}

impl Keyspace {
    /// Applies the entry at `index`, which a leader of `entry_term` appended.
    ///
    /// The entry's time becomes the log's time unless that is later already; keys whose deadline has come are
    /// reclaimed, then the commands are carried out in order. A batch that is skipped still brings index and time.
    ///
    /// # Panics
    /// If `index` is not the one after the last.
    pub fn apply(&mut self, index: u64, entry_term: u64, payload: &[u8], host: &mut dyn Host) -> Applied {
        assert!(index > self.meta.index, "entry {index} after {}", self.meta.index);
        let (header, mut reader) = match BatchReader::new(payload) {
            Ok(batch) => batch,
            Err(error) => return self.refuse(index, entry_term, payload, error),
        };
        self.gazette.begin(None);
        self.memory_short = header.memory_short;
        self.few_replicas = header.few_replicas;
        self.advance(index, entry_term, header.time_ms);
        let mut applied =
            Applied { outcome: self.admit(&header, entry_term), header, commands: 0, changed: false };
        let version = self.version();
        let mut replies = 0;
        // Of the node's earlier starts, or for keys that have just expired.
        self.serve_waiters(&serve::Element { n: 0, seed: header.seed }, &mut replies, host);
        let mut group: SmallVec<[Element<'_>; GROUP]> = SmallVec::new();
        while applied.outcome == Outcome::Applied {
            let read = reader.next_elements(GROUP, &mut group);
            self.warm_elements(&group);
            for element in group.drain(..) {
                host.before(applied.commands, self);
                self.gazette.begin(Some(applied.commands));
                replies = self.apply_element(applied.commands, element, &header, replies, host);
                let served = serve::Element { n: applied.commands, seed: header.seed };
                self.serve_waiters(&served, &mut replies, host);
                applied.commands += 1;
            }
            match read {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => applied.outcome = Outcome::Damaged,
            }
        }
        if !applied.skipped() || applied.outcome == Outcome::Damaged {
            host.before(applied.commands, self);
        }
        applied.changed = self.version() != version;
        self.extend_digest(payload, replies);
        applied
    }

    /// What an entry does that holds nothing for the keyspace (a membership change, a leader's first entry).
    ///
    /// # Panics
    /// If `index` is not after the last.
    pub fn apply_blank(&mut self, index: u64, entry_term: u64) {
        assert!(index > self.meta.index, "entry {index} after {}", self.meta.index);
        // It brings no time, and nothing expires: nobody who waits could be told.
        (self.meta.index, self.meta.term) = (index, entry_term);
        self.extend_digest(&[], 0);
    }

    fn refuse(&mut self, index: u64, entry_term: u64, payload: &[u8], error: BatchError) -> Applied {
        let outcome = match error {
            BatchError::Unsupported { .. } => Outcome::Unsupported,
            BatchError::Damaged => {
                (self.meta.index, self.meta.term) = (index, entry_term);
                self.extend_digest(payload, 0);
                Outcome::Damaged
            }
        };
        Applied { outcome, header: Header::default(), commands: 0, changed: false }
    }

    /// Brings index and time, and what follows from time.
    fn advance(&mut self, index: u64, entry_term: u64, time_ms: u64) {
        self.meta.index = index;
        self.meta.term = entry_term;
        self.meta.time_ms = self.meta.time_ms.max(time_ms);
        if !self.rules.reclaims_lazily {
            self.reclaim();
        }
    }

    /// Whether this is the next batch of its origin, sent for the term it got into (R15). Notes it if so.
    fn admit(&mut self, header: &Header, entry_term: u64) -> Outcome {
        if header.term != entry_term && !is_planted(Bug::OldTermAccepted) {
            return Outcome::WrongTerm;
        }
        let last = self.origin(header.origin_node).unwrap_or_default();
        let (old, new) = ((last.start, last.epoch), (header.origin_start, header.origin_epoch));
        let follows = new == old && last.seq.checked_add(1) == Some(header.origin_seq);
        let is_unknown = old == (0, 0) && is_planted(Bug::ApplyTwiceAfterSnapshot);
        let begins = new > old && (header.origin_seq == 1 || is_unknown);
        if !follows && !begins {
            return Outcome::OutOfSequence;
        }
        if new.0 > old.0 {
            // The clients of its earlier starts are gone.
            self.release_all(header.origin_node, old.0);
        }
        let origin = Origin { start: new.0, epoch: new.1, seq: header.origin_seq };
        self.meta.origins.insert(header.origin_node, origin);
        Outcome::Applied
    }

    /// Carries out one element. Takes in and returns the hash of the replies.
    fn apply_element(
        &mut self,
        n: usize,
        element: Element<'_>,
        header: &Header,
        hash: u64,
        host: &mut dyn Host,
    ) -> u64 {
        let mut replies = Replies { n, hash };
        match element {
            Element::Command { user, db, args } => {
                self.caller = user;
                let id = WaiterId::new(header, n);
                self.apply_command_or_wait(db, &args, header.seed, id, &mut replies, host);
            }
            Element::Transaction { user, watches, steps } => {
                self.caller = user;
                self.apply_transaction(&watches, &steps, header.seed, &mut replies, host);
            }
        }
        replies.hash
    }

    /// A command outside of a transaction: it may wait.
    fn apply_command_or_wait(
        &mut self,
        db: usize,
        args: &Args<'_>,
        seed: u64,
        id: WaiterId,
        replies: &mut Replies,
        host: &mut dyn Host,
    ) {
        if let Some(command) = self.lacks_memory_for(args) {
            return replies
                .write(host, |reply| reply.reject(Some(command), Place::Client, &CommandError::OOM));
        }
        let seed = Random::for_command(seed, replies.n as u64, 0);
        let mut executed = Executed::default();
        replies.write(host, |reply| executed = self.execute_or_wait(db, args, seed, reply));
        if let Some(wait) = executed.wait {
            let timeout_ms = wait.timeout_ms;
            self.wait(id, db, args, wait);
            host.waits(replies.n, id, timeout_ms);
        }
        if executed.sleep_ms > 0 {
            host.debug_sleep(executed.sleep_ms);
        }
    }

    fn apply_command(
        &mut self,
        db: usize,
        args: &Args<'_>,
        seed: u64,
        replies: &mut Replies,
        host: &mut dyn Host,
    ) {
        let mut sleep_ms = 0;
        replies.write(host, |reply| sleep_ms = self.execute(db, args, seed, reply));
        if sleep_ms > 0 {
            host.debug_sleep(sleep_ms);
        }
    }

    fn apply_transaction(
        &mut self,
        watches: &[Watch<'_>],
        steps: &[Step<'_>],
        seed: u64,
        replies: &mut Replies,
        host: &mut dyn Host,
    ) {
        let exec = command::lookup(b"exec").expect("it is in the table");
        let lacks_memory = |step: &Step<'_>| matches!(step, Step::Command { args, .. } if self.lacks_memory_for(args).is_some());
        if steps.iter().any(lacks_memory) {
            return replies.write(host, |reply| reply.reject(Some(exec), Place::Client, &EXEC_OOM));
        }
        let mut begun = Begun::default();
        if watches
            .iter()
            .any(|watch| self.watch_broken(watch.db, watch.key, watch.as_of_version, watch.existed))
        {
            replies.write(host, |reply| {
                begun = reply.begin();
                reply.null_array();
                reply.end(begun, exec, &[b"exec"], Place::Client, 0);
            });
            return;
        }
        replies.write(host, |reply| {
            begun = reply.begin();
            reply.array(steps.len());
        });
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Command { db, args } => {
                    let seed = Random::for_command(seed, replies.n as u64, 1 + i as u64);
                    self.apply_command(*db, args, seed, replies, host);
                }
                Step::Local(number) => host.local(replies.n, *number),
            }
        }
        replies.write(host, |reply| reply.end(begun, exec, &[b"exec"], Place::Client, 0));
    }

    /// The command, if it may need memory of which the leader is short. Alike on every replica.
    fn lacks_memory_for(&self, args: &[&[u8]]) -> Option<&'static Command> {
        if !self.memory_short {
            return None;
        }
        let command = command::resolve_logged(args).ok()?;
        command.flags.contains(Flags::DENYOOM).then_some(command)
    }

    /// Takes an entry into the running digest: what it says, what it did, what it answered, and what came out (R10).
    fn extend_digest(&mut self, payload: &[u8], replies: u64) {
        let keys: usize = self.databases.iter().map(|database| database.table.len()).sum();
        let effects = self.take_effects();
        let meta = &self.meta;
        let words = [meta.index, meta.term, meta.time_ms, meta.version, keys as u64, effects, replies];
        let mut bytes = [0; 7 * 8];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.meta.digest = xxh3_64_with_seed(&bytes, xxh3_64_with_seed(payload, meta.digest));
    }
}

/// The replies of one element.
pub(crate) struct Replies {
    n: usize,
    hash: u64,
}

impl Replies {
    fn write(&mut self, host: &mut dyn Host, mut write: impl FnMut(&mut Reply<'_>)) {
        let mut calls = 0;
        host.reply(self.n, &mut |reply| {
            calls += 1;
            reply.start_hash(self.hash);
            write(reply);
            self.hash = reply.hash();
        });
        assert_eq!(calls, 1, "a host calls `run` exactly once");
    }

    /// Writes the reply to a command that waited, unless it waits on.
    pub(crate) fn answer_waiter(
        hash: &mut u64,
        host: &mut dyn Host,
        waiter: WaiterId,
        run: &mut dyn FnMut(&mut Reply<'_>) -> bool,
    ) {
        let mut calls = 0;
        host.answer_waiter(waiter, &mut |reply| {
            calls += 1;
            reply.start_hash(*hash);
            let is_answered = run(reply);
            *hash = reply.hash();
            is_answered
        });
        assert_eq!(calls, 1, "a host calls `run` exactly once");
    }
}
