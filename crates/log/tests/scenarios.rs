//! What the log promises, one scenario each.

#![allow(unreachable_pub, reason = "the disk is shared by test files")]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Rng, TestDisk};
use quorate_env::Completion;
use quorate_log::{Durability, Entry, Log, Options, Recovery, ShardId, VOTE_BYTES_MAX};

const S: ShardId = ShardId(7);
const HEADER_PAGE: u64 = 4096;

fn dir() -> &'static Path {
    Path::new("log")
}

fn options(segment_bytes: u64, durability: Durability) -> Options {
    Options { segment_bytes, cache_bytes: 1 << 20, durability }
}

fn open(disk: &Arc<TestDisk>) -> (Log, Recovery) {
    open_with(disk, options(1 << 20, Durability::Always))
}

fn open_with(disk: &Arc<TestDisk>, options: Options) -> (Log, Recovery) {
    Log::open(disk.clone(), dir(), options).unwrap()
}

fn entry(index: u64, len: usize) -> Entry {
    Entry { index, term: 1, kind: index as u8, payload: vec![(index as u8).wrapping_add(1); len].into() }
}

/// A request's number and what its completion said.
type Told = Vec<(u64, Result<(), io::ErrorKind>)>;

/// Collects outcomes in the order they are told.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Told>>);

impl Outcomes {
    fn done(&self, number: u64) -> Completion {
        let outcomes = self.0.clone();
        Box::new(move |result| outcomes.lock().unwrap().push((number, result.map_err(|e| e.kind()))))
    }

    fn take(&self) -> Told {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn ok() -> Completion {
    Box::new(|result| result.unwrap())
}

fn segments(disk: &TestDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|file| file.extension().is_some_and(|e| e == "log")).collect()
}

/// Where a payload stands: the file and the byte.
fn find(disk: &TestDisk, payload: &[u8]) -> (PathBuf, u64) {
    let place = segments(disk).into_iter().find_map(|file| {
        let content = disk.content(&file);
        let at = content.windows(payload.len()).position(|window| window == payload)?;
        Some((file, at as u64))
    });
    place.expect("it is on disk")
}

#[test]
fn appends_that_arrive_while_one_is_at_the_disk_share_one_fsync() {
    let disk = TestDisk::manual();
    let (log, _) = open(&disk);
    let (before, outcomes) = (log.stats(), Outcomes::default());
    log.append(S, vec![entry(0, 10)], outcomes.done(0));
    for index in 1..=100 {
        log.append(S, vec![entry(index, 1000)], outcomes.done(index));
    }
    assert_eq!(disk.submissions(), 1, "one at the disk, the others gather");
    assert_eq!(outcomes.take(), []);
    disk.settle();
    assert_eq!(disk.submissions(), 2);
    assert_eq!(log.stats().fsyncs - before.fsyncs, 2);
    assert_eq!(log.stats().groups - before.groups, 2);
    assert_eq!(outcomes.take(), (0..=100).map(|index| (index, Ok(()))).collect::<Vec<_>>());
    assert_eq!(log.stats().bytes_pending, 0);
}

#[test]
fn shards_share_fsyncs_and_a_completion_may_append_again() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    let again = log.clone();
    let told = Outcomes::default();
    let second = told.done(2);
    log.append(
        ShardId(1),
        vec![entry(0, 5)],
        Box::new(move |result| {
            result.unwrap();
            again.append(ShardId(2), vec![entry(0, 5)], second);
        }),
    );
    assert_eq!(told.take(), [(2, Ok(()))]);
    assert_eq!(log.state(ShardId(2)).last, Some((0, 1)));
}

#[test]
fn an_append_is_complete_only_after_the_fsync_and_in_every_second_mode_before_it() {
    for durability in [Durability::Always, Durability::EverySecond] {
        let disk = TestDisk::manual();
        let (log, _) = open_with(&disk, options(1 << 20, durability));
        let outcomes = Outcomes::default();
        log.append(S, vec![entry(0, 10)], outcomes.done(0));
        disk.step(&mut Rng(0));
        assert_eq!(outcomes.take().is_empty(), durability == Durability::Always, "after the write");
        disk.settle();
        let synced = log.stats().fsyncs;
        log.append(S, vec![entry(1, 10)], outcomes.done(1));
        log.sync(outcomes.done(2));
        disk.settle();
        // In `Always` the append brings its own fsync, and the sync behind it finds nothing left to do.
        assert_eq!(log.stats().fsyncs - synced, 1);
        disk.crash(&mut Rng(3));
        let (log, recovery) = open(&disk);
        assert_eq!(log.state(S).last, Some((1, 1)), "{durability:?}");
        assert_eq!(recovery.unsynced_lost, durability == Durability::EverySecond);
    }
}

