//! What arrives: datagrams for connections, for other members, and for connections that are not there yet.

use super::{Driver, PASS, WORK, concerns_one_peer, connecting};
use crate::cell::Cell;
use crate::config::Retry;
use crate::group::Foreign;
use crate::shard::Core;
use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Incoming, Transmit};
use shroud_runtime::{Ecn, Runtime};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

impl<R: Runtime> Driver<R> {
    /// Takes what the socket has, and has connections handle what they have received, as far as `work` and a pass's time go. Whether
    /// the socket may have more.
    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        now: &mut Instant,
        work: &mut usize,
    ) -> io::Result<bool> {
        let taken = self.take_in(core, cx, now);
        self.take_turns(core, *now, work);
        taken
    }

    /// Takes what the socket has. `now` becomes the time of the last look at the clock.
    fn take_in(&mut self, core: &mut Core, cx: &mut Context<'_>, now: &mut Instant) -> io::Result<bool> {
        let begun = *now;
        let mut left = WORK;
        while left > 0 {
            if !self.inbox.has_more() {
                match self.inbox.poll_fill(cx, &self.socket) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(Ok(buffers)) => core.stats.receive_buffers += buffers as u64,
                    Poll::Ready(Err(error)) if concerns_one_peer(&error) => {
                        left -= 1;
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                }
                *now = self.runtime.now();
                self.taking.begin(*now);
                if now.saturating_duration_since(begun) >= PASS {
                    return Ok(true);
                }
            }
            while left > 0 && self.inbox.has_more() {
                left -= 1;
                self.take_one(core, cx, *now);
                if let Some(then) = self.taking.step(|| self.runtime.now()) {
                    *now = then;
                    // Those of nobody's, and first packets, take longer.
                    if then.saturating_duration_since(begun) >= PASS {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(true)
    }

    fn take_one(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant) {
        let Some((meta, bytes)) = self.inbox.next() else { return };
        core.stats.received += 1;
        core.stats.received_bytes += bytes.len() as u64;
        let datagram = Foreign {
            remote: meta.source,
            local: meta.destination,
            ecn: meta.ecn.and_then(codepoint),
            bytes: BytesMut::from(bytes),
        };
        let owner = self.reader.and_then(|reader| reader.route(&datagram.bytes));
        match owner.and_then(|owner| self.foreign.get_mut(usize::from(owner)).map(|to| (owner, to))) {
            Some((owner, to)) if owner != self.member.index => to.push(datagram),
            _ => self.handle(core, cx, now, datagram),
        }
    }

    /// Takes what other members have handed over: all of it, as a mailbox holds a bounded number.
    pub(super) fn take_over(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant) {
        if self.reader.is_none() {
            return;
        }
        let Some(mailbox) = self.member.group.mailbox(self.member.index) else { return };
        let arrived = mailbox.take(cx.waker());
        core.stats.taken_over += arrived.len() as u64;
        for datagram in arrived {
            self.handle(core, cx, now, datagram);
        }
    }

    /// Hands over what belongs to other members: one lock and one wake for each.
    pub(super) fn hand_over(&mut self, core: &mut Core) {
        if self.reader.is_none() {
            return;
        }
        for (member, batch) in self.foreign.iter_mut().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            let mailbox = u8::try_from(member).ok().and_then(|member| self.member.group.mailbox(member));
            let Some(mailbox) = mailbox else { continue };
            core.stats.handed_over += batch.len() as u64;
            core.stats.handover_lost += mailbox.deliver(batch) as u64;
        }
    }

    fn handle(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant, datagram: Foreign) {
        let Foreign { remote, local, ecn, bytes } = datagram;
        self.scratch.clear();
        let short = bytes.first().is_some_and(|first| first & 0x80 == 0);
        let length = bytes.len();
        match core.endpoint.handle(now, remote, local, ecn, bytes, &mut self.scratch) {
            None => {}
            Some(DatagramEvent::ConnectionEvent(index, event)) => {
                if core.slot(index).is_none() {
                    return self.repeat_farewell(core, cx, index, length);
                }
                if let Some(line) = core.keep(index, event, length) {
                    self.lines.join(index, line);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.admit(core, cx, now, incoming),
            // A stateless reset that would meet a peer which has only moved.
            Some(DatagramEvent::Response(_)) if short && self.departures.recent(remote, now) => {}
            Some(DatagramEvent::Response(transmit)) => self.answer(core, cx, &transmit),
        }
    }

    /// A client's first packet: takes it up, refuses, drops, or asks for a proof of the address.
    fn admit(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant, incoming: Incoming) {
        let Some(serving) = core.server.filter(|_| !core.closed) else {
            return self.refuse(core, cx, incoming);
        };
        let half_open = core.stats.half_open + self.arriving.len();
        if core.stats.connections + self.arriving.len() >= serving.limits.connections {
            return self.refuse(core, cx, incoming);
        }
        if half_open >= serving.limits.half_open {
            core.stats.dropped += 1;
            return core.endpoint.ignore(incoming);
        }
        let prove = match serving.retry {
            Retry::Never => false,
            Retry::UnderLoad => half_open >= serving.limits.half_open_free,
            Retry::Always => true,
        };
        if prove && !incoming.remote_address_validated() {
            match core.endpoint.retry(incoming, &mut self.scratch) {
                Ok(transmit) => {
                    core.stats.retried += 1;
                    self.answer(core, cx, &transmit);
                }
                Err(error) => core.endpoint.ignore(error.into_incoming()),
            }
            return;
        }
        self.arriving.push_back((now, incoming));
    }

    /// The handshake of the client that has waited longest, the last thing in a pass: it takes about as long as all else, and a
    /// flood of them must not come before what connections receive, nor one before the answer to another.
    pub(super) fn shake_hands(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant) {
        let Some((arrived, incoming)) = self.arriving.pop_front() else { return };
        let Some(serving) = core.server.filter(|_| !core.closed) else {
            return self.refuse(core, cx, incoming);
        };
        match core.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((index, machine)) => {
                core.stats.accepted += 1;
                let cell = Cell::new(index, Arc::clone(&self.shared), machine);
                core.insert(Arc::clone(&cell), arrived + serving.limits.handshake_time, true);
                let connecting = connecting(&cell);
                let mut waiting = self.shared.incoming();
                if !waiting.ended {
                    waiting.waiting.push_back(connecting);
                }
                drop(waiting);
                self.shared.arrived.notify(1);
                self.enqueue(&cell);
                self.dispatch(core, &cell, &mut cell.lock());
            }
            Err(error) => {
                tracing::debug!(error = %error.cause, "a first packet failed");
                if let Some(transmit) = error.response {
                    self.answer(core, cx, &transmit);
                }
            }
        }
    }

    fn refuse(&mut self, core: &mut Core, cx: &mut Context<'_>, incoming: Incoming) {
        core.stats.refused += 1;
        let transmit = core.endpoint.refuse(incoming, &mut self.scratch);
        self.answer(core, cx, &transmit);
    }

    /// Sends what `scratch` holds, when there is room.
    pub(super) fn answer(&mut self, core: &mut Core, cx: &mut Context<'_>, transmit: &Transmit) {
        if self.outbox.is_full() {
            let _ = self.outbox.flush(cx, &self.socket, &mut core.stats);
        }
        match self.outbox.next() {
            Some(buffer) => {
                std::mem::swap(buffer, &mut self.scratch);
                self.outbox.push(transmit);
            }
            None => core.stats.answers_lost += 1,
        }
    }
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
        _ => None,
    }
}
