//! Disks that lose power and fill up: one small FUSE file system for each node, in the memory of this process.
//!
//! [`tree`] and [`contents`] know what is durable; [`mount`](mod@mount) shows it to the kernel. The mounts are in a mount
//! namespace of this process and its children: however the tool ends, nothing of them is left behind.

mod contents;
mod mount;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use fuser::BackgroundSession;
use nix::mount::{MsFlags, mount as remount};
use nix::sched::{CloneFlags, unshare};

use mount::{Shared, lock};
use tree::Tree;

/// In a node's folder: where its disk is mounted, and the file that names the present boot of its machine.
const MOUNT: &str = "disk";
const BOOT_ID: &str = "boot-id";
/// On the disk: the data folder of the node.
const DATA: &str = "data";
/// Files whose damage a node must notice: the log, its votes, and snapshots.
const DAMAGED: [&str; 2] = ["/log/", "/snapshots/"];

/// The disks of all nodes. Dropping it unmounts them: the nodes must have ended.
#[derive(Debug)]
pub(super) struct Disks {
    disks: Vec<Disk>,
    seed: u64,
    ignores_fsync: AtomicBool,
}

#[derive(Debug)]
struct Disk {
    tree: Shared,
    session: Option<BackgroundSession>,
    folder: PathBuf,
    boots: AtomicU64,
}

/// The data folder of a node whose own folder this is, if it has a disk of its own.
pub(crate) fn data_folder(node: &Path) -> PathBuf {
    node.join(MOUNT).join(DATA)
}

/// The file that such a node reads the boot of its machine from.
pub(crate) fn boot_id_file(node: &Path) -> PathBuf {
    node.join(BOOT_ID)
}

impl Disks {
    /// A disk for each of these folders, which nodes 1, 2 and so on have for themselves. An error says what is missing
    /// on this machine. Call it before threads start that are to see the disks.
    pub(super) fn mount(folders: &[PathBuf], seed: u64) -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "it takes a file system of its own, which only root may mount"
        );
        fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .context("it takes FUSE, and /dev/fuse cannot be opened")?;
        unshare(CloneFlags::CLONE_NEWNS).context("it takes a mount namespace")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        remount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .context("it takes a private mount namespace")?;
        let disks = (1..).zip(folders).map(|(id, folder)| Disk::mount(folder.clone(), seed.wrapping_add(id)));
        let disks = Self {
            disks: disks.collect::<anyhow::Result<_>>()?,
            seed,
            ignores_fsync: AtomicBool::new(false),
        };
        for disk in &disks.disks {
            disks.write_boot_id(disk)?;
        }
        Ok(disks)
    }

    /// From now on all disks confirm every fsync, and none makes anything durable.
    pub(super) fn ignore_fsync(&self) {
        self.ignores_fsync.store(true, Ordering::Relaxed);
        for disk in &self.disks {
            lock(&disk.tree).ignore_sync();
        }
    }

    /// Whether they do.
    pub(super) fn ignores_fsync(&self) -> bool {
        self.ignores_fsync.load(Ordering::Relaxed)
    }

    /// The power of a node goes: part of what was not synced is gone, torn or out of order. The node must have ended.
    pub(super) fn lose_power(&self, id: u64) -> anyhow::Result<()> {
        let disk = &self.disks[index(id)];
        lock(&disk.tree).lose_power();
        disk.boots.fetch_add(1, Ordering::Relaxed);
        self.write_boot_id(disk)
    }

    /// Whether a node's disk is full.
    pub(super) fn set_full(&self, id: u64, full: bool) {
        lock(&self.disks[index(id)].tree).set_full(full);
    }

    /// Turns a bit around in the log or a snapshot of a node that has ended. Where, for people; none if there is nothing.
    pub(super) fn damage(&self, id: u64) -> Option<String> {
        let wanted = |path: &str| DAMAGED.iter().any(|part| path.contains(part));
        let (path, place) = lock(&self.disks[index(id)].tree).flip_a_bit(wanted)?;
        Some(format!("{path}, byte {place}"))
    }

    /// Unmounts all, and puts what they hold to where they were mounted: what was in memory stays for whoever looks.
    pub(super) fn export(mut self) -> anyhow::Result<()> {
        for disk in &mut self.disks {
            disk.unmount();
            let to = disk.folder.join(MOUNT);
            lock(&disk.tree).export(&to).with_context(|| format!("copying a disk to {}", to.display()))?;
        }
        Ok(())
    }

    /// The node is to notice that its machine was booted (R8).
    fn write_boot_id(&self, disk: &Disk) -> anyhow::Result<()> {
        let path = boot_id_file(&disk.folder);
        fs::write(&path, format!("torture-{}-{}\n", self.seed, disk.boots.load(Ordering::Relaxed)))
            .with_context(|| path.display().to_string())
    }
}

