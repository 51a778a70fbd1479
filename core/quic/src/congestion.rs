//! Congestion controllers that let a connection's last word through.
//!
//! quinn-proto holds a packet with CONNECTION_CLOSE back when the congestion window is full and stream data waits besides: and
//! since a closed connection takes no acknowledgements any more, the window stays full until it is forgotten. The peer would
//! never hear of the close and keep the connection until its idle timeout. (RFC 9002 7 limits packets in flight; such a packet
//! asks for no acknowledgement and is none.)

use quinn_proto::Connection as Machine;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// No window that is reached, and one that is not paced.
const OPEN: u64 = 1 << 40;

/// Makes controllers of `F`'s that can be opened.
pub(crate) struct Opening<F>(pub(crate) Arc<F>);

impl<F: ControllerFactory> ControllerFactory for Opening<F> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::clone(&self.0).build(now, current_mtu);
        Box::new(Openable { inner, open: Arc::default() })
    }
}

/// Lets a closed connection say so.
pub(crate) fn open_for_close(machine: &Machine) {
    if let Ok(controller) = machine.congestion_state().clone_box().into_any().downcast::<Openable>() {
        controller.open.store(true, Ordering::Relaxed);
    }
}

/// A controller, and whether it stands aside; clones stand aside together.
struct Openable {
    inner: Box<dyn Controller>,
    open: Arc<AtomicBool>,
}

impl Controller for Openable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.open.load(Ordering::Relaxed) { OPEN } else { self.inner.window() }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), open: Arc::clone(&self.open) })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
