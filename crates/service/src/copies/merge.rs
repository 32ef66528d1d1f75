//! What several copies of the catalog name, in one order.

use super::CopyError;
use packhouse_catalog::DumpedBlobs;
use packhouse_oci::Digest;
use std::iter::Peekable;

/// The digests of all blobs that some copies name, in the order of their bytes; some of them more than once.
pub(super) struct Named(Vec<Peekable<Digests>>);

struct Digests(DumpedBlobs);

impl Iterator for Digests {
    type Item = Result<Digest, CopyError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|blob| Ok(blob?.digest()))
    }
}

impl Named {
    pub(super) fn of(copies: Vec<DumpedBlobs>) -> Self {
        Named(copies.into_iter().map(|blobs| Digests(blobs).peekable()).collect())
    }
}

impl Iterator for Named {
    type Item = Result<Digest, CopyError>;
    fn next(&mut self) -> Option<Self::Item> {
        // An error comes first, so that nothing is removed behind it.
        let first = self.0.iter_mut().enumerate().filter_map(|(at, copy)| {
            let next = copy.peek()?;
            Some((next.as_ref().map_or(Vec::new(), Digest::to_bytes), at))
        });
        let (_, at) = first.min()?;
        self.0.get_mut(at)?.next()
    }
}
