//! What every replica does when the leader is short of memory, and which keys go.

mod replica;

use std::collections::BTreeMap;

use quorate_keyspace::{
    Chooser, Meter, Metered, NoHost, Place, Policy, Reply, batch::BatchBuilder, command::Command,
};
use quorate_resp::Protocol;
use replica::{Origin, Replica, describe, restore};

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
const EXEC_OOM: &str =
    "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.";
const SCRIPT_OOM: &str =
    "-OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";

/// Two replicas that get the same entries: the origin's replies count, the other one has none.
struct Pair {
    origin: Replica,
    other: Replica,
}

impl Pair {
    fn new() -> Self {
        Self { origin: Replica::new(1), other: Replica::new(1) }
    }

    fn apply(&mut self, batch: BatchBuilder, memory_short: bool) -> Vec<String> {
        let header = quorate_keyspace::batch::Header { memory_short, ..self.origin.header() };
        let payload = batch.finish(&header);
        let mut origin = Origin::default();
        self.origin.apply_payload(&payload, &mut origin);
        self.other.apply_payload(&payload, &mut NoHost);
        assert_eq!(self.origin.keyspace.digest(), self.other.keyspace.digest());
        let text = |reply: &Vec<u8>| if reply.is_empty() { "waits".to_owned() } else { describe(reply) };
        origin.replies.iter().map(text).collect()
    }

    fn run_args(&mut self, memory_short: bool, args: &[&[u8]]) -> String {
        let mut batch = BatchBuilder::new();
        batch.command(0, args);
        self.apply(batch, memory_short).remove(0)
    }

