//! `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` (RFC 6455 4.2.2).

use base64ct::{Base64, Encoding};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderValue};
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's key and the answer that proves that it was understood. For those who pass on what both sides agree on and do
/// not agree themselves: a proxy between an upgrade of HTTP/1.1 and extended CONNECT, which has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    key: HeaderValue,
    answer: HeaderValue,
}

impl Challenge {
    /// A challenge of these bytes, which are to be fresh chance for each connection.
    pub fn new(nonce: &[u8; 16]) -> Option<Self> {
        let key = encode(nonce)?;
        let answer = accept(key.as_bytes())?;
        Some(Self { key, answer })
    }

    /// The challenge of a client, of its `Sec-WebSocket-Key`; `None` when that is none.
    pub fn of(key: &HeaderValue) -> Option<Self> {
        let answer = is_valid(key.as_bytes()).then(|| accept(key.as_bytes()))??;
        Some(Self { key: key.clone(), answer })
    }

    /// The value of `Sec-WebSocket-Accept`.
    pub const fn answer(&self) -> &HeaderValue {
        &self.answer
    }

    /// The value of `Sec-WebSocket-Key`.
    pub const fn key(&self) -> &HeaderValue {
        &self.key
    }

    /// Whether a response has the answer to it in `Sec-WebSocket-Accept`, and no other.
    pub fn is_answered_by(&self, headers: &HeaderMap) -> bool {
        let mut answers = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        answers.next() == Some(&self.answer) && answers.next().is_none()
    }
}

/// A client's key: 16 bytes of chance.
fn encode(nonce: &[u8; 16]) -> Option<HeaderValue> {
    HeaderValue::try_from(Base64::encode_string(nonce)).ok()
}

/// Whether `key` is what 16 bytes look like.
pub(super) fn is_valid(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    std::str::from_utf8(key)
        .is_ok_and(|key| Base64::decode(key, &mut nonce).is_ok_and(|decoded| decoded.len() == 16))
}

/// The answer to `key`.
pub(super) fn accept(key: &[u8]) -> Option<HeaderValue> {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    HeaderValue::try_from(Base64::encode_string(&hash.finalize())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 1.3.
    #[test]
    fn example_of_the_standard() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_valid(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(encode(b"the sample nonce").unwrap(), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn a_challenge_has_one_answer() {
        let challenge = Challenge::new(b"the sample nonce").unwrap();
        assert_eq!(challenge.key(), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(Challenge::of(challenge.key()), Some(challenge.clone()));
        assert_eq!(challenge.answer(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(Challenge::of(&HeaderValue::from_static("short")), None);
        let answer = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut headers = HeaderMap::new();
        assert!(!challenge.is_answered_by(&headers));
        headers.append(SEC_WEBSOCKET_ACCEPT, answer.clone());
        assert!(challenge.is_answered_by(&headers));
        headers.append(SEC_WEBSOCKET_ACCEPT, answer);
        assert!(!challenge.is_answered_by(&headers));
        headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xO0="));
        assert!(!challenge.is_answered_by(&headers));
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        for key in ["", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZWFi", "!"] {
            assert!(!is_valid(key.as_bytes()), "{key}");
        }
        assert!(!is_valid(&[0xFF]));
    }
}
