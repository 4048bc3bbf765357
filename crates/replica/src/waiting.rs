//! The clients of this node whose commands wait for a key (R17).
//!
//! That a command waits is a part of the state, and whoever serves it does so in an entry of the log. What is kept here
//! is whom to tell: a connection by the identity of its command. The table also ends what waits for too long, and what
//! nobody waits for any more: it asks for it through the log, so that either the command was served before, on every
//! replica, or it takes nothing. A client is answered once, by apply.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use quorate_env::Instant;
use quorate_keyspace::{Keyspace, Release, Reply, WaiterId};
use quorate_resp::Protocol;

use crate::Client;
use crate::outbox::Failure;

/// What could not be asked for, or was not heard of, is asked for again after this time.
const PAUSE: Duration = Duration::from_millis(100);

/// A command that waits.
struct Open {
    /// `None`: it has an answer already, or nobody was there when it began to wait.
    client: Option<Rc<dyn Client>>,
    /// Why it is to end, once it is.
    release: Option<Release>,
    /// The next thing to do, and when.
    timer: Option<Instant>,
}

/// Requests that did not succeed, to be told of outside of apply.
type Failed = Rc<RefCell<Vec<WaiterId>>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Waiting {
    open: BTreeMap<WaiterId, Open>,
    timers: BTreeSet<(Instant, WaiterId)>,
    failed: Failed,
}

impl Waiting {
    /// A command has begun to wait; `client` gets the answer. A `timeout_ms` of 0 is for ever.
    pub(crate) fn begin(&mut self, id: WaiterId, client: Option<Rc<dyn Client>>, timeout_ms: u64) {
        let now = Instant::now();
        let is_wanted = client.as_ref().is_some_and(|client| client.waits(id, timeout_ms > 0));
        // Nobody wants it: it ends as soon as possible, and takes nothing unless it is served before.
        let release = (!is_wanted || timeout_ms > 0).then_some(Release::Timeout);
        let timer = match (is_wanted, timeout_ms) {
            (false, _) => Some(now),
            (true, 0) => None,
            // Longer than anything runs: for ever.
            (true, ms) => (ms < u64::MAX / 2_000_000).then(|| now + Duration::from_millis(ms)),
        };
        self.open.insert(id, Open { client, release, timer });
        self.timers.extend(timer.map(|at| (at, id)));
    }

    /// Whether a command of this identity is known to wait.
    pub(crate) fn contains(&self, id: WaiterId) -> bool {
        self.open.contains_key(&id)
    }

    /// Apply answers a command: `run` writes the answer, or says that it goes on waiting.
    pub(crate) fn answer(&mut self, id: WaiterId, index: u64, run: &mut dyn FnMut(&mut Reply<'_>) -> bool) {
        let client = self.open.get(&id).and_then(|open| open.client.clone());
        let Some(client) = client else {
            if run(&mut Reply::discard()) {
                self.forget(id);
            }
            return;
        };
        let mut is_answered = false;
        client.write(&mut |reply| is_answered = run(reply));
        if is_answered {
            client.done(index);
            self.forget(id);
        } else {
            client.postpone();
        }
    }

    /// A planted bug: all that wait, to be sent again, and a client that does not tell anybody.
    pub(crate) fn again(&self) -> (Vec<WaiterId>, Rc<dyn Client>) {
        (self.open.keys().copied().collect(), Rc::new(Nobody))
    }

    /// Has a command end soon. It does not if it is served before.
    pub(crate) fn release(&mut self, id: WaiterId, release: Release) {
        if let Some(open) = self.open.get_mut(&id) {
            open.release = Some(release);
            self.set_timer(id, Instant::now());
        }
    }

    /// Has all commands end soon.
    pub(crate) fn release_all(&mut self, release: Release) {
        let ids: Vec<_> = self.open.keys().copied().collect();
        ids.into_iter().for_each(|id| self.release(id, release));
    }

    /// How many clients wait.
    pub(crate) fn clients(&self) -> usize {
        self.open.values().filter(|open| open.client.is_some()).count()
    }

    /// When there is something to do next.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is to be asked for now: `ask` puts the command into the log for the client given, or says that it cannot.
    pub(crate) fn ask(&mut self, mut ask: impl FnMut(Rc<dyn Client>, WaiterId, Release) -> bool) {
        let now = Instant::now();
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            let release = self.open.get(&id).and_then(|open| open.release).unwrap_or(Release::Timeout);
            let errand = Rc::new(Errand { id, failed: self.failed.clone(), answer: RefCell::default() });
            match ask(errand, id, release) {
                // If the answer is that it failed, or it ends otherwise, it is asked for again.
                true => self.clear_timer(id),
                false => self.set_timer(id, now + PAUSE),
            }
        }
    }

