//! Carrying out one command.

use quorate_planted::{Bug, is_planted};

use crate::{
    acl::{DEFAULT_USER, Denied},
    command::{self, Categories, Command, Flags, Handler},
    context::{LookedUp, ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Keyspace,
    meter::Place,
    reply::Reply,
    waiters::Wait,
};

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The reply is written.
    Done,
    /// Nothing is written: the reply depends on whether a key whose deadline is this (milliseconds since 1970) still
    /// exists. Commit an entry with that time or a later one, then read again (R2).
    NeedsTime(u64),
}

/// What a command of an entry asks for.
#[derive(Debug, Default)]
pub(crate) struct Executed {
    /// For how many milliseconds every replica is to stand still.
    pub(crate) sleep_ms: u64,
    /// It waits for a key.
    pub(crate) wait: Option<Wait>,
}

/// The session must carry this command out; it should not have come here.
const FOR_THE_SESSION: CommandError = CommandError::fixed("ERR this command cannot be used here");

impl Keyspace {
    /// Carries out a command that only reads, on the state after the last entry applied.
    ///
    /// `now_ms` is the leader's clock, or [`Keyspace::time_ms`] for a read that judges expiry by applied time. The
    /// reply may be an error, also if the command is not one that only reads.
    pub fn read(
        &self,
        db: usize,
        args: &[&[u8]],
        now_ms: u64,
        seed: u64,
        reply: &mut Reply<'_>,
    ) -> ReadOutcome {
        match command::resolve_asked(args) {
            Ok(command) => self.read_command(command, (DEFAULT_USER, db), args, now_ms, seed, reply),
            Err(error) => {
                reply.error(&error);
                ReadOutcome::Done
            }
        }
    }

    /// The same for the user with this number, if it may do that now.
    pub fn read_by(
        &self,
        user: u64,
        db: usize,
        args: &[&[u8]],
        now_ms: u64,
        seed: u64,
        reply: &mut Reply<'_>,
    ) -> ReadOutcome {
        match command::resolve_asked(args) {
            Ok(command) if self.refuses(user, command, args, Place::Client, reply) => ReadOutcome::Done,
            Ok(command) => self.read_command(command, (user, db), args, now_ms, seed, reply),
            Err(error) => {
                reply.error(&error);
                ReadOutcome::Done
            }
        }
    }

    /// Refuses a command of the user with this number, if it may not do that.
    fn refuses(
        &self,
        user: u64,
        command: &'static Command,
        args: &[&[u8]],
        place: Place,
        reply: &mut Reply<'_>,
    ) -> bool {
        if is_planted(Bug::UserJudgedAtArrival) {
            return false;
        }
        let Err(denied) = self.judge(user, command, args) else { return false };
        let error = if place == Place::Transaction { denied.error_at_exec() } else { denied.error(command) };
        reply.reject(Some(command), place, &error);
        if let (Some(meter), Some(denial)) = (reply.meter(), denied.denial(command, args)) {
            meter.denied(&denial, place);
        }
        true
    }

    /// Whether the user with this number may do what a command line says.
    pub(crate) fn judge(&self, user: u64, command: &'static Command, args: &[&[u8]]) -> Result<(), Denied> {
        if user == DEFAULT_USER && self.meta.users.is_open() {
            return Ok(());
        }
        self.meta.users.judge(user, command, args)
    }

    fn read_command(
        &self,
        command: &'static Command,
        (user, db): (u64, usize),
        args: &[&[u8]],
        now_ms: u64,
        seed: u64,
        reply: &mut Reply<'_>,
    ) -> ReadOutcome {
        match command.handler {
            Handler::Read(handler)
            | Handler::Connection(handler)
            | Handler::ReadOrWait { read: handler, .. } => {
                let begun = reply.begin();
                let outcome = self.call_read(handler, (user, db), args, now_ms, seed, true, reply);
                if outcome == ReadOutcome::Done {
                    self.note_read(command, args, reply);
                    reply.end(begun, command, args, Place::Client, 0);
                }
                outcome
            }
            Handler::Write(_) | Handler::Aside(_) | Handler::Session | Handler::Container => {
                reply.error(&FOR_THE_SESSION);
                ReadOutcome::Done
            }
        }
    }

