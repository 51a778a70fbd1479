//! QUIC against strangers: junk, floods, spoofed addresses.
//!
//! | file | what is inside |
//! |---|---|
//! | `tamper` | a client whose packets say what a test wants |
//! | `violations` | frames and parameters that break the rules, with the code of each |

pub mod tamper;
mod violations;

pub use violations::{frames, handshakes, transport_parameters};

use crate::quic::support::{Identity, NAME, Pair, local};
use futures_util::future::join;
use quinn_proto::crypto::rustls::QuicClientConfig;
use shroud::runtime::net::DatagramExt;
use shroud::runtime::{Datagram, DatagramOptions, Runtime, RuntimeExt, Task};
use shroud_quic::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Limits, ServerConfig, TransportErrorCode, VarInt,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A bystander: says something and hears it.
pub async fn exchange(client: &Connection, server: &Connection) {
    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"still served").await.unwrap();
    send.finish().unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    assert_eq!(receive.read_to_end(100).await.unwrap(), b"still served");
}

/// Accepts whoever comes, and takes each stream only to let go of it.
pub fn take_all<R: Runtime>(runtime: &R, endpoint: &Endpoint<R>) -> Task<()> {
    let (inner, endpoint) = (runtime.clone(), endpoint.clone());
    runtime.spawn("take all", async move {
        while let Some(connecting) = endpoint.accept().await {
            let hold = async move {
                if let Ok(connection) = connecting.await {
                    while connection.accept_bi().await.is_ok() {}
                }
            };
            inner.spawn("hold", hold).detach();
        }
    })
}

/// The datagrams of a client's first flight, to an address that need not be there.
pub fn first_flight<R: Runtime>(runtime: &R, identity: &Identity, to: SocketAddr) -> Vec<Vec<u8>> {
    let tls = QuicClientConfig::try_from(Arc::new(identity.client_tls())).unwrap();
    let config = quinn_proto::ClientConfig::new(Arc::new(tls));
    let mut endpoint = quinn_proto::Endpoint::new(Arc::default(), None, true, None);
    let now = runtime.now();
    let (_, mut connection) = endpoint.connect(now, config, to, NAME).unwrap();
    let mut flight = Vec::new();
    let mut buffer = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, 1, &mut buffer) {
        flight.push(buffer[..transmit.size].to_vec());
        buffer.clear();
    }
    assert!(!flight.is_empty());
    flight
}

/// Random bytes of every length, with headers that look right.
pub async fn garbage_is_ignored<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let to = pair.server.local_addr();
    let mut random = vec![0; 1400];
    for round in 0..2000_usize {
        runtime.fill(&mut random);
        let length = round % 1400;
        // Long and short headers, version 1 or any.
        if round % 3 == 0 && length > 5 {
            random[0] |= 0xc0;
            random[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        socket.send_to(&random[..length], to).await.unwrap();
        if round % 100 == 0 {
            exchange(&client, &server).await;
        }
    }
    exchange(&client, &server).await;
    let stats = pair.server.stats();
    assert_eq!(stats.connections, 1, "{stats:?}");
    let _other = pair.connect().await;
}

/// First packets cut short, and with flipped bits.
pub async fn truncated_packets_are_ignored<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let (client, server) = pair.connect().await;
    let to = pair.server.local_addr();
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let flight = first_flight(&runtime, &identity, to);
    for length in (0..flight[0].len()).step_by(7) {
        socket.send_to(&flight[0][..length], to).await.unwrap();
    }
    // Every bit of the header, and some of the rest, flipped once: the checksum is the packet's protection.
    for bit in (0..400).chain((400..flight[0].len() * 8).step_by(97)) {
        let mut packet = flight[0].clone();
        packet[bit / 8] ^= 1 << (bit % 8);
        socket.send_to(&packet, to).await.unwrap();
        if bit % 50 == 0 {
            exchange(&client, &server).await;
        }
    }
    exchange(&client, &server).await;
    assert_eq!(server.close_reason(), None);
}

/// At the limit, one past it, and free again.
pub async fn connection_limit<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let limits = Limits { connections: 3, half_open: 3, ..Limits::default() };
    let server = ServerConfig { limits, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pair.connect().await);
    }
    let refused = pair.connecting().await.err();
    assert!(
        matches!(
            refused,
            Some(ConnectionError::PeerTransport { code: TransportErrorCode::CONNECTION_REFUSED, .. })
        ),
        "{refused:?}"
    );
    assert!(pair.server.stats().refused > 0);
    for (client, server) in &held {
        exchange(client, server).await;
    }
    let (client, server) = held.pop().unwrap();
    client.close(VarInt::from_u32(0), b"");
    server.closed().await;
    // Its place is free when it has drained.
    while pair.server.stats().connections > 2 {
        runtime.sleep(Duration::from_millis(10)).await;
    }
    held.push(pair.connect().await);
}

/// Bounded state; bystanders and honest clients are served.
pub async fn a_flood_of_first_packets<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let limits = Limits {
        connections: 1000,
        half_open: 40,
        half_open_free: 20,
        handshake_time: Duration::from_secs(2),
    };
    let server = ServerConfig { limits, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, server) = pair.connect().await;
    let to = pair.server.local_addr();
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    for round in 0..200 {
        for datagram in first_flight(&runtime, &identity, to) {
            socket.send_to(&datagram, to).await.unwrap();
        }
        let stats = pair.server.stats();
        assert!(stats.half_open <= 40 && stats.connections <= 41, "{stats:?}");
        if round % 50 == 0 {
            exchange(&client, &server).await;
        }
    }
    exchange(&client, &server).await;
    let stats = pair.server.stats();
    assert!(stats.retried > 100, "{stats:?}");
    assert!(stats.half_open <= 20, "without a proof of the address none is kept beyond: {stats:?}");
    // An honest client proves its address.
    let accept = async {
        loop {
            let connecting = pair.server.accept().await.unwrap();
            if connecting.remote_address() == Some(pair.client.local_addr()) {
                return connecting.await.unwrap();
            }
        }
    };
    let (honest, there) = join(pair.connecting(), accept).await;
    exchange(&honest.unwrap(), &there).await;
    // The rest is forgotten in its time.
    while pair.server.stats().half_open > 0 || pair.server.stats().connections > 2 {
        runtime.sleep(Duration::from_millis(50)).await;
    }
    exchange(&client, &server).await;
}

/// To an address that never proves itself.
pub async fn no_amplification<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let to = pair.server.local_addr();
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let mut sent = 0;
    for datagram in first_flight(&runtime, &identity, to) {
        socket.send_to(&datagram, to).await.unwrap();
        sent += datagram.len();
    }
    let mut received = 0;
    let mut buffer = vec![0; 65_536];
    // A server repeats itself after a while; never beyond three times what it got (RFC 9000 8.1), except for the rest of
    // the datagram in which quinn-proto reaches the limit.
    while let Ok(meta) = runtime.timeout(Duration::from_secs(3), socket.recv(&mut buffer)).await {
        received += meta.unwrap().len;
    }
    assert!(received > 0, "the server answers");
    assert!(received < 3 * sent + 1200, "{received} bytes for {sent}");
}

/// Nobody answers.
pub async fn silence_times_the_handshake_out<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let nobody = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let config = identity.client().handshake_time(Duration::from_millis(500));
    let connecting = client.connect(&config, nobody.local_addr().unwrap(), NAME).unwrap();
    assert_eq!(connecting.await.err(), Some(ConnectionError::HandshakeTimeout));
    assert_eq!(client.stats().handshakes_timed_out, 1);
    client.wait_idle().await;
}
