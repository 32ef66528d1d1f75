//! A fresh database per test, gone when the test is.
//!
//! PostgreSQL runs where `PACKHOUSE_TEST_DATABASE_URL` names a server and a role that may create databases. Where
//! it does not, the clauses on PostgreSQL are skipped and say so; in CI that is a failure.

use postgres::{Client, NoTls, SimpleQueryMessage};
use rusqlite::types::ValueRef;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, Once, PoisonError};

const URL: &str = "PACKHOUSE_TEST_DATABASE_URL";

/// Databases at once: a machine of many cores would otherwise ask for more connections than a server has.
const DATABASES_MAX: usize = 6;

/// Where one test keeps its catalog.
pub(crate) enum Database {
    Sqlite(tempfile::TempDir),
    Postgres(PostgresDatabase),
}

impl Database {
    pub(crate) fn sqlite() -> Database {
        Database::Sqlite(tempfile::tempdir().unwrap())
    }

    /// `None` where there is no server.
    pub(crate) fn postgres() -> Option<Database> {
        PostgresDatabase::create().map(Database::Postgres)
    }

    /// SQLite's file; a name that is not there for PostgreSQL.
    pub(crate) fn file(&self) -> PathBuf {
        match self {
            Database::Sqlite(folder) => folder.path().join("catalog.sqlite"),
            Database::Postgres(_) => PathBuf::new(),
        }
    }

    /// What a statement of the test's own gives, by another door than the code under test: a row per text, its
    /// columns joined by blanks, `-` for NULL.
    pub(crate) fn rows(&self, text: &str) -> Vec<String> {
        match self {
            Database::Sqlite(_) => sqlite_rows(&rusqlite::Connection::open(self.file()).unwrap(), text),
            Database::Postgres(database) => postgres_rows(&mut connect(&database.url), text),
        }
    }

    /// Runs a text of the test's own.
    pub(crate) fn run(&self, text: &str) {
        match self {
            Database::Sqlite(_) => {
                rusqlite::Connection::open(self.file()).unwrap().execute_batch(text).unwrap();
            }
            Database::Postgres(database) => connect(&database.url).batch_execute(text).unwrap(),
        }
    }
}

pub(crate) fn sqlite_rows(connection: &rusqlite::Connection, text: &str) -> Vec<String> {
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
        Ok((0..columns).map(column).collect::<Vec<_>>().join(" "))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn postgres_rows(client: &mut Client, text: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for message in client.simple_query(text).unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            let column = |at| row.get(at).unwrap_or("-").trim_start_matches("\\x").to_owned();
            rows.push((0..row.len()).map(column).collect::<Vec<_>>().join(" "));
        }
    }
    rows
}

/// A database on the server that the environment names.
pub(crate) struct PostgresDatabase {
    server: String,
    name: String,
    pub(crate) url: String,
    _slot: Slot,
}

impl PostgresDatabase {
    pub(crate) fn create() -> Option<PostgresDatabase> {
        let Ok(server) = std::env::var(URL) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{URL} is not set, and CI skips nothing");
            static SAID: Once = Once::new();
            // Not `eprintln!`, which a passing test swallows.
            SAID.call_once(|| {
                let _ =
                    writeln!(std::io::stderr(), "SKIPPED: the clauses on PostgreSQL, since {URL} is not set");
            });
            return None;
        };
        let slot = Slot::take();
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("packhouse_test_{}_{number}", std::process::id());
        let url = with_database(&server, &name);
        let mut client = connect(&server);
        // An earlier run of the same number may have been killed.
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).unwrap();
        Some(PostgresDatabase { server, name, url, _slot: slot })
    }
}

/// The sessions of the catalog under test in the database of `url`.
const SESSIONS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'packhouse'";

fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

/// Ends every session of the catalog under test, waits until they are gone, and says how many there were.
pub(crate) fn end_sessions(url: &str) -> usize {
    let mut client = connect(url);
    let ended = postgres_rows(&mut client, &format!("SELECT pg_terminate_backend(pid) {SESSIONS}"));
    wait_for(|| postgres_rows(&mut client, &format!("SELECT pid {SESSIONS}")).is_empty());
    ended.len()
}

/// Waits until a session of the catalog waits for another one's lock.
pub(crate) fn wait_for_a_waiter(url: &str) {
    wait_for(waiting(url));
}

/// What tells whether a session of the catalog waits for another one's lock.
pub(crate) fn waiting(url: &str) -> impl FnMut() -> bool {
    let mut client = connect(url);
    let waiting = format!("SELECT pid {SESSIONS} AND wait_event_type = 'Lock'");
    move || !postgres_rows(&mut client, &waiting).is_empty()
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = Client::connect(&self.server, NoTls).and_then(|mut client| client.batch_execute(&drop));
        if let Err(error) = dropped {
            let _ = writeln!(std::io::stderr(), "dropping {}: {error}", self.name);
        }
    }
}

/// The same server's URL for another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) =
        url.split_once('?').map_or((url, None), |(address, options)| (address, Some(options)));
    let (scheme, rest) = address.split_once("://").unwrap();
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{scheme}://{host}/{name}{options}")
}

/// Waits for a state, not for a time; a state that does not come in half a minute is a failure.
pub(crate) fn wait_for(mut reached: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if reached() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited for a state that did not come");
}

/// One of the databases that may exist at once.
struct Slot;

static SLOTS: (Mutex<usize>, Condvar) = (Mutex::new(DATABASES_MAX), Condvar::new());

impl Slot {
    fn take() -> Slot {
        let mut free = SLOTS.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = SLOTS.1.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *SLOTS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        SLOTS.1.notify_one();
    }
}
