//! Commands on streams answer what Redis answers.
//!
//! Each line is a command and its reply. The log's time begins at 1000000 ms.

mod transcript;

use transcript::{Server, check};

#[test]
fn entries_get_ids_by_the_time() {
    check(
        r#"
        XADD s * a 1 => "1000000-0"
        XADD s * a 2 => "1000000-1"
        @ 1000005
        XADD s * a 3 => "1000005-0"
        XADD s 1000005-* a 4 => "1000005-1"
        XADD s 1000007-* a 5 => "1000007-0"
        XADD s 1000008 a 6 => "1000008-0"
        XADD s * a 7 => "1000008-1"
        XADD s 1000008-1 a 8 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD s 1000007-* a 8 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD s 0-0 a 8 => -ERR The ID specified in XADD must be greater than 0-0
        XADD s 0 a 8 => -ERR The ID specified in XADD must be greater than 0-0
        XADD s - a 8 => -ERR Invalid stream ID specified as stream command argument
        XADD s * a => -ERR wrong number of arguments for 'xadd' command
        XADD s * a 1 b => -ERR wrong number of arguments for 'xadd' command
        XADD none NOMKSTREAM * a 1 => nil
        EXISTS none => 0
        XLEN s => 7
        XADD t 0-* a 1 => "0-1"
        XADD t 18446744073709551615-18446744073709551615 a 1 => "18446744073709551615-18446744073709551615"
        XADD t * a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items
        XADD t 7-* a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items
        TYPE s => +stream
        OBJECT ENCODING s => "stream"
        "#,
    );
}

