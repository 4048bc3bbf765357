//! A sequence that knows positions: a B+tree with counts, whose clones share what neither of them has changed.
//!
//! Large sets, hashes, sorted sets and streams are kept in it. A clone takes constant time, and whoever changes one of
//! the two afterwards copies one node on each level: so a snapshot keeps a value of a million elements for the price of
//! a pointer (R9). Counts in the inner nodes (order-statistic trees; Knuth, TAOCP 3, 6.2.3) find the element at a
//! position, and the position of an element, in logarithmic time.
//!
//! The tree keeps whatever order its owner inserts in. The owner finds places by [`Tree::position`], with a question that
//! is answered yes for all elements up to a place, and no behind it.

mod range;
mod way;

use std::{cmp::Ordering, fmt, sync::Arc};

pub(crate) use range::Range;
pub(crate) use way::Seek;
use way::{To, Toward, Way};

/// Most elements in a leaf.
const LEAF_LEN_MAX: usize = 64;

/// Most children of an inner node.
const INNER_LEN_MAX: usize = 32;

/// A node that grows reserves so many places at a time, not twice what it has: nodes of random insertions are filled to
/// two thirds on average, and the last third would be empty memory.
const GROWTH_STEP: usize = 8;

/// See the module.
#[derive(Clone)]
pub(crate) struct Tree<E> {
    root: Node<E>,
    len: usize,
}

#[derive(Clone)]
enum Node<E> {
    Leaf(Arc<Vec<E>>),
    Inner(Arc<Vec<Child<E>>>),
}

#[derive(Clone)]
struct Child<E> {
    /// A copy of its first element, so that looking for one reads no node in vain.
    first: E,
    /// Elements in it.
    len: usize,
    node: Node<E>,
}

impl<E: Clone> Default for Tree<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Clone> Tree<E> {
    /// An empty sequence.
    pub(crate) fn new() -> Self {
        Self { root: Node::Leaf(Arc::new(Vec::new())), len: 0 }
    }

    /// A sequence of these elements: faster than inserting one after the other, and the nodes are full.
    pub(crate) fn from_ordered(elements: impl IntoIterator<Item = E>) -> Self {
        let mut elements = elements.into_iter();
        let mut level: Vec<Child<E>> = Vec::new();
        let mut len = 0;
        loop {
            let leaf: Vec<E> = elements.by_ref().take(LEAF_LEN_MAX).collect();
            let Some(first) = leaf.first() else { break };
            len += leaf.len();
            level.push(Child { first: first.clone(), len: leaf.len(), node: Node::Leaf(Arc::new(leaf)) });
        }
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len() / INNER_LEN_MAX + 1);
            let mut children = level.into_iter();
            loop {
                let node: Vec<Child<E>> = children.by_ref().take(INNER_LEN_MAX).collect();
                if node.is_empty() {
                    break;
                }
                above.push(Child::above(node));
            }
            level = above;
        }
        level.pop().map_or_else(Self::new, |child| Self { root: child.node, len })
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of elements at the beginning for which `is_before` holds. It must hold for no element behind one for
    /// which it does not.
    pub(crate) fn position(&self, is_before: impl Fn(&E) -> bool) -> usize {
        let mut node = &self.root;
        let mut position = 0;
        loop {
            match node {
                Node::Leaf(elements) => return position + elements.partition_point(is_before),
                Node::Inner(children) => {
                    let i = children.partition_point(|child| is_before(&child.first)).saturating_sub(1);
                    position += children[..i].iter().map(|child| child.len).sum::<usize>();
                    node = &children[i].node;
                }
            }
        }
    }

    /// The element at a position.
    pub(crate) fn get(&self, position: usize) -> Option<&E> {
        let (leaf, begin) = self.leaf_at(position)?;
        leaf.get(position - begin)
    }

    /// What is sought, if it is there.
    pub(crate) fn find(&self, seek: &impl Seek<E>) -> Option<&E> {
        let mut way = Toward::new(seek);
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(elements) => {
                    let found = elements.get(way.place(elements));
                    return found.filter(|element| seek.order(element) == Ordering::Equal);
                }
                Node::Inner(children) => node = &children[way.child(children)].node,
            }
        }
    }

    /// Changes the element at a position, but not where it belongs. `None` if there is none.
    pub(crate) fn update<R>(&mut self, position: usize, change: impl FnOnce(&mut E) -> R) -> Option<R> {
        (position < self.len).then(|| self.root.update(To(position), change).0)
    }

    /// Changes what is sought, which must be there, but not where it belongs.
    pub(crate) fn update_at<R>(&mut self, seek: &impl Seek<E>, change: impl FnOnce(&mut E) -> R) -> R {
        self.root.update(Toward::new(seek), change).0
    }

    /// Puts an element in front of that at `position`, which may be the end.
    ///
    /// # Panics
    /// If the position is beyond the end.
    pub(crate) fn insert(&mut self, position: usize, element: E) {
        assert!(position <= self.len, "position {position} of {}", self.len);
        self.insert_along(To(position), element);
    }

    /// Puts in what is sought and not there.
    pub(crate) fn insert_at(&mut self, seek: &impl Seek<E>, element: E) {
        self.insert_along(Toward::new(seek), element);
    }

    fn insert_along(&mut self, way: impl Way<E>, element: E) {
        self.len += 1;
        let (right, _) = self.root.insert(way, element, true);
        if let Some(right) = right {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Arc::default()));
            let left = Child { first: left.first().clone(), len: self.len - right.len, node: left };
            self.root = Node::Inner(Arc::new(vec![left, right]));
        }
    }

    /// Takes out the element at a position.
    pub(crate) fn remove(&mut self, position: usize) -> Option<E> {
        (position < self.len).then(|| self.remove_along(To(position)))
    }

    /// Takes out what is sought, which must be there.
    pub(crate) fn remove_at(&mut self, seek: &impl Seek<E>) -> E {
        self.remove_along(Toward::new(seek))
    }

    fn remove_along(&mut self, way: impl Way<E>) -> E {
        self.len -= 1;
        let (element, _) = self.root.remove(way);
        while let Node::Inner(children) = &self.root
            && children.len() == 1
        {
            self.root = children[0].node.clone();
        }
        element
    }

    /// The elements at the positions of `range`, from either end.
    ///
    /// # Panics
    /// If the range ends beyond the end.
    pub(crate) fn range(&self, range: std::ops::Range<usize>) -> Range<'_, E> {
        Range::new(self, range)
    }

    /// All elements.
    pub(crate) fn iter(&self) -> Range<'_, E> {
        self.range(0..self.len)
    }

    /// Drops about `max` elements at the end (at least one leaf, if there is any) of a sequence that is going away; tells
    /// how many. What a clone shares costs nothing and goes at once.
    pub(crate) fn release(&mut self, max: usize) -> usize {
        let mut gone = 0;
        while gone < max && self.len > 0 {
            let released = self.root.release_last();
            self.len -= released;
            gone += released;
        }
        gone
    }

    /// The leaf that holds a position, and the position at which it begins.
    fn leaf_at(&self, position: usize) -> Option<(&[E], usize)> {
        if position >= self.len {
            return None;
        }
        let mut node = &self.root;
        let mut begin = 0;
        loop {
            match node {
                Node::Leaf(elements) => return Some((elements, begin)),
                Node::Inner(children) => {
                    let (i, before) = child_at(children, position - begin);
                    begin += before;
                    node = &children[i].node;
                }
            }
        }
    }
}

