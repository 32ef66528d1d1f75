//! What names a registry: `https://host:port`, `host/name`, `host/name:tag`, `host/name@digest`.

use crate::SourceError;
use packhouse_oci::Reference;
use reqwest::Url;

/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 1024;

/// Where a registry is, and what in it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAddress {
    pub(super) base: Url,
    pub(super) repository: Option<String>,
    pub(super) reference: Option<Reference>,
}

impl RegistryAddress {
    /// Reads an address. Without a scheme it is HTTPS, on this machine itself HTTP. `plain`: HTTP is allowed elsewhere.
    ///
    /// # Errors
    /// It names none, or one that would be asked without TLS.
    pub fn parse(text: &str, plain: bool) -> Result<Self, SourceError> {
        let shown: String = text.chars().take(200).collect();
        let bad = |why: &str| SourceError::Address { address: shown.clone(), why: why.to_owned() };
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        if rest.contains(['?', '#', '\\', '%']) || rest.chars().any(|char| char.is_control() || char == ' ') {
            return Err(bad("write `host`, `host/name`, `host/name:tag` or `https://host`"));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            let why = "a user does not belong there; give it with --user".to_owned();
            return Err(SourceError::Address { address: "…@…".to_owned(), why });
        }
        let (mut host, mut path) = (host.to_owned(), path.trim_matches('/').to_owned());
        if matches!(host.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io") {
            host = "registry-1.docker.io".to_owned();
            if !path.is_empty() && !path.contains('/') {
                path = format!("library/{path}");
            }
        }
        let parse =
            |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).map_err(|_| bad("it has no host"));
        let here = is_loopback(&parse("http")?);
        let base = match scheme {
            None if here || plain => parse("http")?,
            None | Some("https") => parse("https")?,
            Some("http") if here || plain => parse("http")?,
            Some("http") => return Err(bad("it would be asked without TLS; --plain-http allows that")),
            Some(_) => return Err(bad("only https and http are known")),
        };
        let (repository, reference) =
            if path.is_empty() { (None, None) } else { split(&path).map_err(|why| bad(&why))? };
        Ok(Self { base, repository, reference })
    }

    /// The name of the repository, when one is meant.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.repository.as_deref()
    }
}

type Named = (Option<String>, Option<Reference>);

fn split(path: &str) -> Result<Named, String> {
    let (name, reference) = match (path.split_once('@'), path.rsplit_once(':')) {
        (Some((name, digest)), _) => {
            // `name:tag@digest`: the digest is what is meant.
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            (name, Some(Reference::Digest(digest.parse().map_err(|error| format!("{error}"))?)))
        }
        (None, Some((name, tag))) => {
            (name, Some(Reference::Tag(tag.parse().map_err(|error| format!("its tag: {error}"))?)))
        }
        (None, None) => (path, None),
    };
    let fine = |part: &str| {
        let first =
            part.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        first && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    };
    if name.len() > 255 || !name.split('/').all(fine) {
        return Err(
            "the name of its repository has lower case letters, digits, `.`, `_`, `-` and `/`".to_owned()
        );
    }
    Ok((Some(name.to_owned()), reference))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
