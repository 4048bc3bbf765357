//! Snapshots: any bytes, in any pieces. They are refused, or what they restore can be used as any other state, and its
//! own snapshot restores the same again.
//!
//! A checksum at the end would keep the fuzzer out, so half of the inputs get a right one. What is then restored is what
//! an attacker may have made up, not what was written: only memory and panics are at stake.

#![no_main]

use quorate_fuzz::{Input, cuts};
use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS};
use quorate_keyspace::{Keyspace, NoHost, Reply, Restore, RestoreError};
use quorate_resp::Protocol;
use xxhash_rust::xxh3::Xxh3;

const TERM: u64 = 3;
const TIME_MS: u64 = 1_700_000_000_000;
/// The frame at the end, the head of a frame, and its checksum.
const END: u8 = 9;
const HEAD_LEN: usize = 5;

fn apply(keyspace: &mut Keyspace, time_ms: u64, lines: &[&str]) {
    let mut batch = BatchBuilder::new();
    for line in lines {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        batch.command(0, &args);
    }
    let origin_seq = keyspace.origin(1).map_or(1, |origin| origin.seq.wrapping_add(1));
    let header = Header {
        semantics: SEMANTICS,
        time_ms,
        seed: 5,
        term: TERM,
        origin_node: 1,
        origin_start: 1,
        origin_epoch: 0,
        origin_seq,
        memory_short: false,
        few_replicas: false,
    };
    let index = keyspace.index() + 1;
    keyspace.apply(index, TERM, &batch.finish(&header), &mut NoHost);
}

fn snapshot(keyspace: &mut Keyspace, slice: usize) -> Vec<u8> {
    keyspace.snapshot_begin();
    let mut bytes = Vec::new();
    while !keyspace.snapshot_slice(&mut bytes, slice) {}
    bytes
}

fn restore(bytes: &[u8], cuts: &[usize]) -> Result<Keyspace, RestoreError> {
    let mut restore = Restore::new();
    for piece in cuts.windows(2) {
        restore.push(&bytes[piece[0]..piece[1]])?;
    }
    restore.finish()
}

/// Gives the last frame the checksum of all before it.
fn seal(bytes: &mut [u8]) {
    let mut at = 0;
    let mut sum = Xxh3::new();
    while let Some([kind, len @ ..]) = bytes.get(at..at + HEAD_LEN) {
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        let end = at.saturating_add(HEAD_LEN).saturating_add(len);
        if end > bytes.len() {
            return;
        }
        if *kind == END {
            if len >= 8 {
                bytes[end - 8..end].copy_from_slice(&sum.digest().to_le_bytes());
            }
            return;
        }
        sum.update(&bytes[at..end]);
        at = end;
    }
}

fn good() -> Vec<Vec<u8>> {
    let mut keyspace = Keyspace::new(2);
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"\0bootstrap", &[9; 16], &[7; 16]]);
    let header = Header { semantics: SEMANTICS, term: TERM, time_ms: TIME_MS, ..Header::default() };
    keyspace.apply(1, TERM, &batch.finish(&header), &mut NoHost);
    let mut seeds = vec![snapshot(&mut keyspace, 1000)];
    apply(
        &mut keyspace,
        TIME_MS,
        &["SET text some-text", "SET number 41", "SET leaving soon PX 5000", "DEL missing text"],
    );
    seeds.push(snapshot(&mut keyspace, 1000));
    apply(
        &mut keyspace,
        TIME_MS,
        &["RPUSH list a b 12 c", "LPOP list", "RPUSH list2 1 2 3", "MOVE number 1"],
    );
    seeds.push(snapshot(&mut keyspace, 10));
    apply(
        &mut keyspace,
        TIME_MS,
        &[
            "SADD set a b c",
            "SADD ints 1 2 3",
            "HSET hash f v g w",
            "ZADD zset 1 a 2.5 b",
            "XADD stream * f v",
            "XGROUP CREATE stream group 0",
            "XREADGROUP GROUP group c STREAMS stream >",
            "PFADD hll a b c",
            "BLPOP queue 0",
            "XREADGROUP GROUP group c BLOCK 0 STREAMS stream >",
            "SCRIPT LOAD return(1)",
        ],
    );
    seeds.push(snapshot(&mut keyspace, 1000));
    let members: String = (0..200).map(|n| format!(" m{n} {n}")).collect();
    let pairs: String = (0..200).map(|n| format!(" {n} m{n}")).collect();
    let long = "x".repeat(70);
    let large =
        [format!("SADD set{members}"), format!("HSET hash {long} {long}"), format!("ZADD zset{pairs}")];
    apply(&mut keyspace, TIME_MS, &large.each_ref().map(String::as_str));
    seeds.push(snapshot(&mut keyspace, 1000));
    seeds.into_iter().map(|bytes| [vec![0, 0, 0], bytes].concat()).collect()
}

