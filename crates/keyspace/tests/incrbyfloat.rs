//! INCRBYFLOAT computes what Redis computes, digit for digit (R12).

use quorate_keyspace::number::{IncrementError, increment_by_float};

#[test]
fn sums_equal_those_of_a_redis_server() {
    let fixture = include_str!("fixtures/incrbyfloat.tsv");
    let mut lines = 0;
    for line in fixture.lines().filter(|line| !line.starts_with('#')) {
        let [value, increment, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        let reply = match increment_by_float(value.as_bytes(), increment.as_bytes()) {
            Ok(sum) => sum,
            Err(IncrementError::NotAFloat) => "-ERR value is not a valid float".to_owned(),
            Err(IncrementError::NotFinite) => "-ERR increment would produce NaN or Infinity".to_owned(),
        };
        assert_eq!(reply, expected, "{value} + {increment}");
        lines += 1;
    }
    assert!(lines > 1900, "the fixture is whole");
}
