//! Copies: what one database held, another one holds, row by row; nothing half, nothing into what is not empty.

use crate::database::Database;
use crate::house::{House, collector, delete_version, image, index, may_change, on_every_database};
use packhouse_access::Delete;
use packhouse_catalog::{
    CatalogError, DumpReader, Dumped, LoadInto, Micros, Options, Place, Restoring, Vacant,
};
use packhouse_oci::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

on_every_database!(
    a_copy_goes_into_either_database_row_by_row,
    beside_the_same_store_nothing_moves_and_sessions_end,
    identifiers_go_on_far_behind_those_of_the_copy,
    a_copy_that_was_cut_or_changed_is_none,
    a_copy_does_not_go_where_something_is,
    tables_of_others_are_left_alone,
    what_breaks_off_leaves_an_empty_place,
    the_same_rows_have_the_same_digest,
    a_copy_names_its_blobs_in_order,
);

/// Tables of which a copy elsewhere has nothing.
const LEFT: [&str; 7] = ["migrations", "jobs", "holds", "device_codes", "uploads", "trash", "signing_keys"];

fn place(database: &Database) -> Place {
    match database {
        Database::Sqlite(_) => Place::Sqlite(database.file()),
        Database::Postgres(database) => Place::Postgres { url: database.url.clone(), alone: false },
    }
}

/// Someone in every room.
fn furnished(house: &House) {
    let mona = house.user("mona");
    let octo = house.organization("octo", &mona);
    house.package(&mona, "mona/tool");
    house.package(&mona, "octo/app");
    for layer in ["c", "layer", "other"] {
        house.push_blob(&mona, "mona/tool", layer);
    }
    let first = image("c", &["layer"]).build();
    let second = image("c", &["other"]).build();
    house.push(&mona, "mona/tool", &first, Some("v1"));
    house.push(&mona, "mona/tool", &second, Some("v1"));
    house.push(&mona, "mona/tool", &index(&[second.digest]).build(), Some("many"));
    let (now, shows) = (house.now(), mona.shows.clone());
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, "mona/tool")?;
        delete_version(tx, &may, &first.digest, now)
    });
    assert!(deleted.unwrap());
    house
        .write(|tx| {
            let may = collector(tx)?;
            tx.lease_job(&may, "retention", "somebody", 60)?;
            tx.hold(&may, "another copy", Micros(1), Micros(i64::MAX))?;
            tx.put_setting("blob_store", "the old store")?;
            tx.put_setting("started", "yes")?;
            tx.count_collected(&may, &[("link", 1, 0)])?;
            Ok(())
        })
        .unwrap();
    let (empty, bytes) =
        if house.is_on_postgres() { ("''::bytea", "'\\x00ff80'::bytea") } else { ("x''", "x'00ff80'") };
    house.database.run(&format!(
        "INSERT INTO teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)
           VALUES (7, {octo}, 'above', 'Übér ''all''\n\tof it', 0, NULL, -5, 9223372036854775807);
         INSERT INTO teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)
           VALUES (3, {octo}, 'below', '', 1, 7, 0, 0);
         INSERT INTO signing_keys (name, private_key, created_at) VALUES ('key', {bytes}, 1);
         INSERT INTO uploads (id, package_id, account_id, storage_key, received, hash_state, created_at, expires_at)
           SELECT 'running', p.id, p.owner_id, 'blobs/aa/running', 5, {empty}, 1, 9 FROM packages p WHERE path = 'octo/app';
         INSERT INTO trash (storage_key, not_before) VALUES ('blobs/bb/old', 1);
         INSERT INTO device_codes (device_hash, user_hash, client, scopes, created_at, expires_at, poll_seconds)
           VALUES ({bytes}, {bytes}, 'gh', 1, 1, 1, 5);
         INSERT INTO token_limits (token_id, role) SELECT id, 2 FROM tokens LIMIT 1;
         INSERT INTO redirects (path, package_id, created_at) SELECT 'mona/old', id, 1 FROM packages LIMIT 1",
        octo = octo.0
    ));
}

