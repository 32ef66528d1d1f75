//! SQLite: one thread writes, a few read.
//!
//! The writer takes the transactions that wait, runs each in a savepoint and commits once for all: 13,000
//! durable transactions a second in place of 3,000 one by one. WAL with `synchronous=FULL`: a commit is on
//! disk when it returns.
//!
//! A commit that fails because its log cannot be synced was refused, but its frames may lie in the log as a whole: a
//! crash would bring it back. Bytes of blobs must not be changed meanwhile as if it had never been. So the catalog is
//! in *doubt* until a commit of the writer's own has gone over those frames and is on disk; in doubt nothing else is
//! written, and no upload session is given out.

use crate::catalog::Job;
use crate::connection::{Connection, Doubt, Observer};
use crate::warm::Warm;
use crate::{CatalogError, schema};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Transactions in one commit. Bounds how long the first one waits for its answer.
const BATCH_MAX: usize = 256;
/// Between two tries to end a doubt when nobody writes.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn start(
    path: &Path,
    readers: usize,
    observer: Option<&Observer>,
    warm: &Arc<Warm>,
    reads: &Receiver<Box<dyn Job>>,
    writes: Receiver<Box<dyn Job>>,
) -> Result<(), CatalogError> {
    let doubt = Doubt::default();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut writer = open(path, observer, &doubt, flags)?;
    schema::migrate(&mut writer, schema::Dialect::Sqlite)?;
    writer.watch(warm)?;
    // The file's name is on disk only when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(CatalogError::Folder)?;
    // Nothing is ever sent here: it ends with the last reader. Only a connection that writes can take the log into the
    // file when it is the last to close.
    let (reading, readers_end) = crossbeam_channel::bounded::<()>(0);
    for number in 0..readers {
        let mut reader = open(path, observer, &doubt, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reader.learn_in(warm);
        let (reads, reading) = (reads.clone(), reading.clone());
        spawn(format!("catalog-read-{number}"), move || {
            while let Ok(job) = reads.recv() {
                read(&mut reader, job);
            }
            drop(reader);
            drop(reading);
        })?;
    }
    drop(reading);
    spawn("catalog-write".to_owned(), move || {
        loop {
            let first = match next(&writes, &doubt) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    settled(&mut writer);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut batch = vec![first];
            batch.extend(writes.try_iter().take(BATCH_MAX - 1));
            write(&mut writer, batch);
        }
        let _ = readers_end.recv();
        drop(writer);
    })
}

/// The next transaction. In doubt it is not waited for: who only asks for a session would wait for ever.
fn next(writes: &Receiver<Box<dyn Job>>, doubt: &Doubt) -> Result<Box<dyn Job>, RecvTimeoutError> {
    if doubt.stands() {
        writes.recv_timeout(SETTLE_PAUSE)
    } else {
        writes.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }
}

pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<(), CatalogError> {
    thread::Builder::new().name(name).spawn(body).map(drop).map_err(CatalogError::Thread)
}

/// A connection that writes, for who fills a new catalog before anybody else opens it.
pub(crate) fn lone(path: &Path) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = open(path, None, &Doubt::default(), flags)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(CatalogError::Folder)?;
    Ok(connection)
}

fn open(
    path: &Path,
    observer: Option<&Observer>,
    doubt: &Doubt,
    flags: OpenFlags,
) -> Result<Connection, CatalogError> {
    let connection =
        bare(path, flags).map_err(|source| CatalogError::Sqlite { statement: "open", source })?;
    Ok(Connection::sqlite(connection, observer.cloned(), doubt.clone()))
}

