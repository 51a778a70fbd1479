//! Control flow over many futures: neutral, cancel-on-drop, each with its cancel safety stated.

pub mod cancel;