fn index(id: u64) -> usize {
    usize::try_from(id - 1).expect("a node's number")
}

impl Disk {
    fn mount(folder: PathBuf, seed: u64) -> anyhow::Result<Self> {
        let at = folder.join(MOUNT);
        fs::create_dir_all(&at).with_context(|| at.display().to_string())?;
        let tree = Arc::new(Mutex::new(Tree::new(seed)));
        let session =
            mount::mount(&tree, &at).with_context(|| format!("mounting FUSE on {}", at.display()))?;
        Ok(Self { tree, session: Some(session), folder, boots: AtomicU64::new(0) })
    }

    fn unmount(&mut self) {
        let Some(session) = self.session.take() else { return };
        // It fails while somebody else still looks at it; then it goes with the namespace, when this process ends.
        let _ = session.umount_and_join();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::FlockOperation;

    use super::*;

    /// Two disks in a temporary folder; none where this machine cannot have any, which is said.
    fn disks() -> Option<(tempfile::TempDir, Disks)> {
        let dir = tempfile::tempdir().unwrap();
        match Disks::mount(&[dir.path().join("a"), dir.path().join("b")], 1) {
            Ok(disks) => Some((dir, disks)),
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "skipped: {error:#}");
                None
            }
        }
    }

    #[test]
    fn the_kernel_shows_what_was_written_and_forgets_it_with_the_power() {
        let Some((dir, disks)) = disks() else { return };
        let data = data_folder(&dir.path().join("a"));
        fs::create_dir(&data).unwrap();
        let mut file = fs::File::create(data.join("file")).unwrap();
        let long = vec![7; 3_000_000];
        file.write_all(&long).unwrap();
        assert!(fs::read(data.join("file")).unwrap() == long);
        fs::rename(data.join("file"), data.join("other")).unwrap();
        let names: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["other"]);
        assert!(fs::read_dir(data_folder(&dir.path().join("b")).parent().unwrap()).unwrap().next().is_none());
        for durable in [&data, data.parent().unwrap()] {
            fs::File::open(durable).unwrap().sync_all().unwrap();
        }
        file.sync_data().unwrap();
        let boot = fs::read(boot_id_file(&dir.path().join("a"))).unwrap();
        for round in 0..20_u8 {
            fs::write(data.join("new"), b"new").unwrap();
            file.set_len(3_000_001 + u64::from(round)).unwrap();
            drop(fs::File::open(data.join("other")).unwrap());
            disks.lose_power(1).unwrap();
            assert!(fs::read(data.join("other")).unwrap()[..3_000_000] == long, "{round}");
        }
        assert_ne!(fs::read(boot_id_file(&dir.path().join("a"))).unwrap(), boot);
        drop(file);
        disks.export().unwrap();
        assert!(fs::read(data.join("other")).unwrap().starts_with(&long), "a copy stays");
    }

    #[test]
    fn locks_and_reserved_room_work_and_a_full_disk_says_so() {
        let Some((dir, disks)) = disks() else { return };
        let path = dir.path().join("b").join(MOUNT).join("lock");
        let first = fs::File::create(&path).unwrap();
        let second = fs::File::open(&path).unwrap();
        rustix::fs::flock(&first, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(first);
        rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut file = fs::File::create(path.with_file_name("log")).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 26).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 26);
        disks.set_full(2, true);
        assert_eq!(file.write_all(b"content").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert!(fs::File::create(path.with_file_name("more")).is_err());
        disks.set_full(2, false);
        file.write_all(b"content").unwrap();
        assert_eq!(disks.damage(1), None);
        drop((file, second));
        drop(disks);
        assert!(!path.exists(), "unmounted");
    }
}
