//! Tasks: spawn, cancel, detach, the tree, panics, statistics.

use crate::harness::{Flag, Guards, Spawn, alone, everywhere, loopback, until};
use futures_lite::future::yield_now;
use futures_util::stream::FuturesUnordered;
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt as _, StreamExt as _};
use shroud_runtime::flow::join;
use shroud_runtime::net::{DatagramExt, ListenerExt};
use shroud_runtime::sync::{channel, oneshot};
use shroud_runtime::task::{BLOCKING_POLL, give_way, poll_budget, poll_long};
use shroud_runtime::{
    Backend, Class, ConnectOptions, Datagram, DatagramOptions, ListenOptions, Listener, Runtime, RuntimeExt,
    Task, TaskError, Topology,
};
use std::future::{Future as _, pending, poll_fn};
use std::io::IoSlice;
use std::mem::replace;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// 10,000 tasks: a third ends by itself, a third is cancelled and joined, a third loses its handle.
pub fn ten_thousand_spawned_cancelled_and_joined<B: Backend>(backend: &B) {
    const TASKS: usize = 10_000;
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let mut to_join = Vec::new();
        let mut to_cancel = Vec::new();
        for number in 0..TASKS {
            let guard = guards.guard();
            match number % 3 {
                0 => to_join.push(rt.start("ends", async move {
                    yield_now().await;
                    drop(guard);
                    number
                })),
                1 => to_cancel.push(rt.start("is cancelled", guard.forever::<()>())),
                _ => drop(rt.start("loses its handle", guard.forever::<()>())),
            }
            if number % 1000 == 0 {
                yield_now().await;
            }
        }
        for (place, task) in to_join.into_iter().enumerate() {
            assert_eq!(task.await, Ok(place * 3));
        }
        for task in to_cancel {
            assert_eq!(task.cancel().await, Err(TaskError::Cancelled));
        }
        until(|| guards.live() == 0).await;
        until(|| rt.tree().live() == 1).await;
        let kinds = rt.tree().kinds();
        let kind =
            |name: &str| kinds.iter().find(|kind| kind.name == name).expect("the kind was counted").clone();
        assert_eq!(kind("ends").completed, 3334);
        assert_eq!(kind("is cancelled").cancelled, 3333);
        assert_eq!(kind("loses its handle").cancelled, 3333);
    });
}

/// A handle that is dropped takes its task with it.
pub fn dropping_a_handle_cancels<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (sender, receiver) = oneshot::channel::<()>();
        let (started, starting) = oneshot::channel();
        let task = rt.start("held", async move {
            let _ = started.send(());
            pending::<()>().await;
            drop(sender);
        });
        starting.await.expect("it starts");
        drop(task);
        assert!(receiver.await.is_err(), "its body was dropped");
    });
}

/// A detached task goes on without a handle.
pub fn a_detached_task_runs_on<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (sender, receiver) = oneshot::channel();
        let runtime = rt.clone();
        rt.start("detached", async move {
            runtime.sleep(Duration::from_millis(5)).await;
            let _ = sender.send(7);
        })
        .detach();
        assert_eq!(receiver.await, Ok(7));
    });
}

/// When a task's body ends, its children are cancelled; its handle is ready only when they have ended.
pub fn children_end_with_their_parent<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let (inner, held) = (rt.clone(), guards.clone());
        let parent = rt.start("parent", async move {
            for _ in 0..10 {
                let (innermost, guard, below) = (inner.clone(), held.guard(), held.guard());
                inner
                    .start("child", async move {
                        innermost.start("grandchild", below.forever::<()>()).detach();
                        guard.forever::<()>().await;
                    })
                    .detach();
            }
            yield_now().await;
            "done"
        });
        assert_eq!(parent.await, Ok("done"));
        assert_eq!(guards.live(), 0);
        assert_eq!(rt.tree().live(), 1);
    });
}

