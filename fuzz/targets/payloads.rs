//! Payloads of DUMP: any bytes for RESTORE. They are refused, alike on every replica and without a trace, or what they make is
//! a value like any other: it can be used, dumped and restored again, and goes through a snapshot.
//!
//! A checksum at the end would keep the fuzzer out, so half of the inputs get a right one.

#![no_main]

use crc::{CRC_64_REDIS, Crc};
use quorate_fuzz::Input;
use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS};
use quorate_keyspace::{Host, Keyspace, NoHost, Reply, Restore};
use quorate_resp::{Protocol, Value, ValueDecoder, ValueLimits};

const TERM: u64 = 3;
const TIME_MS: u64 = 1_700_000_000_000;
/// The version of the serialization, and the checksum.
const FOOTER_LEN: usize = 10;
const VERSION: u16 = 11;
const SUM: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);

/// What anybody may do with a value of unknown type.
const USES: [&[&[u8]]; 20] = [
    &[b"OBJECT", b"ENCODING", b"key"],
    &[b"GETRANGE", b"key", b"0", b"-1"],
    &[b"LRANGE", b"key", b"0", b"-1"],
    &[b"SMEMBERS", b"key"],
    &[b"SRANDMEMBER", b"key", b"-5"],
    &[b"HGETALL", b"key"],
    &[b"HRANDFIELD", b"key", b"-5", b"WITHVALUES"],
    &[b"ZRANGE", b"key", b"0", b"-1", b"WITHSCORES"],
    &[b"ZRANDMEMBER", b"key", b"-5"],
    &[b"XINFO", b"STREAM", b"key", b"FULL"],
    &[b"XADD", b"key", b"*", b"f", b"v"],
    &[b"XTRIM", b"key", b"MAXLEN", b"1"],
    &[b"LPOP", b"key"],
    &[b"RPUSH", b"key", b"1"],
    &[b"SADD", b"key", b"1"],
    &[b"SPOP", b"key"],
    &[b"HSET", b"key", b"f", b"v"],
    &[b"ZADD", b"key", b"1", b"m"],
    &[b"PFCOUNT", b"key"],
    &[b"APPEND", b"key", b"x"],
];

#[derive(Default)]
struct Origin(Vec<u8>);

impl Host for Origin {
    fn reply(&mut self, _n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.0, Protocol::Resp2));
    }
}

/// Two replicas.
struct Pair {
    one: Keyspace,
    other: Keyspace,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { one: Keyspace::new(1), other: Keyspace::new(1) };
        pair.run(&[b"\0bootstrap", &[9; 16], &[7; 16]]);
        pair
    }

    /// A command on both; its reply, and whether it has changed something.
    fn run(&mut self, args: &[&[u8]]) -> (Value, bool) {
        let index = self.one.index() + 1;
        let header = Header {
            semantics: SEMANTICS,
            time_ms: TIME_MS,
            seed: index,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 0,
            origin_seq: index,
            memory_short: false,
            few_replicas: false,
        };
        let mut batch = BatchBuilder::new();
        batch.command(0, args);
        let payload = batch.finish(&header);
        let mut origin = Origin::default();
        let applied = self.one.apply(index, TERM, &payload, &mut origin);
        assert_eq!(self.other.apply(index, TERM, &payload, &mut NoHost), applied);
        assert_eq!(self.one.digest(), self.other.digest());
        let mut decoder = ValueDecoder::new(ValueLimits::default());
        decoder.feed(&origin.0);
        let value = decoder.next().expect("RESP").expect("a whole reply");
        assert!(decoder.is_idle(), "one reply");
        (value, applied.changed)
    }

    /// One of the two goes on from a snapshot.
    fn restore_one(&mut self) {
        self.other.snapshot_begin();
        let mut bytes = Vec::new();
        while !self.other.snapshot_slice(&mut bytes, 500) {}
        let mut restore = Restore::new();
        restore.push(&bytes).expect("a snapshot of its own");
        self.other = restore.finish().expect("a whole snapshot of its own");
        assert_eq!(self.one.content_digest(), self.other.content_digest());
    }
}

