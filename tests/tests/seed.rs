//! The shell commands of a guide to ghcr.io, word for word: only the name of the host is ours.
//!
//! The texts below stand as a person would find them in such a guide; [`put`] replaces `ghcr.io` and the words in
//! capitals that a reader replaces as well, and `sh` runs them. Real `docker`, `gh` and `curl` find the house under a
//! name without a port, as they find ghcr.io, through the tunnel of [`packhouse_tests::tunnel`].
#![allow(clippy::panic, clippy::expect_used, reason = "what a test expects and does not find is its failure")]

use packhouse_tests::engines::Dockerd;
use packhouse_tests::image::Parcel as _;
use packhouse_tests::terminal::Terminal;
use packhouse_tests::tunnel::{HOST, tunnel};
use packhouse_tests::{House, Image, Program, User, tool};
use serde_json::Value;
use std::path::Path;

/// What a person's token may be for, with what gh itself asks for.
const SCOPES: &str = "repo,read:org,read:packages,write:packages,delete:packages";

/// A text of the guide with what a reader puts in place of its placeholders.
#[track_caller]
fn put(text: &str, words: &[(&str, &str)]) -> String {
    let mut text = text.replace("ghcr.io", HOST);
    for (placeholder, word) in words {
        assert!(text.contains(placeholder), "no `{placeholder}` in `{text}`");
        text = text.replace(placeholder, word);
    }
    text
}

/// A house under a name, and a desk with the programs of the guide.
struct Scene {
    house: House,
    proxy: String,
    mona: User,
    desk: tempfile::TempDir,
}

impl Scene {
    #[track_caller]
    fn new() -> Self {
        let house = House::builder().tls().limits().start();
        let proxy = format!("http://{}", tunnel(house.address()));
        house.operator(["user", "create", "mona"]);
        let mona = house.token("mona", SCOPES);
        let desk = tempfile::Builder::new().prefix("packhouse-seed-").tempdir().expect("a folder");
        Self { house, proxy, mona, desk }
    }

    /// An engine that finds the house as the other programs do.
    #[track_caller]
    fn engine(&self) -> Dockerd {
        let certificate = self.house.certificate().display().to_string();
        Dockerd::start_with(&[("HTTPS_PROXY", &self.proxy), ("SSL_CERT_FILE", &certificate)])
    }

    /// `sh` with commands as they stand, and the programs they name.
    fn sh(&self, commands: &str) -> Program {
        let sh = Program::new("sh", self.desk.path());
        self.at_the_desk(sh).args(["-c", &script(commands)])
    }

    /// The same with an engine behind `docker`.
    fn sh_with(&self, engine: &Dockerd, commands: &str) -> Program {
        self.at_the_desk(engine.client("sh", self.desk.path())).args(["-c", &script(commands)])
    }

    fn at_the_desk(&self, program: Program) -> Program {
        program
            .env("HTTPS_PROXY", &self.proxy)
            .env("SSL_CERT_FILE", self.house.certificate())
            .env("CURL_CA_BUNDLE", self.house.certificate())
            .env("GH_HOST", HOST)
            .env("GH_NO_UPDATE_NOTIFIER", "1")
            .env("NO_COLOR", "1")
            .env("DOCKER_BUILDKIT", "0")
            .env("PAT", &self.mona.token)
    }

    /// Signs `gh` in, for the sections that take it for granted.
    #[track_caller]
    fn gh_is_signed_in(&self) {
        self.sh(&format!("gh auth login --hostname {HOST} --with-token"))
            .stdin(format!("{}\n", self.mona.token))
            .succeeds();
    }

    /// Pushes an image without any client, so that there is something to manage.
    #[track_caller]
    fn holds(&self, package: &str, tag: &str) -> Image {
        let image = Image::random(2_000);
        self.house.caller(&self.mona).push(package, tag, &image);
        image
    }

    /// The versions of a package, as `gh` sees them.
    #[track_caller]
    fn versions(&self, name: &str) -> Value {
        self.sh(&format!("gh api /user/packages/container/{name}/versions")).succeeds().json()
    }

    /// The version that a tag points at.
    #[track_caller]
    fn version(&self, name: &str, tag: &str) -> String {
        let versions = self.versions(name);
        let tags = |version: &&Value| version["metadata"]["container"]["tags"] == serde_json::json!([tag]);
        let version = versions.as_array().into_iter().flatten().find(tags);
        version.unwrap_or_else(|| panic!("no {tag} in {versions}"))["id"].to_string()
    }
}

