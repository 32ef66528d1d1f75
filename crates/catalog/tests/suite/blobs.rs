//! Blobs: links, mounts, and what becomes of bytes that no row needs.

use crate::house::{
    Actor, Fault, House, caller, collector, may, may_change, on_every_database, sha256, unlink_blob,
};
use packhouse_access::{Delete, Pull, Push, Role, Visibility, decide};
use packhouse_catalog::{Micros, TrashedKey};
use packhouse_oci::Digest;

on_every_database!(
    missing_blobs_come_in_the_order_asked,
    a_long_list_of_blobs_is_one_question,
    a_mount_links_what_the_source_holds,
    a_holder_is_where_the_account_may_read,
    a_holder_is_found_only_where_a_decision_would_allow_it,
    unlinking_takes_the_blob_from_one_package,
    trash_is_given_out_in_its_time_and_forgotten,
);

fn readable(house: &House, by: &Actor, path: &'static str, digest: Digest) -> bool {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, path)?;
        Ok(tx.blob(&may, &digest)?.is_some())
    });
    found.unwrap()
}

fn missing(house: &House, by: &Actor, path: &'static str, digests: Vec<Digest>) -> Vec<Digest> {
    let shows = by.shows.clone();
    let missing = house.read(move |tx| {
        let may = may::<Push>(tx, &shows, path)?;
        Ok(tx.missing_blobs(&may, &digests)?)
    });
    missing.unwrap()
}

fn missing_blobs_come_in_the_order_asked(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.package(&mona, "mona/other");
    let (here, _) = house.push_blob(&mona, "mona/tool", "here");
    let (elsewhere, _) = house.push_blob(&mona, "mona/other", "elsewhere");
    let (b, a) = (sha256("b"), sha256("a"));
    assert_eq!(missing(house, &mona, "mona/tool", vec![b, here, elsewhere, a, b]), [b, elsewhere, a, b]);
    assert_eq!(missing(house, &mona, "mona/tool", vec![here, here]), []);
    assert_eq!(missing(house, &mona, "mona/tool", vec![]), []);
}

fn a_long_list_of_blobs_is_one_question(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let (here, _) = house.push_blob(&mona, "mona/tool", "here");
    // A manifest's largest list: more than either database takes as single parameters (32,766 and 65,535 would do,
    // but not the statement's text).
    let mut asked: Vec<Digest> = (0..10_000).map(|number| sha256(&number.to_string())).collect();
    asked.push(here);
    assert_eq!(missing(house, &mona, "mona/tool", asked.clone()), asked[..10_000]);
}

fn mount(
    house: &House,
    by: &Actor,
    from: &'static str,
    into: &'static str,
    digest: Digest,
) -> Result<bool, Fault> {
    let shows = by.shows.clone();
    house.write(move |tx| {
        let into = may_change::<Push>(tx, &shows, into)?;
        let from = may::<Pull>(tx, &shows, from)?;
        Ok(tx.mount_blob(&into, &from, &digest, Micros(70), Micros(170))?)
    })
}

fn a_mount_links_what_the_source_holds(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    house.package(&mona, "mona/empty");
    house.package(&hubot, "hubot/mine");
    let (digest, key) = house.push_blob(&mona, "mona/tool", "layer");

    let refused = mount(house, &hubot, "mona/tool", "hubot/mine", digest);
    assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
    house.set_visibility("mona/tool", Visibility::Public);
    house.set_visibility("mona/empty", Visibility::Public);

    // Not in the source: neither what nobody has, nor what another package has.
    assert!(!mount(house, &hubot, "mona/tool", "hubot/mine", sha256("none")).unwrap());
    assert!(!mount(house, &hubot, "mona/empty", "hubot/mine", digest).unwrap());
    assert!(!readable(house, &hubot, "hubot/mine", digest));

    assert!(mount(house, &hubot, "mona/tool", "hubot/mine", digest).unwrap());
    assert!(mount(house, &hubot, "mona/tool", "hubot/mine", digest).unwrap(), "a second mount finds it done");
    assert!(readable(house, &hubot, "hubot/mine", digest));
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), [key]);
    assert_eq!(house.number("SELECT count(*) FROM package_blobs"), 2);

    // It stays when the source is closed: the mount made a link of its own.
    house.set_visibility("mona/tool", Visibility::Private);
    assert!(readable(house, &hubot, "hubot/mine", digest));
}

fn holder(house: &House, by: Option<&Actor>, digest: Digest) -> Option<String> {
    let account = by.map(|by| by.id);
    house.read(move |tx| Ok(tx.holder(&digest, account)?)).unwrap()
}

