//! The secret that the members of a cluster share: whoever does not prove that it knows it is not heard on the bus
//! ([`crate::bus`]). It never leaves the node, and no report shows it.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use quorate_env::{Env, Op, Random};
use sha2::Sha256;

/// The file in the data folder.
const FILE: &str = "cluster-secret";
/// How long a secret is, in bytes.
const LENGTH: RangeInclusive<usize> = 16..=1024;
/// A secret, and white space around it.
const FILE_BYTES_MAX: usize = 4096;
/// How many random bytes a secret is made of that nobody has given.
const RANDOM_BYTES: usize = 32;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

/// It is not shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret that a file holds: its bytes, without white space around them.
    ///
    /// # Errors
    /// If they are too few or too many. The text goes behind the name of the file.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let secret = file.trim_ascii();
        let (least, most) = (LENGTH.start(), LENGTH.end());
        match LENGTH.contains(&secret.len()) {
            true => Ok(Self(secret.into())),
            false => Err(format!("a cluster secret has {least} to {most} bytes, this one {}", secret.len())),
        }
    }

    /// A new one, which can be typed.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let bytes = (0..RANDOM_BYTES / 8).flat_map(|_| random.next_u64().to_le_bytes());
        let text: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        Self(text.as_bytes().into())
    }

    /// What is written to a file: [`Secret::parse`] reads it.
    #[must_use]
    pub fn to_file(&self) -> Bytes {
        [&self.0, &b"\n"[..]].concat().into()
    }

    /// Where the secret of a data folder lies.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// The secret in a data folder, if there is one. Blocks.
    ///
    /// # Errors
    /// Of the disk, and if the file holds no secret.
    pub fn stored_in(env: &Env, dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(dir);
        let Some(len) = env.disk.len(&path)? else { return Ok(None) };
        // One byte more: what is too long must not look shorter.
        let bytes = env.disk.read(&path, 0, (len as usize).min(FILE_BYTES_MAX + 1))?;
        Self::parse(&bytes).map(Some).map_err(|why| {
            let text = format!("{} is damaged: {why}. {}", path.display(), Self::way_out(dir));
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// What to do with a member whose folder lacks the secret, or has a wrong one.
    #[must_use]
    pub fn way_out(dir: &Path) -> String {
        let path = Self::path(dir);
        format!(
            "Copy {FILE} from the data folder of another member, remove {}, and start this node with \
             --cluster-secret-file COPY",
            path.display()
        )
    }

    /// Writes it to a data folder, durably and for the owner's eyes only (as all files that `env` makes). Blocks.
    pub(crate) fn store(&self, env: &Env, dir: &Path) -> io::Result<()> {
        let path = Self::path(dir);
        let new: Arc<Path> = path.with_extension("new").into();
        env.disk.run(vec![
            Op::Create { path: new.to_path_buf(), len: 0 },
            Op::Write { path: new.clone(), offset: 0, bufs: vec![self.to_file()] },
            Op::Sync { path: new.clone() },
            Op::Close { path: new.clone() },
            Op::Rename { from: new.to_path_buf(), to: path },
            Op::SyncDir { path: dir.to_path_buf() },
        ])
    }

    /// Tells a damaged file from the one that was written.
    pub(crate) fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }

    /// Begins a keyed hash.
    pub(crate) fn keyed(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("keys of any length are taken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU64);

    impl Random for Counter {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn a_file_holds_a_secret_of_some_length() {
        for bytes in [&b"0123456789abcdef"[..], b" \t0123456789 bcdef\r\n\n", &[b'x'; 1024], &[0xff; 16]] {
            let secret = Secret::parse(bytes).expect("long enough");
            assert_eq!(Secret::parse(&secret.to_file()), Ok(secret));
        }
        for bytes in [&b""[..], b"0123456789abcde", b"   0123456789abcde   ", &[b'x'; 1025]] {
            assert!(Secret::parse(bytes).is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_new_secret_is_of_all_random_bytes_and_never_shown() {
        let secret = Secret::generate(&Counter(0x100.into()));
        let text = String::from_utf8(secret.to_file().to_vec()).expect("text");
        assert_eq!(text, "0001000000000000010100000000000002010000000000000301000000000000\n");
        assert!(!format!("{secret:?}").contains("00"));
        assert_ne!(secret, Secret::generate(&Counter(0x101.into())));
    }
}
