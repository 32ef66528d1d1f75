//! Runs: interrupted ones go on, what changes meanwhile is no finding, and only who may gets damaged blobs healed.

use crate::database::Database;
use crate::house::{House, LAYER};
use packhouse_service::operator::{Answer, Command, VerifyCommand};

fn begin(house: &House, repair: bool, resume: bool, again: bool) -> Answer {
    house.wait(house.service.operate(Command::Verify(VerifyCommand::Begin { repair, resume, again })))
}

fn step(house: &House, bytes: u64) -> packhouse_service::operator::VerifyRunView {
    let Answer::VerifyRun(run) = house.verify(VerifyCommand::Step { bytes }) else { panic!("no run") };
    run
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let house = House::whole(Database::sqlite());
    assert!(matches!(begin(&house, false, true, false), Answer::Refused { .. }), "nothing was interrupted");
    begin(&house, false, false, false);
    // Into the middle of the bytes, a few at a time.
    let mut run = step(&house, 1);
    while run.read < 20 {
        run = step(&house, 1);
    }
    assert_eq!((run.stage.as_str(), run.ended_at), ("blobs", None));
    let Answer::VerifyRun(resumed) = begin(&house, false, false, false) else { panic!("no run") };
    assert!(resumed.resumed && resumed.read == run.read);
    // Of another kind, or by wish, it begins anew.
    let Answer::VerifyRun(other) = begin(&house, true, false, false) else { panic!("no run") };
    assert!(!other.resumed && other.read == 0);
    step(&house, u64::MAX);
    let Answer::VerifyRun(again) = begin(&house, true, false, true) else { panic!("no run") };
    assert!(!again.resumed && again.read == 0);
}

#[test]
fn a_blob_is_hashed_over_many_steps() {
    let house = House::whole(Database::sqlite());
    let large = "x".repeat(3_000_000);
    house.push_blob(&large);
    let verified = house.scrub_by(false, 999_983);
    assert_eq!((verified.run.found, verified.run.bytes), (0, verified.run.bytes_total));
    let mut bytes = large.into_bytes();
    let file = house.file(std::str::from_utf8(&bytes).unwrap());
    bytes[2_999_999] = b'y';
    std::fs::write(file, bytes).unwrap();
    let verified = house.scrub_by(false, 999_983);
    assert_eq!(verified.findings.len(), 1);
    assert_eq!(verified.findings[0].kind, "blob-bytes");
}

#[test]
fn what_clients_change_meanwhile_is_no_finding() {
    let house = House::whole(Database::sqlite());
    begin(&house, true, false, true);
    for number in 0..2_000 {
        // Between any two steps something is pushed, deleted, collected.
        match number % 5 {
            0 => drop(house.push_image("v1", &format!("layer {number}"))),
            1 => {
                let digest = house.push_image("gone", &format!("layer {number}"));
                house.delete(&digest);
            }
            2 => house.pass(24 * 3_600),
            3 => house.sweep(),
            _ => drop(house.push_blob(&format!("blob {}", number % 7))),
        }
        if step(&house, 11).ended_at.is_some() {
            break;
        }
    }
    let Answer::Verified(verified) = house.verify(VerifyCommand::Findings) else { panic!("no findings") };
    assert!(verified.run.ended_at.is_some(), "{:?}", verified.run);
    assert!(verified.findings.is_empty(), "{:#?}", verified.findings);
}

#[test]
fn a_damaged_blob_is_mounted_by_nobody_and_collected_as_any_other() {
    let house = House::whole(Database::sqlite());
    std::fs::write(house.file(LAYER), "wrong").unwrap();
    house.scrub(true);
    let status = house.status();
    assert_eq!(
        (status.quarantined.len(), status.quarantined[0].packages.as_slice()),
        (1, &["mona/app".to_owned()][..])
    );
    // Its image is deleted: in its time the blob goes with it, and nothing is damaged any more.
    let v1 = house.pull_manifest("v1").unwrap();
    house.delete(&v1);
    for _ in 0..4 {
        house.pass(40 * 24 * 3_600);
        house.sweep();
    }
    assert!(house.status().quarantined.is_empty());
    assert!(house.scrub(false).is_empty());
}