fn a_holder_is_where_the_account_may_read(house: &House) {
    let (mona, hubot, eve) = (house.user("mona"), house.user("hubot"), house.user("eve"));
    let acme = house.organization("acme", &mona);
    house.package(&mona, "acme/tool");
    house.package(&eve, "eve/empty");
    house.set_visibility("eve/empty", Visibility::Public);
    let (digest, _) = house.push_blob(&mona, "acme/tool", "layer");
    let found = Some("acme/tool".to_owned());

    assert_eq!(holder(house, Some(&mona), digest), found);
    assert_eq!((holder(house, Some(&hubot), digest), holder(house, None, digest)), (None, None));
    assert_eq!(holder(house, Some(&mona), sha256("none")), None);
    house.grant("acme/tool", &hubot, Role::Read);
    assert_eq!(holder(house, Some(&hubot), digest), found);

    house.join(acme, &eve, false);
    assert_eq!(holder(house, Some(&eve), digest), None);
    house.set_visibility("acme/tool", Visibility::Internal);
    assert_eq!((holder(house, Some(&eve), digest), holder(house, None, digest)), (found.clone(), None));
    house.set_visibility("acme/tool", Visibility::Public);
    assert_eq!(holder(house, None, digest), found);
}

/// The query is a first look; were it narrower than the decision, mounts would be missed, and were it wider, the
/// first holder found would hide one that can be read.
fn a_holder_is_found_only_where_a_decision_would_allow_it(house: &House) {
    let [mona, hubot, eve] = ["mona", "hubot", "eve"].map(|name| house.user(name));
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    let mut held = Vec::new();
    for visibility in [Visibility::Private, Visibility::Internal, Visibility::Public] {
        for (owner, namespace) in [(&mona, "acme"), (&mona, "mona"), (&hubot, "hubot")] {
            if visibility == Visibility::Internal && namespace == owner.name {
                continue; // only packages of organizations can be internal
            }
            let path = format!("{namespace}/{visibility}");
            house.package(owner, &path);
            house.set_visibility(&path, visibility);
            let (digest, _) = house.push_blob(owner, &path, &path);
            held.push((path, digest));
        }
    }
    house.grant("mona/private", &eve, Role::Read);
    let mut found = 0;
    for (path, digest) in held {
        for actor in [&mona, &hubot, &eve] {
            let (shows, asked) = (actor.shows.clone(), path.clone());
            let allowed = house.read(move |tx| {
                let caller = caller(tx, &shows)?;
                let facts = tx.facts(&caller, &asked)?;
                Ok(decide::<Pull>(&facts).is_ok())
            });
            let expected = allowed.unwrap().then(|| path.clone());
            found += usize::from(expected.is_some());
            assert_eq!(holder(house, Some(actor), digest), expected, "{} {path}", actor.name);
        }
    }
    assert_eq!(found, 15, "of 21");
}

fn unlinking_takes_the_blob_from_one_package(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    let (digest, _) = house.push_blob(&mona, "mona/one", "layer");
    house.push_blob(&mona, "mona/two", "layer");
    let unlink = || {
        let shows = mona.shows.clone();
        let done = house.write(move |tx| {
            let may = may_change::<Delete>(tx, &shows, "mona/one")?;
            unlink_blob(tx, &may, &digest, Micros(80))
        });
        done.unwrap()
    };
    assert!(unlink());
    assert!(!unlink());
    assert!(!readable(house, &mona, "mona/one", digest));
    assert!(readable(house, &mona, "mona/two", digest));
    assert_eq!(missing(house, &mona, "mona/one", vec![digest]), [digest]);
}

fn trash_is_given_out_in_its_time_and_forgotten(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push_blob(&mona, "mona/tool", "layer");
    // Three newcomers, one after the other.
    let trashed: Vec<String> = (0..3).map(|_| house.push_blob(&mona, "mona/tool", "layer").1).collect();
    let times: Vec<i64> = house
        .rows("SELECT not_before FROM trash ORDER BY not_before")
        .iter()
        .map(|time| time.parse().unwrap())
        .collect();
    let due = |now: i64, limit| {
        // Claimed for no time at all, so that each question finds all of them.
        let due = house.write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.claim_trash(&may, Micros(now), Micros(now), limit)?)
        });
        let mut due = due.unwrap();
        due.sort_by_key(|key| trashed.iter().position(|known| known == key.storage_key()));
        due
    };
    let keys = |due: &[TrashedKey]| due.iter().map(|key| key.storage_key().to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(&due(times[0] - 1, 9)), Vec::<String>::new());
    assert_eq!(keys(&due(times[0], 9)), trashed[..1]);
    assert_eq!(keys(&due(i64::MAX, 9)), trashed);
    let two = due(i64::MAX, 2);
    assert_eq!(keys(&two), trashed[..2]);
    let forget = move |two: Vec<TrashedKey>| {
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.forget_trash(&may, &two)?)
            })
            .unwrap();
    };
    forget(two.clone());
    forget(two);
    assert_eq!(keys(&due(i64::MAX, 9)), trashed[2..]);
    // The blob itself was never in danger.
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 1);
}
