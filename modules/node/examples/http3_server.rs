//! An HTTP/3 server on any backend, for other people's clients.
//!
//! `cargo run --example http3_server -- BACKEND CERTIFICATE_FILE [retry]`
//!
//! Writes its certificate (for `localhost`) to the file, prints the port on a line of its own, and serves until it is killed:
//! `/` says hello, `/echo` sends the request's body back, `/bytes/N` sends N bytes.

use rustls::pki_types::PrivateKeyDer;
use shroud::ghostwire::http::{Body, Limits, Request, Response, Server, StatusCode, refusal, text};
use shroud::quic::{Endpoint, EndpointConfig, Retry, ServerConfig};
use shroud::runtime::{Backend, Config, Runtime};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(backend), Some(file)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: http3_server BACKEND CERTIFICATE_FILE [retry]".into());
    };
    let (tls, pem) = certificate()?;
    std::fs::write(file, pem)?;
    let mut config = ServerConfig::new(tls);
    if arguments.get(2).is_some_and(|word| word == "retry") {
        config.retry = Retry::Always;
    }
    match backend.as_str() {
        "tokio" => start(&shroud::backends::tokio::Tokio, config),
        "tokio-per-core" => start(&shroud::backends::tokio::TokioPerCore, config),
        "smol" => start(&shroud::backends::smol::Smol, config),
        "smol-per-core" => start(&shroud::backends::smol::SmolPerCore, config),
        "tokio+async-io" => start(&shroud::backends::matched::TokioAsyncIo, config),
        "glommio" => start(&shroud::backends::glommio::Glommio, config),
        other => Err(format!("no backend is called {other}").into()),
    }
}

fn start<B: Backend>(backend: &B, config: ServerConfig) -> Result<(), Box<dyn Error>> {
    let main = move |runtime: B::Runtime| serve(runtime, config.clone());
    for result in backend.run(&Config::single(), main)? {
        result?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn serve<R: Runtime>(runtime: R, config: ServerConfig) -> Result<(), Box<dyn Error + Send + Sync>> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = Endpoint::server(&runtime, local, &EndpointConfig::default(), &config).await?;
    println!("{}", endpoint.local_addr().port());
    let limits = Limits { body_bytes: 100_000_000, ..Limits::default() };
    Server::new(shroud::ghostwire::http::handler_fn(answer), limits)?.serve_http3(&runtime, endpoint).await?;
    Ok(())
}

async fn answer(request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        return text(vec![b'x'; count.min(100_000_000)]);
    }
    match path {
        "/" => text("hello over HTTP/3"),
        "/echo" => Response::new(Body::stream(body)),
        _ => refusal(StatusCode::NOT_FOUND, "nothing here"),
    }
}

fn certificate() -> Result<(Arc<rustls::ServerConfig>, String), Box<dyn Error>> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.max_early_data_size = u32::MAX;
    Ok((Arc::new(tls), cert.pem()))
}
