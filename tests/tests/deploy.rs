//! What `deploy/` holds is taken by the programs it is for.
#![allow(clippy::panic, clippy::expect_used, reason = "what a test expects and does not find is its failure")]

use packhouse_tests::{Program, tool};
use std::path::{Path, PathBuf};

/// A cluster that the chart is made for.
const KUBERNETES: &str = "1.30.0";

fn deploy(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(below)
}

fn template(values: &[&str]) -> Program {
    let desk = std::env::temp_dir();
    let program =
        Program::new(tool("helm3"), &desk).args(["template", "house"]).arg(deploy("helm/packhouse"));
    values
        .iter()
        .fold(program.args(["--kube-version", KUBERNETES]), |program, value| program.args(["--set", value]))
}

#[test]
fn helm3_takes_the_chart() {
    let desk = std::env::temp_dir();
    Program::new(tool("helm3"), &desk).args(["lint", "--strict"]).arg(deploy("helm/packhouse")).succeeds();

    let one = template(&[]).succeeds();
    one.says("kind: StatefulSet").says("volumeClaimTemplates").says("PACKHOUSE_METRICS_LISTEN");

    let many = template(&[
        "replicas=3",
        "secret=packhouse",
        r"settings.s3\.bucket=packs",
        r"settings.s3\.endpoint=https://s3.example.org",
        "settings.gc_grace=12h",
        "ingress.enabled=true",
    ])
    .succeeds();
    many.says("kind: Deployment").says("kind: Ingress").says("replicas: 3");
    many.says("name: PACKHOUSE_S3_BUCKET").says("name: PACKHOUSE_GC_GRACE").says("name: \"packhouse\"");

    // Files are one node's.
    template(&["replicas=2"]).fails().says("needs an S3 bucket");
}

#[test]
fn docker_compose_takes_the_nodes() {
    let desk = tempfile::tempdir().expect("a folder");
    for file in ["compose.yaml", "environment.example", "nginx.conf"] {
        let name = if file == "environment.example" { "environment" } else { file };
        std::fs::copy(deploy("compose").join(file), desk.path().join(name)).expect("it is there");
    }
    let shown = Program::new(tool("docker-compose"), desk.path())
        .args(["--file", "compose.yaml", "--project-name", "packhouse", "config"])
        .succeeds();
    shown.says("node-2").says("PACKHOUSE_S3_BUCKET: packhouse").says("PACKHOUSE_DATABASE_URL");
}

/// Every setting that the files name is one that there is.
#[test]
fn the_settings_of_the_files_are_ones_that_there_are() {
    let reference = include_str!("../../docs/configuration.md");
    let mut seen = 0;
    for file in [
        "compose/compose.yaml",
        "compose/environment.example",
        "systemd/packhouse.service",
        "helm/packhouse/templates/workload.yaml",
        "helm/packhouse/values.yaml",
        "Dockerfile",
    ] {
        let text = std::fs::read_to_string(deploy(file)).expect("it is there");
        let word = |c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        for name in text.split(word).filter(|word| word.starts_with("PACKHOUSE_") && word.len() > 10) {
            seen += 1;
            assert!(reference.contains(&format!("`{name}`")), "{file} names {name}, which is no setting");
        }
    }
    assert!(seen > 10, "only {seen} settings: are these the files?");
}