#[test]
fn ranges_go_both_ways() {
    check(
        r#"
        XADD s 1-1 a 1 b 2 => "1-1"
        XADD s 1-2 a x => "1-2"
        XADD s 3-0 a 007 => "3-0"
        XRANGE s - + => [["1-1", ["a", "1", "b", "2"]], ["1-2", ["a", "x"]], ["3-0", ["a", "007"]]]
        XREVRANGE s + - COUNT 1 => [["3-0", ["a", "007"]]]
        XRANGE s 1 1 => [["1-1", ["a", "1", "b", "2"]], ["1-2", ["a", "x"]]]
        XRANGE s (1-1 (3-0 => [["1-2", ["a", "x"]]]
        XREVRANGE s (3 2 => [["3-0", ["a", "007"]]]
        XREVRANGE s (3-0 2 => []
        XRANGE s 3 1 => []
        XRANGE s - + COUNT 0 => nil-array
        XRANGE s - + COUNT -5 => nil-array
        XRANGE none - + COUNT 0 => []
        XRANGE s (- + => -ERR Invalid stream ID specified as stream command argument
        XRANGE s (18446744073709551615-18446744073709551615 + => -ERR invalid start ID for the interval
        XRANGE s - (0-0 => -ERR invalid end ID for the interval
        XRANGE s - + COUNT => -ERR syntax error
        XRANGE s - + COUNT x => -ERR value is not an integer or out of range
        SET k v => +OK
        XRANGE k - + => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn trimming_and_deleting() {
    check(
        r#"
        XADD s 1 a 1 => "1-0"
        XADD s 2 a 1 => "2-0"
        XADD s MAXLEN 2 3 a 1 => "3-0"
        XADD s MAXLEN = 2 4 a 1 => "4-0"
        XLEN s => 2
        XADD s MINID 4 5 a 1 => "5-0"
        XTRIM s MAXLEN ~ 1 => 0
        XTRIM s MAXLEN 1 => 1
        XTRIM s MINID 5 => 0
        XDEL s 5 5 9 => 1
        XDEL s 5 => 0
        XDEL none x => 0
        XDEL s x => -ERR Invalid stream ID specified as stream command argument
        EXISTS s => 1
        XLEN s => 0
        XADD s 5 a 1 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XTRIM s => -ERR wrong number of arguments for 'xtrim' command
        XTRIM s MAXLEN -1 => -ERR The MAXLEN argument must be >= 0.
        XTRIM s MAXLEN 1 MINID 1 => -ERR syntax error, MAXLEN and MINID options at the same time are not compatible
        XTRIM s MAXLEN 1 LIMIT 3 => -ERR syntax error, LIMIT cannot be used without the special ~ option
        XTRIM s LIMIT 3 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
        XTRIM s MAXLEN ~ 1 LIMIT -1 => -ERR The LIMIT argument must be >= 0.
        XTRIM s what 1 => -ERR syntax error
        XSETID s 3 => -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
        XSETID s 9-1 ENTRIESADDED 20 MAXDELETEDID 6 => +OK
        XSETID none 1 => -ERR no such key
        XADD s 9-* a 1 => "9-2"
        XSETID s 9-1 => -ERR The ID specified in XSETID is smaller than the target stream top item
        XSETID s 9-2 ENTRIESADDED 0 => -ERR The entries_added specified in XSETID is smaller than the target stream length
        XINFO STREAM s => ["length", 1, "radix-tree-keys", 1, "radix-tree-nodes", 2, "last-generated-id", "9-2", "max-deleted-entry-id", "6-0", "entries-added", 21, "recorded-first-entry-id", "9-2", "groups", 0, "first-entry", ["9-2", ["a", "1"]], "last-entry", ["9-2", ["a", "1"]]]
        "#,
    );
}

#[test]
fn approximate_trimming_leaves_whole_nodes() {
    let mut server = Server::new();
    for i in 1..=1000 {
        server.run(&[b"XADD", b"s", i.to_string().as_bytes(), b"f", b"v"]);
    }
    assert_eq!(server.run(&[b"XTRIM", b"s", b"MAXLEN", b"~", b"550"]), "400");
    assert_eq!(server.run(&[b"XTRIM", b"s", b"MAXLEN", b"~", b"0", b"LIMIT", b"99"]), "0");
    assert_eq!(server.run(&[b"XTRIM", b"s", b"MINID", b"~", b"750", b"LIMIT", b"250"]), "200");
    assert_eq!(server.run(&[b"XLEN", b"s"]), "400");
}

#[test]
fn reading_several_streams() {
    check(
        r#"
        XADD a 1 f v => "1-0"
        XADD b 1 f v => "1-0"
        XADD b 2 f v => "2-0"
        XREAD STREAMS a b 0 1 => [["a", [["1-0", ["f", "v"]]]], ["b", [["2-0", ["f", "v"]]]]]
        XREAD COUNT 1 STREAMS a b none 1 0 0 => [["b", [["1-0", ["f", "v"]]]]]
        XREAD STREAMS a b $ 2 => nil-array
        XREAD BLOCK 1 STREAMS a b $ 1 => [["b", [["2-0", ["f", "v"]]]]]
        XREAD STREAMS a b 0 => -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.
        XREAD STREAMS a > => -ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.
        XREAD STREAMS a + => -ERR Invalid stream ID specified as stream command argument
        XREAD COUNT 1 BLOCK 0 => -ERR syntax error
        XREAD BLOCK -1 STREAMS a 0 => -ERR timeout is negative
        XREAD BLOCK x STREAMS a 0 => -ERR timeout is not an integer or out of range
        XREAD BLOCK 9223372036854775807 STREAMS a 0 => -ERR timeout is out of range
        XREAD NOACK STREAMS a 0 => -ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.
        SET k v => +OK
        XREAD STREAMS a k 0 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        COMMAND GETKEYS XREAD COUNT 2 STREAMS a b 0 0 => ["a", "b"]
        HELLO 3
        XREAD STREAMS a b 0 1 => {"a": [["1-0", ["f", "v"]]], "b": [["2-0", ["f", "v"]]]}
        XREAD STREAMS a $ => nil
        "#,
    );
}

#[test]
fn a_group_shares_the_entries() {
    check(
        r#"
        XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
        XGROUP CREATE s g $ MKSTREAM => +OK
        XGROUP CREATE s g $ MKSTREAM => -BUSYGROUP Consumer Group name already exists
        XGROUP CREATE s h 0 ENTRIESREAD -2 => -ERR value for ENTRIESREAD must be positive or -1
        XADD s 1 f 1 => "1-0"
        XADD s 2 f 2 => "2-0"
        XADD s 3 f 3 => "3-0"
        XREADGROUP GROUP g alice COUNT 2 STREAMS s > => [["s", [["1-0", ["f", "1"]], ["2-0", ["f", "2"]]]]]
        XREADGROUP GROUP g bob STREAMS s > => [["s", [["3-0", ["f", "3"]]]]]
        XREADGROUP GROUP g bob STREAMS s > => nil-array
        XREADGROUP GROUP g carol STREAMS s 0 => [["s", []]]
        XINFO GROUPS s => [["name", "g", "consumers", 3, "pending", 3, "last-delivered-id", "3-0", "entries-read", 3, "lag", 0]]
        XPENDING s g => [3, "1-0", "3-0", [["alice", "2"], ["bob", "1"]]]
        XDEL s 2 => 1
        @ 1000100
        XREADGROUP GROUP g alice STREAMS s 0 => [["s", [["1-0", ["f", "1"]], ["2-0", nil-array]]]]
        XPENDING s g - + 10 => [["1-0", "alice", 0, 2], ["2-0", "alice", 100, 1], ["3-0", "bob", 100, 1]]
        XPENDING s g IDLE 50 - + 10 bob => [["3-0", "bob", 100, 1]]
        XPENDING s g - + 10 nobody => []
        XPENDING s g - + => -ERR syntax error
        XPENDING s nope => -NOGROUP No such key 's' or consumer group 'nope'
        XACK s g 1 1 9 => 1
        XACK s nope x => 0
        XACK s g x => -ERR Invalid stream ID specified as stream command argument
        XINFO CONSUMERS s g => [["name", "alice", "pending", 1, "idle", 0, "inactive", 100], ["name", "bob", "pending", 1, "idle", 100, "inactive", 100], ["name", "carol", "pending", 0, "idle", 100, "inactive", -1]]
        XGROUP DELCONSUMER s g alice => 1
        XGROUP DELCONSUMER s g alice => 0
        XPENDING s g => [1, "3-0", "3-0", [["bob", "1"]]]
        XGROUP SETID s g 0 => +OK
        XREADGROUP GROUP g dave NOACK STREAMS s > => [["s", [["1-0", ["f", "1"]], ["3-0", ["f", "3"]]]]]
        XREADGROUP GROUP nope c STREAMS s > => -NOGROUP No such key 's' or consumer group 'nope' in XREADGROUP with GROUP option
        XREADGROUP GROUP g c STREAMS s s > > 0 => -ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.
        XGROUP CREATECONSUMER s g eve => 1
        XGROUP CREATECONSUMER s g eve => 0
        XGROUP CREATECONSUMER s nope eve => -NOGROUP No such consumer group 'nope' for key name 's'
        XGROUP DESTROY s g => 1
        XGROUP DESTROY s g => 0
        XINFO GROUPS s => []
        XINFO CONSUMERS s g => -NOGROUP No such consumer group 'g' for key name 's'
        XGROUP NOPE s g => -ERR unknown subcommand 'NOPE'. Try XGROUP HELP.
        "#,
    );
}

#[test]
fn entries_change_hands() {
    check(
        r#"
        XGROUP CREATE s g 0 MKSTREAM => +OK
        XADD s 1 f 1 => "1-0"
        XADD s 2 f 2 => "2-0"
        XADD s 3 f 3 => "3-0"
        XREADGROUP GROUP g alice COUNT 2 STREAMS s > => [["s", [["1-0", ["f", "1"]], ["2-0", ["f", "2"]]]]]
        @ 1000500
        XCLAIM s g bob 600 1 => []
        XCLAIM s g bob 500 1 3 => [["1-0", ["f", "1"]]]
        XCLAIM s g bob 0 3 FORCE JUSTID => ["3-0"]
        XCLAIM s g bob 0 3 IDLE 50 RETRYCOUNT 7 LASTID 3 => [["3-0", ["f", "3"]]]
        XPENDING s g - + 10 => [["1-0", "bob", 0, 2], ["2-0", "alice", 500, 1], ["3-0", "bob", 50, 7]]
        XDEL s 2 => 1
        XCLAIM s g bob 0 2 => []
        XPENDING s g => [2, "1-0", "3-0", [["bob", "2"]]]
        XCLAIM s g bob x 2 => -ERR Invalid min-idle-time argument for XCLAIM
        XCLAIM s g bob 0 2 NOPE => -ERR Unrecognized XCLAIM option 'NOPE'
        XCLAIM s nope bob 0 2 => -NOGROUP No such key 's' or consumer group 'nope'
        XDEL s 1 => 1
        XAUTOCLAIM s g carol 0 - COUNT 1 => ["3-0", [], ["1-0"]]
        XAUTOCLAIM s g carol 40 3 JUSTID => ["0-0", ["3-0"], []]
        XAUTOCLAIM s g carol 40 3 => ["0-0", [], []]
        XAUTOCLAIM s g carol 0 0 COUNT 0 => -ERR COUNT must be > 0
        XPENDING s g - + 10 => [["3-0", "carol", 0, 7]]
        XINFO STREAM s FULL => ["length", 1, "radix-tree-keys", 1, "radix-tree-nodes", 2, "last-generated-id", "3-0", "max-deleted-entry-id", "2-0", "entries-added", 3, "recorded-first-entry-id", "3-0", "entries", [["3-0", ["f", "3"]]], "groups", [["name", "g", "last-delivered-id", "3-0", "entries-read", 2, "lag", 1, "pel-count", 1, "pending", [["3-0", "carol", 1000500, 7]], "consumers", [["name", "alice", "seen-time", 1000000, "active-time", 1000000, "pel-count", 0, "pending", []], ["name", "bob", "seen-time", 1000500, "active-time", 1000500, "pel-count", 0, "pending", []], ["name", "carol", "seen-time", 1000500, "active-time", 1000500, "pel-count", 1, "pending", [["3-0", 1000500, 7]]]]]]]
        "#,
    );
}

#[test]
fn streams_are_copied_renamed_and_restored() {
    check(
        r#"
        XADD s 1 f 1 => "1-0"
        XGROUP CREATE s g 0 => +OK
        XREADGROUP GROUP g c STREAMS s > => [["s", [["1-0", ["f", "1"]]]]]
        COPY s t => 1
        XACK t g 1 => 1
        XPENDING s g => [1, "1-0", "1-0", [["c", "1"]]]
        RENAME t u => +OK
        XPENDING u g => [0, nil, nil, nil-array]
        MOVE u 1 => 1
        EXISTS u => 0
        "#,
    );
}

#[test]
fn what_is_dumped_is_restored() {
    let mut server = Server::new();
    server.run(&[b"RPUSH", b"l", b"a", b"1", b"-70000"]);
    let text = server.run(&[b"DUMP", b"l"]);
    assert_eq!(
        server.run(&[b"RESTORE", b"l", b"0", b"x"]),
        "-BUSYKEY Target key name already exists.",
        "the key is looked at first"
    );
    assert!(text.starts_with('"'));
    for (args, expected) in [
        (&[&b"RESTORE"[..], b"m", b"0", b"short"][..], "-ERR DUMP payload version or checksum are wrong"),
        (&[b"RESTORE", b"m", b"-1", b"short"], "-ERR Invalid TTL value, must be >= 0"),
        (&[b"RESTORE", b"m", b"x", b"short"], "-ERR value is not an integer or out of range"),
        (&[b"RESTORE", b"m", b"0", b"short", b"NOPE"], "-ERR syntax error"),
        (
            &[b"RESTORE", b"m", b"0", b"short", b"IDLETIME", b"-1"],
            "-ERR Invalid IDLETIME value, must be >= 0",
        ),
        (
            &[b"RESTORE", b"m", b"0", b"short", b"FREQ", b"256"],
            "-ERR Invalid FREQ value, must be >= 0 and <= 255",
        ),
        (&[b"RESTORE", b"m", b"0", b"short", b"FREQ", b"1", b"IDLETIME", b"1"], "-ERR syntax error"),
    ] {
        assert_eq!(server.run(args), expected);
    }
    // `SET k hello`, as redis-server 7.0.15 dumps it.
    let hello = b"\x00\x05hello\x0a\x00cr\xdfve4\x20\x0a";
    assert_eq!(server.run(&[b"RESTORE", b"k", b"500", hello, b"REPLACE"]), "+OK");
    assert_eq!(server.run(&[b"GET", b"k"]), "\"hello\"");
    assert_eq!(server.run(&[b"PTTL", b"k"]), "500");
    assert_eq!(server.run(&[b"RESTORE", b"k", b"999999", hello, b"REPLACE", b"ABSTTL"]), "+OK");
    assert_eq!(server.run(&[b"EXISTS", b"k"]), "0");
}
