//! What the HTTP client does when servers fail or are slow: how often it asks again, and how many connections it opens and
//! keeps.

use crate::http::{routes, serve};
use crate::http2_hostile::frames::{self, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame};
use crate::http3_hostile::headers;
use crate::proxy::support::{OK, Scripted, Step};
use crate::quic::support::{Identity, NAME, local};
use futures_util::future::{join, join_all};
use shroud::ghostwire::http::{
    Body, Client, ClientError, ClientLimits, Http3Client, Http3Error, Limits, Request, Router, handler_fn,
    text,
};
use shroud::runtime::flow::{Either, select};
use shroud::runtime::net::{ListenOptions, Listener, ListenerExt};
use shroud::runtime::{CancellationToken, Runtime, RuntimeExt, Task};
use shroud_quic::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, Transport, VarInt};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn request(method: &str, address: SocketAddr, body: impl Into<Body>) -> Request<Body> {
    let uri = format!("http://{address}/");
    Request::builder().method(method).uri(uri).body(body.into()).expect("a request")
}

/// Under failing servers, requests that may be repeated are: once each, and all together no more than the budget allows.
pub async fn the_retry_budget<R: Runtime>(runtime: R) {
    const REQUESTS: usize = 40;
    let cases = [
        (ClientLimits { retry_percent: 20, retry_reserve: 3, ..ClientLimits::default() }, 3 + 8),
        (ClientLimits { retry_percent: 0, retry_reserve: 5, ..ClientLimits::default() }, 5),
        (ClientLimits { retry_percent: 50, retry_reserve: 0, ..ClientLimits::default() }, 0),
        // The default, as documented.
        (ClientLimits::default(), 10 + 4),
    ];
    for (limits, allowed) in cases {
        let bad = Scripted::start(&runtime, |_| Step::Close).await;
        let client = Client::new(runtime.clone(), limits.clone());
        for _ in 0..REQUESTS {
            let error = client.send(request("GET", bad.address, "")).await.expect_err("nothing comes");
            assert!(matches!(error, ClientError::Connection(_)), "{error:?}");
            assert!(!error.is_unprocessed(), "{error:?}");
        }
        let repeated = bad.requests() - REQUESTS;
        // What is put in while the reserve is full is lost.
        assert!((allowed.max(1) - 1..=allowed).contains(&repeated), "{repeated} of {limits:?}");
    }
    // One that works is asked once.
    let good = Scripted::start(&runtime, |_| OK).await;
    let client = Client::new(runtime.clone(), ClientLimits::default());
    for _ in 0..REQUESTS {
        client.send(request("GET", good.address, "")).await.expect("an answer");
    }
    assert_eq!(good.requests(), REQUESTS);
}

/// What is not idempotent, or has a body, is sent once when it is not known what became of it (RFC 9110, 9.2.2): on new
/// connections and on kept ones.
pub async fn what_may_have_been_done_is_not_repeated<R: Runtime>(runtime: R) {
    for kept in [false, true] {
        for (method, body, attempts) in [
            ("POST", "", 1),
            ("PATCH", "", 1),
            ("POST", "once", 1),
            ("PUT", "once", 1),
            // A kept connection may have ended for no reason: one more.
            ("GET", "", if kept { 3 } else { 2 }),
            ("DELETE", "", if kept { 3 } else { 2 }),
        ] {
            let first = usize::from(kept);
            let bad =
                Scripted::start(&runtime, move |number| if number < first { OK } else { Step::Close }).await;
            let client = Client::new(runtime.clone(), ClientLimits::default());
            if kept {
                client.send(request("GET", bad.address, "")).await.expect("an answer");
            }
            let error = client.send(request(method, bad.address, body)).await.expect_err("nothing comes");
            assert!(!error.is_unprocessed(), "{method}: {error:?}");
            assert_eq!(bad.requests() - first, attempts, "{method} {body:?}, kept: {kept}");
        }
    }
}

