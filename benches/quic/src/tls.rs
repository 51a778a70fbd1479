//! The same suite, chain and key exchange for all.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

pub const NAME: &str = "bench.test";

/// A certificate (ECDSA P-256) with its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        let (certificate, provider) = (self.certificate.clone(), Arc::clone(&self.provider));
        Self { certificate, key: self.key.clone_key(), provider }
    }
}

impl Identity {
    pub fn generate(post_quantum: bool) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap().der().clone();
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![if post_quantum {
            aws_lc_rs::kx_group::X25519MLKEM768
        } else {
            aws_lc_rs::kx_group::X25519
        }];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self { certificate, key, provider: Arc::new(provider) }
    }

    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        Arc::new(tls)
    }

    pub fn client(&self, resumes: bool) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        if !resumes {
            tls.resumption = rustls::client::Resumption::disabled();
        }
        Arc::new(tls)
    }
}
