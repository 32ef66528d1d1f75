//! `cargo xtask bench`: builds what is measured and what measures, and runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::run::loudly;
use crate::tools::Tools;

/// Runs the benchmark; false when it failed.
///
/// # Errors
///
/// When a program cannot be started, or somebody asked to stop.
pub(crate) fn bench(words: &[String]) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?;
    let tools = Tools::for_bench()?;
    for (name, why) in tools.missing() {
        eprintln!("not here: {name} ({why})");
    }
    // One after the other: together they would share the features of their dependencies, and what is measured would
    // not be what is shipped.
    for package in ["packhouse", "packhouse-bench"] {
        let mut build = Command::new("cargo");
        build.args(["build", "--release", "--package", package]).current_dir(root);
        if !loudly(&mut build)?.status.success() {
            return Ok(false);
        }
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let release = root.join(target).join("release");
    let mut command = Command::new(release.join("packhouse-bench"));
    command.args(words);
    for (variable, path) in tools.variables() {
        command.env(variable, path);
    }
    // What somebody gives is measured in place of what was built.
    if std::env::var_os("PACKHOUSE_TEST_PROGRAM").is_none() {
        command.env("PACKHOUSE_TEST_PROGRAM", release.join("packhouse"));
    }
    // On this terminal, for its bar. A signal reaches both, and it ends what it started.
    let status = command.status().context("cannot start the benchmark")?;
    Ok(status.success())
}
