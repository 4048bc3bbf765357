//! MULTI/EXEC and WATCH (R16).

mod replica;

use quorate_keyspace::{NoHost, batch::BatchBuilder};
use replica::{Origin, Replica};

#[test]
fn a_transaction_answers_each_command() {
    let mut r = Replica::new(1);
    let reply = r.exec(&[], &["SET a 1", "INCR a", "LPUSH a x", "GET a", "NOPE", "PING"]);
    assert_eq!(
        reply,
        "[+OK, 2, -WRONGTYPE Operation against a key holding the wrong kind of value, \"2\", \
         -ERR unknown command 'NOPE', with args beginning with: , +PONG]"
    );
    assert_eq!(r.exec(&[], &[]), "[]");
}

#[test]
fn steps_of_the_session_stand_in_their_place() {
    let mut r = Replica::new(1);
    let mut batch = BatchBuilder::new();
    batch.begin_transaction(&[], 3);
    batch.step_command(0, &[b"SET", b"a", b"1"]);
    batch.step_local(5);
    batch.step_command(0, &[b"GET", b"a"]);
    let payload = batch.finish(&r.header());
    let mut origin = Origin::default();
    let mut other = Replica::new(1);
    r.apply_payload(&payload, &mut origin);
    other.apply_payload(&payload, &mut NoHost);
    assert_eq!(origin.replies[0], b"*3\r\n+OK\r\n+local 5\r\n$1\r\n1\r\n");
    assert_eq!(r.keyspace.digest(), other.keyspace.digest(), "they are no part of the digest");
}

/// What happens to key `k` between WATCH and EXEC, from a state that `before` makes.
fn broken(before: &[&str], between: &[(usize, &str)]) -> bool {
    let mut r = Replica::new(1);
    for line in before {
        r.run(0, line);
    }
    let watch = r.watch("k");
    for &(db, line) in between {
        match line.strip_prefix("wait ") {
            Some(ms) => r.time_ms += ms.parse::<u64>().unwrap(),
            None => {
                r.run(db, line);
            }
        }
    }
    // A snapshot must not make a difference.
    let snapshot = r.snapshot();
    let mut restored = Replica { keyspace: replica::restore(&snapshot), time_ms: r.time_ms, seed: r.seed };
    let reply = r.exec(&[watch], &["SET done 1"]);
    assert_eq!(restored.exec(&[watch], &["SET done 1"]), reply);
    assert_eq!(r.run(0, "EXISTS done"), if reply == "nil-array" { "0" } else { "1" });
    reply == "nil-array"
}

#[test]
fn exec_fails_exactly_if_a_watched_key_has_changed() {
    let exists: &[&str] = &["SET k v"];
    let missing: &[&str] = &["SET k v", "DEL k"];
    let expiring: &[&str] = &["SET k v PX 100"];

    assert!(!broken(exists, &[]));
    assert!(!broken(exists, &[(0, "GET k"), (0, "SET other v"), (1, "SET k v"), (0, "EXISTS k")]));
    assert!(!broken(exists, &[(0, "SETNX k w"), (0, "LPUSH k x"), (0, "PERSIST k"), (0, "MOVE k 0")]));
    assert!(!broken(&[], &[]));
    assert!(!broken(missing, &[(0, "GET k"), (0, "DEL k"), (0, "SET other v")]));
    assert!(!broken(expiring, &[(0, "wait 99"), (0, "PING")]));

    assert!(broken(exists, &[(0, "SET k v")]));
    assert!(broken(exists, &[(0, "APPEND k w")]));
    assert!(broken(exists, &[(0, "EXPIRE k 100")]));
    assert!(broken(exists, &[(0, "DEL k")]));
    assert!(broken(exists, &[(0, "DEL k"), (0, "SET k v")]));
    assert!(broken(exists, &[(0, "RENAME k other")]));
    assert!(broken(exists, &[(0, "SET other v"), (0, "RENAME other k")]));
    assert!(broken(exists, &[(0, "MOVE k 1")]));
    assert!(broken(exists, &[(0, "FLUSHALL")]));
    assert!(broken(exists, &[(0, "FLUSHDB"), (0, "SET k v")]));
    assert!(broken(exists, &[(0, "SWAPDB 0 1")]));
    assert!(broken(exists, &[(1, "SET k v"), (0, "SWAPDB 0 1")]));
    assert!(broken(exists, &[(1, "SET x v"), (0, "SWAPDB 0 1"), (0, "SWAPDB 0 1")]));

    assert!(broken(&[], &[(0, "SET k v")]));
    assert!(broken(&[], &[(0, "SET k v"), (0, "DEL k")]), "created and gone again");
    assert!(broken(&[], &[(0, "SET k v"), (0, "FLUSHALL")]));
    assert!(broken(&[], &[(0, "SET k v PX 10"), (0, "wait 50"), (0, "PING"), (0, "PING")]));
    assert!(broken(&[], &[(0, "SET k v PX 10"), (0, "wait 50")]));
    assert!(broken(missing, &[(0, "RPUSH k x"), (0, "LPOP k")]));

    assert!(broken(expiring, &[(0, "wait 100"), (0, "PING")]));
    assert!(broken(expiring, &[(0, "wait 100")]), "it expires by the very entry");
    assert!(broken(expiring, &[(0, "wait 100"), (0, "SET k v")]));
}

