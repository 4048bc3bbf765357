use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    Keyspace,
    random::Random,
    types::sample::{sample, tests::assert_fair},
    value::Value,
};

/// The usual thresholds, with room for so many members.
fn rules(ints: usize, packed: usize) -> Rules {
    let mut rules = Keyspace::new(1).rules;
    (rules.set_ints_max, rules.set_entries_max) = (ints, packed);
    rules
}

fn set_of(rules: &Rules, members: impl IntoIterator<Item: AsRef<[u8]>>) -> Set {
    let mut set = Set::default();
    members.into_iter().for_each(|member| assert!(set.add(rules, member.as_ref())));
    set
}

fn members(set: &Set) -> Vec<Vec<u8>> {
    set.iter().map(|member| member.bytes(&mut [0; _]).to_vec()).collect()
}

fn sorted(set: &Set) -> BTreeSet<Vec<u8>> {
    members(set).into_iter().collect()
}

fn build(rules: &Rules, parts: &[Vec<u8>], layout: u8) -> Option<Set> {
    let mut builder = Set::builder(rules);
    assert!(parts.iter().all(|part| builder.push(part)));
    builder.finish(layout).map(|value| match value {
        Value::Set(set) => set,
        other => panic!("no set: {other:?}"),
    })
}

#[test]
fn integers_stay_sorted_whatever_their_width() {
    let rules = rules(100, 100);
    let mut set = Set::default();
    for int in [5, -3, 70_000, i64::MAX, 0, i64::MIN, -40_000, 1 << 40] {
        assert!(set.add(&rules, int.to_string().as_bytes()));
        assert!(!set.add(&rules, int.to_string().as_bytes()));
    }
    assert_eq!(set.encoding(), "intset");
    let ints: Vec<i64> = set.iter().map(|member| member.as_i64().unwrap()).collect();
    assert_eq!(ints, [i64::MIN, -40_000, -3, 0, 5, 70_000, 1 << 40, i64::MAX]);
    assert!(set.remove(&rules, b"70000") && !set.remove(&rules, b"70000") && !set.remove(&rules, b"07"));
    assert_eq!(set.len(), 7);
}

#[test]
fn the_encoding_follows_the_thresholds() {
    let rules = rules(4, 3);
    let encoding = |members: &[&str]| set_of(&rules, members).encoding();
    assert_eq!(encoding(&["1", "2", "3", "4"]), "intset");
    assert_eq!(encoding(&["1", "2", "3", "4", "5"]), "hashtable");
    assert_eq!(encoding(&["1", "2", "a"]), "listpack");
    assert_eq!(encoding(&["1", "2", "3", "a"]), "hashtable");
    assert_eq!(encoding(&["01", "b", "c"]), "listpack");
    assert_eq!(encoding(&["a", "b", "c", "1"]), "hashtable");
    assert_eq!(encoding(&[&"x".repeat(64)]), "listpack");
    assert_eq!(encoding(&[&"x".repeat(65)]), "hashtable");
    assert_eq!(encoding(&["a", &"x".repeat(65)]), "hashtable");
    let created = |first: &[u8], members| Set::for_members(&rules, first, members).encoding();
    assert_eq!((created(b"1", 4), created(b"1", 5)), ("intset", "hashtable"));
    assert_eq!((created(b"a", 3), created(b"a", 4)), ("listpack", "hashtable"));
    let prepared = |set: &[&str], members| {
        let mut set = set_of(&rules, set);
        set.prepare_for(&rules, members);
        set.encoding()
    };
    assert_eq!((prepared(&["1"], 4), prepared(&["1"], 5)), ("intset", "hashtable"));
    assert_eq!((prepared(&["a"], 3), prepared(&["a"], 4)), ("listpack", "hashtable"));
}

#[test]
fn integers_too_long_for_a_small_set_make_a_large_one() {
    let mut rules = rules(4, 4);
    rules.set_value_max = 3;
    assert_eq!(set_of(&rules, ["123", "a"]).encoding(), "listpack");
    assert_eq!(set_of(&rules, ["1234", "a"]).encoding(), "hashtable");
    assert_eq!(set_of(&rules, ["-999", "5", "a"]).encoding(), "hashtable");
}

#[test]
fn a_set_that_loses_most_of_its_members_is_made_anew() {
    let rules = rules(20, 10);
    let names: Vec<String> = (0..30).map(|n| format!("n{n}")).collect();
    let large = set_of(&rules, &names);
    assert_eq!(large.encoding(), "hashtable");
    for (gone, encoding) in [(20, "hashtable"), (24, "hashtable"), (25, "listpack"), (29, "listpack")] {
        let mut set = large.clone();
        let positions: Vec<usize> = (0..gone).collect();
        set.remove_at(&rules, &positions);
        assert_eq!((set.len(), set.encoding()), (30 - gone, encoding));
        assert_eq!(members(&set), members(&large)[gone..]);
    }
    let mut ints = set_of(&rules, (0..18).map(|n| n.to_string()));
    ints.remove_at(&rules, &(1..18).collect::<Vec<_>>());
    assert_eq!((ints.encoding(), members(&ints)), ("intset", vec![b"0".to_vec()]));
}

