//! The endpoint's task: the only one that touches the socket.
//!
//! One run of it is one pass: timers that are due, datagrams handed over by other members, then everything that
//! connections have to send (in trains, in batches), then what the socket has received, connection by connection, then one client's
//! handshake. Tasks
//! of the application that have something to read are woken at the end of the pass, and their answers go out in the next,
//! with the acknowledgements that are due by then: nothing is woken or locked per packet, and no packet goes out that the
//! answer could have carried. A pass does a bounded amount of work, then yields.

mod closing;
mod departures;
mod inbox;
mod intake;
mod outbox;
mod timers;
mod turns;

use crate::cell::{Cell, Early, Hold, State, place};
use crate::congestion::open_for_close;
use crate::connection_id::Reader;
use crate::error::ConnectionError;
use crate::group::{Foreign, Member};
use crate::shard::{Core, Shared};
use departures::Departures;
use inbox::Inbox;
use outbox::Outbox;
use quinn_proto::{ConnectionHandle, Event, Incoming, Side, StreamEvent, VarInt};
use shroud_runtime::task::give_way;
use shroud_runtime::{Alarm, Datagram, Runtime};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use timers::Timers;
use turns::{Lines, Pace};

/// What one pass may do, counted in datagrams handled or made: about half a millisecond.
const WORK: usize = 256;
/// How long one pass may take until it ends with the datagrams at hand: those of a hostile peer can take many times as long to handle.
const PASS: Duration = Duration::from_micros(250);
/// Timers that are handled without a look at the clock.
const UNTIMED_TIMERS: u32 = 8;
/// Trains that one connection may send before the next has its turn.
const TRAINS_PER_TURN: usize = 4;
/// The largest train, in bytes: what one UDP packet may be before the kernel cuts it.
const LARGEST_TRAIN: usize = 65_000;

/// A socket that is to take the place of the endpoint's.
pub(crate) type Rebind<S> = Arc<Mutex<Option<S>>>;

pub(crate) struct Driver<R: Runtime> {
    runtime: R,
    socket: R::Socket,
    rebind: Rebind<R::Socket>,
    shared: Arc<Shared>,
    member: Member,
    /// In a group of several.
    reader: Option<Reader>,
    alarm: R::Alarm,
    armed: Option<Instant>,
    timers: Timers,
    inbox: Inbox,
    outbox: Outbox,
    segments: usize,
    /// Connections that have something to send.
    queue: VecDeque<ConnectionHandle>,
    /// Connections that have something to handle.
    lines: Lines,
    /// Of taking datagrams from the socket, and of handling them.
    taking: Pace,
    pace: Pace,
    /// Datagrams for other members, by member.
    foreign: Vec<Vec<Foreign>>,
    /// Clients whose first packet was taken up: those who are half open, and they, are at most as many as may be half open.
    arriving: VecDeque<(Instant, Incoming)>,
    departures: Departures,
    wakers: Vec<Waker>,
    scratch: Vec<u8>,
}

impl<R: Runtime> Driver<R> {
    pub(crate) fn new(
        runtime: R,
        socket: R::Socket,
        rebind: Rebind<R::Socket>,
        shared: Arc<Shared>,
        member: Member,
        max_udp_payload: usize,
    ) -> Self {
        let capabilities = socket.capabilities();
        let members = member.group.members();
        let now = runtime.now();
        Self {
            alarm: runtime.alarm(),
            armed: None,
            timers: Timers::default(),
            inbox: Inbox::new(max_udp_payload, capabilities.receive_segments),
            outbox: Outbox::default(),
            segments: capabilities.send_segments.max(1),
            queue: VecDeque::new(),
            lines: Lines::default(),
            taking: Pace::new(now),
            pace: Pace::new(now),
            foreign: (0..members).map(|_| Vec::new()).collect(),
            arriving: VecDeque::new(),
            departures: Departures::default(),
            wakers: Vec::new(),
            scratch: Vec::new(),
            reader: (members > 1).then(|| member.group.reader()),
            runtime,
            socket,
            rebind,
            shared,
            member,
        }
    }

