use crate::support::*;
use futures_lite::future::block_on;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use shroud_rustls::{Certificates, ChallengeCertificate, Handshake, ServerOptions, alpn, provider, rustls};
use std::sync::Arc;

/// As an ACME server does: it takes any certificate, to look at it; a proof has a critical extension that webpki does not know.
#[derive(Debug)]
struct Look;

impl ServerCertVerifier for Look {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

struct Server {
    certificates: Arc<Certificates>,
    config: Arc<rustls::ServerConfig>,
}

impl Server {
    fn new() -> Self {
        let certificates = Certificates::by_acme();
        let options = ServerOptions::new(provider(), Arc::new(Clock), Arc::clone(&certificates));
        let config = options.protocols(certificates.http_protocols()).config().unwrap();
        Self { certificates, config: Arc::new(config) }
    }

    /// What a client is shown that asks for `name` and offers `protocols`.
    fn show(&self, name: &str, protocols: &[&[u8]]) -> Result<Arc<Handshake>, Error> {
        let mut client = ClientConfig::builder_with_details(provider(), Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Look))
            .with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let (client, _) = block_on(shake_for(name, &Arc::new(client), &self.config, Pipe::default()));
        match client {
            Ok(client) => Ok(client.handshake()),
            failed => Err(tls_error(failed)),
        }
    }

    fn refuses(&self, name: &str, protocols: &[&[u8]]) -> bool {
        self.show(name, protocols) == Err(Error::AlertReceived(AlertDescription::AccessDenied))
    }
}

#[test]
fn without_a_certificate_clients_are_refused_by_an_alert() {
    let server = Server::new();
    assert!(server.refuses("a.test", &[alpn::H2]) && server.refuses("a.test", &[]));
    server.certificates.replace(vec![dev(1, &["a.test"]).certificate()]).unwrap();
    assert_eq!(server.show("a.test", &[alpn::H2]).unwrap().protocol.as_deref(), Some(alpn::H2));
}

#[test]
fn a_proof_is_shown_while_it_is_presented_and_to_those_who_look_for_it_only() {
    let server = Server::new();
    let own = dev(1, &["a.test"]).certificate();
    server.certificates.replace(vec![own.clone()]).unwrap();
    let acme: &[&[u8]] = &[alpn::ACME_TLS_1];
    assert!(server.refuses("a.test", acme));

    let mut byte = 0;
    let entropy = |out: &mut [u8]| {
        byte += 1;
        out.fill(byte);
    };
    let proof = ChallengeCertificate::generate("a.test", &[5; 32], NOW, entropy, &provider()).unwrap();
    server.certificates.present(&proof);
    let shown = server.show("a.test", acme).unwrap();
    assert_eq!(shown.protocol.as_deref(), Some(alpn::ACME_TLS_1));
    assert_ne!(shown.peer_certificates, own.chain());
    // The digest is in it.
    assert!(shown.peer_certificates[0].windows(32).any(|bytes| bytes == [5; 32]));
    assert!(server.refuses("b.test", acme));
    for protocols in [&[][..], &[alpn::HTTP_1_1], &[alpn::ACME_TLS_1, alpn::HTTP_1_1]] {
        let shown = server.show("a.test", protocols).unwrap();
        assert_eq!(shown.peer_certificates, own.chain());
        assert_ne!(shown.protocol.as_deref(), Some(alpn::ACME_TLS_1));
    }

    server.certificates.withdraw("a.test");
    assert!(server.refuses("a.test", acme));
}

#[test]
fn other_certificates_know_nothing_of_it() {
    let certificates = Certificates::new(vec![dev(1, &[]).certificate()]).unwrap();
    assert_eq!(certificates.http_protocols(), [alpn::H2, alpn::HTTP_1_1]);
    let proof =
        ChallengeCertificate::generate("localhost", &[5; 32], NOW, |out| out.fill(1), &provider()).unwrap();
    certificates.present(&proof);
    let config = ServerOptions::new(provider(), Arc::new(Clock), Arc::clone(&certificates));
    let config = Arc::new(config.protocols(certificates.http_protocols()).config().unwrap());
    let server = Server { certificates, config };
    let refused = server.show("localhost", &[alpn::ACME_TLS_1]);
    assert_eq!(refused, Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
}
