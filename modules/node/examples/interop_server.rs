//! A server for others' clients (`tests/interop`): HTTP/1.1, HTTP/2 and WebSocket in the clear and over TLS, HTTP/3 on the
//! TLS port's number, one router for all, on any backend.
//!
//! `cargo run --example interop_server -- BACKEND DIRECTORY [--retry]`; `--runnable` alone lists the backends.
//!
//! Once it serves, `DIRECTORY/ready` has its two URLs (TLS, clear) on a line and `DIRECTORY/certificate.pem` its certificate.
//! With `--retry`, each QUIC client must prove its address first (RFC 9000 8.1.2). It ends, in order, when its standard input
//! does.

use shroud::backends::{REAL, Visit, with_backend};
use shroud::ghostwire::http::{
    Body, BodyError, HeaderValue, Limits, Request, Response, Router, Server, StatusCode, handler_fn, text,
};
use shroud::ghostwire::tls::{
    Certificate, Certificates, DevCertificate, DevKey, SeamClock, ServerOptions, alpn, provider,
};
use shroud::ghostwire::websocket::{self, WebSocket};
use shroud::quic::{Endpoint, EndpointConfig, Group, Retry, Secrets, ServerConfig};
use shroud::runtime::net::Listener as _;
use shroud::runtime::sync::OnceCell;
use shroud::runtime::{Backend, Config, ListenOptions, Runtime};
use std::error::Error;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// Shards on the backends that have them, so that a client that changes its port can meet the wrong one.
const SHARDS: usize = 2;

/// The longest body that is echoed.
const BODY_BYTES: u64 = 64 << 20;

/// The length of `/big`.
const BIG: usize = 8 << 20;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--runnable"] {
        REAL.iter()
            .filter(|name| with_backend(name, Probe).is_ok_and(|runs| runs))
            .for_each(|name| println!("{name}"));
        return Ok(());
    }
    let [backend, directory, rest @ ..] = arguments.as_slice() else {
        return Err("usage: interop_server --runnable | BACKEND DIRECTORY [--retry]".into());
    };
    let config = Config::default().cores(SHARDS);
    let stop = config.stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    let retry = if rest.iter().any(|option| option == "--retry") { Retry::Always } else { Retry::UnderLoad };
    with_backend(backend, Start { config, directory: directory.into(), retry })?
}

/// Whether a backend can run here.
struct Probe;

impl Visit for Probe {
    type Output = bool;

    fn visit<B: Backend>(self, backend: B) -> bool {
        backend.probe().is_ok()
    }
}

struct Start {
    config: Config,
    directory: PathBuf,
    retry: Retry,
}

/// What the shards share; the first one makes it.
struct Shared {
    /// Over TLS, and QUIC on the same number.
    secure: SocketAddr,
    clear: SocketAddr,
    tcp: Arc<rustls::ServerConfig>,
    quic: ServerConfig,
    group: Group,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        if let Err(why) = backend.probe() {
            return Err(format!("{} cannot run here: {why}", backend.name()).into());
        }
        let shared = Arc::new(OnceCell::new());
        let start = Arc::new((self.directory, self.retry));
        let results = backend.run(&self.config, move |runtime| {
            let (shared, start) = (Arc::clone(&shared), Arc::clone(&start));
            async move {
                let result = shard(&runtime, &shared, &start.0, start.1).await;
                // One shard down: all go down, in order.
                runtime.stopping().cancel();
                if result.is_err() {
                    let _ = shared.set(None).await;
                }
                result
            }
        })?;
        for result in results {
            result??;
        }
        Ok(())
    }
}

