//! HTTP/2 as hostile clients speak it: frames are written by hand. Floods of the known advisories, clients that are slow or
//! take nothing; after each, a bystander is served.
//!
//! | file | what is inside |
//! |---|---|
//! | `frames` | frames, fields and a client that writes and reads them |
//! | `pushes` | servers that push to clients that allow none |
//! | `tunnels` | WebSocket over HTTP/2, and what is no tunnel |
//! | `violations` | the cases of h2spec's list that a server can be asked |

pub mod frames;
mod pushes;
mod tunnels;
mod violations;

pub use pushes::pushes;
pub use tunnels::tunnels;
pub use violations::violations;

use crate::http::{BIG, Raw, Served, routes, serve};
use frames::*;
use shroud::ghostwire::http::{Body, Handler, Http2Limits, Limits, Request, Response, handler_fn, text};
use shroud::runtime::{Runtime, RuntimeExt};
use std::time::Duration;

/// `/never` is never answered; `/take` reads its body; the rest is as for HTTP/1.1.
pub fn handler() -> impl Handler {
    routes().any("/never", handler_fn(|_| std::future::pending())).post("/take", handler_fn(take))
}

async fn take(request: Request<Body>) -> Response<Body> {
    match request.into_body().bytes(1 << 20).await {
        Ok(bytes) => text(bytes),
        Err(error) => {
            let mut response = text("");
            *response.status_mut() = error.status();
            response
        }
    }
}

/// Somebody else is served as if nothing were.
pub async fn bystander<R: Runtime>(runtime: &R, served: &Served) {
    let mut other = Client::connect(runtime, served.address).await;
    assert_eq!(other.ask(1, "/").await, Outcome::Answered(200, 5));
    let mut other = Raw::<R>::connect(runtime, served.address).await;
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.answer().await.expect("an answer").status, 200);
}

/// Limits for HTTP/2.
pub fn http2(http2: Http2Limits) -> Limits {
    Limits { http2, ..Limits::default() }
}

/// Streams that are opened and reset at once (CVE-2023-44487), as fast as the wire takes them.
pub async fn rapid_reset<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let mut client = Client::connect(&runtime, served.address).await;
    let mut streams = (1..200_001).step_by(2);
    let burst: Vec<u8> = streams
        .by_ref()
        .take(1000)
        .flat_map(|stream| [get(stream, "/never"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())
        .collect();
    client.send(&burst).await;
    let outcome = client.outcome(1, true).await;
    assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    served.quiet(&runtime).await;
    bystander(&runtime, &served).await;
}

/// The same so slowly that each stream is being answered when it is reset: a connection has so many of them.
pub async fn slow_resets<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), http2(Http2Limits { resets: 3, ..Http2Limits::default() })).await;
    let mut client = Client::connect(&runtime, served.address).await;
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    for stream in [1, 3] {
        client.send(&get(stream, "/never")).await;
        while !in_work(&served, 1) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
        client.send(&reset(stream)).await;
        while !in_work(&served, 0) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(client.ask(5, "/").await, Outcome::Answered(200, 5), "two of three used, one given back");
    for stream in [7, 9] {
        client.send(&get(stream, "/never")).await;
        while !in_work(&served, 1) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
        client.send(&reset(stream)).await;
        while !in_work(&served, 0) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
    }
    assert!(matches!(client.ask(11, "/").await, Outcome::Closed | Outcome::GoAway(_)), "one past the limit");
    bystander(&runtime, &served).await;
}

/// Whether so many requests are in work.
pub fn in_work(served: &Served, count: u32) -> bool {
    let mut page = String::new();
    served.metrics.render(&mut page);
    page.contains(&format!("\nshroud_http_requests_in_flight {count}\n"))
}

