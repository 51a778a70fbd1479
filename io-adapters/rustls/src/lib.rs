//! TLS by rustls over any stream of the seam.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]
