//! An alarm that touches its reactor's timer as rarely as it can.

use shroud_runtime::Alarm;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A reactor's own re-armable timer.
pub trait ReactorTimer: Send + Sync + Unpin + 'static {
    /// Arms the timer for `deadline`, replacing any earlier one.
    fn arm(&mut self, deadline: Instant);

    /// Ready once at or after the deadline. Not called before [`ReactorTimer::arm`].
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Sets its timer only when it is polled, and moves it only to an earlier time: protocol deadlines mostly move later,
/// and a timer that goes off too early is set again then, once for any number of moves.
#[derive(Debug)]
pub struct LazyAlarm<T> {
    timer: T,
    /// What the timer is set to, while it is.
    armed: Option<Instant>,
    deadline: Option<Instant>,
}

impl<T: ReactorTimer> LazyAlarm<T> {
    /// An alarm on `timer`, disarmed.
    pub fn new(timer: T) -> Self {
        Self { timer, armed: None, deadline: None }
    }
}

impl<T: ReactorTimer> Alarm for LazyAlarm<T> {
    fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        while Instant::now() < deadline {
            if self.armed.is_none_or(|armed| armed > deadline) {
                self.timer.arm(deadline);
                self.armed = Some(deadline);
            }
            ready!(self.timer.poll_expired(cx));
            self.armed = None;
        }
        self.deadline = None;
        Poll::Ready(())
    }
}

/// Runs `work` for at most `limit`, then drops it and says `TimedOut`. Exactly as cancel safe as `work`.
///
/// # Errors
/// Those of `work`, and `TimedOut`.
pub async fn within<T>(
    limit: Option<Duration>,
    mut alarm: impl Alarm,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    alarm.set(limit.and_then(|limit| Instant::now().checked_add(limit)));
    let mut work = pin!(work);
    poll_fn(|cx| {
        // The work first: a result that is ready at the deadline counts.
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        alarm.poll_fired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
