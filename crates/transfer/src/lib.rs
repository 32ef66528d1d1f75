//! Images outside of this house: the folders of distribution's registry (docker-registry, Harbor, GitLab), OCI
//! layouts, other registries over HTTP.
//!
//! A [`Source`] is read page by page and blob by blob; a [`Target`] is written the same way. Both hold nothing
//! between two steps of a transfer that the other side could not say again, so a step can be the last one.
//!
//! Whoever made a source is not trusted: nothing follows a symbolic link, no name leaves its folder, and all that is
//! kept in memory is bounded. Bytes are handed on as they are; that a blob is what its digest says is checked by who
//! takes it.
//!
//! What is deliberately absent: rules. What is imported where, and whether it may be, is decided by the service.

mod beneath;
mod body;
mod error;
mod layout;
mod registry;
mod source;
mod target;
mod tree;

pub use body::{SourceBlob, SourceBody};
pub use error::{SourceError, TargetError};
pub use layout::Layout;
pub use registry::{Credential, Registry, RegistryAddress};
pub use source::{Image, ManifestBytes, Page, Source};
pub use target::{Growing, Target};
pub use tree::Tree;

/// Bytes of a manifest, and of an index of a layout, that is read.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Names in one folder that are read.
pub(crate) const NAMES_MAX: usize = 500_000;
/// Things on a page.
pub(crate) const PAGE_MAX: usize = 500;
