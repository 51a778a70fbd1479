//! JSON-RPC messages and Ethereum's hex values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_wire::{hex, jsonrpc};

fuzz_target!(|bytes: &[u8]| {
    let _ = jsonrpc::parse(bytes, &jsonrpc::Limits::default());
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(data) = hex::parse_data(text) {
            assert_eq!(hex::data(&data), text.to_ascii_lowercase());
        }
        if let Ok(quantity) = hex::parse_quantity(text) {
            assert_eq!(hex::quantity(quantity), text.to_ascii_lowercase());
        }
    }
});
