//! What the tests of the proxy share: servers of every protocol, servers that follow a script, a proxy between them and clients of
//! every protocol.

use crate::http::{Served, serve};
use crate::tls::dev;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::http::{
    Body, Client, ClientLimits, Handler, HeaderMap, Http3Client, Limits, Metrics, Request, Response, Server,
};
use shroud::ghostwire::proxy::{
    Config, Proxy, Route, ServerConfig, UpstreamConfig, UpstreamTls, UpstreamTrust,
};
use shroud::ghostwire::tls::{
    Certificate, Certificates, ClientOptions, SeamClock, ServerOptions, Trust, alpn, provider,
};
use shroud::runtime::net::{ListenOptions, Listener, ListenerExt};
use shroud::runtime::{Runtime, RuntimeExt, Task};
use shroud_quic::{Endpoint, EndpointConfig, Transport};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a server is spoken to, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 in the clear.
    H2c,
    /// HTTP/1.1 over TLS.
    Https1,
    /// HTTP/2 over TLS.
    Https2,
    /// HTTP/3.
    Http3,
}

/// All of them.
pub const ALL: [Speaks; 5] = [Speaks::Http1, Speaks::H2c, Speaks::Https1, Speaks::Https2, Speaks::Http3];

impl Speaks {
    /// In the addresses of a proxy's servers.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::H2c => "h2c",
            Self::Https1 | Self::Https2 => "https",
            Self::Http3 => "h3",
        }
    }

    /// As requests say.
    pub fn version(self) -> &'static str {
        match self {
            Self::Http1 | Self::Https1 => "HTTP/1.1",
            Self::H2c | Self::Https2 => "HTTP/2.0",
            Self::Http3 => "HTTP/3.0",
        }
    }

    fn is_secure(self) -> bool {
        !matches!(self, Self::Http1 | Self::H2c)
    }
}

/// A certificate for localhost and who believes it.
pub struct Identity {
    certificate: Certificate,
    /// Of clients.
    pub trust: Trust,
}

impl Identity {
    /// A fresh one.
    pub fn generate<R: Runtime>(runtime: &R) -> Self {
        let (certificate, trust) = dev(runtime);
        Self { certificate, trust }
    }

    fn options<R: Runtime>(&self, runtime: &R) -> ServerOptions {
        let certificates = Certificates::new(vec![self.certificate.clone()]).expect("one");
        ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates)
    }

    /// Serves `handler` by a protocol; says where.
    pub async fn serve<R: Runtime>(
        &self,
        runtime: &R,
        speaks: Speaks,
        handler: impl Handler,
        limits: Limits,
    ) -> (SocketAddr, Task<()>) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::new(handler, limits).expect("valid limits");
        let inner = runtime.clone();
        if speaks == Speaks::Http3 {
            let tls = self.options(runtime).protocols(&[b"h3"]).only_tls_13().config().expect("TLS");
            let config = shroud_quic::ServerConfig::new(Arc::new(tls));
            let endpoint =
                Endpoint::server(runtime, any, &EndpointConfig::default(), &config).await.expect("a socket");
            let address = endpoint.local_addr();
            let task = async move { server.serve_http3(&inner, endpoint).await.expect("to the end") };
            return (address, runtime.spawn("server", task));
        }
        let server = if speaks.is_secure() {
            let protocols: &[&[u8]] = match speaks {
                Speaks::Https1 => &[alpn::HTTP_1_1],
                _ => &[alpn::H2, alpn::HTTP_1_1],
            };
            server.with_tls(Arc::new(self.options(runtime).protocols(protocols).config().expect("TLS")))
        } else {
            server
        };
        let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let task = async move { server.serve(&inner, listener).await.expect("to the end") };
        (address, runtime.spawn("server", task))
    }

    /// A client of a protocol.
    pub async fn client<R: Runtime>(&self, runtime: &R, speaks: Speaks) -> AnyClient<R> {
        let tls = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), self.trust.clone());
        let limits = ClientLimits { body_bytes: 64 << 20, ..ClientLimits::default() };
        let client = Client::new(runtime.clone(), limits.clone());
        match speaks {
            Speaks::Http1 => AnyClient::Http("http", client),
            Speaks::H2c => AnyClient::Http("http", client.with_http2_in_clear()),
            Speaks::Https1 => {
                let tls = tls.protocols(&[alpn::HTTP_1_1]).config().expect("TLS");
                AnyClient::Http("https", client.with_tls(Arc::new(tls)))
            }
            Speaks::Https2 => {
                let tls = tls.protocols(&[alpn::H2]).config().expect("TLS");
                AnyClient::Http("https", client.with_tls(Arc::new(tls)))
            }
            Speaks::Http3 => {
                let tls = tls.protocols(&[b"h3"]).only_tls_13().config().expect("TLS");
                let config =
                    shroud_quic::ClientConfig::new(Arc::new(tls), &Transport::default()).expect("one");
                let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let endpoint =
                    Endpoint::client(runtime, local, &EndpointConfig::default()).await.expect("a socket");
                let client = Http3Client::new(runtime.clone(), endpoint, config, limits);
                AnyClient::Http3(client.resolving("localhost", Ipv4Addr::LOCALHOST.into()))
            }
        }
    }
}

