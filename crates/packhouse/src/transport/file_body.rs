//! Bodies of answers whose bytes may lie in a file.

use http_body_util::{Either, Full};
use packhouse_blobs::driver::Way;

/// An answer's body that may be bytes of a file. The transport decides how those go out; the body only says where they
/// lie, and goes on to promise and to count them.
pub trait FileBody {
    /// Lets the bytes of the body come by another way, if they lie in a file. Most bodies are none: nothing happens.
    fn reroute(&mut self, _way: &mut Way<'_>) {}
}

impl<D> FileBody for Full<D> {}

impl<L: FileBody, R: FileBody> FileBody for Either<L, R> {
    fn reroute(&mut self, way: &mut Way<'_>) {
        match self {
            Either::Left(body) => body.reroute(way),
            Either::Right(body) => body.reroute(way),
        }
    }
}

impl FileBody for packhouse_distribution::Body {
    fn reroute(&mut self, way: &mut Way<'_>) {
        if let Some(blob) = self.blob_mut() {
            blob.reroute(way);
        }
    }
}
