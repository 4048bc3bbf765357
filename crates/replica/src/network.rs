//! openraft's network on the bus.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyerror::AnyError;
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use quorate_env::Instant;
use quorate_planted::{Bug, is_planted};
use tokio::sync::mpsc;

use crate::bus::{
    Class, Connection, Peers, Request, Response, SnapshotHeader, decode_append_reply, encode_append,
};
use crate::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::{decode, encode};
use crate::types::{LogId, Member, NodeId, Snapshot, TypeConfig, Vote};

/// How many append requests may be unanswered on one connection.
const PIPELINE_MAX: usize = 64;
/// A request without entries tells a follower only that more is committed; it may wait this long for company.
/// A request with entries carries it along at no cost.
const COMMIT_DELAY: Duration = Duration::from_millis(2);
/// How long an unreachable follower is left alone.
const DIAL_PAUSE: Duration = Duration::from_millis(50);
/// A follower that answers nothing for so long on a log connection with requests outstanding is not there;
const STALL_TIMEOUT: Duration = Duration::from_secs(3);
/// and so much longer for each byte: 20 MB/s is a slow disk or network.
const NS_PER_BYTE: u64 = 50;
/// openraft takes an answer for every request up to the entry it names, also for one that was made after it and only
/// tells of a commit: it may then believe that the follower heard from it later than it did. While the oldest request
/// is unanswered for longer than this, no further one is taken; leases for reads are shorter by as much (R3).
pub(crate) const CREDIT_MAX: Duration = Duration::from_millis(20);

/// Makes connections to the other members.
pub(crate) struct Network {
    pub(crate) peers: Peers,
    pub(crate) snapshots: SnapshotStore,
}

impl Network {
    fn client(&self, target: NodeId, node: &Member, purpose: Purpose) -> Client {
        self.peers.set_addr(target, node);
        Client {
            peers: self.peers.clone(),
            snapshots: self.snapshots.clone(),
            target,
            purpose,
            dial_from: None,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Purpose::Heartbeat)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Log,
    Heartbeat,
}

/// What openraft calls to reach one member.
pub(crate) struct Client {
    peers: Peers,
    snapshots: SnapshotStore,
    target: NodeId,
    purpose: Purpose,
    /// After a failed attempt the next one waits until then: openraft asks again with every new entry.
    dial_from: Option<Instant>,
}

type Rpc<T> = Result<T, RPCError<TypeConfig>>;
type Appended = Rpc<StreamAppendResult<TypeConfig>>;
/// What a follower said, and when the message was sent that it said it to.
type Answer = (Instant, Appended);

/// When a stream last took a request without entries: openraft may credit it with the answer to an earlier one.
#[derive(Clone, Default)]
struct Credit(Arc<Mutex<Option<Instant>>>);

impl Credit {
    fn request_taken(&self) {
        *self.0.lock().expect("not poisoned") = Some(Instant::now());
    }

    /// Whether the answer to a message sent at `sent` would be credited to a request that is younger by [`CREDIT_MAX`].
    fn exceeds(&self, sent: Instant) -> bool {
        let newest = *self.0.lock().expect("not poisoned");
        newest.is_some_and(|newest| newest >= sent + CREDIT_MAX) && !is_planted(Bug::OldAnswerProlongsLease)
    }
}

fn unreachable(e: &io::Error) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(e))
}

fn unexpected(response: Response) -> RPCError<TypeConfig> {
    let text = match response {
        Response::Failed(why) => why,
        other => format!("an answer that does not fit: {other:?}"),
    };
    RPCError::Network(NetworkError::new(&AnyError::error(text)))
}

impl Client {
    async fn call(&self, request: Request, option: &RPCOption) -> Rpc<Response> {
        self.peers.call(self.target, request, option.soft_ttl()).await.map_err(|e| unreachable(&e))
    }

