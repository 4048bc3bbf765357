//! Sorted sets.

use crate::command::Command;

pub(super) static SORTED_SETS: &[Command] = &[];
