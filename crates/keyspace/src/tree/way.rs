//! How to get to an element: by its position, or by what it is.

use std::cmp::Ordering;

use super::Child;

/// Says where an element belongs in a sequence that is in an order of its own, in which no two are equal.
pub(crate) trait Seek<E> {
    /// The order of an element and of that which is sought.
    fn order(&self, element: &E) -> Ordering;

    /// A number that never falls along the sequence, and is spread evenly if it rises: it tells where to look first.
    /// Hashes are such numbers. 0 for all is none.
    fn number(element: &E) -> u64;

    /// The number of what is sought.
    fn wanted(&self) -> u64;
}

/// The way down from the root, step by step.
pub(super) trait Way<E> {
    /// Which child it leads through.
    fn child(&mut self, children: &[Child<E>]) -> usize;

    /// Where it ends.
    fn place(&self, elements: &[E]) -> usize;
}

/// To a position, which counts from the beginning of the node that is reached.
pub(super) struct To(pub(super) usize);

impl<E> Way<E> for To {
    fn child(&mut self, children: &[Child<E>]) -> usize {
        let (i, before) = super::child_at(children, self.0);
        self.0 -= before;
        i
    }

    fn place(&self, _elements: &[E]) -> usize {
        self.0
    }
}

/// To what is sought, or to where it belongs.
pub(super) struct Toward<'a, S> {
    seek: &'a S,
    /// The numbers of the elements of the node that is reached are between these, about.
    low: u64,
    high: u64,
}

impl<'a, S> Toward<'a, S> {
    pub(super) fn new(seek: &'a S) -> Self {
        Self { seek, low: 0, high: u64::MAX }
    }

    /// How many of these are before the first for which `is_before` does not hold.
    ///
    /// Even numbers are found near where they are expected (interpolation search; Perl, Itai, Avni, CACM 1978): in a cache
    /// line or two, where halving looks into one after the other.
    fn bound<E, T>(&self, items: &[T], is_before: impl Fn(&T) -> bool) -> usize
    where
        S: Seek<E>,
    {
        let wanted = self.seek.wanted();
        if wanted == 0 || items.is_empty() {
            return items.partition_point(is_before);
        }
        let step = (self.high.saturating_sub(self.low) / items.len() as u64).max(1);
        let guess = wanted.saturating_sub(self.low) / step;
        let mut i = usize::try_from(guess).map_or(items.len(), |guess| guess.min(items.len()));
        while i < items.len() && is_before(&items[i]) {
            i += 1;
        }
        while i > 0 && !is_before(&items[i - 1]) {
            i -= 1;
        }
        i
    }
}

impl<E, S: Seek<E>> Way<E> for Toward<'_, S> {
    fn child(&mut self, children: &[Child<E>]) -> usize {
        let behind = self.bound(children, |child| self.seek.order(&child.first) != Ordering::Greater);
        let i = behind.saturating_sub(1);
        self.low = S::number(&children[i].first);
        self.high = children.get(i + 1).map_or(self.high, |next| S::number(&next.first));
        i
    }

    fn place(&self, elements: &[E]) -> usize {
        self.bound(elements, |element| self.seek.order(element) == Ordering::Less)
    }
}