    /// One pass; ready when the endpoint has nothing more to do, ever.
    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        shared.begin(cx.waker());
        let mut core = shared.core();
        let busy = core.stats.connections;
        self.swap_socket(&mut core);
        let mut now = self.runtime.now();
        let mut work = WORK;
        self.fire(&mut core, now, &mut work);
        self.take_over(&mut core, cx, now);
        shared.take_queue(&mut self.queue);
        let blocked = self.transmit(&mut core, cx, now, &mut work);
        let (more, ended) = match self.receive(&mut core, cx, &mut now, &mut work) {
            Ok(more) => (more, false),
            Err(error) => {
                tracing::warn!(%error, "the endpoint's socket failed");
                (false, true)
            }
        };
        self.shake_hands(&mut core, cx, now);
        self.hand_over(&mut core);
        let blocked = blocked || self.outbox.flush(cx, &self.socket, &mut core.stats).is_pending();
        self.set_alarm(&mut core, cx);
        if (!blocked && !self.queue.is_empty())
            || work == 0
            || more
            || !self.lines.is_empty()
            || !self.arriving.is_empty()
        {
            // What else runs here goes first, and what has become ready meanwhile.
            let _: Poll<()> = give_way(cx);
        }
        let idle = core.stats.connections == 0;
        let over = core.closed && idle && self.outbox.is_empty() && self.arriving.is_empty();
        drop(core);
        if idle && busy > 0 {
            shared.idle.notify(usize::MAX);
        }
        self.wakers.drain(..).for_each(Waker::wake);
        if ended || over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn swap_socket(&mut self, core: &mut Core) {
        let Some(socket) = self.rebind.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.segments = socket.capabilities().send_segments.max(1);
        self.inbox.clear();
        self.socket = socket;
        for slot in core.slots.iter().flatten() {
            // Says something from the new address, so that the peer learns of it.
            slot.cell.lock().machine.local_address_changed();
            if !slot.cell.queued.swap(true, Ordering::SeqCst) {
                self.queue.push_back(slot.cell.index);
            }
        }
    }

    /// Handles the timers that are due; what takes too long is left to the next pass, which those left bring about.
    fn fire(&mut self, core: &mut Core, now: Instant, work: &mut usize) {
        for fired in 1_u32.. {
            let enough = fired.is_multiple_of(UNTIMED_TIMERS)
                && self.runtime.now().saturating_duration_since(now) >= PASS / 2;
            let Some((at, index)) = (if enough { None } else { self.timers.pop(now) }) else { return };
            let Some(slot) = core.slot(index) else {
                closing::forget(core, index, now);
                continue;
            };
            if slot.armed != Some(at) {
                continue;
            }
            slot.armed = None;
            let late = slot.handshake.is_some_and(|deadline| deadline <= now);
            let cell = Arc::clone(&slot.cell);
            if late {
                slot.handshake = None;
                core.stats.handshakes_timed_out += 1;
                cell.close(VarInt::from_u32(0), bytes::Bytes::new(), ConnectionError::HandshakeTimeout);
            }
            let mut state = cell.lock();
            if state.machine.is_closed() {
                // It may be its last moment, and its close still unsaid: this task may have come late.
                self.trains(&mut state, now, work);
            }
            state.machine.handle_timeout(now);
            self.dispatch(core, &cell, &mut state);
            drop(state);
            self.enqueue(&cell);
        }
    }

    fn enqueue(&mut self, cell: &Cell) {
        if !cell.queued.swap(true, Ordering::SeqCst) {
            self.queue.push_back(cell.index);
        }
    }

    /// Sends what connections have to send; whether the socket takes no more for now.
    fn transmit(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant, work: &mut usize) -> bool {
        loop {
            if self.outbox.is_full() && self.outbox.flush(cx, &self.socket, &mut core.stats).is_pending() {
                return true;
            }
            let next = if *work == 0 { None } else { self.queue.pop_front() };
            let Some(index) = next else {
                return self.outbox.flush(cx, &self.socket, &mut core.stats).is_pending();
            };
            let Some(slot) = core.slot(index) else { continue };
            let cell = Arc::clone(&slot.cell);
            // From here on a write by the application queues it again.
            cell.queued.store(false, Ordering::SeqCst);
            let mut state = cell.lock();
            let more = self.trains(&mut state, now, work);
            self.dispatch(core, &cell, &mut state);
            drop(state);
            if more {
                self.enqueue(&cell);
            }
        }
    }

    /// Makes trains of one connection; whether it may have more.
    fn trains(&mut self, state: &mut State, now: Instant, work: &mut usize) -> bool {
        let mtu = usize::from(state.machine.current_mtu()).max(1);
        let segments = self.segments.min(LARGEST_TRAIN / mtu).max(1);
        if state.machine.is_closed() {
            open_for_close(&state.machine);
        }
        for _ in 0..TRAINS_PER_TURN {
            let Some(buffer) = self.outbox.next() else { return true };
            let Some(transmit) = state.machine.poll_transmit(now, segments, buffer) else { return false };
            let datagrams = transmit.segment_size.map_or(1, |size| transmit.size.div_ceil(size.max(1)));
            *work = work.saturating_sub(datagrams);
            if state.machine.is_closed() {
                closing::note_farewell(state, &transmit, buffer);
            }
            self.outbox.push(&transmit);
        }
        true
    }

