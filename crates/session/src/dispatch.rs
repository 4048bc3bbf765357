//! From a command line to where it is carried out.

mod multi;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use quorate_keyspace::acl::Denied;
use quorate_keyspace::command::{self, Command, Flags, Handler};
use quorate_keyspace::{CommandError, Keyspace, Meter, Metered, Place, Reply};
use quorate_planted::{Bug, is_planted};
use quorate_replica::{Client, Transaction};

use crate::commands::{self, Action};
use crate::connection::{Connection, Lane, ReplyMode};
use crate::node::Node;
use crate::session::READS_PENDING_MAX;
use crate::stats::Monitors;
use crate::transaction::{Queue, Watches};

/// What became of a command.
pub(crate) enum Dispatch {
    /// It is answered, or will be.
    Done,
    /// It must be dispatched again when nothing of this connection is under way.
    WhenIdle,
    /// It must be dispatched again when fewer commands of this connection are under way.
    WhenFewer,
    /// It is counted already, and handed on by [`State::hand_on_large`].
    Large,
    /// It must be dispatched again when CLIENT PAUSE has ended.
    WhenResumed,
    /// It must be dispatched again when the connection listens to nothing any more.
    WhenLeft,
    /// It takes time; the connection's next command waits for it. Nothing of the connection is under way.
    Async(Pin<Box<dyn Future<Output = ()>>>),
}

/// From this size on a write or a transaction is copied in steps.
const LARGE_BYTES: usize = 4 << 20;

const NOAUTH: CommandError = CommandError::fixed("NOAUTH Authentication required.");
const LOADING: CommandError = CommandError::fixed(
    "LOADING this node has not caught up with the cluster since it was started: QUORATE STATUS shows how far it is. \
     Nothing was applied",
);
/// What touches data, which a connection in MONITOR does not.
const DATA: Flags = Flags::WRITE.union(Flags::READONLY).union(Flags::MAY_REPLICATE);
const MONITORS_ONLY: CommandError =
    CommandError::fixed("ERR a connection in MONITOR takes no commands on data");

/// The session's side of a connection.
pub(crate) struct State {
    pub(crate) node: Rc<Node>,
    pub(crate) connection: Rc<Connection>,
    client: Rc<dyn Client>,
    queue: Option<Queue>,
    /// A transaction that is to be executed, and is large.
    large: Option<Transaction>,
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
        let watches = Watches::new(&node, &connection);
        Self {
            node,
            connection,
            client,
            queue: None,
            large: None,
            watches,
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
            queue.transaction = Transaction::default();
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
            self.caching_is_over();
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
        if let Some(refused) = self.refused_to_client(command, args) {
            return refused;
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
        if let Some(refused) = self.refused_now(command, args) {
            return refused;
        }
        if self.node.is_paused(|| self.may_change(command, args)) && !is_exempt_from_pause(command) {
            return Dispatch::WhenResumed;
        }
        if self.queue.is_some() && !runs_within_multi(command) {
            return self.enqueue(command, args);
        }
        let dispatched = self.carry_out(command, args);
        // What must wait comes here again.
        if matches!(dispatched, Dispatch::Done | Dispatch::Large | Dispatch::Async(_)) {
            self.count_commands(1);
            self.looked_at = None;
            self.end_caching(command);
            self.tell_monitors(command, args);
        }
        dispatched
    }

    /// What this client may not send: it has to log in first, only listens, its user lacks the right, or the node is not ready.
    fn refused_to_client(&mut self, command: &'static Command, args: &[&[u8]]) -> Option<Dispatch> {
        let c = &self.connection;
        c.last_command.set(command.name);
        if !c.authenticated.get() && !command.flags.contains(Flags::NO_AUTH) {
            if self.node.requires_password() {
                return Some(self.refuse_or_abort(command, &NOAUTH));
            }
            // Until the node has caught up it does not know whether there is a password.
            c.authenticated.set(self.node.replica.is_ready());
        }
        if c.only_listens() && !runs_while_listening(command) {
            let name = command.name;
            return Some(self.refuse(&CommandError::new(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context"
            ))));
        }
        if !self.node.replica.is_ready() && !runs_while_loading(command, args) {
            return Some(self.refuse(&LOADING));
        }
        // Until then it does not know its users either.
        if self.node.replica.is_ready()
            && let Err(denied) = self.node.access.judge(c.user.get(), command, args)
        {
            return Some(self.deny(&denied, command, args));
        }
        None
    }

    /// What is refused in the state that the connection or the cluster is in.
    fn refused_now(&mut self, command: &'static Command, args: &[&[u8]]) -> Option<Dispatch> {
        if self.connection.monitors.get() && command.flags.intersects(DATA) {
            return Some(self.refuse(&MONITORS_ONLY));
        }
        if command.flags.contains(Flags::ADMIN) && command.name.starts_with("debug|") && !self.may_debug() {
            return Some(self.refuse(&commands::debug::NOT_ALLOWED));
        }
        let writes = command.flags.contains(Flags::WRITE)
            || command.name == "exec" && self.queue.as_ref().is_some_and(|queue| queue.writes);
        let runs = || matches!(command.name, "eval" | "evalsha" | "fcall");
        // Scripts that say nothing of themselves may do what does not write: apply refuses the rest.
        let may_write = || self.may_change(command, args) && !self.runs_silent_script(command, args);
        if (writes || runs()) && self.node.lacks_replicas() && (writes || may_write()) {
            return Some(self.refuse_or_abort(command, &CommandError::NOREPLICAS));
        }
        // Elsewhere apply refuses it, as the leader says.
        let may_need_memory = self.queue.is_some() && command.flags.contains(Flags::DENYOOM);
        if may_need_memory && self.node.replica.memory_is_short() {
            return Some(self.refuse_or_abort(command, &CommandError::OOM));
        }
        None
    }

