//! One request and its answer, from the header to the last byte; its end is logged and counted once.

use super::current;
use super::metrics::{Finished, Requests};
use super::request_id::RequestId;
use super::writer::GATHERED;
use http::{Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;
use tracing::{Level, debug, enabled, info};

/// Longest path in a log line; what is longer is cut and gets an ellipsis.
const PATH_CHARS_MAX: usize = 1024;
/// What a line's text has beside method and path: two spaces, `404, broken off`, and `255.255.255.255`.
const MESSAGE_CHARS_MORE: usize = 2 + 15 + 15;
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
    /// Method, space, path: the beginning of the line's message.
    asked: String,
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
        let mut asked = String::with_capacity(method.as_str().len() + path.len() + MESSAGE_CHARS_MORE);
        asked.push_str(method.as_str());
        asked.push(' ');
        push_shortened(&mut asked, path);
        Self {
            metrics,
            id,
            method,
            asked,
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
fn push_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(v4) = address else { return text.push_str(&address.to_string()) };
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
}

fn push_shortened(text: &mut String, path: &str) {
    match path.char_indices().nth(PATH_CHARS_MAX).filter(|_| path.len() > PATH_CHARS_MAX) {
        Some((end, _)) => {
            text.push_str(&path[..end]);
            text.push('…');
        }
        None => text.push_str(path),
    }
}

/// How it went, behind what was asked, as a text: it costs the line less than what is formatted into it.
fn push_outcome(message: &mut String, status: Option<StatusCode>, complete: bool) {
    message.push(' ');
    match status {
        None => message.push_str("aborted"),
        Some(status) => message.push_str(status.as_str()),
    }
    if status.is_some() && !complete {
        message.push_str(", broken off");
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

        let quiet = QUIET_ROUTES.contains(&self.route);
        if (quiet && !enabled!(target: GATHERED, Level::DEBUG)) || !enabled!(target: GATHERED, Level::INFO) {
            return;
        }
        let status = self.status.map(|status| status.as_u16());
        let seconds = finished.time.as_secs_f64();
        // Method, path, message and address are one text, cut where they end.
        let (method, complete) = (self.method.as_str(), self.complete);
        let mut text = std::mem::take(&mut self.asked);
        let asked_end = text.len();
        push_outcome(&mut text, self.status, complete);
        let message_end = text.len();
        push_address(&mut text, self.client);
        let (message, address) = text.split_at(message_end);
        let path = &message[method.len() + 1..asked_end];
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: GATHERED,
                    message,
                    http.method = method,
                    http.path = path,
                    http.status = status,
                    route = self.route,
                    client.address = address,
                    received_bytes = finished.bytes_received,
                    sent_bytes = finished.bytes_sent,
                    seconds
                )
            };
        }
        let _entered = current::enter(self.id.clone());
        if quiet {
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
            let mut written = String::new();
            push_address(&mut written, address);
            assert_eq!(written, text);
        }
    }
}
