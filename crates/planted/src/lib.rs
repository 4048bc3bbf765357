//! Known bugs that can be planted, one at a time, in a build for tests: a checker that has caught nothing proves nothing.
//!
//! Production code asks [`is_planted`] at the place where the bug would be. Without the feature `on` that is a constant
//! `false`, so the question costs nothing and nobody can ask a production build to misbehave. With it, a test plants a
//! bug with [`plant`] on its own thread: a simulated cluster runs on one thread, and tests beside it are not infected.
//!
//! For tests of real processes, a process of such a build plants the bug in all of its threads that an environment variable
//! names when it starts: [`plant_from_environment`]. That takes a build with debug assertions as well, so that a
//! release build of the whole workspace, simulator and all, does not listen to the variable either.
//!
//! It is a crate of its own because `quorate-keyspace` needs it, too, which depends on nothing that knows of clocks or
//! disks.

/// Makes [`Bug`], and the list of all of them for who plants one by its name.
macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        #[cfg(all(feature = "on", debug_assertions))]
        const ALL: &[Bug] = &[$(Bug::$name,)*];
    };
}

bugs! {
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
    /// The leader takes a follower's answer from before a standstill for one to what it sent after it (R3).
    OldAnswerProlongsLease,
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
    /// The record that cuts a suffix of the log is passed over when the log is recovered, and an entry takes the place of
    /// the one with its index alone: what was cut comes back behind the new entries (R6).
    CutSuffixReturns,
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
    /// A batch that was sent for one term is applied in an entry of a later one (R15).
    OldTermAccepted,
    /// RANDOMKEY depends on how the table came about, and not only on what is in it (R11).
    RandomPickByLayout,
    /// A key is shown as expired before the log knows the time (R2).
    ExpiryOutsideTheLog,
    /// A small set that came from a snapshot has its members in another order (R11).
    OrderByHistory,
    /// What a client waits for is sent again after a change of leader, though it may be served (R17).
    WaiterRegisteredAgain,
    /// What MIGRATE has sent is deleted, though it may have changed meanwhile (R16).
    MigratedUnwatched,
    /// Clients that keep copies of values are not told of keys that expire (R18).
    ExpiryNotTold,
    /// A key counts as cached when the read arrives, and not when its answer is made (R18).
    TrackedAtArrival,
    /// Copies are not given up when a snapshot takes the place of entries that their clients were not told of (R18).
    CachesOutliveSnapshot,
    /// Copies are not given up when the leader changes (R18).
    CachesOutliveLeader,
    /// A published message is sent once more when the connection to a node is made anew (R18).
    MessageSentAgain,
    /// A published message is delivered before this node has applied what its sender wrote before it (R18).
    MessageBeforeWrite,
    /// Clients whose invalidations go to another connection are not told when any key may have changed (R18).
    RedirectForgetsAll,
    /// Nobody is told that all keys of a database have gone, or were exchanged (R18).
    WipeNotTold,
    /// A key that a script has read does not count as cached (R18).
    ScriptNotTracked,
    /// Keyspace notifications are told on the node alone through which the change came (R18).
    EventToldAtOriginOnly,
    /// What a user may do is asked when a command arrives, and not again when it is carried out.
    UserJudgedAtArrival,
    /// The connections of a user that is deleted stay open.
    UserStaysConnected,
    /// A user who may not hear a channel any more goes on hearing it.
    ChannelRightStays,
    /// An entry's messages, and those that waited for it, are told before who may hear them is known anew.
    MessageBeforeRights,
    /// A user that is made anew under the same name is taken for the one before.
    UserKnownByName,
    /// A user that is switched off is let in.
    DisabledUserLetIn,
    /// A node evicts what the log says only if it was not used lately there (R12).
    EvictionJudgedHere,
}

/// Whether processes of this build plant the bug that the environment names; see [`plant_from_environment`].
pub const BY_ENVIRONMENT: bool = cfg!(all(feature = "on", debug_assertions));

#[cfg(all(feature = "on", debug_assertions))]
mod process;
#[cfg(all(feature = "on", debug_assertions))]
pub use process::plant_from_environment;

/// The bug of the whole process: none, because only a build with debug assertions can have one.
#[cfg(all(feature = "on", not(debug_assertions)))]
mod process {
    pub(crate) const fn planted() -> Option<super::Bug> {
        None
    }
}

/// Does nothing: only a build for tests, with the feature `on` and debug assertions, plants what the environment names.
///
/// # Errors
/// Never, in this build.
#[cfg(not(all(feature = "on", debug_assertions)))]
#[inline(always)]
pub const fn plant_from_environment() -> Result<Option<String>, String> {
    Ok(None)
}

#[cfg(feature = "on")]
mod on {
    use std::cell::Cell;

    use super::{Bug, process};

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread, or in the whole process.
    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug) || process::planted() == Some(bug)
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
