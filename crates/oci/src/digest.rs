//! Content digests: `sha256:…` and `sha512:…` (image-spec, descriptor.md, "Digests").
//!
//! Left out: every other algorithm. The grammar of the specification admits any, but a registry that cannot
//! compute a digest cannot vouch for it; such digests are refused with an error of their own. Upper-case hex
//! is refused too, as the specification demands: one content, one name.
//!
//! A parsed digest is safe to build a path or a URL from; the string it came from is not (CVE-2024-3727).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

/// `sha512:` and 128 hex digits.
const TEXT_CHARS_MAX: usize = 135;
/// Algorithm names longer than this are not repeated in error messages.
const ALGORITHM_CHARS_MAX: usize = 32;

/// A hash function that content may be named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: what clients use unless told otherwise.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name in front of the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a hash; its hex form has twice as many characters.
    pub const fn hash_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The byte that stands for the algorithm in stored forms. Never reassign one: it is on people's disks.
    pub(crate) const fn stored(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    pub(crate) const fn from_stored(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ if is_algorithm_name(text) => {
                Err(DigestError::UnsupportedAlgorithm { algorithm: text.to_owned() })
            }
            _ => Err(DigestError::Form),
        }
    }
}

/// The name of some content: an algorithm and the hash it gave.
///
/// Ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero behind the algorithm's length, so that derived comparisons are right.
    bytes: [u8; 64],
}

impl Digest {
    /// Hashes `content`, which is in memory already; for a stream see [`Hasher`](crate::Hasher).
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::from_hash(algorithm, &Sha256::digest(content)),
            Algorithm::Sha512 => Self::from_hash(algorithm, &Sha512::digest(content)),
        }
    }

    /// `hash` must have the algorithm's length; callers in this crate take it from the hash function itself.
    pub(crate) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..algorithm.hash_bytes()].copy_from_slice(hash);
        Self { algorithm, bytes }
    }

    /// The algorithm that made it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash: 32 or 64 bytes.
    pub fn hash(&self) -> &[u8] {
        &self.bytes[..self.algorithm.hash_bytes()]
    }

    /// The hash in lower-case hex, without the algorithm.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(2 * self.algorithm.hash_bytes());
        self.push_hex(&mut hex);
        hex
    }

    /// Appends its text: what [`Display`](fmt::Display) writes, without the detour by a formatter. An answer has it twice.
    pub fn push_to(&self, text: &mut String) {
        text.reserve(TEXT_CHARS_MAX);
        text.push_str(self.algorithm.as_str());
        text.push(':');
        self.push_hex(text);
    }

    fn push_hex(&self, text: &mut String) {
        for &byte in self.hash() {
            text.push_str(HEX[usize::from(byte)]);
        }
    }

    /// The stored form: one byte for the algorithm (1 SHA-256, 2 SHA-512), then the hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(1 + self.algorithm.hash_bytes());
        stored.push(self.algorithm.stored());
        stored.extend_from_slice(self.hash());
        stored
    }

    /// Reads the stored form; `None` for anything that [`to_bytes`](Self::to_bytes) does not write.
    pub fn from_bytes(stored: &[u8]) -> Option<Self> {
        let (&first, hash) = stored.split_first()?;
        let algorithm = Algorithm::from_stored(first)?;
        (hash.len() == algorithm.hash_bytes()).then(|| Self::from_hash(algorithm, hash))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text::serde_as_text!(Digest, "a digest such as `sha256:<64 hex digits>`");

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, encoded) = text.split_once(':').ok_or(DigestError::Form)?;
        let algorithm = name.parse::<Algorithm>();
        let hex = encoded.as_bytes();
        if let Ok(algorithm) = algorithm
            && hex.len() == 2 * algorithm.hash_bytes()
        {
            let mut bytes = [0; 64];
            let mut all = 0;
            for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
                let (high, low) = (HEX_VALUES[usize::from(pair[0])], HEX_VALUES[usize::from(pair[1])]);
                all |= high | low;
                *byte = high << 4 | low;
            }
            if all <= 0xf {
                return Ok(Self { algorithm, bytes });
            }
        }
        // A foreign algorithm is only named as such if all of it is a digest by the grammar.
        if !encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-')) {
            return Err(DigestError::Form);
        }
        let algorithm = algorithm?;
        if hex.len() != 2 * algorithm.hash_bytes() {
            return Err(DigestError::Length { algorithm, found: hex.len() });
        }
        Err(DigestError::Hex)
    }
}

/// Why a text is not a digest that this registry takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:encoded` at all.
    #[error("not a digest; write it as `sha256:` and 64 lower-case hex digits")]
    Form,
    /// A digest by the grammar, but of an algorithm other than SHA-256 and SHA-512.
    #[error("digest algorithm `{algorithm}` is not supported; use `sha256` or `sha512`")]
    UnsupportedAlgorithm {
        /// What stands before the colon, at most 32 characters.
        algorithm: String,
    },
    /// Too few or too many hex digits.
    #[error("a `{algorithm}` digest has {} hex digits, not {found}", 2 * algorithm.hash_bytes())]
    Length {
        /// The algorithm named.
        algorithm: Algorithm,
        /// Characters after the colon.
        found: usize,
    },
    /// The right length, but not all of it lower-case hex.
    #[error("a digest is written in lower-case hex digits (`0-9a-f`) only")]
    Hex,
}

