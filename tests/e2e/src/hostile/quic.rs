//! QUIC itself.

use super::harness::{InPlace, breathe, bystander, settled, withstand, withstand_within};
use super::stage::{Place, at};
use crate::quic::support::{Identity, NAME, PROTOCOL, local};
use crate::quic_hostile::tamper::{Client, integer, integers};
use crate::quic_hostile::{first_flight, take_all};
use shroud::runtime::net::DatagramExt;
use shroud::runtime::{DatagramOptions, Runtime, RuntimeExt, Task};
use shroud_quic::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Limits, ServerConfig, TransportErrorCode, VarInt,
};
use std::time::Duration;

/// Limits that are over soon.
fn impatient() -> Limits {
    Limits { handshake_time: Duration::from_secs(1), ..Limits::default() }
}

/// Who is attacked.
struct Attacked<R: Runtime> {
    identity: Identity,
    server: Endpoint<R>,
    _serving: Task<()>,
}

/// A server that sends back what its first client says, and what later ones say is let go of. The first is a bystander.
async fn attacked<R: Runtime>(
    runtime: &R,
    limits: Limits,
) -> (Attacked<R>, InPlace<(Endpoint<R>, Connection)>) {
    attacked_idle(runtime, limits, Duration::from_secs(1)).await
}

/// The same, where connections may be idle for so long.
async fn attacked_idle<R: Runtime>(
    runtime: &R,
    limits: Limits,
    idle_time: Duration,
) -> (Attacked<R>, InPlace<(Endpoint<R>, Connection)>) {
    let identity = Identity::generate();
    let mut config = ServerConfig { limits, ..identity.server() };
    config.transport.idle_timeout = Some(idle_time);
    let serve = move |runtime: R| async move {
        let server = Endpoint::server(&runtime, local(), &EndpointConfig::default(), &config).await.unwrap();
        let serving = runtime.spawn("serve", echo_one(runtime.clone(), server.clone()));
        (server, serving)
    };
    let (server, serving) = at(runtime, Place::Server, serve).await;
    let (config, address) = (identity.client(), server.local_addr());
    let connect = move |runtime: R| async move {
        let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
        let connection = client.connect(&config, address, NAME).unwrap().await.unwrap();
        (client, connection)
    };
    let bystander = bystander(runtime, connect).await;
    (Attacked { identity, server, _serving: serving }, bystander)
}

async fn echo_one<R: Runtime>(runtime: R, server: Endpoint<R>) {
    let Some(connecting) = server.accept().await else { return };
    let Ok(first) = connecting.await else { return };
    let _others = take_all(&runtime, &server);
    while let Ok((mut send, mut receive)) = first.accept_bi().await {
        let Ok(said) = receive.read_to_end(100).await else { return };
        if send.write_all(&said).await.is_err() || send.finish().is_err() {
            return;
        }
    }
}

/// Waits until only the bystander is left.
async fn settle<R: Runtime>(runtime: &R, server: &Endpoint<R>) {
    quiet(runtime, server).await;
    settled(runtime);
}

async fn quiet<R: Runtime>(runtime: &R, server: &Endpoint<R>) {
    while server.stats().connections > 1 || server.stats().half_open > 0 {
        runtime.sleep(Duration::from_millis(20)).await;
    }
}

/// First packets without end from addresses that never answer; what is sent to them is at most three times what came.
pub async fn first_packets<R: Runtime>(runtime: R) {
    let (Attacked { identity, server, _serving }, mut bystander) = attacked(&runtime, impatient()).await;
    let to = server.local_addr();
    let flood = || async {
        let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
        let (mut sent, before) = (0, server.stats().sent_bytes);
        for round in 0..1000 {
            for datagram in first_flight(&runtime, &identity, to) {
                sent += datagram.len() as u64;
                let _ = socket.send_to(&datagram, to).await;
            }
            if round % 5 == 0 {
                breathe(&runtime).await;
            }
        }
        (sent, server.stats().sent_bytes - before)
    };
    let counts = withstand(&runtime, "first packets", &mut bystander, flood).await;
    let (sent, answered) =
        counts.iter().fold((0, 0), |sum, count: &(u64, u64)| (sum.0 + count.0, sum.1 + count.1));
    settle(&runtime, &server).await;
    // The bystander's own packets are few; each half-open connection may have gone over by the rest of a datagram.
    let most = 3 * sent + 1200 * Limits::default().half_open as u64;
    assert!(answered <= most, "{answered} bytes for {sent}");
    println!("flood first packets: {answered} bytes were sent for {sent}");
}

