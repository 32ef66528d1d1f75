//! containerd through `ctr`, which never logs in: it hands its credentials to each command.

use packhouse_tests::engines::Containerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Contents, Image, Index, Program, tool};

use crate::scene::Scene;

/// A scene with a containerd; the engine is dropped first.
struct Ctr {
    engine: Containerd,
    scene: Scene,
}

impl Ctr {
    #[track_caller]
    fn new() -> Self {
        Self { scene: Scene::new(), engine: Containerd::start(false) }
    }

    fn images<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        self.engine.ctr(self.scene.desk()).arg("images").args(words)
    }

    /// Gives containerd what was made here, under a name.
    #[track_caller]
    fn import(&self, parcel: &impl Parcel, package: &str, tag: &str) {
        parcel.write_oci_layout(&self.scene.desk().join("layout"), tag);
        self.tar(&["-cf", "layout.tar", "-C", "layout", "."]);
        let name = self.scene.name(package);
        self.images(["import", "--all-platforms", "--no-unpack", "--base-name", &name, "layout.tar"])
            .succeeds();
    }

    /// What containerd holds under a name, every platform of it.
    #[track_caller]
    fn export(&self, name: &str, folder: &str) -> Contents {
        self.images(["export", "--all-platforms", "--skip-manifest-json", "export.tar", name]).succeeds();
        std::fs::create_dir(self.scene.desk().join(folder)).unwrap();
        self.tar(&["-xf", "export.tar", "-C", folder]);
        Contents::of_layout(&self.scene.desk().join(folder), None)
    }

    #[track_caller]
    fn tar(&self, words: &[&str]) {
        Program::new(tool("tar"), self.scene.desk()).args(words).succeeds();
    }

    /// Every image and every byte goes; the garbage collection is done when this returns.
    #[track_caller]
    fn forget(&self) {
        for name in self.images(["ls", "--quiet"]).succeeds().lines() {
            self.images(["rm", "--sync", name]).succeeds();
        }
    }
}

#[test]
fn ctr_pushes_and_pulls_by_tag_and_by_digest() {
    let desk = Ctr::new();
    let image = Image::busybox();
    desk.import(&image, "mona/app", "v1");
    let name = desk.scene.name("mona/app:v1");
    let mona = desk.scene.mona.credentials();

    desk.images(["push", "--plain-http", "--user", &mona, &name]).succeeds();
    assert_eq!(desk.scene.mona_looks().contents("mona/app", "v1"), image.contents());

    desk.forget();
    desk.images(["pull", "--plain-http", "--user", &mona, &name]).succeeds();
    assert_eq!(desk.export(&name, "by-tag"), image.contents());

    desk.forget();
    let by_digest = desk.scene.name(&format!("mona/app@{}", image.digest()));
    desk.images(["pull", "--plain-http", "--user", &mona, &by_digest]).succeeds();
    assert_eq!(desk.export(&by_digest, "by-digest"), image.contents());
}

#[test]
fn ctr_pushes_and_pulls_all_platforms() {
    let desk = Ctr::new();
    let index = Index::of_two_platforms();
    desk.import(&index, "mona/app", "v1");
    let name = desk.scene.name("mona/app:v1");
    let mona = desk.scene.mona.credentials();

    desk.images(["push", "--plain-http", "--user", &mona, &name]).succeeds();
    assert_eq!(desk.scene.mona_looks().contents("mona/app", "v1"), index.contents());

    desk.forget();
    desk.images(["pull", "--plain-http", "--all-platforms", "--user", &mona, &name]).succeeds();
    assert_eq!(desk.export(&name, "back"), index.contents());
}

#[test]
fn ctr_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let desk = Ctr::new();
    let index = desk.scene.has_a_public_index();
    desk.scene.has_a_private_image();

    let open = desk.scene.name("mona/open:v1");
    desk.images(["pull", "--plain-http", "--all-platforms", &open]).succeeds();
    assert_eq!(desk.export(&open, "open"), index.contents());

    let secret = desk.scene.name("mona/secret:v1");
    let hubot = desk.scene.hubot.credentials();
    desk.images(["pull", "--plain-http", &secret]).fails().says("authorization failed");
    desk.images(["pull", "--plain-http", "--user", &hubot, &secret]).fails().says("not found");
    // What is there already is not pushed again, so the stranger needs something of his own to push.
    desk.import(&Image::busybox(), "mona/open", "v2");
    let push = ["push", "--plain-http", "--user", &hubot];
    desk.images(push).arg(desk.scene.name("mona/open:v2")).fails().says("403 Forbidden");
}
