//! Proof that the fuzzer is guided: a bug that it finds in seconds, and that chance does not find in a lifetime.
//!
//! `run` fails unless this target does.

#![no_main]

/// A byte, in a branch of its own: whoever does not see which branches an input reaches needs 2^48 attempts for six.
macro_rules! behind {
    ($data:ident: $($at:literal is $byte:literal),*) => {
        $(
            if $data.get($at) != Some(&$byte) {
                return;
            }
            std::hint::black_box($at);
        )*
    };
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    behind!(data: 0 is b'Q', 1 is b'u', 2 is b'o', 3 is b'r', 4 is b'a', 5 is b't');
    // And a number that no branch leads to: it is seen in the comparison.
    let number = data.get(6..10).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    assert!(number != Some(0xdead_beef), "the planted bug");
});
