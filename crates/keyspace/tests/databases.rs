//! Commands on whole databases.

mod replica;

use std::collections::{BTreeMap, BTreeSet};

use quorate_keyspace::{DATABASES_SETTING, Random};
use replica::Replica;

#[test]
fn databases_are_apart() {
    let mut r = Replica::new(1);
    assert_eq!(r.run(0, "SET k zero"), "+OK");
    assert_eq!(r.run(1, "SET k one"), "+OK");
    assert_eq!(r.run(0, "GET k"), "\"zero\"");
    assert_eq!(r.run(1, "GET k"), "\"one\"");
    assert_eq!(r.run(2, "GET k"), "nil");
    assert_eq!(r.run(16, "GET k"), "-ERR DB index is out of range");
    assert_eq!(r.run(16, "SET k v"), "-ERR DB index is out of range");
    assert_eq!(r.run(0, "DBSIZE"), "1");
}

/// The founder's word, in the log, decides how many there are.
#[test]
fn the_number_of_databases_is_a_setting_of_the_cluster() {
    let mut r = Replica::new(1);
    let set = |r: &mut Replica, value: &str| {
        assert_eq!(
            r.run_args(0, &[b"\0directory.set", DATABASES_SETTING.as_bytes(), value.as_bytes()]),
            "+OK"
        );
        r.keyspace.databases()
    };
    r.keyspace.snapshot_begin();
    r.keyspace.content_digest_begin();
    assert_eq!(set(&mut r, "20"), 20);
    assert_eq!(r.run(19, "SET k v"), "+OK");
    let mut snapshot = Vec::new();
    while !r.keyspace.snapshot_slice(&mut snapshot, 100) {}
    assert_eq!(replica::restore(&snapshot).databases(), 16, "as it was when the snapshot began");
    while r.keyspace.content_digest_slice(100).is_none() {}
    assert_eq!(set(&mut r, "4"), 20, "no key is dropped");
    assert_eq!(r.run(19, "DEL k"), "1");
    r.keyspace.snapshot_begin();
    assert_eq!(set(&mut r, "4"), 4);
    while !r.keyspace.snapshot_slice(&mut snapshot, 100) {}
    assert_eq!(r.run(4, "SET k v"), "-ERR DB index is out of range");
    for nonsense in ["0", "-1", "x", "65536"] {
        assert_eq!(set(&mut r, nonsense), 4);
    }
    assert_eq!(replica::restore(&r.snapshot()).databases(), 4);
}

#[test]
fn move_goes_only_where_the_key_is_free() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 5000");
    assert_eq!(r.run(0, "MOVE k 0"), "-ERR source and destination objects are the same");
    assert_eq!(r.run(0, "MOVE k 16"), "-ERR DB index is out of range");
    assert_eq!(r.run(0, "MOVE k x"), "-ERR value is not an integer or out of range");
    assert_eq!(r.run(0, "MOVE none 1"), "0");
    assert_eq!(r.run(0, "MOVE k 1"), "1");
    assert_eq!(r.run(0, "EXISTS k"), "0");
    assert_eq!(r.run(1, "PTTL k"), "5000");
    r.run(0, "SET k w");
    assert_eq!(r.run(0, "MOVE k 1"), "0");
    assert_eq!(r.run(0, "GET k"), "\"w\"");
}

#[test]
fn copy_reaches_another_database() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v");
    assert_eq!(r.run(0, "COPY k k DB 5"), "1");
    assert_eq!(r.run(5, "GET k"), "\"v\"");
}

