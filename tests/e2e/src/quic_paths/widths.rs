//! How long packets may be on a path (RFC 8899, RFC 9000 14), and how fast they follow each other (RFC 9002, 7.7).

use super::relay::Relay;
use super::{ask, echo};
use crate::quic::support::{Identity, NAME, local, pattern};
use futures_util::future::join;
use shroud::runtime::{Runtime, RuntimeExt, Task};
use shroud_quic::{Connection, Endpoint, EndpointConfig, ServerConfig, Transport};
use std::time::Duration;

/// A connection through a relay, whose server echoes streams.
struct Through<R: Runtime> {
    relay: Relay<R>,
    client: Connection,
    server: Connection,
    _endpoints: [Endpoint<R>; 2],
    _echo: Task<()>,
}

impl<R: Runtime> Through<R> {
    /// The path carries so many bytes, from the first packet on.
    async fn new(runtime: &R, transport: &Transport, carried: u16) -> Self {
        let identity = Identity::generate();
        let config = ServerConfig { transport: transport.clone(), ..identity.server() };
        let there = Endpoint::server(runtime, local(), &EndpointConfig::default(), &config).await.unwrap();
        let here = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap();
        let relay = Relay::new(runtime, there.local_addr()).await;
        relay.carry(carried.into());
        let config = identity.client_with(transport);
        let connecting = here.connect(&config, relay.address, NAME).unwrap();
        let accept = async { there.accept().await.unwrap().await.unwrap() };
        let (client, server) = join(connecting, accept).await;
        let echo = runtime.spawn("echo", echo(server.clone()));
        Self { relay, client: client.unwrap(), server, _endpoints: [there, here], _echo: echo }
    }

    fn widths(&self) -> [u16; 2] {
        [&self.client, &self.server].map(|end| end.stats().path.current_mtu)
    }

    /// Asks until both ends have found this width, or one within a step of the search of it.
    async fn find(&self, width: u16) {
        for _ in 0..100 {
            if self.widths().iter().all(|found| *found > width - STEP) {
                break;
            }
            ask(&self.client, &pattern(50_000)).await;
        }
        let widths = self.widths();
        assert!(widths.iter().all(|found| (width - STEP..=width).contains(found)), "{widths:?}, not {width}");
    }
}

/// The search ends when it knows the width to so many bytes.
const STEP: u16 = 20;

/// From 1200 bytes up to what was configured, and no further.
pub async fn the_width_is_found_out<R: Runtime>(runtime: R) {
    for largest in [1452, 1300] {
        let transport = Transport { largest_mtu: Some(largest), ..Transport::default() };
        let through = Through::new(&runtime, &transport, u16::MAX).await;
        assert!(through.widths().iter().all(|width| (1200..=largest).contains(width)));
        through.find(largest).await;
        assert_eq!(through.relay.dropped(), 0);
    }
    // Unless it is not to be looked for.
    let transport = Transport { largest_mtu: None, ..Transport::default() };
    let through = Through::new(&runtime, &transport, u16::MAX).await;
    ask(&through.client, &pattern(500_000)).await;
    assert_eq!(through.widths(), [1200; 2]);
    assert_eq!(through.client.stats().path.sent_plpmtud_probes, 0);
}

/// A path that carries less than was configured: probes are lost on it, and nothing else is.
pub async fn a_narrow_path_is_found_out<R: Runtime>(runtime: R) {
    const WIDTH: u16 = 1330;
    let through = Through::new(&runtime, &Transport::default(), WIDTH).await;
    ask(&through.client, &pattern(900_000)).await;
    through.find(WIDTH).await;
    let lost = through.client.stats().path.lost_plpmtud_probes;
    assert!(lost > 0 && through.relay.dropped() > 0, "{lost} probes, {} dropped", through.relay.dropped());
    assert_eq!(through.client.stats().path.black_holes_detected, 0, "only probes were too long");
}

/// A path that carries less from some moment on: both ends notice, and what was written arrives.
pub async fn a_black_hole_is_noticed<R: Runtime>(runtime: R) {
    const WIDTH: u16 = 1250;
    let through = Through::new(&runtime, &Transport::default(), u16::MAX).await;
    through.find(1452).await;
    through.relay.carry(WIDTH.into());
    for _ in 0..3 {
        ask(&through.client, &pattern(200_000)).await;
    }
    assert!(through.relay.dropped() > 0);
    let widths = through.widths();
    assert!(widths.iter().all(|width| *width <= WIDTH), "{widths:?}");
    for end in [&through.client, &through.server] {
        assert!(end.stats().path.black_holes_detected > 0);
    }
}

/// A whole congestion window does not leave at once: no more than a small burst, and from then on so much in each round trip.
pub async fn packets_are_paced<R: Runtime>(runtime: R) {
    const DELAY: Duration = Duration::from_millis(60);
    const LENGTH: usize = 60_000;
    let transport = Transport { largest_mtu: None, ..Transport::default() };
    let through = Through::new(&runtime, &transport, u16::MAX).await;
    let Through { relay, client, .. } = &through;
    relay.delay(DELAY);
    // Until the window is large: it grows while it is used.
    for _ in 0..50 {
        if client.stats().path.cwnd >= 2 * LENGTH as u64 {
            break;
        }
        ask(client, &pattern(300_000)).await;
    }
    assert!(client.stats().path.cwnd >= 2 * LENGTH as u64, "{:?}", client.stats().path);
    let mut looks = 0;
    while looks < 5 {
        // All that was sent is acknowledged, and the next burst may be a whole one.
        runtime.sleep(4 * DELAY).await;
        let mut send = client.open_uni().await.unwrap();
        let before = client.stats();
        let begun = runtime.now();
        send.write_all(&pattern(LENGTH)).await.unwrap();
        send.finish().unwrap();
        loop {
            let sent = client.stats().udp_tx.bytes - before.udp_tx.bytes;
            // Later than what it is held against: a machine that is busy elsewhere allows more, never less.
            let elapsed = runtime.now().saturating_duration_since(begun);
            if elapsed >= DELAY {
                // Acknowledgements may change the window from here on.
                break;
            }
            let rate = before.path.cwnd as f64 / before.path.rtt.as_secs_f64();
            // Two milliseconds' worth, or ten packets, and once more after the rest; each is rounded up to a packet.
            let burst = 2.0 * (rate * 0.002).max(10.0 * 1200.0) + 2.0 * 1200.0;
            let allowed = burst + 1.25 * rate * elapsed.as_secs_f64();
            assert!(
                sent as f64 <= allowed,
                "{sent} bytes in {elapsed:?}, not {allowed:.0}: {:?}",
                before.path
            );
            if sent > 0 && allowed < LENGTH as f64 {
                looks += 1;
            }
            runtime.sleep(Duration::from_millis(2)).await;
        }
        let _ = send.stopped().await;
    }
}
