//! Requests and responses: a message, or a stream of them, with what goes with it.

use super::metadata::Metadata;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A message to a server, or a stream of messages, with its metadata.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request<T> {
    /// The message, or the stream of messages.
    pub message: T,
    /// What goes with it.
    pub metadata: Metadata,
    /// How long the caller waits for the whole call. A client sets it; none is for ever.
    pub timeout: Option<Duration>,
    /// When that is over, at the server. The server answers `DEADLINE_EXCEEDED` then, and drops the handler's future and
    /// streams.
    pub deadline: Option<Instant>,
    /// Who calls, at the server.
    pub peer: Option<SocketAddr>,
}

impl<T> Request<T> {
    /// A request without metadata that waits for ever.
    pub fn new(message: T) -> Self {
        Self { message, metadata: Metadata::new(), timeout: None, deadline: None, peer: None }
    }

    /// The same with a time limit for the whole call, connecting included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// The same with another message.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Request<U> {
        let Self { message, metadata, timeout, deadline, peer } = self;
        Request { message: change(message), metadata, timeout, deadline, peer }
    }
}

/// A server's message, or stream of messages, with its metadata.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response<T> {
    /// The message, or the stream of messages.
    pub message: T,
    /// What comes before it.
    pub metadata: Metadata,
    /// What comes with the status, when the call ends well. Of a received stream: see [`Streaming::trailers`].
    ///
    /// [`Streaming::trailers`]: super::Streaming::trailers
    pub trailers: Metadata,
}

impl<T> Response<T> {
    /// A response without metadata.
    pub fn new(message: T) -> Self {
        Self { message, metadata: Metadata::new(), trailers: Metadata::new() }
    }

    /// The same with metadata before it.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// The same with metadata after it.
    #[must_use]
    pub fn with_trailers(self, trailers: Metadata) -> Self {
        Self { trailers, ..self }
    }
}

impl<T> From<T> for Response<T> {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}
