//! How much of the journal stays.

use std::fmt;
use std::str::FromStr;

/// Which journal segments stay although the store has all their blocks. Segments that the store does not cover, and the one
/// that is written, always stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepSegments {
    /// All, so that the journal can be audited from genesis on. It grows without end, and an opening reads all of it.
    All,
    /// The last so many; earlier ones are used again.
    Last(u32),
}

impl KeepSegments {
    /// The word for [`KeepSegments::All`].
    pub const ALL: &'static str = "all";

    /// Whether the oldest of so many full segments may go.
    pub(crate) fn oldest_may_go(self, full: usize) -> bool {
        match self {
            Self::All => false,
            Self::Last(count) => full > count as usize,
        }
    }
}

impl Default for KeepSegments {
    fn default() -> Self {
        Self::Last(2)
    }
}

impl fmt::Display for KeepSegments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(Self::ALL),
            Self::Last(count) => count.fmt(f),
        }
    }
}

/// A text that says nothing about segments to keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal segments to keep are `all`, or a number from 0 to {max}; {text:?} is neither", max = u32::MAX)]
pub struct KeepSegmentsError {
    /// The text.
    pub text: String,
}

impl FromStr for KeepSegments {
    type Err = KeepSegmentsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || KeepSegmentsError { text: text.to_owned() };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text {
            Self::ALL => Ok(Self::All),
            // No sign: `+2` would be read otherwise.
            _ if is_plain => text.parse().map(Self::Last).map_err(|_| refused()),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_at_the_limits() {
        let values =
            [KeepSegments::All, KeepSegments::Last(0), KeepSegments::Last(1), KeepSegments::Last(u32::MAX)];
        for value in values {
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        for text in ["", "All", "none", "-1", "+2", "2.0", " 2", "4294967296", "99999999999999999999999"] {
            let error = text.parse::<KeepSegments>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("4294967295"), "{error}");
        }
    }

    #[test]
    fn only_what_is_beyond_the_number_may_go() {
        assert!(!KeepSegments::All.oldest_may_go(usize::MAX));
        assert!(!KeepSegments::Last(0).oldest_may_go(0));
        assert!(KeepSegments::Last(0).oldest_may_go(1));
        assert!(!KeepSegments::Last(2).oldest_may_go(2));
        assert!(KeepSegments::Last(2).oldest_may_go(3));
        assert!(!KeepSegments::Last(u32::MAX).oldest_may_go(u32::MAX as usize));
    }
}
