//! Keyspace notifications: which events commands tell, of which keys, in which order (R18).

mod replica;
#[allow(dead_code, reason = "this test uses a part of it")]
mod waiting;

use quorate_keyspace::{Events, Interest, Keyspace, News};
use replica::Replica;
use waiting::Pair;

const ALL: &str = "KEAn";

/// Has a keyspace tell the classes of a value of `notify-keyspace-events`.
fn listen(r: &mut Replica, classes: &str) {
    assert_eq!(
        r.run_args(0, &[b"\0directory.set", b"config.notify-keyspace-events", classes.as_bytes()]),
        "+OK"
    );
    r.keyspace.set_interest(Interest { messages: true, keys: false });
}

fn listener() -> Replica {
    let mut r = Replica::new(1);
    listen(&mut r, ALL);
    r
}

/// What was told since the last call: `event key` or, in a database other than 0, `event key@db`; `-` is nothing.
fn told(keyspace: &mut Keyspace) -> String {
    let describe = |news: News| match news {
        News::Event { db, event, key, .. } => {
            let key = String::from_utf8_lossy(&key).into_owned();
            if db == 0 { format!("{event} {key}") } else { format!("{event} {key}@{db}") }
        }
        other => panic!("{other:?}"),
    };
    let all: Vec<String> = keyspace.take_news().into_iter().map(describe).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// Runs `command => what it tells` on each line; a line of its own is an error, which tells nothing.
fn check(r: &mut Replica, transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or((line, "-"));
        let reply = r.run(0, command);
        assert_eq!(told(&mut r.keyspace), expected, "{command}: {reply}");
        let is_error = reply.starts_with('-') && reply.contains(' ');
        assert_eq!(is_error, !line.contains(" => "), "{command}: {reply}");
    }
}

#[test]
fn strings() {
    check(
        &mut listener(),
        "SET a 1 => new a, set a
         SET a 2 => set a
         SET a 2 EX
         SET a 2 EX 100 => set a, expire a
         SET a 2 KEEPTTL => set a
         SET a 2 NX => -
         SET none 2 XX => -
         SET a 3 GET => set a
         SET a 4 PXAT 1 => set a, expire a, expired a
         SET a 5 PXAT 1 => new a, set a, expire a, expired a
         GET a => -
         SETNX a 1 => new a, set a
         SETNX a 1 => -
         SETEX a 100 v => set a, expire a
         PSETEX b 100000 v => new b, set b, expire b
         GETSET a w => set a
         GETEX a => -
         GETEX a PERSIST => -
         GETEX a EX 100 => expire a
         GETEX a PERSIST => persist a
         GETEX a PXAT 1 => del a
         GETEX a EX 100 => -
         GETDEL b => del b
         GETDEL b => -
         MSET a 1 b 2 a 3 => new a, set a, new b, set b, set a
         MSETNX a 1 c 2 => -
         MSETNX c 1 d 2 => new c, set c, new d, set d
         APPEND a x => append a
         APPEND e x => new e, append e
         SETRANGE a 1 y => setrange a
         SETRANGE f 3 y => new f, setrange f
         INCR n => new n, incrby n
         INCR n => incrby n
         DECR n => incrby n
         INCRBY n 0 => incrby n
         DECRBY n 5 => incrby n
         INCR f
         INCRBYFLOAT n 0.5 => incrbyfloat n
         STRLEN n => -",
    );
}

#[test]
fn what_adds_no_byte_to_a_string() {
    let mut r = listener();
    assert_eq!(r.run_args(0, &[b"SETRANGE", b"a", b"0", b""]), "0");
    assert_eq!(told(&mut r.keyspace), "-");
    assert_eq!(r.run_args(0, &[b"APPEND", b"a", b""]), "0");
    assert_eq!(told(&mut r.keyspace), "new a, append a");
    assert_eq!(r.run_args(0, &[b"APPEND", b"a", b""]), "0");
    assert_eq!(told(&mut r.keyspace), "append a");
}

