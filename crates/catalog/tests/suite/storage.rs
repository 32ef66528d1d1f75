//! What accounts store: exact after every act, and never more than a plan allows, whatever door it is that asks.

use crate::collection::collect;
use crate::house::{
    Actor, Done, Fault, House, caller, delete_package, delete_version, image, index, may, may_change,
    on_every_database, put, restore_version, sha256, unlink_blob,
};
use crate::versions::drift;
use packhouse_access::{
    Delete, Limits, Measure, Pull, Push, Restore, See, Visibility, decide, decide_move, decide_package_leave,
    decide_publish,
};
use packhouse_catalog::{CatalogError, Finished, Listed, Micros, Presented, VersionsPlace, WriteTx};
use packhouse_oci::Digest;

on_every_database!(
    a_layer_counts_once_and_as_long_as_something_live_names_it,
    what_is_private_counts_by_itself,
    an_upload_counts_until_its_pin_ends,
    no_door_leads_beyond_a_plan,
    room_is_told_before_bytes_come,
    plans_of_the_configuration_replace_each_other,
    random_acts_keep_what_is_stored_exact,
    acts_at_the_same_time_keep_what_is_stored_exact,
);

const PATHS: [&str; 4] = ["mona/one", "mona/two", "eve/app", "eve/other"];

/// A site administrator, who may do everything, with packages of two users.
fn stage(house: &House) -> Actor {
    let root = house.site_admin("root");
    for (name, paths) in [("mona", &PATHS[..2]), ("eve", &PATHS[2..])] {
        let user = house.user(name);
        paths.iter().for_each(|path| house.package(&user, path));
    }
    root
}

fn settled(house: &House) {
    assert_eq!(drift(house), Vec::<String>::new());
}

/// Bytes of an account: all, and private.
fn stored(house: &House, name: &str) -> String {
    settled(house);
    let rows = house.rows(&format!(
        "SELECT s.bytes, s.private_bytes FROM account_storage s JOIN accounts a ON a.id = s.owner_id
         WHERE a.name = '{name}'"
    ));
    rows.first().cloned().unwrap_or_else(|| "0 0".to_owned())
}

/// Pushes an image with its blobs: each of them has as many bytes as its name.
fn push(house: &House, by: &Actor, path: &'static str, config: &str, layers: &[&str]) -> Digest {
    for blob in layers.iter().chain([&config]) {
        house.push_blob(by, path, blob);
    }
    let manifest = image(config, layers).build();
    house.push(by, path, &manifest, None);
    manifest.digest
}

