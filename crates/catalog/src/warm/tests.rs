//! That the triggers see all that is remembered.

use super::Warm;
use super::stamps::About;
use super::watch::{WATCHED, Watch};
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

/// One row in each watched table.
const ROWS: &str = "
    INSERT INTO accounts (id, name, kind, created_at) VALUES (1, 'mona', 1, 1), (2, 'acme', 2, 1);
    INSERT INTO memberships (organization_id, account_id, owner) VALUES (2, 1, 0);
    INSERT INTO policies VALUES (2, 1, 1, 1, 0, 1, 1, 1);
    INSERT INTO teams (id, organization_id, slug, name, secret, created_at, updated_at) VALUES (3, 2, 't', 't', 0, 1, 1);
    INSERT INTO team_members (team_id, account_id, maintainer) VALUES (3, 1, 0);
    INSERT INTO repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)
      VALUES (4, 2, 'acme/code', 'code', 0, 'main', 1, 1);
    INSERT INTO repository_accounts (repository_id, account_id, role) VALUES (4, 1, 1);
    INSERT INTO repository_teams (repository_id, team_id, role) VALUES (4, 3, 1);
    INSERT INTO packages (id, path, owner_id, visibility, created_at) VALUES (7, 'acme/app', 2, 0, 1);
    INSERT INTO redirects (path, package_id, created_at) VALUES ('acme/old', 7, 1);
    INSERT INTO package_grants (package_id, account_id, role, granted_at) VALUES (7, 1, 1, 1);
    INSERT INTO package_teams (package_id, team_id, role, granted_at) VALUES (7, 3, 1, 1);
    INSERT INTO tokens (id, account_id, kind, name, hash, scopes, created_at) VALUES (9, 1, 3, 't', x'01', 0, 1);
    INSERT INTO token_limits (token_id, package_id, role) VALUES (9, 7, 1);
    INSERT INTO manifests (id, digest, media_type, kind, size, payload) VALUES (5, x'01', 'x', 1, 0, x'');
    INSERT INTO versions (id, package_id, manifest_id, digest, created_at) VALUES (6, 7, 5, x'01', 1);
    INSERT INTO tags (package_id, name, version_id, valid_from) VALUES (7, 'v1', 6, 1);
    INSERT INTO blobs (digest, size, storage_key, created_at) VALUES (x'02', 1, 'k', 1);
    INSERT INTO package_blobs (package_id, digest, linked_at) VALUES (7, x'02', 1);
    INSERT INTO plans (name, configured) VALUES ('small', 1);
    INSERT INTO settings (name, value) VALUES ('default_plan', 'small');";

/// What the row of a table is about.
fn about(table: &str, column: &str) -> About<'static> {
    match (table, column) {
        ("tokens" | "token_limits", _) => About::Token(9),
        ("accounts", "plan" | "login") | ("plans" | "settings", _) => About::Plans,
        ("packages" | "package_grants" | "package_teams", _) => About::Path("acme/app"),
        ("redirects", _) => About::Path("acme/old"),
        ("tags" | "versions" | "package_blobs", _) => About::Package(7),
        ("manifests" | "blobs", _) => About::Contents,
        _ => About::Places,
    }
}

/// Each watched column, changed by itself, ends what is remembered of its row, and nothing of another package.
#[test]
fn each_change_of_a_watched_column_is_seen() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let mut connection = Connection::sqlite(connection, None, Default::default());
    crate::schema::migrate(&mut connection, crate::schema::Dialect::Sqlite).unwrap();
    let Database::Sqlite(connection) = connection.database() else { panic!("it was made so") };
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;").unwrap();
    let warm = Arc::new(Warm::new(0, true));
    let watch = Watch::on(connection, &warm).unwrap();
    let stamps = warm.stamps();
    let (other, neighbour) = (stamps.shard(About::Package(8)), stamps.shard(About::Path("acme/other")));
    let ends = |text: &str, about: About<'_>| {
        let before = stamps.now();
        connection.execute_batch(text).unwrap();
        watch.publish();
        assert!(stamps.unchanged(other, before) && stamps.unchanged(neighbour, before), "{text}");
        !stamps.unchanged(stamps.shard(about), before)
    };
    connection.execute_batch(ROWS).unwrap();
    watch.publish();
    for watched in WATCHED {
        let table = watched.table;
        for column in watched.columns {
            let text = format!("UPDATE {table} SET {column} = {column}");
            assert!(ends(&text, about(table, column)), "{text}");
        }
    }
    // An old path leads to a package again when that is restored.
    assert!(ends("UPDATE packages SET deleted_at = 1", About::Path("acme/old")));
    // What comes where nothing was remembered to be, and what goes.
    for table in WATCHED.iter().map(|watched| watched.table) {
        let last = matches!(table, "manifests" | "blobs");
        let gone = ends(
            &format!("CREATE TEMP TABLE kept AS SELECT * FROM {table}; DELETE FROM main.{table}"),
            about(table, ""),
        );
        let comes = matches!(table, "tokens" | "tags" | "versions" | "manifests" | "package_blobs" | "blobs");
        let back =
            ends(&format!("INSERT INTO main.{table} SELECT * FROM kept; DROP TABLE kept"), about(table, ""));
        assert_eq!((gone, back), (!last, !comes), "{table}");
    }
}

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
