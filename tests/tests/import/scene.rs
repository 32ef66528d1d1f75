//! A new house, an old registry, and a desk.

use packhouse_tests::image::Parcel;
use packhouse_tests::{Caller, House, Program, User, tool};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A house with mona and her organization octo.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) mona: User,
    desk: TempDir,
}

impl Scene {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::of(House::start())
    }

    #[track_caller]
    pub(crate) fn of(house: House) -> Self {
        let mona = house.user("mona");
        house.organization("octo", &mona);
        let desk = tempfile::Builder::new().prefix("packhouse-desk-").tempdir().expect("a folder");
        Self { house, mona, desk }
    }

    pub(crate) fn desk(&self) -> &Path {
        self.desk.path()
    }

    pub(crate) fn mona_looks(&self) -> Caller {
        self.house.caller(&self.mona)
    }

    /// `127.0.0.1:PORT/mona/app:v1`.
    pub(crate) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.house.address())
    }

    /// `packhouse WORDS… --data DIR --json`, at the desk.
    pub(crate) fn operator(&self, words: &[&str]) -> Program {
        self.house.program().args(words).arg("--data").arg(self.house.data()).arg("--json")
    }

    /// An import that takes all.
    #[track_caller]
    pub(crate) fn imports(&self, words: &[&str]) -> Value {
        let done = self.operator(&[&["import"], words].concat()).succeeds().json();
        assert_eq!(done["refused"], 0, "{done}");
        done
    }

    /// An export.
    #[track_caller]
    pub(crate) fn exports(&self, words: &[&str]) -> Value {
        self.operator(&[&["export"], words].concat()).succeeds().json()
    }

    /// A client that needs no engine, signed in nowhere.
    pub(crate) fn client<'a>(&self, name: &str, words: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(tool(name), self.desk())
            .env("DOCKER_CONFIG", self.desk().join("docker"))
            .env("REGISTRY_AUTH_FILE", self.desk().join("docker/config.json"))
            .args(words)
    }

    /// What was pushed there is here, byte for byte.
    #[track_caller]
    pub(crate) fn holds(&self, package: &str, reference: &str, parcel: &impl Parcel) {
        assert_eq!(
            self.mona_looks().contents(package, reference),
            parcel.contents(),
            "{package} {reference}"
        );
    }
}

/// A number of the summary.
#[track_caller]
pub(crate) fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {summary}"))
}
