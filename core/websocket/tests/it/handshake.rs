//! Both sides of the opening handshake, against each other and against what does not fit.

use http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use shroud_websocket::deflate::Compression;
use shroud_websocket::handshake::{Opening, OpeningError, Origins, Policy, Refusal, accept, accept_extended};

fn opening(protocols: &[&str]) -> Opening {
    let protocols = protocols.iter().map(|protocol| (*protocol).to_owned()).collect();
    Opening::new(b"sixteen of chanc", protocols, Some(Compression::default())).unwrap()
}

fn request(opening: &Opening) -> Request<()> {
    let mut request = Request::get("/chat").body(()).unwrap();
    *request.headers_mut() = opening.headers();
    request.headers_mut().insert(HOST, "example.com:8080".parse().unwrap());
    request
}

fn answer(headers: http::HeaderMap) -> Response<()> {
    let mut response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).body(()).unwrap();
    *response.headers_mut() = headers;
    response
}

fn policy() -> Policy {
    Policy {
        protocols: vec!["v2".into(), "v1".into()],
        compression: Some(Compression::default()),
        ..Policy::default()
    }
}

#[test]
fn both_sides_agree() {
    let opening = opening(&["v1", "v2", "v3"]);
    let at_server = accept(&request(&opening), &policy()).unwrap();
    assert_eq!(at_server.protocol.as_deref(), Some("v2"));
    assert!(at_server.compression.is_some());
    let at_client = opening.accept(&answer(at_server.headers)).unwrap();
    assert_eq!(at_client.protocol.as_deref(), Some("v2"));
    assert!(at_client.compression.is_some());
    let plain = accept(&request(&opening), &Policy::default()).unwrap();
    assert_eq!((plain.protocol, plain.compression, plain.headers.len()), (None, None, 3));
}

#[test]
fn over_extended_connect() {
    let opening = opening(&["v1"]);
    let mut request = Request::connect("https://example.com/chat").body(()).unwrap();
    *request.headers_mut() = opening.headers_extended();
    request.headers_mut().insert(ORIGIN, "https://example.com".parse().unwrap());
    let agreed = accept_extended(&request, &policy()).unwrap();
    assert!(!agreed.headers.contains_key(SEC_WEBSOCKET_ACCEPT) && !agreed.headers.contains_key(UPGRADE));
    let mut response = answer(agreed.headers);
    *response.status_mut() = StatusCode::OK;
    assert_eq!(opening.accept_extended(&response).unwrap().protocol.as_deref(), Some("v1"));
    *request.method_mut() = Method::GET;
    assert_eq!(accept_extended(&request, &policy()), Err(Refusal::NoUpgrade));
}

fn changed(change: impl FnOnce(&mut Request<()>)) -> Result<(), Refusal> {
    let mut request = request(&opening(&[]));
    change(&mut request);
    accept(&request, &policy()).map(|_| ())
}

fn with(name: HeaderName, value: &'static str) -> Result<(), Refusal> {
    changed(|request| {
        request.headers_mut().insert(name, value.parse().unwrap());
    })
}

fn without(name: HeaderName) -> Result<(), Refusal> {
    changed(|request| {
        request.headers_mut().remove(name);
    })
}

#[test]
fn requests_that_open_nothing() {
    assert_eq!(with(UPGRADE, "h2c, WebSocket"), Ok(()));
    assert_eq!(with(CONNECTION, "keep-alive, Upgrade"), Ok(()));
    assert_eq!(with(UPGRADE, "h2c"), Err(Refusal::NoUpgrade));
    assert_eq!(with(CONNECTION, "close"), Err(Refusal::NoUpgrade));
    assert_eq!(without(SEC_WEBSOCKET_KEY), Err(Refusal::Key));
    assert_eq!(with(SEC_WEBSOCKET_KEY, "c2hvcnQ="), Err(Refusal::Key));
    assert_eq!(without(SEC_WEBSOCKET_VERSION), Err(Refusal::Version));
    assert_eq!(with(SEC_WEBSOCKET_VERSION, "8"), Err(Refusal::Version));
    assert_eq!(with(SEC_WEBSOCKET_VERSION, "13, 8"), Err(Refusal::Version));
    assert_eq!(with(SEC_WEBSOCKET_EXTENSIONS, "a b"), Err(Refusal::Malformed("sec-websocket-extensions")));
    assert_eq!(with(SEC_WEBSOCKET_PROTOCOL, "a b"), Err(Refusal::Malformed("sec-websocket-protocol")));
    assert_eq!(changed(|request| *request.method_mut() = Method::POST), Err(Refusal::Method));
    assert_eq!(changed(|request| *request.version_mut() = Version::HTTP_10), Err(Refusal::Method));
    let twice = changed(|request| {
        request.headers_mut().append(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
    });
    assert_eq!(twice, Err(Refusal::Key));
    assert_eq!(Refusal::Version.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(Refusal::Version.headers()[SEC_WEBSOCKET_VERSION], "13");
}

#[test]
fn origins() {
    let judge = |origin: &'static str, origins: Origins| {
        let mut request = request(&opening(&[]));
        request.headers_mut().insert(ORIGIN, origin.parse().unwrap());
        accept(&request, &Policy { origins, ..Policy::default() }).is_ok()
    };
    assert!(judge("http://example.com:8080", Origins::SameHost));
    assert!(judge("http://Example.COM:8080", Origins::SameHost));
    for other in ["http://example.com", "http://example.com:80801", "http://evil.example:8080", "null"] {
        assert!(!judge(other, Origins::SameHost), "{other}");
        assert!(judge(other, Origins::Any));
    }
    let listed = || Origins::Listed(vec!["https://a.example".into()]);
    assert!(judge("https://a.example", listed()) && !judge("http://a.example", listed()));
    assert!(judge("http://x", Origins::Judged(std::sync::Arc::new(|origin| origin.ends_with('x')))));
    assert_eq!(changed(|_| {}), Ok(()), "programs send none");
}

#[test]
fn answers_that_a_client_refuses() {
    let opening = opening(&["v1"]);
    let good = accept(&request(&opening), &policy()).unwrap().headers;
    assert!(opening.accept(&answer(good.clone())).is_ok());
    let change = |name: HeaderName, value: &'static str| {
        let mut headers = good.clone();
        headers.insert(name, value.parse().unwrap());
        opening.accept(&answer(headers)).map(|_| ())
    };
    for (name, value) in [
        (UPGRADE, "h2c"),
        (CONNECTION, "close"),
        (SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (SEC_WEBSOCKET_PROTOCOL, "v2"),
        (SEC_WEBSOCKET_EXTENSIONS, "permessage-bzip2"),
        (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
    ] {
        assert!(matches!(change(name.clone(), value), Err(OpeningError::Handshake(_))), "{name}: {value}");
    }
    let mut forbidden = answer(good);
    *forbidden.status_mut() = StatusCode::FORBIDDEN;
    assert_eq!(opening.accept(&forbidden), Err(OpeningError::Status(StatusCode::FORBIDDEN)));
    let bad = Opening::new(&[0; 16], vec!["a b".into()], None);
    assert_eq!(bad.err(), Some(OpeningError::Protocol));
}
