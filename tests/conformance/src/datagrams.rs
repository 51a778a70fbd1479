//! UDP: bursts, batches, segments, truncation, congestion marks.

use crate::harness::{Spawn, assert_patterned, everywhere, loopback, patterned};
use futures_lite::future::{poll_once, yield_now};
use shroud_runtime::net::{DatagramExt, MAX_BATCH};
use shroud_runtime::sync::channel;
use shroud_runtime::{Backend, Datagram, DatagramOptions, Ecn, RecvMeta, Runtime, RuntimeExt, Transmit};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Datagrams on their way at most, so that the receiver's default buffer holds them all and none is dropped.
const WINDOW: usize = 32;

/// A socket on a free port and its address.
async fn bound<R: Runtime>(rt: &R) -> (R::Socket, SocketAddr) {
    let socket = rt.bind(loopback(), DatagramOptions::default()).await.expect("it binds");
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}

/// One datagram, to one destination.
fn single(contents: &[u8], destination: SocketAddr) -> Transmit<'_> {
    Transmit { destination, ecn: None, contents, segment_size: None, source: None }
}

/// Takes datagrams one by one, whether or not the kernel has coalesced them.
struct Inbox<D> {
    socket: D,
    waiting: VecDeque<(RecvMeta, Vec<u8>)>,
    buffers: Vec<Vec<u8>>,
}

impl<D: Datagram> Inbox<D> {
    fn new(socket: D, batch: usize) -> Self {
        Self { socket, waiting: VecDeque::new(), buffers: vec![vec![0; 65_536]; batch] }
    }

    async fn next(&mut self) -> (RecvMeta, Vec<u8>) {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return next;
            }
            let (socket, buffers) = (&self.socket, &mut self.buffers);
            let mut metas = vec![RecvMeta::empty(); buffers.len()];
            let count = poll_fn(|cx| {
                let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
                socket.poll_recv(cx, &mut slices, &mut metas)
            })
            .await
            .expect("it receives");
            assert!(count > 0 && count <= buffers.len());
            for (meta, buffer) in metas.into_iter().zip(buffers).take(count) {
                if meta.len == 0 {
                    self.waiting.push_back((meta, Vec::new()));
                }
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    self.waiting.push_back((meta, datagram.to_vec()));
                }
            }
        }
    }
}

/// Thousands of datagrams of all sizes through a small send buffer: each arrives whole and unmixed.
pub fn udp_burst_under_back_pressure<B: Backend>(backend: &B) {
    const DATAGRAMS: u64 = 4000;
    let size = |number: u64| 8 + usize::try_from(number * 7919 % 1390).expect("it is small");
    everywhere(backend, move |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let options = DatagramOptions { send_buffer: Some(4096), ..DatagramOptions::default() };
        let sender = rt.bind(loopback(), options).await.expect("it binds");
        let from = sender.local_addr().expect("it is bound");
        let (acknowledge, acknowledged) = channel::bounded(DATAGRAMS as usize);
        let task = rt.start("sender", async move {
            let (mut sent, mut open) = (0, WINDOW);
            while sent < DATAGRAMS {
                while open == 0 || acknowledged.len() > WINDOW / 2 {
                    acknowledged.recv().await.expect("the receiver lives");
                    open += 1;
                }
                let burst: Vec<_> = (sent..DATAGRAMS)
                    .take(open)
                    .map(|number| {
                        [&number.to_be_bytes()[..], &patterned(number, 8, size(number) - 8)].concat()
                    })
                    .collect();
                let transmits: Vec<_> = burst.iter().map(|contents| single(contents, address)).collect();
                sender.send_all(&transmits).await.expect("it sends");
                sent += burst.len() as u64;
                open -= burst.len();
            }
        });
        let mut inbox = Inbox::new(receiver, MAX_BATCH);
        for number in 0..DATAGRAMS {
            let (meta, bytes) = inbox.next().await;
            assert_eq!(meta.source, from);
            assert_eq!(bytes.len(), size(number), "datagram {number}");
            assert_eq!(&bytes[..8], &number.to_be_bytes()[..]);
            assert_patterned(number, 8, &bytes[8..]);
            // The sender has ended once everything was sent.
            let _ = acknowledge.send(()).await;
        }
        assert_eq!(task.await, Ok(()));
    });
}