/// Cancelling the top of a chain of 200 tasks ends all of them.
pub fn a_deep_tree_ends_from_its_root<B: Backend>(backend: &B) {
    const DEPTH: usize = 200;

    fn nest<R: Runtime>(rt: R, guards: Guards, left: usize, ready: channel::Sender<()>) -> Task<()> {
        rt.clone().start("link", async move {
            let _guard = guards.guard();
            let below = match left {
                0 => {
                    let _ = ready.send(()).await;
                    None
                }
                _ => Some(nest(rt, guards, left - 1, ready)),
            };
            pending::<()>().await;
            drop(below);
        })
    }

    everywhere(backend, |rt| async move {
        let guards = Guards::default();
        let (ready, started) = channel::bounded(1);
        let top = nest(rt.clone(), guards.clone(), DEPTH, ready);
        started.recv().await.expect("the last link starts");
        assert_eq!(guards.live(), DEPTH + 1);
        assert_eq!(rt.tree().tasks().iter().map(|task| task.depth).max(), Some(DEPTH + 1));
        assert_eq!(top.cancel().await, Err(TaskError::Cancelled));
        assert_eq!(guards.live(), 0);
        assert_eq!(rt.tree().live(), 1);
    });
}

/// A body is dropped by the executor, on its own thread in a per-core topology, whoever cancels it.
pub fn a_body_is_dropped_where_it_was_polled<B: Backend>(backend: &B) {
    struct TellsThread(channel::Sender<ThreadId>);
    impl Drop for TellsThread {
        fn drop(&mut self) {
            let _ = self.0.try_send(thread::current().id());
        }
    }

    everywhere(backend, |rt| async move {
        for give_up in [true, false] {
            let (sender, dropped_on) = channel::bounded(1);
            let (started, starting) = oneshot::channel();
            let task = rt.start("moved about", async move {
                let _tells = TellsThread(sender);
                let _ = started.send(thread::current().id());
                pending::<()>().await;
            });
            let polled_on = starting.await.expect("it starts");
            let foreign = thread::spawn(move || {
                if give_up {
                    drop(task);
                    None
                } else {
                    task.request_cancel();
                    Some(task)
                }
            });
            let foreign_id = foreign.thread().id();
            let task = foreign.join().expect("the thread ends");
            let dropped = dropped_on.recv().await.expect("the body is dropped");
            assert_ne!(dropped, foreign_id);
            if rt.shard().topology == Topology::PerCore {
                assert_eq!(dropped, polled_on);
            }
            if let Some(task) = task {
                assert_eq!(task.await, Err(TaskError::Cancelled));
            }
        }
    });
}

/// Locals go in reverse order, then the handle is ready.
pub fn a_body_is_dropped_before_its_handle_is_ready<B: Backend>(backend: &B) {
    struct Notes(u8, mpsc::Sender<u8>);
    impl Drop for Notes {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }

    everywhere(backend, |rt| async move {
        for cancel in [false, true] {
            let (sender, notes) = mpsc::channel();
            let (started, starting) = oneshot::channel();
            let task = rt.start("notes", async move {
                let _first = Notes(1, sender.clone());
                let _second = Notes(2, sender);
                let _ = started.send(());
                match cancel {
                    true => pending::<()>().await,
                    false => yield_now().await,
                }
            });
            starting.await.expect("it starts");
            let ended = if cancel { task.cancel().await } else { task.await };
            assert_eq!(ended.is_err(), cancel);
            assert_eq!(notes.try_iter().collect::<Vec<_>>(), [2, 1]);
        }
    });
}

/// A panic ends one task, is told to whoever awaits it, and leaves the others alone.
pub fn a_panic_is_reported_and_contained<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let bystander = rt.start("bystander", async {
            for _ in 0..100 {
                yield_now().await;
            }
            "well"
        });
        let guards = Guards::default();
        for number in 0..10 {
            let (inner, guard) = (rt.clone(), guards.guard());
            let task = rt.start("panics", async move {
                inner.start("its child", guard.forever::<()>()).detach();
                yield_now().await;
                panic!("expected panic number {number}");
            });
            assert_eq!(
                task.await,
                Err::<(), _>(TaskError::Panicked(format!("expected panic number {number}")))
            );
            assert_eq!(guards.live(), 0);
        }
        let task = rt.start("panics", async { std::panic::panic_any(5_u8) });
        assert!(matches!(task.await, Err::<(), _>(TaskError::Panicked(_))));
        assert_eq!(bystander.await, Ok("well"));
        let kinds = rt.tree().kinds();
        assert_eq!(kinds.iter().find(|kind| kind.name == "panics").map(|kind| kind.failed), Some(11));
    });
}