/// A client of any protocol.
pub enum AnyClient<R: Runtime> {
    /// The scheme of its addresses, and itself.
    Http(&'static str, Client<R>),
    /// Over QUIC.
    Http3(Http3Client<R>),
}

impl<R: Runtime> AnyClient<R> {
    /// A request for `path` at a port of this host.
    pub fn request(&self, method: &str, port: u16, path: &str, body: impl Into<Body>) -> Request<Body> {
        let scheme = match self {
            Self::Http(scheme, _) => scheme,
            Self::Http3(_) => "https",
        };
        let uri = format!("{scheme}://localhost:{port}{path}");
        Request::builder().method(method).uri(uri).body(body.into()).expect("a request")
    }

    /// Sends it; the body of the answer streams.
    pub async fn fetch(&self, request: Request<Body>) -> Result<Response<Body>, String> {
        match self {
            Self::Http(_, client) => client.fetch(request).await.map_err(|error| error.to_string()),
            Self::Http3(client) => client.send(request).await.map_err(|error| error.to_string()),
        }
    }

    /// Sends it and reads all: status, header, body, trailers.
    pub async fn ask(&self, request: Request<Body>) -> Whole {
        let (head, mut body) =
            self.fetch(request).await.unwrap_or_else(|error| panic!("{error}")).into_parts();
        let (mut all, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await.expect("a whole body") {
            match frame.into_data() {
                Ok(data) => all.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().expect("trailers"),
            }
        }
        Whole { status: head.status.as_u16(), headers: head.headers, body: all, trailers }
    }

    /// `GET path`.
    pub async fn get(&self, port: u16, path: &str) -> Whole {
        self.ask(self.request("GET", port, path, Body::empty())).await
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// Its status.
    pub status: u16,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// What came after it.
    pub trailers: HeaderMap,
}

impl Whole {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A server of a proxy.
pub fn server(speaks: Speaks, address: SocketAddr) -> ServerConfig {
    // By name where a certificate is for it, too.
    let text = format!("{}://{address}", speaks.scheme());
    ServerConfig::new(text.parse().expect("an address"))
}

/// A group of servers that believes anyone's certificate.
pub fn group(servers: Vec<ServerConfig>) -> UpstreamConfig {
    let tls = UpstreamTls { trust: Some(UpstreamTrust::InsecureAnyone), ..UpstreamTls::default() };
    UpstreamConfig { servers, tls, ..UpstreamConfig::default() }
}

/// Everything to one group.
pub fn all_to(upstream: UpstreamConfig) -> Config {
    Config {
        upstreams: BTreeMap::from([("app".to_owned(), upstream)]),
        routes: vec![Route::to("app")],
        ..Config::default()
    }
}

/// A proxy in the clear.
pub struct Proxied {
    /// What it does.
    pub proxy: Proxy,
    /// Where it is.
    pub address: SocketAddr,
    /// What its server counts.
    pub metrics: Metrics,
    /// Its statistics.
    pub admin: SocketAddr,
    _tasks: (Served, Served, Task<()>),
}

impl Proxied {
    /// Starts one.
    pub async fn start<R: Runtime>(runtime: &R, config: Config) -> Self {
        let limits = config.limits.clone();
        let proxy = Proxy::new(config).expect("a valid configuration");
        let forward = proxy.on_shard(runtime).await.expect("servers that can be prepared for");
        let served = serve(runtime, forward, limits).await;
        let admin = serve(runtime, proxy.admin(runtime), Limits::default()).await;
        let (inner, checked) = (runtime.clone(), proxy.clone());
        let checks = runtime.spawn("checks", async move { checked.check_health(&inner).await });
        let (address, metrics) = (served.address, served.metrics.clone());
        Self { proxy, address, metrics, admin: admin.address, _tasks: (served, admin, checks) }
    }

    /// The statistics of the server numbered `index` of the group `app`.
    pub async fn stats<R: Runtime>(&self, runtime: &R) -> serde_json::Value {
        let client = Client::new(runtime.clone(), ClientLimits::default());
        let request = Request::get(format!("http://{}/stats", self.admin)).body(Body::empty()).expect("one");
        let answer = client.send(request).await.expect("statistics");
        serde_json::from_slice(answer.body()).expect("JSON")
    }

    /// Waits until the statistics say so.
    pub async fn until<R: Runtime>(&self, runtime: &R, wanted: impl Fn(&serde_json::Value) -> bool) {
        while !wanted(&self.stats(runtime).await) {
            runtime.sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a scripted server does with a request.
#[derive(Debug, Clone)]
pub enum Step {
    /// Answers with these bytes and goes on.
    Reply(&'static str),
    /// Answers with these bytes and closes.
    Last(&'static str),
    /// Closes without a word.
    Close,
    /// Never answers.
    Hang,
}

/// 200 with a body.
pub const OK: Step = Step::Reply("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

/// A server that reads HTTP/1.1 strictly, keeps every byte it was sent, and answers by a script.
pub struct Scripted {
    /// Where.
    pub address: SocketAddr,
    /// Requests it has seen.
    pub count: Arc<AtomicUsize>,
    /// The bytes of each connection.
    pub seen: Arc<Mutex<Vec<Vec<u8>>>>,
    _task: Task<()>,
}

impl Scripted {
    /// Starts one; `script` is asked what to do with each request, counted from 0.
    pub async fn start<R: Runtime>(
        runtime: &R,
        script: impl Fn(usize) -> Step + Clone + Send + Sync + 'static,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (count, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counting, keeping, inner) = (Arc::clone(&count), Arc::clone(&seen), runtime.clone());
        let task = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut seen: std::sync::MutexGuard<'_, Vec<Vec<u8>>> = keeping.lock().expect("bytes");
                    seen.push(Vec::new());
                    seen.len() - 1
                };
                let talk =
                    talk::<R>(stream, number, script.clone(), Arc::clone(&counting), Arc::clone(&keeping));
                inner.spawn("connection", talk).detach();
            }
        };
        Self { address, count, seen, _task: runtime.spawn("scripted", task) }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The requests of all connections, read strictly: each as its head in lower case and its body.
    pub fn parsed(&self) -> Vec<(String, Vec<u8>)> {
        let seen = self.seen.lock().expect("bytes");
        let mut all = Vec::new();
        for connection in seen.iter() {
            let mut rest = &connection[..];
            while let Some((head, body, length)) = first(rest) {
                all.push((head, body));
                rest = &rest[length..];
            }
            // What is left was broken off, and its connection with it: the beginning of one request.
            if !rest.is_empty() {
                assert!(rest.starts_with(b"POST /sent "), "{:?}", String::from_utf8_lossy(rest));
            }
        }
        all
    }
}

async fn talk<R: Runtime>(
    mut stream: R::Stream,
    number: usize,
    script: impl Fn(usize) -> Step + Send,
    count: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let (mut buffer, mut rest) = (vec![0; 64 * 1024], Vec::new());
    loop {
        while let Some((_, _, length)) = first(&rest) {
            rest.drain(..length);
            let step = script(count.fetch_add(1, Ordering::SeqCst));
            match step {
                Step::Reply(bytes) => {
                    let _ = stream.write_all(bytes.as_bytes()).await;
                }
                Step::Last(bytes) => {
                    let _ = stream.write_all(bytes.as_bytes()).await;
                    let _ = stream.close().await;
                    return;
                }
                Step::Close => return,
                Step::Hang => std::future::pending().await,
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                rest.extend_from_slice(&buffer[..read]);
                seen.lock().expect("bytes")[number].extend_from_slice(&buffer[..read]);
            }
        }
    }
}

/// The first whole request of some bytes, by the strictest reading: its head, body and length. Anything doubtful panics.
fn first(bytes: &[u8]) -> Option<(String, Vec<u8>, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    for (at, byte) in head.bytes().enumerate() {
        let next = head.as_bytes().get(at + 1);
        assert!(byte != b'\r' || next == Some(&b'\n'), "a bare CR in {head:?}");
        assert!(byte != b'\n' || at > 0 && head.as_bytes()[at - 1] == b'\r', "a bare LF in {head:?}");
    }
    let head = head.to_ascii_lowercase();
    let lines: Vec<&str> = head.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().all(|line| !line.starts_with([' ', '\t'])), "a folded line in {head:?}");
    let values = |name: &str| -> Vec<&str> {
        lines
            .iter()
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v.trim())
            .collect()
    };
    assert!(
        lines.iter().all(|line| line.split_once(':').is_some_and(|(name, _)| !name.contains([' ', '\t']))),
        "a strange name in {head:?}"
    );
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two framings in {head:?}");
    assert_eq!(values("host").len(), 1, "hosts in {head:?}");
    if let Some(coding) = codings.first() {
        assert_eq!(*coding, "chunked");
        let (body, length) = chunked(&bytes[end..])?;
        return Some((head, body, end + length));
    }
    let length: usize = lengths.first().map_or(0, |length| length.parse().expect("a length"));
    let body = bytes.get(end..end + length)?.to_vec();
    Some((head, body, end + length))
}

fn chunked(mut bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut length) = (Vec::new(), 0);
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hex, without extensions");
        let next = if size == 0 { line + 2 } else { line + 2 + size + 2 };
        if size == 0 {
            // Trailers, if any, end with an empty line.
            let mut rest = &bytes[next..];
            let mut extra = 0;
            loop {
                let end = rest.windows(2).position(|two| two == b"\r\n")?;
                rest = &rest[end + 2..];
                extra += end + 2;
                if end == 0 {
                    return Some((body, length + next + extra));
                }
            }
        }
        let chunk = bytes.get(line + 2..next)?;
        assert_eq!(&chunk[size..], b"\r\n");
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[next..];
        length += next;
    }
}
