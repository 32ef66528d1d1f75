//! Paths under `/v2/` (distribution-spec, "Endpoints").
//!
//! Package names hold slashes, so no router's pattern fits; and a component of a name may be `blobs`, `manifests`,
//! `tags` or `uploads`, so a path is read from its right end: `/v2/a/blobs/uploads/manifests/x` is the manifest
//! `x` of `a/blobs/uploads`.
//!
//! What is found is not checked: names, digests and ids are text for their own parsers, which have the better
//! errors. It is percent-decoded, once, but for encoded slashes: those stay as written, and as no grammar here
//! has a percent sign, they are refused by whichever parser comes next. The words between the parts are matched
//! as written, never decoded, so that this program and a proxy before it see the same endpoint.

use std::borrow::Cow;

/// An endpoint and its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum V2Path<'a> {
    /// `/v2/`: is this a registry, and may I?
    Base,
    /// `/v2/_catalog`; not in the specification, but widely asked for.
    Catalog,
    /// `/v2/<name>/tags/list`.
    TagsList {
        /// The package.
        name: Cow<'a, str>,
    },
    /// `/v2/<name>/manifests/<reference>`.
    Manifest {
        /// The package.
        name: Cow<'a, str>,
        /// A tag or a digest.
        reference: Cow<'a, str>,
    },
    /// `/v2/<name>/blobs/<digest>`.
    Blob {
        /// The package.
        name: Cow<'a, str>,
        /// The blob.
        digest: Cow<'a, str>,
    },
    /// `/v2/<name>/blobs/uploads/`, with the last slash or without.
    Uploads {
        /// The package.
        name: Cow<'a, str>,
    },
    /// `/v2/<name>/blobs/uploads/<id>`: a place that this registry named in a `Location`.
    Upload {
        /// The package.
        name: Cow<'a, str>,
        /// The upload session.
        id: Cow<'a, str>,
    },
    /// `/v2/<name>/referrers/<digest>`.
    Referrers {
        /// The package.
        name: Cow<'a, str>,
        /// The subject.
        digest: Cow<'a, str>,
    },
}

impl<'a> V2Path<'a> {
    /// Reads the path of a request target, without its query. `None` is no endpoint.
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = match path.strip_prefix("/v2")? {
            "" | "/" => return Some(Self::Base),
            "/_catalog" => return Some(Self::Catalog),
            rest => rest.strip_prefix('/')?,
        };
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return named(name).map(|name| Self::TagsList { name });
        }
        let uploads = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(name) = uploads.strip_suffix("/blobs/uploads") {
            return named(name).map(|name| Self::Uploads { name });
        }
        let (before, last) = rest.rsplit_once('/')?;
        let (name, word) = before.rsplit_once('/')?;
        let last = Some(last).filter(|last| !last.is_empty()).map(decoded)?;
        match word {
            "manifests" => named(name).map(|name| Self::Manifest { name, reference: last }),
            "blobs" => named(name).map(|name| Self::Blob { name, digest: last }),
            "referrers" => named(name).map(|name| Self::Referrers { name, digest: last }),
            "uploads" => {
                let name = name.strip_suffix("/blobs")?;
                named(name).map(|name| Self::Upload { name, id: last })
            }
            _ => None,
        }
    }

    /// The package that the path is about, if it is about one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::TagsList { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Referrers { name, .. } => Some(name),
        }
    }
}

fn named(name: &str) -> Option<Cow<'_, str>> {
    (!name.is_empty()).then(|| decoded(name))
}

