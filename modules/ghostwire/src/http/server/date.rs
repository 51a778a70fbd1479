//! The `Date` field (RFC 9110, 6.6.1), from the runtime's clock.

use http::HeaderValue;
use std::time::{Duration, Instant, SystemTime};

/// The field's value, made anew once a second.
#[derive(Debug, Default)]
pub(crate) struct DateCache {
    value: Option<(Instant, HeaderValue)>,
}

impl DateCache {
    /// The value at `now`; `unix_time` is asked only when the second has passed.
    pub(crate) fn at(&mut self, now: Instant, unix_time: impl FnOnce() -> Duration) -> Option<HeaderValue> {
        if let Some((until, value)) = &self.value
            && now < *until
        {
            return Some(value.clone());
        }
        let unix = unix_time();
        let rest =
            Duration::from_secs(1).saturating_sub(Duration::from_nanos(u64::from(unix.subsec_nanos())));
        let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH.checked_add(unix)?);
        let value = HeaderValue::from_str(&text).ok()?;
        self.value = Some((now + rest, value.clone()));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_with_the_second() {
        let mut cache = DateCache::default();
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let at = |millis: u64| Duration::from_millis(784_111_777_000 + millis);
        let first = cache.at(start, || at(250)).unwrap();
        assert_eq!(first, "Sun, 06 Nov 1994 08:49:37 GMT");
        let same = cache.at(start + Duration::from_millis(749), || unreachable!("still cached")).unwrap();
        assert_eq!(same, first);
        let next = cache.at(start + Duration::from_millis(750), || at(1000)).unwrap();
        assert_eq!(next, "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
