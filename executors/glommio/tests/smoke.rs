//! Each capability of the glommio backend, once. The full promises are in `tests/conformance`; here is what is particular
//! to io_uring and to a thread per shard: handles that belong to a thread, wake-ups from others, and an orderly end.
//!
//! To add one: write `#[test] fn what_a_user_notices() { on(1, |rt| async move { ... }); }`.

use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use shroud_executor_glommio::{CurrentThread, GlommioExecutor};
use shroud_io_glommio::{GlommioIo, probe};
use shroud_runtime::compose::World;
use shroud_runtime::net::{DatagramExt, ListenerExt};
use shroud_runtime::sync::{channel, oneshot};
use shroud_runtime::{
    Alarm, BlockFile, ByteStream, Composed, Config, ConnectOptions, Datagram, DatagramOptions, ListenOptions,
    Listener, OpenOptions, RecvMeta, Runtime, RuntimeExt, Shard, TaskError, Topology, Transmit,
};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Glommio = Composed<GlommioExecutor, GlommioIo>;

/// One node at a time: descriptors and threads of the process are counted.
static NODE: Mutex<()> = Mutex::new(());

/// What the node does: a thread a shard, each to its end.
fn on_with<F, T>(
    config: &Config,
    main: impl Fn(Glommio) -> F + Clone + Send + 'static,
) -> Vec<Result<T, TaskError>>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let _alone = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    let capabilities = match probe() {
        Ok(capabilities) => capabilities,
        Err(reason) => {
            eprintln!("SKIPPED: {reason}");
            return Vec::new();
        }
    };
    let world = World::new(config.stop.clone());
    let count = config.cores.get();
    let shards = (0..count).map(|index| {
        let (config, main, capabilities) = (config.clone(), main.clone(), capabilities.clone());
        let world = Arc::clone(&world);
        let body = move || {
            let host = CurrentThread::new(None).unwrap();
            let io = GlommioIo::new(Arc::new(host.executor()));
            let shard = Shard { index, count, workers: 1, topology: Topology::PerCore };
            let runtime = Composed::new("glommio", host.executor(), io.clone(), shard, capabilities, &world);
            host.block_on(async {
                let result = runtime.run_main(&config, |rt| async move { main(rt).await }).await;
                io.settle().await;
                result
            })
        };
        std::thread::Builder::new().name(format!("shroud-{index}")).spawn(body).unwrap()
    });
    shards.collect::<Vec<_>>().into_iter().map(|shard| shard.join().unwrap()).collect()
}

