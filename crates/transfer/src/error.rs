//! What can be wrong with a place outside.

use packhouse_oci::{Digest, DigestError, ManifestError};
use std::io;
use std::path::PathBuf;

/// Why something could not be read from a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system does not let us read it.
    #[error("cannot read `{}`: {cause}{}", path.display(), advice(cause))]
    Read {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// There is no such place.
    #[error("there is no `{}`{hint}", path.display())]
    Absent {
        /// Where.
        path: PathBuf,
        /// What should be there.
        hint: &'static str,
    },
    /// It could lead anywhere.
    #[error("`{}` is a symbolic link, which is not followed; put what it leads to in its place", path.display())]
    Link {
        /// Which.
        path: PathBuf,
    },
    /// Neither a file nor a folder, or one where the other should be.
    #[error("`{}` is not what should be there, a plain {expected}", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A name with `..`, `/` or a zero in it.
    #[error("`{0}` is no name in a folder")]
    Name(String),
    /// A folder holds more than is read.
    #[error("`{}` holds more than {max} names", path.display())]
    Crowded {
        /// Which.
        path: PathBuf,
        /// How many are read.
        max: usize,
    },
    /// A file is longer than is read.
    #[error("{what} has more than {max} bytes")]
    Large {
        /// Which.
        what: String,
        /// How many are read.
        max: u64,
    },
    /// A link file of distribution's holds no digest.
    #[error("the link `{}` holds no digest: {cause}", path.display())]
    NoDigest {
        /// Which.
        path: PathBuf,
        /// Why it is none.
        cause: DigestError,
    },
    /// A link file of distribution's says something else than its path.
    #[error("the link `{}` leads to `{found}`, though its name says `{expected}`", path.display())]
    OtherDigest {
        /// Which.
        path: PathBuf,
        /// What its path says.
        expected: Digest,
        /// What it holds.
        found: Digest,
    },
    /// A manifest is not what its digest says.
    #[error("the manifest `{expected}` is damaged in the source: its bytes are `{found}`")]
    Damaged {
        /// Its name.
        expected: Digest,
        /// What its bytes hash to.
        found: Digest,
    },
    /// A repository names a blob that it was never given.
    #[error(
        "blob `{0}` lies in the source, but this repository has no link to it, so nobody could pull it from there"
    )]
    Unlinked(Digest),
    /// Not an OCI layout.
    #[error("`{}` is not an OCI layout: {why}", path.display())]
    NotLayout {
        /// What.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The index of a layout cannot be used.
    #[error("`index.json` of the layout: {0}")]
    Index(#[from] ManifestError),
    /// What names a registry cannot be read.
    #[error("`{address}` names no registry: {why}")]
    Address {
        /// As it was given, without what may be secret.
        address: String,
        /// Why.
        why: String,
    },
    /// The other registry says no.
    #[error("{what}: the registry answered {status}{}", in_brackets(said))]
    Refused {
        /// What was asked.
        what: String,
        /// Its status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The other registry's answer makes no sense.
    #[error("{what}: {why}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The other registry does not answer now; it may in a while.
    #[error("{what}: {why}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// What happened.
        why: String,
    },
}

impl SourceError {
    /// Whether asking again in a while may help.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, SourceError::Unreachable { .. })
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| SourceError::Read { path, cause }
    }
}

fn advice(cause: &io::Error) -> &'static str {
    if cause.kind() == io::ErrorKind::PermissionDenied {
        "; the server reads it itself, so its user must be able to (or stop the server: then this command reads it)"
    } else {
        ""
    }
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The system does not let us.
    #[error("cannot write `{}`: {cause}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Something else is there.
    #[error("`{}` is there already{hint}", path.display())]
    There {
        /// What.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// What is written is not what its digest says: the store is damaged.
    #[error("the bytes of `{expected}` are `{found}`: this copy in the store is damaged")]
    Damaged {
        /// Its name.
        expected: Digest,
        /// What its bytes hash to.
        found: Digest,
    },
    /// A layout that is there cannot be added to.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl TargetError {
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| TargetError::Write { path, cause }
    }
}
