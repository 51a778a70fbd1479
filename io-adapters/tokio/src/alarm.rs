//! Alarms on Tokio's timer wheel.

use shroud_io_readiness::{LazyAlarm, ReactorTimer};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

/// A re-armable timer.
pub type TokioAlarm = LazyAlarm<TokioTimer>;

/// A timer of Tokio's wheel, made when it is first armed.
#[derive(Debug)]
pub struct TokioTimer {
    handle: Handle,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TokioTimer {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, sleep: None }
    }
}

impl ReactorTimer for TokioTimer {
    fn arm(&mut self, deadline: Instant) {
        let deadline = tokio::time::Instant::from_std(deadline);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => {
                // Only where the timer is made does Tokio look for its runtime.
                let _runtime = self.handle.enter();
                self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline)));
            }
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            // Outside of Tokio's cooperative budget: a timer that is pending for want of it would not know whom to wake.
            Some(sleep) => pin!(unconstrained(sleep.as_mut())).poll(cx),
            None => Poll::Pending,
        }
    }
}
