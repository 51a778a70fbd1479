//! QUIC v1 (RFC 9000, 9001, 9002) over the seam: quinn-proto driven by one endpoint per shard.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]
