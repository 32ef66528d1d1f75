//! The program itself: what it prints, how it ends, what its commands do with and without a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "a-token-of-thirty-two-characters";

fn packhouse(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packhouse"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PACKHOUSE_") {
            command.env_remove(name);
        }
    }
    command.env("PACKHOUSE_DATA", data);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    packhouse(data).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs an operator's command that must succeed; answers its JSON.
fn json(data: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = packhouse(data).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

struct Server {
    child: Child,
    /// What was printed before `listening on`.
    greeting: String,
    address: SocketAddr,
}

impl Server {
    fn start(data: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = packhouse(data);
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        configure(&mut command);
        let mut server =
            Self { child: command.spawn().unwrap(), greeting: String::new(), address: ([0; 4], 0).into() };
        let mut stdout = BufReader::new(server.child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended after: {}", server.greeting);
            if let Some(url) = line.strip_prefix("listening on ") {
                server.address = url.trim().rsplit('/').next().unwrap().parse().unwrap();
                return server;
            }
            server.greeting.push_str(&line);
        }
    }

    fn signal(&self, name: &str) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            _ => panic!("{name}"),
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; answers the exit status.
    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not end");
    }

    fn stop(&mut self) {
        self.signal("TERM");
        assert_eq!(self.ended(), Some(0));
    }

    fn request(&self, request: &str) -> String {
        ask(self.address, request)
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: reg.test\r\nConnection: close\r\n{headers}\r\n"))
    }

    /// The status of `GET /v2/` with a token.
    fn sign_in(&self, token: &str) -> String {
        let answer = self.get("/v2/", &format!("Authorization: Bearer {token}\r\n"));
        answer.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_first_start_prints_a_token_and_two_lines_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), |_| {});
    let lines: Vec<&str> = server.greeting.lines().collect();
    let token = *lines.iter().find(|line| line.starts_with("phr_")).expect("a line with the token");
    let host = server.address;
    assert!(
        lines.contains(&format!("echo {token} | docker login {host} -u admin --password-stdin").as_str())
    );
    assert!(lines.contains(&format!("docker push {host}/admin/hello:latest").as_str()));
    assert_eq!(server.sign_in(token), "200");
    assert_eq!(server.sign_in("phr_wrong"), "401");
    let token = token.to_owned();
    server.stop();

    let server = Server::start(folder.path(), |_| {});
    assert_eq!(server.greeting, "");
    assert_eq!(server.sign_in(&token), "200");
}

#[test]
fn a_given_token_is_not_printed_and_the_next_one_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), |command| {
        command.env("PACKHOUSE_ADMIN", "root").env("PACKHOUSE_ADMIN_TOKEN", TOKEN);
    });
    assert_eq!(server.greeting, "");
    assert_eq!(server.sign_in(TOKEN), "200");
    assert_eq!(json(folder.path(), &["user", "list"])[0]["name"], "root");
    server.stop();

    let other = TOKEN.to_uppercase();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{other}\n")).unwrap();
    let server = Server::start(folder.path(), |command| {
        command.env("PACKHOUSE_ADMIN", "root").env("PACKHOUSE_ADMIN_TOKEN_FILE", &file);
    });
    assert_eq!((server.sign_in(TOKEN), server.sign_in(&other)), ("401".to_owned(), "200".to_owned()));
}

#[test]
fn the_lines_of_the_last_requests_are_in_the_log_of_a_clean_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut server = Server::start(&folder.path().join("data"), |command| {
        command.stderr(file).env("PACKHOUSE_LOG_FORMAT", "json");
    });
    for n in 0..20 {
        assert!(server.get(&format!("/v2/mona/app/manifests/v{n}"), "").starts_with("HTTP/1.1 401"));
    }
    server.stop();
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<&str> = lines.iter().filter_map(|line| line["http.path"].as_str()).collect();
    let wanted: Vec<String> = (0..20).map(|n| format!("/v2/mona/app/manifests/v{n}")).collect();
    assert_eq!(paths, wanted);
    assert_eq!(lines.last().unwrap()["message"], "closed", "in the order of what happened");
    let one = lines.iter().find(|line| line["http.path"] == "/v2/mona/app/manifests/v0").unwrap();
    let names: std::collections::BTreeSet<&str> =
        one.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "timestamp",
        "level",
        "message",
        "http.method",
        "http.path",
        "http.status",
        "route",
        "client.address",
        "received_bytes",
        "sent_bytes",
        "seconds",
        "target",
        "span",
    ];
    assert_eq!(names, expected.into());
}

