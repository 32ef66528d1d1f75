//! Docker's engine and command line (graph-driver mode).

use packhouse_tests::engines::Dockerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Finished, House, Image, Program, User};
use serde_json::Value;

use crate::scene::{Scene, digest_in};

/// A scene with an engine; the engine is dropped first.
struct Docker {
    engine: Dockerd,
    scene: Scene,
}

impl Docker {
    #[track_caller]
    fn new() -> Self {
        Self { scene: Scene::new(), engine: Dockerd::start() }
    }

    fn docker<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        self.engine.docker(self.scene.desk()).args(words)
    }

    #[track_caller]
    fn log_in(&self, user: &User) -> Finished {
        let words = ["login", self.scene.house.address(), "-u", &user.name, "--password-stdin"];
        self.docker(words).stdin(user.token.as_str()).succeeds()
    }

    /// Gives the engine an image made here, under a name.
    #[track_caller]
    fn load(&self, name: &str) -> Image {
        let image = Image::busybox();
        image.write_docker_archive(&self.scene.desk().join("image.tar"), name);
        self.docker(["load", "--input", "image.tar"]).succeeds();
        image
    }

    /// The engine forgets everything it can, so that the next pull really fetches.
    #[track_caller]
    fn forget(&self, names: &[&str]) {
        self.docker(["rmi", "--force"].iter().chain(names).copied()).succeeds();
        self.docker(["system", "prune", "--all", "--force"]).succeeds();
        assert_eq!(self.docker(["images", "--quiet", "--all"]).succeeds().text(), "");
    }

    /// The engine has `name`, it is `image`, and it runs.
    #[track_caller]
    fn holds(&self, name: &str, image: &Image) {
        let id = self.docker(["image", "inspect", "--format", "{{.Id}}", name]).succeeds();
        assert_eq!(id.text(), image.config.digest, "the engine's id of an image is the digest of its config");
        let run =
            ["run", "--rm", "--network=none", "--pull=never", name, "/bin/busybox", "cat", "/secret.txt"];
        assert_eq!(self.docker(run).succeeds().text(), image.secret);
    }
}

#[test]
fn docker_pushes_and_pulls_by_tag_and_by_digest() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona).says("login succeeded").never_says(&desk.scene.mona.token);
    let name = desk.scene.name("mona/app:v1");
    let image = desk.load(&name);

    let digest = digest_in(desk.docker(["push", &name]).succeeds().text());

    // What the registry holds is what docker said it pushed: contents() checks every digest on the way.
    let held = desk.scene.mona_looks().contents("mona/app", "v1");
    assert_eq!(desk.scene.mona_looks().digest_of("mona/app", "v1"), digest);
    assert_eq!(held.0[&image.config.digest], image.config.bytes);
    assert_eq!(held.0.len(), 4, "a manifest, a config, two layers: {held:?}");

    desk.forget(&[&name]);
    desk.docker(["pull", &name]).succeeds().says(&digest);
    desk.holds(&name, &image);

    desk.forget(&[&name]);
    let by_digest = desk.scene.name(&format!("mona/app@{digest}"));
    desk.docker(["pull", &by_digest]).succeeds();
    desk.holds(&by_digest, &image);
    assert_eq!(held, desk.scene.mona_looks().contents("mona/app", &digest), "reading changes nothing");
}

#[test]
fn docker_pushes_what_is_there_already_without_sending_it_again() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona);
    let first = desk.scene.name("mona/app:v1");
    desk.load(&first);
    desk.docker(["push", &first]).succeeds();

    desk.docker(["push", &first]).succeeds().says("layer already exists");
    // To another package of hers the layers are mounted, not sent.
    let second = desk.scene.name("mona/other:v1");
    desk.docker(["tag", &first, &second]).succeeds();
    desk.docker(["push", &second]).succeeds().says("mounted from mona/app");

    let looks = desk.scene.mona_looks();
    assert_eq!(looks.contents("mona/other", "v1"), looks.contents("mona/app", "v1"));
}

#[test]
fn docker_pushes_and_pulls_all_tags() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona);
    let names = ["mona/app:v1", "mona/app:v2", "mona/app:edge"].map(|path| desk.scene.name(path));
    let images: Vec<Image> = names.iter().map(|name| desk.load(name)).collect();

    let package = desk.scene.name("mona/app");
    desk.docker(["push", "--all-tags", &package]).succeeds();
    assert_eq!(desk.scene.mona_looks().tags("mona/app"), ["edge", "v1", "v2"]);

    desk.forget(&names.each_ref().map(String::as_str));
    desk.docker(["pull", "--all-tags", &package]).succeeds();
    for (name, image) in names.iter().zip(&images) {
        desk.holds(name, image);
    }
}

