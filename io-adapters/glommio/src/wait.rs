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
