//! Where BY and GET look: `weight_*`, `object_*->field`, `#`.

use std::borrow::Cow;

use super::{Bytes, View};
use crate::{number::I64_TEXT_BYTES_MAX, value::Value};

/// A key, and perhaps a field of the hash there, in whose name an element takes the place of a `*`.
pub(super) enum Pattern<'a> {
    /// `#`: the element itself.
    Itself,
    /// No `*`: no key at all.
    Constant,
    /// The first `*` between two parts.
    Key { prefix: &'a [u8], suffix: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Self {
        if pattern == b"#" {
            return Self::Itself;
        }
        let Some(star) = pattern.iter().position(|&byte| byte == b'*') else { return Self::Constant };
        let (prefix, suffix) = (&pattern[..star], &pattern[star + 1..]);
        // An arrow at the very end belongs to the key.
        match suffix.windows(2).position(|pair| pair == b"->") {
            Some(arrow) if arrow + 2 < suffix.len() => {
                Self::Key { prefix, suffix: &suffix[..arrow], field: Some(&suffix[arrow + 2..]) }
            }
            _ => Self::Key { prefix, suffix, field: None },
        }
    }

    /// Whether it names nothing that depends on the element, as far as the order goes.
    pub(super) fn is_constant(&self) -> bool {
        !matches!(self, Self::Key { .. })
    }

    /// What is there for an element.
    pub(super) fn find<'e, 'v: 'e>(&self, view: &View<'v>, element: &'e [u8]) -> Option<Bytes<'e>> {
        let Self::Key { prefix, suffix, field } = self else {
            return matches!(self, Self::Itself).then_some(Cow::Borrowed(element));
        };
        let key = [prefix, element, suffix].concat();
        match ((view.get)(&key)?, field) {
            (Value::Hash(hash), Some(field)) => hash.get(&view.rules, field).map(Cow::Borrowed),
            (Value::String(string), None) => Some(match string.as_slice() {
                Some(bytes) => Cow::Borrowed(bytes),
                None => Cow::Owned(string.bytes(&mut [0; I64_TEXT_BYTES_MAX]).to_vec()),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_parts() {
        let parts = |pattern: &'static str| match Pattern::new(pattern.as_bytes()) {
            Pattern::Itself => "itself".to_owned(),
            Pattern::Constant => "constant".to_owned(),
            Pattern::Key { prefix, suffix, field } => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                format!("{}|{}|{}", text(prefix), text(suffix), field.map_or("-".to_owned(), text))
            }
        };
        assert_eq!(parts("#"), "itself");
        assert_eq!(parts("##"), "constant");
        assert_eq!(parts("nosort"), "constant");
        assert_eq!(parts("w_*"), "w_||-");
        assert_eq!(parts("a*b*c"), "a|b*c|-");
        assert_eq!(parts("o:*:x->name"), "o:|:x|name");
        assert_eq!(parts("*->a->b"), "||a->b");
        assert_eq!(parts("*->"), "|->|-");
        assert_eq!(parts("a->b*"), "a->b||-");
    }
}
