//! The seam's I/O on glommio's io_uring reactor: one ring set a shard, nothing shared between shards.
//!
//! | module | what is inside |
//! |---|---|
//! | [`io`] | [`GlommioIo`], the [`shroud_runtime::Io`] of a shard |
//! | [`stream`], [`listener`], [`socket`] | TCP and UDP: the system call first, one `POLL_ADD` when it would block |
//! | [`mod@file`] | files: reads, writes and data syncs as ring operations that own their buffers |
//! | [`alarm`] | timers of the shard's reactor |
//! | [`mod@probe`] | whether this machine lets io_uring work at all, found out without risk |
//!
//! glommio's handles belong to one thread. They are carried in [`send_wrapper::SendWrapper`]: using one on another
//! thread panics there, which is a caught bug, never undefined behaviour.
//!
//! What glommio 0.9 does not do itself, and why it is done here:
//! - its `UdpSocket::send_to` sends one byte when the socket would block, and it has no batches, segmentation or
//!   congestion marks: sockets are the readiness adapters' own, and only the waiting is glommio's;
//! - its operations add a waker on every poll and never drop one before they end, and a waker has 32,767 clones at
//!   most: here an operation is polled once, and again only when it has something to say;
//! - its rings forget operations that are in flight when a future is dropped or the executor ends, while the kernel
//!   may still write to their buffers: here they run on to their end ([`GlommioIo::settle`] waits for the last).

pub mod alarm;
pub mod file;
pub mod io;
pub mod listener;
mod operation;
pub mod probe;
pub mod socket;
pub mod stream;
mod wait;

pub use alarm::GlommioTimer;
pub use file::GlommioFile;
pub use io::GlommioIo;
pub use listener::GlommioListener;
pub use probe::{capabilities, probe};
pub use shroud_io_readiness::host::pin_thread;
pub use socket::GlommioSocket;
pub use stream::GlommioStream;
