//! HTTP/3 end to end: the same handlers over QUIC, and peers that break the rules.

use crate::quic::support::{Identity, NAME, local, pattern};
use crate::quic_hostile::tamper;
use bytes::Bytes;
use futures_util::future::{join, join_all};
use http_body::Frame;
use shroud::ghostwire::http::{
    Body, BodyError, Handler, HeaderMap, HeaderValue, Http3Client, Http3Error, Limits, Method, Metrics,
    Request, Response, Server, StatusCode, handler_fn, text,
};
use shroud::runtime::{CancellationToken, Runtime, RuntimeExt, Task};
use shroud_h3::h3;
use shroud_quic::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, ServerConfig, Transport, VarInt,
};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A running server.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate.
    pub identity: Identity,
    /// What it counts.
    pub metrics: Metrics,
    _task: Task<()>,
}

/// Starts a server on a port of its own.
pub async fn serve<R: Runtime, H: Handler>(runtime: &R, handler: H, limits: Limits) -> Served {
    let identity = Identity::generate();
    let mut tls = identity.server_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::new(Arc::new(tls));
    let endpoint = Endpoint::server(runtime, local(), &EndpointConfig::default(), &config).await.unwrap();
    let address = endpoint.local_addr();
    let server = Server::new(handler, limits).unwrap();
    let (inner, metrics) = (runtime.clone(), server.metrics().clone());
    let task = runtime.spawn("serve", async move { server.serve_http3(&inner, endpoint).await.unwrap() });
    Served { address, identity, metrics, _task: task }
}

impl Served {
    /// For clients of it.
    pub fn config(&self) -> ClientConfig {
        let mut tls = self.identity.client_tls();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        ClientConfig::new(Arc::new(tls), &Transport::default()).unwrap()
    }

    /// A client of it.
    pub async fn client<R: Runtime>(&self, runtime: &R) -> Client<R> {
        Client::new(runtime, self.config(), self.address).await
    }

    /// A connection to break rules on.
    pub async fn connect<R: Runtime>(&self, runtime: &R) -> (Endpoint<R>, Connection) {
        let endpoint = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap();
        let connection = endpoint.connect(&self.config(), self.address, NAME).unwrap().await.unwrap();
        (endpoint, connection)
    }
}

/// A client, and the server's port.
pub struct Client<R: Runtime> {
    client: Http3Client<R>,
    port: u16,
}

impl<R: Runtime> Client<R> {
    /// Of the server at `address`.
    pub async fn new(runtime: &R, config: ClientConfig, address: SocketAddr) -> Self {
        let endpoint = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap();
        // The certificate has a name, and no simulated or real resolver knows it.
        let client = Http3Client::new(runtime.clone(), endpoint, config, Default::default());
        Self { client: client.resolving(NAME, address.ip()), port: address.port() }
    }

    fn request(&self, method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
        let uri = format!("https://{NAME}:{}{path}", self.port);
        Request::builder().method(method).uri(uri).body(body.into()).unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Result<(StatusCode, HeaderMap, Bytes), Http3Error> {
        let (parts, body) = self.client.send(request).await?.into_parts();
        Ok((parts.status, parts.headers, body.bytes(100_000_000).await.unwrap()))
    }

    /// Status, header and body of an answer.
    pub async fn get(&self, path: &str) -> (StatusCode, HeaderMap, Bytes) {
        self.send(self.request(Method::GET, path, Body::empty())).await.unwrap()
    }
}

/// What the tests ask for.
pub fn routes() -> impl Handler {
    handler_fn(|request: Request<Body>| async move {
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/hello" => text("hello"),
            "/host" => text(parts.headers["host"].to_str().unwrap().to_owned()),
            "/echo" => match body.bytes(u64::MAX).await {
                Ok(bytes) => text(bytes),
                Err(error) => {
                    let mut response = text(error.to_string());
                    *response.status_mut() = error.status();
                    response
                }
            },
            "/stream" => Response::new(Body::stream(body)),
            "/torn" => Response::new(Body::stream(Torn(3))),
            _ => {
                let mut response = text("nothing here");
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    })
}

/// Some pieces, then a failure.
struct Torn(u8);

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0 -= 1;
        Poll::Ready(Some(match self.0 {
            0 => Err(BodyError::Stream("the source has failed".into())),
            _ => Ok(Frame::data(Bytes::from_static(b"a piece"))),
        }))
    }
}

