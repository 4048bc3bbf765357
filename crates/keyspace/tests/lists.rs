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

#[test]
fn elements_by_index() {
    check(
        r#"
        RPUSH l a b c d => 4
        LINDEX l 0 => "a"
        LINDEX l -1 => "d"
        LINDEX l 4 => nil
        LINDEX l -5 => nil
        LINDEX none x => nil
        LINDEX l x => -ERR value is not an integer or out of range
        LSET l 1 B => +OK
        LSET l -1 longer => +OK
        LRANGE l 0 -1 => ["a", "B", "c", "longer"]
        LSET l 4 x => -ERR index out of range
        LSET l -5 x => -ERR index out of range
        LSET l x x => -ERR value is not an integer or out of range
        LSET none x x => -ERR no such key
        LINSERT l BEFORE c x => 5
        LINSERT l after longer y => 6
        LINSERT l before a 0 => 7
        LINSERT l before none 0 => -1
        LINSERT none before a 0 => 0
        LINSERT l over a 0 => -ERR syntax error
        LRANGE l 0 -1 => ["0", "a", "B", "x", "c", "longer", "y"]
        SET s v => +OK
        LINDEX s x => -WRONGTYPE Operation against a key holding the wrong kind of value
        LSET s 0 x => -WRONGTYPE Operation against a key holding the wrong kind of value
        LINSERT s before a b => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn elements_by_contents() {
    check(
        r#"
        RPUSH l a b a c a d a => 7
        LREM l 1 a => 1
        LREM l -2 a => 2
        LRANGE l 0 -1 => ["b", "a", "c", "d"]
        LREM l 0 none => 0
        LREM l 5 none => 0
        LREM none 0 a => 0
        LREM l x a => -ERR value is not an integer or out of range
        LREM l -9223372036854775808 a => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        RPUSH m x x x => 3
        LREM m 0 x => 3
        EXISTS m => 0
        RPUSH p a b c 1 2 3 c c => 8
        LPOS p c => 2
        LPOS p none => nil
        LPOS p none COUNT 1 => []
        LPOS none c => nil
        LPOS none c COUNT 0 => []
        LPOS p c RANK 2 => 6
        LPOS p c RANK -1 => 7
        LPOS p c COUNT 2 => [2, 6]
        LPOS p c COUNT 0 => [2, 6, 7]
        LPOS p c RANK -1 COUNT 2 => [7, 6]
        LPOS p c RANK 3 COUNT 0 => [7]
        LPOS p c COUNT 0 MAXLEN 7 => [2, 6]
        LPOS p c RANK -1 MAXLEN 1 => 7
        LPOS p c RANK 4 => nil
        LPOS p c RANK 0 => -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
        LPOS p c COUNT -1 => -ERR COUNT can't be negative
        LPOS p c MAXLEN -1 => -ERR MAXLEN can't be negative
        LPOS p c RANK x => -ERR value is not an integer or out of range
        LPOS p c COUNT => -ERR syntax error
        LPOS p c WHAT 1 => -ERR syntax error
        "#,
    );
}

#[test]
fn trimming() {
    check(
        r#"
        RPUSH l a b c d e => 5
        LTRIM l 1 -2 => +OK
        LRANGE l 0 -1 => ["b", "c", "d"]
        LTRIM l -100 100 => +OK
        LLEN l => 3
        LTRIM l 2 1 => +OK
        EXISTS l => 0
        LTRIM none 0 1 => +OK
        LTRIM none x 1 => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn moving_from_list_to_list() {
    check(
        r#"
        RPUSH a 1 2 3 => 3
        LMOVE a b LEFT RIGHT => "1"
        LMOVE a b right left => "3"
        RPOPLPUSH a b => "2"
        EXISTS a => 0
        LRANGE b 0 -1 => ["2", "3", "1"]
        LMOVE b b LEFT RIGHT => "2"
        LRANGE b 0 -1 => ["3", "1", "2"]
        RPOPLPUSH b b => "2"
        LMOVE a b LEFT RIGHT => nil
        RPOPLPUSH a b => nil
        LMOVE b a UP RIGHT => -ERR syntax error
        SET s v => +OK
        LMOVE s b LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LMOVE b s LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LMOVE none s LEFT LEFT => nil
        LLEN b => 3
        RPUSH one x => 1
        EXPIRE one 100 => 1
        LMOVE one one LEFT RIGHT => "x"
        TTL one => 100
        "#,
    );
}

#[test]
fn popping_from_the_first_of_several() {
    check(
        r#"
        RPUSH b 1 2 3 4 => 4
        LMPOP 2 a b LEFT => ["b", ["1"]]
        LMPOP 2 a b RIGHT COUNT 2 => ["b", ["4", "3"]]
        LMPOP 1 b LEFT COUNT 10 => ["b", ["2"]]
        EXISTS b => 0
        LMPOP 2 a b LEFT => nil-array
        LMPOP 0 a LEFT => -ERR numkeys should be greater than 0
        LMPOP x a LEFT => -ERR numkeys should be greater than 0
        LMPOP 3 a b LEFT => -ERR syntax error
        LMPOP 1 a b LEFT => -ERR syntax error
        LMPOP 1 a LEFT COUNT 0 => -ERR count should be greater than 0
        LMPOP 1 a LEFT COUNT 1 COUNT 1 => -ERR syntax error
        LMPOP 1 a LEFT LIMIT 1 => -ERR syntax error
        SET s v => +OK
        LMPOP 2 a s LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn encodings_follow_every_kind_of_change() {
    let mut server = Server::new();
    let (large, encoding) = ([b'x'; 9000], |server: &mut Server| server.run(&[b"OBJECT", b"ENCODING", b"l"]));
    server.run(&[b"RPUSH", b"l", b"a", b"b"]);
    for grow in [
        &[&b"LSET"[..], b"l", b"0", &large][..],
        &[b"LINSERT", b"l", b"BEFORE", b"b", &large],
        &[b"RPUSH", b"l", &large],
    ] {
        server.run(grow);
        assert_eq!(encoding(&mut server), "\"quicklist\"");
        server.run(&[b"LREM", b"l", b"0", &large]);
        assert_eq!(encoding(&mut server), "\"listpack\"");
        server.run(grow);
        server.run(&[b"LSET", b"l", if grow[0] == b"RPUSH" { b"-1" } else { b"0" }, b"a"]);
        let lens = server.run(&[b"LRANGE", b"l", b"0", b"-1"]).len();
        assert_eq!(encoding(&mut server) == "\"listpack\"", lens < 4000, "{lens}");
        server.run(&[b"LTRIM", b"l", b"0", b"0"]);
        server.run(&[b"LSET", b"l", b"0", b"a"]);
        assert_eq!(encoding(&mut server), "\"listpack\"");
        server.run(&[b"RPUSH", b"l", b"b"]);
    }
    server.run(&[b"RPUSH", b"m", &large]);
    server.run(&[b"LMOVE", b"m", b"l", b"LEFT", b"RIGHT"]);
    assert_eq!(encoding(&mut server), "\"quicklist\"");
    server.run(&[b"LMPOP", b"1", b"l", b"RIGHT"]);
    assert_eq!(encoding(&mut server), "\"listpack\"");
}
