//! GhostWire as hostile and broken clients see it.

use crate::http::{Raw, get, post, routes, serve};
use futures_util::future::join_all;
use shroud::ghostwire::http::{Limits, handler_fn, text};
use shroud::runtime::sync::Event;
use shroud::runtime::{Runtime, RuntimeExt};
use std::sync::Arc;
use std::time::Duration;

/// Sends `bytes` on a connection of its own; the status of the only answer.
async fn status<R: Runtime>(
    runtime: &R,
    address: std::net::SocketAddr,
    bytes: impl AsRef<[u8]>,
) -> Option<u16> {
    let mut client = Raw::<R>::connect(runtime, address).await;
    client.send(bytes).await;
    let answer = client.answer().await?;
    assert!(client.is_closed().await, "open after {}", answer.head);
    assert!(answer.head.contains("\r\nconnection: close\r\n"), "{}", answer.head);
    Some(answer.status)
}

/// What is not HTTP is answered 400 once, and the connection closed.
pub async fn malformed_requests<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS handshake\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/4.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(status(&runtime, served.address, bytes).await, Some(400), "{shown:?}");
    }
    // Whole in form, wrong in meaning.
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.answer().await.expect("an answer").status, 400, "no host");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_eq!(client.answer().await.expect("an answer").status, 400, "two hosts");
    client.send(get("/")).await;
    assert_eq!(client.answer().await.expect("an answer").status, 200);
}

/// Header lines, counts and targets beyond the limits.
pub async fn oversized_headers<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let long = "x".repeat(17 * 1024);
    let many: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1 << 20)), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000)), 431),
    ] {
        assert_eq!(status(&runtime, served.address, request).await, Some(expected));
    }
    let roomy = serve(&runtime, routes(), Limits { header_bytes: 256 * 1024, ..Limits::default() }).await;
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    assert_eq!(status(&runtime, roomy.address, target).await, Some(414));
    let fits =
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(status(&runtime, roomy.address, fits).await, Some(200));
}

/// Bodies beyond the limit, announced or not.
pub async fn oversized_bodies<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits { body_bytes: 10_000, ..Limits::default() }).await;
    let announced = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n";
    assert_eq!(status(&runtime, served.address, announced).await, Some(413), "refused before it is sent");
    assert_eq!(status(&runtime, served.address, post("/echo", &"x".repeat(200_000))).await, Some(413));
    let mut chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for _ in 0..11 {
        chunked += &format!("3e8\r\n{}\r\n", "x".repeat(1000));
    }
    assert_eq!(status(&runtime, served.address, chunked).await, Some(413));
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(post("/echo", &"x".repeat(10_000))).await;
    assert_eq!(client.answer().await.expect("an answer").body.len(), 10_000, "the limit itself is fine");
}

/// Requests that two readers would cut at different places: refused, and what follows is not served.
pub async fn two_meanings<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let smuggled = get("/n/smuggled");
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "transfer-encoding: Chunked\r\nX: y\r\ncontent-length: 4",
        "Content-Length: 4\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{smuggled}");
        assert_eq!(status(&runtime, served.address, &request).await, Some(400), "{fields}");
        let mut cut = Raw::<R>::connect(&runtime, served.address).await;
        for piece in request.as_bytes().chunks(9) {
            cut.send(piece).await;
            runtime.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(cut.answer().await.expect("an answer").status, 400, "{fields} in pieces");
        assert!(cut.is_closed().await);
    }
    // Behind another request it meets hyper's own rule: the coding counts, and the connection ends there.
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    let both =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(format!("{}{both}{smuggled}", get("/"))).await;
    assert_eq!(client.answer().await.expect("the first").body, b"hello");
    assert_ne!(client.answer().await.expect("the second").body, b"/n/smuggled");
    assert!(client.is_closed().await, "what follows is not served");
}

/// Broken chunked bodies.
pub async fn bad_chunking<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "xyz\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "-1\r\n",
        "5;x\ny\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_eq!(status(&runtime, served.address, format!("{chunked}{body}")).await, Some(400), "{body:?}");
    }
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client
        .send(format!("{chunked}5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n{}", get("/")))
        .await;
    assert_eq!(client.answer().await.expect("an answer").body, b"hello world");
    assert_eq!(client.answer().await.expect("an answer").body, b"hello");
}