/// The commands, with the programs they name where the tests have them.
fn script(commands: &str) -> String {
    let program = |name: &str| format!("{name}() {{ '{}' \"$@\"; }}\n", tool(name).display());
    let named = ["docker", "gh", "curl"].into_iter().filter(|name| commands.contains(name));
    format!("set -eu\n{}{commands}", named.map(program).collect::<String>())
}

/// The names in a list of packages.
fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|package| package["name"].as_str()).collect()
}

/// Gives an engine an image made here, under a name.
#[track_caller]
fn load(engine: &Dockerd, desk: &Path, name: &str) -> Image {
    let image = Image::busybox();
    image.write_docker_archive(&desk.join("image.tar"), name);
    engine.docker(desk).args(["load", "--input", "image.tar"]).succeeds();
    image
}

// "Authentication: Personal Access Token (PAT)".
const LOGIN: &str = r#"
# Create PAT with packages permissions:
# - read:packages
# - write:packages  
# - delete:packages (optional)

# Login with PAT
echo $PAT | docker login ghcr.io -u USERNAME --password-stdin
"#;

#[test]
fn the_guides_authentication() {
    let scene = Scene::new();
    let engine = scene.engine();
    let login = put(LOGIN, &[("USERNAME", "mona")]);
    scene.sh_with(&engine, &login).env("PAT", "phr_wrong").fails().says("unauthorized");
    scene.sh_with(&engine, &login).succeeds().says("login succeeded").never_says(&scene.mona.token);

    // It is a login that holds: what nobody but she may do works now.
    let name = format!("{HOST}/mona/my-app:latest");
    load(&engine, scene.desk.path(), &name);
    scene.sh_with(&engine, &format!("docker push {name}")).succeeds();
    assert_eq!(scene.house.caller(&scene.mona).tags("mona/my-app"), ["latest"]);

    // Scopes are what the comments of the guide say: with the first alone there is nothing but pulling.
    let reader = scene.house.token("mona", "read:packages");
    scene.sh_with(&engine, &login).env("PAT", &reader.token).succeeds();
    scene.sh_with(&engine, &format!("docker pull {name}")).succeeds();
    scene.sh_with(&engine, &format!("docker push {name}")).fails().says("write:packages");
}

// "Permissions and Access Control: Visibility Settings".
const VISIBILITY: &str = r#"
# Make package public (via GitHub UI or API)
gh api \
  --method PATCH \
  -H "Accept: application/vnd.github+json" \
  /user/packages/container/IMAGE_NAME/versions/VERSION_ID \
  -f visibility='public'
"#;

// "Permissions and Access Control: Linking to Repository".
const LABELS: &str = r#"
# Add labels to link image to repository
LABEL org.opencontainers.image.source="https://github.com/OWNER/REPO"
LABEL org.opencontainers.image.description="My application"
LABEL org.opencontainers.image.licenses="MIT"
"#;

#[test]
fn the_guides_permissions_and_access_control() {
    let scene = Scene::new();
    let engine = scene.engine();
    let desk = scene.desk.path();
    scene.gh_is_signed_in();
    scene.sh_with(&engine, &put(LOGIN, &[("USERNAME", "mona")])).succeeds();

    // An image with the labels of the guide, built and pushed as one does.
    load(&engine, desk, "hello:latest");
    let labels = put(LABELS, &[("OWNER", "mona"), ("REPO", "site")]);
    std::fs::create_dir(desk.join("app")).expect("a folder");
    std::fs::write(desk.join("app/Dockerfile"), format!("FROM hello:latest\n{labels}")).expect("a file");
    let name = format!("{HOST}/mona/my-app:latest");
    scene.sh_with(&engine, &format!("docker build -t {name} app && docker push {name}")).succeeds();

    let package = scene.sh("gh api /user/packages/container/my-app").succeeds().json();
    assert_eq!(package["repository"]["full_name"], "mona/site", "{package}");
    assert_eq!(package["visibility"], "private", "{package}");
    assert_eq!(package["description"], "My application", "{package}");
    assert_eq!(package["licenses"], "MIT", "{package}");
    let version = scene.version("my-app", "latest");

    // Private: nobody but she pulls it. After the guide's command everybody does.
    scene.sh_with(&engine, &format!("docker logout {HOST}")).succeeds();
    let pull = format!("docker rmi --force {name} && docker pull {name}");
    scene.sh_with(&engine, &pull).fails().says("pull access denied");
    let publish = put(VISIBILITY, &[("IMAGE_NAME", "my-app"), ("VERSION_ID", &version)]);
    let answer = scene.sh(&publish).succeeds().json();
    assert_eq!(answer["id"].to_string(), version, "{answer}");
    let package = scene.sh("gh api /user/packages/container/my-app").succeeds().json();
    assert_eq!(package["visibility"], "public", "{package}");
    scene.sh_with(&engine, &format!("docker pull {name}")).succeeds();
}

