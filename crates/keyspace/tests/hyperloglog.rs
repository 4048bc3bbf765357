//! Commands on HyperLogLogs answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::{Server, check};

/// What was counted once is not counted again, but for a key that has changed, even within one command.
#[test]
fn a_count_is_of_what_the_key_holds_now() {
    check(
        r#"
        PFADD p a b => 1
        PFCOUNT p => 2
        PFCOUNT p => 2
        PFADD p c => 1
        PFCOUNT p => 3
        RENAME p q => +OK
        PFADD p a => 1
        PFCOUNT p => 1
        PFCOUNT q => 3
        SWAPDB 0 1 => +OK
        PFCOUNT p => 0
        SWAPDB 0 1 => +OK
        FLUSHALL => +OK
        PFCOUNT p => 0
        "#,
    );
    let script = b"local n = {} \
        for i = 1, 3 do redis.call('pfadd', 'p', i) n[i] = redis.call('pfcount', 'p') end return n";
    assert_eq!(Server::new().run(&[b"EVAL", script, b"0"]), "[1, 2, 3]");
    // Two keys of one name that one entry has changed last.
    let mut server = Server::new();
    let both: &[u8] =
        b"redis.call('pfadd', 'p', 'a') redis.call('select', 1) return redis.call('pfadd', 'p', 'a', 'b')";
    assert_eq!(server.run(&[b"EVAL", both, b"0"]), "1");
    assert_eq!(server.run(&[b"PFCOUNT", b"p"]), "1");
    server.run(&[b"SWAPDB", b"0", b"1"]);
    assert_eq!(server.run(&[b"PFCOUNT", b"p"]), "2");
}

#[test]
fn add_count_and_merge() {
    check(
        r#"
        PFCOUNT none => 0
        PFCOUNT none missing => 0
        PFADD p => 1
        PFADD p => 0
        PFCOUNT p => 0
        PFADD p a b c => 1
        PFADD p a b => 0
        PFCOUNT p => 3
        TYPE p => +string
        OBJECT ENCODING p => "raw"
        PFADD q c d e => 1
        PFCOUNT p q none => 5
        PFMERGE r p q => +OK
        PFCOUNT r => 5
        PFMERGE p q => +OK
        PFCOUNT p => 5
        PFMERGE new => +OK
        PFCOUNT new => 0
        EXPIRE p 100 => 1
        PFADD p x y z => 1
        PFMERGE p q => +OK
        TTL p => 100
        PFDEBUG ENCODING p => +sparse
        PFDEBUG TODENSE p => 1
        PFDEBUG TODENSE p => 0
        PFDEBUG encoding p => +dense
        STRLEN p => 12304
        TTL p => 100
        PFCOUNT p => 8
        PFADD p more => 1
        PFADD p more => 0
        PFCOUNT p => 9
        PFMERGE r p => +OK
        PFDEBUG ENCODING r => +dense
        PFSELFTEST => +OK
        "#,
    );
}

#[test]
fn the_bytes_are_those_of_redis() {
    check(
        r#"
        PFADD p => 1
        GET p => "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        PFADD p a b c d e => 1
        GET p => "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\\{\x80Dv\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        PFDEBUG DECODE p => "Z:7292 v:1,1 Z:1143 v:1,1 Z:4274 v:2,1 Z:2445 v:1,1 Z:622 v:1,1 Z:603"
        "#,
    );
}

#[test]
fn many_elements_are_estimated() {
    let mut server = Server::new();
    for n in 0..20_000 {
        server.run(&[b"PFADD", if n % 2 == 0 { b"even" } else { b"odd" }, n.to_string().as_bytes()]);
    }
    let mut count = |keys: &[&[u8]]| -> f64 {
        server.run(&[&[&b"PFCOUNT"[..]], keys].concat()).parse().expect("a number")
    };
    assert!((count(&[b"even"]) / 10_000.0 - 1.0).abs() < 0.0243);
    assert!((count(&[b"odd"]) / 10_000.0 - 1.0).abs() < 0.0243);
    assert!((count(&[b"even", b"odd"]) / 20_000.0 - 1.0).abs() < 0.0243);
    assert_eq!(server.run(&[b"PFDEBUG", b"ENCODING", b"odd"]), "+dense");
}

#[test]
fn other_strings_and_types_are_refused() {
    let mut server = Server::new();
    server.run(&[b"SET", b"s", b"text"]);
    server.run(&[b"SET", b"n", b"5"]);
    server.run(&[b"SET", b"corrupt", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xfe"]);
    server.run(&[b"RPUSH", b"l", b"x"]);
    server.run(&[b"PFADD", b"p", b"x"]);
    let not_one = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    let corrupt = "-INVALIDOBJ Corrupted HLL object detected";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let commands = ["PFADD K a", "PFCOUNT K", "PFCOUNT p K", "PFMERGE K p", "PFMERGE p K"];
    for (key, expected) in [("s", not_one), ("n", not_one), ("corrupt", corrupt), ("l", wrong)] {
        for command in commands {
            if (key, command) == ("corrupt", "PFADD K a") {
                continue;
            }
            let line = command.replace('K', key);
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(server.run(&args), expected, "{line}");
        }
    }
    let cases: [(&[&[u8]], &str); 6] = [
        (&[b"PFDEBUG", b"ENCODING", b"none"], "-ERR The specified key does not exist"),
        (&[b"PFDEBUG", b"ENCODING", b"s"], not_one),
        (&[b"PFDEBUG", b"GETREG", b"corrupt"], corrupt),
        (&[b"PFDEBUG", b"NOPE", b"p"], "-ERR Unknown PFDEBUG subcommand 'NOPE'"),
        (&[b"PFDEBUG", b"TODENSE", b"p"], "1"),
        (&[b"PFDEBUG", b"DECODE", b"p"], "-ERR HLL encoding is not sparse"),
    ];
    for (args, expected) in cases {
        assert_eq!(server.run(args), expected);
    }
    assert_eq!(server.run(&[b"GET", b"s"]), "\"text\"");
    assert_eq!(server.run(&[b"PFCOUNT", b"p"]), "1");
}
