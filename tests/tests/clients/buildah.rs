//! buildah, which builds what it pushes.

use packhouse_tests::image::{Parcel, random_hex};
use packhouse_tests::{Program, User, tool};

use crate::podman::{with_storage, write_storage};
use crate::scene::Scene;

/// buildah at a desk; its storage is unmounted when the story ends.
struct Buildah {
    scene: Scene,
}

impl Buildah {
    #[track_caller]
    fn new() -> Self {
        let scene = Scene::new();
        write_storage(&scene);
        Self { scene }
    }

    fn buildah<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        with_storage(Program::new(tool("buildah"), self.scene.desk()), &self.scene).args(words)
    }

    #[track_caller]
    fn log_in(&self, user: &User) {
        let words = ["login", "--tls-verify=false", "-u", &user.name, "--password-stdin"];
        let login = self.buildah(words).arg(self.scene.house.address()).stdin(user.token.as_str());
        login.succeeds().says("login succeeded");
    }

    /// Builds an image from nothing with busybox and one file, and returns what is in the file.
    #[track_caller]
    fn builds(&self, name: &str, architecture: &str) -> String {
        let secret = random_hex(32);
        std::fs::write(self.scene.desk().join("secret.txt"), &secret).unwrap();
        let container = self.buildah(["from", "scratch"]).succeeds();
        let container = container.text();
        self.buildah(["copy", container]).arg(tool("busybox")).arg("/bin/busybox").succeeds();
        self.buildah(["copy", container, "secret.txt", "/secret.txt"]).succeeds();
        self.buildah(["config", "--arch", architecture, "--cmd", "/bin/busybox", container]).succeeds();
        self.buildah(["commit", "--rm", container, name]).succeeds();
        secret
    }

    #[track_caller]
    fn forget(&self) {
        self.buildah(["rmi", "--all", "--force"]).succeeds();
    }

    /// The file in the image `name`, read through a container of it.
    #[track_caller]
    fn secret_in(&self, name: &str) -> String {
        let container = self.buildah(["from", "--pull-never", name]).succeeds();
        let container = container.text();
        let folder = self.buildah(["mount", container]).succeeds();
        let secret = std::fs::read_to_string(format!("{}/secret.txt", folder.text())).unwrap();
        self.buildah(["umount", container]).succeeds();
        self.buildah(["rm", container]).succeeds();
        secret
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        packhouse_tests::engines::unmount_below(self.scene.desk());
    }
}

#[test]
fn buildah_builds_pushes_and_pulls_by_tag_and_by_digest() {
    let desk = Buildah::new();
    desk.log_in(&desk.scene.mona);
    let name = desk.scene.name("mona/app:v1");
    let secret = desk.builds(&name, "amd64");

    desk.buildah(["push", "--tls-verify=false", "--digestfile=digest", &name]).succeeds();
    let digest = std::fs::read_to_string(desk.scene.desk().join("digest")).unwrap();
    let held = desk.scene.mona_looks().contents("mona/app", &digest);
    assert_eq!(desk.scene.mona_looks().digest_of("mona/app", "v1"), digest);

    desk.forget();
    let pulled = desk.buildah(["pull", "--tls-verify=false", &name]).succeeds();
    let id = format!("sha256:{}", pulled.lines().last().unwrap());
    assert!(held.0.contains_key(&id), "buildah's id of an image is the digest of its config: {id}");
    assert_eq!(desk.secret_in(&name), secret);

    desk.forget();
    let by_digest = desk.scene.name(&format!("mona/app@{digest}"));
    desk.buildah(["pull", "--tls-verify=false", &by_digest]).succeeds();
    assert_eq!(desk.secret_in(&by_digest), secret);
}

#[test]
fn buildah_pulls_all_tags() {
    let desk = Buildah::new();
    desk.log_in(&desk.scene.mona);
    let names = ["v1", "v2"].map(|tag| desk.scene.name(&format!("mona/app:{tag}")));
    let secrets = names.each_ref().map(|name| desk.builds(name, "amd64"));
    for name in &names {
        desk.buildah(["push", "--tls-verify=false", name]).succeeds();
    }

    desk.forget();
    desk.buildah(["pull", "--all-tags", "--tls-verify=false", &desk.scene.name("mona/app")]).succeeds();
    for (name, secret) in names.iter().zip(&secrets) {
        assert_eq!(&desk.secret_in(name), secret);
    }
}

#[test]
fn buildah_makes_a_manifest_for_two_platforms() {
    let desk = Buildah::new();
    desk.log_in(&desk.scene.mona);
    let name = desk.scene.name("mona/app:v1");
    let secrets = ["amd64", "arm64"].map(|architecture| {
        let secret = desk.builds(&format!("localhost/part:{architecture}"), architecture);
        (architecture, secret)
    });

    desk.buildah(["manifest", "create", "list"]).succeeds();
    for (architecture, _) in &secrets {
        let part = format!("localhost/part:{architecture}");
        desk.buildah(["manifest", "add", "--arch", architecture, "list", &part]).succeeds();
    }
    let remote = format!("docker://{name}");
    desk.buildah(["manifest", "push", "--all", "--tls-verify=false", "list", &remote]).succeeds();

    let held = desk.scene.mona_looks().contents("mona/app", "v1");
    assert_eq!(held.0.len(), 1 + 2 * 3, "an index; two manifests, configs and layers: {held:?}");
    for (architecture, secret) in &secrets {
        desk.forget();
        let arch = format!("--arch={architecture}");
        desk.buildah(["pull", "--tls-verify=false", &arch, &name]).succeeds();
        assert_eq!(&desk.secret_in(&name), secret);
    }
}

#[test]
fn buildah_pulls_what_is_public_without_credentials_and_is_refused_the_rest() {
    let desk = Buildah::new();
    let index = desk.scene.has_a_public_index();
    desk.scene.has_a_private_image();

    let open = desk.scene.name("mona/open:v1");
    desk.buildah(["pull", "--tls-verify=false", &open]).succeeds();
    assert_eq!(desk.secret_in(&open), index.image_for("amd64").secret);
    assert_ne!(index.digest(), index.image_for("amd64").digest());

    let pull = ["pull", "--tls-verify=false", &desk.scene.name("mona/secret:v1")];
    desk.buildah(pull).fails().says("unauthorized");
    desk.log_in(&desk.scene.hubot);
    desk.buildah(pull).fails().says("there is no package `mona/secret` that you may see");
    desk.buildah(["push", "--tls-verify=false", &open]).fails().says("denied");
}
