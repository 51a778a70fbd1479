//! quinn on its own Tokio endpoint, and h3 over it.

use super::listening;
use crate::arms::local;
use bytes::{Buf, Bytes};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, IdleTimeout, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use shroud_bench::transport::{BULK_BYTE, HELLO, Identity, PIECE};
use std::error::Error;
use std::sync::Arc;

/// The windows of the other side, and its patience; all else as quinn has it.
fn endpoint(identity: &Identity, protocol: &[u8]) -> Result<Endpoint, Box<dyn Error>> {
    let tls = QuicServerConfig::try_from(identity.server(protocol)?)?;
    let mut transport = TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(10_000_000))
        .send_window(10_000_000)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(600_000))));
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(Endpoint::server(config, local())?)
}

/// As the server of this house: see `shroud_bench::transport::serve`.
pub(super) async fn streams(identity: &Identity) -> Result<(), Box<dyn Error>> {
    let endpoint = endpoint(identity, b"bench")?;
    listening(endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(stream(send, receive));
            }
        });
    }
    Ok(())
}

async fn stream(mut send: SendStream, mut receive: RecvStream) {
    let mut head = [0; 8];
    if receive.read_exact(&mut head).await.is_err() {
        return;
    }
    let mut received = 0_u64;
    while let Ok(Some(chunk)) = receive.read_chunk(usize::MAX, true).await {
        received += chunk.bytes.len() as u64;
    }
    if send.write_all(&received.to_be_bytes()).await.is_err() {
        return;
    }
    let piece = Bytes::from(vec![BULK_BYTE; PIECE]);
    let mut left = u64::from_be_bytes(head);
    while left > 0 {
        let next = piece.slice(..PIECE.min(usize::try_from(left).unwrap_or(PIECE)));
        left -= next.len() as u64;
        if send.write_chunk(next).await.is_err() {
            return;
        }
    }
    if send.finish().is_ok() {
        let _ = send.stopped().await;
    }
}

/// As h3's own example: a task for each request.
pub(super) async fn http3(identity: &Identity) -> Result<(), Box<dyn Error>> {
    let endpoint = endpoint(identity, b"h3")?;
    listening(endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                requests(connection).await;
            }
        });
    }
    Ok(())
}

async fn requests(connection: quinn::Connection) {
    let mut builder = h3::server::builder();
    let built = builder.send_grease(false).build::<_, Bytes>(h3_quinn::Connection::new(connection)).await;
    let Ok(mut connection) = built else { return };
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let Ok((_, mut stream)) = resolver.resolve_request().await else { return };
            while let Ok(Some(mut data)) = stream.recv_data().await {
                data.advance(data.remaining());
            }
            let response = http::Response::builder()
                .header("content-type", "text/plain; charset=utf-8")
                .header("content-length", HELLO.len())
                .body(());
            let Ok(response) = response else { return };
            let _ = stream.send_response(response).await;
            let _ = stream.send_data(Bytes::from_static(HELLO)).await;
            let _ = stream.finish().await;
        });
    }
}
