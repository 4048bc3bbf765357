//! The file `run`: what one start of the node tells the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_env::Op;

use crate::options::Durability;
use crate::segment::FORMAT;

const NAME: &str = "run";
const NEW_NAME: &str = "run.new";
const MAGIC: [u8; 8] = *b"QUORRUN\n";
const FIXED_BYTES: usize = 8 + 4 + 4 + 8 + 8 + 1 + 1 + 2 + 24 + 2;
const BOOT_ID_BYTES_MAX: usize = 1024;

/// The most bytes the file has.
pub(crate) const RUN_FILE_BYTES_MAX: usize = FIXED_BYTES + BOOT_ID_BYTES_MAX;

/// Where the log ended at a clean shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanEnd {
    pub(crate) segment: u64,
    pub(crate) lsn: u64,
    /// The checksum of the last record's header.
    pub(crate) chain: u32,
}

/// Why the replicas of this log catch up before they vote; kept until they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Suspicion {
    pub(crate) last_group_damaged: bool,
    pub(crate) unsynced_lost: bool,
    pub(crate) vote_lost: bool,
    pub(crate) discarded: bool,
    /// The last group was damaged when the operating system had crashed.
    pub(crate) torn_by_crash: bool,
}

impl Suspicion {
    fn bits(self) -> u8 {
        u8::from(self.last_group_damaged)
            | u8::from(self.unsynced_lost) << 1
            | u8::from(self.vote_lost) << 2
            | u8::from(self.discarded) << 3
            | u8::from(self.torn_by_crash) << 4
    }

    fn from_bits(bits: u8) -> Suspicion {
        Suspicion {
            last_group_damaged: bits & 1 != 0,
            unsynced_lost: bits & 2 != 0,
            vote_lost: bits & 4 != 0,
            discarded: bits & 8 != 0,
            torn_by_crash: bits & 16 != 0,
        }
    }
}

/// What one start of the node tells the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Counts starts.
    pub(crate) number: u64,
    /// The newest segment when this was written: if it is gone, files were lost.
    pub(crate) newest_segment: u64,
    pub(crate) durability: Durability,
    pub(crate) suspicion: Suspicion,
    /// Set by a clean shutdown, cleared by the next start.
    pub(crate) clean: Option<CleanEnd>,
    pub(crate) boot_id: String,
}

impl Run {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// What replaces the file, durably and at once.
    pub(crate) fn replace_ops(&self, dir: &Path) -> Vec<Op> {
        let new: Arc<Path> = dir.join(NEW_NAME).into();
        vec![
            Op::Create { path: new.to_path_buf(), len: 0 },
            Op::Write { path: new.clone(), offset: 0, bufs: vec![self.encode()] },
            Op::Sync { path: new.clone() },
            Op::Close { path: new.clone() },
            Op::Rename { from: new.to_path_buf(), to: Run::path(dir) },
            Op::SyncDir { path: dir.to_path_buf() },
        ]
    }

    fn encode(&self) -> Bytes {
        let boot_id = truncated(&self.boot_id);
        let end = self.clean.unwrap_or(CleanEnd { segment: 0, lsn: 0, chain: 0 });
        let mut out = BytesMut::with_capacity(FIXED_BYTES + boot_id.len());
        out.put_slice(&MAGIC);
        out.put_u32_le(FORMAT);
        out.put_u32_le(0);
        out.put_u64_le(self.number);
        out.put_u64_le(self.newest_segment);
        out.put_u8(match self.durability {
            Durability::Always => 0,
            Durability::EverySecond => 1,
        });
        out.put_u8(self.suspicion.bits());
        out.put_u16_le(u16::from(self.clean.is_some()));
        out.put_u64_le(end.segment);
        out.put_u64_le(end.lsn);
        out.put_u64_le(u64::from(end.chain));
        out.put_u16_le(u16::try_from(boot_id.len()).expect("boot ids are limited"));
        out.put_slice(boot_id.as_bytes());
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    /// `Err` with the format of a later release; `None` if damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Run>, u32> {
        if bytes.len() < FIXED_BYTES || !bytes.starts_with(&MAGIC) {
            return Ok(None);
        }
        let crc = checksum(bytes);
        let mut rest = &bytes[MAGIC.len()..];
        let format = rest.get_u32_le();
        if rest.get_u32_le() != crc {
            return Ok(None);
        }
        if format != FORMAT {
            return Err(format);
        }
        let (number, newest_segment) = (rest.get_u64_le(), rest.get_u64_le());
        let durability = if rest.get_u8() == 0 { Durability::Always } else { Durability::EverySecond };
        let suspicion = Suspicion::from_bits(rest.get_u8());
        let is_clean = rest.get_u16_le() != 0;
        let (segment, lsn, chain) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u64_le() as u32);
        let clean = is_clean.then_some(CleanEnd { segment, lsn, chain });
        let boot_id_len = usize::from(rest.get_u16_le());
        let boot_id = rest.get(..boot_id_len).and_then(|b| std::str::from_utf8(b).ok());
        Ok(boot_id.map(|boot_id| Run {
            number,
            newest_segment,
            durability,
            suspicion,
            clean,
            boot_id: boot_id.to_owned(),
        }))
    }
}

/// Over everything but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// A boot id as the file can hold it; compare these.
pub(crate) fn truncated(boot_id: &str) -> &str {
    let mut end = boot_id.len().min(BOOT_ID_BYTES_MAX);
    while !boot_id.is_char_boundary(end) {
        end -= 1;
    }
    &boot_id[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_every_flipped_bit_is_seen() {
        let run = Run {
            number: 3,
            newest_segment: 9,
            durability: Durability::EverySecond,
            suspicion: Suspicion { unsynced_lost: true, ..Suspicion::default() },
            clean: Some(CleanEnd { segment: 9, lsn: 1234, chain: u32::MAX }),
            boot_id: "a boot".to_owned(),
        };
        let bytes = run.encode();
        assert_eq!(Run::decode(&bytes), Ok(Some(run)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Run::decode(&damaged), Ok(None), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Run::decode(&bytes[..len]), Ok(None), "cut to {len}");
        }
    }
}
