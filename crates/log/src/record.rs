//! Records: the unit of the log's byte stream.
//!
//! A record is a header of [`HEADER_BYTES`] and a payload. The header's checksum covers the identity of the
//! segment, the record's own position, its predecessor's header checksum and its payload's checksum: a record is
//! only valid where it was written, behind what it was written behind (R6).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::entry::{IndexTerm, SHARDS_MAX, ShardId};

/// Length of a record's header.
pub(crate) const HEADER_BYTES: usize = 40;

/// Length of a group record, payload included.
pub(crate) const GROUP_BYTES: u64 = (HEADER_BYTES + GROUP_PAYLOAD_BYTES) as u64;

/// Marks the payload of a group record, so that one can be found behind damage.
pub(crate) const GROUP_MAGIC: [u8; 8] = *b"\xf1QrmGrp\x01";

const GROUP_PAYLOAD_BYTES: usize = 40;
const SHARD_STATE_BYTES: usize = 40;
const START_FIXED_BYTES: usize = 20;

/// The longest payload of a start record.
pub(crate) const START_PAYLOAD_BYTES_MAX: usize = START_FIXED_BYTES + SHARDS_MAX * SHARD_STATE_BYTES;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The first record of a segment: where it stands, and what each shard's log was there.
    Start = 1,
    /// The first record of a group: up to where the log was durable before it.
    Group = 2,
    /// An entry.
    Entry = 3,
    /// Entries from `index` on are gone.
    Truncate = 4,
    /// Entries up to `index` (of `term`) are forgotten.
    Purge = 5,
    /// All entries are forgotten; the next is `index + 1`.
    Reset = 6,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Tag> {
        Some(match byte {
            1 => Tag::Start,
            2 => Tag::Group,
            3 => Tag::Entry,
            4 => Tag::Truncate,
            5 => Tag::Purge,
            6 => Tag::Reset,
            _ => return None,
        })
    }
}

/// A record before it gets its place in the chain.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) tag: Tag,
    pub(crate) kind: u8,
    pub(crate) shard: ShardId,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) payload: Bytes,
    pub(crate) payload_crc: u32,
}

impl Record {
    pub(crate) fn new(tag: Tag, shard: ShardId, (index, term): IndexTerm, payload: Bytes) -> Record {
        let payload_crc = crc32c::crc32c(&payload);
        Record { tag, kind: 0, shard, index, term, payload, payload_crc }
    }

    /// Its length in the log.
    pub(crate) fn size(&self) -> u64 {
        (HEADER_BYTES + self.payload.len()) as u64
    }

    /// Writes the header and returns its checksum, which the next record's header carries.
    pub(crate) fn seal(&self, seed: u32, lsn: u64, prev: u32, out: &mut BytesMut) -> u32 {
        let at = out.len();
        out.put_u32_le(0);
        out.put_u32_le(prev);
        out.put_u32_le(self.payload_crc);
        out.put_u32_le(u32::try_from(self.payload.len()).expect("payloads are limited"));
        out.put_u8(self.tag as u8);
        out.put_u8(self.kind);
        out.put_u16_le(0);
        out.put_u32_le(self.shard.0);
        out.put_u64_le(self.term);
        out.put_u64_le(self.index);
        let crc = header_crc(seed, lsn, &out[at + 4..]);
        out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        crc
    }
}

fn header_crc(seed: u32, lsn: u64, fields: &[u8]) -> u32 {
    debug_assert_eq!(fields.len(), HEADER_BYTES - 4);
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &lsn.to_le_bytes()), fields)
}

/// A record's header as read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) crc: u32,
    pub(crate) prev: u32,
    pub(crate) payload_crc: u32,
    pub(crate) len: u32,
    pub(crate) tag: Tag,
    pub(crate) kind: u8,
    pub(crate) shard: ShardId,
    pub(crate) term: u64,
    pub(crate) index: u64,
}

impl Header {
    /// Reads a header that stands at `lsn` of the segment with `seed`; `None` if it does not belong there.
    pub(crate) fn open(bytes: &[u8], seed: u32, lsn: u64) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut rest = bytes;
        let crc = rest.get_u32_le();
        if crc != header_crc(seed, lsn, rest) {
            return None;
        }
        let prev = rest.get_u32_le();
        let payload_crc = rest.get_u32_le();
        let len = rest.get_u32_le();
        let tag = Tag::from_byte(rest.get_u8())?;
        let kind = rest.get_u8();
        let _reserved = rest.get_u16_le();
        let shard = ShardId(rest.get_u32_le());
        let term = rest.get_u64_le();
        let index = rest.get_u64_le();
        Some(Header { crc, prev, payload_crc, len, tag, kind, shard, term, index })
    }

    pub(crate) fn size(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len)
    }
}

