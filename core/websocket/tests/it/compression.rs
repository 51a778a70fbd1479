//! Autobahn's chapters 12 and 13: compressed messages of many sizes under every kind of agreement; and what chapter 12
//! does not ask: bombs, damage, and that nothing is held when idle.

use crate::pair::{Pair, Side, agreed, masks};
use bytes::Bytes;
use proptest::prelude::*;
use shroud_websocket::deflate::{Codecs, Negotiated};
use shroud_websocket::{Connection, End, Error, Event, Message, Role, Settings};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Text that compresses as JSON does.
fn document(length: usize) -> String {
    (0..)
        .flat_map(|n| format!("{{\"id\":{n},\"name\":\"entry {}\"}},", n * 7 % 13).into_bytes())
        .map(char::from)
        .take(length)
        .collect()
}

#[test]
fn chapters_12_and_13_sizes_and_agreements() {
    for (own_bits, own_takeover) in [(15, false), (15, true), (9, false), (9, true), (10, true), (8, true)] {
        let server = Negotiated { own_bits, own_takeover, peer_takeover: true, ..agreed(true) };
        let client = Negotiated { peer_bits: own_bits, peer_takeover: own_takeover, ..agreed(true) };
        let mut pair = Pair::new(&Settings::default(), None);
        pair.server = Side::new(Role::Server, &Settings::default(), Some(server), pair.now);
        pair.client = Side::new(Role::Client(masks()), &Settings::default(), Some(client), pair.now);
        let mut sent = Vec::new();
        for length in [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131_072] {
            for message in [Message::from(document(length)), Message::from(document(length).into_bytes())] {
                pair.server.machine.handle_send(pair.now, message.clone()).unwrap();
                pair.client.machine.handle_send(pair.now, message.clone()).unwrap();
                sent.push(message);
                pair.pump();
            }
        }
        assert!(
            pair.client.messages() == sent && pair.server.messages() == sent,
            "{own_bits} {own_takeover}"
        );
    }
}

#[test]
fn compression_saves_bytes_and_takeover_more() {
    let size = |compression| {
        let mut pair = Pair::new(&Settings::default(), compression);
        (0..10)
            .map(|_| {
                pair.server.machine.handle_send(pair.now, document(300).into()).unwrap();
                let wire = pair.server.transmit(pair.now);
                pair.client.receive(pair.now, &wire);
                wire.len()
            })
            .sum::<usize>()
    };
    let (plain, fresh, takeover) = (size(None), size(Some(agreed(false))), size(Some(agreed(true))));
    assert!(fresh < plain / 2 && takeover < fresh / 2, "{plain} {fresh} {takeover}");
}

#[test]
fn a_bomb_is_answered_1009() {
    let settings = Settings { message_bytes: 100_000, ..Settings::default() };
    for (length, passes) in [(100_000, true), (100_001, false), (50_000_000, false)] {
        let mut pair = Pair::new(&settings, Some(agreed(false)));
        pair.client.machine.handle_send(pair.now, Bytes::from(vec![0; length]).into()).unwrap();
        pair.pump();
        assert_eq!(pair.server.messages().len(), usize::from(passes), "{length}");
        let failed = End::Failed(Error::MessageTooLong { limit: 100_000 });
        assert_eq!(pair.server.end(), (!passes).then_some(&failed));
    }
}

/// Others have their turn while much is decompressed, and little at a time appears.
#[test]
fn a_bomb_is_decompressed_in_turns() {
    const LENGTH: usize = 8 << 20;
    let mut pair = Pair::new(&Settings::default(), Some(agreed(false)));
    pair.client.machine.handle_send(pair.now, Bytes::from(vec![0; LENGTH]).into()).unwrap();
    let wire = pair.client.transmit(pair.now);
    let server = &mut pair.server;
    server.input.extend_from_slice(&wire);
    let mut turns = 0;
    let message = loop {
        match server.machine.poll_event(pair.now, &mut server.input) {
            Some(Event::Message(message)) => break message,
            Some(other) => panic!("{other:?}"),
            None => assert!(server.machine.is_busy(), "all has arrived"),
        }
        turns += 1;
    };
    assert_eq!(message.len(), LENGTH);
    assert!(turns >= LENGTH / (325 << 10), "{turns}");
    assert!(server.machine.poll_event(pair.now, &mut server.input).is_none() && !server.machine.is_busy());
}

#[test]
fn damage_is_answered_1007() {
    let now = Instant::now();
    let mut server = Side::new(Role::Server, &Settings::default(), Some(agreed(false)), now);
    // A block of the reserved kind, with the mask 0.
    server.receive(now, &[0xC1, 0x82, 0, 0, 0, 0, 0x07, 0xFF]);
    assert_eq!(server.end(), Some(&End::Failed(Error::Compressed)));
    // RSV1 belongs to a message's first frame only.
    let mut server = Side::new(Role::Server, &Settings::default(), Some(agreed(false)), now);
    server.receive(now, &[0x41, 0x80, 0, 0, 0, 0, 0xC0, 0x80, 0, 0, 0, 0]);
    assert_eq!(server.end(), Some(&End::Failed(Error::ReservedBit)));
}

