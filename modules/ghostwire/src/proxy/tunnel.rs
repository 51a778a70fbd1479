//! Bytes both ways between two connections that have left HTTP.

use crate::http::upgrade::{Transport, Upgraded};
use bytes::{Buf, Bytes};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Bytes on the way in each direction; more stay with their sender.
const BUFFER: usize = 16 * 1024;

/// Reads in one go before other tasks get a turn.
const MAX_ROUNDS: u32 = 32;

/// One direction.
struct Way {
    buffer: Vec<u8>,
    /// What is to be written of it, and of what came with the handshake.
    first: Bytes,
    start: usize,
    end: usize,
    ended: bool,
    closed: bool,
    moved: bool,
}

impl Way {
    fn new(first: Bytes) -> Self {
        Self { buffer: vec![0; BUFFER], first, start: 0, end: 0, ended: false, closed: false, moved: false }
    }

    /// Goes on as far as it can; ready once the end of what is read was passed on as a half-close.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut dyn Transport,
        to: &mut dyn Transport,
    ) -> Poll<io::Result<()>> {
        let (mut from, mut to) = (Pin::new(from), Pin::new(to));
        for _ in 0..MAX_ROUNDS {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if !self.first.is_empty() {
                let written = ready!(to.as_mut().poll_write(cx, &self.first))?;
                self.first.advance(written.min(self.first.len()));
                self.wrote(written)?;
            } else if let Some(rest @ [_, ..]) = self.buffer.get(self.start..self.end) {
                let written = ready!(to.as_mut().poll_write(cx, rest))?;
                self.start = self.start.saturating_add(written);
                self.wrote(written)?;
            } else if self.ended {
                ready!(to.as_mut().poll_close(cx))?;
                self.closed = true;
            } else {
                match from.as_mut().poll_read(cx, &mut self.buffer)? {
                    Poll::Ready(count) => {
                        (self.start, self.end) = (0, count);
                        self.ended = count == 0;
                    }
                    Poll::Pending => {
                        ready!(to.as_mut().poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wrote(&mut self, count: usize) -> io::Result<()> {
        self.moved = true;
        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

/// Copies until both sides have closed, one breaks, no byte has moved for `idle`, or the node is asked to stop.
/// `read` has come from the server with its 101.
pub(super) async fn run(client: Upgraded, mut server: Box<dyn Transport>, read: Bytes, idle: Duration) {
    let Upgraded { io: mut client, read: sent, seam } = client;
    let (mut up, mut down) = (Way::new(sent), Way::new(read));
    let mut alarm = seam.alarm;
    let deadline = |now: std::time::Instant| now.checked_add(idle);
    alarm.set(deadline((seam.now)()));
    let mut stopped = pin!(seam.stopping.cancelled());
    let end = poll_fn(|cx| {
        let above = up.poll(cx, &mut *client, &mut *server)?;
        let below = down.poll(cx, &mut *server, &mut *client)?;
        if above.is_ready() && below.is_ready() || stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if std::mem::take(&mut up.moved) | std::mem::take(&mut down.moved) {
            alarm.set(deadline((seam.now)()));
        }
        alarm.poll_fired(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
    });
    if let Err(error) = end.await {
        tracing::debug!(%error, "a tunnel broke off");
    }
}
