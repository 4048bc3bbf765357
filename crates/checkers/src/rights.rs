//! What users did whose rights were taken away (`users`).
//!
//! Each user has a journal, a list to which it alone appends. Whoever takes its rights away, or gives them, appends a note in the same
//! step of the log. So the journal says what stood in the log before and behind that. The same goes for whether the user is let in (`on`,
//! `off`) and may listen to its channel.

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
    /// From here on it exists and is let in.
    On,
    /// From here on it is not let in any more. Who is in, stays.
    Off,
    /// From here on it may not listen to its channel.
    Muted,
    /// From here on it may.
    Unmuted,
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
            (Line::Deleted, _) => {}
            (_, Line::Granted | Line::Revoked | Line::Deleted) => before = *line,
            _ => {}
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

/// Checks whether a client was let in as a user rightly. What it was shown of the journal before it asked, and behind the answer, by
/// the same node: at some moment between the two, it was as the answer says.
///
/// # Errors
/// It was not.
pub fn check_let_in(before: &[Line], after: &[Line], is_let_in: bool) -> Result<(), Violation> {
    let is_about = |line: &&Line| matches!(line, Line::On | Line::Off | Line::Deleted);
    let at_first = before.iter().rfind(is_about) == Some(&Line::On);
    let mut between = after.iter().skip(before.len()).filter(is_about).map(|line| *line == Line::On);
    if at_first == is_let_in || between.any(|on| on == is_let_in) {
        return Ok(());
    }
    let what = format!("let in: {is_let_in}, between {before:?} and {after:?}");
    Err(Violation::new(Promise::Users, what))
}

/// How often it says that the user may not listen any more.
#[must_use]
pub fn mutes(lines: &[Line]) -> u64 {
    lines.iter().filter(|line| **line == Line::Muted).count() as u64
}

/// Checks what a subscriber has heard: `told` is the number of the loss of its right behind which a message was published, `mutes` how
/// many there were at most when it subscribed.
///
/// # Errors
/// It has heard a message behind the loss of its right.
pub fn check_heard(mutes: u64, told: u64) -> Result<(), Violation> {
    if told <= mutes {
        return Ok(());
    }
    let what = format!("a subscriber from before loss {told} of its right heard a message behind it");
    Err(Violation::new(Promise::Users, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Line::{Deleted, Granted, Muted, OfUser, Off, On, Revoked, Unmuted};

    #[test]
    fn nobody_writes_without_the_right() {
        for fine in [
            &[][..],
            &[OfUser, Revoked, Granted, OfUser, Deleted],
            &[Revoked, Deleted],
            &[OfUser, Granted, OfUser],
            &[On, OfUser, Off, OfUser, Muted, Unmuted, OfUser],
        ] {
            check_journal(fine).unwrap();
        }
        for wrong in
            [&[OfUser, Deleted, OfUser][..], &[Revoked, On, Unmuted, OfUser], &[Deleted, Granted, OfUser]]
        {
            assert_eq!(check_journal(wrong).unwrap_err().promise, Promise::Users, "{wrong:?}");
        }
    }

    #[test]
    fn who_is_off_is_not_let_in() {
        check_let_in(&[On], &[On, OfUser], true).unwrap();
        check_let_in(&[], &[], false).unwrap();
        check_let_in(&[], &[On], true).unwrap();
        check_let_in(&[On, Off], &[On, Off, Muted], false).unwrap();
        check_let_in(&[On], &[On, Off, On], false).unwrap();
        check_let_in(&[On], &[On, Off], true).unwrap();
        check_let_in(&[On, Deleted], &[On, Deleted], false).unwrap();
        for (before, after, is_let_in) in [
            (&[On][..], &[On, OfUser][..], false),
            (&[], &[], true),
            (&[On, Off, Granted], &[On, Off, Granted, OfUser], true),
            (&[On, Deleted], &[On, Deleted], true),
            (&[On, Off, On], &[On, Off, On], false),
        ] {
            let found = check_let_in(before, after, is_let_in).unwrap_err();
            assert_eq!(found.promise, Promise::Users, "{before:?}");
        }
    }

    #[test]
    fn nobody_hears_what_it_may_not_hear_any_more() {
        let lines = [On, Muted, Unmuted, OfUser];
        check_heard(mutes(&lines), 1).unwrap();
        assert_eq!(check_heard(mutes(&lines), 2).unwrap_err().promise, Promise::Users);
    }

    #[test]
    fn nobody_sees_its_own_end() {
        check_shown(&[OfUser, Revoked]).unwrap();
        assert_eq!(check_shown(&[OfUser, Deleted]).unwrap_err().promise, Promise::Users);
    }
}
