//! Bytes on disk after fifty images that share nine of their ten layers.

use std::path::Path;

use anyhow::Context as _;

use super::{Desk, Run, package};
use crate::data::Image;
use crate::wire::How;

pub(crate) const LAYER_BYTES: usize = 1_000_000;
const IMAGES: usize = 50;
const SHARED_LAYERS: usize = 9;

/// Pushes them to a target that was newly started, as clients do who ask first what is there.
pub(crate) async fn run(desk: &Desk<'_>, shared: &Path, target: &str) -> anyhow::Result<Run> {
    let service = desk.kit.start(target, false, shared).await?;
    let folder = service.folder().context("its disk is not here")?.to_owned();
    let before = bytes_below(&folder)?;
    let cut = desk.stock.cut(LAYER_BYTES);
    let common: Vec<_> = (0..SHARED_LAYERS).map(|_| cut.blob()).collect();
    let package = package("disk");
    let mut client = service.client(&[&package]).await?;
    let mut unique = SHARED_LAYERS * LAYER_BYTES;
    for number in 0..IMAGES {
        let own = cut.blob();
        let image = Image::new(common.iter().cloned().chain([own]).collect(), None);
        for blob in &image.blobs {
            let path = format!("/v2/{package}/blobs/{}", blob.digest);
            if !client.exchange("HEAD", &path, &[], &[], |_| {}).await?.succeeded() {
                client.push_blob(&package, blob, How::Monolith).await?;
            }
        }
        client.push_manifest(&package, &format!("v{number}"), &image.manifest).await?;
        unique += LAYER_BYTES + image.blobs[0].len() + image.manifest.len();
    }
    let mut run = Run { done: IMAGES as u64, bytes: bytes_below(&folder)? - before, ..Run::default() };
    run.note = Some(format!("{:.1} MB of different blobs and manifests", unique as f64 / 1e6));
    Ok(run)
}

/// As `du --apparent-size` counts, but for the log.
fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            sum += bytes_below(&entry.path())?;
        } else if entry.file_name() != "log" {
            sum += about.len();
        }
    }
    Ok(sum)
}
