//! The disk of the operating system: one writer thread a queue.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::clock::Instant;
use crate::disk::{Completion, Disk, LOCK_FILE, Op, Queue};
use crate::random::Random;
use crate::real::RealRandom;

/// Open handles that a queue keeps. The log writes to one file at a time and prepares the next.
const HANDLES_MAX: usize = 16;

/// Buffers that one pwritev(2) takes: IOV_MAX on Linux.
const IOV_MAX: usize = 1024;

/// More than this is not written on the caller's thread: that would take longer than waking another one.
const PROMPT_BYTES_MAX: usize = 64 << 10;

/// When a write on the caller's thread has taken so long, the disk is under pressure,
const PROMPT_PATIENCE: Duration = Duration::from_millis(10);

/// and its own thread does all writes for so long.
const PROMPT_PAUSE: Duration = Duration::from_secs(10);

/// The operating system's files. Dropping it waits for what was submitted.
#[derive(Debug)]
pub struct RealDisk {
    log: Writer,
    snapshot: Writer,
    /// Handles whose locks end with this process, or with this disk.
    locks: Mutex<Vec<OwnedFd>>,
    boot_id: String,
}

impl RealDisk {
    /// Starts the writer threads; an error says that the system refused them.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            log: Writer::start("disk-log")?,
            snapshot: Writer::start("disk-snapshot")?,
            locks: Mutex::default(),
            boot_id: boot_id(),
        })
    }
}

impl RealDisk {
    fn writer(&self, queue: Queue) -> &Writer {
        match queue {
            Queue::Log => &self.log,
            Queue::Snapshot => &self.snapshot,
        }
    }
}

impl Disk for RealDisk {
    fn submit(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        self.writer(queue).submit(Submission { ops, done });
    }

    fn submit_prompt(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        let writer = self.writer(queue);
        match writer.at_work.write_now(ops) {
            Ok(result) => done(result),
            Err(ops) => writer.submit(Submission { ops, done }),
        }
    }

    fn read(&self, path: &Path, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| named("open", path, errno))?;
        read_at(&file, offset, len).map(Bytes::from).map_err(|errno| named("read", path, errno))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| named("read folder", path, error))?,
        };
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| named("read folder", path, error))?;
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match rustix::fs::stat(path) {
            Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(named("stat", path, errno)),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path
            .ancestors()
            .filter(|folder| !folder.as_os_str().is_empty())
            .take_while(|p| !p.is_dir())
            .collect();
        for folder in missing.into_iter().rev() {
            match rustix::fs::mkdir(folder, Mode::from_raw_mode(0o700)) {
                Err(errno) if errno != Errno::EXIST || !folder.is_dir() => {
                    return Err(named("create folder", folder, errno));
                }
                _ => sync_dir(parent(folder))?,
            }
        }
        // It may have been made by a process that died before it could do this.
        sync_dir(parent(path))
    }

    fn lock(&self, path: &Path) -> io::Result<()> {
        let handle = take_lock(path)?;
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    }

    fn boot_id(&self) -> String {
        self.boot_id.clone()
    }

    fn run(&self, ops: Vec<Op>) -> io::Result<()> {
        Handles::default().execute(ops)
    }
}

struct Submission {
    ops: Vec<Op>,
    done: Completion,
}

/// A thread that carries out submissions, oldest first.
#[derive(Debug)]
struct Writer {
    /// `None` only while dropping. It never blocks, so that a completion may submit.
    submissions: Option<mpsc::Sender<Submission>>,
    thread: Option<thread::JoinHandle<()>>,
    at_work: Arc<AtWork>,
}

impl Writer {
    #[allow(clippy::disallowed_methods, reason = "the writer threads of the real disk live here")]
    fn start(name: &str) -> io::Result<Self> {
        let (submissions, queue) = mpsc::channel::<Submission>();
        let at_work = Arc::new(AtWork::default());
        let mine = at_work.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            for Submission { ops, done } in queue {
                let result = mine.handles.lock().unwrap_or_else(PoisonError::into_inner).execute(ops);
                done(result);
                mine.outstanding.fetch_sub(1, Ordering::Release);
            }
        })?;
        Ok(Self { submissions: Some(submissions), thread: Some(thread), at_work })
    }

    fn submit(&self, submission: Submission) {
        self.at_work.outstanding.fetch_add(1, Ordering::Relaxed);
        let sent = self.submissions.as_ref().map(|submissions| submissions.send(submission));
        // A completion has panicked and ended the thread: what is submitted can never be done.
        if let Some(Err(mpsc::SendError(submission))) = sent {
            (submission.done)(Err(io::Error::other("the writer thread of this disk has died")));
        }
    }
}

