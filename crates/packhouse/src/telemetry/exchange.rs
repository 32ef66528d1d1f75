//! One request and its answer, from the header to the last byte; its end is logged and counted once.

use super::current;
use super::metrics::{Finished, Requests};
use super::request_id::RequestId;
use http::{Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;
use tracing::{debug, info};

/// Longest path in a log line; what is longer is cut and gets an ellipsis.
const PATH_CHARS_MAX: usize = 1024;
/// What a message has beside method and path: `404, broken off`.
const MESSAGE_CHARS_MORE: usize = 20;
/// Of IPv4: `255.255.255.255`.
const ADDRESS_CHARS_MAX: usize = 15;
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

/// An address as text. Most are of IPv4, and a formatter takes ten times as long for them.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else { return address.to_string() };
    let mut text = String::with_capacity(ADDRESS_CHARS_MAX);
    for (at, octet) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
    text
}

fn shortened(path: &str) -> String {
    match path.char_indices().nth(PATH_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// What was asked and how it went, as a text: it costs the line less than what is formatted into it.
fn message_of(method: &str, path: &str, status: Option<StatusCode>, complete: bool) -> String {
    let mut message = String::with_capacity(method.len() + path.len() + MESSAGE_CHARS_MORE);
    message.extend([method, " ", path, " "]);
    match status {
        None => message.push_str("aborted"),
        Some(status) if complete => message.push_str(status.as_str()),
        Some(status) => message.extend([status.as_str(), ", broken off"]),
    }
    message
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
        let seconds = finished.time.as_secs_f64();
        // Made only for a line that somebody wants.
        let message = || message_of(method, path, self.status, self.complete);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: super::writer::GATHERED,
                    message = message().as_str(),
                    http.method = method,
                    http.path = path,
                    http.status = status,
                    route = self.route,
                    client.address = %text_of(self.client),
                    received_bytes = finished.bytes_received,
                    sent_bytes = finished.bytes_sent,
                    seconds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for text in
            ["0.0.0.0", "127.0.0.1", "10.20.99.100", "255.255.255.255", "192.168.10.9", "::1", "2001:db8::7"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(text_of(address), text);
        }
    }
}
