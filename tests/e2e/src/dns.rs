//! DNS as well-behaved peers see it: one handler over UDP, TCP, TLS, HTTPS and QUIC; and what a client believes.

use futures_util::future::join_all;
use shroud::ghostwire::dns::{
    ALPN_QUIC, ALPN_TLS, Client, ClientError, Handler, HttpsMethod, Limits, LookupOptions, Message, Metrics,
    Name, QueryInfo, Question, RecordType, Request, Response, ResponseCode, Server, Settings, Transport,
    WhyStream, WrongAnswers, Zone, Zones, quic_config,
};
use shroud::ghostwire::http::{self, Router};
use shroud::ghostwire::tls::{
    Certificate, Certificates, ClientOptions, DevCertificate, DevKey, SeamClock, ServerOptions, Trust, alpn,
    provider,
};
use shroud::runtime::net::{DatagramExt, DatagramOptions, ListenOptions, Listener};
use shroud::runtime::sync::Event;
use shroud::runtime::{Datagram, Runtime, RuntimeExt};
use shroud_quic::{
    ClientConfig, ConnectionPool, Endpoint, EndpointConfig, PoolLimits, Transport as QuicTransport,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Any port of this host.
pub fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// What the tests ask about. `big` has more than fits into a datagram.
pub fn zones() -> Zones {
    let text = "x".repeat(200);
    let big = (0..20).map(|n| format!("big 60 TXT \"{n} {text}\"\n")).collect::<String>();
    let zone = format!(
        "$ORIGIN zone.test.\n@ 300 SOA ns host 1 2 3 4 60\n  NS ns\nns A 192.0.2.53\nwww 300 A 192.0.2.1\n\
         alias CNAME www\n*.wild 5 A 192.0.2.7\n{big}"
    );
    Zones::new(vec![Zone::parse(&zone, &Name::root()).expect("a zone")])
}

/// A server over UDP and TCP, on one port.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it counts.
    pub metrics: Metrics,
    _tasks: Vec<shroud::runtime::Task<()>>,
}

/// Starts one.
pub async fn serve<R: Runtime>(runtime: &R, handler: impl Handler, limits: Limits) -> Served {
    serve_on(runtime, local(), handler, limits).await
}

/// Starts one on any port of an address.
async fn serve_on<R: Runtime>(runtime: &R, any: SocketAddr, handler: impl Handler, limits: Limits) -> Served {
    let server = Server::new(handler, limits);
    let (socket, listener) = loop {
        let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        // The port may be somebody's over UDP.
        if let Ok(socket) = runtime.bind(address, DatagramOptions::default()).await {
            break (socket, listener);
        }
    };
    let (address, metrics) = (listener.local_addr().expect("its address"), server.metrics().clone());
    let udp = {
        let (server, runtime) = (server.clone(), runtime.clone());
        async move { server.serve_udp(&runtime, socket).await.expect("an orderly end") }
    };
    let tcp = {
        let runtime = runtime.clone();
        async move { server.serve_tcp(&runtime, listener).await.expect("an orderly end") }
    };
    let tasks = vec![runtime.spawn("udp", udp), runtime.spawn("tcp", tcp)];
    Served { address, metrics, _tasks: tasks }
}

/// A question about a name of the zone.
pub fn question(name: &str, kind: RecordType) -> Question {
    Question::parse(&format!("{name}.zone.test"), kind).expect("a question")
}

fn records(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.to_string().to_ascii_lowercase()).collect()
}

const WWW: &str = "www.zone.test. 300 in a 192.0.2.1";