/// A destructor that panics fails its task and nothing else.
pub fn a_panicking_destructor_is_reported<B: Backend>(backend: &B) {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("expected panic of a destructor");
        }
    }

    everywhere(backend, |rt| async move {
        let (started, starting) = oneshot::channel();
        let task = rt.start("destructor", async move {
            let _panics = Panics;
            let _ = started.send(());
            pending::<()>().await;
        });
        starting.await.expect("it starts");
        assert_eq!(
            task.cancel().await,
            Err(TaskError::Panicked("expected panic of a destructor".to_owned()))
        );
        assert_eq!(rt.start("after", async { 1 }).await, Ok(1));
    });
}

/// A cancellation that comes too late changes nothing.
pub fn cancelling_a_finished_task_gives_its_result<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let task = rt.start("quick", async { 3 });
        until(|| task.is_finished()).await;
        assert_eq!(task.cancel().await, Ok(3));
    });
}

/// A task that was never polled drops its body all the same.
pub fn cancelling_before_the_first_poll_drops_the_body<B: Backend>(backend: &B) {
    alone(backend, |rt| async move {
        let guards = Guards::default();
        let (flag, guard) = (Flag::default(), guards.guard());
        let polled = flag.clone();
        // One thread, and no await in between: the body cannot have been polled.
        let task = rt.start("never polled", async move {
            polled.raise();
            drop(guard);
        });
        let ended = task.cancel().await;
        assert_eq!(guards.live(), 0);
        assert_eq!(ended.is_err(), !flag.is_raised());
    });
}

/// The live tree shows names, classes (inherited) and parents.
pub fn names_classes_and_parents_are_seen<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let inner = rt.clone();
        let (started, starting) = oneshot::channel();
        let parent = rt.spawn_in(Class::Network, "a connection", async move {
            let request = inner.start("a request", pending::<()>());
            let job = inner.spawn_in(Class::Crypto, "a signature", pending::<()>());
            let _ = started.send((request.id(), job.id()));
            let _ = request.await;
            let _ = job.await;
        });
        let (request, job) = starting.await.expect("it starts");
        let tasks = rt.tree().tasks();
        let find = |id: u64| tasks.iter().find(|task| task.id == id).expect("the task is listed");
        let connection = find(parent.id());
        assert_eq!(
            (connection.name, connection.class, connection.depth),
            ("a connection", Class::Network, 1)
        );
        let request = find(request);
        assert_eq!(
            (request.name, request.class, request.parent),
            ("a request", Class::Network, Some(parent.id()))
        );
        assert_eq!(find(job).class, Class::Crypto);
        let dump = rt.tree().dump();
        assert!(dump.contains("a connection") && dump.contains("[network]"), "{dump}");
        let _ = parent.cancel().await;
        assert!(!rt.tree().dump().contains("a connection"));
    });
}

/// Polls, busy time and endings are counted by kind.
pub fn statistics_count_polls_and_endings<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let busy = Duration::from_millis(2);
        let runtime = rt.clone();
        let task = rt.spawn_in(Class::Audit, "counted", async move {
            for _ in 0..9 {
                yield_now().await;
            }
            let start = runtime.now();
            while runtime.now() - start < busy {
                std::hint::spin_loop();
            }
        });
        assert_eq!(task.await, Ok(()));
        let kinds = rt.tree().kinds();
        let kind = kinds.iter().find(|kind| kind.name == "counted").expect("it is counted");
        assert_eq!((kind.class, kind.spawned, kind.live, kind.completed), (Class::Audit, 1, 0, 1));
        assert!(kind.polls >= 10, "{kind:?}");
        assert!(kind.longest_poll >= busy && kind.busy >= kind.longest_poll, "{kind:?}");

        let polls = rt.tree().polls();
        let counted = polls.kinds.iter().find(|kind| kind.name == "counted").expect("it held its thread");
        assert!(counted.blocking >= 1 && counted.longest == kind.longest_poll, "{counted:?}");
        assert!(polls.polls >= kind.polls && polls.excess() >= busy - BLOCKING_POLL, "{polls:?}");
        rt.tree().reset_polls();
        let polls = rt.tree().polls();
        assert!(polls.kinds.iter().all(|kind| kind.name != "counted"), "{polls:?}");
        assert!(polls.polls < kind.polls, "{polls:?}");
    });
}

