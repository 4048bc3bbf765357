use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    collection::{self, Collection, kind},
    keyspace::Keyspace,
    value::Value,
};

type Pairs = Vec<Vec<u8>>;

fn rules(entries_max: usize, bytes_max: usize) -> Rules {
    let mut rules = Keyspace::new(1).rules;
    (rules.stream_node_entries_max, rules.stream_node_bytes_max) = (entries_max, bytes_max);
    rules
}

fn add(stream: &mut Stream, ms: u64, pairs: &[&str], rules: &Rules) {
    let pairs: Vec<&[u8]> = pairs.iter().map(|text| text.as_bytes()).collect();
    stream.append(StreamId::new(ms, 0), &pairs, rules);
}

fn numbered(count: u64, rules: &Rules) -> Stream {
    let mut stream = Stream::new();
    (1..=count).for_each(|ms| add(&mut stream, ms, &["f", &ms.to_string()], rules));
    stream
}

fn contents(entries: impl Iterator<Item = (StreamId, Pairs)>) -> Vec<(StreamId, Pairs)> {
    entries.collect()
}

fn owned(entry: &Entry<'_>) -> (StreamId, Pairs) {
    let pairs = entry.pairs().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
    (entry.id, pairs.collect())
}

fn all(stream: &Stream) -> Vec<(StreamId, Pairs)> {
    contents(stream.entries(StreamId::MIN, StreamId::MAX).map(|entry| owned(&entry)))
}

/// The same stream, out of the byte strings of a snapshot.
fn restored(stream: &Stream) -> Stream {
    let mut builder = collection::builder(kind::STREAM, &rules(100, 4096)).unwrap();
    assert_eq!(stream.fields_from(0).count(), stream.field_count());
    for i in 0..stream.field_count() {
        let field = stream.fields_from(i).next().unwrap();
        assert!(builder.push(&field), "{}", field.escape_ascii());
    }
    match builder.finish(stream.layout()) {
        Some(Value::Stream(stream)) => *stream,
        other => panic!("{other:?}"),
    }
}

fn fields(stream: &Stream) -> Vec<Vec<u8>> {
    stream.fields_from(0).map(|field| field.to_vec()).collect()
}

#[test]
fn names_that_repeat_are_kept_once() {
    let rules = rules(100, 0);
    let (mut same, mut other) = (Stream::new(), Stream::new());
    for ms in 1..=100 {
        add(&mut same, ms, &["a-long-name-of-a-field", "1"], &rules);
        add(&mut other, ms, &[if ms == 1 { "x" } else { "a-long-name-of-a-field" }, "1"], &rules);
    }
    let len = |stream: &Stream| stream.node(0).unwrap().listpack().len();
    assert!(len(&same) + 99 * 20 < len(&other));
    assert_eq!(all(&same)[1..], all(&other)[1..]);
}

#[test]
fn a_node_holds_as_many_entries_as_the_rules_say() {
    assert_eq!(numbered(250, &rules(100, 4096)).node_count(), 3);
    assert_eq!(numbered(250, &rules(0, 0)).node_count(), 1);
    assert_eq!(numbered(10, &rules(0, 10)).node_count(), 10);
}

#[test]
fn approximate_trimming_takes_whole_nodes() {
    let rules = rules(10, 0);
    let mut stream = numbered(100, &rules);
    let approximately = |to| Trim { to, approximate: true, limit: 0 };
    assert_eq!(stream.trim(&approximately(TrimTo::Len(95))), 0);
    assert_eq!(stream.trim(&approximately(TrimTo::Len(85))), 10);
    assert_eq!(stream.trim(&Trim { to: TrimTo::Len(0), approximate: true, limit: 25 }), 20);
    assert_eq!(stream.first_id(), StreamId::new(31, 0));
    assert_eq!(stream.trim(&approximately(TrimTo::MinId(StreamId::new(45, 0)))), 10);
    assert_eq!(
        stream.trim(&Trim { to: TrimTo::MinId(StreamId::new(45, 0)), approximate: false, limit: 0 }),
        4
    );
    assert_eq!((stream.len(), stream.first_id()), (56, StreamId::new(45, 0)));
    assert_eq!(stream.trim(&Trim { to: TrimTo::Len(0), approximate: false, limit: 0 }), 56);
    assert_eq!((stream.node_count(), stream.first_id()), (0, StreamId::MIN));
    assert_eq!(stream.last_id(), StreamId::new(100, 0));
}

#[test]
fn a_node_goes_with_its_last_entry_and_the_one_before_grows_again() {
    let rules = rules(10, 0);
    let mut stream = numbered(11, &rules);
    assert_eq!(stream.node_count(), 2);
    assert_eq!(stream.delete(&[StreamId::new(11, 0), StreamId::new(3, 0), StreamId::new(3, 0)]), 2);
    assert_eq!((stream.node_count(), stream.max_deleted_id()), (1, StreamId::new(11, 0)));
    // A deleted entry still takes its place.
    add(&mut stream, 12, &["f", "v"], &rules);
    assert_eq!((stream.node_count(), stream.len()), (2, 10));
}

