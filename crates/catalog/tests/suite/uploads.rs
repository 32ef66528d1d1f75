//! Upload sessions.

use crate::house::{Actor, Fault, House, collector, may, may_change, on_every_database, sha256};
use packhouse_access::{Pull, Push, Role, Visibility};
use packhouse_catalog::{CatalogError, Finished, Leased, Micros, Placed, TrashedKey, Upload};
use packhouse_oci::{Algorithm, Digest};

on_every_database!(
    a_session_begins_empty_and_is_found_again,
    a_session_is_its_packages_and_its_accounts_alone,
    an_identifier_and_a_storage_key_are_used_once,
    a_part_is_compared_and_swapped,
    a_session_ends_when_it_expires_and_each_part_puts_that_off,
    finishing_makes_a_blob_of_the_package,
    finishing_with_bytes_that_are_there_trashes_the_newcomer,
    finishing_is_done_once_and_remembered,
    finishing_compares_too,
    cancelling_trashes_the_bytes,
    a_finished_session_is_not_cancelled,
    expired_sessions_are_ended_in_bounded_bites,
    a_session_that_a_request_works_on_is_not_ended,
    an_expired_finished_session_trashes_nothing,
    blobs_of_both_algorithms_and_of_no_bytes_are_kept,
    a_lease_is_ones_alone_until_it_is_given_back_or_runs_out,
    a_lease_is_the_accounts_alone,
    what_an_older_lease_brings_is_refused,
    a_part_gives_the_lease_back,
    a_refused_request_leaves_no_gap_in_the_numbers,
    what_the_store_recorded_follows_a_session_into_the_trash,
    a_session_names_no_bytes_but_its_own,
    a_blob_may_lie_under_a_key_that_its_store_chose,
    only_a_worker_walks_through_the_store,
);

const PATH: &str = "mona/tool";

fn begin(house: &House, by: &Actor, id: &'static str, expires: i64) -> Upload {
    let (shows, key) = (by.shows.clone(), house.key());
    let begun = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.begin_upload(&may, id, &key, &[1, 2, 3], Micros(1), Micros(expires))?)
    });
    begun.unwrap()
}

fn find(house: &House, by: &Actor, path: &'static str, id: &'static str, now: i64) -> Option<Upload> {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<Push>(tx, &shows, path)?;
        Ok(tx.upload(&may, id, Micros(now))?)
    });
    found.unwrap()
}

fn record(house: &House, by: &Actor, before: &Upload, received: u64, expires: i64) -> bool {
    let (shows, before) = (by.shows.clone(), before.clone());
    let recorded = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.record_part(&may, &before, received, &[received.to_le_bytes()[0]], Micros(expires))?)
    });
    recorded.unwrap()
}

fn finish(house: &House, by: &Actor, before: &Upload, digest: Digest, size: u64) -> bool {
    let (shows, before) = (by.shows.clone(), before.clone());
    let finished = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.finish_upload(
            &may,
            &before,
            &Finished { digest, size },
            Micros(50),
            Micros(1_000),
            Micros(2_000),
        )?)
    });
    finished.unwrap()
}

fn cancel(house: &House, by: &Actor, id: &'static str) -> bool {
    let shows = by.shows.clone();
    let cancelled = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        let Some(held) = tx.upload(&may, id, Micros(60))? else { return Ok(false) };
        Ok(tx.cancel_upload(&may, &held, Micros(60))?)
    });
    cancelled.unwrap()
}

fn end_expired(house: &House, now: i64, limit: u32) -> usize {
    house
        .write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.end_expired_uploads(&may, Micros(now), limit, &mut |_| true)?)
        })
        .unwrap()
}

/// A request that found its session in time may write its bytes behind their removal, so it is waited for.
fn a_session_that_a_request_works_on_is_not_ended(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    for id in ["one", "two"] {
        begin(house, &mona, id, 100);
    }
    let ended = house.write(|tx| {
        let may = collector(tx)?;
        Ok(tx.end_expired_uploads(&may, Micros(100), 9, &mut |id| id != "one")?)
    });
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(house.rows("SELECT id FROM uploads"), ["one"]);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 1);
    assert_eq!(end_expired(house, 100, 9), 1);
}

