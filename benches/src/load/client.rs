//! The event loop: epoll, one thread, any number of connections.

use super::connection::Connection;
use super::work::{Lane, Work};
use crate::histogram::Latencies;
use crate::proc;
use crate::rng::Rng;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// With nothing answered for so long, the server is taken for hung.
const STALL: Duration = Duration::from_secs(20);
/// Nearer arrivals than this are waited for without sleeping: timers of epoll are no finer.
const SPIN: Duration = Duration::from_micros(1_100);

/// Connections to one server, kept open from phase to phase.
#[derive(Debug)]
pub struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
}

/// What a phase saw.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests answered, rightly or wrongly.
    pub operations: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// How long each took: from its write in a closed loop, from the intended start in an open one.
    pub latencies: Latencies,
    /// In an open loop, how late the client itself was although a connection was free.
    pub lag: Latencies,
    /// Wrong answers.
    pub errors: u64,
    /// The first of them, described.
    pub first_error: Option<String>,
    /// Processor time of the client's thread.
    pub client_cpu: Duration,
}

/// Why a phase could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The system or the server broke a connection.
    #[error("connection {connection}, after {done} answers: {source}")]
    Connection {
        /// Which connection.
        connection: usize,
        /// How many answers it had received in this phase.
        done: usize,
        /// What happened.
        source: io::Error,
    },
    /// Connecting, epoll or `/proc` failed.
    #[error("the load client: {0}")]
    Io(#[from] io::Error),
    /// No answer at all for a long time.
    #[error("no answer for {} s with {in_flight} requests in flight", STALL.as_secs())]
    Stalled {
        /// Requests without an answer.
        in_flight: usize,
    },
    /// More lanes than connections.
    #[error("work for {lanes} connections, but only {connections} are open")]
    Lanes {
        /// Lanes of the work.
        lanes: usize,
        /// Connections of the client.
        connections: usize,
    },
}

impl Client {
    /// Opens so many connections.
    ///
    /// # Errors
    /// As `connect(2)` and `epoll_create(2)`.
    pub fn connect(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut client = Self { epoll, connections: Vec::with_capacity(connections) };
        for index in 0..connections as u64 {
            let connection = Connection::open(address)?;
            epoll::add(
                &client.epoll,
                &connection.stream,
                epoll::EventData::new_u64(index),
                epoll::EventFlags::IN,
            )?;
            client.connections.push(connection);
        }
        Ok(client)
    }

    /// Keeps `depth` requests in flight on each connection until all have been answered.
    ///
    /// # Errors
    /// When a connection breaks or nothing is answered for long. Wrong answers are counted, not errors.
    pub fn closed_loop(&mut self, work: &Work, depth: usize) -> Result<Outcome, LoadError> {
        let mut run = Run::start(self, work, depth.max(1))?;
        let start = Instant::now();
        for (index, lane) in work.lanes.iter().enumerate() {
            self.send(index, lane, run.depth, start)?;
        }
        while run.outcome.operations < run.total {
            self.turn(work, &mut run, None, |client, run, index, lane, now| {
                client.send(index, lane, run.depth, now)
            })?;
        }
        run.finish(start)
    }

    /// Sends at the times of a Poisson process with `rate` arrivals a second until all requests have been answered. An arrival
    /// that finds no free connection waits for one, and its latency counts from the arrival.
    ///
    /// # Errors
    /// As [`Client::closed_loop`].
    pub fn open_loop(&mut self, work: &Work, rate: f64, rng: &mut Rng) -> Result<Outcome, LoadError> {
        let mut run = Run::start(self, work, 1)?;
        let mean = 1.0 / rate.max(1e-3);
        let mut idle: VecDeque<usize> =
            (0..work.lanes.len()).filter(|i| work.lanes[*i].operations() > 0).collect();
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let mut arrived = 0;
        let start = Instant::now();
        let mut next = start + Duration::from_secs_f64(rng.exponential(mean));
        while run.outcome.operations < run.total {
            let now = Instant::now();
            while arrived < run.total && next <= now {
                if waiting.is_empty() && !idle.is_empty() {
                    run.outcome.lag.record(now - next);
                }
                waiting.push_back(next);
                arrived += 1;
                next += Duration::from_secs_f64(rng.exponential(mean));
                // Send at once, so that a burst does not wait for its last arrival.
                if let Some(index) = idle.pop_front() {
                    let intended = waiting.pop_front().unwrap_or(now);
                    self.send(index, &work.lanes[index], 1, intended)?;
                }
            }
            let wait = if arrived == run.total {
                None
            } else {
                Some(next.saturating_duration_since(Instant::now()))
            };
            self.turn(work, &mut run, wait, |client, _, index, lane, _| {
                if client.connections[index].sent == lane.operations() {
                    return Ok(());
                }
                match waiting.pop_front() {
                    Some(intended) => client.send(index, lane, 1, intended),
                    None => {
                        idle.push_back(index);
                        Ok(())
                    }
                }
            })?;
        }
        run.finish(start)
    }

