//! Request ids: ours are 128 bits in hex; a trusted proxy may bring its own.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest id that is taken from a proxy.
const BYTES_MAX: usize = 128;

/// A name for one request. Always printable ASCII that needs no escaping in a header, a log or JSON.
///
/// Kept as the header that it becomes twice in each answer: its bytes are shared, so a clone copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The header it travels in.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// What GitHub calls it.
    pub const GITHUB_HEADER: HeaderName = HeaderName::from_static("x-github-request-id");

    /// A new one, of which there is no second. It is for finding log lines and no secret, so the system is asked for
    /// random numbers once in the life of a thread and not for each request.
    #[must_use]
    pub fn random() -> Self {
        thread_local! {
            static NEXT: Cell<u128> = Cell::new(seed());
        }
        let number = NEXT.get();
        NEXT.set(number.wrapping_add(STEP));
        let mut text = [0; 32];
        for (digits, byte) in text.chunks_exact_mut(2).zip(mixed(number).to_be_bytes()) {
            digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self::of(&text)
    }

    /// The id that a proxy gave, if it is one: 1 to 128 letters, digits and `-_.:/+=@`.
    #[must_use]
    pub fn from_proxy(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(Self::HEADER)?;
        let text = value.as_bytes();
        let fits = (1..=BYTES_MAX).contains(&text.len());
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        (fits && text.iter().all(plain)).then(|| Self(value.clone()))
    }

    /// As a header's value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made of printable ASCII above, so there is always some.
        self.0.to_str().unwrap_or("none")
    }

    fn of(text: &[u8]) -> Self {
        Self(HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("none")))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Odd, so that a thread meets each of the 2^128 numbers once before it meets one again.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Where a thread begins: at random, so that threads, and one server after another, keep out of each other's way.
fn seed() -> u128 {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_ok() {
        return u128::from_be_bytes(bytes);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let thread = u128::from(THREADS.fetch_add(1, Ordering::Relaxed)) << 96;
    now ^ thread ^ u128::from(std::process::id()) << 64
}

/// Another number for each number, which does not show which came before it (the last steps of MurmurHash3 over both
/// halves): ids that differ in their last digits only are hard to tell apart by eye.
fn mixed(number: u128) -> u128 {
    let half = |mut half: u64| {
        half = (half ^ (half >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        half = (half ^ (half >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        half ^ (half >> 33)
    };
    let (high, low) = ((number >> 64) as u64, number as u64);
    let low = half(low ^ high.rotate_left(32));
    u128::from(half(high.wrapping_add(low))) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn from_proxy(text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(RequestId::HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        RequestId::from_proxy(&headers).map(|id| id.to_string())
    }

    #[test]
    fn own_ids_are_128_bits_in_hex_and_differ_on_all_threads() {
        let some = || (0..10_000).map(|_| RequestId::random().to_string()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(some)).collect();
        let ids: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        for id in &ids {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        // Also in the half that people compare.
        assert_eq!(ids.iter().map(|id| &id[..16]).collect::<HashSet<_>>().len(), ids.len());
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
