//! Clients that try to get something past the proxy: the server keeps every byte it is sent, and reads it strictly.

use super::support::{OK, Proxied, Scripted, Speaks, all_to, group, server};
use crate::http::Raw;
use crate::http2_hostile::frames as h2;
use crate::http3;
use crate::http3_hostile::headers;
use shroud::ghostwire::http::Limits;
use shroud::runtime::Runtime;

/// One that must never be a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Request smuggling (RFC 9112, 11.2): whatever a request looks like, the server sees at most the one that the proxy saw,
/// framed in one way.
pub async fn smuggling<R: Runtime>(runtime: R) {
    let upstream = Scripted::start(&runtime, |_| OK).await;
    let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, config).await;
    let post = |fields: &str, body: &str| format!("POST /sent HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let length = SMUGGLED.len();
    let chunk = format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
    let hidden = format!("0\r\n\r\n{SMUGGLED}");
    let all = hidden.len();
    let attacks = [
        ("CL.TE", post(&format!("Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n"), &hidden)),
        ("TE.CL", post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunk)),
        (
            "CL.TE in capitals",
            post(&format!("CONTENT-LENGTH: {all}\r\nTRANSFER-ENCODING: CHUNKED\r\n"), &hidden),
        ),
        ("two lengths", post(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), SMUGGLED)),
        ("a list of lengths", post(&format!("Content-Length: 0, {length}\r\n"), SMUGGLED)),
        ("a signed length", post(&format!("Content-Length: +{length}\r\n"), SMUGGLED)),
        ("a negative length", post("Content-Length: -1\r\n", SMUGGLED)),
        ("a length in hex", post(&format!("Content-Length: 0x{length:x}\r\n"), SMUGGLED)),
        ("a length and a space", post(&format!("Content-Length : {length}\r\n"), SMUGGLED)),
        ("a coding and a space", post("Transfer-Encoding : chunked\r\n", &hidden)),
        ("a coding behind a tab", post("Transfer-Encoding:\tchunked\r\nX: 1\r\n", &hidden)),
        ("another coding", post("Transfer-Encoding: identity\r\n", SMUGGLED)),
        ("two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &hidden)),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", &hidden)),
        ("chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", &hidden)),
        ("a strange coding", post("Transfer-Encoding: xchunked\r\n", &hidden)),
        ("a coding behind a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", &hidden)),
        ("obs-fold", post(&format!("X: 1\r\n Content-Length: {length}\r\n"), SMUGGLED)),
        ("a folded coding", post("Transfer-Encoding:\r\n chunked\r\n", &hidden)),
        ("a bare CR", post(&format!("X: 1\rContent-Length: {length}\r\n"), SMUGGLED)),
        ("a bare LF", post(&format!("X: 1\nContent-Length: {length}\r\n"), SMUGGLED)),
        ("a NUL", post("X: 1\0\r\n", SMUGGLED)),
        ("a chunk extension", post("Transfer-Encoding: chunked\r\n", &format!("3;a=\"\r\n{SMUGGLED}"))),
        ("a bare LF in an extension", post("Transfer-Encoding: chunked\r\n", &format!("2;\nxx\r\n{chunk}"))),
        ("a chunk that is too long", post("Transfer-Encoding: chunked\r\n", &format!("1\r\nab\r\n{chunk}"))),
        (
            "a huge chunk",
            post("Transfer-Encoding: chunked\r\n", &format!("10000000000000001\r\na\r\n{chunk}")),
        ),
        ("a trailer with a length", {
            let trailing = format!("0\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}");
            post("Trailer: content-length\r\nTransfer-Encoding: chunked\r\n", &trailing)
        }),
        ("a length removed by Connection", {
            post(&format!("Connection: content-length\r\nContent-Length: {length}\r\n"), SMUGGLED)
        }),
        ("a GET with a body", {
            format!("GET /sent HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}")
        }),
        ("a line break in the target", {
            format!("GET /sent\r\nX: /smuggled HTTP/1.1\r\nHost: a\r\n\r\n{SMUGGLED}")
        }),
        ("two hosts", format!("GET /sent HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{SMUGGLED}")),
        ("HTTP/1.0 with a coding", {
            format!("POST /sent HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}")
        }),
        ("an upgrade to h2c", {
            "GET /sent HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
                .to_owned()
        }),
        ("an upgrade with a body", {
            let body = format!("Content-Length: {length}\r\n\r\n{SMUGGLED}");
            format!("GET /sent HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{body}")
        }),
    ];
    for (name, attack) in attacks {
        let before = upstream.parsed().len();
        let mut client = Raw::<R>::connect(&runtime, proxied.address).await;
        client.send(&attack).await;
        client.half_close().await;
        let mut statuses = Vec::new();
        while let Some(answer) = client.answer().await {
            statuses.push(answer.status);
        }
        // What the proxy took for requests of their own is what follows behind an honest end; never more than it answered.
        let seen = upstream.parsed();
        let fresh = &seen[before..];
        let answered = statuses.iter().filter(|status| **status == 200).count();
        assert!(fresh.len() <= statuses.len(), "{name}: {statuses:?} {fresh:?}");
        assert!(fresh.len() >= answered, "{name}");
        for (head, _) in fresh {
            assert!(!head.contains("upgrade"), "{name}: {head}");
            assert!(!head.contains("http2-settings"), "{name}: {head}");
        }
        // Two answers only where the first request had an honest end that both must see alike.
        let honest = ["a trailer with a length", "two codings", "a coding behind a tab"];
        if fresh.len() > 1 {
            assert!(honest.contains(&name), "{name}: {statuses:?} {fresh:?}");
        }
    }
    // The connections to the server are still in step.
    let mut client = Raw::<R>::connect(&runtime, proxied.address).await;
    for number in 0..5 {
        client.send(format!("GET /after/{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
        let (head, _) = upstream.parsed().pop().expect("a request");
        assert!(head.starts_with(&format!("get /after/{number} ")), "{head}");
    }
}

/// Fields that would be lines of their own, or another framing, in HTTP/1.1: name and value.
const INJECTED: [(&str, &str); 12] = [
    ("transfer-encoding", "chunked"),
    ("connection", "transfer-encoding"),
    ("upgrade", "websocket"),
    ("keep-alive", "1"),
    ("x", "1\r\ntransfer-encoding: chunked"),
    ("x", "1\nsmuggled: 1"),
    ("x", "1\rsmuggled: 1"),
    ("x", "1\0"),
    ("x\r\nsmuggled", "1"),
    ("x: 1\r\nsmuggled", "1"),
    ("host", "a\r\nsmuggled: 1"),
    ("content-length", "+3"),
];

/// The same in the pseudo-fields: which, and its value.
const LINES: [(&str, &str); 8] = [
    (":method", "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\nPOST"),
    (":method", "GET /smuggled"),
    (":path", "/sent HTTP/1.1\r\nsmuggled: 1\r\nx:"),
    (":path", "/sent\nsmuggled: 1"),
    (":path", "/sent /smuggled"),
    (":authority", "a\r\nsmuggled: 1"),
    (":authority", "a smuggled"),
    (":scheme", "http://a/smuggled"),
];

/// A request over a later version, whose framing HTTP/1.1 must not take from its fields (RFC 9113, 10.3; RFC 9114, 10.3).
fn sent(change: Option<(&'static str, &'static str)>) -> [(&'static str, &'static str); 4] {
    let base = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/sent")];
    base.map(|(name, value)| match change {
        Some((changed, value)) if changed == name => (name, value),
        _ => (name, value),
    })
}

/// Fields and bodies of HTTP/2 and HTTP/3 that would be something else in HTTP/1.1: the server sees one request at most, without
/// what was smuggled.
pub async fn smuggling_from_later_versions<R: Runtime>(runtime: R) {
    let upstream = Scripted::start(&runtime, |_| OK).await;
    let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, config).await;
    let forward = proxied.proxy.on_shard(&runtime).await.expect("prepared");
    let over_quic = http3::serve(&runtime, forward, Limits::default()).await;

    let mut attacks: Vec<(Vec<(&str, &str)>, &str)> = Vec::new();
    attacks.extend(INJECTED.map(|field| ([&sent(None)[..], &[field]].concat(), SMUGGLED)));
    attacks.extend(LINES.map(|line| (sent(Some(line)).to_vec(), SMUGGLED)));
    for length in ["0", "3", "1000", "3, 3"] {
        attacks.push(([&sent(None)[..], &[("content-length", length)]].concat(), SMUGGLED));
    }
    attacks
        .push(([&sent(None)[..], &[("content-length", "3"), ("content-length", "38")]].concat(), SMUGGLED));
    for (fields, body) in &attacks {
        let mut client = h2::Client::<R>::connect(&runtime, proxied.address).await;
        let block = fields.iter().flat_map(|(name, value)| h2::field(name.as_bytes(), value.as_bytes()));
        let head = h2::frame(h2::HEADERS, h2::END_HEADERS, 1, &block.collect::<Vec<_>>());
        let data = h2::frame(h2::DATA, h2::END_STREAM, 1, body.as_bytes());
        client.send(&[head, data].concat()).await;
        client.outcome(1, true).await;

        let (_endpoint, connection) = over_quic.connect(&runtime).await;
        let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
        let length = u8::try_from(body.len()).expect("a short body");
        let bytes = [&headers(fields)[..], &[0, length], body.as_bytes()].concat();
        let _ = send.write_all(&bytes).await;
        let _ = send.finish();
        let _ = receive.read_to_end(10_000).await;
    }
    let seen = upstream.parsed();
    assert!(seen.len() <= 2 * attacks.len(), "{} requests", seen.len());
    for (head, body) in seen {
        assert!(!head.contains("smuggled") && !head.contains("upgrade"), "{head}");
        // One that says it has no body is sent on without: nobody looks for what follows.
        assert!(
            body == SMUGGLED.as_bytes() || body.is_empty() && head.contains("content-length: 0"),
            "{head}"
        );
    }
    // The connections to the server are still in step.
    let mut client = Raw::<R>::connect(&runtime, proxied.address).await;
    for number in 0..5 {
        client.send(format!("GET /after/{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
        let (head, _) = upstream.parsed().pop().expect("a request");
        assert!(head.starts_with(&format!("get /after/{number} ")), "{head}");
    }
}

/// What is refused without asking a server.
pub async fn refusals<R: Runtime>(runtime: R) {
    let upstream = Scripted::start(&runtime, |_| OK).await;
    let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, config).await;
    let hops = |count: usize| "1.1 shroud, ".repeat(count) + "1.1 x";
    for (line, fields, status) in [
        ("GET /a/../b HTTP/1.1", "Host: a".to_owned(), 400),
        ("GET /a/%2e%2E/b HTTP/1.1", "Host: a".to_owned(), 400),
        ("GET / HTTP/1.1", "Host: user@a".to_owned(), 400),
        ("GET / HTTP/1.1", "Host: a b".to_owned(), 400),
        ("GET http://b/ HTTP/1.1", "Host: a".to_owned(), 200),
        ("TRACE / HTTP/1.1", "Host: a".to_owned(), 405),
        ("CONNECT a:1 HTTP/1.1", "Host: a:1".to_owned(), 405),
        ("OPTIONS * HTTP/1.1", "Host: a".to_owned(), 204),
        ("GET / HTTP/1.1", format!("Host: a\r\nVia: {}", hops(7)), 200),
        ("GET / HTTP/1.1", format!("Host: a\r\nVia: {}", hops(8)), 508),
        ("GET / HTTP/1.0", "X: 1".to_owned(), 200),
    ] {
        let before = upstream.requests();
        let mut client = Raw::<R>::connect(&runtime, proxied.address).await;
        client.send(format!("{line}\r\n{fields}\r\n\r\n")).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "{line} {fields}");
        assert_eq!(upstream.requests() - before, usize::from(status == 200), "{line} {fields}");
    }
    // Whom the request is for is in its target; the server is told that, not what the field said.
    let absolute = upstream.parsed().into_iter().find(|(head, _)| head.contains("\r\nhost: b\r\n"));
    assert!(absolute.is_some_and(|(head, _)| head.starts_with("get / http/1.1\r\n")));
}
