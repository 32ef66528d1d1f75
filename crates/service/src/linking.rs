//! What a pushed image says of its package: the repository it was built from, a description, licenses.
//!
//! Labels of the config are read, and annotations where there is no label (an index has no config). Nothing here is
//! a reason to refuse a push: what cannot be read, or names what the pusher may not administer, is passed over.

use crate::Service;
use crate::manifests::INLINE_BYTES_MAX;
use crate::repositories::{is_repository_name, plain_record};
use packhouse_access::{
    Administer, Caller, Granted, LinkRepository, Pull, Push, Standing, Visibility, decide,
    decide_mention_repository, decide_repository,
};
use packhouse_catalog::{About, CatalogError, Micros, Presented, ReadTx, WriteTx};
use packhouse_oci::{Descriptor, Manifest, MediaType, PackageName};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::future::poll_fn;

/// The keys that GitHub reads, and no others (docs.github.com, "Labelling container images").
const SOURCE: &str = "org.opencontainers.image.source";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const LICENSES: &str = "org.opencontainers.image.licenses";
/// GitHub's limits, in characters.
const DESCRIPTION_CHARS_MAX: usize = 512;
const LICENSES_CHARS_MAX: usize = 256;
const SOURCE_CHARS_MAX: usize = 512;
/// Bytes of a config that is read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Who may make a repository by mentioning it in a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateRepositories {
    /// Nobody.
    Never,
    /// One in one's own namespace, or in that of an organization that one owns.
    #[default]
    Own,
    /// Members too, in organizations that let them make repositories.
    Members,
}

/// What an image says of its package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    source: Option<Source>,
    about: About,
}

/// A repository that a label names, on a forge that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// The label, whole.
    url: String,
    /// In lower case.
    owner: String,
    /// As it was written.
    name: String,
}

impl Said {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Said::default()
    }

    /// `of` tells what a key says; `hosts` are those whose repositories count.
    fn new<'s>(of: impl Fn(&str) -> Option<&'s str>, hosts: &[&str]) -> Said {
        let text = |key, chars_max| {
            let text: String = of(key)?.trim().chars().filter(|c| !c.is_control()).take(chars_max).collect();
            (!text.is_empty()).then_some(text)
        };
        let about = About {
            description: text(DESCRIPTION, DESCRIPTION_CHARS_MAX),
            licenses: text(LICENSES, LICENSES_CHARS_MAX),
        };
        Said { source: of(SOURCE).and_then(|url| source(url, hosts)), about }
    }
}

/// `https://HOST/OWNER/REPOSITORY`, with `.git` or a slash behind it or without.
fn source(url: &str, hosts: &[&str]) -> Option<Source> {
    let url = url.trim();
    if url.chars().count() > SOURCE_CHARS_MAX {
        return None;
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    if !hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return None;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, name) = path.split_once('/')?;
    is_repository_name(name).then(|| Source {
        url: url.to_owned(),
        owner: owner.to_lowercase(),
        name: name.to_owned(),
    })
}

/// As much of a config as is read.
#[derive(Deserialize)]
struct Config {
    config: Option<Run>,
}

