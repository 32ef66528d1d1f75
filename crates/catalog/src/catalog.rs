//! The door: transactions are sent to the threads that own connections.

use crate::connection::{Connection, Observer, Work};
use crate::glance::{Ask, Fetched};
use crate::transaction::{ReadTx, WriteTx, knowing, reading, reading_beside, writing};
use crate::warm::{self, Known, Warm};
use crate::{CatalogError, postgres, sqlite};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Transactions that may wait; one more is refused with [`CatalogError::Busy`].
const QUEUE_MAX: usize = 8192;

/// The same where somebody takes them one by one.
const QUEUED_MAX: usize = 256;

/// Where the catalog is.
#[derive(Clone)]
pub enum Place {
    /// A SQLite file that this process alone opens (the caller holds the data folder's lock).
    Sqlite(PathBuf),
    /// A PostgreSQL database, 15 or newer, by its URL.
    Postgres {
        /// `postgres://user:password@host/database`.
        url: String,
        /// Refuse to start when another server with its own files already uses this database.
        alone: bool,
    },
}

/// How to open a catalog.
#[derive(Clone)]
pub struct Options {
    /// Where.
    pub place: Place,
    /// Connections (and threads) that read on SQLite, or that do everything on PostgreSQL.
    pub connections: usize,
    /// Told each statement that ran.
    pub observer: Option<Arc<dyn Fn(Work) + Send + Sync>>,
    /// Bytes of what is remembered, about.
    pub cache_bytes: u64,
}

impl Options {
    /// The usual number of connections.
    pub fn new(place: Place) -> Self {
        let connections = match place {
            Place::Sqlite(_) => 4,
            Place::Postgres { .. } => 16,
        };
        Options { place, connections, observer: None, cache_bytes: warm::BYTES_DEFAULT }
    }
}

/// An open catalog. Cheap to clone; its threads end when the last clone is gone.
#[derive(Clone)]
pub struct Catalog {
    readers: Sender<Box<dyn Job>>,
    writers: Sender<Box<dyn Job>>,
    warm: Arc<Warm>,
    glances: Glances,
}

/// How a pull is answered in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glances {
    /// On what this process remembers, which alone writes.
    Remembered,
    /// The same, when its turn comes, and on the database in the same turn.
    Stepped,
    /// By one statement, since others write too.
    Fetched,
}

impl Catalog {
    /// Opens or creates the catalog and brings its schema up to date. Blocks.
    pub fn open(options: &Options) -> Result<Catalog, CatalogError> {
        let observer: Option<Observer> = options.observer.clone();
        let glances = match options.place {
            Place::Sqlite(_) => Glances::Remembered,
            Place::Postgres { .. } => Glances::Fetched,
        };
        let warm = Arc::new(Warm::new(options.cache_bytes, glances == Glances::Remembered));
        match &options.place {
            Place::Sqlite(path) => {
                let (readers, reads) = bounded(QUEUE_MAX);
                let (writers, writes) = bounded(QUEUE_MAX);
                sqlite::start(path, options.connections.max(1), observer.as_ref(), &warm, &reads, writes)?;
                Ok(Catalog { readers, writers, warm, glances })
            }
            Place::Postgres { url, alone } => {
                let (jobs, work) = bounded(QUEUE_MAX);
                let connections = options.connections.max(2);
                // The client drives its own runtime, which panics on a thread that already runs one.
                let started = std::thread::scope(|scope| {
                    let start = || postgres::start(url, *alone, connections, observer.as_ref(), &warm, &work);
                    scope.spawn(start).join()
                });
                started.unwrap_or(Err(CatalogError::Panicked))?;
                Ok(Catalog { readers: jobs.clone(), writers: jobs, warm, glances })
            }
        }
    }

    /// One whose transactions wait in a queue for whoever has its other end ([`crate::Stepped`]).
    pub(crate) fn queued(warm: &Arc<Warm>) -> (Catalog, Receiver<Box<dyn Job>>) {
        let (jobs, work) = bounded(QUEUED_MAX);
        (
            Catalog {
                readers: jobs.clone(),
                writers: jobs,
                warm: Arc::clone(warm),
                glances: Glances::Stepped,
            },
            work,
        )
    }

