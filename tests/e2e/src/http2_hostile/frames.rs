//! HTTP/2 by hand: frames, fields, and a client that writes and reads them.
#![allow(missing_docs, reason = "the names are the standard's")]

use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::runtime::Runtime;
use shroud::runtime::net::ConnectOptions;
use std::net::SocketAddr;

/// Frame types (RFC 9113, 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, 7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field without compression (RFC 7541, 6.2.2).
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "a short text");
        bytes.push(u8::try_from(text.len()).expect("short"));
        bytes.extend(text);
    }
    bytes
}

/// The header of a request.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    [
        field(b":method", method.as_bytes()),
        field(b":scheme", b"http"),
        field(b":path", path.as_bytes()),
        field(b":authority", b"test"),
    ]
    .concat()
}

/// A request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", path))
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response's status and the length of its body.
    Answered(u16, usize),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was given up with this code.
    GoAway(u32),
    /// It was closed without a word.
    Closed,
}

/// A client that writes frames.
pub struct Client<R: Runtime> {
    stream: R::Stream,
    read: Vec<u8>,
}

impl<R: Runtime> Client<R> {
    pub async fn connect(runtime: &R, address: SocketAddr) -> Self {
        // Without a table for header fields, a response can be read without keeping one.
        Self::with_settings(runtime, address, &[0, 1, 0, 0, 0, 0]).await
    }

    pub async fn with_settings(runtime: &R, address: SocketAddr, settings: &[u8]) -> Self {
        let mut client = Self::silent(runtime, address).await;
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        client
    }

    pub async fn silent(runtime: &R, address: SocketAddr) -> Self {
        let stream = runtime.connect(address, ConnectOptions::default()).await.expect("a connection");
        Self { stream, read: Vec::new() }
    }

    /// The other end of a connection that a client under test has made: past its preface, with the payload of its first
    /// SETTINGS. Sends SETTINGS and the acknowledgement.
    pub async fn accepted(stream: R::Stream) -> (Self, Vec<u8>) {
        let mut server = Self { stream, read: Vec::new() };
        while server.read.len() < PREFACE.len() {
            assert!(server.more().await, "no preface");
        }
        assert_eq!(server.read.drain(..PREFACE.len()).collect::<Vec<_>>(), PREFACE);
        let first = server.next().await.expect("SETTINGS");
        assert_eq!((first.kind, first.flags), (SETTINGS, 0));
        server.send(&[frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat()).await;
        (server, first.payload)
    }

    /// The next request's stream.
    pub async fn asked(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// The code of the client's GOAWAY; `None` when the connection ends without.
    pub async fn goodbye(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == GOAWAY {
                return Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("four")));
            }
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    /// Sends; a server that has closed already takes nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if self.read.len() >= 9 {
                let length = usize::from(self.read[0]) << 16
                    | usize::from(self.read[1]) << 8
                    | usize::from(self.read[2]);
                if self.read.len() >= 9 + length {
                    let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four"));
                    let payload = bytes[9..].to_vec();
                    return Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload });
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads until `stream` has its answer or the connection ends. Opens windows again when `takes`.
    pub async fn outcome(&mut self, stream: u32, takes: bool) -> Outcome {
        let (mut status, mut length) = (0, 0);
        let mut gone = None;
        while let Some(frame) = self.next().await {
            let mut ended = frame.flags & END_STREAM != 0;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(&self::frame(SETTINGS, ACK, 0, &[])).await;
                    continue;
                }
                PING if frame.flags & ACK == 0 => {
                    self.send(&self::frame(PING, ACK, 0, &frame.payload)).await;
                    continue;
                }
                GOAWAY => {
                    let code = u32::from_be_bytes(frame.payload[4..8].try_into().expect("four"));
                    if code != 0 {
                        return Outcome::GoAway(code);
                    }
                    gone = Some(code);
                    continue;
                }
                RST_STREAM if frame.stream == stream => {
                    return Outcome::Reset(u32::from_be_bytes(frame.payload[..4].try_into().expect("four")));
                }
                HEADERS if frame.stream == stream => status = status_of(&frame.payload),
                DATA if frame.stream == stream => {
                    length += frame.payload.len();
                    if takes && !frame.payload.is_empty() {
                        let count = u32::try_from(frame.payload.len()).expect("a frame").to_be_bytes();
                        let updates = [
                            self::frame(WINDOW_UPDATE, 0, 0, &count),
                            self::frame(WINDOW_UPDATE, 0, stream, &count),
                        ];
                        self.send(&updates.concat()).await;
                    }
                }
                _ => ended = false,
            }
            if ended && frame.stream == stream {
                return Outcome::Answered(status, length);
            }
        }
        gone.map_or(Outcome::Closed, Outcome::GoAway)
    }

    /// The next bytes of a stream, at least so many.
    pub async fn data(&mut self, stream: u32, least: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < least {
            let frame = self.next().await.expect("an open connection");
            assert!(frame.kind != RST_STREAM || frame.stream != stream, "the stream was reset");
            if frame.kind == DATA && frame.stream == stream {
                data.extend(frame.payload);
            }
        }
        data
    }

    pub async fn ask(&mut self, stream: u32, path: &str) -> Outcome {
        self.send(&get(stream, path)).await;
        self.outcome(stream, true).await
    }
}

/// The status, which a server encodes first: from the static table, or as a literal with its name from there.
pub fn status_of(block: &[u8]) -> u16 {
    // A size update may come first (RFC 7541, 6.3).
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // Three digits in Huffman's code (RFC 7541, appendix B).
        0x48 | 0x08 => {
            assert_eq!(block[1] & 0x80, 0x80, "not in Huffman's code");
            let bits = block[2..].iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << 8;
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let rest = bits << at;
                let (digit, length) =
                    if rest >> 29 == 0 { (rest >> 27, 5) } else { ((rest >> 26) - 0b01_1001 + 3, 6) };
                status = status * 10 + u16::try_from(digit).expect("a digit");
                at += length;
            }
            status
        }
        other => panic!("status {other:02x}"),
    }
}
