//! From a registry that runs, by its address.

use crate::old::{Old, tag_of};
use crate::scene::{Scene, number};
use packhouse_tests::House;
use packhouse_tests::image::Parcel;

#[test]
fn a_registry_with_a_password_is_imported_as_a_whole() {
    let scene = Scene::new();
    let old = Old::fill(&scene);
    let password = old.registry.password_file(scene.desk());
    let words = ["import", "registry", old.registry.address(), "--to", "octo"];

    let refused = scene.operator(&words).fails();
    refused.says("listing the repositories: the registry answered 401");
    let refused =
        scene.operator(&words).args(["--user", "old"]).env("PACKHOUSE_SOURCE_PASSWORD", "wrong").fails();
    refused.says("401");

    let file = password.to_str().unwrap();
    let done = scene.operator(&words).args(["--user", "old", "--password-file", file]).succeeds().json();
    assert_eq!((number(&done, "refused"), number(&done, "repositories")), (0, 3), "{done}");
    old.is_here(&scene);
    let again = scene.operator(&words).args(["--user", "old", "--password-file", "-"]);
    let again = again.stdin("swordfish\n").succeeds().json();
    assert_eq!(
        (number(&again, "manifests"), number(&again, "bytes"), number(&again, "tags")),
        (0, 0, 0),
        "{again}"
    );
}

#[test]
fn one_image_brings_along_what_refers_to_it() {
    let scene = Scene::new();
    let old = Old::fill(&scene);
    let file = old.registry.password_file(scene.desk());
    let address = format!("{}/team/tool:v1", old.registry.address());
    let words = ["registry", &address, "--as-package", "mona/tool", "--user", "old", "--password-file"];
    let done = scene.imports(&[words.as_slice(), &[file.to_str().unwrap()]].concat());
    scene.holds("mona/tool", "v1", &old.image);
    // Cosign's tag; the list under the other one is the API's here.
    let signature = tag_of(old.image.digest(), ".sig");
    assert_eq!(scene.mona_looks().tags("mona/tool"), [signature.as_str(), "v1"], "{done}");
    let referrers = format!("/v2/mona/tool/referrers/{}", old.image.digest());
    let referrers = scene.mona_looks().get(&referrers).json();
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1), "{referrers}");
}

#[test]
fn another_house_is_imported_with_its_tokens_and_its_referrers() {
    let (scene, other) = (Scene::new(), House::start());
    let (hubot, index) = (other.user("hubot"), packhouse_tests::Index::of_two_platforms());
    let door = other.caller(&hubot);
    door.push("hubot/app", "v1", &index);
    let bill = packhouse_tests::Artifact::new("application/spdx+json", Some(&index.images[1].manifest));
    door.push("hubot/app", bill.digest(), &bill);

    let address = format!("{}/hubot/app", other.address());
    let refused = scene.operator(&["import", "registry", &address, "--as-package", "mona/app"]).fails();
    refused.says("401");
    for (what, why) in
        [("/hubot/none", "there is no such repository"), ("/hubot/app:v2", "`v2` is not in the source")]
    {
        let words =
            ["import", "registry", &(other.address().to_owned() + what), "--to", "mona", "--user", "hubot"];
        scene.operator(&words).env("PACKHOUSE_SOURCE_PASSWORD", &hubot.token).fails().says(why);
    }
    let words = ["import", "registry", other.address(), "--as-package", "mona/app"];
    scene.operator(&words).fails().says("several repositories cannot become one package");
    let words = ["import", "registry", &address, "--as-package", "mona/app", "--user", "hubot"];
    let done = scene.operator(&words).env("PACKHOUSE_SOURCE_PASSWORD", &hubot.token).succeeds().json();
    assert_eq!(number(&done, "refused"), 0, "{done}");
    scene.holds("mona/app", "v1", &index);
    scene.holds("mona/app", bill.digest(), &bill);
}

#[test]
fn what_is_no_registry_is_refused_in_words() {
    let scene = Scene::new();
    for (address, why) in [
        ("ftp://example.org", "only https and http are known"),
        ("http://registry.example.org/app", "--plain-http allows that"),
        ("user:password@registry.example.org", "give it with --user"),
        ("registry.example.org/App", "lower case letters"),
        ("registry.example.org/app@sha256:12", "names no registry"),
    ] {
        scene.operator(&["import", "registry", address, "--to", "mona"]).fails().says(why);
    }
}
