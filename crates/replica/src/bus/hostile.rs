//! Frames and messages that are damaged or made up: no panic, no more memory than was sent.

use bytes::Bytes;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;

use super::frame::{MessageReader, append_message};
use super::handshake::{Challenge, Proof, Welcome};
use super::*;
use crate::storage::{decode, encode};

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Changes bytes, cuts, repeats, or writes a number over what is there.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                _ if bytes.is_empty() => *bytes = self.bytes(9),
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => _ = bytes.splice(at..at, self.bytes(5)),
                4 => bytes.extend_from_within(at..),
                _ => {
                    let number = [0, 1, u32::MAX, 1 << 31, 255][self.below(5)].to_le_bytes();
                    bytes[at..].iter_mut().zip(number).for_each(|(byte, new)| *byte = new);
                }
            }
        }
    }
}

/// Whether it was understood.
fn take<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    decode::<T>(bytes).is_ok()
}

#[test]
fn messages_of_every_kind() {
    let member =
        Member { addr: "10.0.0.1:6379".to_owned(), bus: "10.0.0.1:16379".to_owned(), ..Member::default() };
    let probe = Probe { matched: BTreeMap::from([(1, 5), (2, 1 << 40)]), ..Probe::default() };
    let hello = Hello::example([9; 32]);
    let answer = Err("a reason".to_owned().into());
    let good: Vec<Bytes> = vec![
        encode(&hello),
        encode(&Challenge::Nonce([9; 32])),
        encode(&Challenge::Refused("a reason".to_owned().into())),
        encode(&Proof { caller: Credentials::default(), tag: [7; 32] }),
        encode(&Welcome::Proven { answer, tag: [7; 32] }),
        encode(&Request::Join(JoinRequest { id: 0, member: member.clone(), pace: Pace::default() })),
        encode(&Request::Admin(Admin::Readdress(3, member.clone()))),
        encode(&Response::Probe(probe)),
        encode(&Response::NotLeader(Some((2, member)))),
        encode(&Response::ReadIndex(ReadIndex { index: 3, now_ms: 1 << 50 })),
    ];
    let rng = &mut Rng(1);
    let (mut understood, mut tried) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = match rng.below(8) {
            0 => {
                let len = rng.below(80);
                rng.bytes(len)
            }
            _ => good[rng.below(good.len())].to_vec(),
        };
        rng.mutate(&mut bytes);
        let takes = [
            take::<Hello>(&bytes),
            take::<Challenge>(&bytes),
            take::<Proof>(&bytes),
            take::<Welcome>(&bytes),
            take::<Request>(&bytes),
            take::<Response>(&bytes),
            take::<SnapshotHeader>(&bytes),
            decode_append(Bytes::from(bytes.clone())).is_ok(),
            decode_append_reply(&bytes).is_ok(),
        ];
        understood += takes.iter().filter(|t| **t).count();
        tried += takes.len();
    }
    assert!(understood > tried / 100 && understood < tried / 2, "{understood} of {tried}");
}

#[test]
fn frames() {
    const LIMIT: usize = 1 << 20;
    let rng = &mut Rng(2);
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut wire = Vec::new();
        for _ in 0..=rng.below(3) {
            let len = if rng.below(20) == 0 { rng.below(LIMIT) } else { rng.below(300) };
            append_message(&mut wire, &[&rng.bytes(len.min(400)), &vec![7; len.saturating_sub(400)]]);
        }
        if rng.below(10) > 0 {
            rng.mutate(&mut wire);
        }
        let _whatever = caller(&wire);
        let mut reader = MessageReader::new(&wire[..], LIMIT);
        loop {
            match reader.next().now_or_never().expect("all bytes are there") {
                Ok(Some(message)) => {
                    assert!(message.len() <= LIMIT);
                    whole += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(whole > 1_000 && refused > 1_000, "{whole} messages, {refused} streams refused");
}
