//! What the parts of one connection tell each other.

use super::super::info::ConnectionInfo;
use super::super::metrics::Stripe;
use super::date::DateCache;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// No request's body is awaited.
const NO_BODY: u8 = 0;
/// A body is being received.
const OPEN: u8 = 1;
/// It is being received and should have been by now.
const OVERDUE: u8 = 2;
/// Nobody wants the rest of it.
const ABANDONED: u8 = 3;

/// What the parts of one connection tell each other: the link sees bytes, the service sees requests, bodies see their
/// end, the watch reads it all. They run in one task (a body may have moved to another, and then is told a little
/// later), so the order of the stores does not matter.
#[derive(Debug)]
pub(crate) struct Activity {
    info: ConnectionInfo,
    busy: AtomicBool,
    head_begun: AtomicBool,
    ambiguous: AtomicBool,
    ended: AtomicBool,
    body: AtomicU8,
    requests: AtomicU64,
    stripe: Arc<Stripe>,
    date: Mutex<DateCache>,
}

impl Activity {
    pub(crate) fn new(info: impl Into<ConnectionInfo>, stripe: Arc<Stripe>) -> Self {
        Self {
            info: info.into(),
            busy: AtomicBool::new(false),
            head_begun: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            body: AtomicU8::new(NO_BODY),
            requests: AtomicU64::new(0),
            stripe,
            date: Mutex::new(DateCache::default()),
        }
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.info.peer
    }

    pub(crate) fn stripe(&self) -> &Stripe {
        &self.stripe
    }

    /// Where the `Date` of its responses comes from.
    pub(crate) fn dates(&self) -> &Mutex<DateCache> {
        &self.date
    }

    /// The peer will send no more.
    pub(crate) fn input_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(crate) fn has_input_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Bytes of a request's header came in.
    pub(crate) fn head_bytes(&self, ambiguous: bool) {
        self.head_begun.store(true, Relaxed);
        if ambiguous {
            self.ambiguous.store(true, Relaxed);
        }
    }

    pub(crate) fn has_head_begun(&self) -> bool {
        self.head_begun.load(Relaxed)
    }

    /// A request's header is complete. Says whether it could be read in two ways.
    pub(crate) fn request_begun(&self, with_body: bool) -> bool {
        self.busy.store(true, Relaxed);
        self.head_begun.store(false, Relaxed);
        self.body.store(if with_body { OPEN } else { NO_BODY }, Relaxed);
        self.requests.store(self.requests.load(Relaxed).wrapping_add(1), Relaxed);
        self.ambiguous.swap(false, Relaxed)
    }

    /// Its response was handed over, or never will be.
    pub(crate) fn request_ended(&self) {
        self.busy.store(false, Relaxed);
    }

    /// Whether a request is in work.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn body_received(&self) {
        self.body.store(NO_BODY, Relaxed);
    }

    pub(crate) fn body_dropped(&self) {
        if self.awaits_body() {
            self.body.store(ABANDONED, Relaxed);
        }
    }

    /// Its time is over.
    pub(crate) fn body_is_overdue(&self) {
        if self.awaits_body() {
            self.body.store(OVERDUE, Relaxed);
        }
    }

    pub(crate) fn body_overdue(&self) -> bool {
        self.body.load(Relaxed) == OVERDUE
    }

    pub(crate) fn awaits_body(&self) -> bool {
        matches!(self.body.load(Relaxed), OPEN | OVERDUE)
    }

    /// Whether some of the request's body may still come, so that the connection cannot be used again.
    pub(crate) fn is_body_unread(&self) -> bool {
        self.body.load(Relaxed) != NO_BODY
    }
}
