//! That the triggers see all that is remembered.

use super::watch::WATCHED;
use crate::connection::{Connection, Database};
use crate::sql::Statement;
use crate::{blobs, facts, manifests, storage};
use rusqlite::hooks::{AuthAction, Authorization};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// All statements whose rows are remembered.
const REMEMBERED: &[&Statement] = &[
    &facts::CALLER_BY_HASH,
    &facts::CALLER_BY_TOKEN,
    &facts::LIMITS,
    &facts::NAMESPACE,
    &facts::PACKAGE,
    &facts::PACKAGE_FOLLOWED,
    &facts::ROLES,
    &manifests::MANIFEST_BY_TAG,
    &manifests::MANIFEST_BY_DIGEST,
    &blobs::READABLE_BLOB,
    &storage::PLAN_LIMITS,
];

/// Each column that a remembered row depends on is watched: otherwise a change of it would go unseen.
#[test]
fn every_column_that_is_remembered_is_watched() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let mut connection = Connection::sqlite(connection, None, Default::default());
    crate::schema::migrate(&mut connection, crate::schema::Dialect::Sqlite).unwrap();
    let Database::Sqlite(connection) = connection.database() else { panic!("it was made so") };
    let read: Arc<Mutex<BTreeSet<(String, String)>>> = Arc::default();
    let noting = Arc::clone(&read);
    let note = move |context: rusqlite::hooks::AuthContext<'_>| {
        if let AuthAction::Read { table_name, column_name } = context.action {
            noting.lock().unwrap().insert((table_name.to_owned(), column_name.to_owned()));
        }
        Authorization::Allow
    };
    connection.authorizer(Some(note)).unwrap();
    for statement in REMEMBERED {
        connection.prepare(statement.sqlite()).unwrap();
    }
    let watched: BTreeSet<(&str, &str)> = WATCHED
        .iter()
        .flat_map(|watched| watched.columns.iter().map(|column| (watched.table, *column)))
        .collect();
    let read = read.lock().unwrap();
    assert!(read.len() > 40, "{read:?}");
    let unwatched: Vec<_> = read
        .iter()
        // Numbers never change; parts of a statement have names of their own; a plain look at a table names no column.
        .filter(|(table, column)| column != "id" && table != "mine" && !column.is_empty())
        .filter(|(table, column)| !watched.contains(&(table.as_str(), column.as_str())))
        .collect();
    assert!(unwatched.is_empty(), "{unwatched:?}");
}
