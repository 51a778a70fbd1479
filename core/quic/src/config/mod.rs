//! Configuration: documented defaults, validated when the endpoint is made.

mod client;
mod server;
mod transport;

pub use client::ClientConfig;
pub use server::{Limits, Retry, ServerConfig};
pub use transport::{Congestion, Transport};

/// A configuration that no endpoint could work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A number out of its range.
    #[error("{name} is {value}, but must be from {least} to {most}")]
    Range {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// The TLS configuration does not do for QUIC (RFC 9001 4.2, 4.6): TLS 1.3 with AES-128-GCM-SHA256 is needed, and a
    /// server's early data must be off (0) or without a limit of its own (`u32::MAX`).
    #[error("the TLS configuration does not do for QUIC: {0}")]
    Tls(String),
}

/// How the endpoint and its socket are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The largest UDP payload that is taken, in bytes, 1200 to 65,527. Default 1472: Ethernet's.
    pub max_udp_payload: u16,
    /// Receive buffer to ask the kernel for, in bytes. Default 2 MiB; the kernel may give less.
    pub receive_buffer: Option<usize>,
    /// Send buffer to ask the kernel for, in bytes. Default 2 MiB; the kernel may give less.
    pub send_buffer: Option<usize>,
    /// Let the members of a group share one address (`SO_REUSEPORT`). Default: on for groups of several.
    pub reuse_port: Option<bool>,
    /// The shortest time between two stateless resets, so that they cannot be made to flood. Default 20 ms.
    pub reset_interval: std::time::Duration,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_udp_payload: 1472,
            receive_buffer: Some(2 * 1024 * 1024),
            send_buffer: Some(2 * 1024 * 1024),
            reuse_port: None,
            reset_interval: std::time::Duration::from_millis(20),
        }
    }
}

impl EndpointConfig {
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        range("max_udp_payload", u64::from(self.max_udp_payload), 1200, 65_527)
    }
}

fn range(name: &'static str, value: u64, least: u64, most: u64) -> Result<(), InvalidConfig> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidConfig::Range { name, value, least, most })
}
