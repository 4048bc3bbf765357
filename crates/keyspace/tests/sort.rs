//! SORT answers what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::check;

#[test]
fn numbers_and_words() {
    check(
        r#"
        RPUSH l 3 1 10 2 1 => 5
        SORT l => ["1", "1", "2", "3", "10"]
        SORT l DESC => ["10", "3", "2", "1", "1"]
        SORT l ALPHA => ["1", "1", "10", "2", "3"]
        SORT l LIMIT 1 2 => ["1", "2"]
        SORT l LIMIT -5 2 => ["1", "1"]
        SORT l LIMIT 9 2 => []
        SORT l LIMIT 3 -1 => ["3", "10"]
        SORT_RO l DESC ALPHA LIMIT 0 1 => ["3"]
        SORT none => []
        SADD s b a c => 3
        SORT s => -ERR One or more scores can't be converted into double
        SORT s ALPHA DESC => ["c", "b", "a"]
        ZADD z 3 1.5 2 -2 1 1e2 => 3
        SORT z => ["-2", "1.5", "1e2"]
        RPUSH inf inf -inf 0x10 => 3
        SORT inf => ["-inf", "0x10", "inf"]
        RPUSH huge 1e999 1 => 2
        SORT huge => -ERR One or more scores can't be converted into double
        "#,
    );
}

#[test]
fn by_and_get() {
    check(
        r#"
        RPUSH l 1 2 3 4 => 4
        MSET w_1 30 w_2 20 w_3 10 o_1 one o_2 two => +OK
        HSET h_1 f 5 n x => 2
        HSET h_2 f 1 => 1
        SORT l BY w_* => ["4", "3", "2", "1"]
        SORT l BY w_* DESC GET # GET o_* => ["1", "one", "2", "two", "3", nil, "4", nil]
        SORT l BY h_*->f GET h_*->n GET # => [nil, "3", nil, "4", nil, "2", "x", "1"]
        SORT l BY o_* ALPHA => ["3", "4", "1", "2"]
        SORT l BY o_* => -ERR One or more scores can't be converted into double
        SORT l BY nosort DESC LIMIT 1 2 => ["3", "2"]
        SORT l BY nosort GET constant LIMIT 0 1 => [nil]
        ZADD z 3 c 1 a 2 b => 3
        SORT z BY nosort => ["a", "b", "c"]
        SORT z BY nosort DESC LIMIT 0 2 => ["c", "b"]
        SORT l BY h_* => ["1", "2", "3", "4"]
        SORT l GET h_*-> => [nil, nil, nil, nil]
        SORT l GET w_*->f LIMIT 0 1 => [nil]
        "#,
    );
}

#[test]
fn stored() {
    check(
        r#"
        RPUSH l 2 1 => 2
        SET w_1 x EX 100 => +OK
        SORT l STORE w_1 => 2
        TTL w_1 => -1
        LRANGE w_1 0 -1 => ["1", "2"]
        SORT l GET none_* GET # STORE d => 4
        LRANGE d 0 -1 => ["", "1", "", "2"]
        SORT l STORE l => 2
        LRANGE l 0 -1 => ["1", "2"]
        SORT none STORE d => 0
        EXISTS d => 0
        SADD s 10 9 b => 3
        SORT s BY nosort STORE d => 3
        LRANGE d 0 -1 => ["10", "9", "b"]
        SORT s STORE d => -ERR One or more scores can't be converted into double
        LLEN d => 3
        COMMAND GETKEYS SORT a GET store LIMIT 1 2 STORE b STORE c => ["a", "c"]
        COMMAND GETKEYS SORT a BY store => ["a"]
        "#,
    );
}

#[test]
fn wrong_sorts() {
    check(
        r#"
        SET t x => +OK
        SORT t => -WRONGTYPE Operation against a key holding the wrong kind of value
        SORT t STORE t => -WRONGTYPE Operation against a key holding the wrong kind of value
        SORT l LIMIT 1 => -ERR syntax error
        SORT l LIMIT a 1 => -ERR value is not an integer or out of range
        SORT l BY => -ERR syntax error
        SORT l UP => -ERR syntax error
        SORT_RO l STORE d => -ERR syntax error
        COMMAND INFO sort_ro => [["sort_ro", -2, [+readonly, +movablekeys], 1, 1, 1, [+@read, +@set, +@sortedset, +@list, +@slow, +@dangerous], [], [["flags", [+RO, +access], "begin_search", ["type", "index", "spec", ["index", 1]], "find_keys", ["type", "range", "spec", ["lastkey", 0, "keystep", 1, "limit", 0]]], ["flags", [+RO, +access], "begin_search", ["type", "unknown", "spec", []], "find_keys", ["type", "unknown", "spec", []]]], []]]
        "#,
    );
}
