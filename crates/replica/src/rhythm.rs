//! When the next batch leaves: with the clients that were just answered, if they come back at once.
//!
//! Clients that write one command after the other come back some microseconds after they were answered. If the batch of
//! those who wait already, or of the first who is back, left at once, half of the clients would always wait for the
//! other half's batch, and twice as many entries would carry the same commands. So the next batch waits for those who
//! were just answered: as long as they keep coming, no longer than about as long as a batch takes, and only if they
//! came back lately (anticipatory scheduling; Iyer and Druschel, SOSP 2001). One client alone never waits, and nobody does
//! where an entry costs no wake-up (`Log::is_prompt`).

use std::time::Duration;

use quorate_env::Instant;

/// Turns of the sessions before anything else is looked at: what was answered is written, what is there is read.
const TURNS_MIN: usize = 2;
/// And at most: the bound that holds in the simulator, where time stands still meanwhile.
const TURNS_MAX: usize = 1000;
/// When nobody has come for so long, nobody is waited for.
const GAP: Duration = Duration::from_micros(50);
/// The longest wait.
const LIMIT: Duration = Duration::from_micros(600);
/// For how long those who were answered are expected, if nobody is back when the last gap ends.
const EXPECTATION: Duration = Duration::from_millis(1);

/// What a success adds to the share of clients that are expected, in thousandths.
const PROBE: usize = 32;

/// See the module.
pub(crate) struct Rhythm {
    /// How many of a thousand clients are expected back in time: what came of the last waits. It grows slowly as long as
    /// they come, and falls at once when they do not.
    returning: usize,
    wait: Option<Wait>,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { returning: 1000, wait: None }
    }
}

/// Clients are expected.
struct Wait {
    /// How many were answered, and how many commands gathered then.
    answered: usize,
    before: usize,
    /// It ends when so many gather.
    goal: usize,
    began: Instant,
    /// The turns of the sessions.
    turns: usize,
    /// What had gathered at the last look, and since when.
    gathered: usize,
    since: Instant,
}

impl Rhythm {
    /// So many were answered, while others gather.
    pub(crate) fn answered(&mut self, answered: usize, gathered: usize) {
        let now = Instant::now();
        if answered > 0 {
            let goal = gathered + (answered * self.returning / 1000).max(1);
            let (before, began, since) = (gathered, now, now);
            self.wait = Some(Wait { answered, before, goal, began, turns: 0, gathered, since });
        } else if let Some(wait) = &mut self.wait {
            // Somebody is back who was not there when the last gap ended.
            (wait.turns, wait.since) = (TURNS_MIN, now);
            if now - wait.began > EXPECTATION {
                self.end(gathered);
            }
        }
    }

    /// Whether clients are expected.
    pub(crate) fn is_on(&self) -> bool {
        self.wait.is_some()
    }

    /// Whether the sessions get another turn before the next batch leaves.
    pub(crate) fn waits(&mut self, gathered: usize) -> bool {
        let Some(wait) = &mut self.wait else { return false };
        wait.turns += 1;
        if wait.turns <= TURNS_MIN {
            return true;
        }
        if gathered < wait.goal && wait.turns < TURNS_MAX {
            let now = Instant::now();
            if gathered > wait.gathered {
                (wait.gathered, wait.since) = (gathered, now);
            }
            if now - wait.since < GAP && now - wait.began < LIMIT {
                return true;
            }
        }
        if gathered > 0 {
            self.end(gathered);
        }
        false
    }

    /// Learns from what came of the wait.
    fn end(&mut self, gathered: usize) {
        let Some(wait) = self.wait.take() else { return };
        if gathered >= wait.goal {
            self.returning = (self.returning + PROBE).min(1000);
        } else {
            let back = gathered.saturating_sub(wait.before).min(wait.answered);
            self.returning = (self.returning + back * 1000 / wait.answered) / 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_env::clock::{self, Simulated};

    use super::*;

    /// Asks `rhythm` as `us` microseconds after the start of the test.
    fn at<T>(us: u64, ask: impl FnOnce() -> T) -> T {
        let _clock = clock::install(Simulated { boot_ns: 1_000_000 + us * 1000, wall_ms: 0 });
        ask()
    }

    /// Whether the next batch waits, once the first turns of the sessions are over.
    fn waits(rhythm: &mut Rhythm, us: u64, gathered: usize) -> bool {
        at(us, || (0..=TURNS_MIN).map(|_| rhythm.waits(gathered)).last().expect("there are turns"))
    }

    #[test]
    fn one_client_alone_never_waits() {
        let mut rhythm = Rhythm::default();
        for n in 1..10 {
            at(n * 1000, || rhythm.answered(1, 0));
            assert!(!waits(&mut rhythm, n * 1000 + 5, 1));
        }
    }

    #[test]
    fn who_comes_back_is_waited_for_as_long_as_they_keep_coming() {
        let mut rhythm = Rhythm::default();
        at(0, || rhythm.answered(10, 5));
        assert!(waits(&mut rhythm, 10, 6), "one of ten is back");
        assert!(waits(&mut rhythm, 55, 9), "three more, within the gap");
        assert!(waits(&mut rhythm, 100, 14), "and five more");
        assert!(!waits(&mut rhythm, 100, 15), "all");

        at(10_000, || rhythm.answered(10, 5));
        assert!(waits(&mut rhythm, 10_010, 6));
        assert!(!waits(&mut rhythm, 10_070, 6), "nobody came for longer than the gap");
    }

    #[test]
    fn no_wait_is_longer_than_the_limit() {
        let mut rhythm = Rhythm::default();
        at(0, || rhythm.answered(1000, 0));
        assert!((20..600).step_by(20).all(|us| waits(&mut rhythm, us, us as usize / 20)));
        assert!(!waits(&mut rhythm, 601, 31));
    }

    #[test]
    fn who_does_not_come_back_is_not_waited_for_until_they_do_again() {
        let mut rhythm = Rhythm::default();
        for n in 0..10 {
            at(n * 10_000, || rhythm.answered(10, 3));
            waits(&mut rhythm, n * 10_000 + 60, 3);
        }
        at(500_000, || rhythm.answered(10, 3));
        assert!(waits(&mut rhythm, 500_001, 3), "for one, briefly");
        assert!(!waits(&mut rhythm, 500_002, 4));
        for n in 0..40 {
            at(600_000 + n * 1000, || rhythm.answered(10, 3));
            waits(&mut rhythm, 600_010 + n * 1000, 13);
        }
        at(700_000, || rhythm.answered(10, 3));
        assert!(waits(&mut rhythm, 700_001, 12), "all ten are expected again");
    }

    #[test]
    fn nobody_is_expected_for_ever() {
        let mut rhythm = Rhythm::default();
        at(0, || rhythm.answered(2, 0));
        assert!(!waits(&mut rhythm, 100, 0), "nobody is back when the gap ends");
        assert!(rhythm.is_on(), "but they may come yet");
        at(500, || rhythm.answered(0, 1));
        assert!(rhythm.is_on());
        at(1_500, || rhythm.answered(0, 1));
        assert!(!rhythm.is_on());
    }
}
