//! GitHub's own command line, signed in to a house of ours by a token and by a code.
#![allow(clippy::panic, clippy::expect_used, reason = "what a test expects and does not find is its failure")]

use packhouse_tests::tunnel::{HOST, tunnel};
use packhouse_tests::{House, Program, tool};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long the device flow may take: the program asks every few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's, and a current one.
const PROGRAMS: [&str; 2] = ["gh", "gh-current"];

/// A house with TLS, the way to it, and a desk with `gh` on it.
struct Scene {
    gh: &'static str,
    house: House,
    proxy: String,
    desk: tempfile::TempDir,
}

impl Scene {
    fn new(gh: &'static str) -> Scene {
        let house = House::builder().tls().limits().start();
        let proxy = tunnel(house.address());
        Scene { gh, house, proxy, desk: tempfile::tempdir().expect("a folder") }
    }

    fn gh(&self) -> Program {
        self.gh_in(self.desk.path())
    }

    fn gh_in(&self, home: &Path) -> Program {
        Program::new(tool(self.gh), home)
            .env("HTTPS_PROXY", format!("http://{}", self.proxy))
            .env("SSL_CERT_FILE", self.house.certificate())
            .env("GH_HOST", HOST)
            .env("GH_NO_UPDATE_NOTIFIER", "1")
            .env("NO_COLOR", "1")
    }
}

#[test]
fn a_token_signs_in_and_its_scopes_and_limits_are_shown() {
    PROGRAMS.into_iter().for_each(a_token_signs_in);
}

fn a_token_signs_in(gh: &'static str) {
    let scene = Scene::new(gh);
    scene.house.operator(["user", "create", "Mona"]);
    let mona = scene.house.token("mona", "repo,read:org,gist,read:packages");
    let login = |token: &str| {
        scene.gh().args(["auth", "login", "--hostname", HOST, "--with-token"]).stdin(format!("{token}\n"))
    };
    login("phr_wrong").fails().says("401");
    let narrow = scene.house.token("mona", "read:packages");
    login(&narrow.token).fails().says("missing required scope");

    login(&mona.token).succeeds().never_says(&mona.token);
    let status = scene.gh().args(["auth", "status", "--hostname", HOST]).succeeds();
    status.says("Logged in to packs.test").says("Mona").never_says(&mona.token);

    let rate = scene.gh().args(["api", "rate_limit"]).succeeds().json();
    assert_eq!(rate["resources"]["core"]["limit"], 5000);
    let used = rate["rate"]["used"].as_u64().expect("a number");
    assert!(used >= 2, "signing in was counted: {rate}");
    let again = scene.gh().args(["api", "rate_limit"]).succeeds().json();
    assert_eq!(again["rate"]["used"].as_u64(), Some(used), "asking is free");

    let user = scene.gh().args(["api", "user", "--jq", ".login + \" \" + .type"]).succeeds();
    assert_eq!(user.text(), "Mona User");
    let viewer = ["api", "graphql", "-f", "query={viewer{login databaseId}}", "--jq", ".data.viewer.login"];
    assert_eq!(scene.gh().args(viewer).succeeds().text(), "Mona");
    let version = "mutation{deletePackageVersion(input:{packageVersionId:\"MDE0\"}){success}}";
    let query = format!("query={version}");
    scene.gh().args(["api", "graphql", "-f", &query]).fails().says("Could not resolve to a node");
    scene.gh().args(["api", "nothing/here"]).fails().says("Not Found (HTTP 404)");

    // Revoked, it is none any more.
    let id = scene.house.operator(["token", "list", "mona"])[0]["id"].to_string();
    scene.house.operator(["token", "revoke", &id]);
    scene.gh().args(["api", "user"]).fails().says("Bad credentials");
}

