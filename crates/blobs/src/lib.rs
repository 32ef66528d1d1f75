//! The only bytes: blobs on files or in a bucket, in the order that makes an acknowledgement true.
//!
//! [`BlobStore`] is the door, a [`Driver`](driver::Driver) the place behind it. A storage key is
//! `blobs/<2 hex>/<32 hex>`, random and fixed when an upload starts, before its digest is known; it is never
//! renamed and never used twice. So bytes become visible by a row of the catalog only, and nothing that is
//! removed can be what was pushed again.
//!
//! The order of a push: bytes written and hashed → [`Writer::sync`] (on files: the file, and its folder when the file
//! is new) → the catalog's commit → the answer. The upload's row exists before its bytes do, so whatever a crash
//! leaves behind is named by a row, and nothing ever scans the store to clean it.
//!
//! What is deliberately absent: this crate decides nothing. It opens what the catalog found readable
//! ([`ReadableBlob`](packhouse_catalog::ReadableBlob)), removes what the catalog put into the trash and lists for who
//! was given a [`StoreWalk`](packhouse_catalog::StoreWalk).

mod backup;
mod copies;
pub mod driver;
mod error;
mod files;
mod key;
mod reader;
mod s3;
mod store;
mod writer;

pub use backup::{BackupFolder, BackupIndex, KeptCatalog};
pub use copies::Snapshot;
pub use driver::{Journal, Kept, Stored};
pub use error::BlobError;
pub use key::{new_identity, new_key};
pub use reader::Reader;
pub use s3::{S3Keys, S3Settings};
pub use store::{BlobStore, Claim, LIST_MAX};
pub use writer::Writer;
