//! Two worlds of one seed do the same handshake, bit by bit; nothing draws without a world.

use super::*;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use shroud_io_sim::{HostConfig, Universe, UniverseConfig};
use std::time::Duration;

#[derive(Debug)]
struct Noon;

impl TimeProvider for Noon {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    insecure_certificate("node").expect("a name")
}

fn host(universe: &Universe, name: &str) -> SimIo {
    let id = universe.add_host(HostConfig::new(name));
    universe.start(id)
}

/// All bytes that both sides of a session send.
fn session(seed: u64) -> Vec<u8> {
    let universe = Universe::new(UniverseConfig::new(seed));
    let (server, client) = (host(&universe, "server"), host(&universe, "client"));
    let (server, client) = (InsecureSimulatedProvider::new(server), InsecureSimulatedProvider::new(client));
    let (certificate, key) = certificate();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("an anchor");
    let server = ServerConfig::builder_with_details(server.provider(), Arc::new(Noon))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .expect("a server");
    let client = ClientConfig::builder_with_details(client.provider(), Arc::new(Noon))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("node").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    let mut sent = Vec::new();
    std::io::Write::write_all(&mut client.writer(), b"secret to nobody").expect("room");
    for _ in 0..6 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory");
        }
        sent.extend_from_slice(&bytes);
        server.read_tls(&mut bytes.as_slice()).expect("memory");
        server.process_new_packets().expect("a good client");
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory");
        }
        sent.extend_from_slice(&bytes);
        client.read_tls(&mut bytes.as_slice()).expect("memory");
        client.process_new_packets().expect("a good server");
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let mut read = [0; 16];
    std::io::Read::read_exact(&mut server.reader(), &mut read).expect("what the client sent");
    assert_eq!(&read, b"secret to nobody");
    sent
}

#[test]
fn the_seed_decides_every_byte() {
    let once = session(1);
    assert!(once.len() > 500 && once == session(1));
    assert!(once != session(2));
}

#[test]
fn nothing_draws_once_the_provider_is_gone() {
    let universe = Universe::new(UniverseConfig::new(1));
    let provider = InsecureSimulatedProvider::new(host(&universe, "host"));
    let rustls = provider.provider();
    let mut bytes = [0; 8];
    rustls.secure_random.fill(&mut bytes).expect("entropy");
    assert!(rustls.kx_groups[0].start().is_ok());
    drop(provider);
    assert!(rustls.secure_random.fill(&mut bytes).is_err());
    assert!(rustls.kx_groups[0].start().is_err());
}

#[test]
fn keys_that_sign_with_entropy_of_their_own_are_refused() {
    let universe = Universe::new(UniverseConfig::new(1));
    let provider = InsecureSimulatedProvider::new(host(&universe, "host")).provider();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let refused = provider.key_provider.load_private_key(key.into()).expect_err("a refusal");
    assert!(refused.to_string().contains("Ed25519 only"), "{refused}");
    assert!(provider.key_provider.load_private_key(certificate().1).is_ok());
}
