//! Snapshot files: the complete state at one index, in checksummed pieces (R9).
//!
//! A file is a header (magic, what it covers), pieces, and an end mark; each with its length and CRC-32C. It is
//! written under a temporary name and renamed when it is durable, so a snapshot either is there or is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_env::{Env, Op, Part, Queue};
use tokio::sync::{Semaphore, oneshot};

use crate::storage::{decode, encode};
use crate::types::{SnapshotMeta, term_of};

/// What a snapshot file begins with; the last byte is the format.
pub(crate) const MAGIC: &[u8; 8] = b"QUORSNP\x01";
/// How much may be on its way to the disk.
const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;
/// So much is written between two syncs: the disk is never left with gigabytes to write at once, behind which the fsync
/// of the log would wait.
const SYNC_BYTES: u64 = 16 << 20;
/// The largest piece; larger ones are damage.
const PIECE_BYTES_MAX: usize = 64 << 20;
/// How much of a file is read at once.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// A finished snapshot on disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) path: Arc<Path>,
    pub(crate) bytes: u64,
}

/// The snapshots of one replica.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    env: Env,
    dir: PathBuf,
    unique: Arc<AtomicU64>,
    sending: Arc<AtomicU64>,
}

/// While it lives, a snapshot is on its way to a follower.
pub(crate) struct Sending(Arc<AtomicU64>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SnapshotStore {
    /// Opens the folder and removes what was never finished. Blocks; start of a node only.
    pub(crate) fn open(env: &Env, dir: PathBuf) -> io::Result<Self> {
        env.disk.create_dir(&dir)?;
        let unfinished = env.disk.list(&dir)?.into_iter().filter(|n| n.ends_with(".tmp"));
        env.disk.run(unfinished.map(|n| Op::Remove { path: dir.join(n) }).collect())?;
        Ok(Self { env: env.clone(), dir, unique: Arc::default(), sending: Arc::default() })
    }

    /// The newest snapshot. A damaged one is an error: what it covers is no longer in the log.
    pub(crate) fn newest(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFile)>> {
        let mut names = self.env.disk.list(&self.dir)?;
        names.retain(|n| n.ends_with(".snap"));
        let Some(name) = names.pop() else { return Ok(None) };
        let path: Arc<Path> = self.dir.join(name).into();
        let bytes = self.env.disk.len(&path)?.ok_or(io::ErrorKind::NotFound)?;
        let file = SnapshotFile { path, bytes };
        let meta = self.reader(&file)?.meta;
        Ok(Some((meta, file)))
    }

    /// Removes all but the newest two: the one before may still be on its way to a follower.
    pub(crate) fn remove_old(&self) {
        let Ok(mut names) = self.env.disk.list(&self.dir) else { return };
        names.retain(|n| n.ends_with(".snap"));
        let old = names.len().saturating_sub(2);
        let ops = names.drain(..old).map(|n| Op::Remove { path: self.dir.join(n) }).collect();
        self.env.disk.submit(Queue::Snapshot, ops, Box::new(|_| ()));
    }

    /// Marks a transfer.
    pub(crate) fn send(&self) -> Sending {
        self.sending.fetch_add(1, Ordering::Relaxed);
        Sending(self.sending.clone())
    }

    /// Whether a transfer is under way.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed) > 0
    }

    /// Gives a received snapshot the name under which the next start finds it.
    pub(crate) async fn publish(&self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<SnapshotFile> {
        let path = self.path_of(meta);
        let (tx, rx) = oneshot::channel();
        let ops = vec![
            Op::Rename { from: file.path.to_path_buf(), to: path.to_path_buf() },
            Op::SyncDir { path: self.dir.clone() },
        ];
        self.env.disk.submit(
            Queue::Snapshot,
            ops,
            Box::new(|r| {
                let _ = tx.send(r);
            }),
        );
        rx.await.map_err(|_| io::Error::other("the disk was closed"))??;
        Ok(SnapshotFile { path, bytes: file.bytes })
    }

    /// The name sorts by index, which never goes back.
    fn path_of(&self, meta: &SnapshotMeta) -> Arc<Path> {
        let (term, index) = meta.last_log_id.as_ref().map_or((0, 0), |id| (term_of(id), id.index));
        self.dir.join(format!("{index:016x}-{term:016x}.snap")).into()
    }

    /// Begins a snapshot of this replica's own state.
    pub(crate) fn create(&self, meta: &SnapshotMeta) -> Writer {
        let mut head = BytesMut::new();
        head.put_slice(MAGIC);
        put_piece(&mut head, &encode(meta));
        let mut writer = self.writer(meta, self.path_of(meta));
        writer.submit(head.freeze());
        writer
    }

    /// Begins a snapshot that a leader sends: the bytes are a whole file already. They are checked as they come,
    /// and the file gets its name only with [`Self::publish`].
    pub(crate) fn receive(&self, meta: &SnapshotMeta) -> (Writer, Verifier) {
        let n = self.unique.fetch_add(1, Ordering::Relaxed);
        // A name that the next start removes.
        let path: Arc<Path> = self.dir.join(format!("received-{n}.part.tmp")).into();
        (self.writer(meta, path), Verifier::default())
    }

    fn writer(&self, meta: &SnapshotMeta, path: Arc<Path>) -> Writer {
        let (term, index) = meta.last_log_id.as_ref().map_or((0, 0), |id| (term_of(id), id.index));
        let n = self.unique.fetch_add(1, Ordering::Relaxed);
        let tmp: Arc<Path> = self.dir.join(format!("{term:016x}-{index:016x}-{n}.tmp")).into();
        let writer = Writer {
            env: self.env.clone(),
            dir: self.dir.clone(),
            tmp: tmp.clone(),
            path,
            offset: 0,
            synced: 0,
            room: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            failed: Arc::default(),
            finished: false,
        };
        writer.run(vec![Op::Create { path: tmp.to_path_buf(), len: 0 }], 0);
        writer
    }

    /// Reads a snapshot and checks it on the way.
    pub(crate) fn reader(&self, file: &SnapshotFile) -> io::Result<Reader> {
        let mut r = Reader {
            env: self.env.clone(),
            file: file.clone(),
            offset: 0,
            buf: BytesMut::new(),
            meta: SnapshotMeta { last_log_id: None, last_membership: Default::default() },
        };
        if r.take(MAGIC.len())? != MAGIC.as_slice() {
            return Err(r.damaged("it does not begin as a snapshot of this version does"));
        }
        let meta = r.piece()?.ok_or_else(|| r.damaged("it says nothing of what it covers"))?;
        r.meta = decode(&meta)?;
        Ok(r)
    }

    /// A part of a file as it is, for sending it.
    pub(crate) fn read_raw(&self, file: &SnapshotFile, offset: u64) -> io::Result<Bytes> {
        self.env.disk.read(&file.path, offset, READ_BYTES)
    }
}

fn put_piece(out: &mut BytesMut, data: &[u8]) {
    out.put_u32_le(data.len() as u32);
    out.put_u32_le(crc32c::crc32c(data));
    out.put_slice(data);
}

/// A snapshot being written.
pub(crate) struct Writer {
    env: Env,
    dir: PathBuf,
    tmp: Arc<Path>,
    path: Arc<Path>,
    offset: u64,
    synced: u64,
    room: Arc<Semaphore>,
    failed: Arc<std::sync::Mutex<Option<String>>>,
    finished: bool,
}

impl Writer {
    /// Whether another piece may be written without waiting.
    pub(crate) fn has_room(&self) -> bool {
        self.room.available_permits() > IN_FLIGHT_BYTES_MAX / 2
    }

    /// Adds a piece of the state, framed.
    pub(crate) fn piece(&mut self, data: &[u8]) {
        let mut framed = BytesMut::with_capacity(data.len() + 8);
        put_piece(&mut framed, data);
        self.submit(framed.freeze());
    }

    /// Adds bytes as they are, when there is room.
    pub(crate) async fn write(&mut self, data: Bytes) -> io::Result<()> {
        while !self.has_room() {
            quorate_env::sleep(std::time::Duration::from_millis(1)).await;
        }
        self.check()?;
        self.submit(data);
        Ok(())
    }

    /// Ends a snapshot that was made of pieces, then as [`Self::finish`].
    pub(crate) async fn finish_pieces(mut self) -> io::Result<SnapshotFile> {
        self.piece(&[]);
        self.finish().await
    }

    /// Makes the file durable and gives it its name.
    pub(crate) async fn finish(mut self) -> io::Result<SnapshotFile> {
        self.wait_for(vec![Op::Sync { path: self.tmp.clone() }]).await?;
        // A write that has failed does not keep what is behind it from being carried out: the file gets its name only
        // when it is known that all are done.
        self.check()?;
        self.wait_for(vec![
            Op::Close { path: self.tmp.clone() },
            Op::Rename { from: self.tmp.to_path_buf(), to: self.path.to_path_buf() },
            Op::SyncDir { path: self.dir.clone() },
        ])
        .await?;
        self.finished = true;
        Ok(SnapshotFile { path: self.path.clone(), bytes: self.offset })
    }

    /// Carries out operations behind all earlier ones, whose outcomes are known then, too.
    async fn wait_for(&self, ops: Vec<Op>) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        let done = |result| {
            let _ = tx.send(result);
        };
        self.env.disk.submit(Queue::Snapshot, ops, Box::new(done));
        rx.await.map_err(|_| io::Error::other("the disk was closed"))?
    }

    fn check(&self) -> io::Result<()> {
        match self.failed.lock().expect("not poisoned").clone() {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(()),
        }
    }

    fn submit(&mut self, data: Bytes) {
        let len = data.len();
        let op = Op::Write { path: self.tmp.clone(), offset: self.offset, bufs: vec![data] };
        self.offset += len as u64;
        let mut ops = vec![op];
        if self.offset - self.synced >= SYNC_BYTES {
            self.synced = self.offset;
            ops.push(Op::Sync { path: self.tmp.clone() });
        }
        self.run(ops, len);
    }

    fn run(&self, ops: Vec<Op>, bytes: usize) {
        let take = bytes.min(self.room.available_permits()) as u32;
        if let Ok(permit) = self.room.try_acquire_many(take) {
            permit.forget();
        }
        let (room, failed) = (self.room.clone(), self.failed.clone());
        let mut charge = self.env.memory.charge(Part::Snapshots);
        charge.set(bytes);
        let done = move |result: io::Result<()>| {
            drop(charge);
            room.add_permits(take as usize);
            if let Err(e) = result {
                failed.lock().expect("not poisoned").get_or_insert(e.to_string());
            }
        };
        self.env.disk.submit(Queue::Snapshot, ops, Box::new(done));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            let ops = vec![Op::Close { path: self.tmp.clone() }, Op::Remove { path: self.tmp.to_path_buf() }];
            self.env.disk.submit(Queue::Snapshot, ops, Box::new(|_| ()));
        }
    }
}

