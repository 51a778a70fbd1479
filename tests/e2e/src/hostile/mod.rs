//! Floods and slow peers, each in a process of its own whose memory is watched: it grows by 64 MiB at most, a bystander is
//! served all the while, and all is as it was when the flood is over. How fast the bystander is served is printed here and judged by
//! `benches/floods`, which gives attacker, server and bystander a thread each.
//!
//! | file | what is inside |
//! |---|---|
//! | `harness` | the process, the memory, the bystanders |
//! | `stage` | where servers, bystanders and attackers run |
//! | `http1`, `http2`, `http3`, `quic`, `websocket`, `grpc`, `dns` | the floods |
//! | `proxy` | those of HTTP again, on a reverse proxy |

pub mod dns;
pub mod grpc;
pub mod harness;
pub mod http1;
pub mod http2;
pub mod http3;
pub mod proxy;
pub mod quic;
pub mod stage;
pub mod websocket;

pub use dns::{dns_connections_past_the_limit, dns_datagrams, dns_streams};
pub use grpc::{grpc_messages, grpc_streams};
pub use harness::{Bystander, alone};
pub use http1::{
    connections_past_the_limit, headers_and_targets, pipelines, silence, slowloris,
    tls_connections_past_the_limit, tls_slowloris,
};
pub use http2::{header_blocks, resets, small_frames, windows};
pub use http3::{field_sections, http3_slowloris, streams_of_all_kinds, torn_requests};
pub use proxy::{
    proxied_header_blocks, proxied_headers_and_targets, proxied_pipelines, proxied_resets, proxied_slowloris,
    proxied_windows,
};
pub use quic::{
    acknowledgements, closed_connections, connection_ids, datagrams, first_packets, garbage, handshake_data,
    paths, quic_connections_past_the_limit,
};
pub use websocket::{bombs, endless_messages, pings};