#[test]
fn a_compressed_text_must_be_utf8_too() {
    let mut pair = Pair::new(&Settings::default(), Some(agreed(false)));
    let mut bad = vec![b'a'; 300];
    bad.extend([0xF4, 0x90]);
    pair.client.machine.handle_send(pair.now, Bytes::from(bad).into()).unwrap();
    let mut wire = pair.client.transmit(pair.now);
    assert_eq!(wire[0], 0xC2);
    wire[0] = 0xC1;
    pair.server.receive(pair.now, &wire);
    assert_eq!(pair.server.end(), Some(&End::Failed(Error::Utf8)));
}

/// What was wrong first is said, in whatever pieces it came: a character before the damage, or before the limit.
#[test]
fn a_wrong_character_comes_before_damage_and_limits() {
    let now = Instant::now();
    // A message, and a text that is damaged: what comes out before the damage is not UTF-8.
    let wire: [u8; 26] =
        [0x82, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xC1, 9, 50, 0, 131, 130, 91, 131, 0, 28, 192, 0];
    for step in [1, 5, wire.len()] {
        let mut client = Side::new(Role::Client(masks()), &Settings::default(), Some(agreed(true)), now);
        for piece in wire.chunks(step) {
            client.receive(now, piece);
        }
        assert_eq!(client.end(), Some(&End::Failed(Error::Utf8)), "{step} at a time");
    }
    // The last byte that the limit allows, and the first one past it.
    for (place, error) in [(99, Error::Utf8), (100, Error::MessageTooLong { limit: 100 })] {
        let mut text = vec![b'a'; 300];
        text[place] = 0xFF;
        let mut sender = Side::new(Role::Server, &Settings::default(), Some(agreed(false)), now);
        sender.machine.handle_send(now, Bytes::from(text).into()).unwrap();
        let mut wire = sender.transmit(now);
        assert_eq!(wire[0], 0xC2);
        wire[0] = 0xC1;
        for step in [1, wire.len()] {
            let settings = Settings { message_bytes: 100, ..Settings::default() };
            let mut client = Side::new(Role::Client(masks()), &settings, Some(agreed(false)), now);
            for piece in wire.chunks(step) {
                client.receive(now, piece);
            }
            assert_eq!(client.end(), Some(&End::Failed(error)), "{place}, {step} at a time");
        }
    }
}

#[test]
fn idle_connections_hold_no_codecs() {
    let codecs = Codecs::new();
    let now = Instant::now();
    let settings = Arc::new(Settings::default());
    let mut many: Vec<Connection> = (0..20)
        .map(|_| Connection::new(Role::Server, Arc::clone(&settings), Some(agreed(false)), &codecs, now))
        .collect();
    for machine in &mut many {
        machine.handle_send(now, document(1000).into()).unwrap();
    }
    assert_eq!(codecs.idle(), 1, "all have used the same one");
    let takeover = Negotiated { own_takeover: true, ..agreed(false) };
    let mut keeps = Connection::new(Role::Server, settings, Some(takeover), &codecs, now);
    keeps.handle_send(now, document(1000).into()).unwrap();
    while let Some(bytes) = keeps.poll_transmit(now) {
        keeps.handle_transmitted(now, bytes.len());
    }
    assert_eq!(codecs.idle(), 0);
    let due = keeps.deadline().unwrap();
    assert_eq!(due, now + Duration::from_secs(5));
    keeps.handle_timeout(due);
    assert_eq!(codecs.idle(), 1, "after a while it gives the context back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_messages_pass_compressed(
        messages in prop::collection::vec(prop::collection::vec(0_u8..4, 0..2000), 1..6),
        takeover in any::<bool>(),
        step in 1_usize..300,
        fragment in 1_usize..500,
    ) {
        let settings = Settings { fragment_bytes: fragment, ..Settings::default() };
        let mut pair = Pair::new(&settings, Some(agreed(takeover)));
        pair.step = step;
        let messages: Vec<Message> = messages.into_iter().map(Message::from).collect();
        for message in &messages {
            pair.client.machine.handle_send(pair.now, message.clone()).unwrap();
        }
        pair.pump();
        prop_assert_eq!(pair.server.messages(), messages);
    }

    /// Any bytes of a compressed message end in an answer, the same one in whatever pieces they come.
    #[test]
    fn no_compressed_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        step in 1_usize..50,
        is_text in any::<bool>(),
        message_bytes in 1_usize..5000,
    ) {
        let now = Instant::now();
        let settings = Settings { message_bytes, ..Settings::default() };
        let mut wire = vec![if is_text { 0xC1 } else { 0xC2 }, 126];
        wire.extend(u16::try_from(bytes.len().max(126)).unwrap().to_be_bytes());
        wire.extend(&bytes);
        let run = |step: usize| {
            let mut client = Side::new(Role::Client(masks()), &settings, Some(agreed(true)), now);
            for piece in wire.chunks(step) {
                client.receive(now, piece);
            }
            client.events
        };
        prop_assert_eq!(run(step), run(wire.len()));
    }
}
