//! The README's first minutes: start it, copy the two lines it prints, done.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::path::Path;

use packhouse_tests::engines::{Dockerd, unmount_below};
use packhouse_tests::image::Parcel;
use packhouse_tests::{House, Image, Program, tool};

/// The two lines that the first start prints: log in, push.
#[track_caller]
fn the_two_lines(house: &House) -> (String, String) {
    let line = |start: &str| {
        let lines = house.first_words().iter().map(|line| line.trim());
        let mut found = lines.filter(|line| line.starts_with(start));
        let line =
            found.next().unwrap_or_else(|| panic!("no line `{start} …` in {:#?}", house.first_words()));
        line.to_owned()
    };
    (line("echo "), line("docker push "))
}

/// The image that the push line names.
#[track_caller]
fn image_in(push: &str) -> &str {
    push.split(' ').nth(2).expect("an image to push")
}

/// Types a line at a shell.
fn type_in(program: Program, line: &str) -> Program {
    program.args(["-c", line])
}

#[test]
fn the_lines_work_as_printed_with_docker() {
    let house = House::start();
    let engine = Dockerd::start();
    let desk = tempfile::tempdir().unwrap();
    let (login, push) = the_two_lines(&house);

    type_in(engine.client("sh", desk.path()), &login).succeeds().says("login succeeded");
    let image = Image::busybox();
    image.write_docker_archive(&desk.path().join("image.tar"), image_in(&push));
    engine.docker(desk.path()).args(["load", "--input", "image.tar"]).succeeds();
    type_in(engine.client("sh", desk.path()), &push).succeeds();

    let (package, tag) = package_and_tag(&house, image_in(&push));
    assert_eq!(
        house.caller(&house.admin()).contents(package, tag).0[&image.config.digest],
        image.config.bytes
    );
}

#[test]
fn the_lines_work_with_podman_in_place_of_docker() {
    let house = House::start();
    let desk = tempfile::tempdir().unwrap();
    let _mounts = Unmount(desk.path());
    let (login, push) = the_two_lines(&house);
    // Docker takes plain HTTP from this machine as given; podman wants it in its settings.
    let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", house.address());
    std::fs::write(desk.path().join("registries.conf"), insecure).unwrap();
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        desk.path().display()
    );
    std::fs::write(desk.path().join("storage.conf"), storage).unwrap();
    let shell = || {
        Program::new(tool("sh"), desk.path())
            .env("CONTAINERS_REGISTRIES_CONF", desk.path().join("registries.conf"))
            .env("CONTAINERS_STORAGE_CONF", desk.path().join("storage.conf"))
            .env("REGISTRY_AUTH_FILE", desk.path().join("auth.json"))
            .env("XDG_RUNTIME_DIR", desk.path())
    };

    type_in(shell(), &login.replace("docker", "podman")).succeeds().says("login succeeded");
    let image = Image::busybox();
    image.write_docker_archive(&desk.path().join("image.tar"), image_in(&push));
    type_in(shell(), "podman load --input image.tar").succeeds();
    type_in(shell(), &push.replace("docker", "podman")).succeeds();

    let (package, tag) = package_and_tag(&house, image_in(&push));
    assert_eq!(house.caller(&house.admin()).contents(package, tag).0.len(), 4);
}

#[test]
fn the_login_line_works_with_skopeo_in_place_of_docker_and_so_does_the_image_of_the_push_line() {
    let house = House::start();
    let desk = tempfile::tempdir().unwrap();
    let (login, push) = the_two_lines(&house);
    let shell =
        || Program::new(tool("sh"), desk.path()).env("REGISTRY_AUTH_FILE", desk.path().join("auth.json"));

    // Docker takes plain HTTP from this machine as given; skopeo wants to be told.
    let login = login.replace("docker login", "skopeo login --tls-verify=false");
    type_in(shell(), &login).succeeds().says("login succeeded");
    let image = Image::busybox();
    image.write_oci_layout(&desk.path().join("layout"), "v1");
    type_in(
        shell(),
        &format!("skopeo copy --dest-tls-verify=false oci:layout:v1 docker://{}", image_in(&push)),
    )
    .succeeds();

    let (package, tag) = package_and_tag(&house, image_in(&push));
    assert_eq!(house.caller(&house.admin()).contents(package, tag), image.contents());
}

#[test]
fn the_token_is_printed_once_and_the_second_start_only_says_where_it_listens() {
    let mut house = House::start();
    let admin = house.admin();

    house.close();
    house.open();

    let words = house.words().join("\n");
    assert!(words.starts_with("listening on "), "{words}");
    assert!(!words.contains("phr_"), "{words}");
    assert_eq!(house.caller(&admin).get("/v2/").status, 200, "the first token goes on working");
}

#[track_caller]
fn package_and_tag<'a>(house: &House, image: &'a str) -> (&'a str, &'a str) {
    let path = image.strip_prefix(house.address()).expect("an image of this house");
    path.trim_start_matches('/').rsplit_once(':').expect("a tag")
}

/// podman leaves its storage mounted.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        unmount_below(self.0);
    }
}
