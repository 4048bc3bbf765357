//! Sets of strings.

use std::borrow::Cow;

use crate::{
    collection::{Builder, Collection, Fields},
    packed::Packed,
    rules::Rules,
    value::Value,
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Set(Packed);

impl Set {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        "listpack"
    }

    /// Bytes allocated, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// What makes one of the parts that [`Collection`] gives.
    pub(crate) fn builder(_rules: &Rules) -> Box<dyn Builder> {
        Box::new(Self::default())
    }
}

impl Collection for Set {
    fn layout(&self) -> u8 {
        0
    }

    fn field_count(&self) -> usize {
        self.0.len()
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        Box::new(self.0.iter().skip(start).map(Cow::Borrowed))
    }

    fn pieces(&self) -> usize {
        1
    }

    fn release(&mut self, _max: usize) -> usize {
        0
    }
}

impl Builder for Set {
    fn push(&mut self, field: &[u8]) -> bool {
        self.0.push(field);
        true
    }

    fn finish(self: Box<Self>, _layout: u8) -> Option<Value> {
        Some(Value::Set(self))
    }
}
