//! Metrics for Prometheus. Label values come from fixed lists, so that no client can make series.

use super::Collection;
use super::places::Places;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: a warm manifest takes less than a millisecond, a layer of 10 GB minutes.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    route: &'static str,
    method: &'static str,
}

/// All metrics of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Arc<Requests>,
    /// Requests whose answers are not finished.
    pub in_flight: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// What the collector does.
    pub collection: Collection,
}

/// Those that each request counts in.
#[derive(Debug)]
pub(super) struct Requests {
    families: Families,
    places: Places<Counts>,
    pub(super) in_flight: Gauge,
}

/// By labels, as they are rendered.
#[derive(Clone, Debug)]
struct Families {
    requests: Family<Outcome, Counter>,
    seconds: Family<Place, Histogram, fn() -> Histogram>,
    received: Family<Place, Counter>,
    sent: Family<Place, Counter>,
}

/// The series of one route and method, looked up once: a look-up hashes all labels and takes a lock.
#[derive(Debug)]
struct Counts {
    /// By the class of the status, made when there is such an answer: a series that never counts is not shown.
    requests: [OnceLock<Counter>; STATUSES.len()],
    seconds: Histogram,
    received: Counter,
    sent: Counter,
}

impl Families {
    fn counts(&self, route: &'static str, method: &'static str) -> Counts {
        let place = Place { route, method };
        Counts {
            requests: Default::default(),
            seconds: self.seconds.get_or_create_owned(&place),
            received: self.received.get_or_create_owned(&place),
            sent: self.sent.get_or_create_owned(&place),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// New ones, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let families = Families {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            received: Family::default(),
            sent: Family::default(),
        };
        let (in_flight, connections) = (Gauge::default(), Gauge::default());
        let collection = Collection::default();

        let mut registry = Registry::with_prefix("packhouse");
        registry.register(
            "http_requests",
            "Requests by the class of their answer's status; `aborted`: the client went away before it",
            families.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's header to the last byte of its answer",
            families.seconds.clone(),
        );
        registry.register("http_received_bytes", "Bytes of requests' bodies", families.received.clone());
        registry.register(
            "http_sent_bytes",
            "Bytes of answers' bodies, as far as sent",
            families.sent.clone(),
        );
        registry.register("http_requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register("connections", "Open connections", connections.clone());
        collection.register(&mut registry);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running program", Info::new(version));
        let requests = Requests { families, places: Places::default(), in_flight: in_flight.clone() };
        Self {
            registry: Arc::new(registry),
            requests: Arc::new(requests),
            in_flight,
            connections,
            collection,
        }
    }

    /// The text for Prometheus (OpenMetrics 1.0).
    // A function of its own in the program, always: where it begins, `tests/tests/instructions.rs` has callgrind write
    // down its counts.
    #[inline(never)]
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Those of requests.
    pub(super) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }
}

impl Requests {
    pub(super) fn finished(&self, exchange: &Finished<'_>) {
        let (route, method) = (exchange.route, method_label(exchange.method));
        let made = || self.families.counts(route, method);
        self.places.with(route, method, made, |counts| {
            let status = exchange.status.map_or(ABORTED, status_class);
            let one = || {
                let outcome = Outcome { route, method, status: STATUSES[status] };
                self.families.requests.get_or_create_owned(&outcome)
            };
            counts.requests[status].get_or_init(one).inc();
            counts.seconds.observe(exchange.time.as_secs_f64());
            counts.received.inc_by(exchange.bytes_received);
            counts.sent.inc_by(exchange.bytes_sent);
        });
    }
}

/// What is known of a request when its answer is over.
#[derive(Debug)]
pub(super) struct Finished<'a> {
    pub(super) route: &'static str,
    pub(super) method: &'a Method,
    pub(super) status: Option<StatusCode>,
    pub(super) time: Duration,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
}

/// Methods are what clients make up; series must not be.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The classes of statuses, and `aborted`: the client went away before there was one.
const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"];
const ABORTED: usize = 5;

/// Where in [`STATUSES`].
fn status_class(status: StatusCode) -> usize {
    match status.as_u16() {
        100..200 => 0,
        200..300 => 1,
        300..400 => 2,
        400..500 => 3,
        _ => 4,
    }
}
