use proptest::prelude::*;

use super::*;

/// What Redis allows a sparse string by default.
const SPARSE_LEN_MAX: usize = 3000;

fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_len_max: usize) -> bool {
    raise(bytes, Place::of(element), sparse_len_max).unwrap()
}

/// Those of elements with these numbers.
fn filled(numbers: std::ops::Range<u32>, sparse_len_max: usize) -> Vec<u8> {
    let mut bytes = new();
    for n in numbers {
        add(&mut bytes, format!("element:{n}").as_bytes(), sparse_len_max);
    }
    mark_changed(&mut bytes);
    bytes
}

fn registers(bytes: &[u8]) -> [u8; REGISTERS] {
    let mut union = Union::new();
    union.take(bytes).unwrap();
    *union.0
}

fn sparse_of(runs: &[u8]) -> Vec<u8> {
    let mut bytes = header(SPARSE).to_vec();
    bytes.extend_from_slice(runs);
    mark_changed(&mut bytes);
    bytes
}

#[test]
fn the_hash_is_the_published_one() {
    // Computed by another implementation with Redis's seed.
    let cases: [(&[u8], u64); 4] = [
        (b"", 0xd8df_ea65_85bc_9732),
        (b"a", 0x53d2_470a_9b43_b1a7),
        (b"12345678", 0x95eb_b863_8913_2953),
        (b"a longer element of 31 bytes...", 0xc126_cea6_3147_d58c),
    ];
    for (bytes, expected) in cases {
        assert_eq!(hash::murmur64a(bytes), expected, "{bytes:?}");
    }
}

/// Of 100 samples of each size the mean must be right, and hardly any be off by more than three standard errors.
#[test]
fn estimates_are_as_good_as_promised() {
    const STANDARD_ERROR: f64 = 1.04 / 128.0;
    for size in [100, 1000, 10_000, 50_000] {
        let samples = if size > 10_000 { 20 } else { 100 };
        let mut far = 0;
        let mut sum = 0.0;
        for sample in 0..samples {
            let first = sample * 1_000_000;
            let estimate = count(&filled(first..first + size, 0)).unwrap() as f64;
            let error = estimate / f64::from(size) - 1.0;
            far += u32::from(error.abs() > 3.0 * STANDARD_ERROR);
            sum += error;
        }
        let mean = sum / f64::from(samples);
        // Estimates are integers.
        let mean_max = 3.0 * STANDARD_ERROR / f64::from(samples).sqrt() + 0.5 / f64::from(size);
        assert!(far <= 2 && mean.abs() < mean_max, "{size}: {far} {mean}");
    }
}

#[test]
fn estimates_of_few_elements_are_exact() {
    assert_eq!(count(&new()), Ok(0));
    for size in [1, 2, 5, 20, 50] {
        assert_eq!(count(&filled(0..size, SPARSE_LEN_MAX)), Ok(u64::from(size)));
    }
    let mut union = Union::new();
    assert_eq!(union.count(), 0);
    for _ in 0..2 {
        union.take(&filled(0..10, SPARSE_LEN_MAX)).unwrap();
        union.take(&filled(5..20, 0)).unwrap();
        assert_eq!(union.count(), 20);
    }
}

#[test]
fn extreme_registers_are_estimated() {
    let dense = |value: u8| {
        let union = Union(Box::new([value; REGISTERS]));
        let mut bytes = union.to_dense();
        mark_changed(&mut bytes);
        assert_eq!(registers(&bytes), *union.0);
        count(&bytes).unwrap()
    };
    assert_eq!(dense(0), 0);
    // 2 x 16384 x ALPHA.
    assert_eq!(dense(1), 23_637);
    // Values that no hash has, up to the highest that fits.
    assert_eq!(dense(51), u64::MAX);
    assert_eq!(dense(63), u64::MAX);
}

#[test]
fn a_sparse_one_becomes_dense_when_it_is_too_long() {
    let mut bytes = new();
    let mut n: u32 = 0;
    while !is_dense(&bytes) {
        assert!(bytes.len() <= SPARSE_LEN_MAX);
        add(&mut bytes, &n.to_le_bytes(), SPARSE_LEN_MAX);
        n += 1;
    }
    assert!((1000..3000).contains(&n), "{n}");
    assert_eq!(bytes.len(), DENSE_LEN);
    // A value that no run can have.
    let mut bytes = new();
    assert_eq!(raise(&mut bytes, Place { index: 5, value: 33 }, SPARSE_LEN_MAX), Ok(true));
    assert!(is_dense(&bytes));
    assert_eq!(registers(&bytes)[4..7], [0, 33, 0]);
}

