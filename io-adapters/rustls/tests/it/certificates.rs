use crate::support::*;
use shroud_rustls::{
    Certificate, CertificateError, Certificates, ClientCertificates, MAX_CHAIN, MAX_PEM, Trust, provider,
};

fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
    Certificate::from_pem(chain.as_bytes(), key.as_bytes(), NOW, &provider())
}

#[test]
fn each_fault_is_named() {
    let (one, two) = (dev(1, &[]), dev(2, &[]));
    assert!(read(&one.pem, &one.key).is_ok());
    assert_eq!(read("", &one.key).unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(read(&one.key, &one.key).unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(read(&one.pem, "").unwrap_err(), CertificateError::NoKey);
    assert_eq!(read(&one.pem, &one.pem).unwrap_err(), CertificateError::NoKey);
    assert_eq!(read(&one.pem, &two.key).unwrap_err(), CertificateError::KeyMismatch);
    let garbled = one.pem.replace('M', "!");
    assert!(matches!(read(&garbled, &one.key), Err(CertificateError::Pem { what: "certificate", .. })));
    let cut = &one.pem[..one.pem.len() / 2];
    assert!(matches!(read(cut, &one.key), Err(CertificateError::Pem { what: "certificate", .. })));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(read(broken, &one.key), Err(CertificateError::Malformed { position: 1, .. })));
    let both = format!("{}{broken}", one.pem);
    assert!(matches!(read(&both, &one.key), Err(CertificateError::Malformed { position: 2, .. })));
    let strange = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(read(&one.pem, strange), Err(CertificateError::Key(_))));
    assert_eq!(Certificates::new(vec![]).unwrap_err(), CertificateError::NoneToServe);
    assert!(Trust::from_pem(b"").is_err() && Trust::from_bundle(broken.as_bytes()).is_err());
    assert!(ClientCertificates::required_from_pem(broken.as_bytes()).is_err());
    let mixed = format!("{broken}{}", one.pem);
    assert!(Trust::from_bundle(mixed.as_bytes()).is_ok() && Trust::from_pem(mixed.as_bytes()).is_err());
}

#[test]
fn limits_hold_at_their_edge() {
    let one = dev(1, &[]);
    // Self-signed, so that each was issued by the next.
    assert!(read(&one.pem.repeat(MAX_CHAIN), &one.key).is_ok());
    let longer = one.pem.repeat(MAX_CHAIN + 1);
    assert_eq!(read(&longer, &one.key).unwrap_err(), CertificateError::ChainTooLong);
    let padded = |length: usize| format!("{}{}", one.pem, "\n".repeat(length - one.pem.len()));
    assert!(read(&padded(MAX_PEM), &one.key).is_ok());
    assert_eq!(
        read(&padded(MAX_PEM + 1), &one.key).unwrap_err(),
        CertificateError::TextTooLong { what: "certificate" }
    );
}

#[test]
fn a_chain_out_of_order_is_found() {
    use rcgen::{CertificateParams, DnType, KeyPair};
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "somebody else");
    let other = params.self_signed(&key).unwrap().pem();
    let one = dev(1, &[]);
    let chain = format!("{}{other}", one.pem);
    assert_eq!(read(&chain, &one.key).unwrap_err(), CertificateError::Order { position: 1 });
}
