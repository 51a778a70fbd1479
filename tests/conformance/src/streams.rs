//! TCP: back-pressure, half-close, reset, many connections, cancel safety.

use crate::harness::{Flag, Spawn, alone, assert_patterned, everywhere, loopback, patterned};
use futures_lite::future::{poll_once, yield_now};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::flow::{join, join_all, map_unordered, try_join_all};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::sync::channel;
use shroud_runtime::{Backend, ByteStream, ConnectOptions, ListenOptions, Listener, Runtime, RuntimeExt};
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// A listener on a free port and its address.
async fn listening<R: Runtime>(rt: &R) -> (R::Listener, SocketAddr) {
    let listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Two ends of one connection.
async fn connected<R: Runtime>(rt: &R) -> (R::Stream, R::Stream) {
    let (mut listener, address) = listening(rt).await;
    let (accepted, connected) = join(listener.accept(), rt.connect(address, ConnectOptions::default())).await;
    (connected.expect("it connects"), accepted.expect("it accepts").0)
}

/// Reads to the end.
async fn read_all(stream: &mut impl ByteStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map(|_| bytes)
}

/// A writer whose reader sleeps is held up by the kernel's buffers, and every byte arrives once the reader reads.
pub fn a_slow_reader_blocks_the_writer_and_nothing_is_lost<B: Backend>(backend: &B) {
    const TOTAL: u64 = 24 << 20;
    everywhere(backend, |rt| async move {
        let (mut client, mut server) = connected(&rt).await;
        let written = Arc::new(AtomicUsize::new(0));
        let (count, done) = (Arc::clone(&written), Flag::default());
        let finished = done.clone();
        let writer = rt.start("writer", async move {
            let mut position = 0;
            while position < TOTAL {
                // Odd sizes, so that chunks and pages never line up.
                let chunk = patterned(
                    1,
                    position,
                    50_001.min(usize::try_from(TOTAL - position).expect("it is small")),
                );
                let taken = client.write(&chunk).await.expect("it writes");
                assert!(taken > 0);
                position += taken as u64;
                count.fetch_add(taken, SeqCst);
            }
            client.close().await.expect("it closes");
            finished.raise();
            client
        });
        // Until the writer makes no headway: what may be sent, which is little while nobody reads, and `unsent_bytes`.
        let mut before = usize::MAX;
        while before != written.load(SeqCst) {
            before = written.load(SeqCst);
            rt.sleep(Duration::from_millis(30)).await;
        }
        assert!(!done.is_raised() && before < 1 << 20, "{before} bytes were taken with nobody reading");
        let mut position = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = server.read(&mut buffer).await.expect("it reads");
            if length == 0 {
                break;
            }
            assert_patterned(1, position, &buffer[..length]);
            position += length as u64;
        }
        assert_eq!(position, TOTAL);
        drop(writer.await.expect("the writer ends"));
    });
}

/// One task reads while another writes, on one connection, both ways at once.
pub fn both_directions_at_once_from_two_tasks<B: Backend>(backend: &B) {
    const TOTAL: u64 = 4 << 20;
    everywhere(backend, |rt| async move {
        let (client, server) = connected(&rt).await;
        let mut tasks = Vec::new();
        for (stream, sends, expects) in [(client, 1, 2), (server, 2, 1)] {
            let (mut reader, mut writer) = stream.split();
            tasks.push(rt.start("writes", async move {
                for start in (0..TOTAL).step_by(1 << 16) {
                    writer.write_all(&patterned(sends, start, 1 << 16)).await.expect("it writes");
                }
                writer.close().await.expect("it closes");
            }));
            tasks.push(rt.start("reads", async move {
                let (mut position, mut buffer) = (0, vec![0; 10_000]);
                loop {
                    let length = reader.read(&mut buffer).await.expect("it reads");
                    if length == 0 {
                        break;
                    }
                    assert_patterned(expects, position, &buffer[..length]);
                    position += length as u64;
                }
                assert_eq!(position, TOTAL);
            }));
        }
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
    });
}

