//! What `fuzz/` calls: readers of bytes that come from other nodes, each with a promise that is checked. Only in builds
//! of the feature `fuzzing`, which nothing but `fuzz/` asks for.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use openraft::EntryPayload;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, ReadBuf};

use crate::bus::frame::{MessageReader, MessageWriter, append_message};
use crate::bus::handshake::{Challenge, Proof, Welcome};
use crate::bus::{
    Admin, Class, Credentials, Hello, JoinRequest, MAGIC, PROTOCOL_VERSION, Probe, ReadIndex, Request,
    Response, SnapshotHeader, caller, decode_append, decode_append_reply, encode_append,
};
use crate::snapshot::Verifier;
use crate::storage::{decode, encode};
use crate::timing::Pace;
use crate::types::{
    Batch, Entry, LeaderId, Member, Membership, SnapshotMeta, StoredMembership, TypeConfig, Vote, log_id,
};

/// The largest message that is taken here.
const LIMIT: usize = 1 << 20;

/// A stream that arrives in pieces, which end at these places.
struct Pieces<'a> {
    bytes: &'a [u8],
    cuts: &'a [usize],
    at: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at = self.at;
        let next_cut = self.cuts.iter().copied().find(|cut| *cut > at).unwrap_or(usize::MAX);
        let end = next_cut.min(self.bytes.len()).min(at + buf.remaining());
        let piece = &self.bytes[at..end];
        buf.put_slice(piece);
        self.at += piece.len();
        Poll::Ready(Ok(()))
    }
}

/// The messages of a stream, and whether it ended between two of them.
fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<Bytes>, bool) {
    let mut reader = MessageReader::new(Pieces { bytes, cuts, at: 0 }, LIMIT);
    let mut messages = Vec::new();
    loop {
        match reader.next().now_or_never().expect("all bytes are there") {
            Ok(Some(message)) => {
                assert!(message.len() <= LIMIT, "{} bytes", message.len());
                messages.push(message);
            }
            Ok(None) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

/// Any bytes as a stream of frames: the same messages, whatever the pieces.
pub fn stream(bytes: &[u8], cuts: &[usize]) {
    let whole = read(bytes, &[]);
    assert_eq!(read(bytes, cuts), whole, "cut at {cuts:?}");
    if let Ok(Some((from, to))) = caller(bytes) {
        // What stands between two nodes reads the greeting as they do.
        let hello: Hello = decode(&whole.0[0]).expect("it was understood");
        assert_eq!((hello.from, hello.to), (from, to));
    }
}

/// Messages of any bytes arrive as they were sent, whatever the pieces. `seed` decides how they are made of the bytes.
pub fn round_trip(bytes: &[u8], cuts: &[usize], seed: u64) {
    let len = 1 + (seed % 50) as usize;
    // Some that take several frames.
    let filler = vec![seed as u8; if seed & 63 == 0 { 600_000 } else { 0 }];
    let messages: Vec<Vec<u8>> = bytes.chunks(len).take(40).map(|part| [part, &filler].concat()).collect();
    let mut wire = Vec::new();
    for message in &messages {
        append_message(&mut wire, &[&message[..message.len() / 2], &message[message.len() / 2..]]);
    }
    let (arrived, whole) = read(&wire, cuts);
    assert!(whole && arrived.iter().map(|m| &m[..]).eq(messages.iter().map(|m| &m[..])));
}

/// What is understood means the same once it is written again.
fn again<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes) else { return };
    let written = encode(&value);
    let value_again: T = decode(&written).unwrap_or_else(|error| panic!("{error}: {value:?}"));
    assert_eq!(encode(&value_again), written, "{value:?}");
}

/// Any bytes as a message of each kind.
pub fn message(bytes: &[u8]) {
    again::<Hello>(bytes);
    again::<Challenge>(bytes);
    again::<Proof>(bytes);
    again::<Welcome>(bytes);
    again::<Request>(bytes);
    again::<Response>(bytes);
    again::<SnapshotHeader>(bytes);
    again::<StreamAppendResult<TypeConfig>>(bytes);
    let _whatever = decode_append_reply(bytes);
    if let Ok(request) = decode_append(Bytes::copy_from_slice(bytes)) {
        let wire = append_wire(&request);
        let (messages, whole) = read(&wire, &[]);
        assert!(whole && messages.len() == 1);
        let request_again = decode_append(messages[0].clone()).expect("it was understood before");
        assert_eq!(format!("{request:?}"), format!("{request_again:?}"));
    }
}

fn append_wire(request: &AppendEntriesRequest<TypeConfig>) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut writer = MessageWriter::new(&mut wire);
    encode_append(&mut writer, request);
    writer.flush().now_or_never().expect("memory does not wait").expect("nor fail");
    drop(writer);
    wire
}

