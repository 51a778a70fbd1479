//! The machine of one connection, after its handshake.

use crate::close::CloseFrame;
use crate::deflate::{Codecs, Compressor, Decompressor, Negotiated};
use crate::error::{Error, SendError};
use crate::frame::{CONTROL_BYTES, Opcode};
use crate::inbound::{Inbound, Incoming};
use crate::message::Message;
use crate::outbound::{NextMask, Outbound};
use crate::settings::Settings;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what was sent is kept for context takeover while nothing more is sent.
const CONTEXT_KEPT: Duration = Duration::from_secs(5);

/// A client's masking keys: each call gives four bytes of chance that nobody can predict (RFC 6455 5.3).
pub struct Masks(NextMask);

impl Masks {
    /// Keys from `next`.
    pub fn new(next: impl FnMut() -> [u8; 4] + Send + Sync + 'static) -> Self {
        Self(Box::new(next))
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masks")
    }
}

/// Which side a machine is.
#[derive(Debug)]
pub enum Role {
    /// Frames it receives must be masked; its own are not.
    Server,
    /// The other way round.
    Client(Masks),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A ping, which is answered without the caller's doing.
    Ping(Bytes),
    /// A pong, asked for or not.
    Pong(Bytes),
    /// The last event. What [`Connection::poll_transmit`] still gives is to be transmitted, then the transport closed.
    Closed(End),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Both sides have sent close frames. What the peer's said; `None` when it gave no code (1005).
    Closed(Option<CloseFrame>),
    /// The transport ended without a close frame of the peer (1006).
    Lost,
    /// The peer did not answer our close frame within [`Settings::close_time`].
    CloseTimedOut,
    /// The peer broke the protocol or a limit. It was told [`Error::code`].
    Failed(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is on its way, the peer's is not here.
    Closing(Instant),
    Closed,
}

/// One side of a connection.
///
/// Bytes that arrived are given to [`Connection::poll_event`], which is called until it gives no more and is not
/// [busy](Connection::is_busy); then [`Connection::poll_transmit`], until it gives no more; [`Connection::deadline`] says when
/// [`Connection::handle_timeout`] is due. Events and bytes to transmit are two queues because a driver that cannot
/// write for the moment must still read, and one that has no use for a message yet must still write.
///
/// Panics: never, whatever arrives.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    inbound: Inbound,
    outbound: Outbound,
    state: State,
    end: Option<End>,
    /// The last ping that there was no room to answer; earlier ones need no answer then (RFC 6455 5.5.3).
    pong: Option<Bytes>,
    received: Instant,
    pinged: Option<Instant>,
    /// When something was last transmitted, or began to wait.
    progress: Instant,
    sent: Instant,
}

impl Connection {
    /// A connection whose handshake is done.
    #[must_use]
    pub fn new(
        role: Role,
        settings: Arc<Settings>,
        compression: Option<Negotiated>,
        codecs: &Codecs,
        now: Instant,
    ) -> Self {
        let masks = match role {
            Role::Server => None,
            Role::Client(Masks(next)) => Some(next),
        };
        let decompressor = compression.map(|agreed| Decompressor::new(codecs.clone(), agreed));
        let compressor = compression.map(|agreed| Compressor::new(codecs.clone(), agreed));
        Self {
            settings,
            inbound: Inbound::new(masks.is_none(), decompressor),
            outbound: Outbound::new(masks, compressor),
            state: State::Open,
            end: None,
            pong: None,
            received: now,
            pinged: None,
            progress: now,
            sent: now,
        }
    }

    /// Takes the next event out of the bytes that arrived; those that are not needed stay in `input` for the next
    /// call, with what arrives later appended. `None` when more is needed, when [`Connection::is_busy`] says so, and after
    /// [`Event::Closed`].
    pub fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<Event> {
        loop {
            if let Some(end) = self.end.take() {
                return Some(Event::Closed(end));
            }
            if self.state == State::Closed {
                input.clear();
                return None;
            }
            let before = input.len();
            let next = self.inbound.next(now, input, &self.settings);
            if input.len() != before {
                (self.received, self.pinged) = (now, None);
            }
            match next {
                Ok(None) => return None,
                Ok(Some(Incoming::Message(message))) => return Some(Event::Message(message)),
                Ok(Some(Incoming::Pong(payload))) => return Some(Event::Pong(payload)),
                Ok(Some(Incoming::Ping(payload))) => {
                    self.ping_received(now, &payload);
                    return Some(Event::Ping(payload));
                }
                Ok(Some(Incoming::Close(payload))) => self.close_received(now, &payload),
                Err(error) => self.fail(now, error),
            }
        }
    }