/// What a server of HTTP/2 does with a request: the frames it answers with, and whether it closes then.
#[derive(Clone, Copy)]
enum Answer {
    Frames(u8, &'static [u8]),
    /// GOAWAY, and the end.
    Goodbye(&'static [u8]),
    Close,
}

/// A server of HTTP/2 that answers each request by a script, and counts them.
async fn scripted2<R: Runtime>(
    runtime: &R,
    script: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>, Task<()>) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let count = Arc::new(AtomicUsize::new(0));
    let (counting, inner) = (Arc::clone(&count), runtime.clone());
    let task = runtime.spawn("scripted http/2", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (counting, script) = (Arc::clone(&counting), script.clone());
            let talk = async move {
                let (mut peer, _) = frames::Client::<R>::accepted(stream).await;
                while let Some(stream) = peer.asked().await {
                    match script(counting.fetch_add(1, Ordering::SeqCst)) {
                        Answer::Frames(HEADERS, block) => {
                            peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, block)).await;
                        }
                        Answer::Frames(GOAWAY, payload) => {
                            peer.send(&frame(GOAWAY, 0, 0, payload)).await;
                        }
                        Answer::Frames(kind, payload) => {
                            peer.send(&frame(kind, 0, stream, payload)).await;
                        }
                        Answer::Goodbye(payload) => {
                            peer.send(&frame(GOAWAY, 0, 0, payload)).await;
                            return;
                        }
                        Answer::Close => return,
                    }
                }
            };
            inner.spawn("connection", talk).detach();
        }
    });
    (address, count, task)
}

const ANSWERED: Answer = Answer::Frames(HEADERS, &[0x88]);

