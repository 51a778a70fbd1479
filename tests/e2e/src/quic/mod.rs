//! QUIC connections: what a user of the library does with them.

pub mod support;

use crate::quic::support::{Identity, NAME, PROTOCOL, Pair, local, pattern};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::runtime::{Runtime, RuntimeExt};
use shroud_quic::{
    ConnectionError, ConnectionPool, DatagramError, Endpoint, EndpointConfig, PoolLimits, ReadError,
    ServerConfig, Side, Transport, VarInt, WriteError,
};
use std::sync::Arc;
use std::time::Duration;

/// Names, protocols, certificates, addresses, exported keys.
pub async fn handshake_and_what_it_says<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    assert_eq!(client.protocol().as_deref(), Some(PROTOCOL));
    assert_eq!(server.protocol().as_deref(), Some(PROTOCOL));
    assert_eq!(server.server_name().as_deref(), Some(NAME));
    assert_eq!(client.peer_certificates().unwrap().len(), 1);
    assert_eq!(server.peer_certificates(), None);
    assert_eq!(client.remote_address(), pair.server.local_addr());
    assert_eq!(server.remote_address(), pair.client.local_addr());
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
    let (mut here, mut there) = ([0; 32], [0; 32]);
    assert!(client.export_keying_material(&mut here, b"label", b"context"));
    assert!(server.export_keying_material(&mut there, b"label", b"context"));
    assert_eq!(here, there);
    assert_ne!(here, [0; 32]);
    assert_eq!(pair.server.stats().accepted, 1);
    assert_eq!(pair.client.stats().connected, 1);
    assert!(client.close_reason().is_none());
}

/// Without a gap, in batches.
pub async fn a_megabyte_both_ways<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let bytes = pattern(1_000_000);
    let echo = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        while let Some(chunk) = receive.read_chunk(usize::MAX).await.unwrap() {
            send.write_chunk(chunk).await.unwrap();
        }
        send.finish().unwrap();
        assert_eq!(send.stopped().await.unwrap(), None);
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        let write = async {
            send.write_all(&bytes).await.unwrap();
            send.finish().unwrap();
        };
        let mut answer = Vec::new();
        let (_, length) = join(write, AsyncReadExt::read_to_end(&mut receive, &mut answer)).await;
        assert_eq!(length.unwrap(), bytes.len());
        assert!(answer == bytes);
    };
    join(echo, ask).await;
    let stats = pair.server.stats();
    if runtime.capabilities().datagram.receive_segments > 1 {
        assert!(stats.receive_buffers < stats.received, "datagrams are coalesced: {stats:?}");
    }
    if runtime.capabilities().datagram.ecn {
        assert!(client.stats().path.cwnd > 0);
    }
}

/// At once, of many sizes.
pub async fn a_hundred_streams<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let task = runtime.spawn("echo", {
        let runtime = runtime.clone();
        async move {
            while let Ok((mut send, mut receive)) = server.accept_bi().await {
                runtime
                    .spawn("echo stream", async move {
                        let all = receive.read_to_end(100_000).await.unwrap();
                        send.write_all(&all).await.unwrap();
                        send.finish().unwrap();
                        let _ = send.stopped().await;
                    })
                    .detach();
            }
        }
    });
    let client = &client;
    join_all((0..100_usize).map(|number| async move {
        let bytes = pattern(1000 * number);
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        assert!(receive.read_to_end(100_000).await.unwrap() == bytes, "stream {number}");
    }))
    .await;
    client.close(VarInt::from_u32(0), b"");
    task.await.unwrap();
}

