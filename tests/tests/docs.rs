//! The commands of docs/getting-started.md and docs/api.md, run as they stand there: only the address is ours.
#![allow(clippy::panic, clippy::expect_used, reason = "what a test expects and does not find is its failure")]

use packhouse_tests::engines::Dockerd;
use packhouse_tests::image::Parcel;
use packhouse_tests::tunnel::{HOST, tunnel};
use packhouse_tests::{Artifact, Distribution, House, Image, Index, Program, User, tool};
use std::collections::BTreeSet;
use std::path::Path;

/// The page of the API.
const API: &str = include_str!("../../docs/api.md");
/// The name of the house on the page of the API.
const EXAMPLE: &str = "packages.example.org";

/// The `sh` blocks of a page behind a heading, in their order.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let (_, below) = page.split_once(heading).expect("the heading is on the page");
    blocks(below, "sh")
}

/// The blocks in one language, in their order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let fence = format!("```{language}\n");
    let mut parts = page.split(fence.as_str());
    parts.next();
    for part in parts {
        let (block, _) = part.split_once("```").expect("the block ends");
        blocks.push(block.to_owned());
    }
    blocks
}

#[test]
fn the_commands_of_getting_started_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let blocks = commands(&page, "## People and tokens");
    assert!(blocks.len() >= 5, "the page has {} blocks of commands: is this the page?", blocks.len());

    let house = House::start();
    let engine = Dockerd::start();
    let desk = tempfile::Builder::new().prefix("packhouse-docs-").tempdir().expect("a folder");
    let image = Image::busybox();
    image.write_docker_archive(&desk.path().join("hello.tar"), "hello:latest");
    engine.docker(desk.path()).args(["load", "--input", "hello.tar"]).succeeds();

    let program = packhouse_tests::tools::packhouse();
    let mut script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\ndocker() {{ '{}' \"$@\"; }}\n",
        program.display(),
        house.data().display(),
        packhouse_tests::tools::tool("docker").display(),
    );
    for block in blocks {
        script.push_str(&block.replace("127.0.0.1:5000", house.address()));
    }
    engine.client("bash", desk.path()).args(["-c", &script]).succeeds();

    // What the page promises came true: anyone can pull it now.
    let held = house.nobody().with_scope("mona/hello", "pull").contents("mona/hello", "latest");
    assert_eq!(held.0[&image.config.digest], image.config.bytes);
}

