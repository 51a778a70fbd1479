//! What does not depend on the version of HTTP: middleware, cookies, turns, and IPv6.

use crate::one_port::{LOCAL, VERSIONS, believing, client_of, dev, get, serve, tls};
use futures_util::future::join_all;
use shroud::ghostwire::http::{
    Bearer, Body, Client, ClientLimits, Compressed, ConnectionInfo, Cookies, Cors, HeaderMap, Limits, Method,
    OnePort, RateLimited, Request, Response, Router, SecurityHeaders, StatusCode, handler_fn, text,
};
use shroud::runtime::Runtime;
use shroud::runtime::flow::RateLimits;
use shroud::runtime::net::ListenOptions;
use shroud::runtime::task::polled_at;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::Read as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Requests that a client may send at once.
const BURST: u32 = 12;

/// Bearer tokens, compression, the body's limit, rates, CORS and security fields, around each other, over each version.
pub async fn middleware<R: Runtime>(runtime: R) {
    for version in VERSIONS {
        let length = handler_fn(|request: Request<Body>| async move {
            match request.into_body().bytes(u64::MAX).await {
                Ok(bytes) => text(bytes.len().to_string()),
                Err(error) => {
                    let mut response = text("");
                    *response.status_mut() = error.status();
                    response
                }
            }
        });
        let routes =
            Router::new().get("/", handler_fn(|_| async { text("x".repeat(5000)) })).post("/", length);
        let rates = RateLimits {
            count: NonZeroU32::MIN,
            period: Duration::from_secs(3600),
            burst: NonZeroU32::new(BURST).expect("some"),
        };
        let guarded = Compressed::new(Cors::any(Bearer::new(routes, ["token"])));
        let handler = SecurityHeaders::new(RateLimited::new(runtime.clone(), guarded, rates));
        let (certificate, pem) = dev(&runtime);
        let on = OnePort::new(LOCAL).with_tls(tls(&runtime, certificate));
        let limits = Limits { body_bytes: 1000, ..Limits::default() };
        let served = serve(&runtime, &on, handler, limits).await;
        let client = client_of(&runtime, believing(&runtime, &pem), LOCAL, version).await;
        let ask = async |method: Method, fields: &[(&'static str, &str)], body: Body| {
            let is_silent = http_body::Body::size_hint(&body).exact().is_none();
            let mut request = get(served.address, "/").map(|_| body);
            *request.method_mut() = method;
            for (name, value) in fields {
                request.headers_mut().insert(*name, value.parse().expect("a value"));
            }
            let answer = client.send(request).await.expect("an answer");
            assert_eq!(format!("{:?}", answer.version()), version);
            let (head, body) = answer.into_parts();
            // Whatever the answer is, but for what the server refuses before any handler sees it.
            let seen = head.status != StatusCode::PAYLOAD_TOO_LARGE || is_silent;
            let expected = |value| seen.then_some(value);
            assert_eq!(field(&head.headers, "x-content-type-options"), expected("nosniff"), "{version}");
            assert_eq!(field(&head.headers, "x-frame-options"), expected("DENY"), "{version}");
            (head.status.as_u16(), head.headers, body)
        };
        let token = ("authorization", "Bearer token");
        let (status, head, _) = ask(Method::GET, &[], Body::empty()).await;
        assert_eq!((status, field(&head, "www-authenticate")), (401, Some("Bearer")), "{version}");
        let (status, head, _) = ask(Method::GET, &[("authorization", "Bearer other")], Body::empty()).await;
        let challenge = Some("Bearer error=\"invalid_token\"");
        assert_eq!((status, field(&head, "www-authenticate")), (401, challenge), "{version}");
        let (status, head, body) = ask(Method::GET, &[token], Body::empty()).await;
        assert_eq!((status, body.len(), field(&head, "content-encoding")), (200, 5000, None), "{version}");
        assert_eq!(field(&head, "vary"), Some("accept-encoding"), "{version}");

        let (status, head, body) =
            ask(Method::GET, &[token, ("accept-encoding", "gzip")], Body::empty()).await;
        assert_eq!((status, field(&head, "content-encoding")), (200, Some("gzip")), "{version}");
        assert!(body.len() < 1000, "{version}: {} bytes", body.len());
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut plain).expect("gzip");
        assert_eq!(plain, "x".repeat(5000), "{version}");

        let (status, _, body) = ask(Method::POST, &[token], vec![1; 1000].into()).await;
        assert_eq!((status, &body[..]), (200, &b"1000"[..]), "{version}");
        assert_eq!(ask(Method::POST, &[token], vec![1; 1001].into()).await.0, 413, "{version}");
        // One that does not say how long it is.
        let silent = Body::from(vec![1; 1001]).with_trailers(HeaderMap::new());
        assert_eq!(ask(Method::POST, &[token], silent).await.0, 413, "{version}");

        let origin = ("origin", "https://dapp.example");
        let preflight = [origin, ("access-control-request-method", "POST")];
        let (status, head, _) = ask(Method::OPTIONS, &preflight, Body::empty()).await;
        assert_eq!((status, field(&head, "access-control-allow-origin")), (204, Some("*")), "{version}");
        assert_eq!(field(&head, "access-control-allow-methods"), Some("GET, POST, OPTIONS"), "{version}");
        // A refusal too must be readable by the page.
        let (status, head, _) = ask(Method::GET, &[origin], Body::empty()).await;
        assert_eq!((status, field(&head, "access-control-allow-origin")), (401, Some("*")), "{version}");

        // The handler has seen eight.
        for _ in 8..BURST {
            assert_eq!(ask(Method::GET, &[token], Body::empty()).await.0, 200, "{version}");
        }
        let (status, head, _) = ask(Method::GET, &[token], Body::empty()).await;
        assert_eq!(status, 429, "{version}");
        let wait: u64 = field(&head, "retry-after").expect("when").parse().expect("seconds");
        assert!((1..=3600).contains(&wait), "{version}: {wait}");
    }
}

