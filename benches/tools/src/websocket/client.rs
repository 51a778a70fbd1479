//! A client that echoes over many connections in turns: all write, then all read.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Connections, and what each sends and expects.
pub(super) struct Client {
    streams: Vec<TcpStream>,
    /// Masked frames.
    sent: Vec<u8>,
    /// The same, not masked.
    expected: Vec<u8>,
    received: Vec<u8>,
    batch: usize,
}

impl Client {
    /// Opens connections that will send `batch` messages of `bytes` bytes at a time.
    pub(super) fn connect(
        address: SocketAddr,
        connections: usize,
        bytes: usize,
        batch: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let streams = (0..connections).map(|_| open(address)).collect::<Result<Vec<_>, _>>()?;
        let payload: Vec<u8> = (0..bytes).map(|n| b'a' + (n % 26) as u8).collect();
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for number in 0..batch.max(1) {
            let mask = (number as u32).wrapping_mul(0x9E37_79B9).to_ne_bytes();
            header(&mut expected, bytes, 0);
            expected.extend(&payload);
            header(&mut sent, bytes, 0x80);
            sent.extend(mask);
            sent.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        let received = vec![0; expected.len()];
        Ok(Self { streams, sent, expected, received, batch: batch.max(1) })
    }

    /// One turn of every connection. Every echo is checked.
    pub(super) fn echo_once(&mut self) -> Result<(), Box<dyn Error>> {
        for stream in &mut self.streams {
            stream.write_all(&self.sent)?;
        }
        for stream in &mut self.streams {
            stream.read_exact(&mut self.received)?;
            if self.received != self.expected {
                return Err("the echo differs".into());
            }
        }
        Ok(())
    }

    /// Turns for so long; how many messages, in what time.
    pub(super) fn echo_for(&mut self, time: Duration) -> Result<(usize, Duration), Box<dyn Error>> {
        let (start, mut turns) = (Instant::now(), 0);
        while start.elapsed() < time {
            self.echo_once()?;
            turns += 1;
        }
        Ok((turns * self.streams.len() * self.batch, start.elapsed()))
    }
}

fn open(address: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("no WebSocket: {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(stream)
}

/// A binary frame's header.
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
