//! Genesis files: what is accepted has balanced books.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(genesis) = shroud_ledger::genesis::Genesis::from_json(bytes) {
        let books = shroud_ledger::posting::trial_balance(genesis.tree()).expect("a valid state");
        assert!(books.iter().all(shroud_ledger::posting::TrialBalance::is_balanced));
    }
});
