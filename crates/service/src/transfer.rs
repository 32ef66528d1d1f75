//! Images that come from outside, and go there.
//!
//! An import is a push by the operator in the name of a user: each blob and manifest goes through the functions that
//! the distribution edge calls, so permissions, names, rules about tags, limits and checks are those of a push. An
//! export is the operator's own reading.
//!
//! Both are done in steps of some seconds. A step gives back where it stands, and the next one is given that; what was
//! done stays done without it, since what is there by its digest is passed over. So a transfer that was interrupted is
//! begun again and goes on.

mod acting;
mod copy;
mod export;
mod import;
mod manifests;
mod names;

use packhouse_transfer::SourceError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// What a step may take. The operator's socket waits a minute for an answer, and an answer of a source that hangs
/// comes within half of one.
const STEP_TIME: Duration = Duration::from_secs(4);
/// For a source that answers slowly, before a step that did nothing yet ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// Steps in a row that may find the source unreachable.
const TRIES_MAX: u32 = 6;
/// Digests that are remembered as refused, so that a damaged layer of a hundred images is read once.
const FAILED_MAX: usize = 200;
/// Levels of indexes in indexes, and of referrers of referrers.
const LEVELS_MAX: usize = 16;
/// Manifests that are looked at for one image in one step.
const VISITS_MAX: usize = 50_000;
/// Blobs of an image that are copied at once: a source far away has each wait for its answer.
const BLOBS_AT_ONCE: usize = 4;
/// Lines of a step.
const LINES_MAX: usize = 500;

/// A password or token for another registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceSecret(pub String);

/// Secrets stay out of logs.
impl std::fmt::Debug for SourceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceSecret(…)")
    }
}

/// Where images come from. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImportSource {
    /// The folder of distribution's registry.
    Distribution {
        /// Its `rootdirectory`.
        root: PathBuf,
    },
    /// An OCI layout.
    Oci {
        /// The folder or tar.
        path: PathBuf,
        /// The one image that is meant, under this tag.
        tag: Option<String>,
    },
    /// Another registry.
    Registry {
        /// `host`, `host/name`, `host/name:tag` or `host/name@digest`, with or without a scheme.
        address: String,
        /// Whether it may be asked without TLS.
        plain_http: bool,
        /// A user there.
        user: Option<String>,
        /// Their password or token.
        secret: Option<SourceSecret>,
    },
}

/// An import that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// Where from.
    pub source: ImportSource,
    /// The package that the only repository becomes.
    pub package: Option<String>,
    /// What is put before each name.
    pub to: Option<String>,
    /// Beginnings of names, and what comes in their place.
    pub map: Vec<(String, String)>,
    /// Patterns of names in the source; none: all.
    pub only: Vec<String>,
    /// As whom; none: who owns the namespace.
    pub acting_as: Option<String>,
    /// The visibility that each package gets.
    pub visibility: Option<String>,
    /// Whether organizations are made for namespaces that are not there.
    pub create_accounts: bool,
    /// Whether it is only said what would be done.
    pub dry_run: bool,
}

/// Where an import stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportCursor {
    /// The page of repositories; none: the first one.
    pub(crate) repositories: Option<String>,
    /// The repository that is imported, or was last.
    pub(crate) repository: Option<String>,
    /// Whether it is imported still.
    pub(crate) open: bool,
    /// The page of its images.
    pub(crate) images: Option<String>,
    /// The image on it that was done last.
    pub(crate) image: Option<String>,
    /// The manifest of the image that is imported.
    pub(crate) root: Option<String>,
    /// In it, and in what it names: how many things were done.
    pub(crate) path: Vec<usize>,
    /// Blobs that are half here, and their sessions.
    pub(crate) uploads: BTreeMap<String, String>,
    /// Digests that were refused.
    pub(crate) failed: BTreeSet<String>,
    /// Steps that found the source unreachable.
    pub(crate) tries: u32,
}

/// How much was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransferSums {
    /// Repositories that were gone through.
    pub repositories: u64,
    /// Manifests that were stored.
    pub manifests: u64,
    /// Manifests that were there.
    pub manifests_present: u64,
    /// Tags that were set.
    pub tags: u64,
    /// Tags that pointed there.
    pub tags_present: u64,
    /// Blobs that were copied.
    pub blobs: u64,
    /// Blobs that were there, or came from another package.
    pub blobs_present: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

impl TransferSums {
    /// Adds what another step did.
    pub fn add(&mut self, other: &TransferSums) {
        self.repositories += other.repositories;
        self.manifests += other.manifests;
        self.manifests_present += other.manifests_present;
        self.tags += other.tags;
        self.tags_present += other.tags_present;
        self.blobs += other.blobs;
        self.blobs_present += other.blobs_present;
        self.bytes += other.bytes;
    }
}

/// Something that was not transferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferProblem {
    /// What: a repository or image, as the source names it.
    pub image: String,
    /// Why not.
    pub message: String,
}

/// What a step of an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportStep {
    /// What to go on with; none: that was all.
    pub cursor: Option<ImportCursor>,
    /// How much it did.
    pub sums: TransferSums,
    /// What was refused.
    pub problems: Vec<TransferProblem>,
    /// What is as odd here as in the source.
    pub notes: Vec<TransferProblem>,
    /// Why the source cannot be reached now; the next step tries again.
    pub waiting: Option<String>,
}

/// An export that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportOrder {
    /// `namespace/name`.
    pub package: String,
    /// A tag or digest; none: all tags.
    pub reference: Option<String>,
    /// The folder or tar to write, absolute.
    pub path: PathBuf,
    /// Whether what refers to the images is written too.
    pub referrers: bool,
}

/// Where an export stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportCursor {
    /// The tag that was done last.
    pub(crate) tag: Option<String>,
    /// Where the tar's whole entries end.
    pub(crate) end: Option<u64>,
    /// The blob that is half written: its digest, bytes, and the state of its hash.
    pub(crate) blob: Option<(String, u64, Vec<u8>)>,
}

/// What a step of an export did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportStep {
    /// What to go on with; none: that was all.
    pub cursor: Option<ExportCursor>,
    /// How much it did.
    pub sums: TransferSums,
    /// What is not in the package, though something names it.
    pub notes: Vec<TransferProblem>,
}

/// Why something does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The step's time is over.
    Time,
    /// The source cannot be reached now.
    Wait(String),
    /// This image, and only it.
    Refused(String),
    /// All of it.
    Ended(String),
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        if error.passes() { Halt::Wait(error.to_string()) } else { Halt::Refused(error.to_string()) }
    }
}

impl Halt {
    /// Of several at once the heaviest counts.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Halt::Time => 0,
            Halt::Wait(_) => 1,
            Halt::Refused(_) => 2,
            Halt::Ended(_) => 3,
        }
    }

    /// A fault of ours, which is told to the log.
    pub(crate) fn fault(fault: &crate::Fault) -> Self {
        if fault.passes() {
            return Halt::Wait(fault.to_string());
        }
        tracing::error!(error = fault.chain(), "an import or export failed");
        Halt::Ended("the catalog or the store could not do it; the log says why".to_owned())
    }
}
