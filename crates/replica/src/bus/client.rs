//! The calling side of the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quorate_env::{Env, Instant, Stream, timeout};
use quorate_keyspace::batch;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::frame::{MESSAGE_BYTES_MAX, MessageReader, MessageWriter};
use super::{Class, Denied, Hello, MAGIC, PROTOCOL_VERSION, Request, Response, handshake};
use crate::identity::{Identity, Run};
use crate::machine::Event;
use crate::secret::Secret;
use crate::storage::{decode, encode};
use crate::types::{Member, NodeId};

/// How long connecting and greeting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a link waits after a failed attempt before it tries again; calls meanwhile fail at once.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// For how long after its last request a member is told at once of what is committed.
const WAITING: Duration = Duration::from_millis(100);
/// A control connection on which callers gave up and nothing is heard for so long is remade.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// How many control requests may wait for one peer.
const CALLS_MAX: usize = 1024;

/// A greeted connection.
pub(crate) struct Connection {
    pub(crate) reader: MessageReader<ReadHalf<Stream>>,
    pub(crate) writer: MessageWriter<WriteHalf<Stream>>,
    /// Which run of the other node this is.
    pub(crate) run: Run,
}

/// Who this node is when it calls.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) env: Env,
    pub(crate) identity: Arc<Identity>,
    pub(crate) secret: Secret,
}

impl Dialer {
    fn hello(&self, to: NodeId, class: Class) -> Hello {
        Hello {
            magic: MAGIC,
            version: PROTOCOL_VERSION,
            cluster: self.identity.cluster(),
            from: self.identity.node_id(),
            to,
            class,
            nonce: handshake::nonce(&*self.env.random),
        }
    }