fn dump(house: &House, at: &Path) -> Dumped {
    let mut file = File::create(at).unwrap();
    house
        .read(move |tx| {
            let may = collector(tx)?;
            Ok(tx.dump(&may, Micros(77), Some(&mut file))?)
        })
        .unwrap()
}

/// Fresh databases of both kinds, as far as there are both.
fn places() -> Vec<Database> {
    [Some(Database::sqlite()), Database::postgres()].into_iter().flatten().collect()
}

fn elsewhere(copy: &Path, database: &Database) -> Result<u64, CatalogError> {
    let mut number = 0_u32;
    let mut keys = || {
        number += 1;
        Some(format!("blobs/00/{number:032x}"))
    };
    let into = LoadInto::Elsewhere { from: "it's a backup", store: "the new store", keys: &mut keys };
    let vacant = Vacant::open(&place(database))?;
    let loaded = vacant.load(DumpReader::open(File::open(copy).unwrap())?, into, &mut |_| {})?;
    Ok(loaded.rows)
}

fn same_store(copy: &Path, database: &Database) {
    let into = LoadInto::SameStore { now: Micros(5_000), hold: "snapshots" };
    let vacant = Vacant::open(&place(database)).unwrap();
    vacant.load(DumpReader::open(File::open(copy).unwrap()).unwrap(), into, &mut |_| {}).unwrap();
}

/// Every table's rows, sorted, its columns by name.
fn tables(database: &Database) -> BTreeMap<String, Vec<String>> {
    let (tables, columns) = match database {
        Database::Sqlite(_) => (
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            "SELECT name FROM pragma_table_info('{}') ORDER BY name",
        ),
        Database::Postgres(_) => (
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{}'
             AND table_schema = 'public' ORDER BY column_name::text COLLATE \"C\"",
        ),
    };
    let mut found = BTreeMap::new();
    for table in database.rows(tables) {
        let columns = database.rows(&columns.replace("{}", &table));
        let columns: Vec<_> = columns.iter().map(|name| format!("\"{name}\"")).collect();
        let mut rows = database.rows(&format!("SELECT {} FROM {table}", columns.join(", ")));
        rows.sort();
        found.insert(table, rows);
    }
    found
}

fn opened(database: Database) -> House {
    House::open(database, |_: &mut Options| {})
}

fn a_copy_goes_into_either_database_row_by_row(house: &House) {
    furnished(house);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let dumped = dump(house, &copy);
    let before = tables(&house.database);
    assert!(before.len() >= 30, "{} tables: are these all?", before.len());
    assert_eq!((dumped.blobs, dumped.blob_bytes), (3, 11));
    for database in places() {
        let rows = elsewhere(&copy, &database).unwrap();
        assert_eq!(rows, dumped.rows);
        let mut after = tables(&database);
        let mut filled = 0;
        for (table, rows) in &before {
            let found = after.remove(table).unwrap();
            match table.as_str() {
                "migrations" => assert_eq!(found, *rows),
                left if LEFT.contains(&left) => {
                    assert!(!rows.is_empty(), "{left} had nothing to leave out");
                    assert_eq!(found, Vec::<String>::new(), "{left}");
                }
                "settings" => {
                    let all = |rows: &[String]| rows.iter().filter(|row| row.contains("started")).count();
                    assert_eq!((all(&found), all(rows)), (1, 1));
                    assert!(found.contains(&"restoring it's a backup".to_owned()), "{found:?}");
                    assert!(found.contains(&"blob_store the new store".to_owned()), "{found:?}");
                }
                "blobs" => {
                    let but_key = |rows: &[String]| {
                        let cut = |row: &String| row.rsplit_once(' ').unwrap().0.to_owned();
                        rows.iter().map(cut).collect::<Vec<_>>()
                    };
                    assert_eq!(but_key(&found), but_key(rows));
                    assert!(found.iter().all(|row| row.contains("blobs/00/0000")), "{found:?}");
                }
                _ => assert_eq!(found, *rows, "{table}"),
            }
            filled += usize::from(!rows.is_empty());
        }
        assert!(filled >= 20, "{filled} tables had rows");
        assert_eq!(after.len(), 0, "{after:?}");

        // It opens as any other, and says that it is not whole yet.
        let moved = opened(database);
        let restoring = moved.read(|tx| Ok(tx.restoring()?)).unwrap();
        let expected = Restoring {
            from: "it's a backup".into(),
            store: "the new store".into(),
            restored_to: None,
            blobs: 3,
            blob_bytes: 11,
        };
        assert_eq!(restoring, Some(expected));
        fill(&moved);
    }
}

