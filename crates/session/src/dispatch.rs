//! From a command line to where it is carried out.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use quorate_keyspace::acl::Denied;
use quorate_keyspace::command::{self, Command, Flags, Handler};
use quorate_keyspace::{CommandError, Keyspace, Meter, Metered, Place, Reply};
use quorate_replica::Client;

use crate::commands::{self, Action};
use crate::connection::{Connection, Lane, ReplyMode};
use crate::node::Node;
use crate::session::READS_PENDING_MAX;
use crate::stats::Monitors;
use crate::transaction::{QUEUED_BYTES_MAX, QUEUED_MAX, Queue, Report, Token, Watches};

/// What became of a command.
pub(crate) enum Dispatch {
    /// It is answered, or will be.
    Done,
    /// It must be dispatched again when nothing of this connection is under way.
    WhenIdle,
    /// It must be dispatched again when fewer commands of this connection are under way.
    WhenFewer,
    /// It is a write that is handed on by `Replica::write_large`, and counted already.
    Large,
    /// It must be dispatched again when CLIENT PAUSE has ended.
    WhenResumed,
    /// It takes time; the connection's next command waits for it. Nothing of the connection is under way.
    Async(Pin<Box<dyn Future<Output = ()>>>),
}

/// From this size on a write is copied in steps.
const LARGE_BYTES: usize = 4 << 20;

const NOAUTH: CommandError = CommandError::fixed("NOAUTH Authentication required.");
const LOADING: CommandError = CommandError::fixed(
    "LOADING this node has not caught up with the cluster since it was started: QUORATE STATUS shows how far it is. \
     Nothing was applied",
);
/// What touches data, which a connection in MONITOR does not.
const DATA: Flags = Flags::WRITE.union(Flags::READONLY).union(Flags::MAY_REPLICATE);
const MONITORS_ONLY: CommandError = CommandError::fixed("ERR a connection in MONITOR takes no commands on data");
const NOREPLICAS: CommandError = CommandError::fixed("NOREPLICAS Not enough good replicas to write.");
const EXECABORT: CommandError =
    CommandError::fixed("EXECABORT Transaction discarded because of previous errors.");

/// The session's side of a connection.
pub(crate) struct State {
    pub(crate) node: Rc<Node>,
    pub(crate) connection: Rc<Connection>,
    client: Rc<dyn Client>,
    queue: Option<Queue>,
    watches: Rc<RefCell<Watches>>,
    /// A transaction under way may change the database.
    selects: bool,
    was_authenticated: bool,
    /// The command that is being looked at: a refusal counts for it.
    looked_at: Option<&'static Command>,
    /// The command that the session itself answers: it counts when its answer is written. Without arguments, its name.
    at_hand: Option<(&'static Command, Vec<Vec<u8>>)>,
}

impl State {
    pub(crate) fn new(node: Rc<Node>, connection: Rc<Connection>) -> Self {
        let client: Rc<dyn Client> = connection.clone();
        let was_authenticated = connection.authenticated.get();
        Self {
            node,
            connection,
            client,
            queue: None,
            watches: Rc::default(),
            selects: false,
            was_authenticated,
            looked_at: None,
            at_hand: None,
        }
    }

    /// Whether the connection has authenticated since the last call.
    pub(crate) fn limits_changed(&mut self) -> bool {
        let now = self.connection.authenticated.get();
        std::mem::replace(&mut self.was_authenticated, now) != now
    }

    /// Bytes of commands that MULTI has queued.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// There is no memory for what MULTI has queued: EXEC will say that nothing was applied.
    pub(crate) fn give_up_queued(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.broken = true;
            queue.bytes = 0;
            queue.transaction = quorate_replica::Transaction::default();
        }
    }

    /// Answers bytes that are not RESP, and ends the connection.
    pub(crate) fn protocol_error(&self, text: &str) {
        let error = CommandError::new(format!("ERR {text}"));
        self.connection.reply(&mut |r| r.error(&error));
        self.connection.quit.set(true);
    }

