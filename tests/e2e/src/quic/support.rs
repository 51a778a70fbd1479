//! What the tests of QUIC share: certificates, endpoints, packets made by hand.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shroud::runtime::Runtime;
use shroud_quic::{ClientConfig, Connecting, Connection, Endpoint, EndpointConfig, ServerConfig, Transport};
use std::net::SocketAddr;
use std::sync::Arc;

/// The name in the tests' certificate.
pub const NAME: &str = "quic.test";
/// The application protocol of the tests.
pub const PROTOCOL: &[u8] = b"test";

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, which also is what clients trust.
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A fresh one for [`NAME`]: Ed25519, so that handshakes are of one size.
    pub fn generate() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    /// A server that shows it and takes early data.
    pub fn server_tls(&self) -> rustls::ServerConfig {
        self.server_tls_with(provider())
    }

    /// The same, with keys of a provider of the test's own.
    pub fn server_tls_with(&self, provider: Arc<CryptoProvider>) -> rustls::ServerConfig {
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        tls.max_early_data_size = u32::MAX;
        tls
    }

    /// A client that trusts it and offers early data.
    pub fn client_tls(&self) -> rustls::ClientConfig {
        self.client_tls_with(provider())
    }

    /// The same, with keys of a provider of the test's own.
    pub fn client_tls_with(&self, provider: Arc<CryptoProvider>) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        tls.enable_early_data = true;
        tls
    }

    /// A server's defaults.
    pub fn server(&self) -> ServerConfig {
        ServerConfig::new(Arc::new(self.server_tls()))
    }

    /// A client's defaults.
    pub fn client(&self) -> ClientConfig {
        self.client_with(&Transport::default())
    }

    /// A client with another transport.
    pub fn client_with(&self, transport: &Transport) -> ClientConfig {
        ClientConfig::new(Arc::new(self.client_tls()), transport).unwrap()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Any port of this host.
pub fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A server and a client endpoint.
pub struct Pair<R: Runtime> {
    /// Accepts.
    pub server: Endpoint<R>,
    /// Connects.
    pub client: Endpoint<R>,
    /// With this.
    pub config: ClientConfig,
}

impl<R: Runtime> Pair<R> {
    /// With defaults.
    pub async fn new(runtime: &R) -> Self {
        let identity = Identity::generate();
        Self::with(runtime, &identity.server(), identity.client()).await
    }

    /// With configurations of the test's own.
    pub async fn with(runtime: &R, server: &ServerConfig, config: ClientConfig) -> Self {
        let server = Endpoint::server(runtime, local(), &EndpointConfig::default(), server).await.unwrap();
        let client = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap();
        Self { server, client, config }
    }

    /// Starts to connect.
    pub fn connecting(&self) -> Connecting {
        self.client.connect(&self.config, self.server.local_addr(), NAME).unwrap()
    }

    /// Both ends of a connection: the client's, the server's.
    pub async fn connect(&self) -> (Connection, Connection) {
        let accept = async { self.server.accept().await.unwrap().await.unwrap() };
        let (client, server) = futures_util::join!(self.connecting(), accept);
        (client.unwrap(), server)
    }
}

/// Bytes that show a gap or a swap.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|position| (position.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
