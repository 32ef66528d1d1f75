//! PostgreSQL: the same closures on threads that each own a connection.
//!
//! READ COMMITTED with explicit locks for what writes: lock first, then check in a separate statement (one
//! statement that does both sees the old snapshot). One snapshot for what reads. A closure runs again after a
//! serialization failure, a deadlock, or a connection that broke before its commit was sent.

use crate::catalog::{Job, Kind};
use crate::connection::{Connection, Failure, Observer};
use crate::sqlite::spawn;
use crate::warm::Warm;
use crate::{CatalogError, schema};
use ::postgres::{Client, Config, NoTls};
use crossbeam_channel::Receiver;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Tries of one transaction, the first included.
const TRIES_MAX: u32 = 6;

/// How long a connection may be silent while its server owes an answer to the network.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The advisory lock of the one server whose blobs lie in files of its own.
const ALONE_LOCK: i64 = 0x7061_636b_686f_7573;

/// How long a start waits for that lock, which a server that ended may hold a little longer.
const ALONE_PATIENCE: Duration = Duration::from_secs(3);
const ALONE_PAUSE: Duration = Duration::from_millis(50);

/// A commit here is on disk too, whatever the role's default; a stricter setting is kept.
const SESSION: &str = "SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') IN ('off', 'local');
   SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s';
   SET client_min_messages = warning; SET application_name = 'packhouse'";

pub(crate) fn start(
    url: &str,
    alone: bool,
    connections: usize,
    observer: Option<&Observer>,
    warm: &Arc<Warm>,
    work: &Receiver<Box<dyn Job>>,
) -> Result<(), CatalogError> {
    let config = Config::from_str(url).map_err(CatalogError::Address)?;
    let mut first = connect(&config)?;
    if alone && !wait_to_be_alone(&mut first)? {
        return Err(CatalogError::TakenByAnother);
    }
    let mut first = Connection::postgres(first, observer.cloned());
    schema::migrate(&mut first, schema::Dialect::Postgres)?;
    let mut first = Some(first);
    for number in 0..connections {
        // The session that holds the advisory lock is one of the workers': it lives as long as they do.
        let mut connection = match first.take() {
            Some(connection) => connection,
            None => Connection::postgres(connect(&config)?, observer.cloned()),
        };
        connection.keep_payloads_in(warm);
        let alone = alone && number == 0;
        let (config, observer, warm) = (config.clone(), observer.cloned(), Arc::clone(warm));
        let mut worker = Worker { config, observer, warm, connection, alone };
        let work = work.clone();
        spawn(format!("catalog-{number}"), move || {
            while let Ok(mut job) = work.recv() {
                worker.transact(job.as_mut());
                job.answer();
            }
        })?;
    }
    Ok(())
}

/// A connection for who fills a new catalog before anybody else opens it. A copy's next row may be long in coming.
pub(crate) fn lone(url: &str) -> Result<Connection, CatalogError> {
    let config = Config::from_str(url).map_err(CatalogError::Address)?;
    let mut client = connect(&config)?;
    client
        .batch_execute("SET idle_in_transaction_session_timeout = 0")
        .map_err(|source| CatalogError::Postgres { statement: "connect", source })?;
    Ok(Connection::postgres(client, None))
}

fn connect(config: &Config) -> Result<Client, CatalogError> {
    let failed = |source| CatalogError::Postgres { statement: "connect", source };
    let mut config = config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    // A server that was cut off sends nothing, not even an end: without these a thread would wait for hours.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    if config.get_keepalives_idle() > SILENCE_MAX {
        config.keepalives_idle(SILENCE_MAX / 2).keepalives_interval(SILENCE_MAX / 6).keepalives_retries(3);
    }
    let mut client = config.connect(NoTls).map_err(failed)?;
    client.batch_execute(SESSION).map_err(failed)?;
    Ok(client)
}

/// Takes the advisory lock for this session; `false`: another session has it.
fn take_alone(client: &mut Client) -> Result<bool, CatalogError> {
    let failed = |source| CatalogError::Postgres { statement: "alone", source };
    let taken = client.query_one("SELECT pg_try_advisory_lock($1)", &[&ALONE_LOCK]).map_err(failed)?;
    taken.try_get(0).map_err(failed)
}

/// As [`take_alone`], with some patience: PostgreSQL ends the sessions of a server that has just ended a moment after it.
fn wait_to_be_alone(client: &mut Client) -> Result<bool, CatalogError> {
    let until = Instant::now() + ALONE_PATIENCE;
    loop {
        if take_alone(client)? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(ALONE_PAUSE);
    }
}

struct Worker {
    config: Config,
    observer: Option<Observer>,
    warm: Arc<Warm>,
    connection: Connection,
    /// Whether its session is the one that holds the advisory lock.
    alone: bool,
}

impl Worker {
    fn transact(&mut self, job: &mut dyn Job) {
        for tried in 1..=TRIES_MAX {
            match self.once(job) {
                None => return,
                Some(Failure::Final) => return,
                Some(Failure::Repeat) => {}
                Some(Failure::Broken) => self.reconnect(tried),
            }
            // Two that keep meeting part company; this thread runs nothing else meanwhile.
            thread::sleep(Duration::from_millis(u64::from(tried * tried)));
        }
        job.fail(CatalogError::Lost(TRIES_MAX));
    }

    /// One try. `None`: the answer stands. The answer of a failed try is replaced or kept, as the failure says.
    fn once(&mut self, job: &mut dyn Job) -> Option<Failure> {
        self.connection.take_failure();
        let begin = match job.kind() {
            // One statement, which is a transaction by itself.
            Kind::Glance => {
                job.run(&mut self.connection);
                return self.connection.take_failure();
            }
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        if let Err(error) = self.connection.batch("begin", begin) {
            job.fail(error);
            return self.connection.take_failure();
        }
        let keep = job.run(&mut self.connection);
        let failure = self.connection.take_failure();
        if keep && failure == Some(Failure::Final) {
            // The closure took a failed statement for success; PostgreSQL would turn its COMMIT into a rollback.
            job.fail(CatalogError::Lost(1));
        }
        if failure == Some(Failure::Broken) {
            return failure;
        }
        if !keep || failure.is_some() {
            if self.connection.batch("rollback", "ROLLBACK").is_err() {
                self.connection.take_failure();
                self.reconnect(1);
            }
            return failure;
        }
        if let Err(error) = self.connection.batch("commit", "COMMIT") {
            return match self.connection.take_failure() {
                Some(Failure::Repeat) => Some(Failure::Repeat),
                Some(Failure::Broken) => {
                    // It may have happened. Not acknowledged, and not done twice.
                    job.fail(CatalogError::CommitUnknown);
                    self.reconnect(1);
                    None
                }
                Some(Failure::Final) | None => {
                    job.fail(error);
                    None
                }
            };
        }
        None
    }

    fn reconnect(&mut self, tried: u32) {
        thread::sleep(Duration::from_millis(50 * u64::from(tried)));
        match connect(&self.config).and_then(|client| self.adopt(client)) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "connecting to PostgreSQL");
            }
        }
    }

    fn adopt(&mut self, mut client: Client) -> Result<(), CatalogError> {
        // The lock went with the session that held it. Refused, it is most likely still that session's, whose end
        // the server has not noticed yet; to fail every transaction of this thread until then would help nobody.
        if self.alone && !take_alone(&mut client)? {
            tracing::error!("another session holds this database; make sure that no second server uses it");
        }
        self.connection = Connection::postgres(client, self.observer.clone());
        self.connection.keep_payloads_in(&self.warm);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
