//! What scripts may do while the cluster has fewer voters than `min-replicas-to-write` asks for: the entry says so, and every
//! replica decides alike.

mod replica;

use quorate_keyspace::{
    NoHost,
    batch::{BatchBuilder, Header},
};
use replica::{Origin, Replica, describe};

const READS: &[u8] = b"return redis.call('GET', KEYS[1])";
const WRITES: &[u8] = b"redis.call('GET', KEYS[1]) return redis.pcall('SET', KEYS[1], 'new')";

/// The reply of one replica, with which another one agrees that answers nobody.
fn run(replicas: &mut [Replica; 2], few_replicas: bool, args: &[&[u8]]) -> String {
    let mut batch = BatchBuilder::new();
    batch.command(0, args);
    let payload = batch.finish(&Header { few_replicas, ..replicas[0].header() });
    let mut origin = Origin::default();
    replicas[0].apply_payload(&payload, &mut origin);
    replicas[1].apply_payload(&payload, &mut NoHost);
    assert_eq!(replicas[0].keyspace.digest(), replicas[1].keyspace.digest());
    describe(&origin.replies[0]).trim_matches('"').to_owned()
}

#[test]
fn a_script_that_says_nothing_may_read_but_not_write() {
    let mut both = [Replica::new(1), Replica::new(1)];
    run(&mut both, false, &[b"SET", b"k", b"old"]);
    assert_eq!(run(&mut both, true, &[b"EVAL", READS, b"1", b"k"]), "old");
    assert_eq!(
        run(&mut both, true, &[b"EVAL", WRITES, b"1", b"k"]),
        "-NOREPLICAS Not enough good replicas to write."
    );
    let error = run(&mut both, true, &[b"EVAL", b"return redis.call('DEL', KEYS[1])", b"1", b"k"]);
    assert!(error.starts_with("-NOREPLICAS Not enough good replicas to write. script: "), "{error}");
    assert_eq!(run(&mut both, false, &[b"GET", b"k"]), "old");
    assert_eq!(run(&mut both, false, &[b"EVAL", WRITES, b"1", b"k"]), "+OK");
    assert_eq!(run(&mut both, false, &[b"GET", b"k"]), "new");
}

#[test]
fn the_session_is_told_which_scripts_say_nothing() {
    let mut both = [Replica::new(1), Replica::new(1)];
    let says_nothing = |r: &Replica, args: &[&[u8]]| {
        let command = quorate_keyspace::command::resolve(args).unwrap();
        r.keyspace.runs_silent_script(command, args)
    };
    assert!(says_nothing(&both[0], &[b"EVAL", READS, b"1", b"k"]));
    assert!(!says_nothing(&both[0], &[b"EVAL", b"#!lua\nreturn 1", b"0"]));
    assert!(!says_nothing(&both[0], &[b"GET", b"k"]));
    let sha = run(&mut both, false, &[b"SCRIPT", b"LOAD", READS]);
    assert!(says_nothing(&both[0], &[b"EVALSHA", sha.as_bytes(), b"1", b"k"]));
    let sha = run(&mut both, false, &[b"SCRIPT", b"LOAD", b"#!lua\nreturn 1"]);
    assert!(!says_nothing(&both[0], &[b"EVALSHA", sha.as_bytes(), b"0"]));
    assert!(!says_nothing(&both[0], &[b"EVALSHA", b"unknown", b"0"]));
}