// "Image Management: List Images".
const LIST: &str = r#"
# Using GitHub CLI
gh api /user/packages?package_type=container
"#;
const LIST_OF_ORGANIZATION: &str = r#"
# For organization
gh api /orgs/ORG_NAME/packages?package_type=container
"#;

// "Image Management: Delete Images".
const DELETE_VERSION: &str = r#"
# Delete specific version
gh api \
  --method DELETE \
  -H "Accept: application/vnd.github+json" \
  /user/packages/container/IMAGE_NAME/versions/VERSION_ID
"#;
const DELETE_PACKAGE: &str = r#"
# Delete entire package
gh api \
  --method DELETE \
  -H "Accept: application/vnd.github+json" \
  /user/packages/container/IMAGE_NAME
"#;

#[test]
fn the_guides_image_management() {
    let scene = Scene::new();
    scene.gh_is_signed_in();
    scene.house.operator(["org", "create", "octo", "--owner", "mona"]);
    scene.holds("mona/my-app", "v1");
    let kept = scene.holds("mona/my-app", "v2");
    scene.holds("mona/other", "v1");
    scene.holds("octo/backend-service", "v1");

    let mine = scene.sh(LIST).succeeds().json();
    let mut found = names(&mine);
    found.sort_unstable();
    assert_eq!(found, ["my-app", "other"], "{mine}");
    assert!(mine.as_array().into_iter().flatten().all(|package| package["package_type"] == "container"));
    let theirs = scene.sh(&put(LIST_OF_ORGANIZATION, &[("ORG_NAME", "octo")])).succeeds().json();
    assert_eq!(names(&theirs), ["backend-service"], "{theirs}");
    assert_eq!(theirs[0]["owner"]["login"], "octo", "{theirs}");
    scene.sh(&put(LIST_OF_ORGANIZATION, &[("ORG_NAME", "absent")])).fails().says("Not Found (HTTP 404)");

    let version = scene.version("my-app", "v1");
    let delete = put(DELETE_VERSION, &[("IMAGE_NAME", "my-app"), ("VERSION_ID", &version)]);
    assert_eq!(scene.sh(&delete).succeeds().text(), "", "204 has no body");
    let looks = scene.house.caller(&scene.mona);
    assert_eq!(looks.get("/v2/mona/my-app/manifests/v1").status, 404);
    assert_eq!(looks.contents("mona/my-app", "v2"), kept.contents(), "the other version is untouched");
    scene.sh(&delete).fails().says("HTTP 404");
    // As on GitHub, the last tagged version is not deleted by itself: the package is.
    let last = scene.version("my-app", "v2");
    scene
        .sh(&put(DELETE_VERSION, &[("IMAGE_NAME", "my-app"), ("VERSION_ID", &last)]))
        .fails()
        .says("You cannot delete the last tagged version of a package. You must delete the package instead");

    let delete = put(DELETE_PACKAGE, &[("IMAGE_NAME", "my-app")]);
    assert_eq!(scene.sh(&delete).succeeds().text(), "", "204 has no body");
    assert_eq!(looks.get("/v2/mona/my-app/manifests/v2").status, 404);
    assert_eq!(names(&scene.sh(LIST).succeeds().json()), ["other"]);
    scene.sh(&delete).fails().says("HTTP 404");
}

// "Troubleshooting: Authentication Failed".
const STATUS: &str = r#"
# Verify token permissions
gh auth status
"#;
const AGAIN: &str = r#"
# Re-authenticate
gh auth login
"#;
const CHECK: &str = r#"
# Check token scopes
gh api user -H "Accept: application/vnd.github+json"
"#;

// "Troubleshooting: Image Not Found".
const NOT_FOUND: &str = r#"
# Check visibility settings
# Private images require authentication
docker login ghcr.io -u USERNAME
"#;

// "Troubleshooting: Rate Limiting".
const RATE: &str = r#"
# Check rate limit status
gh api rate_limit
"#;

// "Troubleshooting: Debug Commands".
const INSPECT: &str = r#"
# Inspect image locally
docker inspect ghcr.io/owner/image:tag
"#;
const MANIFEST: &str = r#"
# Get manifest
docker manifest inspect ghcr.io/owner/image:tag
"#;
const CATALOG: &str = r#"
# Check registry catalog (requires auth)
curl -H "Authorization: Bearer TOKEN" \
  https://ghcr.io/v2/_catalog
