//! Facts: what a decision is made from, as the rows say it now.

use crate::database::Database;
use crate::house::{Actor, Fault, House, caller, on_every_database};
use packhouse_access::{Because, Delete, Pull, Push, Refusal, Role, Visibility, decide, decide_create};
use packhouse_catalog::Presented;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

on_every_database!(
    an_owner_a_member_and_a_stranger_stand_differently,
    a_grant_counts_for_its_account_and_its_package,
    visibility_counts,
    what_is_absent_has_facts_too,
    a_path_belongs_to_the_namespace_before_its_first_slash,
    facts_are_those_of_now,
    facts_with_a_lock_are_the_same_facts,
);

/// Why the actor may pull and push there, or the refusals.
fn decided(
    house: &House,
    by: &Presented,
    path: &str,
) -> (Result<Because, Refusal>, Result<Because, Refusal>) {
    let (shows, path) = (by.clone(), path.to_owned());
    house
        .read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, &path)?;
            let pull = decide::<Pull>(&facts).map(|may| may.because()).map_err(|refused| refused.refusal);
            let push = decide::<Push>(&facts).map(|may| may.because()).map_err(|refused| refused.refusal);
            Ok((pull, push))
        })
        .unwrap()
}

const NOT_FOUND: (Result<Because, Refusal>, Result<Because, Refusal>) =
    (Err(Refusal::NotFound), Err(Refusal::NotFound));

fn an_owner_a_member_and_a_stranger_stand_differently(house: &House) {
    let (mona, hubot, eve) = (house.user("mona"), house.user("hubot"), house.user("eve"));
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    house.package(&mona, "acme/tool");
    // Who made it in the organization's namespace holds a role on it as well, and keeps it.
    let granted = Ok(Because::Granted(Role::Admin));
    assert_eq!(decided(house, &mona.shows, "acme/tool"), (granted.clone(), granted));
    assert_eq!(decided(house, &hubot.shows, "acme/tool"), NOT_FOUND);
    assert_eq!(decided(house, &eve.shows, "acme/tool"), NOT_FOUND);

    house.join(acme, &eve, true);
    let owns = Ok(Because::OwnsNamespace);
    assert_eq!(decided(house, &eve.shows, "acme/tool"), (owns.clone(), owns.clone()));

    house.package(&eve, "eve/own");
    assert_eq!(decided(house, &eve.shows, "eve/own"), (owns.clone(), owns));
    assert_eq!(decided(house, &mona.shows, "eve/own"), NOT_FOUND);
}

fn a_grant_counts_for_its_account_and_its_package(house: &House) {
    let (mona, hubot, eve) = (house.user("mona"), house.user("hubot"), house.user("eve"));
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    house.grant("mona/one", &hubot, Role::Write);
    let write = Ok(Because::Granted(Role::Write));
    assert_eq!(decided(house, &hubot.shows, "mona/one"), (write.clone(), write));
    assert_eq!(decided(house, &hubot.shows, "mona/two"), NOT_FOUND);
    assert_eq!(decided(house, &eve.shows, "mona/one"), NOT_FOUND);
    house.grant("mona/one", &hubot, Role::Read);
    let lowered = decided(house, &hubot.shows, "mona/one");
    assert_eq!(lowered.0, Ok(Because::Granted(Role::Read)));
    assert_eq!(lowered.1, Err(Refusal::Role { has: Role::Read, needs: Role::Write }));
}

fn visibility_counts(house: &House) {
    let (mona, hubot, eve) = (house.user("mona"), house.user("hubot"), house.user("eve"));
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    house.package(&mona, "acme/tool");
    let anonymous = Presented::Anonymous { bound: None };
    let pulls = |by: &Presented| decided(house, by, "acme/tool").0;
    assert_eq!(pulls(&anonymous), Err(Refusal::Authenticate));

    house.set_visibility("acme/tool", Visibility::Internal);
    assert_eq!(pulls(&hubot.shows), Ok(Because::Visible(Visibility::Internal)));
    assert_eq!((pulls(&eve.shows), pulls(&anonymous)), (Err(Refusal::NotFound), Err(Refusal::Authenticate)));

    house.set_visibility("acme/tool", Visibility::Public);
    let public = Ok(Because::Visible(Visibility::Public));
    assert_eq!((pulls(&eve.shows), pulls(&anonymous)), (public.clone(), public));
}

