//! Timers: order, never early, re-arming, timeout, interval.

use crate::harness::{Flag, Guards, Spawn, alone, everywhere};
use futures_lite::future::{poll_once, yield_now};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shroud_runtime::time::{Elapsed, MissedTicks};
use shroud_runtime::{Alarm, Backend, Runtime, RuntimeExt};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

/// Waits for an alarm.
async fn fired(alarm: &mut impl Alarm) {
    poll_fn(|cx| alarm.poll_fired(cx)).await;
}

/// Whether an alarm has fired by now.
async fn has_fired(alarm: &mut impl Alarm) -> bool {
    poll_once(fired(alarm)).await.is_some()
}

/// Sleeps that are told apart by 4 ms end in the order of their deadlines, none before its own.
pub fn fire_in_order_and_never_early<B: Backend>(backend: &B) {
    const SLEEPS: u32 = 50;
    alone(backend, |rt| async move {
        let mut head_start = 50 * MILLI;
        loop {
            let start = rt.now() + head_start;
            // Armed in an order that is not the deadlines'.
            let mut sleeps: FuturesUnordered<_> = (0..SLEEPS)
                .map(|number| number * 7 % SLEEPS)
                .map(|place| {
                    let sleep = rt.sleep_until(start + place * 4 * MILLI);
                    async move {
                        let deadline = sleep.deadline();
                        sleep.await;
                        (place, deadline)
                    }
                })
                .collect();
            let first = poll_once(sleeps.next()).await;
            if first.is_some() || rt.now() >= start {
                // The machine was too slow to arm them all in time: no order to see.
                head_start *= 2;
                continue;
            }
            let mut order = Vec::new();
            while let Some((place, deadline)) = sleeps.next().await {
                assert!(rt.now() >= deadline, "sleep {place} ended early");
                order.push(place);
            }
            assert_eq!(order, (0..SLEEPS).collect::<Vec<_>>());
            return;
        }
    });
}

/// As many sleeping tasks all wake, none early.
pub fn ten_thousand_sleepers_wake<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let tasks: Vec<_> = (0..5_000_u32)
            .map(|number| {
                let runtime = rt.clone();
                rt.start("sleeper", async move {
                    let deadline = runtime.now() + MILLI * (number % 100);
                    runtime.sleep_until(deadline).await;
                    assert!(runtime.now() >= deadline);
                    // And once more, so that timers are made and ended in between.
                    runtime.sleep(MILLI).await;
                    assert!(runtime.now() >= deadline + MILLI);
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
    });
}

/// Alarms that are moved to and fro by many busy tasks fire when last told, never early.
pub fn alarms_are_re_armed_under_load<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let stop = Flag::default();
        let stopped = stop.clone();
        let load = rt.start("load", async move {
            while !stopped.is_raised() {
                yield_now().await;
            }
        });
        let tasks: Vec<_> = (0..200_u32)
            .map(|number| {
                let runtime = rt.clone();
                rt.start("alarm", async move {
                    let mut alarm = runtime.alarm();
                    for round in 0..10_u32 {
                        let now = runtime.now();
                        alarm.set(Some(now + Duration::from_secs(3600)));
                        let _ = has_fired(&mut alarm).await;
                        alarm.set(Some(now + MILLI));
                        let _ = has_fired(&mut alarm).await;
                        let deadline = runtime.now() + MILLI * ((number + round) % 7);
                        alarm.set(Some(deadline));
                        fired(&mut alarm).await;
                        assert!(runtime.now() >= deadline);
                    }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        stop.raise();
        assert_eq!(load.await, Ok(()));
    });
}

/// A deadline may be brought forward and put off, polled in between or not.
pub fn an_alarm_moves_earlier_and_later<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for polled in [true, false] {
            let mut alarm = rt.alarm();
            let start = rt.now();
            alarm.set(Some(start + Duration::from_secs(3600)));
            if polled {
                assert!(!has_fired(&mut alarm).await);
            }
            alarm.set(Some(start + 5 * MILLI));
            fired(&mut alarm).await;
            assert!(rt.now() >= start + 5 * MILLI);

            let start = rt.now();
            alarm.set(Some(start + 5 * MILLI));
            if polled {
                let _ = has_fired(&mut alarm).await;
            }
            alarm.set(Some(start + 40 * MILLI));
            if polled {
                let _ = has_fired(&mut alarm).await;
            }
            fired(&mut alarm).await;
            assert!(rt.now() >= start + 40 * MILLI, "the earlier deadline no longer counts");
        }
    });
}

