//! Streams and their groups are the same on every replica, whatever became of it on the way (R11).

mod replica;

use quorate_keyspace::{NoHost, Random, batch::BatchBuilder};
use replica::{Origin, Replica, restore};

/// Few keys, groups and consumers, so that all of them meet.
fn line(random: &mut Random) -> String {
    let (key, n) = (random.below(3), random.below(400));
    let (group, consumer) = (random.below(2), random.below(3));
    match random.below(24) {
        0..8 => format!("XADD s{key} * field {n} f{} text-{n}", n % 2),
        8 => format!("XADD s{key} MAXLEN ~ 250 * field {n}"),
        9 => format!("XTRIM s{key} MAXLEN ~ {n}"),
        10 => format!("XTRIM s{key} MAXLEN = {}", n + 100),
        11 => format!("XGROUP CREATE s{key} g{group} 0 MKSTREAM"),
        12..16 => format!("XREADGROUP GROUP g{group} c{consumer} COUNT {} STREAMS s{key} >", 1 + n % 20),
        16 => format!("XREADGROUP GROUP g{group} c{consumer} STREAMS s{key} 0"),
        17 => format!("XAUTOCLAIM s{key} g{group} c{consumer} {n} 0 COUNT 9"),
        18 => format!("XINFO STREAM s{key} FULL"),
        19 => format!("XPENDING s{key} g{group} - + 50"),
        20 => format!("XGROUP DELCONSUMER s{key} g{group} c{consumer}"),
        21 if n < 40 => format!("DEL s{key}"),
        22 => format!("COPY s{key} s{} REPLACE", n % 3),
        _ => format!("DUMP s{key}"),
    }
}

/// The first id that a reply tells.
fn first_id(reply: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(reply);
    let is_id = |word: &&str| word.split_once('-').is_some_and(|(ms, _)| ms.len() == 13);
    text.split("\r\n").find(is_id).map(str::to_owned)
}

#[test]
fn replies_and_digests_do_not_depend_on_restarts_or_snapshots() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut steady = Replica::new(seed as u8);
        let mut restless = Replica::new(seed as u8);
        let mut follower = Replica::new(seed as u8);
        let mut known_id = None;
        for entry in 0..1200 {
            let text = match (random.below(8), &known_id) {
                (0, Some(id)) => format!("XDEL s{} {id}", random.below(3)),
                (1, Some(id)) => format!("XACK s{} g{} {id}", random.below(3), random.below(2)),
                _ => line(&mut random),
            };
            let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            let mut batch = BatchBuilder::new();
            batch.command(0, &args);
            steady.time_ms += random.below(20);
            steady.seed = random.next_u64();
            let payload = batch.finish(&steady.header());
            let (mut a, mut b) = (Origin::default(), Origin::default());
            steady.apply_payload(&payload, &mut a);
            restless.apply_payload(&payload, &mut b);
            follower.apply_payload(&payload, &mut NoHost);
            assert_eq!(a.replies, b.replies, "{text}");
            assert_eq!(steady.keyspace.digest(), restless.keyspace.digest(), "{text}");
            assert_eq!(steady.keyspace.digest(), follower.keyspace.digest(), "{text}");
            known_id = first_id(&a.replies[0]).or(known_id);
            if entry % 29 == 0 {
                restless.keyspace = restore(&restless.snapshot());
            }
        }
        assert_eq!(steady.keyspace.content_digest(), restless.keyspace.content_digest());
        assert_eq!(steady.keyspace.content_digest(), follower.keyspace.content_digest());
    }
}

#[test]
fn a_snapshot_under_way_keeps_the_stream_as_it_was() {
    let mut r = Replica::new(1);
    for i in 1..=3000 {
        r.run(0, &format!("XADD s {i}-1 field {i}"));
    }
    r.run(0, "XGROUP CREATE s g 0");
    r.run(0, "XREADGROUP GROUP g c COUNT 500 STREAMS s >");
    let before = r.keyspace.content_digest();
    r.keyspace.snapshot_begin();
    let mut snapshot = Vec::new();
    let mut i = 3000;
    while !r.keyspace.snapshot_slice(&mut snapshot, 500) {
        i += 1;
        r.run(0, &format!("XADD s {i}-1 field {i}"));
        r.run(0, &format!("XDEL s {}-1", i - 2990));
        r.run(0, &format!("XACK s g {}-1", i - 2999));
        r.run(0, "XREADGROUP GROUP g other COUNT 5 STREAMS s >");
    }
    assert!(i > 3010, "the snapshot took several slices");
    assert_eq!(restore(&snapshot).content_digest(), before);
    assert_ne!(r.keyspace.content_digest(), before);
}
