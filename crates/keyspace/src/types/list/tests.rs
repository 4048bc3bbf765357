use std::collections::VecDeque;

use proptest::prelude::*;

use super::{
    chunk::Chunk,
    long::{SEGMENT_CHUNKS_MAX, add_at_end, at_end, remove_at_end},
    *,
};

fn contents(list: &List) -> Vec<Vec<u8>> {
    list.iter_from(0).map(<[u8]>::to_vec).collect()
}

/// Lengths around every boundary of the packed form.
fn element() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![
        8 => 0usize..20,
        2 => 120usize..140,
        1 => 250usize..260,
        1 => 4090usize..4100,
        1 => Just(10_000),
    ];
    prop_oneof![
        (lengths, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        any::<i64>().prop_map(|n| n.to_string().into_bytes())
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Push(End, Vec<u8>, usize),
    Remove(End, usize),
    /// At such a part of the length.
    Set(f64, Vec<u8>),
    Insert(f64, Vec<u8>, usize),
    /// From such a part of the length to another.
    Keep(f64, f64),
    /// All that equal the one at this part of the length, but for some at the beginning.
    RemoveEqual(f64, usize),
    Snapshot,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Front), Just(End::Back)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (end(), element(), 1usize..40).prop_map(|(end, element, times)| Step::Push(end, element, times)),
        3 => (end(), 1usize..60).prop_map(|(end, times)| Step::Remove(end, times)),
        2 => (0.0..1.0, element()).prop_map(|(at, element)| Step::Set(at, element)),
        2 => (0.0..1.0, element(), 1usize..40).prop_map(|(at, element, times)| Step::Insert(at, element, times)),
        1 => (0.0..0.4, 0.6..1.0).prop_map(|(start, end)| Step::Keep(start, end)),
        1 => (0.0..1.0, 0usize..3).prop_map(|(at, skip)| Step::RemoveEqual(at, skip)),
        1 => Just(Step::Snapshot),
    ]
}

fn run(list: &mut List, model: &mut VecDeque<Vec<u8>>, step: &Step) {
    match step {
        Step::Push(end, element, times) => {
            for _ in 0..*times {
                list.push(*end, element);
                add_at_end(model, *end, element.clone());
            }
        }
        Step::Remove(end, times) => {
            for _ in 0..*times {
                assert_eq!(list.peek(*end), at_end(model, *end).map(Vec::as_slice));
                assert_eq!(list.remove(*end), !model.is_empty());
                remove_at_end(model, *end);
            }
        }
        Step::Set(at, element) => {
            let index = part(model.len(), *at);
            assert_eq!(list.set(index, element), index < model.len());
            if let Some(old) = model.get_mut(index) {
                old.clone_from(element);
            }
        }
        Step::Insert(at, element, times) => {
            for _ in 0..*times {
                let index = part(model.len() + 1, *at);
                list.insert(index, element);
                model.insert(index, element.clone());
            }
        }
        Step::Keep(start, end) => {
            let (start, end) = (part(model.len(), *start), part(model.len() + 1, *end));
            let count = end.saturating_sub(start);
            list.keep(start, count);
            *model = model.iter().skip(start).take(count).cloned().collect();
        }
        Step::RemoveEqual(at, skip) => {
            let Some(element) = model.get(part(model.len(), *at)).cloned() else { return };
            let equal = model.iter().enumerate().filter(|(_, other)| **other == element);
            let indices: Vec<usize> = equal.map(|(index, _)| index).skip(*skip).collect();
            list.remove_equal(&element, &indices);
            indices.iter().rev().for_each(|index| drop(model.remove(*index)));
        }
        Step::Snapshot => {}
    }
}

fn part(len: usize, of: f64) -> usize {
    (len as f64 * of) as usize
}

fn as_long(list: &List) -> &Long {
    match &list.0 {
        Repr::Long(long) => long,
        Repr::Short(_) => panic!("the list is short"),
    }
}

/// No chunk or segment is empty or too large, and what they say of their lengths is true.
fn check_shape(list: &List) {
    let list = match &list.0 {
        Repr::Short(packed) => {
            assert!(packed.len() <= SHORT_ELEMENTS_MAX && packed.memory_bytes() <= SHORT_BYTES_MAX + 8);
            return;
        }
        Repr::Long(long) => long,
    };
    for segment in &list.segments {
        assert!((1..=SEGMENT_CHUNKS_MAX).contains(&segment.chunks.len()));
        assert!(segment.chunks.iter().all(|chunk| chunk.len() == chunk.iter().count() && chunk.len() > 0));
        assert_eq!(segment.len, segment.chunks.iter().map(Chunk::len).sum::<usize>());
    }
    assert_eq!(list.len, list.segments.iter().map(|segment| segment.len).sum::<usize>());
}

