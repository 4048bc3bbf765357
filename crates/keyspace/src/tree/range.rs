//! Going through a part of a sequence, from either end.

use super::Tree;

/// The elements at some positions.
#[derive(Clone)]
pub(crate) struct Range<'a, E> {
    tree: &'a Tree<E>,
    /// What is left.
    begin: usize,
    end: usize,
    /// The leaf that holds `begin`, and the position of its first element.
    front: (&'a [E], usize),
    /// The same for the last element.
    back: (&'a [E], usize),
}

impl<'a, E: Clone> Range<'a, E> {
    pub(super) fn new(tree: &'a Tree<E>, range: std::ops::Range<usize>) -> Self {
        assert!(range.end <= tree.len, "positions up to {} of {}", range.end, tree.len);
        let (begin, end) = (range.start.min(range.end), range.end);
        Self { tree, begin, end, front: (&[], 0), back: (&[], 0) }
    }
}

impl<'a, E: Clone> Iterator for Range<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        if self.begin >= self.end {
            return None;
        }
        let (leaf, first) = self.front;
        let element = match leaf.get(self.begin.wrapping_sub(first)) {
            Some(element) => element,
            None => {
                self.front = self.tree.leaf_at(self.begin)?;
                &self.front.0[self.begin - self.front.1]
            }
        };
        self.begin += 1;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.end - self.begin;
        (len, Some(len))
    }
}

impl<E: Clone> DoubleEndedIterator for Range<'_, E> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.begin >= self.end {
            return None;
        }
        self.end -= 1;
        let (leaf, first) = self.back;
        match leaf.get(self.end.wrapping_sub(first)) {
            Some(element) => Some(element),
            None => {
                self.back = self.tree.leaf_at(self.end)?;
                self.back.0.get(self.end - self.back.1)
            }
        }
    }
}

impl<E: Clone> ExactSizeIterator for Range<'_, E> {}
