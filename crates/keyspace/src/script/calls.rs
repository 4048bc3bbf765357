//! The commands that a script calls, and their replies.
//!
//! A run that outgrows the interpreter that all runs share is done again in one of its own (see [`super::Interpreter::run`]). What it has
//! called by then is done: the second time it gets the same replies, without the commands being carried out again.

use scoped_tls_hkt::{ReborrowMut, scoped_thread_local};

use super::budget::Shared;

/// Replies that are kept, in bytes: a run with more of them goes on in an interpreter of its own, where none are kept.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// What a reply counts beside its bytes.
const REPLY_BYTES: usize = 32;

/// Carries out a command and appends its encoded reply.
pub(crate) type Call<'a> = dyn FnMut(&[&[u8]], &Shared, &mut Vec<u8>) + 'a;

scoped_thread_local!(
    /// The run that this thread carries out: functions that an interpreter keeps find it here. Making some for each run would take much
    /// of the time of a short one.
    static mut RUNNING: for<'a> Running<'a>
);

/// What the calls of a run need.
pub(super) struct Running<'a> {
    replies: &'a mut Replies,
    call: &'a mut Call<'a>,
}

impl<'a> ReborrowMut<'a> for Running<'_> {
    type Result = Running<'a>;

    fn reborrow_mut(&'a mut self) -> Running<'a> {
        Running { replies: self.replies, call: self.call }
    }
}

/// Carries out `run`, whose calls are to go to `call`.
pub(super) fn running<T>(replies: &mut Replies, call: &mut Call<'_>, run: impl FnOnce() -> T) -> T {
    RUNNING.set(Running { replies, call }, run)
}

/// Carries out a command for the run that this thread carries out, and hands its encoded reply to `take`.
pub(super) fn carry_out<T>(words: &[&[u8]], shared: &Shared, take: impl FnOnce(&[u8]) -> T) -> T {
    RUNNING.with(|running| take(running.replies.next(words, shared, running.call)))
}

/// The replies of one run.
#[derive(Debug, Default)]
pub(super) struct Replies {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// If the run is done again: the next one that it gets.
    again: Option<usize>,
}

impl Replies {
    /// A run begins.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX / 16);
        self.ends.clear();
        self.again = None;
    }

    /// The run begins again.
    pub(super) fn begin_again(&mut self) {
        self.again = Some(0);
    }

    /// The reply to the next call.
    pub(super) fn next(&mut self, args: &[&[u8]], shared: &Shared, call: &mut Call<'_>) -> &[u8] {
        match &mut self.again {
            None => {
                let start = self.bytes.len();
                call(args, shared, &mut self.bytes);
                self.ends.push(self.bytes.len());
                if self.bytes.len() + self.ends.len() * REPLY_BYTES > KEPT_BYTES_MAX {
                    shared.outgrow();
                }
                &self.bytes[start..]
            }
            Some(n) if *n < self.ends.len() => {
                let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
                *n += 1;
                &self.bytes[start..self.ends[*n - 1]]
            }
            Some(_) => {
                self.bytes.clear();
                call(args, shared, &mut self.bytes);
                &self.bytes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_done_again_gets_the_same_replies_and_calls_nothing_twice() {
        let (mut replies, shared) = (Replies::default(), Shared::default());
        let mut called = 0_u8;
        let mut call = |_: &[&[u8]], _: &Shared, out: &mut Vec<u8>| {
            called += 1;
            out.extend(std::iter::repeat_n(called, called.into()));
        };
        replies.begin();
        let first: Vec<Vec<u8>> = (0..3).map(|_| replies.next(&[], &shared, &mut call).to_vec()).collect();
        assert_eq!(first, [vec![1], vec![2, 2], vec![3, 3, 3]]);
        replies.begin_again();
        let second: Vec<Vec<u8>> = (0..5).map(|_| replies.next(&[], &shared, &mut call).to_vec()).collect();
        assert_eq!(second[..3], first);
        assert_eq!(second[3..], [vec![4; 4], vec![5; 5]]);
        replies.begin();
        assert_eq!(replies.next(&[], &shared, &mut call), [6; 6]);
        assert_eq!(called, 6);
    }
}
