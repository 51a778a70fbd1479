use crate::support::*;
use futures_lite::future::block_on;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rustls::{AlertDescription, CertificateError, Error, NamedGroup, ProtocolVersion};
use shroud_rustls::{
    Certificates, ClientCertificates, ServerOptions, Trust, alpn, connect, provider, rustls,
};
use std::sync::Arc;

#[test]
fn both_sides_agree_on_tls_13_the_hybrid_group_and_a_protocol() {
    block_on(async {
        let offer = client().protocols(&[alpn::HTTP_1_1, alpn::H2]);
        let (client, server) = shake(&offer, &server()).await;
        let (client, server) = (client.unwrap().handshake(), server.unwrap().handshake());
        for side in [&client, &server] {
            assert_eq!(side.version, Some(ProtocolVersion::TLSv1_3));
            assert_eq!(side.group, Some(NamedGroup::X25519MLKEM768));
            assert_eq!(side.protocol.as_deref(), Some(alpn::H2), "the server's choice");
            assert!(!side.resumed);
        }
        assert_eq!(server.server_name.as_deref(), Some("localhost"));
        assert_eq!(client.peer_certificates, dev(1, &[]).certificate().chain());
        assert!(server.peer_certificates.is_empty());
    });
}

#[test]
fn addresses_are_names_too() {
    block_on(async {
        let (c, s) = (Arc::new(client().config().unwrap()), Arc::new(server().config().unwrap()));
        for (name, fits) in [("127.0.0.1", true), ("::1", true), ("127.0.0.2", false), ("other.test", false)]
        {
            let (client, _) = shake_for(name, &c, &s, Pipe::default()).await;
            assert_eq!(client.is_ok(), fits, "{name}");
        }
        let client = connect(ends(Pipe::default()).0, &c, "not a name").await;
        assert!(client.unwrap_err().to_string().contains("not a name"));
    });
}

#[test]
fn a_protocol_that_the_server_does_not_speak_is_refused_with_the_alert() {
    block_on(async {
        let (client, server) = shake(&client().protocols(&[b"spdy/3"]), &server()).await;
        assert_eq!(tls_error(client), Error::AlertReceived(AlertDescription::NoApplicationProtocol));
        assert_eq!(tls_error(server), Error::NoApplicationProtocol);
    });
}

#[test]
fn an_unknown_server_is_told_so_and_the_insecure_mode_takes_it() {
    block_on(async {
        let stranger = client_of(dev(2, &[]).trust());
        let (client, server_side) = shake(&stranger, &server()).await;
        assert!(matches!(
            tls_error(client),
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
        ));
        let Error::AlertReceived(alert) = tls_error(server_side) else { panic!("no alert") };
        assert!(matches!(alert, AlertDescription::UnknownCA | AlertDescription::DecryptError), "{alert:?}");
        let (client, server_side) = shake(&client_of(Trust::InsecureAnyone), &server()).await;
        assert!(client.is_ok() && server_side.is_ok());
    });
}

#[test]
fn clients_must_show_a_certificate_where_it_is_required() {
    block_on(async {
        let theirs = dev_client();
        let required = ClientCertificates::required_from_pem(theirs.ca.as_bytes()).unwrap();
        let strict = server().clients(required);
        let (client_side, server_side) =
            shake(&client().certificate(theirs.certificate.clone()), &strict).await;
        assert!(client_side.is_ok());
        assert_eq!(server_side.unwrap().handshake().peer_certificates, theirs.certificate.chain());

        // Without one: the server says which alert, the client reads it.
        let (client_side, server_side) = shake(&client(), &strict).await;
        assert_eq!(tls_error(server_side), Error::NoCertificatesPresented);
        let refused = client_side.unwrap().read(&mut [0; 8]).await.unwrap_err();
        let alert = refused.into_inner().unwrap().downcast::<Error>().unwrap();
        assert_eq!(*alert, Error::AlertReceived(AlertDescription::CertificateRequired));

        let optional = ClientCertificates::optional_from_pem(theirs.ca.as_bytes()).unwrap();
        let lenient = server().clients(optional);
        let (_, server_side) = shake(&client(), &lenient).await;
        assert!(server_side.unwrap().handshake().peer_certificates.is_empty());
        // One that does not verify is refused even there.
        let (_, server_side) = shake(&client().certificate(dev(9, &[]).certificate()), &lenient).await;
        assert!(matches!(tls_error(server_side), Error::InvalidCertificate(_)));
    });
}

