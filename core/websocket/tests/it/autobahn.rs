//! The cases of the Autobahn test suite (crossbario/autobahn-testsuite, chapters 1 to 7, 9 and 10) as a table of
//! ours, against a server that echoes messages. Chapters 12 and 13 are in `compression`.

use crate::pair::Side;
use bytes::Bytes;
use shroud_websocket::{End, Error, Event, Message, Role, Settings};
use std::time::Instant;

/// Frames as a client writes them, well formed or not.
#[derive(Clone)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { first, payload: payload.as_ref().to_vec() }
}

fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(FIN | CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

impl Frame {
    fn masked(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        match self.payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            medium @ 126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend((medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        let mask = [0xAA, 0x01, 0xFF, 0x80];
        bytes.extend(mask);
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// What the echo server answered: frames without their masks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// A close code, if any.
    Close(Option<u16>),
}

/// Runs a script against the echo server and reads its answers; `step` bytes arrive at a time.
fn run(script: &[Frame], step: usize) -> (Vec<Answer>, Option<End>) {
    let now = Instant::now();
    let mut server = Side::new(Role::Server, &Settings::default(), None, now);
    let bytes: Vec<u8> = script.iter().flat_map(Frame::masked).collect();
    let mut wire = Vec::new();
    let mut end = None;
    for piece in bytes.chunks(step) {
        server.input.extend_from_slice(piece);
        while let Some(event) = server.machine.poll_event(now, &mut server.input) {
            match event {
                Event::Message(message) => server.machine.handle_send(now, message).unwrap(),
                Event::Closed(how) => end = Some(how),
                Event::Ping(_) | Event::Pong(_) => {}
            }
            wire.extend(server.transmit(now));
        }
    }
    wire.extend(server.transmit(now));
    (answers(&wire), end)
}

fn answers(mut wire: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let [first, second, rest @ ..] = wire {
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(length);
        wire = rest;
        let payload = payload.to_vec();
        all.push(match first {
            0x81 => Answer::Text(payload),
            0x82 => Answer::Binary(payload),
            0x8A => Answer::Pong(payload),
            0x88 => Answer::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            other => panic!("the server sent {other:#x}"),
        });
    }
    assert!(wire.is_empty(), "{wire:x?}");
    all
}

/// A case: what is sent, and what is answered whatever the pieces in which it arrives.
fn case(name: &str, script: &[Frame], expected: &[Answer]) {
    let size: usize = script.iter().map(|frame| frame.payload.len() + 14).sum();
    for step in [1, 2, 3, 7, 997, 1 << 20].into_iter().filter(|step| size / step < 100_000) {
        assert_eq!(run(script, step).0, expected, "case {name} in pieces of {step}");
    }
}

/// A case that ends with the peer's fault: `code` is the last answer.
fn fault(name: &str, script: &[Frame], mut before: Vec<Answer>, code: u16, error: Error) {
    before.push(Answer::Close(Some(code)));
    case(name, script, &before);
    assert_eq!(run(script, 1).1, Some(End::Failed(error)), "case {name}");
}

fn text(of: impl AsRef<[u8]>) -> Answer {
    Answer::Text(of.as_ref().to_vec())
}

#[test]
fn chapter_1_framing() {
    for (n, length) in [0, 125, 126, 127, 128, 65535, 65536].into_iter().enumerate() {
        let payload = vec![b'*'; length];
        case(&format!("1.1.{}", n + 1), &[frame(FIN | TEXT, &payload)], &[text(&payload)]);
        let payload = vec![0xFE; length];
        let answer = Answer::Binary(payload.clone());
        case(&format!("1.2.{}", n + 1), &[frame(FIN | BINARY, &payload)], &[answer]);
    }
}

#[test]
fn chapter_2_pings_and_pongs() {
    for (name, payload) in [
        ("2.1", vec![]),
        ("2.2", b"Hello, world!".to_vec()),
        ("2.3", vec![0, 255, 254]),
        ("2.4", vec![0xFE; 125]),
    ] {
        case(name, &[frame(FIN | PING, &payload)], &[Answer::Pong(payload)]);
    }
    fault("2.5", &[frame(FIN | PING, vec![0xFE; 126])], vec![], 1002, Error::LongControl);
    case("2.7", &[frame(FIN | PONG, "")], &[]);
    case("2.8", &[frame(FIN | PONG, "unsolicited")], &[]);
    let pong = Answer::Pong(b"ping".to_vec());
    case("2.9", &[frame(FIN | PONG, "unsolicited"), frame(FIN | PING, "ping")], std::slice::from_ref(&pong));
    let pings: Vec<Frame> = (0..10).map(|n| frame(FIN | PING, format!("payload-{n}"))).collect();
    let pongs: Vec<Answer> = (0..10).map(|n| Answer::Pong(format!("payload-{n}").into_bytes())).collect();
    case("2.10", &pings, &pongs);
}

#[test]
fn chapter_3_reserved_bits() {
    for (name, bits) in [
        ("3.1", 0x40),
        ("3.2", 0x20),
        ("3.3", 0x30),
        ("3.4", 0x40),
        ("3.5", 0x50),
        ("3.6", 0x60),
        ("3.7", 0x70),
    ] {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE, CONTINUATION] {
            let script = [frame(FIN | TEXT, "first"), frame(FIN | bits | opcode, "x"), frame(FIN | PING, "")];
            fault(name, &script, vec![text("first")], 1002, Error::ReservedBit);
        }
    }
}

#[test]
fn chapter_4_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "reserved opcode payload"] {
            let script = [frame(FIN | TEXT, "first"), frame(FIN | opcode, payload), frame(FIN | PING, "")];
            fault("4", &script, vec![text("first")], 1002, Error::ReservedOpcode(opcode));
        }
    }
}

