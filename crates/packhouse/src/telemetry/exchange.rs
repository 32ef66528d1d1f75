//! One request and its answer, from the header to the last byte; its end is logged and counted once.

use super::current;
use super::metrics::{Finished, Requests};
use super::request_id::RequestId;
use http::{Method, StatusCode};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;
use tracing::{debug, info};

/// Longest path in a log line; what is longer is cut and gets an ellipsis.
const PATH_CHARS_MAX: usize = 1024;
/// Routes that machines ask every few seconds; their lines are for debugging.
const QUIET_ROUTES: [&str; 3] = ["healthz", "readyz", "metrics"];
/// The route of what no route took.
pub(super) const NO_ROUTE: &str = "none";

/// Dropped when the answer is over, or when the client went away and nobody waits for one.
#[derive(Debug)]
pub(super) struct Exchange {
    metrics: Arc<Requests>,
    id: RequestId,
    method: Method,
    path: String,
    client: IpAddr,
    began: Instant,
    /// None for a request without a body, as most are.
    pub(super) received: Option<Arc<AtomicU64>>,
    pub(super) sent: u64,
    pub(super) route: &'static str,
    pub(super) status: Option<StatusCode>,
    /// The answer's body came to its end.
    pub(super) complete: bool,
}

impl Exchange {
    pub(super) fn begin(
        metrics: Arc<Requests>,
        id: RequestId,
        method: Method,
        path: &str,
        client: IpAddr,
    ) -> Self {
        metrics.in_flight.inc();
        let path = match path.len() > PATH_CHARS_MAX {
            true => shortened(path),
            false => path.to_owned(),
        };
        Self {
            metrics,
            id,
            method,
            path,
            client,
            began: Instant::now(),
            received: None,
            sent: 0,
            route: NO_ROUTE,
            status: None,
            complete: false,
        }
    }
}

fn shortened(path: &str) -> String {
    match path.char_indices().nth(PATH_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// How it went, in the words of the line.
struct Shown {
    status: Option<u16>,
    complete: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            None => f.write_str("aborted"),
            Some(status) if self.complete => write!(f, "{status}"),
            Some(status) => write!(f, "{status}, broken off"),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let finished = Finished {
            route: self.route,
            method: &self.method,
            status: self.status,
            time: self.began.elapsed(),
            bytes_received: self.received.as_ref().map_or(0, |bytes| bytes.load(Relaxed)),
            bytes_sent: self.sent,
        };
        self.metrics.finished(&finished);

        let (method, path) = (self.method.as_str(), self.path.as_str());
        let status = self.status.map(|status| status.as_u16());
        let shown = Shown { status, complete: self.complete };
        let seconds = finished.time.as_secs_f64();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: super::writer::GATHERED,
                    {
                        http.method = method,
                        http.path = path,
                        http.status = status,
                        route = self.route,
                        client.address = %self.client,
                        received_bytes = finished.bytes_received,
                        sent_bytes = finished.bytes_sent,
                        seconds
                    },
                    "{method} {path} {shown}"
                )
            };
        }
        let _entered = current::enter(self.id.clone());
        if QUIET_ROUTES.contains(&self.route) {
            line!(debug);
        } else {
            line!(info);
        }
    }
}