fn a_session_begins_empty_and_is_found_again(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let begun = begin(house, &mona, "one", 100);
    assert_eq!((begun.id.as_str(), begun.received, begun.finished), ("one", 0, None));
    assert_eq!(begun.hash_state, [1, 2, 3]);
    assert_eq!(find(house, &mona, PATH, "one", 50), Some(begun));
    assert_eq!(find(house, &mona, PATH, "two", 50), None);
}

/// Knowing a session's name gives nothing: the identifier of another's session is that of none.
fn a_session_is_its_packages_and_its_accounts_alone(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, PATH);
    house.package(&mona, "mona/other");
    house.grant(PATH, &hubot, Role::Write);
    let mut session = begin(house, &mona, "one", 100);
    assert_eq!(find(house, &hubot, PATH, "one", 50), None);
    assert_eq!(find(house, &mona, "mona/other", "one", 50), None);
    assert!(!record(house, &hubot, &session, 5, 100));
    assert!(!finish(house, &hubot, &session, sha256("x"), 1));
    assert!(!cancel(house, &hubot, "one"));
    assert_eq!(house.rows("SELECT received, digest FROM uploads"), ["0 -"]);
    assert_eq!(house.number("SELECT count(*) FROM blobs") + house.number("SELECT count(*) FROM trash"), 0);
    assert!(record(house, &mona, &session, 5, 100));
    session.received = 5;
    assert!(finish(house, &mona, &session, sha256("hello"), 5));
}

fn an_identifier_and_a_storage_key_are_used_once(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let first = begin(house, &mona, "one", 100);
    for (id, key) in [("one", house.key()), ("two", first.storage_key().to_owned())] {
        let shows = mona.shows.clone();
        let again = house.write(move |tx| {
            let may = may_change::<Push>(tx, &shows, PATH)?;
            Ok(tx.begin_upload(&may, id, &key, &[], Micros(1), Micros(100))?)
        });
        assert!(matches!(again, Err(Fault::Catalog(_))), "{id}: {again:?}");
    }
    assert_eq!(find(house, &mona, PATH, "one", 50), Some(first));
    assert_eq!(house.number("SELECT count(*) FROM uploads"), 1);
}

fn a_part_is_compared_and_swapped(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let empty = begin(house, &mona, "one", 100);
    assert!(record(house, &mona, &empty, 5, 100));
    // Another request that started from the same state lost, and may not overwrite what was acknowledged.
    assert!(!record(house, &mona, &empty, 7, 100));
    let five = find(house, &mona, PATH, "one", 50).unwrap();
    assert_eq!((five.received, five.hash_state.clone()), (5, vec![5]));
    assert_eq!(five.storage_key(), empty.storage_key());
    assert!(record(house, &mona, &five, 9, 100));
    assert_eq!(find(house, &mona, PATH, "one", 50).unwrap().received, 9);
    // More than the catalog can count is an error and not a wrong number.
    let nine = find(house, &mona, PATH, "one", 50).unwrap();
    let shows = mona.shows.clone();
    let beyond = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.record_part(&may, &nine, u64::MAX, &[], Micros(100))?)
    });
    assert!(matches!(beyond, Err(Fault::Catalog(CatalogError::Corrupt("size")))), "{beyond:?}");
}

fn a_session_ends_when_it_expires_and_each_part_puts_that_off(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let session = begin(house, &mona, "one", 100);
    assert!(find(house, &mona, PATH, "one", 99).is_some());
    assert_eq!(find(house, &mona, PATH, "one", 100), None);
    assert!(record(house, &mona, &session, 5, 200));
    assert!(find(house, &mona, PATH, "one", 199).is_some());
    assert_eq!(end_expired(house, 199, 9), 0);
    assert_eq!(end_expired(house, 200, 9), 1);
    assert_eq!(house.number("SELECT count(*) FROM uploads"), 0);
    assert!(!record(house, &mona, &session, 5, 300), "what has ended does not begin again");
}

