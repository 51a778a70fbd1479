//! Static files: any requests for them. Nothing outside of the directory is opened, an answer has exactly the bytes that it
//! names (whole, a range, several ranges), and a coding that nobody has asked for is not used.
//!
//! The first byte says how the requests are cut, the rest is sent.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with other targets")]
mod strict;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryFile, Peer};
use shroud_ghostwire::http::{FileOptions, Files, Limits, Server};
use shroud_runtime::{Class, Runtime};
use std::path::PathBuf;
use std::time::Duration;
use strict::Message;

/// Longer than the server lets a client take for anything.
const PATIENCE: Duration = Duration::from_secs(80);

/// What is served: each of another length, by which they are told apart.
const SERVED: [(&str, &[u8]); 8] = [
    ("index.html", b"<p>"),
    ("a.txt", b"0123456789abcdefghijklmnopqrstuvwxyz"),
    ("a.txt.gz", b"gzip of a"),
    ("a.txt.br", b"brotli of a"),
    ("a.txt.zst", b"zstandard of a"),
    ("a b/\u{e4}.html", b"with a name that is encoded"),
    ("d/index.html", b"another index"),
    ("empty", b""),
];

fn files() -> impl Iterator<Item = (PathBuf, MemoryFile)> {
    let served = SERVED.into_iter().map(|(name, content)| (format!("/served/{name}"), content));
    let hidden = [("/served/.hidden".to_owned(), &b"secret"[..]), ("/outside".to_owned(), b"secret")];
    served.chain(hidden).map(|(path, content)| (path.into(), MemoryFile::new(content, 784_111_777)))
}

fuzz_target!(|input: &[u8]| {
    let &[cut, ref bytes @ ..] = input else { return };
    if bytes.starts_with(b"PRI ") {
        return;
    }
    let memory = Memory::with_files(files());
    let (peer, listener) = Peer::new();
    peer.make_room(usize::MAX);
    let runtime = memory.runtime.clone();
    let handler = Files::new(runtime.clone(), "/served", FileOptions::default());
    let server = Server::new(handler, Limits::default()).expect("valid limits");
    let _served = memory
        .runtime
        .spawn_in(Class::Network, "serve", async move { server.serve(&runtime, listener).await });
    for piece in bytes.chunks(usize::from(cut) + 1) {
        peer.send(piece);
        memory.settle();
    }
    peer.end();
    for _ in 0..4 {
        memory.advance(PATIENCE);
    }
    assert!(peer.is_closed(), "the connection goes on for ever");
    // The answer to HEAD says how long a body would be, and has none.
    if bytes.windows(4).any(|word| word == b"HEAD") {
        return;
    }
    let (output, asked) = (peer.output(), bytes.to_ascii_lowercase());
    let mut rest = &output[..];
    while !rest.is_empty() {
        let Some(response) = strict::response(&mut rest) else { panic!("an answer is cut short") };
        check(&response, &asked);
    }
});

fn check(response: &Message, asked: &[u8]) {
    let kind = response.one("content-type").unwrap_or_default();
    match response.code() {
        200 => assert!(is_served(&response.body), "what is this: {:?}", response.body),
        206 => match kind.strip_prefix(b"multipart/byteranges; boundary=") {
            None => {
                let range = response.one("content-range").expect("a range");
                assert!(is_range(range, &response.body), "{range:?} of what: {:?}", response.body);
            }
            Some(boundary) => check_parts(&response.body, boundary),
        },
        code => assert!(matches!(code, 100 | 300..=499 | 501 | 505), "{}", response.line),
    }
    let named =
        |coding: &[u8]| asked.windows(coding.len()).any(|word| word == coding) || asked.contains(&b'*');
    let coding = response.one("content-encoding");
    assert!(coding.is_none_or(named), "nobody has asked for {coding:?}");
}

/// RFC 9110, 14.6: parts between boundaries, each with its range.
fn check_parts(body: &[u8], boundary: &[u8]) {
    let boundary = [b"\r\n--", boundary].concat();
    let mut rest = body;
    loop {
        rest = rest.strip_prefix(&boundary[..]).expect("a boundary");
        if rest == b"--\r\n" {
            return;
        }
        rest = rest.strip_prefix(b"\r\n").expect("the end of a line");
        let head = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let lines = std::str::from_utf8(&rest[..head]).expect("ASCII");
        let range = lines.lines().find_map(|line| line.strip_prefix("content-range: ")).expect("a range");
        rest = &rest[head..];
        let end = rest.windows(boundary.len()).position(|part| part == boundary).expect("a boundary");
        assert!(is_range(range.as_bytes(), &rest[..end]), "{range} of what: {:?}", &rest[..end]);
        rest = &rest[end..];
    }
}

fn is_served(body: &[u8]) -> bool {
    SERVED.iter().any(|(_, content)| *content == body)
}

/// Whether these are the bytes that `bytes FIRST-LAST/LENGTH` says of the file of that length.
fn is_range(range: &[u8], body: &[u8]) -> bool {
    let text = std::str::from_utf8(range).expect("ASCII").strip_prefix("bytes ").expect("bytes");
    let (range, length) = text.split_once('/').expect("a length");
    let (first, last) = range.split_once('-').expect("a range");
    let [first, last, length] =
        [first, last, length].map(|number| number.parse::<usize>().expect("a number"));
    let content = SERVED.iter().find(|(_, content)| content.len() == length).expect("a file").1;
    content.get(first..=last) == Some(body)
}
