//! All of several futures.

use futures_util::future;
use std::future::Future;

/// Runs both to their ends.
///
/// Cancel safety: dropping it drops both where they stand, with what one has already returned.
pub async fn join<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    future::join(first, second).await
}

/// Runs all three to their ends.
///
/// Cancel safety: as [`join`].
pub async fn join3<A: Future, B: Future, C: Future>(
    first: A,
    second: B,
    third: C,
) -> (A::Output, B::Output, C::Output) {
    future::join3(first, second, third).await
}

/// Runs all to their ends at once; outputs in the order of the futures. For a limit on how many run at a time see
/// [`super::map_bounded`].
///
/// Cancel safety: as [`join`].
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    future::join_all(futures).await
}

/// As [`join_all`], but the first error ends it and drops those that are still running.
///
/// Cancel safety: on an error the others are dropped where they stand, so each must be cancel safe.
///
/// # Errors
/// The first to occur.
pub async fn try_join_all<F, T, E>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    future::try_join_all(futures).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::NotesDrop;
    use futures_lite::future::{block_on, yield_now};

    #[test]
    fn outputs_keep_the_order() {
        let futures = (0..100_usize).map(|place| async move {
            for _ in 0..(100 - place) {
                yield_now().await;
            }
            place
        });
        assert_eq!(block_on(join_all(futures)), (0..100).collect::<Vec<_>>());
        assert_eq!(block_on(join(async { 1 }, async { 2 })), (1, 2));
        assert_eq!(block_on(join3(async { 1 }, async { 2 }, async { 3 })), (1, 2, 3));
    }

    #[test]
    fn an_error_drops_the_rest() {
        let held = NotesDrop::default();
        let watch = held.watch();
        let mut held = Some(held);
        let futures = (0..2).map(|_| {
            let held = held.take();
            async move {
                match held {
                    Some(held) => held.forever().await,
                    None => Err::<(), _>("no"),
                }
            }
        });
        assert_eq!(block_on(try_join_all(futures)), Err("no"));
        assert!(watch.dropped());
    }
}
