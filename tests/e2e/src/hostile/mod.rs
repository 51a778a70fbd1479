//! Floods and slow peers, each in a process of its own whose memory is watched: it grows by 64 MiB at most, a bystander is
//! served all the while, and all is as it was when the flood is over. How fast the bystander is served is reported, not judged.
//!
//! | file | what is inside |
//! |---|---|
//! | `harness` | the process, the memory, the bystanders |
//! | `http1`, `http2`, `http3`, `quic`, `websocket` | the floods |

pub mod harness;
pub mod http1;
pub mod http2;
pub mod http3;
pub mod quic;
pub mod websocket;

pub use harness::{Bystander, alone};
pub use http1::{
    connections_past_the_limit, headers_and_targets, pipelines, silence, slowloris, tls_slowloris,
};
pub use http2::{header_blocks, resets, small_frames, windows};
pub use http3::{field_sections, http3_slowloris, streams_of_all_kinds, torn_requests};
pub use quic::{acknowledgements, connection_ids, datagrams, first_packets, garbage, handshake_data, paths};
pub use websocket::{bombs, endless_messages, pings};
