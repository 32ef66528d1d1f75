//! docker-compose, which speaks through the engine with docker's credentials.

use packhouse_tests::Image;
use packhouse_tests::engines::Dockerd;

use crate::scene::Scene;

#[test]
fn compose_starts_a_service_from_a_private_image() {
    let scene = Scene::new();
    let engine = Dockerd::start();
    let image = scene.has("mona/app", "v1", Image::busybox());
    let file = format!(
        "services:\n  app:\n    image: {}\n    network_mode: none\n    command: [/bin/busybox, cat, /secret.txt]\n",
        scene.name("mona/app:v1")
    );
    std::fs::write(scene.desk().join("docker-compose.yml"), file).unwrap();
    let compose = || engine.client("docker-compose", scene.desk()).args(["--project-name", "story"]);

    compose().args(["pull"]).fails().says("pull access denied");

    let words = ["login", scene.house.address(), "-u", "mona", "--password-stdin"];
    engine.docker(scene.desk()).args(words).stdin(scene.mona.token.as_str()).succeeds();
    compose().args(["pull"]).succeeds();
    let ran = compose().args(["up", "--no-color", "--abort-on-container-exit"]).succeeds();
    ran.says(&image.secret);
    compose().args(["down"]).succeeds();
}
