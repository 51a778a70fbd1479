//! A QUIC endpoint and a hostile client of it: packets that are sealed as they should be and say anything, and datagrams of any
//! bytes, or that begin as a first packet does. Never a panic; a bystander is served before and after.
//!
//! The input is cut into pieces: a byte that says what a piece is, a byte for its length, and its bytes.
#![no_main]

extern crate self as shroud;
pub use shroud_runtime as runtime;

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic/support.rs"]
mod support;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic_hostile/tamper.rs"]
mod tamper;
/// As the tests name it.
mod quic {
    pub(crate) use crate::support;
}

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime};
use shroud_quic::{Connection, Endpoint};
use shroud_runtime::net::DatagramExt;
use shroud_runtime::{DatagramOptions, Runtime};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use support::{Identity, PROTOCOL, Pair, local};
use tamper::{Client, Plan, Space};

/// Pieces of one input.
const PIECES: usize = 40;

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

fuzz_target!(|input: &[u8]| {
    let memory = Memory::new();
    let (runtime, input) = (memory.runtime.clone(), input.to_vec());
    let mut story = memory.runtime.spawn("story", async move { story(runtime, &input).await });
    let cx = &mut Context::from_waker(Waker::noop());
    // Two minutes of the clock: longer than any timer of a connection.
    for _ in 0..12_000 {
        memory.advance(Duration::from_millis(10));
        if let Poll::Ready(ended) = Pin::new(&mut story).poll(cx) {
            ended.expect("the story ends well");
            return;
        }
    }
    panic!("the bystander is not served");
});

async fn story(runtime: MemoryRuntime, input: &[u8]) {
    let identity = identity();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    let take = take_all(runtime.clone(), pair.server.clone());
    let _taken = runtime.spawn("take all", take);
    let to = pair.server.local_addr();
    let socket = runtime.bind(local(), DatagramOptions::default()).await.expect("a socket");
    let mut hostile: Option<Client<MemoryRuntime>> = None;
    let mut rest = input;
    for _ in 0..PIECES {
        let [what, length, later @ ..] = rest else { break };
        let (bytes, later) = later.split_at(usize::from(*length).min(later.len()));
        rest = later;
        match what % 6 {
            // Frames of an established connection, the packet's first byte perhaps with more bits.
            0..=2 => {
                let client = match &mut hostile {
                    Some(client) if client.lost().is_none() => client,
                    other => other.insert(Client::connect(&runtime, identity, to, PROTOCOL).await),
                };
                client.inject_packet(if what % 6 == 2 { 0x3f & what } else { 0 }, bytes.to_vec()).await;
                client.step(Duration::from_millis(1)).await;
            }
            // Frames of a handshake.
            3 => {
                let plan = Plan::default();
                plan.frames(if what & 0x80 == 0 { Space::Initial } else { Space::Handshake }, bytes.to_vec());
                let mut client = Client::start(&runtime, identity.client_tls(), to, plan).await;
                for _ in 0..4 {
                    client.step(Duration::from_millis(1)).await;
                }
            }
            // Any bytes.
            4 => socket.send_to(bytes, to).await.expect("sent"),
            // A first packet of a known version, with the length that one must have.
            _ => {
                let mut first = vec![0xc0 | what >> 4, 0, 0, 0, 1];
                first.extend(bytes);
                first.resize(1200, *length);
                socket.send_to(&first, to).await.expect("sent");
            }
        }
        // All along: an attempt to connect may take as long as a handshake may, and several of them longer than anybody idles.
        exchange(&client, &server).await;
    }
    let stats = pair.server.stats();
    assert!(stats.connections <= 2 + PIECES, "{stats:?}");
}

async fn take_all(runtime: MemoryRuntime, endpoint: Endpoint<MemoryRuntime>) {
    while let Some(connecting) = endpoint.accept().await {
        let hold = async move {
            if let Ok(connection) = connecting.await {
                connection.closed().await;
            }
        };
        runtime.spawn("hold", hold).detach();
    }
}

async fn exchange(client: &Connection, server: &Connection) {
    let mut send = client.open_uni().await.expect("a stream");
    send.write_all(b"still served").await.expect("written");
    send.finish().expect("finished");
    let mut receive = server.accept_uni().await.expect("a stream");
    assert_eq!(receive.read_to_end(100).await.expect("read"), b"still served");
}
