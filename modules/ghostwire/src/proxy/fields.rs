//! Header fields on their way through: which stay behind (RFC 9110, 7.6.1), and what a proxy adds.

use super::MAX_HOPS;
use super::config::{Config, Forwarding};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Version};
use std::net::{IpAddr, SocketAddr};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Bytes of a chain of forwarding fields that are handed on; a longer one begins anew.
const MAX_CHAIN: usize = 2048;

/// A request as it came, for what is said about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) peer: Option<SocketAddr>,
    pub(super) secure: bool,
    pub(super) host: &'a str,
    pub(super) version: Version,
}

/// Removes what is for this connection only: the fields that `Connection` names and those that always are.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // What a message means does not depend on one hop, whatever a client says.
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HTTP2_SETTINGS,
    ] {
        headers.remove(name);
    }
}

/// Fields that a client could have removed by naming them in `Connection`, to be taken for someone else.
fn is_end_to_end(name: &HeaderName) -> bool {
    const KEPT: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "cookie",
        "authorization",
        "cache-control",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    ];
    KEPT.contains(&name.as_str())
}

/// Whether a request asks for trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    has_token(headers, &TE, "trailers")
}

/// Whether a list field has this token, whatever its case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut items =
        headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// How often a request has come by this proxy.
pub(super) fn hops(headers: &HeaderMap, name: &str) -> usize {
    let items = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let by_name = |item: &&[u8]| {
        let mut words = item.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    };
    items.filter(by_name).take(MAX_HOPS).count()
}

/// Makes a request's fields those that go to the server: without what is for this connection, with what a proxy adds.
/// `Content-Length` is left to whoever frames the body.
pub(super) fn forward_request(headers: &mut HeaderMap, origin: Origin<'_>, config: &Config) {
    let trailers = takes_trailers(headers);
    remove_hop_by_hop(headers);
    for name in [CONTENT_LENGTH, EXPECT, HOST] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    add_via(headers, origin.version, &config.name);
    add_forwarded(headers, origin, config);
}

/// Makes a response's fields those that go to the client.
pub(super) fn forward_response(headers: &mut HeaderMap, version: Version, name: &str) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112, 6.3: the coding is what counted.
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    add_via(headers, version, name);
}

/// Makes a body's trailers those that go on: nothing in them may change how a message is framed or whom it is for (RFC 9110, 6.5.1).
pub(super) fn forward_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [CONTENT_LENGTH, HOST, TRAILER] {
        trailers.remove(name);
    }
}

/// RFC 9110, 7.6.3.
fn add_via(headers: &mut HeaderMap, version: Version, name: &str) {
    let version = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    if let Ok(value) = HeaderValue::try_from(format!("{version} {name}")) {
        headers.append(VIA, value);
    }
}

/// The client that a request comes from: the peer, or whom trusted proxies have named.
pub(super) fn client(headers: &HeaderMap, peer: Option<SocketAddr>, config: &Config) -> Option<IpAddr> {
    let mut client = peer?.ip().to_canonical();
    let trusted = |address: IpAddr| config.trusted.iter().any(|network| network.contains(address));
    let chain: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .collect();
    for named in chain.iter().rev() {
        if !trusted(client) {
            break;
        }
        let Some(address) = std::str::from_utf8(named.trim_ascii()).ok().and_then(|text| text.parse().ok())
        else {
            break;
        };
        client = IpAddr::to_canonical(&address);
    }
    Some(client)
}

fn add_forwarded(headers: &mut HeaderMap, origin: Origin<'_>, config: &Config) {
    let peer = origin.peer.map(|peer| peer.ip().to_canonical());
    let trusted = peer.is_some_and(|peer| config.trusted.iter().any(|network| network.contains(peer)));
    let (x, standard) = match config.forwarded {
        Forwarding::Both => (true, true),
        Forwarding::XForwarded => (true, false),
        Forwarding::Forwarded => (false, true),
        Forwarding::None => (false, false),
    };
    if !trusted {
        for name in [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED] {
            headers.remove(name);
        }
    }
    let proto = if origin.secure { "https" } else { "http" };
    if x {
        if let Some(peer) = peer {
            chain(headers, &FORWARDED_FOR, &peer.to_string());
        }
        if !headers.contains_key(FORWARDED_PROTO) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
        }
        if !headers.contains_key(FORWARDED_HOST)
            && let Ok(host) = HeaderValue::from_str(origin.host)
        {
            headers.insert(FORWARDED_HOST, host);
        }
    }
    if standard {
        // RFC 7239, 4 and 6: IPv6 addresses and hosts with ports are quoted.
        let from = match peer {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("\"[{address}]\""),
            None => "unknown".into(),
        };
        let host = origin.host.replace(['"', '\\'], "");
        chain(headers, &FORWARDED, &format!("for={from};host=\"{host}\";proto={proto}"));
    }
}

