//! OCI layouts, from and to.

use crate::scene::{Scene, number};
use packhouse_tests::engines::Dockerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Artifact, Contents, Image, Index};

#[test]
fn layouts_of_real_clients_are_imported() {
    let scene = Scene::new();
    let index = Index::of_two_platforms();
    index.write_oci_layout(&scene.desk().join("mine"), "v1");

    for (client, words) in [
        ("skopeo", &["copy", "--all", "oci:mine:v1", "oci:of-skopeo:v1"][..]),
        ("skopeo", &["copy", "--all", "oci:mine:v1", "oci-archive:of-skopeo.tar:v1"]),
        ("oras", &["cp", "--from-oci-layout", "--to-oci-layout", "mine:v1", "of-oras:v1"]),
    ] {
        scene.client(client, words.iter().copied()).succeeds();
    }
    scene.mona_looks().push("mona/source", "v1", &index);
    scene.house.make_public("mona/source");
    let source = scene.name("mona/source:v1");
    scene.client("crane", ["pull", "--format=oci", &source, "of-crane"]).succeeds();

    for (number, layout) in ["of-skopeo", "of-skopeo.tar", "of-oras", "of-crane"].iter().enumerate() {
        let path = scene.desk().join(layout);
        let package = format!("mona/app{number}");
        scene.imports(&["oci", path.to_str().unwrap(), &format!("{package}:v2")]);
        scene.holds(&package, "v2", &index);
        assert_eq!(scene.mona_looks().tags(&package), ["v2"], "{layout}");
    }
    let path = scene.desk().join("of-skopeo");
    scene.imports(&["oci", path.to_str().unwrap(), "mona/all"]);
    assert_eq!(scene.mona_looks().tags("mona/all"), ["v1"]);
}

#[test]
fn what_was_exported_is_read_by_real_clients_byte_for_byte() {
    let scene = Scene::new();
    let (index, image) = (Index::of_two_platforms(), Image::busybox());
    let door = scene.mona_looks();
    door.push("mona/app", "v1", &index);
    door.push("mona/app", "plain", &image);
    let bill = Artifact::new("application/spdx+json", Some(&index.images[0].manifest));
    door.push("mona/app", bill.digest(), &bill);
    let at = |name: &str| scene.desk().join(name).to_str().unwrap().to_owned();

    let done = scene.exports(&["oci", "mona/app", &at("all")]);
    assert_eq!((number(&done, "tags"), number(&done, "manifests")), (2, 5), "{done}");
    let all = scene.desk().join("all");
    assert_eq!(Contents::of_layout(&all, Some("v1")), index.contents());
    assert_eq!(Contents::of_layout(&all, Some("plain")), image.contents());
    // Again writes nothing.
    let again = scene.exports(&["oci", "mona/app", &at("all")]);
    assert_eq!((number(&again, "bytes"), number(&again, "manifests")), (0, 0), "{again}");

    scene.client("skopeo", ["copy", "--all", "oci:all:v1", "oci:by-skopeo:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-skopeo"), Some("v1")), index.contents());
    scene
        .client("oras", ["cp", "--from-oci-layout", "--to-oci-layout", "-r", "all:v1", "by-oras:v1"])
        .succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("by-oras"), Some("v1")), index.contents());
    // oras found what refers to one of the images.
    let blob = format!("by-oras/blobs/{}", bill.digest().replace(':', "/"));
    assert_eq!(std::fs::read(scene.desk().join(blob)).unwrap(), bill.manifest.bytes);

    scene.exports(&["oci", "mona/app:plain", &at("plain.tar")]);
    scene.client("skopeo", ["copy", "oci-archive:plain.tar:plain", "oci:from-tar:plain"]).succeeds();
    assert_eq!(Contents::of_layout(&scene.desk().join("from-tar"), Some("plain")), image.contents());
    assert!(
        !scene.desk().join("plain.tar.partial").exists()
            && !scene.desk().join("plain.tar.partial.json").exists()
    );
    scene.operator(&["export", "oci", "mona/app:plain", &at("plain.tar")]).fails().says("is there already");

    scene.exports(&["oci", "mona/app:plain", &at("plain"), "--no-referrers"]);
    scene.mona_looks().push("mona/target", "v0", &Image::random(10));
    let words = ["auth", "login", scene.house.address(), "-u", "mona", "--password-stdin"];
    scene.client("crane", words).stdin(scene.mona.token.as_str()).succeeds();
    scene.client("crane", ["push", "plain", &scene.name("mona/target:v1")]).succeeds();
    scene.holds("mona/target", "v1", &image);

    // And back by our own import: what refers is there too.
    let tar = at("one.tar");
    scene.exports(&["oci", "mona/app:v1", &tar]);
    scene.imports(&["oci", &tar, "octo/back:v1"]);
    scene.holds("octo/back", "v1", &index);
    scene.holds("octo/back", bill.digest(), &bill);
    let nothing = scene.operator(&["export", "oci", "mona/app:none", &at("none")]).fails();
    nothing.says("no manifest `none`");
    assert!(!scene.desk().join("none").exists());
}

#[test]
fn docker_and_podman_load_what_was_exported() {
    let scene = Scene::new();
    let index = Index::of_two_platforms();
    scene.mona_looks().push("mona/app", "v1", &index);
    let tar = scene.desk().join("app.tar").to_str().unwrap().to_owned();
    scene.exports(&["oci", "mona/app:v1", &tar]);

    let engine = Dockerd::start();
    engine.docker(scene.desk()).args(["load", "--input", "app.tar"]).succeeds().says("mona/app:v1");
    let words = ["image", "inspect", "--format", "{{.Id}}", "mona/app:v1"];
    let own = engine.docker(scene.desk()).args(words).succeeds();
    assert!(index.images.iter().any(|image| own.text().trim() == image.config.digest), "{own}");

    let root = scene.desk().join("podman");
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (store, run) = (at("store"), at("run"));
    let podman = ["--root", &store, "--runroot", &run, "--storage-driver", "vfs"];
    // Podman goes by the layout, whose tags have no name before them.
    scene.client("podman", podman).args(["load", "--input", "app.tar"]).succeeds().says("localhost/v1");
}

#[test]
fn what_is_no_layout_is_refused_in_words() {
    let scene = Scene::new();
    let at = |name: &str| scene.desk().join(name).to_str().unwrap().to_owned();
    let image = Image::random(10);
    image.write_docker_archive(&scene.desk().join("docker.tar"), "app:v1");
    std::fs::write(scene.desk().join("image.tar.gz"), packhouse_tests::image::gzip(b"x")).unwrap();
    std::fs::create_dir(scene.desk().join("empty")).unwrap();
    for (name, why) in [
        ("docker.tar", "it has no file `oci-layout`"),
        ("image.tar.gz", "`gzip --decompress` makes a tar of it"),
        ("empty", "it has no file `oci-layout`"),
        ("absent", "there is no `"),
    ] {
        scene.operator(&["import", "oci", &at(name), "mona/app:v1"]).fails().says(why);
    }
}
