//! The whole node, end to end, on every backend.