    async fn heartbeat(&self, request: AppendEntriesRequest<TypeConfig>, option: &RPCOption) -> Appended {
        match self.call(Request::Heartbeat(request), option).await? {
            Response::Append(result) => Ok(result),
            other => Err(unexpected(other)),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        self.heartbeat(request, &option).await.map(AppendEntriesResponse::from)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Appended>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            if self.purpose == Purpose::Heartbeat {
                let Some(request) = input.next().await else {
                    return Ok(futures_util::stream::empty().boxed());
                };
                let result = self.heartbeat(request, &option).await;
                return Ok(futures_util::stream::once(async { result }).boxed());
            }
            if let Some(at) = self.dial_from.take() {
                quorate_env::sleep_until(at).await;
            }
            let connection = match self.peers.dial(self.target, Class::Log).await {
                Ok(connection) => connection,
                Err(e) => {
                    self.dial_from = Some(Instant::now() + DIAL_PAUSE);
                    return Err(unreachable(&e));
                }
            };
            let (tx, rx) = mpsc::channel(PIPELINE_MAX);
            let (peers, target) = (self.peers.clone(), self.target);
            let eager = move || peers.is_waiting(target);
            let credit = Credit::default();
            let taken = credit.clone();
            let (identity, run) = (self.peers.identity().clone(), connection.run);
            let note = move |term, index| {
                identity.note_acknowledged(term, target, run, index).map_err(io::Error::other)
            };
            // Ends with the stream: a dropped receiver ends the task, and the connection with it.
            tokio::spawn(async move {
                if let Err(error) = pump(connection, input, &tx, &taken, eager, note).await {
                    let _ = tx.send((Instant::now(), Err(unreachable(&error)))).await;
                }
            });
            Ok(in_time(rx, credit, self.target).boxed())
        })
    }

    async fn vote(&mut self, r: VoteRequest<TypeConfig>, option: RPCOption) -> Rpc<VoteResponse<TypeConfig>> {
        match self.call(Request::Vote(r), &option).await? {
            Response::Vote(v) => Ok(v),
            other => Err(unexpected(other)),
        }
    }

    async fn pre_vote(
        &mut self,
        r: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        match self.call(Request::PreVote(r), &option).await? {
            Response::Vote(v) => Ok(v),
            other => Err(unexpected(other)),
        }
    }

    async fn transfer_leader(
        &mut self,
        r: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        match self.call(Request::Transfer(r), &option).await? {
            Response::Transfer(t) => Ok(t),
            other => Err(unexpected(other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::pin!(cancel);
        let transfer = send_snapshot(&self.peers, &self.snapshots, self.target, vote, snapshot);
        tokio::select! {
            biased;
            closed = &mut cancel => Err(StreamingError::Closed(closed)),
            result = transfer => match result {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(e) => Err(StreamingError::Unreachable(Unreachable::new(&e))),
            },
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(50))))
    }
}

/// A message that is not answered yet.
struct OnTheWire {
    /// The requests that travel with it: those only told of a commit.
    companions: Vec<Option<LogId>>,
    sent: Instant,
    /// Of the leader that made it.
    term: u64,
    /// How long the answer may take.
    patience: Duration,
}

/// The answers of one stream, up to the first one that would be credited to a request made much later: the process may
/// have stood still, with that answer received or not. A new stream begins without unanswered requests.
fn in_time(
    answers: mpsc::Receiver<Answer>,
    credit: Credit,
    peer: NodeId,
) -> impl Stream<Item = Appended> + Send {
    futures_util::stream::unfold((answers, credit), move |(mut answers, credit)| async move {
        let (sent, mut answer) = answers.recv().await?;
        if answer.is_ok() && credit.exceeds(sent) {
            tracing::debug!(peer, "an answer from before a standstill: connecting anew");
            answer = Err(unreachable(&io::ErrorKind::TimedOut.into()));
        }
        Some((answer, (answers, credit)))
    })
}

