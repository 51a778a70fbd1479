//! Frames and transport parameters that break the rules, each with the code that RFC 9000 asks for: h3spec's list of what a
//! QUIC server must refuse, and what the RFC has beyond it.

use super::tamper::{Client, Plan, Space, integer, integers};
use super::{exchange, take_all};
use crate::quic::support::{Identity, PROTOCOL, Pair};
use quinn_proto::ConnectionError;
use shroud::runtime::Runtime;

const FLOW_CONTROL_ERROR: u64 = 0x3;
const STREAM_LIMIT_ERROR: u64 = 0x4;
const STREAM_STATE_ERROR: u64 = 0x5;
const FINAL_SIZE_ERROR: u64 = 0x6;
const FRAME_ENCODING_ERROR: u64 = 0x7;
const TRANSPORT_PARAMETER_ERROR: u64 = 0x8;
const CONNECTION_ID_LIMIT_ERROR: u64 = 0x9;
const PROTOCOL_VIOLATION: u64 = 0xa;
const CRYPTO_BUFFER_EXCEEDED: u64 = 0xd;
/// A TLS alert: unexpected_message.
const UNEXPECTED_MESSAGE: u64 = 0x10a;

/// The code that the server has closed with.
fn code(error: &ConnectionError) -> Option<u64> {
    match error {
        ConnectionError::ConnectionClosed(close) => Some(u64::from(close.error_code)),
        _ => None,
    }
}

fn connection_id(sequence: u64, retire: u64, length: u8) -> Vec<u8> {
    let mut frame = integers(&[0x18, sequence, retire]);
    frame.push(length);
    frame.extend(vec![sequence as u8 ^ 0x55; usize::from(length)]);
    frame.extend([sequence as u8; 16]);
    frame
}

