//! The same suite, chain and key exchange for all sides of a comparison.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The server's name.
pub const NAME: &str = "bench.test";

/// The one group that both sides offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyExchange {
    /// X25519 (RFC 7748).
    #[default]
    X25519,
    /// The hybrid post-quantum group X25519MLKEM768.
    X25519MlKem768,
}

/// A certificate (ECDSA P-256, self-signed) with its key, TLS 1.3 with AES-128-GCM, and one group.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    exchange: KeyExchange,
    provider: Arc<CryptoProvider>,
}

/// How many servers' certificates a client has verified: one for each full handshake, none for a resumed one.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<AtomicU64>);

impl Certificates {
    /// Since the start.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Identity {
    /// Makes a new key and certificate.
    ///
    /// # Errors
    /// When the library cannot make them.
    pub fn generate(exchange: KeyExchange) -> Result<Self, String> {
        let made = |error: rcgen::Error| format!("making a certificate: {error}");
        let key = rcgen::KeyPair::generate().map_err(made)?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()]).map_err(made)?;
        let certificate = certificate.self_signed(&key).map_err(made)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self { certificate, key, exchange, provider: provider(exchange) })
    }

    /// A server's configuration with this protocol (ALPN).
    ///
    /// # Errors
    /// When the key does not fit the certificate.
    pub fn server(&self, protocol: &[u8]) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        tls.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(tls))
    }

    /// A client's configuration with this protocol, which trusts this certificate only. With `resumes` it keeps tickets.
    ///
    /// # Errors
    /// When the certificate is no root.
    pub fn client(
        &self,
        protocol: &[u8],
        resumes: bool,
    ) -> Result<(Arc<rustls::ClientConfig>, Certificates), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let inner = inner.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        let certificates = Certificates::default();
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Counting {
                inner,
                certificates: certificates.clone(),
            }))
            .with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        if !resumes {
            tls.resumption = rustls::client::Resumption::disabled();
        }
        Ok((Arc::new(tls), certificates))
    }

    /// One line, for the server's process. It holds the key, of a certificate that nobody else trusts.
    #[must_use]
    pub fn to_line(&self) -> String {
        let exchange = match self.exchange {
            KeyExchange::X25519 => "x25519",
            KeyExchange::X25519MlKem768 => "x25519mlkem768",
        };
        format!("{} {} {exchange}", hex::encode(&self.certificate), hex::encode(self.key.secret_der()))
    }
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [certificate, key, exchange] = parts[..] else {
            return Err("an identity is a certificate, a key and a key exchange".into());
        };
        let bytes = |text: &str| hex::decode(text).map_err(|error| format!("an identity: {error}"));
        let exchange = match exchange {
            "x25519" => KeyExchange::X25519,
            "x25519mlkem768" => KeyExchange::X25519MlKem768,
            other => return Err(format!("no key exchange of the benchmark: {other:?}")),
        };
        Ok(Self {
            certificate: bytes(certificate)?.into(),
            key: PrivatePkcs8KeyDer::from(bytes(key)?).into(),
            exchange,
            provider: provider(exchange),
        })
    }
}

fn provider(exchange: KeyExchange) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![match exchange {
        KeyExchange::X25519 => aws_lc_rs::kx_group::X25519,
        KeyExchange::X25519MlKem768 => aws_lc_rs::kx_group::X25519MLKEM768,
    }];
    Arc::new(provider)
}

/// Verifies as rustls does by default, and counts.
#[derive(Debug)]
struct Counting {
    inner: Arc<WebPkiServerVerifier>,
    certificates: Certificates,
}

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.certificates.0.fetch_add(1, Ordering::Relaxed);
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_the_same_identity() {
        let made = Identity::generate(KeyExchange::X25519MlKem768).unwrap();
        let read: Identity = made.to_line().parse().unwrap();
        assert_eq!((read.to_line(), read.exchange), (made.to_line(), made.exchange));
        assert!(read.server(b"h3").is_ok() && read.client(b"h3", true).is_ok());
        assert!("00 11".parse::<Identity>().is_err() && "zz 00 x25519".parse::<Identity>().is_err());
    }
}
