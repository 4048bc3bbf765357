//! What users did whose rights were taken away (`users`).
//!
//! Each user has a journal, a list to which it alone appends. Whoever takes its rights away, or gives them, appends a note in the same
//! step of the log. So the journal says what stood in the log before and behind that.

use crate::{Promise, Violation};

/// An element of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The user has appended it.
    OfUser,
    /// From here on it may append.
    Granted,
    /// From here on it may not.
    Revoked,
    /// From here on it does not exist, nor ever again.
    Deleted,
}

/// Checks a journal as it stands in the end.
///
/// # Errors
/// The first line that the user had no right to write.
pub fn check_journal(lines: &[Line]) -> Result<(), Violation> {
    let mut before = Line::Granted;
    for (at, line) in lines.iter().enumerate() {
        match (before, line) {
            (Line::Revoked | Line::Deleted, Line::OfUser) => {
                let what =
                    format!("line {at} of the journal was written behind the note that says: {before:?}");
                return Err(Violation::new(Promise::Users, what));
            }
            (Line::Deleted, _) | (_, Line::OfUser) => {}
            _ => before = *line,
        }
    }
    Ok(())
}

/// Checks what a user was shown of its own journal: never that it is deleted.
///
/// # Errors
/// It was.
pub fn check_shown(lines: &[Line]) -> Result<(), Violation> {
    match lines.contains(&Line::Deleted) {
        true => {
            Err(Violation::new(Promise::Users, "a user that is deleted was shown the state that says so"))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Line::{Deleted, Granted, OfUser, Revoked};

    #[test]
    fn nobody_writes_without_the_right() {
        for fine in [
            &[][..],
            &[OfUser, Revoked, Granted, OfUser, Deleted],
            &[Revoked, Deleted],
            &[OfUser, Granted, OfUser],
        ] {
            check_journal(fine).unwrap();
        }
        for wrong in [&[OfUser, Deleted, OfUser][..], &[Revoked, OfUser], &[Deleted, Granted, OfUser]] {
            assert_eq!(check_journal(wrong).unwrap_err().promise, Promise::Users, "{wrong:?}");
        }
    }

    #[test]
    fn nobody_sees_its_own_end() {
        check_shown(&[OfUser, Revoked]).unwrap();
        assert_eq!(check_shown(&[OfUser, Deleted]).unwrap_err().promise, Promise::Users);
    }
}