#[test]
fn the_radix_tree_of_redis_has_as_many_nodes() {
    // As XINFO of redis-server 7.0.15 tells, with nodes of one entry.
    let rules = rules(1, 0);
    let count = |ids: &[(u64, u64)]| {
        let mut stream = Stream::new();
        ids.iter().for_each(|&(ms, seq)| stream.append(StreamId::new(ms, seq), &[b"f", b"v"], &rules));
        stream.radix_nodes()
    };
    assert_eq!(count(&[]), 1);
    assert_eq!(count(&[(1, 1)]), 2);
    assert_eq!(count(&[(1, 1), (1, 2)]), 4);
    assert_eq!(count(&[(1, 1), (2, 1)]), 6);
}

#[test]
fn bytes_that_are_no_stream_are_refused() {
    let mut stream = numbered(30, &rules(10, 0));
    stream.delete(&[StreamId::new(15, 0)]);
    let mut group = Group::new(b"g", StreamId::new(9, 0), Some(9));
    group.see_consumer(b"alice", 5);
    group.deliver(b"alice", &[StreamId::new(1, 0), StreamId::new(9, 0)], 5);
    stream.create_group(group);
    let good = fields(&stream);
    let build = |fields: &[Vec<u8>], layout| {
        let mut builder = collection::builder(kind::STREAM, &rules(100, 4096)).unwrap();
        fields.iter().all(|field| builder.push(field)) && builder.finish(layout).is_some()
    };
    assert!(build(&good, 0));
    assert!(!build(&good, 1));
    assert!(!build(&[], 0));
    for i in 0..good.len() {
        let mut without = good.clone();
        without.remove(i);
        assert!(!build(&without, 0), "without {i}");
        let mut twice = good.clone();
        twice.insert(i, good[i].clone());
        assert!(!build(&twice, 0), "twice {i}");
        for len in 0..good[i].len() {
            let mut cut = good.clone();
            cut[i].truncate(len);
            assert!(!build(&cut, 0), "{i} cut to {len}");
        }
    }
    let mut reordered = good.clone();
    reordered.swap(1, 2);
    assert!(!build(&reordered, 0));
}

#[test]
fn a_clone_keeps_what_the_other_changes() {
    let rules = rules(10, 0);
    let mut stream = numbered(35, &rules);
    stream.create_group(Group::new(b"g", StreamId::MIN, None));
    let before = fields(&stream);
    let clone = stream.clone();
    stream.delete(&[StreamId::new(12, 0)]);
    add(&mut stream, 99, &["f", "v"], &rules);
    stream.modify_group(b"g", |group| group.see_consumer(b"c", 1));
    assert_eq!(fields(&clone), before);
    assert_ne!(fields(&stream), before);
}

#[test]
fn everything_is_released() {
    let mut stream = numbered(35, &rules(10, 0));
    let mut group = Group::new(b"g", StreamId::MIN, None);
    group.see_consumer(b"c", 1);
    group.deliver(b"c", &(1..=200).map(|ms| StreamId::new(ms, 0)).collect::<Vec<_>>(), 1);
    stream.create_group(group);
    let clone = stream.clone();
    for mut stream in [stream, clone] {
        let rounds = std::iter::from_fn(|| Some(stream.release(16)).filter(|&gone| gone > 0)).count();
        assert!((2..100).contains(&rounds), "{rounds}");
        assert_eq!((stream.node_count(), stream.group_count()), (0, 0));
    }
}

#[test]
fn flags_that_a_client_wrote_too_long_are_found_again() {
    let mut stream = numbered(5, &rules(100, 0));
    let pack = stream.node(0).unwrap().listpack().to_vec();
    // The flags of the second entry, as an integer of 16 bits.
    let short = [2, 1, 1, 1, 0, 1];
    let places: Vec<usize> = (0..pack.len()).filter(|&i| pack[i..].starts_with(&short)).collect();
    let mut long = pack.clone();
    for &at in places.iter().rev() {
        long.splice(at..at + 2, [0xf1, 2, 0, 3]);
    }
    let total = (long.len() as u32).to_le_bytes();
    long[..4].copy_from_slice(&total);
    assert!(!places.is_empty() && long.len() == pack.len() + 2 * places.len());
    let node = Node::from_listpack(StreamId::new(1, 0), long).unwrap();
    stream = Stream { last_id: node.last(), ..Stream::default() }.with_parts(vec![node], vec![]).unwrap();
    assert_eq!(stream.trim(&Trim { to: TrimTo::Len(1), approximate: false, limit: 0 }), 4);
    assert_eq!(all(&stream)[0].0, StreamId::new(5, 0));
}

