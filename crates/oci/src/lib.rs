//! Types of the OCI specifications: digests, references, manifests, ranges, paths, error codes. No I/O, no clock.
//!
//! Everything that comes in as text or bytes from a client becomes one of these types first, at the edge; what
//! is behind the edge never sees an unchecked string. Each parser is linear in its input, bounds what it keeps,
//! and refuses with a typed error that says what to do. None of them panics: `fuzz-corpus/` and the property
//! tests beside the code try.
//!
//! Standards: the OCI [distribution][dist] and [image][image] specifications (their main branches), RFC 9110
//! for ranges, RFC 6838 for media types. What of them is left out is said in each module. Docker's schema 2 is
//! read as what it is, the ancestor of the image specification; schema 1 is recognised and refused.
//!
//! [dist]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
//! [image]: https://github.com/opencontainers/image-spec/blob/main/spec.md

mod text;

pub mod descriptor;
pub mod digest;
pub mod error;
pub mod hasher;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod path;
pub mod range;
pub mod reference;

pub use descriptor::{Descriptor, DescriptorError, Platform};
pub use digest::{Algorithm, Digest, DigestError};
pub use error::ErrorCode;
pub use hasher::{HashStateError, Hasher};
pub use manifest::{Manifest, ManifestError, ManifestKind};
pub use media_type::{MediaType, MediaTypeError};
pub use name::{AccountName, NameError, PackageName};
pub use path::V2Path;
pub use range::{ContentRange, ContentRangeError, Requested, requested};
pub use reference::{Reference, ReferenceError, Tag, TagError, fallback_tag};
