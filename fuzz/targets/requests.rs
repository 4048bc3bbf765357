//! What clients send: any bytes, in any pieces, with any limits. The same requests come out, and memory stays in
//! proportion to what was sent.

#![no_main]

use quorate_fuzz::{Input, cuts};
use quorate_resp::{Decoder, Limits, ProtocolError, encode_command};

type Requests = Vec<Vec<Vec<u8>>>;

/// Small enough for short inputs to run into each of them.
const SMALL: Limits =
    Limits { bulk_bytes: 40, args: 12, inline_bytes: 30, query_bytes: 100, authenticated: true };

fn decode(stream: &[u8], cuts: &[usize], limits: Limits) -> (Requests, Option<ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let mut requests = Vec::new();
    for (number, piece) in cuts.windows(2).enumerate() {
        let piece = &stream[piece[0]..piece[1]];
        if number % 2 == 0 {
            decoder.feed(piece);
        } else {
            decoder.buffer().extend_from_slice(piece);
        }
        loop {
            match decoder.next() {
                Ok(Some(request)) => {
                    assert!(request.len() > 0 && request.wire_bytes() <= limits.query_bytes + 1);
                    requests.push(request.iter().map(<[u8]>::to_vec).collect());
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next().err(), Some(error), "an error is final");
                    return (requests, Some(error));
                }
            }
        }
        assert!(decoder.allocated_bytes() <= 4 * stream.len() + (64 << 10), "{}", decoder.allocated_bytes());
        assert!(decoder.announced_bytes() <= limits.query_bytes + 2, "{}", decoder.announced_bytes());
    }
    (requests, None)
}

/// As a session that is short of memory does it: what is announced as large is passed over, and the connection goes on.
fn skip(stream: &[u8], cuts: &[usize], above: usize) {
    let mut decoder = Decoder::new(Limits::default());
    for piece in cuts.windows(2) {
        decoder.feed(&stream[piece[0]..piece[1]]);
        loop {
            match decoder.next().map(|request| request.is_some()) {
                Ok(true) => {}
                Ok(false) if decoder.announced_bytes() > above && decoder.skip() => {}
                Ok(false) => break,
                Err(_) => return,
            }
        }
        decoder.release();
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (choice, seed) = (input.byte(), input.word() as u64);
    let stream = input.0;
    let limits = if choice & 1 == 0 { SMALL } else { Limits::default() };
    let limits = if choice & 2 == 0 { limits } else { limits.unauthenticated() };
    let whole = decode(stream, &[0, stream.len()], limits);
    let cuts = cuts(seed, stream.len());
    assert_eq!(decode(stream, &cuts, limits), whole, "cut at {cuts:?}");
    if choice & 4 != 0 {
        let every_byte: Vec<usize> = (0..=stream.len()).collect();
        assert_eq!(decode(stream, &every_byte, limits), whole, "byte by byte");
    }
    if choice & 8 != 0 {
        skip(stream, &cuts, 30);
    }

    // What was understood is understood again.
    let mut again = Vec::new();
    for request in &whole.0 {
        encode_command(&mut again, request);
    }
    assert_eq!(decode(&again, &[0, again.len()], Limits::default()), (whole.0, None));
});
