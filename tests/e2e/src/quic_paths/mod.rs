//! QUIC over changing paths: addresses, shards, restarts, versions.
//!
//! | file | what is inside |
//! |---|---|
//! | `relay` | a path that drops, delays and holds back what a test wants |
//! | `widths` | how long packets may be on a path, and how fast they follow each other |

pub mod relay;
mod widths;

pub use widths::{
    a_black_hole_is_noticed, a_narrow_path_is_found_out, packets_are_paced, the_width_is_found_out,
};

use crate::quic::support::{Identity, NAME, Pair, local, pattern};
use bytes::Bytes;
use futures_util::future::join;
use relay::Relay;
use shroud::runtime::net::DatagramExt;
use shroud::runtime::{Backend, DatagramOptions, Runtime, RuntimeExt, Topology};
use shroud_quic::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Group, Retry, Secrets, ServerConfig, VarInt,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Sends a question on a new stream and reads it back.
async fn ask(connection: &Connection, question: &[u8]) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(question).await.unwrap();
    send.finish().unwrap();
    assert!(receive.read_to_end(question.len()).await.unwrap() == question);
}

/// Echoes streams until the connection is gone.
async fn echo(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let all = receive.read_to_end(1_000_000).await.unwrap();
        send.write_all(&all).await.unwrap();
        send.finish().unwrap();
        let _ = send.stopped().await;
    }
}

/// Accepts and echoes until the endpoint is closed.
fn serve<R: Runtime>(runtime: &R, endpoint: &Endpoint<R>) {
    let (inner, endpoint) = (runtime.clone(), endpoint.clone());
    runtime
        .spawn("serve", async move {
            while let Some(connecting) = endpoint.accept().await {
                inner
                    .spawn("serve connection", async move {
                        if let Ok(connection) = connecting.await {
                            echo(connection).await;
                        }
                    })
                    .detach();
            }
        })
        .detach();
}

/// With a connection that goes on.
pub async fn a_client_moves_to_another_port<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let echo = runtime.spawn("echo", echo(server.clone()));
    ask(&client, b"before").await;
    for round in 0..3 {
        let old = pair.client.local_addr();
        pair.client.rebind(local()).await.unwrap();
        assert_ne!(pair.client.local_addr(), old);
        ask(&client, &pattern(100_000)).await;
        assert_eq!(server.remote_address(), pair.client.local_addr(), "round {round}");
    }
    client.close(VarInt::from_u32(0), b"");
    echo.await.unwrap();
}

/// What a client has sent from where it was arrives after it has moved. A NAT that has given it another port is no reason not to
/// take it; a client that has moved by itself has retired the connection id that it names: it is lost then, like any packet,
/// and the connection goes on. Either way no stream misses anything.
pub async fn late_packets_from_where_a_client_was<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let server = Endpoint::server(&runtime, local(), &EndpointConfig::default(), &identity.server()).await;
    let server = server.unwrap();
    for by_itself in [false, true] {
        let relay = Relay::new(&runtime, server.local_addr()).await;
        let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
        let connecting = endpoint.connect(&identity.client(), relay.address, NAME).unwrap();
        let accept = async { server.accept().await.unwrap().await.unwrap() };
        let (client, accepted) = join(connecting, accept).await;
        let client = client.unwrap();
        let echo = runtime.spawn("echo", echo(accepted.clone()));
        ask(&client, b"before").await;
        let before = accepted.remote_address();
        assert_eq!(before, relay.outside());

        // A datagram is never sent again: it arrives late or not at all. What follows it in the packet is.
        relay.hold(800);
        client.send_datagram(Bytes::from(pattern(900))).unwrap();
        while !relay.holds() {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        if by_itself {
            endpoint.rebind(local()).await.unwrap();
        } else {
            relay.forget();
        }
        ask(&client, &pattern(20_000)).await;
        let after = relay.outside();
        assert_ne!(after, before);
        while accepted.remote_address() != after {
            ask(&client, b"moved").await;
        }
        let strays = relay.strays();
        relay.deliver().await;
        if !by_itself {
            assert_eq!(accepted.read_datagram().await.unwrap(), pattern(900));
        }
        ask(&client, &pattern(200_000)).await;
        if by_itself {
            // A stateless reset would end the connection of a client that still believes that id's.
            assert_eq!(relay.strays(), strays, "the late packet was answered");
        }
        // It was no sign that the client has moved back.
        assert_eq!(accepted.remote_address(), after);
        assert_eq!((client.close_reason(), accepted.close_reason()), (None, None));
        client.close(VarInt::from_u32(0), b"");
        echo.await.unwrap();
    }
}

