//! Commands on keys answer what Redis answers.
//!
//! Each line is a command and its reply; `@` sets the log's time in milliseconds.

mod transcript;

use transcript::check;

#[test]
fn keys_come_and_go() {
    check(
        r#"
        EXISTS a b => 0
        SET a 1 => +OK
        RPUSH b x => 1
        EXISTS a b a none => 3
        TOUCH a b a none => 3
        TYPE a => +string
        TYPE b => +list
        TYPE none => +none
        DEL a none a => 1
        UNLINK b none => 1
        EXISTS a b => 0
        DEL => -ERR wrong number of arguments for 'del' command
        "#,
    );
}

#[test]
fn a_deadline_is_shown_in_all_units() {
    check(
        r#"
        @ 1000000
        TTL k => -2
        PTTL k => -2
        EXPIRETIME k => -2
        PEXPIRETIME k => -2
        SET k v => +OK
        TTL k => -1
        PTTL k => -1
        EXPIRETIME k => -1
        PEXPIRETIME k => -1
        EXPIRE k 100 => 1
        TTL k => 100
        PTTL k => 100000
        EXPIRETIME k => 1100
        PEXPIRETIME k => 1100000
        @ 1000501
        TTL k => 99
        @ 1000500
        PEXPIRE k 1499 => 1
        TTL k => 1
        PEXPIRE k 1500 => 1
        TTL k => 2
        PERSIST k => 1
        PERSIST k => 0
        PERSIST none => 0
        TTL k => -1
        EXPIREAT k 2000 => 1
        PTTL k => 999499
        PEXPIREAT k 2000001 => 1
        PEXPIRETIME k => 2000001
        EXPIRETIME k => 2000
        "#,
    );
}

#[test]
fn a_key_ends_at_its_deadline() {
    check(
        r#"
        @ 1000000
        SET k v PX 100 => +OK
        @ 1000099
        GET k => "v"
        @ 1000100
        GET k => nil
        EXISTS k => 0
        DBSIZE => 0
        TTL k => -2
        EXPIRE k 100 => 0
        PERSIST k => 0
        RENAME k other => -ERR no such key
        SET k w KEEPTTL => +OK
        TTL k => -1
        EXPIRE k 0 => 1
        EXISTS k => 0
        SET k v => +OK
        EXPIRE k -5 => 1
        EXISTS k => 0
        SET k v => +OK
        PEXPIREAT k 1000 => 1
        EXISTS k => 0
        "#,
    );
}

#[test]
fn conditions_of_expire() {
    check(
        r#"
        SET k v => +OK
        EXPIRE k 100 XX => 0
        EXPIRE k 100 GT => 0
        TTL k => -1
        EXPIRE k 100 LT => 1
        EXPIRE k 100 NX => 0
        EXPIRE k 50 GT => 0
        EXPIRE k 100 gt => 0
        EXPIRE k 150 GT => 1
        EXPIRE k 150 LT => 0
        EXPIRE k 120 LT => 1
        EXPIRE k 130 XX => 1
        EXPIRE k 140 XX GT => 1
        EXPIRE k 130 XX GT => 0
        TTL k => 140
        PERSIST k => 1
        EXPIRE k 10 NX => 1
        EXPIRE k 10 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 10 NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 10 GT LT => -ERR GT and LT options at the same time are not compatible
        EXPIRE k 10 MAYBE => -ERR Unsupported option MAYBE
        EXPIRE k ten => -ERR value is not an integer or out of range
        EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
        EXPIRE k -9223372036854775808 => -ERR invalid expire time in 'expire' command
        PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command
        EXPIREAT k 9223372036854775807 => -ERR invalid expire time in 'expireat' command
        EXPIRE none 10 => 0
        "#,
    );
}

#[test]
fn rename_takes_the_deadline_along() {
    check(
        r#"
        @ 1000000
        SET a 1 PX 500 => +OK
        SET b 2 PX 900 => +OK
        RENAME a b => +OK
        GET b => "1"
        PTTL b => 500
        EXISTS a => 0
        RENAME a b => -ERR no such key
        RENAME b b => +OK
        RENAMENX a b => -ERR no such key
        SET c 3 => +OK
        RENAMENX b c => 0
        RENAMENX c c => 0
        RENAMENX b d => 1
        PTTL d => 500
        RENAME c d => +OK
        PTTL d => -1
        "#,
    );
}

#[test]
fn copy_leaves_the_source() {
    check(
        r#"
        @ 1000000
        COPY a b => 0
        SET a 1 PX 500 => +OK
        COPY a b => 1
        PTTL b => 500
        APPEND b 2 => 2
        GET a => "1"
        COPY a b => 0
        COPY a b REPLACE => 1
        GET b => "1"
        COPY a a => -ERR source and destination objects are the same
        COPY a a DB 1 => 1
        COPY a a DB 1 => 0
        COPY a b DB 99 => -ERR DB index is out of range
        COPY a b DB x => -ERR value is not an integer or out of range
        COPY a b DB => -ERR syntax error
        COPY a b WHATEVER => -ERR syntax error
        RPUSH l x y => 2
        COPY l m => 1
        RPUSH m z => 3
        LRANGE l 0 -1 => ["x", "y"]
        LRANGE m 0 -1 => ["x", "y", "z"]
        "#,
    );
}

#[test]
fn object_tells_of_a_value() {
    check(
        r#"
        OBJECT ENCODING none => nil
        OBJECT REFCOUNT none => nil
        OBJECT IDLETIME none => nil
        OBJECT FREQ none => nil
        SET n 12 => +OK
        SET s abc => +OK
        RPUSH l a => 1
        OBJECT ENCODING n => "int"
        OBJECT ENCODING s => "embstr"
        OBJECT ENCODING l => "listpack"
        OBJECT REFCOUNT s => 1
        OBJECT REFCOUNT n => 2147483647
        OBJECT IDLETIME s => 0
        OBJECT FREQ s => -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        OBJECT NOPE s => -ERR unknown subcommand 'NOPE'. Try OBJECT HELP.
        OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command
        "#,
    );
}

#[test]
fn connection_commands_within_the_log() {
    check(
        r#"
        @ 1234567
        PING => +PONG
        PING hi => "hi"
        PING a b => -ERR wrong number of arguments for 'ping' command
        ECHO hi => "hi"
        TIME => ["1234", "567000"]
        SELECT 3 => +OK
        SELECT 16 => -ERR DB index is out of range
        SELECT -1 => -ERR DB index is out of range
        SELECT x => -ERR value is not an integer or out of range
        "#,
    );
}
