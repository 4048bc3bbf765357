//! What the targets share.
//!
//! A target takes bytes and checks a promise about them; libFuzzer makes the bytes, guided by which branches they reach.
//! `run` builds and runs the targets, and says how.

#![allow(clippy::disallowed_methods, reason = "writes the seeds that are made rather than kept")]

pub use quorate_keyspace::Random;

/// Reads an input as choices. Behind its end every choice is 0.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// The next two bytes.
    pub fn word(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A number below `n`, which is at most 65,536.
    pub fn below(&mut self, n: usize) -> usize {
        self.word() % n.max(1)
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The places at which a stream of `len` bytes is cut into pieces, drawn from `seed`; the first piece begins at 0 and
/// the last one ends at `len`.
pub fn cuts(seed: u64, len: usize) -> Vec<usize> {
    let mut random = Random::new(seed);
    let mut cuts: Vec<usize> = (0..random.below(8)).map(|_| random.below(len as u64 + 1) as usize).collect();
    cuts.extend([0, len]);
    cuts.sort_unstable();
    cuts
}

/// If `run` asks for them, writes inputs to begin with, and ends the process. What is binary is made by the code that it
/// is for, so that it never falls behind.
pub fn seeds(make: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("QUORATE_FUZZ_SEEDS") else { return };
    for (n, seed) in make().into_iter().enumerate() {
        let path = std::path::Path::new(&folder).join(format!("made-{n}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    std::process::exit(0);
}
