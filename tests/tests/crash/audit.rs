//! What lies in the data folder when nobody uses it: the catalog's file and the blobs' files agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::ledger::{Ledger, State};

/// What was seen, for the floors.
#[derive(Debug)]
pub(crate) struct Audited {
    pub(crate) files: usize,
    pub(crate) blobs: usize,
    pub(crate) uploads: usize,
}

/// Looks at the data folder of a registry that does not run.
///
/// # Panics
///
/// When the catalog is damaged, when it holds anything the ledgers do not, or lacks what they hold, when a file
/// is named by no row, or when a row's file is not there or has another length.
#[track_caller]
pub(crate) fn audit(data: &Path, ledgers: &[&Ledger]) -> Audited {
    let catalog = Connection::open_with_flags(catalog_file(data), OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the catalog can be opened");
    assert_eq!(words(&catalog, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(words(&catalog, "SELECT \"table\" FROM pragma_foreign_key_check"), [""; 0]);
    for ledger in ledgers {
        compare(&catalog, ledger);
    }
    files(data, &catalog)
}

/// The file of the data folder that begins as SQLite's do.
#[track_caller]
fn catalog_file(data: &Path) -> PathBuf {
    let entries =
        std::fs::read_dir(data).expect("the data folder can be read").map(|entry| entry.expect("an entry"));
    let begins = |file: &PathBuf| {
        let mut start = [0; 16];
        File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok()
            && start == *b"SQLite format 3\0"
    };
    entries.map(|entry| entry.path()).find(begins).expect("there is a catalog")
}

#[track_caller]
fn words(catalog: &Connection, query: &str) -> Vec<String> {
    let mut statement = catalog.prepare(query).expect("the query fits the schema");
    let rows = statement.query_map([], |row| row.get(0)).expect("the catalog can be read");
    rows.collect::<Result<_, _>>().expect("the catalog can be read")
}

/// A package holds exactly what its writer was promised: nothing is missing, and nothing else became visible.
#[track_caller]
fn compare(catalog: &Connection, ledger: &Ledger) {
    // A digest is an algorithm byte and the hash.
    let digests = |what: &str| -> BTreeSet<String> {
        let query = format!(
            "SELECT 'sha256:' || lower(hex(substr(x.digest, 2))) FROM {what} x JOIN packages p ON p.id = x.package_id \
             WHERE p.path = '{}'",
            ledger.package
        );
        words(catalog, &query).into_iter().collect()
    };
    let blobs = ledger.blobs.iter().filter(|(_, stored)| stored.state == State::There);
    same(&ledger.package, &digests("package_blobs"), &blobs.map(|(digest, _)| digest.clone()).collect());
    let manifests = ledger.manifests.iter().filter(|(_, document)| document.state == State::There);
    let live = digests("(SELECT * FROM versions WHERE deleted_at IS NULL)");
    same(&ledger.package, &live, &manifests.map(|(digest, _)| digest.clone()).collect());
    let tags = format!(
        "SELECT t.name || ' sha256:' || lower(hex(substr(v.digest, 2))) FROM tags t \
         JOIN versions v ON v.id = t.version_id JOIN packages p ON p.id = t.package_id \
         WHERE t.valid_to IS NULL AND p.path = '{}'",
        ledger.package
    );
    let named = ledger.tags.iter().map(|(tag, digest)| format!("{tag} {digest}"));
    same(&ledger.package, &words(catalog, &tags).into_iter().collect(), &named.collect());
}

#[track_caller]
fn same(package: &str, found: &BTreeSet<String>, promised: &BTreeSet<String>) {
    let missing: Vec<&String> = promised.difference(found).take(5).collect();
    let strange: Vec<&String> = found.difference(promised).take(5).collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{package}: missing {missing:?}, not promised {strange:?}"
    );
}

#[track_caller]
fn files(data: &Path, catalog: &Connection) -> Audited {
    let there = files_below(data);
    let mut statement =
        catalog.prepare("SELECT storage_key, size FROM blobs").expect("the query fits the schema");
    let blobs: BTreeMap<String, u64> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))
        .and_then(Iterator::collect)
        .expect("the catalog can be read");
    for (key, size) in &blobs {
        assert_eq!(there.get(key), Some(size), "the file of a blob: {key}");
    }
    let mut statement = catalog
        .prepare("SELECT storage_key, received, digest IS NOT NULL FROM uploads")
        .expect("the query fits the schema");
    let uploads: Vec<(String, u64, bool)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?)))
        .and_then(Iterator::collect)
        .expect("the catalog can be read");
    let trash: BTreeSet<String> = words(catalog, "SELECT storage_key FROM trash").into_iter().collect();
    for (key, received, finished) in &uploads {
        if *finished {
            // It became a blob, or was thrown away because the same blob was there already.
            let removed = !there.contains_key(key);
            assert!(blobs.contains_key(key) || trash.contains(key) || removed, "a finished upload: {key}");
        } else {
            // Before the first byte there need not be a file.
            assert!(there.get(key).copied().unwrap_or(0) >= *received, "an upload lacks bytes: {key}");
        }
    }
    let uploading: BTreeSet<&String> = uploads.iter().map(|(key, ..)| key).collect();
    let nobodys: Vec<&String> = there
        .keys()
        .filter(|key| !blobs.contains_key(*key) && !trash.contains(*key) && !uploading.contains(key))
        .collect();
    assert!(nobodys.is_empty(), "files that no row names: {nobodys:?}");
    Audited { files: there.len(), blobs: blobs.len(), uploads: uploads.len() }
}

/// Storage keys and lengths of what lies in the fan of folders below `blobs`.
#[track_caller]
fn files_below(data: &Path) -> BTreeMap<String, u64> {
    let read = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder can be read");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let fan = read(&data.join("blobs")).into_iter().filter(|path| path.is_dir());
    let files = fan.flat_map(|folder| read(&folder));
    files
        .map(|file| {
            let key = file.strip_prefix(data).expect("it lies there").display().to_string();
            (key, file.metadata().expect("a file can be looked at").len())
        })
        .collect()
}
