//! One step of an export: images of a package into an OCI layout.
//!
//! A step goes through the image at hand from its beginning and passes over what is written, which is one look each.
//! It ends when its time is over and something was written, so each step gets on.

use super::{ExportCursor, ExportOrder, ExportStep, LEVELS_MAX, STEP_TIME, TransferProblem, TransferSums};
use crate::access::may_pull;
use crate::{Fault, PullError, Service};
use packhouse_access::{Pull, VersionId};
use packhouse_catalog::{ManifestRow, Presented, ReadTx};
use packhouse_oci::{Descriptor, Digest, Manifest, ManifestKind, MediaType, PackageName, Reference, Tag};
use packhouse_transfer::{Growing, Target, TargetError};
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// Bytes of annotations on a page of referrers, which are not looked at here.
const REFERRERS_BYTES_MAX: usize = 3 << 20;
const REFERRERS_MAX: u32 = 1000;
/// This machine, as images name it.
const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    b"x86" => "386",
    b"powerpc64" => "ppc64le",
    _ => std::env::consts::ARCH,
};
/// Tags that are read at once.
const TAGS_MAX: u32 = 500;

type Work<'w, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'w>>;

/// Why a step stops.
enum Stop {
    Time,
    Ended(String),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Stop::Ended(error.to_string())
    }
}

impl From<PullError> for Stop {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Fault(fault) => {
                tracing::error!(error = fault.chain(), "an export failed");
                Stop::Ended("the catalog or the store could not do it; the log says why".to_owned())
            }
            error => Stop::Ended(error.to_string()),
        }
    }
}

struct Exporter<'s> {
    service: &'s Service,
    order: &'s ExportOrder,
    name: PackageName,
    target: Arc<Mutex<Target>>,
    cursor: ExportCursor,
    deadline: Instant,
    wrote: bool,
    sums: TransferSums,
    notes: Vec<TransferProblem>,
    whole: HashSet<Digest>,
}

impl Service {
    /// Exports for some seconds from where the cursor stands.
    ///
    /// # Errors
    /// What ends the export: no such package or image, a target that cannot be written, a fault of ours.
    pub(crate) async fn export_step(
        &self,
        order: &ExportOrder,
        cursor: Option<ExportCursor>,
    ) -> Result<ExportStep, String> {
        let name: PackageName =
            order.package.parse().map_err(|why| format!("`{}`: {why}", super::names::cut(&order.package)))?;
        if !order.path.is_absolute() {
            return Err(format!("`{}` is not an absolute path", order.path.display()));
        }
        let reference = order.reference.as_deref().map(str::parse::<Reference>).transpose();
        let reference = reference.map_err(|error| error.to_string())?;
        let began = Instant::now();
        let cursor = cursor.unwrap_or_default();
        // Before anything is made on the disk.
        self.has_images(&name, reference.clone()).await.map_err(|stop| match stop {
            Stop::Ended(why) => why,
            Stop::Time => String::new(),
        })?;
        let (path, end) = (order.path.clone(), cursor.end);
        let target = spawn_blocking(move || Target::open(&path, end)).await;
        let target =
            target.map_err(|_| "a task ended early".to_owned())?.map_err(|error| error.to_string())?;
        let mut exporter = Exporter {
            service: self,
            order,
            name,
            target: Arc::new(Mutex::new(target)),
            cursor,
            deadline: began + STEP_TIME,
            wrote: false,
            sums: TransferSums::default(),
            notes: Vec::new(),
            whole: HashSet::new(),
        };
        let more = match exporter.images(reference).await {
            Ok(()) => false,
            Err(Stop::Time) => true,
            Err(Stop::Ended(why)) => return Err(why),
        };
        let Exporter { target, mut cursor, sums, notes, .. } = exporter;
        let Some(target) = Arc::into_inner(target) else { return Err("a task still writes".to_owned()) };
        let target = target.into_inner().unwrap_or_else(PoisonError::into_inner);
        if more {
            cursor.end = Some(target.end());
            return Ok(ExportStep { cursor: Some(cursor), sums, notes });
        }
        let closed = spawn_blocking(move || target.close()).await;
        closed.map_err(|_| "a task ended early".to_owned())?.map_err(|error| error.to_string())?;
        Ok(ExportStep { cursor: None, sums, notes })
    }

    async fn has_images(&self, name: &PackageName, reference: Option<Reference>) -> Result<(), Stop> {
        self.export_read(name, move |tx, may| {
            let there = match &reference {
                Some(reference) => tx.manifest_head(may, reference)?.is_some(),
                None => !tx.tags(may, "", 1)?.is_empty(),
            };
            match (there, &reference) {
                (true, _) => Ok(Ok(())),
                (false, Some(reference)) => Err(PullError::ManifestUnknown(reference.clone())),
                (false, None) => Ok(Err(Stop::Ended(
                    "the package has no tags; name a digest to export what has none".to_owned(),
                ))),
            }
        })
        .await?
    }

