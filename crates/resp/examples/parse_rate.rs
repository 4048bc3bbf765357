//! Commands parsed per second by `Decoder`, and by the crate `redis-protocol` for comparison.
//!
//! `cargo run --release -p quorate-resp --example parse_rate`: one million `SET`s that arrive as pipelines of
//! 16; the best of five runs. Every run reads all arguments and checks their total length.
#![allow(
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a measurement, on a real clock, for people"
)]

use std::time::Instant;

use bytes::BytesMut;
use quorate_resp::{Decoder, encode_command};
use redis_protocol::resp2::decode::{decode_bytes_mut, decode_range};
use redis_protocol::resp2::types::{BytesFrame, RangeFrame};

const COMMANDS: usize = 1_000_000;
const PIPELINE: usize = 16;
const RUNS: usize = 5;

fn main() {
    let mut pipeline = Vec::new();
    for _ in 0..PIPELINE {
        encode_command(&mut pipeline, &["SET", "key:000000000001", "xxx"]);
    }
    report("quorate-resp", &pipeline, own);
    report("redis-protocol, ranges", &pipeline, ranges);
    report("redis-protocol, bytes", &pipeline, shared_bytes);
}

fn report(name: &str, pipeline: &[u8], parse: fn(&[u8]) -> usize) {
    let best = (0..RUNS).map(|_| {
        let start = Instant::now();
        let arg_bytes = parse(pipeline);
        let elapsed = start.elapsed().as_secs_f64();
        assert_eq!(arg_bytes, COMMANDS * "SETkey:000000000001xxx".len());
        elapsed
    });
    let best = best.fold(f64::INFINITY, f64::min);
    println!("{name:24} {:6.2} M commands/s", COMMANDS as f64 / best / 1e6);
}

fn own(pipeline: &[u8]) -> usize {
    let mut decoder = Decoder::default();
    let mut arg_bytes = 0;
    for _ in 0..COMMANDS / PIPELINE {
        decoder.buffer().extend_from_slice(pipeline);
        while let Ok(Some(request)) = decoder.next() {
            arg_bytes += request.iter().map(<[u8]>::len).sum::<usize>();
        }
    }
    arg_bytes
}

fn ranges(pipeline: &[u8]) -> usize {
    let mut buffer = Vec::new();
    let mut arg_bytes = 0;
    for _ in 0..COMMANDS / PIPELINE {
        buffer.clear();
        buffer.extend_from_slice(pipeline);
        let mut at = 0;
        while let Ok(Some((RangeFrame::Array(args), used))) = decode_range(&buffer[at..]) {
            for arg in &args {
                if let RangeFrame::BulkString((start, end)) = arg {
                    arg_bytes += buffer[at..][*start..*end].len();
                }
            }
            at += used;
        }
    }
    arg_bytes
}

fn shared_bytes(pipeline: &[u8]) -> usize {
    let mut buffer = BytesMut::new();
    let mut arg_bytes = 0;
    for _ in 0..COMMANDS / PIPELINE {
        buffer.extend_from_slice(pipeline);
        while let Ok(Some((BytesFrame::Array(args), _, _))) = decode_bytes_mut(&mut buffer) {
            for arg in &args {
                if let BytesFrame::BulkString(bytes) = arg {
                    arg_bytes += bytes.len();
                }
            }
        }
    }
    arg_bytes
}