    /// Answers a command that nothing refuses, or hands it on.
    fn carry_out(&mut self, command: &'static Command, args: &[&[u8]]) -> Dispatch {
        match command.name {
            "multi" | "discard" | "exec" | "unwatch" => self.at_hand = Some((command, Vec::new())),
            "select" => self.at_hand = Some((command, owned(args))),
            _ => {}
        }
        let dispatched = match command.handler {
            Handler::ReadOrWait { waits, .. } if waits(args) => self.write(args),
            Handler::Write(_) => self.write(args),
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
        dispatched
    }

    /// CLIENT CACHING holds for the next command, or the next transaction.
    fn end_caching(&self, command: &Command) {
        if self.queue.is_none() && command.name != "client|caching" {
            self.caching_is_over();
        }
    }

    fn caching_is_over(&self) {
        if let Some(tracked) = &*self.connection.tracked.borrow() {
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
        self.refuse_or_abort(command, &error)
    }

    /// Whether CLIENT PAUSE WRITE means this command.
    fn may_change(&self, command: &Command, args: &[&[u8]]) -> bool {
        match command.name {
            "exec" => self.queue.as_ref().is_some_and(|queue| queue.writes),
            _ => self.node.replica.with_keyspace(|k| k.may_change(command, args)),
        }
    }

    fn runs_silent_script(&self, command: &Command, args: &[&[u8]]) -> bool {
        self.node.replica.with_keyspace(|k| k.runs_silent_script(command, args))
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

    /// Hands on what [`Dispatch::Large`] was said of: a transaction, a command within one, or a write.
    pub(crate) async fn hand_on_large(&mut self, args: &[&[u8]]) {
        let replica = &self.node.replica;
        match (self.large.take(), &mut self.queue) {
            (Some(transaction), _) => replica.transaction_large(&self.client, transaction).await,
            (None, Some(queue)) => queue.transaction.command_large(queue.db, args).await,
            (None, None) => replica.write_large(&self.client, self.connection.db.get(), args).await,
        }
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
        if is_planted(Bug::TrackedAtArrival) && c.tracked.borrow().is_some() {
            self.node.tracking.register(c, command, args, 0);
        }
        self.enter(lane);
        match lane {
            Lane::Writes => self.node.replica.read_behind_writes(&self.client, db, args),
            Lane::Reads => self.node.replica.read(&self.client, db, args),
        }
        Dispatch::Done
    }

    /// A read of a READONLY connection: this node's own state, which holds everything that the connection has
    /// written or read (session-reads).
    fn read_here(&self, command: &Command, args: &[&[u8]]) -> Dispatch {
        let (seed, c) = (self.node.replica.seed(), self.connection.clone());
        c.begin_command();
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
            c.finish_command();
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
        c.begin_command();
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
        match &mut self.queue {
            Some(queue) => queue.broken = true,
            None => self.caching_is_over(),
        }
        self.count_rejected();
        let error = error.clone();
        self.in_order(move |_, reply| reply.error(&error));
        Dispatch::Done
    }

    /// A refused EXEC takes its transaction with it.
    fn refuse_or_abort(&mut self, command: &Command, error: &CommandError) -> Dispatch {
        if command.name == "exec" { self.refuse_exec(error) } else { self.refuse(error) }
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
            "reset" if self.connection.subscriptions.borrow().len_of_all() > 0 => Dispatch::WhenLeft,
            "reset" => {
                let begun = self.node.stats.restart();
                self.queue = None;
                self.forget_watches();
                self.node.stats.monitors.remove(&self.connection);
                self.node.tracking.end(&self.connection);
                commands::reset(self);
                let place = Place::Client;
                let metered = Metered { begun, command, args, place, error: None, sleep_ms: 0 };
                self.node.stats.ended(&self.connection, &metered);
                Dispatch::Done
            }
            _ => match commands::action(command, self, args) {
                Action::Done => Dispatch::Done,
                Action::Look(work) => Dispatch::Async(work),
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

/// AUTH, and HELLO with it.
fn authenticates(command: &Command, args: &[&[u8]]) -> bool {
    let says_auth = || args.iter().skip(1).any(|word| word.eq_ignore_ascii_case(b"auth"));
    command.name == "auth" || command.name == "hello" && says_auth()
}

/// What neither depends on data nor changes anything, while not even the password is known.
fn runs_while_loading(command: &Command, args: &[&[u8]]) -> bool {
    let lists_nodes = args.get(2).is_some_and(|word| word.eq_ignore_ascii_case(b"list"));
    matches!(command.name, "info" | "quit" | "reset" | "quorate|status" | "role")
        || (command.name == "quorate|node" && lists_nodes)
        || (command.name == "hello" && !authenticates(command, args))
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
