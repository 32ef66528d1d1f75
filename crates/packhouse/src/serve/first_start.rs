//! What the first start says, once.

use crate::config::Config;
use packhouse_service::FirstStart;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The token, and the two lines that log in and push.
#[must_use]
pub fn welcome(config: &Config, address: SocketAddr, first: &FirstStart) -> String {
    let (account, token, host) = (&first.account, first.token.reveal(), host(config, address));
    format!(
        "This is the first start. The site administrator is `{account}`; its token is shown only now:\n\
         \n\
         {token}\n\
         \n\
         Log in and push:\n\
         \n\
         echo {token} | docker login {host} -u {account} --password-stdin\n\
         docker push {host}/{account}/hello:latest\n\
         \n"
    )
}

/// How a client on this machine reaches us.
fn host(config: &Config, address: SocketAddr) -> String {
    if let Some((_, host)) = config.external_url.as_ref().and_then(|url| url.as_str().split_once("://")) {
        return host.to_owned();
    }
    // "All addresses" is none that a client could connect to.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}
