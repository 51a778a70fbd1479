//! What one connection may cost, and how long it waits.

use std::time::Duration;

/// The limits of a connection. Shared by all connections of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Payload bytes of a received frame, as they are on the wire. More is answered 1009. Default 16 MiB.
    pub frame_bytes: usize,
    /// Bytes of a received message, after decompression. More is answered 1009. Default 16 MiB.
    pub message_bytes: usize,
    /// Frames of a received message. More is answered 1008. Default 131,072: 8 MiB in frames of 64 bytes.
    pub fragments: usize,
    /// A message may be queued while fewer bytes than this wait to be transmitted. Default 1 MiB.
    pub queued_bytes: usize,
    /// Longer messages are sent in frames of this payload. Default: one frame, however long.
    pub fragment_bytes: usize,
    /// When nothing was received for so long, a ping is sent. `None`: never. Default 30 s.
    pub ping_after: Option<Duration>,
    /// How long anything at all may take to arrive after that ping. Default 20 s.
    pub pong_time: Duration,
    /// How long a message may take from its first byte to its last. Default 60 s.
    pub message_time: Duration,
    /// How long the peer may take nothing of what waits to be transmitted. Default 30 s.
    pub write_time: Duration,
    /// How long the peer may take to answer a close frame. Default 5 s.
    pub close_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            frame_bytes: 16 * 1024 * 1024,
            message_bytes: 16 * 1024 * 1024,
            fragments: 131_072,
            queued_bytes: 1024 * 1024,
            fragment_bytes: usize::MAX,
            ping_after: Some(Duration::from_secs(30)),
            pong_time: Duration::from_secs(20),
            message_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            close_time: Duration::from_secs(5),
        }
    }
}
