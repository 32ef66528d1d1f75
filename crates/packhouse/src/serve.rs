//! `packhouse serve`: opening the house, keeping it open, closing it.
//!
//! The order of opening: lock, certificate, listeners, catalog and blobs, first administrator, operator's socket,
//! and only then the first request. The order of closing: no new connections, `/readyz` says so, what runs is
//! finished within `drain_seconds`, the rest is cut.

mod first_start;
mod open;
mod signals;

pub use first_start::welcome;
pub use open::{Opened, catalog_options, open, store};

use crate::config::Config;
use crate::health::Health;
use crate::lock::DataFolder;
use crate::origin::Origins;
use crate::reception::{BackDoor, Desk, Reception};
use crate::socket::OperatorSocket;
use crate::telemetry::{Collection, Metrics, Observed};
use crate::tls::Tls;
use crate::transport::{Gate, Limits, Phase, Running, Server, Stop, lifecycle};
use anyhow::Context;
use packhouse_distribution::Edge;
use packhouse_service::{Presented, Service};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{error, info, warn};

/// Connections to `metrics_listen`: a few scrapers and probes.
const METRICS_CONNECTIONS_MAX: usize = 64;
/// After the cut, for tasks to notice.
const CUT_TIME: Duration = Duration::from_secs(2);
/// Between two rounds of removing what expired, when nothing is due before.
const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The shortest time between them, for graces of seconds.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// Between two rounds of writing how often manifests were fetched.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// After a round of downloads that took long (many different packages, whose rows are far apart) so many times as long: what comes
/// meanwhile is written with it, rows that are neighbours at once, and pushes wait for less.
const COUNT_PAUSE: u32 = 10;
/// At most, so that who lists a package sees its pulls soon.
const COUNT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Between two looks for retention policies whose time has come: one read of an index.
const RETENTION_INTERVAL: Duration = Duration::from_secs(1);

/// Before a snapshot that failed is tried again.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(60);

/// Serves until a signal ends it.
///
/// # Errors
/// What kept the house from opening. Once it is open it ends well.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut signals = signals::Signals::listen().context("cannot listen for signals")?;
    let folder = DataFolder::open(&config.data)?;
    let tls = config.tls.clone().map(Tls::new).transpose()?.map(Arc::new);
    let listener = bind("listen", config.listen).await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind("metrics_listen", address).await?),
        None => None,
    };
    let address = listener.local_addr().context("cannot tell the address of `listen`")?;
    let Opened { service, first_start } = open(config, &folder).await?;
    service.adopt_plans(&config.plans, &config.plan).await.context("cannot take over `plans`")?;
    let socket = OperatorSocket::bind(&folder)?;

    let house = House::new(config, service.clone());
    let (stop, running) = lifecycle();
    let (stop_metrics, metrics_running) = lifecycle();
    let collection = house.metrics.collection.clone();
    tokio::spawn(sweep(service.clone(), collection, config.gc_grace, config.gc_rate, running.clone()));
    tokio::spawn(count(service.clone(), running.clone()));
    tokio::spawn(retain(service.clone(), running.clone()));
    tokio::spawn(snapshot(service.clone(), config.snapshots(), running.clone()));
    let counted = service.clone();
    let operator = service.clone();
    let operate = move |command| {
        let operator = operator.clone();
        async move { operator.operate(command).await }
    };
    tokio::spawn(socket.serve(operate, running.clone()));
    if let Some(listener) = metrics_listener {
        tokio::spawn(house.back_door(listener).run(metrics_running));
    } else {
        drop(metrics_running);
    }
    let health = house.health.clone();
    tokio::spawn(house.reception(config, listener, tls, service).run(running));

    announce(config, address, first_start.as_ref()).context("cannot write to stdout")?;
    info!(data = %config.data.display(), "listening on {address}");
    signals.next().await;
    health.drain();
    close(&stop, config.drain_time, signals).await;
    // What the last requests pulled; nobody adds to it any more.
    stored(counted.store_transfers().await, "transfers");
    stored(counted.store_downloads().await, "downloads");
    if let Err(error) = counted.store_uses().await {
        warn!(error = format!("{:#}", anyhow::Error::new(error)), "the last uses of tokens were not stored");
    }
    stop_metrics.enter(Phase::Over);
    drop(folder);
    Ok(())
}

/// What the parts of the running server share.
struct House {
    metrics: Metrics,
    origins: Arc<Origins>,
    limits: Limits,
    health: Health<Service>,
    metrics_aside: bool,
}

impl House {
    fn new(config: &Config, service: Service) -> Self {
        let origins = Origins {
            external_url: config.external_url.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        };
        let limits = Limits {
            connections_max: config.connections_max,
            header_time: config.header_time,
            stall_time: config.stall_time,
            idle_time: Limits::IDLE_TIME,
        };
        Self {
            metrics: Metrics::new(),
            origins: Arc::new(origins),
            limits,
            health: Health::new(service),
            metrics_aside: config.metrics_listen.is_some(),
        }
    }

    fn reception(
        &self,
        config: &Config,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        service: Service,
    ) -> Server<Observed<Reception<Service>>> {
        let limits = packhouse_distribution::Limits { manifest_bytes_max: config.manifest_bytes_max };
        let metrics = (!self.metrics_aside).then(|| self.metrics.clone());
        let inner = Reception {
            desk: Desk { health: self.health.clone(), metrics },
            github: packhouse_github::Edge::new(service.clone()),
            distribution: Edge::new(service, limits),
            origins: Arc::clone(&self.origins),
        };
        let gate = Gate::new(self.limits.connections_max, self.metrics.connections.clone());
        self.server(inner, listener, tls, gate)
    }

