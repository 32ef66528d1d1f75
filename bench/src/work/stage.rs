//! Targets that run, with what some works need in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::reads::What;
use super::{Desk, Work, Workload, growth, is_registry, package};
use crate::data::{Blob, Cut, Image, digest_of};
use crate::targets::{Kind, Service};
use crate::wire::{Client, Door, How};

/// The package that is read from, which on Packhouse only its owner may see.
pub(crate) const PACKAGE: &str = "bench";
/// The one that anybody may pull.
pub(crate) const PUBLIC: &str = "public";
/// The one with many tags and referrers.
pub(crate) const LISTED: &str = "listed";

/// Connections that fill a target.
const FILLERS: u64 = 32;

/// Targets that run, side by side.
pub(crate) struct Stage {
    services: BTreeMap<String, Service>,
    /// Targets that could not be started, with the reason.
    pub(crate) failed: BTreeMap<String, String>,
    shared: TempDir,
    cuts: BTreeMap<usize, Cut>,
    pub(crate) small: Image,
    pub(crate) sized: BTreeMap<usize, Image>,
    pub(crate) subject: Image,
    pub(crate) entries: u64,
    pushed: u64,
}

impl Stage {
    /// Starts the targets of these works and puts there what they need.
    pub(crate) async fn set(
        desk: &Desk<'_>,
        works: &[Workload],
        targets: &[String],
        entries: u64,
    ) -> anyhow::Result<Self> {
        let shared = tempfile::Builder::new().prefix("shared-").tempdir_in(desk.kit.scratch.path())?;
        std::fs::create_dir_all(shared.path().join("v2"))?;
        std::fs::write(shared.path().join("v2/index.json"), "{}")?;
        let cut = desk.stock.cut(10_000);
        let small = Image::new(vec![cut.blob(), cut.blob()], None);
        let subject = Image::new(vec![cut.blob()], None);
        let mut stage = Self {
            services: BTreeMap::new(),
            failed: BTreeMap::new(),
            shared,
            cuts: BTreeMap::new(),
            small,
            sized: BTreeMap::new(),
            subject,
            entries,
            pushed: 0,
        };
        let mut sizes = BTreeSet::new();
        for work in works {
            match work.work {
                Work::Get(get) => sizes.extend(get.sizes()),
                Work::Pull(pull) => sizes.extend(pull.sizes()),
                _ => {}
            }
        }
        for size in sizes {
            let blob = stage.cut(desk, size).blob();
            stage.sized.insert(size, Image::new(vec![blob], None));
        }
        let lists: BTreeSet<What> = works
            .iter()
            .filter_map(|work| if let Work::Get(get) = work.work { Some(get.what) } else { None })
            .collect();
        let tls = works.iter().any(Workload::tls);
        for target in targets {
            let furnished = if works.iter().any(Workload::grows) {
                growth::furnish(desk, target, stage.shared.path()).await
            } else {
                stage.furnish(desk, target, tls, &lists).await
            };
            match furnished {
                Ok(service) => drop(stage.services.insert(target.clone(), service)),
                Err(error) => drop(stage.failed.insert(target.clone(), format!("{error:#}"))),
            }
        }
        // What preparing left to be written would be written while others are measured.
        rustix::fs::sync();
        Ok(stage)
    }

    async fn furnish(
        &self,
        desk: &Desk<'_>,
        target: &str,
        tls: bool,
        lists: &BTreeSet<What>,
    ) -> anyhow::Result<Service> {
        let service = desk.kit.start(target, tls, self.shared.path()).await?;
        service.put_image(&package(PACKAGE), "latest", &self.small).await?;
        service.put_image(&package(PUBLIC), "latest", &self.small).await?;
        for (size, image) in &self.sized {
            service.put_image(&package(PACKAGE), &tag_of(*size), image).await?;
        }
        if service.kind == Kind::Packhouse {
            publish(&service, &package(PUBLIC))?;
        }
        if is_registry(&service) && lists.iter().any(|list| list.is_list()) {
            service.put_image(&package(LISTED), "subject", &self.subject).await?;
            for list in lists {
                self.fill(&service, *list).await.with_context(|| format!("filling {target}"))?;
            }
        }
        self.check(&service).await.with_context(|| format!("{target} gives other bytes than it got"))?;
        Ok(service)
    }