/// A peer that does not hear that a connection is closed is told again when it goes on, also by a server of which nobody holds
/// the connection any more (RFC 9000 10.2.1).
pub async fn a_lost_close_is_repeated<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let server = Endpoint::server(&runtime, local(), &EndpointConfig::default(), &identity.server()).await;
    let server = server.unwrap();
    let relay = Relay::new(&runtime, server.local_addr()).await;
    // For three probe time-outs a closed connection is known, and those are as long as the path is.
    relay.delay(Duration::from_millis(150));
    let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let connecting = endpoint.connect(&identity.client(), relay.address, NAME).unwrap();
    let accept = async { server.accept().await.unwrap().await.unwrap() };
    let (client, accepted) = join(connecting, accept).await;
    let client = client.unwrap();
    // No acknowledgement of the handshake is on its way any more.
    runtime.sleep(Duration::from_millis(500)).await;
    let sent = server.stats().sent;
    relay.carry(0);
    accepted.close(VarInt::from_u32(9), b"gone");
    drop(accepted);
    while relay.dropped() == 0 {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    relay.carry(usize::MAX);
    assert_eq!(client.close_reason(), None);
    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"still there?").await.unwrap();
    let reason = Bytes::from_static(b"gone");
    assert_eq!(client.closed().await, ConnectionError::PeerClosed { code: VarInt::from_u32(9), reason });
    assert_eq!(server.stats().connections, 1, "it is known for some time");
    server.wait_idle().await;
    // Not one for each packet.
    let repeated = server.stats().sent - sent;
    assert!((2..=4).contains(&repeated), "{repeated}");
}

/// A server on two shards; clients that change their ports, so that the kernel gives their packets to the other one.
pub fn migrated_clients_find_their_shard<B: Backend>(backend: &B) {
    const MEMBERS: usize = 2;
    const CLIENTS: usize = 8;
    const MOVES: usize = 6;
    let Ok(capabilities) = backend.probe() else {
        println!("SKIPPED {}", backend.name());
        return;
    };
    let identity = Arc::new(Identity::generate());
    let group = Group::new(MEMBERS, Secrets::from_bytes(&[7; 64]));
    let address = Arc::new(Mutex::new(None::<SocketAddr>));
    let (left, right) = shroud::runtime::sync::oneshot::channel::<SocketAddr>();
    let ends = Arc::new((Mutex::new(Some(left)), Mutex::new(Some(right))));
    let finished = shroud::runtime::CancellationToken::new();
    let handed = Arc::new(AtomicU64::new(0));
    let taken = Arc::new(AtomicU64::new(0));
    let shared = (identity, group, address, ends, finished, Arc::clone(&handed), Arc::clone(&taken));
    let per_core = capabilities.topology == Topology::PerCore;
    crate::run(backend, MEMBERS, move |runtime| {
        let (identity, group, address, ends, finished, handed, taken) = shared.clone();
        async move {
            // On a work-stealing backend there is one shard, with two members on it.
            let first = runtime.shard().index == 0;
            let mut endpoints = Vec::new();
            if first {
                let any = local();
                let endpoint = bind(&runtime, any, &identity, &group).await;
                let bound = endpoint.local_addr();
                *address.lock().unwrap() = Some(bound);
                endpoints.push(endpoint);
                if per_core {
                    let left = ends.0.lock().unwrap().take().unwrap();
                    let _ = left.send(bound);
                } else {
                    endpoints.push(bind(&runtime, bound, &identity, &group).await);
                }
            } else {
                let right = ends.1.lock().unwrap().take().unwrap();
                let bound = right.await.unwrap();
                endpoints.push(bind(&runtime, bound, &identity, &group).await);
            }
            for endpoint in &endpoints {
                serve(&runtime, endpoint);
            }
            if first {
                move_clients(&runtime, &identity, endpoints[0].local_addr(), CLIENTS, MOVES).await;
                finished.cancel();
            }
            finished.cancelled().await;
            for endpoint in endpoints {
                let stats = endpoint.stats();
                handed.fetch_add(stats.handed_over, Ordering::Relaxed);
                taken.fetch_add(stats.taken_over, Ordering::Relaxed);
                assert_eq!(stats.handover_lost, 0);
            }
        }
    });
    let (handed, taken) = (handed.load(Ordering::Relaxed), taken.load(Ordering::Relaxed));
    assert!(handed > 0, "no packet came to the wrong shard in {} moves", CLIENTS * MOVES);
    assert!(taken > 0 && taken <= handed, "{taken} of {handed} datagrams were taken over");
}

