//! What a driver, and a hostile contract, would notice of the engine.
//!
//! A test is a contract in text form (`support::contract` adds the interface around a body), a call of it with
//! `support::Ledger` as the other side, and what comes out.

mod compile;
mod endings;
mod examples;
mod host;
mod slices;
mod stack;
mod support;
