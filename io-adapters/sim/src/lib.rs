//! The simulated world behind the seam: everything that a task may ask of it comes from a seed.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod chance;
pub mod disk;