fn finishing_makes_a_blob_of_the_package(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    house.package(&mona, "mona/other");
    let session = begin(house, &mona, "one", 100);
    let digest = sha256("hello");
    let blob = |path: &'static str| {
        let shows = mona.shows.clone();
        let found = house.read(move |tx| {
            let may = may::<Pull>(tx, &shows, path)?;
            Ok(tx.blob(&may, &digest)?)
        });
        found.unwrap()
    };
    assert_eq!(blob(PATH), None);
    assert!(finish(house, &mona, &session, digest, 5));
    let found = blob(PATH).unwrap();
    assert_eq!((found.digest(), found.size(), found.storage_key()), (digest, 5, session.storage_key()));
    assert_eq!(blob("mona/other"), None, "a blob is readable only through its link");
    assert_eq!(house.rows("SELECT received FROM uploads"), ["5"]);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
}

fn finishing_with_bytes_that_are_there_trashes_the_newcomer(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, PATH);
    house.package(&hubot, "hubot/tool");
    let (digest, first) = house.push_blob(&mona, PATH, "hello");
    let (_, second) = house.push_blob(&hubot, "hubot/tool", "hello");
    let (_, third) = house.push_blob(&mona, PATH, "hello");
    assert_ne!(first, second);
    // One blob under the first key, linked twice; the others' bytes are nobody's.
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), std::slice::from_ref(&first));
    assert_eq!(house.number("SELECT count(*) FROM package_blobs"), 2);
    assert_eq!(house.rows("SELECT storage_key FROM trash ORDER BY storage_key"), [second, third]);
    let shows = hubot.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, "hubot/tool")?;
        Ok(tx.blob(&may, &digest)?)
    });
    assert_eq!(found.unwrap().unwrap().storage_key(), first);
}

/// A PUT that is sent again after its answer was lost gets the same answer.
fn finishing_is_done_once_and_remembered(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let session = begin(house, &mona, "one", 100);
    assert!(finish(house, &mona, &session, sha256("hello"), 5));
    let remembered = find(house, &mona, PATH, "one", 999).unwrap();
    assert_eq!((remembered.finished, remembered.received), (Some(sha256("hello")), 5));
    for before in [&session, &remembered] {
        assert!(!finish(house, &mona, before, sha256("world"), 5));
        assert!(!record(house, &mona, before, 6, 2_000));
    }
    assert_eq!(find(house, &mona, PATH, "one", 999), Some(remembered));
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 1);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0, "the key in use is never trash");
}

fn finishing_compares_too(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let stale = begin(house, &mona, "one", 100);
    assert!(record(house, &mona, &stale, 5, 100));
    assert!(!finish(house, &mona, &stale, sha256("hello"), 5));
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 0);
    assert_eq!(house.number("SELECT count(*) FROM package_blobs"), 0);
}

fn cancelling_trashes_the_bytes(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let session = begin(house, &mona, "one", 100);
    assert!(cancel(house, &mona, "one"));
    assert!(!cancel(house, &mona, "one"));
    assert_eq!(find(house, &mona, PATH, "one", 50), None);
    assert!(!record(house, &mona, &session, 5, 100));
    assert!(!finish(house, &mona, &session, sha256("hello"), 5));
    assert_eq!(
        house.rows("SELECT storage_key, not_before FROM trash"),
        [format!("{} 60", session.storage_key())]
    );
}

fn a_finished_session_is_not_cancelled(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let session = begin(house, &mona, "one", 100);
    assert!(finish(house, &mona, &session, sha256("hello"), 5));
    assert!(!cancel(house, &mona, "one"));
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), [session.storage_key()]);
}

fn expired_sessions_are_ended_in_bounded_bites(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let mut keys = Vec::new();
    for (id, expires) in [("c", 300), ("a", 100), ("e", 900), ("b", 200), ("d", 400)] {
        keys.push((expires, begin(house, &mona, id, expires).storage_key().to_owned()));
    }
    keys.sort();
    let trash = || house.rows("SELECT storage_key FROM trash ORDER BY not_before, storage_key");
    assert_eq!(end_expired(house, 99, 9), 0);
    // Those that expired first go first.
    assert_eq!(end_expired(house, 500, 2), 2);
    let mut first = vec![keys[0].1.clone(), keys[1].1.clone()];
    first.sort();
    assert_eq!(trash(), first);
    assert_eq!((end_expired(house, 500, 9), end_expired(house, 500, 9)), (2, 0));
    assert_eq!(house.rows("SELECT id FROM uploads"), ["e"]);
    assert_eq!(trash().len(), 4);
}

