//! QUIC on simulated networks that lose, delay and mangle; and bit for bit again.

use crate::quic::support::{Identity, NAME, pattern};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use shroud::runtime::Runtime;
use shroud_quic::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, Transport, VarInt};
use shroud_sim::chance::{Chance, Rate};
use shroud_sim::{HostConfig, LinkConfig, Outcome, SimConfig, SimRuntime, Simulation};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

const PORT: u16 = 443;

/// TLS's chance from a seed: for simulations only.
#[derive(Debug)]
struct Seeded(Mutex<Chance>);

impl SecureRandom for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
        Ok(())
    }
}

/// X25519 with keys from a seed.
#[derive(Debug)]
struct SeededX25519(&'static Seeded);

struct Exchange {
    private: PrivateKey,
    public: Vec<u8>,
}

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        self.0.fill(&mut secret)?;
        let private = PrivateKey::from_private_key(&X25519, &secret).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        Ok(Box::new(Exchange { private, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = Error::from(PeerMisbehaved::InvalidKeyShare);
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agree(&self.private, peer, invalid, |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Leaks a few bytes: rustls asks for what lives for ever.
fn seeded_provider(seed: u64) -> Arc<CryptoProvider> {
    let chance: &'static Seeded = Box::leak(Box::new(Seeded(Mutex::new(Chance::new(seed)))));
    let group: &'static SeededX25519 = Box::leak(Box::new(SeededX25519(chance)));
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random = chance;
    provider.kx_groups = vec![group];
    Arc::new(provider)
}

/// Echoes everything of one connection.
async fn serve(runtime: SimRuntime, config: ServerConfig) {
    let any = SocketAddr::from(([0, 0, 0, 0], PORT));
    let endpoint = Endpoint::server(&runtime, any, &EndpointConfig::default(), &config).await.unwrap();
    while let Some(connecting) = endpoint.accept().await {
        runtime
            .spawn("serve", async move {
                let Ok(connection) = connecting.await else { return };
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    while let Ok(Some(chunk)) = receive.read_chunk(usize::MAX).await {
                        send.write_chunk(chunk).await.unwrap();
                    }
                    let _ = send.finish();
                    let _ = send.stopped().await;
                }
            })
            .detach();
    }
}

/// Sends `length` bytes, twice, and gets them back; from another port the second time.
async fn ask(runtime: SimRuntime, config: ClientConfig, length: usize) {
    let address = runtime.lookup("server", PORT).await.unwrap()[0];
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let endpoint = Endpoint::client(&runtime, any, &EndpointConfig::default()).await.unwrap();
    let connection = loop {
        if let Ok(connection) = endpoint.connect(&config, address, NAME).unwrap().await {
            break connection;
        }
    };
    let bytes = pattern(length);
    for _ in 0..2 {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let write = async {
            send.write_all(&bytes).await.unwrap();
            send.finish().unwrap();
        };
        let (_, answer) = futures_util::join!(write, receive.read_to_end(length));
        assert!(answer.unwrap() == bytes);
        endpoint.rebind(any).await.unwrap();
    }
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
}

fn simulate(seed: u64, identity: &Identity, link: &LinkConfig, length: usize) -> Outcome {
    let provider = seeded_provider(seed);
    let simulation = Simulation::new(SimConfig::seed(seed));
    let server = simulation.host(HostConfig::new("server"));
    let client = simulation.host(HostConfig::new("client"));
    simulation.universe().change_links(|each| *each = *link);
    let there = ServerConfig::new(Arc::new(identity.server_tls_with(Arc::clone(&provider))));
    let here =
        ClientConfig::new(Arc::new(identity.client_tls_with(provider)), &Transport::default()).unwrap();
    server.start(1, move |runtime| serve(runtime, there.clone()));
    let program = client.start(1, move |runtime| ask(runtime, here.clone(), length));
    let outcome = simulation.run_while(|| program.is_running());
    assert!(outcome.is_done(), "seed {seed}: {outcome}");
    assert_eq!(program.results(), [Some(Ok(()))], "seed {seed}");
    outcome
}

#[test]
fn bytes_are_whole_over_bad_networks() {
    let identity = Identity::generate();
    for seed in 0..10 {
        simulate(seed, &identity, &LinkConfig::lossy(), 200_000);
        let worse = LinkConfig { loss: Rate::percent(10), ..LinkConfig::lossy() };
        simulate(seed, &identity, &worse, 50_000);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let identity = Identity::generate();
    let run = |seed| simulate(seed, &identity, &LinkConfig::lossy(), 50_000).hash;
    let hashes: Vec<_> = (0..3).map(run).collect();
    assert_eq!(hashes, (0..3).map(run).collect::<Vec<_>>());
    assert_ne!(hashes[0], hashes[1]);
}