/// Data, then trailers.
struct Trailing(Vec<Frame<Bytes>>);

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

/// Methods, fields, statuses.
pub async fn requests_of_all_kinds<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let client = served.client(&runtime).await;
    let (status, headers, body) = client.get("/hello").await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"hello"[..]));
    assert_eq!(headers["content-length"], "5");
    assert!(headers.contains_key("date"));
    let (_, _, host) = client.get("/host").await;
    assert_eq!(host, format!("{NAME}:{}", served.address.port()));
    assert_eq!(client.get("/else").await.0, StatusCode::NOT_FOUND);
    let head = client.send(client.request(Method::HEAD, "/hello", Body::empty())).await.unwrap();
    assert_eq!((head.0, head.1["content-length"].to_str().unwrap(), head.2.len()), (StatusCode::OK, "5", 0));
    let echo = client.send(client.request(Method::POST, "/echo", "what?")).await.unwrap();
    assert_eq!(echo.2, "what?");
    let http = Request::builder().uri("http://localhost/").body(Body::empty()).unwrap();
    assert!(matches!(client.client.send(http).await, Err(Http3Error::Address(_))));
}

/// Megabytes, and no more under way than windows allow.
pub async fn bodies_stream_both_ways<R: Runtime>(runtime: R) {
    let limits = Limits { body_bytes: 10_000_000, ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let client = served.client(&runtime).await;
    let bytes = pattern(5_000_000);
    let request = client.request(Method::POST, "/stream", bytes.clone());
    let mut body = client.client.send(request).await.unwrap().into_body();
    // The first of it comes back while the rest has not been sent.
    let mut all = Vec::new();
    while let Some(piece) = body.data().await.unwrap() {
        all.extend_from_slice(&piece);
        if all.len() < 500_000 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(all == bytes);
}

/// On one connection.
pub async fn many_requests_at_once<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let client = served.client(&runtime).await;
    let client = &client;
    join_all((0..150_usize).map(|number| async move {
        let bytes = pattern(100 * number);
        let answer = client.send(client.request(Method::POST, "/echo", bytes.clone())).await.unwrap();
        assert!(answer.2 == bytes, "request {number}");
    }))
    .await;
}

/// RFC 9110, 6.5 and 10.1.1.
pub async fn trailers_and_continue<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let client = served.client(&runtime).await;
    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), HeaderValue::from_static("42"))].into_iter().collect();
    let frames = vec![Frame::trailers(trailers), Frame::data(Bytes::from_static(b"data"))];
    let mut request = client.request(Method::POST, "/stream", Body::stream(Trailing(frames)));
    request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    let mut body = client.client.send(request).await.unwrap().into_body();
    let mut seen = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await
    {
        match frame.unwrap().into_data() {
            Ok(data) => seen.push(String::from_utf8(data.to_vec()).unwrap()),
            Err(frame) => seen.push(frame.into_trailers().unwrap()["x-sum"].to_str().unwrap().to_owned()),
        }
    }
    assert_eq!(seen, ["data", "42"]);
}

/// A handler's stream that fails resets the response.
pub async fn a_torn_response_is_no_whole_one<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let client = served.client(&runtime).await;
    // The reset can overtake the head.
    match client.client.send(client.request(Method::GET, "/torn", Body::empty())).await {
        Ok(response) => {
            let error = response.into_body().bytes(1000).await.unwrap_err();
            assert!(matches!(error, BodyError::BrokenOff(_)), "{error:?}");
        }
        Err(error) => assert!(matches!(error, Http3Error::Request(_)), "{error:?}"),
    }
    assert_eq!(client.get("/hello").await.0, StatusCode::OK, "the connection goes on");
}

