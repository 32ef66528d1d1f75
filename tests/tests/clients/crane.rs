//! crane, which stands for go-containerregistry: ko, kaniko, trivy and Flux send the same.

use packhouse_tests::image::Parcel;
use packhouse_tests::{Contents, Image, Index, Program, User, tool};

use crate::scene::Scene;

impl Scene {
    fn crane<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(tool("crane"), self.desk()).env("DOCKER_CONFIG", self.desk().join("docker")).args(words)
    }

    #[track_caller]
    pub(crate) fn crane_logs_in(&self, user: &User) {
        let words = ["auth", "login", self.house.address(), "-u", &user.name, "--password-stdin"];
        self.crane(words).stdin(user.token.as_str()).succeeds();
    }
}

#[test]
fn crane_pushes_and_pulls_by_tag_and_by_digest() {
    let scene = Scene::new();
    scene.crane_logs_in(&scene.mona);
    let image = Image::busybox();
    image.write_oci_layout(&scene.desk().join("mine"), "v1");
    let name = scene.name("mona/app:v1");

    scene.crane(["push", "mine", &name]).succeeds().says(image.digest());
    assert_eq!(scene.mona_looks().contents("mona/app", "v1"), image.contents());
    assert_eq!(scene.crane(["digest", &name]).succeeds().text(), image.digest());
    assert_eq!(scene.crane(["manifest", &name]).succeeds().text().as_bytes(), image.manifest.bytes);

    scene.crane(["pull", "--format=oci", &name, "by-tag"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-tag"), None), image.contents());

    let by_digest = scene.name(&format!("mona/app@{}", image.digest()));
    scene.crane(["pull", "--format=oci", &by_digest, "by-digest"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-digest"), None), image.contents());
    scene.crane(["validate", "--remote", &name]).succeeds().says("pass");
}

#[test]
fn crane_copies_between_packages_by_mounting() {
    let scene = Scene::new();
    scene.crane_logs_in(&scene.mona);
    let index = scene.has("mona/app", "v1", Index::of_two_platforms());

    let copied = scene.crane(["copy", &scene.name("mona/app:v1"), &scene.name("mona/copy:v1")]).succeeds();

    copied.says("mounted blob");
    assert_eq!(scene.mona_looks().contents("mona/copy", "v1"), index.contents());
    scene.crane(["copy", "--all-tags", &scene.name("mona/app"), &scene.name("mona/third")]).succeeds();
    assert_eq!(scene.mona_looks().tags("mona/third"), ["v1"]);
}

#[test]
fn crane_makes_an_index_and_pulls_all_of_it() {
    let scene = Scene::new();
    scene.crane_logs_in(&scene.mona);
    let parts = ["amd64", "arm64"].map(Image::busybox_for);
    for part in &parts {
        scene.has("mona/app", &part.architecture, part.clone());
    }
    let name = scene.name("mona/app:v1");

    let append = scene.crane(["index", "append", "--tag", &name]);
    append
        .args(parts.iter().flat_map(|part| {
            ["--manifest".to_owned(), scene.name(&format!("mona/app:{}", part.architecture))]
        }))
        .succeeds();

    let held = scene.mona_looks().contents("mona/app", "v1");
    for part in &parts {
        assert_eq!(held.0[part.digest()], part.manifest.bytes);
    }
    scene.crane(["pull", "--format=oci", &name, "all"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("all"), None), held);
    let config = scene.crane(["config", "--platform=linux/arm64", &name]).succeeds();
    assert_eq!(config.text().as_bytes(), parts[1].config.bytes);
}

#[test]
fn crane_pushes_and_pulls_nested_indexes() {
    let scene = Scene::new();
    scene.crane_logs_in(&scene.mona);
    let nested = Index::nested();
    nested.write_oci_layout(&scene.desk().join("mine"), "v1");
    let name = scene.name("mona/app:v1");

    scene.crane(["push", "--index", "mine", &name]).succeeds();
    // With --index crane pushes the layout's own index.json as the root, so the nested one hangs below it.
    let held = scene.mona_looks().contents("mona/app", "v1");
    for (digest, bytes) in &nested.contents().0 {
        assert_eq!(held.0.get(digest), Some(bytes), "{digest}");
    }
    scene.crane(["pull", "--format=oci", &name, "back"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("back"), None), held);
}

#[test]
fn crane_lists_tags_and_the_catalogue_and_deletes() {
    let scene = Scene::new();
    scene.crane_logs_in(&scene.mona);
    let image = scene.has("mona/app", "v1", Image::busybox());
    scene.has("mona/app", "v2", image.clone());
    scene.has("mona/other", "v1", Image::busybox());

    assert_eq!(scene.crane(["ls", &scene.name("mona/app")]).succeeds().lines(), ["v1", "v2"]);
    let catalogue = scene.crane(["catalog", scene.house.address()]).succeeds();
    assert_eq!(catalogue.lines(), ["mona/app", "mona/other"]);

    // crane deletes what is typed: here a tag, and the other tag of the same manifest stays.
    scene.crane(["delete", &scene.name("mona/app:v2")]).succeeds();
    assert_eq!(scene.mona_looks().tags("mona/app"), ["v1"]);
    scene.crane(["delete", &scene.name(&format!("mona/app@{}", image.digest()))]).succeeds();
    scene.crane(["digest", &scene.name("mona/app:v1")]).fails().says("MANIFEST_UNKNOWN");
}

#[test]
fn crane_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let scene = Scene::new();
    let index = scene.has_a_public_index();
    scene.has_a_private_image();

    scene.crane(["pull", "--format=oci", &scene.name("mona/open:v1"), "open"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("open"), None), index.contents());

    let secret = scene.name("mona/secret:v1");
    scene.crane(["manifest", &secret]).fails().says("UNAUTHORIZED");
    scene.crane_logs_in(&scene.hubot);
    let refused = scene.crane(["manifest", &secret]).fails();
    refused.says("NAME_UNKNOWN: there is no package `mona/secret` that you may see");
    let open = scene.name("mona/open:v1");
    scene.crane(["delete", &open]).fails().says("DENIED");
}