/// Random bytes under headers that look right, and packets of the bystander's connection that are not.
pub async fn garbage<R: Runtime>(runtime: R) {
    let (Attacked { identity, server, _serving }, mut bystander) = attacked(&runtime, impatient()).await;
    let to = server.local_addr();
    let whole = first_flight(&runtime, &identity, to).remove(0);
    let flood = || async {
        let socket = runtime.bind(local(), DatagramOptions::default()).await.unwrap();
        let mut bytes = vec![0; 1400];
        for round in 0..15_000_usize {
            let length = round % bytes.len();
            match round % 4 {
                0 => runtime.fill(&mut bytes[..length]),
                // Cut and bent first packets.
                _ => {
                    bytes[..whole.len()].copy_from_slice(&whole);
                    bytes[round % whole.len()] ^= 1 << (round % 8);
                }
            }
            let _ = socket.send_to(&bytes[..length], to).await;
            if round % 20 == 0 {
                breathe(&runtime).await;
            }
        }
    };
    withstand(&runtime, "garbage", &mut bystander, flood).await;
    settle(&runtime, &server).await;
}

/// Up to the limit, and three times as many: the server refuses in its first packet, and keeps whom it has.
pub async fn quic_connections_past_the_limit<R: Runtime>(runtime: R) {
    const CONNECTIONS: usize = 100;
    let limits = Limits {
        connections: CONNECTIONS,
        half_open: CONNECTIONS,
        half_open_free: CONNECTIONS,
        ..impatient()
    };
    // However long it takes: those that are held must not end meanwhile.
    let (Attacked { identity, server, _serving }, mut bystander) =
        attacked_idle(&runtime, limits, Duration::from_secs(600)).await;
    let (to, config) = (server.local_addr(), identity.client());
    let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let flood = || async {
        quiet(&runtime, &server).await;
        let mut held = Vec::new();
        for _ in 1..CONNECTIONS {
            held.push(client.connect(&config, to, NAME).unwrap().await.expect("within the limit"));
        }
        for _ in 0..2 * CONNECTIONS {
            let refused = client.connect(&config, to, NAME).unwrap().await.err();
            let right = matches!(
                refused,
                Some(ConnectionError::PeerTransport { code: TransportErrorCode::CONNECTION_REFUSED, .. })
            );
            assert!(right, "{refused:?}");
        }
        for connection in &held {
            assert_eq!(connection.close_reason(), None, "still served");
            connection.close(VarInt::from_u32(0), b"");
        }
    };
    withstand(&runtime, "connections past the limit", &mut bystander, flood).await;
    settle(&runtime, &server).await;
    client.connect(&config, to, NAME).unwrap().await.expect("there is room again");
}

/// Connections full of what nobody reads, closed one after the other: what is closed holds no memory, though it is remembered
/// for three probe time-outs. With their state kept, this would be 40 MiB.
pub async fn closed_connections<R: Runtime>(runtime: R) {
    let (Attacked { identity, server, _serving }, mut bystander) = attacked(&runtime, impatient()).await;
    let (to, config) = (server.local_addr(), identity.client());
    let client = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
    let data = vec![7; 1_000_000];
    let flood = || async {
        for _ in 0..100 {
            let connection = client.connect(&config, to, NAME).unwrap().await.expect("room");
            let mut send = connection.open_uni().await.unwrap();
            send.write_all(&data).await.unwrap();
            send.finish().unwrap();
            // All of it has been acknowledged.
            assert_eq!(send.stopped().await, Ok(None));
            connection.close(VarInt::from_u32(0), b"");
        }
    };
    withstand_within(&runtime, "closed connections", 20 << 20, &mut bystander, flood).await;
    settle(&runtime, &server).await;
}