#[test]
fn swapdb_exchanges_keys_and_deadlines() {
    let mut r = Replica::new(1);
    r.run(0, "SET a zero PX 100");
    r.run(1, "SET b one");
    assert_eq!(r.run(0, "SWAPDB 0 1"), "+OK");
    assert_eq!(r.run(0, "KEYS *"), r#"["b"]"#);
    assert_eq!(r.run(1, "PTTL a"), "100");
    r.time_ms += 100;
    assert_eq!(r.run(1, "EXISTS a"), "0");
    assert_eq!(r.run(0, "SWAPDB 0 0"), "+OK");
    assert_eq!(r.run(0, "SWAPDB x 0"), "-ERR invalid first DB index");
    assert_eq!(r.run(0, "SWAPDB 0 x"), "-ERR invalid second DB index");
    assert_eq!(r.run(0, "SWAPDB 0 16"), "-ERR DB index is out of range");
}

#[test]
fn flushing_removes_one_or_all() {
    let mut r = Replica::new(1);
    for db in 0..3 {
        r.run(db, "SET k v PX 1000");
    }
    assert_eq!(r.run(1, "FLUSHDB NOW"), "-ERR syntax error");
    assert_eq!(r.run(1, "FLUSHDB ASYNC"), "+OK");
    assert_eq!(r.run(0, "EXISTS k"), "1");
    assert_eq!(r.run(1, "EXISTS k"), "0");
    assert_eq!(r.run(0, "FLUSHALL SYNC"), "+OK");
    assert_eq!(r.run(0, "DBSIZE"), "0");
    assert_eq!(r.run(2, "DBSIZE"), "0");
    assert_eq!(r.keyspace.next_deadline(), None);
    assert_eq!(r.run(0, "FLUSHALL"), "+OK");
}

#[test]
fn what_is_dropped_is_freed_in_slices() {
    let mut r = Replica::new(1);
    for i in 0..5000 {
        r.run(0, &format!("SET k{i} v PX 100000"));
    }
    let elements: Vec<String> = (0..3000).map(|i| i.to_string()).collect();
    r.run(0, &format!("RPUSH big {}", elements.join(" ")));
    r.run(0, "DEL big");
    r.run(0, "FLUSHALL");
    let slices = (1..).find(|_| !r.keyspace.take_garbage(100)).expect("it ends");
    assert!(
        (100..1000).contains(&slices),
        "{slices} slices of 100 for 5000 keys, their deadlines and a list"
    );
    assert!(!r.keyspace.take_garbage(100));
}

#[test]
fn keys_match_a_pattern() {
    let mut r = Replica::new(1);
    for key in ["one", "two", "three", "h[e]llo"] {
        r.run(0, &format!("SET {key} v"));
    }
    assert_eq!(r.run(0, "KEYS t?o"), r#"["two"]"#);
    assert_eq!(r.run(0, "KEYS none*"), "[]");
    let reply = r.run(0, "KEYS *");
    for key in ["one", "two", "three", "h[e]llo"] {
        assert!(reply.contains(&format!("\"{key}\"")), "{reply}");
    }
}

fn parse_scan(reply: &str) -> (u64, Vec<String>) {
    let (cursor, keys) = reply.strip_prefix("[\"").unwrap().split_once("\", [").unwrap();
    let keys = keys.strip_suffix("]]").unwrap();
    let keys = keys.split(", ").filter(|key| !key.is_empty()).map(|key| key.trim_matches('"').to_owned());
    (cursor.parse().unwrap(), keys.collect())
}

#[test]
fn scan_returns_each_key_once() {
    let mut r = Replica::new(1);
    for i in 0..1000 {
        r.run(0, &format!("SET k{i} v"));
    }
    let (mut cursor, mut seen, mut calls) = (0, Vec::new(), 0);
    loop {
        let (next, keys) = parse_scan(&r.run(0, &format!("SCAN {cursor} COUNT 7")));
        assert!(keys.len() <= 8, "{}", keys.len());
        assert!(next < 1 << 53, "a double holds every cursor");
        seen.extend(keys);
        calls += 1;
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 1000);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 1000);
    assert!((125..=143).contains(&calls), "{calls}");
}

#[test]
fn scan_filters() {
    let mut r = Replica::new(1);
    r.run(0, "SET string v");
    r.run(0, "RPUSH list v");
    assert_eq!(parse_scan(&r.run(0, "SCAN 0 TYPE list")), (0, vec!["list".to_owned()]));
    assert_eq!(parse_scan(&r.run(0, "SCAN 0 MATCH s* COUNT 100")), (0, vec!["string".to_owned()]));
    assert_eq!(parse_scan(&r.run(0, "SCAN 0 TYPE zset")), (0, vec![]));
    assert_eq!(parse_scan(&r.run(0, "SCAN 18446744073709551615")), (0, vec![]));
    assert_eq!(r.run(0, "SCAN x"), "-ERR invalid cursor");
    // As `strtoul` reads them.
    for at_the_end in ["-1", "-99", "18446744073709551615"] {
        assert_eq!(parse_scan(&r.run(0, &format!("SCAN {at_the_end}"))), (0, vec![]));
    }
    for beginning in ["", "-0", "+0", "0\0x"] {
        let (next, keys) = parse_scan(&r.run(0, &format!("SCAN {beginning}")));
        assert_eq!((next, keys.len()), (0, 2), "{beginning:?}");
    }
    for invalid in ["-", "+", "--1", "0x1", "1 ", "\t1", "18446744073709551616", "-18446744073709551616"] {
        let reply = r.run_args(0, &[b"SCAN", invalid.as_bytes()]);
        assert_eq!(reply, "-ERR invalid cursor", "{invalid:?}");
    }
    assert_eq!(r.run(0, "SCAN 0 COUNT 0"), "-ERR syntax error");
    assert_eq!(r.run(0, "SCAN 0 COUNT x"), "-ERR value is not an integer or out of range");
    assert_eq!(r.run(0, "SCAN 0 COUNT"), "-ERR syntax error");
    assert_eq!(r.run(0, "SCAN 0 WHICH x"), "-ERR syntax error");
}

/// The promise of SCAN: what is there from the beginning to the end is returned, whatever happens to other keys, and also
/// when the scan goes on at another replica.
#[test]
fn scan_misses_nothing_while_the_table_grows_and_moves() {
    let mut r = Replica::new(2);
    let stable: BTreeSet<String> = (0..500).map(|i| format!("stable{i}")).collect();
    for key in &stable {
        r.run(0, &format!("SET {key} v"));
    }
    let (mut cursor, mut seen, mut calls) = (0, BTreeSet::new(), 0);
    loop {
        let (next, keys) = parse_scan(&r.run(0, &format!("SCAN {cursor} COUNT 5")));
        seen.extend(keys);
        cursor = next;
        calls += 1;
        if cursor == 0 {
            break;
        }
        // The table grows eightfold, then shrinks again.
        for i in 0..40 {
            match calls {
                0..100 => r.run(0, &format!("SET other{calls}-{i} v")),
                100..200 => r.run(0, &format!("DEL other{}-{i}", calls - 100)),
                _ => String::new(),
            };
        }
        if calls % 7 == 0 {
            let snapshot = r.snapshot();
            r.keyspace = replica::restore(&snapshot);
        }
    }
    assert!(stable.is_subset(&seen));
}

/// Pearson's chi-square test over all keys.
#[test]
fn every_key_is_equally_random() {
    for keys in [1_usize, 2, 5, 31, 32, 700, 3000] {
        let mut r = Replica::new(3);
        for i in 0..keys {
            r.run(0, &format!("SET key:{i} v"));
        }
        let draws = keys * 60;
        let mut counts = BTreeMap::new();
        for seed in 0..draws {
            r.seed = Random::new(seed as u64).next_u64();
            *counts.entry(r.read(0, "RANDOMKEY", 0).unwrap()).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), keys, "every key comes up");
        let expected = draws as f64 / keys as f64;
        let chi_square: f64 = counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        // Mean and standard deviation of chi-square with k degrees of freedom: k, sqrt(2k).
        let freedom = (keys - 1) as f64;
        let limit = freedom + 4.5 * (2.0 * freedom).sqrt() + 1.0;
        assert!(chi_square <= limit, "{keys} keys: {chi_square} > {limit}");
    }
}

#[test]
fn a_random_key_is_never_one_past_its_deadline() {
    let mut r = Replica::new(4);
    assert_eq!(r.run(0, "RANDOMKEY"), "nil");
    for i in 0..5000 {
        r.run(0, &format!("SET gone{i} v PX 10"));
    }
    r.run(0, "SET stays v");
    r.time_ms += 10;
    for _ in 0..3 {
        assert_eq!(r.run(0, "RANDOMKEY"), "\"stays\"");
    }
    assert!(r.keyspace.expired_backlog() > 0, "most of them are still there");
    assert_eq!(r.run(0, "DBSIZE"), "1");
    assert_eq!(r.run(0, "KEYS *"), r#"["stays"]"#);
}