#[test]
fn a_prompt_log_has_written_when_it_is_asked_unless_something_is_to_be_fsynced() {
    let disk = TestDisk::manual();
    let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
    let outcomes = Outcomes::default();
    log.append(S, vec![entry(0, 10)], outcomes.done(0));
    assert_eq!((outcomes.take(), log.is_prompt()), (vec![], false), "it is not yet");
    disk.settle();
    outcomes.take();
    log.set_prompt(true);
    assert!(log.is_prompt());
    let synced = log.stats().fsyncs;
    log.append(S, vec![entry(1, 10)], outcomes.done(1));
    assert_eq!(outcomes.take(), [(1, Ok(()))]);
    log.sync(outcomes.done(2));
    log.append(S, vec![entry(2, 10)], outcomes.done(3));
    assert_eq!(outcomes.take(), [], "what comes behind an fsync waits for it");
    disk.settle();
    assert_eq!(outcomes.take(), [(2, Ok(())), (3, Ok(()))]);
    assert_eq!(log.stats().fsyncs - synced, 1);

    log.set_durability(Durability::Always, outcomes.done(4));
    disk.settle();
    assert!(!log.is_prompt());
    outcomes.take();
    log.append(S, vec![entry(3, 10)], outcomes.done(5));
    assert_eq!(outcomes.take(), []);
    disk.fail("write", 0);
    disk.settle();
    assert!(matches!(outcomes.take()[..], [(5, Err(_))]));
}

#[test]
fn after_a_failed_fsync_everything_fails_and_nothing_is_tried_again() {
    let disk = TestDisk::manual();
    let (log, _) = open(&disk);
    let outcomes = Outcomes::default();
    disk.fail("sync", 0);
    log.append(S, vec![entry(0, 10)], outcomes.done(0));
    log.append(S, vec![entry(1, 10)], outcomes.done(1));
    disk.settle();
    let submissions = disk.submissions();
    log.append(S, vec![entry(2, 10)], outcomes.done(2));
    log.save_vote(S, Bytes::from_static(b"v"), outcomes.done(3));
    log.sync(outcomes.done(4));
    log.close_clean(outcomes.done(5));
    disk.settle();
    assert_eq!(disk.submissions(), submissions, "nothing goes to the disk any more");
    assert_eq!(outcomes.take(), (0..6).map(|n| (n, Err(io::ErrorKind::Other))).collect::<Vec<_>>());
    assert!(log.failed().unwrap().contains("00000000000000000001.log"), "{:?}", log.failed());
    assert!(log.read(S, 0..1, 10).is_err());
}

#[test]
fn a_bit_flipped_below_a_later_group_is_corruption_and_is_not_cut() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    for index in 0..5 {
        log.append(S, vec![entry(index, 100)], ok());
    }
    disk.kill(&mut Rng(0));
    let (file, at) = find(&disk, &[3; 100]);
    disk.flip(&file, at * 8 + 77);
    let before = disk.content(&file);

    for _ in 0..2 {
        let (log, recovery) = open(&disk);
        let damage = recovery.damage.as_ref().unwrap();
        assert!(damage.below_durable && !recovery.is_sound(), "{recovery:?}");
        assert_eq!((&damage.file, damage.offset), (&file, at - 40), "where the record begins");
        assert_eq!(
            log.read(S, 0..9, usize::MAX).unwrap(),
            [entry(0, 100), entry(1, 100)],
            "the intact prefix"
        );
        assert_eq!(disk.content(&file), before, "nothing is cut");
        let outcomes = Outcomes::default();
        log.append(S, vec![entry(2, 1)], outcomes.done(0));
        assert_eq!(outcomes.take(), [(0, Err(io::ErrorKind::InvalidData))]);
        log.save_vote(S, Bytes::from_static(b"still"), ok());
    }

    let (log, _) = open(&disk);
    log.discard_damaged(ok());
    log.append(S, vec![entry(2, 50)], ok());
    disk.crash(&mut Rng(1));
    let (log, recovery) = open(&disk);
    assert!(recovery.discarded && recovery.damage.is_none() && !recovery.is_sound(), "{recovery:?}");
    assert_eq!(log.read(S, 0..9, usize::MAX).unwrap().len(), 3, "entries 3 and 4 stay gone");
    log.trust(ok());
    assert!(open(&disk).1.is_sound());
}