/// RFC 9221, and switched off.
pub async fn datagrams_arrive_and_have_a_size<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let longest = client.max_datagram_size().unwrap();
    assert!(longest > 1000);
    let too_long = client.send_datagram(Bytes::from(vec![0; 65_000]));
    assert_eq!(too_long, Err(DatagramError::TooLong));
    for number in 0..50_u8 {
        client.send_datagram_wait(Bytes::from(vec![number; 100])).await.unwrap();
        assert_eq!(server.read_datagram().await.unwrap(), vec![number; 100]);
    }
    client.send_datagram(Bytes::from(vec![7; longest])).unwrap();
    assert_eq!(server.read_datagram().await.unwrap().len(), longest);
    // Switched off on one side.
    let identity = Identity::generate();
    let none = Transport { datagram_receive_buffer: None, ..Transport::default() };
    let server = ServerConfig { transport: none, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, _server) = pair.connect().await;
    assert_eq!(client.max_datagram_size(), None);
    assert_eq!(client.send_datagram(Bytes::new()), Err(DatagramError::Unsupported));
}

/// A finished question gets its answer.
pub async fn half_close<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let mut question = String::new();
        // As the traits of futures.
        AsyncReadExt::read_to_string(&mut receive, &mut question).await.unwrap();
        assert_eq!(question, "what?");
        AsyncWriteExt::write_all(&mut send, b"that").await.unwrap();
        send.close().await.unwrap();
        send.close().await.unwrap();
        assert_eq!(send.write(b"more").await, Err(WriteError::Finished));
        send.stopped().await.unwrap();
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_all(b"what?").await.unwrap();
        send.finish().unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"that");
        assert_eq!(receive.read_chunk(10).await.unwrap(), None, "the end stays the end");
    };
    join(serve, ask).await;
}

/// Either side gives a stream up; the other learns the code.
pub async fn reset_and_stop<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"begun").await.unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    assert_eq!(receive.read_chunk(100).await.unwrap().unwrap(), "begun");
    send.reset(VarInt::from_u32(77));
    assert_eq!(receive.read_chunk(100).await, Err(ReadError::Reset(VarInt::from_u32(77))));
    assert_eq!(receive.read_chunk(100).await, Err(ReadError::Reset(VarInt::from_u32(77))));
    assert_eq!(send.write(b"more").await, Err(WriteError::Finished));

    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"begun").await.unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    receive.stop(VarInt::from_u32(78));
    assert_eq!(receive.read_chunk(100).await, Err(ReadError::Stopped));
    assert_eq!(send.stopped().await.unwrap(), Some(VarInt::from_u32(78)));
    assert_eq!(send.write(b"more").await, Err(WriteError::Stopped(VarInt::from_u32(78))));
}

/// Dropped is not finished.
pub async fn an_unfinished_stream_is_never_taken_for_a_whole_one<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"half of it").await.unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    drop(send);
    loop {
        match receive.read_chunk(100).await {
            Ok(Some(_)) => {}
            outcome => break assert_eq!(outcome, Err(ReadError::Reset(VarInt::from_u32(0)))),
        }
    }
}

/// The window, and not a byte more.
pub async fn not_reading_is_back_pressure<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let transport = Transport { stream_window: 10_000, ..Transport::default() };
    let server = ServerConfig { transport, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, server) = pair.connect().await;
    let mut send = client.open_uni().await.unwrap();
    let bytes = pattern(50_000);
    let mut accepted = 0;
    // Until nothing more is taken for a while.
    while let Ok(written) = runtime.timeout(Duration::from_millis(300), send.write(&bytes[accepted..])).await
    {
        accepted += written.unwrap();
        assert!(accepted <= 10_000, "{accepted} bytes were taken beyond the window");
    }
    assert_eq!(accepted, 10_000);
    let mut receive = server.accept_uni().await.unwrap();
    let write = async {
        send.write_all(&bytes[accepted..]).await.unwrap();
        send.finish().unwrap();
    };
    let (_, all) = join(write, receive.read_to_end(100_000)).await;
    assert!(all.unwrap() == bytes);
    let mut send = client.open_uni().await.unwrap();
    send.write_all(&bytes[..1001]).await.unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    assert_eq!(receive.read_to_end(1000).await, Err(ReadError::TooLong(1000)));
}