#[test]
fn a_short_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        packhouse(folder.path()).arg("serve").env("PACKHOUSE_ADMIN_TOKEN", "short").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("`admin_token` (PACKHOUSE_ADMIN_TOKEN): it has 5 characters"), "{error}");
}

#[test]
fn the_realm_comes_from_the_request_and_every_answer_has_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), |_| {});
    let answer = server.get("/v2/", "X-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\n");
    assert!(answer.contains("realm=\"http://reg.test/token\""), "{answer}");
    for path in ["/v2/", "/healthz", "/readyz", "/metrics", "/token", "/nothing", "/v2/a/b/c/d"] {
        let answer = server.get(path, "");
        assert!(answer.contains("\r\nx-request-id: "), "{path}: {answer}");
    }
    let answer = server.request("GET /v2/ HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 400") && answer.contains("no Host header"), "{answer}");
    let answer = server.request("GET /healthz HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200"), "probes need no Host: {answer}");
    assert!(
        server.request("DELETE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").contains(" 405 ")
    );
    assert!(server.get("/metrics", "").contains("packhouse_http_requests_total{route=\"base\""));
}

#[test]
fn behind_a_proxy_the_realm_is_what_the_proxy_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), |command| {
        command.args(["--trusted-proxies", "127.0.0.1"]);
    });
    let answer = server.get("/v2/", "X-Forwarded-Host: reg.example\r\nX-Forwarded-Proto: https\r\n");
    assert!(answer.contains("realm=\"https://reg.example/token\""), "{answer}");
}

#[test]
fn metrics_may_have_an_address_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(folder.path(), |command| {
        command.args(["--metrics-listen", &free.to_string()]);
    });
    assert!(server.get("/metrics", "").starts_with("HTTP/1.1 404"));
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // The connection of the request before is closed by the client first; the server may count it a moment longer.
    let deadline = Instant::now() + PATIENCE;
    while !ask(free, &request("/metrics")).contains("packhouse_connections 0\n") {
        assert!(Instant::now() < deadline, "the listener for metrics is none of the server's connections");
    }
    assert!(ask(free, &request("/readyz")).contains("ready"));
    assert!(ask(free, &request("/v2/")).starts_with("HTTP/1.1 404"));
}

/// A transfer that has begun and waits for the rest of its body.
fn begin_upload(server: &Server, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v2/admin/app/blobs/uploads/ HTTP/1.1\r\nHost: reg.test\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let count = socket.read(&mut answer).unwrap();
    let answer = text(&answer[..count]);
    let (_, rest) = answer.split_once("location: ").unwrap_or_else(|| panic!("{answer}"));
    let location = rest.split_once("\r\n").unwrap().0;
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: reg.test\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 10\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    // The handler reads: the transfer has begun.
    let count = socket.read(&mut answer).unwrap();
    assert!(text(&answer[..count]).starts_with("HTTP/1.1 100"), "{}", text(&answer[..count]));
    socket
}

#[test]
fn a_signal_lets_transfers_finish() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), |command| {
        command.env("PACKHOUSE_ADMIN_TOKEN", TOKEN);
    });
    let mut transfer = begin_upload(&server, TOKEN);
    transfer.write_all(b"01234").unwrap();
    server.signal("TERM");
    let began = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it still accepts");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the transfer");
    transfer.write_all(b"56789").unwrap();
    let mut answer = String::new();
    transfer.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(server.ended(), Some(0));
    assert!(!folder.path().join("packhouse.sock").exists());
}

#[test]
fn draining_has_an_end_and_a_second_signal_ends_at_once() {
    for (drain_seconds, signals) in [("1", &["INT"][..]), ("3600", &["TERM", "INT"][..])] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path(), |command| {
            command.env("PACKHOUSE_ADMIN_TOKEN", TOKEN).args(["--drain-seconds", drain_seconds]);
        });
        let _transfer = begin_upload(&server, TOKEN);
        for signal in signals {
            server.signal(signal);
            std::thread::sleep(Duration::from_millis(300));
        }
        assert_eq!(server.ended(), Some(0));
    }
}