#[test]
fn a_pending_entry_has_one_owner() {
    let ids: Vec<StreamId> = (1..=5).map(|ms| StreamId::new(ms, 0)).collect();
    let mut group = Group::new(b"g", StreamId::MIN, None);
    group.see_consumer(b"a", 1);
    group.see_consumer(b"b", 1);
    group.deliver(b"a", &ids, 10);
    group.deliver(b"b", &ids[1..3], 20);
    let owned = |group: &Group, name: &[u8]| group.consumer(name).unwrap().pending_len();
    assert_eq!((owned(&group, b"a"), owned(&group, b"b"), group.pending_len()), (3, 2, 5));
    group.claim(b"b", ids[0], |pending| pending.deliveries += 1);
    assert_eq!((owned(&group, b"a"), owned(&group, b"b")), (2, 3));
    assert_eq!(group.pending(ids[0]).unwrap().deliveries, 2);
    assert!(group.acknowledge(ids[0]) && !group.acknowledge(ids[0]));
    assert_eq!(group.delete_consumer(b"b"), Some(2));
    assert_eq!((owned(&group, b"a"), group.pending_len()), (2, 2));
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, Vec<(u8, Vec<u8>)>),
    Delete(u64),
    TrimLen(u64),
    TrimId(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let pairs = prop::collection::vec((0_u8..3, value), 1..4);
    let step = prop_oneof![
        8 => (1_u64..4, pairs).prop_map(|(gap, pairs)| Step::Add(gap, pairs)),
        3 => (0_u64..200).prop_map(Step::Delete),
        1 => (0_u64..60).prop_map(Step::TrimLen),
        1 => (0_u64..200).prop_map(Step::TrimId),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn it_is_a_map_of_entries(steps in steps(), entries_max in 0_usize..8, bounds in (0_u64..200, 0_u64..200)) {
        let rules = rules(entries_max, 0);
        let mut model: BTreeMap<StreamId, Pairs> = BTreeMap::new();
        let mut stream = Stream::new();
        for step in steps {
            match step {
                Step::Add(gap, pairs) => {
                    let id = StreamId::new(stream.last_id().ms + gap, 7);
                    let pairs: Pairs = pairs.into_iter().flat_map(|(f, v)| [vec![b'f', f], v]).collect();
                    let texts: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
                    stream.append(id, &texts, &rules);
                    model.insert(id, pairs);
                }
                Step::Delete(ms) => {
                    let id = StreamId::new(ms, 7);
                    prop_assert_eq!(stream.delete(&[id]) == 1, model.remove(&id).is_some());
                }
                Step::TrimLen(len) => {
                    let trim = Trim { to: TrimTo::Len(len), approximate: false, limit: 0 };
                    let surplus = model.len().saturating_sub(len as usize);
                    prop_assert_eq!(stream.would_trim(&trim), surplus > 0);
                    prop_assert_eq!(stream.trim(&trim), surplus as u64);
                    (0..surplus).for_each(|_| drop(model.pop_first()));
                }
                Step::TrimId(ms) => {
                    let id = StreamId::new(ms, 0);
                    stream.trim(&Trim { to: TrimTo::MinId(id), approximate: false, limit: 0 });
                    model = model.split_off(&id);
                }
            }
            prop_assert_eq!(stream.len(), model.len());
            let first = model.first_key_value().map_or(StreamId::MIN, |(id, _)| *id);
            prop_assert_eq!(stream.first_id(), first);
        }
        prop_assert_eq!(all(&stream), model.clone().into_iter().collect::<Vec<_>>());
        let (low, high) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let (low, high) = (StreamId::new(low, 7), StreamId::new(high, 7));
        let expected: Vec<_> = model.range(low..=high).map(|(id, pairs)| (*id, pairs.clone())).collect();
        let forwards = contents(stream.entries(low, high).map(|entry| owned(&entry)));
        let mut backwards = contents(stream.entries(low, high).rev().map(|entry| owned(&entry)));
        backwards.reverse();
        prop_assert_eq!(&forwards, &expected);
        prop_assert_eq!(&backwards, &expected);
        let again = restored(&stream);
        prop_assert_eq!(fields(&again), fields(&stream));
        prop_assert_eq!(all(&again), all(&stream));
        prop_assert_eq!(again.first_id(), stream.first_id());
    }

    #[test]
    fn damaged_nodes_are_refused_or_harmless(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let rules = rules(100, 0);
        let mut stream = numbered(12, &rules);
        add(&mut stream, 13, &["other", "1", "field", "text"], &rules);
        stream.delete(&[StreamId::new(4, 0)]);
        let mut bytes = stream.node(0).unwrap().listpack().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(node) = Node::from_listpack(StreamId::new(1, 0), bytes) {
            let last = node.last();
            let mut damaged = Stream { last_id: last, ..Stream::default() }.with_parts(vec![node], vec![]).unwrap();
            let forwards = all(&damaged);
            let backwards = damaged.entries(StreamId::MIN, StreamId::MAX).rev().count();
            prop_assert_eq!(forwards.len(), damaged.len());
            prop_assert_eq!(backwards, damaged.len());
            let ids: Vec<StreamId> = forwards.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(damaged.clone().delete(&ids), ids.len());
            let trim = Trim { to: TrimTo::Len(1), approximate: false, limit: 0 };
            prop_assert_eq!(damaged.trim(&trim) as usize, ids.len().saturating_sub(1));
            if let Some(id) = last.next() {
                damaged.append(id, &[b"f", b"v"], &rules);
                prop_assert_eq!(damaged.last_entry().unwrap().id, id);
            }
        }
    }
}
