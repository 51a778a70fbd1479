//! The client's side: from an address to a socket, over HTTP/1.1 or a stream of HTTP/2.

use super::socket::WebSocket;
use crate::http::client::tunnel;
use crate::http::upgrade::{Seam, Stream, Upgraded};
use crate::http::{Body, HeaderMap, HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use http::uri::Scheme;
use hyper::client::conn::http1::Builder;
use hyper::ext::Protocol;
use shroud_hyper::HyperIo;
use shroud_runtime::{ConnectOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::ClientConfig;
use shroud_rustls::{HandshakeError, alpn};
use shroud_websocket::deflate::{Codecs, Compression};
use shroud_websocket::handshake::{Opening, OpeningError};
use shroud_websocket::{Connection, Masks, Role, Settings};
use std::future::Future as _;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a server's handshake, at most.
const HEADER_BYTES: usize = 64 * 1024;

/// Masking keys that are made of the runtime's entropy at a time.
const KEYS: usize = 64;

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct ConnectTo {
    /// Subprotocols, the preferred first. Default none.
    pub protocols: Vec<String>,
    /// Further header fields, such as `Origin` or `Authorization`. Default none.
    pub headers: HeaderMap,
    /// The compression to ask for. Default [`Compression::default`].
    pub compression: Option<Compression>,
    /// Limits of the connection.
    pub settings: Settings,
    /// For resolving, connecting and the handshake. Default 10 s.
    pub connect_time: Duration,
    /// The compressors that connections share.
    pub codecs: Codecs,
    /// How to do TLS, for `wss://` addresses. Default none: they are refused. Where the server chooses HTTP/2 from its protocols
    /// (ALPN), a stream of that is opened (RFC 8441), which not all servers offer.
    pub tls: Option<Arc<ClientConfig>>,
    /// Use HTTP/2 for `ws://` addresses too, whose servers must know it. Default no.
    pub http2_in_clear: bool,
}

impl Default for ConnectTo {
    fn default() -> Self {
        Self {
            protocols: Vec::new(),
            headers: HeaderMap::new(),
            compression: Some(Compression::default()),
            settings: Settings::default(),
            connect_time: Duration::from_secs(10),
            codecs: Codecs::new(),
            tls: None,
            http2_in_clear: false,
        }
    }
}

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one this client can reach.
    #[error("not a ws:// or wss:// address with a host: {0}")]
    Address(Uri),
    /// A `wss://` address, and [`ConnectTo::tls`] is not given.
    #[error("{0} needs TLS, which is not configured")]
    NoTls(Uri),
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// The host's name did not resolve, or no connection could be made.
    #[error("connecting to {host} failed: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why, for the last address that was tried.
        source: io::Error,
    },
    /// [`ConnectTo::connect_time`] is over.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// The connection failed during the handshake.
    #[error("the connection failed during the handshake: {0}")]
    Http(#[from] hyper::Error),
    /// The server did not open a WebSocket.
    #[error(transparent)]
    Opening(#[from] OpeningError),
}

/// Opens a connection to `ws://host:port/path` or `wss://host:port/path`; gives the socket and the subprotocol agreed on.
///
/// Cancel safety: dropping the future abandons the attempt.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect<R: Runtime>(
    runtime: &R,
    address: &Uri,
    to: ConnectTo,
) -> Result<(WebSocket, Option<String>), ConnectError> {
    let limit = to.connect_time;
    match runtime.timeout(limit, Box::pin(open(runtime, address, to))).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut(limit)),
    }
}

async fn open<R: Runtime>(
    runtime: &R,
    address: &Uri,
    to: ConnectTo,
) -> Result<(WebSocket, Option<String>), ConnectError> {
    let refuse = || ConnectError::Address(address.clone());
    let secure = match address.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(refuse()),
    };
    let host = address.host().filter(|host| !host.is_empty()).ok_or_else(refuse)?;
    let port = address.port_u16().unwrap_or(if secure { 443 } else { 80 });
    if !secure {
        let stream = reach(runtime, host, port).await?;
        return if to.http2_in_clear {
            extend(runtime, stream, address, to).await
        } else {
            shake(runtime, stream, address, to).await
        };
    }
    let Some(tls) = to.tls.clone() else { return Err(ConnectError::NoTls(address.clone())) };
    let stream = reach(runtime, host, port).await?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = shroud_rustls::connect(stream, &tls, name).await.map_err(|failed| failed.error)?;
    if stream.handshake().protocol.as_deref() == Some(alpn::H2) {
        extend(runtime, stream, address, to).await
    } else {
        shake(runtime, stream, address, to).await
    }
}

