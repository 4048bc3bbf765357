use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{keyspace::Keyspace, value::Value};

/// Rules under which a small sorted set has at most so many members, of at most 30 bytes.
fn rules(entries: usize) -> Rules {
    let mut rules = Keyspace::new(1).rules;
    (rules.zset_entries_max, rules.zset_value_max) = (entries, 30);
    rules
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![9 => 0_usize..4, 1 => 22_usize..32];
    (len, 0_u8..9).prop_map(|(len, byte)| vec![byte; len])
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3_i32..3).prop_map(f64::from),
        1 => any::<i32>().prop_map(f64::from),
        1 => prop::sample::select(vec![-0.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 1e15, 9e15]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Step::Insert(member, score)),
        2 => member().prop_map(Step::Remove),
        1 => (any::<usize>(), 0_usize..3).prop_map(|(first, count)| Step::RemoveRange(first, count)),
    ];
    prop::collection::vec(step, 0..400)
}

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(&[u8], f64)> {
    let mut all: Vec<(&[u8], f64)> = model.iter().map(|(member, score)| (&member[..], *score)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then(a.0.cmp(b.0)));
    all
}

fn parts(set: &SortedSet) -> Vec<Vec<u8>> {
    set.fields_from(0).map(Cow::into_owned).collect()
}

fn build(rules: &Rules, parts: &[Vec<u8>], layout: u8) -> Option<SortedSet> {
    let mut builder = SortedSet::builder(rules);
    if !parts.iter().all(|part| builder.push(part)) {
        return None;
    }
    match builder.finish(layout)? {
        Value::SortedSet(set) => Some(set),
        other => panic!("{other:?}"),
    }
}

fn insert(set: &mut SortedSet, rules: &Rules, member: &[u8], score: f64) {
    set.update(rules, member, |_| None);
    let before = set.score(rules, member);
    set.update(rules, member, |old| {
        assert_eq!(old, before);
        Some(score)
    });
}

fn assert_is(set: &SortedSet, rules: &Rules, model: &BTreeMap<Vec<u8>, f64>) {
    let all = sorted(model);
    assert_eq!(set.len(), all.len());
    assert!(set.iter().eq(all.iter().copied()));
    assert!(set.range(0..all.len(), true).eq(all.iter().rev().copied()));
    let (begin, end) = (all.len() / 3, all.len() - all.len() / 4);
    assert!(set.range(begin..end, false).eq(all[begin..end].iter().copied()));
    assert!(set.range(begin..end, true).eq(all[begin..end].iter().rev().copied()));
    for (rank, (member, score)) in all.iter().enumerate() {
        assert_eq!(set.rank(rules, member), Some((rank, *score)));
        assert_eq!(set.score(rules, member), Some(*score));
        assert_eq!(set.get(rank), Some((*member, *score)));
        assert_eq!(set.position(|m, s| (s, m) < (*score, *member)), rank);
    }
    assert_eq!((set.score(rules, b"no such member"), set.get(all.len())), (None, None));
    if !set.is_packed() {
        let hashed: Vec<(u64, (&[u8], f64))> = set.iter_from_hash(0).collect();
        assert!(hashed.is_sorted_by_key(|(hash, (member, _))| (*hash, *member)) && hashed.len() == all.len());
        assert!(hashed.iter().all(|(_, (member, score))| model.get(*member) == Some(score)));
        let from = hashed.get(hashed.len() / 2).map_or(0, |(hash, _)| *hash);
        assert!(set.iter_from_hash(from).eq(hashed.iter().copied().filter(|(hash, _)| *hash >= from)));
    }
}

