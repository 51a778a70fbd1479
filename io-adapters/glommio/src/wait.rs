//! Waiting until a descriptor is readable or writable, with what glommio's public interface has.
//!
//! glommio arms a `POLL_ADD` on the descriptor of every [`TcpStream`] when it is made, whatever that descriptor is.
//! So a stream made on a duplicate of a descriptor, and never read, is one wait for readability. An epoll descriptor
//! is readable when what it watches is writable, which gives the other direction; nothing ever waits in epoll itself.

use glommio::net::TcpStream;
use rustix::event::epoll;
use rustix::io::fcntl_dupfd_cloexec;
use shroud_runtime::sync::AtomicWaker;
use std::io;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

/// A waker that remembers having been woken, and passes it on to the task that waits now.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    fired: AtomicBool,
    waiting: AtomicWaker,
}

impl Signal {
    /// Ready when it has fired since the last [`Signal::reset`]; otherwise wakes this task when it does.
    pub(crate) fn poll_fired(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiting.register(cx.waker());
        if self.fired.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn reset(&self) {
        self.fired.store(false, Ordering::Release);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fired.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// One waiter for the readability of one descriptor.
#[derive(Debug, Default)]
pub(crate) struct Readable {
    signal: Arc<Signal>,
    armed: Option<TcpStream>,
}

impl Readable {
    /// Whether the last attempt would have blocked and nothing has changed since.
    pub(crate) fn is_waiting(&self) -> bool {
        self.armed.is_some()
    }

    /// Tries `attempt`, and again whenever `source` has become readable, until it does not say `WouldBlock`. While a
    /// wait is armed and silent there is no system call at all.
    pub(crate) fn poll_attempt<T>(
        &mut self,
        source: &impl AsFd,
        cx: &Context<'_>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            if self.armed.is_some() {
                ready!(self.signal.poll_fired(cx));
                self.armed = None;
            }
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.arm(source)?,
                result => return Poll::Ready(result),
            }
        }
    }

    fn arm(&mut self, source: &impl AsFd) -> io::Result<()> {
        let mut stream = adopt(fcntl_dupfd_cloexec(source, 0)?);
        self.signal.reset();
        let waker = Waker::from(Arc::clone(&self.signal));
        // The wait was queued a moment ago and has not been submitted, so this can only leave the waker with it; if it
        // could be ready, the descriptor is, and the next attempt finds out.
        if futures_io::AsyncRead::poll_read(Pin::new(&mut stream), &mut Context::from_waker(&waker), &mut [])
            .is_ready()
        {
            self.signal.wake_by_ref();
        }
        self.armed = Some(stream);
        Ok(())
    }
}

/// One waiter for the writability of one descriptor.
#[derive(Debug, Default)]
pub(crate) struct Writable {
    /// Watches the descriptor; made when it first would block.
    watch: Option<OwnedFd>,
    readable: Readable,
}

impl Writable {
    /// As [`Readable::is_waiting`].
    pub(crate) fn is_waiting(&self) -> bool {
        self.readable.is_waiting()
    }

    /// As [`Readable::poll_attempt`], for writability.
    pub(crate) fn poll_attempt<T>(
        &mut self,
        target: &impl AsFd,
        cx: &Context<'_>,
        attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => {
                let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                epoll::add(&watch, target, epoll::EventData::new_u64(0), epoll::EventFlags::OUT)?;
                watch
            }
        };
        let watch = self.watch.insert(watch);
        self.readable.poll_attempt(watch, cx, attempt)
    }
}

/// Gives a descriptor to glommio, which arms a `POLL_ADD` on it.
pub(crate) fn adopt(descriptor: impl IntoRawFd) -> TcpStream {
    // SAFETY: the descriptor is open and owned, and its ownership moves into the stream, which closes it.
    #[allow(unsafe_code, reason = "glommio takes descriptors in no other way without socket2 0.4")]
    unsafe {
        TcpStream::from_raw_fd(descriptor.into_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::{LocalExecutorBuilder, Placement};
    use std::future::{Future, poll_fn};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::time::Duration;

    /// Runs `test` on glommio, or says that this machine cannot.
    fn on_glommio<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
        if let Err(reason) = crate::probe() {
            eprintln!("SKIPPED: {reason}");
            return;
        }
        let body = || {
            let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 16).make().unwrap();
            executor.run(async { test().await });
        };
        std::thread::spawn(body).join().unwrap();
    }

    /// Whether a future is still pending after a while.
    async fn stays_pending(future: impl Future) -> bool {
        let mut future = pin!(future);
        let mut pause = pin!(glommio::timer::sleep(Duration::from_millis(5)));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => pause.as_mut().poll(cx).map(|()| true),
        })
        .await
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (left, right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        (left, right)
    }

    #[test]
    fn a_full_socket_is_tried_again_only_when_it_has_room() {
        on_glommio(|| async {
            let (left, right) = pair();
            let mut writable = Writable::default();
            let mut attempts = 0;
            let mut sent = 0;
            // Until it would block; then silence, however often it is polled.
            loop {
                let write = poll_fn(|cx| {
                    writable.poll_attempt(&left, cx, || {
                        attempts += 1;
                        (&left).write(&[7; 1000])
                    })
                });
                let mut write = pin!(write);
                let done = poll_fn(|cx| match write.as_mut().poll(cx) {
                    Poll::Ready(result) => Poll::Ready(Some(result.unwrap())),
                    Poll::Pending => Poll::Ready(None),
                })
                .await;
                let Some(count) = done else { break };
                sent += count;
            }
            let before = attempts;
            let mut again = poll_fn(|cx| {
                writable.poll_attempt(&left, cx, || {
                    attempts += 1;
                    (&left).write(&[7; 1000])
                })
            });
            assert!(stays_pending(&mut again).await);
            let mut received = Vec::new();
            let _ = (&right).read_to_end(&mut received);
            assert_eq!(received.len(), sent);
            assert!(again.await.unwrap() > 0);
            assert!(attempts <= before + 2, "{before} attempts, then {attempts}");
        });
    }

    #[test]
    fn an_empty_socket_is_read_when_bytes_are_there_and_when_the_peer_is_gone() {
        on_glommio(|| async {
            let (left, right) = pair();
            let mut readable = Readable::default();
            let mut byte = [0];
            let mut read = poll_fn(|cx| readable.poll_attempt(&left, cx, || (&left).read(&mut byte)));
            assert!(stays_pending(&mut read).await);
            (&right).write_all(&[9]).unwrap();
            assert_eq!((&mut read).await.unwrap(), 1);
            assert!(stays_pending(&mut read).await);
            drop(right);
            assert_eq!(read.await.unwrap(), 0);
        });
    }
}