fn an_expired_finished_session_trashes_nothing(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let session = begin(house, &mona, "one", 100);
    assert!(finish(house, &mona, &session, sha256("hello"), 5));
    assert_eq!(end_expired(house, 1_000, 9), 1);
    assert_eq!(house.number("SELECT count(*) FROM uploads"), 0);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), [session.storage_key()]);
}

fn blobs_of_both_algorithms_and_of_no_bytes_are_kept(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    house.set_visibility(PATH, Visibility::Public);
    let digests = [Digest::of(Algorithm::Sha256, b""), Digest::of(Algorithm::Sha512, b"")];
    for (id, digest) in ["one", "two"].into_iter().zip(digests) {
        let session = begin(house, &mona, id, 100);
        assert!(finish(house, &mona, &session, digest, 0));
        let shows = mona.shows.clone();
        let found = house.read(move |tx| {
            let may = may::<Pull>(tx, &shows, PATH)?;
            Ok(tx.blob(&may, &digest)?)
        });
        let found = found.unwrap().unwrap();
        assert_eq!((found.digest(), found.size()), (digest, 0));
    }
    // The same bytes under two names are two blobs: each is verified by its own algorithm.
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 2);
}

fn lease(house: &House, by: &Actor, id: &'static str, seconds: u64) -> Option<Leased> {
    let shows = by.shows.clone();
    let leased = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.lease_upload(&may, id, Micros(20), seconds)?)
    });
    leased.unwrap()
}

#[track_caller]
fn taken(leased: Option<Leased>) -> Upload {
    match leased {
        Some(Leased::Taken(upload)) => upload,
        other => panic!("{other:?}"),
    }
}

fn release(house: &House, held: &Upload, wrote: bool) {
    let held = held.clone();
    house.write(move |tx| Ok(tx.release_lease(&held, wrote)?)).unwrap();
}

fn renew(house: &House, held: &Upload) -> bool {
    let held = held.clone();
    house.write(move |tx| Ok(tx.renew_lease(&held, Micros(20), 1_000, Micros(900))?)).unwrap()
}

fn keep(house: &House, by: &Actor, before: &Upload, state: &[u8], left: &[String]) -> Result<bool, Fault> {
    let (shows, before) = (by.shows.clone(), before.clone());
    let placed =
        Placed { store_state: state.to_vec(), key: before.storage_key().to_owned(), left: left.to_vec() };
    house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.keep_placed(&may, &before, &placed, Micros(30))?)
    })
}

fn trash(house: &House) -> Vec<TrashedKey> {
    house
        .write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.claim_trash(&may, Micros(i64::MAX), Micros(i64::MAX), 100)?)
        })
        .unwrap()
}

fn a_lease_is_ones_alone_until_it_is_given_back_or_runs_out(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let begun = begin(house, &mona, "one", 1_000);
    assert_eq!(begun.epoch(), 0);
    let first = taken(lease(house, &mona, "one", 1_000));
    assert_eq!(first.epoch(), 1);
    assert_eq!(lease(house, &mona, "one", 1_000), Some(Leased::Held));
    release(house, &first, true);
    // One that runs out at once.
    let second = taken(lease(house, &mona, "one", 0));
    assert_eq!(second.epoch(), 2);
    let third = taken(lease(house, &mona, "one", 1_000));
    assert_eq!(third.epoch(), 3);
    // The second is nobody's any more: neither held on nor given back.
    assert!(!renew(house, &second));
    release(house, &second, true);
    assert_eq!(lease(house, &mona, "one", 1_000), Some(Leased::Held));
    assert!(renew(house, &third));
    assert_eq!(lease(house, &mona, "none", 1_000), None);
    assert!(finish(house, &mona, &third, sha256("x"), 1));
    assert!(matches!(lease(house, &mona, "one", 1_000), Some(Leased::Finished(_))));
}

fn a_lease_is_the_accounts_alone(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, PATH);
    house.grant(PATH, &hubot, Role::Write);
    begin(house, &mona, "one", 1_000);
    assert_eq!(lease(house, &hubot, "one", 1_000), None);
    taken(lease(house, &mona, "one", 1_000));
}