/// The opening handshake by extended CONNECT, over HTTP/2 (RFC 8441, 5). A server that does not announce it lets this wait.
async fn extend<R: Runtime, S: Stream>(
    runtime: &R,
    stream: S,
    address: &Uri,
    to: ConnectTo,
) -> Result<(WebSocket, Option<String>), ConnectError> {
    let refuse = || ConnectError::Address(address.clone());
    let ConnectTo { protocols, headers, compression, settings, codecs, connect_time, .. } = to;
    // The key, which is made of these bytes, is for HTTP/1.1 only.
    let opening = Opening::new(&[0; 16], protocols, compression)?;
    let named = named(address).ok_or_else(refuse)?;
    let scheme = if address.scheme_str() == Some("wss") { Scheme::HTTPS } else { Scheme::HTTP };
    let path = address.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let uri = Uri::builder().scheme(scheme).authority(named).path_and_query(path).build();
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri.map_err(|_| refuse())?;
    *request.headers_mut() = headers;
    request.headers_mut().extend(opening.headers_extended());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let header_bytes = u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX);
    let opened = tunnel::open(runtime, stream, request, header_bytes, connect_time).await?;
    let (answer, tunnel) = opened.ok_or(ConnectError::TimedOut(connect_time))?;
    let agreed = opening.accept_extended(&answer)?;
    let Some(tunnel) = tunnel else { return Err(OpeningError::Status(answer.status()).into()) };
    let role = Role::Client(masks(runtime));
    let machine = Connection::new(role, Arc::new(settings), agreed.compression, &codecs, runtime.now());
    let upgraded = Upgraded { io: Box::new(tunnel), read: Bytes::new(), seam: Seam::of(runtime) };
    Ok((WebSocket::new(machine, upgraded, None), agreed.protocol))
}

/// Host and port, without a user's name.
fn named(address: &Uri) -> Option<&str> {
    let named = address.authority()?.as_str();
    Some(named.rsplit('@').next().unwrap_or(named))
}

/// The opening handshake, over HTTP/1.1.
async fn shake<R: Runtime, S: Stream>(
    runtime: &R,
    stream: S,
    address: &Uri,
    to: ConnectTo,
) -> Result<(WebSocket, Option<String>), ConnectError> {
    let refuse = || ConnectError::Address(address.clone());
    let mut nonce = [0; 16];
    runtime.fill(&mut nonce);
    let opening = Opening::new(&nonce, to.protocols, to.compression)?;
    let mut request = Request::new(Body::empty());
    let path = address.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse().map_err(|_| refuse())?;
    *request.headers_mut() = to.headers;
    request.headers_mut().extend(opening.headers());
    let named = named(address).ok_or_else(refuse)?;
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(named).map_err(|_| refuse())?);

    let (mut sender, mut connection) =
        Builder::new().max_header_size(HEADER_BYTES).handshake::<_, Body>(HyperIo::new(stream)).await?;
    let mut answer = pin!(sender.send_request(request));
    let mut ended = false;
    let response = poll_fn(|cx| {
        ended = ended || connection.poll_without_shutdown(cx).is_ready();
        answer.as_mut().poll(cx)
    })
    .await?;
    let agreed = opening.accept(&response)?;
    // After 101 hyper is done, and gives back what it has read beyond.
    if !ended {
        poll_fn(|cx| connection.poll_without_shutdown(cx)).await?;
    }
    let parts = connection.into_parts();
    let machine = Connection::new(
        Role::Client(masks(runtime)),
        Arc::new(to.settings),
        agreed.compression,
        &to.codecs,
        runtime.now(),
    );
    let upgraded =
        Upgraded { io: Box::new(parts.io.into_inner()), read: parts.read_buf, seam: Seam::of(runtime) };
    Ok((WebSocket::new(machine, upgraded, None), agreed.protocol))
}

async fn reach<R: Runtime>(runtime: &R, host: &str, port: u16) -> Result<R::Stream, ConnectError> {
    let failed = |source| ConnectError::Connect { host: format!("{host}:{port}"), source };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in runtime.lookup(name, port).await.map_err(failed)? {
        match runtime.connect(address, ConnectOptions::default()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// Keys out of the runtime's entropy, many at a time.
fn masks<R: Runtime>(runtime: &R) -> Masks {
    let runtime = runtime.clone();
    let mut keys: Vec<[u8; 4]> = Vec::new();
    Masks::new(move || {
        if keys.is_empty() {
            let mut fresh = [0; 4 * KEYS];
            runtime.fill(&mut fresh);
            keys.extend(fresh.as_chunks::<4>().0);
        }
        keys.pop().unwrap_or_default()
    })
}
