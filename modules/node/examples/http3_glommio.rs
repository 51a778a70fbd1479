//! An HTTP/3 server inside one's own glommio program: io_uring, and no other executor.
//!
//! `cargo run --example http3_glommio`

use glommio::{LocalExecutorBuilder, Placement};
use rustls::pki_types::PrivateKeyDer;
use shroud::ghostwire::http::{
    Body, ClientLimits, Http3Client, Limits, Request, Router, Server, handler_fn, text,
};
use shroud::quic::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, Transport};
use shroud::runtime::{Backend, Runtime};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    if let Err(why) = shroud::backends::glommio::Glommio.probe() {
        println!("glommio cannot run here: {why}");
        return Ok(());
    }
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20).make()?;
    executor.run(async {
        let shroud = shroud::backends::glommio::attach()?;
        let (server_tls, client_tls) = certificates()?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = EndpointConfig::default();

        // The same router as for HTTP/1.1.
        let routes =
            Router::new().get("/", handler_fn(|_: Request<Body>| async { text("hello over HTTP/3") }));
        let endpoint = Endpoint::server(&shroud, local, &options, &ServerConfig::new(server_tls)).await?;
        let port = endpoint.local_addr().port();
        let server = Server::new(routes, Limits::default())?;
        let inner = shroud.clone();
        let serving = shroud.spawn("serve", async move { server.serve_http3(&inner, endpoint).await });

        let endpoint = Endpoint::client(&shroud, local, &options).await?;
        let config = ClientConfig::new(client_tls, &Transport::default())?;
        let client = Http3Client::new(shroud.clone(), endpoint, config, ClientLimits::default());
        let request = Request::get(format!("https://localhost:{port}/")).body(Body::empty())?;
        let response = client.send(request).await?;
        let (status, version) = (response.status(), response.version());
        let body = response.into_body().bytes(1000).await?;
        println!("{version:?} {status}: {} ({})", String::from_utf8_lossy(&body), shroud.backend());

        // The node's way to stop: the server drains, then its future ends.
        shroud.stopping().cancel();
        serving.await??;
        Ok(())
    })
}

/// A certificate that was made for this run, for both sides.
fn certificates() -> Result<(Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>), Box<dyn Error>> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    server.alpn_protocols = vec![b"h3".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h3".to_vec()];
    Ok((Arc::new(server), Arc::new(client)))
}
