//! What goes through: every protocol in and out, streams, trailers, routes, WebSocket, calls as gRPC makes them.

use super::support::{ALL, AnyClient, Identity, Proxied, Scripted, Speaks, Step, all_to, group, server};
use crate::http::Raw;
use crate::http2_hostile::frames;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use http_body::Frame;
use shroud::ghostwire::http::{
    Body, BodyError, Handler, HeaderMap, HeaderValue, Limits, Request, Response, Router, handler_fn, text,
};
use shroud::ghostwire::proxy::{Config, HostField, HostPattern, Proxy, Rewrite, Route, UpstreamConfig};
use shroud::ghostwire::websocket::{self, CloseCode, ConnectTo, Message, WebSocket, connect};
use shroud::runtime::Runtime;
use shroud::runtime::net::{ConnectOptions, ListenOptions, Listener, ListenerExt};
use shroud::runtime::sync::channel;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// `/tell` says what was asked for, `/echo` gives the body back with its trailers, everything else is 404.
fn routes() -> impl Handler {
    handler_fn(|request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        match head.uri.path() {
            "/tell" => {
                let field = |name: &str| {
                    let value = head.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
                    value.unwrap_or_default()
                };
                let query = head.uri.query().unwrap_or_default().to_owned();
                text(format!(
                    "{:?} {} {query} te={} via={} xff={} proto={}",
                    head.version,
                    head.method,
                    field("te"),
                    field("via"),
                    field("x-forwarded-for"),
                    field("x-forwarded-proto"),
                ))
            }
            "/echo" => {
                let mut response = Response::new(body);
                response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
                response
            }
            _ => {
                let mut response = text("nothing here");
                *response.status_mut() = shroud::ghostwire::http::StatusCode::NOT_FOUND;
                response
            }
        }
    })
}

/// A body that comes through a channel.
pub struct Piped(Pin<Box<channel::Receiver<Frame<Bytes>>>>);

/// Its ends.
pub fn piped() -> (channel::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = channel::bounded(1);
    (sender, Body::stream(Piped(Box::pin(receiver))))
}

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_next_unpin(cx).map(|frame| frame.map(Ok))
    }
}

/// A proxy with a route `/out/...` to a server of each protocol, listening by each protocol.
async fn grid<R: Runtime>(runtime: &R, identity: &Identity) -> (Vec<(Speaks, u16)>, impl Sized + use<R>) {
    let limits = Limits { body_bytes: 64 << 20, ..Limits::default() };
    let (mut upstreams, mut all_routes, mut tasks) = (BTreeMap::new(), Vec::new(), Vec::new());
    for out in ALL {
        let (address, task) = identity.serve(runtime, out, routes(), limits.clone()).await;
        let name = format!("{out:?}").to_lowercase();
        upstreams.insert(name.clone(), group(vec![server(out, address)]));
        all_routes.push(Route { path: format!("/{name}"), rewrite: Rewrite::Strip, ..Route::to(&name) });
        tasks.push(task);
    }
    let proxy = Proxy::new(Config { upstreams, routes: all_routes, ..Config::default() }).expect("valid");
    let forward = proxy.on_shard(runtime).await.expect("prepared");
    let mut doors = Vec::new();
    for inward in ALL {
        let (address, task) = identity.serve(runtime, inward, forward.clone(), limits.clone()).await;
        doors.push((inward, address.port()));
        tasks.push(task);
    }
    (doors, (tasks, proxy))
}

/// Every protocol in, every protocol out: heads, bodies, statuses, trailers.
pub async fn every_protocol_in_and_out<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    let (doors, _kept) = grid(&runtime, &identity).await;
    for (inward, port) in doors {
        let client = identity.client(&runtime, inward).await;
        for out in ALL {
            let base = format!("/{}", format!("{out:?}").to_lowercase());
            combination(&client, inward, out, port, &base).await;
        }
    }
}