proptest! {
    #[test]
    fn it_is_a_map_in_the_order_of_scores(steps in steps(), entries in prop_oneof![Just(0_usize), Just(5), Just(1000)]) {
        let rules = rules(entries);
        let (mut set, mut model) = (SortedSet::default(), BTreeMap::new());
        let mut kept = (set.clone(), model.clone());
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Insert(member, score) => {
                    let (was_packed, is_new) = (set.is_packed(), !model.contains_key(member));
                    insert(&mut set, &rules, member, *score);
                    model.insert(member.clone(), *score);
                    let fits = member.len() <= 30 && model.len() <= entries;
                    prop_assert_eq!(set.is_packed(), was_packed && (fits || !is_new));
                }
                Step::Remove(member) => {
                    prop_assert_eq!(set.remove(&rules, member), model.remove(member).is_some());
                }
                Step::RemoveRange(first, count) => {
                    let first = first % (model.len() + 1);
                    let ranks = first..(first + count).min(model.len());
                    let gone: Vec<Vec<u8>> = sorted(&model)[ranks.clone()].iter().map(|(m, _)| m.to_vec()).collect();
                    set.remove_range(&rules, ranks);
                    gone.iter().for_each(|member| { model.remove(member); });
                }
            }
            if i == steps.len() / 2 {
                kept = (set.clone(), model.clone());
            }
        }
        assert_is(&set, &rules, &model);
        assert_is(&kept.0, &rules, &kept.1);

        let parts = parts(&set);
        prop_assert_eq!(parts.len(), set.field_count());
        for (start, part) in parts.iter().enumerate() {
            let field = set.fields_from(start).next();
            prop_assert_eq!(field.as_deref(), Some(&part[..]));
        }
        let again = build(&rules, &parts, set.layout());
        prop_assert_eq!(again.is_some(), !model.is_empty());
        if let Some(again) = again {
            prop_assert_eq!(again.layout(), set.layout());
            assert_is(&again, &rules, &model);
            prop_assert_eq!(self::parts(&again), parts);
        }

        let scored = |(member, score): (&Vec<u8>, &f64)| Scored { score: *score, member: SmallBytes::new(member) };
        let collected = SortedSet::of(&rules, model.iter().map(scored).collect());
        assert_is(&collected, &rules, &model);
        prop_assert_eq!(collected.is_packed(), model.len() <= entries && model.keys().all(|m| m.len() <= 30));
    }
}

#[test]
fn a_value_has_room_for_it() {
    assert_eq!((size_of::<SortedSet>(), size_of::<Value>()), (16, 24));
}

#[test]
fn a_packed_score_has_no_negative_zero() {
    let rules = rules(1);
    let mut set = SortedSet::default();
    insert(&mut set, &rules, b"a", -0.0);
    assert!(set.score(&rules, b"a").unwrap().is_sign_positive());
    insert(&mut set, &rules, b"b", -0.0);
    assert!(set.score(&rules, b"a").unwrap().is_sign_positive());
    assert!(set.score(&rules, b"b").unwrap().is_sign_negative());
}

#[test]
fn hints_decide_how_it_begins() {
    let rules = rules(3);
    let packed = |count, first_len| SortedSet::for_members(&rules, count, first_len).is_packed();
    assert!(packed(3, 30));
    assert!(!packed(4, 1));
    assert!(!packed(1, 31));
    let mut set = SortedSet::default();
    set.expect(&rules, 3);
    assert!(set.is_packed());
    set.expect(&rules, 4);
    assert!(!set.is_packed());
}

#[test]
fn hostile_parts_are_refused() {
    let rules = rules(10);
    let one = |score: f64| score::encode(score).as_bytes().to_vec();
    let part = |bytes: &[u8]| bytes.to_vec();
    let good =
        [part(b"a"), one(1.0), part(b"b"), one(1.0), part(b"a-long-one-that-has-its-own-bytes"), one(2.5)];
    for layout in [LAYOUT_LISTPACK, LAYOUT_SKIPLIST] {
        assert!(build(&rules, &good, layout).is_some());
        let bad: &[&[Vec<u8>]] = &[
            &[],
            &good[..1],
            &good[..3],
            &[part(b"a"), part(&f64::NAN.to_le_bytes())],
            &[part(b"a"), part(&1_f64.to_le_bytes())],
            &[part(b"a"), part(b"123456789")],
            &[part(b"b"), one(1.0), part(b"a"), one(1.0)],
            &[part(b"a"), one(1.0), part(b"a"), one(1.0)],
            &[part(b"a"), one(1.0), part(b"b"), one(2.0), part(b"a"), one(3.0)],
            &[part(b"a"), one(2.0), part(b"b"), one(1.0)],
        ];
        for parts in bad {
            assert!(build(&rules, parts, layout).is_none(), "{parts:?}");
        }
    }
    assert!(build(&rules, &good, 2).is_none());
    let zero = [part(b"a"), one(-0.0)];
    assert!(build(&rules, &zero, LAYOUT_LISTPACK).is_none());
    assert!(build(&rules, &zero, LAYOUT_SKIPLIST).is_some());
}

#[test]
fn all_of_it_is_released_in_slices() {
    let rules = rules(0);
    let mut set = SortedSet::default();
    for n in 0..3000_u32 {
        insert(&mut set, &rules, &n.to_be_bytes(), f64::from(n % 7));
    }
    let (mut rounds, mut released) = (0, 0);
    loop {
        match set.release(100) {
            0 => break,
            n => (rounds, released) = (rounds + 1, released + n),
        }
    }
    assert_eq!(released, 6000);
    assert!((30..=60).contains(&rounds), "{rounds}");
}
