//! Commands on lists answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::{Server, check};

#[test]
fn push_and_pop_at_both_ends() {
    check(
        r#"
        RPUSH l a b c => 3
        LPUSH l x y => 5
        LRANGE l 0 -1 => ["y", "x", "a", "b", "c"]
        LPOP l => "y"
        RPOP l => "c"
        LLEN l => 3
        LPOP l => "x"
        LPOP l => "a"
        RPOP l => "b"
        EXISTS l => 0
        LPOP l => nil
        RPOP l => nil
        LLEN l => 0
        RPUSH l "" => 1
        LPOP l => ""
        "#,
    );
}

#[test]
fn push_only_if_the_list_exists() {
    check(
        r#"
        RPUSHX l a => 0
        LPUSHX l a => 0
        EXISTS l => 0
        RPUSH l a => 1
        RPUSHX l b c => 3
        LPUSHX l d => 4
        LRANGE l 0 -1 => ["d", "a", "b", "c"]
        "#,
    );
}

#[test]
fn pop_with_a_count() {
    check(
        r#"
        LPOP none 3 => nil-array
        LPOP none 0 => nil-array
        RPUSH l a b c d e => 5
        LPOP l 0 => []
        RPOP l 0 => []
        LPOP l 2 => ["a", "b"]
        RPOP l 2 => ["e", "d"]
        LPOP l 100 => ["c"]
        EXISTS l => 0
        LPOP none -1 => -ERR value is out of range, must be positive
        LPOP none x => -ERR value is out of range, must be positive
        LPOP none 1 2 => -ERR wrong number of arguments for 'lpop' command
        RPOP none 1 2 => -ERR wrong number of arguments for 'rpop' command
        HELLO 3
        LPOP none 3 => nil
        LPOP none => nil
        "#,
    );
}

#[test]
fn ranges() {
    check(
        r#"
        LRANGE l 0 -1 => []
        RPUSH l a b c d e => 5
        LRANGE l 1 3 => ["b", "c", "d"]
        LRANGE l -2 100 => ["d", "e"]
        LRANGE l -100 0 => ["a"]
        LRANGE l 3 1 => []
        LRANGE l 5 10 => []
        LRANGE l 0 -6 => []
        LRANGE l x 1 => -ERR value is not an integer or out of range
        LRANGE l 1 x => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn other_types_are_refused_and_left_alone() {
    check(
        r#"
        SET s v => +OK
        RPUSH s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPUSHX s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPOP s => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPOP s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        RPOP s 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN s => -WRONGTYPE Operation against a key holding the wrong kind of value
        LRANGE s 0 -1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        GET s => "v"
        "#,
    );
}

#[test]
fn a_push_keeps_the_deadline_and_the_last_pop_drops_it() {
    check(
        r#"
        RPUSH l a b => 2
        EXPIRE l 100 => 1
        RPUSH l c => 3
        LPOP l => "a"
        TTL l => 100
        LPOP l 2 => ["b", "c"]
        RPUSH l a => 1
        TTL l => -1
        "#,
    );
}

#[test]
fn the_encoding_follows_the_size() {
    let mut server = Server::new();
    let element = [b'x'; 1000];
    let mut encodings = Vec::new();
    for _ in 0..9 {
        server.run(&[b"RPUSH", b"l", &element]);
        encodings.push(server.run(&[b"OBJECT", b"ENCODING", b"l"]));
    }
    assert_eq!(encodings[..8], vec!["\"listpack\""; 8]);
    assert_eq!(encodings[8], "\"quicklist\"");
    encodings.clear();
    for _ in 0..8 {
        server.run(&[b"LPOP", b"l"]);
        encodings.push(server.run(&[b"OBJECT", b"ENCODING", b"l"]));
    }
    // Back below half of 8 KiB: four elements of 1000 bytes are left.
    assert_eq!(encodings[..4], vec!["\"quicklist\""; 4]);
    assert_eq!(encodings[4..], vec!["\"listpack\""; 4]);
}
