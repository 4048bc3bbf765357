//! Commands on sets answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::{Server, check};

#[test]
fn add_remove_and_ask() {
    check(
        r#"
        SADD s b a c a => 3
        SADD s a d => 1
        SMEMBERS s => ["b", "a", "c", "d"]
        SCARD s => 4
        SISMEMBER s a => 1
        SISMEMBER s x => 0
        SMISMEMBER s a x b => [1, 0, 1]
        SREM s a x a => 1
        SMEMBERS s => ["b", "c", "d"]
        TYPE s => +set
        SADD i 3 1 2 => 3
        SMEMBERS i => ["1", "2", "3"]
        SISMEMBER i 2 => 1
        SISMEMBER i 02 => 0
        SADD i 02 => 1
        SMEMBERS i => ["1", "2", "3", "02"]
        SADD e "" => 1
        SISMEMBER e "" => 1
        SMEMBERS none => []
        SCARD none => 0
        SISMEMBER none a => 0
        SMISMEMBER none a b => [0, 0]
        SREM none a => 0
        "#,
    );
}

#[test]
fn the_last_member_takes_the_set_with_it() {
    check(
        r#"
        SADD s a b => 2
        EXPIRE s 100 => 1
        SADD s c => 1
        TTL s => 100
        SREM s a b c d => 3
        EXISTS s => 0
        SADD s a => 1
        TTL s => -1
        SPOP s => "a"
        EXISTS s => 0
        SADD s 1 => 1
        SPOP s 1 => ["1"]
        EXISTS s => 0
        SADD s 1 => 1
        SMOVE s t 1 => 1
        EXISTS s => 0
        "#,
    );
}

#[test]
fn members_are_moved() {
    check(
        r#"
        SADD a 1 2 x => 3
        SADD b 3 => 1
        SMOVE a b none => 0
        SMOVE a b 1 => 1
        SMEMBERS b => ["1", "3"]
        SMOVE a b x => 1
        SMEMBERS b => ["1", "3", "x"]
        SMOVE a a 2 => 1
        SMOVE a a none => 0
        SADD b 2 => 1
        SMOVE a b 2 => 1
        EXISTS a => 0
        SMOVE none b 1 => 0
        SET string v => +OK
        SMOVE none string 1 => 0
        SMOVE b string none => -WRONGTYPE Operation against a key holding the wrong kind of value
        SMOVE string b 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        SMOVE b new 1 => 1
        OBJECT ENCODING new => "intset"
        "#,
    );
}

#[test]
fn random_members() {
    check(
        r#"
        SRANDMEMBER none => nil
        SRANDMEMBER none 3 => []
        SRANDMEMBER none -3 => []
        SPOP none => nil
        SPOP none 3 => []
        SADD one a => 1
        SRANDMEMBER one => "a"
        SRANDMEMBER one 0 => []
        SRANDMEMBER one 7 => ["a"]
        SRANDMEMBER one -3 => ["a", "a", "a"]
        SADD s b a c => 3
        SRANDMEMBER s 3 => ["b", "a", "c"]
        SRANDMEMBER s x => -ERR value is not an integer or out of range
        SRANDMEMBER s -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        SRANDMEMBER s -9223372036854775807 => -ERR value is out of range
        SRANDMEMBER s 1 2 => -ERR syntax error
        SPOP s 0 => []
        SPOP s -1 => -ERR value is out of range, must be positive
        SPOP s x => -ERR value is out of range, must be positive
        SPOP s 1 2 => -ERR syntax error
        SPOP s 5 => ["b", "a", "c"]
        EXISTS s => 0
        HELLO 3
        SPOP none => nil
        SPOP none 1 => ~[]
        SRANDMEMBER none 1 => []
        SADD s a => 1
        SRANDMEMBER s 2 => ["a"]
        SPOP s 0 => ~[]
        SPOP s 1 => ~["a"]
        "#,
    );
}

