//! Many connections over TCP from one thread: each sends its turn, and the next when that was answered.

use crate::histogram::Latencies;
use crate::load::Outcome;
use crate::proc;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// With nothing answered for so long, the server is taken for hung.
const STALL: Duration = Duration::from_secs(20);
/// Connections from one source address: well below the ephemeral ports that it has for one destination.
const PER_SOURCE: usize = 10_000;
/// Bytes of a turn: more could wait for each other in both directions, as writes here block.
const MAX_TURN: usize = 64 * 1024;

/// What is said over each connection.
pub trait Protocol {
    /// What is remembered of a connection.
    type State;

    /// Answers in a turn.
    fn answers(&self) -> usize;

    /// Opens the conversation on a new connection, whose reads block.
    ///
    /// # Errors
    /// In words, when the server does not agree.
    fn open(&self, stream: &mut TcpStream) -> Result<Self::State, String>;

    /// Appends the next turn to `out`.
    fn turn(&self, state: &mut Self::State, out: &mut Vec<u8>);

    /// Takes bytes that arrived; appends to `out` what has to be answered at once. Whether the turn has been answered in whole.
    ///
    /// # Errors
    /// In words, when an answer is wrong.
    fn receive(&self, state: &mut Self::State, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, String>;
}

/// Connections that take turns.
pub struct Turns<P: Protocol> {
    protocol: P,
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection<P::State>>,
    events: Vec<epoll::Event>,
    chunk: Vec<u8>,
    out: Vec<u8>,
}

struct Connection<S> {
    stream: TcpStream,
    state: S,
    /// When the turn began that is not answered yet.
    began: Option<Instant>,
}

impl<P: Protocol> Turns<P> {
    /// No connections yet.
    ///
    /// # Errors
    /// As `epoll_create(2)`.
    pub fn new(protocol: P, address: SocketAddr) -> io::Result<Self> {
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        Ok(Self {
            protocol,
            address,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            events: vec![none; EVENTS],
            chunk: vec![0; CHUNK],
            out: Vec::new(),
        })
    }

    /// Opens connections until there are so many.
    ///
    /// # Errors
    /// In words: the system or the server refused.
    pub fn grow(&mut self, connections: usize) -> Result<(), String> {
        while self.connections.len() < connections {
            let index = self.connections.len();
            let opened = open(self.address, index).and_then(|mut stream| {
                let state = self.protocol.open(&mut stream).map_err(io::Error::other)?;
                let data = epoll::EventData::new_u64(index as u64);
                epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
                Ok(Connection { stream, state, began: None })
            });
            self.connections.push(opened.map_err(|error| format!("connection {index}: {error}"))?);
        }
        Ok(())
    }

    /// A turn on every connection at once.
    ///
    /// # Errors
    /// In words, when an answer is wrong, missing for long, or a connection breaks.
    pub fn once(&mut self) -> Result<Outcome, String> {
        self.run(Duration::ZERO)
    }

    /// Turns on every connection, each when the one before it is answered, until the time is over and all are answered.
    ///
    /// # Errors
    /// As [`Turns::once`].
    pub fn run(&mut self, time: Duration) -> Result<Outcome, String> {
        let cpu = || proc::thread_cpu_nanos().map_err(|error| error.to_string());
        let (start, cpu_before) = (Instant::now(), cpu()?);
        let mut run = Run { latencies: Latencies::default(), operations: 0, busy: self.connections.len() };
        for index in 0..self.connections.len() {
            self.begin(index)?;
        }
        let mut last = Instant::now();
        while run.busy > 0 {
            match self.wait().map_err(|error| error.to_string())? {
                0 if last.elapsed() > STALL => {
                    return Err(format!("{} turns were not answered in {} s", run.busy, STALL.as_secs()));
                }
                0 => continue,
                events => {
                    for position in 0..events {
                        let data = self.events[position].data;
                        self.read(data.u64() as usize, &mut run, start, time)?;
                    }
                    last = Instant::now();
                }
            }
        }
        Ok(Outcome {
            operations: run.operations,
            elapsed: start.elapsed(),
            latencies: run.latencies,
            client_cpu: Duration::from_nanos(cpu()?.saturating_sub(cpu_before)),
            ..Outcome::default()
        })
    }

    fn wait(&mut self) -> io::Result<usize> {
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        match epoll::wait(&self.epoll, &mut self.events[..], Some(&timeout)) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        self.out.clear();
        self.protocol.turn(&mut connection.state, &mut self.out);
        if self.out.len() > MAX_TURN {
            return Err(format!("a turn of {} bytes, over the limit of {MAX_TURN}", self.out.len()));
        }
        connection.began = Some(Instant::now());
        connection.stream.write_all(&self.out).map_err(|error| format!("connection {index}: {error}"))
    }

    fn read(&mut self, index: usize, run: &mut Run, start: Instant, time: Duration) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let failed = |error: String| format!("connection {index}: {error}");
        let read = connection.stream.read(&mut self.chunk).map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            return Err(failed("the server closed it".into()));
        }
        self.out.clear();
        let received = self.protocol.receive(&mut connection.state, &self.chunk[..read], &mut self.out);
        let answered = received.map_err(failed)?;
        if !self.out.is_empty() {
            connection.stream.write_all(&self.out).map_err(|error| failed(error.to_string()))?;
        }
        if !answered {
            return Ok(());
        }
        let Some(began) = connection.began.take() else { return Err(failed("an answer to nothing".into())) };
        let now = Instant::now();
        for _ in 0..self.protocol.answers() {
            run.latencies.record(now - began);
        }
        run.operations += self.protocol.answers() as u64;
        if now - start < time {
            return self.begin(index);
        }
        run.busy -= 1;
        Ok(())
    }
}

struct Run {
    latencies: Latencies,
    operations: u64,
    busy: usize,
}

/// Connects from a source address of its own for each ten thousand.
fn open(address: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let source = u8::try_from(1 + index / PER_SOURCE).map_err(io::Error::other)?;
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    if source > 1 {
        bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)))?;
    }
    connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}
