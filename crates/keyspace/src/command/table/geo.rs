//! Places on the earth, kept in sorted sets.

use crate::command::Command;

pub(super) static GEO: &[Command] = &[];