#[test]
fn bits_and_hyperloglogs() {
    check(
        &mut listener(),
        "SETBIT a 7 0 => new a, setbit a
         SETBIT a 7 0 => -
         SETBIT a 7 1 => setbit a
         SETBIT a 8 0 => setbit a
         BITFIELD a GET u8 0 => -
         BITFIELD b GET u8 0 => -
         BITFIELD b SET u8 0 0 => new b, setbit b
         BITFIELD b SET u8 0 0 => -
         BITFIELD b INCRBY u8 0 1 => setbit b
         BITFIELD b INCRBY u8 0 1 INCRBY u8 0 -1 => setbit b
         BITFIELD b OVERFLOW FAIL SET u8 0 300 => -
         BITFIELD c OVERFLOW FAIL SET u8 0 300 => new c
         BITFIELD c OVERFLOW FAIL SET u8 8 300 GET u8 0 => -
         BITOP OR d a b => new d, set d
         BITOP AND d a none => set d
         BITOP OR d none => del d
         BITOP OR d none => -
         PFADD h => new h, pfadd h
         PFADD h => -
         PFADD h x => pfadd h
         PFADD h x => -
         PFADD i x y => new i, pfadd i
         PFMERGE h i => pfadd h
         PFMERGE h i => pfadd h
         PFMERGE j => new j, pfadd j
         PFCOUNT h i => -",
    );
}

#[test]
fn lists() {
    check(
        &mut listener(),
        "LPUSHX l a => -
         RPUSH l a b c => new l, rpush l
         LPUSH l a => lpush l
         LPUSHX l a => lpush l
         RPUSHX l a => rpush l
         LINSERT l BEFORE none x => -
         LINSERT l AFTER b x => linsert l
         LSET l 0 y => lset l
         LSET l 100 y
         LREM l 0 none => -
         LREM l 0 a => lrem l
         LRANGE l 0 -1 => -
         LPOP l 0 => -
         LPOP l => lpop l
         RPOP l 2 => rpop l
         LTRIM l 0 -1 => ltrim l
         LTRIM l 5 6 => ltrim l, del l
         LTRIM l 0 1 => -
         LPOP l => -
         RPUSH l a a => new l, rpush l
         LREM l 0 a => lrem l, del l
         RPUSH l a b => new l, rpush l
         LPOP l 5 => lpop l, del l
         RPUSH l a b => new l, rpush l
         LMOVE l m LEFT RIGHT => new m, rpush m, lpop l
         RPOPLPUSH l m => lpush m, rpop l, del l
         RPOPLPUSH l m => -
         LMOVE m m LEFT LEFT => lpush m, lpop m
         LPOP m => lpop m
         RPOPLPUSH m m => lpush m, rpop m
         LMPOP 2 l m RIGHT COUNT 5 => rpop m, del m
         LMPOP 2 l m RIGHT COUNT 5 => -
         RPUSH l 3 1 2 => new l, rpush l
         BLPOP none l 0 => lpop l
         BRPOP none l 0 => rpop l
         BLMOVE l m LEFT LEFT 0 => new m, lpush m, lpop l, del l
         BLMPOP 0 1 m LEFT => lpop m, del m
         RPUSH l 3 1 2 => new l, rpush l
         SORT l => -
         SORT l STORE s => new s, sortstore s
         SORT l LIMIT 0 1 STORE s => sortstore s
         SORT none STORE s => del s
         SORT none STORE s => -",
    );
}

#[test]
fn sets() {
    check(
        &mut listener(),
        "SADD s a b a => new s, sadd s
         SADD s a => -
         SADD s a c => sadd s
         SREM s none => -
         SREM s a none => srem s
         SMOVE s t none => -
         SMOVE s s b => -
         SMOVE s t b => srem s, new t, sadd t
         SADD t c => sadd t
         SMOVE s t c => srem s, del s
         SADD s a b c => new s, sadd s
         SINTERSTORE d s t => new d, sinterstore d
         SUNIONSTORE d s t => sunionstore d
         SDIFFSTORE d s t => sdiffstore d
         SINTERSTORE d s none => del d
         SDIFFSTORE d none => -
         SPOP s 0 => -
         SPOP s => spop s
         SPOP s 1 => spop s
         SPOP s => spop s, del s
         SPOP t 10 => spop t, del t
         SPOP t => -
         SADD s a => new s, sadd s
         SREM s a => srem s, del s",
    );
}

#[test]
fn hashes() {
    check(
        &mut listener(),
        "HSET h a 1 b 2 => new h, hset h
         HSET h a 1 => hset h
         HMSET h a 1 => hset h
         HSETNX h a 2 => -
         HSETNX h c 2 => hset h
         HINCRBY h c 0 => hincrby h
         HINCRBY i c 1 => new i, hincrby i
         HINCRBYFLOAT h c 0.5 => hincrbyfloat h
         HINCRBY h c 1
         HDEL h none => -
         HDEL h a none => hdel h
         HDEL h b c => hdel h, del h
         HDEL h b c => -
         HGETALL i => -",
    );
}

