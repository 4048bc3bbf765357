//! Commands on sorted sets answer what Redis answers.
//!
//! Each line is a command and its reply.

mod replica;
#[allow(clippy::duplicate_mod, reason = "both show replies with the same file")]
mod transcript;

use quorate_keyspace::{Keyspace, Random, Restore, command::table};
use replica::{Replica, restore};
use transcript::{Server, check};

#[test]
fn add_and_change() {
    check(
        r#"
        ZADD z 1 a 2 b => 2
        ZADD z 3 a 4 c => 1
        ZADD z CH 5 a 4 c 6 d => 2
        ZADD z NX 9 a 7 e => 1
        ZADD z XX 9 f => 0
        ZADD z XX CH 1 a => 1
        ZADD z GT CH 0 a 3 b => 1
        ZADD z LT CH 9 a 1 b => 1
        ZADD z GT 9 g => 1
        ZRANGE z 0 -1 WITHSCORES => ["a", "1", "b", "1", "c", "4", "d", "6", "e", "7", "g", "9"]
        ZADD z 1 x 2 x 1.5 x => 1
        ZSCORE z x => "1.5"
        ZADD none XX 1 a => 0
        ZADD none XX INCR 1 a => nil
        EXISTS none => 0
        "#,
    );
}

#[test]
fn increments() {
    check(
        r#"
        ZADD z INCR 1.5 a => "1.5"
        ZADD z INCR 1.5 a => "3"
        ZADD z NX INCR 1 a => nil
        ZADD z GT INCR -1 a => nil
        ZADD z LT INCR -1 a => "2"
        ZINCRBY z 0.1 b => "0.1"
        ZINCRBY z 0.2 b => "0.30000000000000004"
        ZINCRBY z inf c => "inf"
        ZINCRBY z -inf c => -ERR resulting score is not a number (NaN)
        ZADD z INCR -inf c => -ERR resulting score is not a number (NaN)
        ZSCORE z c => "inf"
        ZINCRBY z nx a => -ERR syntax error
        ZINCRBY z x a => -ERR value is not a valid float
        "#,
    );
}

#[test]
fn wrong_additions_change_nothing() {
    check(
        r#"
        ZADD z 1 => -ERR wrong number of arguments for 'zadd' command
        ZADD z 1 a 2 => -ERR syntax error
        ZADD z NX CH => -ERR syntax error
        ZADD z NX XX 1 a => -ERR XX and NX options at the same time are not compatible
        ZADD z NX GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z GT LT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z INCR 1 a 2 b => -ERR INCR option supports a single increment-element pair
        ZADD z 1 a x b => -ERR value is not a valid float
        ZADD z nan a => -ERR value is not a valid float
        EXISTS z => 0
        "#,
    );
}

#[test]
fn scores_and_ranks() {
    check(
        r#"
        ZADD z 1 a 2 b 2 c -inf d 1e300 e => 5
        ZSCORE z d => "-inf"
        ZSCORE z x => nil
        ZSCORE none x => nil
        ZMSCORE z a x e => ["1", nil, "1e+300"]
        ZMSCORE none a b => [nil, nil]
        ZRANK z a => 1
        ZRANK z c => 3
        ZREVRANK z c => 1
        ZRANK z x => nil
        ZRANK z c WITHSCORE => [3, "2"]
        ZREVRANK z c withscore => [1, "2"]
        ZRANK z x WITHSCORE => nil-array
        ZRANK none x WITHSCORE => nil-array
        ZRANK z c SCORE => -ERR syntax error
        ZRANK z c WITHSCORE x => -ERR wrong number of arguments for 'zrank' command
        ZCARD z => 5
        ZCARD none => 0
        HELLO 3
        ZSCORE z d => ,-inf
        ZMSCORE z a x => [,1, nil]
        ZRANK z c WITHSCORE => [3, ,2]
        ZADD z INCR 1.5 a => ,2.5
        "#,
    );
}