    /// Connects to `addr` and greets; each side checks that the other is who the membership says (R5).
    pub(crate) async fn dial(&self, to: NodeId, addr: &str, class: Class) -> io::Result<Connection> {
        let attempt = self.greet(addr, self.hello(to, class));
        timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn greet(&self, addr: &str, hello: Hello) -> io::Result<Connection> {
        let mut stream = self.env.net.connect_with(addr, hello.class.liveness()).await?;
        let credentials = || self.identity.credentials();
        let it = match handshake::call(&mut stream, &self.secret, &hello, credentials).await? {
            Ok(it) => it,
            Err(refusal) => {
                if refusal.distrust {
                    self.identity.set_distrusted();
                }
                return Err(Denied::proven(refusal.why));
            }
        };
        self.identity.check(hello.to, &it).map_err(|refusal| Denied::proven(refusal.why))?;
        let (r, w) = tokio::io::split(stream);
        Ok(Connection {
            reader: MessageReader::new(r, MESSAGE_BYTES_MAX),
            writer: MessageWriter::new(w),
            run: (it.start, it.nonce),
        })
    }
}

/// The other members and the connections to them. Shared by all of consensus.
#[derive(Clone)]
pub(crate) struct Peers {
    dialer: Dialer,
    links: Arc<Mutex<BTreeMap<NodeId, Peer>>>,
}

#[derive(Clone)]
struct Peer {
    addr: Arc<Mutex<String>>,
    control: Rpc,
    /// When it last sent something here whose outcome it learns from the log (nanoseconds of `env`'s clock).
    waits_since: Arc<AtomicU64>,
    /// Nobody listens at its address: its process has ended.
    is_down: Arc<AtomicBool>,
}

impl Peers {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, links: Arc::default() }
    }

    /// Who this node is, and what it knows of the others.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.dialer.identity
    }

    /// The present address of a member; connections made from now on use it.
    pub(crate) fn set_addr(&self, id: NodeId, member: &Member) {
        let mut links = self.links.lock().expect("not poisoned");
        match links.get(&id) {
            Some(peer) => member.bus.clone_into(&mut peer.addr.lock().expect("not poisoned")),
            None => {
                let addr = Arc::new(Mutex::new(member.bus.clone()));
                let is_down = Arc::<AtomicBool>::default();
                let control = Rpc::start(self.dialer.clone(), id, addr.clone(), is_down.clone());
                links.insert(id, Peer { addr, control, waits_since: Arc::default(), is_down });
            }
        }
    }

    /// Notes that a member waits for what this node commits: a forwarded batch, a read.
    pub(crate) fn note_waiting(&self, id: NodeId) {
        if let Ok(peer) = self.peer(id) {
            peer.waits_since.store(Instant::now().as_nanos(), Ordering::Relaxed);
        }
    }

    /// Whether a member has lately waited for what this node commits.
    pub(crate) fn is_waiting(&self, id: NodeId) -> bool {
        let since = self.peer(id).map_or(0, |p| p.waits_since.load(Ordering::Relaxed));
        since > 0 && Instant::from_nanos(since).elapsed() < WAITING
    }

    /// The members whose machines answered, when last asked, that nobody listens there.
    pub(crate) fn down(&self) -> BTreeSet<NodeId> {
        let links = self.links.lock().expect("not poisoned");
        let down = links.iter().filter(|(_, peer)| peer.is_down.load(Ordering::Relaxed));
        down.map(|(id, _)| *id).collect()
    }

    /// Forgets everybody who is not in `members`.
    pub(crate) fn retain(&self, members: &BTreeMap<NodeId, Member>) {
        self.links.lock().expect("not poisoned").retain(|id, _| members.contains_key(id));
    }

    /// The other members.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.links.lock().expect("not poisoned").keys().copied().collect()
    }

    fn peer(&self, id: NodeId) -> io::Result<Peer> {
        let links = self.links.lock().expect("not poisoned");
        links.get(&id).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not a member"))
    }

    /// Sends a control request and waits for its answer.
    pub(crate) async fn call(&self, to: NodeId, request: Request, limit: Duration) -> io::Result<Response> {
        let control = self.peer(to)?.control;
        let term = match &request {
            Request::Heartbeat(request) => request.vote.leader_id().term,
            _ => 0,
        };
        timeout(limit, control.call(encode(&request), term)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Opens a connection of its own.
    pub(crate) async fn dial(&self, to: NodeId, class: Class) -> io::Result<Connection> {
        let addr = self.peer(to)?.addr.lock().expect("not poisoned").clone();
        self.dialer.dial(to, &addr, class).await
    }
}

/// A control request on its way.
struct Call {
    request: Bytes,
    /// Of the leader whose log the answer may acknowledge; 0 if it is about something else.
    term: u64,
    answer: oneshot::Sender<io::Result<Response>>,
}

/// The control connection to one peer, remade when it breaks. Answers may come in any order.
#[derive(Clone)]
struct Rpc {
    calls: mpsc::Sender<Call>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rpc {
    fn start(dialer: Dialer, to: NodeId, addr: Arc<Mutex<String>>, is_down: Arc<AtomicBool>) -> Self {
        let (tx, rx) = mpsc::channel(CALLS_MAX);
        let task = tokio::spawn(run_rpc(dialer, to, addr, is_down, rx));
        Self { calls: tx, _task: Arc::new(AbortOnDrop(task.abort_handle())) }
    }

    async fn call(&self, request: Bytes, term: u64) -> io::Result<Response> {
        let (answer, rx) = oneshot::channel();
        let busy = |_| io::Error::new(io::ErrorKind::WouldBlock, "too many requests wait for this peer");
        self.calls.try_send(Call { request, term, answer }).map_err(busy)?;
        rx.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?
    }
}

async fn run_rpc(
    dialer: Dialer,
    to: NodeId,
    addr: Arc<Mutex<String>>,
    is_down: Arc<AtomicBool>,
    mut calls: mpsc::Receiver<Call>,
) {
    let mut refused = String::new();
    while let Some(first) = calls.recv().await {
        let target = addr.lock().expect("not poisoned").clone();
        match dialer.dial(to, &target, Class::Control).await {
            Ok(connection) => {
                is_down.store(false, Ordering::Relaxed);
                refused.clear();
                let run = connection.run;
                let note = |term: u64, answer: &Response| match answer {
                    Response::Append(Ok(Some(last))) => {
                        dialer.identity.note_acknowledged(term, to, run, last.index)
                    }
                    _ => dialer.identity.check_run(to, run),
                };
                let error = run_connection(connection, first, &mut calls, note).await;
                tracing::debug!(peer = to, %error, "control connection ended");
            }
            Err(error) => {
                is_down.store(error.kind() == io::ErrorKind::ConnectionRefused, Ordering::Relaxed);
                report_refusal(to, &target, &error, &mut refused);
                let _ = first.answer.send(Err(error));
                let pause = quorate_env::sleep(RECONNECT_PAUSE);
                tokio::pin!(pause);
                // Who calls during the pause learns at once that the peer is not there.
                loop {
                    tokio::select! {
                        biased;
                        () = &mut pause => break,
                        call = calls.recv() => match call {
                            Some(c) => drop(c.answer.send(Err(io::ErrorKind::NotConnected.into()))),
                            None => return,
                        },
                    }
                }
            }
        }
    }
}

/// Tells the operator once why a peer does not let this node in.
fn report_refusal(to: NodeId, addr: &str, error: &io::Error, last: &mut String) {
    let text = error.to_string();
    if Denied::is(error) && *last != text {
        tracing::warn!(peer = to, addr, "refused by the peer: {text}");
        *last = text;
    }
}

/// `note` takes each answer, and the term of the leader whose log it may acknowledge, before the caller does; its error ends
/// the connection.
async fn run_connection(
    c: Connection,
    first: Call,
    calls: &mut mpsc::Receiver<Call>,
    note: impl Fn(u64, &Response) -> Result<(), String>,
) -> io::Error {
    let Connection { mut reader, mut writer, .. } = c;
    let mut waiting: BTreeMap<u64, (u64, oneshot::Sender<io::Result<Response>>)> = BTreeMap::new();
    let mut next = 0u64;
    let mut send = Some(first);
    let mut heard = Instant::now();
    loop {
        if let Some(call) = send.take() {
            if waiting.is_empty() {
                heard = Instant::now();
            }
            next += 1;
            writer.push(&[&next.to_le_bytes(), &call.request]);
            waiting.insert(next, (call.term, call.answer));
            // Callers that gave up leave their entry behind: the answer or the end of the link clears it.
            match timeout(SILENCE_MAX, writer.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return e,
                Err(_) => return io::ErrorKind::TimedOut.into(),
            }
        }
        let silence = quorate_env::sleep_until(heard + SILENCE_MAX);
        tokio::select! {
            biased;
            message = reader.next() => match message {
                Ok(Some(m)) if m.len() >= 8 => {
                    heard = Instant::now();
                    let id = u64::from_le_bytes(m[..8].try_into().expect("eight bytes"));
                    match decode(&m[8..]) {
                        Ok(answer) => if let Some((term, tx)) = waiting.remove(&id) {
                            if let Err(why) = note(term, &answer) {
                                return io::Error::other(why);
                            }
                            let _ = tx.send(Ok(answer));
                        },
                        Err(e) => return e,
                    }
                }
                Ok(_) => return io::ErrorKind::UnexpectedEof.into(),
                Err(e) => return e,
            },
            // TCP would not notice for minutes that nobody is there; callers that gave up do.
            () = silence, if !waiting.is_empty() => {
                if waiting.values().any(|(_, tx)| tx.is_closed()) {
                    return io::ErrorKind::TimedOut.into();
                }
                heard = Instant::now();
            }
            call = calls.recv() => match call {
                Some(c) => send = Some(c),
                None => return io::ErrorKind::Interrupted.into(),
            },
        }
    }
}

/// Carries batches to the leader, in order, over one connection per leader.
///
/// Nothing is acknowledged here: the origin sees its batch in the log. What the leader refuses comes back.
pub(crate) struct Forwarder {
    tx: mpsc::UnboundedSender<Bytes>,
    task: AbortHandle,
}

impl Forwarder {
    /// `on_event` hears when the way is open ([`Event::Way`]), when it breaks, and what the leader refuses.
    pub(crate) fn start(
        peers: Peers,
        target: NodeId,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        let task = tokio::spawn(run_forwarder(peers, target, rx, on_event)).abort_handle();
        Self { tx, task }
    }

    /// Sends a batch after those before it. Only while the way is open; the origin bounds how many are on it.
    pub(crate) fn send(&self, batch: Bytes) {
        let _ = self.tx.send(batch);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run_forwarder(
    peers: Peers,
    to: NodeId,
    mut batches: mpsc::UnboundedReceiver<Bytes>,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) {
    loop {
        match peers.dial(to, Class::Forward).await {
            Ok(c) => {
                on_event(Event::Way { open: true });
                let error = forward_over(c, &mut batches, &on_event).await;
                on_event(Event::Way { open: false });
                tracing::debug!(peer = to, %error, "forward connection ended");
            }
            Err(error) => tracing::debug!(peer = to, %error, "cannot reach the leader"),
        }
        quorate_env::sleep(RECONNECT_PAUSE).await;
        while batches.try_recv().is_ok() {}
    }
}

async fn forward_over(
    c: Connection,
    batches: &mut mpsc::UnboundedReceiver<Bytes>,
    on_event: &(impl Fn(Event) + Send),
) -> io::Error {
    let Connection { mut reader, mut writer, .. } = c;
    loop {
        tokio::select! {
            biased;
            message = reader.next() => match message {
                Ok(Some(header)) => match batch::parse_header(&header) {
                    Ok(header) => on_event(Event::Refused(header)),
                    Err(_) => return io::ErrorKind::InvalidData.into(),
                },
                Ok(None) => return io::ErrorKind::UnexpectedEof.into(),
                Err(e) => return e,
            },
            batch = batches.recv() => {
                let mut next = batch;
                if next.is_none() {
                    return io::ErrorKind::Interrupted.into();
                }
                while let Some(batch) = next {
                    writer.push_shared(vec![batch]);
                    next = batches.try_recv().ok();
                }
                if let Err(e) = writer.flush().await {
                    return e;
                }
            }
        }
    }
}

/// One request to a node whose id is not known, over a connection of its own.
pub(crate) async fn join_rpc(dialer: &Dialer, addr: &str, request: Request) -> io::Result<Response> {
    let mut c = match dialer.dial(0, addr, Class::Join).await {
        Err(error) if Denied::is(&error) => {
            return Ok(Response::Refused(format!("refused by {addr}: {error}")));
        }
        connection => connection?,
    };
    // The only request on its connection.
    c.writer.push(&[&1u64.to_le_bytes(), &encode(&request)]);
    c.writer.flush().await?;
    let m =
        timeout(Duration::from_secs(30), c.reader.next()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let m = m.ok_or(io::ErrorKind::UnexpectedEof)?;
    decode(m.get(8..).unwrap_or_default())
}