/// Streams beyond the limit are refused; those within it go on.
pub async fn stream_limit<R: Runtime>(runtime: R) {
    let served =
        serve(&runtime, handler(), http2(Http2Limits { streams: 3, ..Http2Limits::default() })).await;
    let mut client = Client::connect(&runtime, served.address).await;
    // Before the settings are acknowledged, a client need not know.
    client.ask(1, "/").await;
    client.send(&[get(3, "/never"), get(5, "/never"), get(7, "/")].concat()).await;
    assert_eq!(client.outcome(7, true).await, Outcome::Answered(200, 5), "the third");
    client.send(&[get(9, "/never"), get(11, "/")].concat()).await;
    assert_eq!(client.outcome(11, true).await, Outcome::Reset(REFUSED_STREAM), "the fourth");
    client.send(&frame(RST_STREAM, 0, 9, &[0, 0, 0, 8])).await;
    assert_eq!(client.ask(13, "/").await, Outcome::Answered(200, 5));
}

/// Header blocks without end, and blocks that say little and mean much.
pub async fn header_floods<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    // CONTINUATION (VU#421644): the frames carry no field that could be counted.
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &request("GET", "/"))).await;
    let mut sent = 0;
    while sent < 10_000 && client.send(&frame(CONTINUATION, 0, 1, &[]).repeat(10)).await {
        sent += 10;
        if sent == 1000 {
            break;
        }
    }
    let outcome = client.outcome(1, true).await;
    assert!(
        matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR) | Outcome::Closed),
        "{outcome:?}"
    );
    // A list just within the limit of 16 KiB (each field counts 32 more), and one beyond it.
    for (fields, expected) in [(90, 200), (200, 431)] {
        let block = [request("GET", "/"), field(b"x", &[b'v'; 100]).repeat(fields)].concat();
        let mut client = Client::connect(&runtime, served.address).await;
        let mut parts = block.chunks(16_000).peekable();
        let first = parts.next().expect("a part");
        let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
        client.send(&frame(HEADERS, last | END_STREAM, 1, first)).await;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            client.send(&frame(CONTINUATION, last, 1, part)).await;
        }
        let outcome = client.outcome(1, true).await;
        assert!(
            matches!(outcome, Outcome::Answered(status, _) if status == expected),
            "{fields}: {outcome:?}"
        );
    }
    // HPACK: one large field is put into the table, then named ten thousand times by one byte each.
    let mut bomb = [request("GET", "/"), vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e]].concat();
    bomb.extend([b'v'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
    let outcome = client.outcome(1, true).await;
    assert!(
        matches!(outcome, Outcome::Answered(431, _) | Outcome::GoAway(_) | Outcome::Reset(_)),
        "{outcome:?}"
    );
    bystander(&runtime, &served).await;
}

/// Frames that cost little to send and want an answer, from a client that reads none of them: it is dropped.
pub async fn floods_that_are_not_read<R: Runtime>(runtime: R) {
    let limits = Limits { write_time: Duration::from_millis(300), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    for flood in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 50])] {
        let mut client = Client::connect(&runtime, served.address).await;
        let burst = flood.repeat(4000);
        let sending = async { while client.send(&burst).await {} };
        assert!(runtime.timeout(Duration::from_secs(60), sending).await.is_ok(), "never dropped");
        served.quiet(&runtime).await;
        bystander(&runtime, &served).await;
        served.quiet(&runtime).await;
    }
}

/// The same from a client that reads: it is served for as long as it likes, and so is everybody else.
pub async fn floods_that_are_read<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let empty =
        [frame(HEADERS, END_HEADERS, 1, &request("POST", "/take")), frame(DATA, 0, 1, &[]).repeat(20_000)];
    let floods = [
        ("ping", frame(PING, 0, 0, &[7; 8]).repeat(2000)),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(200)),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000)),
        ("empty data", empty.concat()),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(20_000)),
    ];
    for (name, flood) in floods {
        let mut client = Client::connect(&runtime, served.address).await;
        client.send(&flood).await;
        bystander(&runtime, &served).await;
        client.send(&frame(DATA, END_STREAM, 1, &[])).await;
        let outcome = client.ask(3, "/").await;
        let served = matches!(outcome, Outcome::Answered(200, 5) | Outcome::GoAway(_) | Outcome::Closed);
        assert!(served, "{name}: {outcome:?}");
    }
}

