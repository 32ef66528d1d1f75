//! What may stand as host and port in a URL we make.

use std::net::Ipv6Addr;

/// Longest DNS name, and `:65535`.
const AUTHORITY_BYTES_MAX: usize = 253 + 6;
/// Longest part of a DNS name.
const LABEL_BYTES_MAX: usize = 63;

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

/// In one pass: each request has one.
fn is_name(host: &str) -> bool {
    let mut label = 0;
    for byte in host.bytes() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' => label = 0,
            // Underscores are no host names (RFC 1123), but Compose makes service names with them.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < LABEL_BYTES_MAX => label += 1,
            _ => return false,
        }
    }
    label > 0
}

fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return false };
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
}
