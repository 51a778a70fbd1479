//! What the endpoint's task shares with its handles and connections.

use crate::backlog::{Backlog, Backlogs};
use crate::cell::Cell;
use crate::config::{Limits, Retry};
use crate::entropy::Entropy;
use crate::error::ConnectionError;
use event_listener::Event;
use quinn_proto::{ConnectionHandle, Transmit, VarInt};
use shroud_runtime::sync::AtomicWaker;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What an endpoint has done and is doing. Counts are since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections now, draining ones among them.
    pub connections: usize,
    /// Clients' handshakes now that were begun and have not ended.
    pub half_open: usize,
    /// Clients' connections that were taken on.
    pub accepted: u64,
    /// Connections made from here.
    pub connected: u64,
    /// First packets answered by CONNECTION_REFUSED at the limit of connections.
    pub refused: u64,
    /// First packets dropped at the limit of half-open handshakes.
    pub dropped: u64,
    /// First packets answered by a Retry.
    pub retried: u64,
    /// Handshakes given up because they did not end in time.
    pub handshakes_timed_out: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Buffers filled by the kernel: with receive offload fewer than datagrams.
    pub receive_buffers: u64,
    /// Trains of datagrams sent: with segmentation offload fewer than datagrams.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Trains that the kernel refused (no route, too long, ...): lost, as on their way.
    pub send_errors: u64,
    /// Answers without a connection (resets, retries, refusals) that found no room to wait.
    pub answers_lost: u64,
    /// Datagrams handed over to another member of the group.
    pub handed_over: u64,
    /// Datagrams taken over from other members.
    pub taken_over: u64,
    /// Datagrams lost because another member's mailbox was full.
    pub handover_lost: u64,
    /// Datagrams lost because too many waited to be handled, of their connection most often.
    pub backlog_lost: u64,
}

pub(crate) struct Shared {
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) entropy: Entropy,
    core: Mutex<Core>,
    /// Connections that have something to send.
    queue: Mutex<Vec<ConnectionHandle>>,
    /// Whether the task is due to run already.
    scheduled: AtomicBool,
    waker: AtomicWaker,
    /// Endpoint handles.
    pub(crate) handles: AtomicUsize,
    pub(crate) incoming: Mutex<Incoming>,
    pub(crate) arrived: Event,
    /// Notified when the last connection is gone, and when the task ends.
    pub(crate) idle: Event,
}

/// Clients' connections that nobody has accepted yet: no more than there may be connections.
#[derive(Default)]
pub(crate) struct Incoming {
    pub(crate) waiting: VecDeque<crate::Connecting>,
    /// No more will come.
    pub(crate) ended: bool,
}

/// The protocol's endpoint and the connections, under the endpoint's lock.
pub(crate) struct Core {
    pub(crate) endpoint: quinn_proto::Endpoint,
    pub(crate) slots: Vec<Option<Slot>>,
    /// Connections that are over, of which little is left; they count as connections.
    pub(crate) closing: BTreeMap<usize, Closing>,
    pub(crate) server: Option<Serving>,
    pub(crate) stats: EndpointStats,
    pub(crate) backlogs: Backlogs,
    pub(crate) address: SocketAddr,
    pub(crate) closed: bool,
    /// The most connections that clients of this endpoint may open.
    pub(crate) limit: usize,
}

/// A server's policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving {
    pub(crate) limits: Limits,
    pub(crate) retry: Retry,
}

/// A connection's place.
pub(crate) struct Slot {
    pub(crate) cell: Arc<Cell>,
    /// The peer's address, as it was last looked at.
    pub(crate) remote: SocketAddr,
    /// The earliest entry in the timer's heap.
    pub(crate) armed: Option<Instant>,
    /// When the handshake must have ended.
    pub(crate) handshake: Option<Instant>,
    /// Counts among the half-open ones.
    pub(crate) half_open: bool,
    pub(crate) backlog: Backlog,
}

/// What is left of a connection that is over.
pub(crate) struct Closing {
    pub(crate) until: Instant,
    /// `None` when it was the peer who closed.
    pub(crate) farewell: Option<Farewell>,
    /// Packets of the peer since.
    pub(crate) heard: u32,
}

