//! How a client does TLS.

use crate::anchors;
use crate::certificate::Certificate;
use crate::server::ConfigError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Sessions that a client remembers, over all servers.
const SESSIONS: usize = 256;

/// Which servers a client believes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// Those whose certificate leads to one of these anchors and is for the name asked for.
    Anchors(Arc<RootCertStore>),
    /// Any at all, as curl's `-k`: whoever sits in between reads and changes everything. The handshake's signature is
    /// still checked, so that only the certificate's owner can answer, whoever that is.
    InsecureAnyone,
}

impl Trust {
    /// The anchors of a PEM text, all of which must be readable.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or one cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Self, ConfigError> {
        anchors::strict(text).map(Self::Anchors)
    }

    /// The anchors of a system's bundle: those that cannot be read are left out, as old ones often cannot.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none that can be read.
    pub fn from_bundle(text: &[u8]) -> Result<Self, ConfigError> {
        anchors::lenient(text).map(Self::Anchors)
    }
}

/// A client's side of TLS: what becomes a [`ClientConfig`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
    trust: Trust,
    certificate: Option<Certificate>,
    protocols: Vec<Vec<u8>>,
    resumption: bool,
    only_13: bool,
}

impl ClientOptions {
    /// A client that believes `trust`, has no certificate, offers no application protocol and resumes sessions.
    pub fn new(provider: Arc<CryptoProvider>, clock: Arc<dyn TimeProvider>, trust: Trust) -> Self {
        Self {
            provider,
            clock,
            trust,
            certificate: None,
            protocols: Vec::new(),
            resumption: true,
            only_13: false,
        }
    }

    /// What to show servers that ask for it.
    #[must_use]
    pub fn certificate(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// The application protocols to offer, the preferred one first.
    #[must_use]
    pub fn protocols(self, protocols: &[&[u8]]) -> Self {
        Self { protocols: protocols.iter().map(|name| name.to_vec()).collect(), ..self }
    }

    /// Whether to resume sessions with servers seen before (256 are remembered). Default: yes.
    #[must_use]
    pub fn resumption(self, resumption: bool) -> Self {
        Self { resumption, ..self }
    }

    /// TLS 1.3 only, as QUIC needs it. Default: 1.2 too.
    #[must_use]
    pub fn only_tls_13(self) -> Self {
        Self { only_13: true, ..self }
    }

    /// The configuration. Each one made remembers its own sessions.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn config(&self) -> Result<ClientConfig, ConfigError> {
        let builder = ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.clock))
            .with_protocol_versions(anchors::versions(self.only_13))?;
        let builder = match &self.trust {
            Trust::Anchors(roots) => builder.with_webpki_verifier(
                WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&self.provider))
                    .build()?,
            ),
            Trust::InsecureAnyone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyoneVerifier {
                    algorithms: self.provider.signature_verification_algorithms,
                }))
            }
        };
        let mut config = match &self.certificate {
            Some(certificate) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                Arc::clone(certificate.certified_key()),
            ))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config.resumption =
            if self.resumption { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
        Ok(config)
    }
}

/// Believes every certificate, but not that somebody has its key.
#[derive(Debug)]
struct AnyoneVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyoneVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
