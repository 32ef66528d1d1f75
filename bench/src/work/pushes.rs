//! Images and blobs that are pushed, none of which was there before.

use std::time::{Duration, Instant};

use super::pulls::chosen;
use super::stage::Stage;
use super::{Desk, Run, package};
use crate::data::{Image, Random};
use crate::wire::crowd::{End, crowd};
use crate::wire::{Client, Gate, How, Trouble};

/// What the images are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// These layers.
    Layers(&'static [usize]),
    /// One layer of one of these sizes, each with how many in a hundred have it.
    One(&'static [(u64, usize)]),
}

impl Sizes {
    pub(crate) fn all(self) -> Vec<usize> {
        match self {
            Self::Layers(sizes) => sizes.to_vec(),
            Self::One(shares) => shares.iter().map(|(_, size)| *size).collect(),
        }
    }
}

/// Pushes of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) sizes: Sizes,
    pub(crate) how: How,
    pub(crate) clients: usize,
    /// All clients push to one package; else each to its own.
    pub(crate) one_package: bool,
}

impl Push {
    pub(crate) async fn run(&self, desk: &Desk<'_>, stage: &mut Stage, target: &str) -> anyhow::Result<Run> {
        let cuts: Vec<_> = self.sizes.all().into_iter().map(|size| stage.cut(desk, size)).collect();
        let number = stage.number();
        let service = stage.service(target)?;
        let name = |client: usize| {
            let client = if self.one_package { 0 } else { client };
            package(&format!("pushed-{number}-{client}"))
        };
        let mut clients = Vec::new();
        for client in 0..self.clients {
            let package = name(client);
            let signed = service.client(&[&package]).await?.authorization().map(str::to_owned);
            clients.push((package, signed));
        }
        let push = *self;
        crowd(self.clients, desk.length, End::Finish, service.meter(), |worker, mut gate| {
            let (package, signed) = clients[worker].clone();
            let mut client = Client::with(&service.door, signed);
            let cuts = cuts.clone();
            async move {
                let mut random = Random::new()?;
                client.connect().await?;
                let end = gate.open().await?;
                for count in 0.. {
                    let layers = match push.sizes {
                        Sizes::Layers(_) => cuts.iter().map(crate::data::Cut::blob).collect(),
                        Sizes::One(shares) => vec![cuts[chosen(shares, random.below(100))].blob()],
                    };
                    let image = Image::new(layers, None);
                    push_how(&mut client, &gate, &package, &format!("w{worker}-{count}"), &image, push.how)
                        .await;
                    if Instant::now() >= end {
                        break;
                    }
                }
                Ok(())
            }
        })
        .await
    }
}

/// Pushes one image and writes down how it went.
pub(crate) async fn push_one(client: &mut Client, gate: &Gate, package: &str, tag: &str, image: &Image) {
    push_how(client, gate, package, tag, image, How::Monolith).await;
}

async fn push_how(client: &mut Client, gate: &Gate, package: &str, tag: &str, image: &Image, how: How) {
    let start = Instant::now();
    let bytes: usize = image.blobs.iter().map(crate::data::Blob::len).sum();
    match client.push_image(package, tag, image, how).await {
        Ok(()) => {
            gate.done(start);
            gate.tally(|tally| tally.bytes += bytes as u64);
        }
        Err(Trouble::Refused(what)) => gate.refused(|| what),
        Err(Trouble::Broken(error)) => gate.broken(&error),
    }
}

/// One blob by POST and one PUT.
pub(crate) async fn put_blob(
    desk: &Desk<'_>,
    stage: &mut Stage,
    target: &str,
    bytes: usize,
) -> anyhow::Result<Run> {
    let cut = stage.cut(desk, bytes);
    let service = stage.service(target)?;
    let package = package("large");
    let authorization = service.client(&[&package]).await?.authorization().map(str::to_owned);
    crowd(1, Duration::ZERO, End::Finish, service.meter(), |_, mut gate| {
        let mut client = Client::with(&service.door, authorization.clone());
        let (package, blob) = (package.clone(), cut.blob());
        async move {
            client.connect().await?;
            gate.open().await?;
            let start = Instant::now();
            match client.push_blob(&package, &blob, How::Monolith).await {
                Ok(()) => {
                    gate.done(start);
                    gate.tally(|tally| tally.bytes += blob.len() as u64);
                }
                Err(Trouble::Refused(what)) => gate.refused(|| what),
                Err(Trouble::Broken(error)) => gate.broken(&error),
            }
            Ok(())
        }
    })
    .await
}
