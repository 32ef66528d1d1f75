//! One connection to either database, and what a transaction does with it.

use crate::CatalogError;
use crate::schema::Dialect;
use crate::sql::{Row, Statement, Value};
use crate::warm::watch::Watch;
use crate::warm::{Known, Learning, Thing, Warm};
use ::postgres::fallible_iterator::FallibleIterator;
use ::postgres::types::ToSql;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one statement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Its name.
    pub statement: &'static str,
    /// Rows that it gave or changed.
    pub rows: u64,
    /// Instructions of SQLite's machine; 0 on PostgreSQL.
    pub steps: u64,
}

/// Told each statement that ran; a test compares the work done for two requests with it.
pub(crate) type Observer = Arc<dyn Fn(Work) + Send + Sync>;

/// How a failed transaction may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Another transaction won: run this one again.
    Repeat,
    /// The connection is gone: connect and run this one again.
    Broken,
    /// Running it again would not help.
    Final,
}

/// A connection. Once a statement has failed the transaction is over, whatever its closure makes of the error.
pub(crate) struct Connection {
    database: Database,
    observer: Option<Observer>,
    failure: Option<Failure>,
    doubt: Doubt,
    learning: Option<Learning>,
    watch: Option<Watch>,
    /// What the one connection that writes reads from memory.
    remembering: Option<Arc<Warm>>,
    payloads: Option<Arc<Warm>>,
}

/// Whether a commit was refused that may lie whole in SQLite's log all the same, because only its sync failed: a crash
/// would bring it back. Shared by the connections of one catalog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    pub(crate) fn stands(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, doubt: bool) {
        self.0.store(doubt, Ordering::SeqCst);
    }
}

#[expect(clippy::large_enum_variant, reason = "there are a few dozen of them in a process")]
pub(crate) enum Database {
    Sqlite(rusqlite::Connection),
    Postgres { client: ::postgres::Client, prepared: HashMap<&'static str, ::postgres::Statement> },
}

impl Connection {
    fn on(database: Database, observer: Option<Observer>, doubt: Doubt) -> Self {
        Connection {
            database,
            observer,
            failure: None,
            doubt,
            learning: None,
            watch: None,
            remembering: None,
            payloads: None,
        }
    }

    pub(crate) fn sqlite(connection: rusqlite::Connection, observer: Option<Observer>, doubt: Doubt) -> Self {
        let database = Database::Sqlite(connection);
        Connection::on(database, observer, doubt)
    }

    /// From now on what is read here is remembered: see [`crate::warm`]. For connections that only read.
    pub(crate) fn learn_in(&mut self, warm: &Arc<Warm>) {
        self.learning = Some(Learning::on(warm));
    }

    /// What is read next may be rolled back.
    pub(crate) fn learn_no_more(&mut self) {
        self.learning = None;
    }

    /// A snapshot begins.
    pub(crate) fn note_time(&mut self) {
        if let Some(learning) = &mut self.learning {
            learning.note_time();
        }
    }

    pub(crate) fn learning(&self) -> Option<&Learning> {
        self.learning.as_ref()
    }

    /// From now on what is changed here ends what is remembered of it.
    pub(crate) fn watch(&mut self, warm: &Arc<Warm>) -> Result<(), CatalogError> {
        if let Database::Sqlite(connection) = &self.database {
            self.watch = Some(Watch::on(connection, warm)?);
            self.remembering = Some(Arc::clone(warm));
        }
        Ok(())
    }

    /// Whether the next transaction that reads may take from memory what was so at its snapshot.
    pub(crate) fn remember_beside(&mut self, beside: bool) {
        if let Some(learning) = &mut self.learning {
            learning.beside = beside;
        }
    }

    /// Whether what a transaction that reads took from memory held to its end.
    pub(crate) fn remembered_stands(&self) -> bool {
        self.learning.as_ref().is_none_or(Learning::stands)
    }

    /// What is remembered under a key, if the database says the same. For a transaction that reads see [`Learning`]. On the
    /// connection that writes: nobody else changes anything, and what this one changed since its last commit is announced
    /// here, so what still holds is what the database says.
    pub(crate) fn remembered<T: Thing>(&mut self, asked: T::Asked<'_>) -> Option<Arc<T>> {
        if let Some(learning) = &mut self.learning {
            return learning.recall(asked);
        }
        let warm = self.remembering.as_ref()?;
        self.announce_changes();
        let mut known = Known::of(warm, None);
        let found = known.recall(asked).ok().flatten()?;
        known.stands().then_some(found)
    }