"#;

#[test]
fn the_guides_troubleshooting_of_authentication() {
    let scene = Scene::new();
    scene.sh(STATUS).fails().says("gh auth login");
    // At a terminal, as the guide means it: the questions are answered as a person does.
    let at = scene.at_the_desk(Program::new(tool("script"), scene.desk.path()));
    let mut terminal = Terminal::open(at, &script(AGAIN));
    terminal
        .answer("GitHub.com", "\x1b[B\r")
        .answer("ostname:", &format!("{HOST}\r"))
        .answer("protocol for Git operations", "\r")
        .answer("Authenticate Git with your GitHub credentials?", "n\r")
        .answer("How would you like to authenticate GitHub CLI?", "\x1b[B\r")
        .answer("Paste your authentication token:", &format!("{}\r", scene.mona.token));
    let said = terminal.succeeds();
    assert!(said.contains("Logged in as mona") && !said.contains(&scene.mona.token), "{said}");
    scene.sh(STATUS).succeeds().says("Logged in to packs.test").says(" mona ").never_says(&scene.mona.token);
    assert_eq!(scene.sh(CHECK).succeeds().json()["login"], "mona");
    let scopes = scene.sh(&format!("{} --include", CHECK.trim_end())).succeeds();
    scopes.says("X-OAuth-Scopes: delete:packages, read:org, repo, write:packages");

    let rate = scene.sh(RATE).succeeds().json();
    assert_eq!(rate["resources"]["core"]["limit"], 5000, "{rate}");
    let left = rate["rate"]["remaining"].as_u64().expect("a number");
    assert!(left < 5000, "what was asked before has been counted: {rate}");
    scene.sh(CHECK).succeeds();
    assert_eq!(scene.sh(RATE).succeeds().json()["rate"]["remaining"].as_u64(), Some(left - 1));
}

#[test]
fn the_guides_troubleshooting_of_images() {
    let scene = Scene::new();
    let engine = scene.engine();
    let desk = scene.desk.path();
    let place = [("owner/image:tag", "mona/my-app:v1")];
    let name = format!("{HOST}/mona/my-app:v1");
    let image = load(&engine, desk, &name);
    let hubot = scene.house.user("hubot");
    scene.house.caller(&hubot).push("hubot/secret", "v1", &Image::random(100));
    scene.house.caller(&hubot).push("hubot/open", "v1", &Image::random(100));
    scene.house.make_public("hubot/open");

    // The login of this section asks for the password, and asks at a terminal.
    scene.sh_with(&engine, &format!("docker push {name}")).fails().says("denied");
    let login = put(NOT_FOUND, &[("USERNAME", "mona")]);
    let mut terminal = Terminal::open(scene.at_the_desk(engine.client("script", desk)), &script(&login));
    terminal.answer("assword: ", &format!("{}\r", scene.mona.token));
    let said = terminal.succeeds();
    assert!(said.contains("Login Succeeded") && !said.contains(&scene.mona.token), "{said}");
    scene.sh_with(&engine, &format!("docker push {name}")).succeeds();

    let inspected = scene.sh_with(&engine, &put(INSPECT, &place)).succeeds().json();
    assert_eq!(inspected[0]["Id"], image.config.digest, "{inspected}");
    let digest = scene.house.caller(&scene.mona).digest_of("mona/my-app", "v1");
    let digests = serde_json::json!([format!("{HOST}/mona/my-app@{digest}")]);
    assert_eq!(inspected[0]["RepoDigests"], digests, "{inspected}");

    let manifest = scene.sh_with(&engine, &put(MANIFEST, &place)).succeeds().json();
    assert_eq!(manifest["config"]["digest"], image.config.digest, "{manifest}");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(2), "{manifest}");

    // The catalogue, which ghcr.io has for nobody: what the caller may pull, and nothing without a token.
    let catalog = scene.sh(&put(CATALOG, &[("TOKEN", &scene.mona.token)])).succeeds().json();
    assert_eq!(catalog["repositories"], serde_json::json!(["hubot/open", "mona/my-app"]), "{catalog}");
    let refused = scene.sh(&put(CATALOG, &[("TOKEN", "phr_wrong")])).succeeds().json();
    assert_eq!(refused["errors"][0]["code"], "UNAUTHORIZED", "{refused}");
    let nobody = scene.house.nobody().get("/v2/_catalog");
    assert_eq!(nobody.status, 401, "{nobody}");
}