/// Frames in packets of an established connection.
pub async fn frames<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let (client, server) = pair.connect().await;
    let _taken = take_all(&runtime, &pair.server);
    let stream = |kind: u64, id: u64, rest: &[u64], data: &[u8]| {
        [integers(&[kind, id]), integers(rest), data.to_vec()].concat()
    };
    let crypto =
        |offset: u64, data: &[u8]| [integers(&[0x06, offset, data.len() as u64]), data.to_vec()].concat();
    let cases: Vec<(&str, Vec<u8>, &[u64])> = vec![
        ("an unknown frame", integers(&[0x3fff]), &[FRAME_ENCODING_ERROR]),
        ("a frame cut short", stream(0x0a, 0, &[5000], b"x"), &[FRAME_ENCODING_ERROR]),
        ("an offset beyond the window", stream(0x0e, 0, &[1 << 40, 1], b"x"), &[FLOW_CONTROL_ERROR]),
        (
            "an offset beyond 2^62",
            stream(0x0e, 0, &[(1 << 62) - 1, 1], b"x"),
            &[FRAME_ENCODING_ERROR, FLOW_CONTROL_ERROR],
        ),
        ("a stream beyond the limit", stream(0x0a, 4 * 100, &[1], b"x"), &[STREAM_LIMIT_ERROR]),
        ("a one-way stream beyond the limit", stream(0x0a, 4 * 100 + 2, &[1], b"x"), &[STREAM_LIMIT_ERROR]),
        (
            "data on a stream that the server has not opened",
            stream(0x0a, 1, &[1], b"x"),
            &[STREAM_STATE_ERROR],
        ),
        (
            "data on a stream that only the server sends on",
            stream(0x0a, 3, &[1], b"x"),
            &[STREAM_STATE_ERROR],
        ),
        (
            "data beyond the end",
            [stream(0x0b, 0, &[1], b"x"), stream(0x0e, 0, &[5, 1], b"x")].concat(),
            &[FINAL_SIZE_ERROR],
        ),
        (
            "two ends",
            [stream(0x0b, 0, &[3], b"xyz"), stream(0x0b, 0, &[1], b"x")].concat(),
            &[FINAL_SIZE_ERROR],
        ),
        (
            "a reset before what was sent",
            [stream(0x0a, 0, &[3], b"xyz"), integers(&[0x04, 0, 0, 1])].concat(),
            &[FINAL_SIZE_ERROR],
        ),
        ("a reset of the server's sending", integers(&[0x04, 3, 0, 0]), &[STREAM_STATE_ERROR]),
        ("a reset beyond the window", integers(&[0x04, 0, 0, 1 << 40]), &[FLOW_CONTROL_ERROR]),
        ("stopping a stream that is not there", integers(&[0x05, 1, 0]), &[STREAM_STATE_ERROR]),
        ("stopping one's own sending", integers(&[0x05, 2, 0]), &[STREAM_STATE_ERROR]),
        ("a window for a stream that is not there", integers(&[0x11, 1, 1000]), &[STREAM_STATE_ERROR]),
        ("a window for one's own sending", integers(&[0x11, 2, 1000]), &[STREAM_STATE_ERROR]),
        ("more than 2^60 streams", integers(&[0x12, (1 << 60) + 1]), &[FRAME_ENCODING_ERROR]),
        ("more than 2^60 one-way streams", integers(&[0x13, (1 << 60) + 1]), &[FRAME_ENCODING_ERROR]),
        ("a token from a client", integers(&[0x07, 1, 1]), &[PROTOCOL_VIOLATION]),
        ("an empty token", integers(&[0x07, 0]), &[PROTOCOL_VIOLATION, FRAME_ENCODING_ERROR]),
        ("a handshake that a client says is done", integers(&[0x1e]), &[PROTOCOL_VIOLATION]),
        (
            "an acknowledgement of what was never sent",
            integers(&[0x02, 1 << 20, 0, 0, 0]),
            &[PROTOCOL_VIOLATION],
        ),
        ("a range below nothing", integers(&[0x02, 0, 0, 0, 5]), &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]),
        (
            "ranges below nothing",
            integers(&[0x02, 2, 0, 1, 0, 5, 5]),
            &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION],
        ),
        ("retiring an id that was never given", integers(&[0x19, 1 << 20]), &[PROTOCOL_VIOLATION]),
        ("an id of no bytes", connection_id(1, 0, 0), &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]),
        ("an id of 21 bytes", connection_id(1, 0, 21), &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]),
        (
            "an id that retires later ones",
            connection_id(1, 2, 8),
            &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION],
        ),
        ("handshake data beyond the buffer", crypto(1 << 20, b"x"), &[CRYPTO_BUFFER_EXCEEDED]),
        ("TLS's own key update", crypto(0, &[24, 0, 0, 1, 0]), &[UNEXPECTED_MESSAGE]),
        ("TLS's end of early data", crypto(0, &[5, 0, 0, 0]), &[UNEXPECTED_MESSAGE]),
    ];
    let mut wrong = Vec::new();
    for (name, frames, expected) in cases {
        let mut hostile = Client::connect(&runtime, &identity, pair.server.local_addr(), PROTOCOL).await;
        hostile.inject(frames).await;
        let error = hostile.ended().await;
        if !code(&error).is_some_and(|code| expected.contains(&code)) {
            wrong.push(format!("{name}: {error:?}, not one of {expected:x?}"));
        }
    }
    // More ids than the server has said it keeps (5.1.1). It goes over to the first, which has to be the client's own.
    let mut hostile = Client::connect(&runtime, &identity, pair.server.local_addr(), PROTOCOL).await;
    let own = hostile.plan.own_id();
    let first = [integers(&[0x18, 1, 0, own.len() as u64]), own, vec![1; 16]].concat();
    let ids = (2..20).flat_map(|sequence| connection_id(sequence, 0, 8));
    hostile.inject(first.into_iter().chain(ids).collect()).await;
    let error = hostile.ended().await;
    if code(&error) != Some(CONNECTION_ID_LIMIT_ERROR) {
        wrong.push(format!("ids beyond the limit: {error:?}"));
    }
    // The header's reserved bits (17.3.1).
    let mut hostile = Client::connect(&runtime, &identity, pair.server.local_addr(), PROTOCOL).await;
    hostile.inject_packet(0x18, integer(0x01)).await;
    let error = hostile.ended().await;
    if code(&error) != Some(PROTOCOL_VIOLATION) {
        wrong.push(format!("reserved bits: {error:?}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    exchange(&client, &server).await;
}

/// Frames that may not be in the packets of a handshake (RFC 9000 12.4).
pub async fn handshakes<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let (client, server) = pair.connect().await;
    let _taken = take_all(&runtime, &pair.server);
    let challenge = [integer(0x1a), vec![7; 8]].concat();
    let mut wrong = Vec::new();
    for (name, space, frames, expected) in [
        ("a challenge", Space::Handshake, challenge, PROTOCOL_VIOLATION),
        ("a stream", Space::Handshake, integers(&[0x0a, 0, 1, 0x21]), PROTOCOL_VIOLATION),
        ("a window", Space::Handshake, integers(&[0x10, 1000]), PROTOCOL_VIOLATION),
        ("an unknown frame", Space::Handshake, integers(&[0x3fff]), FRAME_ENCODING_ERROR),
        (
            "an acknowledgement of nothing",
            Space::Handshake,
            integers(&[0x02, 99, 0, 0, 0]),
            PROTOCOL_VIOLATION,
        ),
        ("a stream in a first packet", Space::Initial, integers(&[0x0a, 0, 1, 0x21]), PROTOCOL_VIOLATION),
        (
            "an acknowledgement in a first packet",
            Space::Initial,
            integers(&[0x02, 99, 0, 0, 0]),
            PROTOCOL_VIOLATION,
        ),
        (
            "a hello far beyond the buffer",
            Space::Initial,
            integers(&[0x06, 1 << 20, 1, 1]),
            CRYPTO_BUFFER_EXCEEDED,
        ),
    ] {
        let plan = Plan::default();
        plan.frames(space, frames);
        let mut hostile =
            Client::start(&runtime, identity.client_tls(), pair.server.local_addr(), plan).await;
        let error = hostile.ended().await;
        if code(&error) != Some(expected) {
            wrong.push(format!("{name}: {error:?}, not {expected:x}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    exchange(&client, &server).await;
}

/// Transport parameters that no client may send (RFC 9000 7.3, 7.4, 18.2).
pub async fn transport_parameters<R: Runtime>(runtime: R) {
    let identity = Identity::generate();
    let pair = Pair::with(&runtime, &identity.server(), identity.client()).await;
    let (client, server) = pair.connect().await;
    let _taken = take_all(&runtime, &pair.server);
    // Parameter by number, and what takes its place: a number with a value of the same length.
    type Edit = fn(&mut Vec<(u64, Vec<u8>)>);
    let cases: [(&str, Edit); 8] = [
        ("no initial_source_connection_id", |list| rename(list, 0x0f, 0x1b)),
        ("original_destination_connection_id of a client", |list| rename(list, 0x04, 0x00)),
        ("retry_source_connection_id of a client", |list| rename(list, 0x04, 0x10)),
        ("preferred_address of a client", |list| rename(list, 0x04, 0x0d)),
        ("stateless_reset_token of a client", |list| rename(list, 0x04, 0x02)),
        ("a second initial_max_data", |list| rename(list, 0x05, 0x04)),
        ("an integer cut short", |list| first_byte(list, |byte| byte | 0xc0)),
        ("an integer and more", |list| first_byte(list, |byte| byte & 0x3f)),
    ];
    let mut wrong = Vec::new();
    for (name, edit) in cases {
        let plan = Plan::default();
        plan.hello(move |hello| edit_parameters(hello, edit));
        let mut hostile =
            Client::start(&runtime, identity.client_tls(), pair.server.local_addr(), plan).await;
        let error = hostile.ended().await;
        if code(&error) != Some(TRANSPORT_PARAMETER_ERROR) {
            wrong.push(format!("{name}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    exchange(&client, &server).await;
}

fn rename(list: &mut [(u64, Vec<u8>)], from: u64, to: u64) {
    list.iter_mut().find(|(number, _)| *number == from).expect("there is such a parameter").0 = to;
}

/// Changes the length of the integer in initial_max_streams_bidi, not the value's.
fn first_byte(list: &mut [(u64, Vec<u8>)], change: fn(u8) -> u8) {
    let (_, value) = list.iter_mut().find(|(number, _)| *number == 0x08).expect("there is such a parameter");
    assert!((2..8).contains(&value.len()), "{value:?}");
    value[0] = change(value[0]);
}

/// Finds the extension quic_transport_parameters (57) in a ClientHello, and edits its list without changing its length.
fn edit_parameters(hello: &mut [u8], edit: impl FnOnce(&mut Vec<(u64, Vec<u8>)>)) {
    // Type, length, version, random; session id; suites; compression; extensions (RFC 8446 4.1.2).
    let mut at = 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    at += 1 + usize::from(hello[at]);
    at += 2;
    while at < hello.len() {
        let kind = u16::from_be_bytes([hello[at], hello[at + 1]]);
        let length = usize::from(u16::from_be_bytes([hello[at + 2], hello[at + 3]]));
        let body = &mut hello[at + 4..at + 4 + length];
        if kind == 57 {
            let mut list = Vec::new();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let number = take_integer(&mut rest);
                let length = take_integer(&mut rest) as usize;
                let (value, later) = rest.split_at(length);
                list.push((number, value.to_vec()));
                rest = later;
            }
            edit(&mut list);
            let bytes: Vec<u8> = list
                .iter()
                .flat_map(|(number, value)| {
                    [integers(&[*number, value.len() as u64]), value.clone()].concat()
                })
                .collect();
            body.copy_from_slice(&bytes);
            return;
        }
        at += 4 + length;
    }
    panic!("no transport parameters in the hello");
}

fn take_integer(bytes: &mut &[u8]) -> u64 {
    let length = 1 << (bytes[0] >> 6);
    let (head, rest) = bytes.split_at(length);
    *bytes = rest;
    let value = head.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    value & (u64::MAX >> (66 - 8 * length))
}
