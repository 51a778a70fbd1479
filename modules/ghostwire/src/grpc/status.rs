//! How a call ended: code, message, details, trailing metadata, and their form in trailers.

use super::code::Code;
use super::metadata::{Metadata, decode_binary, encode_binary};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::{self, Write as _};

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Bytes of a message, encoded: what is beyond is cut off, since peers take header lists of 8 KiB only.
pub const STATUS_MESSAGE_BYTES: usize = 4096;

/// How a call ended, when it did not end well.
#[derive(Clone, PartialEq, Eq)]
pub struct Status {
    /// It travels in every result: a pointer is all that a good one pays for it.
    told: Box<Told>,
}

#[derive(Clone, PartialEq, Eq)]
struct Told {
    code: Code,
    message: String,
    details: Bytes,
    metadata: Metadata,
}

impl Status {
    /// A status with a message for people. Beyond [`STATUS_MESSAGE_BYTES`] the message is cut off when it is sent.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (details, metadata) = (Bytes::new(), Metadata::new());
        Self { told: Box::new(Told { code, message: message.into(), details, metadata }) }
    }

    /// The same with details: an encoded `google.rpc.Status`, which repeats code and message (`grpc-status-details-bin`).
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.told.details = details.into();
        self
    }

    /// The same with metadata of the call's end.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.told.metadata = metadata;
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.told.code
    }

    /// The message, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.told.message
    }

    /// The bytes of a `google.rpc.Status`; empty when there are none.
    #[must_use]
    pub fn details(&self) -> &Bytes {
        &self.told.details
    }

    /// The metadata that came with it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.told.metadata
    }

    /// The trailers that say so.
    pub(super) fn into_trailers(self) -> HeaderMap {
        let Told { code, message, details, metadata } = *self.told;
        let mut trailers = metadata.into_headers();
        trailers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code.number())));
        if !message.is_empty()
            && let Ok(value) = HeaderValue::try_from(percent_encode(&message))
        {
            trailers.insert(GRPC_MESSAGE, value);
        }
        if !details.is_empty() {
            trailers.insert(GRPC_DETAILS, encode_binary(&details));
        }
        trailers
    }

    /// What trailers (or the header of an answer that has only those) say: none without a `grpc-status`.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = Code::parse(headers.get(GRPC_STATUS)?.as_bytes());
        let message = headers.get(GRPC_MESSAGE).map(|value| percent_decode(value.as_bytes()));
        let details = headers.get(GRPC_DETAILS).and_then(|value| decode_binary(value.as_bytes()).ok());
        let metadata = Metadata::received(headers.clone());
        Some(
            Self::new(code, message.unwrap_or_default())
                .with_details(details.unwrap_or_default())
                .with_metadata(metadata),
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.told.code, self.told.message)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { code, message, details, metadata } = &*self.told;
        let mut shown = f.debug_struct("Status");
        shown.field("code", code).field("message", message);
        shown.field("details", &details.len()).field("metadata", metadata).finish()
    }
}

impl std::error::Error for Status {}

/// gRPC over HTTP2, "Percent-Encoded": what is not printable ASCII, and `%`, as `%XX`. Never cut inside a character.
fn percent_encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len().min(STATUS_MESSAGE_BYTES));
    let mut bytes = [0; 4];
    for character in message.chars() {
        let before = encoded.len();
        if matches!(character, ' '..='~') && character != '%' {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        if encoded.len() > STATUS_MESSAGE_BYTES {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

/// The inverse; what is wrongly encoded stays as it is, as the specification asks.
fn percent_decode(encoded: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, further @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = further;
        } else {
            decoded.push(*first);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn statuses_survive_trailers(number in 0_u8..17, message in ".{0,200}", details: Vec<u8>) {
            let mut metadata = Metadata::new();
            metadata.insert("x-more", "yes").unwrap();
            let status = Status::new(Code::from_number(number).unwrap(), message)
                .with_details(details)
                .with_metadata(metadata);
            prop_assert_eq!(Status::from_headers(&status.clone().into_trailers()), Some(status));
        }

        #[test]
        fn any_bytes_decode(bytes: Vec<u8>) {
            percent_decode(&bytes);
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("100% ä\n~"), "100%25 %C3%A4%0A~");
        assert_eq!(percent_decode(b"100%25 %C3%A4%0A~"), "100% \u{e4}\n~");
        assert_eq!(percent_decode(b"%"), "%");
        assert_eq!(percent_decode(b"%4%zz%+1"), "%4%zz%+1");
        assert_eq!(percent_decode(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(percent_encode(&"a".repeat(STATUS_MESSAGE_BYTES)).len(), STATUS_MESSAGE_BYTES);
        assert_eq!(percent_encode(&"a".repeat(STATUS_MESSAGE_BYTES + 1)).len(), STATUS_MESSAGE_BYTES);
        let cut = percent_encode(&"\u{e4}".repeat(STATUS_MESSAGE_BYTES));
        assert!(cut.len() <= STATUS_MESSAGE_BYTES && cut.len().is_multiple_of(6), "{}", cut.len());
    }

    #[test]
    fn without_a_status_there_is_none() {
        assert_eq!(Status::from_headers(&HeaderMap::new()), None);
    }
}
