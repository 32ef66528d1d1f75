//! angos, changelog: EMFILE in accept ended the server. A program of its own, since the limit is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

mod common;

use common::{House, LIMITS, PATIENCE, get, read_to_end};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn running_out_of_file_descriptors_is_waited_out() {
    let house = House::new(LIMITS).await;
    assert!(house.get("/").await.contains("hello"));

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(hoard.len() > 10);
    // One for our own end of the connection; there is none left for the server's.
    hoard.pop();
    let mut socket = house.connect().await;
    socket.write_all(get("/").as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), socket.peek(&mut byte)).await;
    assert!(early.is_err(), "it was accepted without a file descriptor");

    drop(hoard);
    let answer = tokio::time::timeout(PATIENCE, read_to_end(&mut socket)).await.unwrap();
    assert!(answer.contains("hello"), "{answer}");
}