/// A thread outside the runtime may spawn; the task runs on the runtime, under its root.
pub fn foreign_threads_may_spawn<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let here = thread::current().id();
        let runtime = rt.clone();
        let thread = thread::spawn(move || {
            let tasks: Vec<_> = (0..100)
                .map(|number| runtime.start("injected", async move { (number, thread::current().id()) }))
                .collect();
            (thread::current().id(), tasks)
        });
        let (foreign, tasks) = thread.join().expect("the thread ends");
        for (place, task) in tasks.into_iter().enumerate() {
            let (number, on) = task.await.expect("it runs");
            assert_eq!(number, place);
            assert_ne!(on, foreign);
            if rt.shard().topology == Topology::PerCore {
                assert_eq!(on, here);
            }
        }
    });
}

/// Tasks that always yield leave room for others and for timers.
pub fn busy_tasks_starve_nobody<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let stop = Flag::default();
        let spinners: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                rt.start("spins", async move {
                    let mut turns = 0_u64;
                    while !stop.is_raised() {
                        turns += 1;
                        yield_now().await;
                    }
                    turns
                })
            })
            .collect();
        let runtime = rt.clone();
        let timer = rt.start("timer", async move {
            for _ in 0..5 {
                runtime.sleep(Duration::from_millis(2)).await;
            }
        });
        assert_eq!(timer.await, Ok(()));
        assert_eq!(rt.start("other", async { 1 }).await, Ok(1));
        stop.raise();
        for spinner in spinners {
            assert!(spinner.await.expect("it ends") > 0);
        }
    });
}

/// A task that gives way while it could go on is polled again after others have heard of their I/O, and soon.
pub fn those_who_give_way_let_ready_io_in<B: Backend>(backend: &B) {
    let name = backend.name();
    alone(backend, move |rt| async move {
        let mut listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let (accepted, connected) =
            join(listener.accept(), rt.connect(address, ConnectOptions::default())).await;
        let (mut near, mut far) = (connected.expect("it connects"), accepted.expect("it accepts").0);
        let heard = Flag::default();
        let raise = heard.clone();
        let waits = rt.start("waits", async move {
            far.read_exact(&mut [0]).await.expect("it reads");
            raise.raise();
        });
        // It waits for its socket by now.
        rt.sleep(Duration::from_millis(5)).await;
        let gives = rt.start("gives way", async move {
            near.write_all(b"x").await.expect("it writes");
            let mut turns = 0_u32;
            while !heard.is_raised() {
                turns += 1;
                let mut gave = false;
                poll_fn(|cx| if replace(&mut gave, true) { Poll::Ready(()) } else { give_way(cx) }).await;
            }
            turns
        });
        let turns = gives.await.expect("it ends");
        waits.await.expect("it ends");
        // One that only woke itself would have many hundreds, as one has whose reactor is another thread's.
        let own_reactor = name != "tokio+async-io";
        assert!(turns >= 1 && (turns <= 50 || !own_reactor), "{turns}");
    });
}

