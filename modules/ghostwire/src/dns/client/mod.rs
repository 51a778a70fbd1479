//! The client: one question at a time, to servers that are given.
//!
//! | file | what is inside |
//! |---|---|
//! | here | [`Client`] and what became of a question |
//! | `udp` | drives the machine of one question over UDP |
//! | `stream` | a connection over TCP or TLS that questions share |
//! | `https`, `quic` | over HTTPS, over QUIC |

mod https;
mod quic;
mod stream;
mod udp;

pub use https::HttpsMethod;

use super::handler::Transport;
use crate::http::{Client as HttpClient, ClientError as HttpError, Uri};
use shroud_dns::lookup::{LookupOptions, WhyStream, WrongAnswers};
use shroud_dns::{Mismatch, QueryOptions, Question, Reply};
use shroud_quic::{ConnectionError, ConnectionPool, PoolConnectError, ReadError, WriteError};
use shroud_runtime::sync::Semaphore;
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::HandshakeError;
use shroud_rustls::rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stream::Streams;

/// How a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How questions go over UDP; of [`LookupOptions::query`], recursion, EDNS and DNSSEC hold for every transport.
    pub lookup: LookupOptions,
    /// For a whole question, with all its tries. Default 15 s.
    pub question_time: Duration,
    /// For connecting to a server, TLS included. Default 5 s.
    pub connect_time: Duration,
    /// How long an answer may take over a connection, before that is given up. Default 5 s.
    pub answer_time: Duration,
    /// How long a connection is kept without a question. Default 10 s.
    pub idle_time: Duration,
    /// Questions over UDP at a time, each with a socket of its own; further ones wait. Default 256.
    pub sockets: usize,
    /// Questions on a connection at a time; further ones wait. Default 100.
    pub pipeline: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lookup: LookupOptions::default(),
            question_time: Duration::from_secs(15),
            connect_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(5),
            idle_time: Duration::from_secs(10),
            sockets: 256,
            pipeline: 100,
        }
    }
}

impl Settings {
    /// How to ask where nobody else can answer: no random case; padding where it is of use.
    fn options(&self, transport: Transport) -> QueryOptions {
        QueryOptions { random_case: false, padding: transport.is_encrypted(), ..self.lookup.query }
    }
}