/// A house with what the page of the API takes for granted, and mona's token for it.
fn house_of_the_api(house: &House) -> User {
    for name in ["mona", "hubot"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", "repo,admin:org,write:packages,delete:packages");
    house.organization("octo", &mona);
    house.operator(["org", "add-member", "octo", "hubot"]);
    house.operator(["team", "create", "octo", "Web people"]);
    house.operator(["repo", "create", "octo/site"]);
    let door = house.caller(&mona);
    for tag in ["first", "old", "latest"] {
        door.push("mona/hello", tag, &Image::random(100));
    }
    let index = Index::of_two_platforms();
    door.push("octo/app", "latest", &index);
    let signature = Artifact::new("application/vnd.example.signature", Some(&index.manifest));
    door.push("octo/app", &signature.manifest.digest, &signature);
    mona
}

#[test]
fn the_commands_of_the_api_work_in_their_order() {
    let house = House::builder().tls().limits().start();
    let mona = house_of_the_api(&house);
    let proxy = tunnel(house.address());
    let desk = tempfile::Builder::new().prefix("packhouse-docs-").tempdir().expect("a folder");
    let commands = blocks(API, "sh");
    assert!(commands.len() >= 12, "the page has {} blocks of commands: is this the page?", commands.len());

    let mut script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\ngh() {{ '{}' \"$@\"; }}\ncurl() {{ '{}' \"$@\"; }}\n",
        packhouse_tests::tools::packhouse().display(),
        house.data().display(),
        tool("gh").display(),
        tool("curl").display(),
    );
    for block in commands {
        script.push_str(&block.replace(EXAMPLE, HOST));
    }
    let done = Program::new("bash", desk.path())
        .args(["-c", &script])
        .env("HTTPS_PROXY", format!("http://{proxy}"))
        .env("SSL_CERT_FILE", house.certificate())
        .env("GH_NO_UPDATE_NOTIFIER", "1")
        .env("NO_COLOR", "1")
        .succeeds();

    // What the page says of its commands is so.
    done.says("part_of").says("octo+build");
    let door = house.caller(&mona);
    let moved = door.get("/api/v3/orgs/octo/packages/container/greetings").json();
    assert_eq!(moved["visibility"], "public", "{moved}");
    assert_eq!(door.tags("octo/greetings"), ["first", "latest"]);
    let led = house.nobody().with_scope("mona/hello", "pull").head("/v2/mona/hello/manifests/latest");
    assert_eq!(led.status, 200, "by the old name: {led}");
    let access = door.get("/api/v3/orgs/octo/packages/container/app/access").json();
    assert_eq!(access["repository"], serde_json::Value::Null, "{access}");
    assert_eq!(door.get("/api/v3/orgs/octo/robots/build").status, 404);
}

#[test]
fn the_scripts_of_the_api_list_packages() {
    let house = House::start();
    let mona = house_of_the_api(&house);
    let desk = tempfile::tempdir().expect("a folder");
    let only = |language: &str| {
        let mut found = blocks(API, language);
        assert_eq!(found.len(), 1, "one script in {language}");
        found.remove(0).replace(&format!("https://{EXAMPLE}"), &house.url())
    };
    std::os::unix::fs::symlink(tool("npm-modules"), desk.path().join("node_modules")).expect("a link");
    std::fs::write(desk.path().join("list.mjs"), only("js")).expect("a file");
    std::fs::write(desk.path().join("list.py"), only("python")).expect("a file");
    for (program, script) in [("node", "list.mjs"), ("python", "list.py")] {
        let listed =
            Program::new(tool(program), desk.path()).arg(script).env("TOKEN", &mona.token).succeeds();
        assert_eq!(listed.text(), "hello", "{program}");
    }
}

#[test]
fn the_commands_of_retention_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/retention.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = blocks(&page, "sh");
    assert!(commands.len() >= 5, "the page has {} blocks of commands: is this the page?", commands.len());
    let house = House::start();
    house.operator(["user", "create", "mona"]);
    let mona = house.token("mona", "admin:org,write:packages,delete:packages");
    house.organization("octo", &mona);
    let door = house.caller(&mona);
    for tag in ["v1.0", "old", "older", "latest", "latest"] {
        door.push("octo/app", tag, &Image::random(100));
    }
    let mut script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\n",
        packhouse_tests::tools::packhouse().display(),
        house.data().display()
    );
    script.extend(commands);
    let desk = tempfile::tempdir().expect("a folder");
    let done = Program::new("bash", desk.path()).args(["-c", &script]).env("NO_COLOR", "1").succeeds();

    // What the page says of its commands is so.
    done.says("keep last 2").says("drop the rest").says("points at version");
    assert_eq!(door.tags("octo/app"), ["latest", "older", "v1.0"]);
    let held = door.send_bytes("DELETE", "/v2/octo/app/manifests/v1.0", "application/json", b"");
    assert_eq!(held.status, 403, "{held}");
}

