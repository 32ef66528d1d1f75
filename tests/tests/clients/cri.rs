//! A Kubernetes node: containerd's CRI with the credentials of an image pull secret.

use packhouse_tests::cri::{credentials_for, pull, pull_secret};
use packhouse_tests::engines::Containerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Contents, Image, Program, tool};

use crate::scene::Scene;

#[test]
fn a_node_pulls_a_private_image_with_a_pull_secret_and_not_without() {
    let scene = Scene::new();
    let node = Containerd::start(true);
    let image = scene.has("mona/app", "v1", Image::busybox());
    let name = scene.name("mona/app:v1");

    let refused = pull(&node.socket(), &name, None).unwrap_err();
    assert!(refused.contains("authorization failed"), "{refused}");

    let file = scene.desk().join("docker/config.json");
    scene.crane_logs_in(&scene.hubot);
    let secret = pull_secret(&file);
    let refused = pull(&node.socket(), &name, credentials_for(&name, &secret)).unwrap_err();
    assert!(refused.contains("not found"), "{refused}");

    scene.crane_logs_in(&scene.mona);
    let secret = pull_secret(&file);
    let id = pull(&node.socket(), &name, credentials_for(&name, &secret)).unwrap();
    assert_eq!(id, image.config.digest, "a runtime's id of an image is the digest of its config");

    let by_digest = scene.name(&format!("mona/app@{}", image.digest()));
    assert_eq!(pull(&node.socket(), &by_digest, credentials_for(&by_digest, &secret)).unwrap(), id);

    let export = ["--namespace=k8s.io", "images", "export", "--skip-manifest-json", "node.tar", &name];
    node.ctr(scene.desk()).args(export).succeeds();
    std::fs::create_dir(scene.desk().join("node")).unwrap();
    Program::new(tool("tar"), scene.desk()).args(["-xf", "node.tar", "-C", "node"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("node"), None), image.contents());
}

#[test]
fn a_node_pulls_a_public_image_for_its_own_platform_without_a_secret() {
    let scene = Scene::new();
    let node = Containerd::start(true);
    let index = scene.has_a_public_index();

    let id = pull(&node.socket(), &scene.name("mona/open:v1"), None).unwrap();

    assert_eq!(id, index.image_for("amd64").config.digest);
}
