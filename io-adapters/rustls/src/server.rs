//! How a server does TLS.

use crate::anchors;
use crate::certificate::CertificateError;
use crate::resolver::Certificates;
use crate::tickets::Tickets;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// Whom a server lets in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Clients are not asked for certificates.
    #[default]
    None,
    /// They are asked; one that has none is let in, one whose certificate does not verify is not.
    Optional(Arc<RootCertStore>),
    /// They must have one (mTLS).
    Required(Arc<RootCertStore>),
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The trust anchors.
    #[error("the trust anchors cannot be used: {0}")]
    Anchors(String),
    /// The provider supports no version that was asked for, or a key is unfit.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] rustls::Error),
}

impl From<VerifierBuilderError> for ConfigError {
    fn from(error: VerifierBuilderError) -> Self {
        Self::Anchors(error.to_string())
    }
}

/// A server's side of TLS: what becomes a [`ServerConfig`], which all its shards share.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
    certificates: Arc<Certificates>,
    clients: ClientCertificates,
    protocols: Vec<Vec<u8>>,
    resumption: bool,
    only_13: bool,
    early_sessions: usize,
}

impl ServerOptions {
    /// A server with `certificates`; any client is let in, no application protocol is named, sessions resume.
    pub fn new(
        provider: Arc<CryptoProvider>,
        clock: Arc<dyn TimeProvider>,
        certificates: Arc<Certificates>,
    ) -> Self {
        Self {
            provider,
            clock,
            certificates,
            clients: ClientCertificates::default(),
            protocols: Vec::new(),
            resumption: true,
            only_13: false,
            early_sessions: 0,
        }
    }

    /// Whom to let in.
    #[must_use]
    pub fn clients(self, clients: ClientCertificates) -> Self {
        Self { clients, ..self }
    }

    /// The application protocols, the preferred one first. A client that offers only others is refused (RFC 7301, 3.2);
    /// one that offers none is not.
    #[must_use]
    pub fn protocols(self, protocols: &[&[u8]]) -> Self {
        Self { protocols: protocols.iter().map(|name| name.to_vec()).collect(), ..self }
    }

    /// Whether sessions can be resumed, by tickets that last 6 to 12 hours. Default: yes.
    #[must_use]
    pub fn resumption(self, resumption: bool) -> Self {
        Self { resumption, ..self }
    }

    /// TLS 1.3 only, as QUIC needs it. Default: 1.2 too.
    #[must_use]
    pub fn only_tls_13(self) -> Self {
        Self { only_13: true, ..self }
    }

    /// Takes early data (0-RTT, RFC 8446 8) over QUIC from clients whose session is among the last so many, which this
    /// configuration then remembers: each is good for one connection, so that early data is not taken twice by the shards
    /// that share the configuration. Another process may take it again. Default: none.
    #[must_use]
    pub fn early_data(self, sessions: usize) -> Self {
        Self { early_sessions: sessions, ..self }
    }

    /// The certificates, to be replaced while connections go on.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The configuration. Each one made has ticket keys of its own.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn config(&self) -> Result<ServerConfig, ConfigError> {
        let builder = ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.clock))
            .with_protocol_versions(anchors::versions(self.only_13))?;
        let verifier = |roots: &Arc<RootCertStore>| {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&self.provider))
        };
        let builder = match &self.clients {
            ClientCertificates::None => builder.with_no_client_auth(),
            ClientCertificates::Optional(roots) => {
                builder.with_client_cert_verifier(verifier(roots).allow_unauthenticated().build()?)
            }
            ClientCertificates::Required(roots) => {
                builder.with_client_cert_verifier(verifier(roots).build()?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.certificates) as _);
        config.alpn_protocols.clone_from(&self.protocols);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.resumption && self.early_sessions > 0 {
            // What QUIC asks for (RFC 9001, 4.6.1).
            config.max_early_data_size = u32::MAX;
            config.session_storage = ServerSessionMemoryCache::new(self.early_sessions);
        } else if self.resumption {
            config.ticketer = Tickets::new(self.provider.secure_random, Arc::clone(&self.clock));
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

impl ClientCertificates {
    /// They must have one that leads to an anchor of this PEM text.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or one cannot be read.
    pub fn required_from_pem(anchors_text: &[u8]) -> Result<Self, ConfigError> {
        anchors::strict(anchors_text).map(Self::Required)
    }

    /// As [`Self::required_from_pem`], but a client may also have none.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or one cannot be read.
    pub fn optional_from_pem(anchors_text: &[u8]) -> Result<Self, ConfigError> {
        anchors::strict(anchors_text).map(Self::Optional)
    }
}