/// What anybody may do with a state.
fn used(keyspace: &mut Keyspace) {
    let mut out = Vec::new();
    for db in 0..2 {
        let mut keys = Vec::new();
        keyspace.for_each_key(db, &mut |key| keys.push(key.to_vec()));
        for key in &keys {
            for args in [
                &[&b"GET"[..], key][..],
                &[b"LRANGE", key, b"0", b"-1"],
                &[b"PTTL", key],
                &[b"OBJECT", b"ENCODING", key],
                &[b"SMEMBERS", key],
                &[b"HGETALL", key],
                &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
                &[b"XINFO", b"STREAM", key, b"FULL"],
                &[b"PFCOUNT", key],
                &[b"DUMP", key],
            ] {
                out.clear();
                keyspace.read(db, args, keyspace.time_ms(), 1, &mut Reply::new(&mut out, Protocol::Resp3));
            }
        }
        let _stats = keyspace.stats(db);
    }
    let _keys = keyspace.expired_backlog();
    if keyspace.index() < u64::MAX - 10 && keyspace.version() < u64::MAX - 100 {
        let time_ms = keyspace.time_ms().saturating_add(10_000);
        let lines = [
            "SET text x",
            "RPUSH list x",
            "LPOP list",
            "INCR number",
            "RANDOMKEY",
            "SCAN 0",
            "SPOP set",
            "SADD set y",
            "HSET hash f x",
            "HDEL hash f g",
            "ZADD zset 3 c",
            "ZPOPMIN zset",
            "XADD stream * f v",
            "XACK stream group 0-1",
            "XTRIM stream MAXLEN 1",
            "PFADD hll x",
            "RPUSH queue x",
            "FCALL f 1 number",
            "SWAPDB 0 1",
            "FLUSHALL",
        ];
        for line in lines {
            apply(keyspace, time_ms, &[line]);
        }
    }
    while keyspace.take_garbage(100) {}
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(good),
    |data: &[u8]| {
        let mut input = Input(data);
        let (choice, seed) = (input.byte(), input.word() as u64);
        let mut bytes = input.0.to_vec();
        if choice & 1 == 0 {
            seal(&mut bytes);
        }
        let whole = restore(&bytes, &[0, bytes.len()]);
        let pieces = restore(&bytes, &cuts(seed, bytes.len()));
        assert_eq!(whole.is_ok(), pieces.is_ok(), "in pieces");
        let (Ok(mut keyspace), Ok(mut other)) = (whole, pieces) else { return };
        assert_eq!(keyspace.content_digest(), other.content_digest());
        let again = snapshot(&mut keyspace, 100);
        let mut again = restore(&again, &[0, again.len()]).expect("a snapshot of its own");
        assert_eq!(keyspace.content_digest(), again.content_digest(), "of its own snapshot");
        used(&mut keyspace);
        used(&mut again);
        used(&mut other);
        assert_eq!(keyspace.digest(), other.digest());
        assert_eq!(keyspace.digest(), again.digest());
    }
);
