use proptest::prelude::*;

use super::*;

impl<E: Clone> Tree<E> {
    /// Depth, after checking what every node promises.
    fn check(&self) -> usize
    where
        E: PartialEq + fmt::Debug,
    {
        let (len, depth) = self.root.check(true);
        assert_eq!(len, self.len);
        depth
    }
}

impl<E: Clone + PartialEq + fmt::Debug> Node<E> {
    fn check(&self, is_root: bool) -> (usize, usize) {
        match self {
            Self::Leaf(elements) => {
                assert!(is_root || !elements.is_empty());
                assert!(elements.len() <= LEAF_LEN_MAX);
                (elements.len(), 1)
            }
            Self::Inner(children) => {
                assert!(!children.is_empty() && children.len() <= INNER_LEN_MAX);
                let mut len = 0;
                let mut depths = Vec::new();
                for child in children.iter() {
                    let (child_len, depth) = child.node.check(false);
                    assert_eq!(child_len, child.len);
                    assert_eq!(child.node.first(), &child.first);
                    len += child_len;
                    depths.push(depth);
                }
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                (len, depths[0] + 1)
            }
        }
    }
}

fn all(tree: &Tree<u32>) -> Vec<u32> {
    tree.iter().copied().collect()
}

#[test]
fn what_is_appended_fills_its_nodes() {
    let mut tree = Tree::new();
    for n in 0..100_000_u32 {
        tree.insert(n as usize, n);
    }
    assert!(tree.check() <= 4);
    assert!(tree.iter().copied().eq(0..100_000));
    assert!(tree.iter().rev().copied().eq((0..100_000).rev()));
    let built = Tree::from_ordered(0..100_000_u32);
    assert_eq!(built.check(), tree.check());
    assert!(built.iter().eq(tree.iter()));
}

#[test]
fn a_clone_keeps_what_the_other_changes() {
    let mut tree = Tree::from_ordered(0..10_000_u32);
    let kept = tree.clone();
    for _ in 0..5000 {
        tree.remove(2500);
    }
    tree.update(0, |n| *n = 77).unwrap();
    tree.insert(3, 5);
    assert!(kept.iter().copied().eq(0..10_000));
    assert_eq!(tree.len(), 5001);
    tree.check();
}

#[test]
fn release_takes_a_leaf_at_a_time_and_ends() {
    let mut tree = Tree::from_ordered(0..10_000_u32);
    let shared = tree.clone();
    assert_eq!(tree.release(1), 10_000, "what is shared goes at once");
    drop(tree);
    let mut tree = shared;
    let mut calls = 0;
    while tree.release(1) > 0 {
        calls += 1;
    }
    assert!(calls > 100 && tree.is_empty(), "{calls}");
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, u32),
    Remove(usize),
    Change(usize, u32),
    Clone,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<usize>(), any::<u32>()).prop_map(|(at, n)| Step::Insert(at, n)),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), any::<u32>()).prop_map(|(at, n)| Step::Change(at, n)),
        1 => Just(Step::Clone),
    ];
    prop::collection::vec(step, 0..2000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_is_a_sequence(begin in 0_u32..3000, steps in steps()) {
        let mut model: Vec<u32> = (0..begin).collect();
        let mut tree = Tree::from_ordered(0..begin);
        let mut clones = Vec::new();
        for step in steps {
            match step {
                Step::Insert(at, n) => {
                    let at = at % (model.len() + 1);
                    model.insert(at, n);
                    tree.insert(at, n);
                }
                Step::Remove(at) => {
                    let at = at % (model.len() + 1);
                    let expected = (at < model.len()).then(|| model.remove(at));
                    prop_assert_eq!(tree.remove(at), expected);
                }
                Step::Change(at, n) if !model.is_empty() => {
                    let at = at % model.len();
                    model[at] = n;
                    tree.update(at, |element| *element = n);
                }
                Step::Change(..) => prop_assert!(tree.update(0, |_| ()).is_none()),
                Step::Clone => clones.push((tree.clone(), model.clone())),
            }
        }
        tree.check();
        prop_assert_eq!(all(&tree), &model[..]);
        for (tree, model) in clones {
            prop_assert_eq!(all(&tree), model);
        }
    }

    #[test]
    fn positions_are_those_of_a_sorted_sequence(mut numbers in prop::collection::vec(0_u32..5000, 0..4000), wanted: Vec<u16>) {
        numbers.sort_unstable();
        let tree = Tree::from_ordered(numbers.iter().copied());
        for n in wanted.into_iter().map(u32::from) {
            let position = numbers.partition_point(|&m| m < n);
            prop_assert_eq!(tree.position(|&m| m < n), position);
            prop_assert_eq!(tree.get(position), numbers.get(position));
        }
        let (a, b) = (numbers.len() / 3, numbers.len() / 2);
        prop_assert!(tree.range(a..b).eq(&numbers[a..b]));
        prop_assert!(tree.range(a..b).rev().eq(numbers[a..b].iter().rev()));
        let mut both = tree.range(a..b);
        let mut count = 0;
        while both.next().is_some() {
            count += 1 + usize::from(both.next_back().is_some());
        }
        prop_assert_eq!(count, b - a);
    }
}

/// A number and, to tell apart those of one hash, another one.
type Pair = (u64, u32);

struct Wanted(Pair);

impl Seek<Pair> for Wanted {
    fn order(&self, pair: &Pair) -> Ordering {
        pair.cmp(&self.0)
    }

    fn number(pair: &Pair) -> u64 {
        pair.0
    }

    fn wanted(&self) -> u64 {
        self.0.0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Spread evenly, all close together, and many of one number.
    #[test]
    fn what_is_sought_is_found_and_changed(
        spread in prop_oneof![Just(u64::MAX / 6000), Just(3), Just(0)],
        steps in prop::collection::vec((0_u64..6000, 0_u32..3, any::<bool>()), 0..6000),
    ) {
        let mut model = std::collections::BTreeSet::new();
        let mut tree: Tree<Pair> = Tree::new();
        let clone = tree.clone();
        for (n, m, remove) in steps {
            let wanted = Wanted((n * spread, m));
            prop_assert_eq!(tree.find(&wanted), model.get(&wanted.0));
            match (model.contains(&wanted.0), remove) {
                (false, _) => {
                    model.insert(wanted.0);
                    tree.insert_at(&wanted, wanted.0);
                }
                (true, true) => {
                    model.remove(&wanted.0);
                    prop_assert_eq!(tree.remove_at(&wanted), wanted.0);
                }
                (true, false) => prop_assert_eq!(tree.update_at(&wanted, |pair| *pair), wanted.0),
            }
        }
        tree.check();
        prop_assert!(clone.is_empty() && tree.iter().eq(&model));
    }
}