fn what_is_absent_has_facts_too(house: &House) {
    let mona = house.user("mona");
    assert_eq!(decided(house, &mona.shows, "mona/none"), NOT_FOUND);
    assert_eq!(decided(house, &mona.shows, "nobody/none"), NOT_FOUND);
    let creates = |by: &Actor, path: &'static str| {
        let shows = by.shows.clone();
        let done = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, path)?;
            assert!(!facts.exists());
            Ok(decide_create(&facts).map(|may| may.namespace()).map_err(|refused| refused.refusal))
        });
        done.unwrap()
    };
    assert_eq!(creates(&mona, "mona/none"), Ok(mona.id));
    assert_eq!(creates(&mona, "nobody/none"), Err(Refusal::NotFound));
    assert_eq!(creates(&house.user("eve"), "mona/none"), Err(Refusal::NotFound));
}

fn a_path_belongs_to_the_namespace_before_its_first_slash(house: &House) {
    let (mona, team) = (house.user("mona"), house.user("team"));
    house.package(&mona, "mona/team/tool");
    let owns = Ok(Because::OwnsNamespace);
    assert_eq!(decided(house, &mona.shows, "mona/team/tool"), (owns.clone(), owns));
    assert_eq!(decided(house, &team.shows, "mona/team/tool"), NOT_FOUND);
    // Neither a prefix nor a longer path is the package.
    for path in ["mona/team", "mona/team/tool/x", "mona", "mona/"] {
        assert_eq!(decided(house, &mona.shows, path), NOT_FOUND, "{path}");
    }
}

/// A credential never gives more than its account has now.
fn facts_are_those_of_now(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    house.package(&mona, "acme/tool");
    house.join(acme, &hubot, true);
    assert!(decided(house, &hubot.shows, "acme/tool").1.is_ok());
    house.join(acme, &hubot, false);
    assert_eq!(decided(house, &hubot.shows, "acme/tool"), NOT_FOUND);
    house.set_visibility("acme/tool", Visibility::Internal);
    assert!(decided(house, &hubot.shows, "acme/tool").0.is_ok());
    house.operate(move |tx, may| Ok(tx.remove_member(may, acme, hubot.id)?)).unwrap();
    assert_eq!(decided(house, &hubot.shows, "acme/tool"), NOT_FOUND);
}

fn facts_with_a_lock_are_the_same_facts(house: &House) {
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    house.package(&mona, "mona/tool");
    for (by, path) in [(&mona, "mona/tool"), (&mona, "mona/none"), (&eve, "mona/tool"), (&eve, "nobody/none")]
    {
        let shows = by.shows.clone();
        let locked = house.write(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, path)?;
            Ok(decide::<Delete>(&facts).map(|may| may.because()).map_err(|refused| refused.refusal))
        });
        let shows = by.shows.clone();
        let unlocked = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, path)?;
            Ok(decide::<Delete>(&facts).map(|may| may.because()).map_err(|refused| refused.refusal))
        });
        assert_eq!(locked.unwrap(), unlocked.unwrap(), "{path}");
    }
}

/// A stranger must not learn by the work that a package exists.
#[test]
fn the_same_statements_run_for_private_and_absent() {
    let heard: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let listener = heard.clone();
    let observed = |database| {
        let listener = listener.clone();
        House::open(database, move |options| {
            options.observer = Some(Arc::new(move |work| listener.lock().unwrap().push(work.statement)));
        })
    };
    let mut houses = vec![observed(Database::sqlite())];
    houses.extend(Database::postgres().map(observed));
    for house in houses {
        let (mona, eve) = (house.user("mona"), house.user("eve"));
        house.package(&mona, "mona/secret");
        let work = |by: &Presented, path: &'static str| {
            let shows = by.clone();
            heard.lock().unwrap().clear();
            let reads = decided(&house, by, path);
            let writes = house.write(move |tx| {
                let caller = caller(tx, &shows)?;
                Ok(tx.facts(&caller, path).map(|facts| decide::<Push>(&facts).err()).unwrap())
            });
            (reads, writes.unwrap().unwrap().refusal, heard.lock().unwrap().clone())
        };
        let stranger = work(&eve.shows, "mona/secret");
        let read = ["CALLER_BY_HASH", "PACKAGE", "NAMESPACE", "ROLES"];
        let written: &[&str] = match house.database {
            // What was read is remembered for the one that writes.
            Database::Sqlite(_) => &[],
            Database::Postgres(_) => &["CALLER_BY_HASH", "LOCK_PACKAGE", "PACKAGE", "NAMESPACE", "ROLES"],
        };
        assert_eq!(stranger.2, [&read[..], written].concat());
        assert_eq!(stranger, work(&eve.shows, "mona/absent"));
        assert_eq!(stranger, work(&eve.shows, "nobody/absent"));
        let anonymous = Presented::Anonymous { bound: None };
        assert_eq!(work(&anonymous, "mona/secret"), work(&anonymous, "nobody/absent"));
    }
}