    /// Reads as the operator, who may; without counting as a download.
    async fn export_read<T: Send + 'static>(
        &self,
        name: &PackageName,
        read: impl for<'c, 'tx> Fn(
            &mut ReadTx<'c, 'tx>,
            &packhouse_access::Granted<'tx, Pull>,
        ) -> Result<T, PullError>
        + Send
        + 'static,
    ) -> Result<T, PullError> {
        let (name, now) = (name.clone(), self.clock.now());
        self.catalog
            .read(move |tx| {
                let may = may_pull::<PullError>(tx, &Presented::Operator, &name, true, now)?;
                read(tx, &may)
            })
            .await
    }
}

impl Exporter<'_> {
    fn stop_when_over(&self) -> Result<(), Stop> {
        if self.wrote && Instant::now() >= self.deadline { Err(Stop::Time) } else { Ok(()) }
    }

    async fn images(&mut self, reference: Option<Reference>) -> Result<(), Stop> {
        if let Some(reference) = reference {
            return self.image(reference).await;
        }
        loop {
            let after = self.cursor.tag.clone().unwrap_or_default();
            let tags = self
                .service
                .export_read(&self.name, move |tx, may| Ok(tx.tags(may, &after, TAGS_MAX)?))
                .await?;
            if tags.is_empty() {
                return Ok(());
            }
            for name in tags {
                // Ours are all good ones.
                if let Ok(tag) = name.parse::<Tag>() {
                    self.image(Reference::Tag(tag)).await?;
                }
                self.cursor.tag = Some(name);
                self.stop_when_over()?;
            }
        }
    }

    async fn image(&mut self, reference: Reference) -> Result<(), Stop> {
        let Some(row) = self.row(&reference).await? else {
            // A tag that went away while this runs.
            self.note(reference.to_string(), "is not in the package any more".to_owned());
            return Ok(());
        };
        let (digest, size, media_type) = (row.digest, row.size, row.media_type().map_err(Fault::from));
        let media_type = media_type.map_err(PullError::Fault)?.to_string();
        let payload = row.payload.clone();
        self.manifest(row, 0).await?;
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        self.sums.tags += u64::from(tag.is_some());
        if let Some(tag) = &tag {
            self.docker(tag, &media_type, &payload).await?;
        }
        self.on_disk(move |target| target.name(&digest, size, &media_type, tag.as_ref())).await
    }

    /// What docker gets of a tagged image: itself, or of several platforms this machine's.
    async fn docker(&mut self, tag: &Tag, media_type: &str, payload: &[u8]) -> Result<(), Stop> {
        let parse =
            |media_type: &str, bytes: &[u8]| Manifest::parse(media_type.parse().ok().as_ref(), bytes).ok();
        let Some(mut manifest) = parse(media_type, payload) else { return Ok(()) };
        if manifest.kind == ManifestKind::Index {
            let own = |child: &&Descriptor| {
                let platform = child.platform.as_ref();
                platform
                    .is_some_and(|platform| platform.os == "linux" && platform.architecture == ARCHITECTURE)
            };
            let Some(child) = manifest.manifests.iter().find(own) else { return Ok(()) };
            let Some(row) = self.row(&Reference::Digest(child.digest)).await? else { return Ok(()) };
            let Some(image) = parse(child.media_type.as_str(), &row.payload) else { return Ok(()) };
            manifest = image;
        }
        let image = |config: &&Descriptor| {
            [MediaType::OCI_CONFIG, MediaType::DOCKER_CONFIG].contains(&config.media_type)
        };
        let Some(config) = manifest.config.as_ref().filter(image).map(|config| config.digest) else {
            return Ok(());
        };
        let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        let name = format!("{}:{tag}", self.name);
        self.on_disk(move |target| target.docker(&name, &config, &layers)).await
    }

    async fn row(&self, reference: &Reference) -> Result<Option<Arc<ManifestRow>>, Stop> {
        let reference = reference.clone();
        Ok(self.service.export_read(&self.name, move |tx, may| Ok(tx.manifest(may, &reference)?)).await?)
    }

    /// What a manifest names, then itself, then what refers to it.
    fn manifest(&mut self, row: Arc<ManifestRow>, depth: usize) -> Work<'_, ()> {
        Box::pin(async move {
            let (digest, size) = (row.digest, row.size);
            if depth >= LEVELS_MAX || !self.whole.insert(digest) {
                return Ok(());
            }
            let media_type = row.media_type().map_err(|error| PullError::Fault(error.into()))?;
            let parsed = Manifest::parse(Some(&media_type), &row.payload)
                .map_err(|why| Stop::Ended(format!("manifest `{digest}`: {why}")))?;
            let children = match parsed.kind {
                ManifestKind::Image => parsed.blobs().cloned().collect(),
                ManifestKind::Index => parsed.manifests.clone(),
            };
            for child in children {
                self.child(&child, digest, depth).await?;
            }
            if self.ask(move |target| target.has(&digest, size)).await? {
                self.sums.manifests_present += 1;
            } else {
                let payload = row.payload.clone();
                self.on_disk(move |target| target.put(&digest, &payload)).await?;
                self.sums.manifests += 1;
                self.wrote = true;
            }
            if self.order.referrers {
                self.referrers(digest, depth).await?;
            }
            Ok(())
        })
    }

    async fn child(&mut self, child: &Descriptor, parent: Digest, depth: usize) -> Result<(), Stop> {
        let digest = child.digest;
        if child.media_type.is_image_manifest() || child.media_type.is_index() {
            if self.whole.contains(&digest) {
                return Ok(());
            }
            if let Some(row) = self.row(&Reference::Digest(digest)).await? {
                return self.manifest(row, depth + 1).await;
            }
        } else if self.blob(digest).await? {
            return Ok(());
        }
        self.note(parent.to_string(), format!("names `{digest}`, which is not in the package"));
        Ok(())
    }

    async fn referrers(&mut self, subject: Digest, depth: usize) -> Result<(), Stop> {
        let mut after = 0;
        loop {
            let (referrers, more) = self
                .service
                .export_read(&self.name, move |tx, may| {
                    let behind = VersionId(after);
                    Ok(tx.referrers(may, &subject, &[], behind, REFERRERS_MAX, REFERRERS_BYTES_MAX)?)
                })
                .await?;
            for referrer in referrers {
                after = referrer.version.0;
                let (digest, size, media_type) = (referrer.digest, referrer.size, referrer.media_type);
                if let Some(row) = self.row(&Reference::Digest(digest)).await? {
                    self.manifest(row, depth + 1).await?;
                    self.on_disk(move |target| target.name(&digest, size, &media_type, None)).await?;
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Writes a blob. Whether the package has it.
    async fn blob(&mut self, digest: Digest) -> Result<bool, Stop> {
        let found = self.service.export_read(&self.name, move |tx, may| Ok(tx.blob(may, &digest)?)).await?;
        let Some(blob) = found else { return Ok(false) };
        let size = blob.size();
        if self.ask(move |target| target.has(&digest, size)).await? {
            self.sums.blobs_present += 1;
            return Ok(true);
        }
        self.stop_when_over()?;
        let key = digest.to_string();
        let paused = self.cursor.blob.take().filter(|(of, ..)| *of == key);
        let paused = paused.map(|(_, written, state)| (written, state));
        let mut growing = self.on_disk(move |target| target.resume(&digest, size, paused)).await?;
        let reader = self.service.store.reader(&blob, growing.written(), size).await;
        let mut reader = reader.map_err(|error| PullError::Fault(Fault::Blobs(error)))?;
        while let Some(piece) = std::future::poll_fn(|context| reader.poll_piece(context)).await {
            let piece = piece.map_err(|error| PullError::Fault(Fault::Blobs(error)))?;
            self.sums.bytes += piece.len() as u64;
            let written = spawn_blocking(move || growing.write(&piece)).await;
            growing = written.map_err(|_| Stop::Ended("a task ended early".to_owned()))??;
            self.wrote = true;
            if growing.written() < size && Instant::now() >= self.deadline {
                return Err(self.pause(key, growing));
            }
        }
        self.on_disk(move |target| target.finish(growing)).await?;
        self.sums.blobs += 1;
        self.wrote = true;
        Ok(true)
    }

    fn pause(&mut self, key: String, growing: Growing) -> Stop {
        let (written, state) = growing.pause();
        self.cursor.blob = Some((key, written, state));
        Stop::Time
    }

    fn note(&mut self, image: String, message: String) {
        if self.notes.len() < super::LINES_MAX {
            self.notes.push(TransferProblem { image, message });
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Target) -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let target = Arc::clone(&self.target);
        let asked = spawn_blocking(move || ask(&mut target.lock().unwrap_or_else(PoisonError::into_inner)));
        asked.await.map_err(|_| Stop::Ended("a task ended early".to_owned()))
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Target) -> Result<T, TargetError> + Send + 'static,
    ) -> Result<T, Stop> {
        Ok(self.ask(act).await??)
    }
}
