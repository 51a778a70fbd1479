//! Pools, with real connections in them.

use crate::harness::{Flag, Spawn, everywhere, loopback, until};
use futures_lite::future::{poll_once, yield_now};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::flow::{Manager, Pool, PoolError, PoolOptions};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::{Backend, ConnectOptions, ListenOptions, Listener, Runtime, RuntimeExt, Task};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Connections to an echo server.
struct Connections<R> {
    runtime: R,
    address: SocketAddr,
    /// While it is raised, no connection passes its check.
    sick: Flag,
}

impl<R: Runtime> Manager for Connections<R> {
    type Item = R::Stream;
    type Error = io::Error;

    async fn create(&self) -> io::Result<R::Stream> {
        self.runtime.connect(self.address, ConnectOptions::default()).await
    }

    async fn check(&self, stream: &mut R::Stream) -> bool {
        !self.sick.is_raised() && ask(stream).await.is_ok()
    }
}

/// Sends a byte and waits for it to come back.
async fn ask(
    stream: &mut (impl futures_util::AsyncRead + futures_util::AsyncWrite + Unpin),
) -> io::Result<()> {
    stream.write_all(b"?").await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await
}

type StreamPool<R> = Pool<R, Connections<R>>;

/// A pool of connections to a server that lives as long as the task.
async fn pool<R: Runtime>(rt: &R, options: PoolOptions) -> (StreamPool<R>, Flag, Task<()>) {
    let mut listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let runtime = rt.clone();
    let server = rt.start("server", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            runtime
                .start("echo", async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok()
                    {
                    }
                })
                .detach();
        }
    });
    let sick = Flag::default();
    let manager = Connections { runtime: rt.clone(), address, sick: sick.clone() };
    (Pool::new(rt.clone(), manager, options), sick, server)
}

fn at_most(size: usize) -> PoolOptions {
    PoolOptions { max_size: NonZeroUsize::new(size).expect("it is not zero"), ..PoolOptions::default() }
}

/// Many tasks share few connections.
pub fn items_are_used_again_up_to_the_limit<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (pool, _, _server) = pool(&rt, at_most(3)).await;
        let tasks: Vec<_> = (0..30)
            .map(|_| {
                let pool = pool.clone();
                rt.start("user", async move {
                    for _ in 0..5 {
                        let mut stream = pool.acquire().await.expect("there is one in the end");
                        let stats = pool.stats();
                        assert!(stats.in_use <= 3 && stats.in_use + stats.idle <= 4, "{stats:?}");
                        ask(&mut *stream).await.expect("it answers");
                    }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        let stats = pool.stats();
        assert!((1..=3).contains(&stats.created), "{stats:?}");
        assert_eq!((stats.created + stats.reused, stats.in_use, stats.waiting), (150, 0, 0));
        assert_eq!(stats.idle as u64, stats.created);
    });
}

/// What its user discards, or its check refuses, is dropped and replaced; what cannot be made is an error.
pub fn broken_items_are_dropped<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (pool, sick, server) = pool(&rt, at_most(2)).await;
        pool.acquire().await.expect("it connects").discard();
        let stats = pool.stats();
        assert_eq!((stats.created, stats.broken, stats.idle, stats.in_use), (1, 1, 0, 0));
        drop((pool.acquire().await.expect("it connects"), pool.acquire().await.expect("it connects")));
        assert_eq!(pool.stats().idle, 2);
        sick.raise();
        let mut stream = pool.acquire().await.expect("it connects anew");
        ask(&mut *stream).await.expect("it answers");
        let stats = pool.stats();
        assert_eq!((stats.created, stats.broken, stats.reused, stats.idle), (4, 3, 0, 0));
        drop(stream);
        let _ = server.cancel().await;
        loop {
            // The listener may close a moment after its task.
            match pool.acquire().await {
                Ok(stream) => stream.discard(),
                Err(error) => break assert!(matches!(error, PoolError::Create(_)), "{error}"),
            }
            yield_now().await;
        }
        assert_eq!((pool.stats().failed, pool.stats().in_use), (1, 0));
    });
}

/// Idle items are dropped after their time, met by a user or not.
pub fn idle_items_grow_old<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let timeout = Duration::from_millis(20);
        let options = PoolOptions { idle_timeout: Some(timeout), ..at_most(2) };
        let (pool, _, _server) = pool(&rt, options).await;
        drop(pool.acquire().await.expect("it connects"));
        rt.sleep(timeout).await;
        drop(pool.acquire().await.expect("it connects anew"));
        let stats = pool.stats();
        assert_eq!((stats.created, stats.expired, stats.reused), (2, 1, 0));
        let maintained = pool.clone();
        let task = rt.start("maintains", async move { maintained.maintain().await });
        until(|| pool.stats().idle == 0).await;
        assert_eq!(pool.stats().expired, 2);
        pool.close();
        assert_eq!(task.await, Ok(()));
    });
}

/// So many may wait and no more; one who gives up frees the place.
pub fn waiting_is_limited_and_cancel_safe<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (pool, _, _server) = pool(&rt, PoolOptions { max_waiting: 2, ..at_most(1) }).await;
        let held = pool.acquire().await.expect("it connects");
        let mut waiting = [Box::pin(pool.acquire()), Box::pin(pool.acquire())];
        for waiting in &mut waiting {
            assert!(poll_once(waiting).await.is_none());
        }
        assert_eq!(pool.stats().waiting, 2);
        assert!(matches!(pool.acquire().await, Err(PoolError::Busy(2))));
        let [first, second] = waiting;
        drop(first);
        assert_eq!(pool.stats().waiting, 1);
        drop(held);
        drop(second.await.expect("it is its turn"));
        // Dropped while it connects or checks: the place is free again.
        for _ in 0..10 {
            drop(poll_once(pool.acquire()).await);
        }
        drop(pool.acquire().await.expect("there is a place"));
        assert_eq!((pool.stats().in_use, pool.stats().waiting), (0, 0));
    });
}

/// Closing drops what is idle, ends those who wait, and drops what comes back.
pub fn a_closed_pool_gives_nothing<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (pool, _, _server) = pool(&rt, at_most(2)).await;
        let (held, other) =
            (pool.acquire().await.expect("it connects"), pool.acquire().await.expect("it connects"));
        let waiting = pool.clone();
        let waiting = rt.start("waits", async move { waiting.acquire().await.map(|_| ()) });
        until(|| pool.stats().waiting == 1).await;
        pool.close();
        assert!(matches!(waiting.await, Ok(Err(PoolError::Closed))));
        drop((held, other));
        assert!(matches!(pool.acquire().await, Err(PoolError::Closed)));
        assert_eq!((pool.stats().idle, pool.stats().in_use), (0, 0));
    });
}