#[test]
fn chapter_5_fragmentation() {
    fault("5.1", &[frame(PING, "a"), frame(FIN | CONTINUATION, "b")], vec![], 1002, Error::FragmentedControl);
    fault("5.2", &[frame(PONG, "a"), frame(FIN | CONTINUATION, "b")], vec![], 1002, Error::FragmentedControl);
    case("5.3-5", &[frame(TEXT, "fragment1"), frame(FIN, "fragment2")], &[text("fragment1fragment2")]);
    let pong = || Answer::Pong(b"ping".to_vec());
    case(
        "5.6-8",
        &[frame(TEXT, "fragment1"), frame(FIN | PING, "ping"), frame(FIN, "fragment2")],
        &[pong(), text("fragment1fragment2")],
    );
    for first in [FIN, CONTINUATION] {
        let script = [frame(first, "non-continuation payload"), frame(FIN | TEXT, "Hello, world!")];
        fault("5.9-14", &script, vec![], 1002, Error::Continuation);
    }
    let script =
        [frame(TEXT, "fragment1"), frame(FIN, "fragment2"), frame(0, "fragment3"), frame(TEXT, "fragment4")];
    fault("5.15", &script, vec![text("fragment1fragment2")], 1002, Error::Continuation);
    let script = [frame(0, "fragment1"), frame(TEXT, "fragment2"), frame(FIN, "fragment3")];
    fault("5.16-17", &script, vec![], 1002, Error::Continuation);
    let script = [frame(TEXT, "fragment1"), frame(FIN | TEXT, "fragment2")];
    fault("5.18", &script, vec![], 1002, Error::Interleaved);
    case(
        "5.19-20",
        &[
            frame(TEXT, "1"),
            frame(0, "2"),
            frame(FIN | PING, "ping"),
            frame(0, "3"),
            frame(0, "4"),
            frame(FIN | PING, "ping"),
            frame(FIN, "5"),
        ],
        &[pong(), pong(), text("12345")],
    );
}

