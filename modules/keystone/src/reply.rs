//! Replies to many callers at the price of few wakes.
//!
//! A block answers hundreds of callers at once. Waking a task of another thread costs about a hundred times what waking
//! one of the same thread does, because the thread sleeps in the kernel. So a reply is put into its caller's [`Slot`]
//! without waking anybody, the wakers are collected by shard ([`Wakes`]), and each shard is woken once: its [`Relay`]
//! task then wakes the callers on their own thread.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The place for one reply.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    /// The shard that waits, when it is not the writer's.
    relay: Option<Arc<Relay>>,
}

#[derive(Debug)]
enum State<T> {
    Open(Option<Waker>),
    Ready(T),
    Taken,
}

impl<T> Slot<T> {
    /// An empty slot and the future of its reply. `relay` is the shard that will wait for it; `None` when that is the
    /// writer's own, or a thread outside of the node.
    pub(crate) fn new(relay: Option<Arc<Relay>>) -> (Arc<Self>, Reply<T>) {
        let slot = Arc::new(Self { state: Mutex::new(State::Open(None)), relay });
        (Arc::clone(&slot), Reply(slot))
    }

    /// Puts the reply in place. The caller is woken by [`Wakes::send`]. The first reply counts.
    pub(crate) fn fill(&self, reply: T, wakes: &mut Wakes) {
        let waker = {
            let mut state = self.state();
            match &mut *state {
                State::Open(waker) => {
                    let waker = waker.take();
                    *state = State::Ready(reply);
                    waker
                }
                State::Ready(_) | State::Taken => None,
            }
        };
        if let Some(waker) = waker {
            wakes.add(waker, self.relay.as_ref());
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a [`Slot`] to be filled. Cancel safe: dropping it abandons the reply, not the work.
#[derive(Debug)]
pub(crate) struct Reply<T>(Arc<Slot<T>>);

impl<T> Future for Reply<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.state();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Ready(reply) => Poll::Ready(reply),
            State::Open(before) => {
                let waker = match before {
                    Some(waker) if waker.will_wake(cx.waker()) => waker,
                    _ => cx.waker().clone(),
                };
                *state = State::Open(Some(waker));
                Poll::Pending
            }
            State::Taken => Poll::Pending,
        }
    }
}

/// Wakers of one round of replies, by shard.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    near: Vec<Waker>,
    /// A list: there are as many as shards at most.
    far: Vec<(Arc<Relay>, Vec<Waker>)>,
}

impl Wakes {
    fn add(&mut self, waker: Waker, relay: Option<&Arc<Relay>>) {
        let Some(relay) = relay else { return self.near.push(waker) };
        match self.far.iter_mut().find(|(known, _)| Arc::ptr_eq(known, relay)) {
            Some((_, wakers)) => wakers.push(waker),
            None => self.far.push((Arc::clone(relay), vec![waker])),
        }
    }

    /// Wakes everyone added: other shards with one wake each, first, so that they start while this one goes on.
    pub(crate) fn send(&mut self) {
        for (relay, wakers) in &mut self.far {
            relay.hand_over(wakers);
        }
        self.near.drain(..).for_each(Waker::wake);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.send();
    }
}

/// One shard's end: takes wakers from the writer and wakes them there.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    inbox: Mutex<RelayInbox>,
}

#[derive(Debug, Default)]
struct RelayInbox {
    wakers: Vec<Waker>,
    task: Option<Waker>,
    /// The task is gone: wakes go to the callers directly.
    ended: bool,
}

impl Relay {
    fn inbox(&self) -> MutexGuard<'_, RelayInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(&self, wakers: &mut Vec<Waker>) {
        if wakers.is_empty() {
            return;
        }
        let task = {
            let mut inbox = self.inbox();
            if inbox.ended {
                None
            } else {
                inbox.wakers.append(wakers);
                inbox.task.take()
            }
        };
        if let Some(task) = task {
            task.wake();
        }
        // Only when the task has ended is anything left.
        wakers.drain(..).for_each(Waker::wake);
    }

    /// The relay's task: runs on its shard until it is cancelled.
    pub(crate) async fn run(self: Arc<Self>) {
        let _ended = EndOnDrop(&self);
        let mut wakers = Vec::new();
        loop {
            poll_fn(|cx| {
                let mut inbox = self.inbox();
                if inbox.wakers.is_empty() {
                    inbox.task = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut inbox.wakers, &mut wakers);
                Poll::Ready(())
            })
            .await;
            wakers.drain(..).for_each(Waker::wake);
        }
    }
}

struct EndOnDrop<'a>(&'a Relay);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let wakers = {
            let mut inbox = self.0.inbox();
            inbox.ended = true;
            std::mem::take(&mut inbox.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once, yield_now};

    #[test]
    fn a_reply_arrives_before_or_after_the_wait() {
        block_on(async {
            let (slot, reply) = Slot::new(None);
            slot.fill(1, &mut Wakes::default());
            slot.fill(2, &mut Wakes::default());
            assert_eq!(reply.await, 1);

            let (slot, mut reply) = Slot::new(None);
            assert_eq!(poll_once(&mut reply).await, None);
            slot.fill(3, &mut Wakes::default());
            assert_eq!(reply.await, 3);
        });
    }

    #[test]
    fn a_relay_wakes_many_for_one_wake_and_leaves_none_behind() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let relay = Arc::new(Relay::default());
        let (task, callers) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (task_waker, caller_waker) = (Waker::from(Arc::clone(&task)), Waker::from(Arc::clone(&callers)));
        let mut running = Box::pin(Arc::clone(&relay).run());
        assert!(running.as_mut().poll(&mut Context::from_waker(&task_waker)).is_pending());

        let fill = |count: usize| {
            let mut wakes = Wakes::default();
            let replies: Vec<_> = (0..count)
                .map(|number| {
                    let (slot, mut reply) = Slot::new(Some(Arc::clone(&relay)));
                    assert!(Pin::new(&mut reply).poll(&mut Context::from_waker(&caller_waker)).is_pending());
                    slot.fill(number, &mut wakes);
                    reply
                })
                .collect();
            drop(wakes);
            replies
        };
        let replies = fill(100);
        assert_eq!((task.0.load(Ordering::SeqCst), callers.0.load(Ordering::SeqCst)), (1, 0));
        assert!(running.as_mut().poll(&mut Context::from_waker(&task_waker)).is_pending());
        assert_eq!(callers.0.load(Ordering::SeqCst), 100);
        block_on(async {
            for (number, reply) in replies.into_iter().enumerate() {
                assert_eq!(reply.await, number);
            }
        });

        let left = fill(3);
        drop(running);
        assert_eq!(callers.0.load(Ordering::SeqCst), 103);
        drop(left);
        drop(fill(2));
        assert_eq!(callers.0.load(Ordering::SeqCst), 105);
        block_on(yield_now());
    }
}
