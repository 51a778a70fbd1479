//! WebSocket.

use super::harness::{self, InPlace, breathe, http_bystander, settle, withstand};
use super::http1::impatient;
use crate::http::{Raw, Served, routes};
use crate::websocket::{frame, handshake};
use futures_util::AsyncWriteExt;
use shroud::ghostwire::websocket::{self, Options, Settings};
use shroud::runtime::Runtime;
use std::time::Duration;

const ROUNDS: usize = 8;

async fn served<R: Runtime>(runtime: &R) -> (Served, InPlace<Raw<R>>) {
    let settings = Settings { write_time: Duration::from_millis(700), ..Settings::default() };
    let options = Options { settings, ..Options::default() };
    let router = routes().get("/echo", websocket::serve(options, crate::websocket::echo));
    let served = harness::served(runtime, router, impatient()).await;
    let bystander = http_bystander(runtime, &served).await;
    (served, bystander)
}

/// Pours the same into connections, one after the other, until each is closed or has had so many.
async fn pour<R: Runtime>(runtime: &R, served: &Served, extra: &str, first: &[u8], burst: &[u8]) {
    for _ in 0..ROUNDS {
        let mut stream = handshake::<R>(runtime, served.address, extra).await;
        let _ = stream.write_all(first).await;
        for _ in 0..60 {
            if stream.write_all(burst).await.is_err() {
                break;
            }
            breathe(runtime).await;
        }
    }
}

/// Messages that are sixteen megabytes of zeros in a hundred kilobytes (RFC 7692).
pub async fn bombs<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let zeros = zeros(16 << 20);
    let mut bomb = vec![0xc2, 0xff];
    bomb.extend((zeros.len() as u64).to_be_bytes());
    bomb.extend([0; 4]);
    bomb.extend(zeros);
    let extra = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let flood = || pour(&runtime, &served, extra, &[], &bomb);
    withstand(&runtime, "compression bombs", &mut bystander, flood).await;
    settle(&runtime, &served).await;
}

/// At least `length` zeros as DEFLATE (RFC 1951): a literal, then the longest match again and again, thirteen bits each.
fn zeros(length: usize) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    let mut put = |code: u32, bits: u32| {
        for bit in (0..bits).rev() {
            if at % 8 == 0 {
                bytes.push(0);
            }
            let last = bytes.last_mut().expect("one");
            *last |= ((code >> bit & 1) as u8) << (at % 8);
            at += 1;
        }
    };
    // Not the last block; with the fixed codes.
    put(0b010, 3);
    put(0b0011_0000, 8);
    for _ in 0..length / 258 {
        put(0b1100_0101, 8);
        put(0, 5);
    }
    // The block's end, and an empty stored block whose last four bytes are not sent (RFC 7692, 7.2.1).
    put(0, 7);
    put(0, 3);
    bytes
}

/// Pings that each want an answer, from clients that take none; pongs that nobody asked for.
pub async fn pings<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    for (name, burst) in [
        ("pings", frame(0x89, &[7; 125]).repeat(500)),
        ("pongs", frame(0x8a, &[7; 125]).repeat(500)),
        ("echoes that nobody takes", frame(0x81, &[b'x'; 100]).repeat(500)),
        ("empty messages", frame(0x81, b"").repeat(1000)),
    ] {
        withstand(&runtime, name, &mut bystander, || pour(&runtime, &served, "", &[], &burst)).await;
        settle(&runtime, &served).await;
    }
}

/// Messages in fragments without end, empty or not.
pub async fn endless_messages<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let first = frame(0x01, b"x");
    for (name, burst) in [
        ("empty fragments", frame(0x00, b"").repeat(1000)),
        ("full fragments", frame(0x00, &[b'x'; 100]).repeat(1000)),
        ("pings between fragments", [frame(0x00, b"x"), frame(0x89, b"x")].concat().repeat(500)),
    ] {
        withstand(&runtime, name, &mut bystander, || pour(&runtime, &served, "", &first, &burst)).await;
        settle(&runtime, &served).await;
    }
}
