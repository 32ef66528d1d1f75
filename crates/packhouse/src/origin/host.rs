//! What may stand as host and port in a URL we make.

use std::net::Ipv6Addr;

/// Longest DNS name, and `:65535`.
const AUTHORITY_BYTES_MAX: usize = 253 + 6;

/// Whether a text is a host name, an IPv4 address or an IPv6 address in brackets, with an optional port.
///
/// Stricter than RFC 3986: no user, no percent signs, no zone, since it goes into realms and links unchanged.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    if text.len() > AUTHORITY_BYTES_MAX {
        return false;
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        (None, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, rest) = text.split_at(end);
        (Some(host), rest)
    };
    host.is_none_or(is_name) && (port.is_empty() || is_port(port))
}

fn is_name(host: &str) -> bool {
    host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            // Underscores are no host names (RFC 1123), but Compose makes service names with them.
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return false };
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
}
