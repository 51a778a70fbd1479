//! What a server lets its clients do.

use std::time::Duration;

/// A server's limits. Every one has a default that suits a node on the open internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, on each shard. Further ones are answered 503 and closed. Default 10,000.
    pub connections: usize,
    /// Requests in work at a time, on each shard. Further ones are answered 503. Default 10,000.
    pub requests: usize,
    /// Bytes of a request line with its header fields: 431 beyond (414 for a target over 65,534). Default 16 KiB.
    pub header_bytes: usize,
    /// Header fields in a request: 431 beyond. Default 100, which hyper keeps on the stack.
    pub headers: usize,
    /// Bytes of a request's body: 413 beyond. Default 1 MiB.
    pub body_bytes: u64,
    /// From a request's first byte to the end of its header: 408 beyond. Default 10 s.
    pub header_time: Duration,
    /// From the end of a request's header to the end of its body: 408 beyond. Default 30 s.
    pub body_time: Duration,
    /// How long a client may take nothing of a response before the connection is dropped. Default 30 s.
    pub write_time: Duration,
    /// How long a connection may stay open without a request. Default 75 s.
    pub idle_time: Duration,
    /// How long requests in work may go on once the node is asked to stop; then their connections are dropped.
    /// Default 10 s.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            requests: 10_000,
            header_bytes: 16 * 1024,
            headers: DEFAULT_HEADERS,
            body_bytes: 1024 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(75),
            drain_time: Duration::from_secs(10),
        }
    }
}

/// What hyper keeps on the stack.
pub(crate) const DEFAULT_HEADERS: usize = 100;

/// The smallest buffer hyper takes.
pub(crate) const MIN_BUFFER: usize = 8 * 1024;

/// The largest header that a server may be told to accept.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// A limit that no server could work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLimits {
    /// A limit of zero refuses everything.
    #[error("http limit {0} must not be zero")]
    Zero(&'static str),
    /// A limit beyond what the server can keep.
    #[error("http limit {name} must be at most {most}")]
    TooLarge {
        /// Which.
        name: &'static str,
        /// The most it may be.
        most: usize,
    },
}

impl Limits {
    /// Whether a server can work with them.
    ///
    /// # Errors
    /// [`InvalidLimits`] naming the first that cannot be.
    pub fn validate(&self) -> Result<(), InvalidLimits> {
        let counts = [
            ("connections", self.connections),
            ("requests", self.requests),
            ("header_bytes", self.header_bytes),
            ("headers", self.headers),
        ];
        let times = [
            ("header_time", self.header_time),
            ("body_time", self.body_time),
            ("write_time", self.write_time),
            ("idle_time", self.idle_time),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(InvalidLimits::Zero(name));
        }
        if let Some((name, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(InvalidLimits::Zero(name));
        }
        if self.header_bytes > MAX_HEADER_BYTES {
            return Err(InvalidLimits::TooLarge { name: "header_bytes", most: MAX_HEADER_BYTES });
        }
        if self.headers > 4096 {
            return Err(InvalidLimits::TooLarge { name: "headers", most: 4096 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_nonsense_is_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let zero = Limits { header_time: Duration::ZERO, ..Limits::default() };
        assert_eq!(zero.validate().unwrap_err().to_string(), "http limit header_time must not be zero");
        let huge = Limits { header_bytes: usize::MAX, ..Limits::default() };
        assert!(huge.validate().is_err());
    }
}
