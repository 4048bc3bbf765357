//! A snapshot is the state at exactly one index, whatever happens while it is written (R9).

mod replica;

use proptest::prelude::*;
use quorate_keyspace::{Random, Restore, RestoreError};
use replica::{Replica, restore};

/// Random commands on few keys, so that they meet.
pub struct Workload {
    random: Random,
    keys: u64,
}

impl Workload {
    fn new(seed: u64, keys: u64) -> Self {
        Self { random: Random::new(seed), keys }
    }

    fn key(&mut self) -> String {
        let n = self.random.below(self.keys);
        if n.is_multiple_of(7) {
            format!("a-key-that-is-longer-than-what-fits-inline:{n}")
        } else {
            format!("k{n}")
        }
    }

    fn line(&mut self) -> (usize, String) {
        let (key, other) = (self.key(), self.key());
        let db = self.random.below(3) as usize;
        let n = self.random.below(1000);
        let line = match self.random.below(40) {
            0..8 => format!("SET {key} {n}"),
            8..10 => format!("SET {key} {}", "long".repeat(n as usize)),
            10..13 => format!("SET {key} v{n} PX {}", 1 + n),
            13..16 => format!("RPUSH {key} {n} {} x", "e".repeat(n as usize)),
            16 => format!("RPUSH {key} {}", vec!["element"; 300 + n as usize].join(" ")),
            17 => format!("SET {key} {}", "huge".repeat(50_000)),
            18..20 => format!("APPEND {key} {n}"),
            20..22 => format!("INCR {key}"),
            22..24 => format!("LPOP {key}"),
            24..27 => format!("DEL {key} {other}"),
            27 => format!("RENAME {key} {other}"),
            28 => format!("COPY {key} {other} DB {}", n % 3),
            29 => format!("MOVE {key} {}", n % 3),
            30..32 => format!("PEXPIRE {key} {n}"),
            32 => format!("PERSIST {key}"),
            33 => format!("SETRANGE {key} {n} hole"),
            34 if n < 150 => "FLUSHDB".to_owned(),
            34 if n < 200 => "FLUSHALL".to_owned(),
            35 if n < 300 => format!("SWAPDB {} {}", n % 3, n / 3 % 3),
            _ => format!("GETSET {key} {n}"),
        };
        (db, line)
    }

    fn run(&mut self, r: &mut Replica, commands: usize) {
        for _ in 0..commands {
            let (db, line) = self.line();
            r.time_ms += self.random.below(3);
            r.run(db, &line);
        }
    }
}

#[test]
fn a_snapshot_is_the_state_at_its_beginning() {
    for seed in 0..30 {
        let mut work = Workload::new(seed, 60);
        let mut r = Replica::new(seed as u8);
        work.run(&mut r, 300);
        let (content, digest, index) = (r.keyspace.content_digest(), r.keyspace.digest(), r.keyspace.index());
        r.keyspace.snapshot_begin();
        r.keyspace.content_digest_begin();
        let (mut out, mut slices, mut digest_at_begin) = (Vec::new(), 0, None);
        while !r.keyspace.snapshot_slice(&mut out, 2000) {
            slices += 1;
            digest_at_begin = digest_at_begin.or(r.keyspace.content_digest_slice(1000));
            work.run(&mut r, 2);
            r.keyspace.take_garbage(20);
        }
        let restored = restore(&out);
        assert_eq!(restored.content_digest(), content, "seed {seed}");
        assert_eq!((restored.digest(), restored.index()), (digest, index));
        while digest_at_begin.is_none() {
            digest_at_begin = r.keyspace.content_digest_slice(1000);
        }
        assert_eq!(digest_at_begin, Some(content), "seed {seed}");
        assert_ne!(r.keyspace.content_digest(), content, "something happened in {slices} slices");
        assert!(!r.keyspace.snapshot_under_way());
    }
}

#[test]
fn slices_keep_to_their_budget() {
    let mut r = Replica::new(1);
    r.run(0, &format!("SET huge {}", "x".repeat(3_000_000)));
    r.run(0, &format!("RPUSH huge-elements {0} {0}", "y".repeat(1_000_000)));
    r.run(0, &format!("RPUSH many {}", vec!["element"; 50_000].join(" ")));
    for i in 0..3000 {
        r.run(0, &format!("SET k{i} v"));
    }
    let content = r.keyspace.content_digest();
    r.keyspace.snapshot_begin();
    let (mut out, mut longest) = (Vec::new(), 0);
    loop {
        let before = out.len();
        let done = r.keyspace.snapshot_slice(&mut out, 20_000);
        longest = longest.max(out.len() - before);
        if done {
            break;
        }
    }
    assert!(longest < 40_000, "{longest}");
    assert_eq!(restore(&out).content_digest(), content);
}