    /// Runs a transaction that reads, on one snapshot. An error of the closure is its answer.
    pub async fn read<T, E>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        send(&self.readers, Kind::Read, move |connection| reading(connection, &mut body)).await
    }

    /// As [`Catalog::read`], with who asks and what they may read from what this process remembers, where that was so at the
    /// snapshot and held to the end. The closure may run more than once, and sees no difference.
    pub async fn read_beside<T, E>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        send(&self.readers, Kind::Read, move |connection| reading_beside(connection, &mut body)).await
    }

    /// Runs a closure on what this process remembers, here and now, with nothing copied for another thread. `None`: others
    /// write to the database too, or what is remembered is not enough; then [`Catalog::glance`] asks the database.
    pub fn recollect<R>(&self, mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> R) -> Option<R> {
        (self.glances == Glances::Remembered).then(|| self.warm.attempt(&mut body)).flatten()
    }

    /// As [`Catalog::read`], for a pull: on what this process remembers, without any I/O, when it is the only one that
    /// writes and knows enough; on a database that others write to, by one statement that brings what `ask` names. The
    /// closure may run more than once, and sees no difference.
    pub async fn glance<T, E>(
        &self,
        ask: impl FnOnce() -> Ask,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        match self.glances {
            Glances::Remembered => {
                return match self.warm.attempt(&mut body) {
                    Some(answer) => answer,
                    None => self.read_beside(body).await,
                };
            }
            Glances::Stepped => {
                let warm = Arc::clone(&self.warm);
                let step = move |connection: &mut Connection| {
                    warm.attempt(&mut body).unwrap_or_else(|| reading_beside(connection, &mut body))
                };
                return send(&self.readers, Kind::Read, step).await;
            }
            Glances::Fetched => {}
        }
        let (ask, warm, mut first) = (ask(), Arc::clone(&self.warm), body.clone());
        let glanced = send(&self.readers, Kind::Glance, move |connection| {
            let fetched = Fetched::fetch(connection, &ask)?;
            Ok::<_, E>(knowing(Known::of(&warm, Some(&fetched)), &mut first))
        });
        match glanced.await? {
            Some(answer) => answer,
            None => self.read(body).await,
        }
    }

    /// As [`Catalog::read`], on what this process remembers where that is enough. The closure may run more than once, and
    /// sees no difference.
    pub async fn read_remembered<T, E>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        match self.recollect(&mut body) {
            Some(answer) => answer,
            None => self.read_beside(body).await,
        }
    }

    /// Runs a transaction that writes. An error of the closure rolls its changes back. The answer comes after
    /// the commit is on disk; when it is `Ok`, so are the changes.
    pub async fn write<T, E>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        send(&self.writers, Kind::Write, move |connection| writing(connection, &mut body)).await
    }
}

async fn send<T, E>(
    queue: &Sender<Box<dyn Job>>,
    kind: Kind,
    body: impl FnMut(&mut Connection) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<CatalogError> + Send + 'static,
{
    let (to, answer) = oneshot::channel();
    match queue.try_send(Box::new(Queued { kind, body, answer: None, to })) {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(CatalogError::Closed.into())),
        Err(TrySendError::Full(_)) => Err(CatalogError::Busy.into()),
        Err(TrySendError::Disconnected(_)) => Err(CatalogError::Closed.into()),
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One statement.
    Glance,
    Read,
    Write,
}

/// A transaction in a queue. Its answer is released after the commit, refusals too: a refusal that was decided
/// on rows which then were rolled back would be wrong.
pub(crate) trait Job: Send {
    fn kind(&self) -> Kind;
    /// Runs the closure; whether its changes are to be kept. May be called again.
    fn run(&mut self, connection: &mut Connection) -> bool;
    /// Replaces the answer.
    fn fail(&mut self, error: CatalogError);
    fn answer(self: Box<Self>);
}

struct Queued<F, T, E> {
    kind: Kind,
    body: F,
    answer: Option<Result<T, E>>,
    to: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Queued<F, T, E>
where
    F: FnMut(&mut Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<CatalogError> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, connection: &mut Connection) -> bool {
        // A panic in one closure fails that one. Its state is dropped with it, so nothing half-made is seen.
        let answer = catch_unwind(AssertUnwindSafe(|| (self.body)(connection)))
            .unwrap_or_else(|_| Err(CatalogError::Panicked.into()));
        let keep = answer.is_ok();
        self.answer = Some(answer);
        keep
    }

    fn fail(&mut self, error: CatalogError) {
        self.answer = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        // Who asked may be gone; what was done stays done.
        let _ = self.to.send(self.answer.unwrap_or_else(|| Err(CatalogError::Closed.into())));
    }
}