#[test]
fn a_damaged_last_group_is_cut_and_the_suspicion_stays_until_trusted() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.append(S, vec![entry(0, 100)], ok());
    log.append(S, vec![entry(1, 100)], ok());
    disk.kill(&mut Rng(0));
    let (file, at) = find(&disk, &[2; 100]);
    disk.flip(&file, at * 8);
    let (log, recovery) = open(&disk);
    assert!(recovery.last_group_damaged && recovery.torn_tail_bytes == 140, "{recovery:?}");
    assert!(!recovery.damage.unwrap().below_durable);
    assert_eq!(log.state(S).last, Some((0, 1)));
    for _ in 0..2 {
        let (_, recovery) = open(&disk);
        assert!(recovery.last_group_damaged && recovery.torn_tail_bytes == 0, "{recovery:?}");
    }
    log.trust(ok());
    assert!(open(&disk).1.is_sound());
}

#[test]
fn a_group_torn_by_a_crash_of_the_system_stays_suspect_across_restarts_that_are_none() {
    for by_the_system in [false, true] {
        let disk = TestDisk::inline();
        let (log, _) = open(&disk);
        log.append(S, vec![entry(0, 100)], ok());
        log.append(S, vec![entry(1, 100)], ok());
        if by_the_system {
            disk.crash(&mut Rng(0))
        } else {
            disk.kill(&mut Rng(0))
        }
        let (file, at) = find(&disk, &[2; 100]);
        disk.flip(&file, at * 8);
        let (_, first) = open(&disk);
        disk.kill(&mut Rng(0));
        let (log, second) = open(&disk);
        assert!(first.last_group_damaged && second.last_group_damaged && !second.os_crashed);
        assert_eq!((first.torn_by_crash, second.torn_by_crash), (by_the_system, by_the_system));
        log.trust(ok());
        assert!(!open(&disk).1.torn_by_crash);
    }
}

#[test]
fn a_look_finds_what_the_next_start_finds_and_changes_nothing() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
    log.append(S, vec![entry(0, 100)], ok());
    log.sync(ok());
    log.append(S, vec![entry(1, 100)], ok());
    log.append(S, vec![entry(2, 100)], ok());
    disk.kill(&mut Rng(0));
    let (file, at) = find(&disk, &[3; 100]);
    disk.flip(&file, at * 8);
    let before: Vec<_> = disk.files().iter().map(|path| disk.content(path)).collect();
    let (looked, found) = Log::look(disk.clone(), dir(), options(1 << 20, Durability::Always)).unwrap();
    assert_eq!(looked.read(S, 0..9, 1 << 20).unwrap(), [entry(0, 100), entry(1, 100)]);
    let refused = Outcomes::default();
    looked.append(S, vec![entry(2, 1)], refused.done(0));
    looked.save_vote(S, Bytes::from_static(b"v"), refused.done(1));
    looked.trust(refused.done(2));
    assert!(refused.take().iter().all(|(_, result)| result.is_err()));
    assert_eq!(disk.files().iter().map(|path| disk.content(path)).collect::<Vec<_>>(), before);
    assert_eq!(found.durable, [(S, 0)], "nothing stands behind the second entry that proves it");
    let (_, next) = open(&disk);
    assert_eq!(next, found);
}

#[test]
fn the_same_damage_after_a_clean_shutdown_is_corruption() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.append(S, vec![entry(0, 100)], ok());
    log.close_clean(ok());
    let outcomes = Outcomes::default();
    log.append(S, vec![entry(1, 100)], outcomes.done(0));
    assert_eq!(outcomes.take(), [(0, Err(io::ErrorKind::Other))], "closed");
    let (file, at) = find(&disk, &[1; 100]);
    disk.flip(&file, at * 8);
    for _ in 0..2 {
        let (_, recovery) = open(&disk);
        assert!(recovery.clean && recovery.damage.unwrap().below_durable);
    }
}

