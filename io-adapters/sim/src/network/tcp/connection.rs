//! Connections: two sides and a lane each way.

use super::{HEADERS, RECEIVE_BUFFER, RETRIES, SEGMENT, SEND_BUFFER, retry_after};
use crate::arena::Key;
use crate::chance::Rate;
use crate::errors::{broken_pipe, dead, reset, timed_out};
use crate::event::Event;
use crate::host::Owner;
use crate::network::link::Passage;
use crate::trace::Kind;
use crate::universe::World;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// How often a read or a large write takes less than it could.
const PARTIAL: Rate = Rate::percent(10);
/// Writes up to this size are taken whole when there is room, as kernels do.
const WHOLE_WRITE: usize = 4096;

/// A connection. Side 0 is the one that connected; lane `n` leads from side `n` to the other.
#[derive(Debug)]
pub(crate) struct Connection {
    sides: [Side; 2],
    lanes: [Lane; 2],
}

#[derive(Debug)]
struct Side {
    owner: Owner,
    address: SocketAddr,
    /// Whether a process has it open.
    held: bool,
    /// Whether it has failed, or its host's power went.
    dead: bool,
    /// Whether its host's power went: nothing is answered in its name.
    lost: bool,
    /// Told once, then reads are at their end and writes fail.
    error: Option<Failure>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy)]
enum Failure {
    Reset,
    TimedOut,
}

/// Bytes on their way: those that have arrived, then those that travel, then those not yet sent.
#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    arrived: usize,
    travelling: usize,
    /// Arrived, but the sender has not heard of it.
    unacknowledged: usize,
    end: End,
    /// When the last segment arrives: none may overtake it.
    last: u64,
    tries: u32,
    /// Whether a [`Event::Retry`] will come.
    retrying: bool,
    credit_tries: u32,
    /// Whether a [`Event::Credit`] or [`Event::CreditAgain`] will come.
    crediting: bool,
}

/// Where the end of a lane is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Unsent,
    Travelling,
    Arrived,
}

impl Lane {
    fn unsent(&self) -> usize {
        self.bytes.len().saturating_sub(self.arrived + self.travelling)
    }

    fn forget_unsent(&mut self) {
        self.bytes.truncate(self.arrived + self.travelling);
    }
}

impl Connection {
    pub(crate) fn new(ends: [(Owner, SocketAddr); 2]) -> Self {
        let side = |(owner, address)| Side {
            owner,
            address,
            held: true,
            dead: false,
            lost: false,
            error: None,
            reader: None,
            writer: None,
        };
        Self { sides: ends.map(side), lanes: Default::default() }
    }

    /// Lets nothing arrive in a lane before a time.
    pub(crate) fn not_before(&mut self, lane: usize, time: u64) {
        let (_, lane) = self.parts(lane);
        lane.last = lane.last.max(time);
    }

    /// The addresses of a side and of its peer.
    pub(crate) fn addresses(&self, side: usize) -> (SocketAddr, SocketAddr) {
        let [first, second] = &self.sides;
        if side == 0 { (first.address, second.address) } else { (second.address, first.address) }
    }

    /// A side and the lane that leads from it.
    fn parts(&mut self, side: usize) -> (&mut Side, &mut Lane) {
        let ([first, second], [out, back]) = (&mut self.sides, &mut self.lanes);
        if side == 0 { (first, out) } else { (second, back) }
    }

    fn hosts(&self, lane: usize) -> (Owner, Owner) {
        let [first, second] = &self.sides;
        if lane == 0 { (first.owner, second.owner) } else { (second.owner, first.owner) }
    }
}

