//! Files and folders in memory, each as the system shows it and as it is on the platters.
//!
//! A change is seen at once and is durable only after a sync: of the file for its contents, of the folder for
//! its entries (POSIX promises no more, whatever common file systems do on top). A [power
//! loss](FileTree::lose_power) keeps what is durable and any part of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;

use quorate_env::Op;

const PAGE: usize = 4096;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// The kinds of operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// `Op::Create`.
    Create,
    /// `Op::Write`.
    Write,
    /// `Op::Sync`.
    Sync,
    /// `Op::SetLen`.
    SetLen,
    /// `Op::Rename`.
    Rename,
    /// `Op::Remove`.
    Remove,
    /// `Op::SyncDir`.
    SyncDir,
    /// `Op::Close`.
    Close,
}

impl OpKind {
    pub(crate) fn of(op: &Op) -> Self {
        match op {
            Op::Create { .. } => Self::Create,
            Op::Write { .. } => Self::Write,
            Op::Sync { .. } => Self::Sync,
            Op::SetLen { .. } => Self::SetLen,
            Op::Rename { .. } => Self::Rename,
            Op::Remove { .. } => Self::Remove,
            Op::SyncDir { .. } => Self::SyncDir,
            Op::Close { .. } => Self::Close,
        }
    }
}

/// A copy of all files below a folder, as a backup or a cloned disk would hold them.
#[derive(Debug, Clone, Default)]
pub struct FolderImage {
    /// By path relative to the folder.
    files: BTreeMap<PathBuf, Image>,
    folders: BTreeSet<PathBuf>,
}

/// All that is on one disk.
#[derive(Debug, Default)]
pub(crate) struct FileTree {
    files: BTreeMap<FileId, File>,
    folders: BTreeMap<PathBuf, Folder>,
    next_id: FileId,
    /// In bytes; `None` for no limit.
    pub(crate) capacity: Option<u64>,
}

type FileId = u64;

#[derive(Debug, Default)]
struct File {
    seen: Image,
    durable: Image,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Bytes },
    SetLen(u64),
}

#[derive(Debug, Default)]
struct Folder {
    seen: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    unsynced: Vec<EntryChange>,
}

#[derive(Debug, Clone)]
enum EntryChange {
    Link(String, FileId),
    Unlink(String),
    /// Replaces what is there, as one step.
    Rename(String, String, FileId),
}

/// How a power loss treats what was not synced.
#[derive(Debug, Clone, Copy)]
enum Mercy {
    None,
    All,
    /// Each change is kept, lost or torn, whatever its order.
    Some,
}

