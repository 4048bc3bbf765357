//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.

use std::cell::RefCell;
use std::rc::Rc;

use quorate_keyspace::command::{Command, Flags, Handler};
use quorate_keyspace::{CommandError, Keyspace, Place};
use quorate_replica::{Client as _, Token};

use super::{Dispatch, LARGE_BYTES, State, authenticates, owned, parse_db};
use crate::commands;
use crate::connection::{Connection, Lane};
use crate::node::Node;
use crate::stats::Monitors;
use crate::transaction::{QUEUED_BYTES_MAX, QUEUED_MAX, Queue, Report, Watches};

/// The commands of a transaction are judged as those of one user.
const AUTH_IN_MULTI: CommandError =
    CommandError::fixed("ERR a transaction belongs to one user: no AUTH inside of it");
const EXECABORT: CommandError =
    CommandError::fixed("EXECABORT Transaction discarded because of previous errors.");

/// What a queued command takes beside its arguments, and each of those beside its bytes.
const COMMAND_BYTES: usize = 48;
const ARG_BYTES: usize = 16;

impl State {
    pub(super) fn multi(&mut self) -> Dispatch {
        if self.queue.is_some() {
            // Nested MULTI is an error that does not break the transaction.
            self.in_order(|_, reply| reply.error(&CommandError::fixed("ERR MULTI calls can not be nested")));
        } else {
            self.queue = Some(Queue { db: self.connection.db.get(), ..Queue::default() });
            self.connection.queued.set(Some(0));
            self.in_order(|_, reply| reply.ok());
        }
        Dispatch::Done
    }

    pub(super) fn discard(&mut self) -> Dispatch {
        if self.queue.take().is_none() {
            self.in_order(|_, reply| reply.error(&CommandError::fixed("ERR DISCARD without MULTI")));
            return Dispatch::Done;
        }
        self.connection.queued.set(None);
        self.connection.held.queued.set(0);
        self.unwatch_in_order();
        self.in_order(|_, reply| reply.ok());
        Dispatch::Done
    }

    /// A watch under way takes its token at its place; forgetting takes place behind it.
    pub(super) fn unwatch_in_order(&mut self) {
        if self.connection.watched.replace(0) > 0 {
            self.watches = Watches::new(&self.node, &self.connection);
        }
    }

    pub(super) fn forget_watches(&mut self) {
        self.unwatch_in_order();
        self.connection.queued.set(None);
        self.connection.held.queued.set(0);
    }

    pub(super) fn watch(&mut self, args: &[&[u8]]) -> Dispatch {
        if self.queue.is_some() {
            self.in_order(|_, reply| {
                reply.error(&CommandError::fixed("ERR WATCH inside MULTI is not allowed"))
            });
            return Dispatch::Done;
        }
        let c = self.connection.clone();
        // The token must be no older than what is acknowledged: a linearizable look.
        let lane = if c.pending.get() == 0 { Lane::Reads } else { c.lane.get() };
        self.enter(lane);
        let (db, watches, node) = (c.db.get(), self.watches.clone(), self.node.clone());
        let (keys, watch, line) = (owned(&args[1..]), self.looked_at, owned(args));
        c.watched.set(c.watched.get() + keys.len());
        let f = Box::new(move |k: &Keyspace, index| {
            let now = node.now_ms();
            let look = |key: &[u8]| {
                let (version, existed) = k.watch_token(db, key, now);
                Token { version, existed }
            };
            let watched = watches.borrow_mut().add(db, &keys, look);
            c.answer(index, &mut |reply| {
                let begun = reply.begin();
                match &watched {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(error),
                }
                if let Some(watch) = watch {
                    let line: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
                    reply.end(begun, watch, &line, Place::Client, 0);
                }
            });
        });
        match lane {
            Lane::Writes => self.node.replica.local_behind_writes(f),
            Lane::Reads => self.node.replica.local(f),
        }
        Dispatch::Done
    }

    pub(super) fn enqueue(&mut self, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        if command.flags.contains(Flags::NO_MULTI) || commands::takes_time(command) {
            return self.refuse(&CommandError::fixed("ERR Command not allowed inside a transaction"));
        }
        if authenticates(command, args) {
            return self.refuse(&AUTH_IN_MULTI);
        }
        let writes = self.may_change(command, args);
        let bytes = COMMAND_BYTES + args.iter().map(|a| a.len() + ARG_BYTES).sum::<usize>();
        let bytes_max = self.node.config.client_query_buffer_limit().min(QUEUED_BYTES_MAX);
        let Some(queue) = &mut self.queue else { unreachable!("the caller checked") };
        if queue.transaction.len() >= QUEUED_MAX || queue.bytes + bytes > bytes_max {
            return self.refuse(&CommandError::fixed("ERR the transaction is too large"));
        }
        if self.node.stats.monitors.there_are()
            && let Some(line) = Monitors::line(queue.db, &self.connection.addr, command, args)
        {
            queue.bytes += line.len();
            queue.lines.push(line);
        }
        queue.bytes += bytes;
        queue.writes |= writes;
        self.connection.queued.set(Some(queue.transaction.len() + 1));
        self.connection.held.queued.set(queue.bytes);
        let is_large = bytes >= LARGE_BYTES && is_for_every_replica(command);
        if !is_large {
            put(queue, &self.node, &self.connection, command, args);
        }
        self.in_order(|_, reply| reply.simple("QUEUED"));
        if is_large { Dispatch::Large } else { Dispatch::Done }
    }

