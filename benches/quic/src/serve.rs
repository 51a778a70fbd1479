//! The servers: this house's on two executors, and quinn.

use crate::client;
use crate::tls::Identity;
use bytes::{Buf, Bytes};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use shroud_ghostwire::http::{Body, Limits, Request, Server, handler_fn, text};
use shroud_quic::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig};
use shroud_runtime::compose::World;
use shroud_runtime::{CancellationToken, Composed, Config, Executor, Io, Runtime, Shard};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const PIECE: usize = 64 * 1024;
const HELLO: &[u8] = b"Hello, world!";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    Tokio,
    Glommio,
    Quinn,
}

impl Arm {
    pub const ALL: [Self; 3] = [Self::Tokio, Self::Glommio, Self::Quinn];
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tokio => "shroud on tokio",
            Self::Glommio => "shroud on glommio",
            Self::Quinn => "quinn on tokio",
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Job {
    Handshakes { count: usize, resumed: bool },
    Bulk { bytes: usize, streams: usize, up: bool },
    Requests { count: usize, connections: usize, depth: usize },
}

/// What a server is given besides its job.
struct Place {
    bound: mpsc::Sender<SocketAddr>,
    stop: CancellationToken,
}

/// CPU that the calling thread has spent.
pub fn thread_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// CPU that a server's thread spends on a job.
pub fn measure(arm: Arm, identity: &Identity, job: Job) -> Duration {
    let stop = CancellationToken::new();
    let (bound, address) = mpsc::channel();
    let place = Place { bound, stop: stop.clone() };
    let there = identity.clone();
    let server = thread::spawn(move || {
        pin(1);
        match arm {
            Arm::Tokio => on_tokio(|runtime| ours(runtime, there, job, place)),
            Arm::Glommio => on_glommio(|runtime| ours(runtime, there, job, place)),
            Arm::Quinn => {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                tokio.block_on(quinn_server(there, job, place))
            }
        }
    });
    let here = identity.clone();
    let client = thread::spawn(move || {
        pin(0);
        let server = address.recv().unwrap();
        on_tokio(|runtime| client::run(runtime, here, server, job));
    });
    client.join().unwrap();
    stop.cancel();
    server.join().unwrap()
}

fn on_tokio<F: Future<Output: Send + 'static> + Send + 'static>(
    main: impl FnOnce(Composed<shroud_executor_tokio::TokioExecutor, shroud_io_tokio::TokioIo>) -> F,
) -> F::Output {
    let host = shroud_executor_tokio::CurrentThread::new(None).unwrap();
    let executor = host.executor();
    let io = shroud_io_tokio::TokioIo::new(executor.handle().clone(), Arc::new(executor.clone()));
    let datagram = shroud_io_tokio::probe_datagram().unwrap();
    let runtime = compose("tokio", executor, io, datagram);
    let main = main(runtime.clone());
    host.block_on(async move { runtime.run_main(&Config::single(), |_| main).await.unwrap() })
}

fn on_glommio<F: Future<Output: Send + 'static> + Send + 'static>(
    main: impl FnOnce(Composed<shroud_executor_glommio::GlommioExecutor, shroud_io_glommio::GlommioIo>) -> F,
) -> F::Output {
    let host = shroud_executor_glommio::CurrentThread::new(None).unwrap();
    let executor = host.executor();
    let io = shroud_io_glommio::GlommioIo::new(Arc::new(executor.clone()));
    let datagram = shroud_io_glommio::capabilities().unwrap().datagram;
    let runtime = compose("glommio", executor, io, datagram);
    let main = main(runtime.clone());
    host.block_on(async move { runtime.run_main(&Config::single(), |_| main).await.unwrap() })
}

fn compose<E: Executor, I: Io>(
    name: &'static str,
    executor: E,
    io: I,
    datagram: shroud_runtime::DatagramCapabilities,
) -> Composed<E, I> {
    let capabilities = shroud_runtime::Capabilities {
        topology: shroud_runtime::Topology::PerCore,
        executor: name,
        reactor: name,
        files: "none",
        datagram,
    };
    let world = World::new(CancellationToken::new());
    Composed::new(name, executor, io, Shard::single(), capabilities, &world)
}

async fn ours<R: Runtime>(runtime: R, identity: Identity, job: Job, place: Place) -> Duration {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig::new(identity.server());
    let endpoint = Endpoint::server(&runtime, any, &EndpointConfig::default(), &config).await.unwrap();
    let begun = thread_cpu();
    place.bound.send(endpoint.local_addr()).unwrap();
    if let Job::Requests { .. } = job {
        let handler = handler_fn(|_: Request<Body>| async { text(Bytes::from_static(HELLO)) });
        let server = Server::new(handler, Limits::default()).unwrap();
        let inner = runtime.clone();
        let serving = runtime.spawn("serve", async move { server.serve_http3(&inner, endpoint).await });
        place.stop.cancelled().await;
        let spent = thread_cpu() - begun;
        drop(serving);
        return spent;
    }
    let accept = async {
        while let Some(connecting) = endpoint.accept().await {
            let inner = runtime.clone();
            let task = async move {
                let Ok(connection) = connecting.await else { return };
                if let Job::Handshakes { resumed, .. } = job {
                    if resumed {
                        let mut send = connection.open_uni().await.unwrap();
                        let _ = send.finish();
                        connection.closed().await;
                    }
                    return drop(connection.closed().await);
                }
                while let Ok((send, receive)) = connection.accept_bi().await {
                    inner.spawn("stream", stream(connection.clone(), send, receive)).detach();
                }
            };
            runtime.spawn("connection", task).detach();
        }
    };
    place.stop.run_until(accept).await;
    thread_cpu() - begun
}

async fn stream(_connection: Connection, mut send: SendStream, mut receive: RecvStream) {
    let mut head = [0; 8];
    let mut read = 0;
    while read < 8 {
        read += receive.read(&mut head[read..]).await.unwrap();
    }
    while let Ok(Some(_)) = receive.read_chunk(usize::MAX).await {}
    let mut left = u64::from_be_bytes(head) as usize;
    let piece = Bytes::from(vec![7; PIECE]);
    while left > 0 {
        let next = piece.slice(..left.min(PIECE));
        left -= next.len();
        if send.write_chunk(next).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}

async fn quinn_server(identity: Identity, job: Job, place: Place) -> Duration {
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(identity.server()).unwrap();
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    // The same windows.
    let transport = Arc::get_mut(&mut config.transport).unwrap();
    transport.receive_window(10_000_000_u32.into()).send_window(10_000_000);
    let endpoint = quinn::Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let begun = thread_cpu();
    place.bound.send(endpoint.local_addr().unwrap()).unwrap();
    let accept = async {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                match job {
                    Job::Handshakes { resumed, .. } => {
                        if resumed {
                            let mut send = connection.open_uni().await.unwrap();
                            let _ = send.finish();
                        }
                        connection.closed().await;
                    }
                    Job::Bulk { .. } => {
                        while let Ok((send, receive)) = connection.accept_bi().await {
                            tokio::spawn(quinn_stream(send, receive));
                        }
                    }
                    Job::Requests { .. } => quinn_http3(connection).await,
                }
            });
        }
    };
    place.stop.run_until(accept).await;
    thread_cpu() - begun
}

