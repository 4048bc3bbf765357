//! Linearizable reads of connections that have no write under way (R4).
//!
//! Reads gather while a question to the leader ("up to which entry must I have applied?") is on its way, and
//! share the next one. They are executed in the order they came, as soon as that entry is applied.

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_env::Instant;

use crate::bus::ReadIndex;
use crate::{AtPlace, Client, line};

/// How many questions may be under way.
const QUESTIONS_MAX: usize = 2;

/// A read, or something else that must happen at its place among the reads of its connection.
pub(crate) enum Read {
    Command(Rc<dyn Client>),
    Local(AtPlace),
}

/// Reads that share one question.
pub(crate) struct Chunk {
    /// The command lines, in the order of the items.
    pub(crate) lines: Vec<u8>,
    /// How many bytes of them are done.
    pub(crate) done: usize,
    pub(crate) items: VecDeque<Read>,
    /// When the oldest of them came.
    pub(crate) since: Instant,
    state: State,
    /// It has let the next entry go before it.
    has_given_way: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Gathering,
    /// To be asked for anew when an entry behind this one is applied.
    After(u64),
    Asked(u64),
    Ready(u64, u64),
}

impl Chunk {
    fn new() -> Self {
        Self {
            lines: Vec::new(),
            done: 0,
            items: VecDeque::new(),
            since: Instant::now(),
            state: State::Gathering,
            has_given_way: false,
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Reads {
    chunks: VecDeque<Chunk>,
    next: u64,
}

impl Reads {
    fn gathering(&mut self) -> &mut Chunk {
        if self.chunks.back().is_none_or(|c| c.state != State::Gathering) {
            self.chunks.push_back(Chunk::new());
        }
        self.chunks.back_mut().expect("just made")
    }

    /// Adds a read.
    pub(crate) fn command(&mut self, client: Rc<dyn Client>, db: usize, args: &[&[u8]]) {
        let chunk = self.gathering();
        line::put(&mut chunk.lines, db, args);
        chunk.items.push_back(Read::Command(client));
    }

    /// Adds something to be done at this place.
    pub(crate) fn local(&mut self, f: AtPlace) {
        self.gathering().items.push_back(Read::Local(f));
    }

    /// Begins a question if there is something to ask for, now that `applied` is applied; its number.
    pub(crate) fn ask(&mut self, applied: u64) -> Option<u64> {
        if self.chunks.iter().filter(|c| matches!(c.state, State::Asked(_))).count() >= QUESTIONS_MAX {
            return None;
        }
        let is_due = |c: &&mut Chunk| match c.state {
            State::Gathering => true,
            State::After(index) => applied > index,
            State::Asked(_) | State::Ready(..) => false,
        };
        let chunk = self.chunks.iter_mut().find(is_due)?;
        self.next += 1;
        chunk.state = State::Asked(self.next);
        Some(self.next)
    }

    /// The answer to a question; without one, it is asked again. A question that was taken back has none.
    pub(crate) fn answer(&mut self, number: u64, answer: Option<ReadIndex>) {
        if let Some(chunk) = self.chunks.iter_mut().find(|c| c.state == State::Asked(number)) {
            chunk.state = answer.map_or(State::Gathering, |a| State::Ready(a.index, a.now_ms));
        }
    }

    /// Takes all questions back: another node leads now, and the old one will not answer.
    pub(crate) fn ask_anew(&mut self) {
        for chunk in &mut self.chunks {
            if matches!(chunk.state, State::Asked(_)) {
                chunk.state = State::Gathering;
            }
        }
    }

    /// The oldest reads, if they may be executed now that `applied` is applied; and the leader's time.
    pub(crate) fn take_ready(&mut self, applied: u64) -> Option<(Chunk, u64)> {
        match self.chunks.front()?.state {
            State::Ready(index, now_ms) if index <= applied => Some((self.chunks.pop_front()?, now_ms)),
            _ => None,
        }
    }

    /// Whether the oldest reads may be executed now that `applied` is applied.
    pub(crate) fn has_ready(&self, applied: u64) -> bool {
        matches!(self.chunks.front().map(|c| c.state), Some(State::Ready(index, _)) if index <= applied)
    }

    /// The oldest reads, if they may be executed now that `applied` is applied, wait for the next entry, once. Whether they
    /// do. Their answer holds then, too.
    pub(crate) fn give_way(&mut self, applied: u64) -> bool {
        let Some(chunk) = self.chunks.front_mut() else { return false };
        match chunk.state {
            State::Ready(index, now_ms) if index <= applied && !chunk.has_given_way => {
                chunk.has_given_way = true;
                chunk.state = State::Ready(applied + 1, now_ms);
                true
            }
            _ => false,
        }
    }

    /// Puts back what is executed in the next turn. Its answer holds: what it was asked for is applied.
    pub(crate) fn go_on_with(&mut self, mut chunk: Chunk, now_ms: u64) {
        chunk.state = State::Ready(0, now_ms);
        self.chunks.push_front(chunk);
    }

    /// How many bytes of commands wait.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.lines.len()).sum()
    }

    /// Puts back what could not be executed yet: it keeps its place and is asked for anew, because the answer may
    /// be of a leader whose clock was ahead. Not before something behind `applied` is applied: until then the answer
    /// would be the same, and asking for it again and again would keep the thread busy.
    pub(crate) fn put_back(&mut self, mut chunk: Chunk, applied: u64) {
        chunk.state = State::After(applied);
        self.chunks.push_front(chunk);
    }

    /// The node stood still for `time`: nothing has waited meanwhile.
    pub(crate) fn forgive(&mut self, time: std::time::Duration) {
        let now = Instant::now();
        self.chunks.iter_mut().for_each(|c| c.since = (c.since + time).min(now));
    }

    /// Gives up reads that waited for longer than `limit`.
    pub(crate) fn expire(&mut self, limit: std::time::Duration) -> Vec<Chunk> {
        let mut lost = Vec::new();
        while self.chunks.front().is_some_and(|c| c.since.elapsed() > limit) {
            lost.extend(self.chunks.pop_front());
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(reads: &mut Reads, index: u64) {
        let number = reads.ask(0).expect("something gathered");
        reads.answer(number, Some(ReadIndex { index, now_ms: 7 }));
    }

    #[test]
    fn what_needs_a_later_time_is_asked_for_again_when_an_entry_has_brought_it() {
        let mut reads = Reads::default();
        reads.local(Box::new(|_, _| ()));
        answered(&mut reads, 5);
        let (chunk, _) = reads.take_ready(5).expect("entry 5 is applied");
        reads.put_back(chunk, 5);
        assert_eq!(reads.ask(5), None);
        assert!(reads.ask(6).is_some());
    }

    #[test]
    fn what_a_turn_has_no_room_for_goes_on_in_the_next_one_and_stays_first() {
        let mut reads = Reads::default();
        reads.local(Box::new(|_, _| ()));
        answered(&mut reads, 5);
        reads.local(Box::new(|_, _| ()));
        answered(&mut reads, 6);
        assert!(!reads.has_ready(4));
        let (mut chunk, now_ms) = reads.take_ready(5).expect("entry 5 is applied");
        chunk.lines = vec![0; 10];
        reads.go_on_with(chunk, now_ms);
        assert_eq!((reads.has_ready(5), reads.bytes()), (true, 10));
        let (chunk, now_ms) = reads.take_ready(5).expect("it was put back");
        assert_eq!((chunk.lines.len(), now_ms), (10, 7));
        assert!(!reads.has_ready(5), "the next one needs entry 6");
    }

    #[test]
    fn who_gives_way_does_so_once() {
        let mut reads = Reads::default();
        reads.local(Box::new(|_, _| ()));
        assert!(!reads.give_way(9), "it may not be executed yet");
        answered(&mut reads, 5);
        assert!(!reads.give_way(4));
        assert!(reads.give_way(6));
        assert_eq!((reads.has_ready(6), reads.has_ready(7)), (false, true));
        assert!(!reads.give_way(7));
        assert_eq!(reads.take_ready(7).expect("entry 7 is applied").1, 7);
    }
}
