//! One port, all protocols: HTTP/1.1, HTTP/2 and HTTP/3, and WebSocket over the first two; with new certificates under load,
//! limits and a drain that hold for all of them.

use bytes::Bytes;
use futures_util::future::{join, join_all};
use shroud::ghostwire::http::{
    Alternatives, Body, Client, ClientError, ClientLimits, ConnectionInfo, Handler, Http3Client, Http3Error,
    Limits, Metrics, OnePort, PortError, Request, Response, Router, ServeError, Server, StatusCode, Tls,
    UseHttp3, handler_fn, header, text,
};
use shroud::ghostwire::tls::{
    Certificate, Certificates, ClientOptions, DevCertificate, DevKey, SeamClock, ServerOptions, Trust, alpn,
    provider,
};
use shroud::ghostwire::websocket::{
    self, CloseCode, ConnectError, ConnectTo, End, Message, WebSocket, connect,
};
use shroud::runtime::{Backend, CancellationToken, DatagramOptions, Runtime, RuntimeExt, Task};
use shroud_h3::h3;
use shroud_quic::{ClientConfig, Endpoint, EndpointConfig, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Any port of this host.
pub const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The versions, as clients ask for them.
pub const VERSIONS: [&str; 3] = ["HTTP/1.1", "HTTP/2.0", "HTTP/3.0"];

/// A certificate and its PEM text, which is what clients trust.
pub fn dev<R: Runtime>(runtime: &R) -> (Certificate, String) {
    let made = DevCertificate::generate(DevKey::P256, &[], runtime.unix_time(), |out| runtime.fill(out))
        .expect("one");
    let (pem, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
    let certificate =
        Certificate::from_pem(pem, key, runtime.unix_time(), &provider()).expect("a certificate");
    (certificate, made.certificate_pem)
}

/// A server's TLS with one certificate.
pub fn tls<R: Runtime>(runtime: &R, certificate: Certificate) -> Tls {
    let certificates = Certificates::new(vec![certificate]).expect("one");
    Tls::new(&ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates)).expect("TLS")
}

/// A client's TLS, which believes these PEM texts.
pub fn believing<R: Runtime>(runtime: &R, trusted: &str) -> ClientOptions {
    let trust = Trust::from_pem(trusted.as_bytes()).expect("anchors");
    ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust)
}

async fn http3_client<R: Runtime>(runtime: &R, trusted: &str, limits: ClientLimits) -> Http3Client<R> {
    http3_client_of(runtime, believing(runtime, trusted), LOCAL, limits).await
}

/// A client of HTTP/3 that sends from `from`.
pub async fn http3_client_of<R: Runtime>(
    runtime: &R,
    options: ClientOptions,
    from: SocketAddr,
    limits: ClientLimits,
) -> Http3Client<R> {
    let endpoint = Endpoint::client(runtime, from, &EndpointConfig::default()).await.expect("an endpoint");
    let mut tls = options.protocols(&[alpn::H3]).only_tls_13().config().expect("TLS");
    tls.enable_early_data = true;
    let config = ClientConfig::new(Arc::new(tls), &Transport::default()).expect("a configuration");
    Http3Client::new(runtime.clone(), endpoint, config, limits)
}

/// A client without a connection, for one version.
async fn client<R: Runtime>(runtime: &R, trusted: &str, version: &str) -> Client<R> {
    client_of(runtime, believing(runtime, trusted), LOCAL, version).await
}

/// A client without a connection, for one version; of HTTP/3, it sends from `from`.
pub async fn client_of<R: Runtime>(
    runtime: &R,
    options: ClientOptions,
    from: SocketAddr,
    version: &str,
) -> Client<R> {
    let protocols: &[&[u8]] = if version == "HTTP/1.1" { &[alpn::HTTP_1_1] } else { &[alpn::H2] };
    let tls = options.clone().protocols(protocols).config().expect("TLS");
    let client = Client::new(runtime.clone(), ClientLimits::default()).with_tls(Arc::new(tls));
    if version != "HTTP/3.0" {
        return client;
    }
    let http3 = http3_client_of(runtime, options, from, ClientLimits::default()).await;
    client.with_http3(http3, UseHttp3::Always)
}