async fn combination<R: Runtime>(client: &AnyClient<R>, inward: Speaks, out: Speaks, port: u16, base: &str) {
    let pair = format!("{inward:?} in, {out:?} out");
    let mut request = client.request("GET", port, &format!("{base}/tell?a=b%20c"), Body::empty());
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    let answer = client.ask(request).await;
    let proto = if matches!(inward, Speaks::Http1 | Speaks::H2c) { "http" } else { "https" };
    let by = match inward.version() {
        "HTTP/1.1" => "1.1",
        "HTTP/2.0" => "2",
        _ => "3",
    };
    let expected =
        format!("{} GET a=b%20c te=trailers via={by} shroud xff=127.0.0.1 proto={proto}", out.version());
    assert_eq!((answer.status, answer.text()), (200, expected), "{pair}");
    assert!(answer.headers["via"].to_str().expect("text").ends_with(" shroud"), "{pair}");

    let head = client.ask(client.request("HEAD", port, &format!("{base}/tell"), Body::empty())).await;
    assert_eq!((head.status, head.body.len()), (200, 0), "{pair}");
    assert_eq!(client.get(port, &format!("{base}/none")).await.status, 404, "{pair}");

    // Of a length that is known, and of one that is not.
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let whole = client.ask(client.request("POST", port, &format!("{base}/echo"), sent.clone())).await;
    assert!(whole.status == 200 && whole.body == sent, "{pair}: {} bytes", whole.body.len());
    assert_eq!(
        client.ask(client.request("POST", port, &format!("{base}/echo"), "")).await.body,
        b"",
        "{pair}"
    );

    let trailers: HeaderMap =
        [("x-sum".parse().expect("a name"), HeaderValue::from_static("42"))].into_iter().collect();
    let body = Body::from("data").with_trailers(trailers);
    let mut request = client.request("POST", port, &format!("{base}/echo"), body);
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    let answer = client.ask(request).await;
    assert_eq!(answer.text(), "data", "{pair}");
    assert_eq!(answer.trailers.get("x-sum").map(HeaderValue::as_bytes), Some(&b"42"[..]), "{pair}");
}

/// Megabytes both ways, more than all windows and buffers together; and a piece at a time, each answered before the next is
/// sent, with trailers at the end: what gRPC needs.
pub async fn streams_both_ways<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    let (doors, _kept) = grid(&runtime, &identity).await;
    for (inward, port) in doors {
        let client = identity.client(&runtime, inward).await;
        let same = format!("/{}/echo", format!("{inward:?}").to_lowercase());
        let length = 12 << 20;
        let request = client.request("POST", port, &same, vec![b'z'; length]);
        let mut body = client.fetch(request).await.expect("an answer").into_body();
        let mut received = 0;
        while let Some(piece) = body.data().await.expect("a piece") {
            received += piece.len();
        }
        assert_eq!(received, length, "{inward:?}");

        let (sender, body) = piped();
        let mut request = client.request("POST", port, &same, body);
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        request.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        sender.send(Frame::data(Bytes::from_static(b"0"))).await.expect("taken");
        let mut body = client.fetch(request).await.expect("an answer before the end").into_body();
        for number in 0..20_u8 {
            let piece = body.data().await.expect("a piece").expect("one more");
            assert_eq!(piece, number.to_string().as_bytes(), "{inward:?}");
            if number < 19 {
                let next = (number + 1).to_string();
                sender.send(Frame::data(Bytes::from(next))).await.expect("taken");
            }
        }
        let trailers =
            [("x-sum".parse().expect("a name"), HeaderValue::from_static("0"))].into_iter().collect();
        sender.send(Frame::trailers(trailers)).await.expect("taken");
        drop(sender);
        let mut seen = None;
        while let Some(frame) = body.frame().await.expect("the end") {
            seen = frame.into_trailers().ok().or(seen);
        }
        assert_eq!(seen.expect("trailers")["x-sum"], "0", "{inward:?}");
    }
}

