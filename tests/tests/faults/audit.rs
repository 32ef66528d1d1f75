//! Rows and files agree when nobody uses them.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

/// Looks at the data folder of a registry that does not run.
///
/// # Panics
///
/// When a blob's file is not there or has another length, or a file is named by no row.
#[track_caller]
pub(crate) fn audit(data: &Path) {
    let catalog = Connection::open(data.join("catalog.sqlite")).expect("the catalog can be opened");
    let sound: String = catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut statement = catalog.prepare("SELECT storage_key, size FROM blobs").unwrap();
    let blobs = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
    let blobs: Vec<(String, i64)> = blobs.collect::<Result<_, _>>().unwrap();
    for (key, size) in &blobs {
        let found = data.join(key).metadata().unwrap_or_else(|error| panic!("{key}: {error}")).len();
        assert_eq!(found, size.unsigned_abs(), "{key}");
    }
    let named = "SELECT storage_key FROM blobs UNION SELECT storage_key FROM uploads UNION SELECT storage_key FROM trash";
    let mut statement = catalog.prepare(named).unwrap();
    let named: BTreeSet<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let fan = std::fs::read_dir(data.join("blobs")).unwrap().map(|folder| folder.unwrap().path());
    for folder in fan.filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let key = path.strip_prefix(data).unwrap().display().to_string();
            assert!(named.contains(&key), "no row names the file {key}");
        }
    }
    assert!(!blobs.is_empty(), "there are no blobs");
}