/// Answers over UDP, and over TCP what does not fit.
pub async fn datagrams<R: Runtime>(runtime: R) {
    let served = serve(&runtime, zones(), Limits::default()).await;
    let client = Client::udp(&runtime, &[served.address], Settings::default());
    let answered = client.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(records(&answered.reply.message), [WWW]);
    assert_eq!((answered.transport, answered.fell_back), (Transport::Udp, None));
    assert_eq!(answered.server, Some(served.address));
    assert!(answered.reply.message.authoritative);
    assert_eq!(answered.reply.message.edns.as_ref().map(|edns| edns.max_payload()), Some(1232));
    let alias = client.ask(&question("alias", RecordType::A)).await.expect("an answer");
    assert_eq!(records(&alias.reply.message)[1], WWW);
    for (name, kind, code) in
        [("none", RecordType::A, ResponseCode::NXDomain), ("www", RecordType::MX, ResponseCode::NoError)]
    {
        let nothing = client.ask(&question(name, kind)).await.expect("an answer").reply.message;
        assert_eq!((nothing.response_code, nothing.answers.len(), nothing.authorities.len()), (code, 0, 1));
    }
    let stranger = Question::parse("elsewhere.test", RecordType::A).expect("a question");
    let refused = client.ask(&stranger).await.expect("an answer");
    assert_eq!(refused.reply.message.response_code, ResponseCode::Refused);
    let big = client.ask(&question("big", RecordType::TXT)).await.expect("an answer");
    assert_eq!((big.transport, big.fell_back), (Transport::Tcp, Some(WhyStream::Truncated)));
    assert_eq!(big.reply.message.answers.len(), 20);
    assert_eq!((served.metrics.truncated(), served.metrics.connections()), (1, 1));
    let many = (0..100).map(|n| {
        let client = client.clone();
        async move { client.ask(&question(&format!("n{n}.wild"), RecordType::A)).await.expect("an answer") }
    });
    for (n, answered) in join_all(many).await.into_iter().enumerate() {
        assert_eq!(records(&answered.reply.message), [format!("n{n}.wild.zone.test. 5 in a 192.0.2.7")]);
    }
}

/// By IPv6, over UDP and TCP.
pub async fn over_ipv6<R: Runtime>(runtime: R) {
    let Some(any) = crate::every_version::loopback6(&runtime).await else { return };
    let served = serve_on(&runtime, any, zones(), Limits::default()).await;
    assert!(served.address.is_ipv6());
    let client = Client::udp(&runtime, &[served.address], Settings::default());
    let answered = client.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(records(&answered.reply.message), [WWW]);
    assert_eq!((answered.transport, answered.server), (Transport::Udp, Some(served.address)));
    let big = client.ask(&question("big", RecordType::TXT)).await.expect("an answer");
    assert_eq!((big.transport, big.reply.message.answers.len()), (Transport::Tcp, 20));
    let client = Client::tcp(&runtime, served.address, Settings::default());
    let answered = client.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(records(&answered.reply.message), [WWW]);
    assert_eq!((answered.transport, answered.server), (Transport::Tcp, Some(served.address)));
    assert_eq!(served.metrics.connections(), 2);
}

/// Holds questions about `slow` back until it is told.
struct Gate(Arc<Event>, Zones);

impl Handler for Gate {
    async fn answer(&self, request: &Request, info: &QueryInfo) -> Response {
        if request.question.name.to_lowercase().to_string().starts_with("slow.") {
            self.0.listen().await;
        }
        Handler::answer(&self.1, request, info).await
    }
}

