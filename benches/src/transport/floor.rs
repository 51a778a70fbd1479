//! rustls alone: the server's part of a QUIC handshake in memory, without packets.

use super::{Identity, NAME};
use crate::stats::median;
use rustix::time::{ClockId, clock_gettime};
use rustls::quic::{ClientConnection, ServerConnection, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks; the median block counts.
const BLOCKS: u32 = 5;

/// Server CPU of a handshake in rustls alone, in microseconds, measured for about `time`.
///
/// # Errors
/// In words, when a handshake fails.
pub fn handshake_floor(identity: &Identity, resumed: bool, time: Duration) -> Result<f64, String> {
    let failed = |error: rustls::Error| format!("a handshake in memory: {error}");
    let server = identity.server(b"bench").map_err(failed)?;
    let (client, certificates) = identity.client(b"bench", resumed).map_err(failed)?;
    // The first one gets the tickets.
    handshake(&server, &client).map_err(failed)?;
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        let (start, mut spent, mut count) = (Instant::now(), Duration::ZERO, 0_u64);
        let before = certificates.verified();
        while count == 0 || start.elapsed() < time / BLOCKS {
            spent += handshake(&server, &client).map_err(failed)?;
            count += 1;
        }
        let full = certificates.verified() - before;
        if full != if resumed { 0 } else { count } {
            return Err(format!("{full} of {count} handshakes in memory were full"));
        }
        blocks.push(spent.as_secs_f64() * 1e6 / count as f64);
    }
    Ok(median(&blocks).unwrap_or(f64::NAN))
}

/// What the server spends of it, tickets too.
fn handshake(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<rustls::ClientConfig>,
) -> Result<Duration, rustls::Error> {
    let name = NAME.try_into().map_err(|_| rustls::Error::General("the server's name".into()))?;
    // About as long as transport parameters are.
    let parameters = vec![0; 60];
    let mut client = ClientConnection::new(Arc::clone(client), Version::V1, name, parameters.clone())?;
    let begun = thread_cpu();
    let mut server = ServerConnection::new(Arc::clone(server), Version::V1, parameters)?;
    let mut spent = thread_cpu().saturating_sub(begun);
    loop {
        let flights = flights(|bytes| client.write_hs(bytes).is_some());
        let begun = thread_cpu();
        for flight in &flights {
            server.read_hs(flight)?;
        }
        let answers = self::flights(|bytes| server.write_hs(bytes).is_some());
        spent += thread_cpu().saturating_sub(begun);
        for answer in &answers {
            client.read_hs(answer)?;
        }
        if answers.is_empty() && !client.is_handshaking() && !server.is_handshaking() {
            return Ok(spent);
        }
    }
}

/// What one side has to say, apart for each kind of packet: `write` gives some, and whether keys change after it.
fn flights(mut write: impl FnMut(&mut Vec<u8>) -> bool) -> Vec<Vec<u8>> {
    let mut flights = Vec::new();
    loop {
        let mut bytes = Vec::new();
        let more = write(&mut bytes);
        if !bytes.is_empty() {
            flights.push(bytes);
        }
        if !more {
            return flights;
        }
    }
}

fn thread_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::KeyExchange;

    #[test]
    fn full_and_resumed_handshakes_are_what_they_say() {
        let identity = Identity::generate(KeyExchange::X25519).unwrap();
        for resumed in [false, true] {
            let floor = handshake_floor(&identity, resumed, Duration::from_millis(5)).unwrap();
            assert!(floor > 1.0 && floor < 1e6, "{floor}");
        }
    }
}
