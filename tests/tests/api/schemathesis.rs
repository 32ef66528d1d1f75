//! Our own OpenAPI document held against the running server by schemathesis: made-up requests, right and wrong, to
//! every operation; answers have the status, the type and the shape that the document says, and nothing is a 5xx.

use packhouse_tests::{Catalog, House, Image, Program, tool};
use std::time::Duration;

/// Requests of each kind to an operation; the coverage phase sends many more.
const EXAMPLES: &str = "8";

/// Operations that would end the test's own objects, so that the others have nothing to act on.
const SPARED: &[&str] = &["orgs/delete", "user/revoke-token"];

fn the_document_is_what_the_server_does(catalog: Catalog) {
    let house = House::builder().catalog(catalog).start();
    for name in ["mona", "hubot"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", "repo,delete_repo,admin:org,user,write:packages,delete:packages");
    house.organization("acme", &mona);
    house.operator(["org", "add-member", "acme", "hubot"]);
    house.operator(["team", "create", "acme", "core"]);
    house.operator(["repo", "create", "acme/anvil"]);
    house.operator(["robot", "create", "acme", "ci"]);
    let door = house.caller(&mona);
    for path in ["acme/app", "mona/app"] {
        for tag in ["v1", "v2"] {
            door.push(path, tag, &Image::random(16));
        }
    }
    let document = door.get("/api/v3/openapi.json").json();
    let known: Vec<String> = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|path| path.as_object().expect("operations").values())
        .filter_map(|operation| operation["operationId"].as_str().map(str::to_owned))
        .collect();
    let versions = door.get("/api/v3/orgs/acme/packages/container/app/versions").json();
    let desk = tempfile::tempdir().expect("a folder");
    let parameters = [
        ("org", "acme"),
        ("username", "hubot"),
        ("package_type", "container"),
        ("package_name", "app"),
        ("team_slug", "core"),
        ("owner", "acme"),
        ("repo", "anvil"),
        ("robot", "ci"),
        ("tag", "v1"),
        ("grantee", "hubot"),
    ];
    let mut config = String::from("[parameters]\n");
    for (name, value) in parameters {
        config.push_str(&format!("\"path.{name}\" = \"{value}\"\n"));
    }
    config.push_str(&format!("\"path.package_version_id\" = \"{}\"\n", versions[0]["id"]));
    std::fs::write(desk.path().join("schemathesis.toml"), config).expect("a file");

    // (One worker: the parser of Python 3.11 fails now and then when two threads use it.)
    let mut program = Program::new(tool("python"), desk.path())
        .args(["-m", "schemathesis.cli", "run"])
        .arg(format!("{}/api/v3/openapi.json", house.url()))
        .args(["--header", &format!("Authorization: token {}", mona.token)])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args([
            "--checks",
            "response_headers_conformance,response_schema_conformance,negative_data_rejection",
        ])
        .args(["--max-examples", EXAMPLES, "--generation-deterministic", "--no-color", "--workers", "1"])
        .deadline(Duration::from_secs(400));
    for name in SPARED {
        assert!(known.iter().any(|known| known == name), "{name} is in the document: {known:?}");
        program = program.args(["--exclude-operation-id", name]);
    }
    let done = program.run();
    let said = done.stdout.clone();
    // What it says ends with warnings about data that it does not know, which are many.
    let failures = said.split("= WARNINGS =").next().unwrap_or_default();
    assert!(done.status.success(), "{failures}\n{}", done.stderr);
    // (But the one that gives the document, which it takes for no part of the API.)
    let tested = format!("Tested: {}", known.len() - SPARED.len() - 1);
    assert!(said.contains(&tested), "each operation is tried ({tested}):\n{said}");
}

#[test]
fn the_document_is_what_the_server_does_on_sqlite() {
    the_document_is_what_the_server_does(Catalog::Sqlite);
}

#[test]
fn the_document_is_what_the_server_does_on_postgres() {
    the_document_is_what_the_server_does(Catalog::Postgres);
}
