//! When a server wants to be asked again.

use std::time::{Duration, UNIX_EPOCH};

/// How long to wait by a `Retry-After` field (RFC 9110, 10.2.3), seconds or a date, at `now` (since the Unix epoch). `None` for
/// what is neither.
#[must_use]
pub fn retry_after(field: &str, now: Duration) -> Option<Duration> {
    let field = field.trim();
    if let Ok(seconds) = field.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(field).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = Duration::from_secs(784_111_777);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, now: Duration) {
            let _ = retry_after(&text, now);
        }
    }
}
