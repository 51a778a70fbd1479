//! A connection, as the application sees it.

use crate::cell::{Hold, State, place};
use crate::error::{ConnectionError, DatagramError};
use crate::stream::{RecvStream, SendStream};
use bytes::Bytes;
use event_listener::EventListener;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{ConnectionStats, Dir, SendDatagramError, Side, StreamId, VarInt};
use rustls::pki_types::CertificateDer;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A QUIC connection. Clones are the same connection. When the last handle, streams included, is dropped, it is closed with
/// code 0.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) hold: Hold,
}

/// A wait for a stream or a datagram that outlives one poll; for those who poll by hand. Dropping it gives the wait up.
#[derive(Debug, Default)]
pub struct Waiting(Option<EventListener>);

impl Connection {
    pub(crate) fn new(hold: Hold) -> Self {
        Self { hold }
    }

    /// Opens a bidirectional stream; waits while as many are open as the peer allows. The peer learns of it with its first
    /// bytes. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let mut waiting = Waiting::default();
        poll_fn(|cx| self.poll_open_bi(cx, &mut waiting)).await
    }

    /// Opens a unidirectional stream, as [`Connection::open_bi`].
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let mut waiting = Waiting::default();
        poll_fn(|cx| self.poll_open_uni(cx, &mut waiting)).await
    }

    /// Takes the next bidirectional stream that the peer opened. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let mut waiting = Waiting::default();
        poll_fn(|cx| self.poll_accept_bi(cx, &mut waiting)).await
    }

    /// Takes the next unidirectional stream that the peer opened. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        let mut waiting = Waiting::default();
        poll_fn(|cx| self.poll_accept_uni(cx, &mut waiting)).await
    }

    /// [`Connection::open_bi`] as a poll.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn poll_open_bi(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
    ) -> Poll<Result<(SendStream, RecvStream), ConnectionError>> {
        let (id, early) = ready!(self.poll_open(cx, waiting, Dir::Bi))?;
        Poll::Ready(Ok((
            SendStream::new(self.hold.clone(), id, early),
            RecvStream::new(self.hold.clone(), id, early, false),
        )))
    }

    /// [`Connection::open_uni`] as a poll.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn poll_open_uni(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
    ) -> Poll<Result<SendStream, ConnectionError>> {
        let (id, early) = ready!(self.poll_open(cx, waiting, Dir::Uni))?;
        Poll::Ready(Ok(SendStream::new(self.hold.clone(), id, early)))
    }

    /// [`Connection::accept_bi`] as a poll.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn poll_accept_bi(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
    ) -> Poll<Result<(SendStream, RecvStream), ConnectionError>> {
        let (id, replayable) = ready!(self.poll_accept(cx, waiting, Dir::Bi))?;
        Poll::Ready(Ok((
            SendStream::new(self.hold.clone(), id, false),
            RecvStream::new(self.hold.clone(), id, false, replayable),
        )))
    }

    /// [`Connection::accept_uni`] as a poll.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn poll_accept_uni(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
    ) -> Poll<Result<RecvStream, ConnectionError>> {
        let (id, replayable) = ready!(self.poll_accept(cx, waiting, Dir::Uni))?;
        Poll::Ready(Ok(RecvStream::new(self.hold.clone(), id, false, replayable)))
    }

    fn poll_open(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
        direction: Dir,
    ) -> Poll<Result<(StreamId, bool), ConnectionError>> {
        let event = place(&self.hold.events.available, direction);
        self.hold.poll_until(cx, event, &mut waiting.0, |state| {
            if let Err(error) = state.lost() {
                return Some(Err(error));
            }
            let early = state.is_early();
            state.machine.streams().open(direction).map(|id| Ok((id, early)))
        })
    }

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
        direction: Dir,
    ) -> Poll<Result<(StreamId, bool), ConnectionError>> {
        let event = place(&self.hold.events.opened, direction);
        self.hold.poll_until(cx, event, &mut waiting.0, |state| {
            // The endpoint's task lets go of the connection only once it has said that the handshake has ended, if it has.
            let replayable = !state.connected && state.machine.side() == Side::Server;
            match state.machine.streams().accept(direction) {
                Some(id) => Some(Ok((id, replayable))),
                None => state.lost().err().map(Err),
            }
        })
    }

    /// Sends a datagram (RFC 9221): once, unordered, not before others that wait. When the buffer is full, the oldest that
    /// wait are dropped for it.
    ///
    /// # Errors
    /// [`DatagramError`].
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        {
            let mut state = self.hold.lock();
            state.lost()?;
            send_datagram(&mut state, datagram, true).unwrap_or(Ok(()))?;
        }
        self.hold.transmit();
        Ok(())
    }

    /// As [`Connection::send_datagram`], waiting for room instead of dropping older ones. Cancel safe.
    ///
    /// # Errors
    /// [`DatagramError`].
    pub async fn send_datagram_wait(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let mut waiting = None;
        poll_fn(|cx| {
            self.hold.poll_until(cx, &self.hold.events.datagram_room, &mut waiting, |state| {
                match state.lost() {
                    Ok(()) => send_datagram(state, datagram.clone(), false),
                    Err(error) => Some(Err(error.into())),
                }
            })
        })
        .await?;
        self.hold.transmit();
        Ok(())
    }

    /// The next datagram that was received. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        let mut waiting = None;
        poll_fn(|cx| {
            self.hold.poll_until(cx, &self.hold.events.datagram, &mut waiting, |state| {
                match state.machine.datagrams().recv() {
                    Some(datagram) => Some(Ok(datagram)),
                    None => state.lost().err().map(Err),
                }
            })
        })
        .await
    }

    /// The longest datagram that can be sent now, in bytes; `None` when one side has them switched off. Moves with the path.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.hold.lock().machine.datagrams().max_size()
    }

    /// Closes the connection at once, with an application's code and words for the peer. What was written and is not
    /// acknowledged may be lost: wait for [`SendStream::stopped`] first.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.hold.close(code, Bytes::copy_from_slice(reason), ConnectionError::LocallyClosed);
    }

    /// Closes the connection at once because the peer broke the application's protocol: the peer is told `code` and `reason`,
    /// and so is whoever uses the connection here ([`ConnectionError::Violated`]).
    pub fn fail(&self, code: VarInt, reason: &'static str) {
        let why = ConnectionError::Violated { code, reason };
        self.hold.close(code, Bytes::from_static(reason.as_bytes()), why);
    }

    /// Waits until the connection is gone, and says why. Cancel safe.
    pub async fn closed(&self) -> ConnectionError {
        let mut waiting = None;
        poll_fn(|cx| {
            self.hold.poll_until(cx, &self.hold.events.closed, &mut waiting, |state| state.error.clone())
        })
        .await
    }

    /// Why the connection is gone; `None` while it is not.
    #[must_use]
    pub fn close_reason(&self) -> Option<ConnectionError> {
        self.hold.lock().error.clone()
    }

    /// Waits until the handshake has ended, as on a connection from [`Connecting::into_0rtt`](crate::Connecting::into_0rtt):
    /// nothing read before was a replay then. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost before.
    pub async fn established(&self) -> Result<(), ConnectionError> {
        let mut waiting = None;
        poll_fn(|cx| {
            self.hold.poll_until(cx, &self.hold.events.handshake, &mut waiting, |state| {
                if state.connected {
                    return Some(Ok(()));
                }
                state.lost().err().map(Err)
            })
        })
        .await
    }

    /// Whether the handshake has ended.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.hold.lock().connected
    }

    /// Which side of the connection this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.hold.lock().machine.side()
    }

    /// The peer's address now: a client's can change.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.hold.lock().machine.remote_address()
    }

    /// The local address that the client used, where the system tells; `None` on a client.
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.hold.lock().machine.local_ip()
    }

    /// The round-trip time, estimated.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.hold.lock().machine.rtt()
    }

    /// Counts of packets and frames, the path's state.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        self.hold.lock().machine.stats()
    }

    /// The application protocol (ALPN) that was settled on.
    #[must_use]
    pub fn protocol(&self) -> Option<Vec<u8>> {
        handshake_data(&self.hold.lock()).0
    }

    /// The server name (SNI) that the client asked for; `None` on a client.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        handshake_data(&self.hold.lock()).1
    }

    /// The peer's certificates, its own first; `None` when it showed none.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let identity = self.hold.lock().machine.crypto_session().peer_identity()?;
        identity.downcast().ok().map(|certificates| *certificates)
    }

    /// Derives `out.len()` bytes that both sides can and nobody else (RFC 5705, RFC 8446 7.5). `false` before the handshake
    /// is far enough, or for too many bytes.
    #[must_use]
    pub fn export_keying_material(&self, out: &mut [u8], label: &[u8], context: &[u8]) -> bool {
        self.hold.lock().machine.crypto_session().export_keying_material(out, label, context).is_ok()
    }

    /// Changes the keys of packets now (RFC 9001 6); they change by themselves long before they must.
    pub fn update_keys(&self) {
        self.hold.lock().machine.force_key_update();
        self.hold.transmit();
    }

    /// How many streams the peer may have open from now on.
    pub fn set_max_concurrent_streams(&self, direction: Dir, count: VarInt) {
        self.hold.lock().machine.set_max_concurrent_streams(direction, count);
        self.hold.transmit();
    }

    /// How many streams of this kind the peer has open here.
    #[must_use]
    pub fn remote_open_streams(&self, direction: Dir) -> u64 {
        self.hold.lock().machine.streams().remote_open_streams(direction)
    }

    /// Streams whose bytes the peer has not acknowledged to their end, open ones among them.
    #[must_use]
    pub fn sending_streams(&self) -> usize {
        self.hold.lock().machine.streams().send_streams()
    }

    /// Whether this is the same connection.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.hold.is(&other.hold)
    }
}

/// `None` when there is no room.
fn send_datagram(state: &mut State, datagram: Bytes, drop: bool) -> Option<Result<(), DatagramError>> {
    Some(match state.machine.datagrams().send(datagram, drop) {
        Ok(()) => Ok(()),
        Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
            Err(DatagramError::Unsupported)
        }
        Err(SendDatagramError::TooLarge) => Err(DatagramError::TooLong),
        Err(SendDatagramError::Blocked(_)) => return None,
    })
}

pub(crate) fn handshake_data(state: &State) -> (Option<Vec<u8>>, Option<String>) {
    let data = state.machine.crypto_session().handshake_data();
    match data.and_then(|data| data.downcast::<HandshakeData>().ok()) {
        Some(data) => (data.protocol, data.server_name),
        None => (None, None),
    }
}
