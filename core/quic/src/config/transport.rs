//! What both sides of a connection tune.

use super::{InvalidConfig, range};
use crate::congestion::Opening;
use quinn_proto::congestion::{CubicConfig, NewRenoConfig};
use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// The congestion controller. (quinn-proto's BBR draws on ambient randomness, so that it is not offered.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// New Reno (RFC 9002 7).
    NewReno,
}

/// A connection's transport parameters and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Bidirectional streams that the peer may have open. Default 100.
    pub bidirectional_streams: u32,
    /// Unidirectional streams that the peer may have open. Default 100.
    pub unidirectional_streams: u32,
    /// Bytes of one stream that may wait to be read here. Default 1.25 MB: 100 Mbit/s at 100 ms.
    pub stream_window: u32,
    /// Bytes of all streams of a connection that may wait to be read here. Default 8 stream windows, 10 MB.
    pub connection_window: u32,
    /// Bytes written here that may wait to be acknowledged, over all streams. Default 8 stream windows, 10 MB.
    pub send_window: u64,
    /// Close after hearing nothing for so long (the lesser of both sides' counts); `None` never. Default 30 s.
    pub idle_timeout: Option<Duration>,
    /// Ping when so long nothing was sent or heard, so that the connection stays open; `None` never. Default `None`.
    pub keep_alive: Option<Duration>,
    /// The round-trip time assumed before one was measured. Default 333 ms (RFC 9002 6.2.2).
    pub initial_rtt: Duration,
    /// UDP payload to begin with, 1200 to 65,527: what the path is known to carry. Default 1200.
    pub initial_mtu: u16,
    /// The largest UDP payload to probe for (RFC 8899), 1200 to 65,527; `None` stays with `initial_mtu`. Default 1452: Ethernet
    /// with IPv6.
    pub largest_mtu: Option<u16>,
    /// Bytes of received datagrams (RFC 9221) that may wait, each counted with 32 more; older ones are dropped for newer. `None`
    /// switches datagrams off. What waits keeps its packets in memory: small datagrams in large packets up to forty times their
    /// own size. Default 64 KiB.
    pub datagram_receive_buffer: Option<usize>,
    /// Bytes of datagrams to send that may wait. Default 1 MiB.
    pub datagram_send_buffer: usize,
    /// Bytes of out-of-order handshake data to keep. Default 16 KiB.
    pub crypto_buffer: usize,
    /// Whether streams of one priority take turns packet by packet (`true`) or finish one after the other. Default `true`.
    pub fair_streams: bool,
    /// The congestion controller. Default CUBIC.
    pub congestion: Congestion,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            bidirectional_streams: 100,
            unidirectional_streams: 100,
            stream_window: 1_250_000,
            connection_window: 10_000_000,
            send_window: 10_000_000,
            idle_timeout: Some(Duration::from_secs(30)),
            keep_alive: None,
            initial_rtt: Duration::from_millis(333),
            initial_mtu: 1200,
            largest_mtu: Some(1452),
            datagram_receive_buffer: Some(64 * 1024),
            datagram_send_buffer: 1024 * 1024,
            crypto_buffer: 16 * 1024,
            fair_streams: true,
            congestion: Congestion::Cubic,
        }
    }
}

/// A day: no peer is waited for longer.
const LONGEST_IDLE: Duration = Duration::from_secs(24 * 60 * 60);

impl Transport {
    pub(crate) fn build(&self) -> Result<Arc<TransportConfig>, InvalidConfig> {
        range("initial_mtu", self.initial_mtu.into(), 1200, 65_527)?;
        range("crypto_buffer", self.crypto_buffer as u64, 4096, 1024 * 1024)?;
        range("stream_window", self.stream_window.into(), 1, u32::MAX.into())?;
        range("connection_window", self.connection_window.into(), 1, u32::MAX.into())?;
        range("send_window", self.send_window, 1, u64::MAX)?;
        range("initial_rtt in µs", micros(self.initial_rtt), 1, 60_000_000)?;
        let mut config = TransportConfig::default();
        if let Some(largest) = self.largest_mtu {
            range("largest_mtu", largest.into(), self.initial_mtu.into(), 65_527)?;
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(largest);
            config.mtu_discovery_config(Some(discovery));
        } else {
            config.mtu_discovery_config(None);
        }
        let idle = match self.idle_timeout {
            Some(idle) => {
                range("idle_timeout in µs", micros(idle), 1000, micros(LONGEST_IDLE))?;
                Some(IdleTimeout::try_from(idle).map_err(|_| InvalidConfig::Range {
                    name: "idle_timeout in µs",
                    value: micros(idle),
                    least: 1000,
                    most: micros(LONGEST_IDLE),
                })?)
            }
            None => None,
        };
        if let Some(interval) = self.keep_alive {
            range("keep_alive in µs", micros(interval), 1000, micros(LONGEST_IDLE))?;
        }
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidirectional_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(self.unidirectional_streams))
            .stream_receive_window(VarInt::from_u32(self.stream_window))
            .receive_window(VarInt::from_u32(self.connection_window))
            .send_window(self.send_window)
            .max_idle_timeout(idle)
            .keep_alive_interval(self.keep_alive)
            .initial_rtt(self.initial_rtt)
            .initial_mtu(self.initial_mtu)
            .datagram_receive_buffer_size(self.datagram_receive_buffer)
            .datagram_send_buffer_size(self.datagram_send_buffer)
            .crypto_buffer_size(self.crypto_buffer)
            .send_fairness(self.fair_streams)
            .congestion_controller_factory(match self.congestion {
                Congestion::Cubic => Arc::new(Opening(Arc::new(CubicConfig::default()))),
                Congestion::NewReno => Arc::new(Opening(Arc::new(NewRenoConfig::default()))),
            });
        Ok(Arc::new(config))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_limits_are_kept() {
        assert!(Transport::default().build().is_ok());
        let ends = [
            (Transport { initial_mtu: 1200, ..Transport::default() }, true),
            (Transport { initial_mtu: 1199, ..Transport::default() }, false),
            (Transport { largest_mtu: Some(1199), ..Transport::default() }, false),
            (Transport { largest_mtu: Some(65_527), ..Transport::default() }, true),
            (Transport { largest_mtu: Some(65_528), ..Transport::default() }, false),
            (Transport { crypto_buffer: 4095, ..Transport::default() }, false),
            (Transport { stream_window: 0, ..Transport::default() }, false),
            (Transport { idle_timeout: Some(LONGEST_IDLE), ..Transport::default() }, true),
            (
                Transport {
                    idle_timeout: Some(LONGEST_IDLE + Duration::from_micros(1)),
                    ..Transport::default()
                },
                false,
            ),
            (Transport { idle_timeout: Some(Duration::ZERO), ..Transport::default() }, false),
            (
                Transport { idle_timeout: None, keep_alive: Some(Duration::ZERO), ..Transport::default() },
                false,
            ),
            (Transport { initial_rtt: Duration::ZERO, ..Transport::default() }, false),
        ];
        for (transport, valid) in ends {
            assert_eq!(transport.build().is_ok(), valid, "{transport:?}");
        }
    }
}