fn on<F, T>(cores: usize, main: impl Fn(Glommio) -> F + Clone + Send + 'static) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    on_with(&Config::single().cores(cores), main).into_iter().map(Result::unwrap).collect()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Ends this poll of the task.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Bytes that repeat with no power of two.
fn pattern(offset: usize, length: usize) -> Vec<u8> {
    (offset..offset + length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn tcp_carries_both_directions_under_back_pressure_and_half_closes() {
    on(1, |rt| async move {
        const LENGTH: usize = 8 << 20;
        let mut listener = rt.listen(loopback(), ListenOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = rt.spawn("echo", async move {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            let (mut read, mut write) = stream.split();
            let copied = futures_util::io::copy(&mut read, &mut write).await.unwrap();
            write.close().await.unwrap();
            copied
        });
        let stream = rt.connect(address, ConnectOptions::default()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let send = rt.spawn("send", async move {
            let mut at = 0;
            while at < LENGTH {
                let part = pattern(at, (1 << 20).min(LENGTH - at));
                let (head, tail) = part.split_at(7);
                at += write
                    .write_vectored(&[IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)])
                    .await
                    .unwrap();
            }
            write.close().await.unwrap();
        });
        // The echo cannot go on until this side reads.
        rt.sleep(Duration::from_millis(20)).await;
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        assert!(received == pattern(0, LENGTH));
        assert_eq!(echo.await.unwrap(), LENGTH as u64);
        send.await.unwrap();
    });
}

#[test]
fn tcp_errors_keep_their_names() {
    on(1, |rt| async move {
        let mut listener = rt.listen(loopback(), ListenOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = rt.connect(address, ConnectOptions::default()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        // A read is waiting while the other side resets.
        let read = rt.spawn("read", async move { server.read(&mut [0; 10]).await });
        rt.sleep(Duration::from_millis(5)).await;
        client.reset().unwrap();
        assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);

        // An accept that nobody waits for any more takes no connection.
        assert!(rt.timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        let _client = rt.connect(address, ConnectOptions::default()).await.unwrap();
        listener.accept().await.unwrap();

        // Also while the ring still holds a wait on it, a dropped listener refuses.
        assert!(rt.timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        drop(listener);
        let refused = rt.connect(address, ConnectOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        rt.listen(address, ListenOptions::default()).await.unwrap();

        // A full backlog leaves connection attempts unanswered.
        let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let full = rt.listen(loopback(), options).await.unwrap();
        let options =
            ConnectOptions { timeout: Some(Duration::from_millis(30)), ..ConnectOptions::default() };
        let address = full.local_addr().unwrap();
        let attempts = join_all((0..4).map(|_| rt.connect(address, options))).await;
        let late = attempts.iter().filter_map(|attempt| attempt.as_ref().err());
        assert!(late.map(io::Error::kind).any(|kind| kind == io::ErrorKind::TimedOut));
    });
}

#[test]
fn udp_bursts_arrive_whole_and_in_order() {
    on(1, |rt| async move {
        const SEGMENT: usize = 1200;
        const ROUNDS: usize = 200;
        let small = DatagramOptions { send_buffer: Some(1), ..DatagramOptions::default() };
        let large = DatagramOptions { receive_buffer: Some(4 << 20), ..DatagramOptions::default() };
        let sender = rt.bind(loopback(), small).await.unwrap();
        let receiver = rt.bind(loopback(), large).await.unwrap();
        let (destination, source) = (receiver.local_addr().unwrap(), sender.local_addr().unwrap());
        // Half of what one unread burst may hold.
        let segments = sender.capabilities().send_segments.min(16);
        let (credit, granted) = channel::bounded::<()>(2);
        let send = rt.spawn("send", async move {
            for round in 0..ROUNDS {
                credit.send(()).await.unwrap();
                let contents = pattern(round * segments * SEGMENT, segments * SEGMENT);
                let one = Transmit {
                    destination,
                    ecn: None,
                    contents: &contents,
                    segment_size: Some(SEGMENT),
                    source: None,
                };
                sender.send_all(&[one]).await.unwrap();
            }
        });
        let mut storage = vec![vec![0; 1 << 16]; 8];
        let mut at = 0;
        while at < ROUNDS * segments * SEGMENT {
            let mut meta = [RecvMeta::empty(); 8];
            let count = {
                let mut buffers: Vec<_> = storage.iter_mut().map(|b| IoSliceMut::new(b)).collect();
                poll_fn(|cx| receiver.poll_recv(cx, &mut buffers, &mut meta)).await.unwrap()
            };
            for (meta, buffer) in meta.iter().zip(&storage).take(count) {
                assert_eq!(meta.source, source);
                assert_eq!(meta.stride.min(SEGMENT), meta.stride);
                assert!(buffer[..meta.len] == pattern(at, meta.len));
                for _ in at / (segments * SEGMENT)..(at + meta.len) / (segments * SEGMENT) {
                    granted.recv().await.unwrap();
                }
                at += meta.len;
            }
        }
        send.await.unwrap();
        // A receive that was given up takes no datagram.
        assert!(rt.timeout(Duration::from_millis(2), receiver.recv(&mut [0; 9])).await.is_err());
        let back = rt.bind(loopback(), DatagramOptions::default()).await.unwrap();
        back.send_to(b"after", destination).await.unwrap();
        let mut buffer = [0; 9];
        assert_eq!(receiver.recv(&mut buffer).await.unwrap().len, 5);
    });
}

#[test]
fn a_socket_that_is_polled_for_other_reasons_stays_usable() {
    on(1, |rt| async move {
        // More polls than a glommio waker has clones.
        let socket = rt.bind(loopback(), DatagramOptions::default()).await.unwrap();
        let mut listener = rt.listen(loopback(), ListenOptions::default()).await.unwrap();
        let mut alarm = rt.alarm();
        let mut buffer = [0; 10];
        for _ in 0..40_000 {
            alarm.set(Some(rt.now() + Duration::from_secs(100)));
            poll_fn(|cx| {
                let mut meta = [RecvMeta::empty()];
                assert!(socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta).is_pending());
                assert!(listener.poll_accept(cx).is_pending());
                assert!(alarm.poll_fired(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            yield_now().await;
        }
        socket.send_to(b"self", socket.local_addr().unwrap()).await.unwrap();
        assert_eq!(socket.recv(&mut buffer).await.unwrap().len, 4);
    });
}

#[test]
fn files_keep_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    on(1, move |rt| {
        let path = path.clone();
        async move {
            let length = (3 << 20) + 17;
            let file = rt.open(&path, OpenOptions::creating()).await.unwrap();
            file.allocate(0, 4096).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 4096);
            let lent = file.read_at(vec![1; 100], 4000).await;
            assert_eq!((lent.result.unwrap(), lent.buffer[..96] == [0; 96]), (96, true));
            let lent = file.write_at(pattern(0, length), 5).await;
            lent.result.unwrap();
            assert_eq!(lent.buffer.len(), length);
            file.sync_data().await.unwrap();
            file.sync_all().await.unwrap();
            drop(file);
            rt.rename(&path, &path.with_extension("new")).await.unwrap();
            rt.sync_dir(path.parent().unwrap()).await.unwrap();
            let file = rt.open(&path.with_extension("new"), OpenOptions::writing()).await.unwrap();
            // Several at once.
            let parts = join_all((0..8).map(|part| file.read_at(vec![0; 400_000], 5 + part * 400_000))).await;
            let mut read = Vec::new();
            for part in parts {
                let count = part.result.unwrap();
                read.extend_from_slice(&part.buffer[..count]);
            }
            assert!(read == pattern(0, length));
            file.set_len(10).await.unwrap();
            assert_eq!(file.read_at(vec![0; 100], 0).await.result.unwrap(), 10);
            assert_eq!(file.read_at(vec![0; 100], 1 << 40).await.result.unwrap(), 0);
            for offset in [u64::MAX, u64::MAX - 50, i64::MAX as u64] {
                assert!(file.read_at(vec![0; 100], offset).await.result.is_err());
                assert!(file.write_at(vec![0; 100], offset).await.result.is_err());
            }
            let missing = rt.open(&path, OpenOptions::reading()).await.unwrap_err();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        }
    });
}

#[test]
fn operations_that_were_given_up_end_before_the_shard_and_nothing_leaks() {
    let directory = tempfile::tempdir().unwrap();
    // One event descriptor a shard stays open: see the crate's documentation.
    let descriptors = || {
        let mut open: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .map(|target| target.to_string_lossy().into_owned())
            .filter(|target| target != "anon_inode:[eventfd]")
            .collect();
        open.sort();
        open
    };
    let path = directory.path().join("file");
    let main = move |rt: Glommio| {
        let path = path.clone();
        async move {
            let file = Arc::new(rt.open(&path, OpenOptions::creating()).await.unwrap());
            for _ in 0..50 {
                let (write, sync) = (Arc::clone(&file), Arc::clone(&file));
                let tasks = [
                    rt.spawn("write", async move { write.write_at(vec![1; 300_000], 0).await.result }),
                    rt.spawn("sync", async move { sync.sync_data().await }),
                ];
                // So far that they are in flight.
                rt.sleep(Duration::from_micros(50)).await;
                drop(tasks);
            }
            let mut listener = rt.listen(loopback(), ListenOptions::default()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let stream = rt.connect(address, ConnectOptions::default()).await.unwrap();
            rt.spawn("accept", async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    stream.read_exact(&mut [0; 10]).await.unwrap();
                }
            })
            .detach();
            let socket = rt.bind(loopback(), DatagramOptions::default()).await.unwrap();
            rt.spawn("receive", async move { socket.recv(&mut [0; 10]).await.unwrap() }).detach();
            rt.sleep(Duration::from_millis(1)).await;
            drop((stream, file));
        }
    };
    on(1, main.clone());
    let alone = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors();
    drop(alone);
    for _ in 0..5 {
        on(2, main.clone());
    }
    let _alone = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(descriptors(), before);
}

#[test]
fn alarms_move_both_ways() {
    on(1, |rt| async move {
        let start = rt.now();
        let mut alarm = rt.alarm();
        alarm.set(Some(start + Duration::from_secs(100)));
        assert!(rt.timeout(Duration::from_millis(5), poll_fn(|cx| alarm.poll_fired(cx))).await.is_err());
        alarm.set(Some(start + Duration::from_millis(20)));
        poll_fn(|cx| alarm.poll_fired(cx)).await;
        assert!(rt.now() >= start + Duration::from_millis(20));
        assert!(rt.now() < start + Duration::from_secs(50));
        // Later and later, as a protocol moves its idle timeout: never early, and once.
        let begin = rt.now();
        let mut deadline = begin;
        for step in 1..=20 {
            deadline = begin + Duration::from_millis(10 + step);
            alarm.set(Some(deadline));
            let fired = rt.timeout(Duration::from_millis(1), poll_fn(|cx| alarm.poll_fired(cx))).await;
            assert!(fired.is_err() || rt.now() >= deadline);
        }
        if deadline > rt.now() {
            poll_fn(|cx| alarm.poll_fired(cx)).await;
        }
        assert!(rt.now() >= begin + Duration::from_millis(30));
        alarm.set(None);
        assert!(rt.timeout(Duration::from_millis(5), poll_fn(|cx| alarm.poll_fired(cx))).await.is_err());
    });
}

#[test]
fn wakes_and_tasks_cross_threads() {
    on(1, |rt| async move {
        let (ping, pinged) = channel::bounded(1);
        let (pong, ponged) = channel::bounded(1);
        let thread = std::thread::spawn(move || {
            while let Ok(value) = pinged.recv_blocking() {
                // The shard is asleep by now, most of the time.
                std::thread::sleep(Duration::from_micros(200));
                pong.send_blocking(value).unwrap();
            }
        });
        let start = Instant::now();
        for value in 0..200 {
            ping.send(value).await.unwrap();
            assert_eq!(ponged.recv().await.unwrap(), value);
        }
        eprintln!("200 round trips to another thread took {:?}", start.elapsed());
        drop(ping);
        thread.join().unwrap();

        // A task that was spawned elsewhere still runs here.
        let (sender, receiver) = oneshot::channel();
        let (shard, home) = (rt.clone(), std::thread::current().id());
        std::thread::spawn(move || {
            let inner = shard.clone();
            shard
                .spawn("foreign", async move {
                    inner.sleep(Duration::from_millis(1)).await;
                    let _ = sender.send(std::thread::current().id());
                })
                .detach();
        });
        assert_eq!(receiver.await.unwrap(), home);
        assert_eq!(rt.offload(|| 6 * 7).await, Ok(42));
    });
    // Shard to shard.
    let (sender, receiver) = channel::unbounded();
    on(2, move |rt| {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        async move {
            if rt.shard().index == 0 {
                for value in 0..1000 {
                    sender.send(value).await.unwrap();
                }
            } else {
                for value in 0..1000 {
                    assert_eq!(receiver.recv().await.unwrap(), value);
                }
            }
        }
    });
}

#[test]
fn panics_end_one_task_and_ten_thousand_end_well() {
    let results = on_with(&Config::single(), |rt| async move {
        let failed = rt.spawn("panics", async { panic!("contained") }).await;
        assert_eq!(failed, Err::<(), _>(TaskError::Panicked("contained".into())));
        let woken = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..10_000u64)
            .map(|number| {
                let (rt, woken) = (rt.clone(), Arc::clone(&woken));
                rt.clone().spawn("one of many", async move {
                    rt.sleep(Duration::from_micros(number)).await;
                    woken.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(woken.load(Ordering::Relaxed), 10_000);
        // As deep as tasks spawn tasks, the stack stays as it is.
        fn nest(rt: Glommio, depth: u32) -> futures_util::future::BoxFuture<'static, u32> {
            Box::pin(async move {
                if depth == 0 {
                    return 0;
                }
                1 + rt.spawn("nested", nest(rt.clone(), depth - 1)).await.unwrap()
            })
        }
        assert_eq!(nest(rt.clone(), 5_000).await, 5_000);
        rt.spawn("left over", std::future::pending::<()>()).detach();
        panic!("main too")
    });
    for result in results {
        assert_eq!(result, Err::<(), _>(TaskError::Panicked("main too".into())));
    }
}

#[test]
fn a_main_that_goes_on_after_the_stop_is_cancelled() {
    let config = Config { drain: Duration::from_millis(20), ..Config::single().cores(2) };
    let stop = config.stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        stop.cancel();
    });
    for result in on_with(&config, |_| std::future::pending::<()>()) {
        assert_eq!(result, Err(TaskError::Cancelled));
    }
}