#[test]
fn runs_are_split_and_joined() {
    let mut bytes = new();
    let mut set = |index, value| {
        raise(&mut bytes, Place { index, value }, SPARSE_LEN_MAX).unwrap();
        describe_runs(&bytes).unwrap()
    };
    assert_eq!(set(100, 2), "Z:100 v:2,1 Z:16283");
    assert_eq!(set(101, 2), "Z:100 v:2,2 Z:16282");
    assert_eq!(set(103, 2), "Z:100 v:2,2 z:1 v:2,1 Z:16280");
    assert_eq!(set(102, 2), "Z:100 v:2,4 Z:16280");
    assert_eq!(set(104, 2), "Z:100 v:2,4 v:2,1 Z:16279");
    assert_eq!(set(101, 7), "Z:100 v:2,1 v:7,1 v:2,3 Z:16279");
    assert_eq!(set(101, 3), "Z:100 v:2,1 v:7,1 v:2,3 Z:16279");
    assert_eq!(set(0, 1), "v:1,1 Z:99 v:2,1 v:7,1 v:2,3 Z:16279");
    assert_eq!(set(50, 1), "v:1,1 z:49 v:1,1 z:49 v:2,1 v:7,1 v:2,3 Z:16279");
    assert_eq!(set(16_383, 32), "v:1,1 z:49 v:1,1 z:49 v:2,1 v:7,1 v:2,3 Z:16278 v:32,1");
}

#[test]
fn what_does_not_cover_the_registers_is_corrupted() {
    let cases: [&[u8]; 6] = [b"", b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x7f", b"\x80\x7f\xff"];
    for runs in cases {
        let bytes = sparse_of(runs);
        assert!(is_one(&bytes));
        assert_eq!(count(&bytes), Err(Corrupted), "{runs:?}");
        assert_eq!(Union::new().take(&bytes), Err(Corrupted));
        assert_eq!(describe_runs(&bytes), Err(Corrupted));
        assert_eq!(make_dense(&mut bytes.clone()), Err(Corrupted));
    }
    assert_eq!(raise(&mut sparse_of(b"\x00"), Place { index: 1, value: 1 }, 100), Err(Corrupted));
}

#[test]
fn other_strings_are_none() {
    let mut dense = new();
    make_dense(&mut dense).unwrap();
    assert!(is_one(&new()) && is_one(&dense) && !is_dense(&new()) && is_dense(&dense));
    assert!(!is_one(&dense[..DENSE_LEN - 1]) && !is_one(&[&dense[..], b"x"].concat()));
    assert!(!is_one(b"") && !is_one(b"HYLL") && !is_one(b"HYLL\x02___________________"));
    assert!(!is_one(&new()[1..]) && !is_one(&new()[..15]));
}

/// A valid estimate in the header is believed, as Redis believes it.
#[test]
fn an_estimate_that_is_up_to_date_counts() {
    let mut bytes = filled(0..100, SPARSE_LEN_MAX);
    bytes[ESTIMATE_AT..HEADER_LEN].copy_from_slice(&77_u64.to_le_bytes());
    assert_eq!(count(&bytes), Ok(77));
    mark_changed(&mut bytes);
    assert_ne!(count(&bytes), Ok(77));
}

proptest! {
    /// Both encodings against an array.
    #[test]
    fn registers_keep_the_highest_value(
        places in prop::collection::vec((prop_oneof![0_u16..200, 16_300_u16..16_384, 0_u16..16_384], 1_u8..=51), 0..400),
        sparse_len_max in prop_oneof![Just(0), Just(100), Just(SPARSE_LEN_MAX)],
    ) {
        let mut model = [0; REGISTERS];
        let (mut bytes, mut dense) = (new(), new());
        make_dense(&mut dense).unwrap();
        for (index, value) in places {
            let place = Place { index, value };
            let changed = model[usize::from(index)] < value;
            model[usize::from(index)] = value.max(model[usize::from(index)]);
            prop_assert_eq!(would_raise_dense(&dense, place), changed);
            prop_assert_eq!(raise_dense(&mut dense, place), changed);
            prop_assert_eq!(raise(&mut bytes, place, sparse_len_max), Ok(changed));
        }
        prop_assert_eq!(registers(&bytes), model);
        prop_assert_eq!(registers(&dense), model);
        mark_changed(&mut bytes);
        mark_changed(&mut dense);
        prop_assert_eq!(count(&bytes), count(&dense));
        let mut union = Union::new();
        union.take(&bytes).unwrap();
        prop_assert_eq!(Ok(union.count()), count(&dense));
        let mut merged = new();
        union.merge_into(&mut merged, sparse_len_max).unwrap();
        prop_assert_eq!(registers(&merged), model);
        make_dense(&mut bytes).unwrap();
        prop_assert_eq!(bytes, dense);
    }

    #[test]
    fn hostile_runs_never_panic(runs in prop::collection::vec(any::<u8>(), 0..60), index in 0_u16..16_384, value in 1_u8..=51) {
        let mut bytes = sparse_of(&runs);
        let place = Place { index, value };
        prop_assert_eq!(count(&bytes).is_ok(), describe_runs(&bytes).is_ok());
        if let Ok(raised) = raise(&mut bytes, place, 70) {
            prop_assert!(is_one(&bytes) && (raised || !is_dense(&bytes)));
        }
    }
}
