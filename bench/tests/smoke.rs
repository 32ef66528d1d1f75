//! The benchmark works: a few works, short, against Packhouse and nginx. No figure is held against anything: times are
//! noise here.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program to measure, as `packhouse-tests` finds it.
fn packhouse() -> PathBuf {
    if let Some(path) = std::env::var_os("PACKHOUSE_TEST_PROGRAM") {
        return PathBuf::from(path);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let built = ["release", "debug"].map(|profile| target.join(profile).join("packhouse"));
    let newest =
        built.into_iter().filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file))).max();
    newest.expect("there is no `packhouse`: run `cargo build --release` or `cargo xtask test`").1
}

fn bench(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_packhouse-bench"))
        .args(words)
        .arg("--packhouse")
        .arg(packhouse())
        .arg("--scratch")
        .arg(folder)
        .arg("--output")
        .arg(folder.join("result"))
        .output()
        .expect("the benchmark starts")
}

#[track_caller]
fn series<'a>(report: &'a Value, work: &str, target: &str) -> &'a Value {
    let works = report["works"].as_array().expect("works");
    let work =
        works.iter().find(|found| found["id"] == work).unwrap_or_else(|| panic!("no {work} in {report}"));
    let series = work["series"].as_array().expect("series");
    series.iter().find(|series| series["target"] == target).unwrap_or_else(|| panic!("no {target} in {work}"))
}

#[test]
fn benchmark_of_packhouse_beside_nginx() {
    let folder = tempfile::Builder::new().prefix("packhouse-bench-smoke-").tempdir().unwrap();
    let works = "manifest-get-tag,manifest-head-tag,anonymous-tag-16,blob-1mb,manifest-tls,tags,catalog,referrers,token,\
                 image-small,push-streamed-1mb,mixed-1mb,disk,memory-idle,start";
    let targets = "packhouse,nginx,nginx-sendfile,nginx-tls";
    let words = [
        "--only",
        works,
        "--targets",
        targets,
        "--rounds",
        "1",
        "--seconds",
        "0.3",
        "--entries",
        "200",
        "--json",
    ];
    let done = bench(folder.path(), &words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let report: Value = serde_json::from_slice(&done.stdout).expect("one JSON document");
    for work in report["works"].as_array().expect("works") {
        assert_eq!(work["failed"], serde_json::json!({}), "{}", work["id"]);
        for series in work["series"].as_array().expect("series") {
            let (id, target) = (&work["id"], &series["target"]);
            assert!(
                series["median"].as_f64().is_some_and(|figure| figure > 0.0),
                "{id} of {target}: {series}"
            );
            assert_eq!(
                (&series["not_2xx"], &series["broken"]),
                (&0.into(), &0.into()),
                "{id} of {target}: {series}"
            );
        }
    }
    assert_eq!(report["works"].as_array().map(Vec::len), Some(15));
    let measured = series(&report, "manifest-get-tag", "packhouse");
    for key in ["of_limit", "p50_ms", "p99_ms", "cpu_micros_each", "peak_megabytes"] {
        assert!(measured[key].as_f64().is_some_and(f64::is_finite), "{key} of {measured}");
    }
    assert!(
        series(&report, "manifest-get-tag", "nginx")["of_limit"].is_null(),
        "the limit is not measured by itself"
    );
    let goals = report["goals"].as_array().expect("goals");
    assert!(
        goals.iter().any(|goal| goal["id"] == "manifest-get-tag" && goal["met"].is_boolean()),
        "{goals:?}"
    );

    for file in ["results.json", "results.md", "results.svg"] {
        let text = std::fs::read_to_string(folder.path().join("result").join(file)).expect(file);
        assert!(text.contains("packhouse") && text.contains("GET manifest by tag"), "{file}: {text}");
        let here = folder.path().to_str().expect("a path");
        assert!(!text.contains(here), "{file} names a folder of this machine");
    }
    // What it started is gone with its folders.
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["result"]);
}

#[test]
fn a_work_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let done = bench(folder.path(), &["--only", "B99"]);
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("B99") && said.contains("--list"), "{said}");
}
