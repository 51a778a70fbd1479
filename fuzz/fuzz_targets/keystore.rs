//! Keystore files: parsed within limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = shroud_crypto::keystore::Keystore::from_json(bytes);
});
