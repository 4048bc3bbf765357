//! Reading segments from front to back without trusting a byte of them.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use quorate_env::Disk;
use quorate_planted::{Bug, is_planted};

use crate::entry::PAYLOAD_BYTES_MAX;
use crate::record::{
    GROUP_BYTES, GROUP_MAGIC, GroupMark, HEADER_BYTES, Header, START_PAYLOAD_BYTES_MAX, StartMark, Tag,
};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentId};

/// How much is read at once; the most that a damaged length can make us allocate.
const WINDOW_BYTES: usize = 1 << 20;

/// A file, read through a window.
pub(crate) struct Reader<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    len: u64,
    window: Bytes,
    window_at: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, path: &'a Path) -> io::Result<Reader<'a>> {
        let len = disk.len(path)?.unwrap_or(0);
        Ok(Reader { disk, path, len, window: Bytes::new(), window_at: 0 })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Exactly `len` bytes; `None` if the file ends before.
    pub(crate) fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<Bytes>> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        if let Some(from) = at.checked_sub(self.window_at)
            && from + len as u64 <= self.window.len() as u64
        {
            let from = from as usize;
            return Ok(Some(self.window.slice(from..from + len)));
        }
        self.window = read_full(self.disk, self.path, at, len.max(WINDOW_BYTES))?;
        self.window_at = at;
        Ok((self.window.len() >= len).then(|| self.window.slice(..len)))
    }

    /// The checksum of `len` bytes, however many; `None` if the file ends before.
    fn checksum(&mut self, mut at: u64, len: u64) -> io::Result<Option<u32>> {
        let (mut crc, mut rest) = (0, len);
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        while rest > 0 {
            let piece = rest.min(WINDOW_BYTES as u64);
            let Some(bytes) = self.bytes(at, piece as usize)? else { return Ok(None) };
            crc = crc32c::crc32c_append(crc, &bytes);
            at += piece;
            rest -= piece;
        }
        Ok(Some(crc))
    }

    /// The end of the last byte from `at` on that is not zero; `at` if there is none.
    pub(crate) fn end_of_content(&mut self, at: u64) -> io::Result<u64> {
        let (mut at, mut end) = (at, at);
        while at < self.len {
            let piece = (self.len - at).min(WINDOW_BYTES as u64) as usize;
            let Some(bytes) = self.bytes(at, piece)? else { break };
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += piece as u64;
        }
        Ok(end)
    }
}

/// Reads `len` bytes, fewer only at the end of the file.
pub(crate) fn read_full(disk: &dyn Disk, path: &Path, at: u64, len: usize) -> io::Result<Bytes> {
    let first = disk.read(path, at, len)?;
    if first.len() >= len || first.is_empty() {
        return Ok(first);
    }
    let mut all = BytesMut::from(&first[..]);
    while all.len() < len {
        let more = disk.read(path, at + all.len() as u64, len - all.len())?;
        if more.is_empty() {
            break;
        }
        all.extend_from_slice(&more);
    }
    Ok(all.freeze())
}

/// Reads the start record behind a segment's header: its own header and what it says.
pub(crate) fn read_start(reader: &mut Reader<'_>, id: SegmentId) -> io::Result<Option<(Header, StartMark)>> {
    // It is valid only at its own position, and that position stands in its payload.
    let at = SEGMENT_HEADER_BYTES;
    let Some(bytes) = reader.bytes(at, HEADER_BYTES + 16)? else { return Ok(None) };
    let lsn = u64::from_le_bytes(bytes[HEADER_BYTES + 8..].try_into().expect("eight bytes"));
    let Some(header) = Header::open(&bytes, id.seed(), lsn) else { return Ok(None) };
    if header.tag != Tag::Start || header.len as usize > START_PAYLOAD_BYTES_MAX {
        return Ok(None);
    }
    let Some(payload) = reader.bytes(at + HEADER_BYTES as u64, header.len as usize)? else { return Ok(None) };
    if crc32c::crc32c(&payload) != header.payload_crc {
        return Ok(None);
    }
    Ok(StartMark::decode(&payload).map(|start| (header, start)))
}

/// Where a segment is scanned from and to.
pub(crate) struct Extent {
    pub(crate) id: SegmentId,
    /// Position of its start record.
    pub(crate) start: u64,
    /// Where the next segment says that it ends.
    pub(crate) end: Option<u64>,
}

/// How a scan ended.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The end of the last good record.
    pub(crate) end: u64,
    /// Its header's checksum.
    pub(crate) chain: u32,
    /// The highest position that a group record said was durable.
    pub(crate) durable: u64,
    /// Where the last group ends by its own word.
    pub(crate) group_end: u64,
    /// Why no record follows, unless the extent's end was reached.
    pub(crate) stop: Option<Stop>,
}

/// Why a scan ended before its extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What follows is not a record that belongs there.
    NoRecord(&'static str),
    /// It is a record with a valid checksum that makes no sense: no crash leaves one.
    Impossible(&'static str),
}

impl Stop {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Stop::NoRecord(reason) | Stop::Impossible(reason) => reason,
        }
    }
}

