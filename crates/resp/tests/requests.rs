//! Requests from streams that arrive in any pieces, well-formed or not.

use proptest::collection::vec;
use proptest::prelude::*;
use quorate_resp::{Decoder, Limits, ProtocolError, encode_command};

type Requests = Vec<Vec<Vec<u8>>>;

/// Small enough for random streams to run into each of them.
const LIMITS: Limits =
    Limits { bulk_bytes: 300, args: 20, inline_bytes: 40, query_bytes: 1000, authenticated: true };

/// Decodes `stream`, cut at `cuts`, and checks after each piece that memory stays in proportion.
fn decode(stream: &[u8], cuts: &[usize], limits: Limits) -> (Requests, Option<ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let mut requests = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
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
                Err(error) => return (requests, Some(error)),
            }
        }
        assert!(decoder.allocated_bytes() <= 4 * stream.len() + (64 << 10));
    }
    (requests, None)
}

fn any_request() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..30), 1..6)
}

/// Pieces of protocol in any order: mostly nonsense, but nonsense that gets far.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => any_request().prop_map(|args| {
            let mut bytes = Vec::new();
            encode_command(&mut bytes, &args);
            bytes
        }),
        3 => "(PING|set k \"a\\\\x41 b\"|get 'k'|  | \"|[a-z'\"\\\\ ]{0,12})(\r\n|\n)".prop_map(String::into_bytes),
        1 => "\\*-?[0-9]{0,3}\r\n".prop_map(String::into_bytes),
        1 => "\\$-?[0-9]{0,3}\r\n".prop_map(String::into_bytes),
        1 => "[*$][0-9]{30,50}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..60),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encoded_commands_are_decoded_whatever_the_pieces(
        commands in vec(any_request(), 1..8),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for command in &commands {
            encode_command(&mut stream, command);
        }
        prop_assert_eq!(decode(&stream, &cuts, Limits::default()), (commands, None));
    }

    #[test]
    fn any_stream_means_the_same_in_any_pieces(stream in any_stream(), cuts in vec(any::<usize>(), 0..20)) {
        let whole = decode(&stream, &[], LIMITS);
        prop_assert_eq!(decode(&stream, &cuts, LIMITS), whole.clone());
        let every_byte: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(decode(&stream, &every_byte, LIMITS), whole);
    }

    #[test]
    fn random_bytes_do_no_harm(stream in vec(any::<u8>(), 0..2000), cuts in vec(any::<usize>(), 0..5)) {
        decode(&stream, &cuts, Limits::default());
    }
}
