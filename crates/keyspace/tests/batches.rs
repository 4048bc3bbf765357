//! What an entry does, and which entries do nothing (R15).

mod replica;

use proptest::prelude::*;
use quorate_keyspace::{
    Host, Keyspace, NoHost, Outcome, Reply,
    batch::{BatchBuilder, Header, SEMANTICS},
};
use quorate_resp::Protocol;
use replica::{Origin, Replica, START_MS, TERM};

fn incr(header: &Header) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"INCR", b"n"]);
    batch.finish(header)
}

#[test]
fn each_batch_of_an_origin_takes_effect_once_and_in_order() {
    let mut r = Replica::new(1);
    let header = |start, epoch, seq| Header {
        semantics: SEMANTICS,
        time_ms: START_MS,
        term: TERM,
        origin_node: 9,
        origin_start: start,
        origin_epoch: epoch,
        origin_seq: seq,
        memory_short: false,
        few_replicas: false,
        ..Header::default()
    };
    let mut apply = |start, epoch, seq| {
        let applied = r.apply_payload(&incr(&header(start, epoch, seq)), &mut NoHost);
        assert_eq!(applied.commands, usize::from(!applied.skipped()));
        (applied.outcome, r.run(0, "GET n"))
    };
    use Outcome::{Applied, OutOfSequence};
    let n = |n: u32| format!("\"{n}\"");
    assert_eq!(apply(5, 0, 2), (OutOfSequence, "nil".to_owned()), "one is missing before it");
    assert_eq!(apply(5, 0, 1), (Applied, n(1)));
    assert_eq!(apply(5, 0, 1), (OutOfSequence, n(1)), "a duplicate");
    assert_eq!(apply(5, 0, 2), (Applied, n(2)));
    assert_eq!(apply(5, 0, 4), (OutOfSequence, n(2)), "a gap");
    assert_eq!(apply(5, 1, 3), (OutOfSequence, n(2)), "a new epoch begins with one");
    assert_eq!(apply(5, 1, 1), (Applied, n(3)));
    assert_eq!(apply(5, 0, 3), (OutOfSequence, n(3)), "an old epoch is over");
    assert_eq!(apply(6, 0, 1), (Applied, n(4)), "the node has started anew");
    assert_eq!(apply(5, 1, 2), (OutOfSequence, n(4)), "an old start is over");
    assert_eq!(apply(6, 0, 2), (Applied, n(5)));
}

#[test]
fn a_batch_for_another_term_is_passed_over_but_brings_time() {
    let mut r = Replica::new(1);
    r.run(0, "SET k v PX 100");
    let header = Header { term: TERM - 1, time_ms: START_MS + 100, ..r.header() };
    let mut origin = Origin::default();
    let applied = r.apply_payload(&incr(&header), &mut origin);
    assert_eq!(applied.outcome, Outcome::WrongTerm);
    assert!(applied.skipped() && origin.replies.is_empty());
    assert_eq!(r.keyspace.time_ms(), START_MS + 100);
    assert_eq!(r.read(0, "EXISTS n k", 0), Ok("0".to_owned()));
    assert_eq!(r.run(0, "INCR n"), "1", "its number is still free");
}

#[test]
fn an_entry_of_newer_software_stops_the_node() {
    let mut r = Replica::new(1);
    let (index, digest) = (r.keyspace.index(), r.keyspace.digest());
    let mut payload = incr(&r.header());
    payload[1] += 1;
    assert_eq!(r.apply_payload(&payload, &mut NoHost).outcome, Outcome::Unsupported);
    assert_eq!((r.keyspace.index(), r.keyspace.digest()), (index, digest), "nothing has happened");
}

#[test]
fn the_version_counts_commands_that_change_something() {
    let mut r = Replica::new(1);
    let version = r.keyspace.version();
    let mut batch = BatchBuilder::new();
    for args in
        [&[b"SET".as_slice(), b"k", b"v"][..], &[b"GET", b"k"], &[b"DEL", b"none"], &[b"APPEND", b"k", b"w"]]
    {
        batch.command(0, args);
    }
    let payload = batch.finish(&r.header());
    let applied = r.apply_payload(&payload, &mut NoHost);
    assert_eq!((applied.commands, applied.changed), (4, true));
    assert_eq!(r.keyspace.version(), version + 2);
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"GET", b"k"]);
    let payload = batch.finish(&r.header());
    assert!(!r.apply_payload(&payload, &mut NoHost).changed);
}

