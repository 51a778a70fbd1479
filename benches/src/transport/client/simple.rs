//! What is said over HTTP/1.1 and WebSocket.

use super::turns::Protocol;
use crate::load::parse_response;
use crate::transport::HELLO;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A GET of thirteen bytes over HTTP/1.1, one at a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Http1;

impl Protocol for Http1 {
    type State = Vec<u8>;

    fn answers(&self) -> usize {
        1
    }

    fn open(&self, _: &mut TcpStream) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn turn(&self, _: &mut Vec<u8>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /plain HTTP/1.1\r\nhost: node\r\n\r\n");
    }

    fn receive(&self, input: &mut Vec<u8>, bytes: &[u8], _: &mut Vec<u8>) -> Result<bool, String> {
        input.extend_from_slice(bytes);
        let Some(response) = parse_response(input)? else { return Ok(false) };
        if (response.status, response.body, response.length) != (200, HELLO, input.len()) {
            return Err(format!("not the answer: {}", String::from_utf8_lossy(input)));
        }
        // Not kept: ten thousand idle connections shall weigh nothing here.
        *input = Vec::new();
        Ok(true)
    }
}

/// Binary messages that come back.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// Masked frames.
    sent: Vec<u8>,
    /// The same, not masked.
    expected: Vec<u8>,
    batch: usize,
}

impl WebSocket {
    /// So many messages of so many bytes in a turn.
    #[must_use]
    pub fn new(bytes: usize, batch: usize) -> Self {
        let payload: Vec<u8> = (0..bytes).map(|n| b'a' + (n % 26) as u8).collect();
        let (mut sent, mut expected, batch) = (Vec::new(), Vec::new(), batch.max(1));
        for number in 0..batch {
            let mask = (number as u32).wrapping_mul(0x9E37_79B9).to_ne_bytes();
            header(&mut expected, bytes, 0);
            expected.extend(&payload);
            header(&mut sent, bytes, 0x80);
            sent.extend(mask);
            sent.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        Self { sent, expected, batch }
    }
}

impl Protocol for WebSocket {
    /// Bytes of the expected answer that have arrived.
    type State = usize;

    fn answers(&self) -> usize {
        self.batch
    }

    fn open(&self, stream: &mut TcpStream) -> Result<usize, String> {
        let failed = |error: std::io::Error| format!("opening a WebSocket: {error}");
        stream
            .write_all(
                b"GET /ws HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .map_err(failed)?;
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).map_err(failed)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return Err(format!("no WebSocket: {}", String::from_utf8_lossy(&answer)));
        }
        Ok(0)
    }

    fn turn(&self, _: &mut usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sent);
    }

    fn receive(&self, arrived: &mut usize, bytes: &[u8], _: &mut Vec<u8>) -> Result<bool, String> {
        if self.expected.get(*arrived..*arrived + bytes.len()) != Some(bytes) {
            return Err("the echo differs".into());
        }
        *arrived += bytes.len();
        let whole = *arrived == self.expected.len();
        if whole {
            *arrived = 0;
        }
        Ok(whole)
    }
}

/// A binary frame's header (RFC 6455 5.2).
fn header(out: &mut Vec<u8>, length: usize, masked: u8) {
    out.push(0x82);
    match length {
        short @ 0..=125 => out.push(masked | short as u8),
        medium @ 126..=0xFFFF => {
            out.push(masked | 126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_taken_in_pieces_and_a_wrong_byte_is_told() {
        let protocol = WebSocket::new(300, 2);
        let (mut state, mut out) = (0, Vec::new());
        let (first, rest) = protocol.expected.split_at(301);
        assert_eq!(protocol.receive(&mut state, first, &mut out), Ok(false));
        assert_eq!(protocol.receive(&mut state, rest, &mut out), Ok(true));
        assert!(protocol.receive(&mut state, &[0x82, 126, 1, 45], &mut out).is_err());
        let mut longer = protocol.expected.clone();
        longer.push(0);
        assert!(protocol.receive(&mut 0, &longer, &mut out).is_err());
    }

    #[test]
    fn only_the_right_response_passes() {
        let right = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, world!";
        assert_eq!(Http1.receive(&mut Vec::new(), right, &mut Vec::new()), Ok(true));
        assert_eq!(Http1.receive(&mut Vec::new(), &right[..50], &mut Vec::new()), Ok(false));
        let wrong = String::from_utf8_lossy(right).replace("200", "404");
        assert!(Http1.receive(&mut Vec::new(), wrong.as_bytes(), &mut Vec::new()).is_err());
    }
}
