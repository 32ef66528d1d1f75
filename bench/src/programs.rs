//! Where the programs of the targets are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::targets::TARGETS;

/// Beside the programs of the targets: a real client, and the machine's own limits.
const OTHERS: &[&str] = &["skopeo", "openssl", "dd", "setpriv"];

/// What is here. `PACKHOUSE_TEST_<NAME>`, which `cargo xtask bench` sets for what it installed, decides; then `PATH`.
pub(crate) fn find(packhouse: &Path) -> BTreeMap<&'static str, PathBuf> {
    let mut found = BTreeMap::new();
    for name in TARGETS.iter().map(|target| target.program).chain(OTHERS.iter().copied()) {
        let variable = format!("PACKHOUSE_TEST_{}", name.to_uppercase().replace('-', "_"));
        let place = match name {
            "packhouse" => std::path::absolute(packhouse).ok().filter(|file| file.is_file()),
            _ => std::env::var_os(variable).map(PathBuf::from).or_else(|| on_path(name)),
        };
        if let Some(place) = place {
            found.insert(name, place);
        }
    }
    found
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Not on every user's `PATH`.
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a program says of its version.
pub(crate) fn version(program: &Path) -> String {
    let option = if program.ends_with("nginx") { "-v" } else { "--version" };
    let Ok(done) = Command::new(program).arg(option).output() else { return "unknown".to_owned() };
    let said = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    // As somebody typed it, the program may stand in front with its folder.
    let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with('/')).collect();
    words.join(" ")
}