#[test]
fn ranges_of_ranks() {
    check(
        r#"
        ZADD z 1 a 2 b 3 c 4 d => 4
        ZRANGE z 1 2 => ["b", "c"]
        ZRANGE z -2 -1 WITHSCORES => ["c", "3", "d", "4"]
        ZRANGE z 0 1 REV => ["d", "c"]
        ZREVRANGE z 0 0 WITHSCORES => ["d", "4"]
        ZRANGE z 3 1 => []
        ZRANGE z 9 12 => []
        ZRANGE none 0 -1 => []
        ZRANGE z 0 -1 LIMIT 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
        ZRANGE z 1 2 LIMIT 5 -1 => ["b", "c"]
        ZRANGE z a b => -ERR value is not an integer or out of range
        ZREVRANGE z 0 1 BYSCORE => -ERR syntax error
        ZREVRANGE z 0 1 REV => -ERR syntax error
        HELLO 3
        ZRANGE z 0 1 WITHSCORES => [["a", ,1], ["b", ,2]]
        "#,
    );
}

#[test]
fn ranges_of_scores() {
    check(
        r#"
        ZADD z 1 a 2 b 2 c 3 d inf e => 5
        ZRANGE z 2 3 BYSCORE => ["b", "c", "d"]
        ZRANGE z (2 +inf BYSCORE => ["d", "e"]
        ZRANGE z 3 (1 BYSCORE REV WITHSCORES => ["d", "3", "c", "2", "b", "2"]
        ZRANGEBYSCORE z -inf +inf LIMIT 1 2 => ["b", "c"]
        ZRANGEBYSCORE z -inf +inf LIMIT 1 -1 => ["b", "c", "d", "e"]
        ZRANGEBYSCORE z -inf +inf LIMIT -1 2 => []
        ZREVRANGEBYSCORE z +inf 2 WITHSCORES LIMIT 1 2 => ["d", "3", "c", "2"]
        ZREVRANGEBYSCORE z 1 3 => []
        ZCOUNT z (1 3 => 3
        ZCOUNT z 3 1 => 0
        ZCOUNT none 1 2 => 0
        ZCOUNT z x 1 => -ERR min or max is not a float
        ZRANGE z 1 x BYSCORE => -ERR min or max is not a float
        ZRANGEBYSCORE z 1 2 LIMIT 1 => -ERR syntax error
        ZRANGEBYSCORE z 1 2 LIMIT x 1 => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn ranges_of_members() {
    check(
        r#"
        ZADD z 0 a 0 b 0 bb 0 c 0 d => 5
        ZRANGEBYLEX z - + => ["a", "b", "bb", "c", "d"]
        ZRANGEBYLEX z [b (c => ["b", "bb"]
        ZREVRANGEBYLEX z (d [b LIMIT 1 1 => ["bb"]
        ZRANGE z + [c BYLEX REV => ["d", "c"]
        ZRANGE z + - BYLEX => []
        ZLEXCOUNT z (a + => 4
        ZLEXCOUNT z - - => 0
        ZRANGEBYLEX z b c => -ERR min or max not valid string range item
        ZLEXCOUNT z [b -x => -ERR min or max not valid string range item
        ZRANGE z - + BYLEX WITHSCORES => -ERR syntax error, WITHSCORES not supported in combination with BYLEX
        ZREMRANGEBYLEX z [b (c => 2
        ZRANGE z 0 -1 => ["a", "c", "d"]
        ZREMRANGEBYLEX z - + => 3
        EXISTS z => 0
        "#,
    );
}

#[test]
fn removals() {
    check(
        r#"
        ZADD z 1 a 2 b 3 c 4 d 5 e => 5
        ZREM z a a x => 1
        ZREM z x => 0
        ZREM none a => 0
        ZREMRANGEBYRANK z 0 0 => 1
        ZREMRANGEBYRANK z 5 9 => 0
        ZREMRANGEBYSCORE z (3 4 => 1
        ZREMRANGEBYSCORE z x 4 => -ERR min or max is not a float
        ZREMRANGEBYRANK z x 4 => -ERR value is not an integer or out of range
        ZRANGE z 0 -1 => ["c", "e"]
        ZREM z c e => 2
        EXISTS z => 0
        "#,
    );
}

#[test]
fn pops() {
    check(
        r#"
        ZADD z 1 a 2 b 3 c 4 d 5 e 6 f => 6
        ZPOPMIN z => ["a", "1"]
        ZPOPMAX z => ["f", "6"]
        ZPOPMIN z 2 => ["b", "2", "c", "3"]
        ZPOPMIN z 0 => []
        ZPOPMIN z -1 => -ERR value is out of range, must be positive
        ZPOPMIN z x => -ERR value is out of range, must be positive
        ZPOPMIN z 1 x => -ERR syntax error
        ZPOPMIN none => []
        ZMPOP 2 none z MAX => ["z", [["e", "5"]]]
        ZMPOP 1 z MIN COUNT 9 => ["z", [["d", "4"]]]
        ZMPOP 1 z MIN => nil-array
        EXISTS z => 0
        ZMPOP 0 z MIN => -ERR numkeys should be greater than 0
        ZMPOP 1 z MIN COUNT 0 => -ERR count should be greater than 0
        ZMPOP 3 z MIN COUNT => -ERR syntax error
        ZMPOP 1 z MID => -ERR syntax error
        ZMPOP 1 z MIN COUNT 1 COUNT 1 => -ERR syntax error
        HELLO 3
        ZADD z 1 a 2 b 3 c => 3
        ZPOPMIN z => ["a", ,1]
        ZPOPMIN z 1 => [["b", ,2]]
        ZMPOP 1 z MIN => ["z", [["c", ,3]]]
        ZMPOP 1 z MIN => nil
        "#,
    );
}

#[test]
fn stored_ranges() {
    check(
        r#"
        ZADD z 1 a 2 b 3 c => 3
        SET d x EX 100 => +OK
        ZRANGESTORE d z 0 1 => 2
        TTL d => -1
        ZRANGE d 0 -1 WITHSCORES => ["a", "1", "b", "2"]
        ZRANGESTORE d z 3 2 BYSCORE REV LIMIT 1 1 => 1
        ZRANGE d 0 -1 => ["b"]
        ZRANGESTORE z z (1 +inf BYSCORE => 2
        ZRANGE z 0 -1 => ["b", "c"]
        ZRANGESTORE d none 0 -1 => 0
        EXISTS d => 0
        ZRANGESTORE d z 0 -1 WITHSCORES => -ERR syntax error
        "#,
    );
}

#[test]
fn unions_and_intersections() {
    check(
        r#"
        ZADD x 1 a 2 b 3 c => 3
        ZADD y 10 b 20 c 30 d => 3
        SADD s b d => 2
        ZUNION 2 x y WITHSCORES => ["a", "1", "b", "12", "c", "23", "d", "30"]
        ZINTER 2 x y => ["b", "c"]
        ZINTER 2 x y WEIGHTS 2 0.5 WITHSCORES => ["b", "9", "c", "16"]
        ZUNION 3 x y s AGGREGATE MIN WITHSCORES => ["a", "1", "b", "1", "d", "1", "c", "3"]
        ZUNION 3 x y none AGGREGATE MAX WITHSCORES WEIGHTS -1 1 1 => ["a", "-1", "b", "10", "c", "20", "d", "30"]
        ZDIFF 2 x s WITHSCORES => ["a", "1", "c", "3"]
        ZDIFF 2 x x => []
        ZINTERCARD 2 x y => 2
        ZINTERCARD 2 x y LIMIT 1 => 1
        ZINTERCARD 2 x none => 0
        ZUNIONSTORE d 2 x y => 4
        ZINTERSTORE d 2 x s => 1
        ZRANGE d 0 -1 WITHSCORES => ["b", "3"]
        ZDIFFSTORE d 2 y x => 1
        ZRANGE d 0 -1 => ["d"]
        ZDIFFSTORE d 2 x x => 0
        EXISTS d => 0
        ZADD inf inf m => 1
        ZADD neg -inf m => 1
        ZUNION 2 inf neg WITHSCORES => ["m", "0"]
        ZINTER 1 inf WEIGHTS 0 WITHSCORES => ["m", "0"]
        HELLO 3
        ZINTER 2 x y WITHSCORES => [["b", ,12], ["c", ,23]]
        "#,
    );
}

#[test]
fn wrong_unions() {
    check(
        r#"
        ZADD x 1 a => 1
        SET t x => +OK
        ZUNION 0 x => -ERR at least 1 input key is needed for 'zunion' command
        ZUNIONSTORE d 0 x => -ERR at least 1 input key is needed for 'zunionstore' command
        ZINTERCARD 0 x => -ERR at least 1 input key is needed for 'zintercard' command
        ZUNION a x => -ERR value is not an integer or out of range
        ZUNION 2 x => -ERR syntax error
        ZUNION 1 t => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZUNION 1 x WEIGHTS x => -ERR weight value is not a float
        ZUNION 1 x WEIGHTS => -ERR syntax error
        ZUNION 1 x AGGREGATE AVG => -ERR syntax error
        ZUNIONSTORE d 1 x WITHSCORES => -ERR syntax error
        ZDIFF 1 x WEIGHTS 1 => -ERR syntax error
        ZINTERCARD 1 x LIMIT -1 => -ERR LIMIT can't be negative
        ZINTERCARD 1 x WITHSCORES => -ERR syntax error
        EXISTS d => 0
        "#,
    );
}

#[test]
fn wrong_types() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut server = Server::new();
    server.run(&[b"SET", b"t", b"x"]);
    for line in [
        "ZADD t 1 a",
        "ZINCRBY t 1 a",
        "ZREM t a",
        "ZCARD t",
        "ZSCORE t a",
        "ZMSCORE t a",
        "ZRANK t a",
        "ZREVRANK t a",
        "ZRANGE t 0 -1",
        "ZREVRANGE t 0 -1",
        "ZRANGEBYSCORE t 0 1",
        "ZREVRANGEBYSCORE t 0 1",
        "ZRANGEBYLEX t - +",
        "ZREVRANGEBYLEX t + -",
        "ZRANGESTORE d t 0 -1",
        "ZCOUNT t 0 1",
        "ZLEXCOUNT t - +",
        "ZREMRANGEBYRANK t 0 1",
        "ZREMRANGEBYSCORE t 0 1",
        "ZREMRANGEBYLEX t - +",
        "ZPOPMIN t",
        "ZPOPMAX t 0",
        "ZMPOP 1 t MIN",
        "ZRANDMEMBER t",
        "ZRANDMEMBER t 0",
        "ZSCAN t 0",
        "ZUNIONSTORE d 1 t",
        "ZINTER 1 t",
        "ZDIFF 1 t",
        "ZINTERCARD 1 t",
    ] {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        assert_eq!(server.run(&args), wrong, "{line}");
    }
    assert_eq!(server.run(&[b"GET", b"t"]), "\"x\"");
}

#[test]
fn random_members() {
    check(
        r#"
        ZRANDMEMBER none => nil
        ZRANDMEMBER none 3 => []
        ZADD z 1 a 2 b 3 c => 3
        ZRANDMEMBER z 0 => []
        ZRANDMEMBER z 3 => ["c", "b", "a"]
        ZRANDMEMBER z 9 WITHSCORES => ["c", "3", "b", "2", "a", "1"]
        ZRANDMEMBER z x => -ERR value is not an integer or out of range
        ZRANDMEMBER z 1 SCORES => -ERR syntax error
        ZRANDMEMBER z -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        ZRANDMEMBER z 4611686018427387904 WITHSCORES => -ERR value is out of range
        HELLO 3
        ZRANDMEMBER z 3 WITHSCORES => [["c", ,3], ["b", ,2], ["a", ,1]]
        "#,
    );
}

/// Fails if these counts are no fair draw from equally likely outcomes: four standard deviations above the mean of
/// chi-square. Seeds are fixed.
fn assert_fair(counts: &[u32]) {
    let freedom = (counts.len() - 1) as f64;
    let mean = counts.iter().map(|n| f64::from(*n)).sum::<f64>() / counts.len() as f64;
    let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - mean).powi(2) / mean).sum();
    assert!(chi_square < freedom + 4.0 * (2.0 * freedom).sqrt() + 4.0, "{chi_square} {counts:?}");
}

#[test]
fn random_members_are_fair() {
    for members in [20_usize, 200] {
        let mut r = Replica::new(3);
        (0..members).for_each(|n| assert_eq!(r.run(0, &format!("ZADD z {} m{n}", n % 3)), "1"));
        for (command, picks) in [("ZRANDMEMBER z", 1), ("ZRANDMEMBER z 4", 4), ("ZRANDMEMBER z -7", 7)] {
            let mut counts = vec![0; members];
            for seed in 0..40 * members as u64 {
                r.seed = seed;
                let reply = r.read(0, command, r.time_ms).unwrap();
                let names: Vec<&str> = reply.split('"').skip(1).step_by(2).collect();
                assert_eq!(names.len(), picks);
                names.iter().for_each(|name| counts[name[1..].parse::<usize>().unwrap()] += 1);
            }
            assert_fair(&counts);
        }
    }
}

#[test]
fn scans() {
    check(
        r#"
        ZADD z 1 a 0.1 b 1e17 c => 3
        ZSCAN z 0 => ["0", ["b", "0.1", "a", "1", "c", "100000000000000000"]]
        ZSCAN z 0 MATCH a COUNT 1 => ["0", ["a", "1"]]
        ZSCAN none 0 => ["0", []]
        ZSCAN z x => -ERR invalid cursor
        ZSCAN none 0 COUNT 0 => ["0", []]
        ZSCAN z 0 COUNT 0 => -ERR syntax error
        "#,
    );
    let mut r = Replica::new(5);
    (0..1000).for_each(|n| assert_eq!(r.run(0, &format!("ZADD z {n} member-{n}")), "1"));
    let (mut cursor, mut found, mut calls) = ("0".to_owned(), std::collections::BTreeSet::new(), 0);
    loop {
        let reply = r.read(0, &format!("ZSCAN z {cursor} COUNT 30"), r.time_ms).unwrap();
        let parts: Vec<&str> = reply.split('"').skip(1).step_by(2).collect();
        cursor = parts[0].to_owned();
        let (pairs, _) = parts[1..].as_chunks::<2>();
        for [member, score] in pairs {
            assert!(member.ends_with(&format!("-{score}")), "{member} {score}");
            found.insert((*member).to_owned());
        }
        calls += 1;
        if cursor == "0" {
            break;
        }
        r.run(0, &format!("ZADD z {calls} come-{calls}"));
        r.run(0, &format!("ZREM z come-{}", calls / 2));
    }
    let stayed = (0..1000).filter(|n| found.contains(&format!("member-{n}"))).count();
    assert_eq!(stayed, 1000);
    assert!((33..=40).contains(&calls), "{calls}");
}

#[test]
fn encodings() {
    let mut server = Server::new();
    let mut run = |line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        server.run(&args)
    };
    for n in 0..128 {
        run(&format!("ZADD z {n} m{n}"));
    }
    assert_eq!(run("OBJECT ENCODING z"), "\"listpack\"");
    assert_eq!(run("ZADD z 5 m5 6 m6"), "0");
    run("ZADD z 1 one-more");
    assert_eq!(run("OBJECT ENCODING z"), "\"skiplist\"");
    run("ZREMRANGEBYRANK z 1 -1");
    assert_eq!(run("OBJECT ENCODING z"), "\"skiplist\"");
    run("ZUNIONSTORE small 1 z");
    assert_eq!(run("OBJECT ENCODING small"), "\"listpack\"");

    let (fits, long) = ("y".repeat(64), "y".repeat(65));
    run(&format!("ZADD w 1 {fits}"));
    assert_eq!(run("OBJECT ENCODING w"), "\"listpack\"");
    run(&format!("ZADD w 1 {long}"));
    assert_eq!(run("OBJECT ENCODING w"), "\"skiplist\"");
    run("ZRANGESTORE v w 0 0");
    assert_eq!(run("OBJECT ENCODING v"), "\"listpack\"");

    // More pairs at once than a small one may have, though all of the same member.
    run(&format!("ZADD many{}", " 1 a".repeat(129)));
    assert_eq!((run("ZCARD many"), run("OBJECT ENCODING many")), ("1".into(), "\"skiplist\"".into()));
}

#[test]
fn a_negative_zero_is_kept_by_a_large_one_only() {
    let mut server = Server::new();
    let long = [b'y'; 65];
    assert_eq!(server.run(&[b"ZADD", b"z", b"-0", b"a"]), "1");
    assert_eq!(server.run(&[b"ZSCORE", b"z", b"a"]), "\"0\"");
    assert_eq!(server.run(&[b"ZADD", b"z", b"1", &long]), "1");
    assert_eq!(server.run(&[b"ZADD", b"z", b"-0", b"b"]), "1");
    assert_eq!(server.run(&[b"ZMSCORE", b"z", b"a", b"b"]), "[\"0\", \"-0\"]");
    assert_eq!(server.run(&[b"ZRANGESTORE", b"d", b"z", b"0", b"-1"]), "3");
    assert_eq!(server.run(&[b"ZMSCORE", b"d", b"a", b"b"]), "[\"0\", \"0\"]");
}

/// What does not change a sorted set leaves its watchers alone.
#[test]
fn only_a_change_counts_as_one() {
    let mut r = Replica::new(1);
    r.run(0, "ZADD z 1 a 2 b");
    let watch = r.watch("z");
    for line in [
        "ZADD z 1 a",
        "ZADD z NX 5 a",
        "ZADD z XX 5 c",
        "ZADD z GT 0 a",
        "ZINCRBY z 0 a",
        "ZREM z c",
        "ZPOPMIN z 0",
        "ZREMRANGEBYRANK z 5 9",
        "ZREMRANGEBYSCORE z 5 9",
        "ZREMRANGEBYLEX z [x [y",
        "ZRANGESTORE none z 5 9",
    ] {
        r.run(0, line);
    }
    assert_eq!(r.exec(&[watch], &["ZCARD z"]), "[2]");
    let watch = r.watch("z");
    r.run(0, "ZADD z 1 a 3 b");
    assert_eq!(r.exec(&[watch], &["ZCARD z"]), "nil-array");
}

fn random_line(random: &mut Random) -> String {
    let (key, other) = (format!("z{}", random.below(4)), format!("z{}", random.below(4)));
    let n = random.below(300) as i64;
    let member = if n % 11 == 0 { format!("{}{n}", "long".repeat(20)) } else { format!("m{n}") };
    match random.below(20) {
        0..8 => format!("ZADD {key} {} {member} -0 x{n} 0.{n} y{}", n - 150, n % 7),
        8 => format!(
            "ZADD {key}{}",
            (0..n).map(|i| format!(" {} many-{i}", i % 13)).collect::<String>() + " 1 one"
        ),
        9..11 => format!("ZINCRBY {key} {} {member}", n % 5 - 2),
        11 => format!("ZREM {key} {member} x{n}"),
        12 => format!("ZPOPMIN {key} {}", n % 10),
        13 => format!("ZREMRANGEBYRANK {key} {} {}", n % 20, n % 30),
        14 => format!("ZUNIONSTORE {key} 2 {key} {other} WEIGHTS 1 0.5"),
        15 => format!("ZDIFFSTORE {key} 2 {other} {key}"),
        16 => format!("ZRANGESTORE {key} {other} {} {}", n % 40, n),
        17 => format!("ZRANDMEMBER {key} {}", n % 50 - 20),
        18 => format!("GEOADD {key} {} {} {member}", n % 180, n % 80),
        _ if n < 100 => format!("DEL {key}"),
        _ => format!("SORT {key} ALPHA STORE sorted"),
    }
}

/// A replica that was restored from a snapshot, in pieces of any size, goes on like the one that wrote it.
#[test]
fn a_restored_replica_goes_on_alike() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let mut r = Replica::new(seed as u8);
        for _ in 0..300 {
            r.run(0, &random_line(&mut random));
        }
        let snapshot = r.snapshot();
        let mut pieces = Restore::new();
        for piece in snapshot.chunks(1 + random.below(5000) as usize) {
            pieces.push(piece).expect("a good snapshot");
        }
        let keyspace: Keyspace = pieces.finish().expect("a whole snapshot");
        assert_eq!(keyspace.content_digest(), r.keyspace.content_digest(), "seed {seed}");
        assert_eq!(restore(&snapshot).content_digest(), r.keyspace.content_digest());
        let mut again = Replica { keyspace, time_ms: r.time_ms, seed: r.seed };
        for _ in 0..300 {
            let line = random_line(&mut random);
            assert_eq!(again.run(0, &line), r.run(0, &line), "seed {seed}: {line}");
            assert_eq!(again.keyspace.digest(), r.keyspace.digest(), "seed {seed}: {line}");
        }
        assert_eq!(again.keyspace.content_digest(), r.keyspace.content_digest(), "seed {seed}");
    }
}

/// What arguments are made of: keys, members, numbers at the edges, words of options, junk.
const WORDS: &[&[u8]] = &[
    b"z",
    b"large",
    b"places",
    b"set",
    b"list",
    b"text",
    b"none",
    b"a",
    b"b",
    b"member-7",
    b"",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"1.5",
    b"-0",
    b"nan",
    b"inf",
    b"-inf",
    b"(1",
    b"(",
    b"[a",
    b"(b",
    b"-",
    b"+",
    b"1e300",
    b"5e-324",
    b"180",
    b"-85.05",
    b"m",
    b"km",
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"CH",
    b"INCR",
    b"BYSCORE",
    b"BYLEX",
    b"REV",
    b"LIMIT",
    b"WITHSCORES",
    b"WITHSCORE",
    b"WEIGHTS",
    b"AGGREGATE",
    b"SUM",
    b"MIN",
    b"MAX",
    b"COUNT",
    b"MATCH",
    b"*",
    b"FROMMEMBER",
    b"FROMLONLAT",
    b"BYRADIUS",
    b"BYBOX",
    b"ASC",
    b"DESC",
    b"ANY",
    b"WITHDIST",
    b"WITHCOORD",
    b"WITHHASH",
    b"STORE",
    b"STOREDIST",
    b"BY",
    b"GET",
    b"#",
    b"w_*",
    b"w_*->f",
    b"ALPHA",
    b"nosort",
    b"\0\xff\r\n",
];

fn filled() -> Replica {
    let mut r = Replica::new(4);
    let large: String = (0..300).map(|n| format!(" {} member-{n}", n % 9)).collect();
    for line in [
        "ZADD z 1 a 2 b 2 1",
        "GEOADD places 13.361389 38.115556 a 180 85.05 b -180 -85.05 1",
        "SADD set a 1 2",
        "RPUSH list a 1 2",
        "SET text x",
        "SET w_1 5",
        &format!("ZADD large{large}"),
    ] {
        r.run(0, line);
    }
    r
}

/// All that clients can see of the keys.
fn contents(r: &Replica) -> String {
    let mut all = r.read(0, "DBSIZE", r.time_ms).unwrap();
    for key in ["z", "large", "places", "set", "list", "text", "none", "a", "b", "1"] {
        let looks = [
            format!("OBJECT ENCODING {key}"),
            format!("SORT_RO {key} BY nosort"),
            format!("ZRANGE {key} 0 -1 WITHSCORES"),
        ];
        looks.iter().for_each(|look| all += &r.read(0, look, r.time_ms).unwrap());
    }
    all
}

/// Any arguments of any of the commands: no panic, and an error has changed nothing.
#[test]
fn any_arguments_do_no_harm() {
    let is_ours = |name: &str| name.starts_with('z') || name.starts_with("geo") || name.starts_with("sort");
    let names: Vec<&str> = table::all().map(|command| command.name).filter(|name| is_ours(name)).collect();
    assert!(names.len() >= 44, "{names:?}");
    let (mut random, mut r) = (Random::new(8), filled());
    let (mut errors, mut others, mut before) = (0, 0, contents(&r));
    for round in 0..30 {
        for name in &names {
            let mut args: Vec<&[u8]> = vec![name.as_bytes()];
            for _ in 0..1 + random.below(9) {
                args.push(WORDS[random.below(WORDS.len() as u64) as usize]);
            }
            if r.run_args(0, &args).starts_with('-') {
                assert_eq!(contents(&r), before, "{args:?}");
                errors += 1;
            } else {
                before = contents(&r);
                others += 1;
            }
        }
        if round % 10 == 0 {
            r = filled();
            before = contents(&r);
        }
    }
    assert!(errors > 700 && others > 100, "{errors} {others}");
}
