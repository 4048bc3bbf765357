//! The answering side of the bus.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::EntryPayload;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::linearizable_read::LinearizerOption;
use openraft::raft::{StreamAppendResult, VoteRequest, VoteResponse};
use quorate_env::{Instant, Listener, Stream};
use quorate_keyspace::batch::HEADER_LEN;
use quorate_log::{Log, ShardId};
use quorate_planted::{Bug, is_planted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::door::{Door, Place};
use super::frame::{MESSAGE_BYTES_MAX, MessageReader, MessageWriter};
use super::handshake::{self, Heard};
use super::{
    Class, Credentials, Hello, Inbox, JOIN_BYTES_MAX, Peers, Probe, ReadIndex, Refusal, Request, Response,
    SnapshotHeader, decode_append, encode_append_reply,
};
use crate::consensus::{Clock, Handler, Proposals, matched};
use crate::identity::{Identity, Run};
use crate::secret::Secret;
use crate::snapshot::SnapshotStore;
use crate::storage::{decode, encode};
use crate::types::{NodeId, Raft, Snapshot, TypeConfig, log_id};
use crate::unsure::{Trust, standing};

/// How many answers may wait for one peer to read them.
const ANSWERS_MAX: usize = 1024;
/// How many refused nodes are remembered, for the operator.
const REFUSED_MAX: usize = 64;
/// What a leader hears from a node that could break a promise by listening to it.
const VOTE_LOST: &str = "this node has lost its vote: it takes no part before all voters have answered it";

/// What a connection from another node can reach.
pub(crate) struct Server {
    pub(crate) raft: Raft,
    pub(crate) log: Log,
    pub(crate) shard: ShardId,
    pub(crate) identity: Arc<Identity>,
    pub(crate) secret: Secret,
    /// Callers that have not proven yet that they know it.
    pub(crate) door: Arc<Door>,
    pub(crate) peers: Peers,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) proposals: Proposals,
    pub(crate) clock: Arc<Clock>,
    /// Joins and operators' requests.
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) read_option: LinearizerOption,
    /// Until then a vote would break a promise that this voter may have given before it was started (R3).
    pub(crate) votes_from: Instant,
    /// How far this node's log and vote can be trusted (R6, R8).
    pub(crate) trust: Arc<Trust>,
    /// The only voter has nobody to promise to.
    pub(crate) alone: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) probe: Arc<std::sync::Mutex<Probe>>,
    /// Where published messages go.
    pub(crate) inbox: Inbox,
    /// Why nodes were refused last, by their number.
    pub(crate) refused: std::sync::Mutex<BTreeMap<NodeId, String>>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Default)]
struct Caller {
    id: NodeId,
    run: Run,
}

