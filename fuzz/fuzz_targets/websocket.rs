//! Any bytes to a WebSocket machine, of either side, compressed or not: never a panic, never more than the limits, and the
//! same events in whatever pieces they arrive. Its answers must be what the other side accepts.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use shroud_websocket::deflate::{Codecs, Negotiated};
use shroud_websocket::{Connection, End, Error, Event, Masks, Role, Settings};
use std::sync::Arc;
use std::time::Instant;

const LIMIT: usize = 10_000;

fn agreed() -> Negotiated {
    Negotiated {
        own_bits: 15,
        peer_bits: 15,
        own_takeover: true,
        peer_takeover: true,
        level: 1,
        from_bytes: 0,
    }
}

fn side(server: bool, deflate: bool, now: Instant) -> Connection {
    let settings = Settings { message_bytes: LIMIT, frame_bytes: LIMIT, fragments: 8, ..Settings::default() };
    let role = if server { Role::Server } else { Role::Client(Masks::new(|| [1, 2, 3, 4])) };
    Connection::new(role, Arc::new(settings), deflate.then(agreed), &Codecs::new(), now)
}

/// The events, and what the machine answered when it echoes every message.
fn run(server: bool, deflate: bool, bytes: &[u8], step: usize) -> (Vec<Event>, Vec<u8>) {
    let now = Instant::now();
    let mut machine = side(server, deflate, now);
    let (mut input, mut events, mut answers) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        loop {
            match machine.poll_event(now, &mut input) {
                Some(event) => {
                    if let Event::Message(message) = &event {
                        assert!(message.len() <= LIMIT);
                        let _ = machine.handle_send(now, message.clone());
                    }
                    events.push(event);
                }
                None if machine.is_busy() => {}
                None => break,
            }
        }
        while let Some(answer) = machine.poll_transmit(now) {
            machine.handle_transmitted(now, answer.len());
            answers.extend_from_slice(&answer);
        }
    }
    (events, answers)
}

/// Events as they must be the same in whatever pieces the bytes arrive: of two faults in one compressed frame, its text may show
/// one before its compression shows the other.
fn judged(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Event::Closed(End::Failed(Error::Compressed | Error::MessageTooLong { .. })) = event {
            *event = Event::Closed(End::Failed(Error::Utf8));
        }
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let Some((&[mode, step], bytes)) = data.split_first_chunk::<2>() else { return };
    let (server, deflate) = (mode & 1 == 0, mode & 2 == 0);
    let (whole, _) = run(server, deflate, bytes, bytes.len().max(1));
    let (pieces, answers) = run(server, deflate, bytes, usize::from(step).max(1));
    assert_eq!(judged(whole), judged(pieces));
    let (seen, _) = run(!server, deflate, &answers, answers.len().max(1));
    assert!(!seen.iter().any(|event| matches!(event, Event::Closed(End::Failed(_)))), "{seen:?}");
});
