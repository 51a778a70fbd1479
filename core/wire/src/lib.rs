//! Protocol machines: JSON-RPC 2.0 framing.