async fn bind<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
    identity: &Identity,
    group: &Group,
) -> Endpoint<R> {
    let member = group.join().unwrap();
    Endpoint::member(runtime, address, &EndpointConfig::default(), &identity.server(), member).await.unwrap()
}

async fn move_clients<R: Runtime>(
    runtime: &R,
    identity: &Identity,
    server: SocketAddr,
    clients: usize,
    moves: usize,
) {
    // So that the other shard's socket is bound.
    runtime.sleep(Duration::from_millis(200)).await;
    let config = identity.client();
    let mut connections = Vec::new();
    for _ in 0..clients {
        let endpoint = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap();
        let connection = endpoint.connect(&config, server, NAME).unwrap().await.unwrap();
        connections.push((endpoint, connection));
    }
    for _ in 0..moves {
        for (endpoint, connection) in &connections {
            endpoint.rebind(local()).await.unwrap();
            ask(connection, &pattern(20_000)).await;
        }
    }
}

/// Stateless reset (RFC 9000 10.3).
pub async fn a_restarted_server_resets<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let secrets = Secrets::from_bytes(&[9; 64]);
    let bind = |address| {
        let member = Group::new(1, secrets.clone()).join().unwrap();
        let (runtime, server) = (runtime.clone(), identity.server());
        async move {
            let config = EndpointConfig { reuse_port: Some(true), ..EndpointConfig::default() };
            Endpoint::member(&runtime, address, &config, &server, member).await.unwrap()
        }
    };
    // Its task dies with its parent: no goodbye, as in a crash.
    let (tell, told) = shroud::runtime::sync::oneshot::channel();
    let crash = runtime.spawn("first run", {
        let first = bind(local());
        async move {
            let endpoint = first.await;
            tell.send(endpoint.local_addr()).unwrap();
            let connection = endpoint.accept().await.unwrap().await.unwrap();
            echo(connection).await;
        }
    });
    let address = told.await.unwrap();
    let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let connection = client.connect(&identity.client(), address, NAME).unwrap().await.unwrap();
    ask(&connection, b"hello").await;
    let _ = crash.cancel().await;
    let _second = bind(address).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[1; 1000]).await.unwrap();
    assert_eq!(connection.closed().await, ConnectionError::Reset);
}

/// RFC 9000 8.1.2 and 8.1.3.
pub async fn retry_proves_the_address_and_a_token_does_next_time<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let server = ServerConfig { retry: Retry::Always, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, server) = pair.connect().await;
    // One for each datagram of the client's first flight.
    let retried = pair.server.stats().retried;
    assert!(retried > 0);
    // The token is in a frame that comes with the handshake's end.
    let mut send = server.open_uni().await.unwrap();
    send.write_all(b"x").await.unwrap();
    client.accept_uni().await.unwrap().read_chunk(1).await.unwrap();
    let _again = pair.connect().await;
    assert_eq!(pair.server.stats().retried, retried, "the token was taken");
}

