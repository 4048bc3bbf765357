//! How a log is opened.

/// When an append is complete (R8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Always,
    /// When it has been handed to the operating system; the owner calls [`Log::sync`](crate::Log::sync) every
    /// second. Votes are on disk in this mode too (R7).
    EverySecond,
}

/// How a log is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The length of one segment file, reserved in advance. An entry that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// How many bytes of recent entries stay in memory. What is not written yet stays there beyond this.
    pub cache_bytes: usize,
    /// When an append is complete, until [`Log::set_durability`](crate::Log::set_durability).
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, cache_bytes: 16 << 20, durability: Durability::Always }
    }
}
