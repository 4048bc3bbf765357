//! Messages of PUBLISH on their way between nodes (R18): in the order in which a node sent them, and at most once. What a
//! peer does not take in time is dropped and counted: publishing never waits for another node.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_planted::{Bug, is_planted};
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::client::Peers;
use super::frame::MessageReader;
use super::{Class, Connection};
use crate::machine::Event;
use crate::types::NodeId;

/// How many bytes of messages may wait for one peer; one message of any size may.
const LANE_BYTES_MAX: usize = 4 << 20;
/// How many bytes of messages of other nodes may wait to be delivered here; then they are not read.
const INBOX_BYTES_MAX: usize = 16 << 20;
/// What a message counts beside its bytes.
const MESSAGE_OVERHEAD: usize = 64;
/// How long a peer that cannot be reached is left alone. What is published meanwhile does not reach it.
const RECONNECT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// A message that a client of some node has published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The entry with the last write of its connection: nobody hears of the message before having applied that.
    pub after: u64,
    /// On a channel of a shard (SPUBLISH).
    pub sharded: bool,
    /// Where.
    pub channel: Bytes,
    /// What.
    pub message: Bytes,
}

const HEAD_LEN: usize = 8 + 1 + 4;

impl Publication {
    fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD_LEN + self.channel.len() + self.message.len());
        bytes.put_u64_le(self.after);
        bytes.put_u8(self.sharded.into());
        bytes.put_u32_le(u32::try_from(self.channel.len()).expect("arguments have at most 512 MB"));
        bytes.put_slice(&self.channel);
        bytes.put_slice(&self.message);
        bytes.freeze()
    }

    /// Errors: bytes of something else.
    fn decode(bytes: &Bytes) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let head = bytes.first_chunk::<HEAD_LEN>().ok_or_else(invalid)?;
        let after = u64::from_le_bytes(*head.first_chunk().expect("eight bytes"));
        let channel_len = u32::from_le_bytes(*head.last_chunk().expect("four bytes")) as usize;
        let body = bytes.slice(HEAD_LEN..);
        if head[8] > 1 || channel_len > body.len() {
            return Err(invalid());
        }
        let (channel, message) = (body.slice(..channel_len), body.slice(channel_len..));
        Ok(Self { after, sharded: head[8] == 1, channel, message })
    }
}

/// The ways to the other members, made when the first message goes there.
#[derive(Clone)]
pub(crate) struct Publisher {
    peers: Peers,
    lanes: Arc<Mutex<BTreeMap<NodeId, Lane>>>,
    dropped: Arc<AtomicU64>,
}

impl Publisher {
    pub(crate) fn new(peers: Peers) -> Self {
        Self { peers, lanes: Arc::default(), dropped: Arc::default() }
    }

