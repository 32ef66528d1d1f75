//! One request and its answer, from the header to the last byte; its end is logged and counted once.

use super::metrics::{Finished, Metrics};
use http::{Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;
use tracing::{Span, debug, info};

/// Longest path in a log line; what is longer is cut and gets an ellipsis.
const PATH_CHARS_MAX: usize = 1024;
/// Routes that machines ask every few seconds; their lines are for debugging.
const QUIET_ROUTES: [&str; 3] = ["healthz", "readyz", "metrics"];
/// The route of what no route took.
pub(super) const NO_ROUTE: &str = "none";

/// Dropped when the answer is over, or when the client went away and nobody waits for one.
#[derive(Debug)]
pub(super) struct Exchange {
    metrics: Metrics,
    span: Span,
    method: Method,
    path: String,
    client: IpAddr,
    began: Instant,
    pub(super) received: Arc<AtomicU64>,
    pub(super) sent: u64,
    pub(super) route: &'static str,
    pub(super) status: Option<StatusCode>,
    /// The answer's body came to its end.
    pub(super) complete: bool,
}

impl Exchange {
    pub(super) fn begin(metrics: Metrics, span: Span, method: Method, path: &str, client: IpAddr) -> Self {
        metrics.in_flight.inc();
        let path = match path.char_indices().nth(PATH_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &path[..end]),
            None => path.to_owned(),
        };
        Self {
            metrics,
            span,
            method,
            path,
            client,
            began: Instant::now(),
            received: Arc::default(),
            sent: 0,
            route: NO_ROUTE,
            status: None,
            complete: false,
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
            bytes_received: self.received.load(Relaxed),
            bytes_sent: self.sent,
        };
        self.metrics.finished(&finished);

        let (method, path) = (&self.method, &self.path);
        let status = self.status.map(|status| status.as_u16());
        let shown = status.map_or_else(|| "aborted".to_owned(), |status| status.to_string());
        let cut = if self.complete || self.status.is_none() { "" } else { ", broken off" };
        let seconds = finished.time.as_secs_f64();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: "packhouse::access",
                    {
                        http.method = %method,
                        http.path = path.as_str(),
                        http.status = status,
                        route = self.route,
                        client.address = %self.client,
                        received_bytes = finished.bytes_received,
                        sent_bytes = finished.bytes_sent,
                        seconds
                    },
                    "{method} {path} {shown}{cut}"
                )
            };
        }
        let _entered = self.span.enter();
        if QUIET_ROUTES.contains(&self.route) {
            line!(debug);
        } else {
            line!(info);
        }
    }
}