/// A header that trickles in does not hold a connection: 408, however often a byte comes.
pub async fn slow_header<R: Runtime>(runtime: R) {
    let limits = Limits { header_time: Duration::from_millis(150), ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let mut silent = Raw::<R>::connect(&runtime, served.address).await;
    silent.send("GET / HT").await;
    assert_eq!(silent.answer().await.expect("an answer").status, 408);
    assert!(silent.is_closed().await);

    let mut trickling = Raw::<R>::connect(&runtime, served.address).await;
    trickling.send(get("/")).await;
    assert_eq!(trickling.answer().await.expect("an answer").status, 200);
    for _ in 0..40 {
        trickling.send("X").await;
        runtime.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(trickling.answer().await.expect("an answer").status, 408);
    assert!(trickling.is_closed().await);
    served.quiet(&runtime).await;
}

/// Nor does a body.
pub async fn slow_body<R: Runtime>(runtime: R) {
    let limits = Limits { body_time: Duration::from_millis(150), ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    assert_eq!(status(&runtime, served.address, format!("{head}some")).await, Some(408));
    let mut trickling = Raw::<R>::connect(&runtime, served.address).await;
    trickling.send(head).await;
    for _ in 0..30 {
        trickling.send("x").await;
        runtime.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(trickling.answer().await.expect("an answer").status, 408);
    drop(trickling);
    served.quiet(&runtime).await;
}

/// A connection without requests is closed without a word; one with requests lives on.
pub async fn idle_connections_are_closed<R: Runtime>(runtime: R) {
    let limits = Limits { idle_time: Duration::from_secs(1), ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let mut fresh = Raw::<R>::connect(&runtime, served.address).await;
    let mut busy = Raw::<R>::connect(&runtime, served.address).await;
    for _ in 0..15 {
        busy.send(get("/")).await;
        assert_eq!(busy.answer().await.expect("an answer").status, 200);
        runtime.sleep(Duration::from_millis(100)).await;
    }
    assert!(fresh.is_closed().await);
    assert!(busy.is_closed().await);
    served.quiet(&runtime).await;
}

/// Clients that go away in the middle of everything leave nothing behind.
pub async fn clients_that_vanish<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let whole = post("/echo", "a body of some length") + &get("/big");
    join_all((0..whole.len()).step_by(3).map(|cut| {
        let (runtime, whole, address) = (&runtime, &whole, served.address);
        async move {
            let mut client = Raw::<R>::connect(runtime, address).await;
            client.send(&whole[..cut]).await;
            if cut % 2 == 0 {
                client.half_close().await;
            }
        }
    }))
    .await;
    served.quiet(&runtime).await;
    assert_eq!(
        status(&runtime, served.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await,
        Some(200)
    );
}

/// A client that asks for much and reads nothing is dropped.
pub async fn clients_that_do_not_read<R: Runtime>(runtime: R) {
    let limits = Limits { write_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, routes(), limits).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(get("/big").repeat(8)).await;
    while served.metrics.connections() == 0 {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    served.quiet(&runtime).await;
    let mut page = String::new();
    served.metrics.render(&mut page);
    assert!(page.contains("\nshroud_http_timeouts_total 1\n"), "{page}");
    drop(client);
}

/// A download that takes longer than a connection may idle is not cut off while bytes go out.
pub async fn slow_readers_get_it_all<R: Runtime>(runtime: R) {
    const LENGTH: usize = 24 << 20;
    let handler = handler_fn(|_| async { text(vec![b'x'; LENGTH]) });
    let served =
        serve(&runtime, handler, Limits { idle_time: Duration::from_millis(250), ..Limits::default() }).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(get("/")).await;
    let mut taken = 0;
    loop {
        match client.take(256 * 1024).await {
            0 => break,
            count => taken += count,
        }
        runtime.sleep(Duration::from_millis(5)).await;
    }
    assert!(taken > LENGTH, "cut off after {taken} bytes");
}

/// Connections beyond the limit are told so; the others are not disturbed.
pub async fn connection_limit<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits { connections: 3, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::<R>::connect(&runtime, served.address).await;
        client.send(get("/")).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
        clients.push(client);
    }
    for _ in 0..5 {
        assert_eq!(status(&runtime, served.address, get("/")).await, Some(503));
    }
    for client in &mut clients {
        client.send(get("/")).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
    }
    clients.pop();
    while served.metrics.connections() > 2 {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    // The connection is gone from the metrics a moment before its place is free.
    loop {
        let mut client = Raw::<R>::connect(&runtime, served.address).await;
        client.send(get("/")).await;
        if client.answer().await.expect("an answer").status == 200 {
            break;
        }
    }
}

/// Requests beyond the limit are told so, on connections that live on.
pub async fn request_limit<R: Runtime>(runtime: R) {
    let (entered, release) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let handler = {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        handler_fn(move |_| {
            let released = release.listen();
            entered.notify(usize::MAX);
            async move {
                released.await;
                text("done")
            }
        })
    };
    let served = serve(&runtime, handler, Limits { requests: 1, ..Limits::default() }).await;
    let mut first = Raw::<R>::connect(&runtime, served.address).await;
    let begun = entered.listen();
    first.send(get("/")).await;
    begun.await;
    let mut second = Raw::<R>::connect(&runtime, served.address).await;
    second.send(get("/")).await;
    assert_eq!(second.answer().await.expect("a refusal").status, 503);
    release.notify(usize::MAX);
    assert_eq!(first.answer().await.expect("an answer").body, b"done");
    let begun = entered.listen();
    second.send(get("/")).await;
    begun.await;
    release.notify(usize::MAX);
    assert_eq!(second.answer().await.expect("an answer").body, b"done");
}

/// A request that does not end does not hold up the drain beyond its time.
pub async fn drain_deadline<R: Runtime>(runtime: R) {
    let never = handler_fn(|_| std::future::pending());
    let limits = Limits { drain_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, never, limits).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(get("/")).await;
    runtime.sleep(Duration::from_millis(50)).await;
    runtime.stopping().cancel();
    served.task.await.expect("a server that ends").expect("without failure");
    assert!(client.is_closed().await);
    assert_eq!(served.metrics.connections(), 0);
}
