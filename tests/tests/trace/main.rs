//! The order of syncs, seen from outside: the real program runs under strace, and nothing is promised before it
//! is on disk.
//!
//! A program that is killed loses nothing that it wrote, synced or not, because the system keeps it; only a
//! power cut tells. So the calls themselves are looked at: before an answer 201 or 202 enters its socket, the
//! blob's bytes are synced after their last write, a new file's folder after the file was made, and the
//! catalog's log after its last write.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod judge;
mod judge_tests;
mod strace;

use std::path::PathBuf;

use packhouse_tests::image::Parcel as _;
use packhouse_tests::{Blob, Caller, House, Image, tool};

use crate::judge::Trial;

const STREAM: &str = "application/octet-stream";

/// A house under strace, and where the trace is written.
fn traced() -> (House, PathBuf, tempfile::TempDir) {
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("trace");
    let strace = tool("strace");
    // `-D`: the program keeps its process id and is nobody's grandchild.
    let words = ["-D", "-f", "-y", "-s", "300", "-e", strace::CALLS, "-o"];
    let wrapper = std::iter::once(strace.into_os_string())
        .chain(words.map(Into::into))
        .chain([file.clone().into_os_string()]);
    (House::builder().behind(wrapper).start(), file, desk)
}

#[track_caller]
fn begin(door: &Caller) -> String {
    let answer = door.send_bytes("POST", "/v2/mona/app/blobs/uploads/", STREAM, &[]);
    assert_eq!(answer.status, 202, "{answer}");
    answer.header("location").expect("a Location").to_owned()
}

#[track_caller]
fn send(door: &Caller, method: &str, path: &str, media_type: &str, bytes: &[u8], status: u16) {
    let answer = door.send_bytes(method, path, media_type, bytes);
    assert_eq!(answer.status, status, "{method} {path}: {answer}");
}

#[test]
fn data_folder_and_log_are_synced_before_a_201_or_202_leaves() {
    let (mut house, file, _desk) = traced();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let whole = Blob::random(3_000_000);
    let parts = Blob::random(2_500_000);
    let image = Image::random(5_000);
    let put = |location: &str, blob: &Blob| format!("{location}?digest={}", blob.digest);

    // Each promise with the bytes of blobs that it is about.
    let mut promises: Vec<(&str, u16, u64, usize)> = Vec::new();
    let path = format!("/v2/mona/app/blobs/uploads/?digest={}", whole.digest);
    send(&door, "POST", &path, STREAM, &whole.bytes, 201);
    promises.push(("a blob in one POST", 201, 3_000_000, 1));
    let location = begin(&door);
    promises.push(("a session", 202, 0, 0));
    send(&door, "PATCH", &location, STREAM, &parts.bytes[..1_500_000], 202);
    promises.push(("the first PATCH", 202, 1_500_000, 1));
    send(&door, "PATCH", &location, STREAM, &parts.bytes[1_500_000..2_000_000], 202);
    promises.push(("the second PATCH", 202, 500_000, 0));
    send(&door, "PUT", &put(&location, &parts), STREAM, &parts.bytes[2_000_000..], 201);
    promises.push(("the PUT", 201, 500_000, 0));
    for blob in image.blobs() {
        let location = begin(&door);
        promises.push(("a session", 202, 0, 0));
        send(&door, "PUT", &put(&location, blob), STREAM, &blob.bytes, 201);
        promises.push(("a PUT with all of it", 201, blob.bytes.len() as u64, 1));
    }
    send(&door, "PUT", "/v2/mona/app/manifests/v1", &image.manifest.media_type, &image.manifest.bytes, 201);
    promises.push(("a manifest", 201, 0, 0));
    // What is there already is received all the same, and its name counts as well.
    send(&door, "POST", &path, STREAM, &whole.bytes, 201);
    promises.push(("the same blob again", 201, 3_000_000, 1));
    let mount = format!("/v2/mona/other/blobs/uploads/?mount={}&from=mona/app", whole.digest);
    send(&door, "POST", &mount, STREAM, &[], 201);
    promises.push(("a mount", 201, 0, 0));
    for (what, path) in [
        ("a tag's end", "/v2/mona/app/manifests/v1".to_owned()),
        ("a manifest's end", format!("/v2/mona/app/manifests/{}", image.digest())),
        ("a blob's end", format!("/v2/mona/app/blobs/{}", whole.digest)),
    ] {
        assert_eq!(door.delete(&path).status, 202, "{what}");
        promises.push((what, 202, 0, 0));
    }
    house.close();

    let trace = std::fs::read_to_string(&file).expect("strace wrote a trace");
    let calls = strace::read(&trace);
    let trial = Trial::new(&calls, &house.data().display().to_string());
    let all = trial.promises();
    // What the operator asked for before comes first, if the socket speaks HTTP; it must be on disk as well.
    let (before, ours) =
        all.split_at(all.len().checked_sub(promises.len()).expect("all answers are in the trace"));
    let mut last = before.last().map_or(0, |(_, moment)| *moment);
    for ((status, moment), (what, expected, bytes, files)) in ours.iter().zip(&promises) {
        assert_eq!(status, expected, "the answer to {what}");
        assert_eq!(trial.faults(*moment), [], "not on disk when the {status} to {what} left");
        let seen = trial.seen(last, *moment);
        assert_eq!(
            (seen.blob_bytes, seen.blob_files),
            (*bytes, *files),
            "the blob's bytes and file of {what}"
        );
        assert!(seen.log_bytes > 0, "{what} wrote nothing into the catalog: {seen:?}");
        last = *moment;
    }
    for (status, moment) in before {
        assert_eq!(trial.faults(*moment), [], "not on disk when a {status} left");
    }
}

#[test]
fn a_first_start_is_on_disk_before_its_token_is_printed() {
    let (mut house, file, _desk) = traced();
    let token = house.admin().token;
    house.close();

    let trace = std::fs::read_to_string(&file).expect("strace wrote a trace");
    let calls = strace::read(&trace);
    let trial = Trial::new(&calls, &house.data().display().to_string());
    let moment = trial.printed(&token).expect("the token is in the trace");
    assert_eq!(trial.faults(moment), [], "not on disk when the token was printed");
    let seen = trial.seen(0, moment);
    assert!(seen.log_bytes > 0, "the token was not in the catalog: {seen:?}");
}
