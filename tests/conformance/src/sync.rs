//! Channels, locks and notification across tasks and shards.

use crate::harness::{Spawn, everywhere};
use futures_lite::future::yield_now;
use shroud_runtime::sync::broadcast::{self, RecvError};
use shroud_runtime::sync::{Mutex, Notify, Semaphore, channel, watch};
use shroud_runtime::{Backend, Runtime};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Two tasks wake each other by notification alone.
pub fn notifications_wake_across_tasks<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let pair = Arc::new((Notify::new(), Notify::new()));
        let other = Arc::clone(&pair);
        let task = rt.start("other", async move {
            for _ in 0..1000 {
                other.0.notified().await;
                other.1.notify_one();
            }
        });
        for _ in 0..1000 {
            pair.0.notify_one();
            pair.1.notified().await;
        }
        assert_eq!(task.await, Ok(()));
        let ready = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (pair, ready) = (Arc::clone(&pair), Arc::clone(&ready));
                rt.start("waits", async move {
                    let notified = pair.0.notified();
                    ready.fetch_add(1, SeqCst);
                    notified.await;
                })
            })
            .collect();
        while ready.load(SeqCst) < 50 {
            yield_now().await;
        }
        pair.0.notify_all();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
    });
}

/// Every receiver on every shard gets every value in order, or is told how many it missed.
pub fn broadcast_reaches_every_task<B: Backend>(backend: &B) {
    const VALUES: u64 = 5000;
    let (sender, first) = broadcast::channel(NonZeroUsize::new(64).expect("it is not zero"));
    // Known before anything is sent.
    let ready = Arc::new(AtomicUsize::new(0));
    let sender = Arc::new(Mutex::new(Some(sender)));
    everywhere(backend, move |rt| {
        let (first, ready, sender) = (first.clone(), Arc::clone(&ready), Arc::clone(&sender));
        async move {
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let mut receiver = first.clone();
                    rt.start("receives", async move {
                        let mut next = 0;
                        loop {
                            match receiver.recv().await {
                                Ok(value) => {
                                    assert_eq!(value, next);
                                    next += 1;
                                }
                                Err(RecvError::Lagged(missed)) => next += missed,
                                Err(_) => return next,
                            }
                        }
                    })
                })
                .collect();
            ready.fetch_add(1, SeqCst);
            while ready.load(SeqCst) < rt.shard().count {
                yield_now().await;
            }
            if rt.shard().index == 0
                && let Some(sender) = sender.lock().await.take()
            {
                for value in 0..VALUES {
                    sender.send(value).expect("there are receivers");
                    if value % 50 == 0 {
                        yield_now().await;
                    }
                }
            }
            for task in tasks {
                assert_eq!(task.await, Ok(VALUES));
            }
        }
    });
}

/// Whoever watches sees values that only grow, and the last one.
pub fn watch_shows_the_latest<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (sender, receiver) = watch::channel(0);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let mut receiver = receiver.clone();
                rt.start("watches", async move {
                    let mut last = receiver.get();
                    while receiver.changed().await.is_ok() {
                        let value = receiver.get();
                        assert!(value > last);
                        last = value;
                    }
                    last
                })
            })
            .collect();
        for value in 1..=1000 {
            sender.send(value);
            if value % 10 == 0 {
                yield_now().await;
            }
        }
        drop(sender);
        for task in tasks {
            assert_eq!(task.await, Ok(1000));
        }
    });
}

/// A mutex admits one, a semaphore as many as it has permits, a bounded channel holds what it may.
pub fn locks_exclude_across_tasks<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let count = Arc::new(Mutex::new(0));
        let permits = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = channel::bounded(4);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (count, permits, inside, sender) =
                    (Arc::clone(&count), Arc::clone(&permits), Arc::clone(&inside), sender.clone());
                rt.start("contends", async move {
                    for _ in 0..50 {
                        let mut held = count.lock().await;
                        let seen = *held;
                        yield_now().await;
                        *held = seen + 1;
                        drop(held);
                        let permit = permits.acquire().await;
                        assert!(inside.fetch_add(1, SeqCst) < 3);
                        yield_now().await;
                        inside.fetch_sub(1, SeqCst);
                        drop(permit);
                        sender.send(()).await.expect("the receiver lives");
                        assert!(sender.len() <= 4);
                    }
                })
            })
            .collect();
        for _ in 0..1000 {
            assert_eq!(receiver.recv().await, Ok(()));
        }
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        assert_eq!(*count.lock().await, 1000);
    });
}
