//! HTTP/1.1 and what comes before it.

use super::harness::{
    InPlace, accepted, breathe, bystander, http_bystander, quiet, served, settle, withstand,
};
use super::stage::{Place, at};
use crate::http::{Raw, Served, get, routes};
use crate::tls::Asking;
use bytes::Bytes;
use futures_util::future::join_all;
use shroud::ghostwire::http::{Handler, Limits, StatusCode, handler_fn, text};
use shroud::ghostwire::tls::Trust;
use shroud::runtime::{Runtime, RuntimeExt};
use std::time::Duration;

/// Connections of an attack, well within the descriptors that every machine gives.
const CONNECTIONS: usize = 200;

/// As elsewhere, and `/large`: 4 MiB that all answers share, so that what grows is the server's own.
pub fn handler() -> impl Handler {
    let large = Bytes::from(vec![b'x'; 4 << 20]);
    routes().get(
        "/large",
        handler_fn(move |_| {
            let large = large.clone();
            async move { text(large) }
        }),
    )
}

/// Limits that are over soon, but for a connection without requests: the bystander's may have to wait long for its turn.
pub fn impatient() -> Limits {
    let soon = Duration::from_millis(700);
    Limits { header_time: soon, body_time: soon, write_time: soon, ..Limits::default() }
}

/// Opens connections, sends the same on each, then a byte on each for as long as the server has them.
async fn crowd<R: Runtime>(runtime: &R, served: &Served, first: &str, then: &str) {
    let before = accepted(&served.metrics);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Raw::<R>::connect(runtime, served.address).await;
        client.send(first).await;
        clients.push(client);
    }
    while accepted(&served.metrics) < before + CONNECTIONS {
        breathe(runtime).await;
    }
    while served.metrics.connections() > 1 {
        // Not all at the same moment.
        for some in clients.chunks_mut(CONNECTIONS / 10) {
            if !then.is_empty() {
                join_all(some.iter_mut().map(|client| client.send(then))).await;
            }
            runtime.sleep(Duration::from_millis(3)).await;
        }
    }
}

/// Half a header, a header without end, a body that trickles, an answer that nobody takes: all are let go.
pub async fn slowloris<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    slow_peers(&runtime, &served).await;
}

pub(super) async fn slow_peers<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    for (name, first, then) in [
        ("half a request line", "GET / HT", ""),
        ("a header that trickles", "GET / HTTP/1.1\r\nHost: a\r\n", "X"),
        ("a body that trickles", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "x"),
        (
            "chunks that trickle",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        ),
        (
            "answers that nobody takes",
            "GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n",
            "",
        ),
        ("half of HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", ""),
    ] {
        let begun = runtime.now();
        withstand(runtime, name, &mut bystander, || crowd(runtime, served, first, then)).await;
        settle(runtime, served).await;
        // By the limit of its phase, not by that for connections without requests.
        let took = runtime.now().saturating_duration_since(begun);
        assert!(took < Limits::default().idle_time, "{name}: {took:?}");
    }
}

/// Connections that say nothing, or nothing more than that they are HTTP/2.
pub async fn silence<R: Runtime>(runtime: R) {
    let limits = Limits { idle_time: Duration::from_secs(3), ..impatient() };
    let served = served(&runtime, handler(), limits).await;
    let mut bystander = http_bystander(&runtime, &served).await;
    for (name, first) in [("silence", ""), ("HTTP/2's preface alone", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")] {
        withstand(&runtime, name, &mut bystander, || crowd(&runtime, &served, first, "")).await;
        settle(&runtime, &served).await;
    }
}

/// A server over TLS, in its place, and whom to believe.
async fn tls_served<R: Runtime>(runtime: &R, limits: Limits) -> (Served, Trust) {
    let serve =
        move |runtime| async move { crate::tls::serve_with_limits(&runtime, handler(), limits).await };
    at(runtime, Place::Server, serve).await
}

async fn tls_bystander<R: Runtime>(runtime: &R, trust: &Trust, served: &Served) -> InPlace<Asking<R>> {
    let (trust, address) = (trust.clone(), served.address);
    bystander(runtime, move |runtime| async move { Asking::new(&runtime, &trust, address) }).await
}

/// The same before TLS has shaken hands; and handshakes that are none.
pub async fn tls_slowloris<R: Runtime>(runtime: R) {
    let (served, trust) = tls_served(&runtime, impatient()).await;
    let mut bystander = tls_bystander(&runtime, &trust, &served).await;
    // A record that says there are 512 bytes of hello, and some of them.
    let hello = "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03";
    for (name, first, then) in
        [("no hello", "", ""), ("half a hello", hello, ""), ("a hello that trickles", hello, "\x01")]
    {
        withstand(&runtime, name, &mut bystander, || crowd(&runtime, &served, first, then)).await;
        settle(&runtime, &served).await;
    }
    let garbage = || async {
        for round in 0..CONNECTIONS {
            let mut client = Raw::<R>::connect(&runtime, served.address).await;
            client.send(vec![round as u8; 2000]).await;
            drop(client);
        }
    };
    withstand(&runtime, "handshakes that are none", &mut bystander, garbage).await;
    settle(&runtime, &served).await;
}

/// Megabytes of fields and of targets: refused long before they are all there.
pub async fn headers_and_targets<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    long_headers(&runtime, &served).await;
}