#[test]
fn out_of_order_writes_behind_the_end_are_a_tail() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
    for index in 0..6 {
        log.append(S, vec![entry(index, 2000)], ok());
    }
    disk.kill(&mut Rng(0));
    // The third entry's pages never reached the disk, what follows did.
    let (file, at) = find(&disk, &[3; 2000]);
    disk.overwrite(&file, at, &[0; 2000]);
    let (log, recovery) = open(&disk);
    assert!(
        !recovery.damage.as_ref().unwrap().below_durable,
        "no group says that it was durable: {recovery:?}"
    );
    assert_eq!(log.state(S).last, Some((1, 1)));
    let (log, recovery) = open(&disk);
    assert_eq!((log.state(S).last, recovery.torn_tail_bytes), (Some((1, 1)), 0), "and it stays cut");
}

#[test]
fn a_cut_suffix_does_not_come_back() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.append(S, (0..10).map(|index| entry(index, 100)).collect(), ok());
    log.truncate(S, 4, ok());
    log.append(S, vec![Entry { term: 2, ..entry(4, 100) }], ok());
    disk.crash(&mut Rng(0));
    let (log, _) = open(&disk);
    assert_eq!(log.state(S).last, Some((4, 2)));
    assert_eq!(log.term_of(S, 5), None);
}

#[test]
fn purging_removes_whole_segments_once_every_shard_allows_it() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(16_000, Durability::Always));
    log.append(ShardId(1), vec![entry(0, 10)], ok());
    for index in 0..50 {
        log.append(S, vec![entry(index, 1000)], ok());
    }
    let many = segments(&disk).len();
    assert!(many > 4);
    log.purge(S, (45, 1), ok());
    assert_eq!(segments(&disk).len(), many, "the other shard has an entry in the first");
    assert_eq!(log.stats().held_by, Some(ShardId(1)));
    log.purge(ShardId(1), (0, 1), ok());
    assert!(segments(&disk).len() <= 3, "{:?}", segments(&disk));
    assert_eq!(log.read(S, 45..50, 10).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.crash(&mut Rng(0));
    let (log, recovery) = open(&disk);
    assert!(recovery.is_sound(), "{recovery:?}");
    assert_eq!(log.state(S).purged, Some((45, 1)));
    assert_eq!(
        log.read(S, 46..99, usize::MAX).unwrap(),
        (46..50).map(|i| entry(i, 1000)).collect::<Vec<_>>()
    );
    assert_eq!(log.term_of(S, 45), Some(1), "the last purged term is known");
}

#[test]
fn starts_without_writes_leave_no_files() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.append(S, vec![entry(0, 100)], ok());
    for seed in 0..20 {
        disk.crash(&mut Rng(seed));
        assert_eq!(open(&disk).0.read(S, 0..9, 9).unwrap(), [entry(0, 100)]);
    }
    assert_eq!(segments(&disk).len(), 2);
}

#[test]
fn a_missing_segment_is_corruption() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(16_000, Durability::Always));
    for index in 0..40 {
        log.append(S, vec![entry(index, 1000)], ok());
    }
    disk.kill(&mut Rng(0));
    disk.delete(&segments(&disk)[0]);
    let (log, recovery) = open(&disk);
    let damage = recovery.damage.unwrap();
    assert!(damage.below_durable && damage.reason.contains("missing"), "{damage}");
    assert_eq!(log.state(S).last, None);
}

#[test]
fn an_entry_larger_than_a_segment_gets_its_own() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(16_000, Durability::Always));
    for (index, len) in [100, 3_000_000, 100, 100].into_iter().enumerate() {
        log.append(S, vec![entry(index as u64, len)], ok());
    }
    assert_eq!(segments(&disk).len(), 3);
    disk.crash(&mut Rng(0));
    let (log, _) = open_with(&disk, Options { cache_bytes: 0, ..options(16_000, Durability::Always) });
    assert_eq!(log.read(S, 1..4, 10).unwrap(), [entry(1, 3_000_000)], "at least one entry");
    assert_eq!(log.read(S, 2..4, 1000).unwrap(), [entry(2, 100), entry(3, 100)]);
}