/// A request over TLS.
pub fn get(address: SocketAddr, path: &str) -> Request<Body> {
    Request::get(format!("https://{address}{path}")).body(Body::empty()).expect("a request")
}

async fn echo(mut socket: WebSocket, _: websocket::Opened) {
    while let Ok(Some(message)) = socket.receive().await {
        if socket.feed(message).await.is_err() {
            return;
        }
    }
}

/// `/version` says which version of HTTP the request came by, `/socket` echoes.
fn routes() -> Router {
    let version = handler_fn(|request: Request<Body>| async move {
        let info = ConnectionInfo::of(&request).expect("a connection");
        let protocol = info.tls.as_ref().and_then(|tls| tls.protocol.clone()).unwrap_or_default();
        text(format!("{:?} {}", request.version(), String::from_utf8_lossy(&protocol)))
    });
    let body = handler_fn(|request: Request<Body>| async move {
        text(request.into_body().bytes(1 << 20).await.unwrap_or_default())
    });
    Router::new()
        .get("/version", version)
        .post("/body", body)
        .get("/socket", websocket::serve(websocket::Options::default(), echo))
}

/// A server on one port.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it counts.
    pub metrics: Metrics,
    task: Task<Result<(), ServeError>>,
}

/// Starts one.
pub async fn serve<R: Runtime>(runtime: &R, on: &OnePort, handler: impl Handler, limits: Limits) -> Served {
    let port = on.bind(runtime).await.expect("a port");
    let address = port.local_addr();
    let server = Server::new(handler, limits).expect("valid limits");
    let metrics = server.metrics().clone();
    let task = {
        let runtime = runtime.clone();
        async move { server.serve_port(&runtime, port).await }
    };
    Served { address, metrics, task: runtime.spawn("server", task) }
}

async fn serve_tls<R: Runtime>(runtime: &R, router: Router, limits: Limits) -> (Served, String) {
    let (certificate, pem) = dev(runtime);
    let on = OnePort::new(LOCAL).with_tls(tls(runtime, certificate));
    (serve(runtime, &on, router, limits).await, pem)
}

/// The same port answers each client in its own version, and tells those over TCP where HTTP/3 is.
pub async fn all_versions<R: Runtime>(runtime: R) {
    let (served, pem) = serve_tls(&runtime, routes(), Limits::default()).await;
    let announced = format!("h3=\":{}\"; ma=86400", served.address.port());
    for (version, protocol) in VERSIONS.into_iter().zip(["http/1.1", "h2", "h3"]) {
        let client = client(&runtime, &pem, version).await;
        let answer = client.send(get(served.address, "/version")).await.expect("an answer");
        assert_eq!(std::str::from_utf8(answer.body()).expect("text"), format!("{version} {protocol}"));
        let elsewhere = answer.headers().get(header::ALT_SVC).map(|value| value.to_str().expect("text"));
        assert_eq!(elsewhere, (version != "HTTP/3.0").then_some(&*announced), "{version}");
        let request = Request::post(format!("https://{}/body", served.address));
        let answer = client.send(request.body("x".repeat(100_000).into()).expect("one")).await.expect("one");
        assert_eq!(answer.body().len(), 100_000, "{version}");
    }
    assert_eq!(served.metrics.requests(), 6);
    // A certificate that is not believed is refused in every version.
    let (_, other) = dev(&runtime);
    for version in VERSIONS {
        let refused = client(&runtime, &other, version).await.send(get(served.address, "/version")).await;
        assert!(
            matches!(refused, Err(ClientError::Tls { .. } | ClientError::Http3(Http3Error::Connection(_)))),
            "{version}: {refused:?}"
        );
    }
}

/// Without TLS there is HTTP/1.1 and HTTP/2 on the port, nothing in UDP, and nothing is announced.
pub async fn in_the_clear<R: Runtime>(runtime: R) {
    let served = serve(&runtime, &OnePort::new(LOCAL), routes(), Limits::default()).await;
    let plain = Client::new(runtime.clone(), ClientLimits::default());
    for (client, version) in [(plain.clone(), "HTTP/1.1 "), (plain.with_http2_in_clear(), "HTTP/2.0 ")] {
        let request = Request::get(format!("http://{}/version", served.address)).body(Body::empty());
        let answer = client.send(request.expect("one")).await.expect("an answer");
        assert_eq!(answer.body(), version);
        assert!(!answer.headers().contains_key(header::ALT_SVC));
    }
    drop(runtime.bind(served.address, DatagramOptions::default()).await.expect("UDP is free"));
    for http2_in_clear in [false, true] {
        let to = ConnectTo { http2_in_clear, ..ConnectTo::default() };
        let address = format!("ws://{}/socket", served.address).parse().expect("an address");
        talk(connect(&runtime, &address, to).await.expect("a socket").0).await;
    }
}

