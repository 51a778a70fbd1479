//! The seam's I/O on async-io's reactor.