#[test]
fn a_key_that_is_missing_before_and_after_breaks_nothing_whatever_becomes_of_its_database() {
    let missing: &[&str] = &["SET k v", "DEL k"];
    let over: &[&str] = &["SET k v PX 10"];
    for before in [&[], missing] {
        assert!(!broken(before, &[(0, "SET other v"), (0, "FLUSHALL")]));
        assert!(!broken(before, &[(0, "SET other v"), (0, "FLUSHDB"), (0, "SET other v")]));
        assert!(!broken(before, &[(1, "SET other v"), (0, "SWAPDB 0 1")]));
        assert!(!broken(before, &[(3, "SET k v"), (0, "SWAPDB 0 1"), (2, "FLUSHALL")]));

        assert!(broken(before, &[(0, "SET k v"), (0, "FLUSHDB")]));
        assert!(broken(before, &[(0, "SET k v"), (0, "SWAPDB 0 1")]), "it went with the database");
        assert!(broken(before, &[(1, "SET k v"), (0, "SWAPDB 0 1")]), "it came with the other one");
        assert!(broken(before, &[(1, "SET k v"), (0, "SWAPDB 0 1"), (0, "FLUSHDB")]));
    }
    // What came with the other database is older than the watch.
    let elsewhere: &[&str] = &["SET k v", "SWAPDB 0 1"];
    assert!(broken(elsewhere, &[(0, "SWAPDB 0 1")]));
    assert!(broken(elsewhere, &[(0, "SWAPDB 0 1"), (0, "DEL k")]));
    assert!(broken(elsewhere, &[(0, "SWAPDB 0 1"), (0, "FLUSHALL")]));
    assert!(broken(elsewhere, &[(0, "SWAPDB 0 1"), (0, "SWAPDB 0 1")]));
    let expiring: &[&str] = &["SET k v PX 100", "SWAPDB 0 1"];
    assert!(broken(expiring, &[(0, "SWAPDB 0 1"), (0, "wait 200"), (0, "PING")]));
    assert!(broken(over, &[(0, "wait 50"), (0, "SET k v"), (0, "FLUSHALL")]));
}