/// Cookies of one server are sent back to it, over whatever version, along redirects and until it takes them back; not to another.
pub async fn cookies<R: Runtime>(runtime: R) {
    let told = || {
        handler_fn(|request: Request<Body>| async move {
            text(field(request.headers(), "cookie").unwrap_or("none").to_owned())
        })
    };
    let setting = |sets: &'static [&str], to: String| {
        handler_fn(move |_| {
            let mut response = text("");
            *response.status_mut() = StatusCode::FOUND;
            for set in sets {
                response.headers_mut().append("set-cookie", set.parse().expect("a value"));
            }
            response.headers_mut().insert("location", to.parse().expect("a value"));
            async { response }
        })
    };
    let store = Cookies::new();
    let mut expected = "none".to_owned();
    for version in VERSIONS {
        let (certificate, pem) = dev(&runtime);
        // Elsewhere for a store of cookies is another host, not another port.
        let other = OnePort::new(LOCAL).with_tls(tls(&runtime, certificate.clone()));
        let other = serve(&runtime, &other, Router::new().get("/", told()), Limits::default()).await;
        let routes = Router::new()
            .get("/", told())
            .get("/in", setting(&["session=1; Path=/; Secure; HttpOnly", "step=in; Max-Age=60"], "/".into()))
            .get("/out", setting(&["session=; Path=/; Max-Age=0"], "/".into()))
            .get("/away", setting(&[], format!("https://localhost:{}/", other.address.port())));
        let on = OnePort::new(LOCAL).with_tls(tls(&runtime, certificate));
        let served = serve(&runtime, &on, routes, Limits::default()).await;
        let client = client_of(&runtime, believing(&runtime, &pem), LOCAL, version).await;
        let client = client.with_redirects(1).with_cookies(store.clone());
        let ask = async |path: &str| {
            let answer = client.send(get(served.address, path)).await.expect("an answer");
            assert_eq!(
                (format!("{:?}", answer.version()).as_str(), answer.status()),
                (version, StatusCode::OK)
            );
            String::from_utf8(answer.into_body().into()).expect("text")
        };
        // What another version's client has left, which shares the store.
        assert_eq!(ask("/").await, expected, "{version}");
        let both = ask("/in").await;
        assert!(both.contains("session=1") && both.contains("step=in"), "{version}: {both}");
        assert_eq!(ask("/away").await, "none", "{version}");
        assert_eq!(ask("/out").await, "step=in", "{version}");
        "step=in".clone_into(&mut expected);
    }
    assert_eq!(store.len(), 1);
}