    /// Carries a command out, or hands it on.
    pub(crate) fn dispatch(&mut self, args: &[&[u8]]) -> Dispatch {
        if self.selects {
            if self.connection.pending.get() > 0 {
                return Dispatch::WhenIdle;
            }
            self.selects = false;
        }
        let c = &self.connection;
        if c.reply_mode.get() == ReplyMode::SkipNext {
            c.reply_mode.set(ReplyMode::Skip);
        }
        self.at_hand = None;
        let resolved = command::resolve(args);
        self.looked_at = resolved.as_ref().ok().copied().or_else(|| command::named(args));
        let command = match resolved {
            Ok(command) => command,
            Err(error) if args[0].eq_ignore_ascii_case(b"exec") => return self.refuse_exec(&error),
            Err(_) if is_http(args[0]) => {
                c.close();
                return Dispatch::Done;
            }
            Err(_) if args[0].eq_ignore_ascii_case(b"debug") && args.len() > 1 && !self.may_debug() => {
                return self.refuse(&commands::debug::NOT_ALLOWED);
            }
            Err(error) => return self.refuse(&error),
        };
        c.last_command.set(command.name);
        if !c.authenticated.get() && !command.flags.contains(Flags::NO_AUTH) {
            if self.node.requires_password() {
                return if command.name == "exec" { self.refuse_exec(&NOAUTH) } else { self.refuse(&NOAUTH) };
            }
            // Until the node has caught up it does not know whether there is a password.
            c.authenticated.set(self.node.replica.is_ready());
        }
        if c.only_listens() && !runs_while_listening(command) {
            let name = command.name;
            return self.refuse(&CommandError::new(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context"
            )));
        }
        if !self.node.replica.is_ready() && !runs_while_loading(command, args) {
            return self.refuse(&LOADING);
        }
        // Until then it does not know its users either.
        if self.node.replica.is_ready()
            && let Err(denied) = self.node.access.judge(c.user.get(), command, args)
        {
            return self.deny(&denied, command, args);
        }
        match commands::without_passwords(command, args, || self.node.access.users()) {
            Ok(None) => {}
            Ok(Some(hashed)) => {
                return self.dispatch(&hashed.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            Err(error) if self.queue.is_some() => return self.refuse(&error),
            Err(error) => {
                // It counts as carried out, with an error.
                self.at_hand = Some((command, owned(args)));
                self.in_order(move |_, reply| reply.error(&error));
                return Dispatch::Done;
            }
        }
        if c.monitors.get() && command.flags.intersects(DATA) {
            return self.refuse(&MONITORS_ONLY);
        }
        if command.flags.contains(Flags::ADMIN) && command.name.starts_with("debug|") && !self.may_debug() {
            return self.refuse(&commands::debug::NOT_ALLOWED);
        }
        let writes = command.flags.contains(Flags::WRITE)
            || command.name == "exec" && self.queue.as_ref().is_some_and(|queue| queue.writes);
        if writes && self.node.lacks_replicas() {
            return if command.name == "exec" {
                self.refuse_exec(&NOREPLICAS)
            } else {
                self.refuse(&NOREPLICAS)
            };
        }
        if self.node.is_paused(|| self.may_change(command, args)) && !is_exempt_from_pause(command) {
            return Dispatch::WhenResumed;
        }
        if self.queue.is_some() && !runs_within_multi(command) {
            return self.enqueue(command, args);
        }
        match command.name {
            "multi" | "discard" | "exec" | "unwatch" => self.at_hand = Some((command, Vec::new())),
            "select" => self.at_hand = Some((command, owned(args))),
            _ => {}
        }
        let dispatched = match command.handler {
            Handler::ReadOrWait { waits, .. } if waits(args) => self.write(args),
            Handler::Write(_) => self.write_and_track(command, args),
            Handler::Read(_) | Handler::ReadOrWait { .. } => self.read(command, args),
            Handler::Connection(_) if self.connection.only_listens() => self.session_command(command, args),
            Handler::Connection(_) => self.connection_command(command, args),
            Handler::Session | Handler::Aside(_) => self.session_command(command, args),
            Handler::Container => return self.refuse(&CommandError::wrong_arity(command.name)),
        };
        let is_logged = matches!(dispatched, Dispatch::Done | Dispatch::Large);
        if is_logged && self.connection.lane.get() == Lane::Writes && command.may_wait(args) {
            self.connection.may_block.set(true);
        }
        // What must wait comes here again.
        if matches!(dispatched, Dispatch::Done | Dispatch::Large | Dispatch::Async(_)) {
            self.count_commands(1);
            self.looked_at = None;
            self.end_caching(command);
            self.tell_monitors(command, args);
        }
        dispatched
    }

    /// CLIENT CACHING holds for the next command, or the next transaction.
    fn end_caching(&self, command: &Command) {
        if self.queue.is_none()
            && command.name != "client|caching"
            && let Some(tracked) = &*self.connection.tracked.borrow()
        {
            tracked.caching.set(None);
        }
    }

    /// MONITOR.
    fn tell_monitors(&self, command: &Command, args: &[&[u8]]) {
        let monitors = &self.node.stats.monitors;
        if monitors.there_are()
            && let Some(line) = Monitors::line(self.connection.db.get(), &self.connection.addr, command, args)
        {
            monitors.tell(&line);
        }
    }

    /// Refuses what the user may not do.
    fn deny(&mut self, denied: &Denied, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        let place = if self.queue.is_some() { Place::Transaction } else { Place::Client };
        if let Some(denial) = denied.denial(command, args) {
            self.connection.denied(&denial, place);
        }
        let error = denied.error(command);
        if command.name == "exec" { self.refuse_exec(&error) } else { self.refuse(&error) }
    }

    /// Whether CLIENT PAUSE WRITE means this command.
    fn may_change(&self, command: &Command, args: &[&[u8]]) -> bool {
        match command.name {
            "exec" => self.queue.as_ref().is_some_and(|queue| queue.writes),
            _ => self.node.replica.with_keyspace(|k| k.may_change(command, args)),
        }
    }

    fn may_debug(&self) -> bool {
        commands::debug::is_allowed(&self.node, &self.connection)
    }

    fn count_commands(&self, n: usize) {
        let commands = &self.connection.commands;
        commands.set(commands.get() + n as u64);
    }

    fn write(&self, args: &[&[u8]]) -> Dispatch {
        if !self.enter(Lane::Writes) {
            return Dispatch::WhenIdle;
        }
        if args.iter().map(|arg| arg.len()).sum::<usize>() >= LARGE_BYTES {
            return Dispatch::Large;
        }
        self.node.replica.write(&self.client, self.connection.db.get(), args);
        Dispatch::Done
    }

    /// Hands on what [`Dispatch::Large`] was said of.
    pub(crate) async fn write_large(&self, args: &[&[u8]]) {
        self.node.replica.write_large(&self.client, self.connection.db.get(), args).await;
    }

    /// Scripts read, too: the keys that they are told of.
    fn write_and_track(&self, command: &Command, args: &[&[u8]]) -> Dispatch {
        let dispatched = self.write(args);
        if matches!(dispatched, Dispatch::Done | Dispatch::Large) {
            self.connection.will_have(self.keys_to_track(command, args));
        }
        dispatched
    }

    /// The keys whose values the client may keep once it has the answer.
    fn keys_to_track(&self, command: &Command, args: &[&[u8]]) -> Vec<Box<[u8]>> {
        let tracked = self.connection.tracked.borrow();
        let reads = !command.flags.intersects(Flags::WRITE | Flags::PUBSUB);
        if !reads || !tracked.as_ref().is_some_and(|tracked| tracked.wants()) {
            return Vec::new();
        }
        let positions = command.key_positions(args).unwrap_or_default();
        positions.iter().map(|&i| args[i].into()).collect()
    }

    fn read(&self, command: &Command, args: &[&[u8]]) -> Dispatch {
        let (c, db) = (&self.connection, self.connection.db.get());
        if c.pending.get() == 0 && c.readonly.get() && !self.node.leads() {
            return self.read_here(command, args);
        }
        if c.pending.get() >= READS_PENDING_MAX {
            return Dispatch::WhenFewer;
        }
        let lane = if c.pending.get() == 0 { Lane::Reads } else { c.lane.get() };
        self.enter(lane);
        match lane {
            Lane::Writes => self.node.replica.read_behind_writes(&self.client, db, args),
            Lane::Reads => self.node.replica.read(&self.client, db, args),
        }
        c.will_have(self.keys_to_track(command, args));
        Dispatch::Done
    }

    /// A read of a READONLY connection: this node's own state, which holds everything that the connection has
    /// written or read (session-reads).
    fn read_here(&self, command: &Command, args: &[&[u8]]) -> Dispatch {
        let (seed, c) = (self.node.replica.seed(), self.connection.clone());
        let keys = self.keys_to_track(command, args);
        let read = move |k: &Keyspace, args: &[&[u8]]| {
            let read = || {
                c.reply(&mut |reply| {
                    k.read_by(c.user.get(), c.db.get(), args, k.time_ms(), seed, reply);
                });
            };
            match c.no_touch.get() && !args[0].eq_ignore_ascii_case(b"touch") {
                true => k.untouched(read),
                false => read(),
            }
            c.seen.set(k.index());
            c.will_have(keys);
        };
        if command.flags.contains(Flags::FAST) {
            self.node.replica.with_keyspace(|k| read(k, args));
            return Dispatch::Done;
        }
        let (replica, owned) = (self.node.replica.clone(), owned(args));
        Dispatch::Async(Box::pin(async move {
            let look = move |k: &Keyspace| read(k, &owned.iter().map(Vec::as_slice).collect::<Vec<_>>());
            replica.look(look).await;
        }))
    }

    /// Counts a command into a lane. False: the connection must finish what is under way in the other first.
    fn enter(&self, lane: Lane) -> bool {
        let c = &self.connection;
        if c.pending.get() > 0 && c.lane.get() != lane {
            return false;
        }
        c.lane.set(lane);
        c.begun.set(c.begun.get() + 1);
        c.pending.set(c.pending.get() + 1);
        true
    }

    /// Answers at the command's place among those under way.
    fn in_order(&self, mut run: impl FnMut(&Keyspace, &mut Reply<'_>) + 'static) {
        let (c, at_hand) = (self.connection.clone(), self.at_hand.clone());
        let mut run = move |k: &Keyspace, reply: &mut Reply<'_>| {
            let begun = reply.begin();
            run(k, reply);
            match &at_hand {
                Some((command, args)) if args.is_empty() => {
                    reply.end(begun, command, &[command.name.as_bytes()], Place::Client, 0);
                }
                Some((command, args)) => {
                    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                    reply.end(begun, command, &args, Place::Client, 0);
                }
                None => {}
            }
        };
        if c.pending.get() == 0 {
            return self.node.replica.with_keyspace(|k| c.reply(&mut |reply| run(k, reply)));
        }
        let lane = c.lane.get();
        self.enter(lane);
        let f = Box::new(move |k: &Keyspace, index| c.answer(index, &mut |reply| run(k, reply)));
        match lane {
            Lane::Writes => self.node.replica.local_behind_writes(f),
            Lane::Reads => self.node.replica.local(f),
        }
    }

    pub(crate) fn refuse(&mut self, error: &CommandError) -> Dispatch {
        if let Some(queue) = &mut self.queue {
            queue.broken = true;
        }
        self.count_rejected();
        let error = error.clone();
        self.in_order(move |_, reply| reply.error(&error));
        Dispatch::Done
    }

    fn count_rejected(&mut self) {
        if let Some(command) = self.looked_at.take() {
            self.node.stats.rejected(command);
        }
        self.at_hand = None;
    }

    /// An EXEC that is refused ends the transaction.
    fn refuse_exec(&mut self, error: &CommandError) -> Dispatch {
        self.count_rejected();
        self.queue = None;
        self.forget_watches();
        let why = error.text().trim_start_matches("ERR ");
        let error = CommandError::new(format!("EXECABORT Transaction discarded because of: {why}"));
        self.in_order(move |_, reply| reply.error(&error));
        Dispatch::Done
    }

    /// A command that needs no state: a function answers it at its place.
    fn connection_command(&self, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        let owned = owned(args);
        if command.name == "select" {
            return self.select(args);
        }
        let (node, db) = (self.node.clone(), self.connection.db.get());
        self.in_order(move |k, reply| {
            let args: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
            k.read(db, &args, node.now_ms(), 0, reply);
        });
        Dispatch::Done
    }

    fn select(&self, args: &[&[u8]]) -> Dispatch {
        let db = match parse_db(args[1], self.node.databases()) {
            Ok(db) => db,
            Err(error) => {
                self.in_order(move |_, reply| reply.error(&error));
                return Dispatch::Done;
            }
        };
        // Commands carry their database: those under way are not touched.
        self.connection.db.set(db);
        self.in_order(|_, reply| reply.ok());
        Dispatch::Done
    }

    fn session_command(&mut self, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        match command.name {
            "multi" => self.multi(),
            "discard" => self.discard(),
            "exec" => self.exec(),
            "watch" => self.watch(args),
            "unwatch" => {
                self.unwatch_in_order();
                self.in_order(|_, reply| reply.ok());
                Dispatch::Done
            }
            _ if self.connection.pending.get() > 0 => Dispatch::WhenIdle,
            "ping" => self.ping_of_listener(args),
            "reset" => {
                let begun = self.node.stats.restart();
                self.queue = None;
                self.forget_watches();
                self.node.stats.monitors.remove(&self.connection);
                self.node.channels.leave(&self.connection);
                commands::reset(self);
                let place = Place::Client;
                let metered = Metered { begun, command, args, place, error: None, sleep_ms: 0 };
                self.node.stats.ended(&self.connection, &metered);
                Dispatch::Done
            }
            _ => match commands::action(command, self, args) {
                Action::Done => Dispatch::Done,
                Action::Async(work) => Dispatch::Async(commands::noted(
                    work,
                    command,
                    self.node.clone(),
                    self.connection.clone(),
                    owned(args),
                )),
            },
        }
    }

    /// PING of a client that gets messages between its answers: RESP2 has it answered as if by a message.
    fn ping_of_listener(&self, args: &[&[u8]]) -> Dispatch {
        let text = args.get(1).copied().unwrap_or_default();
        self.connection.reply(&mut |reply| match args.len() {
            1 | 2 => {
                reply.array(2);
                reply.bulk(b"pong");
                reply.bulk(text);
            }
            _ => reply.error(&CommandError::wrong_arity("ping")),
        });
        Dispatch::Done
    }

    fn multi(&mut self) -> Dispatch {
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

    fn discard(&mut self) -> Dispatch {
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
    fn unwatch_in_order(&mut self) {
        self.watches = Rc::default();
        self.connection.watched.set(0);
    }

    fn forget_watches(&mut self) {
        self.unwatch_in_order();
        self.connection.queued.set(None);
        self.connection.held.queued.set(0);
    }

    fn watch(&mut self, args: &[&[u8]]) -> Dispatch {
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
            for key in &keys {
                let (version, existed) = k.watch_token(db, key, now);
                // A key that is watched already stays so from then on.
                watches.borrow_mut().entry((db, key.clone())).or_insert(Token { version, existed });
            }
            c.answer(index, &mut |reply| {
                let begun = reply.begin();
                reply.ok();
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

    fn enqueue(&mut self, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        if command.flags.contains(Flags::NO_MULTI) {
            return self.refuse(&CommandError::fixed("ERR Command not allowed inside a transaction"));
        }
        if commands::takes_time(command) {
            return self.refuse(&CommandError::fixed("ERR Command not allowed inside a transaction"));
        }
        if command.flags.contains(Flags::ADMIN) && command.name.starts_with("debug|") && !self.may_debug() {
            return self.refuse(&commands::debug::NOT_ALLOWED);
        }
        let writes = self.may_change(command, args);
        let keys = self.keys_to_track(command, args);
        let bytes: usize = args.iter().map(|a| a.len() + 16).sum();
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
        queue.reads.extend(keys);
        let (node, connection) = (self.node.clone(), self.connection.clone());
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
            Handler::Read(_)
            | Handler::Write(_)
            | Handler::Aside(_)
            | Handler::ReadOrWait { .. }
            | Handler::Connection(_) => {
                queue.transaction.command(queue.db, args)
            }
            Handler::Session if command.name == "config|set" => {
                commands::set_within_transaction(node, &mut queue.transaction, args);
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
            Handler::Session | Handler::Container => {
                // What follows EXEC may have another user.
                queue.selects |= matches!(command.name, "auth" | "hello");
                queue.transaction.local(commands::within_transaction(command, node, connection, args));
            }
        }
        self.connection.queued.set(Some(queue.transaction.len()));
        self.connection.held.queued.set(queue.bytes);
        self.in_order(|_, reply| reply.simple("QUEUED"));
        Dispatch::Done
    }

    fn exec(&mut self) -> Dispatch {
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
        for ((db, key), token) in self.watches.take() {
            queue.transaction.watch(db, key, token.version, token.existed);
        }
        self.unwatch_in_order();
        queue.lines.iter().for_each(|line| self.node.stats.monitors.tell(line));
        for report in &queue.reports {
            commands::report(report, &self.node, &c);
        }
        self.selects = queue.selects;
        // Now they are carried out; those that were only queued do not count.
        self.count_commands(queue.transaction.len());
        self.enter(Lane::Writes);
        self.node.replica.transaction(&self.client, queue.transaction);
        self.connection.will_have(queue.reads);
        Dispatch::Done
    }
}

/// The words of a command's name.
fn args_of_report(command: &'static Command) -> Vec<&'static [u8]> {
    command.name.split('|').map(str::as_bytes).collect()
}

fn owned(args: &[&[u8]]) -> Vec<Vec<u8>> {
    args.iter().map(|arg| arg.to_vec()).collect()
}

/// A web page may make a browser send such lines here: the connection ends before its body is taken for commands.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn parse_db(arg: &[u8], databases: usize) -> Result<usize, CommandError> {
    let n = quorate_resp::parse_integer(arg).ok_or(CommandError::NOT_AN_INTEGER)?;
    let n = i32::try_from(n).map_err(|_| {
        CommandError::fixed("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    usize::try_from(n).ok().filter(|n| *n < databases).ok_or(CommandError::DB_OUT_OF_RANGE)
}

/// What takes effect although a transaction is being queued.
fn runs_within_multi(command: &Command) -> bool {
    matches!(command.name, "multi" | "exec" | "discard" | "watch" | "quit" | "reset")
}

/// What neither depends on data nor changes anything, while not even the password is known.
fn runs_while_loading(command: &Command, args: &[&[u8]]) -> bool {
    let lists_nodes = args.get(2).is_some_and(|word| word.eq_ignore_ascii_case(b"list"));
    let authenticates = || args.iter().skip(2).any(|word| word.eq_ignore_ascii_case(b"auth"));
    matches!(command.name, "info" | "quit" | "reset" | "quorate|status" | "role")
        || (command.name == "quorate|node" && lists_nodes)
        || (command.name == "hello" && !authenticates())
        || command.name.starts_with("command")
}

/// What a client may send that gets messages between its answers and cannot tell one from the other.
fn runs_while_listening(command: &Command) -> bool {
    commands::pubsub::answers_with_pushes(command.name) || matches!(command.name, "ping" | "quit" | "reset")
}

/// CLIENT PAUSE must be able to end, and operators to see what a node does.
fn is_exempt_from_pause(command: &Command) -> bool {
    command.name.starts_with("client|")
        || command.name.starts_with("quorate|")
        || matches!(command.name, "auth" | "hello" | "quit" | "reset" | "info")
}
