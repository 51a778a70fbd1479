//! Responses (section 5) into bytes.

use super::error::RpcError;
use super::parse::Id;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A piece of valid JSON, kept as text: a call's result, on its way into a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Cow<'static, str>);

impl Json {
    /// `null`.
    pub const NULL: Self = Self(Cow::Borrowed("null"));
    /// `true`.
    pub const TRUE: Self = Self(Cow::Borrowed("true"));
    /// `false`.
    pub const FALSE: Self = Self(Cow::Borrowed("false"));

    /// A value as JSON.
    ///
    /// # Errors
    /// When the value cannot be represented, such as a map whose keys are not strings.
    pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(Cow::Owned(text)))
    }

    /// A string of characters that need no escape: hexadecimal values, mostly. Falls back to escaping.
    #[must_use]
    pub fn string(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len().saturating_add(2));
        write_string(&mut out, text);
        Self(Cow::Owned(String::from_utf8(out).unwrap_or_else(|_| "\"\"".to_owned())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_owned().into_bytes()
    }

    /// Several pieces of text that are valid JSON together, such as an object around another value.
    ///
    /// # Errors
    /// When they are not.
    pub fn joined(pieces: &[&str]) -> Result<Self, serde_json::Error> {
        let text = pieces.concat();
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Self(Cow::Owned(text)))
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Cow::Owned(String::from(Box::<str>::from(raw))))
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(Cow::Owned(raw.get().to_owned()))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends a success response.
pub fn write_result(out: &mut Vec<u8>, id: Id<'_>, result: &Json) {
    out.reserve(id.as_str().len().saturating_add(result.as_str().len()).saturating_add(40));
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(br#","result":"#);
    out.extend_from_slice(result.as_str().as_bytes());
    out.push(b'}');
}

/// Appends an error response; the id is [`Id::NULL`] when the request's could not be told.
pub fn write_error(out: &mut Vec<u8>, id: Id<'_>, error: &RpcError) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(error.code.0.to_string().as_bytes());
    out.extend_from_slice(br#","message":"#);
    write_string(out, &error.message);
    if let Some(data) = &error.data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_str().as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// Collects a batch's responses. Empty when all its items were notifications: then nothing is to be sent.
#[derive(Debug, Default)]
pub struct BatchWriter {
    out: Vec<u8>,
}

impl BatchWriter {
    /// No responses yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// Adds one response, as [`write_result`] or [`write_error`] wrote it.
    pub fn push(&mut self, response: &[u8]) {
        self.out.push(if self.out.is_empty() { b'[' } else { b',' });
        self.out.extend_from_slice(response);
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The whole batch, or nothing.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if self.out.is_empty() {
            return None;
        }
        self.out.push(b']');
        Some(self.out)
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        // Writing a string into memory does not fail; keep the JSON whole all the same.
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}