/// The doors by which an account comes to store more or less.
#[derive(Clone, Copy, Debug)]
enum Act {
    Upload(&'static str, &'static str),
    Mount(&'static str, &'static str, &'static str),
    Push(&'static str, &'static str),
    PushIndex(&'static str, &'static str),
    DeleteVersion(&'static str, &'static str),
    RestoreLast(&'static str),
    Unlink(&'static str, &'static str),
    DeletePackage(&'static str),
    RestorePackage(&'static str),
    Publish(&'static str, Visibility),
    Move(&'static str, &'static str),
}

/// A manifest whose config is `config`, with one layer that all share.
fn shared(config: &str) -> packhouse_catalog::NewManifest {
    image(config, &["shared-layer"]).build()
}

fn act<'tx>(tx: &mut WriteTx<'_, 'tx>, shows: &Presented, act: Act, key: &str, now: Micros) -> Done<()> {
    let later = now.plus_seconds(60);
    match act {
        Act::Upload(path, content) => {
            let may = may_change::<Push>(tx, shows, path)?;
            let upload = tx.begin_upload(&may, key, key, b"state", now, later)?;
            let finished = Finished { digest: sha256(content), size: content.len() as u64 };
            tx.finish_upload(&may, &upload, &finished, now, later, later)?;
        }
        Act::Mount(into, from, content) => {
            let into = may_change::<Push>(tx, shows, into)?;
            let from = may::<Pull>(tx, shows, from)?;
            tx.mount_blob(&into, &from, &sha256(content), now, later)?;
        }
        Act::Push(path, config) => {
            let may = may_change::<Push>(tx, shows, path)?;
            put(tx, &may, &shared(config), now)?;
        }
        Act::PushIndex(path, config) => {
            // As BuildKit's cache: its children are blobs.
            let may = may_change::<Push>(tx, shows, path)?;
            put(tx, &may, &index(&[sha256(config), shared(config).digest]).build(), now)?;
        }
        Act::DeleteVersion(path, config) => {
            let may = may_change::<Delete>(tx, shows, path)?;
            delete_version(tx, &may, &shared(config).digest, now)?;
        }
        Act::RestoreLast(path) => {
            let see = may_change::<See>(tx, shows, path)?;
            let place = VersionsPlace { before: None, skip: 0, limit: 1 };
            let last = tx.versions(&see, &Listed::Deleted { since: Micros(0) }, place)?.pop();
            if let Some(last) = last {
                let may = may_change::<Restore>(tx, shows, path)?;
                let (last, again) = tx.version_to_restore(&may, last.id)?.ok_or(Fault::Wanted)?;
                if !again {
                    restore_version(tx, &may, &last, now)?;
                }
            }
        }
        Act::Unlink(path, content) => {
            let may = may_change::<Delete>(tx, shows, path)?;
            unlink_blob(tx, &may, &sha256(content), now)?;
        }
        Act::DeletePackage(path) => {
            let may = may_change::<Delete>(tx, shows, path)?;
            delete_package(tx, &may, now)?;
        }
        Act::RestorePackage(path) => {
            let caller = caller(tx, shows)?;
            let may = decide::<Restore>(&tx.facts_deleted(&caller, path, Micros(0))?)?;
            tx.restore_package(&may, now)?;
        }
        Act::Publish(path, visibility) => {
            let caller = caller(tx, shows)?;
            let may = decide_publish(&tx.facts(&caller, path)?, visibility)?;
            tx.set_visibility(&may, now)?;
        }
        Act::Move(from, to) => {
            let caller = caller(tx, shows)?;
            let (from, to) = (tx.facts(&caller, from)?, tx.facts(&caller, to)?);
            let may = decide_move(&from, &to)?;
            let end = decide_package_leave(&may, tx.survey_leaving(&may)?)?;
            tx.move_package(&may, &end, now)?;
        }
    }
    Ok(())
}

fn do_it(house: &House, by: &Actor, what: Act) -> Done<()> {
    let (shows, key, now) = (by.shows.clone(), house.key(), house.now());
    house.write(move |tx| act(tx, &shows, what, &key, now))
}

fn limit(house: &House, name: &'static str, limits: Limits) {
    house
        .operate(move |tx, may| {
            let account = tx.account(name)?.ok_or(Fault::Wanted)?.id;
            tx.put_plans(
                may,
                &[("open".to_owned(), Limits::default()), ("tight".to_owned(), limits)],
                "open",
            )?;
            Ok(tx.set_plan(may, account, Some("tight"))?)
        })
        .unwrap();
}

fn a_layer_counts_once_and_as_long_as_something_live_names_it(house: &House) {
    let root = stage(house);
    // 12 bytes of the shared layer, 3 of each config.
    push(house, &root, "mona/one", "abc", &["shared-layer"]);
    assert_eq!(stored(house, "mona"), "15 15");
    push(house, &root, "mona/two", "xyz", &["shared-layer"]);
    assert_eq!(stored(house, "mona"), "18 18");
    push(house, &root, "eve/app", "xyz", &["shared-layer"]);
    assert_eq!(stored(house, "eve"), "15 15");
    do_it(house, &root, Act::DeleteVersion("mona/one", "abc")).unwrap();
    assert_eq!(stored(house, "mona"), "15 15");
    do_it(house, &root, Act::RestoreLast("mona/one")).unwrap();
    assert_eq!(stored(house, "mona"), "18 18");
    do_it(house, &root, Act::Unlink("mona/one", "abc")).unwrap();
    assert_eq!(stored(house, "mona"), "15 15");
    do_it(house, &root, Act::DeletePackage("mona/two")).unwrap();
    assert_eq!(stored(house, "mona"), "12 12");
    do_it(house, &root, Act::RestorePackage("mona/two")).unwrap();
    assert_eq!(stored(house, "mona"), "15 15");
    do_it(house, &root, Act::Move("mona/two", "eve/two")).unwrap();
    assert_eq!((stored(house, "mona"), stored(house, "eve")), ("12 12".to_owned(), "15 15".to_owned()));
    // An index whose children are blobs names them too.
    house.push_blob(&root, "eve/other", "four");
    let manifest = index(&[sha256("four")]).build();
    house.push(&root, "eve/other", &manifest, None);
    assert_eq!(stored(house, "eve"), "19 19");
}

fn what_is_private_counts_by_itself(house: &House) {
    let root = stage(house);
    push(house, &root, "mona/one", "abc", &["shared-layer"]);
    push(house, &root, "mona/two", "xyz", &["shared-layer"]);
    do_it(house, &root, Act::Publish("mona/one", Visibility::Public)).unwrap();
    assert_eq!(stored(house, "mona"), "18 15");
    do_it(house, &root, Act::Publish("mona/two", Visibility::Public)).unwrap();
    assert_eq!(stored(house, "mona"), "18 0");
    do_it(house, &root, Act::Publish("mona/one", Visibility::Private)).unwrap();
    assert_eq!(stored(house, "mona"), "18 15");
    do_it(house, &root, Act::DeletePackage("mona/one")).unwrap();
    assert_eq!(stored(house, "mona"), "15 0");
}

fn an_upload_counts_until_its_pin_ends(house: &House) {
    let root = stage(house);
    let now = house.now();
    do_it(house, &root, Act::Upload("mona/one", "twelve bytes")).unwrap();
    assert_eq!(stored(house, "mona"), "12 12");
    // Again, and mounted elsewhere: it is the same.
    do_it(house, &root, Act::Upload("mona/one", "twelve bytes")).unwrap();
    do_it(house, &root, Act::Mount("mona/two", "mona/one", "twelve bytes")).unwrap();
    assert_eq!(stored(house, "mona"), "12 12");
    collect(house, now.plus_seconds(7_200));
    assert_eq!(stored(house, "mona"), "0 0");
    assert_eq!(house.number("SELECT count(*) FROM account_blobs"), 0);
}

fn over(done: Done<()>) -> Option<(Measure, u64, u64, u64)> {
    match done {
        Err(Fault::Catalog(CatalogError::OverQuota(quota))) => {
            assert!(quota.to_string().contains("the plan `tight` of `mona`"), "{quota}");
            let over = quota.over;
            Some((over.measure, over.limit, over.used, over.more))
        }
        Err(error) => panic!("{error:?}"),
        Ok(()) => None,
    }
}

fn no_door_leads_beyond_a_plan(house: &House) {
    let root = stage(house);
    push(house, &root, "mona/one", "abc", &["shared-layer"]);
    push(house, &root, "eve/app", "eve", &["another layer"]);
    do_it(house, &root, Act::Publish("eve/app", Visibility::Public)).unwrap();
    do_it(house, &root, Act::Publish("mona/two", Visibility::Public)).unwrap();
    push(house, &root, "mona/two", "public", &[]);
    assert_eq!(stored(house, "mona"), "21 15");
    do_it(house, &root, Act::DeleteVersion("mona/one", "abc")).unwrap();
    assert_eq!(stored(house, "mona"), "6 0");
    limit(house, "mona", Limits { private_storage: Some(14), ..Limits::default() });
    let full = |used, more| Some((Measure::PrivateStorage, 14, used, more));

    for (door, refused) in [
        (Act::Upload("mona/one", "fifteen letters"), full(0, 15)),
        (Act::RestoreLast("mona/one"), full(0, 15)),
        (Act::Push("mona/one", "abc"), full(0, 15)),
        (Act::Upload("mona/one", "eleven.more"), None),
        (Act::Mount("mona/one", "eve/app", "another layer"), full(11, 13)),
        (Act::Publish("mona/two", Visibility::Private), full(11, 6)),
        (Act::Publish("eve/app", Visibility::Private), None),
        (Act::Move("eve/app", "mona/app"), full(11, 16)),
        // What is stored already takes no more, whatever is full.
        (Act::Upload("mona/one", "eleven.more"), None),
        (Act::DeletePackage("mona/one"), None),
        (Act::Move("eve/app", "mona/app"), full(0, 16)),
        (Act::Upload("mona/two", "public things are not bound"), None),
        (Act::RestorePackage("mona/one"), None),
    ] {
        let before = house.rows("SELECT * FROM account_storage ORDER BY owner_id");
        assert_eq!(over(do_it(house, &root, door)), refused, "{door:?}");
        settled(house);
        if refused.is_some() {
            assert_eq!(house.rows("SELECT * FROM account_storage ORDER BY owner_id"), before, "{door:?}");
        }
    }

    // A package that comes back when there is no more room.
    do_it(house, &root, Act::DeletePackage("mona/one")).unwrap();
    limit(house, "mona", Limits { private_storage: Some(10), ..Limits::default() });
    assert_eq!(
        over(do_it(house, &root, Act::RestorePackage("mona/one"))),
        Some((Measure::PrivateStorage, 10, 0, 11))
    );
    // Without a plan of its own, an account has the default one.
    house
        .operate(|tx, may| {
            let mona = tx.account("mona")?.ok_or(Fault::Wanted)?.id;
            Ok(tx.set_plan(may, mona, None)?)
        })
        .unwrap();
    do_it(house, &root, Act::RestorePackage("mona/one")).unwrap();
    settled(house);
}

fn room(house: &House, by: &Actor, path: &'static str, known: Option<&str>) -> Option<u64> {
    let (shows, known) = (by.shows.clone(), known.map(sha256));
    house
        .read(move |tx| {
            let may = may::<Push>(tx, &shows, path)?;
            Ok(tx.room(&may, "nobody", known.as_ref())?.and_then(|room| room.left()))
        })
        .unwrap()
}

fn room_is_told_before_bytes_come(house: &House) {
    let root = stage(house);
    push(house, &root, "mona/one", "abc", &["shared-layer"]);
    assert_eq!(room(house, &root, "mona/one", None), None);
    limit(house, "mona", Limits { storage: Some(100), private_storage: Some(20), ..Limits::default() });
    assert_eq!(room(house, &root, "mona/one", None), Some(5));
    assert_eq!(room(house, &root, "mona/two", None), Some(5));
    assert_eq!(room(house, &root, "eve/app", None), None);
    // What the account has already needs none.
    assert_eq!(room(house, &root, "mona/two", Some("shared-layer")), None);
    assert_eq!(room(house, &root, "mona/two", Some("other-layer")), Some(5));
    do_it(house, &root, Act::Publish("mona/two", Visibility::Public)).unwrap();
    assert_eq!(room(house, &root, "mona/two", None), Some(85));
    // Bytes of uploads that others have under way.
    let (shows, key, now) = (root.shows.clone(), house.key(), house.now());
    house
        .write(move |tx| {
            let may = may_change::<Push>(tx, &shows, "mona/one")?;
            let later = now.plus_seconds(60);
            let upload = tx.begin_upload(&may, &key, &key, b"state", now, later)?;
            Ok(tx.record_part(&may, &upload, 3, b"state", later)?)
        })
        .unwrap();
    assert_eq!(room(house, &root, "mona/one", None), Some(2));
    assert_eq!(room(house, &root, "mona/two", None), Some(82));
}

fn plans_of_the_configuration_replace_each_other(house: &House) {
    let root = stage(house);
    let plans = |house: &House| house.rows("SELECT name, storage, configured FROM plans ORDER BY name");
    limit(house, "mona", Limits { storage: Some(7), ..Limits::default() });
    assert_eq!(plans(house), ["open - 1", "tight 7 1"]);
    // One that is gone holds for who has it.
    let put = |plans: &'static [(&'static str, u64)]| {
        house
            .operate(move |tx, may| {
                let limits = |bytes| Limits { storage: Some(bytes), ..Limits::default() };
                let plans: Vec<_> =
                    plans.iter().map(|(name, bytes)| ((*name).to_owned(), limits(*bytes))).collect();
                Ok(tx.put_plans(may, &plans, "small")?)
            })
            .unwrap();
    };
    put(&[("small", 2)]);
    assert_eq!(plans(house), ["small 2 1", "tight 7 0"]);
    assert!(do_it(house, &root, Act::Upload("mona/one", "sevenup")).is_ok());
    assert!(do_it(house, &root, Act::Upload("eve/app", "sevenup")).is_err());
    put(&[("small", 7)]);
    assert!(do_it(house, &root, Act::Upload("eve/app", "sevenup")).is_ok());
    settled(house);
}

/// A generator of its own, so that a number says all that happened.
struct Dice(u64);

impl Dice {
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[usize::try_from((self.0 >> 33) % of.len() as u64).unwrap()]
    }

    fn act(&mut self) -> Act {
        const CONFIGS: [&str; 3] = ["a", "bb", "ccc"];
        const BLOBS: [&str; 4] = ["a", "bb", "ccc", "shared-layer"];
        let (path, other) = (self.one_of(&PATHS), self.one_of(&PATHS));
        let (config, blob) = (self.one_of(&CONFIGS), self.one_of(&BLOBS));
        match self.one_of(&[0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 6, 7, 8, 8, 9, 10]) {
            0 => Act::Upload(path, blob),
            1 => Act::Mount(path, other, blob),
            2 => Act::Push(path, config),
            3 => Act::PushIndex(path, config),
            4 => Act::DeleteVersion(path, config),
            5 => Act::RestoreLast(path),
            6 => Act::Unlink(path, blob),
            7 => Act::DeletePackage(path),
            8 => Act::RestorePackage(path),
            9 => Act::Publish(path, self.one_of(&[Visibility::Private, Visibility::Public])),
            _ => Act::Move(path, other),
        }
    }
}

fn random_acts_keep_what_is_stored_exact(house: &House) {
    let root = stage(house);
    let (mut dice, mut done, mut refused) = (Dice(7), 0, 0);
    let now = house.now();
    limit(house, "mona", Limits { storage: Some(17), private_storage: Some(15), ..Limits::default() });
    for number in 0..600_u32 {
        let what = dice.act();
        match do_it(house, &root, what) {
            Ok(()) => done += 1,
            Err(Fault::Catalog(CatalogError::OverQuota(_))) => refused += 1,
            // There is none, or one is there already.
            Err(_) => {}
        }
        if number % 40 == 39 {
            // Pins are over, and what was deleted can still come back.
            collect(house, now.plus_seconds(5_000));
        }
        if number % 3 == 0 {
            assert_eq!(drift(house), Vec::<String>::new(), "after act {number}: {what:?}");
        }
    }
    settled(house);
    assert!(done > 200 && refused > 10, "{done} done, {refused} refused");
}

fn acts_at_the_same_time_keep_what_is_stored_exact(house: &House) {
    let root = stage(house);
    for round in 0..10_u64 {
        let acts: Vec<_> = (0..12_u64)
            .map(|number| {
                let (catalog, shows, key, now) =
                    (house.catalog.clone(), root.shows.clone(), house.key(), house.now());
                let what = Dice((round * 100 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15)).act();
                house.runtime.spawn(async move {
                    let done: Done<()> = catalog.write(move |tx| act(tx, &shows, what, &key, now)).await;
                    drop(done);
                })
            })
            .collect();
        for act in acts {
            house.wait(act).unwrap();
        }
        settled(house);
    }
}