proptest! {
    #[test]
    fn changes_match_a_deque(
        steps in prop::collection::vec(step(), 0..40),
        start in 0usize..400,
        count in 0usize..400,
    ) {
        let mut list = List::new();
        let mut model = VecDeque::new();
        let mut snapshots = Vec::new();
        for step in &steps {
            run(&mut list, &mut model, step);
            if matches!(step, Step::Snapshot) {
                snapshots.push((list.clone(), contents(&list)));
            }
            prop_assert_eq!(list.len(), model.len());
            check_shape(&list);
        }
        prop_assert_eq!(contents(&list), Vec::from(model.clone()));
        let expected: Vec<&[u8]> = model.iter().skip(start).take(count).map(Vec::as_slice).collect();
        let range = list.range(start, count);
        prop_assert!(range.clone().eq(expected.iter().copied()));
        prop_assert!(range.rev().eq(expected.iter().rev().copied()));
        prop_assert_eq!(list.get(start), model.get(start).map(Vec::as_slice));
        let listpack_bytes: usize = model.iter().map(|element| listpack_entry_bytes(element)).sum();
        prop_assert_eq!(list.listpack_total_bytes(), 7 + listpack_bytes);
        if let Repr::Long(long) = &list.0 {
            prop_assert_eq!(long.element_bytes, model.iter().map(Vec::len).sum::<usize>());
        }
        for (snapshot, expected) in snapshots {
            prop_assert_eq!(contents(&snapshot), expected, "a clone never changes");
        }
    }

    #[test]
    fn both_ends_of_a_range_meet(len in 0usize..600, front in prop::collection::vec(any::<bool>(), 600)) {
        let mut list = List::new();
        (0..len).for_each(|n| list.push_back(n.to_string().as_bytes()));
        let mut range = list.iter_from(0);
        let (mut low, mut high) = (0, len);
        for front in front {
            let found = if front { range.next() } else { range.next_back() };
            let expected = (low < high).then(|| {
                if front { low += 1; low - 1 } else { high -= 1; high }
            });
            prop_assert_eq!(found.map(<[u8]>::to_vec), expected.map(|n| n.to_string().into_bytes()));
        }
    }
}

#[test]
fn many_segments_keep_their_order() {
    let mut list = List::new();
    let half = SEGMENT_CHUNKS_MAX * 128 + 1000;
    for n in 0..half as i64 {
        list.push(End::Front, (-1 - n).to_string().as_bytes());
        list.push(End::Back, n.to_string().as_bytes());
    }
    assert!(as_long(&list).segments.len() >= 2);
    for index in [0, 1, half - 1, half, half + 1, 2 * half - 1, half / 2, half + half / 2] {
        assert_eq!(list.get(index), Some((index as i64 - half as i64).to_string().as_bytes()), "{index}");
    }
    assert_eq!(list.get(2 * half), None);
    let snapshot = list.clone();
    while list.remove(End::Front) {}
    assert!(list.is_empty() && as_long(&list).segments.is_empty());
    assert_eq!(snapshot.len(), 2 * half);
    assert!(
        snapshot.iter_from(0).eq((0..2 * half)
            .map(|n| (n as i64 - half as i64).to_string())
            .collect::<Vec<_>>()
            .iter()
            .map(|s| s.as_bytes()))
    );
}

#[test]
fn bounded_a_queue_that_moves_along_stays_small() {
    for (push, remove) in [(End::Back, End::Front), (End::Front, End::Back)] {
        let mut list = List::new();
        list.mark_as_quicklist();
        for n in 0..100_000 {
            list.push(push, b"0123456789");
            if n >= 10 {
                list.remove(remove);
            }
        }
        let segments = &as_long(&list).segments;
        let Chunk::Packed(packed) = &segments[0].chunks[0] else { panic!("small elements are packed") };
        assert_eq!((list.len(), segments.len(), segments[0].chunks.len()), (10, 1, 1));
        assert!(packed.capacity() < 1024, "{}", packed.capacity());
    }
}

#[test]
fn release_frees_a_list_in_pieces() {
    for shared in [false, true] {
        let mut list = List::new();
        (0..100_000).for_each(|_| list.push_back(b"element"));
        let clone = shared.then(|| list.clone());
        let mut steps = 0;
        while !list.is_empty() {
            let before = list.len();
            let gone = list.release(1000);
            assert!((1..=1000).contains(&gone) && before - list.len() >= gone);
            steps += 1;
        }
        assert!(steps <= 100);
        assert_eq!(list.release(1000), 0);
        assert_eq!(clone.map(|clone| clone.len()), shared.then_some(100_000));
    }
}