fn bare(path: &Path, flags: OpenFlags) -> rusqlite::Result<rusqlite::Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(256);
    // The plans are those that were looked at (`plans.rs`), whatever the parameters are; else SQLite plans many statements
    // again for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // 16 MiB of pages for the one that writes, so that what pushes change is not read again for each of them.
    let pragmas = if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF;
         PRAGMA cache_size = -16384;"
    } else {
        // 8 MiB of pages for each that reads, in place of 2: of a million packages the inner pages of the indexes alone are
        // more. It is taken as it is needed.
        // The last one reads: SQLite opens a log when it first reads, and then there may be no file descriptor left.
        "PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192; PRAGMA schema_version;"
    };
    connection.execute_batch(pragmas)?;
    Ok(connection)
}

fn read(connection: &mut Connection, mut job: Box<dyn Job>) {
    connection.note_time();
    match connection.step("begin", "BEGIN") {
        Ok(()) => {
            job.run(connection);
        }
        Err(error) => job.fail(error),
    }
    if let Err(error) = connection.step("rollback", "ROLLBACK") {
        tracing::warn!(error = crate::chain(&error), "ending a read");
    }
    connection.take_failure();
    job.answer();
}

fn write(connection: &mut Connection, mut batch: Vec<Box<dyn Job>>) {
    if !settled(connection) {
        batch.iter_mut().for_each(|job| job.fail(CatalogError::InDoubt));
    } else if !together(connection, &mut batch) {
        // The whole transaction was lost (a full disk, a failed commit): each gets its own.
        for job in &mut batch {
            alone(connection, job.as_mut());
        }
        settled(connection);
    }
    // Whoever is answered below, and asks again, is not answered by what was before.
    connection.publish_changes();
    for job in batch {
        job.answer();
    }
}

/// Runs all in one transaction; `false` when it was lost and nothing of it stands.
fn together(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> bool {
    if connection.step("begin", "BEGIN IMMEDIATE").is_err() {
        return lost(connection);
    }
    for job in batch.iter_mut() {
        if connection.step("savepoint", "SAVEPOINT one").is_err() {
            return lost(connection);
        }
        let keep = keeps(connection, job.as_mut());
        if !connection.sqlite_transaction_stands()
            || (!keep && connection.step("back to savepoint", "ROLLBACK TO one").is_err())
            || connection.step("end of savepoint", "RELEASE one").is_err()
        {
            return lost(connection);
        }
    }
    commit(connection).is_ok() || lost(connection)
}

fn commit(connection: &mut Connection) -> Result<(), CatalogError> {
    connection.announce_changes();
    let done = connection.step("commit", "COMMIT");
    if done.is_err() {
        connection.doubt().set(true);
    }
    done
}

/// Whether there is no doubt about what a crash would bring back. Otherwise a commit that changes nothing (the first
/// page is written with the same number) goes over the frames of the one that failed: the checksums of what is left
/// of it do not follow from it, so recovery ends there.
fn settled(connection: &mut Connection) -> bool {
    if !connection.doubt().stands() {
        return true;
    }
    if connection.batch("settle", "BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT").is_err() {
        return lost(connection);
    }
    connection.doubt().set(false);
    true
}

/// Leaves no transaction open.
fn lost(connection: &mut Connection) -> bool {
    if connection.sqlite_transaction_stands() {
        let _ = connection.batch("rollback", "ROLLBACK");
    }
    connection.take_failure();
    false
}

fn alone(connection: &mut Connection, job: &mut dyn Job) {
    if let Err(error) = connection.step("begin", "BEGIN IMMEDIATE") {
        job.fail(error);
        lost(connection);
        return;
    }
    if !keeps(connection, job) {
        lost(connection);
    } else if let Err(error) = commit(connection) {
        job.fail(error);
        lost(connection);
    }
}

/// Runs the closure; whether its changes may stand. One that took a failed statement for success is told so.
pub(crate) fn keeps(connection: &mut Connection, job: &mut dyn Job) -> bool {
    let kept = job.run(connection);
    let failed = connection.take_failure().is_some();
    if kept && failed {
        job.fail(CatalogError::Lost(1));
    }
    kept && !failed
}

#[cfg(test)]
mod tests;
