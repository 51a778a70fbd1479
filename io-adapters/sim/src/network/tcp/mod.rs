//! Streams: reliable bytes over links that lose, delay and part.
//!
//! The protocol is modelled, not spoken: what a link loses is late by a retransmission timeout, never lost or out of order.
//! Windows, half-close, resets, silence from a host that is down and a reset from one that is back are as with TCP on
//! Linux. Acknowledgements travel too, where anybody could notice that they do not.

mod connect;
mod connection;
mod handles;

pub(crate) use connect::{Attempt, ListenerState};
pub(crate) use connection::Connection;
pub(crate) use handles::connect;
pub use handles::{SimListener, SimStream};

/// Bytes that a sender may have written and the receiver has not acknowledged: Linux's default is near it.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that the receiver holds for its reader.
const RECEIVE_BUFFER: usize = 256 << 10;
/// Bytes that travel together: a segmentation offload's train.
const SEGMENT: usize = 16 << 10;
/// A segment's headers.
const HEADERS: usize = 40;
/// The first retransmission timeout, in nanoseconds; it doubles. Linux's least.
const RETRY_FIRST: u64 = 200_000_000;
/// The longest; Linux's.
const RETRY_MOST: u64 = 120_000_000_000;
/// Retransmissions before a connection has failed, a quarter of an hour; Linux's default.
const RETRIES: u32 = 15;
/// The wait before a connection attempt is made again, in nanoseconds; it doubles.
const ATTEMPT_FIRST: u64 = 1_000_000_000;
/// Attempts before a connect has failed, two minutes; Linux's default.
const ATTEMPTS: u32 = 7;

/// The wait before retransmission number `tries`.
fn retry_after(tries: u32) -> u64 {
    (RETRY_FIRST << tries.min(16)).min(RETRY_MOST)
}