/// Questions share a connection over TCP, and fast ones overtake slow ones.
pub async fn pipelining<R: Runtime>(runtime: R) {
    let gate = Arc::new(Event::new());
    let limits = Limits { idle_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, Gate(Arc::clone(&gate), zones()), limits).await;
    let client = Client::tcp(&runtime, served.address, Settings::default());
    let slow = {
        let client = client.clone();
        runtime.spawn("slow", async move { client.ask(&question("slow.wild", RecordType::A)).await })
    };
    while served.metrics.questions() == 0 {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    let many = (0..200).map(|n| {
        let client = client.clone();
        async move { client.ask(&question(&format!("n{n}.wild"), RecordType::A)).await.expect("an answer") }
    });
    for (n, answered) in join_all(many).await.into_iter().enumerate() {
        assert_eq!(records(&answered.reply.message), [format!("n{n}.wild.zone.test. 5 in a 192.0.2.7")]);
    }
    gate.notify(usize::MAX);
    let slow = slow.await.expect("a task").expect("an answer");
    assert_eq!(slow.reply.message.answers.len(), 1);
    assert_eq!(served.metrics.connections(), 1, "all shared one connection");
    // The server closes it, and the next question goes over another.
    runtime.sleep(Duration::from_millis(500)).await;
    client.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(served.metrics.connections(), 2);
}

fn dev<R: Runtime>(runtime: &R) -> (Arc<Certificates>, Trust) {
    let made = DevCertificate::generate(DevKey::P256, &[], runtime.unix_time(), |out| runtime.fill(out))
        .expect("one");
    let (pem, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
    let certificate =
        Certificate::from_pem(pem, key, runtime.unix_time(), &provider()).expect("a certificate");
    (Certificates::new(vec![certificate]).expect("one"), Trust::from_pem(pem).expect("an anchor"))
}

fn server_options<R: Runtime>(runtime: &R, certificates: &Arc<Certificates>) -> ServerOptions {
    ServerOptions::new(provider(), SeamClock::new(runtime.clone()), Arc::clone(certificates))
}

fn client_options<R: Runtime>(runtime: &R, trust: &Trust) -> ClientOptions {
    ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust.clone())
}

async fn check<R: Runtime>(client: &Client<R>, transport: Transport) {
    let answered = client.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(records(&answered.reply.message), [WWW]);
    assert_eq!(answered.transport, transport);
    assert_eq!(answered.reply.length, 468, "padded");
    let big = client.ask(&question("big", RecordType::TXT)).await.expect("an answer");
    assert_eq!(big.reply.message.answers.len(), 20);
    let many = (0..50).map(|n| {
        let client = client.clone();
        async move { client.ask(&question(&format!("n{n}.wild"), RecordType::A)).await.expect("an answer") }
    });
    for (n, answered) in join_all(many).await.into_iter().enumerate() {
        assert_eq!(records(&answered.reply.message), [format!("n{n}.wild.zone.test. 5 in a 192.0.2.7")]);
    }
}

/// Over TLS (RFC 7858).
pub async fn over_tls<R: Runtime>(runtime: R) {
    let (certificates, trust) = dev(&runtime);
    let server = Server::new(zones(), Limits::default());
    let tls = server_options(&runtime, &certificates).protocols(&[ALPN_TLS]).config().expect("one");
    let listener = runtime.listen(local(), ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let (serving, inner) = (server.clone(), runtime.clone());
    let serve = async move { serving.serve_tls(&inner, listener, Arc::new(tls)).await };
    let _serving = runtime.spawn("tls", serve);
    let tls = client_options(&runtime, &trust).protocols(&[ALPN_TLS]).config().expect("one");
    let client = Client::tls(&runtime, address, "localhost", Arc::new(tls), Settings::default());
    check(&client, Transport::Tls).await;
    assert_eq!(server.metrics().connections(), 1);
    // Who is not trusted is not asked.
    let (_, stranger) = dev(&runtime);
    let tls = client_options(&runtime, &stranger).config().expect("one");
    let client = Client::tls(&runtime, address, "localhost", Arc::new(tls), Settings::default());
    let error = client.ask(&question("www", RecordType::A)).await.expect_err("a stranger");
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
}

/// Over HTTPS (RFC 8484), as body and in the address, over HTTP/2 and HTTP/3.
pub async fn over_https<R: Runtime>(runtime: R) {
    let (certificates, trust) = dev(&runtime);
    let dns = Server::new(zones(), Limits::default());
    let tls = http::Tls::new(&server_options(&runtime, &certificates)).expect("TLS");
    let router = Router::new().any("/dns-query", dns.https(&runtime));
    let server = http::Server::new(router, http::Limits::default()).expect("valid");
    let port = http::OnePort::new(local()).with_tls(tls).bind(&runtime).await.expect("a port");
    let address = port.local_addr();
    let inner = runtime.clone();
    let _serving = runtime.spawn("https", async move { server.serve_port(&inner, port).await });
    let tls = client_options(&runtime, &trust).protocols(&[alpn::H2]).config().expect("one");
    let limits = http::ClientLimits::default();
    let client = http::Client::new(runtime.clone(), limits.clone()).with_tls(Arc::new(tls));
    let tls = client_options(&runtime, &trust).only_tls_13().protocols(&[alpn::H3]).config().expect("one");
    let config = ClientConfig::new(Arc::new(tls), &QuicTransport::default()).expect("a configuration");
    let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.expect("one");
    let http3 = http::Http3Client::new(runtime.clone(), endpoint, config, limits);
    let over_http3 = client.clone().with_http3(http3, http::UseHttp3::Always);
    let uri: http::Uri = format!("https://{address}/dns-query").parse().expect("an address");
    for client in [&client, &over_http3] {
        for method in [HttpsMethod::Post, HttpsMethod::Get] {
            let client = Client::https(&runtime, client.clone(), uri.clone(), method, Settings::default());
            check(&client, Transport::Https).await;
        }
    }
    let get = http::Request::get(format!("{uri}?dns=AAABAAABAAAAAAAAA3d3dwR6b25lBHRlc3QAAAEAAQ"));
    let answer = client.send(get.body(http::Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.headers()[http::header::CACHE_CONTROL], "max-age=300");
    assert_eq!(records(&Message::from_vec(answer.body()).expect("a message")), [WWW]);
    for (request, status) in [
        (http::Request::post(&uri).header("content-type", "text/plain"), 415),
        (http::Request::post(&uri).header("content-type", "application/dns-message"), 400),
        (http::Request::get(&uri), 400),
        (http::Request::get(format!("{uri}?dns=*")), 400),
        (http::Request::get(format!("{uri}?dns={}", "A".repeat(6000))), 414),
        (http::Request::delete(&uri), 405),
    ] {
        let request = request.body(http::Body::empty()).expect("a request");
        assert_eq!(client.send(request).await.expect("an answer").status(), status);
    }
    let long = http::Request::post(&uri).header("content-type", "application/dns-message");
    let long = long.body(http::Body::from(vec![0; 4097])).expect("a request");
    assert_eq!(client.send(long).await.expect("an answer").status(), 413);
}

/// Starts a server over QUIC, and says how to connect to it.
pub async fn serve_quic<R: Runtime>(
    runtime: &R,
    handler: impl Handler,
    limits: Limits,
) -> (SocketAddr, Endpoint<R>, ClientConfig, Metrics) {
    let (certificates, trust) = dev(runtime);
    let tls = server_options(runtime, &certificates).only_tls_13().protocols(&[ALPN_QUIC]).config();
    let config = quic_config(Arc::new(tls.expect("a configuration")));
    let endpoint =
        Endpoint::server(runtime, local(), &EndpointConfig::default(), &config).await.expect("one");
    let address = endpoint.local_addr();
    let server = Server::new(handler, limits);
    let metrics = server.metrics().clone();
    let inner = runtime.clone();
    runtime.spawn("quic", async move { server.serve_quic(&inner, endpoint).await }).detach();
    let tls = client_options(runtime, &trust).only_tls_13().protocols(&[ALPN_QUIC]).config().expect("one");
    let config = ClientConfig::new(Arc::new(tls), &QuicTransport::default()).expect("a configuration");
    let client = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.expect("one");
    (address, client, config, metrics)
}

/// Over QUIC (RFC 9250).
pub async fn over_quic<R: Runtime>(runtime: R) {
    let (address, endpoint, config, metrics) = serve_quic(&runtime, zones(), Limits::default()).await;
    let pool = ConnectionPool::new(&runtime, endpoint, config, PoolLimits::default());
    let client = Client::quic(&runtime, pool, address, "localhost", Settings::default());
    check(&client, Transport::Quic).await;
    assert_eq!(metrics.connections(), 1);
}

/// A server of the test's own, over UDP.
pub struct Fake<R: Runtime> {
    /// Its socket.
    pub socket: R::Socket,
    /// Where it is.
    pub address: SocketAddr,
}

impl<R: Runtime> Fake<R> {
    /// At a port of its own.
    pub async fn new(runtime: &R) -> Self {
        Self::at(runtime, local()).await
    }

    /// At another address.
    pub async fn at(runtime: &R, address: SocketAddr) -> Self {
        let socket = runtime.bind(address, DatagramOptions::default()).await.expect("a socket");
        let address = socket.local_addr().expect("its address");
        Self { socket, address }
    }

    /// The next query and who sent it.
    pub async fn query(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let meta = self.socket.recv(&mut buffer).await.expect("a query");
        buffer.truncate(meta.stride.min(meta.len));
        (buffer, meta.source)
    }
}

/// A query's bytes as an answer with its question and nothing else.
pub fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer
}

/// Forged answers are counted and waited past: another id, question, case, address, and what is no answer at all.
pub async fn wrong_answers<R: Runtime>(runtime: R) {
    let (fake, other) = (Fake::<R>::new(&runtime).await, Fake::<R>::new(&runtime).await);
    let client = Client::udp(&runtime, &[fake.address], Settings::default());
    let asked = {
        let client = client.clone();
        runtime.spawn("ask", async move { client.ask(&question("www", RecordType::A)).await })
    };
    let (query, from) = fake.query().await;
    let good = answer(&query);
    let with = |at: usize, change: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= change;
        bytes
    };
    other.socket.send_to(&good, from).await.expect("sent");
    let mut looped = good[..good.len() - 11].to_vec();
    looped[7] = 1;
    looped[11] = 0;
    let at = looped.len() as u8;
    looped.extend([0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    for forged in [with(0, 1), with(1, 1), with(13, 1), with(13, 0x20), query.clone(), vec![7; 5], looped] {
        fake.socket.send_to(&forged, from).await.expect("sent");
    }
    fake.socket.send_to(&good, from).await.expect("sent");
    let answered = asked.await.expect("a task").expect("an answer");
    let wrong = WrongAnswers { source: 1, id: 2, question: 1, case: 1, shape: 2, malformed: 1 };
    // What another address sent may arrive after the end on a real network, and here does not.
    assert_eq!(answered.wrong, wrong);
    assert_eq!(answered.transport, Transport::Udp);
}

/// Ids, ports and letters change from one question to the next.
pub async fn nothing_can_be_guessed<R: Runtime>(runtime: R) {
    let fake = Fake::<R>::new(&runtime).await;
    let client = Client::udp(&runtime, &[fake.address], Settings::default());
    let (mut ids, mut ports, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        let asked = {
            let client = client.clone();
            runtime
                .spawn("ask", async move { client.ask(&question("some-longer-name", RecordType::A)).await })
        };
        let (query, from) = fake.query().await;
        ids.push(query[..2].to_vec());
        ports.push(from.port());
        letters.push(query[12..40].to_vec());
        fake.socket.send_to(&answer(&query), from).await.expect("sent");
        asked.await.expect("a task").expect("an answer");
    }
    ids.sort();
    ports.sort_unstable();
    letters.sort();
    ids.dedup();
    ports.dedup();
    letters.dedup();
    // Twice the same by chance: once in two hundred runs for ids and ports; three times never.
    assert!(ids.len() >= 18 && ports.len() >= 18 && letters.len() >= 18, "{ids:?} {ports:?}");
}

/// Who is flooded with forgeries asks over TCP, where nobody can forge.
pub async fn a_flood_of_forgeries<R: Runtime>(runtime: R) {
    let (fake, listener) = loop {
        let fake = Fake::<R>::new(&runtime).await;
        // The port may be somebody's over TCP.
        if let Ok(listener) = runtime.listen(fake.address, ListenOptions::default()).await {
            break (fake, listener);
        }
    };
    let server = Server::new(zones(), Limits::default());
    let inner = runtime.clone();
    let _serving = runtime.spawn("tcp", async move { server.serve_tcp(&inner, listener).await });
    let client = Client::udp(&runtime, &[fake.address], Settings::default());
    let asked = runtime.spawn("ask", async move { client.ask(&question("www", RecordType::A)).await });
    let (query, from) = fake.query().await;
    for id in 0..40_u16 {
        let mut forged = answer(&query);
        forged[..2].copy_from_slice(&id.to_be_bytes());
        if forged[..2] != query[..2] {
            fake.socket.send_to(&forged, from).await.expect("sent");
        }
    }
    let answered = asked.await.expect("a task").expect("an answer");
    assert_eq!((answered.transport, answered.fell_back), (Transport::Tcp, Some(WhyStream::WrongAnswers)));
    assert_eq!(answered.wrong.total(), LookupOptions::default().wrong_answers);
    assert_eq!(records(&answered.reply.message), [WWW]);
}

/// A silent server is asked again, later and later, and others are asked beside it.
pub async fn silent_servers<R: Runtime>(runtime: R) {
    let silent = Fake::<R>::new(&runtime).await;
    let served = serve(&runtime, zones(), Limits::default()).await;
    let first_wait = Duration::from_millis(40);
    let lookup = LookupOptions { tries: 3, first_wait, ..LookupOptions::default() };
    let settings = Settings { lookup, ..Settings::default() };
    let alone = Client::udp(&runtime, &[silent.address], settings.clone());
    let begun = runtime.now();
    let error = alone.ask(&question("www", RecordType::A)).await.expect_err("silence");
    assert!(matches!(error, ClientError::NoAnswer(wrong) if wrong.total() == 0), "{error}");
    assert!(runtime.now() - begun >= first_wait * 7, "the waits double");
    let both = Client::udp(&runtime, &[silent.address, served.address], settings);
    let answered = both.ask(&question("www", RecordType::A)).await.expect("an answer");
    assert_eq!(answered.server, Some(served.address));
}
