//! Who a request comes from, and under which address its sender knows this server.
//!
//! Realm, `Location` and links are made from the address the client used, never from an internal one: clients
//! refuse realms with another host or a private address. So: `external_url`, or else the request's own Host.
//!
//! Forwarded headers (`X-Forwarded-For`, `-Proto`, `-Host`; `Forwarded`, RFC 7239) count only when the
//! connection comes from one of `trusted_proxies`; the client is then the right-most address in them that is
//! no proxy of ours, because everything left of it is what a stranger may have written.
//! `Forwarded` is read only when there is no `X-Forwarded-*` at all: a proxy that sets the one kind passes the
//! other kind on as the client sent it.
//!
//! Left out: `X-Real-IP`, `X-Forwarded-Port` and `X-Forwarded-Prefix`; obfuscated names in `Forwarded` (they
//! are no addresses) end the walk.

mod forwarded;
mod host;

pub use host::is_authority;

use crate::config::ExternalUrl;
use forwarded::Hop;
use http::request::Parts;
use http::{HeaderMap, header};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What a request's sender is called and calls us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`, host and maybe port, without a slash at the end.
    pub external_url: String,
    /// The client's address.
    pub client: IpAddr,
    /// When the request came in at the API's own host: the URL of the main one (`https://example.com`), and its own
    /// (`https://api.example.com`).
    pub beside: Option<(String, String)>,
}

const SCHEME_END: &str = "://";
/// The API also stands at the root of this host, beside the main one.
const API_HOST: &str = "api.";

/// Why a request has no origin; the answer is 400 (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither a Host nor an authority in the target.
    #[error("the request has no Host header")]
    NoHost,
    /// More than one, or one that is no host and port.
    #[error("the request's Host header is not a host name or address with an optional port")]
    BadHost,
}

/// The part of the configuration that decides.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// `external_url`
    pub external_url: Option<ExternalUrl>,
    /// `trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
}

impl Origins {
    /// Whether headers of this peer about others are believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        // ::ffff:10.0.0.1 is 10.0.0.1 to the person who wrote the list.
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }

    /// The client's address alone, for requests that need no URL (health checks, logs).
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: Peer) -> IpAddr {
        self.outermost(headers, peer).map_or(peer.address.ip().to_canonical(), |hop| hop.client)
    }

    /// Both.
    ///
    /// # Errors
    /// A Host that is missing, doubled or malformed, when it is needed.
    pub fn origin(&self, request: &Parts, peer: Peer) -> Result<Origin, OriginError> {
        let outermost = self.outermost(&request.headers, peer);
        let client = outermost.as_ref().map_or(peer.address.ip().to_canonical(), |hop| hop.client);
        let (host, secure) = outermost.map_or((None, None), |hop| (hop.host, hop.secure));
        if let Some(url) = &self.external_url {
            let external_url = url.as_str().to_owned();
            let (scheme, main) = external_url.split_once("://").unwrap_or(("https", &external_url));
            let host = host.or_else(|| own_host(request).ok().map(str::to_owned));
            let beside = host.as_deref().and_then(|host| host.strip_prefix(API_HOST)).unwrap_or_default();
            let beside = beside
                .eq_ignore_ascii_case(main)
                .then(|| (external_url.clone(), format!("{scheme}://{API_HOST}{main}")));
            return Ok(Origin { beside, external_url, client });
        }
        let host = match &host {
            Some(host) => host.as_str(),
            None => own_host(request)?,
        };
        let scheme = if secure.unwrap_or(peer.tls) { "https" } else { "http" };
        let mut external_url = String::with_capacity(scheme.len() + SCHEME_END.len() + host.len());
        for part in [scheme, SCHEME_END, host] {
            external_url.push_str(part);
        }
        // (A dot after it, or `localhost`: `api.test` alone is a host of its own.)
        let main =
            host.strip_prefix(API_HOST).filter(|main| main.contains('.') || main.starts_with("localhost"));
        let beside = main.map(|main| (format!("{scheme}://{main}"), external_url.clone()));
        Ok(Origin { external_url, client, beside })
    }

    /// What our outermost proxy said about its client; none when the peer is no proxy of ours.
    fn outermost(&self, headers: &HeaderMap, peer: Peer) -> Option<Hop> {
        let address = peer.address.ip().to_canonical();
        self.trusts(address).then(|| forwarded::outermost(headers, address, |hop| self.trusts(hop)))
    }
}

fn own_host(request: &Parts) -> Result<&str, OriginError> {
    // The target's authority comes first: it is HTTP/2's `:authority`, and in HTTP/1.1 a server must ignore
    // Host when the target is absolute (RFC 9112 §3.2.2).
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = match (request.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(OriginError::BadHost),
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| OriginError::BadHost)?,
        (None, None, None) => return Err(OriginError::NoHost),
    };
    if host.is_empty() {
        return Err(OriginError::NoHost);
    }
    if is_authority(host) { Ok(host) } else { Err(OriginError::BadHost) }
}

#[cfg(test)]
mod tests;