    /// Adds so many tags, packages or referrers.
    async fn fill(&self, service: &Service, list: What) -> anyhow::Result<()> {
        if !list.is_list() {
            return Ok(());
        }
        let empty = Blob::of(b"{}".to_vec(), "application/vnd.oci.empty.v1+json");
        let listed = package(LISTED);
        service.client(&[&listed]).await?.push_blob(&listed, &empty, How::Monolith).await?;
        let each = Arc::new(Filling {
            door: service.door.clone(),
            list,
            listed,
            subject: self.subject.clone(),
            empty,
            count: if list == What::Referrers { self.entries.min(1_000) } else { self.entries },
        });
        let mut fillers = JoinSet::new();
        for first in 0..FILLERS {
            fillers.spawn(Arc::clone(&each).fill(first));
        }
        while let Some(done) = fillers.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Compares what the target gives with what it got: every byte, outside of anything that is measured.
    async fn check(&self, service: &Service) -> anyhow::Result<()> {
        let package = package(PACKAGE);
        let mut client = service.client(&[&package]).await?;
        for reference in ["latest", &self.small.digest] {
            let path = format!("/v2/{package}/manifests/{reference}");
            same(&mut client, &path, &self.small.digest).await?;
        }
        for blob in self.sized.values().flat_map(|image| &image.blobs).chain(&self.small.blobs) {
            same(&mut client, &format!("/v2/{package}/blobs/{}", blob.digest), &blob.digest).await?;
        }
        let Some(blob) = self.sized.values().next_back().and_then(|image| image.blobs.last()) else {
            return Ok(());
        };
        let path = format!("/v2/{package}/blobs/{}", blob.digest);
        let answer = client.call("GET", &path, &[("Range", "bytes=100-299")], &[]).await?;
        if answer.head.status != 206 || answer.body != blob.part(100, 300).concat() {
            bail!("a range of {path}: {}", answer.head.status);
        }
        Ok(())
    }

    pub(crate) fn service(&self, target: &str) -> anyhow::Result<&Service> {
        self.services.get(target).with_context(|| format!("{target} does not run"))
    }

    /// The same, for work that ends and starts it.
    pub(crate) fn service_mut(&mut self, target: &str) -> anyhow::Result<&mut Service> {
        self.services.get_mut(target).with_context(|| format!("{target} does not run"))
    }

    /// What the targets of files show.
    pub(crate) fn shared(&self) -> &Path {
        self.shared.path()
    }

    /// Blobs of one length, prepared once.
    pub(crate) fn cut(&mut self, desk: &Desk<'_>, size: usize) -> Cut {
        self.cuts.entry(size).or_insert_with(|| desk.stock.cut(size)).clone()
    }

    /// A number that no run before had: for names that were never pushed to.
    pub(crate) fn number(&mut self) -> u64 {
        self.pushed += 1;
        self.pushed
    }
}

/// The tag of the image with one layer of so many bytes.
pub(crate) fn tag_of(size: usize) -> String {
    format!("bytes-{size}")
}

async fn same(client: &mut Client, path: &str, digest: &str) -> anyhow::Result<()> {
    let mut hasher = Sha256::new();
    client.fetch(path, |piece| hasher.update(piece)).await?;
    let came = digest_of(hasher);
    if came != digest {
        bail!("{path} is {came}");
    }
    Ok(())
}

/// Lets everybody pull a package, as the operator does it.
fn publish(service: &Service, package: &str) -> anyhow::Result<()> {
    let folder = service.folder().context("Packhouse was started here")?;
    let mut command = Command::new(service.program());
    command.args(["package", "visibility", package, "public", "--data"]).arg(folder.join("data"));
    let done = command.output()?;
    if !done.status.success() {
        bail!("packhouse package visibility: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// What fills a target.
struct Filling {
    door: Door,
    list: What,
    listed: String,
    subject: Image,
    empty: Blob,
    count: u64,
}

impl Filling {
    /// Every 32nd entry, from `first` on.
    async fn fill(self: Arc<Self>, first: u64) -> anyhow::Result<()> {
        let mut client =
            Client::signed_in(&self.door, &[&format!("repository:{}:pull,push", self.listed)]).await?;
        let authorization = client.authorization().map(str::to_owned);
        for number in (first..self.count).step_by(FILLERS as usize) {
            match self.list {
                What::Tags => {
                    let tag = format!("t{number:08}");
                    client.push_manifest(&self.listed, &tag, &self.subject.manifest).await?;
                }
                What::Referrers => {
                    let note = Image::artifact(&self.empty, Some(&self.subject), number);
                    client.push_manifest(&self.listed, &note.digest, &note.manifest).await?;
                }
                What::Catalog => {
                    let package = package(&format!("p{number:08}"));
                    let mut client = if authorization.is_some() {
                        let scopes = [
                            format!("repository:{package}:pull,push"),
                            format!("repository:{}:pull", self.listed),
                        ];
                        Client::signed_in(&self.door, &[&scopes[0], &scopes[1]]).await?
                    } else {
                        std::mem::replace(&mut client, Client::with(&self.door, None))
                    };
                    client.mount(&package, &self.listed, &self.empty).await?;
                    let image = Image::artifact(&self.empty, None, number);
                    client.push_manifest(&package, "latest", &image.manifest).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
