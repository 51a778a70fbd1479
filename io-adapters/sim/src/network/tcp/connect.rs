//! Listening and connecting.

use super::{ATTEMPT_FIRST, ATTEMPTS, Connection, HEADERS};
use crate::arena::Key;
use crate::errors::{dead, refused, timed_out, unreachable};
use crate::event::Event;
use crate::host::Owner;
use crate::network::link::Passage;
use crate::network::ports::Protocol;
use crate::trace::Kind;
use crate::universe::World;
use shroud_runtime::ListenOptions;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, Waker};

/// What the world keeps of a listener.
#[derive(Debug)]
pub(crate) struct ListenerState {
    owner: Owner,
    pub(crate) address: SocketAddr,
    backlog: usize,
    waiting: VecDeque<Key>,
    waker: Option<Waker>,
}

/// What the world keeps of a connection attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    owner: Owner,
    local: SocketAddr,
    remote: SocketAddr,
    tries: u32,
    connection: Option<Key>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Connected,
    Refused,
    TimedOut,
}

impl World {
    pub(crate) fn listen(
        &mut self,
        owner: Owner,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Key> {
        self.alive(owner).ok_or_else(dead)?;
        let address = self.choose_port(Protocol::Stream, owner, address, options.reuse_port)?;
        // Linux takes one more than it was asked for.
        let backlog = usize::try_from(options.backlog).unwrap_or(usize::MAX).saturating_add(1);
        let listener = ListenerState { owner, address, backlog, waiting: VecDeque::new(), waker: None };
        let key = self.listeners.insert(listener);
        self.ports.bind(Protocol::Stream, owner.host, address, options.reuse_port, key);
        self.note(Kind::Listening, owner.host as u64, u64::from(address.port()));
        Ok(key)
    }

    /// The next connection, as the side that accepts.
    pub(crate) fn poll_accept(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<Key>> {
        let Some(listener) = self.listeners.get_mut(key) else { return Poll::Ready(Err(dead())) };
        match listener.waiting.pop_front() {
            Some(connection) => {
                self.note(Kind::Accepted, connection.number(), 0);
                Poll::Ready(Ok(connection))
            }
            None => {
                listener.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Stops listening; connections that nobody took are reset.
    pub(crate) fn close_listener(&mut self, key: Key, silent: bool) {
        let Some(listener) = self.listeners.remove(key) else { return };
        self.ports.release(Protocol::Stream, listener.owner.host, listener.address.port(), key);
        for connection in listener.waiting {
            if !silent {
                self.close_side(connection, 1, true);
            }
        }
    }

    pub(crate) fn connect(
        &mut self,
        owner: Owner,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Key> {
        let host = self.alive(owner).ok_or_else(dead)?;
        let remote = match remote.ip() {
            // As on Linux: the own host.
            IpAddr::V4(ip) if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::from([127, 0, 0, 1]), remote.port())
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), remote.port())
            }
            _ => remote,
        };
        let wanted = local.unwrap_or_else(|| SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0));
        let source = match local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified()) {
            Some(ip) => ip,
            None => host.source_for(remote.ip()).ok_or_else(unreachable)?,
        };
        let wanted = SocketAddr::new(source, wanted.port());
        let local = self.choose_port(Protocol::Stream, owner, wanted, true)?;
        let attempt =
            Attempt { owner, local, remote, tries: 0, connection: None, outcome: None, waker: None };
        let key = self.attempts.insert(attempt);
        self.note(Kind::Connecting, key.number(), u64::from(remote.port()));
        self.send_attempt(key);
        Ok(key)
    }

