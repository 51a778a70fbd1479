//! Requests (section 4) and batches (section 6) out of bytes.

use super::error::RpcError;
use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// An id longer than this is refused: it has to be echoed.
const MAX_ID_BYTES: usize = 256;

/// What a message may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole message. Default 1 MiB.
    pub bytes: usize,
    /// Items of a batch. Default 100.
    pub batch: usize,
    /// Nested arrays and objects in one request, itself included. Default 64.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, batch: 100, depth: 64 }
    }
}

/// A request's id, verbatim: a JSON string, number or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// The id of a response to a request whose own could not be told.
    pub const NULL: Id<'static> = Id("null");

    /// The JSON text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    fn read(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let scalar = matches!(text.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'));
        (scalar && text.len() <= MAX_ID_BYTES).then_some(Self(text))
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `None` marks a notification, which gets no answer.
    pub id: Option<Id<'a>>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// An array or an object, not decoded yet.
    pub params: Option<&'a RawValue>,
}

/// Something that has to be answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid<'a> {
    /// [`Id::NULL`] when it could not be told.
    pub id: Id<'a>,
    /// -32700 or -32600.
    pub error: RpcError,
}

/// A request, or what is wrong with it.
pub type Item<'a> = Result<Request<'a>, Invalid<'a>>;

/// What a client sent in one piece.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// One request: answered with one object, or not at all when it is a notification.
    Single(Request<'a>),
    /// A batch, never empty: answered with an array, or not at all when all are notifications.
    Batch(Vec<Item<'a>>),
}

/// Reads a message.
///
/// # Errors
/// [`Invalid`], to be answered with a single error object, when the message as a whole is not JSON, not a request, an
/// empty batch, or beyond `limits`. Faults of single items of a batch are reported inside [`Message::Batch`].
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Message<'a>, Invalid<'a>> {
    if bytes.len() > limits.bytes {
        return Err(refused(format!("message of {} bytes: the limit is {}", bytes.len(), limits.bytes)));
    }
    if first_byte(bytes) != Some(b'[') {
        return parse_request(bytes, limits).map(Message::Single);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let (items, count) = Batch { limit: limits.batch }
        .deserialize(&mut json)
        .and_then(|batch| json.end().map(|()| batch))
        .map_err(|error| unreadable(bytes, &error))?;
    if count == 0 {
        return Err(refused("empty batch"));
    }
    if count > limits.batch {
        return Err(refused(format!("batch of {count} requests: the limit is {}", limits.batch)));
    }
    Ok(Message::Batch(items.into_iter().map(|item| parse_request(item.get().as_bytes(), limits)).collect()))
}

fn parse_request<'a>(bytes: &'a [u8], limits: &Limits) -> Item<'a> {
    if depth_exceeds(bytes, limits.depth) {
        return Err(refused(format!("request nested deeper than {} levels", limits.depth)));
    }
    let fields: Fields<'a> = serde_json::from_slice(bytes).map_err(|error| unreadable(bytes, &error))?;
    let id = match fields.id {
        None => None,
        Some(raw) => Some(Id::read(raw).ok_or_else(|| {
            refused(format!("id must be a string, a number or null, of at most {MAX_ID_BYTES} bytes"))
        })?),
    };
    let invalid = |message: &'static str| Invalid {
        id: id.unwrap_or(Id::NULL),
        error: RpcError::invalid_request(message),
    };
    if fields.jsonrpc.is_none_or(|version| version.get() != r#""2.0""#) {
        return Err(invalid("jsonrpc must be \"2.0\""));
    }
    let method = fields.method.ok_or_else(|| invalid("method is missing"))?;
    let method = text(method).ok_or_else(|| invalid("method must be a string"))?;
    if fields.params.is_some_and(|params| !params.get().starts_with(['[', '{'])) {
        return Err(invalid("params must be an array or an object"));
    }
    Ok(Request { id, method, params: fields.params })
}

/// The members of a request object, none decoded; unknown ones are ignored.
#[derive(Deserialize)]
#[serde(expecting = "a request object")]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Tells `null` from a missing member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads a batch's items, counts all of them, keeps `limit`.
struct Batch {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Batch {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Batch {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut count) = (Vec::new(), 0_usize);
        while let Some(item) = from.next_element()? {
            count = count.saturating_add(1);
            if count <= self.limit {
                items.push(item);
            }
        }
        Ok((items, count))
    }
}

/// A JSON string's value, borrowed when it has no escapes.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// -32700 for what is not JSON, -32600 for JSON that is not a request.
fn unreadable<'a>(bytes: &[u8], error: &serde_json::Error) -> Invalid<'a> {
    let not_json = match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => Some(error.to_string()),
        // The reader gave up before the end: only a look at all of it tells.
        Category::Data => serde_json::from_slice::<IgnoredAny>(bytes).err().map(|error| error.to_string()),
    };
    match not_json {
        Some(why) => Invalid { id: Id::NULL, error: RpcError::parse_error(format!("invalid json: {why}")) },
        None => refused(format!("not a request: {error}")),
    }
}

fn refused<'a>(message: impl Into<Cow<'static, str>>) -> Invalid<'a> {
    Invalid { id: Id::NULL, error: RpcError::invalid_request(message) }
}

fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Whether arrays and objects nest deeper than `limit`. Bytes that are not JSON get an answer too, of no meaning.
fn depth_exceeds(bytes: &[u8], limit: usize) -> bool {
    // Most requests do not even hold that many brackets, and counting them all at once is cheap.
    let opened = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if opened <= limit {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
