//! Values through encoding and decoding, in both protocols and any pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use quorate_resp::{DoubleText, Protocol, Value, ValueDecoder, ValueError, ValueLimits};

fn any_value() -> impl Strategy<Value = Value> {
    let line = "[^\r\n]{0,12}";
    let leaf = prop_oneof![
        line.prop_map(Value::Simple),
        line.prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        vec(any::<u8>(), 0..40).prop_map(Value::Bulk),
        Just(Value::Null),
        Just(Value::NullArray),
        prop::num::f64::ANY
            .prop_filter("NaN is not equal to itself", |x| !x.is_nan())
            .prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        (any::<[u8; 3]>(), vec(any::<u8>(), 0..20))
            .prop_map(|(format, text)| Value::Verbatim { format, text }),
        "-?[0-9]{1,40}".prop_map(Value::BigNumber),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let pairs = vec((inner.clone(), inner.clone()), 0..3);
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec(inner.clone(), 0..5).prop_map(Value::Set),
            vec(inner.clone(), 0..5).prop_map(Value::Push),
            pairs.clone().prop_map(Value::Map),
            (pairs, inner)
                .prop_map(|(attributes, value)| Value::Attributed { attributes, value: Box::new(value) }),
        ]
    })
}

/// What is left of `value` after a journey in `protocol`.
fn carried(value: &Value, protocol: Protocol) -> Value {
    let all = |values: &[Value]| values.iter().map(|value| carried(value, protocol)).collect::<Vec<_>>();
    let both = |pairs: &[(Value, Value)]| {
        pairs
            .iter()
            .map(|(key, value)| (carried(key, protocol), carried(value, protocol)))
            .collect::<Vec<_>>()
    };
    match (protocol, value) {
        (_, Value::Array(values)) => Value::Array(all(values)),
        (Protocol::Resp3, Value::NullArray) => Value::Null,
        (Protocol::Resp3, Value::Set(values)) => Value::Set(all(values)),
        (Protocol::Resp3, Value::Push(values)) => Value::Push(all(values)),
        (Protocol::Resp3, Value::Map(pairs)) => Value::Map(both(pairs)),
        (Protocol::Resp3, Value::Attributed { attributes, value }) => {
            Value::Attributed { attributes: both(attributes), value: Box::new(carried(value, protocol)) }
        }
        (Protocol::Resp2, Value::Set(values) | Value::Push(values)) => Value::Array(all(values)),
        (Protocol::Resp2, Value::Map(pairs)) => {
            Value::Array(both(pairs).into_iter().flat_map(|(key, value)| [key, value]).collect())
        }
        (Protocol::Resp2, Value::Attributed { value, .. }) => carried(value, protocol),
        (Protocol::Resp2, Value::Double(number)) => Value::Bulk(DoubleText::new(*number).as_bytes().to_vec()),
        (Protocol::Resp2, Value::Boolean(value)) => Value::Int(i64::from(*value)),
        (Protocol::Resp2, Value::Verbatim { text, .. }) => Value::Bulk(text.clone()),
        (Protocol::Resp2, Value::BigNumber(decimal)) => Value::Bulk(decimal.clone().into_bytes()),
        (_, value) => value.clone(),
    }
}

fn decode(stream: &[u8], piece_bytes: usize, limits: ValueLimits) -> (Vec<Value>, Option<ValueError>) {
    let mut decoder = ValueDecoder::new(limits);
    let mut values = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        decoder.feed(piece);
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_survive_the_journey(values in vec(any_value(), 1..4), piece_bytes in 1..100_usize) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut stream = Vec::new();
            for value in &values {
                value.encode(&mut stream, protocol);
            }
            let expected: Vec<Value> = values.iter().map(|value| carried(value, protocol)).collect();
            prop_assert_eq!(decode(&stream, piece_bytes, ValueLimits::default()), (expected, None));
        }
    }

    #[test]
    fn any_stream_means_the_same_in_any_pieces(
        pieces in vec(("[-+:$*_#,(!=~>%|][0-9a-z.-]{0,3}", "(\r\n|\r\n|\r\n|\n|x)"), 0..40),
        piece_bytes in 1..50_usize,
    ) {
        let stream: String = pieces.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let limits = ValueLimits { bulk_bytes: 50, line_bytes: 20, elements: 500, depth: 5, reply_bytes: 1000 };
        // Debug output, because NaN is not equal to itself.
        let decoded = |piece_bytes| format!("{:?}", decode(stream.as_bytes(), piece_bytes, limits));
        prop_assert_eq!(decoded(piece_bytes), decoded(stream.len().max(1)));
    }

    #[test]
    fn random_bytes_do_no_harm(stream in vec(any::<u8>(), 0..2000), piece_bytes in 1..2000_usize) {
        decode(&stream, piece_bytes, ValueLimits::default());
    }

    #[test]
    fn a_double_reads_back_as_itself(bits in any::<u64>(), size in -30..30_i32, digits in any::<i32>()) {
        for number in [f64::from_bits(bits), f64::from(digits) * 10_f64.powi(size), f64::from(digits) / 1000.0] {
            let text = DoubleText::new(number);
            let text = str::from_utf8(text.as_bytes()).unwrap();
            let read: f64 = text.parse().unwrap();
            prop_assert!(read == number || (read.is_nan() && number.is_nan()), "{} {}", text, number);
        }
    }
}

#[test]
fn nesting_to_the_limit_is_decoded_and_dropped() {
    let limits = ValueLimits::default();
    let nested = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth)).into_bytes();
    assert_eq!(decode(&nested(limits.depth), 7, limits).0.len(), 1);
    assert_eq!(decode(&nested(limits.depth + 1), 7, limits).1, Some(ValueError::TooDeep));
}