impl World {
    pub(crate) fn poll_read(
        &mut self,
        key: Key,
        side: usize,
        buffer: &mut [u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(key) else { return Poll::Ready(Err(dead())) };
        let (_, lane) = connection.parts(1 - side);
        if lane.arrived == 0 {
            let end = lane.end == End::Arrived;
            let (side, _) = connection.parts(side);
            return match side.error.take() {
                Some(failure) => Poll::Ready(Err(failure.into())),
                None if side.dead || end || buffer.is_empty() => Poll::Ready(Ok(0)),
                None => {
                    side.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let length = some_of(self.links.chance(), buffer.len().min(lane.arrived), 1);
        let (front, back) = lane.bytes.as_slices();
        let cut = length.min(front.len());
        copy(buffer.get_mut(..cut), front.get(..cut));
        copy(buffer.get_mut(cut..length), back.get(..length - cut));
        lane.bytes.drain(..length);
        lane.arrived -= length;
        let window_opens = lane.unsent() > 0;
        let read = buffer.get(..length).unwrap_or_default();
        self.trace.note_bytes(
            self.now,
            Kind::StreamRead,
            key.number() << 1 | side as u64,
            length as u64,
            read,
        );
        if window_opens {
            self.send_credit(key, 1 - side);
        }
        Poll::Ready(Ok(length))
    }

    pub(crate) fn poll_write(
        &mut self,
        key: Key,
        number: usize,
        buffers: &[IoSlice<'_>],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(key) else { return Poll::Ready(Err(dead())) };
        let (side, lane) = connection.parts(number);
        if let Some(failure) = side.error.take() {
            return Poll::Ready(Err(failure.into()));
        }
        if side.dead || lane.end != End::Open {
            return Poll::Ready(Err(broken_pipe()));
        }
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let used = lane.bytes.len() - lane.arrived + lane.unacknowledged;
        let room = SEND_BUFFER.saturating_sub(used);
        if room == 0 && wanted > 0 {
            side.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = some_of(self.links.chance(), wanted.min(room), WHOLE_WRITE);
        let mut left = length;
        for buffer in buffers {
            let taken = buffer.get(..left.min(buffer.len())).unwrap_or_default();
            lane.bytes.extend(taken);
            let subject = key.number() << 1 | number as u64;
            self.trace.note_bytes(self.now, Kind::StreamWritten, subject, taken.len() as u64, taken);
            left -= taken.len();
            if left == 0 {
                break;
            }
        }
        self.pump(key, number);
        Poll::Ready(Ok(length))
    }

    /// Closes a side's direction of writing.
    pub(crate) fn half_close(&mut self, key: Key, side: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (_, lane) = connection.parts(side);
        if lane.end == End::Open {
            lane.end = End::Unsent;
            self.note(Kind::StreamClosed, key.number() << 1 | side as u64, 0);
            self.pump(key, side);
        }
    }

    /// The process lets go of a side; `abrupt`, or with bytes that nobody read, it resets the connection.
    pub(crate) fn close_side(&mut self, key: Key, number: usize, abrupt: bool) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (_, inward) = connection.parts(1 - number);
        let unread = inward.arrived > 0;
        let (side, lane) = connection.parts(number);
        side.held = false;
        (side.reader, side.writer) = (None, None);
        if side.dead {
            return self.reap(key);
        }
        if abrupt || unread {
            side.dead = true;
            lane.forget_unsent();
            self.note(Kind::StreamReset, key.number() << 1 | number as u64, 0);
            self.send_reset(key, number);
        } else {
            self.half_close(key, number);
        }
        self.reap(key);
    }

    /// Sends what the window and the link allow.
    fn pump(&mut self, key: Key, number: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let (from, to) = connection.hosts(number);
            let (side, lane) = connection.parts(number);
            if lane.retrying || side.dead {
                return;
            }
            let window = RECEIVE_BUFFER.saturating_sub(lane.arrived + lane.travelling);
            let unsent = lane.unsent();
            let length = unsent.min(window).min(SEGMENT);
            let fin = length == unsent && lane.end == End::Unsent;
            if length == 0 && !fin {
                return;
            }
            match self.links.segment(self.now, from.host, to.host, length + HEADERS) {
                Passage::Arrives { at, .. } => {
                    let at = at.max(lane.last);
                    lane.last = at;
                    lane.travelling += length;
                    if fin {
                        lane.end = End::Travelling;
                    }
                    self.queue.push(at, Event::Segment { connection: key, lane: number, length, fin });
                }
                Passage::Lost => {
                    self.note(Kind::SegmentLost, key.number() << 1 | number as u64, length as u64);
                    return self.retry_later(key, number);
                }
            }
        }
    }

    fn retry_later(&mut self, key: Key, number: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (_, lane) = connection.parts(number);
        if !lane.retrying {
            lane.retrying = true;
            let wait = retry_after(lane.tries);
            lane.tries += 1;
            self.queue.push(self.now + wait, Event::Retry { connection: key, lane: number });
        }
    }

    pub(crate) fn retry(&mut self, key: Key, number: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (_, lane) = connection.parts(number);
        lane.retrying = false;
        if lane.tries > RETRIES {
            return self.fail(key, number, Failure::TimedOut);
        }
        self.pump(key, number);
    }

    pub(crate) fn segment_arrives(&mut self, key: Key, number: usize, length: usize, fin: bool) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (from, to) = connection.hosts(number);
        let (receiver, _) = connection.parts(1 - number);
        let receiver_open = receiver.held && !receiver.dead;
        if receiver.lost {
            return self.segment_meets_nobody(key, number, to, length, fin);
        }
        let (sender, lane) = connection.parts(number);
        lane.travelling -= length;
        lane.tries = 0;
        if fin {
            lane.end = End::Arrived;
        }
        if !receiver_open {
            // The process has closed it: whoever still sends is told.
            let start = lane.arrived;
            lane.bytes.drain(start..start + length);
            if length > 0 {
                self.send_reset(key, 1 - number);
            }
            return self.reap(key);
        }
        lane.arrived += length;
        lane.unacknowledged += length;
        let waited_for = lane.unsent() > 0 || sender.writer.is_some();
        let (receiver, _) = connection.parts(1 - number);
        let mut waker = receiver.reader.take();
        self.wake(&mut waker);
        self.note(
            Kind::SegmentArrived,
            key.number() << 1 | number as u64,
            length as u64 * 2 + u64::from(fin),
        );
        if waited_for || !self.links.config(to.host, from.host).up {
            self.send_credit(key, number);
        } else if let Some(connection) = self.connections.get_mut(key) {
            // Nobody could tell when the sender heard of it.
            connection.parts(number).1.unacknowledged = 0;
        }
        if fin {
            self.reap(key);
        }
    }

    /// The receiving process is gone: its host is silent while it is down, and resets the connection when it is not.
    fn segment_meets_nobody(&mut self, key: Key, number: usize, to: Owner, length: usize, fin: bool) {
        let powered = self.hosts.get(to.host).is_some_and(|host| host.powered);
        if let Some(connection) = self.connections.get_mut(key) {
            let (_, lane) = connection.parts(number);
            lane.travelling -= length;
            if fin {
                lane.end = End::Unsent;
            }
        }
        if powered {
            self.send_reset(key, 1 - number);
        }
        self.retry_later(key, number);
    }

    /// Tells a lane's sender how much has arrived and was read.
    pub(crate) fn send_credit(&mut self, key: Key, number: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (from, to) = connection.hosts(number);
        let (_, lane) = connection.parts(number);
        if lane.crediting {
            return;
        }
        lane.crediting = true;
        match self.links.segment(self.now, to.host, from.host, HEADERS) {
            Passage::Arrives { at, .. } => {
                lane.credit_tries = 0;
                self.queue.push(at, Event::Credit { connection: key, lane: number });
            }
            Passage::Lost if lane.credit_tries >= RETRIES => self.fail(key, number, Failure::TimedOut),
            Passage::Lost => {
                let wait = retry_after(lane.credit_tries);
                lane.credit_tries += 1;
                self.queue.push(self.now + wait, Event::CreditAgain { connection: key, lane: number });
            }
        }
    }

    pub(crate) fn credit_again(&mut self, key: Key, number: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.parts(number).1.crediting = false;
        self.send_credit(key, number);
    }

    pub(crate) fn credit_arrives(&mut self, key: Key, number: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (side, lane) = connection.parts(number);
        lane.crediting = false;
        lane.unacknowledged = 0;
        let mut waker = side.writer.take();
        self.wake(&mut waker);
        self.note(Kind::Acknowledged, key.number() << 1 | number as u64, 0);
        self.pump(key, number);
    }

    /// A reset on its way from a side to its peer. Links lose resets, too.
    fn send_reset(&mut self, key: Key, from: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (near, far) = connection.hosts(from);
        if let Passage::Arrives { at, .. } = self.links.segment(self.now, near.host, far.host, HEADERS) {
            let (_, lane) = connection.parts(from);
            let at = at.max(lane.last);
            self.queue.push(at, Event::Reset { connection: key, side: 1 - from });
        }
    }

    pub(crate) fn reset_arrives(&mut self, key: Key, side: usize) {
        self.note(Kind::StreamReset, key.number() << 1 | side as u64, 1);
        self.fail(key, side, Failure::Reset);
    }

    /// A side learns that its connection is no more.
    fn fail(&mut self, key: Key, number: usize, failure: Failure) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (side, lane) = connection.parts(number);
        if !side.dead {
            side.dead = true;
            side.error = Some(failure);
            lane.forget_unsent();
            let (mut reader, mut writer) = (side.reader.take(), side.writer.take());
            self.wake(&mut reader);
            self.wake(&mut writer);
        }
        self.reap(key);
    }

    /// Forgets a connection that both sides are done with.
    fn reap(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let done = [0, 1].map(|number| {
            let (side, lane) = connection.parts(number);
            !side.held && (side.dead || lane.end == End::Arrived)
        });
        // A side that is dead may still have a reset on its way, which its peer, when it is held, must see.
        if done == [true, true] {
            self.connections.remove(key);
        }
    }

    pub(crate) fn drop_sides(&mut self, owner: Owner, silent: bool) {
        let is_ours = |connection: &Connection| connection.sides.iter().any(|side| side.owner == owner);
        for key in self.connections.keys(is_ours) {
            for number in [0, 1] {
                let Some(connection) = self.connections.get_mut(key) else { continue };
                let (side, lane) = connection.parts(number);
                if side.owner != owner || !side.held {
                    continue;
                }
                if silent {
                    (side.held, side.dead, side.lost) = (false, true, true);
                    (side.reader, side.writer) = (None, None);
                    lane.forget_unsent();
                    self.reap(key);
                } else {
                    self.close_side(key, number, false);
                }
            }
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reset => reset(),
            Failure::TimedOut => timed_out(),
        }
    }
}

fn copy(out: Option<&mut [u8]>, bytes: Option<&[u8]>) {
    if let (Some(out), Some(bytes)) = (out, bytes) {
        out.copy_from_slice(bytes);
    }
}

/// All of `most`, or now and then a part of it, when it is more than `whole`.
fn some_of(chance: &mut crate::chance::Chance, most: usize, whole: usize) -> usize {
    if most > whole && chance.happens(PARTIAL) { 1 + chance.index(most - 1) } else { most }
}
