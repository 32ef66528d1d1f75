//! podman, with storage of its own.

use packhouse_tests::image::Parcel;
use packhouse_tests::{Finished, Image, Program, User, tool};

use crate::scene::Scene;

/// podman at a desk; its storage is unmounted when the story ends.
pub(crate) struct Podman {
    pub(crate) scene: Scene,
}

impl Podman {
    #[track_caller]
    fn new() -> Self {
        let scene = Scene::new();
        write_storage(&scene);
        Self { scene }
    }

    fn podman<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        with_storage(Program::new(tool("podman"), self.scene.desk()), &self.scene)
            .args(["--cgroup-manager=cgroupfs", "--events-backend=none", "--tmpdir"])
            .arg(self.scene.desk().join("libpod"))
            .args(words)
    }

    #[track_caller]
    fn log_in(&self, user: &User) -> Finished {
        let words = ["login", "--tls-verify=false", "-u", &user.name, "--password-stdin"];
        self.podman(words).arg(self.scene.house.address()).stdin(user.token.as_str()).succeeds()
    }

    #[track_caller]
    fn load(&self, name: &str) -> Image {
        let image = Image::busybox();
        image.write_docker_archive(&self.scene.desk().join("image.tar"), name);
        self.podman(["load", "--input", "image.tar"]).succeeds();
        image
    }

    #[track_caller]
    fn forget(&self) {
        self.podman(["rmi", "--all", "--force"]).succeeds();
    }

    /// The storage has `name`, and in it the file that only this image has.
    #[track_caller]
    fn holds(&self, name: &str, image: &Image) {
        let mounted = self.podman(["image", "mount", name]).succeeds();
        let secret = std::fs::read_to_string(format!("{}/secret.txt", mounted.text())).unwrap();
        self.podman(["image", "unmount", name]).succeeds();
        assert_eq!(secret, image.secret);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        packhouse_tests::engines::unmount_below(self.scene.desk());
    }
}

/// Settings that keep everything inside the desk, and say that the house speaks plain HTTP.
///
/// podman 4.3 forgets `--tls-verify=false` and `REGISTRY_AUTH_FILE` with `--all-tags`: hence a file that says
/// so, and credentials in their usual place below `XDG_RUNTIME_DIR`.
#[track_caller]
pub(crate) fn write_storage(scene: &Scene) {
    let at = |name: &str| scene.desk().join(name).display().to_string();
    let settings = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        at("graph"),
        at("run")
    );
    std::fs::write(scene.desk().join("storage.conf"), settings).unwrap();
    let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", scene.house.address());
    std::fs::write(scene.desk().join("registries.conf"), insecure).unwrap();
}

/// The variables that make podman and buildah use those settings.
pub(crate) fn with_storage(program: Program, scene: &Scene) -> Program {
    program
        .env("CONTAINERS_STORAGE_CONF", scene.desk().join("storage.conf"))
        .env("CONTAINERS_REGISTRIES_CONF", scene.desk().join("registries.conf"))
        .env("XDG_RUNTIME_DIR", scene.desk())
}

#[test]
fn podman_pushes_and_pulls_by_tag_and_by_digest() {
    let desk = Podman::new();
    desk.log_in(&desk.scene.mona).says("login succeeded").never_says(&desk.scene.mona.token);
    let name = desk.scene.name("mona/app:v1");
    let image = desk.load(&name);

    desk.podman(["push", "--tls-verify=false", "--digestfile=digest", &name]).succeeds();
    let digest = std::fs::read_to_string(desk.scene.desk().join("digest")).unwrap();
    let held = desk.scene.mona_looks().contents("mona/app", &digest);
    assert_eq!(desk.scene.mona_looks().digest_of("mona/app", "v1"), digest);
    assert_eq!(held.0.len(), 4, "a manifest, a config, two layers: {held:?}");

    desk.forget();
    let pulled = desk.podman(["pull", "--tls-verify=false", &name]).succeeds();
    let id = format!("sha256:{}", pulled.text());
    assert!(held.0.contains_key(&id), "podman's id of an image is the digest of its config: {id}");
    desk.holds(&name, &image);

    desk.forget();
    let by_digest = desk.scene.name(&format!("mona/app@{digest}"));
    desk.podman(["pull", "--tls-verify=false", &by_digest]).succeeds();
    desk.holds(&by_digest, &image);
}

#[test]
fn podman_pulls_all_tags() {
    let desk = Podman::new();
    desk.log_in(&desk.scene.mona);
    let images = ["v1", "v2", "v3"].map(|tag| (tag, desk.scene.has("mona/app", tag, Image::busybox())));

    desk.podman(["pull", "--all-tags", &desk.scene.name("mona/app")]).succeeds();

    for (tag, image) in &images {
        desk.holds(&desk.scene.name(&format!("mona/app:{tag}")), image);
    }
}

#[test]
fn podman_makes_a_manifest_for_two_platforms() {
    let desk = Podman::new();
    desk.log_in(&desk.scene.mona);
    let parts = ["amd64", "arm64"].map(|architecture| {
        let image = Image::busybox_for(architecture);
        image.write_oci_layout(&desk.scene.desk().join(architecture), "v1");
        image
    });
    let name = desk.scene.name("mona/app:v1");

    desk.podman(["manifest", "create", "list"]).succeeds();
    for part in &parts {
        desk.podman(["manifest", "add", "list", &format!("oci:{}:v1", part.architecture)]).succeeds();
    }
    let remote = format!("docker://{name}");
    desk.podman(["manifest", "push", "--all", "--format=oci", "--tls-verify=false", "list", &remote])
        .succeeds();

    let held = desk.scene.mona_looks().contents("mona/app", "v1");
    for part in &parts {
        assert_eq!(held.0[part.digest()], part.manifest.bytes);
    }
    for part in &parts {
        desk.forget();
        let platform = format!("--platform=linux/{}", part.architecture);
        desk.podman(["pull", "--tls-verify=false", &platform, &name]).succeeds();
        desk.holds(&name, part);
    }
}

#[test]
fn podman_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let desk = Podman::new();
    let index = desk.scene.has_a_public_index();
    desk.scene.has_a_private_image();

    let open = desk.scene.name("mona/open:v1");
    desk.podman(["pull", "--tls-verify=false", &open]).succeeds();
    desk.holds(&open, index.image_for("amd64"));

    let pull = ["pull", "--tls-verify=false", &desk.scene.name("mona/secret:v1")];
    desk.podman(pull).fails().says("unauthorized");
    desk.log_in(&desk.scene.hubot);
    desk.podman(pull).fails().says("there is no package `mona/secret` that you may see");
    desk.podman(["push", "--tls-verify=false", &open]).fails().says("denied");
    let wrong = ["login", "--tls-verify=false", "-u", "mona", "-p", "wrong", desk.scene.house.address()];
    desk.podman(wrong).fails().says("invalid username/password");
}