#[test]
fn sessions_resume_and_keep_the_client_s_identity() {
    block_on(async {
        let theirs = dev_client();
        let required = ClientCertificates::required_from_pem(theirs.ca.as_bytes()).unwrap();
        let options = server().clients(required);
        let server = Arc::new(options.config().unwrap());
        let client = Arc::new(client().certificate(theirs.certificate.clone()).config().unwrap());
        for turn in 0..3 {
            let (near, far) = shake_for("localhost", &client, &server, Pipe::default()).await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            assert_eq!(near.handshake().resumed, turn > 0);
            assert_eq!(far.handshake().resumed, turn > 0);
            assert_eq!(far.handshake().peer_certificates, theirs.certificate.chain());
            // The ticket comes with the first bytes.
            far.write_all(b"x").await.unwrap();
            near.read_exact(&mut [0]).await.unwrap();
        }
        // Another configuration has other keys, and so no way around its rules.
        let other = Arc::new(options.config().unwrap());
        let (near, _) = shake_for("localhost", &client, &other, Pipe::default()).await;
        assert!(!near.unwrap().handshake().resumed);
    });
}

#[test]
fn sessions_do_not_resume_where_it_is_switched_off() {
    block_on(async {
        let server = Arc::new(server().resumption(false).config().unwrap());
        let client = Arc::new(client().config().unwrap());
        for _ in 0..2 {
            let (near, far) = shake_for("localhost", &client, &server, Pipe::default()).await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            assert!(!near.handshake().resumed);
            far.write_all(b"x").await.unwrap();
            near.read_exact(&mut [0]).await.unwrap();
        }
    });
}

#[test]
fn each_name_gets_its_certificate_and_the_rest_the_default() {
    block_on(async {
        let (one, two, wild) = (dev(1, &["one.test"]), dev(2, &["two.test"]), dev(3, &["*.wild.test"]));
        let options = server_with(vec![one.certificate(), two.certificate(), wild.certificate()]);
        let (server, client) = (
            Arc::new(options.config().unwrap()),
            Arc::new(client_of(Trust::InsecureAnyone).config().unwrap()),
        );
        for (name, expected) in [
            ("one.test", &one),
            ("two.test", &two),
            ("TWO.test", &two),
            ("a.wild.test", &wild),
            ("a.b.wild.test", &one),
            ("wild.test", &one),
            ("unknown.test", &one),
            ("127.0.0.1", &one),
        ] {
            let (near, _) = shake_for(name, &client, &server, Pipe::default()).await;
            assert_eq!(near.unwrap().handshake().peer_certificates, expected.certificate().chain(), "{name}");
        }
    });
}

#[test]
fn replaced_certificates_serve_new_handshakes_while_old_sessions_go_on() {
    block_on(async {
        let certificates = Certificates::new(vec![dev(1, &[]).certificate()]).unwrap();
        let options = ServerOptions::new(provider(), Arc::new(Clock), Arc::clone(&certificates));
        let server = Arc::new(options.config().unwrap());
        let client = Arc::new(client_of(Trust::InsecureAnyone).resumption(false).config().unwrap());
        let (near, far) = shake_for("localhost", &client, &server, Pipe::default()).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert!(certificates.replace(vec![]).is_err(), "the old ones stay");
        certificates.replace(vec![dev(2, &[]).certificate()]).unwrap();
        let (fresh, _) = shake_for("localhost", &client, &server, Pipe::default()).await;
        assert_eq!(fresh.unwrap().handshake().peer_certificates, dev(2, &[]).certificate().chain());
        far.write_all(b"still here").await.unwrap();
        let mut read = [0; 10];
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"still here");
    });
}

#[test]
fn tls_12_works_where_tls_13_is_missing() {
    block_on(async {
        let mut old = client().config().unwrap();
        let mut provider = (**old.crypto_provider()).clone();
        provider.cipher_suites.retain(|suite| suite.tls13().is_none());
        let options =
            shroud_rustls::ClientOptions::new(Arc::new(provider), Arc::new(Clock), dev(1, &[]).trust());
        assert!(options.clone().only_tls_13().config().is_err());
        old = shroud_client_12(&options);
        let (near, far) =
            shake_for("localhost", &Arc::new(old), &Arc::new(server().config().unwrap()), Pipe::default())
                .await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!(far.handshake().version, Some(ProtocolVersion::TLSv1_2));
        near.write_all(b"old").await.unwrap();
        near.close().await.unwrap();
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"old");
    });
}

fn shroud_client_12(options: &shroud_rustls::ClientOptions) -> rustls::ClientConfig {
    options.config().unwrap()
}

struct ClientIdentity {
    ca: String,
    certificate: shroud_rustls::Certificate,
}

/// A client certificate from an authority of its own.
fn dev_client() -> ClientIdentity {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
    };
    let authority_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = date_time_ymd(2100, 1, 1);
    let pem = params.signed_by(&key, &issuer).unwrap().pem();
    let certificate = shroud_rustls::Certificate::from_pem(
        pem.as_bytes(),
        key.serialize_pem().as_bytes(),
        NOW,
        &provider(),
    )
    .unwrap();
    ClientIdentity { ca, certificate }
}
