//! The client's side.

use super::tokens::{self, holds_token};
use super::{Agreed, Challenge, VERSION};
use crate::deflate::{Compression, Negotiated, accept_response, offer};
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};

/// A handshake that a client began.
#[derive(Debug, Clone)]
pub struct Opening {
    challenge: Challenge,
    protocols: Vec<String>,
    compression: Option<Compression>,
}

/// A handshake that did not open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// A subprotocol's name cannot be sent.
    #[error("a subprotocol's name is not a token")]
    Protocol,
    /// The server does not want to.
    #[error("the server answered {0} instead of opening a WebSocket")]
    Status(StatusCode),
    /// RFC 6455 4.1.
    #[error("the server's handshake is wrong: {0}")]
    Handshake(&'static str),
}

impl Opening {
    /// A handshake with 16 bytes of chance, the subprotocols to offer and the compression to ask for.
    ///
    /// # Errors
    /// [`OpeningError::Protocol`].
    pub fn new(
        nonce: &[u8; 16],
        protocols: Vec<String>,
        compression: Option<Compression>,
    ) -> Result<Self, OpeningError> {
        if !protocols.iter().all(|protocol| tokens::is_token(protocol)) {
            return Err(OpeningError::Protocol);
        }
        // 16 bytes in base64 are always a header value.
        let challenge = Challenge::new(nonce).ok_or(OpeningError::Protocol)?;
        Ok(Self { challenge, protocols, compression })
    }

    /// The header fields of a `GET` request over HTTP/1.1; `Host` and `Origin` are the caller's.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.headers_extended();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_KEY, self.challenge.key().clone());
        headers
    }

    /// The header fields of an extended CONNECT request (RFC 8441 5).
    #[must_use]
    pub fn headers_extended(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        if !self.protocols.is_empty()
            && let Ok(value) = HeaderValue::try_from(self.protocols.join(", "))
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        if let Some(wanted) = &self.compression
            && let Ok(value) = HeaderValue::try_from(offer(wanted))
        {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        headers
    }

    /// Judges the answer over HTTP/1.1.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn accept<B>(&self, response: &Response<B>) -> Result<Agreed, OpeningError> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(OpeningError::Status(response.status()));
        }
        let headers = response.headers();
        if !holds_token(headers, &UPGRADE, "websocket") || !holds_token(headers, &CONNECTION, "upgrade") {
            return Err(OpeningError::Handshake("it upgrades to something else"));
        }
        if !self.challenge.is_answered_by(headers) {
            return Err(OpeningError::Handshake("sec-websocket-accept does not fit the key"));
        }
        self.agree(headers)
    }

    /// Judges the answer to an extended CONNECT request.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn accept_extended<B>(&self, response: &Response<B>) -> Result<Agreed, OpeningError> {
        if !response.status().is_success() {
            return Err(OpeningError::Status(response.status()));
        }
        self.agree(response.headers())
    }

    fn agree(&self, headers: &HeaderMap) -> Result<Agreed, OpeningError> {
        Ok(Agreed {
            headers: HeaderMap::new(),
            protocol: self.protocol(headers)?,
            compression: self.compression(headers)?,
        })
    }

    fn protocol(&self, headers: &HeaderMap) -> Result<Option<String>, OpeningError> {
        let mut all = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let Some(answer) = all.next() else { return Ok(None) };
        let chosen = self.protocols.iter().find(|protocol| protocol.as_bytes() == answer.as_bytes());
        match (chosen, all.next()) {
            (Some(chosen), None) => Ok(Some(chosen.clone())),
            _ => Err(OpeningError::Handshake("it chose a subprotocol that was not offered")),
        }
    }

    fn compression(&self, headers: &HeaderMap) -> Result<Option<Negotiated>, OpeningError> {
        const WRONG: OpeningError = OpeningError::Handshake("its extensions do not fit what was offered");
        let mut answered = Vec::new();
        for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
            let text = value.to_str().map_err(|_| WRONG)?;
            answered.extend(tokens::extensions(text).ok_or(WRONG)?);
        }
        accept_response(&answered, self.compression.as_ref()).map_err(|_| WRONG)
    }
}
