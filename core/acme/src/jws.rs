//! Signed requests (RFC 7515; RFC 8555, 6.2) with ECDSA over P-256 (ES256, RFC 7518, 3.4).

use crate::url::Url;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A point of P-256: its two coordinates, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    /// One.
    pub x: [u8; 32],
    /// The other.
    pub y: [u8; 32],
}

/// Who has an account's key. ECDSA needs a random number for each signature: the signer has a source of them.
pub trait Signer: Send {
    /// The public half.
    fn public_key(&self) -> PublicKey;

    /// Signs with ECDSA over P-256 and SHA-256; `r` and `s`, 32 bytes each (RFC 7518, 3.4).
    ///
    /// # Errors
    /// [`SignError`] when the library could not.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A message could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account's key could not sign")]
pub struct SignError;

/// The account's key as JSON writes it (RFC 7517), with its members in the order of RFC 7638.
#[derive(Serialize)]
struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

impl Jwk {
    fn of(key: &PublicKey) -> Self {
        let (x, y) = (Base64UrlUnpadded::encode_string(&key.x), Base64UrlUnpadded::encode_string(&key.y));
        Self { crv: "P-256", kty: "EC", x, y }
    }
}

#[derive(Serialize)]
struct Protected<'a> {
    alg: &'static str,
    nonce: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<Jwk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

/// A request's body: `payload` signed for `url`, by the account if there is one yet, by its bare key otherwise.
pub(crate) fn signed(
    signer: &dyn Signer,
    account: Option<&Url>,
    url: &Url,
    nonce: &str,
    payload: &str,
) -> Result<Vec<u8>, SignError> {
    let jwk = if account.is_none() { Some(Jwk::of(&signer.public_key())) } else { None };
    let kid = account.map(Url::as_str);
    let protected = Protected { alg: "ES256", nonce, url: url.as_str(), jwk, kid };
    let protected = serde_json::to_vec(&protected).map_err(|_| SignError)?;
    let protected = Base64UrlUnpadded::encode_string(&protected);
    let payload = Base64UrlUnpadded::encode_string(payload.as_bytes());
    let signature = signer.sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = Base64UrlUnpadded::encode_string(&signature);
    serde_json::to_vec(&Flattened { protected, payload, signature }).map_err(|_| SignError)
}

/// What proves a challenge (RFC 8555, 8.1; RFC 8737, 3): the digest of its token and the account's key.
pub(crate) fn key_authorization(token: &str, key: &PublicKey) -> Result<[u8; 32], SignError> {
    Ok(Sha256::digest(format!("{token}.{}", thumbprint(key)?)).into())
}

/// A key's name (RFC 7638).
fn thumbprint(key: &PublicKey) -> Result<String, SignError> {
    let text = serde_json::to_vec(&Jwk::of(key)).map_err(|_| SignError)?;
    Ok(Base64UrlUnpadded::encode_string(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 7515, A.3, whose thumbprint others have computed.
    #[test]
    fn the_thumbprint_is_that_of_others() {
        let bytes = |text| Base64UrlUnpadded::decode_vec(text).unwrap().try_into().unwrap();
        let key = PublicKey {
            x: bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            y: bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        };
        assert_eq!(thumbprint(&key).unwrap(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }
}
