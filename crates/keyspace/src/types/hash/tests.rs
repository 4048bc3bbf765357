use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    Keyspace,
    random::Random,
    types::sample::{sample, tests::assert_fair},
};

/// The usual thresholds, with room for `entries` packed fields.
fn rules(entries: usize) -> Rules {
    let mut rules = Keyspace::new(1).rules;
    rules.hash_entries_max = entries;
    rules
}

/// A hash of `n` fields `0`, `1`, ... with the values `v0`, `v1`, ...
fn filled(rules: &Rules, n: usize) -> Hash {
    let mut hash = Hash::new();
    for i in 0..n {
        assert!(hash.set(rules, i.to_string().as_bytes(), format!("v{i}").as_bytes()));
    }
    hash
}

fn pairs(hash: &Hash) -> Vec<(Vec<u8>, Vec<u8>)> {
    hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect()
}

fn parts(hash: &Hash) -> Vec<Vec<u8>> {
    hash.fields_from(0).map(Cow::into_owned).collect()
}

fn build(rules: &Rules, parts: &[&[u8]], layout: u8) -> Option<Hash> {
    let mut builder = Hash::builder(rules);
    if !parts.iter().all(|part| builder.push(part)) {
        return None;
    }
    builder.finish(layout).map(|value| match value {
        Value::Hash(hash) => hash,
        other => panic!("no hash: {other:?}"),
    })
}

#[test]
fn the_encoding_follows_the_thresholds_and_never_goes_back() {
    let rules = rules(3);
    let mut hash = filled(&rules, 3);
    assert_eq!(hash.encoding(), "listpack");
    assert!(!hash.set(&rules, b"1", b"again"));
    assert_eq!(hash.encoding(), "listpack");
    assert!(hash.set(&rules, b"3", b"v"));
    assert_eq!(hash.encoding(), "hashtable");
    for field in [b"0", b"1", b"2", b"3"] {
        assert!(hash.remove(&rules, field));
    }
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 0));

    let long = [b'x'; 65];
    for (field, value) in [(&long[..], &b"v"[..]), (b"f", &long)] {
        let mut hash = filled(&rules, 1);
        hash.set(&rules, field, value);
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 2));
        let mut hash = filled(&rules, 1);
        hash.prepare_for(&rules, &[field, value]);
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 1));
    }
    let mut hash = Hash::new();
    hash.prepare_for(&rules, &[&b"f"[..]; 6]);
    assert_eq!(hash.encoding(), "listpack");
    hash.prepare_for(&rules, &[&b"f"[..]; 8]);
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn a_small_hash_keeps_the_order_of_its_history() {
    let rules = rules(10);
    let mut hash = filled(&rules, 4);
    hash.set(&rules, b"1", b"new");
    hash.remove(&rules, b"0");
    hash.set(&rules, b"0", b"back");
    let fields: Vec<_> = hash.iter().map(|(field, _)| field).collect();
    assert_eq!(fields, [b"1", b"2", b"3", b"0"]);
}

#[test]
fn hostile_parts_are_refused() {
    let rules = rules(10);
    for layout in [LAYOUT_PACKED, LAYOUT_HASHED, 2, 255] {
        assert!(build(&rules, &[], layout).is_none());
        assert!(build(&rules, &[b"f"], layout).is_none());
        assert!(build(&rules, &[b"f", b"v", b"f", b"w"], layout).is_none());
    }
    let large = filled(&self::rules(0), 3);
    let mut parts = parts(&large);
    let swapped = |parts: &[Vec<u8>]| {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        build(&rules, &parts, LAYOUT_HASHED).is_some()
    };
    assert!(swapped(&parts));
    parts.swap(0, 2);
    assert!(!swapped(&parts));
}

/// The order of a large hash follows from the cluster's secret and the fields, not from how they came.
#[test]
fn the_order_follows_from_the_contents() {
    let rules = rules(5);
    let grown = filled(&rules, 200);
    let mut other = filled(&rules, 300);
    for i in (200..300).rev() {
        other.remove(&rules, i.to_string().as_bytes());
    }
    assert_eq!(pairs(&grown), pairs(&other));
}

#[test]
fn random_fields_are_fair() {
    for entries in [0, 50] {
        let hash = filled(&rules(entries), 20);
        let mut random = Random::new(5);
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..4000 {
            let positions = sample(&mut random, hash.len(), 3);
            let chosen: BTreeSet<_> = hash.at(&positions).map(|(field, _)| field.to_vec()).collect();
            assert_eq!(chosen.len(), 3);
            chosen.into_iter().for_each(|field| *counts.entry(field).or_default() += 1);
        }
        assert_fair(&counts.into_values().collect::<Vec<_>>());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, Vec<u8>),
    Remove(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = (0_usize..80).prop_map(|len| vec![b'v'; len]);
    let step = prop_oneof![
        3 => (0_u8..40, value).prop_map(|(field, value)| Step::Set(field, value)),
        1 => (0_u8..40).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #[test]
    fn it_is_a_map(steps in steps(), entries in 0_usize..30) {
        let rules = rules(entries);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut hash = Hash::new();
        for step in steps {
            let before = (hash.clone(), pairs(&hash));
            match step {
                Step::Set(field, value) => {
                    let is_new = hash.set(&rules, &[field], &value);
                    prop_assert_eq!(is_new, model.insert(vec![field], value).is_none());
                }
                Step::Remove(field) => {
                    let removed = hash.remove(&rules, &[field]);
                    prop_assert_eq!(removed, model.remove(&vec![field]).is_some());
                }
            }
            prop_assert_eq!(pairs(&before.0), before.1);
        }
        prop_assert_eq!(hash.len(), model.len());
        let mut sorted = pairs(&hash);
        sorted.sort();
        prop_assert!(sorted.into_iter().eq(model.clone()));
        for (field, value) in &model {
            prop_assert_eq!(hash.get(&rules, field), Some(&value[..]));
        }
        let all: Vec<usize> = (0..hash.len()).collect();
        prop_assert!(hash.at(&all).eq(hash.iter()));
        let parts = parts(&hash);
        prop_assert_eq!(parts.len(), hash.field_count());
        for start in 0..=parts.len() {
            prop_assert!(hash.fields_from(start).eq(parts[start..].iter().map(Cow::from)));
        }
        let refs: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        match build(&rules, &refs, hash.layout()) {
            Some(again) => {
                prop_assert_eq!(pairs(&again), pairs(&hash));
                prop_assert_eq!(again.encoding(), hash.encoding());
            }
            None => prop_assert!(model.is_empty()),
        }
        let mut released = 0;
        loop {
            match hash.release(10) {
                0 => break,
                n => released += n,
            }
        }
        prop_assert!(released == 0 || released == model.len());
    }
}
