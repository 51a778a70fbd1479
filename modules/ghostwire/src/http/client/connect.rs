//! New connections: through a proxy or directly, with TLS or without, for HTTP/1.1 or HTTP/2.

use super::super::limits::MIN_BUFFER;
use super::exclusive::Open;
use super::multiplexed::{Multiplexed, Spawner};
use super::pool::Place;
use super::target::{Target, bare};
use super::transport::Transport;
use super::{CONNECTION_WINDOW, Client, ClientError, STREAM_WINDOW, Shared};
use futures_util::AsyncWriteExt as _;
use hyper::client::conn::{http1, http2};
use shroud_hyper::{HyperIo, HyperTimer};
use shroud_runtime::{ConnectOptions, Runtime, RuntimeExt};
use shroud_rustls::{Failed, alpn, connect};
use std::io;

/// A connection that has just been made.
pub(super) enum Fresh<R: Runtime> {
    Exclusive(Open<R>),
    Multiplexed(Multiplexed),
}

impl<R: Runtime> Client<R> {
    /// A connection for `target`, in its place.
    pub(super) async fn connect(&self, target: &Target, place: Place) -> Result<Fresh<R>, ClientError> {
        let (stream, multiplexed) = self.reach(target).await?;
        self.establish(target, stream, multiplexed, place).await
    }

    /// A stream to `target`, and whether HTTP/2 is spoken on it.
    pub(super) async fn reach(&self, target: &Target) -> Result<(Transport<R::Stream>, bool), ClientError> {
        let Shared { runtime, limits, options, .. } = &*self.shared;
        let (host, port) = match &options.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&target.host, target.port),
        };
        let mut stream = self.connect_tcp(host, port).await?;
        if let Some(header) = &target.introduction {
            let introducing = async {
                stream.write_all(header).await?;
                stream.flush().await
            };
            let failed = |source| ClientError::Connect { host: format!("{host}:{port}"), source };
            match runtime.timeout(limits.connect_time, introducing).await {
                Ok(introduced) => introduced.map_err(failed)?,
                Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
            }
        }
        let Some(tls) = options.tls.as_ref().filter(|_| target.secure) else {
            return Ok((Transport::Plain(stream), options.http2_in_clear && options.proxy.is_none()));
        };
        let secured = async {
            if let Some(proxy) = &options.proxy {
                proxy.tunnel(&mut stream, &format!("{}:{}", target.host, target.port)).await?;
            }
            connect(stream, tls, &target.name).await.map_err(|Failed { error, .. }| ClientError::Tls {
                host: format!("{}:{}", target.host, target.port),
                source: error,
            })
        };
        let stream = match runtime.timeout(limits.connect_time, secured).await {
            Ok(stream) => stream?,
            Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
        };
        let multiplexed = stream.handshake().protocol.as_deref() == Some(alpn::H2);
        Ok((Transport::Tls(stream), multiplexed))
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<R::Stream, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let addresses = match runtime.timeout(limits.connect_time, runtime.lookup(bare(host), port)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(source)) => return Err(ClientError::Lookup { host: host.to_owned(), source }),
            Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
        };
        let options = ConnectOptions { timeout: Some(limits.connect_time), ..ConnectOptions::default() };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match runtime.connect(address, options).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect { host: format!("{host}:{port}"), source: last })
    }

    /// Begins HTTP on a stream.
    async fn establish(
        &self,
        target: &Target,
        stream: Transport<R::Stream>,
        multiplexed: bool,
        place: Place,
    ) -> Result<Fresh<R>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let io = HyperIo::new(stream);
        if !multiplexed {
            let io = io.reading_at_most(limits.read_bytes);
            let (sender, connection) = http1::Builder::new()
                .max_header_size(limits.header_bytes)
                // Else what a slow taker of a body leaves there grows to 400 KiB.
                .max_buf_size(limits.header_bytes.saturating_add(MIN_BUFFER))
                .handshake(io)
                .await
                .map_err(ClientError::Connection)?;
            let connection = Box::pin(connection);
            return Ok(Fresh::Exclusive(Open { sender, connection, since: runtime.now(), place }));
        }
        let spawner = Spawner::default();
        let (sender, connection) = http2::Builder::new(spawner.clone())
            .timer(HyperTimer::new(runtime.clone()))
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(io)
            .await
            .map_err(ClientError::Connection)?;
        let shared = Multiplexed::new(runtime, sender, connection, spawner, place);
        self.share(&target.key, shared.clone());
        Ok(Fresh::Multiplexed(shared))
    }
}