impl FileTree {
    /// Carries out one operation.
    pub(crate) fn apply(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::Create { path, len } => self.create(path, *len),
            Op::Write { path, offset, bufs } => self.write(path, *offset, bufs),
            Op::Sync { path } => {
                self.file_mut(path)?.sync();
                Ok(())
            }
            Op::SetLen { path, len } => self.set_len(path, *len),
            Op::Rename { from, to } => self.rename(from, to),
            Op::Remove { path } => self.remove(path),
            Op::SyncDir { path } => {
                let folder = self.folders.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
                folder.sync();
                self.forget_unreachable();
                Ok(())
            }
            Op::Close { .. } => Ok(()),
        }
    }

    /// Leaves what an operation may leave that fails or is cut short: part of a write; and after a failed
    /// sync, changes that the system shows and takes for clean, and that no later sync makes durable (R7).
    pub(crate) fn apply_partly(&mut self, op: &Op, rng: &mut Rng) {
        match op {
            Op::Write { path, offset, bufs } => {
                let bytes = concat(bufs);
                let part = bytes.slice(..rng.usize(..=bytes.len()));
                // What cannot be written leaves nothing behind.
                let _unwritten = self.write(path, *offset, &[part]);
            }
            Op::Sync { path } => {
                if let Ok(file) = self.file_mut(path) {
                    file.lose_unsynced(Mercy::Some, rng);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn read(&self, path: &Path, offset: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.file(path)?.seen.read(offset, len))
    }

    pub(crate) fn len(&self, path: &Path) -> Option<u64> {
        self.file(path).ok().map(|file| file.seen.len)
    }

    pub(crate) fn list(&self, path: &Path) -> Vec<String> {
        let files = self.folders.get(path).into_iter().flat_map(|folder| folder.seen.keys().cloned());
        let folders =
            self.folders.keys().filter(|folder| folder.parent() == Some(path)).filter_map(|p| name(p).ok());
        files.chain(folders).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        for folder in path.ancestors() {
            if self.file(folder).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        for folder in path.ancestors() {
            self.folders.entry(folder.to_owned()).or_default();
        }
        Ok(())
    }

    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }

    /// Everything but what is durable is gone, or part of it is.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) {
        let mercy = [Mercy::None, Mercy::All, Mercy::Some, Mercy::Some][rng.usize(..4)];
        for file in self.files.values_mut() {
            file.lose_unsynced(mercy, rng);
            file.seen = file.durable.clone();
        }
        for folder in self.folders.values_mut() {
            folder.lose_unsynced(mercy, rng);
        }
        self.forget_unreachable();
    }

    /// Turns one bit of a file around where it lies: reads see it, and so does a reboot.
    pub(crate) fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let file = self.file_mut(path)?;
        if offset >= file.seen.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seen.flip_bit(offset, bit);
        if offset < file.durable.len {
            file.durable.flip_bit(offset, bit);
        }
        Ok(())
    }

    /// Copies all files below `root`, as the system shows them.
    pub(crate) fn image(&self, root: &Path) -> FolderImage {
        let mut image = FolderImage::default();
        for (path, folder) in &self.folders {
            let Ok(relative) = path.strip_prefix(root) else { continue };
            image.folders.insert(relative.to_owned());
            for (name, id) in &folder.seen {
                image.files.insert(relative.join(name), self.files[id].seen.clone());
            }
        }
        image
    }

    /// Puts `image` in place of all that is below `root`, durably.
    pub(crate) fn restore(&mut self, root: &Path, image: &FolderImage) -> io::Result<()> {
        self.folders.retain(|path, _| !path.starts_with(root));
        self.create_dir(root)?;
        for folder in &image.folders {
            self.create_dir(&join(root, folder))?;
        }
        for (path, contents) in &image.files {
            let id =
                self.add_file(File { seen: contents.clone(), durable: contents.clone(), unsynced: vec![] });
            let (folder, name) = self.place_mut(&join(root, path))?;
            folder.seen.insert(name.clone(), id);
            folder.durable.insert(name, id);
        }
        self.forget_unreachable();
        Ok(())
    }

    fn create(&mut self, path: &Path, len: u64) -> io::Result<()> {
        if self.has_folder(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // An old file of this name keeps its identity and loses its contents.
        if self.file(path).is_ok() {
            self.set_len(path, 0)?;
        } else {
            self.place_mut(path)?;
            let id = self.add_file(File::default());
            let (folder, name) = self.place_mut(path)?;
            folder.change(EntryChange::Link(name, id));
        }
        self.set_len(path, len)
    }

    fn write(&mut self, path: &Path, offset: u64, bufs: &[Bytes]) -> io::Result<()> {
        let len: usize = bufs.iter().map(Bytes::len).sum();
        let end = offset.checked_add(len as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.check_room(path, end)?;
        let file = self.file_mut(path)?;
        let mut at = offset;
        for bytes in bufs {
            file.change(Change::Write { offset: at, bytes: bytes.clone() });
            at += bytes.len() as u64;
        }
        Ok(())
    }

    fn set_len(&mut self, path: &Path, len: u64) -> io::Result<()> {
        self.check_room(path, len)?;
        self.file_mut(path)?.change(Change::SetLen(len));
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.id(from)?;
        let (source, old) = self.place_mut(from)?;
        if from.parent() == to.parent() {
            source.change(EntryChange::Rename(old, name(to)?, id));
            return Ok(());
        }
        self.place_mut(to)?;
        let (source, old) = self.place_mut(from)?;
        source.change(EntryChange::Unlink(old));
        let (target, new) = self.place_mut(to)?;
        target.change(EntryChange::Link(new, id));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.id(path).is_ok() {
            let (folder, name) = self.place_mut(path)?;
            folder.change(EntryChange::Unlink(name));
        }
        Ok(())
    }

    /// The bytes of all files, as the system shows them.
    pub(crate) fn used(&self) -> u64 {
        self.files.values().map(|file| file.seen.len).sum()
    }

    fn check_room(&self, path: &Path, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let old = self.len(path).unwrap_or(0);
        if len > old && self.used() + (len - old) > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn add_file(&mut self, file: File) -> FileId {
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, file);
        id
    }

    fn id(&self, path: &Path) -> io::Result<FileId> {
        let folder = path.parent().and_then(|folder| self.folders.get(folder));
        let id = folder.and_then(|folder| folder.seen.get(&name(path).ok()?).copied());
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&self, path: &Path) -> io::Result<&File> {
        Ok(&self.files[&self.id(path)?])
    }

    fn file_mut(&mut self, path: &Path) -> io::Result<&mut File> {
        let id = self.id(path)?;
        Ok(self.files.get_mut(&id).expect("an entry names a file"))
    }

    /// The folder of `path` and the name within it.
    fn place_mut(&mut self, path: &Path) -> io::Result<(&mut Folder, String)> {
        let folder = path.parent().and_then(|folder| self.folders.get_mut(folder));
        Ok((folder.ok_or(io::ErrorKind::NotFound)?, name(path)?))
    }

    /// Frees the files that no folder names or can come to name after a power loss.
    fn forget_unreachable(&mut self) {
        let named: BTreeSet<FileId> = self.folders.values().flat_map(Folder::ids).collect();
        self.files.retain(|id, _| named.contains(id));
    }
}

impl File {
    fn change(&mut self, change: Change) {
        self.seen.change(&change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        let mut touched = BTreeSet::new();
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => touched.extend(pages(offset, bytes.len())),
                Change::SetLen(len) => {
                    touched.insert(len / PAGE as u64);
                    self.durable.set_len(len);
                }
            }
        }
        self.durable.len = self.seen.len;
        for page in touched {
            match self.seen.pages.get(&page) {
                Some(shared) => self.durable.pages.insert(page, Arc::clone(shared)),
                None => self.durable.pages.remove(&page),
            };
        }
    }

    /// Makes part of what is not synced durable and forgets that the rest should be.
    fn lose_unsynced(&mut self, mercy: Mercy, rng: &mut Rng) {
        for change in self.unsynced.drain(..) {
            match mercy {
                Mercy::None => {}
                Mercy::All => self.durable.change(&change),
                Mercy::Some => match rng.u8(..3) {
                    0 => {}
                    1 => self.durable.change(&change),
                    _ => self.durable.change_torn(&change, rng),
                },
            }
        }
    }
}

impl Folder {
    fn change(&mut self, change: EntryChange) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.durable = self.seen.clone();
    }

    fn lose_unsynced(&mut self, mercy: Mercy, rng: &mut Rng) {
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
        self.seen = self.durable.clone();
    }

    fn ids(&self) -> impl Iterator<Item = FileId> {
        let unsynced = self.unsynced.iter().filter_map(|change| match change {
            EntryChange::Link(_, id) | EntryChange::Rename(_, _, id) => Some(*id),
            EntryChange::Unlink(_) => None,
        });
        self.seen.values().copied().chain(self.durable.values().copied()).chain(unsynced)
    }
}