/// Messages of all sizes go there and back, more than any window on the way holds.
async fn talk(mut socket: WebSocket) {
    for length in [0, 1, 126, 65_536, 3 << 20] {
        let message = Message::from(vec![b'm'; length]);
        let (mut sender, mut received) = (Some(message.clone()), None);
        while received.is_none() {
            if let Some(message) = sender.take() {
                socket.feed(message).await.expect("queued");
            }
            received = Some(socket.receive().await.expect("open").expect("a message"));
        }
        assert!(received == Some(message), "{length}");
    }
    let end = socket.close(CloseCode::NORMAL, "done").await;
    assert!(matches!(&end, End::Closed(Some(frame)) if frame.code == CloseCode::NORMAL), "{end:?}");
}

fn secure_socket<R: Runtime>(runtime: &R, pem: &str, protocols: &[&[u8]]) -> ConnectTo {
    let tls = believing(runtime, pem).protocols(protocols).config().expect("TLS");
    ConnectTo { tls: Some(Arc::new(tls)), ..ConnectTo::default() }
}

/// WebSocket with TLS, over HTTP/1.1 and as a stream of HTTP/2 (RFC 8441), by the same handler.
pub async fn web_sockets<R: Runtime>(runtime: R) {
    let (served, pem) = serve_tls(&runtime, routes(), Limits::default()).await;
    let address = |path: &str| format!("wss://{}{path}", served.address).parse().expect("an address");
    for protocol in [alpn::HTTP_1_1, alpn::H2] {
        let to = secure_socket(&runtime, &pem, &[protocol]);
        talk(connect(&runtime, &address("/socket"), to).await.expect("a socket").0).await;
        // A path without a socket opens none: over HTTP/2 a 200 would.
        let to = secure_socket(&runtime, &pem, &[protocol]);
        let refused = connect(&runtime, &address("/version"), to).await.expect_err("no socket");
        let status = if protocol == alpn::H2 { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::OK };
        let expected = format!("the server answered {status} instead of opening a WebSocket");
        assert_eq!(refused.to_string(), expected);
        let to = secure_socket(&runtime, &pem, &[protocol]);
        let refused = connect(&runtime, &address("/none"), to).await;
        assert!(matches!(refused, Err(ConnectError::Opening(_))), "nothing is there");
    }
    // Subprotocols and origins are judged as over HTTP/1.1.
    let mut to = secure_socket(&runtime, &pem, &[alpn::H2]);
    to.headers.insert(header::ORIGIN, "https://elsewhere.test".parse().expect("a value"));
    let refused = connect(&runtime, &address("/socket"), to).await.expect_err("no socket").to_string();
    assert!(refused.contains("403"), "{refused}");
    let mut to = secure_socket(&runtime, &pem, &[alpn::H2]);
    let own = format!("https://{}", served.address);
    to.headers.insert(header::ORIGIN, own.parse().expect("a value"));
    talk(connect(&runtime, &address("/socket"), to).await.expect("a socket").0).await;
    while served.metrics.connections() > 0 {
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// A connection whose requests are answered at once is not idle, however long it has been there.
pub async fn busy_connections_stay<R: Runtime>(runtime: R) {
    let idle_time = Duration::from_secs(2);
    let (served, pem) = serve_tls(&runtime, routes(), Limits { idle_time, ..Limits::default() }).await;
    let begun = runtime.now();
    let ask = async |version| {
        let client = client(&runtime, &pem, version).await;
        while runtime.now().saturating_duration_since(begun) < idle_time * 2 {
            let answer = client.send(get(served.address, "/version")).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            runtime.sleep(idle_time / 20).await;
        }
    };
    join_all(VERSIONS.map(ask)).await;
    assert_eq!(crate::hostile::harness::accepted(&served.metrics), VERSIONS.len(), "one for each version");
}

/// A client asks over TCP first, is told, and goes on over HTTP/3; when that cannot be reached, it goes back.
pub async fn alternatives<R: Runtime>(runtime: R) {
    let (served, pem) = serve_tls(&runtime, routes(), Limits::default()).await;
    let known = Alternatives::new();
    let http3 = http3_client(&runtime, &pem, ClientLimits::default()).await;
    let tcp = client(&runtime, &pem, "HTTP/2.0").await;
    let both = tcp.clone().with_http3(http3, UseHttp3::WhenAnnounced(known.clone()));
    let mut versions = Vec::new();
    for _ in 0..3 {
        let answer = both.send(get(served.address, "/version")).await.expect("an answer");
        versions.push(String::from_utf8_lossy(answer.body()).into_owned());
    }
    assert_eq!(versions, ["HTTP/2.0 h2", "HTTP/3.0 h3", "HTTP/3.0 h3"]);
    assert!(known.to_text().contains(&format!("https://{} :{} ", served.address, served.address.port())));
    // Where nobody answers: the request goes over TCP.
    let silent = runtime.bind(LOCAL, DatagramOptions::default()).await.expect("a socket");
    let place = shroud::runtime::Datagram::local_addr(&silent).expect("an address");
    let until = runtime.unix_time().as_secs() + 1000;
    let text = format!("https://{} :{} {until}\n", served.address, place.port());
    let known = Alternatives::from_text(&text).expect("a memory");
    let limits = ClientLimits { connect_time: Duration::from_millis(300), ..ClientLimits::default() };
    let http3 = http3_client(&runtime, &pem, limits).await;
    let both = tcp.with_http3(http3, UseHttp3::WhenAnnounced(known));
    let request = Request::post(format!("https://{}/body", served.address)).body("kept".into()).expect("one");
    let answer = both.send(request).await.expect("an answer");
    assert_eq!(
        (answer.version(), &answer.body()[..]),
        (shroud::ghostwire::http::Version::HTTP_2, &b"kept"[..])
    );
    // That answer named a better place.
    let answer = both.send(get(served.address, "/version")).await.expect("an answer");
    assert_eq!(answer.body(), "HTTP/3.0 h3");
}

/// A client that comes again may send early data, over QUIC only; what is not safe in it is not handled (RFC 8470).
pub async fn early_data<R: Runtime>(runtime: R) {
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let count = handler_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { text("handled") }
    });
    let (served, pem) = serve_tls(&runtime, Router::new().any("/", count), Limits::default()).await;
    let endpoint = Endpoint::client(&runtime, LOCAL, &EndpointConfig::default()).await.expect("an endpoint");
    let mut tls = believing(&runtime, &pem).protocols(&[alpn::H3]).only_tls_13().config().expect("TLS");
    tls.enable_early_data = true;
    let config = ClientConfig::new(Arc::new(tls), &Transport::default()).expect("a configuration");
    let mut late = 0;
    loop {
        // Until a ticket of an earlier connection has arrived, there is no early data.
        let (connection, early) = loop {
            match endpoint.connect(&config, served.address, "localhost").expect("tried").into_0rtt() {
                Ok(early) => break early,
                Err(connecting) => {
                    let connection = connecting.await.expect("a connection");
                    runtime.sleep(connection.rtt()).await;
                    connection.close(0_u32.into(), b"");
                }
            }
        };
        let (mut driver, mut sender) = h3::client::builder()
            .send_grease(false)
            .build::<_, _, Bytes>(shroud_h3::Connection::new(connection.clone(), 10_000))
            .await
            .expect("HTTP/3");
        let drive = async { driver.wait_idle().await };
        let ask = async {
            let uri = format!("https://localhost:{}/", served.address.port());
            let request = Request::post(uri).body(()).expect("a request");
            let mut stream = sender.send_request(request).await.expect("sent");
            // The answer may come first, and the server need no more of the request then.
            let _ = stream.finish().await;
            let response = stream.recv_response().await.expect("an answer");
            assert!(early.accepted().await);
            connection.close(0x100_u32.into(), b"");
            response.status()
        };
        let (_, status) = join(drive, ask).await;
        if status == StatusCode::TOO_EARLY {
            break;
        }
        // It was looked at when the handshake was over: then it is no replay, and handled.
        assert_eq!(status, StatusCode::OK);
        late += 1;
        assert!(late < 50, "never early");
    }
    assert_eq!(handled.load(Ordering::SeqCst), late, "what is too early is not handled");
}