/// Closing the write side is the peer's end of file, and reading goes on: from the client's side and the server's.
pub fn half_close_works_both_ways<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for swap in [false, true] {
            let (mut first, mut second) = connected(&rt).await;
            if swap {
                std::mem::swap(&mut first, &mut second);
            }
            first.write_all(b"question").await.expect("it writes");
            first.close().await.expect("it closes");
            assert_eq!(read_all(&mut second).await.expect("it reads"), b"question");
            rt.sleep(Duration::from_millis(2)).await;
            second.write_all(b"answer").await.expect("it writes after the peer has closed");
            second.flush().await.expect("it flushes");
            let mut answer = [0; 6];
            first.read_exact(&mut answer).await.expect("it reads after closing");
            assert_eq!(&answer, b"answer");
            second.write_all(b"more").await.expect("it writes");
            second.close().await.expect("it closes");
            assert_eq!(read_all(&mut first).await.expect("it reads"), b"more");
            let error = first.write_all(b"late").await.expect_err("its write side is closed");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    });
}

/// A reset reaches a reader that waits and a writer, as what it is.
pub fn a_reset_is_seen<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for waiting in [true, false] {
            let (client, mut server) = connected(&rt).await;
            let reader = rt.start("reader", async move {
                let result = server.read(&mut [0; 100]).await;
                (server, result)
            });
            if waiting {
                rt.sleep(Duration::from_millis(3)).await;
            }
            client.reset().expect("it resets");
            let (mut server, result) = reader.await.expect("the reader ends");
            assert_eq!(result.expect_err("there is nothing to read").kind(), ErrorKind::ConnectionReset);
            let error = server.write_all(&[0; 1000]).await.expect_err("there is nobody to write to");
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error:?}");
        }
    });
}

/// A thousand connections that are all open at the same time, each with its own bytes.
pub fn a_thousand_connections_at_once<B: Backend>(backend: &B) {
    const CONNECTIONS: usize = 1000;
    alone(backend, |rt| async move {
        let (mut listener, address) = listening(&rt).await;
        let (runtime, open) = (rt.clone(), Arc::new(AtomicUsize::new(0)));
        let server = rt.start("server", async move {
            let mut tasks = Vec::new();
            for _ in 0..CONNECTIONS {
                let (mut stream, _) = listener.accept().await.expect("it accepts");
                tasks.push(runtime.start("echo", async move {
                    let mut bytes = [0; 100];
                    loop {
                        let length = stream.read(&mut bytes).await.expect("it reads");
                        if length == 0 {
                            break;
                        }
                        stream.write_all(&bytes[..length]).await.expect("it writes");
                    }
                    stream.close().await.expect("it closes");
                }));
            }
            for task in tasks {
                task.await.expect("the echo ends");
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (runtime, open) = (rt.clone(), Arc::clone(&open));
                rt.start("client", async move {
                    let stream = runtime.connect(address, ConnectOptions::default()).await;
                    let mut stream = stream.expect("it connects");
                    open.fetch_add(1, SeqCst);
                    while open.load(SeqCst) < CONNECTIONS {
                        runtime.sleep(Duration::from_millis(5)).await;
                    }
                    let sent = patterned(number as u64, 0, 100 + number % 900);
                    stream.write_all(&sent).await.expect("it writes");
                    stream.close().await.expect("it closes");
                    assert_eq!(read_all(&mut stream).await.expect("it reads"), sent);
                })
            })
            .collect();
        for client in clients {
            assert_eq!(client.await, Ok(()));
        }
        assert_eq!(server.await, Ok(()));
    });
}

/// Many small parts go out in one call, and arrive in order.
pub fn vectored_writes_are_one_call<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (mut client, mut server) = connected(&rt).await;
        let parts = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
        assert_eq!(client.write_vectored(&parts).await.expect("it writes"), 13);
        let big: Vec<Vec<u8>> = (0..64).map(|part| patterned(3, part * 40_000, 40_000)).collect();
        let expected = big.concat();
        let writer = rt.start("writer", async move {
            let mut slices: Vec<_> = big.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let taken = client.write_vectored(rest).await.expect("it writes");
                assert!(taken > 0);
                IoSlice::advance_slices(&mut rest, taken);
            }
            client.close().await.expect("it closes");
        });
        let bytes = read_all(&mut server).await.expect("it reads");
        assert_eq!(&bytes[..13], b"one two three");
        assert!(bytes[13..] == expected);
        assert_eq!(writer.await, Ok(()));
    });
}

/// Nobody listens: the error says so.
pub fn a_refused_connection_is_an_error<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        // An address of its own, so that no other test takes the port in between.
        let address =
            SocketAddr::from(([127, 77, 1, 1 + u8::try_from(rt.shard().index).expect("few shards")], 0));
        let listener = rt.listen(address, ListenOptions::default()).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        loop {
            // A listener may close a moment after its drop.
            match rt.connect(address, ConnectOptions::default()).await {
                Ok(_) => yield_now().await,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => yield_now().await,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
            }
        }
    });
}

