//! Blocks and receipts: strict decoders of canonical encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(block) = shroud_ledger::block::Block::decode(bytes) {
        assert_eq!(block.encode(), bytes);
    }
    if let Ok(receipt) = shroud_ledger::receipt::Receipt::decode(bytes) {
        assert_eq!(receipt.encode(), bytes);
    }
});