    fn call_read(
        &self,
        handler: command::ReadFn,
        (user, db): (u64, usize),
        args: &[&[u8]],
        now_ms: u64,
        seed: u64,
        is_of_node: bool,
        reply: &mut Reply<'_>,
    ) -> ReadOutcome {
        if db >= self.databases() {
            reply.error(&CommandError::DB_OUT_OF_RANGE);
            return ReadOutcome::Done;
        }
        let mark = reply.mark();
        let ctx = ReadCtx::new(self, db, args, now_ms, seed).by(user);
        let ctx = if is_of_node { ctx.of_node() } else { ctx };
        let result = handler(&ctx, reply);
        if let Some(deadline_ms) = ctx.needs_ms() {
            reply.rollback(mark);
            return ReadOutcome::NeedsTime(deadline_ms);
        }
        self.count(ctx.looked_up(), reply);
        if let Err(error) = result {
            reply.rollback(mark);
            reply.error(&error);
        }
        ReadOutcome::Done
    }

    /// Carries out a command of an entry that may not wait: one of a transaction or a script. Returns for how many
    /// milliseconds every replica is to stand still.
    pub(crate) fn execute(&mut self, db: usize, args: &[&[u8]], seed: u64, reply: &mut Reply<'_>) -> u64 {
        self.execute_logged(db, args, seed, false, reply).sleep_ms
    }

    /// Carries out a command of an entry. If it is to wait it has written nothing.
    pub(crate) fn execute_or_wait(
        &mut self,
        db: usize,
        args: &[&[u8]],
        seed: u64,
        reply: &mut Reply<'_>,
    ) -> Executed {
        self.execute_logged(db, args, seed, true, reply)
    }

    fn execute_logged(
        &mut self,
        db: usize,
        args: &[&[u8]],
        seed: u64,
        may_wait: bool,
        reply: &mut Reply<'_>,
    ) -> Executed {
        let command = match command::resolve_logged(args) {
            Ok(command) if db < self.databases() => command,
            Ok(_) => {
                reply.error(&CommandError::DB_OUT_OF_RANGE);
                return Executed::default();
            }
            Err(error) => {
                reply.error(&error);
                return Executed::default();
            }
        };
        let place = if may_wait { Place::Client } else { Place::Transaction };
        if self.refuses(self.caller, command, args, place, reply) {
            return Executed::default();
        }
        self.note_read(command, args, reply);
        let begun = reply.begin();
        let mut executed = Executed::default();
        match command.handler {
            Handler::Write(handler) | Handler::Aside(handler) => {
                executed = self.call_write(handler, db, args, seed, may_wait, reply);
            }
            Handler::ReadOrWait { wait, waits, .. } if waits(args) => {
                executed = self.call_write(wait, db, args, seed, may_wait, reply);
            }
            Handler::Read(handler)
            | Handler::Connection(handler)
            | Handler::ReadOrWait { read: handler, .. } => {
                self.call_read(handler, (self.caller, db), args, self.time_ms(), seed, false, reply);
            }
            Handler::Session | Handler::Container => reply.error(&FOR_THE_SESSION),
        }
        if executed.wait.is_none() {
            reply.end(begun, command, args, place, executed.sleep_ms);
        }
        executed
    }

    /// Tells whoever gets the reply that it holds what a command reads.
    pub(crate) fn note_read(&self, command: &'static Command, args: &[&[u8]], reply: &Reply<'_>) {
        // A script reads by its calls.
        let is_script = || command.categories.contains(Categories::SCRIPTING);
        if let Some(meter) = reply.meter()
            && command.flags.contains(Flags::READONLY)
            && !is_script()
        {
            meter.reads(command, args, self.gazette.changes());
        }
    }

    /// Counts what was looked up for a client of this node: other nodes discard the reply.
    fn count(&self, looked_up: &LookedUp, reply: &Reply<'_>) {
        if reply.is_wanted() {
            let (hits, misses) = looked_up.counts();
            self.counters.looked_up(hits, misses);
        }
    }

    fn call_write(
        &mut self,
        handler: command::WriteFn,
        db: usize,
        args: &[&[u8]],
        seed: u64,
        may_wait: bool,
        reply: &mut Reply<'_>,
    ) -> Executed {
        let mark = reply.mark();
        self.begin_command();
        let mut ctx = WriteCtx::new(self, db, args, seed);
        ctx.allow_waiting(may_wait);
        let result = handler(&mut ctx, reply);
        let executed = Executed { sleep_ms: ctx.sleep_ms(), wait: ctx.take_wait() };
        let looked_up = std::mem::take(&mut ctx.looked_up);
        self.count(&looked_up, reply);
        let changed = self.end_command();
        if let Err(error) = result {
            assert!(!changed, "a command that fails changes nothing: {error}");
            reply.rollback(mark);
            reply.error(&error);
        }
        executed
    }
}