/// Scans a segment. `apply` gets each good record but the start and group records, and may refuse it.
pub(crate) fn scan(
    reader: &mut Reader<'_>,
    extent: &Extent,
    chain: Option<u32>,
    mut apply: impl FnMut(u64, &Header) -> Result<(), &'static str>,
) -> io::Result<Scanned> {
    let mut scanned = Scanned {
        end: extent.start,
        chain: chain.unwrap_or(0),
        durable: extent.start,
        group_end: extent.start,
        stop: None,
    };
    let mut chain = chain;
    while extent.end.is_none_or(|end| scanned.end < end) {
        let header = match read_record(reader, extent, scanned.end, chain)? {
            Ok(header) => header,
            Err(reason) => {
                scanned.stop = Some(Stop::NoRecord(reason));
                break;
            }
        };
        let outcome = match header.tag {
            Tag::Start if scanned.end == extent.start => Ok(()),
            Tag::Start => Err("a start record inside a segment"),
            Tag::Group => read_group(reader, extent, scanned.end).map(|mark| {
                mark.map_or(Err("a group record that does not belong here"), |mark| {
                    scanned.durable = scanned.durable.max(mark.durable);
                    scanned.group_end = mark.end;
                    Ok(())
                })
            })?,
            _ => apply(scanned.end, &header),
        };
        if let Err(reason) = outcome {
            scanned.stop = Some(Stop::Impossible(reason));
            break;
        }
        chain = Some(header.crc);
        scanned.chain = header.crc;
        scanned.end += header.size();
    }
    Ok(scanned)
}

/// A record's header, once its checksums, its place in the chain and its length have been verified.
fn read_record(
    reader: &mut Reader<'_>,
    extent: &Extent,
    lsn: u64,
    chain: Option<u32>,
) -> io::Result<Result<Header, &'static str>> {
    let at = SEGMENT_HEADER_BYTES + (lsn - extent.start);
    let Some(bytes) = reader.bytes(at, HEADER_BYTES)? else { return Ok(Err("the file ends")) };
    let Some(header) = Header::open(&bytes, extent.id.seed(), lsn) else {
        return Ok(Err("the checksum of the record's header is wrong"));
    };
    if chain.is_some_and(|chain| chain != header.prev) {
        return Ok(Err("the record does not follow the one before it"));
    }
    if header.len as usize > PAYLOAD_BYTES_MAX {
        return Ok(Err("the record is too long"));
    }
    if extent.end.is_some_and(|end| lsn + header.size() > end) {
        return Ok(Err("the record reaches beyond the end of the segment"));
    }
    match reader.checksum(at + HEADER_BYTES as u64, u64::from(header.len))? {
        Some(crc) if crc == header.payload_crc || is_planted(Bug::IgnoreChecksum) => Ok(Ok(header)),
        Some(_) => Ok(Err("the checksum of the record's payload is wrong")),
        None => Ok(Err("the file ends inside the record")),
    }
}

fn read_group(reader: &mut Reader<'_>, extent: &Extent, lsn: u64) -> io::Result<Option<GroupMark>> {
    let at = SEGMENT_HEADER_BYTES + (lsn - extent.start) + HEADER_BYTES as u64;
    let payload = reader.bytes(at, GROUP_BYTES as usize - HEADER_BYTES)?;
    let mark = payload.and_then(|payload| GroupMark::decode(&payload));
    Ok(mark.filter(|mark| mark.lsn == lsn && mark.segment == extent.id.number && mark.durable <= lsn))
}

/// What stands behind the last good record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Bytes up to the last one that is not zero.
    pub(crate) content_bytes: u64,
    /// The highest position that an intact group record there says was durable.
    pub(crate) durable: u64,
    /// Where the segment starts, by the word of that group record.
    pub(crate) start: u64,
}

/// Looks behind the last good record for group records: one of a later group proves that what is damaged
/// was durable (R6). The search trusts nothing but a group record's own checksum, which holds only at
/// its own place in its own segment.
pub(crate) fn survey(reader: &mut Reader<'_>, id: SegmentId, from: u64) -> io::Result<Survey> {
    let content_end = reader.end_of_content(from)?;
    let mut found = Survey { content_bytes: content_end - from, ..Survey::default() };
    let finder = memmem::Finder::new(&GROUP_MAGIC);
    let mut at = from;
    while at < content_end {
        let piece = (content_end - at).min(WINDOW_BYTES as u64) as usize;
        let Some(bytes) = reader.bytes(at, piece)? else { break };
        for hit in finder.find_iter(&bytes) {
            if let Some((mark, offset)) = group_at(reader, id, at + hit as u64)?
                && mark.durable > found.durable
            {
                found.durable = mark.durable;
                found.start = mark.lsn - (offset - SEGMENT_HEADER_BYTES);
            }
        }
        // The magic may stand across two windows.
        at += if piece < WINDOW_BYTES { piece } else { piece - (GROUP_MAGIC.len() - 1) } as u64;
    }
    Ok(found)
}

/// The group record whose payload begins at `magic_at`, and where it stands in the file.
fn group_at(reader: &Reader<'_>, id: SegmentId, magic_at: u64) -> io::Result<Option<(GroupMark, u64)>> {
    let Some(offset) = magic_at.checked_sub(HEADER_BYTES as u64).filter(|o| *o >= SEGMENT_HEADER_BYTES)
    else {
        return Ok(None);
    };
    // Not through the window, which is being searched.
    let bytes = read_full(reader.disk, reader.path, offset, GROUP_BYTES as usize)?;
    let Some(payload) = bytes.get(HEADER_BYTES..GROUP_BYTES as usize) else { return Ok(None) };
    let Some(mark) = GroupMark::decode(payload) else { return Ok(None) };
    let valid = mark.segment == id.number
        && mark.lsn >= offset - SEGMENT_HEADER_BYTES
        && Header::open(&bytes, id.seed(), mark.lsn)
            .is_some_and(|header| header.tag == Tag::Group && header.payload_crc == crc32c::crc32c(payload));
    Ok(valid.then_some((mark, offset)))
}
