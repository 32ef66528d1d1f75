//! Helm's charts, with both versions of Helm in use.

use packhouse_tests::image::gzip;
use packhouse_tests::{Program, User, tool};

use crate::scene::{Scene, digest_in};

/// One of the two Helms at a desk.
struct Helm {
    tool: &'static str,
    scene: Scene,
}

impl Helm {
    fn new(tool: &'static str) -> Self {
        Self { tool, scene: Scene::new() }
    }

    fn helm<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let at = |name: &str| self.scene.desk().join(name);
        Program::new(tool(self.tool), self.scene.desk())
            .env("HELM_CACHE_HOME", at("cache"))
            .env("HELM_CONFIG_HOME", at("config"))
            .env("HELM_DATA_HOME", at("data"))
            .env("HELM_REGISTRY_CONFIG", at("registry.json"))
            .args(words)
    }

    #[track_caller]
    fn log_in(&self, user: &User) {
        let words = ["registry", "login", "--plain-http", "-u", &user.name, "--password-stdin"];
        let login = self.helm(words).arg(self.scene.house.address()).stdin(user.token.as_str());
        login.succeeds().says("login succeeded");
    }

    /// Writes `hello-VERSION.tgz` as `helm package` does, and returns its bytes.
    #[track_caller]
    fn chart(&self, version: &str) -> Vec<u8> {
        let chart = format!("apiVersion: v2\nname: hello\ndescription: Says hello.\nversion: {version}\n");
        let note = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n";
        let files = [
            ("hello/Chart.yaml", 0o644, chart.as_bytes()),
            ("hello/values.yaml", 0o644, b"words: hello\n".as_slice()),
            ("hello/templates/note.yaml", 0o644, note.as_bytes()),
        ];
        let bytes = gzip(&packhouse_tests::image::tar(&files));
        std::fs::write(self.scene.desk().join(format!("hello-{version}.tgz")), &bytes).unwrap();
        bytes
    }

    fn place(&self) -> String {
        format!("oci://{}", self.scene.name("mona"))
    }

    #[track_caller]
    fn pulled(&self, words: &[&str], file: &str) -> Vec<u8> {
        let folder = self.scene.desk().join("pulled");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        self.helm(["pull", "--plain-http", "--destination", "pulled"]).args(words).succeeds();
        std::fs::read(folder.join(file)).unwrap()
    }

    fn pushes_and_pulls_by_version_range_and_digest(&self) {
        self.log_in(&self.scene.mona);
        let charts = ["1.0.0", "1.2.0+build.7", "2.0.0"].map(|version| (version, self.chart(version)));
        let mut digests = Vec::new();
        for (version, _) in &charts {
            let file = format!("hello-{version}.tgz");
            let pushed = self.helm(["push", "--plain-http", &file, &self.place()]).succeeds();
            digests.push(digest_in(&format!("{}{}", pushed.stdout, pushed.stderr)));
        }
        // A plus sign is no part of a tag, so Helm writes an underscore.
        assert_eq!(self.scene.mona_looks().tags("mona/hello"), ["1.0.0", "1.2.0_build.7", "2.0.0"]);

        let chart = format!("{}/hello", self.place());
        for (version, bytes) in &charts {
            let file = format!("hello-{version}.tgz");
            assert_eq!(&self.pulled(&[&chart, "--version", version], &file), bytes);
        }
        assert_eq!(self.pulled(&[&chart, "--version", "^1"], "hello-1.2.0+build.7.tgz"), charts[1].1);
        assert_eq!(self.pulled(&[&chart], "hello-2.0.0.tgz"), charts[2].1, "the newest, if none is named");
        let by_digest = format!("{chart}@{}", digests[0]);
        self.helm(["pull", "--plain-http", "--destination", "pulled", &by_digest]).succeeds();
        let found: Vec<Vec<u8>> = std::fs::read_dir(self.scene.desk().join("pulled"))
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(found.contains(&charts[0].1), "the chart of {by_digest} has the bytes that were pushed");
        self.helm(["show", "chart", "--plain-http", &chart, "--version", "1.0.0"])
            .succeeds()
            .says("says hello");
        self.helm(["template", "--plain-http", "x", &chart, "--version", "1.0.0"])
            .succeeds()
            .says("ConfigMap");
    }

    fn pulls_what_is_public_and_is_refused_the_rest(&self) {
        self.log_in(&self.scene.mona);
        let bytes = self.chart("1.0.0");
        self.helm(["push", "--plain-http", "hello-1.0.0.tgz", &self.place()]).succeeds();
        self.helm(["registry", "logout", self.scene.house.address()]).succeeds();
        let chart = format!("{}/hello", self.place());
        let pull = ["pull", "--plain-http", &chart, "--version", "1.0.0"];

        self.helm(pull).fails().says("unauthorized");
        self.log_in(&self.scene.hubot);
        self.helm(pull).fails().says("not found");
        let push = ["push", "--plain-http", "hello-1.0.0.tgz", &self.place()];
        self.helm(push).fails().says("permission_denied: create_package");

        self.scene.house.make_public("mona/hello");
        self.helm(["registry", "logout", self.scene.house.address()]).succeeds();
        assert_eq!(self.pulled(&[&chart, "--version", "1.0.0"], "hello-1.0.0.tgz"), bytes);
        self.log_in(&self.scene.hubot);
        self.helm(push).fails().says("denied");
    }
}

#[test]
fn helm3_pushes_and_pulls_by_version_range_and_digest() {
    Helm::new("helm3").pushes_and_pulls_by_version_range_and_digest();
}

#[test]
fn helm3_pulls_what_is_public_and_is_refused_the_rest() {
    Helm::new("helm3").pulls_what_is_public_and_is_refused_the_rest();
}

#[test]
fn helm4_pushes_and_pulls_by_version_range_and_digest() {
    Helm::new("helm4").pushes_and_pulls_by_version_range_and_digest();
}

#[test]
fn helm4_pulls_what_is_public_and_is_refused_the_rest() {
    Helm::new("helm4").pulls_what_is_public_and_is_refused_the_rest();
}