/// Whatever its method, a request is sent again when the server says that it has not processed it: REFUSED_STREAM, or GOAWAY
/// with an earlier last stream (RFC 9113, 8.7); not for any other code.
pub async fn what_was_refused_unprocessed_is_repeated<R: Runtime>(runtime: R) {
    let cases = [
        ("refused", Answer::Frames(RST_STREAM, &[0, 0, 0, 7]), true),
        ("goodbye before it", Answer::Frames(GOAWAY, &[0, 0, 0, 0, 0, 0, 0, 0]), true),
        ("failed", Answer::Frames(RST_STREAM, &[0, 0, 0, 2]), false),
        ("cancelled", Answer::Frames(RST_STREAM, &[0, 0, 0, 8]), false),
        ("goodbye after it", Answer::Goodbye(&[0, 0, 0, 1, 0, 0, 0, 0]), false),
        ("goodbye after it, for a fault", Answer::Goodbye(&[0, 0, 0, 1, 0, 0, 0, 2]), false),
        ("closed", Answer::Close, false),
    ];
    for (name, bad, refused) in cases {
        let script = move |number| if number == 0 { bad } else { ANSWERED };
        let (address, count, _task) = scripted2(&runtime, script).await;
        let client = Client::new(runtime.clone(), ClientLimits::default()).with_http2_in_clear();
        let answer = client.send(request("POST", address, "")).await;
        assert_eq!(answer.is_ok(), refused, "{name}: {answer:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1 + usize::from(refused), "{name}");
        if let Err(error) = answer {
            assert!(!error.is_unprocessed(), "{name}: {error:?}");
        }
        // One with a body may have sent some of it; whoever has it may send it again.
        let (address, count, _task) = scripted2(&runtime, script).await;
        let error = client.send(request("POST", address, "body")).await.expect_err(name);
        assert_eq!((error.is_unprocessed(), count.load(Ordering::SeqCst)), (refused, 1), "{name}: {error:?}");
    }
    // Those repeats too are within the budget.
    let (address, count, _task) = scripted2(&runtime, |_| Answer::Frames(RST_STREAM, &[0, 0, 0, 7])).await;
    let limits = ClientLimits { retry_percent: 0, retry_reserve: 2, ..ClientLimits::default() };
    let client = Client::new(runtime.clone(), limits).with_http2_in_clear();
    for _ in 0..5 {
        let error = client.send(request("POST", address, "")).await.expect_err("refused again and again");
        assert!(error.is_unprocessed() && error.http2_code() == Some(7), "{error:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 5 + 2);
}

/// As over HTTP/2: H3_REQUEST_REJECTED (RFC 9114, 4.1.1), and no other code; after GOAWAY the next request goes over a new
/// connection, with its body.
pub async fn what_http3_rejects_is_repeated<R: Runtime>(runtime: R) {
    const REJECTED: u32 = 0x10b;
    const CANCELLED: u32 = 0x10c;
    let identity = Identity::generate();
    let mut tls = identity.server_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::new(Arc::new(tls));
    let server = Endpoint::server(&runtime, local(), &EndpointConfig::default(), &config).await.unwrap();
    let address = server.local_addr();
    let (asked, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // The first request of each connection is reset by the code that is next, when there is one; a connection says goodbye
    // after its second request.
    let (script, codes) = shroud::runtime::sync::channel::unbounded::<u32>();
    let (counting, opened, inner) = (Arc::clone(&asked), Arc::clone(&connections), runtime.clone());
    let _server = runtime.spawn("rejecting server", async move {
        while let Some(connecting) = server.accept().await {
            let connection = connecting.await.unwrap();
            opened.fetch_add(1, Ordering::SeqCst);
            let (counting, codes) = (Arc::clone(&counting), codes.clone());
            let talk = async move {
                let mut control = connection.open_uni().await.unwrap();
                control.write_all(&[0, 4, 0]).await.unwrap();
                let mut requests = 0;
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    counting.fetch_add(1, Ordering::SeqCst);
                    requests += 1;
                    if let Ok(code) = codes.try_recv() {
                        receive.stop(VarInt::from_u32(code));
                        send.reset(VarInt::from_u32(code));
                        continue;
                    }
                    let _ = receive.read_to_end(100_000).await;
                    send.write_all(&headers(&[(":status", "200")])).await.unwrap();
                    send.finish().unwrap();
                    if requests == 2 {
                        // No request from the third on (RFC 9114, 5.2).
                        control.write_all(&[7, 1, 8]).await.unwrap();
                    }
                }
            };
            inner.spawn("connection", talk).detach();
        }
    });
    let mut tls = identity.client_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ClientConfig::new(Arc::new(tls), &Transport::default()).unwrap();
    let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let limits = ClientLimits { retry_percent: 0, retry_reserve: 1, ..ClientLimits::default() };
    let client = || {
        Http3Client::new(runtime.clone(), endpoint.clone(), config.clone(), limits.clone())
            .resolving(NAME, address.ip())
    };
    let post = |body: &'static str| {
        let uri = format!("https://{NAME}:{}/", address.port());
        Request::post(uri).body(Body::from(body)).unwrap()
    };
    let since = |before: usize| asked.load(Ordering::SeqCst) - before;
    for (code, body, attempts) in [(REJECTED, "", 2), (CANCELLED, "", 1), (REJECTED, "body", 1)] {
        let before = asked.load(Ordering::SeqCst);
        script.send(code).await.unwrap();
        let answer = client().send(post(body)).await;
        assert_eq!(answer.is_ok(), attempts == 2, "{code:#x}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.is_unprocessed(), code == REJECTED, "{error:?}");
            assert!(matches!(error, Http3Error::Request(_)), "{error:?}");
        }
        assert_eq!(since(before), attempts, "{code:#x} {body}");
    }
    // The budget is one.
    let one = client();
    for allowed in [true, false] {
        let before = asked.load(Ordering::SeqCst);
        let codes = if allowed { vec![REJECTED] } else { vec![REJECTED, REJECTED] };
        for code in &codes {
            script.send(*code).await.unwrap();
        }
        assert_eq!(one.send(post("")).await.is_ok(), allowed);
        assert_eq!(since(before), 1 + usize::from(allowed));
        if !allowed {
            // The second code is the next one's.
            assert!(client().send(post("body")).await.is_err());
        }
    }
    // Each connection takes two requests: none of six gets lost.
    let (client, before) = (client(), connections.load(Ordering::SeqCst));
    for number in 0..6 {
        client.send(post("body")).await.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        // So that the goodbye is heard, whenever there is one.
        runtime.sleep(Duration::from_millis(50)).await;
    }
    // Unless a goodbye was heard late.
    let used = connections.load(Ordering::SeqCst) - before;
    assert!((2..=3).contains(&used), "{used} connections");
}

/// A server whose `/slow` waits for a token, and how many wait.
fn slow(release: &CancellationToken) -> (Router, Arc<AtomicUsize>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let (release, begun) = (release.clone(), Arc::clone(&waiting));
    let slow = handler_fn(move |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        let release = release.clone();
        async move {
            release.cancelled().await;
            text("late")
        }
    });
    (routes().get("/slow", slow), waiting)
}

fn get(address: SocketAddr, path: &str) -> Request<Body> {
    Request::get(format!("http://{address}{path}")).body(Body::empty()).expect("a request")
}

/// No more connections to a host than allowed: further requests wait, and fail after the time with nothing sent; a
/// connection that is free, or gone, serves the next. Other hosts do not matter.
pub async fn connections_of_a_host<R: Runtime>(runtime: R) {
    let release = CancellationToken::new();
    let (router, waiting) = slow(&release);
    let served = serve(&runtime, router, Limits::default()).await;
    let limits =
        ClientLimits { connections: 2, connect_time: Duration::from_millis(300), ..ClientLimits::default() };
    let patient = ClientLimits {
        connect_time: Duration::from_secs(3600),
        request_time: Duration::from_secs(3600),
        ..limits.clone()
    };
    // One after the other, all of them are answered.
    let client = Client::new(runtime.clone(), patient.clone());
    let answers = join_all((0..20).map(|n| client.send(get(served.address, &format!("/n/{n}"))))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("an answer").body(), format!("/n/{n}").as_bytes());
    }
    assert_eq!(crate::hostile::harness::accepted(&served.metrics), 2);
    drop(client);
    served.quiet(&runtime).await;

    let client = Client::new(runtime.clone(), limits);
    let busy = async {
        let held = join(client.send(get(served.address, "/slow")), client.send(get(served.address, "/slow")));
        let (one, other) = held.await;
        (one.expect("an answer"), other.expect("an answer"))
    };
    let others = async {
        while waiting.load(Ordering::SeqCst) < 2 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let seen = served.metrics.requests();
        let error = client.send(get(served.address, "/")).await.expect_err("all are in use");
        let expected = format!("all 2 connections to {} were in use for 300ms", served.address);
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, ClientError::Busy { connections: 2, .. }) && error.is_unprocessed());
        assert_eq!(served.metrics.requests(), seen, "nothing was sent");
        // Another host has connections of its own.
        let other = serve(&runtime, routes(), Limits::default()).await;
        client.send(get(other.address, "/")).await.expect("an answer");
        // One that no longer waits leaves its turn to the next.
        {
            let given_up = pin!(client.send(get(served.address, "/")));
            let pause = pin!(runtime.sleep(Duration::from_millis(20)));
            assert!(matches!(select(given_up, pause).await, Either::Right(_)));
        }
        release.cancel();
        client.send(get(served.address, "/")).await.expect("an answer");
    };
    join(busy, others).await;

    // A connection whose response is dropped is closed, and makes room.
    let client = Client::new(runtime.clone(), patient.clone());
    for _ in 0..5 {
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(client.fetch(get(served.address, "/big")).await.expect("an answer"));
        }
        drop(held);
    }
    // HTTP/2 needs one for all that ask at once.
    let release = CancellationToken::new();
    let (router, waiting) = slow(&release);
    let served = serve(&runtime, router, Limits::default()).await;
    let client =
        Client::new(runtime.clone(), ClientLimits { connections: 1, ..patient }).with_http2_in_clear();
    let all = join_all((0..10).map(|_| client.send(get(served.address, "/slow"))));
    let let_go = async {
        while waiting.load(Ordering::SeqCst) < 10 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        release.cancel();
    };
    let (answers, ()) = join(all, let_go).await;
    assert!(answers.into_iter().all(|answer| answer.expect("an answer").body() == "late"));
    assert_eq!(crate::hostile::harness::accepted(&served.metrics), 1);
}

