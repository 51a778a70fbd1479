//! Two machines in memory, with a clock that only moves when told to.

use bytes::BytesMut;
use shroud_websocket::deflate::{Codecs, Negotiated};
use shroud_websocket::{Connection, Event, Masks, Message, Role, Settings};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One side, with what it received.
pub(crate) struct Side {
    pub(crate) machine: Connection,
    pub(crate) input: BytesMut,
    pub(crate) events: Vec<Event>,
}

pub(crate) struct Pair {
    pub(crate) server: Side,
    pub(crate) client: Side,
    pub(crate) now: Instant,
    /// Bytes that are moved at a time.
    pub(crate) step: usize,
}

pub(crate) const fn agreed(takeover: bool) -> Negotiated {
    Negotiated {
        own_bits: 15,
        peer_bits: 15,
        own_takeover: takeover,
        peer_takeover: takeover,
        level: 1,
        from_bytes: 0,
    }
}

/// Keys that differ from frame to frame.
pub(crate) fn masks() -> Masks {
    let mut key = 0x9E37_79B9_u32;
    Masks::new(move || {
        key = key.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
        key.to_ne_bytes()
    })
}

impl Side {
    pub(crate) fn new(
        role: Role,
        settings: &Settings,
        compression: Option<Negotiated>,
        now: Instant,
    ) -> Self {
        let machine = Connection::new(role, Arc::new(settings.clone()), compression, &Codecs::new(), now);
        Self { machine, input: BytesMut::new(), events: Vec::new() }
    }

    /// Takes bytes in and events out.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            match self.machine.poll_event(now, &mut self.input) {
                Some(event) => self.events.push(event),
                None if self.machine.is_busy() => {}
                None => break,
            }
        }
    }

    /// All that waits to be transmitted.
    pub(crate) fn transmit(&mut self, now: Instant) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.machine.poll_transmit(now) {
            all.extend_from_slice(&bytes);
            self.machine.handle_transmitted(now, bytes.len());
        }
        all
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Message(message) => Some(message.clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn end(&self) -> Option<&shroud_websocket::End> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }
}

impl Pair {
    pub(crate) fn new(settings: &Settings, compression: Option<Negotiated>) -> Self {
        let now = Instant::now();
        Self {
            server: Side::new(Role::Server, settings, compression, now),
            client: Side::new(Role::Client(masks()), settings, compression, now),
            now,
            step: usize::MAX,
        }
    }

    /// Moves bytes both ways until there are none.
    pub(crate) fn pump(&mut self) {
        loop {
            let up = self.client.transmit(self.now);
            let down = self.server.transmit(self.now);
            if up.is_empty() && down.is_empty() {
                return;
            }
            for piece in up.chunks(self.step.min(up.len().max(1))) {
                self.server.receive(self.now, piece);
            }
            for piece in down.chunks(self.step.min(down.len().max(1))) {
                self.client.receive(self.now, piece);
            }
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.machine.handle_timeout(self.now);
        self.client.machine.handle_timeout(self.now);
        self.server.receive(self.now, &[]);
        self.client.receive(self.now, &[]);
    }
}