/// Until one is over.
pub async fn opening_waits_for_the_peers_limit<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let transport = Transport { unidirectional_streams: 2, ..Transport::default() };
    let server = ServerConfig { transport, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, server) = pair.connect().await;
    let mut first = client.open_uni().await.unwrap();
    let mut second = client.open_uni().await.unwrap();
    assert!(runtime.timeout(Duration::from_millis(100), client.open_uni()).await.is_err());
    first.write_all(b"one").await.unwrap();
    first.finish().unwrap();
    second.write_all(b"two").await.unwrap();
    let serve = async {
        let mut receive = server.accept_uni().await.unwrap();
        assert_eq!(receive.read_to_end(10).await.unwrap(), b"one");
        server
    };
    let (_server, third) = join(serve, client.open_uni()).await;
    third.unwrap();
}

/// On both sides, and nothing is left.
pub async fn idle_connections_time_out<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let transport = Transport { idle_timeout: Some(Duration::from_millis(300)), ..Transport::default() };
    let server = ServerConfig { transport, ..identity.server() };
    let pair = Pair::with(&runtime, &server, identity.client()).await;
    let (client, server) = pair.connect().await;
    assert_eq!(join(client.closed(), server.closed()).await, {
        (ConnectionError::IdleTimeout, ConnectionError::IdleTimeout)
    });
    pair.server.wait_idle().await;
    assert_eq!(pair.server.stats().connections, 0);
}

/// Beyond the idle time-out.
pub async fn keep_alive_keeps<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let idle_timeout = Some(Duration::from_millis(600));
    let server =
        ServerConfig { transport: Transport { idle_timeout, ..Transport::default() }, ..identity.server() };
    let keep = Transport { keep_alive: Some(Duration::from_millis(100)), ..Transport::default() };
    let pair = Pair::with(&runtime, &server, identity.client_with(&keep)).await;
    let (client, server) = pair.connect().await;
    assert!(runtime.timeout(Duration::from_millis(2000), client.closed()).await.is_err());
    assert!(server.close_reason().is_none());
}

/// The application's code and words reach every call of the peer.
pub async fn close_codes<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    let (mut send, mut receive) = client.open_bi().await.unwrap();
    send.write_all(b"hello").await.unwrap();
    let (mut there, _receive) = server.accept_bi().await.unwrap();
    server.close(VarInt::from_u32(4242), b"enough");
    server.close(VarInt::from_u32(1), b"only the first counts");
    let expected =
        ConnectionError::PeerClosed { code: VarInt::from_u32(4242), reason: Bytes::from_static(b"enough") };
    assert_eq!(client.closed().await, expected);
    assert_eq!(client.close_reason(), Some(expected.clone()));
    assert_eq!(server.closed().await, ConnectionError::LocallyClosed);
    assert_eq!(receive.read_chunk(10).await, Err(ReadError::Connection(expected.clone())));
    assert_eq!(send.write(b"more").await, Err(WriteError::Connection(expected.clone())));
    assert_eq!(there.write(b"more").await, Err(WriteError::Connection(ConnectionError::LocallyClosed)));
    assert_eq!(client.open_bi().await.err(), Some(expected.clone()));
    assert_eq!(client.accept_uni().await.err(), Some(expected.clone()));
    assert_eq!(client.read_datagram().await.err(), Some(expected));
    pair.client.wait_idle().await;
    pair.server.wait_idle().await;
}

/// Connects once, so that the client holds tickets.
async fn get_tickets<R: Runtime>(pair: &Pair<R>) {
    let (client, server) = pair.connect().await;
    let mut send = server.open_uni().await.unwrap();
    send.write_all(b"the tickets came before this").await.unwrap();
    send.finish().unwrap();
    client.accept_uni().await.unwrap().read_to_end(100).await.unwrap();
    client.close(VarInt::from_u32(0), b"");
    server.closed().await;
}