#[derive(Deserialize)]
struct Run {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

fn labels(config: &[u8]) -> BTreeMap<String, String> {
    let config: Option<Config> = serde_json::from_slice(config).ok();
    config.and_then(|config| config.config?.labels).unwrap_or_default()
}

fn is_image_config(media_type: &MediaType) -> bool {
    matches!(
        media_type.as_str(),
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
    )
}

impl Service {
    /// What a manifest that is being pushed says of its package. A signature, or whatever else is about another
    /// image, says nothing.
    pub(crate) async fn said(
        &self,
        presented: &Presented,
        name: &PackageName,
        manifest: &Manifest,
        tagged: bool,
        own_host: Option<&str>,
    ) -> Said {
        if manifest.subject.is_some() || manifest.artifact_type.is_some() {
            return Said::default();
        }
        let config = match manifest.config.as_ref().filter(|config| is_image_config(&config.media_type)) {
            Some(config) => self.config_bytes(presented, name, config, tagged).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let labels = match config.is_empty() {
            true => BTreeMap::new(),
            false if config.len() <= INLINE_BYTES_MAX => labels(&config),
            false => tokio::task::spawn_blocking(move || labels(&config)).await.unwrap_or_default(),
        };
        let hosts: Vec<&str> =
            self.settings.known_forges.iter().map(String::as_str).chain(own_host).collect();
        let of = |key: &str| labels.get(key).or_else(|| manifest.annotations.get(key)).map(String::as_str);
        Said::new(of, &hosts)
    }

    /// The config, when it is to be read: of a push by tag, or of a package's first.
    async fn config_bytes(
        &self,
        presented: &Presented,
        name: &PackageName,
        config: &Descriptor,
        tagged: bool,
    ) -> Option<Vec<u8>> {
        let (presented, name, digest) = (presented.clone(), name.clone(), config.digest);
        let now = self.clock.now();
        let found = self
            .catalog
            .read(move |tx| {
                let Some(caller) = tx.caller(&presented, now)? else { return Ok(None) };
                // A bearer token for pushing alone says nothing of its holder's right to read.
                let facts = tx.facts(&caller.unbound(), name.as_str())?;
                let Ok(may) = decide::<Pull>(&facts) else { return Ok(None) };
                if !tagged && tx.ever_had_a_version(&may)? {
                    return Ok(None);
                }
                tx.blob(&may, &digest)
            })
            .await;
        let blob = found.ok().flatten().filter(|blob| blob.size() <= CONFIG_BYTES_MAX)?;
        let mut reader = self.store.reader(&blob, 0, blob.size()).await.ok()?;
        let mut bytes = Vec::new();
        while let Some(piece) = poll_fn(|context| reader.poll_piece(context)).await {
            bytes.extend_from_slice(&piece.ok()?);
        }
        Some(bytes)
    }
}

/// Keeps what was said, and links the package. `first`: it never had a version before.
pub(crate) fn follow<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    may: &Granted<'tx, Push>,
    said: &Said,
    rule: CreateRepositories,
    first: bool,
    now: Micros,
) -> Result<(), CatalogError> {
    let was = tx.package_link(may)?;
    let about = &said.about;
    let new = |said: &Option<String>, was: &Option<String>| said.is_some() && said != was;
    if new(&about.description, &was.description) || new(&about.licenses, &was.licenses) {
        tx.set_about(may, about, now)?;
    }
    // What a person unlinked since stays unlinked until the label says something else.
    let Some(source) = said.source.as_ref().filter(|source| was.source.as_deref() != Some(&source.url))
    else {
        return Ok(());
    };
    // Who links chooses who else has access, so it takes more than the right to push.
    let facts = ReadTx::facts(tx, &caller.unbound(), may.path())?;
    let Ok(admin) = decide::<Administer>(&facts) else { return Ok(()) };
    let namespace = may.path().split_once('/').map_or("", |(namespace, _)| namespace);
    if source.owner != namespace {
        return Ok(());
    }
    let Some(repository) = repository(tx, caller, source, rule, now)? else { return Ok(()) };
    if repository.repository_owner() != admin.owner() {
        return Ok(());
    }
    let inherits = match was.repository {
        None => first && tx.packages_inherit(may)?,
        Some(_) => was.inherits,
    };
    tx.link_package(&admin, &repository, inherits, Some(&source.url), now)
}

/// The repository, made when there is none and the rule lets the pusher.
fn repository<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    source: &Source,
    rule: CreateRepositories,
    now: Micros,
) -> Result<Option<Granted<'tx, LinkRepository>>, CatalogError> {
    let record = plain_record(&source.owner, &source.name, Visibility::Private);
    let mut facts = tx.repository_facts(caller, &record.path)?;
    if !facts.exists() {
        let owner = ReadTx::namespace_facts(tx, caller, &source.owner)?;
        let lets = match rule {
            CreateRepositories::Never => false,
            CreateRepositories::Own => owner.standing() == Standing::Owner,
            CreateRepositories::Members => true,
        };
        let Some(may) = lets.then(|| decide_mention_repository(&owner).ok()).flatten() else {
            return Ok(None);
        };
        tx.create_repository(&may, &record, now)?;
        facts = tx.repository_facts(caller, &record.path)?;
    }
    Ok(decide_repository::<LinkRepository>(&facts).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_address_of_a_repository_on_a_known_host() {
        let hosts = ["github.com", "packages.example.org:5000"];
        let found = |url| source(url, &hosts).map(|found| format!("{} {}", found.owner, found.name));
        for url in [
            "https://github.com/Octo/App",
            "http://GitHub.com/octo/App/",
            "https://github.com/octo/App.git",
            " https://packages.example.org:5000/octo/App ",
        ] {
            assert_eq!(found(url).as_deref(), Some("octo App"), "{url}");
        }
        for url in [
            "https://github.com/octo",
            "https://github.com/octo/",
            "https://github.com/octo/app/tree/main",
            "https://github.com/octo/..",
            "https://github.com.evil.org/octo/app",
            "https://mona@github.com/octo/app",
            "https://packages.example.org/octo/app",
            "git@github.com:octo/app.git",
            "github.com/octo/app",
            "",
        ] {
            assert_eq!(found(url), None, "{url}");
        }
    }

    #[test]
    fn texts_are_bounded_and_plain() {
        let long = "x".repeat(600);
        let of = |key: &str| match key {
            DESCRIPTION => Some("a\nb\u{1b}[1m"),
            LICENSES => Some(long.as_str()),
            _ => None,
        };
        let said = Said::new(of, &[]);
        assert_eq!(said.about.description.as_deref(), Some("ab[1m"));
        assert_eq!(said.about.licenses.map(|text| text.len()), Some(LICENSES_CHARS_MAX));
        assert!(Said::new(|_| Some("  "), &[]).is_nothing());
    }

    #[test]
    fn what_is_no_config_has_no_labels() {
        let config = br#"{"architecture":"amd64","config":{"Labels":{"a":"b"}}}"#;
        assert_eq!(labels(config).get("a").map(String::as_str), Some("b"));
        for other in [&b"{}"[..], b"", b"[1]", br#"{"config":null}"#, br#"{"config":{"Labels":{"a":1}}}"#] {
            assert!(labels(other).is_empty());
        }
    }
}