/// The code that the program shows, as soon as it does.
fn code_in(log: &Path) -> String {
    let began = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let code = said.split_once("one-time code: ").and_then(|(_, rest)| rest.get(..9));
        if let Some(code) = code {
            return code.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no code: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_code_signs_in_when_a_person_says_so() {
    PROGRAMS.into_iter().for_each(a_code_signs_in);
}

fn a_code_signs_in(gh: &'static str) {
    let scene = Scene::new(gh);
    scene.house.operator(["user", "create", "mona"]);
    let mona = scene.house.token("mona", "repo,read:org,gist");
    for by_page in [false, true] {
        let home = tempfile::tempdir().expect("a folder");
        let log = home.path().join("said");
        let words = ["auth", "login", "--hostname", HOST, "--web", "--git-protocol", "https"];
        let mut login = scene.gh_in(home.path()).args(words).into_command();
        let said = File::create(&log).expect("a file");
        login.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let mut login = login.spawn().expect("gh starts");
        let code = code_in(&log);
        if by_page {
            approve_on_the_page(&scene, &code, &mona.token);
        } else {
            scene.house.operator(["user", "approve-device", &code, "--user", "mona"]);
        }
        let began = Instant::now();
        let status = loop {
            if let Some(status) = login.try_wait().expect("gh can be waited for") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let _ = login.kill();
                panic!("not signed in: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(status.success() && said.contains("Logged in as mona"), "{said}");
        assert!(said.contains("https://packs.test/login/device"), "{said}");
        let token = scene.gh_in(home.path()).args(["auth", "token", "--hostname", HOST]).succeeds();
        assert!(token.text().starts_with("gho_") && token.text().len() == 40, "{token}");
        let status = scene.gh_in(home.path()).args(["auth", "status"]).succeeds();
        status.says("Logged in to packs.test").says("mona");
        // (A current one puts each scope in quotes.)
        let shown = format!("{}{}", status.stdout, status.stderr).replace('\'', "");
        assert!(shown.contains("gist, read:org, repo"), "{status}");
    }
}

/// What a person does in a browser: the code first, then what it asks for, then yes.
fn approve_on_the_page(scene: &Scene, code: &str, token: &str) {
    let desk = scene.desk.path();
    let post = |fields: &[(&str, &str)]| {
        let mut curl = Program::new(tool("curl"), desk).args(["--silent", "--show-error", "--cacert"]);
        curl = curl.arg(scene.house.certificate());
        for (name, value) in fields {
            curl = curl.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        curl.arg(format!("{}/login/device", scene.house.url())).succeeds()
    };
    post(&[("user_code", "BBBB-BBBB")]).says("There is no such code");
    let asked = post(&[("user_code", &code.to_lowercase())]);
    asked.says("GitHub CLI").says("read:org").says(code);
    let decided = [("user_code", code), ("token", token), ("decision", "approve")];
    let wrong = [("user_code", code), ("token", "phr_wrong"), ("decision", "approve")];
    post(&wrong).says("unknown, expired or revoked");
    post(&decided).says("is signed in").never_says(token);
}

/// `github.localhost` is the one host that `gh` speaks plain HTTP to, with the API at the root of `api.` before it.
#[test]
fn a_token_signs_in_at_the_host_of_the_api() {
    let house = House::start();
    house.operator(["user", "create", "mona"]);
    let mona = house.token("mona", "repo,read:org,gist");
    for program in PROGRAMS {
        let desk = tempfile::tempdir().expect("a folder");
        let gh = || {
            // A request to a proxy names its whole target, which is what a server may be asked by as well.
            Program::new(tool(program), desk.path())
                .env("HTTP_PROXY", house.url())
                .env("GH_HOST", "github.localhost")
                .env("GH_TOKEN", &mona.token)
        };
        let user = gh().args(["api", "user", "--jq", ".login + \" \" + .url"]).succeeds();
        assert_eq!(user.text(), "mona http://api.github.localhost/users/mona");
        let viewer = ["api", "graphql", "-f", "query={viewer{login}}", "--jq", ".data.viewer.login"];
        assert_eq!(gh().args(viewer).succeeds().text(), "mona");
        let none = gh().args(["api", "user/packages?package_type=container"]).fails();
        none.says("You need at least read:packages scope").says("gist, read:org, repo");
    }
}
