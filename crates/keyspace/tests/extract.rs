//! What MIGRATE reads: values, deadlines, and the version that a watch begins with.

mod replica;

use quorate_keyspace::{
    ReadOutcome, Reply,
    command::{resolve, table},
};
use quorate_resp::{Protocol, Value, ValueDecoder, ValueLimits};
use replica::{Replica, START_MS};

const EXTRACT: &[u8] = b"\0extract";

fn read(r: &Replica, now_ms: u64, args: &[&[u8]]) -> Result<Value, u64> {
    let mut bytes = Vec::new();
    let outcome = r.keyspace.read(0, args, now_ms, 0, &mut Reply::new(&mut bytes, Protocol::Resp2));
    if let ReadOutcome::NeedsTime(deadline_ms) = outcome {
        assert!(bytes.is_empty());
        return Err(deadline_ms);
    }
    let mut decoder = ValueDecoder::new(ValueLimits::default());
    decoder.feed(&bytes);
    Ok(decoder.next().unwrap().expect("a whole reply"))
}

/// The version of the state, and of each key that was answered for its deadline and its value's first byte.
fn extract(r: &Replica, version: &str, bytes_max: usize, keys: &[&str]) -> (u64, Vec<Option<(i64, u8)>>) {
    let bytes_max = bytes_max.to_string();
    let mut args: Vec<&[u8]> = vec![EXTRACT, version.as_bytes(), bytes_max.as_bytes()];
    args.extend(keys.iter().map(|key| key.as_bytes()));
    let reply = read(r, r.time_ms, &args).expect("nothing expires");
    let [at, found] = reply.as_array().unwrap() else { panic!("{reply:?}") };
    let found = found.as_array().unwrap().iter().map(|entry| {
        let parts = entry.as_array()?;
        Some((parts[0].as_int().unwrap(), parts[1].as_bytes().unwrap()[0]))
    });
    (at.as_int().unwrap() as u64, found.collect())
}

#[test]
fn values_come_with_deadlines_in_the_version_that_is_asked_for() {
    let mut r = Replica::new(1);
    r.run(0, "SET text v");
    r.run(0, "SADD set a b");
    r.run(0, &format!("PEXPIREAT set {}", START_MS + 5000));
    let (version, found) = extract(&r, "11", 1000, &["text", "none", "set"]);
    assert_eq!(found, [Some((0, 0)), None, Some((START_MS as i64 + 5000, 20))]);
    assert_eq!(version, r.keyspace.version());
    let (_, found) = extract(&r, "10", 1000, &["set"]);
    assert_eq!(found, [Some((START_MS as i64 + 5000, 2))], "Redis 7.0 knows no packed sets");
}

#[test]
fn it_ends_with_the_value_that_is_too_much() {
    let mut r = Replica::new(1);
    for key in ["a", "b", "c", "d"] {
        r.run(0, &format!("SET {key} {}", "x".repeat(100)));
    }
    let keys = ["a", "b", "c", "d"];
    assert_eq!(extract(&r, "11", 10_000, &keys).1.len(), 4);
    assert_eq!(extract(&r, "11", 150, &keys).1.len(), 2);
    assert_eq!(extract(&r, "11", 0, &keys).1.len(), 1, "one in any case");
}

#[test]
fn any_change_is_seen_by_a_watch_from_that_version_on() {
    for change in ["SET k other", "APPEND k x", "PEXPIRE k 1000", "DEL k", "RENAME k l", "FLUSHALL"] {
        let mut r = Replica::new(1);
        r.run(0, "SET k v");
        let (version, _) = extract(&r, "11", 1000, &["k"]);
        assert!(!r.keyspace.watch_broken(0, b"k", version, true));
        r.run(0, "SET l v");
        assert!(!r.keyspace.watch_broken(0, b"k", version, true), "another key");
        r.run(0, change);
        assert!(r.keyspace.watch_broken(0, b"k", version, true), "{change}");
    }
}

#[test]
fn a_key_whose_time_may_have_come_needs_the_log_to_say_so() {
    let mut r = Replica::new(1);
    r.run(0, &format!("SET k v PXAT {}", START_MS + 100));
    let read = read(&r, START_MS + 200, &[EXTRACT, b"11", b"1000", b"k"]);
    assert_eq!(read.unwrap_err(), START_MS + 100);
}

#[test]
fn clients_and_scripts_cannot_ask_for_it() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v");
    assert!(table::internal().any(|command| command.name.as_bytes() == EXTRACT));
    assert!(resolve(&[EXTRACT, b"11", b"1000", b"k"]).is_err());
    let script = b"return redis.call('\\0extract', '11', '1000', KEYS[1])";
    let reply = r.run_args(0, &[b"EVAL", script, b"1", b"k"]);
    assert!(reply.contains("Unknown Redis command called from script"), "{reply}");
}