/// Certificates are replaced again and again while clients of all versions come, and connections that are open stay.
pub async fn new_certificates_under_load<R: Runtime>(runtime: R) {
    const CHANGES: usize = 20;
    let (certificates, texts): (Vec<_>, Vec<_>) = (0..2).map(|_| dev(&runtime)).unzip();
    let all = texts.concat();
    let tls = tls(&runtime, certificates[0].clone());
    let on = OnePort::new(LOCAL).with_tls(tls.clone());
    let served = serve(&runtime, &on, routes(), Limits::default()).await;
    let staying = join_all(VERSIONS.map(|version| client(&runtime, &all, version))).await;
    let ask = async |client: &Client<R>| {
        client.send(get(served.address, "/version")).await.map(Response::into_body).expect("an answer")
    };
    for client in &staying {
        ask(client).await;
    }
    let to = secure_socket(&runtime, &all, &[alpn::H2]);
    let address = format!("wss://{}/socket", served.address).parse().expect("an address");
    let (mut socket, _) = connect(&runtime, &address, to).await.expect("a socket");
    let open = served.metrics.connections();
    assert_eq!(open, 4);

    let done = CancellationToken::new();
    let handshakes = AtomicU64::new(0);
    let load = join_all(VERSIONS.map(|version| {
        let (done, runtime, all, handshakes, ask) = (&done, &runtime, &all, &handshakes, &ask);
        async move {
            while !done.is_cancelled() {
                ask(&client(runtime, all, version).await).await;
                handshakes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    let change = async {
        for change in 1..=CHANGES {
            let before = handshakes.load(Ordering::Relaxed);
            tls.certificates().replace(vec![certificates[change % 2].clone()]).expect("another");
            // Each is met by new connections before the next takes its place.
            while handshakes.load(Ordering::Relaxed) < before + 3 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        }
        done.cancel();
    };
    join(load, change).await;
    for client in &staying {
        ask(client).await;
    }
    socket.send("still here").await.expect("sent");
    assert_eq!(socket.receive().await, Ok(Some(Message::from("still here"))));
    // Only the last one is shown now.
    for version in VERSIONS {
        ask(&client(&runtime, &texts[CHANGES % 2], version).await).await;
        let other = client(&runtime, &texts[(CHANGES + 1) % 2], version).await;
        assert!(other.send(get(served.address, "/version")).await.is_err(), "{version}");
    }
}

/// A stop lets the requests in work of all versions finish, says goodbye to sockets, and closes the rest.
pub async fn draining<R: Runtime>(runtime: R) {
    let begun = Arc::new(AtomicUsize::new(0));
    let release = CancellationToken::new();
    let slow = handler_fn({
        let (begun, release) = (Arc::clone(&begun), release.clone());
        move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            let release = release.clone();
            async move {
                release.cancelled().await;
                text("late")
            }
        }
    });
    let (served, pem) = serve_tls(&runtime, routes().get("/slow", slow), Limits::default()).await;
    let clients = join_all(VERSIONS.map(|version| client(&runtime, &pem, version))).await;
    // Those of HTTP/2 would not see that they are to go: its client drives a connection for those who wait only.
    let idle = join_all(["HTTP/1.1", "HTTP/3.0"].map(|version| client(&runtime, &pem, version))).await;
    for client in &idle {
        client.send(get(served.address, "/version")).await.expect("an answer");
    }
    let address: shroud::ghostwire::http::Uri =
        format!("wss://{}/socket", served.address).parse().expect("an address");
    let mut sockets = Vec::new();
    for protocol in [alpn::HTTP_1_1, alpn::H2] {
        let to = secure_socket(&runtime, &pem, &[protocol]);
        sockets.push(connect(&runtime, &address, to).await.expect("a socket").0);
    }
    let asked = join_all(clients.iter().map(|client| client.send(get(served.address, "/slow"))));
    let stop = async {
        while begun.load(Ordering::SeqCst) < VERSIONS.len() {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        runtime.stopping().cancel();
        for socket in &mut sockets {
            assert_eq!(socket.receive().await, Ok(None));
            let end = socket.end().expect("its end");
            assert!(
                matches!(end, End::Closed(Some(frame)) if frame.code == CloseCode::GOING_AWAY),
                "{end:?}"
            );
        }
        release.cancel();
    };
    let (answers, ()) = join(asked, stop).await;
    for (answer, version) in answers.into_iter().zip(VERSIONS) {
        assert_eq!(answer.unwrap_or_else(|error| panic!("{version}: {error:?}")).body(), "late");
    }
    drop((sockets, clients));
    served.task.await.expect("no panic").expect("served");
    assert_eq!(served.metrics.connections(), 0);
}

/// The limits of connections and requests are those of the port, not of each protocol.
pub async fn limits_hold_for_all<R: Runtime>(runtime: R) {
    let limits = Limits { connections: 2, ..Limits::default() };
    let (served, pem) = serve_tls(&runtime, routes(), limits).await;
    let [first, third, second] = join_all(VERSIONS.map(|version| client(&runtime, &pem, version)))
        .await
        .try_into()
        .unwrap_or_else(|_| unreachable!("three versions"));
    let ask = async |client: &Client<R>| client.send(get(served.address, "/version")).await;
    assert!(ask(&first).await.is_ok() && ask(&second).await.is_ok());
    assert!(ask(&third).await.is_err(), "HTTP/2 is the third");
    let another = client(&runtime, &pem, "HTTP/3.0").await;
    assert!(ask(&another).await.is_err(), "and so is more of HTTP/3");
    assert!(ask(&first).await.is_ok() && ask(&second).await.is_ok());
}

/// All shards serve all versions on the same port, and nobody else can join in.
pub fn several_shards<B: Backend>(backend: &B) {
    const SHARDS: usize = 2;
    let shared: Arc<Mutex<Option<(OnePort, String)>>> = Arc::default();
    let (done, ready) = (CancellationToken::new(), CancellationToken::new());
    let bound = Arc::new(AtomicUsize::new(0));
    let answered: Arc<[AtomicU64; SHARDS]> = Arc::default();
    crate::run(backend, SHARDS, move |runtime: B::Runtime| {
        let (shared, done, ready, bound, answered) =
            (Arc::clone(&shared), done.clone(), ready.clone(), Arc::clone(&bound), Arc::clone(&answered));
        async move {
            let shard = runtime.shard();
            if shard.index == 0 {
                let (certificate, pem) = dev(&runtime);
                let on = OnePort::new(LOCAL).with_tls(tls(&runtime, certificate));
                *shared.lock().expect("no panic") = Some((on, pem));
                ready.cancel();
            }
            ready.cancelled().await;
            let (on, pem) = shared.lock().expect("no panic").clone().expect("a port");
            let counted = Arc::clone(&answered);
            let count = handler_fn(move |request: Request<Body>| {
                counted[shard.index].fetch_add(1, Ordering::SeqCst);
                async move { text(format!("{:?}", request.version())) }
            });
            let served = serve(&runtime, &on, Router::new().get("/count", count), Limits::default()).await;
            bound.fetch_add(1, Ordering::SeqCst);
            if shard.index > 0 {
                done.cancelled().await;
                return;
            }
            while bound.load(Ordering::SeqCst) < shard.count {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            // Enough connections that each shard gets some of each kind.
            let mut asked = 0;
            while asked < 24
                || answered.iter().take(shard.count).any(|count| count.load(Ordering::SeqCst) == 0)
            {
                for version in VERSIONS {
                    let client = client(&runtime, &pem, version).await;
                    let answer = client.send(get(served.address, "/count")).await.expect("an answer");
                    assert_eq!(answer.body(), version);
                    asked += 1;
                }
            }
            let total: u64 = answered.iter().map(|count| count.load(Ordering::SeqCst)).sum();
            assert_eq!(total, asked);
            let second = OnePort::new(served.address).bind(&runtime).await;
            assert!(matches!(second, Err(PortError::Listen { .. })), "{second:?}");
            done.cancel();
        }
    });
}
