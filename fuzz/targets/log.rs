//! Recovery of a log whose files were damaged: it recovers or says what is wrong, never panics, and never gives an entry or
//! a vote that was not written; what it acknowledges afterwards, it still has after the next start (R6).
//!
//! A real log is written on the disk in memory of `log`'s own tests, then changed as the input says. Most changes are
//! those of failing hardware. If arbitrary bytes are among them, they may be a made-up record with a right checksum (the
//! fuzzer sees what the checksum is compared with): then only panics count.

#![no_main]

#[path = "../../crates/log/tests/common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use common::{Rng, TestDisk};
use quorate_env::{Completion, Disk, Op};
use quorate_fuzz::Input;
use quorate_log::{Durability, Entry, Log, Options, ShardId};

const S: ShardId = ShardId(7);
const DIR: &str = "log";
const SEGMENT_BYTES: u64 = 4096;
/// With more of them, the fuzzer could make up a record bit by bit.
const FLIPS_MAX: usize = 12;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, cache_bytes: 1 << 16, durability: Durability::Always }
}

fn ignored() -> Completion {
    Box::new(|_| ())
}

/// A folder as a real log left it, and everything that was ever written to it.
struct Written {
    files: Vec<(PathBuf, Vec<u8>)>,
    entries: BTreeMap<(u64, u64), BTreeSet<Vec<u8>>>,
    votes: BTreeSet<Vec<u8>>,
}

static FOLDERS: LazyLock<Vec<Written>> = LazyLock::new(|| (0..8).map(write).collect());

fn write(seed: u64) -> Written {
    let rng = &mut Rng(seed);
    let disk = TestDisk::inline();
    let (log, _) = Log::open(disk.clone(), Path::new(DIR), options()).expect("an empty folder");
    let mut entries: BTreeMap<(u64, u64), BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut votes = BTreeSet::new();
    let (mut next, mut term) = (0, 1);
    for round in 0..4 + 4 * seed {
        if rng.percent(20) && next > 2 {
            next -= 1 + rng.below(2);
            term += 1;
            log.truncate(S, next, ignored());
        }
        let group: Vec<Entry> = (next..=next + rng.below(3))
            .map(|index| {
                let len_max = if rng.percent(10) { 3000 } else { 200 };
                let len = rng.below(len_max) as usize;
                let payload: Vec<u8> = (0..len).map(|at| (index * 31 + term + at as u64) as u8).collect();
                entries.entry((index, term)).or_default().insert(payload.clone());
                Entry { index, term, kind: 1, payload: payload.into() }
            })
            .collect();
        next += group.len() as u64;
        log.append(S, group, ignored());
        if rng.percent(40) {
            let vote = vec![round as u8; 20];
            votes.insert(vote.clone());
            log.save_vote(S, vote.into(), ignored());
        }
        if rng.percent(15)
            && next > 10
            && let Some(term) = log.term_of(S, next - 8)
        {
            log.purge(S, (next - 8, term), ignored());
        }
    }
    if seed % 3 == 0 {
        log.close_clean(ignored());
    }
    drop(log);
    let files = disk.files().into_iter().map(|path| (path.clone(), disk.content(&path))).collect();
    Written { files, entries, votes }
}

fn disk_with(files: &[(PathBuf, Vec<u8>)]) -> Arc<TestDisk> {
    let disk = TestDisk::inline();
    for (path, content) in files {
        let write =
            Op::Write { path: path.as_path().into(), offset: 0, bufs: vec![Bytes::from(content.clone())] };
        let create = Op::Create { path: path.clone(), len: content.len() as u64 };
        disk.run(vec![create, write, Op::Sync { path: path.as_path().into() }]).expect("a sound disk");
    }
    disk.run(vec![Op::SyncDir { path: DIR.into() }]).expect("a sound disk");
    disk
}

