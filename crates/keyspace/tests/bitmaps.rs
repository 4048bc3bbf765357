//! Commands on bits answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::{Server, check};

#[test]
fn single_bits() {
    check(
        r#"
        SETBIT b 7 1 => 0
        GET b => "\x01"
        SETBIT b 7 0 => 1
        GET b => "\x00"
        SETBIT b 8 0 => 0
        STRLEN b => 2
        SETBIT b 100 1 => 0
        STRLEN b => 13
        GETBIT b 100 => 1
        GETBIT b 101 => 0
        GETBIT b 100000 => 0
        GETBIT none 5 => 0
        SET n 65 => +OK
        GETBIT n 2 => 1
        SETBIT n 6 1 => 1
        SETBIT n 7 1 => 0
        GET n => "75"
        OBJECT ENCODING n => "raw"
        SETBIT new 0 1 => 0
        OBJECT ENCODING new => "raw"
        EXPIRE new 100 => 1
        SETBIT new 1 1 => 0
        TTL new => 100
        SETBIT b -1 1 => -ERR bit offset is not an integer or out of range
        SETBIT b x 1 => -ERR bit offset is not an integer or out of range
        SETBIT b 4294967296 1 => -ERR bit offset is not an integer or out of range
        SETBIT b 0 2 => -ERR bit is not an integer or out of range
        SETBIT b 0 -1 => -ERR bit is not an integer or out of range
        SETBIT b 0 x => -ERR bit is not an integer or out of range
        GETBIT b x => -ERR bit offset is not an integer or out of range
        GETBIT b 4294967296 => -ERR bit offset is not an integer or out of range
        GETBIT b 4294967295 => 0
        "#,
    );
}