/// A peer that does not answer: a listener whose queue is full drops what comes.
pub fn a_connect_gives_up_after_its_timeout<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let options = ListenOptions { backlog: 1, reuse_port: false, ..ListenOptions::default() };
        let listener = rt.listen(loopback(), options).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let timeout = Duration::from_millis(40);
        let options = ConnectOptions { timeout: Some(timeout), ..ConnectOptions::default() };
        let mut streams = Vec::new();
        loop {
            let start = rt.now();
            match rt.connect(address, options).await {
                Ok(stream) => streams.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    assert!(rt.now() >= start + timeout);
                    break;
                }
            }
            assert!(streams.len() < 100, "the kernel's queue never fills");
        }
    });
}

/// Connects that are dropped midway do no harm to those that follow.
pub fn dropped_connects_leave_nothing<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (mut listener, address) = listening(&rt).await;
        for _ in 0..50 {
            drop(poll_once(rt.connect(address, ConnectOptions::default())).await);
        }
        let (runtime, done) = (rt.clone(), Flag::default());
        let finished = done.clone();
        let server = rt.start("server", async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("it accepts");
                let bytes = read_all(&mut stream).await.unwrap_or_default();
                if bytes == b"the one that stays" {
                    finished.raise();
                    return;
                }
                runtime.sleep(Duration::ZERO).await;
            }
        });
        let mut stream = rt.connect(address, ConnectOptions::default()).await.expect("it connects");
        stream.write_all(b"the one that stays").await.expect("it writes");
        stream.close().await.expect("it closes");
        assert_eq!(server.await, Ok(()));
        assert!(done.is_raised());
    });
}

/// With `reuse_port`, every shard listens on one address and each connection reaches one of them.
pub fn shards_share_an_address<B: Backend>(backend: &B) {
    const CONNECTIONS: usize = 200;
    let (tell, told) = channel::unbounded();
    let served = Arc::new(AtomicUsize::new(0));
    let listeners = Arc::new(AtomicUsize::new(0));
    let counts = everywhere(backend, move |rt| {
        let (tell, told) = (tell.clone(), told.clone());
        let (served, listeners) = (Arc::clone(&served), Arc::clone(&listeners));
        async move {
            let shard = rt.shard();
            let address =
                if shard.index == 0 { loopback() } else { told.recv().await.expect("shard 0 tells") };
            // Two a shard, so that there is something to share in a topology with one shard, too.
            let first = rt.listen(address, ListenOptions::default()).await.expect("it listens");
            let address = first.local_addr().expect("it is bound");
            let second = rt.listen(address, ListenOptions::default()).await.expect("it listens too");
            if shard.index == 0 {
                for _ in 1..shard.count {
                    tell.send(address).await.expect("the channel is open");
                }
            }
            let mut tasks = Vec::new();
            let accepted = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
            for (mut listener, count) in [first, second].into_iter().zip(accepted.clone()) {
                let served = Arc::clone(&served);
                tasks.push(rt.start("accepts", async move {
                    loop {
                        let (mut stream, _) = listener.accept().await.expect("it accepts");
                        stream.write_all(b"!").await.expect("it writes");
                        count.fetch_add(1, SeqCst);
                        served.fetch_add(1, SeqCst);
                    }
                }));
            }
            listeners.fetch_add(1, SeqCst);
            while listeners.load(SeqCst) < shard.count {
                rt.sleep(Duration::from_millis(1)).await;
            }
            if shard.index == 0 {
                map_unordered(20, 0..CONNECTIONS, |_| async {
                    let stream = rt.connect(address, ConnectOptions::default()).await;
                    let mut stream = stream.expect("it connects");
                    assert_eq!(read_all(&mut stream).await.expect("it reads"), b"!");
                })
                .await;
            }
            while served.load(SeqCst) < CONNECTIONS {
                rt.sleep(Duration::from_millis(1)).await;
            }
            for task in tasks {
                let _ = task.cancel().await;
            }
            accepted.map(|count| count.load(SeqCst))
        }
    });
    let counts = counts.concat();
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS);
    assert!(counts.iter().all(|count| *count > 0), "the kernel spreads connections: {counts:?}");
}

