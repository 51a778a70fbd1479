//! HTTP/2.

use super::harness::{breathe, http_bystander, served, settle, withstand};
use super::http1::{handler as large_handler, impatient};
use crate::http::Served;
use crate::http2_hostile::frames::*;
use shroud::ghostwire::http::Body;
use shroud::ghostwire::http::{Handler, Request, Response};
use shroud::runtime::Runtime;

/// Connections, one after the other, that each do the worst they can.
const ROUNDS: usize = 20;

/// `/never` is never answered; the rest as for HTTP/1.1.
struct Routes<H>(H);

impl<H: Handler> Handler for Routes<H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        self.0.handle(request).await
    }
}

pub(super) fn handler() -> impl Handler {
    Routes(large_handler())
}

/// Sends the same again and again until the server has had enough, or so often; takes nothing.
async fn pour<R: Runtime>(runtime: &R, client: &mut Client<R>, burst: &[u8], times: usize) {
    for _ in 0..times {
        if !client.send(burst).await {
            return;
        }
        breathe(runtime).await;
    }
}

/// Streams that are opened and reset at once (CVE-2023-44487), and streams that the client makes the server reset
/// (CVE-2025-8671).
pub async fn resets<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    streams_reset(&runtime, &served).await;
}

pub(super) async fn streams_reset<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    let rapid = |stream| [get(stream, "/never"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    // A window of nothing, one beyond 2^31, a header that is none: each is an error of its stream.
    let made = |stream| {
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/never"));
        [open, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    };
    let overflow = |stream| {
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/never"));
        [open, frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
    };
    let malformed = |stream| {
        let block = [request("GET", "/never"), field(b"connection", b"close")].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    type Kind<'a> = (&'a str, &'a (dyn Fn(u32) -> Vec<u8> + Sync));
    let kinds: [Kind<'_>; 4] = [
        ("rapid resets", &rapid),
        ("resets by windows of nothing", &made),
        ("resets by windows beyond 2^31", &overflow),
        ("resets by malformed headers", &malformed),
    ];
    for (name, kind) in kinds {
        let flood = || async {
            for _ in 0..ROUNDS {
                let mut client = Client::connect(runtime, served.address).await;
                let mut ended = false;
                for burst in 0..100_u32 {
                    let bytes: Vec<u8> = (0..100).flat_map(|n| kind(2 * (100 * burst + n) + 1)).collect();
                    if !client.send(&bytes).await {
                        ended = true;
                        break;
                    }
                    breathe(runtime).await;
                }
                assert!(ended, "{name}: ten thousand streams were taken");
            }
        };
        withstand(runtime, name, &mut bystander, flood).await;
        settle(runtime, served).await;
    }
}

/// CONTINUATION without end (VU#421644), tables that mean much more than they say, and sizes that change all the time.
pub async fn header_blocks<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    long_blocks(&runtime, &served).await;
}

pub(super) async fn long_blocks<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    let open = frame(HEADERS, END_STREAM, 1, &request("GET", "/"));
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(1000);
    let full = frame(CONTINUATION, 0, 1, &field(b"x", &[b'v'; 100]).repeat(150)).repeat(10);
    for (name, more) in [("empty continuations", &empty), ("full continuations", &full)] {
        let flood = || async {
            for _ in 0..ROUNDS {
                let mut client = Client::connect(runtime, served.address).await;
                client.send(&open).await;
                pour(runtime, &mut client, more, 200).await;
            }
        };
        withstand(runtime, name, &mut bystander, flood).await;
        settle(runtime, served).await;
    }
    // One field of 4000 bytes, and 12,000 bytes that each mean it once more.
    let mut bomb = [request("GET", "/"), vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e]].concat();
    bomb.extend([b'v'; 4000]);
    bomb.extend([0xbe; 12_000]);
    let bombs = || async {
        for _ in 0..ROUNDS {
            let mut client = Client::connect(runtime, served.address).await;
            for stream in (1..100).step_by(2) {
                if !client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await {
                    break;
                }
            }
            breathe(runtime).await;
        }
    };
    withstand(runtime, "HPACK bombs", &mut bystander, bombs).await;
    settle(runtime, served).await;
}

/// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown frames: cheap to send, from a client that takes nothing.
pub async fn small_frames<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    cheap_frames(&runtime, &served).await;
}

pub(super) async fn cheap_frames<R: Runtime>(runtime: &R, served: &Served) {
    let mut bystander = http_bystander(runtime, served).await;
    let table =
        [frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]), frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0x10, 0])].concat();
    let windows =
        [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])]
            .concat();
    for (name, burst) in [
        ("pings", frame(PING, 0, 0, &[7; 8]).repeat(1000)),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 50]).repeat(1000)),
        ("table sizes to and fro", table.repeat(500)),
        ("windows to and fro", windows.repeat(500)),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(1000)),
        ("windows of the connection", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(1000)),
        ("empty data", frame(DATA, 0, 1, &[]).repeat(1000)),
        ("padding", frame(DATA, 8, 1, &[&[255][..], &[0; 255]].concat()).repeat(100)),
        ("unknown frames", frame(0xfa, 0, 0, &[0; 100]).repeat(100)),
    ] {
        let flood = || async {
            for _ in 0..ROUNDS / 4 {
                let mut client = Client::connect(runtime, served.address).await;
                client.send(&frame(HEADERS, END_HEADERS, 1, &request("POST", "/echo"))).await;
                pour(runtime, &mut client, &burst, 100).await;
            }
        };
        withstand(runtime, name, &mut bystander, flood).await;
        settle(runtime, served).await;
    }
}

/// A hundred large answers on each connection, and windows of nothing, of a byte, or wide open with nobody reading.
pub async fn windows<R: Runtime>(runtime: R) {
    let served = served(&runtime, handler(), impatient()).await;
    shut_windows(&runtime, &served, ROUNDS).await;
}

pub(super) async fn shut_windows<R: Runtime>(runtime: &R, served: &Served, connections: usize) {
    let mut bystander = http_bystander(runtime, served).await;
    for (name, window) in [
        ("windows of nothing", 0_u32),
        ("windows of a byte", 1),
        ("windows that are wide open", (1 << 31) - 1),
    ] {
        let flood = || async {
            let mut clients = Vec::new();
            for _ in 0..connections {
                let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
                let mut client = Client::with_settings(runtime, served.address, &settings).await;
                client.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0])).await;
                let requests: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 1, "/large")).collect();
                client.send(&requests).await;
                clients.push(client);
                breathe(runtime).await;
            }
            // One that takes a byte now and then may stay for as long as it likes.
            if window == 1 {
                for _ in 0..200 {
                    for client in &mut clients {
                        client.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await;
                    }
                    breathe(runtime).await;
                }
                return;
            }
            // The others are let go: each stream of its own, or the connection.
            while !crate::http2_hostile::in_work(served, 0) {
                breathe(runtime).await;
            }
        };
        withstand(runtime, name, &mut bystander, flood).await;
        settle(runtime, served).await;
    }
}