/// Reads whether somebody may pull `path`; in the middle of it, after `first` was looked up, the rest of the world goes on.
/// Returns the answer and how often the closure ran.
fn while_reading(
    house: &House,
    by: &Actor,
    [first, path]: [&'static str; 2],
    meanwhile: impl FnOnce(),
) -> (bool, u32) {
    let (reached, reaches) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let (shows, runs) = (by.shows.clone(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let answer = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            house.wait(house.catalog.read_beside(move |tx| {
                let caller = caller(tx, &shows)?;
                let _ = tx.facts(&caller, first)?;
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    reached.send(()).unwrap();
                    goes.recv().unwrap();
                }
                Ok::<_, Fault>(decide::<Pull>(&tx.facts(&caller, path)?).is_ok())
            }))
        });
        reaches.recv().unwrap();
        meanwhile();
        go.send(()).unwrap();
        reading.join().unwrap().unwrap()
    });
    (answer, runs.load(Ordering::SeqCst))
}

/// What was taken from memory may be of another moment than what is read afterwards: then all is read again.
#[test]
fn a_read_that_used_what_was_changed_meanwhile_begins_again() {
    let house = House::on_sqlite();
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/app");
    assert_eq!(decided(&house, &hubot.shows, "mona/app"), NOT_FOUND);
    let grant = || house.grant("mona/app", &hubot, Role::Read);
    assert_eq!(while_reading(&house, &hubot, ["mona/app", "mona/app"], grant), (true, 2));
    // What it did not use ends nothing.
    house.package(&mona, "mona/other");
    let grant = || house.grant("mona/other", &hubot, Role::Read);
    assert_eq!(while_reading(&house, &hubot, ["mona/app", "mona/app"], grant), (true, 1));
}

/// What others learned after the snapshot was taken is not taken from memory.
#[test]
fn a_read_sees_nothing_newer_than_its_snapshot() {
    let house = House::on_sqlite();
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/app");
    assert_eq!(decided(&house, &hubot.shows, "mona/app"), NOT_FOUND);
    let grant_and_learn = || {
        house.grant("mona/app", &hubot, Role::Read);
        assert_ne!(decided(&house, &hubot.shows, "mona/app"), NOT_FOUND);
    };
    // The first path is not remembered, so looking it up takes the snapshot.
    assert_eq!(while_reading(&house, &hubot, ["mona/none", "mona/app"], grant_and_learn), (false, 1));
    assert_ne!(decided(&house, &hubot.shows, "mona/app"), NOT_FOUND);
}

/// Who asks and how they stand to a namespace is asked once, whether there is a package or not.
#[test]
fn a_read_asks_the_database_for_what_is_not_remembered() {
    let heard: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let listener = heard.clone();
    let house = House::open(Database::sqlite(), move |options| {
        options.observer = Some(Arc::new(move |work| listener.lock().unwrap().push(work.statement)));
    });
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    house.package(&mona, "mona/secret");
    let asked = |path: &'static str| {
        let shows = eve.shows.clone();
        heard.lock().unwrap().clear();
        let found = house.wait(house.catalog.read_beside(move |tx| {
            let caller = caller(tx, &shows)?;
            Ok::<_, Fault>(decide::<Pull>(&tx.facts(&caller, path)?).is_ok())
        }));
        assert!(!found.unwrap(), "{path}");
        heard.lock().unwrap().clone()
    };
    assert_eq!(asked("mona/none"), ["CALLER_BY_HASH", "PACKAGE", "NAMESPACE", "ROLES"]);
    assert_eq!(asked("nobody/none"), ["PACKAGE", "NAMESPACE", "ROLES"]);
    for path in ["mona/secret", "mona/absent", "nobody/absent"] {
        assert_eq!(asked(path), ["PACKAGE", "ROLES"], "{path}");
        assert_eq!(asked(path), [] as [&str; 0], "{path}");
    }
}
