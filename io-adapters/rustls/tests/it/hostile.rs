use crate::support::*;
use futures_lite::future::{block_on, poll_once};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use proptest::prelude::*;
use rustls::{AlertDescription, Error};
use shroud_rustls::{HandshakeError, accept, rustls};
use std::io;
use std::sync::Arc;

/// What a server makes of `bytes`, and what it answers.
fn meets(bytes: &[u8]) -> (Option<HandshakeError>, Vec<u8>) {
    block_on(async {
        let (mut near, far) = ends(Pipe::default());
        near.write_all(bytes).await.unwrap();
        near.close().await.unwrap();
        let answer = Arc::clone(&near.input);
        let result = accept(far, &Arc::new(server().config().unwrap())).await;
        let answer = answer.lock().unwrap().log.clone();
        (result.err().map(|failed| failed.error), answer)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600), record in any::<bool>()) {
        let mut sent = Vec::new();
        if record {
            sent.extend([0x16, 3, 1]);
            sent.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        }
        sent.extend(bytes);
        let (error, _) = meets(&sent);
        prop_assert!(error.is_some());
    }

    #[test]
    fn a_changed_byte_is_found(at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        block_on(async {
            let (mut client, mut server) = pair(Pipe::default()).await;
            client.write_all(&[9; 500]).await.unwrap();
            {
                let mut wire = client.get_ref().output.lock().unwrap();
                let at = at.index(wire.bytes.len());
                // The version in a record's header means nothing (RFC 8446, 5.1).
                if matches!(at, 1 | 2) {
                    return Ok(());
                }
                wire.bytes[at] ^= flip;
            }
            drop(client);
            let mut read = Vec::new();
            let error = server.read_to_end(&mut read).await.unwrap_err();
            prop_assert!(read.is_empty());
            prop_assert!(matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof));
            Ok(())
        })?;
    }
}

#[test]
fn plain_http_on_a_tls_port_gets_an_alert() {
    let (error, answer) = meets(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(matches!(error, Some(HandshakeError::Tls(Error::InvalidMessage(_)))), "{error:?}");
    assert!(answer.starts_with(&[0x15, 3]), "an alert record: {answer:?}");
}

#[test]
fn a_client_that_hangs_up_is_no_error_of_tls() {
    assert!(matches!(meets(b"").0, Some(HandshakeError::Closed)));
    assert!(matches!(meets(&[0x16, 3, 1, 0, 200, 1]).0, Some(HandshakeError::Closed)));
}

/// A hello that never ends is cut off at rustls's limit of 64 KiB.
#[test]
fn an_endless_handshake_message_is_refused() {
    let mut sent = Vec::new();
    for part in 0..40 {
        sent.extend([0x16, 3, 1, 0x10, 0]);
        let mut body = vec![0; 0x1000];
        if part == 0 {
            body[..4].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
        }
        sent.extend(body);
    }
    let (error, _) = meets(&sent);
    assert!(matches!(error, Some(HandshakeError::Tls(_) | HandshakeError::Io(_))), "{error:?}");
}

#[test]
fn a_broken_record_ends_the_session_with_an_alert_for_the_peer() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe::default()).await;
        {
            let mut wire = client.get_ref().output.lock().unwrap();
            wire.bytes.extend([0x17, 3, 3, 0, 20].iter().chain(&[0; 20]));
            wire.wake();
        }
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.get_ref().unwrap().downcast_ref::<Error>(), Some(&Error::DecryptError));
        assert!(server.read(&mut [0; 8]).await.is_err() && server.write(b"x").await.is_err(), "it stays so");
        let told = client.read(&mut [0; 8]).await.unwrap_err();
        let told = told.into_inner().unwrap().downcast::<Error>().unwrap();
        assert_eq!(*told, Error::AlertReceived(AlertDescription::BadRecordMac));
    });
}

/// Key updates bring no data but want an answer each: a flood of them is cut off.
#[test]
fn a_flood_of_key_updates_is_cut_off() {
    block_on(async {
        let (near, far) = ends(Pipe::default());
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client().config().unwrap()), name).unwrap();
        let send = |client: &mut rustls::ClientConnection| {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut wire = near.output.lock().unwrap();
            wire.bytes.extend(bytes);
            wire.wake();
        };
        let config = Arc::new(server().config().unwrap());
        let mut accepting = Box::pin(accept(far, &config));
        let mut server = loop {
            send(&mut client);
            if let Some(server) = poll_once(&mut accepting).await {
                break server.unwrap();
            }
            let answer: Vec<u8> = near.input.lock().unwrap().bytes.drain(..).collect();
            let mut answer = answer.as_slice();
            while !answer.is_empty() {
                client.read_tls(&mut answer).unwrap();
                client.process_new_packets().unwrap();
            }
        };
        for _ in 0..2000 {
            client.refresh_traffic_keys().unwrap();
        }
        send(&mut client);
        let before = near.input.lock().unwrap().log.len();
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
        assert_eq!(*error, Error::PeerMisbehaved(rustls::PeerMisbehaved::TooManyKeyUpdateRequests));
        let answered = near.input.lock().unwrap().log.len() - before;
        assert!(answered < 2000, "{answered} bytes");
    });
}
