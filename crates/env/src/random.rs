//! The only source of randomness above this crate.

/// A source of random numbers. Not for secrets unless the implementation says so; the real one is a CSPRNG.
pub trait Random: Send + Sync {
    /// Uniform over all of `u64`.
    fn next_u64(&self) -> u64;
}