    /// Requests that have failed are repeated. Their clients do not wait for it: they may have been served, for all this
    /// node knows.
    pub(crate) fn look_after_failed(&mut self, index: u64) {
        for id in self.failed.take() {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if let Some(client) = open.client.take() {
                client.answer(index, &mut |reply| reply.error(&Failure::Unknown.error()));
            }
            self.set_timer(id, Instant::now() + PAUSE);
        }
    }

    /// A snapshot took the place of entries: those that do not wait in it were answered there, and nobody knows how. What
    /// waits there for clients of this node that it does not know of is nobody's.
    pub(crate) fn compare(&mut self, keyspace: &Keyspace, node: u64, start: u64) {
        let gone: Vec<_> = self.open.keys().copied().filter(|id| !keyspace.waits(*id)).collect();
        for id in gone {
            if let Some(client) = self.open.get_mut(&id).and_then(|open| open.client.take()) {
                client.answer(keyspace.index(), &mut |reply| reply.error(&Failure::Unknown.error()));
            }
            self.forget(id);
        }
        for id in keyspace.waiters_of(node, start) {
            if !self.contains(id) {
                self.begin(id, None, 0);
            }
        }
    }

    fn forget(&mut self, id: WaiterId) {
        self.clear_timer(id);
        self.open.remove(&id);
    }

    fn set_timer(&mut self, id: WaiterId, at: Instant) {
        self.clear_timer(id);
        if let Some(open) = self.open.get_mut(&id) {
            open.timer = Some(at);
            self.timers.insert((at, id));
        }
    }

    fn clear_timer(&mut self, id: WaiterId) {
        if let Some(at) = self.open.get_mut(&id).and_then(|open| open.timer.take()) {
            self.timers.remove(&(at, id));
        }
    }
}

/// Part of a planted bug: waits, and tells nobody.
struct Nobody;

impl Client for Nobody {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::discard());
    }

    fn done(&self, _index: u64) {}

    fn postpone(&self) {}

    fn waits(&self, _waiter: WaiterId, _has_timeout: bool) -> bool {
        true
    }
}

/// Waits for the answer to a request that a command end.
struct Errand {
    id: WaiterId,
    failed: Failed,
    answer: RefCell<Vec<u8>>,
}