/// Checks the bytes of a snapshot file as they pass.
#[derive(Default)]
pub(crate) struct Verifier {
    buf: BytesMut,
    begun: bool,
    ended: bool,
}

impl Verifier {
    /// Checks what has come. An error means that the sender's file is damaged.
    pub(crate) fn check(&mut self, data: &[u8]) -> io::Result<()> {
        self.buf.extend_from_slice(data);
        if !self.begun && self.buf.len() >= MAGIC.len() {
            if self.buf.split_to(MAGIC.len()) != MAGIC.as_slice() {
                return Err(damaged_on_the_way());
            }
            self.begun = true;
        }
        while self.begun && self.buf.len() >= 8 {
            let len = u32::from_le_bytes(self.buf[..4].try_into().expect("four bytes")) as usize;
            let crc = u32::from_le_bytes(self.buf[4..8].try_into().expect("four bytes"));
            if self.ended || len > PIECE_BYTES_MAX {
                return Err(damaged_on_the_way());
            }
            if self.buf.len() < 8 + len {
                break;
            }
            let piece = self.buf.split_to(8 + len);
            if crc32c::crc32c(&piece[8..]) != crc {
                return Err(damaged_on_the_way());
            }
            self.ended = len == 0;
        }
        Ok(())
    }

    /// Whether the file is whole.
    pub(crate) fn finish(&self) -> io::Result<()> {
        if self.ended && self.buf.is_empty() { Ok(()) } else { Err(damaged_on_the_way()) }
    }
}

