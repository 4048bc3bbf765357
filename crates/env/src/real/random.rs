//! The kernel's random numbers.

use crate::random::Random;

/// The kernel's CSPRNG, fit for secrets. A system call each (a microsecond): for seeds, identities and
/// jitter.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealRandom;

impl Random for RealRandom {
    fn next_u64(&self) -> u64 {
        // getrandom(2) does not fail once the machine is up; a node without randomness must not go on.
        getrandom::u64().expect("the kernel has random numbers")
    }
}
