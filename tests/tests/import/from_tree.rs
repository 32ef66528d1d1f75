//! From the folder of Debian's docker-registry.

use crate::old::Old;
use crate::scene::{Scene, number};
use packhouse_tests::image::Parcel;
use packhouse_tests::{Catalog, Distribution, House, Image, Store};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn every_image_of_a_tree_is_served() {
    let scene = Scene::new();
    let old = Old::fill(&scene);
    let root = old.registry.root();
    let root = root.to_str().unwrap();

    let looked = scene.imports(&["distribution", root, "--to", "octo", "--dry-run"]);
    assert!(number(&looked, "manifests") >= 8 && number(&looked, "bytes") > 1_000_000, "{looked}");
    assert_eq!(scene.house.operator(["package", "list"]).as_array().map(Vec::len), Some(0));

    let done = scene.imports(&["distribution", root, "--to", "octo"]);
    assert_eq!(number(&done, "repositories"), 3, "{done}");
    old.is_here(&scene);
    // What has no tag came along, and is found by what it refers to.
    scene.holds("octo/team/web/app", old.untagged.digest(), &old.untagged);
    scene.holds("octo/team/tool", old.bill.digest(), &old.bill);
    let referrers = format!("/v2/octo/team/tool/referrers/{}", old.image.digest());
    let referrers = scene.mona_looks().get(&referrers).json();
    let listed = referrers["manifests"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.filter_map(|entry| entry["digest"].as_str()).collect();
    assert!(listed.len() == 2 && listed.contains(&old.bill.digest()), "{referrers}");

    // Again: all is there, nothing is copied, no tag moves.
    let again = scene.imports(&["distribution", root, "--to", "octo"]);
    for name in ["manifests", "blobs", "bytes", "tags"] {
        assert_eq!(number(&again, name), 0, "{name}: {again}");
    }
    for name in ["tags", "manifests"] {
        assert_eq!(number(&again, &format!("{name}_present")), number(&done, name), "{name}: {again}");
    }
    let history = scene.house.operator(["tag", "history", "octo/team/tool", "v1"]);
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");
    assert_eq!(history[0]["moved_by"], "mona", "{history}");
}

#[test]
fn a_tree_is_imported_on_postgres_and_a_bucket() {
    let scene = Scene::of(House::builder().catalog(Catalog::Postgres).store(Store::S3).start());
    let old = Old::fill(&scene);
    let root = old.registry.root();
    scene.imports(&["distribution", root.to_str().unwrap(), "--to", "octo"]);
    old.is_here(&scene);
    let path = scene.desk().join("out");
    scene.exports(&["oci", "octo/team/web/app", path.to_str().unwrap()]);
    assert_eq!(packhouse_tests::Contents::of_layout(&path, Some("v1")), old.index.contents());
    // The catalog was asked to look at what came, and could.
    let log = scene.house.log();
    assert!(!log.contains("statistics"), "{log}");
}

#[test]
fn the_command_line_imports_without_a_server() {
    let mut scene = Scene::new();
    let old = Old::fill(&scene);
    scene.house.close();
    let root = old.registry.root();
    let words = ["import", "distribution", root.to_str().unwrap(), "--map", "team=octo/team", "--as", "mona"];
    let done = scene.operator(&words).args(["--visibility", "public"]).succeeds().json();
    assert_eq!(number(&done, "refused"), 0, "{done}");
    scene.house.open();
    old.is_here(&scene);
    let anyone = scene.house.nobody().with_scope("octo/team/web/app", "pull");
    assert_eq!(anyone.contents("octo/team/web/app", "latest"), old.index.contents());
}

#[test]
fn names_without_an_account_are_refused_and_the_rest_goes_on() {
    let scene = Scene::new();
    let registry = Distribution::start();
    let image = Image::random(1000);
    for name in ["alpine", "nobody/app", "octo/app", "robots/app"] {
        registry.caller().push(name, "v1", &image);
    }
    let root = registry.root();
    let words = ["import", "distribution", root.to_str().unwrap()];
    let done = scene.operator(&words).fails();
    done.says("alpine: `alpine` is no path of a package here").says("--to NAMESPACE");
    done.says("nobody/app: there is no account `nobody`").says("3 things could not be taken");
    let summary: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(summary["problems"].as_array().map(Vec::len), Some(3), "{summary}");
    scene.holds("octo/app", "v1", &image);

    let done = scene.operator(&words).args(["--create-accounts", "--as", "mona"]).fails();
    done.says("alpine").says("1 thing could not be taken");
    scene.holds("nobody/app", "v1", &image);
    scene.holds("robots/app", "v1", &image);
    // Nobody who may not push there gets anything in.
    scene.house.user("hubot");
    let done = scene.operator(&words).args(["--only", "octo/*", "--as", "hubot"]).fails();
    done.says("octo/app");
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_served() {
    let scene = Scene::new();
    let registry = Distribution::start();
    let door = registry.caller();
    let (good, damaged, gone, manifest) =
        (Image::random(9000), Image::random(9000), Image::random(9000), Image::random(9000));
    for (tag, image) in [("good", &good), ("damaged", &damaged), ("gone", &gone), ("manifest", &manifest)] {
        door.push("octo/app", tag, image);
    }
    let flip = |digest: &str| {
        let file = registry.file_of(digest);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    flip(&damaged.layers[0].digest);
    flip(manifest.digest());
    std::fs::remove_file(registry.file_of(&gone.layers[0].digest)).unwrap();
    // A tag that leads out of its folder.
    let tags = registry.root().join("docker/registry/v2/repositories/octo/app/_manifests/tags");
    std::fs::create_dir_all(tags.join("evil/current")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tags.join("evil/current/link")).unwrap();

    let done = scene.operator(&["import", "distribution", registry.root().to_str().unwrap()]).fails();
    done.says(&format!("blob `{}` is damaged in the source", damaged.layers[0].digest));
    done.says(&format!(
        "blob `{}` of manifest `{}` is not in the source",
        gone.layers[0].digest,
        gone.digest()
    ));
    done.says(&format!("the manifest `{}` is damaged in the source", manifest.digest()));
    done.says("octo/app:evil: ").says("is a symbolic link");
    for tag in ["damaged", "gone", "manifest"] {
        done.says(&format!("octo/app:{tag}: its manifest "));
    }
    assert_eq!(scene.mona_looks().tags("octo/app"), ["good"]);
    scene.holds("octo/app", "good", &good);

    // The damage is mended, and the rest comes along.
    door.push_blob("octo/app", &damaged.layers[0]);
    std::fs::write(registry.file_of(&damaged.layers[0].digest), &damaged.layers[0].bytes).unwrap();
    std::fs::write(registry.file_of(&gone.layers[0].digest), &gone.layers[0].bytes).unwrap();
    std::fs::write(registry.file_of(manifest.digest()), &manifest.manifest.bytes).unwrap();
    std::fs::remove_dir_all(tags.join("evil")).unwrap();
    scene.imports(&["distribution", registry.root().to_str().unwrap()]);
    for (tag, image) in [("good", &good), ("damaged", &damaged), ("gone", &gone), ("manifest", &manifest)] {
        scene.holds("octo/app", tag, image);
    }
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let mut scene = Scene::new();
    let registry = Distribution::start();
    let images: Vec<Image> = (0..12).map(|_| Image::random(6_000_000)).collect();
    for (number, image) in images.iter().enumerate() {
        registry.caller().push("octo/app", &format!("v{number}"), image);
    }
    let root = registry.root();
    let start = |scene: &Scene| {
        let mut command = Command::new(packhouse_tests::tools::packhouse());
        command.args(["import", "distribution"]).arg(&root).arg("--data").arg(scene.house.data());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let held = |scene: &Scene| {
        let answer = scene.mona_looks().get("/v2/octo/app/tags/list");
        answer.json()["tags"].as_array().map_or(0, Vec::len)
    };
    // The command is killed, then the server.
    for kill_server in [false, true] {
        let mut import = start(&scene);
        std::thread::sleep(Duration::from_millis(150));
        if kill_server {
            scene.house.kill();
        } else {
            import.kill().unwrap();
        }
        let ended = Instant::now() + Duration::from_secs(60);
        while import.try_wait().unwrap().is_none() {
            assert!(Instant::now() < ended, "the command waits for a server that is gone");
            std::thread::sleep(Duration::from_millis(20));
        }
        if kill_server {
            scene.house.open();
        }
        // Whatever is tagged is whole.
        if held(&scene) > 0 {
            for tag in scene.mona_looks().tags("octo/app") {
                let number: usize = tag.trim_start_matches('v').parse().unwrap();
                scene.holds("octo/app", &tag, &images[number]);
            }
        }
    }
    let done = scene.imports(&["distribution", root.to_str().unwrap()]);
    assert_eq!(number(&done, "tags") + number(&done, "tags_present"), 12, "{done}");
    for (number, image) in images.iter().enumerate() {
        scene.holds("octo/app", &format!("v{number}"), image);
    }
}
