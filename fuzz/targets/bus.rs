//! What nodes send each other: any bytes, in any pieces, as frames, as messages and as a snapshot file on its way.

#![no_main]

use quorate_fuzz::{Input, cuts};
use quorate_replica::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(|| {
        let mut seeds = Vec::new();
        for message in fuzzing::messages() {
            seeds.push([vec![1], message.clone()].concat());
            seeds.push([vec![2, 3, 5], message].concat());
        }
        seeds.push([vec![0, 3, 5], fuzzing::frames()].concat());
        seeds.push([vec![3, 3, 5], fuzzing::snapshot_file()].concat());
        seeds
    }),
    |data: &[u8]| {
        let mut input = Input(data);
        match input.byte() % 4 {
            0 => {
                let seed = input.word() as u64;
                fuzzing::stream(input.0, &cuts(seed, input.0.len()));
            }
            1 => fuzzing::message(input.0),
            2 => {
                let seed = input.word() as u64;
                fuzzing::round_trip(input.0, &cuts(seed, input.0.len()), seed);
            }
            _ => {
                let seed = input.word() as u64;
                fuzzing::snapshot(input.0, &cuts(seed, input.0.len()));
            }
        }
    }
);