#[test]
fn ones_are_counted() {
    check(
        r#"
        SET s foobar => +OK
        BITCOUNT s => 26
        BITCOUNT s 0 0 => 4
        BITCOUNT s 1 1 => 6
        BITCOUNT s 1 1 BYTE => 6
        BITCOUNT s 5 30 BIT => 17
        BITCOUNT s 0 -1 => 26
        BITCOUNT s -1 -2 => 0
        BITCOUNT s -100 -101 => 0
        BITCOUNT s 100 200 => 0
        BITCOUNT s -3 -2 bit => 1
        BITCOUNT none => 0
        BITCOUNT none 0 -1 => 0
        BITCOUNT s 0 => -ERR syntax error
        BITCOUNT none 0 => -ERR syntax error
        BITCOUNT s 0 1 NOPE => -ERR syntax error
        BITCOUNT s 0 1 BIT x => -ERR syntax error
        BITCOUNT s x 1 => -ERR value is not an integer or out of range
        BITCOUNT s 0 x => -ERR value is not an integer or out of range
        BITCOUNT none 0 x => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn first_bits_are_found() {
    let mut server = Server::new();
    server.run(&[b"SET", b"f", b"\xff\xf0\x00"]);
    server.run(&[b"SET", b"z", b"\x00\x00\x01"]);
    server.run(&[b"SET", b"ones", b"\xff\xff"]);
    server.run(&[b"SET", b"empty", b""]);
    let cases = [
        ("f 0", "12"),
        ("f 1", "0"),
        ("f 1 2", "-1"),
        ("f 0 2", "16"),
        ("f 1 1 -1", "8"),
        ("f 0 0 0", "-1"),
        ("z 1", "23"),
        ("z 1 0 1", "-1"),
        ("z 1 -1", "23"),
        ("z 1 20 23 BIT", "23"),
        ("z 1 20 22 BIT", "-1"),
        ("z 0 23 23 bit", "-1"),
        ("z 0 -100 -200", "0"),
        ("ones 0", "16"),
        ("ones 0 0", "16"),
        ("ones 0 1", "16"),
        ("ones 0 0 -1", "-1"),
        ("ones 0 2", "-1"),
        ("ones 0 1 0", "-1"),
        ("empty 0", "-1"),
        ("empty 1", "-1"),
        ("none 0", "0"),
        ("none 1", "-1"),
        ("none 0 5 9", "0"),
        ("f 2", "-ERR The bit argument must be 1 or 0."),
        ("f x", "-ERR value is not an integer or out of range"),
        ("f 1 x", "-ERR value is not an integer or out of range"),
        ("f 1 0 x", "-ERR value is not an integer or out of range"),
        ("f 1 0 x NOPE", "-ERR syntax error"),
        ("f 1 0 1 NOPE", "-ERR syntax error"),
        ("f 1 0 1 BIT x", "-ERR syntax error"),
        ("none 1 x", "-ERR value is not an integer or out of range"),
    ];
    for (line, expected) in cases {
        let mut args: Vec<&[u8]> = vec![b"BITPOS"];
        args.extend(line.split(' ').map(str::as_bytes));
        assert_eq!(server.run(&args), expected, "{line}");
    }
}

#[test]
fn strings_are_combined() {
    check(
        r#"
        SET a abc => +OK
        SET b ABCDE => +OK
        BITOP AND r a b => 5
        GET r => "ABC\x00\x00"
        BITOP or r a b => 5
        GET r => "abcDE"
        BITOP Xor r a b => 5
        GET r => "   DE"
        BITOP NOT r a => 3
        GET r => "\x9e\x9d\x9c"
        OBJECT ENCODING r => "raw"
        BITOP AND r a none => 3
        GET r => "\x00\x00\x00"
        BITOP OR r a => 3
        GET r => "abc"
        BITOP XOR a a a => 3
        GET a => "\x00\x00\x00"
        EXPIRE r 100 => 1
        BITOP OR r none => 0
        EXISTS r => 0
        RPUSH l x => 1
        BITOP OR l b => 5
        TYPE l => +string
        BITOP NOPE r a => -ERR syntax error
        BITOP NOT r a b => -ERR BITOP NOT must be called with a single source key.
        RPUSH list x => 1
        BITOP AND r b list => -WRONGTYPE Operation against a key holding the wrong kind of value
        EXISTS r => 0
        "#,
    );
}

#[test]
fn fields() {
    check(
        r#"
        BITFIELD f => []
        EXISTS f => 0
        BITFIELD f GET u8 0 => [0]
        EXISTS f => 0
        BITFIELD f SET u8 0 255 GET u8 0 GET i8 0 GET u4 2 => [0, 255, -1, 15]
        BITFIELD f INCRBY u8 0 1 => [0]
        BITFIELD f INCRBY i5 100 1 GET u4 0 => [1, 0]
        STRLEN f => 14
        BITFIELD g SET i64 #1 -5 GET i64 64 => [0, -5]
        STRLEN g => 16
        BITFIELD u OVERFLOW SAT INCRBY u2 0 5 INCRBY u2 0 -9 => [3, 0]
        BITFIELD u OVERFLOW FAIL INCRBY u2 0 5 OVERFLOW WRAP INCRBY u2 0 5 => [nil, 1]
        BITFIELD u OVERFLOW FAIL SET u2 0 4 => [nil]
        BITFIELD u OVERFLOW SAT SET i4 8 100 GET i4 8 => [0, 7]
        BITFIELD u SET u63 0 9223372036854775807 => [2321605607909490688]
        BITFIELD_RO u GET u63 0 GET u1 #70 => [9223372036854775807, 0]
        BITFIELD_RO none GET u8 0 => [0]
        BITFIELD_RO none => []
        BITFIELD failing OVERFLOW FAIL SET u2 0 4 => [nil]
        STRLEN failing => 1
        BITFIELD_RO f SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand
        BITFIELD_RO f GET u8 => -ERR syntax error
        BITFIELD f GET u64 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD f GET i65 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD f GET x8 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD f GET u8 -1 => -ERR bit offset is not an integer or out of range
        BITFIELD f GET u8 4294967296 => -ERR bit offset is not an integer or out of range
        BITFIELD f GET u8 #999999999999 => -ERR bit offset is not an integer or out of range
        BITFIELD f SET u8 0 x => -ERR value is not an integer or out of range
        BITFIELD f OVERFLOW NOPE => -ERR Invalid OVERFLOW type specified
        BITFIELD f NOPE => -ERR syntax error
        BITFIELD f SET u8 0 => -ERR syntax error
        HELLO 3
        BITFIELD u OVERFLOW FAIL INCRBY u2 0 5 => [nil]
        "#,
    );
}

#[test]
fn other_types_are_refused_and_left_alone() {
    check(
        r#"
        RPUSH l x => 1
        SETBIT l 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        GETBIT l 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        BITCOUNT l => -WRONGTYPE Operation against a key holding the wrong kind of value
        BITPOS l 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        BITFIELD l GET u8 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        BITFIELD l SET u8 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        BITFIELD_RO l GET u8 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        LRANGE l 0 -1 => ["x"]
        "#,
    );
}