/// The texts of chapter 6 that are UTF-8.
const VALID: [&[u8]; 17] = [
    b"Hello-\xC2\xB5@\xC3\x9F\xC3\xB6\xC3\xA4\xC3\xBC\xC3\xA0\xC3\xA1-UTF-8!!",
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5",
    b"\x00",
    b"\xC2\x80",
    b"\xE0\xA0\x80",
    b"\xF0\x90\x80\x80",
    b"\x7F",
    b"\xDF\xBF",
    b"\xEF\xBF\xBF",
    b"\xF4\x8F\xBF\xBF",
    b"\xED\x9F\xBF",
    b"\xEE\x80\x80",
    b"\xEF\xBF\xBD",
    b"\xEF\xBF\xBE",
    b"\xF0\x9F\xBF\xBE",
    b"\xF3\xBF\xBF\xBF",
    b"\xF4\x8F\xBF\xBE",
];

/// And those that are not.
const INVALID: [&[u8]; 36] = [
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited",
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80edited",
    b"\xF8\x88\x80\x80\x80",
    b"\xFC\x84\x80\x80\x80\x80",
    b"\xF7\xBF\xBF\xBF",
    b"\xFB\xBF\xBF\xBF\xBF",
    b"\xFD\xBF\xBF\xBF\xBF\xBF",
    b"\xF4\x90\x80\x80",
    b"\x80",
    b"\xBF",
    b"\x80\xBF",
    b"\x80\xBF\x80\xBF\x80\xBF\xAA",
    b"\xC0 \xC1 ",
    b"\xE0 \xEF ",
    b"\xF0 \xF7 ",
    b"\xC0",
    b"\xE0\x80",
    b"\xF0\x80\x80",
    b"\xDF",
    b"\xEF\xBF",
    b"\xF7\xBF\xBF",
    b"\xFE",
    b"\xFF",
    b"\xFE\xFE\xFF\xFF",
    b"\xC0\xAF",
    b"\xE0\x80\xAF",
    b"\xF0\x80\x80\xAF",
    b"\xC1\xBF",
    b"\xE0\x9F\xBF",
    b"\xF0\x8F\xBF\xBF",
    b"\xC0\x80",
    b"\xED\xA0\x80",
    b"\xED\xAF\xBF",
    b"\xED\xB0\x80",
    b"\xED\xBF\xBF",
    b"\xED\xA0\x80\xED\xB0\x80",
];

#[test]
fn chapter_6_utf8() {
    case("6.1.1", &[frame(FIN | TEXT, "")], &[text("")]);
    case("6.1.2", &[frame(TEXT, ""), frame(0, ""), frame(FIN, "")], &[text("")]);
    case("6.1.3", &[frame(TEXT, ""), frame(0, "middle"), frame(FIN, "")], &[text("middle")]);
    for valid in VALID {
        case("6.2", &[frame(FIN | TEXT, valid)], &[text(valid)]);
        let mut pieces: Vec<Frame> = valid.iter().map(|byte| frame(CONTINUATION, [*byte])).collect();
        pieces[0].first = TEXT;
        pieces.push(frame(FIN, ""));
        case("6.2 in frames of a byte", &pieces, &[text(valid)]);
    }
    for invalid in INVALID {
        fault("6.3", &[frame(FIN | TEXT, invalid)], vec![], 1007, Error::Utf8);
        let mut pieces: Vec<Frame> = invalid.iter().map(|byte| frame(CONTINUATION, [*byte])).collect();
        pieces[0].first = TEXT;
        pieces.last_mut().unwrap().first |= FIN;
        fault("6.3 in frames of a byte", &pieces, vec![], 1007, Error::Utf8);
    }
    // 6.4: the fault is answered before the message, or even the frame, is complete.
    let good = "κόσμε".as_bytes();
    let script = [frame(TEXT, good), frame(CONTINUATION, b"\xF4\x90\x80\x80"), frame(FIN, "edited")];
    fault("6.4.1", &script, vec![], 1007, Error::Utf8);
    let whole = [good, b"\xF4\x90", &[b'x'; 100]].concat();
    let bytes = frame(FIN | TEXT, &whole).masked();
    let now = Instant::now();
    let mut server = Side::new(Role::Server, &Settings::default(), None, now);
    server.receive(now, &bytes[..6 + good.len() + 1]);
    assert_eq!(server.end(), None);
    server.receive(now, &bytes[6 + good.len() + 1..][..1]);
    assert_eq!(server.end(), Some(&End::Failed(Error::Utf8)));
}

