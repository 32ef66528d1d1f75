//! A catalog seen from outside: every table, row by row, by another door than the program's.

use packhouse_tests::House;
use postgres::{Client, NoTls, SimpleQueryMessage};
use rusqlite::types::ValueRef;
use std::collections::BTreeMap;

/// Rows of a table, sorted, their columns by name.
pub(crate) type Tables = BTreeMap<String, Vec<String>>;

/// What is of one house only.
const OWN: [&str; 6] = ["signing_keys", "uploads", "trash", "jobs", "holds", "device_codes"];

enum Door {
    Sqlite(rusqlite::Connection),
    Postgres(Client),
}

impl Door {
    fn rows(&mut self, text: &str) -> Vec<Vec<String>> {
        match self {
            Door::Sqlite(connection) => {
                let mut statement = connection.prepare(text).unwrap();
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| {
                    let column = |at| match row.get_ref(at).unwrap() {
                        ValueRef::Null => "-".to_owned(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                    };
                    Ok((0..columns).map(column).collect())
                });
                rows.unwrap().map(Result::unwrap).collect()
            }
            Door::Postgres(client) => {
                let rows = client.simple_query(text).unwrap().into_iter();
                rows.filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(
                        (0..row.len())
                            .map(|at| row.get(at).unwrap_or("-").trim_start_matches("\\x").to_owned())
                            .collect(),
                    ),
                    _ => None,
                })
                .collect()
            }
        }
    }
}

fn door(house: &House) -> Option<Door> {
    if let Some(url) = house.database_url() {
        return Some(Door::Postgres(Client::connect(url, NoTls).unwrap()));
    }
    let path = house.data().join("catalog.sqlite");
    path.exists().then(|| Door::Sqlite(rusqlite::Connection::open(path).unwrap()))
}

fn names(door: &mut Door) -> Vec<String> {
    let text = match door {
        Door::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        Door::Postgres(_) => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    };
    door.rows(text).into_iter().map(|mut row| row.remove(0)).collect()
}

/// All tables that two houses may have in common.
pub(crate) fn tables(house: &House, same_store: bool) -> Tables {
    let mut door = door(house).expect("there is a catalog");
    let mut found = Tables::new();
    for table in names(&mut door) {
        if OWN.contains(&table.as_str()) {
            continue;
        }
        let columns = match &door {
            Door::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Door::Postgres(_) => format!(
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = 'public'"
            ),
        };
        let mut columns: Vec<_> =
            door.rows(&columns).into_iter().map(|row| format!("\"{}\"", row[0])).collect();
        columns.sort();
        columns.retain(|name| same_store || table != "blobs" || name != "\"storage_key\"");
        let rows = door.rows(&format!("SELECT {} FROM {table}", columns.join(", ")));
        let mut rows: Vec<_> = rows.into_iter().map(|row| row.join("|")).collect();
        rows.retain(|row| table != "settings" || !(row.starts_with("blob_store") || row.starts_with("lock")));
        rows.sort();
        found.insert(table, rows);
    }
    assert!(found.len() >= 25, "{} tables: are these all?", found.len());
    found
}

/// Says where two catalogs differ, in a few lines.
#[track_caller]
pub(crate) fn same(before: &Tables, after: &Tables) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (table, rows) in before {
        let found = &after[table];
        let lost: Vec<_> = rows.iter().filter(|row| found.binary_search(row).is_err()).take(3).collect();
        let new: Vec<_> = found.iter().filter(|row| rows.binary_search(row).is_err()).take(3).collect();
        assert!(
            rows.len() == found.len() && lost.is_empty() && new.is_empty(),
            "{table}: {} rows became {}; lost {lost:?}, new {new:?}",
            rows.len(),
            found.len()
        );
    }
}

/// Whether the house says of itself that it is being restored; none: there is no catalog.
pub(crate) fn restoring(house: &House) -> Option<bool> {
    let mut door = door(house)?;
    if !names(&mut door).contains(&"settings".to_owned()) {
        return None;
    }
    Some(!door.rows("SELECT value FROM settings WHERE name = 'restoring'").is_empty())
}
