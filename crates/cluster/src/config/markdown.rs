//! docs/CONFIGURATION.md, generated from the table.

use std::fmt::Write;

use super::parameters::{Changes, PARAMETERS, Parameter, Scope};

const HEAD: &str = "\
# Configuration

<!-- Generated from crates/cluster/src/config/parameters.rs: `UPDATE_DOCS=1 cargo test -p quorate-cluster --test configuration_doc` -->

Every parameter may stand in the TOML file of `quorate server --config FILE` (`write-timeout = \"5s\"`) or on its command
line (`--set write-timeout=5s`), which wins. `CONFIG GET` shows them, `CONFIG SET` changes those that may change while the
node runs.

- *Scope*: `node` values belong to one node. `cluster` values are kept in the replicated log and are the same on all nodes;
  what stands in the file or on the command line counts when a cluster is created, `CONFIG SET` on any node afterwards.
- *Changes*: `live` by `CONFIG SET`; `start` only by a restart; `fixed` never (the parameter exists because clients ask for it).
- Sizes take `kb`, `mb`, `gb` (powers of 1024) and `k`, `m`, `g` (powers of 1000). Milliseconds take `ms` and `s`.

| parameter | default | values | scope | changes | what it does |
|---|---|---|---|---|---|
";

/// The whole document.
#[must_use]
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for parameter in PARAMETERS {
        row(&mut out, parameter);
    }
    out
}

fn row(out: &mut String, parameter: &Parameter) {
    let default = match parameter.default {
        "" => "empty".to_owned(),
        default => format!("`{default}`"),
    };
    let scope = match parameter.scope {
        Scope::Node => "node",
        Scope::Cluster => "cluster",
    };
    let changes = match parameter.changes {
        Changes::Live => "live",
        Changes::AtStart => "start",
        Changes::Never(_) => "fixed",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "| `{}` | {default} | {} | {scope} | {changes} | {} |",
        parameter.name,
        parameter.kind.describe(),
        parameter.doc,
    );
}