async fn shard<R: Runtime>(
    runtime: &R,
    shared: &OnceCell<Option<Shared>>,
    directory: &Path,
    retry: Retry,
) -> Result<(), Failure> {
    let count = runtime.shard().count;
    let options = ListenOptions { reuse_port: count > 1, ..ListenOptions::default() };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut bound = None;
    if runtime.shard().index == 0 {
        let (secure, clear) = (runtime.listen(any, options).await?, runtime.listen(any, options).await?);
        let (tcp, udp) = tls(runtime, directory)?;
        let made = Shared {
            secure: secure.local_addr()?,
            clear: clear.local_addr()?,
            tcp,
            quic: ServerConfig { retry, ..ServerConfig::new(udp) },
            group: Group::new(count, Secrets::generate(runtime)),
        };
        let _ = shared.set(Some(made)).await;
        bound = Some((secure, clear));
    }
    // The first shard says what was wrong.
    let Some(shared) = shared.wait().await else { return Ok(()) };
    let (secure, clear) = match bound {
        Some(bound) => bound,
        None => (runtime.listen(shared.secure, options).await?, runtime.listen(shared.clear, options).await?),
    };
    let member = shared.group.join().ok_or("no place in the group")?;
    let endpoint =
        Endpoint::member(runtime, shared.secure, &EndpointConfig::default(), &shared.quic, member).await?;
    if runtime.shard().index == 0 {
        let part = directory.join("ready.part");
        std::fs::write(&part, format!("https://{} http://{}\n", shared.secure, shared.clear))?;
        std::fs::rename(part, directory.join("ready"))?;
    }
    // Clients that have died are not waited for.
    let drain_time = Duration::from_secs(2);
    let limits = Limits { body_bytes: BODY_BYTES, drain_time, ..Limits::default() };
    let elsewhere = HeaderValue::from_str(&format!("h3=\":{}\"; ma=3600", shared.secure.port()))?;
    let server = Server::new(routes(directory.join("result")), limits)?.with_alt_svc(elsewhere);
    let over_tls = server.clone().with_tls(Arc::clone(&shared.tcp));
    let (over_tls, in_the_clear, over_quic) = futures_util::join!(
        over_tls.serve(runtime, secure),
        server.serve(runtime, clear),
        server.serve_http3(runtime, endpoint)
    );
    over_tls?;
    in_the_clear?;
    over_quic?;
    Ok(())
}

/// For TCP and for QUIC, over one certificate made for this run.
fn tls<R: Runtime>(
    runtime: &R,
    directory: &Path,
) -> Result<(Arc<rustls::ServerConfig>, Arc<rustls::ServerConfig>), Failure> {
    let now = runtime.unix_time();
    let made = DevCertificate::generate(DevKey::P256, &[], now, |out| runtime.fill(out))?;
    std::fs::write(directory.join("certificate.pem"), &made.certificate_pem)?;
    let provider = provider();
    let certificate =
        Certificate::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes(), now, &provider)?;
    let certificates = Certificates::new(vec![certificate])?;
    let options = ServerOptions::new(provider, SeamClock::new(runtime.clone()), certificates);
    let tcp = options.clone().protocols(&[alpn::H2, alpn::HTTP_1_1]).config()?;
    // Early data needs sessions that the server keeps, so that each is used once: tickets that it does not keep could be
    // replayed (RFC 8446 8.1).
    let mut quic = options.protocols(&[alpn::H3]).only_tls_13().resumption(false).config()?;
    quic.session_storage = rustls::server::ServerSessionMemoryCache::new(1024);
    quic.send_tls13_tickets = 2;
    quic.max_early_data_size = u32::MAX;
    Ok((Arc::new(tcp), Arc::new(quic)))
}

/// What a page says of itself is written to the file `result`.
fn routes(result: PathBuf) -> Router {
    Router::new()
        .get("/", handler_fn(|_: Request<Body>| async { text("hello") }))
        .get("/plain", handler_fn(|_: Request<Body>| async { text("Hello, world!") }))
        .get("/big", handler_fn(|_: Request<Body>| async { text(vec![b'x'; BIG]) }))
        .get("/version", handler_fn(|request: Request<Body>| async move { text(version(&request)) }))
        .post("/echo", handler_fn(|request: Request<Body>| async move { echo(request).await }))
        .post(
            "/stream",
            handler_fn(|request: Request<Body>| async move { Response::new(request.into_body()) }),
        )
        .get("/ws", websocket::serve(websocket::Options::default(), |socket, _| answer(socket)))
        .post("/result", handler_fn(move |request: Request<Body>| keep(request, result.clone())))
        .get("/page", handler_fn(|_: Request<Body>| async { page() }))
}

fn version(request: &Request<Body>) -> String {
    format!("{:?}", request.version())
}

async fn echo(request: Request<Body>) -> Response<Body> {
    match request.into_body().bytes(BODY_BYTES).await {
        Ok(bytes) => text(bytes),
        Err(error) => failed(&error),
    }
}

async fn keep(request: Request<Body>, result: PathBuf) -> Response<Body> {
    match request.into_body().bytes(1000).await {
        Ok(bytes) if std::fs::write(result, &bytes).is_ok() => text("kept"),
        Ok(_) => text("not kept"),
        Err(error) => failed(&error),
    }
}

fn failed(error: &BodyError) -> Response<Body> {
    let mut response = text(error.to_string());
    *response.status_mut() = error.status();
    response
}

async fn answer(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.receive().await {
        if socket.feed(message).await.is_err() {
            return;
        }
    }
}

/// A page that fetches and speaks WebSocket, then tells `/result` how that went.
fn page() -> Response<Body> {
    let mut response = text(include_str!("interop_page.html"));
    *response.status_mut() = StatusCode::OK;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(shroud::ghostwire::http::header::CONTENT_TYPE, html);
    response
}