/// Which server, and what it sees: raw bytes.
pub async fn routes_and_fields<R: Runtime>(runtime: R) {
    let upstream = Scripted::start(&runtime, |_| super::support::OK).await;
    let to = |host: &str, path: &str, rewrite: Rewrite, host_field: HostField| Route {
        host: if host.is_empty() { HostPattern::Any } else { HostPattern::parse(host).expect("a host") },
        path: path.into(),
        rewrite,
        host_field,
        upstream: "app".into(),
    };
    let config = Config {
        routes: vec![
            to("a.example", "/", Rewrite::Keep, HostField::Keep),
            to("a.example", "/api", Rewrite::Strip, HostField::Server),
            to(
                "*.b.example",
                "/x/",
                Rewrite::Replace("/y".into()),
                HostField::Name(HeaderValue::from_static("c")),
            ),
        ],
        ..all_to(group(vec![server(Speaks::Http1, upstream.address)]))
    };
    let proxied = Proxied::start(&runtime, config).await;
    let own = upstream.address.to_string();
    for (host, path, status, seen_path, seen_host) in [
        ("a.example", "/p?q=1", 200, "/p?q=1", "a.example"),
        ("A.example:80", "/api/p?q", 200, "/p?q", "a.example:80"),
        ("a.example", "/api", 200, "/", &own),
        ("a.example", "/apiary", 200, "/apiary", "a.example"),
        ("z.b.example", "/x/1", 200, "/y/1", "c"),
        ("z.b.example", "/", 404, "", ""),
        ("b.example", "/x/1", 404, "", ""),
    ] {
        let mut client = Raw::connect(&runtime, proxied.address).await;
        client
            .send(format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: x-mine, close\r\nX-Mine: 1\r\nX-Yours: 2\r\n\
                 X-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n"
            ))
            .await;
        let before = upstream.requests();
        assert_eq!(client.answer().await.expect("an answer").status, status, "{host}{path}");
        if status != 200 {
            assert_eq!(upstream.requests(), before);
            continue;
        }
        let (head, _) = upstream.parsed().pop().expect("a request");
        assert!(head.starts_with(&format!("get {seen_path} http/1.1\r\n")), "{head}");
        // By its own name where the route says so; as the client wrote it otherwise.
        let expected = if path.starts_with("/api") && path != "/apiary" { own.as_str() } else { seen_host };
        for line in [
            &format!("host: {expected}"),
            "x-yours: 2",
            "te: trailers",
            "connection: te",
            "via: 1.1 shroud",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            &format!("x-forwarded-host: {}", host.to_lowercase()),
            &format!("forwarded: for=127.0.0.1;host=\"{}\";proto=http", host.to_lowercase()),
        ] {
            assert!(head.lines().any(|got| got == line), "no {line} in {head}");
        }
        assert!(!head.contains("x-mine") && !head.contains("keep-alive"), "{head}");
    }
}

/// A message ends with its trailers: its connection takes the next one, on both sides of the proxy.
pub async fn trailers_and_the_next_message<R: Runtime>(runtime: R) {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                          2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n";
    let upstream = Scripted::start(&runtime, |number| match number {
        0 | 1 => super::support::OK,
        _ => Step::Reply(ANSWER),
    })
    .await;
    let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, config).await;
    let mut raw = Raw::connect(&runtime, proxied.address).await;
    for _ in 0..2 {
        raw.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\ndata\r\n0\r\nx-sum: 42\r\n\r\n",
        )
        .await;
        let answer = raw.answer().await.expect("an answer");
        assert!(!answer.head.contains("connection: close"), "{}", answer.head);
    }
    let client = Identity::generate(&runtime).client(&runtime, Speaks::Http1).await;
    for _ in 0..2 {
        let mut request = client.request("GET", proxied.address.port(), "/", Body::empty());
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let answer = client.ask(request).await;
        assert_eq!(answer.text(), "ok");
        assert!(answer.trailers.contains_key("x-sum"), "{:?}", answer.trailers);
    }
    assert_eq!(upstream.seen.lock().expect("bytes").len(), 1, "connections to the server");
}