    /// In front of a commit: what it changes is not answered from memory while it is under way.
    pub(crate) fn announce_changes(&self) {
        if let Some(watch) = &self.watch {
            watch.announce();
        }
    }

    /// Between a commit and its answers: what it changed is remembered no more.
    pub(crate) fn publish_changes(&self) {
        if let Some(watch) = &self.watch {
            watch.publish();
        }
    }

    /// From now on bytes of manifests that are read here are remembered.
    pub(crate) fn keep_payloads_in(&mut self, warm: &Arc<Warm>) {
        self.payloads = Some(Arc::clone(warm));
    }

    pub(crate) fn payloads(&self) -> Option<&Arc<Warm>> {
        self.payloads.as_ref()
    }

    /// Whether what is read here may be undone by a crash: see [`Doubt`].
    pub(crate) fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    pub(crate) fn postgres(client: ::postgres::Client, observer: Option<Observer>) -> Self {
        let database = Database::Postgres { client, prepared: HashMap::new() };
        let doubt = Doubt::default();
        Connection::on(database, observer, doubt)
    }

    /// The failure of the statements since this was last asked.
    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Runs a text of our own without parameters: `BEGIN`, `COMMIT`, migrations.
    pub(crate) fn batch(&mut self, name: &'static str, text: &str) -> Result<(), CatalogError> {
        let done = match &mut self.database {
            Database::Sqlite(connection) => connection
                .execute_batch(text)
                .map_err(|source| CatalogError::Sqlite { statement: name, source }),
            Database::Postgres { client, .. } => client
                .batch_execute(text)
                .map_err(|source| CatalogError::Postgres { statement: name, source }),
        };
        self.note(done)
    }

    /// As [`Connection::batch`], for one statement that is run again and again: it is parsed once.
    pub(crate) fn step(&mut self, name: &'static str, text: &'static str) -> Result<(), CatalogError> {
        let Database::Sqlite(connection) = &self.database else { return self.batch(name, text) };
        let done = connection
            .prepare_cached(text)
            .and_then(|mut prepared| prepared.execute([]))
            .map(drop)
            .map_err(|source| CatalogError::Sqlite { statement: name, source });
        self.note(done)
    }

    /// Counts what is in the tables, by which PostgreSQL plans. SQLite's plans are the ones that were looked at, and
    /// stay what they are.
    pub(crate) fn analyze(&mut self) -> Result<(), CatalogError> {
        match &self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres { .. } => self.batch("ANALYZE", "ANALYZE"),
        }
    }

    /// Whether SQLite still holds the transaction: a full disk rolls back all of it, savepoints included.
    pub(crate) fn sqlite_transaction_stands(&self) -> bool {
        match &self.database {
            Database::Sqlite(connection) => !connection.is_autocommit(),
            Database::Postgres { .. } => true,
        }
    }

    /// Which database this is.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.database {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// The database itself, for who fills it.
    pub(crate) fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Runs a text without parameters whose tables are known only when it runs, and gives each of its rows to `each`,
    /// until that breaks.
    pub(crate) fn query_text(
        &mut self,
        name: &'static str,
        text: &str,
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
    ) -> Result<(), CatalogError> {
        let done = match &mut self.database {
            Database::Sqlite(connection) => sqlite_text(connection, name, text, each),
            Database::Postgres { client, .. } => postgres_text(client, name, text, each),
        };
        self.note(done)
    }

    /// SQLite's own connection, where this is one.
    pub(crate) fn as_sqlite(&self) -> Option<&rusqlite::Connection> {
        match &self.database {
            Database::Sqlite(connection) => Some(connection),
            Database::Postgres { .. } => None,
        }
    }

