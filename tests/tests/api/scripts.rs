//! People's scripts: Octokit, `gh` and PyGithub list, page, delete and restore with a token of each scope, as each kind of
//! person.

use packhouse_tests::{Catalog, House, HouseBuilder, Image, Program, User, tool};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Versions of the package: more than a page of any size.
const VERSIONS: usize = 105;

/// Tokens, by the scopes they have.
const NONE: &str = "gist";
const READ: &str = "read:packages";
const WRITE: &str = "write:packages";
const DELETE: &str = "read:packages,delete:packages";
const ALL: &str = "repo,read:org,write:packages,delete:packages";

/// What each person with each token gets of a private package: the list of packages (how many), the package, its
/// versions (how many), deleting and restoring a version, deleting and restoring the package.
///
/// `mona` owns the organization; `hubot` is a member with no role; `octocat` is in a team that administers the linked
/// repository, whose access the package inherits; `lena` is a collaborator who writes there; `stranger` is nobody.
const TABLE: &[(&str, &str, [u16; 7])] = &[
    ("mona", NONE, [403, 403, 403, 403, 403, 403, 403]),
    ("mona", READ, [1, 200, 105, 403, 403, 403, 403]),
    // Restoring what is not deleted: there is no such thing.
    ("mona", WRITE, [1, 200, 105, 403, 404, 403, 404]),
    ("mona", DELETE, [1, 200, 105, 204, 403, 204, 403]),
    ("mona", ALL, [1, 200, 105, 204, 204, 204, 204]),
    ("octocat", NONE, [403, 403, 403, 403, 403, 403, 403]),
    ("octocat", READ, [1, 200, 105, 403, 403, 403, 403]),
    ("octocat", ALL, [1, 200, 105, 204, 204, 204, 204]),
    ("lena", READ, [1, 200, 105, 403, 403, 403, 403]),
    ("lena", ALL, [1, 200, 105, 403, 403, 403, 404]),
    ("hubot", NONE, [403, 403, 403, 403, 403, 403, 403]),
    // By the organization's base role `none`, a member has nothing in the repository.
    ("hubot", READ, [0, 404, 404, 403, 403, 403, 403]),
    ("hubot", ALL, [0, 404, 404, 404, 404, 404, 404]),
    ("stranger", NONE, [403, 403, 403, 403, 403, 403, 403]),
    ("stranger", READ, [0, 404, 404, 403, 403, 403, 403]),
    ("stranger", ALL, [0, 404, 404, 404, 404, 404, 404]),
];

struct Stage {
    house: House,
    version: String,
}

fn builder(catalog: Catalog) -> HouseBuilder {
    House::builder().catalog(catalog).env("PACKHOUSE_RATE_API_TOKEN_HOUR", "5000")
}

