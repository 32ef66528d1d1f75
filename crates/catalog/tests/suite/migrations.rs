//! The schema: made once, known again, and refused when another program made it.

use crate::database::Database;
use crate::house::{House, image, on_every_database};
use packhouse_catalog::{Catalog, CatalogError, Options, Place};

on_every_database!(
    migrations_run_once_and_opening_again_changes_nothing,
    a_schema_of_a_newer_program_is_refused_and_left_alone,
    a_migration_that_differs_is_refused_and_left_alone,
    an_identifier_is_never_used_again,
);

fn place(database: &Database) -> Place {
    match database {
        Database::Sqlite(_) => Place::Sqlite(database.file()),
        Database::Postgres(database) => Place::Postgres { url: database.url.clone(), alone: false },
    }
}

fn open(house: &House) -> Result<Catalog, CatalogError> {
    Catalog::open(&Options { connections: 1, ..Options::new(place(&house.database)) })
}

const DONE: &str = "SELECT number, checksum FROM migrations ORDER BY number";

fn migrations_run_once_and_opening_again_changes_nothing(house: &House) {
    house.user("mona");
    let done = house.rows(DONE);
    assert_eq!(done.len(), 3);
    assert!(done[0].starts_with("1 01"), "a number and a sha256: {done:?}");
    for _ in 0..2 {
        let again = open(house).unwrap();
        let found = house.wait(again.read::<_, CatalogError>(|tx| tx.account("mona")));
        assert!(found.unwrap().is_some());
    }
    assert_eq!(house.rows(DONE), done);
}

fn a_schema_of_a_newer_program_is_refused_and_left_alone(house: &House) {
    house.user("mona");
    house
        .database
        .run("INSERT INTO migrations (number, checksum) SELECT 99, checksum FROM migrations LIMIT 1");
    let done = house.rows(DONE);
    let refused = open(house).err().unwrap();
    assert!(matches!(refused, CatalogError::Schema { number: 99, .. }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "migration 99 of the catalog differs from this program's; a newer packhouse made it; start that one"
    );
    assert_eq!((house.rows(DONE), house.rows("SELECT name FROM accounts")), (done, vec!["mona".to_owned()]));
}

fn a_migration_that_differs_is_refused_and_left_alone(house: &House) {
    house.user("mona");
    // The same length, another sum.
    let zero = if house.is_on_postgres() { "sha256('')" } else { "zeroblob(33)" };
    house.database.run(&format!("UPDATE migrations SET checksum = {zero}"));
    let done = house.rows(DONE);
    let refused = open(house).err().unwrap();
    assert!(matches!(refused, CatalogError::Schema { number: 1, .. }), "{refused:?}");
    assert_eq!((house.rows(DONE), house.rows("SELECT name FROM accounts")), (done, vec!["mona".to_owned()]));
}

/// The API gives these numbers out: one that came back would name another thing.
fn an_identifier_is_never_used_again(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let first = house.push(&mona, "mona/tool", &image("c", &[]).build(), None).version;
    // Purged, as a collection will one day.
    house.database.run("DELETE FROM versions; DELETE FROM manifest_refs; DELETE FROM manifests");
    let second = house.push(&mona, "mona/tool", &image("c", &[]).build(), None).version;
    assert!(second > first, "{second} after {first}");
}

#[test]
fn nodes_that_start_at_once_migrate_once() {
    let Some(database) = Database::postgres() else { return };
    let opened: Vec<Catalog> = std::thread::scope(|scope| {
        let open = || Catalog::open(&Options { connections: 2, ..Options::new(place(&database)) }).unwrap();
        let starting: Vec<_> = (0..5).map(|_| scope.spawn(open)).collect();
        starting.into_iter().map(|started| started.join().unwrap()).collect()
    });
    assert_eq!(opened.len(), 5);
    assert_eq!(database.rows(DONE).len(), 3);
}
