//! State entries: keys and records have one encoding each.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (key, value) = input;
    let _ = shroud_ledger::state::check_entry(&key, &value);
    if let Ok(decoded) = shroud_ledger::state::StateKey::decode(&key) {
        assert_eq!(decoded.encode(), key);
    }
});
