//! The PROXY protocol: balancers that say whose a connection is, and servers that are told so.

use super::support::{Proxied, Speaks, all_to, group, server};
use crate::http::Raw;
use crate::tls::dev;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::http::{
    Body, ConnectionInfo, Handler, Limits, Metrics, Request, Router, Server, handler_fn, text,
};
use shroud::ghostwire::proxy::{Config, HealthCheck, Network, Proxy, ProxyVersion, UpstreamConfig};
use shroud::ghostwire::tls::{Certificates, SeamClock, ServerOptions, alpn, provider};
use shroud::ghostwire::websocket::{self, CloseCode, ConnectTo, Message, WebSocket, connect};
use shroud::runtime::net::{ConnectOptions, ListenOptions, Listener};
use shroud::runtime::{Runtime, RuntimeExt, Task};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Of a client that no connection here really comes from.
const CLIENT: &str = "192.0.2.7:4711";
const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

fn here() -> Network {
    "127.0.0.0/8".parse().expect("a network")
}

/// A server that takes connections from balancers only.
struct Behind {
    address: SocketAddr,
    metrics: Metrics,
    _task: Task<()>,
}

impl Behind {
    async fn start<R: Runtime>(
        runtime: &R,
        handler: impl Handler,
        from: Network,
        limits: Limits,
        tls: bool,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let mut server = Server::new(handler, limits).expect("valid").with_proxy_protocol(&[from]);
        if tls {
            let certificates = Certificates::new(vec![dev(runtime).0]).expect("one");
            let options = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates);
            let config = options.protocols(&[alpn::H2, alpn::HTTP_1_1]).config().expect("TLS");
            server = server.with_tls(Arc::new(config));
        }
        let (inner, metrics) = (runtime.clone(), server.metrics().clone());
        let task = async move { server.serve(&inner, listener).await.expect("to the end") };
        Self { address, metrics, _task: runtime.spawn("behind", task) }
    }
}

