//! Control flow with real tasks and timers.

use crate::harness::{Flag, Guards, Spawn, everywhere, until};
use futures_lite::future::{poll_once, yield_now};
use shroud_runtime::flow::{
    BatchOptions, Either, GaveUp, GroupError, Jitter, OneOf3, RateError, RateLimiter, RateLimits,
    RetryBudget, RetryPolicy, TaskGroup, TryPushError, batcher, first_success, join, join_all, map_bounded,
    map_unordered, retry, select, select_all, select3, try_join_all, try_map_bounded,
};
use shroud_runtime::sync::channel;
use shroud_runtime::{Backend, CancellationToken, Runtime, RuntimeExt, TaskError};
use std::future::pending;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

fn count(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("it is not zero")
}

/// The loser of a race is dropped, with the tasks and timers that it holds.
pub fn select_cancels_the_loser<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let task = rt.start("loser", guards.guard().forever::<()>());
        let winner = select(task, rt.sleep(MILLI)).await;
        assert!(matches!(winner, Either::Right(())));
        until(|| guards.live() == 0).await;
        let winner =
            select3(guards.guard().forever::<()>(), rt.sleep(Duration::from_secs(3600)), rt.sleep(MILLI))
                .await;
        assert_eq!(winner, OneOf3::Third(()));
        assert_eq!(guards.live(), 0);
        let sleeps = [3600, 3600, 0, 3600].map(|seconds| rt.sleep(Duration::from_secs(seconds)));
        assert_eq!(select_all(sleeps).await, Some((2, ())));
    });
}

/// The first success ends the others; failures are all told.
pub fn first_success_cancels_the_rest<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let tasks = (0..10_u64).map(|number| {
            let (runtime, guard) = (rt.clone(), guards.guard());
            let task = rt.start("tries", async move {
                let _guard = guard;
                match number {
                    0..5 => Err(number),
                    5 => {
                        runtime.sleep(MILLI).await;
                        Ok("won")
                    }
                    _ => pending().await,
                }
            });
            async move { task.await.expect("it ends well") }
        });
        assert_eq!(first_success(tasks).await, Ok("won"));
        until(|| guards.live() == 0).await;
        let sleeps = (0..5_u32).map(|number| {
            let sleep = rt.sleep(MILLI * (5 - number));
            async move {
                sleep.await;
                Err::<(), _>(number)
            }
        });
        assert_eq!(first_success(sleeps).await, Err(vec![0, 1, 2, 3, 4]));
    });
}

/// Joining waits for the last; a failure ends the rest.
pub fn joins_wait_for_all<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let start = rt.now();
        assert_eq!(join(rt.sleep(5 * MILLI), async { 1 }).await, ((), 1));
        let outputs = join_all((0..20_u32).map(|number| {
            let sleep = rt.sleep(MILLI * (20 - number));
            async move {
                sleep.await;
                number
            }
        }));
        assert_eq!(outputs.await, (0..20).collect::<Vec<_>>());
        assert!(rt.now() >= start + 25 * MILLI);
        let guards = Guards::default();
        let failing = (0..10).map(|number| {
            let (sleep, guard) = (rt.sleep(MILLI), guards.guard());
            async move {
                sleep.await;
                if number == 7 { Err(number) } else { guard.forever().await }
            }
        });
        assert_eq!(try_join_all(failing).await, Err::<Vec<()>, _>(7));
        assert_eq!(guards.live(), 0);
    });
}

/// Never more at a time than told, and in order when told.
pub fn maps_keep_to_their_limit<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let (runtime, held) = (&rt, &guards);
        let work = |number: u32| async move {
            let _guard = held.guard();
            assert!(held.live() <= 7);
            runtime.sleep(MILLI * (number % 4)).await;
            number
        };
        assert_eq!(map_bounded(7, 0..60, work).await, (0..60).collect::<Vec<_>>());
        let mut outputs = map_unordered(7, 0..60, work).await;
        outputs.sort_unstable();
        assert_eq!(outputs, (0..60).collect::<Vec<_>>());
        let failed = try_map_bounded(7, 0..60, |number| async move {
            let number = work(number).await;
            if number < 30 { Ok(number) } else { Err(number) }
        });
        assert_eq!(failed.await, Err(30));
        assert_eq!(guards.live(), 0);
    });
}