/// A full batch handed over in as few calls as the socket takes arrives in order, received in batches of any size.
pub fn batches_arrive_in_order<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for batch in [1, 3, MAX_BATCH] {
            let (receiver, address) = bound(&rt).await;
            let (sender, _) = bound(&rt).await;
            let contents: Vec<_> = (0..MAX_BATCH as u64).map(|number| patterned(number, 0, 100)).collect();
            let transmits: Vec<_> = contents.iter().map(|contents| single(contents, address)).collect();
            let taken = poll_fn(|cx| sender.poll_send(cx, &transmits)).await.expect("it sends");
            assert!(taken >= 1 && taken <= transmits.len());
            sender.send_all(&transmits[taken..]).await.expect("it sends");
            assert_eq!(poll_fn(|cx| sender.poll_send(cx, &[])).await.expect("nothing is sent"), 0);
            let mut inbox = Inbox::new(receiver, batch);
            for number in 0..MAX_BATCH as u64 {
                let (_, bytes) = inbox.next().await;
                assert_eq!(bytes.len(), 100);
                assert_patterned(number, 0, &bytes);
            }
        }
    });
}

/// A train of segments is cut into datagrams, the last one shorter: as many as the socket claims it can.
pub fn a_train_of_segments_arrives_as_datagrams<B: Backend>(backend: &B) {
    const SEGMENT: usize = 1200;
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let (sender, _) = bound(&rt).await;
        let claimed = sender.capabilities().send_segments;
        assert!(claimed >= 1);
        let mut inbox = Inbox::new(receiver, 4);
        for segments in [1, 2, 10, 30].map(|wanted| claimed.min(wanted)) {
            for last in [1, 500, SEGMENT] {
                let train = patterned(4, 0, (segments - 1) * SEGMENT + last);
                let transmit = Transmit { segment_size: Some(SEGMENT), ..single(&train, address) };
                sender.send_all(&[transmit]).await.expect("it sends");
                for expected in train.chunks(SEGMENT) {
                    let (_, bytes) = inbox.next().await;
                    assert_eq!(bytes.len(), expected.len());
                    assert!(bytes == expected);
                }
            }
        }
    });
}

/// A datagram longer than its buffer loses its end, and the next one is whole.
pub fn a_long_datagram_is_cut<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let (sender, _) = bound(&rt).await;
        sender.send_to(&patterned(1, 0, 1000), address).await.expect("it sends");
        let mut buffer = [0; 100];
        let meta = receiver.recv(&mut buffer).await.expect("it receives");
        assert_eq!(meta.len, 100);
        assert_patterned(1, 0, &buffer);
        sender.send_to(b"next", address).await.expect("it sends");
        let meta = receiver.recv(&mut buffer).await.expect("it receives");
        assert_eq!(&buffer[..meta.len], b"next");
    });
}

/// 65,507 bytes, the most that IPv4 allows, and none at all; one more byte is an error.
pub fn the_largest_and_the_empty_datagram_pass<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let (sender, _) = bound(&rt).await;
        let mut buffer = vec![0; 65_536];
        for size in [65_507, 0, 1] {
            sender.send_to(&patterned(2, 0, size), address).await.expect("it sends");
            let meta = receiver.recv(&mut buffer).await.expect("it receives");
            assert_eq!(meta.len, size);
            assert_patterned(2, 0, &buffer[..size]);
        }
        assert!(sender.send_to(&vec![0; 65_508], address).await.is_err());
        sender.send_to(b"still well", address).await.expect("it sends after an error");
        let meta = receiver.recv(&mut buffer).await.expect("it receives");
        assert_eq!(&buffer[..meta.len], b"still well");
    });
}

/// A socket that claims congestion marks sets and reports all of them.
pub fn congestion_marks_pass_when_claimed<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let (sender, _) = bound(&rt).await;
        let claimed = sender.capabilities().ecn && receiver.capabilities().ecn;
        let mut buffer = [0; 100];
        for ecn in [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce), None] {
            sender.send_all(&[Transmit { ecn, ..single(b"marked", address) }]).await.expect("it sends");
            let meta = receiver.recv(&mut buffer).await.expect("it receives");
            assert_eq!(&buffer[..meta.len], b"marked");
            if claimed {
                assert_eq!(meta.ecn, ecn);
            }
        }
    });
}

/// The source is the sender's address; a socket on a wildcard tells where a datagram was sent to, and may choose from
/// where it sends.
pub fn addresses_are_reported_and_chosen<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let wildcard = SocketAddr::from(([0, 0, 0, 0], 0));
        let socket = rt.bind(wildcard, DatagramOptions::default()).await.expect("it binds");
        let port = socket.local_addr().expect("it is bound").port();
        assert_ne!(port, 0);
        let mut buffer = [0; 100];
        for last in [1, 2, 3] {
            let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
            let transmit = Transmit { source: Some(local), ..single(b"from one of many", address) };
            socket.send_all(&[transmit]).await.expect("it sends");
            let meta = receiver.recv(&mut buffer).await.expect("it receives");
            assert_eq!(meta.source, SocketAddr::new(local, port));
            receiver.send_to(b"reply", meta.source).await.expect("it sends");
            let meta = socket.recv(&mut buffer).await.expect("it receives");
            assert_eq!((meta.source, &buffer[..meta.len]), (address, &b"reply"[..]));
            assert_eq!(meta.destination, Some(local));
        }
    });
}

