//! What the readiness adapters share: everything that does not depend on whose reactor waits.
//!
//! | module | what is inside |
//! |---|---|
//! | [`tcp`] | sockets made and configured through socket2, non-blocking from the start |
//! | [`udp`] | datagrams through quinn-udp: segmentation, coalescing, congestion marks |
//! | [`alarm`] | an alarm that touches its reactor's timer as rarely as it can |
//! | [`wakers`] | one wake-up slot of a reactor, shared by any number of tasks |
//! | [`mod@file`], [`directory`] | files and directories on the executor's blocking threads |
//! | [`host`] | name look-up, wall clock, entropy, placement of threads |
//!
//! Linux is what it is written for and tested on.

pub mod alarm;
pub mod directory;
pub mod file;
pub mod host;
pub mod tcp;
pub mod udp;
pub mod wakers;

pub use alarm::{LazyAlarm, ReactorTimer};
pub use file::PoolFile;
pub use udp::UdpState;
pub use wakers::SharedWaker;
