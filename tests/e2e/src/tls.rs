//! HTTP over TLS, and HTTP/2 as well-behaved clients see it: both protocols on one port, the client with its pool,
//! streams both ways, trailers, redirects, proxies, client certificates, new certificates.

use crate::http::{BIG, Raw, Served, routes, serve};
use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::http::{
    Body, Client, ClientError, ClientLimits, ConnectionInfo, Handler, HeaderMap, HeaderValue, Limits, Proxy,
    Request, Response, Router, Server, StatusCode, handler_fn, header, text,
};
use shroud::ghostwire::tls::rustls::{ClientConfig, ServerConfig};
use shroud::ghostwire::tls::{
    Certificate, Certificates, ClientCertificates, ClientOptions, DevCertificate, DevKey, SeamClock,
    ServerOptions, TlsStream, Trust, accept, alpn, connect, provider,
};
use shroud::runtime::net::{ConnectOptions, ListenOptions, Listener, ListenerExt};
use shroud::runtime::{Runtime, RuntimeExt};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const BOTH: &[&[u8]] = &[alpn::H2, alpn::HTTP_1_1];

pub(crate) fn dev<R: Runtime>(runtime: &R) -> (Certificate, Trust) {
    let made = DevCertificate::generate(DevKey::P256, &[], runtime.unix_time(), |out| runtime.fill(out))
        .expect("one");
    let (pem, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
    let certificate =
        Certificate::from_pem(pem, key, runtime.unix_time(), &provider()).expect("a certificate");
    (certificate, Trust::from_pem(pem).expect("an anchor"))
}

fn client<R: Runtime>(runtime: &R, trust: &Trust, protocols: &[&[u8]]) -> Client<R> {
    let options = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust.clone());
    let config = options.protocols(protocols).config().expect("a configuration");
    Client::new(runtime.clone(), ClientLimits::default()).with_tls(Arc::new(config))
}

fn options<R: Runtime>(runtime: &R, certificates: Arc<Certificates>) -> ServerOptions {
    ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates).protocols(BOTH)
}

/// A server with TLS on a port of its own.
async fn serve_with<R: Runtime>(
    runtime: &R,
    handler: impl Handler,
    limits: Limits,
    options: ServerOptions,
) -> Served {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let tls = Arc::new(options.config().expect("a configuration"));
    let server = Server::new(handler, limits)
        .expect("valid limits")
        .with_tls(tls)
        .with_alt_svc(HeaderValue::from_static("h3=\":443\"; ma=60"));
    let metrics = server.metrics().clone();
    let task = {
        let runtime = runtime.clone();
        async move { server.serve(&runtime, listener).await }
    };
    Served { address, metrics, task: runtime.spawn("server", task) }
}

async fn serve_tls<R: Runtime>(runtime: &R, handler: impl Handler) -> (Served, Trust) {
    serve_with_limits(runtime, handler, Limits::default()).await
}

