//! What a peer did wrong, and why a message cannot be sent.

use crate::close::CloseCode;

/// Why a connection failed. [`Error::code`] is what the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reserved bit is set that no extension gave a meaning (RFC 6455 5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// RFC 6455 5.2.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A client's frame must be masked (RFC 6455 5.1).
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A server's frame must not be (RFC 6455 5.1).
    #[error("a server's frame is masked")]
    Masked,
    /// A length is not in its shortest form, or has its first bit set (RFC 6455 5.2).
    #[error("a frame's length is not encoded in its shortest form")]
    Length,
    /// RFC 6455 5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455 5.5.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// RFC 6455 5.4.
    #[error("a continuation frame continues nothing")]
    Continuation,
    /// RFC 6455 5.4.
    #[error("a message begins inside another one")]
    Interleaved,
    /// RFC 6455 5.5.1 and 7.4.
    #[error("a close frame is malformed")]
    CloseFrame,
    /// RFC 6455 7.4.
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// RFC 6455 8.1.
    #[error("a text is not UTF-8")]
    Utf8,
    /// RFC 7692 7.2.2.
    #[error("a compressed message is malformed")]
    Compressed,
    /// [`crate::Settings::frame_bytes`].
    #[error("a frame is longer than {limit} bytes")]
    FrameTooLong {
        /// The limit.
        limit: usize,
    },
    /// [`crate::Settings::message_bytes`].
    #[error("a message is longer than {limit} bytes")]
    MessageTooLong {
        /// The limit.
        limit: usize,
    },
    /// [`crate::Settings::fragments`].
    #[error("a message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
    /// [`crate::Settings::message_time`].
    #[error("a message did not arrive in time")]
    SlowMessage,
    /// [`crate::Settings::pong_time`].
    #[error("the peer does not answer pings")]
    NoPong,
    /// [`crate::Settings::write_time`].
    #[error("the peer takes nothing of what is sent to it")]
    Stalled,
}

impl Error {
    /// What the peer is told (RFC 6455 7.4.1).
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::Utf8 | Self::Compressed => CloseCode::INVALID_DATA,
            Self::FrameTooLong { .. } | Self::MessageTooLong { .. } => CloseCode::TOO_LONG,
            Self::TooManyFragments { .. } | Self::SlowMessage => CloseCode::POLICY,
            Self::NoPong | Self::Stalled => CloseCode::INTERNAL,
            _ => CloseCode::PROTOCOL,
        }
    }
}

/// A message that was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed or closing: nothing can be sent any more.
    #[error("the connection is closed or closing")]
    Closed,
    /// [`crate::Settings::queued_bytes`] wait already: transmit first.
    #[error("{queued} bytes wait to be transmitted")]
    Full {
        /// Bytes that wait.
        queued: usize,
    },
    /// A ping's payload is longer than 125 bytes.
    #[error("a control frame carries at most 125 bytes")]
    LongControl,
    /// A close frame with this code must not be sent (RFC 6455 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
}