fn what_an_older_lease_brings_is_refused(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    begin(house, &mona, "one", 1_000);
    let old = taken(lease(house, &mona, "one", 0));
    let new = taken(lease(house, &mona, "one", 1_000));
    assert!(!record(house, &mona, &old, 5, 1_000));
    assert!(!finish(house, &mona, &old, sha256("x"), 1));
    assert!(!keep(house, &mona, &old, b"old", &[]).unwrap());
    let found = find(house, &mona, PATH, "one", 30).unwrap();
    assert_eq!((found.received, found.store_state()), (0, &b""[..]));
    assert!(keep(house, &mona, &new, b"new", &[]).unwrap());
    assert!(record(house, &mona, &new, 5, 1_000));
    assert_eq!(find(house, &mona, PATH, "one", 30).unwrap().store_state(), b"new");
}

fn a_part_gives_the_lease_back(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    begin(house, &mona, "one", 1_000);
    let held = taken(lease(house, &mona, "one", 1_000));
    assert!(record(house, &mona, &held, 5, 1_000));
    assert!(!renew(house, &held), "it is over");
    assert_eq!(taken(lease(house, &mona, "one", 1_000)).epoch(), 2);
}

fn a_refused_request_leaves_no_gap_in_the_numbers(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    begin(house, &mona, "one", 1_000);
    for _ in 0..3 {
        let held = taken(lease(house, &mona, "one", 1_000));
        assert_eq!(held.epoch(), 1);
        release(house, &held, false);
    }
}

fn what_the_store_recorded_follows_a_session_into_the_trash(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let cancelled = begin(house, &mona, "one", 1_000);
    let expired = begin(house, &mona, "two", 100);
    let untouched = begin(house, &mona, "three", 100);
    for id in ["one", "two"] {
        let held = taken(lease(house, &mona, id, 1_000));
        assert!(keep(house, &mona, &held, id.as_bytes(), &[]).unwrap());
    }
    assert!(cancel(house, &mona, "one"));
    assert_eq!(end_expired(house, 200, 10), 2);
    let mut found: Vec<(String, Vec<u8>, u64)> = trash(house)
        .iter()
        .map(|key| (key.storage_key().to_owned(), key.store_state().to_vec(), key.epoch()))
        .collect();
    found.sort();
    let mut expected = vec![
        (cancelled.storage_key().to_owned(), b"one".to_vec(), 1),
        (expired.storage_key().to_owned(), b"two".to_vec(), 1),
        (untouched.storage_key().to_owned(), Vec::new(), 0),
    ];
    expected.sort();
    assert_eq!(found, expected);
}

fn a_session_names_no_bytes_but_its_own(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let other = begin(house, &mona, "two", 1_000);
    begin(house, &mona, "one", 1_000);
    let held = taken(lease(house, &mona, "one", 1_000));
    let own = format!("{}.1", held.storage_key());
    assert!(keep(house, &mona, &held, b"x", std::slice::from_ref(&own)).unwrap());
    for foreign in [other.storage_key().to_owned(), String::new(), format!("{}1", held.storage_key())] {
        assert!(keep(house, &mona, &held, b"x", std::slice::from_ref(&foreign)).is_err(), "{foreign}");
        assert!(held.clone().placed_at(&foreign).is_err(), "{foreign}");
    }
    let trashed: Vec<String> = trash(house).iter().map(|key| key.storage_key().to_owned()).collect();
    assert_eq!(trashed, [own]);
}

fn a_blob_may_lie_under_a_key_that_its_store_chose(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    begin(house, &mona, "one", 1_000);
    let held = taken(lease(house, &mona, "one", 1_000));
    let key = format!("{}.1", held.storage_key());
    let digest = sha256("x");
    assert!(finish(house, &mona, &held.placed_at(&key).unwrap(), digest, 1));
    let shows = mona.shows.clone();
    let blob = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, PATH)?;
        Ok(tx.blob(&may, &digest)?)
    });
    assert_eq!(blob.unwrap().unwrap().storage_key(), key);
}

fn only_a_worker_walks_through_the_store(house: &House) {
    house
        .write(|tx| {
            let may = collector(tx)?;
            let _walk = tx.store_walk(&may);
            Ok(())
        })
        .unwrap();
}
