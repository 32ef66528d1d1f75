//! Addresses, challenges, and a registry that answers as it is told.

use super::session::parameters;
use super::*;
use http_body_util::BodyExt;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each request by its first line and its authorization, and remembers both.
async fn serve(
    answer: impl Fn(&str, &str, &str) -> String + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, own) = (Arc::new(Mutex::new(Vec::new())), address.clone());
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let text = String::from_utf8(request).unwrap();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let header = |name: &str| {
                let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value).to_owned()
            };
            let authorization = header("authorization");
            log.lock().unwrap().push(format!("{path} {authorization}"));
            let said = answer(&path, &authorization, &own);
            let (head, body) = said.split_once("\n\n").unwrap_or((&said, ""));
            let head = head.replace('\n', "\r\n");
            let length = if head.contains("Content-Length") {
                String::new()
            } else {
                format!("\r\nContent-Length: {}", body.len())
            };
            let _ = stream
                .write_all(format!("HTTP/1.1 {head}{length}\r\nConnection: close\r\n\r\n{body}").as_bytes())
                .await;
        }
    });
    (address, asked)
}

fn registry(address: &str, user: Option<&str>) -> Registry {
    let credential = user.map(|user| Credential { user: user.to_owned(), password: "secret".to_owned() });
    Registry::new(RegistryAddress::parse(address, false).unwrap(), credential).unwrap()
}