#[test]
fn the_commands_of_quotas_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quotas.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = blocks(&page, "sh");
    let settings = blocks(&page, "toml");
    assert_eq!((commands.len(), settings.len()), (1, 1), "is this the page?");
    let desk = tempfile::tempdir().expect("a folder");
    let config = desk.path().join("packhouse.toml");
    std::fs::write(&config, &settings[0]).expect("a file");
    let house = House::builder().env("PACKHOUSE_CONFIG", config.to_str().expect("a path")).start();
    house.operator(["user", "create", "mona"]);
    let mona = house.token("mona", "admin:org,write:packages,delete:packages");
    house.organization("octo", &mona);
    let image = Image::random(1_000);
    house.caller(&mona).push("octo/app", "latest", &image);
    let program = packhouse_tests::tools::packhouse();
    let script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\n{}",
        program.display(),
        house.data().display(),
        commands[0]
    );
    let done = Program::new("bash", desk.path()).args(["-c", &script]).env("NO_COLOR", "1").succeeds();

    // The plans of the page, the one of octo, and what its image takes.
    done.says("small").says("team").says("github-free").says("of 500.0 MB");
    let stored: usize = image.layers.iter().chain([&image.config]).map(|blob| blob.bytes.len()).sum();
    done.says(&format!("\"used\": {stored}"));
}

#[test]
fn the_commands_of_moving_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/import.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = blocks(&page, "sh");
    assert!(commands.len() >= 4, "the page has {} blocks of commands: is this the page?", commands.len());
    let house = House::start();
    house.operator(["user", "create", "mona"]);
    let mona = house.token("mona", "admin:org,write:packages,delete:packages");
    house.organization("octo", &mona);
    let old = Distribution::start();
    let image = Image::random(1000);
    for name in ["team/app", "library/alpine", "tools/lint"] {
        old.caller().push(name, "v1", &image);
    }
    let desk = tempfile::tempdir().expect("a folder");
    drop(old.password_file(desk.path()));
    let mut script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\n",
        packhouse_tests::tools::packhouse().display(),
        house.data().display()
    );
    for block in commands {
        let block = block.replace("/var/lib/docker-registry", &old.root().display().to_string());
        script.push_str(&block.replace("registry.example.org", old.address()));
    }
    let done = Program::new("bash", desk.path()).args(["-c", &script]).env("NO_COLOR", "1").succeeds();

    // What the page says of its commands is so.
    done.says("would be imported: 3 manifests").says("exported: 1 manifest");
    let door = house.caller(&mona);
    for package in
        ["octo/team/app", "octo/library/alpine", "octo/tools/lint", "mona/alpine", "octo/app", "tools/lint"]
    {
        assert_eq!(door.contents(package, "v1"), image.contents(), "{package}");
    }
    assert_eq!(
        house.nobody().with_scope("tools/lint", "pull").contents("tools/lint", "v1"),
        image.contents()
    );
    assert_eq!(door.tags("octo/copy"), ["v1", "v2"]);
}

#[test]
fn the_commands_of_backups_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backup.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = blocks(&page, "sh");
    assert_eq!(commands.len(), 5, "is this the page?");
    let mut house = House::builder().env("PACKHOUSE_SNAPSHOT_INTERVAL", "1s").start();
    let mona = house.user("mona");
    let image = Image::random(1_000);
    house.caller(&mona).push("mona/app", "latest", &image);
    // Two intervals: what was acknowledged before them is in a snapshot.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let desk = tempfile::tempdir().expect("a folder");
    // What the page takes for granted: an address of a database and a bucket; here another folder does.
    std::fs::write(desk.path().join("new.toml"), format!("data = {:?}\n", desk.path().join("moved")))
        .expect("a file");
    let run = |house: &House, block: &str| {
        let script = format!(
            "set -eu\ncd '{0}'\nexport PACKHOUSE_DATA='{1}'\npackhouse() {{ case \"$*\" in *--config*) unset PACKHOUSE_DATA;; esac; '{2}' \"$@\"; \
             export PACKHOUSE_DATA='{1}'; }}\n{3}",
            desk.path().display(),
            house.data().display(),
            packhouse_tests::tools::packhouse().display(),
            block
                .replace("/tmp/", &format!("{}/", desk.path().display()))
                .replace("/mnt/backup", &desk.path().display().to_string())
                .replace("/srv/packhouse", &house.data().display().to_string())
                .replace("/srv/", &format!("{}/", desk.path().display())),
        );
        Program::new("bash", desk.path()).args(["-c", &script]).succeeds()
    };
    run(&house, &commands[0]);
    run(&house, &commands[1]).says("restored");
    run(&house, &commands[2]).says("restored");
    for folder in ["restored", "moved"] {
        assert!(desk.path().join(folder).join("catalog.sqlite").exists(), "{folder}");
    }
    run(&house, &commands[4]).says("mona/app");

    house.kill();
    std::fs::remove_file(house.data().join("catalog.sqlite")).expect("the catalog is lost");
    run(&house, &commands[3]).says("restored");
    house.open();
    assert_eq!(house.caller(&mona).contents("mona/app", "latest"), image.contents());
}

