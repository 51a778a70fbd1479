//! What a server does for its clients, and how much.

use super::{InvalidConfig, Transport, range};
use crate::secrets::Secrets;
use crate::tokens::UsedTokens;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{TimeSource, ValidationTokenConfig};
use std::sync::Arc;
use std::time::Duration;

/// When a client must prove its address by a round trip first (Retry, RFC 9000 8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Retry {
    /// Never.
    Never,
    /// While more handshakes are half open than [`Limits::half_open_free`].
    #[default]
    UnderLoad,
    /// Always.
    Always,
}

/// Bytes kept of a client whose handshake is not begun yet: what its first flight may have (RFC 9002, 7.2), with early data.
const EARLY_BYTES: u64 = 32 * 1024;
/// Bytes kept of all of them.
const ALL_EARLY_BYTES: u64 = 8 * 1024 * 1024;

/// A server's limits, each for one endpoint (one shard).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, among them half-open ones and closed ones that are still draining (three probe time-outs).
    /// Further ones are refused (CONNECTION_REFUSED). Default 10,000.
    pub connections: usize,
    /// Handshakes at a time whose end was not reached. Further first packets are dropped in silence, and their clients
    /// try again. Default 1,024.
    pub half_open: usize,
    /// Half-open handshakes from which on [`Retry::UnderLoad`] asks clients to prove their address. Default 256.
    pub half_open_free: usize,
    /// From a client's first packet to the end of the handshake. Default 10 s.
    pub handshake_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            half_open: 1024,
            half_open_free: 256,
            handshake_time: Duration::from_secs(10),
        }
    }
}

/// A server: its certificates and what it allows.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Certificates (or a resolver of them), ALPN, client authentication, tickets. For early data (0-RTT) set
    /// `max_early_data_size` to `u32::MAX`.
    pub tls: Arc<rustls::ServerConfig>,
    /// Limits.
    pub limits: Limits,
    /// When clients must prove their address first.
    pub retry: Retry,
    /// Transport parameters and limits of each connection.
    pub transport: Transport,
    /// Whether clients may change their address (RFC 9000 9). Default `true`.
    pub migration: bool,
    /// How long a Retry's token is good. Default 15 s.
    pub retry_token_time: Duration,
    /// Tokens given to each client, so that its next connection need not prove its address. Default 2.
    pub tokens: u32,
    /// How long they are good. Default one day.
    pub token_time: Duration,
}

impl ServerConfig {
    /// Defaults over a TLS configuration.
    #[must_use]
    pub fn new(tls: Arc<rustls::ServerConfig>) -> Self {
        Self {
            tls,
            limits: Limits::default(),
            retry: Retry::default(),
            transport: Transport::default(),
            migration: true,
            retry_token_time: Duration::from_secs(15),
            tokens: 2,
            token_time: Duration::from_secs(24 * 60 * 60),
        }
    }

    pub(crate) fn build(
        &self,
        secrets: &Secrets,
        used: &Arc<UsedTokens>,
        time: Arc<dyn TimeSource>,
    ) -> Result<quinn_proto::ServerConfig, InvalidConfig> {
        range("limits.connections", self.limits.connections as u64, 1, 1 << 32)?;
        range("limits.half_open", self.limits.half_open as u64, 1, self.limits.connections as u64)?;
        let most = 10 * 60 * 1000;
        range("limits.handshake_time in ms", millis(self.limits.handshake_time), 1, most)?;
        range("retry_token_time in ms", millis(self.retry_token_time), 1000, most)?;
        range("tokens", self.tokens.into(), 0, 8)?;
        // What quinn-proto would find out by a panic in the first handshake.
        rustls::quic::ServerConnection::new(Arc::clone(&self.tls), rustls::quic::Version::V1, Vec::new())
            .map_err(|error| InvalidConfig::Tls(error.to_string()))?;
        let tls = QuicServerConfig::try_from(Arc::clone(&self.tls))
            .map_err(|error| InvalidConfig::Tls(error.to_string()))?;
        let mut tokens = ValidationTokenConfig::default();
        let log = Arc::clone(used);
        tokens.log(log).lifetime(self.token_time).sent(self.tokens);
        let mut config = quinn_proto::ServerConfig::new(Arc::new(tls), secrets.token_key());
        config
            .transport_config(self.transport.build()?)
            .migration(self.migration)
            .retry_token_lifetime(self.retry_token_time)
            .validation_token_config(tokens)
            .max_incoming(self.limits.half_open.saturating_add(1))
            .incoming_buffer_size(EARLY_BYTES)
            .incoming_buffer_size_total(ALL_EARLY_BYTES)
            .time_source(time);
        Ok(config)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