/// Messages through an upgraded connection, and an end that is agreed on: whatever the client's way to leave HTTP, and whatever
/// the server's, with TLS and without.
pub async fn websocket_through<R: Runtime>(runtime: R) {
    let echo = |mut socket: WebSocket, opened: websocket::Opened| async move {
        if opened.protocol.is_some() && socket.send("agreed").await.is_err() {
            return;
        }
        while let Ok(Some(message)) = socket.receive().await {
            if socket.feed(message).await.is_err() {
                return;
            }
        }
    };
    let mut options = websocket::Options::default();
    options.policy.protocols = vec!["talk".to_owned()];
    let router = || Router::new().get("/socket", websocket::serve(options.clone(), echo));
    let identity = Identity::generate(&runtime);
    let in_flight = |stats: &serde_json::Value| stats["upstreams"]["app"]["servers"][0]["in_flight"].as_u64();
    for speaks in [Speaks::Http1, Speaks::H2c, Speaks::Https1, Speaks::Https2] {
        let (upstream, _task) = identity.serve(&runtime, speaks, router(), Limits::default()).await;
        let proxied = Proxied::start(&runtime, all_to(group(vec![server(speaks, upstream)]))).await;
        let at = |path: &str| format!("ws://{}{path}", proxied.address).parse().expect("an address");
        // By an upgrade of HTTP/1.1, and by extended CONNECT over HTTP/2.
        for http2_in_clear in [false, true] {
            let name = format!("{speaks:?}, over HTTP/2: {http2_in_clear}");
            let to = ConnectTo { http2_in_clear, ..ConnectTo::default() };
            let (mut socket, agreed) = connect(&runtime, &at("/socket"), to).await.expect("a connection");
            assert_eq!(agreed, None, "{name}");
            for length in [0, 1, 1000, 100_000, 1 << 20] {
                let message = Message::from(vec![7_u8; length]);
                socket.feed(message.clone()).await.expect("queued");
                assert!(socket.receive().await.expect("open") == Some(message), "{name}: {length}");
            }
            let counted = in_flight(&proxied.stats(&runtime).await);
            assert_eq!(counted, Some(1), "{name}: a tunnel counts as a request");
            socket.close(CloseCode::NORMAL, "done").await;
            drop(socket);
            proxied.until(&runtime, |stats| in_flight(stats) == Some(0)).await;
            // What the two agree on goes through.
            let protocols = vec!["other".to_owned(), "talk".to_owned()];
            let to = ConnectTo { http2_in_clear, protocols, ..ConnectTo::default() };
            let (mut socket, agreed) = connect(&runtime, &at("/socket"), to).await.expect("a connection");
            assert_eq!(agreed.as_deref(), Some("talk"), "{name}");
            assert_eq!(socket.receive().await, Ok(Some(Message::from("agreed"))), "{name}");
            drop(socket);
            let to = ConnectTo { http2_in_clear, ..ConnectTo::default() };
            let Err(refused) = connect(&runtime, &at("/none"), to).await else { panic!("no such path") };
            let refused = refused.to_string();
            assert!(refused.contains("404"), "{name}: {refused}");
        }
        proxied.until(&runtime, |stats| in_flight(stats) == Some(0)).await;
        // A server that goes away ends the tunnel, and the client is told.
        let (mut socket, _) =
            connect(&runtime, &at("/socket"), ConnectTo::default()).await.expect("a connection");
        socket.send("there?").await.expect("sent");
        assert_eq!(socket.receive().await, Ok(Some(Message::from("there?"))));
        let _ = _task.cancel().await;
        assert!(!matches!(socket.receive().await, Ok(Some(_))), "{speaks:?}");
    }
    let (upstream, _task) = identity.serve(&runtime, Speaks::Http1, router(), Limits::default()).await;
    let proxied = Proxied::start(&runtime, all_to(group(vec![server(Speaks::Http1, upstream)]))).await;
    // Whatever else the server says comes through as it is.
    let mut plain = Raw::connect(&runtime, proxied.address).await;
    plain.send("GET /none HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(plain.answer().await.expect("an answer").status, 404);
}

/// Who comes by extended CONNECT gets a stream only when the server has understood that it speaks WebSocket.
pub async fn websocket_that_is_none<R: Runtime>(runtime: R) {
    for (answer, status) in [
        ("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "502"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "502",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "502"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "403"),
    ] {
        let upstream = Scripted::start(&runtime, move |_| Step::Last(answer)).await;
        let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
        let proxied = Proxied::start(&runtime, config).await;
        let to = ConnectTo { http2_in_clear: true, ..ConnectTo::default() };
        let at = format!("ws://{}/x", proxied.address).parse().expect("an address");
        let Err(refused) = connect(&runtime, &at, to).await else { panic!("no WebSocket") };
        let refused = refused.to_string();
        assert!(refused.contains(status), "{answer}: {refused}");
        let (head, _) = upstream.parsed().pop().expect("a request");
        assert!(
            head.starts_with("get /x http/1.1\r\n") && head.contains("\r\nsec-websocket-key: "),
            "{head}"
        );
    }
    // Nor from a server of HTTP/2 that does not know extended CONNECT: it is not asked.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let _plain = runtime.spawn("http/2 without more", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut peer, _) = frames::Client::<R>::accepted(stream).await;
            assert_eq!(peer.asked().await, None);
        }
    });
    let connect_time = Duration::from_millis(200);
    let config = all_to(UpstreamConfig { connect_time, ..group(vec![server(Speaks::H2c, address)]) });
    let proxied = Proxied::start(&runtime, config).await;
    let refused = async |http2_in_clear| {
        let to = ConnectTo { http2_in_clear, ..ConnectTo::default() };
        let at = format!("ws://{}/x", proxied.address).parse().expect("an address");
        let Err(refused) = connect(&runtime, &at, to).await else { panic!("no WebSocket") };
        refused.to_string()
    };
    // However often: it has not failed.
    for http2_in_clear in [false, true].repeat(5) {
        let refused = refused(http2_in_clear).await;
        assert!(refused.contains("501"), "{refused}");
    }
    // What is no key gets no answer to it (RFC 6455, 4.2.1).
    let mut plain = Raw::<R>::connect(&runtime, proxied.address).await;
    plain.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(plain.answer().await.expect("an answer").status, 400);
    // HTTP/3 has no WebSocket here.
    let identity = Identity::generate(&runtime);
    let (upstream, _task) = identity.serve(&runtime, Speaks::Http3, routes(), Limits::default()).await;
    let proxied = Proxied::start(&runtime, all_to(group(vec![server(Speaks::Http3, upstream)]))).await;
    let to = ConnectTo { http2_in_clear: true, ..ConnectTo::default() };
    let at = format!("ws://{}/x", proxied.address).parse().expect("an address");
    let Err(refused) = connect(&runtime, &at, to).await else { panic!("no WebSocket") };
    let refused = refused.to_string();
    assert!(refused.contains("501"), "{refused}");
}

