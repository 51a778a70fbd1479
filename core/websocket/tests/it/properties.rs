//! What holds for any messages, and for any bytes.

use crate::pair::{Pair, Side, agreed, masks};
use bytes::Bytes;
use proptest::prelude::*;
use shroud_websocket::{Event, Message, Role, Settings};
use std::time::Instant;

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        ".{0,200}".prop_map(Message::from),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(Message::from),
        (1_usize..9000, any::<u8>()).prop_map(|(length, byte)| Message::from(vec![byte; length])),
    ]
}

proptest! {
    #[test]
    fn messages_arrive_in_order_whatever_the_pieces(
        up in prop::collection::vec(any_message(), 0..8),
        down in prop::collection::vec(any_message(), 0..8),
        step in prop_oneof![1_usize..20, 20_usize..5000],
        fragment in prop_oneof![1_usize..20, 20_usize..5000, Just(usize::MAX)],
    ) {
        let settings = Settings { fragment_bytes: fragment, ..Settings::default() };
        let mut pair = Pair::new(&settings, None);
        pair.step = step;
        for message in &up {
            pair.client.machine.handle_send(pair.now, message.clone()).unwrap();
        }
        for message in &down {
            pair.server.machine.handle_send(pair.now, message.clone()).unwrap();
        }
        pair.server.machine.handle_ping(pair.now, b"between").unwrap();
        pair.pump();
        prop_assert_eq!(pair.server.messages(), up);
        prop_assert_eq!(pair.client.messages(), down);
        prop_assert!(pair.server.events.contains(&Event::Pong(Bytes::from_static(b"between"))));
        prop_assert_eq!((pair.server.machine.queued(), pair.client.machine.queued()), (0, 0));
        prop_assert_eq!((pair.server.end(), pair.client.end()), (None, None));
    }

    /// Any bytes end in an answer, the same one in whatever pieces they come.
    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0xC1, 0x83, 0xFE])], 0..300),
        step in 1_usize..40,
        server in any::<bool>(),
        deflate in any::<bool>(),
    ) {
        let now = Instant::now();
        let settings = Settings { message_bytes: 300, frame_bytes: 200, fragments: 5, ..Settings::default() };
        let compression = deflate.then(|| agreed(true));
        let run = |step: usize| {
            let role = if server { Role::Server } else { Role::Client(masks()) };
            let mut side = Side::new(role, &settings, compression, now);
            for piece in bytes.chunks(step) {
                side.receive(now, piece);
            }
            side.machine.handle_end();
            side.receive(now, &[]);
            prop_assert!(side.end().is_some());
            prop_assert!(matches!(side.events.last(), Some(Event::Closed(_))), "the end is the last event");
            prop_assert!(side.messages().iter().all(|message| message.len() <= 300));
            Ok(side.events)
        };
        prop_assert_eq!(run(step)?, run(bytes.len().max(1))?);
    }
}