/// Decodes what can be: a broken escape, an encoded slash, or a whole that is not UTF-8 stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match escape(rest) {
            Some(byte) if byte != b'/' => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The byte that an escape at the very start stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(high)? << 4 | value(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Digest, PackageName, Reference};

    fn text(text: &str) -> Cow<'_, str> {
        Cow::Borrowed(text)
    }

    fn manifest<'a>(name: &'a str, reference: &'a str) -> Option<V2Path<'a>> {
        Some(V2Path::Manifest { name: text(name), reference: text(reference) })
    }

    #[test]
    fn every_endpoint_of_the_specification_is_read() {
        let name = text("mona/cat");
        for (path, endpoint) in [
            ("/v2", V2Path::Base),
            ("/v2/", V2Path::Base),
            ("/v2/_catalog", V2Path::Catalog),
            ("/v2/mona/cat/tags/list", V2Path::TagsList { name: name.clone() }),
            ("/v2/mona/cat/manifests/v1", V2Path::Manifest { name: name.clone(), reference: text("v1") }),
            ("/v2/mona/cat/blobs/sha256:00", V2Path::Blob { name: name.clone(), digest: text("sha256:00") }),
            ("/v2/mona/cat/blobs/uploads/", V2Path::Uploads { name: name.clone() }),
            ("/v2/mona/cat/blobs/uploads", V2Path::Uploads { name: name.clone() }),
            ("/v2/mona/cat/blobs/uploads/17", V2Path::Upload { name: name.clone(), id: text("17") }),
            (
                "/v2/mona/cat/referrers/sha256:00",
                V2Path::Referrers { name: name.clone(), digest: text("sha256:00") },
            ),
        ] {
            assert_eq!(V2Path::parse(path), Some(endpoint), "{path}");
        }
    }

    #[test]
    fn the_right_most_reading_wins() {
        assert_eq!(V2Path::parse("/v2/a/blobs/uploads/manifests/x"), manifest("a/blobs/uploads", "x"));
        assert_eq!(V2Path::parse("/v2/a/manifests/manifests/x"), manifest("a/manifests", "x"));
        assert_eq!(V2Path::parse("/v2/a/tags/list/manifests/tags"), manifest("a/tags/list", "tags"));
        let name = |name| Some(V2Path::parse(name)?.name()?.to_owned());
        assert_eq!(name("/v2/a/manifests/tags/list").as_deref(), Some("a/manifests"));
        assert_eq!(name("/v2/a/blobs/uploads/tags/list").as_deref(), Some("a/blobs/uploads"));
        assert_eq!(name("/v2/a/blobs/blobs/uploads/").as_deref(), Some("a/blobs"));
        assert_eq!(name("/v2/a/blobs/uploads/blobs/uploads/x").as_deref(), Some("a/blobs/uploads"));
        assert_eq!(name("/v2/a/uploads/blobs/x").as_deref(), Some("a/uploads"));
        assert_eq!(name("/v2/a/blobs/uploads/referrers/x").as_deref(), Some("a/blobs/uploads"));
    }

    #[test]
    fn other_paths_are_no_endpoint() {
        for path in [
            "",
            "/",
            "v2",
            "/v1/",
            "/v2x",
            "/v22/",
            "/v2//",
            "/v2/a",
            "/v2/a/b",
            "/v2/_catalog/",
            "/v2/tags/list",
            "/v2//tags/list",
            "/v2/manifests/x",
            "/v2//manifests/x",
            "/v2/a/manifests/",
            "/v2/a/manifests",
            "/v2/blobs/uploads/",
            "/v2/blobs/uploads/x",
            "/v2/a/uploads/x",
            "/v2/a/b/tags/list/",
            "/v2/a/b/%6danifests/x",
            "/V2/a/b/manifests/x",
            "/v2/a/b/manifests/x/",
            "/token",
        ] {
            assert_eq!(V2Path::parse(path), None, "{path}");
        }
    }

    #[test]
    fn parts_are_decoded_once_and_a_hidden_slash_stays_hidden() {
        assert_eq!(V2Path::parse("/v2/a/b/manifests/sha256%3A00"), manifest("a/b", "sha256:00"));
        assert_eq!(V2Path::parse("/v2/a/b/manifests/sha256%3a00"), manifest("a/b", "sha256:00"));
        assert_eq!(V2Path::parse("/v2/%61/b/manifests/x"), manifest("a/b", "x"));
        for (path, name, reference) in [
            ("/v2/a%2Fb/manifests/x", "a%2Fb", "x"),
            ("/v2/a%2fb/manifests/x", "a%2fb", "x"),
            ("/v2/a/%2561/manifests/x", "a/%61", "x"),
            ("/v2/a/b/manifests/%2525", "a/b", "%25"),
            ("/v2/a/b/manifests/%", "a/b", "%"),
            ("/v2/a/b/manifests/%g0%4", "a/b", "%g0%4"),
            ("/v2/a/b/manifests/%ff", "a/b", "%ff"),
            ("/v2/a/b/manifests/%2e%2e%2fx", "a/b", "..%2fx"),
        ] {
            assert_eq!(V2Path::parse(path), manifest(name, reference), "{path}");
            assert!(name.parse::<PackageName>().is_err() || reference.parse::<Reference>().is_err());
        }
    }

    proptest! {
        #[test]
        fn any_name_that_is_valid_comes_back_from_every_endpoint(
            name in "(blobs|manifests|tags|uploads|list|referrers|v2|[a-z]{1,5})(/(blobs|manifests|tags|uploads|list|referrers|[a-z0-9]{1,5})){1,4}",
            last in "[a-z0-9]{1,8}",
        ) {
            let package: PackageName = name.parse().unwrap();
            for path in [
                format!("/v2/{package}/tags/list"),
                format!("/v2/{package}/manifests/{last}"),
                format!("/v2/{package}/blobs/sha256:{last}"),
                format!("/v2/{package}/blobs/uploads/"),
                format!("/v2/{package}/blobs/uploads"),
                format!("/v2/{package}/blobs/uploads/{last}"),
                format!("/v2/{package}/referrers/{last}"),
            ] {
                let endpoint = V2Path::parse(&path).unwrap();
                prop_assert_eq!(endpoint.name(), Some(name.as_str()), "{}", path);
            }
        }

        #[test]
        fn any_path_is_read_without_panic(
            path in "/v2(/(blobs|uploads|manifests|tags|list|referrers|[a-z%0-9]{0,4})){0,7}/?|.*"
        ) {
            if let Some(endpoint) = V2Path::parse(&path) {
                prop_assert!(endpoint.name().is_none_or(|name| !name.is_empty()));
            }
        }

        // Whatever the escapes, what the next parser accepts holds no slash that the path did not show.
        #[test]
        fn no_escape_adds_a_slash(path in "/v2/a/([a-z]|%[0-9a-f]{2}|%){1,9}/(manifests|blobs)/(sha256:|%3a|%2f|[a-z.]){1,6}") {
            if let Some(V2Path::Manifest { name, reference } | V2Path::Blob { name, digest: reference }) =
                V2Path::parse(&path)
            {
                prop_assert_eq!(name.matches('/').count() + 4, path.matches('/').count());
                prop_assert!(!reference.contains('/'));
                let _ = reference.parse::<Digest>();
            }
        }
    }
}