/// Values of every kind, as DUMP writes them.
fn good() -> Vec<Vec<u8>> {
    let mut pair = Pair::new();
    let long = [b'x'; 300];
    let numbers: Vec<Vec<u8>> = (0..700).map(|n: u32| n.to_string().into_bytes()).collect();
    let many = |command: &'static [u8], pairs: bool, word: bool| {
        let mut args: Vec<Vec<u8>> = vec![command.to_vec(), b"key".to_vec()];
        for number in &numbers {
            args.extend(pairs.then(|| number.clone()));
            args.push(if word { [b"m", &number[..]].concat() } else { number.clone() });
        }
        args
    };
    let large = [
        many(b"RPUSH", false, true),
        many(b"SADD", false, false),
        many(b"SADD", false, true),
        many(b"HSET", true, true),
        many(b"ZADD", true, true),
    ];
    let small: [&[&[u8]]; 11] = [
        &[b"SET", b"key", b"some text"],
        &[b"SET", b"key", b"12345"],
        &[b"SET", b"key", &long],
        &[b"RPUSH", b"key", b"a", b"1", &long],
        &[b"SADD", b"key", b"1", b"2", b"-300"],
        &[b"SADD", b"key", b"a", b"b"],
        &[b"HSET", b"key", b"f", b"v", b"g", b"1"],
        &[b"HSET", b"key", b"f", &long],
        &[b"ZADD", b"key", b"1.5", b"a", b"2", b"b"],
        &[b"PFADD", b"key", b"a", b"b"],
        &[b"GEOADD", b"key", b"13.361389", b"38.115556", b"place"],
    ];
    let mut seeds = Vec::new();
    let mut dump = |pair: &mut Pair| match pair.run(&[b"DUMP", b"key"]).0 {
        Value::Bulk(payload) => seeds.push([vec![1], payload].concat()),
        other => panic!("no dump: {other:?}"),
    };
    for line in
        large.iter().map(|line| line.iter().map(Vec::as_slice).collect()).chain(small.map(<[_]>::to_vec))
    {
        pair.run(&[b"DEL", b"key"]);
        pair.run(&line);
        dump(&mut pair);
    }
    pair.run(&[b"DEL", b"key"]);
    for n in 0..3 {
        pair.run(&[b"XADD", b"key", b"*", b"f", b"v", b"n", n.to_string().as_bytes()]);
    }
    pair.run(&[b"XGROUP", b"CREATE", b"key", b"group", b"0"]);
    pair.run(&[b"XREADGROUP", b"GROUP", b"group", b"c", b"COUNT", b"2", b"STREAMS", b"key", b">"]);
    dump(&mut pair);
    seeds
}

/// Gives a payload the version and the checksum that it should have.
fn seal(payload: &mut [u8]) {
    if let Some(at) = payload.len().checked_sub(FOOTER_LEN) {
        payload[at..at + 2].copy_from_slice(&VERSION.to_le_bytes());
        let sum = SUM.checksum(&payload[..at + 2]);
        payload[at + 2..].copy_from_slice(&sum.to_le_bytes());
    }
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(good),
    |data: &[u8]| {
        let mut input = Input(data);
        let choice = input.byte();
        let mut payload = input.0.to_vec();
        if choice & 1 == 0 {
            seal(&mut payload);
        }
        let mut pair = Pair::new();
        let (reply, changed) = pair.run(&[b"RESTORE", b"key", b"0", &payload]);
        assert_eq!(reply.as_error().is_none(), changed, "{reply:?}");
        if !changed {
            return;
        }
        pair.restore_one();
        let (dumped, _) = pair.run(&[b"DUMP", b"key"]);
        let (reply, _) = pair.run(&[b"RESTORE", b"again", b"0", dumped.as_bytes().expect("it exists")]);
        assert_eq!(reply.as_str(), Some("OK"), "what DUMP writes, RESTORE takes");
        let (again, _) = pair.run(&[b"DUMP", b"again"]);
        assert_eq!(again, dumped);
        for (n, args) in USES.iter().enumerate() {
            pair.run(args);
            if n == usize::from(choice) % USES.len() {
                pair.restore_one();
            }
        }
        pair.restore_one();
    }
);
