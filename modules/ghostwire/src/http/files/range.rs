//! Ranges of bytes (RFC 9110 14).

use std::ops::Range;

/// Ranges in one request, at most; one that asks for more gets the whole file.
const RANGES: usize = 16;

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is to be ignored: malformed, of another unit, or too much trouble (RFC 9110 14.2).
    Whole,
    /// None of it is there: 416.
    Nothing,
    /// These, in the order asked for.
    Parts(Vec<Range<u64>>),
}

/// Reads a `Range` field for a file of `length` bytes.
pub(super) fn parse(field: &str, length: u64) -> Wanted {
    let Some((unit, set)) = field.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let (mut parts, mut count) = (Vec::new(), 0_usize);
    for item in set.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        count += 1;
        match (count > RANGES, part(item, length)) {
            (false, Ok(Some(part))) => parts.push(part),
            (false, Ok(None)) => {}
            _ => return Wanted::Whole,
        }
    }
    let asked = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.end.saturating_sub(part.start)));
    match (count, parts.len()) {
        (0, _) => Wanted::Whole,
        (_, 0) => Wanted::Nothing,
        // Ranges that overlap so that they are more than the whole are an attack or a mistake.
        (_, many) if many > 1 && asked > length => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// One range; `Ok(None)` when it lies behind the end.
fn part(item: &str, length: u64) -> Result<Option<Range<u64>>, ()> {
    let (first, last) = item.split_once('-').ok_or(())?;
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(());
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Ok((range.start < range.end).then_some(range))
}

fn number(text: &str) -> Result<u64, ()> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    // More than fits is behind every end.
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_standard_says() {
        let parts =
            |ranges: &[(u64, u64)]| Wanted::Parts(ranges.iter().map(|(start, end)| *start..*end).collect());
        for (field, expected) in [
            ("bytes=0-499", parts(&[(0, 500)])),
            ("bytes=500-999", parts(&[(500, 1000)])),
            ("bytes=-500", parts(&[(500, 1000)])),
            ("bytes=-5000", parts(&[(0, 1000)])),
            ("bytes=900-", parts(&[(900, 1000)])),
            ("bytes=900-2000", parts(&[(900, 1000)])),
            ("Bytes = 0-0, -1", parts(&[(0, 1), (999, 1000)])),
            ("bytes=0-0,,5-5,2000-", parts(&[(0, 1), (5, 6)])),
            ("bytes=1000-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=1000-,2000-3000", Wanted::Nothing),
            ("bytes=99999999999999999999-", Wanted::Nothing),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("bytes=0-,0-", Wanted::Whole),
            ("bytes=0-899,800-999", Wanted::Whole),
        ] {
            assert_eq!(parse(field, 1000), expected, "{field}");
        }
        let many = |count: usize| format!("bytes={}", vec!["1-1"; count].join(","));
        assert!(matches!(parse(&many(RANGES), 1000), Wanted::Parts(_)));
        assert_eq!(parse(&many(RANGES + 1), 1000), Wanted::Whole);
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
    }

    proptest! {
        #[test]
        fn parts_lie_within(field in "bytes=[0-9, -]{0,30}", length in 0_u64..50) {
            if let Wanted::Parts(parts) = parse(&field, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= RANGES);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            }
        }
    }
}
