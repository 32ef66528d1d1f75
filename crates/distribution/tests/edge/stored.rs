//! Everything that the house keeps: each row of the catalog and each file, as text.

use crate::house::House;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What was kept at some moment; two are compared, and what differs is printed.
#[derive(PartialEq, Eq)]
pub(crate) struct Stored(BTreeMap<String, String>);

impl House {
    /// What is kept now.
    pub(crate) fn stored(&self) -> Stored {
        let mut stored = BTreeMap::new();
        let catalog = &self.outside;
        let mut names =
            catalog.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(names.len() > 10, "the schema was found: {names:?}");
        // Counts of what was ever removed are no trace of a request.
        for name in names.into_iter().filter(|name| name != "collected") {
            let mut rows = catalog.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
            // When a token was used is noted aside, whatever the request was.
            let noted = rows.column_names().position(|column| column == "last_used_at");
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let cells: Vec<String> = (0..columns)
                    .filter(|at| Some(*at) != noted)
                    .map(|at| cell(row.get_ref(at).unwrap()))
                    .collect();
                stored.insert(format!("{name}: {}", cells.join(" | ")), String::new());
            }
        }
        files(&self.blobs_folder(), &mut stored);
        Stored(stored)
    }

    /// One number that a statement of the test finds in the catalog.
    pub(crate) fn count(&self, statement: &str) -> i64 {
        self.outside.query_row(statement, [], |row| row.get(0)).unwrap()
    }

    /// The name and the bytes of the key that signs bearer tokens.
    pub(crate) fn signing_key(&self) -> (String, Vec<u8>) {
        let statement = "SELECT name, private_key FROM signing_keys ORDER BY id DESC LIMIT 1";
        self.outside.query_row(statement, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// How many files there are with bytes of blobs.
    pub(crate) fn files(&self) -> usize {
        self.keys_on_disk().len()
    }

    /// The storage keys of the files there are.
    fn keys_on_disk(&self) -> BTreeSet<String> {
        let mut found = BTreeMap::new();
        files(&self.blobs_folder(), &mut found);
        let folder = self.blobs_folder().parent().unwrap().display().to_string();
        let keys = found.into_keys().map(|path| path[folder.len() + 1..].to_owned());
        keys.filter(|key| key != "blobs/identity").collect()
    }

    fn keys(&self, statement: &str) -> BTreeSet<String> {
        let mut rows = self.outside.prepare(statement).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Fails when there are bytes that no row names, which nothing would ever remove, or a blob without bytes.
    pub(crate) fn has_no_leaks(&self) {
        let files = self.keys_on_disk();
        let named = self.keys(
            "SELECT storage_key FROM blobs UNION SELECT storage_key FROM uploads UNION SELECT storage_key FROM trash",
        );
        let leaked: Vec<_> = files.difference(&named).collect();
        assert!(leaked.is_empty(), "no row names {leaked:?}");
        let blobs = self.keys("SELECT storage_key FROM blobs");
        let lost: Vec<_> = blobs.difference(&files).collect();
        assert!(lost.is_empty(), "no bytes of {lost:?}");
    }

    /// The bytes of the only file there is.
    pub(crate) fn file(&self) -> Vec<u8> {
        std::fs::read(self.only_file()).unwrap()
    }

    /// Does to the only file what a disk may do.
    pub(crate) fn damage_the_file(&self, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.file();
        damage(&mut bytes);
        std::fs::write(self.only_file(), bytes).unwrap();
    }

    fn only_file(&self) -> PathBuf {
        let mut keys = self.keys_on_disk();
        assert_eq!(keys.len(), 1, "one file");
        self.blobs_folder().parent().unwrap().join(keys.pop_first().unwrap())
    }

    /// Does to the catalog what only a damaged disk or an intruder could.
    pub(crate) fn tamper(&self, statement: &str) {
        let catalog = Connection::open(self.catalog_file()).unwrap();
        catalog.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert!(catalog.execute(statement, []).unwrap() > 0, "{statement}");
    }

    /// A number that another commit of anything changes.
    pub(crate) fn commits(&self) -> i64 {
        self.count("PRAGMA data_version")
    }
}

/// Opens the catalog's file to read it beside the house.
pub(crate) fn look_at(file: &Path) -> Connection {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            found.insert(path.display().to_string(), content);
        }
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(row, content)| writeln!(f, "{row} {content}"))
    }
}

/// Fails with what was added and what is gone.
#[track_caller]
pub(crate) fn assert_same(before: &Stored, after: &Stored, what: &str) {
    let missing = |of: &Stored, there: &Stored| {
        let lost = of.0.iter().filter(|(row, content)| there.0.get(*row) != Some(*content));
        lost.map(|(row, _)| row.clone()).collect::<Vec<_>>()
    };
    let (added, gone) = (missing(after, before), missing(before, after));
    assert!(added.is_empty() && gone.is_empty(), "{what}\nadded: {added:#?}\ngone: {gone:#?}");
}