    pub(super) fn exec(&mut self) -> Dispatch {
        if self.queue.is_none() {
            self.in_order(|_, reply| reply.error(&CommandError::fixed("ERR EXEC without MULTI")));
            return Dispatch::Done;
        }
        // The tokens of WATCH must be there, and reads under way must not overtake.
        let c = self.connection.clone();
        if c.pending.get() > 0 && (c.watched.get() > 0 || c.lane.get() == Lane::Reads) {
            return Dispatch::WhenIdle;
        }
        let mut queue = self.queue.take().expect("checked");
        c.queued.set(None);
        c.held.queued.set(0);
        if queue.broken {
            self.unwatch_in_order();
            self.in_order(|_, reply| reply.error(&EXECABORT));
            return Dispatch::Done;
        }
        let (watched, bytes) = self.watches.borrow_mut().take();
        queue.transaction.watch(watched, bytes);
        self.unwatch_in_order();
        queue.lines.iter().for_each(|line| self.node.stats.monitors.tell(line));
        for report in &queue.reports {
            commands::report(report, &self.node, &c);
        }
        self.selects = queue.selects;
        // Now they are carried out; those that were only queued do not count.
        self.count_commands(queue.transaction.len());
        self.enter(Lane::Writes);
        if queue.tracks {
            // CLIENT CACHING and CLIENT TRACKING among its steps may want less than all of them: a key too many does no harm.
            c.track_command();
        }
        if queue.transaction.bytes() >= LARGE_BYTES {
            self.large = Some(queue.transaction);
            return Dispatch::Large;
        }
        self.node.replica.transaction(&self.client, queue.transaction);
        Dispatch::Done
    }
}

/// Whether a command of a transaction is carried out by apply, without anything of the session.
fn is_for_every_replica(command: &Command) -> bool {
    command.name != "select" && !matches!(command.handler, Handler::Session | Handler::Container)
}

/// Puts a command into a transaction as what carries it out there.
fn put(
    queue: &mut Queue,
    node: &Rc<Node>,
    connection: &Rc<Connection>,
    command: &'static Command,
    args: &[&[u8]],
) {
    let (node, connection) = (node.clone(), connection.clone());
    match command.handler {
        Handler::Connection(_) if command.name == "select" => {
            // It holds for what follows it here, and afterwards if the transaction is executed.
            let chosen = parse_db(args[1], node.databases());
            queue.db = *chosen.as_ref().unwrap_or(&queue.db);
            queue.selects = true;
            let args = owned(args);
            queue.transaction.local(Box::new(move |reply| {
                let begun = reply.begin();
                match &chosen {
                    Ok(db) => {
                        connection.db.set(*db);
                        reply.ok();
                    }
                    Err(error) => reply.error(error),
                }
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                reply.end(begun, command, &args, Place::Transaction, 0);
            }));
        }
        _ if is_for_every_replica(command) => queue.transaction.command(queue.db, args),
        Handler::Session if command.name == "config|set" => {
            commands::set_within_transaction(command, node, connection, &mut queue.transaction, args);
        }
        Handler::Session | Handler::Container if commands::reports_on_node(command) => {
            let answer = Rc::new(RefCell::new(Vec::new()));
            let args = args.iter().map(|a| a.to_vec()).collect();
            queue.reports.push(Report { command, args, answer: answer.clone() });
            let name = args_of_report(command);
            queue.transaction.local(Box::new(move |reply| {
                let begun = reply.begin();
                reply.raw(&answer.borrow());
                reply.end(begun, command, &name, Place::Transaction, 0);
            }));
        }
        _ => {
            // What follows EXEC depends on it.
            queue.tracks |= matches!(command.name, "client|tracking" | "client|caching");
            queue.selects |= queue.tracks || command.name == "hello";
            queue.transaction.local(commands::within_transaction(command, node, connection, args));
        }
    }
}

/// The words of a command's name.
fn args_of_report(command: &'static Command) -> Vec<&'static [u8]> {
    command.name.split('|').map(str::as_bytes).collect()
}