/// Requests that come together on one connection are not all polled in one poll of its task: a few, then others have their turn.
pub async fn turns<R: Runtime>(runtime: R) {
    const REQUESTS: usize = 60;
    // Those of HTTP/1.1 come one after the other.
    for version in VERSIONS.iter().filter(|version| **version != "HTTP/1.1") {
        let polls = Arc::new(Mutex::new(BTreeMap::<Option<Instant>, usize>::new()));
        let (clock, counted) = (runtime.clone(), Arc::clone(&polls));
        let busy = handler_fn(move |_| {
            let (clock, polls) = (clock.clone(), Arc::clone(&counted));
            async move {
                let poll = poll_fn(|cx| Poll::Ready(polled_at(cx.waker()))).await;
                *polls.lock().expect("counts").entry(poll).or_default() += 1;
                // Longer than a turn.
                let begun = clock.now();
                while clock.now().saturating_duration_since(begun) < Duration::from_micros(100) {}
                text("done")
            }
        });
        let (certificate, pem) = dev(&runtime);
        let on = OnePort::new(LOCAL).with_tls(tls(&runtime, certificate));
        let served = serve(&runtime, &on, Router::new().get("/", busy), Limits::default()).await;
        let client = client_of(&runtime, believing(&runtime, &pem), LOCAL, version).await;
        let ask = || client.send(get(served.address, "/"));
        ask().await.expect("an answer");
        for answer in join_all((1..REQUESTS).map(|_| ask())).await {
            assert_eq!(answer.expect("an answer").status(), StatusCode::OK, "{version}");
        }
        let polls = std::mem::take(&mut *polls.lock().expect("counts"));
        assert!(!polls.contains_key(&None), "{version}: a request's first poll is its connection's");
        assert_eq!(polls.values().sum::<usize>(), REQUESTS, "{version}");
        // Two without a look at the clock, and the one that ends the turn.
        assert!(polls.values().all(|polled| *polled <= 3), "{version}: {polls:?}");
    }
}

fn field<'a>(head: &'a HeaderMap, name: &str) -> Option<&'a str> {
    head.get(name).map(|value| value.to_str().expect("text"))
}

/// Any port of this host, by IPv6; `None`, loudly, on a machine that has none.
pub async fn loopback6<R: Runtime>(runtime: &R) -> Option<SocketAddr> {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    match runtime.listen(address, ListenOptions::default()).await {
        Ok(_) => Some(address),
        Err(error) => {
            println!("SKIPPED: this machine has no IPv6 loopback: {error}");
            None
        }
    }
}

/// Every version over `[::1]`, with TLS and in the clear; handlers see where it comes from.
pub async fn over_ipv6<R: Runtime>(runtime: R) {
    let Some(any) = loopback6(&runtime).await else { return };
    let peer = || {
        handler_fn(|request: Request<Body>| async move {
            let info = ConnectionInfo::of(&request).expect("a connection");
            let host = request.headers().get("host").map(|host| host.to_str().expect("text").to_owned());
            let length = request.uri().authority().map_or(host, |authority| Some(authority.to_string()));
            text(format!("{} {}", info.peer.ip(), length.unwrap_or_default()))
        })
    };
    let (certificate, pem) = dev(&runtime);
    let on = OnePort::new(any).with_tls(tls(&runtime, certificate));
    let served = serve(&runtime, &on, Router::new().get("/", peer()), Limits::default()).await;
    let expected = format!("::1 [::1]:{}", served.address.port());
    for version in VERSIONS {
        let client = client_of(&runtime, believing(&runtime, &pem), any, version).await;
        let answer: Response<_> = client.send(get(served.address, "/")).await.expect("an answer");
        assert_eq!(
            (answer.status(), format!("{:?}", answer.version())),
            (StatusCode::OK, version.to_owned())
        );
        assert_eq!(answer.body(), expected.as_bytes(), "{version}");
    }
    let served = serve(&runtime, &OnePort::new(any), Router::new().get("/", peer()), Limits::default()).await;
    let expected = format!("::1 [::1]:{}", served.address.port());
    let plain = Client::new(runtime.clone(), ClientLimits::default());
    for client in [plain.clone(), plain.with_http2_in_clear()] {
        let request = Request::get(format!("http://{}/", served.address)).body(Body::empty());
        let answer = client.send(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.body(), expected.as_bytes());
    }
}
