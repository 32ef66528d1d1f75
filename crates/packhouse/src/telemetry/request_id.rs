//! Request ids: ours are 128 random bits in hex; a trusted proxy may bring its own.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest id that is taken from a proxy.
const BYTES_MAX: usize = 128;

/// A name for one request. Always printable ASCII that needs no escaping in a header, a log or JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The header it travels in.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// What GitHub calls it.
    pub const GITHUB_HEADER: HeaderName = HeaderName::from_static("x-github-request-id");

    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        static FALLBACK: AtomicU64 = AtomicU64::new(0);
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            // An id is for finding log lines, not a secret: a counter will do.
            bytes[8..].copy_from_slice(&FALLBACK.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        }
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The id that a proxy gave, if it is one: 1 to 128 letters, digits and `-_.:/+=@`.
    #[must_use]
    pub fn from_proxy(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(Self::HEADER)?.to_str().ok()?;
        let fits = (1..=BYTES_MAX).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// As a header's value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_proxy(text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(RequestId::HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        RequestId::from_proxy(&headers).map(|id| id.to_string())
    }

    #[test]
    fn own_ids_are_128_bits_in_hex_and_differ() {
        let (one, other) = (RequestId::random().to_string(), RequestId::random().to_string());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }

    #[test]
    fn ids_of_proxies_are_plain_and_short() {
        assert_eq!(from_proxy("Root=1-67891233-abcdef/7"), Some("Root=1-67891233-abcdef/7".to_owned()));
        for bad in ["", "two words", "a\"b", "a\\b", "a\tb", "é", &"x".repeat(129)] {
            assert_eq!(from_proxy(bad), None, "{bad}");
        }
        assert!(RequestId::from_proxy(&HeaderMap::new()).is_none());
    }
}