pub(super) async fn long_headers<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    let field = "X-Flood: ".to_owned() + &"y".repeat(1000) + "\r\n";
    let small = "a: b\r\n".repeat(200);
    for (name, first, rest) in [
        ("long fields", "GET / HTTP/1.1\r\nHost: a\r\n", field.as_str()),
        ("many fields", "GET / HTTP/1.1\r\nHost: a\r\n", small.as_str()),
        ("long targets", "GET /", field.trim_end()),
        (
            "long chunk extensions",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;",
            field.trim_end(),
        ),
        (
            "trailers without end",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            field.as_str(),
        ),
    ] {
        let flood = || async {
            for _ in 0..40 {
                let mut client = Raw::<R>::connect(runtime, served.address).await;
                client.send(first).await;
                for _ in 0..1000 {
                    if !client.send(rest).await {
                        break;
                    }
                }
                breathe(runtime).await;
            }
        };
        withstand(runtime, name, &mut bystander, flood).await;
        settle(runtime, served).await;
    }
}

/// Requests without end on one connection whose answers nobody takes.
pub async fn pipelines<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    full_pipelines(&runtime, &served).await;
}

pub(super) async fn full_pipelines<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    let burst = get("/").repeat(200) + &get("/large");
    let flood = || async {
        for _ in 0..20 {
            let mut client = Raw::<R>::connect(runtime, served.address).await;
            while client.send(&burst).await {
                breathe(runtime).await;
            }
        }
    };
    withstand(runtime, "pipelines", &mut bystander, flood).await;
    settle(runtime, served).await;
}

/// Up to the limit, and three times as many.
pub async fn connections_past_the_limit<R: Runtime>(runtime: R) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let served = served(&runtime, handler(), limits).await;
    let mut bystander = http_bystander(&runtime, &served).await;
    let flood = || async {
        quiet(&runtime, &served).await;
        let mut held = Vec::new();
        for _ in 1..CONNECTIONS {
            let mut client = Raw::<R>::connect(&runtime, served.address).await;
            client.send(get("/")).await;
            assert_eq!(client.answer().await.expect("within the limit").status, 200);
            held.push(client);
        }
        for _ in 0..2 * CONNECTIONS {
            let mut client = Raw::<R>::connect(&runtime, served.address).await;
            client.send(get("/")).await;
            // Told so, or closed without a word when many are told at a time.
            assert!(client.answer().await.is_none_or(|answer| answer.status == 503));
        }
        for client in &mut held {
            client.send(get("/")).await;
            assert_eq!(client.answer().await.expect("still served").status, 200);
        }
    };
    withstand(&runtime, "connections past the limit", &mut bystander, flood).await;
    settle(&runtime, &served).await;
}

/// The same over TLS, where one past the limit is closed.
pub async fn tls_connections_past_the_limit<R: Runtime>(runtime: R) {
    const CONNECTIONS: usize = 100;
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let (served, trust) = tls_served(&runtime, limits).await;
    let mut bystander = tls_bystander(&runtime, &trust, &served).await;
    let ask = |client: Asking<R>| async move {
        let answer = client.try_once().await;
        (client, answer)
    };
    let flood = || async {
        quiet(&runtime, &served).await;
        let mut held = Vec::new();
        while held.len() + 1 < CONNECTIONS {
            let (client, answer) = ask(Asking::new(&runtime, &trust, served.address)).await;
            assert_eq!(answer.expect("within the limit"), StatusCode::OK);
            held.push(client);
        }
        for _ in 0..2 * CONNECTIONS {
            let (_, answer) = ask(Asking::new(&runtime, &trust, served.address)).await;
            assert!(
                answer.as_ref().map_or(true, |status| *status == StatusCode::SERVICE_UNAVAILABLE),
                "{answer:?}"
            );
        }
        for client in held {
            assert_eq!(ask(client).await.1.expect("still served"), StatusCode::OK);
        }
    };
    withstand(&runtime, "connections past the limit", &mut bystander, flood).await;
    settle(&runtime, &served).await;
}