/// What one member of a group has given a client, another one takes: the token that proves its address, and the ticket for
/// early data.
pub async fn members_share_tokens_and_tickets<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let server = ServerConfig { retry: Retry::Always, ..identity.server() };
    let group = Group::new(2, Secrets::from_bytes(&[7; 64]));
    let mut members = Vec::new();
    for _ in 0..2 {
        let member = group.join().unwrap();
        let endpoint = Endpoint::member(&runtime, local(), &EndpointConfig::default(), &server, member).await;
        serve(&runtime, endpoint.as_ref().unwrap());
        members.push(endpoint.unwrap());
    }
    let (config, any) = (identity.client(), EndpointConfig::default());
    let client = Endpoint::client(&runtime, local(), &any).await.unwrap();
    let first = client.connect(&config, members[0].local_addr(), NAME).unwrap().await.unwrap();
    // Token and ticket come with the handshake's end, before this is answered.
    ask(&first, &pattern(1000)).await;
    assert!(members[0].stats().retried > 0);

    let (second, early) =
        client.connect(&config, members[1].local_addr(), NAME).unwrap().into_0rtt().unwrap();
    ask(&second, &pattern(1000)).await;
    assert!(early.accepted().await, "the ticket was taken");
    assert_eq!(members[1].stats().retried, 0, "the token was taken");
}

/// A first packet of a version that nobody speaks.
fn unknown_version(length: usize) -> Vec<u8> {
    let mut packet = vec![0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend([1; 8]);
    packet.push(8);
    packet.extend([2; 8]);
    packet.resize(length, 0);
    packet
}

/// RFC 9000 6.1; not for datagrams that could be reflections.
pub async fn unknown_versions_are_negotiated<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let to = pair.server.local_addr();
    let mut buffer = vec![0; 2000];
    // Too short to be answered: it could be a reflection.
    socket.send_to(&unknown_version(1199), to).await.unwrap();
    let silence = runtime.timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await;
    assert!(silence.is_err());
    socket.send_to(&unknown_version(1200), to).await.unwrap();
    let answer = socket.recv(&mut buffer).await.unwrap();
    let answer = &buffer[..answer.len];
    assert_eq!(answer[1..5], [0; 4], "version negotiation");
    assert_eq!(answer[5..14], [8, 2, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!(answer[14..23], [8, 1, 1, 1, 1, 1, 1, 1, 1]);
    let versions: Vec<_> = answer[23..].chunks(4).collect();
    assert!(versions.contains(&[0, 0, 0, 1].as_slice()));
    assert!(versions.iter().all(|version| version[3] & 0x0f == 0x0a || **version == [0, 0, 0, 1]));
    assert!(answer.len() < 1200);
}

/// RFC 9000 6.2.
pub async fn version_negotiation_ends_a_client<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
    let to = shroud::runtime::Datagram::local_addr(&socket).unwrap();
    let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let connecting = client.connect(&identity.client(), to, NAME).unwrap();
    let answer = async {
        let mut buffer = vec![0; 65_536];
        let meta = socket.recv(&mut buffer).await.unwrap();
        // Type and version, then the client's ids, swapped.
        let destination = &buffer[5..6 + usize::from(buffer[5])];
        let rest = &buffer[6 + usize::from(buffer[5])..];
        let source = &rest[..1 + usize::from(rest[0])];
        let mut packet = vec![0x80, 0, 0, 0, 0];
        packet.extend(source);
        packet.extend(destination);
        packet.extend([0, 0, 0, 2]);
        socket.send_to(&packet, meta.source).await.unwrap();
    };
    let (outcome, ()) = join(connecting, answer).await;
    assert_eq!(outcome.err(), Some(ConnectionError::VersionMismatch));
}