#[test]
fn a_prepared_segment_makes_rolling_cost_no_folder_fsync() {
    let disk = TestDisk::manual();
    let (log, _) = open_with(&disk, options(20_000, Durability::Always));
    for index in 0..11 {
        log.append(S, vec![entry(index, 1000)], ok());
        disk.settle();
    }
    assert_eq!(segments(&disk).len(), 2, "half of the first is used: the second is there");
    assert_eq!(log.stats().segments, 1, "but not in use");
}

#[test]
fn entries_damaged_on_disk_later_are_errors_that_name_the_place() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, Options { cache_bytes: 0, ..options(1 << 20, Durability::Always) });
    for index in 0..3 {
        log.append(S, vec![entry(index, 100)], ok());
    }
    let (file, at) = find(&disk, &[2; 100]);
    disk.flip(&file, at * 8 + 3);
    let error = log.read(S, 0..3, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(&format!("{} at byte {}", file.display(), at - 40)), "{error}");
    assert_eq!(log.read(S, 2..3, usize::MAX).unwrap(), [entry(2, 100)]);
}

#[test]
fn a_payload_that_imitates_the_log_proves_nothing() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    for index in 0..3 {
        log.append(S, vec![entry(index, 100)], ok());
    }
    let (file, _) = find(&disk, &[2; 100]);
    let copy = disk.content(&file)[HEADER_PAGE as usize..][..600].to_vec();
    // A client stores the log's own bytes, and the crash tears exactly that group.
    let imitation = Entry { payload: copy.into(), ..entry(3, 0) };
    log.append(S, vec![imitation.clone()], ok());
    disk.kill(&mut Rng(0));
    let content = disk.content(&file);
    let start = content.windows(600).rposition(|window| window == imitation.payload).unwrap();
    assert!(start > 4096 + 600, "not the original");
    disk.flip(&file, (start as u64 + 590) * 8);
    let (log, recovery) = open(&disk);
    assert!(!recovery.damage.unwrap().below_durable && recovery.last_group_damaged);
    assert_eq!(log.state(S).last, Some((2, 1)));
}

#[test]
fn votes_survive_the_loss_of_either_copy_and_the_loss_of_both_is_reported() {
    for copies in [&[0][..], &[1], &[0, 1]] {
        let disk = TestDisk::inline();
        let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
        for vote in ["first", "second", "third"] {
            log.save_vote(S, Bytes::from(vote), ok());
        }
        disk.crash(&mut Rng(0));
        for copy in copies {
            disk.flip(&dir().join("votes"), copy * 4096 * 8 + 200);
        }
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.vote_lost, copies.len() == 2);
        assert_eq!(log.vote(S).is_none(), recovery.vote_lost);
        if recovery.vote_lost {
            assert!(open(&disk).1.vote_lost, "until trusted");
            log.save_vote(S, Bytes::from_static(b"new"), ok());
            log.trust(ok());
            let (log, recovery) = open(&disk);
            assert!(!recovery.vote_lost);
            assert_eq!(log.vote(S), Some(Bytes::from_static(b"new")));
        } else {
            assert_eq!(log.vote(S), Some(Bytes::from_static(b"third")));
            disk.flip(&dir().join("votes"), (1 - copies[0]) * 4096 * 8 + 200);
            assert_eq!(open(&disk).0.vote(S), Some(Bytes::from_static(b"third")), "the copy was repaired");
        }
    }
}

#[test]
fn lost_votes_of_nobody_in_particular_are_forgotten_when_trusted() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.save_vote(S, Bytes::from_static(b"vote"), ok());
    disk.overwrite(&dir().join("votes"), 0, &[9; 8192]);
    let (log_again, recovery) = open(&disk);
    assert!(recovery.vote_lost);
    log_again.trust(ok());
    assert!(!open(&disk).1.vote_lost);
    disk.delete(&dir().join("votes"));
    assert!(open(&disk).1.vote_lost, "so is a file that is gone");
    drop(log);
}

