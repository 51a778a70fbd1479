//! Conditional requests (RFC 9110 13).

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use std::time::{Duration, SystemTime};

/// What a file is told apart from its other versions by.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// Strong, with its quotes.
    pub(super) etag: String,
    /// Since the Unix epoch, in whole seconds.
    pub(super) modified: Duration,
}

/// What the conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Judges the conditions in the order of RFC 9110 13.2.2.
pub(super) fn judge(headers: &HeaderMap, file: &Validators) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !matches_any(headers, &IF_MATCH, &file.etag, true) {
            return Verdict::Failed;
        }
    } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|since| file.modified > since) {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if matches_any(headers, &IF_NONE_MATCH, &file.etag, false) {
            return Verdict::NotModified;
        }
    } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|since| file.modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a `Range` field may be followed (RFC 9110 13.1.5): a date counts only when it is the file's own.
pub(super) fn range_applies(headers: &HeaderMap, file: &Validators) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else { return true };
    let Ok(condition) = condition.to_str() else { return false };
    if condition.starts_with('"') || condition.starts_with("W/") {
        return condition == file.etag;
    }
    date(headers, &IF_RANGE) == Some(file.modified)
}

fn matches_any(headers: &HeaderMap, field: &HeaderName, etag: &str, strong: bool) -> bool {
    headers.get_all(field).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        list.trim() == "*"
            || tags(list).any(|tag| match tag.strip_prefix("W/") {
                Some(weak) => !strong && weak == etag,
                None => tag == etag,
            })
    })
}

/// The entity tags of a list. Tags may hold commas.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let opening = rest.find('"')?;
        let closing = rest.get(opening + 1..)?.find('"')? + opening + 2;
        let tag = rest.get(..closing)?;
        rest = rest.get(closing..)?;
        Some(tag)
    })
}

fn date(headers: &HeaderMap, field: &HeaderName) -> Option<Duration> {
    let date = httpdate::parse_http_date(headers.get(field)?.to_str().ok()?).ok()?;
    date.duration_since(SystemTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Validators {
        Validators { etag: "\"a,b\"".into(), modified: Duration::from_secs(784_111_777) }
    }

    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn precedence_and_comparison() {
        let cases: &[(&[(HeaderName, &str)], Verdict)] = &[
            (&[], Verdict::Proceed),
            (&[(IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "\"x\", W/\"a,b\"")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "*")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "\"x\"")], Verdict::Proceed),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], Verdict::Proceed),
            (&[(IF_MODIFIED_SINCE, SAME)], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Verdict::Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Verdict::Proceed),
            (&[(IF_MATCH, "\"x\", \"a,b\"")], Verdict::Proceed),
            (&[(IF_MATCH, "W/\"a,b\"")], Verdict::Failed),
            (&[(IF_MATCH, "\"x\"")], Verdict::Failed),
            (&[(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Proceed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Failed),
            (&[(IF_UNMODIFIED_SINCE, SAME), (IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified),
        ];
        for (fields, verdict) in cases {
            let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            assert_eq!(judge(&headers, &file()), *verdict, "{fields:?}");
        }
    }

    #[test]
    fn ranges_of_another_version() {
        for (value, applies) in [
            (SAME, true),
            (BEFORE, false),
            (AFTER, false),
            ("\"a,b\"", true),
            ("W/\"a,b\"", false),
            ("\"x\"", false),
            ("x", false),
        ] {
            let headers = [(IF_RANGE, value.parse().unwrap())].into_iter().collect();
            assert_eq!(range_applies(&headers, &file()), applies, "{value}");
        }
    }
}
