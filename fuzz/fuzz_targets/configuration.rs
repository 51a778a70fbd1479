//! Configuration files: what is accepted is printed in full, and what is printed is accepted and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud::cli::merged_configuration;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match merged_configuration(text) {
        Ok(merged) => assert_eq!(merged_configuration(&merged).as_ref(), Ok(&merged)),
        Err(reason) => assert!(!reason.is_empty()),
    }
});
