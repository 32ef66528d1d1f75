//! Connections: accepting them, bounding them, ending them.
//!
//! One accept loop per listener on hyper's HTTP/1.1 and HTTP/2. The rules:
//! - at most `connections_max` at once; who comes later waits in the system's queue;
//! - a failing `accept` (no file descriptors left) backs off and goes on, it never ends the server;
//! - a TLS handshake happens in the connection's own task, so a stalled one blocks nobody;
//! - a header must come in time, and a transfer must move; nothing has a total time-out, since a layer of 10 GB
//!   over a slow line is a good request ([`progress`] says what counts);
//! - on [`Phase::Draining`] nothing new is accepted and what runs is finished.
//!
//! Left out: HTTP/3, upgrades, `SO_REUSEPORT`.

mod body;
mod connection;
mod file_body;
mod hole;
mod io;
mod lifecycle;
mod pages;
pub mod progress;
mod sendfile;

pub use body::{RequestBody, ResponseBody};
pub use file_body::FileBody;
pub use lifecycle::{Phase, Running, Stop, lifecycle};

use crate::origin::Peer;
use crate::tls::Tls;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::{debug, warn};

/// First and longest pause after a failed `accept`.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two warnings that all places are taken.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, over all listeners that share the [`Gate`].
    pub connections_max: usize,
    /// For a TLS handshake, for the first request, and for a header that has begun.
    pub header_time: Duration,
    /// For a transfer in which the client moves nothing.
    pub stall_time: Duration,
    /// For a connection between two requests. Longer than the 60 seconds that load balancers keep theirs, so
    /// that it is them who close and no request meets a closed door.
    pub idle_time: Duration,
}

impl Limits {
    /// For connections between two requests.
    pub const IDLE_TIME: Duration = Duration::from_secs(120);
}

/// Answers requests.
pub trait Handle: Send + Sync + 'static {
    /// The body of answers.
    type Body: Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + FileBody
        + Send
        + Unpin
        + 'static;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<RequestBody<Incoming>>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The places for connections.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    open: Gauge,
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Gate {
    /// So many places; `open` shows how many are taken.
    #[must_use]
    pub fn new(connections_max: usize, open: Gauge) -> Self {
        Self {
            places: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            open,
            warned: Arc::default(),
        }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.warn();
                // The semaphore is never closed, so this waits for a place.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        }
    }

    /// A full house stays full for a while: one line now and then says it.
    fn warn(&self) {
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| now.duration_since(last) >= FULL_WARNING_INTERVAL) {
            *warned = Some(now);
            warn!("all `connections_max` connections are in use; new ones wait");
        }
    }
}

/// One connection's place, given back when dropped.
struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    open: Gauge,
}

impl Place {
    fn taken(permit: Option<OwnedSemaphorePermit>, open: Gauge) -> Self {
        open.inc();
        Self { _permit: permit, open }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// One listener with what its connections need.
#[derive(Debug)]
pub struct Server<H> {
    /// What accepts.
    pub listener: TcpListener,
    /// Certificates; none: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// What answers.
    pub handler: Arc<H>,
    /// Bounds of each connection.
    pub limits: Limits,
    /// Places, shared by listeners.
    pub gate: Gate,
}

impl<H: Handle> Server<H> {
    /// Accepts until draining begins. Connections go on in tasks of their own, each of which holds a clone of
    /// `running`, so that [`Stop::finished`] waits for them.
    pub async fn run(self, mut running: Running) {
        let mut pause = ACCEPT_PAUSE_MIN;
        loop {
            let accepted = tokio::select! {
                biased;
                () = running.left(Phase::Running) => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((socket, address, place)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    self.spawn(socket, address, place, running.clone());
                }
                // That client went away before its turn; the next one may be fine.
                Err(error) if is_of_the_client(error.kind()) => {
                    debug!(%error, "a connection ended in the queue");
                }
                // EMFILE and ENFILE above all. Without a pause this loop would spin, since the connection stays
                // in the queue.
                Err(error) => {
                    warn!(%error, "cannot accept connections; trying again in {pause:?}");
                    tokio::select! {
                        () = running.left(Phase::Running) => return,
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(ACCEPT_PAUSE_MAX),
                    }
                }
            }
        }
    }

    async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr, Place)> {
        let permit = self.gate.enter().await;
        let (socket, address) = self.listener.accept().await?;
        Ok((socket, address, Place::taken(permit, self.gate.open.clone())))
    }

    fn spawn(&self, socket: TcpStream, address: SocketAddr, place: Place, running: Running) {
        let (tls, handler, limits) = (self.tls.clone(), Arc::clone(&self.handler), self.limits);
        tokio::spawn(async move {
            connection::serve(socket, address, tls, handler, limits, running).await;
            drop(place);
        });
    }
}

fn is_of_the_client(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
