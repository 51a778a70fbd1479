//! What can go wrong.

use quinn_proto::{TransportErrorCode, VarInt};
use std::io;
use std::net::SocketAddr;

/// Why a connection is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer speaks no QUIC version that this endpoint does (RFC 9000 6).
    #[error("the peer speaks none of this endpoint's QUIC versions")]
    VersionMismatch,
    /// The peer broke the protocol, or its TLS handshake failed here.
    #[error("the connection failed here: {reason} (code {code:?})")]
    Transport {
        /// The code sent to the peer (RFC 9000 20.1).
        code: TransportErrorCode,
        /// For people.
        reason: String,
    },
    /// The peer's transport gave the connection up (CONNECTION_CLOSE, type 0x1c).
    #[error("the peer gave the connection up: {reason} (code {code:?})")]
    PeerTransport {
        /// The peer's code (RFC 9000 20.1).
        code: TransportErrorCode,
        /// The peer's words.
        reason: String,
    },
    /// The peer's application closed the connection (CONNECTION_CLOSE, type 0x1d).
    #[error("the peer closed the connection with code {code}")]
    PeerClosed {
        /// The application's code.
        code: VarInt,
        /// The application's words.
        reason: bytes::Bytes,
    },
    /// The peer no longer knows the connection (stateless reset, RFC 9000 10.3).
    #[error("the peer no longer knows the connection")]
    Reset,
    /// Nothing was heard from the peer for the idle time-out (RFC 9000 10.1).
    #[error("nothing was heard from the peer within the idle time-out")]
    IdleTimeout,
    /// The handshake did not end in its time.
    #[error("the handshake did not end in its time")]
    HandshakeTimeout,
    /// Closed on this side.
    #[error("closed on this side")]
    LocallyClosed,
    /// Closed on this side, because the peer broke the application's protocol ([`Connection::fail`](crate::Connection::fail)).
    #[error("the peer broke the application's protocol: {reason} (code {code})")]
    Violated {
        /// The application's code, as the peer is told.
        code: VarInt,
        /// What it did, for people.
        reason: &'static str,
    },
    /// The endpoint's task has ended.
    #[error("the endpoint has ended")]
    EndpointGone,
}

impl ConnectionError {
    /// Whether the peer is gone, or has said itself that it closes.
    pub(crate) fn is_of_peer(&self) -> bool {
        matches!(self, Self::PeerTransport { .. } | Self::PeerClosed { .. } | Self::Reset)
    }
}

impl From<quinn_proto::ConnectionError> for ConnectionError {
    fn from(error: quinn_proto::ConnectionError) -> Self {
        use quinn_proto::ConnectionError as Proto;
        match error {
            Proto::VersionMismatch => Self::VersionMismatch,
            Proto::TransportError(error) => Self::Transport { code: error.code, reason: error.reason },
            Proto::ConnectionClosed(close) => Self::PeerTransport {
                code: close.error_code,
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            Proto::ApplicationClosed(close) => {
                Self::PeerClosed { code: close.error_code, reason: close.reason }
            }
            Proto::Reset => Self::Reset,
            Proto::TimedOut => Self::IdleTimeout,
            Proto::LocallyClosed => Self::LocallyClosed,
            // Ids of eight bytes do not run out.
            Proto::CidsExhausted => Self::EndpointGone,
        }
    }
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match &error {
            ConnectionError::IdleTimeout | ConnectionError::HandshakeTimeout => io::ErrorKind::TimedOut,
            ConnectionError::Reset => io::ErrorKind::ConnectionReset,
            ConnectionError::PeerClosed { .. }
            | ConnectionError::PeerTransport { .. }
            | ConnectionError::Violated { .. } => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, error)
    }
}

/// Why a connection could not even be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint was closed, or its task has ended.
    #[error("the endpoint is closed")]
    Closed,
    /// As many connections are open as may be.
    #[error("{0} connections are open, which is the limit")]
    Limit(usize),
    /// Not a host name or address that TLS can ask for.
    #[error("not a server name: {0}")]
    ServerName(String),
    /// An address that nothing can be sent to.
    #[error("nothing can be sent to {0}")]
    Address(SocketAddr),
}

/// Why a stream cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer takes no more (STOP_SENDING), with its application's code.
    #[error("the peer takes no more of the stream: code {0}")]
    Stopped(VarInt),
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It was finished or reset on this side.
    #[error("the stream was finished or reset")]
    Finished,
    /// It was opened in early data that the server did not accept: open it anew.
    #[error("the server did not accept early data")]
    EarlyDataRejected,
}

/// Why a stream cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer gave the stream up (RESET_STREAM), with its application's code.
    #[error("the peer reset the stream: code {0}")]
    Reset(VarInt),
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It was stopped on this side.
    #[error("the stream was stopped")]
    Stopped,
    /// It was opened in early data that the server did not accept: open it anew.
    #[error("the server did not accept early data")]
    EarlyDataRejected,
    /// More bytes than the caller would take.
    #[error("the stream holds more than the limit of {0} bytes")]
    TooLong(usize),
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Connection(error) => error.into(),
            WriteError::Stopped(_) | WriteError::EarlyDataRejected => {
                io::Error::new(io::ErrorKind::ConnectionReset, error)
            }
            WriteError::Finished => io::Error::new(io::ErrorKind::BrokenPipe, error),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Connection(error) => error.into(),
            ReadError::Reset(_) | ReadError::EarlyDataRejected => {
                io::Error::new(io::ErrorKind::ConnectionReset, error)
            }
            ReadError::Stopped => io::Error::new(io::ErrorKind::NotConnected, error),
            ReadError::TooLong(_) => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The peer takes none, or they are switched off here.
    #[error("datagrams are switched off on one side")]
    Unsupported,
    /// Longer than [`Connection::max_datagram_size`](crate::Connection::max_datagram_size) now.
    #[error("the datagram is longer than the path carries")]
    TooLong,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}
