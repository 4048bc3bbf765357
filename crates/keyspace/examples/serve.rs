//! A keyspace behind a TCP port, without log, cluster or session: `cargo run -p quorate-keyspace --example serve -- PORT`.
//!
//! What commands answer can so be compared with a real Redis at the speed of a unit test: `tests/compat/differential`.
//! Every write is an entry of its own. Beside the commands of the table it knows HELLO, SELECT, QUIT, `CONFIG SET` of what
//! the cluster configures, and PSUBSCRIBE, which means all keyspace notifications whatever its pattern.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool for tests: its sockets, threads and clock are real"
)]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use quorate_keyspace::{
    CommandError, Events, Host, Interest, Keyspace, News, ReadOutcome, Release, Reply, WaiterId,
    batch::{BatchBuilder, Header, SEMANTICS},
    command::{self, Handler},
};
use quorate_resp::{Decoder, Limits, Protocol};

const TERM: u64 = 1;
/// Scripts may nest deeply, and a build without optimisation needs more room for it.
const STACK_BYTES: usize = 64 << 20;

/// The keyspace, the seed of its last entry, and who hears of events.
struct State {
    keyspace: Keyspace,
    seed: u64,
    subscribers: Vec<TcpStream>,
}

/// What one connection has chosen.
struct Connection {
    db: usize,
    protocol: Protocol,
}

/// Takes the reply to the only command of an entry.
struct Origin<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
    /// The command waits for a key.
    waits: Option<WaiterId>,
}

impl Host for Origin<'_> {
    fn reply(&mut self, _: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(self.out, self.protocol));
    }

    fn waits(&mut self, _: usize, waiter: WaiterId, _: u64) {
        self.waits = Some(waiter);
    }
}

/// Takes the reply to a command that waits no longer.
struct Impatient<'a>(&'a mut Vec<u8>, Protocol);

impl Host for Impatient<'_> {
    fn answer_waiter(&mut self, _: WaiterId, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        run(&mut Reply::new(self.0, self.1));
    }
}

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let mut state = State { keyspace: Keyspace::new(16), seed: 0, subscribers: Vec::new() };
    state.apply(0, &[b"\0bootstrap", &[1; 16], &[2; 16]], Protocol::Resp2, &mut Vec::new());
    let state = Arc::new(Mutex::new(state));
    println!("ready");
    for stream in listener.incoming().flatten() {
        let state = Arc::clone(&state);
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn(move || serve(stream, &state)).expect("a thread starts");
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { db: 0, protocol: Protocol::Resp2 };
    let mut decoder = Decoder::new(Limits::default());
    let mut bytes = vec![0; 1 << 16];
    let mut out = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        decoder.feed(&bytes[..read]);
        while let Ok(Some(request)) = decoder.next() {
            let args: Vec<&[u8]> = request.iter().collect();
            let mut state = state.lock().expect("nobody panics");
            if args[0].eq_ignore_ascii_case(b"psubscribe") {
                state.subscribers.extend(stream.try_clone());
                state.keyspace.set_interest(Interest { messages: true, keys: false });
            }
            state.answer(&mut connection, &args, &mut out);
        }
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

impl State {
    fn answer(&mut self, connection: &mut Connection, args: &[&[u8]], out: &mut Vec<u8>) {
        let name = args[0].to_ascii_lowercase();
        match (&name[..], args) {
            (b"hello", [_, version, ..]) => {
                connection.protocol = if *version == b"3" { Protocol::Resp3 } else { Protocol::Resp2 };
                Reply::new(out, connection.protocol).map(0);
            }
            (b"select", [_, db]) => {
                connection.db = std::str::from_utf8(db).ok().and_then(|db| db.parse().ok()).unwrap_or(0);
                Reply::new(out, connection.protocol).ok();
            }
            (b"psubscribe", [_, pattern]) => {
                let mut reply = Reply::new(out, connection.protocol);
                reply.array(3);
                reply.bulk(&name);
                reply.bulk(pattern);
                reply.int(1);
            }
            (b"config", [_, _, name, value]) => {
                let name = [b"config.", &name.to_ascii_lowercase()[..]].concat();
                self.apply(0, &[b"\0directory.set", &name, value], connection.protocol, out);
            }
            _ => self.command(connection, args, out),
        }
    }

    fn command(&mut self, connection: &Connection, args: &[&[u8]], out: &mut Vec<u8>) {
        let command = match command::resolve(args) {
            Ok(command) => command,
            Err(error) => return Reply::new(out, connection.protocol).error(&error),
        };
        match command.handler {
            Handler::Write(_) => self.apply(connection.db, args, connection.protocol, out),
            Handler::ReadOrWait { waits, .. } if waits(args) => {
                self.apply(connection.db, args, connection.protocol, out)
            }
            Handler::Read(_) | Handler::ReadOrWait { .. } | Handler::Connection(_) => loop {
                let mut reply = Reply::new(out, connection.protocol);
                let (now_ms, seed) = (now_ms(), self.seed);
                match self.keyspace.read(connection.db, args, now_ms, seed, &mut reply) {
                    ReadOutcome::Done => return,
                    ReadOutcome::NeedsTime(_) => self.entry(BatchBuilder::new(), connection.protocol, out),
                }
            },
            Handler::Session | Handler::Aside(_) | Handler::Container => Reply::new(out, connection.protocol)
                .error(&CommandError::fixed("ERR this command needs a session")),
        }
    }

    fn apply(&mut self, db: usize, args: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>) {
        let mut batch = BatchBuilder::new();
        batch.command(db, args);
        self.entry(batch, protocol, out);
    }

    fn entry(&mut self, batch: BatchBuilder, protocol: Protocol, out: &mut Vec<u8>) {
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let header = Header {
            semantics: SEMANTICS,
            time_ms: now_ms(),
            seed: self.seed,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 0,
            origin_seq: self.keyspace.origin(1).map_or(1, |origin| origin.seq + 1),
            memory_short: false,
            few_replicas: false,
        };
        let payload = batch.finish(&header);
        let index = self.keyspace.index() + 1;
        let mut origin = Origin { out, protocol, waits: None };
        self.keyspace.apply(index, TERM, &payload, &mut origin);
        if let Some(waiter) = origin.waits {
            // There is no clock here: whatever the time to wait, it is over.
            let mut batch = BatchBuilder::new();
            batch.command(0, &[b"\0unblock", &waiter.to_bytes(), Release::Timeout.word()]);
            let payload = batch.finish(&Header { origin_seq: header.origin_seq + 1, ..header });
            self.keyspace.apply(index + 1, TERM, &payload, &mut Impatient(out, protocol));
        }
        while self.keyspace.take_garbage(1000) {}
        self.tell_subscribers();
    }

    fn tell_subscribers(&mut self) {
        for news in self.keyspace.take_news() {
            let News::Event { db, event, key, on } = news else { continue };
            let of_key = [format!("__keyspace@{db}__:").as_bytes(), &key].concat();
            let of_event = format!("__keyevent@{db}__:{event}").into_bytes();
            let channels = [(Events::KEYSPACE, of_key, event.as_bytes()), (Events::KEYEVENT, of_event, &key)];
            for (_, channel, message) in channels.iter().filter(|(kind, ..)| on.contains(*kind)) {
                let mut out = Vec::new();
                let mut reply = Reply::new(&mut out, Protocol::Resp2);
                reply.array(4);
                [b"pmessage", &b"*"[..], channel, message].iter().for_each(|part| reply.bulk(part));
                // Who is gone hears nothing.
                self.subscribers.retain_mut(|subscriber| subscriber.write_all(&out).is_ok());
            }
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before the year 500 million")
}
