//! A connection that leaves HTTP for another protocol (RFC 9110, 7.8).

use super::super::body::Body;
use super::super::upgrade::Transport as AnyTransport;
use super::connect::Fresh;
use super::pool::Place;
use super::{Client, ClientError, Shared, tunnel};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use shroud_runtime::Runtime;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// What a server has answered to a request for another protocol.
pub(crate) enum Opened {
    /// 101: the connection is the other protocol's, whose first bytes may have come with the response.
    Switched { head: Response<()>, io: Box<dyn AnyTransport>, read: Bytes },
    /// Anything else.
    Refused(Response<Body>),
    /// The server does not know how, and was not asked.
    Unable,
}

impl<R: Runtime> Client<R> {
    /// Asks, on an HTTP/2 connection of its own, for a stream that leaves HTTP for the protocol that the request names (extended
    /// CONNECT, RFC 8441).
    ///
    /// The request must have no body. It is not repeated. The caller limits its time. A server that does not announce extended
    /// CONNECT is waited for as long as connecting may take.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn extend(&self, request: Request<Body>) -> Result<Opened, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let (target, mut request) = self.address(request)?;
        target.name(&mut request);
        let (stream, _) = Box::pin(self.reach(&target)).await?;
        let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
        let opening = tunnel::open(runtime, stream, request, header_bytes, limits.connect_time);
        let opened = Box::pin(opening).await.map_err(ClientError::Connection)?;
        let Some((answer, tunnel)) = opened else { return Ok(Opened::Unable) };
        Ok(match tunnel {
            Some(tunnel) => {
                Opened::Switched { head: answer.map(drop), io: Box::new(tunnel), read: Bytes::new() }
            }
            None => Opened::Refused(answer),
        })
    }

    /// Asks, on an HTTP/1.1 connection of its own, for the protocol that the request's `Upgrade` names.
    ///
    /// The request must have no body. It is not repeated. The caller limits its time.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn upgrade(&self, request: Request<Body>) -> Result<Opened, ClientError> {
        let client = self.change(|options| {
            options.http2_in_clear = false;
            if let Some(tls) = &mut options.tls {
                // HTTP/1.1, whatever else is offered elsewhere: HTTP/2 has no such upgrade.
                Arc::make_mut(tls).alpn_protocols = vec![shroud_rustls::alpn::HTTP_1_1.to_vec()];
            }
        });
        let (target, mut request) = client.address(request)?;
        let aborted = || ClientError::Connect {
            host: target.key.clone(),
            source: io::ErrorKind::ConnectionAborted.into(),
        };
        let Fresh::Exclusive(mut open) = Box::pin(client.connect(&target, Place::uncounted())).await? else {
            return Err(aborted());
        };
        target.name_for_http1(&mut request);
        let mut answer = pin!(open.sender.send_request(request));
        let mut ended = false;
        let response = poll_fn(|cx| {
            if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            if ended {
                return Poll::Ready(None);
            }
            ended = open.connection.poll_without_shutdown(cx).is_ready();
            match answer.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let response = response.await.ok_or_else(aborted)?.map_err(ClientError::Connection)?;
        let (head, incoming) = response.into_parts();
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            let body = open.body(incoming, &client, &target);
            return Ok(Opened::Refused(Response::from_parts(head, body)));
        }
        drop(incoming);
        // After 101 hyper is done, and gives back what it has read beyond.
        if !ended {
            let done = poll_fn(|cx| open.connection.poll_without_shutdown(cx));
            done.await.map_err(ClientError::Connection)?;
        }
        let parts = Pin::into_inner(open.connection).into_parts();
        let io = Box::new(parts.io.into_inner());
        Ok(Opened::Switched { head: Response::from_parts(head, ()), io, read: parts.read_buf })
    }
}