    /// Passes on what a connection has to say to the endpoint and to the application, and arms its timer.
    fn dispatch(&mut self, core: &mut Core, cell: &Arc<Cell>, state: &mut State) {
        let remote = state.machine.remote_address();
        if let Some(slot) = core.slot(cell.index).filter(|slot| slot.remote != remote) {
            let left = std::mem::replace(&mut slot.remote, remote);
            self.departures.note(left, self.runtime.now());
        }
        let mut drained = false;
        while let Some(event) = state.machine.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(event) = core.endpoint.handle_event(cell.index, event) {
                state.machine.handle_event(event);
            }
        }
        while let Some(event) = state.machine.poll() {
            self.tell(core, cell, state, event);
        }
        if drained {
            return core.remove(cell.index);
        }
        if closing::let_go(core, &mut self.timers, cell, state) {
            return;
        }
        let deadline = state.machine.poll_timeout();
        if let Some(slot) = core.slot(cell.index) {
            let deadline = deadline.into_iter().chain(slot.handshake).min();
            self.timers.arm(cell.index, &mut slot.armed, deadline);
        }
    }

    fn tell(&mut self, core: &mut Core, cell: &Cell, state: &mut State, event: Event) {
        let events = &cell.events;
        let wakers = &mut self.wakers;
        match event {
            Event::HandshakeDataReady => {
                state.handshake_data = true;
                events.handshake.notify(usize::MAX);
                // A server knows the client's limits by now, and may open streams before the handshake has ended: what
                // came early is answered early, though the client's first flight came in several datagrams.
                events.available.iter().for_each(|event| {
                    event.notify(usize::MAX);
                });
            }
            Event::Connected => {
                state.connected = true;
                state.handshake_data = true;
                if state.machine.side() == Side::Client && state.machine.has_0rtt() {
                    let accepted = state.machine.accepted_0rtt();
                    state.early = if accepted { Early::Accepted } else { Early::Rejected };
                    if !accepted {
                        // Streams opened in early data are gone: their holders must learn it.
                        state.wake_streams(wakers);
                    }
                }
                core.settled(cell.index);
                events.handshake.notify(usize::MAX);
                // The peer's limits are known by now.
                events.available.iter().for_each(|event| {
                    event.notify(usize::MAX);
                });
            }
            Event::ConnectionLost { reason } => {
                core.settled(cell.index);
                cell.lose(state, reason.into(), wakers);
            }
            Event::Stream(StreamEvent::Opened { dir }) => {
                place(&events.opened, dir).notify(usize::MAX);
            }
            Event::Stream(StreamEvent::Available { dir }) => {
                place(&events.available, dir).notify(usize::MAX);
            }
            Event::Stream(StreamEvent::Readable { id }) => wakers.extend(state.readers.remove(&id)),
            Event::Stream(StreamEvent::Writable { id }) => wakers.extend(state.writers.remove(&id)),
            Event::Stream(StreamEvent::Finished { id }) => wakers.extend(state.stoppers.remove(&id)),
            Event::Stream(StreamEvent::Stopped { id, .. }) => {
                wakers.extend(state.stoppers.remove(&id));
                wakers.extend(state.writers.remove(&id));
            }
            Event::DatagramReceived => {
                events.datagram.notify(usize::MAX);
            }
            Event::DatagramsUnblocked => {
                events.datagram_room.notify(usize::MAX);
            }
        }
    }

    fn set_alarm(&mut self, core: &mut Core, cx: &mut Context<'_>) {
        self.timers.tidy(core);
        let next = self.timers.next();
        if next != self.armed {
            self.alarm.set(next);
            self.armed = next;
        }
        if next.is_some() && self.alarm.poll_fired(cx).is_ready() {
            // Due already: the next pass handles it.
            self.armed = None;
            let _: Poll<()> = give_way(cx);
        }
    }
}

impl<R: Runtime> Future for Driver<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().pass(cx)
    }
}

impl<R: Runtime> Unpin for Driver<R> {}

impl<R: Runtime> Drop for Driver<R> {
    fn drop(&mut self) {
        let mut core = self.shared.core();
        for (_, incoming) in self.arriving.drain(..) {
            core.endpoint.ignore(incoming);
        }
        drop(core);
        self.shared.end();
    }
}

/// Errors of a socket that say something about one datagram that was sent before, not about the socket.
fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable
    )
}

/// A client's connection as the application accepts it.
fn connecting(cell: &Arc<Cell>) -> crate::Connecting {
    crate::Connecting::new(Hold::new(Arc::clone(cell)))
}
