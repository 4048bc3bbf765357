//! Known bugs that can be planted, one at a time, in a build for tests: a checker that has caught nothing proves nothing.
//!
//! Production code asks [`is_planted`] at the place where the bug would be. Without the feature `on` that is a constant
//! `false`, so the question costs nothing and nobody can ask a production build to misbehave. With it, a test plants a
//! bug with [`plant`] on its own thread: a simulated cluster runs on one thread, and tests beside it are not infected.
//!
//! It is a crate of its own because `quorate-keyspace` needs it, too, which depends on nothing that knows of clocks or
//! disks.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The leader counts a follower as having an entry when it has sent it.
    AcknowledgeBeforeMajority,
    /// An entry counts as being on disk when it has been written and not synced.
    SkipFsync,
    /// Clients are answered when an entry is committed, though it waits to be applied.
    ReplyBeforeApply,
    /// The leader answers reads without asking whether its lease is still valid (R3).
    ReadAfterLease,
    /// The leader's lease is as long as the voters' promise, whatever their clocks do (R3).
    NoLeaseMargin,
    /// A voter that was restarted votes at once, though it may have promised not to (R3).
    VoteAfterRestart,
    /// A vote that was given to a candidate is not stored.
    ForgetVote,
    /// An older copy of a data folder is taken for the member that it was (R5).
    ReusedIdentity,
    /// Damage below what was durable is taken for the unfinished tail of a crash (R6).
    TailCutTooFar,
    /// A state that came from a snapshot has forgotten which batches are in it.
    ApplyTwiceAfterSnapshot,
    /// A voter elects a candidate whose log lacks what is committed, and then cuts its own.
    TruncateCommitted,
    /// The checksum of a record's payload is not looked at (R6).
    IgnoreChecksum,
    /// A failed fsync is taken for a successful one (R7).
    GoOnAfterFailedFsync,
    /// A follower executes reads before it has applied what the leader named (R4).
    FollowerReadWithoutIndex,
    /// A read is executed though an earlier write of its connection is under way (R1).
    ReadOutOfOrder,
    /// A write that a leader may have appended is reported as not applied (R14).
    DiscardedIsNotApplied,
    /// RANDOMKEY depends on how the table came about, and not only on what is in it (R11).
    RandomPickByLayout,
    /// A key is shown as expired before the log knows the time (R2).
    ExpiryOutsideTheLog,
}

#[cfg(feature = "on")]
mod on {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug on this thread until what is returned is dropped; `None` plants nothing.
    ///
    /// # Panics
    /// If a bug is planted there already.
    pub fn plant(bug: Option<Bug>) -> Planted {
        assert_eq!(PLANTED.get(), None, "one bug at a time");
        PLANTED.set(bug);
        Planted(())
    }

    /// A bug that is planted as long as this lives.
    #[must_use]
    #[derive(Debug)]
    pub struct Planted(());

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_bug_is_planted_alone_and_goes_with_its_guard() {
            assert!(!is_planted(Bug::SkipFsync));
            let planted = plant(Some(Bug::SkipFsync));
            assert!(is_planted(Bug::SkipFsync) && !is_planted(Bug::ForgetVote));
            std::mem::drop(planted);
            assert!(!is_planted(Bug::SkipFsync));
            let _nothing = plant(None);
            assert!(!is_planted(Bug::SkipFsync));
        }
    }
}

#[cfg(feature = "on")]
pub use on::{Planted, is_planted, plant};

/// Whether this bug is planted: never in a build without the feature `on`.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