fn damaged_on_the_way() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the snapshot that the leader sent is damaged; it was not installed",
    )
}

/// A snapshot being read.
pub(crate) struct Reader {
    env: Env,
    file: SnapshotFile,
    offset: u64,
    buf: BytesMut,
    /// What the snapshot covers.
    pub(crate) meta: SnapshotMeta,
}

impl Reader {
    /// The next piece of the state; `None` at the end mark.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let head = self.take(8)?;
        let len = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let crc = u32::from_le_bytes(head[4..].try_into().expect("four bytes"));
        if len > PIECE_BYTES_MAX {
            return Err(self.damaged("a piece has an impossible length"));
        }
        let data = self.take(len)?;
        if crc32c::crc32c(&data) != crc {
            return Err(self.damaged("a piece has a wrong checksum"));
        }
        Ok((len > 0).then_some(data))
    }

    fn take(&mut self, len: usize) -> io::Result<Bytes> {
        while self.buf.len() < len {
            let more = self.env.disk.read(&self.file.path, self.offset, READ_BYTES)?;
            if more.is_empty() {
                return Err(self.damaged("it ends too early"));
            }
            self.offset += more.len() as u64;
            self.buf.extend_from_slice(&more);
        }
        Ok(self.buf.split_to(len).freeze())
    }

    fn damaged(&self, why: &str) -> io::Error {
        let at = self.offset - self.buf.len() as u64;
        let text = format!(
            "snapshot {} is damaged near offset {at}: {why}. The log no longer holds what it covers: remove this node \
             from the cluster (QUORATE NODE REMOVE), empty its folder and join again",
            self.file.path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}
