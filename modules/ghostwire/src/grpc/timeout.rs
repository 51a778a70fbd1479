//! `grpc-timeout`: how long a caller will wait (gRPC over HTTP2, "Timeout").

use http::{HeaderName, HeaderValue};
use std::time::Duration;

pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits of a value.
const DIGITS: usize = 8;

const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// A value as the grammar has it: one to eight digits and a unit, nothing else.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, nanoseconds) = UNITS.into_iter().find(|(known, _)| known == unit)?;
    let count: u128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let total = count.checked_mul(nanoseconds)?;
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(total % 1_000_000_000).ok()?))
}

/// The finest unit that has the digits for it, rounded up: a server must not be quicker to give up than its caller.
pub(super) fn timeout_value(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 10_u128.pow(DIGITS as u32) - 1;
    let total = timeout.as_nanos().max(1);
    let fitting = UNITS.into_iter().find_map(|(unit, nanoseconds)| {
        let count = total.div_ceil(nanoseconds);
        (count <= MOST).then(|| format!("{count}{}", char::from(unit)))
    });
    let text = fitting.unwrap_or_else(|| format!("{MOST}H"));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_is_understood(timeout: Duration) {
            let read = parse_timeout(timeout_value(timeout).as_bytes()).unwrap();
            let longest = Duration::from_secs(99_999_999 * 3600);
            prop_assert!(read >= timeout.min(longest));
            // No more than the precision of eight digits away.
            prop_assert!(read.as_nanos() <= timeout.as_nanos().max(1) + timeout.as_nanos() / 100_000 + 1);
        }

        #[test]
        fn any_bytes_parse(bytes: Vec<u8>) {
            let _ = parse_timeout(&bytes);
        }
    }

    #[test]
    fn the_grammar() {
        for (text, expected) in [
            ("1n", Duration::from_nanos(1)),
            ("20u", Duration::from_micros(20)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("1S", Duration::from_secs(1)),
            ("2M", Duration::from_secs(120)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("0S", Duration::ZERO),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), Some(expected), "{text}");
        }
        for text in
            ["", "S", "1", "1s", "1 S", "+1S", "-1S", "1.5S", "100000000n", "1SS", "\u{b9}S", " 1S", "0x1S"]
        {
            assert_eq!(parse_timeout(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(timeout_value(Duration::from_millis(1500)), "1500000u");
        assert_eq!(timeout_value(Duration::ZERO), "1n");
        assert_eq!(timeout_value(Duration::MAX), "99999999H");
    }
}
