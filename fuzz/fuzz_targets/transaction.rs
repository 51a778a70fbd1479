//! Transactions of every kind: only canonical encodings are accepted, and verifying one never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(transaction) = shroud_ledger::transaction::Transaction::decode(bytes) {
        assert_eq!(&**transaction.bytes(), bytes);
        let _ = shroud_ledger::transaction::verify(transaction, shroud_ledger::ChainId(21_320));
    }
});
