//! A certificate that everybody has the key of.

use rcgen::{CertificateParams, KeyPair};
use rustls::Error;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// PKCS #8 (RFC 8410, 7) before an Ed25519 key's 32 bytes.
const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// The key.
const KEY: [u8; 32] = *b"the key that everybody may know.";

/// A self-signed certificate for `name` with its key, always the same and valid in any year of this century. **Insecure by
/// design**: the key is in this source.
///
/// # Errors
/// When the name can be in no certificate.
pub fn insecure_certificate(name: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
    let failed = |error: rcgen::Error| Error::General(error.to_string());
    let bytes = [&PREFIX[..], &KEY].concat();
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(bytes.clone())).map_err(failed)?;
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    // Drawn otherwise.
    parameters.serial_number = Some(1_u64.into());
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(bytes).into()))
}
