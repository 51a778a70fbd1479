//! What a `Set-Cookie` says (RFC 6265, 5.2).

use super::{COOKIE_BYTES, LONGEST, date};
use std::time::Duration;

/// Bytes of an attribute's value that are looked at; longer ones are passed over (RFC 6265bis, 5.6).
const ATTRIBUTE_BYTES: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) value: String,
    /// Since 1970; what is past removes the cookie.
    pub(super) expires: Option<Duration>,
    /// In lower case, without the dot in front.
    pub(super) domain: Option<String>,
    /// No domain was given, not even an empty one.
    pub(super) domain_is_absent: bool,
    pub(super) path: Option<String>,
    pub(super) secure: bool,
}

impl Set {
    /// `text` has visible ASCII, spaces and tabs. `None` when that sets no cookie.
    pub(super) fn parse(text: &str, now: Duration) -> Option<Self> {
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (trim(name), trim(value));
        if name.is_empty() || name.len().saturating_add(value.len()) > COOKIE_BYTES {
            return None;
        }
        let mut set = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            expires: None,
            domain: None,
            domain_is_absent: true,
            path: None,
            secure: false,
        };
        let (mut date, mut age) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (trim(name), trim(value));
            if value.len() > ATTRIBUTE_BYTES {
                continue;
            }
            // The last of several counts.
            match name.to_ascii_lowercase().as_str() {
                "expires" => date = date::parse(value).or(date),
                "max-age" => age = seconds(value).or(age),
                "domain" => {
                    let domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
                    set.domain = Some(domain).filter(|domain| !domain.is_empty());
                    set.domain_is_absent = false;
                }
                "path" => set.path = Some(value).filter(|path| path.starts_with('/')).map(str::to_owned),
                "secure" => set.secure = true,
                _ => {}
            }
        }
        let latest = now.saturating_add(LONGEST);
        set.expires = age.map(|age| now.saturating_add(age)).or(date).map(|expires| expires.min(latest));
        // What ends now has ended.
        if age.is_some_and(|age| age.is_zero()) {
            set.expires = Some(Duration::ZERO);
        }
        Some(set)
    }
}

/// A number of seconds (5.2.2); below nothing is nothing.
fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = if text.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(count))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