#[test]
fn the_commands_of_verify_work_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = blocks(&page, "sh");
    assert!(commands.len() >= 5, "the page has {} blocks of commands: is this the page?", commands.len());
    let house = House::start();
    house.caller(&house.user("mona")).push("mona/app", "latest", &Image::random(100));
    let mut script = format!(
        "set -eu\npackhouse() {{ '{}' \"$@\" --data '{}'; }}\n",
        packhouse_tests::tools::packhouse().display(),
        house.data().display()
    );
    script.extend(commands);
    let desk = tempfile::tempdir().expect("a folder");
    let done = Program::new("bash", desk.path()).args(["-c", &script]).env("NO_COLOR", "1").succeeds();
    done.says("all is well").says("nothing is quarantined");
    let verified = std::fs::read_to_string(desk.path().join("verified.json")).expect("the document");
    assert!(verified.contains("\"findings\": []"), "{verified}");
}

/// The table of what can be found has every kind, and no other.
#[test]
fn the_kinds_of_damage_are_those_of_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("the file is there");
    let page = read("docs/verify.md");
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`'))
        .filter(|word| is_kind(word))
        .map(str::to_owned)
        .collect();
    let sources = [
        "crates/catalog/src/scrub.rs",
        "crates/service/src/scrub/rows.rs",
        "crates/service/src/scrub/bytes.rs",
        "crates/service/src/scrub/store.rs",
    ];
    let made: BTreeSet<String> = sources
        .iter()
        .flat_map(|file| read(file).split('"').map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| is_kind(word))
        .collect();
    assert!(told.len() > 20, "{told:?}");
    assert_eq!(told, made);
}

/// Two words, the first one a thing that can be damaged.
fn is_kind(word: &str) -> bool {
    const THINGS: [&str; 11] = [
        "blob", "store", "trash", "upload", "manifest", "version", "tag", "link", "unlinked", "package",
        "account",
    ];
    word.split_once('-').is_some_and(|(thing, what)| {
        (THINGS.contains(&thing) || thing == "team")
            && !what.is_empty()
            && what.bytes().all(|byte| byte.is_ascii_lowercase())
    })
}

/// Every test that docs/durability.md names is there: a promise without its proof would be one that nobody keeps.
#[test]
fn the_tests_that_the_promises_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/durability.md")).expect("the page is there");
    let folders = [
        ("edge", "crates/distribution/tests/edge"),
        ("store", "crates/blobs/tests/store"),
        ("suite", "crates/catalog/tests/suite"),
        ("trace", "tests/tests/trace"),
        ("crash", "tests/tests/crash"),
        ("replay", "tests/tests/replay"),
        ("faults", "tests/tests/faults"),
        ("limits", "tests/tests"),
        ("copies", "tests/tests/copies"),
    ];
    let mut seen = 0;
    for name in page.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let (family, test) = name.split_once("::").expect("just found");
        let (_, folder) =
            folders.iter().find(|(known, _)| *known == family).expect("a known family of tests");
        let files = std::fs::read_dir(root.join(folder)).expect("the folder of the tests is there");
        let declared = format!("fn {test}(");
        let found = files
            .flatten()
            .filter(|file| file.path().extension().is_some_and(|end| end == "rs"))
            .any(|file| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains(&declared)));
        assert!(found, "docs/durability.md names `{name}`, which is not in {folder}");
        seen += 1;
    }
    assert!(seen >= 15, "the page names {seen} tests: is this the page?");
}
