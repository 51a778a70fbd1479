//! What is sent, and what servers answer (RFC 8555, 7.1).

use crate::error::{Error, Step};
use crate::limits::MAX_TOKEN;
use crate::problem::{Document, Problem, cut};
use crate::url::Url;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Where things are (7.1.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: Address,
    pub(crate) new_account: Address,
    pub(crate) new_order: Address,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) terms_of_service: Option<String>,
    pub(crate) external_account_required: bool,
}

/// An order (7.1.3).
#[derive(Deserialize)]
pub(crate) struct Order {
    pub(crate) status: OrderStatus,
    pub(crate) authorizations: Vec<Address>,
    pub(crate) finalize: Address,
    pub(crate) certificate: Option<Address>,
    error: Option<Document>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// An authorization (7.1.4).
#[derive(Deserialize)]
pub(crate) struct Authorization {
    pub(crate) status: AuthorizationStatus,
    identifier: Identifier,
    #[serde(default)]
    challenges: Vec<Challenge>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthorizationStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
    Revoked,
}

#[derive(Deserialize, Serialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

/// A challenge (7.1.5), of any kind.
#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "type")]
    kind: String,
    url: Option<Address>,
    token: Option<String>,
    error: Option<Document>,
}

/// An address in an answer.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address(pub(crate) Url);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Url::parse(&text).map(Self).ok_or_else(|| format!("`{}` is no https:// address", cut(&text)))
    }
}

/// An answer's body.
pub(crate) fn decode<T: DeserializeOwned>(step: Step, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Malformed { step, reason: cut(&error.to_string()) })
}

impl Order {
    /// Why it is invalid.
    pub(crate) fn into_problem(self) -> Problem {
        self.error.map(Problem::from).unwrap_or_default()
    }
}

impl Authorization {
    /// The name it is for, in lower case.
    pub(crate) fn name(&self) -> String {
        cut(&self.identifier.value).to_ascii_lowercase()
    }

    /// Where the TLS-ALPN-01 challenge is, and its token.
    pub(crate) fn challenge(self) -> Option<(Url, String)> {
        let found = self.challenges.into_iter().find(|challenge| challenge.kind == "tls-alpn-01")?;
        let token = found.token.filter(|token| is_token(token))?;
        Some((found.url?.0, token))
    }

    /// Why it is invalid, as one of its challenges says.
    pub(crate) fn into_problem(self) -> Problem {
        let found = self.challenges.into_iter().find_map(|challenge| challenge.error);
        found.map(Problem::from).unwrap_or_default()
    }
}

/// A nonce or a challenge's token (6.5.1, 8.3): base64url, and no longer than need be.
pub(crate) fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(is_one)
}

/// Asks for an account (7.3), an existing one too.
pub(crate) fn new_account(contact: &[String], terms_agreed: bool) -> String {
    let mut payload = serde_json::Map::new();
    if !contact.is_empty() {
        payload.insert("contact".into(), contact.into());
    }
    if terms_agreed {
        payload.insert("termsOfServiceAgreed".into(), true.into());
    }
    serde_json::Value::Object(payload).to_string()
}

/// Asks for a certificate of these names (7.4).
pub(crate) fn new_order(names: &[String]) -> String {
    let identifier = |name: &String| serde_json::json!({ "type": "dns", "value": name });
    let identifiers: Vec<serde_json::Value> = names.iter().map(identifier).collect();
    serde_json::json!({ "identifiers": identifiers }).to_string()
}

/// Asks for the certificate to be issued (7.4).
pub(crate) fn finalize(request: &[u8]) -> String {
    serde_json::json!({ "csr": Base64UrlUnpadded::encode_string(request) }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_have_an_alphabet_and_a_limit() {
        assert!(is_token("aZ09-_") && is_token(&"a".repeat(MAX_TOKEN)));
        assert!(
            !is_token("") && !is_token("a=") && !is_token("a.b") && !is_token(&"a".repeat(MAX_TOKEN + 1))
        );
    }

    #[test]
    fn addresses_in_answers_are_checked() {
        let answer = |address: &str| {
            format!(r#"{{"newNonce":"{address}","newAccount":"https://a/","newOrder":"https://a/"}}"#)
        };
        assert!(decode::<Directory>(Step::Directory, answer("https://b/").as_bytes()).is_ok());
        let wrong = decode::<Directory>(Step::Directory, answer("http://b/").as_bytes()).err();
        assert!(wrong.unwrap().to_string().contains("`http://b/` is no https:// address"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode::<Directory>(Step::Directory, &bytes);
            let _ = decode::<Order>(Step::Order, &bytes);
            if let Ok(authorization) = decode::<Authorization>(Step::Authorization, &bytes) {
                let _ = (authorization.name(), authorization.challenge());
            }
        }
    }
}