/// Outputs in the order of spawning from `join`, as they come from `next`; never more tasks than the limit.
pub fn a_group_gives_results_in_order<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let mut group = TaskGroup::<_, u32, ()>::new(rt.clone(), "member", count(8));
        for number in 0..100 {
            let (runtime, held) = (rt.clone(), guards.clone());
            let task = async move {
                let _guard = held.guard();
                assert!(held.live() <= 8);
                runtime.sleep(MILLI * (number % 5)).await;
                Ok(number)
            };
            group.spawn(task).await.expect("nothing fails");
            assert!(group.len() <= 8);
        }
        assert_eq!(group.join().await, Ok((0..100).collect::<Vec<_>>()));
        let mut group = TaskGroup::<_, u32, ()>::new(rt.clone(), "member", count(3));
        for number in 0..10 {
            group.spawn(async move { Ok(number) }).await.expect("nothing fails");
        }
        let mut seen = Vec::new();
        while let Some(output) = group.next().await {
            seen.push(output.expect("nothing fails"));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert!(group.is_empty());
        assert_eq!(group.join().await, Ok(Vec::new()));
    });
}

/// The first error cancels the others at once, even while the owner is elsewhere; then the group can be used again.
pub fn a_group_fails_as_one<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let mut group = TaskGroup::<_, (), &str>::new(rt.clone(), "member", count(100));
        for number in 0..50 {
            let (runtime, guard) = (rt.clone(), guards.guard());
            let task = async move {
                if number == 20 {
                    runtime.sleep(MILLI).await;
                    drop(guard);
                    Err("failed")
                } else {
                    guard.forever().await
                }
            };
            group.spawn(task).await.expect("nothing has failed yet");
        }
        // The owner does not look at the group.
        until(|| guards.live() == 0).await;
        assert_eq!(group.spawn(async { Ok(()) }).await, Err(GroupError::Failed("failed")));
        assert!(group.is_empty());
        group.spawn(async { Ok(()) }).await.expect("the group is as new");
        assert_eq!(group.next().await, Some(Ok(())));
        group.spawn(async { Err("again") }).await.expect("the group is as new");
        assert_eq!(group.join().await, Err(GroupError::Failed("again")));
    });
}

/// A panic in one task fails the group, and nothing else.
pub fn a_group_contains_panics<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let mut group = TaskGroup::<_, (), ()>::new(rt.clone(), "member", count(10));
        group.spawn(guards.guard().forever()).await.expect("nothing has failed yet");
        let sleep = rt.sleep(MILLI);
        let panics = async move {
            sleep.await;
            panic!("expected panic in a group");
        };
        group.spawn(panics).await.expect("nothing has failed yet");
        let failed = group.join().await;
        assert_eq!(
            failed,
            Err(GroupError::Task(TaskError::Panicked("expected panic in a group".to_owned())))
        );
        assert_eq!(guards.live(), 0);
    });
}

/// A group that is dropped or cancelled takes its tasks with it.
pub fn a_dropped_or_cancelled_group_ends_its_tasks<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        for drop_it in [true, false] {
            let mut group = TaskGroup::<_, (), ()>::new(rt.clone(), "member", count(10));
            for _ in 0..10 {
                group.spawn(guards.guard().forever()).await.expect("nothing fails");
            }
            // One more than the limit waits, and is not started when it gives up.
            assert!(poll_once(group.spawn(guards.guard().forever())).await.is_none());
            yield_now().await;
            assert_eq!(guards.live(), 10);
            if drop_it {
                drop(group);
                until(|| guards.live() == 0).await;
            } else {
                group.cancel();
                assert_eq!(group.join().await, Err(GroupError::Cancelled));
                assert_eq!(guards.live(), 0);
            }
        }
    });
}

/// One token ends a thousand tasks; a child's ends its own.
pub fn tokens_cancel_across_tasks<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let token = CancellationToken::new();
        let spared = token.child();
        let tasks: Vec<_> = (0..1000)
            .map(|number| {
                let child = if number % 2 == 0 { token.child() } else { spared.child() };
                rt.start("listens", async move {
                    match number % 3 {
                        0 => child.cancelled().await,
                        _ => assert_eq!(child.run_until(pending::<()>()).await, None),
                    }
                    number
                })
            })
            .collect();
        yield_now().await;
        spared.cancel();
        assert!(!token.is_cancelled());
        let (spared, others): (Vec<_>, Vec<_>) =
            tasks.into_iter().enumerate().partition(|(number, _)| number % 2 == 1);
        for (number, task) in spared {
            assert_eq!(task.await, Ok(number));
        }
        assert!(others.iter().all(|(_, task)| !task.is_finished()));
        let canceller = rt.start("cancels", async move { token.cancel() });
        for (number, task) in others {
            assert_eq!(task.await, Ok(number));
        }
        assert_eq!(canceller.await, Ok(()));
    });
}

