//! Another registry, by the distribution protocol.
//!
//! Requests are authorized as clients do it: the first one shows nothing, the registry's challenge says what it wants.
//! A password is shown to the registry itself and to the token service that it names, never over plain HTTP to another
//! machine unless the operator says so, and never to what a redirect leads to.
//!
//! Lists follow the `Link` of each page, wherever on the same server that leads. Referrers come from the referrers API;
//! a registry without it has them behind a tag (`sha256-…`), and cosign's older ones behind three more.
//!
//! Left out: registries' own APIs, mirrors, `Retry-After`.

mod address;
mod session;
#[cfg(test)]
mod tests;

pub use address::RegistryAddress;
pub use session::Credential;
pub(crate) use session::chain;

use crate::{Image, MANIFEST_BYTES_MAX, ManifestBytes, Page, SourceBlob, SourceBody, SourceError};
use packhouse_oci::{Algorithm, Digest, Manifest, MediaType, Reference, Tag, fallback_tag};
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK, RANGE};
use serde::Deserialize;
use session::Session;
use std::sync::Arc;

/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, */*;q=0.1";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Bytes of a page of a list.
const LIST_BYTES_MAX: u64 = 8 << 20;
/// Characters of a name that is kept; one that is longer is none.
const NAME_CHARS_MAX: usize = 300;
/// Bytes of the path of a page.
const PAGE_BYTES_MAX: usize = 4096;
/// Pages of referrers of one manifest.
const REFERRER_PAGES_MAX: usize = 20;
/// What cosign appends to the tag that it makes of a digest.
const COSIGN: [&str; 3] = ["sig", "att", "sbom"];

/// A registry, or one repository or image in it.
#[derive(Clone, Debug)]
pub struct Registry {
    session: Arc<Session>,
    address: Arc<RegistryAddress>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// A registry that is asked when something is wanted.
    ///
    /// # Errors
    /// The system gives no TLS.
    pub fn new(address: RegistryAddress, credential: Option<Credential>) -> Result<Self, SourceError> {
        let session = Session::new(address.base.clone(), credential)?;
        Ok(Self { session: Arc::new(session), address: Arc::new(address) })
    }

    pub(crate) fn is_one_repository(&self) -> bool {
        self.address.repository.is_some()
    }

    pub(crate) fn is_one_image(&self) -> bool {
        self.address.reference.is_some()
    }

    pub(crate) async fn repositories(&self, page: Option<&str>) -> Result<Page<String>, SourceError> {
        if let Some(name) = &self.address.repository {
            return Ok(Page { items: vec![name.clone()], next: None });
        }
        let path = page.unwrap_or("/v2/_catalog?n=500");
        let what = "listing the repositories";
        let Some(answer) = self.session.get(path, what, "registry:catalog:*", &[]).await? else {
            let why = "this registry has no list of repositories; name them one by one".to_owned();
            return Err(SourceError::Answer { what: what.to_owned(), why });
        };
        let next = next_page(&answer, what)?;
        let list: Catalog = session::json(answer, what, LIST_BYTES_MAX).await?;
        let names = list.repositories.unwrap_or_default().into_iter();
        Ok(Page { items: names.map(|name| name.chars().take(NAME_CHARS_MAX).collect()).collect(), next })
    }

    pub(crate) async fn images(
        &self,
        repository: &str,
        page: Option<&str>,
    ) -> Result<Page<Image>, SourceError> {
        if let Some(reference) = &self.address.reference {
            let tag = match reference {
                Reference::Tag(tag) => Some(tag.clone()),
                Reference::Digest(_) => None,
            };
            let image = Image { key: reference.to_string(), manifest: Ok(reference.clone()), tag };
            return Ok(Page { items: vec![image], next: None });
        }
        let first = format!("/v2/{repository}/tags/list?n=500");
        let what = format!("listing the tags of `{repository}`");
        let answer = self.session.get(page.unwrap_or(&first), &what, &scope(repository), &[]).await?;
        let Some(answer) = answer else {
            if self.address.repository.is_some() {
                return Err(SourceError::Answer { what, why: "there is no such repository".to_owned() });
            }
            // Listed, and empty.
            return Ok(Page { items: Vec::new(), next: None });
        };
        let next = next_page(&answer, &what)?;
        let list: Tags = session::json(answer, &what, LIST_BYTES_MAX).await?;
        let image = |name: String| {
            let tag = name.parse::<Tag>().ok();
            let manifest = tag.clone().map(Reference::Tag);
            let key: String = name.chars().take(NAME_CHARS_MAX).collect();
            let manifest = manifest.ok_or_else(|| SourceError::Name(key.clone()));
            Image { key, manifest, tag }
        };
        Ok(Page { items: list.tags.unwrap_or_default().into_iter().map(image).collect(), next })
    }

    pub(crate) async fn manifest(
        &self,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<ManifestBytes>, SourceError> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let what = format!("fetching manifest `{reference}` of `{repository}`");
        let headers = [(ACCEPT, MANIFESTS.to_owned())];
        let Some(answer) = self.session.get(&path, &what, &scope(repository), &headers).await? else {
            return Ok(None);
        };
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()?.trim().parse::<MediaType>().ok());
        // Some registries send what they were given as this; the manifest itself says what it is then.
        let known = |given: &MediaType| given.is_index() || given.is_image_manifest() || given.is_schema1();
        let media_type = media_type.filter(known);
        let bytes = session::bytes(answer, &what, MANIFEST_BYTES_MAX).await?;
        let algorithm = match reference {
            Reference::Digest(digest) => digest.algorithm(),
            Reference::Tag(_) => Algorithm::Sha256,
        };
        let found = Digest::of(algorithm, &bytes);
        match reference {
            Reference::Digest(expected) if *expected != found => {
                Err(SourceError::Damaged { expected: *expected, found })
            }
            Reference::Digest(_) | Reference::Tag(_) => {
                Ok(Some(ManifestBytes { digest: found, media_type, bytes }))
            }
        }
    }

    pub(crate) async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        from: u64,
    ) -> Result<Option<SourceBlob>, SourceError> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let what = format!("fetching blob `{digest}` of `{repository}`");
        let range = [(RANGE, format!("bytes={from}-"))];
        let headers = if from > 0 { range.as_slice() } else { &[] };
        let Some(answer) = self.session.get(&path, &what, &scope(repository), headers).await? else {
            return Ok(None);
        };
        // A server that does not know ranges begins anew.
        let skip = if answer.status().as_u16() == 206 { 0 } else { from };
        let size = answer
            .content_length()
            .map(|length| if skip == 0 { length.saturating_add(from) } else { length });
        Ok(Some(SourceBlob { size, body: SourceBody::of_answer(answer, what, skip) }))
    }

    pub(crate) async fn referrers(
        &self,
        repository: &str,
        subject: &Digest,
    ) -> Result<Vec<Reference>, SourceError> {
        let mut found = Vec::new();
        let mut page = Some(format!("/v2/{repository}/referrers/{subject}"));
        let what = format!("listing the referrers of `{subject}`");
        let mut known = false;
        for _ in 0..REFERRER_PAGES_MAX {
            let Some(path) = page.take() else { break };
            let headers = [(ACCEPT, INDEX.to_owned())];
            let asked = self.session.get(&path, &what, &scope(repository), &headers).await;
            let answer = match asked {
                Ok(Some(answer)) => answer,
                // No such list here: distribution's own registry says 404, others 400 or 405.
                Ok(None) | Err(SourceError::Refused { status: 400 | 405 | 501, .. }) => break,
                Err(error) => return Err(error),
            };
            known = true;
            page = next_page(&answer, &what)?;
            let bytes = session::bytes(answer, &what, MANIFEST_BYTES_MAX).await?;
            let Ok(list) = Manifest::parse(Some(&MediaType::OCI_INDEX), &bytes) else { break };
            found.extend(list.manifests.iter().map(|entry| Reference::Digest(entry.digest)));
        }
        let fallback = fallback_tag(subject);
        if !known && let Some(manifest) = self.manifest(repository, &Reference::Tag(fallback.clone())).await?
        {
            let list = Manifest::parse(manifest.media_type.as_ref(), &manifest.bytes);
            let list = list.map(|list| list.manifests).unwrap_or_default();
            found.extend(list.iter().map(|entry| Reference::Digest(entry.digest)));
        }
        // All tags come along anyway, unless one image was named.
        if self.address.reference.is_some() {
            let tags = COSIGN.iter().filter_map(|suffix| format!("{fallback}.{suffix}").parse().ok());
            found.extend(tags.map(Reference::Tag));
        }
        Ok(found)
    }
}

fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// The path of the next page (RFC 8288), which must be on the same server: what is before the path is not looked at.
fn next_page(answer: &Response, what: &str) -> Result<Option<String>, SourceError> {
    let links = answer.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|line| line.split(",<")).find(|link| {
        link.split(';').skip(1).any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
    });
    let Some(link) = next else { return Ok(None) };
    let target = link.trim_start().trim_start_matches('<').split_once('>');
    let url = target.and_then(|(target, _)| answer.url().join(target).ok());
    let path = url.map(|url| match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    });
    // A list whose rest cannot be read must not look like a whole one.
    let path = path.filter(|path| path.len() <= PAGE_BYTES_MAX);
    path.map(Some).ok_or_else(|| {
        let (what, why) = (what.to_owned(), "the link to the next page cannot be followed".to_owned());
        SourceError::Answer { what, why }
    })
}
