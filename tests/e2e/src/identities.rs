//! Who is who over TCP and over QUIC: clients with certificates, servers with several, and new ones while connections are open.

use crate::hostile::harness::accepted;
use crate::one_port::{LOCAL, Served, VERSIONS, believing, client_of, dev, get, http3_client_of, serve};
use bytes::Bytes;
use http_body::Frame;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use shroud::ghostwire::http::{
    Body, Client, ClientError, ClientLimits, ConnectionInfo, Http3Error, Limits, OnePort, Request, Response,
    Router, Tls, UseHttp3, handler_fn, text,
};
use shroud::ghostwire::tls::{
    Certificate, Certificates, ClientCertificates, ClientOptions, SeamClock, ServerOptions, Trust, alpn,
    connect, provider,
};
use shroud::runtime::Runtime;
use shroud::runtime::net::ConnectOptions;
use shroud_quic::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, Transport, TransportErrorCode, VarInt,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alerts of TLS (RFC 8446, 6), which QUIC sends as codes (RFC 9001, 4.8).
const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const UNKNOWN_AUTHORITY: u8 = 48;
const CERTIFICATE_REQUIRED: u8 = 116;

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("none");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue<R: Runtime>(&self, runtime: &R, name: &str, usage: ExtendedKeyUsagePurpose) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let key = key.serialize_pem();
        Certificate::from_pem(pem.as_bytes(), key.as_bytes(), runtime.unix_time(), &provider())
            .expect("a certificate")
    }
}

/// The code of the peer's transport, when HTTP/3 failed by it.
fn refusal(error: &ClientError) -> Option<TransportErrorCode> {
    match error {
        ClientError::Http3(
            Http3Error::Connection(ConnectionError::PeerTransport { code, .. })
            | Http3Error::Lost(ConnectionError::PeerTransport { code, .. }),
        ) => Some(*code),
        _ => None,
    }
}

/// A server that asks for certificates, and says by which one it knows a client; it counts its requests.
async fn asking<R: Runtime>(
    runtime: &R,
    clients: ClientCertificates,
) -> (Served, ClientOptions, Arc<AtomicUsize>) {
    let (certificate, pem) = dev(runtime);
    let certificates = Certificates::new(vec![certificate]).expect("one");
    let options =
        ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates).clients(clients);
    let on = OnePort::new(LOCAL).with_tls(Tls::new(&options).expect("TLS"));
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let who = handler_fn(move |request: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let info = ConnectionInfo::of(&request).expect("a connection");
        let chain = &info.tls.as_ref().expect("TLS").peer_certificates;
        let known = chain.first().map_or(b"nobody".to_vec(), |own| own.to_vec());
        async move { text(known) }
    });
    let served = serve(runtime, &on, Router::new().any("/", who), Limits::default()).await;
    (served, believing(runtime, &pem), handled)
}

/// Over QUIC as over TCP: who must have a certificate and has none, or another authority's, is refused before any handler sees
/// the request, and is told why; who has one is known by it, on resumed connections too.
pub async fn client_certificates<R: Runtime>(runtime: R) {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let known = ours.issue(&runtime, "client.test", ExtendedKeyUsagePurpose::ClientAuth);
    let stranger = theirs.issue(&runtime, "client.test", ExtendedKeyUsagePurpose::ClientAuth);
    // It is for servers.
    let misused = ours.issue(&runtime, "client.test", ExtendedKeyUsagePurpose::ServerAuth);
    let required = ClientCertificates::required_from_pem(ours.pem.as_bytes()).expect("anchors");
    let optional = ClientCertificates::optional_from_pem(ours.pem.as_bytes()).expect("anchors");
    for (clients, must) in [(required, true), (optional, false)] {
        let (served, options, handled) = asking(&runtime, clients).await;
        let mut expected = 0;
        for version in VERSIONS {
            let ask = async |options: ClientOptions| {
                let client = client_of(&runtime, options, LOCAL, version).await;
                client.send(get(served.address, "/")).await.map(|answer| answer.into_body())
            };
            let body = ask(options.clone().certificate(known.clone())).await.expect("an answer");
            assert_eq!(&body[..], &*known.chain()[0], "{version}");
            expected += 1;
            let refused = [
                (must, options.clone(), CERTIFICATE_REQUIRED),
                (true, options.clone().certificate(stranger.clone()), UNKNOWN_AUTHORITY),
                (true, options.clone().certificate(misused.clone()), UNSUPPORTED_CERTIFICATE),
            ];
            for (is_refused, options, alert) in refused {
                match ask(options).await {
                    Ok(body) => {
                        assert!(!is_refused, "{version}: alert {alert} was due");
                        assert_eq!(&body[..], b"nobody");
                        expected += 1;
                    }
                    Err(error) => {
                        assert!(is_refused, "{version}: {error}");
                        let code = refusal(&error);
                        let due = (version == "HTTP/3.0").then(|| TransportErrorCode::crypto(alert));
                        assert_eq!(code, due, "{version}: {error:?}");
                    }
                }
            }
        }
        // A session that is resumed, with the request in early data perhaps.
        let options = options.certificate(known.clone());
        let http3 = http3_client_of(&runtime, options, LOCAL, ClientLimits::default()).await;
        for _ in 0..3 {
            let answer = http3.send(get(served.address, "/")).await.expect("an answer");
            assert_eq!(answer.into_body().bytes(10_000).await.expect("a body"), &*known.chain()[0]);
            expected += 1;
            http3.clear();
        }
        assert_eq!(handled.load(Ordering::SeqCst), expected, "nobody else was heard");
    }
}