/// Reads between two commands of an entry see what the first did and not what the second does (R1).
#[test]
fn the_origin_reads_at_the_exact_place() {
    #[derive(Default)]
    struct Reading(Vec<String>);
    impl Host for Reading {
        fn before(&mut self, n: usize, keyspace: &Keyspace) {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp3);
            keyspace.read(0, &[b"GET", b"n"], keyspace.time_ms(), 0, &mut reply);
            self.0.push(format!("{n}: {}", out.escape_ascii()));
        }
    }
    let mut r = Replica::new(1);
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"SET", b"n", b"1"]);
    batch.command(0, &[b"INCR", b"n"]);
    let payload = batch.finish(&r.header());
    let mut host = Reading::default();
    r.apply_payload(&payload, &mut host);
    assert_eq!(host.0, [r"0: _\r\n", r"1: $1\r\n1\r\n", r"2: $1\r\n2\r\n"]);
}

#[test]
fn every_replica_sleeps_when_told_to() {
    let mut r = Replica::new(1);
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"DEBUG", b"SLEEP", b"0.25"]);
    let payload = batch.finish(&r.header());
    let mut origin = Origin::default();
    r.apply_payload(&payload, &mut origin);
    assert_eq!(origin.slept_ms, 250);
    assert_eq!(origin.replies[0], b"+OK\r\n");
    assert_eq!(r.run(0, "DEBUG SLEEP x"), "-ERR value is not a valid float");
}

#[test]
fn settings_are_part_of_the_state() {
    let mut r = Replica::new(1);
    assert_eq!(r.run_args(0, &[b"\0directory.set", b"appendfsync", b"always", b"x", b"\xff"]), "+OK");
    assert_eq!(r.keyspace.directory()["appendfsync"], b"always");
    assert_eq!(
        r.run_args(0, &[b"\0directory.set", b"odd"]),
        "-ERR wrong number of arguments for '\0directory.set' command"
    );
    assert_eq!(r.run_args(0, &[b"\0directory.set", b"a", b"1", b"b"]), "-ERR syntax error");
    assert_eq!(
        r.run_args(0, &[b"\0directory.set", b"a", b"1", b"\xff", b"1"]),
        "-ERR the name of a setting is text"
    );
    assert!(!r.keyspace.directory().contains_key("a"), "nothing of a refused command takes effect");
    let restored = replica::restore(&r.snapshot());
    assert_eq!(restored.directory(), r.keyspace.directory());
    assert_eq!(r.run_args(0, &[b"\0directory.remove", b"x", b"none"]), "1");
    assert_eq!(r.keyspace.directory().len(), 1);
    assert_eq!(
        r.run_args(0, &[b"\0bootstrap", &[1; 16], &[1; 16]]),
        "-ERR the cluster is bootstrapped already"
    );
    assert_eq!(
        r.run_args(0, &[b"\0bootstrap", &[1; 16], &[1; 16], b"x", b"too late"]),
        "-ERR the cluster is bootstrapped already"
    );
    assert_eq!(r.keyspace.cluster_id(), Some([7; 16]));
    assert_eq!(r.keyspace.directory().get("x"), None, "a founder that was restarted changes nothing");
}

#[test]
fn the_digest_tells_different_entries_apart() {
    let digest = |lines: &[&str]| {
        let mut r = Replica::new(1);
        lines.iter().for_each(|line| drop(r.run(0, line)));
        r.keyspace.digest()
    };
    let reference = digest(&["SET a 1", "SET b 2"]);
    assert_eq!(digest(&["SET a 1", "SET b 2"]), reference);
    assert_ne!(digest(&["SET a 1", "SET b 3"]), reference);
    assert_ne!(digest(&["SET b 2", "SET a 1"]), reference);
}

proptest! {
    #[test]
    fn hostile_entries_do_the_same_everywhere(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut a = Replica::new(1);
        let mut b = Replica::new(1);
        let mut batch = BatchBuilder::new();
        batch.command(0, &[b"SET", b"k", b"v"]);
        let mut payload = batch.finish(&a.header());
        payload.extend(tail);
        let outcomes = [&mut a, &mut b].map(|r| r.apply_payload(&payload, &mut NoHost));
        prop_assert_eq!(outcomes[0], outcomes[1]);
        prop_assert_eq!(a.keyspace.digest(), b.keyspace.digest());
        prop_assert_eq!(a.keyspace.content_digest(), b.keyspace.content_digest());
        prop_assert_eq!(a.run(0, "GET k"), "\"v\"");
    }
}