/// Packets full of the same frames, on connections that are in order otherwise.
async fn frames<R: Runtime>(
    runtime: &R,
    name: &str,
    packets: u64,
    make: impl Fn(&[u8], u64) -> Vec<u8> + Send + Sync,
) {
    let (Attacked { identity, server, _serving }, mut bystander) = attacked(runtime, impatient()).await;
    let to = server.local_addr();
    let flood = || async {
        for _ in 0..2 {
            let mut hostile = Client::connect(runtime, &identity, to, PROTOCOL).await;
            let own = hostile.plan.own_id();
            for packet in 0..packets {
                if hostile.lost().is_some() {
                    break;
                }
                hostile.inject(make(&own, packet)).await;
                if packet % 10 == 0 {
                    hostile.step(Duration::from_micros(200)).await;
                }
            }
            println!("flood {name}: {}", hostile.lost().map_or("went on".to_owned(), ToString::to_string));
        }
    };
    withstand(runtime, name, &mut bystander, flood).await;
    settle(runtime, &server).await;
}

/// Ids that are given and retired without end (CVE-2024-22189), and the server's own that are retired as fast.
pub async fn connection_ids<R: Runtime>(runtime: R) {
    // The server goes over to each: all are the client's own, under new numbers.
    frames(&runtime, "new ids that retire the old ones", 1000, |own: &[u8], packet: u64| {
        let id = |n| {
            let sequence = 20 * packet + n + 1;
            [integers(&[0x18, sequence, sequence, own.len() as u64]), own.to_vec(), vec![n as u8; 16]]
                .concat()
        };
        (0..20).flat_map(id).collect()
    })
    .await;
    frames(&runtime, "ids retired again and again", 1000, |_: &[u8], packet: u64| {
        (0..100).flat_map(|n| integers(&[0x19, (packet * 100 + n) % 4])).collect()
    })
    .await;
}

/// Challenges, each of which wants an answer, and answers to none.
pub async fn paths<R: Runtime>(runtime: R) {
    let challenges = |kind: u64| {
        move |_: &[u8], packet: u64| -> Vec<u8> {
            (0..90).flat_map(|n| [integer(kind), (packet * 90 + n).to_be_bytes().to_vec()].concat()).collect()
        }
    };
    frames(&runtime, "challenges", 800, challenges(0x1a)).await;
    frames(&runtime, "answers to no challenge", 800, challenges(0x1b)).await;
}

/// Acknowledgements with as many ranges as a packet holds, the same again and again, and of what was never sent.
pub async fn acknowledgements<R: Runtime>(runtime: R) {
    frames(&runtime, "pings", 1000, |_: &[u8], _: u64| vec![1; 900]).await;
    frames(&runtime, "old acknowledgements", 1000, |_: &[u8], _: u64| {
        integers(&[0x02, 0, 0, 0, 0]).repeat(150)
    })
    .await;
    frames(&runtime, "acknowledgements of what was never sent", 10, |_: &[u8], packet: u64| {
        integers(&[0x02, (1 << 30) + packet, 0, 0, 0])
    })
    .await;
    frames(&runtime, "windows", 1000, |_: &[u8], packet: u64| {
        integers(&[0x10, 1 << 20 | packet]).repeat(150)
    })
    .await;
}

/// Handshake data after the handshake, in pieces out of order with holes between them.
pub async fn handshake_data<R: Runtime>(runtime: R) {
    frames(&runtime, "handshake data with holes", 500, |_: &[u8], packet: u64| {
        (0..100).flat_map(|n| integers(&[0x06, 2 * (packet * 100 + n) + 1, 1, 0])).collect()
    })
    .await;
    frames(&runtime, "stream data with holes", 1000, |_: &[u8], packet: u64| {
        (0..100).flat_map(|n| integers(&[0x0e, 0, 2 * (packet * 100 + n) + 1, 1, 0])).collect()
    })
    .await;
}

/// Datagrams that nobody reads, and streams that are opened and torn.
pub async fn datagrams<R: Runtime>(runtime: R) {
    frames(&runtime, "datagrams that nobody reads", 1000, |_: &[u8], _: u64| {
        [vec![0x30], vec![7; 900]].concat()
    })
    .await;
    frames(&runtime, "empty datagrams", 1000, |_: &[u8], _: u64| [0x31, 0].repeat(450)).await;
    frames(&runtime, "streams that are opened and reset", 1000, |_: &[u8], packet: u64| {
        (0..25)
            .flat_map(|n| {
                let id = 4 * (packet * 25 + n);
                [integers(&[0x0a, id, 1, 0]), integers(&[0x04, id, 0, 1])].concat()
            })
            .collect()
    })
    .await;
}
