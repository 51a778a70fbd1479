//! The reverse proxy: a client of any bytes, in HTTP/1.1 or HTTP/2, and servers of any bytes behind it, or servers that answer
//! what they are asked. What reaches a server are requests that the proxy has made, each well-formed and no more of them
//! than were to be forwarded: none is smuggled inside of another. What reaches a client of HTTP/1.1 are well-formed answers.
//!
//! The first byte says how the bytes are cut, the second whether the client and the servers keep their connections open at
//! their end. Then what the client says, and after each 255 255 what a server says over a connection, with 255 254 before
//! what is held back until more has been heard.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with other targets")]
mod servers;
mod strict;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryListener, MemoryRuntime, Peer};
use servers::{Far, Servers, parts};
use shroud_ghostwire::http::{Limits, Server};
use shroud_ghostwire::proxy::{
    BreakerOptions, Config, HostField, Proxy, RetryOptions, Rewrite, Route, ServerConfig, UpstreamConfig,
};
use shroud_runtime::{Class, Runtime};
use std::time::Duration;

/// Longer than the server lets a client take for anything.
const PATIENCE: Duration = Duration::from_secs(80);

/// `/two` by HTTP/2, all else by HTTP/1.1.
fn config() -> Config {
    let upstream = |address: &str| UpstreamConfig {
        servers: vec![ServerConfig::new(address.to_owned().try_into().expect("an address"))],
        // The proxy sends each request once, whatever came of those before it.
        breaker: BreakerOptions { failures: u32::MAX, ..BreakerOptions::default() },
        retry: RetryOptions { attempts: 1, ..RetryOptions::default() },
        tunnel_idle_time: Duration::from_secs(60),
        ..UpstreamConfig::default()
    };
    let upstreams = [("one", upstream("http://one.test:81")), ("two", upstream("h2c://two.test:82"))];
    let strip = Route { path: "/strip".into(), rewrite: Rewrite::Strip, ..Route::to("one") };
    let two = Route { path: "/two".into(), ..Route::to("two") };
    Config {
        upstreams: upstreams.into_iter().map(|(name, upstream)| (name.to_owned(), upstream)).collect(),
        routes: vec![Route::to("one"), Route { host_field: HostField::Server, ..strip }, two],
        limits: Limits { body_bytes: 2048, ..Limits::default() },
        ..Config::default()
    }
}

fuzz_target!(|input: &[u8]| {
    let &[cut, stay, ref bytes @ ..] = input else { return };
    let memory = Memory::new();
    let (peer, listener) = Peer::new();
    peer.make_room(usize::MAX);
    let proxy = Proxy::new(config()).expect("valid");
    let serve = serve(memory.runtime.clone(), proxy.clone(), listener);
    let mut served = memory.runtime.spawn_in(Class::Network, "serve", serve);
    let mut parts = parts(bytes);
    let client = parts.pop_front().unwrap_or_default();
    let mut servers = Servers::new(parts, usize::from(cut) + 1, stay & 1 != 0);
    for piece in client.chunks(usize::from(cut) + 1) {
        peer.send(piece);
        servers.step(&memory, answer);
    }
    if stay & 2 == 0 {
        peer.end();
    }
    // Each request has a time of its own, one after the other.
    let mut waits = 0;
    while waits < 6 + proxy.metrics().requests() && !(waits >= 6 && peer.is_closed()) {
        while servers.step(&memory, answer) {}
        memory.advance(PATIENCE);
        waits += 1;
    }
    assert!(peer.is_closed(), "the connection goes on for ever");
    let forwarded: usize = servers.all.iter().map(check_requests).sum();
    // One that failed on a kept connection is sent again over a new one.
    let most = 2 * proxy.metrics().requests();
    assert!(u64::try_from(forwarded).expect("few") <= most, "more than there were");
    // The answer to HEAD says how long a body would be, and has none.
    if !client.starts_with(b"PRI ") && !client.windows(4).any(|word| word == b"HEAD") {
        check_answers(&peer.output());
    }
    memory.stop();
    memory.advance(PATIENCE);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let ended = std::pin::Pin::new(&mut served).poll(cx);
    assert!(matches!(ended, std::task::Poll::Ready(Ok(()))), "the server does not stop: {ended:?}");
});

async fn serve(runtime: MemoryRuntime, proxy: Proxy, listener: MemoryListener) {
    let forward = proxy.on_shard(&runtime).await.expect("prepared");
    let server = Server::new(forward, proxy.config().limits.clone()).expect("valid limits");
    let server = server.with_metrics(proxy.metrics().clone());
    server.serve(&runtime, listener).await.expect("to the end");
}

/// A server that answers every whole request.
fn answer(far: &mut Far) -> bool {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    if far.received.starts_with(b"PRI ") {
        far.end();
        return true;
    }
    let (mut received, mut count) = (&far.received[..], 0);
    while strict::request(&mut received).is_some() {
        count += 1;
    }
    let due = count > far.sent.len() / ANSWER.len();
    if due {
        far.send(ANSWER);
    }
    due
}

/// What has come over a connection to a server; how many requests.
fn check_requests(far: &Far) -> usize {
    let (mut rest, mut count) = (&far.received[..], 0);
    if rest.starts_with(b"PRI ") {
        return 0;
    }
    while let Some(request) = strict::request(&mut rest) {
        count += 1;
        assert!(request.line.contains(" /"), "not a path: {}", request.line);
        assert_eq!(request.one("x-forwarded-for"), Some(&b"127.0.0.1"[..]), "not made by the proxy");
        let via = request.all("via");
        assert!(via.last().is_some_and(|via| via.ends_with(b" shroud")), "not made by the proxy");
        for name in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings", "expect"] {
            assert_eq!(request.one(name), None, "{name} is for one hop");
        }
        let connection = request.one("connection");
        assert!(matches!(connection, None | Some(b"upgrade" | b"te")), "{connection:?}");
        if request.one("upgrade").is_some() {
            let switched = far.sent.windows(3).any(|code| code == b"101");
            assert!(switched || rest.is_empty(), "a tunnel that nobody has opened");
            break;
        }
    }
    count
}

/// One response after the other, the last perhaps broken off.
fn check_answers(mut output: &[u8]) {
    while !output.is_empty() {
        match strict::response(&mut output) {
            // The rest is the other protocol's.
            Some(response) if response.code() == 101 => return,
            Some(_) => {}
            None => return,
        }
    }
}