/// A disarmed alarm stays silent, and can be armed again.
pub fn an_alarm_is_disarmed<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let mut alarm = rt.alarm();
        assert!(!has_fired(&mut alarm).await, "an alarm starts out disarmed");
        alarm.set(Some(rt.now() + 5 * MILLI));
        let _ = has_fired(&mut alarm).await;
        alarm.set(None);
        rt.sleep(20 * MILLI).await;
        assert!(!has_fired(&mut alarm).await);
        let deadline = rt.now() + 5 * MILLI;
        alarm.set(Some(deadline));
        fired(&mut alarm).await;
        assert!(rt.now() >= deadline);
    });
}

/// A deadline in the past is due, once.
pub fn a_past_deadline_fires_at_once_and_once<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        rt.sleep(MILLI).await;
        let mut alarm = rt.alarm();
        let now = rt.now();
        alarm.set(now.checked_sub(MILLI).or(Some(now)));
        fired(&mut alarm).await;
        assert!(!has_fired(&mut alarm).await, "it fires once");
        assert!(
            poll_once(rt.sleep(Duration::ZERO)).await.is_some()
                || rt.timeout(60_000 * MILLI, rt.sleep(Duration::ZERO)).await.is_ok()
        );
    });
}

/// An alarm wakes the task that polled it last, when it has moved from one to another.
pub fn an_alarm_follows_its_task<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let mut alarm = rt.alarm();
        let deadline = rt.now() + 20 * MILLI;
        alarm.set(Some(deadline));
        assert!(!has_fired(&mut alarm).await || rt.now() >= deadline);
        alarm.set(Some(deadline));
        let moved = rt.start("next owner", async move { fired(&mut alarm).await });
        assert_eq!(moved.await, Ok(()));
        assert!(rt.now() >= deadline);
    });
}

/// Sleeping for ages is pending, not an error.
pub fn the_far_future_is_no_overflow<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        for ages in [century, Duration::from_secs(u64::MAX / 4), Duration::MAX] {
            let mut sleep = pin!(rt.sleep(ages));
            assert!(poll_once(sleep.as_mut()).await.is_none());
            rt.sleep(MILLI).await;
            assert!(poll_once(sleep.as_mut()).await.is_none());
            assert_eq!(rt.timeout(ages, async { 1 }).await, Ok(1));
        }
    });
}

/// A timeout drops work that is late; work that is done counts, even at the deadline.
pub fn a_timeout_drops_what_is_late_and_keeps_what_is_done<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let start = rt.now();
        let late = rt.timeout(5 * MILLI, guards.guard().forever::<()>()).await;
        assert_eq!(late, Err(Elapsed));
        assert!(rt.now() >= start + 5 * MILLI);
        assert_eq!(guards.live(), 0);
        assert_eq!(rt.timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let sleep = rt.sleep(MILLI);
        assert_eq!(rt.timeout(Duration::from_secs(3600), sleep).await, Ok(()));
    });
}

/// Missed ticks come in a burst, are skipped, or delay those after them.
pub fn intervals_treat_missed_ticks_as_told<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let period = 10 * MILLI;
        for missed in [MissedTicks::Burst, MissedTicks::Skip, MissedTicks::Delay] {
            let mut interval = rt.interval(period, missed);
            let first = interval.tick().await;
            assert!(rt.now() >= first);
            let mut before = (interval.tick().await, first);
            assert!(before.0 >= first + period);
            rt.sleep(45 * MILLI).await;
            for late in [true, false, false, false] {
                let asked = rt.now();
                let due = interval.tick().await;
                assert!(rt.now() >= due);
                match missed {
                    MissedTicks::Burst => assert_eq!(due, before.0 + period),
                    MissedTicks::Skip => {
                        assert_eq!((due - first).as_nanos() % period.as_nanos(), 0, "ticks keep their phase");
                        assert!(late || due > before.1, "ticks that were over are skipped");
                    }
                    _ => assert!(late || due >= before.1 + period, "a new phase begins with a late tick"),
                }
                before = (due, asked);
            }
        }
    });
}

/// A combinator polls its parts by wakers of its own, within one long poll of the task: none of them may miss its time.
pub fn sleeps_in_one_long_poll_are_not_missed<B: Backend>(backend: &B) {
    alone(backend, |rt| async move {
        for _ in 0..20 {
            let mut sleeps: FuturesUnordered<_> = (1..=8).map(|millis| rt.sleep(MILLI * millis)).collect();
            poll_fn(|cx| {
                // All are armed; then this poll goes on until all are due. On a machine that stood still, one may be by now.
                let _ = sleeps.poll_next_unpin(cx);
                let start = rt.now();
                // Bounded, since a simulated clock stands still meanwhile.
                let mut spins = 0_u32;
                while rt.now() < start + MILLI * 10 && spins < 2_000_000 {
                    spins += 1;
                    std::hint::spin_loop();
                }
                Poll::Ready(())
            })
            .await;
            while sleeps.next().await.is_some() {}
        }
    });
}
