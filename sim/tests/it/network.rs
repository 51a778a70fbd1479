//! Links that lose, delay, part and mangle.

use crate::support::{PORT, any, connect, echo, exchange, pair};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::{DatagramExt, ListenerExt};
use shroud_runtime::{
    ConnectOptions, Datagram, DatagramOptions, Ecn, ListenOptions, Runtime, RuntimeExt, Transmit,
};
use shroud_sim::chance::Rate;
use shroud_sim::{HostConfig, LinkConfig, SimConfig, Simulation};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn streams_are_whole_over_the_worst_links() {
    for seed in 0..30 {
        let (simulation, server, client) = pair(seed);
        simulation.universe().change_links(|link| {
            *link = LinkConfig { loss: Rate::percent(20), ..LinkConfig::lossy() };
        });
        server.start(1, echo);
        let program = client.start(1, |rt| async move {
            let mut stream = connect(&rt).await;
            let bytes: Vec<u8> = (0..100_000_u32).map(|position| ((position * 7) >> 3) as u8).collect();
            for chunk in bytes.chunks(20_000) {
                exchange(&mut stream, chunk).await.unwrap();
            }
            stream.close().await.unwrap();
            stream.read(&mut [0; 10]).await.unwrap()
        });
        let outcome = simulation.run_while(|| program.is_running());
        assert!(outcome.is_done(), "{outcome}");
        assert_eq!(program.results(), [Some(Ok(0))], "seed {seed}");
    }
}

#[test]
fn a_partition_stops_streams_and_healing_lets_them_go_on() {
    for one_way in [None, Some(true), Some(false)] {
        let (simulation, server, client) = pair(5);
        server.start(1, echo);
        let program = client.start(1, |rt| async move {
            let mut stream = connect(&rt).await;
            exchange(&mut stream, b"before").await.unwrap();
            rt.sleep(2 * SECOND).await;
            let start = rt.now();
            exchange(&mut stream, &[5; 300_000]).await.unwrap();
            rt.now() - start
        });
        simulation.run_until(SECOND);
        let (near, far) = (client.id(), server.id());
        match one_way {
            None => simulation.universe().partition(&[near], &[far]),
            Some(true) => simulation.universe().change_link(near, far, |link| link.up = false),
            Some(false) => simulation.universe().change_link(far, near, |link| link.up = false),
        }
        simulation.run_until(30 * SECOND);
        assert!(program.is_running());
        simulation.universe().heal();
        simulation.run_while(|| program.is_running());
        let took = program.results().pop().flatten().unwrap().unwrap();
        assert!(took > 20 * SECOND && took < 100 * SECOND, "{took:?}");
    }
}

#[test]
fn a_partition_without_end_times_a_stream_out() {
    let (simulation, server, client) = pair(5);
    server.start(1, echo);
    let program = client.start(1, |rt| async move {
        let mut stream = connect(&rt).await;
        stream.write_all(b"anybody?").await.unwrap();
        rt.sleep(SECOND).await;
        stream.write_all(b"anybody?").await.unwrap();
        loop {
            match stream.read(&mut [0; 100]).await {
                Ok(length) => assert!(length > 0),
                Err(error) => return error.kind(),
            }
        }
    });
    simulation.run_until(SECOND / 2);
    simulation.universe().partition(&[client.id()], &[server.id()]);
    let outcome = simulation.run_while(|| program.is_running());
    assert_eq!(program.results(), [Some(Ok(ErrorKind::TimedOut))]);
    assert!(outcome.time > 600 * SECOND && outcome.time < 1200 * SECOND, "{outcome}");
}

#[test]
fn connects_are_refused_time_out_and_wait_for_a_full_queue() {
    let (simulation, server, client) = pair(6);
    server.start(1, |rt| async move {
        let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
        let mut listener = rt.listen(any(), options).await.unwrap();
        rt.sleep(20 * SECOND).await;
        loop {
            listener.accept().await.unwrap();
        }
    });
    let address = SocketAddr::new(server.address(), PORT);
    let program = client.start(1, move |rt| async move {
        rt.sleep(SECOND).await;
        let kind = |result: std::io::Result<_>| result.map(|_| ()).map_err(|error| error.kind());
        let nobody = SocketAddr::new(address.ip(), 81);
        assert_eq!(
            kind(rt.connect(nobody, ConnectOptions::default()).await),
            Err(ErrorKind::ConnectionRefused)
        );
        let nowhere = SocketAddr::from(([10, 9, 9, 9], PORT));
        assert_eq!(kind(rt.connect(nowhere, ConnectOptions::default()).await), Err(ErrorKind::TimedOut));
        let mut streams = Vec::new();
        let patient = ConnectOptions { timeout: None, ..ConnectOptions::default() };
        let start = rt.now();
        for _ in 0..3 {
            streams.push(rt.connect(address, patient).await.unwrap());
        }
        rt.now() - start
    });
    simulation.run_while(|| program.is_running());
    let waited = program.results().pop().flatten().unwrap().unwrap();
    assert!(waited > 5 * SECOND, "the third waited for a free place: {waited:?}");
}

