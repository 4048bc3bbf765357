//! Sets, hashes, bitmaps and HyperLogLogs of every size on several replicas: snapshots leave no trace (R11).

mod replica;

use quorate_keyspace::{Random, Restore, batch::BatchBuilder};
use replica::{Origin, Replica, restore};

fn members(random: &mut Random) -> String {
    let count = if random.below(12) == 0 { 200 } else { 1 + random.below(4) };
    let kind = random.below(3);
    let member = |n: u64| match kind {
        0 => format!(" {n}"),
        1 => format!(" m{n}"),
        _ => format!(" {}{n}", "long".repeat(n as usize % 40)),
    };
    (0..count).map(|_| member(random.below(400))).collect()
}

/// Everything that picks, orders or encodes.
fn line(random: &mut Random) -> String {
    let (key, other, n) = (random.below(4), random.below(4), random.below(300));
    let cursor = random.next_u64() >> (12 + random.below(52));
    match random.below(34) {
        0..5 => format!("SADD s{key}{}", members(random)),
        5..7 => format!("SREM s{key}{}", members(random)),
        7 => format!("SPOP s{key}"),
        8 => format!("SPOP s{key} {n}"),
        9 => format!("SRANDMEMBER s{key} -5"),
        10 => format!("SRANDMEMBER s{key} {}", n % 20),
        11 => format!("SMEMBERS s{key}"),
        12 => format!("SSCAN s{key} {cursor} COUNT {}", 1 + n % 30),
        13 => format!("SINTERSTORE s{key} s{other} s{}", n % 4),
        14 => format!("SUNIONSTORE s{key} s{other} s{}", n % 4),
        15 => format!("SDIFFSTORE s{key} s{other} s{}", n % 4),
        16 => format!("SMOVE s{key} s{other} {n}"),
        17..21 => format!("HSET h{key} f{n} {} {n} {key}", "v".repeat(n as usize)),
        21 => {
            let pairs: String = (0..600).map(|i| format!(" many{i} {n}")).collect();
            format!("HSET h{key}{pairs}")
        }
        22 => format!("HDEL h{key} f{n} many{n} {n}"),
        23 => format!("HINCRBY h{key} count {n}"),
        24 => format!("HRANDFIELD h{key} -4 WITHVALUES"),
        25 => format!("HSCAN h{key} {cursor} COUNT {}", 1 + n % 30),
        26 => format!("HGETALL h{key}"),
        27 => format!("DEL h{key} s{other}"),
        28 => format!("OBJECT ENCODING {}{key}", if n % 2 == 0 { "h" } else { "s" }),
        29 => format!("PFADD p{key}{}", members(random)),
        30 => format!("PFMERGE p{key} p{other}"),
        31 => format!("PFCOUNT p{key} p{other}"),
        32 => format!("SETBIT b{key} {} 1", n * 50),
        _ => format!("BITFIELD b{key} INCRBY u7 #{n} 100 GET i9 {n}"),
    }
}

#[test]
fn replies_and_digests_do_not_depend_on_snapshots() {
    for seed in 0..2 {
        let mut random = Random::new(seed);
        let mut steady = Replica::new(seed as u8);
        let mut restless = Replica::new(seed as u8);
        for entry in 0..500 {
            let text = line(&mut random);
            let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            let mut batch = BatchBuilder::new();
            batch.command(0, &args);
            steady.seed = random.next_u64();
            let payload = batch.finish(&steady.header());
            let (mut a, mut b) = (Origin::default(), Origin::default());
            steady.apply_payload(&payload, &mut a);
            restless.apply_payload(&payload, &mut b);
            assert_eq!(a.replies, b.replies, "{text}");
            assert_eq!(steady.keyspace.digest(), restless.keyspace.digest(), "{text}");
            if entry % 50 == 0 {
                let snapshot = restless.snapshot();
                restless.keyspace = restore(&snapshot);
                assert_eq!(
                    steady.keyspace.content_digest(),
                    restless.keyspace.content_digest(),
                    "after {text}"
                );
            }
        }
    }
}

/// A snapshot that goes on while its values change, and comes in pieces.
#[test]
fn a_large_value_is_written_as_it_was() {
    let mut r = Replica::new(1);
    let all: String = (0..3000).map(|n| format!(" member-{n}")).collect();
    r.run(0, &format!("SADD s{all}"));
    let pairs: String = (0..3000).map(|n| format!(" field-{n} value-{n}")).collect();
    r.run(0, &format!("HSET h{pairs}"));
    let members = r.run(0, "SMEMBERS s");
    let fields = r.run(0, "HGETALL h");
    let digest = r.keyspace.content_digest();
    r.keyspace.snapshot_begin();
    let (mut out, mut n) = (Vec::new(), 0);
    while !r.keyspace.snapshot_slice(&mut out, 1000) {
        r.run(0, &format!("SREM s member-{n}"));
        r.run(0, &format!("SADD s other-{n}"));
        r.run(0, &format!("HSET h field-{n} changed"));
        r.run(0, "SPOP s 3");
        n += 1;
    }
    assert!(n > 20, "{n} slices");
    let mut pieces = Restore::new();
    out.chunks(777).for_each(|piece| pieces.push(piece).expect("a good snapshot"));
    let mut restored = Replica::new(1);
    restored.keyspace = pieces.finish().expect("a whole snapshot");
    assert_eq!(restored.keyspace.content_digest(), digest);
    assert_eq!(restored.run(0, "SMEMBERS s"), members);
    assert_eq!(restored.run(0, "HGETALL h"), fields);
    assert_eq!(restored.run(0, "OBJECT ENCODING s"), "\"hashtable\"");
}
