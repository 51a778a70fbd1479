//! The first of many futures to succeed.

use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::Future;

/// Runs all at once and returns the first success; the others are dropped before this returns. When all fail, their
/// errors come in the order of the futures (none when there were no futures).
///
/// Cancel safety: losers are dropped wherever they stand, so each must be cancel safe; dropping the whole drops all.
///
/// # Errors
/// All errors, when nothing succeeded.
pub async fn first_success<F, T, E>(futures: impl IntoIterator<Item = F>) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut running: FuturesUnordered<_> =
        futures.into_iter().enumerate().map(|(place, future)| async move { (place, future.await) }).collect();
    let mut errors = Vec::with_capacity(running.len());
    while let Some((place, result)) = running.next().await {
        match result {
            Ok(value) => return Ok(value),
            Err(error) => errors.push((place, error)),
        }
    }
    errors.sort_by_key(|(place, _)| *place);
    Err(errors.into_iter().map(|(_, error)| error).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::NotesDrop;
    use futures_lite::future::{block_on, yield_now};

    #[test]
    fn a_success_drops_the_rest() {
        let loser = NotesDrop::default();
        let watch = loser.watch();
        let mut loser = Some(loser);
        let futures = (0..3).map(|place| {
            let loser = if place == 0 { loser.take() } else { None };
            async move {
                match loser {
                    Some(loser) => loser.forever().await,
                    None if place == 1 => Err("no"),
                    None => {
                        yield_now().await;
                        Ok(place)
                    }
                }
            }
        });
        assert_eq!(block_on(first_success(futures)), Ok(2));
        assert!(watch.dropped());
    }

    #[test]
    fn errors_come_in_order() {
        let futures = (0..4).map(|place| async move {
            for _ in 0..(4 - place) {
                yield_now().await;
            }
            Err::<(), _>(place)
        });
        assert_eq!(block_on(first_success(futures)), Err(vec![0, 1, 2, 3]));
        assert_eq!(block_on(first_success(Vec::<std::future::Ready<Result<(), ()>>>::new())), Err(vec![]));
    }
}
