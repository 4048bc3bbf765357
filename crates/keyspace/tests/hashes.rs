//! Commands on hashes answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::{Server, check};

#[test]
fn set_and_get() {
    check(
        r#"
        HSET h a 1 b 2 => 2
        HSET h a 3 c 4 c 5 => 1
        HGET h a => "3"
        HGET h c => "5"
        HGET h none => nil
        HGET none a => nil
        HMGET h a none b => ["3", nil, "2"]
        HMGET none a b => [nil, nil]
        HGETALL h => ["a", "3", "b", "2", "c", "5"]
        HGETALL none => []
        HKEYS h => ["a", "b", "c"]
        HVALS h => ["3", "2", "5"]
        HKEYS none => []
        HVALS none => []
        HLEN h => 3
        HLEN none => 0
        HEXISTS h a => 1
        HEXISTS h none => 0
        HEXISTS none a => 0
        HSTRLEN h a => 1
        HSTRLEN h none => 0
        HSTRLEN none a => 0
        HMSET h d 6 => +OK
        HSETNX h d 7 => 0
        HSETNX h e 8 => 1
        HSETNX new f 9 => 1
        HSET empty "" "" => 1
        HGET empty "" => ""
        HSTRLEN empty "" => 0
        TYPE h => +hash
        HELLO 3
        HGETALL h => {"a": "3", "b": "2", "c": "5", "d": "6", "e": "8"}
        HGETALL none => {}
        HKEYS none => []
        HGET none a => nil
        "#,
    );
}

#[test]
fn the_last_field_takes_the_hash_with_it() {
    check(
        r#"
        HDEL none a => 0
        HSET h a 1 b 2 c 3 => 3
        EXPIRE h 100 => 1
        HSET h d 4 => 1
        TTL h => 100
        HDEL h none => 0
        HDEL h a a none b => 2
        HDEL h c d e => 2
        EXISTS h => 0
        HSET h a 1 => 1
        TTL h => -1
        "#,
    );
}

#[test]
fn integers_are_added() {
    check(
        r#"
        HINCRBY h n 5 => 5
        HINCRBY h n -7 => -2
        HGET h n => "-2"
        HINCRBY h max 9223372036854775807 => 9223372036854775807
        HINCRBY h max 1 => -ERR increment or decrement would overflow
        HINCRBY h max -1 => 9223372036854775806
        HSET h text x float 1.5 zero 01 => 3
        HINCRBY h text 1 => -ERR hash value is not an integer
        HINCRBY h float 1 => -ERR hash value is not an integer
        HINCRBY h zero 1 => -ERR hash value is not an integer
        HINCRBY h n x => -ERR value is not an integer or out of range
        HINCRBY h n 1.0 => -ERR value is not an integer or out of range
        HINCRBY h n 9223372036854775808 => -ERR value is not an integer or out of range
        HINCRBY none n x => -ERR value is not an integer or out of range
        EXISTS none => 0
        "#,
    );
}

#[test]
fn floats_are_added_as_redis_adds_them() {
    check(
        r#"
        HINCRBYFLOAT h n 0.1 => "0.1"
        HINCRBYFLOAT h n 0.2 => "0.3"
        HINCRBYFLOAT h n 5.0e3 => "5000.29999999999999982"
        HINCRBYFLOAT h n -0.3 => "5000"
        HSET h text x inf inf => 2
        HINCRBYFLOAT h text 1 => -ERR hash value is not a float
        HINCRBYFLOAT h n x => -ERR value is not a valid float
        HINCRBYFLOAT h n nan => -ERR value is not a valid float
        HINCRBYFLOAT h n inf => -ERR value is NaN or Infinity
        HINCRBYFLOAT none n -inf => -ERR value is NaN or Infinity
        HINCRBYFLOAT h inf 1 => -ERR increment would produce NaN or Infinity
        EXISTS none => 0
        HELLO 3
        HINCRBYFLOAT h n 1.5 => "5001.5"
        "#,
    );
}

#[test]
fn random_fields() {
    check(
        r#"
        HRANDFIELD none => nil
        HRANDFIELD none 3 => []
        HRANDFIELD none -3 WITHVALUES => []
        HSET one a 1 => 1
        HRANDFIELD one => "a"
        HRANDFIELD one 0 => []
        HRANDFIELD one 5 => ["a"]
        HRANDFIELD one -3 => ["a", "a", "a"]
        HRANDFIELD one 5 WITHVALUES => ["a", "1"]
        HRANDFIELD one -2 withvalues => ["a", "1", "a", "1"]
        HSET two a 1 b 2 => 2
        HRANDFIELD two 2 => ["a", "b"]
        HRANDFIELD two 9 WITHVALUES => ["a", "1", "b", "2"]
        HRANDFIELD one x => -ERR value is not an integer or out of range
        HRANDFIELD one -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        HRANDFIELD one 1 WITHSCORES => -ERR syntax error
        HRANDFIELD one 1 WITHVALUES x => -ERR syntax error
        HRANDFIELD one 9223372036854775807 => ["a"]
        HRANDFIELD one 9223372036854775807 WITHVALUES => -ERR value is out of range
        HRANDFIELD one -9223372036854775807 => -ERR value is out of range
        HELLO 3
        HRANDFIELD two 2 => ["a", "b"]
        HRANDFIELD two 2 WITHVALUES => [["a", "1"], ["b", "2"]]
        HRANDFIELD one -2 WITHVALUES => [["a", "1"], ["a", "1"]]
        HRANDFIELD none => nil
        HRANDFIELD none 2 WITHVALUES => []
        "#,
    );
}

