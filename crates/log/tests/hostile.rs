//! Recovery of folders that were damaged at will: no panic, and never an entry that was not appended (R6).

#![allow(unreachable_pub, reason = "the disk is shared by test files")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Rng, TestDisk};
use quorate_env::Completion;
use quorate_log::{Durability, Entry, IndexTerm, Log, Options, ShardId};

const S: ShardId = ShardId(7);

fn options() -> Options {
    Options { segment_bytes: 1 << 16, cache_bytes: 1 << 20, durability: Durability::Always }
}

fn done() -> Completion {
    Box::new(|_| ())
}

fn payload(index: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (index as u8).wrapping_mul(31).wrapping_add(at as u8)).collect()
}

/// A folder with some segments, and every payload that it ever held.
#[allow(clippy::type_complexity, reason = "a disk, and what is on it by shard and index")]
fn written(rng: &mut Rng) -> (Arc<TestDisk>, BTreeMap<(u64, u64), Vec<u8>>) {
    let disk = TestDisk::inline();
    let (log, _) = Log::open(disk.clone(), Path::new("log"), options()).expect("an empty folder");
    let (mut known, mut next, mut term) = (BTreeMap::new(), 0, 1);
    for _ in 0..20 + rng.below(20) {
        if rng.percent(10) && next > 2 {
            next -= 1 + rng.below(2);
            term += 1;
            log.truncate(S, next, done());
        }
        let entries = (next..=next + rng.below(4)).map(|index| {
            let payload = payload(index + term, rng.below(8_000) as usize);
            known.insert((index, term), payload.clone());
            Entry { index, term, kind: 1, payload: payload.into() }
        });
        let entries: Vec<Entry> = entries.collect();
        next += entries.len() as u64;
        log.append(S, entries, done());
        if rng.percent(20) {
            log.save_vote(S, payload(next, 20).into(), done());
        }
        if rng.percent(5) && next > 20 {
            let index = next - 15;
            if let Some(term) = log.term_of(S, index) {
                log.purge(S, (index, term) as IndexTerm, done());
            }
        }
    }
    if rng.percent(30) {
        log.close_clean(done());
    }
    drop(log);
    (disk, known)
}

fn damage(disk: &TestDisk, rng: &mut Rng) -> String {
    let files: Vec<PathBuf> = disk.files();
    let path = &files[rng.below(files.len() as u64) as usize];
    let content = disk.content(path);
    let used = content.iter().rposition(|b| *b != 0).map_or(1, |at| at + 1) as u64;
    let range = if rng.percent(80) { used } else { content.len().max(1) as u64 };
    let at = rng.below(range);
    match rng.below(6) {
        0 | 1 => _ = disk.flip(path, at * 8 + rng.below(8)),
        2 => disk.overwrite(path, at, &rng.next().to_le_bytes()),
        3 => disk.overwrite(path, at, &vec![0; rng.below(5_000) as usize]),
        4 => {
            // A piece of the same or another file, as misdirected writes make it.
            let other = disk.content(&files[rng.below(files.len() as u64) as usize]);
            let from = rng.below(other.len().max(1) as u64) as usize;
            let piece = &other[from.min(other.len())..(from + rng.below(2_000) as usize).min(other.len())];
            disk.overwrite(path, at, piece);
        }
        _ if rng.percent(20) => disk.delete(path),
        _ => disk.overwrite(path, at & !511, &[0xff; 512]),
    }
    format!("{} at {at}", path.display())
}

#[test]
fn damaged_folders_open_or_are_refused() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..300 {
        let rng = &mut Rng(seed);
        let (disk, known) = written(rng);
        let places: Vec<String> = (0..=rng.below(3)).map(|_| damage(&disk, rng)).collect();
        let Ok((log, recovery)) = Log::open(disk.clone(), Path::new("log"), options()) else {
            refused += 1;
            continue;
        };
        // The node would not start with it.
        let is_lost = recovery.damage.is_some_and(|damage| damage.below_durable);
        *(if is_lost { &mut refused } else { &mut opened }) += 1;
        let state = log.state(S);
        let end = state.last.map_or(0, |(index, _)| index + 1);
        let first = state.purged.map_or(0, |(index, _)| index + 1);
        // A read may say that the disk has damaged it since; it never makes up an entry.
        if let Ok(entries) = log.read(S, first..end, usize::MAX) {
            for entry in entries {
                let appended = known.get(&(entry.index, entry.term));
                assert!(
                    appended.is_some_and(|bytes| bytes[..] == entry.payload[..]),
                    "seed {seed}, damaged: {places:?}: entry {} of term {} was never appended like this",
                    entry.index,
                    entry.term
                );
            }
        }
        // And it can be used, or says that it cannot.
        log.append(S, vec![Entry { index: end, term: 99, kind: 1, payload: vec![1; 100].into() }], done());
    }
    assert!(opened > 20 && refused > 20, "{opened} opened, {refused} refused");
}
