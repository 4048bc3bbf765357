//! When a record last changed, when it ceases to exist, and when it was last used: in sixteen bytes.
//!
//! The first two are state. The third belongs to a node (R12), and reads write it, which only share the table; so the
//! words are atomic. One thread has the table at a time, and no locked instruction is needed.
//!
//! ```text
//! version      56 bits | use, lower 8 bits
//! deadline     0 | 47 bits, milliseconds | use, upper 16 bits
//!              1 | 63 bits, milliseconds            from the year 6429 on: half of the use is not kept
//! ```

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Bits of a use, see [`crate::access`].
pub(crate) const USE_BITS: u32 = 24;

/// The highest version: enough for a million changes a second in two thousand years.
pub(crate) const VERSION_MAX: u64 = u64::MAX >> LOW_BITS;

/// Bits of a use beside the version, and beside the deadline.
const LOW_BITS: u32 = 8;
const HIGH_BITS: u32 = 16;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const HIGH_MASK: u64 = (1 << HIGH_BITS) - 1;
/// Marks a deadline beside which there is no room.
const FAR: u64 = 1 << 63;
/// The first such deadline.
const FAR_MS: u64 = 1 << (63 - HIGH_BITS);

/// See the module.
pub(crate) struct Stamp {
    version: AtomicU64,
    deadline: AtomicU64,
}

impl Stamp {
    /// That of a record that was never used. A deadline of 0 is none.
    pub(crate) fn new(version: u64, expire_at_ms: u64) -> Self {
        let stamp = Self { version: AtomicU64::new(0), deadline: AtomicU64::new(0) };
        stamp.put(version, expire_at_ms, 0);
        stamp
    }

    /// The keyspace's version when the record last changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Relaxed) >> LOW_BITS
    }

    /// Replaces the version; returns the old one.
    pub(crate) fn set_version(&mut self, version: u64) -> u64 {
        let old = self.version();
        self.put(version, self.expire_at_ms(), self.last_use());
        old
    }

    /// The deadline in milliseconds since 1970; 0 is none.
    pub(crate) fn expire_at_ms(&self) -> u64 {
        let word = self.deadline.load(Relaxed);
        if word & FAR != 0 { word & !FAR } else { word >> HIGH_BITS }
    }

    /// Replaces the deadline; returns the old one.
    pub(crate) fn set_expire_at_ms(&mut self, expire_at_ms: u64) -> u64 {
        let old = self.expire_at_ms();
        self.put(self.version(), expire_at_ms, self.last_use());
        old
    }

    /// The last use that was noted; 0 if there was none, or if it is not known.
    pub(crate) fn last_use(&self) -> u32 {
        let word = self.deadline.load(Relaxed);
        if word & FAR != 0 {
            return 0;
        }
        let low = self.version.load(Relaxed) & LOW_MASK;
        ((word & HIGH_MASK) << LOW_BITS | low) as u32
    }

    /// Notes a use.
    pub(crate) fn set_last_use(&self, last_use: u32) {
        self.put(self.version(), self.expire_at_ms(), last_use);
    }

    fn put(&self, version: u64, expire_at_ms: u64, last_use: u32) {
        assert!(version <= VERSION_MAX, "version {version}");
        let last_use = u64::from(last_use) & ((1 << USE_BITS) - 1);
        self.version.store(version << LOW_BITS | last_use & LOW_MASK, Relaxed);
        let deadline = match expire_at_ms {
            // No deadline is later than what a signed number holds.
            far if far >= FAR_MS => far | FAR,
            near => near << HIGH_BITS | last_use >> LOW_BITS,
        };
        self.deadline.store(deadline, Relaxed);
    }
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        Self {
            version: AtomicU64::new(self.version.load(Relaxed)),
            deadline: AtomicU64::new(self.deadline.load(Relaxed)),
        }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}, until {}", self.version(), self.expire_at_ms())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_disturbs_the_rest(
            steps in proptest::collection::vec((0..3_u8, any::<u64>(), 0..64_u32), 1..40),
        ) {
            let mut stamp = Stamp::new(0, 0);
            let (mut version, mut deadline, mut last_use) = (0, 0, 0);
            for (what, n, shift) in steps {
                let n = n >> shift;
                match what {
                    0 => {
                        let next = n & VERSION_MAX;
                        prop_assert_eq!(stamp.set_version(next), version);
                        version = next;
                    }
                    1 => {
                        let next = n & (u64::MAX >> 1);
                        prop_assert_eq!(stamp.set_expire_at_ms(next), deadline);
                        deadline = next;
                    }
                    _ => {
                        last_use = n as u32 & 0xff_ffff;
                        stamp.set_last_use(last_use);
                    }
                }
                // Beside a deadline of the far future a use is not known.
                if deadline >= FAR_MS {
                    last_use = 0;
                }
                prop_assert_eq!((stamp.version(), stamp.expire_at_ms()), (version, deadline));
                if deadline < FAR_MS {
                    prop_assert_eq!(stamp.last_use() >> LOW_BITS, last_use >> LOW_BITS);
                }
                let copy = stamp.clone();
                prop_assert_eq!((copy.version(), copy.expire_at_ms()), (version, deadline));
                prop_assert_eq!(copy.last_use(), stamp.last_use());
            }
        }
    }

    #[test]
    fn a_use_is_kept_whole_beside_any_deadline_that_comes() {
        let mut stamp = Stamp::new(7, 4_102_444_800_000);
        stamp.set_last_use(0xab_cdef);
        stamp.set_version(VERSION_MAX);
        stamp.set_expire_at_ms(FAR_MS - 1);
        assert_eq!(stamp.last_use(), 0xab_cdef);
        stamp.set_expire_at_ms(FAR_MS);
        assert_eq!(stamp.last_use(), 0);
        stamp.set_expire_at_ms(0);
        assert_eq!(stamp.version(), VERSION_MAX);
    }
}
