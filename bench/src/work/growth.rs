//! Whether the same work takes longer where there is more: Packhouses that differ in how much their catalogs hold.
//!
//! The small one runs twice, so that it stands beside itself and shows what chance does.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use packhouse_growth::{Place, REFERRERS, Size};

use super::stage::Stage;
use super::{Desk, Run, package};
use crate::data::Image;
use crate::targets::{LARGE, NAMESPACE, Service};
use crate::wire::crowd::{End, crowd};
use crate::wire::gets::{Request, Varies, gets};
use crate::wire::{Client, Tally};

/// What the small ones hold.
const SMALL: Size = Size { packages: 1_000, versions: 4_000 };

/// Packages that are asked for, spread over all there are: as many in a large catalog as in a small one, or the
/// processor's caches and not the catalog would be compared.
const ASKED_FOR: u32 = 500;

const CONNECTIONS: usize = 4;
const PUSHERS: usize = 8;
/// Bytes of the layer of a small image.
pub(crate) const LAYER_BYTES: usize = 1_000;

/// What is done in a catalog that may be large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// From the start of the program to its first answer.
    Start,
    /// Memory after a start, one answer and a second of rest.
    Idle,
    /// A manifest by tag, of one of [`ASKED_FOR`] packages.
    Tag,
    /// A manifest by tag, of any package.
    AnyTag,
    /// A page of 100 names, beginning anywhere.
    Catalog,
    /// A page of 100 tags of the package that has most, beginning anywhere.
    Tags,
    /// The first page of an account's packages at GitHub's API.
    Packages,
    /// The first page of versions of the package that has most, likewise.
    Versions,
    /// An image of one layer, to a package of the [`ASKED_FOR`].
    Push,
    /// The same, to a package that was not there.
    PushNew,
}

/// How much a target holds.
pub(crate) fn size_of(desk: &Desk<'_>, target: &str) -> Size {
    if target == LARGE { desk.large } else { SMALL }
}

/// Starts a Packhouse whose catalog holds so much.
pub(crate) async fn furnish(
    desk: &Desk<'_>,
    target: &str,
    shared: &std::path::Path,
) -> anyhow::Result<Service> {
    let mut service = desk.kit.start(target, false, shared).await?;
    service.close();
    let catalog = service.folder().context("it was started here")?.join("data/catalog.sqlite");
    let size = size_of(desk, target);
    let filled =
        tokio::task::spawn_blocking(move || packhouse_growth::fill(Place::Sqlite(&catalog), NAMESPACE, size));
    filled.await?.with_context(|| format!("filling {target}"))?;
    service.open().await?;
    Ok(service)
}

impl Growth {
    pub(crate) async fn run(self, desk: &Desk<'_>, stage: &mut Stage, target: &str) -> anyhow::Result<Run> {
        match self {
            Self::Start => {
                let service = stage.service_mut(target)?;
                service.close();
                service.open().await?;
                Ok(Run::of_value(service.took.as_secs_f64() * 1e3))
            }
            Self::Idle => {
                let service = stage.service_mut(target)?;
                service.close();
                service.open().await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut run = Run::new(0.0, Tally { done: 1, ..Tally::default() });
                run.peak_bytes = service.meter().resident();
                Ok(run)
            }
            Self::Push | Self::PushNew => self.push(desk, stage, target).await,
            Self::Tag | Self::AnyTag | Self::Catalog | Self::Tags | Self::Packages | Self::Versions => {
                self.get(desk, stage.service(target)?, size_of(desk, target)).await
            }
        }
    }

    async fn get(self, desk: &Desk<'_>, service: &Service, size: Size) -> anyhow::Result<Run> {
        let others = size.others();
        let (path, varies) = match self {
            Self::Tag => (manifest_of(0), Varies::Package { count: ASKED_FOR, step: others / ASKED_FOR }),
            Self::AnyTag => (manifest_of(0), Varies::Package { count: others, step: 1 }),
            Self::Catalog => {
                // With a digit more than the names have: between two of them, anywhere.
                let names = u64::from(others) * 10;
                (format!("/v2/_catalog?n=100&last={}", package("p")), Varies::Page { names })
            }
            Self::Tags => {
                let path = format!("/v2/{}/tags/list?n=100&last=v", package("large"));
                (path, Varies::Page { names: u64::from(size.of_large()) })
            }
            Self::Packages => {
                (format!("{}?package_type=container&per_page=100", packages()), Varies::Nothing)
            }
            _ => (format!("{}/container/large/versions?per_page=100", packages()), Varies::Nothing),
        };
        let authorization = service.door.basic.as_ref().map(|basic| format!("Basic {basic}"));
        // Outside of the clock: what is asked for again and again is known by then, on both sides.
        let mut client = Client::with(&service.door, authorization.clone());
        if self == Self::Tag {
            for number in 0..ASKED_FOR {
                let path = manifest_of(1 + number * (others / ASKED_FOR));
                client.fetch(&path, |_| {}).await?;
            }
        }
        let request = Request::new("GET", &service.door, &path, authorization.as_deref(), varies);
        let run = gets(&service.door, request, CONNECTIONS, desk.length, service.meter()).await?;
        Ok(timed(run))
    }

    async fn push(self, desk: &Desk<'_>, stage: &mut Stage, target: &str) -> anyhow::Result<Run> {
        let (cut, number) = (stage.cut(desk, LAYER_BYTES), stage.number());
        let step = size_of(desk, target).others() / ASKED_FOR;
        let service = stage.service(target)?;
        let authorization = service.door.basic.as_ref().map(|basic| format!("Basic {basic}"));
        let run = crowd(PUSHERS, desk.length, End::Finish, service.meter(), |worker, mut gate| {
            let mut client = Client::with(&service.door, authorization.clone());
            let cut = cut.clone();
            async move {
                client.connect().await?;
                let end = gate.open().await?;
                for count in 0..u32::MAX {
                    let image = Image::new(vec![cut.blob()], None);
                    let (name, tag) = if self == Self::PushNew {
                        (format!("new-{number}-{worker}-{count}"), "latest".to_owned())
                    } else {
                        // Each pusher has packages of its own, so none waits for the lock of another's.
                        let place = (count * PUSHERS as u32 + worker as u32) % ASKED_FOR;
                        (name_of(1 + place * step), format!("pushed-{number}-{worker}-{count}"))
                    };
                    super::pushes::push_one(&mut client, &gate, &package(&name), &tag, &image).await;
                    if Instant::now() >= end {
                        break;
                    }
                }
                Ok(())
            }
        });
        Ok(timed(run.await?))
    }
}

/// A run whose figure is the median of its times, and not how many there were.
fn timed(run: Run) -> Run {
    Run { value: run.p50_ms, ..run }
}

fn name_of(number: u32) -> String {
    format!("p{number:07}")
}

fn manifest_of(number: u32) -> String {
    format!("/v2/{}/manifests/latest", package(&name_of(number)))
}

fn packages() -> String {
    format!("/api/v3/users/{NAMESPACE}/packages")
}

/// The sizes in words, for who reads the figures.
pub(crate) fn sizes(large: Size) -> Vec<(String, Size)> {
    vec![("packhouse-small".to_owned(), SMALL), (LARGE.to_owned(), large)]
}

/// A catalog of so many packages, with so many versions or twice as many.
pub(crate) fn large(packages: u32, versions: Option<u32>) -> Size {
    let least = packages.saturating_add(REFERRERS * 2);
    Size { packages, versions: versions.unwrap_or(packages.saturating_mul(2)).max(least) }
}