#[test]
fn addresses_say_what_is_meant() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (text, plain, base, repository, reference) in [
        ("ghcr.io", false, "https://ghcr.io/", None, None),
        ("https://ghcr.io/octo/app", false, "https://ghcr.io/", Some("octo/app"), None),
        ("ghcr.io/octo/app:v1", false, "https://ghcr.io/", Some("octo/app"), Some("v1")),
        (&format!("ghcr.io/octo/app@{digest}"), false, "https://ghcr.io/", Some("octo/app"), Some(&*digest)),
        (
            &format!("ghcr.io/octo/app:v1@{digest}"),
            false,
            "https://ghcr.io/",
            Some("octo/app"),
            Some(&*digest),
        ),
        ("localhost:5000/app", false, "http://localhost:5000/", Some("app"), None),
        ("127.0.0.1:5000", false, "http://127.0.0.1:5000/", None, None),
        ("[::1]:5000/a/b:c", false, "http://[::1]:5000/", Some("a/b"), Some("c")),
        ("https://localhost:5000/app", false, "https://localhost:5000/", Some("app"), None),
        ("registry.test:5000/app", true, "http://registry.test:5000/", Some("app"), None),
        ("docker.io/alpine:3", false, "https://registry-1.docker.io/", Some("library/alpine"), Some("3")),
        ("docker.io/grafana/loki", false, "https://registry-1.docker.io/", Some("grafana/loki"), None),
    ] {
        let read = RegistryAddress::parse(text, plain).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.base.as_str(), base, "{text}");
        assert_eq!(read.repository(), repository, "{text}");
        assert_eq!(read.reference.map(|reference| reference.to_string()).as_deref(), reference, "{text}");
    }
    for text in [
        "",
        "/",
        "http://ghcr.io",
        "ftp://ghcr.io",
        "ghcr.io/a b",
        "ghcr.io/../x",
        "ghcr.io/a//b",
        "ghcr.io/A",
        "ghcr.io/a:",
        "ghcr.io/a@sha256:x",
        "u:p@ghcr.io/a",
        "ghcr.io/a?x=y",
        "ghcr.io/%2e%2e/x",
        "ghcr.io/a#b",
    ] {
        assert!(RegistryAddress::parse(text, false).is_err(), "{text}");
    }
    let said = RegistryAddress::parse("user:hunter2@ghcr.io", false).unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn challenges_are_read() {
    let read = parameters(r#"realm="https://auth.test/token",service="a, \"b\"",scope=plain, Error="x""#);
    let pairs =
        [("realm", "https://auth.test/token"), ("service", "a, \"b\""), ("scope", "plain"), ("error", "x")];
    for (name, value) in pairs {
        assert_eq!(read.get(name).map(String::as_str), Some(value), "{name}");
    }
    for text in ["", "=", "realm", "realm=\"", "realm=\"\\", ",,,=,", "a=b=c", "ä=\"ü"] {
        let _ = parameters(text);
    }
}

#[tokio::test]
async fn a_token_is_fetched_where_the_challenge_says_and_kept() {
    let (address, asked) = serve(|path, authorization, own| match (path, authorization) {
        (path, "Basic b2xkOnNlY3JldA==") if path.starts_with("/token?") => {
            "200 OK\nContent-Type: application/json\n\n{\"token\":\"abc\"}".to_owned()
        }
        (_, "Bearer abc") => "200 OK\n\n{\"tags\":[\"v1\",\"-no-tag\"]}".to_owned(),
        _ => {
            format!("401 Unauthorized\nWWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"own\"")
        }
    })
    .await;
    let registry = registry(&format!("{address}/a/b"), Some("old"));
    for _ in 0..2 {
        let images = registry.images("a/b", None).await.unwrap().items;
        let fine: Vec<_> = images.iter().map(|image| (image.key.as_str(), image.manifest.is_ok())).collect();
        assert_eq!(fine, [("v1", true), ("-no-tag", false)]);
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[1].starts_with("/token?service=own&scope=repository%3Aa%2Fb%3Apull Basic"), "{asked:?}");
    assert!(asked[3].starts_with("/v2/a/b/tags/list?n=500 Bearer abc"), "{asked:?}");
}

#[tokio::test]
async fn a_password_goes_to_nobody_else() {
    let (other, heard) = serve(|_, _, _| "200 OK\n\n{}".to_owned()).await;
    let moved = other.clone();
    let (address, _) = serve(move |path, authorization, _| match authorization {
        "" => "401 Unauthorized\nWWW-Authenticate: Basic realm=\"x\"".to_owned(),
        _ if path.contains("/blobs/") => format!("307 Moved\nLocation: http://{moved}/signed"),
        _ => {
            "200 OK\nLink: <http://evil.test/v2/_catalog?last=b>; rel=\"next\"\n\n{\"repositories\":[\"b\"]}"
                .to_owned()
        }
    })
    .await;
    let registry = registry(&address, Some("old"));
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let blob = registry.blob("b", &digest, 0).await.unwrap().unwrap();
    assert_eq!(blob.body.collect().await.unwrap().to_bytes(), "{}");
    assert_eq!(*heard.lock().unwrap(), ["/signed "]);
    // The next page is asked of the same server, wherever the link leads.
    let page = registry.repositories(None).await.unwrap();
    assert_eq!(page.next.as_deref(), Some("/v2/_catalog?last=b"));
    // A page that is given back must be a path.
    let said = registry.repositories(Some("http://evil.test/v2/_catalog")).await.unwrap_err().to_string();
    assert!(said.contains("another server"), "{said}");
    let said = registry.repositories(Some("//evil.test/v2/_catalog")).await.unwrap_err().to_string();
    assert!(said.contains("another server"), "{said}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    let digest = Digest::of(Algorithm::Sha256, b"right");
    let (address, _) = serve(|path, _, _| match path {
        path if path.contains("sha256:") => "200 OK\nContent-Type: text/html; charset=x\n\nwrong".to_owned(),
        path if path.ends_with("/huge") => format!("200 OK\n\n{}", "x".repeat(5 << 20)),
        path if path.ends_with("/busy") => "503 Busy".to_owned(),
        path if path.ends_with("/denied") => {
            "403 No\n\n{\"errors\":[{\"message\":\"not \\u001b[31m you\"}]}".to_owned()
        }
        path if path.ends_with("/none") => "404 None".to_owned(),
        _ => "200 OK\n\nnot JSON".to_owned(),
    })
    .await;
    let registry = registry(&address, None);
    let get = async |name: &str| registry.manifest("a", &name.parse().unwrap()).await;
    let found = get(&digest.to_string()).await;
    assert!(matches!(found, Err(SourceError::Damaged { .. })), "{found:?}");
    assert!(matches!(get("huge").await, Err(SourceError::Large { .. })));
    assert!(get("busy").await.unwrap_err().passes());
    let said = get("denied").await.unwrap_err().to_string();
    assert!(said.ends_with("answered 403 (not [31m you)"), "{said}");
    assert!(get("none").await.unwrap().is_none());
    assert!(matches!(registry.repositories(None).await, Err(SourceError::Answer { .. })));
    let gone = super::Registry::new(RegistryAddress::parse("127.0.0.1:1", false).unwrap(), None).unwrap();
    assert!(gone.repositories(None).await.unwrap_err().passes());
}

#[tokio::test]
async fn a_blob_goes_on_where_it_broke_off_with_ranges_and_without() {
    let digest = Digest::of(Algorithm::Sha256, b"0123456789");
    let (ranged, _) = serve(|_, _, _| "206 Partial\nContent-Range: bytes 4-9/10\n\n456789".to_owned()).await;
    let (whole, _) = serve(|_, _, _| "200 OK\n\n0123456789".to_owned()).await;
    for address in [ranged, whole] {
        let blob = registry(&address, None).blob("a", &digest, 4).await.unwrap().unwrap();
        assert_eq!(blob.size, Some(10), "{address}");
        assert_eq!(blob.body.collect().await.unwrap().to_bytes(), "456789");
    }
    let (short, _) = serve(|_, _, _| "200 OK\nContent-Length: 10\n\n0123".to_owned()).await;
    let blob = registry(&short, None).blob("a", &digest, 0).await.unwrap().unwrap();
    assert!(blob.body.collect().await.unwrap_err().passes());
}
