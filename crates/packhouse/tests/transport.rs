//! Connections, from outside: sockets and what comes back on them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

mod common;

use common::{House, LIMITS, PATIENCE, get, get_and_stay, read_to_end, read_until};
use packhouse::transport::{Limits, Phase};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SHORT: Duration = Duration::from_millis(400);

/// The beginning of a TLS 1.2 record with a ClientHello in it.
const CLIENT_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x03];

#[tokio::test]
async fn requests_are_answered_and_connections_kept() {
    let house = House::new(LIMITS).await;
    let mut socket = house.connect().await;
    for _ in 0..3 {
        socket.write_all(get_and_stay("/").as_bytes()).await.unwrap();
        read_until(&mut socket, "hello, HTTP/1.1 tls=false").await;
    }
    assert_eq!(house.open.get(), 1);
}

/// clients.md: docker's image store and containerd try TLS on plain ports and wait 10 s when nothing comes back.
#[tokio::test]
async fn a_client_hello_on_a_plain_port_gets_a_plain_400_and_the_end() {
    let house = House::new(LIMITS).await;
    let began = Instant::now();
    let mut socket = house.connect().await;
    socket.write_all(CLIENT_HELLO).await.unwrap();
    read_until(&mut socket, "use http://").await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let answer = house.exchange(&[CLIENT_HELLO, &[0; 500]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[tokio::test]
async fn who_never_sends_a_header_is_cut() {
    let house = House::new(Limits { header_time: SHORT, ..LIMITS }).await;
    assert_eq!(house.exchange(b"").await, "");
    assert_eq!(house.exchange(b"GET / HTTP/1.1\r\nHost: reg").await, "");
    // HTTP/2: the preface alone is no request.
    let answer = house.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!answer.contains("HTTP/1"), "{answer}");
    // A slow header on a connection that was used before.
    let mut socket = house.connect().await;
    socket.write_all(get_and_stay("/").as_bytes()).await.unwrap();
    read_until(&mut socket, "hello").await;
    socket.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_to_end(&mut socket).await, "");
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut() {
    let house = House::new(Limits { stall_time: SHORT, ..LIMITS }).await;
    let began = Instant::now();
    let answer =
        house.exchange(b"PUT /upload HTTP/1.1\r\nHost: reg.test\r\nContent-Length: 100\r\n\r\nabc").await;
    assert!(began.elapsed() >= SHORT);
    assert_eq!(answer, "");
}

/// angos, changelog: slow downloads were cut by a total time-out.
#[tokio::test]
async fn a_download_is_cut_when_it_stalls_and_never_for_being_slow() {
    let house = House::new(Limits { stall_time: SHORT, ..LIMITS }).await;
    let size = 8 << 20;
    let mut socket = house.connect().await;
    socket.write_all(get(&format!("/bytes/{size}")).as_bytes()).await.unwrap();
    let (began, mut read) = (Instant::now(), 0);
    let mut buffer = vec![0; size / 16];
    // 16 pieces, each with a pause: several stall times in all, none in a row.
    while let Ok(count @ 1..) = socket.read_exact(&mut buffer).await {
        read += count;
        tokio::time::sleep(SHORT / 4).await;
    }
    assert!(read >= size && began.elapsed() > SHORT * 2, "{read} bytes in {:?}", began.elapsed());

    let mut socket = house.connect().await;
    socket.write_all(get("/bytes/100000000").as_bytes()).await.unwrap();
    while house.open.get() > 0 {
        tokio::time::sleep(SHORT / 8).await;
        assert!(began.elapsed() < PATIENCE, "the stalled download still holds its place");
    }
}

#[tokio::test]
async fn our_own_slowness_cuts_nobody() {
    let house = House::new(Limits { stall_time: SHORT, header_time: SHORT, ..LIMITS }).await;
    let mut socket = house.connect().await;
    socket.write_all(get("/hold").as_bytes()).await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    house.rooms.let_go.notify_one();
    read_until(&mut socket, "let go").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let house = House::new(Limits { idle_time: SHORT, ..LIMITS }).await;
    let answer = house.exchange(get_and_stay("/").as_bytes()).await;
    assert!(answer.ends_with("hello, HTTP/1.1 tls=false"), "{answer}");
}

#[tokio::test]
async fn who_comes_when_the_house_is_full_waits() {
    let house = House::new(Limits { connections_max: 1, ..LIMITS }).await;
    let mut first = house.connect().await;
    first.write_all(get("/hold").as_bytes()).await.unwrap();
    house.rooms.held.notified().await;
    let mut second = house.connect().await;
    second.write_all(get("/").as_bytes()).await.unwrap();
    let early = tokio::time::timeout(SHORT, second.read_u8()).await;
    assert!(early.is_err(), "the second one was served beside the first");
    house.rooms.let_go.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("let go"));
    assert!(read_to_end(&mut second).await.contains("hello"));
}

/// A close with unread bytes resets the connection, and the reset would overtake the answer.
#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let house = House::new(LIMITS).await;
    let socket = house.connect().await;
    let (mut reader, mut writer) = socket.into_split();
    let head = "PUT /refuse HTTP/1.1\r\nHost: reg.test\r\nContent-Length: 100000000\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        for _ in 0..200 {
            if writer.write_all(&[7; 65536]).await.is_err() {
                return;
            }
        }
    });
    sending.await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn draining_finishes_what_runs_and_accepts_nothing_new() {
    let house = House::new(LIMITS).await;
    let mut idle = house.connect().await;
    idle.write_all(get_and_stay("/").as_bytes()).await.unwrap();
    read_until(&mut idle, "hello").await;
    let silent = house.connect().await;
    let mut busy = house.connect().await;
    busy.write_all(get_and_stay("/hold").as_bytes()).await.unwrap();
    house.rooms.held.notified().await;

    house.drain();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(house.stop.finished(SHORT).await > 0, "one transfer still runs");
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err());
    house.rooms.let_go.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("let go"));
    assert_eq!(house.finished().await, 0);
    drop(silent);
}

#[tokio::test]
async fn what_outlasts_the_draining_is_cut() {
    let house = House::new(LIMITS).await;
    let mut busy = house.connect().await;
    busy.write_all(get("/hold").as_bytes()).await.unwrap();
    house.rooms.held.notified().await;
    house.stop.enter(Phase::Over);
    assert_eq!(read_to_end(&mut busy).await, "");
    assert_eq!(house.finished().await, 0);
    assert_eq!(house.open.get(), 0);
}

#[tokio::test]
async fn http_2_without_tls_is_understood() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let house = House::new(LIMITS).await;
    let io = TokioIo::new(house.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = |path: &str| {
        http::Request::get(format!("http://reg.test{path}")).body(Empty::<bytes::Bytes>::new()).unwrap()
    };
    let answer = client.send_request(request("/")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello, HTTP/2.0 tls=false");
    // A transfer that runs when draining begins is finished; then the connection ends.
    let answer = client.send_request(request("/bytes/3000000")).await.unwrap();
    house.drain();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 3_000_000);
    tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap().unwrap();
    assert_eq!(house.finished().await, 0);
}

/// HTTP/2 has its own windows: the socket is free, and yet the client takes nothing.
#[tokio::test]
async fn a_stalled_http_2_download_is_cut() {
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let house = House::new(Limits { stall_time: SHORT, ..LIMITS }).await;
    let io = TokioIo::new(house.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request =
        http::Request::get("http://reg.test/bytes/100000000").body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    // Held, not read.
    let ended = tokio::time::timeout(PATIENCE, driver).await.expect("the connection ends");
    assert!(ended.unwrap().is_err());
    drop(answer);
}