/// Sends numbered datagrams and returns what arrives, as (number, whole).
fn datagrams(link: LinkConfig, count: u64, size: usize) -> Vec<(u64, bool)> {
    let simulation = Simulation::new(SimConfig { link, ..SimConfig::seed(8) });
    let server = simulation.host(HostConfig::new("server"));
    let client = simulation.host(HostConfig::new("client"));
    let address = SocketAddr::new(server.address(), PORT);
    let options = DatagramOptions { receive_buffer: Some(64 << 20), ..DatagramOptions::default() };
    let program = server.start(1, move |rt| async move {
        let socket = rt.bind(any(), options).await.unwrap();
        let mut seen = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok(meta) = rt.timeout(10 * SECOND, socket.recv(&mut buffer)).await {
            let bytes = &buffer[..meta.unwrap().len];
            let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
            seen.push((number, bytes[8..].iter().all(|byte| *byte == 7)));
        }
        seen
    });
    client.start(1, move |rt| async move {
        let socket = rt.bind(SocketAddr::from(([0, 0, 0, 0], 0)), DatagramOptions::default()).await.unwrap();
        rt.sleep(SECOND).await;
        for number in 0..count {
            let mut bytes = vec![7; size];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            socket.send_to(&bytes, address).await.unwrap();
        }
    });
    simulation.run_while(|| program.is_running());
    program.results().pop().flatten().unwrap().unwrap()
}

#[test]
fn datagrams_are_lost_doubled_reordered_and_mangled_as_the_link_says() {
    const COUNT: u64 = 10_000;
    let ordered = |seen: &[(u64, bool)]| seen.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    let good = LinkConfig::local();
    let seen = datagrams(good, COUNT, 100);
    assert_eq!(seen, (0..COUNT).map(|number| (number, true)).collect::<Vec<_>>());
    let lossy = datagrams(LinkConfig { loss: Rate::percent(10), ..good }, COUNT, 100);
    assert!((8_800..9_200).contains(&lossy.len()) && ordered(&lossy), "{}", lossy.len());
    let doubled = datagrams(LinkConfig { duplication: Rate::percent(10), ..good }, COUNT, 100);
    assert!((10_800..11_200).contains(&doubled.len()), "{}", doubled.len());
    let mixed =
        datagrams(LinkConfig { reordering: Rate::percent(10), jitter: SECOND / 1000, ..good }, COUNT, 100);
    assert!(mixed.len() == 10_000 && !ordered(&mixed));
    let mangled = datagrams(LinkConfig { corruption: Rate::percent(10), ..good }, COUNT, 100);
    let bad = mangled.iter().filter(|(_, whole)| !whole).count();
    assert_eq!(mangled.len(), 10_000);
    assert!((500..1_500).contains(&bad), "{bad}");
}

#[test]
fn a_slow_link_holds_senders_back_and_a_small_packet_limit_swallows_large_ones() {
    // 300 kB at 100 kB/s: the socket's buffer holds the sender back, so that the link's queue loses nothing.
    let slow = LinkConfig { bandwidth: Some(100_000), queue: 1 << 20, ..LinkConfig::local() };
    let seen = datagrams(slow, 300, 1000);
    assert_eq!(seen.len(), 300);
    let narrow = LinkConfig { bandwidth: Some(100_000), queue: 100_000, ..LinkConfig::local() };
    let seen = datagrams(narrow, 300, 1000);
    assert!((90..299).contains(&seen.len()), "{}", seen.len());
    let small = LinkConfig { mtu: 1280, ..LinkConfig::local() };
    assert_eq!(datagrams(small, 10, 1252).len(), 10);
    assert_eq!(datagrams(small, 10, 1253).len(), 0);
}

#[test]
fn what_the_first_hop_cannot_carry_is_an_error_and_marks_travel() {
    let (simulation, server, client) = pair(8);
    let address = SocketAddr::new(server.address(), PORT);
    let program = server.start(1, |rt| async move {
        let socket = rt.bind(any(), DatagramOptions::default()).await.unwrap();
        let mut buffer = vec![0; 65_536];
        let meta = socket.recv(&mut buffer).await.unwrap();
        (meta.len, meta.stride, meta.ecn, meta.destination)
    });
    let sent = client.start(1, move |rt| async move {
        let socket = rt.bind(SocketAddr::from(([0, 0, 0, 0], 0)), DatagramOptions::default()).await.unwrap();
        assert!(!socket.capabilities().may_fragment);
        rt.sleep(SECOND).await;
        let error = socket.send_to(&[0; 1473], address).await.unwrap_err();
        let contents = [1; 2500];
        let train = Transmit {
            destination: address,
            ecn: Some(Ecn::Ect1),
            contents: &contents,
            segment_size: Some(1000),
            source: None,
        };
        socket.send_all(&[train]).await.unwrap();
        error.raw_os_error()
    });
    simulation.run_to_end();
    // EMSGSIZE
    assert_eq!(sent.results(), [Some(Ok(Some(90)))]);
    let (len, stride, ecn, destination) = program.results().pop().flatten().unwrap().unwrap();
    assert!(len >= 1000 && stride == 1000, "{len} {stride}");
    assert_eq!((ecn, destination), (Some(Ecn::Ect1), Some(address.ip())));
}

#[test]
fn an_unread_byte_turns_a_close_into_a_reset() {
    let (simulation, server, client) = pair(8);
    server.start(1, |rt| async move {
        let mut listener = rt.listen(any(), ListenOptions::default()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        rt.sleep(SECOND).await;
        drop(stream);
        std::future::pending::<()>().await;
    });
    let program = client.start(1, |rt| async move {
        let mut stream = connect(&rt).await;
        stream.write_all(b"nobody reads this").await.unwrap();
        stream.read(&mut [0; 10]).await.unwrap_err().kind()
    });
    simulation.run_while(|| program.is_running());
    assert_eq!(program.results(), [Some(Ok(ErrorKind::ConnectionReset))]);
}
