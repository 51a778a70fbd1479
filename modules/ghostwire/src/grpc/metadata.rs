//! Metadata: the fields that go with a call, in text or binary.

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// What names of binary fields end with.
const BINARY: &str = "-bin";

/// Fields of the protocol, which are no metadata; and so are all whose names begin with `grpc-`.
const RESERVED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::TE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRAILER,
    header::CONNECTION,
];

/// Fields that go with a call: names in lower case, values of printable ASCII, or of bytes where the name ends with
/// `-bin`. A name may have several values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    fields: HeaderMap,
}

/// A field that cannot be sent, or whose value is no base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// The name is none, or belongs to the protocol.
    #[error("{0:?} is not a name that metadata may have")]
    Name(String),
    /// The value is not printable ASCII.
    #[error("the value of {0:?} is not printable ASCII")]
    Value(String),
    /// A text was given for a name of bytes, or bytes for one of text.
    #[error("{0:?}: values of bytes, and no others, have names that end with -bin")]
    Kind(String),
    /// A value of bytes is not the base64 of any.
    #[error("not base64")]
    Base64,
}

impl Metadata {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The metadata among the fields of a message.
    pub(super) fn received(mut fields: HeaderMap) -> Self {
        let reserved: Vec<HeaderName> = fields.keys().filter(|name| is_reserved(name)).cloned().collect();
        for name in reserved {
            fields.remove(name);
        }
        Self { fields }
    }

    pub(super) fn into_headers(self) -> HeaderMap {
        self.fields
    }

    /// Appends a value of text.
    ///
    /// # Errors
    /// [`InvalidMetadata`] when it cannot be sent.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), InvalidMetadata> {
        let key = key(name, false)?;
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidMetadata::Value(name.to_owned()));
        }
        let value = HeaderValue::from_str(value).map_err(|_| InvalidMetadata::Value(name.to_owned()))?;
        self.fields.append(key, value);
        Ok(())
    }

    /// Appends a value of bytes; the name must end with `-bin`.
    ///
    /// # Errors
    /// [`InvalidMetadata`] when it cannot be sent.
    pub fn insert_binary(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidMetadata> {
        self.fields.append(key(name, true)?, encode_binary(value));
        Ok(())
    }

    /// The first value of text with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }

    /// The values of text with this name.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// The values of bytes with this name; peers may join several with commas.
    ///
    /// # Errors
    /// [`InvalidMetadata::Base64`] when one is not base64.
    pub fn get_binary(&self, name: &str) -> Result<Vec<Bytes>, InvalidMetadata> {
        let values = self.fields.get_all(name).into_iter();
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(decode_binary).collect()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Metadata {
    /// The names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-") || RESERVED.contains(name)
}

fn key(name: &str, binary: bool) -> Result<HeaderName, InvalidMetadata> {
    let wrong = || InvalidMetadata::Name(name.to_owned());
    let key = HeaderName::try_from(name).map_err(|_| wrong())?;
    // gRPC allows less than HTTP: letters, digits, `_`, `-`, `.`.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if is_reserved(&key) || !name.bytes().all(allowed) {
        return Err(wrong());
    }
    if key.as_str().ends_with(BINARY) != binary {
        return Err(InvalidMetadata::Kind(name.to_owned()));
    }
    Ok(key)
}

/// Without padding, as the specification prefers it.
pub(super) fn encode_binary(bytes: &[u8]) -> HeaderValue {
    let text = Base64Unpadded::encode_string(bytes);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// With padding or without.
pub(super) fn decode_binary(value: &[u8]) -> Result<Bytes, InvalidMetadata> {
    let text = std::str::from_utf8(value.trim_ascii()).map_err(|_| InvalidMetadata::Base64)?;
    let decoded =
        if text.ends_with('=') { Base64::decode_vec(text) } else { Base64Unpadded::decode_vec(text) };
    decoded.map(Bytes::from).map_err(|_| InvalidMetadata::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive(bytes: Vec<u8>, noise: Vec<u8>) {
            let mut metadata = Metadata::new();
            metadata.insert_binary("x-bin", &bytes).unwrap();
            prop_assert_eq!(metadata.get_binary("x-bin").unwrap(), [Bytes::from(bytes)]);
            let _ = decode_binary(&noise);
        }
    }

    #[test]
    fn both_forms_of_base64_and_joined_values() {
        let mut fields = HeaderMap::new();
        fields.append("x-bin", HeaderValue::from_static("AQ==, AQI"));
        fields.append("x-bin", HeaderValue::from_static("AQID"));
        let values = Metadata::received(fields).get_binary("x-bin").unwrap();
        assert_eq!(values, [&[1_u8][..], &[1, 2], &[1, 2, 3]]);
        for wrong in ["A", "AQ=", "A Q", "====", "A-_="] {
            assert_eq!(decode_binary(wrong.as_bytes()), Err(InvalidMetadata::Base64), "{wrong}");
        }
    }

    #[test]
    fn names_and_values_are_checked() {
        let mut metadata = Metadata::new();
        for name in ["grpc-timeout", "content-type", "te", ":path", "a b", "", "a!"] {
            assert!(matches!(metadata.insert(name, "x"), Err(InvalidMetadata::Name(_))), "{name}");
        }
        assert!(matches!(metadata.insert("x-bin", "x"), Err(InvalidMetadata::Kind(_))));
        assert!(matches!(metadata.insert_binary("x", b"x"), Err(InvalidMetadata::Kind(_))));
        for value in ["\n", "\u{e4}", "\x7f"] {
            assert!(matches!(metadata.insert("x", value), Err(InvalidMetadata::Value(_))), "{value:?}");
        }
        assert!(metadata.is_empty());
        metadata.insert("X-Name", "one").unwrap();
        metadata.insert("x-name", "two").unwrap();
        assert_eq!(metadata.get_all("x-name").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(metadata.get("x-name"), Some("one"));
        assert_eq!(format!("{metadata:?}"), "{\"x-name\"}");
    }
}
