//! A catalog without threads: transactions wait until somebody takes them, one at a time, in an order of their own, and
//! decides how each ends. For simulations; the program never makes one.
//!
//! The closures, statements and savepoints are those of the real catalog; what is missing is the writer's thread and its
//! batches. Whoever steps holds a transaction open around a whole run and rolls it back to begin the next one.

use crate::catalog::{Job, Kind};
use crate::connection::{Connection, Doubt};
use crate::sqlite::keeps;
use crate::warm::{BYTES_DEFAULT, Warm};
use crate::{Catalog, CatalogError, schema};
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// A SQLite catalog whose transactions are run by whoever has this.
pub struct Stepped {
    connection: Connection,
    warm: Arc<Warm>,
}

/// The other end of one process's catalog. Dropped, that process is told that its catalog is closed.
pub struct Door(Receiver<Box<dyn Job>>);

/// A transaction that waits to be run. Dropped, who asked is told that the catalog is closed.
pub struct Step(Box<dyn Job>);

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is committed, if its closure wants that, and answered.
    Answered,
    /// It is rolled back once, as after a serialization failure, and then run again and answered.
    RunTwice,
    /// It is rolled back, and who asked is told so.
    Lost,
    /// It is committed or rolled back, and who asked is not told which.
    Unknown {
        /// Whether it is committed.
        kept: bool,
    },
}

impl Step {
    /// Whether it may change something.
    pub fn writes(&self) -> bool {
        self.0.kind() == Kind::Write
    }
}

impl Door {
    /// The transaction that waits longest.
    pub fn next(&self) -> Option<Step> {
        self.0.try_recv().ok().map(Step)
    }
}

impl Stepped {
    /// On a connection of the caller's own, whose schema is brought up to date.
    pub fn open(connection: rusqlite::Connection) -> Result<Stepped, CatalogError> {
        connection.set_prepared_statement_cache_capacity(512);
        // Otherwise statements are planned again for each parameter, which is most of what a run takes.
        connection
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(|source| CatalogError::Sqlite { statement: "open", source })?;
        let mut connection = Connection::sqlite(connection, None, Doubt::default());
        connection.batch("pragmas", "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
        schema::migrate(&mut connection, schema::Dialect::Sqlite)?;
        let warm = Arc::new(Warm::new(BYTES_DEFAULT, true));
        connection.watch(&warm)?;
        Ok(Stepped { connection, warm })
    }

    /// A catalog for one process, and its other end. What processes remember they remember together: the changes of all
    /// are made here.
    pub fn door(&self) -> (Catalog, Door) {
        let (catalog, jobs) = Catalog::queued(&self.warm);
        (catalog, Door(jobs))
    }

    /// The database was changed from outside, or was put back.
    pub fn forget(&self) {
        self.warm.stamps().publish_all();
    }

    /// The database itself, for who looks at it from outside.
    pub fn sqlite(&self) -> Option<&rusqlite::Connection> {
        self.connection.as_sqlite()
    }

    /// Runs a transaction and answers it; whether its changes were kept.
    pub fn run(&mut self, waiting: Step, ending: Ending) -> bool {
        let Step(mut job) = waiting;
        if ending == Ending::RunTwice {
            self.once(job.as_mut(), false);
        }
        let keep = !matches!(ending, Ending::Lost | Ending::Unknown { kept: false });
        let kept = self.once(job.as_mut(), keep);
        match ending {
            Ending::Answered | Ending::RunTwice => {}
            Ending::Lost => job.fail(CatalogError::Lost(1)),
            Ending::Unknown { .. } => job.fail(CatalogError::CommitUnknown),
        }
        job.answer();
        kept
    }

    fn once(&mut self, job: &mut dyn Job, keep: bool) -> bool {
        if let Err(error) = self.connection.batch("savepoint", "SAVEPOINT step") {
            job.fail(error);
            return false;
        }
        // What only reads is remembered; between its steps nobody changes anything.
        if job.kind() == Kind::Read {
            self.connection.learn_in(&self.warm);
            self.connection.note_time();
        }
        let kept = keeps(&mut self.connection, job);
        self.connection.learn_no_more();
        let kept = kept && job.kind() == Kind::Write && keep;
        let end = if kept { "RELEASE step" } else { "ROLLBACK TO step; RELEASE step" };
        if let Err(error) = self.connection.batch("end of savepoint", end) {
            job.fail(error);
            return false;
        }
        self.connection.publish_changes();
        kept
    }
}
