//! docs/CONFIGURATION.md is what the table says.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test that reads a document")]

use std::path::Path;

use quorate_cluster::config::markdown;

#[test]
fn the_document_follows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFIGURATION.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == markdown(),
        "docs/CONFIGURATION.md is out of date: UPDATE_DOCS=1 cargo test -p quorate-cluster --test configuration_doc"
    );
}
