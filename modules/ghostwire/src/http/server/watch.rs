//! The time limits of one connection, on one alarm.
//!
//! The alarm is armed for the deadline that is due first and not moved when deadlines recede, as they do with every
//! request: it fires early, at most once in the shortest limit, and is then armed for what is due. A busy connection
//! costs no timer operation per request.

use super::super::limits::Limits;
use super::activity::Activity;
use shroud_runtime::Alarm;
use std::task::Context;
use std::time::{Duration, Instant};

/// After a body was found overdue, how long its request may take to be answered.
const BODY_GRACE: Duration = Duration::from_secs(5);

/// What the connection's task has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before the alarm.
    Nothing,
    /// No request came in time: close.
    Idle,
    /// A request's header did not arrive in time: 408, close.
    Header,
    /// A request's body did not arrive in time; it now says so: poll again.
    Body,
    /// The client takes nothing, or a request with an overdue body was not answered: drop the connection.
    Stuck,
}

/// When each phase that is timed began.
#[derive(Debug)]
pub(crate) struct Watch<A> {
    alarm: A,
    armed: Option<Instant>,
    requests: u64,
    busy: bool,
    sent: u64,
    idle: Instant,
    header: Option<Instant>,
    body: Option<Instant>,
    overdue: Option<Instant>,
    writing: Option<(Instant, u64)>,
}

impl<A: Alarm> Watch<A> {
    pub(crate) fn new(alarm: A, now: Instant) -> Self {
        Self {
            alarm,
            armed: None,
            requests: 0,
            busy: false,
            sent: 0,
            idle: now,
            header: None,
            body: None,
            overdue: None,
            writing: None,
        }
    }

    /// To be called after each poll of the connection: says what is due and arms the alarm for what comes next.
    pub(crate) fn check(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        limits: &Limits,
        activity: &Activity,
        (sent, blocked): (u64, bool),
    ) -> Due {
        self.observe(now, activity, sent, blocked);
        let (deadline, due) = self.next(limits, activity);
        if now >= deadline {
            if due == Due::Body {
                activity.body_is_overdue();
                self.body = None;
                self.overdue = Some(now);
            }
            return due;
        }
        self.arm(cx, now, deadline);
        Due::Nothing
    }

    fn observe(&mut self, now: Instant, activity: &Activity, sent: u64, blocked: bool) {
        let busy = activity.is_busy();
        if self.requests != activity.requests() {
            self.requests = activity.requests();
            (self.idle, self.header, self.body, self.overdue) = (now, None, None, None);
        }
        // A response that hyper has taken over may be on its way for long; that is not idling.
        if busy || self.busy || self.sent != sent || blocked {
            self.idle = now;
        }
        (self.busy, self.sent) = (busy, sent);
        self.header = (!busy && activity.has_head_begun()).then(|| self.header.unwrap_or(now));
        let receiving = busy && self.overdue.is_none() && activity.awaits_body();
        self.body = receiving.then(|| self.body.unwrap_or(now));
        self.writing = match self.writing {
            Some((since, at)) if blocked && at == sent => Some((since, at)),
            _ => blocked.then_some((now, sent)),
        };
    }

    /// The first deadline and what it means. A request in work has none of its own.
    fn next(&self, limits: &Limits, activity: &Activity) -> (Instant, Due) {
        let idle = match self.header {
            Some(since) => (since + limits.header_time, Due::Header),
            None => (self.idle + limits.idle_time, Due::Idle),
        };
        let writing = self.writing.map(|(since, _)| (since + limits.write_time, Due::Stuck));
        let body = self.body.map(|since| (since + limits.body_time, Due::Body));
        let overdue = self.overdue.map(|since| (since + BODY_GRACE, Due::Stuck));
        // While busy, `idle` is only a time at which to look again.
        let idle = if activity.is_busy() { (idle.0, Due::Nothing) } else { idle };
        [writing, body, overdue]
            .into_iter()
            .flatten()
            .fold(idle, |first, other| if other.0 < first.0 { other } else { first })
    }

    fn arm(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Instant) {
        if self.armed.is_none_or(|at| at <= now || at > deadline) {
            self.alarm.set(Some(deadline));
            self.armed = Some(deadline);
        }
        // With every poll of the task: an alarm may wake it early to arm its own timer anew.
        if self.alarm.poll_fired(cx).is_ready() {
            // The clock went past the deadline in between: look again at once.
            self.armed = None;
            cx.waker().wake_by_ref();
        }
    }
}
