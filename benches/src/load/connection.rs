//! One connection of the load client: what is being written, what has been read, what is awaited.

use super::response::{self, Response};
use super::work::Lane;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Instant;

/// What one read can take; longer responses make the buffer grow.
const READ_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Requests handed to `write`, at least in part.
    pub(crate) sent: usize,
    /// Responses checked.
    pub(crate) done: usize,
    /// When each request in flight was meant to leave.
    starts: VecDeque<Instant>,
    /// The part of the lane's bytes that the socket has not taken yet.
    unwritten: Range<usize>,
    input: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            sent: 0,
            done: 0,
            starts: VecDeque::new(),
            unwritten: 0..0,
            input: vec![0; READ_BYTES],
            filled: 0,
        })
    }

    /// Forgets the last phase; nothing may be in flight.
    pub(crate) fn restart(&mut self) {
        debug_assert!(self.starts.is_empty() && self.unwritten.is_empty());
        (self.sent, self.done) = (0, 0);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.starts.len()
    }

    /// Whether a write is waiting for the socket.
    pub(crate) fn blocked(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Sends requests until `depth` are in flight or the lane has no more, unless a write is still waiting.
    pub(crate) fn fill(&mut self, lane: &Lane, depth: usize, start: Instant) -> io::Result<()> {
        while !self.blocked() && self.in_flight() < depth && self.sent < lane.operations() {
            let end = lane.operations().min(self.sent + depth - self.in_flight());
            let (bytes, count) = lane.requests(self.sent, end);
            self.sent += count;
            self.starts.extend(std::iter::repeat_n(start, count));
            self.unwritten = bytes;
            self.flush(lane)?;
        }
        Ok(())
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self, lane: &Lane) -> io::Result<()> {
        while self.blocked() {
            match (&self.stream).write(&lane.bytes()[self.unwritten.clone()]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.unwritten.start += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once and hands each complete response over, with the time its request was meant to leave.
    pub(crate) fn receive(
        &mut self,
        lane: &Lane,
        mut each: impl FnMut(&Lane, usize, &Response<'_>, Instant),
    ) -> io::Result<()> {
        if self.filled == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match (&self.stream).read(&mut self.input[self.filled..]) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut taken = 0;
        while let Some(response) =
            response::parse(&self.input[taken..self.filled]).map_err(io::Error::other)?
        {
            let Some(start) = self.starts.pop_front() else {
                return Err(io::Error::other("a response to no request"));
            };
            each(lane, self.done, &response, start);
            self.done += 1;
            taken += response.length;
            if response.close && self.done < lane.operations() {
                return Err(io::Error::other("the server asked to close the connection"));
            }
        }
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(())
    }
}
