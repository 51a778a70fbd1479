//! A connection whose handshake has not ended.

use crate::cell::{Early, Hold, State};
use crate::connection::Connection;
use crate::error::ConnectionError;
use event_listener::EventListener;
use quinn_proto::Side;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection in its handshake. Awaiting it gives the [`Connection`] when the handshake has ended.
///
/// Cancel safety: dropping it gives the connection up.
#[derive(Debug)]
#[must_use = "dropping it gives the connection up"]
pub struct Connecting {
    hold: Option<Hold>,
    waiting: Option<EventListener>,
}

/// Whether the server took a client's early data, known when the handshake ends.
#[derive(Debug)]
pub struct EarlyData {
    hold: Hold,
}

impl Connecting {
    pub(crate) fn new(hold: Hold) -> Self {
        Self { hold: Some(hold), waiting: None }
    }

    /// The peer's address.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.hold.as_ref().map(|hold| hold.lock().machine.remote_address())
    }

    /// Uses the connection before its handshake has ended.
    ///
    /// A client may, when it has a ticket of an earlier connection whose server offered early data (0-RTT, RFC 9001 4.6);
    /// otherwise it gets itself back. **Early data can be replayed** by anybody who saw it: send only what may safely be done
    /// twice. When the server does not take it ([`EarlyData::accepted`]), streams that were opened before fail with
    /// [`WriteError::EarlyDataRejected`](crate::WriteError::EarlyDataRejected) and have to be opened anew.
    ///
    /// A server always may. What it reads before [`Connection::is_established`] can be a replay
    /// ([`RecvStream::is_early`](crate::RecvStream::is_early)); what it writes goes to a client that has not proven who it is.
    ///
    /// # Errors
    /// Itself, when there is no early data.
    pub fn into_0rtt(mut self) -> Result<(Connection, EarlyData), Self> {
        let possible = self.hold.as_ref().is_some_and(|hold| {
            let state = hold.lock();
            state.machine.side() == Side::Server || state.machine.has_0rtt()
        });
        match self.hold.take().filter(|_| possible) {
            Some(hold) => Ok((Connection::new(hold.clone()), EarlyData { hold })),
            None => Err(self),
        }
    }

    /// Waits until TLS has settled on what the client asked for, and returns the application protocol (ALPN) and, on a server,
    /// the server name (SNI). Cancel safe.
    ///
    /// # Errors
    /// When the handshake fails before.
    pub async fn handshake_data(&mut self) -> Result<(Option<Vec<u8>>, Option<String>), ConnectionError> {
        let Some(hold) = &self.hold else { return Err(ConnectionError::LocallyClosed) };
        let waiting = &mut self.waiting;
        poll_fn(|cx| {
            hold.poll_until(cx, &hold.events.handshake, waiting, |state| {
                if state.handshake_data {
                    return Some(Ok(crate::connection::handshake_data(state)));
                }
                state.lost().err().map(Err)
            })
        })
        .await
    }
}

impl Future for Connecting {
    type Output = Result<Connection, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { hold, waiting } = &mut *self;
        let Some(connection) = hold else { return Poll::Ready(Err(ConnectionError::LocallyClosed)) };
        let done = |state: &mut State| match state.lost() {
            Err(error) => Some(Err(error)),
            Ok(()) if state.connected => Some(Ok(())),
            Ok(()) => None,
        };
        let outcome =
            std::task::ready!(connection.poll_until(cx, &connection.events.handshake, waiting, done));
        let hold = hold.take().ok_or(ConnectionError::LocallyClosed);
        Poll::Ready(outcome.and_then(|()| hold.map(Connection::new)))
    }
}

impl EarlyData {
    /// Waits for the end of the handshake: whether the server took the early data (on a server: whether the handshake ended
    /// well, so that nothing read before was a replay). `false` also when the connection was lost. Cancel safe.
    pub async fn accepted(&self) -> bool {
        let (hold, mut waiting) = (&self.hold, None);
        poll_fn(|cx| {
            hold.poll_until(cx, &hold.events.handshake, &mut waiting, |state| {
                if state.connected {
                    let server = state.machine.side() == Side::Server;
                    return Some(server || state.early == Early::Accepted);
                }
                state.error.as_ref().map(|_| false)
            })
        })
        .await
    }
}
