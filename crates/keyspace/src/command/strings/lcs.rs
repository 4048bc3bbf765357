//! The longest common subsequence of two strings, the same one of several that Redis finds.
//!
//! The textbook's dynamic programming, with one row of lengths instead of the table. The way back through the
//! table asks at each pair of different bytes only which neighbour was longer, so one bit for each pair is
//! kept.

/// The common subsequence as runs of bytes that follow each other in both strings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matches {
    /// From the last to the first.
    pub(super) runs: Vec<Run>,
    /// Length of the subsequence.
    pub(super) len: u32,
}

/// `len` bytes that are the same at `start_a` in the first string and at `start_b` in the second.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start_a: u32,
    pub(super) start_b: u32,
    pub(super) len: u32,
}

impl Matches {
    /// The subsequence, given the first of the two strings.
    pub(super) fn common_bytes(&self, a: &[u8]) -> Vec<u8> {
        let runs = self.runs.iter().rev();
        runs.flat_map(|run| &a[run.start_a as usize..][..run.len as usize]).copied().collect()
    }
}

/// The length alone.
pub(super) fn length(a: &[u8], b: &[u8]) -> u32 {
    fill(a, b, |_, _| {})
}

/// The subsequence itself. Takes one bit of memory for each pair of bytes.
pub(super) fn matches(a: &[u8], b: &[u8]) -> Matches {
    let mut shorten_a = Bits::new(a.len() * b.len());
    let len = fill(a, b, |i, j| shorten_a.set(i * b.len() + j));
    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    let mut in_run = false;
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            match runs.last_mut() {
                Some(run) if in_run => *run = Run { start_a: i as u32, start_b: j as u32, len: run.len + 1 },
                _ => runs.push(Run { start_a: i as u32, start_b: j as u32, len: 1 }),
            }
            in_run = true;
        } else {
            in_run = false;
            if shorten_a.get((i - 1) * b.len() + j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
    Matches { runs, len }
}

/// Computes the length for all prefixes. Calls `shorten_a` for each pair of different bytes at which the
/// subsequence is longer without the byte of `a` than without that of `b`.
fn fill(a: &[u8], b: &[u8], mut shorten_a: impl FnMut(usize, usize)) -> u32 {
    // The lengths for the prefix of `a` so far and each prefix of `b`.
    let mut row = vec![0u32; b.len() + 1];
    for (i, byte_a) in a.iter().enumerate() {
        let (mut diagonal, mut left) = (0, 0);
        for (j, byte_b) in b.iter().enumerate() {
            let above = row[j + 1];
            let here = if byte_a == byte_b {
                diagonal + 1
            } else if above > left {
                shorten_a(i, j);
                above
            } else {
                left
            };
            row[j + 1] = here;
            (diagonal, left) = (above, here);
        }
    }
    row[b.len()]
}

struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn get(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let found = matches(a, b);
        assert_eq!((found.common_bytes(a), found.len, length(a, b)), (b"mytext".to_vec(), 6, 6));
        let runs = [Run { start_a: 4, start_b: 5, len: 4 }, Run { start_a: 2, start_b: 0, len: 2 }];
        assert_eq!(found.runs, runs);
    }

    #[test]
    fn nothing_in_common() {
        for (a, b) in [("", ""), ("", "a"), ("a", ""), ("abc", "xyz")] {
            assert_eq!(matches(a.as_bytes(), b.as_bytes()), Matches { runs: Vec::new(), len: 0 });
        }
    }

    #[test]
    fn of_several_subsequences_it_is_the_one_that_redis_finds() {
        // Checked against redis-server 7.0.15.
        for (a, b, common) in [("ab", "ba", "b"), ("abcabba", "cbabac", "cbba")] {
            assert_eq!(matches(a.as_bytes(), b.as_bytes()).common_bytes(a.as_bytes()), common.as_bytes());
        }
    }
}
