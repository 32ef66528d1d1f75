//! What a client sets out to do, as plain data: after a crash it sets out again.

use std::sync::Arc;

use packhouse_tests::Blob;
use packhouse_tests::image::{INDEX, MANIFEST, gzip, tar};
use serde_json::json;

use crate::dice::Dice;
use crate::ledger::{Ledger, State};

/// A blob that was acknowledged in some package and is never deleted: others may mount it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) package: String,
    pub(crate) digest: String,
}

/// How a blob is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One POST with all of it (end-4b).
    Post,
    /// POST, then PUT with all of it.
    PostPut,
    /// POST, one PATCH without a length, an empty PUT.
    Streamed,
    /// POST, several PATCH with ranges, some out of order, PUT with the last part.
    Chunked,
}

/// How a manifest is named.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Digest,
    Tag(String),
    /// By digest with `?tag=` for each (end-7b).
    Tags(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) enum Errand {
    Blob {
        blob: Arc<Blob>,
        way: Way,
    },
    Image {
        config: Arc<Blob>,
        layers: Vec<(Arc<Blob>, Way)>,
        manifest: Blob,
        place: Place,
    },
    Index {
        manifest: Blob,
        names: Vec<String>,
        tag: String,
    },
    Referrer {
        content: Arc<Blob>,
        config: Arc<Blob>,
        manifest: Blob,
        subject: String,
    },
    /// Gives a manifest that is known (deleted, perhaps) a tag, or only its place back.
    Again {
        digest: String,
        place: Place,
    },
    Mount {
        offer: Offer,
        from: bool,
    },
    DeleteTag(String),
    DeleteManifest(String),
    DeleteBlob(String),
    /// Begins an upload and leaves it for another day.
    Park(Arc<Blob>),
    /// Goes on with one that was left.
    Unpark,
    /// Gives one up that was left.
    Cancel,
}

/// Few tags, so that they are moved often.
const TAGS: usize = 12;
/// Uploads that a writer leaves lying at once.
pub(crate) const PARKED_MAX: usize = 4;
/// Offers among which a writer looks for something to mount.
const RECENT: usize = 60;

impl Errand {
    /// What to do next. `offers`: what others have to mount; `common`: dice that fall alike for all writers of a
    /// round, so that several of them push the same layer at once.
    pub(crate) fn draw(
        dice: &mut Dice,
        common: &Dice,
        ledger: &Ledger,
        offers: &[Offer],
        parked: usize,
    ) -> Self {
        let wish = dice.between(0, 100);
        let drawn = match wish {
            0..14 => Some(Self::Blob { blob: Arc::new(noise(dice)), way: way(dice) }),
            14..46 => None,
            46..54 => Self::again(dice, ledger),
            54..60 => Self::index(dice, ledger),
            60..68 => Self::referrer(dice, ledger),
            68..78 => Self::mount(dice, ledger, offers),
            78..83 => dice.pick(ledger.tags.keys().cloned()).map(Self::DeleteTag),
            83..87 => Self::delete_manifest(dice, ledger),
            87..91 => Self::delete_blob(dice, ledger),
            91..95 if parked < PARKED_MAX => Some(Self::Park(Arc::new(noise(dice)))),
            91..98 if parked > 0 => Some(Self::Unpark),
            98..100 if parked > 1 => Some(Self::Cancel),
            _ => None,
        };
        drawn.unwrap_or_else(|| Self::image(dice, common))
    }

