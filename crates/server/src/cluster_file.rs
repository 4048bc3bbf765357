//! `cluster.json`: what `quorate dev` says about its nodes to programs, and to itself when it is started again.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a file of the tool, not of a node: it needs no env"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Written once every node serves, gone when the nodes are stopped.
const FILE: &str = "cluster.json";
/// The same while the nodes are down or start: nobody who waits for the nodes may take it for the present.
const LAST: &str = "cluster.last.json";

/// The nodes of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterFile {
    /// In the order of their numbers.
    pub(crate) nodes: Vec<NodeEntry>,
}

/// One node of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeEntry {
    /// Its number.
    pub(crate) id: u64,
    /// Where clients connect.
    pub(crate) addr: String,
    /// Where it serves HTTP.
    pub(crate) http: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its folder, absolute.
    pub(crate) data_dir: PathBuf,
    /// The command line that starts it again.
    pub(crate) argv: Vec<String>,
}

/// What the file says, or said before the last start, if there ever was one.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Option<ClusterFile>> {
    for path in [dir.join(FILE), dir.join(LAST)] {
        match fs::read(&path) {
            Ok(bytes) => {
                return serde_json::from_slice(&bytes).map(Some).with_context(|| {
                    format!(
                        "{} is damaged: remove it, and give --nodes and --port as they were",
                        path.display()
                    )
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(None)
}

/// Takes the file away, before the nodes start and when they stop; [`read`] still finds what it said.
pub(crate) fn retire(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(FILE);
    match fs::rename(&path, dir.join(LAST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes the file, whole or not at all.
pub(crate) fn write(dir: &Path, cluster: &ClusterFile) -> anyhow::Result<()> {
    let path = dir.join(FILE);
    let write = || -> io::Result<()> {
        let file = tempfile::NamedTempFile::with_prefix_in(".cluster-", dir)?;
        serde_json::to_writer_pretty(&file, cluster)?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterFile {
        ClusterFile {
            nodes: vec![NodeEntry {
                id: 1,
                addr: "127.0.0.1:7001".into(),
                http: "127.0.0.1:10001".into(),
                pid: 123,
                data_dir: "/d/node-1".into(),
                argv: vec!["quorate".into(), "server".into()],
            }],
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        assert_eq!(
            serde_json::to_string(&cluster()).unwrap(),
            r#"{"nodes":[{"id":1,"addr":"127.0.0.1:7001","http":"127.0.0.1:10001","pid":123,"data_dir":"/d/node-1","argv":["quorate","server"]}]}"#
        );
    }

    #[test]
    fn a_retired_file_is_remembered_but_not_left_lying() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        retire(dir.path()).unwrap();
        write(dir.path(), &cluster()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(cluster()));
        retire(dir.path()).unwrap();
        assert!(!dir.path().join(FILE).exists());
        // A start that did not get as far as writing it again loses nothing.
        retire(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(cluster()));
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"{\"nodes\":[{").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("damaged"));
    }
}
