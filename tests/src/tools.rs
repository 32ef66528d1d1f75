//! Where the real clients are.

use std::path::{Path, PathBuf};

/// The path of a client or service.
///
/// `PACKHOUSE_TEST_<NAME>` (upper case, `-` as `_`) decides; `cargo xtask test` sets it for what it built.
/// Otherwise the program is looked for on `PATH` and in the folders of Debian's services, which are not on
/// every user's `PATH`.
///
/// # Panics
///
/// When it is nowhere. A missing client is a failure and never a skip: `cargo xtask test` decides, before it
/// starts the tests, what can run at this desk, and says so.
#[track_caller]
pub fn tool(name: &str) -> PathBuf {
    let variable = format!("PACKHOUSE_TEST_{}", name.to_uppercase().replace('-', "_"));
    if let Some(path) = std::env::var_os(&variable) {
        return PathBuf::from(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("there is no `{name}` here: `cargo xtask tools` installs it"))
}

/// The program under test: `PACKHOUSE_TEST_PROGRAM`, or the newest of the release and the debug build of
/// this workspace.
#[track_caller]
pub fn packhouse() -> PathBuf {
    if let Some(path) = std::env::var_os("PACKHOUSE_TEST_PROGRAM") {
        return PathBuf::from(path);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    ["release", "debug"]
        .map(|profile| target.join(profile).join("packhouse"))
        .into_iter()
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file)))
        .max()
        .map(|(_, file)| file)
        .expect("there is no `packhouse` to test: run `cargo build --release` or `cargo xtask test`")
}
