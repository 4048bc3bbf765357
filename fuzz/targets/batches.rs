//! What an entry of the log carries: any bytes. Nothing panics, and two replicas (one of them the origin) come to the same
//! outcome, digest and contents, and go on.

#![no_main]

use quorate_fuzz::Input;
use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS, Watch, patch_header};
use quorate_keyspace::{Host, Keyspace, NoHost, Outcome, Reply, WaiterId};
use quorate_resp::Protocol;

const TERM: u64 = 3;
const TIME_MS: u64 = 1_700_000_000_000;

struct Origin(Vec<u8>);

impl Host for Origin {
    fn reply(&mut self, _n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.0, Protocol::Resp3));
    }

    fn local(&mut self, _n: usize, number: u64) {
        self.0.extend(number.to_le_bytes());
    }
}

fn header(origin_seq: u64) -> Header {
    Header {
        semantics: SEMANTICS,
        time_ms: TIME_MS,
        seed: 5,
        term: TERM,
        origin_node: 1,
        origin_start: 1,
        origin_epoch: 0,
        origin_seq,
        memory_short: false,
        few_replicas: false,
    }
}

fn filled() -> Keyspace {
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"\0bootstrap", &[9; 16], &[7; 16]]);
    batch.command(0, &[b"SET", b"text", b"some text"]);
    batch.command(0, &[b"SET", b"number", b"41"]);
    batch.command(0, &[b"SET", b"leaving", b"soon", b"PX", b"5000"]);
    batch.command(0, &[b"RPUSH", b"list", b"a", b"b", b"c"]);
    batch.command(0, &[b"ZADD", b"zset", b"1", b"a", b"2", b"b"]);
    batch.command(0, &[b"XGROUP", b"CREATE", b"stream", b"group", b"0", b"MKSTREAM"]);
    batch.command(0, &[b"BLPOP", b"queue", b"0"]);
    batch.command(0, &[b"XREADGROUP", b"GROUP", b"group", b"c", b"BLOCK", b"0", b"STREAMS", b"stream", b">"]);
    let mut keyspace = Keyspace::new(2);
    let applied = keyspace.apply(1, TERM, &batch.finish(&header(1)), &mut NoHost);
    assert_eq!(applied.outcome, Outcome::Applied);
    keyspace
}

fn good() -> Vec<Vec<u8>> {
    let mut batch = BatchBuilder::new();
    batch.command(0, &[b"SET", b"text", b"value"]);
    batch.command(1, &[b"RPUSH", b"list", b"x", b"y"]);
    let one = batch.finish(&header(2));
    let mut batch = BatchBuilder::new();
    let watch = Watch { db: 0, key: b"number", as_of_version: 5, existed: true };
    batch.begin_transaction(&[watch], 3);
    batch.step_command(0, &[b"INCR", b"number"]);
    batch.step_local(7);
    batch.step_command(0, &[b"DEL", b"list", b"missing"]);
    batch.command(0, &[b"PEXPIRE", b"text", b"100"]);
    batch.command(0, &[b"BLMOVE", b"list2", b"queue", b"LEFT", b"LEFT", b"0"]);
    batch.command(0, &[b"RPUSH", b"list2", b"x"]);
    batch.command(0, &[b"XADD", b"stream", b"*", b"f", b"v"]);
    let waiter = WaiterId::new(&header(1), 7).to_bytes();
    batch.command(0, &[b"\0unblock", &waiter, b"timeout"]);
    vec![one, batch.finish(&header(2))].into_iter().map(|payload| [vec![0], payload].concat()).collect()
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(good),
    |data: &[u8]| {
        let mut input = Input(data);
        let choice = input.byte();
        let mut payload = input.0.to_vec();
        if payload.len() > quorate_keyspace::batch::HEADER_LEN && choice & 1 == 0 {
            patch_header(&mut payload, &header(2));
        }
        let (mut a, mut b) = (filled(), filled());
        let applied = a.apply(2, TERM, &payload, &mut Origin(Vec::new()));
        assert_eq!(b.apply(2, TERM, &payload, &mut NoHost), applied);
        assert_eq!((a.index(), a.digest()), (b.index(), b.digest()));
        if applied.outcome == Outcome::Unsupported {
            assert_eq!(a.index(), 1, "it was not applied");
        }
        a.apply_blank(3, TERM);
        b.apply_blank(3, TERM);
        assert_eq!(a.digest(), b.digest());
        if applied.changed {
            assert_eq!(a.content_digest(), b.content_digest());
        }
    }
);