#[test]
fn docker_makes_a_manifest_for_two_platforms() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona);
    let parts = ["amd64", "arm64"].map(|architecture| {
        let image = Image::busybox_for(architecture);
        let name = desk.scene.name(&format!("mona/part-{architecture}:v1"));
        image.write_docker_archive(&desk.scene.desk().join("image.tar"), &name);
        desk.docker(["load", "--input", "image.tar"]).succeeds();
        desk.docker(["push", &name]).succeeds();
        (image, name)
    });
    let list = desk.scene.name("mona/app:v1");

    // The parts are in other packages, so each of their blobs is mounted: a refusal there is fatal.
    desk.docker(["manifest", "create", "--insecure", &list, &parts[0].1, &parts[1].1]).succeeds();
    // It says what became of each part, and then the digest of the list.
    let pushed = desk.docker(["manifest", "push", "--insecure", &list]).succeeds();
    let digest = digest_in(pushed.lines().last().unwrap());

    assert_eq!(desk.scene.mona_looks().digest_of("mona/app", "v1"), digest);
    let held = desk.scene.mona_looks().contents("mona/app", "v1");
    for (image, _) in &parts {
        assert_eq!(held.0[&image.config.digest], image.config.bytes);
    }
    let seen = desk.docker(["manifest", "inspect", "--insecure", &list]).succeeds().json();
    let platforms: Vec<&str> = seen["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| part["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);

    desk.forget(&[&parts[0].1, &parts[1].1]);
    desk.docker(["pull", "--platform=linux/arm64", &list]).succeeds();
    let id = desk.docker(["image", "inspect", "--format", "{{.Id}}", &list]).succeeds();
    assert_eq!(id.text(), parts[1].0.config.digest);
}

#[test]
fn docker_pulls_what_is_public_after_logging_out() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona);
    let index = desk.scene.has_a_public_index();
    desk.docker(["logout", desk.scene.house.address()]).succeeds();

    let name = desk.scene.name("mona/open:v1");
    desk.docker(["pull", &name]).succeeds().says(index.digest());
    desk.holds(&name, index.image_for("amd64"));

    let denied = desk.docker(["push", &name]).fails();
    denied.says("unauthorized: authentication required");
}

#[test]
fn docker_is_refused_what_is_private_in_words() {
    let desk = Docker::new();
    desk.scene.has_a_private_image();
    let name = desk.scene.name("mona/secret:v1");
    let absent = desk.scene.name("mona/absent:v1");

    let without_login = desk.docker(["pull", &name]).fails();
    without_login.says("pull access denied").says("docker login");
    // To nobody and to a stranger, what is private and what is not there look the same.
    assert_eq!(
        without_login.stderr.replace("mona/secret", "mona/absent"),
        desk.docker(["pull", &absent]).fails().stderr,
    );

    desk.log_in(&desk.scene.hubot);
    let as_a_stranger = desk.docker(["pull", &name]).fails();
    as_a_stranger.says("not found");
    assert_eq!(
        as_a_stranger.stderr.replace("mona/secret", "mona/absent"),
        desk.docker(["pull", &absent]).fails().stderr,
    );

    let wrong = desk.scene.mona.with_token("phr_000000000000000000000000000000000000");
    let words = ["login", desk.scene.house.address(), "-u", "mona", "--password-stdin"];
    desk.docker(words).stdin(wrong.token).fails().says("unauthorized");
}

#[test]
fn docker_is_told_what_a_plan_and_a_rule_refuse() {
    let plans = "small private_storage=100kB,quiet private_transfer=1kB";
    let house = House::builder().env("PACKHOUSE_PLANS", plans).start();
    let desk = Docker { scene: Scene::of(house), engine: Dockerd::start() };
    desk.log_in(&desk.scene.mona);
    let name = desk.scene.name("mona/app:v1");
    let image = desk.load(&name);
    let operate = |words: &[&str]| desk.scene.house.operator(words.iter().copied());

    operate(&["plan", "set", "mona", "small"]);
    let refused = desk.docker(["push", &name]).fails();
    refused.says(
        "denied: quota_exceeded: the plan `small` of `mona` allows 100 kB of storage for private packages",
    );
    assert_eq!(operate(&["usage", "mona"])[0]["private_storage"]["limit"], 100_000);

    operate(&["plan", "set", "mona", "quiet"]);
    desk.docker(["push", &name]).succeeds();
    desk.forget(&[&name]);
    let refused = desk.docker(["pull", &name]).fails();
    refused.says(
        "quota_exceeded: the plan `quiet` of `mona` allows 1 kB of transfer this month from private packages",
    );

    operate(&["plan", "reset", "mona"]);
    desk.docker(["pull", &name]).succeeds();
    desk.holds(&name, &image);

    operate(&["protect", "immutable", "mona/app", "v*"]);
    desk.docker(["push", &name]).succeeds();
    desk.load(&name);
    desk.docker(["push", &name]).fails().says("denied: permission_denied: the tag `v1` is immutable");
}

#[test]
fn docker_stores_a_credential_that_a_cluster_can_use_too() {
    let desk = Docker::new();
    desk.log_in(&desk.scene.mona);
    desk.scene.has_a_private_image();

    let settings = std::fs::read(desk.scene.desk().join("docker/config.json")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    let stored = &settings["auths"][desk.scene.house.address()];
    // A refresh token in its place would serve docker, but no kubelet that is given this file.
    assert_eq!(stored["auth"], desk.scene.mona.auth(), "{settings}");
    assert_eq!(stored["identitytoken"], Value::Null, "{settings}");
    desk.docker(["pull", &desk.scene.name("mona/secret:v1")]).succeeds();
    desk.docker(["pull", &desk.scene.name("mona/secret:v1")]).succeeds().says("up to date");
}
