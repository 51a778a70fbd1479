//! The first of several futures to end; the others are dropped, which cancels them.

pub use futures_util::future::Either;
use futures_util::future::{self, poll_fn};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// Which of three ended first, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneOf3<A, B, C> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
    /// The third.
    Third(C),
}

/// Runs both until one ends; the other is dropped before this returns. When both are ready, the first wins.
///
/// Cancel safety: the loser is dropped wherever it stands, so both must be cancel safe; dropping the whole drops both.
pub async fn select<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    match future::select(pin!(first), pin!(second)).await {
        Either::Left((output, _)) => Either::Left(output),
        Either::Right((output, _)) => Either::Right(output),
    }
}

/// As [`select()`], of three.
///
/// Cancel safety: as [`select()`].
pub async fn select3<A: Future, B: Future, C: Future>(
    first: A,
    second: B,
    third: C,
) -> OneOf3<A::Output, B::Output, C::Output> {
    let (mut first, mut second, mut third) = (pin!(first), pin!(second), pin!(third));
    poll_fn(move |cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(OneOf3::First(output));
        }
        if let Poll::Ready(output) = second.as_mut().poll(cx) {
            return Poll::Ready(OneOf3::Second(output));
        }
        third.as_mut().poll(cx).map(OneOf3::Third)
    })
    .await
}

/// Runs all until one ends, and returns its place and output; the others are dropped before this returns. Of several
/// that are ready the earliest wins. `None` when there are no futures.
///
/// Each wake polls all of them: meant for a handful. For many use [`super::first_success`] or [`super::TaskGroup`].
///
/// Cancel safety: as [`select()`].
pub async fn select_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Option<(usize, F::Output)> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    if futures.is_empty() {
        return None;
    }
    let ready = poll_fn(|cx| {
        for (place, future) in futures.iter_mut().enumerate() {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready((place, output));
            }
        }
        Poll::Pending
    })
    .await;
    Some(ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::NotesDrop;
    use futures_lite::future::block_on;
    use std::future::{pending, ready};

    #[test]
    fn the_loser_is_dropped_before_the_winner_is_returned() {
        let loser = NotesDrop::default();
        let watch = loser.watch();
        let winner = block_on(select(loser.forever::<()>(), ready(1)));
        assert!(matches!(winner, Either::Right(1)));
        assert!(watch.dropped());
    }

    #[test]
    fn the_first_wins_a_tie() {
        assert!(matches!(block_on(select(ready(1), ready(2))), Either::Left(1)));
        assert_eq!(block_on(select3(pending::<u8>(), ready(2), ready(3))), OneOf3::Second(2));
        assert_eq!(block_on(select3(pending::<u8>(), pending::<u8>(), ready(3))), OneOf3::Third(3));
        assert_eq!(block_on(select_all([ready(1), ready(2)])), Some((0, 1)));
        assert_eq!(block_on(select_all(Vec::<std::future::Ready<u8>>::new())), None);
    }
}
