//! How long something took, many times: counted in buckets of about 3 %.

/// Each doubling of the time has this many buckets (as a power of two).
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
/// Longer times than this power of two, in nanoseconds (18 minutes), count as that long.
const LONGEST_BITS: u32 = 40;
const BUCKETS: usize = (LONGEST_BITS - FINE_BITS + 1) as usize * FINE;
/// The shortest time that LATENCY HISTOGRAM tells apart, in nanoseconds.
const FIRST_DOUBLING_NS: u64 = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0 }
    }
}

/// The bucket of a time: one each for the shortest, then [`FINE`] for each doubling.
fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << LONGEST_BITS) - 1);
    let bits = u64::BITS - ns.leading_zeros();
    let coarse = bits.saturating_sub(FINE_BITS + 1);
    coarse as usize * FINE + (ns >> coarse) as usize
}

/// The longest time that a bucket counts.
fn longest(bucket: usize) -> u64 {
    let coarse = (bucket / FINE).saturating_sub(1);
    let fine = (bucket - coarse * FINE) as u64;
    ((fine + 1) << coarse) - 1
}

impl Histogram {
    pub(crate) fn count(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// How often it was counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The time that so many percent did not exceed, in nanoseconds, rounded up by a bucket at the most.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, longest)
    }

    /// For each doubling in which there is something, its end in microseconds, and how many were not longer.
    pub(crate) fn doublings(&self) -> Vec<(u64, u64)> {
        let (mut found, mut seen, mut end) = (Vec::new(), 0, FIRST_DOUBLING_NS);
        let mut added = 0;
        for (i, count) in self.counts.iter().enumerate() {
            while longest(i) >= end {
                if added > 0 {
                    found.push((end / 1000, seen));
                    added = 0;
                }
                end *= 2;
            }
            (seen, added) = (seen + count, added + count);
        }
        if added > 0 {
            found.push((end / 1000, seen));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_at_or_a_little_behind_it() {
        let times = (0..200).chain((8..40).flat_map(|bits| {
            let power = 1_u64 << bits;
            [power - 1, power, power + 1, power + power / 3]
        }));
        for ns in times {
            let end = longest(bucket(ns));
            assert!(end >= ns && end - ns <= ns / FINE as u64, "{ns} {end}");
            assert_eq!(bucket(end), bucket(ns));
            assert_eq!(bucket(end + 1), bucket(ns) + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(longest(BUCKETS - 1), (1 << LONGEST_BITS) - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        for us in 1..=1000 {
            histogram.count(us * 1000);
        }
        let close = |percent, us: u64| {
            let found = histogram.percentile(percent);
            assert!(found >= us * 1000 && found <= us * 1040, "{percent} {found}");
        };
        close(0.0, 1);
        close(50.0, 500);
        close(99.0, 990);
        close(99.9, 999);
        close(100.0, 1000);
    }

    #[test]
    fn doublings_add_up_and_leave_out_what_is_empty() {
        let mut histogram = Histogram::default();
        [10, 1000, 1023, 1024, 5000, 5001, 100_000].iter().for_each(|ns| histogram.count(*ns));
        assert_eq!(histogram.doublings(), [(1, 3), (2, 4), (8, 6), (131, 7)]);
        assert_eq!(histogram.total(), 7);
    }
}