/// How a task ends its turn, told whether it has done so.
type Way = fn(&mut Context<'_>, bool) -> Poll<()>;

/// Of many tasks that give way, that have done as much I/O as they may, or that begin something long, a few come before somebody
/// who becomes ready meanwhile; all have as many turns.
pub fn few_of_those_who_give_way_come_first<B: Backend>(backend: &B) {
    few_come_first(backend, |cx, gave| if gave { Poll::Ready(()) } else { give_way(cx) });
    few_come_first(backend, |cx, gave| {
        while !gave && poll_budget(cx).is_ready() {}
        if gave { Poll::Ready(()) } else { Poll::Pending }
    });
    few_come_first(backend, |cx, _| poll_long(cx));
}

fn few_come_first<B: Backend>(backend: &B, way: Way) {
    const TASKS: usize = 40;
    const TURNS: usize = 25;
    let name = backend.name();
    alone(backend, move |rt| async move {
        let polled = Arc::new(AtomicUsize::new(0));
        let (tell, told) = channel::bounded(1);
        let (mut waking, mut given) = (Vec::new(), Vec::new());
        for number in 0..TASKS {
            let (wake, woken) = channel::bounded::<()>(1);
            waking.push(wake);
            let (polled, tell) = (Arc::clone(&polled), tell.clone());
            let turns = async move {
                let mut woken = pin!(async {
                    let _ = woken.recv().await;
                    pending::<()>().await;
                });
                for turn in 1..=TURNS {
                    let polls = polled.fetch_add(1, Ordering::SeqCst) + 1;
                    if (number, turn) == (TASKS / 2, TURNS / 2) {
                        tell.try_send(polls).expect("room");
                    }
                    let mut gave = false;
                    poll_fn(|cx| {
                        // Whatever else wakes it does not bring it forward.
                        let _ = woken.as_mut().poll(cx);
                        way(cx, replace(&mut gave, true))
                    })
                    .await;
                }
                // When the first ends, nobody is more than a few turns behind.
                polled.load(Ordering::SeqCst)
            };
            // Parts of a combinator tell their task only once that they are woken, also when that is while it stands in line.
            let parts: FuturesUnordered<_> = [Box::pin(turns)].into_iter().collect();
            given.push(rt.start("gives way", parts.into_future().map(|(polls, _)| polls.expect("a part"))));
        }
        let seen = Arc::clone(&polled);
        let ready = rt.start("becomes ready", async move {
            let polls = told.recv().await.expect("a time");
            let before = seen.load(Ordering::SeqCst) - polls;
            for wake in &waking {
                let _ = wake.try_send(());
            }
            // Behind all that this has woken.
            yield_now().await;
            (before, seen.load(Ordering::SeqCst) - polls - before, waking)
        });
        let (before, next, _waking) = ready.await.expect("it ends");
        let mut ended = Vec::new();
        for task in given {
            ended.push(task.await.expect("it ends"));
        }
        // In the simulator, tasks that give way are woken at once, and polled in an order of its own.
        if name != "sim" {
            assert!(before <= 4 && next <= 4, "{before}, then {next} of {TASKS} came first");
            assert!(ended.iter().all(|polls| *polls > (TURNS - 4) * TASKS), "{ended:?}");
        }
    });
}

/// A thread begins two connects, no more, between two looks at what the kernel has ready.
pub fn connects_wait_for_their_turn<B: Backend>(backend: &B) {
    let name = backend.name();
    alone(backend, move |rt| async move {
        let listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let mut third = Vec::new();
        for _ in 0..100 {
            // Each in a task that nobody has called, and when nobody else has begun anything.
            rt.sleep(Duration::from_millis(1)).await;
            let connects = rt.clone();
            let begun = rt.start("connects", async move {
                let mut connecting: Vec<_> =
                    (0..2).map(|_| Box::pin(connects.connect(address, ConnectOptions::default()))).collect();
                poll_fn(|cx| {
                    for connect in &mut connecting {
                        let _ = connect.as_mut().poll(cx);
                    }
                    Poll::Ready(poll_long(cx).is_ready())
                })
                .await
            });
            third.push(begun.await.expect("it ends"));
        }
        // In the simulator nobody waits for that; elsewhere another thread may have looked while the two were begun.
        assert_eq!(third.contains(&false), name != "sim", "{third:?}");
    });
}

/// A task whose I/O is always ready, a flooded socket's say, lets others run, and notices its cancellation.
pub fn a_task_whose_io_is_always_ready_starves_nobody<B: Backend>(backend: &B) {
    alone(backend, |rt| async move {
        let socket = rt.bind(loopback(), DatagramOptions::default()).await.expect("it binds");
        let address = socket.local_addr().expect("it is bound");
        let datagrams = rt.start("datagrams", async move {
            let mut buffer = [0; 2000];
            loop {
                socket.send_to(b"to itself", address).await.expect("it sends");
                socket.recv(&mut buffer).await.expect("it receives");
            }
        });
        let mut listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let (accepted, connected) =
            join(listener.accept(), rt.connect(address, ConnectOptions::default())).await;
        let (mut near, mut far) = (connected.expect("it connects"), accepted.expect("it accepts").0);
        let bytes = rt.start("bytes", async move {
            let mut buffer = [0; 100];
            loop {
                near.write_all(b"there").await.expect("it writes");
                far.read_exact(&mut buffer[..5]).await.expect("it reads");
                let parts = [IoSlice::new(b"and "), IoSlice::new(b"back")];
                assert_eq!(far.write_vectored(&parts).await.expect("it writes"), 8);
                near.read_exact(&mut buffer[..8]).await.expect("it reads");
            }
        });
        for _ in 0..3 {
            rt.sleep(Duration::from_millis(2)).await;
        }
        for task in [datagrams, bytes] {
            assert_eq!(task.cancel().await, Err::<(), _>(TaskError::Cancelled));
        }
    });
}