impl EntryChange {
    fn apply(&self, entries: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Link(name, id) => {
                entries.insert(name.clone(), *id);
            }
            Self::Unlink(name) => {
                entries.remove(name);
            }
            Self::Rename(from, to, id) => {
                // The old name may belong to another file by now, where changes are kept out of order.
                if entries.get(from) == Some(id) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *id);
            }
        }
    }
}

/// The contents of a file: pages that copies share until one of them changes; a missing page is zeros.
#[derive(Debug, Clone, Default)]
struct Image {
    len: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

impl Image {
    fn change(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(*offset, bytes),
            Change::SetLen(len) => self.set_len(*len),
        }
    }

    /// Like [`Image::change`], but of a write only some of the sectors arrive.
    fn change_torn(&mut self, change: &Change, rng: &mut Rng) {
        let Change::Write { offset, bytes } = change else { return self.change(change) };
        let mut at = 0;
        while at < bytes.len() {
            let within = usize::try_from((offset + at as u64) % SECTOR as u64).expect("less than a sector");
            let end = bytes.len().min(at + SECTOR - within);
            if rng.bool() {
                self.write(offset + at as u64, &bytes[at..end]);
            }
            at = end;
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, within) = place(at);
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            self.page_mut(page)[within..within + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        // Writing nothing makes no file longer.
        if !bytes.is_empty() {
            self.len = self.len.max(at);
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (page, within) = place(len);
            drop(self.pages.split_off(&(page + u64::from(within > 0))));
            if within > 0 && self.pages.contains_key(&page) {
                self.page_mut(page)[within..].fill(0);
            }
        }
        self.len = len;
    }

    fn read(&self, offset: u64, len: usize) -> Bytes {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(available)];
        let (mut at, mut rest) = (offset, bytes.as_mut_slice());
        while !rest.is_empty() {
            let (page, within) = place(at);
            let here = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at_mut(here);
            if let Some(page) = self.pages.get(&page) {
                now.copy_from_slice(&page[within..within + now.len()]);
            }
            at += now.len() as u64;
            rest = later;
        }
        bytes.into()
    }