/// Pauses double; attempts and permanent errors end it.
pub fn retries_pause_and_give_up<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let policy = RetryPolicy {
            attempts: NonZeroU32::new(4).expect("it is not zero"),
            base: 2 * MILLI,
            jitter: Jitter::None,
            ..RetryPolicy::default()
        };
        let start = rt.now();
        let failed =
            retry(&rt, &policy, None, |_| true, |attempt| async move { Err::<(), _>(attempt) }).await;
        let error = failed.expect_err("it always fails");
        assert_eq!((error.reason, error.attempts, error.last), (GaveUp::Attempts, 4, Some(4)));
        assert!(rt.now() >= start + (2 + 4 + 8) * MILLI);
        let third = retry(
            &rt,
            &policy,
            None,
            |_| true,
            |attempt| async move { if attempt == 3 { Ok("third") } else { Err(()) } },
        );
        assert_eq!(third.await, Ok("third"));
        let permanent =
            retry(&rt, &policy, None, |error| *error < 2, |attempt| async move { Err::<(), _>(attempt) });
        let error = permanent.await.expect_err("it always fails");
        assert_eq!((error.reason, error.attempts), (GaveUp::Permanent, 2));
        let jittered = RetryPolicy { jitter: Jitter::Full, ..policy };
        let failed = retry(&rt, &jittered, None, |_| true, |_| async { Err::<(), _>(()) }).await;
        assert_eq!(failed.expect_err("it always fails").attempts, 4);
    });
}

/// No pause is begun that the deadline would cut, an attempt that hangs is cut by it, and a budget bounds all retries.
pub fn retries_keep_their_deadline_and_budget<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let policy = RetryPolicy {
            base: Duration::from_secs(3600),
            cap: Duration::from_secs(3600),
            jitter: Jitter::None,
            deadline: Some(rt.now() + Duration::from_secs(600)),
            ..RetryPolicy::default()
        };
        let failed = retry(&rt, &policy, None, |_| true, |_| async { Err::<(), _>("no") }).await;
        let error = failed.expect_err("it always fails");
        assert_eq!((error.reason, error.attempts, error.last), (GaveUp::Deadline, 1, Some("no")));

        let guards = Guards::default();
        let deadline = rt.now() + 5 * MILLI;
        let policy = RetryPolicy { deadline: Some(deadline), ..policy };
        let hanging =
            retry(&rt, &policy, None, |_: &()| true, |_| guards.guard().forever::<Result<(), ()>>()).await;
        let error = hanging.expect_err("it hangs");
        assert_eq!((error.reason, error.attempts, error.last), (GaveUp::Deadline, 1, None));
        assert!(rt.now() >= deadline);
        assert_eq!(guards.live(), 0);

        let policy = RetryPolicy { base: Duration::ZERO, deadline: None, ..policy };
        let budget = RetryBudget::new(0, 4);
        let mut attempts = Vec::new();
        for _ in 0..3 {
            let failed = retry(&rt, &policy, Some(&budget), |_| true, |_| async { Err::<(), _>(()) }).await;
            let error = failed.expect_err("it always fails");
            attempts.push((error.attempts, error.reason));
        }
        assert_eq!(attempts, [(4, GaveUp::Attempts), (2, GaveUp::Budget), (1, GaveUp::Budget)]);
    });
}

/// A burst passes, the rest waits its turn in order; what can never pass is refused.
pub fn a_rate_limiter_holds_back_in_order<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let limits = RateLimits {
            count: NonZeroU32::new(1).expect("it is not zero"),
            period: 2 * MILLI,
            burst: NonZeroU32::new(5).expect("it is not zero"),
        };
        let start = rt.now();
        let limiter = RateLimiter::new(rt.clone(), limits);
        limiter.try_acquire(5).expect("the bucket is full");
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..10 {
            let (limiter, order) = (limiter.clone(), Arc::clone(&order));
            let (queued, queueing) = channel::bounded(1);
            tasks.push(rt.start("waits", async move {
                let mut acquire = Box::pin(limiter.acquire(1));
                let first = poll_once(&mut acquire).await;
                let _ = queued.send(()).await;
                match first {
                    Some(result) => result,
                    None => acquire.await,
                }
                .expect("it is its turn");
                order.lock().expect("nobody panics").push(number);
            }));
            queueing.recv().await.expect("it queues");
        }
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        assert!(rt.now() >= start + 10 * limits.period);
        let order = order.lock().expect("nobody panics").clone();
        if rt.shard().workers == 1 {
            assert_eq!(order, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(order.len(), 10);
        let never = RateError::OverBurst { cost: 6, burst: 5 };
        assert_eq!(limiter.try_acquire(6), Err(never));
        assert_eq!(limiter.acquire(6).await, Err(never));
        // One who gives up takes nothing and holds nobody up.
        let slow = RateLimits { period: Duration::from_secs(3600), burst: NonZeroU32::MIN, ..limits };
        let limiter = RateLimiter::new(rt.clone(), slow);
        limiter.try_acquire(1).expect("the bucket is full");
        assert!(rt.timeout(MILLI, limiter.acquire(1)).await.is_err());
        assert!(matches!(limiter.try_acquire(1), Err(RateError::Later(_))));
    });
}