    pub(crate) fn poll_attempt(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<Key>> {
        let Some(attempt) = self.attempts.get_mut(key) else { return Poll::Ready(Err(dead())) };
        let result = match (attempt.outcome, attempt.connection) {
            (None, _) => {
                attempt.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            (Some(Outcome::Connected), Some(connection)) => Ok(connection),
            (Some(Outcome::Refused), _) => Err(refused()),
            _ => Err(timed_out()),
        };
        self.attempts.remove(key);
        Poll::Ready(result)
    }

    /// Gives an attempt up.
    pub(crate) fn abandon(&mut self, key: Key) {
        if let Some(connection) = self.attempts.remove(key).and_then(|attempt| attempt.connection) {
            self.close_side(connection, 0, true);
        }
    }

    /// Sends a connection attempt on its way.
    pub(crate) fn send_attempt(&mut self, key: Key) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        attempt.tries += 1;
        if attempt.tries > ATTEMPTS {
            return self.attempt_ends(key, Outcome::TimedOut);
        }
        let (from, remote) = (attempt.owner.host, attempt.remote.ip());
        let passage = match self.host_at(from, remote) {
            Some(to) => self.links.segment(self.now, from, to, HEADERS),
            None => Passage::Lost,
        };
        match passage {
            Passage::Arrives { at, .. } => self.queue.push(at, Event::Attempt(key)),
            Passage::Lost => self.attempt_later(key),
        }
    }

    fn attempt_later(&mut self, key: Key) {
        let Some(attempt) = self.attempts.get(key) else { return };
        let wait = ATTEMPT_FIRST << attempt.tries.saturating_sub(1).min(8);
        self.queue.push(self.now + wait, Event::AttemptAgain(key));
    }

    pub(crate) fn attempt_arrives(&mut self, key: Key) {
        let Some(attempt) = self.attempts.get(key) else { return };
        let (owner, local, remote) = (attempt.owner, attempt.local, attempt.remote);
        let known = attempt.connection;
        let Some(to) = self.host_at(owner.host, remote.ip()) else { return self.attempt_later(key) };
        if !self.hosts.get(to).is_some_and(|host| host.powered) {
            return self.attempt_later(key);
        }
        let mut connection = known;
        let mut is_refused = false;
        if known.is_none() {
            let candidates = self.ports.find(Protocol::Stream, to, remote);
            let place = self.links.chance().index(candidates.len());
            match candidates.get(place).and_then(|key| Some((*key, self.listeners.get(*key)?))) {
                None => is_refused = true,
                // A full queue drops what comes; the other side tries again.
                Some((_, listener)) if listener.waiting.len() >= listener.backlog => {
                    return self.attempt_later(key);
                }
                Some((listener_key, listener)) => {
                    let made = Connection::new([(owner, local), (listener.owner, remote)]);
                    let made = self.connections.insert(made);
                    connection = Some(made);
                    if let Some(listener) = self.listeners.get_mut(listener_key) {
                        listener.waiting.push_back(made);
                        let mut waker = listener.waker.take();
                        self.wake(&mut waker);
                    }
                }
            }
        }
        if let Some(attempt) = self.attempts.get_mut(key) {
            attempt.connection = connection;
        }
        match self.links.segment(self.now, to, owner.host, HEADERS) {
            Passage::Lost => self.attempt_later(key),
            Passage::Arrives { at, .. } => {
                if let Some(connection) = connection.and_then(|key| self.connections.get_mut(key)) {
                    connection.not_before(1, at);
                }
                self.queue.push(at, Event::Answer { attempt: key, refused: is_refused });
            }
        }
    }

    pub(crate) fn answer_arrives(&mut self, key: Key, is_refused: bool) {
        self.attempt_ends(key, if is_refused { Outcome::Refused } else { Outcome::Connected });
    }

    fn attempt_ends(&mut self, key: Key, outcome: Outcome) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        attempt.outcome = Some(outcome);
        let mut waker = attempt.waker.take();
        self.wake(&mut waker);
        let kind = if outcome == Outcome::Connected { Kind::Connected } else { Kind::Refused };
        self.note(kind, key.number(), 0);
    }

    /// Ends what a process had: when its host's power goes, in silence.
    pub(crate) fn drop_connections(&mut self, owner: Owner, silent: bool) {
        for key in self.attempts.keys(|attempt| attempt.owner == owner) {
            self.attempts.remove(key);
        }
        for key in self.listeners.keys(|listener| listener.owner == owner) {
            self.close_listener(key, silent);
        }
        self.drop_sides(owner, silent);
    }
}
