//! Where servers say that things are.

use crate::limits::MAX_URL;
use http::Uri;

/// An `https://` address of at most [`MAX_URL`] bytes. A server may be spread over several hosts: any host is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(String);

impl Url {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_URL || text.contains('#') || !text.starts_with("https://") {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let good = uri.scheme_str() == Some("https")
            && !authority.host().is_empty()
            && !authority.as_str().contains('@');
        good.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_https_addresses_of_hosts_are_taken() {
        for good in ["https://ca.test/a?b", "https://127.0.0.1:14000/dir", "https://[::1]/"] {
            assert!(Url::parse(good).is_some(), "{good}");
        }
        for bad in [
            "http://ca.test/",
            "ca.test",
            "HTTPS://ca.test/",
            "/path",
            "",
            "https://",
            "https://a@ca.test/",
            "https://ca.test/#a",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_length_has_a_limit() {
        let start = "https://ca.test/";
        let longest = format!("{start}{}", "a".repeat(MAX_URL - start.len()));
        assert!(Url::parse(&longest).is_some());
        assert_eq!(Url::parse(&format!("{longest}a")), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Url::parse(&text);
        }
    }
}