/// Changes the files. Whether the changes are such that no record can be made up of them.
fn damage(files: &mut Vec<(PathBuf, Vec<u8>)>, input: &mut Input<'_>) -> bool {
    let (mut flips, mut honest) = (0, true);
    while !input.is_empty() && !files.is_empty() {
        let kind = input.byte();
        let n = input.below(files.len());
        // Most of a file is room for later: what is written is what matters.
        let used = files[n].1.iter().rposition(|byte| *byte != 0).map_or(1, |at| at + 1);
        let end = if kind & 64 == 0 { used } else { files[n].1.len().max(1) };
        let at = input.below(end).min(files[n].1.len());
        let content = &mut files[n].1;
        match kind % 8 {
            0 | 1 => {
                flips += 1;
                let bit = input.byte() % 8;
                if let Some(byte) = content.get_mut(at).filter(|_| flips <= FLIPS_MAX) {
                    *byte ^= 1 << bit;
                }
            }
            2 => {
                let to = (at + input.below(2000)).min(content.len());
                content[at..to].fill(if kind & 32 == 0 { 0 } else { 0xff });
            }
            3 => content.truncate(at),
            4 => {
                // A misdirected write, or an older state of a sector.
                let from = input.below(files.len());
                let other = &files[from].1;
                let begin = input.below(other.len().max(1)).min(other.len());
                let piece = other[begin..(begin + input.below(1500)).min(other.len())].to_vec();
                let content = &mut files[n].1;
                let end = (at + piece.len()).min(content.len());
                content[at..end].copy_from_slice(&piece[..end - at]);
            }
            5 if kind & 32 != 0 => _ = files.remove(n),
            5 => {
                let len = input.byte();
                let bytes = input.take(usize::from(len % 16)).to_vec();
                honest = honest && bytes.is_empty();
                let end = (at + bytes.len()).min(content.len());
                content[at..end].copy_from_slice(&bytes[..end - at]);
            }
            6 => {
                // Two files with each other's content.
                let other = input.below(files.len());
                let (a, b) = (files[n].1.clone(), files[other].1.clone());
                (files[n].1, files[other].1) = (b, a);
            }
            _ => {
                let sector = at & !511;
                let to = (sector + 512).min(content.len());
                content[sector.min(to)..to].fill(0);
            }
        }
    }
    honest
}

/// Everything that the log shows was written.
fn check(log: &Log, written: &Written, added: &[Entry]) {
    let state = log.state(S);
    let end = state.last.map_or(0, |(index, _)| index + 1);
    let first = state.purged.map_or(0, |(index, _)| index + 1);
    // A read may say that the disk has damaged it since; it never makes up an entry.
    let Ok(entries) = log.read(S, first..end, usize::MAX) else { return };
    for entry in &entries {
        let old = written.entries.get(&(entry.index, entry.term));
        let is_old = old.is_some_and(|payloads| payloads.contains(&entry.payload[..]));
        assert!(
            is_old || added.contains(entry),
            "entry {} of term {} was never written",
            entry.index,
            entry.term
        );
    }
    if let Some(vote) = log.vote(S) {
        assert!(written.votes.contains(&vote[..]), "a vote that was never saved: {vote:?}");
    }
}

/// Appends, and what was acknowledged is there after the next start.
fn go_on(disk: &Arc<TestDisk>, log: Log, written: &Written, honest: bool) {
    let end = log.state(S).last.map_or(0, |(index, _)| index + 1);
    // An index of billions would be made up.
    if end > 1 << 40 {
        return;
    }
    let entries: Vec<Entry> = (end..end + 3)
        .map(|index| Entry { index, term: 99, kind: 1, payload: vec![9; 300].into() })
        .collect();
    let acknowledged = Arc::new(AtomicBool::new(false));
    let told = acknowledged.clone();
    let done = move |result: std::io::Result<()>| told.store(result.is_ok(), Ordering::Relaxed);
    log.append(S, entries.clone(), Box::new(done));
    drop(log);
    if !acknowledged.load(Ordering::Relaxed) {
        return;
    }
    let Ok((log, recovery)) = Log::open(disk.clone(), Path::new(DIR), options()) else {
        assert!(!honest, "a log that worked does not open again");
        return;
    };
    if honest {
        assert!(
            recovery.damage.is_none_or(|damage| !damage.below_durable),
            "damage that the start before did not see"
        );
        assert_eq!(log.state(S).last, Some((end + 2, 99)), "what was acknowledged");
        assert_eq!(log.read(S, end..end + 3, usize::MAX).expect("just written"), entries);
        check(&log, written, &entries);
    }
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(|| {
        // Each kind of change, in folders of each sort.
        (0..32u8).map(|n| vec![n, n.wrapping_mul(9), n * 4, n, 0, n, 3, n * 7, 1, n, n]).collect()
    }),
    |data: &[u8]| {
        let mut input = Input(data);
        let choice = input.byte();
        let written = &FOLDERS[usize::from(choice) % FOLDERS.len()];
        let mut files = written.files.clone();
        let honest = damage(&mut files, &mut input);
        let disk = disk_with(&files);
        if choice & 128 != 0 {
            // The operating system has crashed, too; all that was written was synced.
            disk.crash(&mut Rng(1));
        }
        if choice & 64 != 0 && let Ok((log, _)) = Log::look(disk.clone(), Path::new(DIR), options()) {
            if honest {
                check(&log, written, &[]);
            }
            log.append(S, vec![Entry { index: 0, term: 1, kind: 1, payload: Bytes::new() }], ignored());
        }
        let Ok((log, recovery)) = Log::open(disk.clone(), Path::new(DIR), options()) else { return };
        if honest {
            check(&log, written, &[]);
        }
        if recovery.damage.as_ref().is_some_and(|damage| damage.below_durable) {
            log.discard_damaged(ignored());
            let Ok((log, _)) = Log::open(disk.clone(), Path::new(DIR), options()) else { return };
            if honest {
                check(&log, written, &[]);
            }
            return go_on(&disk, log, written, honest);
        }
        go_on(&disk, log, written, honest);
    }
);
