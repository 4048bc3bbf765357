//! Drives one connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use quorate_env::budget::STEP_BYTES;
use quorate_env::clock;
use quorate_keyspace::Release;
use quorate_resp::Decoder;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::connection::Connection;
use crate::dispatch::{Dispatch, State};
use crate::incoming::{Incoming, LOOK, NO_MEMORY, Verdict};
use crate::node::Node;
use crate::outgoing::{Ahead, OUTPUT_SOFT_BYTES, drain, flush, may_answer, rest, stir};

/// Commands of one connection under way at the most.
const PENDING_MAX: usize = 16 << 10;
/// Reads are under way only behind so few commands: their answers may be large, and nobody knows before.
pub(crate) const READS_PENDING_MAX: usize = 64;
/// Bytes of commands of one connection under way at the most; one command of any size may be.
const PENDING_BYTES_MAX: usize = 32 << 20;
/// How many commands may be under way is such that, by the largest recent answer, about this much comes back.
const WINDOW_BYTES: usize = 16 << 20;
/// Before anything is known about the size of answers.
const FIRST_WINDOW: usize = 16;
/// While a command takes its time, so many bytes of the next ones are read, to notice that a client goes away.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// One connection. See the crate's documentation.
pub struct Session<S> {
    stream: S,
    decoder: Decoder,
    state: State,
}

/// Takes the connection out of the registry however its session ends.
struct Registered(Rc<Node>, Rc<Connection>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.1.closing.set(true);
        release(&self.0, &self.1);
        self.0.closed(&self.1);
    }
}

/// The client does not wait for a key any more.
fn release(node: &Node, connection: &Connection) {
    if let Some(blocked) = connection.blocked.get() {
        node.replica.release(blocked.waiter, Release::Timeout);
    }
}

/// What became of the commands that have arrived.
enum Taken {
    /// All of them were taken, so more bytes are wanted.
    All,
    /// Answers must come back or be written before more are taken.
    Enough,
    /// The next one waits until CLIENT PAUSE ends.
    Paused(Vec<Vec<u8>>),
    /// The last one takes time.
    Slow(Pin<Box<dyn Future<Output = ()>>>),
    /// The last one may wait for a key.
    Blocked,
}

