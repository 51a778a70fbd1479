//! QUIC on smol: an echo server and its client in one program.
//!
//! `cargo run --example quic_echo_smol`

use rustls::pki_types::PrivateKeyDer;
use shroud::quic::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, Transport, VarInt};
use shroud::runtime::Runtime;
use smol::Executor;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let shroud = shroud::backends::smol::attach(Arc::clone(&executor));
        let (server_tls, client_tls) = certificates()?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = EndpointConfig::default();

        let server = Endpoint::server(&shroud, local, &options, &ServerConfig::new(server_tls)).await?;
        let address = server.local_addr();
        let echo = shroud.spawn("echo", async move {
            let connection = server.accept().await.ok_or("the endpoint ended")?.await?;
            let (mut send, mut receive) = connection.accept_bi().await?;
            while let Some(chunk) = receive.read_chunk(usize::MAX).await? {
                send.write_chunk(chunk).await?;
            }
            send.finish()?;
            send.stopped().await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(connection.stats().udp_rx.datagrams)
        });

        let client = Endpoint::client(&shroud, local, &options).await?;
        let config = ClientConfig::new(client_tls, &Transport::default())?;
        let connection = client.connect(&config, address, "localhost")?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(b"hello over QUIC from smol").await?;
        send.finish()?;
        let answer = String::from_utf8(receive.read_to_end(1000).await?)?;
        let datagrams = echo.await?.map_err(|error| error.to_string())?;
        println!("{answer} ({datagrams} datagrams received)");
        connection.close(VarInt::from_u32(0), b"done");
        client.wait_idle().await;
        Ok(())
    }))
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
    server.alpn_protocols = vec![b"echo".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"echo".to_vec()];
    Ok((Arc::new(server), Arc::new(client)))
}