/// The packet with CONNECTION_CLOSE.
pub(crate) struct Farewell {
    pub(crate) planned: Transmit,
    pub(crate) bytes: Box<[u8]>,
}

impl Shared {
    pub(crate) fn new(
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
        entropy: Entropy,
        core: Core,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            entropy,
            core: Mutex::new(core),
            queue: Mutex::default(),
            scheduled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            handles: AtomicUsize::new(0),
            incoming: Mutex::default(),
            arrived: Event::new(),
            idle: Event::new(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// The endpoint's lock. Taken before a connection's, never after.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self, index: ConnectionHandle) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(index);
        self.wake();
    }

    /// Has the task run, once for all calls until it does.
    pub(crate) fn wake(&self) {
        if !self.scheduled.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// For the task, at the start of each run: what was queued from here on wakes it again.
    pub(crate) fn begin(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
        self.scheduled.store(false, Ordering::SeqCst);
    }

    /// Moves what was queued to the end of `queue`.
    pub(crate) fn take_queue(&self, queue: &mut VecDeque<ConnectionHandle>) {
        queue.extend(self.queue.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
    }

    /// Ends everything for all waiting tasks: the endpoint's task is gone.
    pub(crate) fn end(&self) {
        let cells: Vec<_> = {
            let mut core = self.core();
            core.closed = true;
            core.stats.connections = 0;
            core.stats.half_open = 0;
            core.backlogs = Backlogs::default();
            core.closing.clear();
            core.slots.drain(..).flatten().map(|slot| slot.cell).collect()
        };
        for cell in cells {
            let mut wakers = Vec::new();
            cell.lose(&mut cell.lock(), ConnectionError::EndpointGone, &mut wakers);
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
        self.end_incoming();
        self.idle.notify(usize::MAX);
    }

    /// Nothing more is accepted; what waits is dropped, which closes it.
    pub(crate) fn end_incoming(&self) {
        let waiting = {
            let mut incoming = self.incoming();
            incoming.ended = true;
            std::mem::take(&mut incoming.waiting)
        };
        drop(waiting);
        self.arrived.notify(usize::MAX);
    }

    /// Closes the endpoint and all its connections.
    pub(crate) fn close(&self, code: VarInt, reason: &bytes::Bytes) {
        let cells: Vec<_> = {
            let mut core = self.core();
            core.closed = true;
            core.slots.iter().flatten().map(|slot| Arc::clone(&slot.cell)).collect()
        };
        for cell in cells {
            cell.close(code, reason.clone(), ConnectionError::LocallyClosed);
        }
        self.end_incoming();
        self.wake();
    }
}

impl Core {
    pub(crate) fn slot(&mut self, index: ConnectionHandle) -> Option<&mut Slot> {
        self.slots.get_mut(index.0)?.as_mut()
    }

    pub(crate) fn insert(&mut self, cell: Arc<Cell>, handshake: Instant, half_open: bool) {
        let index = cell.index.0;
        let remote = cell.lock().machine.remote_address();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(index) {
            debug_assert!(place.is_none(), "the machine gives an index out once at a time");
            let (handshake, backlog) = (Some(handshake), Backlog::default());
            *place = Some(Slot { cell, remote, armed: None, handshake, half_open, backlog });
        }
        self.stats.connections += 1;
        self.stats.half_open += usize::from(half_open);
    }

    /// The handshake has ended, or the connection has.
    pub(crate) fn settled(&mut self, index: ConnectionHandle) {
        let Some(slot) = self.slot(index) else { return };
        slot.handshake = None;
        if std::mem::take(&mut slot.half_open) {
            self.stats.half_open -= 1;
        }
    }

    pub(crate) fn remove(&mut self, index: ConnectionHandle) {
        self.settled(index);
        if self.vacate(index) {
            self.stats.connections -= 1;
        }
    }

    /// Empties a connection's place. Whether there was one.
    pub(crate) fn vacate(&mut self, index: ConnectionHandle) -> bool {
        let Some(slot) = self.slots.get_mut(index.0).and_then(Option::take) else { return false };
        self.backlogs.forget(&slot.backlog);
        true
    }
}
