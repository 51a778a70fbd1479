//! Connections that are over: closed, and held by nobody here.
//!
//! For three probe time-outs their packets must still be told from those of nobody's (RFC 9000 10.2). That takes their ids, which
//! the protocol's endpoint keeps, and the packet that said so; the state of the connection itself (streams, what was received and
//! not read) goes as soon as that packet is made, so that opening and closing connections does not hold memory.

use super::{Driver, Timers};
use crate::cell::{Cell, State};
use crate::shard::{Closing, Core, Farewell};
use quinn_proto::{ConnectionHandle, EndpointEvent, Transmit};
use shroud_runtime::Runtime;
use std::task::Context;
use std::time::Instant;

/// Keeps the packet that says that the connection is closed.
pub(super) fn note_farewell(state: &mut State, planned: &Transmit, bytes: &[u8]) {
    if planned.segment_size.is_none()
        && let Some(bytes) = bytes.get(..planned.size)
    {
        let Transmit { destination, ecn, size, segment_size, src_ip } = *planned;
        let planned = Transmit { destination, ecn, size, segment_size, src_ip };
        state.farewell = Some(Farewell { planned, bytes: bytes.into() });
    }
}

/// Lets go of the connection's state if nobody needs it any more. Whether it did.
pub(super) fn let_go(core: &mut Core, timers: &mut Timers, cell: &Cell, state: &mut State) -> bool {
    // One that the peer has closed says nothing more; another, what it has said already.
    let said = state.farewell.is_some() || state.error.as_ref().is_some_and(|error| error.is_of_peer());
    if !state.machine.is_closed() || !said || cell.is_held() {
        return false;
    }
    // Nothing else is timed any more.
    let Some(until) = state.machine.poll_timeout() else { return false };
    core.settled(cell.index);
    if !core.vacate(cell.index) {
        return false;
    }
    timers.arm(cell.index, &mut None, Some(until));
    core.closing.insert(cell.index.0, Closing { until, farewell: state.farewell.take(), heard: 0 });
    true
}

/// The end of a connection that was let go, when its time has come.
pub(super) fn forget(core: &mut Core, index: ConnectionHandle, now: Instant) {
    if core.closing.get(&index.0).is_some_and(|closing| closing.until <= now) {
        core.closing.remove(&index.0);
        core.stats.connections -= 1;
        core.endpoint.handle_event(index, EndpointEvent::drained());
    }
}

impl<R: Runtime> Driver<R> {
    /// Says once more that the connection is closed, to a peer that does not seem to have heard: at its first packet, the second,
    /// the fourth and so on (RFC 9000 10.2.1). Its address may never have been proven: not with more than three times what came
    /// (8.1).
    pub(super) fn repeat_farewell(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        index: ConnectionHandle,
        received: usize,
    ) {
        let Some(closing) = core.closing.get_mut(&index.0) else { return };
        closing.heard = closing.heard.saturating_add(1);
        let Some(farewell) = &closing.farewell else { return };
        if !closing.heard.is_power_of_two() || farewell.bytes.len() > received.saturating_mul(3) {
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&farewell.bytes);
        let Transmit { destination, ecn, size, segment_size, src_ip } = farewell.planned;
        self.answer(core, cx, &Transmit { destination, ecn, size, segment_size, src_ip });
    }
}