#[test]
fn sorted_sets() {
    check(
        &mut listener(),
        "ZADD z XX 1 a => -
         ZADD z 1 a 2 b => new z, zadd z
         ZADD z 1 a => -
         ZADD z CH 3 a => zadd z
         ZADD z NX 4 a => -
         ZADD z INCR 1 a => zincr z
         ZADD z INCR 0 a => -
         ZADD z NX INCR 1 a => -
         ZINCRBY z 0 a => -
         ZINCRBY z 0 c => zincr z
         ZREM z none => -
         ZREM z a none => zrem z
         ZPOPMIN z 0 => -
         ZPOPMIN z => zpopmin z
         ZPOPMAX z 5 => zpopmax z, del z
         ZPOPMAX z 5 => -
         ZADD z 1 a 2 b 3 c 4 d => new z, zadd z
         ZREMRANGEBYRANK z 0 0 => zremrangebyrank z
         ZREMRANGEBYSCORE z 9 9 => -
         ZREMRANGEBYSCORE z 2 2 => zremrangebyscore z
         ZADD y 0 a 0 b => new y, zadd y
         ZREMRANGEBYLEX y [a [a => zremrangebylex y
         ZREMRANGEBYLEX y - + => zremrangebylex y, del y
         ZRANGESTORE d z 0 -1 => new d, zrangestore d
         ZUNIONSTORE d 2 z d => zunionstore d
         ZINTERSTORE d 2 z d => zinterstore d
         ZDIFFSTORE d 1 z => zdiffstore d
         ZDIFFSTORE d 1 none => del d
         ZRANGESTORE d none 0 -1 => -
         ZMPOP 2 none z MAX => zpopmax z
         BZPOPMIN none z 0 => zpopmin z, del z
         ZADD z 1 a 2 b 3 c => new z, zadd z
         BZPOPMAX z 0 => zpopmax z
         BZMPOP 0 1 z MIN COUNT 5 => zpopmin z, del z
         ZMPOP 1 z MIN => -
         ZADD z 1 a => new z, zadd z
         ZREM z a => zrem z, del z
         GEOADD g 1 1 a 2 2 b => new g, zadd g
         GEOADD g 1 1 a => -
         GEORADIUS g 1 1 10 km => -
         GEORADIUS g 1 1 10 km STORE r => new r, georadiusstore r
         GEORADIUSBYMEMBER g a 10 km STOREDIST r => georadiusstore r
         GEOSEARCHSTORE r g FROMMEMBER a BYRADIUS 10 km => geosearchstore r
         GEOSEARCHSTORE r g FROMLONLAT 50 50 BYRADIUS 10 km => del r
         GEORADIUS none 1 1 10 km STORE r => -",
    );
}

#[test]
fn streams() {
    check(
        &mut listener(),
        "XADD s NOMKSTREAM 1-1 f v => -
         XADD s 1-1 f v => new s, xadd s
         XADD s 1-1 f v
         XADD s MAXLEN 5 1-2 f v => xadd s
         XADD s MAXLEN 1 1-3 f v => xadd s, xtrim s
         XADD s MAXLEN 0 1-4 f v => xadd s, xtrim s
         XTRIM s MAXLEN 0 => -
         XADD s 2-1 f v => xadd s
         XADD s 2-2 f v => xadd s
         XTRIM s MAXLEN 1 => xtrim s
         XDEL s 2-1 => -
         XDEL s 2-2 => xdel s
         XSETID s 3-1 => xsetid s
         XGROUP CREATE none g 0
         XGROUP CREATE t g 0 MKSTREAM => new t, xgroup-create t
         XGROUP CREATE s g 0 => xgroup-create s
         XGROUP CREATE s g 0
         XGROUP SETID s g 0 => xgroup-setid s
         XGROUP CREATECONSUMER s g a => xgroup-createconsumer s
         XGROUP CREATECONSUMER s g a => -
         XREADGROUP GROUP g b STREAMS s t > > => xgroup-createconsumer s, xgroup-createconsumer t
         XREADGROUP GROUP g b STREAMS s > => -
         XADD s 4-1 f v => xadd s
         XREADGROUP GROUP g b STREAMS s > => -
         XREADGROUP GROUP g c STREAMS s 0 => xgroup-createconsumer s
         XCLAIM s g b 0 4-1 => -
         XCLAIM s g d 0 4-1 => xgroup-createconsumer s
         XCLAIM s g e 100000 4-1 => xgroup-createconsumer s
         XAUTOCLAIM s g f 0 0 => xgroup-createconsumer s
         XAUTOCLAIM s g f 0 0 => -
         XACK s g 4-1 => -
         XGROUP DELCONSUMER s g f => xgroup-delconsumer s
         XGROUP DELCONSUMER s g f => -
         XGROUP DESTROY s g => xgroup-destroy s
         XGROUP DESTROY s g => -
         XRANGE s - + => -",
    );
}

#[test]
fn keys() {
    let mut r = listener();
    check(
        &mut r,
        "MSET a 1 b 2 => new a, set a, new b, set b
         EXPIRE none 100 => -
         EXPIRE a 100 => expire a
         EXPIRE a 100 NX => -
         PEXPIRE a 100000 => expire a
         EXPIREAT a 1 => del a
         PERSIST b => -
         PEXPIREAT b 99999999999999 => expire b
         PERSIST b => persist b
         EXPIRE b -1 => del b
         MSET a 1 b 2 c 3 => new a, set a, new b, set b, new c, set c
         DEL none a none => del a
         UNLINK b c => del b, del c
         SET a 1 => new a, set a
         RENAME a a => -
         RENAME a b => new b, rename_from a, rename_to b
         SET a 1 => new a, set a
         RENAMENX a b => -
         RENAME a b => new b, rename_from a, rename_to b
         RENAMENX b a => new a, rename_from b, rename_to a
         RENAME none a
         COPY a b => new b, copy_to b
         COPY a b => -
         COPY a b REPLACE => new b, copy_to b
         COPY a c DB 3 => new c@3, copy_to c@3
         MOVE a 3 => new a@3, move_from a, move_to a@3
         MOVE none 3 => -
         FLUSHDB => -
         SWAPDB 0 3 => -
         FLUSHALL => -
         TOUCH a => -",
    );
    // A small integer as DUMP writes it.
    r.run(0, "SET a 1");
    let payload = dump_of_one(&mut r);
    let steps: [(&[&[u8]], &str); 4] = [
        (&[b"RESTORE", b"b", b"0", &payload], "new b, restore b"),
        (&[b"RESTORE", b"b", b"100000", &payload, b"REPLACE"], "new b, restore b"),
        (&[b"RESTORE", b"b", b"1", &payload, b"REPLACE", b"ABSTTL"], "del b"),
        (&[b"RESTORE", b"b", b"1", &payload, b"ABSTTL"], "-"),
    ];
    for (args, expected) in steps {
        assert_eq!(r.run_args(0, args), "+OK");
        assert_eq!(told(&mut r.keyspace), expected);
    }
    assert!(r.run_args(0, &[b"RESTORE", b"a", b"0", &payload]).starts_with("-BUSYKEY"));
    assert_eq!(told(&mut r.keyspace), "-");
}

/// What DUMP answers for key `a`.
fn dump_of_one(r: &mut Replica) -> Vec<u8> {
    use quorate_keyspace::{ReadOutcome, Reply};
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, quorate_resp::Protocol::Resp2);
    let outcome = r.keyspace.read(0, &[b"DUMP", b"a"], r.time_ms, 1, &mut reply);
    assert!(matches!(outcome, ReadOutcome::Done));
    told(&mut r.keyspace);
    let head = out.iter().position(|&byte| byte == b'\n').expect("a length") + 1;
    out[head..out.len() - 2].to_vec()
}

#[test]
fn keys_that_expire() {
    let mut r = listener();
    check(
        &mut r,
        "SET a 1 PX 100 => new a, set a, expire a
         SET b 1 PX 50 => new b, set b, expire b
         HSET h f v => new h, hset h
         PEXPIRE h 70 => expire h",
    );
    r.time_ms += 100;
    check(&mut r, "SET c 1 => expired b, expired h, expired a, new c, set c");
}

#[test]
fn a_key_that_is_past_its_deadline_when_it_is_written_expires_before() {
    let mut r = listener();
    let more_than_one_entry_reclaims = 1500;
    for i in 0..more_than_one_entry_reclaims {
        r.run(0, &format!("SET k{i} v PX {}", 100 + i));
    }
    r.run(0, "SET last v PX 90000");
    told(&mut r.keyspace);
    r.time_ms += 100_000;
    r.run(0, "RPUSH last x");
    let all = told(&mut r.keyspace);
    assert!(all.ends_with("expired last, new last, rpush last"), "{all}");
    assert_eq!(all.matches("expired").count(), 1001);
}

#[test]
fn evicted_keys() {
    let mut r = listener();
    check(
        &mut r,
        "SET a 1 => new a, set a
         \0evict a none => evicted a",
    );
}

#[test]
fn served_commands_tell_as_if_they_had_come_later() {
    let mut p = Pair::new();
    p.raw(&[b"\0directory.set", b"config.notify-keyspace-events", ALL.as_bytes()]);
    p.keyspace.set_interest(Interest { messages: true, keys: false });
    p.run("a", "BLPOP l 0");
    p.run("b", "BLMOVE l m RIGHT LEFT 0");
    p.run("c", "BZPOPMAX z 0");
    assert_eq!(told(&mut p.keyspace), "-");
    p.run("w", "RPUSH l x");
    assert_eq!(told(&mut p.keyspace), "new l, rpush l, lpop l, del l");
    p.run("w", "RPUSH l x y");
    assert_eq!(told(&mut p.keyspace), "new l, rpush l, new m, lpush m, rpop l");
    p.run("w", "EXEC: ZADD z 1 x; ZADD z 2 y");
    assert_eq!(told(&mut p.keyspace), "new z, zadd z, zadd z, zpopmax z");
    p.run("w", "XGROUP CREATE s g $ MKSTREAM");
    assert_eq!(told(&mut p.keyspace), "new s, xgroup-create s");
    p.run("d", "XREADGROUP GROUP g d BLOCK 0 STREAMS s >");
    assert_eq!(told(&mut p.keyspace), "xgroup-createconsumer s", "it waits, and is a consumer already");
    p.run("w", "XGROUP DELCONSUMER s g d");
    assert_eq!(told(&mut p.keyspace), "xgroup-delconsumer s");
    p.run("w", "XADD s 1-1 f v");
    assert_eq!(told(&mut p.keyspace), "xadd s, xgroup-createconsumer s");
}

#[test]
fn transactions_and_scripts_tell_what_their_commands_do() {
    let mut r = listener();
    r.exec(&[], &["SET a 1", "INCR a", "LPUSH a x", "DEL a"]);
    assert_eq!(told(&mut r.keyspace), "new a, set a, incrby a, del a");
    let script =
        b"redis.call('rpush', KEYS[1], 'x'); redis.call('lpop', KEYS[1]); return redis.call('nothing')";
    assert!(r.run_args(0, &[b"EVAL", script, b"1", b"l"]).starts_with('-'));
    assert_eq!(told(&mut r.keyspace), "new l, rpush l, lpop l, del l", "what a script has written stays");
}

#[test]
fn only_the_classes_that_are_asked_for_are_told() {
    let cases = [
        ("", "-"),
        ("A", "-"),
        ("KE", "-"),
        ("Kg", "expire k, del l"),
        ("E$", "set k"),
        ("El", "rpush l, lpop l"),
        ("Kn", "new k, new l"),
        ("KA", "set k, expire k, rpush l, lpop l, del l"),
        ("KAn", "new k, set k, expire k, new l, rpush l, lpop l, del l"),
        ("Kshzxet", "-"),
    ];
    for (classes, expected) in cases {
        let mut r = Replica::new(1);
        listen(&mut r, classes);
        r.exec(&[], &["SET k v EX 100", "RPUSH l x", "LPOP l"]);
        assert_eq!(told(&mut r.keyspace), expected, "{classes}");
    }
}

#[test]
fn events_say_on_which_channels_they_belong() {
    for (classes, channels) in
        [("K$", Events::KEYSPACE), ("E$", Events::KEYEVENT), ("KE$", Events::KEYSPACE | Events::KEYEVENT)]
    {
        let mut r = Replica::new(1);
        listen(&mut r, classes);
        r.run(2, "SET k v");
        let expected = News::Event { db: 2, event: "set", key: (*b"k").into(), on: channels };
        assert_eq!(r.keyspace.take_news(), [expected]);
    }
}

#[test]
fn nobody_listens_nothing_is_collected() {
    let mut r = listener();
    r.keyspace.set_interest(Interest { messages: false, keys: false });
    r.run(0, "SET a 1");
    assert_eq!(r.keyspace.take_news(), []);
}

#[test]
fn who_listens_changes_nothing() {
    let (mut a, mut b) = (listener(), listener());
    b.keyspace.set_interest(Interest::default());
    for line in ["SET a 1 PX 100", "RPUSH l x y", "RENAME l a", "XADD s 1-1 f v", "ZADD z 1 x", "SPOP none"] {
        a.run(0, line);
        b.run(0, line);
    }
    assert_eq!(a.keyspace.digest(), b.keyspace.digest());
    assert_eq!(a.keyspace.content_digest(), b.keyspace.content_digest());
}

#[test]
fn a_replica_restored_from_a_snapshot_tells_the_same() {
    let mut r = listener();
    r.run(0, "SET a 1");
    let snapshot = r.snapshot();
    let mut other = Replica::new(1);
    other.keyspace = replica::restore(&snapshot);
    other.keyspace.set_interest(Interest { messages: true, keys: false });
    check(&mut other, "DEL a => del a");
}
