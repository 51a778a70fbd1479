//! The handshake, and what the two sides agreed on.

use crate::stream::{Received, TlsStream};
use futures_io::{AsyncRead, AsyncWrite};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, HandshakeKind, NamedGroup, ProtocolVersion,
    ServerConfig, ServerConnection,
};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What the two sides of a session agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// TLS 1.2 or 1.3.
    pub version: Option<ProtocolVersion>,
    /// The cipher suite; none for a session of QUIC.
    pub suite: Option<CipherSuite>,
    /// The group of the key exchange; none in a resumed TLS 1.2 session and for QUIC.
    pub group: Option<NamedGroup>,
    /// The name that the client asked for (SNI); seen by servers only.
    pub server_name: Option<String>,
    /// The application protocol (ALPN), as in [`crate::alpn`].
    pub protocol: Option<Vec<u8>>,
    /// The peer's verified chain, its own certificate first; empty when it sent none.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// An earlier session was resumed. Not told for QUIC.
    pub resumed: bool,
}

impl Handshake {
    /// What QUIC's handshake agreed on: TLS 1.3 (RFC 9001, 4.2); QUIC does not tell the rest.
    #[must_use]
    pub fn of_quic(
        server_name: Option<String>,
        protocol: Option<Vec<u8>>,
        peer_certificates: Vec<CertificateDer<'static>>,
    ) -> Self {
        let version = Some(ProtocolVersion::TLSv1_3);
        Self { version, suite: None, group: None, server_name, protocol, peer_certificates, resumed: false }
    }

    pub(crate) fn of(tls: &Connection) -> Self {
        Self {
            version: tls.protocol_version(),
            suite: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
            group: tls.negotiated_key_exchange_group().map(|group| group.name()),
            server_name: match tls {
                Connection::Server(server) => server.server_name().map(str::to_owned),
                Connection::Client(_) => None,
            },
            protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: tls
                .peer_certificates()
                .map(|chain| chain.iter().map(|der| der.clone().into_owned()).collect())
                .unwrap_or_default(),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A server can not be called this.
    #[error("not a name or address that a certificate can be for: {0}")]
    Name(String, #[source] InvalidDnsNameError),
    /// The peer closed the connection before it was done.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The two sides did not come together. The peer was told why by an alert, or has told us.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The connection failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
}

/// A failed handshake with the stream it was tried on.
///
/// The alert has been sent and the stream's write side closed. A socket that is dropped with input unread resets the
/// connection, and the alert may be lost on its way: a caller that can tell time should read and discard what comes
/// for a moment first.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed<S> {
    /// Why.
    #[source]
    pub error: HandshakeError,
    /// What is left of the connection.
    pub stream: S,
}

/// Plays the server's part of a handshake on `stream`. It has no time limit of its own.
///
/// Cancel safety: dropping the future drops the stream.
///
/// # Errors
/// [`HandshakeError`], with the stream.
pub async fn accept<S>(stream: S, config: &Arc<ServerConfig>) -> Result<TlsStream<S>, Failed<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match ServerConnection::new(Arc::clone(config)) {
        Ok(tls) => shake(TlsStream::new(stream, tls.into())).await,
        Err(error) => Err(Failed { error: HandshakeError::Tls(error), stream }),
    }
}

/// Plays the client's part of a handshake with the server called `name`: a host name, or an IP address (without
/// brackets). It has no time limit of its own.
///
/// Cancel safety: dropping the future drops the stream.
///
/// # Errors
/// [`HandshakeError`], with the stream. In TLS 1.3 a server may still refuse the client's certificate afterwards: then
/// reading reports its alert.
pub async fn connect<S>(stream: S, config: &Arc<ClientConfig>, name: &str) -> Result<TlsStream<S>, Failed<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let server = match ServerName::try_from(name.to_owned()) {
        Ok(server) => server,
        Err(error) => return Err(Failed { error: HandshakeError::Name(name.to_owned(), error), stream }),
    };
    match ClientConnection::new(Arc::clone(config), server) {
        Ok(tls) => shake(TlsStream::new(stream, tls.into())).await,
        Err(error) => Err(Failed { error: HandshakeError::Tls(error), stream }),
    }
}

async fn shake<S>(mut stream: TlsStream<S>) -> Result<TlsStream<S>, Failed<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match poll_fn(|cx| stream.poll_handshake(cx)).await {
        Ok(()) => Ok(stream.settle()),
        Err(error) => {
            if matches!(error, HandshakeError::Tls(_)) {
                let _ = poll_fn(|cx| stream.poll_give_up(cx)).await;
            }
            Err(Failed { error, stream: stream.into_inner() })
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            let sent = self.poll_send(cx).map_err(HandshakeError::Io)?;
            // A server's last flight is tickets: reading and writing push them on, nobody need wait for them.
            if self.is_handshaking() || self.is_client() {
                ready!(sent);
            }
            if !self.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_receive(cx)) {
                Ok(0) => return Poll::Ready(Err(HandshakeError::Closed)),
                Ok(_) => {}
                Err(Received::Tls(error)) => return Poll::Ready(Err(HandshakeError::Tls(error))),
                Err(other) => return Poll::Ready(Err(HandshakeError::Io(other.into_io()))),
            }
        }
    }

    /// Sends the alert and closes the write side.
    fn poll_give_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(self).poll_close(cx)
    }
}
