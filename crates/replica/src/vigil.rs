//! Notices what slows a node down and lies outside of it, so that its operator need not guess: a disk that hangs, a
//! processor that was not given.

use std::time::Duration;

use quorate_env::Instant;
use quorate_log::Stats;

/// A write or fsync that takes longer is reported.
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// So much later than it should be: the node stood still.
const STANDSTILL: Duration = Duration::from_millis(150);

/// See the module.
pub(crate) struct Vigil {
    /// Groups that the disk has finished, and since when that is so while others wait.
    groups: u64,
    since: Instant,
    reported: bool,
}

/// What was noticed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The disk has been busy with one write or fsync for so long.
    DiskHangs(Duration),
    /// It was done after so long.
    DiskDone(Duration),
}

impl Vigil {
    pub(crate) fn new() -> Self {
        Self { groups: 0, since: Instant::now(), reported: false }
    }

    /// A look at the log, several times a second.
    pub(crate) fn look_at_disk(&mut self, log: &Stats) -> Option<Notice> {
        let now = Instant::now();
        let waited = now - self.since;
        if log.bytes_pending == 0 || log.groups != self.groups {
            (self.groups, self.since) = (log.groups, now);
            return std::mem::take(&mut self.reported).then_some(Notice::DiskDone(waited));
        }
        if waited < DISK_PATIENCE || self.reported {
            return None;
        }
        self.reported = true;
        Some(Notice::DiskHangs(waited))
    }

    /// For how long the node stood still, if something that was due at `due` comes so late.
    pub(crate) fn standstill(due: Instant) -> Option<Duration> {
        let late = Instant::now() - due;
        (late > STANDSTILL).then_some(late)
    }
}

#[cfg(test)]
mod tests {
    use quorate_env::clock::{self, Simulated};

    use super::*;

    fn at<T>(ms: u64, look: impl FnOnce() -> T) -> T {
        let _clock = clock::install(Simulated { boot_ns: ms * 1_000_000, wall_ms: 0 });
        look()
    }

    #[test]
    fn a_hanging_disk_is_reported_once_and_when_it_is_done() {
        let mut vigil = at(0, Vigil::new);
        let idle = Stats { groups: 3, ..Stats::default() };
        let busy = Stats { bytes_pending: 10, ..idle };
        assert_eq!(at(5_000, || vigil.look_at_disk(&idle)), None, "an idle disk does not hang");
        assert_eq!(at(5_900, || vigil.look_at_disk(&busy)), None);
        assert_eq!(
            at(6_100, || vigil.look_at_disk(&busy)),
            Some(Notice::DiskHangs(Duration::from_millis(1_100)))
        );
        assert_eq!(at(7_000, || vigil.look_at_disk(&busy)), None, "once");
        let done = Stats { groups: 4, ..busy };
        assert_eq!(
            at(7_500, || vigil.look_at_disk(&done)),
            Some(Notice::DiskDone(Duration::from_millis(2_500)))
        );
        assert_eq!(at(8_000, || vigil.look_at_disk(&done)), None);
    }

    #[test]
    fn a_standstill_is_told_from_a_late_timer() {
        let due = Instant::from_nanos(1_000_000_000);
        assert_eq!(at(900, || Vigil::standstill(due)), None);
        assert_eq!(at(1_100, || Vigil::standstill(due)), None);
        assert_eq!(at(1_400, || Vigil::standstill(due)), Some(Duration::from_millis(400)));
    }
}
