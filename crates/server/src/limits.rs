//! Limits that the operating system puts on the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files a node needs besides its clients': log, snapshots, listeners, the bus and those that knock at its door.
const FILES_OF_THE_NODE: u64 = 512;

/// Raises the limit of open files so that `maxclients` fit; the answer is what to tell the operator if they do not.
pub(crate) fn raise_open_files(maxclients: usize) -> Option<String> {
    let wanted = u64::try_from(maxclients).unwrap_or(u64::MAX).saturating_add(FILES_OF_THE_NODE);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return None;
    }
    let target = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum });
    if raised.is_ok() && target == wanted {
        return None;
    }
    Some(format!(
        "maxclients {maxclients} needs {wanted} open files, and the limit is {target}: raise it (ulimit -n), or lower \
         maxclients"
    ))
}
