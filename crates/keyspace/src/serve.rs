//! Serving commands that wait, within the entry that made their keys ready (R17).

use std::sync::Arc;

use crate::{
    apply::{Host, Replies},
    batch::Args,
    command::resolve_logged,
    keyspace::{Effect, Keyspace},
    meter::Place,
    random::Random,
    reply::Reply,
    waiters::{Release, Wait, Waiter, WaiterId},
};

/// What each replica knows of the element at hand.
pub(crate) struct Element {
    /// Its number in the entry.
    pub(crate) n: usize,
    /// The entry's seed.
    pub(crate) seed: u64,
}

impl Keyspace {
    /// How many commands wait in the whole cluster.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// How many keys they wait for, and how many of these also tell when they go.
    #[must_use]
    pub fn waited_for(&self) -> (usize, usize) {
        self.waiters.key_counts()
    }

    /// Whether this command still waits.
    #[must_use]
    pub fn waits(&self, id: WaiterId) -> bool {
        self.waiters.contains(id)
    }

    /// The database and the arguments of a command that waits.
    #[must_use]
    pub fn waiting_line(&self, id: WaiterId) -> Option<(usize, Vec<&[u8]>)> {
        let waiter = self.waiters.number_of(id).and_then(|number| self.waiters.by_number(number))?;
        Some((waiter.db, waiter.args.iter().map(|arg| &**arg).collect()))
    }

    /// The commands that wait for clients of this start of a node.
    #[must_use]
    pub fn waiters_of(&self, node: u64, start: u64) -> Vec<WaiterId> {
        self.waiters.of_start(node, start).collect()
    }

    /// Whether commands wait for clients of an earlier start of a node: nobody does, really. The first batch of the
    /// new start drops them.
    #[must_use]
    pub fn has_waiters_before(&self, node: u64, start: u64) -> bool {
        self.waiters.before_start(node, start).next().is_some()
    }

    /// The nodes whose clients wait, each with its last start that has any.
    #[must_use]
    pub fn waiting_origins(&self) -> Vec<(u64, u64)> {
        self.waiters.origins()
    }

    /// Leaves a command waiting.
    pub(crate) fn wait(&mut self, id: WaiterId, db: usize, args: &Args<'_>, wait: Wait) {
        let number = self.waiters.push(Waiter::new(id, self.caller, db, args, wait));
        self.note_effect(Effect::Wait, db, number);
    }

    /// Has a command answered without being served. False if it does not wait.
    pub(crate) fn release(&mut self, id: WaiterId, release: Release) -> bool {
        self.waiters.release(id, release)
    }

    /// Has all commands of a node answered that came with its starts up to this one. How many there were.
    pub(crate) fn release_all(&mut self, node: u64, last_start: u64) -> usize {
        let ids: Vec<_> = self.waiters.before_start(node, last_start.saturating_add(1)).collect();
        ids.into_iter().filter(|id| self.waiters.release(*id, Release::Stopped)).count()
    }

    /// Answers those that are released, and tries those whose keys became ready: keys in the order in which they did,
    /// waiters of a key in the order in which they came. What is served may make further keys ready.
    pub(crate) fn serve_waiters(&mut self, element: &Element, replies: &mut u64, host: &mut dyn Host) {
        let mut tried = 0;
        while self.waiters.has_work() {
            while let Some((id, release)) = self.waiters.take_released() {
                self.let_go(id, release, replies, host);
            }
            if let Some((db, key)) = self.waiters.take_ready() {
                self.serve_key(db, &key, element, &mut tried, replies, host);
            }
        }
    }

    fn serve_key(
        &mut self,
        db: usize,
        key: &[u8],
        element: &Element,
        tried: &mut u64,
        replies: &mut u64,
        host: &mut dyn Host,
    ) {
        let hash = self.hash(key);
        let mut from = 0;
        loop {
            let value = self.live(db, hash, key).map(|record| &record.value);
            let Some(number) = self.waiters.next_for(db, key, value, from) else { return };
            from = number + 1;
            let waiter = self.waiters.get(number).expect("it is in the queue");
            *tried += 1;
            let seed = Random::for_command(element.seed, element.n as u64, u64::MAX - *tried);
            self.try_to_serve(number, &waiter, seed, replies, host);
        }
    }

    /// Carries the command out anew. It goes on waiting if it would wait again.
    fn try_to_serve(
        &mut self,
        number: u64,
        waiter: &Arc<Waiter>,
        seed: u64,
        replies: &mut u64,
        host: &mut dyn Host,
    ) {
        let args: Args<'_> = waiter.args.iter().map(|arg| &**arg).collect();
        let (mut waits_on, ready) = (false, self.waiters.ready_count());
        self.caller = waiter.user;
        Replies::answer_waiter(replies, host, waiter.id, &mut |reply| {
            waits_on = self.execute_or_wait(waiter.db, &args, seed, reply).wait.is_some();
            !waits_on
        });
        if waits_on {
            // A consumer that looks for something leaves its trace in the stream: nothing that could serve anybody.
            self.waiters.forget_ready(ready);
        } else {
            self.forget(number);
        }
    }

    /// Answers a command that is not served any more.
    fn let_go(&mut self, id: WaiterId, release: Release, replies: &mut u64, host: &mut dyn Host) {
        // It may have been named twice.
        let Some(number) = self.waiters.number_of(id) else { return };
        let waiter = self.waiters.get(number).expect("it waits");
        self.forget(number);
        Replies::answer_waiter(replies, host, id, &mut |reply: &mut Reply<'_>| {
            let begun = reply.begin();
            match release.error() {
                Some(error) => reply.error(&error),
                None => reply.null_array(),
            }
            let args: Args<'_> = waiter.args.iter().map(|arg| &**arg).collect();
            if let Ok(command) = resolve_logged(&args) {
                reply.end(begun, command, &args, Place::Client, 0);
            }
            true
        });
    }

    fn forget(&mut self, number: u64) {
        let waiter = self.waiters.remove(number).expect("it waited");
        self.note_effect(Effect::Leave, waiter.db, number);
    }
}
