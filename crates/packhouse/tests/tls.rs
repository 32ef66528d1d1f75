//! TLS on real sockets: protocols, stalled handshakes, certificates that change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

mod common;

use common::{House, LIMITS, PATIENCE, get};
use packhouse::config::TlsFiles;
use packhouse::tls::{Tls, TlsError};
use packhouse::transport::Limits;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["reg.test".to_owned()]).unwrap();
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
}

fn write(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("tls.crt"), &pair.certificate).unwrap();
    std::fs::write(folder.join("tls.key"), &pair.key).unwrap();
}

/// Connects and checks that the server shows this certificate; answers the protocol and what `GET /` got.
async fn visit(house: &House, expected: &Pair, alpn: &[&[u8]]) -> Option<(Option<Vec<u8>>, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(expected.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let socket = house.connect().await;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("reg.test").unwrap(), socket).await.ok()?;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if protocol.as_deref() == Some(b"h2") {
        return Some((protocol, String::new()));
    }
    stream.write_all(get("/").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some((protocol, answer))
}

async fn visited(house: &House, expected: &Pair) -> bool {
    visit(house, expected, &[]).await.is_some()
}

/// Visits until the certificate is the expected one: the files are looked at once a second.
async fn comes_to_show(house: &House, expected: &Pair) {
    tokio::time::timeout(PATIENCE, async {
        while !visited(house, expected).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the new certificate is shown");
}

async fn house(folder: &Path, limits: Limits) -> House {
    House::with(limits, Some(Arc::new(Tls::new(files(folder)).unwrap()))).await
}

#[tokio::test]
async fn both_protocols_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair();
    write(folder.path(), &pair);
    let house = house(folder.path(), LIMITS).await;
    let (protocol, answer) = visit(&house, &pair, &[b"http/1.1"]).await.unwrap();
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(answer.ends_with("hello, HTTP/1.1 tls=true"), "{answer}");
    let (protocol, _) = visit(&house, &pair, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(protocol.as_deref(), Some(&b"h2"[..]));
}

/// angos, changelog: a stalled TLS handshake blocked the accept loop.
#[tokio::test]
async fn a_stalled_handshake_blocks_nobody_and_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair();
    write(folder.path(), &pair);
    let house = house(folder.path(), Limits { header_time: Duration::from_secs(2), ..LIMITS }).await;
    let mut stalled: Vec<TcpStream> = Vec::new();
    for _ in 0..5 {
        let mut socket = house.connect().await;
        socket.write_all(&[0x16, 0x03]).await.unwrap();
        stalled.push(socket);
    }
    assert!(visited(&house, &pair).await);
    for mut socket in stalled {
        assert_eq!(common::read_to_end(&mut socket).await, "");
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &pair());
    let house = house(folder.path(), LIMITS).await;
    let answer = house.get("/v2/").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("use https://"), "{answer}");
}

#[tokio::test]
async fn a_changed_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (pair(), pair());
    write(folder.path(), &old);
    let house = house(folder.path(), LIMITS).await;
    assert!(visited(&house, &old).await);

    std::fs::write(folder.path().join("tls.crt"), "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(visited(&house, &old).await, "the old certificate stays");
    // The new certificate is there, its key is not yet.
    std::fs::write(folder.path().join("tls.crt"), &new.certificate).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(visited(&house, &old).await, "the old pair stays");
    std::fs::write(folder.path().join("tls.key"), &new.key).unwrap();
    comes_to_show(&house, &new).await;
    assert!(!visited(&house, &old).await);
}

/// Kubernetes mounts secrets behind `..data`, and turns that link to change all files at once.
#[tokio::test]
async fn a_turned_link_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (pair(), pair());
    for (name, pair) in [("..one", &old), ("..two", &new)] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        write(&folder.path().join(name), pair);
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link("..one", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let house = house(folder.path(), LIMITS).await;
    assert!(visited(&house, &old).await);
    link("..two", "..data_tmp");
    std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    comes_to_show(&house, &new).await;
}

#[test]
fn bad_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let refusal = |files: &TlsFiles| Tls::new(files.clone()).unwrap_err();
    assert!(matches!(refusal(&files), TlsError::Unreadable { what: "certificate", .. }));
    let (one, other) = (pair(), pair());
    write(
        folder.path(),
        &Pair { certificate: one.certificate.clone(), key: other.key, der: one.der.clone() },
    );
    assert!(matches!(refusal(&files), TlsError::Unusable { .. }));
    write(folder.path(), &Pair { certificate: one.key.clone(), key: one.key, der: one.der.clone() });
    let message = refusal(&files).to_string();
    assert!(message.contains("tls.crt` holds no usable PEM certificate"), "{message}");
    write(folder.path(), &Pair { certificate: one.certificate, key: "x".to_owned(), der: one.der });
    assert!(matches!(refusal(&files), TlsError::NotPem { what: "key", .. }));
}
