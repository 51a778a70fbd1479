//! Servers whose bytes are the fuzzer's, at the far ends of the connections that the code under test makes.

use crate::memory::{Memory, Peer};
use rustls::ServerConnection;
use std::collections::VecDeque;
use std::io::{Read, Write};

/// What stands in a script between the bytes of one connection and those of the next.
const NEXT: [u8; 2] = [0xff, 0xff];
/// What stands before bytes that a server holds back until it has heard more.
const TURN: [u8; 2] = [0xff, 0xfe];

/// The parts of a script.
pub fn parts(script: &[u8]) -> VecDeque<Vec<u8>> {
    split(script, NEXT)
}

fn split(mut rest: &[u8], at: [u8; 2]) -> VecDeque<Vec<u8>> {
    let mut parts = VecDeque::from([Vec::new()]);
    while let [first, after @ ..] = rest {
        match rest.strip_prefix(&at) {
            Some(after) => {
                parts.push_back(Vec::new());
                rest = after;
            }
            None => {
                parts.back_mut().expect("one at least").push(*first);
                rest = after;
            }
        }
    }
    parts
}

/// The far end of a connection.
pub struct Far {
    pub peer: Peer,
    /// Between it and the bytes.
    tls: Option<ServerConnection>,
    /// What it still says, turn by turn; `None` for one that the script does not reach.
    script: Option<VecDeque<VecDeque<u8>>>,
    /// Whether more has come since it last spoke.
    has_heard: bool,
    /// What it has said.
    pub sent: Vec<u8>,
    /// What was said to it.
    pub received: Vec<u8>,
    pub has_ended: bool,
}

impl Far {
    /// Reads what has come.
    fn pump(&mut self) -> bool {
        let output = self.peer.take_output();
        let has_come = !output.is_empty();
        let Some(tls) = &mut self.tls else {
            self.received.extend(output);
            self.has_heard |= has_come;
            return has_come;
        };
        let mut new = &output[..];
        while !new.is_empty() && tls.read_tls(&mut new).is_ok() && tls.process_new_packets().is_ok() {}
        let before = self.received.len();
        // Up to where it would block.
        let _ = tls.reader().read_to_end(&mut self.received);
        self.has_heard |= self.received.len() > before;
        self.flush();
        has_come
    }

    fn flush(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        let mut records = Vec::new();
        while tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
        self.peer.send(&records);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.has_heard = false;
        self.sent.extend_from_slice(bytes);
        match &mut self.tls {
            None => self.peer.send(bytes),
            Some(tls) => {
                let _ = tls.writer().write_all(bytes);
                self.flush();
            }
        }
    }

    /// Says its next piece, if it has one and need not wait for its turn.
    fn speak(&mut self, most: usize) -> bool {
        let Some(turns) = &mut self.script else { return false };
        if turns.len() > 1 && turns[0].is_empty() && self.has_heard {
            turns.pop_front();
        }
        let Some(turn) = turns.front_mut().filter(|turn| !turn.is_empty()) else { return false };
        let piece: Vec<u8> = turn.drain(..most.min(turn.len())).collect();
        self.send(&piece);
        true
    }

    fn has_said_all(&self) -> bool {
        self.script.as_ref().is_some_and(|turns| turns.iter().all(VecDeque::is_empty))
    }

    pub fn end(&mut self) {
        self.has_ended = true;
        self.peer.end();
    }
}

/// All of them, in the order in which they were connected to.
pub struct Servers {
    script: VecDeque<Vec<u8>>,
    /// Bytes that are sent at a time.
    cut: usize,
    /// Whether connections stay open when there is no more to say.
    stay: bool,
    tls: Box<dyn Fn() -> Option<ServerConnection>>,
    pub all: Vec<Far>,
}

impl Servers {
    pub fn new(script: VecDeque<Vec<u8>>, cut: usize, stay: bool) -> Self {
        Self { script, cut, stay, tls: Box::new(|| None), all: Vec::new() }
    }

    pub fn with_tls(self, tls: impl Fn() -> Option<ServerConnection> + 'static) -> Self {
        Self { tls: Box::new(tls), ..self }
    }

    /// Every server reads what has come and says its next piece; those that the script does not reach do as `otherwise` says.
    /// Whether anything has happened.
    pub fn step(&mut self, memory: &Memory, mut otherwise: impl FnMut(&mut Far) -> bool) -> bool {
        memory.settle();
        let mut busy = false;
        for peer in memory.take_dialled() {
            busy = true;
            peer.make_room(usize::MAX);
            let script = self.script.pop_front();
            let script = script.map(|part| split(&part, TURN).into_iter().map(VecDeque::from).collect());
            let (sent, received) = (Vec::new(), Vec::new());
            let tls = (self.tls)();
            self.all.push(Far { peer, tls, script, has_heard: false, sent, received, has_ended: false });
        }
        for far in &mut self.all {
            busy |= far.pump();
            if far.has_ended || far.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                continue;
            }
            if far.script.is_none() {
                busy |= otherwise(far);
            } else if far.speak(self.cut) {
                busy = true;
            } else if far.has_said_all() && !self.stay {
                busy = true;
                far.end();
            }
        }
        memory.settle();
        busy
    }
}
