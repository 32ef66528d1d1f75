//! The commands of docs/getting-started.md, run as they stand there: only the address is the test's own.
#![allow(clippy::panic, clippy::expect_used, reason = "what a test expects and does not find is its failure")]

use packhouse_tests::engines::Dockerd;
use packhouse_tests::{House, Image};
use std::path::Path;

/// The `sh` blocks of a page behind a heading, in their order.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let (_, below) = page.split_once(heading).expect("the heading is on the page");
    let mut blocks = Vec::new();
    let mut parts = below.split("```sh\n");
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
        ("limits", "tests/tests"),
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
