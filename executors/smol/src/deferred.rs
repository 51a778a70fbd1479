//! Tasks that let others go first.
//!
//! smol's executor polls two hundred ready tasks before its thread looks at the reactor, so one that wakes itself would keep
//! others from hearing of their sockets. A timer of the reactor wakes it instead.

use async_io::Timer;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// So short that a thread without other work hardly waits. A timer that is due before the reactor is looked at fires only after that
/// all the same; one that is due at once does not.
const PAUSE: Duration = Duration::from_micros(2);

/// Tasks of one thread, all woken by one timer.
#[derive(Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

thread_local! {
    /// The timer is due or fired whenever nobody waits.
    static HERE: RefCell<(Arc<Waiting>, Option<Timer>)> = RefCell::default();
}

/// Wakes a task of this thread after the next look at the reactor.
pub(crate) fn wake_later(waker: &Waker) {
    let done = HERE.try_with(|here| {
        let (waiting, timer) = &mut *here.borrow_mut();
        let is_first = {
            let mut wakers = waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.push(waker.clone());
            wakers.len() == 1
        };
        if is_first {
            let all = Waker::from(Arc::clone(waiting));
            let due = Pin::new(timer.insert(Timer::after(PAUSE))).poll(&mut Context::from_waker(&all));
            if due.is_ready() {
                all.wake();
            }
        }
    });
    if done.is_err() {
        // The thread is losing its locals.
        waker.wake_by_ref();
    }
}
