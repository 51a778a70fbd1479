//! What h3 makes of a QUIC error.

use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};
use shroud_quic::{ConnectionError, ReadError, VarInt, WriteError};
use std::sync::Arc;

/// A code of HTTP/3 as QUIC sends it.
pub(crate) fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

pub(crate) fn connection(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::PeerClosed { code, .. } => {
            ConnectionErrorIncoming::ApplicationClose { error_code: code.into_inner() }
        }
        ConnectionError::IdleTimeout | ConnectionError::HandshakeTimeout => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

/// Of a connection that was closed here.
pub(crate) fn closed(closed: &shroud_quic::Connection) -> ConnectionErrorIncoming {
    connection(closed.close_reason().unwrap_or(ConnectionError::LocallyClosed))
}

pub(crate) fn opening(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection(error) }
}

pub(crate) fn write(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        WriteError::Connection(error) => opening(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

pub(crate) fn read(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        ReadError::Connection(error) => opening(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
