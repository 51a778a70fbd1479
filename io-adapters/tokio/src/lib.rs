//! The seam's I/O on Tokio's reactor.