/// An answer and how it was got. Its code may be an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// The answer.
    pub reply: Reply,
    /// Who gave it; none over HTTPS, whose client knows.
    pub server: Option<SocketAddr>,
    /// How it came.
    pub transport: Transport,
    /// Why it did not come over UDP, where the question went first.
    pub fell_back: Option<WhyStream>,
    /// What else came over UDP.
    pub wrong: WrongAnswers,
    /// From asking to the answer.
    pub took: Duration,
}

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It cannot be encoded.
    #[error("the question cannot be encoded: {0}")]
    Unencodable(String),
    /// Nobody answered. What else came is counted.
    #[error("no server answered ({} wrong answers)", .0.total())]
    NoAnswer(WrongAnswers),
    /// The time for it is over.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[source] io::Error),
    /// No connection.
    #[error("connecting to {server} failed: {source}")]
    Connect {
        /// The server.
        server: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be agreed on.
    #[error("TLS with {server} failed: {source}")]
    Tls {
        /// The server.
        server: SocketAddr,
        /// Why.
        source: HandshakeError,
    },
    /// The connection ended before the answer, more than once.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The answer cannot be believed, or read.
    #[error("the answer is of no use: {0}")]
    Mismatch(#[from] Mismatch),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The HTTP server answered something else.
    #[error("the HTTP server answered {0}")]
    HttpStatus(http::StatusCode),
    /// The HTTP server answered with another type of content.
    #[error("the HTTP server's answer is no application/dns-message")]
    HttpContent,
    /// An address that no request can be made for.
    #[error("not an address to ask: {0}")]
    Address(#[from] http::Error),
    /// No QUIC connection.
    #[error("connecting over QUIC failed: {0}")]
    QuicConnect(#[from] PoolConnectError),
    /// The QUIC connection failed.
    #[error(transparent)]
    Quic(#[from] ConnectionError),
    /// The question could not be written.
    #[error("asking over QUIC failed: {0}")]
    QuicWrite(#[from] WriteError),
    /// The answer could not be read.
    #[error("the answer over QUIC failed: {0}")]
    QuicRead(#[from] ReadError),
    /// The answer's length is not what it says.
    #[error("the answer over QUIC is not one whole message")]
    QuicFraming,
    /// The client's own task has ended.
    #[error("the client's task has ended")]
    Ended,
}

/// A DNS client over one transport. Clones share its connections.
///
/// It belongs to the shard of its runtime, and its connections to the task that made it.
pub struct Client<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    settings: Settings,
    way: Way<R>,
}

enum Way<R: Runtime> {
    Udp { sockets: Semaphore, servers: Vec<(SocketAddr, Streams<R>)> },
    Stream { transport: Transport, streams: Streams<R> },
    Https { client: HttpClient<R>, address: Uri, method: HttpsMethod },
    Quic { pool: ConnectionPool<R>, server: SocketAddr, name: String },
}

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> std::fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl<R: Runtime> Client<R> {
    /// Asks over UDP, the first server first, the next ones when it does not answer; over TCP when the answer does not fit or
    /// somebody interferes (RFC 5452, RFC 7766).
    #[must_use]
    pub fn udp(runtime: &R, servers: &[SocketAddr], settings: Settings) -> Self {
        let drivers = stream::drivers(runtime);
        let servers =
            servers.iter().map(|server| (*server, Streams::new(runtime, *server, None, &settings, &drivers)));
        let way = Way::Udp { sockets: Semaphore::new(settings.sockets.max(1)), servers: servers.collect() };
        Self::new(runtime, settings, way)
    }

    /// Asks over TCP, on one connection (RFC 7766).
    #[must_use]
    pub fn tcp(runtime: &R, server: SocketAddr, settings: Settings) -> Self {
        let streams = Streams::new(runtime, server, None, &settings, &stream::drivers(runtime));
        Self::new(runtime, settings, Way::Stream { transport: Transport::Tcp, streams })
    }

    /// Asks over TLS, on one connection to the server called `name` (RFC 7858). `tls` should offer the protocol `dot` or none.
    #[must_use]
    pub fn tls(
        runtime: &R,
        server: SocketAddr,
        name: &str,
        tls: Arc<ClientConfig>,
        settings: Settings,
    ) -> Self {
        let tls = Some((tls, name.to_owned()));
        let streams = Streams::new(runtime, server, tls, &settings, &stream::drivers(runtime));
        Self::new(runtime, settings, Way::Stream { transport: Transport::Tls, streams })
    }

    /// Asks over HTTPS at `address`, most often `https://HOST/dns-query` (RFC 8484). `client` should speak HTTP/2.
    #[must_use]
    pub fn https(
        runtime: &R,
        client: HttpClient<R>,
        address: Uri,
        method: HttpsMethod,
        settings: Settings,
    ) -> Self {
        Self::new(runtime, settings, Way::Https { client, address, method })
    }

    /// Asks over QUIC the server called `name` (RFC 9250). The TLS of `pool` must offer the protocol `doq`.
    #[must_use]
    pub fn quic(
        runtime: &R,
        pool: ConnectionPool<R>,
        server: SocketAddr,
        name: &str,
        settings: Settings,
    ) -> Self {
        Self::new(runtime, settings, Way::Quic { pool, server, name: name.to_owned() })
    }

    fn new(runtime: &R, settings: Settings, way: Way<R>) -> Self {
        Self { shared: Arc::new(Shared { runtime: runtime.clone(), settings, way }) }
    }

    /// Asks a question.
    ///
    /// Cancel safety: dropping the future gives the question up; its connection goes on.
    ///
    /// # Errors
    /// [`ClientError`]. A code that says error is an answer.
    pub async fn ask(&self, question: &Question) -> Result<Answered, ClientError> {
        let Shared { runtime, settings, way } = &*self.shared;
        let begun = runtime.now();
        let limit = settings.question_time;
        let outcome = match way {
            Way::Udp { sockets, servers } => {
                let ask = udp::ask(runtime, settings, sockets, servers, question);
                runtime.timeout(limit, Box::pin(ask)).await
            }
            Way::Stream { transport, streams } => {
                let ask = streams.ask(question, settings.options(*transport));
                let outcome = runtime.timeout(limit, Box::pin(ask)).await;
                let server = Some(streams.server());
                outcome.map(|outcome| outcome.map(|reply| answered(reply, server, *transport)))
            }
            Way::Https { client, address, method } => {
                let options = settings.options(Transport::Https);
                let ask = https::ask(client, address, *method, question, options);
                let outcome = runtime.timeout(limit, Box::pin(ask)).await;
                outcome.map(|outcome| outcome.map(|reply| answered(reply, None, Transport::Https)))
            }
            Way::Quic { pool, server, name } => {
                let ask = quic::ask(pool, *server, name, question, settings.options(Transport::Quic));
                let outcome = runtime.timeout(limit, Box::pin(ask)).await;
                outcome.map(|outcome| outcome.map(|reply| answered(reply, Some(*server), Transport::Quic)))
            }
        };
        let mut answered = outcome.map_err(|_| ClientError::TimedOut(limit))??;
        answered.took = runtime.now().saturating_duration_since(begun);
        Ok(answered)
    }
}

fn answered(reply: Reply, server: Option<SocketAddr>, transport: Transport) -> Answered {
    let (fell_back, wrong) = (None, WrongAnswers::default());
    Answered { reply, server, transport, fell_back, wrong, took: Duration::ZERO }
}
