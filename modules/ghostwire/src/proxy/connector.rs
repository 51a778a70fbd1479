//! One server as one shard reaches it: a client with its connections.

use super::config::{ServerAddress, ServerConfig, ServerProtocol, UpstreamConfig, UpstreamTrust};
use crate::http::{
    Body, Client, ClientError, ClientLimits, Http3Client, Http3Error, Opened, Request, Response, StatusCode,
};
use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{HeaderValue, Version};
use shroud_quic::{BindError, Endpoint, EndpointConfig, InvalidConfig, Transport};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::{ClientOptions, ConfigError, SeamClock, Trust, alpn, provider};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a response's header: 502 beyond.
const HEADER_BYTES: usize = 16 * 1024;

/// Bytes of a response that are read at a time, twice which waits for a client that takes nothing. Of 8 KiB a large body would cost 40%
/// more; more than this saves nothing.
const READ_BYTES: usize = 16 * 1024 - 64;

/// A server could not be prepared for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// TLS could not be configured.
    #[error(transparent)]
    Tls(#[from] ConfigError),
    /// QUIC could not be configured.
    #[error(transparent)]
    Quic(#[from] InvalidConfig),
    /// No UDP socket for QUIC.
    #[error("no socket for QUIC: {0}")]
    Bind(#[from] BindError),
}

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Failure {
    /// 502 or 504.
    pub(super) status: StatusCode,
    /// The server has certainly not seen the request.
    pub(super) unsent: bool,
    pub(super) reason: String,
}

/// A server's client.
pub(super) struct Connector<R: Runtime> {
    pub(super) address: ServerAddress,
    kind: Kind<R>,
    /// Whether a connection may turn out to be HTTP/2.
    perhaps_http2: bool,
    response_time: Duration,
    /// Its connections begin with a PROXY header for the [`Addresses`](shroud_wire::proxy_protocol::Addresses) among a request's
    /// extensions.
    pub(super) introduces: bool,
}

enum Kind<R: Runtime> {
    Http(Client<R>),
    Http3(Http3Client<R>),
}

/// How a connection, or its stream, leaves HTTP for another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeavesBy {
    /// `Upgrade` of HTTP/1.1.
    Upgrade,
    /// Extended CONNECT of HTTP/2 (RFC 8441).
    Extended,
}

impl<R: Runtime> Connector<R> {
    /// Prepares for a server. Whatever this starts are tasks of the caller.
    pub(super) async fn prepare(
        runtime: &R,
        upstream: &UpstreamConfig,
        server: &ServerConfig,
    ) -> Result<Self, PrepareError> {
        let ServerAddress { protocol, host, port } = &server.address;
        let name = upstream.tls.name.as_deref().unwrap_or(host);
        let mut request_time = upstream.response_time;
        if request_time == upstream.connect_time {
            // So that the one is not taken for the other.
            request_time += Duration::from_nanos(1);
        }
        let limits = ClientLimits {
            connect_time: upstream.connect_time,
            request_time,
            read_time: upstream.read_time,
            header_bytes: HEADER_BYTES,
            read_bytes: READ_BYTES,
            // As many as requests are let through to it.
            connections: usize::MAX,
            idle_connections: server.max_requests,
            idle_time: upstream.idle_time,
            // Who repeats is the proxy.
            retry_reserve: 0,
            ..ClientLimits::default()
        };
        // A connection that is said to be one client's serves no other.
        let http1_only = upstream.tls.http1_only || upstream.proxy_protocol.is_some();
        let kind = match protocol {
            ServerProtocol::H3 => {
                let tls = tls_options(runtime, upstream)?.only_tls_13().protocols(&[b"h3"]).config()?;
                let config = shroud_quic::ClientConfig::new(Arc::new(tls), &Transport::default())?;
                let local = match host.parse() {
                    Ok(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                    _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                };
                let local = SocketAddr::new(local, 0);
                let endpoint = Endpoint::client(runtime, local, &EndpointConfig::default()).await?;
                let client = Http3Client::new(runtime.clone(), endpoint, config, limits);
                Kind::Http3(client.with_server(host, *port, name))
            }
            other => {
                let dialled = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let mut client = Client::new(runtime.clone(), limits)
                    .with_server(&dialled, *port, name)
                    .without_repeating();
                if let Some(version) = upstream.proxy_protocol {
                    client = client.with_proxy_protocol(version);
                }
                Kind::Http(match other {
                    ServerProtocol::H2c => client.with_http2_in_clear(),
                    ServerProtocol::Https => {
                        let protocols: &[&[u8]] =
                            if http1_only { &[alpn::HTTP_1_1] } else { &[alpn::H2, alpn::HTTP_1_1] };
                        let tls = tls_options(runtime, upstream)?.protocols(protocols).config()?;
                        client.with_tls(Arc::new(tls))
                    }
                    _ => client,
                })
            }
        };
        let perhaps_http2 = match protocol {
            ServerProtocol::Http => false,
            ServerProtocol::Https => !http1_only,
            _ => true,
        };
        let introduces = upstream.proxy_protocol.is_some();
        Ok(Self {
            address: server.address.clone(),
            kind,
            perhaps_http2,
            response_time: request_time,
            introduces,
        })
    }

    /// The scheme of the server's addresses.
    pub(super) fn scheme(&self) -> Scheme {
        if self.address.is_secure() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Whether hop-by-hop fields of HTTP/1.1 have a meaning there.
    pub(super) fn is_http1(&self) -> bool {
        !self.perhaps_http2
    }

    /// How connections to it leave HTTP; `None`: not at all.
    pub(super) fn handover(&self) -> Option<LeavesBy> {
        match self.address.protocol {
            ServerProtocol::Http | ServerProtocol::Https => Some(LeavesBy::Upgrade),
            ServerProtocol::H2c => Some(LeavesBy::Extended),
            ServerProtocol::H3 => None,
        }
    }

    /// Sends a request and waits for the head of its response. Cancel safe, but the server may have received it.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        length: Option<u64>,
    ) -> Result<Response<Body>, Failure> {
        match &self.kind {
            Kind::Http(client) => client.fetch(request).await.map_err(|error| self.failure(error)),
            Kind::Http3(client) => {
                *request.version_mut() = Version::HTTP_3;
                if let Some(length) = length.filter(|length| *length > 0) {
                    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
                client.send(request).await.map_err(|error| self.failure3(&error))
            }
        }
    }

    /// Asks for another protocol on a connection of its own.
    pub(super) async fn leave(
        &self,
        runtime: &R,
        by: LeavesBy,
        request: Request<Body>,
    ) -> Result<Opened, Failure> {
        let Kind::Http(client) = &self.kind else {
            return Err(self.fault(StatusCode::BAD_GATEWAY, true, "it has no upgrades"));
        };
        let asking = async {
            match by {
                LeavesBy::Upgrade => client.upgrade(request).await,
                LeavesBy::Extended => client.extend(request).await,
            }
        };
        match runtime.timeout(self.response_time, Box::pin(asking)).await {
            Ok(opened) => opened.map_err(|error| self.failure(error)),
            Err(_) => Err(self.fault(StatusCode::GATEWAY_TIMEOUT, false, "no response in time")),
        }
    }

    fn fault(&self, status: StatusCode, unsent: bool, reason: impl std::fmt::Display) -> Failure {
        Failure { status, unsent, reason: format!("{}: {reason}", self.address) }
    }

    fn failure(&self, error: ClientError) -> Failure {
        const LATE: StatusCode = StatusCode::GATEWAY_TIMEOUT;
        const BAD: StatusCode = StatusCode::BAD_GATEWAY;
        match error {
            ClientError::TimedOut(limit) if limit == self.response_time => {
                self.fault(LATE, false, "no response in time")
            }
            ClientError::TimedOut(_) => self.fault(LATE, true, "no connection in time"),
            ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
                self.fault(LATE, true, "no connection in time")
            }
            error => self.fault(BAD, error.is_unprocessed(), error),
        }
    }

    fn failure3(&self, error: &Http3Error) -> Failure {
        const LATE: StatusCode = StatusCode::GATEWAY_TIMEOUT;
        const BAD: StatusCode = StatusCode::BAD_GATEWAY;
        match error {
            Http3Error::ResponseTimeout(_) => self.fault(LATE, false, "no response in time"),
            Http3Error::ConnectTimeout(_) => self.fault(LATE, true, "no connection in time"),
            _ => self.fault(BAD, error.is_unprocessed(), error),
        }
    }
}

fn tls_options<R: Runtime>(runtime: &R, upstream: &UpstreamConfig) -> Result<ClientOptions, PrepareError> {
    let Some(believed) = &upstream.tls.trust else {
        return Err(ConfigError::from(shroud_rustls::CertificateError::NoCertificate).into());
    };
    let trust = trust(believed)?;
    Ok(ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust))
}

pub(super) fn trust(believed: &UpstreamTrust) -> Result<Trust, ConfigError> {
    match believed {
        UpstreamTrust::Pem(text) => Trust::from_pem(text),
        UpstreamTrust::Bundle(text) => Trust::from_bundle(text),
        UpstreamTrust::InsecureAnyone => Ok(Trust::InsecureAnyone),
    }
}
