//! A connection's state, between the endpoint's task and the application's.
//!
//! Each connection stands under a lock of its own, held for one verb at a time. The application writes and reads under it and
//! leaves the connection on the endpoint's queue when packets have to go out; the endpoint's task takes the queue in one
//! pass, so that all that was written since the last one shares packets, segmentation and system calls.

use crate::error::ConnectionError;
use crate::shard::{Farewell, Shared};
use event_listener::{Event, EventListener};
use quinn_proto::{Connection as Machine, ConnectionHandle, Dir, Side, StreamId, VarInt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A connection: shared by its handles and the endpoint's task.
pub(crate) struct Cell {
    pub(crate) index: ConnectionHandle,
    pub(crate) shared: Arc<Shared>,
    /// Whether it stands on the endpoint's queue.
    pub(crate) queued: AtomicBool,
    /// The application's handles: connections and streams. Without any, it is closed.
    handles: AtomicUsize,
    state: Mutex<State>,
    pub(crate) events: Events,
}

/// What tasks wait for. Notified under the lock or after it; checked under it.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Handshake data, handshake end, or loss.
    pub(crate) handshake: Event,
    pub(crate) closed: Event,
    /// The peer opened a stream: bidirectional, unidirectional.
    pub(crate) opened: [Event; 2],
    /// The peer allows more streams.
    pub(crate) available: [Event; 2],
    pub(crate) datagram: Event,
    pub(crate) datagram_room: Event,
}

/// Early data of a client (0-RTT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Early {
    /// None was possible, or nothing is known yet.
    None,
    Accepted,
    Rejected,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) connected: bool,
    pub(crate) handshake_data: bool,
    pub(crate) early: Early,
    pub(crate) error: Option<ConnectionError>,
    /// The packet that said that the connection is closed here.
    pub(crate) farewell: Option<Farewell>,
    pub(crate) readers: BTreeMap<StreamId, Waker>,
    pub(crate) writers: BTreeMap<StreamId, Waker>,
    pub(crate) stoppers: BTreeMap<StreamId, Waker>,
}

impl Cell {
    /// A connection with one handle, that of the [`Hold`] to be made by [`Hold::first`].
    pub(crate) fn new(index: ConnectionHandle, shared: Arc<Shared>, machine: Machine) -> Arc<Self> {
        let state = State {
            machine,
            connected: false,
            handshake_data: false,
            early: Early::None,
            error: None,
            farewell: None,
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            stoppers: BTreeMap::new(),
        };
        Arc::new(Self {
            index,
            shared,
            queued: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            state: Mutex::new(state),
            events: Events::default(),
        })
    }

    /// Whether the application has a handle of it.
    pub(crate) fn is_held(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the endpoint's task to send what the connection has to send.
    pub(crate) fn transmit(&self) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.shared.queue(self.index);
        }
    }

    /// Closes it on this side; a no-op on one that is closed.
    pub(crate) fn close(&self, code: VarInt, reason: bytes::Bytes, why: ConnectionError) {
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            if state.error.is_some() {
                return;
            }
            let now = self.shared.now();
            state.machine.close(now, code, reason);
            self.lose(&mut state, why, &mut wakers);
        }
        self.transmit();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Notes that the connection is gone, for everybody.
    pub(crate) fn lose(&self, state: &mut State, why: ConnectionError, wakers: &mut Vec<Waker>) {
        if state.error.is_none() {
            state.error = Some(why);
        }
        state.wake_streams(wakers);
        let Events { handshake, closed, opened, available, datagram, datagram_room } = &self.events;
        for event in opened.iter().chain(available).chain([handshake, closed, datagram, datagram_room]) {
            event.notify(usize::MAX);
        }
    }

    /// Tries `attempt` under the lock until it gives a value, waiting for `event` in between. `waiting` lives as long as
    /// the wait does; dropping it gives the wait up.
    pub(crate) fn poll_until<T>(
        &self,
        cx: &mut Context<'_>,
        event: &Event,
        waiting: &mut Option<EventListener>,
        mut attempt: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(listener) = waiting {
                if std::pin::Pin::new(listener).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                *waiting = None;
            }
            let mut state = self.lock();
            if let Some(value) = attempt(&mut state) {
                return Poll::Ready(value);
            }
            // Listening begins under the lock: what changes the state after it notifies this listener.
            *waiting = Some(event.listen());
        }
    }
}

use std::future::Future as _;

impl State {
    /// The error of a lost connection.
    pub(crate) fn lost(&self) -> Result<(), ConnectionError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Whether a stream opened now could be lost with the early data it is opened in.
    pub(crate) fn is_early(&self) -> bool {
        !self.connected && self.machine.side() == Side::Client
    }

    pub(crate) fn wake_streams(&mut self, wakers: &mut Vec<Waker>) {
        for map in [&mut self.readers, &mut self.writers, &mut self.stoppers] {
            wakers.extend(std::mem::take(map).into_values());
        }
    }
}

/// Registers a waker for a stream, one a stream and direction.
pub(crate) fn register(map: &mut BTreeMap<StreamId, Waker>, id: StreamId, cx: &Context<'_>) {
    map.entry(id).and_modify(|waker| waker.clone_from(cx.waker())).or_insert_with(|| cx.waker().clone());
}

/// An application's handle. The last one to go closes the connection with code 0, and lets the endpoint's task forget what is
/// left of one that is closed.
pub(crate) struct Hold {
    cell: Arc<Cell>,
}

impl Hold {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        cell.handles.fetch_add(1, Ordering::Relaxed);
        Self { cell }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }
}

impl std::ops::Deref for Hold {
    type Target = Cell;

    fn deref(&self) -> &Cell {
        &self.cell
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.cell))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.cell.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cell.close(VarInt::from_u32(0), bytes::Bytes::new(), ConnectionError::LocallyClosed);
            self.cell.transmit();
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("index", &self.cell.index.0).finish_non_exhaustive()
    }
}

/// The place of a direction in a pair.
pub(crate) fn place(pair: &[Event; 2], direction: Dir) -> &Event {
    let [bidirectional, unidirectional] = pair;
    match direction {
        Dir::Bi => bidirectional,
        Dir::Uni => unidirectional,
    }
}
