//! TLS under the HTTP server: any bytes, or a real client's records that are bent, cut, repeated or lost on their way from some
//! point on. Never a panic; the server answers in records, and the connection ends by itself.
//!
//! The first byte says how many of the client's flights arrive whole (all of the input is sent as it is when there is none),
//! then four bytes a record say what happens to it.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime, Peer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use shroud_ghostwire::http::{Limits, Router, Server, handler_fn, text};
use shroud_runtime::{Class, Runtime};
use shroud_rustls::{
    Certificate, Certificates, DevCertificate, DevKey, SeamClock, ServerOptions, alpn, provider,
};
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longer than the server lets a client take for anything.
const PATIENCE: Duration = Duration::from_secs(80);

/// The unix time of the memory's clock.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// The server's certificate, and a client that does not mind the time.
fn identity() -> &'static (Certificate, Arc<ClientConfig>) {
    static IDENTITY: OnceLock<(Certificate, Arc<ClientConfig>)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made =
            DevCertificate::generate(DevKey::P256, &[], NOW, |out| out.fill(7)).expect("a certificate");
        let (chain, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
        let certificate = Certificate::from_pem(chain, key, NOW, &provider()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.chain()[0].clone()).expect("an anchor");
        let clock = SeamClock::new(Memory::new().runtime.clone());
        let config = ClientConfig::builder_with_details(provider(), clock)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (certificate, Arc::new(config))
    })
}

fn server(runtime: &MemoryRuntime) -> Server<Router> {
    let certificates = Certificates::new(vec![identity().0.clone()]).expect("one");
    let options = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates);
    let tls = options.protocols(&[alpn::H2, alpn::HTTP_1_1]).config().expect("a configuration");
    let router = Router::new().get("/", handler_fn(|_| async { text("hello") }));
    Server::new(router, Limits::default()).expect("valid limits").with_tls(Arc::new(tls))
}

fuzz_target!(|input: &[u8]| {
    let &[whole, ref bytes @ ..] = input else { return };
    let memory = Memory::new();
    let (peer, listener) = Peer::new();
    peer.make_room(usize::MAX);
    let (server, runtime) = (server(&memory.runtime), memory.runtime.clone());
    let _served = memory
        .runtime
        .spawn_in(Class::Network, "serve", async move { server.serve(&runtime, listener).await });
    if whole == 0 {
        for piece in bytes.chunks(100) {
            peer.send(piece);
            memory.settle();
        }
    } else {
        converse(&memory, &peer, usize::from(whole), bytes);
    }
    for _ in 0..4 {
        memory.advance(PATIENCE);
    }
    assert!(peer.is_closed(), "the connection goes on for ever");
    check_records(&peer.output());
});

/// A client that asks, over records that change on their way after the first ones.
fn converse(memory: &Memory, peer: &Peer, whole: usize, script: &[u8]) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&identity().1), name).expect("a client");
    let mut script = script.chunks_exact(4);
    let mut taken = 0;
    for flight in 1..12 {
        if !client.is_handshaking() {
            let _ = client.writer().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).expect("memory");
        }
        let change = (flight >= whole).then(|| script.next()).flatten();
        if let Some(&[what, high, low, value]) = change {
            let at = (usize::from(high) << 8 | usize::from(low)) % sent.len().max(1);
            match what % 6 {
                0 => sent.truncate(at),
                1 => {
                    sent.get_mut(at).into_iter().for_each(|byte| *byte ^= value);
                }
                2 => sent.extend_from_within(at..),
                3 => sent.insert(at.min(sent.len()), value),
                4 => sent.clear(),
                _ => sent.extend([20 + value % 5, 3, 3, 0, value, high, low]),
            }
        }
        peer.send(&sent);
        memory.settle();
        let output = peer.output();
        let mut new = output.get(taken..).unwrap_or_default();
        taken = output.len();
        while !new.is_empty() {
            if client.read_tls(&mut new).is_err() || client.process_new_packets().is_err() {
                return;
            }
        }
    }
}

/// Alerts, handshake messages and data in records (RFC 8446, 5.1).
fn check_records(mut output: &[u8]) {
    while let [kind, 3, _, high, low, rest @ ..] = output {
        assert!((20..=23).contains(kind), "a record of kind {kind}");
        output = rest.get(usize::from(*high) << 8 | usize::from(*low)..).unwrap_or(&[]);
    }
    assert!(output.len() < 5, "no record: {output:?}");
}
