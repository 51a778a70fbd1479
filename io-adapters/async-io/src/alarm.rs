//! Alarms on async-io's timers.

use async_io::Timer;
use shroud_io_readiness::{LazyAlarm, ReactorTimer};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// A re-armable timer.
pub type AsyncAlarm = LazyAlarm<AsyncTimer>;

/// A timer of async-io's reactor.
#[derive(Debug)]
pub struct AsyncTimer {
    timer: Timer,
}

impl AsyncTimer {
    pub(crate) fn new() -> Self {
        Self { timer: Timer::never() }
    }
}

impl ReactorTimer for AsyncTimer {
    fn arm(&mut self, deadline: Instant) {
        self.timer.set_at(deadline);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.timer).poll(cx).map(|_| ())
    }
}
