//! What tests of clients and of the server ask DEBUG.

mod transcript;

use transcript::{Server, check};

/// Keys of every type, and the digests that redis-server 7.0.15 makes of their values.
const VALUES: [(&str, &str); 7] = [
    ("SET s hello", "36b23a1456b2dce2c3ed252c456761301dba8060"),
    ("SET i 42", "547a004a370bc71c2d611f010c52f2e7b64c77a4"),
    ("RPUSH l a b c 1", "e093abdde6c4844ba87b7ed2172d25e2334a432b"),
    ("SADD t x y 3", "415a07507e2348d139f9fd645a024f6be569dd65"),
    ("ZADD z 1 a 2.5 b -inf c 1e300 d", "33dbd358ef8d47059c4c568f46298218b4262140"),
    ("HSET h f v g 1", "6679ee22f89ed8001eeb5309d0900265ea56c03a"),
    ("XADD x 1-1 f v g w", ""),
];

fn run(server: &mut Server, line: &str) -> String {
    server.run(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

#[test]
fn digests_are_those_of_redis() {
    const NONE: &str = "0000000000000000000000000000000000000000";
    let mut server = Server::new();
    assert_eq!(run(&mut server, "DEBUG DIGEST"), format!("+{NONE}"));
    for (line, digest) in VALUES {
        run(&mut server, line);
        let key = line.split(' ').nth(1).unwrap();
        let found = run(&mut server, &format!("DEBUG DIGEST-VALUE none {key}"));
        assert!(found.contains(NONE) && found.contains(digest), "{line}: {found}");
    }
    run(&mut server, "XADD x 2-0 f u");
    let stream = run(&mut server, "DEBUG DIGEST-VALUE x");
    assert!(stream.contains("8553848eb66219ad134a6c4f20e2a2e5d0385557"), "{stream}");
    assert_eq!(run(&mut server, "DEBUG DIGEST"), "+0e303cd2f80d14b618f49c1be4f56a69a047ffba");
    run(&mut server, "PEXPIREAT s 4000000000000");
    let expiring = run(&mut server, "DEBUG DIGEST-VALUE s");
    assert!(expiring.contains("d037c4eb8a8b36b602fbced4000daeab0714c1e3"), "{expiring}");
}

#[test]
fn a_digest_does_not_know_how_values_are_kept() {
    let members: Vec<String> = (0..600).map(|n| format!("member{n}")).collect();
    let forwards: Vec<&str> = members.iter().map(String::as_str).collect();
    let backwards: Vec<&str> = forwards.iter().rev().copied().collect();
    let mut server = Server::new();
    run(&mut server, &format!("SADD a {}", forwards.join(" ")));
    run(&mut server, &format!("SADD b {}", backwards.join(" ")));
    run(&mut server, &format!("SREM b {}", backwards[..550].join(" ")));
    run(&mut server, &format!("SADD c {}", forwards[..50].join(" ")));
    assert_eq!(run(&mut server, "OBJECT ENCODING b"), "\"hashtable\"");
    assert_eq!(run(&mut server, "OBJECT ENCODING c"), "\"listpack\"");
    let digest = |server: &mut Server, key: &str| run(server, &format!("DEBUG DIGEST-VALUE {key}"));
    assert_eq!(digest(&mut server, "b"), digest(&mut server, "c"));
    assert_ne!(digest(&mut server, "a"), digest(&mut server, "b"));
}

#[test]
fn values_are_described() {
    check(
        r#"
        @ 5000000
        DEBUG OBJECT none => -ERR no such key
        DEBUG SDSLEN none => -ERR no such key
        SET s hello => +OK
        SET i 42 => +OK
        DEBUG SDSLEN s => +key_sds_len:1, key_sds_avail:0, key_zmalloc: 1, val_sds_len:5, val_sds_avail:0, val_zmalloc: 5
        DEBUG SDSLEN i => -ERR Not an sds encoded string.
        RPUSH l a => 1
        DEBUG LISTPACK s => -ERR Not a listpack encoded object.
        DEBUG QUICKLIST l => -ERR Not a quicklist encoded object.
        DEBUG HTSTATS 16 => -ERR Out of range database
        DEBUG HTSTATS x => -ERR value is not an integer or out of range
        DEBUG HTSTATS-KEY l => -ERR The value stored at the specified key is not represented using an hash table
        DEBUG STRINGMATCH-LEN a*b axxb => 1
        DEBUG STRINGMATCH-LEN a*b axxc => 0
        "#,
    );
    let mut server = Server::new();
    run(&mut server, "SET s hello");
    let object = run(&mut server, "DEBUG OBJECT s");
    let expected = " refcount:1 encoding:embstr serializedlength:6 lru:1000 lru_seconds_idle:0";
    assert!(object.starts_with("+Value at:0x") && object.ends_with(expected), "{object}");
    assert_eq!(run(&mut server, "DEBUG OBJECT s"), object, "the place of a value stays");
    run(&mut server, &format!("RPUSH l {}", ["element"; 3000].join(" ")));
    let object = run(&mut server, "DEBUG OBJECT l");
    assert!(object.contains(" encoding:quicklist ") && object.contains(" ql_nodes:4 "), "{object}");
    assert!(object.contains(" ql_listpack_max:-2 ql_compressed:0 ql_uncompressed_size:27007"), "{object}");
}

#[test]
fn keys_are_created() {
    check(
        r#"
        SET key:1 mine => +OK
        DEBUG POPULATE 3 => +OK
        GET key:0 => "value:0"
        GET key:1 => "mine"
        GET key:2 => "value:2"
        DEBUG POPULATE 2 other 9 => +OK
        STRLEN other:1 => 9
        DEBUG POPULATE 2 short 3 => +OK
        GET short:1 => "val"
        DBSIZE => 7
        DEBUG POPULATE -1 => -ERR value is out of range, must be positive
        DEBUG POPULATE x => -ERR value is not an integer or out of range
        DEBUG POPULATE 10000001 => -ERR DEBUG POPULATE creates up to 10 million keys and 4 GiB at once
        DEBUG POPULATE 5000000 k 1000 => -ERR DEBUG POPULATE creates up to 10 million keys and 4 GiB at once
        DBSIZE => 7
        "#,
    );
}

#[test]
fn examples_of_replies() {
    check(
        r#"
        DEBUG PROTOCOL string => "Hello World"
        DEBUG PROTOCOL INTEGER => 12345
        DEBUG PROTOCOL double => "3.141"
        DEBUG PROTOCOL bignum => "1234567999999999999999999999999999999"
        DEBUG PROTOCOL true => 1
        DEBUG PROTOCOL attrib => "Some real reply following the attribute"
        DEBUG PROTOCOL push => -ERR RESP2 is not supported by this command
        DEBUG ERROR "MY-own" => -MY-own
        "#,
    );
    let mut server = Server::new();
    let error = run(&mut server, "DEBUG PROTOCOL none-of-them");
    assert!(error.starts_with("-ERR Wrong protocol type name."), "{error}");
}

#[test]
fn what_is_refused() {
    check(
        r#"
        DEBUG => -ERR wrong number of arguments for 'debug' command
        DEBUG FOO => -ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.
        DEBUG DIGEST x => -ERR unknown subcommand or wrong number of arguments for 'DIGEST'. Try DEBUG HELP.
        DEBUG SEGFAULT => -ERR DEBUG SEGFAULT is refused: it exists to make a server fail
        DEBUG crash-and-recover 5 => -ERR DEBUG CRASH-AND-RECOVER is refused: it exists to make a server fail
        DEBUG SLEEP x => -ERR value is not a valid float
        DEBUG QUICKLIST-PACKED-THRESHOLD 100b => +OK
        DEBUG QUICKLIST-PACKED-THRESHOLD 4gb => -ERR argument must be a memory value bigger than 1 and smaller than 4gb
        DEBUG QUICKLIST-PACKED-THRESHOLD 1x => -ERR argument must be a memory value bigger than 1 and smaller than 4gb
        DEBUG SET-ACTIVE-EXPIRE 0 => +OK
        "#,
    );
}

#[test]
fn switches_are_part_of_the_state() {
    let mut server = Server::new();
    let eval = |server: &mut Server| {
        server.run(&[b"EVAL", b"return redis.call('debug', 'protocol', 'integer')", b"0"])
    };
    assert!(eval(&mut server).starts_with("-ERR This Redis command is not allowed from script"));
    run(&mut server, "DEBUG SET-DISABLE-DENY-SCRIPTS 1");
    assert_eq!(eval(&mut server), "12345");
    server.check_reload();
    run(&mut server, "DEBUG SET-DISABLE-DENY-SCRIPTS 0");
    assert!(eval(&mut server).starts_with('-'));
    // A string "a", version 11, and a checksum that is wrong.
    let payload = b"\x00\x01a\x0b\x0012345678";
    assert_eq!(
        server.run(&[b"RESTORE", b"k", b"0", payload]),
        "-ERR DUMP payload version or checksum are wrong"
    );
    run(&mut server, "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    assert_eq!(server.run(&[b"RESTORE", b"k", b"0", payload]), "+OK");
    run(&mut server, "DEBUG SET-SKIP-CHECKSUM-VALIDATION 0");
    assert_eq!(
        server.run(&[b"RESTORE", b"l", b"0", payload]),
        "-ERR DUMP payload version or checksum are wrong"
    );
}

#[test]
fn a_reload_finds_the_same_state() {
    let mut server = Server::new();
    server.check_reload();
    for (line, _) in VALUES {
        run(&mut server, line);
        server.check_reload();
    }
    run(&mut server, "DEBUG POPULATE 5000 large 100");
    run(&mut server, &format!("RPUSH l {}", ["element"; 3000].join(" ")));
    server.check_reload();
}

#[test]
fn without_active_expiry_keys_are_freed_once_somebody_has_looked_for_one() {
    let mut server = Server::new();
    run(&mut server, "DEBUG SET-ACTIVE-EXPIRE 0");
    for key in ["a", "b", "c"] {
        run(&mut server, &format!("SET {key} v PX 10"));
    }
    assert_eq!(server.keyspace.next_deadline(), None, "nothing is to be done at any time");
    server.time_ms += 10;
    assert_eq!(run(&mut server, "DBSIZE"), "0", "they are gone as ever");
    assert_eq!(server.keyspace.expired_backlog(), 3);
    server.check_reload();
    assert!(!server.keyspace.take_met_expired());
    run(&mut server, "GET none");
    assert!(!server.keyspace.take_met_expired());
    assert_eq!(run(&mut server, "GET a"), "nil");
    assert!(server.keyspace.take_met_expired());
    assert!(!server.keyspace.take_met_expired(), "once");
    assert_eq!(server.keyspace.usage().expired, 0);
    run(&mut server, "\0reclaim");
    assert_eq!((server.keyspace.usage().expired, server.keyspace.expired_backlog()), (3, 0));
    run(&mut server, "SET d v PX 10");
    run(&mut server, "DEBUG SET-ACTIVE-EXPIRE 1");
    assert!(server.keyspace.next_deadline().is_some());
    server.time_ms += 10;
    run(&mut server, "PING");
    assert_eq!(server.keyspace.usage().expired, 4);
}
