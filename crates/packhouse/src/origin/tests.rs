use super::*;
use http::Request;

fn origins(proxies: &[&str]) -> Origins {
    Origins { external_url: None, trusted_proxies: proxies.iter().map(|net| net.parse().unwrap()).collect() }
}

fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn peer(address: &str) -> Peer {
    Peer { address: format!("{address}:40000").parse().unwrap(), tls: false }
}

/// Headers, as seen from a peer, and what comes of it with 10.0.0.0/8 and ::1 trusted.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const CASES: &[Case] = &[
    ("203.0.113.9", &[("host", "reg.test")], "http://reg.test", "203.0.113.9"),
    // Spoofed: the peer is nobody we trust.
    (
        "203.0.113.9",
        &[("host", "reg.test"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")],
        "http://reg.test",
        "203.0.113.9",
    ),
    (
        "203.0.113.9",
        &[
            ("host", "reg.test"),
            ("x-forwarded-host", "evil.test"),
            ("forwarded", "for=1.1.1.1;host=evil.test"),
        ],
        "http://reg.test",
        "203.0.113.9",
    ),
    // One proxy.
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")],
        "https://reg.test",
        "198.51.100.7",
    ),
    (
        "10.0.0.1",
        &[("host", "inner:5000"), ("x-forwarded-host", "reg.test"), ("x-forwarded-proto", "HTTPS")],
        "https://reg.test",
        "10.0.0.1",
    ),
    // The client wrote the first address itself; the proxy appended the one it saw.
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "10.9.9.9, 198.51.100.7")],
        "http://reg.test",
        "198.51.100.7",
    ),
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "127.0.0.1, 198.51.100.7, 10.0.0.2")],
        "http://reg.test",
        "198.51.100.7",
    ),
    // Two proxies, each with its own value; the outermost of ours decides.
    (
        "10.0.0.1",
        &[
            ("host", "inner"),
            ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "reg.test, middle.test"),
        ],
        "https://reg.test",
        "198.51.100.7",
    ),
    // The client's own value stands in front of what our single proxy appended.
    (
        "10.0.0.1",
        &[
            ("host", "inner"),
            ("x-forwarded-for", "1.1.1.1, 198.51.100.7"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "evil.test, reg.test"),
        ],
        "https://reg.test",
        "198.51.100.7",
    ),
    // All hops are ours.
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "10.0.0.3, 10.0.0.2")],
        "http://reg.test",
        "10.0.0.3",
    ),
    // Garbage ends the walk at the last hop that is known.
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "1.1.1.1, unknown")],
        "http://reg.test",
        "10.0.0.1",
    ),
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "unknown, 10.0.0.2")],
        "http://reg.test",
        "10.0.0.2",
    ),
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-host", "a/b"), ("x-forwarded-proto", "gopher")],
        "http://reg.test",
        "10.0.0.1",
    ),
    // Forms of addresses.
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("x-forwarded-for", "198.51.100.7:1234")],
        "http://reg.test",
        "198.51.100.7",
    ),
    ("[::1]", &[("host", "reg.test"), ("x-forwarded-for", "2001:db8::1")], "http://reg.test", "2001:db8::1"),
    (
        "[::1]",
        &[("host", "reg.test"), ("x-forwarded-for", "[2001:db8::1]:99")],
        "http://reg.test",
        "2001:db8::1",
    ),
    (
        "[::ffff:10.0.0.1]",
        &[("host", "reg.test"), ("x-forwarded-for", "::ffff:198.51.100.7")],
        "http://reg.test",
        "198.51.100.7",
    ),
    // RFC 7239.
    (
        "10.0.0.1",
        &[
            ("host", "inner"),
            ("forwarded", "for=198.51.100.7;proto=https;host=\"reg.test:8443\";by=10.0.0.1"),
        ],
        "https://reg.test:8443",
        "198.51.100.7",
    ),
    (
        "10.0.0.1",
        &[
            ("host", "inner"),
            (
                "forwarded",
                "for=\"[2001:db8::1]:80\";host=evil.test, for=198.51.100.7;host=reg.test;proto=https",
            ),
        ],
        "https://reg.test",
        "198.51.100.7",
    ),
    (
        "10.0.0.1",
        &[
            ("host", "inner"),
            ("forwarded", "For=198.51.100.7;Host=reg.test"),
            ("forwarded", "for=10.0.0.2;host=middle"),
        ],
        "http://reg.test",
        "198.51.100.7",
    ),
    (
        "10.0.0.1",
        &[("host", "reg.test"), ("forwarded", "for=_hidden, for=\"a,b\"")],
        "http://reg.test",
        "10.0.0.1",
    ),
    // A proxy that writes X-Forwarded-* hands the client's own `Forwarded` on.
    (
        "10.0.0.1",
        &[
            ("host", "reg.test"),
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=1.1.1.1;host=evil.test"),
        ],
        "http://reg.test",
        "198.51.100.7",
    ),
];

#[test]
fn headers_count_only_from_trusted_proxies() {
    let origins = origins(&["10.0.0.0/8", "::1/128"]);
    for (from, headers, url, client) in CASES {
        let origin = origins.origin(&parts("/v2/", headers), peer(from)).unwrap();
        assert_eq!(
            (origin.external_url.as_str(), origin.client.to_string().as_str()),
            (*url, *client),
            "{headers:?}"
        );
        assert_eq!(origins.client(&parts("/", headers).headers, peer(from)), origin.client, "{headers:?}");
    }
}

#[test]
fn the_configured_address_wins_and_needs_no_host() {
    let origins = Origins {
        external_url: Some(
            crate::config::load(with_external_url("https://reg.test/")).unwrap().config.external_url.unwrap(),
        ),
        ..origins(&["10.0.0.0/8"])
    };
    let headers = [("x-forwarded-host", "other.test"), ("x-forwarded-for", "198.51.100.7")];
    let origin = origins.origin(&parts("/v2/", &headers), peer("10.0.0.1")).unwrap();
    assert_eq!(origin.external_url, "https://reg.test");
    assert_eq!(origin.client.to_string(), "198.51.100.7");
}

fn with_external_url(url: &str) -> crate::config::Inputs {
    crate::config::Inputs { flags: vec![("external_url", url.to_owned())], ..Default::default() }
}

#[test]
fn the_target_outweighs_host_and_tls_is_https() {
    let peer = Peer { tls: true, ..peer("203.0.113.9") };
    let parts = parts("https://reg.test:8443/v2/", &[("host", "other.test")]);
    assert_eq!(origins(&[]).origin(&parts, peer).unwrap().external_url, "https://reg.test:8443");
}

#[test]
fn a_bad_host_is_refused() {
    let of = |headers: &[(&str, &str)]| origins(&[]).origin(&parts("/v2/", headers), peer("203.0.113.9"));
    assert_eq!(of(&[]), Err(OriginError::NoHost));
    assert_eq!(of(&[("host", "")]), Err(OriginError::NoHost));
    assert_eq!(of(&[("host", "a.test"), ("host", "b.test")]), Err(OriginError::BadHost));
    for bad in [
        "a b",
        "a/b",
        "a\"b",
        "user@host",
        "host:",
        "host:0",
        "host:99999",
        "host:+80",
        "[::1",
        "[x]",
        "a..b",
        "%41",
    ] {
        assert_eq!(of(&[("host", bad)]), Err(OriginError::BadHost), "{bad}");
    }
    for good in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "reg_1.test", "REG.test"] {
        assert_eq!(of(&[("host", good)]).unwrap().external_url, format!("http://{good}"));
    }
}
