//! How a client connects.

use super::{InvalidConfig, Transport};
use crate::entropy::Entropy;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{ConnectionId, TokenMemoryCache};
use std::sync::Arc;
use std::time::Duration;

/// A client: whom it trusts and what it offers. Cheap to clone; clones share the cache of tickets and tokens.
#[derive(Clone)]
pub struct ClientConfig {
    config: quinn_proto::ClientConfig,
    pub(crate) handshake_time: Duration,
}

impl ClientConfig {
    /// A client over a TLS configuration (roots, ALPN, client certificate, resumption; `enable_early_data` for 0-RTT).
    ///
    /// # Errors
    /// [`InvalidConfig`].
    pub fn new(tls: Arc<rustls::ClientConfig>, transport: &Transport) -> Result<Self, InvalidConfig> {
        let name = rustls::pki_types::ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        rustls::quic::ClientConnection::new(Arc::clone(&tls), rustls::quic::Version::V1, name, Vec::new())
            .map_err(|error| InvalidConfig::Tls(error.to_string()))?;
        let tls = QuicClientConfig::try_from(tls).map_err(|error| InvalidConfig::Tls(error.to_string()))?;
        let mut config = quinn_proto::ClientConfig::new(Arc::new(tls));
        config.transport_config(transport.build()?).token_store(Arc::new(TokenMemoryCache::default()));
        Ok(Self { config, handshake_time: Duration::from_secs(10) })
    }

    /// How long the handshake may take. Default 10 s.
    #[must_use]
    pub fn handshake_time(mut self, limit: Duration) -> Self {
        self.handshake_time = limit;
        self
    }

    /// For one attempt, with the seam's chance.
    pub(crate) fn build(&self, entropy: &Entropy) -> quinn_proto::ClientConfig {
        let mut config = self.config.clone();
        let entropy = Arc::clone(entropy);
        config.initial_dst_cid_provider(Arc::new(move || {
            let mut id = [0; 16];
            entropy(&mut id);
            ConnectionId::new(&id)
        }));
        config
    }
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig").field("handshake_time", &self.handshake_time).finish_non_exhaustive()
    }
}
