//! A replica is a pure function of its log (R11): histories of restarts and snapshots leave no trace.

mod replica;

use quorate_keyspace::{NoHost, Random, batch::BatchBuilder};
use replica::{Origin, Replica, restore};

/// Everything whose reply might depend on more than the contents.
fn line(random: &mut Random) -> String {
    let key = random.below(300);
    let n = random.below(1000);
    match random.below(30) {
        0..8 => format!("SET k{key} {n}"),
        8 => format!("SET k{key} v PX {}", 1 + n),
        9 => format!("PEXPIRE k{key} {n}"),
        10 => format!("APPEND k{key} {n}"),
        11 => format!("INCRBY k{key} {n}"),
        12 => format!("RPUSH l{key} {n} a b"),
        13 => format!("LPOP l{key} 2"),
        14 => format!("DEL k{key} l{key}"),
        15 => format!("RENAME k{key} k{n}"),
        16 => format!("COPY k{key} k{n} REPLACE"),
        17..19 => "RANDOMKEY".to_owned(),
        19..22 => format!("SCAN {} COUNT {}", n.pow(5), 1 + n % 30),
        22 => "KEYS *1*".to_owned(),
        23 => format!("OBJECT ENCODING k{key}"),
        24 => format!("TTL k{key}"),
        25 => "DBSIZE".to_owned(),
        26 => "TIME".to_owned(),
        27 if n < 50 => "FLUSHALL".to_owned(),
        28 if n < 50 => "SWAPDB 0 1".to_owned(),
        _ => format!("GET k{key}"),
    }
}

#[test]
fn replies_and_digests_do_not_depend_on_restarts_or_snapshots() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut steady = Replica::new(seed as u8);
        let mut restless = Replica::new(seed as u8);
        let mut follower = Replica::new(seed as u8);
        for entry in 0..600 {
            let lines: Vec<String> = (0..random.below(5)).map(|_| line(&mut random)).collect();
            let mut batch = BatchBuilder::new();
            for text in &lines {
                let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
                if random.below(4) == 0 {
                    let watched = format!("k{}", random.below(300));
                    let watch = steady.watch(&watched);
                    batch.begin_transaction(&[watch], 1);
                    batch.step_command(0, &args);
                } else {
                    batch.command(0, &args);
                }
            }
            steady.time_ms += random.below(20);
            steady.seed = random.next_u64();
            let payload = batch.finish(&steady.header());
            let (mut a, mut b) = (Origin::default(), Origin::default());
            steady.apply_payload(&payload, &mut a);
            restless.apply_payload(&payload, &mut b);
            follower.apply_payload(&payload, &mut NoHost);
            assert_eq!(a.replies, b.replies, "{lines:?}");
            assert_eq!(steady.keyspace.digest(), restless.keyspace.digest(), "{lines:?}");
            assert_eq!(steady.keyspace.digest(), follower.keyspace.digest(), "{lines:?}");
            assert_eq!(steady.keyspace.next_deadline(), restless.keyspace.next_deadline());
            if entry % 23 == 0 {
                restless.keyspace = restore(&restless.snapshot());
            }
        }
        assert_eq!(steady.keyspace.content_digest(), restless.keyspace.content_digest());
        assert_eq!(steady.keyspace.content_digest(), follower.keyspace.content_digest());
    }
}

#[test]
fn the_order_of_keys_depends_on_the_secret_alone() {
    let keys = |secret: u8, backwards: bool| {
        let mut r = Replica::new(secret);
        for i in 0..2000 {
            r.run(0, &format!("SET k{} v", if backwards { 1999 - i } else { i }));
            r.run(0, &format!("SET temporary{i} v"));
        }
        for i in 0..2000 {
            r.run(0, &format!("DEL temporary{i}"));
        }
        r.run(0, "KEYS *")
    };
    assert_eq!(keys(1, false), keys(1, true));
    assert_ne!(keys(1, false), keys(2, false));
}
