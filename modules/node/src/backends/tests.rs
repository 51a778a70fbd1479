//! What the conformance suite cannot see from inside a shard: how a backend starts, places its threads, and ends.
//! One smoke test goes through every kind of I/O, so that a broken backend shows here first.

use super::{NAMES, REAL, UnknownBackend, Visit, with_backend};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::{DatagramExt, ListenerExt};
use shroud_runtime::{
    Backend, BlockFile, Config, ConnectOptions, Datagram, DatagramOptions, ListenOptions, Listener,
    OpenOptions, Runtime, RuntimeExt, StartError, TaskError, Topology, Transmit,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs the test on every backend that is built in, has threads and files of its own, and is not glommio's, which needs its
/// kernel.
fn on_each<V: Visit<Output = ()> + Clone>(visitor: &V) {
    let mut visited = 0;
    for name in REAL.into_iter().filter(|name| *name != "glommio") {
        match with_backend(name, visitor.clone()) {
            Ok(()) => visited += 1,
            Err(UnknownBackend::NotBuiltIn { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(visited >= 2, "the features of this build bring two backends at least");
}

fn config(cores: usize) -> Config {
    Config::default().cores(cores)
}

/// The threads of this process whose names start so.
fn threads(prefix: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn every_kind_of_io_works() {
    #[derive(Clone)]
    struct Smoke;
    impl Visit for Smoke {
        type Output = ();
        fn visit<B: Backend>(self, backend: B) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_owned();
            let results = backend
                .run(&config(2), move |runtime| {
                    let path = path.join(runtime.shard().index.to_string());
                    async move {
                        tcp(&runtime).await;
                        udp(&runtime).await;
                        file(&runtime, path).await;
                        tasks(&runtime).await;
                    }
                })
                .unwrap();
            let shards = if backend.probe().unwrap().topology == Topology::PerCore { 2 } else { 1 };
            assert_eq!(results, vec![Ok(()); shards], "{}", backend.name());
        }
    }
    on_each(&Smoke);
}

async fn tcp<R: Runtime>(runtime: &R) {
    let mut listener = runtime.listen(LOOPBACK, ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = runtime.spawn("echo", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.split();
        let copied = futures_util::io::copy(reader, &mut writer).await.unwrap();
        writer.close().await.unwrap();
        copied
    });
    let mut client = runtime.connect(address, ConnectOptions::default()).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let (mut reader, mut writer) = (&mut client).split();
    let (wrote, received) = futures_util::join!(
        async {
            writer.write_all(&sent).await?;
            writer.close().await
        },
        async {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.map(|_| received)
        }
    );
    wrote.unwrap();
    assert!(received.unwrap() == sent);
    assert_eq!(echo.await, Ok(1_000_000));
    let refused = runtime.connect(address, ConnectOptions::default()).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

async fn udp<R: Runtime>(runtime: &R) {
    let options = DatagramOptions::default();
    let receiver = runtime.bind(LOOPBACK, options).await.unwrap();
    let sender = runtime.bind(LOOPBACK, options).await.unwrap();
    let destination = receiver.local_addr().unwrap();
    let segments = sender.capabilities().send_segments.min(8);
    let receive = runtime.spawn("receive", async move {
        let mut buffer = vec![0; 65_536];
        let mut bytes = 0;
        while bytes < segments * 1_200 {
            let meta = receiver.recv(&mut buffer).await.unwrap();
            assert_eq!((meta.stride, meta.destination), (1_200, Some(destination.ip())));
            bytes += meta.len;
        }
        bytes
    });
    let contents = vec![3; segments * 1_200];
    let train =
        Transmit { destination, ecn: None, contents: &contents, segment_size: Some(1_200), source: None };
    sender.send_all(&[train]).await.unwrap();
    assert_eq!(receive.await, Ok(contents.len()));
}

async fn file<R: Runtime>(runtime: &R, directory: PathBuf) {
    runtime.create_dir_all(&directory).await.unwrap();
    let path = directory.join("journal");
    let file = runtime.open(&path, OpenOptions::creating()).await.unwrap();
    file.allocate(0, 8_192).await.unwrap();
    file.write_at(b"record".to_vec(), 4_096).await.result.unwrap();
    file.sync_data().await.unwrap();
    let lent = file.read_at(vec![0; 6], 4_096).await;
    assert_eq!((lent.result.unwrap(), lent.buffer), (6, b"record".to_vec()));
    runtime.rename(&path, &directory.join("old")).await.unwrap();
    runtime.sync_dir(&directory).await.unwrap();
    assert_eq!(runtime.read_dir(&directory).await.unwrap(), [directory.join("old")]);
    assert!(!runtime.lookup("localhost", 80).await.unwrap().is_empty());
}

async fn tasks<R: Runtime>(runtime: &R) {
    let before = runtime.now();
    runtime.sleep(Duration::from_millis(20)).await;
    assert!(runtime.now() - before >= Duration::from_millis(20));
    let forever = runtime.spawn("forever", std::future::pending::<()>());
    assert_eq!(forever.cancel().await, Err(TaskError::Cancelled));
    assert_eq!(runtime.offload(|| 6 * 7).await, Ok(42));
    let unreachable = runtime.timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
    assert!(unreachable.is_err());
}

#[test]
fn a_panic_in_main_is_a_result() {
    #[derive(Clone)]
    struct Panics;
    impl Visit for Panics {
        type Output = ();
        fn visit<B: Backend>(self, backend: B) {
            let before_any_await =
                backend.block_on(|_| -> std::future::Ready<()> { panic!("early") }).unwrap();
            assert_eq!(before_any_await, Err(TaskError::Panicked("early".to_owned())));
            let later = backend.block_on(|runtime| async move {
                runtime.sleep(Duration::from_millis(1)).await;
                panic!("late");
            });
            assert_eq!(later.unwrap(), Err::<(), _>(TaskError::Panicked("late".to_owned())));
        }
    }
    on_each(&Panics);
}

#[test]
fn all_threads_and_jobs_have_ended_when_run_returns() {
    #[derive(Clone)]
    struct Ends;
    impl Visit for Ends {
        type Output = ();
        fn visit<B: Backend>(self, backend: B) {
            let jobs = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&jobs);
            backend
                .run(&config(2), move |runtime| {
                    let jobs = Arc::clone(&jobs);
                    async move {
                        // A task that never ends, and a job that outlives whoever waits for it.
                        runtime.spawn("endless", std::future::pending::<()>()).detach();
                        let (begun, begins) = shroud_runtime::sync::oneshot::channel();
                        let job = move || {
                            let _ = begun.send(());
                            std::thread::sleep(Duration::from_millis(50));
                            jobs.fetch_add(1, Ordering::SeqCst);
                        };
                        let pool = runtime.clone();
                        let abandoned = runtime.spawn("offload", async move { pool.offload(job).await });
                        begins.await.unwrap();
                        drop(abandoned);
                    }
                })
                .unwrap();
            let shards = if backend.probe().unwrap().topology == Topology::PerCore { 2 } else { 1 };
            assert_eq!(seen.load(Ordering::SeqCst), shards, "{}: jobs ran to their end", backend.name());
            assert_eq!(Arc::strong_count(&seen), 1, "{}: nothing of the node is left", backend.name());
        }
    }
    on_each(&Ends);
}

#[test]
fn a_shard_that_cannot_start_keeps_all_from_running() {
    #[derive(Clone)]
    struct Refused;
    impl Visit for Refused {
        type Output = ();
        fn visit<B: Backend>(self, backend: B) {
            let runs = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&runs);
            // The second thread has nowhere to go.
            let config = Config { cpus: vec![0, 1_000_000], ..config(2) };
            let result = backend.run(&config, move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                std::future::ready(())
            });
            assert!(matches!(result, Err(StartError::Io(_))), "{}: {result:?}", backend.name());
            assert_eq!(runs.load(Ordering::SeqCst), 0);
        }
    }
    on_each(&Refused);
}

#[test]
fn threads_are_named_and_pinned_as_configured() {
    #[derive(Clone)]
    struct Placed;
    impl Visit for Placed {
        type Output = ();
        fn visit<B: Backend>(self, backend: B) {
            let config = Config { cpus: vec![0], ..config(2) };
            let places = backend.run(&config, |runtime| async move {
                let worker = (std::thread::current().name().map(str::to_owned), allowed_cpus());
                let workers = threads("shroud-").len();
                (worker, workers, runtime.offload(allowed_cpus).await)
            });
            for place in places.unwrap() {
                let ((name, cpus), workers, blocking) = place.unwrap();
                let name = name.unwrap();
                assert!(["shroud-0", "shroud-1"].contains(&name.as_str()), "{}: {name}", backend.name());
                assert_eq!(cpus, "0", "{}", backend.name());
                assert!(workers >= 2);
                assert_eq!(blocking.unwrap(), "0", "{}", backend.name());
            }
        }
    }
    on_each(&Placed);
}

/// Where the calling thread may run, as the kernel writes it.
fn allowed_cpus() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

#[test]
fn an_unknown_name_says_what_there_is() {
    #[derive(Clone)]
    struct Nothing;
    impl Visit for Nothing {
        type Output = ();
        fn visit<B: Backend>(self, _: B) {}
    }
    let error = with_backend("tokyo", Nothing).unwrap_err().to_string();
    assert!(NAMES.iter().all(|name| error.contains(name)), "{error}");
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_attaches_to_the_runtime_around_it_and_to_nothing_outside() {
    assert!(matches!(super::tokio::attach(), Err(StartError::Unavailable(_))));
    let program = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    program.block_on(async {
        let runtime = super::tokio::attach().unwrap();
        tcp(&runtime).await;
        udp(&runtime).await;
        let waiting = runtime.spawn("waiting", std::future::pending::<()>());
        runtime.tree().shut_down().await;
        assert_eq!(waiting.await, Err(TaskError::Cancelled));
    });
}

#[cfg(feature = "smol")]
#[test]
fn smol_attaches_to_an_executor_that_the_program_runs() {
    let executor = Arc::new(async_executor::Executor::new());
    let runtime = super::smol::attach(Arc::clone(&executor));
    std::thread::scope(|scope| {
        let (stop, stopped) = shroud_runtime::sync::channel::bounded::<()>(1);
        let executor = &executor;
        scope.spawn(move || {
            shroud_executor_smol::CurrentThread::new(None).block_on(executor.run(stopped.recv()))
        });
        let task = runtime.spawn("smoke", {
            let runtime = runtime.clone();
            async move { tcp(&runtime).await }
        });
        assert_eq!(shroud_executor_smol::CurrentThread::new(None).block_on(task), Ok(()));
        drop(stop);
    });
}
