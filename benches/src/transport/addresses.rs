//! Where a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where a server listens. A peer that speaks one protocol gives its address in all three places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP/1.1, HTTP/2 in the clear and WebSocket.
    pub tcp: SocketAddr,
    /// HTTP/3.
    pub http3: SocketAddr,
    /// Plain QUIC streams.
    pub quic: SocketAddr,
}

impl Addresses {
    /// One address for everything.
    #[must_use]
    pub const fn all(address: SocketAddr) -> Self {
        Self { tcp: address, http3: address, quic: address }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tcp, self.http3, self.quic)
    }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all: Vec<SocketAddr> = text.split_whitespace().filter_map(|part| part.parse().ok()).collect();
        match all[..] {
            [tcp, http3, quic] => Ok(Self { tcp, http3, quic }),
            _ => Err(format!("not three addresses: {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let addresses = Addresses {
            tcp: SocketAddr::from(([127, 0, 0, 1], 1)),
            http3: SocketAddr::from(([127, 0, 0, 1], 2)),
            quic: SocketAddr::from(([127, 0, 0, 1], 3)),
        };
        assert_eq!(addresses.to_string().parse(), Ok(addresses));
        assert!("127.0.0.1:1 127.0.0.1:2".parse::<Addresses>().is_err());
    }
}