/// Accepts connections of other nodes for ever.
pub(crate) async fn serve(server: Arc<Server>, mut listener: Box<dyn Listener>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let server = server.clone();
                let place = server.door.enter(from);
                tokio::spawn(async move {
                    if let Err(error) = server.connection(stream, place).await {
                        tracing::debug!(%from, %error, "bus connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the bus cannot accept a connection");
                quorate_env::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Server {
    async fn connection(self: Arc<Self>, mut stream: Stream, place: Place) -> io::Result<()> {
        let nonce = handshake::nonce(&*self.proposals.env.random);
        let Some(heard) = place.hear(&mut stream, &self.secret, nonce).await? else { return Ok(()) };
        let Heard { hello, caller, .. } = &heard;
        if let Err(refusal) = self.admit(hello, caller) {
            self.report_refusal(hello.from, &refusal.why);
            return heard.answer(&mut stream, &self.secret, Err(refusal)).await;
        }
        heard.answer(&mut stream, &self.secret, Ok(self.identity.credentials())).await?;
        let caller = Caller { id: hello.from, run: (caller.start, caller.nonce) };
        let (r, w) = tokio::io::split(stream);
        let (mut reader, writer) = (MessageReader::new(r, JOIN_BYTES_MAX), MessageWriter::new(w));
        match hello.class {
            Class::Join => self.control(Caller::default(), reader, writer).await,
            class => {
                reader.set_limit(MESSAGE_BYTES_MAX);
                // What the leader sends is needed to make room; what other nodes forward can wait.
                let can_wait = matches!(class, Class::Forward | Class::Messages);
                reader.set_budget(self.proposals.env.memory.clone(), can_wait);
                if matches!(class, Class::Log | Class::Snapshot) && !self.trust.knows_its_vote() {
                    return Err(io::Error::other(VOTE_LOST));
                }
                match class {
                    Class::Control => self.control(caller, reader, writer).await,
                    Class::Log => self.log(caller, reader, writer).await,
                    Class::Forward => self.forward(caller, reader, writer).await,
                    Class::Snapshot => self.snapshot(reader, writer).await,
                    Class::Messages => self.inbox.receive(reader, || self.check_run(caller)).await,
                    Class::Join => unreachable!("handled above"),
                }
            }
        }
    }

    /// Whether the caller is still the latest run of its folder: of one that runs twice, the other may have come (R5).
    fn check_run(&self, caller: Caller) -> io::Result<()> {
        self.identity.check_run(caller.id, caller.run).map_err(io::Error::other)
    }

    /// Tells the operator once: who is refused tries again fifty times a second.
    fn report_refusal(&self, peer: NodeId, why: &str) {
        let mut refused = self.refused.lock().expect("not poisoned");
        if refused.get(&peer).is_none_or(|last| last != why) {
            tracing::warn!(peer, "refused a node: {why}");
            // Numbers are the callers' word: they do not fill the memory.
            if refused.len() >= REFUSED_MAX {
                refused.clear();
            }
            refused.insert(peer, why.to_owned());
        }
    }

    /// Whether a caller that knows the secret may talk to this node.
    fn admit(&self, hello: &Hello, caller: &Credentials) -> Result<(), Refusal> {
        if hello.class == Class::Join {
            return Ok(());
        }
        if hello.cluster != self.identity.cluster() {
            return Err("the caller belongs to another cluster".to_owned().into());
        }
        if hello.to != self.identity.node_id() {
            return Err(format!("this is node {}, not node {}", self.identity.node_id(), hello.to).into());
        }
        self.identity.check(hello.from, caller)
    }

    async fn control<R, W>(
        self: Arc<Self>,
        from: Caller,
        mut reader: MessageReader<R>,
        mut writer: MessageWriter<W>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let (tx, mut rx) = mpsc::channel::<(u64, Response)>(ANSWERS_MAX);
        loop {
            tokio::select! {
                biased;
                answer = rx.recv() => {
                    let (id, response) = answer.expect("this function holds a sender");
                    writer.push(&[&id.to_le_bytes(), &encode(&response)]);
                    writer.flush().await?;
                }
                message = reader.next() => {
                    let Some(m) = message? else { return Ok(()) };
                    self.check_run(from)?;
                    let id = m.get(..8).ok_or(io::ErrorKind::InvalidData)?;
                    let id = u64::from_le_bytes(id.try_into().expect("eight bytes"));
                    let request = decode::<Request>(&m[8..])?;
                    // Who has no number yet was not asked which folder it runs on (R5).
                    if from.id == 0 && !matches!(request, Request::Join(_)) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    if matches!(request, Request::ReadIndex) {
                        self.peers.note_waiting(from.id);
                    }
                    let (server, tx) = (self.clone(), tx.clone());
                    tokio::spawn(async move {
                        let response = server.answer(request).await;
                        let _ = tx.send((id, response)).await;
                    });
                }
            }
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let failed = |e: &dyn std::fmt::Display| Response::Failed(e.to_string());
        let request = if is_planted(Bug::TruncateCommitted) { self.overrate(request) } else { request };
        match request {
            Request::Vote(r) if !self.may_vote(&r, r.leadership_transfer) => self.refuse().await,
            Request::PreVote(r) if !self.may_vote(&r, false) => self.refuse().await,
            Request::Heartbeat(_) | Request::Transfer(_) if !self.trust.knows_its_vote() => {
                Response::Failed(VOTE_LOST.to_owned())
            }
            Request::Vote(r) => self.raft.vote(r).await.map_or_else(|e| failed(&e), Response::Vote),
            Request::PreVote(r) => self.raft.pre_vote(r).await.map_or_else(|e| failed(&e), Response::Vote),
            Request::Heartbeat(r) => {
                let input = futures_util::stream::iter([r]);
                let mut output = std::pin::pin!(self.raft.stream_append(input));
                match output.next().await {
                    Some(Ok(result)) => Response::Append(result),
                    Some(Err(e)) => failed(&e),
                    None => failed(&"the node is stopping"),
                }
            }
            Request::Transfer(r) => {
                self.raft.handle_transfer_leader(r).await.map_or_else(|e| failed(&e), Response::Transfer)
            }
            Request::ReadIndex => match self.raft.get_read_linearizer(self.read_option.clone()).await {
                Ok(l) => Response::ReadIndex(ReadIndex {
                    index: l.read_log_id().index(),
                    now_ms: self.clock.now_ms(),
                }),
                Err(e) => failed(&e),
            },
            Request::Join(r) => self.handler.join(r.id, r.member, r.pace).await.into_response(),
            Request::Admin(a) => self.handler.admin(a).await.into_response(),
            Request::Probe => Response::Probe(self.probe()),
            Request::Sync => self.sync().await.map_or_else(|e| failed(&e), Response::Synced),
            Request::Standing => {
                let own = standing(&self.raft, self.identity.run(), self.trust.doubts());
                own.await.map_or_else(|| failed(&"the node is stopping"), Response::Standing)
            }
        }
    }

    /// What this node knows of itself: from its serving half as of a moment ago, of the log as of now, for WAIT.
    fn probe(&self) -> Probe {
        let mut probe = self.probe.lock().expect("not poisoned").clone();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        probe.last = metrics.last_log_index.unwrap_or(0);
        probe.matched = matched(&metrics);
        probe
    }

    /// Makes the log durable up to its present end.
    async fn sync(&self) -> io::Result<u64> {
        let last = self.log.state(self.shard).last.map_or(0, |(index, _)| index);
        let (tx, rx) = oneshot::channel();
        self.log.sync(Box::new(move |result| drop(tx.send(result))));
        rx.await.map_err(io::Error::other)?.map(|()| last)
    }

    /// Whether a vote for this candidate would break no promise (R3) and could lose nothing (R6, R8).
    fn may_vote(&self, request: &VoteRequest<TypeConfig>, is_transfer: bool) -> bool {
        let is_free =
            || is_transfer || Instant::now() >= self.votes_from || self.alone.load(Ordering::Relaxed);
        self.trust.allows(request.last_log_id.as_ref(), is_transfer) && is_free()
    }

    /// A planted bug: takes a candidate's log for as long as this node's.
    fn overrate(&self, mut request: Request) -> Request {
        if let Request::Vote(r) | Request::PreVote(r) = &mut request {
            let own = self.log.state(self.shard).last.map(|(index, term)| log_id(term, index));
            r.last_log_id = r.last_log_id.max(own);
        }
        request
    }

    /// "No": the answer names this node's own vote, as openraft does when it refuses.
    async fn refuse(&self) -> Response {
        match self.raft.with_raft_state(|s| *s.vote_ref()).await {
            Ok(own) => Response::Vote(VoteResponse::<TypeConfig>::new(own, None, false)),
            Err(e) => Response::Failed(e.to_string()),
        }
    }

    async fn log<R, W>(
        self: Arc<Self>,
        from: Caller,
        mut reader: MessageReader<R>,
        mut writer: MessageWriter<W>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let (tx, rx) = mpsc::channel(64);
        let input = futures_util::stream::unfold(rx, |mut rx| async { rx.recv().await.map(|r| (r, rx)) });
        let mut output = Box::pin(self.raft.stream_append(Box::pin(input)));
        loop {
            tokio::select! {
                biased;
                mut result = output.next() => {
                    // All that are there go out together. The stream ends with an error, and must not be asked again.
                    let ended = loop {
                        match result {
                            Some(Ok(answer)) => {
                                writer.push(&[&encode_append_reply(&answer)]);
                                if is_last(&answer) {
                                    break Some(Ok(()));
                                }
                            }
                            Some(Err(error)) => break Some(Err(io::Error::other(error.to_string()))),
                            None => break Some(Ok(())),
                        }
                        match poll_now(&mut output).await {
                            Some(more) => result = more,
                            None => break None,
                        }
                    };
                    writer.flush().await?;
                    if let Some(ended) = ended {
                        return ended;
                    }
                }
                // Reading stops while the replica is behind: TCP carries the back-pressure to the leader.
                message = async { let room = tx.reserve().await; (room, reader.next().await) } => {
                    let (Ok(room), message) = message else { return Ok(()) };
                    let Some(m) = message? else { return Ok(()) };
                    self.check_run(from)?;
                    let mut request = decode_append(m)?;
                    for entry in &mut request.entries {
                        if let EntryPayload::Normal(batch) = &mut entry.payload {
                            batch.prepare().await;
                        }
                    }
                    room.send(request);
                }
            }
        }
    }

    /// Batches of another node's clients. What this node cannot propose it reports, and the origin sends it
    /// again, here or to another leader (R15).
    async fn forward<R, W>(
        self: Arc<Self>,
        from: Caller,
        mut reader: MessageReader<R>,
        mut writer: MessageWriter<W>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        // As many as batches may be on their way; a notice that is lost costs the origin its certainty, no more.
        let (refused, mut refusals) = mpsc::channel::<Bytes>(64);
        loop {
            tokio::select! {
                biased;
                header = refusals.recv() => {
                    writer.push(&[&header.expect("this function holds a sender")]);
                    writer.flush().await?;
                }
                message = reader.next_message() => {
                    let Some(batch) = message? else { return Ok(()) };
                    self.check_run(from)?;
                    self.peers.note_waiting(from.id);
                    let refused = refused.clone();
                    let header = Bytes::copy_from_slice(&batch.bytes[..batch.bytes.len().min(HEADER_LEN)]);
                    let on_refused = move || {
                        let _ = refused.try_send(header);
                    };
                    self.proposals.forward(batch, on_refused).await;
                }
            }
        }
    }

    async fn snapshot<R, W>(
        self: Arc<Self>,
        mut reader: MessageReader<R>,
        mut writer: MessageWriter<W>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let Some(m) = reader.next().await? else { return Ok(()) };
        let header: SnapshotHeader = decode(&m)?;
        let (mut file, mut verifier) = self.snapshots.receive(&header.meta);
        let mut left = header.bytes;
        while left > 0 {
            let piece = reader.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            left = left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
            verifier.check(&piece)?;
            file.write(piece).await?;
        }
        verifier.finish()?;
        let snapshot = Snapshot { meta: header.meta, snapshot: file.finish().await? };
        let result = self.raft.install_full_snapshot(header.vote, snapshot).await;
        let answer: Result<_, String> = result.map(|r| r.vote).map_err(|e| e.to_string());
        writer.push(&[&encode(&answer)]);
        writer.flush().await
    }
}

/// After an error openraft ends the stream.
fn is_last(result: &StreamAppendResult<TypeConfig>) -> bool {
    result.is_err()
}

/// The next item if it is there already.
async fn poll_now<S: futures_util::Stream + Unpin>(stream: &mut S) -> Option<Option<S::Item>> {
    futures_util::future::poll_fn(|cx| match stream.poll_next_unpin(cx) {
        std::task::Poll::Ready(item) => std::task::Poll::Ready(Some(item)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
