//! Going through the entries of a stream, from either end.

use super::{
    Stream, StreamId,
    node::{Entry, Head},
};
use crate::listpack;

/// The entries between two ids.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    stream: &'a Stream,
    start: StreamId,
    end: StreamId,
    front: Cursor<'a>,
    back: Cursor<'a>,
}

/// A place between two entries.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    /// The node, and where in it; not looked at yet if there is none.
    node: usize,
    at: Option<(Head<'a>, usize)>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(stream: &'a Stream, start: StreamId, end: StreamId) -> Self {
        let cursor = |node| Cursor { node, at: None };
        let front = cursor(stream.node_for(start).unwrap_or(0));
        let last = stream.node_for(end);
        // Without a node that begins up to `end` there is nothing.
        let (start, end) = if last.is_some() { (start, end) } else { (StreamId::MAX, StreamId::MIN) };
        Self { stream, start, end, front, back: cursor(last.unwrap_or(0)) }
    }

    /// What lies between `start` and `end` is left; they close in on each other.
    fn is_done(&self) -> bool {
        self.start > self.end
    }

    fn finish(&mut self) {
        (self.start, self.end) = (StreamId::MAX, StreamId::MIN);
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while !self.is_done() {
            let cursor = &mut self.front;
            let (head, at) = match cursor.at {
                Some(place) => place,
                None => match self.stream.node(cursor.node) {
                    Some(node) => (node.head(), node.head().begin),
                    None => break,
                },
            };
            let Some((entry, next)) = head.entry_at(at) else {
                *cursor = Cursor { node: cursor.node + 1, at: None };
                continue;
            };
            cursor.at = Some((head, next));
            if entry.id > self.end {
                break;
            }
            if entry.id >= self.start && !entry.is_deleted() {
                match entry.id.next() {
                    Some(start) => self.start = start,
                    None => self.finish(),
                }
                return Some(entry);
            }
        }
        self.finish();
        None
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while !self.is_done() {
            let cursor = &mut self.back;
            let (head, at) = match cursor.at {
                Some(place) => place,
                None => match self.stream.node(cursor.node) {
                    Some(node) => (node.head(), listpack::end(node.listpack())),
                    None => break,
                },
            };
            let Some(entry) = head.entry_before(at) else {
                let Some(node) = cursor.node.checked_sub(1) else { break };
                *cursor = Cursor { node, at: None };
                continue;
            };
            cursor.at = Some((head, entry.place()));
            if entry.id < self.start {
                break;
            }
            if entry.id <= self.end && !entry.is_deleted() {
                match entry.id.previous() {
                    Some(end) => self.end = end,
                    None => self.finish(),
                }
                return Some(entry);
            }
        }
        self.finish();
        None
    }
}
