//! DNS without I/O (RFC 1034, 1035 and what came after). hickory-proto is the codec; what is asked, believed, answered and
//! refused is decided here.
//!
//! | module | what is inside |
//! |---|---|
//! | [`query`] | a query on its way, and whether a response answers it: id, question, case (0x20) |
//! | [`lookup`] | the machine of one question over UDP: tries, wrong answers, truncation |
//! | [`pipeline`] | the machine of a stream that many questions share (RFC 7766) |
//! | [`frame`] | messages with their length before them |
//! | [`request`], [`response`] | a server's side: what is answered at all, and how long an answer may be |
//! | [`zone`] | zones from text, and their answers |
//!
//! # What is checked before the codec runs
//! A response is compared with its query byte by byte first, so that forged ones cost next to nothing. A request with any
//! other count of questions than one is refused by its header alone: the codec would make room for as many as the header
//! claims. Compression pointers lead only backwards there, so that no loop is possible.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod frame;
mod header;
pub mod lookup;
pub mod pipeline;
pub mod query;
pub mod request;
pub mod response;
pub mod zone;

pub use hickory_proto as proto;
pub use hickory_proto::op::{Message, ResponseCode};
pub use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
pub use lookup::Lookup;
pub use pipeline::Pipeline;
pub use query::{Mismatch, Query, QueryOptions, Question, Reply};
pub use request::{Ignored, Received, Request, receive};
pub use response::Response;
pub use zone::{Zone, ZoneError, Zones};

/// Where random bytes come from: the seam's entropy, in the end.
pub type Chance<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The longest UDP message to ask for and to send without being asked otherwise, in bytes: what every path carries in one
/// piece (DNS flag day 2020, RFC 9715).
pub const UDP_PAYLOAD: u16 = 1232;

/// The longest UDP message to somebody who does not say what he takes (RFC 1035, 4.2.1).
pub const PLAIN_UDP_PAYLOAD: u16 = 512;

/// The longest message of all (RFC 1035, 4.2.2).
pub const MAX_MESSAGE: usize = 65_535;
