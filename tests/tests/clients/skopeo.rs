//! skopeo, which copies images from place to place without an engine.

use packhouse_tests::image::Parcel;
use packhouse_tests::{Artifact, Contents, Image, Index, Program, User, tool};

use crate::scene::Scene;

impl Scene {
    fn skopeo<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(tool("skopeo"), self.desk())
            .env("REGISTRY_AUTH_FILE", self.desk().join("auth.json"))
            .args(words)
    }

    #[track_caller]
    fn skopeo_logs_in(&self, user: &User) {
        let words = ["login", "--tls-verify=false", "-u", &user.name, "--password-stdin"];
        self.skopeo(words)
            .arg(self.house.address())
            .stdin(user.token.as_str())
            .succeeds()
            .says("login succeeded");
    }

    fn skopeo_name(&self, path: &str) -> String {
        format!("docker://{}", self.name(path))
    }
}

#[test]
fn skopeo_copies_there_and_back_byte_for_byte() {
    let scene = Scene::new();
    scene.skopeo_logs_in(&scene.mona);
    let image = Image::busybox();
    image.write_oci_layout(&scene.desk().join("mine"), "v1");
    let remote = scene.skopeo_name("mona/app:v1");

    scene.skopeo(["copy", "--dest-tls-verify=false", "oci:mine:v1", &remote]).succeeds();
    assert_eq!(scene.mona_looks().contents("mona/app", "v1"), image.contents());

    scene.skopeo(["copy", "--src-tls-verify=false", &remote, "oci:by-tag:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-tag"), Some("v1")), image.contents());

    let by_digest = scene.skopeo_name(&format!("mona/app@{}", image.digest()));
    scene.skopeo(["copy", "--src-tls-verify=false", &by_digest, "oci:by-digest:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-digest"), Some("v1")), image.contents());
}

#[test]
fn skopeo_copies_all_platforms() {
    let scene = Scene::new();
    scene.skopeo_logs_in(&scene.mona);
    let index = Index::of_two_platforms();
    index.write_oci_layout(&scene.desk().join("mine"), "v1");
    let (first, second) = (scene.skopeo_name("mona/app:v1"), scene.skopeo_name("mona/copy:v1"));

    scene.skopeo(["copy", "--all", "--dest-tls-verify=false", "oci:mine:v1", &first]).succeeds();
    assert_eq!(scene.mona_looks().contents("mona/app", "v1"), index.contents());

    // From package to package the layers are mounted.
    let both = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
    scene.skopeo(both).args([&first, &second]).succeeds();
    assert_eq!(scene.mona_looks().contents("mona/copy", "v1"), index.contents());

    scene.skopeo(["copy", "--all", "--src-tls-verify=false", &second, "oci:back:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("back"), Some("v1")), index.contents());
}

#[test]
fn skopeo_lists_inspects_and_deletes() {
    let scene = Scene::new();
    scene.skopeo_logs_in(&scene.mona);
    let image = scene.has("mona/app", "v1", Image::busybox());
    scene.has("mona/app", "also-v1", image.clone());
    scene.has("mona/app", "v2", Image::busybox());
    let package = scene.skopeo_name("mona/app");

    let list = scene.skopeo(["list-tags", "--tls-verify=false", &package]).succeeds().json();
    assert_eq!(list["Tags"], serde_json::json!(["also-v1", "v1", "v2"]));

    let seen = scene.skopeo(["inspect", "--tls-verify=false", &format!("{package}:v1")]).succeeds().json();
    assert_eq!(seen["Digest"], image.digest());
    assert_eq!(seen["RepoTags"], serde_json::json!(["also-v1", "v1", "v2"]));
    let raw = scene.skopeo(["inspect", "--raw", "--tls-verify=false", &format!("{package}:v1")]).succeeds();
    assert_eq!(raw.stdout.as_bytes(), image.manifest.bytes);

    // skopeo deletes by digest, so every tag of that manifest goes.
    scene.skopeo(["delete", "--tls-verify=false", &format!("{package}:v1")]).succeeds();
    assert_eq!(scene.mona_looks().tags("mona/app"), ["v2"]);
    let gone = scene.skopeo(["inspect", "--tls-verify=false", &format!("{package}:v1")]).fails();
    gone.says("manifest unknown");
}

#[test]
fn skopeo_syncs_a_package_to_a_folder_and_back() {
    let scene = Scene::new();
    scene.skopeo_logs_in(&scene.mona);
    let tags = [("v1", Image::busybox()), ("v2", Image::busybox())];
    for (tag, image) in &tags {
        scene.has("mona/app", tag, image.clone());
    }

    let words = ["sync", "--src=docker", "--dest=dir", "--src-tls-verify=false"];
    scene.skopeo(words).args([&scene.name("mona/app"), "mirror"]).succeeds();
    let words = ["sync", "--src=dir", "--dest=docker", "--dest-tls-verify=false"];
    scene.skopeo(words).args(["mirror", &scene.name("mona/restored")]).succeeds();

    for (tag, image) in &tags {
        assert_eq!(scene.mona_looks().contents("mona/restored/app", tag), image.contents(), "{tag}");
    }
}

#[test]
fn skopeo_copies_an_artifact_by_its_digest() {
    let scene = Scene::new();
    let artifact = scene.has("mona/app", "notes", Artifact::new("application/vnd.example.notes", None));
    scene.skopeo_logs_in(&scene.mona);

    let raw = scene.skopeo(["inspect", "--raw", "--tls-verify=false"]);
    let raw = raw.arg(scene.skopeo_name(&format!("mona/app@{}", artifact.digest()))).succeeds();

    assert_eq!(raw.stdout.as_bytes(), artifact.manifest.bytes);
}

#[test]
fn skopeo_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let scene = Scene::new();
    let index = scene.has_a_public_index();
    scene.has_a_private_image();

    let open = scene.skopeo_name("mona/open:v1");
    scene.skopeo(["copy", "--all", "--src-tls-verify=false", &open, "oci:open:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("open"), Some("v1")), index.contents());

    let secret = scene.skopeo_name("mona/secret:v1");
    let inspect = ["inspect", "--tls-verify=false", &secret];
    scene.skopeo(inspect).fails().says("unauthorized");
    scene.skopeo_logs_in(&scene.hubot);
    scene.skopeo(inspect).fails().says("there is no package `mona/secret` that you may see");
    let wrong = ["login", "--tls-verify=false", "-u", "mona", "-p", "wrong", scene.house.address()];
    scene.skopeo(wrong).fails().says("invalid username/password");
}
