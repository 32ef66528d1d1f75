//! The same over HTTPS, with a certificate that each client is told to trust.

use packhouse_tests::engines::Dockerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Contents, House, Image, Program, tool};

#[test]
fn skopeo_and_oras_verify_the_certificate_and_refuse_an_unknown_one() {
    let house = House::builder().tls().start();
    let mona = house.user("mona");
    let desk = tempfile::tempdir().unwrap();
    let image = Image::busybox();
    image.write_oci_layout(&desk.path().join("mine"), "v1");
    let trusted = desk.path().join("trusted");
    std::fs::create_dir(&trusted).unwrap();
    std::fs::copy(house.certificate(), trusted.join("house.crt")).unwrap();
    let name = format!("{}/mona/app:v1", house.address());
    let credentials = mona.credentials();
    let push = || {
        let words = ["copy", "--dest-creds", &credentials, "oci:mine:v1"];
        Program::new(tool("skopeo"), desk.path()).args(words).arg(format!("docker://{name}"))
    };

    push().fails().says("certificate");
    push().arg("--dest-cert-dir").arg(&trusted).succeeds();
    assert_eq!(house.caller(&mona).contents("mona/app", "v1"), image.contents());

    let words = ["cp", "--from-username", "mona", "--from-password", &mona.token, "--to-oci-layout"];
    let pull = Program::new(tool("oras"), desk.path()).env("DOCKER_CONFIG", desk.path()).args(words);
    pull.arg("--from-ca-file").arg(house.certificate()).args([&name, "back:v1"]).succeeds();
    assert_eq!(Contents::of_layout(&desk.path().join("back"), Some("v1")), image.contents());
}

#[test]
fn docker_speaks_https_where_it_is_spoken() {
    let house = House::builder().tls().start();
    let mona = house.user("mona");
    let engine = Dockerd::start();
    let desk = tempfile::tempdir().unwrap();
    let docker = || engine.docker(desk.path());
    let name = format!("{}/mona/app:v1", house.address());

    let words = ["login", house.address(), "-u", "mona", "--password-stdin"];
    docker().args(words).stdin(mona.token.as_str()).succeeds().says("login succeeded");
    let image = Image::busybox();
    image.write_docker_archive(&desk.path().join("image.tar"), &name);
    docker().args(["load", "--input", "image.tar"]).succeeds();
    docker().args(["push", &name]).succeeds();
    docker().args(["rmi", &name]).succeeds();
    docker().args(["pull", &name]).succeeds();

    let id = docker().args(["image", "inspect", "--format", "{{.Id}}", &name]).succeeds();
    assert_eq!(id.text(), image.config.digest);
}
