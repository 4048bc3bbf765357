//! Commands on strings answer what Redis answers.
//!
//! Each line is a command and its reply; `@` sets the log's time in milliseconds.

mod transcript;

use transcript::{Server, check};

#[test]
fn set_and_get() {
    check(
        r#"
        GET k => nil
        SET k v => +OK
        GET k => "v"
        SET k "" => +OK
        GET k => ""
        STRLEN k => 0
        SET k 12 => +OK
        STRLEN k => 2
        RPUSH l a => 1
        GET l => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l v => +OK
        GET l => "v"
        "#,
    );
}

#[test]
fn set_if_absent_or_present() {
    check(
        r#"
        SET k 1 XX => nil
        GET k => nil
        SET k 1 nx => +OK
        SET k 2 NX => nil
        GET k => "1"
        SET k 3 XX => +OK
        GET k => "3"
        SET k 4 NX XX => -ERR syntax error
        SET k 4 XX NX => -ERR syntax error
        SET k 4 NX NX => nil
        SETNX k 5 => 0
        SETNX other 5 => 1
        RPUSH l a => 1
        SETNX l v => 0
        SET l v NX => nil
        TYPE l => +list
        "#,
    );
}

#[test]
fn set_with_get() {
    check(
        r#"
        SET k 1 GET => nil
        SET k 2 GET => "1"
        SET k 3 GET NX => "2"
        GET k => "2"
        SET k 3 XX GET => "2"
        GET k => "3"
        SET none 1 XX GET => nil
        EXISTS none => 0
        SET none 1 NX GET => nil
        GET none => "1"
        RPUSH l a => 1
        SET l 1 GET => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l 1 GET NX => -WRONGTYPE Operation against a key holding the wrong kind of value
        TYPE l => +list
        "#,
    );
}

#[test]
fn set_refuses_what_does_not_go_together() {
    check(
        r#"
        SET k v EX => -ERR syntax error
        SET k v EX 1 PX 1 => -ERR syntax error
        SET k v EXAT 1 EX 1 => -ERR syntax error
        SET k v KEEPTTL EX 1 => -ERR syntax error
        SET k v PXAT 1 KEEPTTL => -ERR syntax error
        SET k v PERSIST => -ERR syntax error
        SET k v LATER => -ERR syntax error
        SET k v EX abc => -ERR value is not an integer or out of range
        SET k v EX 0 => -ERR invalid expire time in 'set' command
        SET k v PX -1 => -ERR invalid expire time in 'set' command
        SET k v EXAT -1 => -ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775 => -ERR invalid expire time in 'set' command
        SET k v PX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SET k v EXAT 9223372036854776 => -ERR invalid expire time in 'set' command
        SETEX k 0 v => -ERR invalid expire time in 'setex' command
        SETEX k 1.5 v => -ERR value is not an integer or out of range
        PSETEX k 0 v => -ERR invalid expire time in 'psetex' command
        EXISTS k => 0
        SET k v KEEPTTL KEEPTTL => +OK
        SET k v EX 10 ex 20 => +OK
        TTL k => 20
        "#,
    );
}

#[test]
fn deadlines_are_counted_from_the_time_of_the_entry() {
    check(
        r#"
        @ 1000000
        SET k v EX 10 => +OK
        PTTL k => 10000
        PEXPIRETIME k => 1010000
        SET k w PX 500 => +OK
        PEXPIRETIME k => 1000500
        SET k w KEEPTTL => +OK
        PEXPIRETIME k => 1000500
        SET k w => +OK
        PTTL k => -1
        SET k w EXAT 1005 => +OK
        PTTL k => 5000
        SET k w PXAT 1000007 => +OK
        PTTL k => 7
        SETEX k 3 w => +OK
        PTTL k => 3000
        PSETEX k 30 w => +OK
        PTTL k => 30
        @ 1000029
        GET k => "w"
        @ 1000031
        GET k => nil
        SET k v KEEPTTL => +OK
        PTTL k => -1
        "#,
    );
}

#[test]
fn a_deadline_in_the_past_leaves_no_key() {
    check(
        r#"
        @ 1000000
        SET k v => +OK
        SET k w PXAT 999999 => +OK
        EXISTS k => 0
        SET k v => +OK
        GETEX k EXAT 999 => "v"
        EXISTS k => 0
        SET k v GET EXAT 1 => nil
        GET k => nil
        "#,
    );
}

