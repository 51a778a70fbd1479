//! Topology, and wakes across shards and from foreign threads.

use crate::harness::{SIMULATED, Spawn, alone, block_on, everywhere, loopback, run, skipped};
use futures_lite::future::yield_now;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::sync::{channel, oneshot};
use shroud_runtime::{
    Backend, Config, ConnectOptions, ListenOptions, Listener, Runtime, RuntimeExt, TaskError, Topology,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// One main a shard, results in the order of the shards, and a topology as reported.
pub fn each_runs_main_once_and_results_keep_their_order<B: Backend>(backend: &B) {
    let topology = backend.probe().expect("it was probed").topology;
    for cores in 1..=3 {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let results = run(backend, &Config::default().cores(cores), move |rt| {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(1, SeqCst);
                let shard = rt.shard();
                // The first is the last to end.
                rt.sleep(Duration::from_millis(5 * (shard.count - shard.index) as u64)).await;
                shard
            }
        });
        let shards: Vec<_> = results.into_iter().map(|shard| shard.expect("main ends well")).collect();
        assert_eq!(runs.load(SeqCst), shards.len());
        for (place, shard) in shards.iter().enumerate() {
            assert_eq!((shard.index, shard.count, shard.topology), (place, shards.len(), topology));
            match topology {
                Topology::PerCore => assert_eq!((shard.count, shard.workers), (cores, 1)),
                _ => assert_eq!((shard.count, shard.workers), (1, cores)),
            }
        }
    }
}

/// A value sent into a channel wakes the receiver on another shard, or on another worker, thousands of times.
pub fn channels_wake_across_shards<B: Backend>(backend: &B) {
    const ROUNDS: u32 = 2000;
    let (ping, pinged) = channel::bounded(1);
    let (pong, ponged) = channel::bounded(1);
    everywhere(backend, move |rt| {
        let (ping, pinged, pong, ponged) = (ping.clone(), pinged.clone(), pong.clone(), ponged.clone());
        async move {
            let serve = async move {
                for round in 0..ROUNDS {
                    ping.send(round).await.expect("the channel is open");
                    assert_eq!(ponged.recv().await, Ok(round));
                }
            };
            let answer = async move {
                for round in 0..ROUNDS {
                    assert_eq!(pinged.recv().await, Ok(round));
                    pong.send(round).await.expect("the channel is open");
                }
            };
            match (rt.shard().count, rt.shard().index) {
                (1, _) => {
                    let task = rt.start("answers", answer);
                    serve.await;
                    assert_eq!(task.await, Ok(()));
                }
                (_, 0) => serve.await,
                _ => answer.await,
            }
        }
    });
}

/// A thread that knows nothing of the runtime wakes it, parked or busy.
pub fn foreign_threads_wake_a_parked_shard<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (sender, receiver) = channel::bounded(1);
        let (done, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            for number in 0..200 {
                if number % 20 == 0 {
                    // Long enough for everything to be parked.
                    thread::sleep(Duration::from_millis(3));
                }
                sender.send_blocking(number).expect("the receiver lives");
            }
            let _ = done.send(());
        });
        let task = rt.start("receives", async move {
            for number in 0..200 {
                assert_eq!(receiver.recv().await, Ok(number));
            }
        });
        assert_eq!(task.await, Ok(()));
        ended.await.expect("the thread ends");
        thread.join().expect("the thread ends well");
    });
}

/// A main that panics is reported in its place; the others end as they would have.
pub fn a_panicking_main_is_reported<B: Backend>(backend: &B) {
    let results = run(backend, &Config::default().cores(2), |rt| async move {
        rt.sleep(Duration::from_millis(1)).await;
        if rt.shard().index == 0 {
            panic!("expected panic of main");
        }
        rt.sleep(Duration::from_millis(10)).await;
        rt.shard().index
    });
    assert_eq!(results[0], Err(TaskError::Panicked("expected panic of main".to_owned())));
    assert!(results[1..].iter().enumerate().all(|(place, result)| *result == Ok(place + 1)));
}

/// Every shard sees the trees of all.
pub fn all_trees_are_seen_from_each_shard<B: Backend>(backend: &B) {
    let met = Arc::new(AtomicUsize::new(0));
    everywhere(backend, move |rt| {
        let met = Arc::clone(&met);
        async move {
            let count = rt.shard().count;
            met.fetch_add(1, SeqCst);
            while met.load(SeqCst) < count {
                rt.sleep(Duration::from_millis(1)).await;
            }
            let trees = rt.trees();
            let mut indexes: Vec<_> = trees.iter().map(|tree| tree.shard().index).collect();
            indexes.sort_unstable();
            assert_eq!(indexes, (0..count).collect::<Vec<_>>());
            assert!(trees.iter().all(|tree| tree.backend() == rt.backend()));
            met.fetch_add(1, SeqCst);
            while met.load(SeqCst) < 2 * count {
                rt.sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

/// A synchronous caller gets an asynchronous result, again and again, from any thread.
pub fn block_on_bridges_synchronous_callers<B: Backend>(backend: &B) {
    for number in 0..5 {
        let owned = [number; 3];
        let sum = alone(backend, move |rt| async move {
            yield_now().await;
            let task = rt.start("sums", async move { owned.iter().sum::<u32>() });
            rt.sleep(Duration::from_millis(1)).await;
            task.await.expect("it ends")
        });
        assert_eq!(sum, number * 3);
    }
    let ended = block_on(backend, |_| async { panic!("expected panic in block_on") });
    assert_eq!(ended, Err::<(), _>(TaskError::Panicked("expected panic in block_on".to_owned())));
}

/// Two nodes in one process talk over TCP and disturb each other in nothing.
pub fn two_nodes_live_in_one_process<B: Backend>(backend: &B) {
    if backend.name() == SIMULATED {
        // Two hosts of one simulation talk in the simulator's own tests.
        return skipped("each simulated node run by itself is alone in its world");
    }
    let (tell, told) = channel::bounded(1);
    let server = backend.clone();
    let server = thread::spawn(move || {
        alone(&server, |rt| async move {
            let mut listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
            tell.send(listener.local_addr().expect("it is bound")).await.expect("the channel is open");
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.expect("it reads");
            stream.write_all(b"answer").await.expect("it writes");
            question
        })
    });
    let answer = alone(backend, |rt| async move {
        let address = told.recv().await.expect("the other node tells");
        let mut stream = rt.connect(address, ConnectOptions::default()).await.expect("it connects");
        stream.write_all(b"question").await.expect("it writes");
        stream.close().await.expect("it closes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it reads");
        answer
    });
    assert_eq!(answer, b"answer");
    assert_eq!(server.join().expect("the other node ends well"), b"question");
}