/// Says whose connection a request came on, and what it said of itself.
fn who() -> impl Handler {
    handler_fn(|request: Request<Body>| async move {
        let info = ConnectionInfo::of(&request).expect("a connection");
        let local = info.local.map(|local| local.to_string()).unwrap_or_default();
        let forwarded =
            request.headers().get("x-forwarded-for").map(|value| value.to_str().expect("text").to_owned());
        text(format!("{} {local} {}", info.peer, forwarded.unwrap_or_default()))
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn asks<R: Runtime>(runtime: &R, address: SocketAddr, header: &[u8]) -> Option<String> {
    let mut raw = Raw::connect(runtime, address).await;
    raw.send(header).await;
    raw.send(GET).await;
    raw.answer().await.map(|answer| String::from_utf8(answer.body).expect("text"))
}

/// Both versions of the header, in pieces too, and those that name nobody.
pub async fn balancers_say_whose_a_connection_is<R: Runtime>(runtime: R) {
    let behind = Behind::start(&runtime, who(), here(), Limits::default(), false).await;
    let told = format!("{CLIENT} 198.51.100.1:443 ");
    assert_eq!(asks(&runtime, behind.address, HEADER.as_bytes()).await, Some(told.clone()));
    let mut two = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x27".to_vec();
    let (from, to): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
        ("2001:db8::7".parse().expect("one"), "2001:db8::1".parse().expect("one"));
    two.extend_from_slice(&from.octets());
    two.extend_from_slice(&to.octets());
    two.extend_from_slice(&[0x12, 0x67, 0x01, 0xbb, 0x04, 0, 0]);
    let wanted = "[2001:db8::7]:4711 [2001:db8::1]:443 ";
    assert_eq!(asks(&runtime, behind.address, &two).await.as_deref(), Some(wanted));

    // Byte by byte.
    let mut slow = runtime.connect(behind.address, ConnectOptions::default()).await.expect("a connection");
    for byte in HEADER.bytes() {
        slow.write_all(&[byte]).await.expect("taken");
        slow.flush().await.expect("sent");
        runtime.sleep(Duration::from_micros(200)).await;
    }
    slow.write_all(GET.as_bytes()).await.expect("taken");
    let mut answer = vec![0; 4096];
    let count = slow.read(&mut answer).await.expect("an answer");
    assert!(String::from_utf8_lossy(&answer[..count]).contains(&told));

    // The balancer's own.
    for own in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"] {
        let said = asks(&runtime, behind.address, own).await.expect("an answer");
        assert!(said.starts_with("127.0.0.1:"), "{said}");
    }
}

/// Who is no balancer, or says what cannot be read, or nothing in time, has its connection closed; others go on.
pub async fn nobody_else_is_let_in<R: Runtime>(runtime: R) {
    let limits = Limits { header_time: Duration::from_millis(150), ..Limits::default() };
    let elsewhere = "10.0.0.0/8".parse().expect("a network");
    let strict = Behind::start(&runtime, who(), elsewhere, limits.clone(), false).await;
    assert_eq!(asks(&runtime, strict.address, HEADER.as_bytes()).await, None, "from elsewhere");
    let behind = Behind::start(&runtime, who(), here(), limits, false).await;
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r\n"].concat();
    assert_eq!(long.len(), 108);
    for wrong in [
        &b""[..],
        b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        b"\r\n\r\n\0\r\nQUIT\n\x22\x11\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b12345678901",
        &long,
    ] {
        assert_eq!(asks(&runtime, behind.address, wrong).await, None, "{:?}", String::from_utf8_lossy(wrong));
    }
    assert_eq!(
        asks(&runtime, behind.address, &[&long[..14], &long[15..]].concat()).await.map(|_| ()),
        Some(())
    );
    // A header twice: the second is no request.
    let twice = asks(&runtime, behind.address, HEADER.repeat(2).as_bytes()).await;
    assert!(twice.is_none_or(|said| said.is_empty()), "a header for a request");
    // Half of one, and silence.
    let mut raw = Raw::connect(&runtime, behind.address).await;
    raw.send(&HEADER[..20]).await;
    assert_eq!(raw.answer().await, None);
    assert!(asks(&runtime, behind.address, HEADER.as_bytes()).await.is_some());
    while behind.metrics.connections() > 0 {
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// Through a proxy that is told and tells: what servers learn is the client that the first balancer named, by both versions, over
/// TLS, for WebSocket too; no connection serves two clients; health checks name nobody.
pub async fn the_proxy_is_told_and_tells<R: Runtime>(runtime: R) {
    for (version, speaks) in [(ProxyVersion::V1, Speaks::Http1), (ProxyVersion::V2, Speaks::Https2)] {
        let behind =
            Behind::start(&runtime, who(), here(), Limits::default(), speaks == Speaks::Https2).await;
        let upstream = UpstreamConfig {
            proxy_protocol: Some(version),
            health: Some(HealthCheck::new("/".parse().expect("a path"))),
            ..group(vec![server(speaks, behind.address)])
        };
        let proxy = Proxy::new(Config { trusted: vec![here()], ..all_to(upstream) }).expect("valid");
        let forward = proxy.on_shard(&runtime).await.expect("prepared");
        let front = Behind::start(&runtime, forward, here(), Limits::default(), false).await;
        for client in [CLIENT, "192.0.2.8:1"] {
            let (address, port) = client.split_once(':').expect("both");
            let header = format!("PROXY TCP4 {address} 198.51.100.1 {port} 443\r\n");
            let mut raw = Raw::connect(&runtime, front.address).await;
            raw.send(header).await;
            for _ in 0..3 {
                raw.send(GET).await;
                let answer = raw.answer().await.expect("an answer");
                let said = String::from_utf8(answer.body).expect("text");
                assert_eq!(said, format!("{client} 198.51.100.1:443 {address}"), "{version:?}");
            }
        }
        let checks = proxy.clone();
        let inner = runtime.clone();
        let _checks = runtime.spawn("checks", async move { checks.check_health(&inner).await });
        while behind.metrics.requests() < 7 {
            runtime.sleep(Duration::from_millis(5)).await;
        }
    }
    // WebSocket.
    let echo = |mut socket: WebSocket, _: websocket::Opened| async move {
        while let Ok(Some(message)) = socket.receive().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    };
    let handler = Router::new().get("/", websocket::serve(websocket::Options::default(), echo));
    let behind = Behind::start(&runtime, handler, here(), Limits::default(), false).await;
    let upstream = UpstreamConfig {
        proxy_protocol: Some(ProxyVersion::V2),
        ..group(vec![server(Speaks::Http1, behind.address)])
    };
    let proxied = Proxied::start(&runtime, all_to(upstream)).await;
    let at = format!("ws://{}/", proxied.address).parse().expect("an address");
    let (mut socket, _) = connect(&runtime, &at, ConnectTo::default()).await.expect("a connection");
    socket.send("through").await.expect("sent");
    assert_eq!(socket.receive().await, Ok(Some(Message::from("through"))));
    socket.close(CloseCode::NORMAL, "").await;
}
