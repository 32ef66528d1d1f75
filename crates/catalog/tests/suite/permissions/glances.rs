//! What a pull asks in short is decided as on the database: by one statement on PostgreSQL, by what is remembered on
//! SQLite. For everybody in the table of permissions, by the paths of now and of before.

use super::{Decision, ask, build, caller, owner_of, shows, table};
use crate::database::Database;
use crate::house::{House, NOW};
use packhouse_access::{Because, Pull, decide, explain_roles};
use packhouse_catalog::{Ask, Asked, CatalogError, Presented, ReadTx};
use packhouse_oci::{Algorithm, Digest, Reference};
use std::sync::{Arc, Mutex};

/// All that a pull decides by: the highest role, what is decided about each act, and what is found.
type Found = (Option<Because>, Vec<Decision>, Option<Digest>);

fn look(
    tx: &mut ReadTx<'_, '_>,
    shows: &Presented,
    path: &str,
    asked: &Asked,
    acts: &[&'static str],
) -> Result<Found, CatalogError> {
    let caller = caller(tx, shows)?;
    let facts = tx.facts_followed(&caller, path)?;
    let highest = explain_roles(&facts).first().map(|(_, because)| *because);
    let decisions = acts.iter().map(|act| ask(&facts, act)).collect();
    let Ok(may) = decide::<Pull>(&facts) else { return Ok((highest, decisions, None)) };
    let found = match asked {
        Asked::Manifest(reference) => tx.manifest_head(&may, reference)?.map(|row| row.digest),
        Asked::Blob(digest) => {
            assert!(tx.transfer_room(&may, 202_601)?.is_none());
            tx.blob(&may, digest)?.map(|blob| blob.digest())
        }
    };
    Ok((highest, decisions, found))
}

type Seen = Arc<Mutex<Vec<&'static str>>>;

fn house(database: Database) -> (House, Seen) {
    let seen = Seen::default();
    let listening = Arc::clone(&seen);
    let house = House::open(database, |options| {
        options.cache_bytes = 1 << 30;
        options.observer = Some(Arc::new(move |work| listening.lock().unwrap().push(work.statement)));
    });
    (house, seen)
}

/// The same image in each package, each of which had another path before, and plans that do not limit transfer.
fn fill(house: &House, digest: &Digest) {
    let hex: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = if house.is_on_postgres() { format!("'\\x{hex}'::bytea") } else { format!("X'{hex}'") };
    house.database.run(&format!(
        "INSERT INTO manifests (id, digest, media_type, kind, size, payload) VALUES (1, {digest}, 'x', 1, 0, {digest});
         INSERT INTO versions (package_id, manifest_id, digest, created_at) SELECT id, 1, {digest}, 1 FROM packages;
         INSERT INTO tags (package_id, name, version_id, valid_from) SELECT package_id, 'latest', id, 1 FROM versions;
         INSERT INTO blobs (digest, size, storage_key, created_at) VALUES ({digest}, 1, 'blobs/00/x', 1);
         INSERT INTO package_blobs (package_id, digest, linked_at) SELECT id, {digest}, 1 FROM packages;
         INSERT INTO plans (name, storage, configured) VALUES ('small', 5, 1);
         UPDATE accounts SET plan = 'small' WHERE id % 2 = 0;
         INSERT INTO redirects (path, package_id, created_at) SELECT path || '-before', id, 1 FROM packages"
    ));
}

/// Compares each glance with a transaction that reads, so many times; `judge` is given what each one asked the database.
fn compare(database: Database, times: usize, judge: impl Fn(usize, &[&'static str])) {
    let (house, seen) = house(database);
    let world = build(&house);
    let digest = Digest::of(Algorithm::Sha256, b"");
    fill(&house, &digest);
    let things = [
        Asked::Manifest("latest".parse().unwrap()),
        Asked::Manifest(Reference::Digest(digest)),
        Asked::Manifest("none".parse().unwrap()),
        Asked::Blob(digest),
    ];
    let acts = table::part("actions").acts;
    let (mut compared, mut found) = (0, 0);
    for role in table::roles() {
        let &[place, package, link, by] = role.keys.as_slice() else { panic!("four columns") };
        let path = format!("{}/{package}", owner_of(place, link));
        let who = format!("{place}-{link}-{by}");
        // One bearer token, one with limits, one classic; all else there is to a token is not the catalog's.
        for token in table::tokens_of(by).iter().filter(|token| {
            ["all", "fine:owner-read", "fine:package-read", "all>pull"].contains(*token)
                || !table::TOKENS.contains(*token)
        }) {
            let presented = shows(&world, &who, token, &path);
            let before = format!("{path}-before");
            for (number, at) in [&path, &before].into_iter().enumerate() {
                let asked = &things[(compared + number) % things.len()];
                let (by, name, what, all) = (presented.clone(), at.clone(), asked.clone(), acts.clone());
                let body = move |tx: &mut ReadTx<'_, '_>| look(tx, &by, &name, &what, &all);
                let expected = house.wait(house.catalog.read(body.clone())).unwrap();
                for time in 0..times {
                    seen.lock().unwrap().clear();
                    let ask = || Ask {
                        presented: presented.clone(),
                        name: at.parse().unwrap(),
                        follow: true,
                        asked: asked.clone(),
                        now: NOW,
                    };
                    let glanced = house.wait(house.catalog.glance(ask, body.clone())).unwrap();
                    assert_eq!(glanced, expected, "{who} with {token} at {at}");
                    // What is not there is not remembered, and asked again.
                    if expected.2.is_some() || expected.1[0].is_err() {
                        judge(time, &seen.lock().unwrap());
                    }
                }
                found += usize::from(expected.2.is_some());
            }
            compared += 1;
        }
    }
    assert!(compared > 1_000 && found > compared / 4, "{found} of {compared} found something");
}

#[test]
fn one_statement_decides_as_the_others_do() {
    let Some(database) = Database::postgres() else { return };
    compare(database, 1, |_, statements| assert_eq!(statements, ["PULL"]));
}

#[test]
fn what_is_remembered_decides_as_the_database_does() {
    compare(Database::sqlite(), 2, |time, statements| {
        assert!(time == 0 || statements.is_empty(), "{statements:?}");
    });
}