/// The same with limits of the test's own.
pub async fn serve_with_limits<R: Runtime>(
    runtime: &R,
    handler: impl Handler,
    limits: Limits,
) -> (Served, Trust) {
    let (certificate, trust) = dev(runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    (serve_with(runtime, handler, limits, options(runtime, certificates)).await, trust)
}

/// A client over TLS and HTTP/2 that asks again and again.
pub struct Asking<R: Runtime> {
    client: Client<R>,
    uri: String,
}

impl<R: Runtime> Asking<R> {
    /// Of this server.
    pub fn new(runtime: &R, trust: &Trust, address: SocketAddr) -> Self {
        let uri = format!("https://localhost:{}/", address.port());
        Self { client: client(runtime, trust, BOTH), uri }
    }

    /// Asks once, and says the status.
    ///
    /// # Errors
    /// As the client says.
    pub async fn try_once(&self) -> Result<StatusCode, ClientError> {
        Ok(self.client.send(get(self.uri.clone())).await?.status())
    }
}

impl<R: Runtime> crate::hostile::Bystander for Asking<R> {
    async fn ask(&mut self) {
        let answer = self.client.send(get(self.uri.clone())).await.expect("an answer");
        assert_eq!(answer.body(), "hello");
    }
}

fn get(uri: String) -> Request<Body> {
    Request::get(uri).body(Body::empty()).expect("a request")
}

/// Says what the handler knows of the connection.
async fn tell(request: Request<Body>) -> Response<Body> {
    let info = ConnectionInfo::of(&request).expect("a connection");
    let tls = info.tls.as_ref().expect("TLS");
    let protocol = String::from_utf8_lossy(tls.protocol.as_deref().unwrap_or_default()).into_owned();
    let version = request.version();
    let name = tls.server_name.as_deref().unwrap_or_default();
    let certificates = tls.peer_certificates.len();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    text(format!("{version:?} {protocol} {name} {certificates} {host}"))
}

/// One port, one handler, both protocols; the handler knows which.
pub async fn both_protocols_on_one_port<R: Runtime>(runtime: R) {
    let (served, trust) = serve_tls(&runtime, routes().get("/tell", handler_fn(tell))).await;
    let port = served.address.port();
    for (protocols, version, protocol) in
        [(BOTH, "HTTP/2.0", "h2"), (&[alpn::HTTP_1_1][..], "HTTP/1.1", "http/1.1"), (&[][..], "HTTP/1.1", "")]
    {
        let client = client(&runtime, &trust, protocols);
        let answer = client.send(get(format!("https://localhost:{port}/tell"))).await.expect("an answer");
        let expected = format!("{version} {protocol} localhost 0 localhost:{port}");
        assert_eq!(std::str::from_utf8(answer.body()).expect("text"), expected);
        assert_eq!(format!("{:?}", answer.version()), version);
        assert!(answer.headers().contains_key(header::DATE));
        assert_eq!(answer.headers()[header::ALT_SVC], "h3=\":443\"; ma=60");
        let big = client.send(get(format!("https://127.0.0.1:{port}/big"))).await.expect("an answer");
        assert_eq!(big.body().len(), BIG);
    }
}

/// In the clear, HTTP/2 is for those that know.
pub async fn http2_in_the_clear<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let client = Client::new(runtime.clone(), ClientLimits::default()).with_http2_in_clear();
    let ask = |path: &str| client.send(get(format!("http://{}{path}", served.address)));
    assert_eq!(ask("/").await.expect("an answer").body(), "hello");
    let answers = join_all((0..200).map(|n| ask(&format!("/n/{n}")))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("an answer").body(), format!("/n/{n}").as_bytes());
    }
    assert_eq!(served.metrics.connections(), 1, "all shared one connection");
    assert_eq!(served.metrics.requests(), 201);
    let mut echo =
        Request::post(format!("http://{}/echo", served.address)).body(Body::from("x")).expect("one");
    echo.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    assert_eq!(client.send(echo).await.expect("an answer").body(), "x");
}