#[test]
fn getex_changes_the_deadline() {
    check(
        r#"
        @ 1000000
        GETEX k => nil
        GETEX k EX abc => nil
        SET k v => +OK
        GETEX k EX 10 => "v"
        PTTL k => 10000
        GETEX k => "v"
        PTTL k => 10000
        GETEX k PX 1 PX 20 => "v"
        PTTL k => 20
        GETEX k PXAT 1000100 => "v"
        PTTL k => 100
        GETEX k PERSIST => "v"
        PTTL k => -1
        GETEX k PERSIST PERSIST => "v"
        GETEX k EX 0 => -ERR invalid expire time in 'getex' command
        GETEX k EX abc => -ERR value is not an integer or out of range
        GETEX k PERSIST EX 1 => -ERR syntax error
        GETEX k EX 1 PERSIST => -ERR syntax error
        GETEX k KEEPTTL => -ERR syntax error
        GETEX k NX => -ERR syntax error
        GETEX k EX => -ERR syntax error
        PTTL k => -1
        RPUSH l a => 1
        GETEX l => -WRONGTYPE Operation against a key holding the wrong kind of value
        GETEX l EX 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn getdel_and_getset() {
    check(
        r#"
        GETDEL k => nil
        GETSET k 1 => nil
        GETSET k 2 => "1"
        EXPIRE k 100 => 1
        GETSET k 3 => "2"
        TTL k => -1
        GETDEL k => "3"
        EXISTS k => 0
        RPUSH l a => 1
        GETDEL l => -WRONGTYPE Operation against a key holding the wrong kind of value
        GETSET l v => -WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN l => 1
        "#,
    );
}

#[test]
fn several_keys_at_once() {
    check(
        r#"
        MSET a 1 b 2 a 3 => +OK
        RPUSH l x => 1
        MGET a b c l => ["3", "2", nil, nil]
        MSET a => -ERR wrong number of arguments for 'mset' command
        MSET a 1 b => -ERR wrong number of arguments for 'mset' command
        MSETNX a 1 b => -ERR wrong number of arguments for 'msetnx' command
        MSETNX c 1 a 9 => 0
        EXISTS c => 0
        MSETNX c 1 d 2 => 1
        MGET c d => ["1", "2"]
        EXPIRE a 100 => 1
        MSET a 4 l s => +OK
        TTL a => -1
        GET l => "s"
        "#,
    );
}

#[test]
fn append_and_strlen() {
    check(
        r#"
        APPEND k 12 => 2
        OBJECT ENCODING k => "int"
        APPEND k 3 => 3
        GET k => "123"
        OBJECT ENCODING k => "raw"
        INCR k => 124
        OBJECT ENCODING k => "int"
        EXPIRE k 100 => 1
        APPEND k "" => 3
        OBJECT ENCODING k => "raw"
        TTL k => 100
        STRLEN k => 3
        STRLEN none => 0
        APPEND none "" => 0
        EXISTS none => 1
        RPUSH l a => 1
        APPEND l x => -WRONGTYPE Operation against a key holding the wrong kind of value
        STRLEN l => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn setrange_overwrites_and_fills_with_zeros() {
    check(
        r#"
        SETRANGE k 0 "" => 0
        EXISTS k => 0
        SETRANGE k 2 ab => 4
        GET k => "\x00\x00ab"
        OBJECT ENCODING k => "raw"
        SET k hello => +OK
        SETRANGE k 1 ipp => 5
        GET k => "hippo"
        SETRANGE k 4 "" => 5
        SETRANGE k 7 x => 8
        GET k => "hippo\x00\x00x"
        SET n 1234 => +OK
        EXPIRE n 100 => 1
        SETRANGE n 1 9 => 4
        GET n => "1934"
        TTL n => 100
        SETRANGE k -1 x => -ERR offset is out of range
        SETRANGE k 1x x => -ERR value is not an integer or out of range
        SETRANGE k 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 9223372036854775807 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE none 536870912 "" => 0
        RPUSH l a => 1
        SETRANGE l 0 x => -WRONGTYPE Operation against a key holding the wrong kind of value
        SETRANGE l 0 "" => -WRONGTYPE Operation against a key holding the wrong kind of value
        SETRANGE l -1 x => -ERR offset is out of range
        "#,
    );
}

#[test]
fn getrange_and_its_old_name() {
    check(
        r#"
        SET k Hello,World => +OK
        GETRANGE k 0 4 => "Hello"
        GETRANGE k -5 -1 => "World"
        GETRANGE k 0 -1 => "Hello,World"
        GETRANGE k 6 100 => "World"
        GETRANGE k 4 2 => ""
        GETRANGE k -1 -3 => ""
        GETRANGE k 0 -100 => "H"
        SUBSTR k 0 1 => "He"
        GETRANGE none 0 -1 => ""
        SET n 12345 => +OK
        GETRANGE n 1 2 => "23"
        GETRANGE k x 1 => -ERR value is not an integer or out of range
        GETRANGE k 1 x => -ERR value is not an integer or out of range
        RPUSH l a => 1
        GETRANGE l 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn counters() {
    check(
        r#"
        INCR k => 1
        INCRBY k 41 => 42
        DECR k => 41
        DECRBY k 50 => -9
        OBJECT ENCODING k => "int"
        EXPIRE k 100 => 1
        INCR k => -8
        TTL k => 100
        SET k 9223372036854775806 => +OK
        INCR k => 9223372036854775807
        INCR k => -ERR increment or decrement would overflow
        GET k => "9223372036854775807"
        SET k -9223372036854775808 => +OK
        DECR k => -ERR increment or decrement would overflow
        DECRBY k -9223372036854775808 => -ERR decrement would overflow
        INCRBY k 9223372036854775807 => -1
        INCRBY k 1.5 => -ERR value is not an integer or out of range
        INCRBY k +1 => -ERR value is not an integer or out of range
        SET k 01 => +OK
        INCR k => -ERR value is not an integer or out of range
        SET k 9223372036854775808 => +OK
        INCR k => -ERR value is not an integer or out of range
        RPUSH l a => 1
        INCR l => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn floating_point_counters() {
    check(
        r#"
        INCRBYFLOAT k 0.1 => "0.1"
        INCRBYFLOAT k 0.2 => "0.3"
        SET k 5.0e3 => +OK
        EXPIRE k 100 => 1
        INCRBYFLOAT k 2.0e2 => "5200"
        TTL k => 100
        OBJECT ENCODING k => "embstr"
        INCR k => 5201
        INCRBYFLOAT k -5201 => "0"
        INCRBYFLOAT k abc => -ERR value is not a valid float
        INCRBYFLOAT k nan => -ERR value is not a valid float
        INCRBYFLOAT k inf => -ERR increment would produce NaN or Infinity
        SET k abc => +OK
        INCRBYFLOAT k 1 => -ERR value is not a valid float
        GET k => "abc"
        RPUSH l a => 1
        INCRBYFLOAT l 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    check(
        r#"
        MSET a ohmytext b mynewtext n 12345 => +OK
        LCS a b => "mytext"
        LCS a b LEN => 6
        LCS a b IDX => ["matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], "len", 6]
        LCS a b IDX MINMATCHLEN 4 => ["matches", [[[4, 7], [5, 8]]], "len", 6]
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => ["matches", [[[4, 7], [5, 8], 4]], "len", 6]
        LCS a b IDX MINMATCHLEN -1 WITHMATCHLEN => ["matches", [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], "len", 6]
        LCS a none => ""
        LCS none also LEN => 0
        LCS a none IDX => ["matches", [], "len", 0]
        LCS n n => "12345"
        LCS a b LEN IDX => -ERR If you want both the length and indexes, please just use IDX.
        LCS a b MINMATCHLEN => -ERR syntax error
        LCS a b MINMATCHLEN x => -ERR value is not an integer or out of range
        LCS a b FOO => -ERR syntax error
        RPUSH l a => 1
        LCS a l => -ERR The specified keys must contain string values
        LCS l a FOO => -ERR The specified keys must contain string values
        HELLO 3
        LCS a b IDX MINMATCHLEN 4 => {"matches": [[[4, 7], [5, 8]]], "len": 6}
        "#,
    );
}

#[test]
fn bounded_lcs_refuses_what_redis_refuses() {
    let mut server = Server::new();
    // (12000 + 1)² × 4 bytes are more than 512 MB.
    server.run(&[b"SET", b"a", &[b'a'; 12_000]]);
    assert_eq!(
        server.run(&[b"LCS", b"a", b"a", b"LEN"]),
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
    );
}

#[test]
fn encodings_follow_length_and_history() {
    check(
        r#"
        SET k 20000000000000000000 => +OK
        OBJECT ENCODING k => "embstr"
        SET k 1234567890123456789012345678901234567890abcd => +OK
        OBJECT ENCODING k => "embstr"
        SET k 1234567890123456789012345678901234567890abcde => +OK
        OBJECT ENCODING k => "raw"
        SET k -0 => +OK
        OBJECT ENCODING k => "embstr"
        SET k -5 => +OK
        OBJECT ENCODING k => "int"
        GETSET k 7 => "-5"
        OBJECT ENCODING k => "int"
        "#,
    );
}
