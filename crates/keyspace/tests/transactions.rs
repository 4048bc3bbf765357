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
