//! Nothing that a client, a log or a peer can send makes a replica panic, and replicas agree on all of it.

mod replica;

use proptest::collection::vec;
use proptest::prelude::*;
use quorate_keyspace::batch::BatchBuilder;
use quorate_keyspace::command::{Command, table};
use quorate_keyspace::{Keyspace, Random, Reply, Restore};
use quorate_resp::{Protocol, Value, ValueDecoder, ValueLimits};
use replica::{Origin, Replica, TERM};

/// What arguments are made of: keys of every type, numbers at the edges, words of options, junk. No number here makes a
/// string of hundreds of megabytes, which would be allowed, and slow.
const WORDS: &[&[u8]] = &[
    b"text",
    b"number",
    b"list",
    b"long-list",
    b"leaving",
    b"missing",
    b"",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"7",
    b"100",
    b"-100",
    b"4294967296000",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1.5",
    b"-0",
    b"1e4000",
    b"nan",
    b"inf",
    b"+1",
    b" 1",
    b"0x1",
    b"1700000000",
    b"1800000000000",
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"GET",
    b"KEEPTTL",
    b"PERSIST",
    b"LEFT",
    b"RIGHT",
    b"BEFORE",
    b"AFTER",
    b"COUNT",
    b"RANK",
    b"MAXLEN",
    b"LEN",
    b"IDX",
    b"MINMATCHLEN",
    b"WITHMATCHLEN",
    b"MATCH",
    b"TYPE",
    b"string",
    b"DB",
    b"REPLACE",
    b"ASYNC",
    b"SYNC",
    b"*",
    b"[a-",
    b"\\",
    b"\0\xff\r\n",
    b"a-word-that-is-longer-than-what-a-small-value-holds-in-place-0123456789",
];

fn filled() -> Replica {
    let mut r = Replica::new(9);
    for line in [
        "SET text some-text-that-is-not-a-number",
        "SET number 41",
        "RPUSH list a b c",
        "SET leaving soon PX 5000",
    ] {
        r.run(0, line);
    }
    let elements = (0..300).map(|n| format!(" element-{n}")).collect::<String>();
    r.run(0, &format!("RPUSH long-list{elements}"));
    r.run(1, "SET text other");
    r
}

/// Everything that clients can see of a keyspace, by bytes.
fn contents(keyspace: &Keyspace) -> Vec<u8> {
    let mut all = Vec::new();
    for db in 0..3 {
        let mut keys = Vec::new();
        keyspace.for_each_key(db, &mut |key| keys.push(key.to_vec()));
        keys.sort();
        for key in keys {
            for args in [&[&b"GET"[..], &key][..], &[b"LRANGE", &key, b"0", b"-1"], &[b"PEXPIRETIME", &key]] {
                all.extend_from_slice(&key);
                keyspace.read(db, args, keyspace.time_ms(), 1, &mut Reply::new(&mut all, Protocol::Resp2));
            }
        }
    }
    all
}

/// The one value that a reply is.
fn whole(reply: &[u8], what: &[Vec<u8>]) -> Value {
    let mut decoder = ValueDecoder::new(ValueLimits::default());
    decoder.feed(reply);
    let said = || {
        format!(
            "{:?} -> {:?}",
            what.iter().map(|a| a.escape_ascii().to_string()).collect::<Vec<_>>(),
            reply.escape_ascii().to_string()
        )
    };
    let value = decoder.next().unwrap_or_else(|error| panic!("{error}: {}", said()));
    let value = value.unwrap_or_else(|| panic!("not a whole reply: {}", said()));
    assert!(decoder.is_idle(), "more than one reply: {}", said());
    value
}

fn names() -> Vec<Vec<&'static str>> {
    let every = table::all().flat_map(|c: &Command| std::iter::once(c).chain(c.subcommands));
    // DEBUG can be asked to use as much time or memory as it likes.
    every.filter(|c| !c.name.starts_with("debug")).map(|c| c.name.split('|').collect()).collect()
}