    /// The reply to a command in an entry of a leader that is short of memory.
    fn short(&mut self, line: &str) -> String {
        self.run_args(true, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    /// The same when it is not.
    fn run(&mut self, line: &str) -> String {
        self.run_args(false, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn exec(&mut self, memory_short: bool, lines: &[&str]) -> String {
        let mut batch = BatchBuilder::new();
        batch.begin_transaction(&[], lines.len());
        for line in lines {
            batch.step_command(0, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        }
        self.apply(batch, memory_short).remove(0)
    }

    fn eval(&mut self, memory_short: bool, script: &str) -> String {
        self.run_args(memory_short, &[b"EVAL", script.as_bytes(), b"1", b"k"])
    }
}

#[test]
fn what_may_need_memory_is_refused_and_nothing_else() {
    let mut p = Pair::new();
    p.run("RPUSH list a b");
    p.run("SET k v");
    for line in ["SET k w", "INCR n", "RPUSH list c", "HSET h f v", "BLMOVE list other LEFT LEFT 0"] {
        assert_eq!(p.short(line), OOM, "{line}");
    }
    assert_eq!(p.short("GET k"), "\"v\"");
    assert_eq!(p.short("LPOP list"), "\"a\"");
    assert_eq!(p.short("DEL k"), "1");
    assert_eq!(p.short("SET k"), "-ERR wrong number of arguments for 'set' command");
    assert_eq!(p.run("SET k w"), "+OK", "it is over with the next entry");
}

#[test]
fn a_transaction_is_refused_as_a_whole() {
    let mut p = Pair::new();
    assert_eq!(p.exec(true, &["DEL k", "SET k v", "GET k"]), EXEC_OOM);
    assert_eq!(p.exec(true, &["DEL k", "GET k"]), "[0, nil]");
    assert_eq!(p.exec(false, &["SET k v", "GET k"]), "[+OK, \"v\"]");
}

#[test]
fn a_script_is_refused_before_it_writes() {
    let mut p = Pair::new();
    p.run("SET k v");
    assert_eq!(p.eval(true, "return redis.call('GET', KEYS[1])"), "\"v\"");
    let refused = p.eval(true, "redis.call('SET', KEYS[1], 'w') return 1");
    assert!(refused.starts_with(OOM), "{refused}");
    let caught = p.eval(true, "return redis.pcall('SET', KEYS[1], 'w')['err']");
    assert!(caught.starts_with("\"OOM command not allowed"), "{caught}");
    // It cannot be stopped in the middle of what it does.
    let written = p.eval(true, "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'w') return 1");
    assert_eq!(written, "1");
    assert_eq!(p.run("GET k"), "\"w\"");
    assert_eq!(p.eval(false, "redis.call('SET', KEYS[1], 'x') return 1"), "1");
}

#[test]
fn a_script_with_flags_says_whether_it_runs_without_memory() {
    let mut p = Pair::new();
    p.run("SET k v");
    let get = "return redis.call('GET', KEYS[1])";
    let set = "return redis.call('SET', KEYS[1], 'w')";
    assert_eq!(p.eval(true, &format!("#!lua\n{get}")), SCRIPT_OOM);
    assert_eq!(p.eval(true, &format!("#!lua flags=no-writes\n{get}")), "\"v\"");
    assert_eq!(p.eval(true, &format!("#!lua flags=allow-oom\n{set}")), "+OK");
    assert_eq!(p.eval(false, &format!("#!lua\n{set}")), "+OK");
}

#[test]
fn refusals_count_for_what_was_refused() {
    /// Whoever measures: how often was what carried out, and what was refused?
    #[derive(Default)]
    struct Seen(std::cell::RefCell<Vec<String>>);
    impl Meter for Seen {
        fn begin(&self) -> u64 {
            0
        }
        fn end(&self, metered: &Metered<'_>) {
            self.0.borrow_mut().push(metered.command.name.to_owned());
        }
        fn rejected(&self, command: Option<&'static Command>, place: Place, error: &str) {
            let name = command.map_or("?", |command| command.name);
            let kind = error.split(' ').next().unwrap_or_default();
            self.0.borrow_mut().push(format!("{name} refused {kind} {place:?}"));
        }
    }
    struct Host(Seen);
    impl quorate_keyspace::Host for Host {
        fn reply(&mut self, _: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
            run(&mut Reply::new(&mut Vec::new(), Protocol::Resp2).metered(Some(&self.0)));
        }
    }
    let seen = |script: &str| {
        let mut r = Replica::new(1);
        let mut batch = BatchBuilder::new();
        batch.command(0, &[b"EVAL", script.as_bytes(), b"1", b"k"]);
        let header = quorate_keyspace::batch::Header { memory_short: true, ..r.header() };
        let mut host = Host(Seen::default());
        r.apply_payload(&batch.finish(&header), &mut host);
        host.0.0.into_inner()
    };
    let set = "return redis.call('SET', KEYS[1], 'w')";
    assert_eq!(seen(set), ["set refused OOM Script", "eval"]);
    assert_eq!(
        seen("redis.pcall('SET', KEYS[1], 1) redis.pcall('INCR', KEYS[1])"),
        ["set refused OOM Script", "incr refused OOM Script", "eval"]
    );
    assert_eq!(seen(&format!("redis.call('DEL', KEYS[1]) {set}")), ["del", "set", "eval"], "it has written");
    assert_eq!(seen(&format!("#!lua\n{set}")), ["eval refused OOM Client"], "nothing of it ran");
    assert_eq!(seen(&format!("#!lua flags=allow-oom\n{set}")), ["set", "eval"]);
    assert_eq!(seen("redis.pcall('GET')"), ["get refused ERR Script", "eval"]);
    assert_eq!(seen("redis.pcall('SUBSCRIBE', 'a')"), ["subscribe refused ERR Script", "eval"]);
    assert_eq!(seen("redis.pcall('NOSUCH', 'a')"), ["? refused ERR Script", "eval"]);
}

#[test]
fn a_function_says_whether_it_runs_without_memory() {
    let mut p = Pair::new();
    let library = "#!lua name=lib\nlocal set = function(keys) return redis.call('SET', keys[1], 'w') end\n\
                   redis.register_function('silent', set)\n\
                   redis.register_function{function_name='brave', callback=set, flags={'allow-oom'}}";
    p.run_args(false, &[b"FUNCTION", b"LOAD", library.as_bytes()]);
    assert_eq!(p.short("FCALL silent 1 k"), SCRIPT_OOM);
    assert_eq!(p.short("FCALL brave 1 k"), "+OK");
    assert_eq!(p.run("FCALL silent 1 k"), "+OK");
}

#[test]
fn who_waits_is_served_even_then() {
    let mut p = Pair::new();
    assert_eq!(p.run("BLMOVE list other LEFT LEFT 0"), "waits");
    p.run("RPUSH tail a");
    p.short("RENAME tail list");
    assert_eq!(p.run("LRANGE other 0 -1"), "[\"a\"]");
}

#[test]
fn an_eviction_is_what_the_entry_says() {
    let mut p = Pair::new();
    for line in ["SET a 1", "SET b 2 PX 100000", "RPUSH c x y"] {
        p.run(line);
    }
    let watch = p.origin.watch("b");
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"\0evict", b"b", b"none", b"c"]);
    assert_eq!(p.apply(batch, true), ["2"]);
    assert_eq!(p.run("DBSIZE"), "1");
    assert_eq!(p.origin.keyspace.usage().evicted, 2);
    assert_eq!(p.other.keyspace.usage().evicted, 2, "every node counts what it drops");
    assert_eq!(p.origin.keyspace.content_digest(), p.other.keyspace.content_digest());
    assert_eq!(
        p.run_args(false, &[b"EVICT", b"a"]),
        "-ERR unknown command 'EVICT', with args beginning with: 'a' "
    );
    assert_eq!(p.origin.exec(&[watch], &["GET a"]), "nil-array", "a watched key that is evicted has changed");
}

/// What nodes know of uses must not show where every replica answers.
#[test]
fn uses_of_keys_reach_neither_digests_nor_snapshots() {
    let mut p = Pair::new();
    p.run("\0directory.set config.maxmemory-policy allkeys-lfu");
    p.origin.keyspace.note_clock(1_700_000_000, 1);
    p.other.keyspace.note_clock(1_800_000_000, 2);
    for n in 0..50 {
        p.run(&format!("SET k{n} v"));
        let _ = p.origin.read(0, &format!("GET k{}", n / 2), 0);
    }
    p.origin.keyspace.note_clock(1_700_009_000, 1);
    assert_eq!(p.exec(false, &["OBJECT FREQ k1", "TOUCH k1"]), "[5, 1]");
    let eval = "return redis.call('OBJECT', 'FREQ', KEYS[1])";
    assert_eq!(p.run_args(false, &[b"EVAL", eval.as_bytes(), b"1", b"k2"]), "5");
    p.run("\0directory.set config.maxmemory-policy allkeys-lru");
    assert_eq!(p.exec(false, &["OBJECT IDLETIME k1"]), "[0]");
    assert_eq!(p.origin.keyspace.content_digest(), p.other.keyspace.content_digest());
    assert_eq!(p.origin.snapshot(), p.other.snapshot());
    let mut restored = restore(&p.origin.snapshot());
    assert_eq!(restored.content_digest(), p.origin.keyspace.content_digest());
    restored.note_clock(1_900_000_000, 3);
    let mut copy = Replica { keyspace: restored, time_ms: p.origin.time_ms, seed: 0 };
    assert_eq!(copy.read(0, "OBJECT IDLETIME k1", 0), Ok("0".into()), "who begins has seen nothing");
    copy.keyspace.note_clock(1_900_000_010, 3);
    assert_eq!(copy.read(0, "OBJECT IDLETIME k1", 0), Ok("10".into()));
}

#[test]
fn idle_time_is_that_of_the_node_that_is_asked() {
    let mut r = Replica::new(1);
    r.keyspace.note_clock(1000, 1);
    r.run(0, "SET k v");
    let idle = |r: &Replica| r.read(0, "OBJECT IDLETIME k", 0).unwrap();
    r.keyspace.note_clock(1007, 1);
    assert_eq!(idle(&r), "7");
    for line in ["TYPE k", "TTL k", "EXISTS k", "OBJECT ENCODING k", "MEMORY USAGE k", "OBJECT IDLETIME k"] {
        r.read(0, line, 0).unwrap();
        assert_eq!(idle(&r), "7", "{line}");
    }
    for line in ["GET k", "TOUCH k", "STRLEN k"] {
        r.keyspace.note_clock(r.keyspace.time_ms(), 1);
        r.read(0, line, 0).unwrap();
        assert_eq!(idle(&r), "0", "{line}");
    }
    let before = r.keyspace.time_ms() + 50;
    r.keyspace.note_clock(before, 1);
    r.keyspace.untouched(|| r.read(0, "GET k", 0).unwrap());
    assert_eq!(idle(&r), "50", "CLIENT NO-TOUCH");
    r.run(0, "APPEND k w");
    assert_eq!(idle(&r), "0");
    assert!(
        r.read(0, "OBJECT FREQ k", 0).unwrap().starts_with("-ERR An LFU maxmemory policy is not selected")
    );
    assert_eq!(r.read(0, "OBJECT IDLETIME none", 0).unwrap(), "nil");
}

#[test]
fn restore_says_how_a_key_was_used() {
    let mut r = Replica::new(1);
    r.keyspace.note_clock(50_000, 1);
    r.run(0, "SET k v");
    let mut out = Vec::new();
    r.keyspace.read(
        0,
        &[b"DUMP", b"k"],
        0,
        0,
        &mut quorate_keyspace::Reply::new(&mut out, quorate_resp::Protocol::Resp2),
    );
    let start = out.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let payload = &out[start..out.len() - 2];
    r.run_args(0, &[b"RESTORE", b"a", b"0", payload, b"IDLETIME", b"1000"]);
    assert_eq!(r.read(0, "OBJECT IDLETIME a", 0).unwrap(), "1000");
    r.run_args(0, &[b"RESTORE", b"b", b"0", payload, b"FREQ", b"100"]);
    assert_eq!(r.read(0, "OBJECT IDLETIME b", 0).unwrap(), "0");
    r.run(0, "\0directory.set config.maxmemory-policy volatile-lfu");
    r.run_args(0, &[b"RESTORE", b"c", b"0", payload, b"FREQ", b"100"]);
    assert_eq!(r.read(0, "OBJECT FREQ c", 0).unwrap(), "100");
    r.keyspace.note_clock(50_000 + 7 * 60, 1);
    assert_eq!(r.read(0, "OBJECT FREQ c", 0).unwrap(), "93", "it falls by one a minute");
    assert!(
        r.read(0, "OBJECT IDLETIME c", 0).unwrap().starts_with("-ERR An LFU maxmemory policy is selected")
    );
    assert_eq!(
        r.run_args(0, &[b"RESTORE", b"d", b"0", payload, b"FREQ", b"256"]),
        "-ERR Invalid FREQ value, must be >= 0 and <= 255"
    );
}

#[test]
fn small_integers_are_shared_unless_their_uses_matter() {
    let mut r = Replica::new(1);
    r.run(0, "SET n 5");
    let count = |r: &Replica| r.read(0, "OBJECT REFCOUNT n", 0).unwrap();
    assert_eq!(count(&r), i32::MAX.to_string());
    r.run(0, "\0directory.set config.maxmemory-policy allkeys-lru");
    assert_eq!(count(&r), i32::MAX.to_string(), "there is no limit");
    r.run(0, "\0directory.set config.maxmemory 1000000");
    assert_eq!(count(&r), "1");
    r.run(0, "\0directory.set config.maxmemory-policy allkeys-random");
    assert_eq!(count(&r), i32::MAX.to_string());
}

const KEYS: usize = 3000;

/// Evicts a quarter of the keys, and tells which are left. `prepare` uses some.
fn evict(policy: &str, prepare: impl Fn(&mut Replica)) -> BTreeMap<usize, bool> {
    let mut r = Replica::new(1);
    r.run(0, &format!("\0directory.set config.maxmemory-policy {policy}"));
    r.keyspace.note_clock(1_000_000, 7);
    for n in 0..KEYS {
        // Every other key has a deadline; the higher the number the later it is.
        let deadline = if n % 2 == 0 { format!(" PX {}", 1_000_000 + n * 1000) } else { String::new() };
        r.run(n % 2, &format!("SET k{n} v{deadline}"));
    }
    prepare(&mut r);
    let mut chooser = Chooser::new(42);
    for _ in 0..KEYS / 4 {
        let victim = chooser.choose(&r.keyspace, 5).expect("there are keys that may go");
        assert_eq!(r.run_args(victim.db, &[b"\0evict", &victim.key]), "1", "it was there");
        chooser.forget(victim.db, &victim.key);
    }
    let left = |n: usize| r.read(n % 2, &format!("EXISTS k{n}"), 0).unwrap() == "1";
    (0..KEYS).map(|n| (n, left(n))).collect()
}

/// How many per hundred of those are left.
fn percent(left: &BTreeMap<usize, bool>, which: impl Fn(usize) -> bool) -> usize {
    let of_them: Vec<bool> = left.iter().filter(|(n, _)| which(**n)).map(|(_, is_left)| *is_left).collect();
    of_them.iter().filter(|is_left| **is_left).count() * 100 / of_them.len()
}

/// Ten minutes later, each key with a number below a third was used.
fn use_the_first(r: &mut Replica) {
    r.keyspace.note_clock(1_000_600, 7);
    for n in 0..KEYS / 3 {
        r.read(n % 2, &format!("GET k{n}"), 0).unwrap();
    }
}

/// The same a hundred times each.
fn use_the_first_often(r: &mut Replica) {
    for _ in 0..100 {
        use_the_first(r);
    }
}

#[test]
fn what_was_used_lately_stays() {
    let left = evict("allkeys-lru", use_the_first);
    let (used, others) = (percent(&left, |n| n < KEYS / 3), percent(&left, |n| n >= KEYS / 3));
    assert!(used >= 97, "{used} {others}");
    let left = evict("volatile-lru", use_the_first);
    assert_eq!(percent(&left, |n| n % 2 == 1), 100);
    assert!(percent(&left, |n| n % 2 == 0 && n < KEYS / 3) >= 90);
}

#[test]
fn what_is_used_often_stays() {
    let left = evict("allkeys-lfu", use_the_first_often);
    let (used, others) = (percent(&left, |n| n < KEYS / 3), percent(&left, |n| n >= KEYS / 3));
    assert!(used >= 97, "{used} {others}");
    let left = evict("volatile-lfu", use_the_first_often);
    assert_eq!(percent(&left, |n| n % 2 == 1), 100);
    assert!(percent(&left, |n| n % 2 == 0 && n < KEYS / 3) >= 90);
}

#[test]
fn what_expires_first_goes_first() {
    let left = evict("volatile-ttl", |_| ());
    let gone: Vec<usize> = left.iter().filter(|(_, is_left)| !**is_left).map(|(n, _)| *n).collect();
    assert_eq!(gone, (0..KEYS).step_by(2).take(KEYS / 4).collect::<Vec<_>>());
}

#[test]
fn any_key_goes_by_chance() {
    let left = evict("allkeys-random", use_the_first);
    let (used, others) = (percent(&left, |n| n < KEYS / 3), percent(&left, |n| n >= KEYS / 3));
    assert!(used.abs_diff(others) <= 8, "{used} {others}");
    let left = evict("volatile-random", use_the_first);
    assert_eq!(percent(&left, |n| n % 2 == 1), 100);
    let (early, late) =
        (percent(&left, |n| n % 2 == 0 && n < KEYS / 2), percent(&left, |n| n % 2 == 0 && n >= KEYS / 2));
    assert!(early.abs_diff(late) <= 10, "{early} {late}");
}

#[test]
fn a_few_keys_with_deadlines_are_found_among_many() {
    let mut r = Replica::new(1);
    for n in 0..5000 {
        r.run(0, &format!("SET k{n} v"));
    }
    for n in 0..3 {
        r.run(0, &format!("SET goes{n} v PX {}", 1000 + n * 1_000_000_000));
    }
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        r.run(0, &format!("\0directory.set config.maxmemory-policy {policy}"));
        let mut chooser = Chooser::new(1);
        let mut found: Vec<_> =
            std::iter::from_fn(|| chooser.choose(&r.keyspace, 5)).map(|v| v.key).collect();
        found.sort();
        assert_eq!(found, [b"goes0", b"goes1", b"goes2"], "{policy}");
    }
}

#[test]
fn each_key_is_chosen_once_until_it_is_gone() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let mut r = Replica::new(1);
        r.run(0, &format!("\0directory.set config.maxmemory-policy {policy}"));
        for n in 0..200 {
            r.run(n % 3, &format!("SET k{n} v"));
        }
        let mut chooser = Chooser::new(9);
        let mut chosen = std::collections::BTreeSet::new();
        while let Some(victim) = chooser.choose(&r.keyspace, 5) {
            assert!(chosen.insert((victim.db, victim.key)), "{policy}");
        }
        assert!(chosen.len() >= 120, "{policy}: {}", chosen.len());
    }
    assert_eq!(Policy::of("noeviction"), Policy::Refuse);
}
