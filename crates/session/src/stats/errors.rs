//! How often each kind of error was answered: INFO errorstats. The kind is the first word.

use std::collections::BTreeMap;

/// So many kinds are told apart. Scripts can raise errors of any kind: with more than that, none are.
const KINDS_MAX: usize = 128;
/// A longer first word is no kind.
const KIND_BYTES_MAX: usize = 32;
/// What is shown instead of the kinds when there were too many.
const DISABLED: &str = "ERRORSTATS_DISABLED";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    kinds: BTreeMap<String, u64>,
    is_disabled: bool,
}

impl Errors {
    /// Counts an error by its text.
    pub(crate) fn count(&mut self, text: &[u8]) {
        if self.is_disabled {
            return;
        }
        let head = &text[..text.len().min(KIND_BYTES_MAX)];
        let word = head.iter().position(|byte| *byte == b' ').map(|end| &text[..end]);
        let kind = String::from_utf8_lossy(word.filter(|word| !word.is_empty()).unwrap_or(b"ERR"));
        if let Some(count) = self.kinds.get_mut(&*kind) {
            *count += 1;
        } else if self.kinds.len() < KINDS_MAX {
            self.kinds.insert(kind.into_owned(), 1);
        } else {
            self.kinds = BTreeMap::from([(DISABLED.to_owned(), 1)]);
            self.is_disabled = true;
            tracing::warn!("errors of too many kinds: INFO errorstats is empty until CONFIG RESETSTAT");
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(errors: &Errors) -> Vec<(&str, u64)> {
        errors.iter().collect()
    }

    #[test]
    fn the_first_word_is_the_kind() {
        let mut errors = Errors::default();
        for text in ["ERR syntax error", "WRONGTYPE no", "ERR other", "word", " blank", "WRONGTYPE"] {
            errors.count(text.as_bytes());
        }
        errors.count(&[b'x'; 100]);
        assert_eq!(shown(&errors), [("ERR", 6), ("WRONGTYPE", 1)]);
    }

    #[test]
    fn too_many_kinds_leave_none() {
        let mut errors = Errors::default();
        (0..KINDS_MAX).for_each(|n| errors.count(format!("KIND{n} text").as_bytes()));
        assert_eq!(shown(&errors).len(), KINDS_MAX);
        errors.count(b"KIND0 again");
        assert_eq!(shown(&errors).len(), KINDS_MAX);
        errors.count(b"MORE text");
        errors.count(b"KIND0 text");
        assert_eq!(shown(&errors), [(DISABLED, 1)]);
    }
}