    fn flip_bit(&mut self, offset: u64, bit: u8) {
        let (page, within) = place(offset);
        self.page_mut(page)[within] ^= 1 << (bit % 8);
    }

    fn page_mut(&mut self, page: u64) -> &mut [u8; PAGE] {
        Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE])))
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, usize::try_from(offset % PAGE as u64).expect("less than a page"))
}

fn pages(offset: u64, len: usize) -> impl Iterator<Item = u64> {
    let end = if len == 0 { 0 } else { (offset + len as u64 - 1) / PAGE as u64 + 1 };
    offset / PAGE as u64..end
}

fn concat(bufs: &[Bytes]) -> Bytes {
    match bufs {
        [one] => one.clone(),
        many => Bytes::from(many.concat()),
    }
}

fn name(path: &Path) -> io::Result<String> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(name.to_string_lossy().into_owned())
}

/// `Path::join`, but without a trailing slash for an empty `relative`.
fn join(root: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() { root.to_owned() } else { root.join(relative) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> FileTree {
        let mut tree = FileTree::default();
        tree.create_dir(Path::new("/data")).expect("made");
        tree
    }

    fn path(name: &str) -> PathBuf {
        Path::new("/data").join(name)
    }

    fn create(tree: &mut FileTree, name: &str) {
        tree.apply(&Op::Create { path: path(name), len: 0 }).expect("created");
    }

    fn write(tree: &mut FileTree, name: &str, offset: u64, bytes: &[u8]) {
        let bufs = vec![Bytes::copy_from_slice(bytes)];
        tree.apply(&Op::Write { path: path(name).into(), offset, bufs }).expect("written");
    }

    fn sync(tree: &mut FileTree, name: &str) {
        tree.apply(&Op::Sync { path: path(name).into() }).expect("synced");
    }

    fn sync_dir(tree: &mut FileTree) {
        tree.apply(&Op::SyncDir { path: "/data".into() }).expect("synced");
    }

    fn contents(tree: &FileTree, name: &str) -> Option<Bytes> {
        tree.read(&path(name), 0, usize::MAX).ok()
    }

    #[test]
    fn an_image_is_what_a_vector_is() {
        let mut rng = Rng::with_seed(1);
        let (mut image, mut model) = (Image::default(), Vec::new());
        for _ in 0..2_000 {
            let at = rng.usize(..5 * PAGE);
            match rng.u8(..4) {
                0 => {
                    image.set_len(at as u64);
                    model.resize(at, 0);
                }
                1 => {
                    let len = rng.usize(..2 * PAGE);
                    let end = model.len().min(at + len);
                    assert_eq!(image.read(at as u64, len), model.get(at..end).unwrap_or_default());
                }
                _ => {
                    let bytes: Vec<u8> = (0..rng.usize(1..2 * PAGE)).map(|_| rng.u8(..)).collect();
                    image.write(at as u64, &bytes);
                    model.resize(model.len().max(at + bytes.len()), 0);
                    model[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert_eq!(image.len, model.len() as u64);
        }
    }

    #[test]
    fn what_is_synced_survives_every_power_loss() {
        for seed in 0..200 {
            let (mut rng, mut tree) = (Rng::with_seed(seed), tree());
            create(&mut tree, "log");
            sync_dir(&mut tree);
            let mut model = Vec::new();
            for _ in 0..rng.usize(1..20) {
                let bytes = vec![rng.u8(1..); rng.usize(1..3 * SECTOR)];
                let at = rng.usize(..=model.len());
                write(&mut tree, "log", at as u64, &bytes);
                model.resize(model.len().max(at + bytes.len()), 0);
                model[at..at + bytes.len()].copy_from_slice(&bytes);
                if rng.u8(..3) == 0 {
                    let len = rng.usize(..=model.len());
                    tree.apply(&Op::SetLen { path: path("log").into(), len: len as u64 }).expect("cut");
                    model.truncate(len);
                }
            }
            sync(&mut tree, "log");
            write(&mut tree, "log", model.len() as u64, &[7; 2000]);
            tree.lose_power(&mut rng);
            let kept = contents(&tree, "log").expect("its folder was synced");
            assert_eq!(kept[..model.len()], model, "seed {seed}");
        }
    }

    #[test]
    fn what_is_not_synced_may_be_kept_lost_or_torn() {
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..100 {
            let mut tree = tree();
            create(&mut tree, "log");
            sync(&mut tree, "log");
            sync_dir(&mut tree);
            write(&mut tree, "log", 0, &[7; 4 * SECTOR]);
            tree.lose_power(&mut Rng::with_seed(seed));
            match contents(&tree, "log").expect("its folder was synced") {
                bytes if bytes.is_empty() => lost += 1,
                bytes if bytes == vec![7; 4 * SECTOR] => kept += 1,
                bytes => {
                    assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
                    torn += 1;
                }
            }
        }
        assert!(kept > 10 && lost > 10 && torn > 10, "{kept} {lost} {torn}");
    }

    #[test]
    fn entries_need_a_sync_of_their_folder() {
        let (mut created, mut renamed) = (0, 0);
        for seed in 0..100 {
            let (mut rng, mut tree) = (Rng::with_seed(seed), tree());
            create(&mut tree, "old");
            write(&mut tree, "old", 0, b"old");
            sync(&mut tree, "old");
            sync_dir(&mut tree);
            create(&mut tree, "new");
            write(&mut tree, "new", 0, b"new");
            sync(&mut tree, "new");
            tree.apply(&Op::Rename { from: path("new"), to: path("old") }).expect("renamed");
            create(&mut tree, "other");
            tree.lose_power(&mut rng);

            created += u32::from(contents(&tree, "other").is_some());
            let old = contents(&tree, "old").expect("it is one or the other");
            assert!(old == "old" || old == "new", "{old:?}");
            renamed += u32::from(old == "new");
        }
        assert!((10..90).contains(&created) && (10..90).contains(&renamed), "{created} {renamed}");
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next_one() {
        let mut lost = 0;
        for seed in 0..50 {
            let (mut rng, mut tree) = (Rng::with_seed(seed), tree());
            create(&mut tree, "log");
            sync_dir(&mut tree);
            write(&mut tree, "log", 0, b"unlucky");
            tree.apply_partly(&Op::Sync { path: path("log").into() }, &mut rng);
            sync(&mut tree, "log");
            assert_eq!(contents(&tree, "log").expect("there"), "unlucky");
            tree.lose_power(&mut rng);
            lost += u32::from(contents(&tree, "log").expect("there") != "unlucky");
        }
        assert!((5..45).contains(&lost), "{lost}");
    }

    #[test]
    fn an_image_of_a_folder_is_put_back_elsewhere() {
        let mut tree = tree();
        tree.create_dir(Path::new("/data/inner/deep")).expect("made");
        create(&mut tree, "a");
        create(&mut tree, "inner/b");
        write(&mut tree, "inner/b", 5000, b"deep");
        let image = tree.image(Path::new("/data"));

        let mut other = FileTree::default();
        other.create_dir(Path::new("/else")).expect("made");
        other.apply(&Op::Create { path: "/else/stale".into(), len: 3 }).expect("created");
        other.restore(Path::new("/else"), &image).expect("restored");
        other.lose_power(&mut Rng::with_seed(0));
        assert_eq!(other.list(Path::new("/else")), ["a", "inner"]);
        assert_eq!(other.list(Path::new("/else/inner")), ["b", "deep"]);
        assert_eq!(other.read(Path::new("/else/inner/b"), 5000, 9).expect("there"), "deep");
    }

    #[test]
    fn a_full_disk_takes_no_more_and_gives_room_back() {
        let mut tree = tree();
        tree.capacity = Some(10_000);
        create(&mut tree, "a");
        write(&mut tree, "a", 0, &[1; 9_000]);
        let too_much = Op::Create { path: path("b"), len: 1_001 };
        assert_eq!(tree.apply(&too_much).expect_err("full").kind(), io::ErrorKind::StorageFull);
        write(&mut tree, "a", 0, &[2; 9_000]);
        tree.apply(&Op::SetLen { path: path("a").into(), len: 8_999 }).expect("shorter");
        tree.apply(&too_much).expect("room again");
    }
}
