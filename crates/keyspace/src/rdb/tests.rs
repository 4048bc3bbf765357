use proptest::prelude::*;

use super::*;
use crate::{
    collection::Collection,
    keyspace::Keyspace,
    small_bytes::SmallBytes,
    types::{
        hash::Hash,
        list::List,
        set::Set,
        sorted_set::{Scored, SortedSet},
        stream::{Group, Stream, StreamId},
        string::Str,
    },
    value::Parts,
};

fn rules() -> Rules {
    Keyspace::new(1).rules
}

/// What a value consists of.
fn contents(value: &Value) -> (u8, &'static str, Vec<Vec<u8>>) {
    let fields = match value.parts() {
        Parts::String(string) => vec![string.bytes(&mut [0; 20]).to_vec()],
        Parts::Collection(collection) => collection.fields_from(0).map(|field| field.to_vec()).collect(),
    };
    (value.kind(), value.encoding(), fields)
}

fn numbers(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|i| i.to_string().into_bytes())
}

fn words(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|i| format!("word-{i}").into_bytes())
}

fn list(elements: impl Iterator<Item = Vec<u8>>) -> Value {
    let mut list = List::new();
    elements.for_each(|element| list.push_back(&element));
    list.encode_for_growth(rules().list_limit, &[]);
    list.into()
}

fn set(members: impl Iterator<Item = Vec<u8>>) -> Value {
    let mut set = Set::default();
    members.for_each(|member| assert!(set.add(&rules(), &member)));
    set.into()
}

fn hash(fields: impl Iterator<Item = Vec<u8>>) -> Value {
    let mut hash = Hash::new();
    fields.for_each(|field| assert!(hash.set(&rules(), &field, b"-12345678901")));
    hash.into()
}

fn sorted_set(count: usize) -> Value {
    let scored =
        |(i, member): (usize, Vec<u8>)| Scored { score: i as f64 / 3.0, member: SmallBytes::new(&member) };
    let mut all: Vec<Scored> = words(count).enumerate().map(scored).collect();
    all[0].score = f64::INFINITY;
    SortedSet::of(&rules(), all).into()
}

fn stream() -> Value {
    let mut stream = Stream::new();
    for ms in 1..=250 {
        let value = ms.to_string();
        let pairs: [&[u8]; 2] = [if ms % 9 == 0 { b"other" } else { b"field" }, value.as_bytes()];
        stream.append(StreamId::new(ms, ms * 7), &pairs, &rules());
    }
    stream.delete(&[StreamId::new(5, 35), StreamId::new(250, 1750)]);
    let mut group = Group::new(b"g", StreamId::new(9, 63), Some(9));
    for name in [&b"zoe"[..], b"7", b"idle"] {
        group.create_consumer(name, 3);
    }
    group.deliver(b"zoe", &[StreamId::new(1, 7), StreamId::new(3, 21)], 40);
    group.deliver(b"7", &[StreamId::new(2, 14)], 41);
    stream.create_group(group);
    stream.create_group(Group::new(b"a", StreamId::MIN, None));
    stream.into()
}

/// One of everything, in every encoding.
fn samples() -> Vec<Value> {
    vec![
        Str::new(b"").into(),
        Str::new(b"-129").into(),
        Str::new(b"9223372036854775807").into(),
        Str::new(&[b'x'; 70_000]).into(),
        list(words(3)),
        list(numbers(20_000)),
        list([vec![b'x'; 10_000], b"1".to_vec()].into_iter()),
        set(numbers(10)),
        set((0..10).map(|i| (i64::MAX - i).to_string().into_bytes())),
        set((0..10).map(|i| (70_000 * i - 9).to_string().into_bytes())),
        set(words(10)),
        set(words(1000)),
        hash(words(10)),
        hash(words(1000)),
        sorted_set(10),
        sorted_set(1000),
        Stream::new().into(),
        stream(),
    ]
}

#[test]
fn what_is_dumped_is_restored() {
    for value in samples() {
        let again = restore(&dump(&value, Version::V11), &rules()).unwrap();
        assert_eq!(contents(&again), contents(&value));
    }
}

#[test]
fn what_redis_7_0_takes_holds_the_same() {
    for value in samples() {
        let payload = dump(&value, Version::V10);
        assert!(payload[0] <= kind::STREAM_2, "{}", payload[0]);
        assert_eq!(payload[payload.len() - FOOTER_LEN..][..2], [10, 0]);
        let again = restore(&payload, &rules()).unwrap();
        if let (Value::Stream(stream), Value::Stream(again)) = (&value, &again) {
            // When a consumer was active is not in it.
            assert_eq!((again.len(), again.last_id()), (stream.len(), stream.last_id()));
            assert_eq!(again.group_count(), stream.group_count());
        } else {
            let mut both = [contents(&value), contents(&again)];
            // A small set comes in the order in which it is written, which is not kept.
            both.iter_mut().for_each(|(_, encoding, fields)| match *encoding {
                "listpack" if matches!(value, Value::Set(_)) => fields.sort(),
                _ => {}
            });
            assert_eq!(both[0], both[1]);
        }
    }
}

#[test]
fn a_footer_must_fit() {
    let good = dump(&Str::new(b"text").into(), Version::V11);
    assert!(restore(&good, &rules()).is_ok());
    for len in 0..good.len() {
        assert_eq!(restore(&good[..len], &rules()).unwrap_err(), Refused::Footer);
    }
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1;
        assert_eq!(restore(&bad, &rules()).unwrap_err(), Refused::Footer);
    }
}

