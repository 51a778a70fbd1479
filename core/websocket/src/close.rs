//! Close codes and close frames (RFC 6455 5.5.1, 7.4).

use crate::error::{Error, SendError};
use crate::frame::CONTROL_BYTES;
use crate::message::Text;
use bytes::Bytes;
use std::fmt;

/// Why a connection is closed (RFC 6455 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the user left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The protocol was broken.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that is not what its kind says: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// A rule of the server's own.
    pub const POLICY: Self = Self(1008);
    /// A message was too long.
    pub const TOO_LONG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts (IANA registry).
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded (IANA registry).
    pub const TRY_AGAIN: Self = Self(1013);

    /// Whether a close frame may carry it: the registered codes, and 3000 to 4999.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why.
    pub code: CloseCode,
    /// The same for people, at most 123 bytes.
    pub reason: Text,
}

impl CloseFrame {
    /// A close frame; a reason longer than 123 bytes is cut before the character that does not fit.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let cut = reason.floor_char_boundary(CONTROL_BYTES - 2);
        let reason = reason.get(..cut).unwrap_or_default();
        Self { code, reason: Text::validated(Bytes::copy_from_slice(reason.as_bytes())) }
    }

    /// Reads a close frame's payload: empty, or a code and a reason.
    pub(crate) fn parse(payload: &[u8]) -> Result<Option<Self>, Error> {
        match payload {
            [] => Ok(None),
            [_] => Err(Error::CloseFrame),
            [high, low, reason @ ..] => {
                let code = CloseCode(u16::from_be_bytes([*high, *low]));
                if !code.is_sendable() {
                    return Err(Error::CloseCode(code.0));
                }
                let reason = Text::try_from(Bytes::copy_from_slice(reason)).map_err(|_| Error::Utf8)?;
                Ok(Some(Self { code, reason }))
            }
        }
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, SendError> {
        if !self.code.is_sendable() {
            return Err(SendError::CloseCode(self.code.0));
        }
        let reason = self.reason.as_bytes();
        if reason.len() > CONTROL_BYTES - 2 {
            return Err(SendError::LongControl);
        }
        let mut payload = Vec::with_capacity(reason.len() + 2);
        payload.extend_from_slice(&self.code.0.to_be_bytes());
        payload.extend_from_slice(reason);
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standard_and_the_registry() {
        let sendable: Vec<u16> = (0..=u16::MAX).filter(|code| CloseCode(*code).is_sendable()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = CloseFrame::new(CloseCode::NORMAL, &"ä".repeat(100));
        assert_eq!(frame.reason.as_str(), "ä".repeat(61));
        assert_eq!(frame.payload().unwrap().len(), 124);
        let exact = CloseFrame::new(CloseCode::NORMAL, &"a".repeat(123));
        assert_eq!(exact.payload().unwrap().len(), 125);
    }

    #[test]
    fn payloads_round_trip_and_bad_ones_are_refused() {
        let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye");
        assert_eq!(CloseFrame::parse(&frame.payload().unwrap()), Ok(Some(frame)));
        assert_eq!(CloseFrame::parse(&[]), Ok(None));
        assert_eq!(CloseFrame::parse(&[3]), Err(Error::CloseFrame));
        assert_eq!(CloseFrame::parse(&1005_u16.to_be_bytes()), Err(Error::CloseCode(1005)));
        assert_eq!(CloseFrame::parse(&[3, 232, 0xFF]), Err(Error::Utf8));
        let unsendable = CloseFrame { code: CloseCode(1006), reason: Text::default() };
        assert_eq!(unsendable.payload(), Err(SendError::CloseCode(1006)));
    }
}
