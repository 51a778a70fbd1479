//! The seam's I/O on async-io's reactor.
//!
//! There is one such reactor in a process, behind a lock: all shards share it. Threads inside `async_io::block_on` take
//! turns driving it while they are idle; a thread of its own does when there are none, so [`AsyncIo`] works under any
//! executor. Every operation is tried first and waited for only when it would block.
#![forbid(unsafe_code)]

mod alarm;
mod datagram;
mod io;
mod listener;
mod stream;

pub use alarm::AsyncAlarm;
pub use datagram::AsyncDatagram;
pub use io::{AsyncIo, start_reactor};
pub use listener::AsyncListener;
pub use stream::AsyncStream;

pub use shroud_io_readiness::host::pin_thread;
pub use shroud_io_readiness::udp::probe as probe_datagram;