/// A payload whose checksum fits.
fn sealed(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&version.to_le_bytes());
    let crc = CRC.checksum(&payload);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

#[test]
fn later_versions_and_unknown_kinds_are_refused() {
    assert!(restore(&sealed(b"\x00\x01x", 6), &rules()).is_ok());
    assert_eq!(restore(&sealed(b"\x00\x01x", 12), &rules()).unwrap_err(), Refused::Footer);
    for kind in [6, 7, 8, 9, 22, 255] {
        assert_eq!(restore(&sealed(&[kind, 1, b'x'], 11), &rules()).unwrap_err(), Refused::Format);
    }
}

#[test]
fn nothing_is_allocated_for_what_is_not_there() {
    // Each tells of a gigabyte or more.
    let claims: [&[u8]; 8] = [
        b"\x00\x81\x00\x00\x00\x40\x00\x00\x00\x00",
        b"\x00\x80\xff\xff\xff\xff",
        b"\x00\xc3\x01\x81\x00\x00\x00\x40\x00\x00\x00\x00x",
        b"\x01\x80\xff\xff\xff\xff",
        b"\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x05\x80\xff\xff\xff\xff",
        b"\x15\x80\xff\xff\xff\xff",
        b"\x0b\x08\x08\x00\x00\x00\xff\xff\xff\xff",
    ];
    for claim in claims {
        assert_eq!(
            restore(&sealed(claim, 11), &rules()).unwrap_err(),
            Refused::Format,
            "{}",
            claim.escape_ascii()
        );
    }
}

#[test]
fn empty_collections_and_doubles_are_refused() {
    let bodies: [&[u8]; 9] = [
        b"\x01\x00",
        b"\x02\x00",
        b"\x04\x00",
        b"\x05\x00",
        b"\x12\x00",
        b"\x12\x01\x02\x07\x07\x00\x00\x00\x00\x00\xff",
        b"\x02\x02\x01a\x01a",
        b"\x04\x02\x01a\x01x\x01a\x01x",
        b"\x03\x02\x01a\x011\x01a\x012",
    ];
    for body in bodies {
        assert_eq!(
            restore(&sealed(body, 11), &rules()).unwrap_err(),
            Refused::Format,
            "{}",
            body.escape_ascii()
        );
    }
    assert_eq!(restore(&sealed(b"\x03\x01\x01a\xfd", 11), &rules()).unwrap_err(), Refused::Format);
    assert!(restore(&sealed(b"\x03\x01\x01a\xfe", 11), &rules()).is_ok());
}

#[test]
fn encodings_of_older_versions_are_read() {
    let parts = |body: &[u8]| contents(&restore(&sealed(body, 6), &rules()).unwrap());
    // A ziplist of "a", 1, 300, -70000, each in an encoding of its own.
    let ziplist = b"\x1a\0\0\0\x13\0\0\0\x04\0\x00\x01a\x03\xf2\x02\xc0\x2c\x01\x04\xd0\x90\xee\xfe\xff\xff";
    let with = |kind: u8| [&[kind, ziplist.len() as u8][..], ziplist].concat();
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(parts(&with(10)).2, texts(&["a", "1", "300", "-70000"]));
    assert_eq!(parts(&with(13)).2, texts(&["a", "1", "300", "-70000"]));
    assert_eq!(parts(&with(12)).1, "listpack");
    assert_eq!(parts(&[&[14, 1][..], &with(10)[1..]].concat()).2, texts(&["a", "1", "300", "-70000"]));
}

/// A sample, and some of its bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = samples()
        .iter()
        .map(|value| {
            let payload = dump(value, Version::V11);
            payload[..payload.len() - FOOTER_LEN].to_vec()
        })
        .filter(|body| body.len() < 20_000)
        .collect();
    let change = (any::<prop::sample::Index>(), prop_oneof![Just(0), Just(0xff), any::<u8>()]);
    let changes = prop::collection::vec(change, 1..5);
    (prop::sample::select(bodies), changes, any::<prop::sample::Index>(), 0..4).prop_map(
        |(mut body, changes, cut, is_cut)| {
            // Mostly near the beginning, where the structure is.
            for (at, byte) in changes {
                let at = at.index(body.len()).min(at.index(64));
                let at = at.min(body.len() - 1);
                body[at] = byte;
            }
            if is_cut == 0 {
                body.truncate(cut.index(body.len()));
            }
            body
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hostile_payloads_are_refused_or_make_sound_values(body in mutated()) {
        if let Ok(value) = restore(&sealed(&body, 11), &rules()) {
            // It can be read, and written again.
            let again = restore(&dump(&value, Version::V11), &rules()).unwrap();
            prop_assert_eq!(contents(&again).2, contents(&value).2);
            if let Value::Stream(stream) = &value {
                let entries = stream.entries(StreamId::MIN, StreamId::MAX);
                prop_assert_eq!(entries.map(|entry| entry.pairs().count()).filter(|&pairs| pairs > 0).count(), stream.len());
                prop_assert_eq!(stream.fields_from(0).count(), stream.field_count());
            }
        }
    }

    #[test]
    fn random_bytes_are_harmless(body in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..23) {
        let body = [vec![kind], body].concat();
        let _ = restore(&sealed(&body, 11), &rules());
    }
}