/// A connection that nobody uses is closed after the idle time, without anybody asking again; one that is used is not.
pub async fn idle_connections_are_closed<R: Runtime>(runtime: R) {
    const IDLE: Duration = Duration::from_millis(500);
    // The server would keep them.
    let limits = Limits { idle_time: Duration::from_secs(600), ..Limits::default() };
    for http2 in [false, true] {
        let release = CancellationToken::new();
        let (router, waiting) = slow(&release);
        let served = serve(&runtime, router, limits.clone()).await;
        let limits = ClientLimits { idle_time: IDLE, ..ClientLimits::default() };
        let mut client = Client::new(runtime.clone(), limits);
        if http2 {
            client = client.with_http2_in_clear();
        }
        let ask = || client.send(get(served.address, "/"));
        join_all([ask(), ask(), ask()]).await.into_iter().for_each(|answer| drop(answer.expect("an answer")));
        ask().await.expect("an answer");
        let kept = runtime.now();
        assert!(served.metrics.connections() > 0, "kept for the next request");
        served.quiet(&runtime).await;
        let took = runtime.now().saturating_duration_since(kept);
        assert!(took >= IDLE * 9 / 10, "closed after {took:?}");
        let mut page = String::new();
        served.metrics.render(&mut page);
        assert!(page.contains("\nshroud_http_timeouts_total 0\n"), "the server has closed them: {page}");
        // And again, since the client goes on.
        ask().await.expect("an answer");
        served.quiet(&runtime).await;
        // A request that takes longer than that is no idle connection.
        let before = waiting.load(Ordering::SeqCst);
        let held = async { client.send(get(served.address, "/slow")).await.expect("an answer") };
        let looks = async {
            while waiting.load(Ordering::SeqCst) == before {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            runtime.sleep(IDLE * 2).await;
            assert_eq!(served.metrics.connections(), 1);
            release.cancel();
        };
        assert_eq!(join(held, looks).await.0.body(), "late");
        // Those of a client that is gone are closed at once.
        drop(client);
        served.quiet(&runtime).await;
    }
}