    /// Runs a statement and gives each of its rows to `each`, until that breaks.
    pub(crate) fn query(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut rows = 0;
        let mut counted = |row: &Row<'_>| {
            rows += 1;
            each(row)
        };
        let done = match &mut self.database {
            Database::Sqlite(connection) => sqlite_query(connection, statement, values, &mut counted),
            Database::Postgres { client, prepared } => {
                postgres_query(client, prepared, statement, values, &mut counted).map(|()| 0)
            }
        };
        self.observe(statement, rows, done.as_ref().copied().unwrap_or(0));
        self.note(done.map(drop))
    }

    /// Runs a statement that gives no rows; returns how many it changed.
    pub(crate) fn execute(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
    ) -> Result<u64, CatalogError> {
        let done = match &mut self.database {
            Database::Sqlite(connection) => connection
                .prepare_cached(statement.sqlite())
                .and_then(|mut prepared| {
                    let changed = prepared.execute(rusqlite::params_from_iter(values))?;
                    Ok((changed as u64, steps_of(&prepared)))
                })
                .map_err(|source| CatalogError::Sqlite { statement: statement.name, source }),
            Database::Postgres { client, prepared } => {
                postgres_execute(client, prepared, statement, values).map(|changed| (changed, 0))
            }
        };
        let (rows, steps) = done.as_ref().copied().unwrap_or((0, 0));
        self.observe(statement, rows, steps);
        self.note(done.map(|(changed, _)| changed))
    }

    fn observe(&self, statement: &'static Statement, rows: u64, steps: u64) {
        tracing::trace!(target: "packhouse::sql", statement = statement.name, rows, steps);
        if let Some(observer) = &self.observer {
            observer(Work { statement: statement.name, rows, steps });
        }
    }

    fn note<T>(&mut self, done: Result<T, CatalogError>) -> Result<T, CatalogError> {
        if let Err(error) = &done {
            self.failure = Some(failure_of(error));
        }
        done
    }
}

fn failure_of(error: &CatalogError) -> Failure {
    use ::postgres::error::SqlState;
    let CatalogError::Postgres { source, .. } = error else { return Failure::Final };
    match source.code() {
        // Two transactions that insert the same new row meet as a unique violation: the second one finds it then.
        Some(code)
            if *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::UNIQUE_VIOLATION =>
        {
            Failure::Repeat
        }
        // Sent to every session when the server stops or an operator ends it.
        Some(code) if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN => {
            Failure::Broken
        }
        Some(_) => Failure::Final,
        None if source.is_closed() || std::error::Error::source(source).is_some() => Failure::Broken,
        None => Failure::Final,
    }
}

fn sqlite_query(
    connection: &rusqlite::Connection,
    statement: &'static Statement,
    values: &[Value<'_>],
    each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
) -> Result<u64, CatalogError> {
    let failed = |source| CatalogError::Sqlite { statement: statement.name, source };
    let mut prepared = connection.prepare_cached(statement.sqlite()).map_err(failed)?;
    let mut rows = prepared.query(rusqlite::params_from_iter(values)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if each(&Row::Sqlite(row))?.is_break() {
            break;
        }
    }
    drop(rows);
    Ok(steps_of(&prepared))
}

/// Instructions that SQLite's machine ran for the statement since this was last asked.
fn steps_of(prepared: &rusqlite::Statement<'_>) -> u64 {
    u64::try_from(prepared.reset_status(rusqlite::StatementStatus::VmStep)).unwrap_or(0)
}

fn postgres_query(
    client: &mut ::postgres::Client,
    prepared: &mut HashMap<&'static str, ::postgres::Statement>,
    statement: &'static Statement,
    values: &[Value<'_>],
    each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::Postgres { statement: statement.name, source };
    let prepared = prepare(client, prepared, statement)?;
    let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
    let mut rows = client.query_raw(&prepared, values).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if each(&Row::Postgres(&row))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn postgres_execute(
    client: &mut ::postgres::Client,
    prepared: &mut HashMap<&'static str, ::postgres::Statement>,
    statement: &'static Statement,
    values: &[Value<'_>],
) -> Result<u64, CatalogError> {
    let prepared = prepare(client, prepared, statement)?;
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    client
        .execute(&prepared, &values)
        .map_err(|source| CatalogError::Postgres { statement: statement.name, source })
}

fn prepare(
    client: &mut ::postgres::Client,
    prepared: &mut HashMap<&'static str, ::postgres::Statement>,
    statement: &'static Statement,
) -> Result<::postgres::Statement, CatalogError> {
    if let Some(found) = prepared.get(statement.name) {
        return Ok(found.clone());
    }
    let made = client
        .prepare(statement.postgres())
        .map_err(|source| CatalogError::Postgres { statement: statement.name, source })?;
    prepared.insert(statement.name, made.clone());
    Ok(made)
}

fn sqlite_text(
    connection: &rusqlite::Connection,
    name: &'static str,
    text: &str,
    each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::Sqlite { statement: name, source };
    let mut prepared = connection.prepare(text).map_err(failed)?;
    let mut rows = prepared.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if each(&Row::Sqlite(row))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn postgres_text(
    client: &mut ::postgres::Client,
    name: &'static str,
    text: &str,
    each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::Postgres { statement: name, source };
    let none: [&(dyn ToSql + Sync); 0] = [];
    let mut rows = client.query_raw(text, none).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if each(&Row::Postgres(&row))?.is_break() {
            break;
        }
    }
    Ok(())
}
