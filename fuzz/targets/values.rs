//! What servers answer: any bytes, in any pieces. The same values come out, and what is written again is the same value.

#![no_main]

use quorate_fuzz::{Input, cuts};
use quorate_resp::{Protocol, Value, ValueDecoder, ValueError, ValueLimits};

/// Small enough for short inputs to run into each of them.
const SMALL: ValueLimits =
    ValueLimits { bulk_bytes: 40, line_bytes: 30, elements: 20, depth: 5, reply_bytes: 200 };

fn decode(stream: &[u8], cuts: &[usize], limits: ValueLimits) -> (Vec<Value>, Option<ValueError>) {
    let mut decoder = ValueDecoder::new(limits);
    let mut values = Vec::new();
    for piece in cuts.windows(2) {
        decoder.feed(&stream[piece[0]..piece[1]]);
        loop {
            match decoder.next() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

fn encode(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.encode(&mut bytes, Protocol::Resp3));
    bytes
}

/// NaN is not equal to itself; its text is.
fn same(a: &impl std::fmt::Debug, b: &impl std::fmt::Debug, what: &str) {
    let (a, b) = (format!("{a:?}"), format!("{b:?}"));
    assert!(a == b, "{what}: {a} is not {b}");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (choice, seed) = (input.byte(), input.word() as u64);
    let stream = input.0;
    let limits = if choice & 1 == 0 { SMALL } else { ValueLimits::default() };
    let whole = decode(stream, &[0, stream.len()], limits);
    let cuts = cuts(seed, stream.len());
    same(&decode(stream, &cuts, limits), &whole, "in pieces");

    // RESP3 has one null where RESP2 has two: what is written again is the same from the second time on.
    let written = encode(&whole.0);
    let (again, error) = decode(&written, &[0, written.len()], ValueLimits::default());
    assert_eq!(error, None, "{}", written.escape_ascii());
    assert_eq!(again.len(), whole.0.len());
    assert_eq!(encode(&again).escape_ascii().to_string(), written.escape_ascii().to_string());
});