/// Sends requests as they come and yields their answers in order. `note` takes the term and the index of each before openraft
/// does; its error ends the stream.
async fn pump<S>(
    connection: Connection,
    mut input: S,
    answers: &mpsc::Sender<Answer>,
    credit: &Credit,
    eager: impl Fn() -> bool,
    note: impl Fn(u64, u64) -> io::Result<()>,
) -> io::Result<()>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    let Connection { mut reader, mut writer, .. } = connection;
    // For each message on the wire, the requests that travel with it: those only told of a commit. What the
    // follower says after it has taken the message holds for them, too, and was said later than they were made.
    let mut outstanding: VecDeque<OnTheWire> = VecDeque::new();
    let mut held: Option<AppendEntriesRequest<TypeConfig>> = None;
    let mut companions = Vec::new();
    let mut open = true;
    while open || held.is_some() || !outstanding.is_empty() {
        let stalled =
            outstanding.front().map_or(STALL_TIMEOUT, |o| o.patience.saturating_sub(o.sent.elapsed()));
        let wait = quorate_env::sleep(if held.is_some() { COMMIT_DELAY } else { stalled });
        let takes = outstanding.front().is_none_or(|o| o.sent.elapsed() < CREDIT_MAX);
        let send = tokio::select! {
            biased;
            message = reader.next(), if !outstanding.is_empty() => {
                let mut next = Some(message?.ok_or(io::ErrorKind::UnexpectedEof)?);
                let mut late = false;
                while let Some(message) = next {
                    let to = outstanding.pop_front().ok_or(io::ErrorKind::InvalidData)?;
                    late |= to.sent.elapsed() >= CREDIT_MAX / 2;
                    let result = decode_append_reply(&message)?;
                    if let Ok(Some(last)) = &result {
                        note(to.term, last.index)?;
                    }
                    if !answer(answers, to, result).await {
                        return Ok(());
                    }
                    next = reader.buffered()?;
                }
                // openraft looks at a late answer before it makes the next request, which it would be credited to.
                let waits = late && !is_planted(Bug::OldAnswerProlongsLease);
                if waits && answers.reserve_many(PIPELINE_MAX).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            request = input.next(), if open && takes && outstanding.len() < PIPELINE_MAX => {
                let Some(request) = request else { open = false; continue };
                if request.entries.is_empty() {
                    credit.request_taken();
                }
                if let Some(earlier) = held.take() {
                    companions.push(earlier.prev_log_id);
                }
                // Nobody there waits for it, or an answer that is due makes room for company anyway.
                if request.entries.is_empty() && !(eager() && outstanding.is_empty()) {
                    held = Some(request);
                    continue;
                }
                request
            }
            () = answers.closed() => return Ok(()),
            () = wait, if held.is_some() || !outstanding.is_empty() => match held.take() {
                Some(request) => request,
                None => return Err(io::ErrorKind::TimedOut.into()),
            },
        };
        encode_append(&mut writer, &send);
        let patience = STALL_TIMEOUT + Duration::from_nanos(writer.gathered() as u64 * NS_PER_BYTE);
        let companions = std::mem::take(&mut companions);
        let sent = Instant::now();
        let term = send.vote.leader_id().term;
        outstanding.push_back(OnTheWire { companions, sent, term, patience });
        quorate_env::timeout(patience, writer.flush()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if is_planted(Bug::AcknowledgeBeforeMajority) {
            let last = send.entries.last().map(|e| e.log_id).or(send.prev_log_id);
            answer(answers, OnTheWire { companions: Vec::new(), sent, term, patience }, Ok(last)).await;
        }
    }
    Ok(())
}

/// Passes on what a follower said to a message and to those that travelled with it. False ends the stream.
async fn answer(
    answers: &mpsc::Sender<Answer>,
    to: OnTheWire,
    result: StreamAppendResult<TypeConfig>,
) -> bool {
    if result.is_ok() {
        for last in to.companions {
            if answers.send((to.sent, Ok(Ok(last)))).await.is_err() {
                return false;
            }
        }
    }
    let go_on = result.is_ok();
    answers.send((to.sent, Ok(result))).await.is_ok() && go_on
}

async fn send_snapshot(
    peers: &Peers,
    store: &SnapshotStore,
    to: NodeId,
    vote: Vote,
    snapshot: Snapshot,
) -> io::Result<Vote> {
    let c = peers.dial(to, Class::Snapshot).await?;
    let _sending = store.send();
    // Who loses power leaves the connection open, and a snapshot has long to arrive.
    let restarted = peers.identity().superseded(to, c.run);
    tokio::select! {
        sent = transfer_snapshot(peers, store, to, c, vote, snapshot) => sent,
        () = restarted => Err(io::Error::new(io::ErrorKind::ConnectionReset, "it was started anew")),
    }
}

async fn transfer_snapshot(
    peers: &Peers,
    store: &SnapshotStore,
    to: NodeId,
    mut c: Connection,
    vote: Vote,
    snapshot: Snapshot,
) -> io::Result<Vote> {
    let file = snapshot.snapshot;
    let (bytes, last) = (file.bytes, snapshot.meta.last_log_id.map(|last| last.index));
    tracing::info!(peer = to, bytes, "sending a snapshot");
    c.writer.push(&[&encode(&SnapshotHeader { vote, meta: snapshot.meta, bytes })]);
    let mut offset = 0;
    while offset < bytes {
        let piece = store.read_raw(&file, offset)?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += piece.len() as u64;
        c.writer.push(&[&piece]);
        c.writer.flush().await?;
        tokio::task::yield_now().await;
    }
    let answer = c.reader.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let answer = decode::<Result<Vote, String>>(&answer)?.map_err(io::Error::other)?;
    if let (true, Some(last)) = (answer == vote, last) {
        let term = vote.leader_id().term;
        peers.identity().note_acknowledged(term, to, c.run, last).map_err(io::Error::other)?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the answer to a message of that age, with a request without entries made now.
    async fn passes(age: Duration, with_request: bool) -> bool {
        let (tx, rx) = mpsc::channel(1);
        let credit = Credit::default();
        tx.send((Instant::now() - age, Ok(Ok(None)))).await.expect("there is room");
        if with_request {
            credit.request_taken();
        }
        let mut answers = std::pin::pin!(in_time(rx, credit, 2));
        answers.next().await.expect("there is one").is_ok()
    }

    #[tokio::test]
    async fn an_answer_from_before_a_standstill_is_not_credited_to_a_request_made_after_it() {
        let second = Duration::from_secs(1);
        assert!(!passes(second, true).await, "a lease would be a second too long");
        assert!(passes(second, false).await, "a slow follower prolongs no lease beyond its own answer");
        assert!(passes(Duration::ZERO, true).await);
    }
}
