//! Certificate chains, keys and trust anchors: as PEM, read within limits, faults named; as DER in well-formed PEM, since
//! nobody guesses his way through base64.
//!
//! The first byte says what the rest is: text, or what stands in its stead in PEM that can be read (a certificate, one
//! before an issuer that can be read, a key), or a change to a certificate that can be read.
#![no_main]

use base64ct::{Base64, Encoding};
use libfuzzer_sys::fuzz_target;
use shroud_rustls::{
    Certificate, CertificateError, ClientCertificates, DevCertificate, DevKey, MAX_CHAIN, Trust, provider,
};
use std::sync::OnceLock;
use std::time::Duration;

/// When the sound certificate is valid, since the Unix epoch.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A sound certificate in DER, and its key in PEM.
fn sound() -> &'static (Vec<u8>, String) {
    static SOUND: OnceLock<(Vec<u8>, String)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let made =
            DevCertificate::generate(DevKey::P256, &[], NOW, |out| out.fill(7)).expect("a certificate");
        let (chain, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
        let certificate = Certificate::from_pem(chain, key, NOW, &provider()).expect("a certificate");
        (certificate.chain()[0].to_vec(), made.key_pem.to_string())
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", Base64::encode_string(der))
}

fn read(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
    let read = Certificate::from_pem(chain, key, NOW, &provider());
    if let Ok(certificate) = &read {
        assert!((1..=MAX_CHAIN).contains(&certificate.chain().len()));
        assert!(certificate.expires() >= NOW, "it has expired");
    }
    let _ = Trust::from_pem(chain);
    let _ = Trust::from_bundle(chain);
    let _ = ClientCertificates::optional_from_pem(chain);
    read
}

fuzz_target!(|input: &[u8]| {
    let &[what, ref bytes @ ..] = input else { return };
    let (certificate, key) = sound();
    match what % 5 {
        0 => {
            let _ = read(bytes, bytes);
        }
        1 => {
            let _ = read(pem("CERTIFICATE", bytes).as_bytes(), key.as_bytes());
        }
        2 => {
            let chain = pem("CERTIFICATE", bytes) + &pem("CERTIFICATE", certificate);
            let _ = read(chain.as_bytes(), key.as_bytes());
        }
        3 => {
            let label = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"][usize::from(what / 5 % 3)];
            let read = read(pem("CERTIFICATE", certificate).as_bytes(), pem(label, bytes).as_bytes());
            assert!(read.is_err(), "somebody has guessed the key");
        }
        // Bytes cut out at a place, and others put there.
        _ => {
            let &[high, low, out, ref put @ ..] = bytes else { return };
            let at = usize::from(u16::from_be_bytes([high, low])) % certificate.len();
            let end = at.saturating_add(usize::from(out)).min(certificate.len());
            let mut changed = certificate.clone();
            changed.splice(at..end, put.iter().copied());
            let _ = read(pem("CERTIFICATE", &changed).as_bytes(), key.as_bytes());
        }
    }
});
