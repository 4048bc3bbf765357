//! Random choice of some positions out of many.

use std::collections::BTreeSet;

use crate::random::Random;

/// Most picks that may repeat in one command. Redis goes on until the client's connection has no room for more.
pub(crate) const REPEATED_PICKS_MAX: u64 = 1 << 24;

/// When more than one in this many is chosen, all are gone through.
const SPARSE: usize = 16;

/// `count` different positions out of `0..len` in ascending order, every such choice equally likely; all if there are not
/// so many.
pub(crate) fn sample(random: &mut Random, len: usize, count: usize) -> Vec<usize> {
    if count >= len {
        (0..len).collect()
    } else if count == 1 {
        vec![random.below(len as u64) as usize]
    } else if count > len / SPARSE {
        sample_by_selection(random, len, count)
    } else {
        sample_by_tree(random, len, count)
    }
}

/// Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): takes each position with the probability that it needs.
fn sample_by_selection(random: &mut Random, len: usize, count: usize) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count);
    for position in 0..len {
        let wanted = count - chosen.len();
        if wanted == 0 {
            break;
        }
        if random.below((len - position) as u64) < wanted as u64 {
            chosen.push(position);
        }
    }
    chosen
}

/// Floyd's method (Bentley, Floyd: "A Sample of Brilliance", CACM 1987): the time depends on `count` alone.
fn sample_by_tree(random: &mut Random, len: usize, count: usize) -> Vec<usize> {
    let mut chosen = BTreeSet::new();
    for last in len - count..len {
        let position = random.below(last as u64 + 1) as usize;
        if !chosen.insert(position) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails if these counts are no fair draw from equally likely outcomes. The bound is four standard deviations above
    /// the mean of chi-square, which a fair draw exceeds less than once in a thousand tests; the seeds are fixed.
    pub(crate) fn assert_fair(counts: &[u32]) {
        let freedom = (counts.len() - 1) as f64;
        let mean = counts.iter().map(|n| f64::from(*n)).sum::<f64>() / counts.len() as f64;
        assert!(mean >= 20.0, "too few draws to tell");
        let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - mean).powi(2) / mean).sum();
        assert!(chi_square < freedom + 4.0 * (2.0 * freedom).sqrt() + 4.0, "{chi_square} {counts:?}");
    }

    #[test]
    fn samples_have_the_right_form() {
        let mut random = Random::new(1);
        for (len, count) in [(0, 0), (0, 3), (1, 1), (5, 0), (5, 5), (5, 9), (100, 1), (100, 7), (1000, 10)] {
            let chosen = sample(&mut random, len, count);
            assert_eq!(chosen.len(), count.min(len));
            assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|&position| position < len));
        }
    }

    #[test]
    fn every_choice_is_equally_likely() {
        // All pairs out of 40, by Floyd's method, and all triples out of 7, by selection.
        let mut random = Random::new(2);
        let mut pairs = vec![0; 40 * 40];
        for _ in 0..60_000 {
            let chosen = sample(&mut random, 40, 2);
            pairs[chosen[0] * 40 + chosen[1]] += 1;
        }
        pairs.retain(|n| *n > 0);
        assert_eq!(pairs.len(), 40 * 39 / 2);
        assert_fair(&pairs);
        let mut triples = vec![0; 343];
        for _ in 0..20_000 {
            let chosen = sample(&mut random, 7, 3);
            triples[chosen[0] * 49 + chosen[1] * 7 + chosen[2]] += 1;
        }
        triples.retain(|n| *n > 0);
        assert_eq!(triples.len(), 35);
        assert_fair(&triples);
    }
}