/// How a command went.
enum Carried {
    Done,
    Paused,
    Slow(Pin<Box<dyn Future<Output = ()>>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session for a connection that was just accepted.
    pub fn new(stream: S, node: Rc<Node>, addr: String, local_addr: String) -> Self {
        let connection = node.open(addr, local_addr);
        let decoder = Decoder::new(node.limits(&connection));
        Self { stream, decoder, state: State::new(node, connection) }
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) {
        let registered = Registered(self.state.node.clone(), self.state.connection.clone());
        if let Err(error) = self.serve().await {
            tracing::debug!(client = registered.1.id, %error, "connection ended");
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let Self { stream, decoder, state } = self;
        let connection = state.connection.clone();
        let mut window = FIRST_WINDOW;
        let mut postponed = None;
        let mut incoming = Incoming::new(state.node.replica.memory());
        let mut ahead = Ahead::new(state.node.replica.memory());
        loop {
            decoder.set_limits(state.node.limits(&connection));
            let taken =
                take_commands(stream, decoder, state, window, postponed.take(), &mut incoming).await?;
            let starved = match taken {
                Taken::All => true,
                Taken::Enough => false,
                Taken::Paused(args) => {
                    let node = state.node.clone();
                    let gone = connection.clone();
                    let resumed = async move {
                        tokio::select! {
                            biased;
                            () = node.resumed() => {}
                            () = gone.gone.notified() => {}
                        }
                    };
                    attend(stream, decoder, &connection, Box::pin(resumed)).await?;
                    if connection.ended.get() || connection.closing.get() {
                        return drain(stream, &connection).await;
                    }
                    postponed = Some(args);
                    continue;
                }
                Taken::Slow(work) => {
                    attend(stream, decoder, &connection, work).await?;
                    continue;
                }
                Taken::Blocked => {
                    if !until_answered(stream, decoder, &connection).await? {
                        release(&state.node, &connection);
                        // What was answered before it may still be read.
                        return drain(stream, &connection).await;
                    }
                    continue;
                }
            };
            flush(stream, &connection).await?;
            if connection.closing.get() || connection.quit.get() {
                drain(stream, &connection).await?;
                return stream.shutdown().await;
            }
            if starved && connection.ended.get() {
                // The client has sent everything, and may still read.
                idle(stream, &connection).await?;
                drain(stream, &connection).await?;
                return stream.shutdown().await;
            }
            if connection.pending.get() == 0 {
                // What was large lately is expected again, less and less.
                let largest = connection.largest_answer.get().max(1);
                connection.largest_answer.set(largest / 2);
                window = (WINDOW_BYTES / largest).clamp(1, PENDING_MAX);
            }
            if connection.rests.take() {
                decoder.rest();
                rest(&connection);
            }
            connection.buffered.set(decoder.buffered_bytes());
            connection.held.input.set(decoder.allocated_bytes());
            connection.settle(connection.output_bytes());
            if starved {
                let patience = state.node.config.write_timeout();
                let queued = state.queued_bytes();
                let verdict = incoming.admit(decoder, &connection, queued, patience).await;
                if verdict == Verdict::Refused {
                    if decoder.skip() {
                        state.refuse(&NO_MEMORY);
                    }
                    state.give_up_queued();
                    incoming.settle(0);
                    state.node.counters.overloaded.set(state.node.counters.overloaded.get() + 1);
                    continue;
                }
            }
            // Commands that were not taken yet wait for answers, not for more bytes, unless their client wants to send all of
            // them before it reads.
            let wants_more = starved || ahead.may_read(&connection, decoder);
            if starved {
                ahead.settle();
            }
            let large = incoming.is_large();
            tokio::select! {
                biased;
                read = stir(stream, &connection, wants_more.then_some(&mut *decoder)) => received(&connection, read?),
                // To see whether it comes fast enough.
                () = clock::sleep(LOOK), if large => {}
            }
        }
    }
}

/// Takes note of bytes that have arrived; none is the end of what the client sends.
fn received(connection: &Connection, n: Option<usize>) {
    let Some(n) = n else { return };
    if n == 0 {
        connection.ended.set(true);
        connection.gone.notify_one();
    }
    connection.bytes_in.set(connection.bytes_in.get() + n as u64);
    connection.last_active.set(clock::Instant::now());
}

/// Takes the commands that have arrived, after the one that had to be postponed.
async fn take_commands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    state: &mut State,
    window: usize,
    postponed: Option<Vec<Vec<u8>>>,
    incoming: &mut Incoming,
) -> io::Result<Taken> {
    let connection = state.connection.clone();
    if let Some(owned) = postponed {
        let args: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
        let carried = carry_out(stream, state, &args).await?;
        match carried {
            Carried::Done if connection.may_block.get() => return Ok(Taken::Blocked),
            Carried::Done => {}
            Carried::Paused => return Ok(Taken::Paused(owned)),
            Carried::Slow(work) => return Ok(Taken::Slow(work)),
        }
    }
    let mut taken = 0;
    loop {
        if connection.closing.get() || connection.quit.get() {
            return Ok(Taken::Enough);
        }
        if connection.output_bytes() > OUTPUT_SOFT_BYTES {
            flush(stream, &connection).await?;
            if !may_answer(&connection, state.node.replica.memory()) {
                return Ok(Taken::Enough);
            }
        }
        if connection.pending.get() >= window || connection.pending_bytes.get() > PENDING_BYTES_MAX {
            return Ok(Taken::Enough);
        }
        let request = match decoder.next() {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(Taken::All),
            Err(error) => {
                idle(stream, &connection).await?;
                state.protocol_error(&error.to_string());
                return Ok(Taken::Enough);
            }
        };
        let args: SmallVec<[&[u8]; 8]> = request.iter().collect();
        match carry_out(stream, state, &args).await? {
            Carried::Done => {}
            Carried::Paused => return Ok(Taken::Paused(args.iter().map(|a| a.to_vec()).collect())),
            Carried::Slow(work) => return Ok(Taken::Slow(work)),
        }
        if connection.pending.get() > 0 {
            connection.pending_bytes.set(connection.pending_bytes.get() + request.wire_bytes());
        }
        let bytes = request.wire_bytes();
        drop(args);
        if bytes >= STEP_BYTES {
            // It is in a batch now; the next one may be long in coming.
            decoder.release();
            incoming.settle(state.queued_bytes());
        }
        taken += bytes;
        if taken >= STEP_BYTES {
            // A client that sends without end keeps the thread to itself otherwise: reading and writing are rarely a wait.
            taken = 0;
            tokio::task::yield_now().await;
        }
        if connection.may_block.get() {
            return Ok(Taken::Blocked);
        }
        if state.limits_changed() {
            let limits = state.node.limits(&connection);
            decoder.set_limits(limits);
        }
    }
}

/// Dispatches a command, once or, when it must wait for what is under way, again.
async fn carry_out<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &mut State,
    args: &[&[u8]],
) -> io::Result<Carried> {
    loop {
        match state.dispatch(args) {
            Dispatch::Done => return Ok(Carried::Done),
            Dispatch::Large => {
                state.hand_on_large(args).await;
                return Ok(Carried::Done);
            }
            Dispatch::WhenIdle => {
                let connection = state.connection.clone();
                idle(stream, &connection).await?;
                if connection.closing.get() {
                    return Ok(Carried::Done);
                }
            }
            Dispatch::WhenFewer => {
                let connection = state.connection.clone();
                until_pending(stream, &connection, READS_PENDING_MAX / 2).await?;
                if connection.closing.get() {
                    return Ok(Carried::Done);
                }
            }
            Dispatch::WhenLeft => {
                let connection = state.connection.clone();
                while state.node.channels.leave_some(&connection) {
                    flush(stream, &connection).await?;
                    if connection.closing.get() {
                        return Ok(Carried::Done);
                    }
                    tokio::task::yield_now().await;
                }
            }
            Dispatch::WhenResumed => return Ok(Carried::Paused),
            Dispatch::Async(work) => return Ok(Carried::Slow(work)),
        }
    }
}