/// A server with several certificates shows each client, over QUIC and over TCP, that of the name it asks for, and the first
/// when it asks for none or for another.
pub async fn names_choose_certificates<R: Runtime>(runtime: R) {
    let authority = Authority::new("ours");
    let issue = |name| authority.issue(&runtime, name, ExtendedKeyUsagePurpose::ServerAuth);
    let all = ["a.test", "b.test", "*.c.test"].map(issue);
    let certificates = Certificates::new(all.to_vec()).expect("three");
    let server = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates);
    let on = OnePort::new(LOCAL).with_tls(Tls::new(&server).expect("TLS"));
    let name = handler_fn(|request: Request<Body>| async move {
        let info = ConnectionInfo::of(&request).expect("a connection");
        text(info.tls.as_ref().expect("TLS").server_name.clone().unwrap_or_default())
    });
    let served = serve(&runtime, &on, Router::new().any("/", name), Limits::default()).await;
    let endpoint = Endpoint::client(&runtime, LOCAL, &EndpointConfig::default()).await.expect("an endpoint");
    let strict = believing(&runtime, &authority.pem);
    let lenient = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), Trust::InsecureAnyone);
    let shown = async |options: &ClientOptions, name: &str| {
        let tls = options.clone().protocols(&[alpn::H3]).only_tls_13().config().expect("TLS");
        let config = ClientConfig::new(Arc::new(tls), &Transport::default()).expect("a configuration");
        let connection = endpoint.connect(&config, served.address, name).expect("tried").await?;
        let quic = connection.peer_certificates().expect("a chain");
        connection.close(VarInt::from_u32(0x100), b"");
        let tls = options.clone().protocols(&[alpn::H2]).config().expect("TLS");
        let stream = runtime.connect(served.address, ConnectOptions::default()).await.expect("a connection");
        let stream = connect(stream, &Arc::new(tls), name).await.map_err(|failed| failed.error);
        let tcp = stream.expect("a handshake").handshake().peer_certificates.clone();
        assert_eq!(quic, tcp, "{name}");
        Ok::<_, ConnectionError>(quic)
    };
    for (name, certificate) in [("a.test", 0), ("b.test", 1), ("x.c.test", 2), ("B.test", 1)] {
        assert_eq!(shown(&strict, name).await.expect("a connection"), all[certificate].chain(), "{name}");
        let http3 = http3_client_of(&runtime, strict.clone(), LOCAL, ClientLimits::default()).await;
        let http3 = http3.resolving(name, served.address.ip());
        let request = Request::get(format!("https://{name}:{}/", served.address.port()));
        let answer = http3.send(request.body(Body::empty()).expect("one")).await.expect("an answer");
        let told = answer.into_body().bytes(100).await.expect("a name");
        assert_eq!(told, name.to_ascii_lowercase().as_bytes());
    }
    for name in ["c.test", "x.y.c.test", "other.test", "127.0.0.1"] {
        assert_eq!(shown(&lenient, name).await.expect("a connection"), all[0].chain(), "{name}");
        let refused = shown(&strict, name).await.expect_err("another's certificate");
        let expected = TransportErrorCode::crypto(BAD_CERTIFICATE);
        assert!(
            matches!(refused, ConnectionError::Transport { code, .. } if code == expected),
            "{refused:?}"
        );
    }
}

/// New certificates are shown to whoever comes from then on; a QUIC connection that is open goes on, and so do its requests.
pub async fn new_certificates_leave_connections_alone<R: Runtime>(runtime: R) {
    let (old, new) = (dev(&runtime), dev(&runtime));
    let tls = crate::one_port::tls(&runtime, old.0);
    let on = OnePort::new(LOCAL).with_tls(tls.clone());
    // Each piece comes back before the next is sent.
    let echo = handler_fn(|request: Request<Body>| async { Response::new(request.into_body()) });
    let served = serve(&runtime, &on, Router::new().any("/", echo), Limits::default()).await;
    let client = async |pem: &str| {
        let http3 = http3_client_of(&runtime, believing(&runtime, pem), LOCAL, ClientLimits::default()).await;
        Client::new(runtime.clone(), ClientLimits::default()).with_http3(http3, UseHttp3::Always)
    };
    let staying = client(&old.1).await;
    let (pieces, body) = crate::proxy::through::piped();
    let request = Request::post(format!("https://{}/", served.address)).body(body).expect("a request");
    let mut answer = staying.fetch(request).await.expect("an answer").into_body();
    for round in 0..10 {
        pieces.send(Frame::data(Bytes::from(vec![round; 1000]))).await.expect("taken");
        let mut got = 0;
        while got < 1000 {
            got += answer.data().await.expect("open").expect("a piece").len();
        }
        tls.certificates().replace(vec![new.0.clone()]).expect("another");
        staying.send(get(served.address, "/")).await.expect("an answer");
    }
    drop(pieces);
    assert!(answer.data().await.expect("an end").is_none());
    assert_eq!(accepted(&served.metrics), 1, "one connection served all of it");
    client(&new.1).await.send(get(served.address, "/")).await.expect("the new one is shown");
    let error = client(&old.1).await.send(get(served.address, "/")).await.expect_err("the old one is not");
    assert!(
        matches!(error, ClientError::Http3(Http3Error::Connection(ConnectionError::Transport { .. }))),
        "{error:?}"
    );
}
