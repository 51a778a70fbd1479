//! The HTTP client: a server of any bytes, in pieces of any size, on each connection that the client makes: HTTP/1.1, HTTP/2, a
//! proxy that is asked or that opens a tunnel, and TLS with alternatives that are announced. Every call ends within its
//! limits, every request is well-formed, redirects take no secrets to another host, and what is remembered can be
//! read again.
//!
//! The first byte says which of these it is and whether connections stay open at their end, the second how the bytes are cut.
//! Bytes 255 255 stand between two connections, 255 254 before what is held back until more has been heard.
#![no_main]

extern crate self as shroud;
pub use shroud_runtime as runtime;

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
mod servers;
#[allow(dead_code, reason = "shared with other targets")]
mod strict;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime};
use rustls::ServerConnection;
use servers::{Far, Servers, parts};
use shroud_ghostwire::http::{
    Alternatives, Body, Client, ClientLimits, HeaderValue, Http3Client, Method, Proxy, Request, Uri, UseHttp3,
};
use shroud_quic::{ClientConfig, Endpoint, EndpointConfig, Transport};
use shroud_runtime::Runtime;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;
use support::{Identity, NAME, local};

const TUNNEL: &str =
    "CONNECT quic.test:443 HTTP/1.1\r\nhost: quic.test:443\r\nproxy-authorization: me\r\n\r\n";
const BODY_BYTES: u64 = 512;

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

/// What the first byte chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Http1,
    Http2,
    Proxy,
    Tunnel,
    Tls,
}

fuzz_target!(|input: &[u8]| {
    let &[what, cut, ref bytes @ ..] = input else { return };
    let way = [Way::Http1, Way::Http2, Way::Proxy, Way::Tunnel, Way::Tls][usize::from(what % 5)];
    let known = std::str::from_utf8(bytes).ok().and_then(|text| Alternatives::from_text(text).ok());
    let known = known.unwrap_or_default();
    is_read_again(&known);
    let memory = Memory::new();
    let mut servers = Servers::new(parts(bytes), usize::from(cut) + 1, what & 0x80 != 0);
    if way == Way::Tls {
        let mut tls = identity().server_tls();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Arc::new(tls);
        servers = servers.with_tls(move || ServerConnection::new(Arc::clone(&tls)).ok());
    }
    let story = story(memory.runtime.clone(), way, known.clone());
    let mut story = memory.runtime.spawn("story", story);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut idle = 0;
    while Pin::new(&mut story).poll(cx).map(|ended| ended.expect("the story ends well")).is_pending() {
        let end = |far: &mut Far| {
            far.end();
            true
        };
        if !servers.step(&memory, end) {
            memory.advance(Duration::from_millis(100));
            idle += 1;
        }
        assert!(idle < 500, "a call takes longer than it may");
    }
    is_read_again(&known);
    servers.step(&memory, |_| false);
    for far in &servers.all {
        check(way, &far.received);
    }
});

async fn story(runtime: MemoryRuntime, way: Way, known: Alternatives) {
    let limits = ClientLimits {
        connect_time: Duration::from_secs(1),
        request_time: Duration::from_secs(5),
        read_time: Duration::from_secs(2),
        body_bytes: BODY_BYTES,
        header_bytes: 8192,
        ..ClientLimits::default()
    };
    let client = Client::new(runtime.clone(), limits.clone()).with_redirects(3);
    let tls = || {
        let mut tls = identity().client_tls();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(tls)
    };
    let proxy = || {
        let proxy = Proxy::new(&Uri::from_static("http://proxy.test:3128")).expect("an address");
        proxy.with_authorization(HeaderValue::from_static("me"))
    };
    let client = match way {
        Way::Http1 => client,
        Way::Http2 => client.with_http2_in_clear(),
        Way::Proxy => client.with_proxy(proxy()),
        Way::Tunnel => client.with_proxy(proxy()).with_tls(tls()),
        Way::Tls => {
            let endpoint =
                Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.expect("a client");
            let mut tls3 = identity().client_tls();
            tls3.alpn_protocols = vec![b"h3".to_vec()];
            let config = ClientConfig::new(Arc::new(tls3), &Transport::default()).expect("valid");
            let http3 = Http3Client::new(runtime, endpoint, config, limits);
            client.with_tls(tls()).with_http3(http3, UseHttp3::WhenAnnounced(known))
        }
    };
    let secure = matches!(way, Way::Tunnel | Way::Tls);
    let address = format!("{}://{NAME}/a/b?c", if secure { "https" } else { "http" });
    let request = |method, body: &'static str| {
        let request = Request::builder().method(method).uri(&address).header("authorization", "secret");
        request.body(Body::from(body)).expect("a request")
    };
    for request in [request(Method::GET, ""), request(Method::POST, "body"), request(Method::HEAD, "")] {
        if let Ok(response) = client.send(request).await {
            assert!(response.body().len() as u64 <= BODY_BYTES);
        }
    }
    if let Ok(response) = client.fetch(request(Method::PUT, "body")).await {
        let _ = response.into_body().bytes(BODY_BYTES).await;
    }
}

/// What a client has sent over one connection.
fn check(way: Way, mut sent: &[u8]) {
    match way {
        Way::Http1 | Way::Proxy | Way::Tls => {
            while let Some(request) = strict::request(&mut sent) {
                let host = request.one("host").expect("a host");
                let host = host.strip_suffix(b":80").or(host.strip_suffix(b":443")).unwrap_or(host);
                let at_home = host.eq_ignore_ascii_case(NAME.as_bytes());
                assert!(at_home || request.one("authorization").is_none(), "a secret goes abroad");
                assert!(matches!(&request.body[..], b"" | b"body"));
                let by_address = request.line.contains(" http://");
                assert_eq!(by_address, way == Way::Proxy, "{}", request.line);
                assert_eq!(request.one("proxy-authorization").is_some(), way == Way::Proxy);
            }
        }
        Way::Http2 => {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            let Some(mut frames) = sent.strip_prefix(preface) else {
                assert!(preface.starts_with(sent), "no preface");
                return;
            };
            while let [a, b, c, kind, _flags, _, _, _, _, rest @ ..] = frames {
                assert!(*kind <= 9 && *kind != 5, "a frame of kind {kind}");
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                frames = rest.get(length..).unwrap_or_default();
            }
        }
        Way::Tunnel => {
            let asked = sent.len().min(TUNNEL.len());
            assert_eq!(sent[..asked], TUNNEL.as_bytes()[..asked]);
        }
    }
}

fn is_read_again(known: &Alternatives) {
    let text = known.to_text();
    assert_eq!(Alternatives::from_text(&text).map(|again| again.to_text()), Ok(text));
}