/// The payload of a group record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupMark {
    /// The segment it stands in.
    pub(crate) segment: u64,
    /// Where its record stands.
    pub(crate) lsn: u64,
    /// Up to where the log was on disk when the group was written.
    pub(crate) durable: u64,
    /// Where the group ends.
    pub(crate) end: u64,
}

impl GroupMark {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(GROUP_PAYLOAD_BYTES);
        out.put_slice(&GROUP_MAGIC);
        for field in [self.segment, self.lsn, self.durable, self.end] {
            out.put_u64_le(field);
        }
        out.freeze()
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<GroupMark> {
        if bytes.len() != GROUP_PAYLOAD_BYTES || !bytes.starts_with(&GROUP_MAGIC) {
            return None;
        }
        bytes.advance(GROUP_MAGIC.len());
        let [segment, lsn, durable, end] = std::array::from_fn(|_| bytes.get_u64_le());
        Some(GroupMark { segment, lsn, durable, end })
    }
}

/// The payload of a start record. It makes older segments dispensable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartMark {
    /// The segment that ends where this one starts; 0 for none. Whatever stands in it behind that place is cut.
    pub(crate) previous: u64,
    /// Where this segment starts. All before it was on disk when this record was written.
    pub(crate) lsn: u64,
    /// What each shard's log was there: (shard, purged, last).
    pub(crate) shards: Vec<(ShardId, Option<IndexTerm>, Option<IndexTerm>)>,
}

impl StartMark {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(START_FIXED_BYTES + self.shards.len() * SHARD_STATE_BYTES);
        out.put_u64_le(self.previous);
        out.put_u64_le(self.lsn);
        out.put_u32_le(u32::try_from(self.shards.len()).expect("shards are limited"));
        for (shard, purged, last) in &self.shards {
            out.put_u32_le(shard.0);
            out.put_u32_le(u32::from(purged.is_some()) | u32::from(last.is_some()) << 1);
            for (index, term) in [purged.unwrap_or_default(), last.unwrap_or_default()] {
                out.put_u64_le(index);
                out.put_u64_le(term);
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<StartMark> {
        if bytes.len() < START_FIXED_BYTES {
            return None;
        }
        let previous = bytes.get_u64_le();
        let lsn = bytes.get_u64_le();
        let count = bytes.get_u32_le() as usize;
        if bytes.len() != count.checked_mul(SHARD_STATE_BYTES)? {
            return None;
        }
        let shards = bytes.chunks_exact(SHARD_STATE_BYTES).map(decode_shard_state).collect();
        Some(StartMark { previous, lsn, shards })
    }
}

fn decode_shard_state(mut bytes: &[u8]) -> (ShardId, Option<IndexTerm>, Option<IndexTerm>) {
    let shard = ShardId(bytes.get_u32_le());
    let present = bytes.get_u32_le();
    let purged = (bytes.get_u64_le(), bytes.get_u64_le());
    let last = (bytes.get_u64_le(), bytes.get_u64_le());
    (shard, (present & 1 != 0).then_some(purged), (present & 2 != 0).then_some(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> BytesMut {
        let record = Record::new(Tag::Entry, ShardId(3), (7, 2), Bytes::from_static(b"payload"));
        let mut out = BytesMut::new();
        record.seal(11, 4096, 99, &mut out);
        out
    }

    #[test]
    fn a_header_reads_back_only_at_its_own_place_of_its_own_segment() {
        let bytes = sealed();
        let header = Header::open(&bytes, 11, 4096).unwrap();
        assert_eq!((header.shard, header.index, header.term), (ShardId(3), 7, 2));
        assert_eq!((header.prev, header.len, header.tag), (99, 7, Tag::Entry));
        assert!(Header::open(&bytes, 12, 4096).is_none(), "another segment");
        assert!(Header::open(&bytes, 11, 4097).is_none(), "another position");
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let bytes = sealed();
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::open(&damaged, 11, 4096).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_record() {
        for seed in 0..1000 {
            assert!(Header::open(&[0; HEADER_BYTES], seed, 0).is_none());
        }
    }

    #[test]
    fn marks_read_back() {
        let group = GroupMark { segment: 1, lsn: 2, durable: 3, end: 4 };
        assert_eq!(GroupMark::decode(&group.encode()), Some(group));
        let start = StartMark {
            previous: 1,
            lsn: 2,
            shards: vec![(ShardId(9), None, Some((0, 1))), (ShardId(10), Some((5, 1)), Some((6, 2)))],
        };
        assert_eq!(StartMark::decode(&start.encode()), Some(start.clone()));
        assert_eq!(StartMark::decode(&start.encode()[..50]), None);
    }
}
