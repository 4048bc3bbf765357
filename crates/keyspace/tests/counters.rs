//! What a node counts of its own work on the data.

mod replica;

use quorate_keyspace::{NoHost, Usage, batch::BatchBuilder};
use replica::Replica;

/// Hits and misses of one read.
fn looked_up(r: &Replica, line: &str) -> (u64, u64) {
    let before = r.keyspace.usage();
    r.read(0, line, r.time_ms).expect("no deadline is near");
    let after = r.keyspace.usage();
    (after.hits - before.hits, after.misses - before.misses)
}

#[test]
fn reads_count_what_they_find_and_miss() {
    let mut r = Replica::new(1);
    r.run(0, "MSET a 1 b 2");
    assert_eq!(r.keyspace.usage(), Usage::default(), "a write looks up nothing to read it");
    assert_eq!(looked_up(&r, "GET a"), (1, 0));
    assert_eq!(looked_up(&r, "GET none"), (0, 1));
    assert_eq!(looked_up(&r, "MGET a none b a"), (3, 1));
    assert_eq!(looked_up(&r, "EXISTS a a none"), (2, 1));
    assert_eq!(looked_up(&r, "STRLEN a"), (1, 0));
    assert_eq!(looked_up(&r, "TTL none"), (0, 1));
    assert_eq!(looked_up(&r, "LRANGE none 0 -1"), (0, 1));
    assert_eq!(looked_up(&r, "DBSIZE"), (0, 0));
    for (line, usage) in
        [("GETDEL a", (1, 0)), ("SET b 3 GET", (1, 0)), ("GETSET c 1", (0, 1)), ("INCR b", (0, 0))]
    {
        let before = r.keyspace.usage();
        r.run(0, line);
        let after = r.keyspace.usage();
        assert_eq!((after.hits - before.hits, after.misses - before.misses), usage, "{line}");
    }
}

#[test]
fn only_the_node_that_answers_counts_reads_and_the_state_knows_nothing_of_it() {
    let (mut origin, mut other) = (Replica::new(1), Replica::new(1));
    let mut batch = BatchBuilder::new();
    batch.begin_transaction(&[], 2);
    batch.step_command(0, &[b"GET", b"none"]);
    batch.step_command(0, &[b"GETDEL", b"none"]);
    let payload = batch.finish(&origin.header());
    origin.apply_payload(&payload, &mut replica::Origin::default());
    other.apply_payload(&payload, &mut NoHost);
    assert_eq!((origin.keyspace.usage().misses, other.keyspace.usage().misses), (2, 0));
    assert_eq!(origin.keyspace.digest(), other.keyspace.digest());
    assert_eq!(origin.keyspace.content_digest(), other.keyspace.content_digest());
}

#[test]
fn expired_keys_are_counted_once_and_go_on_in_another_keyspace() {
    let mut r = Replica::new(1);
    r.run(0, "SET a v PX 10");
    r.run(0, "SET b v PX 10");
    r.run(0, "SET c v PX 10000");
    r.run(0, "DEL b");
    assert_eq!(r.read(0, "GET a", r.time_ms + 10), Err(r.time_ms + 10), "not answered, so not counted");
    assert_eq!(r.keyspace.usage(), Usage::default());
    r.time_ms += 10;
    r.run(0, "PING");
    r.run(0, "PING");
    assert_eq!(r.keyspace.usage(), Usage { expired: 1, ..Usage::default() });
    let usage = r.keyspace.usage();
    let restored = replica::restore(&r.snapshot());
    restored.go_on_from(usage);
    assert_eq!(restored.usage(), usage);
}
