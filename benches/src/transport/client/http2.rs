//! What is said over HTTP/2 (RFC 9113), in the clear: GETs of thirteen bytes, several at a time.
//!
//! Requests are the same bytes but for the stream's number. Of a response's header block the first field is looked at, which
//! must be `:status: 200` by its number in the static table (RFC 7541, appendix A); the rest needs no decoding, as nothing
//! hangs on it.

use super::turns::Protocol;
use crate::transport::HELLO;
use std::io::Write;
use std::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `:method GET`, `:scheme http`, `:path /plain`, `:authority node`.
const REQUEST: &[u8] = b"\x82\x86\x04\x06/plain\x01\x04node";
/// `:status 200`.
const STATUS_200: u8 = 0x88;
/// The most that a client may be told to take of a connection (RFC 9113 6.9.1), less what it has anyway.
const MORE_WINDOW: u32 = (1 << 31) - 1 - 65_535;
/// The largest frame that the client takes, which is the default.
const MAX_FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// GETs over HTTP/2, so many at a time on each connection.
#[derive(Debug, Clone, Copy)]
pub struct Http2 {
    streams: usize,
}

/// A connection.
#[derive(Debug)]
pub struct State {
    input: Vec<u8>,
    /// Of the first stream of the turn.
    first: u32,
    turn: Vec<Answer>,
    open: usize,
    /// Bytes that were received since the window was last widened.
    received: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    status: bool,
    body: usize,
    ended: bool,
}

impl Http2 {
    /// With so many streams in a turn, at most the hundred that servers allow.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        Self { streams: streams.clamp(1, 100) }
    }
}

impl Protocol for Http2 {
    type State = State;

    fn answers(&self) -> usize {
        self.streams
    }

    fn open(&self, stream: &mut TcpStream) -> Result<State, String> {
        let mut out = PREFACE.to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &MORE_WINDOW.to_be_bytes());
        stream.write_all(&out).map_err(|error| format!("opening HTTP/2: {error}"))?;
        Ok(State { input: Vec::new(), first: 1, turn: Vec::new(), open: 0, received: 0 })
    }

    fn turn(&self, state: &mut State, out: &mut Vec<u8>) {
        state.first += 2 * state.turn.len() as u32;
        state.turn.clear();
        state.turn.resize(self.streams, Answer::default());
        state.open = self.streams;
        for index in 0..self.streams as u32 {
            frame(out, HEADERS, END_HEADERS | END_STREAM, state.first + 2 * index, REQUEST);
        }
    }

    fn receive(&self, state: &mut State, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, String> {
        let mut input = std::mem::take(&mut state.input);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        let before = state.open;
        while let Some((header, after)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if length > MAX_FRAME {
                return Err(format!("a frame of {length} bytes"));
            }
            let Some((payload, next)) = after.split_at_checked(length) else { break };
            let id = u32::from_be_bytes([header[5] & 0x7F, header[6], header[7], header[8]]);
            state.frame(header[3], header[4], id, payload, out)?;
            rest = next;
        }
        if !rest.is_empty() {
            state.input = rest.to_vec();
        }
        Ok(before > 0 && state.open == 0)
    }
}

impl State {
    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match kind {
            SETTINGS if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
            SETTINGS | PING | WINDOW_UPDATE => {}
            HEADERS if flags & !(END_STREAM | END_HEADERS) == 0 && flags & END_HEADERS != 0 => {
                if payload.first() != Some(&STATUS_200) {
                    return Err(format!(
                        "not status 200, but a block that begins with {:?}",
                        payload.first()
                    ));
                }
                self.answer(id)?.status = true;
                self.end(flags, id)?;
            }
            DATA if flags & !END_STREAM == 0 => {
                let answer = self.answer(id)?;
                if HELLO.get(answer.body..answer.body + payload.len()) != Some(payload) {
                    return Err(format!("not the body: {}", String::from_utf8_lossy(payload)));
                }
                answer.body += payload.len();
                self.received += payload.len() as u32;
                if self.received > 1 << 20 {
                    frame(out, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
                    self.received = 0;
                }
                self.end(flags, id)?;
            }
            _ => return Err(format!("frame {kind} with flags {flags:#x} on stream {id}: {payload:?}")),
        }
        Ok(())
    }

    fn answer(&mut self, id: u32) -> Result<&mut Answer, String> {
        let index = id.checked_sub(self.first).filter(|offset| offset % 2 == 0);
        let answer = index.and_then(|offset| self.turn.get_mut(offset as usize / 2));
        answer.filter(|answer| !answer.ended).ok_or_else(|| format!("stream {id} was not asked for"))
    }

    fn end(&mut self, flags: u8, id: u32) -> Result<(), String> {
        if flags & END_STREAM == 0 {
            return Ok(());
        }
        let answer = self.answer(id)?;
        if !answer.status || answer.body != HELLO.len() {
            return Err(format!("stream {id} ended early: {answer:?}"));
        }
        answer.ended = true;
        self.open -= 1;
        Ok(())
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(protocol: &Http2) -> State {
        let mut state = State { input: Vec::new(), first: 1, turn: Vec::new(), open: 0, received: 0 };
        protocol.turn(&mut state, &mut Vec::new());
        state
    }

    fn answer(stream: u32, status: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, HEADERS, END_HEADERS, stream, &[status]);
        frame(&mut out, DATA, END_STREAM, stream, body);
        out
    }

    #[test]
    fn a_turn_ends_with_its_last_stream_however_the_bytes_are_cut() {
        let protocol = Http2::new(2);
        let mut state = state(&protocol);
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        frame(&mut bytes, PING, 0, 0, &[9; 8]);
        bytes.extend(answer(3, STATUS_200, HELLO));
        bytes.extend(answer(1, STATUS_200, HELLO));
        let mut out = Vec::new();
        let whole: Vec<bool> =
            bytes.chunks(1).map(|byte| protocol.receive(&mut state, byte, &mut out).unwrap()).collect();
        assert!(whole[..whole.len() - 1].iter().all(|whole| !whole) && whole[whole.len() - 1]);
        let mut expected = Vec::new();
        frame(&mut expected, SETTINGS, ACK, 0, &[]);
        frame(&mut expected, PING, ACK, 0, &[9; 8]);
        assert_eq!(out, expected);
        protocol.turn(&mut state, &mut out);
        assert_eq!(state.first, 5);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let protocol = Http2::new(1);
        let mut reset = Vec::new();
        frame(&mut reset, 3, 0, 1, &[0; 4]);
        for wrong in [
            answer(1, 0x8D, HELLO),
            answer(1, STATUS_200, b"Hello, wor"),
            answer(1, STATUS_200, b"Jello, world!"),
            answer(2, STATUS_200, HELLO),
            answer(3, STATUS_200, HELLO),
            reset,
        ] {
            assert!(protocol.receive(&mut state(&protocol), &wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }
}
