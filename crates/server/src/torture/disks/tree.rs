//! Files and folders of one disk, by the numbers that the kernel knows them by.
//!
//! A change is seen at once and is durable only after a sync: of the file for its contents, of the folder for its
//! entries. POSIX promises no more, whatever common file systems do on top. The simulator's disk has the same rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use fastrand::Rng;
use rustix::io::Errno;

use super::contents::{File, Mercy};

/// The number of a file or folder.
pub(super) type Ino = u64;
/// The folder at the top, as FUSE numbers it.
pub(super) const ROOT: Ino = 1;

/// All that is on one disk.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: BTreeMap<Ino, Inode>,
    next: Ino,
    /// How many handles are open: such a file lives on without a name.
    opened: BTreeMap<Ino, u64>,
    rng: Rng,
    full: bool,
    ignores_sync: bool,
}

#[derive(Debug)]
enum Inode {
    File(File),
    Folder(Folder),
}

/// The entries of a folder.
#[derive(Debug, Default)]
struct Folder {
    seen: BTreeMap<OsString, Ino>,
    durable: BTreeMap<OsString, Ino>,
    unsynced: Vec<EntryChange>,
}

#[derive(Debug)]
enum EntryChange {
    Link(OsString, Ino),
    Unlink(OsString),
    /// Replaces what is there, as one step.
    Rename(OsString, OsString, Ino),
}