/// At the limit, one past it, and far beyond.
pub async fn limits_of_requests<R: Runtime>(runtime: R) {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let client = served.client(&runtime).await;
    let (status, ..) = client.send(client.request(Method::POST, "/echo", vec![1; 1000])).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = client.send(client.request(Method::POST, "/echo", vec![1; 1001])).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut announced = client.request(Method::POST, "/echo", vec![1; 10]);
    announced.headers_mut().insert("content-length", HeaderValue::from_static("1001"));
    assert_eq!(client.send(announced).await.unwrap().0, StatusCode::PAYLOAD_TOO_LARGE);
    let with_header = |length| {
        let mut request = client.request(Method::GET, "/hello", Body::empty());
        request.headers_mut().insert("x-long", HeaderValue::from_str(&"x".repeat(length)).unwrap());
        client.send(request)
    };
    assert_eq!(with_header(15_000).await.unwrap().0, StatusCode::OK);
    // The client does not even send what the server has said it does not take (SETTINGS_MAX_FIELD_SECTION_SIZE).
    assert!(with_header(17_000).await.is_err());
    let mut many = client.request(Method::GET, "/hello", Body::empty());
    for number in 0..101 {
        many.headers_mut().insert(
            shroud::ghostwire::http::header::HeaderName::try_from(format!("x-{number}")).unwrap(),
            HeaderValue::from_static("y"),
        );
    }
    assert_eq!(client.send(many).await.unwrap().0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

/// Headers and bodies that do not come.
pub async fn slow_clients<R: Runtime>(runtime: R) {
    let limits = Limits {
        header_time: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let served = serve(&runtime, routes(), limits).await;
    let (_endpoint, connection) = served.connect(&runtime).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // HEADERS of 100 bytes, and nothing more.
    send.write_all(&[1, 0x40, 100, 0]).await.unwrap();
    assert!(receive.read_to_end(1000).await.is_err(), "the request is given up");
    assert_eq!(connection.close_reason(), None, "the connection is not");
    // A body that does not come is answered 408.
    let client = served.client(&runtime).await;
    struct Never;
    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Pending
        }
    }
    let request = client.request(Method::POST, "/echo", Body::stream(Never));
    assert_eq!(client.send(request).await.unwrap().0, StatusCode::REQUEST_TIMEOUT);
}

/// 0-RTT: safe requests are served, others answered 425 (RFC 8470).
pub async fn early_requests_are_served_when_safe<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let config = served.config();
    let first = Http3Client::new(runtime.clone(), endpoint.clone(), config.clone(), Default::default());
    let client = Client { client: first.resolving(NAME, served.address.ip()), port: served.address.port() };
    client.get("/hello").await;
    client.client.clear();
    endpoint.wait_idle().await;
    // The client's own way.
    assert_eq!(client.get("/hello").await.0, StatusCode::OK);
    client.client.clear();
    endpoint.wait_idle().await;
    // By hand, and not safe.
    let (connection, early) =
        endpoint.connect(&config, served.address, NAME).unwrap().into_0rtt().expect("there is a ticket");
    let (mut driver, mut sender) = h3::client::builder()
        .send_grease(false)
        .build::<_, _, Bytes>(shroud_h3::Connection::new(connection.clone(), 10_000))
        .await
        .unwrap();
    let drive = async { driver.wait_idle().await };
    let ask = async {
        let uri = format!("https://{NAME}:{}/echo", served.address.port());
        let request = Request::builder().method(Method::POST).uri(uri).body(()).unwrap();
        let mut stream = sender.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        assert!(early.accepted().await);
        connection.close(VarInt::from_u32(0x100), b"");
        response.status()
    };
    let (_, status) = join(drive, ask).await;
    assert_eq!(status, StatusCode::TOO_EARLY);
}

/// GOAWAY: what was begun is answered, new ones are not, and the server ends.
pub async fn draining_finishes_requests_in_work<R: Runtime>(runtime: R) {
    let (begun, release) = (CancellationToken::new(), CancellationToken::new());
    let handler = handler_fn({
        let (begun, release) = (begun.clone(), release.clone());
        move |_| {
            let (begun, release) = (begun.clone(), release.clone());
            async move {
                begun.cancel();
                release.cancelled().await;
                text("late")
            }
        }
    });
    let served = serve(&runtime, handler, Limits::default()).await;
    let client = served.client(&runtime).await;
    let ask = client.send(client.request(Method::GET, "/", Body::empty()));
    let stop = async {
        begun.cancelled().await;
        runtime.stopping().cancel();
        runtime.sleep(Duration::from_millis(100)).await;
        let (endpoint, config) =
            (Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap(), served.config());
        let refused = endpoint.connect(&config, served.address, NAME).unwrap().await;
        assert!(matches!(refused, Err(ConnectionError::PeerTransport { .. })), "{refused:?}");
        release.cancel();
    };
    let (answer, ()) = join(ask, stop).await;
    assert_eq!(answer.unwrap().2, "late");
    served._task.await.unwrap();
}