/// Tasks that send on one socket at once do not disturb each other, while another receives on it.
pub fn many_tasks_send_on_one_socket<B: Backend>(backend: &B) {
    const TASKS: u64 = 8;
    const EACH: u64 = 100;
    everywhere(backend, |rt| async move {
        let (echo, echo_address) = bound(&rt).await;
        let (socket, address) = bound(&rt).await;
        let socket = Arc::new(socket);
        let echo = Arc::new(echo);
        let echoing = Arc::clone(&echo);
        let echo_task = rt.start("echo", async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let meta = echoing.recv(&mut buffer).await.expect("it receives");
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    echoing.send_to(datagram, meta.source).await.expect("it sends");
                }
            }
        });
        let (permit, permits) = channel::bounded(WINDOW);
        for _ in 0..WINDOW {
            permit.send(()).await.expect("the channel is open");
        }
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (socket, permits) = (Arc::clone(&socket), permits.clone());
                rt.start("sender", async move {
                    for number in 0..EACH {
                        permits.recv().await.expect("the receiver lives");
                        let contents =
                            [&task.to_be_bytes()[..], &number.to_be_bytes(), &patterned(task, number, 500)];
                        socket.send_to(&contents.concat(), echo_address).await.expect("it sends");
                    }
                })
            })
            .collect();
        let mut next = [0; TASKS as usize];
        let mut buffer = vec![0; 65_536];
        let mut left = TASKS * EACH;
        while left > 0 {
            let meta = socket.recv(&mut buffer).await.expect("it receives");
            assert_eq!(meta.source, echo_address);
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                let [task, number] = [0, 8]
                    .map(|start| u64::from_be_bytes(bytes[start..start + 8].try_into().expect("8 bytes")));
                let expected = &mut next[usize::try_from(task).expect("it is small")];
                assert_eq!(number, *expected, "task {task}");
                *expected += 1;
                assert_eq!(bytes.len(), 516);
                assert_patterned(task, number, &bytes[16..]);
                left -= 1;
                permit.send(()).await.expect("the channel is open");
            }
        }
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        let _ = echo_task.cancel().await;
        assert_eq!(socket.local_addr().expect("it is bound"), address);
    });
}

/// Receives that are dropped while they wait lose no datagram.
pub fn a_dropped_receive_loses_nothing<B: Backend>(backend: &B) {
    const DATAGRAMS: u64 = 200;
    everywhere(backend, |rt| async move {
        let (receiver, address) = bound(&rt).await;
        let (sender, _) = bound(&rt).await;
        let (acknowledge, acknowledged) = channel::bounded(1);
        let runtime = rt.clone();
        let task = rt.start("receiver", async move {
            let mut buffer = vec![0; 65_536];
            for number in 0..DATAGRAMS {
                let mut turn = number;
                let meta = loop {
                    turn += 1;
                    let waited = match turn % 3 {
                        0 => runtime
                            .timeout(Duration::from_micros(turn % 90), receiver.recv(&mut buffer))
                            .await
                            .ok(),
                        _ => poll_once(receiver.recv(&mut buffer)).await,
                    };
                    match waited {
                        Some(received) => break received.expect("it receives"),
                        None => yield_now().await,
                    }
                };
                assert_eq!(&buffer[..meta.len], &number.to_be_bytes()[..]);
                acknowledge.send(()).await.expect("the sender lives");
            }
        });
        for number in 0..DATAGRAMS {
            sender.send_to(&number.to_be_bytes(), address).await.expect("it sends");
            acknowledged.recv().await.expect("the receiver lives");
        }
        assert_eq!(task.await, Ok(()));
    });
}

/// Sending to a port that nobody has does not break the socket.
pub fn a_closed_port_disturbs_nobody<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (gone, nobody) = bound(&rt).await;
        drop(gone);
        let (receiver, address) = bound(&rt).await;
        let (sender, from) = bound(&rt).await;
        let mut buffer = [0; 100];
        for _ in 0..10 {
            sender.send_to(b"anybody?", nobody).await.expect("it sends");
            sender.send_to(b"you!", address).await.expect("it sends");
            let meta = receiver.recv(&mut buffer).await.expect("it receives");
            assert_eq!((meta.source, &buffer[..meta.len]), (from, &b"you!"[..]));
            receiver.send_to(b"yes", from).await.expect("it sends");
            let meta = sender.recv(&mut buffer).await.expect("it receives");
            assert_eq!(&buffer[..meta.len], b"yes");
        }
    });
}