    /// Its connections are few and counted aside, so that a full house can still be looked at.
    fn back_door(&self, listener: TcpListener) -> Server<Observed<BackDoor<Service>>> {
        let desk = Desk { health: self.health.clone(), metrics: Some(self.metrics.clone()) };
        let gate = Gate::new(METRICS_CONNECTIONS_MAX, Default::default());
        self.server(BackDoor { desk }, listener, None, gate)
    }

    fn server<I>(
        &self,
        inner: I,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        gate: Gate,
    ) -> Server<Observed<I>> {
        let origins = Arc::clone(&self.origins);
        let handler = Arc::new(Observed { inner, metrics: self.metrics.clone(), origins });
        Server { listener, tls, handler, limits: self.limits, gate }
    }
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address with `{key}`"))
}

fn announce(
    config: &Config,
    address: SocketAddr,
    first: Option<&packhouse_service::FirstStart>,
) -> std::io::Result<()> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut text = first.map(|first| welcome(config, address, first)).unwrap_or_default();
    text.push_str(&format!("listening on {scheme}://{address}\n"));
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

async fn close(stop: &Stop, drain_time: Duration, mut signals: signals::Signals) {
    stop.enter(Phase::Draining);
    info!("draining: nothing new is accepted, what runs has {drain_time:?}; a second signal ends at once");
    let left = tokio::select! {
        left = stop.finished(drain_time) => left,
        () = signals.next() => {
            info!("a second signal: ending at once");
            stop.finished(Duration::ZERO).await
        }
    };
    if left > 0 {
        warn!("cutting {left} connection(s) that still run");
        stop.enter(Phase::Over);
        stop.finished(CUT_TIME).await;
    }
    info!("closed");
}

async fn count(service: Service, mut running: Running) {
    let mut due = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = running.left(Phase::Running) => return,
            () = tokio::time::sleep(COUNT_INTERVAL) => {}
        }
        // Each time: a crash costs a second of what a plan counts.
        stored(service.store_transfers().await, "transfers");
        let begun = tokio::time::Instant::now();
        if begun >= due || service.many_downloads_wait() {
            stored(service.store_downloads().await, "downloads");
            let pause = (begun.elapsed() * COUNT_PAUSE).min(COUNT_PAUSE_MAX);
            due = begun + begun.elapsed() + pause;
        }
    }
}

async fn retain(service: Service, mut running: Running) {
    loop {
        tokio::select! {
            () = running.left(Phase::Running) => return,
            () = tokio::time::sleep(RETENTION_INTERVAL) => {}
        }
        if let Err(error) = service.retention_round().await {
            let error = anyhow::Error::new(error);
            error!(error = format!("{error:#}"), "a round of retention failed; the next one tries again");
        }
    }
}

/// Snapshots of an embedded catalog; where there are none, nothing is held for those that were taken before.
async fn snapshot(service: Service, wanted: Option<(Duration, u32)>, mut running: Running) {
    let Some((interval, keep)) = wanted else {
        if let Err(error) = service.without_snapshots().await {
            warn!(error = error.chain(), "what earlier snapshots hold is held until the next start");
        }
        return;
    };
    let mut snapshots = service.snapshots(interval, keep);
    let mut pause = match snapshots.first().await {
        Ok(pause) => pause,
        Err(error) => {
            warn!(error = error.chain(), "cannot look for snapshots");
            interval.min(SNAPSHOT_RETRY)
        }
    };
    loop {
        tokio::select! {
            () = running.left(Phase::Running) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match snapshots.round().await {
            Ok(taken) => {
                if let Some(name) = taken {
                    info!(name, "a snapshot of the catalog is in the blob store");
                }
                interval
            }
            Err(error) => {
                error!(error = error.chain(), "a snapshot of the catalog failed; it is tried again");
                interval.min(SNAPSHOT_RETRY)
            }
        };
    }
}

/// Says when a round of counting failed.
fn stored(round: Result<(), packhouse_service::Fault>, what: &str) {
    if let Err(error) = round {
        let error = anyhow::Error::new(error);
        warn!(error = format!("{error:#}"), "counting {what} failed; the next round tries again");
    }
}

/// The collector: rounds without a pause while there is something to do, but no faster than `rate` things a second.
async fn sweep(service: Service, metrics: Collection, grace: Duration, rate: u64, mut running: Running) {
    let interval = (grace / 4).clamp(SWEEP_INTERVAL_MIN, SWEEP_INTERVAL_MAX);
    let mut pause = interval;
    loop {
        tokio::select! {
            () = running.left(Phase::Running) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = interval;
        match service.sweep().await {
            Ok(swept) => {
                metrics.note(&swept);
                if swept.more {
                    let done = swept.collected.reviews.saturating_add(swept.files);
                    pause = Duration::from_millis(done.saturating_mul(1_000) / rate.max(1));
                    continue;
                }
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                error!(
                    error = format!("{error:#}"),
                    "removing what expired failed; the next round tries again"
                );
            }
        }
        match service.gc_status(&Presented::Worker).await {
            Ok(status) => metrics.show(&status),
            Err(error) => {
                let error = anyhow::Error::new(error);
                warn!(error = format!("{error:#}"), "the state of the collector is not known");
            }
        }
    }
}