    fn image(dice: &mut Dice, common: &Dice) -> Self {
        let mut layers = Vec::new();
        for _ in 0..dice.between(1, 3) {
            let layer = if dice.percent(25) {
                let mut common = common.apart(dice.between(0, 6) as u64);
                layer(&mut common)
            } else {
                layer(dice)
            };
            layers.push((Arc::new(layer), way(dice)));
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"number": dice.roll().to_string()}},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = Blob::json("application/vnd.oci.image.config.v1+json", &config);
        let parts: Vec<_> = layers.iter().map(|(layer, _)| layer.descriptor()).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": parts,
        });
        let manifest = Blob::json(MANIFEST, &manifest);
        Self::Image { config: Arc::new(config), layers, manifest, place: place(dice) }
    }

    fn index(dice: &mut Dice, ledger: &Ledger) -> Option<Self> {
        let names: Vec<String> = (0..2).filter_map(|_| some_manifest(dice, ledger)).collect();
        let entries: Vec<_> = names.iter().map(|name| ledger.manifests[name].blob.descriptor()).collect();
        let number = dice.roll().to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": {"number": number},
        });
        (names.len() == 2).then(|| Self::Index {
            manifest: Blob::json(INDEX, &manifest),
            names,
            tag: tag(dice),
        })
    }

    fn referrer(dice: &mut Dice, ledger: &Ledger) -> Option<Self> {
        let subject = some_manifest(dice, ledger)?;
        let config = Blob::new("application/vnd.oci.empty.v1+json", "{}");
        let size = dice.between(2, 900);
        let content = Blob::new("text/plain", dice.bytes(size));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": config.descriptor(),
            "layers": [content.descriptor()],
            "subject": ledger.manifests[&subject].blob.descriptor(),
        });
        let manifest = Blob::json(MANIFEST, &manifest);
        Some(Self::Referrer { content: Arc::new(content), config: Arc::new(config), manifest, subject })
    }

    fn again(dice: &mut Dice, ledger: &Ledger) -> Option<Self> {
        let (digest, document) = dice.pick(&ledger.manifests)?;
        let digest = digest.clone();
        pushable(&document.blob.bytes, ledger).then(|| Self::Again { digest, place: place(dice) })
    }

    fn mount(dice: &mut Dice, ledger: &Ledger, offers: &[Offer]) -> Option<Self> {
        let elsewhere = |offer: &&Offer| {
            let here = ledger.blobs.get(&offer.digest).is_some_and(|stored| stored.state == State::There);
            offer.package != ledger.package && !here
        };
        let offer = dice.pick(offers.iter().rev().filter(elsewhere).take(RECENT))?.clone();
        Some(Self::Mount { offer, from: dice.percent(75) })
    }

    fn delete_manifest(dice: &mut Dice, ledger: &Ledger) -> Option<Self> {
        let idle = ledger
            .manifests
            .iter()
            .filter(|(_, document)| document.state == State::There && !document.lasting);
        dice.pick(idle).map(|(digest, _)| Self::DeleteManifest(digest.clone()))
    }

    fn delete_blob(dice: &mut Dice, ledger: &Ledger) -> Option<Self> {
        let idle = ledger.blobs.iter().filter(|(_, stored)| stored.state == State::There && !stored.lasting);
        dice.pick(idle).map(|(digest, _)| Self::DeleteBlob(digest.clone()))
    }
}

/// Whether the config and the layers of a manifest are in the package: what never came cannot be named.
fn pushable(manifest: &[u8], ledger: &Ledger) -> bool {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).expect("our own manifest");
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let mut parts =
        manifest.get("config").into_iter().chain(layers).filter_map(|part| part["digest"].as_str());
    parts.all(|digest| ledger.blobs.get(digest).is_some_and(|stored| stored.state == State::There))
}

fn some_manifest(dice: &mut Dice, ledger: &Ledger) -> Option<String> {
    let there = ledger.manifests.iter().filter(|(_, document)| document.state == State::There);
    dice.pick(there).map(|(digest, _)| digest.clone())
}

fn tag(dice: &mut Dice) -> String {
    format!("v{}", dice.between(0, TAGS))
}

fn place(dice: &mut Dice) -> Place {
    match dice.between(0, 10) {
        0..5 => Place::Tag(tag(dice)),
        5..8 => Place::Digest,
        _ => {
            let mut tags: Vec<String> = (0..3).map(|_| tag(dice)).collect();
            tags.sort();
            tags.dedup();
            Place::Tags(tags)
        }
    }
}

fn way(dice: &mut Dice) -> Way {
    dice.pick([Way::Post, Way::PostPut, Way::Streamed, Way::Chunked]).expect("there are ways")
}

fn size(dice: &mut Dice) -> usize {
    match dice.between(0, 100) {
        0..3 => dice.between(1_000_000, 2_500_000),
        3..20 => dice.between(10_000, 120_000),
        _ => dice.between(2, 8_000),
    }
}

fn noise(dice: &mut Dice) -> Blob {
    // An empty blob as well now and then: some build tools make them.
    let size = if dice.percent(2) { 0 } else { size(dice) };
    Blob::new("application/octet-stream", dice.bytes(size))
}

fn layer(dice: &mut Dice) -> Blob {
    let size = size(dice);
    let archive = tar(&[("noise", 0o644, &dice.bytes(size))]);
    Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&archive))
}
