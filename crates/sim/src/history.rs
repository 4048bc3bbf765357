//! Checkers for what clients have seen: those of `quorate-checkers`, which `quorate torture` uses, too.

pub use quorate_checkers::{Action, Count, Op, check_counter, check_register, has_order};