/// What a writer thread shares with those who would rather write for themselves.
#[derive(Debug, Default)]
struct AtWork {
    handles: Mutex<Handles>,
    /// Submissions that the thread has yet to complete.
    outstanding: AtomicUsize,
    /// Until when all writes are left to the thread: [`Instant::as_nanos`].
    pause_until: AtomicU64,
}

impl AtWork {
    /// Carries out `ops` on this thread, or gives them back: see [`Disk::submit_prompt`].
    fn write_now(&self, ops: Vec<Op>) -> Result<io::Result<()>, Vec<Op>> {
        let size = |op: &Op| match op {
            Op::Write { bufs, .. } => bufs.iter().map(Bytes::len).sum(),
            _ => usize::MAX,
        };
        let bytes = ops.iter().map(size).fold(0, usize::saturating_add);
        if bytes > PROMPT_BYTES_MAX || self.outstanding.load(Ordering::Acquire) > 0 {
            return Err(ops);
        }
        let began = Instant::now();
        if began.as_nanos() < self.pause_until.load(Ordering::Relaxed) {
            return Err(ops);
        }
        let Ok(mut handles) = self.handles.try_lock() else { return Err(ops) };
        let result = handles.execute(ops);
        drop(handles);
        let ended = Instant::now();
        if ended - began > PROMPT_PATIENCE {
            self.pause_until.store((ended + PROMPT_PAUSE).as_nanos(), Ordering::Relaxed);
        }
        Ok(result)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.submissions = None;
        let Some(thread) = self.thread.take() else { return };
        // The last handle of a disk may go in one of its own completions; a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            let _ended = thread.join();
        }
    }
}

/// Open files, the one used last at the end.
#[derive(Debug, Default)]
struct Handles {
    open: Vec<(PathBuf, OwnedFd)>,
}

impl Handles {
    fn execute(&mut self, ops: Vec<Op>) -> io::Result<()> {
        ops.into_iter().try_for_each(|op| self.execute_one(op))
    }

    fn execute_one(&mut self, op: Op) -> io::Result<()> {
        match op {
            Op::Create { path, len } => self.create(path, len),
            Op::Write { path, offset, bufs } => {
                let file = self.file(&path)?;
                write_all(file, offset, &bufs).map_err(|error| named("write", &path, error))
            }
            Op::Sync { path } => {
                let file = self.file(&path)?;
                // Not repeated whatever it says: after a failure the kernel calls lost pages clean (R7).
                rustix::fs::fdatasync(file).map_err(|errno| named("fdatasync", &path, errno))
            }
            Op::SetLen { path, len } => {
                let file = self.file(&path)?;
                retry(|| rustix::fs::ftruncate(file, len))
                    .map_err(|errno| named("set length of", &path, errno))
            }
            Op::Rename { from, to } => self.rename(&from, &to),
            Op::Remove { path } => self.remove(&path),
            Op::SyncDir { path } => sync_dir(&path),
            Op::Close { path } => {
                self.close(&path);
                Ok(())
            }
        }
    }

    fn create(&mut self, path: PathBuf, len: u64) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
        let file = retry(|| rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)))
            .map_err(|errno| named("create", &path, errno))?;
        reserve(&file, len).map_err(|errno| named("reserve room for", &path, errno))?;
        self.close(&path);
        self.keep(path, file);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        rustix::fs::rename(from, to)
            .map_err(|errno| named(&format!("rename {} to", from.display()), to, errno))?;
        self.close(to);
        if let Some(at) = self.position(from) {
            self.open[at].0 = to.to_owned();
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.close(path);
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(named("remove", path, errno)),
        }
    }

    /// The handle of a file that exists, opened if need be.
    fn file(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        match self.position(path) {
            Some(at) => self.open[at..].rotate_left(1),
            None => {
                let file = retry(|| rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))
                    .map_err(|errno| named("open", path, errno))?;
                self.keep(path.to_owned(), file);
            }
        }
        let (_, file) = self.open.last().expect("a handle was just moved or added");
        Ok(file)
    }

    fn keep(&mut self, path: PathBuf, file: OwnedFd) {
        if self.open.len() == HANDLES_MAX {
            self.open.remove(0);
        }
        self.open.push((path, file));
    }

    fn close(&mut self, path: &Path) {
        if let Some(at) = self.position(path) {
            self.open.remove(at);
        }
    }

    fn position(&self, path: &Path) -> Option<usize> {
        self.open.iter().rposition(|(open, _)| open.as_os_str() == path.as_os_str())
    }
}