#[test]
fn hostile_parts_are_refused() {
    let rules = rules(10, 10);
    let parts = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
    for layout in [LAYOUT_INTS, LAYOUT_PACKED, LAYOUT_HASHED, 3, 255] {
        assert!(build(&rules, &[], layout).is_none());
        assert!(build(&rules, &parts(&["1", "1"]), layout).is_none());
    }
    assert!(build(&rules, &parts(&["2", "1"]), LAYOUT_INTS).is_none());
    assert!(build(&rules, &parts(&["1", "x"]), LAYOUT_INTS).is_none());
    assert!(build(&rules, &parts(&["01"]), LAYOUT_INTS).is_none());
    assert!(build(&rules, &parts(&["1"]), 3).is_none());
    let mut large = members(&set_of(&self::rules(0, 0), ["a", "b", "c"]));
    assert!(build(&rules, &large, LAYOUT_HASHED).is_some());
    large.swap(0, 1);
    assert!(build(&rules, &large, LAYOUT_HASHED).is_none());
}

#[test]
fn random_members_are_fair_in_every_encoding() {
    for (ints, packed, encoding) in [(50, 0, "intset"), (0, 50, "listpack"), (0, 0, "hashtable")] {
        let rules = rules(ints, packed);
        let set = match encoding {
            "listpack" => set_of(&rules, (0..20).map(|n| format!("n{n}"))),
            _ => set_of(&rules, (0..20).map(|n| n.to_string())),
        };
        assert_eq!(set.encoding(), encoding);
        let mut random = Random::new(6);
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..4000 {
            let positions = sample(&mut random, set.len(), 4);
            let chosen: BTreeSet<Vec<u8>> =
                set.at(&positions).map(|member| member.bytes(&mut [0; _]).to_vec()).collect();
            assert_eq!(chosen.len(), 4);
            // What is taken out is what was chosen.
            let mut rest = set.clone();
            rest.remove_at(&rules, &positions);
            assert!(sorted(&rest).is_disjoint(&chosen) && rest.len() == 16);
            chosen.into_iter().for_each(|member| *counts.entry(member).or_default() += 1);
        }
        assert_eq!(counts.len(), 20);
        assert_fair(&counts.into_values().collect::<Vec<_>>());
    }
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (-20_i64..20).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => (0_u8..20).prop_map(|n| vec![b'a' + n]),
        1 => (60_usize..70).prop_map(|len| vec![b'x'; len]),
    ]
}

proptest! {
    #[test]
    fn it_is_a_set(
        steps in prop::collection::vec((prop::bool::weighted(0.7), member()), 0..80),
        ints in 0_usize..30,
        packed in 0_usize..30,
    ) {
        let rules = rules(ints, packed);
        let mut model = BTreeSet::new();
        let mut set = Set::default();
        for (add, member) in steps {
            let before = (set.clone(), members(&set));
            if add {
                prop_assert_eq!(set.add(&rules, &member), model.insert(member));
            } else {
                prop_assert_eq!(set.remove(&rules, &member), model.remove(&member));
            }
            prop_assert_eq!(members(&before.0), before.1);
        }
        prop_assert_eq!(set.len(), model.len());
        prop_assert_eq!(&sorted(&set), &model);
        prop_assert!(model.iter().all(|member| set.contains(&rules, member)));
        let all: Vec<usize> = (0..set.len()).collect();
        let at: Vec<Vec<u8>> = set.at(&all).map(|member| member.bytes(&mut [0; _]).to_vec()).collect();
        let parts: Vec<Vec<u8>> = set.fields_from(0).map(Cow::into_owned).collect();
        prop_assert_eq!(&at, &parts);
        for start in 0..=parts.len() {
            prop_assert!(set.fields_from(start).eq(parts[start..].iter().map(Cow::from)));
        }
        match build(&rules, &parts, set.layout()) {
            Some(again) => {
                prop_assert_eq!(members(&again), members(&set));
                prop_assert_eq!(again.encoding(), set.encoding());
            }
            None => prop_assert!(model.is_empty()),
        }
    }

    #[test]
    fn algebra(
        contents in prop::collection::vec(prop::collection::btree_set(member(), 0..30), 1..4),
        ints in 0_usize..30,
        packed in 0_usize..30,
    ) {
        let rules = rules(ints, packed);
        let sets: Vec<Set> = contents.iter().map(|members| set_of(&rules, members)).collect();
        let refs: Vec<&Set> = sets.iter().collect();
        let in_all = |member: &&Vec<u8>| contents.iter().all(|set| set.contains(*member));
        let expected: BTreeSet<Vec<u8>> = contents[0].iter().filter(in_all).cloned().collect();
        let both = Set::intersection(&rules, &mut refs.clone());
        prop_assert_eq!(sorted(&both), expected.clone());
        // A result of nothing but integers is kept as such.
        if both.len() <= ints && expected.iter().all(|member| parse_i64(member).is_some()) {
            prop_assert_eq!(both.encoding(), "intset");
        }
        let any = contents.iter().flatten().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(sorted(&union(&rules, &refs)), any);
        let in_no_other = |member: &&Vec<u8>| !contents[1..].iter().any(|set| set.contains(*member));
        let expected: BTreeSet<Vec<u8>> = contents[0].iter().filter(in_no_other).cloned().collect();
        let mut options: Vec<Option<&Set>> = sets.iter().map(Some).collect();
        options.insert(1, None);
        prop_assert_eq!(sorted(&difference(&rules, &options)), expected);
        prop_assert!(difference(&rules, &[Some(refs[0]), Some(refs[0])]).is_empty());
    }
}
