//! Requests that read: manifests, blobs, ranges, lists, tokens.

use super::stage::{LISTED, PACKAGE, PUBLIC, Stage};
use super::{Desk, Run, package, pulling};
use crate::wire::Client;
use crate::wire::gets::{Request, Varies, gets};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// `GET /v2/`.
    Base,
    ManifestByTag,
    ManifestByDigest,
    /// A blob of so many bytes.
    Blob(usize),
    /// So many bytes somewhere in a blob.
    Range {
        blob: usize,
        bytes: usize,
    },
    /// A page of 100 tags, beginning anywhere.
    Tags,
    /// A page of 100 packages, beginning anywhere.
    Catalog,
    /// All that names one manifest as its subject, as far as one page goes.
    Referrers,
    /// A new bearer token for a user's own token.
    Token,
}

impl What {
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Tags | Self::Catalog | Self::Referrers)
    }
}

/// Who asks, of a target that wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody with a bearer token, for a package that not everybody may pull.
    Owner,
    /// Nobody, with the token that nobody gets, for a package that everybody may pull.
    Nobody,
}

/// What the generator does with bodies.
///
/// On one machine somebody has to fetch a blob from memory. A target that copies it has done so before the generator
/// reads, and one that uses sendfile leaves that to the generator, whose one thread then sets the pace: the target that
/// does less would look slower. A client on another machine costs the target's machine nothing, so blobs are dropped in
/// the kernel unless it is the whole machine that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Dropped in the kernel. Over TLS it is read, since it has to be deciphered.
    Dropped,
    /// Read into a buffer.
    Read,
}

/// A request, and on how many connections it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Get {
    pub(crate) what: What,
    pub(crate) method: &'static str,
    pub(crate) who: Who,
    pub(crate) connections: usize,
    pub(crate) tls: bool,
    pub(crate) body: Body,
}

impl Get {
    /// Blobs that have to be there.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        match self.what {
            What::Blob(size) | What::Range { blob: size, .. } => vec![size],
            _ => Vec::new(),
        }
    }

    pub(crate) async fn run(&self, desk: &Desk<'_>, stage: &Stage, target: &str) -> anyhow::Result<Run> {
        let service = stage.service(target)?;
        let name = match (self.what.is_list(), self.who) {
            (true, _) => LISTED,
            (false, Who::Owner) => PACKAGE,
            (false, Who::Nobody) => PUBLIC,
        };
        let package = package(name);
        let mut door = service.door.clone();
        if self.who == Who::Nobody {
            door.basic = None;
        }
        let scope = match self.what {
            What::Catalog => "registry:catalog:*".to_owned(),
            _ => pulling(&package),
        };
        let mut client = Client::signed_in(&door, &[&scope]).await?;
        let mut authorization = client.authorization().map(str::to_owned);
        let mut varies = Varies::Nothing;
        let blob_of = |size: usize| {
            let image = stage.sized.get(&size).and_then(|image| image.blobs.last());
            image.map(|blob| format!("/v2/{package}/blobs/{}", blob.digest)).unwrap_or_default()
        };
        let path = match self.what {
            What::Base => "/v2/".to_owned(),
            What::ManifestByTag => format!("/v2/{package}/manifests/latest"),
            What::ManifestByDigest => format!("/v2/{package}/manifests/{}", stage.small.digest),
            What::Blob(size) => blob_of(size),
            What::Range { blob, bytes } => {
                varies = Varies::Range { size: blob as u64, length: bytes as u64 };
                blob_of(blob)
            }
            What::Tags => {
                varies = Varies::Page { names: stage.entries };
                format!("/v2/{package}/tags/list?n=100&last=t")
            }
            What::Catalog => {
                varies = Varies::Page { names: stage.entries };
                format!("/v2/_catalog?n=100&last={}", super::package("p"))
            }
            What::Referrers => format!("/v2/{package}/referrers/{}", stage.subject.digest),
            What::Token => {
                let endpoint = Client::new(&door).token_endpoint(&[&scope]).await?;
                authorization = door.basic.as_ref().map(|basic| format!("Basic {basic}"));
                endpoint.ok_or_else(|| anyhow::anyhow!("{target} gives no tokens"))?
            }
        };
        // One outside of the clock: what is refused now is no figure. Large bodies were looked at when they were put.
        if !matches!(self.what, What::Blob(_) | What::Token) && varies == Varies::Nothing {
            client.fetch(&path, |_| {}).await?;
        }
        let request = Request::new(self.method, &door, &path, authorization.as_deref(), varies);
        let request = if self.body == Body::Dropped { request.discarding() } else { request };
        gets(&door, request, self.connections, desk.length, service.meter()).await
    }
}
