//! A future for each item, so many at a time, on the calling task.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::future::Future;

/// Runs `map` on every item, at most `limit` at a time (0 counts as 1); outputs in the order of the items. Items are
/// taken from the iterator only when there is room.
///
/// Cancel safety: dropping it drops the futures that are running where they stand, and the outputs so far.
pub async fn map_bounded<I, F, Fut>(limit: usize, items: I, map: F) -> Vec<Fut::Output>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future,
{
    stream::iter(items.into_iter().map(map)).buffered(limit.max(1)).collect().await
}

/// As [`map_bounded`], with the outputs in the order in which they came: a slow item holds nothing up.
///
/// Cancel safety: as [`map_bounded`].
pub async fn map_unordered<I, F, Fut>(limit: usize, items: I, map: F) -> Vec<Fut::Output>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future,
{
    stream::iter(items.into_iter().map(map)).buffer_unordered(limit.max(1)).collect().await
}

/// As [`map_bounded`], but an error ends it: no further item is taken, and what is running is dropped.
///
/// Cancel safety: on an error the others are dropped where they stand, so each must be cancel safe.
///
/// # Errors
/// That of the earliest item among those that have failed.
pub async fn try_map_bounded<I, F, Fut, T, E>(limit: usize, items: I, map: F) -> Result<Vec<T>, E>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    stream::iter(items.into_iter().map(map)).buffered(limit.max(1)).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, yield_now};
    use proptest::prelude::*;
    use std::cell::Cell;

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_nothing_lost(
            limit in 0_usize..9,
            waits in proptest::collection::vec(0_usize..6, 0..60),
        ) {
            let (live, most) = (Cell::new(0_usize), Cell::new(0_usize));
            let work = |(place, wait): (usize, usize)| {
                let (live, most) = (&live, &most);
                async move {
                    live.set(live.get() + 1);
                    most.set(most.get().max(live.get()));
                    for _ in 0..wait {
                        yield_now().await;
                    }
                    live.set(live.get() - 1);
                    place
                }
            };
            let all: Vec<_> = (0..waits.len()).collect();
            let items = || waits.iter().copied().enumerate();
            prop_assert_eq!(&block_on(map_bounded(limit, items(), work)), &all);
            let mut unordered = block_on(map_unordered(limit, items(), work));
            unordered.sort_unstable();
            prop_assert_eq!(&unordered, &all);
            prop_assert!(most.get() <= limit.max(1));
        }
    }

    #[test]
    fn an_error_takes_no_further_items() {
        let taken = Cell::new(0);
        let items = (0..100).inspect(|_| taken.set(taken.get() + 1));
        let result = block_on(try_map_bounded(2, items, |item| async move {
            yield_now().await;
            if item == 3 { Err(item) } else { Ok(item) }
        }));
        assert_eq!(result, Err(3));
        assert!(taken.get() <= 6);
    }
}