impl<E: Clone + fmt::Debug> fmt::Debug for Tree<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The child that holds a position, and how many elements are before it.
fn child_at<E>(children: &[Child<E>], position: usize) -> (usize, usize) {
    let mut before = 0;
    for (i, child) in children.iter().enumerate() {
        if position < before + child.len {
            return (i, before);
        }
        before += child.len;
    }
    let last = children.len() - 1;
    (last, before - children[last].len)
}

impl<E: Clone> Child<E> {
    fn above(children: Vec<Self>) -> Self {
        let len = children.iter().map(|child| child.len).sum();
        Self { first: children[0].first.clone(), len, node: Node::Inner(Arc::new(children)) }
    }
}

impl<E: Clone> Node<E> {
    /// Its first element; it has one.
    fn first(&self) -> &E {
        match self {
            Self::Leaf(elements) => &elements[0],
            Self::Inner(children) => &children[0].first,
        }
    }

    /// Elements of a leaf, children of an inner node.
    fn width(&self) -> usize {
        match self {
            Self::Leaf(elements) => elements.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// Whether it has so few that it should join a neighbour.
    fn is_thin(&self) -> bool {
        match self {
            Self::Leaf(elements) => elements.len() < LEAF_LEN_MAX / 4,
            Self::Inner(children) => children.len() < INNER_LEN_MAX / 4,
        }
    }

    /// Changes an element; also tells whether it is the first one.
    fn update<R>(&mut self, mut way: impl Way<E>, change: impl FnOnce(&mut E) -> R) -> (R, bool) {
        match self {
            Self::Leaf(elements) => {
                let place = way.place(elements);
                (change(&mut Arc::make_mut(elements)[place]), place == 0)
            }
            Self::Inner(children) => {
                let children = Arc::make_mut(children);
                let i = way.child(children);
                let (result, is_first) = children[i].node.update(way, change);
                if is_first {
                    children[i].first = children[i].node.first().clone();
                }
                (result, is_first && i == 0)
            }
        }
    }

    /// Inserts, and returns the right half of this node if it had to split, and whether the element is the first one now.
    /// `is_last`: nothing stands behind this node.
    fn insert(&mut self, mut way: impl Way<E>, element: E, is_last: bool) -> (Option<Child<E>>, bool) {
        match self {
            Self::Leaf(elements) => {
                let elements = Arc::make_mut(elements);
                let place = way.place(elements);
                (insert_into_leaf(elements, place, element, is_last), place == 0)
            }
            Self::Inner(children) => {
                let children = Arc::make_mut(children);
                let i = way.child(children);
                let is_last = is_last && i + 1 == children.len();
                let (right, is_first) = children[i].node.insert(way, element, is_last);
                children[i].len += 1;
                if is_first {
                    children[i].first = children[i].node.first().clone();
                }
                let is_first = is_first && i == 0;
                let Some(right) = right else { return (None, is_first) };
                children[i].len -= right.len;
                insert(children, i + 1, right);
                if children.len() <= INNER_LEN_MAX {
                    return (None, is_first);
                }
                let at = if is_last { INNER_LEN_MAX } else { INNER_LEN_MAX / 2 };
                (Some(Child::above(split_off(children, at))), is_first)
            }
        }
    }

    /// Takes an element out; also tells whether it was the first one.
    fn remove(&mut self, mut way: impl Way<E>) -> (E, bool) {
        match self {
            Self::Leaf(elements) => {
                let place = way.place(elements);
                (remove(Arc::make_mut(elements), place), place == 0)
            }
            Self::Inner(children) => {
                let children = Arc::make_mut(children);
                let i = way.child(children);
                let (element, was_first) = children[i].node.remove(way);
                children[i].len -= 1;
                if children[i].len == 0 {
                    remove(children, i);
                    return (element, was_first && i == 0);
                }
                if was_first {
                    children[i].first = children[i].node.first().clone();
                }
                if children[i].node.is_thin() && children.len() > 1 {
                    join(children, i.min(children.len() - 2));
                }
                (element, was_first && i == 0)
            }
        }
    }

    /// Drops the last leaf, or all of a node that is shared, and tells how many elements that were.
    fn release_last(&mut self) -> usize {
        match self {
            Self::Leaf(elements) => {
                let gone = elements.len();
                *elements = Arc::default();
                gone
            }
            Self::Inner(children) => match Arc::get_mut(children) {
                Some(own) => {
                    let last = own.last_mut().expect("no inner node is empty");
                    let gone = last.node.release_last();
                    last.len -= gone;
                    if last.len == 0 {
                        own.pop();
                    }
                    if own.is_empty() {
                        *self = Self::Leaf(Arc::default());
                    }
                    gone
                }
                None => {
                    let gone = children.iter().map(|child| child.len).sum();
                    *self = Self::Leaf(Arc::default());
                    gone
                }
            },
        }
    }
}

/// Inserts, and returns the right half of the leaf if it had to split.
fn insert_into_leaf<E: Clone>(
    elements: &mut Vec<E>,
    place: usize,
    element: E,
    is_last: bool,
) -> Option<Child<E>> {
    if elements.len() < LEAF_LEN_MAX {
        insert(elements, place, element);
        return None;
    }
    // What grows at its end leaves full nodes behind.
    let at = if is_last && place == elements.len() { LEAF_LEN_MAX } else { LEAF_LEN_MAX / 2 };
    let mut right = split_off(elements, at);
    if place > at || at == LEAF_LEN_MAX {
        insert(&mut right, place - at, element);
    } else {
        insert(elements, place, element);
    }
    let first = right[0].clone();
    Some(Child { first, len: right.len(), node: Node::Leaf(Arc::new(right)) })
}

/// Puts an element into a node, reserving no more than [`GROWTH_STEP`] places.
fn insert<T>(elements: &mut Vec<T>, position: usize, element: T) {
    if elements.len() == elements.capacity() {
        elements.reserve_exact(GROWTH_STEP);
    }
    elements.insert(position, element);
}

/// Takes an element out of a node, which gives memory back when half of it is unused.
fn remove<T>(elements: &mut Vec<T>, position: usize) -> T {
    let element = elements.remove(position);
    if elements.capacity() > 2 * elements.len() + GROWTH_STEP {
        elements.shrink_to(elements.len() + GROWTH_STEP / 2);
    }
    element
}

/// Takes the elements from `at` on out of a node that has become too large. Both parts get new memory, as an allocator
/// does not take a part of an allocation back.
fn split_off<T>(elements: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut right = Vec::with_capacity(elements.len() - at + GROWTH_STEP);
    right.extend(elements.drain(at..));
    if elements.capacity() > at + GROWTH_STEP {
        let mut left = Vec::with_capacity(at + GROWTH_STEP);
        left.append(elements);
        *elements = left;
    }
    right
}

/// Lets the children `i` and `i + 1` become one if that is not too wide.
fn join<E: Clone>(children: &mut Vec<Child<E>>, i: usize) {
    let width = children[i].node.width() + children[i + 1].node.width();
    let max = match &children[i].node {
        Node::Leaf(_) => LEAF_LEN_MAX * 3 / 4,
        Node::Inner(_) => INNER_LEN_MAX * 3 / 4,
    };
    if width > max {
        return;
    }
    let right = children.remove(i + 1);
    let left = &mut children[i];
    left.len += right.len;
    match (&mut left.node, right.node) {
        (Node::Leaf(left), Node::Leaf(right)) => Arc::make_mut(left).extend_from_slice(&right),
        (Node::Inner(left), Node::Inner(right)) => Arc::make_mut(left).extend_from_slice(&right),
        _ => unreachable!("all leaves are equally deep"),
    }
}

#[cfg(test)]
mod tests;