/// Waits for `work`, writes answers meanwhile, and notices when the client goes away or is killed.
async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    connection: &Connection,
    mut work: Pin<Box<dyn Future<Output = ()>>>,
) -> io::Result<()> {
    connection.is_waiting.set(true);
    let result = wait_for(stream, decoder, connection, &mut work).await;
    connection.is_waiting.set(false);
    result
}

async fn wait_for<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    connection: &Connection,
    work: &mut (dyn Future<Output = ()> + Unpin),
) -> io::Result<()> {
    loop {
        flush(stream, connection).await?;
        if connection.closing.get() {
            return Ok(());
        }
        let room = !connection.ended.get() && decoder.buffered_bytes() < READ_AHEAD_BYTES;
        tokio::select! {
            biased;
            () = &mut *work => return Ok(()),
            read = stir(stream, connection, room.then_some(&mut *decoder)) => received(connection, read?),
        }
    }
}

/// Waits until a command that may wait for a key is answered, and notices when its client goes away or is killed. False:
/// the client is gone while it waited.
async fn until_answered<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    connection: &Connection,
) -> io::Result<bool> {
    while connection.pending.get() > 0 && !connection.closing.get() {
        flush(stream, connection).await?;
        if connection.ended.get() && connection.blocked.get().is_some() {
            return Ok(false);
        }
        let room = !connection.ended.get() && decoder.buffered_bytes() < READ_AHEAD_BYTES;
        received(connection, stir(stream, connection, room.then_some(&mut *decoder)).await?);
    }
    connection.may_block.set(false);
    Ok(true)
}

/// Waits until everything under way is answered, and writes the answers meanwhile.
async fn idle<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    until_pending(stream, connection, 0).await
}

/// Waits until no more than `most` commands are under way, and writes the answers meanwhile.
async fn until_pending<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    connection: &Connection,
    most: usize,
) -> io::Result<()> {
    while connection.pending.get() > most && !connection.closing.get() {
        flush(stream, connection).await?;
        stir(stream, connection, None).await?;
    }
    Ok(())
}