/// After 101, bytes: what came early is not lost, and each side closes for itself.
pub async fn tunnels_half_close<R: Runtime>(runtime: R) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let served = runtime.spawn("tunnel", async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.expect("a byte");
            head.push(byte[0]);
        }
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly";
        stream.write_all(switch.as_bytes()).await.expect("written");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("up to the half-close");
        stream.write_all(b"late").await.expect("written after it");
        stream.close().await.expect("closed");
        (String::from_utf8(head).expect("text"), all)
    });
    let proxied = Proxied::start(&runtime, all_to(group(vec![server(Speaks::Http1, address)]))).await;
    let mut client = runtime.connect(proxied.address, ConnectOptions::default()).await.expect("a connection");
    let open = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    client.write_all(open.as_bytes()).await.expect("written");
    client.write_all(&vec![b'u'; 1 << 20]).await.expect("written");
    client.close().await.expect("half-closed");
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.expect("to the end");
    let (head, up) = served.await.expect("served");
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-key: k\r\n"), "{head}");
    assert!(up.len() == 1 << 20, "{}", up.len());
    let down = String::from_utf8(all).expect("text").to_lowercase();
    assert!(down.starts_with("http/1.1 101 ") && down.contains("\r\nupgrade: websocket\r\n"), "{down}");
    assert!(down.ends_with("\r\n\r\nearlylate"), "{down}");
}
