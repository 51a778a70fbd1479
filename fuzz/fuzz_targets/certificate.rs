//! Certificate chains, keys and trust anchors as PEM: read within limits, faults named.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_rustls::{Certificate, ClientCertificates, Trust, provider};
use std::time::Duration;

fuzz_target!(|input: (&[u8], &[u8], u32)| {
    let (chain, key, now) = input;
    let _ = Certificate::from_pem(chain, key, Duration::from_secs(u64::from(now)), &provider());
    let _ = Trust::from_pem(chain);
    let _ = Trust::from_bundle(chain);
    let _ = ClientCertificates::optional_from_pem(key);
});
