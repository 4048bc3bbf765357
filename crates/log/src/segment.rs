//! Segments: the files of the log.
//!
//! A segment is a header of one page, made durable with its folder before the first record, and records behind
//! it. Positions in the log (LSN) count the bytes of records over all segments. Segments are only ever appended
//! to: what a crash left behind is cut by the start record of the next segment, which says where this one ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The format of everything in a log folder.
pub(crate) const FORMAT: u32 = 1;

/// Length of a segment's header: one page, so that no write of records touches it.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;

const MAGIC: [u8; 8] = *b"QUORLOG\n";
const HEADER_FIELDS_BYTES: usize = 32;
const HEADER_USED_BYTES: usize = HEADER_FIELDS_BYTES + 4;
const SUFFIX: &str = ".log";

/// What sets a segment's records apart from those of every other segment, past or future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId {
    /// The number in its name.
    pub(crate) number: u64,
    /// The start of the node that made it ([`Recovery::starts`](crate::Recovery::starts)).
    pub(crate) run: u64,
}

/// A segment's header as found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoundHeader {
    Valid(SegmentId),
    Version(u32),
    Damaged,
}

impl SegmentId {
    /// The start of its chain of checksums.
    pub(crate) fn seed(self) -> u32 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.run.to_le_bytes());
        crc32c::crc32c(&bytes)
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        path_of(dir, self.number)
    }

    pub(crate) fn encode_header(self) -> Bytes {
        let mut out = BytesMut::zeroed(SEGMENT_HEADER_BYTES as usize);
        let mut fields = &mut out[..];
        fields.put_slice(&MAGIC);
        fields.put_u32_le(FORMAT);
        fields.put_u32_le(0);
        fields.put_u64_le(self.number);
        fields.put_u64_le(self.run);
        let crc = crc32c::crc32c(&out[..HEADER_FIELDS_BYTES]);
        out[HEADER_FIELDS_BYTES..HEADER_USED_BYTES].copy_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    pub(crate) fn decode_header(bytes: &[u8], number: u64) -> FoundHeader {
        let Some(mut fields) = bytes.get(..HEADER_USED_BYTES) else { return FoundHeader::Damaged };
        let crc = crc32c::crc32c(&fields[..HEADER_FIELDS_BYTES]);
        if !fields.starts_with(&MAGIC) {
            return FoundHeader::Damaged;
        }
        fields.advance(MAGIC.len());
        let format = fields.get_u32_le();
        fields.advance(4);
        let id = SegmentId { number: fields.get_u64_le(), run: fields.get_u64_le() };
        if crc != fields.get_u32_le() || id.number != number {
            return FoundHeader::Damaged;
        }
        if format != FORMAT { FoundHeader::Version(format) } else { FoundHeader::Valid(id) }
    }
}

pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}{SUFFIX}"))
}

/// The number in a segment's file name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A segment that belongs to the log.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) path: Arc<Path>,
    /// Where it starts in the log.
    pub(crate) start: u64,
    /// Where its start record ends.
    pub(crate) first: u64,
    /// How many entries in it are live.
    pub(crate) live: u64,
    /// The log's end when `live` last shrank: once that is durable, so is what made them dead.
    pub(crate) dead_at: u64,
    /// Bytes of the file, as far as known.
    pub(crate) file_bytes: u64,
}

impl Segment {
    /// Where the byte at `lsn` stands in the file.
    pub(crate) fn offset(&self, lsn: u64) -> u64 {
        debug_assert!(lsn >= self.start);
        SEGMENT_HEADER_BYTES + (lsn - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_is_seen() {
        let id = SegmentId { number: 5, run: 2 };
        let bytes = id.encode_header();
        assert_eq!(SegmentId::decode_header(&bytes, 5), FoundHeader::Valid(id));
        assert_eq!(SegmentId::decode_header(&bytes, 6), FoundHeader::Damaged, "another file's name");
        for bit in 0..HEADER_USED_BYTES * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentId::decode_header(&damaged, 5), FoundHeader::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn names_read_back() {
        let name = path_of(Path::new("d"), 42);
        assert_eq!(number_of(name.file_name().unwrap().to_str().unwrap()), Some(42));
        for other in ["votes", "1.log", "0000000000000000004x.log", "99999999999999999999.log"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