/// Restores the blobs of a house page by page, as far as the catalog is concerned.
fn fill(house: &House) {
    let mut after: Option<Digest> = None;
    for _ in 0..3 {
        let page = house.read(move |tx| {
            let may = collector(tx)?;
            Ok(tx.blobs_to_copy(&may, after.as_ref(), 1)?)
        });
        let blob = page.unwrap().remove(0);
        let (digest, key) = (blob.digest(), format!("{}.1", blob.storage_key()));
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.restored_to(&may, &digest, &[(digest, key.clone())])?)
            })
            .unwrap();
        after = house.read(|tx| Ok(tx.restoring()?)).unwrap().unwrap().restored_to;
        assert_eq!(after, Some(digest));
    }
    let moved = "SELECT count(*) FROM blobs WHERE storage_key LIKE '%.1'";
    assert_eq!(house.number(moved), 3);
    house
        .write(|tx| {
            let may = collector(tx)?;
            Ok(tx.end_restoring(&may)?)
        })
        .unwrap();
    assert_eq!(house.read(|tx| Ok(tx.restoring()?)).unwrap(), None);
}

fn beside_the_same_store_nothing_moves_and_sessions_end(house: &House) {
    furnished(house);
    let finished = house.number("SELECT count(*) FROM uploads WHERE digest IS NOT NULL");
    assert!(finished > 0, "a finished session's bytes are a blob");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    dump(house, &copy);
    let before = tables(&house.database);
    for database in places() {
        same_store(&copy, &database);
        let after = tables(&database);
        for same in ["blobs", "settings", "versions", "tags", "tokens", "reviews"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        assert_eq!(after["uploads"], Vec::<String>::new());
        assert_eq!(after["signing_keys"], Vec::<String>::new());
        let trash = database.rows("SELECT storage_key, trashed_at FROM trash ORDER BY storage_key");
        assert_eq!(trash, ["blobs/aa/running 5000", "blobs/bb/old 0"]);
        assert_eq!(database.rows("SELECT name, since FROM holds"), ["snapshots 0"]);
        assert_eq!(opened(database).read(|tx| Ok(tx.restoring()?)).unwrap(), None);
    }
}

fn identifiers_go_on_far_behind_those_of_the_copy(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    // Given out, and gone by now.
    let gone = house.user("gone").id;
    house.database.run(&format!(
        "DELETE FROM tokens WHERE account_id = {0}; DELETE FROM accounts WHERE id = {0}",
        gone.0
    ));
    dump(house, &copy);
    for database in places() {
        elsewhere(&copy, &database).unwrap();
        let moved = opened(database);
        let next = moved.user("next").id;
        assert_eq!(next.0, gone.0 + 1_000_001);
        // A table that was empty too.
        let octo = moved.organization("octo", &moved.user("hubot"));
        moved.database.run(&format!(
            "INSERT INTO teams (organization_id, slug, name, secret, created_at, updated_at)
             VALUES ({}, 's', 's', 0, 0, 0)",
            octo.0
        ));
        assert_eq!(moved.number("SELECT id FROM teams"), 1_000_001);
    }
}

fn a_copy_that_was_cut_or_changed_is_none(house: &House) {
    furnished(house);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    dump(house, &copy);
    let whole = std::fs::read(&copy).unwrap();
    let open = |bytes: &[u8]| {
        File::create(&copy).unwrap().write_all(bytes).unwrap();
        DumpReader::open(File::open(&copy).unwrap())
    };
    assert_eq!(open(&whole).unwrap().made_at(), Micros(77));
    for length in [0, 1, 19, 20, 51, 52, whole.len() / 2, whole.len() - 33, whole.len() - 1] {
        assert!(matches!(open(&whole[..length]), Err(CatalogError::NoCopy(_))), "{length} bytes");
    }
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(matches!(open(&changed), Err(CatalogError::NoCopy(_))), "byte {at}");
    }
}

