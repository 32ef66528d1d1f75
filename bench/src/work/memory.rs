//! How much memory a target takes, each time newly started.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::{Desk, Run, package, pulling};
use crate::data::Image;
use crate::wire::crowd::{End, crowd};
use crate::wire::gets::headers;
use crate::wire::{Client, Connection};

/// The blob that many pull or push at once.
pub(crate) const BLOB_BYTES: usize = 100_000_000;

const PACKAGE: &str = "memory";

/// While what the memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// One answered request, and a second of rest.
    Idle,
    /// So many pull the blob at once, over and over.
    Downloads(usize),
    /// So many push blobs of that size at once. Cut when the time is over: all are under way then.
    Uploads(usize),
    /// So many pull the blob and take 4 KiB four times a second. Beside them four ask for a manifest; the latencies
    /// are theirs.
    Slow(usize),
}

impl Memory {
    pub(crate) async fn run(self, desk: &Desk<'_>, shared: &Path, target: &str) -> anyhow::Result<Run> {
        let mut service = desk.kit.start(target, false, shared).await?;
        let package = package(PACKAGE);
        let image = Image::new(vec![desk.stock.cut(BLOB_BYTES).blob()], None);
        if matches!(self, Self::Downloads(_) | Self::Slow(_)) {
            service.put_image(&package, "latest", &image).await?;
            rustix::fs::sync();
            // What it took for the push must not be counted, nor kept for it.
            service.close();
            service.open().await?;
        }
        let client = match self {
            Self::Uploads(_) => service.client(&[&package]).await?,
            _ => Client::signed_in(&service.door, &[&pulling(&package)]).await?,
        };
        let authorization = client.authorization().map(str::to_owned);
        // Long enough that all have begun.
        let length = desk.length.mul_f64(3.0);
        let shared = Arc::new(Shared {
            blob: format!(
                "/v2/{package}/blobs/{}",
                image.blobs.last().map_or("", |blob| blob.digest.as_str())
            ),
            manifest: format!("/v2/{package}/manifests/latest"),
            package,
            client_door: service.door.clone(),
            authorization,
            stock: desk.stock.clone(),
        });
        let meter = service.meter();
        match self {
            Self::Idle => {
                tokio::time::sleep(Duration::from_secs(1).min(length)).await;
                let mut run = Run::new(0.0, crate::wire::Tally { done: 1, ..Default::default() });
                run.peak_bytes = meter.resident();
                Ok(run)
            }
            Self::Downloads(count) => {
                crowd(count, length, End::Cut, meter, |_, gate| download(Arc::clone(&shared), gate)).await
            }
            Self::Uploads(count) => {
                crowd(count, length, End::Cut, meter, |_, gate| upload(Arc::clone(&shared), gate)).await
            }
            Self::Slow(count) => {
                crowd(count + 4, length, End::Cut, meter, |number, gate| {
                    let shared = Arc::clone(&shared);
                    async move {
                        if number < count { shared.dawdle(gate).await } else { shared.look(gate).await }
                    }
                })
                .await
            }
        }
    }
}

struct Shared {
    blob: String,
    manifest: String,
    package: String,
    client_door: crate::wire::Door,
    authorization: Option<String>,
    stock: crate::data::Stock,
}

impl Shared {
    fn client(&self) -> Client {
        Client::with(&self.client_door, self.authorization.clone())
    }

    async fn dawdle(&self, mut gate: crate::wire::Gate) -> anyhow::Result<()> {
        const AT_ONCE: u32 = 4096;
        let mut connection = Connection::open_slow(&self.client_door, AT_ONCE).await?;
        let request =
            format!("GET {}{}\r\n", self.blob, headers(&self.client_door, self.authorization.as_deref()));
        gate.open().await?;
        connection.send(request.as_bytes()).await?;
        connection.flush().await?;
        let head = connection.receive_head().await?;
        if !head.succeeded() {
            gate.refused(|| format!("status {}", head.status));
        }
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let read = connection.some().await?;
            if read == 0 {
                bail!("a slow client was cut off");
            }
            gate.tally(|tally| tally.bytes += read as u64);
        }
    }

    async fn look(&self, mut gate: crate::wire::Gate) -> anyhow::Result<()> {
        let mut client = self.client();
        client.connect().await?;
        gate.open().await?;
        loop {
            let start = Instant::now();
            match client.fetch(&self.manifest, |_| {}).await {
                Ok(()) => gate.done(start),
                Err(error) => gate.refused(|| format!("{error:?}")),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn download(shared: Arc<Shared>, mut gate: crate::wire::Gate) -> anyhow::Result<()> {
    let mut client = shared.client();
    client.connect().await?;
    gate.open().await?;
    loop {
        let start = Instant::now();
        let count = |piece: &[u8]| gate.tally(|tally| tally.bytes += piece.len() as u64);
        match client.fetch(&shared.blob, count).await {
            Ok(()) => gate.done(start),
            Err(error) => gate.refused(|| format!("{error:?}")),
        }
    }
}

async fn upload(shared: Arc<Shared>, mut gate: crate::wire::Gate) -> anyhow::Result<()> {
    const PIECE: usize = 256 * 1024;
    let mut client = shared.client();
    client.connect().await?;
    gate.open().await?;
    let path = format!("/v2/{}/blobs/uploads/", shared.package);
    let session = client.call("POST", &path, &[], &[]).await?;
    let Some(location) = session.head.location.filter(|_| session.head.status == 202) else {
        gate.refused(|| format!("POST {path}: {}", session.head.status));
        return Ok(());
    };
    let place = location
        .split_once("://")
        .map_or(location.as_str(), |(_, rest)| &rest[rest.find('/').unwrap_or(0)..]);
    let mut connection = Connection::open(&shared.client_door).await?;
    let request = format!(
        "PATCH {place}{}Content-Type: application/octet-stream\r\nContent-Length: {BLOB_BYTES}\r\n\r\n",
        headers(&shared.client_door, shared.authorization.as_deref())
    );
    connection.send(request.as_bytes()).await?;
    for piece in shared.stock.bytes()[..BLOB_BYTES].chunks(PIECE) {
        connection.send(piece).await?;
        gate.tally(|tally| tally.bytes += piece.len() as u64);
    }
    connection.flush().await?;
    let head = connection.receive(false, |_| {}).await?;
    if head.succeeded() {
        gate.tally(|tally| tally.done += 1);
    } else {
        gate.refused(|| format!("PATCH: {}", head.status));
    }
    Ok(())
}