/// 0-RTT, with a warning that it can be a replay.
pub async fn early_data_is_accepted<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let first = pair.connecting().into_0rtt().expect_err("there is no ticket yet");
    let (here, there) = join(first, async { pair.server.accept().await.unwrap().await }).await;
    here.expect("it goes on without");
    drop(there);
    get_tickets(&pair).await;
    let serve = async {
        let connecting = pair.server.accept().await.unwrap();
        let (connection, early) = connecting.into_0rtt().unwrap();
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        let replayable = receive.is_early();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"early");
        send.write_all(b"answer").await.unwrap();
        send.finish().unwrap();
        assert!(early.accepted().await);
        connection.established().await.unwrap();
        assert!(connection.is_established());
        send.stopped().await.unwrap();
        (connection, replayable)
    };
    let ask = async {
        let (connection, early) = pair.connecting().into_0rtt().expect("there is a ticket");
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(b"early").await.unwrap();
        send.finish().unwrap();
        assert!(!connection.is_established());
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"answer");
        assert!(early.accepted().await);
        connection
    };
    let ((_server, replayable), _client) = join(serve, ask).await;
    assert!(replayable, "the server is told that it can be a replay");
}

/// Streams of rejected early data say so; new ones work.
pub async fn early_data_is_rejected<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    get_tickets(&pair).await;
    // A server that knows nothing of its earlier tickets, as after a restart.
    pair.server.set_server_config(&identity.server()).unwrap();
    let serve = async {
        let connection = pair.server.accept().await.unwrap().await.unwrap();
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        assert!(!receive.is_early());
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"again");
        send.write_all(b"answer").await.unwrap();
        send.finish().unwrap();
        send.stopped().await.unwrap();
        connection
    };
    let ask = async {
        let (connection, early) = pair.connecting().into_0rtt().expect("there is a ticket");
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(b"early").await.unwrap();
        assert!(!early.accepted().await);
        assert_eq!(receive.read_chunk(10).await, Err(ReadError::EarlyDataRejected));
        assert_eq!(send.write(b"early").await, Err(WriteError::EarlyDataRejected));
        assert_eq!(send.stopped().await, Err(WriteError::EarlyDataRejected));
        drop((send, receive));
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(b"again").await.unwrap();
        send.finish().unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"answer");
        connection
    };
    join(serve, ask).await;
}

/// Key updates from both sides (RFC 9001 6).
pub async fn keys_change<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    for number in 0..5_u8 {
        let mut send = client.open_uni().await.unwrap();
        send.write_all(&[number; 5000]).await.unwrap();
        send.finish().unwrap();
        let mut receive = server.accept_uni().await.unwrap();
        assert_eq!(receive.read_to_end(10_000).await.unwrap(), [number; 5000]);
        send.stopped().await.unwrap();
        if number % 2 == 0 { client.update_keys() } else { server.update_keys() }
    }
}

/// Shared attempts, health, limit, idleness.
pub async fn a_pool_uses_connections_again<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let address = pair.server.local_addr();
    let accepted = runtime.spawn("accept", {
        let server = pair.server.clone();
        async move {
            let mut held = Vec::new();
            while let Some(connecting) = server.accept().await {
                held.extend(connecting.await);
            }
        }
    });
    let limits = PoolLimits { connections: 2, idle_time: Duration::from_millis(500) };
    let pool = ConnectionPool::new(&runtime, pair.client.clone(), pair.config.clone(), limits);
    let (one, same) = join(pool.get(NAME, address), pool.get(NAME, address)).await;
    let (one, same) = (one.unwrap(), same.unwrap());
    assert!(one.is_same(&same), "callers share one attempt");
    assert_eq!(pair.client.stats().connected, 1);
    // A lost one is not given out again.
    one.close(VarInt::from_u32(0), b"");
    let other = pool.get(NAME, address).await.unwrap();
    assert!(!other.is_same(&one));
    // Beyond the limit the oldest goes; nobody else holds it, so that it is closed.
    let (mut send, _) = other.open_bi().await.unwrap();
    drop(other);
    assert!(pool.get("other.test", address).await.is_err(), "the certificate names another");
    assert_eq!(pool.len(), 2);
    assert!(pool.get("third.test", address).await.is_err());
    assert_eq!(pool.len(), 2);
    send.write_all(b"a stream holds its connection").await.unwrap();
    // Not asked for in its time.
    runtime.sleep(Duration::from_millis(600)).await;
    let _fresh = pool.get(NAME, address).await.unwrap();
    assert_eq!(pool.len(), 1);
    pool.close(VarInt::from_u32(0), b"");
    pair.server.close(VarInt::from_u32(0), b"");
    accepted.await.unwrap();
}

