//! Keep-alive, closing, and the time limits.

use crate::pair::{Pair, Side};
use bytes::Bytes;
use shroud_websocket::{CloseCode, CloseFrame, End, Error, Event, Message, Role, SendError, Settings};
use std::time::{Duration, Instant};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_quiet_peer_is_pinged_and_lives() {
    let mut pair = Pair::new(&Settings::default(), None);
    for _ in 0..5 {
        assert_eq!(pair.server.machine.deadline(), Some(pair.now + seconds(30)));
        pair.pass(seconds(30));
        pair.pump();
    }
    assert_eq!(pair.server.end(), None);
    assert!(pair.server.events.iter().filter(|event| matches!(event, Event::Pong(_))).count() >= 4);
}

#[test]
fn a_dead_peer_is_given_up() {
    let mut pair = Pair::new(&Settings::default(), None);
    pair.pass(seconds(30));
    assert_eq!(pair.server.transmit(pair.now), [0x89, 0]);
    assert_eq!(pair.server.machine.deadline(), Some(pair.now + seconds(20)));
    pair.pass(seconds(19));
    assert_eq!(pair.server.end(), None);
    pair.pass(seconds(1));
    assert_eq!(pair.server.end(), Some(&End::Failed(Error::NoPong)));
    assert_eq!(pair.server.machine.deadline(), None);
}

#[test]
fn closing_takes_two_frames_and_gives_the_code() {
    let mut pair = Pair::new(&Settings::default(), None);
    let frame = CloseFrame::new(CloseCode(4000), "enough");
    pair.server.machine.handle_send(pair.now, "last".into()).unwrap();
    pair.server.machine.handle_close(pair.now, Some(&frame)).unwrap();
    assert_eq!(pair.server.machine.handle_send(pair.now, "late".into()), Err(SendError::Closed));
    assert_eq!(pair.server.machine.handle_close(pair.now, None), Err(SendError::Closed));
    // The client's last message crosses the close frame and is still delivered.
    pair.client.machine.handle_send(pair.now, "crossing".into()).unwrap();
    pair.pump();
    assert_eq!(pair.client.messages(), [Message::from("last")]);
    assert_eq!(pair.client.end(), Some(&End::Closed(Some(frame))));
    assert_eq!(pair.server.messages(), [Message::from("crossing")]);
    let echoed = CloseFrame::new(CloseCode(4000), "");
    assert_eq!(pair.server.end(), Some(&End::Closed(Some(echoed))));
    assert!(pair.server.machine.is_closed() && pair.client.machine.is_closed());
}

#[test]
fn both_may_close_at_once() {
    let mut pair = Pair::new(&Settings::default(), None);
    pair.server.machine.handle_close(pair.now, Some(&CloseFrame::new(CloseCode(4001), ""))).unwrap();
    pair.client.machine.handle_close(pair.now, Some(&CloseFrame::new(CloseCode(4002), ""))).unwrap();
    pair.pump();
    let code = |side: &Side| match side.end() {
        Some(End::Closed(Some(frame))) => frame.code,
        other => panic!("{other:?}"),
    };
    assert_eq!((code(&pair.server), code(&pair.client)), (CloseCode(4002), CloseCode(4001)));
}

#[test]
fn a_close_frame_that_is_not_answered() {
    let mut pair = Pair::new(&Settings::default(), None);
    pair.server.machine.handle_close(pair.now, None).unwrap();
    assert_eq!(pair.server.transmit(pair.now), [0x88, 0]);
    assert_eq!(pair.server.machine.deadline(), Some(pair.now + seconds(5)));
    pair.pass(seconds(5));
    assert_eq!(pair.server.end(), Some(&End::CloseTimedOut));
}

#[test]
fn a_transport_that_ends() {
    let mut pair = Pair::new(&Settings::default(), None);
    pair.server.machine.handle_end();
    pair.server.receive(pair.now, &[]);
    assert_eq!(pair.server.end(), Some(&End::Lost));
    pair.server.machine.handle_end();
    pair.server.receive(pair.now, b"anything");
    assert_eq!((pair.server.events.len(), pair.server.input.len()), (1, 0));
}

#[test]
fn a_message_must_come_to_its_end() {
    let now = Instant::now();
    let settings = Settings { ping_after: None, ..Settings::default() };
    let mut server = Side::new(Role::Server, &settings, None, now);
    assert_eq!(server.machine.deadline(), None);
    server.receive(now, &[0x01, 0x81, 0, 0, 0, 0, b'a']);
    let due = now + seconds(60);
    for second in 1..60 {
        server.receive(now + seconds(second), &[0x00, 0x81, 0, 0, 0, 0, b'a']);
        assert_eq!(server.machine.deadline(), Some(due));
    }
    server.machine.handle_timeout(due);
    server.receive(due, &[]);
    assert_eq!(server.end(), Some(&End::Failed(Error::SlowMessage)));
    assert_eq!(server.transmit(due)[2..4], 1008_u16.to_be_bytes());
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let now = Instant::now();
    let settings = Settings { ping_after: None, ..Settings::default() };
    let mut server = Side::new(Role::Server, &settings, None, now);
    server.machine.handle_send(now, Bytes::from(vec![0; 100]).into()).unwrap();
    let piece = server.machine.poll_transmit(now).unwrap();
    server.machine.handle_transmitted(now + seconds(20), piece.len() / 2);
    assert_eq!(server.machine.deadline(), Some(now + seconds(50)));
    server.machine.handle_timeout(now + seconds(49));
    server.receive(now + seconds(49), &[]);
    assert_eq!(server.end(), None);
    server.machine.handle_timeout(now + seconds(50));
    server.receive(now + seconds(50), &[]);
    assert_eq!(server.end(), Some(&End::Failed(Error::Stalled)));
}