/// Any bytes as a snapshot file on its way: the same verdict, whatever the pieces.
pub fn snapshot(bytes: &[u8], cuts: &[usize]) {
    let verdict = |cuts: &[usize]| {
        let mut verifier = Verifier::default();
        let mut at = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let cut = cut.clamp(at, bytes.len());
            verifier.check(&bytes[at..cut])?;
            at = cut;
        }
        verifier.finish()
    };
    assert_eq!(verdict(&[]).is_ok(), verdict(cuts).is_ok());
}

fn member() -> Member {
    Member {
        addr: "10.0.0.1:6379".to_owned(),
        bus: "10.0.0.1:16379".to_owned(),
        incarnation: 5,
        ..Member::default()
    }
}

fn vote() -> Vote {
    Vote { leader_id: LeaderId { term: 3, voted_for: 2 }, committed: true }
}

fn append() -> AppendEntriesRequest<TypeConfig> {
    let membership = Membership::new_with_defaults(vec![[1, 2].into()], [1, 2]);
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Batch::new(Bytes::from_static(b"a batch"))),
        EntryPayload::Membership(membership),
    ];
    let entries = payloads.into_iter().enumerate();
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(2, 6)),
        leader_commit: None,
        entries: entries.map(|(n, payload)| Entry { log_id: log_id(3, 7 + n as u64), payload }).collect(),
    }
}

fn hello() -> Bytes {
    encode(&Hello {
        magic: MAGIC,
        version: PROTOCOL_VERSION,
        cluster: 7,
        from: 2,
        to: 3,
        class: Class::Log,
        nonce: [9; 32],
    })
}

/// Good messages, to begin with.
pub fn messages() -> Vec<Vec<u8>> {
    let probe = Probe { matched: BTreeMap::from([(1, 5), (2, 1 << 40)]), ..Probe::default() };
    let (append_message, _) = read(&append_wire(&append()), &[]);
    let meta = SnapshotMeta { last_log_id: Some(log_id(2, 6)), last_membership: StoredMembership::default() };
    let all = [
        hello(),
        encode(&Challenge::Nonce([9; 32])),
        encode(&Proof { caller: Credentials::default(), tag: [7; 32] }),
        encode(&Welcome::Proven { answer: Err("a reason".to_owned().into()), tag: [7; 32] }),
        encode(&Request::Vote(openraft::raft::VoteRequest::new(vote(), Some(log_id(2, 6))))),
        encode(&Request::Join(JoinRequest { id: 0, member: member(), pace: Pace::default() })),
        encode(&Request::Admin(Admin::Readdress(3, member()))),
        encode(&Response::Probe(probe)),
        encode(&Response::NotLeader(Some((2, member())))),
        encode(&Response::ReadIndex(ReadIndex { index: 3, now_ms: 1 << 50 })),
        encode(&SnapshotHeader { vote: vote(), meta, bytes: 100 }),
        append_message[0].clone(),
    ];
    all.iter().map(|message| message.to_vec()).collect()
}

/// A good stream.
pub fn frames() -> Vec<u8> {
    let mut wire = Vec::new();
    append_message(&mut wire, &[&hello()]);
    append_message(&mut wire, &[b"next"]);
    append_message(&mut wire, &[]);
    wire
}

/// A good snapshot file of made-up pieces.
pub fn snapshot_file() -> Vec<u8> {
    let mut file = BytesMut::from(&crate::snapshot::MAGIC[..]);
    for piece in [&b"what it covers"[..], b"a piece", b""] {
        file.put_u32_le(piece.len() as u32);
        file.put_u32_le(crc32c::crc32c(piece));
        file.put_slice(piece);
    }
    file.to_vec()
}
