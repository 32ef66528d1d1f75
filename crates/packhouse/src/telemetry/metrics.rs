//! Metrics for Prometheus. Label values come from fixed lists, so that no client can make series.

use super::Collection;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;
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
    requests: Family<Outcome, Counter>,
    seconds: Family<Place, Histogram, fn() -> Histogram>,
    received: Family<Place, Counter>,
    sent: Family<Place, Counter>,
    /// Requests whose answers are not finished.
    pub in_flight: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// What the collector does.
    pub collection: Collection,
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
        let requests = Family::<Outcome, Counter>::default();
        let seconds: Family<Place, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let received = Family::<Place, Counter>::default();
        let sent = Family::<Place, Counter>::default();
        let (in_flight, connections) = (Gauge::default(), Gauge::default());
        let collection = Collection::default();

        let mut registry = Registry::with_prefix("packhouse");
        registry.register(
            "http_requests",
            "Requests by the class of their answer's status; `aborted`: the client went away before it",
            requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's header to the last byte of its answer",
            seconds.clone(),
        );
        registry.register("http_received_bytes", "Bytes of requests' bodies", received.clone());
        registry.register("http_sent_bytes", "Bytes of answers' bodies, as far as sent", sent.clone());
        registry.register("http_requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register("connections", "Open connections", connections.clone());
        collection.register(&mut registry);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running program", Info::new(version));
        Self {
            registry: Arc::new(registry),
            requests,
            seconds,
            received,
            sent,
            in_flight,
            connections,
            collection,
        }
    }

    /// The text for Prometheus (OpenMetrics 1.0).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(super) fn finished(&self, exchange: &Finished<'_>) {
        let method = method_label(exchange.method);
        let status = exchange.status.map_or("aborted", status_class);
        let place = Place { route: exchange.route, method };
        self.requests.get_or_create(&Outcome { route: exchange.route, method, status }).inc();
        self.seconds.get_or_create(&place).observe(exchange.time.as_secs_f64());
        self.received.get_or_create(&place).inc_by(exchange.bytes_received);
        self.sent.get_or_create(&place).inc_by(exchange.bytes_sent);
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

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
