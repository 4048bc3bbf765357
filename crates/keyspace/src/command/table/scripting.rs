//! Scripts and functions.

use crate::command::Command;

pub(super) static SCRIPTING: &[Command] = &[];