impl Tree {
    /// An empty disk; `seed` decides what power losses leave.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            inodes: BTreeMap::from([(ROOT, Inode::Folder(Folder::default()))]),
            next: ROOT + 1,
            opened: BTreeMap::new(),
            rng: Rng::with_seed(seed),
            full: false,
            ignores_sync: false,
        }
    }

    /// Whether writes and new files fail with ENOSPC.
    pub(super) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// From now on a sync is confirmed and makes nothing durable, and a power loss leaves none of it.
    pub(super) fn ignore_sync(&mut self) {
        self.ignores_sync = true;
    }

    /// The power goes: what is durable stays, and as much of the rest as is drawn.
    pub(super) fn lose_power(&mut self) {
        let draw = self.rng.usize(..4);
        let mercy = [Mercy::None, Mercy::All, Mercy::Some, Mercy::Some][draw];
        let mercy = if self.ignores_sync { Mercy::None } else { mercy };
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::File(file) => file.lose_power(mercy, &mut self.rng),
                Inode::Folder(folder) => folder.lose_power(mercy, &mut self.rng),
            }
        }
        self.forget_unreachable();
    }

    /// Length, or none for a folder.
    pub(super) fn stat(&self, ino: Ino) -> Result<Option<u64>, Errno> {
        match self.inodes.get(&ino).ok_or(Errno::NOENT)? {
            Inode::File(file) => Ok(Some(file.len())),
            Inode::Folder(_) => Ok(None),
        }
    }

    pub(super) fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.folder(parent)?.seen.get(name).copied().ok_or(Errno::NOENT)
    }

    /// Names and numbers, sorted by name.
    pub(super) fn entries(&self, ino: Ino) -> Result<Vec<(OsString, Ino)>, Errno> {
        Ok(self.folder(ino)?.seen.iter().map(|(name, ino)| (name.clone(), *ino)).collect())
    }

    /// A new file, opened.
    pub(super) fn create(&mut self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        let ino = self.add(parent, name, Inode::File(File::default()))?;
        self.open(ino)?;
        Ok(ino)
    }

    pub(super) fn make_folder(&mut self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.add(parent, name, Inode::Folder(Folder::default()))
    }

    pub(super) fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        self.file(ino)?;
        *self.opened.entry(ino).or_default() += 1;
        Ok(())
    }

    pub(super) fn close(&mut self, ino: Ino) {
        let Some(count) = self.opened.get_mut(&ino) else { return };
        *count -= 1;
        if *count == 0 {
            self.opened.remove(&ino);
            self.forget_unreachable();
        }
    }

    pub(super) fn read(&self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        Ok(self.file(ino)?.read(offset, len))
    }

    /// How many bytes were written: on a full disk perhaps some, then none. What was only reserved counts as full, too,
    /// as it does where a file system writes to a new place each time.
    pub(super) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.file(ino)?;
        let mut taken = bytes.len();
        if self.full {
            taken = if self.rng.bool() { self.rng.usize(..bytes.len().max(1)) } else { 0 };
            if taken == 0 {
                return Err(Errno::NOSPC);
            }
        }
        self.file_mut(ino)?.write(offset, &bytes[..taken]);
        Ok(taken)
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> Result<(), Errno> {
        if self.full && len > self.file(ino)?.len() {
            return Err(Errno::NOSPC);
        }
        self.file_mut(ino)?.set_len(len);
        Ok(())
    }

    /// fsync of a file or a folder.
    pub(super) fn sync(&mut self, ino: Ino) -> Result<(), Errno> {
        let ignores = self.ignores_sync;
        match self.inodes.get_mut(&ino).ok_or(Errno::NOENT)? {
            _ if ignores => {}
            Inode::File(file) => file.sync(),
            Inode::Folder(folder) => {
                folder.sync();
                self.forget_unreachable();
            }
        }
        Ok(())
    }

    /// Removes a file, or a folder that is empty.
    pub(super) fn remove(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.lookup(parent, name)?;
        self.check_replaceable(ino)?;
        self.folder_mut(parent)?.change(EntryChange::Unlink(name.to_owned()));
        Ok(())
    }

    /// Replaces what has the new name already.
    pub(super) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr)) -> Result<(), Errno> {
        let ino = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(there) if there == ino => return Ok(()),
            Ok(there) => self.check_replaceable(there)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        let (old, new) = (from.1.to_owned(), to.1.to_owned());
        if from.0 == to.0 {
            self.folder_mut(from.0)?.change(EntryChange::Rename(old, new, ino));
        } else {
            self.folder_mut(from.0)?.change(EntryChange::Unlink(old));
            self.folder_mut(to.0)?.change(EntryChange::Link(new, ino));
        }
        Ok(())
    }

    /// Turns a bit around in something that was written to one of the files that `wanted` takes, by their paths. Which
    /// one and where; none if there is nothing.
    pub(super) fn flip_a_bit(&mut self, wanted: impl Fn(&str) -> bool) -> Option<(String, u64)> {
        let mut files: Vec<(String, Ino)> =
            self.files().into_iter().filter(|(path, _)| wanted(path)).collect();
        self.rng.shuffle(&mut files);
        for (path, ino) in files {
            let (draw, bit) = (self.rng.u64(..), self.rng.u8(..8));
            let Ok(file) = self.file_mut(ino) else { continue };
            let Some(place) = file.place_of_content(draw) else { continue };
            file.flip_bit(place, bit);
            return Some((path, place));
        }
        None
    }

    /// Copies everything below a folder that exists and is empty.
    pub(super) fn export(&self, to: &Path) -> io::Result<()> {
        for (path, ino) in self.files() {
            let path = to.join(path);
            fs::create_dir_all(path.parent().unwrap_or(to))?;
            if let Ok(file) = self.file(ino) {
                file.export(&mut fs::File::create(&path)?)?;
            }
        }
        Ok(())
    }

    /// All files that have a name, by their path.
    fn files(&self) -> Vec<(String, Ino)> {
        let (mut files, mut folders) = (Vec::new(), vec![(String::new(), ROOT)]);
        while let Some((path, ino)) = folders.pop() {
            for (name, ino) in self.entries(ino).unwrap_or_default() {
                let path = format!("{path}{}", name.to_string_lossy());
                match self.stat(ino) {
                    Ok(Some(_)) => files.push((path, ino)),
                    _ => folders.push((path + "/", ino)),
                }
            }
        }
        files.sort();
        files
    }

    fn add(&mut self, parent: Ino, name: &OsStr, inode: Inode) -> Result<Ino, Errno> {
        if self.full {
            return Err(Errno::NOSPC);
        }
        if self.folder(parent)?.seen.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, inode);
        self.folder_mut(parent)?.change(EntryChange::Link(name.to_owned(), ino));
        Ok(ino)
    }

    fn check_replaceable(&self, ino: Ino) -> Result<(), Errno> {
        match self.inodes.get(&ino) {
            Some(Inode::Folder(folder)) if !folder.seen.is_empty() => Err(Errno::NOTEMPTY),
            _ => Ok(()),
        }
    }

    fn file(&self, ino: Ino) -> Result<&File, Errno> {
        match self.inodes.get(&ino).ok_or(Errno::NOENT)? {
            Inode::File(file) => Ok(file),
            Inode::Folder(_) => Err(Errno::ISDIR),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> Result<&mut File, Errno> {
        match self.inodes.get_mut(&ino).ok_or(Errno::NOENT)? {
            Inode::File(file) => Ok(file),
            Inode::Folder(_) => Err(Errno::ISDIR),
        }
    }

    fn folder(&self, ino: Ino) -> Result<&Folder, Errno> {
        match self.inodes.get(&ino).ok_or(Errno::NOENT)? {
            Inode::Folder(folder) => Ok(folder),
            Inode::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn folder_mut(&mut self, ino: Ino) -> Result<&mut Folder, Errno> {
        match self.inodes.get_mut(&ino).ok_or(Errno::NOENT)? {
            Inode::Folder(folder) => Ok(folder),
            Inode::File(_) => Err(Errno::NOTDIR),
        }
    }

    /// Frees what nobody has open and no folder names, or can come to name after a power loss.
    fn forget_unreachable(&mut self) {
        let mut kept: BTreeSet<Ino> = self.opened.keys().copied().collect();
        let mut folders = vec![ROOT];
        kept.insert(ROOT);
        while let Some(ino) = folders.pop() {
            let Some(Inode::Folder(folder)) = self.inodes.get(&ino) else { continue };
            folders.extend(folder.inos().filter(|ino| kept.insert(*ino)));
        }
        self.inodes.retain(|ino, _| kept.contains(ino));
    }
}

impl Folder {
    fn change(&mut self, change: EntryChange) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.seen);
    }

    fn lose_power(&mut self, mercy: Mercy, rng: &mut Rng) {
        for change in self.unsynced.drain(..) {
            let kept = match mercy {
                Mercy::None => false,
                Mercy::All => true,
                Mercy::Some => rng.bool(),
            };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.seen.clone_from(&self.durable);
    }

    fn inos(&self) -> impl Iterator<Item = Ino> {
        let unsynced = self.unsynced.iter().filter_map(|change| match change {
            EntryChange::Link(_, ino) | EntryChange::Rename(_, _, ino) => Some(*ino),
            EntryChange::Unlink(_) => None,
        });
        self.seen.values().copied().chain(self.durable.values().copied()).chain(unsynced)
    }
}

impl EntryChange {
    fn apply(&self, entries: &mut BTreeMap<OsString, Ino>) {
        match self {
            Self::Link(name, ino) => {
                entries.insert(name.clone(), *ino);
            }
            Self::Unlink(name) => {
                entries.remove(name);
            }
            Self::Rename(from, to, ino) => {
                // The old name may belong to another file by now, where changes are kept out of order.
                if entries.get(from) == Some(ino) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *ino);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn names(tree: &Tree, ino: Ino) -> Vec<String> {
        let entries = tree.entries(ino).unwrap();
        entries.into_iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }

    /// A durable folder with a durable, closed file `old` of "old".
    fn prepared(seed: u64) -> (Tree, Ino) {
        let mut tree = Tree::new(seed);
        let folder = tree.make_folder(ROOT, name("folder")).unwrap();
        let file = tree.create(folder, name("old")).unwrap();
        tree.write(file, 0, b"old").unwrap();
        tree.close(file);
        for ino in [file, folder, ROOT] {
            tree.sync(ino).unwrap();
        }
        (tree, folder)
    }

    #[test]
    fn an_entry_is_durable_after_a_sync_of_its_folder() {
        let mut seen = BTreeSet::new();
        for seed in 0..40 {
            let (mut tree, folder) = prepared(seed);
            let new = tree.create(folder, name("new")).unwrap();
            tree.write(new, 0, b"new").unwrap();
            tree.sync(new).unwrap();
            tree.rename((folder, name("new")), (folder, name("old"))).unwrap();
            tree.close(new);
            assert_eq!(names(&tree, folder), ["old"]);
            tree.lose_power();
            assert_eq!(names(&tree, ROOT), ["folder"]);
            let content = |of: &str| tree.read(tree.lookup(folder, name(of)).unwrap(), 0, 9).unwrap();
            let all: Vec<(String, Vec<u8>)> =
                names(&tree, folder).into_iter().map(|name| (name.clone(), content(&name))).collect();
            assert!(all.iter().any(|(name, _)| name == "old"), "a rename replaces in one step: {all:?}");
            seen.insert(all);
        }
        assert!(seen.len() >= 3, "nothing, all and some: {seen:?}");
        let (mut tree, folder) = prepared(1);
        let new = tree.create(folder, name("new")).unwrap();
        tree.sync(folder).unwrap();
        tree.close(new);
        tree.lose_power();
        assert_eq!(names(&tree, folder), ["new", "old"]);
    }

    #[test]
    fn a_folder_that_was_not_synced_may_be_gone_with_all_that_is_in_it() {
        let mut gone = 0;
        for seed in 0..20 {
            let mut tree = Tree::new(seed);
            let folder = tree.make_folder(ROOT, name("folder")).unwrap();
            let file = tree.create(folder, name("file")).unwrap();
            tree.close(file);
            tree.sync(file).unwrap();
            tree.sync(folder).unwrap();
            tree.lose_power();
            gone += usize::from(tree.lookup(ROOT, name("folder")) == Err(Errno::NOENT));
            assert_eq!(tree.stat(file).is_ok(), tree.stat(folder).is_ok());
        }
        assert!((1..20).contains(&gone), "{gone}");
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let (mut tree, folder) = prepared(1);
        let file = tree.lookup(folder, name("old")).unwrap();
        tree.open(file).unwrap();
        tree.remove(folder, name("old")).unwrap();
        tree.sync(folder).unwrap();
        assert_eq!(tree.read(file, 0, 9).unwrap(), b"old");
        tree.close(file);
        assert_eq!(tree.read(file, 0, 9), Err(Errno::NOENT));
        assert_eq!(tree.remove(ROOT, name("nothing")), Err(Errno::NOENT));
        let _file = tree.create(folder, name("more")).unwrap();
        assert_eq!(tree.remove(ROOT, name("folder")), Err(Errno::NOTEMPTY));
    }

    #[test]
    fn a_full_disk_takes_nothing_and_gives_everything_back() {
        let (mut tree, folder) = prepared(1);
        let file = tree.lookup(folder, name("old")).unwrap();
        tree.set_full(true);
        assert_eq!(tree.create(folder, name("new")), Err(Errno::NOSPC));
        assert_eq!(tree.make_folder(folder, name("new")), Err(Errno::NOSPC));
        assert_eq!(tree.set_len(file, 4), Err(Errno::NOSPC));
        let written: Vec<_> = (0..20).map(|_| tree.write(file, 0, b"older")).collect();
        assert!(written.contains(&Err(Errno::NOSPC)), "{written:?}");
        assert!(written.iter().all(|result| result.is_err() || result.is_ok_and(|n| n < 5)), "{written:?}");
        tree.set_len(file, 1).unwrap();
        tree.remove(folder, name("old")).unwrap();
        tree.set_full(false);
        assert_eq!(tree.create(folder, name("new")).map(|ino| tree.write(ino, 0, b"new")), Ok(Ok(3)));
    }

    #[test]
    fn a_disk_that_ignores_syncs_forgets_what_it_confirmed() {
        for seed in 0..10 {
            let (mut tree, folder) = prepared(seed);
            tree.ignore_sync();
            let file = tree.lookup(folder, name("old")).unwrap();
            tree.write(file, 0, b"new").unwrap();
            tree.create(folder, name("other")).unwrap();
            tree.sync(file).unwrap();
            tree.sync(folder).unwrap();
            tree.lose_power();
            assert_eq!(tree.read(file, 0, 9).unwrap(), b"old");
            assert_eq!(names(&tree, folder), ["old"]);
        }
    }

    #[test]
    fn what_is_there_can_be_copied_out() {
        let (mut tree, folder) = prepared(1);
        let file = tree.lookup(folder, name("old")).unwrap();
        tree.write(file, 10_000, b"far").unwrap();
        tree.set_len(file, 20_000).unwrap();
        let to = tempfile::tempdir().unwrap();
        tree.export(to.path()).unwrap();
        let copy = fs::read(to.path().join("folder/old")).unwrap();
        assert_eq!(copy.len(), 20_000);
        assert_eq!((&copy[..4], &copy[10_000..10_004]), (&b"old\0"[..], &b"far\0"[..]));
        let (path, place) = tree.flip_a_bit(|path| path == "folder/old").unwrap();
        assert_eq!((path.as_str(), place < 10_003), ("folder/old", true));
        assert_ne!(tree.read(file, 0, 20_000).unwrap(), copy);
        assert_eq!(tree.flip_a_bit(|path| path.ends_with("nothing")), None);
    }
}
