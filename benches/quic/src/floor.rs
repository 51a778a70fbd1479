//! rustls alone: the server's part of a QUIC handshake in memory, without packets.

use crate::serve::thread_cpu;
use crate::tls::{Identity, NAME};
use rustls::quic::{ClientConnection, ServerConnection, Version};
use std::sync::Arc;
use std::time::Duration;

pub fn handshakes(identity: &Identity, count: usize, resumed: bool) -> Duration {
    let (server, client) = (identity.server(), identity.client(resumed));
    let mut spent = Duration::ZERO;
    // The first one gets the tickets.
    for round in 0..=count {
        let name = NAME.try_into().unwrap();
        let parameters = vec![0; 60];
        let mut client =
            ClientConnection::new(Arc::clone(&client), Version::V1, name, parameters.clone()).unwrap();
        let begun = thread_cpu();
        let mut server = ServerConnection::new(Arc::clone(&server), Version::V1, parameters).unwrap();
        let mut here = thread_cpu() - begun;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            while client.write_hs(&mut bytes).is_some() {}
            let begun = thread_cpu();
            if !bytes.is_empty() {
                server.read_hs(&bytes).unwrap();
            }
            let mut bytes = Vec::new();
            while server.write_hs(&mut bytes).is_some() {}
            here += thread_cpu() - begun;
            client.read_hs(&bytes).unwrap();
        }
        let mut tickets = Vec::new();
        let begun = thread_cpu();
        server.write_hs(&mut tickets);
        here += thread_cpu() - begun;
        client.read_hs(&tickets).unwrap();
        if round > 0 {
            spent += here;
        }
    }
    spent
}