#[test]
fn what_groups_keep_of_a_stream_is_no_change_of_it() {
    let stream: &[&str] = &["XADD k 1-1 f v", "XGROUP CREATE k g 0", "XREADGROUP GROUP g me STREAMS k >"];
    let quiet = [
        "XGROUP CREATE k h 0",
        "XGROUP SETID k g 0",
        "XGROUP CREATECONSUMER k g you",
        "XGROUP DELCONSUMER k g me",
        "XGROUP DESTROY k g",
        "XREADGROUP GROUP g me STREAMS k 0",
        "XREADGROUP GROUP g you STREAMS k >",
        "XACK k g 1-1",
        "XCLAIM k g you 0 1-1",
        "XAUTOCLAIM k g you 0 0",
        "XSETID k 9-9",
    ];
    for line in quiet {
        assert!(!broken(stream, &[(0, line)]), "{line}");
        assert!(
            !broken(stream, &[(0, line), (0, "XADD k NOMKSTREAM 1-1 f v"), (0, "XGROUP CREATE k i 0")]),
            "{line}"
        );
        for loud in ["XADD k 10-0 f v", "EXPIRE k 100", "DEL k", "RENAME k other", "COPY other k REPLACE"] {
            let other = (0, "XADD other 1-1 f v");
            assert!(broken(stream, &[other, (0, line), (0, loud)]), "{line}, {loud}");
            assert!(broken(stream, &[other, (0, loud), (0, line)]), "{loud}, {line}");
        }
    }
    let loud_and_quiet: &[&[u8]] = &[
        b"EVAL",
        b"redis.call('XACK','k','g','1-1') redis.call(unpack(ARGV)) redis.call('XGROUP','CREATE','k','h','0')",
        b"0",
    ];
    let change = |words: &[&str]| {
        let mut r = Replica::new(1);
        stream.iter().for_each(|line| drop(r.run(0, line)));
        let watch = r.watch("k");
        let line: Vec<&[u8]> =
            loud_and_quiet.iter().copied().chain(words.iter().map(|w| w.as_bytes())).collect();
        r.run_args(0, &line);
        r.exec(&[watch], &["PING"])
    };
    assert_eq!(change(&["XADD", "k", "2-1", "f", "v"]), "nil-array");
    assert_eq!(change(&["EXPIRE", "k", "100"]), "nil-array");
    assert_eq!(change(&["XLEN", "k"]), "[+PONG]");
}

#[test]
fn scripts_and_pops_that_are_served_count_as_changes() {
    assert!(broken(&["SET k v"], &[(0, "COPY k other"), (0, "RENAME other k")]));
    let script = |code: &str| {
        let mut r = Replica::new(1);
        r.run(0, "SET k v");
        let watch = r.watch("k");
        r.run_args(0, &[b"EVAL", code.as_bytes(), b"0"]);
        r.exec(&[watch], &["PING"])
    };
    assert_eq!(script("return redis.call('SET', 'k', 'v')"), "nil-array");
    assert_eq!(script("redis.call('DEL', 'k') return redis.call('SET', 'k', 'v')"), "nil-array");
    assert_eq!(script("return redis.call('GET', 'k')"), "[+PONG]");
    let mut r = Replica::new(1);
    let (key, target) = (r.watch("k"), r.watch("target"));
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"BLMOVE", b"k", b"target", b"LEFT", b"LEFT", b"0"]);
    let payload = batch.finish(&r.header());
    r.apply_payload(&payload, &mut NoHost);
    assert_eq!(r.exec(&[key, target], &["PING"]), "[+PONG]", "who waits changes nothing");
    let (key, target) = (r.watch("k"), r.watch("target"));
    r.run(0, "RPUSH k x");
    assert_eq!(r.exec(&[key], &["PING"]), "nil-array", "it was there in between");
    assert_eq!(r.exec(&[target], &["PING"]), "nil-array");
}

#[test]
fn a_key_that_came_back_in_the_place_of_its_expired_self_is_noticed() {
    let mut r = Replica::new(1);
    for i in 0..1500 {
        r.run(0, &format!("SET k{i} v PX {}", 100 + i));
    }
    r.time_ms += 5000;
    r.run(0, "PING");
    assert!(r.keyspace.expired_backlog() > 0);
    let watch = r.watch("k1499");
    // One entry frees a thousand keys: this one is not freed before it is set.
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"SET", b"k1499", b"v"]);
    batch.command(0, &[b"FLUSHALL"]);
    assert_eq!(r.apply(batch), ["+OK", "+OK"]);
    assert_eq!(r.exec(&[watch], &["PING"]), "nil-array");
}

#[test]
fn a_key_that_was_gone_when_watched_may_be_reclaimed() {
    let mut r = Replica::new(1);
    for i in 0..1500 {
        r.run(0, &format!("SET k{i} v PX {}", 100 + i));
    }
    r.time_ms += 5000;
    r.run(0, "PING");
    assert!(r.keyspace.expired_backlog() > 0);
    let watch = r.watch("k1499");
    assert!(!watch.existed);
    r.run(0, "PING");
    assert_eq!(r.keyspace.expired_backlog(), 0);
    assert_eq!(r.exec(&[watch], &["PING"]), "[+PONG]");
}

#[test]
fn a_watch_of_an_unknown_database_breaks() {
    let mut r = Replica::new(1);
    let mut watch = r.watch("k");
    watch.db = 99;
    assert_eq!(r.exec(&[watch], &["PING"]), "nil-array");
}
