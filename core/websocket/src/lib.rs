//! The WebSocket protocol (RFC 6455, 7692) as a machine without I/O.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]