#[test]
fn a_flushed_table_is_kept_for_the_snapshot_and_freed_afterwards() {
    let mut r = Replica::new(1);
    for i in 0..2000 {
        r.run(i % 3, &format!("SET k{i} v PX 100000"));
    }
    let content = r.keyspace.content_digest();
    r.keyspace.snapshot_begin();
    let mut out = Vec::new();
    assert!(!r.keyspace.snapshot_slice(&mut out, 10_000));
    r.run(0, "SWAPDB 0 2");
    r.run(0, "FLUSHALL");
    for i in 0..100 {
        r.run(0, &format!("SET k{i} new"));
    }
    while !r.keyspace.snapshot_slice(&mut out, 10_000) {}
    assert_eq!(restore(&out).content_digest(), content);
    while r.keyspace.take_garbage(100) {}
    assert_eq!(r.run(0, "DBSIZE"), "100");
}

#[test]
fn an_abandoned_snapshot_leaves_no_trace() {
    let mut r = Replica::new(1);
    for i in 0..1000 {
        r.run(0, &format!("SET k{i} v"));
    }
    r.keyspace.snapshot_begin();
    r.keyspace.snapshot_slice(&mut Vec::new(), 100);
    r.run(0, "FLUSHALL");
    r.keyspace.snapshot_abort();
    assert!(!r.keyspace.snapshot_under_way());
    assert!(r.keyspace.snapshot_slice(&mut Vec::new(), 100), "nothing was begun");
    assert!(r.keyspace.take_garbage(10), "the old table is freed");
}

#[test]
fn an_empty_keyspace_survives() {
    let mut r = Replica::new(1);
    let content = r.keyspace.content_digest();
    assert_eq!(restore(&r.snapshot()).content_digest(), content);
}

fn sample() -> Vec<u8> {
    let mut r = Replica::new(1);
    Workload::new(5, 20).run(&mut r, 120);
    r.run(0, &format!("SET huge {}", "x".repeat(100_000)));
    r.run(0, &format!("RPUSH long {}", vec!["element"; 400].join(" ")));
    r.snapshot()
}

#[test]
fn a_snapshot_must_be_whole() {
    let snapshot = sample();
    for len in [0, 1, 5, 100, snapshot.len() - 1] {
        let mut restore = Restore::new();
        assert_eq!(restore.push(&snapshot[..len]), Ok(()));
        assert_eq!(restore.finish().err(), Some(RestoreError::Incomplete));
    }
    let mut restore = Restore::new();
    let more = [&snapshot[..], b"more"].concat();
    assert_eq!(restore.push(&more), Err(RestoreError::Damaged));
}

#[test]
fn a_snapshot_of_newer_software_says_so() {
    let mut snapshot = sample();
    snapshot[5] = 9;
    assert_eq!(
        Restore::new().push(&snapshot),
        Err(RestoreError::Unsupported { format: 9, semantics: quorate_keyspace::batch::SEMANTICS })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_snapshot_may_arrive_in_any_pieces(lens in proptest::collection::vec(1..3000_usize, 1..50)) {
        let snapshot = sample();
        let mut restore = Restore::new();
        let mut rest = &snapshot[..];
        for len in lens.iter().cycle() {
            let (piece, after) = rest.split_at((*len).min(rest.len()));
            prop_assert_eq!(restore.push(piece), Ok(()));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let whole = replica::restore(&snapshot);
        prop_assert_eq!(restore.finish().unwrap().content_digest(), whole.content_digest());
    }

    #[test]
    fn a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), bits in 1..=255_u8, cut in any::<bool>()) {
        let mut snapshot = sample();
        let at = at.index(snapshot.len());
        snapshot[at] ^= bits;
        if cut {
            snapshot.remove(at);
        }
        let mut restore = Restore::new();
        let pushed = restore.push(&snapshot);
        prop_assert!(pushed.is_err() || restore.finish().is_err());
    }

    #[test]
    fn hostile_bytes_are_an_error_at_worst(frames in proptest::collection::vec((0..11_u8, proptest::collection::vec(any::<u8>(), 0..60)), 0..20)) {
        // A good beginning, then any frames.
        let good = Replica::new(1).snapshot();
        let begin = 5 + u32::from_le_bytes(good[1..5].try_into().unwrap()) as usize;
        let mut bytes = good[..begin].to_vec();
        for (kind, body) in &frames {
            bytes.push(*kind);
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend(body);
        }
        let mut restore = Restore::new();
        let pushed = restore.push(&bytes);
        prop_assert!(pushed.is_err() || restore.finish().is_err(), "there is no good end");
    }
}