async fn quinn_stream(mut send: quinn::SendStream, mut receive: quinn::RecvStream) {
    let mut head = [0; 8];
    receive.read_exact(&mut head).await.unwrap();
    while let Ok(Some(_)) = receive.read_chunk(usize::MAX, true).await {}
    let mut left = u64::from_be_bytes(head) as usize;
    let piece = Bytes::from(vec![7; PIECE]);
    while left > 0 {
        let next = piece.slice(..left.min(PIECE));
        left -= next.len();
        if send.write_chunk(next).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}

/// As h3's own example: a task for each request.
async fn quinn_http3(connection: quinn::Connection) {
    use shroud_h3::h3;
    let mut http = h3::server::builder()
        .send_grease(false)
        .build::<_, Bytes>(h3_quinn::Connection::new(connection))
        .await
        .unwrap();
    while let Ok(Some(resolver)) = http.accept().await {
        tokio::spawn(async move {
            let Ok((_request, mut stream)) = resolver.resolve_request().await else { return };
            while let Ok(Some(mut data)) = stream.recv_data().await {
                data.advance(data.remaining());
            }
            let response = http::Response::builder()
                .header("content-type", "text/plain; charset=utf-8")
                .header("content-length", HELLO.len())
                .body(())
                .unwrap();
            let _ = stream.send_response(response).await;
            let _ = stream.send_data(Bytes::from_static(HELLO)).await;
            let _ = stream.finish().await;
        });
    }
}
