//! Dates as cookies have them, in whatever order (RFC 6265, 5.1.1).

use std::time::Duration;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Since 1970; a date before that is 1970. `None` when it is no date.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        // The first that a token can be and that is not known yet.
        if take(&mut time, || time_of(token))
            || take(&mut day, || number(token, 1, 2))
            || take(&mut month, || month_of(token))
        {
            continue;
        }
        take(&mut year, || number(token, 2, 4));
    }
    let ((hour, minute, second), day, month, year) = (time?, day?, month?, year?);
    let year = match year {
        70..=99 => year + 1900,
        0..=69 => year + 2000,
        _ => year,
    };
    let is_date = (1..=31).contains(&day) && year >= 1601 && hour <= 23 && minute <= 59 && second <= 59;
    if !is_date || day > days_of(month, year) {
        return None;
    }
    let days = days_since_1970(i64::from(year), i64::from(month) + 1, i64::from(day));
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn take<T>(known: &mut Option<T>, read: impl FnOnce() -> Option<T>) -> bool {
    if known.is_none() {
        *known = read();
        return known.is_some();
    }
    false
}

fn is_delimiter(char: char) -> bool {
    matches!(char, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~')
}

/// The number that a token begins with, if it has so many digits; anything but a digit may follow.
fn number(token: &str, least: usize, most: usize) -> Option<u32> {
    let digits = token.bytes().take_while(u8::is_ascii_digit).count();
    if (least..=most).contains(&digits) { token.get(..digits)?.parse().ok() } else { None }
}

fn time_of(token: &str) -> Option<(u32, u32, u32)> {
    let mut parts = token.splitn(3, ':');
    let mut whole = || {
        parts.next().filter(|part| part.len() <= 2).and_then(|part| {
            let number = number(part, 1, 2)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
        })
    };
    let (hour, minute) = (whole()?, whole()?);
    Some((hour, minute, number(parts.next()?, 1, 2)?))
}

/// From 0.
fn month_of(token: &str) -> Option<u32> {
    let start = token.get(..3)?.to_ascii_lowercase();
    (0..).zip(MONTHS).find(|(_, name)| *name == start).map(|(month, _)| month)
}

fn days_of(month: u32, year: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar, by eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_however_they_are_written() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("1994 nov 6th 8:49:37", 784_111_777),
            ("Thu, 01-Jan-1970 00:00:00 GMT", 0),
            ("Mon, 01 Jan 1601 00:00:00 GMT", 0),
            ("29 Feb 2024 23:59:59", 1_709_251_199),
            ("1 Jan 00 00:00:00", 946_684_800),
            ("31 Dec 9999 23:59:59", 253_402_300_799),
            ("01 Jan 70 00:00:01", 1),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "06 Nov 1994",
            "06 Nov 1600 08:49:37",
            "30 Feb 2024 00:00:00",
            "29 Feb 2100 00:00:00",
            "32 Jan 2024 00:00:00",
            "1 Jan 2024 24:00:00",
            "1 Jan 2024 00:60:00",
            "1 Jan 2024 00:00",
            "1 Foo 2024 00:00:00",
            "1 Jan 12345 00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