    /// The next bytes to transmit. Each is to be reported by [`Connection::handle_transmitted`] once it is on its way.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.pong.is_some() && self.has_room() && self.state == State::Open {
            let payload = self.pong.take().unwrap_or_default();
            self.queue(now, |outbound| outbound.control(Opcode::Pong, &payload));
        }
        self.outbound.next()
    }

    /// When [`Connection::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let settings = &*self.settings;
        let alive = match (self.state, self.pinged) {
            (State::Closed, _) => None,
            (State::Closing(since), _) => Some(since + settings.close_time),
            (State::Open, Some(pinged)) => Some(pinged + settings.pong_time),
            (State::Open, None) => settings.ping_after.map(|quiet| self.received + quiet),
        };
        let is_open = self.state != State::Closed;
        let message =
            self.inbound.message_since().filter(|_| is_open).map(|since| since + settings.message_time);
        let stalled = (is_open && self.outbound.queued() > 0).then(|| self.progress + settings.write_time);
        let context = self.outbound.holds_context().then(|| self.sent + CONTEXT_KEPT);
        [alive, message, stalled, context].into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let settings = Arc::clone(&self.settings);
        let due = |since: Instant, limit: Duration| now >= since + limit;
        if self.outbound.holds_context() && due(self.sent, CONTEXT_KEPT) {
            self.outbound.release_context();
        }
        if self.state == State::Closed {
            return;
        }
        if self.outbound.queued() > 0 && due(self.progress, settings.write_time) {
            return self.end(End::Failed(Error::Stalled));
        }
        if let State::Closing(since) = self.state {
            if due(since, settings.close_time) {
                self.end(End::CloseTimedOut);
            }
            return;
        }
        if self.inbound.message_since().is_some_and(|since| due(since, settings.message_time)) {
            return self.fail(now, Error::SlowMessage);
        }
        match (self.pinged, settings.ping_after) {
            (Some(pinged), _) if due(pinged, settings.pong_time) => self.fail(now, Error::NoPong),
            (None, Some(quiet)) if due(self.received, quiet) => {
                self.pinged = Some(now);
                // A peer that takes nothing gets no pings on top; it will be found dead by the same time limit.
                if self.has_room() {
                    self.queue(now, |outbound| outbound.control(Opcode::Ping, &[]));
                }
            }
            _ => {}
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`SendError`]: nothing was queued.
    pub fn handle_send(&mut self, now: Instant, message: Message) -> Result<(), SendError> {
        self.may_send()?;
        let fragment = self.settings.fragment_bytes;
        self.sent = now;
        self.queue(now, |outbound| outbound.message(message, fragment));
        Ok(())
    }

    /// Queues a ping with at most 125 bytes; its pong will be an event.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn handle_ping(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError> {
        self.may_send()?;
        if payload.len() > CONTROL_BYTES {
            return Err(SendError::LongControl);
        }
        self.queue(now, |outbound| outbound.control(Opcode::Ping, payload));
        Ok(())
    }

    /// Begins to close: sends a close frame after what is queued and waits for the peer's. Messages that arrive until
    /// then are still events.
    ///
    /// # Errors
    /// [`SendError`]: closed or closing already, or a frame that must not be sent.
    pub fn handle_close(&mut self, now: Instant, frame: Option<&CloseFrame>) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let payload = frame.map_or(Ok(Vec::new()), CloseFrame::payload)?;
        self.queue(now, |outbound| outbound.control(Opcode::Close, &payload));
        self.pong = None;
        self.state = State::Closing(now);
        Ok(())
    }

    /// The transport's other side ended, or the transport failed.
    pub fn handle_end(&mut self) {
        if self.state != State::Closed {
            self.end(End::Lost);
        }
    }

    /// The transport took so many bytes of what was to be transmitted.
    pub fn handle_transmitted(&mut self, now: Instant, bytes: usize) {
        if bytes > 0 {
            self.progress = now;
            self.outbound.transmitted(bytes);
        }
    }

    /// Bytes that wait to be transmitted or to be reported so.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.outbound.queued()
    }

    /// Whether another message may be queued as far as [`Settings::queued_bytes`] goes.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outbound.queued() < self.settings.queued_bytes
    }

    /// Whether messages can still be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether [`Connection::poll_event`] has just stopped in the middle of a compressed message, after decompressing 64 KiB or
    /// somewhat more (what 256 compressed bytes may become more, less than 325 KiB in all): let others run, then call it again, without waiting for more to arrive.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state != State::Closed && self.inbound.is_busy()
    }

    /// Whether nothing will arrive any more: [`Event::Closed`] was given or is the next event.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn may_send(&self) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        if !self.has_room() {
            return Err(SendError::Full { queued: self.outbound.queued() });
        }
        Ok(())
    }

    fn queue(&mut self, now: Instant, encode: impl FnOnce(&mut Outbound)) {
        if self.outbound.queued() == 0 {
            self.progress = now;
        }
        encode(&mut self.outbound);
    }

    /// Answers while there is room, and keeps the last one in mind otherwise.
    fn ping_received(&mut self, now: Instant, payload: &Bytes) {
        if self.state != State::Open {
            return;
        }
        if self.has_room() {
            self.pong = None;
            self.queue(now, |outbound| outbound.control(Opcode::Pong, payload));
        } else {
            self.pong = Some(payload.clone());
        }
    }

    fn close_received(&mut self, now: Instant, payload: &[u8]) {
        match CloseFrame::parse(payload) {
            Ok(frame) => {
                if self.state == State::Open {
                    // Its code is sent back (RFC 6455 5.5.1).
                    let code = payload.get(..2).unwrap_or_default();
                    self.queue(now, |outbound| outbound.control(Opcode::Close, code));
                }
                self.end(End::Closed(frame));
            }
            Err(error) => self.fail(now, error),
        }
    }

    /// Tells the peer what it did wrong, unless a close frame is on its way already.
    fn fail(&mut self, now: Instant, error: Error) {
        if self.state == State::Open {
            let frame = CloseFrame::new(error.code(), &error.to_string());
            let payload = frame.payload().unwrap_or_default();
            self.queue(now, |outbound| outbound.control(Opcode::Close, &payload));
        }
        self.end(End::Failed(error));
    }

    fn end(&mut self, end: End) {
        self.state = State::Closed;
        self.pong = None;
        self.end = Some(end);
    }
}
