//! The time limits of an HTTP/2 connection, on one alarm. Those of its streams are in `streams` and in their bodies.

use super::super::super::limits::Limits;
use shroud_runtime::Alarm;
use std::task::Context;
use std::time::{Duration, Instant};

/// After an idle connection was told to go, how long it may take to do so.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What the connection's task has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before the alarm.
    Nothing,
    /// There has been no stream for long: say goodbye (GOAWAY).
    Idle,
    /// It was told to go and has not: drop it.
    Gone,
    /// The client has not even sent its connection preface: drop the connection.
    Preface,
    /// The client takes nothing: drop the connection.
    Stuck,
    /// The client resets what it has asked for, again and again: drop the connection.
    Resets,
}

/// When each phase that is timed began.
#[derive(Debug)]
pub(super) struct Watch<A> {
    alarm: A,
    armed: Option<Instant>,
    opening: Option<Instant>,
    idle: Option<Instant>,
    closing: Option<Instant>,
    writing: Option<(Instant, u64)>,
}

impl<A: Alarm> Watch<A> {
    pub(super) fn new(alarm: A, now: Instant) -> Self {
        Self { alarm, armed: None, opening: Some(now), idle: Some(now), closing: None, writing: None }
    }

    /// To be called after each poll of the connection: says what is due and arms the alarm for what comes next. The
    /// client's preface is there, or not; `sent` bytes have been taken by the socket so far; it is `blocked` when it takes no
    /// more.
    pub(super) fn check(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        limits: &Limits,
        idle: bool,
        has_preface: bool,
        (sent, blocked): (u64, bool),
    ) -> Due {
        self.opening = self.opening.filter(|_| !has_preface);
        self.idle = idle.then(|| self.idle.unwrap_or(now));
        self.writing = match self.writing {
            Some((since, at)) if blocked && at == sent => Some((since, at)),
            _ => blocked.then_some((now, sent)),
        };
        let closing = self.closing.map(|since| (since + CLOSE_TIME, Due::Gone));
        let idle = self.idle.map(|since| (since + limits.idle_time, Due::Idle));
        let writing = self.writing.map(|(since, _)| (since + limits.write_time, Due::Stuck));
        let opening = self.opening.map(|since| (since + limits.header_time, Due::Preface));
        let first =
            [opening, closing.or(idle), writing].into_iter().flatten().min_by_key(|(deadline, _)| *deadline);
        let Some((deadline, due)) = first else { return Due::Nothing };
        if now >= deadline {
            if due == Due::Idle {
                self.closing = Some(now);
            }
            return due;
        }
        if self.armed.is_none_or(|at| at <= now || at > deadline) {
            self.alarm.set(Some(deadline));
            self.armed = Some(deadline);
        }
        // With every poll of the task: an alarm may wake it early to arm its own timer anew.
        if self.alarm.poll_fired(cx).is_ready() {
            self.armed = None;
            cx.waker().wake_by_ref();
        }
        Due::Nothing
    }
}
