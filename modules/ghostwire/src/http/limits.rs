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
    /// From a request's first byte to the end of its header: 408 beyond. HTTP/2: from the connection's start to the end of the
    /// client's preface. Default 10 s.
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
    /// What else holds for HTTP/2.
    pub http2: Http2Limits,
}

/// A server's limits for one HTTP/2 connection, beside those of [`Limits`] that it shares with HTTP/1.1.
///
/// A header list is limited by [`Limits::header_bytes`], CONTINUATION frames by what such a list can need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2Limits {
    /// Streams open at a time: further ones are refused (REFUSED_STREAM). Default 100.
    pub streams: u32,
    /// Bytes of a frame: FRAME_SIZE_ERROR beyond. 16 KiB to 16 MiB - 1, default 16 KiB.
    pub frame_bytes: u32,
    /// Bytes of a request's body that may be under way before the handler reads them. Default 256 KiB.
    pub stream_window: u32,
    /// The same for all requests of the connection together. Default 1 MiB.
    pub connection_window: u32,
    /// Bytes of a response that wait for the client to take them, before the handler's body is asked for more: with the piece that it
    /// then gives, whatever its size. Default 7 KiB, a little less than what a proxy first reads.
    pub send_bytes: usize,
    /// Streams that the client has reset before they were looked at: ENHANCE_YOUR_CALM beyond (rapid reset,
    /// CVE-2023-44487). Default 20.
    pub early_resets: usize,
    /// Streams that the client reset while they were answered, in excess of those it let finish: the connection is
    /// closed beyond. Default 200.
    pub resets: u32,
    /// Errors of its own making that a client may cause on its streams before the connection ends. Default 100.
    pub stream_errors: usize,
    /// How often a connection is asked for a sign of life. Default 30 s.
    pub ping_interval: Duration,
    /// How long it may take to give it, before it is closed. Default 20 s.
    pub ping_time: Duration,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            frame_bytes: 16 * 1024,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            send_bytes: 7 * 1024,
            early_resets: 20,
            resets: 200,
            stream_errors: 100,
            ping_interval: Duration::from_secs(30),
            ping_time: Duration::from_secs(20),
        }
    }
}

/// What RFC 9113, 4.2 allows.
const FRAME_BYTES: std::ops::RangeInclusive<u32> = 16 * 1024..=(1 << 24) - 1;

/// The largest window (RFC 9113, 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

impl Http2Limits {
    fn validate(&self) -> Result<(), InvalidLimits> {
        let counts = [
            ("http2.streams", self.streams),
            ("http2.stream_window", self.stream_window),
            ("http2.connection_window", self.connection_window),
            ("http2.resets", self.resets),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(InvalidLimits::Zero(name));
        }
        if self.send_bytes == 0 || self.ping_interval.is_zero() || self.ping_time.is_zero() {
            return Err(InvalidLimits::Zero("http2.send_bytes, ping_interval or ping_time"));
        }
        let most = [
            ("http2.frame_bytes", self.frame_bytes, *FRAME_BYTES.end()),
            ("http2.stream_window", self.stream_window, MAX_WINDOW),
            ("http2.connection_window", self.connection_window, MAX_WINDOW),
        ];
        if let Some((name, _, most)) = most.into_iter().find(|(_, value, most)| value > most) {
            return Err(InvalidLimits::TooLarge { name, most: usize::try_from(most).unwrap_or(usize::MAX) });
        }
        if !FRAME_BYTES.contains(&self.frame_bytes) {
            return Err(InvalidLimits::TooSmall { name: "http2.frame_bytes", least: 16 * 1024 });
        }
        if self.send_bytes > MAX_SEND_BYTES {
            return Err(InvalidLimits::TooLarge { name: "http2.send_bytes", most: MAX_SEND_BYTES });
        }
        Ok(())
    }
}

/// The most that a stream's send buffer may be told to hold.
const MAX_SEND_BYTES: usize = 16 * 1024 * 1024;

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
            http2: Http2Limits::default(),
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
    /// A limit below what the protocol asks for.
    #[error("http limit {name} must be at least {least}")]
    TooSmall {
        /// Which.
        name: &'static str,
        /// The least it may be.
        least: usize,
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
        self.http2.validate()
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
        for (frame_bytes, valid) in [(16_383, false), (16_384, true), ((1 << 24) - 1, true), (1 << 24, false)]
        {
            let http2 = Http2Limits { frame_bytes, ..Http2Limits::default() };
            assert_eq!(Limits { http2, ..Limits::default() }.validate().is_ok(), valid, "{frame_bytes}");
        }
        let huge = Limits { header_bytes: usize::MAX, ..Limits::default() };
        assert!(huge.validate().is_err());
    }
}