/// Appends to a list field, in one line.
fn chain(headers: &mut HeaderMap, name: &HeaderName, item: &str) {
    let mut line = Vec::new();
    for value in headers.get_all(name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    if line.len() > MAX_CHAIN {
        line.clear();
    }
    line.extend_from_slice(item.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    fn origin(peer: &str) -> Origin<'_> {
        Origin { peer: peer.parse().ok(), secure: true, host: "site.example", version: Version::HTTP_2 }
    }

    fn trusting(networks: &[&str]) -> Config {
        Config { trusted: networks.iter().map(|n| n.parse().unwrap()).collect(), ..Config::default() }
    }

    #[test]
    fn what_is_for_one_hop_stays_behind() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Private ,  te"),
            ("connection", "x-second"),
            ("x-private", "1"),
            ("x-second", "2"),
            ("x-kept", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers, deflate"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("expect", "100-continue"),
            ("host", "site.example"),
        ]);
        let config = Config { forwarded: Forwarding::None, ..Config::default() };
        forward_request(&mut headers, origin("192.0.2.1:5"), &config);
        assert_eq!(lines(&headers), ["te: trailers", "trailer: x-sum", "via: 2 shroud", "x-kept: 3"]);
    }

    #[test]
    fn what_servers_decide_by_cannot_be_removed_through_connection() {
        let mut headers = map(&[
            ("connection", "authorization, cookie, x-forwarded-for, content-length"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "192.0.2.9"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn strangers_are_not_believed() {
        let mut headers = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "bank.example"),
            ("forwarded", "for=10.0.0.1"),
        ]);
        assert_eq!(
            client(&headers, origin("192.0.2.1:5").peer, &Config::default()),
            Some("192.0.2.1".parse().unwrap())
        );
        forward_request(&mut headers, origin("192.0.2.1:5"), &Config::default());
        assert_eq!(
            lines(&headers),
            [
                "forwarded: for=192.0.2.1;host=\"site.example\";proto=https",
                "via: 2 shroud",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: site.example",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn trusted_proxies_are_believed_and_the_chain_grows() {
        let config = trusting(&["10.0.0.0/8", "2001:db8::/32"]);
        let given = map(&[
            ("x-forwarded-for", "198.51.100.7, 203.0.113.5"),
            ("x-forwarded-for", "10.1.1.1"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "for=203.0.113.5"),
        ]);
        let peer = origin("[2001:db8::1]:5");
        // The first from the right that is nobody trusted: what is left of it, anybody could have written.
        assert_eq!(client(&given, peer.peer, &config), Some("203.0.113.5".parse().unwrap()));
        let mut headers = given;
        forward_request(&mut headers, peer, &config);
        assert_eq!(
            lines(&headers),
            [
                "forwarded: for=203.0.113.5, for=\"[2001:db8::1]\";host=\"site.example\";proto=https",
                "via: 2 shroud",
                "x-forwarded-for: 198.51.100.7, 203.0.113.5, 10.1.1.1, 2001:db8::1",
                "x-forwarded-host: site.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn chains_do_not_grow_without_end() {
        let config = trusting(&["0.0.0.0/0"]);
        let mut headers = HeaderMap::new();
        for _ in 0..1000 {
            chain(&mut headers, &FORWARDED_FOR, "255.255.255.255");
            assert!(headers[FORWARDED_FOR].len() <= MAX_CHAIN + 20);
        }
        assert!(client(&headers, origin("192.0.2.1:5").peer, &config).is_some());
    }

    #[test]
    fn hops_are_counted_by_name() {
        let headers =
            map(&[("via", "1.1 shroud, 2 other (shroud)"), ("via", "HTTP/1.1 SHROUD (x), 1.1 shrouded,,")]);
        assert_eq!(hops(&headers, "shroud"), 2);
        let many = map(&[("via", &"1.1 shroud,".repeat(100))]);
        assert_eq!(hops(&many, "shroud"), MAX_HOPS);
    }

    #[test]
    fn trailers_frame_nothing() {
        let mut trailers = map(&[
            ("transfer-encoding", "chunked"),
            ("content-length", "9"),
            ("host", "b"),
            ("grpc-status", "0"),
        ]);
        forward_trailers(&mut trailers);
        assert_eq!(lines(&trailers), ["grpc-status: 0"]);
    }

    #[test]
    fn responses() {
        let mut headers = map(&[
            ("connection", "x-a"),
            ("x-a", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
            ("via", "1.1 inner"),
        ]);
        forward_response(&mut headers, Version::HTTP_11, "shroud");
        assert_eq!(lines(&headers), ["content-type: text/plain", "via: 1.1 inner", "via: 1.1 shroud"]);
    }
}
