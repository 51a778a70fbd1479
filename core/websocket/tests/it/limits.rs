//! Each limit, at it and one past it.

use crate::pair::{Pair, Side, masks};
use bytes::Bytes;
use shroud_websocket::{CloseCode, CloseFrame, End, Error, Event, Message, Role, SendError, Settings};
use std::time::Instant;

fn exchange(settings: &Settings, fragment_bytes: usize, length: usize) -> Result<(), End> {
    let mut pair = Pair::new(settings, None);
    let sends = Settings { fragment_bytes, ..Settings::default() };
    pair.client = Side::new(Role::Client(masks()), &sends, None, pair.now);
    pair.client.machine.handle_send(pair.now, Bytes::from(vec![7; length]).into()).unwrap();
    pair.step = 1000;
    pair.pump();
    match pair.server.end() {
        None => {
            assert_eq!(pair.server.messages()[0].len(), length);
            Ok(())
        }
        Some(end) => {
            assert!(pair.server.messages().is_empty());
            assert!(matches!(pair.client.end(), Some(End::Closed(Some(_)))), "the client was told why");
            Err(end.clone())
        }
    }
}

#[test]
fn frame_bytes() {
    let settings = Settings { frame_bytes: 5000, ..Settings::default() };
    assert_eq!(exchange(&settings, usize::MAX, 5000), Ok(()));
    let refused = Err(End::Failed(Error::FrameTooLong { limit: 5000 }));
    assert_eq!(exchange(&settings, usize::MAX, 5001), refused);
    assert_eq!(exchange(&settings, 5000, 5001), Ok(()));
}

#[test]
fn message_bytes() {
    let settings = Settings { message_bytes: 5000, ..Settings::default() };
    let refused = Err(End::Failed(Error::MessageTooLong { limit: 5000 }));
    for fragment in [usize::MAX, 1000, 3] {
        assert_eq!(exchange(&settings, fragment, 5000), Ok(()));
        assert_eq!(exchange(&settings, fragment, 5001), refused);
    }
}

#[test]
fn fragments() {
    let settings = Settings { fragments: 50, ..Settings::default() };
    assert_eq!(exchange(&settings, 10, 500), Ok(()));
    assert_eq!(exchange(&settings, 10, 501), Err(End::Failed(Error::TooManyFragments { limit: 50 })));
}

#[test]
fn an_announced_length_costs_nothing_until_it_arrives() {
    let now = Instant::now();
    let mut server = Side::new(Role::Server, &Settings::default(), None, now);
    // 16 MiB are announced, which is allowed, and two bytes come.
    let mut header = vec![0x82, 0xFF];
    header.extend((16_u64 << 20).to_be_bytes());
    header.extend([1, 2, 3, 4, 5, 6]);
    server.receive(now, &header);
    assert_eq!((server.end(), server.input.len()), (None, 0));
    // One byte more is not.
    let mut server = Side::new(Role::Server, &Settings::default(), None, now);
    let mut header = vec![0x82, 0xFF];
    header.extend(((16_u64 << 20) + 1).to_be_bytes());
    header.extend([1, 2, 3, 4]);
    server.receive(now, &header);
    assert_eq!(server.end(), Some(&End::Failed(Error::FrameTooLong { limit: 16 << 20 })));
}

#[test]
fn queued_bytes() {
    let now = Instant::now();
    let settings = Settings { queued_bytes: 1000, ..Settings::default() };
    let mut server = Side::new(Role::Server, &settings, None, now);
    let message = || Message::from(Bytes::from(vec![0; 496]));
    server.machine.handle_send(now, message()).unwrap();
    assert!(server.machine.has_room());
    server.machine.handle_send(now, message()).unwrap();
    assert_eq!(server.machine.queued(), 1000);
    assert_eq!(server.machine.handle_send(now, message()), Err(SendError::Full { queued: 1000 }));
    // Taken away for transmission is not transmitted.
    let piece = server.machine.poll_transmit(now).unwrap();
    assert_eq!(server.machine.handle_send(now, message()), Err(SendError::Full { queued: 1000 }));
    server.machine.handle_transmitted(now, piece.len());
    assert_eq!((server.machine.queued(), server.machine.handle_send(now, message())), (0, Ok(())));
}

#[test]
fn a_flood_of_pings_queues_one_pong() {
    let now = Instant::now();
    let settings = Settings { queued_bytes: 1000, ..Settings::default() };
    let mut server = Side::new(Role::Server, &settings, None, now);
    server.machine.handle_send(now, Bytes::from(vec![0; 2000]).into()).unwrap();
    let unsent = server.machine.poll_transmit(now).unwrap();
    for n in 0..100_000_u32 {
        let mut ping = vec![0x89, 0x84, 0, 0, 0, 0];
        ping.extend(n.to_be_bytes());
        server.receive(now, &ping);
        server.events.clear();
        assert_eq!(server.machine.poll_transmit(now), None, "nobody reads");
    }
    server.machine.handle_transmitted(now, unsent.len());
    assert_eq!(server.transmit(now), [&[0x8A, 4][..], &99_999_u32.to_be_bytes()].concat());
}

#[test]
fn control_frames_of_the_caller_are_checked() {
    let mut pair = Pair::new(&Settings::default(), None);
    let machine = &mut pair.client.machine;
    assert_eq!(machine.handle_ping(pair.now, &[0; 126]), Err(SendError::LongControl));
    machine.handle_ping(pair.now, &[9; 125]).unwrap();
    let bad = CloseFrame::new(CloseCode(1005), "");
    assert_eq!(machine.handle_close(pair.now, Some(&bad)), Err(SendError::CloseCode(1005)));
    pair.pump();
    assert_eq!(pair.server.events, [Event::Ping(Bytes::from(vec![9; 125]))]);
    assert_eq!(pair.client.events, [Event::Pong(Bytes::from(vec![9; 125]))]);
}