#[test]
fn chapter_7_closing() {
    let ended = |code| vec![Answer::Close(code)];
    case(
        "7.1.1",
        &[frame(FIN | TEXT, "Hello World!"), frame(FIN | CLOSE, "")],
        &[text("Hello World!"), Answer::Close(None)],
    );
    let after = [
        vec![frame(FIN | CLOSE, "")],
        vec![frame(FIN | PING, "")],
        vec![frame(FIN | TEXT, "late")],
        vec![frame(FIN, "late")],
        vec![frame(FIN | 7, "late")],
    ];
    for after in after {
        let script = [vec![frame(FIN | CLOSE, "")], after].concat();
        case("7.1.2-4", &script, &ended(None));
    }
    case("7.1.5", &[frame(TEXT, "fragment1"), frame(FIN | CLOSE, ""), frame(FIN, "fragment2")], &ended(None));
    case("7.3.1", &[frame(FIN | CLOSE, "")], &ended(None));
    fault("7.3.2", &[frame(FIN | CLOSE, "a")], vec![], 1002, Error::CloseFrame);
    case("7.3.3", &[close(1000, "")], &ended(Some(1000)));
    case("7.3.4", &[close(1000, "Hello World!")], &ended(Some(1000)));
    case("7.3.5", &[close(1000, vec![b'*'; 123])], &ended(Some(1000)));
    fault("7.3.6", &[close(1000, vec![b'*'; 124])], vec![], 1002, Error::LongControl);
    let reason = [b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited".as_slice()].concat();
    fault("7.5.1", &[close(1000, reason)], vec![], 1007, Error::Utf8);
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        case("7.7", &[close(code, "")], &ended(Some(code)));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        fault("7.9 and 7.13", &[close(code, "")], vec![], 1002, Error::CloseCode(code));
        fault("7.9 with a reason", &[close(code, "x")], vec![], 1002, Error::CloseCode(code));
    }
}

/// Chapter 9: large messages, whole, in fragments and in pieces.
#[test]
fn chapter_9_large_messages() {
    let large = vec![b'*'; 4 << 20];
    for opcode in [TEXT, BINARY] {
        let answer = if opcode == TEXT { text(&large) } else { Answer::Binary(large.clone()) };
        for length in [64 << 10, 1 << 20, 4 << 20] {
            let part = &large[..length];
            let answer = if opcode == TEXT { text(part) } else { Answer::Binary(part.to_vec()) };
            assert!(run(&[frame(FIN | opcode, part)], 4096).0 == [answer], "9.1 and 9.2 with {length}");
        }
        for fragment in [64, 1024, 65_536, 1 << 20] {
            let mut pieces: Vec<Frame> = large.chunks(fragment).map(|piece| frame(0, piece)).collect();
            pieces[0].first = opcode;
            pieces.last_mut().unwrap().first |= FIN;
            assert!(run(&pieces, 1 << 16).0 == std::slice::from_ref(&answer), "9.3 and 9.4 with {fragment}");
        }
    }
    let short = vec![b'*'; 2048];
    let many: Vec<Frame> = (0..500).map(|_| frame(FIN | TEXT, &short)).collect();
    assert!(run(&many, 61).0 == vec![text(&short); 500], "9.7");
}

/// Chapter 10: what is sent in fragments arrives whole.
#[test]
fn chapter_10_automatic_fragments() {
    let now = Instant::now();
    let settings = Settings { fragment_bytes: 1300, ..Settings::default() };
    let mut server = Side::new(Role::Server, &settings, None, now);
    let payload = Bytes::from(vec![b'*'; 65_536]);
    server.machine.handle_send(now, Message::Binary(payload.clone())).unwrap();
    let wire = server.transmit(now);
    assert_eq!((wire[0], wire.iter().filter(|byte| **byte != b'*').count()), (BINARY, 51 * 4));
    let mut client = Side::new(Role::Client(crate::pair::masks()), &settings, None, now);
    client.receive(now, &wire);
    assert_eq!(client.messages(), [Message::Binary(payload)]);
}
