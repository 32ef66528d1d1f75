//! The only bytes: blobs on files, in the order that makes an acknowledgement true.
//!
//! A storage key is `blobs/<2 hex>/<32 hex>`, random and fixed when an upload starts, before its digest is
//! known; it is never renamed and never used twice. So bytes become visible by a row of the catalog only, and
//! nothing that is removed can be what was pushed again.
//!
//! The order of a push: bytes written and hashed → [`Writer::sync`] (file, and its folder when the file is
//! new) → the catalog's commit → the answer. The upload's row exists before its file does, so whatever a crash leaves
//! behind is named by a row, and nothing ever scans the folders.
//!
//! What is deliberately absent: this crate decides nothing. It opens what the catalog found readable
//! ([`ReadableBlob`](packhouse_catalog::ReadableBlob)) and removes what the catalog put into the trash.

mod error;
mod key;
mod reader;
mod store;
mod writer;

pub use error::BlobError;
pub use key::new_key;
pub use reader::Reader;
pub use store::{Claim, FileStore};
pub use writer::Writer;