/// Accepts that are dropped while they wait, or just when a connection comes, lose none.
pub fn a_dropped_accept_loses_no_connection<B: Backend>(backend: &B) {
    const CONNECTIONS: usize = 100;
    everywhere(backend, |rt| async move {
        let (mut listener, address) = listening(&rt).await;
        let runtime = rt.clone();
        let server = rt.start("server", async move {
            let mut served = 0;
            while served < CONNECTIONS {
                // Waits for a little time that varies, then gives up.
                let patience = Duration::from_micros(50 * (served as u64 % 7));
                if let Ok(accepted) = runtime.timeout(patience, listener.accept()).await {
                    let (mut stream, _) = accepted.expect("it accepts");
                    stream.write_all(b"welcome").await.expect("it writes");
                    served += 1;
                } else if let Some(accepted) = poll_once(listener.accept()).await {
                    let (mut stream, _) = accepted.expect("it accepts");
                    stream.write_all(b"welcome").await.expect("it writes");
                    served += 1;
                } else {
                    yield_now().await;
                }
            }
        });
        let runtime = &rt;
        map_unordered(5, 0..CONNECTIONS, |_| async move {
            let stream = runtime.connect(address, ConnectOptions::default()).await;
            let mut stream = stream.expect("it connects");
            assert_eq!(read_all(&mut stream).await.expect("it reads"), b"welcome");
        })
        .await;
        assert_eq!(server.await, Ok(()));
    });
}

/// Dropping a stream closes it after what was written.
pub fn dropping_a_stream_delivers_what_was_written<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for size in [1, 1000, 300_000] {
            let (mut client, mut server) = connected(&rt).await;
            let writer = rt.start("writer", async move {
                client.write_all(&patterned(9, 0, size)).await.expect("it writes");
                drop(client);
            });
            let bytes = read_all(&mut server).await.expect("it reads");
            assert_eq!(bytes.len(), size);
            assert_patterned(9, 0, &bytes);
            assert_eq!(writer.await, Ok(()));
        }
    });
}

/// Both ends agree on addresses; a connection may be bound to a local one; IPv6 works where the machine has it.
pub fn addresses_and_options_are_honoured<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (mut listener, address) = listening(&rt).await;
        let local = SocketAddr::from(([127, 0, 0, 9], 0));
        let options =
            ConnectOptions { local: Some(local), nodelay: false, timeout: None, ..ConnectOptions::default() };
        let (accepted, connected) = join(listener.accept(), rt.connect(address, options)).await;
        let ((server, from), client) = (accepted.expect("it accepts"), connected.expect("it connects"));
        assert_eq!(client.peer_addr().expect("it is connected"), address);
        assert_eq!(server.local_addr().expect("it is connected"), address);
        assert_eq!(client.local_addr().expect("it is connected").ip(), local.ip());
        assert_eq!(server.peer_addr().expect("it is connected"), from);
        assert_eq!(client.local_addr().expect("it is connected"), from);
        for on in [true, false] {
            client.set_nodelay(on).expect("it is set");
        }
        let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
        if let Ok(mut listener) = rt.listen(six, ListenOptions::default()).await {
            let address = listener.local_addr().expect("it is bound");
            assert!(address.is_ipv6());
            let (accepted, connected) =
                join(listener.accept(), rt.connect(address, ConnectOptions::default())).await;
            assert_eq!(accepted.expect("it accepts").0.local_addr().expect("it is connected"), address);
            let mut stream = connected.expect("it connects");
            assert_eq!(read_all(&mut stream).await.expect("it reads"), b"");
        }
    });
}

/// Without `reuse_port` an address has one listener.
pub fn a_taken_address_is_an_error<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let options = ListenOptions { reuse_port: false, ..ListenOptions::default() };
        let listener = rt.listen(loopback(), options).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let error = rt.listen(address, options).await.err().expect("the address is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // Many who wait for bytes that never come are all ended by their peers.
        let mut listener = listener;
        let clients = try_join_all((0..20).map(|_| rt.connect(address, ConnectOptions::default())));
        let servers = async {
            let mut streams = Vec::new();
            for _ in 0..20 {
                streams.push(listener.accept().await.expect("it accepts").0);
            }
            streams
        };
        let (clients, servers) = join(clients, servers).await;
        drop(servers);
        let ends = join_all(
            clients
                .expect("they connect")
                .into_iter()
                .map(|mut client| async move { read_all(&mut client).await.expect("it reads").len() }),
        );
        assert_eq!(ends.await, [0; 20]);
    });
}
