//! AppendEntries on the wire: fixed little-endian fields, so that the payloads of entries are neither copied
//! nor walked when a request is decoded.

use std::io;

use bytes::{Buf, Bytes};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

use super::frame::{LARGE_BYTES, MessageWriter};
use crate::storage::{decode, decode_entry, encode, encode_entry};
use crate::types::{LeaderId, LogId, TypeConfig, Vote, log_id, term_of};

type Append = AppendEntriesRequest<TypeConfig>;

/// Gathers one request.
pub(crate) fn encode_append<W: tokio::io::AsyncWrite + Unpin>(out: &mut MessageWriter<W>, request: &Append) {
    let mut head = Vec::with_capacity(64 + request.entries.len() * 21);
    put_u64(&mut head, request.vote.leader_id.term);
    put_u64(&mut head, request.vote.leader_id.voted_for);
    head.push(u8::from(request.vote.committed));
    put_log_id(&mut head, request.prev_log_id.as_ref());
    put_log_id(&mut head, request.leader_commit.as_ref());
    head.extend_from_slice(&(request.entries.len() as u32).to_le_bytes());
    let records: Vec<_> = request.entries.iter().map(encode_entry).collect();
    for r in &records {
        put_u64(&mut head, r.index);
        put_u64(&mut head, r.term);
        head.push(r.kind);
        head.extend_from_slice(&(r.payload.len() as u32).to_le_bytes());
    }
    if records.iter().map(|r| r.payload.len()).sum::<usize>() > LARGE_BYTES {
        let payloads = records.into_iter().map(|r| r.payload);
        return out.push_shared(std::iter::once(head.into()).chain(payloads).collect());
    }
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + records.len());
    parts.push(&head);
    parts.extend(records.iter().map(|r| r.payload.as_ref()));
    out.push(&parts);
}

/// A request from a peer; the payloads share the message's bytes.
pub(crate) fn decode_append(mut message: Bytes) -> io::Result<Append> {
    let m = &mut message;
    let leader_id = LeaderId { term: get_u64(m)?, voted_for: get_u64(m)? };
    let vote = Vote { leader_id, committed: get_u8(m)? != 0 };
    let prev_log_id = get_log_id(m)?;
    let leader_commit = get_log_id(m)?;
    let count = get_u32(m)? as usize;
    let mut heads = Vec::new();
    for _ in 0..count {
        heads.push((get_u64(m)?, get_u64(m)?, get_u8(m)?, get_u32(m)? as usize));
    }
    let mut entries = Vec::with_capacity(heads.len());
    for (index, term, kind, len) in heads {
        check(m, len)?;
        entries.push(decode_entry(quorate_log::Entry { index, term, kind, payload: m.split_to(len) })?);
    }
    Ok(Append { vote, prev_log_id, entries, leader_commit })
}

/// The answer to a request.
pub(crate) fn encode_append_reply(result: &StreamAppendResult<TypeConfig>) -> Bytes {
    encode(result)
}

/// The answer of a peer.
pub(crate) fn decode_append_reply(message: &[u8]) -> io::Result<StreamAppendResult<TypeConfig>> {
    decode(message)
}

fn put_u64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(&v.to_le_bytes());
}

fn put_log_id(out: &mut Vec<u8>, id: Option<&LogId>) {
    out.push(u8::from(id.is_some()));
    put_u64(out, id.map_or(0, term_of));
    put_u64(out, id.map_or(0, |id| id.index));
}

fn get_log_id(m: &mut Bytes) -> io::Result<Option<LogId>> {
    let some = get_u8(m)? != 0;
    let (term, index) = (get_u64(m)?, get_u64(m)?);
    Ok(some.then(|| log_id(term, index)))
}

fn get_u64(m: &mut Bytes) -> io::Result<u64> {
    check(m, 8)?;
    Ok(m.get_u64_le())
}

fn get_u32(m: &mut Bytes) -> io::Result<u32> {
    check(m, 4)?;
    Ok(m.get_u32_le())
}

fn get_u8(m: &mut Bytes) -> io::Result<u8> {
    check(m, 1)?;
    Ok(m.get_u8())
}

fn check(m: &Bytes, len: usize) -> io::Result<()> {
    match m.len() >= len {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "an append request is cut short")),
    }
}
