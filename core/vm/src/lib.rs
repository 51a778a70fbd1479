//! The contract engine: WASM calls as machines with fuel and host requests.