/// A client that takes nothing of a response, by flow control: that stream is reset, the connection goes on.
pub async fn windows_that_stay_shut<R: Runtime>(runtime: R) {
    let limits = Limits { write_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    for (window, path) in [(0, "/"), (0, "/big"), (1, "/big"), (1000, "/big")] {
        let settings = [&[0, 4][..], &u32::to_be_bytes(window)].concat();
        let mut client = Client::with_settings(&runtime, served.address, &settings).await;
        client.send(&get(1, path)).await;
        let outcome = client.outcome(1, false).await;
        assert!(matches!(outcome, Outcome::Reset(_)), "{window} {path}: {outcome:?}");
        // The next one is taken.
        client.send(&get(3, "/")).await;
        client.send(&frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0])).await;
        assert_eq!(client.outcome(3, false).await, Outcome::Answered(200, 5));
    }
    while !in_work(&served, 0) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    bystander(&runtime, &served).await;
}

/// A client that opens its window a little at a time gets everything.
pub async fn small_windows<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let mut client = Client::with_settings(&runtime, served.address, &[0, 4, 0, 0, 0x20, 0]).await;
    assert_eq!(client.ask(1, "/big").await, Outcome::Answered(200, BIG));
}

/// Bodies: too long by announcement, too long by fact, and too slow.
pub async fn bodies<R: Runtime>(runtime: R) {
    let limits = Limits { body_bytes: 1000, body_time: Duration::from_millis(300), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    let post = |stream, extra: &[u8]| {
        frame(HEADERS, END_HEADERS, stream, &[request("POST", "/take"), extra.to_vec()].concat())
    };
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&[post(1, &[]), frame(DATA, END_STREAM, 1, &[b'x'; 1000])].concat()).await;
    assert_eq!(client.outcome(1, true).await, Outcome::Answered(200, 1000), "at the limit");
    client.send(&[post(3, &[]), frame(DATA, END_STREAM, 3, &[b'x'; 1001])].concat()).await;
    assert!(matches!(client.outcome(3, true).await, Outcome::Answered(413, _)), "one past it");
    client.send(&post(5, &field(b"content-length", b"1001"))).await;
    assert!(matches!(client.outcome(5, true).await, Outcome::Answered(413, _)), "announced");
    client.send(&[post(7, &[]), frame(DATA, 0, 7, b"slow")].concat()).await;
    assert!(matches!(client.outcome(7, true).await, Outcome::Answered(408, _)), "it never ends");
    assert_eq!(client.ask(9, "/").await, Outcome::Answered(200, 5), "the connection goes on");
    bystander(&runtime, &served).await;
}

/// Connections on which nothing happens, and ones that do not answer a ping.
pub async fn idle_connections<R: Runtime>(runtime: R) {
    let limits = Limits { idle_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    let mut client = Client::connect(&runtime, served.address).await;
    assert_eq!(client.ask(1, "/").await, Outcome::Answered(200, 5));
    assert!(matches!(client.outcome(3, true).await, Outcome::GoAway(0)));
    let mut silent = Client::silent(&runtime, served.address).await;
    silent.send(PREFACE).await;
    silent.outcome(1, true).await;
    served.quiet(&runtime).await;

    let pings = Http2Limits {
        ping_interval: Duration::from_millis(100),
        ping_time: Duration::from_millis(100),
        ..Http2Limits::default()
    };
    let served = serve(&runtime, handler(), http2(pings)).await;
    let mut deaf = Client::connect(&runtime, served.address).await;
    deaf.send(&get(1, "/never")).await;
    while deaf.next().await.is_some() {}
    served.quiet(&runtime).await;
}

/// A stop lets streams in work finish, refuses others, and ends within the drain time.
pub async fn draining<R: Runtime>(runtime: R) {
    let served =
        serve(&runtime, handler(), Limits { drain_time: Duration::from_millis(500), ..Limits::default() })
            .await;
    let mut client = Client::connect(&runtime, served.address).await;
    assert_eq!(client.ask(1, "/").await, Outcome::Answered(200, 5));
    let mut never = Client::connect(&runtime, served.address).await;
    never.send(&get(1, "/never")).await;
    while !in_work(&served, 1) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    runtime.stopping().cancel();
    assert!(matches!(client.outcome(3, true).await, Outcome::GoAway(0)));
    served.task.await.expect("a server that ends").expect("without failure");
    assert_eq!(served.metrics.connections(), 0);
}