    /// Waits for the kernel once and handles what it says; `freed` is told of each connection that got an answer.
    fn turn(
        &mut self,
        work: &Work,
        run: &mut Run,
        wait: Option<Duration>,
        mut freed: impl FnMut(&mut Self, &Run, usize, &Lane, Instant) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let timeout = match wait {
            Some(wait) if wait < SPIN => Duration::ZERO,
            // One millisecond early: the rest is spent awake.
            Some(wait) => wait - Duration::from_millis(1),
            None => Duration::from_secs(1),
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let count = match epoll::wait(&self.epoll, &mut run.events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if count == 0 {
            let in_flight = self.connections.iter().map(Connection::in_flight).sum();
            if in_flight > 0 && run.last_answer.elapsed() > STALL {
                return Err(LoadError::Stalled { in_flight });
            }
            return Ok(());
        }
        for position in 0..count {
            let event = run.events[position];
            let data = event.data;
            let (index, flags) = (data.u64() as usize, event.flags);
            let Some(lane) = work.lanes.get(index) else { continue };
            if flags.contains(epoll::EventFlags::OUT) {
                self.flush(index, lane)?;
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                let before = self.connections[index].done;
                let now = self.receive(index, lane, run)?;
                if self.connections[index].done > before {
                    run.last_answer = now;
                    freed(self, run, index, lane, now)?;
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, lane: &Lane, run: &mut Run) -> Result<Instant, LoadError> {
        let connection = &mut self.connections[index];
        let outcome = &mut run.outcome;
        let mut now = None;
        let received = connection.receive(lane, |lane, operation, response, start| {
            let now = *now.get_or_insert_with(Instant::now);
            outcome.latencies.record(now.saturating_duration_since(start));
            outcome.operations += 1;
            if let Err(reason) = lane.expected(operation).check(response) {
                outcome.errors += 1;
                outcome
                    .first_error
                    .get_or_insert_with(|| format!("request {operation} of connection {index}: {reason}"));
            }
        });
        let done = connection.done;
        received.map_err(|source| LoadError::Connection { connection: index, done, source })?;
        Ok(now.unwrap_or_else(Instant::now))
    }

    fn send(&mut self, index: usize, lane: &Lane, depth: usize, start: Instant) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        let done = connection.done;
        connection.fill(lane, depth, start).map_err(|source| LoadError::Connection {
            connection: index,
            done,
            source,
        })?;
        if connection.blocked() {
            self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Goes on with a write that was waiting.
    fn flush(&mut self, index: usize, lane: &Lane) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        let done = connection.done;
        connection.flush(lane).map_err(|source| LoadError::Connection { connection: index, done, source })?;
        if !connection.blocked() {
            self.watch(index, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch(&self, index: usize, flags: epoll::EventFlags) -> io::Result<()> {
        let data = epoll::EventData::new_u64(index as u64);
        Ok(epoll::modify(&self.epoll, &self.connections[index].stream, data, flags)?)
    }
}

/// The state of a running phase.
struct Run {
    total: u64,
    depth: usize,
    outcome: Outcome,
    last_answer: Instant,
    cpu_before: u64,
    events: Vec<epoll::Event>,
}

impl Run {
    fn start(client: &mut Client, work: &Work, depth: usize) -> Result<Self, LoadError> {
        let (lanes, connections) = (work.lanes.len(), client.connections.len());
        if lanes > connections {
            return Err(LoadError::Lanes { lanes, connections });
        }
        client.connections.iter_mut().for_each(Connection::restart);
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        Ok(Self {
            total: work.operations() as u64,
            depth,
            outcome: Outcome::default(),
            last_answer: Instant::now(),
            cpu_before: proc::thread_cpu_nanos()?,
            events: vec![none; EVENTS],
        })
    }

    fn finish(mut self, start: Instant) -> Result<Outcome, LoadError> {
        self.outcome.elapsed = start.elapsed();
        let cpu = proc::thread_cpu_nanos()?.saturating_sub(self.cpu_before);
        self.outcome.client_cpu = Duration::from_nanos(cpu);
        Ok(self.outcome)
    }
}

#[cfg(test)]
mod tests;