#[test]
fn the_encoding_follows_the_size_with_hysteresis() {
    let limit = ListpackLimit::default();
    let mut list = List::new();
    let element = [b'x'; 100];
    let push = |list: &mut List| {
        list.encode_for_growth(limit, &[&element]);
        list.push_back(&element);
    };
    // 7 + 103 n + 100 exceeds 8192 first with n = 79.
    (0..79).for_each(|_| push(&mut list));
    assert_eq!(list.encoding(), "listpack");
    push(&mut list);
    assert_eq!((list.len(), list.encoding()), (80, "quicklist"));
    // 7 + 103 n is at most 4096 first with n = 39.
    while list.len() > 40 {
        list.remove(End::Front);
        list.encode_after_shrinking(limit);
    }
    assert_eq!((list.encoding(), list.layout()), ("quicklist", 1));
    list.remove(End::Back);
    list.encode_after_shrinking(limit);
    assert_eq!((list.encoding(), list.layout()), ("listpack", 0));
    assert!(list.restore_layout(1) && list.encoding() == "quicklist");
    assert!(!list.restore_layout(2));
}

#[test]
fn the_listpack_limit_reads_its_parameter() {
    let limits = [-1, -2, -3, -4, -5, -6].map(|parameter| ListpackLimit::new(parameter).bytes);
    assert_eq!(limits, [4096, 8192, 16384, 32768, 65536, 65536]);
    let mut list = List::new();
    for n in 0..4 {
        list.encode_for_growth(ListpackLimit::new(3), &[b"x"]);
        list.push_back(b"x");
        assert_eq!(list.encoding(), if n < 3 { "listpack" } else { "quicklist" });
    }
}

#[test]
fn listpack_sizes_follow_its_format() {
    let cases = [
        ("0", 2),
        ("127", 2),
        ("128", 3),
        ("-1", 3),
        ("-4097", 4),
        ("40000", 5),
        ("9000000", 6),
        ("5000000000", 10),
        ("", 2),
        ("a", 3),
        ("007", 5),
    ];
    for (element, bytes) in cases {
        assert_eq!(listpack_entry_bytes(element.as_bytes()), bytes, "{element:?}");
    }
    assert_eq!([63, 64, 126, 4096].map(|len| listpack_entry_bytes(&vec![b'x'; len])), [65, 67, 130, 4103]);
}

#[test]
fn changes_in_the_middle_of_a_long_list_stay_local() {
    let mut list = List::new();
    let len = SEGMENT_CHUNKS_MAX * 128 * 3;
    (0..len).for_each(|n| list.push_back((n % 1000).to_string().as_bytes()));
    let snapshot = list.clone();
    for n in 0..2000 {
        list.insert(len / 2, b"new");
        list.set(len / 3 + n, b"other");
    }
    check_shape(&list);
    assert_eq!((list.len(), list.get(len / 2 + 1999)), (len + 2000, Some(&b"new"[..])));
    let chunks: usize = as_long(&list).segments.iter().map(|segment| segment.chunks.len()).sum();
    assert!(chunks < len / 128 + 60, "{chunks}: chunks that grow are cut in half");
    let new: Vec<usize> =
        list.iter_from(0).enumerate().filter(|(_, e)| *e == b"new").map(|(i, _)| i).collect();
    list.remove_equal(b"new", &new);
    assert_eq!((new.len(), list.len()), (2000, len));
    // One of 200 stays: chunks that have become small unite.
    for n in (0..1000).filter(|n| n % 200 != 0) {
        let element = n.to_string().into_bytes();
        let indices: Vec<usize> =
            list.iter_from(0).enumerate().filter(|(_, other)| *other == element).map(|(i, _)| i).collect();
        list.remove_equal(&element, &indices);
    }
    check_shape(&list);
    let chunks: usize = as_long(&list).segments.iter().map(|segment| segment.chunks.len()).sum();
    assert!(list.len() < 4000 && chunks < 250, "{} elements in {chunks} chunks", list.len());
    list.keep(10, 5);
    assert_eq!(list.len(), 5);
    check_shape(&list);
    assert!(
        snapshot.iter_from(0).enumerate().all(|(n, element)| element == (n % 1000).to_string().as_bytes())
    );
}

#[test]
fn a_short_list_is_one_allocation_and_becomes_long_at_its_limits() {
    assert_eq!(size_of::<List>(), 16);
    let is_short = |elements: &[&[u8]]| {
        let mut list = List::new();
        elements.iter().for_each(|element| list.push_back(element));
        check_shape(&list);
        assert!(list.iter_from(0).eq(elements.iter().copied()));
        matches!(list.0, Repr::Short(_))
    };
    assert!(is_short(&[&b"a"[..]; SHORT_ELEMENTS_MAX]) && !is_short(&[&b"a"[..]; SHORT_ELEMENTS_MAX + 1]));
    assert!(is_short(&[&[b'a'; SHORT_BYTES_MAX - 8]]) && !is_short(&[&[b'a'; SHORT_BYTES_MAX - 7]]));
}
