//! A real client, skopeo, with an image of twenty layers.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::{Desk, Run, package};
use crate::data::Image;
use crate::targets::Service;
use crate::wire::Tally;

pub(crate) const LAYER_BYTES: usize = 10_000_000;
const LAYERS: usize = 20;

/// Which way the image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Push,
    Pull,
}

/// One copy of an image that was never there before, from start to end of the client.
pub(crate) async fn run(desk: &Desk<'_>, service: &Service, direction: Direction) -> anyhow::Result<Run> {
    let program = desk.kit.programs.get("skopeo").context("skopeo is not here")?;
    let cut = desk.stock.cut(LAYER_BYTES);
    let image = Image::new((0..LAYERS).map(|_| cut.blob()).collect(), None);
    let folder = tempfile::Builder::new().prefix("skopeo-").tempdir_in(desk.kit.scratch.path())?;
    let (local, remote) = (format!("dir:{}", folder.path().display()), package("skopeo"));
    let remote = format!("docker://{}/{remote}:latest", service.door.host);
    let mut command = Command::new(program);
    command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]).env("HOME", folder.path());
    let side = match direction {
        Direction::Push => {
            write(&image, folder.path())?;
            command.args(["--dest-tls-verify=false"]).args([&local, &remote]);
            "dest"
        }
        Direction::Pull => {
            service.put_image(&package("skopeo"), "latest", &image).await?;
            command.args(["--src-tls-verify=false"]).args([&remote, &local]);
            "src"
        }
    };
    if let Some(credentials) = service.credentials() {
        command.arg(format!("--{side}-creds={credentials}"));
    }
    rustix::fs::sync();
    let before = service.meter().cpu();
    service.meter().reset();
    let start = Instant::now();
    let done = command.output()?;
    let took = start.elapsed();
    if !done.status.success() {
        bail!("skopeo: {}", String::from_utf8_lossy(&done.stderr));
    }
    let bytes = image.blobs.iter().map(|blob| blob.len() as u64).sum();
    let mut run = Run::new(took.as_secs_f64(), Tally { done: 1, bytes, ..Tally::default() });
    run.cpu_seconds = service.meter().cpu().zip(before).map(|(after, before)| after - before);
    run.peak_bytes = service.meter().peak();
    Ok(run)
}

/// Writes an image as skopeo's `dir:` has it: blobs by the hexadecimal part of their digests.
fn write(image: &Image, folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("version"), "Directory Transport Version: 1.1\n")?;
    std::fs::write(folder.join("manifest.json"), &image.manifest)?;
    for blob in &image.blobs {
        let (_, hex) = blob.digest.split_once(':').context("a digest")?;
        std::fs::write(folder.join(hex), blob.pieces().concat())?;
    }
    Ok(())
}