/// However full the congestion window is, and whatever else waits to be sent.
pub async fn a_close_gets_through<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let data = vec![7; 1 << 20];
    for round in 0..40_u32 {
        let (client, server) = pair.connect().await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut send = client.open_uni().await.unwrap();
            // As much as there is room for.
            let _ = futures_util::poll!(Box::pin(send.write_all(&data)));
            streams.push(send);
        }
        // Packets are on their way, and acknowledgements of the first ones, or not.
        runtime.sleep(Duration::from_micros(u64::from(round) * 20)).await;
        client.close(VarInt::from_u32(round), b"");
        drop((client, streams));
        let closed = ConnectionError::PeerClosed { code: VarInt::from_u32(round), reason: Bytes::new() };
        assert_eq!(server.closed().await, closed, "{round}");
    }
}

/// No task is left behind.
pub async fn endpoints_go_when_nobody_needs_them<R: Runtime>(runtime: R) {
    let tasks = || runtime.tree().live();
    let before = tasks();
    {
        let pair = Pair::new(&runtime).await;
        let (client, server) = pair.connect().await;
        assert!(tasks() > before);
        let Pair { server: endpoint, client: other, .. } = pair;
        drop((endpoint, other));
        // What is open goes on.
        let mut send = client.open_uni().await.unwrap();
        send.write_all(b"still there").await.unwrap();
        send.finish().unwrap();
        assert_eq!(server.accept_uni().await.unwrap().read_to_end(100).await.unwrap(), b"still there");
    }
    while tasks() > before {
        runtime.sleep(Duration::from_millis(10)).await;
    }
}

/// An orderly end.
pub async fn closing_waits_until_peers_heard<R: Runtime>(runtime: R) {
    let pair = Pair::new(&runtime).await;
    let (client, server) = pair.connect().await;
    pair.server.close(VarInt::from_u32(9), b"going");
    assert!(pair.server.accept().await.is_none());
    pair.server.wait_idle().await;
    assert_eq!(server.close_reason(), Some(ConnectionError::LocallyClosed));
    assert!(matches!(client.close_reason(), Some(ConnectionError::PeerClosed { .. })));
    assert_eq!(pair.server.stats().connections, 0);
    let gone = pair.server.connect(&pair.config, pair.client.local_addr(), NAME).err();
    assert_eq!(gone, Some(shroud_quic::ConnectError::Closed));
}

/// And protocols that do not meet.
pub async fn wrong_certificates_are_refused<R: Runtime>(runtime: R) {
    let (identity, other) = (Identity::generate(), Identity::generate());
    let pair = Pair::with(&runtime, &identity.server(), other.client()).await;
    let accept = async { pair.server.accept().await.unwrap().await };
    let (client, server) = join(pair.connecting(), accept).await;
    assert!(matches!(client, Err(ConnectionError::Transport { .. })), "{client:?}");
    assert!(matches!(server, Err(ConnectionError::PeerTransport { .. })), "{server:?}");
    // Protocols that do not meet.
    let mut tls = identity.client_tls();
    tls.alpn_protocols = vec![b"else".to_vec()];
    let config = shroud_quic::ClientConfig::new(Arc::new(tls), &Transport::default()).unwrap();
    let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let error = endpoint.connect(&config, pair.server.local_addr(), NAME).unwrap().await.err();
    assert!(matches!(error, Some(ConnectionError::PeerTransport { .. })), "{error:?}");
}