#[test]
fn what_is_popped_is_gone() {
    let mut server = Server::new();
    let names: Vec<String> = (0..600).map(|n| format!("m{n}")).collect();
    for size in [20, 600] {
        let mut command: Vec<&[u8]> = vec![b"SADD", b"s"];
        command.extend(names[..size].iter().map(|name| name.as_bytes()));
        server.run(&command);
        let mut left = size;
        for count in [1, 5, 3, size - 12] {
            let reply = server.run(&[b"SPOP", b"s", count.to_string().as_bytes()]);
            let popped: Vec<&str> = reply.split('"').skip(1).step_by(2).collect();
            left -= popped.len();
            for member in popped {
                assert_eq!(server.run(&[b"SISMEMBER", b"s", member.as_bytes()]), "0");
            }
            assert_eq!(server.run(&[b"SCARD", b"s"]), left.to_string());
        }
        // Of the last pop little was left, which makes a small set again.
        assert_eq!(server.run(&[b"OBJECT", b"ENCODING", b"s"]), "\"listpack\"");
        server.run(&[b"DEL", b"s"]);
    }
}

#[test]
fn sets_are_combined() {
    check(
        r#"
        SADD a 1 2 3 4 => 4
        SADD b 3 4 5 => 3
        SADD c c 4 => 2
        SINTER a b => ["3", "4"]
        SINTER a b c => ["4"]
        SINTER a none => []
        SINTER a => ["1", "2", "3", "4"]
        SUNION a b => ["1", "2", "3", "4", "5"]
        SUNION b none c => ["3", "4", "5", "c"]
        SUNION none => []
        SDIFF a b => ["1", "2"]
        SDIFF a b c none => ["1", "2"]
        SDIFF none a => []
        SDIFF a none => ["1", "2", "3", "4"]
        SDIFF a a => []
        SINTERSTORE d a b => 2
        SMEMBERS d => ["3", "4"]
        OBJECT ENCODING d => "intset"
        SUNIONSTORE d a c => 5
        OBJECT ENCODING d => "listpack"
        SINTERSTORE d c a => 1
        OBJECT ENCODING d => "intset"
        SDIFFSTORE d d a => 0
        EXISTS d => 0
        SET string v => +OK
        SDIFFSTORE string a b => 2
        TYPE string => +set
        EXPIRE string 100 => 1
        SUNIONSTORE string string b => 5
        TTL string => -1
        SINTERSTORE string a none => 0
        EXISTS string => 0
        SINTERCARD 2 a b => 2
        SINTERCARD 2 a b LIMIT 1 => 1
        SINTERCARD 2 a b LIMIT 0 => 2
        SINTERCARD 2 a b LIMIT 9 => 2
        SINTERCARD 1 none => 0
        HELLO 3
        SINTER a b => ~["3", "4"]
        SINTER a none => ~[]
        SUNION none => ~[]
        SDIFF none => ~[]
        SMEMBERS none => ~[]
        "#,
    );
}

#[test]
fn wrong_arguments() {
    check(
        r#"
        SADD s => -ERR wrong number of arguments for 'sadd' command
        SINTERCARD 0 a => -ERR numkeys should be greater than 0
        SINTERCARD x a => -ERR numkeys should be greater than 0
        SINTERCARD -1 a => -ERR numkeys should be greater than 0
        SINTERCARD 2 a => -ERR Number of keys can't be greater than number of args
        SINTERCARD 9223372036854775807 a => -ERR Number of keys can't be greater than number of args
        SINTERCARD 1 a b => -ERR syntax error
        SINTERCARD 1 a LIMIT => -ERR syntax error
        SINTERCARD 1 a LIMIT x => -ERR LIMIT can't be negative
        SINTERCARD 1 a LIMIT -1 => -ERR LIMIT can't be negative
        SINTERCARD 1 a LIMIT 1 NOPE => -ERR syntax error
        SSCAN none x => -ERR invalid cursor
        SSCAN none 0 NOPE => ["0", []]
        SADD s a => 1
        SSCAN s 0 TYPE set => -ERR syntax error
        SSCAN s 0 COUNT 0 => -ERR syntax error
        COMMAND GETKEYS SINTERCARD 2 a b LIMIT 1 => ["a", "b"]
        COMMAND GETKEYS SMOVE a b c => ["a", "b"]
        COMMAND GETKEYS SUNIONSTORE a b c => ["a", "b", "c"]
        "#,
    );
}

