//! The decoders of scripts (cjson, cmsgpack, struct) and the conversions around them: any bytes. They answer a value or an
//! error, the same on two replicas; what they decode can be encoded and decoded again, and then has the same
//! length. (The order of a table's entries may be another one: it follows how they came in. MessagePack leaves out what is
//! more than 16 deep, as in Redis: that is so for what comes of it.)

#![no_main]

use quorate_fuzz::Input;
use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS};
use quorate_keyspace::{Host, Keyspace, NoHost, Reply};
use quorate_resp::{Protocol, ValueDecoder, ValueLimits};

const TERM: u64 = 3;
const TIME_MS: u64 = 1_700_000_000_000;

/// What is done with the bytes.
const SCRIPTS: [&str; 8] = [
    "return cjson.decode(ARGV[1])",
    "local a = cjson.encode(cjson.decode(ARGV[1])) local b = cjson.encode(cjson.decode(a)) assert(#a == #b, 'other json') return a",
    "return {cmsgpack.unpack(ARGV[1])}",
    "local function again(x) return cmsgpack.pack(cmsgpack.unpack(x)) end \
     local function deep(v, n) if type(v) ~= 'table' then return false end if n > 15 then return true end \
     for k, x in pairs(v) do if deep(k, n + 1) or deep(x, n + 1) then return true end end return false end \
     local a = again(ARGV[1]) local b = again(a) \
     assert(#b == #again(b) and (#a == #b or deep({cmsgpack.unpack(ARGV[1])}, -1)), 'other msgpack') return a",
    "return {cmsgpack.unpack_limit(ARGV[1], 3)}",
    "local n = tonumber(ARGV[3]) return {struct.unpack(ARGV[2], ARGV[1], n)}",
    "return {struct.pack(ARGV[2], ARGV[1], tonumber(ARGV[3]), ARGV[1], tonumber(ARGV[3])), struct.size(ARGV[2])}",
    "return {string.format(ARGV[2], ARGV[1]), string.find(ARGV[1], ARGV[2]), tonumber(ARGV[1]), redis.sha1hex(ARGV[1])}",
];

#[derive(Default)]
struct Origin(Vec<u8>);

impl Host for Origin {
    fn reply(&mut self, _n: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.0, Protocol::Resp3));
    }
}

fn apply(keyspace: &mut Keyspace, args: &[&[u8]], host: &mut dyn Host) {
    let index = keyspace.index() + 1;
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
    keyspace.apply(index, TERM, &batch.finish(&header), host);
}

fn good() -> Vec<Vec<u8>> {
    let json: [&[u8]; 4] =
        [br#"{"a":[1,2.5,-3e10,null,true],"b":{"c":"\u20ac\n"}}"#, b"[]", b"[1,[2,[3,[4]]]]", br#""text""#];
    let packed: [&[u8]; 6] = [
        b"\x83\xa1a\x01\xa1b\xcb\x3f\xf8\0\0\0\0\0\0\xa1c\x93\x01\xc0\xc3",
        b"\x94\xcc\xff\xcd\xff\xff\xd1\xff\x00\xda\0\x02ab",
        b"\xdc\0\x02\x01\x02\xde\0\x01\xa1k\xa1v",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\0\0\0\0\0\0\0",
        b"\xca\x3f\x80\0\0\xd9\x03abc",
        b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01",
    ];
    let formats: [&[u8]; 4] =
        [b">I2s0\x05ab\0\x01\x02", b"<i4bhlfd12345678901234567890", b"c0x!8i8", b"%d %s%q"];
    let deep: Vec<_> = [100, 600].map(|levels| [&vec![0x91; levels][..], b"\x01"].concat()).into();
    let seed = |choice: u8, bytes: &[u8]| [&[choice, 1, 4], bytes].concat();
    let of = |from: u8, to: u8, all: &[&[u8]]| -> Vec<Vec<u8>> {
        (from..to).flat_map(|choice| all.iter().map(move |bytes| seed(choice, bytes))).collect()
    };
    let deep: Vec<_> = deep.iter().map(Vec::as_slice).collect();
    [of(0, 2, &json), of(2, 5, &packed), of(2, 5, &deep), of(5, 8, &formats)].concat()
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(good),
    |data: &[u8]| {
        let mut input = Input(data);
        let script = SCRIPTS[usize::from(input.byte()) % SCRIPTS.len()];
        let (number, format) = (input.byte().to_string(), usize::from(input.byte()) % 12);
        let format = input.take(format).to_vec();
        let args: [&[u8]; 6] = [b"EVAL", script.as_bytes(), b"0", input.0, &format, number.as_bytes()];
        let (mut one, mut other) = (Keyspace::new(1), Keyspace::new(1));
        for keyspace in [&mut one, &mut other] {
            apply(keyspace, &[b"\0bootstrap", &[9; 16], &[7; 16]], &mut NoHost);
        }
        let mut origin = Origin::default();
        apply(&mut one, &args, &mut origin);
        apply(&mut other, &args, &mut NoHost);
        assert_eq!(one.digest(), other.digest());
        // A script may nest its result deeper than a client's decoder takes when nobody says otherwise.
        let mut decoder = ValueDecoder::new(ValueLimits { depth: 512, ..ValueLimits::default() });
        decoder.feed(&origin.0);
        let reply = decoder.next().unwrap_or_else(|error| panic!("{error}: {}", origin.0.escape_ascii()));
        let reply = reply.unwrap_or_else(|| panic!("not a whole reply: {}", origin.0.escape_ascii()));
        assert!(!reply.as_error().is_some_and(|error| error.contains("other ")), "{reply:?}");
    }
);