/// Writes all of `bufs` from `offset` on, in as few system calls as the kernel allows.
fn write_all(file: &OwnedFd, mut offset: u64, bufs: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> =
        bufs.iter().filter(|buf| !buf.is_empty()).map(|buf| IoSlice::new(buf)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let at_once = rest.len().min(IOV_MAX);
        let written = retry(|| rustix::io::pwritev(file, &rest[..at_once], offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += written as u64;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Up to `len` bytes, fewer at the end of the file.
fn read_at(file: &OwnedFd, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let available = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(available)];
    let mut filled = 0;
    while filled < bytes.len() {
        match retry(|| rustix::io::pread(file, &mut bytes[filled..], offset + filled as u64))? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Gives the file `len` bytes of zeros, with room on the disk where the file system can promise it.
fn reserve(file: &OwnedFd, len: u64) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    match retry(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => retry(|| rustix::fs::ftruncate(file, len)),
        result => result,
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| named("open folder", path, errno))?;
    rustix::fs::fsync(&folder).map_err(|errno| named("fsync folder", path, errno))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn take_lock(folder: &Path) -> io::Result<OwnedFd> {
    let path = folder.join(LOCK_FILE);
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| named("open", &path, errno))?;
    match retry(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(held(folder, &file)),
        Err(errno) => return Err(named("lock", &path, errno)),
    }
    let pid = Bytes::from(format!("{}\n", rustix::process::getpid()));
    rustix::fs::ftruncate(&file, 0)
        .map_err(io::Error::from)
        .and_then(|()| write_all(&file, 0, &[pid]))
        .map_err(|error| named("write", &path, error))?;
    Ok(file)
}

fn held(folder: &Path, lock: &OwnedFd) -> io::Error {
    let pid = read_at(lock, 0, 32).unwrap_or_default();
    let holder = match str::from_utf8(&pid).map(str::trim) {
        Ok(pid) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("data folder {} is in use by {holder}: stop it, or use another folder", folder.display()),
    )
}

/// A variable of the process: the file that names the present boot of the machine, in place of the kernel's. Who takes
/// a disk's power away without a boot says so by this (`quorate torture`).
pub const BOOT_ID_FILE: &str = "QUORATE_BOOT_ID_FILE";

/// Where nobody tells, every start counts as a boot: that errs on the safe side (R8).
fn boot_id() -> String {
    let file = std::env::var_os(BOOT_ID_FILE).unwrap_or_else(|| "/proc/sys/kernel/random/boot_id".into());
    match fs::read_to_string(file) {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("{:016x}{:016x}", RealRandom.next_u64(), RealRandom.next_u64()),
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(&mut call)
}

/// Says what failed where; keeps the kind, so that callers can tell a full disk.
fn named(operation: &str, path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{operation} {}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test looks at the file by itself")]
mod tests {
    use super::*;

    fn ops(path: &Path, bytes: usize) -> Vec<Op> {
        vec![Op::Write { path: path.into(), offset: 0, bufs: vec![vec![7; bytes].into()] }]
    }

    #[test]
    fn only_small_writes_that_nothing_stands_before_are_carried_out_on_the_caller_s_thread() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let at_work = AtWork::default();
        let create = Op::Create { path: path.clone(), len: 0 };
        at_work.handles.lock().expect("no panic").execute(vec![create]).expect("created");
        let is_left = |ops| at_work.write_now(ops).is_err_and(|ops| !ops.is_empty());

        assert!(matches!(at_work.write_now(ops(&path, 100)), Ok(Ok(()))));
        assert_eq!(fs::read(&path).expect("readable"), [7; 100]);
        assert!(is_left(ops(&path, PROMPT_BYTES_MAX + 1)), "a large one");
        let mut synced = ops(&path, 1);
        synced.push(Op::Sync { path: path.as_path().into() });
        assert!(is_left(synced), "an fsync");
        at_work.outstanding.store(1, Ordering::Relaxed);
        assert!(is_left(ops(&path, 1)), "it would overtake");
        at_work.outstanding.store(0, Ordering::Relaxed);
        let busy = at_work.handles.lock();
        assert!(is_left(ops(&path, 1)));
        drop(busy);
        at_work.pause_until.store(u64::MAX, Ordering::Relaxed);
        assert!(is_left(ops(&path, 1)), "the disk is under pressure");
        at_work.pause_until.store(0, Ordering::Relaxed);
        let missing = at_work.write_now(ops(&folder.path().join("missing"), 1)).expect("carried out");
        assert_eq!(missing.expect_err("nothing to write to").kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read(&path).expect("readable").len(), 100);
    }
}