#[test]
fn other_types_are_refused_and_left_alone() {
    let mut server = Server::new();
    server.run(&[b"SET", b"string", b"v"]);
    server.run(&[b"SADD", b"s", b"a"]);
    let commands = [
        "SADD string a",
        "SREM string a",
        "SMEMBERS string",
        "SCARD string",
        "SISMEMBER string a",
        "SMISMEMBER string a",
        "SPOP string",
        "SPOP string 1",
        "SRANDMEMBER string",
        "SRANDMEMBER string 1",
        "SSCAN string 0 NOPE",
        "SINTER s string",
        "SINTER none string",
        "SUNION s string",
        "SDIFF s string",
        "SDIFF none string",
        "SINTERCARD 2 none string",
        "SINTERSTORE s none string",
        "SUNIONSTORE s s string",
        "SDIFFSTORE s s string",
    ];
    for command in commands {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        assert_eq!(
            server.run(&args),
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
            "{command}"
        );
    }
    assert_eq!(server.run(&[b"GET", b"string"]), "\"v\"");
    assert_eq!(server.run(&[b"SMEMBERS", b"s"]), "[\"a\"]");
}

#[test]
fn the_encoding_follows_the_size() {
    let mut server = Server::new();
    let mut run = |line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        server.run(&args)
    };
    for n in 0..512 {
        run(&format!("SADD ints {n}"));
    }
    assert_eq!(run("OBJECT ENCODING ints"), "\"intset\"");
    run("SADD ints 512");
    assert_eq!(run("OBJECT ENCODING ints"), "\"hashtable\"");
    for n in 0..128 {
        run(&format!("SADD names n{n}"));
    }
    assert_eq!(run("OBJECT ENCODING names"), "\"listpack\"");
    run("SADD names n128");
    assert_eq!(run("OBJECT ENCODING names"), "\"hashtable\"");
    run(&format!("SADD long {}", "x".repeat(65)));
    assert_eq!(run("OBJECT ENCODING long"), "\"hashtable\"");
    let many = (0..600).map(|n| format!(" {n}")).collect::<String>();
    run(&format!("SADD at-once{many}"));
    assert_eq!(run("OBJECT ENCODING at-once"), "\"hashtable\"");
    run(&format!("SREM at-once{}", &many[2..]));
    assert_eq!(run("OBJECT ENCODING at-once"), "\"hashtable\"");
    run("SUNIONSTORE small at-once");
    assert_eq!(run("OBJECT ENCODING small"), "\"intset\"");
}

#[test]
fn large_sets_are_scanned_in_portions() {
    let mut server = Server::new();
    for n in 0..1000 {
        server.run(&[b"SADD", b"s", format!("m{n}").as_bytes()]);
    }
    let mut cursor = "0".to_owned();
    let mut found = Vec::new();
    loop {
        let reply = server.run(&[b"SSCAN", b"s", cursor.as_bytes(), b"MATCH", b"m*7", b"COUNT", b"50"]);
        let mut strings = reply.split('"').skip(1).step_by(2).map(str::to_owned);
        cursor = strings.next().expect("a cursor");
        found.extend(strings);
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    let mut all: Vec<String> = (0..1000).filter(|n| n % 10 == 7).map(|n| format!("m{n}")).collect();
    all.sort();
    assert_eq!(found, all);
}