/// `algorithm` of the specification: components of `[a-z0-9]+` with one of `+._-` between them.
fn is_algorithm_name(text: &str) -> bool {
    text.len() <= ALGORITHM_CHARS_MAX
        && text.split(['+', '.', '_', '-']).all(|component| {
            !component.is_empty() && component.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

/// Each byte in hex.
static HEX: [&str; 256] = {
    static DIGITS: [[u8; 2]; 256] = {
        let digits = b"0123456789abcdef";
        let mut pairs = [[0; 2]; 256];
        let mut byte = 0;
        while byte < 256 {
            pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
            byte += 1;
        }
        pairs
    };
    let mut texts = [""; 256];
    let mut byte = 0;
    while byte < 256 {
        // Hex digits are text: the empty one is never taken.
        texts[byte] = match std::str::from_utf8(&DIGITS[byte]) {
            Ok(text) => text,
            Err(_) => "",
        };
        byte += 1;
    }
    texts
};

/// The value of each lower-case hex digit; 0xff for all other bytes.
static HEX_VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0;
    while value < 16 {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The vectors of FIPS 180-4 for "abc".
    const ABC_SHA256: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_SHA512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                              2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn known_content_has_its_known_digest() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"abc").to_string(), ABC_SHA256);
        assert_eq!(Digest::of(Algorithm::Sha512, b"abc").to_string(), ABC_SHA512);
    }

    #[test]
    fn only_the_canonical_form_is_a_digest() {
        let hex = &ABC_SHA256[7..];
        let length = |algorithm, found| DigestError::Length { algorithm, found };
        for (text, error) in [
            ("", DigestError::Form),
            (hex, DigestError::Form),
            (":", DigestError::Form),
            (&format!(":{hex}"), DigestError::Form),
            (&format!("SHA256:{hex}"), DigestError::Form),
            (&format!(" sha256:{hex}"), DigestError::Form),
            (&format!("sha256:{hex}\n"), DigestError::Form),
            (&format!("sha256:sha256:{hex}"), DigestError::Form),
            // CVE-2024-3727: digests that were used as paths before anyone looked at them.
            ("sha256:../../x", DigestError::Form),
            ("../../x:00", DigestError::Form),
            ("sha256:", length(Algorithm::Sha256, 0)),
            ("sha256:AA", length(Algorithm::Sha256, 2)),
            (&format!("sha512:{hex}"), length(Algorithm::Sha512, 64)),
            (&format!("sha256:{}", "0".repeat(10_000)), length(Algorithm::Sha256, 10_000)),
            (&format!("sha256:{}", hex.to_uppercase()), DigestError::Hex),
            (&format!("sha256:{}g", &hex[1..]), DigestError::Hex),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_foreign_algorithm_is_named_as_such() {
        for name in ["md5", "blake3", "sha384", "sha256+b64u", "multihash+base58"] {
            let error = format!("{name}:abcDEF_-=").parse::<Digest>();
            assert_eq!(error, Err(DigestError::UnsupportedAlgorithm { algorithm: name.to_owned() }));
        }
        let long = "a".repeat(10_000);
        assert_eq!(format!("{long}:00").parse::<Digest>(), Err(DigestError::Form));
    }

    #[test]
    fn stored_bytes_that_were_never_written_are_none() {
        let stored = Digest::of(Algorithm::Sha256, b"").to_bytes();
        assert_eq!(stored.len(), 33);
        assert_eq!(Digest::from_bytes(&[]), None);
        assert_eq!(Digest::from_bytes(&stored[..32]), None);
        assert_eq!(Digest::from_bytes(&[&stored[..], &[0]].concat()), None);
        assert_eq!(Digest::from_bytes(&[&[0], &stored[1..]].concat()), None);
        assert_eq!(Digest::from_bytes(&[&[2], &stored[1..]].concat()), None);
    }

    #[test]
    fn json_holds_the_text_and_checks_it() {
        let digest = Digest::of(Algorithm::Sha256, b"abc");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{ABC_SHA256}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        let error = serde_json::from_str::<Digest>("\"sha256:AA\"").unwrap_err();
        assert!(error.to_string().contains("has 64 hex digits, not 2"), "{error}");
    }

    fn digests() -> impl Strategy<Value = Digest> {
        (prop::sample::select(&Algorithm::ALL[..]), any::<[u8; 64]>())
            .prop_map(|(algorithm, bytes)| Digest::from_hash(algorithm, &bytes[..algorithm.hash_bytes()]))
    }

    proptest! {
        #[test]
        fn text_and_stored_form_come_back(digest in digests()) {
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
        }

        #[test]
        fn order_is_that_of_the_text(a in digests(), b in digests()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in "(sha(256|512):)?[0-9a-fA-F:./]{0,140}|.*") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            if let Some(digest) = Digest::from_bytes(&bytes) {
                prop_assert_eq!(digest.to_bytes(), bytes);
            }
        }
    }
}
