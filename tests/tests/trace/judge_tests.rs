//! The judge judged: each trace is right as a whole and wrong without any one of its syncs.

use crate::judge::{Fault, Trial};
use crate::strace;

/// A PUT of 1,048,577 bytes in two writes to a new file, as strace writes it down.
const PUT: &str = r#"
100 openat(AT_FDCWD</>, "/data/blobs/2f/2f01", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 11</data/blobs/2f/2f01>
100 write(11</data/blobs/2f/2f01>, "\x1f\x8b = (1"..., 1048576) = 1048576
100 write(11</data/blobs/2f/2f01>, "\x00", 1) = 1
100 fdatasync(11</data/blobs/2f/2f01>)  = 0
100 openat(AT_FDCWD</>, "/data/blobs/2f", O_RDONLY|O_CLOEXEC) = 12</data/blobs/2f>
100 fsync(12</data/blobs/2f>)           = 0
101 pwrite64(7</data/catalog.db-wal>, "..."..., 24, 4152) = 24
101 pwrite64(7</data/catalog.db-wal>, "..."..., 4096, 4176) = 4096
101 fdatasync(7</data/catalog.db-wal>)  = 0
102 writev(9<socket:[77]>, [{iov_base="HTTP/1.1 201 Created\r\nlocation: "..., iov_len=210}], 1) = 210
103 +++ exited with 0 +++
"#;

/// The same with other threads between, which splits calls in two.
const SPLIT: &str = r#"
100 mkdir("/data/blobs/2f", 0700)           = 0
100 openat(AT_FDCWD</>, "/data/blobs/2f/2f01", O_RDWR|O_CREAT|O_CLOEXEC, 0600 <unfinished ...>
101 futex(0x7f, FUTEX_WAKE_PRIVATE, 1 <unfinished ...>
100 <... openat resumed>) = 11</data/blobs/2f/2f01>
100 write(11</data/blobs/2f/2f01>, "abc"..., 300 <unfinished ...>
101 <... futex resumed>) = 1
100 <... write resumed>) = 300
100 fsync(3</data/blobs>)                   = 0
100 fdatasync(11</data/blobs/2f/2f01> <unfinished ...>
102 fsync(12</data/blobs/2f> <unfinished ...>
102 <... fsync resumed>) = 0
100 <... fdatasync resumed>) = 0
101 pwrite64(7</data/catalog.db-wal>, "..."..., 4096, 4176 <unfinished ...>
101 <... pwrite64 resumed>) = 4096
101 fdatasync(7</data/catalog.db-wal> <unfinished ...>
101 <... fdatasync resumed>) = 0
102 sendto(9<socket:[77]>, "HTTP/1.1 202 Accepted\r\n"..., 210, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
102 <... sendto resumed>) = 210
"#;

/// The faults at the only promise of a trace.
#[track_caller]
fn faults(trace: &str) -> Vec<Fault> {
    let calls = strace::read(trace.trim_start());
    let trial = Trial::new(&calls, "/data");
    let promises = trial.promises();
    assert_eq!(promises.len(), 1, "one promise in {trace}");
    trial.faults(promises[0].1)
}

/// The trace without the lines in which all of `words` stand.
#[track_caller]
fn without(trace: &str, words: &[&str]) -> String {
    let (dropped, kept): (Vec<&str>, Vec<&str>) =
        trace.lines().partition(|line| words.iter().all(|word| line.contains(word)));
    assert!(!dropped.is_empty(), "no line with {words:?}");
    kept.join("\n")
}

/// The trace with the line of `words` moved behind the line of `behind`.
#[track_caller]
fn moved(trace: &str, words: &str, behind: &str) -> String {
    let line = trace.lines().find(|line| line.contains(words)).expect("there is such a line");
    let moved = without(trace, &[words]).lines().map(str::to_owned).collect::<Vec<_>>();
    let with_it = |kept: &String| {
        if kept.contains(behind) { vec![kept.clone(), line.to_owned()] } else { vec![kept.clone()] }
    };
    moved.iter().flat_map(with_it).collect::<Vec<_>>().join("\n")
}

fn bytes(path: &str) -> Vec<Fault> {
    vec![Fault::Bytes(path.to_owned())]
}

fn name(path: &str) -> Vec<Fault> {
    vec![Fault::Name(path.to_owned())]
}

#[test]
fn a_push_with_all_its_syncs_is_right() {
    assert_eq!(faults(PUT), []);
    assert_eq!(faults(SPLIT), []);
}

#[test]
fn a_sync_that_is_missing_is_missed() {
    assert_eq!(faults(&without(PUT, &["fdatasync(11"])), bytes("/data/blobs/2f/2f01"));
    assert_eq!(faults(&without(PUT, &["fsync(12"])), name("/data/blobs/2f/2f01"));
    assert_eq!(faults(&without(PUT, &["fdatasync(7"])), bytes("/data/catalog.db-wal"));
    assert_eq!(faults(&without(SPLIT, &["100 ", "fdatasync"])), bytes("/data/blobs/2f/2f01"));
    assert_eq!(faults(&without(SPLIT, &["102 ", "fsync"])), name("/data/blobs/2f/2f01"));
    assert_eq!(faults(&without(SPLIT, &["101 ", "fdatasync"])), bytes("/data/catalog.db-wal"));
    assert_eq!(faults(&without(SPLIT, &["fsync(3"])), name("/data/blobs/2f"));
}

#[test]
fn a_sync_that_comes_too_early_or_too_late_is_no_sync() {
    assert_eq!(
        faults(&moved(PUT, "fdatasync(11", "1048576")),
        bytes("/data/blobs/2f/2f01"),
        "before the last write"
    );
    assert_eq!(
        faults(&moved(PUT, "fdatasync(11", "HTTP/1.1")),
        bytes("/data/blobs/2f/2f01"),
        "after the answer"
    );
    assert_eq!(
        faults(&moved(PUT, "fdatasync(7", "HTTP/1.1")),
        bytes("/data/catalog.db-wal"),
        "after the answer"
    );
    let early = moved(PUT, "O_RDWR|O_CREAT", "fsync(12");
    assert_eq!(faults(&early), name("/data/blobs/2f/2f01"), "the folder before the file was there");
    // A sync that runs while bytes are written, or that has not returned when the answer leaves.
    let other_thread =
        SPLIT.replace("100 fdatasync", "103 fdatasync").replace("100 <... fdatasync", "103 <... fdatasync");
    assert_eq!(faults(&other_thread), []);
    let running = moved(&other_thread, "<... write resumed>", "fdatasync(11");
    assert_eq!(faults(&running), bytes("/data/blobs/2f/2f01"), "during the write");
    let running = moved(SPLIT, "101 <... fdatasync resumed>", "sendto(9");
    assert_eq!(faults(&running), bytes("/data/catalog.db-wal"), "still running");
}

#[test]
fn a_sync_that_failed_is_no_sync() {
    let failed = PUT.replace(
        "fdatasync(7</data/catalog.db-wal>)  = 0",
        "fdatasync(7</data/catalog.db-wal>) = -1 EIO (x)",
    );
    assert_eq!(faults(&failed), bytes("/data/catalog.db-wal"));
}

#[test]
fn a_sync_of_another_file_is_no_sync() {
    assert_eq!(
        faults(&PUT.replace("fdatasync(11</data/blobs/2f/2f01>", "fdatasync(11</data/blobs/2f/2f02>")),
        bytes("/data/blobs/2f/2f01")
    );
}

#[test]
fn what_is_no_promise_is_not_judged() {
    // The shared memory, the lock, a file elsewhere, one that is gone again.
    let more = r#"
100 pwrite64(8</data/catalog.db-shm>, "..."..., 4096, 0) = 4096
100 openat(AT_FDCWD</>, "/data/packhouse.lock", O_RDWR|O_CREAT, 0600) = 5</data/packhouse.lock>
100 write(2</tmp/server.log>, "{}", 2) = 2
100 openat(AT_FDCWD</>, "/data/catalog.db-journal", O_RDWR|O_CREAT, 0600) = 6</data/catalog.db-journal>
100 pwrite64(6</data/catalog.db-journal>, "..."..., 512, 0) = 512
100 unlink("/data/catalog.db-journal") = 0
"#;
    assert_eq!(faults(&format!("{}{}", more.trim_start(), PUT.trim_start())), []);
}

#[test]
fn bytes_are_counted() {
    let calls = strace::read(PUT.trim_start());
    let trial = Trial::new(&calls, "/data");
    let seen = trial.seen(0, trial.promises()[0].1);
    assert_eq!((seen.blob_bytes, seen.log_bytes, seen.blob_files), (1_048_577, 4_120, 1));
}