#[test]
fn what_cannot_be_appended_is_refused_and_changes_nothing() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.append(S, vec![entry(3, 1)], ok());
    let outcomes = Outcomes::default();
    log.append(S, vec![entry(5, 1)], outcomes.done(0));
    log.append(S, vec![entry(4, 1), entry(6, 1)], outcomes.done(1));
    log.save_vote(S, Bytes::from(vec![0; VOTE_BYTES_MAX + 1]), outcomes.done(2));
    log.reset(S, (9, 1), ok());
    log.truncate(S, 9, outcomes.done(3));
    log.append(S, vec![entry(u64::MAX, 1)], outcomes.done(4));
    log.append(ShardId(0), vec![entry(u64::MAX, 1)], outcomes.done(5));
    assert_eq!(outcomes.take(), (0..6).map(|n| (n, Err(io::ErrorKind::InvalidInput))).collect::<Vec<_>>());
    log.append(S, vec![entry(10, 1)], ok());
    assert_eq!(log.read(S, 10..11, 0).unwrap(), [entry(10, 1)]);
    assert!(log.failed().is_none());
}

#[test]
fn switching_to_always_makes_everything_before_it_durable() {
    let disk = TestDisk::inline();
    let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
    log.append(S, vec![entry(0, 100)], ok());
    log.set_durability(Durability::Always, ok());
    log.append(S, vec![entry(1, 100)], ok());
    disk.crash(&mut Rng(0));
    let (log, recovery) = open(&disk);
    assert_eq!(log.state(S).last, Some((1, 1)));
    assert!(recovery.os_crashed && recovery.is_sound(), "{recovery:?}");
    log.set_durability(Durability::EverySecond, ok());
    disk.crash(&mut Rng(0));
    assert!(open(&disk).1.unsynced_lost);
}

#[test]
fn a_folder_of_a_later_release_is_refused_and_left_alone() {
    let disk = TestDisk::inline();
    let (log, _) = open(&disk);
    log.close_clean(ok());
    let file = dir().join("run");
    let mut content = disk.content(&file);
    content[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&content[..12]), &content[16..]);
    content[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.overwrite(&file, 0, &content);
    let error = Log::open(disk.clone(), dir(), Options::default()).err().unwrap();
    assert!(error.to_string().contains("format 2, this release reads 1"), "{error}");
    assert_eq!(disk.content(&file), content);
}

#[test]
fn a_start_that_fails_half_way_does_not_hide_what_the_run_before_it_risked() {
    for ops in 0..40 {
        let disk = TestDisk::inline();
        let (log, _) = open_with(&disk, options(1 << 20, Durability::EverySecond));
        log.append(S, vec![entry(0, 3000)], ok());
        disk.kill(&mut Rng(0));
        disk.stop_after(ops);
        let half = Log::open(disk.clone(), dir(), options(1 << 20, Durability::Always));
        drop(half);
        disk.crash(&mut Rng(ops));
        let (log, recovery) = open(&disk);
        assert!(recovery.unsynced_lost || log.state(S).last == Some((0, 1)), "after {ops}: {recovery:?}");
    }
}

#[test]
fn what_proves_damage_stays_until_the_damaged_part_is_given_up() {
    for seed in 0..60 {
        let disk = TestDisk::manual();
        let (log, _) = open_with(&disk, options(8_000, Durability::Always));
        for index in 0..12 {
            log.append(S, vec![entry(index, 1000)], ok());
            disk.settle();
        }
        disk.kill(&mut Rng(0));
        // The last group of the first segment: only the segments behind it prove that it was durable.
        let first = &segments(&disk)[0];
        let end = disk.content(first).iter().rposition(|byte| *byte != 0).unwrap() as u64;
        disk.flip(first, end * 8);

        let mut rng = Rng(seed);
        let (log, recovery) = open_with(&disk, options(8_000, Durability::Always));
        assert!(recovery.damage.as_ref().is_some_and(|damage| damage.below_durable), "{recovery:?}");
        log.save_vote(S, Bytes::from_static(b"v"), Box::new(|_| ()));
        log.discard_damaged(Box::new(|_| ()));
        for _ in 0..rng.below(30) {
            disk.step(&mut rng);
        }
        disk.crash(&mut rng);
        let (_, again) = open_with(&disk, options(8_000, Durability::Always));
        let damaged = again.damage.as_ref().is_some_and(|damage| damage.below_durable);
        assert!(damaged || again.discarded, "seed {seed}: {again:?}");
        assert!(!again.is_sound());
        if !damaged {
            assert_eq!(segments(&disk).len(), 2, "seed {seed}: the intact part and the new one");
        }
    }
}