/// Any arguments of any command: no panic, one well-formed reply, and an error has changed nothing.
#[test]
fn any_arguments_of_every_command() {
    let (mut random, names) = (Random::new(1), names());
    assert!(names.len() > 100, "{}", names.len());
    let mut errors = 0;
    let mut r = filled();
    for round in 0..12 {
        for name in &names {
            let mut args: Vec<Vec<u8>> = name.iter().map(|word| word.as_bytes().to_vec()).collect();
            for _ in 0..random.below(if round % 3 == 0 { 3 } else { 7 }) {
                args.push(WORDS[random.below(WORDS.len() as u64) as usize].to_vec());
            }
            if ["setbit", "bitfield"].contains(&name[0]) {
                // So far behind the end, a bit would make a string of hundreds of megabytes.
                args.retain(|word| word != b"1700000000");
            }
            let args_now: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let db = random.below(2) as usize;
            let mut read = Vec::new();
            let time_ms = r.keyspace.time_ms();
            r.keyspace.read(db, &args_now, time_ms, 5, &mut Reply::new(&mut read, Protocol::Resp3));
            if !read.is_empty() {
                whole(&read, &args);
            }

            let before = contents(&r.keyspace);
            let mut batch = BatchBuilder::new();
            batch.command(db, &args_now);
            let payload = batch.finish(&r.header());
            let mut origin = Origin::default();
            let waiting = r.keyspace.waiting();
            r.apply_payload(&payload, &mut origin);
            assert_eq!(origin.replies.len(), 1, "{args:?}");
            if r.keyspace.waiting() > waiting {
                assert!(origin.replies[0].is_empty(), "who waits says nothing: {args:?}");
                continue;
            }
            if whole(&origin.replies[0], &args).as_error().is_some() {
                errors += 1;
                assert!(before == contents(&r.keyspace), "an error that has changed something: {args:?}");
            }
        }
        r = filled();
    }
    assert!(
        errors > 500 && errors < 12 * names.len(),
        "{errors} errors: most get no further than their arity"
    );
}

/// One or several changes of bytes, as damage and malice make them.
#[derive(Debug, Clone)]
enum Mutation {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Number(usize, u32),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<usize>();
    let one = prop_oneof![
        3 => (at, any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        3 => (at, 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => at.prop_map(Mutation::Cut),
        1 => (at, vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at, 1..40usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => (at, 1..40usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        2 => (at, prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), any::<u32>()])
            .prop_map(|(at, number)| Mutation::Number(at, number)),
    ];
    vec(one, 1..5)
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let len = bytes.len().max(1);
        match mutation {
            _ if bytes.is_empty() => return,
            Mutation::Set(at, byte) => bytes[at % len] = *byte,
            Mutation::Flip(at, bit) => bytes[at % len] ^= 1 << bit,
            Mutation::Cut(at) => bytes.truncate(at % len),
            Mutation::Insert(at, new) => _ = bytes.splice(at % len..at % len, new.iter().copied()),
            Mutation::Remove(at, n) => _ = bytes.drain(at % len..(at % len + n).min(len)),
            Mutation::Repeat(at, n) => {
                let part = bytes[at % len..(at % len + n).min(len)].to_vec();
                _ = bytes.splice(at % len..at % len, part);
            }
            Mutation::Number(at, number) => {
                for (byte, new) in bytes[at % len..].iter_mut().zip(number.to_le_bytes()) {
                    *byte = new;
                }
            }
        }
    }
}

fn good_batch(r: &Replica) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"SET", b"text", b"value"]);
    batch.command(1, &[b"RPUSH", b"list", b"x", b"y"]);
    batch.begin_transaction(&[r.watch("number")], 3);
    batch.step_command(0, &[b"INCR", b"number"]);
    batch.step_local(7);
    batch.step_command(0, &[b"DEL", b"list", b"missing"]);
    batch.command(0, &[b"PEXPIRE", b"text", b"100"]);
    batch.finish(&r.header())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A payload from hell: no panic, and two replicas (one of them the origin) come to the same digest and contents.
    #[test]
    fn damaged_batches(mutations in mutations(), behind in any::<bool>()) {
        let (mut a, mut b) = (filled(), filled());
        let mut payload = good_batch(&a);
        mutate(&mut payload, &mutations);
        let mut origin = Origin::default();
        let one = a.apply_payload(&payload, &mut origin);
        let index = b.keyspace.index() + 1;
        let two = b.keyspace.apply(index, TERM, &payload, &mut quorate_keyspace::NoHost);
        prop_assert_eq!(one, two);
        prop_assert_eq!((a.keyspace.index(), a.keyspace.digest()), (b.keyspace.index(), b.keyspace.digest()));
        if behind {
            a.seed = b.seed;
            a.keyspace.apply_blank(a.keyspace.index() + 1, TERM);
            b.keyspace.apply_blank(b.keyspace.index() + 1, TERM);
        }
        prop_assert!(contents(&a.keyspace) == contents(&b.keyspace));
    }

    #[test]
    fn payloads_of_random_bytes(payload in vec(any::<u8>(), 0..200)) {
        let mut r = filled();
        r.apply_payload(&payload, &mut Origin::default());
        contents(&r.keyspace);
    }

    /// A damaged snapshot is refused, or what it restores can be used: the file around it has checksums, this has none.
    #[test]
    fn damaged_snapshots(mutations in mutations(), pieces in 1..50usize) {
        let mut bytes = filled().snapshot();
        mutate(&mut bytes, &mutations);
        let mut restore = Restore::new();
        let size = bytes.len() / pieces + 1;
        if bytes.chunks(size).all(|piece| restore.push(piece).is_ok())
            && let Ok(keyspace) = restore.finish()
        {
            contents(&keyspace);
        }
    }
}
