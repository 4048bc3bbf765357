//! Commands that wait for a key (R17): who is served, with what, in which order, alike on every replica.

mod replica;
mod waiting;

use quorate_keyspace::Release;
use waiting::{Pair, seen};

#[test]
fn what_is_there_is_taken_at_once() {
    let mut p = Pair::new();
    p.run("w", "RPUSH l a b c d");
    assert_eq!(p.run("c", "BLPOP none l 0"), seen(&[r#"c: ["l", "a"]"#]));
    assert_eq!(p.run("c", "BRPOP l none 0"), seen(&[r#"c: ["l", "d"]"#]));
    assert_eq!(p.run("c", "BLMPOP 0 2 none l RIGHT COUNT 5"), seen(&[r#"c: ["l", ["c", "b"]]"#]));
    p.run("w", "RPUSH l a b");
    assert_eq!(p.run("c", "BLMOVE l m LEFT LEFT 0"), seen(&[r#"c: "a""#]));
    assert_eq!(p.run("c", "BRPOPLPUSH l m 0"), seen(&[r#"c: "b""#]));
    assert_eq!(p.run("c", "LRANGE m 0 -1"), seen(&[r#"c: ["b", "a"]"#]));
    assert_eq!(p.keyspace.waiting(), 0);
}

#[test]
fn first_come_first_served() {
    let mut p = Pair::new();
    for client in ["c1", "c2", "c3"] {
        assert_eq!(p.run(client, "BLPOP l 0"), []);
    }
    assert_eq!(p.run("w", "RPUSH l a b"), seen(&["w: 2", r#"c1: ["l", "a"]"#, r#"c2: ["l", "b"]"#]));
    assert_eq!(p.run("w", "EXISTS l"), seen(&["w: 0"]));
    // Who comes later, in the same entry even, has to wait behind.
    let both = p.batch(&[("c4", "BRPOP l 0"), ("w", "RPUSH l c d e"), ("x", "LPOP l")]);
    assert_eq!(both, seen(&["w: 3", r#"c3: ["l", "c"]"#, r#"c4: ["l", "e"]"#, r#"x: "d""#]));
    assert_eq!((p.keyspace.waiting(), p.keyspace.waited_for()), (0, (0, 0)));
}

#[test]
fn nobody_else_sees_the_element() {
    let mut p = Pair::new();
    p.run("c", "BLPOP l 0");
    let all = p.batch(&[("w", "SET s 1"), ("w", "RPUSH l a"), ("x", "LLEN l"), ("y", "LPOP l")]);
    assert_eq!(all, seen(&["w: +OK", "w: 1", r#"c: ["l", "a"]"#, "x: 0", "y: nil"]));
}

#[test]
fn with_several_keys_the_first_argument_that_has_anything_counts() {
    let mut p = Pair::new();
    p.run("c", "BLPOP a b c 0");
    assert_eq!(p.keyspace.waited_for(), (3, 0));
    let reply = p.run("w", "EXEC: RPUSH c 1; RPUSH b 2");
    assert_eq!(reply, seen(&["w: [1, 1]", r#"c: ["b", "2"]"#]));
    assert_eq!(p.run("w", "LLEN c"), seen(&["w: 1"]));
    // A key named twice is waited for once.
    p.run("c", "BLPOP a a 0");
    assert_eq!(p.run("w", "RPUSH a x y"), seen(&["w: 2", r#"c: ["a", "x"]"#]));
}

#[test]
fn keys_are_served_in_the_order_in_which_they_became_ready() {
    let mut p = Pair::new();
    p.run("ca", "BLPOP a 0");
    p.run("cb", "BLPOP b 0");
    let reply = p.run("w", "EXEC: RPUSH b 1; RPUSH a 2; RPUSH b 3");
    assert_eq!(reply, seen(&["w: [1, 1, 2]", r#"cb: ["b", "1"]"#, r#"ca: ["a", "2"]"#]));
}

#[test]
fn a_transaction_is_whole_before_anybody_is_served() {
    let mut p = Pair::new();
    p.run("c", "BLPOP l 0");
    assert_eq!(
        p.run("w", "EXEC: RPUSH l a; DEL l; RPUSH l b c"),
        seen(&["w: [1, 1, 2]", r#"c: ["l", "b"]"#])
    );
    p.run("c", "BLPOP m 0");
    assert_eq!(p.run("w", "EXEC: RPUSH m a; DEL m"), seen(&["w: [1, 1]"]));
    assert_eq!(p.run("w", "EXEC: RPUSH m a; LPOP m"), seen(&[r#"w: [1, "a"]"#]));
    assert_eq!(p.keyspace.waiting(), 1);
}

#[test]
fn within_a_transaction_nothing_waits() {
    let mut p = Pair::new();
    let reply =
        p.run("c", "EXEC: BLPOP l 0; BLMOVE l m LEFT LEFT 0; BRPOPLPUSH l m 0; BLMPOP 0 1 l LEFT; BRPOP l 5");
    assert_eq!(reply, seen(&["c: [nil-array, nil, nil, nil-array, nil-array]"]));
    assert_eq!(p.keyspace.waiting(), 0);
    p.run("w", "RPUSH l a b");
    assert_eq!(p.run("c", "EXEC: BLPOP l 0; BRPOP l 0"), seen(&[r#"c: [["l", "a"], ["l", "b"]]"#]));
}

#[test]
fn a_moved_element_serves_who_waits_for_it_there() {
    let mut p = Pair::new();
    p.run("c3", "BLPOP c 0");
    p.run("c1", "BLMOVE a b LEFT RIGHT 0");
    p.run("c2", "BRPOPLPUSH b c 0");
    assert_eq!(p.run("w", "RPUSH a x"), seen(&["w: 1", r#"c1: "x""#, r#"c2: "x""#, r#"c3: ["c", "x"]"#]));
    // Round and round: the element is where it began.
    p.run("c1", "BLMOVE a b LEFT RIGHT 0");
    p.run("c2", "BLMOVE b a LEFT RIGHT 0");
    assert_eq!(p.run("w", "RPUSH a x"), seen(&["w: 1", r#"c1: "x""#, r#"c2: "x""#]));
    assert_eq!(p.run("w", "LRANGE a 0 -1"), seen(&[r#"w: ["x"]"#]));
    p.run("c1", "BLMOVE l l LEFT RIGHT 0");
    assert_eq!(p.run("w", "RPUSH l x y"), seen(&["w: 2", r#"c1: "x""#]));
    assert_eq!(p.run("w", "LRANGE l 0 -1"), seen(&[r#"w: ["y", "x"]"#]));
}

#[test]
fn another_type_leaves_them_waiting() {
    let mut p = Pair::new();
    p.run("c", "BLPOP l 0");
    assert_eq!(p.run("w", "SET l v"), seen(&["w: +OK"]));
    assert_eq!(p.run("w", "APPEND l v"), seen(&["w: 2"]));
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(p.run("x", "BLPOP l 0"), seen(&[&format!("x: {wrong}")]));
    assert_eq!(p.run("x", "BLPOP none l 0"), seen(&[&format!("x: {wrong}")]));
    assert_eq!(p.keyspace.waiting(), 1);
    p.run("w", "DEL l");
    assert_eq!(p.run("w", "RPUSH l a"), seen(&["w: 1", r#"c: ["l", "a"]"#]));
    // A destination of another type is an error then, and takes nothing.
    p.run("c", "BLMOVE l s LEFT LEFT 0");
    p.run("w", "SET s v");
    assert_eq!(p.run("w", "RPUSH l a"), seen(&["w: 1", &format!("c: {wrong}")]));
    assert_eq!(p.run("w", "LLEN l"), seen(&["w: 1"]));
}

#[test]
fn whatever_brings_a_list_serves() {
    let mut p = Pair::new();
    let waits_then = |p: &mut Pair, line: &str| {
        p.run("w", "RPUSH from a");
        p.run("c", "BLPOP l 0");
        let all = p.run("w", line);
        p.run("w", "DEL from l");
        assert_eq!(all.last(), seen(&[r#"c: ["l", "a"]"#]).last(), "{line}: {all:?}");
    };
    for line in
        ["RENAME from l", "RENAMENX from l", "COPY from l", "LMOVE from l LEFT LEFT", "RPOPLPUSH from l"]
    {
        waits_then(&mut p, line);
    }
    p.run_in(3, "c", "BLPOP l 0");
    p.run("w", "RPUSH l a");
    assert_eq!(p.run("w", "MOVE l 3"), seen(&["w: 1", r#"c: ["l", "a"]"#]));
    p.run_in(3, "c", "BLPOP l 0");
    p.run("w", "RPUSH l a");
    assert_eq!(p.run("w", "COPY l l DB 3"), seen(&["w: 1", r#"c: ["l", "a"]"#]));
}

#[test]
fn swapdb_brings_keys_to_who_waits() {
    let mut p = Pair::new();
    p.run("c0", "BLPOP a b 0");
    p.run_in(1, "c1", "BLPOP z 0");
    p.run_in(1, "w", "RPUSH b x");
    p.run("w", "RPUSH z y");
    let all = p.run("w", "SWAPDB 0 1");
    assert_eq!(all, seen(&["w: +OK", r#"c0: ["b", "x"]"#, r#"c1: ["z", "y"]"#]));
    assert_eq!(p.keyspace.waiting(), 0);
    p.run("c0", "BLPOP a 0");
    p.run("w", "FLUSHALL");
    p.run("w", "SWAPDB 0 1");
    assert_eq!(p.keyspace.waiting(), 1, "nothing came");
}

#[test]
fn an_expired_list_is_none() {
    let mut p = Pair::new();
    p.run("w", "RPUSH l a");
    p.run("w", "PEXPIRE l 100");
    p.time_ms += 100;
    assert_eq!(p.run("c", "BLPOP l 0"), []);
    assert_eq!(p.run("w", "RPUSH l b"), seen(&["w: 1", r#"c: ["l", "b"]"#]));
}

#[test]
fn times_are_told_and_ended() {
    let mut p = Pair::new();
    p.run("c1", "BLPOP l 0");
    p.run("c2", "BLPOP l 1.5");
    p.run("c3", "BLMOVE l m LEFT LEFT 0.0001");
    assert_eq!([p.timeout_ms("c1"), p.timeout_ms("c2"), p.timeout_ms("c3")], [Some(0), Some(1500), Some(1)]);
    assert_eq!(p.release("c2", Release::Timeout), seen(&["raw: 1", "c2: nil-array"]));
    assert_eq!(
        p.release("c1", Release::Error),
        seen(&["raw: 1", "c1: -UNBLOCKED client unblocked via CLIENT UNBLOCK"])
    );
    p.run("c4", "BLMPOP 3 1 l LEFT COUNT 2");
    let id = p.keyspace.waiters_of(1, 1).pop().expect("c4 waits").to_bytes();
    assert_eq!(p.run("w", "RPUSH l a b c d"), seen(&["w: 4", r#"c3: "a""#, r#"c4: ["l", ["b", "c"]]"#]));
    // Too late: the reply that was given stands.
    assert_eq!(p.raw(&[b"\0unblock", &id, b"timeout"]), seen(&["raw: 0"]));
    assert_eq!(p.raw(&[b"\0unblock", b"x", b"timeout"]), seen(&["raw: -ERR syntax error"]));
    assert_eq!(p.raw(&[b"\0unblock", &id, b"x"]), seen(&["raw: -ERR syntax error"]));
}

#[test]
fn a_released_client_takes_nothing_even_in_the_same_entry() {
    let mut p = Pair::new();
    p.run("c1", "BLPOP l 0");
    p.run("c2", "BLPOP l 0");
    let id = p.keyspace.waiters_of(1, 1)[0].to_bytes();
    let mut batch = quorate_keyspace::batch::BatchBuilder::new();
    batch.command(0, &[b"\0unblock", &id, b"timeout"]);
    batch.command(0, &[b"RPUSH", b"l", b"a"]);
    let all = p.apply(batch, &["u", "w"]);
    assert_eq!(all, seen(&["u: 1", "c1: nil-array", "w: 1", r#"c2: ["l", "a"]"#]));
}

#[test]
fn clients_of_an_earlier_start_wait_no_more() {
    let mut p = Pair::new();
    p.run("c1", "BLPOP l 0");
    p.run("c2", "BLPOP l 0");
    assert!(!p.keyspace.has_waiters_before(1, 1) && p.keyspace.has_waiters_before(1, 2));
    p.start = 2;
    let stopped =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    let all = p.run("w", "RPUSH l a");
    assert_eq!(all, seen(&[&format!("c1: {stopped}"), &format!("c2: {stopped}"), "w: 1"]));
    assert_eq!(p.run("w", "LLEN l"), seen(&["w: 1"]));
}

#[test]
fn the_leader_drops_the_waiters_of_a_node_that_is_gone() {
    let mut p = Pair::new();
    p.run("c1", "BLPOP l 0");
    assert_eq!(p.keyspace.waiting_origins(), [(1, 1)]);
    assert_eq!(p.raw(&[b"\0drop-waiters", b"1", b"0", b"3"]), seen(&["raw: 0"]), "an earlier start");
    assert_eq!(p.raw(&[b"\0drop-waiters", b"2", b"1", b"3"]), seen(&["raw: 0"]), "another node");
    assert_eq!(
        p.raw(&[b"\0drop-waiters", b"1", b"1", b"2"]),
        seen(&["raw: 0"]),
        "the leader of an earlier term"
    );
    assert_eq!(p.raw(&[b"\0drop-waiters", b"1", b"1", b"3"]).len(), 2);
    assert_eq!(p.keyspace.waiting(), 0);
    assert_eq!(
        p.raw(&[b"\0drop-waiters", b"x", b"1", b"3"]),
        seen(&["raw: -ERR value is not an integer or out of range"])
    );
}

#[test]
fn a_command_line_that_is_too_long_does_not_wait() {
    let mut p = Pair::new();
    let key = vec![b'k'; 1 << 20];
    let all = p.raw(&[b"BLPOP", &key, b"0"]);
    assert_eq!(all, seen(&["raw: -ERR a command that waits may have at most 1 MiB of arguments"]));
    p.raw(&[b"RPUSH", &key, b"x"]);
    assert!(p.raw(&[b"BLPOP", &key, b"0"])[0].1.ends_with(r#""x"]"#));
}

#[test]
fn errors_come_before_waiting() {
    let mut p = Pair::new();
    for (line, error) in [
        ("BLPOP l -1", "ERR timeout is negative"),
        ("BLPOP l x", "ERR timeout is not a float or out of range"),
        ("BRPOP l 1e30", "ERR timeout is out of range"),
        ("BLMOVE a b LEFT MIDDLE 0", "ERR syntax error"),
        ("BLMOVE a b LEFT MIDDLE x", "ERR syntax error"),
        ("BLMOVE a b LEFT RIGHT x", "ERR timeout is not a float or out of range"),
        ("BRPOPLPUSH a b -1", "ERR timeout is negative"),
        ("BLMPOP 0 0 a LEFT", "ERR numkeys should be greater than 0"),
        ("BLMPOP x 0 a LEFT", "ERR numkeys should be greater than 0"),
        ("BLMPOP x 1 a LEFT", "ERR timeout is not a float or out of range"),
        ("BLMPOP 0 2 a LEFT", "ERR syntax error"),
        ("BLMPOP 0 1 a UP", "ERR syntax error"),
        ("BLMPOP 0 1 a LEFT COUNT 0", "ERR count should be greater than 0"),
        ("BLMPOP 0 1 a LEFT COUNT", "ERR syntax error"),
        ("BLMPOP 0 1 a LEFT COUNT 1 COUNT 1", "ERR syntax error"),
    ] {
        assert_eq!(p.run("c", line), seen(&[&format!("c: -{error}")]), "{line}");
    }
    assert_eq!(p.keyspace.waiting(), 0);
}

#[test]
fn sorted_sets_are_waited_for_too() {
    let mut p = Pair::new();
    p.run("w", "ZADD z 1 a 2 b 3 c");
    assert_eq!(p.run("c", "BZPOPMIN none z 0"), seen(&[r#"c: ["z", "a", "1"]"#]));
    assert_eq!(p.run("c", "BZMPOP 0 1 z MAX COUNT 5"), seen(&[r#"c: ["z", [["c", "3"], ["b", "2"]]]"#]));
    p.run("c1", "BZPOPMAX z 0");
    p.run("c2", "BZMPOP 0 2 y z MIN COUNT 2");
    p.run("c3", "BLPOP z 0");
    p.run("c4", "BZPOPMIN y 1.5");
    assert_eq!(p.timeout_ms("c4"), Some(1500));
    let all = p.run("w", "ZADD z 1 a 2 b 3 c 4 d");
    assert_eq!(all, seen(&["w: 4", r#"c1: ["z", "d", "4"]"#, r#"c2: ["z", [["a", "1"], ["b", "2"]]]"#]));
    p.run("w", "ZUNIONSTORE y 1 z");
    assert_eq!(p.keyspace.waiting(), 1, "c4 got something of what was stored");
    p.run("w", "DEL z");
    assert_eq!(p.run("w", "RPUSH z x"), seen(&["w: 1", r#"c3: ["z", "x"]"#]));
    let reply = p.run("c", "EXEC: BZPOPMIN no 0; BZPOPMAX no 0; BZMPOP 0 1 no MIN");
    assert_eq!(reply, seen(&["c: [nil-array, nil-array, nil-array]"]));
    for (line, error) in [
        ("BZPOPMIN z x", "ERR timeout is not a float or out of range"),
        ("BZPOPMAX z -1", "ERR timeout is negative"),
        ("BZMPOP x 1 z UP", "ERR syntax error"),
        ("BZMPOP x 1 z MIN", "ERR timeout is not a float or out of range"),
        ("BZMPOP 0 0 z MIN", "ERR numkeys should be greater than 0"),
    ] {
        assert_eq!(p.run("c", line), seen(&[&format!("c: -{error}")]), "{line}");
    }
}

#[test]
fn a_stream_tells_all_who_read_it() {
    let mut p = Pair::new();
    p.run("w", "XADD s 1-1 f v");
    assert_eq!(p.run("c0", "XREAD BLOCK 0 STREAMS s 0"), seen(&[r#"c0: [["s", [["1-1", ["f", "v"]]]]]"#]));
    p.run("c1", "XREAD BLOCK 0 STREAMS s $");
    p.run("c2", "XREAD BLOCK 700 COUNT 1 STREAMS other s 0 5-0");
    p.run("c3", "XREAD BLOCK 0 STREAMS s none 1-1 $");
    assert_eq!((p.keyspace.waiting(), p.timeout_ms("c2")), (3, Some(700)));
    let all = p.run("w", "XADD s 2-1 f w");
    let entry = r#"[["s", [["2-1", ["f", "w"]]]]]"#;
    assert_eq!(all, seen(&[r#"w: "2-1""#, &format!("c1: {entry}"), &format!("c3: {entry}")]));
    let all = p.run("w", "EXEC: XADD s 6-0 f x; XADD s 7-0 f y");
    assert_eq!(all, seen(&[r#"w: ["6-0", "7-0"]"#, r#"c2: [["s", [["6-0", ["f", "x"]]]]]"#]));
    // Where it ended when the command came counts, although the stream is another one by then.
    p.run("c1", "XREAD BLOCK 0 STREAMS s $");
    p.run("w", "DEL s");
    assert_eq!(p.run("w", "XADD s 3-0 f z"), seen(&[r#"w: "3-0""#]));
    assert_eq!(p.run("w", "XADD s 8-0 f z").len(), 2);
    assert_eq!(p.run("c", "EXEC: XREAD BLOCK 0 STREAMS s $"), seen(&["c: [nil-array]"]));
    assert_eq!(
        p.run("c", "XREAD BLOCK x STREAMS s $"),
        seen(&["c: -ERR timeout is not an integer or out of range"])
    );
    assert_eq!(p.run("c", "XREAD BLOCK -1 STREAMS s $"), seen(&["c: -ERR timeout is negative"]));
    assert_eq!(p.keyspace.waiting(), 0);
}

#[test]
fn a_group_gives_each_entry_to_one_of_those_who_wait() {
    let mut p = Pair::new();
    p.run("w", "XGROUP CREATE s g $ MKSTREAM");
    for n in 1..4 {
        assert_eq!(p.run(&format!("c{n}"), &format!("XREADGROUP GROUP g c{n} BLOCK 0 STREAMS s >")), []);
    }
    assert_eq!((p.keyspace.waiting(), p.keyspace.waited_for()), (3, (1, 1)));
    let all = p.run("w", "XADD s 1-0 f v");
    assert_eq!(all, seen(&[r#"w: "1-0""#, r#"c1: [["s", [["1-0", ["f", "v"]]]]]"#]));
    let all = p.run("w", "EXEC: XADD s 2-0 f v; XADD s 3-0 f v");
    assert_eq!(all.len(), 2, "c2 gets both: {all:?}");
    assert_eq!(p.keyspace.waiting(), 1);
    let pending = p.run("w", "XPENDING s g");
    assert_eq!(pending, seen(&[r#"w: [3, "1-0", "3-0", [["c1", "1"], ["c2", "2"]]]"#]));
    assert_eq!(
        p.run("c9", "XREADGROUP GROUP g c1 BLOCK 0 STREAMS s 0").len(),
        1,
        "its history is there at once"
    );
}

#[test]
fn a_group_that_goes_ends_the_waiting_for_it() {
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (line, error) in [
        ("DEL s", gone),
        ("SET s v", wrong),
        ("XGROUP DESTROY s g", gone),
        ("FLUSHALL", gone),
        ("SWAPDB 0 1", gone),
        ("RENAME s t", gone),
        ("EXEC: DEL s; XADD s 9-0 f v", gone),
    ] {
        let mut p = Pair::new();
        p.run("w", "XGROUP CREATE s g $ MKSTREAM");
        p.run("c", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        p.run("x", "XREAD BLOCK 0 STREAMS s 9-0");
        let all = p.run("w", line);
        assert_eq!(all[1..], seen(&[&format!("c: {error}")]), "{line}");
        assert_eq!(p.keyspace.waiting(), 1, "who reads without a group goes on");
    }
    let mut p = Pair::new();
    p.run("w", "XGROUP CREATE s g $ MKSTREAM");
    p.run("w", "PEXPIRE s 100");
    p.run("c", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    p.time_ms += 100;
    assert_eq!(p.run("w", "PING"), seen(&[&format!("c: {gone}"), "w: +PONG"]));
}

/// Random pushes and pops by clients that wait, transactions, renames: each element is taken once, or is still there.
#[test]
fn each_element_is_taken_once() {
    for seed in 0..8 {
        let mut random = quorate_keyspace::Random::new(seed);
        let mut p = Pair::new();
        let (mut pushed, mut taken, mut most) = (0, Vec::new(), 0);
        for step in 0..250 {
            let (a, b) = (format!("k{}", random.below(4)), format!("k{}", random.below(4)));
            let client = format!("c{step}");
            let line = random_line(&mut random, &a, &b, &mut pushed);
            let moves = line.starts_with("BLMOVE") || line.starts_with("BRPOPLPUSH");
            let seen = p.run(if moves { "moves" } else { &client }, &line);
            most = most.max(p.keyspace.waiting());
            taken.extend(
                seen.iter().filter(|(client, _)| client != "moves").flat_map(|(_, reply)| elements(reply)),
            );
            if step % 20 == 19
                && let Some(id) = p.keyspace.waiters_of(1, 1).first()
            {
                p.raw(&[b"\0unblock", &id.to_bytes(), b"timeout"]);
            }
        }
        for key in 0..4 {
            let left = p.run("left", &format!("LRANGE k{key} 0 -1"));
            taken.extend(elements(&left[0].1));
        }
        taken.sort();
        let mut each = taken.clone();
        each.dedup();
        assert_eq!((taken.len(), each.len()), (pushed, pushed), "seed {seed}: {taken:?}");
        assert!(most > 3, "some waited together: {most}");
    }
}

fn random_line(random: &mut quorate_keyspace::Random, a: &str, b: &str, pushed: &mut usize) -> String {
    let mut element = || {
        *pushed += 1;
        format!("e{pushed}")
    };
    match random.below(18) {
        0..3 => format!("RPUSH {a} {} {}", element(), element()),
        3 => format!("LPUSH {a} {}", element()),
        4 => format!("EXEC: RPUSH {a} {}; RPUSH {b} {}; BLPOP {b} 0", element(), element()),
        5..9 => format!("BLPOP {a} {b} 0"),
        9..12 => format!("BRPOP {a} 0"),
        12..14 => format!("BLMPOP 0 2 {a} {b} LEFT COUNT 3"),
        14 => format!("BLMOVE {a} {b} LEFT RIGHT 0"),
        15 => format!("RENAMENX {a} {b}"),
        16 => format!("BRPOPLPUSH {a} {b} 0"),
        _ => format!("LPOP {a}"),
    }
}

/// The elements that a reply names.
fn elements(reply: &str) -> Vec<String> {
    reply.split('"').filter(|word| word.starts_with('e')).map(str::to_owned).collect()
}

#[test]
fn who_waits_is_in_the_running_digest() {
    let mut digests = Vec::new();
    for line in ["BLPOP l 0", "BLPOP m 0"] {
        let mut p = Pair::new();
        p.run("c", line);
        digests.push((p.keyspace.digest(), p.keyspace.content_digest()));
    }
    assert_ne!(digests[0].0, digests[1].0);
    assert_ne!(digests[0].1, digests[1].1);
}
