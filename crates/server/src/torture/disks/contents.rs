//! What is in a file: as the system shows it, and as it is on the platters.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use fastrand::Rng;

const PAGE: usize = 4096;
/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// How a power loss treats what was not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mercy {
    /// All of it is gone.
    None,
    /// All of it had reached the platters.
    All,
    /// Each change is kept, lost or torn, whatever its order.
    Some,
}

/// A file: what is seen of it, what is durable, and how the one becomes the other.
#[derive(Debug, Default)]
pub(super) struct File {
    seen: Image,
    durable: Image,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl File {
    /// In bytes, as the system shows it.
    pub(super) fn len(&self) -> u64 {
        self.seen.len
    }

    /// Up to `len` bytes, fewer at the end.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        self.seen.read(offset, len)
    }

    /// Writes what a sync makes durable.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_owned() });
    }

    /// Cuts the file, or lets zeros follow.
    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::SetLen(len));
    }

    /// Makes all durable that was written.
    pub(super) fn sync(&mut self) {
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

    /// Only what is durable is left, and part of the rest.
    pub(super) fn lose_power(&mut self, mercy: Mercy, rng: &mut Rng) {
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
        self.seen = self.durable.clone();
    }

    /// Turns a bit around where it lies.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        for image in [&mut self.seen, &mut self.durable] {
            if offset < image.len {
                let (page, within) = place(offset);
                image.page_mut(page)[within] ^= 1 << (bit % 8);
            }
        }
    }

    /// The place of some byte that is not zero, as `draw` decides: what was only reserved holds nothing.
    pub(super) fn place_of_content(&self, draw: u64) -> Option<u64> {
        let (&page, bytes) =
            self.seen.pages.iter().nth(usize::try_from(draw % self.seen.pages.len().max(1) as u64).ok()?)?;
        let within: Vec<usize> = (0..PAGE).filter(|at| bytes[*at] != 0).collect();
        let at = within.get(usize::try_from(draw / 7 % within.len().max(1) as u64).ok()?)?;
        Some(page * PAGE as u64 + *at as u64).filter(|place| *place < self.seen.len)
    }

    /// Writes what is seen to a real file, with holes where nothing was written.
    pub(super) fn export(&self, file: &mut std::fs::File) -> io::Result<()> {
        for (page, bytes) in &self.seen.pages {
            let begin = page * PAGE as u64;
            let here = usize::try_from(self.seen.len.saturating_sub(begin)).unwrap_or(PAGE).min(PAGE);
            file.seek(SeekFrom::Start(begin))?;
            file.write_all(&bytes[..here])?;
        }
        file.set_len(self.seen.len)
    }

    fn change(&mut self, change: Change) {
        self.seen.change(&change);
        self.unsynced.push(change);
    }
}

/// Contents as pages, which copies share until one of them changes; a missing page is zeros.
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

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
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
        bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_stays_whatever_happens_to_the_rest() {
        let (mut whole, mut gone, mut torn) = (false, false, false);
        for seed in 0..60 {
            let mut file = File::default();
            file.set_len(20_000);
            file.write(5_000, &[1; 3_000]);
            file.sync();
            file.write(5_500, &[2; 2_000]);
            assert_eq!(file.read(5_499, 2), [1, 2], "a write is seen at once");
            let mercy = [Mercy::None, Mercy::All, Mercy::Some][seed % 3];
            file.lose_power(mercy, &mut Rng::with_seed(seed as u64));
            assert_eq!(file.len(), 20_000);
            assert_eq!(file.read(5_000, 500), [1; 500]);
            assert_eq!(file.read(7_500, 500), [1; 500]);
            let part = file.read(5_500, 2_000);
            match mercy {
                Mercy::None => assert_eq!(part, [1; 2_000]),
                Mercy::All => assert_eq!(part, [2; 2_000]),
                Mercy::Some => {
                    let new = part.iter().filter(|byte| **byte == 2).count();
                    (whole, gone, torn) =
                        (whole || new == 2_000, gone || new == 0, torn || (1..2_000).contains(&new));
                    // The first byte of a sector speaks for all of it.
                    for at in 5_500_usize..7_500 {
                        let sector = (at / SECTOR * SECTOR).max(5_500);
                        assert_eq!(part[at - 5_500], part[sector - 5_500], "half a sector");
                    }
                }
            }
        }
        assert!(whole && gone && torn, "{whole} {gone} {torn}");
    }

    #[test]
    fn a_cut_is_durable_when_it_was_synced() {
        let mut file = File::default();
        file.write(0, &[7; 9_000]);
        file.sync();
        file.set_len(100);
        file.set_len(9_000);
        assert_eq!(file.read(99, 2), [7, 0]);
        file.lose_power(Mercy::None, &mut Rng::with_seed(1));
        assert_eq!(file.read(8_999, 10), [7]);
        file.set_len(100);
        file.sync();
        file.lose_power(Mercy::Some, &mut Rng::with_seed(1));
        assert_eq!((file.len(), file.read(0, 1_000)), (100, vec![7; 100]));
    }

    #[test]
    fn a_bit_turns_where_something_is() {
        let mut file = File::default();
        file.set_len(1 << 26);
        assert_eq!(file.place_of_content(5), None);
        file.write(70_000, b"content");
        for draw in [0, 1, 99, u64::MAX] {
            let place = file.place_of_content(draw).unwrap();
            assert!((70_000..70_007).contains(&place), "{place}");
        }
        file.sync();
        file.flip_bit(70_000, 0);
        file.lose_power(Mercy::None, &mut Rng::with_seed(1));
        assert_eq!(file.read(70_000, 7), b"bontent");
    }
}