fn stage(house: HouseBuilder) -> Stage {
    let house = house.start();
    for name in ["mona", "hubot", "octocat", "lena", "stranger"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", ALL);
    house.organization("acme", &mona);
    house.operator(["org", "policy", "acme", "--base-role", "none"]);
    for member in ["hubot", "octocat"] {
        house.operator(["org", "add-member", "acme", member]);
    }
    house.operator(["repo", "create", "acme/anvil"]);
    house.operator(["team", "create", "acme", "core"]);
    house.operator(["team", "add-member", "acme", "core", "octocat"]);
    house.operator(["team", "grant", "acme", "core", "anvil", "admin"]);
    house.operator(["repo", "grant", "acme/anvil", "lena", "write"]);
    let door = house.caller(&mona);
    for number in 0..VERSIONS {
        door.push("acme/tools/forge", &format!("v{number}"), &Image::random(16));
    }
    house.operator(["package", "link", "acme/tools/forge", "anvil", "--inherit"]);
    let oldest = door.get("/api/v3/orgs/acme/packages/container/tools%2Fforge/versions?tag=v0");
    let version = oldest.json()[0]["id"].to_string();
    Stage { house, version }
}

impl Stage {
    fn octokit(&self, token: &User) -> Value {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("npm/packages.mjs");
        let desk = tempfile::tempdir().expect("a folder");
        let done = Program::new(tool("node"), desk.path())
            .arg(script)
            .arg(tool("npm-modules"))
            .arg(format!("{}/api/v3", self.house.url()))
            .args([&token.token, "acme", "tools/forge"])
            .env("VERSION", &self.version)
            .succeeds();
        done.json()
    }

    fn pygithub(&self, token: &User) -> Value {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/people.py");
        let desk = tempfile::tempdir().expect("a folder");
        let done = Program::new(tool("python"), desk.path())
            .arg(script)
            .arg(format!("{}/api/v3", self.house.url()))
            .args([&token.token, "acme", "tools%2Fforge"])
            .succeeds();
        done.json()
    }
}

/// Each person with each token does everything by `script`, which gives the row of the table.
fn everybody_gets_what_the_table_says(stage: &Stage, script: impl Fn(&User) -> [u16; 7]) {
    let mut wrong = Vec::new();
    for (who, scopes, expected) in TABLE {
        let found = script(&stage.house.token(who, scopes));
        if found != *expected {
            wrong.push(format!("{who} with `{scopes}`: {found:?}, where the table says {expected:?}"));
        }
        // What a person with half of the rights deleted is put back for the next.
        let mona = stage.house.caller(&stage.house.token("mona", ALL));
        for undo in ["/restore".to_owned(), format!("/versions/{}/restore", stage.version)] {
            let path = format!("/api/v3/orgs/acme/packages/container/tools%2Fforge{undo}");
            mona.send_bytes("POST", &path, "application/json", b"");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn octokit_lists_pages_deletes_and_restores(catalog: Catalog) {
    let stage = stage(builder(catalog));
    everybody_gets_what_the_table_says(&stage, |token| {
        let said = stage.octokit(token);
        if said["versions"] == VERSIONS {
            assert_eq!(said["distinct"], VERSIONS, "no page repeats another");
        }
        ["list", "get", "versions", "delete", "restore", "deletePackage", "restorePackage"]
            .map(|field| said[field].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0))
    });
}

impl Stage {
    /// `gh api` with these words, by one or the other `gh`: how many items its pages have, or the status of its answer.
    fn gh(&self, program: &str, token: &User, words: &[&str]) -> u16 {
        let desk = tempfile::tempdir().expect("a folder");
        let paged = words.contains(&"--paginate");
        let gh = Program::new(tool(program), desk.path())
            .arg("api")
            .args(words)
            .args(if paged { ["--jq", "length"].as_slice() } else { ["--include"].as_slice() })
            .env("GH_HOST", self.house.address())
            .env("GH_ENTERPRISE_TOKEN", &token.token)
            .env("SSL_CERT_FILE", self.house.certificate());
        let done = gh.run();
        if !done.status.success() {
            let status = done.stderr.split_once("(HTTP ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
            return status.unwrap_or_else(|| panic!("no status: {} {}", done.stdout, done.stderr));
        }
        if paged {
            return done.stdout.split_whitespace().filter_map(|count| count.parse::<u16>().ok()).sum();
        }
        let status = done.stdout.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {}", done.stdout))
    }
}

#[test]
fn gh_lists_pages_deletes_and_restores() {
    ["gh", "gh-current"].into_iter().for_each(gh_does_what_the_table_says);
}

fn gh_does_what_the_table_says(program: &str) {
    let stage = stage(builder(Catalog::Sqlite).tls());
    let package = "/orgs/acme/packages/container/tools%2Fforge";
    let versions = format!("{package}/versions");
    let version = format!("{versions}/{}", stage.version);
    everybody_gets_what_the_table_says(&stage, |token| {
        [
            stage.gh(program, token, &["--paginate", "/orgs/acme/packages?package_type=container"]),
            stage.gh(program, token, &[package]),
            stage.gh(program, token, &["--paginate", &versions]),
            stage.gh(program, token, &["--method", "DELETE", &version]),
            stage.gh(program, token, &["--method", "POST", &format!("{version}/restore")]),
            stage.gh(program, token, &["--method", "DELETE", package]),
            stage.gh(program, token, &["--method", "POST", &format!("{package}/restore")]),
        ]
    });
}

#[test]
fn octokit_lists_pages_deletes_and_restores_on_sqlite() {
    octokit_lists_pages_deletes_and_restores(Catalog::Sqlite);
}

#[test]
fn octokit_lists_pages_deletes_and_restores_on_postgres() {
    octokit_lists_pages_deletes_and_restores(Catalog::Postgres);
}

#[test]
fn pygithub_knows_people_teams_repositories_and_packages() {
    let stage = stage(builder(Catalog::Sqlite));
    let house = &stage.house;
    let mona = stage.pygithub(&house.token("mona", ALL));
    assert_eq!(
        mona,
        json!({
            "login": "mona",
            "scopes": ["delete:packages", "read:org", "repo", "write:packages"],
            "organizations": ["acme"],
            "members": ["hubot", "mona", "octocat"],
            "teams": ["core"],
            "repository": "acme/anvil",
            "versions": VERSIONS,
            "limit": 5000,
        })
    );
    let stranger = stage.pygithub(&house.token("stranger", ALL));
    assert_eq!(stranger["organizations"], json!([]), "{stranger}");
    assert_eq!((&stranger["repository"], &stranger["versions"]), (&json!(404), &json!(404)), "{stranger}");
    let reader = stage.pygithub(&house.token("mona", READ));
    assert_eq!((&reader["login"], &reader["versions"]), (&json!("mona"), &json!(VERSIONS)), "{reader}");
    assert_eq!((&reader["teams"], &reader["organizations"]), (&json!(403), &json!(403)), "{reader}");
}