    /// Sends a message to all other members.
    pub(crate) fn publish(&self, publication: &Publication) {
        let (me, bytes) = (self.peers.identity().node_id(), publication.encode());
        let mut lanes = self.lanes.lock().expect("not poisoned");
        let others: Vec<NodeId> = self.peers.ids().into_iter().filter(|id| *id != me).collect();
        lanes.retain(|id, _| others.contains(id));
        for id in others {
            let lane = lanes.entry(id).or_insert_with(|| Lane::start(self.clone(), id));
            if !lane.send(bytes.clone()) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many messages did not reach a member, each counted once for each of them. Of those that were lost on a
    /// connection that broke nothing is known.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The way to one member.
struct Lane {
    tx: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Lane {
    fn start(publisher: Publisher, to: NodeId) -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let queue = Queue { rx, waiting: waiting.clone(), dropped: publisher.dropped.clone(), last: None };
        let task = tokio::spawn(run(publisher.peers, to, queue)).abort_handle();
        Self { tx, waiting, task }
    }

    /// False: too much waits already.
    fn send(&self, bytes: Bytes) -> bool {
        let size = bytes.len() + MESSAGE_OVERHEAD;
        let before = self.waiting.load(Ordering::Relaxed);
        if before > 0 && before + size > LANE_BYTES_MAX {
            return false;
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        self.tx.send(bytes).is_ok()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What waits in a lane.
struct Queue {
    rx: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    /// What was written last: for a bug that is planted.
    last: Option<Bytes>,
}

impl Queue {
    /// It is written, or given up.
    fn done(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A planted bug: what may have got lost with a connection is sent over the next one.
    fn take_again(&mut self) -> Option<Bytes> {
        let again = self.last.take()?;
        self.waiting.fetch_add(again.len() + MESSAGE_OVERHEAD, Ordering::Relaxed);
        Some(again)
    }

    fn give_up(&mut self, first: &Bytes) {
        let mut next = Some(first.clone());
        while let Some(bytes) = next {
            self.done(bytes.len() + MESSAGE_OVERHEAD);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            next = self.rx.try_recv().ok();
        }
    }
}

async fn run(peers: Peers, to: NodeId, mut queue: Queue) {
    while let Some(first) = queue.rx.recv().await {
        match peers.dial(to, Class::Messages).await {
            Ok(connection) => {
                let first = queue.take_again().into_iter().chain([first]).collect();
                let error = send_over(connection, first, &mut queue).await;
                tracing::debug!(peer = to, %error, "the connection for published messages ended");
            }
            Err(error) => {
                tracing::debug!(peer = to, %error, "published messages do not reach a member");
                queue.give_up(&first);
            }
        }
        quorate_env::sleep(RECONNECT_PAUSE).await;
    }
}

async fn send_over(c: Connection, first: VecDeque<Bytes>, queue: &mut Queue) -> io::Error {
    let Connection { mut reader, mut writer, .. } = c;
    let mut next = first;
    loop {
        let mut pushed = 0;
        while let Some(bytes) = next.pop_front().or_else(|| queue.rx.try_recv().ok()) {
            pushed += bytes.len() + MESSAGE_OVERHEAD;
            if is_planted(Bug::MessageSentAgain) {
                queue.last = Some(bytes.clone());
            }
            writer.push_shared(vec![bytes]);
        }
        let flushed = writer.flush().await;
        queue.done(pushed);
        if let Err(error) = flushed {
            return error;
        }
        tokio::select! {
            biased;
            message = queue.rx.recv() => match message {
                Some(bytes) => next.push_back(bytes),
                None => return io::ErrorKind::Interrupted.into(),
            },
            // Nothing comes back but the end.
            end = reader.next() => return end.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Room for a message until it is delivered.
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
}

/// Takes the messages of other nodes in.
#[derive(Clone)]
pub(crate) struct Inbox {
    events: mpsc::UnboundedSender<Event>,
    room: Arc<Semaphore>,
}

impl Inbox {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events, room: Arc::new(Semaphore::new(INBOX_BYTES_MAX)) }
    }

    /// Until the connection ends. `check` says before each message whether its sender is to be listened to still.
    pub(crate) async fn receive<R: AsyncRead + Unpin + Send>(
        &self,
        mut reader: MessageReader<R>,
        check: impl Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(message) = reader.next().await? {
            check()?;
            let publication = Publication::decode(&message)?;
            let size = (message.len() + MESSAGE_OVERHEAD).min(INBOX_BYTES_MAX);
            let permit = self.room.clone().acquire_many_owned(size as u32).await.expect("never closed");
            let held = Held { _permit: permit };
            if self.events.send(Event::Published(publication, held)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication() -> Publication {
        Publication {
            after: 77,
            sharded: true,
            channel: Bytes::from_static(b"news"),
            message: Bytes::from_static(b"hello\r\n"),
        }
    }

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let bytes = publication().encode();
        assert_eq!(Publication::decode(&bytes).expect("its own bytes"), publication());
    }

    #[test]
    fn bytes_that_are_cut_or_changed_are_no_message_or_another() {
        let bytes = publication().encode();
        for len in 0..HEAD_LEN + 4 {
            assert!(Publication::decode(&bytes.slice(..len)).is_err(), "{len} bytes");
        }
        for (at, value) in [(8, 2), (9, 200), (12, 1)] {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            assert!(Publication::decode(&changed.into()).is_err(), "byte {at}");
        }
    }
}
