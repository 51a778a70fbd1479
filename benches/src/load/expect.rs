//! What the answer to a request must be.

use super::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The only right answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Status 200 and this body.
    Body(Vec<u8>),
    /// A JSON-RPC result that is this JSON string.
    Text {
        /// The request's id.
        id: u64,
        /// The string, without escapes.
        result: Box<str>,
    },
    /// A JSON-RPC result with this transaction hash and status 0x1.
    Applied {
        /// The request's id.
        id: u64,
        /// The transaction's hash, 0x and 64 digits.
        hash: Box<str>,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: &'a str,
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Applied<'a> {
    #[serde(borrow)]
    hash: &'a str,
    #[serde(borrow)]
    status: &'a str,
}

impl Expected {
    /// Whether the response is the right one, or what is wrong with it.
    pub(crate) fn check(&self, response: &Response<'_>) -> Result<(), String> {
        if response.status != 200 {
            return Err(format!("status {} with {}", response.status, excerpt(response.body)));
        }
        let (id, body) = match self {
            Self::Body(body) if body == response.body => return Ok(()),
            Self::Body(body) => {
                return Err(format!("expected {} and got {}", excerpt(body), excerpt(response.body)));
            }
            Self::Text { id, .. } | Self::Applied { id, .. } => (*id, response.body),
        };
        let envelope: Envelope<'_> = serde_json::from_slice(body)
            .map_err(|error| format!("not a JSON-RPC response ({error}): {}", excerpt(body)))?;
        if let Some(error) = envelope.error {
            return Err(format!("the node refused: {}", excerpt(error.get().as_bytes())));
        }
        let (Some(result), "2.0") = (envelope.result, envelope.jsonrpc) else {
            return Err(format!("neither result nor error of JSON-RPC 2.0: {}", excerpt(body)));
        };
        if envelope.id != Some(id) {
            return Err(format!("expected the answer to request {id} and got {}", excerpt(body)));
        }
        match self {
            Self::Body(_) => Ok(()),
            Self::Text { result: expected, .. } => {
                let inner = result.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                if inner == Some(expected) {
                    return Ok(());
                }
                Err(format!(
                    "expected the result \"{expected}\" and got {}",
                    excerpt(result.get().as_bytes())
                ))
            }
            Self::Applied { hash, .. } => {
                let applied: Applied<'_> = serde_json::from_str(result.get())
                    .map_err(|error| format!("not a receipt ({error}): {}", excerpt(body)))?;
                if applied.hash == &**hash && applied.status == "0x1" {
                    return Ok(());
                }
                Err(format!("expected {hash} with status 0x1 and got {}", excerpt(result.get().as_bytes())))
            }
        }
    }
}

fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
    text.escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &Expected, status: u16, body: &str) -> Result<(), String> {
        expected.check(&Response { status, body: body.as_bytes(), length: 0, close: false })
    }

    #[test]
    fn only_the_right_answer_passes() {
        let applied = Expected::Applied { id: 7, hash: "0xab".into() };
        let right = r#"{"jsonrpc":"2.0","id":7,"result":{"hash":"0xab","status":"0x1","more":[1]}}"#;
        assert_eq!(check(&applied, 200, right), Ok(()));
        for (from, to) in
            [("0xab", "0xac"), ("0x1", "0x0"), ("\"id\":7", "\"id\":8"), ("2.0", "1.0"), ("result", "resul")]
        {
            assert!(check(&applied, 200, &right.replace(from, to)).is_err(), "{from} -> {to}");
        }
        assert!(check(&applied, 500, right).is_err());
        let refused = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"nonce"}}"#;
        assert!(check(&applied, 200, refused).unwrap_err().contains("nonce"));
    }

    #[test]
    fn texts_and_bodies() {
        let text = Expected::Text { id: 1, result: "0x10".into() };
        assert_eq!(check(&text, 200, r#"{"jsonrpc":"2.0","id":1,"result":"0x10"}"#), Ok(()));
        assert!(check(&text, 200, r#"{"jsonrpc":"2.0","id":1,"result":"0x11"}"#).is_err());
        assert!(check(&text, 200, r#"{"jsonrpc":"2.0","id":1,"result":16}"#).is_err());
        let body = Expected::Body(b"hello".to_vec());
        assert_eq!(check(&body, 200, "hello"), Ok(()));
        assert!(check(&body, 200, "hullo").is_err());
    }
}
