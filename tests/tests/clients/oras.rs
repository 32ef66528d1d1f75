//! oras, for artifacts that are no images, and what refers to what.

use packhouse_tests::image::{Parcel, random};
use packhouse_tests::{Contents, Image, Index, Program, User, tool};

use crate::scene::Scene;

impl Scene {
    fn oras<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(tool("oras"), self.desk()).env("DOCKER_CONFIG", self.desk().join("docker")).args(words)
    }

    #[track_caller]
    fn oras_logs_in(&self, user: &User) {
        let words = ["login", "--plain-http", self.house.address(), "-u", &user.name, "--password-stdin"];
        self.oras(words).stdin(user.token.as_str()).succeeds().says("login succeeded");
    }
}

#[test]
fn oras_pushes_and_pulls_files_by_tag_and_by_digest() {
    let scene = Scene::new();
    scene.oras_logs_in(&scene.mona);
    let (notes, noise) = (b"a few words\n".to_vec(), random(3_000_000));
    std::fs::write(scene.desk().join("notes.txt"), &notes).unwrap();
    std::fs::write(scene.desk().join("noise.bin"), &noise).unwrap();
    let name = scene.name("mona/files:v1");

    let words = ["push", "--plain-http", "--format=json", "--artifact-type=application/vnd.example.files"];
    let pushed = scene.oras(words).args([&name, "notes.txt:text/plain", "noise.bin"]).succeeds().json();
    let digest = pushed["digest"].as_str().unwrap();
    assert_eq!(scene.mona_looks().digest_of("mona/files", "v1"), digest);

    for (folder, name) in [("by-tag", name), ("by-digest", scene.name(&format!("mona/files@{digest}")))] {
        scene.oras(["pull", "--plain-http", "--output", folder, &name]).succeeds();
        assert_eq!(std::fs::read(scene.desk().join(folder).join("notes.txt")).unwrap(), notes);
        assert_eq!(std::fs::read(scene.desk().join(folder).join("noise.bin")).unwrap(), noise);
    }
}

#[test]
fn oras_attaches_and_discovers() {
    let scene = Scene::new();
    scene.oras_logs_in(&scene.mona);
    let image = scene.has("mona/app", "v1", Image::busybox());
    let name = scene.name("mona/app:v1");
    std::fs::write(scene.desk().join("bill.json"), r#"{"parts":[]}"#).unwrap();
    std::fs::write(scene.desk().join("seal"), "sealed").unwrap();

    for (kind, file) in [("bill", "bill.json"), ("seal", "seal")] {
        let kind = format!("--artifact-type=application/vnd.example.{kind}");
        scene.oras(["attach", "--plain-http", &kind, &name, file]).succeeds();
    }

    let all = scene.oras(["discover", "--plain-http", "--format=json", &name]).succeeds().json();
    assert_eq!(all["referrers"].as_array().map(Vec::len), Some(2), "{all}");
    let words = ["discover", "--plain-http", "--format=json", "--artifact-type=application/vnd.example.seal"];
    let seals = scene.oras(words).arg(&name).succeeds().json();
    assert_eq!(seals["referrers"].as_array().map(Vec::len), Some(1), "{seals}");
    let seal = seals["referrers"][0]["reference"].as_str().unwrap();
    scene.oras(["pull", "--plain-http", "--output", "seal-back", seal]).succeeds();
    assert_eq!(std::fs::read(scene.desk().join("seal-back/seal")).unwrap(), b"sealed");
    // The registry lists referrers itself: no tag was needed for them, and the image is untouched.
    assert_eq!(scene.mona_looks().tags("mona/app"), ["v1"]);
    assert_eq!(scene.mona_looks().contents("mona/app", "v1"), image.contents());
}

#[test]
fn oras_copies_an_index_with_all_it_reaches() {
    let scene = Scene::new();
    scene.oras_logs_in(&scene.mona);
    let index = Index::of_two_platforms();
    index.write_oci_layout(&scene.desk().join("mine"), "v1");
    let name = scene.name("mona/app:v1");

    scene.oras(["cp", "--from-oci-layout", "--to-plain-http", "mine:v1", &name]).succeeds();
    assert_eq!(scene.mona_looks().contents("mona/app", "v1"), index.contents());

    let both = ["cp", "--from-plain-http", "--to-plain-http"];
    scene.oras(both).args([&name, &scene.name("mona/copy:v1")]).succeeds();
    assert_eq!(scene.mona_looks().contents("mona/copy", "v1"), index.contents());
    scene.oras(["cp", "--from-plain-http", "--to-oci-layout", &name, "back:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("back"), Some("v1")), index.contents());
}

#[test]
fn oras_tags_lists_and_deletes() {
    let scene = Scene::new();
    scene.oras_logs_in(&scene.mona);
    let image = scene.has("mona/app", "v1", Image::busybox());
    let name = scene.name("mona/app:v1");

    scene.oras(["tag", "--plain-http", &name, "stable", "latest"]).succeeds();
    let tags = scene.oras(["repo", "tags", "--plain-http", &scene.name("mona/app")]).succeeds();
    assert_eq!(tags.lines(), ["latest", "stable", "v1"]);
    let all = scene.oras(["repo", "ls", "--plain-http", scene.house.address()]).succeeds();
    assert_eq!(all.lines(), ["mona/app"]);
    let resolved = scene.oras(["resolve", "--plain-http", &name]).succeeds();
    assert_eq!(resolved.text(), image.digest());

    scene.oras(["manifest", "delete", "--plain-http", "--force", &name]).succeeds();
    scene.oras(["manifest", "fetch", "--plain-http", &name]).fails().says("not found");
}

#[test]
fn oras_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let scene = Scene::new();
    let index = scene.has_a_public_index();
    scene.has_a_private_image();

    let open = scene.name("mona/open:v1");
    scene.oras(["cp", "--from-plain-http", "--to-oci-layout", &open, "open:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("open"), Some("v1")), index.contents());

    let secret = scene.name("mona/secret:v1");
    let fetch = ["manifest", "fetch", "--plain-http", &secret];
    scene.oras(fetch).fails().says("unauthorized");
    scene.oras_logs_in(&scene.hubot);
    scene.oras(fetch).fails().says("not found");
    scene.oras(["manifest", "delete", "--plain-http", "--force", &open]).fails().says("denied");
}
