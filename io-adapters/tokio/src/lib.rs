//! The seam's I/O on Tokio's reactor.
//!
//! [`TokioIo`] works with any Tokio runtime that has its I/O and time drivers enabled, and its sockets and alarms can
//! be made on any thread. Tokio's timers have a resolution of one millisecond and are never early. Sockets take part
//! in Tokio's cooperative budget: a task that always finds data yields now and then.

mod alarm;
mod datagram;
mod io;
mod listener;
mod stream;

pub use alarm::TokioAlarm;
pub use datagram::TokioDatagram;
pub use io::TokioIo;
pub use listener::TokioListener;
pub use stream::TokioStream;

pub use shroud_io_readiness::host::pin_thread;
pub use shroud_io_readiness::udp::probe as probe_datagram;
