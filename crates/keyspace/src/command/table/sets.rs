//! Sets.

use crate::command::Command;

pub(super) static SETS: &[Command] = &[];
