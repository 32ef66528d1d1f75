//! The official conformance program of the distribution spec, as a user with a token, on both catalogs and both places
//! for blobs.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::time::Duration;

use packhouse_tests::{Catalog, House, Image, Program, Store, tool};

#[test]
fn conformance_on_sqlite() {
    passes_everything(Catalog::Sqlite, Store::Files);
}

#[test]
fn conformance_on_postgres() {
    passes_everything(Catalog::Postgres, Store::Files);
}

#[test]
fn conformance_on_sqlite_and_a_bucket() {
    passes_everything(Catalog::Sqlite, Store::S3);
}

#[test]
fn conformance_on_postgres_and_a_bucket() {
    passes_everything(Catalog::Postgres, Store::S3);
}

/// What the conformance program wants allowed is refused unless the operator allows it.
#[test]
fn a_manifest_with_a_missing_layer_is_refused_by_default() {
    let house = House::start();
    let mona = house.user("mona");
    let image = Image::random(1_000);
    let caller = house.caller(&mona);
    caller.push_blob("mona/app", &image.config);

    let manifest = &image.manifest;
    let answer = caller.send_bytes("PUT", "/v2/mona/app/manifests/v1", &manifest.media_type, &manifest.bytes);

    assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"), "{answer}");
    assert!(answer.to_string().contains(&image.layers[0].digest), "it names what is missing: {answer}");
    assert_eq!(caller.get("/v2/mona/app/manifests/v1").status, 404);
}

#[track_caller]
fn passes_everything(catalog: Catalog, store: Store) {
    let house =
        House::builder().catalog(catalog).store(store).env("PACKHOUSE_SPARSE_MANIFESTS", "allow").start();
    let user = house.user("conformance");
    let desk = tempfile::tempdir().unwrap();

    let run = Program::new(tool("conformance"), desk.path())
        .env("OCI_REGISTRY", house.address())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", "conformance/repo1")
        .env("OCI_REPO2", "conformance/repo2")
        .env("OCI_USERNAME", &user.name)
        .env("OCI_PASSWORD", &user.token)
        .env("OCI_CACHE_AUTH", "true")
        .env("OCI_VERSION", "dev")
        .env("OCI_DATA_SPARSE", "true")
        .env("OCI_RESULTS_DIR", "results")
        .env("OCI_LOG", "warn")
        .deadline(Duration::from_secs(600))
        .run();

    // The exit status is 0 too when the settings were not read and nothing was tested; the counts are not.
    let junit = std::fs::read_to_string(desk.path().join("results/junit.xml"))
        .unwrap_or_else(|error| panic!("no results ({error}) from {run}"));
    let counts = ["failures", "errors", "skipped", "disabled"].map(|what| (what, count(&junit, what)));
    let tests = count(&junit, "tests");
    println!("{catalog:?} and {store:?}: {tests} tests, {counts:?}");
    assert!(
        counts.iter().all(|(_, count)| *count == 0),
        "{counts:?} of {tests} tests on {catalog:?} and {store:?}:\n{}\n{}",
        not_passed(&junit).join("\n"),
        house.log().lines().filter(|line| line.contains("ERROR")).collect::<Vec<_>>().join("\n"),
    );
    assert!(tests > 1_000, "only {tests} tests ran");
}

/// A count of the outermost element; one that is zero is left out there, except for `tests`.
#[track_caller]
fn count(junit: &str, what: &str) -> u32 {
    let start = junit.find("<testsuites ").expect("an element `testsuites`");
    let head = &junit[start..start + junit[start..].find('>').expect("its end")];
    match head.split_once(&format!(" {what}=\"")) {
        Some((_, rest)) => rest.split('"').next().unwrap().parse().expect("a number"),
        None if what == "tests" => panic!("no count of tests in {head}"),
        None => 0,
    }
}

/// The names of the cases that did not pass, each with the end of what was said about it.
fn not_passed(junit: &str) -> Vec<String> {
    junit
        .split("<testcase ")
        .skip(1)
        .filter(|case| {
            let (head, body) = case.split_once('>').unwrap_or((case, ""));
            !head.contains("status=\"success\"") && !head.contains("status=\"pass\"")
                || body.contains("<failure")
                || body.contains("<skipped")
                || body.contains("<error")
        })
        .map(|case| case.chars().take(1_500).collect())
        .take(20)
        .collect()
}
