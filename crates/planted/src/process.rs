//! A bug for all threads of a process, chosen by whoever starts it: for tests of real processes.

use std::sync::OnceLock;

use super::{ALL, Bug};

/// Names the bug.
const VARIABLE: &str = "QUORATE_PLANT_BUG";

static PLANTED: OnceLock<Bug> = OnceLock::new();

/// The bug of the whole process.
pub(crate) fn planted() -> Option<Bug> {
    PLANTED.get().copied()
}

/// Plants, in the whole process and for good, the bug that the environment variable `QUORATE_PLANT_BUG` names. What the
/// operator must be told if there is one.
///
/// # Errors
/// If there is no such bug, or the process has another one already: a test must not believe that it has planted one.
pub fn plant_from_environment() -> Result<Option<String>, String> {
    let Some(name) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let bug = named(&name.to_string_lossy())?;
    if *PLANTED.get_or_init(|| bug) != bug {
        return Err(format!("{VARIABLE}: one bug at a time"));
    }
    Ok(Some(format!(
        "THIS NODE BREAKS ITS PROMISES: the bug {bug:?} is planted ({VARIABLE}), which a build for tests allows. Do not \
         give it data that you need"
    )))
}

fn named(name: &str) -> Result<Bug, String> {
    let found = ALL.iter().find(|bug| format!("{bug:?}") == name);
    found.copied().ok_or_else(|| format!("{VARIABLE}={name}: there is no such bug; there are {ALL:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_known_by_its_name_and_what_is_none_is_refused() {
        assert_eq!(named("VoteAfterRestart"), Ok(Bug::VoteAfterRestart));
        assert_eq!(ALL.iter().map(|bug| named(&format!("{bug:?}"))).filter(Result::is_ok).count(), ALL.len());
        for strange in ["", "voteafterrestart", "VoteAfterRestart,SkipFsync"] {
            assert!(named(strange).unwrap_err().contains("SkipFsync"), "it says which there are");
        }
    }
}