impl Client for Errand {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.answer.borrow_mut(), Protocol::Resp2));
    }

    fn done(&self, _index: u64) {
        if self.answer.borrow().starts_with(b"-") {
            self.failed.borrow_mut().push(self.id);
        }
    }

    fn postpone(&self) {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use quorate_env::clock::{self, Simulated};
    use quorate_keyspace::CommandError;

    use super::*;

    #[derive(Default)]
    struct Probe {
        is_closed: bool,
        answer: RefCell<Vec<u8>>,
        answers: Cell<usize>,
    }

    impl Client for Probe {
        fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
            run(&mut Reply::new(&mut self.answer.borrow_mut(), Protocol::Resp2));
        }

        fn done(&self, _: u64) {
            self.answers.set(self.answers.get() + 1);
        }

        fn postpone(&self) {
            assert!(self.answer.borrow().is_empty());
        }

        fn waits(&self, _: WaiterId, _: bool) -> bool {
            !self.is_closed
        }
    }

    fn id(seq: u64) -> WaiterId {
        WaiterId { node: 1, start: 2, epoch: 3, seq, number: 4 }
    }

    fn at<T>(ms: u64, look: impl FnOnce() -> T) -> T {
        let _clock = clock::install(Simulated { boot_ns: ms * 1_000_000, wall_ms: 0 });
        look()
    }

    /// What is asked for at a time, with who waits for the outcome.
    fn asked(waiting: &mut Waiting, ms: u64) -> Vec<(WaiterId, Release, Rc<dyn Client>)> {
        let mut asked = Vec::new();
        at(ms, || {
            waiting.ask(|errand, id, release| {
                asked.push((id, release, errand));
                true
            });
        });
        asked
    }

    #[test]
    fn what_waits_for_too_long_is_ended_once() {
        let (mut waiting, probe) = (Waiting::default(), Rc::new(Probe::default()));
        at(1000, || waiting.begin(id(1), Some(probe.clone()), 50));
        at(1000, || waiting.begin(id(2), Some(probe.clone()), 0));
        assert_eq!(waiting.next_timer(), Some(at(1050, Instant::now)));
        assert!(asked(&mut waiting, 1049).is_empty());
        let first = asked(&mut waiting, 1050);
        assert_eq!((first.len(), first[0].0, first[0].1), (1, id(1), Release::Timeout));
        assert!(asked(&mut waiting, 9000).is_empty(), "the request is on its way");
        waiting.answer(id(1), 5, &mut |reply| {
            reply.null_array();
            true
        });
        assert_eq!((probe.answers.get(), waiting.clients()), (1, 1));
        assert_eq!(*probe.answer.borrow(), b"*-1\r\n");
    }

    #[test]
    fn who_goes_on_waiting_is_not_answered() {
        let (mut waiting, probe) = (Waiting::default(), Rc::new(Probe::default()));
        at(0, || waiting.begin(id(1), Some(probe.clone()), 0));
        waiting.answer(id(1), 5, &mut |_| false);
        assert_eq!((probe.answers.get(), waiting.clients()), (0, 1));
        let mut runs = 0;
        waiting.answer(id(7), 5, &mut |_| {
            runs += 1;
            true
        });
        assert_eq!((runs, probe.answers.get()), (1, 0), "another node's client");
    }

    #[test]
    fn nobodys_command_is_ended_at_once() {
        let mut waiting = Waiting::default();
        let closed = Rc::new(Probe { is_closed: true, ..Probe::default() });
        at(10, || waiting.begin(id(1), Some(closed), 0));
        at(10, || waiting.begin(id(2), None, 70));
        let ids: Vec<_> = asked(&mut waiting, 10).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(ids, [id(1), id(2)]);
    }

    #[test]
    fn a_request_that_fails_is_repeated_and_its_client_is_told() {
        let (mut waiting, probe) = (Waiting::default(), Rc::new(Probe::default()));
        at(0, || waiting.begin(id(1), Some(probe.clone()), 0));
        at(5, || waiting.release(id(1), Release::Error));
        let errands = asked(&mut waiting, 5);
        assert_eq!(errands[0].1, Release::Error);
        errands[0].2.answer(1, &mut |reply| reply.error(&CommandError::fixed("NOQUORUM")));
        at(6, || waiting.look_after_failed(1));
        assert!(probe.answer.borrow().starts_with(b"-UNKNOWN"));
        assert_eq!((probe.answers.get(), waiting.clients()), (1, 0));
        let again = asked(&mut waiting, 200);
        assert_eq!(again.len(), 1);
        again[0].2.answer(1, &mut |reply| reply.int(1));
        at(300, || waiting.look_after_failed(1));
        waiting.answer(id(1), 5, &mut |reply| {
            reply.null_array();
            true
        });
        assert_eq!(probe.answers.get(), 1, "one answer");
        assert!(!waiting.contains(id(1)));
    }

    #[test]
    fn what_cannot_be_asked_for_is_tried_again() {
        let (mut waiting, probe) = (Waiting::default(), Rc::new(Probe::default()));
        at(0, || waiting.begin(id(1), Some(probe), 10));
        at(10, || waiting.ask(|_, _, _| false));
        assert!(asked(&mut waiting, 50).is_empty());
        assert_eq!(asked(&mut waiting, 110).len(), 1);
    }

    #[test]
    fn after_a_snapshot_who_was_served_does_not_know_with_what() {
        let (mut waiting, probe) = (Waiting::default(), Rc::new(Probe::default()));
        at(0, || waiting.begin(id(1), Some(probe.clone()), 0));
        at(0, || waiting.compare(&Keyspace::new(1), 1, 2));
        assert!(probe.answer.borrow().starts_with(b"-UNKNOWN"));
        assert!(!waiting.contains(id(1)) && waiting.next_timer().is_none());
    }
}