fn a_copy_does_not_go_where_something_is(house: &House) {
    house.user("mona");
    let folder = tempfile::tempdir().unwrap();
    dump(house, &folder.path().join("copy"));
    let before = tables(&house.database);
    let refused = Vacant::open(&place(&house.database)).unwrap_err();
    assert!(matches!(refused, CatalogError::NotEmpty), "{refused}");
    assert_eq!(tables(&house.database), before);
}

/// A database may hold tables of another program, with types that are none of ours.
fn tables_of_others_are_left_alone(house: &House) {
    house.user("mona");
    let theirs = "CREATE TABLE theirs (at TIMESTAMP, n INTEGER PRIMARY KEY);
        CREATE TABLE theirs_too (n INTEGER REFERENCES theirs (n));
        INSERT INTO theirs VALUES (NULL, 7)";
    house.database.run(theirs);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    dump(house, &copy);
    for database in places() {
        database.run(theirs);
        elsewhere(&copy, &database).unwrap();
        assert_eq!(database.rows("SELECT n FROM theirs"), ["7"]);
        assert_eq!(database.rows("SELECT name FROM accounts"), ["mona"]);
    }
}

/// Its last word is not there: all of it was for nothing, and the place is free again.
fn what_breaks_off_leaves_an_empty_place(house: &House) {
    furnished(house);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    dump(house, &copy);
    for database in places() {
        let mut left = 2;
        let mut keys = || {
            left -= 1;
            (left >= 0).then(|| format!("blobs/00/{left:032x}"))
        };
        let into = LoadInto::Elsewhere { from: "x", store: "y", keys: &mut keys };
        let reader = DumpReader::open(File::open(&copy).unwrap()).unwrap();
        let vacant = Vacant::open(&place(&database)).unwrap();
        assert!(vacant.load(reader, into, &mut |_| {}).is_err());
        assert_eq!(tables(&database).len(), 0, "nothing is left");
        elsewhere(&copy, &database).unwrap();
    }
}

fn the_same_rows_have_the_same_digest(house: &House) {
    let mona = house.user("mona");
    let looked = |at: i64| {
        house
            .read(move |tx| {
                let may = collector(tx)?;
                Ok(tx.dump(&may, Micros(at), None)?)
            })
            .unwrap()
    };
    let first = looked(1);
    house
        .write(|tx| {
            let may = collector(tx)?;
            Ok(tx.hold(&may, "a copy", Micros(1), Micros(2))?)
        })
        .unwrap();
    assert_eq!(looked(2), first, "a hold is no change");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(dump(house, &folder.path().join("copy")), first);
    house.package(&mona, "mona/tool");
    assert_ne!(looked(3).content, first.content);
}

fn a_copy_names_its_blobs_in_order(house: &House) {
    furnished(house);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    dump(house, &copy);
    let may = house
        .read(|tx| {
            let may = collector(tx)?;
            Ok(tx.store_copy(&may))
        })
        .unwrap();
    let blobs = DumpReader::open(File::open(&copy).unwrap()).unwrap().blobs(&may);
    assert_eq!(blobs.total(), 3);
    let blobs: Vec<_> = blobs.map(Result::unwrap).collect();
    let found: Vec<_> = blobs
        .iter()
        .map(|blob| format!("{} {} {}", hex(&blob.digest()), blob.size(), blob.storage_key()))
        .collect();
    assert_eq!(found, house.rows("SELECT digest, size, storage_key FROM blobs ORDER BY digest"));
}

fn hex(digest: &Digest) -> String {
    digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
