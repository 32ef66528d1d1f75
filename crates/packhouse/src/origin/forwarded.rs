//! Reading the headers of proxies that are trusted.

use super::host::is_authority;
use http::HeaderMap;
use http::header::FORWARDED;
use std::net::{IpAddr, SocketAddr};

/// Most hops that are looked at; what lies further left is a stranger's text.
const HOPS_MAX: usize = 32;

/// What one proxy says about the client in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// The client's address.
    pub(super) client: IpAddr,
    /// The Host the client sent.
    pub(super) host: Option<String>,
    /// Whether the client's connection was encrypted.
    pub(super) secure: Option<bool>,
}

/// The report of the outermost proxy that is trusted, beginning at the connection's `peer`.
pub(super) fn outermost(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> Hop {
    let own_kind = headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
    if own_kind { from_x_forwarded(headers, peer, trusted) } else { from_forwarded(headers, peer, trusted) }
}

fn from_x_forwarded(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> Hop {
    let addresses = items(headers, "x-forwarded-for");
    let (client, from_right) = walk(addresses.iter().rev().map(|text| address(text)), peer, trusted);
    // Proxies in a row either write one value each, as many as addresses, or hand on a single one.
    let reported = |name: &str| {
        let mut values = items(headers, name);
        let at = if values.len() == addresses.len() { from_right } else { 0 };
        let index = values.len().checked_sub(at + 1)?;
        Some(values.swap_remove(index))
    };
    Hop {
        client,
        host: reported("x-forwarded-host").filter(|host| is_authority(host)),
        secure: reported("x-forwarded-proto").as_deref().and_then(secure),
    }
}

fn from_forwarded(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> Hop {
    let elements: Vec<Element> = headers
        .get_all(FORWARDED)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ',').into_iter().map(element).collect::<Vec<_>>())
        .collect();
    let (client, from_right) = walk(elements.iter().rev().map(|element| element.client), peer, trusted);
    let element = elements.into_iter().rev().nth(from_right).unwrap_or_default();
    Hop {
        client,
        host: element.host.filter(|host| is_authority(host)),
        secure: element.proto.as_deref().and_then(secure),
    }
}

/// Walks from the nearest hop outwards, while who reports is trusted. Answers the last address that a trusted
/// hop reported, and the place of that report counted from the right.
fn walk(
    from_right: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
) -> (IpAddr, usize) {
    let mut client = (peer, 0);
    for (index, address) in from_right.take(HOPS_MAX).enumerate() {
        // A hop that does not name its client leaves itself as the last one known.
        let Some(address) = address else { break };
        client = (address, index);
        if !trusted(address) {
            break;
        }
    }
    client
}

fn items(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

#[derive(Debug, Default)]
struct Element {
    client: Option<IpAddr>,
    host: Option<String>,
    proto: Option<String>,
}

fn element(text: &str) -> Element {
    let mut element = Element::default();
    for pair in split(text, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = unquote(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => element.client = address(&value),
            "host" => element.host = Some(value),
            "proto" => element.proto = Some(value),
            _ => {}
        }
    }
    element
}

/// Splits at a separator that stands outside of quotes (RFC 7230 `quoted-string`).
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(text: &str) -> String {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .map_or_else(|| text.to_owned(), |text| text.replace('\\', ""))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

fn secure(proto: &str) -> Option<bool> {
    if proto.eq_ignore_ascii_case("https") {
        Some(true)
    } else if proto.eq_ignore_ascii_case("http") {
        Some(false)
    } else {
        None
    }
}