/// A batch is complete by its size, by time, or by the end; nothing is lost or repeated, also when a wait is dropped.
pub fn batches_fill_by_size_or_time<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let options = BatchOptions { size: count(10), linger: Duration::from_secs(3600), queue: count(4) };
        let (pusher, mut batches) = batcher(rt.clone(), options);
        let pushers: Vec<_> = (0..5_u32)
            .map(|task| {
                let pusher = pusher.clone();
                rt.start("pushes", async move {
                    for number in 0..25 {
                        pusher.push(task * 25 + number).await.expect("the receiver lives");
                    }
                })
            })
            .collect();
        drop(pusher);
        let mut all = Vec::new();
        let mut sizes = Vec::new();
        loop {
            // A wait that is dropped keeps what was collected.
            let next = match poll_once(batches.next()).await {
                Some(next) => next,
                None => batches.next().await,
            };
            let Some(batch) = next else { break };
            sizes.push(batch.len());
            all.extend(batch);
        }
        all.sort_unstable();
        assert_eq!(all, (0..125).collect::<Vec<_>>());
        assert_eq!(sizes, [[10; 12].as_slice(), &[5]].concat());
        for pusher in pushers {
            assert_eq!(pusher.await, Ok(()));
        }

        let options = BatchOptions { linger: 10 * MILLI, ..options };
        let (pusher, mut batches) = batcher(rt.clone(), options);
        let start = rt.now();
        for number in 0..3 {
            pusher.push(number).await.expect("the receiver lives");
        }
        // Given up before it is due, or, on a machine that stood still, not.
        let batch = match rt.timeout(MILLI, batches.next()).await {
            Ok(batch) => batch,
            Err(_) => batches.next().await,
        };
        assert_eq!(batch, Some(vec![0, 1, 2]));
        assert!(rt.now() >= start + 10 * MILLI);

        let (pusher, mut batches) = batcher(rt.clone(), BatchOptions { linger: Duration::ZERO, ..options });
        for number in 0..3 {
            pusher.push(number).await.expect("the receiver lives");
        }
        assert_eq!(batches.next().await, Some(vec![0, 1, 2]));
        drop(pusher);
        assert_eq!(batches.next().await, None);
    });
}

/// A full queue makes pushers wait, and gives the item back to one who will not.
pub fn a_full_batcher_holds_its_pushers<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let options = BatchOptions { size: count(2), linger: Duration::ZERO, queue: count(3) };
        let (pusher, mut batches) = batcher(rt.clone(), options);
        for number in 0..3 {
            pusher.try_push(number).expect("there is room");
        }
        assert_eq!(pusher.try_push(9), Err(TryPushError::Full(9)));
        let (done, pushed) = (Flag::default(), Arc::new(AtomicUsize::new(0)));
        let (raise, counted, pushing) = (done.clone(), Arc::clone(&pushed), pusher.clone());
        let task = rt.start("pushes", async move {
            for number in 3..7 {
                pushing.push(number).await.expect("the receiver lives");
                counted.fetch_add(1, SeqCst);
            }
            raise.raise();
        });
        rt.sleep(5 * MILLI).await;
        assert!(!done.is_raised() && pushed.load(SeqCst) == 0);
        let mut all = Vec::new();
        while all.len() < 7 {
            let batch = batches.next().await.expect("there is more");
            assert!(batch.len() <= 2);
            all.extend(batch);
        }
        assert_eq!(all, (0..7).collect::<Vec<_>>());
        assert_eq!(task.await, Ok(()));
        drop(batches);
        assert_eq!(pusher.try_push(1), Err(TryPushError::Closed(1)));
        assert!(pusher.push(1).await.is_err());
    });
}