/// Bodies go both ways piece by piece, with trailers at the end.
pub async fn streams_and_trailers<R: Runtime>(runtime: R) {
    let echo = handler_fn(|request: Request<Body>| async {
        // Hands each piece on as it comes.
        Response::new(request.into_body())
    });
    let trailing = handler_fn(|request: Request<Body>| async {
        let mut body = request.into_body();
        let mut seen = HeaderMap::new();
        while let Ok(Some(frame)) = body.frame().await {
            if let Ok(trailers) = frame.into_trailers() {
                seen = trailers;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-seen", seen.get("x-sent").cloned().unwrap_or(HeaderValue::from_static("none")));
        Response::new(Body::from("data").with_trailers(trailers))
    });
    let router = Router::new().post("/echo", echo).post("/trailers", trailing);
    let limits = Limits { body_bytes: 64 << 20, ..Limits::default() };
    let (certificate, trust) = dev(&runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let served = serve_with(&runtime, router, limits, options(&runtime, certificates)).await;
    let at = format!("https://{}", served.address);
    let client = client(&runtime, &trust, BOTH);
    // Longer than every window and buffer on the way: only back-pressure both ways lets it through.
    let length = 12 << 20;
    let request =
        Request::post(format!("{at}/echo")).body(Body::from(vec![b'z'; length])).expect("a request");
    let mut body = client.fetch(request).await.expect("an answer").into_body();
    let mut received = 0;
    while let Some(piece) = body.data().await.expect("a piece") {
        received += piece.len();
    }
    assert_eq!(received, length);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sent", HeaderValue::from_static("yes"));
    let body = Body::from("some").with_trailers(trailers);
    let request = Request::post(format!("{at}/trailers")).body(body).expect("a request");
    let mut body = client.fetch(request).await.expect("an answer").into_body();
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await.expect("a frame") {
        match frame.into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert_eq!(data, b"data");
    assert_eq!(trailers.expect("trailers")["x-seen"], "yes");
}

/// A client that breaks off a response over HTTP/2 leaves the others alone.
pub async fn broken_off_responses<R: Runtime>(runtime: R) {
    let (served, trust) = serve_tls(&runtime, routes()).await;
    let at = format!("https://{}", served.address);
    let client = client(&runtime, &trust, BOTH);
    for _ in 0..5 {
        let mut body = client.fetch(get(format!("{at}/big"))).await.expect("an answer").into_body();
        body.data().await.expect("a piece");
        drop(body);
        assert_eq!(client.send(get(format!("{at}/"))).await.expect("an answer").body(), "hello");
    }
    assert_eq!(served.metrics.connections(), 1);
}

/// Whatever is no handshake, or none in time, is closed; others are served.
pub async fn bad_handshakes<R: Runtime>(runtime: R) {
    let (certificate, trust) = dev(&runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let limits = Limits { header_time: Duration::from_millis(300), ..Limits::default() };
    let served = serve_with(&runtime, routes(), limits, options(&runtime, certificates)).await;
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 2000], b"", &[0x16]]
    {
        let mut stream =
            runtime.connect(served.address, ConnectOptions::default()).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(&[0x15, 3]), "no alert: {answer:?}");
    }
    let client = client(&runtime, &trust, BOTH);
    let answer = client.send(get(format!("https://{}/", served.address))).await.expect("an answer");
    assert_eq!(answer.body(), "hello");
    // The client names what it does not like.
    let (_, stranger) = dev(&runtime);
    let client = self::client(&runtime, &stranger, BOTH);
    let error = client.send(get(format!("https://{}/", served.address))).await.expect_err("a stranger");
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
}

/// Clients with certificates are known by them; those without are told.
pub async fn client_certificates<R: Runtime>(runtime: R) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(vec![]).expect("none");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let anchors = authority.self_signed(&authority_key).expect("an authority").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["client.test".to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let pem = params.signed_by(&key, &issuer).expect("a certificate").pem();
    let theirs = Certificate::from_pem(
        pem.as_bytes(),
        key.serialize_pem().as_bytes(),
        runtime.unix_time(),
        &provider(),
    )
    .expect("a certificate");

    let (certificate, trust) = dev(&runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let required = ClientCertificates::required_from_pem(anchors.as_bytes()).expect("anchors");
    let options = options(&runtime, certificates).clients(required);
    let served = serve_with(&runtime, handler_fn(tell), Limits::default(), options).await;
    let at = format!("https://localhost:{}/", served.address.port());
    let config = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust.clone())
        .protocols(BOTH)
        .certificate(theirs)
        .config()
        .expect("a configuration");
    let known = Client::new(runtime.clone(), ClientLimits::default()).with_tls(Arc::new(config));
    let answer = known.send(get(at.clone())).await.expect("an answer");
    assert!(answer.body().starts_with(b"HTTP/2.0 h2 localhost 1 "), "{:?}", answer.body());
    let error = client(&runtime, &trust, BOTH).send(get(at)).await.expect_err("nobody");
    assert!(matches!(error, ClientError::Connection(_) | ClientError::Body(_)), "{error}");
}

/// A session over a connection of its own, with a ticket received: the client's side, then the server's.
async fn pair<R: Runtime>(
    runtime: &R,
    listener: &mut R::Listener,
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> (TlsStream<R::Stream>, TlsStream<R::Stream>) {
    let address = listener.local_addr().expect("its address");
    let theirs = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        accept(stream, server).await.map_err(|failed| failed.error).expect("a handshake")
    };
    let ours = async {
        let stream = runtime.connect(address, ConnectOptions::default()).await.expect("a connection");
        connect(stream, client, "localhost").await.map_err(|failed| failed.error).expect("a handshake")
    };
    let (mut theirs, mut ours) = join(theirs, ours).await;
    theirs.write_all(b"ticket").await.expect("sent");
    ours.read_exact(&mut [0; 6]).await.expect("received");
    (ours, theirs)
}

/// Sessions resume, on whatever connection; new certificates serve new connections while old ones go on.
pub async fn resumption_and_new_certificates<R: Runtime>(runtime: R) {
    let (certificate, trust) = dev(&runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let server = Arc::new(options(&runtime, Arc::clone(&certificates)).config().expect("a configuration"));
    let config =
        ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust).config().expect("one");
    let config = Arc::new(config);
    let (mut first, mut first_server) = pair(&runtime, &mut listener, &server, &config).await;
    assert!(!first.handshake().resumed);
    assert!(pair(&runtime, &mut listener, &server, &config).await.0.handshake().resumed);
    certificates.replace(vec![dev(&runtime).0]).expect("another");
    first.write_all(b"old").await.expect("sent");
    let mut read = [0; 3];
    first_server.read_exact(&mut read).await.expect("received");
    assert_eq!(&read, b"old");
    first.close().await.expect("closed");
    assert_eq!(first_server.read(&mut read).await.expect("a proper end"), 0);
}

/// Redirects are followed as far as allowed, and secrets do not go along to others.
pub async fn redirects<R: Runtime>(runtime: R) {
    let seen = handler_fn(|request: Request<Body>| async move {
        let secret = request.headers().contains_key(header::AUTHORIZATION);
        text(format!("{} {secret}", request.method()))
    });
    let other = serve(&runtime, Router::new().any("/seen", seen.clone()), Limits::default()).await;
    let to = |location: String, status: u16| {
        handler_fn(move |_| {
            let mut response = text("");
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            let location = HeaderValue::try_from(&location).expect("a location");
            response.headers_mut().insert(header::LOCATION, location);
            async { response }
        })
    };
    let router = Router::new()
        .any("/seen", seen)
        .any("/near", to("seen".to_owned(), 302))
        .any("/kept", to("/seen".to_owned(), 307))
        .any("/far", to(format!("http://{}/seen", other.address), 302))
        .any("/loop", to("/loop".to_owned(), 301));
    let served = serve(&runtime, router, Limits::default()).await;
    let client = Client::new(runtime.clone(), ClientLimits::default()).with_redirects(3);
    let ask = |method: &str, path: &str, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", served.address))
            .header(header::AUTHORIZATION, "secret")
            .body(Body::from(body))
            .expect("a request");
        let client = client.clone();
        async move { client.send(request).await.map(|answer| (answer.status().as_u16(), answer.into_body())) }
    };
    assert_eq!(ask("GET", "/near", "").await.expect("an answer"), (200, "GET true".into()));
    assert_eq!(ask("POST", "/near", "body").await.expect("an answer"), (200, "GET true".into()));
    assert_eq!(ask("PUT", "/kept", "").await.expect("an answer"), (200, "PUT true".into()));
    assert_eq!(ask("PUT", "/kept", "body").await.expect("an answer").0, 307, "a body is not sent twice");
    assert_eq!(ask("GET", "/far", "").await.expect("an answer"), (200, "GET false".into()));
    assert!(matches!(ask("GET", "/loop", "").await, Err(ClientError::Redirects(3))));
}

/// Through a proxy: requests in the clear by their whole address, TLS by a tunnel.
pub async fn proxies<R: Runtime>(runtime: R) {
    let (secure, trust) = serve_tls(&runtime, routes()).await;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tunnels);
    let (target, own) = (secure.address, runtime.clone());
    // Opens a tunnel for whoever has the password.
    let _proxy = runtime.spawn("proxy", async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if near.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).expect("text");
            if head.starts_with("GET http://nowhere.test/x HTTP/1.1\r\n") {
                let _ = near.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nproxied").await;
            } else if head.contains("proxy-authorization: open sesame\r\n") {
                assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{head}");
                counted.fetch_add(1, Ordering::SeqCst);
                let far = own.connect(target, ConnectOptions::default()).await.expect("a connection");
                near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("sent");
                let task = async move {
                    let ((near_read, mut near_write), (far_read, mut far_write)) =
                        (near.split(), far.split());
                    let _ = join(
                        futures_util::io::copy(near_read, &mut far_write),
                        futures_util::io::copy(far_read, &mut near_write),
                    )
                    .await;
                };
                own.spawn("tunnel", task).detach();
            } else {
                let _ = near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
            }
        }
    });
    let proxy = Proxy::new(&format!("http://{address}").parse().expect("an address")).expect("a proxy");
    let at = format!("https://{}/", secure.address);
    let plain = client(&runtime, &trust, BOTH).with_proxy(proxy.clone());
    let answer = plain.send(get("http://nowhere.test/x".to_owned())).await.expect("an answer");
    assert_eq!(answer.body(), "proxied");
    let refused = plain.send(get(at.clone())).await.expect_err("no password");
    assert!(
        matches!(&refused, ClientError::Proxy { status: Some(status), .. } if *status == 407),
        "{refused}"
    );
    let proxy = proxy.with_authorization(HeaderValue::from_static("open sesame"));
    let known = client(&runtime, &trust, BOTH).with_proxy(proxy);
    for _ in 0..3 {
        assert_eq!(known.send(get(at.clone())).await.expect("an answer").body(), "hello");
    }
    assert_eq!(tunnels.load(Ordering::SeqCst), 1, "one tunnel serves all");
}

/// A server that goes away is noticed, and one that comes back is found.
pub async fn connections_that_end<R: Runtime>(runtime: R) {
    let (certificate, trust) = dev(&runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let limits = Limits { idle_time: Duration::from_millis(100), ..Limits::default() };
    let served = serve_with(&runtime, routes(), limits, options(&runtime, certificates)).await;
    let at = format!("https://{}/", served.address);
    for protocols in [BOTH, &[alpn::HTTP_1_1][..]] {
        let client = client(&runtime, &trust, protocols);
        for _ in 0..3 {
            assert_eq!(client.send(get(at.clone())).await.expect("an answer").body(), "hello");
            // The server says goodbye meanwhile.
            runtime.sleep(Duration::from_millis(300)).await;
        }
    }
    let mut plain = Raw::<R>::connect(&runtime, served.address).await;
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(plain);
    served.quiet(&runtime).await;
}
