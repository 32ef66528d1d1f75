//! Images that are pulled, and perhaps pushed beside: zb's mixed work.

use std::time::Instant;

use super::pushes::push_one;
use super::stage::{PACKAGE, Stage, tag_of};
use super::{Desk, Run, package};
use crate::data::{Image, Random};
use crate::wire::crowd::{End, crowd};
use crate::wire::{Client, Trouble};

/// Pulls of images with one layer: its manifest by tag, its config, its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pull {
    /// Sizes of layers, each with how many in a hundred have it.
    pub(crate) sizes: &'static [(u64, usize)],
    pub(crate) connections: usize,
    /// How many in a hundred are pushes of another image of the size instead.
    pub(crate) pushes_percent: u64,
}

impl Pull {
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.sizes.iter().map(|(_, size)| *size).collect()
    }

    pub(crate) async fn run(&self, desk: &Desk<'_>, stage: &mut Stage, target: &str) -> anyhow::Result<Run> {
        let cuts: Vec<_> = self.sizes().into_iter().map(|size| stage.cut(desk, size)).collect();
        let number = stage.number();
        let service = stage.service(target)?;
        let (from, to) = (package(PACKAGE), package(&format!("mixed-{number}")));
        let packages: &[&str] = if self.pushes_percent == 0 { &[&from] } else { &[&from, &to] };
        let authorization = service.client(packages).await?.authorization().map(str::to_owned);
        let images: Vec<Image> =
            self.sizes().iter().filter_map(|size| stage.sized.get(size)).cloned().collect();
        let pull = *self;
        crowd(self.connections, desk.length, End::Finish, service.meter(), |worker, mut gate| {
            let mut client = Client::with(&service.door, authorization.clone());
            let (from, to, images, cuts) = (from.clone(), to.clone(), images.clone(), cuts.clone());
            async move {
                let mut random = Random::new()?;
                client.connect().await?;
                let end = gate.open().await?;
                let mut count = 0;
                while Instant::now() < end {
                    let place = chosen(pull.sizes, random.below(100));
                    let (Some((_, size)), Some(image)) = (pull.sizes.get(place), images.get(place)) else {
                        break;
                    };
                    if random.below(100) < pull.pushes_percent {
                        count += 1;
                        let image = Image::new(vec![cuts[place].blob()], None);
                        push_one(&mut client, &gate, &to, &format!("w{worker}-{count}"), &image).await;
                        continue;
                    }
                    let start = Instant::now();
                    let mut bytes = 0;
                    match pull_one(&mut client, &from, &tag_of(*size), image, &mut bytes).await {
                        Ok(()) => gate.done(start),
                        Err(Trouble::Refused(what)) => gate.refused(|| what),
                        Err(Trouble::Broken(error)) => gate.broken(&error),
                    }
                    gate.tally(|tally| tally.bytes += bytes);
                }
                Ok(())
            }
        })
        .await
    }
}

async fn pull_one(
    client: &mut Client,
    package: &str,
    tag: &str,
    image: &Image,
    bytes: &mut u64,
) -> Result<(), Trouble> {
    client.fetch(&format!("/v2/{package}/manifests/{tag}"), |_| {}).await?;
    for blob in &image.blobs {
        let path = format!("/v2/{package}/blobs/{}", blob.digest);
        client.fetch(&path, |piece| *bytes += piece.len() as u64).await?;
    }
    Ok(())
}

/// The place in a list of shares that a number below 100 falls on.
pub(crate) fn chosen(shares: &[(u64, usize)], number: u64) -> usize {
    let mut sum = 0;
    shares
        .iter()
        .position(|(share, _)| {
            sum += share;
            number < sum
        })
        .unwrap_or(shares.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn shares_are_kept() {
        let shares = [(20, 1), (70, 10), (10, 100)];
        assert_eq!([0, 19, 20, 89, 90, 99].map(|number| chosen(&shares, number)), [0, 0, 1, 1, 2, 2]);
    }
}
