//! The disk, completion-based: submit operations, get one completion (R22).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

/// Called at most once, when every operation of a submission is done or the first one failed.
///
/// The real disk calls it on its own thread or on that of who submits, the simulator on the only one there is: it must be quick, must
/// not block and must not panic. It may submit. It is dropped without a call only with the whole node: when a
/// simulated node crashes.
pub type Completion = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The name of the lock file that [`Disk::lock`] makes in a data folder.
pub const LOCK_FILE: &str = "LOCK";

/// Submissions to one queue are carried out one after the other; different queues run side by side, so that
/// writing a snapshot never delays an fsync of the log. A file belongs to one queue at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The replication log and votes.
    Log,
    /// Snapshots.
    Snapshot,
}

/// One operation. Paths are as given to the process; folders exist before files in them are created.
#[derive(Debug)]
pub enum Op {
    /// Creates the file (emptying an old one) with a length of `len` bytes, which read as zeros; room on the
    /// disk is reserved where the file system can.
    Create {
        /// Where.
        path: PathBuf,
        /// How many bytes to reserve; 0 for none.
        len: u64,
    },
    /// Writes all `bufs` one after the other from `offset` on.
    Write {
        /// Which file; it exists.
        path: Arc<Path>,
        /// Bytes from the start of the file.
        offset: u64,
        /// What.
        bufs: Vec<Bytes>,
    },
    /// Makes the contents (and the length) of a file durable: fdatasync.
    Sync {
        /// Which file; it exists.
        path: Arc<Path>,
    },
    /// Cuts or extends a file to `len` bytes.
    SetLen {
        /// Which file; it exists.
        path: Arc<Path>,
        /// The new length.
        len: u64,
    },
    /// Renames a file in place of another.
    Rename {
        /// The present name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// Removes a file. One that is not there is no error.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// Makes the entries of a folder durable (R7).
    SyncDir {
        /// Which.
        path: PathBuf,
    },
    /// Closes the cached handle of a file that will not be written any more.
    Close {
        /// Which.
        path: Arc<Path>,
    },
}

/// A disk. `submit` is the only way to change it while the node runs; the blocking half is for the start of a
/// node and for reading what is not in memory. Errors name the operation and the path, and keep their kind
/// (`StorageFull`, `NotFound`).
pub trait Disk: Send + Sync {
    /// Carries out `ops` in order and stops at the first error, then calls `done`. Completions of one queue
    /// come in the order of submission.
    ///
    /// Never blocks. There is no limit here to what may be outstanding: whoever submits bounds it.
    fn submit(&self, queue: Queue, ops: Vec<Op>, done: Completion);

    /// The same, but a few small writes that would be the next in the queue may be carried out here and now, and `done`
    /// called before this returns: that saves two wake-ups. Whoever calls this bears to be held up now and then, for as
    /// long as an operating system that is short of memory or busy with its disk makes a small write wait.
    fn submit_prompt(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        self.submit(queue, ops, done);
    }

    /// Reads up to `len` bytes from `offset` on; fewer at the end of the file. Blocks.
    fn read(&self, path: &Path, offset: u64, len: usize) -> io::Result<Bytes>;

    /// The names (not paths) in a folder, sorted. A folder that is not there is empty.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// The length of a file, or `None` if there is none.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Creates a folder and its parents and makes them durable. Blocks.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a data folder for the life of this process (or simulated node).
    /// The folder exists. The error is of kind `ResourceBusy` if somebody holds it, and says who, where that
    /// is known.
    fn lock(&self, path: &Path) -> io::Result<()>;

    /// Identifies the boot of the operating system: it changes when what was written and not synced may be
    /// gone (R8).
    fn boot_id(&self) -> String;

    /// Carries out `ops` and waits. For the start of a node; never on a thread that serves.
    fn run(&self, ops: Vec<Op>) -> io::Result<()>;
}