#[test]
fn commands_work_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = Some(Server::start(data, |_| {}));
    for user in ["mona", "hubot"] {
        json(data, &["user", "create", user]);
        json(data, &["org", "create", &format!("{user}-org"), "--owner", user]);
        let made = json(data, &["token", "create", user, "--scopes", "read:packages", "--expires", "90d"]);
        assert!(made["token"].as_str().unwrap().starts_with("phr_") && made["id"].is_i64(), "{made}");
        let id = made["id"].to_string();
        let token = made["token"].as_str().unwrap().to_owned();
        if let Some(server) = &server {
            assert_eq!(server.sign_in(&token), "200");
        }
        json(data, &["token", "revoke", &id]);
        if let Some(server) = &server {
            assert_eq!(server.sign_in(&token), "401");
        }
        assert_ne!(json(data, &["token", "list", user])[0]["revoked_at"], serde_json::Value::Null);
        json(data, &["org", "add-member", &format!("{user}-org"), "admin", "--role", "owner"]);
        assert_eq!(json(data, &["org", "members", &format!("{user}-org")]).as_array().unwrap().len(), 2);
        json(data, &["org", "remove-member", &format!("{user}-org"), user]);
        json(data, &["user", "suspend", user]);
        json(data, &["user", "resume", user]);
        assert_eq!(json(data, &["package", "list"]), serde_json::json!([]));
        // The second round has no server.
        if let Some(mut server) = server.take() {
            server.stop();
        }
    }
    let table = text(&run(data, &["user", "list"]).stdout);
    assert_eq!(table.lines().count(), 4, "{table}");
    let refusal = run(data, &["user", "create", "mona"]);
    assert_eq!(refusal.status.code(), Some(1));
    assert!(
        text(&refusal.stderr).starts_with("error: the name `mona` is taken"),
        "{}",
        text(&refusal.stderr)
    );
}

#[test]
fn a_mistyped_folder_does_not_become_a_registry() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let output = run(&missing, &["user", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is no data folder"), "{}", text(&output.stderr));
    assert!(!missing.exists());
}

#[test]
fn a_command_on_an_empty_folder_shows_the_first_token_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["user", "list", "--json"]);
    let users: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(users[0]["name"], "admin");
    assert!(text(&output.stderr).contains("\nphr_"), "{}", text(&output.stderr));
}

#[test]
fn a_second_server_on_one_folder_is_refused_by_name_and_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), |_| {});
    let output = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains(&format!("(process {})", server.child.id())), "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}

/// What a killed server leaves behind stops nobody.
#[test]
fn a_kill_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), |_| {});
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(folder.path().join("packhouse.sock").exists());
    assert_eq!(json(folder.path(), &["user", "list"])[0]["name"], "admin");
    Server::start(folder.path(), |_| {});
}

#[test]
fn config_check_prints_what_holds_and_refuses_what_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packhouse.toml");
    std::fs::write(&file, "sparse_manifests = 'allow'\n").unwrap();
    let check = |extra: &[&str]| {
        let mut command = packhouse(folder.path());
        command.args(["config", "check", "--config"]).arg(&file).args(extra);
        command.env("PACKHOUSE_DATABASE_URL", "postgres://u:s3cret@db/packhouse").output().unwrap()
    };
    let output = check(&[]);
    let table = text(&output.stdout);
    assert!(output.status.success() && !table.contains("s3cret"), "{table}");
    let row = table.lines().find(|line| line.starts_with("sparse_manifests")).unwrap();
    assert!(row.ends_with("packhouse.toml:1") && row.contains("  allow  "), "{row}");
    let rows: serde_json::Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert!(rows.as_array().unwrap().iter().any(|row| row["value"] == "postgres://u:***@db/packhouse"));

    let output = check(&["--tls-certificate", "/nowhere.pem", "--tls-key", "/nowhere.key"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot read the TLS certificate `/nowhere.pem`"));
    std::fs::write(&file, "sparse_manifest = 'allow'\n").unwrap();
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr)
            .contains("line 1: unknown key `sparse_manifest`; did you mean `sparse_manifests`?")
    );
}

#[test]
fn help_is_there_for_everything() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&run(folder.path(), &["--help"]).stdout);
    for word in ["serve", "config", "user", "org", "token", "package", "Examples:"] {
        assert!(help.contains(word), "{help}");
    }
    let help = text(&run(folder.path(), &["serve", "--help"]).stdout);
    for word in ["--stall-seconds", "PACKHOUSE_STALL_SECONDS", "--tls-certificate", "Proxies and TLS"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(!help.contains("--admin-token "), "{help}");
}