#[test]
fn small_hashes_are_scanned_at_once() {
    check(
        r#"
        HSCAN none 0 => ["0", []]
        HSCAN none x => -ERR invalid cursor
        HSCAN none 0 NOPE => ["0", []]
        HSET h a 1 ab 2 b 3 => 3
        HSCAN h 0 => ["0", ["a", "1", "ab", "2", "b", "3"]]
        HSCAN h 0 COUNT 1 => ["0", ["a", "1", "ab", "2", "b", "3"]]
        HSCAN h 17 COUNT 1 => ["0", ["a", "1", "ab", "2", "b", "3"]]
        HSCAN h 0 MATCH a* COUNT 1 => ["0", ["a", "1", "ab", "2"]]
        HSCAN h 0 MATCH 1 => ["0", []]
        HSCAN h 0 COUNT 0 => -ERR syntax error
        HSCAN h 0 COUNT x => -ERR value is not an integer or out of range
        HSCAN h 0 COUNT => -ERR syntax error
        HSCAN h 0 TYPE hash => -ERR syntax error
        HSCAN h 0 NOVALUES => -ERR syntax error
        HELLO 3
        HSCAN h 0 => ["0", ["a", "1", "ab", "2", "b", "3"]]
        HSCAN none 0 => ["0", []]
        "#,
    );
}

#[test]
fn large_hashes_are_scanned_in_portions() {
    let mut server = Server::new();
    for n in 0..1000 {
        server.run(&[b"HSET", b"h", format!("f{n}").as_bytes(), b"v"]);
    }
    assert_eq!(server.run(&[b"OBJECT", b"ENCODING", b"h"]), "\"hashtable\"");
    let mut cursor = "0".to_owned();
    let mut found = Vec::new();
    loop {
        let reply = server.run(&[b"HSCAN", b"h", cursor.as_bytes(), b"COUNT", b"30"]);
        let mut strings = reply.split('"').skip(1).step_by(2);
        cursor = strings.next().expect("a cursor").to_owned();
        let fields: Vec<&str> = strings.step_by(2).collect();
        assert!(fields.len() <= 31, "{}", fields.len());
        found.extend(fields.into_iter().map(str::to_owned));
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    let mut all: Vec<String> = (0..1000).map(|n| format!("f{n}")).collect();
    all.sort();
    assert_eq!(found, all);
}

#[test]
fn the_encoding_follows_the_size() {
    let mut server = Server::new();
    let encoding = |server: &mut Server, key: &[u8]| server.run(&[b"OBJECT", b"ENCODING", key]);
    for n in 0..512 {
        server.run(&[b"HSET", b"h", format!("f{n}").as_bytes(), b"v"]);
    }
    assert_eq!(encoding(&mut server, b"h"), "\"listpack\"");
    server.run(&[b"HSET", b"h", b"f0", b"w"]);
    assert_eq!(encoding(&mut server, b"h"), "\"listpack\"");
    server.run(&[b"HINCRBY", b"h", b"n", b"1"]);
    assert_eq!(encoding(&mut server, b"h"), "\"hashtable\"");
    server.run(&[b"HDEL", b"h", b"n"]);
    assert_eq!(encoding(&mut server, b"h"), "\"hashtable\"");
    let (fits, long) = ([b'x'; 64], [b'x'; 65]);
    for (key, field, value, expected) in [
        (&b"a"[..], &fits[..], &fits[..], "\"listpack\""),
        (b"b", &long, b"v", "\"hashtable\""),
        (b"c", b"f", &long, "\"hashtable\""),
    ] {
        server.run(&[b"HSET", key, field, value]);
        assert_eq!(encoding(&mut server, key), expected);
    }
    server.run(&[b"HINCRBYFLOAT", b"d", &long, b"1"]);
    assert_eq!(encoding(&mut server, b"d"), "\"hashtable\"");
}

#[test]
fn wrong_arguments_and_types_change_nothing() {
    check(
        r#"
        HSET h a => -ERR wrong number of arguments for 'hset' command
        HSET h a 1 b => -ERR wrong number of arguments for 'hset' command
        HMSET h a 1 b => -ERR wrong number of arguments for 'hmset' command
        HSETNX h a 1 b => -ERR wrong number of arguments for 'hsetnx' command
        EXISTS h => 0
        SET s v => +OK
        HSET s a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HSET s a => -ERR wrong number of arguments for 'hset' command
        HSETNX s a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HMSET s a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HGET s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HMGET s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETALL s => -WRONGTYPE Operation against a key holding the wrong kind of value
        HKEYS s => -WRONGTYPE Operation against a key holding the wrong kind of value
        HVALS s => -WRONGTYPE Operation against a key holding the wrong kind of value
        HLEN s => -WRONGTYPE Operation against a key holding the wrong kind of value
        HEXISTS s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HSTRLEN s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HDEL s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HINCRBY s a x => -ERR value is not an integer or out of range
        HINCRBY s a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HINCRBYFLOAT s a x => -ERR value is not a valid float
        HINCRBYFLOAT s a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HRANDFIELD s => -WRONGTYPE Operation against a key holding the wrong kind of value
        HRANDFIELD s 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HSCAN s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HSCAN s x => -ERR invalid cursor
        GET s => "v"
        "#,
    );
}