/// Nor is a client waited for that never ends its handshake.
pub async fn draining_waits_for_no_handshake<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let mut tls = served.identity.client_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut client = tamper::Client::start(&runtime, tls, served.address, tamper::Plan::default()).await;
    while served.metrics.connections() == 0 {
        client.step(Duration::from_millis(1)).await;
    }
    let begun = runtime.now();
    runtime.stopping().cancel();
    served._task.await.unwrap();
    assert!(runtime.now().saturating_duration_since(begun) < Limits::default().drain_time);
}

/// h3 alone would keep what never ends.
pub async fn frames_without_end<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let (_endpoint, connection) = served.connect(&runtime).await;
    for kind in [1_u8, 0x21] {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // A frame of 2^62 - 1 bytes.
        let mut head = vec![kind];
        head.extend([0xff; 8]);
        send.write_all(&head).await.unwrap();
        // Far less is taken than would be offered.
        let flood = async {
            let mut sent = 0;
            while sent < 50_000_000 {
                if send.write_all(&[0; 10_000]).await.is_err() {
                    break;
                }
                sent += 10_000;
            }
            sent
        };
        let sent = flood.await;
        assert!(sent < 5_000_000, "{sent} bytes of a frame of kind {kind} were taken");
        let _ = receive.read_to_end(10_000).await;
    }
    let client = served.client(&runtime).await;
    assert_eq!(client.get("/hello").await.0, StatusCode::OK);
}

/// Each with the code that the RFC asks for.
pub async fn broken_connections<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    // What is sent on unidirectional streams, one after the other, and the code (RFC 9114, 8.1).
    let unidirectional: [(&[&[u8]], u32); 5] = [
        // Two control streams: H3_STREAM_CREATION_ERROR.
        (&[&[0, 4, 0], &[0, 4, 0]], 0x103),
        // No SETTINGS first: H3_MISSING_SETTINGS.
        (&[&[0, 7, 1, 0]], 0x10a),
        // SETTINGS twice: H3_FRAME_UNEXPECTED.
        (&[&[0, 4, 0, 4, 0]], 0x105),
        // A setting of HTTP/2: H3_SETTINGS_ERROR.
        (&[&[0, 4, 2, 2, 1]], 0x109),
        // DATA on the control stream: H3_FRAME_UNEXPECTED.
        (&[&[0, 4, 0, 0, 1, 1]], 0x105),
    ];
    for (streams, code) in unidirectional {
        let (_endpoint, connection) = served.connect(&runtime).await;
        let mut held = Vec::new();
        for bytes in streams {
            let mut send = connection.open_uni().await.unwrap();
            send.write_all(bytes).await.unwrap();
            held.push(send);
        }
        let closed = connection.closed().await;
        let expected = VarInt::from_u32(code);
        let right = matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == expected);
        assert!(right, "{streams:?}: {closed:?}");
    }
    // A frame without end on the control stream, in its first bytes and later: H3_EXCESSIVE_LOAD.
    for pieces in [
        &[&[0, 4, 0, 0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..]][..],
        &[&[0, 4, 0], &[0x21, 0xff], &[0xff; 7]],
    ] {
        let (_endpoint, connection) = served.connect(&runtime).await;
        let mut control = connection.open_uni().await.unwrap();
        for piece in pieces {
            control.write_all(piece).await.unwrap();
            // Each is read before the next is sent.
            runtime.sleep(Duration::from_millis(20)).await;
        }
        let closed = connection.closed().await;
        assert!(
            matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == VarInt::from_u32(0x107)),
            "{pieces:?}: {closed:?}"
        );
    }
    // The control stream ends: H3_CLOSED_CRITICAL_STREAM.
    let (_endpoint, connection) = served.connect(&runtime).await;
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    control.finish().unwrap();
    let closed = connection.closed().await;
    assert!(
        matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == VarInt::from_u32(0x104)),
        "{closed:?}"
    );
    // A request that begins with DATA: H3_FRAME_UNEXPECTED; a header that does not decode: QPACK_DECOMPRESSION_FAILED.
    for (bytes, code) in [(&[0_u8, 1, 1][..], 0x105), (&[1, 3, 0xff, 0xff, 0xff], 0x200)] {
        let (_endpoint, connection) = served.connect(&runtime).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let closed = connection.closed().await;
        let expected = VarInt::from_u32(code);
        let right = matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == expected);
        assert!(right, "{bytes:?}: {closed:?}");
    }
    let client = served.client(&runtime).await;
    assert_eq!(client.get("/hello").await.0, StatusCode::OK);
}
