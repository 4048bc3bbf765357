//! Keys expire by the log's time, alike on every replica (R2).

mod replica;

use quorate_keyspace::{NoHost, RECLAIM_MAX, batch::BatchBuilder};
use replica::{Replica, START_MS};

#[test]
fn a_read_that_depends_on_a_passed_deadline_waits_for_the_log() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    r.run(0, "SET other v PX 300");
    let deadline = START_MS + 100;
    assert_eq!(r.read(0, "GET k", deadline - 1), Ok("\"v\"".to_owned()));
    assert_eq!(r.read(0, "GET k", deadline), Err(deadline));
    assert_eq!(r.read(0, "GET none", deadline), Ok("nil".to_owned()));
    assert_eq!(r.read(0, "MGET other k none", deadline + 5), Err(deadline));
    assert_eq!(r.read(0, "MGET other k none", deadline + 500), Err(START_MS + 300), "the later of two");
    assert_eq!(r.read(0, "GET k", 0), Ok("\"v\"".to_owned()), "READONLY judges by applied time");
    r.time_ms = deadline;
    r.apply(BatchBuilder::new());
    assert_eq!(r.read(0, "GET k", deadline), Ok("nil".to_owned()));
}

#[test]
fn reads_of_a_whole_database_wait_too() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    r.run(1, "SET k v PX 50");
    let deadline = START_MS + 100;
    for command in ["KEYS none", "SCAN 0", "DBSIZE", "RANDOMKEY"] {
        assert_eq!(r.read(0, command, deadline), Err(deadline), "{command}");
        assert!(r.read(0, command, deadline - 1).is_ok(), "{command}");
        assert!(r.read(2, command, deadline).is_ok(), "{command}: another database");
    }
}

#[test]
fn time_never_goes_back() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    r.time_ms += 100;
    assert_eq!(r.run(0, "EXISTS k"), "0");
    r.time_ms -= 1000;
    assert_eq!(r.run(0, "EXISTS k"), "0");
    assert_eq!(r.keyspace.time_ms(), START_MS + 100);
}

#[test]
fn an_entry_reclaims_a_bounded_number_in_the_order_of_deadlines() {
    let mut r = Replica::new(1);
    let n = RECLAIM_MAX + 500;
    for i in 0..n {
        r.run(0, &format!("SET k{i} v PX {}", 10_000 - i));
    }
    assert_eq!(r.keyspace.next_deadline(), Some(START_MS + 10_000 - (n as u64 - 1)));
    r.time_ms += 20_000;
    r.apply(BatchBuilder::new());
    assert_eq!(r.keyspace.expired_backlog(), 500);
    assert_eq!(r.keyspace.stats(0).keys, 0);
    assert_eq!(r.keyspace.stats(0).expires, 500);
    assert_eq!(r.keyspace.next_deadline(), Some(START_MS + 10_000 - 499), "the earliest went first");
    r.apply(BatchBuilder::new());
    assert_eq!(r.keyspace.expired_backlog(), 0);
    assert_eq!(r.keyspace.next_deadline(), None);
}

#[test]
fn a_deadline_that_changes_is_the_only_one() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    r.run(0, "PEXPIRE k 500");
    assert_eq!(r.keyspace.next_deadline(), Some(START_MS + 500));
    r.run(0, "PERSIST k");
    assert_eq!(r.keyspace.next_deadline(), None);
    r.run(0, "PEXPIRE k 500");
    r.run(0, "RENAME k l");
    r.run(0, "MOVE l 3");
    assert_eq!(r.keyspace.next_deadline(), Some(START_MS + 500));
    r.run(3, "DEL l");
    assert_eq!(r.keyspace.next_deadline(), None);
    assert_eq!(r.keyspace.stats(3).expires, 0);
}

#[test]
fn an_idle_log_reclaims_by_entries_that_carry_only_time() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    r.time_ms += 200;
    let payload = BatchBuilder::new().finish(&r.header());
    let applied = r.apply_payload(&payload, &mut NoHost);
    assert_eq!((applied.commands, applied.skipped()), (0, false));
    assert_eq!(r.keyspace.next_deadline(), None);
}
