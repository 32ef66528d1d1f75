//! What can be typed about imports and exports.

use super::{Visibility, word};
use anyhow::Context;
use clap::{Args, Subcommand};
use packhouse_service::transfer::{ExportOrder, ImportOrder, ImportSource, SourceSecret};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImportAct {
    /// From the folder of docker-registry, Harbor's or GitLab's registry
    #[command(after_help = "\
The folder is the one that the registry has as `rootdirectory`. The server reads it itself; stop the server, and this
command does. Nothing may push to the old registry meanwhile, or the command is repeated at the end: what is here already
is passed over. Whatever cannot be taken is named, the rest goes on, and the exit status is 1.

Examples:
  packhouse import distribution /var/lib/docker-registry --dry-run
  packhouse import distribution /var/lib/docker-registry --to octo
  packhouse import distribution /srv/registry --map library=mona --create-accounts --visibility public")]
    Distribution {
        /// The folder with `docker/registry/v2` in it
        root: PathBuf,
        #[command(flatten)]
        names: ImportNames,
        #[command(flatten)]
        how: ImportHow,
    },
    /// From an OCI layout: a folder, or a tar of one
    #[command(after_help = "\
With a tag, the image of that tag, or the only one, is taken. Without, all are, under the tags that they have.

Examples:
  packhouse import oci ./layout mona/app
  packhouse import oci app.tar mona/app:v1")]
    Oci {
        /// A folder with `index.json`, or a tar of it
        path: PathBuf,
        /// `namespace/name` or `namespace/name:tag`
        package: String,
        #[command(flatten)]
        how: ImportHow,
    },
    /// From another registry
    #[command(after_help = "\
A host alone means all its repositories, as far as it lists them; `host/name` all tags of one; `host/name:tag` and
`host/name@digest` one image. What an image names comes along, and what refers to it: signatures, attestations, SBOMs.
The password or token is read from --password-file, or from the variable PACKHOUSE_SOURCE_PASSWORD.

Examples:
  packhouse import registry ghcr.io/octo/app:v1 --to octo --user mona --password-file token
  packhouse import registry docker.io/library/alpine:3 --as-package mona/alpine
  packhouse import registry https://registry.example.org --only 'team/*' --create-accounts")]
    Registry {
        /// `https://host`, `host/name`, `host/name:tag` or `host/name@digest`
        address: String,
        #[command(flatten)]
        names: ImportNames,
        /// The package that the one repository becomes
        #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["to", "map"])]
        as_package: Option<String>,
        /// User there; any, where only the token counts
        #[arg(long)]
        user: Option<String>,
        /// File with the password or token; `-` reads it from standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Ask without TLS; to this machine itself that is so anyway
        #[arg(long)]
        plain_http: bool,
        #[command(flatten)]
        how: ImportHow,
    },
}

/// What repositories are called here.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportNames {
    /// Put all names below this: `app/web` becomes `NAMESPACE/app/web`. Without it the first part of a name is the
    /// account
    #[arg(long, value_name = "NAMESPACE")]
    to: Option<String>,
    /// Put TO in the place of FROM where a name begins with it; the longest FROM counts; may be given several times
    #[arg(long, value_name = "FROM=TO", value_parser = from_to)]
    map: Vec<(String, String)>,
    /// Only repositories whose name in the source is like this: `team/*`, `regex:…`; may be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
}

fn from_to(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write FROM=TO, for example library=mona".to_owned()),
    }
}

/// How an import is done.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportHow {
    /// As which user, with whose rights; who owns the namespace, when not given
    #[arg(long = "as", value_name = "USER")]
    acting_as: Option<String>,
    /// Visibility of the packages that are filled
    #[arg(long, value_name = "VISIBILITY")]
    visibility: Option<Visibility>,
    /// Make an organization for a namespace that is not there; --as, or else the administrator, owns it
    #[arg(long)]
    create_accounts: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ExportAct {
    /// To a folder, or to a tar when its name ends with `.tar`
    #[command(after_help = "\
skopeo, crane, oras, podman and docker read it. A folder that is there is added to, and an export to it that was
interrupted goes on. Files belong to the user who runs the server.

Examples:
  packhouse export oci mona/app ./layout             all tags
  packhouse export oci mona/app:v1 app.tar           one image, and what refers to it
  packhouse export oci mona/app:v1 app.tar --no-referrers")]
    Oci {
        /// `namespace/name`, `namespace/name:tag` or `namespace/name@digest`
        image: String,
        /// The folder or `.tar`
        path: PathBuf,
        /// Leave out signatures and all else that refers to the images
        #[arg(long)]
        no_referrers: bool,
    },
}

impl ImportAct {
    /// The order, without what is read from files.
    pub(in crate::cli) fn order(self) -> anyhow::Result<ImportOrder> {
        let of = |source, package, names: Option<ImportNames>, how: ImportHow| {
            let names = names.unwrap_or(ImportNames { to: None, map: Vec::new(), only: Vec::new() });
            ImportOrder {
                source,
                package,
                to: names.to,
                map: names.map,
                only: names.only,
                acting_as: how.acting_as,
                visibility: how.visibility.as_ref().map(word),
                create_accounts: how.create_accounts,
                dry_run: how.dry_run,
            }
        };
        Ok(match self {
            Self::Distribution { root, names, how } => {
                of(ImportSource::Distribution { root: std::path::absolute(root)? }, None, Some(names), how)
            }
            Self::Oci { path, package, how } => {
                let (package, tag) = match package.split_once(':') {
                    Some((package, tag)) => (package.to_owned(), Some(tag.to_owned())),
                    None => (package, None),
                };
                of(ImportSource::Oci { path: std::path::absolute(path)?, tag }, Some(package), None, how)
            }
            Self::Registry { address, names, as_package, user, password_file, plain_http, how } => {
                let secret = secret(password_file.as_deref())?;
                of(ImportSource::Registry { address, plain_http, user, secret }, as_package, Some(names), how)
            }
        })
    }
}

/// A password from a file, from standard input, or from the environment: others can read a command line.
fn secret(file: Option<&Path>) -> anyhow::Result<Option<SourceSecret>> {
    const VARIABLE: &str = "PACKHOUSE_SOURCE_PASSWORD";
    const BYTES_MAX: u64 = 16 << 10;
    let mut text = String::new();
    match file {
        None => return Ok(std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(SourceSecret)),
        Some(file) if file == Path::new("-") => {
            std::io::stdin().take(BYTES_MAX).read_to_string(&mut text).context("cannot read the password")?;
        }
        Some(file) => {
            let opened = std::fs::File::open(file);
            let read = opened.and_then(|opened| opened.take(BYTES_MAX).read_to_string(&mut text));
            read.with_context(|| format!("cannot read the password from `{}`", file.display()))?;
        }
    }
    Ok(Some(SourceSecret(text.trim_end_matches(['\n', '\r']).to_owned())))
}

impl ExportAct {
    pub(in crate::cli) fn order(self) -> anyhow::Result<ExportOrder> {
        let Self::Oci { image, path, no_referrers } = self;
        let (package, reference) = match (image.split_once('@'), image.split_once(':')) {
            (Some((package, digest)), _) => (package, Some(digest)),
            (None, Some((package, tag))) => (package, Some(tag)),
            (None, None) => (image.as_str(), None),
        };
        Ok(ExportOrder {
            package: package.to_owned(),
            reference: reference.map(str::to_owned),
            path: std::path::absolute(path)?,
            referrers: !no_referrers,
        })
    }
}
